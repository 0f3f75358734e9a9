/* One half of a database that two machines write in turn. Round 1 writes every key, round 2 changes some and deletes
 * some; each ends with a part in tables of several levels and a part in the log.
 *
 *   exchange DIRECTORY write|check ROUND OPTIONS
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEYS = 6000, VALUE_MAX = 400 };

static esker_error err = {.struct_size = sizeof(esker_error)};

static void expect(int truth, const char *what, int key)
{
    if (!truth) {
        fprintf(stderr, "exchange: %s, key %d: %s\n", what, key, err.message);
        exit(1);
    }
}

/* The value of a key after a round, or -1 when it is deleted. Lengths differ; one part compresses, one does not. */
static int value_of(int key, int round, char *value)
{
    int changed = round == 2 && key % 5 == 0;
    if (round == 2 && key % 7 == 3)
        return -1;
    int size = key % 3 == 0 ? VALUE_MAX : key % 90;
    unsigned state = (unsigned)key * 2654435761u + (unsigned)changed;
    for (int i = 0; i < size; i++) {
        state = state * 1103515245u + 12345u;
        value[i] = (char)(key % 2 ? 'a' + changed : (int)(state >> 24));
    }
    return size;
}

static void write_round(esker_db *db, int round)
{
    char key[32], value[VALUE_MAX];
    for (int i = 0; i < KEYS; i++) {
        int length = snprintf(key, sizeof key, "key-%c-%06d", 'a' + i % 26, i), size = value_of(i, round, value);
        esker_status status = size < 0 ? esker_delete(db, NULL, key, (size_t)length)
                                       : esker_put(db, NULL, key, (size_t)length, value, (size_t)size);
        expect(status == ESKER_OK, "write", i);
        if (i == KEYS * 3 / 4)
            expect(esker_compact(db, NULL, NULL, 0, NULL, &err) == ESKER_OK, "compact", i);
    }
}

static void check_round(esker_db *db, int round)
{
    char key[32], value[VALUE_MAX], found[VALUE_MAX];
    size_t size, rows = 0, present = 0;
    for (int i = 0; i < KEYS; i++) {
        int length = snprintf(key, sizeof key, "key-%c-%06d", 'a' + i % 26, i), wanted = value_of(i, round, value);
        esker_status status = esker_get(db, NULL, key, (size_t)length, found, sizeof found, &size);
        if (wanted < 0) {
            expect(status == ESKER_NOT_FOUND, "a deleted key", i);
        } else {
            expect(status == ESKER_OK && size == (size_t)wanted && memcmp(found, value, size) == 0, "value", i);
            present++;
        }
    }
    esker_iter *iter;
    expect(esker_iter_new(db, NULL, &iter) == ESKER_OK, "iterator", 0);
    while (esker_iter_next(iter) == ESKER_OK)
        rows++;
    expect(esker_iter_free(iter) == ESKER_OK && rows == present, "number of rows", (int)rows);
}

int main(int argc, char **argv)
{
    esker_options *options;
    esker_db *db;
    if (argc != 5)
        return 2;
    int round = atoi(argv[3]);
    expect(esker_options_new(&options) == ESKER_OK, "options", 0);
    expect(esker_options_parse(options, argv[4], strlen(argv[4]), &err) == ESKER_OK, argv[4], 0);
    expect(esker_open(argv[1], options, ESKER_OPEN_CREATE, &db, &err) == ESKER_OK, "open", 0);
    (strcmp(argv[2], "write") == 0 ? write_round : check_round)(db, round);
    expect(esker_close(db, 0, &err) == ESKER_OK && esker_options_free(options) == ESKER_OK, "close", 0);
    return 0;
}
