/* The rows of the table: one kind of work each, under db_bench's names. */
#ifndef ROWS_H
#define ROWS_H

#include "engine.h"
#include "measure.h"

/* One row on one store: filled by the parent down to `live`, by the row below it. */
typedef struct work {
    const engine *engine;
    const settings *settings;
    const char *directory;
    uint64_t keys, reads, value_size, seed;
    uint8_t *live; /* one bit for each key that is in the database */
    void *db;
    histogram latency;
    uint64_t ops, found, ns;
    uint64_t user_bytes; /* keys and values written */
    uint64_t side_ops;   /* of the writer beside the measured reader */
} work;

typedef struct row {
    const char *name;
    void (*run)(work *w);
    bool fresh;  /* begins with an empty database */
    bool kept;   /* its database is what the rows after it use */
    bool exact;  /* finds the same number of keys in every store */
} row;

extern const row rows[];
extern const unsigned row_count;

uint64_t live_keys(const work *w);

#endif
