/* What the benchmark asks of a store. One table of functions per store; every failure ends the process with
 * a message, so that no row is measured on half its work. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The same for every store. */
typedef struct settings {
    size_t cache_bytes;
    size_t write_buffer;
    size_t block_size;
    int bloom_bits;
    int open_files;
} settings;

typedef struct bytes {
    const char *data;
    size_t size;
} bytes;

typedef struct engine {
    const char *name;
    void *(*open)(const char *directory, const settings *settings);
    void (*close)(void *db);
    void (*put)(void *db, bytes key, bytes value, bool sync);
    void (*remove)(void *db, bytes key);
    /* Whether the key is there; its value is copied out in the way the store offers. */
    bool (*get)(void *db, bytes key);
    void *(*batch_new)(void);
    void (*batch_put)(void *batch, bytes key, bytes value);
    void (*batch_write)(void *db, void *batch); /* and empties it */
    void (*batch_free)(void *batch);
    void *(*iter_new)(void *db);
    bool (*iter_first)(void *iter);
    bool (*iter_last)(void *iter);
    bool (*iter_next)(void *iter);
    bool (*iter_prev)(void *iter);
    bool (*iter_seek)(void *iter, bytes key);
    void (*iter_row)(void *iter, bytes *key, bytes *value);
    void (*iter_free)(void *iter);
    void (*compact)(void *db);
} engine;

extern const engine esker_engine;
extern const engine leveldb_engine;
/* Only in `bench-compare`. */
extern const engine rocksdb_engine, rocksdb_tuned_engine, lmdb_engine, wiredtiger_engine, sqlite_engine;

#endif
