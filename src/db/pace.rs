//! What writers owe for the bytes they wrote while background work was behind, and why they may stop.
//!
//! Prices add up to a moment until which everything is paid for; time passing pays. `db/stall` sets the
//! price and does the waiting.
//!
//! Invariants
//! 1. At full speed nothing is charged and nothing is due.

use crate::sync::{AtomicU64, Instant, Mutex, Ordering};
use std::time::Duration;

/// Less than this is owed on.
const WAIT_MIN: Duration = Duration::from_millis(1);
/// More than this is never owed.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Why writers stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// As many memtables wait for a flush as may.
    Memtables,
    /// Level 0 holds too many bytes.
    Level0Bytes,
    /// Level 0 holds too many flushes.
    Level0Flushes,
}

/// What writers owe.
#[derive(Default)]
pub struct Pacer {
    /// Nanoseconds per byte; 0 = full speed.
    price: AtomicU64,
    /// Until when everything written is paid for. Touched by leaders only.
    paid_until: Mutex<Option<Instant>>,
}

impl Pacer {
    pub fn price(&self) -> u64 {
        self.price.load(Ordering::Acquire)
    }

    pub fn set_price(&self, nanos_per_byte: u64) {
        self.price.store(nanos_per_byte, Ordering::Release);
    }

    /// Adds the price of `bytes`.
    pub fn charge(&self, bytes: u64) {
        let price = self.price();
        if price == 0 {
            return;
        }
        let cost = Duration::from_nanos(bytes.saturating_mul(price));
        let now = Instant::now();
        let mut paid_until = self.paid_until.lock();
        let from = paid_until.map_or(now, |until| until.max(now));
        *paid_until = Some((from + cost.min(WAIT_MAX)).min(now + WAIT_MAX));
    }

    /// Until when the next write has to wait, if that is worth a wait.
    pub fn due(&self) -> Option<Instant> {
        if self.price() == 0 {
            return None;
        }
        self.paid_until.lock().filter(|until| *until >= Instant::now() + WAIT_MIN)
    }

    /// Owes so much and no more.
    pub fn owe_until(&self, due: Instant) {
        *self.paid_until.lock() = Some(due);
    }

    /// Forgets what is owed.
    pub fn forgive(&self) {
        *self.paid_until.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_adds_up_and_is_bounded() {
        let pacer = Pacer::default();
        pacer.charge(u64::MAX);
        assert_eq!(pacer.due(), None, "full speed costs nothing");
        pacer.set_price(64);
        pacer.charge(100);
        assert_eq!(pacer.due(), None, "not worth a wait yet");
        pacer.charge(u64::MAX);
        let due = pacer.due().expect("something is owed");
        assert!(due <= Instant::now() + WAIT_MAX);
        pacer.forgive();
        assert_eq!(pacer.due(), None);
    }
}
