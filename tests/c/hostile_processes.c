/* Signals, surroundings that belong to the program, and other processes at one database.
 *
 * TABLE of the cases and what is expected.
 *
 *  1  a timer of 1 ms, its handler without SA_RESTART   every call succeeds, openings as well
 *  2  SIGUSR1 without end                every call succeeds; the handler runs in the main thread only
 *  3  signals that the main thread blocks   stay pending: no thread of the library takes one
 *  4  handlers, signal mask, limit of descriptors, working directory, locale, umask   as before, open and closed
 *  5  errno                              as before after reads
 *  6  open in another process            LOCKED with its pid, read-only and esker_destroy too; fine once it closed
 *  7  that process is killed             opens; what was acknowledged is there
 *  8  that process is stopped            LOCKED at once
 *  9  readers in two processes           share it; a writer is LOCKED; one is killed, the other goes on
 * 10  a daemon, forked twice             LOCKED with its pid; opens soon after it was killed
 * 11  a program spawned while open, by posix_spawn: does not keep the lock
 * 12  LOCK removed while open in another process   LOCKED all the same; nothing is lost
 * 13  SIGUSR1 while databases are opened and closed   no thread of the library takes one, not even as it starts
 */
#define _GNU_SOURCE
#include "hostile.h"

#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

extern char **environ;

static volatile sig_atomic_t signals, strayed;
static pthread_t main_thread;

/* The watchdog's alarm is the same timer, so that this one watches, too. */
static void note_signal(int number) {
  if (!pthread_equal(pthread_self(), main_thread)) strayed = 1;
  signals++;
  if (number == SIGALRM && signals > WATCHDOG * 1000) _exit(3);
}

/* Without SA_RESTART: every system call that can be interrupted is. */
static void handle(int number) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = note_signal;
  main_thread = pthread_self();
  CHECK(sigaction(number, &action, NULL) == 0);
}

static const char busy[] = "write_buffer=64KiB; sync_interval_us=1000; threads=2";

static void use(esker_db *db, struct ledger *ledger, int from) {
  put_rows(db, ledger, from, from + 100);
  STATUS_ERR(ESKER_OK, esker_sync(db, &error));
  STATUS_ERR(ESKER_OK, esker_flush(db, &error));
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  has_rows(db, ledger);
  CHECK(ledger->refused == 0);
}

static void a_timer_interrupts(void) {
  static const struct itimerval every = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
  static struct ledger ledger;
  int i;
  handle(SIGALRM);
  CHECK(setitimer(ITIMER_REAL, &every, NULL) == 0);
  for (i = 0; i < 5; i++) {
    esker_db *db = open_with("db", busy);
    use(db, &ledger, i * 100);
    close_db(db);
  }
  CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
  CHECK(signals > 0);
}

/* What others may send; not what a thread brings upon itself, which valgrind unblocks, nor the watchdog's SIGALRM. */
static const int sent[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,   SIGPIPE, SIGTERM,  SIGCHLD, SIGTSTP, SIGTTIN,
                           SIGTTOU, SIGURG,  SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO,   SIGPWR};
enum { SENT = sizeof sent / sizeof sent[0] };

static int blocks_all(unsigned long long mask) {
  int i, count = 0;
  for (i = 0; i < SENT; i++) count += (mask >> (sent[i] - 1) & 1) != 0;
  return count == SENT;
}

static int blocks_signals(const char *task) {
  char path[300], line[256];
  int blocks = 0;
  FILE *status;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
  status = fopen(path, "r");
  if (status == NULL) return 1;
  while (fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "SigBlk:", 7) == 0) blocks = blocks_all(strtoull(line + 7, NULL, 16));
  }
  fclose(status);
  return blocks;
}

/* Threads but this one that do not block signals. */
static int open_to_signals(void) {
  struct dirent *entry;
  int count = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (!CHECK(tasks != NULL)) return 0;
  while ((entry = readdir(tasks)) != NULL) {
    if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid()) continue;
    count += !blocks_signals(entry->d_name);
  }
  closedir(tasks);
  return count;
}

