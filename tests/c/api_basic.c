/* Every function in ordinary use: what the header says is what happens. */
#include "check.h"

static const char *work;
static esker_error error;

static esker_db *open_with(const char *name, const char *text) {
  esker_options *options = NULL;
  esker_db *db = NULL;
  error = new_error();
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), options, ESKER_OPEN_CREATE, &db, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  return db;
}

static void close_db(esker_db *db) {
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

static esker_read_opts read_opts(uint32_t flags) {
  esker_read_opts options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.flags = flags;
  return options;
}

static esker_slice slice(const char *text) {
  esker_slice out;
  out.data = text;
  out.size = text == NULL ? 0 : strlen(text);
  return out;
}

static void points(void) {
  esker_db *db = open_with("points", "");
  char buffer[8] = "........";
  size_t size = 99;
  uint64_t seq = 99;
  esker_read_opts filter = read_opts(ESKER_READ_FILTER_ONLY);
  esker_write_opts write;
  uint32_t level;
  STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  CHECK(seq == 0);
  STATUS(ESKER_NOT_FOUND, esker_get(db, NULL, "k", 1, buffer, sizeof buffer, &size));
  CHECK(size == 0);
  STATUS(ESKER_OK, put(db, "k", "12345"));
  STATUS(ESKER_OK, esker_get(db, NULL, "k", 1, buffer, sizeof buffer, &size));
  CHECK(size == 5 && memcmp(buffer, "12345...", 8) == 0);
  memcpy(buffer, "........", 8);
  STATUS(ESKER_TOO_SMALL, esker_get(db, NULL, "k", 1, buffer, 4, &size));
  CHECK(size == 5 && memcmp(buffer, "........", 8) == 0);
  STATUS(ESKER_TOO_SMALL, esker_get(db, NULL, "k", 1, NULL, 0, &size));
  CHECK(size == 5);
  STATUS(ESKER_OK, esker_exists(db, NULL, "k", 1, &size));
  CHECK(size == 5);
  STATUS(ESKER_OK, esker_exists(db, NULL, "k", 1, NULL));
  STATUS(ESKER_NOT_FOUND, esker_exists(db, NULL, "no", 2, &size));
  CHECK(size == 0);
  STATUS(ESKER_OK, esker_exists(db, &filter, "k", 1, &size));
  CHECK(size == 0);
  STATUS(ESKER_OK, put(db, "k", "replaced"));
  CHECK(has(db, NULL, "k", "replaced"));
  STATUS(ESKER_OK, esker_delete(db, NULL, "k", 1));
  CHECK(has(db, NULL, "k", NULL));
  STATUS(ESKER_OK, esker_delete(db, NULL, "never there", 11));
  STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  CHECK(seq == 4);

  /* An empty key and an empty value are not absent; bytes are any bytes. */
  STATUS(ESKER_OK, esker_put(db, NULL, NULL, 0, "of the empty key", 16));
  STATUS(ESKER_OK, esker_put(db, NULL, "empty", 5, NULL, 0));
  STATUS(ESKER_OK, esker_put(db, NULL, "a\0b", 3, "\0\xff", 2));
  CHECK(has(db, NULL, "", "of the empty key") && has(db, NULL, "empty", "") && has(db, NULL, "a", NULL));
  STATUS(ESKER_OK, esker_get(db, NULL, "empty", 5, NULL, 0, &size));
  STATUS(ESKER_OK, esker_get(db, NULL, "a\0b", 3, buffer, sizeof buffer, &size));
  CHECK(size == 2 && memcmp(buffer, "\0\xff", 2) == 0);

  memset(&write, 0, sizeof write);
  write.struct_size = sizeof write;
  for (level = ESKER_DURABILITY_DEFAULT; level <= ESKER_DURABILITY_SYNC; level++) {
    write.durability = level;
    STATUS(ESKER_OK, esker_put(db, &write, &level, sizeof level, "v", 1));
  }
  STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  STATUS(ESKER_OK, esker_durable_seq(db, &seq));
  CHECK(seq == 12);
  STATUS(ESKER_OK, put(db, "later", "1"));
  STATUS_ERR(ESKER_OK, esker_sync(db, &error));
  STATUS(ESKER_OK, esker_durable_seq(db, &seq));
  CHECK(seq == 13);
  close_db(db);
}

static void pins(void) {
  esker_db *db = open_with("pins", "");
  esker_pin memory, table, empty;
  esker_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  STATUS(ESKER_OK, put(db, "table", "from a table"));
  STATUS(ESKER_OK, put(db, "empty", ""));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "memory", "from memory"));
  STATUS(ESKER_OK, esker_get_pin(db, NULL, "memory", 6, &memory));
  STATUS(ESKER_OK, esker_get_pin(db, NULL, "table", 5, &table));
  STATUS(ESKER_OK, esker_get_pin(db, NULL, "empty", 5, &empty));
  CHECK(empty.data != NULL && empty.size == 0);
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  CHECK(stats.live_pins == 3);
  STATUS(ESKER_OK, put(db, "memory", "overwritten"));
  STATUS(ESKER_OK, esker_delete(db, NULL, "table", 5));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  /* Pins do not keep a database open, and stay readable when it is closed. */
  close_db(db);
  CHECK(memory.size == 11 && memcmp(memory.data, "from memory", 11) == 0);
  CHECK(table.size == 12 && memcmp(table.data, "from a table", 12) == 0);
  STATUS(ESKER_OK, esker_unpin(&table));
  CHECK(table.data == NULL && table.size == 0 && table.opaque[0] == 0);
  STATUS(ESKER_OK, esker_unpin(&memory));
  STATUS(ESKER_OK, esker_unpin(&empty));
}

