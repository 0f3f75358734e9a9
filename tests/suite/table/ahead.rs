//! Reading ahead: fewer reads for a scan, none more for anything else, and errors where they are.

use super::{Entry, ROOT, Rig, options};
use esker::internals::block::format::Block;
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::ErrorKind;
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, make_tag};
use esker::internals::sync::Arc;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;

/// The longest window.
const WINDOW_MAX: u64 = 128 << 10;

/// Some 1,000 blocks of 1 KiB and, one in 100, of 40 KiB.
fn rig() -> (Rig, Arc<TableReader>, Vec<Entry>) {
    let rig = Rig::new();
    let entry = |n: u32| {
        let len = if n % 1000 == 999 { 40_000 } else { 90 };
        (format!("{n:08}").into_bytes(), make_tag(3, EntryKind::Put), vec![n as u8; len])
    };
    let all: Vec<Entry> = (0..10_000).map(entry).collect();
    let meta = rig.build(1, &all, &options(1024, 0, 10));
    let reader = rig.open_with(&meta, BlockCache::new(64 << 20)).unwrap();
    (rig, reader, all)
}

/// Reads that `work` causes.
fn reads(rig: &Rig, work: impl FnOnce()) -> usize {
    let before = rig.kernel.count(CallKind::Pread);
    work();
    (rig.kernel.count(CallKind::Pread) - before) as usize
}

#[test]
fn a_scan_reads_many_blocks_at_once_in_both_directions() {
    for forward in [true, false] {
        let (rig, reader, all) = rig();
        let scan = |access| {
            let mut iter = TableReader::iter(reader.clone(), access);
            if forward {
                iter.seek_to_first().unwrap()
            } else {
                iter.seek_to_last().unwrap()
            }
            let mut seen = 0;
            while iter.valid() {
                let at = if forward { seen } else { all.len() - 1 - seen };
                assert_eq!((iter.key(), iter.value()), (&all[at].0[..], &all[at].2[..]));
                if forward {
                    iter.next().unwrap()
                } else {
                    iter.prev().unwrap()
                }
                seen += 1;
            }
            assert_eq!(seen, all.len());
        };
        let blocks = reader.index().count();
        for access in [Access::Around, Access::NoFill, Access::Cached] {
            let reads = reads(&rig, || scan(access));
            assert!(reads * 20 < blocks, "{reads} reads for {blocks} blocks");
        }
        assert_eq!(reads(&rig, || scan(Access::Cached)), 0, "all of them are in the cache now");
    }
}

#[test]
fn look_ups_and_seeks_read_only_their_blocks() {
    let (rig, reader, all) = rig();
    let mut iter = TableReader::iter(reader.clone(), Access::Around);
    for n in [100usize, 5000, 200, 9000, 4000] {
        assert_eq!(reads(&rig, || iter.seek(&all[n].0, TAG_MAX).unwrap()), 1);
        let get = || assert!(reader.get(&all[n].0, hash64(&all[n].0, 0), TAG_MAX, false).is_ok());
        assert_eq!(reads(&rig, get), 1);
    }
}

/// Every read of a file moves half of what is still wanted, so that the number of reads tells their length.
fn halve_reads(rig: &Rig) {
    let call = CallKind::Pread;
    rig.kernel.set_fault(Fault { call, nth: 1, errno: 0, forever: true, short: true });
}

fn block(reader: &TableReader, at: usize) -> Arc<Block> {
    reader.block(at, Access::Around).unwrap()
}

#[test]
fn a_cursor_that_seeks_about_or_finds_blocks_in_the_cache_reads_no_byte_more() {
    let (rig, reader, all) = rig();
    halve_reads(&rig);
    let alone = |at: usize| reads(&rig, || drop(block(&reader, at)));
    assert!(alone(0) < 12, "a window, of 16 KiB at least, takes 15 reads");
    let find = |n: usize| reader.index().find(&all[n].0).unwrap();
    let mut iter = TableReader::iter(reader.clone(), Access::NoFill);
    for n in [100usize, 5000, 200, 9000, 4000, 9999, 0] {
        let seek = reads(&rig, || iter.seek(&all[n].0, TAG_MAX).unwrap());
        assert_eq!(seek, alone(find(n)), "entry {n}");
    }
    // Two neighbours are loaded, but what the cache had lies between.
    drop(reader.block(find(5000), Access::Cached).unwrap());
    for (n, cached) in [(700usize, false), (5000, true), (709, false)] {
        let seek = reads(&rig, || iter.seek(&all[n].0, TAG_MAX).unwrap());
        assert_eq!(seek, if cached { 0 } else { alone(find(n)) }, "entry {n}");
    }
    assert_eq!(find(700) + 1, find(709));

    let blocks = reader.index().count();
    for at in (1..blocks).step_by(2) {
        drop(reader.block(at, Access::Cached).unwrap());
    }
    let uncached = (0..blocks).step_by(2).filter(|at| *at != find(5000));
    let wanted: usize = uncached.map(alone).sum();
    let mut rows = 0;
    let scan = reads(&rig, || {
        iter.seek_to_first().unwrap();
        while iter.valid() {
            rows += 1;
            iter.next().unwrap();
        }
    });
    assert_eq!((rows, scan), (all.len(), wanted));
}

