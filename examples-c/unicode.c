/* unicode: 32,646 real keys of very uneven length, read and written in every way, and checked.
 *
 *   unicode DIRECTORY FILE                   the demo: load, look up, list, walk, delete, reopen, check
 *   unicode DIRECTORY FILE --load            only loads, printing each name once its put has returned
 *   unicode DIRECTORY FILE --resume-check    reads such a list from standard input and looks every name up
 *
 * Kill the second form with SIGKILL and run the third: no name that was printed is missing. FILE has lines of
 * name, code point and category, with tabs between; the name is the key, the rest is the value. Exits with 1
 * on the first difference between the database and the file.
 */
#include <esker.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    const char *name, *value;
    int deleted;
} row;

static row *rows;      /* in the order of their names */
static row *file_rows; /* in the order of the file, which is that of the code points */
static size_t row_count;

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("unicode: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void check(esker_status status, const esker_error *err, const char *what)
{
    if (status < 0)
        fail("%s: %s: %s", what, esker_status_name(status),
             err && err->status < 0 ? err->message : esker_status_text(status));
}

static int starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(((const row *)a)->name, ((const row *)b)->name);
}

/* Reads the whole file and cuts it into rows. */
static void read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0)
        fail("cannot read %s", path);
    long size = ftell(file);
    rewind(file);
    char *text = size > 0 ? malloc((size_t)size + 1) : NULL;
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size)
        fail("cannot read %s", path);
    fclose(file);
    text[size] = '\0';

    size_t lines = 0;
    for (char *at = text; *at; at++)
        lines += *at == '\n';
    rows = calloc(lines + 1, sizeof *rows);
    if (!rows)
        fail("out of memory");
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        char *tab = strchr(line, '\t');
        if (!tab)
            fail("%s: line %zu has no tab", path, row_count + 1);
        *tab = '\0';
        rows[row_count].name = line;
        rows[row_count++].value = tab + 1;
    }
    file_rows = malloc((lines + 1) * sizeof *rows);
    if (!file_rows)
        fail("out of memory");
    memcpy(file_rows, rows, row_count * sizeof *rows);
    qsort(rows, row_count, sizeof *rows, compare_rows);
}

static esker_db *open_database(const char *directory)
{
    /* Small buffers and tables, so that one megabyte of data makes a tree of several levels. */
    static const char text[] = "write_buffer=64KiB; table_size=64KiB; "
                               "level_bytes=128KiB; level_dynamic=0";
    esker_error err = {0};
    err.struct_size = sizeof err;
    esker_options *options;
    esker_db *db;
    check(esker_options_new(&options), NULL, "options");
    check(esker_options_parse(options, text, strlen(text), &err), &err, "options");
    check(esker_open(directory, options, ESKER_OPEN_CREATE, &db, &err), &err, "open");
    check(esker_options_free(options), NULL, "options");
    return db;
}

static void close_database(esker_db *db)
{
    esker_error err = {0};
    err.struct_size = sizeof err;
    check(esker_close(db, 0, &err), &err, "close");
}

static void load(esker_db *db, int print_names)
{
    for (size_t i = 0; i < row_count; i++) {
        const row *next = &file_rows[i];
        check(esker_put(db, NULL, next->name, strlen(next->name), next->value, strlen(next->value)), NULL, next->name);
        if (print_names) {
            puts(next->name);
            fflush(stdout);
        } else if ((i + 1) % 8192 == 0 || i + 1 == row_count) {
            printf("loaded %zu of %zu\n", i + 1, row_count);
        }
    }
}

/* Looks a name up and compares the value; says what was found when `print` is set. */
static void look_up(esker_db *db, const row *wanted, int print)
{
    char buf[256];
    size_t size;
    esker_status status = esker_get(db, NULL, wanted->name, strlen(wanted->name), buf, sizeof buf, &size);
    check(status, NULL, wanted->name);
    if (wanted->deleted) {
        if (status != ESKER_NOT_FOUND)
            fail("%s was deleted and is there", wanted->name);
    } else if (status != ESKER_OK) {
        fail("%s: %s", wanted->name, esker_status_name(status));
    } else if (size != strlen(wanted->value) || memcmp(buf, wanted->value, size) != 0) {
        fail("%s has the value %.*s", wanted->name, (int)size, buf);
    }
    if (print)
        printf("  %-42s %s\n", wanted->name, wanted->deleted ? "(deleted)" : wanted->value);
}

