//! Which compaction comes next: pure functions of a version, the options and the cursors.
//!
//! Level 0 is scored by its number of tables, every other level but the last by its bytes over its target;
//! the highest score of at least 1 wins. In level 0 the oldest table is taken with everything that overlaps
//! it, directly or through others. Elsewhere the victim is the table whose compaction rewrites the fewest
//! bytes of the next level per byte of its own; among equals the first one behind the cursor, so that a
//! level is gone through in key order. What conflicts with a running job is passed over for the next best.
//!
//! Invariants
//! 1. No I/O, no clock, no lock: the same input gives the same plan.
//! 2. Every plan passes `CompactionPlan::check`.
//! 3. A table with deletes is never just moved to where these deletes could be dropped.

use crate::compaction::inflight::Inflight;
use crate::compaction::plan::{
    CompactionPlan, Limits, Reason, grandparent_bytes_max, key_range, overlapping, total_bytes,
};
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::types::KeyspaceId;
use crate::version::levels::Version;
use std::cmp::Ordering;

/// Most tables of one level that a compaction asked for by key range takes at once.
const RANGE_TABLES_MAX: usize = 8;
/// Such a compaction takes more than one table only up to this many table sizes in all.
const RANGE_BYTES_TABLES: u64 = 25;

/// How urgently `level` needs a compaction; 1 and above means it does.
pub fn score(version: &Version, limits: &Limits, level: usize) -> f64 {
    if level == 0 {
        return version.level(0).len() as f64 / limits.l0_trigger.max(1) as f64;
    }
    match limits.target(level) {
        Some(target) => version.level_bytes(level) as f64 / target as f64,
        None => 0.0,
    }
}

/// Bytes that wait to be compacted: level 0 and what other levels hold above their targets.
pub fn debt(version: &Version, limits: &Limits) -> u64 {
    (1..version.levels()).fold(version.level_bytes(0), |sum, level| {
        let bytes = version.level_bytes(level);
        let excess = limits.target(level).map_or(0, |target| bytes.saturating_sub(target));
        sum.saturating_add(excess)
    })
}

/// Levels that exist both in the options and in the version.
fn level_count(version: &Version, limits: &Limits) -> usize {
    limits.levels.min(version.levels())
}

/// Chooses the next compaction that can run beside those in flight; `None` when no level needs one, or
/// none can run now. `cursors[level]` is the largest key of the level's last compaction, empty or absent
/// when there was none.
pub fn pick(
    version: &Version,
    limits: &Limits,
    cursors: &[Vec<u8>],
    keyspace: KeyspaceId,
    inflight: &Inflight,
) -> Option<CompactionPlan> {
    // The last level has nowhere to go.
    let levels = 0..level_count(version, limits).saturating_sub(1);
    let scored = levels.map(|level| (level, score(version, limits, level)));
    let mut wanted: Vec<(usize, f64)> = scored.filter(|(_, score)| *score >= 1.0).collect();
    // Stable: the upper one of equals stays first.
    wanted.sort_by(|a, b| b.1.total_cmp(&a.1));
    let draft = Draft { version, limits, keyspace, inflight };
    wanted.into_iter().find_map(|(level, _)| {
        if level == 0 {
            return draft.level0();
        }
        draft.level_size(level, cursors.get(level).map_or(&[][..], Vec::as_slice))
    })
}

/// Chooses the next step of bringing everything between `lo` and `hi` (inclusive, `None` = no bound) from
/// `level` one level down; `None` when nothing is left there, `level` is the last one or the step conflicts
/// with what is in flight (with an empty `inflight` there is a plan then). Steps are small and go through
/// the level from its start: the caller asks again with a version that has the step in it.
pub fn pick_range(
    version: &Version,
    level: usize,
    lo: Option<&[u8]>,
    hi: Option<&[u8]>,
    keyspace: KeyspaceId,
    limits: &Limits,
    inflight: &Inflight,
) -> Option<CompactionPlan> {
    if level + 1 >= level_count(version, limits) {
        return None;
    }
    let draft = Draft { version, limits, keyspace, inflight };
    let inputs = if level == 0 {
        level0_inputs(version, lo, hi)
    } else {
        draft.some_of(version.overlapping(level, lo, hi), Some(level + 1))
    };
    draft.plan(level, level + 1, inputs, Reason::Range)
}

