/* The binary interface: sizes, offsets, values and versions that compiled programs rely on. They are frozen. */
#include "check.h"

#include <stddef.h>

#define SIZE(type, bytes) CHECK(sizeof(type) == (bytes))
#define OFFSET(type, field, bytes) CHECK(offsetof(type, field) == (bytes))
#define VALUE(name, number) CHECK((int64_t)(name) == (number))

static void structs(void) {
  SIZE(esker_status, 4);
  SIZE(esker_slice, 16);
  OFFSET(esker_slice, data, 0);
  OFFSET(esker_slice, size, 8);

  SIZE(esker_error, 256);
  OFFSET(esker_error, struct_size, 0);
  OFFSET(esker_error, status, 4);
  OFFSET(esker_error, area, 8);
  OFFSET(esker_error, flags, 12);
  OFFSET(esker_error, os_errno, 16);
  OFFSET(esker_error, reserved, 20);
  OFFSET(esker_error, number, 24);
  OFFSET(esker_error, file_number, 32);
  OFFSET(esker_error, offset, 40);
  OFFSET(esker_error, value, 48);
  OFFSET(esker_error, message, 56);

  SIZE(esker_read_opts, 80);
  OFFSET(esker_read_opts, flags, 4);
  OFFSET(esker_read_opts, snapshot, 8);
  OFFSET(esker_read_opts, lower, 16);
  OFFSET(esker_read_opts, upper, 32);
  OFFSET(esker_read_opts, prefix, 48);
  OFFSET(esker_read_opts, limit, 64);
  OFFSET(esker_read_opts, timeout_us, 72);

  SIZE(esker_write_opts, 24);
  OFFSET(esker_write_opts, durability, 4);
  OFFSET(esker_write_opts, flags, 8);
  OFFSET(esker_write_opts, reserved, 12);
  OFFSET(esker_write_opts, timeout_us, 16);

  SIZE(esker_pin, 48);
  OFFSET(esker_pin, size, 8);
  OFFSET(esker_pin, opaque, 16);

  SIZE(esker_row, 48);
  OFFSET(esker_row, key, 0);
  OFFSET(esker_row, key_len, 8);
  OFFSET(esker_row, value, 16);
  OFFSET(esker_row, value_len, 24);
  OFFSET(esker_row, seq, 32);
  OFFSET(esker_row, flags, 40);

  SIZE(esker_batch_op, 48);
  OFFSET(esker_batch_op, kind, 4);
  OFFSET(esker_batch_op, keyspace, 8);
  OFFSET(esker_batch_op, key, 16);
  OFFSET(esker_batch_op, value, 32);

  SIZE(esker_job, 32);
  OFFSET(esker_job, ctx, 8);
  OFFSET(esker_job, progress, 16);
  OFFSET(esker_job, report, 24);

  SIZE(esker_comparator, 40);
  OFFSET(esker_comparator, flags, 4);
  OFFSET(esker_comparator, name, 8);
  OFFSET(esker_comparator, ctx, 16);
  OFFSET(esker_comparator, compare, 24);
  OFFSET(esker_comparator, release, 32);

  SIZE(esker_option_info, 80);
  OFFSET(esker_option_info, id, 4);
  OFFSET(esker_option_info, type, 8);
  OFFSET(esker_option_info, flags, 12);
  OFFSET(esker_option_info, name, 16);
  OFFSET(esker_option_info, doc, 48);
  OFFSET(esker_option_info, default_u64, 56);
  OFFSET(esker_option_info, max, 72);

  SIZE(esker_level_stats, 96);
  OFFSET(esker_level_stats, written_bytes, 48);
  SIZE(esker_salvage_result, 80);
  OFFSET(esker_salvage_result, tables, 8);
  OFFSET(esker_salvage_result, rows, 72);
  SIZE(esker_stats, 1064);
  OFFSET(esker_stats, levels, 4);
  OFFSET(esker_stats, puts, 8);
  OFFSET(esker_stats, errors, 1064 - 8 - 8 * sizeof(esker_level_stats));
  OFFSET(esker_stats, level, 1064 - 8 * sizeof(esker_level_stats));
}

