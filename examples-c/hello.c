/* hello: open a database, store a value, read it back, delete it, close.
 *
 *   hello [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A status below 0 is an error. Cold functions such as esker_open() also explain it in an esker_error. */
static void check(esker_status status, const esker_error *err, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s: %s\n", what, esker_status_name(status),
                err && err->status < 0 ? err->message : esker_status_text(status));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *directory = argc > 1 ? argv[1] : "/tmp/esker-hello";
    const char *key = "greeting", *value = "Hello, world!";

    /* Structs of the API begin with their own size, so that they can grow in later releases. */
    esker_error err = {0};
    err.struct_size = sizeof err;

    /* A database is a directory. CREATE makes it when there is none. */
    esker_db *db;
    check(esker_open(directory, NULL, ESKER_OPEN_CREATE, &db, &err), &err, "open");

    /* Keys and values are bytes with a length. Options NULL means the defaults: the write survives a kill
     * of the process. The example durability.c shows how to make it survive a power cut. */
    check(esker_put(db, NULL, key, strlen(key), value, strlen(value)), NULL, "put");

    /* The value is copied into our buffer; size is always the whole size, also when the buffer is too small. */
    char buf[64];
    size_t size;
    esker_status status = esker_get(db, NULL, key, strlen(key), buf, sizeof buf, &size);
    check(status, NULL, "get");
    if (status != ESKER_OK)
        return 1; /* ESKER_TOO_SMALL or ESKER_NOT_FOUND: answers, not errors */
    printf("%s = %.*s\n", key, (int)size, buf);

    check(esker_delete(db, NULL, key, strlen(key)), NULL, "delete");
    status = esker_get(db, NULL, key, strlen(key), buf, sizeof buf, &size);
    check(status, NULL, "get after delete");
    printf("after delete: %s\n", esker_status_name(status));

    check(esker_close(db, 0, &err), &err, "close");
    return status == ESKER_NOT_FOUND ? 0 : 1;
}

/* Prints:
 * greeting = Hello, world!
 * after delete: ESKER_NOT_FOUND
 */
