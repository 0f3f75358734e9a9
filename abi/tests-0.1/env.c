/* Envs: databases that share a cache, threads, a memtable budget and a logger. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <pthread.h>

static const char *work;
static esker_error error;

struct lines {
  pthread_mutex_t lock;
  char text[65536];
  int count, worst, best;
};

static void keep(void *ctx, int32_t level, const char *line, size_t len) {
  struct lines *lines = ctx;
  pthread_mutex_lock(&lines->lock);
  lines->count++;
  if (level < lines->worst) lines->worst = level;
  if (level > lines->best) lines->best = level;
  if (strlen(lines->text) + len + 2 < sizeof lines->text) {
    strncat(lines->text, line, len);
    strcat(lines->text, "\n");
  }
  pthread_mutex_unlock(&lines->lock);
}

static void clear(struct lines *lines) {
  pthread_mutex_lock(&lines->lock);
  lines->text[0] = 0;
  lines->count = lines->best = 0;
  lines->worst = 9;
  pthread_mutex_unlock(&lines->lock);
}

static int said(struct lines *lines, const char *words) {
  int found;
  pthread_mutex_lock(&lines->lock);
  found = strstr(lines->text, words) != NULL;
  if (!found) printf("no line says \"%s\"; the log:\n%s", words, lines->text);
  pthread_mutex_unlock(&lines->lock);
  return found;
}

static esker_options *options_with(const char *text) {
  esker_options *options = NULL;
  error = new_error();
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  return options;
}

static esker_db *open_in(const char *name, esker_options *options) {
  esker_db *db = NULL;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), options, ESKER_OPEN_CREATE, &db, &error));
  return db;
}

static void fill(esker_db *db, int from, int count) {
  char key[32], value[500];
  int i;
  memset(value, 'v', sizeof value - 1);
  value[sizeof value - 1] = 0;
  for (i = from; i < from + count; i++) {
    snprintf(key, sizeof key, "%08d", i);
    STATUS(ESKER_OK, put(db, key, value));
  }
}

static esker_stats stats_of(esker_db *db) {
  esker_stats stats;
  memset(&stats, 0, sizeof stats);
  stats.struct_size = sizeof stats;
  STATUS(ESKER_OK, esker_db_stats(db, &stats));
  return stats;
}

/* Two databases, one cache: what both read stays within the bound of the env, whatever their options say. */
static void one_cache(void) {
  esker_options *of_env = options_with("cache_bytes=256KiB"), *options = options_with("cache_bytes=64MiB");
  esker_env *env = NULL;
  esker_db *one, *two;
  esker_iter *iter = NULL;
  int i, rows = 0;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_env_new(of_env, &env, &error));
  STATUS_ERR(ESKER_OK, esker_options_set_object(options, ESKER_OPT_ENV, env, &error));
  STATUS(ESKER_OK, esker_env_free(env));
  one = open_in("cache1", options);
  two = open_in("cache2", options);
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_options_free(of_env));
  for (i = 0; i < 2; i++) {
    esker_db *db = i == 0 ? one : two;
    fill(db, 0, 2000);
    STATUS_ERR(ESKER_OK, esker_flush(db, &error));
    STATUS(ESKER_OK, esker_iter_new(db, NULL, &iter));
    while (esker_iter_next(iter) == ESKER_OK) rows++;
    STATUS(ESKER_OK, esker_iter_free(iter));
  }
  CHECK(rows == 4000);
  CHECK(stats_of(one).cache_bytes > 0 && stats_of(one).cache_bytes <= 256 << 10);
  CHECK(stats_of(one).cache_bytes == stats_of(two).cache_bytes);
  STATUS(ESKER_OK, esker_close(one, 0, NULL));
  CHECK(esker_exists(two, NULL, "00000001", 8, NULL) == ESKER_OK);
  STATUS(ESKER_OK, esker_close(two, 0, NULL));
}

static void logger(void) {
  static struct lines lines = {PTHREAD_MUTEX_INITIALIZER, "", 0, 9, 0};
  esker_options *options = options_with("write_buffer=64KiB; l0_trigger=2");
  esker_env *env = NULL;
  esker_db *db;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_env_new(NULL, &env, &error));
  STATUS(ESKER_OK, esker_env_set_logger(env, keep, &lines, ESKER_LOG_DEBUG));
  STATUS_ERR(ESKER_OK, esker_options_set_object(options, ESKER_OPT_ENV, env, &error));
  db = open_in("logged", options);
  CHECK(said(&lines, "logged: opened"));
  fill(db, 0, 1000);
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  CHECK(said(&lines, "flushed") && said(&lines, "compacted level") && said(&lines, "full"));
  CHECK(lines.best == ESKER_LOG_DEBUG);
  STATUS(ESKER_OK, esker_env_set_logger(env, keep, &lines, ESKER_LOG_INFO));
  clear(&lines);
  fill(db, 1000, 1000);
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  CHECK(said(&lines, "flushed") && lines.best == ESKER_LOG_INFO);
  /* The env lives on in its database, and so does the logger. */
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
  CHECK(said(&lines, "logged: closed"));
  db = open_in("logged", options);
  STATUS(ESKER_OK, esker_env_set_logger(env, NULL, NULL, ESKER_LOG_DEBUG));
  clear(&lines);
  fill(db, 0, 1000);
  STATUS(ESKER_OK, esker_env_set_logger(env, keep, &lines, ESKER_LOG_OFF));
  STATUS(ESKER_OK, esker_close(db, 0, NULL));
  CHECK(lines.count == 0);
  STATUS(ESKER_INVALID, esker_env_set_logger(env, keep, &lines, 5));
  STATUS(ESKER_INVALID, esker_env_set_logger(env, keep, &lines, -1));
  STATUS(ESKER_OK, esker_env_free(env));
  STATUS(ESKER_MISUSE, esker_env_free(env));
  STATUS(ESKER_OK, esker_options_free(options));
}

