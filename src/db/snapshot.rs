//! Live snapshots, by sequence number.
//!
//! Invariants
//! 1. A snapshot is in the list before its sequence number is known to its user, so every flush or
//!    compaction that copies the list afterwards keeps what it sees.
//! 2. `boundaries` copies the list and `visible_seq` in one critical section; entries above the last
//!    boundary are all kept by whoever uses the copy.

use crate::planted::{self, Planted};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::types::SeqNo;
use std::collections::BTreeMap;

struct Held {
    count: usize,
    since_micros: u64,
}

/// The live snapshots of one database.
#[derive(Default)]
pub struct SnapshotList {
    live: Mutex<BTreeMap<SeqNo, Held>>,
}

impl SnapshotList {
    /// Registers a snapshot of what is visible at this moment.
    pub fn acquire(&self, visible: &AtomicU64, now_micros: u64) -> SeqNo {
        let mut live = self.live.lock();
        let seq = visible.load(Ordering::Acquire);
        if planted::is(Planted::SnapshotListedLate) {
            MutexGuard::unlocked(&mut live, || ());
        }
        live.entry(seq).or_insert(Held { count: 0, since_micros: now_micros }).count += 1;
        seq
    }

    pub fn release(&self, seq: SeqNo) {
        let mut live = self.live.lock();
        if let Some(held) = live.get_mut(&seq) {
            held.count -= 1;
            if held.count == 0 {
                live.remove(&seq);
            }
        }
    }

    /// Sequence numbers that flush and compaction must serve: every snapshot and, last, what is visible.
    pub fn boundaries(&self, visible: &AtomicU64) -> Vec<SeqNo> {
        let live = self.live.lock();
        let mut boundaries: Vec<SeqNo> = live.keys().copied().collect();
        let newest = visible.load(Ordering::Acquire);
        if boundaries.last() != Some(&newest) {
            boundaries.push(newest);
        }
        boundaries
    }

    /// Number of snapshots, and sequence and start of the oldest one.
    pub fn summary(&self) -> (u64, SeqNo, u64) {
        let live = self.live.lock();
        let count = live.values().map(|held| held.count as u64).sum();
        let (oldest, since) =
            live.iter().next().map_or((0, 0), |(s, held)| (*s, held.since_micros));
        (count, oldest, since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_end_with_what_is_visible() {
        let list = SnapshotList::default();
        let visible = AtomicU64::new(3);
        assert_eq!(list.acquire(&visible, 0), 3);
        assert_eq!(list.acquire(&visible, 0), 3);
        assert_eq!(list.boundaries(&visible), [3]);
        visible.store(9, Ordering::Release);
        assert_eq!(list.boundaries(&visible), [3, 9]);
        list.release(3);
        assert_eq!(list.summary().0, 1);
        list.release(3);
        assert_eq!(list.boundaries(&visible), [9]);
    }
}
