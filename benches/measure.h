/* What is measured: latencies, and what the process has used. */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdint.h>

enum { STEPS = 64, BUCKETS = 64 * STEPS };

/* Latencies in nanoseconds, to about 1.5 %. */
typedef struct histogram {
    uint64_t count, max;
    uint64_t bucket[BUCKETS];
} histogram;

void histogram_add(histogram *h, uint64_t ns);
/* The latency that `share` (0 to 1) of all stay at or below. */
double histogram_at(const histogram *h, double share);

/* What this process has used since it began. */
typedef struct usage {
    double cpu_seconds;
    uint64_t peak_bytes;    /* resident memory, the most there ever was */
    uint64_t now_bytes;     /* and what there is now */
    uint64_t written_bytes; /* through write calls */
} usage;

uint64_t now_ns(void);
usage usage_now(void);
/* Sleeps until the background threads of this process have nothing to do. */
void wait_quiet(void);
/* Bytes on disk of a directory's files; those whose names end in `except` are left out unless it is NULL. */
uint64_t disk_bytes(const char *directory, const char *except);
/* Removes a directory and the files in it, if it is there. */
void remove_directory(const char *directory);

#endif
