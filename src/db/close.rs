//! Closing (rule D15 of docs/DURABILITY.md) and destroying a database.
//!
//! Invariants
//! 1. After `BUSY` nothing has changed; after anything else the database is closed.
//! 2. A stopped (poisoned) database is never marked as cleanly closed.
//! 3. A log that was prepared ahead is voided with the clean mark.
//! 4. The clean mark is the manifest's last edit, after CLOSE is durable in the log.

use crate::db::core::{DbCore, Writer};
use crate::env::api::Fs;
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::shared::LogLevel;
use crate::sync::Ordering;
use crate::version::edit::VersionEdit;
use crate::wal::format::CloseMark;

/// A clean close flushes when the next open would have to replay, or to read through, more than this.
const REPLAY_BYTES_MAX: u64 = 256 << 10;

impl DbCore {
    /// Closes the database. `BUSY` with the number of live iterators and snapshots unless `detach`.
    pub fn close(&self, detach: bool) -> Result<()> {
        let children = self.children.load(Ordering::Acquire) as u64;
        if children > 0 && !detach {
            let message = format!("the database has {children} live iterators and snapshots");
            return Err(Error::new(ErrorKind::Busy, Area::Engine, message).with_value(children));
        }
        if self.closed.swap(true, Ordering::AcqRel) {
            return Err(Error::new(ErrorKind::Closed, Area::Engine, "the database was closed"));
        }
        // One that takes writes up again comes to its end first, and none begins after this.
        drop(self.resuming.lock());
        self.log_sync.announce();
        // Wakes a stalled writer, which then answers CLOSED, and ends the jobs at a stopping point.
        self.stop_work();
        let result = match self.errors.cause() {
            // Files in memory end here: nobody will replay a log or look for a clean end.
            None if !self.fs.keeps() => Ok(()),
            // Nothing to keep, and nothing may be written.
            None if self.errors.is_read_only() => Ok(()),
            None => self.contain(|| self.close_cleanly()),
            Some(cause) if cause.kind() == ErrorKind::Panic => Ok(()),
            Some(cause) => Err(cause.with_kind(ErrorKind::Io)),
        };
        self.give_up_spares();
        self.clean_once();
        *self.share.lock() = None;
        *self.lock.lock() = None;
        match &result {
            Ok(()) => self.log(LogLevel::Info, || "closed".to_owned()),
            Err(error) => self.log(LogLevel::Error, || format!("closed with an error: {error}")),
        }
        result
    }

    fn close_cleanly(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.flush_for_close(&mut writer)?;
        if writer.log.has_started() && writer.log.current().is_none() {
            // The last log was abandoned. What a failed write left in it must not come back, and CLOSE
            // needs a log that takes records; without one the next open recovers as after a kill.
            if let Err(error) = self.rotate_log(&mut writer, 0) {
                self.errors.record(&error);
            }
        }
        let last_seq = writer.next_seq - 1;
        let Some((log, length)) = writer.log.close(last_seq)? else {
            // Nothing to close, but an earlier process may have left what no sync has covered yet.
            return self.sync_log();
        };
        let close = Some(CloseMark { log, length, last_seq });
        // The log that was closed must be the newest one that counts.
        let logs_voided = self.forgo_next_log();
        // What was flushed before the last rotation may have kept an older log.
        let log_floor = Some(self.floor_without(&[]));
        let edit = VersionEdit { close, logs_voided, log_floor, ..VersionEdit::default() };
        self.install(edit, &[])
    }

    /// Flushes when replay would be long or memory holds writes that no log has. A long log is left behind
    /// first: once all of it is in tables it is free, and the next open has only the new one to read.
    fn flush_for_close(&self, writer: &mut Writer) -> Result<()> {
        let state = self.keyspace.state.load();
        let memtables = || std::iter::once(&state.active).chain(&state.frozen);
        let bytes: u64 = memtables().map(|m| m.bytes()).sum();
        let unlogged = memtables().any(|m| m.has_unlogged());
        let long_log = self.log_sync.live_bytes() > REPLAY_BYTES_MAX;
        // A process that has changed nothing leaves the directory as it found it.
        let short = bytes <= REPLAY_BYTES_MAX && !long_log;
        if !unlogged && (short || !self.manifest.lock().changed()) {
            return Ok(());
        }
        self.cancel.store(false, Ordering::Release);
        if !state.active.is_empty() {
            self.freeze(writer);
        }
        if long_log && writer.log.current().is_some() {
            // Recorded; the log that is there may be closed just as well.
            if let Err(error) = self.rotate_log(writer, 0) {
                self.log(LogLevel::Warn, || format!("{error}; the next open will take longer"));
            }
        }
        loop {
            match self.flush_oldest() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) if unlogged => return Err(error),
                Err(error) => {
                    // The log has it all: the next open replays what could not be flushed.
                    self.errors.record(&error);
                    return Ok(());
                }
            }
        }
    }
}

/// Removes the files of a database that is not open, and its directory when that leaves it empty.
pub fn destroy(fs: &Fs, path: &[u8]) -> Result<()> {
    let dir = fs.open_dir(path, 0o600)?;
    let kinds = |names: Vec<Vec<u8>>| -> Vec<FileKind> {
        names.iter().filter_map(|name| FileKind::parse(name)).collect()
    };
    let found = kinds(dir.list()?);
    if !found.iter().any(|kind| *kind != FileKind::Lock) {
        let message = format!("{} holds no esker database", dir.path());
        return Err(Error::new(ErrorKind::Missing, Area::Directory, message));
    }
    let lock = dir.lock()?;
    let found = kinds(dir.list()?);
    // Manifests last: interrupted before that, the directory is still recognised as a database.
    let (manifests, mut found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|kind| matches!(kind, FileKind::Manifest(_)));
    found.extend(manifests);
    for kind in found.into_iter().filter(|kind| *kind != FileKind::Lock) {
        dir.unlink(&kind.name())?;
    }
    dir.unlink(&FileKind::Lock.name())?;
    dir.sync()?;
    drop(lock);
    fs.remove_dir(path)?;
    Ok(())
}
