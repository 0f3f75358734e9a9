/* What programs may rely on in LevelDB's C interface. The same binary runs on LevelDB itself, which is the oracle,
 * and on libesker_leveldb; what LevelDB leaves undefined (it asserts, or reads freed memory) is not here. */
#include "check.h"

#include <limits.h>
#include <stdint.h>

static leveldb_readoptions_t *reading;
static leveldb_writeoptions_t *writing;
static char *error;

static void put(leveldb_t *db, const char *key, size_t klen, const char *value, size_t vlen)
{
    leveldb_put(db, writing, key, klen, value, vlen, &error);
    CHECK(succeeds(&error));
}

/* Whether a key has this value; value NULL: whether it is absent. */
static int has(leveldb_t *db, const char *key, size_t klen, const char *value, size_t vlen)
{
    size_t size = 12345;
    char *found = leveldb_get(db, reading, key, klen, &size, &error);
    int right = succeeds(&error) &&
                (value == NULL ? found == NULL && size == 0
                               : found != NULL && size == vlen && memcmp(found, value, vlen) == 0);
    free(found);
    return right;
}

/* Whether an iterator stands on this row. */
static int on(const leveldb_iterator_t *iter, const char *key, const char *value)
{
    size_t klen, vlen;
    if (!leveldb_iter_valid(iter))
        return 0;
    const char *k = leveldb_iter_key(iter, &klen), *v = leveldb_iter_value(iter, &vlen);
    return klen == strlen(key) && memcmp(k, key, klen) == 0 && vlen == strlen(value) && memcmp(v, value, vlen) == 0;
}

static leveldb_options_t *creating(void)
{
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    return options;
}

static leveldb_t *open_at(const char *directory, const char *name)
{
    char path[4096];
    leveldb_options_t *options = creating();
    snprintf(path, sizeof path, "%s/%s", directory, name);
    leveldb_t *db = leveldb_open(options, path, &error);
    if (db == NULL) {
        fprintf(stderr, "%s: %s\n", path, error);
        exit(1);
    }
    leveldb_options_destroy(options); /* May go at once. */
    return db;
}

static void values(const char *directory)
{
    leveldb_t *db = open_at(directory, "values");
    CHECK(has(db, "absent", 6, NULL, 0));
    put(db, "empty", 5, "", 0);
    CHECK(has(db, "empty", 5, "", 0)); /* Not NULL. */
    put(db, "", 0, "of the empty key", 16);
    CHECK(has(db, "", 0, "of the empty key", 16));
    put(db, "a\0b", 3, "\0\xff\0", 3);
    CHECK(has(db, "a\0b", 3, "\0\xff\0", 3));
    CHECK(has(db, "a", 1, NULL, 0));
    CHECK(has(db, "a\0c", 3, NULL, 0));
    size_t big = 3 << 20;
    char *value = malloc(big);
    for (size_t i = 0; i < big; i++)
        value[i] = (char)(i * 7 >> 3);
    put(db, "big", 3, value, big);
    CHECK(has(db, "big", 3, value, big));
    free(value);
    put(db, "empty", 5, "no longer", 9);
    CHECK(has(db, "empty", 5, "no longer", 9));
    leveldb_delete(db, writing, "empty", 5, &error);
    CHECK(succeeds(&error));
    CHECK(has(db, "empty", 5, NULL, 0));
    leveldb_delete(db, writing, "never there", 11, &error);
    CHECK(succeeds(&error));
    leveldb_writeoptions_set_sync(writing, 1);
    put(db, "synced", 6, "1", 1);
    leveldb_writeoptions_set_sync(writing, 0);
    leveldb_close(db);
    db = open_at(directory, "values");
    CHECK(has(db, "", 0, "of the empty key", 16));
    CHECK(has(db, "a\0b", 3, "\0\xff\0", 3));
    CHECK(has(db, "empty", 5, NULL, 0));
    CHECK(has(db, "synced", 6, "1", 1));
    leveldb_close(db);
}