static void batches(void) {
  esker_db *db = open_with("batches", "");
  esker_batch *batch = NULL, *other = NULL;
  esker_batch_op op;
  esker_slice bytes;
  esker_write_opts sync;
  uint64_t count = 0, pos = 0, second = 0, seq = 0;
  unsigned char copy[256], longer[256];
  size_t len, longer_len;
  memset(&op, 0, sizeof op);
  op.struct_size = sizeof op;
  memset(&sync, 0, sizeof sync);
  sync.struct_size = sizeof sync;
  sync.durability = ESKER_DURABILITY_SYNC;
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_batch_new(&other));
  STATUS(ESKER_OK, esker_batch_reserve(batch, 1000));
  STATUS(ESKER_DONE, esker_batch_next(batch, &pos, &op));
  STATUS(ESKER_OK, esker_batch_put(batch, NULL, "a", 1, "1", 1));
  STATUS(ESKER_OK, esker_batch_put(batch, db, "b", 1, "2", 1));
  STATUS(ESKER_OK, esker_batch_delete(batch, NULL, "a", 1));
  STATUS(ESKER_OK, esker_batch_count(batch, &count));
  CHECK(count == 3);

  pos = 0;
  STATUS(ESKER_OK, esker_batch_next(batch, &pos, &op));
  CHECK(op.kind == ESKER_OP_PUT && op.keyspace == 0 && op.key.size == 1 && *(const char *)op.key.data == 'a');
  CHECK(op.value.size == 1 && *(const char *)op.value.data == '1' && op.struct_size == sizeof op);
  second = pos;
  STATUS(ESKER_OK, esker_batch_next(batch, &pos, &op));
  STATUS(ESKER_OK, esker_batch_next(batch, &pos, &op));
  CHECK(op.kind == ESKER_OP_DELETE && op.value.data == NULL && op.value.size == 0);
  STATUS(ESKER_DONE, esker_batch_next(batch, &pos, &op));
  STATUS(ESKER_DONE, esker_batch_next(batch, &pos, &op));
  CHECK(op.kind == 0 && op.key.data == NULL);
  STATUS(ESKER_OK, esker_batch_next(batch, &second, &op));
  CHECK(*(const char *)op.key.data == 'b');
  second = 11;
  STATUS(ESKER_INVALID, esker_batch_next(batch, &second, &op));
  second = ~(uint64_t)0;
  STATUS(ESKER_INVALID, esker_batch_next(batch, &second, &op));
  STATUS(ESKER_OK, esker_last_error(batch, &error));
  CHECK(error.status == ESKER_INVALID);

  STATUS(ESKER_OK, esker_write(db, NULL, batch, &seq));
  CHECK(seq == 3 && has(db, NULL, "a", NULL) && has(db, NULL, "b", "2"));
  STATUS(ESKER_OK, esker_write(db, NULL, batch, NULL));
  STATUS(ESKER_OK, esker_latest_seq(db, &seq));
  CHECK(seq == 6);

  /* Through the public encoding and back, and appended to itself. */
  STATUS(ESKER_OK, esker_batch_bytes(batch, &bytes));
  CHECK(bytes.size < sizeof copy);
  len = bytes.size;
  memcpy(copy, bytes.data, len);
  STATUS(ESKER_OK, esker_batch_from_bytes(other, copy, len));
  STATUS(ESKER_OK, esker_batch_append(other, batch));
  STATUS(ESKER_OK, esker_batch_append(other, other));
  STATUS(ESKER_OK, esker_batch_count(other, &count));
  CHECK(count == 12);

  /* A place from before the batch was made anew is none in it, although a row may begin nearby. */
  pos = 0;
  STATUS(ESKER_OK, esker_batch_next(other, &pos, &op));
  STATUS(ESKER_OK, esker_batch_next(other, &pos, &op));
  second = pos;
  STATUS(ESKER_OK, esker_batch_clear(other));
  STATUS(ESKER_OK, esker_batch_put(other, NULL, "a key that is longer", 20, "a value that is longer", 22));
  STATUS(ESKER_OK, esker_batch_bytes(other, &bytes));
  CHECK(bytes.size < sizeof longer);
  longer_len = bytes.size;
  memcpy(longer, bytes.data, longer_len);
  STATUS(ESKER_INVALID, esker_batch_next(other, &second, &op));
  STATUS(ESKER_OK, esker_batch_from_bytes(other, copy, len));
  pos = 0;
  STATUS(ESKER_OK, esker_batch_next(other, &pos, &op));
  STATUS(ESKER_OK, esker_batch_next(other, &pos, &op));
  STATUS(ESKER_OK, esker_batch_from_bytes(other, longer, longer_len));
  STATUS(ESKER_INVALID, esker_batch_next(other, &pos, &op));
  STATUS(ESKER_OK, esker_batch_from_bytes(other, copy, len));
  STATUS(ESKER_OK, esker_batch_append(other, batch));
  STATUS(ESKER_OK, esker_batch_append(other, other));
  STATUS(ESKER_CORRUPT, esker_batch_from_bytes(other, copy, len - 1));
  STATUS(ESKER_OK, esker_last_error(other, &error));
  CHECK(error.status == ESKER_CORRUPT && error.area == ESKER_AREA_BATCH && (error.flags & ESKER_ERROR_DATA_AT_RISK) == 0);
  copy[0] = 2;
  STATUS(ESKER_FORMAT, esker_batch_from_bytes(other, copy, len));
  memset(copy, 0, sizeof copy);
  STATUS(ESKER_CORRUPT, esker_batch_from_bytes(other, copy, sizeof copy));
  STATUS(ESKER_OK, esker_batch_count(other, &count));
  CHECK(count == 12);
  STATUS(ESKER_OK, esker_batch_clear(other));
  STATUS(ESKER_OK, esker_batch_count(other, &count));
  CHECK(count == 0);
  STATUS(ESKER_OK, esker_write(db, &sync, other, &seq));
  CHECK(seq == 6);
  STATUS(ESKER_OK, esker_durable_seq(db, &seq));
  CHECK(seq == 6);
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS(ESKER_OK, esker_batch_free(other));
  close_db(db);
}

