//! Iterators: invalid until positioned, and again past either end; a move of an invalid one does nothing.

use std::ffi::{c_char, c_uchar, c_void};
use std::ptr::{null, null_mut};

use crate::failure::{Failure, report};
use crate::object::{take, with};
use esker::capi::esker_status::{self, *};
use esker::capi::*;

pub struct leveldb_iterator_t {
    raw: *mut esker_iter,
    /// The row that `raw` stands on; NULL when there is no `raw`.
    row: *const esker_row,
    failure: Option<Failure>,
}

impl leveldb_iterator_t {
    /// An iterator, also where there can be none: then it stays invalid and gives the error.
    ///
    /// # Safety
    /// `db` is a database of esker or NULL, `options` readable or NULL.
    pub unsafe fn new(db: *mut esker_db, options: *const esker_read_opts) -> leveldb_iterator_t {
        let mut iter = leveldb_iterator_t { raw: null_mut(), row: null(), failure: None };
        // SAFETY: the caller's promise, and places for handle and row.
        unsafe {
            let mut status = esker_iter_new(db, options, &mut iter.raw);
            if status == ESKER_OK {
                status = esker_iter_row(iter.raw, &mut iter.row);
            }
            if status != ESKER_OK {
                iter.failure = Some(Failure::last(status, db.cast()));
            }
        }
        iter
    }

    fn row(&self) -> Option<&esker_row> {
        // SAFETY: esker keeps the row at one address for the iterator's whole life.
        let row = unsafe { self.row.as_ref() }?;
        (row.flags & esker_row_flags::ESKER_ROW_VALID as u32 != 0).then_some(row)
    }

    /// A move is done; the end of the range is no error.
    fn moved(&mut self, status: esker_status) {
        self.failure = match status {
            ESKER_OK | ESKER_DONE => None,
            // SAFETY: the iterator's own handle.
            status => Some(unsafe { Failure::last(status, self.raw.cast()) }),
        };
    }

    fn go(&mut self, call: unsafe extern "C" fn(*mut esker_iter) -> esker_status) {
        if !self.raw.is_null() {
            // SAFETY: the iterator's own handle.
            let status = unsafe { call(self.raw) };
            self.moved(status);
        }
    }

    fn step(&mut self, call: unsafe extern "C" fn(*mut esker_iter) -> esker_status) {
        if self.row().is_some() {
            self.go(call);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_destroy(iter: *mut leveldb_iterator_t) {
    // SAFETY: as c.h asks, and the iterator's own handle.
    unsafe {
        if let Some(iter) = take(iter) {
            esker_iter_free(iter.raw);
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_valid(iter: *const leveldb_iterator_t) -> c_uchar {
    // SAFETY: NULL or a live iterator.
    let valid = unsafe { iter.as_ref() }.is_some_and(|iter| iter.row().is_some());
    valid.into()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_seek_to_first(iter: *mut leveldb_iterator_t) {
    // SAFETY: as c.h asks.
    unsafe { with(iter, |iter| iter.go(esker_iter_first)) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_seek_to_last(iter: *mut leveldb_iterator_t) {
    // SAFETY: as c.h asks.
    unsafe { with(iter, |iter| iter.go(esker_iter_last)) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_seek(
    iter: *mut leveldb_iterator_t,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: NULL or a live iterator.
    if let Some(iter) = unsafe { iter.as_mut().filter(|iter| !iter.raw.is_null()) } {
        let key: *const c_void = key.cast();
        let mode = esker_seek::ESKER_SEEK_GE as u32;
        // SAFETY: the iterator's own handle; the key is readable for its length.
        let status = unsafe { esker_iter_seek(iter.raw, mode, key, klen) };
        iter.moved(status);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_next(iter: *mut leveldb_iterator_t) {
    // SAFETY: as c.h asks.
    unsafe { with(iter, |iter| iter.step(esker_iter_next)) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_prev(iter: *mut leveldb_iterator_t) {
    // SAFETY: as c.h asks.
    unsafe { with(iter, |iter| iter.step(esker_iter_prev)) };
}

/// Stores the length and gives the bytes; NULL and 0 where the iterator is not valid.
///
/// # Safety
/// `iter` is NULL or live, `len` NULL or writable.
unsafe fn lend(
    iter: *const leveldb_iterator_t,
    len: *mut usize,
    part: fn(&esker_row) -> (*const c_void, usize),
) -> *const c_char {
    // SAFETY: the caller's promise.
    let (data, size) =
        unsafe { iter.as_ref() }.and_then(|iter| iter.row()).map_or((null(), 0), part);
    // SAFETY: the caller's promise.
    if let Some(len) = unsafe { len.as_mut() } {
        *len = size;
    }
    data.cast()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_key(
    iter: *const leveldb_iterator_t,
    klen: *mut usize,
) -> *const c_char {
    // SAFETY: as c.h asks.
    unsafe { lend(iter, klen, |row| (row.key, row.key_len)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_value(
    iter: *const leveldb_iterator_t,
    vlen: *mut usize,
) -> *const c_char {
    // SAFETY: as c.h asks.
    unsafe { lend(iter, vlen, |row| (row.value, row.value_len)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_iter_get_error(
    iter: *const leveldb_iterator_t,
    errptr: *mut *mut c_char,
) {
    // SAFETY: NULL or a live iterator.
    if let Some(failure) = unsafe { iter.as_ref() }.and_then(|iter| iter.failure.clone()) {
        // SAFETY: a slot as c.h asks.
        unsafe { report::<()>(errptr, Err(failure)) };
    }
}
