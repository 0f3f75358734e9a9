/* LMDB as the comparison sees it: a transaction for each put, NOSYNC (a returned put survives a kill of the process,
 * since pages are written with pwrite), one read transaction per thread that is renewed for each read. It has no
 * cache or write buffer of its own: the kernel's page cache is both. */
#include "buffered_batch.h"

#include <lmdb.h>

typedef struct store {
    MDB_env *env;
    MDB_dbi dbi;
} store;

typedef struct cursor {
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
} cursor;

static __thread MDB_txn *reader;

static void check(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "lmdb: %s: %s\n", what, mdb_strerror(status));
        exit(2);
    }
}

static void *lm_open(const char *directory, const settings *settings)
{
    (void)settings;
    store *s = malloc(sizeof *s);
    MDB_txn *txn;
    char path[4096];
    if (s == NULL)
        abort();
    /* One file, beside its lock file, in the row's directory. */
    make_directory(directory);
    snprintf(path, sizeof path, "%s/data", directory);
    check(mdb_env_create(&s->env), "env");
    check(mdb_env_set_mapsize(s->env, (size_t)64 << 30), "map size");
    check(mdb_env_open(s->env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_NOTLS, 0600), "open");
    check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &s->dbi), "dbi");
    check(mdb_txn_commit(txn), "commit");
    return s;
}

static void lm_close(void *db)
{
    store *s = db;
    if (reader != NULL)
        mdb_txn_abort(reader);
    reader = NULL;
    mdb_env_close(s->env);
    free(s);
}

static MDB_val val(bytes b)
{
    return (MDB_val){b.size, (void *)b.data};
}

static void lm_put(void *db, bytes key, bytes value, bool sync)
{
    store *s = db;
    MDB_txn *txn;
    MDB_val k = val(key), v = val(value);
    check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    check(mdb_put(txn, s->dbi, &k, &v, 0), "put");
    check(mdb_txn_commit(txn), "commit");
    if (sync)
        check(mdb_env_sync(s->env, 1), "sync");
}

static void lm_remove(void *db, bytes key)
{
    store *s = db;
    MDB_txn *txn;
    MDB_val k = val(key);
    check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    int status = mdb_del(txn, s->dbi, &k, NULL);
    check(status == MDB_NOTFOUND ? 0 : status, "delete");
    check(mdb_txn_commit(txn), "commit");
}

static bool lm_get(void *db, bytes key)
{
    static __thread char copy[1 << 16];
    store *s = db;
    MDB_val k = val(key), v;
    check(reader == NULL ? mdb_txn_begin(s->env, NULL, MDB_RDONLY, &reader) : mdb_txn_renew(reader), "read");
    int status = mdb_get(reader, s->dbi, &k, &v);
    if (status == 0)
        memcpy(copy, v.mv_data, v.mv_size < sizeof copy ? v.mv_size : sizeof copy);
    mdb_txn_reset(reader);
    check(status == MDB_NOTFOUND ? 0 : status, "get");
    return status == 0;
}

static void lm_batch_write(void *db, void *batch)
{
    store *s = db;
    buffered_batch *b = batch;
    MDB_txn *txn;
    bytes key, value;
    check(mdb_txn_begin(s->env, NULL, 0, &txn), "begin");
    for (size_t at = 0; buffered_next(b, &at, &key, &value);) {
        MDB_val k = val(key), v = val(value);
        check(mdb_put(txn, s->dbi, &k, &v, 0), "put");
    }
    check(mdb_txn_commit(txn), "commit");
    b->size = 0;
}

static void *lm_iter_new(void *db)
{
    store *s = db;
    cursor *c = calloc(1, sizeof *c);
    if (c == NULL)
        abort();
    check(mdb_txn_begin(s->env, NULL, MDB_RDONLY, &c->txn), "begin");
    check(mdb_cursor_open(c->txn, s->dbi, &c->cursor), "cursor");
    return c;
}

static bool move(cursor *c, MDB_cursor_op op)
{
    int status = mdb_cursor_get(c->cursor, &c->key, &c->value, op);
    check(status == MDB_NOTFOUND ? 0 : status, "move");
    return status == 0;
}

static bool lm_iter_first(void *iter)
{
    return move(iter, MDB_FIRST);
}

static bool lm_iter_last(void *iter)
{
    return move(iter, MDB_LAST);
}

static bool lm_iter_next(void *iter)
{
    return move(iter, MDB_NEXT);
}

static bool lm_iter_prev(void *iter)
{
    return move(iter, MDB_PREV);
}

static bool lm_iter_seek(void *iter, bytes key)
{
    ((cursor *)iter)->key = val(key);
    return move(iter, MDB_SET_RANGE);
}

static void lm_iter_row(void *iter, bytes *key, bytes *value)
{
    const cursor *c = iter;
    *key = (bytes){c->key.mv_data, c->key.mv_size};
    *value = (bytes){c->value.mv_data, c->value.mv_size};
}

static void lm_iter_free(void *iter)
{
    cursor *c = iter;
    mdb_cursor_close(c->cursor);
    mdb_txn_abort(c->txn);
    free(c);
}

/* A tree of pages has nothing to compact. */
static void lm_compact(void *db)
{
    (void)db;
}

const engine lmdb_engine = {
    "lmdb",       lm_open,        lm_close,      lm_put,      lm_remove,     lm_get,       buffered_new,
    buffered_put, lm_batch_write, buffered_free, lm_iter_new, lm_iter_first, lm_iter_last, lm_iter_next,
    lm_iter_prev, lm_iter_seek,   lm_iter_row,   lm_iter_free, lm_compact,
};
