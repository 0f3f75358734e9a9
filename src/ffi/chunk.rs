//! Many rows per call into the caller's memory.
//!
//! Invariants
//! 1. Nothing is written to `buf` outside its first `cap` bytes, and nothing before the key of `resume`,
//!    which may lie in it, has been used.
//! 2. Also on an error `rows` and `used` say what lies in `buf`.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::rows::RowSink;
use crate::error::{ErrorKind, Result};
use crate::ffi::arguments::{check_flags, check_reserved, invalid, optional_key, read_struct};
use crate::ffi::boundary::{db_call, iter_call};
use crate::ffi::params::range_read;
use crate::ffi::status::esker_status::{self, ESKER_DONE, ESKER_OK, ESKER_TOO_SMALL};
use crate::ffi::structs::{esker_chunk, esker_db, esker_iter, esker_read_opts, esker_slice};
use crate::ffi::values::esker_layout::{ESKER_LAYOUT_COLUMNS, ESKER_LAYOUT_PACKED};
use std::ptr;

/// More rows would need offsets beyond 4 GiB.
const COLUMN_ROWS_MAX: u64 = 500_000_000;
const _: () = assert!((2 * COLUMN_ROWS_MAX + 1) * 4 + 7 < u32::MAX as u64);
/// Two lengths before each packed row.
const ROW_HEAD: usize = 8;

/// The caller's chunk while it is filled.
struct Filling {
    chunk: *mut esker_chunk,
    buf: *mut u8,
    cap: usize,
    columns: bool,
    keys_only: bool,
    max_rows: u64,
    /// Where the next byte goes.
    end: usize,
    rows: u64,
    /// What the row that was refused needs.
    need: usize,
    last_key: (usize, usize),
}

/// Checks a chunk and makes its outputs zero.
///
/// # Safety
/// `chunk` is NULL or a writable struct of the size it names, whose `buf` is writable for `cap` bytes; all
/// of it for as long as the result lives.
unsafe fn begin(chunk: *mut esker_chunk, keys_only: bool) -> Result<Filling> {
    if chunk.is_null() {
        return Err(invalid("chunk is NULL"));
    }
    // SAFETY: the caller's promise.
    let given = unsafe { read_struct(chunk.cast_const())? };
    let mut filling = Filling {
        chunk,
        buf: given.buf.cast(),
        cap: given.cap,
        columns: given.layout == ESKER_LAYOUT_COLUMNS as u32,
        keys_only,
        max_rows: given.max_rows,
        end: 0,
        rows: 0,
        need: 0,
        last_key: (0, 0),
    };
    filling.report(0);
    if !filling.columns && given.layout != ESKER_LAYOUT_PACKED as u32 {
        return Err(invalid(format!("{} is not an esker_layout, 0 or 1", given.layout)));
    }
    check_flags(given.flags, 0, "esker_chunk.flags")?;
    check_reserved(given.reserved, "esker_chunk.reserved")?;
    if given.buf.is_null() && given.cap != 0 {
        return Err(invalid(format!("buf is NULL and cap is {}", given.cap)));
    }
    if filling.columns {
        if !(1..=COLUMN_ROWS_MAX).contains(&given.max_rows) {
            return Err(invalid(format!(
                "max_rows is {}, with ESKER_LAYOUT_COLUMNS it must be from 1 to {COLUMN_ROWS_MAX}",
                given.max_rows
            )));
        }
        if given.cap > u32::MAX as usize {
            return Err(invalid("cap must be below 4 GiB with ESKER_LAYOUT_COLUMNS"));
        }
        filling.end = ((2 * given.max_rows as usize + 1) * 4).next_multiple_of(8);
    }
    Ok(filling)
}

impl Filling {
    /// Writes the outputs of the chunk.
    fn report(&self, need: usize) {
        let used = if self.rows == 0 { 0 } else { self.end };
        // SAFETY: `begin` was promised a writable struct; its size was checked, so it has these fields.
        unsafe {
            (&raw mut (*self.chunk).used).write_unaligned(used);
            (&raw mut (*self.chunk).rows).write_unaligned(self.rows);
            (&raw mut (*self.chunk).need).write_unaligned(need);
        }
    }

    /// Reports a call that ended without an error.
    fn finish(&self, at_end: bool) -> esker_status {
        let too_small = !at_end && self.rows == 0;
        self.report(if too_small { self.need } else { 0 });
        match (at_end, too_small) {
            (true, _) => ESKER_DONE,
            (false, true) => ESKER_TOO_SMALL,
            (false, false) => ESKER_OK,
        }
    }

