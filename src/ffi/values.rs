//! Values of flags and modes, as C sees them. Functions take plain integers and check them.
//!
//! Invariants
//! 1. Numbers are frozen; a test in C compares them.
#![allow(rustdoc::broken_intra_doc_links, reason = "in the header's text [64 MiB] is a default")]
#![allow(non_camel_case_types, reason = "names of the C header")]
#![allow(dead_code, reason = "C programs use what this crate does not")]

/// Flags of esker_open().
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_open_flags {
    /// Create the database when there is none: the directory is absent (its parent is not), or holds
    /// nothing but names that begin with '.', and lost+found.
    ESKER_OPEN_CREATE = 1,
    /// With CREATE: fail with PRESENT when there is one.
    ESKER_OPEN_EXCLUSIVE = 2,
    /// Write nothing at all: no file, no name, no recovery output; the log is replayed into memory. Writing calls
    /// answer READONLY. Works without permission to write and on read-only media. Shares the lock with other
    /// readers, where there is one: LOCKED while a writer has the database, and the other way round. Goes with no
    /// other flag.
    ESKER_OPEN_READONLY = 4,
    /// No files: a new, empty database in memory that ends with esker_close(). The path is ignored and may
    /// be NULL; CREATE and EXCLUSIVE make no difference. Everything works as on a disk that is never cut
    /// off: esker_sync() and SYNC writes have nothing to wait for, flush and compaction keep memory in
    /// proportion to the data.
    ESKER_OPEN_MEMORY = 8,
}

/// Flags of esker_close().
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_close_flags {
    /// Close although there are live children: their next call answers CLOSED. Pins stay readable until
    /// unpinned, the row an iterator showed last until the iterator is freed.
    ESKER_CLOSE_DETACH = 1,
}

/// What a returned write survives. Each level includes the ones above it.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_durability {
    /// The database's `durability` option (BUFFERED unless set).
    ESKER_DURABILITY_DEFAULT = 0,
    /// Nothing: not logged; kept once flushed.
    ESKER_DURABILITY_UNLOGGED = 1,
    /// A kill of the process.
    ESKER_DURABILITY_BUFFERED = 2,
    /// A power cut; the call waits up to `group_sync_us` for other writers to share one flush.
    ESKER_DURABILITY_GROUP = 3,
    /// A power cut; flushed at once.
    ESKER_DURABILITY_SYNC = 4,
}

/// Flags of esker_read_opts.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_read_flags {
    /// `lower` itself is outside the range.
    ESKER_READ_LOWER_EXCLUSIVE = 1,
    /// `upper` itself is inside the range.
    ESKER_READ_UPPER_INCLUSIVE = 2,
    /// esker_iter_chunk() and esker_scan() go from the end of the range to its start. No effect on other
    /// calls.
    ESKER_READ_REVERSE = 4,
    /// Blocks read for this call do not enter the cache.
    ESKER_READ_NO_FILL_CACHE = 8,
    /// Iterators only: value pointers are NULL, lengths are still right. No effect on other calls.
    ESKER_READ_KEYS_ONLY = 16,
    /// esker_exists() only: ask memtables and filters, read no block; OK then means "perhaps". No effect
    /// on other calls.
    ESKER_READ_FILTER_ONLY = 32,
}

/// Flags of esker_write_opts.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_write_flags {
    /// Return TIMEOUT at once where the write would have to wait for background work.
    ESKER_WRITE_NO_STALL = 1,
}

/// Where esker_iter_seek() goes.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_seek {
    /// First key >= the given one.
    ESKER_SEEK_GE = 0,
    /// First key > the given one.
    ESKER_SEEK_GT = 1,
    /// Last key <= the given one.
    ESKER_SEEK_LE = 2,
    /// Last key < the given one.
    ESKER_SEEK_LT = 3,
    /// Exactly the given key.
    ESKER_SEEK_EQ = 4,
}

/// Layout of the bytes in esker_chunk.buf. All integers are little-endian.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_layout {
    /// Rows one after the other, no padding: u32 key length, u32 value length, key, value. With KEYS_ONLY no
    /// value bytes follow; the value length is still the true one.
    ESKER_LAYOUT_PACKED = 0,
    /// An array of 2 * max_rows + 1 u32 offsets into buf, then bytes. Key i is [offset[2i], offset[2i+1]),
    /// value i is [offset[2i+1], offset[2i+2]); offset[0] is the end of the array, rounded up to a multiple
    /// of 8. Offsets behind offset[2 * rows] are not written. With KEYS_ONLY values are empty. max_rows is
    /// required, from 1 to 500,000,000; cap must be below 4 GiB.
    ESKER_LAYOUT_COLUMNS = 1,
}

/// Kind of one operation in a batch; also its byte in the batch encoding, where 0 is illegal.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_op {
    /// Put.
    ESKER_OP_PUT = 1,
    /// Delete.
    ESKER_OP_DELETE = 2,
}

