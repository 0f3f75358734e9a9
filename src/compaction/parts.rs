//! One compaction in key ranges, each run by whichever thread is free.
//!
//! The thread that owns the job takes parts like every helper, so a job ends also when nobody helps. The
//! outputs of all parts become one outcome, hence one edit.
//!
//! Invariants
//! 1. Each part is taken once. After a failure no further part is begun.
//! 2. `finish` returns when no part is running. After a failure no output of any part is left.

use crate::compaction::plan::CompactionPlan;
use crate::compaction::run::{combine, run_range};
use crate::compaction::split::{KeyRange, split};
use crate::error::Result;
use crate::job::{JobContext, Outcome, discard};
use crate::order::sort_few;
use crate::sync::{Arc, AtomicBool, Condvar, Mutex};
use crate::types::SeqNo;
use crate::version::levels::Version;

/// How far the parts are.
#[derive(Default)]
struct Progress {
    next: usize,
    running: usize,
    /// One result for each part that has ended.
    results: Vec<(usize, Result<Outcome>)>,
    failed: bool,
}

/// A compaction that several threads work on.
pub struct PartedJob {
    ctx: JobContext,
    version: Arc<Version>,
    plan: Arc<CompactionPlan>,
    snapshots: Vec<SeqNo>,
    cancel: Arc<AtomicBool>,
    ranges: Vec<KeyRange>,
    progress: Mutex<Progress>,
    ended: Condvar,
}

impl PartedJob {
    /// Cuts `plan`, made for `version`, into at most `parts` parts. `snapshots` and `cancel` as for `run`.
    pub fn new(
        ctx: JobContext,
        version: Arc<Version>,
        plan: Arc<CompactionPlan>,
        snapshots: Vec<SeqNo>,
        cancel: Arc<AtomicBool>,
        parts: usize,
    ) -> Result<PartedJob> {
        plan.check(&version)?;
        let ranges = split(&ctx, &plan, parts)?;
        let (progress, ended) = (Mutex::default(), Condvar::new());
        Ok(PartedJob { ctx, version, plan, snapshots, cancel, ranges, progress, ended })
    }

    /// Number of parts.
    pub fn parts(&self) -> usize {
        self.ranges.len()
    }

    /// The next part, which the caller then must `run` and `give`; `None` when there is none to begin.
    pub fn take(&self) -> Option<usize> {
        let mut progress = self.progress.lock();
        let part = progress.next;
        if progress.failed || part >= self.ranges.len() {
            return None;
        }
        progress.next += 1;
        progress.running += 1;
        Some(part)
    }

    /// Runs a part that was taken.
    pub fn run(&self, part: usize) -> Result<Outcome> {
        let range = self.ranges.get(part).cloned().unwrap_or_default();
        run_range(&self.ctx, &self.version, &self.plan, &self.snapshots, &self.cancel, &range)
    }

    /// Says how a part that was taken has ended.
    pub fn give(&self, part: usize, result: Result<Outcome>) {
        let mut progress = self.progress.lock();
        progress.running -= 1;
        progress.failed |= result.is_err();
        progress.results.push((part, result));
        drop(progress);
        self.ended.notify_all();
    }

    /// Waits for the parts that others run; the outcome of all. Called once, when `take` has none left.
    pub fn finish(&self) -> Result<Outcome> {
        let mut progress = self.progress.lock();
        while progress.running > 0 {
            self.ended.wait(&mut progress);
        }
        let mut results = std::mem::take(&mut progress.results);
        drop(progress);
        sort_few(&mut results, |a, b| a.0 <= b.0);
        let (mut done, mut failure) = (Vec::with_capacity(results.len()), None);
        for (_, result) in results {
            match result {
                Ok(outcome) => done.push(outcome),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            None => combine(&self.ctx, &self.plan, done),
            Some(error) => {
                done.iter().for_each(|outcome| discard(&self.ctx, outcome));
                Err(error)
            }
        }
    }
}
