/* esker: looks into a database and changes it from the command line, through esker.h alone.
 *
 * Exit status: 0 done, 1 the key is absent, 2 wrong usage, 3 an error, which is told on standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <esker.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, ABSENT = 1, USAGE = 2, FAILED = 3 };

static const char *const usage =
    "usage: esker [OPTION]... COMMAND DATABASE [ARGUMENT]...\n"
    "\n"
    "  get DATABASE KEY            writes the value to standard output\n"
    "  put DATABASE KEY VALUE      stores a value; VALUE - reads standard input\n"
    "  delete DATABASE KEY         deletes a key\n"
    "  scan DATABASE               writes keys and values, a tab between, a line each\n"
    "  stats DATABASE              writes how many keys, bytes and tables there are\n"
    "  property DATABASE NAME      writes a text: levels, tables, options, stats, stats.json, memtables, version\n"
    "  compact DATABASE            merges everything to one sorted run\n"
    "  checkpoint DATABASE DIR     makes a copy that opens in a new directory\n"
    "  verify DATABASE             looks for damage; writes what it finds, a line each\n"
    "  salvage DATABASE DIR        reads what can be read of a damaged database into a new one; writes what cannot\n"
    "  options                     lists every option with range, default and meaning\n"
    "\n"
    "  -c, --create                create the database when there is none\n"
    "  -s, --sync                  put and delete survive a power cut\n"
    "  -x, --hex                   keys and values are hexadecimal, in arguments and in output\n"
    "  -o, --options=\"N=V;N=V\"     options of esker_open()\n"
    "  -f, --from=KEY, -t, --to=KEY, -p, --prefix=KEY, -n, --limit=N, -r, --reverse, -k, --keys\n"
    "                              what scan shows: from KEY (inside) to KEY (outside), at most N rows\n"
    "  -l, --level=LEVEL           what verify reads: metadata, checksums, full (which is the default)\n"
    "  -h, --help, -V, --version\n";

struct arguments {
    uint32_t open_flags;
    uint32_t durability, level;
    int hex, reverse;
    const char *options, *from, *to, *prefix;
    esker_read_opts read;
};

static esker_error err = {.struct_size = sizeof(esker_error)};

static int fail(const char *what, esker_status status)
{
    fprintf(stderr, "esker: %s: %s\n", what, err.status < 0 ? err.message : esker_status_text(status));
    return FAILED;
}

/* The same with the detail that the handle remembers. */
static int fail_at(const void *handle, const char *what, esker_status status)
{
    if (esker_last_error(handle, &err) < 0)
        err.status = 0; /* the status itself must do */
    return fail(what, status);
}

/* ---- keys and values as text */

static int nibble(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 32) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* The bytes an argument means, in memory that lives as long as the program; 0 when it is not hexadecimal. */
static int bytes_of(const struct arguments *a, const char *text, esker_slice *bytes)
{
    size_t n = strlen(text);
    unsigned char *out = malloc(n + 1);
    if (!out)
        return 0;
    bytes->data = out;
    bytes->size = a->hex ? n / 2 : n;
    if (!a->hex)
        return memcpy(out, text, n), 1;
    for (size_t i = 0; i < n / 2; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return n % 2 == 0;
}

/* Printable bytes as they are, others and the backslash as \xNN, so that a row is always one line. */
static void print_bytes(const struct arguments *a, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = ((const unsigned char *)data)[i];
        if (a->hex)
            printf("%02x", c);
        else if (c < 32 || c == 127 || c == '\\')
            printf("\\x%02x", c);
        else
            putchar(c);
    }
}

/* ---- commands: each gets an open database and the words after it */

static int get(esker_db *db, const struct arguments *a, char **words)
{
    esker_slice key;
    esker_pin pin;
    if (!bytes_of(a, words[0], &key))
        return fail("the key is not hexadecimal", ESKER_INVALID);
    esker_status status = esker_get_pin(db, NULL, key.data, key.size, &pin);
    if (status < 0)
        return fail_at(db, "get", status);
    if (status == ESKER_NOT_FOUND)
        return ABSENT;
    if (a->hex)
        print_bytes(a, pin.data, pin.size), putchar('\n');
    else
        fwrite(pin.data, 1, pin.size, stdout);
    return esker_unpin(&pin) < 0 ? fail_at(db, "get", ESKER_MISUSE) : DONE;
}

