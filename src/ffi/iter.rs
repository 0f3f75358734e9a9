//! Iterators and their row.
//!
//! Invariants
//! 1. The row stays at one address for the iterator's whole life; it shows what the cursor stands on after
//!    every move, and nothing after a move that ended elsewhere.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::iter::{DbIter, SeekMode};
use crate::error::{ErrorKind, Result};
use crate::ffi::arguments::{hand_out, invalid, key_bytes, no_handle, output};
use crate::ffi::boundary::{db_call, iter_call, plain};
use crate::ffi::handles::{IterHandle, claim, publish};
use crate::ffi::params::range_read;
use crate::ffi::registry;
use crate::ffi::status::esker_status::{self, ESKER_DONE, ESKER_OK};
use crate::ffi::structs::{esker_db, esker_iter, esker_read_opts, esker_row};
use std::ffi::c_void;

/// Makes an iterator over one frozen view: the snapshot of `options`, or the latest. Bounds, prefix and
/// limit are copied. It stands nowhere: esker_iter_next() then goes to the first row, esker_iter_prev() to
/// the last. Keeps tables and memtables of its view alive: free it. INVALID when lower is above upper,
/// UNSUPPORTED for a prefix where the comparator does not keep the keys of one together: all but bytewise, u64_be and reverse.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_new(
    db: *mut esker_db,
    options: *const esker_read_opts,
    iter: *mut *mut esker_iter,
) -> esker_status {
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        no_handle(iter);
        db_call(db, |handle| {
            hand_out(iter, || {
                let call = range_read(handle, options)?;
                let place = registry::reserve()?;
                let cursor = handle.db.iter(&call.params)?;
                let (keys_only, reverse) = (call.params.keys_only, call.reverse);
                Ok(publish(place, IterHandle::new(cursor, handle.db.clone(), keys_only, reverse)))
            })
        })
    }
}

/// Frees an iterator; its row and all key and value pointers end. NULL is allowed and OK. Also after close.
/// [one-thread-at-a-time]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_iter_free(iter: *mut esker_iter) -> esker_status {
    plain(|| {
        if !iter.is_null() {
            drop(claim::<IterHandle, _>(iter, "the iterator handle")?.remove());
        }
        Ok(ESKER_OK)
    })
}

/// Gives the iterator's row: one address for the iterator's whole life, its contents rewritten by every
/// move and zeroed when a move does not end on a row. Ask once, then read memory. Keys and values are valid
/// until the next move or free. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_row(
    iter: *mut esker_iter,
    row: *mut *const esker_row,
) -> esker_status {
    iter_call(iter, |handle| {
        // SAFETY: `row` is NULL or writable, as the header asks.
        let checked = unsafe { output(row, "row") };
        let checked = checked.inspect_err(|error| handle.note(error))?;
        handle.db.latest_seq()?;
        checked.set(handle.row());
        Ok(ESKER_OK)
    })
}

/// Moves the cursor and makes the row show where it ended.
fn step(iter: *const esker_iter, go: impl FnOnce(&mut DbIter) -> Result<bool>) -> esker_status {
    iter_call(iter, |handle| match go(&mut handle.iter) {
        Ok(on_row) => {
            handle.show();
            Ok(if on_row { ESKER_OK } else { ESKER_DONE })
        }
        // The cursor has not moved, so the row stays.
        Err(error) if error.kind() == ErrorKind::Timeout => {
            handle.note(&error);
            Err(error)
        }
        Err(error) => {
            handle.fail(&error);
            Err(error)
        }
    })
}

/// Goes to the first row of the range. OK on a row, DONE when the range is empty. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_first(iter: *mut esker_iter) -> esker_status {
    step(iter, DbIter::first)
}

/// Goes to the last row of the range. OK or DONE. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_last(iter: *mut esker_iter) -> esker_status {
    step(iter, DbIter::last)
}

/// Goes one row on. DONE past the last row, and again on every further call; esker_iter_prev() from there
/// gives the last row. After an error the same error, until first, last or seek. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_next(iter: *mut esker_iter) -> esker_status {
    step(iter, DbIter::next)
}

/// Goes one row back. DONE before the first row; esker_iter_next() from there gives the first row.
/// [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_prev(iter: *mut esker_iter) -> esker_status {
    step(iter, DbIter::prev)
}

/// Goes to the row that an esker_seek mode names, within the range. OK on a row. DONE when there is none:
/// then the iterator stands past the end (GE, GT), before the start (LE, LT) or nowhere (EQ). Clears an
/// earlier error. INVALID mode, LIMIT key: position unchanged. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_iter_seek(
    iter: *mut esker_iter,
    mode: u32,
    key: *const c_void,
    klen: usize,
) -> esker_status {
    // The arguments are checked inside the guard, before the cursor is touched.
    let mut arguments = None;
    let checked = iter_call(iter, |handle| {
        // SAFETY: the pointer is readable for its length, as the header asks.
        let key = unsafe { key_bytes(key, klen) };
        match seek_mode(mode).and_then(|mode| Ok((mode, key?))) {
            Ok(found) => {
                arguments = Some(found);
                Ok(ESKER_OK)
            }
            Err(error) => {
                handle.note(&error);
                Err(error)
            }
        }
    });
    match arguments {
        Some((mode, key)) => step(iter, |cursor| cursor.seek(mode, key)),
        None => checked,
    }
}

fn seek_mode(mode: u32) -> Result<SeekMode> {
    Ok(match mode {
        0 => SeekMode::Ge,
        1 => SeekMode::Gt,
        2 => SeekMode::Le,
        3 => SeekMode::Lt,
        4 => SeekMode::Eq,
        _ => return Err(invalid(format!("{mode} is not an esker_seek, 0 to 4"))),
    })
}
