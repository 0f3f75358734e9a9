//! Makes the checksums of damaged files right, so that what is behind them is reached.
//!
//! Lengths and places are taken from the bytes as they are: where they point outside, that part stays unfixed.

use super::input::{put_at, u16_at, u32_at, u64_at};
use esker::internals::block::format::{BLOCK_TRAILER_LEN, prefix_of};
use esker::internals::checksum::{crc32, place};
use esker::internals::coding::Decoder;
use esker::internals::order::Order;
use esker::internals::table::meta::TableMeta;
use esker::internals::table::properties::TableProperties;
use esker::internals::types::FileNum;
use esker::internals::version::edit::VersionEdit;

const HEADER: usize = 24;
const FIRST_RECORD: usize = 64;
const FOOTER: usize = 128;
/// The kind of a manifest's records.
pub const EDIT: u8 = 16;

/// What a record's payload becomes; `None` leaves it.
pub type Change<'a> = &'a mut dyn FnMut(u8, &[u8]) -> Option<Vec<u8>>;

/// A record file with right checksums, and payloads changed as `change` says. Record `torn`, from 1, keeps a wrong
/// checksum of its payload, and with the high bit of its header too: so files have tears.
pub fn records(bytes: &[u8], torn: u8, change: Change<'_>) -> Vec<u8> {
    let mut out = bytes.get(..FIRST_RECORD).unwrap_or(bytes).to_vec();
    if out.len() < FIRST_RECORD {
        return out;
    }
    let crc = crc32(0, &out[..60]);
    put_at(&mut out, 60, &crc.to_le_bytes());
    let salt = u32_at(&out, 40);
    append(&mut out, &bytes[FIRST_RECORD..], salt, torn, change);
    out
}

/// Has the header of a log say nothing of the file's length, which may then be any.
pub fn any_length(log: &mut [u8]) {
    log[44..52].fill(0);
    let crc = crc32(0, &log[..60]);
    log[60..64].copy_from_slice(&crc.to_le_bytes());
}

/// Appends the records of `bytes` to `out`, which is a file with `salt` up to here.
pub fn append(out: &mut Vec<u8>, bytes: &[u8], salt: u32, torn: u8, change: Change<'_>) {
    let (mut at, mut number) = (0, 0u32);
    while let Some(head) = bytes.get(at..at + HEADER) {
        if head.iter().all(|byte| *byte == 0) {
            out.extend_from_slice(&head[..8]);
            at += 8;
            continue;
        }
        number += 1;
        let spoiled = number == u32::from(torn & 0x7f);
        let (start, len) = (out.len(), u32_at(head, 8) as usize);
        let end = at + HEADER + len.next_multiple_of(8);
        match bytes.get(at + HEADER..end) {
            Some(padded) => {
                let other = change(head[16], &padded[..len]);
                record(out, head, Some((padded, other)), salt, spoiled);
                at = end;
            }
            None => {
                // It promises more than there is: only its header can be right.
                record(out, head, None, salt, false);
                at += HEADER;
            }
        }
        if spoiled && torn & 0x80 != 0 {
            out[start] ^= 1;
        }
    }
    out.extend_from_slice(&bytes[at..]);
}

/// Padded payload, and the payload it becomes.
type Payload<'a> = Option<(&'a [u8], Option<Vec<u8>>)>;

fn record(out: &mut Vec<u8>, head: &[u8], payload: Payload<'_>, salt: u32, torn: bool) {
    let (start, initial) = (out.len(), place(salt, out.len() as u64));
    out.extend_from_slice(head);
    match payload {
        Some((_, Some(other))) => {
            put_at(out, start + 8, &(other.len() as u32).to_le_bytes());
            out.extend_from_slice(&other);
            out.resize(start + HEADER + other.len().next_multiple_of(8), 0);
        }
        Some((padded, None)) => out.extend_from_slice(padded),
        None => {}
    }
    if out.len() > start + HEADER || u32_at(head, 8) == 0 {
        let crc = crc32(initial, &out[start + HEADER..]) ^ u32::from(torn);
        put_at(out, start + 4, &crc.to_le_bytes());
    }
    let crc = crc32(initial, &out[start + 4..start + HEADER]);
    put_at(out, start, &crc.to_le_bytes());
}

/// For files whose records stay as they are.
pub fn unchanged(_: u8, _: &[u8]) -> Option<Vec<u8>> {
    None
}

/// A manifest with right checksums that names these tables and logs by what is really in them.
pub fn manifest(bytes: &[u8], torn: u8, tables: &[TableMeta], logs: &[(FileNum, u32)]) -> Vec<u8> {
    records(bytes, torn, &mut |kind, payload| {
        let mut edit = VersionEdit::decode(payload).ok().filter(|_| kind == EDIT)?;
        for (_, _, meta) in &mut edit.tables_added {
            if let Some(real) = tables.iter().find(|real| real.file == meta.file) {
                *meta =
                    TableMeta { oldest_tombstone: meta.oldest_tombstone, ..real.clone() }.into();
            }
        }
        for (number, salt) in &mut edit.logs_added {
            *salt = logs.iter().find(|real| real.0 == *number).map_or(*salt, |real| real.1);
        }
        edit.encode().ok()
    })
}

