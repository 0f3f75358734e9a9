//! Targets over record files: logs, manifests, and what they share.

use super::fix;
use super::input::{Input, dir_of, disk, either, u64_at};
use esker::internals::batch::BatchReader;
use esker::internals::env::api::Dir;
use esker::internals::env::path::FileKind;
use esker::internals::error::Area;
use esker::internals::record::format::{
    FileHeader, FileMagic, RECORD_HEADER_LEN, RecordKind, append_record, decode_header,
    payload_matches, record_len,
};
use esker::internals::record::reader::{Evidence, RecordReader, scan_evidence};
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::manifest::{base_image, load};
use esker::internals::version::state::ManifestState;
use esker::internals::wal::format::CloseMark;
use esker::internals::wal::recover::{LogFacts, decide, replay};

/// Bits of the mode of `log`.
pub const FIX: u8 = 1;
pub const CLOSED: u8 = 2;
const DURABLE: u8 = 4;
pub const TWO: u8 = 8;
const UNLISTED: u8 = 16;
const FLUSHED: u8 = 32;
const MORE_KEYSPACES: u8 = 64;

/// The number that the file itself says it has.
pub fn number_of(file: &[u8]) -> FileNum {
    FileNum(u64_at(file, 16))
}

/// The salt that the file itself says it has.
pub fn salt_of(file: &[u8]) -> u32 {
    u64_at(file, 40) as u32
}

/// Mode, torn record, a number for the facts; with `TWO` the length of the first log; the log or logs.
pub fn log(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mode, torn, fact) = (input.u8(), input.u8(), input.u8());
    let first_len = if mode & TWO != 0 { usize::from(input.u16()) } else { usize::MAX };
    let mut logs = vec![input.take(first_len).to_vec()];
    if mode & TWO != 0 {
        logs.push(input.rest().to_vec());
    }
    if mode & FIX != 0 {
        logs = logs.iter().map(|log| fix::records(log, torn, &mut fix::unchanged)).collect();
    }
    logs.sort_by_key(|log| number_of(log));
    logs.dedup_by_key(|log| number_of(log));
    let facts = facts(&logs, mode, fact);
    let name = |log: &Vec<u8>| FileKind::Log(number_of(log)).name();
    let dir = dir_of(&disk(&logs.iter().map(|log| (name(log), log.clone())).collect::<Vec<_>>()));
    decided(&dir, &facts)
}

/// What a manifest would say of these logs.
fn facts(logs: &[Vec<u8>], mode: u8, fact: u8) -> LogFacts {
    let mut facts =
        LogFacts { keyspaces: 1 + u32::from(mode & MORE_KEYSPACES != 0), ..LogFacts::default() };
    let Some((last, before)) = logs.split_last() else { return facts };
    facts.db_id = last.get(24..40).and_then(|id| id.try_into().ok()).unwrap_or_default();
    facts.listed = logs.iter().map(|log| (number_of(log), salt_of(log))).collect();
    if mode & UNLISTED != 0 && !before.is_empty() {
        facts.unlisted = vec![facts.listed.remove(usize::from(fact & 1)).0];
        facts.last_seq = u64::from(fact >> 1);
    }
    if mode & CLOSED != 0 {
        // The CLOSE is the last record, and has no payload.
        let last_seq = u64_at(last, last.len().saturating_sub(8)) >> 8;
        let length = last.len() as u64;
        facts.close = Some(CloseMark { log: number_of(last), length, last_seq });
    }
    if mode & DURABLE != 0 {
        facts.manifest_durable = vec![(number_of(last), u64::from(fact) * 8)];
    }
    if mode & FLUSHED != 0 {
        facts.flushed = vec![(KeyspaceId(0), u64::from(fact))];
    }
    facts
}

fn decided(dir: &Dir, facts: &LogFacts) -> bool {
    let Ok(recovered) = decide(dir, facts) else { return false };
    assert!(recovered.last_seq <= recovered.max_seq, "what counts was read");
    let (mut last, mut ops) = (None, 0u64);
    let replayed = replay(dir, &recovered, facts, &mut |_, seq, bytes| {
        assert!(last < Some(seq), "sequences ascend");
        let mut reader = BatchReader::new(bytes)?;
        let mut next = seq;
        while reader.next_op()?.is_some() {
            (ops, next) = (ops + 1, next + 1);
        }
        last = Some(next - 1);
        Ok(())
    });
    assert!(last.is_none_or(|last| last <= recovered.last_seq), "no sequence was overlooked");
    replayed.is_ok() && ops > 0
}