static row *find(const char *name)
{
    row wanted = {name, NULL, 0};
    return bsearch(&wanted, rows, row_count, sizeof *rows, compare_rows);
}

static void look_up_name(esker_db *db, const char *name)
{
    const row *wanted = find(name);
    if (!wanted)
        fail("the file has no %s", name);
    look_up(db, wanted, 1);
}

static void check_row(const esker_row *found, const row *wanted)
{
    if (found->key_len != strlen(wanted->name) || memcmp(found->key, wanted->name, found->key_len) != 0)
        fail("found %.*s where %s belongs", (int)found->key_len, (const char *)found->key, wanted->name);
    if (found->value_len != strlen(wanted->value) || memcmp(found->value, wanted->value, found->value_len) != 0)
        fail("%s has the value %.*s", wanted->name, (int)found->value_len, (const char *)found->value);
}

/* Walks the rows that `options` selects, which must be rows[from..to) without the deleted ones. */
static void walk(esker_db *db, const esker_read_opts *options, size_t from, size_t to, int backwards, size_t print)
{
    const row **expected = malloc((to - from + 1) * sizeof *expected);
    size_t total = 0, count = 0;
    if (!expected)
        fail("out of memory");
    for (size_t i = from; i < to; i++)
        if (!rows[i].deleted)
            expected[total++] = &rows[i];

    esker_iter *iter;
    const esker_row *found;
    esker_status status;
    check(esker_iter_new(db, options, &iter), NULL, "iterator");
    check(esker_iter_row(iter, &found), NULL, "row");
    while ((status = backwards ? esker_iter_prev(iter) : esker_iter_next(iter)) == ESKER_OK) {
        if (count == total)
            fail("%.*s lies outside the range", (int)found->key_len, (const char *)found->key);
        const row *wanted = expected[backwards ? total - 1 - count : count];
        check_row(found, wanted);
        if (count++ < print)
            printf("  %-42s %s\n", wanted->name, wanted->value);
    }
    check(status, NULL, "walk");
    check(esker_iter_free(iter), NULL, "iterator");
    free(expected);
    if (count != total)
        fail("walked over %zu rows of %zu", count, total);
    if (print)
        printf("  %zu rows\n", count);
}

/* Place of the first row whose name is not below `name`. */
static size_t lower_bound(const char *name)
{
    size_t place = 0;
    while (place < row_count && strcmp(rows[place].name, name) < 0)
        place++;
    return place;
}

static void list_prefix(esker_db *db, const char *prefix)
{
    size_t from = lower_bound(prefix), to = from;
    while (to < row_count && starts_with(rows[to].name, prefix))
        to++;
    esker_read_opts options = {0};
    options.struct_size = sizeof options;
    options.prefix.data = prefix;
    options.prefix.size = strlen(prefix);
    printf("names that start with \"%s\"\n", prefix);
    walk(db, &options, from, to, 0, 5);
}

static void walk_backwards(esker_db *db, const char *lower, const char *upper)
{
    esker_read_opts options = {0};
    options.struct_size = sizeof options;
    options.lower.data = lower;
    options.lower.size = strlen(lower);
    options.upper.data = upper;
    options.upper.size = strlen(upper);
    printf("backwards from \"%s\" to \"%s\"\n", upper, lower);
    walk(db, &options, lower_bound(lower), lower_bound(upper), 1, 5);
}

