//! Reads record files: record after record up to the first bad one, and the evidence behind it.
//!
//! `RecordReader` streams a file through one buffer. `scan_evidence` looks at every 8-aligned offset behind
//! the first bad record for headers that verify; payloads are not read, so it is linear whatever the bytes
//! say (docs/FORMAT.md, section 3, and rule D8 of docs/DURABILITY.md).
//!
//! Invariants
//! 1. The reader stops at the first offset where no whole, verified record begins; only `skip` makes it go on.
//! 2. Memory is one chunk, or one record that really fits in the file; allocation is fallible.
//! 3. An I/O error is an error, never an end.

use crate::buffer::reserve;
use crate::env::api::File;
use crate::error::{Area, Error, Result};
use crate::record::format::{
    FILE_HEADER_LEN, RECORD_HEADER_LEN, RecordKind, decode_header, payload_matches, record_len,
};
use crate::types::SEQ_MAX;

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Shortest encoding of one operation in a batch: kind, keyspace, key length.
const OP_LEN_MIN: u64 = 3;

/// A record that verified.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub offset: u64,
    pub kind: RecordKind,
    pub number: u64,
    /// Bytes of the file that were durable when the record was encoded.
    pub synced: u64,
    pub payload: &'a [u8],
}

/// Streams the records of one file.
pub struct RecordReader<'f> {
    file: &'f File,
    salt: u32,
    limit: u64,
    /// Smaller of `limit` and the file's size, once known.
    end: Option<u64>,
    position: u64,
    /// Bytes of the file from `buf_offset` on.
    buf: Vec<u8>,
    buf_offset: u64,
}

impl<'f> RecordReader<'f> {
    /// Reads from the end of the file header. No record may end beyond `limit`.
    pub fn new(file: &'f File, salt: u32, limit: u64) -> RecordReader<'f> {
        let position = FILE_HEADER_LEN;
        RecordReader {
            file,
            salt,
            limit,
            end: None,
            position,
            buf: Vec::new(),
            buf_offset: position,
        }
    }

    /// Where the next record begins, or after `None` the first offset where none does.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The next record, or `None` at the first offset where no whole valid record begins.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>> {
        let (offset, salt) = (self.position, self.salt);
        let Some(bytes) = self.window(RECORD_HEADER_LEN)? else { return Ok(None) };
        let Some(header) = decode_header(bytes, salt, offset) else { return Ok(None) };
        let total = record_len(header.len as usize);
        let Ok(total_len) = usize::try_from(total) else { return Ok(None) };
        let Some(bytes) = self.window(total_len)? else { return Ok(None) };
        let padded = bytes.get(RECORD_HEADER_LEN..).unwrap_or(&[]);
        if !payload_matches(&header, salt, offset, padded) {
            return Ok(None);
        }
        self.position = offset.saturating_add(total);
        let payload = self
            .buffered(offset, total_len)
            .and_then(|bytes| bytes.get(RECORD_HEADER_LEN..)?.get(..header.len as usize));
        Ok(payload.map(|payload| Record {
            offset,
            kind: header.kind,
            number: header.number,
            synced: header.synced,
            payload,
        }))
    }

    /// Passes over eight bytes where no record begins; false when none can begin any more.
    pub fn skip(&mut self) -> Result<bool> {
        self.position = self.position.saturating_add(8);
        Ok(self.position.saturating_add(RECORD_HEADER_LEN as u64) <= self.end()?)
    }

    fn end(&mut self) -> Result<u64> {
        if let Some(end) = self.end {
            return Ok(end);
        }
        let end = self.file.size()?.min(self.limit);
        self.end = Some(end);
        Ok(end)
    }

    /// The bytes `offset..offset + len` if the buffer holds them.
    fn buffered(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.buf_offset)?).ok()?;
        self.buf.get(start..start.checked_add(len)?)
    }

    /// `len` bytes from the position; `None` when the file or the limit ends before that.
    fn window(&mut self, len: usize) -> Result<Option<&[u8]>> {
        let left = self.end()?.saturating_sub(self.position);
        if left < len as u64 {
            return Ok(None);
        }
        if self.buffered(self.position, len).is_none() {
            self.fill(len.max(CHUNK).min(usize::try_from(left).unwrap_or(len)))?;
        }
        Ok(self.buffered(self.position, len))
    }

    /// Makes the buffer begin at the position and hold `len` bytes, or fewer where the file shrank.
    fn fill(&mut self, len: usize) -> Result<()> {
        let consumed = usize::try_from(self.position.saturating_sub(self.buf_offset));
        let consumed = consumed.unwrap_or(usize::MAX).min(self.buf.len());
        self.buf.drain(..consumed);
        self.buf_offset = self.position;
        let held = self.buf.len();
        let missing = len.saturating_sub(held);
        self.buf.try_reserve_exact(missing).map_err(|_| Error::no_memory(Area::Wal, missing))?;
        self.buf.resize(held.saturating_add(missing), 0);
        let at = self.position.saturating_add(held as u64);
        let into = self.buf.get_mut(held..).unwrap_or_default();
        let read = self.file.read_at(into, at)?;
        self.buf.truncate(held.saturating_add(read));
        Ok(())
    }
}

