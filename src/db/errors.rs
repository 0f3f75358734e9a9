//! The ring of a database's last errors and the first cause of a stop.
//!
//! Invariants
//! 1. Numbers count from 1 and rise by one; the ring keeps the newest 64.
//! 2. The first cause is kept until writes are taken up again.
//! 3. Nothing takes them up again once memory itself is not to be trusted.

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
    /// Opened so: there never were writes to stop.
    read_only: AtomicBool,
    cause: Mutex<Option<Cause>>,
}

/// Why writes are stopped.
#[derive(Clone)]
struct Cause {
    error: Error,
    /// Memory is whole: what the disk did can be made up for.
    curable: bool,
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

    /// Stops writes, until `go_on` if `curable`. The first cause is kept.
    pub fn stop(&self, error: &Error, curable: bool) {
        let mut cause = self.cause.lock();
        let known = cause.get_or_insert_with(|| Cause { error: error.clone(), curable });
        known.curable &= curable;
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether stopped writes can be taken up again; if not, the first cause, or `POISONED` after a panic.
    pub fn check_curable(&self) -> Result<()> {
        match self.cause.lock().clone() {
            Some(Cause { error, curable: false }) if error.kind() == ErrorKind::Panic => {
                Err(poisoned(&error))
            }
            Some(Cause { error, curable: false }) => {
                Err(error.context("only closing and opening the database helps"))
            }
            _ => Ok(()),
        }
    }

    /// Takes writes up again. `CORRUPT`, `PANIC` and their like stay.
    pub fn go_on(&self) -> Result<()> {
        self.check_curable()?;
        let mut cause = self.cause.lock();
        if cause.as_ref().is_none_or(|cause| cause.curable) {
            *cause = None;
            self.stopped.store(false, Ordering::Release);
        }
        Ok(())
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Refuses writes from the beginning, with `READONLY`.
    pub fn refuse_writes(&self) {
        self.read_only.store(true, Ordering::Release);
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    pub fn cause(&self) -> Option<Error> {
        self.cause.lock().as_ref().map(|cause| cause.error.clone())
    }

    /// `POISONED`, naming the first cause, once writes are stopped; `READONLY` where there may be none.
    pub fn check(&self) -> Result<()> {
        if self.is_read_only() {
            let message = "the database was opened with READONLY";
            return Err(Error::new(ErrorKind::ReadOnly, Area::Engine, message));
        }
        if !self.is_stopped() {
            return Ok(());
        }
        match self.cause() {
            Some(cause) => Err(poisoned(&cause)),
            // They have just been taken up again.
            None => Ok(()),
        }
    }
}

fn poisoned(cause: &Error) -> Error {
    let message = format!("writes were stopped by an earlier error: {cause}");
    Error::new(ErrorKind::Poisoned, Area::Engine, message)
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
        ring.stop(&Error::new(ErrorKind::Io, Area::Wal, "first"), true);
        ring.stop(&Error::new(ErrorKind::Io, Area::Wal, "second"), true);
        let error = ring.check().expect_err("stopped");
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert!(error.to_string().contains("first"));
        ring.go_on().expect("curable");
        assert!(ring.check().is_ok() && ring.cause().is_none());
    }

    #[test]
    fn a_stop_for_good_outlasts_an_earlier_curable_one() {
        for (kind, answer) in
            [(ErrorKind::Panic, ErrorKind::Io), (ErrorKind::Corrupt, ErrorKind::Io)]
        {
            let ring = ErrorRing::default();
            ring.stop(&Error::new(ErrorKind::Io, Area::Wal, "first"), true);
            ring.stop(&Error::new(kind, Area::Engine, "second"), false);
            assert_eq!(ring.go_on().expect_err("for good").kind(), answer);
            assert!(ring.is_stopped());
        }
        let ring = ErrorRing::default();
        ring.stop(&Error::new(ErrorKind::Panic, Area::Engine, "first"), false);
        assert_eq!(ring.go_on().expect_err("for good").kind(), ErrorKind::Poisoned);
    }
}
