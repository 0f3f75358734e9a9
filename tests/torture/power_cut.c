/* power_cut: writes into a database on a mounted image, clones the image at random moments, and looks whether each
 * clone holds what was promised when it was made. scripts/file-systems.sh does the mounting.
 *
 *   power_cut run DIRECTORY IMAGE STATE CLONES SEED    writes in DIRECTORY, which lies on IMAGE
 *   power_cut check DIRECTORY STATE NUMBER             DIRECTORY is that of clone NUMBER, mounted
 *
 * `run` starts one life of a writing process after another (one to four writers, and chores: sync, flush, compact,
 * checkpoint) and ends each by a kill or a close. STATE is a directory outside the image, on the file system that
 * holds it. There are the clones; `story`, memory shared by all lives: how far each writer came, the sequence number
 * of each write, and what was promised; and of each clone a `cut`: the promises just before it.
 *
 * Write n of writer w is one batch that always is the same, also when a later life makes it again, and sets the
 * counter of w to n. So the counters that are found say everything that must be found. What must hold:
 *   1. the database opens, verifies to every entry, takes a write and opens again;
 *   2. each counter is at least what was promised, and at most what was tried;
 *   3. every key has the value of the last write at or below its counter, for get and iterator: no batch in part;
 *   4. the writes that are there precede in sequence those that are not: a prefix of the history;
 *   5. UNLOGGED writes that a flush or a close covered are there;
 *   6. a checkpoint that was finished opens too, by the same rules;
 *   7. after a mere kill every write that had returned is there.
 *
 * ESKER_CLAIM_SYNC=1 takes every BUFFERED write for a SYNC one, which is wrong and must be caught.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <esker.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WRITERS = 4,
    KEYS = 300,  /* of each writer */
    SLOTS = 16,  /* of each writer, for UNLOGGED writes */
    OPS_MAX = 16,
    VALUE_MAX = 16384,
    WRITES_MAX = 1 << 18, /* of each writer */
    PATH_SIZE = 4096,
    SECONDS_MAX = 120
};

/* What must survive a power cut from now on. Only ever more, but for `copy`. */
typedef struct promises {
    uint64_t created;           /* the database */
    uint64_t seq;               /* the logged writes up to this sequence number */
    uint64_t logged[WRITERS];   /* the first logged writes of each writer */
    uint64_t unlogged[WRITERS]; /* its first UNLOGGED ones */
    uint64_t copy;              /* number of the newest checkpoint, 0: none */
    uint64_t copied[WRITERS];   /* the first logged writes of each writer that are in it */
} promises;

typedef struct story {
    uint64_t seed, writers;
    uint64_t stop; /* asks the life to end by a close */
    promises promised;
    uint64_t tried[WRITERS], returned[WRITERS];
    uint64_t unlogged_tried[WRITERS], unlogged_returned[WRITERS];
    uint64_t copies, kills;
    uint64_t seq[WRITERS][WRITES_MAX]; /* of write n; 0: not known, for a kill came first or esker_put does not tell */
} story;

typedef struct cut {
    promises promised;                          /* read before the clone */
    uint64_t copy_after;                        /* another one: the checkpoint was going away */
    uint64_t tried[WRITERS];                    /* read after it */
    uint64_t unlogged_tried[WRITERS];
} cut;

static story *shared;
static char directory[PATH_SIZE - 64]; /* of the database */
static const char *mounted, *state_path;
static uint64_t life_number;
static esker_db *db;
static int stopping;

/* ------------------------------------------------------------ numbers */

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t next_random(uint64_t *random)
{
    return mix(++*random);
}

static uint64_t random_for(uint64_t use)
{
    return mix(mix(shared->seed) ^ mix(life_number * 16 + use));
}

static void pause_up_to(uint64_t *random, uint64_t micros)
{
    struct timespec time = {0, (long)(next_random(random) % micros) * 1000};
    nanosleep(&time, NULL);
}

static uint64_t load(const uint64_t *place)
{
    return __atomic_load_n(place, __ATOMIC_SEQ_CST);
}

static void store(uint64_t *place, uint64_t value)
{
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
}

static void count(uint64_t *place)
{
    __atomic_add_fetch(place, 1, __ATOMIC_SEQ_CST);
}