/* Standard input to its end; data NULL when there is not enough memory. */
static esker_slice whole_input(void)
{
    size_t size = 0, cap = 65536;
    char *data = malloc(cap);
    while (data) {
        size_t n = fread(data + size, 1, cap - size, stdin);
        size += n;
        if (n == 0)
            break;
        if (size == cap) {
            char *more = realloc(data, cap *= 2);
            if (!more)
                free(data);
            data = more;
        }
    }
    return (esker_slice){data, size};
}

static int put(esker_db *db, const struct arguments *a, char **words)
{
    esker_slice key, value;
    esker_write_opts how = {.struct_size = sizeof how, .durability = a->durability};
    if (!bytes_of(a, words[0], &key))
        return fail("the key is not hexadecimal", ESKER_INVALID);
    if (strcmp(words[1], "-") == 0) {
        value = whole_input();
        if (!value.data || ferror(stdin))
            return fail("standard input", ESKER_IO);
    } else if (!bytes_of(a, words[1], &value)) {
        return fail("the value is not hexadecimal", ESKER_INVALID);
    }
    esker_status status = esker_put(db, &how, key.data, key.size, value.data, value.size);
    if (status < 0)
        return fail_at(db, "put", status);
    return DONE;
}

static int delete_key(esker_db *db, const struct arguments *a, char **words)
{
    esker_slice key;
    esker_write_opts how = {.struct_size = sizeof how, .durability = a->durability};
    if (!bytes_of(a, words[0], &key))
        return fail("the key is not hexadecimal", ESKER_INVALID);
    esker_status status = esker_delete(db, &how, key.data, key.size);
    if (status < 0)
        return fail_at(db, "delete", status);
    return DONE;
}

static int scan(esker_db *db, const struct arguments *a, char **words)
{
    (void)words;
    esker_read_opts how = a->read;
    if ((a->from && !bytes_of(a, a->from, &how.lower)) || (a->to && !bytes_of(a, a->to, &how.upper)) ||
        (a->prefix && !bytes_of(a, a->prefix, &how.prefix)))
        return fail("a bound is not hexadecimal", ESKER_INVALID);
    esker_iter *iter;
    const esker_row *row;
    esker_status status = esker_iter_new(db, &how, &iter);
    if (status < 0)
        return fail_at(db, "scan", status);
    status = esker_iter_row(iter, &row);
    if (status == ESKER_OK)
        status = a->reverse ? esker_iter_last(iter) : esker_iter_first(iter);
    for (; status == ESKER_OK; status = a->reverse ? esker_iter_prev(iter) : esker_iter_next(iter)) {
        print_bytes(a, row->key, row->key_len);
        if (!(how.flags & ESKER_READ_KEYS_ONLY)) {
            putchar('\t');
            print_bytes(a, row->value, row->value_len);
        }
        putchar('\n');
    }
    int result = DONE;
    if (status < 0)
        result = fail_at(iter, "scan", status);
    return esker_iter_free(iter) < 0 ? fail("scan", ESKER_MISUSE) : result;
}

static int property_named(esker_db *db, const char *name)
{
    size_t need = 0;
    esker_status status = esker_property(db, name, NULL, 0, &need);
    if (status == ESKER_NOT_FOUND) {
        fprintf(stderr, "esker: there is no property %s\n", name);
        return ABSENT;
    }
    char *text = malloc(need + 4096); /* it may grow between the two calls */
    if (!text)
        return fail(name, ESKER_NOMEM);
    status = esker_property(db, name, text, need + 4096, &need);
    if (status < 0)
        return free(text), fail(name, status);
    fputs(text, stdout);
    if (need > 0 && text[need - 1] != '\n')
        putchar('\n');
    return free(text), DONE;
}

static int property(esker_db *db, const struct arguments *a, char **words)
{
    (void)a;
    return property_named(db, words[0]);
}

