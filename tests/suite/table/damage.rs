//! Damaged and hostile table files: an honest error, never a wrong answer, never a panic.

use super::{Entry, ROOT, Rig, Rng, options};
use esker::internals::block::builder::BlockBuilder;
use esker::internals::block::format::Block;
use esker::internals::block::iter::BlockIter;
use esker::internals::compress::Codec;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, make_tag};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::index::Index;
use esker::internals::table::meta::TableMeta;
use esker::internals::table::properties::TableProperties;
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;

fn name(number: u64) -> String {
    FileKind::Table(FileNum(number)).name()
}

fn small() -> Vec<Entry> {
    let mut rng = Rng(4242);
    let mut entries = rng.entries(25);
    entries.retain(|entry| entry.2.len() < 1000);
    entries
}

/// Reads all of a table in every way.
fn read_all(rig: &Rig, meta: &TableMeta) -> Result<Vec<Entry>> {
    let reader = rig.open(meta)?;
    let mut iter = TableReader::iter(reader.clone(), Access::Around);
    let mut rows = Vec::new();
    iter.seek_to_first()?;
    while iter.valid() {
        rows.push((iter.key().to_vec(), iter.tag(), iter.value().to_vec()));
        iter.next()?;
    }
    for (key, tag, value) in &rows {
        let got = reader.get(key, hash64(key, 0), *tag, true)?;
        assert_eq!(got.map(|got| (got.0, got.1.as_slice().to_vec())), Some((*tag, value.clone())));
    }
    Ok(rows)
}

fn assert_damage(outcome: Result<Vec<Entry>>, what: &str) {
    match outcome {
        Ok(_) => panic!("{what}: not noticed"),
        Err(error) => {
            let known = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Format);
            assert!(known && error.detail().file_number == 1, "{what}: {error:?}");
        }
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let rig = Rig::new();
    let entries = small();
    let meta = rig.build(1, &entries, &options(256, 0, 10));
    assert_eq!(read_all(&rig, &meta).unwrap(), entries);
    let mut rng = Rng(99);
    for at in 0..meta.size {
        let xor = 1 << rng.below(8);
        rig.kernel.corrupt(ROOT, &name(1), at, xor);
        assert_damage(read_all(&rig, &meta), &format!("byte {at} of {}", meta.size));
        rig.kernel.corrupt(ROOT, &name(1), at, xor);
    }
    assert_eq!(read_all(&rig, &meta).unwrap(), entries);
}

#[test]
fn every_truncation_and_extension_is_noticed() {
    let rig = Rig::new();
    let meta = rig.build(1, &small(), &options(256, 0, 10));
    let whole = rig.kernel.read_file(ROOT, &name(1)).unwrap();
    for len in (0..whole.len()).chain([whole.len() + 1, whole.len() + 128]) {
        let mut bytes = whole.clone();
        bytes.resize(len, 0);
        rig.kernel.write_file(ROOT, &name(1), &bytes);
        assert_damage(read_all(&rig, &meta), &format!("{len} bytes"));
        let told = TableMeta { size: len as u64, ..meta.clone() };
        assert_damage(read_all(&rig, &told), &format!("{len} bytes, and the manifest agrees"));
    }
}

#[test]
fn blocks_that_moved_are_refused() {
    let rig = Rig::new();
    let entries: Vec<Entry> = (0..200u64)
        .map(|n| (format!("{n:08}").into_bytes(), make_tag(n + 1, EntryKind::Put), vec![7; 80]))
        .collect();
    let meta = rig.build(1, &entries, &options(1024, 0, 10));
    rig.build(2, &entries, &options(1024, 0, 10));
    let good = rig.kernel.read_file(ROOT, &name(1)).unwrap();
    let other = rig.kernel.read_file(ROOT, &name(2)).unwrap();
    let mut swapped = good.clone();
    swapped[..2048].rotate_left(1024);
    let mut foreign = good.clone();
    foreign[..1024].copy_from_slice(&other[..1024]);
    assert_ne!(foreign, good, "the same entries in another table have other checksums");
    for (bytes, what) in [(swapped, "swapped"), (foreign, "foreign block"), (other, "other table")]
    {
        rig.kernel.write_file(ROOT, &name(1), &bytes);
        assert_damage(read_all(&rig, &meta), what);
    }
    rig.kernel.write_file(ROOT, &name(1), &good);
    assert_eq!(read_all(&rig, &meta).unwrap(), entries);
}

#[test]
fn a_table_that_is_not_the_manifests_is_refused() {
    let rig = Rig::new();
    let meta = rig.build(1, &small(), &options(256, 0, 10));
    let change: [fn(&mut TableMeta); 8] = [
        |m| m.table_id[3] ^= 1,
        |m| m.footer_crc ^= 1,
        |m| m.size += 8,
        |m| m.entries += 1,
        |m| m.smallest.push(0),
        |m| m.global_seq = 5,
        |m| m.range_dels = 1,
        |m| m.max_seq += 1,
    ];
    for (n, change) in change.into_iter().enumerate() {
        let mut other = meta.clone();
        change(&mut other);
        assert_damage(read_all(&rig, &other), &format!("change {n}"));
    }
}

