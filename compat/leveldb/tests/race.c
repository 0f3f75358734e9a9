/* One program for both libraries, through LevelDB's interface: `make bench-leveldb` runs it on one after the other.
 *
 *   race DIRECTORY N      prints a line for each row: its name, nanoseconds per operation, what it found
 *
 * Settings are equal and explicit: 64 MiB of write buffer, 512 MiB of cache, 10 bits of filter per key, no
 * compression; keys of 16 bytes, values of 100. */
#define _POSIX_C_SOURCE 200809L
#include <leveldb/c.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY = 16, VALUE = 100 };

static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void check(const char *error)
{
    if (error != NULL) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static void key_of(char key[KEY + 1], uint64_t number)
{
    for (int i = KEY - 1; i >= 0; i--, number /= 10)
        key[i] = (char)('0' + number % 10);
}

static uint64_t write_random(leveldb_t *db, uint64_t n, uint64_t seed)
{
    char key[KEY + 1], value[VALUE], *error = NULL;
    leveldb_writeoptions_t *options = leveldb_writeoptions_create();
    state = seed;
    for (uint64_t i = 0; i < n; i++) {
        key_of(key, next_random() % n);
        for (int at = 0; at < VALUE; at += 4)
            memcpy(value + at, &(uint32_t){(uint32_t)(i * 2654435761u) + (uint32_t)at}, 4);
        leveldb_put(db, options, key, KEY, value, VALUE, &error);
        check(error);
    }
    leveldb_writeoptions_destroy(options);
    return n;
}

static uint64_t read_random(leveldb_t *db, uint64_t n)
{
    char key[KEY + 1], *error = NULL;
    uint64_t found = 0;
    size_t size;
    leveldb_readoptions_t *options = leveldb_readoptions_create();
    state = 77;
    for (uint64_t i = 0; i < n; i++) {
        key_of(key, next_random() % n);
        char *value = leveldb_get(db, options, key, KEY, &size, &error);
        check(error);
        found += value != NULL && size == VALUE;
        leveldb_free(value);
    }
    leveldb_readoptions_destroy(options);
    return found;
}

static uint64_t read_all(leveldb_t *db)
{
    char *error = NULL;
    uint64_t rows = 0;
    size_t klen, vlen;
    leveldb_readoptions_t *options = leveldb_readoptions_create();
    leveldb_iterator_t *iter = leveldb_create_iterator(db, options);
    for (leveldb_iter_seek_to_first(iter); leveldb_iter_valid(iter); leveldb_iter_next(iter)) {
        const char *key = leveldb_iter_key(iter, &klen), *value = leveldb_iter_value(iter, &vlen);
        rows += key != NULL && value != NULL && klen == KEY && vlen == VALUE;
    }
    leveldb_iter_get_error(iter, &error);
    check(error);
    leveldb_iter_destroy(iter);
    leveldb_readoptions_destroy(options);
    return rows;
}

static void row(const char *name, double begin, uint64_t operations, uint64_t found)
{
    printf("%s %.1f %llu\n", name, (now() - begin) / (double)(operations > 0 ? operations : 1), (unsigned long long)found);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    char *error = NULL;
    if (n == 0) {
        fprintf(stderr, "usage: race DIRECTORY N\n");
        return 2;
    }
    leveldb_options_t *options = leveldb_options_create();
    leveldb_cache_t *cache = leveldb_cache_create_lru((size_t)512 << 20);
    leveldb_filterpolicy_t *filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_error_if_exists(options, 1);
    leveldb_options_set_write_buffer_size(options, (size_t)64 << 20);
    leveldb_options_set_cache(options, cache);
    leveldb_options_set_filter_policy(options, filter);
    leveldb_options_set_compression(options, leveldb_no_compression);
    leveldb_t *db = leveldb_open(options, argv[1], &error);
    check(error);
    double begin = now();
    uint64_t count = write_random(db, n, 11);
    row("fillrandom", begin, n, count);
    begin = now();
    count = read_random(db, n);
    row("readrandom", begin, n, count);
    begin = now();
    count = read_all(db);
    row("readseq", begin, count, count);
    begin = now();
    count = read_all(db);
    row("readseq-again", begin, count, count);
    begin = now();
    count = write_random(db, n, 13);
    row("overwrite", begin, n, count);
    leveldb_close(db);
    leveldb_options_destroy(options);
    leveldb_cache_destroy(cache);
    leveldb_filterpolicy_destroy(filter);
    return 0;
}
