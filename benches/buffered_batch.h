/* What the stores with transactions share: batches kept in memory until they are written, and their directory. */
#ifndef BUFFERED_BATCH_H
#define BUFFERED_BATCH_H

#include "engine.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct buffered_batch {
    char *data;
    size_t size, room;
} buffered_batch;

/* Makes the directory of a database, which these stores do not do themselves. */
static inline void make_directory(const char *path)
{
    if (mkdir(path, 0700) != 0 && access(path, W_OK) != 0) {
        perror(path);
        exit(2);
    }
}

static inline void *buffered_new(void)
{
    return calloc(1, sizeof(buffered_batch));
}

static inline void buffered_append(buffered_batch *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        b->data = realloc(b->data, b->room);
        if (b->data == NULL)
            abort();
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void buffered_put(void *batch, bytes key, bytes value)
{
    uint32_t sizes[2] = {(uint32_t)key.size, (uint32_t)value.size};
    buffered_append(batch, sizes, sizeof sizes);
    buffered_append(batch, key.data, key.size);
    buffered_append(batch, value.data, value.size);
}

/* The put at `*at`, which moves on; false at the end. */
static inline bool buffered_next(const buffered_batch *b, size_t *at, bytes *key, bytes *value)
{
    uint32_t sizes[2];
    if (*at >= b->size)
        return false;
    memcpy(sizes, b->data + *at, sizeof sizes);
    *key = (bytes){b->data + *at + sizeof sizes, sizes[0]};
    *value = (bytes){key->data + sizes[0], sizes[1]};
    *at += sizeof sizes + sizes[0] + sizes[1];
    return true;
}

static inline void buffered_free(void *batch)
{
    free(((buffered_batch *)batch)->data);
    free(batch);
}

#endif
