/* Many at once: encoded batches, chunks, scans, many keys. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROWS 500

static const char *work;
static esker_error error;

static esker_db *open_new(const char *name) {
  esker_db *db = NULL;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), NULL, ESKER_OPEN_CREATE, &db, &error));
  return db;
}

static uint32_t u32(const unsigned char *at) {
  return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static esker_chunk new_chunk(uint32_t layout, uint64_t max_rows, void *buf, size_t cap) {
  esker_chunk chunk;
  memset(&chunk, 0, sizeof chunk);
  chunk.struct_size = sizeof chunk;
  chunk.layout = layout;
  chunk.max_rows = max_rows;
  chunk.buf = buf;
  chunk.cap = cap;
  return chunk;
}

static esker_read_opts new_read(uint32_t flags) {
  esker_read_opts read;
  memset(&read, 0, sizeof read);
  read.struct_size = sizeof read;
  read.flags = flags;
  return read;
}

/* Row n is "key00n" with a value of n % 50 bytes. */
static esker_db *open_filled(const char *name) {
  esker_db *db = open_new(name);
  char key[16], value[64];
  int n;
  memset(value, 'v', sizeof value);
  for (n = 0; n < ROWS; n++) {
    snprintf(key, sizeof key, "key%03d", n);
    STATUS(ESKER_OK, esker_put(db, NULL, key, 6, value, (size_t)(n % 50)));
    if (n == ROWS / 2) STATUS(ESKER_OK, esker_flush(db, NULL));
  }
  return db;
}

/* Whether the chunk's row is row n of open_filled(). `at` goes on to the next packed row. */
static int is_row(const esker_chunk *chunk, uint64_t i, size_t *at, int n, int keys_only) {
  const unsigned char *buf = chunk->buf;
  char key[16];
  size_t key_at, klen, vlen;
  snprintf(key, sizeof key, "key%03d", n);
  if (chunk->layout == ESKER_LAYOUT_PACKED) {
    key_at = *at + 8;
    klen = u32(buf + *at);
    vlen = u32(buf + *at + 4);
    *at = key_at + klen + (keys_only ? 0 : vlen);
    if (vlen != (size_t)(n % 50)) return 0;
  } else {
    key_at = u32(buf + 8 * i);
    klen = u32(buf + 8 * i + 4) - key_at;
    vlen = u32(buf + 8 * i + 8) - key_at - klen;
    *at = key_at + klen + vlen;
    if (vlen != (keys_only ? 0 : (size_t)(n % 50))) return 0;
  }
  return klen == 6 && memcmp(buf + key_at, key, 6) == 0 && *at <= chunk->used;
}

/* Walks everything by chunks, with an iterator or by scans, and sees each row once and in order. */
static void walk(esker_db *db, uint32_t flags, uint32_t layout, uint64_t max_rows, size_t cap, int scans) {
  static unsigned char buf[1 << 16];
  esker_read_opts read = new_read(flags);
  esker_chunk chunk = new_chunk(layout, max_rows, buf, cap);
  esker_slice resume = {NULL, 0};
  esker_iter *iter = NULL;
  const esker_row *row = NULL;
  int reverse = (flags & ESKER_READ_REVERSE) != 0, keys_only = (flags & ESKER_READ_KEYS_ONLY) != 0;
  int n = reverse ? ROWS - 1 : 0, wrong = 0, calls = 0;
  esker_status status;
  STATUS(ESKER_OK, esker_iter_new(db, &read, &iter));
  STATUS(ESKER_OK, esker_iter_row(iter, &row));
  do {
    uint64_t i;
    size_t at = 0;
    memset(buf + cap, 0xee, sizeof buf - cap);
    status = scans ? esker_scan(db, &read, &chunk, &resume) : esker_iter_chunk(iter, &chunk);
    CHECK(status == ESKER_OK || status == ESKER_DONE);
    CHECK(chunk.used <= cap && chunk.need == 0 && (max_rows == 0 || chunk.rows <= max_rows));
    for (i = 0; i < chunk.rows; i++, n += reverse ? -1 : 1) wrong += !is_row(&chunk, i, &at, n, keys_only);
    CHECK(at == chunk.used);
    /* Nothing is written behind what the caller gave. */
    for (at = cap; at < sizeof buf; at++) wrong += buf[at] != 0xee;
    if (!scans && status == ESKER_OK) {
      char key[16];
      snprintf(key, sizeof key, "key%03d", reverse ? n + 1 : n - 1);
      CHECK((row->flags & ESKER_ROW_VALID) != 0 && row->key_len == 6 && memcmp(row->key, key, 6) == 0);
    }
    if (!scans && status == ESKER_DONE) CHECK(row->flags == 0);
  } while (status == ESKER_OK && chunk.rows > 0 && calls++ < 2 * ROWS);
  CHECK(wrong == 0 && status == ESKER_DONE && n == (reverse ? -1 : ROWS));
  STATUS(ESKER_OK, esker_iter_free(iter));
}

