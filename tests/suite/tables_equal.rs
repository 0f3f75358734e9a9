//! Filters, codecs and searches change how fast an answer comes, never the answer.
#![allow(clippy::print_stdout, reason = "a failing test shows its seed")]

use crate::simdb::{Rows, buffered, calm, cycle, get, open, rows, tiny};
use crate::table::{Entry, Rig, Rng, options};
use esker::internals::compress::Codec;
use esker::internals::db::handle::Db;
use esker::internals::env::sim::SimKernel;
use esker::internals::filter::kind::FilterKind;
use esker::internals::key::{EntryKind, make_tag};
use esker::internals::options::Options;
use esker::internals::order::Order;
use esker::internals::search::{force_scalar, has_vector};
use esker::internals::table::cache::BlockCache;
use esker::internals::table::meta::TableOptions;
use esker::internals::table::reader::Access;
use std::collections::BTreeSet;

const FILTERS: [Option<FilterKind>; 3] =
    [None, Some(FilterKind::Blocked), Some(FilterKind::Classic)];
const CODECS: [Codec; 2] = [Codec::None, Codec::Lz4];

/// What a run of the engine shows at its end.
#[derive(PartialEq)]
struct Shown {
    rows: Rows,
    gets: Vec<Option<Vec<u8>>>,
}

/// Values that compress, more or less.
fn value(rng: &mut Rng) -> Vec<u8> {
    let len = [0, 5, 40, 200, 900][rng.below(5)];
    match rng.below(3) {
        0 => (0..len).map(|_| rng.next() as u8).collect(),
        1 => b"the same words again ".iter().copied().cycle().take(len).collect(),
        _ => vec![rng.next() as u8; len],
    }
}

/// The operations of `seed` on a fresh database; gets are compared with the full scan on the way.
fn run(seed: u64, options: &Options, bytes: &mut u64) -> Shown {
    let rng = &mut Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let kernel = SimKernel::new(seed);
    let mut db = open(&kernel, options).unwrap();
    let mut asked = BTreeSet::new();
    for step in 0..600 {
        let key = rng.key();
        match rng.below(40) {
            0..=7 => drop(db.delete(&buffered(), &key).unwrap()),
            8 => db.flush().unwrap(),
            9 if step % 5 == 0 => compact(&db),
            10 if step % 5 == 0 => db = cycle(&kernel, db, options),
            _ => drop(db.put(&buffered(), &key, &value(rng)).unwrap()),
        }
        asked.insert(key.clone());
        asked.insert([&key[..], b"!"].concat());
    }
    db.flush().unwrap();
    if seed % 2 == 0 {
        compact(&db);
    }
    db = cycle(&kernel, db, options);
    *bytes += table_bytes(&kernel);
    let rows = rows(&db);
    let gets: Vec<Option<Vec<u8>>> = asked.iter().map(|key| get(&db, key)).collect();
    for (key, value) in asked.iter().zip(&gets) {
        assert!(rows.get(key) == value.as_ref(), "get and scan differ for {key:?}");
    }
    Shown { rows, gets }
}

fn table_bytes(kernel: &SimKernel) -> u64 {
    let files = kernel.files(crate::simdb::PATH).into_iter();
    files.filter(|(name, _)| name.ends_with(".sst")).map(|(_, bytes)| bytes.len() as u64).sum()
}

#[test]
fn both_filters_both_codecs_and_both_searches_give_equal_contents() {
    println!("vector search: {}", has_vector());
    let (mut raw_bytes, mut lz4_bytes) = (0, 0);
    for seed in 1..=6u64 {
        println!("seed {seed}");
        let base = Options { block_size: 512, table_size: 4096, write_buffer: 4096, ..tiny() };
        let plain = Options { filter: None, ..base.clone() };
        let wanted = run(seed, &plain, &mut raw_bytes);
        assert!(wanted.rows.len() > 50, "only {} rows", wanted.rows.len());
        let sets = CODECS.into_iter().flat_map(|codec| FILTERS.map(|filter| (codec, filter)));
        for (compression, filter) in sets {
            for scalar in [false, true] {
                let options = Options { compression, filter, ..base.clone() };
                let mut bytes = 0;
                force_scalar(scalar);
                let shown = run(seed, &options, &mut bytes);
                force_scalar(false);
                assert!(shown == wanted, "{compression:?}, {filter:?}, scalar {scalar}");
                let counted = compression == Codec::Lz4 && filter.is_none() && !scalar;
                lz4_bytes += if counted { bytes } else { 0 };
            }
        }
    }
    assert!(lz4_bytes < raw_bytes, "compressed {lz4_bytes}, raw {raw_bytes}");
}

fn compact(db: &Db) {
    db.compact(None, None, true, &mut |_, _, _| true).unwrap();
}

