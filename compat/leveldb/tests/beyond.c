/* What libesker_leveldb answers where LevelDB is undefined or different.
 *
 *   beyond DIRECTORY              rules of our own
 *   beyond make DIRECTORY         makes a database, with whichever library is underneath
 *   beyond refuse DIRECTORY       every function that takes a directory refuses that one with Invalid argument */
#include "check.h"

static char *error;

static leveldb_t *opened(const char *path)
{
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_t *db = leveldb_open(options, path, &error);
    leveldb_options_destroy(options);
    if (db == NULL) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    return db;
}

static void make(const char *path)
{
    char key[32], value[1000];
    memset(value, 'x', sizeof value);
    leveldb_writeoptions_t *writing = leveldb_writeoptions_create();
    leveldb_t *db = opened(path);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "%08d", i);
        leveldb_put(db, writing, key, strlen(key), value, sizeof value, &error);
        CHECK(succeeds(&error));
    }
    leveldb_close(db);
    leveldb_writeoptions_destroy(writing);
}

static void refuse(const char *path)
{
    leveldb_options_t *options = leveldb_options_create();
    for (int create = 0; create < 2; create++) {
        for (int exclusive = 0; exclusive < 2; exclusive++) {
            leveldb_options_set_create_if_missing(options, (unsigned char)create);
            leveldb_options_set_error_if_exists(options, (unsigned char)exclusive);
            CHECK(leveldb_open(options, path, &error) == NULL);
            CHECK(error != NULL && strstr(error, "LevelDB") != NULL);
            CHECK(fails_with(&error, "Invalid argument: "));
        }
    }
    leveldb_repair_db(options, path, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_destroy_db(options, path, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_destroy(options);
}

static int destroyed;

static void count_destroyed(void *state)
{
    (void)state;
    destroyed++;
}

static int bytewise(void *state, const char *a, size_t alen, const char *b, size_t blen)
{
    (void)state;
    int order = memcmp(a, b, alen < blen ? alen : blen);
    return order != 0 ? order : (alen > blen) - (alen < blen);
}

static const char *name(void *state)
{
    (void)state;
    return "test.Bytes";
}

static void rules(const char *directory)
{
    char path[4096], *big = calloc(1, 65536);
    size_t size;
    leveldb_readoptions_t *reading = leveldb_readoptions_create();
    leveldb_writeoptions_t *writing = leveldb_writeoptions_create();
    snprintf(path, sizeof path, "%s/rules", directory);

    /* A key over esker's limit is an error, in a batch at the latest when that is written. */
    leveldb_t *db = opened(path);
    leveldb_put(db, writing, big, 65536, "", 0, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_put(db, writing, big, 65535, "", 0, &error);
    CHECK(succeeds(&error));
    leveldb_writebatch_t *batch = leveldb_writebatch_create(), *good = leveldb_writebatch_create();
    leveldb_writebatch_put(batch, "in the batch", 12, "", 0);
    leveldb_writebatch_put(batch, big, 65536, "", 0);
    leveldb_writebatch_put(good, "good", 4, "", 0);
    leveldb_writebatch_append(good, batch);
    leveldb_write(db, writing, batch, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_write(db, writing, good, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    CHECK(leveldb_get(db, reading, "in the batch", 12, &size, &error) == NULL && succeeds(&error));
    leveldb_writebatch_clear(batch);
    leveldb_write(db, writing, batch, &error);
    CHECK(succeeds(&error));
    leveldb_writebatch_destroy(batch);
    leveldb_writebatch_destroy(good);

    /* Children that outlive their database answer with errors, and may be given up. */
    const leveldb_snapshot_t *snapshot = leveldb_create_snapshot(db);
    leveldb_iterator_t *iter = leveldb_create_iterator(db, reading);
    leveldb_iter_seek_to_first(iter);
    CHECK(leveldb_iter_valid(iter));
    leveldb_close(db);
    leveldb_iter_next(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_get_error(iter, &error);
    CHECK(fails_with(&error, "IO error: "));
    CHECK(leveldb_iter_key(iter, &size) == NULL && size == 0);
    leveldb_iter_destroy(iter);
    leveldb_release_snapshot(NULL, snapshot);

    /* Moves of an iterator that stands nowhere do nothing. */
    db = opened(path);
    iter = leveldb_create_iterator(db, reading);
    leveldb_iter_next(iter);
    leveldb_iter_prev(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_seek_to_last(iter);
    leveldb_iter_next(iter);
    leveldb_iter_prev(iter);
    CHECK(!leveldb_iter_valid(iter));
    leveldb_iter_destroy(iter);

    /* A snapshot that has been released is not read. */
    snapshot = leveldb_create_snapshot(db);
    leveldb_readoptions_set_snapshot(reading, snapshot);
    leveldb_release_snapshot(db, snapshot);
    CHECK(leveldb_get(db, reading, "good", 4, &size, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));

    /* Nor is the latest in place of one that could not be made. */
    snapshot = leveldb_create_snapshot(NULL);
    CHECK(snapshot != NULL);
    leveldb_readoptions_set_snapshot(reading, snapshot);
    CHECK(leveldb_get(db, reading, "good", 4, &size, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_release_snapshot(db, snapshot);
    leveldb_readoptions_set_snapshot(reading, NULL);
    leveldb_close(db);

    /* A comparator that its owner destroys too early keeps working until the database is closed. */
    snprintf(path, sizeof path, "%s/comparator", directory);
    leveldb_comparator_t *comparator = leveldb_comparator_create(NULL, count_destroyed, bytewise, name);
    leveldb_options_t *options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_comparator(options, comparator);
    db = leveldb_open(options, path, &error);
    CHECK(db != NULL && succeeds(&error));
    leveldb_comparator_destroy(comparator);
    CHECK(destroyed == 0);
    leveldb_put(db, writing, "a", 1, "1", 1, &error);
    leveldb_put(db, writing, "b", 1, "1", 1, &error);
    CHECK(succeeds(&error));
    leveldb_close(db);
    CHECK(destroyed == 1);
    CHECK(leveldb_open(options, path, &error) == NULL);
    CHECK(error != NULL && strstr(error, "comparator has been destroyed") != NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_options_destroy(options);

    /* A filter policy of the caller's may go while the database is open; its destructor runs at once. */
    leveldb_filterpolicy_t *policy = leveldb_filterpolicy_create(NULL, count_destroyed, NULL, NULL, name);
    leveldb_filterpolicy_destroy(policy);
    CHECK(destroyed == 2);

    /* NULL is an error or nothing. */
    CHECK(leveldb_open(NULL, path, &error) == NULL);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_put(NULL, writing, "a", 1, "", 0, &error);
    CHECK(fails_with(&error, "Invalid argument: "));
    leveldb_put(NULL, NULL, "a", 1, "", 0, NULL);
    CHECK(leveldb_property_value(NULL, "leveldb.stats") == NULL);
    leveldb_close(NULL);
    leveldb_iter_destroy(NULL);
    leveldb_comparator_destroy(NULL);
    leveldb_readoptions_destroy(reading);
    leveldb_writeoptions_destroy(writing);
    free(big);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "make") == 0)
        make(argv[2]);
    else if (argc == 3 && strcmp(argv[1], "refuse") == 0)
        refuse(argv[2]);
    else if (argc == 2)
        rules(argv[1]);
    else
        return 2;
    return finish();
}