static void statuses(void) {
  VALUE(ESKER_OK, 0);
  VALUE(ESKER_NOT_FOUND, 1);
  VALUE(ESKER_DONE, 2);
  VALUE(ESKER_TOO_SMALL, 3);
  VALUE(ESKER_PARTIAL, 4);
  VALUE(ESKER_PENDING, 5);
  VALUE(ESKER_EXISTS, 6);
  VALUE(ESKER_MISMATCH, 7);
  VALUE(ESKER_INVALID, -1);
  VALUE(ESKER_MISUSE, -2);
  VALUE(ESKER_LIMIT, -3);
  VALUE(ESKER_UNSUPPORTED, -4);
  VALUE(ESKER_ABI_MISMATCH, -5);
  VALUE(ESKER_IO, -10);
  VALUE(ESKER_NOSPACE, -11);
  VALUE(ESKER_NOMEM, -12);
  VALUE(ESKER_CORRUPT, -13);
  VALUE(ESKER_FORMAT, -14);
  VALUE(ESKER_COMPARATOR, -15);
  VALUE(ESKER_MISSING, -16);
  VALUE(ESKER_PRESENT, -17);
  VALUE(ESKER_LOCKED, -18);
  VALUE(ESKER_READONLY, -19);
  VALUE(ESKER_BUSY, -20);
  VALUE(ESKER_CONFLICT, -21);
  VALUE(ESKER_TIMEOUT, -22);
  VALUE(ESKER_CANCELLED, -23);
  VALUE(ESKER_CLOSED, -24);
  VALUE(ESKER_FORKED, -25);
  VALUE(ESKER_POISONED, -26);
  VALUE(ESKER_PANIC, -27);
  VALUE(ESKER_CALLBACK, -28);
}

static void values(void) {
  VALUE(ESKER_OPEN_CREATE, 1);
  VALUE(ESKER_OPEN_EXCLUSIVE, 2);
  VALUE(ESKER_OPEN_READONLY, 4);
  VALUE(ESKER_OPEN_MEMORY, 8);
  VALUE(ESKER_CLOSE_DETACH, 1);
  VALUE(ESKER_DURABILITY_DEFAULT, 0);
  VALUE(ESKER_DURABILITY_UNLOGGED, 1);
  VALUE(ESKER_DURABILITY_BUFFERED, 2);
  VALUE(ESKER_DURABILITY_GROUP, 3);
  VALUE(ESKER_DURABILITY_SYNC, 4);
  VALUE(ESKER_READ_LOWER_EXCLUSIVE, 1);
  VALUE(ESKER_READ_UPPER_INCLUSIVE, 2);
  VALUE(ESKER_READ_NO_FILL_CACHE, 8);
  VALUE(ESKER_READ_KEYS_ONLY, 16);
  VALUE(ESKER_READ_FILTER_ONLY, 32);
  VALUE(ESKER_WRITE_NO_STALL, 1);
  VALUE(ESKER_SEEK_GE, 0);
  VALUE(ESKER_SEEK_GT, 1);
  VALUE(ESKER_SEEK_LE, 2);
  VALUE(ESKER_SEEK_LT, 3);
  VALUE(ESKER_SEEK_EQ, 4);
  VALUE(ESKER_OP_PUT, 1);
  VALUE(ESKER_OP_DELETE, 2);
  VALUE(ESKER_OPTION_U64, 0);
  VALUE(ESKER_OPTION_TEXT, 1);
  VALUE(ESKER_AREA_NONE, 0);
  VALUE(ESKER_AREA_ARGUMENT, 1);
  VALUE(ESKER_AREA_OPTION, 2);
  VALUE(ESKER_AREA_DIRECTORY, 3);
  VALUE(ESKER_AREA_LOCK, 4);
  VALUE(ESKER_AREA_WAL, 5);
  VALUE(ESKER_AREA_MANIFEST, 6);
  VALUE(ESKER_AREA_TABLE, 7);
  VALUE(ESKER_AREA_BATCH, 8);
  VALUE(ESKER_AREA_CALLBACK, 9);
  VALUE(ESKER_AREA_ENGINE, 10);
  VALUE(ESKER_ERROR_RETRYABLE, 1);
  VALUE(ESKER_ERROR_DB_POISONED, 2);
  VALUE(ESKER_ERROR_DATA_AT_RISK, 4);
  VALUE(ESKER_ERROR_CALLER_BUG, 8);
  VALUE(ESKER_ROW_VALID, 1);
  VALUE(ESKER_COMPACT_FORCE, 1);
  VALUE(ESKER_COMPACT_UPPER_INCLUSIVE, 2);
  VALUE(ESKER_KEY_MAX, 65535);
  VALUE(ESKER_VALUE_MAX, 1073741824);
  VALUE(ESKER_BATCH_MAX, 1074790400);
  VALUE(ESKER_LEVELS_MAX, 8);
}

