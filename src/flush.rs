//! Frozen memtables of one keyspace become level-0 tables.
//!
//! Versions that no snapshot can see are dropped on the way, by the rules of `compaction/iter`; deletes and
//! sequence numbers always stay, since anything may lie below. The outputs of one flush are disjoint.
//!
//! Invariants
//! 1. Entries read = the memtables' own counts; the rest is `job`'s invariants.

use crate::compaction::iter::CompactionIter;
use crate::error::{Area, Error, Result};
use crate::iter::merge::MergingIter;
use crate::job::{JobContext, Outcome, Outputs, check_cancel};
use crate::memtable::table::MemTable;
use crate::sync::{Arc, AtomicBool};
use crate::types::SeqNo;

/// Writes `mems` (frozen, oldest first, of one keyspace) to level-0 tables. `snapshots` ascend and end with
/// the visible sequence number, both taken after the memtables were frozen. The outcome's edit holds the
/// added tables only. `CANCELLED` soon after `cancel` is set.
pub fn flush_memtables(
    ctx: &JobContext,
    mems: &[Arc<MemTable>],
    snapshots: &[SeqNo],
    cancel: &AtomicBool,
) -> Result<Outcome> {
    let Some(keyspace) = mems.first().map(|mem| mem.keyspace()) else {
        return Ok(Outcome::default());
    };
    if mems.iter().any(|mem| mem.keyspace() != keyspace) {
        return Err(Error::invalid(Area::Engine, "a flush takes memtables of one keyspace"));
    }
    let newest_first = mems.iter().rev().map(MemTable::iter).collect();
    let merged = MergingIter::new(newest_first, ctx.order().clone());
    let mut survivors = CompactionIter::new(merged, ctx.order().clone(), snapshots, None);
    let mut outputs = Outputs::new(ctx, keyspace, 0);
    while survivors.next_survivor()? {
        check_cancel(cancel)?;
        outputs.add(survivors.key(), survivors.tag(), survivors.value())?;
    }
    let entries = mems.iter().fold(0, |sum: u64, mem| sum.saturating_add(mem.len()));
    outputs.finish("flush", entries, survivors.counts())
}
