/* For misuse_matrix.c: what kinds of parameters there are, a right argument for each, and every wrong one. */
#ifndef MISUSE_MATRIX_H
#define MISUSE_MATRIX_H

#define _DEFAULT_SOURCE
#include "check.h"

#include <unistd.h>

enum { PARAMS_MAX = 8, ROOM = 32768 };

/* Kinds of parameters. */
enum {
  DB = 1 << 0,
  BATCH = 1 << 1,
  ITER = 1 << 2,
  SNAPSHOT = 1 << 3,
  OPTIONS = 1 << 4,
  ENV = 1 << 5,
  PIN = 1 << 6,
  DB_ITER_OR_BATCH = 1 << 7,
  NEW = 1 << 8,      /* the place of a new handle, whose kind is `number` */
  NEW_PIN = 1 << 9,
  BYTES = 1 << 10,   /* `text`, with a LENGTH behind it */
  LENGTH = 1 << 11,
  TEXT = 1 << 12,    /* `text`, NUL-terminated */
  PATH = 1 << 13,    /* one of the enum below */
  BUFFER = 1 << 14,  /* with a CAP behind it */
  CAP = 1 << 15,
  COUNT = 1 << 16,   /* elements of KEYS and RANGES */
  NUMBER = 1 << 17,  /* of which the largest is wrong or, when `odd` is OK, fine */
  CHOICE = 1 << 18,  /* flags or one of an enum */
  OUTPUT = 1 << 19,  /* `number` bytes */
  READ = 1 << 20,    /* esker_read_opts where bounds are ignored */
  RANGE = 1 << 21,   /* esker_read_opts where they count */
  WRITE = 1 << 22,
  JOB = 1 << 23,
  CHUNK = 1 << 24,
  STRUCT = 1 << 25,  /* an output struct; `number` is its size */
  ERR = 1 << 26,     /* esker_error that is filled on errors */
  SLICE = 1 << 27,
  ARRAY = 1 << 28,   /* of slices or of ranges: begins with a slice */
  POSITION = 1 << 29,
  COMPARATOR = 1 << 30,
  HANDLES = DB | BATCH | ITER | SNAPSHOT | OPTIONS | ENV | PIN | DB_ITER_OR_BATCH,
  NUMBERS = LENGTH | CAP | COUNT | NUMBER | CHOICE,
  SIZED = READ | RANGE | WRITE | JOB | CHUNK | STRUCT | ERR | COMPARATOR
};

/* What a PATH leads to. */
enum { NOTHING_YET, NO_DATABASE, CLOSED_DATABASE };

struct param {
  unsigned kind;
  /* The answer when a pointer is NULL, a number is huge, a choice is unknown. OK: that is not wrong. */
  esker_status odd;
  const char *text;
  uint64_t number;
};

union argument {
  void *p;
  uint64_t n;
};

typedef esker_status call_fn(const union argument *a);

enum {
  PLAIN = 1, /* cannot fail, so it works in a forked child too */
  ONCE = 2   /* needs fresh handles for every call: frees one, or moves it */
};

struct row {
  const char *name;
  call_fn *call;
  esker_status right; /* the answer when nothing is wrong */
  int how;
  struct param params[PARAMS_MAX];
};

/* One of each. */
struct world {
  char path[1100];
  esker_db *db;
  esker_batch *batch, *other_batch;
  esker_iter *iter;
  esker_snapshot *snapshot;
  esker_options *options;
  esker_env *env;
  esker_pin pin;
};

union room {
  char bytes[ROOM];
  uint32_t words[4];
  uint64_t number;
  esker_pin pin;
  esker_read_opts read;
  esker_write_opts write;
  esker_job job;
  esker_chunk chunk;
  esker_error error;
  esker_slice slice;
  esker_comparator comparator;
  void *pointer;
};

/* The arguments of one call and what they point to. */
struct arguments {
  union argument a[PARAMS_MAX];
  union room rooms[PARAMS_MAX];
  char chunk_rows[256];
};

static const char *work;
static struct world living, freed;
static struct arguments arguments, racing;

/* ---- worlds */

