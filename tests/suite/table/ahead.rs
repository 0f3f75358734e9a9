//! Reading ahead: fewer reads for a scan, none more for anything else, and errors where they are.

use super::{Entry, ROOT, Rig, options};
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

#[test]
fn blocks_read_together_fail_one_by_one() {
    let (rig, reader, all) = rig();
    let (start, _) = reader.index().block_range(30);
    rig.kernel.corrupt(ROOT, &FileKind::Table(FileNum(1)).name(), start + 20, 4);
    let mut iter = TableReader::iter(reader.clone(), Access::Cached);
    iter.seek_to_first().unwrap();
    let mut seen = 0;
    let error = loop {
        assert_eq!(iter.key(), all[seen].0, "entries before the damage");
        seen += 1;
        match iter.next() {
            Ok(()) => assert!(iter.valid(), "the end is not reached"),
            Err(error) => break error,
        }
    };
    assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Corrupt, start));
    assert!(!iter.valid() && seen > 100, "{seen}");
    iter.seek(&all[seen + 500].0, TAG_MAX).unwrap();
    assert_eq!(iter.key(), all[seen + 500].0, "later blocks are as good as ever");
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