static void walks(void) {
  static const uint32_t flags[] = {0, ESKER_READ_REVERSE, ESKER_READ_KEYS_ONLY,
                                   ESKER_READ_REVERSE | ESKER_READ_KEYS_ONLY};
  esker_db *db = open_filled("walks");
  size_t f;
  int scans;
  for (f = 0; f < sizeof flags / sizeof flags[0]; f++) {
    for (scans = 0; scans < 2; scans++) {
      walk(db, flags[f], ESKER_LAYOUT_PACKED, 0, 64, scans);
      walk(db, flags[f], ESKER_LAYOUT_PACKED, 0, 1000, scans);
      walk(db, flags[f], ESKER_LAYOUT_PACKED, 0, 1 << 16, scans);
      walk(db, flags[f], ESKER_LAYOUT_PACKED, 7, 1000, scans);
      walk(db, flags[f], ESKER_LAYOUT_COLUMNS, 1, 100, scans);
      walk(db, flags[f], ESKER_LAYOUT_COLUMNS, 100, 2000, scans);
      walk(db, flags[f], ESKER_LAYOUT_COLUMNS, ROWS, 1 << 16, scans);
    }
  }
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void too_small(void) {
  esker_db *db = open_filled("small");
  unsigned char buf[256], before[256];
  esker_chunk chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, 13);
  esker_slice resume = {NULL, 0};
  esker_iter *iter = NULL;
  const esker_row *row = NULL;
  memset(buf, 0xee, sizeof buf);
  memcpy(before, buf, sizeof buf);
  STATUS(ESKER_TOO_SMALL, esker_scan(db, NULL, &chunk, &resume));
  CHECK(chunk.need == 14 && chunk.rows == 0 && chunk.used == 0 && resume.data == NULL);
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, esker_iter_row(iter, &row));
  STATUS(ESKER_TOO_SMALL, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.need == 14 && memcmp(buf, before, sizeof buf) == 0 && row->flags == 0);
  chunk.cap = 0;
  chunk.buf = NULL;
  STATUS(ESKER_TOO_SMALL, esker_iter_chunk(iter, &chunk));
  STATUS(ESKER_OK, esker_iter_seek(iter, ESKER_SEEK_EQ, "key048", 6));
  STATUS(ESKER_TOO_SMALL, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.need == 14 + 49 && row->key_len == 6 && memcmp(row->key, "key048", 6) == 0 && row->value_len == 48);
  chunk = new_chunk(ESKER_LAYOUT_COLUMNS, 10, buf, 50);
  STATUS(ESKER_TOO_SMALL, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.need == 88 + 6 + 49);
  chunk.cap = chunk.need;
  STATUS(ESKER_OK, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.rows == 1 && chunk.used == 88 + 6 + 49 && u32(buf) == 88 && row->value_len == 49);
  STATUS(ESKER_OK, esker_iter_prev(iter));
  CHECK(memcmp(row->key, "key048", 6) == 0);
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void ranges(void) {
  esker_db *db = open_filled("ranges");
  unsigned char buf[4096];
  esker_chunk chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, sizeof buf);
  esker_read_opts read = new_read(0);
  esker_slice resume = {"key005", 6};
  esker_snapshot *snapshot = NULL;
  size_t at = 0;
  read.prefix.data = "key01";
  read.prefix.size = 5;
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, NULL));
  CHECK(chunk.rows == 10 && is_row(&chunk, 0, &at, 10, 0));
  /* A place before the range begins it, one behind it ends it; either way nothing is an error. */
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, &resume));
  CHECK(chunk.rows == 10 && resume.size == 6 && memcmp(resume.data, "key019", 6) == 0);
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, &resume));
  CHECK(chunk.rows == 0 && resume.size == 6);
  resume.data = "zzz";
  resume.size = 3;
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, &resume));
  CHECK(chunk.rows == 0 && chunk.used == 0);
  read.flags = ESKER_READ_REVERSE;
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, &resume));
  at = 0;
  CHECK(chunk.rows == 10 && is_row(&chunk, 0, &at, 19, 0) && memcmp(resume.data, "key010", 6) == 0);
  read = new_read(0);
  read.limit = 3;
  STATUS(ESKER_DONE, esker_scan(db, &read, &chunk, NULL));
  CHECK(chunk.rows == 3);
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, put(db, "a", "first"));
  read = new_read(0);
  read.snapshot = snapshot;
  chunk.max_rows = 1;
  at = 0;
  STATUS(ESKER_OK, esker_scan(db, &read, &chunk, NULL));
  CHECK(chunk.rows == 1 && is_row(&chunk, 0, &at, 0, 0));
  STATUS(ESKER_OK, esker_scan(db, NULL, &chunk, NULL));
  CHECK(chunk.rows == 1 && buf[8] == 'a');
  read.flags = 0x80;
  STATUS(ESKER_INVALID, esker_scan(db, &read, &chunk, NULL));
  CHECK(chunk.rows == 0 && chunk.used == 0);
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void wrong_chunks(void) {
  static const uint32_t sizes[] = {0, 4, 63, 65537, 0xffffffffu};
  esker_db *db = open_filled("wrong");
  unsigned char buf[64];
  struct {
    esker_chunk known;
    uint64_t tail;
  } longer;
  esker_slice resume = {NULL, 3};
  esker_chunk chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, sizeof buf);
  esker_iter *iter = NULL;
  size_t i;
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    chunk.struct_size = sizes[i];
    chunk.rows = 77;
    STATUS(ESKER_ABI_MISMATCH, esker_scan(db, NULL, &chunk, NULL));
    STATUS(ESKER_ABI_MISMATCH, esker_iter_chunk(iter, &chunk));
    CHECK(chunk.rows == 77);
  }
  STATUS(ESKER_INVALID, esker_scan(db, NULL, NULL, NULL));
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, NULL));
  STATUS(ESKER_OK, esker_last_error(iter, &error));
  CHECK(error.status == ESKER_INVALID);
  chunk = new_chunk(2, 0, buf, sizeof buf);
  STATUS(ESKER_INVALID, esker_scan(db, NULL, &chunk, NULL));
  chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, NULL, 1);
  STATUS(ESKER_INVALID, esker_scan(db, NULL, &chunk, NULL));
  chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, sizeof buf);
  STATUS(ESKER_INVALID, esker_scan(db, NULL, &chunk, &resume));
  resume.data = "k";
  resume.size = 65536;
  STATUS(ESKER_LIMIT, esker_scan(db, NULL, &chunk, &resume));
  chunk.flags = 1;
  STATUS(ESKER_INVALID, esker_scan(db, NULL, &chunk, NULL));
  chunk.flags = 0;
  chunk.reserved = 1;
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, &chunk));
  chunk = new_chunk(ESKER_LAYOUT_COLUMNS, 0, buf, sizeof buf);
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, &chunk));
  chunk.max_rows = 500000001;
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, &chunk));
  chunk.max_rows = ~(uint64_t)0;
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, &chunk));
  chunk.max_rows = 1;
  chunk.cap = (size_t)1 << 32;
  STATUS(ESKER_INVALID, esker_iter_chunk(iter, &chunk));
  chunk.max_rows = 500000000;
  chunk.cap = sizeof buf;
  STATUS(ESKER_TOO_SMALL, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.need == 4000000008u + 6);
  memset(&longer, 0, sizeof longer);
  longer.known = new_chunk(ESKER_LAYOUT_PACKED, 1, buf, sizeof buf);
  longer.known.struct_size = sizeof longer;
  STATUS(ESKER_OK, esker_iter_chunk(iter, &longer.known));
  longer.tail = 1;
  STATUS(ESKER_ABI_MISMATCH, esker_iter_chunk(iter, &longer.known));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void encoded_batches(void) {
  static const unsigned char batch[] = {1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 3, 'k', 'e', 'y', 5, 'v', 'a', 'l', 'u', 'e', 2, 0, 0};
  unsigned char copy[sizeof batch + 1];
  esker_db *db = open_new("encoded");
  esker_write_opts sync;
  uint64_t seq = 7;
  size_t i;
  memset(&sync, 0, sizeof sync);
  sync.struct_size = sizeof sync;
  sync.durability = ESKER_DURABILITY_SYNC;
  STATUS(ESKER_OK, put(db, "", "there"));
  STATUS(ESKER_OK, esker_write_bytes(db, &sync, batch, sizeof batch, &seq));
  CHECK(seq == 3 && has(db, NULL, "key", "value") && has(db, NULL, "", NULL));
  STATUS(ESKER_OK, esker_write_bytes(db, NULL, "\1\0\0\0\0\0\0", 8, &seq));
  CHECK(seq == 3);
  STATUS(ESKER_OK, esker_delete(db, NULL, "key", 3));
  /* Nothing of a batch that is cut, too long, of another version or kind, or for another keyspace. */
  for (i = 0; i < sizeof batch; i++) {
    seq = 7;
    STATUS(ESKER_CORRUPT, esker_write_bytes(db, NULL, batch, i, &seq));
    CHECK(seq == 0);
  }
  memcpy(copy, batch, sizeof batch);
  copy[sizeof batch] = 0;
  STATUS(ESKER_CORRUPT, esker_write_bytes(db, NULL, copy, sizeof copy, NULL));
  copy[0] = 2;
  STATUS(ESKER_FORMAT, esker_write_bytes(db, NULL, copy, sizeof batch, NULL));
  copy[0] = 1;
  copy[20] = 3;
  STATUS(ESKER_CORRUPT, esker_write_bytes(db, NULL, copy, sizeof batch, NULL));
  error = new_error();
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_CORRUPT && error.area == ESKER_AREA_BATCH && error.offset == 20);
  copy[20] = 2;
  copy[21] = 1;
  STATUS(ESKER_INVALID, esker_write_bytes(db, NULL, copy, sizeof batch, NULL));
  STATUS(ESKER_LIMIT, esker_write_bytes(db, NULL, "\1\0\0\0\1\0\0\0\1\0\200\200\4", 13, NULL));
  STATUS(ESKER_LIMIT, esker_write_bytes(db, NULL, copy, (size_t)ESKER_BATCH_MAX + 1, NULL));
  STATUS(ESKER_INVALID, esker_write_bytes(db, NULL, NULL, 8, NULL));
  sync.struct_size = 3;
  STATUS(ESKER_ABI_MISMATCH, esker_write_bytes(db, &sync, batch, sizeof batch, NULL));
  STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  CHECK(seq == 4 && has(db, NULL, "key", NULL));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void many_keys(void) {
  static const esker_slice keys[] = {{"key049", 6}, {"absent", 6}, {"key002", 6}, {"key000", 6}, {"key002", 6}};
  esker_db *db = open_filled("many");
  esker_read_opts read = new_read(0);
  esker_get_result results[5];
  esker_slice wrong[4];
  esker_snapshot *snapshot = NULL;
  char buf[128];
  STATUS(ESKER_OK, esker_multi_get(db, NULL, 5, keys, buf, sizeof buf, results));
  CHECK(results[0].status == ESKER_OK && results[0].offset == 0 && results[0].size == 49);
  CHECK(results[1].status == ESKER_NOT_FOUND && results[1].offset == 0 && results[1].size == 0);
  CHECK(results[2].status == ESKER_OK && results[2].offset == 49 && results[2].size == 2 && buf[50] == 'v');
  CHECK(results[3].status == ESKER_OK && results[3].size == 0);
  CHECK(results[4].status == ESKER_OK && results[4].offset == 51 && results[4].size == 2);
  /* What does not fit is left out, a smaller one behind it is not. */
  memset(buf, 'x', sizeof buf);
  STATUS(ESKER_PARTIAL, esker_multi_get(db, NULL, 5, keys, buf, 3, results));
  CHECK(results[0].status == ESKER_TOO_SMALL && results[0].size == 49 && results[0].offset == 0);
  CHECK(results[2].status == ESKER_OK && results[2].offset == 0 && results[3].status == ESKER_OK);
  CHECK(results[4].status == ESKER_TOO_SMALL && results[4].size == 2 && buf[2] == 'x');
  STATUS(ESKER_PARTIAL, esker_multi_get(db, NULL, 5, keys, NULL, 0, results));
  STATUS(ESKER_OK, esker_multi_get(db, NULL, 0, NULL, NULL, 0, NULL));
  /* A wrong key is its own; the others are answered. */
  wrong[0] = keys[0];
  wrong[1].data = NULL;
  wrong[1].size = 4;
  wrong[2].data = buf;
  wrong[2].size = 65536;
  wrong[3] = keys[2];
  STATUS(ESKER_INVALID, esker_multi_get(db, NULL, 4, wrong, buf, sizeof buf, results));
  CHECK(results[0].status == ESKER_OK && results[1].status == ESKER_INVALID);
  CHECK(results[2].status == ESKER_LIMIT && results[3].status == ESKER_OK && results[3].size == 2);
  STATUS(ESKER_INVALID, esker_multi_get(db, NULL, 1, NULL, buf, sizeof buf, results));
  CHECK(results[0].status == 0 && results[0].size == 0);
  STATUS(ESKER_INVALID, esker_multi_get(db, NULL, 1, keys, NULL, 1, results));
  STATUS(ESKER_INVALID, esker_multi_get(db, NULL, 1, keys, buf, 1, NULL));
  STATUS(ESKER_INVALID, esker_multi_get(db, NULL, (size_t)-1, keys, buf, 1, results));
  /* One view: the snapshot's. */
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, put(db, "absent", "now there"));
  STATUS(ESKER_OK, esker_multi_get(db, NULL, 2, keys, buf, sizeof buf, results));
  CHECK(results[1].status == ESKER_OK && results[1].size == 9);
  read.snapshot = snapshot;
  STATUS(ESKER_OK, esker_multi_get(db, &read, 2, keys, buf, sizeof buf, results));
  CHECK(results[1].status == ESKER_NOT_FOUND);
  read.struct_size = 8;
  STATUS(ESKER_ABI_MISMATCH, esker_multi_get(db, &read, 2, keys, buf, sizeof buf, results));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
}