static void snapshots(void) {
  esker_db *db = open_with("snapshots", "");
  esker_snapshot *snapshot = NULL;
  esker_read_opts read = read_opts(0);
  esker_iter *iter = NULL;
  const esker_row *row = NULL;
  uint64_t seq = 0;
  STATUS(ESKER_OK, put(db, "a", "old"));
  STATUS(ESKER_OK, put(db, "b", "kept"));
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, esker_snapshot_seq(snapshot, &seq));
  CHECK(seq == 2);
  STATUS(ESKER_OK, put(db, "a", "new"));
  STATUS(ESKER_OK, esker_delete(db, NULL, "b", 1));
  STATUS(ESKER_OK, put(db, "c", "new"));
  read.snapshot = snapshot;
  CHECK(has(db, &read, "a", "old") && has(db, &read, "b", "kept") && has(db, &read, "c", NULL));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  CHECK(has(db, &read, "a", "old") && has(db, &read, "b", "kept") && has(db, &read, "c", NULL));
  CHECK(has(db, NULL, "a", "new") && has(db, NULL, "b", NULL) && has(db, NULL, "c", "new"));
  STATUS(ESKER_OK, esker_iter_new(db, &read, &iter));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  /* The iterator goes on with the view of the snapshot. */
  STATUS(ESKER_OK, esker_iter_row(iter, &row));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "a", "old"));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "b", "kept"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

