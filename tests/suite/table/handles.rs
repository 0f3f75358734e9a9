//! Open tables and cached blocks: their bounds, and who frees what.

use super::{Entry, ROOT, Rig, options};
use esker::internals::block::builder::BlockBuilder;
use esker::internals::block::format::Block;
use esker::internals::compress::Codec;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::ErrorKind;
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, make_tag};
use esker::internals::order::Order;
use esker::internals::retire::RetireList;
use esker::internals::sync::Arc;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::handle::{TableCache, TableHandle};
use esker::internals::table::level_iter::LevelIter;
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;

fn entries(from: u64, count: u64) -> Vec<Entry> {
    (from..from + count)
        .map(|n| {
            (format!("{n:08}").into_bytes(), make_tag(n + 1, EntryKind::Put), vec![n as u8; 90])
        })
        .collect()
}

fn handles(rig: &Rig, count: u64, retire: Option<Arc<RetireList>>) -> Vec<Arc<TableHandle>> {
    (0..count)
        .map(|n| {
            let meta = rig.build(n + 1, &entries(n * 100, 100), &options(1024, 0, 10));
            TableHandle::new(meta, retire.clone())
        })
        .collect()
}

#[test]
fn the_cap_on_open_tables_holds_and_the_warm_ones_stay() {
    let rig = Rig::new();
    let tables = handles(&rig, 20, None);
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(1 << 20), 4);
    for round in 0..3 {
        for table in &tables[1..] {
            cache.reader(table).unwrap();
            // Used between any two others: the hand must spare it.
            cache.reader(&tables[0]).unwrap();
            assert!(cache.open_tables() <= 4, "round {round}");
        }
    }
    assert_eq!(
        rig.kernel.count(CallKind::Open),
        2 + 3 * 19,
        "directory, table 0 once, the rest each time"
    );
    assert!(cache.resident_bytes() > 0);
    drop(tables);
    assert_eq!((cache.open_tables(), cache.resident_bytes()), (0, 0));
}

#[test]
fn a_closed_reader_serves_its_users_to_the_end() {
    let rig = Rig::new();
    let tables = handles(&rig, 2, None);
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(0), 1);
    let first = cache.reader(&tables[0]).unwrap();
    let mut iter = TableReader::iter(first, Access::Cached);
    iter.seek_to_first().unwrap();
    cache.reader(&tables[1]).unwrap();
    let mut rows = 0;
    while iter.valid() {
        rows += 1;
        iter.next().unwrap();
    }
    assert_eq!(rows, 100);
}

#[test]
fn remains_and_obsolete_files_go_to_the_retire_list() {
    let rig = Rig::new();
    let retire = Arc::new(RetireList::default());
    let tables = handles(&rig, 3, Some(retire.clone()));
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(1 << 20), 1);
    let reader = cache.reader(&tables[0]).unwrap();
    cache.reader(&tables[1]).unwrap();
    assert!(retire.take().garbage.is_empty(), "table 0's reader has a user");
    drop(reader);
    assert_eq!(retire.take().garbage.len(), 1, "the last user leaves the remains to the list");
    let version = tables.clone();
    tables[1].mark_obsolete();
    drop(tables);
    assert!(retire.take().tables.is_empty(), "another version names the table");
    drop(version);
    let retired = retire.take();
    assert_eq!(retired.tables, [FileNum(2)], "only the obsolete one is to be removed");
    assert_eq!(retired.garbage.len(), 1, "the open reader of table 1");
}

#[test]
fn the_cache_bound_holds_and_access_modes_are_kept() {
    let rig = Rig::new();
    let all = entries(0, 3000);
    let meta = rig.build(1, &all, &options(1024, 0, 10));
    let blocks = BlockCache::new(40_000);
    let reader = rig.open_with(&meta, blocks.clone()).unwrap();
    let scan = |access| {
        let mut iter = TableReader::iter(reader.clone(), access);
        iter.seek_to_first().unwrap();
        while iter.valid() {
            iter.next().unwrap();
        }
    };
    scan(Access::Around);
    assert_eq!(blocks.stats(), (0, 0, 0), "around: neither looked up nor put in");
    scan(Access::NoFill);
    let (hits, misses, bytes) = blocks.stats();
    assert_eq!((hits, bytes), (0, 0));
    assert_eq!(misses, reader.index().count() as u64);
    scan(Access::Cached);
    assert!((30_000..=40_000).contains(&blocks.stats().2), "{:?}", blocks.stats());
    let (key, tag, value) = &all[1500];
    for (fill, reads) in [(true, 1), (true, 0)] {
        let before = rig.kernel.count(CallKind::Pread);
        let got = reader.get(key, hash64(key, 0), *tag, fill).unwrap().unwrap();
        assert_eq!((got.0, got.1.as_slice()), (*tag, &value[..]));
        assert_eq!(rig.kernel.count(CallKind::Pread) - before, reads);
    }
    drop(reader);
    assert_eq!(blocks.stats().2, 0, "a reader's blocks go with it");
}