/* The budget is kept to within half although each database alone would hold far more. */
static void budget(void) {
  esker_options *options = options_with("memtable_budget=2MiB");
  esker_env *env = NULL;
  esker_db *dbs[3];
  int round, i;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_env_new(options, &env, &error));
  STATUS_ERR(ESKER_OK, esker_options_set_object(options, ESKER_OPT_ENV, env, &error));
  dbs[0] = open_in("budget0", options);
  dbs[1] = open_in("budget1", options);
  dbs[2] = open_in("budget2", options);
  for (round = 0; round < 40; round++) {
    uint64_t active = 0;
    for (i = 0; i < 3; i++) fill(dbs[i], round * 100, 100);
    for (i = 0; i < 3; i++) {
      STATUS_ERR(ESKER_OK, stats_of(dbs[i]).memtables_immutable > 0 ? esker_flush(dbs[i], &error) : ESKER_OK);
      active += stats_of(dbs[i]).memtable_bytes;
    }
    CHECK(active <= 3 << 20);
  }
  CHECK(stats_of(dbs[0]).flushes > 0);
  for (i = 0; i < 3; i++) STATUS(ESKER_OK, esker_close(dbs[i], 0, NULL));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_env_free(env));
}

static void objects(void) {
  esker_options *options = options_with(""), *copy = NULL;
  esker_env *env = NULL;
  esker_option_info info;
  char text[32];
  size_t need;
  uint32_t id;
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_env_new(NULL, &env, &error));
  STATUS_ERR(ESKER_OK, esker_options_set_object(options, ESKER_OPT_ENV, env, &error));
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_ENV, text, sizeof text, &need));
  CHECK(strcmp(text, "shared") == 0);
  STATUS(ESKER_OK, esker_options_clone(options, &copy));
  STATUS(ESKER_OK, esker_options_get_text(copy, ESKER_OPT_ENV, text, sizeof text, &need));
  CHECK(strcmp(text, "shared") == 0);
  STATUS_ERR(ESKER_OK, esker_options_set_object(copy, ESKER_OPT_ENV, NULL, &error));
  STATUS(ESKER_OK, esker_options_get_text(copy, ESKER_OPT_ENV, text, sizeof text, &need));
  CHECK(strcmp(text, "private") == 0);
  STATUS(ESKER_INVALID, esker_options_set_object(options, ESKER_OPT_LEVELS, env, &error));
  CHECK(strstr(error.message, "levels") != NULL);
  STATUS(ESKER_INVALID, esker_options_set_object(options, 9999, env, &error));
  STATUS(ESKER_INVALID, esker_options_set_text(options, ESKER_OPT_ENV, "shared", 6, &error));
  CHECK(strstr(error.message, "esker_options_set_object") != NULL);
  STATUS(ESKER_INVALID, esker_options_set_u64(options, ESKER_OPT_ENV, 1, &error));
  STATUS(ESKER_MISUSE, esker_options_set_object(options, ESKER_OPT_ENV, options, &error));
  STATUS(ESKER_MISUSE, esker_options_set_object(options, ESKER_OPT_ENV, text, &error));
  STATUS(ESKER_OK, esker_options_get_text(options, ESKER_OPT_ENV, text, sizeof text, &need));
  CHECK(strcmp(text, "shared") == 0);
  STATUS(ESKER_OK, esker_option_find("env", &id));
  CHECK(id == ESKER_OPT_ENV);
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  STATUS(ESKER_OK, esker_option_at(0, &info));
  CHECK(info.id == ESKER_OPT_ENV && info.type == ESKER_OPTION_OBJECT);
  STATUS(ESKER_MISUSE, esker_env_new((esker_options *)(void *)env, &env, &error));
  CHECK(env == NULL);
  STATUS(ESKER_OK, esker_options_free(copy));
  STATUS(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_env_free(NULL));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  one_cache();
  logger();
  budget();
  objects();
  return check_result("env");
}
