//! Damaged and hostile table files: an honest error, never a wrong answer, never a panic.

use super::{Entry, ROOT, Rig, Rng, options};
use esker::internals::block::builder::BlockBuilder;
use esker::internals::block::format::Block;
use esker::internals::block::iter::BlockIter;
use esker::internals::compress::Codec;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::filter::blocked::FILTER_HEADER_LEN;
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, make_tag};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::check::{Step, check_table};
use esker::internals::table::format::{FOOTER_LEN, Footer, SectionHandle, salt_of};
use esker::internals::table::index::{Index, IndexBuilder, Refused};
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

/// A block with these entries as the builder lays it out, whatever their order.
fn block_of(order: &Order, entries: &[(&[u8], u64)]) -> Vec<u8> {
    let mut builder = BlockBuilder::new(Codec::None, order.clone());
    for (key, seq) in entries {
        builder.add(key, make_tag(*seq, EntryKind::Put), b"").unwrap();
    }
    let mut out = Vec::new();
    builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
    out
}

fn refusal(bytes: Vec<u8>, order: &Order) -> Option<(ErrorKind, String)> {
    let error = Block::parse(bytes, order, 1, 0).err()?;
    Some((error.kind(), error.detail().message.clone()))
}

fn assert_refused(bytes: Vec<u8>, order: &Order, kind: ErrorKind, what: &str) {
    let refused = refusal(bytes, order);
    let as_wanted = refused.as_ref().is_some_and(|(k, said)| *k == kind && said.contains(what));
    assert!(as_wanted, "{order:?}, {what}: {refused:?}");
}

#[test]
fn a_block_that_ascends_by_its_bytes_only_is_refused_in_another_order() {
    // Suffixes "" and a zero byte: the column of prefixes is zero, as another order wants it, and right for bytes too.
    let keys: [(&[u8], u64); 2] = [(b"\0", 1), (b"\0\0", 1)];
    let bytes = block_of(&Order::Reverse, &keys);
    assert_refused(bytes.clone(), &Order::Reverse, ErrorKind::Corrupt, "out of order");
    assert!(refusal(bytes, &Order::Bytewise).is_none(), "by bytes nothing is wrong with it");
    let backwards = block_of(&Order::Reverse, &[keys[1], keys[0]]);
    assert_eq!(refusal(backwards, &Order::Reverse), None);
}

#[test]
fn keys_too_long_and_kinds_unknown_are_refused_in_every_order() {
    let long = |len: usize, last: u8| [vec![7; len - 1], vec![last]].concat();
    for order in [Order::Bytewise, Order::Reverse] {
        let pair = |a: Vec<u8>, b: Vec<u8>| match order {
            Order::Bytewise => block_of(&order, &[(&a, 1), (&b, 1)]),
            _ => block_of(&order, &[(&b, 1), (&a, 1)]),
        };
        assert_eq!(refusal(pair(long(65_535, 1), long(65_535, 2)), &order), None);
        let too_long = pair(long(65_536, 1), long(65_536, 2));
        assert_refused(too_long, &order, ErrorKind::Corrupt, "longer than any key may be");
        // Tags of four bytes and of eight: header, prefixes and offsets come before them.
        for seqs in [[1, 1], [1 << 40, 1]] {
            let keys: [&[u8]; 2] = if order.is_bytewise() { [b"a", b"b"] } else { [b"b", b"a"] };
            let good = block_of(&order, &[(keys[0], seqs[0]), (keys[1], seqs[1])]);
            let (first, width) = (16 + 2 * 4 + 3 * 2, if seqs[0] == 1 { 4 } else { 8 });
            assert_eq!(refusal(good.clone(), &order), None);
            for at in [first, first + width] {
                let with_kind = |kind| {
                    let mut bad = good.clone();
                    assert_eq!(bad[at], EntryKind::Put as u8);
                    bad[at] = kind;
                    bad
                };
                assert_refused(with_kind(0x80), &order, ErrorKind::Corrupt, "an impossible kind");
                assert_refused(with_kind(3), &order, ErrorKind::Format, "a kind this version");
            }
        }
    }
}

