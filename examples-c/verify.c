/* verify: look a database over for damage, with progress and every finding.
 *
 *   verify [DIRECTORY]
 */
#include <esker.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void check(esker_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, esker_status_text(status));
        exit(1);
    }
}

/* Called about ten times a second, and at the end. Anything but 0 would stop the work. */
static int32_t progress(void *ctx, const char *phase, uint64_t done, uint64_t total)
{
    (void)ctx;
    fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 " bytes\n", phase, done, total);
    return 0;
}

/* Called once for each thing that is wrong. */
static int32_t finding(void *ctx, const esker_error *found)
{
    ++*(int *)ctx;
    printf("file %" PRIu64 ", byte %" PRIu64 ": %s\n", found->file_number, found->offset, found->message);
    return 0;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/tmp/esker-verify";
    esker_db *db;
    check(esker_open(path, NULL, ESKER_OPEN_CREATE, &db, NULL), "open");
    for (int i = 0; i < 10000; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "key%05d", i);
        check(esker_put(db, NULL, key, (size_t)size, "a value", 7), "put");
    }
    check(esker_flush(db, NULL), "flush");

    int findings = 0;
    esker_job job = {.struct_size = sizeof job, .ctx = &findings, .progress = progress, .report = finding};

    /* While it is in use: writers go on. */
    check(esker_verify(db, ESKER_VERIFY_CHECKSUMS, &job, NULL), "verify the open database");
    check(esker_close(db, 0, NULL), "close");

    /* And while nobody has it open, down to every entry: this works for one that does not open any more, too. */
    check(esker_verify_path(path, NULL, ESKER_VERIFY_FULL, &job, NULL), "verify the closed database");
    printf("%d findings\n", findings);
    return 0;
}

/* Prints:
 * 0 findings
 */