static void raise_to(uint64_t *place, uint64_t value)
{
    uint64_t old = load(place);
    while (old < value && !__atomic_compare_exchange_n(place, &old, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
    }
}

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "power_cut: seed %llu, life %llu: ", shared ? (unsigned long long)shared->seed : 0,
            (unsigned long long)life_number);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(1);
}

/* An error, or an answer that is none where there must be one. */
static void check_call(esker_status status, const char *what, const esker_error *err)
{
    esker_error last = {.struct_size = sizeof last};
    if (status == ESKER_OK)
        return;
    if (err == NULL && status < 0 && esker_last_error(db, &last) == ESKER_OK)
        err = &last;
    fail("%s: %s: %s", what, esker_status_name(status), err && status < 0 ? err->message : "");
}

/* ------------------------------------------------------------ what write n of a writer is */

typedef struct write_op {
    uint32_t key;
    int is_delete;
} write_op;

static uint32_t write_ops(uint32_t writer, uint64_t n, write_op *ops)
{
    uint64_t random = mix(mix(shared->seed ^ writer) ^ n);
    uint32_t ops_count = next_random(&random) % 4 ? 1 + (uint32_t)(next_random(&random) % OPS_MAX) : 0;
    for (uint32_t i = 0; i < ops_count; i++) {
        ops[i].key = (uint32_t)(next_random(&random) % KEYS);
        ops[i].is_delete = next_random(&random) % 8 == 0;
    }
    return ops_count;
}

/* Mixed, so that neighbours in number are not neighbours in order; of uneven length. */
static size_t make_key(char *out, uint32_t writer, uint32_t key)
{
    return (size_t)sprintf(out, "k%08x-%.*s%u.%u", (unsigned)(mix(key * WRITERS + writer) & 0xffffffff), (int)(key % 24),
                           "long-common-prefix-here-", writer, key);
}

static size_t make_value(char *out, uint32_t writer, uint32_t key, uint64_t n)
{
    uint64_t word = mix(mix(key * WRITERS + writer) ^ n);
    size_t length = (word >> 8) % 128 == 0 ? (word >> 16) % VALUE_MAX : (word >> 16) % 300;
    for (size_t i = 0; i < length; i++)
        out[i] = (char)(word >> (i % 8 * 8) ^ i);
    return length;
}

static size_t counter_key(char *out, uint32_t writer)
{
    return (size_t)sprintf(out, "c%u", writer);
}

static size_t slot_key(char *out, uint32_t writer, uint64_t n)
{
    return (size_t)sprintf(out, "u%u.%02u", writer, (unsigned)(n % SLOTS));
}

/* ------------------------------------------------------------ a life of the writing process */

static void open_database(const char *path, uint32_t flags, uint64_t *random)
{
    static const char *const blocks[] = {"256", "1KiB", "4KiB"};
    char text[256];
    esker_error err = {.struct_size = sizeof err};
    esker_options *options;
    int used = sprintf(
        text, "write_buffer=%dKiB; table_size=%dKiB; level_bytes=%dKiB; l0_trigger=%d; block_size=%s; cache_bytes=%dKiB",
        32 << next_random(random) % 5, 64 << next_random(random) % 4, 128 << next_random(random) % 3,
        2 + (int)(next_random(random) % 4), blocks[next_random(random) % 3], 256 << next_random(random) % 4);
    if (next_random(random) % 4 == 0)
        used += sprintf(text + used, "; sync_interval_us=%d", 1000 << next_random(random) % 6);
    if (next_random(random) % 2 == 0)
        sprintf(text + used, "; compression=lz4");
    check_call(esker_options_new(&options), "options", NULL);
    check_call(esker_options_parse(options, text, strlen(text), &err), text, &err);
    check_call(esker_open(path, options, flags, &db, &err), "open", &err);
    check_call(esker_options_free(options), "options", NULL);
}

static void close_database(void)
{
    esker_error err = {.struct_size = sizeof err};
    check_call(esker_close(db, 0, &err), "close", &err);
}