static void make(struct world *w, const char *name, uint32_t flags) {
  esker_error error = new_error();
  memset(w, 0, sizeof *w);
  snprintf(w->path, sizeof w->path, "%s/%s", work, name);
  STATUS(ESKER_OK, esker_options_new(&w->options));
  STATUS(ESKER_OK, esker_options_parse(w->options, "write_buffer=64KiB", 18, NULL));
  STATUS_ERR(ESKER_OK, esker_open(w->path, w->options, flags, &w->db, &error));
  STATUS(ESKER_OK, put(w->db, "k", "v"));
  STATUS(ESKER_OK, esker_batch_new(&w->batch));
  STATUS(ESKER_OK, esker_batch_new(&w->other_batch));
  STATUS(ESKER_OK, esker_batch_put(w->batch, NULL, "k", 1, "v", 1));
  STATUS(ESKER_OK, esker_batch_put(w->other_batch, NULL, "k", 1, "v", 1));
  STATUS(ESKER_OK, esker_iter_new(w->db, NULL, &w->iter));
  STATUS(ESKER_OK, esker_snapshot_new(w->db, &w->snapshot));
  STATUS(ESKER_OK, esker_env_new(NULL, &w->env, NULL));
  STATUS(ESKER_OK, esker_get_pin(w->db, NULL, "k", 1, &w->pin));
}

static esker_status free_one(unsigned kind, void *handle) {
  esker_pin pin = {handle, 0, {(uint64_t)(uintptr_t)handle, 0, 0, 0}};
  switch (kind) {
    case DB: case DB_ITER_OR_BATCH: return esker_close(handle, ESKER_CLOSE_DETACH, NULL);
    case BATCH: return esker_batch_free(handle);
    case ITER: return esker_iter_free(handle);
    case SNAPSHOT: return esker_snapshot_free(handle);
    case OPTIONS: return esker_options_free(handle);
    case ENV: return esker_env_free(handle);
    default: return esker_unpin(&pin);
  }
}

static void *handle_of(const struct world *w, unsigned kind) {
  switch (kind) {
    case DB: case DB_ITER_OR_BATCH: return w->db;
    case BATCH: return w->batch;
    case ITER: return w->iter;
    case SNAPSHOT: return w->snapshot;
    case OPTIONS: return w->options;
    case ENV: return w->env;
    default: return (void *)(uintptr_t)w->pin.opaque[0];
  }
}

/* Frees everything that a case has not freed. */
static void unmake(struct world *w) {
  static const unsigned kinds[] = {ITER, SNAPSHOT, BATCH, OPTIONS, PIN, ENV, DB};
  size_t i;
  for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    esker_status rc = free_one(kinds[i], handle_of(w, kinds[i]));
    CHECK(rc == ESKER_OK || rc == ESKER_MISUSE);
  }
  STATUS(ESKER_OK, esker_batch_free(w->other_batch));
}

static void remake_living(void) {
  unmake(&living);
  STATUS(ESKER_OK, esker_destroy(living.path, NULL, NULL));
  make(&living, "living", ESKER_OPEN_CREATE);
}

/* ---- right arguments */

static int32_t compare_lengths(void *ctx, const void *a, size_t a_len, const void *b, size_t b_len) {
  (void)ctx, (void)a, (void)b;
  return a_len < b_len ? -1 : a_len > b_len;
}

static void make_path(char *path, uint64_t to) {
  static unsigned made;
  if (to == CLOSED_DATABASE) snprintf(path, ROOM, "%s", freed.path);
  else if (to == NO_DATABASE) snprintf(path, ROOM, "%s/none", work);
  else snprintf(path, ROOM, "%s/new-%d-%u", work, (int)getpid(), ++made);
}

/* What lies behind the pointer of a struct; sizes first, the rest 0 = defaults. */
static void fill_struct(const struct param *p, union room *room, char *chunk_rows) {
  memset(room->bytes, 0, sizeof(esker_stats));
  switch (p->kind) {
    case READ: case RANGE: room->read.struct_size = sizeof room->read; break;
    case WRITE: room->write.struct_size = sizeof room->write; break;
    case JOB: room->job.struct_size = sizeof room->job; break;
    case ERR: room->error.struct_size = sizeof room->error; break;
    case STRUCT: room->words[0] = (uint32_t)p->number; break;
    case COMPARATOR:
      room->comparator.struct_size = sizeof room->comparator;
      room->comparator.name = "lengths";
      room->comparator.compare = compare_lengths;
      break;
    default:
      room->chunk.struct_size = sizeof room->chunk;
      room->chunk.max_rows = 1;
      room->chunk.buf = chunk_rows;
      room->chunk.cap = 256;
  }
}

