//! Batches: building, reading, writing; and sync.
//!
//! Invariants
//! 1. A batch handle always holds a checked encoding.
//! 2. The position of esker_batch_next() is believed only when it was given out last; any other is looked
//!    for from the start.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::batch::{BatchReader, WriteBatch, check};
use crate::error::Result;
use crate::ffi::arguments::{
    bytes, hand_out, invalid, key_bytes, no_handle, optional_output, output, output_struct,
    value_bytes,
};
use crate::ffi::boundary::{batch_call, db_call, db_call_detailed, plain, prepare};
use crate::ffi::handles::{BatchHandle, claim, enter_db, publish};
use crate::ffi::params::write_params;
use crate::ffi::registry;
use crate::ffi::status::esker_status::{self, ESKER_DONE, ESKER_OK, ESKER_PENDING};
use crate::ffi::structs::{
    esker_batch, esker_batch_op, esker_db, esker_error, esker_slice, esker_write_opts, zeroed,
};
use crate::key::EntryKind;
use crate::types::{BATCH_LEN_MAX, KeyspaceId};
use std::ffi::c_void;

/// Every database of this version has the default keyspace only.
const KEYSPACES: u32 = 1;

/// Makes an empty batch. It belongs to no database; free it with esker_batch_free(). [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_new(batch: *mut *mut esker_batch) -> esker_status {
    prepare();
    // SAFETY: `batch` is NULL or writable, as the header asks.
    unsafe {
        no_handle(batch);
        plain(|| hand_out(batch, || Ok(publish(registry::reserve()?, BatchHandle::default()))))
    }
}

/// Frees a batch. NULL is allowed and OK. [one-thread-at-a-time]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_batch_free(batch: *mut esker_batch) -> esker_status {
    plain(|| {
        if !batch.is_null() {
            drop(claim::<BatchHandle, _>(batch, "the batch handle")?.remove());
        }
        Ok(ESKER_OK)
    })
}

/// Empties a batch, keeping its memory. [one-thread-at-a-time]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_batch_clear(batch: *mut esker_batch) -> esker_status {
    batch_call(batch, |handle| {
        handle.cursor = 0;
        handle.foreign = false;
        handle.batch.clear();
        Ok(ESKER_OK)
    })
}

/// Makes room for `bytes` more of encoded operations, so that adding them cannot fail for memory. LIMIT
/// above ESKER_BATCH_MAX. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_reserve(
    batch: *mut esker_batch,
    bytes: usize,
) -> esker_status {
    batch_call(batch, |handle| {
        handle.batch.reserve(bytes)?;
        Ok(ESKER_OK)
    })
}

/// An encoded batch.
///
/// # Safety
/// As for `bytes`.
unsafe fn batch_bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { bytes(data, len, BATCH_LEN_MAX, "the encoded batch") }
}

/// The number a batch keeps of a database handle that may be NULL.
fn keyspace_of(keyspace: *const esker_db) -> Result<KeyspaceId> {
    match keyspace.is_null() {
        true => Ok(KeyspaceId::default()),
        false => Ok(enter_db(keyspace)?.db.keyspace()),
    }
}

/// Adds a put. `keyspace` is a database handle of the root the batch will be written to, or NULL for the
/// one given to esker_write(); only its number is kept. Later operations on a key win over earlier ones.
/// On an error (LIMIT, NOMEM) the batch is unchanged. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_put(
    batch: *mut esker_batch,
    keyspace: *mut esker_db,
    key: *const c_void,
    klen: usize,
    value: *const c_void,
    vlen: usize,
) -> esker_status {
    batch_call(batch, |handle| {
        let keyspace = keyspace_of(keyspace)?;
        // SAFETY: the pointers are readable for their lengths, as the header asks.
        let (key, value) = unsafe { (key_bytes(key, klen)?, value_bytes(value, vlen)?) };
        handle.cursor = 0;
        handle.batch.put(keyspace, key, value)?;
        Ok(ESKER_OK)
    })
}

