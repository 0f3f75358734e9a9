/* Every function times everything that can be wrong with each of its parameters: NULL, a handle that was freed, is of
 * another kind or made up, a huge length, an unknown flag, a struct of a wrong size; and a call in a forked child, after
 * a close and beside one. Each has its answer, as esker.h promises it; none ends in a signal. misuse_matrix.h makes the
 * cases. One row or more a function: a test of the suite compares the rows with abi/symbols.txt. */
#include "misuse_matrix.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { ROW_SECONDS_MAX = 120, RACE_CALLS_MAX = 200, CASES_MIN = 1000 };

/* ---- the calls */

#define CALL(name) static esker_status call_##name(const union argument *a)

CALL(put) { return esker_put(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p, a[5].n); }
CALL(delete) { return esker_delete(a[0].p, a[1].p, a[2].p, a[3].n); }
CALL(get) { return esker_get(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p, a[5].n, a[6].p); }
CALL(get_pin) { return esker_get_pin(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p); }
CALL(exists) { return esker_exists(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p); }
CALL(multi_get) { return esker_multi_get(a[0].p, a[1].p, a[2].n, a[3].p, a[4].p, a[5].n, a[6].p); }
CALL(scan) { return esker_scan(a[0].p, a[1].p, a[2].p, a[3].p); }
CALL(write) { return esker_write(a[0].p, a[1].p, a[2].p, a[3].p); }
CALL(write_bytes) { return esker_write_bytes(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p); }
CALL(sync) { return esker_sync(a[0].p, a[1].p); }
CALL(wait_durable) { return esker_wait_durable(a[0].p, a[1].n, a[2].n); }
CALL(latest_seq) { return esker_latest_seq(a[0].p, a[1].p); }
CALL(durable_seq) { return esker_durable_seq(a[0].p, a[1].p); }
CALL(errors) { return esker_errors(a[0].p, a[1].n, a[2].p, a[3].n, a[4].p, a[5].p); }
CALL(last_error) { return esker_last_error(a[0].p, a[1].p); }
CALL(flush) { return esker_flush(a[0].p, a[1].p); }
CALL(resume) { return esker_resume(a[0].p, a[1].p); }
CALL(verify) { return esker_verify(a[0].p, (uint32_t)a[1].n, a[2].p, a[3].p); }
CALL(verify_path) { return esker_verify_path(a[0].p, a[1].p, (uint32_t)a[2].n, a[3].p, a[4].p); }
CALL(salvage) { return esker_salvage(a[0].p, a[1].p, a[2].p, a[3].p, a[4].p, a[5].p); }
CALL(checkpoint) { return esker_checkpoint(a[0].p, a[1].p, a[2].p, a[3].p); }
CALL(compact) { return esker_compact(a[0].p, a[1].p, a[2].p, (uint32_t)a[3].n, a[4].p, a[5].p); }
CALL(approx_sizes) { return esker_approx_sizes(a[0].p, a[1].n, a[2].p, a[3].p); }
CALL(db_stats) { return esker_db_stats(a[0].p, a[1].p); }
CALL(property) { return esker_property(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p); }
CALL(metrics_text) { return esker_metrics_text(a[0].p, a[1].p, a[2].n, a[3].p); }
CALL(open) { return esker_open(a[0].p, a[1].p, (uint32_t)a[2].n, a[3].p, a[4].p); }
CALL(close) { return esker_close(a[0].p, (uint32_t)a[1].n, a[2].p); }
CALL(destroy) { return esker_destroy(a[0].p, a[1].p, a[2].p); }