#[test]
fn crafted_blocks_never_panic() {
    let mut rng = Rng(31337);
    let mut accepted = 0;
    for round in 0..400 {
        let entries = rng.entries(1 + round % 7);
        let mut builder = BlockBuilder::new([Codec::None, Codec::Lz4][round % 2], Order::Bytewise);
        for (key, tag, value) in entries.iter().filter(|entry| entry.2.len() < 1000).take(30) {
            builder.add(key, *tag, value).unwrap();
        }
        if builder.is_empty() {
            continue;
        }
        let mut good = Vec::new();
        builder.finish(&mut good, 0, |len| len.next_multiple_of(8)).unwrap();
        for _ in 0..200 {
            let mut bad = good.clone();
            for _ in 0..1 + rng.below(3) {
                let at = if rng.below(2) == 0 {
                    rng.below(32.min(bad.len()))
                } else {
                    rng.below(bad.len())
                };
                bad[at] = [0, 1, 0x7f, 0x80, 0xff, rng.next() as u8][rng.below(6)];
            }
            if rng.below(4) == 0 {
                bad.truncate(rng.below(bad.len()));
            }
            if let Ok(block) = Block::parse(bad, &Order::Bytewise, 1, 0) {
                accepted += 1;
                exercise(block, &mut rng);
            }
        }
    }
    assert!(accepted > 1000, "only {accepted} crafted blocks were well-formed");
}

/// Walks a crafted but accepted block: it must ascend strictly.
fn exercise(block: Block, rng: &mut Rng) {
    let (count, mut rows) = (block.count(), 0);
    let mut iter = BlockIter::default();
    iter.set_block(Arc::new(block)).unwrap();
    let mut last: Option<(Vec<u8>, u64)> = None;
    iter.first();
    while iter.valid() {
        if let Some((key, tag)) = &last {
            assert!(key.as_slice() < iter.key() || (key == iter.key() && *tag > iter.tag()));
        }
        assert!(iter.value().len() < 1 << 20);
        last = Some((iter.key().to_vec(), iter.tag()));
        rows += 1;
        iter.next();
    }
    assert_eq!(rows, count);
    for _ in 0..4 {
        let key = rng.key();
        iter.seek(&Order::Bytewise, &key, TAG_MAX).unwrap();
        assert!(!iter.valid() || iter.key() >= &key[..]);
        iter.seek_before(&Order::Bytewise, &key, TAG_MAX).unwrap();
        assert!(!iter.valid() || iter.key() < &key[..]);
    }
}

#[test]
fn random_bytes_are_no_section() {
    let mut rng = Rng(5);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..rng.below(200)).map(|_| rng.next() as u8 & 0x0f).collect();
        if let Some(properties) = TableProperties::decode(&bytes) {
            assert!(properties.smallest.len() <= bytes.len());
        }
        assert!(Index::open(bytes.clone(), &Order::Bytewise, 64).is_err());
        assert!(
            Block::parse(bytes, &Order::Bytewise, 1, 0).map_or(true, |block| block.count() < 30)
        );
    }
}

#[test]
fn a_read_error_is_an_error_and_not_the_end() {
    let rig = Rig::new();
    let entries = small();
    let meta = rig.build(1, &entries, &options(256, 0, 10));
    let reader = rig.open(&meta).unwrap();
    let mut iter = TableReader::iter(reader, Access::Around);
    iter.seek_to_first().unwrap();
    let fault =
        Fault { call: CallKind::Pread, nth: 1, errno: libc_eio(), forever: false, short: false };
    rig.kernel.set_fault(fault);
    let mut moved = Ok(());
    while moved.is_ok() && iter.valid() {
        moved = iter.next();
    }
    assert_eq!(moved.unwrap_err().kind(), ErrorKind::Io);
    assert!(!iter.valid());
    rig.kernel.clear_faults();
    iter.seek(&entries[0].0, TAG_MAX).unwrap();
    assert!(iter.valid(), "a seek after the error starts afresh");
}

/// EIO on every system the suite runs on.
fn libc_eio() -> i32 {
    5
}

#[test]
fn a_failed_write_or_sync_fails_the_build() {
    for call in [CallKind::Pwrite, CallKind::Fdatasync] {
        let rig = Rig::new();
        let mut builder = rig.builder(1, &options(4096, 0, 10));
        let fault = Fault { call, nth: 1, errno: libc_eio(), forever: false, short: false };
        rig.kernel.set_fault(fault);
        let mut failed = false;
        for n in 0..5000u32 {
            let tag = make_tag(1, EntryKind::Put);
            let added = builder.add(&n.to_be_bytes(), tag, &[0; 100]);
            assert!(added.is_err() || !failed, "a failed builder takes nothing more");
            failed |= added.is_err();
        }
        assert_eq!(failed, call == CallKind::Pwrite);
        assert_eq!(builder.finish().unwrap_err().kind(), ErrorKind::Io);
    }
}

#[test]
fn a_finished_table_was_synced_after_its_last_write() {
    let rig = Rig::new();
    let mut builder = rig.builder(1, &options(256, 0, 10));
    for (key, tag, value) in &small() {
        builder.add(key, *tag, value).unwrap();
    }
    let calls = |call| rig.kernel.count(call);
    assert_eq!((calls(CallKind::Pwrite), calls(CallKind::Fdatasync)), (0, 0));
    // The only write allowed to succeed is the first: one after the sync would fail the build.
    let fault =
        Fault { call: CallKind::Pwrite, nth: 2, errno: libc_eio(), forever: true, short: false };
    rig.kernel.set_fault(fault);
    builder.finish().unwrap();
    assert_eq!((calls(CallKind::Pwrite), calls(CallKind::Fdatasync)), (1, 1));
}
