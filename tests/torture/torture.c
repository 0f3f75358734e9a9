/* torture: kills a writing process again and again and looks for what it had acknowledged.
 *
 *   torture DIRECTORY ROUNDS SEED
 *
 * Each round has two lives. A writer (several threads, each with keys of its own) opens the database and
 * puts, deletes, overwrites and writes batches, with SYNC now and then, until the parent kills it after 5 to
 * 200 ms; so kills also hit recovery, flushes and compactions. A checker then opens the database and looks
 * at every key. The two share memory with the parent: before a write its keys and versions are noted as in
 * flight, after it they are noted as acknowledged.
 *
 * What must hold, else the exit status is 1:
 *   1. every key has its last acknowledged version, or the one that was in flight;
 *   2. of a batch in flight either all keys have the new version or none;
 *   3. an iterator shows exactly the keys that get finds, in order, with the same values;
 *   4. what one check has seen, the next one sees, whether or not the database was closed in between;
 *   5. every open succeeds, and the directory does not grow without bound.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <esker.h>
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
    THREADS = 3,
    KEYS = 1800, /* thread t writes the keys k with k % THREADS == t */
    GROUP_MAX = 16,
    VALUE_MAX = 8192,
    CHECK_SECONDS_MAX = 120,
    DIRECTORY_MIB_MAX = 96 /* the live data is about one MiB */
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

/* -------------------------------------------------------------------- children */

static void fail(const char *what, const esker_error *err)
{
    fprintf(stderr, "torture: round %d: %s: %s\n", (int)round_number, what, err ? err->message : "");
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

/* Opens with sizes so small that every life flushes and compacts; other sizes each time. */
static void open_database(uint64_t *random)
{
    static const char *const blocks[] = {"256", "1KiB", "4KiB"};
    char text[256];
    esker_error err = {0};
    err.struct_size = sizeof err;
    esker_options *options;
    sprintf(text, "write_buffer=%dKiB; table_size=%dKiB; level_bytes=%dKiB; l0_trigger=%d; block_size=%s; cache_bytes=%dKiB",
            64 << next_random(random) % 5, 64 << next_random(random) % 4, 128 << next_random(random) % 3,
            2 + (int)(next_random(random) % 4), blocks[next_random(random) % 3], 256 << next_random(random) % 4);
    if (esker_options_new(&options) < 0 || esker_options_parse(options, text, strlen(text), &err) < 0)
        fail(text, &err);
    if (esker_open(directory, options, ESKER_OPEN_CREATE, &db, &err) < 0)
        fail("open", &err);
    if (esker_options_free(options) < 0)
        fail("options", NULL);
    __atomic_add_fetch(&memory->opens, 1, __ATOMIC_SEQ_CST);
}

/* Writes one group of keys: a single put or delete, or a batch. */
static void write_group(uint32_t thread, esker_batch *batch, uint64_t *random)
{
    uint32_t count = next_random(random) % 4 ? 1 : 2 + (uint32_t)(next_random(random) % (GROUP_MAX - 1));
    uint32_t first = (uint32_t)(next_random(random) % (KEYS / THREADS));
    char key[64], value[VALUE_MAX];
    esker_write_opts options = {0};
    options.struct_size = sizeof options;
    options.durability = next_random(random) % 64 ? ESKER_DURABILITY_BUFFERED : ESKER_DURABILITY_SYNC;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = (first + i * 37) % (KEYS / THREADS) * THREADS + thread;
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

static void *write_for_ever(void *argument)
{
    uint32_t thread = *(uint32_t *)argument;
    uint64_t random = random_state(thread);
    esker_batch *batch;
    check_call(esker_batch_new(&batch), "batch");
    for (;;)
        write_group(thread, batch, &random);
    return NULL;
}

static void writer(void)
{
    static uint32_t number[THREADS];
    pthread_t threads[THREADS];
    uint64_t random = random_state(THREADS);
    open_database(&random);
    for (uint32_t i = 0; i < THREADS; i++) {
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
    fprintf(stderr, "torture: round %d: key %s: %s; acknowledged version %llu, newest tried %llu\n", (int)round_number,
            name, what, (unsigned long long)memory->acknowledged[key], (unsigned long long)memory->newest[key]);
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

static void checker(void)
{
    static uint64_t expected[KEYS];
    uint64_t random = random_state(THREADS + 1);
    char key[64];
    esker_error err = {0};
    err.struct_size = sizeof err;
    alarm(CHECK_SECONDS_MAX);
    open_database(&random);
    memcpy(expected, memory->acknowledged, sizeof expected);
    for (uint32_t thread = 0; thread < THREADS; thread++)
        check_flight(thread, expected);
    for (uint32_t k = 0; k < KEYS; k++) {
        esker_pin pin;
        esker_status status = esker_get_pin(db, NULL, key, make_key(key, k), &pin);
        check_call(status, "get");
        if (!has_version(k, expected[k], status == ESKER_OK, pin.data, pin.size))
            lose(k, status == ESKER_OK ? "found another version" : "not found");
        check_call(esker_unpin(&pin), "unpin");
    }
    check_iterator(expected);
    memcpy(memory->acknowledged, expected, sizeof expected);

    if (next_random(&random) % 8 == 0)
        check_call(esker_compact(db, NULL, NULL, 0, NULL, &err), "compact");
    else if (next_random(&random) % 4 == 0)
        check_call(esker_flush(db, &err), "flush");
    memory->check_done = 1;
    if (next_random(&random) % 3 == 0)
        kill(getpid(), SIGKILL);
    if (esker_close(db, 0, &err) < 0)
        fail("close", &err);
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
    uint64_t bytes_max = 0;
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
        if (bytes > (uint64_t)DIRECTORY_MIB_MAX << 20) {
            fprintf(stderr, "torture: round %d: the directory holds %llu bytes\n", (int)round_number,
                    (unsigned long long)bytes);
            good = 0;
        }
    }
    printf("rounds %llu, acknowledged %llu, lost %llu, opens %llu\n", (unsigned long long)round_number,
           (unsigned long long)memory->acknowledgements, (unsigned long long)memory->lost,
           (unsigned long long)memory->opens);
    printf("largest directory %llu KiB\n", (unsigned long long)bytes_max >> 10);
    if (memory->acknowledgements == 0) {
        fprintf(stderr, "torture: nothing was ever acknowledged, so nothing was tested\n");
        good = 0;
    }
    return good ? 0 : 1;
}
