/* comparator: keys in an order of the program's own, here versions: "1.9" comes before "1.10".
 *
 *   comparator [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(esker_status status, const esker_error *error, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, error != NULL ? error->message : esker_status_text(status));
        exit(1);
    }
}

/* Takes a number off the front of a key; what is not a digit counts by its byte, above all numbers. */
static uint64_t part(const unsigned char **at, const unsigned char *end)
{
    uint64_t number = 0;
    if (**at < '0' || **at > '9')
        return UINT64_MAX - 255 + *(*at)++;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++)
        number = number * 10 + (**at - '0');
    return number;
}

/* Any two keys must have one place, and always the same: esker calls this from many threads, in this process and
 * in every later one that opens the database. It must not call esker. */
static int32_t by_version(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len)
{
    const unsigned char *x = a, *y = b, *x_end = x + a_len, *y_end = y + b_len;
    (void)ctx;
    while (x < x_end && y < y_end) {
        uint64_t one = part(&x, x_end), two = part(&y, y_end);
        if (one != two)
            return one < two ? -1 : 1;
    }
    return x < x_end ? 1 : y < y_end ? -1 : 0;
}

int main(int argc, char **argv)
{
    static const char *versions[] = {"1.10", "1.9", "2.0", "1.10.1", "1.09", "10.0"};
    esker_error error = {0};
    error.struct_size = sizeof error;

    /* The name is stored with the database. Not EXACT: "1.9" and "1.09" compare equal but are different bytes. */
    esker_comparator order = {0};
    order.struct_size = sizeof order;
    order.name = "example.by_version";
    order.compare = by_version;

    esker_options *options;
    check(esker_options_new(&options), NULL, "options");
    check(esker_options_set_object(options, ESKER_OPT_COMPARATOR_CUSTOM, &order, &error), &error, "comparator");

    esker_db *db;
    const char *path = argc > 1 ? argv[1] : "/tmp/esker-comparator";
    check(esker_open(path, options, ESKER_OPEN_CREATE, &db, &error), &error, "open");
    check(esker_options_free(options), NULL, "free");

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
        check(esker_put(db, NULL, versions[i], strlen(versions[i]), "", 0), NULL, "put");

    esker_iter *iter;
    const esker_row *row;
    check(esker_iter_new(db, NULL, &iter), NULL, "iterator");
    check(esker_iter_row(iter, &row), NULL, "row");
    while (esker_iter_next(iter) == ESKER_OK)
        printf("%.*s\n", (int)row->key_len, (const char *)row->key);
    check(esker_iter_free(iter), NULL, "free");
    check(esker_close(db, 0, &error), &error, "close");

    /* Nobody can open it in another order by mistake. */
    if (esker_open(path, NULL, 0, &db, &error) == ESKER_COMPARATOR)
        printf("refused: another order\n");
    return 0;
}

/* Prints:
 * 1.09
 * 1.10
 * 1.10.1
 * 2.0
 * 10.0
 * refused: another order
 */
