//! What one compaction merges, and why.
//!
//! A plan names its tables by handle, so they stay readable while it waits or runs. Plans are made by
//! `compaction/picker` and executed by `compaction/run`, which checks all of these once more against
//! the version it was made for.
//!
//! Invariants
//! 1. The inputs at the output level are all its tables that overlap the key range of the inputs; levels
//!    in between, if any, hold nothing there.
//! 2. A plan that leads out of level 0 holds every level-0 table that overlaps one of its inputs, so no
//!    older version of a key stays above a newer one. One that merges within level 0 holds neighbours in
//!    the order of their sequence numbers, so the merged table takes the place of all of them.
//! 3. A trivial move has no inputs at the output level and changes only where its tables are listed.

use crate::checks::CHECKS;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::order::Order;
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::table::meta::TableMeta;
use crate::types::{KeyspaceId, LEVELS_MAX, VictimChoice};
use crate::version::levels::Version;

/// Why a compaction was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Level 0 holds too many tables.
    Level0Tables,
    /// Level 0 holds too many small tables and cannot be emptied now.
    Level0Merge,
    /// The level holds more bytes than its target.
    LevelSize,
    /// Someone asked for this key range to go one level down.
    Range,
    /// Someone asked for this key range to be written anew where it is.
    Rewrite,
}

/// What the picker knows of the options.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Tables in level 0 from which on it is compacted.
    pub l0_trigger: usize,
    /// Target bytes of the first sorted level.
    pub level_bytes: u64,
    /// Target of a level in targets of the level above.
    pub level_ratio: u64,
    pub levels: usize,
    /// Target bytes of a table.
    pub table_size: u64,
    /// Targets follow the size of the largest level rather than being fixed.
    pub dynamic: bool,
    pub victim: VictimChoice,
    /// Of `VictimChoice::Random`.
    pub seed: u64,
}

/// How large the levels of one version should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The level that level 0 is compacted into.
    pub base: usize,
    levels: usize,
    bytes: [u64; LEVELS_MAX],
}

impl Targets {
    /// Bytes a level may hold before it is compacted; `None` for level 0, levels above the base and the
    /// last level.
    pub fn target(&self, level: usize) -> Option<u64> {
        if level < self.base || level.saturating_add(1) >= self.levels {
            return None;
        }
        self.bytes.get(level).copied()
    }
}

/// A table overlapping more than this many table sizes two levels down is not moved or grown further:
/// its own next compaction would be too large.
const GRANDPARENT_TABLES: u64 = 10;

/// Most bytes of grandparents one table may overlap.
pub fn grandparent_bytes_max(table_size: u64) -> u64 {
    table_size.saturating_mul(GRANDPARENT_TABLES)
}

impl Limits {
    /// The targets of the levels of `version`.
    ///
    /// Fixed ones grow from `level_bytes` at level 1. Dynamic ones are counted back from the largest level,
    /// so that each level is a fraction of the next and few bytes lie above the last one: a small
    /// database has only its last level, and another level above the base comes into use when the base's
    /// share would exceed `level_bytes`. No target is below `level_bytes`: a level smaller than what
    /// comes down from level 0 at a time would be rewritten for nothing.
    pub fn targets(&self, version: &Version) -> Targets {
        let levels = self.levels.min(version.levels()).min(LEVELS_MAX);
        let ratio = self.level_ratio.max(1);
        let (base, base_bytes) = match self.dynamic {
            true => self.dynamic_base(version, levels, ratio),
            false => (1, self.level_bytes),
        };
        let mut targets = Targets { base, levels, bytes: [0; LEVELS_MAX] };
        let mut bytes = base_bytes;
        for target in targets.bytes.iter_mut().skip(base) {
            *target = bytes.max(self.level_bytes).max(1);
            bytes = bytes.saturating_mul(ratio);
        }
        targets
    }

    /// The level to compact level 0 into, and its share of bytes.
    fn dynamic_base(&self, version: &Version, levels: usize, ratio: u64) -> (usize, u64) {
        let last = levels.saturating_sub(1).max(1);
        let sizes = || (1..=last).map(|level| version.level_bytes(level));
        let Some(first) = (1..=last).find(|level| !version.level(*level).is_empty()) else {
            return (last, self.level_bytes);
        };
        let largest = sizes().max().unwrap_or(0);
        let mut base = first;
        let mut bytes = (first..last).fold(largest, |bytes, _| bytes / ratio);
        while base > 1 && bytes > self.level_bytes {
            base -= 1;
            bytes /= ratio;
        }
        // Tables above what would be the base now go down like any others.
        (base, bytes.clamp(self.level_bytes / ratio, self.level_bytes))
    }
}

/// One compaction: which tables become which level.
#[derive(Clone)]
pub struct CompactionPlan {
    pub keyspace: KeyspaceId,
    /// Of its keys.
    pub order: Order,
    pub level: u8,
    pub output_level: u8,
    /// At `level`: newest first in level 0, else in key order.
    pub inputs: Vec<Arc<TableHandle>>,
    /// At `output_level`, in key order; empty when that is `level`.
    pub output_inputs: Vec<Arc<TableHandle>>,
    /// Tables one level below the output that overlap it, in key order.
    pub grandparents: Vec<Arc<TableHandle>>,
    pub reason: Reason,
    /// The inputs change their level without being rewritten.
    pub trivial_move: bool,
}

