/* torture: kills a writing process again and again and looks for what it had acknowledged.
 *
 *   torture DIRECTORY ROUNDS SEED
 *
 * Each round has two lives, each with options of its own. A writer (1 to 4 threads, each with keys of its own) opens
 * the database and puts, deletes, overwrites and writes batches with every durability, until the parent kills it after
 * 5 to 200 ms; so kills also hit recovery, flushes, compactions and checkpoints. A checker then opens the database and
 * looks at every key. The two share memory with the parent: before a write its keys and versions are noted as in
 * flight, after it they are noted as acknowledged. All that is random comes from SEED and the number of the round.
 *
 * What must hold, else the exit status is 1:
 *   1. every key has its last acknowledged version, or the one that was in flight; a key that is written UNLOGGED has
 *      one at least as new as when it was last flushed;
 *   2. of a batch in flight either all keys have the new version or none;
 *   3. an iterator shows exactly the keys that get finds, in order, with the same values;
 *   4. what one check has seen, the next one sees, whether or not the database was closed in between;
 *   5. every open succeeds; the directory stays below a bound, and below a small one after a full compaction;
 *   6. a checkpoint is sound and holds every key as it was when it was asked for, or newer; one that was killed does
 *      not open, or is as good.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <esker.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS = 4, /* most of a life; thread t writes the keys k with k % THREADS == t */
    LOGGED = 1800,
    UNLOGGED = 200, /* these come last, and are only ever written one by one and without the log */
    KEYS = LOGGED + UNLOGGED,
    GROUP_MAX = 16,
    VALUE_MAX = 8192,
    CHECK_SECONDS_MAX = 120,
    DIRECTORY_MIB_MAX = 24, /* the live data is about one MiB */
    COMPACTED_MIB_MAX = 4,
    OPTIONS_MAX = 1024
};

/* The state of a key is a version: 0 is absent, each write has the next one, and the version alone says
 * whether that write was a delete and which value it put. */
typedef struct shared {
    uint64_t acknowledged[KEYS];
    uint64_t newest[KEYS]; /* the last version ever tried; versions are not used twice */
    struct {
        uint32_t count; /* 0: nothing in flight */
        uint32_t key[GROUP_MAX];
        uint64_t version[GROUP_MAX];
    } flight[THREADS];
    uint64_t acknowledgements, opens, lost, check_done;
    /* Of the checkpoint that a writer took last: what it must hold at least, and whether the call has returned. */
    uint64_t copied[KEYS];
    uint64_t copy_begun, copy_done, copies;
    uint64_t compacted; /* bytes of the directory after a full compaction and a close */
    char options[OPTIONS_MAX]; /* of the life that is on or was last */
} shared;

static shared *memory;
static const char *directory;
static uint64_t seed;
static uint64_t round_number;
static esker_db *db;

static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t next_random(uint64_t *state)
{
    return mix(++*state);
}

static uint64_t random_state(uint64_t use)
{
    return mix(mix(seed) ^ mix(round_number * 16 + use));
}

/* ------------------------------------------------------------ keys and values */

static size_t make_key(char *out, uint32_t key)
{
    /* Mixed, so that neighbours in number are not neighbours in order; of uneven length. */
    return (size_t)sprintf(out, "%08x-%.*s%u", (unsigned)mix(key), (int)(key % 24), "long-common-prefix-here-", key);
}

static uint64_t fingerprint(uint32_t key, uint64_t version)
{
    return mix(mix(key) ^ version);
}

static int is_delete(uint32_t key, uint64_t version)
{
    return version == 0 || fingerprint(key, version) % 8 == 0;
}

static size_t make_value(char *out, uint32_t key, uint64_t version)
{
    uint64_t word = fingerprint(key, version);
    size_t length = (word >> 8) % 64 == 0 ? (word >> 16) % VALUE_MAX : (word >> 16) % 400;
    if (length < 8)
        return 0; /* an empty value is a value */
    memcpy(out, &version, 8);
    for (size_t i = 8; i < length; i++)
        out[i] = (char)(word >> (i % 8 * 8) ^ i);
    return length;
}