/// Type of an option's value.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_option_type {
    /// Unsigned integer; texts may carry KiB, MiB, GiB (1024-fold) or k, M, G (1000-fold); booleans are
    /// 0 and 1.
    ESKER_OPTION_U64 = 0,
    /// Text, one of `choices` where that is set.
    ESKER_OPTION_TEXT = 1,
    /// A handle or struct given by esker_options_set_object().
    ESKER_OPTION_OBJECT = 2,
}

/// Flags of an option.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_option_flags {
    /// Fixed when the database is created; reopening with another value is an error.
    ESKER_OPTION_PERSISTENT = 1,
    /// Belongs to esker_env_new(); ignored by esker_open() when an env is given.
    ESKER_OPTION_ENV = 2,
}

/// Levels of the logger.
#[repr(i32)]
#[derive(Clone, Copy)]
pub enum esker_log_level {
    /// Nothing.
    ESKER_LOG_OFF = 0,
    /// Work failed, writes are stopped.
    ESKER_LOG_ERROR = 1,
    /// Writers wait; unsynced bytes of a log are lost.
    ESKER_LOG_WARN = 2,
    /// Databases are opened and closed, jobs have ended.
    ESKER_LOG_INFO = 3,
    /// Everything.
    ESKER_LOG_DEBUG = 4,
}

/// Which part of the database an error is about.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_area {
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
}

/// Flags of esker_error.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_error_flags {
    /// The same call may succeed later without intervention.
    ESKER_ERROR_RETRYABLE = 1,
    /// The database refuses writes from here on, until it is opened again.
    ESKER_ERROR_DB_POISONED = 2,
    /// Acknowledged data may be unreadable.
    ESKER_ERROR_DATA_AT_RISK = 4,
    /// The calling program broke a rule of this header.
    ESKER_ERROR_CALLER_BUG = 8,
}

/// Flags of esker_row.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_row_flags {
    /// The row holds an entry. Clear at the end of the range, after an error, and before the first move.
    ESKER_ROW_VALID = 1,
}

/// Flags of esker_compact().
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_compact_flags {
    /// Rewrite also tables that need not be merged (drops every droppable version, applies changed table
    /// options).
    ESKER_COMPACT_FORCE = 1,
    /// `hi` itself is inside the range.
    ESKER_COMPACT_UPPER_INCLUSIVE = 2,
}

/// Flags of an esker_comparator.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_comparator_flags {
    /// Keys that compare equal are the same bytes. Without it esker never compares the bytes of keys and writes
    /// no filters: reads of absent keys then cost more. Claimed wrongly, keys are lost.
    ESKER_COMPARATOR_EXACT = 1,
}

/// How much esker_verify() reads.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_verify_level {
    /// Manifest, logs, presence, size and identity of every table, order of the levels.
    ESKER_VERIFY_METADATA = 0,
    /// And every byte of every file against its checksum.
    ESKER_VERIFY_CHECKSUMS = 1,
    /// And key order, index separators, counts, sequence ranges, and every key against its table's filter.
    ESKER_VERIFY_FULL = 2,
}