static void *send_many(void *stop) {
  /* Time to get on between two of them: where one is pending at the end of each handler, nothing else ever runs. */
  const struct timespec gap = {0, 20 * 1000};
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, NULL);
  while (!*(volatile sig_atomic_t *)stop) {
    kill(getpid(), SIGUSR1);
    nanosleep(&gap, NULL);
  }
  return NULL;
}

static void signals_reach_the_main_thread(void) {
  static volatile sig_atomic_t stop;
  static struct ledger ledger;
  esker_db *db = open_with("db", busy);
  pthread_t sender;
  int i;
  handle(SIGUSR1);
  CHECK(open_to_signals() == 0);
  CHECK(pthread_create(&sender, NULL, send_many, (void *)&stop) == 0);
  for (i = 0; i < 5; i++) use(db, &ledger, i * 100);
  stop = 1;
  CHECK(pthread_join(sender, NULL) == 0);
  CHECK(signals > 0 && !strayed);
  close_db(db);
}

/* With the signals blocked in the main thread they stay pending: no thread of the library takes one. */
static void signals_stay_pending(void) {
  static struct ledger ledger;
  int i;
  sigset_t set, pending;
  esker_db *db = open_with("db", busy);
  CHECK(open_to_signals() == 0);
  sigemptyset(&set);
  for (i = 0; i < SENT; i++) {
    handle(sent[i]);
    sigaddset(&set, sent[i]);
  }
  CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
  for (i = 0; i < SENT; i++) CHECK(kill(getpid(), sent[i]) == 0);
  use(db, &ledger, 0);
  CHECK(sigpending(&pending) == 0);
  for (i = 0; i < SENT; i++) CHECK(sigismember(&pending, sent[i]) == 1);
  close_db(db);
  CHECK(signals == 0);
}

/* The surroundings that belong to the program. */
struct surroundings {
  void (*handlers[64])(int);
  int flags[64], blocked[64];
  struct rlimit files;
  char directory[1024], locale[256];
  mode_t umask;
};

static void look(struct surroundings *all) {
  int i;
  sigset_t mask;
  memset(all, 0, sizeof *all);
  CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
  for (i = 1; i < 64; i++) {
    struct sigaction action;
    all->blocked[i] = sigismember(&mask, i);
    if (sigaction(i, NULL, &action) != 0) continue;
    all->handlers[i] = action.sa_handler;
    all->flags[i] = action.sa_flags;
  }
  CHECK(getrlimit(RLIMIT_NOFILE, &all->files) == 0);
  CHECK(getcwd(all->directory, sizeof all->directory) != NULL);
  strncpy(all->locale, setlocale(LC_ALL, NULL), sizeof all->locale - 1);
  all->umask = umask(0);
  umask(all->umask);
}

static void surroundings_are_left_alone(void) {
  struct surroundings before, during, after;
  esker_db *db;
  umask(027);
  CHECK(setlocale(LC_ALL, "C.UTF-8") != NULL || setlocale(LC_ALL, "C") != NULL);
  look(&before);
  db = make("db");
  STATUS_ERR(ESKER_OK, esker_compact(db, NULL, NULL, ESKER_COMPACT_FORCE, NULL, &error));
  look(&during);
  close_db(db);
  look(&after);
  CHECK(memcmp(&before, &during, sizeof before) == 0 && memcmp(&before, &after, sizeof before) == 0);
}

/* A caller may ask for values between a failed call of its own and the report of it. */
static void reads_keep_errno(void) {
  static struct ledger ledger;
  esker_db *db = open_with("db", "write_buffer=64KiB");
  put_rows(db, &ledger, 0, 100);
  errno = ENOTTY;
  has_rows(db, &ledger);
  CHECK(errno == ENOTTY && has(db, NULL, "absent", NULL) && errno == ENOTTY);
  close_db(db);
}

