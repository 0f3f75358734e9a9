/* Allocations that fail. The n-th allocation of more than 4 KiB fails, once, for every n until a workload needs no more of
 * them; each time in a process of its own.
 *
 * What must hold: no signal and no hang; every status is OK or one of NOMEM, POISONED, BUSY or TIMEOUT; what was acknowledged is
 * there when the database is opened again with enough memory.
 *
 * Smaller allocations end the process when they fail, as those of most programs do: there is no memory left to go on with.
 * So do the lists of what a database has, of 8 to 64 bytes for each table or file.
 */
#ifdef __SANITIZE_ADDRESS__
/* AddressSanitizer has allocators of its own in these places. */
int main(void) { return 0; }
#else
#define _GNU_SOURCE
#include "hostile.h"

#include <pthread.h>

enum { SMALL = 4096, POINTS_MAX = 4000, KEYS = 600, BIG = 1 << 20 };

/* glibc's own, under the names that it exports for such purposes. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static long large, fails_at; /* large allocations so far; 0: none fails */

static int fails(size_t size) {
  if (size <= SMALL || __atomic_add_fetch(&large, 1, __ATOMIC_RELAXED) != fails_at) return 0;
  errno = ENOMEM;
  return 1;
}

void *malloc(size_t size) { return fails(size) ? NULL : __libc_malloc(size); }

void *calloc(size_t count, size_t size) {
  return fails(count != 0 && size > (size_t)-1 / count ? (size_t)-1 : count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) { return fails(size) ? NULL : __libc_realloc(old, size); }

void *aligned_alloc(size_t alignment, size_t size) { return fails(size) ? NULL : __libc_memalign(alignment, size); }

int posix_memalign(void **place, size_t alignment, size_t size) {
  *place = fails(size) ? NULL : __libc_memalign(alignment, size);
  return *place == NULL ? ENOMEM : 0;
}

/* What a call may answer when memory is short. */
static int allowed(esker_status rc) {
  int fine = rc == ESKER_OK || rc == ESKER_NOMEM || rc == ESKER_POISONED || rc == ESKER_BUSY || rc == ESKER_TIMEOUT;
  if (!fine) printf("status %s: %s\n", esker_status_name(rc), error.message);
  return fine;
}

static char acknowledged[KEYS];
static char big[BIG];

static void name_of(char *key, int i) { sprintf(key, "key%06d", i * 7919 % KEYS); }

static void write_all(esker_db *db) {
  char key[32], value[300];
  int i;
  memset(value, 'v', sizeof value);
  /* A key of its own that is large, too: bounds of tables, separators of blocks and edits of the manifest hold it. */
  CHECK(allowed(esker_put(db, NULL, big, 2 * SMALL, value, sizeof value)));
  for (i = 0; i < KEYS; i++) {
    int large_one = i % 200 == 100;
    esker_status rc;
    name_of(key, i);
    rc = esker_put(db, NULL, key, strlen(key), large_one ? big : value, large_one ? sizeof big : sizeof value);
    CHECK(allowed(rc));
    acknowledged[i] = rc == ESKER_OK;
    if (rc == ESKER_POISONED) CHECK(allowed(esker_resume(db, NULL)));
  }
}

static void read_all(esker_db *db) {
  esker_iter *iter = NULL;
  esker_status rc = esker_iter_new(db, NULL, &iter);
  char key[32];
  size_t size;
  CHECK(allowed(rc));
  if (rc != ESKER_OK) return;
  while ((rc = esker_iter_next(iter)) == ESKER_OK) {
  }
  CHECK(rc == ESKER_DONE || allowed(rc));
  CHECK(esker_iter_free(iter) == ESKER_OK);
  name_of(key, 100);
  rc = esker_get(db, NULL, key, strlen(key), big, sizeof big, &size);
  CHECK(rc == ESKER_NOT_FOUND || allowed(rc));
}

/* The text of the tables has the large key in it, four bytes for each of its bytes. */
static void read_texts(esker_db *db) {
  static const char *const names[] = {"tables", "stats", "options", "levels", "memtables", "stats.json"};
  size_t i, size;
  for (i = 0; i < sizeof names / sizeof *names; i++) {
    esker_status rc = esker_property(db, names[i], big, sizeof big, &size);
    CHECK(allowed(rc));
    CHECK(rc != ESKER_OK || (size > 0 && strlen(big) == size));
  }
  CHECK(allowed(esker_metrics_text(db, big, sizeof big, &size)));
}

/* On another file system tables cannot be linked and are copied. */
static void copy_elsewhere(esker_db *db) {
  char directory[] = "/dev/shm/esker-XXXXXX", copy[64];
  if (mkdtemp(directory) == NULL) return;
  snprintf(copy, sizeof copy, "%s/copy", directory);
  CHECK(allowed(esker_checkpoint(db, copy, NULL, &error)));
  /* The allocation that fails may be one of destroy's; it fails once. */
  if (esker_destroy(copy, NULL, NULL) == ESKER_NOMEM) (void)!esker_destroy(copy, NULL, NULL);
  CHECK(rmdir(directory) == 0);
}

static void work(void) {
  static const char text[] = "write_buffer=64KiB; table_size=64KiB; level_bytes=128KiB; cache_bytes=256KiB; l0_trigger=2; threads=2";
  esker_options *options = NULL;
  esker_db *db = NULL;
  esker_status rc;
  error = new_error();
  rc = esker_options_new(&options);
  CHECK(allowed(rc));
  if (rc != ESKER_OK) return;
  CHECK(allowed(esker_options_parse(options, text, strlen(text), &error)));
  rc = esker_open("db", options, ESKER_OPEN_CREATE, &db, &error);
  CHECK(allowed(rc));
  CHECK(esker_options_free(options) == ESKER_OK);
  if (rc != ESKER_OK) return;
  write_all(db);
  CHECK(allowed(esker_flush(db, &error)));
  CHECK(allowed(esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error)));
  read_all(db);
  read_texts(db);
  CHECK(allowed(esker_checkpoint(db, "copy", NULL, &error)));
  copy_elsewhere(db);
  rc = esker_close(db, 0, &error);
  /* It says IO where what stopped writes keeps memory from the disk. */
  CHECK(rc == ESKER_IO || allowed(rc));
  rc = esker_salvage("db", NULL, "salvaged", NULL, NULL, &error);
  CHECK(allowed(rc));
}

