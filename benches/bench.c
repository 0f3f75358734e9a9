/* bench: Esker beside LevelDB, and as `bench-compare` beside more stores. A benchmark, never a test of time.
 *
 *   bench DIRECTORY [name=value ...]     n, value, reads, rounds, cache_mib, buffer_mib, seed, rows=a,b, csv=FILE,
 *                                        engines=esker,leveldb; reuse=1 (reads what an earlier run left)
 *   bench DIRECTORY idle                 what an open, empty database uses; exit status 1 when it is too much
 *
 * Each row of each round runs on one store after the other, each time in a process of its own that
 * opens the database, waits until it is quiet, measures, and waits again: so memory, processor time and
 * bytes written are those of this row, background work included, and what the machine does besides hits all
 * stores alike. The figures printed are medians over the rounds. */
#define _GNU_SOURCE
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const engine *const engines[] = {
    &esker_engine,  &leveldb_engine,
#ifdef ALL_ENGINES
    &rocksdb_engine, &rocksdb_tuned_engine, &lmdb_engine, &wiredtiger_engine, &sqlite_engine,
#endif
};

enum { ROWS_MAX = 32, ROUNDS_MAX = 99, ENGINES = sizeof engines / sizeof *engines };

typedef struct parameters {
    const char *directory, *csv, *rows, *engines;
    uint64_t n, value, reads, rounds, cache_mib, buffer_mib, seed, reuse;
} parameters;

/* What a row's process hands to its parent. */
typedef struct result {
    double ns, p50, p99, p999, max, write_amp, space_amp, rss_mib, cpu;
    uint64_t ops, found, side_ops;
} result;

static result results[ROWS_MAX][ENGINES][ROUNDS_MAX];

static void *shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(2);
    }
    return memory;
}

static bool listed(const char *list, const char *name)
{
    size_t size = strlen(name);
    for (const char *at = list; list != NULL && (at = strstr(at, name)) != NULL; at += size)
        if ((at == list || at[-1] == ',') && (at[size] == '\0' || at[size] == ','))
            return true;
    return list == NULL || *list == '\0';
}

static void run_row(const row *r, work *w, result *out)
{
    if (r->fresh) {
        remove_directory(w->directory);
        memset(w->live, 0, (w->keys + 7) / 8);
    }
    usage before = usage_now();
    w->db = w->engine->open(w->directory, w->settings);
    if (!r->fresh)
        wait_quiet();
    r->run(w);
    wait_quiet();
    usage after = usage_now();
    double live_bytes = (double)live_keys(w) * (double)(16 + w->value_size);
    w->engine->close(w->db);
    out->ops = w->ops;
    out->found = w->found;
    out->side_ops = w->side_ops;
    out->ns = w->ops > 0 ? (double)w->ns / (double)w->ops : 0;
    out->p50 = histogram_at(&w->latency, 0.5);
    out->p99 = histogram_at(&w->latency, 0.99);
    out->p999 = histogram_at(&w->latency, 0.999);
    out->max = (double)w->latency.max;
    if (w->user_bytes > 0)
        out->write_amp = (double)(after.written_bytes - before.written_bytes) / (double)w->user_bytes;
    if (live_bytes > 0)
        out->space_amp = (double)disk_bytes(w->directory, NULL) / live_bytes;
    out->rss_mib = (double)after.peak_bytes / (1 << 20);
    out->cpu = after.cpu_seconds - before.cpu_seconds;
}

/* Runs a row in a process of its own. */
static void fork_row(const row *r, unsigned e, const parameters *p, uint64_t round, uint8_t *live, result *out)
{
    static const settings same = {0, 0, 4096, 10, 1000};
    char directory[4096];
    snprintf(directory, sizeof directory, "%s/%s%s", p->directory, engines[e]->name, r->kept ? "" : ".row");
    result *answer = shared(sizeof *answer);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        settings settings = same;
        settings.cache_bytes = p->cache_mib << 20;
        settings.write_buffer = p->buffer_mib << 20;
        work *w = calloc(1, sizeof *w);
        if (w == NULL)
            abort();
        w->engine = engines[e];
        w->settings = &settings;
        w->directory = directory;
        w->keys = p->n;
        w->reads = p->reads;
        w->value_size = p->value;
        w->seed = p->seed + round;
        w->live = live;
        run_row(r, w, answer);
        if (!r->kept)
            remove_directory(directory);
        fflush(NULL);
        _exit(0);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fprintf(stderr, "%s on %s did not end well\n", r->name, engines[e]->name);
        exit(2);
    }
    *out = *answer;
    munmap(answer, sizeof *answer);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over the rounds of the number at `offset` of the result. */
