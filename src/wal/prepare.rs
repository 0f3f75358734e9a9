//! Prepares logs: a file of its full size with a durable header, made anew or out of a freed log's file.
//!
//! Rules D1 and D2 of docs/DURABILITY.md. A freed log's file has its blocks already, so that syncs of the new
//! log write data only. It gets its new header under its old name, durable, and then its new name: a crash
//! in between shows a freed log, which nobody reads, or a log of the number in its name without a record.
//! The bytes behind the header are those of its former life until records replace them. They never count:
//! the salt is another one, and their sequence numbers are too small (D3).
//!
//! Invariants
//! 1. A file bears the name of a log only once its header is that log's, but for one just created.
//! 2. Nobody may need the records of a log that is recycled: its floor is durable.

use crate::env::api::{Dir, File, Fs};
use crate::env::call::FileType;
use crate::env::path::FileKind;
use crate::error::{Area, Error, Result};
use crate::record::format::{FileHeader, FileMagic};
use crate::types::{DbId, FileNum};
use crate::wal::format::LOG_START_END;

/// Room for a STAMP and a CLOSE.
pub(super) const RESERVE: u64 = 48;
/// Allocations are whole pages.
const ALLOCATION_UNIT: u64 = 4096;

/// A log whose header is durable and whose manifest entry the caller makes durable before `start`.
pub struct NewLog {
    pub number: FileNum,
    pub salt: u32,
    /// Whether its file was that of a freed log.
    pub recycled: bool,
    pub(super) file: File,
    pub(super) capacity: u64,
}

impl NewLog {
    /// Whether records of `bytes` (a sum of `record_len`) fit.
    pub fn fits(&self, bytes: u64) -> bool {
        bytes.saturating_add(LOG_START_END).saturating_add(RESERVE) <= self.capacity
    }
}

/// Size of a log with room for records of `payload_bytes`.
fn capacity_for(payload_bytes: u64) -> Result<u64> {
    payload_bytes
        .saturating_add(LOG_START_END)
        .saturating_add(RESERVE)
        .checked_next_multiple_of(ALLOCATION_UNIT)
        .ok_or_else(|| Error::invalid(Area::Wal, "log size is out of range"))
}

fn log_name(number: FileNum) -> String {
    FileKind::Log(number).name()
}

/// Makes log `number` with room for records of `payload_bytes` (a sum of `record_len`): creates and
/// allocates the file, writes and syncs the header, syncs the directory. A full disk shows up here, not
/// in an append. On an error the file is removed again, or is a leftover for the next open.
pub fn prepare(
    fs: &Fs,
    dir: &Dir,
    number: FileNum,
    db_id: DbId,
    payload_bytes: u64,
) -> Result<NewLog> {
    let capacity = capacity_for(payload_bytes)?;
    let name = log_name(number);
    let failed = dir.failed_syncs();
    let file = dir.create(&name, Area::Wal)?;
    let header = FileHeader { number, db_id, salt: new_salt(fs), recycled: false, made: capacity };
    match write_header(&file, &header, capacity).and_then(|()| dir.sync_since(failed)) {
        Ok(()) => Ok(NewLog { number, salt: header.salt, recycled: false, file, capacity }),
        Err(error) => match dir.unlink(&name) {
            // The first error is the news; an unlisted log without records is removed at the next open.
            Ok(()) | Err(_) => Err(error.with_file(number.0)),
        },
    }
}

/// Whether the file of the freed log `old` can become a log with room for `payload_bytes`. Only one of
/// exactly the size wanted can: a shorter one was closed or made with other options, a longer one would
/// occupy the disk for ever. Nor can one with a second name: it may be somebody's copy.
pub fn can_recycle(dir: &Dir, old: FileNum, payload_bytes: u64) -> Result<bool> {
    let capacity = capacity_for(payload_bytes)?;
    let suits = |stat: crate::env::call::Stat| {
        stat.kind == FileType::Regular && stat.links == 1 && stat.size == capacity
    };
    Ok(dir.stat(&log_name(old))?.is_some_and(suits))
}

/// Makes log `number` as `prepare` does, out of the file of the freed log `old`. On an error the file may
/// have either name and is a leftover under both.
pub fn recycle(
    fs: &Fs,
    dir: &Dir,
    old: FileNum,
    number: FileNum,
    db_id: DbId,
    payload_bytes: u64,
) -> Result<NewLog> {
    let capacity = capacity_for(payload_bytes)?;
    let old_name = log_name(old);
    let failed = dir.failed_syncs();
    let file = dir.open_write(&old_name, Area::Wal)?;
    let header = FileHeader { number, db_id, salt: new_salt(fs), recycled: true, made: capacity };
    write_header(&file, &header, capacity)
        .and_then(|()| dir.rename(&old_name, &log_name(number)))
        .and_then(|()| dir.sync_since(failed))
        .map_err(|error| error.with_file(number.0))?;
    Ok(NewLog { number, salt: header.salt, recycled: true, file, capacity })
}

/// The low half of a random number: a salt has 32 bits.
fn new_salt(fs: &Fs) -> u32 {
    fs.random_u64() as u32
}

fn write_header(file: &File, header: &FileHeader, capacity: u64) -> Result<()> {
    file.allocate(capacity)?;
    file.write_all_at(&header.encode(FileMagic::Log), 0)?;
    file.sync_data()
}
