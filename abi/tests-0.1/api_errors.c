/* Bad input and bad surroundings: each gets its own status and a message that names the thing, and the bytes
 * of the directory stay as they were.
 *
 * Some cases need a process of their own: the program then runs itself with a role and a path. */
#define _DEFAULT_SOURCE
#include "check.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *work;
static esker_error error;

#define SAYS(text) check_says((text), __FILE__, __LINE__)

/* Whether the last message holds a text. */
static void check_says(const char *text, const char *file, int line) {
  if (!check_true(strstr(error.message, text) != NULL, text, file, line))
    printf("  the message is: %s\n", error.message);
}

static esker_status try_open(const char *path, const esker_options *options, uint32_t flags, esker_db **db) {
  error = new_error();
  return esker_open(path, options, flags, db, &error);
}

static const char *make_dir(const char *name) {
  const char *path = path_in(work, name);
  CHECK(mkdir(path, 0755) == 0);
  return path;
}

static void write_file(const char *path, const void *bytes, size_t size) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

/* A number for the names and bytes of a directory. The text in LOCK is a courtesy and does not count, its
 * presence does. 0 when there is no such directory. */
static uint64_t bytes_of(const char *path) {
  uint64_t sum = 0;
  struct dirent *entry;
  DIR *dir = opendir(path);
  if (dir == NULL) return 0;
  while ((entry = readdir(dir)) != NULL) {
    uint64_t hash = 1469598103934665603u;
    const char *c;
    int byte;
    FILE *file;
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    for (c = entry->d_name; *c != 0; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    file = strcmp(entry->d_name, "LOCK") == 0 ? NULL : fopen(path_in(path, entry->d_name), "rb");
    if (file != NULL) {
      while ((byte = getc(file)) != EOF) hash = (hash ^ (unsigned)byte) * 1099511628211u;
      fclose(file);
    }
    sum += hash; /* the order of names does not matter */
  }
  closedir(dir);
  return sum + 1;
}

/* A closed database with a table and a log in it. */
static const char *make_database(const char *name) {
  const char *path = path_in(work, name);
  esker_db *db = NULL;
  STATUS_ERR(ESKER_OK, try_open(path, NULL, ESKER_OPEN_CREATE, &db));
  STATUS(ESKER_OK, put(db, "in a table", "1"));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "in the log", "2"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return path;
}

/* The one file whose name ends or begins like this. */
static const char *file_like(const char *path, const char *part) {
  struct dirent *entry;
  const char *found = NULL;
  DIR *dir = opendir(path);
  CHECK(dir != NULL);
  while (dir != NULL && (entry = readdir(dir)) != NULL)
    if (strstr(entry->d_name, part) != NULL) found = path_in(path, entry->d_name);
  if (dir != NULL) closedir(dir);
  CHECK(found != NULL);
  return found;
}

static size_t read_file(const char *path, unsigned char *bytes, size_t cap) {
  FILE *file = fopen(path, "rb");
  size_t size = file == NULL ? 0 : fread(bytes, 1, cap, file);
  if (file != NULL) fclose(file);
  CHECK(size > 0);
  return size;
}

static uint32_t crc32_of(const unsigned char *bytes, size_t size) {
  uint32_t crc = 0xffffffffu;
  size_t i;
  int bit;
  for (i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

static char *self;

/* Runs this program in a role; its exit status, -1 when it ended otherwise. */
static int run(const char *role, const char *path) {
  int status = -1;
  pid_t child;
  fflush(stdout);
  child = fork();
  if (child == 0) {
    execl(self, self, role, path, (char *)NULL);
    _exit(99);
  }
  CHECK(child > 0 && waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void limits(void) {
  static char key[ESKER_KEY_MAX + 1];
  const char *path = make_database("limits");
  esker_db *db = NULL;
  size_t size = 0;
  uint64_t before, after;
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  STATUS(ESKER_OK, esker_latest_seq(db, &before));
  STATUS(ESKER_LIMIT, esker_put(db, NULL, key, sizeof key, "v", 1));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.value == ESKER_KEY_MAX && error.area == ESKER_AREA_ARGUMENT);
  SAYS("65536");
  SAYS("key");
  STATUS(ESKER_LIMIT, esker_put(db, NULL, "k", 1, key, (size_t)ESKER_VALUE_MAX + 1));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.value == ESKER_VALUE_MAX);
  SAYS("value");
  STATUS(ESKER_LIMIT, esker_get(db, NULL, key, sizeof key, NULL, 0, &size));
  STATUS(ESKER_OK, esker_latest_seq(db, &after));
  CHECK(before == after);
  /* The longest key is a good key. */
  STATUS(ESKER_OK, esker_put(db, NULL, key, ESKER_KEY_MAX, "v", 1));
  STATUS(ESKER_OK, esker_exists(db, NULL, key, ESKER_KEY_MAX, NULL));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

static void bad_options(void) {
  const char *path = path_in(work, "options");
  esker_options *options = NULL;
  esker_db *db = NULL;
  STATUS(ESKER_OK, esker_options_new(&options));
  error = new_error();
  STATUS(ESKER_INVALID, esker_options_parse(options, "colour=green", 12, &error));
  SAYS("colour");
  CHECK(error.area == ESKER_AREA_OPTION);
  STATUS(ESKER_INVALID, esker_options_set_u64(options, 4711, 1, &error));
  SAYS("4711");
  STATUS(ESKER_INVALID, esker_options_set_u64(options, ESKER_OPT_LEVELS, 9, &error));
  SAYS("levels");
  SAYS("8");
  STATUS(ESKER_INVALID, esker_options_set_text(options, ESKER_OPT_FILTER, "cuckoo", 6, &error));
  SAYS("cuckoo");
  SAYS("blocked");
  STATUS_ERR(ESKER_OK, esker_options_parse(options, "l0_trigger=9;l0_stop=8", 22, &error));
  STATUS(ESKER_INVALID, try_open(path, options, ESKER_OPEN_CREATE, &db));
  SAYS("l0_stop");
  CHECK(db == NULL && bytes_of(path) == 0);
  STATUS(ESKER_OK, esker_options_free(options));
}

static void nothing_there(void) {
  const char *absent = path_in(work, "absent"), *file = path_in(work, "file");
  const char *empty = make_dir("empty");
  esker_db *db = NULL;
  uint64_t before = bytes_of(empty);
  STATUS(ESKER_MISSING, try_open(absent, NULL, 0, &db));
  CHECK(db == NULL && error.os_errno == ENOENT);
  SAYS(absent);
  CHECK(access(absent, F_OK) != 0);
  STATUS(ESKER_MISSING, try_open(path_in(absent, "below"), NULL, ESKER_OPEN_CREATE, &db));
  STATUS(ESKER_MISSING, try_open(empty, NULL, 0, &db));
  SAYS(empty);
  CHECK(bytes_of(empty) == before);
  write_file(file, "text", 4);
  STATUS(ESKER_MISSING, try_open(file, NULL, ESKER_OPEN_CREATE, &db));
  CHECK(error.os_errno == ENOTDIR);
  SAYS(file);
  STATUS(ESKER_MISSING, esker_destroy(absent, NULL, &error));
  STATUS(ESKER_MISSING, esker_destroy(file, NULL, &error));
  STATUS(ESKER_MISSING, esker_destroy(empty, NULL, &error));
  CHECK(bytes_of(empty) == before);
}

static void foreign_directory(void) {
  const char *path = make_dir("foreign");
  esker_db *db = NULL;
  uint64_t before;
  write_file(path_in(path, "CURRENT"), "MANIFEST-000002\n", 16);
  write_file(path_in(path, "000003.log"), "bytes", 5);
  before = bytes_of(path);
  STATUS(ESKER_INVALID, try_open(path, NULL, ESKER_OPEN_CREATE, &db));
  SAYS("not an esker database");
  CHECK(error.area == ESKER_AREA_DIRECTORY);
  STATUS(ESKER_MISSING, try_open(path, NULL, 0, &db));
  STATUS(ESKER_MISSING, esker_destroy(path, NULL, &error));
  CHECK(db == NULL && bytes_of(path) == before);
}

static void no_manifest(void) {
  const char *path = make_database("no manifest");
  esker_db *db = NULL;
  uint64_t before;
  CHECK(unlink(file_like(path, "MANIFEST-")) == 0);
  before = bytes_of(path);
  STATUS(ESKER_CORRUPT, try_open(path, NULL, ESKER_OPEN_CREATE, &db));
  SAYS(path);
  CHECK((error.flags & ESKER_ERROR_DATA_AT_RISK) != 0);
  STATUS(ESKER_CORRUPT, try_open(path, NULL, 0, &db));
  CHECK(db == NULL && bytes_of(path) == before);
}

static void newer_format(void) {
  const char *path = make_database("newer");
  const char *manifest = file_like(path, "MANIFEST-");
  static unsigned char bytes[1 << 20];
  size_t size = read_file(manifest, bytes, sizeof bytes), i;
  esker_db *db = NULL;
  uint32_t crc;
  uint64_t before;
  bytes[8] = 2; /* the format version; its checksum is in the last four of the first 64 bytes */
  crc = crc32_of(bytes, 60);
  for (i = 0; i < 4; i++) bytes[60 + i] = (unsigned char)(crc >> 8 * i);
  write_file(manifest, bytes, size);
  before = bytes_of(path);
  STATUS(ESKER_FORMAT, try_open(path, NULL, 0, &db));
  CHECK(error.area == ESKER_AREA_MANIFEST && error.file_number != 0);
  CHECK(db == NULL && bytes_of(path) == before);
  bytes[8] = 1;
  write_file(manifest, bytes, size);
  before = bytes_of(path);
  STATUS(ESKER_CORRUPT, try_open(path, NULL, 0, &db));
  CHECK(db == NULL && bytes_of(path) == before);
}

static void damaged_table(void) {
  const char *path = make_database("damaged");
  const char *table = file_like(path, ".sst");
  static unsigned char bytes[1 << 20];
  size_t size = read_file(table, bytes, sizeof bytes), vlen = 0;
  esker_db *db = NULL;
  bytes[20] ^= 1;
  write_file(table, bytes, size);
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  STATUS(ESKER_CORRUPT, esker_get(db, NULL, "in a table", 10, NULL, 0, &vlen));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_CORRUPT && error.area == ESKER_AREA_TABLE && error.file_number != 0);
  CHECK((error.flags & ESKER_ERROR_DATA_AT_RISK) != 0);
  CHECK(has(db, NULL, "in the log", "2"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  CHECK(truncate(table, (off_t)size / 2) == 0);
  STATUS(ESKER_CORRUPT, try_open(path, NULL, 0, &db));
  CHECK(unlink(table) == 0);
  STATUS(ESKER_CORRUPT, try_open(path, NULL, 0, &db));
}

static void present(void) {
  const char *path = make_database("present");
  esker_db *db = NULL;
  uint64_t before = bytes_of(path);
  STATUS(ESKER_PRESENT, try_open(path, NULL, ESKER_OPEN_CREATE | ESKER_OPEN_EXCLUSIVE, &db));
  SAYS(path);
  CHECK(db == NULL && bytes_of(path) == before);
}

static void second_opener(void) {
  const char *path = make_database("locked");
  esker_db *db = NULL, *second = NULL;
  char pid[32];
  uint64_t before;
  snprintf(pid, sizeof pid, "%ld", (long)getpid());
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  before = bytes_of(path);
  STATUS(ESKER_LOCKED, try_open(path, NULL, 0, &second));
  CHECK(second == NULL && error.value == (uint64_t)getpid() && error.area == ESKER_AREA_LOCK);
  SAYS(pid);
  SAYS(path);
  STATUS(ESKER_LOCKED, esker_destroy(path, NULL, &error));
  CHECK(run("locked", path) == 0);
  CHECK(bytes_of(path) == before);
  CHECK(has(db, NULL, "in a table", "1"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  CHECK(run("open", path) == 0);
}

/* Role: the database is open in the parent. */
static int role_locked(const char *path) {
  esker_db *db = NULL;
  STATUS(ESKER_LOCKED, try_open(path, NULL, ESKER_OPEN_CREATE, &db));
  CHECK(error.value == (uint64_t)getppid());
  STATUS(ESKER_LOCKED, esker_destroy(path, NULL, &error));
  return check_result("role locked");
}

/* Role: the database is not open elsewhere. */
static int role_open(const char *path) {
  esker_db *db = NULL;
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  CHECK(has(db, NULL, "in the log", "2"));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
  return check_result("role open");
}

static void not_writable(void) {
  const char *path = make_database("readonly"), *empty = make_dir("readonly empty");
  uint64_t before = bytes_of(path);
  CHECK(unlink(path_in(path, "LOCK")) == 0 || errno == ENOENT);
  before = bytes_of(path);
  CHECK(chmod(path, 0555) == 0 && chmod(empty, 0555) == 0);
  CHECK(run("readonly", path) == 0);
  CHECK(run("readonly", empty) == 0);
  CHECK(bytes_of(path) == before);
  CHECK(chmod(path, 0755) == 0 && chmod(empty, 0755) == 0);
  CHECK(run("open", path) == 0);
}

/* Role: the directory is not writable. Root may write anywhere, so root becomes nobody first, from inside
 * the directory, whose parents nobody may not even enter. */
static int role_readonly(const char *path) {
  esker_db *db = NULL;
  CHECK(chdir(path) == 0);
  if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
  STATUS(ESKER_READONLY, try_open(".", NULL, ESKER_OPEN_CREATE, &db));
  CHECK(db == NULL && error.os_errno == EACCES);
  return check_result("role readonly");
}

/* Role: no file may grow beyond 64 KiB, which looks like a full disk. */
static int role_full(const char *path) {
  struct rlimit limit;
  esker_db *db = NULL;
  esker_write_opts sync;
  static char value[100000];
  memset(&sync, 0, sizeof sync);
  sync.struct_size = sizeof sync;
  sync.durability = ESKER_DURABILITY_SYNC;
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  signal(SIGXFSZ, SIG_IGN);
  limit.rlim_cur = limit.rlim_max = 65536;
  CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
  STATUS(ESKER_NOSPACE, esker_put(db, &sync, "big", 3, value, sizeof value));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.status == ESKER_NOSPACE && error.os_errno == EFBIG);
  /* Reads go on; the refused write is not there. */
  CHECK(has(db, NULL, "in a table", "1") && has(db, NULL, "in the log", "2") && has(db, NULL, "big", NULL));
  esker_close(db, 0, NULL);
  return check_result("role full");
}

static void full_disk(void) {
  const char *path = make_database("full");
  CHECK(run("full", path) == 0);
  CHECK(run("open", path) == 0);
}

static void unknown_keyspace(void) {
  /* Encoding version 1, one operation: put, keyspace 7, key "k", value "v". */
  static const unsigned char encoded[] = {1, 0, 0, 0, 1, 0, 0, 0, ESKER_OP_PUT, 7, 1, 'k', 1, 'v'};
  const char *path = make_database("keyspace");
  esker_db *db = NULL;
  esker_batch *batch = NULL;
  uint64_t before, after, seq = 5;
  STATUS_ERR(ESKER_OK, try_open(path, NULL, 0, &db));
  STATUS(ESKER_OK, esker_latest_seq(db, &before));
  STATUS(ESKER_OK, esker_batch_new(&batch));
  STATUS(ESKER_OK, esker_batch_from_bytes(batch, encoded, sizeof encoded));
  STATUS(ESKER_INVALID, esker_write(db, NULL, batch, &seq));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  SAYS("keyspace 7");
  STATUS(ESKER_OK, esker_latest_seq(db, &after));
  CHECK(before == after && seq == 0);
  STATUS(ESKER_OK, esker_batch_free(batch));
  STATUS_ERR(ESKER_OK, esker_close(db, 0, &error));
}

int main(int argc, char **argv) {
  self = argv[0];
  if (argc == 3) {
    if (strcmp(argv[1], "locked") == 0) return role_locked(argv[2]);
    if (strcmp(argv[1], "open") == 0) return role_open(argv[2]);
    if (strcmp(argv[1], "readonly") == 0) return role_readonly(argv[2]);
    if (strcmp(argv[1], "full") == 0) return role_full(argv[2]);
  }
  if (argc != 2) return 2;
  work = argv[1];
  limits();
  bad_options();
  nothing_there();
  foreign_directory();
  no_manifest();
  newer_format();
  damaged_table();
  present();
  second_opener();
  not_writable();
  full_disk();
  unknown_keyspace();
  return check_result("api_errors");
}
