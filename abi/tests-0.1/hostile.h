/* What hostile*.c and memory.c share: every case runs in a process and a directory of its own, so that it may
 * close descriptors, lower limits or change its user, and a signal or a hang is one failed case. The process of main
 * never calls esker: its children would be answered FORKED. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* After so many seconds a case counts as hanging. */
enum { WATCHDOG = 20 };

struct hostile_case {
  const char *name;
  void (*run)(void);
};

static esker_error error;

static inline int end_of_child(void) {
  fflush(stdout);
  _exit(check_failures != 0);
}

/* Waits for a child that must end by itself and say that all was well. */
static inline int ended_well(pid_t child) {
  int status = 0;
  if (child <= 0 || waitpid(child, &status, 0) != child) return 0;
  if (WIFSIGNALED(status)) printf("ended by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static inline void run_case(const char *work, int number, const struct hostile_case *one) {
  char directory[1024];
  pid_t child;
  snprintf(directory, sizeof directory, "%s/%02d", work, number);
  fflush(stdout);
  child = fork();
  if (child == 0) {
    alarm(WATCHDOG);
    check_failures = 0;
    if (mkdir(directory, 0700) != 0 || chdir(directory) != 0) _exit(2);
    one->run();
    end_of_child();
  }
  if (!CHECK(ended_well(child))) printf("  in the case \"%s\"\n", one->name);
}

static inline void run_cases(const char *work, const struct hostile_case *cases, size_t count) {
  size_t i;
  for (i = 0; i < count; i++) run_case(work, (int)i + 1, &cases[i]);
}

/* Goes on as a user whom modes stop, in a directory of its own. */
static inline void become_nobody(void) {
  if (geteuid() != 0) return;
  CHECK(chown(".", 65534, 65534) == 0);
  CHECK(setgid(65534) == 0 && setuid(65534) == 0);
}

static inline esker_status open_as(const char *path, uint32_t flags, esker_db **db) {
  error = new_error();
  *db = NULL;
  return esker_open(path, NULL, flags, db, &error);
}

static inline esker_db *open_with(const char *path, const char *text) {
  esker_options *options = NULL;
  esker_db *db = NULL;
  error = new_error();
  STATUS(ESKER_OK, esker_options_new(&options));
  STATUS_ERR(ESKER_OK, esker_options_parse(options, text, strlen(text), &error));
  STATUS_ERR(ESKER_OK, esker_open(path, options, ESKER_OPEN_CREATE, &db, &error));
  STATUS(ESKER_OK, esker_options_free(options));
  return db;
}

static inline void close_db(esker_db *db) {
  error = new_error();
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

/* A new database, open, with one key in a table and one in a log. */
static inline esker_db *make(const char *path) {
  esker_db *db = NULL;
  STATUS_ERR(ESKER_OK, open_as(path, ESKER_OPEN_CREATE, &db));
  STATUS(ESKER_OK, put(db, "table", "1"));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "log", "2"));
  return db;
}

static inline void make_closed(const char *path) { close_db(make(path)); }

static inline int is_whole(esker_db *db) { return has(db, NULL, "table", "1") && has(db, NULL, "log", "2"); }

static inline void opens_whole(const char *path) {
  esker_db *db = NULL;
  if (!STATUS_ERR(ESKER_OK, open_as(path, 0, &db))) return;
  CHECK(is_whole(db));
  close_db(db);
}

/* Whether `error` names the file. */
static inline int names(const char *path) {
  const char *slash = strrchr(path, '/');
  const char *name = slash == NULL ? path : slash + 1;
  int found = strstr(error.message, name) != NULL;
  if (!found) printf("\"%s\" is not named by: %s\n", name, error.message);
  return found;
}

static inline void remove_path(const char *path) { CHECK(remove(path) == 0); }

static inline int exists(const char *path) {
  struct stat stat;
  return lstat(path, &stat) == 0;
}

/* The permission bits of what stands there. */
static inline unsigned mode_of(const char *path) {
  struct stat stat;
  return lstat(path, &stat) == 0 ? stat.st_mode & 07777 : 0xffff;
}

static inline void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  if (CHECK(file != NULL)) CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
}

