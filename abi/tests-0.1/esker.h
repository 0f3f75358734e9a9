/* esker.h - an embedded, ordered key-value store: one directory, one process, many threads.
 *
 * Keys are 0 to 65,535 bytes, values 0 bytes to 1 GiB; both may hold any byte, and an empty key or value is
 * different from an absent one. Keys are ordered by their bytes, unless the option `comparator` says otherwise.
 *
 * This file is written from src/ffi; change it there.
 *
 * CONVENTIONS, true for every function below and not repeated there
 *
 * Result      `if (rc < 0)` is an error; 0 is success; > 0 is an answer that is not an error (nothing found,
 *             buffer too small...). A function that makes a handle returns 0 or an error, never > 0; on
 *             anything but 0 it stores NULL.
 * Outputs     Written on every return except MISUSE, ABI_MISMATCH, FORKED and INVALID for a NULL output; on
 *             failure they are zeroed. (The place of a new handle is NULL on every failure.)
 * Common      Any function that takes a handle may return MISUSE (NULL, freed or wrong-type handle), CLOSED
 * errors      (the database was closed with DETACH), FORKED (called in a forked child), PANIC (a bug in
 *             esker, contained), NOMEM (an allocation of more than 4 KiB failed; when a smaller one does, the
 *             process ends). Any function that makes a handle may return LIMIT (1,048,575 handles are
 *             alive). Any function that takes a sized struct may return ABI_MISMATCH, before it did
 *             anything. Any function that touches files may return IO, NOSPACE, CORRUPT. Only statuses
 *             beyond these are listed. A NULL pointer with a length other than 0 is INVALID; NULL with 0 is
 *             empty. Unknown flags are INVALID; a key over 65,535 bytes and a value over 1 GiB are LIMIT, a
 *             key that the database's comparator does not take is INVALID. A comparator of the caller that
 *             contradicts itself or what is stored is COMPARATOR; once background work has met it, writes are
 *             POISONED.
 * Ownership   What you create you free. Whatever you pass in (keys, values, bounds, paths, options) is copied
 *             or counted before the call returns and may be freed or reused at once. No function returns
 *             memory that you must free.
 * Handles     Opaque keys into a table inside the library; never dereference, copy or compare their contents.
 *             A freed, foreign or made-up handle is recognised and answered MISUSE. Children (iterators,
 *             snapshots, pins) may be freed in any order, also after close.
 * Sized       `struct_size` must be set to sizeof the struct; 0, less than the first release's size or more
 * structs     than 65,536 is ABI_MISMATCH. Other fields: all-zero means defaults, and a NULL pointer to an
 *             options struct means the same. A tail the library does not know must be zero (else
 *             ABI_MISMATCH); a tail the caller does not have is taken as zero. In output structs only the
 *             first struct_size bytes are written, bytes unknown to the library as zero; struct_size itself
 *             is never changed. Reserved fields are 0.
 * Details     Functions that take `esker_error *err` fill it on error (NULL is allowed; untouched on
 *             success). For all other functions the detail is in esker_last_error(): of the iterator or
 *             batch itself, else of the database's error ring.
 * Threads     [any-thread]: may be called by many threads at once on one handle. [one-thread-at-a-time]: the
 *             handle may move between threads; a call that overlaps another one answers MISUSE. Functions
 *             marked [callback-safe] may be called from esker's callbacks, all others not.
 * Callbacks   Must return normally: no C++ exception, longjmp or Rust panic through esker's frames. They
 *             never return pointers.
 * Fork        In a forked child of a process that has used esker, every function answers FORKED, the freeing ones
 *             too, and frees nothing; only those about versions, names of statuses, esker_abi_check() and
 *             esker_option_count() work. The parent is not affected.
 * Paths       NUL-terminated bytes, resolved once. Texts returned as const char * are static, UTF-8, English.
 * Platforms   64-bit only. All integers in files and packed layouts are little-endian on every machine.
 */

#ifndef ESKER_H
#define ESKER_H

#include <stddef.h>
#include <stdint.h>

#ifndef ESKER_API
#if defined(_WIN32) && !defined(ESKER_STATIC)
#define ESKER_API __declspec(dllimport)
#elif defined(__GNUC__)
#define ESKER_API __attribute__((visibility("default")))
#else
#define ESKER_API
#endif
#endif

#ifndef ESKER_MUST_USE
#if defined(__GNUC__)
#define ESKER_MUST_USE __attribute__((warn_unused_result))
#else
#define ESKER_MUST_USE
#endif
#endif

/** Version of this header: major * 1000000 + minor * 1000 + patch. */
#define ESKER_VERSION 1000

/** ABI of this header; the N of libesker.so.N. Within one ABI there are only additions. */
#define ESKER_ABI 0

/** Longest key in bytes. */
#define ESKER_KEY_MAX 65535

/** Largest value in bytes (1 GiB). */
#define ESKER_VALUE_MAX 1073741824

/** Largest encoded batch in bytes (1 GiB + 1 MiB). */
#define ESKER_BATCH_MAX 1074790400

/** Entries of esker_stats.level. */
#define ESKER_LEVELS_MAX 8

/** Result of a call. Values are frozen; new ones are only added. */
enum esker_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Done. */
  ESKER_OK = 0,
  /** The key is absent (never written, or deleted). */
  ESKER_NOT_FOUND = 1,
  /** The range, batch or list has no further element. */
  ESKER_DONE = 2,
  /** The caller's buffer is too small; the size needed is reported. */
  ESKER_TOO_SMALL = 3,
  /** Some of the parts could not be delivered; each part has its own status. */
  ESKER_PARTIAL = 4,
  /** Not yet. */
  ESKER_PENDING = 5,
  /** Reserved for conditional writes: the key is present. */
  ESKER_EXISTS = 6,
  /** Reserved for conditional writes: the value is not the expected one. */
  ESKER_MISMATCH = 7,
  /** An argument is outside its documented range. */
  ESKER_INVALID = -1,
  /** NULL, freed or wrong-type handle; a call that overlaps another on a one-thread handle. */
  ESKER_MISUSE = -2,
  /** A key, value, batch or count is over its limit; `value` of the error holds the limit. */
  ESKER_LIMIT = -3,
  /** Not available in this build, on this file system or in this order of keys. */
  ESKER_UNSUPPORTED = -4,
  /** Header and library, or a struct_size, do not fit. */
  ESKER_ABI_MISMATCH = -5,
  /** The operating system reported an error; see os_errno. */
  ESKER_IO = -10,
  /** No space (ENOSPC, EDQUOT, EFBIG). Reads go on. */
  ESKER_NOSPACE = -11,
  /** Memory could not be allocated. */
  ESKER_NOMEM = -12,
  /** Stored bytes are damaged; file and offset are in the error. */
  ESKER_CORRUPT = -13,
  /** The directory was written by a newer or foreign format. */
  ESKER_FORMAT = -14,
  /** The database was created with another key order, or its comparator contradicts itself. */
  ESKER_COMPARATOR = -15,
  /** There is no database at the path (and CREATE was not given), or the path is not a directory. */
  ESKER_MISSING = -16,
  /** There is a database at the path already, and EXCLUSIVE was given. */
  ESKER_PRESENT = -17,
  /**
   * The database is open elsewhere, in this or another process; the holder's pid is in `value`
   * where known.
   */
  ESKER_LOCKED = -18,
  /** The directory or the medium is read-only. */
  ESKER_READONLY = -19,
  /** The database has live children; nothing was changed. Their number is in `value`. */
  ESKER_BUSY = -20,
  /** Reserved for transactions. */
  ESKER_CONFLICT = -21,
  /** The caller's time limit passed. */
  ESKER_TIMEOUT = -22,
  /** A callback of the caller asked to stop, or the database was closed meanwhile. */
  ESKER_CANCELLED = -23,
  /** The database of this handle has been closed. */
  ESKER_CLOSED = -24,
  /** The call was made in a forked child of the process that loaded esker. */
  ESKER_FORKED = -25,
  /** Writes were stopped by an earlier error, which the message names. Reads work. */
  ESKER_POISONED = -26,
  /** A bug in esker was contained; the database is POISONED for good. Please report the message. */
  ESKER_PANIC = -27,
  /** A callback returned a value it must not return. */
  ESKER_CALLBACK = -28,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_status esker_status;