/// Adds a delete. As esker_batch_put(). [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_delete(
    batch: *mut esker_batch,
    keyspace: *mut esker_db,
    key: *const c_void,
    klen: usize,
) -> esker_status {
    batch_call(batch, |handle| {
        let keyspace = keyspace_of(keyspace)?;
        // SAFETY: the pointer is readable for its length, as the header asks.
        let key = unsafe { key_bytes(key, klen)? };
        handle.cursor = 0;
        handle.batch.delete(keyspace, key)?;
        Ok(ESKER_OK)
    })
}

/// Adds all operations of `from`, which is unchanged and may be the same batch. On an error `batch` is
/// unchanged. [one-thread-at-a-time on both]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_append(
    batch: *mut esker_batch,
    from: *const esker_batch,
) -> esker_status {
    batch_call(batch, |handle| {
        handle.cursor = 0;
        if from == batch.cast_const() {
            handle.batch.append_self()?;
        } else {
            let from = claim::<BatchHandle, _>(from, "the batch to append")?;
            handle.batch.append(&from.batch)?;
            handle.foreign |= from.foreign;
        }
        Ok(ESKER_OK)
    })
}

/// Gives the number of operations. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_count(
    batch: *const esker_batch,
    count: *mut u64,
) -> esker_status {
    batch_call(batch, |handle| {
        // SAFETY: `count` is NULL or writable, as the header asks.
        let count = unsafe { output(count, "count")? };
        count.set(handle.batch.count().into());
        Ok(ESKER_OK)
    })
}

/// Lends the batch in its public encoding (docs/FORMAT.md, "Batch"), without copying; valid until the batch
/// changes. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_bytes(
    batch: *const esker_batch,
    bytes: *mut esker_slice,
) -> esker_status {
    batch_call(batch, |handle| {
        // SAFETY: `bytes` is NULL or writable, as the header asks.
        let out = unsafe { output(bytes, "bytes")? };
        out.set(slice_of(handle.batch.as_bytes()));
        Ok(ESKER_OK)
    })
}

fn slice_of(bytes: &[u8]) -> esker_slice {
    esker_slice { data: bytes.as_ptr().cast(), size: bytes.len() }
}

/// Replaces the batch's contents by encoded bytes after checking every one of them. CORRUPT with the
/// offset, FORMAT for an unknown version, LIMIT; the batch is then unchanged. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_from_bytes(
    batch: *mut esker_batch,
    bytes: *const c_void,
    len: usize,
) -> esker_status {
    batch_call(batch, |handle| {
        // SAFETY: `bytes` is readable for `len` bytes, as the header asks.
        let encoded = unsafe { batch_bytes(bytes, len)? };
        handle.batch = WriteBatch::from_bytes(encoded)?;
        handle.foreign = check(encoded, KEYSPACES).is_err();
        handle.cursor = 0;
        Ok(ESKER_OK)
    })
}

/// Reads the operations one by one: start with *pos = 0 and call until DONE. `*pos` is a byte position and
/// opaque; INVALID when it was not made by this function. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_batch_next(
    batch: *const esker_batch,
    pos: *mut u64,
    op: *mut esker_batch_op,
) -> esker_status {
    batch_call(batch, |handle| {
        // SAFETY: `op` is NULL or a struct of the size it names, as the header asks.
        let out = unsafe { output_struct(op, "op")? };
        if pos.is_null() {
            return Err(invalid("pos is NULL"));
        }
        // SAFETY: not NULL; readable and writable, as the header asks.
        let from = unsafe { pos.read_unaligned() };
        let mut reader = reader_at(handle, from)?;
        let Some(next) = reader.next_op()? else {
            return Ok(ESKER_DONE);
        };
        let deletes = next.kind == EntryKind::Delete;
        out.set(esker_batch_op {
            kind: next.kind as u32,
            keyspace: next.keyspace.0,
            key: slice_of(next.key),
            value: if deletes { zeroed() } else { slice_of(next.value) },
            ..zeroed()
        });
        let position = reader.position();
        // SAFETY: as above.
        unsafe { pos.write_unaligned(position as u64) };
        handle.cursor = position;
        Ok(ESKER_OK)
    })
}

