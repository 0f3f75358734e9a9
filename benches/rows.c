#define _GNU_SOURCE
#include "rows.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SIZE = 16, POOL_SIZE = 1 << 20, BATCH = 1000, SAMPLE = 16, REOPENS = 10 };

/* Numbers from a seed (xorshift64*). */
typedef struct dice {
    uint64_t state;
} dice;

static uint64_t roll(dice *d, uint64_t below)
{
    d->state ^= d->state >> 12;
    d->state ^= d->state << 25;
    d->state ^= d->state >> 27;
    return (d->state * 0x2545F4914F6CDD1Du >> 11) % below;
}

static dice dice_of(const work *w, uint64_t purpose)
{
    dice d = {(w->seed * 1000003 + purpose) * 0x9E3779B97F4A7C15u | 1};
    roll(&d, 2);
    return d;
}

/* Sixteen decimal digits. Not snprintf, which would cost as much as a fast get. */
static bytes key_of(char *buf, uint64_t number)
{
    for (int i = KEY_SIZE - 1; i >= 0; i--) {
        buf[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return (bytes){buf, KEY_SIZE};
}

/* A value that no compressor would make small; every one another. */
static bytes value_of(const work *w, uint64_t number)
{
    static char *pool;
    if (pool == NULL) {
        dice d = {0x9E3779B97F4A7C15u};
        pool = malloc(POOL_SIZE);
        if (pool == NULL)
            abort();
        for (size_t i = 0; i < POOL_SIZE; i++)
            pool[i] = (char)roll(&d, 256);
    }
    return (bytes){pool + number * 97 % (POOL_SIZE - w->value_size), w->value_size};
}

uint64_t live_keys(const work *w)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < (w->keys + 7) / 8; i++)
        count += (uint64_t)__builtin_popcount(w->live[i]);
    return count;
}

static void note_put(work *w, uint64_t key)
{
    w->live[key / 8] |= (uint8_t)(1u << key % 8);
}

/* The end of an operation is the beginning of the next one, so each costs one look at the clock. */
static uint64_t lap(work *w, uint64_t since)
{
    uint64_t now = now_ns();
    histogram_add(&w->latency, now - since);
    return now;
}

typedef enum order { SEQUENTIAL, RANDOM } order;

static void write_keys(work *w, order order, uint64_t count, bool sync, uint64_t purpose)
{
    char buf[KEY_SIZE];
    dice d = dice_of(w, purpose);
    value_of(w, 0);
    uint64_t start = now_ns(), at = start;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t key = order == RANDOM ? roll(&d, w->keys) : i;
        note_put(w, key);
        w->engine->put(w->db, key_of(buf, key), value_of(w, i), sync);
        at = lap(w, at);
    }
    w->ns = at - start;
    w->ops = count;
    w->user_bytes = count * (KEY_SIZE + w->value_size);
}

static void fillseq(work *w)
{
    write_keys(w, SEQUENTIAL, w->keys, false, 1);
}

static void fillrandom(work *w)
{
    write_keys(w, RANDOM, w->keys, false, 2);
}

static void overwrite(work *w)
{
    write_keys(w, RANDOM, w->keys, false, 3);
}

static void fillsync(work *w)
{
    uint64_t count = w->keys / 1000;
    write_keys(w, RANDOM, count < 100 ? 100 : count, true, 4);
}

static void fillbatch(work *w)
{
    char buf[KEY_SIZE];
    void *batch = w->engine->batch_new();
    value_of(w, 0);
    uint64_t start = now_ns(), at = start;
    for (uint64_t i = 0; i < w->keys; i++) {
        note_put(w, i);
        w->engine->batch_put(batch, key_of(buf, i), value_of(w, i));
        if ((i + 1) % BATCH == 0 || i + 1 == w->keys) {
            w->engine->batch_write(w->db, batch);
            at = lap(w, at);
        }
    }
    w->ns = at - start;
    w->ops = w->keys;
    w->user_bytes = w->keys * (KEY_SIZE + w->value_size);
    w->engine->batch_free(batch);
}

static void deleterandom(work *w)
{
    char buf[KEY_SIZE];
    dice d = dice_of(w, 5);
    uint64_t start = now_ns(), at = start;
    for (uint64_t i = 0; i < w->keys; i++) {
        uint64_t key = roll(&d, w->keys);
        w->live[key / 8] &= (uint8_t)~(1u << key % 8);
        w->engine->remove(w->db, key_of(buf, key));
        at = lap(w, at);
    }
    w->ns = at - start;
    w->ops = w->keys;
    w->user_bytes = w->keys * KEY_SIZE;
}