/// Chooses the next step of writing everything of `level` (not 0) between `lo` and `hi` anew in the same
/// level, to drop what no snapshot sees any more; `None` when there is nothing, or it conflicts as in
/// [`pick_range`]. The caller goes on behind the plan's `input_range`.
pub fn pick_rewrite(
    version: &Version,
    level: usize,
    lo: Option<&[u8]>,
    hi: Option<&[u8]>,
    keyspace: KeyspaceId,
    limits: &Limits,
    inflight: &Inflight,
) -> Option<CompactionPlan> {
    if level == 0 || level >= version.levels() {
        return None;
    }
    let draft = Draft { version, limits, keyspace, inflight };
    let inputs = draft.some_of(version.overlapping(level, lo, hi), None);
    draft.plan(level, level, inputs, Reason::Rewrite)
}

/// Level-0 tables that overlap the range, and those that overlap these, until there are no more; newest
/// first.
fn level0_inputs(version: &Version, lo: Option<&[u8]>, hi: Option<&[u8]>) -> Vec<Arc<TableHandle>> {
    let mut chosen = version.overlapping(0, lo, hi);
    loop {
        // The hull of the chosen tables may cover a gap; taking what lies there too is merely more work.
        let Some((least, greatest)) = key_range(&chosen) else {
            return chosen;
        };
        let wider = overlapping(version, 0, least, greatest);
        if wider.len() == chosen.len() {
            return in_level_order(version, chosen);
        }
        chosen = wider;
    }
}

/// Newest first, as level 0 lists them.
fn in_level_order(version: &Version, tables: Vec<Arc<TableHandle>>) -> Vec<Arc<TableHandle>> {
    let chosen = |table: &&Arc<TableHandle>| tables.iter().any(|t| t.meta.file == table.meta.file);
    version.level(0).iter().filter(chosen).cloned().collect()
}

/// One table of a level as a candidate for the next compaction.
struct Candidate<'v> {
    table: &'v Arc<TableHandle>,
    /// Bytes of the next level it overlaps.
    overlap: u64,
    /// Whether the cursor is past it.
    passed: bool,
}

impl Candidate<'_> {
    /// Fewest bytes rewritten per byte of its own first; among equals those behind the cursor.
    fn order(&self, other: &Candidate<'_>) -> Ordering {
        // overlap / size < other.overlap / other.size, without division.
        let mine = u128::from(self.overlap) * u128::from(other.table.meta.size.max(1));
        let theirs = u128::from(other.overlap) * u128::from(self.table.meta.size.max(1));
        mine.cmp(&theirs).then(self.passed.cmp(&other.passed))
    }
}

/// The tables of `level`, the one to compact next first.
fn victims<'v>(version: &'v Version, level: usize, cursor: &[u8]) -> Vec<&'v Arc<TableHandle>> {
    let below = version.level(level + 1);
    let candidate = |table: &'v Arc<TableHandle>| Candidate {
        table,
        overlap: overlap_bytes(below, &table.meta.smallest, &table.meta.largest),
        passed: !cursor.is_empty() && table.meta.smallest.as_slice() <= cursor,
    };
    let mut candidates: Vec<Candidate<'v>> = version.level(level).iter().map(candidate).collect();
    // Tables come in key order and the sort is stable, so of equals the earlier one stays first.
    candidates.sort_by(Candidate::order);
    candidates.into_iter().map(|candidate| candidate.table).collect()
}