/// Mode: bit 1 for a manifest, bit 2 for a large record in front; torn record, a place, first number; file header and
/// records. The place brings the records to where a reader's buffers of 256 KiB meet.
pub fn record(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mode, torn, place, number) = (input.u8(), input.u8(), input.u16(), input.u8());
    let mut file = input.rest().to_vec();
    let magic = if mode & 2 == 0 { FileMagic::Log } else { FileMagic::Manifest };
    file.resize(file.len().max(64), 0);
    let (salt, mut spread) = (salt_of(&file), file[..64].to_vec());
    let gap = match place {
        0..0x8000 => usize::from(place % 64) * 8,
        _ => (0x7f00 + usize::from(place % 0x200)) * 8,
    };
    if mode & 4 != 0 && gap >= RECORD_HEADER_LEN {
        let zeros = vec![0; gap - RECORD_HEADER_LEN];
        append_record(&mut spread, salt, 64, RecordKind::Batch, 1, 0, &zeros);
    }
    spread.resize(64 + gap, 0);
    match mode & FIX {
        0 => spread.extend_from_slice(&file[64..]),
        _ => fix::append(&mut spread, &file[64..], salt, torn, &mut fix::unchanged),
    }
    either(FileHeader::decode(&spread, magic, number_of(&file), Area::Wal));
    let kernel = disk(&[("file".to_owned(), spread.clone())]);
    let opened = dir_of(&kernel).open_read("file", Area::Wal).expect("just written");
    let mut reader = RecordReader::new(&opened, salt, spread.len() as u64);
    let mut records = 0;
    while let Some(record) = reader.next_record().expect("a disk without faults") {
        let at = record.offset as usize;
        assert_eq!(record.payload, &spread[at + RECORD_HEADER_LEN..][..record.payload.len()]);
        records += 1;
    }
    let (from, to) = (reader.position(), spread.len() as u64);
    if let Some(header) = decode_header(&spread[from as usize..], salt, from) {
        let end = (from + record_len(header.len as usize)).min(to);
        let padded = &spread[from as usize + RECORD_HEADER_LEN..end as usize];
        let whole = from + record_len(header.len as usize) <= to;
        assert!(!whole || !payload_matches(&header, salt, from, padded), "a record left out");
    }
    let found = scan_evidence(&opened, salt, from, to, u64::from(number)).expect("no faults");
    // A gap that was not read is zeros.
    let seen_from = (from as usize).max(64 + gap);
    assert_eq!(summary(&found), naive(&spread, salt, seen_from, u64::from(number)));
    records > 0 || found.valid_headers > 0
}

/// What of the evidence a simple loop can tell as well.
fn summary(evidence: &Evidence) -> [u64; 5] {
    let Evidence { valid_headers, synced_max, number_max, records_end, content_end, .. } = evidence;
    [*valid_headers, *synced_max, *number_max, *records_end, *content_end]
}

fn naive(file: &[u8], salt: u32, from: usize, number: u64) -> [u64; 5] {
    let (mut valid, mut synced, mut highest, mut end) = (0, 0, 0, 0);
    for at in (from.next_multiple_of(8)..file.len()).step_by(8) {
        let header = decode_header(&file[at..], salt, at as u64);
        let Some(header) = header.filter(|header| header.number >= number) else { continue };
        valid += 1;
        synced = synced.max(header.synced);
        highest = highest.max(header.number);
        end = end.max(at as u64 + record_len(header.len as usize));
    }
    let behind = file.get(from..).unwrap_or_default().iter().rposition(|byte| *byte != 0);
    [valid, synced, highest, end, behind.map_or(0, |last| (from + last + 1) as u64)]
}

/// Mode, torn record, the file.
pub fn manifest(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let (mode, torn) = (input.u8(), input.u8());
    let mut file = input.rest().to_vec();
    if mode & FIX != 0 {
        file = fix::records(&file, torn, &mut fix::unchanged);
    }
    let Some(loaded) = loaded(&file) else { return false };
    // The state is what a base of it says.
    let header =
        FileHeader { number: FileNum(9), db_id: loaded.db_id, salt: 1, recycled: false, made: 0 };
    let (image, last) = base_image(&header, &loaded, 1).unwrap();
    assert!(last > 1);
    assert_eq!(self::loaded(&image).as_ref(), Some(&loaded), "a base says the state again");
    true
}

/// The state that a manifest describes.
fn loaded(file: &[u8]) -> Option<ManifestState> {
    let name = FileKind::Manifest(number_of(file)).name();
    let dir = dir_of(&disk(&[(name.clone(), file.to_vec())]));
    load(&dir, &[name.into_bytes()]).ok().map(|loaded| loaded.expect("it is listed").state)
}

pub fn edit(data: &[u8]) -> bool {
    let Ok(edit) = VersionEdit::decode(data) else { return false };
    assert_eq!(
        VersionEdit::decode(&edit.encode().unwrap()).as_ref().ok(),
        Some(&edit),
        "one meaning"
    );
    let mut state = ManifestState::new([0; 16], 1, 1);
    either(state.apply(&edit));
    either(ManifestState::default().apply(&edit));
    true
}
