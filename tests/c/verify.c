/* Verification through esker.h: sound, damaged, cancelled, closed, an old caller's job, wrong arguments. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <dirent.h>

static const char *work;
static esker_error error;

struct seen {
  int calls, findings, stop;
  uint64_t done, total, file;
};

static int32_t on_progress(void *ctx, const char *phase, uint64_t done, uint64_t total) {
  struct seen *seen = ctx;
  seen->calls++;
  CHECK(strcmp(phase, "verify") == 0 && done <= total && done >= seen->done);
  seen->done = done;
  seen->total = total;
  return seen->stop;
}

static int32_t on_finding(void *ctx, const esker_error *finding) {
  struct seen *seen = ctx;
  seen->findings++;
  seen->file = finding->file_number;
  CHECK(finding->status == ESKER_CORRUPT && finding->message[0] != 0);
  CHECK((finding->flags & ESKER_ERROR_DATA_AT_RISK) != 0);
  return 0;
}

static esker_job job_of(struct seen *seen) {
  esker_job job;
  memset(&job, 0, sizeof job);
  memset(seen, 0, sizeof *seen);
  job.struct_size = sizeof job;
  job.ctx = seen;
  job.progress = on_progress;
  job.report = on_finding;
  return job;
}

static esker_db *filled(const char *path) {
  esker_db *db = NULL;
  char key[16];
  int i;
  STATUS_ERR(ESKER_OK, esker_open(path, NULL, ESKER_OPEN_CREATE, &db, &error));
  for (i = 0; i < 3000; i++) {
    snprintf(key, sizeof key, "key%04d", i);
    STATUS(ESKER_OK, put(db, key, "a value that takes some room"));
  }
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  return db;
}

/* Turns a byte of the only table over; its number. */
static uint64_t damage(const char *path) {
  uint64_t number = 0;
  struct dirent *entry;
  DIR *dir = opendir(path);
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    const char *dot = strrchr(entry->d_name, '.');
    char name[1024];
    FILE *file;
    int byte;
    if (dot == NULL || strcmp(dot, ".sst") != 0) continue;
    number = strtoull(entry->d_name, NULL, 10);
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    file = fopen(name, "r+b");
    CHECK(file != NULL && fseek(file, 100, SEEK_SET) == 0);
    byte = getc(file);
    CHECK(fseek(file, 100, SEEK_SET) == 0 && putc(byte ^ 0xff, file) != EOF && fclose(file) == 0);
  }
  if (dir != NULL) closedir(dir);
  CHECK(number != 0);
  return number;
}

int main(int argc, char **argv) {
  const char *path;
  struct seen seen;
  esker_job job, old;
  esker_db *db;
  uint32_t level;
  uint64_t number;
  if (argc != 2) return 2;
  work = argv[1];
  path = path_in(work, "db");
  error = new_error();

  STATUS(ESKER_MISSING, esker_verify_path(path, NULL, ESKER_VERIFY_FULL, NULL, &error));
  db = filled(path);
  for (level = ESKER_VERIFY_METADATA; level <= ESKER_VERIFY_FULL; level++) {
    job = job_of(&seen);
    STATUS_ERR(ESKER_OK, esker_verify(db, level, &job, &error));
    CHECK(seen.calls > 0 && seen.findings == 0 && seen.done == seen.total && seen.total > 0);
  }
  STATUS(ESKER_INVALID, esker_verify(db, 3, NULL, &error));
  STATUS(ESKER_LOCKED, esker_verify_path(path, NULL, ESKER_VERIFY_FULL, NULL, &error));
  seen.stop = 1;
  job = job_of(&seen);
  seen.stop = 1;
  STATUS(ESKER_CANCELLED, esker_verify(db, ESKER_VERIFY_FULL, &job, &error));

  /* A caller from before findings were reported. */
  old = job_of(&seen);
  old.struct_size = 24;
  number = damage(path);
  STATUS(ESKER_CORRUPT, esker_verify(db, ESKER_VERIFY_CHECKSUMS, &old, &error));
  CHECK(seen.calls > 0 && seen.findings == 0 && error.file_number == number);
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_CORRUPT && error.file_number == number);

  job = job_of(&seen);
  STATUS(ESKER_CORRUPT, esker_verify(db, ESKER_VERIFY_FULL, &job, &error));
  CHECK(seen.findings == 1 && seen.file == number && strstr(error.message, "1 finding") != NULL);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  STATUS(ESKER_MISUSE, esker_verify(db, ESKER_VERIFY_FULL, NULL, &error));

  job = job_of(&seen);
  STATUS(ESKER_CORRUPT, esker_verify_path(path, NULL, ESKER_VERIFY_CHECKSUMS, &job, &error));
  CHECK(seen.findings == 1 && seen.file == number);
  job = job_of(&seen);
  STATUS_ERR(ESKER_OK, esker_verify_path(path, NULL, ESKER_VERIFY_METADATA, &job, &error));
  STATUS(ESKER_INVALID, esker_verify_path(NULL, NULL, ESKER_VERIFY_FULL, NULL, &error));
  return check_result("verify");
}
