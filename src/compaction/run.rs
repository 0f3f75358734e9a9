//! Executes a compaction plan.
//!
//! Reads the inputs around the block cache, writes the survivors to new tables and describes the change as
//! an edit. Nothing is installed here: until the edit is, the inputs are the truth and the outputs are
//! files that nobody names.
//!
//! Invariants
//! 1. Every output is synced, its name too, and was opened again before the edit is returned.
//! 2. Without an edit (error, cancel) the outputs are removed.
//! 3. Entries read = the inputs' own counts; entries written = the outputs' own counts.
//! 4. A user key is in one output only, also of a job in parts.

use crate::buffer::copy;
use crate::compaction::iter::{CompactionIter, DeeperLevels};
use crate::compaction::plan::{CompactionPlan, grandparent_bytes_max};
use crate::compaction::split::KeyRange;
use crate::error::{Area, Result};
use crate::iter::merge::MergingIter;
use crate::job::{JobContext, Outcome, Outputs, check_cancel, check_read, discard};
use crate::order::Order;
use crate::sync::{Arc, AtomicBool};
use crate::table::handle::TableHandle;
use crate::table::level_iter::LevelIter;
use crate::table::reader::Access;
use crate::types::SeqNo;
use crate::version::edit::VersionEdit;
use crate::version::levels::Version;

/// Runs `plan`, which was made for `version`. `snapshots` ascend and end with the visible sequence number,
/// both taken after the plan was fixed. `CANCELLED` soon after `cancel` is set.
pub fn run(
    ctx: &JobContext,
    version: &Version,
    plan: &CompactionPlan,
    snapshots: &[SeqNo],
    cancel: &AtomicBool,
) -> Result<Outcome> {
    plan.check(version)?;
    if plan.trivial_move {
        let added =
            plan.inputs.iter().map(|t| (plan.keyspace, plan.output_level, Arc::clone(&t.meta)));
        let edit = VersionEdit { tables_added: added.collect(), ..removal(plan)? };
        return Ok(Outcome { edit, ..Outcome::default() });
    }
    let part = run_range(ctx, version, plan, snapshots, cancel, &KeyRange::default())?;
    combine(ctx, plan, vec![part])
}

/// Runs the part of `plan` that is in `range`. The outcome's edit adds the outputs only; all parts become
/// the job's outcome by `combine`.
pub fn run_range(
    ctx: &JobContext,
    version: &Version,
    plan: &CompactionPlan,
    snapshots: &[SeqNo],
    cancel: &AtomicBool,
    range: &KeyRange,
) -> Result<Outcome> {
    let merges_level0 = plan.merges_level0();
    // Older tables of level 0 may hold what a delete hides, and the merged table is found by its largest
    // sequence number: nothing is dropped or zeroed for being at the bottom, and nothing is cut.
    let whole = JobContext { table_size: u64::MAX, ..ctx.clone() };
    let ctx = if merges_level0 { &whole } else { ctx };
    let deeper =
        (!merges_level0).then(|| DeeperLevels::new(version, usize::from(plan.output_level)));
    let inputs = MergingIter::new(children(ctx, plan, range), plan.order.clone());
    let mut survivors = CompactionIter::new(inputs, plan.order.clone(), snapshots, deeper)
        .within(range.lo.as_deref(), range.hi.as_deref());
    // Where level 0 is merged into itself older tables lie beside the output, if not below it.
    let output_level = usize::from(plan.output_level);
    let bottom = !merges_level0 && version.is_bottom(output_level, None, None);
    let mut outputs = Outputs::new(ctx, plan.keyspace, plan.output_level).at_bottom(bottom);
    let mut grandparents = Grandparents::new(plan, ctx.table_size);
    while survivors.next_survivor()? {
        check_cancel(cancel)?;
        let key = survivors.key();
        if grandparents.enough_before(key, outputs.open_bytes()) {
            outputs.cut();
        }
        outputs.add(key, survivors.tag(), survivors.value())?;
    }
    outputs.finish_part("compaction", survivors.counts())
}