static void write_unlogged(uint32_t writer)
{
    char key[32];
    esker_write_opts options = {.struct_size = sizeof options, .durability = ESKER_DURABILITY_UNLOGGED};
    uint64_t n = load(&shared->unlogged_tried[writer]) + 1;
    store(&shared->unlogged_tried[writer], n);
    check_call(esker_put(db, &options, key, slot_key(key, writer, n), &n, sizeof n), "put unlogged", NULL);
    store(&shared->unlogged_returned[writer], n);
}

static void write_logged(uint32_t writer, esker_batch *batch, uint32_t durability, int claim)
{
    char key[64], value[VALUE_MAX];
    write_op ops[OPS_MAX];
    esker_write_opts options = {.struct_size = sizeof options, .durability = durability};
    uint64_t n = load(&shared->returned[writer]) + 1, seq = 0;
    uint32_t ops_count = write_ops(writer, n, ops);
    store(&shared->tried[writer], n);
    if (ops_count == 0 && n % 2) {
        check_call(esker_put(db, &options, key, counter_key(key, writer), &n, sizeof n), "put", NULL);
    } else {
        check_call(esker_batch_clear(batch), "batch", NULL);
        for (uint32_t i = 0; i < ops_count; i++) {
            size_t klen = make_key(key, writer, ops[i].key), vlen = make_value(value, writer, ops[i].key, n);
            check_call(ops[i].is_delete ? esker_batch_delete(batch, NULL, key, klen)
                                        : esker_batch_put(batch, NULL, key, klen, value, vlen),
                       "batch", NULL);
        }
        check_call(esker_batch_put(batch, NULL, key, counter_key(key, writer), &n, sizeof n), "batch", NULL);
        check_call(esker_write(db, &options, batch, &seq), "write", NULL);
    }
    store(&shared->seq[writer][n], seq);
    store(&shared->returned[writer], n);
    if (durability >= ESKER_DURABILITY_GROUP || claim) {
        raise_to(&shared->promised.seq, seq);
        raise_to(&shared->promised.logged[writer], n);
    }
}

static void *write_on(void *argument)
{
    uint32_t writer = *(uint32_t *)argument;
    uint64_t random = random_for(writer), rarity = random_for(WRITERS) % 3;
    int claim = getenv("ESKER_CLAIM_SYNC") != NULL;
    esker_batch *batch;
    check_call(esker_batch_new(&batch), "batch", NULL);
    while (!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST) && load(&shared->returned[writer]) < WRITES_MAX - 1) {
        uint64_t pick = next_random(&random);
        uint32_t durability = (pick >> 8) % (8 << rarity * 3) ? ESKER_DURABILITY_BUFFERED
                              : pick & 1                      ? ESKER_DURABILITY_GROUP
                                                              : ESKER_DURABILITY_SYNC;
        if (pick >> 32 & 7)
            write_logged(writer, batch, durability, claim);
        else
            write_unlogged(writer);
    }
    esker_batch_free(batch);
    return NULL;
}

typedef struct counters {
    uint64_t logged[WRITERS], unlogged[WRITERS];
} counters;

static counters returned_by_now(void)
{
    counters now;
    for (uint32_t i = 0; i < WRITERS; i++) {
        now.logged[i] = load(&shared->returned[i]);
        now.unlogged[i] = load(&shared->unlogged_returned[i]);
    }
    return now;
}

static void promise(const counters *covered, int unlogged_too)
{
    for (uint32_t i = 0; i < WRITERS; i++) {
        raise_to(&shared->promised.logged[i], covered->logged[i]);
        if (unlogged_too)
            raise_to(&shared->promised.unlogged[i], covered->unlogged[i]);
    }
}

static void copy_path(char *out, uint64_t number)
{
    snprintf(out, PATH_SIZE, "%s/copy-%llu", mounted, (unsigned long long)number);
}

/* Makes a checkpoint in place of the one before it, whose promise ends first. */
static void make_copy(void)
{
    char path[PATH_SIZE];
    esker_error err = {.struct_size = sizeof err};
    uint64_t old = load(&shared->promised.copy);
    store(&shared->promised.copy, 0);
    if (old != 0) {
        copy_path(path, old);
        check_call(esker_destroy(path, NULL, &err), "destroy", &err);
    }
    count(&shared->copies);
    copy_path(path, load(&shared->copies));
    counters covered = returned_by_now();
    check_call(esker_checkpoint(db, path, NULL, &err), "checkpoint", &err);
    for (uint32_t i = 0; i < WRITERS; i++)
        store(&shared->promised.copied[i], covered.logged[i]);
    store(&shared->promised.copy, load(&shared->copies));
}