/// The bytes that a handle at `at` of the footer names.
fn section(bytes: &[u8], footer: usize, at: usize) -> Option<std::ops::Range<usize>> {
    let from = usize::try_from(u64_at(bytes, footer + at)).ok()?;
    let to = from.checked_add(u32_at(bytes, footer + at + 8) as usize)?;
    (to <= footer && from < to).then_some(from..to)
}

/// Makes all checksums of a table file right.
pub fn table(bytes: &mut [u8]) {
    let Some(footer) = bytes.len().checked_sub(FOOTER) else { return };
    let salt = u32_at(bytes, footer + 16);
    if let Some(index) = section(bytes, footer, 32) {
        let column = index.start.saturating_add(u32_at(bytes, index.start + 20) as usize);
        let count = (u32_at(bytes, index.start + 4) as usize).min(bytes.len() / BLOCK_TRAILER_LEN);
        for at in 0..count {
            let word = |n: usize| u32_at(bytes, column.saturating_add(4 * n)) as usize * 8;
            let (from, to) = (word(at), word(at + 1));
            if from < to && to <= footer {
                block(&mut bytes[from..to], place(salt, from as u64));
            }
        }
    }
    for at in [32, 48, 80] {
        if let Some(range) = section(bytes, footer, at) {
            let crc = crc32(place(salt, range.start as u64), &bytes[range]);
            put_at(bytes, footer + at + 12, &crc.to_le_bytes());
        }
    }
    let crc = crc32(place(salt, footer as u64), &bytes[footer..footer + FOOTER - 4]);
    put_at(bytes, footer + FOOTER - 4, &crc.to_le_bytes());
}

/// Makes the checksum in a block's trailer right.
pub fn block(bytes: &mut [u8], initial: u32) {
    let Some(body) = bytes.len().checked_sub(BLOCK_TRAILER_LEN) else { return };
    let crc = crc32(crc32(initial, &bytes[..body]), &bytes[body + 4..]);
    put_at(bytes, body, &crc.to_le_bytes());
}

/// Makes the prefixes of a block's body those of its keys, and the first offset the one it must be: they are as good
/// as a checksum of the rest.
pub fn columns(body: &mut [u8], order: &Order) {
    let (count, lcp) = (usize::from(u16_at(body, 0)), usize::from(u16_at(body, 2)));
    let (flags, fixed) = (u16_at(body, 4), usize::from(u16_at(body, 6)));
    let width = if flags & 8 != 0 { 4 } else { 2 };
    let offsets = 16 + 4 * count;
    let tags = offsets + (count + 1) * width;
    let entries = tags + count * [0, 4, 8, 0][usize::from(flags >> 4 & 3)] + lcp;
    if entries > body.len() {
        return;
    }
    put_at(body, offsets, &(entries as u32).to_le_bytes()[..width]);
    for at in 0..count {
        let offset = |n: usize| match width {
            4 => u32_at(body, offsets + 4 * n) as usize,
            _ => usize::from(u16_at(body, offsets + 2 * n)),
        };
        let entry = body.get(offset(at)..offset(at + 1)).unwrap_or_default();
        let suffix = match flags & 1 {
            1 => entry.get(..fixed),
            _ => Decoder::new(entry).take_bytes(),
        };
        let prefix = suffix.filter(|_| order.is_bytewise()).map_or(0, prefix_of);
        put_at(body, 16 + 4 * at, &prefix.to_le_bytes());
    }
}

/// What a manifest would say of this table, going by the table alone.
pub fn meta_of(bytes: &[u8], file: FileNum) -> TableMeta {
    let footer = bytes.len().saturating_sub(FOOTER);
    let table_id = bytes.get(footer + 16..footer + 32).and_then(|id| id.try_into().ok());
    let properties = section(bytes, footer, 80).and_then(|at| TableProperties::decode(&bytes[at]));
    let properties = properties.unwrap_or_default();
    TableMeta {
        file,
        table_id: table_id.unwrap_or_default(),
        size: bytes.len() as u64,
        footer_crc: u32_at(bytes, footer + FOOTER - 4),
        entries: properties.entries,
        deletes: properties.deletes,
        range_dels: 0,
        min_seq: properties.min_seq,
        max_seq: properties.max_seq,
        global_seq: 0,
        smallest: properties.smallest.to_vec(),
        largest: properties.largest.to_vec(),
        bounds_flags: 0,
        oldest_tombstone: 0,
    }
}
