//! When writers slow down and when they stop.
//!
//! Debt is what background work still has to move: the bytes of frozen memtables, of level 0, and what other
//! levels hold above their targets. From 16 write buffers in level 0 on, each byte written has a price that
//! rises with the debt. Prices add up; once a millisecond or more is owed, the next leader waits for it
//! before it takes the commit lock, so a slow-down is few waits and never one per put. Writers stop when all memtables
//! are full and level 0 holds 32 write buffers, 64 flushes or `l0_stop` flushes, or as many memtables are
//! frozen as may be.
//!
//! Invariants
//! 1. Level 0 slows or stops nobody while it is too short to be compacted: a stall always has work that
//!    ends it.
//! 2. Nobody waits for a job whose last attempt failed: a slow-down is passed over, a stop answers with the
//!    job's error (`db/background`).
//! 3. Every stall and slow-down that began is counted, and ended on every way out, panics included.

use crate::compaction::picker;
use crate::db::background::stall_timeout;
use crate::db::commit::Patience;
use crate::db::core::DbCore;
use crate::db::pace::Cause;
use crate::db::read_state::ReadState;
use crate::error::Result;
use crate::shared::LogLevel;
use crate::sync::Instant;
use crate::version::levels::Version;
use std::time::Duration;

/// Write buffers in level 0 from which on writers slow down.
const SLOW_BUFFERS: u64 = 16;
/// Write buffers in level 0 at which writers stop.
const STOP_BUFFERS: u64 = 32;
/// Flushes in level 0 at which writers stop, whatever `l0_stop` says.
const STOP_FLUSHES: u64 = 64;
/// Nanoseconds a byte costs at the most: 16 MB/s.
const PRICE_MAX: u64 = 64;

/// Flushes that level 0 holds: neighbours in age that are disjoint count as one, as the tables do into
/// which one flush is split.
pub fn flush_count(version: &Version) -> u64 {
    let (mut flushes, order) = (0, version.order());
    let mut hull: Option<(&[u8], &[u8])> = None;
    for table in version.level(0) {
        let (smallest, largest) = (table.meta.smallest.as_slice(), table.meta.largest.as_slice());
        hull = match hull {
            Some((lo, hi)) if order.compare(largest, lo).is_lt() => Some((smallest, hi)),
            Some((lo, hi)) if order.compare(hi, smallest).is_lt() => Some((lo, largest)),
            _ => {
                flushes += 1;
                Some((smallest, largest))
            }
        };
    }
    flushes
}

/// A stall or slow-down under way; dropping it ends it.
pub struct Waiting<'a> {
    core: &'a DbCore,
    since: Instant,
    /// Of a stop.
    cause: Option<Cause>,
}

impl Waiting<'_> {
    /// Whether it is a stop for this cause.
    pub fn is_for(&self, cause: Cause) -> bool {
        self.cause == Some(cause)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.core.queue.set_stalled(false);
        let stats = &self.core.stats;
        let took = self.since.elapsed().as_micros() as u64;
        if self.cause.is_some() {
            stats.stall_us.add(took);
            stats.stalls_ended.add(1);
            self.core.log(LogLevel::Warn, || format!("writers go on after {took} microseconds"));
        } else {
            stats.slowdown_us.add(took);
            stats.slowdowns_ended.add(1);
        }
    }
}