/// A line of the statistics.
fn counter(db: &Db, name: &str) -> u64 {
    let text = db.property("stats").unwrap().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Bytes of the tables that the newest version names.
fn level_bytes(db: &Db) -> u64 {
    db.stats().level.iter().map(|level| level.bytes).sum()
}

fn fill(db: &Db, from: u32) {
    for n in from..from + 400 {
        let key = format!("key{n:06}");
        db.put(&buffered(), key.as_bytes(), &[b'v'; 200]).unwrap();
    }
}

#[test]
fn only_the_deepest_level_in_use_is_compressed() {
    let bytes_after = |compression: Codec| {
        let kernel = SimKernel::new(1);
        let options = Options { compression, compaction_auto: false, ..calm() };
        let db = open(&kernel, &options).unwrap();
        fill(&db, 0);
        db.flush().unwrap();
        let flushed = level_bytes(&db);
        compact(&db);
        let compacted = level_bytes(&db);
        assert_eq!(rows(&db).len(), 400);
        (flushed, compacted)
    };
    let (raw, packed) = (bytes_after(Codec::None), bytes_after(Codec::Lz4));
    assert_eq!(raw.0, packed.0, "a flush never compresses");
    assert!(packed.1 < raw.1 / 4, "{packed:?}, raw {raw:?}");
}

#[test]
fn a_filter_is_written_where_its_level_has_bits() {
    for filter in [FilterKind::Blocked, FilterKind::Classic] {
        // By bits of level 0 and of all others: does each have a filter?
        for bits in [[10, 0], [0, 10], [10, 10], [0, 0]] {
            let kernel = SimKernel::new(1);
            let options = Options {
                filter: Some(filter),
                filter_bits: bits.to_vec(),
                compaction_auto: false,
                ..calm()
            };
            let mut db = open(&kernel, &options).unwrap();
            fill(&db, 0);
            db.flush().unwrap();
            for level_bits in bits {
                db = cycle(&kernel, db, &options);
                for n in 0..50 {
                    assert!(get(&db, format!("key{n:06}").as_bytes()).is_some());
                    assert!(get(&db, format!("key{n:06}!").as_bytes()).is_none());
                }
                let asked = (counter(&db, "filter_probes"), counter(&db, "filter_rejects"));
                let fits = if level_bits == 0 { asked == (0, 0) } else { asked.0 == 100 };
                assert!(fits, "{filter:?} {bits:?}: {asked:?}");
                assert!(level_bits == 0 || asked.1 > 40, "{filter:?} {bits:?}: {asked:?}");
                compact(&db);
            }
        }
    }
}

#[test]
fn the_cache_is_charged_what_a_block_holds_uncompressed() {
    let entries: Vec<Entry> = (0..2000u64)
        .map(|n| (format!("{n:08}").into_bytes(), make_tag(n + 1, EntryKind::Put), vec![9; 100]))
        .collect();
    let rig = Rig::new();
    let used = |number: u64, codec: Codec| {
        let options = TableOptions { codec, ..options(4096, 0, 0) };
        let meta = rig.build(number, &entries, &options);
        let blocks = BlockCache::new(4 << 20);
        let reader = rig.open_with(&meta, blocks.clone()).unwrap();
        for at in 0..reader.index().count() {
            let block = reader.block(at, Access::Cached).unwrap();
            assert!(
                block.charge() > 3000 || at + 1 == reader.index().count(),
                "{}",
                block.charge()
            );
        }
        (meta.size, blocks.stats().2)
    };
    let (raw, packed) = (used(1, Codec::None), used(2, Codec::Lz4));
    assert!(packed.0 < raw.0 / 4, "{} bytes, raw {}", packed.0, raw.0);
    assert!(packed.1.abs_diff(raw.1) < raw.1 / 20, "charged {}, raw {}", packed.1, raw.1);
}

#[test]
fn a_compressed_block_that_lies_is_corrupt() {
    use esker::internals::block::builder::BlockBuilder;
    use esker::internals::block::format::Block;
    use esker::internals::error::ErrorKind;
    let mut builder = BlockBuilder::new(Codec::Lz4, Order::Bytewise);
    for n in 0..50u64 {
        let key = format!("key{n:04}");
        builder.add(key.as_bytes(), make_tag(n + 1, EntryKind::Put), &[0; 50]).unwrap();
    }
    let mut good = Vec::new();
    builder.finish(&mut good, 0, |len| len.next_multiple_of(8)).unwrap();
    assert_eq!(good[good.len() - 4], 1, "codec byte");
    assert_eq!(Block::parse(good.clone(), &Order::Bytewise, 1, 0).unwrap().count(), 50);
    let refused = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        Block::parse(bad, &Order::Bytewise, 7, 64).err().map(|error| error.kind())
    };
    let trailer = good.len() - 8;
    for (at, bytes) in [(0, [0xff; 4]), (0, [0; 4]), (4, [0xff; 4]), (4, [0; 4]), (8, [0xff; 4])] {
        assert_eq!(refused(at, &bytes), Some(ErrorKind::Corrupt), "{bytes:?} at {at}");
    }
    assert!(refused(trailer + 4, &[0, 0, 0, 0]).is_some(), "called raw");
    assert_eq!(refused(trailer + 4, &[2, 0, 0, 0]), Some(ErrorKind::Format), "a later codec");
    assert_eq!(refused(trailer + 4, &[1, 0, 1, 0]), Some(ErrorKind::Corrupt));
}