CALL(iter_new) { return esker_iter_new(a[0].p, a[1].p, a[2].p); }
CALL(iter_free) { return esker_iter_free(a[0].p); }
CALL(iter_first) { return esker_iter_first(a[0].p); }
CALL(iter_last) { return esker_iter_last(a[0].p); }
CALL(iter_next) { return esker_iter_next(a[0].p); }
CALL(iter_prev) { return esker_iter_prev(a[0].p); }
CALL(iter_seek) { return esker_iter_seek(a[0].p, (uint32_t)a[1].n, a[2].p, a[3].n); }
CALL(iter_row) { return esker_iter_row(a[0].p, a[1].p); }
CALL(iter_chunk) { return esker_iter_chunk(a[0].p, a[1].p); }
CALL(snapshot_new) { return esker_snapshot_new(a[0].p, a[1].p); }
CALL(snapshot_seq) { return esker_snapshot_seq(a[0].p, a[1].p); }
CALL(snapshot_free) { return esker_snapshot_free(a[0].p); }
CALL(unpin) { return esker_unpin(a[0].p); }

CALL(batch_new) { return esker_batch_new(a[0].p); }
CALL(batch_free) { return esker_batch_free(a[0].p); }
CALL(batch_put) { return esker_batch_put(a[0].p, a[1].p, a[2].p, a[3].n, a[4].p, a[5].n); }
CALL(batch_delete) { return esker_batch_delete(a[0].p, a[1].p, a[2].p, a[3].n); }
CALL(batch_clear) { return esker_batch_clear(a[0].p); }
CALL(batch_reserve) { return esker_batch_reserve(a[0].p, a[1].n); }
CALL(batch_append) { return esker_batch_append(a[0].p, a[1].p); }
CALL(batch_count) { return esker_batch_count(a[0].p, a[1].p); }
CALL(batch_bytes) { return esker_batch_bytes(a[0].p, a[1].p); }
CALL(batch_from_bytes) { return esker_batch_from_bytes(a[0].p, a[1].p, a[2].n); }
CALL(batch_next) { return esker_batch_next(a[0].p, a[1].p, a[2].p); }

CALL(options_new) { return esker_options_new(a[0].p); }
CALL(options_clone) { return esker_options_clone(a[0].p, a[1].p); }
CALL(options_free) { return esker_options_free(a[0].p); }
CALL(options_set_u64) { return esker_options_set_u64(a[0].p, (uint32_t)a[1].n, a[2].n, a[3].p); }
CALL(options_set_text) { return esker_options_set_text(a[0].p, (uint32_t)a[1].n, a[2].p, a[3].n, a[4].p); }
CALL(options_set_object) { return esker_options_set_object(a[0].p, (uint32_t)a[1].n, a[2].p, a[3].p); }
CALL(options_get_text) { return esker_options_get_text(a[0].p, (uint32_t)a[1].n, a[2].p, a[3].n, a[4].p); }
CALL(options_parse) { return esker_options_parse(a[0].p, a[1].p, a[2].n, a[3].p); }
CALL(option_at) { return esker_option_at(a[0].n, a[1].p); }
CALL(option_find) { return esker_option_find(a[0].p, a[1].p); }
CALL(option_count) { return (void)a, esker_option_count() > 0 ? ESKER_OK : ESKER_INVALID; }
CALL(env_new) { return esker_env_new(a[0].p, a[1].p, a[2].p); }
CALL(env_free) { return esker_env_free(a[0].p); }

static void no_log(void *ctx, int32_t level, const char *line, size_t len) { (void)ctx, (void)level, (void)line, (void)len; }
CALL(env_set_logger) { return esker_env_set_logger(a[0].p, a[1].p != NULL ? no_log : NULL, a[2].p, (int32_t)a[3].n); }

CALL(version) { return (void)a, esker_version() == ESKER_VERSION ? ESKER_OK : ESKER_INVALID; }
CALL(version_text) { return (void)a, esker_version_text() != NULL ? ESKER_OK : ESKER_INVALID; }
CALL(abi) { return (void)a, esker_abi() == ESKER_ABI ? ESKER_OK : ESKER_INVALID; }
CALL(abi_check) { return esker_abi_check((uint32_t)a[0].n, (uint32_t)a[1].n); }
CALL(selftest) { return esker_selftest((uint32_t)a[0].n, a[1].p); }
CALL(status_name) { return esker_status_name((int32_t)a[0].n) != NULL ? ESKER_OK : ESKER_INVALID; }
CALL(status_text) { return esker_status_text((int32_t)a[0].n) != NULL ? ESKER_OK : ESKER_INVALID; }

