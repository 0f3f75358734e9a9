/* Orders of keys: the built-in ones and those of the program; what is stored of them, who releases what, comparators
 * that call esker or contradict themselves. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>
#include <time.h>

static const char *work;
static esker_error error;

/* ---- what a comparator keeps in its ctx */

struct order {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int released;
  long compared;
  /* Calls esker from within, and what that said. */
  esker_db *calls;
  esker_status answer;
  /* Comparisons that are left before it turns round; negative: it never does. */
  long left;
};

static struct order new_order(void) {
  struct order order;
  memset(&order, 0, sizeof order);
  pthread_mutex_init(&order.lock, NULL);
  pthread_cond_init(&order.changed, NULL);
  order.left = -1;
  return order;
}

static unsigned char lower(unsigned char c) { return c >= 'A' && c <= 'Z' ? (unsigned char)(c + 32) : c; }

/* Letters in both cases are the same. */
static int32_t ignoring_case(void *ctx, const void *a, size_t alen, const void *b, size_t blen) {
  struct order *order = ctx;
  const unsigned char *x = a, *y = b;
  size_t i, shared = alen < blen ? alen : blen;
  int32_t place = alen < blen ? -7 : alen > blen;
  int turned;
  pthread_mutex_lock(&order->lock);
  order->compared++;
  if (order->left > 0) order->left--;
  turned = order->left == 0;
  if (order->calls != NULL) {
    esker_db *db = order->calls;
    order->calls = NULL;
    order->answer = esker_put(db, NULL, "from within", 11, "", 0);
    CHECK(esker_version() == ESKER_VERSION);
  }
  pthread_mutex_unlock(&order->lock);
  for (i = 0; i < shared; i++) {
    if (lower(x[i]) != lower(y[i])) {
      place = lower(x[i]) < lower(y[i]) ? -1 : 2147483647;
      break;
    }
  }
  return turned ? (place < 0) - (place > 0) : place;
}

static void release(void *ctx) {
  struct order *order = ctx;
  pthread_mutex_lock(&order->lock);
  order->released++;
  pthread_cond_broadcast(&order->changed);
  pthread_mutex_unlock(&order->lock);
}

/* Whether release was called `times` times, now or within a minute: a thread of esker may be the last user. */
static int released(struct order *order, int times) {
  struct timespec until;
  int found;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 60;
  pthread_mutex_lock(&order->lock);
  while (order->released < times && pthread_cond_timedwait(&order->changed, &order->lock, &until) == 0) continue;
  found = order->released;
  pthread_mutex_unlock(&order->lock);
  return found == times;
}

static esker_comparator comparator(struct order *order, uint32_t flags) {
  esker_comparator made;
  memset(&made, 0, sizeof made);
  made.struct_size = sizeof made;
  made.flags = flags;
  made.name = "test.ignoring_case";
  made.ctx = order;
  made.compare = ignoring_case;
  made.release = release;
  return made;
}

static esker_options *options_with(const esker_comparator *custom) {
  esker_options *options = NULL;
  STATUS(ESKER_OK, esker_options_new(&options));
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_options_set_object(options, ESKER_OPT_COMPARATOR_CUSTOM, custom, &error));
  return options;
}

static esker_options *options_text(const char *text) {
  esker_options *options = NULL;
  STATUS(ESKER_OK, esker_options_new(&options));
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  return options;
}

static esker_db *open_ordered(const char *name, const esker_options *options) {
  esker_db *db = NULL;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), options, ESKER_OPEN_CREATE, &db, &error));
  return db;
}

static void refused(const char *name, const esker_options *options, esker_status status, const char *says) {
  esker_db *db = (esker_db *)&work;
  error = new_error();
  STATUS_ERR(status, esker_open(path_in(work, name), options, 0, &db, &error));
  CHECK(db == NULL);
  if (!CHECK(strstr(error.message, says) != NULL)) printf("  %s\n", error.message);
}

static const esker_row *row(esker_iter *iter) {
  const esker_row *row = NULL;
  STATUS(ESKER_OK, esker_iter_row(iter, &row));
  return row;
}

/* ---- built-in orders */

