//! Constants, opaque types and structs of the C header.
//!
//! Invariants
//! 1. The opaque types are never made, only pointed to, and never dereferenced. No struct has padding;
//!    sizes and offsets are compared from C.
//! 2. The first release's sizes are frozen as `MIN_SIZE`; later fields are only appended.
#![allow(non_camel_case_types, reason = "names of the C header")]
#![allow(unsafe_code, reason = "marks the structs that may be made of zero bytes")]

use crate::types::{BATCH_LEN_MAX, KEY_LEN_MAX, LEVELS_MAX, VALUE_LEN_MAX};
use std::ffi::{c_char, c_void};

/// Version of this header: major * 1000000 + minor * 1000 + patch.
pub const ESKER_VERSION: u32 = 1000;
/// ABI of this header; the N of libesker.so.N. Within one ABI there are only additions.
pub const ESKER_ABI: u32 = 0;
/// Longest key in bytes.
pub const ESKER_KEY_MAX: usize = 65535;
/// Largest value in bytes (1 GiB).
pub const ESKER_VALUE_MAX: usize = 1073741824;
/// Largest encoded batch in bytes (1 GiB + 1 MiB).
pub const ESKER_BATCH_MAX: usize = 1074790400;
/// Entries of esker_stats.level.
pub const ESKER_LEVELS_MAX: usize = 8;

const _: () = assert!(ESKER_KEY_MAX == KEY_LEN_MAX && ESKER_VALUE_MAX == VALUE_LEN_MAX);
const _: () = assert!(ESKER_BATCH_MAX == BATCH_LEN_MAX && ESKER_LEVELS_MAX == LEVELS_MAX);

/// A database. Made by esker_open(), given up by esker_close(). [any-thread]
pub struct esker_db {
    _private: [u8; 0],
}

/// Threads, cache, memory budget and logger that databases can share. [any-thread]
pub struct esker_env {
    _private: [u8; 0],
}

/// Settings for esker_open() and esker_env_new(). [one-thread-at-a-time]
pub struct esker_options {
    _private: [u8; 0],
}

/// A cursor over one frozen view. [one-thread-at-a-time]
pub struct esker_iter {
    _private: [u8; 0],
}

/// A list of writes applied all or not at all. [one-thread-at-a-time]
pub struct esker_batch {
    _private: [u8; 0],
}

/// A frozen view to read from. [any-thread]
pub struct esker_snapshot {
    _private: [u8; 0],
}

/// Bytes somewhere. data == NULL means "not given" where that is allowed; an empty string has
/// data != NULL and size 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_slice {
    pub data: *const c_void,
    pub size: usize,
}

/// Details of an error: 256 bytes, all of them the first release's minimum.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_error {
    /// sizeof(esker_error).
    pub struct_size: u32,
    /// An esker_status, < 0.
    pub status: i32,
    /// An esker_area.
    pub area: u32,
    /// esker_error_flags.
    pub flags: u32,
    /// errno of the failed system call, 0 when there was none.
    pub os_errno: i32,
    /// 0.
    pub reserved: u32,
    /// Number in the database's error ring, counted from 1; 0 when it did not enter the ring.
    pub number: u64,
    /// Number of the file concerned, 0 when none.
    pub file_number: u64,
    /// Byte offset in that file, in the batch or in the text of options.
    pub offset: u64,
    /// The figure the message speaks of: the limit, the count of children, the pid of the lock's holder.
    pub value: u64,
    /// What is wrong, naming the thing; NUL-terminated, cut at a character boundary.
    pub message: [c_char; 200],
}

/// A key range: from `lower` (inside) to `upper` (outside); data == NULL leaves that end open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_range {
    pub lower: esker_slice,
    pub upper: esker_slice,
}

/// How to read. NULL or all-zero (but struct_size): latest view, no bounds, fill the cache, no time limit.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_read_opts {
    /// sizeof(esker_read_opts).
    pub struct_size: u32,
    /// esker_read_flags.
    pub flags: u32,
    /// Read this view; NULL = the latest at the time of the call.
    pub snapshot: *const esker_snapshot,
    /// Range of iterators and scans: from lower (inside) ... data == NULL = not given. Bounds, prefix and
    /// limit are ignored by esker_get(), esker_get_pin(), esker_exists() and esker_multi_get().
    pub lower: esker_slice,
    /// ... to upper (outside) ...
    pub upper: esker_slice,
    /// ... and only keys that start with prefix. Given together they are intersected.
    pub prefix: esker_slice,
    /// Most rows after a first, last or seek; 0 = all.
    pub limit: u64,
    /// Microseconds one call may take; 0 = no limit. On TIMEOUT an iterator keeps its position and may be
    /// moved again.
    pub timeout_us: u64,
}

