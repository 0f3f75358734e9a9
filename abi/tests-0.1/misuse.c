/* Wrong calls: every one gets its documented status, none a signal. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *work;
static esker_error error;

static esker_db *open_new(const char *name) {
  esker_db *db = NULL;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), NULL, ESKER_OPEN_CREATE, &db, &error));
  return db;
}

/* Whatever is passed for a database handle that is not one. */
static void bad_database(esker_db *db) {
  char buffer[8];
  size_t size, count;
  uint64_t seq;
  esker_pin pin;
  esker_batch *batch = NULL;
  esker_iter *iter = (esker_iter *)buffer;
  esker_snapshot *snapshot = (esker_snapshot *)buffer;
  esker_stats stats;
  esker_error filled = new_error();
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_MISUSE, esker_put(db, NULL, "k", 1, "v", 1));
  STATUS(ESKER_MISUSE, esker_delete(db, NULL, "k", 1));
  STATUS(ESKER_MISUSE, esker_get(db, NULL, "k", 1, buffer, sizeof buffer, &size));
  STATUS(ESKER_MISUSE, esker_get_pin(db, NULL, "k", 1, &pin));
  STATUS(ESKER_MISUSE, esker_exists(db, NULL, "k", 1, &size));
  STATUS(ESKER_MISUSE, esker_write(db, NULL, batch, &seq));
  STATUS(ESKER_MISUSE, esker_write_bytes(db, NULL, "\1\0\0\0\0\0\0", 8, &seq));
  STATUS(ESKER_MISUSE, esker_scan(db, NULL, NULL, NULL));
  STATUS(ESKER_MISUSE, esker_multi_get(db, NULL, 0, NULL, NULL, 0, NULL));
  STATUS(ESKER_MISUSE, esker_sync(db, NULL));
  STATUS(ESKER_MISUSE, esker_latest_seq(db, &seq));
  STATUS(ESKER_MISUSE, esker_durable_seq(db, &seq));
  STATUS(ESKER_MISUSE, esker_errors(db, 0, &filled, 1, &count, &seq));
  STATUS(ESKER_MISUSE, esker_iter_new(db, NULL, &iter));
  CHECK(iter == NULL);
  STATUS(ESKER_MISUSE, esker_snapshot_new(db, &snapshot));
  CHECK(snapshot == NULL);
  STATUS(ESKER_MISUSE, esker_flush(db, &filled));
  CHECK(filled.status == ESKER_MISUSE && (filled.flags & ESKER_ERROR_CALLER_BUG) != 0);
  STATUS(ESKER_MISUSE, esker_compact(db, NULL, NULL, 0, NULL, NULL));
  STATUS(ESKER_MISUSE, esker_approx_sizes(db, 0, NULL, NULL));
  STATUS(ESKER_MISUSE, esker_db_stats(db, &stats));
  STATUS(ESKER_MISUSE, esker_property(db, "levels", buffer, sizeof buffer, &size));
  STATUS(ESKER_MISUSE, esker_metrics_text(db, buffer, sizeof buffer, &size));
  if (db != NULL) {
    STATUS(ESKER_MISUSE, esker_batch_put(batch, db, "k", 1, "v", 1));
    STATUS(ESKER_MISUSE, esker_batch_delete(batch, db, "k", 1));
    STATUS(ESKER_MISUSE, esker_close(db, 0, NULL));
  }
  STATUS(ESKER_OK, esker_batch_free(batch));
}

