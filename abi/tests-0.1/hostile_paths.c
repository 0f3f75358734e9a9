/* Odd paths to a database, directories that move or vanish under it, and modes.
 *
 * TABLE of the cases and what is expected. "None" is that status from an opening of any kind, CREATE as well, and
 * nothing is made. 21 to 27 go on as nobody when root runs them.
 *
 *  1  path is a symlink to a directory  opens; LOCKED under the other name
 *  2  that symlink is turned while open the database stays where it was; nothing is made in the new place
 *  3  path is a dangling symlink        none, MISSING
 *  4  path is a circle of symlinks      none, IO with ELOOP
 *  5  path is or leads through a regular file; is a FIFO, a device: none, MISSING; the file is unchanged, no hang
 *  6  path is ""                        none, INVALID
 *  7  path of bytes that are not UTF-8  made, opened and destroyed
 *  8  a name of 300 bytes, of 5,000     none, IO with ENAMETOOLONG; 255 bytes are fine
 *  9  a parent that is not there        none, MISSING
 * 10  other spellings of an open path   LOCKED by this process
 * 11  path is "."                       opens, and under "../name" too
 * 12  relative path, then chdir         writing goes on; nothing is made here; opens by its absolute path
 * 13  directory renamed while open      writing goes on; LOCKED under the new name; everything is there
 * 14  renamed, and a new database made in its place: both are whole
 * 15  directory removed while open      calls answer, flush with ENOENT; close returns; nothing comes back
 * 16  working directory removed         "." is MISSING, with CREATE an error with ENOENT
 *     modes of all files and the directory, of a checkpoint's too
 * 17  no options, umask 0 and 022       0600 and 0700
 * 18  file_mode=0666, umask 077, 027    0600 and 0700, 0640 and 0750
 * 19  file_mode=0640, 0644, 0666, umask 0   as it says, with the x bits that match
 * 20  a directory that was there        keeps its mode
 *     without permission
 * 21  parent 0500                       CREATE of another is READONLY; the one in it works
 * 22  directory 0500                    READONLY, naming it; works read-only; afterwards everything is there
 * 23  empty directory 0500, CREATE      READONLY; still empty
 * 24  table 0000                        reading it is IO with EACCES and its name; the rest works; fine when it is back
 * 25  manifest, log 0000                IO with EACCES and its name; opens when they are back
 * 26  LOCK 0400                         READONLY; works read-only
 * 27  directory 0000                    READONLY with EACCES; esker_destroy is an error; nothing is lost
 *     esker_destroy
 * 28  by a symlink, by ".", parent 0500 the files go, the directory stays; OK
 */
#define _GNU_SOURCE
#include "hostile.h"

#include <limits.h>

static esker_status destroy(const char *path) {
  error = new_error();
  return esker_destroy(path, NULL, &error);
}

/* Neither opening nor CREATE makes something of it, and both say so with the same status. */
static void no_database(esker_status expected, const char *path) {
  esker_db *db = NULL;
  STATUS_ERR(expected, open_as(path, 0, &db));
  STATUS_ERR(expected, open_as(path, ESKER_OPEN_READONLY, &db));
  STATUS_ERR(expected, open_as(path, ESKER_OPEN_CREATE, &db));
}

static void link_to_directory(void) {
  esker_db *db = NULL, *other = NULL;
  make_closed("real");
  CHECK(symlink("real", "link") == 0);
  if (!STATUS_ERR(ESKER_OK, open_as("link", 0, &db))) return;
  CHECK(is_whole(db));
  STATUS_ERR(ESKER_LOCKED, open_as("real", 0, &other));
  close_db(db);
  opens_whole("real");
}

static void link_is_turned(void) {
  esker_db *db;
  CHECK(mkdir("one", 0700) == 0 && mkdir("two", 0700) == 0 && symlink("one", "link") == 0);
  db = make("link");
  CHECK(remove("link") == 0 && symlink("two", "link") == 0);
  STATUS(ESKER_OK, put(db, "turned", "3"));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  close_db(db);
  CHECK(walk("two", NULL) == 0);
  opens_whole("one");
}

static void dangling_link(void) {
  CHECK(symlink("nowhere", "link") == 0);
  no_database(ESKER_MISSING, "link");
  CHECK(!exists("nowhere") && exists("link"));
}

