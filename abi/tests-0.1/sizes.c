/* Estimated sizes of key ranges. */
#include "check.h"

static esker_error error;

static esker_slice key(const char *text) {
  esker_slice slice;
  slice.data = text;
  slice.size = text == NULL ? 0 : strlen(text);
  return slice;
}

static esker_range range(const char *lower, const char *upper) {
  esker_range r;
  r.lower = key(lower);
  r.upper = key(upper);
  return r;
}

static void load(esker_db *db, int from, int to) {
  static char value[200];
  char name[16];
  int i;
  memset(value, 'v', sizeof value);
  for (i = from; i < to; i++) {
    snprintf(name, sizeof name, "key%06d", i);
    STATUS(ESKER_OK, esker_put(db, NULL, name, 9, value, sizeof value));
  }
}

/* Whether `found` is what 209 bytes times `entries` would be, give or take. */
static int about(uint64_t found, uint64_t entries, uint64_t percent, uint64_t slack) {
  uint64_t exact = entries * 209;
  int close = found + slack >= exact * (100 - percent) / 100 && found <= exact * (100 + percent) / 100 + slack;
  if (!close) printf("  %lu for %lu entries\n", (unsigned long)found, (unsigned long)entries);
  return close;
}

static uint64_t misses(esker_db *db) {
  esker_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  return stats.cache_misses;
}

static void check_sizes(esker_db *db, int percent) {
  uint64_t sizes[7];
  esker_range ranges[7];
  uint64_t before = misses(db);
  ranges[0] = range(NULL, NULL);
  ranges[1] = range("key005000", NULL);
  ranges[2] = range(NULL, "key001000");
  ranges[3] = range("key002000", "key006000");
  ranges[4] = range("key002000", "key002100");
  ranges[5] = range("a", "b");
  ranges[6] = range("key003000", "key003000");
  STATUS(ESKER_OK, esker_approx_sizes(db, 7, ranges, sizes));
  CHECK(about(sizes[0], 10000, percent, 0));
  CHECK(about(sizes[1], 5000, percent, 8192));
  CHECK(about(sizes[2], 1000, percent, 8192));
  CHECK(about(sizes[3], 4000, percent, 8192));
  CHECK(about(sizes[4], 100, percent, 8192));
  CHECK(sizes[5] == 0 && sizes[6] == 0);
  CHECK(misses(db) == before);
}

int main(int argc, char **argv) {
  esker_options *options = NULL;
  esker_db *db = NULL;
  esker_range wrong;
  uint64_t size = 7;
  if (argc != 2) return 2;
  error = new_error();
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, "table_size=256KiB", 17, &error));
  STATUS_ERR(ESKER_OK, esker_open(path_in(argv[1], "sizes"), options, ESKER_OPEN_CREATE, &db, &error));
  STATUS(ESKER_OK, esker_options_free(options));

  STATUS(ESKER_OK, esker_approx_sizes(db, 0, NULL, NULL));
  wrong = range(NULL, NULL);
  STATUS(ESKER_OK, esker_approx_sizes(db, 1, &wrong, &size));
  CHECK(size == 0);

  /* In memory: the index of a memtable is part of its size, and the spread of keys is guessed. */
  load(db, 0, 10000);
  check_sizes(db, 60);
  /* In tables, of which the ranges cut some. */
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  check_sizes(db, 15);
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, 0, NULL, &error));
  check_sizes(db, 15);
  /* Both at once. */
  load(db, 10000, 12000);
  wrong = range("key009000", "key011000");
  STATUS(ESKER_OK, esker_approx_sizes(db, 1, &wrong, &size));
  CHECK(about(size, 2000, 60, 8192));

  wrong = range("key2", "key1");
  size = 7;
  STATUS(ESKER_INVALID, esker_approx_sizes(db, 1, &wrong, &size));
  CHECK(size == 0);
  wrong = range(NULL, NULL);
  wrong.upper.size = 3;
  STATUS(ESKER_INVALID, esker_approx_sizes(db, 1, &wrong, &size));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return check_result("sizes");
}