static void handles(void) {
  esker_db *db = open_new("handles"), *closed = open_new("closed");
  esker_batch *batch = NULL;
  esker_options *options = NULL, *copy = NULL;
  esker_iter *iter = NULL;
  esker_snapshot *snapshot = NULL;
  const esker_row *row;
  esker_slice bytes;
  uint64_t number;
  size_t size;
  char here[64];
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, esker_close(closed, 0, NULL));

  bad_database(NULL);
  bad_database(closed);
  bad_database((esker_db *)(void *)batch);
  bad_database((esker_db *)(void *)iter);
  bad_database((esker_db *)(void *)here);
  bad_database((esker_db *)(uintptr_t)1);
  bad_database((esker_db *)~(uintptr_t)0);
  bad_database((esker_db *)((uintptr_t)db ^ 8));
  bad_database((esker_db *)((uintptr_t)db + 4));
  error = new_error();
  STATUS(ESKER_MISUSE, esker_last_error(NULL, &error));
  STATUS(ESKER_MISUSE, esker_last_error(closed, &error));
  STATUS(ESKER_MISUSE, esker_last_error(options, &error));
  STATUS(ESKER_MISUSE, esker_last_error(here, &error));

  /* The wrong type, and then a freed one, for every other kind of handle. */
  STATUS(ESKER_MISUSE, esker_batch_put((esker_batch *)(void *)db, NULL, "k", 1, "v", 1));
  STATUS(ESKER_MISUSE, esker_batch_free((esker_batch *)(void *)db));
  STATUS(ESKER_MISUSE, esker_iter_next((esker_iter *)(void *)batch));
  STATUS(ESKER_MISUSE, esker_iter_chunk((esker_iter *)(void *)batch, NULL));
  STATUS(ESKER_MISUSE, esker_iter_free((esker_iter *)(void *)batch));
  STATUS(ESKER_MISUSE, esker_snapshot_seq((esker_snapshot *)(void *)db, &number));
  STATUS(ESKER_MISUSE, esker_snapshot_free((esker_snapshot *)(void *)iter));
  STATUS(ESKER_MISUSE, esker_options_set_u64((esker_options *)(void *)db, ESKER_OPT_LEVELS, 3, NULL));
  STATUS(ESKER_MISUSE, esker_options_free((esker_options *)(void *)snapshot));
  STATUS(ESKER_MISUSE, esker_write(db, NULL, (esker_batch *)(void *)options, NULL));
  STATUS(ESKER_MISUSE, esker_write(db, NULL, NULL, NULL));
  STATUS(ESKER_MISUSE, esker_batch_append(batch, NULL));
  STATUS(ESKER_MISUSE, esker_batch_append(NULL, batch));

  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_MISUSE, esker_iter_free(iter));
  STATUS(ESKER_MISUSE, esker_iter_chunk(iter, NULL));
  STATUS(ESKER_MISUSE, esker_iter_first(iter));
  STATUS(ESKER_MISUSE, esker_iter_last(iter));
  STATUS(ESKER_MISUSE, esker_iter_next(iter));
  STATUS(ESKER_MISUSE, esker_iter_prev(iter));
  STATUS(ESKER_MISUSE, esker_iter_seek(iter, ESKER_SEEK_GE, "k", 1));
  STATUS(ESKER_MISUSE, esker_iter_row(iter, &row));
  STATUS(ESKER_MISUSE, esker_last_error(iter, &error));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_MISUSE, esker_snapshot_free(snapshot));
  STATUS(ESKER_MISUSE, esker_snapshot_seq(snapshot, &number));
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_MISUSE, esker_batch_free(batch));
  STATUS(ESKER_MISUSE, esker_batch_clear(batch));
  STATUS(ESKER_MISUSE, esker_batch_reserve(batch, 1));
  STATUS(ESKER_MISUSE, esker_batch_count(batch, &number));
  STATUS(ESKER_MISUSE, esker_batch_bytes(batch, &bytes));
  STATUS(ESKER_MISUSE, esker_batch_from_bytes(batch, "", 0));
  STATUS(ESKER_MISUSE, esker_write(db, NULL, batch, NULL));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_MISUSE, esker_options_free(options));
  STATUS(ESKER_MISUSE, esker_options_clone(options, &copy));
  STATUS(ESKER_MISUSE, esker_options_parse(options, "levels=3", 8, NULL));
  STATUS(ESKER_MISUSE, esker_options_get_text(options, ESKER_OPT_LEVELS, here, sizeof here, &size));
  STATUS(ESKER_MISUSE, esker_open(path_in(work, "x"), options, ESKER_OPEN_CREATE, &closed, NULL));
  CHECK(closed == NULL);
  STATUS(ESKER_MISUSE, esker_destroy(path_in(work, "x"), options, NULL));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
  STATUS(ESKER_MISUSE, esker_close(db, 0, NULL));

  /* NULL is fine wherever something is given back. */
  STATUS(ESKER_OK, esker_close(NULL, 0, NULL));
  STATUS(ESKER_OK, esker_iter_free(NULL));
  STATUS(ESKER_OK, esker_batch_free(NULL));
  STATUS(ESKER_OK, esker_snapshot_free(NULL));
  STATUS(ESKER_OK, esker_options_free(NULL));
  STATUS(ESKER_OK, esker_unpin(NULL));
}

