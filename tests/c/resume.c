/* Writes taken up again: nothing wrong, a file size limit that stands for a full disk, and afterwards. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <signal.h>
#include <sys/resource.h>

enum { ROWS = 200 };

static esker_error error;

/* Row n, whose value is long enough that a flush has something to do. */
static esker_status put_row(esker_db *db, int n) {
  char key[16], value[400];
  int size = snprintf(key, sizeof key, "key%05d", n);
  memset(value, 'a' + n % 26, sizeof value);
  return esker_put(db, NULL, key, (size_t)size, value, sizeof value);
}

static int count(esker_db *db) {
  char key[16], value[400];
  int n, rows = 0;
  for (n = 0; n < ROWS; n++) {
    size_t size = 0, len = (size_t)snprintf(key, sizeof key, "key%05d", n);
    if (esker_get(db, NULL, key, len, value, sizeof value, &size) == ESKER_OK) {
      rows++;
      CHECK(size == sizeof value && value[0] == 'a' + n % 26 && value[399] == value[0]);
    }
  }
  return rows;
}

static void limit_file_size(rlim_t bytes) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
  limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

int main(int argc, char **argv) {
  esker_db *db = NULL;
  int written = 0;
  if (argc != 2) return 2;
  signal(SIGXFSZ, SIG_IGN);
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_open(path_in(argv[1], "db"), NULL, ESKER_OPEN_CREATE, &db, &error));
  STATUS_ERR(ESKER_OK, esker_resume(db, &error));
  for (; written < ROWS / 2; written++) STATUS(ESKER_OK, put_row(db, written));

  /* No file may grow: neither log nor table can be written. Reads go on. */
  limit_file_size(0);
  STATUS(ESKER_NOSPACE, put_row(db, written));
  STATUS(ESKER_NOSPACE, esker_flush(db, NULL));
  CHECK(count(db) == ROWS / 2);

  limit_file_size(RLIM_INFINITY);
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_resume(db, &error));
  for (; written < ROWS; written++) STATUS(ESKER_OK, put_row(db, written));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  CHECK(count(db) == ROWS);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_MISUSE, esker_resume(db, NULL));
  db = NULL;
  STATUS_ERR(ESKER_OK, esker_open(path_in(argv[1], "db"), NULL, 0, &db, &error));
  CHECK(count(db) == ROWS);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return check_result("resume");
}
