//! Work behind the scenes: one flush worker, one compaction worker, one cleanup thread per database.
//!
//! Invariants
//! 1. A failed job is recorded and retried after 1, 2, 4 ... 60 s, or sooner when someone asks; whoever
//!    waits for it gets its error instead of waiting on.
//! 2. A panic in a job stops writes (PANIC) and wakes everybody.
//! 3. With the option `deterministic` there are no threads: the calling thread runs the same jobs.

use crate::db::commit::Patience;
use crate::db::core::{DbCore, JobHealth, Work};
use crate::env::process;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::flush;
use crate::sync::{Arc, Ordering};
use std::time::{Duration, Instant};

/// Longest pause before a failed job is tried again.
const RETRY_SECONDS_MAX: u64 = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flush,
    Compaction,
}

fn health(work: &mut Work, kind: Kind) -> &mut JobHealth {
    match kind {
        Kind::Flush => &mut work.flush,
        Kind::Compaction => &mut work.compaction,
    }
}

fn wanted(work: &mut Work, kind: Kind) -> &mut bool {
    match kind {
        Kind::Flush => &mut work.flush_wanted,
        Kind::Compaction => &mut work.compaction_wanted,
    }
}

/// Starts the threads of an open database.
pub fn start(core: &Arc<DbCore>) -> Result<()> {
    if core.options.deterministic {
        return Ok(());
    }
    type Body = fn(&DbCore);
    let bodies: [(&str, Body); 4] = [
        ("esker-flush", |core| core.worker(Kind::Flush)),
        ("esker-compact", |core| core.worker(Kind::Compaction)),
        ("esker-clean", DbCore::cleaner),
        ("esker-sync", DbCore::keep_synced),
    ];
    let needed = if core.options.sync_interval_us > 0 { 4 } else { 3 };
    for (name, body) in bodies.into_iter().take(needed) {
        let shared = core.clone();
        let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            process::block_signals();
            // A panic has been recorded by then; the thread only ends.
            if shared
                .contain(|| {
                    body(&shared);
                    Ok(())
                })
                .is_err()
            {
                shared.notify_progress();
            }
        });
        match spawned {
            Ok(thread) => core.threads.lock().push(thread),
            Err(error) => {
                core.stop_threads();
                let errno = error.raw_os_error().unwrap_or(0);
                let message = format!("starting thread {name}: {error}");
                return Err(Error::new(ErrorKind::Io, Area::Engine, message).with_errno(errno));
            }
        }
    }
    Ok(())
}

