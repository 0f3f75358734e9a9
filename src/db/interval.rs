//! The option `sync_interval_us`: logged writes are synced so long after they were made, by nobody's order.
//!
//! This file only keeps the time; `db/durable` does the syncing. The first logged write after a sync winds
//! the clock up; when it has run down, everything is synced. An idle database has no clock running. With
//! the option `deterministic` there is no thread: each write looks at the environment's clock.
//!
//! Invariants
//! 1. The clock is taken down before the sync: a write that the sync may miss winds it up again.

use crate::sync::{AtomicBool, Condvar, Instant, Mutex, Ordering};
use std::time::Duration;

#[derive(Default)]
struct Clock {
    /// When it was wound up, microseconds of the environment; for the option `deterministic`.
    since_us: Option<u64>,
    stopping: bool,
}

/// The clock of one database.
#[derive(Default)]
pub struct SyncInterval {
    /// Asked without the lock by every write.
    wound: AtomicBool,
    clock: Mutex<Clock>,
    wake: Condvar,
}

impl SyncInterval {
    /// Winds the clock up unless it runs; one load when it does.
    pub fn wind(&self, now_us: impl FnOnce() -> u64) {
        if self.wound.swap(true, Ordering::AcqRel) {
            return;
        }
        let now_us = now_us();
        self.clock.lock().since_us = Some(now_us);
        self.wake.notify_all();
    }

    /// Stops the clock until the next write.
    pub fn take_down(&self) {
        self.clock.lock().since_us = None;
        self.wound.store(false, Ordering::Release);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.clock.lock().stopping = true;
        self.wake.notify_all();
    }

    /// When the clock was wound up, if it runs.
    pub fn since_us(&self) -> Option<u64> {
        self.clock.lock().since_us
    }

    /// Waits until the clock has run down; false when the database closes.
    pub fn wait(&self, interval: Duration) -> bool {
        let mut clock = self.clock.lock();
        while clock.since_us.is_none() && !clock.stopping {
            self.wake.wait(&mut clock);
        }
        let due = Instant::now() + interval;
        while Instant::now() < due && !clock.stopping {
            self.wake.wait_until(&mut clock, due);
        }
        !clock.stopping
    }
}