static int has_version(uint32_t key, uint64_t version, int present, const void *value, size_t size)
{
    char expected[VALUE_MAX];
    if (is_delete(key, version) || !present)
        return is_delete(key, version) && !present;
    return make_value(expected, key, version) == size && memcmp(expected, value, size) == 0;
}

/* The newest version from `least` to `most` that a key may have, given what was found; 0 may be one, -1 is none. */
static int64_t version_between(uint32_t key, uint64_t least, uint64_t most, int present, const void *value, size_t size)
{
    for (uint64_t version = most + 1; version-- > least;)
        if (has_version(key, version, present, value, size))
            return (int64_t)version;
    return -1;
}

/* -------------------------------------------------------------------- children */

static void fail(const char *what, const esker_error *err)
{
    fprintf(stderr, "torture: round %d: %s: %s; %s\n", (int)round_number, what, err ? err->message : "",
            memory->options);
    _exit(2);
}

static void check_call(esker_status status, const char *what)
{
    if (status < 0) {
        esker_error err = {0};
        err.struct_size = sizeof err;
        if (esker_last_error(db, &err) < 0)
            snprintf(err.message, sizeof err.message, "%s", esker_status_name(status));
        fail(what, &err);
    }
}

/* What may differ from life to life: sizes so small that every life flushes and compacts, and each way to do things. */
static const struct {
    const char *name;
    const char *values[6];
} choices[] = {
    {"write_buffer", {"16KiB", "64KiB", "128KiB", "256KiB", "1MiB"}},
    {"write_buffer_entries", {"0", "0", "50", "500"}},
    {"immutable_max", {"1", "3", "16"}},
    {"memtable", {"wide", "skiplist"}},
    {"block_size", {"256", "1KiB", "4KiB", "64KiB"}},
    {"block_entries", {"0", "0", "1", "16"}},
    {"table_size", {"16KiB", "64KiB", "256KiB", "2MiB"}},
    {"compression", {"none", "lz4"}},
    {"filter", {"none", "blocked", "classic"}},
    {"filter_bits", {"14,10", "10", "0", "3", "0,20"}},
    {"cache_bytes", {"0", "64KiB", "256KiB", "8MiB"}},
    {"open_tables_max", {"1", "10", "1000"}},
    {"l0_trigger", {"1", "2", "4", "8"}},
    {"l0_stop", {"8", "12", "64"}},
    {"level_bytes", {"64KiB", "256KiB", "1MiB"}},
    {"level_ratio", {"2", "4", "10"}},
    {"level_dynamic", {"0", "1"}},
    {"compaction_pick", {"min_overlap", "oldest", "round_robin", "random"}},
    {"compaction_auto", {"1", "1", "1", "0"}},
    {"subcompactions", {"0", "1", "2", "4"}},
    {"threads", {"0", "1", "2", "4"}},
    {"durability", {"2", "2", "3", "4"}},
    {"group_sync_us", {"0", "500", "5000"}},
    {"sync_interval_us", {"0", "1000", "50000"}},
    {"deterministic", {"0", "0", "0", "1"}},
};

static void draw_options(esker_options *options, uint64_t *random)
{
    esker_error err = {0};
    size_t used = 0;
    err.struct_size = sizeof err;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        uint32_t id, count = 0;
        while (count < 6 && choices[i].values[count] != NULL)
            count++;
        const char *value = choices[i].values[next_random(random) % count];
        used += (size_t)snprintf(memory->options + used, sizeof memory->options - used, "%s=%s; ", choices[i].name, value);
        if (esker_option_find(choices[i].name, &id) != ESKER_OK ||
            esker_options_set_text(options, id, value, strlen(value), &err) < 0)
            fail(choices[i].name, &err);
    }
}

static void open_database(uint64_t *random)
{
    esker_error err = {0};
    err.struct_size = sizeof err;
    esker_options *options;
    if (esker_options_new(&options) < 0)
        fail("options", NULL);
    draw_options(options, random);
    if (esker_open(directory, options, ESKER_OPEN_CREATE, &db, &err) < 0)
        fail("open", &err);
    if (esker_options_free(options) < 0)
        fail("options", NULL);
    __atomic_add_fetch(&memory->opens, 1, __ATOMIC_SEQ_CST);
}

