/* iterate: walk over keys in order, forwards, backwards, from a place, within a range.
 *
 *   iterate [DIRECTORY]
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

/* An iterator has one row, at one address for its whole life; every move rewrites it. */
static void print_row(const esker_row *row)
{
    printf(" %.*s=%.*s", (int)row->key_len, (const char *)row->key, (int)row->value_len, (const char *)row->value);
}

static esker_slice bytes(const char *text)
{
    esker_slice slice = {text, strlen(text)};
    return slice;
}

int main(int argc, char **argv)
{
    static const char *const fruits[][2] = {{"apple", "red"},   {"apricot", "orange"}, {"banana", "yellow"},
                                            {"cherry", "dark"}, {"date", "brown"}};
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-iterate", NULL, ESKER_OPEN_CREATE, &db, NULL), "open");
    for (size_t i = 0; i < sizeof fruits / sizeof fruits[0]; i++)
        check(esker_put(db, NULL, fruits[i][0], strlen(fruits[i][0]), fruits[i][1], strlen(fruits[i][1])), "put");

    /* A fresh iterator stands before the first row; it sees the database as it was when it was made. */
    esker_iter *iter;
    const esker_row *row;
    esker_status status;
    check(esker_iter_new(db, NULL, &iter), "iterator");
    check(esker_iter_row(iter, &row), "row");

    printf("forwards:");
    while ((status = esker_iter_next(iter)) == ESKER_OK)
        print_row(row);
    check(status, "next"); /* ESKER_DONE at the end; an error would be below 0 */

    printf("\nbackwards:");
    while ((status = esker_iter_prev(iter)) == ESKER_OK)
        print_row(row);
    check(status, "prev");

    printf("\nfrom b:");
    for (status = esker_iter_seek(iter, ESKER_SEEK_GE, "b", 1); status == ESKER_OK; status = esker_iter_next(iter))
        print_row(row);
    check(status, "seek");
    check(esker_iter_free(iter), "free");

    /* Bounds and prefixes are given when the iterator is made. `lower` is inside the range, `upper` outside. */
    esker_read_opts options = {0};
    options.struct_size = sizeof options;
    options.prefix = bytes("ap");
    check(esker_iter_new(db, &options, &iter), "iterator");
    check(esker_iter_row(iter, &row), "row");
    printf("\nap...:");
    while ((status = esker_iter_next(iter)) == ESKER_OK)
        print_row(row);
    check(status, "next");
    check(esker_iter_free(iter), "free");

    memset(&options.prefix, 0, sizeof options.prefix);
    options.lower = bytes("banana");
    options.upper = bytes("date");
    check(esker_iter_new(db, &options, &iter), "iterator");
    check(esker_iter_row(iter, &row), "row");
    printf("\nbanana up to date:");
    while ((status = esker_iter_next(iter)) == ESKER_OK)
        print_row(row);
    printf("\n");
    check(status, "next");
    check(esker_iter_free(iter), "free");
    check(esker_close(db, 0, NULL), "close");
    return 0;
}

/* Prints:
 * forwards: apple=red apricot=orange banana=yellow cherry=dark date=brown
 * backwards: date=brown cherry=dark banana=yellow apricot=orange apple=red
 * from b: banana=yellow cherry=dark date=brown
 * ap...: apple=red apricot=orange
 * banana up to date: banana=yellow cherry=dark
 */