#else
typedef int32_t esker_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_open(). */
enum esker_open_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Create the database when there is none: the directory is absent (its parent is not), or holds
   * nothing but names that begin with '.', and lost+found.
   */
  ESKER_OPEN_CREATE = 1,
  /** With CREATE: fail with PRESENT when there is one. */
  ESKER_OPEN_EXCLUSIVE = 2,
  /**
   * Write nothing at all: no file, no name, no recovery output; the log is replayed into memory. Writing calls
   * answer READONLY. Works without permission to write and on read-only media. Shares the lock with other
   * readers, where there is one: LOCKED while a writer has the database, and the other way round. Goes with no
   * other flag.
   */
  ESKER_OPEN_READONLY = 4,
  /**
   * No files: a new, empty database in memory that ends with esker_close(). The path is ignored and may
   * be NULL; CREATE and EXCLUSIVE make no difference. Everything works as on a disk that is never cut
   * off: esker_sync() and SYNC writes have nothing to wait for, flush and compaction keep memory in
   * proportion to the data.
   */
  ESKER_OPEN_MEMORY = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_open_flags esker_open_flags;
#else
typedef uint32_t esker_open_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_close(). */
enum esker_close_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Close although there are live children: their next call answers CLOSED. Pins stay readable until
   * unpinned, the row an iterator showed last until the iterator is freed.
   */
  ESKER_CLOSE_DETACH = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_close_flags esker_close_flags;
#else
typedef uint32_t esker_close_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** What a returned write survives. Each level includes the ones above it. */
enum esker_durability
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** The database's `durability` option (BUFFERED unless set). */
  ESKER_DURABILITY_DEFAULT = 0,
  /** Nothing: not logged; kept once flushed. */
  ESKER_DURABILITY_UNLOGGED = 1,
  /** A kill of the process. */
  ESKER_DURABILITY_BUFFERED = 2,
  /** A power cut; the call waits up to `group_sync_us` for other writers to share one flush. */
  ESKER_DURABILITY_GROUP = 3,
  /** A power cut; flushed at once. */
  ESKER_DURABILITY_SYNC = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_durability esker_durability;
#else
typedef uint32_t esker_durability;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_read_opts. */
enum esker_read_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** `lower` itself is outside the range. */
  ESKER_READ_LOWER_EXCLUSIVE = 1,
  /** `upper` itself is inside the range. */
  ESKER_READ_UPPER_INCLUSIVE = 2,
  /**
   * esker_iter_chunk() and esker_scan() go from the end of the range to its start. No effect on other
   * calls.
   */
  ESKER_READ_REVERSE = 4,
  /** Blocks read for this call do not enter the cache. */
  ESKER_READ_NO_FILL_CACHE = 8,
  /** Iterators only: value pointers are NULL, lengths are still right. No effect on other calls. */
  ESKER_READ_KEYS_ONLY = 16,
  /**
   * esker_exists() only: ask memtables and filters, read no block; OK then means "perhaps". No effect
   * on other calls.
   */
  ESKER_READ_FILTER_ONLY = 32,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_read_flags esker_read_flags;
#else
typedef uint32_t esker_read_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_write_opts. */
enum esker_write_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Return TIMEOUT at once where the write would have to wait for background work. */
  ESKER_WRITE_NO_STALL = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_write_flags esker_write_flags;
#else
typedef uint32_t esker_write_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Where esker_iter_seek() goes. */
enum esker_seek
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** First key >= the given one. */
  ESKER_SEEK_GE = 0,
  /** First key > the given one. */
  ESKER_SEEK_GT = 1,
  /** Last key <= the given one. */
  ESKER_SEEK_LE = 2,
  /** Last key < the given one. */
  ESKER_SEEK_LT = 3,
  /** Exactly the given key. */
  ESKER_SEEK_EQ = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_seek esker_seek;
#else
typedef uint32_t esker_seek;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Layout of the bytes in esker_chunk.buf. All integers are little-endian. */
enum esker_layout
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Rows one after the other, no padding: u32 key length, u32 value length, key, value. With KEYS_ONLY no
   * value bytes follow; the value length is still the true one.
   */
  ESKER_LAYOUT_PACKED = 0,
  /**
   * An array of 2 * max_rows + 1 u32 offsets into buf, then bytes. Key i is [offset[2i], offset[2i+1]),
   * value i is [offset[2i+1], offset[2i+2]); offset[0] is the end of the array, rounded up to a multiple
   * of 8. Offsets behind offset[2 * rows] are not written. With KEYS_ONLY values are empty. max_rows is
   * required, from 1 to 500,000,000; cap must be below 4 GiB.
   */
  ESKER_LAYOUT_COLUMNS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_layout esker_layout;
#else
typedef uint32_t esker_layout;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Kind of one operation in a batch; also its byte in the batch encoding, where 0 is illegal. */
enum esker_op
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Put. */
  ESKER_OP_PUT = 1,
  /** Delete. */
  ESKER_OP_DELETE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_op esker_op;
#else
typedef uint32_t esker_op;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Type of an option's value. */
enum esker_option_type
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Unsigned integer; texts may carry KiB, MiB, GiB (1024-fold) or k, M, G (1000-fold); booleans are
   * 0 and 1.
   */
  ESKER_OPTION_U64 = 0,
  /** Text, one of `choices` where that is set. */
  ESKER_OPTION_TEXT = 1,
  /** A handle or struct given by esker_options_set_object(). */
  ESKER_OPTION_OBJECT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_option_type esker_option_type;
#else
typedef uint32_t esker_option_type;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of an option. */
enum esker_option_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Fixed when the database is created; reopening with another value is an error. */
  ESKER_OPTION_PERSISTENT = 1,
  /** Belongs to esker_env_new(); ignored by esker_open() when an env is given. */
  ESKER_OPTION_ENV = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_option_flags esker_option_flags;
#else
typedef uint32_t esker_option_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of an esker_comparator. */
enum esker_comparator_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Keys that compare equal are the same bytes. Without it esker never compares the bytes of keys and writes
   * no filters: reads of absent keys then cost more. Claimed wrongly, keys are lost.
   */
  ESKER_COMPARATOR_EXACT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_comparator_flags esker_comparator_flags;
#else
typedef uint32_t esker_comparator_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Levels of the logger. */
enum esker_log_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Nothing. */
  ESKER_LOG_OFF = 0,
  /** Work failed, writes are stopped. */
  ESKER_LOG_ERROR = 1,
  /** Writers wait; unsynced bytes of a log are lost. */
  ESKER_LOG_WARN = 2,
  /** Databases are opened and closed, jobs have ended. */
  ESKER_LOG_INFO = 3,
  /** Everything. */
  ESKER_LOG_DEBUG = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_log_level esker_log_level;
#else
typedef int32_t esker_log_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Which part of the database an error is about. */
enum esker_area
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  ESKER_AREA_NONE = 0,
  ESKER_AREA_ARGUMENT = 1,
  ESKER_AREA_OPTION = 2,
  ESKER_AREA_DIRECTORY = 3,
  ESKER_AREA_LOCK = 4,
  ESKER_AREA_WAL = 5,
  ESKER_AREA_MANIFEST = 6,
  ESKER_AREA_TABLE = 7,
  ESKER_AREA_BATCH = 8,
  ESKER_AREA_CALLBACK = 9,
  ESKER_AREA_ENGINE = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_area esker_area;
