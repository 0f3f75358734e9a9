/* Esker as the benchmark sees it: through esker.h, BUFFERED unless a write syncs. */
#include "engine.h"

#include <esker.h>
#include <stdio.h>
#include <stdlib.h>

static void check(esker_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "esker: %s: %s\n", what, esker_status_text(status));
        exit(2);
    }
}

static void *es_open(const char *directory, const settings *settings)
{
    esker_options *options;
    esker_error error = {0};
    esker_db *db;
    char text[512];
    int size = snprintf(text, sizeof text,
                        "cache_bytes=%zu; write_buffer=%zu; block_size=%zu; filter_bits=%d; open_tables_max=%d",
                        settings->cache_bytes, settings->write_buffer, settings->block_size, settings->bloom_bits,
                        settings->open_files);
    error.struct_size = sizeof error;
    check(esker_options_new(&options), "options");
    if (esker_options_parse(options, text, (size_t)size, &error) < 0 ||
        esker_open(directory, options, ESKER_OPEN_CREATE, &db, &error) < 0) {
        fprintf(stderr, "esker: open %s: %s\n", directory, error.message);
        exit(2);
    }
    esker_options_free(options);
    return db;
}

static void es_close(void *db)
{
    check(esker_close(db, 0, NULL), "close");
}

static void es_put(void *db, bytes key, bytes value, bool sync)
{
    static const esker_write_opts synced = {sizeof synced, ESKER_DURABILITY_SYNC, 0, 0, 0};
    check(esker_put(db, sync ? &synced : NULL, key.data, key.size, value.data, value.size), "put");
}

static void es_remove(void *db, bytes key)
{
    check(esker_delete(db, NULL, key.data, key.size), "delete");
}

static bool es_get(void *db, bytes key)
{
    char value[4096];
    size_t size;
    esker_status status = esker_get(db, NULL, key.data, key.size, value, sizeof value, &size);
    check(status, "get");
    return status == ESKER_OK;
}

static void *es_batch_new(void)
{
    esker_batch *batch;
    check(esker_batch_new(&batch), "batch");
    return batch;
}

static void es_batch_put(void *batch, bytes key, bytes value)
{
    check(esker_batch_put(batch, NULL, key.data, key.size, value.data, value.size), "batch put");
}

static void es_batch_write(void *db, void *batch)
{
    check(esker_write(db, NULL, batch, NULL), "write");
    check(esker_batch_clear(batch), "clear");
}

static void es_batch_free(void *batch)
{
    check(esker_batch_free(batch), "batch free");
}

/* An iterator and its row, whose address never changes. */
typedef struct cursor {
    esker_iter *iter;
    const esker_row *row;
} cursor;

static void *es_iter_new(void *db)
{
    cursor *it = malloc(sizeof *it);
    if (it == NULL)
        abort();
    check(esker_iter_new(db, NULL, &it->iter), "iterator");
    check(esker_iter_row(it->iter, &it->row), "row");
    return it;
}

static bool moved(esker_status status)
{
    check(status, "move");
    return status == ESKER_OK;
}

static bool es_iter_first(void *iter)
{
    return moved(esker_iter_first(((cursor *)iter)->iter));
}

static bool es_iter_last(void *iter)
{
    return moved(esker_iter_last(((cursor *)iter)->iter));
}

static bool es_iter_next(void *iter)
{
    return moved(esker_iter_next(((cursor *)iter)->iter));
}

static bool es_iter_prev(void *iter)
{
    return moved(esker_iter_prev(((cursor *)iter)->iter));
}

static bool es_iter_seek(void *iter, bytes key)
{
    return moved(esker_iter_seek(((cursor *)iter)->iter, ESKER_SEEK_GE, key.data, key.size));
}

static void es_iter_row(void *iter, bytes *key, bytes *value)
{
    const esker_row *row = ((cursor *)iter)->row;
    *key = (bytes){row->key, row->key_len};
    *value = (bytes){row->value, row->value_len};
}

static void es_iter_free(void *iter)
{
    check(esker_iter_free(((cursor *)iter)->iter), "iterator free");
    free(iter);
}

static void es_compact(void *db)
{
    check(esker_compact(db, NULL, NULL, 0, NULL, NULL), "compact");
}

const engine esker_engine = {
    "esker",      es_open,       es_close,       es_put,       es_remove,    es_get,       es_batch_new,
    es_batch_put, es_batch_write, es_batch_free, es_iter_new,  es_iter_first, es_iter_last, es_iter_next,
    es_iter_prev, es_iter_seek,  es_iter_row,    es_iter_free, es_compact,
};