static void null_pointers(void) {
  esker_db *db = open_new("null"), *other = db;
  esker_batch *batch = NULL;
  esker_options *options = NULL;
  esker_iter *iter = NULL;
  esker_snapshot *snapshot = NULL;
  esker_batch_op op;
  esker_read_opts read;
  char buffer[8];
  size_t size;
  uint64_t number;
  uint32_t id;
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;

  STATUS(ESKER_INVALID, esker_open(NULL, NULL, ESKER_OPEN_CREATE, &other, NULL));
  CHECK(other == NULL);
  STATUS(ESKER_INVALID, esker_open(path_in(work, "x"), NULL, ESKER_OPEN_CREATE, NULL, NULL));
  STATUS(ESKER_INVALID, esker_destroy(NULL, NULL, NULL));
  STATUS(ESKER_INVALID, esker_put(db, NULL, NULL, 1, "v", 1));
  STATUS(ESKER_INVALID, esker_put(db, NULL, "k", 1, NULL, 1));
  STATUS(ESKER_INVALID, esker_delete(db, NULL, NULL, 1));
  STATUS(ESKER_INVALID, esker_get(db, NULL, NULL, 1, buffer, sizeof buffer, &size));
  STATUS(ESKER_INVALID, esker_get(db, NULL, "k", 1, NULL, 1, &size));
  STATUS(ESKER_INVALID, esker_get(db, NULL, "k", 1, buffer, sizeof buffer, NULL));
  STATUS(ESKER_INVALID, esker_get_pin(db, NULL, "k", 1, NULL));
  STATUS(ESKER_INVALID, esker_exists(db, NULL, NULL, 1, NULL));
  STATUS(ESKER_INVALID, esker_latest_seq(db, NULL));
  STATUS(ESKER_INVALID, esker_durable_seq(db, NULL));
  STATUS(ESKER_INVALID, esker_snapshot_seq(snapshot, NULL));
  STATUS(ESKER_INVALID, esker_snapshot_new(db, NULL));
  STATUS(ESKER_INVALID, esker_iter_new(db, NULL, NULL));
  STATUS(ESKER_INVALID, esker_iter_row(iter, NULL));
  STATUS(ESKER_INVALID, esker_iter_seek(iter, ESKER_SEEK_GE, NULL, 1));
  STATUS(ESKER_INVALID, esker_batch_new(NULL));
  STATUS(ESKER_INVALID, esker_batch_put(batch, NULL, NULL, 1, "v", 1));
  STATUS(ESKER_INVALID, esker_batch_put(batch, NULL, "k", 1, NULL, 1));
  STATUS(ESKER_INVALID, esker_batch_delete(batch, NULL, NULL, 1));
  STATUS(ESKER_INVALID, esker_batch_count(batch, NULL));
  STATUS(ESKER_INVALID, esker_batch_bytes(batch, NULL));
  STATUS(ESKER_INVALID, esker_batch_from_bytes(batch, NULL, 1));
  STATUS(ESKER_INVALID, esker_batch_next(batch, NULL, &op));
  number = 0;
  STATUS(ESKER_INVALID, esker_batch_next(batch, &number, NULL));
  STATUS(ESKER_INVALID, esker_options_new(NULL));
  STATUS(ESKER_INVALID, esker_options_clone(options, NULL));
  STATUS(ESKER_INVALID, esker_options_set_text(options, ESKER_OPT_FILTER, NULL, 1, NULL));
  STATUS(ESKER_INVALID, esker_options_parse(options, NULL, 1, NULL));
  STATUS(ESKER_OK, esker_options_parse(options, NULL, 0, NULL));
  STATUS(ESKER_INVALID, esker_options_get_text(options, ESKER_OPT_FILTER, buffer, sizeof buffer, NULL));
  STATUS(ESKER_INVALID, esker_options_get_text(options, ESKER_OPT_FILTER, NULL, 4, &size));
  STATUS(ESKER_INVALID, esker_option_at(0, NULL));
  STATUS(ESKER_INVALID, esker_option_find(NULL, &id));
  STATUS(ESKER_INVALID, esker_option_find("levels", NULL));
  STATUS(ESKER_INVALID, esker_property(db, NULL, buffer, sizeof buffer, &size));
  STATUS(ESKER_INVALID, esker_property(db, "levels", NULL, 4, &size));
  STATUS(ESKER_INVALID, esker_property(db, "levels", buffer, sizeof buffer, NULL));
  STATUS(ESKER_INVALID, esker_metrics_text(db, NULL, 4, &size));
  STATUS(ESKER_INVALID, esker_metrics_text(db, buffer, sizeof buffer, NULL));
  STATUS(ESKER_INVALID, esker_approx_sizes(db, 1, NULL, &number));
  STATUS(ESKER_INVALID, esker_approx_sizes(db, (size_t)-1, NULL, &number));
  STATUS(ESKER_INVALID, esker_db_stats(db, NULL));
  STATUS(ESKER_INVALID, esker_last_error(db, NULL));
  STATUS(ESKER_INVALID, esker_errors(db, 0, NULL, 1, &size, &number));
  STATUS(ESKER_INVALID, esker_errors(db, 0, NULL, 0, NULL, &number));
  STATUS(ESKER_INVALID, esker_errors(db, 0, NULL, 0, &size, NULL));
  memset(&read, 0, sizeof read);
  read.struct_size = sizeof read;
  read.prefix.size = 3;
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_INVALID, esker_iter_new(db, &read, &iter));
  CHECK(iter == NULL);
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void lengths(void) {
  esker_db *db = open_new("lengths");
  esker_batch *batch = NULL;
  esker_options *options = NULL;
  esker_iter *iter = NULL;
  esker_read_opts read;
  char buffer[8];
  size_t size = 7;
  size_t i;
  const size_t huge[] = {(size_t)-1, (size_t)1 << 63, ((size_t)1 << 63) - 1, (size_t)1 << 40};
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, put(db, "k", "v"));
  for (i = 0; i < sizeof huge / sizeof huge[0]; i++) {
    STATUS(ESKER_LIMIT, esker_put(db, NULL, "k", huge[i], "v", 1));
    STATUS(ESKER_LIMIT, esker_put(db, NULL, "k", 1, "v", huge[i]));
    STATUS(ESKER_LIMIT, esker_delete(db, NULL, "k", huge[i]));
    STATUS(ESKER_LIMIT, esker_get(db, NULL, "k", huge[i], buffer, sizeof buffer, &size));
    CHECK(size == 0);
    STATUS(ESKER_LIMIT, esker_exists(db, NULL, "k", huge[i], NULL));
    STATUS(ESKER_LIMIT, esker_iter_seek(iter, ESKER_SEEK_GE, "k", huge[i]));
    STATUS(ESKER_LIMIT, esker_batch_put(batch, NULL, "k", huge[i], "v", 1));
    STATUS(ESKER_LIMIT, esker_batch_put(batch, NULL, "k", 1, "v", huge[i]));
    STATUS(ESKER_LIMIT, esker_batch_delete(batch, NULL, "k", huge[i]));
    STATUS(ESKER_LIMIT, esker_batch_from_bytes(batch, "x", huge[i]));
    STATUS(ESKER_LIMIT, esker_batch_reserve(batch, huge[i]));
    STATUS(ESKER_LIMIT, esker_options_set_text(options, ESKER_OPT_LEVELS, "3", huge[i], NULL));
    STATUS(ESKER_LIMIT, esker_options_parse(options, "levels=3", huge[i], NULL));
    /* A buffer may be said to be larger than anything: no more than the value is written. */
    STATUS(ESKER_OK, esker_get(db, NULL, "k", 1, buffer, huge[i], &size));
    CHECK(size == 1 && buffer[0] == 'v');
  }
  memset(&read, 0, sizeof read);
  read.struct_size = sizeof read;
  read.lower.data = "a";
  read.lower.size = (size_t)-1;
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_LIMIT, esker_iter_new(db, &read, &iter));
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void struct_sizes(void) {
  static const uint32_t wrong[] = {0, 1, 4, 16, 65537, 0xffffffffu};
  esker_db *db = open_new("sizes"), *other = NULL;
  esker_read_opts read;
  esker_write_opts write;
  esker_stats stats;
  esker_option_info info;
  esker_batch_op op;
  esker_batch *batch = NULL;
  esker_job job;
  esker_error filled;
  uint64_t number = 0;
  size_t size, i;
  struct {
    esker_read_opts known;
    uint64_t tail[4];
  } longer;
  struct {
    esker_error known;
    unsigned char tail[32];
  } longer_error;
  char buffer[8];
  memset(&read, 0, sizeof read);
  memset(&write, 0, sizeof write);
  memset(&stats, 0, sizeof stats);
  memset(&info, 0, sizeof info);
  memset(&op, 0, sizeof op);
  memset(&job, 0, sizeof job);
  memset(&filled, 0, sizeof filled);
  STATUS(ESKER_OK, esker_batch_new(&batch));
  for (i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    read.struct_size = write.struct_size = stats.struct_size = info.struct_size = wrong[i];
    op.struct_size = job.struct_size = filled.struct_size = wrong[i];
    STATUS(ESKER_ABI_MISMATCH, esker_get(db, &read, "k", 1, buffer, sizeof buffer, &size));
    STATUS(ESKER_ABI_MISMATCH, esker_put(db, &write, "k", 1, "v", 1));
    STATUS(ESKER_ABI_MISMATCH, esker_db_stats(db, &stats));
    STATUS(ESKER_ABI_MISMATCH, esker_option_at(0, &info));
    STATUS(ESKER_ABI_MISMATCH, esker_batch_next(batch, &number, &op));
    STATUS(ESKER_ABI_MISMATCH, esker_compact(db, NULL, NULL, 0, &job, NULL));
    STATUS(ESKER_ABI_MISMATCH, esker_last_error(db, &filled));
    STATUS(ESKER_ABI_MISMATCH, esker_errors(db, 0, &filled, 1, &size, &number));
    STATUS(ESKER_ABI_MISMATCH, esker_sync(db, &filled));
    STATUS(ESKER_ABI_MISMATCH, esker_close(db, 0, &filled));
    STATUS(ESKER_ABI_MISMATCH, esker_open(path_in(work, "no"), NULL, ESKER_OPEN_CREATE, &other, &filled));
    CHECK(other == NULL && access(path_in(work, "no"), F_OK) != 0);
  }
  CHECK(has(db, NULL, "k", NULL));
  /* A longer struct of a later release: fine while what is not known here is zero. */
  memset(&longer, 0, sizeof longer);
  longer.known.struct_size = sizeof longer;
  STATUS(ESKER_OK, put(db, "k", "v"));
  STATUS(ESKER_OK, esker_get(db, &longer.known, "k", 1, buffer, sizeof buffer, &size));
  longer.tail[3] = 1;
  STATUS(ESKER_ABI_MISMATCH, esker_get(db, &longer.known, "k", 1, buffer, sizeof buffer, &size));
  memset(&longer_error, 0xee, sizeof longer_error);
  longer_error.known.struct_size = sizeof longer_error - 1;
  STATUS(ESKER_OK, esker_last_error(db, &longer_error.known));
  CHECK(longer_error.known.struct_size == sizeof longer_error - 1 && longer_error.known.status < 0);
  CHECK(longer_error.tail[0] == 0 && longer_error.tail[30] == 0 && longer_error.tail[31] == 0xee);
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void numbers(void) {
  esker_db *db = open_new("numbers"), *other = NULL;
  esker_read_opts read;
  esker_write_opts write;
  esker_job job;
  esker_iter *iter = NULL;
  esker_option_info info;
  char buffer[8];
  size_t size;
  memset(&read, 0, sizeof read);
  memset(&write, 0, sizeof write);
  memset(&job, 0, sizeof job);
  memset(&info, 0, sizeof info);
  read.struct_size = sizeof read;
  write.struct_size = sizeof write;
  job.struct_size = sizeof job;
  info.struct_size = sizeof info;
  error = new_error();
  STATUS(ESKER_INVALID, esker_open(path_in(work, "flags"), NULL, 0x40, &other, &error));
  CHECK(strstr(error.message, "0x40") != NULL);
  STATUS(ESKER_INVALID, esker_open(path_in(work, "flags"), NULL, ESKER_OPEN_EXCLUSIVE, &other, NULL));
  STATUS(ESKER_INVALID, esker_close(db, 2, &error));
  STATUS(ESKER_INVALID, esker_compact(db, NULL, NULL, 4, NULL, NULL));
  job.flags = 1;
  STATUS(ESKER_INVALID, esker_compact(db, NULL, NULL, 0, &job, NULL));
  read.flags = 64;
  STATUS(ESKER_INVALID, esker_get(db, &read, "k", 1, buffer, sizeof buffer, &size));
  write.durability = 5;
  STATUS(ESKER_INVALID, esker_put(db, &write, "k", 1, "v", 1));
  write.durability = 0;
  write.flags = 2;
  STATUS(ESKER_INVALID, esker_put(db, &write, "k", 1, "v", 1));
  write.flags = 0;
  write.reserved = 1;
  STATUS(ESKER_INVALID, esker_delete(db, &write, "k", 1));
  STATUS(ESKER_INVALID, esker_option_at(esker_option_count(), &info));
  STATUS(ESKER_INVALID, esker_option_at((size_t)-1, &info));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_INVALID, esker_iter_seek(iter, 5, "k", 1));
  STATUS(ESKER_INVALID, esker_iter_seek(iter, 0xffffffffu, "k", 1));
  STATUS(ESKER_OK, esker_last_error(iter, &error));
  CHECK(error.status == ESKER_INVALID);
  STATUS(ESKER_OK, esker_iter_free(iter));
  read.flags = 0;
  read.lower.data = "b";
  read.lower.size = 1;
  read.upper.data = "a";
  read.upper.size = 1;
  STATUS(ESKER_INVALID, esker_iter_new(db, &read, &iter));
  CHECK(has(db, NULL, "k", NULL));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void snapshot_of_another_database(void) {
  esker_db *one = open_new("one"), *two = open_new("two");
  esker_snapshot *snapshot = NULL;
  esker_iter *iter = NULL;
  esker_read_opts read;
  size_t size;
  memset(&read, 0, sizeof read);
  read.struct_size = sizeof read;
  STATUS(ESKER_OK, esker_snapshot_new(one, &snapshot));
  read.snapshot = snapshot;
  STATUS(ESKER_NOT_FOUND, esker_get(one, &read, "k", 1, NULL, 0, &size));
  STATUS(ESKER_INVALID, esker_get(two, &read, "k", 1, NULL, 0, &size));
  STATUS(ESKER_INVALID, esker_iter_new(two, &read, &iter));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_MISUSE, esker_get(one, &read, "k", 1, NULL, 0, &size));
  read.snapshot = (const esker_snapshot *)(const void *)one;
  STATUS(ESKER_MISUSE, esker_get(one, &read, "k", 1, NULL, 0, &size));
  STATUS(ESKER_OK, esker_close(one, 0, NULL));
  STATUS(ESKER_OK, esker_close(two, 0, NULL));
}