/* Half the rows in tables, half in memory, so that the cursor merges. */
static esker_db *open_letters(const char *name) {
  esker_db *db = open_with(name, "");
  STATUS(ESKER_OK, put(db, "b", "B"));
  STATUS(ESKER_OK, put(db, "f", "F"));
  STATUS(ESKER_OK, put(db, "d", "old"));
  STATUS(ESKER_OK, put(db, "h", "H"));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "d", "D"));
  STATUS(ESKER_OK, put(db, "da", "DA"));
  STATUS(ESKER_OK, put(db, "gone", "x"));
  STATUS(ESKER_OK, esker_delete(db, NULL, "gone", 4));
  return db; /* b d da f h */
}

static const esker_row *iter_new(esker_db *db, const esker_read_opts *options, esker_iter **iter) {
  const esker_row *row = NULL;
  STATUS(ESKER_OK, esker_iter_new(db, options, iter));
  STATUS(ESKER_OK, esker_iter_row(*iter, &row));
  CHECK(row != NULL && row->flags == 0 && row->key == NULL);
  return row;
}

static void moves(void) {
  esker_db *db = open_letters("moves");
  esker_iter *iter = NULL;
  const esker_row *row = iter_new(db, NULL, &iter), *again = NULL;
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "b", "B") && row->seq == 1);
  STATUS(ESKER_DONE, esker_iter_prev(iter));
  CHECK(row->flags == 0 && row->key == NULL && row->value == NULL && row->key_len == 0);
  STATUS(ESKER_DONE, esker_iter_prev(iter));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "b", "B"));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "d", "D"));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "da", "DA"));
  STATUS(ESKER_OK, esker_iter_prev(iter));
  CHECK(row_is(row, "d", "D"));
  STATUS(ESKER_OK, esker_iter_last(iter));
  CHECK(row_is(row, "h", "H"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_prev(iter));
  CHECK(row_is(row, "h", "H"));
  STATUS(ESKER_OK, esker_iter_first(iter));
  CHECK(row_is(row, "b", "B"));
  STATUS(ESKER_OK, esker_iter_row(iter, &again));
  CHECK(again == row);
  STATUS(ESKER_OK, esker_iter_free(iter));
  row = iter_new(db, NULL, &iter);
  STATUS(ESKER_OK, esker_iter_prev(iter));
  CHECK(row_is(row, "h", "H"));
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

static void seeks(void) {
  /* For each mode and key: the row found, NULL = DONE, and what next and prev give from there. */
  static const struct {
    uint32_t mode;
    const char *key, *found, *next, *prev;
  } cases[] = {
      {ESKER_SEEK_GE, "d", "d", "da", "b"},   {ESKER_SEEK_GE, "c", "d", "da", "b"},
      {ESKER_SEEK_GE, "", "b", "d", NULL},    {ESKER_SEEK_GE, "i", NULL, NULL, "h"},
      {ESKER_SEEK_GT, "d", "da", "f", "d"},   {ESKER_SEEK_GT, "h", NULL, NULL, "h"},
      {ESKER_SEEK_LE, "d", "d", "da", "b"},   {ESKER_SEEK_LE, "e", "da", "f", "d"},
      {ESKER_SEEK_LE, "a", NULL, "b", NULL},  {ESKER_SEEK_LT, "d", "b", "d", NULL},
      {ESKER_SEEK_LT, "zz", "h", NULL, "f"},  {ESKER_SEEK_LT, "b", NULL, "b", NULL},
      {ESKER_SEEK_EQ, "da", "da", "f", "d"},  {ESKER_SEEK_EQ, "gone", NULL, "b", "h"},
      {ESKER_SEEK_EQ, "dab", NULL, "b", "h"},
  };
  esker_db *db = open_letters("seeks");
  esker_iter *iter = NULL;
  const esker_row *row = iter_new(db, NULL, &iter);
  size_t i;
  int back;
  for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (back = 0; back < 2; back++) {
      const char *then = back ? cases[i].prev : cases[i].next;
      esker_status rc = esker_iter_seek(iter, cases[i].mode, cases[i].key, strlen(cases[i].key));
      int good = rc == (cases[i].found == NULL ? ESKER_DONE : ESKER_OK) &&
                 (cases[i].found == NULL
                      ? row->flags == 0
                      : row->key_len == strlen(cases[i].found) &&
                            memcmp(row->key, cases[i].found, row->key_len) == 0);
      rc = back ? esker_iter_prev(iter) : esker_iter_next(iter);
      good = good && rc == (then == NULL ? ESKER_DONE : ESKER_OK) &&
             (then == NULL || (row->key_len == strlen(then) && memcmp(row->key, then, row->key_len) == 0));
      if (!CHECK(good)) printf("  mode %u, key \"%s\", %s\n", cases[i].mode, cases[i].key, back ? "prev" : "next");
    }
  }
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

/* All keys of a range, forward and backward, as one text. */
static int range_is(esker_db *db, const esker_read_opts *options, const char *expected) {
  char forward[64] = "", backward[64] = "";
  esker_iter *iter = NULL;
  const esker_row *row = iter_new(db, options, &iter);
  while (esker_iter_next(iter) == ESKER_OK) {
    strncat(forward, row->key, row->key_len);
    strcat(forward, " ");
  }
  while (esker_iter_prev(iter) == ESKER_OK) {
    char rest[64];
    strcpy(rest, backward);
    backward[0] = 0;
    strncat(backward, row->key, row->key_len);
    strcat(backward, " ");
    strcat(backward, rest);
  }
  STATUS(ESKER_OK, esker_iter_free(iter));
  if (strcmp(forward, expected) == 0 && strcmp(backward, expected) == 0) return 1;
  printf("  forward \"%s\", backward \"%s\", expected \"%s\"\n", forward, backward, expected);
  return 0;
}

static void ranges(void) {
  esker_db *db = open_letters("ranges");
  esker_read_opts read = read_opts(0);
  esker_iter *iter = NULL;
  const esker_row *row;
  CHECK(range_is(db, NULL, "b d da f h "));
  read.lower = slice("d");
  CHECK(range_is(db, &read, "d da f h "));
  read.flags = ESKER_READ_LOWER_EXCLUSIVE;
  CHECK(range_is(db, &read, "da f h "));
  read.upper = slice("f");
  CHECK(range_is(db, &read, "da "));
  read.flags |= ESKER_READ_UPPER_INCLUSIVE;
  CHECK(range_is(db, &read, "da f "));
  read.prefix = slice("d");
  CHECK(range_is(db, &read, "da "));
  read = read_opts(0);
  read.prefix = slice("d");
  CHECK(range_is(db, &read, "d da "));
  read.prefix = slice("x");
  CHECK(range_is(db, &read, ""));
  read.prefix = slice("");
  CHECK(range_is(db, &read, "b d da f h "));
  read = read_opts(0);
  read.upper = slice("");
  CHECK(range_is(db, &read, ""));
  read.upper = slice("d");
  read.lower = slice("d");
  CHECK(range_is(db, &read, ""));
  read.flags = ESKER_READ_UPPER_INCLUSIVE;
  CHECK(range_is(db, &read, "d "));
  /* A seek stays within the range. */
  read = read_opts(0);
  read.lower = slice("c");
  read.upper = slice("g");
  row = iter_new(db, &read, &iter);
  STATUS(ESKER_OK, esker_iter_seek(iter, ESKER_SEEK_GE, "a", 1));
  CHECK(row_is(row, "d", "D"));
  STATUS(ESKER_OK, esker_iter_seek(iter, ESKER_SEEK_LE, "z", 1));
  CHECK(row_is(row, "f", "F"));
  STATUS(ESKER_DONE, esker_iter_seek(iter, ESKER_SEEK_EQ, "h", 1));
  STATUS(ESKER_DONE, esker_iter_seek(iter, ESKER_SEEK_GE, "g", 1));
  STATUS(ESKER_OK, esker_iter_prev(iter));
  CHECK(row_is(row, "f", "F"));
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

static void limits_and_flags(void) {
  esker_db *db = open_letters("limits");
  esker_read_opts read = read_opts(0);
  esker_iter *iter = NULL;
  const esker_row *row;
  read.limit = 2;
  row = iter_new(db, &read, &iter);
  STATUS(ESKER_OK, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "d", "D"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  CHECK(row->flags == 0);
  STATUS(ESKER_OK, esker_iter_seek(iter, ESKER_SEEK_GE, "f", 1));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row, "h", "H"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));

  read = read_opts(ESKER_READ_KEYS_ONLY | ESKER_READ_NO_FILL_CACHE);
  row = iter_new(db, &read, &iter);
  STATUS(ESKER_OK, esker_iter_first(iter));
  CHECK(row->value == NULL && row->value_len == 1 && row->key_len == 1);
  STATUS(ESKER_OK, esker_iter_free(iter));
  CHECK(has(db, &read, "b", "B")); /* concerns iterators only */

  /* Bounds are copied: their memory may go at once. */
  {
    char lower[] = "d";
    read = read_opts(0);
    read.lower = slice(lower);
    row = iter_new(db, &read, &iter);
    lower[0] = 'h';
    STATUS(ESKER_OK, esker_iter_first(iter));
    CHECK(row_is(row, "d", "D"));
    STATUS(ESKER_OK, esker_iter_free(iter));
  }
  /* A cursor does not see later writes. */
  row = iter_new(db, NULL, &iter);
  STATUS(ESKER_OK, put(db, "a", "later"));
  STATUS(ESKER_OK, esker_delete(db, NULL, "b", 1));
  STATUS(ESKER_OK, esker_iter_first(iter));
  CHECK(row_is(row, "b", "B"));
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

static void options(void) {
  esker_options *options = NULL, *copy = NULL;
  esker_option_info info;
  char text[64];
  size_t i, need = 0;
  uint32_t last = 0, id = 0;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  error = new_error();
  STATUS(ESKER_OK, esker_options_new(&options));
  for (i = 0; i < esker_option_count(); i++) {
    STATUS(ESKER_OK, esker_option_at(i, &info));
    CHECK(info.id > last && info.name != NULL && info.unit != NULL && strlen(info.doc) > 10);
    last = info.id;
    STATUS(ESKER_OK, esker_option_find(info.name, &id));
    CHECK(id == info.id);
    STATUS(ESKER_OK, esker_options_get_text(options, id, text, sizeof text, &need));
    CHECK(strcmp(text, info.default_text) == 0 && need == strlen(text));
    if (info.type == ESKER_OPTION_OBJECT) {
      STATUS_ERR(ESKER_OK, esker_options_set_object(options, id, NULL, &error));
      STATUS(ESKER_INVALID, esker_options_set_text(options, id, text, need, &error));
      STATUS(ESKER_INVALID, esker_options_set_u64(options, id, 1, &error));
      continue;
    }
    STATUS_ERR(ESKER_OK, esker_options_set_text(options, id, text, need, &error));
    if (info.type == ESKER_OPTION_U64) {
      CHECK(info.min <= info.default_u64 && info.default_u64 <= info.max && info.choices == NULL);
      STATUS_ERR(ESKER_OK, esker_options_set_u64(options, id, info.default_u64, &error));
      STATUS(ESKER_INVALID, esker_options_set_u64(options, id, info.max + 1, &error));
      CHECK(strstr(error.message, info.name) != NULL && error.area == ESKER_AREA_OPTION);
    } else {
      CHECK(info.type == ESKER_OPTION_TEXT);
      STATUS(ESKER_INVALID, esker_options_set_u64(options, id, 1, &error));
      STATUS(ESKER_INVALID, esker_options_set_text(options, id, "nonsense", 8, &error));
    }
  }
  STATUS(ESKER_NOT_FOUND, esker_option_find("nonsense", &id));
  CHECK(id == 0);
  STATUS_ERR(ESKER_OK, esker_options_set_text(options, ESKER_OPT_WRITE_BUFFER, "8MiBxx", 4, &error));
  STATUS(ESKER_TOO_SMALL, esker_options_get_text(options, ESKER_OPT_WRITE_BUFFER, text, 3, &need));
  CHECK(strcmp(text, "8M") == 0 && need == 4);
  STATUS(ESKER_TOO_SMALL, esker_options_get_text(options, ESKER_OPT_WRITE_BUFFER, NULL, 0, &need));
  CHECK(need == 4);
  STATUS(ESKER_INVALID, esker_options_get_text(options, 99, text, sizeof text, &need));
  STATUS(ESKER_OK, esker_options_clone(options, &copy));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, "write_buffer = 1MiB; levels=3;", 30, &error));
  STATUS(ESKER_INVALID, esker_options_parse(options, "levels=4; lewels=5", 18, &error));
  CHECK(error.offset == 10 && strstr(error.message, "lewels") != NULL);
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_LEVELS, text, sizeof text, &need));
  CHECK(strcmp(text, "3") == 0);
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_options_get_text(copy, ESKER_OPT_WRITE_BUFFER, text, sizeof text, &need));
  CHECK(strcmp(text, "8MiB") == 0);
  STATUS(ESKER_OK, esker_options_free(copy));
}