/* Parameters by what NULL is there, and numbers by what a wrong one is. */
#define HANDLE(kind) {kind, ESKER_MISUSE, NULL, 0}
#define MAY_BE(kind) {kind, ESKER_OK, NULL, 0}
#define NEEDS(kind) {kind, ESKER_INVALID, NULL, 0}
#define BYTES_OF(text) {BYTES, ESKER_INVALID, text, 0}, {LENGTH, ESKER_LIMIT, NULL, sizeof text - 1}
#define BUFFER_OF(n) {BUFFER, ESKER_INVALID, NULL, 0}, {CAP, ESKER_OK, NULL, n}
#define OUT(type) {OUTPUT, ESKER_INVALID, NULL, sizeof(type)}
#define MAYBE_OUT(type) {OUTPUT, ESKER_OK, NULL, sizeof(type)}
#define STRUCT_OUT(type) {STRUCT, ESKER_INVALID, NULL, sizeof(type)}
#define MAYBE_STRUCT(type) {STRUCT, ESKER_OK, NULL, sizeof(type)}
#define HANDLE_OUT(kind) {NEW, ESKER_INVALID, NULL, kind}
#define PATH_TO(what) {PATH, ESKER_INVALID, NULL, what}
#define CHOICE_OF(n) {CHOICE, ESKER_INVALID, NULL, n}
#define ANY_NUMBER(n) {NUMBER, ESKER_OK, NULL, n}
#define SMALL_NUMBER(n) {NUMBER, ESKER_INVALID, NULL, n}
#define ONE_OF_ARRAY(text) {COUNT, ESKER_INVALID, NULL, 1}, {ARRAY, ESKER_INVALID, text, 0}
#define NAME(text) {TEXT, ESKER_INVALID, text, 0}
#define ENCODED_BATCH "\1\0\0\0\0\0\0"

/* ---- the table
 *
 * name, call, answer when nothing is wrong, how, parameters */
