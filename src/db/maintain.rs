//! Flush and compaction on request.

use crate::compaction::inflight::Inflight;
use crate::compaction::plan::CompactionPlan;
use crate::compaction::{picker, run};
use crate::db::core::DbCore;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::Ordering;
use crate::types::SeqNo;
use crate::version::levels::Version;

/// Told the phase, what is done and an estimate of the whole; false cancels.
pub type Progress<'a> = &'a mut dyn FnMut(&'static str, u64, u64) -> bool;

/// A manual compaction under way.
struct Manual<'a, 'p> {
    core: &'a DbCore,
    lo: Option<&'a [u8]>,
    hi: Option<&'a [u8]>,
    /// Tables that hold only newer writes are not waited for: writers could make the work endless.
    until: SeqNo,
    done: u64,
    total: u64,
    progress: Progress<'p>,
}

impl DbCore {
    /// Writes every memtable to tables; returns when these are durable.
    pub fn flush(&self) -> Result<()> {
        self.check_open()?;
        self.errors.check()?;
        let frozen_at = {
            let mut writer = self.writer.lock();
            let empty = self.keyspace.state.with(|state| state.active.is_empty());
            if !empty {
                self.freeze(&mut writer);
            }
            writer.next_seq - 1
        };
        self.wait_flushed(frozen_at)?;
        // With nothing to flush, the tables may be those of a killed process.
        self.settle()
    }

    /// Flushes, then merges the tables of a key range (both ends inside) down to one sorted run. `force`
    /// also rewrites tables that need not be merged.
    pub fn compact(
        &self,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
        force: bool,
        progress: Progress<'_>,
    ) -> Result<()> {
        self.flush()?;
        let version = self.keyspace.state.load().version.clone();
        let total = (0..version.levels()).map(|level| version.level_bytes(level)).sum();
        let until = self.visible();
        let mut manual = Manual { core: self, lo, hi, until, done: 0, total, progress };
        manual.empty_level0()?;
        // Level 0 goes to whichever level is the base, so the deepest one in use is known only now.
        let version = self.keyspace.state.load().version.clone();
        let used = |level: &usize| !version.overlapping(*level, lo, hi).is_empty();
        let target = (1..version.levels()).rev().find(used).unwrap_or(1);
        for level in 1..target {
            manual.sweep(level, picker::pick_range)?;
        }
        if force {
            manual.sweep(target, picker::pick_rewrite)?;
        }
        (manual.progress)("compact", total, total);
        if self.options.deterministic {
            self.run_background();
        }
        Ok(())
    }

    /// Runs one job that `choose` picks; returns its plan, or `None` when there is nothing to do.
    fn compact_by(
        &self,
        choose: impl FnOnce(&Version) -> Option<CompactionPlan>,
    ) -> Result<Option<CompactionPlan>> {
        let _one_at_a_time = self.compacting.lock();
        self.check_open()?;
        self.errors.check()?;
        let version = self.keyspace.state.load().version.clone();
        let Some(plan) = choose(&version) else { return Ok(None) };
        // After the inputs are fixed, never before: a snapshot taken in between must be in the copy.
        let boundaries = self.snapshots.boundaries(&self.visible_seq);
        let ran = run::run(&self.job, &version, &plan, &boundaries, &self.cancel);
        let outcome = ran.map_err(|error| {
            if self.closed.load(Ordering::Acquire) {
                let message = "the database is being closed";
                return Error::new(ErrorKind::Cancelled, Area::Engine, message);
            }
            error.context(&format!("compacting ({:?})", plan.reason))
        })?;
        self.count_compaction(plan.output_level, &outcome);
        self.install(outcome.edit, &[])?;
        Ok(Some(plan))
    }

    /// Runs the most urgent compaction; false when nothing needs one.
    pub fn compact_once(&self) -> Result<bool> {
        let cursors = self.cursors();
        // Only one job runs at a time.
        let none = Inflight::default();
        let pick = |v: &Version| picker::pick(v, &self.limits, &cursors, self.keyspace.id, &none);
        Ok(self.compact_by(pick)?.is_some())
    }

    /// Where the last compaction of each level ended.
    fn cursors(&self) -> Vec<Vec<u8>> {
        let set = self.manifest.lock();
        let Some(keyspace) = set.state().keyspaces.get(&self.keyspace.id) else {
            return Vec::new();
        };
        let at = |level: u8| keyspace.cursors.get(&level).cloned().unwrap_or_default();
        (0..self.options.levels as u8).map(at).collect()
    }

    fn count_compaction(&self, level: u8, outcome: &crate::job::Outcome) {
        self.stats.compactions.add(1);
        self.stats.compaction_bytes_read.add(outcome.bytes_read);
        self.stats.compaction_bytes_written.add(outcome.bytes_written);
        self.stats.compaction_entries_read.add(outcome.entries_in);
        self.stats.compaction_entries_kept.add(outcome.entries_out);
        self.stats.compaction_entries_dropped.add(outcome.entries_dropped);
        if let Some(counters) = self.stats.levels.get(usize::from(level)) {
            counters.compactions.add(1);
            counters.read_bytes.add(outcome.bytes_read);
            counters.written_bytes.add(outcome.bytes_written);
        }
    }
}

impl Manual<'_, '_> {
    fn report(&mut self, read: u64) -> Result<()> {
        self.done += read;
        if (self.progress)("compact", self.done.min(self.total), self.total) {
            return Ok(());
        }
        let message = "compaction was cancelled by its caller";
        Err(Error::new(ErrorKind::Cancelled, Area::Callback, message))
    }

    /// Merges what level 0 has of the range into the base level.
    fn empty_level0(&mut self) -> Result<()> {
        loop {
            self.report(0)?;
            let (core, lo, hi, until) = (self.core, self.lo, self.hi, self.until);
            let plan = core.compact_by(|version| {
                let old = version.overlapping(0, lo, hi).iter().any(|t| t.meta.min_seq <= until);
                let (id, limits) = (core.keyspace.id, &core.limits);
                let none = Inflight::default();
                old.then(|| picker::pick_range(version, 0, lo, hi, id, limits, &none)).flatten()
            })?;
            match plan {
                Some(plan) => self.report(plan.bytes())?,
                None => return Ok(()),
            }
        }
    }

    /// Runs `pick` over one level from the start of the range to its end.
    fn sweep(
        &mut self,
        level: usize,
        pick: impl Fn(
            &Version,
            usize,
            Option<&[u8]>,
            Option<&[u8]>,
            crate::types::KeyspaceId,
            &crate::compaction::plan::Limits,
            &Inflight,
        ) -> Option<CompactionPlan>,
    ) -> Result<()> {
        let (core, hi) = (self.core, self.hi);
        let mut from = self.lo.map(<[u8]>::to_vec);
        let none = Inflight::default();
        loop {
            self.report(0)?;
            let plan = core.compact_by(|version| {
                pick(version, level, from.as_deref(), hi, core.keyspace.id, &core.limits, &none)
            })?;
            let Some(plan) = plan else { return Ok(()) };
            self.report(plan.bytes())?;
            let Some((_, last)) = plan.input_range() else { return Ok(()) };
            let mut after = last.to_vec();
            after.push(0);
            if hi.is_some_and(|hi| after.as_slice() > hi) {
                return Ok(());
            }
            from = Some(after);
        }
    }
}
