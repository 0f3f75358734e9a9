//! The first inputs of every target, made from what the library itself writes.

use super::database::{self, FIX_LOGS, FIX_MANIFEST, FIX_TABLES, Files, KILLED, valid};
use super::input::{dir_of, disk};
use super::{records, tables};
use esker::internals::batch::WriteBatch;
use esker::internals::block::builder::BlockBuilder;
use esker::internals::compress::{Codec, Packer};
use esker::internals::env::path::FileKind;
use esker::internals::error::Area;
use esker::internals::filter::kind::{FilterBuilder, FilterKind};
use esker::internals::hash::hash64;
use esker::internals::key::{EntryKind, Tag, make_tag};
use esker::internals::options::{OPTION_TABLE, OptionKind, Options};
use esker::internals::order::Order;
use esker::internals::table::builder::TableBuilder;
use esker::internals::table::meta::TableOptions;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::version::edit::VersionEdit;

/// A target's name and an input that it takes.
pub type Seed = (&'static str, Vec<u8>);

/// Every seed.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for killed in [false, true] {
        of_database(valid(killed), killed, &mut seeds);
    }
    of_tables(&mut seeds);
    of_blocks(&mut seeds);
    of_filters(&mut seeds);
    of_texts(&mut seeds);
    seeds
}

/// Without the zeros at the end; a multiple of eight bytes stays.
fn used(bytes: &[u8]) -> &[u8] {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..used.next_multiple_of(8).min(bytes.len())]
}

fn ending<'f>(files: &'f Files, kind: &str) -> Vec<&'f (String, Vec<u8>)> {
    files.iter().filter(|(name, _)| name.contains(kind)).collect()
}

fn of_database(files: &Files, killed: bool, seeds: &mut Vec<Seed>) {
    let (logs, manifests) = (ending(files, ".wal"), ending(files, "MANIFEST"));
    let manifest = used(&manifests.last().expect("a manifest").1);
    for fix in [0, records::FIX] {
        for log in &logs {
            let closed = if killed { 0 } else { records::CLOSED };
            let log = if killed { used(&log.1) } else { &log.1 };
            seeds.push(("log", [&[fix | closed, 0, 0], log].concat()));
            let place = if fix == 0 { 0 } else { 0x80 };
            seeds.push(("record", [&[fix | 4, 0, 0, place, 0], used(log)].concat()));
            seeds.push(("record", [&[fix, 0, 0, place, 0], used(log)].concat()));
        }
        if let [.., first, second] = &logs[..] {
            let (first, second) = (used(&first.1), used(&second.1));
            let len = (first.len() as u16).to_le_bytes();
            let mode = fix | records::TWO;
            seeds.push(("log", [&[mode, 0, 0, len[0], len[1]], first, second].concat()));
        }
        seeds.push(("manifest", [&[fix, 0], manifest].concat()));
        seeds.push(("record", [&[fix | 2, 0, 0, 0, 0], manifest].concat()));
    }
    fix_edits(manifest, seeds);
    let mode = if killed { KILLED } else { 0 };
    for fix in [0, FIX_LOGS | FIX_TABLES | FIX_MANIFEST] {
        for how in [0, 8, 16 | 32, 128 | 16] {
            seeds.push(("mutated", vec![mode | fix | how]));
        }
    }
    for fact in 0..16 {
        // What follows from a number like 7 is mostly refused; it is the way that counts.
        seeds.push(("mutated", vec![mode | 16, 240, fact, 0, 2]));
    }
    let names = ["LOCK", "a", "1.sst"].map(|name| name.as_bytes().to_vec());
    let all = files.iter().map(|(name, _)| name.as_bytes().to_vec()).chain(names);
    seeds.extend(all.map(|name| ("path", name)));
    for table in ending(files, ".sst").into_iter().take(3) {
        seeds.push(("table", [&[0], &table.1[..]].concat()));
        seeds.push(("table", [&[tables::FIX], &table.1[..]].concat()));
    }
    whole(seeds);
}

