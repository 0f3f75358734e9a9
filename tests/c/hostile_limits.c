/* Environments that are short of descriptors, of room for files, or of threads.
 *
 * TABLE of the cases and what is expected. In all of them: no signal, no hang, and what was acknowledged is there.
 *
 *  1  descriptors 0, 1, 2 closed         none of them is ever a database's
 *  2  every descriptor of an open database is close-on-exec
 *  3  descriptors after closing          as many as before
 *  4  after openings that failed, in every way there is: as many as before
 *  5  RLIMIT_NOFILE of 3 to 40           IO with EMFILE, RETRYABLE, or it works; each happens
 *  6  RLIMIT_NOFILE of 3 while open      writes and flush answer errors; all goes on once there are more
 *  7  RLIMIT_FSIZE of 0                  opening is NOSPACE with EFBIG, CREATE too; works read-only; opens later
 *  8  RLIMIT_FSIZE of 64 to 200,000 while open   NOSPACE or OK; reads go on; writes go on without reopening
 *  9  the same, closed while it lasts    opens without the limit
 * 10  tmpfs of 4 MiB, full (root)        NOSPACE; reads go on; writes go on without reopening when a file is removed
 * 11  no more threads                    IO with EAGAIN; opens later
 */
#define _GNU_SOURCE
#include "hostile.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

enum { FD_MAX = 256 };