/// A block of this many bytes and some.
fn block(bytes: usize) -> Arc<Block> {
    let mut builder = BlockBuilder::new(Codec::None, Order::Bytewise);
    builder.add(b"k", make_tag(1, EntryKind::Put), &vec![0; bytes]).unwrap();
    let mut out = Vec::new();
    builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
    Arc::new(Block::parse(out, &Order::Bytewise, 1, 0).unwrap())
}

#[test]
fn equal_histories_evict_equally() {
    let history = || {
        // Large enough that the crate does not do with fewer shards than it is asked for.
        let cache = BlockCache::new(4 << 20);
        for at in 0..2000u32 {
            cache.insert(1, at, block(at as usize * 37 % 9000));
            for back in [1, 3, 40] {
                cache.get(1, at.saturating_sub(at % 11 * back));
            }
        }
        let kept: Vec<u32> = (0..2000).filter(|at| cache.get(1, *at).is_some()).collect();
        (kept, cache.stats())
    };
    let (kept, stats) = history();
    assert!(history() == (kept.clone(), stats), "the second run kept others");
    // On every machine, too. Another hash, another number of shards or another crate below: another number.
    assert_eq!(kept.len(), 583);
}

#[test]
fn a_cursor_pins_the_block_it_stands_in_and_no_other() {
    let rig = Rig::new();
    let all = entries(0, 1000);
    let meta = rig.build(1, &all, &options(1024, 0, 10));
    let reader = rig.open_with(&meta, BlockCache::new(4 << 20)).unwrap();
    let count = reader.index().count();
    // Who holds a block besides the cache and the one who asks.
    let pinned = || -> Vec<usize> {
        let block = |at| reader.block(at, Access::Cached).unwrap();
        let others = (0..count).map(|at| (at, Arc::strong_count(&block(at)) - 2));
        others.flat_map(|(at, others)| vec![at; others]).collect()
    };
    assert!(count > 50 && pinned().is_empty());
    let mut iter = TableReader::iter(reader.clone(), Access::Cached);
    let stands = |key: &[u8]| reader.index().find(key).unwrap();
    iter.seek_to_first().unwrap();
    for entry in &all[1..] {
        iter.next().unwrap();
        assert_eq!(iter.key(), entry.0);
    }
    assert_eq!(pinned(), [count - 1]);
    for _ in 0..500 {
        iter.prev().unwrap();
    }
    assert_eq!(pinned(), [stands(iter.key())]);
    for n in [3usize, 990, 400, 401] {
        iter.seek(&all[n].0, TAG_MAX).unwrap();
        assert_eq!(pinned(), [stands(&all[n].0)], "entry {n}");
        iter.seek_before(&all[n].0, TAG_MAX).unwrap();
        assert_eq!(pinned(), [stands(&all[n - 1].0)], "entry {n}");
    }
    drop(iter);
    assert!(pinned().is_empty());
}

#[test]
fn values_outlive_their_reader() {
    let rig = Rig::new();
    let meta = rig.build(1, &entries(0, 100), &options(1024, 0, 10));
    let reader = rig.open(&meta).unwrap();
    let value = reader.get(b"00000042", hash64(b"00000042", 0), TAG_MAX, true).unwrap().unwrap().1;
    drop(reader);
    assert_eq!(value.as_slice(), [42; 90]);
}

#[test]
fn filters_are_counted_and_spare_reads() {
    let rig = Rig::new();
    let meta = rig.build(1, &entries(0, 1000), &options(1024, 0, 10));
    let blocks = BlockCache::new(1 << 20);
    let reader = rig.open_with(&meta, blocks.clone()).unwrap();
    let before = rig.kernel.count(CallKind::Pread);
    for n in 0..1000 {
        let key = format!("{n:08}x").into_bytes();
        assert!(reader.get(&key, hash64(&key, 0), TAG_MAX, true).unwrap().is_none());
    }
    let (probes, rejects) = blocks.filter_stats();
    assert_eq!(probes, 1000);
    assert!(rejects > 960 && rejects <= 1000, "{rejects}");
    let (hits, misses, _) = blocks.stats();
    assert_eq!(hits + misses, probes - rejects, "whom the filter rejects looks at no block");
    assert_eq!(rig.kernel.count(CallKind::Pread) - before, misses);
}