    /// Copies bytes to the end; the caller has made sure that they fit.
    fn put(&mut self, bytes: &[u8]) {
        // SAFETY: `end + bytes.len() <= cap`, checked in `take`, and `buf` is writable for `cap` bytes by the
        // promise to `begin`; what the engine lends never lies in the caller's buffer.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.buf.add(self.end), bytes.len());
        }
        self.end += bytes.len();
    }

    /// Stores offset number `at` of a chunk in columns.
    fn put_offset(&mut self, at: u64, offset: usize) {
        let bytes = (offset as u32).to_le_bytes();
        // SAFETY: `at <= 2 * max_rows`, so it lies in the array, which `take` has seen to fit `cap`.
        unsafe { self.buf.add(at as usize * 4).cast::<[u8; 4]>().write_unaligned(bytes) };
    }
}

impl RowSink for Filling {
    #[inline]
    fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let shown = if self.keys_only { &[] } else { value };
        let head = if self.columns { 0 } else { ROW_HEAD };
        let end = self.end + head + key.len() + shown.len();
        if end > self.cap {
            self.need = end;
            return false;
        }
        if !self.columns {
            let lengths = key.len() as u64 | (value.len() as u64) << 32;
            self.put(&lengths.to_le_bytes());
        }
        self.last_key = (self.end, key.len());
        self.put(key);
        if self.columns {
            let at = 2 * self.rows;
            self.put_offset(at, self.last_key.0);
            self.put_offset(at + 1, self.end);
            self.put_offset(at + 2, self.end + shown.len());
        }
        self.put(shown);
        self.rows += 1;
        true
    }

    fn is_full(&self) -> bool {
        self.rows == self.max_rows
    }

    fn last_key(&self) -> Option<&[u8]> {
        let (at, len) = self.last_key;
        // SAFETY: `take` has written these bytes inside the buffer; nothing is written while they are lent.
        (self.rows > 0).then(|| unsafe { std::slice::from_raw_parts(self.buf.add(at), len) })
    }
}

/// Copies the following rows (the preceding ones with ESKER_READ_REVERSE) into chunk->buf, beginning after
/// the row the iterator stands on, and leaves it on the last row copied. OK: more may follow. DONE: the range
/// is at its end and the iterator past it; rows may be > 0, so use them first. TOO_SMALL: not even one row
/// fits, chunk->need says what would; nothing moved. On an error the rows before it are in the buffer, and
/// after TIMEOUT the next call goes on behind them. The iterator's row is refreshed. The chunk and its buffer
/// must not be used by other threads meanwhile. INVALID for a chunk that is not as esker_chunk says.
/// [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_chunk(
    iter: *mut esker_iter,
    chunk: *mut esker_chunk,
) -> esker_status {
    iter_call(iter, |handle| {
        // SAFETY: `chunk` is NULL or as the header asks.
        let checked = unsafe { begin(chunk, handle.keys_only) };
        let mut filling = checked.inspect_err(|error| handle.note(error))?;
        match handle.iter.pour(handle.reverse, None, &mut filling) {
            Ok(at_end) => {
                handle.show();
                Ok(filling.finish(at_end))
            }
            Err(error) => {
                filling.report(0);
                match error.kind() {
                    ErrorKind::Timeout => {
                        handle.show();
                        handle.note(&error);
                    }
                    _ => handle.fail(&error),
                }
                Err(error)
            }
        }
    })
}

/// Scans in one call, without an iterator: as esker_iter_chunk() over the range of `options`, from its start
/// (its end with ESKER_READ_REVERSE), or after the key *resume. `resume` may be NULL; {NULL, 0} starts.
/// Afterwards it holds the last key copied, lying in chunk->buf, and is unchanged when there was none; it may be
/// passed back as it is, since it is read before the buffer is written. `limit` counts the rows of this
/// call. Calls see one view only with a snapshot. Counts as a live iterator while it runs. INVALID and
/// UNSUPPORTED as esker_iter_new() and esker_iter_chunk(), TIMEOUT. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_scan(
    db: *mut esker_db,
    options: *const esker_read_opts,
    chunk: *mut esker_chunk,
    resume: *mut esker_slice,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        let (call, mut filling) = unsafe {
            // The chunk's outputs are made zero first, whatever else is wrong.
            let filling = begin(chunk, false)?;
            (range_read(handle, options)?, filling)
        };
        filling.keys_only = call.params.keys_only;
        let after = match resume.is_null() {
            true => None,
            // SAFETY: not NULL, and its key is readable, as the header asks.
            false => unsafe { optional_key(resume.read_unaligned(), "resume")? },
        };
        let mut iter = handle.db.iter(&call.params)?;
        let ended = iter.pour(call.reverse, after, &mut filling);
        if !resume.is_null() && filling.rows > 0 {
            let (at, size) = filling.last_key;
            // SAFETY: `resume` is writable, as the header asks; the key lies in the buffer.
            unsafe {
                resume.write_unaligned(esker_slice { data: filling.buf.add(at).cast(), size })
            };
        }
        match ended {
            Ok(at_end) => Ok(filling.finish(at_end)),
            Err(error) => {
                filling.report(0);
                Err(error)
            }
        }
    })
}