/// Smallest and largest user key of `tables`; `None` when there are none.
pub fn key_range<'t>(
    order: &Order,
    tables: impl IntoIterator<Item = &'t Arc<TableHandle>>,
) -> Option<(&'t [u8], &'t [u8])> {
    range_of(order, tables.into_iter().map(|table| table.meta.as_ref()))
}

/// As [`key_range`], of tables that may be gone.
pub fn range_of<'t>(
    order: &Order,
    tables: impl Iterator<Item = &'t TableMeta>,
) -> Option<(&'t [u8], &'t [u8])> {
    let ranges = tables.map(|meta| (meta.smallest.as_slice(), meta.largest.as_slice()));
    ranges.reduce(|(least, greatest), (lo, hi)| {
        let least = if order.compare(lo, least).is_lt() { lo } else { least };
        (least, if order.compare(hi, greatest).is_gt() { hi } else { greatest })
    })
}

/// Bytes of `tables`.
pub fn total_bytes(tables: &[Arc<TableHandle>]) -> u64 {
    tables.iter().fold(0, |sum: u64, table| sum.saturating_add(table.meta.size))
}

impl CompactionPlan {
    /// Every table the compaction reads.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableHandle>> {
        self.inputs.iter().chain(&self.output_inputs)
    }

    /// Smallest and largest user key of the tables at `level`.
    pub fn input_range(&self) -> Option<(&[u8], &[u8])> {
        key_range(&self.order, &self.inputs)
    }

    /// Smallest and largest user key of all its tables.
    pub fn whole_range(&self) -> Option<(&[u8], &[u8])> {
        key_range(&self.order, self.tables())
    }

    /// Whether level-0 tables become one table of level 0, which must not be cut: a part of it could sort
    /// behind older tables.
    pub fn merges_level0(&self) -> bool {
        self.level == 0 && self.output_level == 0
    }

    /// Bytes the compaction reads.
    pub fn bytes(&self) -> u64 {
        total_bytes(&self.inputs).saturating_add(total_bytes(&self.output_inputs))
    }

    /// Holds the plan to invariants 1 to 3 against the version it was made for; `CORRUPT` otherwise.
    pub fn check(&self, version: &Version) -> Result<()> {
        if !CHECKS {
            return Ok(());
        }
        let Some((lo, hi)) = self.input_range() else {
            return Err(self.wrong("has no inputs"));
        };
        let (level, output) = (usize::from(self.level), usize::from(self.output_level));
        if output < level || output >= version.levels() {
            return Err(self.wrong("has no such output level"));
        }
        if self.merges_level0() {
            return self.check_neighbours(version);
        }
        self.check_level(version, level, &self.inputs)?;
        self.check_level(version, output, &self.output_inputs)?;
        if level == 0 {
            for table in &self.inputs {
                let overlap = overlapping(version, 0, &table.meta.smallest, &table.meta.largest);
                self.check_all_in(&overlap, &self.inputs)?;
            }
        }
        if (level + 1..output).any(|passed| !overlapping(version, passed, lo, hi).is_empty()) {
            return Err(self.wrong("passes tables of its range"));
        }
        let expected = overlapping(version, output, lo, hi);
        let there = if output == level { &self.inputs } else { &self.output_inputs };
        self.check_all_in(&expected, there)?;
        if self.trivial_move && !self.output_inputs.is_empty() {
            return Err(self.wrong("moves tables onto others"));
        }
        Ok(())
    }

    /// The inputs stand side by side in level 0 and nothing else is touched.
    fn check_neighbours(&self, version: &Version) -> Result<()> {
        let file = |table: &Arc<TableHandle>| table.meta.file;
        let same = |run: &[Arc<TableHandle>]| run.iter().map(file).eq(self.inputs.iter().map(file));
        let neighbours = version.level(0).windows(self.inputs.len().max(1)).any(same);
        if !neighbours || self.trivial_move || !self.output_inputs.is_empty() {
            return Err(self.wrong("does not merge neighbours"));
        }
        Ok(())
    }

    /// Every table of the plan is in that level.
    fn check_level(
        &self,
        version: &Version,
        level: usize,
        tables: &[Arc<TableHandle>],
    ) -> Result<()> {
        self.check_all_in(tables, version.level(level))
    }

    fn check_all_in(&self, tables: &[Arc<TableHandle>], all: &[Arc<TableHandle>]) -> Result<()> {
        for table in tables {
            if !all.iter().any(|other| other.meta.file == table.meta.file) {
                let what = format!("and the version disagree on table {}", table.meta.file);
                return Err(self.wrong(&what).with_file(table.meta.file.0));
            }
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, what: &str) -> Error {
        let message =
            format!("compaction plan of level {} to {} {what}", self.level, self.output_level);
        self.order.blame(Error::new(ErrorKind::Corrupt, Area::Engine, message))
    }
}

/// Tables of `level` that overlap the keys from `lo` to `hi`, both inclusive.
pub fn overlapping(version: &Version, level: usize, lo: &[u8], hi: &[u8]) -> Vec<Arc<TableHandle>> {
    version.overlapping(level, Some(lo), Some(hi))
}