static void error_ring(void) {
  esker_db *db = open_with("ring", "");
  esker_error ring[80];
  size_t count = 99, i;
  uint64_t newest = 99;
  memset(ring, 0, sizeof ring);
  ring[0].struct_size = sizeof ring[0];
  error = new_error();
  error.value = 5;
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == 0 && error.value == 0 && error.message[0] == 0);
  STATUS(ESKER_OK, esker_errors(db, 0, ring, 80, &count, &newest));
  CHECK(count == 0 && newest == 0);
  STATUS(ESKER_LIMIT, esker_put(db, NULL, "k", 70000, "v", 1));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_LIMIT && error.value == ESKER_KEY_MAX && error.number == 1);
  CHECK(strstr(error.message, "70000") != NULL && strstr(error.message, "65535") != NULL);
  for (i = 0; i < 70; i++) STATUS(ESKER_INVALID, esker_put(db, NULL, NULL, 1, "v", 1));
  STATUS(ESKER_OK, esker_errors(db, 0, ring, 80, &count, &newest));
  CHECK(count == 64 && newest == 71 && ring[0].number == 8 && ring[63].number == 71);
  CHECK(ring[63].status == ESKER_INVALID && (ring[63].flags & ESKER_ERROR_CALLER_BUG) != 0);
  STATUS(ESKER_OK, esker_errors(db, 69, ring, 1, &count, &newest));
  CHECK(count == 1 && ring[0].number == 70);
  STATUS(ESKER_OK, esker_errors(db, 71, ring, 80, &count, &newest));
  CHECK(count == 0 && newest == 71);
  STATUS(ESKER_OK, esker_errors(db, 0, NULL, 0, &count, &newest));
  CHECK(count == 0 && newest == 71);
  close_db(db);
}