/// The outcome of a job whose `parts`, in the order of their ranges, are all done; their outputs are
/// removed when together they did not read what the inputs say they hold.
pub fn combine(ctx: &JobContext, plan: &CompactionPlan, parts: Vec<Outcome>) -> Result<Outcome> {
    let entries = plan.tables().fold(0, |sum: u64, table| sum.saturating_add(table.meta.entries));
    let read = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.entries_in));
    if let Err(error) = check_read(ctx, "compaction", entries, read) {
        parts.iter().for_each(|part| discard(ctx, part));
        return Err(error);
    }
    let whole = Outcome { edit: removal(plan)?, bytes_read: plan.bytes(), ..Outcome::default() };
    Ok(parts.into_iter().fold(whole, |mut whole, part| {
        whole.edit.tables_added.extend(part.edit.tables_added);
        whole.bytes_written = whole.bytes_written.saturating_add(part.bytes_written);
        whole.entries_in = whole.entries_in.saturating_add(part.entries_in);
        whole.entries_out = whole.entries_out.saturating_add(part.entries_out);
        whole.entries_dropped = whole.entries_dropped.saturating_add(part.entries_dropped);
        whole
    }))
}

/// One cursor per run of the inputs that reaches into `range`, newest first.
fn children(ctx: &JobContext, plan: &CompactionPlan, range: &KeyRange) -> Vec<LevelIter> {
    let inside = |table: &&Arc<TableHandle>| {
        range.meets(&plan.order, &table.meta.smallest, &table.meta.largest)
    };
    let run = |tables: &[Arc<TableHandle>]| {
        let tables: Vec<_> = tables.iter().filter(inside).cloned().collect();
        LevelIter::new(tables, ctx.tables.clone(), Access::Around)
    };
    let mut children = Vec::with_capacity(plan.inputs.len() + 1);
    if plan.level == 0 {
        children.extend(
            plan.inputs.iter().filter(inside).map(|table| run(std::slice::from_ref(table))),
        );
    } else {
        children.push(run(&plan.inputs));
    }
    if !plan.output_inputs.is_empty() {
        children.push(run(&plan.output_inputs));
    }
    children
}

/// The part of the edit that takes the inputs away.
fn removal(plan: &CompactionPlan) -> Result<VersionEdit> {
    let drop = |level: u8| move |table: &Arc<TableHandle>| (plan.keyspace, level, table.meta.file);
    let mut edit = VersionEdit::default();
    edit.tables_dropped.extend(plan.inputs.iter().map(drop(plan.level)));
    edit.tables_dropped.extend(plan.output_inputs.iter().map(drop(plan.output_level)));
    if plan.level > 0 && plan.level != plan.output_level {
        if let Some((_, hi)) = plan.input_range() {
            let hi = Arc::new(copy(hi, Area::Engine)?);
            edit.cursors.push((plan.keyspace, plan.level, hi));
        }
    }
    Ok(edit)
}

/// Says where to cut so that outputs end where tables of the level below them do, and overlap few of these:
/// their own next compactions then read less that they do not change.
struct Grandparents<'p> {
    order: &'p Order,
    tables: &'p [Arc<TableHandle>],
    table_size: u64,
    /// Bytes of the grandparents that ended within the current output.
    passed: u64,
    /// How many these are.
    ended: u64,
    started: bool,
}

impl<'p> Grandparents<'p> {
    fn new(plan: &'p CompactionPlan, table_size: u64) -> Grandparents<'p> {
        let (order, tables) = (&plan.order, plan.grandparents.as_slice());
        Grandparents { order, tables, table_size, passed: 0, ended: 0, started: false }
    }

    /// Whether to cut before `key`, the next one, when the current output has `bytes`: where it overlaps
    /// enough, or where a grandparent ends between the keys and the output is more than half full. Each
    /// end that was let pass raises the half a little, for the next one is then not far.
    fn enough_before(&mut self, key: &[u8], bytes: u64) -> bool {
        let mut boundary = false;
        while let [first, rest @ ..] = self.tables {
            if self.order.compare(&first.meta.largest, key).is_ge() {
                break;
            }
            // What ends before the first key overlaps no output.
            if self.started {
                self.passed = self.passed.saturating_add(first.meta.size);
                self.ended += 1;
                boundary = true;
            }
            self.tables = rest;
        }
        self.started = true;
        let percent = 50 + 5 * self.ended.min(8);
        let well_filled =
            u128::from(bytes) * 100 > u128::from(self.table_size) * u128::from(percent);
        let enough =
            self.passed > grandparent_bytes_max(self.table_size) || boundary && well_filled;
        if enough {
            (self.passed, self.ended) = (0, 0);
        }
        enough
    }
}
