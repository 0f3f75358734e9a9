/* Directories that somebody else has had his hands in: planted files, second names, strangers.
 *
 * TABLE of the cases and what is expected. "Refused" is an error that names the file, for writing and read-only alike;
 * what was planted still stands, what it points to is unchanged, and with the right file back everything is there.
 *
 *     in place of LOCK, the manifest, a log, a table, before open
 *  1  a symlink to the right bytes     refused: CORRUPT, with ELOOP; LOCK: IO with ELOOP
 *  2  a FIFO                           refused without hanging: CORRUPT; LOCK: INVALID
 *  3  a directory                      refused: CORRUPT; LOCK: IO with EISDIR
 *  4  a socket                         refused: IO with ENXIO; table: CORRUPT
 *  5  a device node (root)             refused: CORRUPT; LOCK: INVALID
 *  6  a dangling symlink               an error that names the file; nothing is made where it points
 *  7  in place of a table, a symlink of the table's size that leads to its bytes: refused, CORRUPT
 *  8  table becomes a symlink, a FIFO, a directory while open: CORRUPT or the truth, no hang; fine when it is back
 *     second names
 *  9  of LOCK                          INVALID
 * 10  of a table                       opens; compaction leaves the bytes under the second name alone
 * 11  of a log                         its file is never made another log's: its bytes stay once it is full
 *     at the names that the next logs, tables, manifests would have, planted while open and before
 * 12  symlinks to a file outside       the file is not touched; writing goes on, nothing acknowledged is lost
 * 13  FIFOs                            the same, without hanging
 * 14  directories                      the same
 * 15  second names of a file outside   the same
 * 16  symlink, FIFO, directory as a log that no manifest lists: refused, CORRUPT
 * 17  a symlink as a newer manifest    refused, CORRUPT; the manifest it leads to is unchanged
 *     strangers
 * 18  files, directories, links, near misses of names: kept as they are by all work and by esker_destroy
 * 19  CREATE among strangers           INVALID naming one; without CREATE: MISSING; nothing is made
 * 20  CREATE among dot files, lost+found   OK
 * 21  logs and tables without a manifest   CORRUPT, also with CREATE; nothing is removed
 * 22  esker_destroy where only a file LOCK is   MISSING; it stays
 * 23  empty files with the last numbers there are   opens, writing goes on, three times over
 */
#define _GNU_SOURCE
#include "hostile.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static const char *const kinds[] = {"LOCK", "MANIFEST-", ".wal", ".sst"};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int plant_link(const char *at, const char *target) { return symlink(target, at) == 0; }

static int plant_fifo(const char *at, const char *target) {
  (void)target;
  return mkfifo(at, 0600) == 0;
}

static int plant_directory(const char *at, const char *target) {
  (void)target;
  return mkdir(at, 0700) == 0;
}

static int plant_socket(const char *at, const char *target) {
  struct sockaddr_un address;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0), bound;
  (void)target;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, at, sizeof address.sun_path - 1);
  bound = bind(fd, (struct sockaddr *)&address, sizeof address);
  return close(fd) == 0 && bound == 0;
}

static int plant_device(const char *at, const char *target) {
  (void)target;
  return mknod(at, S_IFCHR | 0600, makedev(1, 3)) == 0;
}

/* A second name of a file in the working directory. */
static int plant_name(const char *at, const char *target) { return link(strrchr(target, '/') + 1, at) == 0; }

typedef int planter(const char *at, const char *target);

/* Opening must fail as `expected` and name the file, and so must a read-only opening. */
static void refused(esker_status expected, int os_errno, const char *file) {
  esker_db *db = NULL;
  STATUS_ERR(expected, open_as("db", 0, &db));
  CHECK(error.os_errno == os_errno && names(file));
  CHECK(open_as("db", ESKER_OPEN_READONLY, &db) < 0);
  CHECK(names(file));
}

/* `victim` gives way to what `plant` makes, which points to its bytes; that is refused, and leaves no trace. */
static void in_place_of(const char *kind, planter *plant, esker_status expected, int os_errno) {
  const char *victim;
  struct stat planted, after;
  uint64_t sum;
  if (!exists("db")) make_closed("db");
  victim = newest("db", kind);
  CHECK(rename(victim, "away") == 0);
  sum = sum_of("away");
  CHECK(plant(victim, "../away") && lstat(victim, &planted) == 0);
  refused(expected, os_errno, victim);
  CHECK(lstat(victim, &after) == 0 && after.st_ino == planted.st_ino && after.st_mode == planted.st_mode);
  CHECK(sum_of("away") == sum && sum != 0);
  CHECK(remove(victim) == 0 && rename("away", victim) == 0);
  opens_whole("db");
}