static int32_t count_calls(void *ctx, const char *phase, uint64_t done, uint64_t total) {
  CHECK(phase != NULL && (total == 0 || done <= total));
  return ++*(int *)ctx == -1;
}

static void maintenance(void) {
  esker_db *db = open_with("maintenance", "write_buffer=4KiB; table_size=4KiB; level_bytes=8KiB");
  esker_slice lo = slice("key100"), hi = slice("key200");
  esker_stats stats;
  esker_job job;
  char text[4096], small[8];
  size_t need = 0, size = 0;
  int i, calls = 0;
  static const char *const names[] = {"levels",    "tables",    "options", "stats",
                                      "memtables", "stats.json", "version"};
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  memset(&job, 0, sizeof job);
  job.struct_size = sizeof job;
  job.ctx = &calls;
  job.progress = count_calls;
  for (i = 0; i < 600; i++) {
    char key[16], value[32];
    snprintf(key, sizeof key, "key%03d", i);
    snprintf(value, sizeof value, "value %d of many", i);
    STATUS(ESKER_OK, put(db, key, value));
  }
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  CHECK(stats.struct_size == sizeof stats && stats.puts == 600 && stats.latest_seq == 600);
  CHECK(stats.flushes > 0 && stats.table_bytes > 0 && stats.levels == 7);
  STATUS_ERR(ESKER_OK, esker_compact(db, &lo, &hi, 0, &job, &error));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, &job, &error));
  CHECK(calls > 0);
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  CHECK(stats.level[0].tables == 0 && stats.compactions > 0);
  CHECK(has(db, NULL, "key599", "value 599 of many") && has(db, NULL, "key600", NULL));
  for (i = 0; i < 7; i++) {
    STATUS(ESKER_TOO_SMALL, esker_property(db, names[i], NULL, 0, &need));
    size = need;
    if (size < sizeof text) STATUS(ESKER_OK, esker_property(db, names[i], text, sizeof text, &need));
    CHECK(need > 0);
  }
  STATUS(ESKER_OK, esker_property(db, "version", small, sizeof small, &need));
  CHECK(need == 5 && strcmp(small, "0.1.0") == 0);
  STATUS(ESKER_TOO_SMALL, esker_property(db, "version", small, 5, &need));
  CHECK(need == 5 && strcmp(small, "0.1.") == 0);
  STATUS(ESKER_NOT_FOUND, esker_property(db, "nonsense", text, sizeof text, &need));
  CHECK(need == 0);
  STATUS(ESKER_TOO_SMALL, esker_metrics_text(db, NULL, 0, &need));
  {
    char *metrics = malloc(need + 1);
    size_t size = need;
    if (metrics == NULL) abort();
    STATUS(ESKER_OK, esker_metrics_text(db, metrics, size + 1, &need));
    CHECK(need == size && strlen(metrics) == size && metrics[size - 1] == '\n');
    CHECK(strstr(metrics, "# TYPE esker_puts_total counter\nesker_puts_total 600\n") != NULL);
    STATUS(ESKER_TOO_SMALL, esker_metrics_text(db, metrics, 20, &need));
    CHECK(strlen(metrics) == 19);
    free(metrics);
  }
  close_db(db);
}