/* Deletes all names with a prefix in one batch: all of them or, after a crash, none. */
static void delete_prefix(esker_db *db, const char *prefix)
{
    esker_batch *batch;
    uint64_t count;
    check(esker_batch_new(&batch), NULL, "batch");
    for (size_t i = lower_bound(prefix); i < row_count && starts_with(rows[i].name, prefix); i++) {
        check(esker_batch_delete(batch, NULL, rows[i].name, strlen(rows[i].name)), NULL, "batch");
        rows[i].deleted = 1;
    }
    check(esker_batch_count(batch, &count), NULL, "batch");
    check(esker_write(db, NULL, batch, NULL), NULL, "write");
    check(esker_batch_free(batch), NULL, "batch");
    printf("deleted %d names that start with \"%s\"\n", (int)count, prefix);
}

static void print_tree(esker_db *db)
{
    char text[4096];
    size_t size;
    esker_status status = esker_property(db, "levels", text, sizeof text, &size);
    check(status, NULL, "property");
    if (status != ESKER_OK)
        fail("property levels: %s", esker_status_name(status));
    printf("%s%s", text, size > 0 && text[size - 1] == '\n' ? "" : "\n");

    static esker_stats stats;
    uint64_t tables = 0, bytes = 0;
    stats.struct_size = sizeof stats;
    check(esker_db_stats(db, &stats), NULL, "stats");
    for (uint32_t level = 0; level < stats.levels && level < ESKER_LEVELS_MAX; level++) {
        tables += stats.level[level].tables;
        bytes += stats.level[level].bytes;
    }
    printf("%d tables, %d bytes; %d flushes and %d compactions since the open\n", (int)tables, (int)bytes,
           (int)stats.flushes, (int)stats.compactions);
    if (tables == 0)
        fail("there is no table");
}

static void check_everything(esker_db *db)
{
    for (size_t i = 0; i < row_count; i++)
        look_up(db, &rows[i], 0);
    walk(db, NULL, 0, row_count, 0, 0);
    walk(db, NULL, 0, row_count, 1, 0);
    printf("every name looked up, walked to and walked back to\n");
}

static void demo(const char *directory)
{
    esker_db *db = open_database(directory);
    load(db, 0);
    check(esker_flush(db, NULL), NULL, "flush");
    print_tree(db);
    printf("looked up\n");
    look_up_name(db, "LATIN SMALL LETTER A");
    look_up_name(db, "SNOWMAN");
    look_up_name(db, "WHITE CHESS KNIGHT");
    list_prefix(db, "EGYPTIAN HIEROGLYPH A0");
    walk_backwards(db, "LATIN SMALL LETTER Y", "LATIN SMALL LETTER Z");
    check_everything(db);

    delete_prefix(db, "CUNEIFORM SIGN ");
    close_database(db);
    db = open_database(directory);
    printf("closed and opened again\n");
    look_up_name(db, "CUNEIFORM SIGN A");
    check_everything(db);
    print_tree(db);
    close_database(db);
}

/* Every whole line of standard input is a name whose put had returned before the kill. */
static void resume_check(const char *directory)
{
    char line[256];
    size_t count = 0;
    esker_db *db = open_database(directory);
    while (fgets(line, sizeof line, stdin) && strchr(line, '\n')) {
        *strchr(line, '\n') = '\0';
        const row *wanted = find(line);
        if (!wanted)
            fail("the file has no %s", line);
        look_up(db, wanted, 0);
        count++;
    }
    close_database(db);
    printf("%zu acknowledged names, all of them there\n", count);
    if (count == 0)
        fail("no acknowledged name on standard input");
}

int main(int argc, char **argv)
{
    if (argc < 3)
        fail("usage: unicode DIRECTORY FILE [--load | --resume-check]");
    read_file(argv[2]);
    if (argc == 3) {
        demo(argv[1]);
    } else if (strcmp(argv[3], "--load") == 0) {
        esker_db *db = open_database(argv[1]);
        load(db, 1);
        close_database(db);
    } else if (strcmp(argv[3], "--resume-check") == 0) {
        resume_check(argv[1]);
    } else {
        fail("unknown mode %s", argv[3]);
    }
    return 0;
}