#else
typedef uint32_t esker_area;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_error. */
enum esker_error_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** The same call may succeed later without intervention. */
  ESKER_ERROR_RETRYABLE = 1,
  /** The database refuses writes from here on, until it is opened again. */
  ESKER_ERROR_DB_POISONED = 2,
  /** Acknowledged data may be unreadable. */
  ESKER_ERROR_DATA_AT_RISK = 4,
  /** The calling program broke a rule of this header. */
  ESKER_ERROR_CALLER_BUG = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_error_flags esker_error_flags;
#else
typedef uint32_t esker_error_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_row. */
enum esker_row_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** The row holds an entry. Clear at the end of the range, after an error, and before the first move. */
  ESKER_ROW_VALID = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_row_flags esker_row_flags;
#else
typedef uint32_t esker_row_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** Flags of esker_compact(). */
enum esker_compact_flags
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Rewrite also tables that need not be merged (drops every droppable version, applies changed table
   * options).
   */
  ESKER_COMPACT_FORCE = 1,
  /** `hi` itself is inside the range. */
  ESKER_COMPACT_UPPER_INCLUSIVE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_compact_flags esker_compact_flags;
#else
typedef uint32_t esker_compact_flags;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** How much esker_verify() reads. */
enum esker_verify_level
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** Manifest, logs, presence, size and identity of every table, order of the levels. */
  ESKER_VERIFY_METADATA = 0,
  /** And every byte of every file against its checksum. */
  ESKER_VERIFY_CHECKSUMS = 1,
  /**
   * And key order, index separators, counts, sequence ranges, and every key against its table's filter.
   */
  ESKER_VERIFY_FULL = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_verify_level esker_verify_level;
#else
typedef uint32_t esker_verify_level;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Ids of options. Frozen; names, units, defaults and limits are reported by esker_option_at(). Defaults
 * in brackets.
 */
enum esker_option
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /** object `env` [private]: an esker_env. */
  ESKER_OPT_ENV = 2,
  /**
   * text `comparator` [bytewise]: bytewise, reverse, u64_be, u64_le, i64_le; the last three order keys of
   * exactly eight bytes as numbers and refuse others. Stored with the database: opening it in another
   * order is COMPARATOR.
   */
  ESKER_OPT_COMPARATOR = 3,
  /**
   * object `comparator_custom` []: an esker_comparator, instead of `comparator`. Its name and its flag EXACT
   * are stored with the database.
   */
  ESKER_OPT_COMPARATOR_CUSTOM = 4,
  /**
   * u64 `file_mode` [0600]: mode of new files before the umask, 0600 to 0777, octal in texts;
   * directories get the matching x bits.
   */
  ESKER_OPT_FILE_MODE = 5,
  /** u64 `durability` [2]: what ESKER_DURABILITY_DEFAULT means; 1 to 4. */
  ESKER_OPT_DURABILITY = 10,
  /** u64 `group_sync_us` [500]: longest wait of a GROUP write, microseconds, up to 1 s; 0 = none. */
  ESKER_OPT_GROUP_SYNC_US = 11,
  /**
   * text `recovery` [default]: default, strict, point_in_time. What esker_open() does about logs of a process that did
   * not close. default drops a torn tail, as an ordinary crash leaves it, and answers CORRUPT when anything is
   * missing or damaged that is known to have been durable. strict answers CORRUPT, with file and offset, also for a
   * torn tail of a log or manifest. point_in_time ends the history before the first damage of a log: everything
   * before it is there, nothing after it; the error ring says what was lost, and the first change keeps a copy of
   * every log that is given up, under the name `*.wal.damaged`. Damage of the manifest is CORRUPT in each.
   */
  ESKER_OPT_RECOVERY = 13,
  /**
   * text `verify_on_open` [metadata]: none, metadata, full. What esker_open() looks at of the tables beforehand:
   * none does not even look whether they are there; metadata that each is a file of its size; full reads every byte
   * as esker_verify() does to ESKER_VERIFY_FULL, the first finding is the error. Manifest and logs are always read
   * whole, and a table whenever it is used.
   */
  ESKER_OPT_VERIFY_ON_OPEN = 14,
  /**
   * u64 `sync_interval_us` [0 = off]: logged writes are flushed behind the scenes this many
   * microseconds after they were made, up to one hour; no writer waits for that.
   */
  ESKER_OPT_SYNC_INTERVAL_US = 15,
  /** u64 `write_buffer` [64 MiB]: bytes of one memtable; 64 B to 4 GiB. */
  ESKER_OPT_WRITE_BUFFER = 20,
  /** u64 `write_buffer_entries` [0 = no limit]: entries of one memtable. */
  ESKER_OPT_WRITE_BUFFER_ENTRIES = 21,
  /** u64 `immutable_max` [3]: full memtables waiting for a flush before writers stop; 1 to 16. */
  ESKER_OPT_IMMUTABLE_MAX = 22,
  /**
   * text `memtable` [wide]: index of a memtable: wide, skiplist. Other comparators than bytewise always get skiplist.
   */
  ESKER_OPT_MEMTABLE = 23,
  /** u64 `block_size` [4096]: target bytes of a data block; 256 B to 4 MiB. */
  ESKER_OPT_BLOCK_SIZE = 30,
  /** u64 `block_entries` [0 = no limit]: entries of a data block; up to 65,535. */
  ESKER_OPT_BLOCK_ENTRIES = 31,
  /** u64 `table_size` [64 MiB]: target bytes of a table; 256 B to 4 GiB. */
  ESKER_OPT_TABLE_SIZE = 32,
  /**
   * text `compression` [none]: none, lz4. With lz4 the data blocks of the last level are compressed, each
   * that becomes smaller by 12.5 % or more.
   */
  ESKER_OPT_COMPRESSION = 33,
  /** text `filter` [blocked]: none, blocked, classic. */
  ESKER_OPT_FILTER = 34,
  /**
   * text `filter_bits` ["14,10"]: bits per key, 0 to 64, level 0 first; the last number also holds
   * for all deeper levels; 0 = no filter there.
   */
  ESKER_OPT_FILTER_BITS = 35,
  /** u64 `cache_bytes` [128 MiB]: bytes of blocks kept in memory. */
  ESKER_OPT_CACHE_BYTES = 40,
  /** u64 `open_tables_max` [1000]: table files held open. */
  ESKER_OPT_OPEN_TABLES_MAX = 41,
  /** u64 `l0_trigger` [4]: tables in level 0 that start a compaction. */
  ESKER_OPT_L0_TRIGGER = 50,
  /**
   * u64 `l0_stop` [64]: flushes in level 0 that stop writers, tables of one flush counted as one;
   * above 64 the same as 64. 32 write buffers in level 0 stop them too. Level 0 never stops writers
   * while it holds fewer tables than l0_trigger.
   */
  ESKER_OPT_L0_STOP = 51,
  /** u64 `level_bytes` [256 MiB]: target bytes of the first sorted level. */
  ESKER_OPT_LEVEL_BYTES = 52,
  /** u64 `level_ratio` [10]: growth of the target from level to level; 2 to 100. */
  ESKER_OPT_LEVEL_RATIO = 53,
  /** u64 `levels` [7]: number of levels; 2 to 8. */
  ESKER_OPT_LEVELS = 54,
  /**
   * u64 `level_dynamic` [1]: 1 derives the targets from the size of the last level; 0 starts from
   * `level_bytes` at level 1.
   */
  ESKER_OPT_LEVEL_DYNAMIC = 55,
  /** text `compaction_pick` [min_overlap]: min_overlap, oldest, round_robin, random. */
  ESKER_OPT_COMPACTION_PICK = 56,
  /** u64 `compaction_seed` [0]: seed of compaction_pick=random. */
  ESKER_OPT_COMPACTION_SEED = 57,
  /** u64 `compaction_auto` [1]: 0 compacts only in esker_compact(). */
  ESKER_OPT_COMPACTION_AUTO = 58,
  /**
   * u64 `subcompactions` [0]: key ranges that one compaction is cut into, to be worked on at the same
   * time; 0 = as threads and its size allow, 1 = never cut.
   */
  ESKER_OPT_SUBCOMPACTIONS = 59,
  /**
   * u64 `threads` [0]: compactions and parts of them that run at a time, beside one flush, in threads
   * that all databases of the process share; 0 = one less than processors, 1 to 8.
   */
  ESKER_OPT_THREADS = 60,
  /**
   * u64 `memtable_budget` [0 = none]: bytes of memtables that all databases of an env hold together; above
   * it, databases that write flush early. What still waits for its flush comes on top. Env.
   */
  ESKER_OPT_MEMTABLE_BUDGET = 61,
  /**
   * u64 `deterministic` [0]: 1 runs all background work inside the calling thread; the same
   * operations then give the same files.
   */
  ESKER_OPT_DETERMINISTIC = 62,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum esker_option esker_option;