impl DbCore {
    /// Tells the workers to stop and waits for them.
    pub fn stop_threads(&self) {
        self.cancel.store(true, Ordering::Release);
        self.work.lock().stopping = true;
        self.work_ready.notify_all();
        self.progress.notify_all();
        self.retire.close();
        self.sync_interval.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // A worker contains its own panics, so joining cannot fail; if it did it has ended too.
            drop(thread.join());
        }
    }

    pub fn want_flush(&self) {
        self.work.lock().flush_wanted = true;
        self.work_ready.notify_all();
    }

    pub fn want_compaction(&self) {
        self.work.lock().compaction_wanted = true;
        self.work_ready.notify_all();
    }

    fn worker(&self, kind: Kind) {
        while self.wait_for_work(kind) {
            loop {
                let outcome = self.contain(|| self.run_one(kind));
                let more = matches!(outcome, Ok(true));
                self.note_outcome(kind, outcome.map(|_| ()));
                if !more {
                    break;
                }
            }
        }
    }

    /// Waits until there is a job of this kind to try; false when the database closes.
    fn wait_for_work(&self, kind: Kind) -> bool {
        let mut work = self.work.lock();
        loop {
            if work.stopping {
                return false;
            }
            if std::mem::take(wanted(&mut work, kind)) {
                return true;
            }
            let failures = health(&mut work, kind).failures;
            if health(&mut work, kind).failure.is_some() && !self.errors.is_stopped() {
                let seconds = (1u64 << failures.saturating_sub(1).min(6)).min(RETRY_SECONDS_MAX);
                if self.work_ready.wait_for(&mut work, Duration::from_secs(seconds)).timed_out() {
                    return !work.stopping;
                }
            } else {
                self.work_ready.wait(&mut work);
            }
        }
    }

    /// Does one job if there is one; says whether there was.
    fn run_one(&self, kind: Kind) -> Result<bool> {
        match kind {
            Kind::Flush => self.flush_oldest(),
            Kind::Compaction if self.options.compaction_auto => self.compact_once(),
            Kind::Compaction => Ok(false),
        }
    }

    fn note_outcome(&self, kind: Kind, outcome: Result<()>) {
        let cancelled = self.cancel.load(Ordering::Acquire);
        let mut work = self.work.lock();
        let health = health(&mut work, kind);
        health.attempts += 1;
        match outcome {
            Ok(()) => {
                health.failure = None;
                health.failures = 0;
            }
            Err(_) if cancelled => {}
            Err(error) => {
                health.failures += 1;
                health.failure = Some(error.clone());
                self.errors.record(&error);
            }
        }
        drop(work);
        self.progress.notify_all();
    }

    /// Writes the oldest frozen memtable to level 0; false when there is none.
    pub fn flush_oldest(&self) -> Result<bool> {
        let _one_at_a_time = self.flushing.lock();
        let Some(memtable) = self.keyspace.state.load().frozen.last().cloned() else {
            return Ok(false);
        };
        self.errors.check()?;
        let boundaries = self.snapshots.boundaries(&self.visible_seq);
        let frozen = [memtable];
        let outcome = flush::flush_memtables(&self.job, &frozen, &boundaries, &self.cancel)
            .map_err(|e| e.context("flushing a memtable"))?;
        self.stats.flushes.add(1);
        self.stats.flush_bytes.add(outcome.bytes_written);
        self.install(outcome.edit, &frozen)?;
        self.want_compaction();
        Ok(true)
    }

    /// Waits for room in the memtables: until a job has ended, or an error says that waiting is useless.
    /// The commit lock is held by the caller; no job needs it.
    pub fn wait_for_room(&self, patience: Patience) -> Result<()> {
        if self.options.deterministic {
            self.run_background();
            return if self.must_stall() { Err(self.stall_error()) } else { Ok(()) };
        }
        if patience.no_stall {
            return Err(stall_timeout());
        }
        let mut work = self.work.lock();
        work.flush_wanted = true;
        work.compaction_wanted = true;
        self.work_ready.notify_all();
        while self.must_stall() && !work.stopping && !self.errors.is_stopped() {
            if let Some(error) = work.flush.failure.as_ref().or(work.compaction.failure.as_ref()) {
                return Err(error.clone().context("waiting for background work").retryable());
            }
            match patience.deadline {
                None => self.progress.wait(&mut work),
                Some(deadline) => {
                    if self.progress.wait_until(&mut work, deadline).timed_out() {
                        return Err(stall_timeout());
                    }
                }
            }
        }
        Ok(())
    }

    fn stall_error(&self) -> Error {
        let work = self.work.lock();
        let failure = work.flush.failure.clone().or_else(|| work.compaction.failure.clone());
        failure.unwrap_or_else(stall_timeout)
    }

    /// Runs all background work there is in the calling thread (option `deterministic`).
    pub fn run_background(&self) {
        for kind in [Kind::Flush, Kind::Compaction] {
            loop {
                let outcome = self.contain(|| self.run_one(kind));
                let more = matches!(outcome, Ok(true));
                self.note_outcome(kind, outcome.map(|_| ()));
                if !more {
                    break;
                }
            }
        }
        self.clean_once();
    }

    /// Waits until every memtable frozen up to `seq` is in tables; the error of a failed attempt ends
    /// the wait.
    pub fn wait_flushed(&self, seq: u64) -> Result<()> {
        if self.options.deterministic {
            self.run_background();
            if self.has_frozen(seq) {
                return Err(self.stall_error());
            }
            return Ok(());
        }
        let mut work = self.work.lock();
        let seen = work.flush.attempts;
        work.flush_wanted = true;
        self.work_ready.notify_all();
        while self.has_frozen(seq) {
            if work.stopping {
                return Err(Error::new(ErrorKind::Closed, Area::Engine, "the database was closed"));
            }
            self.errors.check()?;
            if let (Some(error), true) = (&work.flush.failure, work.flush.attempts > seen) {
                return Err(error.clone());
            }
            self.progress.wait(&mut work);
        }
        Ok(())
    }

    fn has_frozen(&self, seq: u64) -> bool {
        self.keyspace.state.with(|state| state.frozen.iter().any(|m| m.frozen_at() <= seq))
    }
}

fn stall_timeout() -> Error {
    let message = "the write would have to wait for background work";
    Error::new(ErrorKind::Timeout, Area::Engine, message).retryable()
}

/// When `timeout` microseconds from now will be; `None` for 0.
pub fn deadline_after(timeout_us: u64) -> Option<Instant> {
    (timeout_us > 0).then(|| Instant::now() + Duration::from_micros(timeout_us))
}
