//! The ring of a database's last errors and the first cause of a stop.
//!
//! Invariants
//! 1. Numbers count from 1 and rise by one; the ring keeps the newest 64.
//! 2. The first cause is set once and never replaced.

use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::{AtomicBool, Mutex, Ordering};
use std::collections::VecDeque;

const KEPT: usize = 64;

#[derive(Default)]
struct Ring {
    entries: VecDeque<Error>,
    newest: u64,
}

/// Errors that happened, newest last, and whether writes are stopped.
#[derive(Default)]
pub struct ErrorRing {
    ring: Mutex<Ring>,
    stopped: AtomicBool,
    cause: Mutex<Option<Error>>,
}

impl ErrorRing {
    /// Enters an error into the ring; returns its number.
    pub fn record(&self, error: &Error) -> u64 {
        let mut ring = self.ring.lock();
        ring.newest += 1;
        let number = ring.newest;
        if ring.entries.len() == KEPT {
            ring.entries.pop_front();
        }
        ring.entries.push_back(error.clone().with_number(number));
        number
    }

    /// Entries with a number above `since`, oldest first, and the newest number that exists.
    pub fn since(&self, since: u64) -> (Vec<Error>, u64) {
        let ring = self.ring.lock();
        let newer = ring.entries.iter().filter(|e| e.detail().number > since).cloned().collect();
        (newer, ring.newest)
    }

    pub fn newest(&self) -> Option<Error> {
        self.ring.lock().entries.back().cloned()
    }

    pub fn count(&self) -> u64 {
        self.ring.lock().newest
    }

    /// Stops writes for the rest of this process's use of the database. The first cause is kept.
    pub fn stop(&self, error: &Error) {
        let mut cause = self.cause.lock();
        if cause.is_none() {
            *cause = Some(error.clone());
            self.stopped.store(true, Ordering::Release);
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub fn cause(&self) -> Option<Error> {
        self.cause.lock().clone()
    }

    /// `POISONED`, naming the first cause, once writes are stopped.
    pub fn check(&self) -> Result<()> {
        if !self.is_stopped() {
            return Ok(());
        }
        let cause = self.cause().map_or_else(String::new, |e| e.to_string());
        let message = format!("writes were stopped by an earlier error: {cause}");
        Err(Error::new(ErrorKind::Poisoned, Area::Engine, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_keeps_the_newest_and_numbers_rise() {
        let ring = ErrorRing::default();
        for i in 1..=70u64 {
            assert_eq!(ring.record(&Error::invalid(Area::Engine, "x")), i);
        }
        let (entries, newest) = ring.since(0);
        assert_eq!((entries.len(), newest), (KEPT, 70));
        assert_eq!(entries[0].detail().number, 7);
        assert_eq!(ring.since(69).0.len(), 1);
    }

    #[test]
    fn first_cause_is_kept() {
        let ring = ErrorRing::default();
        assert!(ring.check().is_ok());
        ring.stop(&Error::new(ErrorKind::Io, Area::Wal, "first"));
        ring.stop(&Error::new(ErrorKind::Io, Area::Wal, "second"));
        let error = ring.check().expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("first"));
    }
}
