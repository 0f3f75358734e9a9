//! Which table of a level that is too large goes down: the order in which they are tried.
//!
//! `min_overlap` weighs the bytes of the next level that a table overlaps against its own. A table in which
//! deletes are the majority counts for more than its bytes: each delete that gets to the bottom frees a
//! put there, so such tables, and levels full of them, go down early.
//!
//! Invariants
//! 1. Pure: the same version, limits and cursor give the same order; `random` draws from the seed, the
//!    cursor and the tables' numbers.
//! 2. The order has every table of the level once.

use crate::compaction::plan::Limits;
use crate::hash::hash64;
use crate::order::{Order, sorted_numbers};
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::table::meta::TableMeta;
use crate::types::VictimChoice;
use crate::version::levels::Version;
use std::cmp::Ordering;

/// A delete beyond half of a table's entries counts as this many average puts.
const DELETE_WEIGHT: u64 = 2;
/// Deletes make a table count at most this many times its bytes.
const BOOST_MAX: u64 = 10;

/// Average bytes of a put in `version`, roughly.
pub fn put_bytes(version: &Version) -> u64 {
    let (mut bytes, mut puts) = (0u64, 0u64);
    for table in version.tables() {
        bytes = bytes.saturating_add(table.meta.size);
        puts = puts.saturating_add(table.meta.entries.saturating_sub(table.meta.deletes));
    }
    bytes / puts.max(1)
}

/// What a table counts for when levels and tables are compared.
pub fn weight(meta: &TableMeta, put_bytes: u64) -> u64 {
    let puts = meta.entries.saturating_sub(meta.deletes);
    let excess = meta.deletes.saturating_sub(puts);
    let boost = excess.saturating_mul(DELETE_WEIGHT).saturating_mul(put_bytes);
    meta.size.saturating_add(boost.min(meta.size.saturating_mul(BOOST_MAX - 1)))
}

/// Bytes of the sorted, disjoint `tables` that overlap the keys from `lo` to `hi`.
pub fn overlap_bytes(order: &Order, tables: &[Arc<TableHandle>], lo: &[u8], hi: &[u8]) -> u64 {
    let first = tables.partition_point(|table| order.compare(&table.meta.largest, lo).is_lt());
    let rest = tables.get(first..).unwrap_or(&[]);
    let overlap = rest.iter().take_while(|table| order.compare(&table.meta.smallest, hi).is_le());
    overlap.fold(0, |sum: u64, table| sum.saturating_add(table.meta.size))
}

/// One table of a level as a candidate.
struct Candidate<'v> {
    table: &'v Arc<TableHandle>,
    /// Bytes of the next level it overlaps.
    overlap: u64,
    weight: u64,
    /// Whether the cursor is past it.
    passed: bool,
    /// Its place in a random order.
    draw: u64,
}

impl Candidate<'_> {
    /// Fewest bytes rewritten per byte it counts for.
    fn cheaper(&self, other: &Candidate<'_>) -> Ordering {
        // overlap / weight < other.overlap / other.weight, without division.
        let mine = u128::from(self.overlap) * u128::from(other.weight.max(1));
        let theirs = u128::from(other.overlap) * u128::from(self.weight.max(1));
        mine.cmp(&theirs)
    }

    fn order(&self, other: &Candidate<'_>, choice: VictimChoice) -> Ordering {
        let chosen = match choice {
            VictimChoice::MinOverlap => self.cheaper(other),
            VictimChoice::Oldest => self.table.meta.file.cmp(&other.table.meta.file),
            VictimChoice::RoundRobin => Ordering::Equal,
            VictimChoice::Random => self.draw.cmp(&other.draw),
        };
        chosen.then(self.passed.cmp(&other.passed))
    }
}

/// The tables of `level`, the one to compact next first. `cursor` is where the level's last compaction
/// ended, empty when there was none.
pub fn victims<'v>(
    version: &'v Version,
    limits: &Limits,
    level: usize,
    cursor: &[u8],
) -> Vec<&'v Arc<TableHandle>> {
    let (order, below) = (version.order(), version.level(level + 1));
    let put_bytes = put_bytes(version);
    // A new draw for each choice: the cursor moves with every compaction of the level.
    let seed = hash64(cursor, limits.seed ^ level as u64);
    let candidate = |table: &'v Arc<TableHandle>| Candidate {
        table,
        overlap: overlap_bytes(order, below, &table.meta.smallest, &table.meta.largest),
        weight: weight(&table.meta, put_bytes),
        passed: !cursor.is_empty() && order.compare(&table.meta.smallest, cursor).is_le(),
        draw: hash64(&table.meta.file.0.to_le_bytes(), seed),
    };
    let candidates: Vec<Candidate<'v>> = version.level(level).iter().map(candidate).collect();
    // Tables come in key order and the sort is stable, so of equals the earlier one stays first.
    let sorted = sorted_numbers(candidates.len(), &|a, b| {
        candidates[a].order(&candidates[b], limits.victim).is_le()
    });
    sorted.into_iter().map(|number| candidates[number].table).collect()
}
