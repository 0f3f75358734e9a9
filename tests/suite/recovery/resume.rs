//! Taking writes up again: after every call that may fail, during crashes, beside closes and writers.

use super::{expected, fill, key, value};
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use esker::internals::sync::Arc;
use std::collections::BTreeSet;

const POLICIES: [CrashPolicy; 6] = [
    CrashPolicy::Kill,
    CrashPolicy::OnlySynced,
    CrashPolicy::Ext4Like,
    CrashPolicy::RandomPages,
    CrashPolicy::Torn512,
    CrashPolicy::Reordered,
];

/// A database whose writes a failed sync has stopped: 10 rows promised, 3 acknowledged, one refused.
fn stopped(seed: u64, options: &Options) -> (Arc<SimKernel>, Db) {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, options).expect("opens");
    fill(&db, 0, 9);
    db.put(&synced(), &key(9), &value(9)).expect("written");
    fill(&db, 10, 13);
    fail_once(&kernel, CallKind::Fdatasync, 1, EIO);
    assert_eq!(kind(db.put(&synced(), b"refused", b"")), Some(ErrorKind::Io));
    kernel.clear_faults();
    assert_eq!(kind(db.put(&buffered(), b"refused", b"")), Some(ErrorKind::Poisoned));
    (kernel, db)
}

#[test]
fn writes_go_on_after_a_failed_sync_and_everything_is_durable() {
    let (kernel, db) = stopped(31, &calm());
    db.resume().expect("the disk works again");
    assert_eq!(rows(&db), expected(0, 13));
    for (n, policy) in POLICIES.into_iter().enumerate() {
        let image = kernel.crash(policy, n as u64);
        let db = reopen(&image, &calm()).expect("opens");
        assert_eq!(rows(&db), expected(0, 13), "{policy:?}: resuming made it durable");
    }
    fill(&db, 13, 20);
    db.put(&synced(), &key(20), &value(20)).expect("syncs work again");
    assert_eq!(names(&kernel, ".wal").len(), 1, "the logs of before are gone");
    let image = kernel.crash(CrashPolicy::OnlySynced, 1);
    assert_eq!(rows(&reopen(&image, &calm()).expect("opens")), expected(0, 21));
    let db = cycle(&kernel, db, &calm());
    assert_eq!(rows(&db), expected(0, 21), "the refused write never comes back");
}

#[test]
fn resuming_what_never_stopped_is_ok_and_changes_nothing() {
    let kernel = SimKernel::new(32);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 0, 5);
    let before = files(&kernel);
    db.resume().expect("nothing is wrong");
    assert!(files(&kernel) == before);
    db.close(false).expect("closes");
    assert_eq!(kind(db.resume()), Some(ErrorKind::Closed));
}

#[test]
fn a_cause_that_persists_is_told_and_nothing_is_lost() {
    let faults = [
        (CallKind::Fdatasync, EIO),
        (CallKind::Pwrite, EIO),
        (CallKind::Create, ENOSPC),
        (CallKind::Fallocate, ENOSPC),
        (CallKind::Rename, EIO),
        (CallKind::Fsync, EIO),
    ];
    for (call, errno) in faults {
        let (kernel, db) = stopped(33, &calm());
        fail_always(&kernel, call, errno);
        for _ in 0..3 {
            // A call that resuming does not need to make does not stop it.
            let Err(error) = db.resume() else { break };
            let told = if errno == EIO { ErrorKind::Io } else { ErrorKind::NoSpace };
            assert_eq!(error.kind(), told, "{call:?}: {error}");
            assert_eq!(kind(db.put(&buffered(), b"k", b"")), Some(ErrorKind::Poisoned), "{call:?}");
            assert_eq!(rows(&db), expected(0, 13), "{call:?}: reads go on");
            let image = kernel.crash(CrashPolicy::Kill, 1);
            let mut shown = rows(&reopen(&image, &calm()).expect("opens"));
            shown.remove(&b"refused"[..]);
            assert_eq!(shown, expected(0, 13), "{call:?}: killed after it failed");
        }
        kernel.clear_faults();
        db.resume().unwrap_or_else(|error| panic!("{call:?}: the fault is over: {error}"));
        fill(&db, 13, 30);
        let db = cycle(&kernel, db, &calm());
        assert_eq!(rows(&db), expected(0, 30), "{call:?}");
    }
}

#[test]
fn a_crash_at_any_call_of_resuming_keeps_what_a_crash_before_it_would_have_kept() {
    for policy in POLICIES {
        let mut calls = 0;
        loop {
            let (kernel, db) = stopped(34, &tiny());
            kernel.freeze_after(calls);
            let done = db.resume().is_ok() && !kernel.frozen();
            let image = kernel.crash(policy, calls);
            kernel.freeze_after(0);
            drop(db);
            let what = format!("{policy:?}, call {calls}");
            let db = reopen(&image, &tiny()).unwrap_or_else(|error| panic!("{what}: {error}"));
            let mut shown = rows(&db);
            shown.remove(&b"refused"[..]);
            let n = shown.len() as u64;
            assert_eq!(shown, expected(0, n), "{what}: a prefix");
            let least = if policy == CrashPolicy::Kill || done { 13 } else { 10 };
            assert!(n >= least && n <= 13, "{what}: {n} rows");
            db.put(&synced(), b"later", b"").unwrap_or_else(|error| panic!("{what}: {error}"));
            if done {
                break;
            }
            calls += 1;
        }
        assert!(calls > 10, "{policy:?}: resuming made only {calls} calls");
    }
}

