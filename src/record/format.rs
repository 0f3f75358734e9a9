//! Bytes of the record layer that logs and manifests share: file header, record header, checksums.
//!
//! Layout: docs/FORMAT.md, section 3. A record is a 24-byte header at an 8-aligned offset, then the payload,
//! zero-padded to 8. Header and payload have a checksum each, both started from a value that only this
//! place in this file has, so that a candidate offset is tested in 20 bytes and a moved block always fails.
//!
//! Invariants
//! 1. `decode_header` accepts nothing that `append_record` would not have written at that offset of a file
//!    with that salt, but for collisions of the checksum.
//! 2. Kind 0 is illegal, so preallocated zeros are never a record.
//! 3. Magic, version, flags and checksum of a file header stay where they are in every later format.

use crate::checksum::{crc32, place};
use crate::coding::{put_u32, put_u64, u32_at, u64_at};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::types::{BATCH_LEN_MAX, DbId, FileNum, SEQ_MAX};

/// Bytes of the header of a log or manifest; the first record begins here.
pub const FILE_HEADER_LEN: u64 = 64;
/// Bytes of a record's header.
pub const RECORD_HEADER_LEN: usize = 24;
/// Format version this build writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Longest payload a reader accepts: the largest batch, and slack for a manifest edit.
pub const PAYLOAD_LEN_MAX: usize = BATCH_LEN_MAX + (1 << 20);

/// A file with this flag must not be read by a program that does not know its other flags.
const FLAG_MUST_UNDERSTAND: u32 = 1 << 31;
/// The file was that of a freed log: bytes behind its records may be of its former life.
const FLAG_RECYCLED: u32 = 1;
const HEADER_CRC_AT: usize = 60;

const _: () = assert!(PAYLOAD_LEN_MAX < 1 << 31);
const _: () = assert!(FILE_HEADER_LEN % 8 == 0 && RECORD_HEADER_LEN % 8 == 0);

/// Which of the two kinds of record files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMagic {
    Log,
    Manifest,
}

impl FileMagic {
    fn bytes(self) -> &'static [u8; 8] {
        match self {
            FileMagic::Log => b"ESKLOG\0\x01",
            FileMagic::Manifest => b"ESKMAN\0\x01",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            FileMagic::Log => "log",
            FileMagic::Manifest => "manifest",
        }
    }
}

/// Identity of a log or manifest, in its first 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    pub number: FileNum,
    pub db_id: DbId,
    /// Fresh and random for every file; part of every checksum in it.
    pub salt: u32,
    /// Bytes behind the records may be those of a former life.
    pub recycled: bool,
    /// Bytes that the file was made with, where that says something: a log is never shorter until it is closed. Else 0.
    pub made: u64,
}