static uint32_t logged_durability(uint64_t *random)
{
    switch (next_random(random) % 64) {
    case 0: return ESKER_DURABILITY_SYNC;
    case 1: return ESKER_DURABILITY_GROUP;
    case 2: return ESKER_DURABILITY_DEFAULT;
    default: return ESKER_DURABILITY_BUFFERED;
    }
}

/* Writes one group of keys: a single put or delete, or a batch. */
static void write_group(uint32_t thread, esker_batch *batch, uint64_t *random)
{
    uint32_t count = next_random(random) % 4 ? 1 : 2 + (uint32_t)(next_random(random) % (GROUP_MAX - 1));
    uint32_t first = (uint32_t)(next_random(random) % (LOGGED / THREADS));
    char key[64], value[VALUE_MAX];
    esker_write_opts options = {0};
    options.struct_size = sizeof options;
    options.durability = logged_durability(random);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = (first + i * 37) % (LOGGED / THREADS) * THREADS + thread;
        memory->flight[thread].key[i] = k;
        memory->flight[thread].version[i] = ++memory->newest[k];
    }
    __atomic_store_n(&memory->flight[thread].count, count, __ATOMIC_SEQ_CST);

    if (count > 1)
        check_call(esker_batch_clear(batch), "batch clear");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = memory->flight[thread].key[i];
        uint64_t version = memory->flight[thread].version[i];
        size_t klen = make_key(key, k), vlen = make_value(value, k, version);
        if (count > 1 && is_delete(k, version))
            check_call(esker_batch_delete(batch, NULL, key, klen), "batch delete");
        else if (count > 1)
            check_call(esker_batch_put(batch, NULL, key, klen, value, vlen), "batch put");
        else if (is_delete(k, version))
            check_call(esker_delete(db, &options, key, klen), "delete");
        else
            check_call(esker_put(db, &options, key, klen, value, vlen), "put");
    }
    if (count > 1)
        check_call(esker_write(db, &options, batch, NULL), "write");

    for (uint32_t i = 0; i < count; i++)
        __atomic_store_n(&memory->acknowledged[memory->flight[thread].key[i]], memory->flight[thread].version[i],
                         __ATOMIC_SEQ_CST);
    __atomic_store_n(&memory->flight[thread].count, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&memory->acknowledgements, count, __ATOMIC_SEQ_CST);
}

/* A write without the log, or a flush, which keeps all of them so far. */
static void write_unlogged(uint32_t thread, uint64_t *random)
{
    /* In this life; newer versions of an earlier one may be lost. Each thread has keys of its own. */
    static uint64_t written[KEYS];
    char key[64], value[VALUE_MAX];
    esker_write_opts options = {0};
    esker_error err = {0};
    options.struct_size = sizeof options;
    options.durability = ESKER_DURABILITY_UNLOGGED;
    err.struct_size = sizeof err;
    if (next_random(random) % 32 == 0) {
        if (esker_flush(db, &err) < 0)
            fail("flush", &err);
        for (uint32_t k = LOGGED + thread; k < KEYS; k += THREADS)
            if (written[k] != 0)
                memory->acknowledged[k] = written[k];
        return;
    }
    uint32_t k = LOGGED + (uint32_t)(next_random(random) % (UNLOGGED / THREADS)) * THREADS + thread;
    uint64_t version = ++memory->newest[k];
    size_t klen = make_key(key, k);
    if (is_delete(k, version))
        check_call(esker_delete(db, &options, key, klen), "delete");
    else
        check_call(esker_put(db, &options, key, klen, value, make_value(value, k, version)), "put");
    written[k] = version;
}

static void path_of_copy(char *path, const char *whose)
{
    snprintf(path, PATH_MAX, "%s.%s", directory, whose);
}