static void opening(const char *directory)
{
    char path[4096], deep[4200];
    snprintf(path, sizeof path, "%s/opening", directory);
    leveldb_options_t *options = leveldb_options_create();
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(error != NULL && strstr(error, "does not exist (create_if_missing is false)") != NULL);
    /* An old error is freed and replaced. */
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_set_error_if_exists(options, 1);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_t *db = leveldb_open(options, path, &error);
    CHECK(db != NULL && succeeds(&error));
    /* Success leaves the slot alone. */
    error = malloc(4);
    memcpy(error, "old", 4);
    leveldb_put(db, writing, "k", 1, "v", 1, &error);
    CHECK(error != NULL && strcmp(error, "old") == 0);
    free(error);
    error = NULL;
    /* A second opener. */
    leveldb_options_set_error_if_exists(options, 0);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(error != NULL && strstr(error, "lock") != NULL);
    CHECK(fails_with(&error, "IO error: "));
    leveldb_destroy_db(options, path, &error);
    CHECK(fails_with(&error, "IO error: "));
    leveldb_close(db);
    leveldb_options_set_error_if_exists(options, 1);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(error != NULL && strstr(error, "exists (error_if_exists is true)") != NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_set_create_if_missing(options, 0);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_set_error_if_exists(options, 0);
    leveldb_repair_db(options, path, &error);
    CHECK(succeeds(&error));
    db = leveldb_open(options, path, &error);
    CHECK(db != NULL && succeeds(&error));
    CHECK(has(db, "k", 1, "v", 1));
    leveldb_close(db);
    leveldb_destroy_db(options, path, &error);
    CHECK(succeeds(&error));
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_destroy_db(options, path, &error); /* Of nothing: not an error. */
    CHECK(succeeds(&error));
    snprintf(deep, sizeof deep, "%s/no/such/parent", directory);
    leveldb_options_set_create_if_missing(options, 1);
    CHECK(leveldb_open(options, deep, &error) == NULL);
    CHECK(error != NULL);
    free(error);
    error = NULL;
    leveldb_options_destroy(options);
}

static void fill(leveldb_t *db, int from, int to)
{
    char key[32], value[100];
    memset(value, 'v', sizeof value);
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, "key%08d", i);
        leveldb_put(db, writing, key, strlen(key), value, sizeof value, &error);
        if (error != NULL)
            break;
    }
    CHECK(succeeds(&error));
}

static int count(leveldb_t *db)
{
    int rows = 0;
    leveldb_iterator_t *iter = leveldb_create_iterator(db, reading);
    for (leveldb_iter_seek_to_first(iter); leveldb_iter_valid(iter); leveldb_iter_next(iter))
        rows++;
    leveldb_iter_get_error(iter, &error);
    CHECK(succeeds(&error));
    leveldb_iter_destroy(iter);
    return rows;
}

/* Every clamped setting at both ends: the database opens, keeps its data and opens again. */
static void clamps(const char *directory)
{
    static const size_t sizes[] = {0, 1, SIZE_MAX};
    static const int files[] = {INT_MIN, 0, INT_MAX};
    char path[4096];
    for (int i = 0; i < 3; i++) {
        leveldb_options_t *options = creating();
        leveldb_options_set_write_buffer_size(options, i == 2 ? (size_t)1 << 40 : sizes[i]);
        leveldb_options_set_max_file_size(options, sizes[i]);
        leveldb_options_set_block_size(options, sizes[i]);
        leveldb_options_set_max_open_files(options, files[i]);
        leveldb_options_set_paranoid_checks(options, 1);
        leveldb_options_set_compression(options, i % 2);
        snprintf(path, sizeof path, "%s/clamp%d", directory, i);
        for (int life = 0; life < 2; life++) {
            leveldb_t *db = leveldb_open(options, path, &error);
            CHECK(db != NULL && succeeds(&error));
            fill(db, life * 2000, life * 2000 + 2000);
            CHECK(count(db) == life * 2000 + 2000);
            leveldb_close(db);
        }
        leveldb_options_destroy(options);
    }
}

static int files(leveldb_t *db)
{
    int all = 0;
    for (int level = 0; level < 7; level++) {
        char name[64];
        snprintf(name, sizeof name, "leveldb.num-files-at-level%d", level);
        char *text = leveldb_property_value(db, name);
        CHECK(text != NULL);
        all += text == NULL ? 0 : atoi(text);
        free(text);
    }
    return all;
}

