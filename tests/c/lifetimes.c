/* Every function times everything that can be wrong with its handle: NULL, freed, of the wrong type, made up, in a
 * forked child, after its database was closed with DETACH, while its database is closed by another thread, and
 * (compiled with FORCED_PANIC and linked to a library built for it) while esker panics. One row a function; a test of
 * the suite compares the rows with abi/symbols.txt. Each case has its status; none ends in a signal. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* One of each. */
struct world {
  char path[1100];
  esker_db *db;
  esker_batch *batch, *other_batch;
  esker_iter *iter;
  esker_snapshot *snapshot;
  esker_options *options;
  esker_env *env;
  esker_pin pin;
  /* What the pin holds on to, also once it was given back. */
  void *pinned;
};

enum kind { NO_HANDLE, DB, BATCH, ITER, SNAPSHOT, OPTIONS, ENV, PIN, DB_ITER_OR_BATCH };

typedef esker_status call_fn(void *handle, struct world *w);

struct row {
  const char *name;
  enum kind kind;
  call_fn *call;
  /* For NULL in place of the handle. */
  esker_status null;
  /* For children of a database that was closed with DETACH, and for handles that belong to none. */
  esker_status detached;
  /* Has no guard, because it cannot fail: never FORKED, never PANIC. */
  int plain;
};

static const char *work;
static char scratch[4096];
static size_t size;
static uint64_t number, number2;

#define CALL(name) static esker_status name(void *handle, struct world *w)
#define UNUSED ((void)handle, (void)w)

/* ---- a call of each function in which all but the handle is right */

CALL(call_put) { (void)w; return esker_put(handle, NULL, "k", 1, "v", 1); }
CALL(call_delete) { (void)w; return esker_delete(handle, NULL, "gone", 4); }
CALL(call_get) { (void)w; return esker_get(handle, NULL, "k", 1, scratch, sizeof scratch, &size); }
CALL(call_get_pin) {
  esker_pin pin;
  esker_status rc = esker_get_pin(handle, NULL, "k", 1, &pin);
  (void)w;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_unpin(&pin));
  return rc;
}
CALL(call_exists) { (void)w; return esker_exists(handle, NULL, "k", 1, &size); }
CALL(call_write) { return esker_write(handle, NULL, w->batch, &number); }
CALL(call_write_bytes) { (void)w; return esker_write_bytes(handle, NULL, "\1\0\0\0\0\0\0", 8, &number); }
CALL(call_multi_get) {
  esker_slice key = {"k", 1};
  esker_get_result result;
  (void)w;
  return esker_multi_get(handle, NULL, 1, &key, scratch, sizeof scratch, &result);
}
static esker_chunk one_row(void) {
  esker_chunk chunk;
  memset(&chunk, 0, sizeof chunk);
  chunk.struct_size = sizeof chunk;
  chunk.max_rows = 1;
  chunk.buf = scratch;
  chunk.cap = sizeof scratch;
  return chunk;
}
CALL(call_scan) {
  esker_chunk chunk = one_row();
  (void)w;
  return esker_scan(handle, NULL, &chunk, NULL);
}
CALL(call_iter_chunk) {
  esker_chunk chunk = one_row();
  (void)w;
  return esker_iter_chunk(handle, &chunk);
}
CALL(call_write_batch) { return esker_write(w->db, NULL, handle, &number); }
CALL(call_sync) { (void)w; return esker_sync(handle, NULL); }
CALL(call_wait_durable) { (void)w; return esker_wait_durable(handle, 0, 0); }
CALL(call_latest_seq) { (void)w; return esker_latest_seq(handle, &number); }
CALL(call_durable_seq) { (void)w; return esker_durable_seq(handle, &number); }
CALL(call_errors) {
  esker_error error = new_error();
  (void)w;
  return esker_errors(handle, 0, &error, 1, &size, &number);
}
CALL(call_last_error) {
  esker_error error = new_error();
  (void)w;
  return esker_last_error(handle, &error);
}
CALL(call_iter_new) {
  esker_iter *iter = NULL;
  esker_status rc = esker_iter_new(handle, NULL, &iter);
  (void)w;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_iter_free(iter));
  else CHECK(iter == NULL);
  return rc;
}
CALL(call_snapshot_new) {
  esker_snapshot *snapshot = NULL;
  esker_status rc = esker_snapshot_new(handle, &snapshot);
  (void)w;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  else CHECK(snapshot == NULL);
  return rc;
}
CALL(call_flush) { (void)w; return esker_flush(handle, NULL); }
CALL(call_resume) { (void)w; return esker_resume(handle, NULL); }
CALL(call_checkpoint) {
  char path[1200];
  esker_status status;
  snprintf(path, sizeof path, "%s.none/copy", w->path);
  status = esker_checkpoint(handle, path, NULL, NULL);
  /* The answer of a handle that is one: there is no parent, so that nothing is left. */
  return status == ESKER_MISSING ? ESKER_OK : status;
}
CALL(call_verify) { (void)w; return esker_verify(handle, ESKER_VERIFY_FULL, NULL, NULL); }
CALL(call_compact) { (void)w; return esker_compact(handle, NULL, NULL, 0, NULL, NULL); }
CALL(call_approx_sizes) {
  esker_range range = {{NULL, 0}, {NULL, 0}};
  (void)w;
  return esker_approx_sizes(handle, 1, &range, &number);
}
CALL(call_db_stats) {
  esker_stats stats;
  (void)w;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  return esker_db_stats(handle, &stats);
}
CALL(call_metrics_text) { (void)w; return esker_metrics_text(handle, scratch, sizeof scratch, &size); }
CALL(call_property) { (void)w; return esker_property(handle, "levels", scratch, sizeof scratch, &size); }
CALL(call_close) { (void)w; return esker_close(handle, ESKER_CLOSE_DETACH, NULL); }

