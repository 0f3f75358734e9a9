/* What the C tests share: checks that say what failed and go on, and small helpers. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "esker.h"

static int check_failures;
static int check_count;

#define CHECK(condition) check_true((condition) != 0, #condition, __FILE__, __LINE__)
#define STATUS(expected, call) check_status((expected), (call), #call, __FILE__, __LINE__)
/* STATUS for calls that fill `error`: prints the message when the status is another one. */
#define STATUS_ERR(expected, call) check_status_err((expected), (call), &error, #call, __FILE__, __LINE__)

static int check_true(int holds, const char *text, const char *file, int line) {
  check_count++;
  if (!holds) {
    check_failures++;
    printf("%s:%d: not true: %s\n", file, line, text);
  }
  return holds;
}

static int check_status(int32_t expected, int32_t found, const char *text, const char *file, int line) {
  check_count++;
  if (found != expected) {
    check_failures++;
    printf("%s:%d: %s instead of %s: %s\n", file, line, esker_status_name(found), esker_status_name(expected),
           text);
  }
  return found == expected;
}

static inline int check_status_err(int32_t expected, int32_t found, esker_error *error, const char *text,
                                   const char *file, int line) {
  int same = check_status(expected, found, text, file, line);
  if (!same && found < 0) printf("  %s\n", error->message);
  return same;
}

/* To be returned from main. */
static inline int check_result(const char *name) {
  if (check_failures != 0) printf("%s: %d of %d checks failed\n", name, check_failures, check_count);
  return check_failures != 0;
}

/* "directory/name", until 64 more were made. */
static inline const char *path_in(const char *directory, const char *name) {
  static char paths[64][1024];
  static unsigned made;
  char *path = paths[made++ % 64];
  int size = snprintf(path, sizeof paths[0], "%s/%s", directory, name);
  if (size < 0 || (size_t)size >= sizeof paths[0]) abort();
  return path;
}

static inline esker_error new_error(void) {
  esker_error error;
  memset(&error, 0, sizeof error);
  error.struct_size = sizeof error;
  return error;
}

static inline esker_status put(esker_db *db, const char *key, const char *value) {
  return esker_put(db, NULL, key, strlen(key), value, strlen(value));
}

/* Whether the key has exactly this value; NULL = is absent. */
static inline int has(esker_db *db, const esker_read_opts *options, const char *key, const char *value) {
  char buffer[256];
  size_t size = 0;
  esker_status rc = esker_get(db, options, key, strlen(key), buffer, sizeof buffer, &size);
  if (value == NULL) return rc == ESKER_NOT_FOUND && size == 0;
  return rc == ESKER_OK && size == strlen(value) && memcmp(buffer, value, size) == 0;
}

static inline int row_is(const esker_row *row, const char *key, const char *value) {
  return (row->flags & ESKER_ROW_VALID) != 0 && row->key_len == strlen(key) &&
         memcmp(row->key, key, row->key_len) == 0 && row->value_len == strlen(value) &&
         memcmp(row->value, value, row->value_len) == 0;
}

#endif
