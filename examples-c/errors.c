/* errors: what goes wrong, how it is told, and what it does not do (crash, print, or change anything).
 *
 *   errors [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int surprises = 0;

/* Prints the status of a call that must answer `expected`. The message is for people and names the thing at
 * fault, here a path; it goes to stderr so that the output does not depend on the directory. */
static void expect(const char *what, esker_status status, esker_status expected, const esker_error *err)
{
    printf("%s: %s\n", what, esker_status_name(status));
    if (err && err->status < 0)
        fprintf(stderr, "    %s\n", err->message);
    if (status != expected)
        surprises++;
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "/tmp/esker-errors";
    esker_error err = {0};
    err.struct_size = sizeof err;
    esker_db *db, *second;
    char buf[4];
    size_t size;

    /* Functions that do rare, long work take an esker_error: status, errno, file, offset, message. */
    expect("open, nothing there", esker_open("/nonexistent/esker", NULL, 0, &db, &err), ESKER_MISSING, &err);

    esker_options *options;
    expect("options", esker_options_new(&options), ESKER_OK, NULL);
    const char *text = "write_bufer=8MiB";
    expect("misspelt option", esker_options_parse(options, text, strlen(text), &err), ESKER_INVALID, &err);
    expect("value out of range", esker_options_set_u64(options, ESKER_OPT_LEVELS, 99, &err), ESKER_INVALID, &err);
    expect("free", esker_options_free(options), ESKER_OK, NULL);

    expect("open", esker_open(directory, NULL, ESKER_OPEN_CREATE, &db, &err), ESKER_OK, NULL);
    expect("open again", esker_open(directory, NULL, ESKER_OPEN_CREATE, &second, &err), ESKER_LOCKED, &err);

    /* Answers above 0 are not errors. */
    expect("put", esker_put(db, NULL, "key", 3, "a long value", 12), ESKER_OK, NULL);
    expect("get, absent", esker_get(db, NULL, "no key", 6, buf, sizeof buf, &size), ESKER_NOT_FOUND, NULL);
    expect("get, small buffer", esker_get(db, NULL, "key", 3, buf, sizeof buf, &size), ESKER_TOO_SMALL, NULL);
    printf("size needed: %d\n", (int)size);

    /* Functions that are called often take no esker_error; the database remembers their details in a ring of
     * its last 64 errors. */
    static const char long_key[ESKER_KEY_MAX + 1];
    expect("put, key too long", esker_put(db, NULL, long_key, sizeof long_key, "", 0), ESKER_LIMIT, NULL);
    expect("its details", esker_last_error(db, &err), ESKER_OK, &err);
    printf("the limit: %d\n", (int)err.value);

    /* A database with living children does not close; its children may also outlive it (ESKER_CLOSE_DETACH). */
    esker_iter *iter;
    expect("iterator", esker_iter_new(db, NULL, &iter), ESKER_OK, NULL);
    expect("close", esker_close(db, 0, &err), ESKER_BUSY, &err);
    expect("close, detaching", esker_close(db, ESKER_CLOSE_DETACH, &err), ESKER_OK, NULL);
    expect("iterator after close", esker_iter_first(iter), ESKER_CLOSED, NULL);
    expect("free", esker_iter_free(iter), ESKER_OK, NULL);

    /* Handles are numbers in disguise, so even these are answered instead of crashing. */
    expect("close again", esker_close(db, 0, &err), ESKER_MISUSE, &err);
    expect("put after close", esker_put(db, NULL, "key", 3, "", 0), ESKER_MISUSE, NULL);
    expect("no handle at all", esker_put(NULL, NULL, "key", 3, "", 0), ESKER_MISUSE, NULL);
    return surprises == 0 ? 0 : 1;
}

/* Prints:
 * open, nothing there: ESKER_MISSING
 * options: ESKER_OK
 * misspelt option: ESKER_INVALID
 * value out of range: ESKER_INVALID
 * free: ESKER_OK
 * open: ESKER_OK
 * open again: ESKER_LOCKED
 * put: ESKER_OK
 * get, absent: ESKER_NOT_FOUND
 * get, small buffer: ESKER_TOO_SMALL
 * size needed: 12
 * put, key too long: ESKER_LIMIT
 * its details: ESKER_OK
 * the limit: 65535
 * iterator: ESKER_OK
 * close: ESKER_BUSY
 * close, detaching: ESKER_OK
 * iterator after close: ESKER_CLOSED
 * free: ESKER_OK
 * close again: ESKER_MISUSE
 * put after close: ESKER_MISUSE
 * no handle at all: ESKER_MISUSE
 */