static double median(unsigned row, unsigned e, uint64_t rounds, size_t offset)
{
    double all[ROUNDS_MAX];
    for (uint64_t i = 0; i < rounds; i++)
        memcpy(&all[i], (const char *)&results[row][e][i] + offset, sizeof all[i]);
    qsort(all, rounds, sizeof all[0], by_size);
    return rounds % 2 ? all[rounds / 2] : (all[rounds / 2 - 1] + all[rounds / 2]) / 2;
}

static void print_row(unsigned at, const parameters *p)
{
#define MEDIAN(e, field) median(at, e, p->rounds, offsetof(result, field))
    for (unsigned e = 0; e < ENGINES; e++) {
        if (!listed(p->engines, engines[e]->name))
            continue;
        printf("| %-16s | %-13s | %12.0f | %9.2f | %9.2f | %9.2f | %11.0f | %5.2f | %5.2f | %6.1f | %6.2f | ",
               e == 0 ? rows[at].name : "", engines[e]->name, MEDIAN(e, ns), MEDIAN(e, p50) / 1e3,
               MEDIAN(e, p99) / 1e3, MEDIAN(e, p999) / 1e3, MEDIAN(e, max) / 1e3, MEDIAN(e, write_amp),
               MEDIAN(e, space_amp), MEDIAN(e, rss_mib), MEDIAN(e, cpu));
        if (e > 0 && listed(p->engines, engines[0]->name)) {
            double low = 1e9, high = 0;
            for (uint64_t i = 0; i < p->rounds; i++) {
                double ratio = results[at][e][i].ns / results[at][0][i].ns;
                low = ratio < low ? ratio : low;
                high = ratio > high ? ratio : high;
            }
            printf("%5.2f (%.2f to %.2f)", MEDIAN(e, ns) / MEDIAN(0, ns), low, high);
        }
        printf(" |\n");
    }
#undef MEDIAN
}

static void print_table(const parameters *p)
{
    printf("| row              | store         |        ns/op |   p50 µs |   p99 µs | p99.9 µs |      max µs | write | space"
           "  | MiB    | CPU s  | throughput, esker : this |\n");
    printf("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n");
    for (unsigned at = 0; at < row_count; at++)
        if (listed(p->rows, rows[at].name))
            print_row(at, p);
}

static void write_csv(const parameters *p)
{
    FILE *f = fopen(p->csv, "w");
    if (f == NULL) {
        perror(p->csv);
        exit(2);
    }
    fprintf(f, "round,row,store,ops,found,writer_ops,ns_per_op,p50_ns,p99_ns,p999_ns,max_ns,write_amp,space_amp,"
               "peak_mib,cpu_s\n");
    for (uint64_t round = 0; round < p->rounds; round++)
        for (unsigned at = 0; at < row_count; at++)
            for (unsigned e = 0; e < ENGINES; e++) {
                const result *r = &results[at][e][round];
                if (r->ops > 0)
                    fprintf(f, "%d,%s,%s,%llu,%llu,%llu,%.1f,%.0f,%.0f,%.0f,%.0f,%.3f,%.3f,%.1f,%.3f\n", (int)round,
                            rows[at].name, engines[e]->name, (unsigned long long)r->ops,
                            (unsigned long long)r->found, (unsigned long long)r->side_ops, r->ns, r->p50, r->p99,
                            r->p999, r->max, r->write_amp, r->space_amp, r->rss_mib, r->cpu);
            }
    fclose(f);
}

/* Ends the run when two stores found different numbers of keys. */
static void same_found(unsigned at, uint64_t round, const parameters *p)
{
    const result *first = NULL;
    for (unsigned e = 0; e < ENGINES; e++) {
        if (!listed(p->engines, engines[e]->name))
            continue;
        if (first == NULL)
            first = &results[at][e][round];
        if (results[at][e][round].found != first->found) {
            fprintf(stderr, "%s: the stores found different numbers of keys\n", rows[at].name);
            exit(1);
        }
    }
}

