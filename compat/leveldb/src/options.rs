//! Options for opening, reading and writing: plain values that may be changed or destroyed after use.

use std::ffi::{c_int, c_uchar, c_void};
use std::sync::Arc;

use crate::comparator::{Comparator, Hold, leveldb_comparator_t};
use crate::env::{leveldb_cache_t, leveldb_env_t};
use crate::failure::{Failure, Outcome, check, fresh_error};
use crate::filter::leveldb_filterpolicy_t;
use crate::object::{give_up, with};
use esker::capi::esker_option::*;
use esker::capi::esker_status::ESKER_OK;
use esker::capi::*;

pub struct leveldb_logger_t {
    _private: [u8; 0],
}

/// A snapshot is esker's own handle.
pub type leveldb_snapshot_t = esker_snapshot;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;
/// What LevelDB gives a database that names no cache.
const CACHE_BYTES: u64 = 8 << 20;
/// Descriptors LevelDB keeps for itself out of max_open_files.
const FILES_NOT_TABLES: c_int = 10;
/// Esker's proportion of the first sorted level to the write buffer.
const LEVEL_TO_BUFFER: u64 = 4;

/// LevelDB's options with LevelDB's defaults. What esker has no use for is not kept: paranoid_checks (checksums are
/// always checked), block_restart_interval, env, info_log.
pub struct leveldb_options_t {
    comparator: Option<Arc<Comparator>>,
    filter_bits: Option<c_int>,
    pub(crate) create_if_missing: bool,
    pub(crate) error_if_exists: bool,
    write_buffer_size: usize,
    max_open_files: c_int,
    cache: *mut leveldb_cache_t,
    block_size: usize,
    max_file_size: usize,
    compression: c_int,
}

impl Default for leveldb_options_t {
    fn default() -> leveldb_options_t {
        leveldb_options_t {
            comparator: None,
            filter_bits: None,
            create_if_missing: false,
            error_if_exists: false,
            write_buffer_size: 4 * MIB,
            max_open_files: 1000,
            cache: std::ptr::null_mut(),
            block_size: 4 * KIB,
            max_file_size: 2 * MIB,
            compression: 1,
        }
    }
}

/// Esker's option object, and the hold on the comparator in it.
pub struct OpenOptions {
    pub raw: *mut esker_options,
    pub hold: Option<Hold>,
}

impl Drop for OpenOptions {
    fn drop(&mut self) {
        // SAFETY: ours; freeing it fails for none of the causes a call can have here.
        unsafe { esker_options_free(self.raw) };
    }
}

impl OpenOptions {
    fn new() -> Outcome<OpenOptions> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: a place for the handle.
        match unsafe { esker_options_new(&mut raw) } {
            ESKER_OK => Ok(OpenOptions { raw, hold: None }),
            status => Err(Failure::of(status)),
        }
    }

    fn number(&self, id: esker_option, value: u64) -> Outcome<()> {
        let mut error = fresh_error();
        // SAFETY: the object is ours.
        check(unsafe { esker_options_set_u64(self.raw, id as u32, value, &mut error) }, &error)
    }

    fn text(&self, id: esker_option, text: &str) -> Outcome<()> {
        let mut error = fresh_error();
        let (data, len) = (text.as_ptr().cast(), text.len());
        // SAFETY: the object is ours, the text is readable.
        check(unsafe { esker_options_set_text(self.raw, id as u32, data, len, &mut error) }, &error)
    }

    fn env(&self, env: *const c_void) -> Outcome<()> {
        let mut error = fresh_error();
        let id = ESKER_OPT_ENV as u32;
        // SAFETY: the object is ours; esker recognises an env that is gone.
        check(unsafe { esker_options_set_object(self.raw, id, env, &mut error) }, &error)
    }
}

impl leveldb_options_t {
    /// The same for esker, with LevelDB's clamps.
    pub fn for_esker(&self) -> Outcome<OpenOptions> {
        let mut out = OpenOptions::new()?;
        let write_buffer = self.write_buffer_size.clamp(64 * KIB, GIB) as u64;
        let files = self.max_open_files.clamp(64 + FILES_NOT_TABLES, 50_000) - FILES_NOT_TABLES;
        out.number(ESKER_OPT_WRITE_BUFFER, write_buffer)?;
        out.number(ESKER_OPT_LEVEL_BYTES, write_buffer * LEVEL_TO_BUFFER)?;
        out.number(ESKER_OPT_TABLE_SIZE, self.max_file_size.clamp(MIB, GIB) as u64)?;
        out.number(ESKER_OPT_BLOCK_SIZE, self.block_size.clamp(KIB, 4 * MIB) as u64)?;
        out.number(ESKER_OPT_OPEN_TABLES_MAX, files.unsigned_abs().into())?;
        out.text(ESKER_OPT_COMPRESSION, if self.compression == 0 { "none" } else { "lz4" })?;
        if let Some(bits) = self.filter_bits {
            out.text(ESKER_OPT_FILTER_BITS, &bits.to_string())?;
        }
        match self.cache.is_null() {
            true => out.number(ESKER_OPT_CACHE_BYTES, CACHE_BYTES)?,
            false => out.env(self.cache.cast())?,
        }
        if let Some(comparator) = &self.comparator {
            let hold = Hold::new(comparator)?;
            // SAFETY: the object is ours.
            unsafe { hold.set(out.raw)? };
            out.hold = Some(hold);
        }
        Ok(out)
    }
}