/* A checkpoint while others write. The next checker looks at it, and takes it away. */
static void take_copy(void)
{
    char path[PATH_MAX];
    esker_error err = {0};
    err.struct_size = sizeof err;
    path_of_copy(path, "writer");
    for (uint32_t k = 0; k < KEYS; k++)
        memory->copied[k] = __atomic_load_n(&memory->acknowledged[k], __ATOMIC_SEQ_CST);
    __atomic_store_n(&memory->copy_begun, 1, __ATOMIC_SEQ_CST);
    if (esker_checkpoint(db, path, NULL, &err) < 0)
        fail("checkpoint", &err);
    __atomic_store_n(&memory->copy_done, 1, __ATOMIC_SEQ_CST);
}

static void *write_for_ever(void *argument)
{
    uint32_t thread = *(uint32_t *)argument;
    uint64_t random = random_state(thread);
    uint64_t copy_at = thread == 0 && next_random(&random) % 4 == 0 ? 1 + next_random(&random) % 2000 : 0;
    esker_batch *batch;
    check_call(esker_batch_new(&batch), "batch");
    for (uint64_t i = 1;; i++) {
        if (i == copy_at)
            take_copy();
        if (next_random(&random) % 16 == 0)
            write_unlogged(thread, &random);
        else
            write_group(thread, batch, &random);
    }
    return NULL;
}

static void writer(void)
{
    static uint32_t number[THREADS];
    pthread_t threads[THREADS];
    uint64_t random = random_state(THREADS);
    uint32_t writers = 1 + (uint32_t)(next_random(&random) % THREADS);
    open_database(&random);
    for (uint32_t i = 0; i < writers; i++) {
        number[i] = i;
        if (pthread_create(&threads[i], NULL, write_for_ever, &number[i]) != 0)
            fail("pthread_create", NULL);
    }
    for (;;)
        pause();
}

static void lose(uint32_t key, const char *what)
{
    char name[64];
    make_key(name, key);
    fprintf(stderr, "torture: round %d: key %s: %s; acknowledged version %llu, newest tried %llu; %s\n",
            (int)round_number, name, what, (unsigned long long)memory->acknowledged[key],
            (unsigned long long)memory->newest[key], memory->options);
    memory->lost++;
}

/* Rules 1 and 2 for the group in flight of one thread; its keys are then taken as they were found. */
static void check_flight(uint32_t thread, uint64_t *expected)
{
    uint32_t count = memory->flight[thread].count, found_new = 0, found_old = 0;
    char key[64];
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = memory->flight[thread].key[i];
        uint64_t version = memory->flight[thread].version[i];
        esker_pin pin;
        esker_status status = esker_get_pin(db, NULL, key, make_key(key, k), &pin);
        check_call(status, "get");
        int is_new = has_version(k, version, status == ESKER_OK, pin.data, pin.size);
        int is_old = has_version(k, expected[k], status == ESKER_OK, pin.data, pin.size);
        found_new += is_new && !is_old; /* a delete of an absent key looks the same done or not done */
        found_old += is_old && !is_new;
        if (is_new)
            expected[k] = version;
        check_call(esker_unpin(&pin), "unpin");
    }
    if (found_new > 0 && found_old > 0)
        lose(memory->flight[thread].key[0], "a batch was applied in part, this is its first key");
    memory->flight[thread].count = 0;
}

static int compare_keys(const void *a, const void *b)
{
    char left[64], right[64];
    make_key(left, *(const uint32_t *)a);
    make_key(right, *(const uint32_t *)b);
    return strcmp(left, right);
}

/* Rule 3. */
static void check_iterator(const uint64_t *expected)
{
    static uint32_t order[KEYS];
    esker_iter *iter;
    const esker_row *row;
    esker_status status;
    uint32_t place = 0;
    char key[64];
    for (uint32_t k = 0; k < KEYS; k++)
        order[k] = k;
    qsort(order, KEYS, sizeof *order, compare_keys);
    check_call(esker_iter_new(db, NULL, &iter), "iterator");
    check_call(esker_iter_row(iter, &row), "row");
    while ((status = esker_iter_next(iter)) == ESKER_OK) {
        while (place < KEYS && is_delete(order[place], expected[order[place]]))
            place++;
        if (place == KEYS)
            fail("the iterator shows a key too many", NULL);
        size_t klen = make_key(key, order[place]);
        if (row->key_len != klen || memcmp(row->key, key, klen) != 0 ||
            !has_version(order[place], expected[order[place]], 1, row->value, row->value_len)) {
            lose(order[place], "the iterator shows something else here");
            break;
        }
        place++;
    }
    check_call(status, "next");
    while (status == ESKER_DONE && place < KEYS)
        if (!is_delete(order[place], expected[order[place]]))
            lose(order[place++], "the iterator does not show it");
        else
            place++;
    check_call(esker_iter_free(iter), "iterator");
}