impl FileHeader {
    pub fn encode(&self, magic: FileMagic) -> [u8; FILE_HEADER_LEN as usize] {
        let mut out = [0; FILE_HEADER_LEN as usize];
        out[0..8].copy_from_slice(magic.bytes());
        out[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let flags = if self.recycled { FLAG_RECYCLED } else { 0 };
        out[12..16].copy_from_slice(&flags.to_le_bytes());
        out[16..24].copy_from_slice(&self.number.0.to_le_bytes());
        out[24..40].copy_from_slice(&self.db_id);
        out[40..44].copy_from_slice(&self.salt.to_le_bytes());
        out[44..52].copy_from_slice(&self.made.to_le_bytes());
        let crc = crc32(0, &out[..HEADER_CRC_AT]);
        out[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Whether `bytes` begin with a header that was written completely, whatever it says.
    pub fn is_whole(bytes: &[u8], magic: FileMagic) -> bool {
        let Some(covered) = bytes.get(..HEADER_CRC_AT) else { return false };
        covered.starts_with(magic.bytes())
            && u32_at(bytes, HEADER_CRC_AT) == Some(crc32(0, covered))
    }

    /// Reads the header of file `expected`. `FORMAT` for a newer version or a flag this build must
    /// understand and does not, `CORRUPT` for everything else. The caller compares the database id.
    pub fn decode(
        bytes: &[u8],
        magic: FileMagic,
        expected: FileNum,
        area: Area,
    ) -> Result<FileHeader> {
        let noun = magic.noun();
        let corrupt = |what: &str| {
            Error::corrupt(area, expected.0, 0, format!("{noun} {expected}: {what} at offset 0"))
        };
        if !FileHeader::is_whole(bytes, magic) {
            return Err(corrupt("the file header is damaged"));
        }
        let field = |at| u32_at(bytes, at).ok_or_else(|| corrupt("the file header is short"));
        let (version, flags, salt) = (field(8)?, field(12)?, field(40)?);
        if version == 0 {
            return Err(corrupt("format version 0"));
        }
        if version > FORMAT_VERSION || flags & FLAG_MUST_UNDERSTAND != 0 {
            let message = format!(
                "{noun} {expected}: written by a newer version (format {version}, flags {flags:#x})"
            );
            return Err(Error::new(ErrorKind::Format, area, message)
                .with_file(expected.0)
                .with_value(u64::from(version)));
        }
        let wide = |at| u64_at(bytes, at).ok_or_else(|| corrupt("the file header is short"));
        let (number, made) = (wide(16)?, wide(44)?);
        if number != expected.0 {
            return Err(corrupt(&format!("the file header names number {number}")));
        }
        let db_id = bytes
            .get(24..40)
            .and_then(|id| DbId::try_from(id).ok())
            .ok_or_else(|| corrupt("the file header is short"))?;
        let recycled = flags & FLAG_RECYCLED != 0;
        Ok(FileHeader { number: expected, db_id, salt, recycled, made })
    }
}

/// What a record is. Numbers are on disk for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A batch (log).
    Batch = 1,
    /// First record of every log: names its predecessor.
    LogStart = 2,
    /// No payload: exists for its `synced`.
    Stamp = 3,
    /// Last record of a log after a clean close.
    Close = 4,
    /// A version edit (manifest).
    Edit = 16,
}

impl RecordKind {
    pub fn from_byte(byte: u8) -> Option<RecordKind> {
        match byte {
            1 => Some(RecordKind::Batch),
            2 => Some(RecordKind::LogStart),
            3 => Some(RecordKind::Stamp),
            4 => Some(RecordKind::Close),
            16 => Some(RecordKind::Edit),
            _ => None,
        }
    }
}

/// A verified record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Payload bytes without padding.
    pub len: u32,
    /// Bytes of this file that were durable when the record was encoded.
    pub synced: u64,
    /// Sequence of the first operation (log) or edit number (manifest).
    pub number: u64,
    pub kind: RecordKind,
    /// Checksum of the padded payload.
    pub payload_crc: u32,
}

/// Bytes of payload and padding.
fn padded(payload_len: usize) -> usize {
    payload_len.next_multiple_of(8)
}

/// Bytes a record of `payload_len` takes in the file.
pub fn record_len(payload_len: usize) -> u64 {
    (RECORD_HEADER_LEN + padded(payload_len)) as u64
}

/// Appends one record as it stands at `offset` of a file with `salt`. `out` must have room where the
/// caller cannot afford to fail: [`record_len`] bytes.
pub fn append_record(
    out: &mut Vec<u8>,
    salt: u32,
    offset: u64,
    kind: RecordKind,
    number: u64,
    synced: u64,
    payload: &[u8],
) {
    assert!(offset % 8 == 0 && synced % 8 == 0 && synced <= offset, "records are 8-aligned");
    assert!(payload.len() <= PAYLOAD_LEN_MAX && number <= SEQ_MAX, "record within its limits");
    let initial = place(salt, offset);
    let start = out.len();
    let synced_units = u32::try_from(synced / 8).expect("files are far below 32 GiB");
    put_u32(out, 0);
    put_u32(out, 0);
    put_u32(out, payload.len() as u32);
    put_u32(out, synced_units);
    put_u64(out, (number << 8) | kind as u64);
    out.extend_from_slice(payload);
    out.resize(start + RECORD_HEADER_LEN + padded(payload.len()), 0);
    let payload_crc = crc32(initial, &out[start + RECORD_HEADER_LEN..]);
    out[start + 4..start + 8].copy_from_slice(&payload_crc.to_le_bytes());
    let header_crc = crc32(initial, &out[start + 4..start + RECORD_HEADER_LEN]);
    out[start..start + 4].copy_from_slice(&header_crc.to_le_bytes());
}

/// Reads the record header at `offset` of a file with `salt`; `None` when there is none. The cheap tests
/// come first: most bytes that are asked about are zeros or payload.
pub fn decode_header(bytes: &[u8], salt: u32, offset: u64) -> Option<RecordHeader> {
    let bytes = bytes.get(..RECORD_HEADER_LEN)?;
    let word = u64_at(bytes, 16)?;
    let kind = RecordKind::from_byte(word as u8)?;
    let len = u32_at(bytes, 8)?;
    let synced = u64::from(u32_at(bytes, 12)?).checked_mul(8)?;
    if len as usize > PAYLOAD_LEN_MAX || synced > offset {
        return None;
    }
    if u32_at(bytes, 0)? != crc32(place(salt, offset), bytes.get(4..)?) {
        return None;
    }
    Some(RecordHeader { len, synced, number: word >> 8, kind, payload_crc: u32_at(bytes, 4)? })
}

/// Whether `padded_payload`, the bytes behind a header at `offset`, are the ones it was written with.
pub fn payload_matches(
    header: &RecordHeader,
    salt: u32,
    offset: u64,
    padded_payload: &[u8],
) -> bool {
    crc32(place(salt, offset), padded_payload) == header.payload_crc
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FileHeader = FileHeader {
        number: FileNum(7),
        db_id: [9; 16],
        salt: 0x1234_5678,
        recycled: true,
        made: 1 << 40,
    };

    #[test]
    fn file_header_round_trips_and_every_flipped_bit_is_refused() {
        let bytes = HEADER.encode(FileMagic::Log);
        let decode = |bytes: &[u8]| {
            FileHeader::decode(bytes, FileMagic::Log, FileNum(7), Area::Wal)
                .map_err(|error| error.kind())
        };
        assert_eq!(decode(&bytes), Ok(HEADER));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), Err(ErrorKind::Corrupt), "bit {bit}");
        }
        assert_eq!(decode(&bytes[..63]), Err(ErrorKind::Corrupt));
    }

    #[test]
    fn file_header_of_another_file_or_a_newer_version_is_told_apart() {
        let bytes = HEADER.encode(FileMagic::Log);
        let kind = |bytes: &[u8], magic, number| {
            FileHeader::decode(bytes, magic, FileNum(number), Area::Wal)
                .expect_err("must be refused")
                .kind()
        };
        assert_eq!(kind(&bytes, FileMagic::Log, 8), ErrorKind::Corrupt);
        assert_eq!(kind(&bytes, FileMagic::Manifest, 7), ErrorKind::Corrupt);
        for (at, value) in [(8, 2), (15, 0x80)] {
            let mut newer = bytes;
            newer[at] = value;
            let crc = crc32(0, &newer[..60]);
            newer[60..].copy_from_slice(&crc.to_le_bytes());
            assert_eq!(kind(&newer, FileMagic::Log, 7), ErrorKind::Format);
        }
    }

    #[test]
    fn record_header_is_bound_to_its_place() {
        let mut out = Vec::new();
        append_record(&mut out, 5, 64, RecordKind::Stamp, 3, 64, &[]);
        assert_eq!(out.len() as u64, record_len(0));
        let header = decode_header(&out, 5, 64).expect("as written");
        assert_eq!((header.len, header.synced, header.number), (0, 64, 3));
        assert!(payload_matches(&header, 5, 64, &[]));
        assert_eq!(decode_header(&out, 6, 64), None);
        assert_eq!(decode_header(&out, 5, 72), None);
        assert_eq!(decode_header(&[0; 24], 5, 64), None);
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed_padding_included() {
        let mut out = Vec::new();
        append_record(&mut out, 5, 128, RecordKind::Batch, 3, 64, b"payload+1");
        for bit in 0..out.len() * 8 {
            let mut damaged = out.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let whole = decode_header(&damaged, 5, 128)
                .is_some_and(|h| payload_matches(&h, 5, 128, &damaged[RECORD_HEADER_LEN..]));
            assert!(!whole, "bit {bit}");
        }
    }
}