static void symlinks(void) {
  in_place_of("LOCK", plant_link, ESKER_IO, ELOOP);
  in_place_of("MANIFEST-", plant_link, ESKER_CORRUPT, ELOOP);
  in_place_of(".wal", plant_link, ESKER_CORRUPT, ELOOP);
  in_place_of(".sst", plant_link, ESKER_CORRUPT, 0);
}

static void fifos(void) {
  in_place_of("LOCK", plant_fifo, ESKER_INVALID, 0);
  in_place_of("MANIFEST-", plant_fifo, ESKER_CORRUPT, 0);
  in_place_of(".wal", plant_fifo, ESKER_CORRUPT, 0);
  in_place_of(".sst", plant_fifo, ESKER_CORRUPT, 0);
}

static void directories(void) {
  in_place_of("LOCK", plant_directory, ESKER_IO, EISDIR);
  in_place_of("MANIFEST-", plant_directory, ESKER_CORRUPT, 0);
  in_place_of(".wal", plant_directory, ESKER_CORRUPT, 0);
  in_place_of(".sst", plant_directory, ESKER_CORRUPT, 0);
}

static void sockets(void) {
  in_place_of("LOCK", plant_socket, ESKER_IO, ENXIO);
  in_place_of("MANIFEST-", plant_socket, ESKER_IO, ENXIO);
  in_place_of(".wal", plant_socket, ESKER_IO, ENXIO);
  in_place_of(".sst", plant_socket, ESKER_CORRUPT, 0);
}

static void devices(void) {
  if (!plant_device("device", NULL)) {
    printf("SKIPPED device nodes: mknod\n");
    return;
  }
  in_place_of("LOCK", plant_device, ESKER_INVALID, 0);
  in_place_of("MANIFEST-", plant_device, ESKER_CORRUPT, 0);
  in_place_of(".wal", plant_device, ESKER_CORRUPT, 0);
  in_place_of(".sst", plant_device, ESKER_CORRUPT, 0);
}

static void dangling_symlinks(void) {
  int i;
  for (i = 0; i < KINDS; i++) {
    const char *victim;
    esker_db *db = NULL;
    make_closed("db");
    victim = newest("db", kinds[i]);
    CHECK(remove(victim) == 0 && plant_link(victim, "../nowhere"));
    CHECK(open_as("db", ESKER_OPEN_CREATE, &db) < 0 && names(victim));
    CHECK(!exists("nowhere"));
    CHECK(walk("db", remove_path) > 0 && rmdir("db") == 0);
  }
}

/* Size alone does not tell it from the table, and its target is a table of the right bytes. */
static void symlink_of_the_right_size(void) {
  char target[4096];
  struct stat table, link;
  const char *victim;
  make_closed("db");
  victim = newest("db", ".sst");
  CHECK(stat(victim, &table) == 0 && table.st_size < (off_t)sizeof target);
  memset(target, '/', sizeof target);
  memcpy(target, "..", 2);
  memcpy(target + table.st_size - 4, "away", 5);
  CHECK(rename(victim, "away") == 0 && plant_link(victim, target));
  CHECK(lstat(victim, &link) == 0 && link.st_size == table.st_size && sum_of(victim) == sum_of("away"));
  refused(ESKER_CORRUPT, 0, victim);
}

/* The database has opened the file, or opens it now: it shows the truth or an error. */
static void replaced_while_open(void) {
  planter *const planters[] = {plant_link, plant_fifo, plant_directory};
  size_t i, size;
  for (i = 0; i < sizeof planters / sizeof planters[0]; i++) {
    char buffer[8];
    const char *victim;
    esker_status rc;
    esker_db *db;
    make_closed("db");
    if (!STATUS_ERR(ESKER_OK, open_as("db", 0, &db))) return;
    victim = newest("db", ".sst");
    CHECK(rename(victim, "away") == 0 && planters[i](victim, "../away"));
    rc = esker_get(db, NULL, "table", 5, buffer, sizeof buffer, &size);
    CHECK(rc == ESKER_CORRUPT || (rc == ESKER_OK && size == 1 && buffer[0] == '1'));
    CHECK(has(db, NULL, "log", "2"));
    CHECK(remove(victim) == 0 && rename("away", victim) == 0);
    CHECK(is_whole(db));
    close_db(db);
    CHECK(walk("db", remove_path) > 0 && rmdir("db") == 0);
  }
}

