//! Writes logs: LOG START, groups of batches, STAMP, CLOSE.
//!
//! Rules D1, D3 to D7, D11 and D15 of docs/DURABILITY.md; layout in docs/FORMAT.md, section 4. A log takes
//! records only after the caller made its manifest entry durable. A group of batches is one write; each
//! keeps its own record. A failed append abandons the log at its last good end, which the LOG START of the
//! next log names, so what the failed write left behind never counts.
//!
//! Invariants
//! 1. `end` is the end of the newest complete record; records never overlap or leave gaps.
//! 2. `synced` of a record is what a sync of this very log had covered when the record was encoded.
//! 3. After an error from `append`, `start`, `stamp_if_useful` or `close` there is no current log.
//! 4. A log always keeps room for a STAMP and a CLOSE inside its allocation.

use crate::batch::count_of;
use crate::buffer;
use crate::env::api::{Dir, File};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::planted::{self, Planted};
use crate::record::format::{FILE_HEADER_LEN, RecordKind, append_record, record_len};
use crate::sync::Arc;
use crate::types::{FileNum, SeqNo};
use crate::wal::format::{LOG_START_END, LogStart};
use crate::wal::prepare::{NewLog, RESERVE};
use crate::wal::sync::{LogSync, LogTail};

/// An encoding buffer above this is given back after the write that needed it.
const SCRATCH_KEPT: usize = 1 << 20;

/// The log that takes records.
struct Current {
    number: FileNum,
    salt: u32,
    file: Arc<File>,
    capacity: u64,
    end: u64,
    /// `synced` of the newest record.
    newest_synced: u64,
    /// Whether its successor was asked for.
    succeeded: bool,
}

/// What the next LOG START says of the log before it.
#[derive(Clone, Copy, Default)]
struct Predecessor {
    number: FileNum,
    len: u64,
    /// Durable when it was last looked at; a forgotten log keeps this.
    durable: u64,
    last_seq: SeqNo,
}

/// Appends to the log; used under the commit lock.
pub struct LogWriter {
    sync: Arc<LogSync>,
    current: Option<Current>,
    /// Newest log with a LOG START: the current one while there is one.
    newest: Predecessor,
    /// Whether this process has written a log.
    started: bool,
    last_seq: SeqNo,
    scratch: Vec<u8>,
}

impl LogWriter {
    /// Continues behind the logs that recovery counted, oldest first. Writes nothing.
    pub fn new(dir: Arc<Dir>, inherited: Vec<LogTail>) -> LogWriter {
        let newest = inherited.last().map_or_else(Predecessor::default, |tail| Predecessor {
            number: tail.number,
            len: tail.len,
            durable: tail.durable,
            last_seq: tail.last_seq,
        });
        LogWriter {
            sync: LogSync::new(dir, &inherited),
            current: None,
            newest,
            started: false,
            last_seq: newest.last_seq,
            scratch: Vec::new(),
        }
    }

    pub fn sync_handle(&self) -> Arc<LogSync> {
        Arc::clone(&self.sync)
    }

    /// The log that takes records; `None` before the first and after a failure.
    pub fn current(&self) -> Option<FileNum> {
        self.current.as_ref().map(|current| current.number)
    }

    /// Whether this process has begun a log.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Whether records of `bytes` (a sum of `record_len`) fit in the current log.
    pub fn fits(&self, bytes: u64) -> bool {
        self.current.as_ref().is_some_and(|current| {
            current.end.saturating_add(bytes).saturating_add(RESERVE) <= current.capacity
        })
    }

    /// Whether it is time to prepare the next log: true once for each log, when it is half full.
    pub fn wants_successor(&mut self) -> bool {
        let half_full = |current: &&mut Current| {
            !current.succeeded && current.end.saturating_mul(2) >= current.capacity
        };
        match self.current.as_mut().filter(half_full) {
            Some(current) => {
                current.succeeded = true;
                true
            }
            None => false,
        }
    }

    /// Writes the LOG START of a prepared and listed log, which takes the records from here on. The log
    /// before it gets no seal; its good length is named, also when it was abandoned.
    pub fn start(&mut self, log: NewLog, last_seq: SeqNo) -> Result<()> {
        self.current = None;
        let durable = self.newest.durable.max(self.sync.durable_of(self.newest.number));
        let start = LogStart {
            prev: self.newest.number,
            prev_len: self.newest.len,
            prev_durable: durable,
            prev_last_seq: self.newest.last_seq,
        };
        let last_seq = last_seq.max(self.last_seq);
        let mut bytes = Vec::new();
        let offset = FILE_HEADER_LEN;
        let kind = RecordKind::LogStart;
        append_record(&mut bytes, log.salt, offset, kind, last_seq, 0, &start.encode());
        log.file.write_all_at(&bytes, offset).map_err(|error| error.with_file(log.number.0))?;
        let file = Arc::new(log.file);
        self.sync.add(log.number, Arc::clone(&file), LOG_START_END, last_seq);
        self.started = true;
        self.last_seq = last_seq;
        let (number, len) = (log.number, LOG_START_END);
        self.newest = Predecessor { number, len, durable: 0, last_seq };
        self.current = Some(Current {
            number,
            salt: log.salt,
            file,
            capacity: log.capacity,
            end: len,
            newest_synced: 0,
            succeeded: false,
        });
        Ok(())
    }