static void option_ids(void) {
  static const struct {
    const char *name;
    uint32_t id;
  } frozen[] = {
      {"env", 2},            {"comparator", 3},    {"comparator_custom", 4}, {"file_mode", 5},      {"durability", 10},   {"group_sync_us", 11}, {"recovery", 13}, {"verify_on_open", 14}, {"sync_interval_us", 15},
      {"write_buffer", 20},  {"write_buffer_entries", 21},
      {"immutable_max", 22}, {"memtable", 23},    {"block_size", 30},   {"block_entries", 31}, {"table_size", 32},
      {"compression", 33},   {"filter", 34},      {"filter_bits", 35},  {"cache_bytes", 40},  {"open_tables_max", 41},
      {"l0_trigger", 50},    {"l0_stop", 51},      {"level_bytes", 52},  {"level_ratio", 53},
      {"levels", 54},        {"level_dynamic", 55}, {"compaction_pick", 56}, {"compaction_seed", 57},
      {"compaction_auto", 58}, {"subcompactions", 59}, {"threads", 60}, {"memtable_budget", 61},
      {"deterministic", 62},
  };
  size_t i;
  VALUE(ESKER_OPT_ENV, 2);
  VALUE(ESKER_OPT_COMPARATOR, 3);
  VALUE(ESKER_OPT_COMPARATOR_CUSTOM, 4);
  VALUE(ESKER_COMPARATOR_EXACT, 1);
  VALUE(ESKER_OPT_FILE_MODE, 5);
  VALUE(ESKER_OPT_DURABILITY, 10);
  VALUE(ESKER_OPT_WRITE_BUFFER, 20);
  VALUE(ESKER_OPT_MEMTABLE, 23);
  VALUE(ESKER_OPT_FILTER_BITS, 35);
  VALUE(ESKER_OPT_SUBCOMPACTIONS, 59);
  VALUE(ESKER_OPT_THREADS, 60);
  VALUE(ESKER_OPT_MEMTABLE_BUDGET, 61);
  VALUE(ESKER_OPT_DETERMINISTIC, 62);
  VALUE(ESKER_OPTION_OBJECT, 2);
  VALUE(ESKER_OPTION_PERSISTENT, 1);
  VALUE(ESKER_OPTION_ENV, 2);
  VALUE(ESKER_LOG_OFF, 0);
  VALUE(ESKER_LOG_DEBUG, 4);
  CHECK(esker_option_count() == sizeof frozen / sizeof frozen[0]);
  for (i = 0; i < sizeof frozen / sizeof frozen[0]; i++) {
    uint32_t id = 0;
    STATUS(ESKER_OK, esker_option_find(frozen[i].name, &id));
    CHECK(id == frozen[i].id);
  }
}

static void library(void) {
  int32_t status;
  CHECK(esker_version() == ESKER_VERSION);
  CHECK(esker_abi() == ESKER_ABI);
  CHECK(strcmp(esker_version_text(), "0.1.0") == 0);
  STATUS(ESKER_OK, esker_abi_check(ESKER_ABI, ESKER_VERSION));
  STATUS(ESKER_OK, esker_abi_check(ESKER_ABI, 0));
  STATUS(ESKER_ABI_MISMATCH, esker_abi_check(ESKER_ABI + 1, ESKER_VERSION));
  STATUS(ESKER_ABI_MISMATCH, esker_abi_check(ESKER_ABI, ESKER_VERSION + 1));
  CHECK(strcmp(esker_status_name(ESKER_NOT_FOUND), "ESKER_NOT_FOUND") == 0);
  CHECK(strcmp(esker_status_name(ESKER_CALLBACK), "ESKER_CALLBACK") == 0);
  CHECK(strcmp(esker_status_name(12345), "ESKER_UNKNOWN") == 0);
  for (status = -40; status < 20; status++) {
    CHECK(esker_status_name(status) != NULL && esker_status_text(status) != NULL);
  }
}

int main(void) {
  structs();
  statuses();
  values();
  option_ids();
  library();
  return check_result("abi");
}
