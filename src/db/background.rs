//! Work behind the scenes: flushes, compactions, log work and clean-up as tasks of the shared workers.
//!
//! A request (`want_flush`, `want_compaction`) is noted on the board and, unless enough tasks are out
//! already, one more is handed to the workers. A task does one job and lines up again as long as there are
//! some; a compaction that was found asks for another one before it begins.
//!
//! Invariants
//! 1. A failed job is recorded and retried after 1, 2, 4 ... 60 s, or sooner when someone asks, as a flush does for
//!    compactions; whoever waits for it gets its error instead of waiting on. Its own requests never shorten its
//!    pause. While writes are stopped nothing is retried.
//! 2. A panic in a job stops writes (PANIC) and wakes everybody.
//! 3. With the option `deterministic` there are no tasks: the calling thread runs the same jobs.
//! 4. One flush runs at a time, and at most as many compactions and parts as the option `threads` says
//!    beside those of calling threads.

use crate::compaction::parts::PartedJob;
use crate::db::commit::Patience;
use crate::db::core::{DbCore, Hands, JobBoard, Work};
use crate::db::events::{Event, JobKind};
use crate::db::pace::Cause;
use crate::env::process;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::flush;
use crate::planted::{self, Planted};
use crate::shared::LogLevel;
use crate::sync::{Arc, Instant, MutexGuard, Ordering, thread};
use crate::worker::{Home, Lane, Workers};
use std::time::Duration;

/// Longest pause before a failed job is tried again.
const RETRY_SECONDS_MAX: u64 = 60;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flush,
    Compaction,
}

impl Kind {
    fn lane(self) -> Lane {
        match self {
            Kind::Flush => Lane::Flush,
            Kind::Compaction => Lane::Compaction,
        }
    }
}

/// The board of one kind of job.
fn board(work: &mut Work, kind: Kind) -> &mut JobBoard {
    match kind {
        Kind::Flush => &mut work.flush,
        Kind::Compaction => &mut work.compaction,
    }
}

/// Joins an open database to the workers of the process.
pub fn start(core: &Arc<DbCore>) -> Result<()> {
    if core.options.deterministic {
        core.retire.drop_in_place();
        return Ok(());
    }
    let home = core.options.env.0.as_ref().map_or_else(Home::default, |env| env.workers.clone());
    let workers = Workers::join(&home, core.compaction_threads)?;
    let weak = Arc::downgrade(core);
    core.hands.get_or_init(|| Hands { workers, core: weak.clone() });
    core.retire.on_load(Box::new(move || {
        if let Some(core) = weak.upgrade() {
            core.submit(Lane::Cleanup, None, DbCore::clean_up);
        }
    }));
    if core.options.sync_interval_us > 0 {
        start_keeper(core).inspect_err(|_| core.stop_work())?;
    }
    Ok(())
}

/// Starts the thread of the option `sync_interval_us`: a sync on time must not line up behind other work.
fn start_keeper(core: &Arc<DbCore>) -> Result<()> {
    let shared = core.clone();
    let body = move || shared.keep_synced();
    let builder = thread::Builder::new().name("esker-sync".to_owned());
    let spawned = process::with_signals_blocked(|| builder.spawn(body));
    let thread = spawned.map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(0);
        let message = format!("starting thread esker-sync: {error}");
        Error::new(ErrorKind::Io, Area::Engine, message).with_errno(errno)
    })?;
    *core.keeper.lock() = Some(thread);
    Ok(())
}

impl DbCore {
    /// Tells the jobs to stop, waits for them and takes no more.
    pub fn stop_work(&self) {
        self.cancel.store(true, Ordering::Release);
        self.work.lock().stopping = true;
        self.progress.notify_all();
        if let Some(hands) = self.hands.get() {
            hands.workers.leave();
        }
        self.sync_interval.stop();
        if let Some(keeper) = self.keeper.lock().take() {
            // It contains its own panics, so it has merely ended.
            drop(keeper.join());
        }
        self.retire.close();
    }

    pub fn want_flush(&self) {
        self.want(&mut self.work.lock(), Kind::Flush);
    }

    /// Has the next log prepared.
    pub fn want_next_log(&self) {
        if !self.submit(Lane::Log, None, |core| core.contain_unit(DbCore::prepare_ahead)) {
            self.work.lock().next_log = true;
        }
    }

    /// Has the logs synced that take no more records.
    pub fn want_seal(&self) {
        if !self.submit(Lane::Log, None, |core| core.contain_unit(DbCore::seal_logs)) {
            self.work.lock().seal = true;
        }
    }

    /// Does what the workers would have done for the logs.
    fn work_on_logs(&self) {
        let (seal, next_log) = {
            let mut work = self.work.lock();
            (std::mem::take(&mut work.seal), std::mem::take(&mut work.next_log))
        };
        if seal {
            self.contain_unit(DbCore::seal_logs);
        }
        if next_log {
            self.contain_unit(DbCore::prepare_ahead);
        }
    }