static const struct row rows[] = {
    {"esker_put", call_put, ESKER_OK, 0, {HANDLE(DB), MAY_BE(WRITE), BYTES_OF("k"), BYTES_OF("v")}},
    {"esker_delete", call_delete, ESKER_OK, 0, {HANDLE(DB), MAY_BE(WRITE), BYTES_OF("gone")}},
    {"esker_get", call_get, ESKER_OK, 0, {HANDLE(DB), MAY_BE(READ), BYTES_OF("k"), BUFFER_OF(ROOM), OUT(size_t)}},
    {"esker_get_pin", call_get_pin, ESKER_OK, 0, {HANDLE(DB), MAY_BE(READ), BYTES_OF("k"), NEEDS(NEW_PIN)}},
    {"esker_exists", call_exists, ESKER_OK, 0, {HANDLE(DB), MAY_BE(READ), BYTES_OF("k"), MAYBE_OUT(size_t)}},
    {"esker_multi_get", call_multi_get, ESKER_OK, 0,
     {HANDLE(DB), MAY_BE(READ), ONE_OF_ARRAY("k"), BUFFER_OF(ROOM), NEEDS(BUFFER)}},
    {"esker_scan", call_scan, ESKER_OK, 0, {HANDLE(DB), MAY_BE(RANGE), NEEDS(CHUNK), MAY_BE(SLICE)}},
    {"esker_write", call_write, ESKER_OK, 0, {HANDLE(DB), MAY_BE(WRITE), HANDLE(BATCH), MAYBE_OUT(uint64_t)}},
    {"esker_write_bytes", call_write_bytes, ESKER_OK, 0,
     {HANDLE(DB), MAY_BE(WRITE), BYTES_OF(ENCODED_BATCH "\0"), MAYBE_OUT(uint64_t)}},
    {"esker_sync", call_sync, ESKER_OK, 0, {HANDLE(DB), MAY_BE(ERR)}},
    {"esker_wait_durable", call_wait_durable, ESKER_OK, 0, {HANDLE(DB), SMALL_NUMBER(0), ANY_NUMBER(0)}},
    {"esker_latest_seq", call_latest_seq, ESKER_OK, 0, {HANDLE(DB), OUT(uint64_t)}},
    {"esker_durable_seq", call_durable_seq, ESKER_OK, 0, {HANDLE(DB), OUT(uint64_t)}},
    {"esker_errors", call_errors, ESKER_OK, 0,
     {HANDLE(DB), ANY_NUMBER(0), STRUCT_OUT(esker_error), {CAP, ESKER_OK, NULL, 1}, OUT(size_t), OUT(uint64_t)}},
    {"esker_last_error", call_last_error, ESKER_OK, 0, {HANDLE(DB_ITER_OR_BATCH), STRUCT_OUT(esker_error)}},
    {"esker_flush", call_flush, ESKER_OK, 0, {HANDLE(DB), MAY_BE(ERR)}},
    {"esker_resume", call_resume, ESKER_OK, 0, {HANDLE(DB), MAY_BE(ERR)}},
    {"esker_verify", call_verify, ESKER_OK, 0, {HANDLE(DB), CHOICE_OF(ESKER_VERIFY_FULL), MAY_BE(JOB), MAY_BE(ERR)}},
    {"esker_verify_path", call_verify_path, ESKER_OK, 0,
     {PATH_TO(CLOSED_DATABASE), MAY_BE(OPTIONS), CHOICE_OF(ESKER_VERIFY_FULL), MAY_BE(JOB), MAY_BE(ERR)}},
    {"esker_salvage", call_salvage, ESKER_OK, 0,
     {PATH_TO(CLOSED_DATABASE), MAY_BE(OPTIONS), PATH_TO(NOTHING_YET), MAY_BE(JOB), MAYBE_STRUCT(esker_salvage_result), MAY_BE(ERR)}},
    {"esker_checkpoint", call_checkpoint, ESKER_OK, 0, {HANDLE(DB), PATH_TO(NOTHING_YET), MAY_BE(JOB), MAY_BE(ERR)}},
    {"esker_compact", call_compact, ESKER_OK, 0,
     {HANDLE(DB), MAY_BE(SLICE), MAY_BE(SLICE), CHOICE_OF(0), MAY_BE(JOB), MAY_BE(ERR)}},
    {"esker_approx_sizes", call_approx_sizes, ESKER_OK, 0, {HANDLE(DB), ONE_OF_ARRAY(NULL), OUT(uint64_t)}},
    {"esker_db_stats", call_db_stats, ESKER_OK, 0, {HANDLE(DB), STRUCT_OUT(esker_stats)}},
    {"esker_property", call_property, ESKER_OK, 0, {HANDLE(DB), NAME("levels"), BUFFER_OF(ROOM), OUT(size_t)}},
    {"esker_metrics_text", call_metrics_text, ESKER_OK, 0, {HANDLE(DB), BUFFER_OF(ROOM), OUT(size_t)}},
    {"esker_open", call_open, ESKER_OK, 0,
     {PATH_TO(NOTHING_YET), MAY_BE(OPTIONS), CHOICE_OF(ESKER_OPEN_CREATE), HANDLE_OUT(DB), MAY_BE(ERR)}},
    {"esker_close", call_close, ESKER_OK, ONCE, {MAY_BE(DB), CHOICE_OF(ESKER_CLOSE_DETACH), MAY_BE(ERR)}},
    {"esker_destroy", call_destroy, ESKER_MISSING, 0, {PATH_TO(NO_DATABASE), MAY_BE(OPTIONS), MAY_BE(ERR)}},

    {"esker_iter_new", call_iter_new, ESKER_OK, 0, {HANDLE(DB), MAY_BE(RANGE), HANDLE_OUT(ITER)}},
    {"esker_iter_free", call_iter_free, ESKER_OK, ONCE, {MAY_BE(ITER)}},
    {"esker_iter_first", call_iter_first, ESKER_OK, 0, {HANDLE(ITER)}},
    {"esker_iter_last", call_iter_last, ESKER_OK, 0, {HANDLE(ITER)}},
    {"esker_iter_next", call_iter_next, ESKER_OK, ONCE, {HANDLE(ITER)}},
    {"esker_iter_prev", call_iter_prev, ESKER_OK, ONCE, {HANDLE(ITER)}},
    {"esker_iter_seek", call_iter_seek, ESKER_OK, 0, {HANDLE(ITER), CHOICE_OF(ESKER_SEEK_GE), BYTES_OF("k")}},
    {"esker_iter_row", call_iter_row, ESKER_OK, 0, {HANDLE(ITER), OUT(void *)}},
    {"esker_iter_chunk", call_iter_chunk, ESKER_OK, ONCE, {HANDLE(ITER), NEEDS(CHUNK)}},
    {"esker_snapshot_new", call_snapshot_new, ESKER_OK, 0, {HANDLE(DB), HANDLE_OUT(SNAPSHOT)}},
    {"esker_snapshot_seq", call_snapshot_seq, ESKER_OK, 0, {HANDLE(SNAPSHOT), OUT(uint64_t)}},
    {"esker_snapshot_free", call_snapshot_free, ESKER_OK, ONCE, {MAY_BE(SNAPSHOT)}},
    {"esker_unpin", call_unpin, ESKER_OK, ONCE, {MAY_BE(PIN)}},

    {"esker_batch_new", call_batch_new, ESKER_OK, 0, {HANDLE_OUT(BATCH)}},
    {"esker_batch_free", call_batch_free, ESKER_OK, ONCE, {MAY_BE(BATCH)}},
    {"esker_batch_put", call_batch_put, ESKER_OK, 0, {HANDLE(BATCH), MAY_BE(DB), BYTES_OF("b"), BYTES_OF("v")}},
    {"esker_batch_delete", call_batch_delete, ESKER_OK, 0, {HANDLE(BATCH), MAY_BE(DB), BYTES_OF("b")}},
    {"esker_batch_clear", call_batch_clear, ESKER_OK, 0, {HANDLE(BATCH)}},
    {"esker_batch_reserve", call_batch_reserve, ESKER_OK, 0, {HANDLE(BATCH), {LENGTH, ESKER_LIMIT, NULL, 10}}},
    {"esker_batch_append", call_batch_append, ESKER_OK, 0, {HANDLE(BATCH), {BATCH, ESKER_MISUSE, NULL, 1}}},
    {"esker_batch_count", call_batch_count, ESKER_OK, 0, {HANDLE(BATCH), OUT(uint64_t)}},
    {"esker_batch_bytes", call_batch_bytes, ESKER_OK, 0, {HANDLE(BATCH), OUT(esker_slice)}},
    {"esker_batch_from_bytes", call_batch_from_bytes, ESKER_OK, 0, {HANDLE(BATCH), BYTES_OF(ENCODED_BATCH "\0")}},
    {"esker_batch_next", call_batch_next, ESKER_OK, 0, {HANDLE(BATCH), NEEDS(POSITION), STRUCT_OUT(esker_batch_op)}},

    {"esker_options_new", call_options_new, ESKER_OK, 0, {HANDLE_OUT(OPTIONS)}},
    {"esker_options_clone", call_options_clone, ESKER_OK, 0, {HANDLE(OPTIONS), HANDLE_OUT(OPTIONS)}},
    {"esker_options_free", call_options_free, ESKER_OK, ONCE, {MAY_BE(OPTIONS)}},
    {"esker_options_set_u64", call_options_set_u64, ESKER_OK, 0,
     {HANDLE(OPTIONS), CHOICE_OF(ESKER_OPT_LEVELS), SMALL_NUMBER(5), MAY_BE(ERR)}},
    {"esker_options_set_text", call_options_set_text, ESKER_OK, 0,
     {HANDLE(OPTIONS), CHOICE_OF(ESKER_OPT_FILTER), BYTES_OF("none"), MAY_BE(ERR)}},
    {"esker_options_set_object", call_options_set_object, ESKER_OK, 0,
     {HANDLE(OPTIONS), CHOICE_OF(ESKER_OPT_ENV), MAY_BE(ENV), MAY_BE(ERR)}},
    {"esker_options_set_object", call_options_set_object, ESKER_OK, 0,
     {HANDLE(OPTIONS), CHOICE_OF(ESKER_OPT_COMPARATOR_CUSTOM), MAY_BE(COMPARATOR), MAY_BE(ERR)}},
    {"esker_options_get_text", call_options_get_text, ESKER_OK, 0,
     {HANDLE(OPTIONS), CHOICE_OF(ESKER_OPT_LEVELS), BUFFER_OF(ROOM), OUT(size_t)}},
    {"esker_options_parse", call_options_parse, ESKER_OK, 0, {HANDLE(OPTIONS), BYTES_OF("levels=5"), MAY_BE(ERR)}},
    {"esker_option_at", call_option_at, ESKER_OK, 0, {SMALL_NUMBER(0), STRUCT_OUT(esker_option_info)}},
    {"esker_option_count", call_option_count, ESKER_OK, PLAIN, {{0, 0, NULL, 0}}},
    {"esker_option_find", call_option_find, ESKER_OK, 0, {NAME("levels"), OUT(uint32_t)}},
    {"esker_env_new", call_env_new, ESKER_OK, 0, {MAY_BE(OPTIONS), HANDLE_OUT(ENV), MAY_BE(ERR)}},
    {"esker_env_free", call_env_free, ESKER_OK, ONCE, {MAY_BE(ENV)}},
    {"esker_env_set_logger", call_env_set_logger, ESKER_OK, 0,
     {HANDLE(ENV), MAY_BE(BUFFER), MAY_BE(BUFFER), CHOICE_OF(ESKER_LOG_INFO)}},

    {"esker_version", call_version, ESKER_OK, PLAIN, {{0, 0, NULL, 0}}},
    {"esker_version_text", call_version_text, ESKER_OK, PLAIN, {{0, 0, NULL, 0}}},
    {"esker_abi", call_abi, ESKER_OK, PLAIN, {{0, 0, NULL, 0}}},
    {"esker_abi_check", call_abi_check, ESKER_OK, PLAIN,
     {{NUMBER, ESKER_ABI_MISMATCH, NULL, ESKER_ABI}, {NUMBER, ESKER_ABI_MISMATCH, NULL, ESKER_VERSION}}},
    {"esker_selftest", call_selftest, ESKER_OK, 0, {CHOICE_OF(0), MAY_BE(ERR)}},
    {"esker_status_name", call_status_name, ESKER_OK, PLAIN, {ANY_NUMBER(0)}},
    {"esker_status_text", call_status_text, ESKER_OK, PLAIN, {ANY_NUMBER(0)}},
};

