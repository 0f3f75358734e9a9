//! Makes logs durable: which logs have unsynced bytes, and the one place that syncs them.
//!
//! Two locks. The sync lock is held across `fdatasync`, below the commit lock; nobody who appends waits for
//! it. The list of live logs has a lock of its own, held for a few loads and stores: the appender publishes
//! the end of the newest complete record there, and a sync takes its targets from there.
//!
//! Invariants
//! 1. Logs are synced oldest first, so a durable record proves every older log complete (D8e).
//! 2. `durable` of a log never exceeds what a successful sync has covered.
//! 3. After one failed sync every later one fails with the same error, until the logs of that time are left
//!    behind: the kernel may have dropped the pages, and a second fdatasync would report success for bytes
//!    that are gone.

use crate::env::api::{Dir, File};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::planted::{self, Planted};
use crate::sync::{Arc, AtomicBool, AtomicU64, Condvar, Instant, Mutex, Ordering};
use crate::types::{FileNum, SeqNo};

/// A log of an earlier process that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTail {
    pub number: FileNum,
    pub salt: u32,
    /// End of the last record that counts.
    pub len: u64,
    /// How much of that is known to be durable.
    pub durable: u64,
    /// Last sequence the log speaks of.
    pub last_seq: SeqNo,
}

/// A log the database still needs.
struct LiveLog {
    number: FileNum,
    /// Absent for a log of an earlier process: opened when it has to be synced.
    file: Option<Arc<File>>,
    /// End of the last complete record.
    end: u64,
    /// End of the last record that is not a STAMP: a lone STAMP is not worth a sync.
    data_end: u64,
    durable: u64,
    /// Last sequence the log speaks of.
    last_seq: SeqNo,
}

impl LiveLog {
    fn is_unsynced(&self) -> bool {
        self.data_end > self.durable
    }
}

struct Live {
    /// Oldest first.
    logs: Vec<LiveLog>,
    /// Sequence of the newest complete record.
    newest_seq: SeqNo,
    /// A sync has failed: what these files hold on the disk is unknown.
    unsound: bool,
}

impl Live {
    fn find(&mut self, number: FileNum) -> Option<&mut LiveLog> {
        self.logs.iter_mut().rev().find(|log| log.number == number)
    }

    /// The logs that take no more records.
    fn sealed(&self) -> &[LiveLog] {
        self.logs.split_last().map_or(&[], |(_, sealed)| sealed)
    }
}

/// One log a sync has to cover, up to `end`.
struct Target {
    number: FileNum,
    file: Option<Arc<File>>,
    end: u64,
}

/// The durable side of the log, shared by the writer and everyone who syncs.
pub struct LogSync {
    dir: Arc<Dir>,
    /// The sync lock; holds the error of a sync that failed.
    failed: Mutex<Option<Error>>,
    live: Mutex<Live>,
    durable_seq: AtomicU64,
    /// Whether anybody has asked for a sync.
    used: AtomicBool,
    /// Wakes those who wait for durability.
    advanced: Condvar,
}

impl LogSync {
    /// Starts with the logs of earlier processes, oldest first.
    pub fn new(dir: Arc<Dir>, inherited: &[LogTail]) -> Arc<LogSync> {
        let durable_seq = inherited
            .iter()
            .take_while(|tail| tail.durable >= tail.len)
            .last()
            .map_or(0, |tail| tail.last_seq);
        let logs = inherited.iter().map(|tail| LiveLog {
            number: tail.number,
            file: None,
            end: tail.len,
            data_end: tail.len,
            durable: tail.durable,
            last_seq: tail.last_seq,
        });
        let newest_seq = inherited.last().map_or(0, |tail| tail.last_seq);
        Arc::new(LogSync {
            dir,
            failed: Mutex::new(None),
            live: Mutex::new(Live { logs: logs.collect(), newest_seq, unsound: false }),
            durable_seq: AtomicU64::new(durable_seq),
            used: AtomicBool::new(false),
            advanced: Condvar::new(),
        })
    }

    /// Makes every record durable that was complete before the call. Takes the sync lock. After a failure
    /// every later call returns that error; `on_error` is called with it before the lock is given back.
    pub fn sync(&self, on_error: impl FnOnce(&Error)) -> Result<()> {
        self.used.store(true, Ordering::Release);
        self.sync_targets(|live| targets(&live.logs, live.newest_seq), on_error)
    }

    /// Makes the logs durable that take no more records, so that the next sync has only the newest one to
    /// cover. For the rest as `sync`.
    pub fn seal(&self, on_error: impl FnOnce(&Error)) -> Result<()> {
        let pick = |live: &Live| {
            let sealed = live.sealed();
            targets(sealed, sealed.last().map_or(0, |log| log.last_seq))
        };
        self.sync_targets(pick, on_error)
    }

    /// Begins anew without logs: nobody needs those there were, and what their syncs did is forgotten.
    pub fn restart(&self) {
        let mut failed = self.failed.lock();
        let mut live = self.live.lock();
        live.logs.clear();
        live.unsound = false;
        *failed = None;
    }

    /// Whether `seal` would have anything to do that somebody will wait for: a process that has never
    /// synced lets flushes free its logs before they reach the disk.
    pub fn wants_seal(&self) -> bool {
        let used = self.used.load(Ordering::Acquire);
        used && self.live.lock().sealed().iter().any(LiveLog::is_unsynced)
    }