CALL(call_iter_first) { (void)w; return esker_iter_first(handle); }
CALL(call_iter_last) { (void)w; return esker_iter_last(handle); }
CALL(call_iter_next) { (void)w; return esker_iter_next(handle); }
CALL(call_iter_prev) { (void)w; return esker_iter_prev(handle); }
CALL(call_iter_seek) { (void)w; return esker_iter_seek(handle, ESKER_SEEK_GE, "k", 1); }
CALL(call_iter_row) {
  const esker_row *row;
  (void)w;
  return esker_iter_row(handle, &row);
}
CALL(call_iter_free) { (void)w; return esker_iter_free(handle); }

CALL(call_snapshot_seq) { (void)w; return esker_snapshot_seq(handle, &number); }
CALL(call_snapshot_free) { (void)w; return esker_snapshot_free(handle); }
CALL(call_read_snapshot) {
  esker_read_opts options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.snapshot = handle;
  return esker_get(w->db, &options, "k", 1, scratch, sizeof scratch, &size);
}

CALL(call_batch_put) { (void)w; return esker_batch_put(handle, NULL, "b", 1, "v", 1); }
CALL(call_batch_put_keyspace) { return esker_batch_put(w->batch, handle, "b", 1, "v", 1); }
CALL(call_batch_delete) { (void)w; return esker_batch_delete(handle, NULL, "b", 1); }
CALL(call_batch_clear) { (void)w; return esker_batch_clear(handle); }
CALL(call_batch_reserve) { (void)w; return esker_batch_reserve(handle, 10); }
CALL(call_batch_append) { return esker_batch_append(handle, w->other_batch); }
CALL(call_batch_append_from) { return esker_batch_append(w->other_batch, handle); }
CALL(call_batch_count) { (void)w; return esker_batch_count(handle, &number); }
CALL(call_batch_bytes) {
  esker_slice bytes;
  (void)w;
  return esker_batch_bytes(handle, &bytes);
}
CALL(call_batch_from_bytes) {
  esker_slice bytes;
  esker_status rc = esker_batch_bytes(w->other_batch, &bytes);
  return rc == ESKER_OK ? esker_batch_from_bytes(handle, bytes.data, bytes.size) : rc;
}
CALL(call_batch_next) {
  esker_batch_op op;
  uint64_t position = 0;
  (void)w;
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  return esker_batch_next(handle, &position, &op);
}
CALL(call_batch_free) { (void)w; return esker_batch_free(handle); }
CALL(call_batch_new) {
  esker_batch *batch = NULL;
  esker_status rc = esker_batch_new(&batch);
  UNUSED;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_batch_free(batch));
  return rc;
}