#[test]
fn a_key_behind_the_last_block_costs_no_look_at_any() {
    let rig = Rig::new();
    let meta = rig.build(1, &entries(0, 1000), &options(1024, 0, 0));
    let blocks = BlockCache::new(1 << 20);
    let reader = rig.open_with(&meta, blocks.clone()).unwrap();
    assert!(reader.get(b"00001000", 0, TAG_MAX, true).unwrap().is_none());
    assert_eq!(blocks.stats(), (0, 0, 0), "there is no filter: the index alone has said so");
}

#[test]
fn a_level_opens_a_table_only_when_the_cursor_enters_it() {
    let rig = Rig::new();
    let tables = handles(&rig, 6, None);
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(1 << 20), 100);
    let opened = || rig.kernel.count(CallKind::Open) - 1;
    let mut iter = LevelIter::new(tables, cache, Access::Cached);
    assert_eq!(opened(), 0);
    iter.seek(b"00000250", TAG_MAX).unwrap();
    assert_eq!((iter.key(), opened()), (&b"00000250"[..], 1));
    iter.seek_before(b"00000300", TAG_MAX).unwrap();
    assert_eq!(iter.key(), b"00000299");
    iter.seek(b"00000600", TAG_MAX).unwrap();
    assert!(!iter.valid());
    iter.seek_to_last().unwrap();
    assert_eq!((iter.key(), opened() <= 3), (&b"00000599"[..], true));
}

/// The middle table of three is damaged or gone. Nobody who goes on regardless gets to see the one behind it.
#[test]
fn a_level_is_left_at_an_error_until_the_next_seek() {
    for (gone, forward) in [(false, true), (false, false), (true, true), (true, false)] {
        let rig = Rig::new();
        let tables = handles(&rig, 3, None);
        let name = FileKind::Table(FileNum(2)).name();
        if gone {
            assert!(rig.kernel.remove_file(ROOT, &name));
        } else {
            rig.kernel.corrupt(ROOT, &name, tables[1].meta.size / 2, 1);
        }
        let blocks = BlockCache::new(1 << 20);
        let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, blocks, 100);
        let mut iter = LevelIter::new(tables, cache, Access::Cached);
        let walk = |iter: &mut LevelIter| if forward { iter.next() } else { iter.prev() };
        if forward { iter.seek_to_first() } else { iter.seek_to_last() }.unwrap();
        let mut rows = 0;
        let error = loop {
            assert!(iter.valid(), "the other end is not reached");
            rows += 1;
            if let Err(error) = walk(&mut iter) {
                break error;
            }
        };
        let what = format!("gone {gone}, forward {forward}");
        assert_eq!((error.kind(), error.detail().file_number), (ErrorKind::Corrupt, 2), "{what}");
        assert!(if gone { rows == 100 } else { rows > 100 && rows < 200 }, "{what}: {rows} rows");
        assert!(!iter.valid() && iter.key().is_empty(), "{what}");
        for back in [false, true, false] {
            let moved = if back == forward { iter.prev() } else { iter.next() };
            assert!(!iter.valid(), "{what}: a move after the error, {:?}", moved.is_ok());
        }
        iter.seek(b"00000250", TAG_MAX).unwrap();
        assert_eq!(iter.key(), b"00000250", "{what}");
        iter.seek_before(b"00000050", TAG_MAX).unwrap();
        assert_eq!(iter.key(), b"00000049", "{what}");
    }
}

#[test]
fn a_table_that_the_manifest_names_and_nobody_finds_is_corruption() {
    let rig = Rig::new();
    let tables = handles(&rig, 1, None);
    assert!(rig.kernel.remove_file(ROOT, &FileKind::Table(FileNum(1)).name()));
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(0), 1);
    let error = cache.reader(&tables[0]).err().unwrap();
    assert_eq!((error.kind(), error.detail().file_number), (ErrorKind::Corrupt, 1));
}

#[test]
fn many_threads_open_and_read_under_a_small_cap() {
    let rig = Rig::new();
    let tables = handles(&rig, 12, None);
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(20_000), 3);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (tables, cache) = (&tables, &cache);
            scope.spawn(move || {
                let mut rng = super::Rng(thread + 77);
                for _ in 0..2000 {
                    let n = rng.next() % 1200;
                    let key = format!("{n:08}").into_bytes();
                    let reader = cache.reader(&tables[n as usize / 100]).unwrap();
                    let got = reader.get(&key, hash64(&key, 0), TAG_MAX, true).unwrap().unwrap();
                    assert_eq!(got.1.as_slice(), [n as u8; 90]);
                }
            });
        }
    });
    assert!(cache.open_tables() <= 3);
    assert!(cache.blocks().stats().2 <= 20_000);
}
