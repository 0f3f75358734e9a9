//! Reads one log of an earlier process: its header, its LOG START, its records up to the first bad one, and
//! the evidence behind that.
//!
//! Facts only; what they mean for the chain of logs is decided in `recover`.
//!
//! Invariants
//! 1. A record that verifies but could never have been written there (wrong kind, sequence that does not
//!    ascend) is damage, not the end of the log.
//! 2. A scan reads each byte at most twice, whatever the bytes say. `read_anyway` does not promise that: it tries again
//!    behind every place that is no record.

use crate::batch::count_of;
use crate::env::api::{Dir, File};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::record::format::{FILE_HEADER_LEN, FileHeader, FileMagic, RecordKind};
use crate::record::reader::{Evidence, Record, RecordReader, scan_evidence};
use crate::types::{DbId, FileNum, SEQ_MAX, SeqNo};
use crate::wal::format::{LOG_START_END, LogStart};

/// An opened log.
pub(super) struct LogFile {
    pub number: FileNum,
    pub salt: u32,
    pub size: u64,
    /// Size it was made with; 0 where the header does not say.
    made: u64,
    /// Whether stale bytes of a former life may follow the records.
    pub recycled: bool,
    pub start: Option<LogStart>,
    file: File,
}

/// What the records of a log say, up to the first bad offset and behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    /// First offset where no whole valid record begins.
    pub bad: u64,
    /// Sequence that LOG START repeats.
    pub start_seq: SeqNo,
    /// Last sequence of the records before `bad`.
    pub last_seq: SeqNo,
    pub batches: u64,
    /// Largest `synced` before `bad`.
    pub synced_max: u64,
    /// Number of the CLOSE, when that is the last record before `bad`.
    pub close: Option<SeqNo>,
    /// What verifies from `bad` on.
    pub tail: Evidence,
}

pub(super) fn log_name(number: FileNum) -> String {
    FileKind::Log(number).name()
}

/// Damage of log `number` at `offset`.
pub(super) fn damaged(number: FileNum, offset: u64, what: &str) -> Error {
    let message = format!("log {}: {what} at offset {offset}", log_name(number));
    Error::corrupt(Area::Wal, number.0, offset, message)
}

/// Opens a log that must be there and ours (D1).
pub(super) fn open_listed(dir: &Dir, number: FileNum, salt: u32, db_id: &DbId) -> Result<LogFile> {
    let file = match dir.open_read(&log_name(number), Area::Wal) {
        Err(error) if error.kind() == ErrorKind::Missing => {
            return Err(damaged(number, 0, "the manifest lists it but there is no such file"));
        }
        other => other.map_err(|error| error.with_file(number.0))?,
    };
    let header = read_header(&file, number)?;
    if header.db_id != *db_id {
        return Err(damaged(number, 0, "belongs to another database"));
    }
    if header.salt != salt {
        return Err(damaged(number, 0, "is not the file the manifest lists"));
    }
    let size = file.size()?;
    let start = read_start(&file, &header)?;
    let FileHeader { recycled, made, .. } = header;
    Ok(LogFile { number, salt, size, made, recycled, start, file })
}

/// Whether a listed log holds nothing but sound records up to `end`, where one of them ends. Others may append to it.
pub fn check_prefix(dir: &Dir, number: FileNum, salt: u32, db_id: &DbId, end: u64) -> Result<()> {
    let log = open_listed(dir, number, salt, db_id)?;
    let mut scan = Scan::default();
    let mut reader = log.records(end);
    while let Some(record) = reader.next_record()? {
        scan.take(number, &record)?;
    }
    match reader.position() {
        position if position < end => {
            let what = format!("a record is damaged, below {end} where the records end");
            Err(damaged(number, position, &what))
        }
        _ => Ok(()),
    }
}

fn read_header(file: &File, number: FileNum) -> Result<FileHeader> {
    let mut bytes = [0; FILE_HEADER_LEN as usize];
    let read = file.read_at(&mut bytes, 0)?;
    let bytes = bytes.get(..read).unwrap_or(&[]);
    FileHeader::decode(bytes, FileMagic::Log, number, Area::Wal)
}

/// The LOG START, `None` when the log has no valid first record.
fn read_start(file: &File, header: &FileHeader) -> Result<Option<LogStart>> {
    let mut reader = RecordReader::new(file, header.salt, LOG_START_END);
    let Some(record) = reader.next_record()? else { return Ok(None) };
    if record.kind != RecordKind::LogStart {
        return Err(damaged(header.number, record.offset, "the first record is no LOG START"));
    }
    match LogStart::decode(record.payload) {
        Some(start) if start.prev < header.number => Ok(Some(start)),
        _ => Err(damaged(header.number, record.offset, "LOG START makes no sense")),
    }
}