static void reverse(void) {
  esker_options *options = options_text("comparator=reverse");
  esker_db *db = open_ordered("reverse", options);
  esker_read_opts range;
  esker_iter *iter = NULL;
  char text[32];
  size_t need;
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_COMPARATOR, text, sizeof text, &need));
  CHECK(strcmp(text, "reverse") == 0);
  STATUS(ESKER_INVALID, esker_options_set_text(options, ESKER_OPT_COMPARATOR, "sideways", 8, &error));
  CHECK(strstr(error.message, "bytewise, reverse, u64_be, u64_le, i64_le") != NULL);
  STATUS(ESKER_OK, put(db, "a", "1"));
  STATUS(ESKER_OK, put(db, "ab", "2"));
  STATUS(ESKER_OK, put(db, "c", "3"));
  STATUS(ESKER_OK, put(db, "", "4"));
  STATUS(ESKER_OK, esker_flush(db, &error));
  memset(&range, 0, sizeof range);
  range.struct_size = sizeof range;
  STATUS(ESKER_OK, esker_iter_new(db, &range, &iter));
  STATUS(ESKER_OK, esker_iter_first(iter));
  CHECK(row_is(row(iter), "c", "3"));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row(iter), "ab", "2"));
  STATUS(ESKER_OK, esker_iter_last(iter));
  CHECK(row_is(row(iter), "", "4"));
  STATUS(ESKER_OK, esker_iter_free(iter));
  range.prefix.data = "a";
  range.prefix.size = 1;
  STATUS(ESKER_OK, esker_iter_new(db, &range, &iter));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row(iter), "ab", "2"));
  STATUS(ESKER_OK, esker_iter_next(iter));
  CHECK(row_is(row(iter), "a", "1"));
  STATUS(ESKER_DONE, esker_iter_next(iter));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  refused("reverse", NULL, ESKER_COMPARATOR, "esker.reverse");
  refused("reverse", NULL, ESKER_COMPARATOR, "esker.bytewise");
  STATUS(ESKER_OK, esker_options_free(options));
}

static void numbers(void) {
  static const int64_t expected[] = {-5000000000, -1, 0, 1, 256};
  esker_options *options = options_text("comparator=i64_le");
  esker_db *db = open_ordered("numbers", options);
  esker_read_opts range;
  esker_iter *iter = NULL;
  esker_batch *batch = NULL;
  esker_status rc;
  size_t at = 0, size;
  int64_t number = 1;
  char byte;
  STATUS(ESKER_OK, esker_batch_new(&batch));
  for (at = 5; at-- > 0;) STATUS(ESKER_OK, esker_batch_put(batch, NULL, &expected[at], 8, "v", 1));
  STATUS(ESKER_OK, esker_write(db, NULL, batch, NULL));
  STATUS(ESKER_INVALID, esker_put(db, NULL, "1234567", 7, "v", 1));
  error = new_error();
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(strstr(error.message, "i64_le have 8") != NULL);
  STATUS(ESKER_OK, esker_batch_put(batch, NULL, "short", 5, "v", 1));
  STATUS(ESKER_INVALID, esker_write(db, NULL, batch, NULL));
  STATUS(ESKER_INVALID, esker_get(db, NULL, "short", 5, &byte, 1, &size));
  STATUS(ESKER_OK, esker_get(db, NULL, &number, 8, &byte, 1, &size));
  memset(&range, 0, sizeof range);
  range.struct_size = sizeof range;
  range.prefix.data = "1";
  range.prefix.size = 1;
  STATUS(ESKER_UNSUPPORTED, esker_iter_new(db, &range, &iter));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  at = 0;
  for (rc = esker_iter_first(iter); rc == ESKER_OK; rc = esker_iter_next(iter)) {
    CHECK(at < 5 && memcmp(row(iter)->key, &expected[at], 8) == 0);
    at++;
  }
  CHECK(rc == ESKER_DONE && at == 5);
  STATUS(ESKER_INVALID, esker_iter_seek(iter, ESKER_SEEK_GE, "x", 1));
  STATUS(ESKER_OK, esker_iter_free(iter));
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_OK, esker_options_free(options));
}

static void described(void) {
  esker_option_info info;
  uint32_t id = 0;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  STATUS(ESKER_OK, esker_option_find("comparator", &id));
  CHECK(id == ESKER_OPT_COMPARATOR);
  STATUS(ESKER_OK, esker_option_at(1, &info));
  CHECK(info.id == id && info.flags == ESKER_OPTION_PERSISTENT && info.type == ESKER_OPTION_TEXT);
  STATUS(ESKER_OK, esker_option_at(2, &info));
  CHECK(info.id == ESKER_OPT_COMPARATOR_CUSTOM && info.flags == ESKER_OPTION_PERSISTENT);
  CHECK(info.type == ESKER_OPTION_OBJECT && strcmp(info.name, "comparator_custom") == 0);
}

/* ---- orders of the program */

