//! Opening and closing, errors, sequence numbers.
//!
//! Invariants
//! 1. `esker_close` that answers BUSY, ABI_MISMATCH, INVALID or MISUSE has done nothing; after any other
//!    answer but FORKED the handle is gone.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::handle::Db;
use crate::db::open::OpenFlags;
use crate::env::api::Fs;
use crate::error::{Error, ErrorKind, Result};
use crate::ffi::arguments::{
    c_text, check_flags, hand_out, invalid, no_handle, output, output_struct,
};
use crate::ffi::boundary::{
    Answer, contained, db_call, detailed, error_struct, plain, prepare, refuse_in_callback,
};
use crate::ffi::handles::{BatchHandle, DbHandle, IterHandle, claim, enter_db, publish};
use crate::ffi::options::copy_options;
use crate::ffi::registry::{self, Kind};
use crate::ffi::status::esker_status::{self, ESKER_OK};
use crate::ffi::structs::{esker_db, esker_error, esker_options, zeroed};
use crate::ffi::values::esker_close_flags::ESKER_CLOSE_DETACH;
use crate::ffi::values::esker_open_flags::{
    ESKER_OPEN_CREATE, ESKER_OPEN_EXCLUSIVE, ESKER_OPEN_MEMORY, ESKER_OPEN_READONLY,
};
use crate::sync::Arc;
use std::ffi::{c_char, c_void};

/// Opens the database in directory `path`, recovering it where needed; returns when it is ready for reads
/// and writes. `options` NULL = defaults; `flags` of esker_open_flags. What a killed process left is as durable as it
/// was: the first esker_sync(), esker_flush(), esker_close(), SYNC or GROUP write makes it survive a power cut.
/// Bytes dropped from a torn, unpromised log tail are counted in esker_stats; promised bytes are never
/// dropped. ESKER_OPEN_MEMORY makes a database without files, ESKER_OPEN_READONLY writes nothing. Also returns
/// MISSING, PRESENT, LOCKED, READONLY (no permission to write), FORMAT,
/// COMPARATOR (it was made in another order of keys; the message names both), INVALID
/// (options contradict each other, or a foreign directory). On failure no file of the database was changed.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_open(
    path: *const c_char,
    options: *const esker_options,
    flags: u32,
    db: *mut *mut esker_db,
    err: *mut esker_error,
) -> esker_status {
    prepare();
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        no_handle(db);
        detailed(err, || {
            let options = copy_options(options)?;
            hand_out(db, || {
                let in_memory = flags & ESKER_OPEN_MEMORY as u32 != 0;
                let flags = open_flags(flags)?;
                let (fs, path) = match in_memory {
                    true => (Fs::memory(), &b"memory"[..]),
                    false => (Fs::Real, c_text(path, "path")?),
                };
                options.check()?;
                let place = registry::reserve()?;
                let db = Db::open(&fs, path, &options, flags)?;
                Ok(publish(place, DbHandle { db, pins: Arc::default() }))
            })
        })
    }
}

fn open_flags(flags: u32) -> Result<OpenFlags> {
    let (create, exclusive) = (ESKER_OPEN_CREATE as u32, ESKER_OPEN_EXCLUSIVE as u32);
    let (memory, read_only) = (ESKER_OPEN_MEMORY as u32, ESKER_OPEN_READONLY as u32);
    check_flags(flags, create | exclusive | memory | read_only, "flags of esker_open()")?;
    if flags & read_only != 0 && flags != read_only {
        return Err(invalid("ESKER_OPEN_READONLY goes with no other flag of esker_open()"));
    }
    if flags & memory != 0 {
        return Ok(OpenFlags { create: true, ..OpenFlags::default() });
    }
    let set = |flag: u32| flags & flag != 0;
    let flags =
        OpenFlags { create: set(create), exclusive: set(exclusive), read_only: set(read_only) };
    if flags.exclusive && !flags.create {
        return Err(invalid("ESKER_OPEN_EXCLUSIVE needs ESKER_OPEN_CREATE"));
    }
    Ok(flags)
}