static void fill(struct arguments *x, const struct row *row, const struct world *w) {
  int i;
  for (i = 0; i < PARAMS_MAX; i++) {
    const struct param *p = &row->params[i];
    union room *room = &x->rooms[i];
    x->a[i].n = p->number;
    if (p->kind == 0 || p->kind & NUMBERS) continue;
    x->a[i].p = room->bytes;
    if (p->kind == PIN) room->pin = w->pin;
    else if (p->kind & HANDLES) x->a[i].p = p->number == 0 ? handle_of(w, p->kind) : (void *)w->other_batch;
    else if (p->kind == BYTES || p->kind == TEXT) x->a[i].p = (void *)(uintptr_t)p->text;
    else if (p->kind == PATH) make_path(room->bytes, p->number);
    else if (p->kind & SIZED) fill_struct(p, room, x->chunk_rows);
    /* Outputs are not what they were before; inputs are empty. */
    else memset(room->bytes, p->kind & (OUTPUT | NEW | NEW_PIN | BUFFER) ? 0x5a : 0, 256);
    if (p->kind == ARRAY && p->text != NULL) {
      room->slice.data = p->text;
      room->slice.size = strlen(p->text);
    }
  }
}

/* ---- wrong arguments */

typedef void spoil_fn(struct arguments *x, int i, uint64_t value);

static void set_null(struct arguments *x, int i, uint64_t value) { (void)value; x->a[i].p = NULL; }
static void set_number(struct arguments *x, int i, uint64_t value) { x->a[i].n = value; }
static void set_word0(struct arguments *x, int i, uint64_t value) { x->rooms[i].words[0] = (uint32_t)value; }
static void set_word1(struct arguments *x, int i, uint64_t value) { x->rooms[i].words[1] = (uint32_t)value; }
static void set_word2(struct arguments *x, int i, uint64_t value) { x->rooms[i].words[2] = (uint32_t)value; }
static void set_position(struct arguments *x, int i, uint64_t value) { x->rooms[i].number = value; }
static void set_slice(struct arguments *x, int i, uint64_t value) {
  x->rooms[i].slice.data = value == 1 ? NULL : "k";
  x->rooms[i].slice.size = (size_t)value;
}
static void set_lower(struct arguments *x, int i, uint64_t value) {
  x->rooms[i].read.lower.data = value == 1 ? NULL : "k";
  x->rooms[i].read.lower.size = (size_t)value;
}
static void set_rows(struct arguments *x, int i, uint64_t value) {
  x->rooms[i].chunk.buf = NULL;
  x->rooms[i].chunk.cap = (size_t)value;
}
static void set_columns(struct arguments *x, int i, uint64_t value) {
  x->rooms[i].chunk.layout = ESKER_LAYOUT_COLUMNS;
  x->rooms[i].chunk.max_rows = value;
}
static void set_no_name(struct arguments *x, int i, uint64_t value) { (void)value; x->rooms[i].comparator.name = NULL; }
static void set_no_compare(struct arguments *x, int i, uint64_t value) {
  (void)value;
  x->rooms[i].comparator.compare = NULL;
}

/* A pin's handle lies in the struct. */
static void set_handle(struct arguments *x, int i, void *handle) {
  if (x->a[i].p == x->rooms[i].bytes) x->rooms[i].pin.opaque[0] = (uint64_t)(uintptr_t)handle;
  else x->a[i].p = handle;
}
static void set_freed(struct arguments *x, int i, uint64_t kind) { set_handle(x, i, handle_of(&freed, (unsigned)kind)); }
static void set_foreign(struct arguments *x, int i, uint64_t kind) { set_handle(x, i, handle_of(&living, (unsigned)kind)); }
static void set_address(struct arguments *x, int i, uint64_t value) { (void)value; set_handle(x, i, x->chunk_rows); }
static void set_made_up(struct arguments *x, int i, uint64_t value) { set_handle(x, i, (void *)(uintptr_t)value); }
static void set_neighbour(struct arguments *x, int i, uint64_t value) {
  uintptr_t handle = (uintptr_t)x->a[i].p;
  if (x->a[i].p == x->rooms[i].bytes) handle = (uintptr_t)x->rooms[i].pin.opaque[0];
  set_handle(x, i, (void *)(handle ^ (uintptr_t)value));
}
static void set_snapshot(struct arguments *x, int i, uint64_t kind) {
  x->rooms[i].read.snapshot = kind == SNAPSHOT ? freed.snapshot : handle_of(&living, (unsigned)kind);
}