/* Rule 1 for every key; `expected` gets what the keys without a log turn out to have. */
static void check_keys(uint64_t *expected)
{
    char key[64];
    for (uint32_t k = 0; k < KEYS; k++) {
        esker_pin pin;
        esker_status status = esker_get_pin(db, NULL, key, make_key(key, k), &pin);
        check_call(status, "get");
        uint64_t most = k < LOGGED ? expected[k] : memory->newest[k];
        int64_t version = version_between(k, expected[k], most, status == ESKER_OK, pin.data, pin.size);
        if (version < 0)
            lose(k, status == ESKER_OK ? "found another version" : "not found");
        else
            expected[k] = (uint64_t)version;
        check_call(esker_unpin(&pin), "unpin");
    }
}

static uint64_t directory_bytes(void)
{
    uint64_t total = 0;
    DIR *dir = opendir(directory);
    for (struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        struct stat facts;
        if (fstatat(dirfd(dir), entry->d_name, &facts, 0) == 0 && S_ISREG(facts.st_mode))
            total += (uint64_t)facts.st_blocks * 512;
    }
    if (dir)
        closedir(dir);
    return total;
}

/* Rule 6. The copy is destroyed. */
static void check_copy(const char *whose, const uint64_t *least, int must_open)
{
    esker_db *copy;
    char path[PATH_MAX], key[64];
    esker_error err = {0};
    err.struct_size = sizeof err;
    path_of_copy(path, whose);
    esker_status status = esker_open(path, NULL, 0, &copy, &err);
    /* Killed halfway it is no database: it has a LOCK at most, or tables without a manifest. */
    if (status < 0 && (must_open || (status != ESKER_MISSING && status != ESKER_CORRUPT)))
        fail("open of a checkpoint", &err);
    if (status == ESKER_OK) {
        if (esker_verify(copy, ESKER_VERIFY_FULL, NULL, &err) < 0)
            fail("verification of a checkpoint", &err);
        for (uint32_t k = 0; k < KEYS; k++) {
            esker_pin pin;
            status = esker_get_pin(copy, NULL, key, make_key(key, k), &pin);
            if (status < 0)
                fail("get from a checkpoint", NULL);
            if (version_between(k, least[k], memory->newest[k], status == ESKER_OK, pin.data, pin.size) < 0)
                lose(k, "not in a checkpoint that was asked for later");
            check_call(esker_unpin(&pin), "unpin");
        }
        if (esker_close(copy, 0, &err) < 0)
            fail("close of a checkpoint", &err);
        memory->copies++;
    }
    /* Killed before its first file it left a LOCK at most, which is in no other checkpoint's way. */
    status = esker_destroy(path, NULL, &err);
    if (status < 0 && status != ESKER_MISSING)
        fail("destroy of a checkpoint", &err);
}

static void check_copies(const uint64_t *expected, uint64_t *random)
{
    char path[PATH_MAX];
    esker_error err = {0};
    err.struct_size = sizeof err;
    if (memory->copy_begun)
        check_copy("writer", memory->copied, memory->copy_done != 0);
    memory->copy_begun = memory->copy_done = 0;
    if (next_random(random) % 16 != 0)
        return;
    path_of_copy(path, "checker");
    if (esker_checkpoint(db, path, NULL, &err) < 0)
        fail("checkpoint", &err);
    check_copy("checker", expected, 1);
}