static void second_name_of_the_lock(void) {
  esker_db *db = NULL;
  make_closed("db");
  CHECK(link("db/LOCK", "second") == 0);
  STATUS_ERR(ESKER_INVALID, open_as("db", 0, &db));
  CHECK(names("LOCK"));
  CHECK(remove("second") == 0);
  opens_whole("db");
}

static void second_name_of_a_table(void) {
  const char *table;
  esker_db *db;
  uint64_t sum;
  make_closed("db");
  table = newest("db", ".sst");
  CHECK(link(table, "second") == 0);
  sum = sum_of("second");
  if (!STATUS_ERR(ESKER_OK, open_as("db", 0, &db))) return;
  CHECK(is_whole(db));
  STATUS(ESKER_OK, esker_delete(db, NULL, "table", 5));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  close_db(db);
  CHECK(!exists(table) && sum_of("second") == sum && sum != 0);
}

/* Only a log whose bytes are on disk is one whose file may be used again. */
static void put_and_sync(esker_db *db, struct ledger *ledger, int from, int to) {
  int i;
  for (i = from; i < to; i += 25) {
    put_rows(db, ledger, i, i + 25);
    STATUS_ERR(ESKER_OK, esker_sync(db, &error));
  }
}

static void second_name_of_a_log(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB");
  uint64_t sum;
  put_rows(db, &ledger, 0, 1);
  CHECK(link(newest("db", ".wal"), "second") == 0);
  put_and_sync(db, &ledger, 1, 201);
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  sum = sum_of("second");
  put_and_sync(db, &ledger, 201, 601);
  CHECK(ledger.refused == 0 && sum_of("second") == sum && sum != 0);
  close_db(db);
  opens_with_rows("db", &ledger);
}

static unsigned long long highest;

static void note_number(const char *path) {
  const char *digits = strpbrk(path, "0123456789");
  unsigned long long number = digits == NULL ? 0 : strtoull(digits, NULL, 10);
  if (number > highest) highest = number;
}

/* Plants at the names that the next files of a kind will have. */
static void plant_ahead(const char *kind, planter *plant) {
  char name[64];
  unsigned long long number;
  highest = 0;
  CHECK(walk("db", note_number) > 0);
  for (number = highest + 1; number <= highest + 4; number++) {
    const char *before = strcmp(kind, ".tmp") == 0 ? "MANIFEST-" : "";
    snprintf(name, sizeof name, "%s%010llu%s", before, number, kind);
    CHECK(plant(path_in("db", name), "../outside"));
  }
}

/* Writing goes on around what was planted ahead, loses nothing and leaves the file outside alone. The first change
 * after an opening makes a manifest, so that its name is among the next ones. */
static void goes_on_around(const char *kind, planter *plant, int while_open) {
  static const char small[] = "write_buffer=64KiB";
  struct ledger *ledger = calloc(1, sizeof *ledger);
  esker_db *db = open_with("db", small);
  uint64_t sum;
  write_file("outside", "untouched");
  sum = sum_of("outside");
  put_rows(db, ledger, 0, 10);
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  put_rows(db, ledger, 10, 20);
  close_db(db);
  if (!while_open) plant_ahead(kind, plant);
  db = open_with("db", small);
  if (while_open) plant_ahead(kind, plant);
  put_rows(db, ledger, 20, 400);
  flushes_in_the_end(db);
  put_rows(db, ledger, 400, 401);
  CHECK(ledger->acknowledged[400]);
  has_rows(db, ledger);
  close_db(db);
  opens_with_rows("db", ledger);
  CHECK(sum_of("outside") == sum);
  free(ledger);
  CHECK(walk("db", remove_path) > 0 && rmdir("db") == 0);
}

static void symlinks_ahead(void) {
  goes_on_around(".wal", plant_link, 1);
  goes_on_around(".sst", plant_link, 1);
  goes_on_around(".sst", plant_link, 0);
  goes_on_around(".tmp", plant_link, 1);
  goes_on_around(".tmp", plant_link, 0);
}