/// How to write. NULL or all-zero (but struct_size): the database's durability, waiting for background
/// work where needed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_write_opts {
    /// sizeof(esker_write_opts).
    pub struct_size: u32,
    /// An esker_durability.
    pub durability: u32,
    /// esker_write_flags.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// Microseconds to wait for background work before TIMEOUT; 0 = as long as it takes. The wait for the
    /// disk is not limited.
    pub timeout_us: u64,
}

/// A value lent by the database. Output of esker_get_pin(): contents before the call are ignored. May be
/// moved, not duplicated.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_pin {
    /// The value; not NULL also when it is empty.
    pub data: *const c_void,
    pub size: usize,
    /// Of the library. All zero = nothing pinned.
    pub opaque: [u64; 4],
}

/// The row an iterator stands on. Owned by the iterator, at one address for its whole life, rewritten by
/// every move.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_row {
    pub key: *const c_void,
    pub key_len: usize,
    /// NULL with ESKER_READ_KEYS_ONLY.
    pub value: *const c_void,
    pub value_len: usize,
    /// Sequence number of the write, 0 when compaction has dropped it because no snapshot can tell.
    pub seq: u64,
    /// esker_row_flags.
    pub flags: u32,
    pub reserved: u32,
}

/// Outcome for one key of esker_multi_get().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_get_result {
    /// OK, NOT_FOUND, TOO_SMALL or an error.
    pub status: i32,
    /// 0.
    pub reserved: u32,
    /// Where the value starts in the buffer; 0 unless OK.
    pub offset: u64,
    /// Size of the value, also with TOO_SMALL.
    pub size: u64,
}

/// Many rows in one call. Zero it, set struct_size, layout, max_rows, buf and cap; the last three fields are
/// written by the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_chunk {
    /// sizeof(esker_chunk).
    pub struct_size: u32,
    /// An esker_layout.
    pub layout: u32,
    /// 0.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
    /// Most rows; 0 = as many as fit (PACKED only).
    pub max_rows: u64,
    /// Where the rows go; may be NULL when cap is 0.
    pub buf: *mut c_void,
    /// Bytes of buf.
    pub cap: usize,
    /// Out: bytes of buf in use; 0 without rows.
    pub used: usize,
    /// Out: rows in buf.
    pub rows: u64,
    /// Out, with TOO_SMALL: the cap that the next row needs.
    pub need: usize,
}

/// One operation of a batch. Pointers are valid until the batch changes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_batch_op {
    /// sizeof(esker_batch_op).
    pub struct_size: u32,
    /// An esker_op.
    pub kind: u32,
    /// Number of the keyspace, 0 = the default one.
    pub keyspace: u32,
    pub reserved: u32,
    pub key: esker_slice,
    /// data == NULL for deletes.
    pub value: esker_slice,
}

/// Told about long work about ten times a second, in the calling thread. Return 0 to go on, anything else
/// to stop (CANCELLED). `total` is an estimate and 0 when unknown; `phase` is static.
pub type esker_progress_fn = Option<
    unsafe extern "C" fn(ctx: *mut c_void, phase: *const c_char, done: u64, total: u64) -> i32,
>;

/// Order of two keys: < 0, 0 or > 0. A total order, the same for ever: in every process and every later
/// version of the program. Called from any thread, also while esker holds locks: must not wait for a thread that uses
/// esker, and every function it calls that is not [callback-safe] answers MISUSE.
pub type esker_compare_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        a: *const c_void,
        a_len: usize,
        b: *const c_void,
        b_len: usize,
    ) -> i32,
>;

/// Called once, from any thread, when esker no longer needs ctx. As for esker_compare_fn: no calls of esker.
pub type esker_release_fn = Option<unsafe extern "C" fn(ctx: *mut c_void)>;

/// A key order of the caller instead of the built-in ones; for ESKER_OPT_COMPARATOR_CUSTOM.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_comparator {
    /// sizeof(esker_comparator).
    pub struct_size: u32,
    /// esker_comparator_flags.
    pub flags: u32,
    /// 1 to 64 bytes of UTF-8, NUL-terminated. Stored in the database, and must be the same at every open. Names that
    /// begin with "esker." are taken.
    pub name: *const c_char,
    /// Passed to both functions.
    pub ctx: *mut c_void,
    pub compare: esker_compare_fn,
    /// May be NULL.
    pub release: esker_release_fn,
}

/// Given each line of the log, from any thread, without a line end; not NUL-terminated. Must not call esker.
pub type esker_log_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, level: i32, line: *const c_char, len: usize)>;

/// Given each finding of esker_verify(). Return 0 to go on, anything else to stop (CANCELLED). `finding` is valid
/// for the call.
pub type esker_report_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, finding: *const esker_error) -> i32>;

/// Progress, cancellation and findings of long work.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_job {
    /// sizeof(esker_job).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// Handed to the callbacks.
    pub ctx: *mut c_void,
    /// May be NULL.
    pub progress: esker_progress_fn,
    /// May be NULL. Only verification has findings.
    pub report: esker_report_fn,
}

