#define _GNU_SOURCE
#include "measure.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Below STEPS each number has its bucket; above, each power of two has STEPS / 2 of them. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < STEPS)
        return (unsigned)ns;
    unsigned shift = 58 - (unsigned)__builtin_clzll(ns);
    return shift * (STEPS / 2) + (unsigned)(ns >> shift);
}

static double bucket_top(unsigned bucket)
{
    if (bucket < STEPS)
        return bucket;
    unsigned shift = bucket / (STEPS / 2) - 1;
    return (double)((((uint64_t)(bucket % (STEPS / 2)) + STEPS / 2 + 1) << shift) - 1);
}

void histogram_add(histogram *h, uint64_t ns)
{
    h->count++;
    if (ns > h->max)
        h->max = ns;
    h->bucket[bucket_of(ns)]++;
}

double histogram_at(const histogram *h, double share)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->bucket[i];
        if (h->bucket[i] > 0 && (double)seen >= share * (double)h->count)
            return bucket_top(i) < (double)h->max ? bucket_top(i) : (double)h->max;
    }
    return (double)h->max;
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The number behind `name` in a file of /proc, 0 when there is none. */
static uint64_t proc_number(const char *path, const char *name)
{
    char line[256];
    uint64_t number = 0;
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            number = strtoull(line + strlen(name), NULL, 10);
    if (f != NULL)
        fclose(f);
    return number;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

usage usage_now(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    usage u = {seconds(r.ru_utime) + seconds(r.ru_stime), proc_number("/proc/self/status", "VmHWM:") * 1024,
               proc_number("/proc/self/status", "VmRSS:") * 1024, proc_number("/proc/self/io", "wchar:")};
    return u;
}

void wait_quiet(void)
{
    const struct timespec look = {0, 150 * 1000 * 1000};
    usage before = usage_now();
    for (int quiet = 0; quiet < 2;) {
        nanosleep(&look, NULL);
        usage now = usage_now();
        int busy = now.cpu_seconds - before.cpu_seconds > 0.002 || now.written_bytes != before.written_bytes;
        quiet = busy ? 0 : quiet + 1;
        before = now;
    }
}

static int each_file(const char *directory, void (*visit)(const char *path, const char *name, void *ctx), void *ctx)
{
    char path[4096];
    DIR *d = opendir(directory);
    if (d == NULL)
        return -1;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        visit(path, entry->d_name, ctx);
    }
    closedir(d);
    return 0;
}

typedef struct sum {
    const char *except;
    uint64_t bytes;
} sum;

static void add_size(const char *path, const char *name, void *ctx)
{
    sum *s = ctx;
    struct stat st;
    size_t tail = s->except == NULL ? 0 : strlen(s->except), size = strlen(name);
    int left_out = s->except != NULL && size >= tail && strcmp(name + size - tail, s->except) == 0;
    if (!left_out && lstat(path, &st) == 0)
        s->bytes += (uint64_t)st.st_blocks * 512;
}

uint64_t disk_bytes(const char *directory, const char *except)
{
    sum s = {except, 0};
    each_file(directory, add_size, &s);
    return s.bytes;
}

static void remove_file(const char *path, const char *name, void *ctx)
{
    (void)name;
    (void)ctx;
    unlink(path);
}

void remove_directory(const char *directory)
{
    if (each_file(directory, remove_file, NULL) == 0 && rmdir(directory) != 0) {
        perror(directory);
        exit(2);
    }
}
