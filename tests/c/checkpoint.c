/* Checkpoints through esker.h: whole, independent, refused where something is, cancelled without a trace. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 2000 };

static esker_error error;

static void fill(esker_db *db, int from, int to) {
  char key[16];
  int i;
  for (i = from; i < to; i++) {
    snprintf(key, sizeof key, "key%05d", i);
    STATUS(ESKER_OK, put(db, key, "a value that takes some room"));
  }
}

static int count(esker_db *db) {
  char key[16];
  int i, rows = 0;
  for (i = 0; i < 2 * ROWS; i++) {
    snprintf(key, sizeof key, "key%05d", i);
    rows += esker_exists(db, NULL, key, strlen(key), NULL) == ESKER_OK;
  }
  return rows;
}

static int32_t tell(void *ctx, const char *phase, uint64_t done, uint64_t total) {
  CHECK(strcmp(phase, "checkpoint") == 0 && done <= total);
  return ++((int *)ctx)[0] >= ((int *)ctx)[1];
}

int main(int argc, char **argv) {
  const char *copy, *cancelled;
  esker_db *db = NULL, *other = NULL;
  struct stat stat_of;
  esker_job job;
  int calls[2] = {0, 1000000};
  if (argc != 2) return 2;
  copy = path_in(argv[1], "copy");
  cancelled = path_in(argv[1], "cancelled");
  error = new_error();
  memset(&job, 0, sizeof job);
  job.struct_size = sizeof job;
  job.ctx = calls;
  job.progress = tell;
  STATUS_ERR(ESKER_OK, esker_open(path_in(argv[1], "db"), NULL, ESKER_OPEN_CREATE, &db, &error));
  fill(db, 0, ROWS);
  STATUS_ERR(ESKER_OK, esker_checkpoint(db, copy, &job, &error));
  CHECK(calls[0] > 0);
  fill(db, ROWS, 2 * ROWS);

  STATUS_ERR(ESKER_OK, esker_open(copy, NULL, 0, &other, &error));
  CHECK(count(other) == ROWS && count(db) == 2 * ROWS);
  STATUS(ESKER_OK, put(other, "mine", "alone"));
  CHECK(has(other, NULL, "mine", "alone") && has(db, NULL, "mine", NULL));
  STATUS(ESKER_PRESENT, esker_checkpoint(db, copy, NULL, &error));
  CHECK(strstr(error.message, "copy") != NULL);
  STATUS(ESKER_MISSING, esker_checkpoint(db, path_in(argv[1], "none/copy"), NULL, &error));
  STATUS(ESKER_INVALID, esker_checkpoint(db, NULL, NULL, &error));

  calls[0] = 0;
  calls[1] = 1;
  STATUS(ESKER_CANCELLED, esker_checkpoint(db, cancelled, &job, &error));
  CHECK(stat(cancelled, &stat_of) != 0);
  /* An empty directory that was there is filled, or stays. */
  CHECK(mkdir(cancelled, 0755) == 0);
  calls[0] = 0;
  STATUS(ESKER_CANCELLED, esker_checkpoint(db, cancelled, &job, &error));
  CHECK(stat(cancelled, &stat_of) == 0);
  STATUS_ERR(ESKER_OK, esker_checkpoint(db, cancelled, NULL, &error));
  STATUS_ERR(ESKER_OK, esker_close(other, 0, &error));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS_ERR(ESKER_OK, esker_verify_path(copy, NULL, ESKER_VERIFY_FULL, NULL, &error));
  STATUS_ERR(ESKER_OK, esker_verify_path(cancelled, NULL, ESKER_VERIFY_FULL, NULL, &error));

  STATUS_ERR(ESKER_OK, esker_open(NULL, NULL, ESKER_OPEN_MEMORY, &db, &error));
  STATUS(ESKER_INVALID, esker_checkpoint(db, path_in(argv[1], "memory"), NULL, &error));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return check_result("checkpoint");
}
