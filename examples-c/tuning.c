/* tuning: options, what they do to a database, and where to look.
 *
 *   tuning [DIRECTORY]
 */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(esker_status status, const esker_error *error, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, error != NULL ? error->message : esker_status_text(status));
        exit(1);
    }
}

static uint64_t size_of(esker_db *db, const char *lower, const char *upper)
{
    esker_range range = {{lower, strlen(lower)}, {upper, strlen(upper)}};
    uint64_t size;
    check(esker_approx_sizes(db, 1, &range, &size), NULL, "sizes");
    return size;
}

int main(int argc, char **argv)
{
    esker_error error = {0};
    error.struct_size = sizeof error;

    /* Every option can be listed, with its unit, its range and what it does. */
    esker_option_info info = {0};
    info.struct_size = sizeof info;
    uint32_t id;
    check(esker_option_find("cache_bytes", &id), NULL, "find");
    for (size_t i = 0; i < esker_option_count(); i++) {
        check(esker_option_at(i, &info), NULL, "option");
        if (info.id == id)
            printf("%s: %s, default %s\n", info.name, info.unit, info.default_text);
    }

    /* Writes that come in bursts want a large write buffer; reads, a cache and enough filter bits: about 1 %
     * of the reads of absent keys cost a block at 10 bits per key. A wrong text changes nothing, and says
     * where it is wrong. */
    const char *wrong = "cache_bytes=8MiB; block_size=1";
    const char *text = "cache_bytes=8MiB; write_buffer=1MiB; filter_bits=12,10";
    esker_options *options;
    check(esker_options_new(&options), NULL, "options");
    if (esker_options_parse(options, wrong, strlen(wrong), &error) == ESKER_INVALID)
        printf("refused at byte %d\n", (int)error.offset);
    check(esker_options_parse(options, text, strlen(text), &error), &error, "parse");

    esker_db *db;
    const char *path = argc > 1 ? argv[1] : "/tmp/esker-tuning";
    check(esker_open(path, options, ESKER_OPEN_CREATE, &db, &error), &error, "open");
    check(esker_options_free(options), NULL, "free");

    char key[32], value[100];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 20000; i++) {
        int size = snprintf(key, sizeof key, "%05d", i);
        check(esker_put(db, NULL, key, (size_t)size, value, sizeof value), NULL, "put");
    }

    /* After a load: everything to disk, and merged to one sorted run. Reads then ask one table each. */
    check(esker_compact(db, NULL, NULL, 0, NULL, &error), &error, "compact");

    /* Absent keys are answered by the filters, mostly without a block. */
    size_t size;
    for (int i = 0; i < 1000; i++) {
        int length = snprintf(key, sizeof key, "%05d-", i);
        check(esker_get(db, NULL, key, (size_t)length, value, sizeof value, &size), NULL, "get");
    }
    esker_stats stats = {0};
    stats.struct_size = sizeof stats;
    check(esker_db_stats(db, &stats), NULL, "stats");
    uint64_t blocks = stats.cache_hits + stats.cache_misses, kept = stats.index_filter_bytes;
    uint64_t written = stats.flush_bytes + stats.compaction_bytes_written;
    printf("blocks for 1000 absent keys: %s\n", blocks < 100 ? "less than 100" : "many");
    printf("filters and indexes: %s of the data\n", kept * 20 < stats.table_bytes ? "under 5 %" : "too much");
    printf("written per byte put: %s\n", written < 4 * stats.user_bytes_written ? "under 4" : "much");

    /* How the keys are spread, without reading them. */
    uint64_t tenth = size_of(db, "02000", "04000"), half = size_of(db, "10000", "20000");
    printf("half is %d tenths\n", (int)((half + tenth / 2) / tenth));
    check(esker_close(db, 0, &error), &error, "close");
    return 0;
}

/* Prints:
 * cache_bytes: bytes, default 128MiB
 * refused at byte 29
 * blocks for 1000 absent keys: less than 100
 * filters and indexes: under 5 % of the data
 * written per byte put: under 4
 * half is 5 tenths
 */