#else
typedef uint32_t esker_option;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/** A list of writes applied all or not at all. [one-thread-at-a-time] */
typedef struct esker_batch esker_batch;

/** A database. Made by esker_open(), given up by esker_close(). [any-thread] */
typedef struct esker_db esker_db;

/** Threads, cache, memory budget and logger that databases can share. [any-thread] */
typedef struct esker_env esker_env;

/** A cursor over one frozen view. [one-thread-at-a-time] */
typedef struct esker_iter esker_iter;

/** Settings for esker_open() and esker_env_new(). [one-thread-at-a-time] */
typedef struct esker_options esker_options;

/** A frozen view to read from. [any-thread] */
typedef struct esker_snapshot esker_snapshot;

/** Details of an error: 256 bytes, all of them the first release's minimum. */
typedef struct esker_error {
  /** sizeof(esker_error). */
  uint32_t struct_size;
  /** An esker_status, < 0. */
  int32_t status;
  /** An esker_area. */
  uint32_t area;
  /** esker_error_flags. */
  uint32_t flags;
  /** errno of the failed system call, 0 when there was none. */
  int32_t os_errno;
  /** 0. */
  uint32_t reserved;
  /** Number in the database's error ring, counted from 1; 0 when it did not enter the ring. */
  uint64_t number;
  /** Number of the file concerned, 0 when none. */
  uint64_t file_number;
  /** Byte offset in that file, in the batch or in the text of options. */
  uint64_t offset;
  /** The figure the message speaks of: the limit, the count of children, the pid of the lock's holder. */
  uint64_t value;
  /** What is wrong, naming the thing; NUL-terminated, cut at a character boundary. */
  char message[200];
} esker_error;

/** One option, for help texts, binding generators and validation. */
typedef struct esker_option_info {
  /** sizeof(esker_option_info). */
  uint32_t struct_size;
  /** An esker_option. */
  uint32_t id;
  /** An esker_option_type. */
  uint32_t type;
  /** esker_option_flags. */
  uint32_t flags;
  const char *name;
  /** "bytes", "entries", "" ... */
  const char *unit;
  /** "none|blocked", or NULL. */
  const char *choices;
  const char *default_text;
  const char *doc;
  /** 0 for texts. */
  uint64_t default_u64;
  /** Smallest and largest number; in a list of numbers, of each of them. */
  uint64_t min;
  uint64_t max;
} esker_option_info;

/**
 * Given each line of the log, from any thread, without a line end; not NUL-terminated. Must not call esker.
 */
typedef void (*esker_log_fn)(void *ctx, int32_t level, const char *line, size_t len);

/**
 * How to write. NULL or all-zero (but struct_size): the database's durability, waiting for background
 * work where needed.
 */
typedef struct esker_write_opts {
  /** sizeof(esker_write_opts). */
  uint32_t struct_size;
  /** An esker_durability. */
  uint32_t durability;
  /** esker_write_flags. */
  uint32_t flags;
  /** 0. */
  uint32_t reserved;
  /**
   * Microseconds to wait for background work before TIMEOUT; 0 = as long as it takes. The wait for the
   * disk is not limited.
   */
  uint64_t timeout_us;
} esker_write_opts;

/**
 * Bytes somewhere. data == NULL means "not given" where that is allowed; an empty string has
 * data != NULL and size 0.
 */
typedef struct esker_slice {
  const void *data;
  size_t size;
} esker_slice;

/**
 * How to read. NULL or all-zero (but struct_size): latest view, no bounds, fill the cache, no time limit.
 */
typedef struct esker_read_opts {
  /** sizeof(esker_read_opts). */
  uint32_t struct_size;
  /** esker_read_flags. */
  uint32_t flags;
  /** Read this view; NULL = the latest at the time of the call. */
  const struct esker_snapshot *snapshot;
  /**
   * Range of iterators and scans: from lower (inside) ... data == NULL = not given. Bounds, prefix and
   * limit are ignored by esker_get(), esker_get_pin(), esker_exists() and esker_multi_get().
   */
  struct esker_slice lower;
  /** ... to upper (outside) ... */
  struct esker_slice upper;
  /** ... and only keys that start with prefix. Given together they are intersected. */
  struct esker_slice prefix;
  /** Most rows after a first, last or seek; 0 = all. */
  uint64_t limit;
  /**
   * Microseconds one call may take; 0 = no limit. On TIMEOUT an iterator keeps its position and may be
   * moved again.
   */
  uint64_t timeout_us;
} esker_read_opts;

/**
 * A value lent by the database. Output of esker_get_pin(): contents before the call are ignored. May be
 * moved, not duplicated.
 */
typedef struct esker_pin {
  /** The value; not NULL also when it is empty. */
  const void *data;
  size_t size;
  /** Of the library. All zero = nothing pinned. */
  uint64_t opaque[4];
} esker_pin;

/** Outcome for one key of esker_multi_get(). */
typedef struct esker_get_result {
  /** OK, NOT_FOUND, TOO_SMALL or an error. */
  int32_t status;
  /** 0. */
  uint32_t reserved;
  /** Where the value starts in the buffer; 0 unless OK. */
  uint64_t offset;
  /** Size of the value, also with TOO_SMALL. */
  uint64_t size;
} esker_get_result;

/** One operation of a batch. Pointers are valid until the batch changes. */
typedef struct esker_batch_op {
  /** sizeof(esker_batch_op). */
  uint32_t struct_size;
  /** An esker_op. */
  uint32_t kind;
  /** Number of the keyspace, 0 = the default one. */
  uint32_t keyspace;
  uint32_t reserved;
  struct esker_slice key;
  /** data == NULL for deletes. */
  struct esker_slice value;
} esker_batch_op;

/**
 * The row an iterator stands on. Owned by the iterator, at one address for its whole life, rewritten by
 * every move.
 */
typedef struct esker_row {
  const void *key;
  size_t key_len;
  /** NULL with ESKER_READ_KEYS_ONLY. */
  const void *value;
  size_t value_len;
  /** Sequence number of the write, 0 when compaction has dropped it because no snapshot can tell. */
  uint64_t seq;
  /** esker_row_flags. */
  uint32_t flags;
  uint32_t reserved;
} esker_row;

/**
 * Many rows in one call. Zero it, set struct_size, layout, max_rows, buf and cap; the last three fields are
 * written by the call.
 */
typedef struct esker_chunk {
  /** sizeof(esker_chunk). */
  uint32_t struct_size;
  /** An esker_layout. */
  uint32_t layout;
  /** 0. */
  uint32_t flags;
  /** 0. */
  uint32_t reserved;
  /** Most rows; 0 = as many as fit (PACKED only). */
  uint64_t max_rows;
  /** Where the rows go; may be NULL when cap is 0. */
  void *buf;
  /** Bytes of buf. */
  size_t cap;
  /** Out: bytes of buf in use; 0 without rows. */
  size_t used;
  /** Out: rows in buf. */
  uint64_t rows;
  /** Out, with TOO_SMALL: the cap that the next row needs. */
  size_t need;
} esker_chunk;