static void pins(void) {
  esker_db *db = open_new("pins");
  esker_pin pin, copy, forged;
  STATUS(ESKER_OK, put(db, "k", "value"));
  STATUS(ESKER_OK, esker_get_pin(db, NULL, "k", 1, &pin));
  copy = pin;
  STATUS(ESKER_OK, esker_unpin(&pin));
  STATUS(ESKER_OK, esker_unpin(&pin));
  STATUS(ESKER_MISUSE, esker_unpin(&copy));
  memset(&forged, 0x5a, sizeof forged);
  STATUS(ESKER_MISUSE, esker_unpin(&forged));
  memset(&forged, 0, sizeof forged);
  forged.opaque[0] = (uint64_t)(uintptr_t)db;
  STATUS(ESKER_MISUSE, esker_unpin(&forged));
  memset(&forged, 0xff, sizeof forged);
  STATUS(ESKER_NOT_FOUND, esker_get_pin(db, NULL, "absent", 6, &forged));
  CHECK(forged.data == NULL && forged.size == 0 && forged.opaque[0] == 0);
  STATUS(ESKER_OK, esker_unpin(&forged));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

/* 1,000 handles made and freed: none of the old values is ever taken for a live one. */
static void stale_handles(void) {
  enum { ROUNDS = 1000 };
  static esker_batch *old[ROUNDS];
  int i;
  uint64_t count;
  for (i = 0; i < ROUNDS; i++) {
    STATUS(ESKER_OK, esker_batch_new(&old[i]));
    STATUS(ESKER_OK, esker_batch_free(old[i]));
  }
  for (i = 0; i < ROUNDS; i++) STATUS(ESKER_MISUSE, esker_batch_count(old[i], &count));
}

struct crowd {
  esker_iter *iter;
  int wrong;
};

static void *move_often(void *argument) {
  struct crowd *crowd = argument;
  int i;
  for (i = 0; i < 20000; i++) {
    esker_status rc = i % 3 == 0 ? esker_iter_first(crowd->iter) : esker_iter_next(crowd->iter);
    if (rc != ESKER_OK && rc != ESKER_DONE && rc != ESKER_MISUSE) crowd->wrong = 1;
  }
  return NULL;
}

/* Calls that overlap on a one-thread handle are refused, and nothing breaks. */
static void overlapping_calls(void) {
  esker_db *db = open_new("overlap");
  struct crowd crowds[4];
  pthread_t threads[4];
  esker_iter *iter = NULL;
  int i;
  for (i = 0; i < 50; i++) {
    char key[16];
    snprintf(key, sizeof key, "%d", i);
    STATUS(ESKER_OK, put(db, key, key));
  }
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  for (i = 0; i < 4; i++) {
    crowds[i].iter = iter;
    crowds[i].wrong = 0;
    CHECK(pthread_create(&threads[i], NULL, move_often, &crowds[i]) == 0);
  }
  for (i = 0; i < 4; i++) {
    CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(crowds[i].wrong == 0);
  }
  STATUS(ESKER_OK, esker_iter_first(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

struct caller {
  esker_db *db;
  int calls, wrong;
};

static void *call_until_closed(void *argument) {
  struct caller *caller = argument;
  esker_status rc;
  do {
    char buffer[8];
    size_t size;
    uint64_t seq;
    esker_batch *batch = NULL;
    esker_iter *iter = NULL;
    rc = esker_get(caller->db, NULL, "k", 1, buffer, sizeof buffer, &size);
    if (rc == ESKER_OK) rc = put(caller->db, "k", "v");
    if (rc == ESKER_OK) rc = esker_latest_seq(caller->db, &seq);
    if (rc == ESKER_OK && esker_batch_new(&batch) == ESKER_OK) {
      rc = esker_batch_put(batch, caller->db, "k", 1, "v", 1);
      if (rc == ESKER_OK) rc = esker_write(caller->db, NULL, batch, &seq);
      if (esker_batch_free(batch) != ESKER_OK) caller->wrong = 1;
    }
    if (rc == ESKER_OK) rc = esker_iter_new(caller->db, NULL, &iter);
    if (rc == ESKER_OK) rc = esker_iter_first(iter);
    if (esker_iter_free(iter) != ESKER_OK) caller->wrong = 1;
    caller->calls++;
  } while (rc == ESKER_OK);
  if (rc != ESKER_CLOSED && rc != ESKER_MISUSE) caller->wrong = rc;
  return NULL;
}

/* Calls that race with a close complete, or answer CLOSED or MISUSE. */
static void racing_close(void) {
  int round, i;
  for (round = 0; round < 20; round++) {
    esker_db *db = open_new("racing");
    struct caller callers[4];
    pthread_t threads[4];
    STATUS(ESKER_OK, put(db, "k", "v"));
    for (i = 0; i < 4; i++) {
      callers[i].db = db;
      callers[i].calls = callers[i].wrong = 0;
      CHECK(pthread_create(&threads[i], NULL, call_until_closed, &callers[i]) == 0);
    }
    for (i = 0; i < 100; i++) STATUS(ESKER_OK, put(db, "k", "v"));
    error = new_error();
    STATUS_ERR(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, &error));
    STATUS(ESKER_MISUSE, put(db, "k", "v"));
    for (i = 0; i < 4; i++) {
      CHECK(pthread_join(threads[i], NULL) == 0);
      CHECK(callers[i].wrong == 0);
    }
  }
}

static int32_t close_from_callback(void *ctx, const char *phase, uint64_t done, uint64_t total) {
  (void)phase, (void)done, (void)total;
  STATUS(ESKER_MISUSE, esker_close(*(esker_db **)ctx, ESKER_CLOSE_DETACH, NULL));
  return 1;
}

static void callbacks(void) {
  esker_db *db = open_new("callbacks");
  esker_job job;
  memset(&job, 0, sizeof job);
  job.struct_size = sizeof job;
  job.ctx = &db;
  job.progress = close_from_callback;
  STATUS(ESKER_OK, put(db, "a", "1"));
  error = new_error();
  STATUS_ERR(ESKER_CANCELLED, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, &job, &error));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  CHECK(has(db, NULL, "a", "1"));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

/* What a forked child gets, for handles that are all alive in the parent. */
static void in_child(esker_db *db, esker_iter *iter, esker_batch *batch, esker_snapshot *snapshot,
                     esker_options *options, esker_pin *pin) {
  char buffer[8];
  size_t size;
  uint64_t number;
  esker_db *other = NULL;
  esker_batch *new_batch = NULL;
  esker_error filled = new_error();
  STATUS(ESKER_FORKED, esker_put(db, NULL, "child", 5, "v", 1));
  STATUS(ESKER_FORKED, esker_get(db, NULL, "k", 1, buffer, sizeof buffer, &size));
  STATUS(ESKER_FORKED, esker_write(db, NULL, batch, NULL));
  STATUS(ESKER_FORKED, esker_sync(db, &filled));
  CHECK(filled.status == ESKER_FORKED);
  STATUS(ESKER_FORKED, esker_flush(db, NULL));
  STATUS(ESKER_FORKED, esker_latest_seq(db, &number));
  STATUS(ESKER_FORKED, esker_iter_next(iter));
  STATUS(ESKER_FORKED, esker_iter_free(iter));
  STATUS(ESKER_FORKED, esker_batch_put(batch, NULL, "k", 1, "v", 1));
  STATUS(ESKER_FORKED, esker_batch_free(batch));
  STATUS(ESKER_FORKED, esker_batch_new(&new_batch));
  STATUS(ESKER_FORKED, esker_snapshot_seq(snapshot, &number));
  STATUS(ESKER_FORKED, esker_snapshot_free(snapshot));
  STATUS(ESKER_FORKED, esker_options_free(options));
  STATUS(ESKER_FORKED, esker_unpin(pin));
  STATUS(ESKER_FORKED, esker_open(path_in(work, "child"), NULL, ESKER_OPEN_CREATE, &other, NULL));
  STATUS(ESKER_FORKED, esker_destroy(path_in(work, "fork"), NULL, NULL));
  STATUS(ESKER_FORKED, esker_close(db, ESKER_CLOSE_DETACH, NULL));
  STATUS(ESKER_FORKED, esker_last_error(db, &filled));
  CHECK(esker_version() == ESKER_VERSION);
}

static void forked_child(void) {
  esker_db *db = open_new("fork");
  esker_iter *iter = NULL;
  esker_batch *batch = NULL;
  esker_snapshot *snapshot = NULL;
  esker_options *options = NULL;
  esker_pin pin;
  pid_t child;
  int status = -1;
  STATUS(ESKER_OK, put(db, "k", "v"));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS(ESKER_OK, esker_get_pin(db, NULL, "k", 1, &pin));
  fflush(stdout);
  child = fork();
  if (child == 0) {
    check_failures = 0;
    in_child(db, iter, batch, snapshot, options, &pin);
    fflush(stdout);
    _exit(check_failures != 0);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  /* The parent goes on with everything. */
  STATUS(ESKER_OK, put(db, "after", "fork"));
  CHECK(has(db, NULL, "child", NULL));
  STATUS(ESKER_OK, esker_iter_first(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(pin.size == 1 && *(const char *)pin.data == 'v');
  STATUS(ESKER_OK, esker_unpin(&pin));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

/* A child that is forked while the database is open must not keep its lock. */
static void fork_does_not_keep_the_lock(void) {
  esker_db *db = open_new("lock");
  int to_child[2], from_child[2], status = -1;
  char byte = 0;
  pid_t child;
  CHECK(pipe(to_child) == 0 && pipe(from_child) == 0);
  fflush(stdout);
  child = fork();
  if (child == 0) {
    close(to_child[1]);
    if (write(from_child[1], "x", 1) != 1) _exit(2);
    /* Lives until the parent is done. */
    _exit(read(to_child[0], &byte, 1) == 0 ? 0 : 3);
  }
  CHECK(read(from_child[0], &byte, 1) == 1);
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
  db = open_new("lock");
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
  close(to_child[0]);
  close(to_child[1]);
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  handles();
  null_pointers();
  lengths();
  struct_sizes();
  numbers();
  snapshot_of_another_database();
  pins();
  stale_handles();
  overlapping_calls();
  racing_close();
  callbacks();
  forked_child();
  fork_does_not_keep_the_lock();
  return check_result("misuse");
}
