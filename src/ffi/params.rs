//! Read and write options of a call, from C structs to what the engine takes.
#![allow(unsafe_code, reason = "reads the option structs of C callers")]

use crate::buffer::copy;
use crate::db::read::ReadParams;
use crate::db::write::WriteParams;
use crate::error::{Area, Result};
use crate::ffi::arguments::{check_flags, check_reserved, invalid, optional_key, read_struct};
use crate::ffi::handles::{DbHandle, SnapshotHandle, enter_snapshot};
use crate::ffi::registry::Entered;
use crate::ffi::structs::{esker_read_opts, esker_write_opts};
use crate::ffi::values::esker_read_flags::*;
use crate::ffi::values::esker_write_flags::*;
use crate::options::Durability;

const READ_FLAGS: u32 = ESKER_READ_LOWER_EXCLUSIVE as u32
    | ESKER_READ_UPPER_INCLUSIVE as u32
    | ESKER_READ_REVERSE as u32
    | ESKER_READ_NO_FILL_CACHE as u32
    | ESKER_READ_KEYS_ONLY as u32
    | ESKER_READ_FILTER_ONLY as u32;

/// How to read, and the hold on the snapshot that keeps it alive for the call.
pub struct ReadCall {
    pub params: ReadParams,
    /// Chunks and scans go backward.
    pub reverse: bool,
    _snapshot: Option<Entered<SnapshotHandle>>,
}

/// Read options without bounds, prefix and limit, which only iterators look at.
///
/// # Safety
/// `options` is NULL or readable for the size it names.
pub unsafe fn point_read(handle: &DbHandle, options: *const esker_read_opts) -> Result<ReadCall> {
    // SAFETY: the caller's promise.
    read_call(handle, &unsafe { read_struct(options)? })
}

fn read_call(handle: &DbHandle, options: &esker_read_opts) -> Result<ReadCall> {
    check_flags(options.flags, READ_FLAGS, "esker_read_opts.flags")?;
    let snapshot = match options.snapshot.is_null() {
        true => None,
        false => Some(enter_snapshot(options.snapshot)?),
    };
    if snapshot.as_ref().is_some_and(|s| !s.snapshot.belongs_to(&handle.db)) {
        return Err(invalid("the snapshot belongs to another database"));
    }
    let set = |flag: u32| options.flags & flag != 0;
    let params = ReadParams {
        snapshot: snapshot.as_ref().map(|s| s.snapshot.seq()),
        no_fill: set(ESKER_READ_NO_FILL_CACHE as u32),
        keys_only: set(ESKER_READ_KEYS_ONLY as u32),
        filter_only: set(ESKER_READ_FILTER_ONLY as u32),
        lower_exclusive: set(ESKER_READ_LOWER_EXCLUSIVE as u32),
        upper_inclusive: set(ESKER_READ_UPPER_INCLUSIVE as u32),
        timeout_us: options.timeout_us,
        ..ReadParams::default()
    };
    Ok(ReadCall { params, reverse: set(ESKER_READ_REVERSE as u32), _snapshot: snapshot })
}

/// A bound is kept with the read: a copy, or `NOMEM`.
fn own(key: &[u8]) -> Result<Vec<u8>> {
    copy(key, Area::Argument)
}

/// Read options with bounds, prefix and limit.
///
/// # Safety
/// `options` is NULL or readable for the size it names, and so are its bounds for their sizes.
pub unsafe fn range_read(handle: &DbHandle, options: *const esker_read_opts) -> Result<ReadCall> {
    // SAFETY: the caller's promise.
    let options = unsafe { read_struct(options)? };
    let mut call = read_call(handle, &options)?;
    // SAFETY: the caller's promise.
    let (lower, upper, prefix) = unsafe {
        (
            optional_key(options.lower, "lower")?,
            optional_key(options.upper, "upper")?,
            optional_key(options.prefix, "prefix")?,
        )
    };
    call.params.lower = lower.map(own).transpose()?;
    call.params.upper = upper.map(own).transpose()?;
    call.params.prefix = prefix.map(own).transpose()?;
    call.params.limit = options.limit;
    Ok(call)
}

/// Write options.
///
/// # Safety
/// `options` is NULL or readable for the size it names.
pub unsafe fn write_params(options: *const esker_write_opts) -> Result<WriteParams> {
    // SAFETY: the caller's promise.
    let options = unsafe { read_struct(options)? };
    check_flags(options.flags, ESKER_WRITE_NO_STALL as u32, "esker_write_opts.flags")?;
    check_reserved(options.reserved, "esker_write_opts.reserved")?;
    let durability = match options.durability {
        0 => None,
        number => Some(Durability::from_number(number.into()).ok_or_else(|| {
            invalid(format!("durability is {number}, must be an esker_durability, 0 to 4"))
        })?),
    };
    Ok(WriteParams {
        durability,
        no_stall: options.flags & ESKER_WRITE_NO_STALL as u32 != 0,
        timeout_us: options.timeout_us,
    })
}