static void fifos_ahead(void) {
  goes_on_around(".wal", plant_fifo, 1);
  goes_on_around(".sst", plant_fifo, 1);
  goes_on_around(".sst", plant_fifo, 0);
  goes_on_around(".tmp", plant_fifo, 1);
  goes_on_around(".tmp", plant_fifo, 0);
}

static void directories_ahead(void) {
  goes_on_around(".wal", plant_directory, 1);
  goes_on_around(".sst", plant_directory, 1);
  goes_on_around(".sst", plant_directory, 0);
  goes_on_around(".tmp", plant_directory, 1);
  goes_on_around(".tmp", plant_directory, 0);
}

/* A regular file, which nothing but O_EXCL keeps from being taken for a new one. */
static void second_names_ahead(void) {
  goes_on_around(".wal", plant_name, 1);
  goes_on_around(".wal", plant_name, 0);
  goes_on_around(".sst", plant_name, 1);
  goes_on_around(".sst", plant_name, 0);
  goes_on_around(".tmp", plant_name, 1);
  goes_on_around(".tmp", plant_name, 0);
}

/* A log that the manifest does not list is opened to see whether it has records. */
static void unlisted_logs(void) {
  planter *const planters[] = {plant_link, plant_fifo, plant_directory};
  size_t i;
  make_closed("db");
  write_file("outside", "untouched");
  for (i = 0; i < sizeof planters / sizeof planters[0]; i++) {
    CHECK(planters[i]("db/0000000099.wal", "../outside"));
    refused(ESKER_CORRUPT, i == 0 ? ELOOP : 0, "db/0000000099.wal");
    CHECK(remove("db/0000000099.wal") == 0);
  }
  opens_whole("db");
}

static void newer_manifest(void) {
  const char *manifest;
  uint64_t sum;
  make_closed("db");
  manifest = newest("db", "MANIFEST-");
  sum = sum_of(manifest);
  CHECK(plant_link("db/MANIFEST-0000000099", strchr(manifest, '/') + 1));
  refused(ESKER_CORRUPT, ELOOP, "db/MANIFEST-0000000099");
  CHECK(sum_of(manifest) == sum && remove("db/MANIFEST-0000000099") == 0);
  opens_whole("db");
}

/* What people, editors and file managers leave behind, and names that are nearly a database's. */
static const char *const strangers[] = {
    ".DS_Store",        "._x",              "foo",        "00000001.sst.bak", "1.sst",       "00000000001.sst",
    "+000000001.sst",   "0000000001.SST",   "lock",       "LOCK~",            "LOCK.lock",   "MANIFEST-1",
    "MANIFEST",         "CURRENT",          "LOG",        "0000000001.ldb",   ".wal",        "0000000001.wal ",
    "0000000001.wal.1", "MANIFEST-0000000001.tmp~",       "\xff\xfe",         "x/0000000001.wal",
};
enum { STRANGERS = sizeof strangers / sizeof strangers[0] };

static void plant_strangers(void) {
  int i;
  CHECK(mkdir("db/x", 0700) == 0 && mkdir("db/0000000001.sst.d", 0700) == 0);
  CHECK(symlink("nowhere", "db/link") == 0 && mkfifo("db/fifo", 0600) == 0);
  for (i = 0; i < STRANGERS; i++) write_file(path_in("db", strangers[i]), strangers[i]);
}

static int strangers_stand(void) {
  uint64_t sum;
  int i;
  write_file("sample", "");
  for (i = 0; i < STRANGERS; i++) {
    write_file("sample", strangers[i]);
    sum = sum_of("sample");
    if (sum_of(path_in("db", strangers[i])) != sum) return 0;
  }
  return exists("db/x") && exists("db/0000000001.sst.d") && exists("db/link") && exists("db/fifo");
}

static void among_strangers(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB");
  put_rows(db, &ledger, 0, 50);
  plant_strangers();
  put_rows(db, &ledger, 50, 300);
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  close_db(db);
  db = open_with("db", "write_buffer=64KiB");
  put_rows(db, &ledger, 300, 500);
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  CHECK(ledger.refused == 0);
  STATUS_ERR(ESKER_OK, esker_verify(db, ESKER_VERIFY_FULL, NULL, &error));
  has_rows(db, &ledger);
  close_db(db);
  CHECK(strangers_stand());
  STATUS_ERR(ESKER_OK, esker_destroy("db", NULL, &error));
  CHECK(strangers_stand());
  /* With the last database file gone they are all there is: x, its file, and three more that are no texts. */
  CHECK(walk("db", NULL) == STRANGERS - 1 + 4);
  STATUS_ERR(ESKER_MISSING, esker_destroy("db", NULL, &error));
  CHECK(strangers_stand());
}