/// Bytes of the sorted, disjoint `tables` that overlap the keys from `lo` to `hi`.
fn overlap_bytes(tables: &[Arc<TableHandle>], lo: &[u8], hi: &[u8]) -> u64 {
    let first = tables.partition_point(|table| table.meta.largest.as_slice() < lo);
    let rest = tables.get(first..).unwrap_or(&[]);
    let overlap = rest.iter().take_while(|table| table.meta.smallest.as_slice() <= hi);
    overlap.fold(0, |sum: u64, table| sum.saturating_add(table.meta.size))
}

/// What every plan of one choice has in common.
struct Draft<'a> {
    version: &'a Version,
    limits: &'a Limits,
    keyspace: KeyspaceId,
    inflight: &'a Inflight,
}

impl Draft<'_> {
    /// The oldest table of level 0 and what must go with it.
    fn level0(&self) -> Option<CompactionPlan> {
        let oldest = self.version.level(0).last()?;
        let (lo, hi) = (oldest.meta.smallest.as_slice(), oldest.meta.largest.as_slice());
        let inputs = level0_inputs(self.version, Some(lo), Some(hi));
        self.plan(0, 1, inputs, Reason::Level0Tables)
    }

    /// The best table of `level` that no running job is in the way of.
    fn level_size(&self, level: usize, cursor: &[u8]) -> Option<CompactionPlan> {
        victims(self.version, level, cursor)
            .into_iter()
            .find_map(|victim| self.plan(level, level + 1, vec![victim.clone()], Reason::LevelSize))
    }

    /// The first tables of a level's `tables`, as many as make a small step into `output`.
    fn some_of(
        &self,
        mut tables: Vec<Arc<TableHandle>>,
        output: Option<usize>,
    ) -> Vec<Arc<TableHandle>> {
        let bytes_max = self.limits.table_size.saturating_mul(RANGE_BYTES_TABLES);
        let step_bytes = |inputs: &[Arc<TableHandle>]| {
            let below = output
                .zip(key_range(inputs))
                .map_or(0, |(level, (lo, hi))| overlap_bytes(self.version.level(level), lo, hi));
            total_bytes(inputs).saturating_add(below)
        };
        tables.truncate(RANGE_TABLES_MAX);
        while tables.len() > 1 && step_bytes(&tables) > bytes_max {
            tables.pop();
        }
        tables
    }

    /// The plan with these inputs; `None` without inputs or beside a conflicting job.
    fn plan(
        &self,
        level: usize,
        output: usize,
        inputs: Vec<Arc<TableHandle>>,
        reason: Reason,
    ) -> Option<CompactionPlan> {
        let (lo, hi) = key_range(&inputs)?;
        let output_inputs = match output == level {
            true => Vec::new(),
            false => overlapping(self.version, output, lo, hi),
        };
        let (lo, hi) = key_range(inputs.iter().chain(&output_inputs))?;
        let grandparents = match output + 1 < self.version.levels() {
            true => overlapping(self.version, output + 1, lo, hi),
            false => Vec::new(),
        };
        let mut plan = CompactionPlan {
            keyspace: self.keyspace,
            level: u8::try_from(level).ok()?,
            output_level: u8::try_from(output).ok()?,
            inputs,
            output_inputs,
            grandparents,
            reason,
            trivial_move: false,
        };
        if self.inflight.conflicts(&plan) {
            return None;
        }
        plan.trivial_move = self.can_move(&plan);
        Some(plan)
    }

    /// Whether the inputs may change their level as they are.
    fn can_move(&self, plan: &CompactionPlan) -> bool {
        let Some((lo, hi)) = plan.input_range() else {
            return false;
        };
        let output = usize::from(plan.output_level);
        let deletes = plan.inputs.iter().any(|table| table.meta.deletes > 0);
        plan.level != plan.output_level
            && plan.output_inputs.is_empty()
            && (plan.level > 0 || plan.inputs.len() == 1)
            && total_bytes(&plan.grandparents) <= grandparent_bytes_max(self.limits.table_size)
            && !(deletes && self.version.is_bottom(output, Some(lo), Some(hi)))
    }
}