/// What the bytes behind the first bad record prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Largest `synced` of a header that verifies.
    pub synced_max: u64,
    /// Largest number of a header that verifies.
    pub number_max: u64,
    /// Upper bound of the sequences those records used; payloads are not read, so their operations are
    /// counted as if each were as short as one can be.
    pub seq_max: u64,
    pub valid_headers: u64,
    /// Where the farthest of those records would end; 0 when there is none. A header may lie about it.
    pub records_end: u64,
    /// Behind the last byte that is not zero; 0 when there is none.
    pub content_end: u64,
}

impl Evidence {
    fn note(&mut self, bytes: &[u8], salt: u32, offset: u64, last_number: u64) {
        let Some(header) = decode_header(bytes, salt, offset) else { return };
        if header.number < last_number {
            return;
        }
        self.valid_headers = self.valid_headers.saturating_add(1);
        self.synced_max = self.synced_max.max(header.synced);
        self.number_max = self.number_max.max(header.number);
        let end = offset.saturating_add(record_len(header.len as usize));
        self.records_end = self.records_end.max(end);
        let ops = match header.kind {
            RecordKind::Batch => u64::from(header.len) / OP_LEN_MIN,
            _ => 0,
        };
        let last = header.number.saturating_add(ops.saturating_sub(1));
        self.seq_max = self.seq_max.max(last.min(SEQ_MAX));
    }
}

/// Granule of the test for zeros.
const PAGE: usize = 4096;

/// Whether `bytes` hold only zeros in the page at `at` and in what a header in it could reach into.
fn page_is_zero(bytes: &[u8], at: usize) -> bool {
    let end = at.saturating_add(PAGE + RECORD_HEADER_LEN);
    bytes.get(at..end).is_some_and(|page| page.iter().all(|&byte| byte == 0))
}

/// Looks at every 8-aligned offset in `from..to` for a record header that verifies, with a number not
/// below `last_number`. Linear, headers only, fast over zeros.
pub fn scan_evidence(
    file: &File,
    salt: u32,
    from: u64,
    to: u64,
    last_number: u64,
) -> Result<Evidence> {
    let mut evidence = Evidence::default();
    let mut chunk = Vec::new();
    reserve(&mut chunk, CHUNK + RECORD_HEADER_LEN, Area::Wal)?;
    chunk.resize(CHUNK + RECORD_HEADER_LEN, 0);
    let mut base = from.next_multiple_of(8);
    while base < to {
        let want = to.saturating_sub(base).min(chunk.len() as u64) as usize;
        let read = file.read_at(chunk.get_mut(..want).unwrap_or_default(), base)?;
        let bytes = chunk.get(..read).unwrap_or(&[]);
        scan_chunk(bytes, salt, base, last_number, &mut evidence);
        if read < want {
            break;
        }
        base = base.saturating_add(CHUNK as u64);
    }
    Ok(evidence)
}

fn scan_chunk(bytes: &[u8], salt: u32, base: u64, last_number: u64, evidence: &mut Evidence) {
    let mut at = 0;
    while at < bytes.len().min(CHUNK) {
        if at % PAGE == 0 && page_is_zero(bytes, at) {
            at = at.saturating_add(PAGE);
            continue;
        }
        let offset = base.saturating_add(at as u64);
        let rest = bytes.get(at..).unwrap_or(&[]);
        let word = rest.get(..8).unwrap_or(rest);
        if let Some(last) = word.iter().rposition(|&byte| byte != 0) {
            evidence.content_end = offset.saturating_add(last as u64).saturating_add(1);
        }
        evidence.note(rest, salt, offset, last_number);
        at = at.saturating_add(8);
    }
}
