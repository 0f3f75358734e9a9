//! The next log, prepared while the current one fills; freed logs whose files become logs again; rotation.
//!
//! When the current log is half full, a task prepares the next one, so that a rotation, under the commit
//! lock, only writes a LOG START. A freed log whose bytes are on disk is kept as a spare for that: to write
//! the header of one that is not would write all of it, which removing it spares. An idle database that was
//! never written prepares nothing.
//!
//! Invariants
//! 1. At most one log is prepared ahead and `SPARES_MAX` files are kept; a clean close leaves neither, and a job that finds the
//!    disk full gives the spares up.
//! 2. Numbers of logs rise in the order in which they take records: who makes one holds the lock `next_log`,
//!    and one that is passed over is voided.
//! 3. A spare is below the durable floor and belongs to this file alone: the clean-up has handed it over.
//! 4. A failure to prepare ahead is entered into the error ring and is no write's error; the rotation then
//!    tries itself.

use crate::db::core::{DbCore, Writer};
use crate::db::events::JobKind;
use crate::env::path::FileKind;
use crate::error::Result;
use crate::sync::Ordering;
use crate::types::FileNum;
use crate::version::edit::VersionEdit;
use crate::wal::prepare::{self, NewLog};

/// Logs are at least this large, so that tiny write buffers do not rotate on every other write.
const LOG_BYTES_MIN: u64 = 64 << 10;
const LOG_BYTES_MAX: u64 = 64 << 20;
/// Room a log needs besides its batches: stamps between them.
const LOG_SLACK: u64 = 4096;
/// Files of freed logs that are kept.
const SPARES_MAX: usize = 2;

impl DbCore {
    fn usual_log_bytes(&self) -> u64 {
        match self.options.log_bytes {
            0 => self.options.write_buffer.clamp(LOG_BYTES_MIN, LOG_BYTES_MAX),
            bytes => bytes,
        }
    }

    /// Begins a log with room for `need` bytes: the one prepared ahead, or one made now. The log before it
    /// is synced behind the scenes where somebody will wait for that.
    pub fn rotate_log(&self, writer: &mut Writer, need: u64) -> Result<()> {
        let last_seq = writer.next_seq - 1;
        let begun = self.next_log(need).and_then(|log| {
            let number = log.number;
            writer.log.start(log, last_seq).map(|()| number)
        });
        let number = match begun {
            Ok(number) => number,
            Err(error) => {
                self.errors.record(&error);
                return Err(error.context("starting a new log"));
            }
        };
        self.stats.logs.add(1);
        self.current_log.store(number.0, Ordering::Release);
        if self.log_sync.wants_seal() {
            self.want_seal();
        }
        Ok(())
    }

    /// A listed log that takes `need` bytes. Waits for a preparation that is under way.
    fn next_log(&self, need: u64) -> Result<NewLog> {
        let mut next = self.next_log.lock();
        if let Some(log) = next.take_if(|log| log.fits(need)) {
            self.stats.logs_ahead.add(1);
            return Ok(log);
        }
        let passed_over = next.iter().map(|log| log.number).collect();
        let bytes = self.usual_log_bytes().max(need + LOG_SLACK);
        let log = self.make_log(bytes, None, passed_over, false)?;
        *next = None;
        Ok(log)
    }

    /// Leaves all logs behind and begins a new one, in one edit: everything logged is in tables (D24).
    pub fn leave_logs(&self, writer: &mut Writer) -> Result<()> {
        let mut next = self.next_log.lock();
        let passed_over = next.iter().map(|log| log.number).collect();
        let log = self.make_log(self.usual_log_bytes(), None, passed_over, true)?;
        *next = None;
        drop(next);
        self.log_sync.restart();
        let number = log.number;
        writer.log.start(log, writer.next_seq - 1)?;
        self.stats.logs.add(1);
        self.current_log.store(number.0, Ordering::Release);
        Ok(())
    }

    /// Prepares the next log unless there is one.
    pub fn prepare_ahead(&self) {
        let mut next = self.next_log.lock();
        if next.is_some() || self.errors.is_stopped() {
            return;
        }
        let _span = self.events.job(JobKind::NextLog, 0, 0);
        let spare = self.spares.lock().kept.pop();
        match self.make_log(self.usual_log_bytes(), spare, Vec::new(), false) {
            Ok(log) => *next = Some(log),
            Err(error) => drop(self.errors.record(&error.context("preparing the next log"))),
        }
    }

    /// Makes a log and lists it in the manifest; with `only` nobody needs an older one from then on. The lock
    /// `next_log` is held.
    fn make_log(
        &self,
        bytes: u64,
        spare: Option<FileNum>,
        logs_voided: Vec<FileNum>,
        only: bool,
    ) -> Result<NewLog> {
        let number = self.numbers.next();
        let (fs, dir, id) = (&self.fs, &self.dir, self.db_id);
        let made = match spare {
            Some(old) => prepare::recycle(fs, dir, old, number, id, bytes),
            None => prepare::prepare(fs, dir, number, id, bytes),
        };
        let listed = made.and_then(|log| {
            let logs_added = vec![(number, log.salt)];
            let log_floor = only.then_some(number);
            let edit = VersionEdit { logs_added, logs_voided, log_floor, ..VersionEdit::default() };
            self.install(edit, &[]).map(|()| log)
        });
        match &listed {
            Ok(log) => self.stats.logs_recycled.add(u64::from(log.recycled)),
            Err(_) => {
                // No record is in it: removed like any leftover, unless a crash shows it listed first.
                let names = [Some(number), spare].into_iter().flatten().map(FileKind::Log);
                self.orphans.lock().extend(names);
            }
        }
        listed
    }

    /// The log that was prepared and will not be used: the close voids it.
    pub fn forgo_next_log(&self) -> Vec<FileNum> {
        self.next_log.lock().take().iter().map(|log| log.number).collect()
    }

    /// Remembers logs that were freed when all their bytes were on disk.
    pub fn note_clean(&self, logs: Vec<FileNum>) {
        self.spares.lock().clean.extend(logs);
    }

    /// Takes out of `obsolete` the logs whose files are kept. The clean-up alone calls this.
    pub fn keep_spares(&self, obsolete: &mut Vec<FileNum>) {
        obsolete.retain(|log| {
            let kept = self.may_keep(*log);
            if kept {
                self.manifest.lock().void_gone(*log);
                self.spares.lock().kept.push(*log);
            }
            !kept
        });
    }

    fn may_keep(&self, log: FileNum) -> bool {
        let mut spares = self.spares.lock();
        let closed = self.closed.load(Ordering::Acquire);
        if !spares.clean.remove(&log) || spares.kept.len() >= SPARES_MAX || closed {
            return false;
        }
        drop(spares);
        // One that cannot be looked at is removed, and if that fails too, it is reported there.
        prepare::can_recycle(&self.dir, log, self.usual_log_bytes()).unwrap_or(false)
    }

    /// Leaves the spares to the clean-up.
    pub fn give_up_spares(&self) {
        let kept = std::mem::take(&mut self.spares.lock().kept);
        self.orphans.lock().extend(kept.into_iter().map(FileKind::Log));
    }

    /// Syncs the logs that take no more records.
    pub fn seal_logs(&self) {
        if self.errors.is_stopped() {
            return;
        }
        let _span = self.events.job(JobKind::Seal, 0, 0);
        // Which bytes are lost cannot be known any more (D11): a failure stops writes, and is recorded with that.
        drop(self.log_sync.seal(|error| self.poison(error)));
        self.stats.wal_syncs.add(1);
    }
}
