//! The manifest file: a base that describes the whole database, then one record per edit.
//!
//! Layout: docs/FORMAT.md, sections 3 and 5. A manifest appears under its name only when its base is
//! durable (`.tmp`, sync, rename, directory sync), so the highest number in a directory is the truth and
//! an older one is never looked at. Zeros end the content, so the file may be allocated ahead of it: a
//! full disk still has room for the edits that make space.
//!
//! Invariants
//! 1. The base verifies whole; after it edits are numbered without gap, also across manifests.
//! 2. A bad record below the durable offset that any readable record proves is damage (CORRUPT); beyond
//!    it is a torn tail, dropped and counted.
//! 3. A writer whose append or sync failed is never used again.
//! 4. A manifest is written by the process that made it and by no other.

use crate::buffer::reserve;
use crate::env::api::{Dir, File, Fs};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::planted::{self, Planted};
use crate::record::format::{
    FILE_HEADER_LEN, FileHeader, FileMagic, PAYLOAD_LEN_MAX, RECORD_HEADER_LEN, RecordKind,
    append_record, record_len,
};
use crate::record::reader::{Record, RecordReader, scan_evidence};
use crate::types::FileNum;
use crate::version::edit::VersionEdit;
use crate::version::state::ManifestState;

/// Room kept allocated behind the last record. A database that was never written stays below 64 KiB of disk.
const RESERVE: u64 = 48 << 10;
/// No database lives to see this many edits; a larger number in a file is damage.
const EDIT_NUMBER_MAX: u64 = 1 << 48;

/// What the manifest of a directory says.
pub struct Loaded {
    pub number: FileNum,
    pub state: ManifestState,
    /// Number of the last edit.
    pub edit_number: u64,
    /// Where the records that count end.
    pub end: u64,
    /// Bytes of a torn tail that were left out.
    pub dropped_bytes: u64,
    /// Older manifests and unfinished ones; nobody needs them once a newer manifest is durable.
    pub leftovers: Vec<FileKind>,
}

/// Reads the manifest with the highest number among `names`, the directory's listing; `None` when the
/// directory holds no database. `CORRUPT` when that manifest is damaged, or when there are logs or
/// tables without one; `FORMAT` when a newer version wrote it.
pub fn load(dir: &Dir, names: &[Vec<u8>]) -> Result<Option<Loaded>> {
    let kinds: Vec<FileKind> = names.iter().filter_map(|name| FileKind::parse(name)).collect();
    let manifests = kinds.iter().filter_map(|kind| match kind {
        FileKind::Manifest(number) => Some(*number),
        _ => None,
    });
    let Some(number) = manifests.max() else {
        let orphan = kinds.iter().find(|k| matches!(k, FileKind::Log(_) | FileKind::Table(_)));
        return match orphan {
            None => Ok(None),
            Some(orphan) => {
                let message = format!("{} holds {} but no manifest", dir.path(), orphan.name());
                Err(Error::corrupt(Area::Manifest, orphan.number().0, 0, message))
            }
        };
    };
    let file = dir.open_read(&FileKind::Manifest(number).name(), Area::Manifest)?;
    let mut loaded = read_manifest(&file, number)?;
    loaded.leftovers = kinds
        .into_iter()
        .filter(|kind| match kind {
            FileKind::Manifest(other) => *other != number,
            FileKind::ManifestTemp(_) => true,
            _ => false,
        })
        .collect();
    Ok(Some(loaded))
}

/// Puts file and offset on an error about the record at `offset`.
fn located(error: Error, number: FileNum, offset: u64) -> Error {
    let what = format!("{} at byte {offset}", FileKind::Manifest(number).name());
    error.context(&what).with_file(number.0).with_offset(offset)
}

fn damaged(number: FileNum, offset: u64, what: &str) -> Error {
    located(Error::new(ErrorKind::Corrupt, Area::Manifest, what), number, offset)
}

/// What the records read so far amount to.
#[derive(Default)]
struct Progress {
    state: ManifestState,
    edit_number: u64,
    /// Bytes of the file that were surely durable once.
    durable: u64,
}