static void run_all(const parameters *p)
{
    uint8_t *live[ENGINES];
    for (unsigned e = 0; e < ENGINES; e++)
        live[e] = shared((p->n + 7) / 8);
    for (uint64_t round = 0; round < p->rounds; round++) {
        for (unsigned at = 0; at < row_count; at++) {
            const row *r = &rows[at];
            /* The database of the rows after it. */
            bool needed = r->fresh && r->kept && !p->reuse;
            if (!listed(p->rows, r->name) && !needed)
                continue;
            fprintf(stderr, "round %d: %-16s", (int)round + 1, r->name);
            for (unsigned e = 0; e < ENGINES; e++) {
                if (!listed(p->engines, engines[e]->name))
                    continue;
                fork_row(r, e, p, round, live[e], &results[at][e][round]);
                fprintf(stderr, " %s %.0f ns/op", engines[e]->name, results[at][e][round].ns);
            }
            fprintf(stderr, "\n");
            if (r->exact)
                same_found(at, round, p);
        }
    }
}

/* An open, empty database must cost next to nothing. */
static int idle(const char *directory)
{
    const settings settings = {128 << 20, 64 << 20, 4096, 10, 1000};
    char path[4096];
    snprintf(path, sizeof path, "%s/idle", directory);
    remove_directory(path);
    usage start = usage_now();
    void *db = esker_engine.open(path, &settings);
    wait_quiet();
    usage before = usage_now();
    sleep(3);
    usage after = usage_now();
    double cpu_ms = (after.cpu_seconds - before.cpu_seconds) * 1e3;
    uint64_t memory = after.now_bytes - start.now_bytes, disk = disk_bytes(path, ".wal");
    uint64_t prepared = disk_bytes(path, NULL) - disk;
    esker_engine.close(db);
    remove_directory(path);
    printf("idle: %.1f ms of processor time in 3 s, %llu KiB of memory, %llu KiB of disk beside the log's %llu KiB\n",
           cpu_ms, (unsigned long long)memory / 1024, (unsigned long long)disk / 1024,
           (unsigned long long)prepared / 1024);
    return cpu_ms > 1 || memory >= 4u << 20 || disk >= 64u << 10;
}

static bool set_number(const char *argument, const char *name, uint64_t *number)
{
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0 || argument[size] != '=')
        return false;
    *number = strtoull(argument + size + 1, NULL, 10);
    return true;
}

static bool set_text(const char *argument, const char *name, const char **text)
{
    size_t size = strlen(name);
    if (strncmp(argument, name, size) != 0 || argument[size] != '=')
        return false;
    *text = argument + size + 1;
    return true;
}

int main(int argc, char **argv)
{
    parameters p = {NULL, NULL, NULL, NULL, 2000000, 100, 0, 3, 128, 64, 1, 0};
    if (argc < 2) {
        fprintf(stderr, "bench DIRECTORY [name=value ...]\n");
        return 2;
    }
    p.directory = argv[1];
    if (mkdir(p.directory, 0700) != 0 && access(p.directory, W_OK) != 0) {
        perror(p.directory);
        return 2;
    }
    if (argc == 3 && strcmp(argv[2], "idle") == 0)
        return idle(p.directory);
    for (int i = 2; i < argc; i++) {
        const char *a = argv[i];
        if (!set_number(a, "n", &p.n) && !set_number(a, "value", &p.value) && !set_number(a, "reads", &p.reads) &&
            !set_number(a, "rounds", &p.rounds) && !set_number(a, "cache_mib", &p.cache_mib) &&
            !set_number(a, "buffer_mib", &p.buffer_mib) && !set_number(a, "seed", &p.seed) &&
            !set_number(a, "reuse", &p.reuse) &&
            !set_text(a, "rows", &p.rows) && !set_text(a, "csv", &p.csv) && !set_text(a, "engines", &p.engines)) {
            fprintf(stderr, "unknown: %s\n", a);
            return 2;
        }
    }
    p.reads = p.reads ? p.reads : p.n;
    if (p.n == 0 || p.value == 0 || p.value > 4096 || p.rounds == 0 || p.rounds > ROUNDS_MAX) {
        fprintf(stderr, "n, value (at most 4096) and rounds (at most %d) are out of range\n", ROUNDS_MAX);
        return 2;
    }
    run_all(&p);
    printf("n=%llu value=%llu reads=%llu rounds=%llu cache_mib=%llu buffer_mib=%llu\n\n", (unsigned long long)p.n,
           (unsigned long long)p.value, (unsigned long long)p.reads, (unsigned long long)p.rounds,
           (unsigned long long)p.cache_mib, (unsigned long long)p.buffer_mib);
    print_table(&p);
    if (p.csv != NULL)
        write_csv(&p);
    return 0;
}
