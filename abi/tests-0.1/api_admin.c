/* Self-test and databases in memory, through the header alone. */
#include "check.h"

static esker_error error;

static void self_test(void) {
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_selftest(0, &error));
  STATUS(ESKER_OK, esker_selftest(0, NULL));
  STATUS(ESKER_INVALID, esker_selftest(1, &error));
  CHECK(error.status == ESKER_INVALID);
  error.struct_size = 1;
  STATUS(ESKER_ABI_MISMATCH, esker_selftest(0, &error));
  error = new_error();
}

/* 20,000 rows of 100 bytes through a write buffer of 64 KiB: memtables, tables, levels. */
static void in_memory(void) {
  esker_db *db = NULL, *other = NULL;
  esker_options *options = NULL;
  esker_iter *iter = NULL;
  esker_snapshot *snapshot = NULL;
  esker_stats stats;
  esker_write_opts sync;
  char key[16], value[101];
  int i, rows = 0;
  static const char text[] = "write_buffer=64KiB; table_size=64KiB; level_bytes=128KiB";
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  memset(&sync, 0, sizeof sync);
  sync.struct_size = sizeof sync;
  sync.durability = ESKER_DURABILITY_SYNC;
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  STATUS_ERR(ESKER_OK, esker_open(NULL, options, ESKER_OPEN_MEMORY, &db, &error));
  STATUS_ERR(ESKER_OK, esker_open("ignored", NULL, ESKER_OPEN_MEMORY, &other, &error));
  for (i = 0; i < 20000; i++) {
    snprintf(key, sizeof key, "%08d", i * 7919 % 20000);
    STATUS(ESKER_OK, put(db, key, value));
  }
  STATUS(ESKER_OK, esker_put(db, &sync, "synced", 6, "1", 1));
  STATUS(ESKER_OK, esker_sync(db, &error));
  CHECK(has(other, NULL, "synced", NULL));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, 0, NULL, &error));
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  CHECK(stats.flushes > 5 && stats.compactions > 0 && stats.table_bytes > 2000000);
  CHECK(stats.latest_seq == 20001 && stats.durable_seq == 20001 && stats.errors == 0);
  CHECK(has(db, NULL, "00012345", value) && has(db, NULL, "synced", "1"));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  while (esker_iter_next(iter) == ESKER_OK) rows++;
  CHECK(rows == 20001);
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_BUSY, esker_close(db, 0, &error));
  STATUS_ERR(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, &error));
  STATUS(ESKER_CLOSED, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS_ERR(ESKER_OK, esker_close(other, 0, &error));

  /* A second open is a new, empty database; the other flags make no difference. */
  STATUS_ERR(ESKER_OK, esker_open(NULL, options, ESKER_OPEN_MEMORY | ESKER_OPEN_EXCLUSIVE, &db, &error));
  CHECK(has(db, NULL, "synced", NULL));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_MISSING, esker_open("memory", NULL, 0, &db, &error));
  STATUS(ESKER_INVALID, esker_open(NULL, NULL, 0, &db, &error));
  STATUS(ESKER_INVALID, esker_open(NULL, NULL, ESKER_OPEN_MEMORY | 1024, &db, &error));
  CHECK(db == NULL);
  STATUS(ESKER_OK, esker_options_free(options));
}

int main(void) {
  self_test();
  in_memory();
  return check_result("api_admin");
}
