/* The option `deterministic`: nobody works behind the caller's back, and nothing is left undone for want of somebody. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

static const char *work;

static esker_db *open_with(const char *name, const char *text) {
  esker_error error = new_error();
  esker_options *options = NULL;
  esker_db *db = NULL;
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  STATUS_ERR(ESKER_OK, esker_open(path_in(work, name), options, ESKER_OPEN_CREATE, &db, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  return db;
}

static int open_files(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  while (directory != NULL && readdir(directory) != NULL) count++;
  if (directory != NULL) closedir(directory);
  return count;
}

/* Tables that are closed to keep within open_tables_max are closed by the reader: there is no cleanup thread. */
static void reads_leave_no_files_open(void) {
  enum { TABLES = 4, READS = 400 };
  esker_db *db = open_with("reads", "deterministic=1; open_tables_max=1; cache_bytes=0; compaction_auto=0; filter=none");
  esker_error error = new_error();
  char key[16];
  int i, before, after;
  for (i = 0; i < TABLES; i++) {
    snprintf(key, sizeof key, "%d", i);
    STATUS(ESKER_OK, put(db, key, key));
    STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  }
  before = open_files();
  for (i = 0; i < READS; i++) {
    snprintf(key, sizeof key, "%d", i % TABLES);
    CHECK(has(db, NULL, key, key));
  }
  after = open_files();
  if (!CHECK(after <= before + TABLES)) printf("%d files open, %d before\n", after, before);
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

struct writer {
  esker_db *db;
  int number;
};

static void *write_much(void *argument) {
  enum { WRITES = 600 };
  struct writer *writer = argument;
  char key[32];
  int i;
  for (i = 0; i < WRITES; i++) {
    esker_status rc;
    snprintf(key, sizeof key, "%d-%d", i * 7919 % WRITES, writer->number);
    rc = put(writer->db, key, key);
    if (rc != ESKER_OK) return (void *)esker_status_name(rc);
  }
  return NULL;
}

/* A writer waits for the work that another one is at; nobody asked for a time limit. */
static void several_writers_wait_for_each_other(void) {
  enum { WRITERS = 4 };
  esker_db *db = open_with("writes", "deterministic=1; write_buffer=16KiB; write_buffer_entries=20; table_size=16KiB; l0_trigger=1; "
                                     "l0_stop=2; immutable_max=1; level_bytes=64KiB; level_ratio=2");
  esker_error error = new_error();
  struct writer writers[WRITERS];
  pthread_t threads[WRITERS];
  int i;
  for (i = 0; i < WRITERS; i++) {
    writers[i].db = db;
    writers[i].number = i;
    CHECK(pthread_create(&threads[i], NULL, write_much, &writers[i]) == 0);
  }
  for (i = 0; i < WRITERS; i++) {
    void *failed = NULL;
    CHECK(pthread_join(threads[i], &failed) == 0);
    if (!CHECK(failed == NULL)) printf("writer %d: %s\n", i, (const char *)failed);
  }
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  work = argv[1];
  reads_leave_no_files_open();
  several_writers_wait_for_each_other();
  return check_result("deterministic");
}
