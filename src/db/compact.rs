//! One compaction from its claim to its edit.
//!
//! Choosing and claiming happen under one short lock together with the look at the version: what an earlier
//! claim's job installed is in that version, what it still holds is in `inflight`. A compaction on request
//! that conflicts with a running one waits for it; automatic ones then stand back, so it is not passed over
//! for ever.
//!
//! Invariants
//! 1. A claim is released after its job's edit is installed, or when there will be none.
//! 2. The snapshots' boundaries are taken once, before the merge. A snapshot that is made later loses nothing: what is
//!    above the last boundary stays (`compaction/iter`).
//! 3. One job has one edit, however many parts it was run in.

use crate::compaction::inflight::Ticket;
use crate::compaction::parts::PartedJob;
use crate::compaction::plan::CompactionPlan;
use crate::compaction::{picker, run};
use crate::db::core::DbCore;
use crate::db::events::{Event, JobKind};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::job::Outcome;
use crate::shared::LogLevel;
use crate::sync::{Arc, Ordering};
use crate::version::levels::Version;

/// A plan whose tables and key ranges are this job's alone.
struct Claimed<'c> {
    core: &'c DbCore,
    ticket: Option<Ticket>,
    version: Arc<Version>,
    plan: Arc<CompactionPlan>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.core.claims.lock().inflight.release(ticket);
        }
        self.core.claim_released.notify_all();
    }
}

impl DbCore {
    /// Runs the most urgent compaction that can run beside the others; false when there is none.
    pub fn compact_once(&self) -> Result<bool> {
        self.check_open()?;
        self.errors.check()?;
        let Some(claimed) = self.claim_next() else { return Ok(false) };
        // Something may be left that can run beside this one.
        self.want_another_compaction();
        self.run_claimed(&claimed)?;
        Ok(true)
    }

    fn claim_next(&self) -> Option<Claimed<'_>> {
        let cursors = self.cursors();
        let mut claims = self.claims.lock();
        if claims.waiting > 0 {
            return None;
        }
        let version = self.keyspace.state.load().version.clone();
        let id = self.keyspace.id;
        let plan = picker::pick(&version, &self.limits, &cursors, id, &claims.inflight)?;
        let ticket = claims.inflight.claim(&plan)?;
        Some(Claimed { core: self, ticket: Some(ticket), version, plan: Arc::new(plan) })
    }

    /// Waits for the end of a compaction of another thread; false when none runs and there is none to run.
    pub fn wait_for_compactions(&self) -> bool {
        let cursors = self.cursors();
        let mut claims = self.claims.lock();
        if claims.inflight.is_empty() {
            let version = self.keyspace.state.load().version.clone();
            let id = self.keyspace.id;
            let plan = picker::pick(&version, &self.limits, &cursors, id, &claims.inflight);
            return claims.waiting > 0 || (self.options.compaction_auto && plan.is_some());
        }
        self.claim_released.wait(&mut claims);
        true
    }

    /// Runs one job that `choose` picks, as soon as no running one is in its way; returns its plan, or
    /// `None` when there is nothing to do.
    pub fn compact_by(
        &self,
        choose: impl Fn(&Version) -> Option<CompactionPlan>,
    ) -> Result<Option<Arc<CompactionPlan>>> {
        let claimed = self.claim_by(choose);
        let ran = match &claimed {
            Ok(Some(claimed)) => self.run_claimed(claimed).map(|()| Some(claimed.plan.clone())),
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        drop(claimed);
        // Automatic compactions may have stood back, also for a request that then had nothing to do.
        self.want_compaction();
        ran
    }

    fn claim_by(
        &self,
        choose: impl Fn(&Version) -> Option<CompactionPlan>,
    ) -> Result<Option<Claimed<'_>>> {
        let mut claims = self.claims.lock();
        loop {
            self.check_open()?;
            self.errors.check()?;
            let version = self.keyspace.state.load().version.clone();
            let Some(plan) = choose(&version) else { return Ok(None) };
            if let Some(ticket) = claims.inflight.claim(&plan) {
                let plan = Arc::new(plan);
                return Ok(Some(Claimed { core: self, ticket: Some(ticket), version, plan }));
            }
            claims.waiting += 1;
            self.claim_released.wait(&mut claims);
            claims.waiting -= 1;
        }
    }

    /// Runs what was claimed and installs its edit.
    fn run_claimed(&self, claimed: &Claimed<'_>) -> Result<()> {
        let plan = &claimed.plan;
        let span = self.events.job(JobKind::Compaction, plan.level, plan.output_level);
        let outcome = self.run_plan(claimed, span.event()).map_err(|error| {
            if self.closed.load(Ordering::Acquire) {
                let message = "the database is being closed";
                return Error::new(ErrorKind::Cancelled, Area::Engine, message);
            }
            self.stop_if_misordered(error.context(&format!("compacting ({:?})", plan.reason)))
        })?;
        self.count_compaction(plan.output_level, &outcome);
        let (read, written) = (outcome.bytes_read, outcome.bytes_written);
        self.install(outcome.edit, &[])?;
        self.log(LogLevel::Info, || {
            let (from, to) = (plan.level, plan.output_level);
            format!("compacted level {from} into {to}: {read} bytes read, {written} written")
        });
        Ok(())
    }

    fn run_plan(&self, claimed: &Claimed<'_>, event: Event) -> Result<Outcome> {
        let Claimed { version, plan, .. } = claimed;
        // As late as can be: what the newest ones need is kept in any case.
        let boundaries = self.snapshots.boundaries(&self.visible_seq);
        let parts = self.part_count(plan);
        if parts <= 1 {
            return run::run(&self.job, version, plan, &boundaries, &self.cancel);
        }
        let (version, plan) = (version.clone(), plan.clone());
        let cancel = self.cancel.clone();
        let job = PartedJob::new(self.job.clone(), version, plan, boundaries, cancel, parts)?;
        let job = Arc::new(job);
        self.call_helpers(&job, event);
        self.run_parts(&job, event);
        job.finish()
    }

    /// How many parts a job should be cut into.
    fn part_count(&self, plan: &CompactionPlan) -> usize {
        // A merge within level 0 makes one table.
        if plan.trivial_move || plan.merges_level0() {
            return 1;
        }
        match self.options.subcompactions as usize {
            // The number of processors must not decide what files look like there.
            0 if self.options.deterministic => 1,
            0 => {
                let tables = plan.bytes() / self.options.table_size.max(1);
                self.compaction_threads.min(usize::try_from(tables).unwrap_or(usize::MAX))
            }
            parts => parts,
        }
    }

    /// Runs parts of a job until none is left to begin.
    pub fn run_parts(&self, job: &PartedJob, event: Event) {
        while let Some(part) = job.take() {
            let result = self.contain(|| {
                let _span = self.events.part(event, part, job.parts());
                job.run(part)
            });
            job.give(part, result);
        }
    }

    /// Where the last compaction of each level ended.
    fn cursors(&self) -> Vec<Arc<Vec<u8>>> {
        let set = self.manifest.lock();
        let Some(keyspace) = set.state().keyspaces.get(&self.keyspace.id) else {
            return Vec::new();
        };
        let at = |level: u8| keyspace.cursors.get(&level).cloned().unwrap_or_default();
        (0..self.options.levels as u8).map(at).collect()
    }

    fn count_compaction(&self, level: u8, outcome: &Outcome) {
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