/* ---- what a call must leave behind, whatever its answer */

/* Shared with the children. */
static struct progress {
  unsigned at, cases, bad;
  char where[160];
} *progress;

static void bad(const char *what, esker_status found, esker_status expected) {
  progress->bad++;
  printf("misuse: %s: %s: %s instead of %s\n", progress->where, what, esker_status_name(found), esker_status_name(expected));
}

/* Outputs are zeroed on failure, but for these. */
static int leaves_outputs(esker_status rc) {
  return rc >= 0 || rc == ESKER_MISUSE || rc == ESKER_ABI_MISMATCH || rc == ESKER_FORKED || rc == ESKER_INVALID;
}

static void check_outputs(const struct row *row, struct arguments *x, esker_status rc) {
  static const char zeros[sizeof(esker_pin)];
  int i;
  for (i = 0; i < PARAMS_MAX; i++) {
    const struct param *p = &row->params[i];
    union room *room = &x->rooms[i];
    if (p->kind == 0 || p->kind & NUMBERS || x->a[i].p == NULL) continue;
    if (p->kind == NEW && (rc == ESKER_OK) != (room->pointer != NULL)) bad("a handle where none is, or none", rc, rc);
    if (p->kind == NEW && room->pointer != NULL) CHECK(free_one((unsigned)p->number, room->pointer) == ESKER_OK);
    if (p->kind == NEW_PIN && rc == ESKER_OK) CHECK(esker_unpin(&room->pin) == ESKER_OK);
    if (p->kind == NEW_PIN && !leaves_outputs(rc)) CHECK(memcmp(room->bytes, zeros, sizeof room->pin) == 0);
    if (p->kind == OUTPUT && !leaves_outputs(rc)) CHECK(memcmp(room->bytes, zeros, (size_t)p->number) == 0);
    /* The detail is that of this answer; on success, and where its size is wrong, nobody writes it. */
    if (p->kind == ERR && rc != ESKER_ABI_MISMATCH && room->error.status != (rc < 0 ? rc : 0))
      bad("the status in err", room->error.status, rc < 0 ? rc : 0);
    if (p->kind == ERR && rc == ESKER_MISUSE) CHECK((room->error.flags & ESKER_ERROR_CALLER_BUG) != 0);
  }
}

