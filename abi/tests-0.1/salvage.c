/* Salvage and the modes of recovery through esker.h: counts, progress, cancellation, wrong arguments, an older result. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <dirent.h>

static esker_error error;

struct seen {
  int calls, findings, stop;
};

static int32_t on_progress(void *ctx, const char *phase, uint64_t done, uint64_t total) {
  struct seen *seen = ctx;
  seen->calls++;
  CHECK(strcmp(phase, "salvage") == 0 && done <= total);
  return seen->stop;
}

static int32_t on_finding(void *ctx, const esker_error *finding) {
  struct seen *seen = ctx;
  seen->findings++;
  CHECK(finding->status == ESKER_CORRUPT && finding->file_number > 0);
  return 0;
}

/* 3000 rows in a table of many blocks, one in the log. */
static void fill(const char *path) {
  esker_db *db = NULL;
  char key[16];
  int i;
  STATUS_ERR(ESKER_OK, esker_open(path, NULL, ESKER_OPEN_CREATE, &db, &error));
  for (i = 0; i < 3000; i++) {
    snprintf(key, sizeof key, "key%04d", i);
    STATUS(ESKER_OK, put(db, key, "a value that takes some room"));
  }
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "late", "row"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

/* Turns a byte over in the last file whose name ends so. */
static void damage(const char *path, const char *ending, long at) {
  char file[1600] = "";
  struct dirent *entry;
  FILE *f;
  int byte;
  DIR *dir = opendir(path);
  CHECK(dir != NULL);
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    size_t n = strlen(entry->d_name), m = strlen(ending);
    if (n > m && strcmp(entry->d_name + n - m, ending) == 0)
      snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
  }
  if (dir != NULL) closedir(dir);
  f = fopen(file, "r+b");
  CHECK(f != NULL);
  if (f == NULL) return;
  fseek(f, at, SEEK_SET);
  byte = fgetc(f);
  fseek(f, at, SEEK_SET);
  fputc(byte ^ 0x20, f);
  CHECK(fclose(f) == 0);
}

static int holds(const char *path, const char *key) {
  esker_db *db = NULL;
  esker_status found;
  size_t size = 0;
  char value[64];
  STATUS_ERR(ESKER_OK, esker_open(path, NULL, 0, &db, &error));
  found = esker_get(db, NULL, key, strlen(key), value, sizeof value, &size);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return found == ESKER_OK;
}

int main(int argc, char **argv) {
  struct seen seen = {0, 0, 0};
  struct {
    esker_salvage_result now;
    uint64_t later;
  } newer;
  esker_salvage_result found;
  esker_options *options = NULL;
  esker_db *db = NULL;
  esker_job job;
  const char *path, *copy;
  char value[64];
  size_t size = 0;
  if (argc != 2) return 2;
  path = path_in(argv[1], "db");
  copy = path_in(argv[1], "copy");
  error = new_error();
  memset(&job, 0, sizeof job);
  job.struct_size = sizeof job;
  job.ctx = &seen;
  job.progress = on_progress;
  job.report = on_finding;
  memset(&found, 0, sizeof found);
  found.struct_size = sizeof found;

  STATUS(ESKER_MISSING, esker_salvage(path, NULL, copy, &job, &found, &error));
  fill(path);
  STATUS(ESKER_INVALID, esker_salvage(NULL, NULL, copy, NULL, NULL, &error));
  STATUS(ESKER_INVALID, esker_salvage(path, NULL, NULL, NULL, NULL, &error));
  STATUS(ESKER_PRESENT, esker_salvage(path, NULL, path, NULL, NULL, &error));
  STATUS(ESKER_MISSING, esker_salvage(path, NULL, path_in(argv[1], "none/copy"), NULL, NULL, &error));

  /* Sound: every row, nothing told. A newer caller's result has zeros behind. */
  memset(&newer, 0xff, sizeof newer);
  newer.now.struct_size = sizeof newer;
  STATUS_ERR(ESKER_OK, esker_salvage(path, NULL, copy, &job, &newer.now, &error));
  CHECK(newer.now.rows == 3001 && newer.now.blocks > 10 && newer.now.blocks_lost == 0 && newer.later == 0);
  CHECK(newer.now.tables == 1 && newer.now.logs >= 1 && seen.findings == 0 && seen.calls > 0);
  STATUS_ERR(ESKER_OK, esker_verify_path(copy, NULL, ESKER_VERIFY_FULL, NULL, &error));
  STATUS_ERR(ESKER_OK, esker_destroy(copy, NULL, &error));

  /* Cancelled: nothing is left of it. */
  seen.stop = 1;
  STATUS(ESKER_CANCELLED, esker_salvage(path, NULL, copy, &job, &found, &error));
  STATUS(ESKER_MISSING, esker_open(copy, NULL, 0, &db, &error));
  seen.stop = 0;

  /* A block of the table: opening that looks at everything refuses, salvage has the other rows. */
  damage(path, ".sst", 20);
  STATUS_ERR(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, "verify_on_open=full", 19, &error));
  STATUS(ESKER_CORRUPT, esker_open(path, options, 0, &db, &error));
  STATUS_ERR(ESKER_OK, esker_options_free(options));
  STATUS_ERR(ESKER_OK, esker_salvage(path, NULL, copy, &job, &found, &error));
  CHECK(seen.findings == 1 && found.blocks_lost == 1 && found.rows > 2000 && found.rows < 3001);
  CHECK(holds(copy, "key2999") && holds(copy, "late") && !holds(copy, "key0000"));

  /* The log too: refused, but for a history that ends before the damage. */
  damage(path, ".wal", 130);
  STATUS(ESKER_CORRUPT, esker_open(path, NULL, 0, &db, &error));
  STATUS_ERR(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, "recovery=point_in_time", 22, &error));
  STATUS_ERR(ESKER_OK, esker_open(path, options, 0, &db, &error));
  STATUS_ERR(ESKER_OK, esker_options_free(options));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_CORRUPT && strstr(error.message, "history ends") != NULL);
  STATUS(ESKER_NOT_FOUND, esker_get(db, NULL, "late", 4, value, sizeof value, &size));
  STATUS(ESKER_OK, put(db, "later", "row"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  CHECK(holds(path, "later") && !holds(path, "late"));
  return check_result("salvage");
}
