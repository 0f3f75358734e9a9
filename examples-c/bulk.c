/* bulk: many writes, keys or rows in one call.
 *
 *   bulk [DIRECTORY]
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

static uint32_t u32(const unsigned char *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int main(int argc, char **argv)
{
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-bulk", NULL, ESKER_OPEN_CREATE, &db, NULL), "open");

    /* A batch packed by hand, as docs/FORMAT.md describes it: no batch handle, one call. */
    static const unsigned char batch[] = {
        1, 0, 0, 0, 3, 0, 0, 0,                                   /* version 1, three operations */
        1, 0, 5, 'a', 'p', 'p', 'l', 'e', 3, 'r', 'e', 'd',       /* put, keyspace 0, "apple", "red" */
        1, 0, 4, 'l', 'i', 'm', 'e', 5, 'g', 'r', 'e', 'e', 'n',  /* put, keyspace 0, "lime", "green" */
        1, 0, 4, 'p', 'l', 'u', 'm', 4, 'b', 'l', 'u', 'e',       /* put, keyspace 0, "plum", "blue" */
    };
    check(esker_write_bytes(db, NULL, batch, sizeof batch, NULL), "write");

    /* Many keys, one view of the database, one buffer. */
    const esker_slice keys[] = {{"plum", 4}, {"pear", 4}, {"apple", 5}};
    esker_get_result results[3];
    char values[64];
    check(esker_multi_get(db, NULL, 3, keys, values, sizeof values, results), "multi_get");
    for (int i = 0; i < 3; i++) {
        int found = results[i].status == ESKER_OK;
        printf("%s: %.*s\n", (const char *)keys[i].data, found ? (int)results[i].size : 4,
               found ? values + results[i].offset : "none");
    }

    /* All rows, as many per call as the buffer holds: length, length, key, value, and again. This one is
     * small, so that two calls are needed. */
    unsigned char buf[48];
    esker_chunk chunk = {0};
    chunk.struct_size = sizeof chunk;
    chunk.layout = ESKER_LAYOUT_PACKED;
    chunk.buf = buf;
    chunk.cap = sizeof buf;
    esker_slice resume = {NULL, 0};
    esker_status status;
    do {
        status = esker_scan(db, NULL, &chunk, &resume);
        check(status, "scan");
        printf("%d rows, %s\n", (int)chunk.rows, esker_status_name(status));
        for (size_t at = 0; at < chunk.used;) {
            uint32_t klen = u32(buf + at), vlen = u32(buf + at + 4);
            printf("  %.*s %.*s\n", (int)klen, buf + at + 8, (int)vlen, buf + at + 8 + klen);
            at += 8 + (size_t)klen + vlen;
        }
    } while (status == ESKER_OK);

    check(esker_close(db, 0, NULL), "close");
    return 0;
}

/* Prints:
 * plum: blue
 * pear: none
 * apple: red
 * 2 rows, ESKER_OK
 *   apple red
 *   lime green
 * 1 rows, ESKER_DONE
 *   plum blue
 */