/* With enough memory. */
static void check_all(void) {
  esker_db *db = NULL;
  char key[32];
  int i, missing = 0;
  esker_status rc = open_as("db", ESKER_OPEN_CREATE, &db);
  if (!CHECK(rc == ESKER_OK)) {
    printf("%s\n", error.message);
    return;
  }
  for (i = 0; i < KEYS; i++) {
    size_t size;
    name_of(key, i);
    if (acknowledged[i]) missing += esker_get(db, NULL, key, strlen(key), big, sizeof big, &size) != ESKER_OK;
  }
  CHECK(missing == 0);
  close_db(db);
}

/* The report goes to the parent: how many large allocations the work made. */
static long one_point(const char *directory, long n) {
  int ends[2];
  long made = 0;
  pid_t child;
  CHECK(pipe(ends) == 0);
  fflush(stdout);
  child = fork();
  if (child == 0) {
    alarm(WATCHDOG);
    check_failures = 0;
    if (mkdir(directory, 0700) != 0 || chdir(directory) != 0) _exit(2);
    large = 0;
    fails_at = n;
    work();
    made = large;
    fails_at = 0;
    check_all();
    CHECK(write(ends[1], &made, sizeof made) == sizeof made);
    end_of_child();
  }
  close(ends[1]);
  if (!CHECK(ended_well(child) && read(ends[0], &made, sizeof made) == sizeof made)) printf("  allocation %ld\n", n);
  close(ends[0]);
  return made;
}

int main(int argc, char **argv) {
  char directory[1024];
  long n, all, points = 0;
  if (argc != 2) return 2;
  snprintf(directory, sizeof directory, "%s/whole", argv[1]);
  all = one_point(directory, 0);
  CHECK(all > 100 && all < POINTS_MAX);
  for (n = 1; n <= all && check_failures < 10; n++) {
    snprintf(directory, sizeof directory, "%s/%ld", argv[1], n);
    one_point(directory, n);
    points++;
  }
  printf("memory: %ld of %ld large allocations failed in turn\n", points, all);
  return check_result("memory");
}
#endif