/// The payloads of a manifest's records.
fn fix_edits(manifest: &[u8], seeds: &mut Vec<Seed>) {
    let mut edits = Vec::new();
    super::fix::records(manifest, 0, &mut |kind, payload| {
        edits.extend((kind == super::fix::EDIT).then(|| payload.to_vec()));
        None
    });
    // One alone must be readable, so those that need a base before them are as good as the base.
    edits.retain(|edit| VersionEdit::decode(edit).is_ok());
    seeds.extend(edits.into_iter().map(|edit| ("edit", edit)));
}

/// A directory with one table or two, for `database`.
fn whole(seeds: &mut Vec<Seed>) {
    for tables in [1u32, 2] {
        let files = database::smallest(tables);
        let of = |kind: &str| ending(&files, kind);
        let (manifest, log) = (of("MANIFEST"), of(".wal"));
        let (manifest, log) = (used(&manifest[0].1), log.last().map_or(&[][..], |log| &log.1));
        let found = of(".sst");
        let Some(FileKind::Table(number)) = FileKind::parse(found[0].0.as_bytes()) else {
            continue;
        };
        let first = &found[0].1;
        let second = found.get(1).map_or(&[][..], |table| &table.1);
        let lengths = [manifest, log, first].map(|part| (part.len() as u16).to_le_bytes());
        for mode in [0, 16, FIX_LOGS | FIX_TABLES | FIX_MANIFEST, 0x37, 0x97] {
            let head = [&[mode, number.0 as u8], lengths.concat().as_slice()].concat();
            seeds.push(("database", [&head, manifest, log, first, second].concat()));
        }
    }
}

fn rows(order: &Order) -> Vec<(Vec<u8>, Tag, Vec<u8>)> {
    let mut rows = Vec::new();
    for n in 0..40u64 {
        let key = match order.checks_keys() {
            true => (n * 999).to_be_bytes().to_vec(),
            false => format!("fruit/{:0width$}", n / 3, width = 1 + (n % 2) as usize).into_bytes(),
        };
        let kind = if n % 5 == 4 { EntryKind::Delete } else { EntryKind::Put };
        let value = if n % 5 == 4 { Vec::new() } else { vec![b'a' + n as u8 % 3; 5 + n as usize] };
        rows.push((key, make_tag(n + 1, kind), value));
    }
    rows.sort_by(|a, b| order.compare_internal(&a.0, a.1, &b.0, b.1));
    rows
}

fn of_tables(seeds: &mut Vec<Seed>) {
    let orders = [Order::Bytewise, Order::Reverse, Order::U64Be, Order::U64Le, Order::I64Le];
    for (at, order) in orders.iter().enumerate() {
        for (codec, filter) in
            [(Codec::None, FilterKind::Blocked), (Codec::Lz4, FilterKind::Classic)]
        {
            let options = TableOptions {
                order: order.clone(),
                block_size: 256,
                block_entries: 0,
                filter,
                filter_bits: 10,
                codec,
            };
            let kernel = disk(&[]);
            let file = dir_of(&kernel).create("1", Area::Table).expect("a fresh disk");
            let mut builder = TableBuilder::new(file, FileNum(1), [at as u8; 16], &options, 1);
            for (key, tag, value) in rows(order) {
                builder.add(&key, tag, &value).expect("in order");
            }
            builder.finish().expect("no faults");
            let bytes = kernel.read_file(super::input::PATH, "1").expect("just written");
            for fix in [0, tables::FIX] {
                seeds.push(("table", [&[fix | (at as u8) << 2], &bytes[..]].concat()));
            }
        }
    }
}