/* Where the clamps lie, as far as the interface shows: in the number of tables. */
static void clamps_seen(const char *directory)
{
    char path[4096], key[32], value[1000];
    int tables[2];
    for (int i = 0; i < 2; i++) {
        leveldb_options_t *options = creating();
        leveldb_options_set_write_buffer_size(options, 0);
        leveldb_options_set_max_file_size(options, i == 0 ? 0 : SIZE_MAX);
        leveldb_options_set_compression(options, leveldb_no_compression);
        snprintf(path, sizeof path, "%s/seen%d", directory, i);
        leveldb_t *db = leveldb_open(options, path, &error);
        CHECK(db != NULL && succeeds(&error));
        fill(db, 0, 100); /* 11 KB: less than the least write buffer, 64 KiB. */
        CHECK(files(db) == 0);
        uint32_t noise = 1;
        for (int row = 0; row < 5000; row++) { /* 5 MB, all over the range. */
            for (size_t at = 0; at < sizeof value; at++)
                value[at] = (char)((noise = noise * 1664525 + 1013904223) >> 24);
            snprintf(key, sizeof key, "key%08d", row * 1237 % 5000);
            leveldb_put(db, writing, key, strlen(key), value, sizeof value, &error);
            if (error != NULL)
                break;
        }
        CHECK(succeeds(&error));
        CHECK(files(db) > 0);
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        tables[i] = files(db);
        CHECK(count(db) == 5000);
        leveldb_close(db);
        leveldb_options_destroy(options);
    }
    printf("tables: %d of 1 MiB, %d of 1 GiB\n", tables[0], tables[1]);
    CHECK(tables[0] >= 3 && tables[0] <= 12);
    CHECK(tables[1] >= 1 && tables[1] <= tables[0]);
}

static void snapshots(const char *directory)
{
    leveldb_t *db = open_at(directory, "snapshots");
    fill(db, 0, 1000);
    put(db, "a", 1, "old", 3);
    const leveldb_snapshot_t *snapshot = leveldb_create_snapshot(db);
    put(db, "a", 1, "new", 3);
    leveldb_delete(db, writing, "key00000500", 11, &error);
    CHECK(succeeds(&error));
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    CHECK(has(db, "a", 1, "new", 3));
    CHECK(has(db, "key00000500", 11, NULL, 0));
    CHECK(count(db) == 1000);
    leveldb_readoptions_set_snapshot(reading, snapshot);
    CHECK(has(db, "a", 1, "old", 3));
    CHECK(!has(db, "key00000500", 11, NULL, 0));
    CHECK(count(db) == 1001);
    leveldb_iterator_t *iter = leveldb_create_iterator(db, reading);
    leveldb_readoptions_set_snapshot(reading, NULL);
    leveldb_iter_seek(iter, "a", 1);
    CHECK(on(iter, "a", "old"));
    leveldb_iter_destroy(iter);
    leveldb_release_snapshot(db, snapshot);
    CHECK(has(db, "a", 1, "new", 3));
    leveldb_close(db);
}