static void links_in_a_circle(void) {
  CHECK(symlink("a", "b") == 0 && symlink("b", "a") == 0);
  no_database(ESKER_IO, "a");
  CHECK(error.os_errno == ELOOP);
}

static void no_directory(void) {
  uint64_t sum;
  write_file("file", "content");
  sum = sum_of("file");
  no_database(ESKER_MISSING, "file");
  no_database(ESKER_MISSING, "file/db");
  CHECK(sum_of("file") == sum);
  CHECK(mkfifo("fifo", 0600) == 0);
  no_database(ESKER_MISSING, "fifo");
  no_database(ESKER_MISSING, "/dev/null");
}

static void empty_path(void) {
  no_database(ESKER_INVALID, "");
  CHECK(walk(".", NULL) == 0);
}

static void bytes_for_a_name(void) {
  static const char name[] = "\xff\xfe \xc3\x28\n\x01\xed\xa0\x80";
  make_closed(name);
  CHECK(exists(name));
  opens_whole(name);
  STATUS_ERR(ESKER_OK, destroy(name));
  CHECK(walk(".", NULL) == 0);
}

static void long_names(void) {
  char path[5001];
  memset(path, 'x', sizeof path);
  path[sizeof path - 1] = 0;
  no_database(ESKER_IO, path);
  CHECK(error.os_errno == ENAMETOOLONG);
  path[300] = 0;
  no_database(ESKER_IO, path);
  CHECK(error.os_errno == ENAMETOOLONG);
  path[255] = 0;
  make_closed(path);
  opens_whole(path);
}

static void missing_parent(void) {
  no_database(ESKER_MISSING, "none/db");
  CHECK(!exists("none"));
}

static void spellings(void) {
  static const char *const others[] = {"db/", ".//db", "db/.", "./db/../db//"};
  esker_db *db = make("db/"), *other = NULL;
  size_t i;
  for (i = 0; i < sizeof others / sizeof others[0]; i++) {
    STATUS_ERR(ESKER_LOCKED, open_as(others[i], 0, &other));
    CHECK(error.value == (uint64_t)getpid());
  }
  close_db(db);
  opens_whole("db");
}

static void working_directory_is_the_path(void) {
  CHECK(mkdir("db", 0700) == 0 && chdir("db") == 0);
  make_closed(".");
  opens_whole(".");
  opens_whole("../db");
}

static void write_more(esker_db *db, struct ledger *ledger) {
  put_rows(db, ledger, 0, 200);
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  put_rows(db, ledger, 200, 300);
  CHECK(ledger->refused == 0);
  has_rows(db, ledger);
}

static void working_directory_changes(void) {
  static struct ledger ledger;
  char path[PATH_MAX];
  esker_db *db = open_with("db", "write_buffer=64KiB");
  CHECK(realpath("db", path) != NULL && mkdir("elsewhere", 0700) == 0 && chdir("elsewhere") == 0);
  write_more(db, &ledger);
  close_db(db);
  CHECK(walk(".", NULL) == 0);
  opens_with_rows(path, &ledger);
}

static void renamed_while_open(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB"), *other = NULL;
  CHECK(rename("db", "new name") == 0);
  write_more(db, &ledger);
  STATUS_ERR(ESKER_LOCKED, open_as("new name", 0, &other));
  close_db(db);
  CHECK(!exists("db"));
  opens_with_rows("new name", &ledger);
}

static void another_in_its_place(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB"), *other;
  CHECK(rename("db", "old") == 0);
  other = make("db");
  write_more(db, &ledger);
  CHECK(is_whole(other));
  close_db(db);
  close_db(other);
  opens_with_rows("old", &ledger);
  opens_whole("db");
}

/* What is in memory and in open files may go on working; what needs a new file must answer an error. */
static void removed_while_open(void) {
  esker_db *db = make("db"), *other = NULL;
  int i;
  CHECK(walk("db", remove_path) > 0 && rmdir("db") == 0);
  for (i = 0; i < 3; i++) {
    size_t size = 0;
    CHECK(put(db, "later", "3") <= 0);
    CHECK(esker_sync(db, NULL) <= 0);
    error = new_error();
    CHECK(esker_flush(db, &error) < 0 && error.os_errno == ENOENT);
    CHECK(esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, NULL) < 0);
    CHECK(esker_exists(db, NULL, "log", 3, &size) == ESKER_OK);
    CHECK(esker_resume(db, NULL) <= 0);
  }
  CHECK(esker_close(db, 0, NULL) <= 0);
  CHECK(!exists("db"));
  STATUS_ERR(ESKER_MISSING, open_as("db", 0, &other));
  make_closed("db");
}