/* A child that has the database open: it says so with a byte, writes rows, says so again, and waits. */
struct holder {
  pid_t pid;
  int from, to;
};

static void hold(const char *path, uint32_t flags, struct ledger *ledger, int read_end, int write_end) {
  esker_db *db = NULL;
  char byte = 'x';
  STATUS_ERR(ESKER_OK, open_as(path, flags, &db));
  if (flags != ESKER_OPEN_READONLY) put_rows(db, ledger, 0, 200);
  CHECK(write(write_end, &byte, 1) == 1);
  CHECK(read(read_end, &byte, 1) == 1);
  close_db(db);
}

static struct holder start_holder(const char *path, uint32_t flags, struct ledger *ledger) {
  struct holder holder;
  int to[2], from[2];
  char byte = 0;
  CHECK(pipe(to) == 0 && pipe(from) == 0);
  fflush(stdout);
  holder.pid = fork();
  if (holder.pid == 0) {
    alarm(WATCHDOG);
    hold(path, flags, ledger, to[0], from[1]);
    end_of_child();
  }
  memset(ledger->acknowledged, 1, flags == ESKER_OPEN_READONLY ? 0 : 200);
  CHECK(read(from[0], &byte, 1) == 1);
  holder.to = to[1];
  holder.from = from[0];
  return holder;
}

static void kill_holder(struct holder *holder) {
  int status = 0;
  CHECK(kill(holder->pid, SIGKILL) == 0);
  CHECK(waitpid(holder->pid, &status, 0) == holder->pid && WIFSIGNALED(status));
}

static void dismiss(struct holder *holder) {
  CHECK(write(holder->to, "x", 1) == 1);
  CHECK(ended_well(holder->pid));
}

static void locked_by_another_process(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  struct holder holder = start_holder("db", ESKER_OPEN_CREATE, &ledger);
  STATUS_ERR(ESKER_LOCKED, open_as("db", 0, &db));
  CHECK(error.value == (uint64_t)holder.pid && names("db/LOCK"));
  STATUS_ERR(ESKER_LOCKED, open_as("db", ESKER_OPEN_READONLY, &db));
  STATUS_ERR(ESKER_LOCKED, esker_destroy("db", NULL, &error));
  dismiss(&holder);
  opens_with_rows("db", &ledger);
}

static void killed_holder(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  struct holder holder = start_holder("db", ESKER_OPEN_CREATE, &ledger);
  STATUS_ERR(ESKER_LOCKED, open_as("db", 0, &db));
  kill_holder(&holder);
  opens_with_rows("db", &ledger);
}

/* Nobody waits for one that cannot go on. */
static void stopped_holder(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  struct holder holder = start_holder("db", ESKER_OPEN_CREATE, &ledger);
  CHECK(kill(holder.pid, SIGSTOP) == 0);
  STATUS_ERR(ESKER_LOCKED, open_as("db", 0, &db));
  CHECK(kill(holder.pid, SIGCONT) == 0);
  dismiss(&holder);
  opens_with_rows("db", &ledger);
}

static void readers_in_two_processes(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  struct holder writer = start_holder("db", ESKER_OPEN_CREATE, &ledger), reader;
  dismiss(&writer);
  reader = start_holder("db", ESKER_OPEN_READONLY, &ledger);
  STATUS_ERR(ESKER_LOCKED, open_as("db", 0, &db));
  STATUS_ERR(ESKER_OK, open_as("db", ESKER_OPEN_READONLY, &db));
  has_rows(db, &ledger);
  kill_holder(&reader);
  has_rows(db, &ledger);
  close_db(db);
  opens_with_rows("db", &ledger);
}