static void do_chore(uint64_t *random)
{
    esker_error err = {.struct_size = sizeof err};
    counters covered = returned_by_now();
    uint64_t pick = next_random(random) % 16, seq;
    if (pick < 5) {
        check_call(esker_sync(db, &err), "sync", &err);
        promise(&covered, 0);
    } else if (pick < 7) {
        check_call(esker_flush(db, &err), "flush", &err);
        promise(&covered, 1);
    } else if (pick < 8) {
        check_call(esker_compact(db, NULL, NULL, 0, NULL, &err), "compact", &err);
    } else if (pick < 9) {
        make_copy();
    } else {
        check_call(esker_durable_seq(db, &seq), "durable_seq", NULL);
        raise_to(&shared->promised.seq, seq);
    }
}

static counters look(uint64_t *rows);

static void *do_chores(void *argument)
{
    uint64_t random = random_for(WRITERS + 1);
    (void)argument;
    while (!__atomic_load_n(&stopping, __ATOMIC_SEQ_CST)) {
        do_chore(&random);
        pause_up_to(&random, 8000);
    }
    return NULL;
}

static void life(void)
{
    static uint32_t number[WRITERS];
    pthread_t threads[WRITERS + 1];
    uint64_t random = random_for(WRITERS + 2), rows;
    counters before = returned_by_now();
    open_database(directory, ESKER_OPEN_CREATE, &random);
    counters found = look(&rows);
    for (uint32_t i = 0; i < WRITERS; i++) {
        if (found.logged[i] < before.logged[i] || found.logged[i] > load(&shared->tried[i]))
            fail("killed, writer %u had %llu writes returned and %llu tried, found are %llu", (unsigned)i,
                 (unsigned long long)before.logged[i], (unsigned long long)shared->tried[i],
                 (unsigned long long)found.logged[i]);
        store(&shared->returned[i], found.logged[i]);
    }
    store(&shared->promised.created, 1);
    /* A kill took UNLOGGED writes away: with a new one in each slot, what is promised from now on is of this life. */
    for (uint32_t i = 0; i < shared->writers * SLOTS; i++)
        write_unlogged(i / SLOTS);
    for (uint32_t i = 0; i < shared->writers; i++) {
        number[i] = i;
        if (pthread_create(&threads[i], NULL, write_on, &number[i]) != 0)
            fail("pthread_create");
    }
    if (pthread_create(&threads[shared->writers], NULL, do_chores, NULL) != 0)
        fail("pthread_create");
    while (!load(&shared->stop))
        pause_up_to(&random, 2000);
    __atomic_store_n(&stopping, 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i <= shared->writers; i++)
        pthread_join(threads[i], NULL);
    counters covered = returned_by_now();
    close_database();
    promise(&covered, 1);
    _exit(0);
}

/* Makes the kernel write pages back at moments of its own, here and there and out of order; now and then everything. */
static void write_back(void)
{
    uint64_t random = random_for(WRITERS + 3);
    for (;;) {
        pause_up_to(&random, 10000);
        DIR *dir = opendir(directory);
        for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
            int file = next_random(&random) % 4 ? -1 : openat(dirfd(dir), entry->d_name, O_RDONLY);
            if (file < 0)
                continue;
            if (next_random(&random) % 64 == 0)
                syncfs(file);
            sync_file_range(file, (off_t)(next_random(&random) % 64) * 4096, (off_t)(next_random(&random) % 64 + 1) * 4096,
                            SYNC_FILE_RANGE_WRITE);
            close(file);
        }
        if (dir)
            closedir(dir);
    }
}

/* ------------------------------------------------------------ run */

static pid_t start(void (*work)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        work(); /* does not return */
    }
    return pid;
}

