/* batch: several writes that happen all or not at all, also when the machine fails in between.
 *
 *   batch [DIRECTORY]
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

static void print_balance(esker_db *db, const char *name)
{
    char buf[32];
    size_t size;
    esker_status status = esker_get(db, NULL, name, strlen(name), buf, sizeof buf, &size);
    check(status, "get");
    printf("%s: %.*s\n", name, status == ESKER_OK ? (int)size : 4, status == ESKER_OK ? buf : "none");
}

int main(int argc, char **argv)
{
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-batch", NULL, ESKER_OPEN_CREATE, &db, NULL), "open");
    check(esker_put(db, NULL, "alice", 5, "100", 3), "put");
    check(esker_put(db, NULL, "bob", 3, "20", 2), "put");
    check(esker_put(db, NULL, "pending", 7, "alice>bob:30", 12), "put");

    /* A batch belongs to no database and touches nothing until it is written. The keyspace NULL stands for
     * the database the batch will be written to. */
    esker_batch *transfer;
    check(esker_batch_new(&transfer), "batch");
    check(esker_batch_put(transfer, NULL, "alice", 5, "70", 2), "batch put");
    check(esker_batch_put(transfer, NULL, "bob", 3, "50", 2), "batch put");
    check(esker_batch_delete(transfer, NULL, "pending", 7), "batch delete");

    /* Its bytes are a documented format: they may be built elsewhere, sent over a wire, and taken in again.
     * Every byte is checked on the way in. */
    esker_slice bytes;
    esker_batch *received;
    check(esker_batch_bytes(transfer, &bytes), "bytes");
    check(esker_batch_new(&received), "batch");
    check(esker_batch_from_bytes(received, bytes.data, bytes.size), "from bytes");

    /* Read the operations one by one. */
    esker_batch_op op = {0};
    op.struct_size = sizeof op;
    uint64_t position = 0, count;
    esker_status status;
    while ((status = esker_batch_next(received, &position, &op)) == ESKER_OK)
        printf("%s %.*s\n", op.kind == ESKER_OP_PUT ? "put" : "delete", (int)op.key.size, (const char *)op.key.data);
    check(status, "next");
    check(esker_batch_count(received, &count), "count");
    printf("%d operations\n", (int)count);

    /* One write: no reader and no crash ever sees a part of it. SYNC makes it survive a power cut. */
    esker_write_opts options = {0};
    options.struct_size = sizeof options;
    options.durability = ESKER_DURABILITY_SYNC;
    check(esker_write(db, &options, received, NULL), "write");
    print_balance(db, "alice");
    print_balance(db, "bob");
    print_balance(db, "pending");

    check(esker_batch_free(received), "free");
    check(esker_batch_free(transfer), "free");
    check(esker_close(db, 0, NULL), "close");
    return 0;
}

/* Prints:
 * put alice
 * put bob
 * delete pending
 * 3 operations
 * alice: 70
 * bob: 50
 * pending: none
 */