/// A reader at a position that the caller says esker_batch_next() gave out.
fn reader_at(handle: &BatchHandle, from: u64) -> Result<BatchReader<'_>> {
    let encoded = handle.batch.as_bytes();
    if from == 0 {
        return BatchReader::new(encoded);
    }
    if from == handle.cursor as u64 {
        return BatchReader::at(encoded, handle.cursor);
    }
    let mut reader = BatchReader::new(encoded)?;
    while reader.next_op()?.is_some() {
        if reader.position() as u64 == from {
            return Ok(reader);
        }
    }
    Err(invalid(format!("{from} is not a position of this batch")))
}

/// Applies a batch: all or nothing, also across a crash, and visible at one moment. The batch is unchanged
/// and may be written again. `seq` may be NULL, else gets the sequence number of its last operation. An
/// empty batch is OK and, with SYNC, the same as esker_sync(). Otherwise as esker_put(). [any-thread on db,
/// one-thread-at-a-time on batch]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_write(
    db: *mut esker_db,
    options: *const esker_write_opts,
    batch: *const esker_batch,
    seq: *mut u64,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        let (seq, params) = unsafe { (optional_output(seq), write_params(options)?) };
        let batch = claim::<BatchHandle, _>(batch, "the batch handle")?;
        if batch.foreign {
            check(batch.batch.as_bytes(), KEYSPACES)?;
        }
        let last = handle.db.write(batch.batch.as_bytes(), &params)?;
        if let Some(seq) = seq {
            seq.set(last);
        }
        Ok(ESKER_OK)
    })
}

/// Applies a batch in its public encoding (docs/FORMAT.md, "Batch"), built in the caller's language: as
/// esker_write(), without a batch handle. Every byte is checked before anything is written: CORRUPT with the
/// offset, FORMAT for an unknown version, LIMIT, INVALID for an unknown keyspace write nothing. `bytes` must
/// not change during the call. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_write_bytes(
    db: *mut esker_db,
    options: *const esker_write_opts,
    bytes: *const c_void,
    len: usize,
    seq: *mut u64,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        let (seq, params) = unsafe { (optional_output(seq), write_params(options)?) };
        // SAFETY: `bytes` is readable for `len` bytes, as the header asks.
        let encoded = unsafe { batch_bytes(bytes, len)? };
        check(encoded, KEYSPACES)?;
        let last = handle.db.write(encoded, &params)?;
        if let Some(seq) = seq {
            seq.set(last);
        }
        Ok(ESKER_OK)
    })
}

/// Makes every logged write that returned before this call survive a power cut. Writes of durability
/// UNLOGGED are not logged; esker_flush() keeps those. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_sync(db: *mut esker_db, err: *mut esker_error) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            handle.db.sync()?;
            Ok(ESKER_OK)
        })
    }
}

/// Waits until writes up to `seq` survive a power cut, without asking for a flush of its own: a SYNC or GROUP
/// write, esker_sync(), esker_flush() or `sync_interval_us` brings it about. PENDING when `timeout_us` passed
/// first (0 = just look). INVALID for a number above esker_latest_seq(). POISONED or CLOSED when it can no
/// longer happen. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_wait_durable(
    db: *mut esker_db,
    seq: u64,
    timeout_us: u64,
) -> esker_status {
    db_call(db, |handle| match handle.db.wait_durable(seq, timeout_us)? {
        true => Ok(ESKER_OK),
        false => Ok(ESKER_PENDING),
    })
}
