/* WiredTiger as the comparison sees it: a B-tree with a log; a returned put is in the log by a write (it survives a
 * kill of the process), a synced one by an fsync. Cache and write buffer are one budget. A session and two cursors per
 * thread. */
#include "buffered_batch.h"

#include <wiredtiger.h>

typedef struct store {
    WT_CONNECTION *connection;
} store;

typedef struct session {
    const store *owner;
    WT_SESSION *session;
    WT_CURSOR *cursor;
} session;

typedef struct cursor {
    WT_CURSOR *cursor;
    WT_ITEM key, value;
} cursor;

static __thread session mine;

static void check(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "wiredtiger: %s: %s\n", what, wiredtiger_strerror(status));
        exit(2);
    }
}

static session *join(const store *s)
{
    if (mine.owner != s) {
        mine.owner = s;
        check(s->connection->open_session(s->connection, NULL, NULL, &mine.session), "session");
        check(mine.session->create(mine.session, "table:t", "key_format=u,value_format=u"), "create");
        check(mine.session->open_cursor(mine.session, "table:t", NULL, "overwrite=true", &mine.cursor), "cursor");
    }
    return &mine;
}

static void *wt_open(const char *directory, const settings *settings)
{
    char text[256];
    store *s = malloc(sizeof *s);
    if (s == NULL)
        abort();
    make_directory(directory);
    snprintf(text, sizeof text,
             "create,cache_size=%zu,log=(enabled=true,recover=on),transaction_sync=(enabled=true,method=none)",
             settings->cache_bytes + settings->write_buffer);
    check(wiredtiger_open(directory, NULL, text, &s->connection), "open");
    join(s);
    return s;
}

static void wt_close(void *db)
{
    store *s = db;
    check(s->connection->close(s->connection, NULL), "close");
    mine.owner = NULL;
    free(s);
}

static WT_ITEM item(bytes b)
{
    WT_ITEM i = {0};
    i.data = b.data;
    i.size = b.size;
    return i;
}

static void wt_put(void *db, bytes key, bytes value, bool sync)
{
    session *s = join(db);
    WT_ITEM k = item(key), v = item(value);
    s->cursor->set_key(s->cursor, &k);
    s->cursor->set_value(s->cursor, &v);
    check(s->cursor->insert(s->cursor), "put");
    if (sync)
        check(s->session->log_flush(s->session, "sync=on"), "sync");
}

static void wt_remove(void *db, bytes key)
{
    session *s = join(db);
    WT_ITEM k = item(key);
    s->cursor->set_key(s->cursor, &k);
    int status = s->cursor->remove(s->cursor);
    check(status == WT_NOTFOUND ? 0 : status, "delete");
}

static bool wt_get(void *db, bytes key)
{
    static __thread char copy[1 << 16];
    session *s = join(db);
    WT_ITEM k = item(key), v;
    s->cursor->set_key(s->cursor, &k);
    int status = s->cursor->search(s->cursor);
    check(status == WT_NOTFOUND ? 0 : status, "get");
    if (status == 0) {
        check(s->cursor->get_value(s->cursor, &v), "value");
        memcpy(copy, v.data, v.size < sizeof copy ? v.size : sizeof copy);
        check(s->cursor->reset(s->cursor), "reset");
    }
    return status == 0;
}

static void wt_batch_write(void *db, void *batch)
{
    session *s = join(db);
    buffered_batch *b = batch;
    bytes key, value;
    check(s->session->begin_transaction(s->session, NULL), "begin");
    for (size_t at = 0; buffered_next(b, &at, &key, &value);)
        wt_put(db, key, value, false);
    check(s->session->commit_transaction(s->session, NULL), "commit");
    b->size = 0;
}

static void *wt_iter_new(void *db)
{
    session *s = join(db);
    cursor *c = calloc(1, sizeof *c);
    if (c == NULL)
        abort();
    check(s->session->open_cursor(s->session, "table:t", NULL, NULL, &c->cursor), "cursor");
    return c;
}

static bool moved(cursor *c, int status)
{
    check(status == WT_NOTFOUND ? 0 : status, "move");
    if (status == 0) {
        check(c->cursor->get_key(c->cursor, &c->key), "key");
        check(c->cursor->get_value(c->cursor, &c->value), "value");
    }
    return status == 0;
}

static bool wt_iter_next(void *iter)
{
    cursor *c = iter;
    return moved(c, c->cursor->next(c->cursor));
}

static bool wt_iter_prev(void *iter)
{
    cursor *c = iter;
    return moved(c, c->cursor->prev(c->cursor));
}

static bool wt_iter_first(void *iter)
{
    cursor *c = iter;
    check(c->cursor->reset(c->cursor), "reset");
    return wt_iter_next(iter);
}

static bool wt_iter_last(void *iter)
{
    cursor *c = iter;
    check(c->cursor->reset(c->cursor), "reset");
    return wt_iter_prev(iter);
}

static bool wt_iter_seek(void *iter, bytes key)
{
    cursor *c = iter;
    WT_ITEM k = item(key);
    int direction = 0;
    c->cursor->set_key(c->cursor, &k);
    int status = c->cursor->search_near(c->cursor, &direction);
    if (status == 0 && direction < 0)
        status = c->cursor->next(c->cursor);
    return moved(c, status);
}

static void wt_iter_row(void *iter, bytes *key, bytes *value)
{
    const cursor *c = iter;
    *key = (bytes){c->key.data, c->key.size};
    *value = (bytes){c->value.data, c->value.size};
}

static void wt_iter_free(void *iter)
{
    cursor *c = iter;
    check(c->cursor->close(c->cursor), "close cursor");
    free(c);
}

static void wt_compact(void *db)
{
    session *s = join(db);
    check(s->session->compact(s->session, "table:t", NULL), "compact");
}

const engine wiredtiger_engine = {
    "wiredtiger", wt_open,        wt_close,      wt_put,      wt_remove,     wt_get,       buffered_new,
    buffered_put, wt_batch_write, buffered_free, wt_iter_new, wt_iter_first, wt_iter_last, wt_iter_next,
    wt_iter_prev, wt_iter_seek,   wt_iter_row,   wt_iter_free, wt_compact,
};