    pub fn want_compaction(&self) {
        self.want(&mut self.work.lock(), Kind::Compaction);
    }

    fn want(&self, work: &mut Work, kind: Kind) {
        let most = self.tasks_max(kind);
        let stopping = work.stopping;
        let board = board(work, kind);
        board.wanted = true;
        if !stopping && board.tasks < most {
            let task = move |core: &DbCore| core.work_off(kind);
            board.tasks += usize::from(self.submit(kind.lane(), None, task));
        }
    }

    /// Has another task look for a compaction to run beside the one that was found, if one may be out. While
    /// compactions fail they do not call each other.
    pub fn want_another_compaction(&self) {
        let mut work = self.work.lock();
        let board = &work.compaction;
        if board.failure.is_none() && board.tasks < self.tasks_max(Kind::Compaction) {
            self.want(&mut work, Kind::Compaction);
        }
    }

    /// Hands the parts of a job also to as many tasks as may be out.
    pub fn call_helpers(&self, job: &Arc<PartedJob>, event: Event) {
        let mut work = self.work.lock();
        let free = self.compaction_threads.saturating_sub(work.compaction.tasks);
        for _ in 0..free.min(job.parts().saturating_sub(1)) {
            let job = job.clone();
            let submitted = self.submit(Lane::Compaction, None, move |core: &DbCore| {
                core.run_parts(&job, event);
                core.work_off(Kind::Compaction);
            });
            work.compaction.tasks += usize::from(submitted);
        }
    }

    fn tasks_max(&self, kind: Kind) -> usize {
        match kind {
            Kind::Flush => 1,
            Kind::Compaction => self.compaction_threads,
        }
    }

    /// Hands a task to the workers, to be begun after `delay`; false when there are none.
    fn submit(
        &self,
        lane: Lane,
        delay: Option<Duration>,
        task: impl FnOnce(&DbCore) + Send + 'static,
    ) -> bool {
        let Some(hands) = self.hands.get() else { return false };
        let Some(core) = hands.core.upgrade() else { return false };
        let task = Box::new(move || task(&core));
        match delay {
            None => hands.workers.submit(lane, task),
            Some(delay) => hands.workers.submit_after(delay, lane, task),
        }
        true
    }

    /// The body of a task: does one job if one is wanted, and lines up again behind other databases' tasks.
    fn work_off(&self, kind: Kind) {
        if self.take_up(kind) {
            let outcome = self.contain(|| self.run_one(kind));
            self.note_outcome(kind, outcome);
            self.submit(kind.lane(), None, move |core| core.work_off(kind));
        }
    }

    /// Takes up what is wanted; otherwise the task ends here.
    fn take_up(&self, kind: Kind) -> bool {
        let mut work = self.work.lock();
        let stopping = work.stopping;
        let board = board(&mut work, kind);
        let wanted = std::mem::take(&mut board.wanted) && !stopping;
        if !wanted {
            board.tasks = board.tasks.saturating_sub(1);
        }
        wanted
    }

    /// Does one job if there is one; says whether there was.
    fn run_one(&self, kind: Kind) -> Result<bool> {
        match kind {
            Kind::Flush => self.flush_oldest(),
            Kind::Compaction if self.options.compaction_auto => self.compact_once(),
            Kind::Compaction => Ok(false),
        }
    }

    fn note_outcome(&self, kind: Kind, outcome: Result<bool>) {
        // A close says that the database is closed before it cancels: a job between the two has not failed either.
        let cancelled = self.cancel.load(Ordering::Acquire) || self.closed.load(Ordering::Acquire);
        let mut work = self.work.lock();
        let board = board(&mut work, kind);
        let mut failed = None;
        board.attempts += 1;
        match outcome {
            Ok(found) => {
                // Where others still run, having found nothing says nothing of what failed.
                if found || board.tasks <= 1 {
                    board.failure = None;
                    board.failures = 0;
                }
                board.wanted |= found;
            }
            Err(_) if cancelled => {}
            Err(error) => {
                board.failures += 1;
                board.failure = Some(error.clone());
                self.errors.record(&error);
                self.retry_later(board, kind);
                failed = Some(error);
            }
        }
        drop(work);
        self.progress.notify_all();
        if let Some(error) = failed {
            if error.kind() == ErrorKind::NoSpace {
                // A job makes room in the end; files that only spare time do not.
                self.give_up_spares();
                self.clean_up();
            }
            self.log(LogLevel::Error, || format!("{error}; to be tried again"));
        }
    }

