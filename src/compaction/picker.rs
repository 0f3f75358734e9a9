//! Which compaction comes next: pure functions of a version, the options and the cursors.
//!
//! Level 0 is scored by its number of tables, every other level but the last by its bytes over its target
//! (see `Limits::targets`); tables that a running job takes away do not count. The highest score of at
//! least 1 wins. In level 0 the oldest table is taken with everything that overlaps it, directly or through
//! others, down to the base level. Elsewhere `victim` says which table. What conflicts with a running job
//! is passed over for the next best. While nothing can leave level 0, small neighbours in it are merged, so
//! that readers have fewer tables to look at.
//!
//! Invariants
//! 1. No I/O, no clock, no lock: the same input gives the same plan.
//! 2. Every plan passes `CompactionPlan::check`.
//! 3. A table with deletes is never just moved to where these deletes could be dropped.

use crate::compaction::inflight::Inflight;
use crate::compaction::plan::{
    CompactionPlan, Limits, Reason, Targets, grandparent_bytes_max, key_range, overlapping,
    total_bytes,
};
use crate::compaction::victim::{overlap_bytes, put_bytes, victims, weight};
use crate::order::sort_few;
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::types::KeyspaceId;
use crate::version::levels::Version;

/// Most tables of one level that a compaction asked for by key range takes at once.
const RANGE_TABLES_MAX: usize = 8;
/// Such a compaction takes more than one table only up to this many table sizes in all.
const RANGE_BYTES_TABLES: u64 = 25;

/// Fewest level-0 tables that are merged within level 0.
const MERGE_TABLES_MIN: usize = 4;
/// Such a merge makes a table of at most this many table sizes.
const MERGE_BYTES_TABLES: u64 = 4;

/// How urgently `level` needs a compaction beside those in flight; 1 and above means it does.
#[cfg(any(test, feature = "internals"))]
pub fn score(version: &Version, limits: &Limits, level: usize, inflight: &Inflight) -> f64 {
    scores(version, limits, &limits.targets(version), inflight).get(level).copied().unwrap_or(0.0)
}

fn scores(version: &Version, limits: &Limits, targets: &Targets, inflight: &Inflight) -> Vec<f64> {
    let put_bytes = put_bytes(version);
    let of_level = |level: usize| {
        let tables = version.level(level).iter();
        let staying = tables.filter(|table| !inflight.takes_away(level, table.meta.file));
        if level == 0 {
            return level0_score(staying, limits, targets);
        }
        let Some(target) = targets.target(level) else { return 0.0 };
        let weights = staying.map(|table| weight(&table.meta, put_bytes));
        weights.fold(0, u64::saturating_add) as f64 / target as f64
    };
    (0..level_count(version, limits)).map(of_level).collect()
}

/// By the number of tables; with dynamic targets also by bytes, so that a level 0 of few large tables does
/// not outgrow the base.
fn level0_score<'v>(
    tables: impl Iterator<Item = &'v Arc<TableHandle>>,
    limits: &Limits,
    targets: &Targets,
) -> f64 {
    let (count, bytes) = tables.fold((0usize, 0u64), |(count, bytes), table| {
        (count + 1, bytes.saturating_add(table.meta.size))
    });
    let by_count = count as f64 / limits.l0_trigger.max(1) as f64;
    if !limits.dynamic {
        return by_count;
    }
    let target = targets.target(targets.base).unwrap_or(limits.level_bytes).max(1);
    by_count.max(bytes as f64 / target as f64)
}

