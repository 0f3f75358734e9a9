//! What every verb of the engine shares, and its rules.
//!
//! Lock order: commit (`writer`) < `next_log` < sync (inside `LogSync`) < manifest < publish (inside
//! `StateCell`). `cleaning` is taken before manifest.
//! `flushing` is taken before manifest and never while that is held; it may be taken with `writer` held,
//! never the other way round. `spares`, `claims` and `work` (the notice board) are leaves, but for the short locks of
//! the error ring and, below `work`, of the workers.
//!
//! Invariants
//! 1. No file I/O under the publish lock, `claims` or `work`.
//! 2. After a failed sync, a failed manifest, a comparator that contradicts itself, a panic, a write that was applied in
//!    part, or damage met when the tree was to change, every write answers POISONED; reads go on. `resume` ends that
//!    where the disk was to blame.
//! 3. `current_log` only grows, and is read before the memtables' first logs when a floor is computed: a
//!    log named by no memtable yet is then still covered.

use crate::compaction::inflight::Inflight;
use crate::compaction::plan::Limits;
use crate::db::commit::CommitQueue;
use crate::db::errors::ErrorRing;
use crate::db::events::EventLog;
use crate::db::interval::SyncInterval;
use crate::db::pace::Pacer;
use crate::db::read_state::StateCell;
use crate::db::snapshot::SnapshotList;
use crate::db::stats::Stats;
use crate::env::api::{Dir, DirLock, Fs};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::job::JobContext;
use crate::options::Options;
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::retire::RetireList;
use crate::shared::{LogLevel, Share};
use crate::sync::thread::JoinHandle;
use crate::sync::{
    Arc, AtomicBool, AtomicU64, AtomicUsize, Condvar, Mutex, OnceLock, Ordering, Weak,
};
use crate::table::cache::BlockCache;
use crate::table::handle::TableCache;
use crate::types::{DbId, FileNum, KeyspaceId, SeqNo};
use crate::version::set::{FileNumbers, VersionSet};
use crate::wal::prepare::NewLog;
use crate::wal::sync::LogSync;
use crate::wal::writer::LogWriter;
use crate::worker::Workers;
use std::collections::BTreeSet;

/// What only the leader of a write group (or a freeze) touches.
pub struct Writer {
    pub log: LogWriter,
    pub next_seq: SeqNo,
}

/// One keyspace: its id and what its readers look at. The database owns one; formats allow many.
pub struct Keyspace {
    pub id: KeyspaceId,
    /// Of its keys.
    pub order: Order,
    pub state: StateCell,
    /// Everything up to this sequence number is in durable tables that a durable manifest names.
    pub flushed: AtomicU64,
}

/// Where one kind of background job stands.
#[derive(Default)]
pub struct JobBoard {
    /// Somebody has asked since the last attempt began.
    pub wanted: bool,
    /// Tasks that were handed to the workers and have not ended.
    pub tasks: usize,
    /// A failed attempt is to be repeated later.
    pub retry_set: bool,
    /// Why the last attempt failed; `None` after a success.
    pub failure: Option<Error>,
    pub failures: u32,
    /// Attempts that ended, well or badly.
    pub attempts: u64,
}

/// The notice board of background work.
#[derive(Default)]
pub struct Work {
    pub stopping: bool,
    /// With the option `deterministic`: what the workers would have been asked for.
    pub next_log: bool,
    pub seal: bool,
    pub flush: JobBoard,
    pub compaction: JobBoard,
}

/// What running compactions have taken, and who waits for some of it.
#[derive(Default)]
pub struct Claims {
    pub inflight: Inflight,
    /// Compactions on request that wait for a conflicting one to end.
    pub waiting: usize,
}

/// Freed logs whose files may become logs again.
#[derive(Default)]
pub struct Spares {
    /// Freed with all bytes on disk; the clean-up has not seen them yet.
    pub clean: BTreeSet<FileNum>,
    /// Kept for the next logs.
    pub kept: Vec<FileNum>,
}

/// What lets a database hand tasks to the workers; there is none with the option `deterministic`.
pub struct Hands {
    pub workers: Workers,
    pub core: Weak<DbCore>,
}

/// The engine's shared state.
pub struct DbCore {
    pub fs: Fs,
    pub dir: Arc<Dir>,
    pub db_id: DbId,
    pub options: Options,
    /// Of the env's budget for memtables, if there is one; gone once the database is closed.
    pub share: Mutex<Option<Share>>,
    /// Whether there is a budget, asked before the lock of the share is taken.
    pub budgeted: bool,
    pub limits: Limits,
    pub lock: Mutex<Option<DirLock>>,
    pub queue: CommitQueue,
    pub writer: Mutex<Writer>,
    pub log_sync: Arc<LogSync>,
    pub sync_interval: SyncInterval,
    pub pacer: Pacer,
    pub current_log: AtomicU64,
    /// The log that was prepared ahead. Held while a log is made.
    pub next_log: Mutex<Option<NewLog>>,
    pub spares: Mutex<Spares>,
    /// Logs that recovery gave up, to be copied before the first change.
    pub given_up: Mutex<Vec<FileNum>>,
    /// Held while writes are taken up again.
    pub resuming: Mutex<()>,
    /// Held while obsolete files are removed.
    pub cleaning: Mutex<()>,
    pub manifest: Mutex<VersionSet>,
    pub numbers: FileNumbers,
    /// Whether the manifest is known to be durable; what a killed process left may not be.
    pub settled: AtomicBool,
    pub keyspace: Keyspace,
    pub visible_seq: AtomicU64,
    pub snapshots: SnapshotList,
    pub tables: Arc<TableCache>,
    pub blocks: Arc<BlockCache>,
    pub retire: Arc<RetireList>,
    pub job: JobContext,
    pub errors: ErrorRing,
    pub stats: Stats,
    pub work: Mutex<Work>,
    /// Wakes those who wait for background work.
    pub progress: Condvar,
    pub hands: OnceLock<Hands>,
    /// The thread of the option `sync_interval_us`.
    pub keeper: Mutex<Option<JoinHandle<()>>>,
    /// Most compactions and parts of compactions that run in the workers at a time.
    pub compaction_threads: usize,
    pub flushing: Mutex<()>,
    pub claims: Mutex<Claims>,
    /// Wakes those who wait for a conflicting compaction.
    pub claim_released: Condvar,
    pub events: EventLog,
    pub cancel: Arc<AtomicBool>,
    pub closed: AtomicBool,
    pub children: AtomicUsize,
    pub iterators: AtomicUsize,
    /// Files that no manifest names, found at open or left by a failure; removed once this process has a
    /// manifest of its own.
    pub orphans: Mutex<Vec<FileKind>>,
}

