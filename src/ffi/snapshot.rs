//! Snapshots: frozen views, made and given back.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::ffi::arguments::{hand_out, no_handle, output};
use crate::ffi::boundary::{db_call, plain};
use crate::ffi::handles::{SnapshotHandle, claim, enter_snapshot, publish};
use crate::ffi::registry;
use crate::ffi::status::esker_status::{self, ESKER_OK};
use crate::ffi::structs::{esker_db, esker_snapshot};

/// Freezes the view of this moment for later reads and iterators. Cheap, but keeps old versions on disk:
/// free it. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_snapshot_new(
    db: *mut esker_db,
    snapshot: *mut *mut esker_snapshot,
) -> esker_status {
    // SAFETY: `snapshot` is NULL or writable, as the header asks.
    unsafe {
        no_handle(snapshot);
        db_call(db, |handle| {
            hand_out(snapshot, || {
                let place = registry::reserve()?;
                let frozen = handle.db.snapshot()?;
                let db = handle.db.clone();
                Ok(publish(place, SnapshotHandle { snapshot: frozen, db }))
            })
        })
    }
}

/// Frees a snapshot; iterators made from it go on. NULL is allowed and OK. Also after close. [any-thread]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_snapshot_free(snapshot: *mut esker_snapshot) -> esker_status {
    plain(|| {
        if !snapshot.is_null() {
            drop(claim::<SnapshotHandle, _>(snapshot, "the snapshot handle")?.remove());
        }
        Ok(ESKER_OK)
    })
}

/// Gives the sequence number of the newest write in the snapshot. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_snapshot_seq(
    snapshot: *const esker_snapshot,
    seq: *mut u64,
) -> esker_status {
    plain(|| {
        let handle = enter_snapshot(snapshot)?;
        // SAFETY: `seq` is NULL or writable, as the header asks.
        let checked = unsafe { output(seq, "seq") };
        let checked = checked.inspect_err(|error| {
            handle.db.record_error(error);
        })?;
        handle.snapshot.check_open()?;
        checked.set(handle.snapshot.seq());
        Ok(ESKER_OK)
    })
}