CALL(call_options_new) {
  esker_options *options = NULL;
  esker_status rc = esker_options_new(&options);
  UNUSED;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_options_free(options));
  return rc;
}
CALL(call_options_clone) {
  esker_options *copy = NULL;
  esker_status rc = esker_options_clone(handle, &copy);
  (void)w;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_options_free(copy));
  return rc;
}
CALL(call_options_free) { (void)w; return esker_options_free(handle); }
CALL(call_options_set_u64) { (void)w; return esker_options_set_u64(handle, ESKER_OPT_LEVELS, 5, NULL); }
CALL(call_options_set_text) { (void)w; return esker_options_set_text(handle, ESKER_OPT_FILTER, "none", 4, NULL); }
CALL(call_options_set_object) { return esker_options_set_object(handle, ESKER_OPT_ENV, w->env, NULL); }
CALL(call_options_set_env) { return esker_options_set_object(w->options, ESKER_OPT_ENV, handle, NULL); }
CALL(call_env_new) {
  esker_env *env = NULL;
  esker_status rc = esker_env_new(handle, &env, NULL);
  (void)w;
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_env_free(env));
  else CHECK(env == NULL);
  return rc;
}
CALL(call_env_free) { (void)w; return esker_env_free(handle); }
CALL(call_env_set_logger) { (void)w; return esker_env_set_logger(handle, NULL, NULL, ESKER_LOG_OFF); }
CALL(call_options_get_text) {
  (void)w;
  return esker_options_get_text(handle, ESKER_OPT_LEVELS, scratch, sizeof scratch, &size);
}
CALL(call_options_parse) { (void)w; return esker_options_parse(handle, "levels=5", 8, NULL); }
CALL(call_option_at) {
  esker_option_info info;
  UNUSED;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  return esker_option_at(0, &info);
}
CALL(call_option_count) { UNUSED; return esker_option_count() > 0 ? ESKER_OK : ESKER_INVALID; }
CALL(call_option_find) {
  uint32_t id;
  UNUSED;
  return esker_option_find("levels", &id);
}
CALL(call_open) {
  esker_db *db = NULL;
  char path[1200];
  esker_status rc;
  snprintf(path, sizeof path, "%s.opened", w->path);
  rc = esker_open(path, handle, ESKER_OPEN_CREATE, &db, NULL);
  if (rc == ESKER_OK) STATUS(ESKER_OK, esker_close(db, 0, NULL));
  else CHECK(db == NULL);
  return rc;
}
CALL(call_verify_path) {
  char path[1200];
  snprintf(path, sizeof path, "%s.none", w->path);
  return esker_verify_path(path, handle, ESKER_VERIFY_FULL, NULL, NULL);
}
CALL(call_salvage) {
  char path[1200], copy[1210];
  snprintf(path, sizeof path, "%s.none", w->path);
  snprintf(copy, sizeof copy, "%s.copy", w->path);
  return esker_salvage(path, handle, copy, NULL, NULL, NULL);
}
CALL(call_destroy) {
  char path[1200];
  snprintf(path, sizeof path, "%s.none", w->path);
  return esker_destroy(path, handle, NULL);
}

/* The handle lies in the pin. */
CALL(call_unpin) {
  esker_pin pin;
  if (handle == NULL) return esker_unpin(NULL);
  pin = w->pin;
  pin.opaque[0] = (uint64_t)(uintptr_t)handle;
  return esker_unpin(&pin);
}

