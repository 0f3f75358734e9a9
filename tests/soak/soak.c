/* soak: loads many keys, counts them, opens the database again and finds each of them; and looks at memory.
 *
 *   soak DIRECTORY N
 *
 * Peak memory is set beside what the options allow and the tables need: write buffers (the active one and
 * those that wait for their flush), block cache, filters and indexes. More than 1.2 times that sum is a
 * failure, and so is a key that is missing or wrong. Keys have 16 bytes, values 100, in random order. */
#define _GNU_SOURCE
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { KEY = 16, VALUE = 100 };

static const uint64_t write_buffer = 64u << 20, immutable_max = 3, cache_bytes = 128u << 20;
static uint64_t index_filter_max;

static void check(esker_status status, const esker_error *error, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, error != NULL ? error->message : esker_status_text(status));
        exit(1);
    }
}

/* Visits 0 .. n-1 in an order that looks random and is none of the key order: n and the step share no factor. */
static uint64_t step_for(uint64_t n)
{
    uint64_t step = (uint64_t)((double)n * 0.6180339887) | 1;
    for (;; step += 2) {
        uint64_t a = n, b = step;
        while (b != 0) {
            uint64_t rest = a % b;
            a = b;
            b = rest;
        }
        if (a == 1)
            return step % n == 0 ? 1 : step % n;
    }
}

static void make_key(char *key, uint64_t number)
{
    for (int i = KEY - 1; i >= 0; i--, number /= 10)
        key[i] = (char)('0' + number % 10);
}

static void make_value(char *value, uint64_t number)
{
    uint64_t state = number * 0x9E3779B97F4A7C15u + 1;
    for (int i = 0; i < VALUE; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value[i] = (char)state;
    }
}

static uint64_t peak_bytes(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtoull(line + 6, NULL, 10);
    if (f != NULL)
        fclose(f);
    return kib * 1024;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Notes what filters and indexes hold, and tells how far the work is. */
static void note(esker_db *db, const char *what, double since)
{
    esker_stats stats = {0};
    stats.struct_size = sizeof stats;
    check(esker_db_stats(db, &stats), NULL, "stats");
    if (stats.index_filter_bytes > index_filter_max)
        index_filter_max = stats.index_filter_bytes;
    if (what != NULL) {
        printf("%-8s %7.1f s, peak %llu MiB, %llu MiB of tables\n", what, seconds() - since,
               (unsigned long long)(peak_bytes() >> 20), (unsigned long long)(stats.table_bytes >> 20));
        fflush(stdout);
    }
}

static esker_db *open_database(const char *path, uint32_t flags)
{
    char text[256];
    esker_error error = {0};
    esker_options *options;
    esker_db *db;
    error.struct_size = sizeof error;
    int size = snprintf(text, sizeof text, "write_buffer=%llu; immutable_max=%llu; cache_bytes=%llu",
                        (unsigned long long)write_buffer, (unsigned long long)immutable_max,
                        (unsigned long long)cache_bytes);
    check(esker_options_new(&options), NULL, "options");
    check(esker_options_parse(options, text, (size_t)size, &error), &error, "options");
    check(esker_open(path, options, flags, &db, &error), &error, "open");
    check(esker_options_free(options), NULL, "options");
    return db;
}

static void load(esker_db *db, uint64_t n)
{
    char key[KEY], value[VALUE];
    uint64_t step = step_for(n), number = 0;
    for (uint64_t i = 0; i < n; i++, number = (number + step) % n) {
        make_key(key, number);
        make_value(value, number);
        check(esker_put(db, NULL, key, KEY, value, VALUE), NULL, "put");
        if (i % 100000 == 0)
            note(db, NULL, 0);
    }
}

static void count(esker_db *db, uint64_t n)
{
    char key[KEY];
    uint64_t rows = 0;
    const esker_row *row;
    esker_iter *iter;
    esker_status status;
    check(esker_iter_new(db, NULL, &iter), NULL, "iterator");
    check(esker_iter_row(iter, &row), NULL, "row");
    while ((status = esker_iter_next(iter)) == ESKER_OK) {
        make_key(key, rows++);
        if (row->key_len != KEY || memcmp(row->key, key, KEY) != 0 || row->value_len != VALUE) {
            fprintf(stderr, "row %llu is not its key\n", (unsigned long long)rows);
            exit(1);
        }
    }
    check(status, NULL, "next");
    check(esker_iter_free(iter), NULL, "free");
    if (rows != n) {
        fprintf(stderr, "%llu rows instead of %llu\n", (unsigned long long)rows, (unsigned long long)n);
        exit(1);
    }
}

static void find_all(esker_db *db, uint64_t n)
{
    char key[KEY], value[VALUE], expected[VALUE];
    uint64_t step = step_for(n), number = 0;
    size_t size;
    for (uint64_t i = 0; i < n; i++, number = (number + step) % n) {
        make_key(key, number);
        make_value(expected, number);
        esker_status status = esker_get(db, NULL, key, KEY, value, VALUE, &size);
        check(status, NULL, "get");
        if (status != ESKER_OK || size != VALUE || memcmp(value, expected, VALUE) != 0) {
            fprintf(stderr, "key %llu is missing or wrong\n", (unsigned long long)number);
            exit(1);
        }
        if (i % 100000 == 0)
            note(db, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    uint64_t n = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (n < 2) {
        fprintf(stderr, "soak DIRECTORY N\n");
        return 2;
    }
    double since = seconds();
    esker_db *db = open_database(argv[1], ESKER_OPEN_CREATE | ESKER_OPEN_EXCLUSIVE);
    load(db, n);
    note(db, "loaded", since);
    since = seconds();
    count(db, n);
    note(db, "counted", since);
    since = seconds();
    check(esker_close(db, 0, NULL), NULL, "close");
    db = open_database(argv[1], 0);
    note(db, "reopened", since);
    since = seconds();
    find_all(db, n);
    note(db, "found", since);
    check(esker_close(db, 0, NULL), NULL, "close");

    uint64_t buffers = (immutable_max + 1) * write_buffer, sum = buffers + cache_bytes + index_filter_max;
    uint64_t peak = peak_bytes();
    printf("peak %llu MiB; write buffers %llu + cache %llu + filters and indexes %llu = %llu MiB; ratio %.2f\n",
           (unsigned long long)(peak >> 20), (unsigned long long)(buffers >> 20),
           (unsigned long long)(cache_bytes >> 20), (unsigned long long)(index_filter_max >> 20),
           (unsigned long long)(sum >> 20), (double)peak / (double)sum);
    return (double)peak > 1.2 * (double)sum;
}
