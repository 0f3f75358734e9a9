//! System calls that fail while the database is open: full disks, failed syncs, appends and flushes.

use super::{expected, fill, key, value};
use crate::simdb::*;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use std::collections::BTreeSet;

#[test]
fn a_full_disk_stops_writes_and_nothing_else() {
    // With a large buffer it is the next log that finds no room, with a small one the tables.
    for options in [Options { write_buffer: 64 << 10, ..calm() }, tiny()] {
        let kernel = SimKernel::new(13);
        let db = open(&kernel, &options).expect("opens");
        let mut written = 0;
        for _ in 0..3 {
            // Room for a few tables, then for nothing.
            kernel.set_capacity(kernel.used() + 3_000);
            let error = loop {
                match db.put(&buffered(), &key(written), &value(written)) {
                    Ok(_) => written += 1,
                    Err(error) => break error,
                }
                assert!(written < 100_000, "the disk is never full");
            };
            assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
            assert!(error.detail().retryable, "{error}");
            assert_eq!(rows(&db), expected(0, written), "reads go on");
            kernel.set_capacity(1 << 40);
            for _ in 0..50 {
                db.put(&buffered(), &key(written), &value(written)).expect("there is space again");
                written += 1;
            }
            assert_eq!(rows(&db), expected(0, written));
        }
        let db = cycle(&kernel, db, &options);
        assert_eq!(rows(&db), expected(0, written), "reopened");
    }
}

#[test]
fn a_failed_sync_stops_writes_until_reopen() {
    let kernel = SimKernel::new(14);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 0, 10);
    db.put(&synced(), &key(10), &value(10)).expect("written");
    fill(&db, 11, 13);
    fail_once(&kernel, CallKind::Fdatasync, 1, EIO);
    let failed = db.put(&synced(), b"unknown", b"until reopen");
    assert_eq!(kind(failed), Some(ErrorKind::Io));
    for params in [buffered(), synced()] {
        assert_eq!(kind(db.put(&params, b"later", b"")), Some(ErrorKind::Poisoned));
    }
    assert_eq!(kind(db.sync()), Some(ErrorKind::Poisoned));
    assert_eq!(kind(db.flush()), Some(ErrorKind::Poisoned));
    assert_eq!(rows(&db), expected(0, 13), "reads work");
    assert_eq!(kind(db.close(false)), Some(ErrorKind::Io), "close tells");
    drop(db);
    let db = reopen(&kernel, &calm()).expect("opens");
    let mut shown = rows(&db);
    shown.remove(&b"unknown"[..]);
    assert_eq!(shown, expected(0, 13), "everything acknowledged is there");
    db.put(&synced(), b"later", b"").expect("writes work again");
}

#[test]
fn a_failed_append_leaves_its_log_and_the_next_write_works() {
    for short in [false, true] {
        let kernel = SimKernel::new(15);
        let db = open(&kernel, &calm()).expect("opens");
        fill(&db, 0, 10);
        kernel.set_fault(Fault {
            call: CallKind::Pwrite,
            nth: 1,
            errno: EIO,
            forever: false,
            short,
        });
        assert_eq!(kind(db.put(&buffered(), b"failed", &[7; 500])), Some(ErrorKind::Io));
        kernel.clear_faults();
        let before = names(&kernel, ".wal");
        assert_eq!(db.latest_seq().expect("open"), 10);
        // The number of the one that failed may stand in the log that was left.
        let next = db.put(&buffered(), &key(10), &value(10)).expect("written");
        assert_eq!(next, 12, "short {short}");
        fill(&db, 11, 20);
        assert!(names(&kernel, ".wal") > before, "a new log was begun");
        assert_eq!(rows(&db), expected(0, 20));
        let image = kernel.crash(CrashPolicy::Kill, 1);
        let db = cycle(&kernel, db, &calm());
        assert_eq!(rows(&db), expected(0, 20), "closed and opened");
        let db = reopen(&image, &calm()).expect("opens");
        assert_eq!(rows(&db), expected(0, 20), "killed and opened");
    }
}