/**
 * Told about long work about ten times a second, in the calling thread. Return 0 to go on, anything else
 * to stop (CANCELLED). `total` is an estimate and 0 when unknown; `phase` is static.
 */
typedef int32_t (*esker_progress_fn)(void *ctx, const char *phase, uint64_t done, uint64_t total);

/**
 * Given each finding of esker_verify(). Return 0 to go on, anything else to stop (CANCELLED). `finding` is valid
 * for the call.
 */
typedef int32_t (*esker_report_fn)(void *ctx, const struct esker_error *finding);

/** Progress, cancellation and findings of long work. */
typedef struct esker_job {
  /** sizeof(esker_job). */
  uint32_t struct_size;
  /** 0. */
  uint32_t flags;
  /** Handed to the callbacks. */
  void *ctx;
  /** May be NULL. */
  esker_progress_fn progress;
  /** May be NULL. Only verification has findings. */
  esker_report_fn report;
} esker_job;

/** A key range: from `lower` (inside) to `upper` (outside); data == NULL leaves that end open. */
typedef struct esker_range {
  struct esker_slice lower;
  struct esker_slice upper;
} esker_range;

/** One level of the tree; counters count compactions into it since open. */
typedef struct esker_level_stats {
  uint64_t tables;
  uint64_t bytes;
  uint64_t entries;
  uint64_t tombstones;
  uint64_t compactions;
  uint64_t read_bytes;
  uint64_t written_bytes;
  uint64_t reserved[5];
} esker_level_stats;

/**
 * Numbers of one database. Counters count from open; the sum of a moment is not exact while other
 * threads work.
 */
typedef struct esker_stats {
  /** sizeof(esker_stats). */
  uint32_t struct_size;
  /** Entries of `level` in use. */
  uint32_t levels;
  uint64_t puts;
  uint64_t deletes;
  uint64_t gets;
  uint64_t gets_found;
  uint64_t iterators;
  uint64_t user_bytes_written;
  uint64_t wal_bytes;
  uint64_t wal_syncs;
  uint64_t flushes;
  uint64_t flush_bytes;
  uint64_t compactions;
  uint64_t compaction_bytes_read;
  uint64_t compaction_bytes_written;
  uint64_t stalls;
  uint64_t stall_us;
  uint64_t slowdown_us;
  uint64_t cache_hits;
  uint64_t cache_misses;
  uint64_t cache_bytes;
  uint64_t memtable_bytes;
  uint64_t memtables_immutable;
  uint64_t index_filter_bytes;
  uint64_t table_bytes;
  uint64_t wal_live_bytes;
  uint64_t compaction_debt_bytes;
  uint64_t entries_estimate;
  uint64_t latest_seq;
  uint64_t durable_seq;
  uint64_t snapshots;
  uint64_t oldest_snapshot_seq;
  uint64_t oldest_snapshot_age_us;
  uint64_t live_iterators;
  uint64_t live_pins;
  uint64_t recovered_records;
  uint64_t recovered_dropped_bytes;
  uint64_t errors;
  struct esker_level_stats level[ESKER_LEVELS_MAX];
} esker_stats;

/** What esker_salvage() read and what it could not read. */
typedef struct esker_salvage_result {
  /** sizeof(esker_salvage_result). */
  uint32_t struct_size;
  /** 0. */
  uint32_t reserved;
  /** Tables that were opened, and those that could not be. */
  uint64_t tables;
  uint64_t tables_lost;
  /** Data blocks of the tables that were opened, and those of them that could not be read. */
  uint64_t blocks;
  uint64_t blocks_lost;
  /** Logs that were read, and those that could not be. */
  uint64_t logs;
  uint64_t logs_lost;
  /** Whole records in the logs that were read. */
  uint64_t records;
  /** Damaged places in logs behind which records were found again. */
  uint64_t log_gaps;
  /** Rows of the new database. */
  uint64_t rows;
} esker_salvage_result;

/**
 * Order of two keys: < 0, 0 or > 0. A total order, the same for ever: in every process and every later
 * version of the program. Called from any thread, also while esker holds locks: must not wait for a thread that uses
 * esker, and every function it calls that is not [callback-safe] answers MISUSE.
 */
typedef int32_t (*esker_compare_fn)(void *ctx,
                                    const void *a,
                                    size_t a_len,
                                    const void *b,
                                    size_t b_len);

/**
 * Called once, from any thread, when esker no longer needs ctx. As for esker_compare_fn: no calls of esker.
 */
typedef void (*esker_release_fn)(void *ctx);

/** A key order of the caller instead of the built-in ones; for ESKER_OPT_COMPARATOR_CUSTOM. */
typedef struct esker_comparator {
  /** sizeof(esker_comparator). */
  uint32_t struct_size;
  /** esker_comparator_flags. */
  uint32_t flags;
  /**
   * 1 to 64 bytes of UTF-8, NUL-terminated. Stored in the database, and must be the same at every open. Names that
   * begin with "esker." are taken.
   */
  const char *name;
  /** Passed to both functions. */
  void *ctx;
  esker_compare_fn compare;
  /** May be NULL. */
  esker_release_fn release;
} esker_comparator;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Gives the version of the library in use, in the form of ESKER_VERSION. Cannot fail. [any-thread]
 * [callback-safe]
 */
ESKER_API uint32_t esker_version(void);

/** The same as text, "0.1.0", for messages. Static. Cannot fail. [any-thread] [callback-safe] */
ESKER_API const char *esker_version_text(void);

/**
 * Gives the ABI of the library in use, in the form of ESKER_ABI. Cannot fail. [any-thread]
 * [callback-safe]
 */
ESKER_API uint32_t esker_abi(void);

/**
 * Says whether a program compiled with a header of this ABI and version can use this library. Pass
 * ESKER_ABI and ESKER_VERSION. For users of dlopen; linked programs are covered by the SONAME.
 * ABI_MISMATCH when the ABI differs or the library is older than the header. [any-thread]
 */
ESKER_API ESKER_MUST_USE esker_status esker_abi_check(uint32_t abi, uint32_t version);

/**
 * Names a status, "ESKER_NOT_FOUND". Any number may be passed; unknown ones give "ESKER_UNKNOWN".
 * Static. [any-thread] [callback-safe]
 */
ESKER_API const char *esker_status_name(int32_t status);

/**
 * Gives one English sentence about a status, for people. Static, never NULL. [any-thread]
 * [callback-safe]
 */
ESKER_API const char *esker_status_text(int32_t status);

/**
 * Checks this build on this machine: golden vectors of checksum, hash, filters, coding and batch encoding,
 * vector code against its scalar twin, a put-get-iterate round trip in memory. Takes well under a second,
 * touches no file. `flags` must be 0. PANIC or CORRUPT with a message naming the failed check.
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_selftest(uint32_t flags,
                            struct esker_error *err);

/**
 * Makes an option object with every option at its default. Free it with esker_options_free().
 * [any-thread]
 */
ESKER_API ESKER_MUST_USE esker_status esker_options_new(struct esker_options **options);

/** Makes an independent copy, env and comparator inside counted. [one-thread-at-a-time on the source] */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_clone(const struct esker_options *options,
                                 struct esker_options **copy);

/**
 * Frees an option object; databases opened with it are not affected. NULL is allowed and OK.
 * [one-thread-at-a-time]
 */
ESKER_API esker_status esker_options_free(struct esker_options *options);