#[test]
fn an_index_that_contradicts_itself_is_refused_and_says_why() {
    // Fences are eight bytes, and every 64th is repeated before them; separators are of one length.
    const BLOCKS: usize = 70;
    let mut builder = IndexBuilder::new(Order::Bytewise);
    let key = |at: usize| format!("{at:02}").into_bytes();
    for at in 0..BLOCKS {
        let next = (at + 1 < BLOCKS).then(|| key(at + 1));
        builder.add((at as u64 + 1) * 64, &key(at), next.as_deref()).unwrap();
    }
    let good = builder.finish().unwrap();
    let place = |n: usize| {
        let at = 12 + 4 * n;
        u32::from_le_bytes(good[at..at + 4].try_into().unwrap()) as usize
    };
    let [top, fence, block, separator, heap] = [0, 1, 2, 3, 4].map(place);
    let swap = |bytes: &mut [u8], a: usize, b: usize, len: usize| {
        (0..len).for_each(|n| bytes.swap(a + n, b + n));
    };
    let open = |bytes| Index::open(bytes, &Order::Bytewise, BLOCKS as u64 * 64);
    assert_eq!(open(good.clone()).unwrap().count(), BLOCKS);
    type Spoil<'a> = &'a dyn Fn(&mut [u8]);
    let spoilt: [(&str, Spoil<'_>); 8] = [
        ("separators descend", &|bytes| {
            swap(bytes, heap + 5 * 2, heap + 6 * 2, 2);
            swap(bytes, fence + 5 * 8, fence + 6 * 8, 8);
        }),
        ("a fence does not match its separator", &|bytes| bytes[fence + 5 * 8 + 7] ^= 1),
        ("a top fence does not match its fence", &|bytes| bytes[top + 8] ^= 1),
        ("a block is shorter than any block can be", &|bytes| {
            let word = u32::from_le_bytes(bytes[block + 4..block + 8].try_into().unwrap());
            bytes[block + 8..block + 12].copy_from_slice(&(word - 1).to_le_bytes());
        }),
        ("blocks do not fill the data section", &|bytes| bytes[block] = 1),
        ("separators do not begin the heap", &|bytes| bytes[separator] = 1),
        ("separators are not inside the index", &|bytes| bytes[separator + 5 * 4 + 1] = 1),
        ("the last block continues", &|bytes| bytes[separator + (BLOCKS - 1) * 4 + 3] |= 0x80),
    ];
    for (what, spoil) in spoilt {
        let mut bad = good.clone();
        spoil(&mut bad);
        match open(bad) {
            Err(Refused::Corrupt(said)) => assert_eq!(said, what),
            Err(Refused::NoMemory(error)) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what}: taken"),
        }
    }
}

/// The filter of a sound table denies every key: the checksums are right, each entry of it is wrong.
#[test]
fn of_each_block_the_first_wrong_entry_is_told() {
    let rig = Rig::new();
    let entries: Vec<Entry> = (0..200u64)
        .map(|n| (format!("{n:08}").into_bytes(), make_tag(n + 1, EntryKind::Put), vec![7; 80]))
        .collect();
    let mut meta = rig.build(1, &entries, &options(1024, 0, 10));
    let mut bytes = rig.kernel.read_file(ROOT, &name(1)).unwrap();
    let footer_at = bytes.len() - FOOTER_LEN;
    let last: [u8; FOOTER_LEN] = bytes[footer_at..].try_into().unwrap();
    let mut footer = Footer::decode(&last, footer_at as u64, FileNum(1)).unwrap();
    let filter_at = footer.filter.offset as usize;
    let filter = &mut bytes[filter_at..filter_at + footer.filter.len as usize];
    filter[FILTER_HEADER_LEN..].fill(0);
    let salt = salt_of(&footer.table_id);
    footer.filter = SectionHandle::of(filter, filter_at as u64, salt).unwrap();
    let (last, crc) = footer.encode(footer_at as u64);
    bytes[footer_at..].copy_from_slice(&last);
    meta.footer_crc = crc;
    rig.kernel.write_file(ROOT, &name(1), &bytes);

    let mut found = Vec::new();
    let mut tell = |step| {
        if let Step::Found(error) = step {
            assert!(error.detail().message.contains("the filter denies"), "{error}");
            found.push(error.detail().offset);
        }
        Ok(())
    };
    check_table(&rig.dir, &Order::Bytewise, &meta, true, &mut tell).unwrap().unwrap();
    let reader = rig.open(&meta).unwrap();
    let blocks = 0..reader.index().count();
    assert_eq!(found, blocks.map(|at| reader.index().block_range(at).0).collect::<Vec<_>>());
    assert!(found.len() > 10 && found.len() * 5 < entries.len());
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