/* ---- cases: one thing is wrong in each */

/* Cases of this row that an earlier child has done. */
static unsigned behind;

/* Whether the next case is to be run: an earlier child may have done it. */
static int begins(const struct row *row, int param, const char *column) {
  if (++progress->at <= behind) return 0;
  progress->cases++;
  if (param < 0) snprintf(progress->where, sizeof progress->where, "%s, %s", row->name, column);
  else snprintf(progress->where, sizeof progress->where, "%s, parameter %d, %s", row->name, param + 1, column);
  return 1;
}

static void call(const struct row *row, esker_status expected) {
  esker_status rc = row->call(arguments.a);
  if (rc != expected) bad("the answer", rc, expected);
  check_outputs(row, &arguments, rc);
  /* What was refused has used up nothing. */
  if (row->how & ONCE && rc >= 0) remake_living();
}

static void with_wrong_arguments(const struct row *row) {
  size_t s;
  int i;
  for (i = 0; i < PARAMS_MAX; i++)
    for (s = 0; row->params[i].kind != 0 && s < sizeof spoils / sizeof *spoils; s++) {
      esker_status stated = row->params[i].odd == ESKER_OK ? row->right : row->params[i].odd;
      if ((spoils[s].kinds & row->params[i].kind) == 0 || !begins(row, i, spoils[s].column)) continue;
      fill(&arguments, row, &living);
      spoils[s].set(&arguments, i, spoils[s].value);
      call(row, spoils[s].answer != 0 ? spoils[s].answer : stated);
    }
}