/**
 * Sets an option of type U64. INVALID for an unknown id, another type or a value outside its range; the
 * message names the option and its range, and the option keeps its value. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_set_u64(struct esker_options *options,
                                   uint32_t id,
                                   uint64_t value,
                                   struct esker_error *err);

/**
 * Sets an option of type TEXT or, parsed, U64 ("64MiB"). `text` has `len` bytes and need not end in NUL.
 * INVALID as above. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_set_text(struct esker_options *options,
                                    uint32_t id,
                                    const char *text,
                                    size_t len,
                                    struct esker_error *err);

/**
 * Sets an option of type OBJECT to `object`: an `esker_env *` for ESKER_OPT_ENV (counted, so it may be
 * freed), a `const esker_comparator *` for ESKER_OPT_COMPARATOR_CUSTOM (copied; after each call that is OK its `release`
 * is called once, when no options, database, iterator, snapshot or pin needs it any more). NULL goes back to the
 * default. INVALID for an option of another type and for a comparator without a compare or a proper name; MISUSE for
 * a handle of another type. The option keeps its value on an error. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_set_object(struct esker_options *options,
                                      uint32_t id,
                                      const void *object,
                                      struct esker_error *err);

/**
 * Writes the value of an option as text, NUL-terminated and cut to `cap`; `*need` is its length without
 * the NUL. TOO_SMALL when it was cut. buf may be NULL when cap is 0. Objects give their kind or name.
 * [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_get_text(const struct esker_options *options,
                                    uint32_t id,
                                    char *buf,
                                    size_t cap,
                                    size_t *need);

/**
 * Sets several options by name: "write_buffer=8MiB; filter=none". Spaces around names, values and ';' are
 * ignored, '\' escapes ';'. All or nothing: on INVALID no option has changed and `offset` of the error
 * points into the text. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_options_parse(struct esker_options *options,
                                 const char *text,
                                 size_t len,
                                 struct esker_error *err);

/** Says how many options there are. Cannot fail. [any-thread] */
ESKER_API size_t esker_option_count(void);

/**
 * Describes the option at position `index`, 0 to esker_option_count() - 1, in the order of ids. Texts are
 * static. INVALID past the end. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_option_at(size_t index,
                             struct esker_option_info *info);

/** Finds an option's id by its name, NUL-terminated. NOT_FOUND when there is none. [any-thread] */
ESKER_API ESKER_MUST_USE esker_status esker_option_find(const char *name, uint32_t *id);

/**
 * Makes an env: worker threads, block cache, memory budget and logger, to be shared by databases through
 * ESKER_OPT_ENV. Takes the env options of `options` (NULL = defaults); its other options have no effect. A
 * database opened without one has a cache of its own and the threads that the process shares. Threads start
 * with the first database. Free it with esker_env_free(). [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_env_new(const struct esker_options *options,
                           struct esker_env **env,
                           struct esker_error *err);

/**
 * Gives up the caller's hold on an env; it lives on, logger included, until its last database is closed and
 * the last options that name it are freed. NULL is allowed and OK. [any-thread]
 */
ESKER_API
esker_status esker_env_free(struct esker_env *env);

/**
 * Sends the log lines of this env's databases up to `level` (esker_log_level) to `log`, with `ctx`; NULL or
 * level OFF stops them. When the call returns the old callback is no longer running and will not be called again.
 * INVALID for an unknown level, MISUSE from the callback itself. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_env_set_logger(struct esker_env *env,
                                  esker_log_fn log,
                                  void *ctx,
                                  int32_t level);

/**
 * Opens the database in directory `path`, recovering it where needed; returns when it is ready for reads
 * and writes. `options` NULL = defaults; `flags` of esker_open_flags. What a killed process left is as durable as it
 * was: the first esker_sync(), esker_flush(), esker_close(), SYNC or GROUP write makes it survive a power cut.
 * Bytes dropped from a torn, unpromised log tail are counted in esker_stats; promised bytes are never
 * dropped. ESKER_OPEN_MEMORY makes a database without files, ESKER_OPEN_READONLY writes nothing. Also returns
 * MISSING, PRESENT, LOCKED, READONLY (no permission to write), FORMAT,
 * COMPARATOR (it was made in another order of keys; the message names both), INVALID
 * (options contradict each other, or a foreign directory). On failure no file of the database was changed.
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_open(const char *path,
                        const struct esker_options *options,
                        uint32_t flags,
                        struct esker_db **db,
                        struct esker_error *err);

/**
 * Closes a database: refuses new calls, waits for running ones and for the job at work to reach a
 * stopping point, makes the log durable, releases the lock. Flushes memtables only where no log has them or
 * the next open would be slow. BUSY with live iterators or snapshots unless ESKER_CLOSE_DETACH: nothing
 * changed, `value` = their number; pins and batches do not count. On BUSY, ABI_MISMATCH, INVALID and MISUSE nothing happened; after any other status
 * the handle is gone, and an IO error then means that BUFFERED writes may not survive a power cut. NULL is
 * allowed and OK; a second close is MISUSE. Not interruptible; a close during esker_compact() makes that
 * return CANCELLED. In a forked child: FORKED, nothing is freed. [any-thread]
 */
ESKER_API
esker_status esker_close(struct esker_db *db,
                         uint32_t flags,
                         struct esker_error *err);

/**
 * Deletes the database in `path`: takes its lock, removes the files whose names are esker's, and the
 * directory when that leaves it empty (not by a link or ".", nor where its parent may not be written). Foreign
 * files stay. MISSING when there is none, LOCKED when it is open. `options` may be NULL. Interrupted, it can be
 * repeated. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_destroy(const char *path,
                           const struct esker_options *options,
                           struct esker_error *err);

/**
 * Copies details of the last error: of the iterator or batch passed, or the newest entry of the error
 * ring of the database passed. OK with status 0 in `err` when there was none. `err` is required here.
 * [as the handle]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_last_error(const void *handle,
                              struct esker_error *err);

/**
 * Copies entries of the error ring that are newer than number `since` (0 = all), oldest first, into
 * `out`, an array of `cap` structs whose first struct_size holds for all. `*count` = copied, `*newest` =
 * number of the newest entry that exists. The ring keeps 64; a first number above since + 1 shows that
 * some were lost. Background errors enter it, and every error of a function without `err`. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_errors(struct esker_db *db,
                          uint64_t since,
                          struct esker_error *out,
                          size_t cap,
                          size_t *count,
                          uint64_t *newest);

/**
 * Gives the sequence number of the newest write that readers see; 0 for a database never written.
 * [any-thread]
 */
ESKER_API ESKER_MUST_USE esker_status esker_latest_seq(struct esker_db *db, uint64_t *seq);

/** Gives the number up to which every write survives a power cut. [any-thread] */
ESKER_API ESKER_MUST_USE esker_status esker_durable_seq(struct esker_db *db, uint64_t *seq);

/**
 * Stores a value under a key, replacing an older one. `options` NULL = defaults. Returned OK, the write is
 * visible to every later read and survives what its durability says. On an error it is not visible; after
 * IO or NOSPACE it may yet be found after a crash. Also returns LIMIT, POISONED, TIMEOUT. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_put(struct esker_db *db,
                       const struct esker_write_opts *options,
                       const void *key,
                       size_t klen,
                       const void *value,
                       size_t vlen);

/** Deletes a key; an absent key is OK. Otherwise as esker_put(). [any-thread] */
ESKER_API
ESKER_MUST_USE
esker_status esker_delete(struct esker_db *db,
                          const struct esker_write_opts *options,
                          const void *key,
                          size_t klen);

/**
 * Copies the value of a key into `buf`. `*vlen` (required) is always the value's size, 0 when absent.
 * TOO_SMALL when cap is less: nothing was copied. NOT_FOUND when absent. buf may be NULL when cap is 0.
 * Also returns LIMIT (key), TIMEOUT. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_get(struct esker_db *db,
                       const struct esker_read_opts *options,
                       const void *key,
                       size_t klen,
                       void *buf,
                       size_t cap,
                       size_t *vlen);

/**
 * Lends the value of a key without copying it. `*pin` is only written, never read, so an earlier pin in it
 * must have been given back. Valid until esker_unpin(), also after esker_close(). Holds memory: give it
 * back soon. NOT_FOUND leaves the pin all zero. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_get_pin(struct esker_db *db,
                           const struct esker_read_opts *options,
                           const void *key,
                           size_t klen,
                           struct esker_pin *pin);

/**
 * Gives a pin back and zeroes it. NULL and an all-zero pin are OK. A second unpin through a copy is
 * MISUSE. [any-thread]
 */
