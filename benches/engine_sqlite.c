/* SQLite as the comparison sees it: one table without rowid, WAL mode, prepared statements, one connection per thread.
 * synchronous=OFF: a returned put survives a kill of the process; FULL for puts that sync. */
#include "buffered_batch.h"

#include <sqlite3.h>

typedef struct store {
    char path[4096];
    size_t cache_bytes;
} store;

/* What one thread has open. */
typedef struct connection {
    const store *owner;
    sqlite3 *db;
    sqlite3_stmt *put, *get, *remove, *begin, *commit;
    bool synced;
} connection;

typedef struct cursor {
    sqlite3_stmt *statement;
    sqlite3 *db;
} cursor;

static __thread connection mine;

static void check(sqlite3 *db, bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "sqlite: %s: %s\n", what, sqlite3_errmsg(db));
        exit(2);
    }
}

static void execute(sqlite3 *db, const char *text)
{
    check(db, sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK, text);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *text)
{
    sqlite3_stmt *statement;
    check(db, sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) == SQLITE_OK, text);
    return statement;
}

static connection *connect(const store *s)
{
    char text[128];
    if (mine.owner == s)
        return &mine;
    mine.owner = s;
    mine.synced = false;
    check(NULL, sqlite3_open(s->path, &mine.db) == SQLITE_OK, "open");
    sqlite3_busy_timeout(mine.db, 60000);
    snprintf(text, sizeof text, "PRAGMA cache_size=-%zu", s->cache_bytes / 1024);
    execute(mine.db, "PRAGMA journal_mode=WAL");
    execute(mine.db, text);
    execute(mine.db, "PRAGMA synchronous=OFF");
    execute(mine.db, "CREATE TABLE IF NOT EXISTS t(k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID");
    mine.put = prepare(mine.db, "INSERT OR REPLACE INTO t VALUES(?, ?)");
    mine.get = prepare(mine.db, "SELECT v FROM t WHERE k = ?");
    mine.remove = prepare(mine.db, "DELETE FROM t WHERE k = ?");
    mine.begin = prepare(mine.db, "BEGIN");
    mine.commit = prepare(mine.db, "COMMIT");
    return &mine;
}

static void *sq_open(const char *directory, const settings *settings)
{
    store *s = malloc(sizeof *s);
    if (s == NULL)
        abort();
    make_directory(directory);
    snprintf(s->path, sizeof s->path, "%s/data", directory);
    s->cache_bytes = settings->cache_bytes;
    connect(s);
    return s;
}

static void sq_close(void *db)
{
    if (mine.owner == db) {
        sqlite3_stmt *all[] = {mine.put, mine.get, mine.remove, mine.begin, mine.commit};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            sqlite3_finalize(all[i]);
        sqlite3_close_v2(mine.db);
        mine.owner = NULL;
    }
    free(db);
}

static void bind(sqlite3_stmt *statement, int place, bytes b)
{
    sqlite3_bind_blob(statement, place, b.data, (int)b.size, SQLITE_STATIC);
}

static void run(connection *c, sqlite3_stmt *statement, const char *what)
{
    int status = sqlite3_step(statement);
    check(c->db, status == SQLITE_DONE || status == SQLITE_ROW, what);
    sqlite3_reset(statement);
}

static void sq_put(void *db, bytes key, bytes value, bool sync)
{
    connection *c = connect(db);
    if (sync != c->synced) {
        execute(c->db, sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=OFF");
        c->synced = sync;
    }
    bind(c->put, 1, key);
    bind(c->put, 2, value);
    run(c, c->put, "put");
}

static void sq_remove(void *db, bytes key)
{
    connection *c = connect(db);
    bind(c->remove, 1, key);
    run(c, c->remove, "delete");
}

static bool sq_get(void *db, bytes key)
{
    static __thread char copy[1 << 16];
    connection *c = connect(db);
    bind(c->get, 1, key);
    int status = sqlite3_step(c->get);
    check(c->db, status == SQLITE_DONE || status == SQLITE_ROW, "get");
    if (status == SQLITE_ROW) {
        size_t size = (size_t)sqlite3_column_bytes(c->get, 0);
        memcpy(copy, sqlite3_column_blob(c->get, 0), size < sizeof copy ? size : sizeof copy);
    }
    sqlite3_reset(c->get);
    return status == SQLITE_ROW;
}

static void sq_batch_write(void *db, void *batch)
{
    connection *c = connect(db);
    buffered_batch *b = batch;
    bytes key, value;
    run(c, c->begin, "begin");
    for (size_t at = 0; buffered_next(b, &at, &key, &value);)
        sq_put(db, key, value, false);
    run(c, c->commit, "commit");
    b->size = 0;
}

static void *sq_iter_new(void *db)
{
    cursor *it = calloc(1, sizeof *it);
    if (it == NULL)
        abort();
    it->db = connect(db)->db;
    return it;
}

static bool step(cursor *it)
{
    int status = sqlite3_step(it->statement);
    check(it->db, status == SQLITE_DONE || status == SQLITE_ROW, "move");
    return status == SQLITE_ROW;
}

static bool start(cursor *it, const char *text, const bytes *from)
{
    /* Seeks reuse their statement; the other two begin once. */
    if (it->statement != NULL && from != NULL) {
        sqlite3_reset(it->statement);
    } else {
        sqlite3_finalize(it->statement);
        it->statement = prepare(it->db, text);
    }
    if (from != NULL)
        bind(it->statement, 1, *from);
    return step(it);
}

static bool sq_iter_first(void *iter)
{
    return start(iter, "SELECT k, v FROM t ORDER BY k", NULL);
}

static bool sq_iter_last(void *iter)
{
    return start(iter, "SELECT k, v FROM t ORDER BY k DESC", NULL);
}

static bool sq_iter_move(void *iter)
{
    return step(iter);
}

static bool sq_iter_seek(void *iter, bytes key)
{
    return start(iter, "SELECT k, v FROM t WHERE k >= ? ORDER BY k", &key);
}

static void sq_iter_row(void *iter, bytes *key, bytes *value)
{
    sqlite3_stmt *s = ((cursor *)iter)->statement;
    *key = (bytes){sqlite3_column_blob(s, 0), (size_t)sqlite3_column_bytes(s, 0)};
    *value = (bytes){sqlite3_column_blob(s, 1), (size_t)sqlite3_column_bytes(s, 1)};
}

static void sq_iter_free(void *iter)
{
    sqlite3_finalize(((cursor *)iter)->statement);
    free(iter);
}

static void sq_compact(void *db)
{
    execute(connect(db)->db, "VACUUM");
}

/* A direction is chosen by first, last or seek; next and prev both follow it. */
const engine sqlite_engine = {
    "sqlite",     sq_open,        sq_close,      sq_put,      sq_remove,     sq_get,       buffered_new,
    buffered_put, sq_batch_write, buffered_free, sq_iter_new, sq_iter_first, sq_iter_last, sq_iter_move,
    sq_iter_move, sq_iter_seek,   sq_iter_row,   sq_iter_free, sq_compact,
};