static void iterators(const char *directory)
{
    leveldb_t *db = open_at(directory, "iterators");
    leveldb_iterator_t *iter = leveldb_create_iterator(db, reading);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek_to_first(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek_to_last(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_get_error(iter, &error);
    CHECK(succeeds(&error));
    put(db, "b", 1, "2", 1);
    put(db, "d", 1, "4", 1);
    put(db, "c", 1, "", 0);
    leveldb_iter_seek_to_first(iter);
    CHECK(!leveldb_iter_valid(iter)); /* Its view is older. */
    leveldb_iter_destroy(iter);
    iter = leveldb_create_iterator(db, reading);
    leveldb_iter_seek_to_first(iter);
    CHECK(on(iter, "b", "2"));
    leveldb_iter_next(iter);
    CHECK(on(iter, "c", ""));
    leveldb_iter_prev(iter);
    CHECK(on(iter, "b", "2"));
    leveldb_iter_prev(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek_to_last(iter);
    CHECK(on(iter, "d", "4"));
    leveldb_iter_next(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek(iter, "", 0);
    CHECK(on(iter, "b", "2"));
    leveldb_iter_seek(iter, "bb", 2);
    CHECK(on(iter, "c", ""));
    leveldb_iter_seek(iter, "d", 1);
    CHECK(on(iter, "d", "4"));
    leveldb_iter_seek(iter, "dd", 2);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek_to_first(iter);
    CHECK(on(iter, "b", "2"));
    leveldb_iter_get_error(iter, &error);
    CHECK(succeeds(&error));
    leveldb_iter_destroy(iter);
    leveldb_close(db);
}

typedef struct log {
    char text[64];
    size_t used;
} log;

static void logged(log *log, char kind, const char *key, size_t klen, const char *value, size_t vlen)
{
    log->used += (size_t)snprintf(log->text + log->used, sizeof log->text - log->used, "%c%.*s=%.*s;", kind, (int)klen,
                                  key, (int)vlen, value);
}

static void log_put(void *state, const char *key, size_t klen, const char *value, size_t vlen)
{
    logged(state, '+', key, klen, value, vlen);
}

static void log_delete(void *state, const char *key, size_t klen)
{
    logged(state, '-', key, klen, "", 0);
}

static void batches(const char *directory)
{
    leveldb_t *db = open_at(directory, "batches");
    leveldb_writebatch_t *batch = leveldb_writebatch_create(), *more = leveldb_writebatch_create();
    leveldb_write(db, writing, batch, &error); /* Empty. */
    CHECK(succeeds(&error));
    leveldb_writebatch_put(batch, "x", 1, "1", 1);
    leveldb_writebatch_put(batch, "y", 1, "", 0);
    leveldb_writebatch_put(more, "z", 1, "3", 1);
    leveldb_writebatch_delete(more, "x", 1);
    leveldb_writebatch_append(batch, more);
    log all = {{0}, 0}, source = {{0}, 0}, none = {{0}, 0};
    leveldb_writebatch_iterate(batch, &all, log_put, log_delete);
    CHECK(strcmp(all.text, "+x=1;+y=;+z=3;-x=;") == 0);
    leveldb_writebatch_iterate(more, &source, log_put, log_delete);
    CHECK(strcmp(source.text, "+z=3;-x=;") == 0);
    leveldb_write(db, writing, batch, &error);
    CHECK(succeeds(&error));
    CHECK(has(db, "x", 1, NULL, 0));
    CHECK(has(db, "y", 1, "", 0));
    CHECK(has(db, "z", 1, "3", 1));
    leveldb_delete(db, writing, "z", 1, &error);
    CHECK(succeeds(&error));
    leveldb_write(db, writing, batch, &error); /* Once more. */
    CHECK(succeeds(&error));
    CHECK(has(db, "z", 1, "3", 1));
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_iterate(batch, &none, log_put, log_delete);
    CHECK(none.used == 0);
    leveldb_writebatch_destroy(more);
    leveldb_writebatch_destroy(batch);
    leveldb_close(db);
}

static int destroyed;

static void comparator_destroyed(void *state)
{
    (void)state;
    destroyed++;
}

static int backwards(void *state, const char *a, size_t alen, const char *b, size_t blen)
{
    (void)state;
    int order = memcmp(b, a, alen < blen ? alen : blen);
    return order != 0 ? order : (alen < blen) - (alen > blen);
}

static const char *comparator_name(void *state)
{
    return state;
}

static void comparators(const char *directory)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/comparators", directory);
    leveldb_comparator_t *one = leveldb_comparator_create("test.Backwards", comparator_destroyed, backwards, comparator_name);
    leveldb_comparator_t *other = leveldb_comparator_create("test.Other", comparator_destroyed, backwards, comparator_name);
    leveldb_options_t *options = creating();
    leveldb_options_set_comparator(options, one);
    leveldb_t *db = leveldb_open(options, path, &error);
    CHECK(db != NULL && succeeds(&error));
    fill(db, 0, 3000);
    put(db, "a", 1, "1", 1);
    put(db, "b", 1, "2", 1);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_iterator_t *iter = leveldb_create_iterator(db, reading);
    leveldb_iter_seek_to_last(iter);
    CHECK(on(iter, "a", "1"));
    leveldb_iter_prev(iter);
    CHECK(on(iter, "b", "2"));
    leveldb_iter_seek(iter, "aa", 2);
    CHECK(on(iter, "a", "1"));
    leveldb_iter_destroy(iter);
    CHECK(has(db, "key00001234", 11, NULL, 0) == 0);
    CHECK(count(db) == 3002);
    leveldb_close(db);
    leveldb_options_set_comparator(options, other);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_set_comparator(options, one);
    db = leveldb_open(options, path, &error);
    CHECK(db != NULL && succeeds(&error));
    CHECK(count(db) == 3002);
    leveldb_close(db);
    /* A name may be long, and no text. */
    char name[300];
    for (size_t i = 0; i < sizeof name - 1; i++)
        name[i] = (char)(255 - i % 7);
    name[sizeof name - 1] = '\0';
    leveldb_comparator_t *odd = leveldb_comparator_create(name, comparator_destroyed, backwards, comparator_name);
    snprintf(path, sizeof path, "%s/odd name", directory);
    leveldb_options_set_comparator(options, odd);
    for (int life = 0; life < 2; life++) {
        db = leveldb_open(options, path, &error);
        CHECK(db != NULL && succeeds(&error));
        leveldb_close(db);
    }
    name[sizeof name - 2] = 'x';
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_destroy(options);
    CHECK(destroyed == 0);
    leveldb_comparator_destroy(one);
    CHECK(destroyed == 1);
    leveldb_comparator_destroy(other);
    CHECK(destroyed == 2);
    leveldb_comparator_destroy(odd);
    CHECK(destroyed == 3);
}

static int property_is_number(leveldb_t *db, const char *name)
{
    char *text = leveldb_property_value(db, name), *end = NULL;
    int right = text != NULL && *text != '\0' && (strtoull(text, &end, 10), *end == '\0');
    free(text);
    return right;
}

static int property_is_there(leveldb_t *db, const char *name)
{
    char *text = leveldb_property_value(db, name);
    free(text);
    return text != NULL;
}

static void properties(const char *directory)
{
    leveldb_t *db = open_at(directory, "properties");
    fill(db, 0, 50000);
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    CHECK(property_is_number(db, "leveldb.num-files-at-level0"));
    CHECK(property_is_number(db, "leveldb.num-files-at-level6"));
    CHECK(!property_is_there(db, "leveldb.num-files-at-level7"));
    CHECK(!property_is_there(db, "leveldb.num-files-at-level"));
    CHECK(!property_is_there(db, "leveldb.num-files-at-levelx"));
    CHECK(!property_is_there(db, "leveldb."));
    CHECK(!property_is_there(db, "stats"));
    CHECK(!property_is_there(db, ""));
    CHECK(property_is_there(db, "leveldb.stats"));
    CHECK(property_is_there(db, "leveldb.sstables"));
    CHECK(property_is_number(db, "leveldb.approximate-memory-usage"));
    const char *start[] = {"key00000000", "key00025000", "x"}, *limit[] = {"key00025000", "key00050000", "z"};
    size_t starts[] = {11, 11, 1}, limits[] = {11, 11, 1};
    uint64_t sizes[3] = {1, 1, 1};
    leveldb_approximate_sizes(db, 3, start, starts, limit, limits, sizes);
    CHECK(sizes[0] > 0);
    CHECK(sizes[1] > 0);
    CHECK(sizes[2] == 0);
    leveldb_close(db);
}

/* One cache for two databases, filters of both kinds, both destroyed as early as LevelDB allows. */
static void sharing(const char *directory)
{
    char path[4096];
    leveldb_t *db[2];
    leveldb_cache_t *cache = leveldb_cache_create_lru(1 << 20);
    leveldb_filterpolicy_t *bloom = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_t *options = creating();
    leveldb_options_set_cache(options, cache);
    leveldb_options_set_filter_policy(options, bloom);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/sharing%d", directory, i);
        db[i] = leveldb_open(options, path, &error);
        CHECK(db[i] != NULL && succeeds(&error));
        fill(db[i], i, 5000);
        leveldb_compact_range(db[i], "key00000000", 11, "key00005000", 11);
    }
    leveldb_options_destroy(options);
    for (int i = 0; i < 2; i++) {
        CHECK(count(db[i]) == 5000 - i);
        CHECK(has(db[i], "key00000000", 11, NULL, 0) == i);
    }
    leveldb_close(db[0]);
    CHECK(count(db[1]) == 4999);
    leveldb_close(db[1]);
    leveldb_cache_destroy(cache);
    leveldb_filterpolicy_destroy(bloom);
    CHECK(leveldb_major_version() == 1);
    CHECK(leveldb_minor_version() >= 20);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: contract DIRECTORY\n");
        return 2;
    }
    reading = leveldb_readoptions_create();
    writing = leveldb_writeoptions_create();
    values(argv[1]);
    opening(argv[1]);
    clamps(argv[1]);
    clamps_seen(argv[1]);
    snapshots(argv[1]);
    iterators(argv[1]);
    batches(argv[1]);
    comparators(argv[1]);
    properties(argv[1]);
    sharing(argv[1]);
    leveldb_readoptions_destroy(reading);
    leveldb_writeoptions_destroy(writing);
    return finish();
}
