/* Read-only opening through esker.h: without permission to write, beside other readers, never beside a writer. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static esker_error error;

static esker_status open_as(const char *path, uint32_t flags, esker_db **db) {
  error = new_error();
  return esker_open(path, NULL, flags, db, &error);
}

/* What another process is told that opens the database so. */
static esker_status elsewhere(const char *program, const char *path, const char *how) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    execl(program, program, path, how, (char *)NULL);
    _exit(99);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status));
  return -WEXITSTATUS(status);
}

static int other_process(const char *path, const char *how) {
  esker_db *db = NULL;
  esker_status rc = open_as(path, strcmp(how, "read") == 0 ? ESKER_OPEN_READONLY : 0, &db);
  if (rc == ESKER_OK && !has(db, NULL, "key", "value")) return 98;
  if (rc == ESKER_OK) rc = esker_close(db, 0, NULL);
  return -rc;
}

int main(int argc, char **argv) {
  const char *path;
  esker_db *db = NULL, *other = NULL;
  uint64_t value = 0;
  if (argc == 3) return other_process(argv[1], argv[2]);
  if (argc != 2) return 2;
  path = path_in(argv[1], "db");
  STATUS(ESKER_MISSING, open_as(path, ESKER_OPEN_READONLY, &db));
  STATUS(ESKER_INVALID, open_as(path, ESKER_OPEN_READONLY | ESKER_OPEN_CREATE, &db));
  STATUS(ESKER_INVALID, open_as(path, ESKER_OPEN_READONLY | ESKER_OPEN_MEMORY, &db));
  STATUS_ERR(ESKER_OK, open_as(path, ESKER_OPEN_CREATE, &db));
  STATUS(ESKER_OK, put(db, "key", "value"));
  STATUS(ESKER_LOCKED, open_as(path, ESKER_OPEN_READONLY, &other));
  STATUS(ESKER_LOCKED, elsewhere(argv[0], path, "read"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));

  /* Root may write anywhere, so for root this shows less. */
  CHECK(chmod(path, 0555) == 0);
  STATUS_ERR(ESKER_OK, open_as(path, ESKER_OPEN_READONLY, &db));
  CHECK(has(db, NULL, "key", "value"));
  STATUS_ERR(ESKER_OK, open_as(path, ESKER_OPEN_READONLY, &other));
  STATUS(ESKER_OK, elsewhere(argv[0], path, "read"));
  STATUS(ESKER_LOCKED, elsewhere(argv[0], path, "write"));
  STATUS(ESKER_READONLY, put(db, "key", "other"));
  STATUS(ESKER_READONLY, esker_delete(db, NULL, "key", 3));
  STATUS(ESKER_READONLY, esker_sync(db, &error));
  STATUS(ESKER_READONLY, esker_flush(db, &error));
  STATUS(ESKER_READONLY, esker_compact(db, NULL, NULL, 0, NULL, &error));
  STATUS(ESKER_READONLY, esker_resume(db, &error));
  STATUS(ESKER_READONLY, esker_checkpoint(db, path_in(argv[1], "copy"), NULL, &error));
  CHECK(access(path_in(argv[1], "copy"), F_OK) != 0);
  STATUS(ESKER_OK, esker_latest_seq(db, &value));
  CHECK(value == 1 && has(other, NULL, "key", "value"));
  STATUS_ERR(ESKER_OK, esker_verify(db, ESKER_VERIFY_FULL, NULL, &error));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS_ERR(ESKER_OK, esker_close(other, 0, &error));
  CHECK(chmod(path, 0755) == 0);
  STATUS(ESKER_OK, elsewhere(argv[0], path, "write"));
  return check_result("readonly");
}