static void read_keys(work *w, bool missing)
{
    char buf[KEY_SIZE + 1];
    dice d = dice_of(w, 6);
    uint64_t start = now_ns(), at = start;
    for (uint64_t i = 0; i < w->reads; i++) {
        bytes key = key_of(buf, roll(&d, w->keys));
        if (missing)
            buf[key.size++] = '.'; /* inside the range of the keys, but none of them */
        w->found += w->engine->get(w->db, key);
        at = lap(w, at);
    }
    w->ns = at - start;
    w->ops = w->reads;
}

static void readrandom(work *w)
{
    read_keys(w, false);
}

static void readmissing(work *w)
{
    read_keys(w, true);
}

/* A step costs less than two looks at the clock, so only one step of SAMPLE is timed by itself. */
static void scan(work *w, bool forward)
{
    const engine *e = w->engine;
    void *iter = e->iter_new(w->db);
    bytes key, value;
    uint64_t start = now_ns(), at, sum = 0;
    bool on_row = forward ? e->iter_first(iter) : e->iter_last(iter);
    while (on_row) {
        e->iter_row(iter, &key, &value);
        sum += (unsigned char)key.data[key.size - 1] + (unsigned char)value.data[0];
        w->ops++;
        if (w->ops % SAMPLE == 0) {
            at = now_ns();
            on_row = forward ? e->iter_next(iter) : e->iter_prev(iter);
            histogram_add(&w->latency, now_ns() - at);
        } else {
            on_row = forward ? e->iter_next(iter) : e->iter_prev(iter);
        }
    }
    w->ns = now_ns() - start;
    w->found = w->ops;
    e->iter_free(iter);
    if (sum == 1)
        printf(" "); /* so that the reads are not left out */
}

static void readseq(work *w)
{
    scan(w, true);
}

static void readreverse(work *w)
{
    scan(w, false);
}

/* As in db_bench: a new iterator for each seek. */
static void seekrandom(work *w)
{
    char buf[KEY_SIZE];
    dice d = dice_of(w, 7);
    bytes found, value;
    uint64_t start = now_ns(), at = start;
    for (uint64_t i = 0; i < w->reads; i++) {
        bytes key = key_of(buf, roll(&d, w->keys));
        void *iter = w->engine->iter_new(w->db);
        if (w->engine->iter_seek(iter, key)) {
            w->engine->iter_row(iter, &found, &value);
            w->found += found.size == key.size && memcmp(found.data, key.data, key.size) == 0;
        }
        w->engine->iter_free(iter);
        at = lap(w, at);
    }
    w->ns = at - start;
    w->ops = w->reads;
}

typedef struct writer {
    work *work;
    bool stop;
} writer;

static void *write_beside(void *argument)
{
    writer *beside = argument;
    work *w = beside->work;
    char buf[KEY_SIZE];
    dice d = dice_of(w, 8);
    while (!__atomic_load_n(&beside->stop, __ATOMIC_RELAXED)) {
        uint64_t key = roll(&d, w->keys);
        note_put(w, key);
        w->engine->put(w->db, key_of(buf, key), value_of(w, key), false);
        w->side_ops++;
    }
    return NULL;
}

/* One reader, measured, beside one writer that writes as fast as it can. */
static void readwhilewriting(work *w)
{
    writer beside = {w, false};
    pthread_t thread;
    value_of(w, 0);
    if (pthread_create(&thread, NULL, write_beside, &beside) != 0)
        abort();
    read_keys(w, false);
    __atomic_store_n(&beside.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    w->user_bytes = w->side_ops * (KEY_SIZE + w->value_size);
}

static void compact(work *w)
{
    uint64_t start = now_ns();
    w->engine->compact(w->db);
    w->ns = lap(w, start) - start;
    w->ops = 1;
}

static void reopen(work *w)
{
    uint64_t start = now_ns(), at = start;
    for (int i = 0; i < REOPENS; i++) {
        w->engine->close(w->db);
        w->db = w->engine->open(w->directory, w->settings);
        at = lap(w, at);
    }
    w->ns = at - start;
    w->ops = REOPENS;
}

const row rows[] = {
    {"fillseq", fillseq, true, false, false},
    {"fillbatch", fillbatch, true, false, false},
    {"fillsync", fillsync, true, false, false},
    {"fillrandom", fillrandom, true, true, false},
    {"overwrite", overwrite, false, true, false},
    {"readrandom", readrandom, false, true, true},
    {"readmissing", readmissing, false, true, true},
    {"readseq", readseq, false, true, true},
    {"readreverse", readreverse, false, true, true},
    {"seekrandom", seekrandom, false, true, true},
    {"reopen", reopen, false, true, false},
    {"compact", compact, false, true, false},
    {"readwhilewriting", readwhilewriting, false, true, false},
    {"deleterandom", deleterandom, false, true, false},
};
const unsigned row_count = sizeof rows / sizeof rows[0];