fn of_blocks(seeds: &mut Vec<Seed>) {
    let orders = [Order::Bytewise, Order::Reverse, Order::U64Be, Order::U64Le, Order::I64Le];
    for (at, order) in orders.iter().enumerate() {
        for (codec, take, spread) in
            [(Codec::None, 40, 0), (Codec::Lz4, 40, 0), (Codec::None, 12, 1), (Codec::None, 3, 2)]
        {
            let mut builder = BlockBuilder::new(codec, order.clone());
            for (n, (key, tag, value)) in rows(order).iter().enumerate().take(take) {
                // No sequences, near ones, and ones that are far apart: three ways to keep tags.
                let tag = match spread {
                    0 => *tag,
                    1 => *tag + ((40 - n as u64) << 48),
                    _ => make_tag(0, EntryKind::Put),
                };
                let zero = spread != 2 || n == 0 || rows(order)[n - 1].0 != *key;
                if zero && builder.add(key, tag, value).is_err() {
                    break;
                }
            }
            let mut bytes = Vec::new();
            builder.finish(&mut bytes, 7, |len| len.next_multiple_of(8)).expect("there is memory");
            let mode = (at as u8) << 2;
            seeds.push(("block", [&[mode], &bytes[..]].concat()));
            seeds.push(("block", [&[mode | tables::FIX], &bytes[..]].concat()));
            if codec == Codec::None {
                bytes.truncate(bytes.len() - 8);
                for how in [0, tables::PACKED] {
                    let mode = mode | how | tables::BARE | tables::FIX;
                    seeds.push(("block", [&[mode], &bytes[..]].concat()));
                }
            }
        }
    }
}

fn of_filters(seeds: &mut Vec<Seed>) {
    for (at, kind) in [FilterKind::Blocked, FilterKind::Classic].into_iter().enumerate() {
        for (keys, bits) in [(1, 1), (40, 10), (90, 20)] {
            let mut builder = FilterBuilder::new(kind, bits);
            (0..keys as u64)
                .for_each(|n| builder.add(hash64(&n.to_le_bytes(), 0)).expect("memory"));
            let bytes = builder.finish().expect("there is memory");
            seeds.push(("filter", [&[0, 0], &bytes[..]].concat()));
            let mode = 1 | (at as u8) << 1;
            seeds.push(("filter", [&[mode, bits as u8], &b"keys to look for"[..]].concat()));
        }
    }
}

fn of_texts(seeds: &mut Vec<Seed>) {
    let mut batch = WriteBatch::new();
    for (key, value) in [("key", "value"), ("", ""), ("a longer key", "and its value")] {
        batch.put(KeyspaceId(0), key.as_bytes(), value.as_bytes()).expect("fits");
        seeds.push(("batch", [&[2], batch.as_bytes()].concat()));
        batch.delete(KeyspaceId(1), key.as_bytes()).expect("fits");
        seeds.push(("batch", [&[2], batch.as_bytes()].concat()));
    }
    batch.put(KeyspaceId(200), b"k", &[b'v'; 300]).expect("fits");
    seeds.push(("batch", [&[201], batch.as_bytes()].concat()));

    let (defaults, mut all) = (Options::default(), String::new());
    for spec in OPTION_TABLE.iter().filter(|spec| spec.kind() != OptionKind::Object) {
        let shown = defaults.get_text(spec.id).expect("an option of the table");
        let one = format!("{}={shown}", spec.name_text());
        seeds.push(("options", one.clone().into_bytes()));
        all = format!("{all}{one}; ");
        for choice in spec.choices.map_or("", |text| text.to_str().unwrap_or("")).split('|') {
            if !choice.is_empty() {
                seeds.push(("options", format!("{}={choice}", spec.name_text()).into_bytes()));
            }
        }
    }
    seeds.push(("options", all.into_bytes()));

    let raw = b"a sentence that says the same, a sentence that says the same. ".repeat(4);
    let mut packed = raw.clone();
    assert!(Packer::default().pack(&mut packed, 0).expect("there is memory"), "it has a pattern");
    seeds.push(("lz4", [&[0], &packed[..]].concat()));
    seeds.push(("lz4", [&[1], &packed[..4], &packed[8..]].concat()));
    seeds.push(("lz4", [&[2, 9, 0, 0, 0], &raw[..40]].concat()));
    seeds.push(("lz4", [&[3, 9, 255, 0, 0], &raw[..40]].concat()));
}