/* A sum over a file's bytes, FNV-1a, by which it is seen to be unchanged; 0 where there is none. */
static inline uint64_t sum_of(const char *path) {
  uint64_t sum = 14695981039346656037u;
  FILE *file = fopen(path, "r");
  int byte;
  if (file == NULL) return 0;
  while ((byte = getc(file)) != EOF) sum = (sum ^ (unsigned char)byte) * 1099511628211u;
  fclose(file);
  return sum;
}

/* Calls `each` with the path of everything in a directory but "." and ".."; says how much there was. */
static inline int walk(const char *directory, void (*each)(const char *path)) {
  struct dirent *entry;
  int count = 0;
  DIR *stream = opendir(directory);
  if (stream == NULL) return -1;
  while ((entry = readdir(stream)) != NULL) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if (each != NULL) each(path_in(directory, entry->d_name));
    count++;
  }
  closedir(stream);
  return count;
}

/* Whether a name is that of a file of `kind`: "LOCK", "MANIFEST-", ".wal", ".sst". */
static inline int is_kind(const char *name, const char *kind) {
  size_t length = strlen(name), of_kind = strlen(kind);
  if (kind[0] == '.') return length > of_kind && strcmp(name + length - of_kind, kind) == 0;
  return strncmp(name, kind, of_kind) == 0 && strchr(name, '.') == NULL;
}

/* The path of the newest file of a kind; numbers have ten digits, so names sort by them. */
static inline const char *newest(const char *directory, const char *kind) {
  char best[256] = "";
  struct dirent *entry;
  DIR *stream = opendir(directory);
  if (!CHECK(stream != NULL)) return directory;
  while ((entry = readdir(stream)) != NULL) {
    if (is_kind(entry->d_name, kind) && strcmp(entry->d_name, best) > 0) strcpy(best, entry->d_name);
  }
  closedir(stream);
  CHECK(best[0] != 0);
  return path_in(directory, best);
}

/* Rows of about a kilobyte, and which of them were acknowledged. */
enum { ROWS = 4000, ROW_BYTES = 1000 };

struct ledger {
  unsigned char acknowledged[ROWS];
  int refused;
  esker_status last_refusal;
};

static inline void make_row(int number, char key[16], char value[ROW_BYTES]) {
  memset(value, 'a' + number % 26, ROW_BYTES);
  snprintf(key, 16, "row %06d", number);
}

/* Puts the rows [from, to); after a refusal it asks for writes to be taken up again, and goes on with the next. */
static inline void put_rows(esker_db *db, struct ledger *ledger, int from, int to) {
  char key[16], value[ROW_BYTES];
  int i;
  for (i = from; i < to; i++) {
    esker_status rc;
    make_row(i, key, value);
    rc = esker_put(db, NULL, key, strlen(key), value, sizeof value);
    CHECK(rc <= 0);
    ledger->acknowledged[i] = rc == ESKER_OK;
    if (rc == ESKER_OK) continue;
    ledger->refused++;
    ledger->last_refusal = rc;
    CHECK(esker_resume(db, NULL) <= 0);
  }
}

/* Every acknowledged row is there as it was written. */
static inline void has_rows(esker_db *db, const struct ledger *ledger) {
  char key[16], value[ROW_BYTES], found[ROW_BYTES];
  int i, missing = 0;
  for (i = 0; i < ROWS; i++) {
    size_t size = 0;
    esker_status rc;
    if (!ledger->acknowledged[i]) continue;
    make_row(i, key, value);
    rc = esker_get(db, NULL, key, strlen(key), found, sizeof found, &size);
    missing += rc != ESKER_OK || size != sizeof value || memcmp(found, value, sizeof value) != 0;
  }
  CHECK(missing == 0);
}

static inline void opens_with_rows(const char *path, const struct ledger *ledger) {
  esker_db *db = NULL;
  if (!STATUS_ERR(ESKER_OK, open_as(path, 0, &db))) return;
  has_rows(db, ledger);
  close_db(db);
}

/* A flush succeeds, if not at the first attempt. */
static inline void flushes_in_the_end(esker_db *db) {
  int attempts = 10;
  error = new_error();
  while (esker_flush(db, &error) != ESKER_OK && --attempts > 0) CHECK(esker_resume(db, NULL) <= 0);
  CHECK(attempts > 0);
}

#endif
