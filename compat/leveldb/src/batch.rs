//! Write batches. LevelDB's functions cannot fail; here an operation that was refused (a key over 65,535 bytes, no
//! memory) is kept in mind, and writing the batch fails with it, so that nothing is left out silently.

use std::ffi::{c_char, c_void};
use std::ptr::null_mut;

use crate::failure::{Failure, Outcome};
use esker::capi::esker_status::{self, *};
use esker::capi::*;

type OnPut = Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize)>;
type OnDelete = Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize)>;

pub struct leveldb_writebatch_t {
    raw: *mut esker_batch,
    failure: Option<Failure>,
}

impl leveldb_writebatch_t {
    /// The batch, when every operation is in it.
    pub fn complete(&self) -> Outcome<*const esker_batch> {
        match &self.failure {
            None => Ok(self.raw),
            Some(failure) => Err(failure.clone()),
        }
    }

    fn note(&mut self, status: esker_status) {
        if status != ESKER_OK && self.failure.is_none() {
            // SAFETY: the batch's own handle.
            self.failure = Some(unsafe { Failure::last(status, self.raw.cast()) });
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_create() -> *mut leveldb_writebatch_t {
    let mut batch = leveldb_writebatch_t { raw: null_mut(), failure: None };
    // SAFETY: a place for the handle.
    let status = unsafe { esker_batch_new(&mut batch.raw) };
    if status != ESKER_OK {
        batch.failure = Some(Failure::of(status));
    }
    Box::into_raw(Box::new(batch))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_destroy(batch: *mut leveldb_writebatch_t) {
    if !batch.is_null() {
        // SAFETY: from `leveldb_writebatch_create`, given up by this call.
        unsafe { esker_batch_free(Box::from_raw(batch).raw) };
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_clear(batch: *mut leveldb_writebatch_t) {
    // SAFETY: NULL or a live batch.
    if let Some(batch) = unsafe { batch.as_mut() } {
        batch.failure = None;
        // SAFETY: the batch's own handle.
        let status = unsafe { esker_batch_clear(batch.raw) };
        batch.note(status);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_put(
    batch: *mut leveldb_writebatch_t,
    key: *const c_char,
    klen: usize,
    value: *const c_char,
    vlen: usize,
) {
    // SAFETY: NULL or a live batch.
    if let Some(batch) = unsafe { batch.as_mut() } {
        // SAFETY: key and value are readable for their lengths.
        let status =
            unsafe { esker_batch_put(batch.raw, null_mut(), key.cast(), klen, value.cast(), vlen) };
        batch.note(status);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_delete(
    batch: *mut leveldb_writebatch_t,
    key: *const c_char,
    klen: usize,
) {
    // SAFETY: NULL or a live batch.
    if let Some(batch) = unsafe { batch.as_mut() } {
        // SAFETY: the key is readable for its length.
        let status = unsafe { esker_batch_delete(batch.raw, null_mut(), key.cast(), klen) };
        batch.note(status);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_iterate(
    batch: *const leveldb_writebatch_t,
    state: *mut c_void,
    put: OnPut,
    deleted: OnDelete,
) {
    // SAFETY: NULL or a live batch.
    let Some(batch) = (unsafe { batch.as_ref() }) else { return };
    let mut position = 0;
    let mut op: esker_batch_op = zeroed();
    op.struct_size = size_of::<esker_batch_op>() as u32;
    // SAFETY: the batch's own handle, and places that are ours.
    while unsafe { esker_batch_next(batch.raw, &mut position, &mut op) } == ESKER_OK {
        let (key, klen) = (op.key.data.cast(), op.key.size);
        if op.kind == esker_op::ESKER_OP_PUT as u32 {
            if let Some(put) = put {
                // SAFETY: the caller's function; the bytes are valid until the batch changes.
                unsafe { put(state, key, klen, op.value.data.cast(), op.value.size) };
            }
        } else if let Some(deleted) = deleted {
            // SAFETY: as above.
            unsafe { deleted(state, key, klen) };
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_writebatch_append(
    destination: *mut leveldb_writebatch_t,
    source: *const leveldb_writebatch_t,
) {
    // SAFETY: NULL or live batches; they may be the same, so no two references are held.
    let from = unsafe { source.as_ref() }.map(|source| (source.raw, source.failure.clone()));
    // SAFETY: as above.
    if let (Some(batch), Some((raw, failure))) = (unsafe { destination.as_mut() }, from) {
        if batch.failure.is_none() {
            batch.failure = failure;
        }
        // SAFETY: live handles.
        let status = unsafe { esker_batch_append(batch.raw, raw) };
        batch.note(status);
    }
}