/// Bytes that wait to be compacted: level 0 and what other levels hold above their targets.
pub fn debt(version: &Version, limits: &Limits) -> u64 {
    let targets = limits.targets(version);
    (1..version.levels()).fold(version.level_bytes(0), |sum, level| {
        let bytes = version.level_bytes(level);
        let excess = targets.target(level).map_or(0, |target| bytes.saturating_sub(target));
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
    cursors: &[Arc<Vec<u8>>],
    keyspace: KeyspaceId,
    inflight: &Inflight,
) -> Option<CompactionPlan> {
    let targets = limits.targets(version);
    let scores = scores(version, limits, &targets, inflight);
    // The last level has nowhere to go.
    let levels =
        scores.into_iter().enumerate().take(level_count(version, limits).saturating_sub(1));
    let mut wanted: Vec<(usize, f64)> = levels.filter(|(_, score)| *score >= 1.0).collect();
    // Stable: the upper one of equals stays first.
    sort_few(&mut wanted, |a, b| a.1 >= b.1);
    let draft = Draft { version, limits, keyspace, inflight };
    wanted.into_iter().find_map(|(level, _)| {
        if level == 0 {
            return draft.level0(targets.base).or_else(|| draft.merge_level0());
        }
        draft.level_size(level, cursors.get(level).map_or(&[][..], |key| key.as_slice()))
    })
}

/// Chooses the next step of bringing everything between `lo` and `hi` (inclusive, `None` = no bound) from
/// `level` one level down, or from level 0 to the base level; `None` when nothing is left there, `level` is the last one or the step conflicts
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
    if level == 0 {
        let base = limits.targets(version).base;
        return draft.plan(0, base, level0_inputs(version, lo, hi), Reason::Range);
    }
    let inputs = draft.some_of(version.overlapping(level, lo, hi), Some(level + 1));
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
        let Some((least, greatest)) = key_range(version.order(), &chosen) else {
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

/// What every plan of one choice has in common.
struct Draft<'a> {
    version: &'a Version,
    limits: &'a Limits,
    keyspace: KeyspaceId,
    inflight: &'a Inflight,
}

impl Draft<'_> {
    /// The oldest table of level 0 that is not on its way yet, and what must go with it.
    fn level0(&self, base: usize) -> Option<CompactionPlan> {
        let free = |table: &&Arc<TableHandle>| !self.inflight.has_table(table.meta.file);
        let oldest = self.version.level(0).iter().rfind(free)?;
        let (lo, hi) = (oldest.meta.smallest.as_slice(), oldest.meta.largest.as_slice());
        let inputs = level0_inputs(self.version, Some(lo), Some(hi));
        self.plan(0, base, inputs, Reason::Level0Tables)
    }

    /// The longest row of small free neighbours in level 0, the newest of equals.
    fn merge_level0(&self) -> Option<CompactionPlan> {
        let small = |table: &Arc<TableHandle>| table.meta.size <= self.limits.table_size;
        let free = |table: &Arc<TableHandle>| !self.inflight.has_table(table.meta.file);
        let bytes_max = self.limits.table_size.saturating_mul(MERGE_BYTES_TABLES);
        let mut longest: &[Arc<TableHandle>] = &[];
        for row in self.version.level(0).split(|table| !small(table) || !free(table)) {
            let mut bytes = 0u64;
            let fits = |table: &&Arc<TableHandle>| {
                bytes = bytes.saturating_add(table.meta.size);
                bytes <= bytes_max
            };
            let run = row.get(..row.iter().take_while(fits).count()).unwrap_or(&[]);
            longest = if run.len() > longest.len() { run } else { longest };
        }
        if longest.len() < MERGE_TABLES_MIN {
            return None;
        }
        self.plan(0, 0, longest.to_vec(), Reason::Level0Merge)
    }

    /// The best table of `level` that no running job is in the way of.
    fn level_size(&self, level: usize, cursor: &[u8]) -> Option<CompactionPlan> {
        victims(self.version, self.limits, level, cursor)
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
        let (version, order) = (self.version, self.version.order());
        let step_bytes = |inputs: &[Arc<TableHandle>]| {
            let below = output
                .zip(key_range(order, inputs))
                .map_or(0, |(level, (lo, hi))| overlap_bytes(order, version.level(level), lo, hi));
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
        let order = self.version.order();
        let (lo, hi) = key_range(order, &inputs)?;
        let output_inputs = match output == level {
            true => Vec::new(),
            false => overlapping(self.version, output, lo, hi),
        };
        let (lo, hi) = key_range(order, inputs.iter().chain(&output_inputs))?;
        let grandparents = match output + 1 < self.version.levels() {
            true => overlapping(self.version, output + 1, lo, hi),
            false => Vec::new(),
        };
        let mut plan = CompactionPlan {
            keyspace: self.keyspace,
            order: order.clone(),
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