static void wrong_structs(void) {
  struct order order = new_order();
  esker_options *options = NULL;
  char longest[66], text[8];
  size_t need;
  int i;
  STATUS(ESKER_OK, esker_options_new(&options));
  memset(longest, 'n', 65);
  longest[65] = 0;
  for (i = 0; i < 9; i++) {
    esker_comparator bad = comparator(&order, 0);
    esker_status expected = ESKER_INVALID;
    if (i == 0) bad.compare = NULL;
    if (i == 1) bad.name = NULL;
    if (i == 2) bad.name = "";
    if (i == 3) bad.name = longest;
    if (i == 4) bad.name = "esker.bytewise";
    if (i == 5) bad.name = "not \xff UTF-8";
    if (i == 6) bad.flags = 2;
    if (i == 7) bad.struct_size = 0;
    if (i == 8) bad.struct_size = 32;
    if (i >= 7) expected = ESKER_ABI_MISMATCH;
    STATUS(expected, esker_options_set_object(options, ESKER_OPT_COMPARATOR_CUSTOM, &bad, &error));
  }
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_COMPARATOR_CUSTOM, text, sizeof text, &need));
  CHECK(need == 0);
  STATUS(ESKER_INVALID, esker_options_set_text(options, ESKER_OPT_COMPARATOR_CUSTOM, "x", 1, &error));
  STATUS(ESKER_INVALID, esker_options_set_object(options, ESKER_OPT_COMPARATOR, NULL, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(order.released == 0);
}

static void both_set(void) {
  struct order order = new_order();
  esker_comparator custom = comparator(&order, 0);
  esker_options *options = options_with(&custom);
  STATUS(ESKER_OK, esker_options_set_text(options, ESKER_OPT_COMPARATOR, "reverse", 7, &error));
  refused("both", options, ESKER_INVALID, "comparator_custom");
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(released(&order, 1));
}

/* Every successful call counts, and ctx is released once for each when its last user is gone. */
static void lifetimes(void) {
  struct order one = new_order(), two = new_order();
  esker_comparator custom = comparator(&one, 0), other = comparator(&two, 0);
  esker_options *options = options_with(&custom), *copy = NULL;
  esker_db *db;
  esker_iter *iter = NULL;
  const esker_row *shown;
  char text[32];
  size_t need;
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_COMPARATOR_CUSTOM, text, sizeof text, &need));
  CHECK(strcmp(text, custom.name) == 0);
  STATUS(ESKER_OK, esker_options_clone(options, &copy));
  STATUS(ESKER_OK, esker_options_set_object(options, ESKER_OPT_COMPARATOR_CUSTOM, &other, &error));
  CHECK(one.released == 0 && two.released == 0);
  STATUS(ESKER_OK, esker_options_set_object(options, ESKER_OPT_COMPARATOR_CUSTOM, NULL, &error));
  CHECK(one.released == 0 && two.released == 1);
  /* The struct may go at once; the copy has what it needs. */
  memset(&custom, 0xee, sizeof custom);
  db = open_ordered("lifetimes", copy);
  STATUS(ESKER_OK, esker_options_free(copy));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, put(db, "b", "1"));
  STATUS(ESKER_OK, put(db, "a", "2"));
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  STATUS(ESKER_OK, esker_iter_first(iter));
  shown = row(iter);
  CHECK(row_is(shown, "a", "2") && one.released == 0);
  STATUS_ERR(ESKER_OK, esker_close(db, ESKER_CLOSE_DETACH, &error));
  CHECK(one.released == 0 && row_is(shown, "a", "2"));
  STATUS(ESKER_OK, esker_iter_free(iter));
  CHECK(released(&one, 1) && two.released == 1);
}

static void fill(esker_db *db, int rounds) {
  char key[16], value[16];
  int round, n, i, size;
  for (round = 0; round < rounds; round++) {
    for (n = 0; n < 200; n++) {
      size = snprintf(key, sizeof key, "Key %03d", (n * 37) % 200);
      for (i = 0; (round + n) % 2 && i < 3; i++) key[i] = (char)(key[i] ^ 32);
      snprintf(value, sizeof value, "%d", round);
      STATUS(ESKER_OK, esker_put(db, NULL, key, (size_t)size, value, strlen(value)));
    }
  }
}

static int rows_of(esker_db *db) {
  esker_iter *iter = NULL;
  esker_status rc;
  int rows = 0;
  STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
  for (rc = esker_iter_first(iter); rc == ESKER_OK; rc = esker_iter_next(iter)) rows++;
  CHECK(rc == ESKER_DONE);
  STATUS(ESKER_OK, esker_iter_free(iter));
  return rows;
}

#define SMALL "write_buffer=4KiB; table_size=2KiB; level_bytes=4KiB; l0_trigger=2; deterministic=1"