#[test]
fn a_failing_flush_loses_nothing_and_recovers() {
    for call in [CallKind::Create, CallKind::Fsync] {
        let kernel = SimKernel::new(16);
        let db = open(&kernel, &calm()).expect("opens");
        fill(&db, 0, 50);
        fail_always(&kernel, call, ENOSPC);
        assert_eq!(kind(db.flush()), Some(ErrorKind::NoSpace), "{call:?}");
        assert_eq!(rows(&db), expected(0, 50), "{call:?}: reads go on");
        fill(&db, 50, 60);
        assert!(db.last_error().is_some(), "{call:?}: the error ring knows");
        kernel.clear_faults();
        db.flush().expect("the fault is over");
        assert_eq!(db.stats().memtables_immutable, 0);
        assert_eq!(rows(&db), expected(0, 60));
        let tables: u64 = shape(&db).iter().sum();
        assert_eq!(names(&kernel, ".sst").len() as u64, tables, "{call:?}: leftovers");
        let db = cycle(&kernel, db, &calm());
        assert_eq!(rows(&db), expected(0, 60));
    }
}

#[test]
fn a_writer_that_waits_for_a_failing_flush_gets_its_error() {
    let options =
        Options { write_buffer: 1 << 10, immutable_max: 1, deterministic: false, ..tiny() };
    let kernel = SimKernel::new(17);
    let db = open(&kernel, &options).expect("opens");
    fill(&db, 0, 5);
    fail_always(&kernel, CallKind::Create, EIO);
    let mut written = 5;
    let error = loop {
        match db.put(&buffered(), &key(written), &value(written)) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1_000, "writes went on without room");
    };
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert_eq!(rows(&db), expected(0, written));
    kernel.clear_faults();
    db.flush().expect("asking for it tries again");
    fill(&db, written, written + 100);
    assert_eq!(rows(&db), expected(0, written + 100));
}

/// Runs writes of which the n-th call of one kind fails; what was acknowledged must stay.
fn survive_one_fault(call: CallKind, nth: u64, short: bool) -> bool {
    let what = format!("{call:?} {nth}, short {short}");
    let kernel = SimKernel::new(18);
    let db = open(&kernel, &tiny()).expect("opens");
    kernel.set_fault(Fault { call, nth, errno: EIO, forever: false, short });
    let mut acknowledged = Rows::new();
    let mut unknown: BTreeSet<Vec<u8>> = BTreeSet::new();
    for n in 0..80 {
        let params = if n % 8 == 5 { synced() } else { buffered() };
        match db.put(&params, &key(n), &value(n)) {
            Ok(_) => drop(acknowledged.insert(key(n), value(n))),
            Err(_) => drop(unknown.insert(key(n))),
        }
        if n % 16 == 15 && db.flush().is_err() {
            assert!(kernel.faults_fired() > 0, "{what}: flush");
        }
    }
    let fired = kernel.faults_fired() > 0;
    assert!(fired || unknown.is_empty(), "{what}: writes failed without a fault");
    // A read that meets the fault would fail, as it should; what is asked here is what is there.
    kernel.clear_faults();
    assert_eq!(rows(&db), acknowledged, "{what}: reads after the fault");
    let image = kernel.crash(CrashPolicy::Kill, nth);
    let closed = db.close(false);
    assert!(closed.is_ok() || fired, "{what}: close");
    drop(db);
    for (how, kernel) in [("close", &kernel), ("kill", &image)] {
        let db =
            reopen(kernel, &tiny()).unwrap_or_else(|e| panic!("{what}: open after {how}: {e}"));
        let mut shown = rows(&db);
        shown.retain(|key, _| !unknown.contains(key));
        assert_eq!(shown, acknowledged, "{what}: after {how}");
        db.put(&synced(), b"more", b"").expect("writes work after reopen");
    }
    fired
}

#[test]
fn no_single_fault_loses_what_was_acknowledged() {
    let kinds = [
        CallKind::Pwrite,
        CallKind::Fdatasync,
        CallKind::Fsync,
        CallKind::Create,
        CallKind::Rename,
        CallKind::Unlink,
        CallKind::Fallocate,
        CallKind::Pread,
        CallKind::Open,
        CallKind::Truncate,
    ];
    for call in kinds {
        for short in [false, true] {
            if short && !matches!(call, CallKind::Pwrite | CallKind::Pread) {
                continue;
            }
            let points = (1..).take_while(|nth| survive_one_fault(call, *nth, short)).count();
            assert!(points < 5_000, "{call:?} never runs out of calls");
        }
    }
}