ESKER_API esker_status esker_unpin(struct esker_pin *pin);

/**
 * Says whether a key is present: OK or NOT_FOUND. `vlen` may be NULL, else gets the value's size. With
 * ESKER_READ_FILTER_ONLY no block is read, OK means "perhaps" and *vlen is 0. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_exists(struct esker_db *db,
                          const struct esker_read_opts *options,
                          const void *key,
                          size_t klen,
                          size_t *vlen);

/**
 * Reads `n` keys from one view into one buffer. The result at a position belongs to the key
 * at that position and holds its status, offset and size; values lie in buf in the order of keys, unpadded. A value that no longer fits gets TOO_SMALL and
 * its size; smaller ones after it may still fit. A key that is wrong (INVALID, LIMIT) or whose read fails has
 * the error as its status. Returns the first error where there is one, else PARTIAL when some are TOO_SMALL
 * (ask for those again), else OK; the other results are right in any case. n = 0 is OK. Keys may repeat; keys,
 * buf and results must not overlap. buf may be NULL when cap is 0. TIMEOUT counts for all keys together.
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_multi_get(struct esker_db *db,
                             const struct esker_read_opts *options,
                             size_t n,
                             const struct esker_slice *keys,
                             void *buf,
                             size_t cap,
                             struct esker_get_result *results);

/** Makes an empty batch. It belongs to no database; free it with esker_batch_free(). [any-thread] */
ESKER_API ESKER_MUST_USE esker_status esker_batch_new(struct esker_batch **batch);

/** Frees a batch. NULL is allowed and OK. [one-thread-at-a-time] */
ESKER_API esker_status esker_batch_free(struct esker_batch *batch);

/** Empties a batch, keeping its memory. [one-thread-at-a-time] */
ESKER_API esker_status esker_batch_clear(struct esker_batch *batch);

/**
 * Makes room for `bytes` more of encoded operations, so that adding them cannot fail for memory. LIMIT
 * above ESKER_BATCH_MAX. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_reserve(struct esker_batch *batch,
                                 size_t bytes);

/**
 * Adds a put. `keyspace` is a database handle of the root the batch will be written to, or NULL for the
 * one given to esker_write(); only its number is kept. Later operations on a key win over earlier ones.
 * On an error (LIMIT, NOMEM) the batch is unchanged. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_put(struct esker_batch *batch,
                             struct esker_db *keyspace,
                             const void *key,
                             size_t klen,
                             const void *value,
                             size_t vlen);

/** Adds a delete. As esker_batch_put(). [one-thread-at-a-time] */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_delete(struct esker_batch *batch,
                                struct esker_db *keyspace,
                                const void *key,
                                size_t klen);

/**
 * Adds all operations of `from`, which is unchanged and may be the same batch. On an error `batch` is
 * unchanged. [one-thread-at-a-time on both]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_append(struct esker_batch *batch,
                                const struct esker_batch *from);

/** Gives the number of operations. [one-thread-at-a-time] */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_count(const struct esker_batch *batch,
                               uint64_t *count);

/**
 * Lends the batch in its public encoding (docs/FORMAT.md, "Batch"), without copying; valid until the batch
 * changes. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_bytes(const struct esker_batch *batch,
                               struct esker_slice *bytes);

/**
 * Replaces the batch's contents by encoded bytes after checking every one of them. CORRUPT with the
 * offset, FORMAT for an unknown version, LIMIT; the batch is then unchanged. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_from_bytes(struct esker_batch *batch,
                                    const void *bytes,
                                    size_t len);

/**
 * Reads the operations one by one: start with *pos = 0 and call until DONE. `*pos` is a byte position and
 * opaque; INVALID when it was not made by this function. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_batch_next(const struct esker_batch *batch,
                              uint64_t *pos,
                              struct esker_batch_op *op);

/**
 * Applies a batch: all or nothing, also across a crash, and visible at one moment. The batch is unchanged
 * and may be written again. `seq` may be NULL, else gets the sequence number of its last operation. An
 * empty batch is OK and, with SYNC, the same as esker_sync(). Otherwise as esker_put(). [any-thread on db,
 * one-thread-at-a-time on batch]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_write(struct esker_db *db,
                         const struct esker_write_opts *options,
                         const struct esker_batch *batch,
                         uint64_t *seq);

/**
 * Applies a batch in its public encoding (docs/FORMAT.md, "Batch"), built in the caller's language: as
 * esker_write(), without a batch handle. Every byte is checked before anything is written: CORRUPT with the
 * offset, FORMAT for an unknown version, LIMIT, INVALID for an unknown keyspace write nothing. `bytes` must
 * not change during the call. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_write_bytes(struct esker_db *db,
                               const struct esker_write_opts *options,
                               const void *bytes,
                               size_t len,
                               uint64_t *seq);

/**
 * Makes every logged write that returned before this call survive a power cut. Writes of durability
 * UNLOGGED are not logged; esker_flush() keeps those. [any-thread]
 */
ESKER_API ESKER_MUST_USE esker_status esker_sync(struct esker_db *db, struct esker_error *err);

/**
 * Waits until writes up to `seq` survive a power cut, without asking for a flush of its own: a SYNC or GROUP
 * write, esker_sync(), esker_flush() or `sync_interval_us` brings it about. PENDING when `timeout_us` passed
 * first (0 = just look). INVALID for a number above esker_latest_seq(). POISONED or CLOSED when it can no
 * longer happen. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_wait_durable(struct esker_db *db,
                                uint64_t seq,
                                uint64_t timeout_us);

/**
 * Makes an iterator over one frozen view: the snapshot of `options`, or the latest. Bounds, prefix and
 * limit are copied. It stands nowhere: esker_iter_next() then goes to the first row, esker_iter_prev() to
 * the last. Keeps tables and memtables of its view alive: free it. INVALID when lower is above upper,
 * UNSUPPORTED for a prefix where the comparator does not keep the keys of one together: all but bytewise, u64_be and reverse.
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_new(struct esker_db *db,
                            const struct esker_read_opts *options,
                            struct esker_iter **iter);

/**
 * Frees an iterator; its row and all key and value pointers end. NULL is allowed and OK. Also after close.
 * [one-thread-at-a-time]
 */
ESKER_API
esker_status esker_iter_free(struct esker_iter *iter);

/**
 * Gives the iterator's row: one address for the iterator's whole life, its contents rewritten by every
 * move and zeroed when a move does not end on a row. Ask once, then read memory. Keys and values are valid
 * until the next move or free. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_row(struct esker_iter *iter,
                            const struct esker_row **row);

/**
 * Goes to the first row of the range. OK on a row, DONE when the range is empty. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_first(struct esker_iter *iter);

/** Goes to the last row of the range. OK or DONE. [one-thread-at-a-time] */
ESKER_API ESKER_MUST_USE esker_status esker_iter_last(struct esker_iter *iter);

/**
 * Goes one row on. DONE past the last row, and again on every further call; esker_iter_prev() from there
 * gives the last row. After an error the same error, until first, last or seek. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_next(struct esker_iter *iter);

/**
 * Goes one row back. DONE before the first row; esker_iter_next() from there gives the first row.
 * [one-thread-at-a-time]
 */
ESKER_API ESKER_MUST_USE esker_status esker_iter_prev(struct esker_iter *iter);