    /// Appends a group, one record per batch with its first sequence, in one write. `last_seq` is the last
    /// sequence of the group. Any error abandons the log; nothing of the group counts then, unless the
    /// process ends before the next log begins.
    pub fn append(&mut self, batches: &[(SeqNo, &[u8])], last_seq: SeqNo) -> Result<()> {
        let current = self.current.take().ok_or_else(no_current_log)?;
        let synced = self.sync.durable_of(current.number);
        self.encode_group(&current, batches, synced)?;
        let written = current.file.write_all_at(&self.scratch, current.end);
        let len = self.scratch.len() as u64;
        buffer::empty(&mut self.scratch, SCRATCH_KEPT);
        if !planted::is(Planted::AppendErrorForgotten) {
            written.map_err(|error| error.with_file(current.number.0))?;
        }
        self.last_seq = last_seq;
        self.newest.last_seq = last_seq;
        self.advance(current, len, synced);
        self.sync.publish(self.newest.number, self.newest.len, last_seq);
        Ok(())
    }

    /// Puts the group's records into the scratch buffer.
    fn encode_group(
        &mut self,
        current: &Current,
        batches: &[(SeqNo, &[u8])],
        synced: u64,
    ) -> Result<()> {
        let total: u64 = batches.iter().map(|(_, batch)| record_len(batch.len())).sum();
        self.scratch.clear();
        self.scratch
            .try_reserve_exact(total as usize)
            .map_err(|_| Error::no_memory(Area::Wal, total as usize))?;
        let mut last = self.last_seq;
        for &(first, batch) in batches {
            let count = count_of(batch).unwrap_or(0);
            assert!(first > last && count > 0, "sequences ascend and empty batches are not logged");
            last = first + u64::from(count) - 1;
            let offset = current.end + self.scratch.len() as u64;
            let (salt, kind) = (current.salt, RecordKind::Batch);
            append_record(&mut self.scratch, salt, offset, kind, first, synced, batch);
        }
        Ok(())
    }

    /// Takes the current log back with `len` more bytes of complete records.
    fn advance(&mut self, mut current: Current, len: u64, synced: u64) {
        current.end = current.end.saturating_add(len);
        current.newest_synced = synced;
        self.newest.len = current.end;
        self.current = Some(current);
    }

    /// Appends a STAMP if more of the log is durable than its newest record says: evidence that what the
    /// last sync covered was covered. Not synced itself.
    pub fn stamp_if_useful(&mut self) -> Result<()> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let synced = self.sync.durable_of(current.number);
        let fits = current.end.saturating_add(RESERVE) <= current.capacity;
        if synced <= current.newest_synced || !fits {
            self.current = Some(current);
            return Ok(());
        }
        let len = self.append_empty(&current, RecordKind::Stamp, synced)?;
        self.advance(current, len, synced);
        self.sync.publish_stamp(self.newest.number, self.newest.len);
        Ok(())
    }

    fn append_empty(&self, current: &Current, kind: RecordKind, synced: u64) -> Result<u64> {
        let mut bytes = Vec::new();
        append_record(&mut bytes, current.salt, current.end, kind, self.last_seq, synced, &[]);
        let written = current.file.write_all_at(&bytes, current.end);
        written.map_err(|error| error.with_file(current.number.0))?;
        Ok(bytes.len() as u64)
    }

    /// Ends the log cleanly: CLOSE, the file cut to its content, everything synced. Returns the log and
    /// its length for the manifest's last edit; `None` when there is no log to close, because this process
    /// has written none or its last one was abandoned (then the next open recovers as after a kill).
    pub fn close(&mut self, last_seq: SeqNo) -> Result<Option<(FileNum, u64)>> {
        self.last_seq = self.last_seq.max(last_seq);
        let Some(current) = self.current.take() else {
            if self.started {
                self.sync.sync(|_| ())?;
            }
            return Ok(None);
        };
        let synced = self.sync.durable_of(current.number);
        let len = self.append_empty(&current, RecordKind::Close, synced)?;
        let end = current.end.saturating_add(len);
        self.newest.len = end;
        self.newest.last_seq = self.last_seq;
        self.sync.publish(current.number, end, self.last_seq);
        if !planted::is(Planted::CloseNotSynced) {
            self.sync.sync(|_| ())?;
        }
        // Behind the sync: a log that is shorter than it was made and has no CLOSE is damaged.
        let cut = current.file.truncate(end).and_then(|()| current.file.sync_data());
        cut.map_err(|error| error.with_file(current.number.0))?;
        Ok(Some((current.number, end)))
    }
}

#[cold]
fn no_current_log() -> Error {
    Error::new(ErrorKind::Io, Area::Wal, "no log takes records: the last append failed")
}