/// Runs writes, some synced, some flushed, of which the n-th call of a kind fails, and resumes whenever they
/// stop. False when the fault was never met.
fn survive(call: CallKind, fault: Fault, options: &Options) -> bool {
    let what = format!("{call:?} {fault:?}");
    let kernel = SimKernel::new(35);
    let db = open(&kernel, options).expect("opens");
    kernel.set_fault(fault);
    let mut acknowledged = Rows::new();
    let mut refused = BTreeSet::new();
    for n in 0..60 {
        let params = if n % 5 == 3 { synced() } else { buffered() };
        match db.put(&params, &key(n), &value(n)) {
            Ok(_) => drop(acknowledged.insert(key(n), value(n))),
            Err(error) => {
                refused.insert(key(n));
                if error.kind() == ErrorKind::Poisoned {
                    kernel.clear_faults();
                    db.resume().unwrap_or_else(|error| panic!("{what}: {error}"));
                    db.put(&synced(), &key(1_000 + n), b"").expect("writes are taken up again");
                    acknowledged.insert(key(1_000 + n), Vec::new());
                }
            }
        }
        if n % 16 == 15 && db.flush().is_err() {
            assert!(kernel.faults_fired() > 0, "{what}: flush");
        }
    }
    let fired = kernel.faults_fired() > 0;
    kernel.clear_faults();
    db.resume().unwrap_or_else(|error| panic!("{what}: the fault is over: {error}"));
    db.sync().expect("syncs");
    assert_eq!(rows(&db), acknowledged, "{what}: in memory");
    let images = POLICIES.map(|policy| kernel.crash(policy, fault.nth));
    db.close(false).unwrap_or_else(|error| panic!("{what}: {error}"));
    for kernel in images.iter().chain([&kernel]) {
        let db = reopen(kernel, options).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut shown = rows(&db);
        shown.retain(|key, _| acknowledged.contains_key(key) || !refused.contains(key));
        assert_eq!(shown, acknowledged, "{what}: reopened");
    }
    fired || !refused.is_empty()
}

#[test]
fn any_call_may_fail_once_or_from_then_on_and_resuming_loses_nothing() {
    let calls = [
        CallKind::Pwrite,
        CallKind::Fdatasync,
        CallKind::Fsync,
        CallKind::Create,
        CallKind::Fallocate,
    ];
    let small_logs = Options { log_bytes: 2 << 10, ..tiny() };
    for (call, errno) in calls.into_iter().flat_map(|call| [(call, EIO), (call, ENOSPC)]) {
        for (forever, short) in [(false, false), (false, true), (true, false)] {
            if short && call != CallKind::Pwrite {
                continue;
            }
            // Every call at first, then further and further apart.
            let mut nth = 1;
            while survive(call, Fault { call, nth, errno, forever, short }, &small_logs) {
                nth += 1 + nth / 6;
            }
            assert!(nth > 1, "{call:?} is never made");
        }
    }
}

#[test]
fn a_panic_is_not_made_up_for() {
    let kernel = SimKernel::new(36);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 0, 5);
    db.poison_after_panic("planned");
    assert_eq!(kind(db.resume()), Some(ErrorKind::Poisoned));
    assert_eq!(kind(db.put(&buffered(), b"k", b"")), Some(ErrorKind::Poisoned));
    assert_eq!(rows(&db), expected(0, 5));
}

#[test]
fn resuming_beside_writers_syncs_and_a_close_ends() {
    for seed in 0..12 {
        println!("seed {seed}");
        let options = Options { deterministic: false, ..tiny() };
        let kernel = SimKernel::new(seed);
        let db = open(&kernel, &options).expect("opens");
        let acknowledged = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..2u64)
                .map(|writer| {
                    let db = &db;
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        for n in 0..300 {
                            let n = writer * 10_000 + n;
                            let params = if n % 7 == 0 { synced() } else { buffered() };
                            match db.put(&params, &key(n), &value(n)) {
                                Ok(_) => mine.push(n),
                                Err(error) if error.kind() == ErrorKind::Closed => break,
                                Err(_) => drop(db.resume()),
                            }
                        }
                        mine
                    })
                })
                .collect();
            for nth in 1..20 {
                let call = [CallKind::Fdatasync, CallKind::Pwrite][(seed % 2) as usize];
                fail_once(&kernel, call, nth, EIO);
                drop(db.sync());
                drop(db.resume());
            }
            kernel.clear_faults();
            if seed % 3 == 0 {
                drop(db.close(false));
            }
            writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
        });
        kernel.clear_faults();
        let acknowledged: Vec<u64> = acknowledged;
        if seed % 3 != 0 {
            db.resume().expect("the faults are over");
            drop(db.close(false));
        }
        drop(db);
        let db = reopen(&kernel, &options).expect("opens");
        let shown = rows(&db);
        for n in acknowledged {
            assert_eq!(shown.get(&key(n)), Some(&value(n)), "seed {seed}: row {n}");
        }
    }
}