static void create_among_strangers(void) {
  static const char *const few[] = {"foo", "1.sst", "MANIFEST", "\xff\xfe", "lost+found2", "x"};
  esker_db *db = NULL;
  size_t i;
  for (i = 0; i < sizeof few / sizeof few[0]; i++) {
    CHECK(mkdir("db", 0700) == 0);
    write_file(path_in("db", few[i]), "mine");
    STATUS_ERR(ESKER_INVALID, open_as("db", ESKER_OPEN_CREATE, &db));
    CHECK((unsigned char)few[i][0] > 127 || names(few[i]));
    STATUS_ERR(ESKER_MISSING, open_as("db", 0, &db));
    CHECK(walk("db", remove_path) == 1 && rmdir("db") == 0);
  }
}

static void create_among_dot_files(void) {
  CHECK(mkdir("db", 0700) == 0 && mkdir("db/lost+found", 0700) == 0 && mkdir("db/.git", 0700) == 0);
  write_file("db/.DS_Store", "finder");
  make_closed("db");
  opens_whole("db");
  CHECK(exists("db/lost+found") && exists("db/.git") && exists("db/.DS_Store"));
}

/* Neither is a database: one file that a user calls LOCK, and files without a manifest. */
static void data_without_manifest(void) {
  esker_db *db = NULL;
  make_closed("db");
  CHECK(remove(newest("db", "MANIFEST-")) == 0);
  STATUS_ERR(ESKER_CORRUPT, open_as("db", ESKER_OPEN_CREATE, &db));
  CHECK(walk("db", NULL) == 3);
}

static void destroy_spares_a_lone_lock(void) {
  CHECK(mkdir("db", 0700) == 0);
  write_file("db/LOCK", "my own");
  error = new_error();
  STATUS_ERR(ESKER_MISSING, esker_destroy("db", NULL, &error));
  CHECK(exists("db/LOCK"));
}

/* Numbers count up from the largest name; the last ones there are must not stop that. */
static void last_numbers(void) {
  static const char *const files[] = {"18446744073709551615.sst", "18446744073709551614.wal",
                                      "MANIFEST-18446744073709551615.tmp", "9999999999.sst"};
  size_t i;
  make_closed("db");
  for (i = 0; i < sizeof files / sizeof files[0]; i++) write_file(path_in("db", files[i]), "");
  for (i = 0; i < 3; i++) {
    static struct ledger ledger;
    esker_db *db = open_with("db", "write_buffer=64KiB");
    put_rows(db, &ledger, (int)i * 200, (int)i * 200 + 200);
    STATUS_ERR(ESKER_OK, esker_flush(db, &error));
    CHECK(ledger.refused == 0 && is_whole(db));
    close_db(db);
    opens_with_rows("db", &ledger);
  }
}

int main(int argc, char **argv) {
  static const struct hostile_case cases[] = {
      {"symlinks", symlinks}, {"fifos", fifos}, {"directories", directories}, {"sockets", sockets},
      {"devices", devices}, 
      {"dangling symlinks", dangling_symlinks},
      {"a symlink of the right size", symlink_of_the_right_size},
      {"replaced while open", replaced_while_open},
      {"second name of LOCK", second_name_of_the_lock},
      {"second name of a table", second_name_of_a_table},
      {"second name of a log", second_name_of_a_log},
      {"symlinks ahead", symlinks_ahead},
      {"fifos ahead", fifos_ahead},
      {"directories ahead", directories_ahead},
      {"second names ahead", second_names_ahead},
      {"unlisted logs", unlisted_logs},
      {"a newer manifest", newer_manifest},
      {"among strangers", among_strangers},
      {"CREATE among strangers", create_among_strangers},
      {"CREATE among dot files", create_among_dot_files},
      {"data without a manifest", data_without_manifest},
      {"destroy spares a lone LOCK", destroy_spares_a_lone_lock},
      {"last numbers", last_numbers},
  };
  if (argc != 2) return 2;
  run_cases(argv[1], cases, sizeof cases / sizeof cases[0]);
  return check_result("hostile");
}