static int finish(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static void state_file(char *out, const char *name, uint64_t number)
{
    if (number == 0)
        snprintf(out, PATH_SIZE, "%s/%s", state_path, name);
    else
        snprintf(out, PATH_SIZE, "%s/%s-%llu", state_path, name, (unsigned long long)number);
}

/* The file system below the image first brings the pages of the image that it still has in memory to its disk, then
 * shares all blocks, both under the lock that the loop device's writes take: the clone holds every request that the
 * loop device had completed, and of one under way nothing or all that was done. */
static void make_clone(const char *image, uint64_t number)
{
    char path[PATH_SIZE];
    cut made;
    memset(&made, 0, sizeof made);
    made.promised.copy = load(&shared->promised.copy);
    for (size_t i = 0; i < sizeof made.promised / sizeof(uint64_t); i++)
        if (i != offsetof(promises, copy) / sizeof(uint64_t))
            ((uint64_t *)&made.promised)[i] = load((const uint64_t *)&shared->promised + i);

    int from = open(image, O_RDONLY);
    state_file(path, "clone", number);
    int to = open(path, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (from < 0 || to < 0 || ioctl(to, FICLONE, from) != 0)
        fail("clone: %s", strerror(errno));
    close(from);
    close(to);

    made.copy_after = load(&shared->promised.copy);
    for (uint32_t i = 0; i < WRITERS; i++) {
        made.tried[i] = load(&shared->tried[i]);
        made.unlogged_tried[i] = load(&shared->unlogged_tried[i]);
    }
    state_file(path, "cut", number);
    FILE *file = fopen(path, "w");
    if (file == NULL || fwrite(&made, sizeof made, 1, file) != 1 || fclose(file) != 0)
        fail("%s: %s", path, strerror(errno));
}

static void map_story(int create)
{
    char path[PATH_SIZE];
    state_file(path, "story", 0);
    int file = open(path, create ? O_RDWR | O_CREAT | O_EXCL : O_RDONLY, 0600);
    if (file < 0 || (create && ftruncate(file, sizeof *shared) != 0))
        fail("%s: %s", path, strerror(errno));
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, create ? MAP_SHARED : MAP_PRIVATE, file, 0);
    if (shared == MAP_FAILED)
        fail("mmap: %s", strerror(errno));
    close(file);
}

static void run(const char *image, uint64_t clones, uint64_t seed)
{
    uint64_t made = 0, random;
    map_story(1);
    shared->seed = seed;
    shared->writers = 1 + mix(seed) % WRITERS;
    pid_t writing_back = mix(seed) % 3 ? start(write_back) : 0;
    while (made < clones) {
        life_number++;
        random = random_for(WRITERS + 4);
        store(&shared->stop, 0);
        pid_t pid = start(life);
        for (uint64_t more = 1 + next_random(&random) % 5; more > 0 && made < clones; more--) {
            pause_up_to(&random, 80000);
            make_clone(image, ++made);
        }
        int killed = next_random(&random) % 2;
        pause_up_to(&random, 30000);
        if (killed) {
            kill(pid, SIGKILL);
            count(&shared->kills);
        } else {
            store(&shared->stop, 1);
            pause_up_to(&random, 20000);
            if (next_random(&random) % 2 && made < clones)
                make_clone(image, ++made);
        }
        int status = finish(pid);
        if (killed ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
            fail("the life ended with status %x", (unsigned)status);
    }
    if (writing_back) {
        kill(writing_back, SIGKILL);
        finish(writing_back);
    }
}

/* ------------------------------------------------------------ check */

static uint64_t read_counter(const char *key, size_t klen)
{
    uint64_t n;
    size_t size;
    esker_status status = esker_get(db, NULL, key, klen, &n, sizeof n, &size);
    if (status == ESKER_NOT_FOUND)
        return 0;
    check_call(status, "get of a counter", NULL);
    if (size != sizeof n || n == 0 || n >= WRITES_MAX)
        fail("the counter %.*s has %zu bytes", (int)klen, key, size);
    return n;
}

/* Rule 3: the rows of the iterator are those of `last`, in order, with their values. Returns their number. */
static uint64_t check_iterator(uint64_t last[WRITERS][KEYS])
{
    char before[64] = "", key[64], value[VALUE_MAX];
    uint64_t rows = 0;
    esker_iter *iter;
    const esker_row *row;
    esker_status status;
    check_call(esker_iter_new(db, NULL, &iter), "iterator", NULL);
    check_call(esker_iter_row(iter, &row), "row", NULL);
    while ((status = esker_iter_next(iter)) == ESKER_OK) {
        unsigned writer, number;
        if (row->key_len >= sizeof key)
            fail("the iterator shows a key of %zu bytes", row->key_len);
        memcpy(key, row->key, row->key_len);
        key[row->key_len] = 0;
        if (strcmp(before, key) >= 0)
            fail("the iterator shows %s after %s", key, before);
        strcpy(before, key);
        if (key[0] != 'k')
            continue;
        const char *end = strrchr(key, '.');
        if (end == NULL || sscanf(end - 1, "%1u.%u", &writer, &number) != 2 || writer >= WRITERS || number >= KEYS ||
            last[writer][number] == 0)
            fail("the iterator shows %s, which is not there", key);
        if (make_value(value, writer, number, last[writer][number]) != row->value_len ||
            memcmp(value, row->value, row->value_len) != 0)
            fail("the iterator shows another value of %s", key);
        rows++;
    }
    if (status != ESKER_DONE)
        check_call(status, "next", NULL);
    check_call(esker_iter_free(iter), "iterator", NULL);
    return rows;
}

/* Rule 3, by get and iterator. Returns the counters. */
static counters look(uint64_t *rows)
{
    static uint64_t last[WRITERS][KEYS];
    char key[64], value[VALUE_MAX], expected[VALUE_MAX];
    counters found;
    write_op ops[OPS_MAX];
    memset(&found, 0, sizeof found);
    memset(last, 0, sizeof last);
    *rows = 0;
    for (uint32_t writer = 0; writer < WRITERS; writer++) {
        found.logged[writer] = read_counter(key, counter_key(key, writer));
        for (uint64_t n = 1; n <= found.logged[writer]; n++)
            for (uint32_t i = 0, all = write_ops(writer, n, ops); i < all; i++)
                last[writer][ops[i].key] = ops[i].is_delete ? 0 : n;
        for (uint32_t k = 0; k < KEYS; k++) {
            uint64_t n = last[writer][k];
            size_t size;
            esker_status status = esker_get(db, NULL, key, make_key(key, writer, k), value, sizeof value, &size);
            if (status != ESKER_NOT_FOUND)
                check_call(status, "get", NULL);
            if ((status == ESKER_OK) != (n != 0) ||
                (n != 0 && (make_value(expected, writer, k, n) != size || memcmp(expected, value, size) != 0)))
                fail("key %s with counter %llu: %s, it was last put by write %llu", key,
                     (unsigned long long)found.logged[writer], status ? "absent" : "another value",
                     (unsigned long long)n);
            *rows += n != 0;
        }
    }
    if (check_iterator(last) != *rows)
        fail("the iterator does not show all of %llu keys", (unsigned long long)*rows);
    return found;
}

/* Rules 2 and 4. */
static void check_counters(const char *what, const counters *found, const cut *at, const uint64_t *promised,
                           uint64_t promised_seq)
{
    uint64_t highest_there = 0, lowest_missing = UINT64_MAX;
    for (uint32_t w = 0; w < WRITERS; w++) {
        if (found->logged[w] < promised[w] || found->logged[w] > at->tried[w])
            fail("%s: writer %u: %llu writes are there, promised %llu, tried %llu", what, (unsigned)w,
                 (unsigned long long)found->logged[w], (unsigned long long)promised[w], (unsigned long long)at->tried[w]);
        for (uint64_t n = 1; n < WRITES_MAX; n++) {
            uint64_t seq = shared->seq[w][n];
            if (seq != 0 && n <= found->logged[w] && seq > highest_there)
                highest_there = seq;
            if (seq != 0 && n > found->logged[w] && seq < lowest_missing)
                lowest_missing = seq;
        }
    }
    if (highest_there >= lowest_missing)
        fail("%s: the write of sequence %llu is missing, that of %llu is there", what, (unsigned long long)lowest_missing,
             (unsigned long long)highest_there);
    if (lowest_missing <= promised_seq)
        fail("%s: the write of sequence %llu is missing, promised were those up to %llu", what,
             (unsigned long long)lowest_missing, (unsigned long long)promised_seq);
}

/* Rule 5. */
static void check_unlogged(const cut *at)
{
    char key[32];
    for (uint32_t writer = 0; writer < WRITERS; writer++)
        for (uint64_t slot = 0; slot < SLOTS; slot++) {
            uint64_t promised = at->promised.unlogged[writer], n = read_counter(key, slot_key(key, writer, slot));
            /* The last promised write to this slot. */
            promised = promised < slot ? 0 : promised - (promised - slot) % SLOTS;
            if (n > at->unlogged_tried[writer] || n < promised || (n != 0 && n % SLOTS != slot))
                fail("%s: write %llu is there, promised %llu, tried %llu", key, (unsigned long long)n,
                     (unsigned long long)promised, (unsigned long long)at->unlogged_tried[writer]);
        }
}

static void verify(void)
{
    esker_error err = {.struct_size = sizeof err};
    check_call(esker_verify(db, ESKER_VERIFY_FULL, NULL, &err), "verify", &err);
}

static void check_copy(const cut *at, uint64_t *random)
{
    char path[PATH_SIZE];
    uint64_t rows;
    copy_path(path, at->promised.copy);
    open_database(path, 0, random);
    counters found = look(&rows);
    check_counters("checkpoint", &found, at, at->promised.copied, 0);
    verify();
    close_database();
}

static cut read_cut(uint64_t number)
{
    char path[PATH_SIZE];
    cut at;
    state_file(path, "cut", number);
    FILE *file = fopen(path, "r");
    if (file == NULL || fread(&at, sizeof at, 1, file) != 1)
        fail("%s: %s", path, strerror(errno));
    fclose(file);
    return at;
}

static void check(uint64_t number)
{
    uint64_t rows, there = 0, tried = 0;
    alarm(SECONDS_MAX);
    map_story(0);
    life_number = 1000000 + number;
    uint64_t random = random_for(0);
    cut at = read_cut(number);
    esker_error err = {.struct_size = sizeof err};
    if (at.promised.created)
        check_call(esker_verify_path(directory, NULL, ESKER_VERIFY_FULL, NULL, &err), "verify before open", &err);
    open_database(directory, at.promised.created ? 0 : ESKER_OPEN_CREATE, &random);
    counters found = look(&rows);
    check_counters("database", &found, &at, at.promised.logged, at.promised.seq);
    check_unlogged(&at);
    verify();

    esker_write_opts sync = {.struct_size = sizeof sync, .durability = ESKER_DURABILITY_SYNC};
    check_call(esker_put(db, &sync, "after", 5, &number, sizeof number), "put after the cut", NULL);
    close_database();
    open_database(directory, 0, &random);
    counters again = look(&rows);
    if (memcmp(&again, &found, sizeof found) != 0 || read_counter("after", 5) != number)
        fail("a second open shows other writes");
    verify();
    close_database();

    int copy = at.promised.copy != 0 && at.promised.copy == at.copy_after;
    if (copy)
        check_copy(&at, &random);
    for (uint32_t i = 0; i < WRITERS; i++) {
        there += found.logged[i];
        tried += at.tried[i];
    }
    printf("%llu %llu %d\n", (unsigned long long)there, (unsigned long long)(tried - there), copy);
}

int main(int argc, char **argv)
{
    int running = argc == 7 && strcmp(argv[1], "run") == 0;
    if (!running && !(argc == 5 && strcmp(argv[1], "check") == 0)) {
        fprintf(stderr, "usage: power_cut run DIRECTORY IMAGE STATE CLONES SEED | check DIRECTORY STATE NUMBER\n");
        return 2;
    }
    mounted = argv[2];
    state_path = argv[running ? 4 : 3];
    if (snprintf(directory, sizeof directory, "%s/db", mounted) >= (int)sizeof directory)
        fail("%s is too long", mounted);
    if (running) {
        run(argv[3], strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
        printf("%llu\n", (unsigned long long)shared->kills);
    } else {
        check(strtoull(argv[4], NULL, 10));
    }
    return 0;
}
