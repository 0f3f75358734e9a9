//! What handles stand for.
//!
//! Invariants
//! 1. An object owns or counts all it needs, so handles may be freed in any order.
#![allow(unsafe_code, reason = "registered types, and the row that C reads through a pointer")]

use crate::batch::WriteBatch;
use crate::db::handle::{Db, Snapshot};
use crate::db::iter::DbIter;
use crate::db::read::PinnedValue;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::ffi::registry::{self, AnyThread, Claimed, Entered, Kind, Object, OneThread};
use crate::ffi::structs::{esker_db, esker_env, esker_row, esker_snapshot, zeroed};
use crate::ffi::values::esker_row_flags;
use crate::options::Options;
use crate::shared::SharedEnv;
use crate::sync::{Arc, AtomicU64, Ordering};
use std::ptr::NonNull;

/// Behind an `esker_db`.
pub struct DbHandle {
    pub db: Db,
    /// Live pins.
    pub pins: Arc<AtomicU64>,
}

/// Behind an `esker_env`.
pub struct EnvHandle(pub Arc<SharedEnv>);

/// Behind an `esker_options`.
pub struct OptionsHandle(pub Options);

/// Behind an `esker_batch`.
#[derive(Default)]
pub struct BatchHandle {
    pub batch: WriteBatch,
    /// It came from outside and names keyspaces that no database of this version has.
    pub foreign: bool,
    /// The position that esker_batch_next() gave out last; 0 when there is none.
    pub cursor: usize,
    pub last_error: Option<Error>,
}

/// Behind an `esker_snapshot`.
pub struct SnapshotHandle {
    pub snapshot: Snapshot,
    pub db: Db,
}

/// Behind the first opaque word of an `esker_pin`.
pub struct PinHandle {
    pub value: PinnedValue,
    live: Arc<AtomicU64>,
}

impl PinHandle {
    pub fn new(value: PinnedValue, live: &Arc<AtomicU64>) -> PinHandle {
        live.fetch_add(1, Ordering::Relaxed);
        PinHandle { value, live: Arc::clone(live) }
    }
}

impl Drop for PinHandle {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The row of an iterator: one allocation that C reads while no call is running. It is only touched
/// through its raw pointer, so no Rust reference ever claims it for itself.
struct Row(NonNull<esker_row>);

// SAFETY: the row belongs to one iterator, which moves between threads as a whole.
unsafe impl Send for Row {}

impl Row {
    fn new() -> Row {
        Row(NonNull::from(Box::leak(Box::new(zeroed()))))
    }

    fn set(&self, row: esker_row) {
        // SAFETY: allocated in `new`, freed in `drop` only.
        unsafe { self.0.write(row) }
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        // SAFETY: the allocation of `new`; the handle is gone, so C must not read the row any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Behind an `esker_iter`.
pub struct IterHandle {
    pub iter: DbIter,
    pub db: Db,
    row: Row,
    pub keys_only: bool,
    /// Chunks go backward.
    pub reverse: bool,
    /// The last move failed, and its error was recorded.
    failed: bool,
    pub last_error: Option<Error>,
}

impl IterHandle {
    pub fn new(iter: DbIter, db: Db, keys_only: bool, reverse: bool) -> IterHandle {
        let (row, failed, last_error) = (Row::new(), false, None);
        IterHandle { iter, db, row, keys_only, reverse, failed, last_error }
    }

    pub fn row(&self) -> *const esker_row {
        self.row.0.as_ptr()
    }

    /// Makes the row show what the cursor stands on.
    pub fn show(&mut self) {
        self.failed = false;
        if !self.iter.valid() {
            self.row.set(zeroed());
            return;
        }
        let (key, value) = (self.iter.key(), self.iter.value());
        let shown = if self.keys_only { std::ptr::null() } else { value.as_ptr() };
        self.row.set(esker_row {
            key: key.as_ptr().cast(),
            key_len: key.len(),
            value: shown.cast(),
            value_len: value.len(),
            seq: self.iter.seq(),
            flags: esker_row_flags::ESKER_ROW_VALID as u32,
            reserved: 0,
        });
    }

    /// Empties the row after a failed move. An error that a cursor repeats is recorded once.
    pub fn fail(&mut self, error: &Error) {
        self.row.set(zeroed());
        if !self.failed {
            self.note(error);
        }
        self.failed = true;
    }

    /// Keeps an error for esker_last_error() and in the ring of the database, where poisoning has put a
    /// panic already.
    pub fn note(&mut self, error: &Error) {
        let in_ring = error.kind() == ErrorKind::Panic;
        let number = if in_ring { 0 } else { self.db.record_error(error) };
        self.last_error = Some(error.clone().with_number(number));
    }
}

/// Registers a type of object.
macro_rules! object {
    ($type:ident, $kind:ident, $use:ident) => {
        // SAFETY: each kind appears once in the list below.
        unsafe impl Object for $type {
            const KIND: Kind = Kind::$kind;
        }
        impl $use for $type {}
    };
}

object!(DbHandle, Db, AnyThread);
object!(SnapshotHandle, Snapshot, AnyThread);
object!(EnvHandle, Env, AnyThread);
object!(OptionsHandle, Options, OneThread);
object!(IterHandle, Iter, OneThread);
object!(BatchHandle, Batch, OneThread);
object!(PinHandle, Pin, OneThread);

#[cold]
fn misuse(what: &str) -> Error {
    let message = format!("{what} is NULL, freed, foreign or in use by another call");
    Error::new(ErrorKind::Misuse, Area::Argument, message)
}

pub fn enter_db(db: *const esker_db) -> Result<Entered<DbHandle>> {
    registry::enter(db as usize).ok_or_else(|| misuse("the database handle"))
}

pub fn enter_snapshot(snapshot: *const esker_snapshot) -> Result<Entered<SnapshotHandle>> {
    registry::enter(snapshot as usize).ok_or_else(|| misuse("the snapshot handle"))
}

pub fn enter_env(env: *const esker_env) -> Result<Entered<EnvHandle>> {
    registry::enter(env as usize).ok_or_else(|| misuse("the env handle"))
}

/// Takes sole use of a handle of any type; `what` names it in the message.
pub fn claim<T: Object, H>(handle: *const H, what: &str) -> Result<Claimed<T>> {
    registry::claim(handle as usize).ok_or_else(|| misuse(what))
}

/// Enters an object into the table and returns its handle.
pub fn publish<T: Object, H>(place: registry::Place, object: T) -> *mut H {
    std::ptr::without_provenance_mut(place.publish(Box::new(object)))
}