    /// Has a failed job tried again after a pause.
    fn retry_later(&self, board: &mut JobBoard, kind: Kind) {
        if board.retry_set || self.errors.is_stopped() {
            return;
        }
        let doublings = board.failures.saturating_sub(1).min(6);
        let pause = Duration::from_secs((1u64 << doublings).min(RETRY_SECONDS_MAX));
        board.retry_set = self.submit(kind.lane(), Some(pause), move |core| {
            let mut work = core.work.lock();
            self::board(&mut work, kind).retry_set = false;
            core.want(&mut work, kind);
        });
    }

    fn clean_up(&self) {
        self.contain_unit(DbCore::clean_once);
    }

    fn contain_unit(&self, what: impl FnOnce(&DbCore)) {
        let done = self.contain(|| {
            what(self);
            Ok(())
        });
        if done.is_err() {
            // The panic has been recorded and stops writes.
            self.notify_progress();
        }
    }

    /// Writes the oldest frozen memtable to level 0; false when there is none.
    pub fn flush_oldest(&self) -> Result<bool> {
        self.flush_oldest_if(|| self.errors.check())
    }

    /// The same where there is one and `check` has nothing against it.
    pub fn flush_oldest_if(&self, check: impl Fn() -> Result<()>) -> Result<bool> {
        let _one_at_a_time = self.flushing.lock();
        let Some(memtable) = self.keyspace.state.load().frozen.last().cloned() else {
            return Ok(false);
        };
        check()?;
        let _span = self.events.job(JobKind::Flush, 0, 0);
        let boundaries = self.snapshots.boundaries(&self.visible_seq);
        let frozen = [memtable];
        let outcome = flush::flush_memtables(&self.job, &frozen, &boundaries, &self.cancel)
            .map_err(|e| self.stop_if_misordered(e.context("flushing a memtable")))?;
        self.stats.flushes.add(1);
        self.stats.flush_bytes.add(outcome.bytes_written);
        let bytes = outcome.bytes_written;
        self.install(outcome.edit, &frozen)?;
        self.report_memory();
        self.log(LogLevel::Info, || format!("flushed a memtable to {bytes} bytes of tables"));
        self.want_compaction();
        Ok(true)
    }

    /// Waits until there is room or another cause not to have it, or an error says that waiting is useless.
    /// The commit lock is held by the caller; no job needs it.
    pub fn wait_for_room(&self, cause: Cause, patience: Patience) -> Result<()> {
        if self.options.deterministic {
            return self.work_for_room();
        }
        if patience.no_stall {
            return Err(stall_timeout());
        }
        let mut work = self.work.lock();
        self.want(&mut work, Kind::Flush);
        self.want(&mut work, Kind::Compaction);
        while self.stall_cause() == Some(cause) && !work.stopping && !self.errors.is_stopped() {
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

    /// Works until there is room (option `deterministic`). What stood back for jobs of other threads is tried again
    /// when one of these has ended; an error where nothing is left to do.
    fn work_for_room(&self) -> Result<()> {
        loop {
            self.run_background();
            if !self.must_stall() {
                return Ok(());
            }
            self.check_open()?;
            self.errors.check()?;
            let failed = {
                let work = self.work.lock();
                work.flush.failure.is_some() || work.compaction.failure.is_some()
            };
            if failed || !self.wait_for_compactions() {
                return Err(self.stall_error());
            }
        }
    }

    /// Tries failed jobs again at once.
    pub fn retry_now(&self) {
        let mut work = self.work.lock();
        for kind in [Kind::Flush, Kind::Compaction] {
            let board = board(&mut work, kind);
            (board.failures, board.failure) = (0, None);
            self.want(&mut work, kind);
        }
        drop(work);
        if self.options.deterministic {
            self.run_background();
        }
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
                self.note_outcome(kind, outcome);
                if !more {
                    break;
                }
            }
        }
        self.clean_once();
        self.work_on_logs();
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
        self.want(&mut work, Kind::Flush);
        while self.has_frozen(seq) {
            if work.stopping {
                return Err(Error::new(ErrorKind::Closed, Area::Engine, "the database was closed"));
            }
            self.errors.check()?;
            if let (Some(error), true) = (&work.flush.failure, work.flush.attempts > seen) {
                return Err(error.clone());
            }
            if planted::is(Planted::FlushMissed) {
                MutexGuard::unlocked(&mut work, || ());
            }
            self.progress.wait(&mut work);
        }
        Ok(())
    }

    fn has_frozen(&self, seq: u64) -> bool {
        self.keyspace.state.with(|state| state.frozen.iter().any(|m| m.frozen_at() <= seq))
    }
}

/// What a write gets that may not wait, or not any longer.
pub fn stall_timeout() -> Error {
    let message = "the write would have to wait for background work";
    Error::new(ErrorKind::Timeout, Area::Engine, message).retryable()
}

/// When `timeout` microseconds from now will be; `None` for 0.
pub fn deadline_after(timeout_us: u64) -> Option<Instant> {
    (timeout_us > 0).then(|| Instant::now() + Duration::from_micros(timeout_us))
}
