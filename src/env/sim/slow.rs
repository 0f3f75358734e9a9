//! A slow disk: calls that wait at a gate until a test lets them through, and syncs that take their time.
//!
//! Invariants
//! 1. Nobody waits here with a lock of the kernel: other calls go on.
//! 2. What a slow call answers is what a fast one would.

use crate::env::sim::SimKernel;
use crate::env::sim::fault::CallKind;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering, thread};
use std::time::Duration;

#[derive(Default)]
struct Gates {
    held: Vec<Held>,
}

/// Calls that wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// All of a kind.
    Calls(CallKind),
    /// Reads from the start of a file: who goes through a table does that, who opens one does not.
    ReadsFromStart,
}

/// What makes the disk slow.
#[derive(Default)]
pub struct SlowDisk {
    gates: Mutex<Gates>,
    released: Condvar,
    nanos_per_byte: AtomicU64,
    /// Bytes written and paid for by no sync yet.
    unsynced: AtomicU64,
}

impl SlowDisk {
    /// Waits while such calls are held.
    pub fn pass(&self, what: Held) {
        let mut gates = self.gates.lock();
        while gates.held.contains(&what) {
            self.released.wait(&mut gates);
        }
    }

    pub fn note_written(&self, bytes: usize) {
        self.unsynced.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes the time that the bytes written since the last sync cost.
    pub fn pay_for_sync(&self) {
        let bytes = self.unsynced.swap(0, Ordering::Relaxed);
        let nanos = bytes.saturating_mul(self.nanos_per_byte.load(Ordering::Relaxed));
        if nanos > 0 {
            thread::sleep(Duration::from_nanos(nanos));
        }
    }
}

impl SimKernel {
    /// Holds every such call from now on until `release`.
    pub fn hold(&self, what: Held) {
        self.slow.gates.lock().held.push(what);
    }

    /// Lets every held call go on.
    pub fn release(&self) {
        self.slow.gates.lock().held.clear();
        self.slow.released.notify_all();
    }

    /// Makes each sync take so long per byte written since the one before.
    pub fn set_sync_cost(&self, nanos_per_byte: u64) {
        self.slow.nanos_per_byte.store(nanos_per_byte, Ordering::Relaxed);
    }
}
