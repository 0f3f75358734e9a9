/* Three Rust libraries in one C program: esker and `first`, cleaned by scripts/clean-archive.sh, and `second`
 * as rustc wrote it. Each must work, and a panic in one must be caught by the one that panics. */
#include <esker.h>
#include <stdio.h>
#include <string.h>

int first_panics(void);
int second_panics(void);

static int esker_works(const char *directory)
{
    esker_db *db;
    esker_error err = {0};
    char value[8];
    size_t size = 0;
    err.struct_size = sizeof err;
    if (esker_abi_check(ESKER_ABI, ESKER_VERSION) != ESKER_OK)
        return 0;
    if (esker_open(directory, NULL, ESKER_OPEN_CREATE, &db, &err) != ESKER_OK) {
        fprintf(stderr, "open: %s\n", err.message);
        return 0;
    }
    return esker_put(db, NULL, "key", 3, "value", 5) == ESKER_OK && esker_flush(db, &err) == ESKER_OK &&
           esker_get(db, NULL, "key", 3, value, sizeof value, &size) == ESKER_OK && size == 5 &&
           memcmp(value, "value", 5) == 0 && esker_close(db, 0, &err) == ESKER_OK;
}

#ifdef FORCED_PANIC
/* This archive was built with the feature forced_panic: the panic must come back as a status, reads must go
 * on, writes must be refused, and another database must not notice. */
static int esker_contains_its_panic(const char *directory)
{
    esker_db *db;
    esker_error err = {0};
    char text[8], value[8];
    size_t need = 0, size = 0;
    int good;
    err.struct_size = sizeof err;
    if (esker_open(directory, NULL, ESKER_OPEN_CREATE, &db, &err) != ESKER_OK ||
        esker_put(db, NULL, "key", 3, "value", 5) != ESKER_OK)
        return 0;
    good = esker_property(db, "test.panic", text, sizeof text, &need) == ESKER_PANIC &&
           esker_get(db, NULL, "key", 3, value, sizeof value, &size) == ESKER_OK && size == 5 &&
           esker_put(db, NULL, "key", 3, "other", 5) == ESKER_POISONED &&
           esker_last_error(db, &err) == ESKER_OK && err.status == ESKER_POISONED;
    return esker_close(db, 0, &err) == ESKER_OK && good;
}
#else
static int esker_contains_its_panic(const char *directory)
{
    (void)directory;
    return 1;
}
#endif

int main(int argc, char **argv)
{
    int before = argc > 1 && esker_works(argv[1]);
    int contained = argc > 1 && esker_contains_its_panic(argv[1]);
    int first = first_panics(), second = second_panics();
    int after = argc > 1 && esker_works(argv[1]);
    printf("esker %d, its panic %d, first %d, second %d, esker again %d\n", before, contained, first, second,
           after);
    return before == 1 && contained == 1 && first == 42 && second == 42 && after == 1 ? 0 : 1;
}