static int count_descriptors(void) {
  int fd, count = 0;
  for (fd = 0; fd < FD_MAX; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* Where a descriptor leads, "" when it is closed. */
static const char *target_of(int fd) {
  static char target[1024];
  char path[64];
  ssize_t length;
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  length = readlink(path, target, sizeof target - 1);
  target[length < 0 ? 0 : length] = 0;
  return target;
}

static void lower(int resource, rlim_t soft) {
  struct rlimit limit;
  CHECK(getrlimit(resource, &limit) == 0);
  limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
  CHECK(setrlimit(resource, &limit) == 0);
}

static void raise_again(int resource) { lower(resource, RLIM_INFINITY); }

/* A stray write to standard output must never land in a database. */
static void without_standard_descriptors(void) {
  int out = fcntl(1, F_DUPFD, 3), fd, led_to_files = 0;
  esker_db *db;
  for (fd = 0; fd < 3; fd++) close(fd);
  db = make("db");
  CHECK(is_whole(db));
  for (fd = 0; fd < 3; fd++) led_to_files += target_of(fd)[0] != 0;
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  for (fd = 0; fd < 3; fd++) led_to_files += target_of(fd)[0] != 0;
  close_db(db);
  opens_whole("db");
  CHECK(dup2(out, 1) == 1);
  CHECK(led_to_files == 0);
}

static void close_on_exec(void) {
  int before[FD_MAX], fd, made = 0, leaking = 0;
  esker_db *db;
  for (fd = 0; fd < FD_MAX; fd++) before[fd] = fcntl(fd, F_GETFD);
  db = make("db");
  CHECK(is_whole(db));
  for (fd = 0; fd < FD_MAX; fd++) {
    int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || before[fd] >= 0) continue;
    made++;
    leaking += (flags & FD_CLOEXEC) == 0;
  }
  /* The directory, LOCK, a log, the manifest. */
  CHECK(made >= 4 && leaking == 0);
  close_db(db);
}

static void no_descriptor_is_left(void) {
  int before = count_descriptors(), i;
  make_closed("db");
  for (i = 0; i < 5; i++) opens_whole("db");
  CHECK(count_descriptors() == before);
}

/* Every way to fail: nothing there, in use, foreign, damaged in each of its files, a LOCK that is none. */
static void no_descriptor_is_left_by_failures(void) {
  static const char *const kinds[] = {"MANIFEST-", ".wal", ".sst", "LOCK"};
  esker_db *db = NULL, *other = NULL;
  int before, i;
  make_closed("db");
  CHECK(mkdir("foreign", 0700) == 0);
  write_file("foreign/file", "text");
  before = count_descriptors();
  CHECK(open_as("none", 0, &db) < 0 && open_as("foreign", ESKER_OPEN_CREATE, &db) < 0);
  CHECK(open_as("foreign/file", 0, &db) < 0);
  STATUS_ERR(ESKER_OK, open_as("db", 0, &db));
  CHECK(open_as("db", 0, &other) < 0 && open_as("db", ESKER_OPEN_READONLY, &other) < 0);
  close_db(db);
  for (i = 0; i < 4; i++) {
    const char *file = newest("db", kinds[i]);
    CHECK(rename(file, "away") == 0 && mkfifo(file, 0600) == 0);
    CHECK(open_as("db", 0, &db) < 0 && open_as("db", ESKER_OPEN_READONLY, &db) < 0);
    error = new_error();
    CHECK(esker_verify_path("db", NULL, ESKER_VERIFY_FULL, NULL, &error) < 0);
    CHECK(remove(file) == 0 && rename("away", file) == 0);
  }
  CHECK(count_descriptors() == before);
  opens_whole("db");
  CHECK(count_descriptors() == before);
}

/* With every number of descriptors there may be, each step works or says that there are too few. */
static void few_descriptors(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  int limit, opened = 0;
  make_closed("db");
  for (limit = 3; limit <= 40; limit++) {
    lower(RLIMIT_NOFILE, (rlim_t)limit);
    if (open_as("db", 0, &db) == ESKER_OK) {
      opened++;
      put_rows(db, &ledger, limit * 2, limit * 2 + 2);
      /* Far above what is needed every flush is like the last. */
      if (limit < 20) CHECK(esker_flush(db, &error) <= 0);
      CHECK(esker_close(db, 0, NULL) <= 0);
    } else {
      CHECK(error.status == ESKER_IO && error.os_errno == EMFILE);
      CHECK((error.flags & ESKER_ERROR_RETRYABLE) != 0);
    }
    raise_again(RLIMIT_NOFILE);
  }
  CHECK(opened > 0 && opened < 38);
  opens_whole("db");
  opens_with_rows("db", &ledger);
}

static void descriptors_run_out_while_open(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB; open_tables_max=1");
  put_rows(db, &ledger, 0, 200);
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  lower(RLIMIT_NOFILE, 3);
  put_rows(db, &ledger, 200, 500);
  CHECK(ledger.refused > 0 && ledger.last_refusal == ESKER_IO);
  CHECK(esker_flush(db, &error) < 0);
  raise_again(RLIMIT_NOFILE);
  STATUS_ERR(ESKER_OK, esker_resume(db, &error));
  put_rows(db, &ledger, 500, 700);
  CHECK(ledger.acknowledged[699]);
  flushes_in_the_end(db);
  has_rows(db, &ledger);
  close_db(db);
  opens_with_rows("db", &ledger);
}

static void no_file_may_grow(void) {
  esker_db *db = NULL;
  signal(SIGXFSZ, SIG_IGN);
  make_closed("db");
  lower(RLIMIT_FSIZE, 0);
  STATUS_ERR(ESKER_NOSPACE, open_as("db", 0, &db));
  CHECK(error.os_errno == EFBIG && names("db/LOCK"));
  STATUS_ERR(ESKER_NOSPACE, open_as("new", ESKER_OPEN_CREATE, &db));
  STATUS_ERR(ESKER_OK, open_as("db", ESKER_OPEN_READONLY, &db));
  CHECK(is_whole(db));
  close_db(db);
  raise_again(RLIMIT_FSIZE);
  opens_whole("db");
  make_closed("new");
}

/* Limits below a manifest, below a log, below a table: what was acknowledged is there, then and later. */
static void small_files_only(void) {
  static const rlim_t limits[] = {64, 4096, 40000, 65536, 70000, 100000, 200000};
  static struct ledger ledger;
  int i, from = 0, count = sizeof limits / sizeof limits[0];
  signal(SIGXFSZ, SIG_IGN);
  for (i = 0; i < count; i++) {
    esker_db *db = open_with("db", "write_buffer=128KiB; table_size=1MiB");
    put_rows(db, &ledger, from, from + 100);
    lower(RLIMIT_FSIZE, limits[i]);
    put_rows(db, &ledger, from + 100, from + 400);
    CHECK(esker_flush(db, &error) <= 0);
    has_rows(db, &ledger);
    raise_again(RLIMIT_FSIZE);
    flushes_in_the_end(db);
    put_rows(db, &ledger, from + 400, from + 420);
    CHECK(ledger.acknowledged[from + 419]);
    has_rows(db, &ledger);
    close_db(db);
    opens_with_rows("db", &ledger);
    from += 420;
  }
  CHECK(ledger.refused > 0 && ledger.last_refusal == ESKER_NOSPACE);
}

/* The same, left without another attempt: closed while short, opened without the limit. */
static void closed_while_files_are_small(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=128KiB");
  signal(SIGXFSZ, SIG_IGN);
  put_rows(db, &ledger, 0, 100);
  lower(RLIMIT_FSIZE, 4096);
  put_rows(db, &ledger, 100, 400);
  CHECK(ledger.refused > 0 && ledger.last_refusal == ESKER_NOSPACE);
  CHECK(esker_close(db, 0, NULL) <= 0);
  /* Whatever it said, the handle is gone. */
  STATUS(ESKER_MISUSE, esker_put(db, NULL, "k", 1, "v", 1));
  raise_again(RLIMIT_FSIZE);
  opens_with_rows("db", &ledger);
}

/* In a mount namespace of its own, so that the mount ends with the process. */
static int mount_small(const char *at) {
  if (mkdir(at, 0700) != 0 || unshare(CLONE_NEWNS) != 0) return 0;
  if (mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) return 0;
  return mount("none", at, "tmpfs", 0, "size=4m") == 0;
}

static void write_filler(const char *path, size_t bytes) {
  static char zeros[65536];
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  size_t written = 0;
  while (written < bytes && write(fd, zeros, sizeof zeros) == (ssize_t)sizeof zeros) written += sizeof zeros;
  CHECK(close(fd) == 0 && written == bytes);
}

static void full_file_system(void) {
  static struct ledger ledger;
  esker_db *db;
  int i = 0;
  if (!mount_small("small")) {
    printf("SKIPPED tmpfs: mount\n");
    return;
  }
  write_filler("small/filler", 2 << 20);
  db = open_with("small/db", "write_buffer=256KiB");
  while (ledger.refused == 0 && i < ROWS - 500) put_rows(db, &ledger, i, i + 1), i++;
  CHECK(ledger.refused == 1 && ledger.last_refusal == ESKER_NOSPACE);
  has_rows(db, &ledger);
  put_rows(db, &ledger, i, i + 100);
  CHECK(ledger.last_refusal == ESKER_NOSPACE);
  has_rows(db, &ledger);
  CHECK(remove("small/filler") == 0);
  put_rows(db, &ledger, i + 100, i + 200);
  CHECK(ledger.acknowledged[i + 199]);
  flushes_in_the_end(db);
  has_rows(db, &ledger);
  close_db(db);
  opens_with_rows("small/db", &ledger);
}


/* The limit of threads does not stop root. */
static void no_threads(void) {
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  lower(RLIMIT_NPROC, 0);
  STATUS_ERR(ESKER_IO, open_as("db", 0, &db));
  CHECK(error.os_errno == EAGAIN);
  raise_again(RLIMIT_NPROC);
  opens_whole("db");
}

int main(int argc, char **argv) {
  static const struct hostile_case cases[] = {
      {"without standard descriptors", without_standard_descriptors},
      {"close on exec", close_on_exec},
      {"no descriptor is left", no_descriptor_is_left},
      {"no descriptor is left by failures", no_descriptor_is_left_by_failures},
      {"few descriptors", few_descriptors},
      {"descriptors run out while open", descriptors_run_out_while_open},
      {"no file may grow", no_file_may_grow},
      {"small files only", small_files_only},
      {"closed while files are small", closed_while_files_are_small},
      {"full file system", full_file_system},
      {"no threads", no_threads},
  };
  if (argc != 2) return 2;
  run_cases(argv[1], cases, sizeof cases / sizeof cases[0]);
  return check_result("hostile_limits");
}