/* Keys that compare equal are one key, in memory, in tables, after a reopen; a name or flag that differs is refused. */
static void one_key_in_two_spellings(void) {
  struct order order = new_order();
  esker_comparator custom = comparator(&order, 0), exact = comparator(&order, ESKER_COMPARATOR_EXACT);
  esker_options *options = options_with(&custom), *wrong = options_with(&exact);
  esker_db *db;
  int pass;
  STATUS_ERR(ESKER_OK, esker_options_parse(options, SMALL, strlen(SMALL), &error));
  db = open_ordered("spellings", options);
  fill(db, 5);
  for (pass = 0; pass < 3; pass++) {
    CHECK(has(db, NULL, "key 007", "4") && has(db, NULL, "KEY 007", "4") && has(db, NULL, "kEy 199", "4"));
    CHECK(has(db, NULL, "key 200", NULL) && rows_of(db) == 200);
    if (pass == 0) STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
    if (pass == 1) {
      STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
      refused("spellings", NULL, ESKER_COMPARATOR, "test.ignoring_case (not exact)");
      refused("spellings", wrong, ESKER_COMPARATOR, "opened with test.ignoring_case");
      db = open_ordered("spellings", options);
    }
  }
  STATUS(ESKER_OK, esker_delete(db, NULL, "kEY 003", 7));
  CHECK(has(db, NULL, "Key 003", NULL) && rows_of(db) == 199 && order.compared > 1000);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_options_free(wrong));
  CHECK(released(&order, 2));
}

static void calls_from_within(void) {
  struct order order = new_order();
  esker_comparator custom = comparator(&order, 0);
  esker_options *options = options_with(&custom);
  esker_db *db = open_ordered("within", options);
  STATUS(ESKER_OK, put(db, "a", "1"));
  order.calls = db;
  STATUS(ESKER_OK, put(db, "b", "2"));
  CHECK(order.answer == ESKER_MISUSE && order.calls == NULL);
  CHECK(has(db, NULL, "from within", NULL) && has(db, NULL, "b", "2"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(released(&order, 1));
}

/* It turns round in the middle of a flush: the job sees it, writes stop, reads go on, nothing is lost. */
static void turns_round(void) {
  struct order order = new_order();
  esker_comparator custom = comparator(&order, ESKER_COMPARATOR_EXACT);
  esker_options *options = options_with(&custom);
  esker_db *db = open_ordered("turns", options);
  esker_error newest;
  esker_status rc;
  char key[16];
  int n;
  for (n = 0; n < 300; n++) {
    snprintf(key, sizeof key, "key %03d", n);
    STATUS(ESKER_OK, put(db, key, "v"));
  }
  order.left = 100;
  error = new_error();
  /* The job's own error, or what it did to the database if that comes first; the cause is in both. */
  rc = esker_flush(db, &error);
  CHECK(rc == ESKER_COMPARATOR || rc == ESKER_POISONED);
  CHECK(strstr(error.message, "test.ignoring_case") != NULL);
  STATUS(ESKER_POISONED, put(db, "key", "v"));
  newest = new_error();
  STATUS(ESKER_OK, esker_last_error(db, &newest));
  CHECK(newest.status == ESKER_POISONED);
  order.left = -1;
  STATUS(ESKER_COMPARATOR, esker_resume(db, &error));
  CHECK(has(db, NULL, "key 123", "v") && rows_of(db) == 300);
  CHECK(esker_close(db, 0, NULL) < 0);
  db = open_ordered("turns", options);
  CHECK(rows_of(db) == 300 && has(db, NULL, "key 299", "v"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(released(&order, 1));
}

struct writer {
  esker_db *db;
  int number;
  pthread_t thread;
};

static void *write_and_read(void *argument) {
  struct writer *w = argument;
  char key[32];
  int n;
  for (n = 0; n < 500; n++) {
    snprintf(key, sizeof key, "%s %d-%03d", n % 2 ? "key" : "KEY", w->number, n);
    if (put(w->db, key, "v") != ESKER_OK || !has(w->db, NULL, key, "v")) return w;
  }
  return NULL;
}

static void many_threads(void) {
  static const char text[] = "write_buffer=8KiB; table_size=4KiB; level_bytes=8KiB; l0_trigger=2";
  struct order order = new_order();
  esker_comparator custom = comparator(&order, ESKER_COMPARATOR_EXACT);
  esker_options *options = options_with(&custom);
  struct writer writers[4];
  esker_db *db;
  void *failed;
  int i;
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  db = open_ordered("threads", options);
  for (i = 0; i < 4; i++) {
    writers[i].db = db;
    writers[i].number = i;
    CHECK(pthread_create(&writers[i].thread, NULL, write_and_read, &writers[i]) == 0);
  }
  for (i = 0; i < 4; i++) CHECK(pthread_join(writers[i].thread, &failed) == 0 && failed == NULL);
  CHECK(rows_of(db) == 2000);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  CHECK(released(&order, 1));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  reverse();
  numbers();
  described();
  wrong_structs();
  both_set();
  lifetimes();
  one_key_in_two_spellings();
  calls_from_within();
  turns_round();
  many_threads();
  return check_result("comparator");
}