/* Its parents have gone when it opens the database; it is found by the pid that LOCK names. */
static void daemon_holds(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  int ready[2], never[2];
  char byte = 0;
  time_t deadline = time(NULL) + WATCHDOG / 2;
  pid_t parent;
  CHECK(pipe(ready) == 0 && pipe(never) == 0);
  fflush(stdout);
  parent = fork();
  if (parent == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    alarm(WATCHDOG);
    CHECK(chdir("..") == 0);
    hold("daemon", ESKER_OPEN_CREATE, &ledger, never[0], ready[1]);
    end_of_child();
  }
  CHECK(ended_well(parent) && read(ready[0], &byte, 1) == 1);
  memset(ledger.acknowledged, 1, 200);
  STATUS_ERR(ESKER_LOCKED, open_as("../daemon", 0, &db));
  CHECK(error.value > 1 && error.value != (uint64_t)parent && kill((pid_t)error.value, SIGKILL) == 0);
  while (open_as("../daemon", 0, &db) == ESKER_LOCKED && time(NULL) < deadline) sched_yield();
  STATUS_ERR(ESKER_OK, error.status);
  has_rows(db, &ledger);
  close_db(db);
}

/* posix_spawn runs no handlers of fork, so that nothing but close-on-exec keeps the lock from the program. */
static void spawned_program(void) {
  char cat[] = "cat";
  char *const arguments[] = {cat, NULL};
  posix_spawn_file_actions_t actions;
  int to[2], error_of_spawn;
  pid_t child = -1;
  esker_db *db;
  CHECK(pipe(to) == 0);
  db = make("db");
  CHECK(posix_spawn_file_actions_init(&actions) == 0);
  CHECK(posix_spawn_file_actions_adddup2(&actions, to[0], 0) == 0);
  CHECK(posix_spawn_file_actions_addclose(&actions, to[1]) == 0);
  error_of_spawn = posix_spawnp(&child, cat, &actions, NULL, arguments, environ);
  CHECK(error_of_spawn == 0);
  close_db(db);
  opens_whole("db");
  CHECK(close(to[1]) == 0 && ended_well(child));
  CHECK(posix_spawn_file_actions_destroy(&actions) == 0);
}

/* As by somebody who thinks it stale. */
static void lock_removed(void) {
  static struct ledger ledger;
  esker_db *db = NULL;
  struct holder holder = start_holder("db", ESKER_OPEN_CREATE, &ledger);
  remove_path("db/LOCK");
  STATUS_ERR(ESKER_LOCKED, open_as("db", 0, &db));
  STATUS_ERR(ESKER_LOCKED, open_as("db", ESKER_OPEN_READONLY, &db));
  STATUS_ERR(ESKER_LOCKED, esker_destroy("db", NULL, &error));
  dismiss(&holder);
  opens_with_rows("db", &ledger);
}

static void signals_while_threads_start(void) {
  static volatile sig_atomic_t stop;
  pthread_t sender;
  int i;
  handle(SIGUSR1);
  CHECK(pthread_create(&sender, NULL, send_many, (void *)&stop) == 0);
  for (i = 0; i < 100; i++) close_db(open_with("db", busy));
  stop = 1;
  CHECK(pthread_join(sender, NULL) == 0);
  CHECK(signals > 0 && !strayed);
}

int main(int argc, char **argv) {
  static const struct hostile_case cases[] = {
      {"a timer interrupts", a_timer_interrupts},
      {"signals reach the main thread", signals_reach_the_main_thread},
      {"signals stay pending", signals_stay_pending},
      {"surroundings are left alone", surroundings_are_left_alone},
      {"reads keep errno", reads_keep_errno},
      {"locked by another process", locked_by_another_process},
      {"killed holder", killed_holder},
      {"stopped holder", stopped_holder},
      {"readers in two processes", readers_in_two_processes},
      {"a daemon holds it", daemon_holds},
      {"a spawned program", spawned_program},
      {"LOCK removed", lock_removed},
      {"signals while threads start", signals_while_threads_start},
  };
  if (argc != 2) return 2;
  run_cases(argv[1], cases, sizeof cases / sizeof cases[0]);
  return check_result("hostile_processes");
}