impl Progress {
    fn take(&mut self, header: &FileHeader, record: &Record<'_>, end: u64) -> Result<()> {
        let bad = |what: &str| damaged(header.number, record.offset, what);
        let first = self.edit_number == 0;
        self.durable = self.durable.max(record.synced);
        match record.kind {
            RecordKind::Stamp if record.number == self.edit_number && !first => return Ok(()),
            RecordKind::Edit if !(1..EDIT_NUMBER_MAX).contains(&record.number) => {
                return Err(bad("an edit number out of range"));
            }
            RecordKind::Edit if first || self.edit_number.checked_add(1) == Some(record.number) => {
            }
            RecordKind::Edit => {
                let what = format!("edit {} follows edit {}", record.number, self.edit_number);
                return Err(bad(&what));
            }
            _ => return Err(bad("a record that does not belong here")),
        }
        let was_complete = self.state.is_complete();
        VersionEdit::decode(record.payload)
            .and_then(|edit| self.state.apply(&edit))
            .map_err(|error| located(error, header.number, record.offset))?;
        if self.state.db_id != header.db_id {
            return Err(bad("the file header names another database"));
        }
        self.edit_number = record.number;
        if !was_complete && self.state.is_complete() {
            self.durable = self.durable.max(end);
        }
        Ok(())
    }
}

fn read_manifest(file: &File, number: FileNum) -> Result<Loaded> {
    let mut header = [0; FILE_HEADER_LEN as usize];
    let read = file.read_at(&mut header, 0)?;
    let header = header.get(..read).unwrap_or(&[]);
    let header = FileHeader::decode(header, FileMagic::Manifest, number, Area::Manifest)?;
    let size = file.size()?;
    let mut progress = Progress::default();
    let mut reader = RecordReader::new(file, header.salt, size);
    while let Some(record) = reader.next_record()? {
        let end = record_end(&record);
        progress.take(&header, &record, end)?;
    }
    let bad_at = reader.position();
    if !progress.state.is_complete() {
        return Err(damaged(number, bad_at, "the base is damaged"));
    }
    let evidence = scan_evidence(file, header.salt, bad_at, size, progress.edit_number)?;
    let durable = progress.durable.max(evidence.synced_max);
    if bad_at < durable {
        let what = format!("a damaged record; the file was durable up to byte {durable}");
        return Err(damaged(number, bad_at, &what).with_value(durable));
    }
    Ok(Loaded {
        number,
        state: progress.state,
        edit_number: progress.edit_number,
        end: bad_at,
        dropped_bytes: evidence.content_end.saturating_sub(bad_at),
        leftovers: Vec::new(),
    })
}

fn record_end(record: &Record<'_>) -> u64 {
    record.offset.saturating_add(record_len(record.payload.len()))
}

/// The bytes of a manifest that holds nothing but the base of `state`, and the number of its last edit.
/// The first edit follows `edit_number`.
pub fn base_image(
    header: &FileHeader,
    state: &ManifestState,
    edit_number: u64,
) -> Result<(Vec<u8>, u64)> {
    let mut image = header.encode(FileMagic::Manifest).to_vec();
    let mut last = edit_number;
    for edit in state.to_base() {
        last += 1;
        let offset = image.len() as u64;
        let payload = edit.encode()?;
        reserve(&mut image, record_len(payload.len()) as usize, Area::Manifest)?;
        append_record(&mut image, header.salt, offset, RecordKind::Edit, last, 0, &payload);
    }
    Ok((image, last))
}

/// Why a manifest could not be made.
pub struct CreateError {
    pub error: Error,
    /// The failure came at or after the rename: the new manifest may or may not be found after a crash.
    pub renamed: bool,
}

/// The end of a manifest that this process made.
pub struct ManifestWriter {
    file: File,
    number: FileNum,
    salt: u32,
    edit_number: u64,
    /// Where the next record begins.
    end: u64,
    /// Bytes that are durable.
    durable: u64,
    /// Size of the file.
    allocated: u64,
    base_len: u64,
    /// No append or sync has failed.
    sound: bool,
}