impl DbCore {
    /// Counts a stop and makes writers that must not wait leave the queue.
    pub fn stall_begins(&self, cause: Cause) -> Waiting<'_> {
        self.stats.stalls.add(1);
        match cause {
            Cause::Memtables => self.stats.stalls_memtables.add(1),
            Cause::Level0Bytes => self.stats.stalls_level0_bytes.add(1),
            Cause::Level0Flushes => self.stats.stalls_level0_flushes.add(1),
        }
        self.log(LogLevel::Warn, || format!("writers are stopped: {cause:?}"));
        self.queue.set_stalled(true);
        Waiting { core: self, since: Instant::now(), cause: Some(cause) }
    }

    /// Why a further frozen memtable would be too much; `None` when it would not be.
    pub fn stall_cause(&self) -> Option<Cause> {
        self.keyspace.state.with(|state| {
            if state.frozen.len() as u64 >= self.options.immutable_max {
                return Some(Cause::Memtables);
            }
            if !self.level0_counts(&state.version) {
                return None;
            }
            let bytes_max = STOP_BUFFERS.saturating_mul(self.options.write_buffer);
            if state.version.level_bytes(0) >= bytes_max {
                return Some(Cause::Level0Bytes);
            }
            let flushes_max = self.options.l0_stop.min(STOP_FLUSHES);
            (flush_count(&state.version) >= flushes_max).then_some(Cause::Level0Flushes)
        })
    }

    pub fn must_stall(&self) -> bool {
        self.stall_cause().is_some()
    }

    /// Whether compactions make level 0 shorter when it holds too much (invariant 1).
    fn level0_counts(&self, version: &Version) -> bool {
        self.options.compaction_auto && version.level(0).len() >= self.limits.l0_trigger
    }

    /// Sets the price of a byte; called when memtables or tables have changed.
    pub fn reprice(&self) {
        let price = self.keyspace.state.with(|state| self.price_in(state));
        self.pacer.set_price(price);
    }

    fn price_in(&self, state: &ReadState) -> u64 {
        let start = SLOW_BUFFERS.saturating_mul(self.options.write_buffer);
        if state.version.level_bytes(0) < start || !self.level0_counts(&state.version) {
            return 0;
        }
        let frozen: u64 = state.frozen.iter().map(|memtable| memtable.bytes()).sum();
        let debt = frozen.saturating_add(picker::debt(&state.version, &self.limits));
        let over = debt.saturating_sub(start).min(start);
        // At least 1: in the zone, nothing is free.
        (PRICE_MAX.saturating_mul(over) / start.max(1)).max(1)
    }

    /// Waits for what writers owe, if that is a millisecond or more: until it is paid, sooner when the
    /// debt falls, and not for a job that fails. Called by a leader without the commit lock.
    pub fn pay(&self, patience: Patience) -> Result<()> {
        let Some(mut due) = self.pacer.due().filter(|_| !self.options.deterministic) else {
            return Ok(());
        };
        if patience.no_stall {
            return Err(stall_timeout());
        }
        let mut price = self.pacer.price();
        self.stats.slowdowns.add(1);
        self.queue.set_stalled(true);
        let _waiting = Waiting { core: self, since: Instant::now(), cause: None };
        let mut work = self.work.lock();
        loop {
            let failing = work.flush.failure.is_some() || work.compaction.failure.is_some();
            let now = Instant::now();
            let current = self.pacer.price();
            if failing || work.stopping || current == 0 {
                self.pacer.forgive();
                return Ok(());
            }
            if current < price {
                // What is still owed falls with the debt.
                let left = due.saturating_duration_since(now).as_nanos() as u64;
                due = now + Duration::from_nanos(left.saturating_mul(current) / price);
                price = current;
                self.pacer.owe_until(due);
            }
            let until = patience.deadline.map_or(due, |deadline| deadline.min(due));
            if now >= until {
                return if until < due { Err(stall_timeout()) } else { Ok(()) };
            }
            self.progress.wait_until(&mut work, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Order;
    use crate::sync::Arc;
    use crate::table::handle::TableHandle;
    use crate::table::meta::TableMeta;
    use crate::types::{FileNum, KeyspaceId};
    use crate::version::edit::VersionEdit;

    /// A level 0 of tables with these bounds, oldest first.
    fn level0(order: &Order, bounds: &[(&str, &str)]) -> Version {
        let meta = |(at, (smallest, largest)): (usize, &(&str, &str))| TableMeta {
            file: FileNum(at as u64 + 1),
            table_id: [0; 16],
            size: 1,
            footer_crc: 0,
            entries: 1,
            deletes: 0,
            range_dels: 0,
            min_seq: at as u64,
            max_seq: at as u64,
            global_seq: 0,
            smallest: smallest.as_bytes().to_vec(),
            largest: largest.as_bytes().to_vec(),
            bounds_flags: 0,
            oldest_tombstone: 0,
        };
        let keyspace = KeyspaceId(0);
        let added = bounds.iter().enumerate().map(|table| (keyspace, 0, Arc::new(meta(table))));
        let edit = VersionEdit { tables_added: added.collect(), ..VersionEdit::default() };
        let empty = Version::empty(2, order.clone());
        empty.apply(&edit, keyspace, &|meta| TableHandle::new(meta, None)).expect("a sound edit")
    }

    #[test]
    fn flushes_are_told_apart_by_the_order_of_their_keys() {
        let overlapping = [("a", "y"), ("b", "z"), ("a", "z"), ("c", "x")];
        let split = [("a", "f"), ("g", "m"), ("n", "z"), ("b", "c")];
        let reversed = |bounds: [(&'static str, &'static str); 4]| bounds.map(|(a, b)| (b, a));
        assert_eq!(flush_count(&level0(&Order::Bytewise, &overlapping)), 4);
        assert_eq!(flush_count(&level0(&Order::Reverse, &reversed(overlapping))), 4);
        assert_eq!(flush_count(&level0(&Order::Bytewise, &split)), 2);
        assert_eq!(flush_count(&level0(&Order::Reverse, &reversed(split))), 2);
    }
}