/**
 * Goes to the row that an esker_seek mode names, within the range. OK on a row. DONE when there is none:
 * then the iterator stands past the end (GE, GT), before the start (LE, LT) or nowhere (EQ). Clears an
 * earlier error. INVALID mode, LIMIT key: position unchanged. [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_seek(struct esker_iter *iter,
                             uint32_t mode,
                             const void *key,
                             size_t klen);

/**
 * Copies the following rows (the preceding ones with ESKER_READ_REVERSE) into chunk->buf, beginning after
 * the row the iterator stands on, and leaves it on the last row copied. OK: more may follow. DONE: the range
 * is at its end and the iterator past it; rows may be > 0, so use them first. TOO_SMALL: not even one row
 * fits, chunk->need says what would; nothing moved. On an error the rows before it are in the buffer, and
 * after TIMEOUT the next call goes on behind them. The iterator's row is refreshed. The chunk and its buffer
 * must not be used by other threads meanwhile. INVALID for a chunk that is not as esker_chunk says.
 * [one-thread-at-a-time]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_iter_chunk(struct esker_iter *iter,
                              struct esker_chunk *chunk);

/**
 * Scans in one call, without an iterator: as esker_iter_chunk() over the range of `options`, from its start
 * (its end with ESKER_READ_REVERSE), or after the key *resume. `resume` may be NULL; {NULL, 0} starts.
 * Afterwards it holds the last key copied, lying in chunk->buf, and is unchanged when there was none; it may be
 * passed back as it is, since it is read before the buffer is written. `limit` counts the rows of this
 * call. Calls see one view only with a snapshot. Counts as a live iterator while it runs. INVALID and
 * UNSUPPORTED as esker_iter_new() and esker_iter_chunk(), TIMEOUT. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_scan(struct esker_db *db,
                        const struct esker_read_opts *options,
                        struct esker_chunk *chunk,
                        struct esker_slice *resume);

/**
 * Freezes the view of this moment for later reads and iterators. Cheap, but keeps old versions on disk:
 * free it. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_snapshot_new(struct esker_db *db,
                                struct esker_snapshot **snapshot);

/**
 * Frees a snapshot; iterators made from it go on. NULL is allowed and OK. Also after close. [any-thread]
 */
ESKER_API
esker_status esker_snapshot_free(struct esker_snapshot *snapshot);

/** Gives the sequence number of the newest write in the snapshot. [any-thread] */
ESKER_API
ESKER_MUST_USE
esker_status esker_snapshot_seq(const struct esker_snapshot *snapshot,
                                uint64_t *seq);

/** Writes every memtable to tables and returns when these are durable. [any-thread] */
ESKER_API ESKER_MUST_USE esker_status esker_flush(struct esker_db *db, struct esker_error *err);

/**
 * Tries to take writes up again after POISONED by an I/O error: abandons the damaged log, writes what memory
 * holds into new tables, starts a new log. Flushes and compactions that failed are tried again at once, also when
 * writes were not stopped. OK also when nothing was wrong. The error's status (IO, NOSPACE, READONLY) when the cause
 * persists, and nothing has changed; the first error's when memory itself is damaged (CORRUPT, NOMEM) or the comparator is wrong (COMPARATOR), POISONED after
 * PANIC: then only closing and opening helps. Writers wait meanwhile, readers do not. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_resume(struct esker_db *db,
                          struct esker_error *err);

/**
 * Flushes, then merges the tables of a key range down to one sorted run and returns when done. `lo` and
 * `hi` may be NULL (open ends); `hi` is outside unless ESKER_COMPACT_UPPER_INCLUSIVE. `job` may be NULL.
 * Files that killed processes left are removed. Reads and writes go on. CANCELLED through `job` leaves a sound, partly
 * merged tree. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_compact(struct esker_db *db,
                           const struct esker_slice *lo,
                           const struct esker_slice *hi,
                           uint32_t flags,
                           const struct esker_job *job,
                           struct esker_error *err);

/**
 * Makes an openable copy in the directory `dir`, by hard links where the file system allows and copies elsewhere,
 * holding every write that returned before the call (and perhaps later ones, in order), and durable when it
 * returns. Makes `dir` if it is not there, not its parent (MISSING); PRESENT when it exists and holds more than a LOCK.
 * `job` may be NULL; its progress counts bytes of tables. CANCELLED or failed, it takes away what it made; killed, it
 * leaves a directory that does not open, for esker_destroy() or, with a LOCK alone, for the next one. The copy has an
 * identity of its own and shares no later fate with the database. Flushes; writers and readers go on. INVALID for a
 * database in memory, POISONED when writes are stopped. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_checkpoint(struct esker_db *db,
                              const char *dir,
                              const struct esker_job *job,
                              struct esker_error *err);

/**
 * Estimates the bytes on disk and in memtables of `n` ranges into sizes[0..n). Reads no data blocks.
 * INVALID when a lower end is above its upper end. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_approx_sizes(struct esker_db *db,
                                size_t n,
                                const struct esker_range *ranges,
                                uint64_t *sizes);

/** Fills the numbers of a database. Costs microseconds, takes no lock that writers need. [any-thread] */
ESKER_API
ESKER_MUST_USE
esker_status esker_db_stats(struct esker_db *db,
                            struct esker_stats *stats);

/**
 * Writes a named text: "levels", "tables", "options", "stats", "stats.json", "memtables", "version".
 * "stats.json" is one JSON object of numbers under the names of esker_stats, with an array "level"; the
 * others are for people. `name` and the text end in NUL; `*need` is the length without it, TOO_SMALL when
 * it was cut. buf may be NULL when cap is 0. NOT_FOUND for an unknown name. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_property(struct esker_db *db,
                            const char *name,
                            char *buf,
                            size_t cap,
                            size_t *need);

/**
 * Writes all numbers in the Prometheus text format (version 0.0.4), for a program that serves them; names,
 * types and meanings are listed in docs/METRICS.md. Text, `*need` and TOO_SMALL as in esker_property().
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_metrics_text(struct esker_db *db,
                                char *buf,
                                size_t cap,
                                size_t *need);

/**
 * Checks an open database while it is in use, to the depth `level` of an esker_verify_level. `job` may be NULL;
 * its progress counts bytes of tables, its report callback gets every finding. Without that the first finding is in
 * `err` and up to 64 are in the error ring. OK = sound; CORRUPT = at least one finding; CANCELLED by a callback or
 * by a close; INVALID for an unknown level. Changes nothing; writers go on. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_verify(struct esker_db *db,
                          uint32_t level,
                          const struct esker_job *job,
                          struct esker_error *err);

/**
 * The same, to the same `level`, for a database in `path` that is not open, also one that does not open. Takes the lock where the
 * directory is writable and writes nothing else. `options` may be NULL; only a custom comparator and the file mode
 * count, built-in ones are known by their names. Files that the database does not need are no finding. Also returns
 * MISSING, LOCKED, COMPARATOR. [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_verify_path(const char *path,
                               const struct esker_options *options,
                               uint32_t level,
                               const struct esker_job *job,
                               struct esker_error *err);

/**
 * Reads what can be read of the database in `path`, which is damaged and not open, into a new one in `new_path`, which
 * must be absent (its parent is there) or hold nothing. Writes nothing into `path` but the lock file. With a manifest
 * that verifies, what it names is read: of a table every block whose checksum holds, of logs what opening would
 * count or, where that is damaged, every whole record. Without one, all tables and logs by their names; then older
 * versions and deleted rows may come back. Of each key the newest version that was read counts.
 *
 * `options` may be NULL; they are those of the new database, a custom comparator must be among them, and without a
 * manifest the comparator too. `job` may be NULL; its progress counts entries, its report callback gets everything
 * that could not be read, which is no error. `result` may be NULL, struct_size filled in; it is filled also after an
 * error, `path` and `new_path` end in NUL. OK = the new database is complete and closed; MISSING when `path` holds no
 * database; LOCKED; PRESENT or INVALID when `new_path` holds something; COMPARATOR; CANCELLED by a callback; IO,
 * NOSPACE, NOMEM. After an error the new directory is removed, after a kill it is left, incomplete.
 * [any-thread]
 */
ESKER_API
ESKER_MUST_USE
esker_status esker_salvage(const char *path,
                           const struct esker_options *options,
                           const char *new_path,
                           const struct esker_job *job,
                           struct esker_salvage_result *result,
                           struct esker_error *err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* ESKER_H */
