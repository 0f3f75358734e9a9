/* checkpoint: a backup of a database that goes on being used.
 *
 *   checkpoint [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static esker_error err = {.struct_size = sizeof(esker_error)};

static void check(esker_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, err.status < 0 ? err.message : esker_status_text(status));
        exit(1);
    }
}

static void print_count(const char *path, const char *what)
{
    esker_db *db;
    char value[16];
    size_t size;
    check(esker_open(path, NULL, 0, &db, &err), "open");
    check(esker_get(db, NULL, "visitors", 8, value, sizeof value, &size), "get");
    printf("%s: %.*s visitors\n", what, (int)size, value);
    check(esker_close(db, 0, &err), "close");
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "/tmp/esker-checkpoint";
    char backup[4096];
    snprintf(backup, sizeof backup, "%s.backup", path);
    /* A checkpoint is never made over something: the last one goes first. */
    esker_status status = esker_destroy(backup, NULL, &err);
    if (status != ESKER_MISSING)
        check(status, "destroy the old backup");
    err.status = 0;

    esker_db *db;
    check(esker_open(path, NULL, ESKER_OPEN_CREATE, &db, &err), "open");
    check(esker_put(db, NULL, "visitors", 8, "41", 2), "put");

    /* Holds every write that has returned, is durable, and costs next to no room: the files are shared until
     * one of the two no longer needs them. */
    check(esker_checkpoint(db, backup, NULL, &err), "checkpoint");

    check(esker_put(db, NULL, "visitors", 8, "42", 2), "put");
    check(esker_close(db, 0, &err), "close");
    print_count(backup, "backup");
    print_count(path, "database");
    return 0;
}

/* Prints:
 * backup: 41 visitors
 * database: 42 visitors
 */