static void closing(void) {
  esker_db *db = open_with("closing", "");
  esker_iter *iter = NULL;
  esker_snapshot *snapshot = NULL;
  const esker_row *row;
  uint64_t seq = 7;
  STATUS(ESKER_OK, put(db, "a", "1"));
  row = iter_new(db, NULL, &iter);
  STATUS(ESKER_OK, esker_snapshot_new(db, &snapshot));
  STATUS(ESKER_OK, esker_iter_first(iter));
  error = new_error();
  STATUS(ESKER_BUSY, esker_close(db, 0, &error));
  CHECK(error.status == ESKER_BUSY && error.value == 2);
  /* Nothing has changed. */
  STATUS(ESKER_OK, put(db, "b", "2"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_first(iter));
  STATUS_ERR(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, &error));
  STATUS(ESKER_MISUSE, put(db, "c", "3"));
  CHECK(row_is(row, "a", "1"));
  STATUS(ESKER_CLOSED, esker_iter_next(iter));
  STATUS(ESKER_CLOSED, esker_iter_first(iter));
  STATUS(ESKER_CLOSED, esker_iter_seek(iter, ESKER_SEEK_GE, "a", 1));
  STATUS(ESKER_OK, esker_last_error(iter, &error));
  CHECK(error.status == ESKER_CLOSED);
  STATUS(ESKER_CLOSED, esker_snapshot_seq(snapshot, &seq));
  CHECK(seq == 0);
  /* The directory is free although the children live. */
  db = open_with("closing", "");
  CHECK(has(db, NULL, "a", "1") && has(db, NULL, "b", "2"));
  STATUS(ESKER_OK, esker_snapshot_free(snapshot));
  STATUS(ESKER_OK, esker_iter_free(iter));
  close_db(db);
}

