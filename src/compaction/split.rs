//! Cuts one compaction into key ranges that can be worked on at the same time.
//!
//! The indexes of the input tables say where their bytes lie: every so many blocks give a key and the
//! bytes in front of it. Sorted together they show the keys at which the parts have about equal bytes.
//!
//! Invariants
//! 1. Ranges are of user keys, ascending and disjoint, and together hold every key: all versions of a key
//!    are in one of them.

use crate::buffer::copy;
use crate::compaction::plan::CompactionPlan;
use crate::error::{Area, Result};
use crate::job::JobContext;
use crate::order::Order;

/// Keys taken from the index of one table, at most about.
const ANCHORS_PER_TABLE: usize = 64;

/// User keys from `lo` on and below `hi`; `None` is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    pub lo: Option<Vec<u8>>,
    pub hi: Option<Vec<u8>>,
}

impl KeyRange {
    /// Whether a key between `smallest` and `largest` can be inside.
    pub fn meets(&self, order: &Order, smallest: &[u8], largest: &[u8]) -> bool {
        self.lo.as_ref().is_none_or(|lo| order.compare(largest, lo).is_ge())
            && self.hi.as_ref().is_none_or(|hi| order.compare(smallest, hi).is_lt())
    }
}

/// Cuts the plan's keys into at most `parts` ranges of about equal input bytes; at least one.
pub fn split(ctx: &JobContext, plan: &CompactionPlan, parts: usize) -> Result<Vec<KeyRange>> {
    if parts <= 1 {
        return Ok(vec![KeyRange::default()]);
    }
    let mut anchors = anchors(ctx, plan)?;
    plan.order.sort_by_key(&mut anchors, |anchor| &anchor.0);
    let Some((smallest, _)) = plan.whole_range() else {
        return Ok(vec![KeyRange::default()]);
    };
    let total: u64 = anchors.iter().fold(0, |sum: u64, anchor| sum.saturating_add(anchor.1));
    let share = (total / parts as u64).max(1);
    let mut ranges = Vec::with_capacity(parts);
    let (mut lo, mut before) = (None, 0u64);
    for (key, bytes) in anchors {
        before = before.saturating_add(bytes);
        let full = before / share > ranges.len() as u64;
        let inside = plan.order.compare(&key, lo.as_deref().unwrap_or(smallest)).is_gt();
        if full && inside && ranges.len() + 1 < parts {
            let hi = copy(&key, Area::Engine)?;
            ranges.push(KeyRange { lo: lo.replace(key), hi: Some(hi) });
        }
    }
    ranges.push(KeyRange { lo, hi: None });
    Ok(ranges)
}

/// Keys of all input tables, each with the bytes of its table since the one before.
fn anchors(ctx: &JobContext, plan: &CompactionPlan) -> Result<Vec<(Vec<u8>, u64)>> {
    let mut anchors = Vec::new();
    for table in plan.tables() {
        let reader = ctx.tables.reader(table)?;
        let index = reader.index();
        let step = index.count().div_ceil(ANCHORS_PER_TABLE).max(1);
        let mut start = 0;
        for at in (step - 1..index.count()).step_by(step) {
            let (_, end) = index.block_range(at);
            anchors.push((index.bound(at)?, end.saturating_sub(start)));
            start = end;
        }
    }
    Ok(anchors)
}