/// Whether a log that no manifest lists ever took a record (D1). Its `log_add` is durable before its first
/// record, so one that has none is a leftover of preparation; its header may not even be whole. A manifest
/// that lost that entry lost every later one too, so no record of the log is older than its `last_seq`;
/// what a recycled file held before is.
pub(super) fn has_records(
    dir: &Dir,
    number: FileNum,
    db_id: &DbId,
    last_seq: SeqNo,
) -> Result<bool> {
    let file = match dir.open_read(&log_name(number), Area::Wal) {
        Err(error) if error.kind() == ErrorKind::Missing => return Ok(false),
        other => other.map_err(|error| error.with_file(number.0))?,
    };
    let mut bytes = [0; FILE_HEADER_LEN as usize];
    let read = file.read_at(&mut bytes, 0)?;
    let bytes = bytes.get(..read).unwrap_or(&[]);
    if !FileHeader::is_whole(bytes, FileMagic::Log) {
        return Ok(false);
    }
    let header = FileHeader::decode(bytes, FileMagic::Log, number, Area::Wal)?;
    if header.db_id != *db_id {
        return Err(damaged(number, 0, "belongs to another database"));
    }
    let size = file.size()?;
    let evidence = scan_evidence(&file, header.salt, FILE_HEADER_LEN, size, last_seq)?;
    Ok(evidence.valid_headers > 0)
}

/// What a log that recovery gives up has from `from` on, however damaged; nothing when it is not there.
pub(super) fn survey(dir: &Dir, number: FileNum, salt: u32, from: u64) -> Result<Evidence> {
    match dir.open_read(&log_name(number), Area::Wal) {
        Err(error) if matches!(error.kind(), ErrorKind::Missing | ErrorKind::Corrupt) => {
            Ok(Evidence::default())
        }
        file => {
            let file = file?;
            scan_evidence(&file, salt, from, file.size()?, 0)
        }
    }
}

/// What was read of a log record by record.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadAnyway {
    pub records: u64,
    /// Damaged places that records follow.
    pub gaps: u64,
}

/// Hands every record of a log that verifies and ends within `limit` to `take`, also those behind damage. Without a
/// `salt` the file header must be whole.
pub fn read_anyway(
    dir: &Dir,
    number: FileNum,
    salt: Option<u32>,
    limit: u64,
    take: &mut dyn FnMut(&Record<'_>) -> Result<()>,
) -> Result<ReadAnyway> {
    let file = dir.open_read(&log_name(number), Area::Wal)?;
    let salt = match salt {
        Some(salt) => salt,
        None => read_header(&file, number)?.salt,
    };
    let (mut read, mut in_gap) = (ReadAnyway::default(), false);
    let mut reader = RecordReader::new(&file, salt, limit);
    loop {
        if let Some(record) = reader.next_record()? {
            read.records = read.records.saturating_add(1);
            read.gaps = read.gaps.saturating_add(u64::from(in_gap));
            in_gap = false;
            take(&record)?;
            continue;
        }
        in_gap = true;
        if !reader.skip()? {
            return Ok(read);
        }
    }
}

impl LogFile {
    /// A reader over the records that may count.
    pub fn records(&self, limit: u64) -> RecordReader<'_> {
        RecordReader::new(&self.file, self.salt, limit)
    }

    /// Only a close makes a log shorter than it was made, once its CLOSE is durable (D15).
    pub fn check_length(&self, scan: &Scan) -> Result<()> {
        let closed = scan.close.is_some() && scan.bad == self.size;
        if self.size >= self.made || closed {
            return Ok(());
        }
        let what = format!("was made with {} bytes and ends without a CLOSE", self.made);
        Err(damaged(self.number, self.size, &what))
    }

    /// Reads the whole log. No record counts that ends beyond `limit`; none is evidence whose sequence is
    /// below `after`, the last one of the logs before (D3).
    pub fn scan(&self, limit: u64, after: SeqNo) -> Result<Scan> {
        let mut scan = Scan::default();
        let mut reader = self.records(limit);
        while let Some(record) = reader.next_record()? {
            scan.take(self.number, &record)?;
        }
        scan.bad = reader.position();
        let last = scan.last_seq.max(after);
        scan.tail = scan_evidence(&self.file, self.salt, scan.bad, self.size, last)?;
        Ok(scan)
    }
}

impl Scan {
    /// Adds a record that verified, in the order of the file.
    fn take(&mut self, number: FileNum, record: &Record<'_>) -> Result<()> {
        let first = record.offset == FILE_HEADER_LEN;
        if first != (record.kind == RecordKind::LogStart) || record.kind == RecordKind::Edit {
            return Err(damaged(number, record.offset, "a record of the wrong kind"));
        }
        if first {
            self.start_seq = record.number;
        }
        self.last_seq = self.next_seq(record).ok_or_else(|| {
            let what = format!("sequence {} does not follow {}", record.number, self.last_seq);
            damaged(number, record.offset, &what)
        })?;
        self.synced_max = self.synced_max.max(record.synced);
        self.close = (record.kind == RecordKind::Close).then_some(record.number);
        if record.kind == RecordKind::Batch {
            self.batches = self.batches.saturating_add(1);
        }
        Ok(())
    }

    /// Last sequence once `record` is taken; `None` when it is out of order (D3).
    fn next_seq(&self, record: &Record<'_>) -> Option<SeqNo> {
        if record.kind != RecordKind::Batch {
            return (record.number >= self.last_seq).then_some(record.number);
        }
        let more = u64::from(count_of(record.payload)?).checked_sub(1)?;
        let last = record.number.checked_add(more)?;
        (record.number > self.last_seq && last <= SEQ_MAX).then_some(last)
    }

    /// Largest sequence any readable record used, counted or not.
    pub fn highest_seq(&self) -> SeqNo {
        self.last_seq.max(self.tail.seq_max)
    }
}