static unsigned kinds_of(const struct row *row) {
  unsigned kinds = 0;
  int i;
  for (i = 0; i < PARAMS_MAX; i++) kinds |= row->params[i].kind;
  return kinds & HANDLES;
}

/* After a close with DETACH a database's handle is none, its children are CLOSED but can be freed. */
static esker_status when_closed(const struct row *row) {
  unsigned kinds = kinds_of(row);
  if (kinds & (DB | DB_ITER_OR_BATCH)) return ESKER_MISUSE;
  return kinds & (ITER | SNAPSHOT) && row->params[0].odd == ESKER_MISUSE ? ESKER_CLOSED : row->right;
}

static void after_a_close(const struct row *row) {
  if (!begins(row, -1, "closed")) return;
  STATUS(ESKER_OK, esker_close(living.db, ESKER_CLOSE_DETACH, NULL));
  fill(&arguments, row, &living);
  call(row, when_closed(row));
  remake_living();
}

/* Nothing works in a forked child, and the parent's handles are not touched by what is tried there. */
static void in_a_forked_child(const struct row *row) {
  unsigned bad_before = progress->bad;
  int status = -1, failures = check_failures;
  pid_t child;
  if (!begins(row, -1, "forked child")) return;
  fflush(stdout);
  child = fork();
  if (child == 0) {
    esker_status rc, expected = row->how & PLAIN ? row->right : ESKER_FORKED;
    alarm(ROW_SECONDS_MAX);
    fill(&arguments, row, &living);
    rc = row->call(arguments.a);
    if (rc != expected) bad("the answer", rc, expected);
    check_outputs(row, &arguments, rc);
    fflush(stdout);
    _exit(check_failures != failures);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  if (status != 0 && progress->bad == bad_before) bad("how the child ended", status, 0);
  if (!begins(row, -1, "in the parent of a forked child")) return;
  fill(&arguments, row, &living);
  call(row, row->right);
}

static void *call_until_refused(void *argument) {
  const struct row *row = argument;
  int i;
  for (i = 0; i < RACE_CALLS_MAX; i++) {
    esker_status rc = row->call(racing.a);
    int refused = rc == ESKER_CLOSED || rc == ESKER_MISUSE;
    if (rc < 0 && !refused && rc != ESKER_CANCELLED && rc != row->right) bad("the answer", rc, row->right);
    check_outputs(row, &racing, rc);
    if (refused) break;
    fill(&racing, row, &living);
  }
  return NULL;
}

/* The database is closed and the first handle freed while another thread calls. */
static void racing_a_close(const struct row *row) {
  unsigned first = row->params[0].kind & HANDLES;
  esker_status closed, rc;
  pthread_t thread;
  if (first == 0 || !begins(row, -1, "concurrent close")) return;
  fill(&racing, row, &living);
  CHECK(pthread_create(&thread, NULL, call_until_refused, (void *)(uintptr_t)row) == 0);
  closed = esker_close(living.db, ESKER_CLOSE_DETACH, NULL);
  CHECK(closed == ESKER_OK || closed == ESKER_MISUSE);
  rc = free_one(first, handle_of(&living, first));
  CHECK(rc == ESKER_OK || rc == ESKER_MISUSE);
  CHECK(pthread_join(thread, NULL) == 0);
  remake_living();
}

static void run_row(const struct row *row) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(ROW_SECONDS_MAX);
  snprintf(progress->where, sizeof progress->where, "%s, before the first case", row->name);
  /* On disk where its path is an argument. */
  make(&freed, "freed", row->params[0].kind == PATH ? ESKER_OPEN_CREATE : ESKER_OPEN_MEMORY);
  unmake(&freed);
  make(&living, "living", ESKER_OPEN_CREATE);
  if (begins(row, -1, "nothing wrong")) {
    fill(&arguments, row, &living);
    call(row, row->right);
  }
  with_wrong_arguments(row);
  in_a_forked_child(row);
  after_a_close(row);
  racing_a_close(row);
  snprintf(progress->where, sizeof progress->where, "%s, after the last case", row->name);
  unmake(&living);
  STATUS(ESKER_OK, esker_destroy(living.path, NULL, NULL));
  progress->bad += (unsigned)check_failures;
  /* Not _exit: the leak check of a build with sanitizers runs here. */
  exit(0);
}

/* Runs all cases of a row in a child; one that crashes or hangs there is bad, and a new child goes on behind it. */
static void try_row(const struct row *row) {
  int status = 0;
  behind = 0;
  do {
    pid_t child;
    progress->at = 0;
    fflush(stdout);
    child = fork();
    if (child == 0) run_row(row);
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    if (status == 0) return;
    progress->bad++;
    if (WIFSIGNALED(status)) printf("misuse: %s: signal %d\n", progress->where, WTERMSIG(status));
    else printf("misuse: %s: exit status %d\n", progress->where, WEXITSTATUS(status));
    if (progress->at <= behind) return;
    behind = progress->at;
  } while (WIFSIGNALED(status));
}

int main(int argc, char **argv) {
  size_t i;
  if (argc != 2) return 2;
  work = argv[1];
  progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (progress == MAP_FAILED) return 2;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) try_row(&rows[i]);
  printf("misuse: %u cases, %u bad\n", progress->cases, progress->bad);
  return progress->bad != 0 || progress->cases < CASES_MIN;
}