static void removed_working_directory(void) {
  esker_db *db = NULL;
  CHECK(mkdir("gone", 0700) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
  STATUS_ERR(ESKER_MISSING, open_as(".", 0, &db));
  CHECK(open_as(".", ESKER_OPEN_CREATE, &db) < 0 && error.os_errno == ENOENT);
  STATUS_ERR(ESKER_MISSING, open_as("db", ESKER_OPEN_CREATE, &db));
}

static unsigned mode_wanted;

static void has_mode_wanted(const char *path) {
  if (!CHECK(mode_of(path) == mode_wanted)) printf("  %s has %04o\n", path, mode_of(path));
}

/* A database made with `options` under a umask, and its checkpoint: modes of all files and of the directory. */
static void modes(const char *options, mode_t mask, unsigned files, unsigned directory) {
  mode_t before = umask(mask);
  esker_db *db = open_with("db", options);
  STATUS(ESKER_OK, put(db, "table", "1"));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS(ESKER_OK, put(db, "log", "2"));
  STATUS_ERR(ESKER_OK, esker_checkpoint(db, "copy", NULL, &error));
  mode_wanted = files;
  CHECK(walk("db", has_mode_wanted) >= 4 && walk("copy", has_mode_wanted) >= 3);
  CHECK(mode_of("db") == directory && mode_of("copy") == directory);
  close_db(db);
  STATUS_ERR(ESKER_OK, destroy("db"));
  STATUS_ERR(ESKER_OK, destroy("copy"));
  umask(before);
}

static void private_by_default(void) {
  modes("", 0, 0600, 0700);
  modes("", 022, 0600, 0700);
}

static void umask_is_respected(void) {
  modes("file_mode=0666", 077, 0600, 0700);
  modes("file_mode=0666", 027, 0640, 0750);
}

static void wider_modes(void) {
  modes("file_mode=0640", 0, 0640, 0750);
  modes("file_mode=0644", 0, 0644, 0755);
  modes("file_mode=0666", 0, 0666, 0777);
}

static void directory_keeps_its_mode(void) {
  CHECK(mkdir("db", 0700) == 0 && chmod("db", 02751) == 0);
  make_closed("db");
  CHECK(mode_of("db") == 02751);
}

static void cannot_write_parent(void) {
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  CHECK(chmod(".", 0500) == 0);
  STATUS_ERR(ESKER_READONLY, open_as("other", ESKER_OPEN_CREATE, &db));
  CHECK(!exists("other"));
  /* Its own directory is writable; only its name cannot be made durable anew. */
  opens_whole("db");
  CHECK(chmod(".", 0700) == 0);
}

static void cannot_write_directory(void) {
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  CHECK(chmod("db", 0500) == 0);
  STATUS_ERR(ESKER_READONLY, open_as("db", 0, &db));
  CHECK(names("db") && error.os_errno == EACCES);
  STATUS_ERR(ESKER_OK, open_as("db", ESKER_OPEN_READONLY, &db));
  CHECK(is_whole(db));
  STATUS(ESKER_READONLY, put(db, "log", "3"));
  close_db(db);
  CHECK(chmod("db", 0700) == 0);
  opens_whole("db");
}

static void cannot_write_empty_directory(void) {
  esker_db *db = NULL;
  become_nobody();
  CHECK(mkdir("db", 0500) == 0);
  STATUS_ERR(ESKER_READONLY, open_as("db", ESKER_OPEN_CREATE, &db));
  CHECK(walk("db", NULL) == 0 && mode_of("db") == 0500);
}

static void cannot_read_table(void) {
  const char *table;
  char buffer[8];
  size_t size;
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  table = newest("db", ".sst");
  CHECK(chmod(table, 0) == 0);
  if (!STATUS_ERR(ESKER_OK, open_as("db", 0, &db))) return;
  STATUS(ESKER_IO, esker_get(db, NULL, "table", 5, buffer, sizeof buffer, &size));
  STATUS(ESKER_OK, esker_last_error(db, &error));
  CHECK(error.os_errno == EACCES && names(table));
  CHECK(has(db, NULL, "log", "2"));
  CHECK(chmod(table, 0600) == 0);
  CHECK(is_whole(db));
  close_db(db);
}

/* Files that everything stands in: unreadable, they are named and the database does not open. */
static void cannot_read_others(void) {
  static const char *const kinds[] = {"MANIFEST-", ".wal"};
  esker_db *db = NULL;
  int i;
  become_nobody();
  make_closed("db");
  for (i = 0; i < 2; i++) {
    const char *file = newest("db", kinds[i]);
    CHECK(chmod(file, 0) == 0);
    STATUS_ERR(ESKER_IO, open_as("db", 0, &db));
    CHECK(error.os_errno == EACCES && names(file));
    STATUS_ERR(ESKER_IO, open_as("db", ESKER_OPEN_READONLY, &db));
    CHECK(chmod(file, 0600) == 0);
  }
  opens_whole("db");
}

static void cannot_write_lock(void) {
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  CHECK(chmod("db/LOCK", 0400) == 0);
  STATUS_ERR(ESKER_READONLY, open_as("db", 0, &db));
  CHECK(names("LOCK"));
  STATUS_ERR(ESKER_OK, open_as("db", ESKER_OPEN_READONLY, &db));
  CHECK(is_whole(db));
  close_db(db);
}

static void cannot_enter(void) {
  esker_db *db = NULL;
  become_nobody();
  make_closed("db");
  CHECK(chmod("db", 0) == 0);
  STATUS_ERR(ESKER_READONLY, open_as("db", ESKER_OPEN_CREATE, &db));
  CHECK(error.os_errno == EACCES);
  CHECK(destroy("db") < 0);
  CHECK(chmod("db", 0700) == 0);
  opens_whole("db");
}

/* What cannot be removed by the name that was given is left, empty. */
static void destroy_leaves_directory(void) {
  make_closed("real");
  CHECK(symlink("real", "link") == 0);
  STATUS_ERR(ESKER_OK, destroy("link"));
  CHECK(walk("real", NULL) == 0 && exists("link"));
  make_closed("real");
  CHECK(chdir("real") == 0);
  STATUS_ERR(ESKER_OK, destroy("."));
  CHECK(walk(".", NULL) == 0 && chdir("..") == 0);
  become_nobody();
  make_closed("db");
  CHECK(chmod(".", 0500) == 0);
  STATUS_ERR(ESKER_OK, destroy("db"));
  CHECK(walk("db", NULL) == 0);
  CHECK(chmod(".", 0700) == 0);
}

int main(int argc, char **argv) {
  static const struct hostile_case cases[] = {
      {"path is a symlink to a directory", link_to_directory},
      {"the symlink is turned", link_is_turned},
      {"path is a dangling symlink", dangling_link},
      {"path is a circle of symlinks", links_in_a_circle},
      {"path is no directory", no_directory},
      {"empty path", empty_path},
      {"path is not UTF-8", bytes_for_a_name},
      {"long names", long_names},
      {"missing parent", missing_parent},
      {"spellings of one path", spellings},
      {"path is the working directory", working_directory_is_the_path},
      {"working directory changes", working_directory_changes},
      {"renamed while open", renamed_while_open},
      {"another database in its place", another_in_its_place},
      {"removed while open", removed_while_open},
      {"removed working directory", removed_working_directory},
      {"private by default", private_by_default},
      {"umask is respected", umask_is_respected},
      {"wider modes", wider_modes},
      {"a directory keeps its mode", directory_keeps_its_mode},
      {"cannot write the parent", cannot_write_parent},
      {"cannot write the directory", cannot_write_directory},
      {"cannot write an empty directory", cannot_write_empty_directory},
      {"cannot read a table", cannot_read_table},
      {"cannot read other files", cannot_read_others},
      {"cannot write LOCK", cannot_write_lock},
      {"cannot enter the directory", cannot_enter},
      {"destroy leaves the directory", destroy_leaves_directory},
  };
  if (argc != 2) return 2;
  run_cases(argv[1], cases, sizeof cases / sizeof cases[0]);
  return check_result("hostile_paths");
}
