//! Garbage that must not be freed by a caller.
//!
//! Dropping a full memtable takes tens of milliseconds, closing and unlinking a table can wait for the
//! disk. Whoever drops the last reference pushes the remains here; the cleanup thread frees them.
//!
//! Invariants
//! 1. `push` and `obsolete` never wait for anything but short locks: this list's own and those of the
//!    caller that `on_load` named.

use crate::sync::{Mutex, MutexGuard, OnceLock};
use crate::types::FileNum;
use std::any::Any;

#[derive(Default)]
struct State {
    garbage: Vec<Box<dyn Any + Send>>,
    tables: Vec<FileNum>,
    /// Whether somebody has been called for the load and has not come yet.
    called: bool,
    /// Garbage is dropped by who brings it.
    in_place: bool,
    closed: bool,
}

/// Calls for somebody who takes the load.
type Caller = Box<dyn Fn() + Send + Sync>;

/// What waits for the cleanup thread of one database.
#[derive(Default)]
pub struct RetireList {
    state: Mutex<State>,
    caller: OnceLock<Caller>,
}

/// One load for the cleanup thread.
pub struct Retired {
    /// Dropped by the receiver.
    pub garbage: Vec<Box<dyn Any + Send>>,
    /// Table files that nothing names any more.
    pub tables: Vec<FileNum>,
}

impl RetireList {
    /// Has `caller` called once for each load, at once for what is there; only the first one given counts.
    pub fn on_load(&self, caller: Caller) {
        self.caller.get_or_init(|| caller);
        self.state.lock().called = false;
        self.kick();
    }

    /// Hands over memory to be dropped elsewhere.
    pub fn push(&self, garbage: Box<dyn Any + Send>) {
        let mut state = self.state.lock();
        if state.in_place {
            // Nobody will take it, and it may hold this list: drop it here, outside the lock.
            drop(state);
            drop(garbage);
            return;
        }
        state.garbage.push(garbage);
        self.call(state);
    }

    /// Hands over a table file to be removed.
    pub fn obsolete(&self, table: FileNum) {
        let mut state = self.state.lock();
        state.tables.push(table);
        self.call(state);
    }

    /// Asks the cleanup thread to look around although nothing was pushed.
    pub fn kick(&self) {
        self.call(self.state.lock());
    }

    fn call(&self, mut state: MutexGuard<'_, State>) {
        if state.closed || std::mem::replace(&mut state.called, true) {
            return;
        }
        drop(state);
        if let Some(caller) = self.caller.get() {
            caller();
        }
    }

    /// Garbage is dropped by who brings it: nobody comes for it (option `deterministic`). Else a process that only reads
    /// would keep every table open that it ever opened.
    pub fn drop_in_place(&self) {
        self.state.lock().in_place = true;
    }

    /// Nobody is called any more, and garbage is dropped by who brings it.
    pub fn close(&self) {
        let mut state = self.state.lock();
        (state.closed, state.in_place) = (true, true);
    }

    /// Takes what is there.
    pub fn take(&self) -> Retired {
        let mut state = self.state.lock();
        state.called = false;
        Retired {
            garbage: std::mem::take(&mut state.garbage),
            tables: std::mem::take(&mut state.tables),
        }
    }
}
