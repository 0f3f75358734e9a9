/* durability: choose, write by write, what an acknowledged write survives.
 *
 *   durability [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(esker_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, esker_status_text(status));
        exit(1);
    }
}

static void put(esker_db *db, uint32_t durability, const char *key)
{
    esker_write_opts options = {0};
    options.struct_size = sizeof options;
    options.durability = durability;
    check(esker_put(db, &options, key, strlen(key), "done", 4), key);
}

/* Whether every write so far survives a power cut. */
static const char *all_durable(esker_db *db)
{
    uint64_t latest, durable;
    check(esker_latest_seq(db, &latest), "latest");
    check(esker_durable_seq(db, &durable), "durable");
    return durable >= latest ? "yes" : "no";
}

int main(int argc, char **argv)
{
    /* The option `durability` says what a write means that does not ask for anything (2 = BUFFERED is the default). */
    esker_error err = {0};
    err.struct_size = sizeof err;
    esker_options *options;
    const char *text = "durability=2; write_buffer=4MiB";
    check(esker_options_new(&options), "options");
    if (esker_options_parse(options, text, strlen(text), &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-durability", options, ESKER_OPEN_CREATE, &db, &err), "open");
    check(esker_options_free(options), "free"); /* what you pass in may be freed at once */

    /* BUFFERED: handed to the kernel. A kill of this process loses nothing; a power cut may lose the last
     * moments, but never leaves a gap: what survives is everything up to some write. */
    put(db, ESKER_DURABILITY_BUFFERED, "draft");

    /* SYNC: on the disk before the call returns, and everything logged before it as well. */
    put(db, ESKER_DURABILITY_SYNC, "invoice");
    printf("all durable after SYNC: %s\n", all_durable(db));

    /* Many BUFFERED writes, then one esker_sync(), is the cheap way to store a lot safely. */
    for (int i = 0; i < 1000; i++) {
        char key[32];
        sprintf(key, "line %04d", i);
        put(db, ESKER_DURABILITY_BUFFERED, key);
    }
    check(esker_sync(db, &err), "sync");
    printf("all durable after esker_sync: %s\n", all_durable(db));

    /* UNLOGGED: not even a kill of the process is survived until the memtable is flushed to a table. For
     * data that can be made again. */
    put(db, ESKER_DURABILITY_UNLOGGED, "cache entry");
    check(esker_flush(db, &err), "flush");
    check(esker_exists(db, NULL, "cache entry", 11, NULL), "exists");
    check(esker_close(db, 0, &err), "close");
    printf("closed\n");
    return 0;
}

/* Prints:
 * all durable after SYNC: yes
 * all durable after esker_sync: yes
 * closed
 */