#[test]
fn windows_are_bounded_and_end_with_the_data() {
    let rig = Rig::new();
    let entry = |n: u32| {
        let len = match n {
            1000 | 2000 => 40_000,
            1500 => 200_000,
            _ => 90,
        };
        (format!("{n:08}").into_bytes(), make_tag(3, EntryKind::Put), vec![n as u8; len])
    };
    let all: Vec<Entry> = (0..3000).map(entry).collect();
    let meta = rig.build(1, &all, &options(1024, 0, 10));
    let reader = rig.open(&meta).unwrap();
    let index = reader.index();
    // Nothing is behind the last block any more: a window that went past it would come back short.
    let name = FileKind::Table(FileNum(1)).name();
    let bytes = rig.kernel.read_file(ROOT, &name).unwrap();
    rig.kernel.write_file(ROOT, &name, &bytes[..index.data_len() as usize]);
    for forward in [true, false] {
        let mut order: Vec<usize> = (0..index.count()).collect();
        if !forward {
            order.reverse();
        }
        // Which blocks came with one read.
        let mut windows: Vec<Vec<usize>> = Vec::new();
        let mut ahead = Default::default();
        for at in order {
            let load = || drop(reader.block_ahead(at, Access::Around, &mut ahead).unwrap());
            match reads(&rig, load) {
                0 => windows.last_mut().unwrap().push(at),
                1 => windows.push(vec![at]),
                more => panic!("{more} reads for block {at}, forward {forward}"),
            }
        }
        let len = |window: &Vec<usize>| {
            let (first, last) = (window.iter().min().unwrap(), window.iter().max().unwrap());
            index.block_range(*last).1 - index.block_range(*first).0
        };
        let longest = windows.iter().filter(|window| window.len() > 1).map(len).max().unwrap();
        assert!(longest <= WINDOW_MAX, "{longest}, forward {forward}");
        assert!(longest > WINDOW_MAX / 2, "{longest}, forward {forward}");
    }
}

#[test]
fn blocks_read_together_fail_one_by_one() {
    // A prefix, on which the checks of the entries would stumble too, and a value, which only the checksum covers.
    for in_value in [false, true] {
        let (rig, reader, all) = rig();
        let (start, _) = reader.index().block_range(30);
        let value = || block(&reader, 30).entry(4).value.start as u64 + 20;
        let at = start + if in_value { value() } else { 20 };
        rig.kernel.corrupt(ROOT, &FileKind::Table(FileNum(1)).name(), at, 4);
        let mut iter = TableReader::iter(reader.clone(), Access::Cached);
        iter.seek_to_first().unwrap();
        let mut seen = 0;
        let error = loop {
            let (key, _, value) = &all[seen];
            assert!((iter.key(), iter.value()) == (key, value), "row {seen} before the damage");
            seen += 1;
            match iter.next() {
                Ok(()) => assert!(iter.valid(), "the end is not reached"),
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Corrupt, start));
        let before: usize = (0..30).map(|at| block(&reader, at).count()).sum();
        assert!(!iter.valid());
        assert_eq!(seen, before, "damage ahead is not met before the cursor comes to it");
        iter.seek(&all[seen + 500].0, TAG_MAX).unwrap();
        assert_eq!(iter.key(), all[seen + 500].0, "later blocks are as good as ever");
    }
}

#[test]
fn a_read_that_fails_is_reported() {
    let (rig, reader, _) = rig();
    for nth in 1..6 {
        let mut iter = TableReader::iter(reader.clone(), Access::Around);
        let errno = 5;
        let fault = Fault { call: CallKind::Pread, nth, errno, forever: false, short: false };
        rig.kernel.set_fault(fault);
        let mut moved = iter.seek_to_first();
        while moved.is_ok() && iter.valid() {
            moved = iter.next();
        }
        let error = moved.unwrap_err();
        assert_eq!((error.kind(), error.detail().file_number), (ErrorKind::Io, 1));
        assert!(!iter.valid());
        rig.kernel.clear_faults();
    }
}

#[test]
fn a_read_that_fails_at_another_block_is_none_of_the_cursors_business() {
    let (rig, reader, all) = rig();
    let call = CallKind::Pread;
    // The first read is that of a block alone, the next three are those of windows. Backward, a window begins with
    // another block than the cursor's; forward, it is the second half that fails.
    for (forward, nth) in [(true, 2), (true, 3), (true, 4), (false, 2), (false, 3), (false, 4)] {
        let mut iter = TableReader::iter(reader.clone(), Access::Around);
        rig.kernel.set_fault(Fault { call, nth, errno: 5, forever: false, short: forward });
        let fired = rig.kernel.faults_fired();
        let mut rows = 0;
        let mut moved = if forward { iter.seek_to_first() } else { iter.seek_to_last() };
        while moved.is_ok() && iter.valid() {
            rows += 1;
            moved = if forward { iter.next() } else { iter.prev() };
        }
        moved.unwrap_or_else(|error| panic!("forward {forward}, read {nth}: {error}"));
        assert_eq!(rows, all.len(), "forward {forward}, read {nth}");
        assert_eq!(rig.kernel.faults_fired() - fired, 1 + u64::from(forward));
        rig.kernel.clear_faults();
    }
}
