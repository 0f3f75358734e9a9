/* RocksDB as the comparison sees it, twice: with its defaults where the settings say nothing, and tuned as its own
 * guide advises for point reads: a filter over the memtable, the hyper-clock cache, a hash index in data blocks, four
 * write buffers, two background jobs. */
#include "engine.h"

#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
} store;

static rocksdb_readoptions_t *reading;
static rocksdb_writeoptions_t *buffered, *synced;

static void check(char *error, const char *what)
{
    if (error != NULL) {
        fprintf(stderr, "rocksdb: %s: %s\n", what, error);
        exit(2);
    }
}

static void *open_with(const char *directory, const settings *settings, bool tuned)
{
    char *error = NULL;
    store *s = malloc(sizeof *s);
    if (s == NULL)
        abort();
    if (reading == NULL) {
        reading = rocksdb_readoptions_create();
        buffered = rocksdb_writeoptions_create();
        synced = rocksdb_writeoptions_create();
        rocksdb_writeoptions_set_sync(synced, 1);
    }
    s->options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    s->cache = tuned ? rocksdb_cache_create_hyper_clock(settings->cache_bytes, 0)
                     : rocksdb_cache_create_lru(settings->cache_bytes);
    rocksdb_block_based_options_set_block_cache(table, s->cache);
    rocksdb_block_based_options_set_block_size(table, settings->block_size);
    rocksdb_block_based_options_set_filter_policy(table,
                                                  rocksdb_filterpolicy_create_bloom(settings->bloom_bits));
    rocksdb_options_set_create_if_missing(s->options, 1);
    rocksdb_options_set_write_buffer_size(s->options, settings->write_buffer);
    rocksdb_options_set_max_open_files(s->options, settings->open_files);
    rocksdb_options_set_compression(s->options, rocksdb_no_compression);
    if (tuned) {
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(s->options, 0.1);
        rocksdb_options_set_memtable_whole_key_filtering(s->options, 1);
        rocksdb_block_based_options_set_data_block_index_type(table, 1);
        rocksdb_options_set_max_write_buffer_number(s->options, 4);
        rocksdb_options_set_max_background_jobs(s->options, 2);
    }
    rocksdb_options_set_block_based_table_factory(s->options, table);
    s->db = rocksdb_open(s->options, directory, &error);
    check(error, "open");
    rocksdb_block_based_options_destroy(table);
    return s;
}

static void *rdb_open(const char *directory, const settings *settings)
{
    return open_with(directory, settings, false);
}

static void *rdb_open_tuned(const char *directory, const settings *settings)
{
    return open_with(directory, settings, true);
}

static void rdb_close(void *db)
{
    store *s = db;
    rocksdb_close(s->db);
    rocksdb_options_destroy(s->options);
    rocksdb_cache_destroy(s->cache);
    free(s);
}

static void rdb_put(void *db, bytes key, bytes value, bool sync)
{
    char *error = NULL;
    rocksdb_put(((store *)db)->db, sync ? synced : buffered, key.data, key.size, value.data, value.size, &error);
    check(error, "put");
}

static void rdb_remove(void *db, bytes key)
{
    char *error = NULL;
    rocksdb_delete(((store *)db)->db, buffered, key.data, key.size, &error);
    check(error, "delete");
}

static bool rdb_get(void *db, bytes key)
{
    char *error = NULL;
    size_t size;
    char *value = rocksdb_get(((store *)db)->db, reading, key.data, key.size, &size, &error);
    check(error, "get");
    rocksdb_free(value);
    return value != NULL;
}

static void *rdb_batch_new(void)
{
    return rocksdb_writebatch_create();
}

static void rdb_batch_put(void *batch, bytes key, bytes value)
{
    rocksdb_writebatch_put(batch, key.data, key.size, value.data, value.size);
}

static void rdb_batch_write(void *db, void *batch)
{
    char *error = NULL;
    rocksdb_write(((store *)db)->db, buffered, batch, &error);
    check(error, "write");
    rocksdb_writebatch_clear(batch);
}

static void rdb_batch_free(void *batch)
{
    rocksdb_writebatch_destroy(batch);
}

static void *rdb_iter_new(void *db)
{
    return rocksdb_create_iterator(((store *)db)->db, reading);
}

static bool moved(rocksdb_iterator_t *iter)
{
    char *error = NULL;
    if (rocksdb_iter_valid(iter))
        return true;
    rocksdb_iter_get_error(iter, &error);
    check(error, "move");
    return false;
}

static bool rdb_iter_first(void *iter)
{
    rocksdb_iter_seek_to_first(iter);
    return moved(iter);
}

static bool rdb_iter_last(void *iter)
{
    rocksdb_iter_seek_to_last(iter);
    return moved(iter);
}

static bool rdb_iter_next(void *iter)
{
    rocksdb_iter_next(iter);
    return moved(iter);
}

static bool rdb_iter_prev(void *iter)
{
    rocksdb_iter_prev(iter);
    return moved(iter);
}

static bool rdb_iter_seek(void *iter, bytes key)
{
    rocksdb_iter_seek(iter, key.data, key.size);
    return moved(iter);
}

static void rdb_iter_row(void *iter, bytes *key, bytes *value)
{
    key->data = rocksdb_iter_key(iter, &key->size);
    value->data = rocksdb_iter_value(iter, &value->size);
}

static void rdb_iter_free(void *iter)
{
    rocksdb_iter_destroy(iter);
}

static void rdb_compact(void *db)
{
    rocksdb_compact_range(((store *)db)->db, NULL, 0, NULL, 0);
}

#define ROCKSDB(name, open)                                                                                      \
    {                                                                                                            \
        name, open, rdb_close, rdb_put, rdb_remove, rdb_get, rdb_batch_new, rdb_batch_put, rdb_batch_write,      \
            rdb_batch_free, rdb_iter_new, rdb_iter_first, rdb_iter_last, rdb_iter_next, rdb_iter_prev,           \
            rdb_iter_seek, rdb_iter_row, rdb_iter_free, rdb_compact,                                             \
    }

const engine rocksdb_engine = ROCKSDB("rocksdb", rdb_open);
const engine rocksdb_tuned_engine = ROCKSDB("rocksdb-tuned", rdb_open_tuned);
