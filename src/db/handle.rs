//! The engine as one value: what the C boundary and the Rust tests call.
//!
//! Invariants
//! 1. Children (iterators, snapshots) keep the core alive and may be freed in any order, also after close.
//! 2. Dropping the last handle closes the database; errors of that close go to the error ring only.

use crate::db::approximate::KeyRange;
use crate::db::checkpoint;
use crate::db::close;
use crate::db::core::DbCore;
#[cfg(feature = "internals")]
use crate::db::events::EventLog;
use crate::db::iter::DbIter;
use crate::db::maintain::Progress;
use crate::db::open::{self, OpenFlags};
use crate::db::read::{PinnedValue, ReadParams};
use crate::db::stats::StatsSnapshot;
use crate::db::verify::{VerifyLevel, Watch};
use crate::db::write::WriteParams;
use crate::env::api::Fs;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::EntryKind;
use crate::options::Options;
use crate::sync::{Arc, Ordering};
use crate::types::{KeyspaceId, SeqNo};

/// An open database; a cheap clone.
#[derive(Clone)]
pub struct Db(Arc<Root>);

struct Root {
    core: Arc<DbCore>,
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = self.core.close(true) {
            self.core.errors.record(&error);
        }
    }
}

/// A frozen view to read from.
pub struct Snapshot {
    core: Arc<DbCore>,
    seq: SeqNo,
}

impl Snapshot {
    /// Sequence number of the newest write in the snapshot.
    pub fn seq(&self) -> SeqNo {
        self.seq
    }

    /// `CLOSED` once the database was closed under it.
    pub fn check_open(&self) -> Result<()> {
        self.core.check_open()
    }

    /// Whether it was taken from this database.
    pub fn belongs_to(&self, db: &Db) -> bool {
        Arc::ptr_eq(&self.core, &db.0.core)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        self.core.snapshots.release(self.seq);
        self.core.children.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Db {
    /// Opens the database in directory `path`, recovering it where needed.
    pub fn open(fs: &Fs, path: &[u8], options: &Options, flags: OpenFlags) -> Result<Db> {
        let core = open::open(fs, path, options, flags)?;
        Ok(Db(Arc::new(Root { core })))
    }

    /// Makes a copy that opens in a directory of its own.
    pub fn checkpoint(&self, path: &[u8], watch: checkpoint::Watch<'_>) -> Result<()> {
        self.0.core.checkpoint(path, watch)
    }

    /// Looks the open database over for damage.
    pub fn verify(&self, level: VerifyLevel, watch: Watch<'_>) -> Result<()> {
        self.0.core.verify(level, watch)
    }

    /// Takes writes up again after an error of the disk has stopped them.
    pub fn resume(&self) -> Result<()> {
        self.0.core.resume()
    }

    /// Removes the files of a database that is not open.
    pub fn destroy(fs: &Fs, path: &[u8]) -> Result<()> {
        close::destroy(fs, path)
    }

    /// Applies a batch that `batch::check` has accepted; returns the sequence number of its last
    /// operation.
    pub fn write(&self, batch: &[u8], params: &WriteParams) -> Result<SeqNo> {
        self.0.core.write(batch, params)
    }

    pub fn put(&self, params: &WriteParams, key: &[u8], value: &[u8]) -> Result<SeqNo> {
        self.0.core.write_one(params, EntryKind::Put, key, value)
    }

    pub fn delete(&self, params: &WriteParams, key: &[u8]) -> Result<SeqNo> {
        self.0.core.write_one(params, EntryKind::Delete, key, &[])
    }

    pub fn get(&self, params: &ReadParams, key: &[u8]) -> Result<Option<PinnedValue>> {
        self.0.core.get(params, key)
    }

    /// Reads `n` keys from one view; see `DbCore::multi_get`.
    pub fn multi_get<'k>(
        &self,
        params: &ReadParams,
        n: usize,
        key_at: impl Fn(usize) -> Result<&'k [u8]>,
        give: impl FnMut(usize, Result<Option<PinnedValue>>),
    ) -> Result<()> {
        self.0.core.multi_get(params, n, key_at, give)
    }

    pub fn iter(&self, params: &ReadParams) -> Result<DbIter> {
        DbIter::open(&self.0.core, params)
    }

    pub fn snapshot(&self) -> Result<Snapshot> {
        let core = &self.0.core;
        core.check_open()?;
        core.children.fetch_add(1, Ordering::AcqRel);
        let seq = core.snapshots.acquire(&core.visible_seq, core.fs.now_micros());
        Ok(Snapshot { core: core.clone(), seq })
    }

    /// Writes every memtable to tables; returns when these are durable.
    pub fn flush(&self) -> Result<()> {
        self.0.core.flush()
    }

    /// Flushes, then merges the tables of a key range down to one sorted run.
    pub fn compact(
        &self,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
        force: bool,
        progress: Progress<'_>,
    ) -> Result<()> {
        self.0.core.compact(lo, hi, force, progress)
    }

    /// Estimates the bytes of every range, on disk and in memtables, into `sizes`.
    pub fn approximate_sizes(&self, ranges: &[KeyRange<'_>], sizes: &mut [u64]) -> Result<()> {
        self.0.core.approximate_sizes(ranges, sizes)
    }

    /// Makes every logged write that returned before the call survive a power cut.
    pub fn sync(&self) -> Result<()> {
        self.0.core.sync()
    }

    /// Waits until writes up to `seq` survive a power cut; false when `timeout_us` passed first.
    pub fn wait_durable(&self, seq: SeqNo, timeout_us: u64) -> Result<bool> {
        self.0.core.wait_durable(seq, timeout_us)
    }

    pub fn latest_seq(&self) -> Result<SeqNo> {
        self.0.core.check_open()?;
        Ok(self.0.core.visible())
    }

    pub fn durable_seq(&self) -> Result<SeqNo> {
        self.0.core.check_open()?;
        Ok(self.0.core.durable())
    }

    pub fn stats(&self) -> StatsSnapshot {
        self.0.core.snapshot_of_stats()
    }

    pub fn property(&self, name: &str) -> Result<Option<String>> {
        self.0.core.property(name)
    }

    /// Every number in the Prometheus text format; only the caller knows how many pins are live.
    pub fn metrics_text(&self, live_pins: u64) -> Result<String> {
        self.0.core.metrics_text(live_pins)
    }

    /// The same numbers as a JSON object.
    pub fn stats_json(&self, live_pins: u64) -> Result<String> {
        self.0.core.stats_json(live_pins)
    }

    /// Closes the database: `BUSY` with live children unless `detach`.
    pub fn close(&self, detach: bool) -> Result<()> {
        self.0.core.close(detach)
    }

    /// The newest entry of the error ring.
    pub fn last_error(&self) -> Option<Error> {
        self.0.core.errors.newest()
    }

    /// Entries of the error ring above `number`, and the newest number.
    pub fn errors_since(&self, number: u64) -> (Vec<Error>, u64) {
        self.0.core.errors.since(number)
    }

    /// Enters an error into the ring; returns its number.
    pub fn record_error(&self, error: &Error) -> u64 {
        self.0.core.errors.record(error)
    }

    /// What background jobs did.
    #[cfg(feature = "internals")]
    pub fn events(&self) -> &EventLog {
        &self.0.core.events
    }

    pub fn keyspace(&self) -> KeyspaceId {
        self.0.core.keyspace.id
    }

    /// Stops writes for good after a panic was contained above the engine.
    pub fn poison_after_panic(&self, message: &str) {
        let error = Error::new(ErrorKind::Panic, Area::Engine, message);
        self.0.core.poison(&error);
    }
}