/// Ids of options. Frozen; names, units, defaults and limits are reported by esker_option_at(). Defaults
/// in brackets.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum esker_option {
    /// object `env` [private]: an esker_env.
    ESKER_OPT_ENV = 2,
    /// text `comparator` [bytewise]: bytewise, reverse, u64_be, u64_le, i64_le; the last three order keys of
    /// exactly eight bytes as numbers and refuse others. Stored with the database: opening it in another
    /// order is COMPARATOR.
    ESKER_OPT_COMPARATOR = 3,
    /// object `comparator_custom` []: an esker_comparator, instead of `comparator`. Its name and its flag EXACT
    /// are stored with the database.
    ESKER_OPT_COMPARATOR_CUSTOM = 4,
    /// u64 `file_mode` [0600]: mode of new files before the umask, 0600 to 0777, octal in texts;
    /// directories get the matching x bits.
    ESKER_OPT_FILE_MODE = 5,
    /// u64 `durability` [2]: what ESKER_DURABILITY_DEFAULT means; 1 to 4.
    ESKER_OPT_DURABILITY = 10,
    /// u64 `group_sync_us` [500]: longest wait of a GROUP write, microseconds, up to 1 s; 0 = none.
    ESKER_OPT_GROUP_SYNC_US = 11,
    /// text `recovery` [default]: default, strict, point_in_time. What esker_open() does about logs of a process that did
    /// not close. default drops a torn tail, as an ordinary crash leaves it, and answers CORRUPT when anything is
    /// missing or damaged that is known to have been durable. strict answers CORRUPT, with file and offset, also for a
    /// torn tail of a log or manifest. point_in_time ends the history before the first damage of a log: everything
    /// before it is there, nothing after it; the error ring says what was lost, and the first change keeps a copy of
    /// every log that is given up, under the name `*.wal.damaged`. Damage of the manifest is CORRUPT in each.
    ESKER_OPT_RECOVERY = 13,
    /// text `verify_on_open` [metadata]: none, metadata, full. What esker_open() looks at of the tables beforehand:
    /// none does not even look whether they are there; metadata that each is a file of its size; full reads every byte
    /// as esker_verify() does to ESKER_VERIFY_FULL, the first finding is the error. Manifest and logs are always read
    /// whole, and a table whenever it is used.
    ESKER_OPT_VERIFY_ON_OPEN = 14,
    /// u64 `sync_interval_us` [0 = off]: logged writes are flushed behind the scenes this many
    /// microseconds after they were made, up to one hour; no writer waits for that.
    ESKER_OPT_SYNC_INTERVAL_US = 15,
    /// u64 `write_buffer` [64 MiB]: bytes of one memtable; 64 B to 4 GiB.
    ESKER_OPT_WRITE_BUFFER = 20,
    /// u64 `write_buffer_entries` [0 = no limit]: entries of one memtable.
    ESKER_OPT_WRITE_BUFFER_ENTRIES = 21,
    /// u64 `immutable_max` [3]: full memtables waiting for a flush before writers stop; 1 to 16.
    ESKER_OPT_IMMUTABLE_MAX = 22,
    /// text `memtable` [wide]: index of a memtable: wide, skiplist. Other comparators than bytewise always get skiplist.
    ESKER_OPT_MEMTABLE = 23,
    /// u64 `block_size` [4096]: target bytes of a data block; 256 B to 4 MiB.
    ESKER_OPT_BLOCK_SIZE = 30,
    /// u64 `block_entries` [0 = no limit]: entries of a data block; up to 65,535.
    ESKER_OPT_BLOCK_ENTRIES = 31,
    /// u64 `table_size` [64 MiB]: target bytes of a table; 256 B to 4 GiB.
    ESKER_OPT_TABLE_SIZE = 32,
    /// text `compression` [none]: none, lz4. With lz4 the data blocks of the last level are compressed, each
    /// that becomes smaller by 12.5 % or more.
    ESKER_OPT_COMPRESSION = 33,
    /// text `filter` [blocked]: none, blocked, classic.
    ESKER_OPT_FILTER = 34,
    /// text `filter_bits` ["14,10"]: bits per key, 0 to 64, level 0 first; the last number also holds
    /// for all deeper levels; 0 = no filter there.
    ESKER_OPT_FILTER_BITS = 35,
    /// u64 `cache_bytes` [128 MiB]: bytes of blocks kept in memory.
    ESKER_OPT_CACHE_BYTES = 40,
    /// u64 `open_tables_max` [1000]: table files held open.
    ESKER_OPT_OPEN_TABLES_MAX = 41,
    /// u64 `l0_trigger` [4]: tables in level 0 that start a compaction.
    ESKER_OPT_L0_TRIGGER = 50,
    /// u64 `l0_stop` [64]: flushes in level 0 that stop writers, tables of one flush counted as one;
    /// above 64 the same as 64. 32 write buffers in level 0 stop them too. Level 0 never stops writers
    /// while it holds fewer tables than l0_trigger.
    ESKER_OPT_L0_STOP = 51,
    /// u64 `level_bytes` [256 MiB]: target bytes of the first sorted level.
    ESKER_OPT_LEVEL_BYTES = 52,
    /// u64 `level_ratio` [10]: growth of the target from level to level; 2 to 100.
    ESKER_OPT_LEVEL_RATIO = 53,
    /// u64 `levels` [7]: number of levels; 2 to 8.
    ESKER_OPT_LEVELS = 54,
    /// u64 `level_dynamic` [1]: 1 derives the targets from the size of the last level; 0 starts from
    /// `level_bytes` at level 1.
    ESKER_OPT_LEVEL_DYNAMIC = 55,
    /// text `compaction_pick` [min_overlap]: min_overlap, oldest, round_robin, random.
    ESKER_OPT_COMPACTION_PICK = 56,
    /// u64 `compaction_seed` [0]: seed of compaction_pick=random.
    ESKER_OPT_COMPACTION_SEED = 57,
    /// u64 `compaction_auto` [1]: 0 compacts only in esker_compact().
    ESKER_OPT_COMPACTION_AUTO = 58,
    /// u64 `subcompactions` [0]: key ranges that one compaction is cut into, to be worked on at the same
    /// time; 0 = as threads and its size allow, 1 = never cut.
    ESKER_OPT_SUBCOMPACTIONS = 59,
    /// u64 `threads` [0]: compactions and parts of them that run at a time, beside one flush, in threads
    /// that all databases of the process share; 0 = one less than processors, 1 to 8.
    ESKER_OPT_THREADS = 60,
    /// u64 `memtable_budget` [0 = none]: bytes of memtables that all databases of an env hold together; above
    /// it, databases that write flush early. What still waits for its flush comes on top. Env.
    ESKER_OPT_MEMTABLE_BUDGET = 61,
    /// u64 `deterministic` [0]: 1 runs all background work inside the calling thread; the same
    /// operations then give the same files.
    ESKER_OPT_DETERMINISTIC = 62,
}