CALL(call_version) { UNUSED; return esker_version() == ESKER_VERSION ? ESKER_OK : ESKER_INVALID; }
CALL(call_version_text) { UNUSED; return esker_version_text() != NULL ? ESKER_OK : ESKER_INVALID; }
CALL(call_abi) { UNUSED; return esker_abi() == ESKER_ABI ? ESKER_OK : ESKER_INVALID; }
CALL(call_selftest) { UNUSED; return esker_selftest(0, NULL); }
CALL(call_abi_check) { UNUSED; return esker_abi_check(ESKER_ABI, ESKER_VERSION); }
CALL(call_status_name) { UNUSED; return esker_status_name(0) != NULL ? ESKER_OK : ESKER_INVALID; }
CALL(call_status_text) { UNUSED; return esker_status_text(0) != NULL ? ESKER_OK : ESKER_INVALID; }

/* name, kind, call, with NULL, after DETACH, plain */
static const struct row rows[] = {
    {"esker_put", DB, call_put, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_delete", DB, call_delete, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_get", DB, call_get, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_get", SNAPSHOT, call_read_snapshot, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_get_pin", DB, call_get_pin, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_exists", DB, call_exists, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_write_bytes", DB, call_write_bytes, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_multi_get", DB, call_multi_get, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_scan", DB, call_scan, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_iter_chunk", ITER, call_iter_chunk, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_write", DB, call_write, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_write", BATCH, call_write_batch, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_sync", DB, call_sync, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_wait_durable", DB, call_wait_durable, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_latest_seq", DB, call_latest_seq, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_durable_seq", DB, call_durable_seq, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_errors", DB, call_errors, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_last_error", DB_ITER_OR_BATCH, call_last_error, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_iter_new", DB, call_iter_new, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_snapshot_new", DB, call_snapshot_new, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_flush", DB, call_flush, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_resume", DB, call_resume, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_verify", DB, call_verify, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_checkpoint", DB, call_checkpoint, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_compact", DB, call_compact, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_approx_sizes", DB, call_approx_sizes, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_db_stats", DB, call_db_stats, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_property", DB, call_property, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_metrics_text", DB, call_metrics_text, ESKER_MISUSE, ESKER_MISUSE, 0},
    {"esker_close", DB, call_close, ESKER_OK, ESKER_MISUSE, 0},
    {"esker_iter_first", ITER, call_iter_first, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_last", ITER, call_iter_last, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_next", ITER, call_iter_next, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_prev", ITER, call_iter_prev, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_seek", ITER, call_iter_seek, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_row", ITER, call_iter_row, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_iter_free", ITER, call_iter_free, ESKER_OK, ESKER_OK, 0},
    {"esker_snapshot_seq", SNAPSHOT, call_snapshot_seq, ESKER_MISUSE, ESKER_CLOSED, 0},
    {"esker_snapshot_free", SNAPSHOT, call_snapshot_free, ESKER_OK, ESKER_OK, 0},
    {"esker_unpin", PIN, call_unpin, ESKER_OK, ESKER_OK, 0},
    {"esker_batch_new", NO_HANDLE, call_batch_new, ESKER_OK, ESKER_OK, 0},
    {"esker_batch_put", BATCH, call_batch_put, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_put", DB, call_batch_put_keyspace, ESKER_OK, ESKER_MISUSE, 0},
    {"esker_batch_delete", BATCH, call_batch_delete, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_clear", BATCH, call_batch_clear, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_reserve", BATCH, call_batch_reserve, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_append", BATCH, call_batch_append, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_append", BATCH, call_batch_append_from, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_count", BATCH, call_batch_count, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_bytes", BATCH, call_batch_bytes, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_from_bytes", BATCH, call_batch_from_bytes, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_next", BATCH, call_batch_next, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_batch_free", BATCH, call_batch_free, ESKER_OK, ESKER_OK, 0},
    {"esker_options_new", NO_HANDLE, call_options_new, ESKER_OK, ESKER_OK, 0},
    {"esker_options_clone", OPTIONS, call_options_clone, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_free", OPTIONS, call_options_free, ESKER_OK, ESKER_OK, 0},
    {"esker_options_set_u64", OPTIONS, call_options_set_u64, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_set_text", OPTIONS, call_options_set_text, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_set_object", OPTIONS, call_options_set_object, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_set_object", ENV, call_options_set_env, ESKER_OK, ESKER_OK, 0},
    {"esker_env_new", OPTIONS, call_env_new, ESKER_OK, ESKER_OK, 0},
    {"esker_env_free", ENV, call_env_free, ESKER_OK, ESKER_OK, 0},
    {"esker_env_set_logger", ENV, call_env_set_logger, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_get_text", OPTIONS, call_options_get_text, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_options_parse", OPTIONS, call_options_parse, ESKER_MISUSE, ESKER_OK, 0},
    {"esker_option_at", NO_HANDLE, call_option_at, ESKER_OK, ESKER_OK, 0},
    {"esker_option_count", NO_HANDLE, call_option_count, ESKER_OK, ESKER_OK, 1},
    {"esker_option_find", NO_HANDLE, call_option_find, ESKER_OK, ESKER_OK, 0},
    {"esker_open", OPTIONS, call_open, ESKER_OK, ESKER_OK, 0},
    {"esker_destroy", OPTIONS, call_destroy, ESKER_MISSING, ESKER_MISSING, 0},
    {"esker_verify_path", OPTIONS, call_verify_path, ESKER_MISSING, ESKER_MISSING, 0},
    {"esker_salvage", OPTIONS, call_salvage, ESKER_MISSING, ESKER_MISSING, 0},
    {"esker_version", NO_HANDLE, call_version, ESKER_OK, ESKER_OK, 1},
    {"esker_version_text", NO_HANDLE, call_version_text, ESKER_OK, ESKER_OK, 1},
    {"esker_abi", NO_HANDLE, call_abi, ESKER_OK, ESKER_OK, 1},
    {"esker_selftest", NO_HANDLE, call_selftest, ESKER_OK, ESKER_OK, 0},
    {"esker_abi_check", NO_HANDLE, call_abi_check, ESKER_OK, ESKER_OK, 1},
    {"esker_status_name", NO_HANDLE, call_status_name, ESKER_OK, ESKER_OK, 1},
    {"esker_status_text", NO_HANDLE, call_status_text, ESKER_OK, ESKER_OK, 1},
};

enum { ROWS = sizeof rows / sizeof *rows };

/* ---- the cases */

static int cases;

static void expect(const struct row *row, const char *what, esker_status expected, esker_status found) {
  cases++;
  check_count++;
  if (expected != found) {
    check_failures++;
    printf("%s, %s: %s instead of %s\n", row->name, what, esker_status_name(found), esker_status_name(expected));
  }
}

static void make(struct world *w, const char *name) {
  esker_error error = new_error();
  memset(w, 0, sizeof *w);
  snprintf(w->path, sizeof w->path, "%s/%s", work, name);
  STATUS_ERR(ESKER_OK, esker_open(w->path, NULL, ESKER_OPEN_CREATE, &w->db, &error));
  STATUS(ESKER_OK, put(w->db, "k", "v"));
  STATUS(ESKER_OK, esker_batch_new(&w->batch));
  STATUS(ESKER_OK, esker_batch_new(&w->other_batch));
  STATUS(ESKER_OK, esker_batch_put(w->batch, NULL, "k", 1, "v", 1));
  STATUS(ESKER_OK, esker_batch_put(w->other_batch, NULL, "k", 1, "v", 1));
  STATUS(ESKER_OK, esker_iter_new(w->db, NULL, &w->iter));
  STATUS(ESKER_OK, esker_snapshot_new(w->db, &w->snapshot));
  STATUS(ESKER_OK, esker_options_new(&w->options));
  STATUS(ESKER_OK, esker_env_new(NULL, &w->env, NULL));
  STATUS(ESKER_OK, esker_get_pin(w->db, NULL, "k", 1, &w->pin));
  w->pinned = (void *)(uintptr_t)w->pin.opaque[0];
}

static void *handle_of(const struct world *w, enum kind kind) {
  switch (kind) {
    case DB: case DB_ITER_OR_BATCH: return w->db;
    case BATCH: return w->batch;
    case ITER: return w->iter;
    case SNAPSHOT: return w->snapshot;
    case OPTIONS: return w->options;
    case ENV: return w->env;
    case PIN: return w->pinned;
    default: return NULL;
  }
}

/* Frees everything that a case has not freed. */
static void unmake(struct world *w) {
  const esker_status frees[] = {esker_iter_free(w->iter),           esker_snapshot_free(w->snapshot),
                                esker_batch_free(w->batch),         esker_batch_free(w->other_batch),
                                esker_options_free(w->options),     esker_unpin(&w->pin),
                                esker_env_free(w->env),
                                esker_close(w->db, ESKER_CLOSE_DETACH, NULL)};
  size_t i;
  for (i = 0; i < sizeof frees / sizeof *frees; i++) CHECK(frees[i] == ESKER_OK || frees[i] == ESKER_MISUSE);
  (void)!esker_destroy(w->path, NULL, NULL);
}

static void null_handles(void) {
  struct world w;
  int i;
  make(&w, "null");
  for (i = 0; i < ROWS; i++) {
    /* A NULL snapshot means the latest view. */
    esker_status expected = rows[i].call == call_read_snapshot ? ESKER_OK : rows[i].null;
    expect(&rows[i], "NULL", expected, rows[i].call(NULL, &w));
  }
  unmake(&w);
}

static void freed_handles(void) {
  struct world w, freed;
  int i;
  make(&freed, "freed");
  unmake(&freed);
  make(&w, "living");
  for (i = 0; i < ROWS; i++)
    if (rows[i].kind != NO_HANDLE)
      expect(&rows[i], "freed", ESKER_MISUSE, rows[i].call(handle_of(&freed, rows[i].kind), &w));
  unmake(&w);
}

static void foreign_handles(void) {
  static const enum kind kinds[] = {DB, BATCH, ITER, SNAPSHOT, OPTIONS, ENV, PIN};
  struct world w;
  char here[64];
  int i;
  size_t k;
  make(&w, "foreign");
  for (i = 0; i < ROWS; i++) {
    enum kind kind = rows[i].kind;
    if (kind == NO_HANDLE) continue;
    for (k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      int takes = kind == kinds[k] || (kind == DB_ITER_OR_BATCH && (kinds[k] == ITER || kinds[k] == BATCH || kinds[k] == DB));
      if (!takes) expect(&rows[i], "wrong type", ESKER_MISUSE, rows[i].call(handle_of(&w, kinds[k]), &w));
    }
    expect(&rows[i], "an address", ESKER_MISUSE, rows[i].call(here, &w));
    expect(&rows[i], "all ones", ESKER_MISUSE, rows[i].call((void *)~(uintptr_t)0, &w));
  }
  /* None of this has freed or changed anything. */
  CHECK(has(w.db, NULL, "k", "v"));
  STATUS(ESKER_OK, esker_iter_first(w.iter));
  STATUS(ESKER_OK, esker_snapshot_seq(w.snapshot, &number2));
  STATUS(ESKER_OK, esker_batch_count(w.batch, &number2));
  unmake(&w);
}

static void in_a_forked_child(void) {
  struct world w;
  pid_t child;
  int status = -1;
  make(&w, "forked");
  fflush(stdout);
  child = fork();
  if (child == 0) {
    int i;
    check_failures = 0;
    for (i = 0; i < ROWS; i++)
      expect(&rows[i], "in a forked child", rows[i].plain ? ESKER_OK : ESKER_FORKED,
             rows[i].call(handle_of(&w, rows[i].kind), &w));
    fflush(stdout);
    _exit(check_failures != 0);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  cases += ROWS;
  CHECK(has(w.db, NULL, "k", "v"));
  unmake(&w);
}

static void after_detach(void) {
  int i;
  for (i = 0; i < ROWS; i++) {
    struct world w;
    make(&w, "detached");
    STATUS(ESKER_OK, esker_close(w.db, ESKER_CLOSE_DETACH, NULL));
    expect(&rows[i], "after DETACH", rows[i].detached, rows[i].call(handle_of(&w, rows[i].kind), &w));
    CHECK(w.pin.size == 1 && *(const char *)w.pin.data == 'v');
    unmake(&w);
  }
}

struct race {
  const struct row *row;
  struct world *w;
  void *handle;
  esker_status last;
  int wrong;
};

static void *call_until_refused(void *argument) {
  struct race *race = argument;
  int i;
  for (i = 0; i < 200; i++) {
    race->last = race->row->call(race->handle, race->w);
    if (race->last == ESKER_CLOSED || race->last == ESKER_MISUSE) break;
    if (race->last < 0 && race->last != ESKER_CANCELLED && race->last != race->row->detached) race->wrong = race->last;
  }
  return NULL;
}

static void racing_a_close(void) {
  int i;
  for (i = 0; i < ROWS; i++) {
    struct world w;
    struct race race;
    pthread_t thread;
    esker_status closed;
    if (rows[i].kind == NO_HANDLE || rows[i].kind == OPTIONS) continue;
    make(&w, "raced");
    race.row = &rows[i];
    race.w = &w;
    race.handle = handle_of(&w, rows[i].kind);
    race.last = ESKER_OK;
    race.wrong = 0;
    CHECK(pthread_create(&thread, NULL, call_until_refused, &race) == 0);
    closed = esker_close(w.db, ESKER_CLOSE_DETACH, NULL);
    CHECK(closed == ESKER_OK || (rows[i].call == call_close && closed == ESKER_MISUSE));
    CHECK(pthread_join(thread, NULL) == 0);
    expect(&rows[i], "racing a close", ESKER_OK, race.wrong);
    unmake(&w);
  }
}

#ifdef FORCED_PANIC
/* Makes the next call of this thread panic at its guard (1), or inside, where it holds its handle (2). */
static void arm(struct world *w, const char *where) {
  STATUS(ESKER_OK, esker_property(w->db, where, scratch, sizeof scratch, &size));
}

static void while_esker_panics(void) {
  int i, fired = 0;
  for (i = 0; i < ROWS; i++) {
    struct world w;
    esker_status rc;
    if (rows[i].plain) continue;
    make(&w, "panics");
    arm(&w, "test.panic.guard");
    rc = rows[i].call(handle_of(&w, rows[i].kind), &w);
    expect(&rows[i], "panic at the guard", ESKER_PANIC, rc);
    unmake(&w);
    make(&w, "panics");
    arm(&w, "test.panic.inside");
    rc = rows[i].call(handle_of(&w, rows[i].kind), &w);
    /* Calls without an inner guard pass; those with one are contained, and their database takes no writes. */
    if (rc == ESKER_PANIC) {
      int closed = rows[i].call == call_close, of_a_batch = rows[i].call == call_batch_put_keyspace;
      fired++;
      if ((rows[i].kind == DB || rows[i].kind == ITER) && !closed && !of_a_batch) {
        expect(&rows[i], "a write after a panic inside", ESKER_POISONED, put(w.db, "k", "w"));
        CHECK(has(w.db, NULL, "k", "v"));
      }
    }
    unmake(&w);
  }
  CHECK(fired > 20);
}
#endif

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  null_handles();
  freed_handles();
  foreign_handles();
  in_a_forked_child();
  after_detach();
  racing_a_close();
#ifdef FORCED_PANIC
  while_esker_panics();
#endif
  CHECK(cases >= 150);
  printf("lifetimes: %d cases over %d rows\n", cases, ROWS);
  return check_result("lifetimes");
}
