/* LevelDB as the benchmark sees it: through its C interface, with its defaults where the settings of the
 * benchmark say nothing (so blocks read from disk are not verified). */
#include "engine.h"

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
} store;

static leveldb_readoptions_t *reading;
static leveldb_writeoptions_t *buffered, *synced;

static void check(char *error, const char *what)
{
    if (error != NULL) {
        fprintf(stderr, "leveldb: %s: %s\n", what, error);
        exit(2);
    }
}

static void *ldb_open(const char *directory, const settings *settings)
{
    char *error = NULL;
    store *s = malloc(sizeof *s);
    if (s == NULL)
        abort();
    if (reading == NULL) {
        reading = leveldb_readoptions_create();
        buffered = leveldb_writeoptions_create();
        synced = leveldb_writeoptions_create();
        leveldb_writeoptions_set_sync(synced, 1);
    }
    s->options = leveldb_options_create();
    s->cache = leveldb_cache_create_lru(settings->cache_bytes);
    s->filter = leveldb_filterpolicy_create_bloom(settings->bloom_bits);
    leveldb_options_set_create_if_missing(s->options, 1);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->filter);
    leveldb_options_set_write_buffer_size(s->options, settings->write_buffer);
    leveldb_options_set_block_size(s->options, settings->block_size);
    leveldb_options_set_max_open_files(s->options, settings->open_files);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    s->db = leveldb_open(s->options, directory, &error);
    check(error, "open");
    return s;
}

static void ldb_close(void *db)
{
    store *s = db;
    leveldb_close(s->db);
    leveldb_options_destroy(s->options);
    leveldb_cache_destroy(s->cache);
    leveldb_filterpolicy_destroy(s->filter);
    free(s);
}

static void ldb_put(void *db, bytes key, bytes value, bool sync)
{
    char *error = NULL;
    leveldb_put(((store *)db)->db, sync ? synced : buffered, key.data, key.size, value.data, value.size, &error);
    check(error, "put");
}

static void ldb_remove(void *db, bytes key)
{
    char *error = NULL;
    leveldb_delete(((store *)db)->db, buffered, key.data, key.size, &error);
    check(error, "delete");
}

static bool ldb_get(void *db, bytes key)
{
    char *error = NULL;
    size_t size;
    char *value = leveldb_get(((store *)db)->db, reading, key.data, key.size, &size, &error);
    check(error, "get");
    leveldb_free(value);
    return value != NULL;
}

static void *ldb_batch_new(void)
{
    return leveldb_writebatch_create();
}

static void ldb_batch_put(void *batch, bytes key, bytes value)
{
    leveldb_writebatch_put(batch, key.data, key.size, value.data, value.size);
}

static void ldb_batch_write(void *db, void *batch)
{
    char *error = NULL;
    leveldb_write(((store *)db)->db, buffered, batch, &error);
    check(error, "write");
    leveldb_writebatch_clear(batch);
}

static void ldb_batch_free(void *batch)
{
    leveldb_writebatch_destroy(batch);
}

static void *ldb_iter_new(void *db)
{
    return leveldb_create_iterator(((store *)db)->db, reading);
}

static bool moved(leveldb_iterator_t *iter)
{
    char *error = NULL;
    if (leveldb_iter_valid(iter))
        return true;
    leveldb_iter_get_error(iter, &error);
    check(error, "move");
    return false;
}

static bool ldb_iter_first(void *iter)
{
    leveldb_iter_seek_to_first(iter);
    return moved(iter);
}

static bool ldb_iter_last(void *iter)
{
    leveldb_iter_seek_to_last(iter);
    return moved(iter);
}

static bool ldb_iter_next(void *iter)
{
    leveldb_iter_next(iter);
    return moved(iter);
}

static bool ldb_iter_prev(void *iter)
{
    leveldb_iter_prev(iter);
    return moved(iter);
}

static bool ldb_iter_seek(void *iter, bytes key)
{
    leveldb_iter_seek(iter, key.data, key.size);
    return moved(iter);
}

static void ldb_iter_row(void *iter, bytes *key, bytes *value)
{
    key->data = leveldb_iter_key(iter, &key->size);
    value->data = leveldb_iter_value(iter, &value->size);
}

static void ldb_iter_free(void *iter)
{
    leveldb_iter_destroy(iter);
}

static void ldb_compact(void *db)
{
    leveldb_compact_range(((store *)db)->db, NULL, 0, NULL, 0);
}

const engine leveldb_engine = {
    "leveldb",     ldb_open,        ldb_close,      ldb_put,      ldb_remove,     ldb_get,       ldb_batch_new,
    ldb_batch_put, ldb_batch_write, ldb_batch_free, ldb_iter_new, ldb_iter_first, ldb_iter_last, ldb_iter_next,
    ldb_iter_prev, ldb_iter_seek,   ldb_iter_row,   ldb_iter_free, ldb_compact,
};