static void checker(void)
{
    static uint64_t expected[KEYS];
    uint64_t random = random_state(THREADS + 1);
    int compacted = 0;
    esker_error err = {0};
    err.struct_size = sizeof err;
    alarm(CHECK_SECONDS_MAX);
    open_database(&random);
    memcpy(expected, memory->acknowledged, sizeof expected);
    for (uint32_t thread = 0; thread < THREADS; thread++)
        check_flight(thread, expected);
    check_keys(expected);
    check_iterator(expected);
    memcpy(memory->acknowledged, expected, sizeof expected);
    check_copies(expected, &random);

    if (next_random(&random) % 8 == 0) {
        check_call(esker_compact(db, NULL, NULL, 0, NULL, &err), "compact");
        compacted = 1;
    } else if (next_random(&random) % 4 == 0)
        check_call(esker_flush(db, &err), "flush");
    memory->check_done = 1;
    if (next_random(&random) % 3 == 0)
        kill(getpid(), SIGKILL);
    if (esker_close(db, 0, &err) < 0)
        fail("close", &err);
    if (compacted)
        memory->compacted = directory_bytes();
    _exit(0);
}

/* ---------------------------------------------------------------------- parent */

static pid_t start(void (*life)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("torture: fork");
        exit(2);
    }
    if (pid == 0)
        life(); /* does not return */
    return pid;
}

static int finish(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

/* One writer killed, one check. Returns whether all went well. */
static int run_round(void)
{
    uint64_t random = random_state(THREADS + 2);
    uint64_t micros = 5000 + next_random(&random) % 195000;
    struct timespec pause_time = {0, (long)micros * 1000};
    pid_t pid = start(writer);
    nanosleep(&pause_time, NULL);
    kill(pid, SIGKILL);
    int status = finish(pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
        fprintf(stderr, "torture: round %d: the writer ended by itself, status %x\n", (int)round_number, status);
        return 0;
    }
    memory->check_done = 0;
    status = finish(start(checker));
    if (!memory->check_done || (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))) {
        fprintf(stderr, "torture: round %d: the checker failed, status %x\n", (int)round_number, status);
        return 0;
    }
    return memory->lost == 0;
}

int main(int argc, char **argv)
{
    uint64_t bytes_max = 0, compacted_max = 0;
    if (argc != 4) {
        fprintf(stderr, "usage: torture DIRECTORY ROUNDS SEED\n");
        return 2;
    }
    directory = argv[1];
    uint64_t rounds = strtoull(argv[2], NULL, 10);
    seed = strtoull(argv[3], NULL, 10);
    memory = mmap(NULL, sizeof *memory, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || rounds == 0) {
        fprintf(stderr, "torture: no shared memory, or no rounds\n");
        return 2;
    }
    printf("torture: seed %llu\n", (unsigned long long)seed);
    int good = 1;
    while (good && round_number < rounds) {
        round_number++;
        good = run_round();
        uint64_t bytes = directory_bytes();
        bytes_max = bytes > bytes_max ? bytes : bytes_max;
        compacted_max = memory->compacted > compacted_max ? memory->compacted : compacted_max;
        if (bytes > (uint64_t)DIRECTORY_MIB_MAX << 20 || memory->compacted > (uint64_t)COMPACTED_MIB_MAX << 20) {
            fprintf(stderr, "torture: round %d: the directory holds %llu bytes, compacted it held %llu; %s\n",
                    (int)round_number, (unsigned long long)bytes, (unsigned long long)memory->compacted, memory->options);
            good = 0;
        }
    }
    printf("rounds %llu, acknowledged %llu, lost %llu, opens %llu\n", (unsigned long long)round_number,
           (unsigned long long)memory->acknowledgements, (unsigned long long)memory->lost,
           (unsigned long long)memory->opens);
    printf("checkpoints checked %llu\n", (unsigned long long)memory->copies);
    printf("largest directory %llu KiB, %llu KiB after a full compaction\n", (unsigned long long)bytes_max >> 10,
           (unsigned long long)compacted_max >> 10);
    if (memory->acknowledgements == 0) {
        fprintf(stderr, "torture: nothing was ever acknowledged, so nothing was tested\n");
        good = 0;
    }
    return good ? 0 : 1;
}