static int stats(esker_db *db, const struct arguments *a, char **words)
{
    (void)a, (void)words;
    esker_stats now = {.struct_size = sizeof now};
    esker_status status = esker_db_stats(db, &now);
    if (status < 0)
        return fail_at(db, "stats", status);
    /* What a database has; the counters of what was done begin anew with each process, so they would tell of this one. */
    const struct {
        const char *name;
        uint64_t value;
    } lines[] = {
        {"keys, about", now.entries_estimate},
        {"bytes of tables", now.table_bytes},
        {"bytes of live logs", now.wal_live_bytes},
        {"bytes of memtables", now.memtable_bytes},
        {"bytes waiting for compaction", now.compaction_debt_bytes},
        {"latest sequence number", now.latest_seq},
        {"durable sequence number", now.durable_seq},
        {"records recovered by open", now.recovered_records},
        {"bytes dropped by open", now.recovered_dropped_bytes},
        {"errors", now.errors},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        printf("%-30s %" PRIu64 "\n", lines[i].name, lines[i].value);
    putchar('\n');
    return property_named(db, "levels");
}

static int compact(esker_db *db, const struct arguments *a, char **words)
{
    (void)a, (void)words;
    esker_status status = esker_compact(db, NULL, NULL, 0, NULL, &err);
    return status < 0 ? fail("compact", status) : DONE;
}

static int list_options(void)
{
    for (size_t i = 0; i < esker_option_count(); i++) {
        esker_option_info info = {.struct_size = sizeof info};
        esker_status status = esker_option_at(i, &info);
        if (status < 0)
            return fail("options", status);
        printf("%s=%s", info.name, info.default_text);
        if (info.choices)
            printf("  (%s)", info.choices);
        else
            printf("  (%" PRIu64 " to %" PRIu64 "%s%s)", info.min, info.max, *info.unit ? " " : "", info.unit);
        printf("\n    %s\n", info.doc);
    }
    return DONE;
}

static int checkpoint(esker_db *db, const struct arguments *a, char **words)
{
    (void)a;
    esker_status status = esker_checkpoint(db, words[0], NULL, &err);
    return status < 0 ? fail("checkpoint", status) : DONE;
}

static int32_t print_finding(void *ctx, const esker_error *finding)
{
    (void)ctx;
    printf("%s\n", finding->message);
    return ferror(stdout);
}

/* Looks at a database that need not be one that opens. */
static int verify(const char *path, const struct arguments *a, esker_options *options)
{
    const esker_job job = {.struct_size = sizeof job, .report = print_finding};
    esker_status status = esker_verify_path(path, options, a->level, &job, &err);
    return status < 0 ? fail(path, status) : DONE;
}

/* Reads a database that need not be one that opens into a new one. */
static int salvage(const char *path, const char *new_path, esker_options *options)
{
    const esker_job job = {.struct_size = sizeof job, .report = print_finding};
    esker_salvage_result found = {.struct_size = sizeof found};
    esker_status status = esker_salvage(path, options, new_path, &job, &found, &err);
    if (status < 0)
        return fail(path, status);
    fprintf(stderr,
            "esker: %" PRIu64 " rows; tables: %" PRIu64 " read, %" PRIu64 " lost; blocks: %" PRIu64 " read, %" PRIu64
            " lost; logs: %" PRIu64 " read, %" PRIu64 " lost; %" PRIu64 " records, %" PRIu64 " gaps\n",
            found.rows, found.tables, found.tables_lost, found.blocks, found.blocks_lost, found.logs, found.logs_lost,
            found.records, found.log_gaps);
    return DONE;
}

static const struct command {
    const char *name;
    int words;
    int (*run)(esker_db *, const struct arguments *, char **);
    int reads; /* writes nothing, so that it works without permission to */
} commands[] = {
    {"get", 1, get, 1},
    {"put", 2, put, 0},
    {"delete", 1, delete_key, 0},
    {"scan", 0, scan, 1},
    {"stats", 0, stats, 1},
    {"property", 1, property, 1},
    {"compact", 0, compact, 0},
    {"checkpoint", 1, checkpoint, 0},
    {"verify", 0, NULL, 1},
    {"salvage", 1, NULL, 1},
};

static int with_database(const struct command *command, const struct arguments *a, char **words)
{
    esker_options *options = NULL;
    esker_db *db;
    uint32_t flags = command->reads && !a->open_flags ? ESKER_OPEN_READONLY : a->open_flags;
    esker_status status = esker_options_new(&options);
    if (status == ESKER_OK && a->options)
        status = esker_options_parse(options, a->options, strlen(a->options), &err);
    if (status == ESKER_OK && !command->run) {
        int result = command->words ? salvage(words[0], words[1], options) : verify(words[0], a, options);
        return esker_options_free(options) < 0 ? fail(words[0], ESKER_MISUSE) : result;
    }
    if (status == ESKER_OK)
        status = esker_open(words[0], options, flags, &db, &err);
    if (esker_options_free(options) < 0 || status < 0)
        return fail(words[0], status);
    int result = command->run(db, a, words + 1);
    status = esker_close(db, 0, &err);
    return status < 0 ? fail(words[0], status) : result;
}

static int level_of(const char *name, uint32_t *level)
{
    static const char *const names[] = {"metadata", "checksums", "full"};
    for (*level = ESKER_VERIFY_METADATA; *level <= ESKER_VERIFY_FULL; ++*level)
        if (strcmp(name, names[*level]) == 0)
            return 1;
    return 0;
}

/* Fills the arguments; the number of the first word that is no option, or -1 after a complaint or an answer. */
static int parse(int argc, char **argv, struct arguments *a, int *result)
{
    static const struct option names[] = {
        {"create", 0, NULL, 'c'}, {"sync", 0, NULL, 's'},   {"hex", 0, NULL, 'x'},    {"options", 1, NULL, 'o'},
        {"from", 1, NULL, 'f'},   {"to", 1, NULL, 't'},     {"prefix", 1, NULL, 'p'}, {"limit", 1, NULL, 'n'},
        {"keys", 0, NULL, 'k'},   {"reverse", 0, NULL, 'r'}, {"level", 1, NULL, 'l'}, {"help", 0, NULL, 'h'},   {"version", 0, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    char *end;
    *result = DONE;
    for (int option; (option = getopt_long(argc, argv, "csxo:f:t:p:n:krl:hV", names, NULL)) != -1;) {
        switch (option) {
        case 'c': a->open_flags |= ESKER_OPEN_CREATE; break;
        case 's': a->durability = ESKER_DURABILITY_SYNC; break;
        case 'x': a->hex = 1; break;
        case 'o': a->options = optarg; break;
        case 'f': a->from = optarg; break;
        case 't': a->to = optarg; break;
        case 'p': a->prefix = optarg; break;
        case 'k': a->read.flags |= ESKER_READ_KEYS_ONLY; break;
        case 'r': a->reverse = 1; break;
        case 'n':
            errno = 0;
            a->read.limit = strtoull(optarg, &end, 10);
            if (errno || end == optarg || *end || *optarg == '-') {
                fprintf(stderr, "esker: --limit: %s is not a number\n", optarg);
                return *result = USAGE, -1;
            }
            break;
        case 'l':
            if (!level_of(optarg, &a->level)) {
                fprintf(stderr, "esker: --level: %s is none of metadata, checksums, full\n", optarg);
                return *result = USAGE, -1;
            }
            break;
        case 'h': return fputs(usage, stdout), -1;
        case 'V': return printf("esker %s\n", esker_version_text()), -1;
        default: return fputs(usage, stderr), *result = USAGE, -1;
        }
    }
    return optind;
}

int main(int argc, char **argv)
{
    struct arguments a = {.level = ESKER_VERIFY_FULL, .read = {.struct_size = sizeof a.read}};
    int result, first = parse(argc, argv, &a, &result);
    if (first >= 0) {
        int words = argc - first;
        result = USAGE;
        if (words == 1 && strcmp(argv[first], "options") == 0)
            result = list_options();
        for (size_t i = 0; words > 0 && i < sizeof commands / sizeof *commands; i++)
            if (strcmp(argv[first], commands[i].name) == 0 && words == 2 + commands[i].words)
                result = with_database(&commands[i], &a, argv + first + 1);
        if (result == USAGE)
            fputs(usage, stderr);
    }
    /* A full disk or a closed pipe behind standard output is an error too. */
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("esker: standard output");
        return FAILED;
    }
    return result;
}