    fn sync_targets(
        &self,
        pick: impl Fn(&Live) -> (Vec<Target>, SeqNo),
        on_error: impl FnOnce(&Error),
    ) -> Result<()> {
        let mut failed = self.failed.lock();
        if let Some(error) = &*failed {
            on_error(error);
            return Err(error.clone());
        }
        let (mut targets, seq) = pick(&self.live.lock());
        if planted::is(Planted::OlderLogsNotSynced) {
            targets.drain(..targets.len().saturating_sub(1));
        }
        for target in &targets {
            if let Err(error) = self.sync_log(target) {
                if planted::is(Planted::SyncErrorForgotten) {
                    continue;
                }
                self.live.lock().unsound = true;
                *failed = Some(error.clone());
                on_error(&error);
                return Err(error);
            }
        }
        self.durable_seq.fetch_max(seq, Ordering::Release);
        self.announce();
        Ok(())
    }

    /// Wakes those who wait for durability, also one who is just about to: more is durable, or waiting has
    /// become useless.
    pub fn announce(&self) {
        drop(self.live.lock());
        self.advanced.notify_all();
    }

    /// Waits until `over` says so, asked again after each `announce`, or until the deadline (none: for
    /// ever). `over` takes no lock.
    pub fn wait_for(&self, over: impl Fn() -> bool, deadline: Option<Instant>) {
        let mut live = self.live.lock();
        while !over() {
            match deadline {
                None => self.advanced.wait(&mut live),
                Some(deadline) => {
                    if self.advanced.wait_until(&mut live, deadline).timed_out() {
                        return;
                    }
                }
            }
        }
    }

    fn sync_log(&self, target: &Target) -> Result<()> {
        match &target.file {
            Some(file) => file.sync_data()?,
            None => match self.dir.open_read(&FileKind::Log(target.number).name(), Area::Wal) {
                Ok(file) => file.sync_data()?,
                // The floor passed this log after the targets were taken; its data is in tables.
                Err(error)
                    if error.kind() == ErrorKind::Missing && !self.is_live(target.number) =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error.with_file(target.number.0)),
            },
        }
        if let Some(log) = self.live.lock().find(target.number) {
            log.durable = log.durable.max(target.end);
        }
        Ok(())
    }

    /// Whether the database still needs a log.
    pub fn is_live(&self, number: FileNum) -> bool {
        self.live.lock().find(number).is_some()
    }

    /// Last sequence of which this and every earlier logged write is known to be durable.
    pub fn durable_seq(&self) -> SeqNo {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// The newest log of which something is durable, and how much: carried by manifest edits as evidence.
    pub fn durable_point(&self) -> Option<(FileNum, u64)> {
        let live = self.live.lock();
        let newest = live.logs.iter().rev().find(|log| log.durable > 0);
        newest.map(|log| (log.number, log.durable))
    }

    /// Whether a sync would have anything to do.
    #[cfg(any(test, feature = "internals"))]
    pub fn has_unsynced(&self) -> bool {
        self.live.lock().logs.iter().any(LiveLog::is_unsynced)
    }

    /// The logs that the database still needs, oldest first, and the end of the complete records of each.
    pub fn ends(&self) -> Vec<(FileNum, u64)> {
        self.live.lock().logs.iter().map(|log| (log.number, log.end)).collect()
    }

    /// Bytes of records in the logs the database still needs.
    pub fn live_bytes(&self) -> u64 {
        self.live.lock().logs.iter().fold(0, |sum, log| sum.saturating_add(log.end))
    }

    /// Forgets the logs below a durable floor: nobody needs them synced any more. Returns those whose bytes
    /// are on disk.
    pub fn forget_below(&self, floor: FileNum) -> Vec<FileNum> {
        let mut live = self.live.lock();
        let sound = !live.unsound;
        let clean = |log: &&LiveLog| sound && log.number < floor && !log.is_unsynced();
        let gone = live.logs.iter().filter(clean);
        let gone = gone.map(|log| log.number).collect();
        live.logs.retain(|log| log.number >= floor);
        gone
    }

    /// How much of a log is durable; 0 for one that was forgotten.
    pub(super) fn durable_of(&self, number: FileNum) -> u64 {
        self.live.lock().find(number).map_or(0, |log| log.durable)
    }

    /// A new log with complete records up to `end`. Commit lock.
    pub(super) fn add(&self, number: FileNum, file: Arc<File>, end: u64, seq: SeqNo) {
        let mut live = self.live.lock();
        let (file, data_end, durable) = (Some(file), end, 0);
        live.logs.push(LiveLog { number, file, end, data_end, durable, last_seq: seq });
        live.newest_seq = live.newest_seq.max(seq);
    }

    /// Publishes complete records up to `end`. Commit lock.
    pub(super) fn publish(&self, number: FileNum, end: u64, seq: SeqNo) {
        let mut live = self.live.lock();
        live.newest_seq = live.newest_seq.max(seq);
        if let Some(log) = live.find(number) {
            log.end = end;
            log.data_end = end;
            log.last_seq = seq;
        }
    }

    /// Publishes a STAMP that ends at `end`. Commit lock.
    pub(super) fn publish_stamp(&self, number: FileNum, end: u64) {
        if let Some(log) = self.live.lock().find(number) {
            log.end = end;
        }
    }
}

/// Those of `logs` with unsynced bytes, oldest first, and `seq`, which is durable once they are synced. None
/// when only STAMPs are unsynced. But with any other log an older one's lone STAMP is synced too: it is below
/// the length that the next LOG START names.
fn targets(logs: &[LiveLog], seq: SeqNo) -> (Vec<Target>, SeqNo) {
    if !logs.iter().any(LiveLog::is_unsynced) {
        return (Vec::new(), seq);
    }
    let unsynced = logs.iter().filter(|log| log.end > log.durable);
    let target =
        |log: &LiveLog| Target { number: log.number, file: log.file.clone(), end: log.end };
    (unsynced.map(target).collect(), seq)
}