/// Closes a database: refuses new calls, waits for running ones and for the job at work to reach a
/// stopping point, makes the log durable, releases the lock. Flushes memtables only where no log has them or
/// the next open would be slow. BUSY with live iterators or snapshots unless ESKER_CLOSE_DETACH: nothing
/// changed, `value` = their number; pins and batches do not count. On BUSY, ABI_MISMATCH, INVALID and MISUSE nothing happened; after any other status
/// the handle is gone, and an IO error then means that BUFFERED writes may not survive a power cut. NULL is
/// allowed and OK; a second close is MISUSE. Not interruptible; a close during esker_compact() makes that
/// return CANCELLED. In a forked child: FORKED, nothing is freed. [any-thread]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_close(
    db: *mut esker_db,
    flags: u32,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        detailed(err, || {
            check_flags(flags, ESKER_CLOSE_DETACH as u32, "flags of esker_close()")?;
            if db.is_null() {
                return Ok(ESKER_OK);
            }
            refuse_in_callback("esker_close()")?;
            close(db, flags & ESKER_CLOSE_DETACH as u32 != 0)
        })
    }
}

fn close(db: *mut esker_db, detach: bool) -> Answer {
    let claimed = claim::<DbHandle, _>(db, "the database handle")?;
    let answer = contained(&claimed, |handle| {
        handle.db.close(detach)?;
        Ok(ESKER_OK)
    });
    if !answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Busy) {
        drop(claimed.remove());
    }
    answer
}

/// Deletes the database in `path`: takes its lock, removes the files whose names are esker's, and the
/// directory when that leaves it empty (not by a link or ".", nor where its parent may not be written). Foreign
/// files stay. MISSING when there is none, LOCKED when it is open. `options` may be NULL. Interrupted, it can be
/// repeated. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_destroy(
    path: *const c_char,
    options: *const esker_options,
    err: *mut esker_error,
) -> esker_status {
    prepare();
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        detailed(err, || {
            copy_options(options)?;
            Db::destroy(&Fs::Real, c_text(path, "path")?)?;
            Ok(ESKER_OK)
        })
    }
}

/// Copies details of the last error: of the iterator or batch passed, or the newest entry of the error
/// ring of the database passed. OK with status 0 in `err` when there was none. `err` is required here.
/// [as the handle]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_last_error(
    handle: *const c_void,
    err: *mut esker_error,
) -> esker_status {
    plain(|| {
        let last = last_error(handle)?;
        // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
        let out = unsafe { output_struct(err, "err")? };
        out.set(last.as_ref().map_or(zeroed(), error_struct));
        Ok(ESKER_OK)
    })
}

fn last_error(handle: *const c_void) -> Result<Option<Error>> {
    match registry::kind_of(handle as usize) {
        Some(Kind::Iter) => {
            Ok(claim::<IterHandle, _>(handle, "the iterator handle")?.last_error.clone())
        }
        Some(Kind::Batch) => {
            Ok(claim::<BatchHandle, _>(handle, "the batch handle")?.last_error.clone())
        }
        _ => Ok(enter_db(handle.cast())?.db.last_error()),
    }
}

/// Copies entries of the error ring that are newer than number `since` (0 = all), oldest first, into
/// `out`, an array of `cap` structs whose first struct_size holds for all. `*count` = copied, `*newest` =
/// number of the newest entry that exists. The ring keeps 64; a first number above since + 1 shows that
/// some were lost. Background errors enter it, and every error of a function without `err`. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_errors(
    db: *mut esker_db,
    since: u64,
    out: *mut esker_error,
    cap: usize,
    count: *mut usize,
    newest: *mut u64,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        let (count, newest) = unsafe { (output(count, "count")?, output(newest, "newest")?) };
        let (errors, newest_number) = handle.db.errors_since(since);
        newest.set(newest_number);
        if cap == 0 {
            return Ok(ESKER_OK);
        }
        // SAFETY: `out` is an array of `cap` structs of the size the first one names, as the header asks.
        let out = unsafe { output_struct(out, "out")? };
        let copied = errors.len().min(cap);
        for (index, error) in errors.iter().take(copied).enumerate() {
            out.set_at(index, error_struct(error));
        }
        count.set(copied);
        Ok(ESKER_OK)
    })
}

/// Gives the sequence number of the newest write that readers see; 0 for a database never written.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_latest_seq(db: *mut esker_db, seq: *mut u64) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `seq` is NULL or writable, as the header asks.
        let seq = unsafe { output(seq, "seq")? };
        seq.set(handle.db.latest_seq()?);
        Ok(ESKER_OK)
    })
}

/// Gives the number up to which every write survives a power cut. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_durable_seq(db: *mut esker_db, seq: *mut u64) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `seq` is NULL or writable, as the header asks.
        let seq = unsafe { output(seq, "seq")? };
        seq.set(handle.db.durable_seq()?);
        Ok(ESKER_OK)
    })
}