impl DbCore {
    /// `CLOSED` once `close` has begun.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Closed, Area::Engine, "the database was closed"));
        }
        Ok(())
    }

    pub fn visible(&self) -> SeqNo {
        self.visible_seq.load(Ordering::Acquire)
    }

    /// Every logged write up to this number survives a power cut.
    pub fn durable(&self) -> SeqNo {
        let flushed = self.keyspace.flushed.load(Ordering::Acquire);
        let durable = self.log_sync.durable_seq().max(flushed);
        // A SYNC write is durable a moment before it is visible; nobody is told of it before it is both.
        durable.min(self.visible())
    }

    /// Hands a line to the logger of the env, if it is wanted.
    pub fn log(&self, level: LogLevel, text: impl FnOnce() -> String) {
        if let Some(env) = &self.options.env.0 {
            env.logger.log(level, || format!("{}: {}", self.dir.path(), text()));
        }
    }

    /// Tells the env's budget what the memtables hold now.
    pub fn report_memory(&self) {
        if !self.budgeted {
            return;
        }
        let bytes = self.keyspace.state.with(|state| {
            std::iter::once(&state.active).chain(&state.frozen).map(|m| m.bytes()).sum()
        });
        if let Some(share) = &*self.share.lock() {
            share.report(bytes);
        }
    }

    /// Whether the env's budget asks for the active memtable, which has so many bytes, to be flushed.
    pub fn budget_spent(&self, active: u64) -> bool {
        self.budgeted && self.share.lock().as_ref().is_some_and(|share| share.is_spent(active))
    }

    /// Stops writes until `resume`: what the caller gets is the error itself, later writers get POISONED.
    pub fn poison(&self, error: &Error) {
        use ErrorKind::{Comparator, Corrupt, Panic};
        let curable = !matches!(error.kind(), Panic | Corrupt | Comparator);
        self.stop_writes(error, curable);
    }

    /// Stops writes until the database is opened again: memory is not what it should be.
    pub fn poison_for_good(&self, error: &Error) {
        self.stop_writes(error, false);
    }

    fn stop_writes(&self, error: &Error, curable: bool) {
        self.log(LogLevel::Error, || format!("writes are stopped: {error}"));
        self.errors.stop(error, curable);
        self.errors.record(error);
        self.notify_progress();
        if !planted::is(Planted::StopNotTold) {
            self.log_sync.announce();
        }
    }

    /// A job's `error`, after which writes stop if the order of the keys is to blame: nothing that is built
    /// by comparing can be trusted then.
    pub fn stop_if_misordered(&self, error: Error) -> Error {
        if error.kind() == ErrorKind::Comparator {
            self.poison(&error);
        }
        error
    }

    /// Wakes everybody who waits for background work, also one who is just about to wait.
    pub fn notify_progress(&self) {
        drop(self.work.lock());
        self.progress.notify_all();
    }

    /// Says that all of a set's state is durable.
    pub fn note_settled(&self, set: &VersionSet) {
        let flushed = set.state().keyspaces.get(&self.keyspace.id).map_or(0, |k| k.flushed);
        self.keyspace.flushed.fetch_max(flushed, Ordering::AcqRel);
        self.settled.store(true, Ordering::Release);
        self.log_sync.announce();
    }

    /// Makes the manifest that was found durable: what it says to be in tables is in no log any more. As
    /// with the log, a failure stops writes.
    pub fn settle(&self) -> Result<()> {
        if self.settled.load(Ordering::Acquire) {
            return Ok(());
        }
        let set = self.manifest.lock();
        let settled = if planted::is(Planted::NotSettled) { Ok(()) } else { set.settle() };
        match &settled {
            Ok(()) => self.note_settled(&set),
            Err(_) if planted::is(Planted::SettleErrorForgotten) => {}
            Err(error) => self.poison(error),
        }
        settled
    }

    /// Syncs the log; a failure stops writes, for which bytes are lost cannot be known any more.
    pub fn sync_log(&self) -> Result<()> {
        self.settle()?;
        let synced = self.log_sync.sync(|error| self.poison(error));
        self.stats.wal_syncs.add(1);
        synced
    }

    /// Runs `what`; a panic becomes a PANIC error and stops writes for good.
    pub fn contain<R>(&self, what: impl FnOnce() -> Result<R>) -> Result<R> {
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)) {
            Ok(result) => result,
            Err(payload) => {
                let text = payload
                    .downcast_ref::<&str>()
                    .map(|s| (*s).to_owned())
                    .or_else(|| payload.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "unknown panic".to_owned());
                let error = Error::new(ErrorKind::Panic, Area::Engine, format!("panic: {text}"));
                self.poison(&error);
                Err(error)
            }
        }
    }
}