impl ManifestWriter {
    /// Makes `MANIFEST-number` with `state` as its base, durable and visible under its name.
    pub fn create(
        fs: &Fs,
        dir: &Dir,
        number: FileNum,
        state: &ManifestState,
        edit_number: u64,
    ) -> std::result::Result<ManifestWriter, CreateError> {
        let (temp, name) =
            (FileKind::ManifestTemp(number).name(), FileKind::Manifest(number).name());
        let salt = fs.random_u64() as u32;
        let header = FileHeader { number, db_id: state.db_id, salt, recycled: false, made: 0 };
        let failed = dir.failed_syncs();
        let writer = match ManifestWriter::write_base(dir, &temp, header, state, edit_number) {
            Ok(writer) => writer,
            Err(error) => {
                // A leftover is harmless; the error that counts is the first.
                dir.unlink(&temp).unwrap_or(());
                return Err(CreateError { error, renamed: false });
            }
        };
        match dir.rename(&temp, &name).and_then(|()| dir.sync_since(failed)) {
            Ok(()) => Ok(writer),
            Err(error) => Err(CreateError { error, renamed: true }),
        }
    }

    fn write_base(
        dir: &Dir,
        temp: &str,
        header: FileHeader,
        state: &ManifestState,
        edit_number: u64,
    ) -> Result<ManifestWriter> {
        // A creation that was cut short has left its file under the same name.
        dir.unlink(temp)?;
        let (image, last) = base_image(&header, state, edit_number)?;
        let file = dir.create(temp, Area::Manifest)?;
        let base_len = image.len() as u64;
        let mut writer = ManifestWriter {
            file,
            number: header.number,
            salt: header.salt,
            edit_number: last,
            end: base_len,
            durable: base_len,
            allocated: 0,
            base_len,
            sound: true,
        };
        writer.reserve(0);
        writer.file.write_all_at(&image, 0)?;
        writer.file.sync_data()?;
        Ok(writer)
    }

    pub fn number(&self) -> FileNum {
        self.number
    }

    /// Bytes of content.
    pub fn size(&self) -> u64 {
        self.end
    }

    /// Bytes of header and base.
    pub fn base_size(&self) -> u64 {
        self.base_len
    }

    /// Number of the last edit.
    pub fn edit_number(&self) -> u64 {
        self.edit_number
    }

    /// Whether edits may still be appended.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Allocates ahead of the next `len` bytes. Where that fails the write itself will say so.
    fn reserve(&mut self, len: u64) {
        let needed = self.end.saturating_add(len);
        if self.allocated < needed.saturating_add(RESERVE / 2) {
            let size = needed.saturating_add(RESERVE);
            if self.file.allocate(size).is_ok() {
                self.allocated = size;
            }
        }
    }

    /// Appends an edit and makes it durable. After an error of the disk the file may or may not hold the edit, and
    /// the writer is not sound any more; without memory for the edit, or with one too large, nothing has happened.
    pub fn append(&mut self, edit: &VersionEdit) -> Result<()> {
        assert!(self.sound, "a manifest is abandoned after its first failure");
        let payload = edit.encode()?;
        if payload.len() > PAYLOAD_LEN_MAX {
            let message = format!("a manifest edit of {} bytes is too large", payload.len());
            return Err(Error::new(ErrorKind::Limit, Area::Manifest, message));
        }
        let number = self.edit_number + 1;
        let mut record = Vec::new();
        reserve(&mut record, record_len(payload.len()) as usize, Area::Manifest)?;
        append_record(
            &mut record,
            self.salt,
            self.end,
            RecordKind::Edit,
            number,
            self.durable,
            &payload,
        );
        let len = record.len() as u64;
        self.sound = false;
        self.reserve(len);
        self.file.write_all_at(&record, self.end)?;
        if !planted::is(Planted::EditNotSynced) {
            self.file.sync_data()?;
        }
        self.end += len;
        self.durable = self.end;
        self.edit_number = number;
        self.sound = self.stamp().is_ok();
        Ok(())
    }

    /// Writes, unsynced, that the last edit is durable: damage to it is then told from a torn tail.
    fn stamp(&mut self) -> Result<()> {
        let mut record = Vec::with_capacity(RECORD_HEADER_LEN);
        append_record(
            &mut record,
            self.salt,
            self.end,
            RecordKind::Stamp,
            self.edit_number,
            self.durable,
            &[],
        );
        self.file.write_all_at(&record, self.end)?;
        self.end += record.len() as u64;
        Ok(())
    }
}
