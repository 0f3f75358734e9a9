/* Wrong calls that are more than one wrong argument (misuse_matrix.c has those): every one gets its documented status,
 * none a signal. */
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

/* NULL with length 0 is empty, and a buffer may be said to be larger than anything: no more than the value is written. */
static void lengths(void) {
  static const size_t huge[] = {(size_t)-1, (size_t)1 << 63, ((size_t)1 << 63) - 1, (size_t)1 << 40};
  esker_db *db = open_new("lengths");
  esker_options *options = NULL;
  char buffer[8];
  uint64_t newest;
  size_t size = 7, i;
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS(ESKER_OK, esker_options_parse(options, NULL, 0, NULL));
  STATUS(ESKER_OK, esker_put(db, NULL, NULL, 0, NULL, 0));
  STATUS(ESKER_OK, esker_get(db, NULL, NULL, 0, NULL, 0, &size));
  CHECK(size == 0);
  STATUS(ESKER_OK, esker_multi_get(db, NULL, 0, NULL, NULL, 0, NULL));
  STATUS(ESKER_OK, esker_approx_sizes(db, 0, NULL, NULL));
  STATUS(ESKER_OK, esker_errors(db, 0, NULL, 0, &size, &newest));
  STATUS(ESKER_OK, put(db, "k", "v"));
  for (i = 0; i < sizeof huge / sizeof huge[0]; i++) {
    memset(buffer, 'x', sizeof buffer);
    STATUS(ESKER_OK, esker_get(db, NULL, "k", 1, buffer, huge[i], &size));
    CHECK(size == 1 && memcmp(buffer, "vxxxxxxx", sizeof buffer) == 0);
  }
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
  lengths();
  struct_sizes();
  numbers();
  snapshot_of_another_database();
  pins();
  stale_handles();
  overlapping_calls();
  racing_close();
  callbacks();
  fork_does_not_keep_the_lock();
  return check_result("misuse");
}
