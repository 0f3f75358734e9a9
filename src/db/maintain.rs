//! Flush and compaction on request.

use crate::buffer::copy;
use crate::compaction::inflight::Inflight;
use crate::compaction::picker;
use crate::compaction::plan::CompactionPlan;
use crate::db::core::DbCore;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::types::SeqNo;
use crate::version::edit::VersionEdit;
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
        self.leave_given_up()?;
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
        for key in [lo, hi].into_iter().flatten() {
            self.keyspace.order.check_key(key)?;
        }
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
        self.reclaim()?;
        if self.options.deterministic {
            self.run_background();
        }
        Ok(())
    }

    /// Removes what killed processes left, also where nothing was to be compacted: without a change of its own this
    /// process may not remove anything.
    fn reclaim(&self) -> Result<()> {
        if self.orphans.lock().is_empty() {
            return Ok(());
        }
        self.install(VersionEdit::default(), &[])?;
        self.clean_once();
        Ok(())
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
        let (core, lo, hi) = (self.core, self.lo, self.hi);
        let order = &core.keyspace.order;
        let mut done: Option<Vec<u8>> = None;
        let none = Inflight::default();
        loop {
            self.report(0)?;
            let plan = core.compact_by(|version| {
                // What was done last ends here; a table that reaches further is found by its own end.
                let from = match done.as_deref() {
                    None => lo,
                    Some(done) => Some(version.beyond(level, done)?.meta.largest.as_slice()),
                };
                pick(version, level, from, hi, core.keyspace.id, &core.limits, &none)
            })?;
            let Some(plan) = plan else { return Ok(()) };
            self.report(plan.bytes())?;
            let Some((_, last)) = plan.input_range() else { return Ok(()) };
            if hi.is_some_and(|hi| order.compare(last, hi).is_ge()) {
                return Ok(());
            }
            done = Some(copy(last, Area::Engine)?);
        }
    }
}