/// What esker_salvage() read and what it could not read.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_salvage_result {
    /// sizeof(esker_salvage_result).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Tables that were opened, and those that could not be.
    pub tables: u64,
    pub tables_lost: u64,
    /// Data blocks of the tables that were opened, and those of them that could not be read.
    pub blocks: u64,
    pub blocks_lost: u64,
    /// Logs that were read, and those that could not be.
    pub logs: u64,
    pub logs_lost: u64,
    /// Whole records in the logs that were read.
    pub records: u64,
    /// Damaged places in logs behind which records were found again.
    pub log_gaps: u64,
    /// Rows of the new database.
    pub rows: u64,
}

/// One option, for help texts, binding generators and validation.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_option_info {
    /// sizeof(esker_option_info).
    pub struct_size: u32,
    /// An esker_option.
    pub id: u32,
    /// An esker_option_type.
    pub r#type: u32,
    /// esker_option_flags.
    pub flags: u32,
    pub name: *const c_char,
    /// "bytes", "entries", "" ...
    pub unit: *const c_char,
    /// "none|blocked", or NULL.
    pub choices: *const c_char,
    pub default_text: *const c_char,
    pub doc: *const c_char,
    /// 0 for texts.
    pub default_u64: u64,
    /// Smallest and largest number; in a list of numbers, of each of them.
    pub min: u64,
    pub max: u64,
}

/// One level of the tree; counters count compactions into it since open.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_level_stats {
    pub tables: u64,
    pub bytes: u64,
    pub entries: u64,
    pub tombstones: u64,
    pub compactions: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub reserved: [u64; 5],
}

/// Numbers of one database. Counters count from open; the sum of a moment is not exact while other
/// threads work.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct esker_stats {
    /// sizeof(esker_stats).
    pub struct_size: u32,
    /// Entries of `level` in use.
    pub levels: u32,
    pub puts: u64,
    pub deletes: u64,
    pub gets: u64,
    pub gets_found: u64,
    pub iterators: u64,
    pub user_bytes_written: u64,
    pub wal_bytes: u64,
    pub wal_syncs: u64,
    pub flushes: u64,
    pub flush_bytes: u64,
    pub compactions: u64,
    pub compaction_bytes_read: u64,
    pub compaction_bytes_written: u64,
    pub stalls: u64,
    pub stall_us: u64,
    pub slowdown_us: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_bytes: u64,
    pub memtable_bytes: u64,
    pub memtables_immutable: u64,
    pub index_filter_bytes: u64,
    pub table_bytes: u64,
    pub wal_live_bytes: u64,
    pub compaction_debt_bytes: u64,
    pub entries_estimate: u64,
    pub latest_seq: u64,
    pub durable_seq: u64,
    pub snapshots: u64,
    pub oldest_snapshot_seq: u64,
    pub oldest_snapshot_age_us: u64,
    pub live_iterators: u64,
    pub live_pins: u64,
    pub recovered_records: u64,
    pub recovered_dropped_bytes: u64,
    pub errors: u64,
    pub level: [esker_level_stats; ESKER_LEVELS_MAX],
}

/// Plain data of the boundary.
///
/// # Safety
/// All-zero bytes are a valid value, and there is no padding.
pub unsafe trait Plain: Copy {}

/// Plain data whose first field is `struct_size`.
///
/// # Safety
/// As `Plain`; the first four bytes are `struct_size`, and `MIN_SIZE` is at most `size_of::<Self>()`.
pub unsafe trait Sized32: Plain {
    /// Size in the first release.
    const MIN_SIZE: usize;
}

/// Marks plain types.
macro_rules! plain {
    ($($type:ty),* $(,)?) => {
        $(
            // SAFETY: integers, raw pointers and optional function pointers only; no padding.
            unsafe impl Plain for $type {}
        )*
    };
}

/// Marks sized structs and checks their layout.
macro_rules! sized {
    ($($type:ty = $min:literal),* $(,)?) => {
        plain!($($type),*);
        $(
            // SAFETY: `struct_size` is the first field of a repr(C) struct; the sizes are checked below.
            unsafe impl Sized32 for $type {
                const MIN_SIZE: usize = $min;
            }
            const _: () = assert!(std::mem::offset_of!($type, struct_size) == 0);
            const _: () = assert!(std::mem::size_of::<$type>() >= $min && $min % 8 == 0);
        )*
    };
}

plain!(
    esker_get_result,
    u32,
    u64,
    usize,
    esker_slice,
    esker_range,
    esker_pin,
    esker_row,
    esker_level_stats,
    *const esker_row
);
sized!(
    esker_error = 256,
    esker_read_opts = 80,
    esker_write_opts = 24,
    esker_chunk = 64,
    esker_batch_op = 48,
    esker_job = 24,
    esker_comparator = 40,
    esker_option_info = 80,
    esker_stats = 1056,
    esker_salvage_result = 80,
);

/// All bytes zero.
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: `Plain` promises that zero bytes are a value.
    unsafe { std::mem::zeroed() }
}