/* Column, the kinds it is for, how it is made, from what, the answer; 0: what the row states. */
static const struct spoil {
  const char *column;
  unsigned kinds;
  spoil_fn *set;
  uint64_t value;
  esker_status answer;
} spoils[] = {
    {"NULL", ~NUMBERS, set_null, 0, 0},
    {"freed database", DB | DB_ITER_OR_BATCH, set_freed, DB, ESKER_MISUSE},
    {"freed batch", BATCH | DB_ITER_OR_BATCH, set_freed, BATCH, ESKER_MISUSE},
    {"freed iterator", ITER | DB_ITER_OR_BATCH, set_freed, ITER, ESKER_MISUSE},
    {"freed snapshot", SNAPSHOT, set_freed, SNAPSHOT, ESKER_MISUSE},
    {"freed options", OPTIONS, set_freed, OPTIONS, ESKER_MISUSE},
    {"freed env", ENV, set_freed, ENV, ESKER_MISUSE},
    {"pin given back", PIN, set_freed, PIN, ESKER_MISUSE},
    {"foreign: a database", BATCH | ITER | SNAPSHOT | OPTIONS | ENV | PIN, set_foreign, DB, ESKER_MISUSE},
    {"foreign: a batch", DB | ITER | SNAPSHOT | OPTIONS | ENV | PIN, set_foreign, BATCH, ESKER_MISUSE},
    {"foreign: an iterator", DB | BATCH | SNAPSHOT | OPTIONS | ENV | PIN, set_foreign, ITER, ESKER_MISUSE},
    {"foreign: a snapshot", ~SNAPSHOT & HANDLES, set_foreign, SNAPSHOT, ESKER_MISUSE},
    {"foreign: options", ~OPTIONS & HANDLES, set_foreign, OPTIONS, ESKER_MISUSE},
    {"foreign: an env", ~ENV & HANDLES, set_foreign, ENV, ESKER_MISUSE},
    {"foreign: a pin", ~PIN & HANDLES, set_foreign, PIN, ESKER_MISUSE},
    {"made up: an address", HANDLES, set_address, 0, ESKER_MISUSE},
    {"made up: one", HANDLES, set_made_up, 1, ESKER_MISUSE},
    {"made up: all ones", HANDLES, set_made_up, UINT64_MAX, ESKER_MISUSE},
    {"made up: a neighbour", HANDLES, set_neighbour, 8, ESKER_MISUSE},
    {"made up: a crooked one", HANDLES, set_neighbour, 4, ESKER_MISUSE},
    {"snapshot freed", READ | RANGE, set_snapshot, SNAPSHOT, ESKER_MISUSE},
    {"snapshot foreign", READ | RANGE, set_snapshot, DB, ESKER_MISUSE},
    {"2^64-1", LENGTH | CAP | COUNT | NUMBER, set_number, UINT64_MAX, 0},
    {"2^63", LENGTH | CAP | COUNT, set_number, UINT64_MAX / 2 + 1, 0},
    {"2^63-1", LENGTH | CAP | COUNT, set_number, UINT64_MAX / 2, 0},
    {"2^40", LENGTH | CAP, set_number, UINT64_MAX >> 24, 0},
    {"unknown choice", CHOICE, set_number, 0x80000000u, 0},
    {"struct_size 0", SIZED, set_word0, 0, ESKER_ABI_MISMATCH},
    {"struct_size 4", SIZED, set_word0, 4, ESKER_ABI_MISMATCH},
    {"struct_size 65,537", SIZED, set_word0, 65537, ESKER_ABI_MISMATCH},
    {"struct_size 2^32-1", SIZED, set_word0, 0xffffffffu, ESKER_ABI_MISMATCH},
    {"unknown flag or choice inside", READ | RANGE | WRITE | JOB | CHUNK | COMPARATOR, set_word1, 0x80000000u, ESKER_INVALID},
    {"unknown flag inside", WRITE | CHUNK, set_word2, 0x80000000u, ESKER_INVALID},
    {"huge bound", RANGE, set_lower, UINT64_MAX, ESKER_LIMIT},
    {"NULL bound with a length", RANGE, set_lower, 1, ESKER_INVALID},
    {"huge slice", SLICE | ARRAY, set_slice, UINT64_MAX, ESKER_LIMIT},
    {"NULL slice with a length", SLICE | ARRAY, set_slice, 1, ESKER_INVALID},
    {"NULL rows with a length", CHUNK, set_rows, UINT64_MAX, ESKER_INVALID},
    {"2^64-1 columns", CHUNK, set_columns, UINT64_MAX, ESKER_INVALID},
    {"position made up", POSITION, set_position, 7, ESKER_INVALID},
    {"no name", COMPARATOR, set_no_name, 0, ESKER_INVALID},
    {"no compare", COMPARATOR, set_no_compare, 0, ESKER_INVALID},
};

#endif