static void reopening(void) {
  esker_db *db;
  esker_stats stats;
  uint64_t seq = 0;
  int round;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  for (round = 0; round < 3; round++) {
    char key[16];
    db = open_with("reopening", "");
    STATUS(ESKER_OK, esker_latest_seq(db, &seq));
    CHECK(seq == 2 * (uint64_t)round);
    snprintf(key, sizeof key, "round %d", round);
    STATUS(ESKER_OK, put(db, key, "x"));
    STATUS(ESKER_OK, put(db, "last", key));
    if (round == 1) STATUS_ERR(ESKER_OK, esker_flush(db, &error));
    close_db(db);
  }
  db = open_with("reopening", "");
  CHECK(has(db, NULL, "round 0", "x") && has(db, NULL, "round 1", "x") && has(db, NULL, "last", "round 2"));
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  CHECK(stats.recovered_dropped_bytes == 0 && stats.errors == 0);
  close_db(db);
  STATUS_ERR(ESKER_OK, esker_destroy(path_in(work, "reopening"), NULL, &error));
  STATUS(ESKER_MISSING, esker_destroy(path_in(work, "reopening"), NULL, &error));
  STATUS(ESKER_MISSING, esker_open(path_in(work, "reopening"), NULL, 0, &db, &error));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  points();
  pins();
  batches();
  snapshots();
  moves();
  seeks();
  ranges();
  limits_and_flags();
  options();
  error_ring();
  maintenance();
  closing();
  reopening();
  return check_result("api_basic");
}
