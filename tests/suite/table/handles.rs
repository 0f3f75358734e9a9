//! Open tables and cached blocks: their bounds, and who frees what.

use super::{Entry, ROOT, Rig, options};
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
    for n in 0..1000 {
        let key = format!("{n:08}x").into_bytes();
        assert!(reader.get(&key, hash64(&key, 0), TAG_MAX, true).unwrap().is_none());
    }
    let (probes, rejects) = blocks.filter_stats();
    assert_eq!(probes, 1000);
    assert!(rejects > 960 && rejects <= 1000, "{rejects}");
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
