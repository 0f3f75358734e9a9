//! Garbage that must not be freed by a caller.
//!
//! Dropping a full memtable takes tens of milliseconds, closing and unlinking a table can wait for the
//! disk. Whoever drops the last reference pushes the remains here; the cleanup thread frees them.
//!
//! Invariants
//! 1. `push` and `obsolete` never block on anything but this list's own short lock.

use crate::sync::{Condvar, Mutex};
use crate::types::FileNum;
use std::any::Any;

#[derive(Default)]
struct State {
    garbage: Vec<Box<dyn Any + Send>>,
    tables: Vec<FileNum>,
    kicked: bool,
    closed: bool,
}

/// What waits for the cleanup thread of one database.
#[derive(Default)]
pub struct RetireList {
    state: Mutex<State>,
    wake: Condvar,
}

/// One load for the cleanup thread.
pub struct Retired {
    /// Dropped by the receiver.
    pub garbage: Vec<Box<dyn Any + Send>>,
    /// Table files that nothing names any more.
    pub tables: Vec<FileNum>,
    pub closed: bool,
}

impl RetireList {
    /// Hands over memory to be dropped elsewhere.
    pub fn push(&self, garbage: Box<dyn Any + Send>) {
        let mut state = self.state.lock();
        if state.closed {
            // Nobody will take it, and it may hold this list: drop it here, outside the lock.
            drop(state);
            drop(garbage);
            return;
        }
        state.garbage.push(garbage);
        self.wake.notify_one();
    }

    /// Hands over a table file to be removed.
    pub fn obsolete(&self, table: FileNum) {
        self.state.lock().tables.push(table);
        self.wake.notify_one();
    }

    /// Asks the cleanup thread to look around although nothing was pushed.
    pub fn kick(&self) {
        self.state.lock().kicked = true;
        self.wake.notify_one();
    }

    /// No more waiting: `wait` returns at once from here on.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.wake.notify_all();
    }

    /// Takes what is there without waiting.
    pub fn take(&self) -> Retired {
        let mut state = self.state.lock();
        state.kicked = false;
        Retired {
            garbage: std::mem::take(&mut state.garbage),
            tables: std::mem::take(&mut state.tables),
            closed: state.closed,
        }
    }

    /// Waits until there is something to do.
    pub fn wait(&self) {
        let mut state = self.state.lock();
        while state.garbage.is_empty() && state.tables.is_empty() && !state.kicked && !state.closed
        {
            self.wake.wait(&mut state);
        }
    }
}