/// How to read: esker's own struct.
pub struct leveldb_readoptions_t {
    pub(crate) raw: esker_read_opts,
}

/// How to write: esker's own struct.
pub struct leveldb_writeoptions_t {
    pub(crate) raw: esker_write_opts,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_create() -> *mut leveldb_options_t {
    Box::into_raw(Box::default())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_destroy(options: *mut leveldb_options_t) {
    // SAFETY: as c.h asks.
    unsafe { give_up(options) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_comparator(
    options: *mut leveldb_options_t,
    comparator: *mut leveldb_comparator_t,
) {
    // SAFETY: NULL or a live comparator.
    let shared = unsafe { comparator.as_ref() }.map(|comparator| Arc::clone(&comparator.shared));
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.comparator = shared) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_filter_policy(
    options: *mut leveldb_options_t,
    policy: *mut leveldb_filterpolicy_t,
) {
    // SAFETY: NULL or a live policy; what it says is copied, so that it may go.
    let bits = unsafe { policy.as_ref() }.and_then(leveldb_filterpolicy_t::bits);
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.filter_bits = bits) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_create_if_missing(
    options: *mut leveldb_options_t,
    value: c_uchar,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.create_if_missing = value != 0) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_error_if_exists(
    options: *mut leveldb_options_t,
    value: c_uchar,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.error_if_exists = value != 0) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_paranoid_checks(
    _options: *mut leveldb_options_t,
    _value: c_uchar,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_env(
    _options: *mut leveldb_options_t,
    _env: *mut leveldb_env_t,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_info_log(
    _options: *mut leveldb_options_t,
    _logger: *mut leveldb_logger_t,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_write_buffer_size(
    options: *mut leveldb_options_t,
    bytes: usize,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.write_buffer_size = bytes) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_max_open_files(
    options: *mut leveldb_options_t,
    files: c_int,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.max_open_files = files) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_cache(
    options: *mut leveldb_options_t,
    cache: *mut leveldb_cache_t,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.cache = cache) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_block_size(
    options: *mut leveldb_options_t,
    bytes: usize,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.block_size = bytes) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_block_restart_interval(
    _options: *mut leveldb_options_t,
    _keys: c_int,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_max_file_size(
    options: *mut leveldb_options_t,
    bytes: usize,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.max_file_size = bytes) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_options_set_compression(
    options: *mut leveldb_options_t,
    kind: c_int,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.compression = kind) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_readoptions_create() -> *mut leveldb_readoptions_t {
    let mut raw: esker_read_opts = zeroed();
    raw.struct_size = size_of::<esker_read_opts>() as u32;
    Box::into_raw(Box::new(leveldb_readoptions_t { raw }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_readoptions_destroy(options: *mut leveldb_readoptions_t) {
    // SAFETY: as c.h asks.
    unsafe { give_up(options) };
}

/// Checksums are always checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_readoptions_set_verify_checksums(
    _options: *mut leveldb_readoptions_t,
    _value: c_uchar,
) {
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_readoptions_set_fill_cache(
    options: *mut leveldb_readoptions_t,
    value: c_uchar,
) {
    let flag = esker_read_flags::ESKER_READ_NO_FILL_CACHE as u32;
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.raw.flags = if value == 0 { flag } else { 0 }) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_readoptions_set_snapshot(
    options: *mut leveldb_readoptions_t,
    snapshot: *const leveldb_snapshot_t,
) {
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.raw.snapshot = snapshot) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writeoptions_create() -> *mut leveldb_writeoptions_t {
    let mut raw: esker_write_opts = zeroed();
    raw.struct_size = size_of::<esker_write_opts>() as u32;
    raw.durability = esker_durability::ESKER_DURABILITY_BUFFERED as u32;
    Box::into_raw(Box::new(leveldb_writeoptions_t { raw }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writeoptions_destroy(options: *mut leveldb_writeoptions_t) {
    // SAFETY: as c.h asks.
    unsafe { give_up(options) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writeoptions_set_sync(
    options: *mut leveldb_writeoptions_t,
    value: c_uchar,
) {
    let durability = match value {
        0 => esker_durability::ESKER_DURABILITY_BUFFERED,
        _ => esker_durability::ESKER_DURABILITY_SYNC,
    };
    // SAFETY: as c.h asks.
    unsafe { with(options, |options| options.raw.durability = durability as u32) };
}
