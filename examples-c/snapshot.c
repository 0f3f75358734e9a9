/* snapshot: read the database as it was at one moment, while writes go on.
 *
 *   snapshot [DIRECTORY]
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

static void print_value(esker_db *db, const esker_read_opts *options, const char *when)
{
    /* A pin lends the value where it lies instead of copying it; it must be given back. */
    esker_pin pin;
    esker_status status = esker_get_pin(db, options, "price", 5, &pin);
    check(status, "get");
    if (status == ESKER_NOT_FOUND)
        printf("%s: not there\n", when);
    else
        printf("%s: %.*s\n", when, (int)pin.size, (const char *)pin.data);
    check(esker_unpin(&pin), "unpin"); /* a pin that holds nothing may be unpinned too */
}

int main(int argc, char **argv)
{
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-snapshot", NULL, ESKER_OPEN_CREATE, &db, NULL), "open");
    check(esker_put(db, NULL, "price", 5, "10", 2), "put");

    /* Taking a snapshot copies nothing; it only keeps what it can see from being thrown away. */
    esker_snapshot *monday;
    check(esker_snapshot_new(db, &monday), "snapshot");
    check(esker_put(db, NULL, "price", 5, "12", 2), "put");

    esker_snapshot *tuesday;
    check(esker_snapshot_new(db, &tuesday), "snapshot");
    check(esker_delete(db, NULL, "price", 5), "delete");

    /* Flushing and compacting rewrite the files; snapshots do not notice. */
    check(esker_flush(db, NULL), "flush");
    check(esker_compact(db, NULL, NULL, 0, NULL, NULL), "compact");

    esker_read_opts options = {0};
    options.struct_size = sizeof options;
    options.snapshot = monday;
    print_value(db, &options, "monday");
    options.snapshot = tuesday;
    print_value(db, &options, "tuesday");
    print_value(db, NULL, "now");

    /* Every write has a number, and a snapshot stands at one of them. */
    uint64_t monday_seq, tuesday_seq, latest;
    check(esker_snapshot_seq(monday, &monday_seq), "sequence");
    check(esker_snapshot_seq(tuesday, &tuesday_seq), "sequence");
    check(esker_latest_seq(db, &latest), "sequence");
    printf("writes since monday: %d, since tuesday: %d\n", (int)(latest - monday_seq), (int)(latest - tuesday_seq));

    /* Snapshots are children of the database: close answers BUSY while any is alive. */
    esker_status status = esker_close(db, 0, NULL);
    printf("close too early: %s\n", esker_status_name(status));
    check(esker_snapshot_free(monday), "free");
    check(esker_snapshot_free(tuesday), "free");
    check(esker_close(db, 0, NULL), "close");
    return status == ESKER_BUSY ? 0 : 1;
}

/* Prints:
 * monday: 10
 * tuesday: 12
 * now: not there
 * writes since monday: 2, since tuesday: 1
 * close too early: ESKER_BUSY
 */