static void closed_and_forked(void) {
  esker_db *db = open_filled("closed");
  unsigned char buf[64];
  esker_chunk chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, sizeof buf);
  esker_slice key = {"key001", 6};
  esker_get_result result;
  esker_iter *iter = NULL;
  int status = -1;
  pid_t child;
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  fflush(stdout);
  child = fork();
  if (child == 0) {
    STATUS(ESKER_FORKED, esker_iter_chunk(iter, &chunk));
    STATUS(ESKER_FORKED, esker_scan(db, NULL, &chunk, NULL));
    STATUS(ESKER_FORKED, esker_multi_get(db, NULL, 1, &key, buf, sizeof buf, &result));
    STATUS(ESKER_FORKED, esker_write_bytes(db, NULL, "\1\0\0\0\0\0\0", 8, NULL));
    fflush(stdout);
    _exit(check_failures != 0);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  STATUS(ESKER_OK, esker_iter_chunk(iter, &chunk));
  STATUS(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, NULL));
  STATUS(ESKER_CLOSED, esker_iter_chunk(iter, &chunk));
  CHECK(chunk.rows == 0);
  STATUS(ESKER_OK, esker_iter_free(iter));
}

static void *scan_until_closed(void *db) {
  unsigned char buf[1024];
  esker_slice keys[2] = {{"key001", 6}, {"key400", 6}};
  esker_get_result results[2];
  esker_status status = ESKER_OK;
  while (status >= 0) {
    esker_chunk chunk = new_chunk(ESKER_LAYOUT_PACKED, 0, buf, sizeof buf);
    status = esker_scan(db, NULL, &chunk, NULL);
    if (status >= 0) status = esker_multi_get(db, NULL, 2, keys, buf, sizeof buf, results);
    if (status >= 0) status = esker_write_bytes(db, NULL, "\1\0\0\0\1\0\0\0\2\0\1z", 12, NULL);
  }
  CHECK(status == ESKER_CLOSED || status == ESKER_MISUSE);
  return NULL;
}

static void racing_close(void) {
  esker_db *db = open_filled("racing");
  pthread_t threads[2];
  uint64_t seq = 0;
  int i;
  for (i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, scan_until_closed, db) == 0);
  while (seq < ROWS + 100) STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  STATUS(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, NULL));
  for (i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  error = new_error();
  walks();
  too_small();
  ranges();
  wrong_chunks();
  encoded_batches();
  many_keys();
  closed_and_forked();
  racing_close();
  return check_result("bulk");
}
