/* threads: one database, many threads. Every function on a database may be called by many threads at once.
 *
 *   threads [DIRECTORY]
 */
#include <esker.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITERS = 4, WRITES = 500 };

static void check(esker_status status, const char *what)
{
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, esker_status_text(status));
        exit(1);
    }
}

typedef struct task {
    esker_db *db;
    int number;
    uint64_t rows;
} task;

/* Writers that meet share one write of the log. Each of these has keys of its own; where two write the same
 * key, the later one wins whole. */
static void *write_keys(void *argument)
{
    task *t = argument;
    char key[32];
    for (int i = 0; i < WRITES; i++) {
        int size = snprintf(key, sizeof key, "%d/%03d", t->number, i);
        check(esker_put(t->db, NULL, key, (size_t)size, "value", 5), "put");
    }
    return NULL;
}

/* Readers never wait for writers. An iterator belongs to one thread at a time and shows the moment in which
 * it was made: a writer's keys appear in their order, none is left out. */
static void *read_keys(void *argument)
{
    task *t = argument;
    esker_iter *iter;
    const esker_row *row;
    char last[32] = "";
    check(esker_iter_new(t->db, NULL, &iter), "iterator");
    check(esker_iter_row(iter, &row), "row");
    while (esker_iter_next(iter) == ESKER_OK) {
        if (row->key_len >= sizeof last || strncmp(last, row->key, row->key_len) >= 0)
            exit(1); /* cannot happen: keys ascend */
        memcpy(last, row->key, row->key_len);
        t->rows++;
    }
    check(esker_iter_free(iter), "free");
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t writers[WRITERS], reader;
    task tasks[WRITERS + 1];
    esker_db *db;
    check(esker_open(argc > 1 ? argv[1] : "/tmp/esker-threads", NULL, ESKER_OPEN_CREATE, &db, NULL), "open");
    for (int i = 0; i <= WRITERS; i++)
        tasks[i] = (task){db, i, 0};

    for (int i = 0; i < WRITERS; i++)
        if (pthread_create(&writers[i], NULL, write_keys, &tasks[i]) != 0)
            return 1;
    if (pthread_create(&reader, NULL, read_keys, &tasks[WRITERS]) != 0)
        return 1;
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    pthread_join(reader, NULL);
    printf("the reader saw %s\n", tasks[WRITERS].rows <= WRITERS * WRITES ? "one moment" : "too much");

    /* The writers have returned, so a view made now has all they wrote. */
    task after = {db, 0, 0};
    read_keys(&after);
    printf("%d rows of %d writers\n", (int)after.rows, WRITERS);

    /* A batch, an iterator and an options object are [one-thread-at-a-time]: they may move from thread to
     * thread, but a call that overlaps another one on the same object answers MISUSE. */
    uint64_t seq;
    check(esker_latest_seq(db, &seq), "seq");
    printf("%d writes in one order\n", (int)seq);
    check(esker_close(db, 0, NULL), "close");
    return 0;
}

/* Prints:
 * the reader saw one moment
 * 2000 rows of 4 writers
 * 2000 writes in one order
 */
