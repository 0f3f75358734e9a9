//! Crashes at every call of small workloads, and what may be removed when.

use super::{expected, fill, key, value};
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::Options;
use esker::internals::sync::Arc;

/// A scripted life: what it had acknowledged, and what a sync had promised, when it died.
struct Life {
    acknowledged: u64,
    promised: u64,
}

/// Three rows per batch, all with the batch's number; some synced, some flushed, one compaction.
fn scripted(db: &Db, steps: u64) -> Life {
    let mut life = Life { acknowledged: 0, promised: 0 };
    let step = |life: &mut Life, n: u64| -> Result<()> {
        let mut batch = esker::internals::batch::WriteBatch::new();
        for place in 0..3 {
            let key = format!("{}{place}", n % 5);
            batch.put(db.keyspace(), key.as_bytes(), n.to_string().as_bytes())?;
        }
        let params = if n % 4 == 1 { synced() } else { buffered() };
        db.write(batch.as_bytes(), &params)?;
        life.acknowledged = n;
        if n % 4 == 1 {
            life.promised = n;
        }
        if n % 6 == 5 {
            db.flush()?;
            life.promised = n;
        }
        if n == 14 {
            db.compact(None, None, false, &mut |_, _, _| true)?;
            life.promised = n;
        }
        Ok(())
    };
    for n in 1..=steps {
        if step(&mut life, n).is_err() {
            break;
        }
    }
    life
}

/// The rows after `n` steps.
fn scripted_rows(n: u64) -> Rows {
    let mut rows = Rows::new();
    for step in 1..=n {
        for place in 0..3 {
            let key = format!("{}{place}", step % 5).into_bytes();
            rows.insert(key, step.to_string().into_bytes());
        }
    }
    rows
}

#[test]
fn every_crash_point_of_a_script_reopens_to_a_legal_prefix() {
    const STEPS: u64 = 18;
    let options = Options { write_buffer: 512, ..tiny() };
    let kernel = SimKernel::new(19);
    let db = open(&kernel, &options).expect("opens");
    let before = kernel.calls();
    scripted(&db, STEPS);
    let calls = kernel.calls() - before;
    assert!(calls > 60, "{calls} calls are too few to be a test");
    drop(db);
    for n in 0..=calls {
        for policy in CrashPolicy::ALL {
            let kernel = SimKernel::new(19);
            let db = open(&kernel, &options).expect("opens");
            kernel.freeze_after(n);
            let life = scripted(&db, STEPS);
            let image = crash(&kernel, Some(db), policy, n);
            let what = format!("call {n}, {policy:?}");
            check_life(&image, &options, &life, policy, STEPS, &what);
        }
    }
}

fn check_life(
    kernel: &Arc<SimKernel>,
    options: &Options,
    life: &Life,
    policy: CrashPolicy,
    steps: u64,
    what: &str,
) {
    let db = reopen(kernel, options).unwrap_or_else(|e| panic!("{what}: {:?} {e}", e.kind()));
    let found = rows(&db);
    let lowest = match policy {
        CrashPolicy::Kill => life.acknowledged,
        // The newest write had perhaps not returned.
        CrashPolicy::KillTorn => life.acknowledged.saturating_sub(1).max(life.promised),
        _ => life.promised,
    };
    let highest = (life.acknowledged + 1).min(steps);
    let legal = (lowest..=highest).any(|n| scripted_rows(n) == found);
    assert!(legal, "{what}: not a state from {lowest} to {highest}: {found:?}");
    // It can be written, crash and be opened again.
    db.put(&synced(), b"more", b"1").expect("writes work after a crash");
    db.put(&buffered(), b"and", b"2").expect("writes work after a crash");
    let second = crash(kernel, Some(db), policy, 1);
    let db = reopen(&second, options).unwrap_or_else(|e| panic!("{what}, again: {e}"));
    let mut again = rows(&db);
    assert_eq!(again.remove(&b"more"[..]), Some(b"1".to_vec()), "{what}: a synced write");
    again.remove(&b"and"[..]);
    assert_eq!(again, found, "{what}: the second recovery");
}

/// A kill at any point, a process that recovers and makes a promise without writing, then a power cut.
/// What a process leaves that is killed at any call of a work with whole logs below the floor of a flush.
fn killed_anywhere(options: &Options, mut check: impl FnMut(u64, &SimKernel)) {
    let work = |db: &Db| {
        for n in 0..24 {
            if db.put(&buffered(), &key(n), &[n as u8; 9_000]).is_err() {
                break;
            }
        }
    };
    let kernel = SimKernel::new(22);
    let db = open(&kernel, options).expect("opens");
    let before = kernel.calls();
    work(&db);
    let calls = kernel.calls() - before;
    drop(db);
    for n in 0..=calls {
        let kernel = SimKernel::new(22);
        let db = open(&kernel, options).expect("opens");
        kernel.freeze_after(n);
        work(&db);
        check(n, &crash(&kernel, Some(db), CrashPolicy::Kill, n));
    }
}

/// That a power cut leaves these rows.
fn survive(kernel: &Arc<SimKernel>, db: Db, options: &Options, promised: &Rows, what: &str) {
    let kernel = crash(kernel, Some(db), CrashPolicy::OnlySynced, 1);
    let left = rows(&reopen(&kernel, options).expect("opens"));
    let kept = promised.iter().all(|(k, v)| left.get(k) == Some(v));
    assert!(kept, "{what}: {} of {}", left.len(), promised.len());
}

#[test]
fn promises_about_what_a_killed_process_left_in_the_page_cache_hold() {
    let options = Options { write_buffer: 512, ..tiny() };
    killed_anywhere(&options, |n, killed| {
        for promise in ["sync", "flush", "close", "durable_seq"] {
            let kernel = killed.crash(CrashPolicy::Kill, n);
            let db = reopen(&kernel, &options).expect("opens");
            let mut promised = rows(&db);
            match promise {
                "sync" => db.sync().expect("synced"),
                "flush" => db.flush().expect("flushed"),
                "close" => db.close(false).expect("closed"),
                _ => {
                    let durable = db.durable_seq().expect("open");
                    // The n-th put of this work has number n + 1.
                    promised.retain(|k, _| (0..durable).any(|seq| *k == key(seq)));
                }
            }
            survive(&kernel, db, &options, &promised, &format!("killed at call {n}, {promise}"));
        }
    });
}

#[test]
fn a_promise_that_failed_is_not_given_by_asking_again() {
    let options = Options { write_buffer: 512, ..tiny() };
    let mut refused = 0;
    killed_anywhere(&options, |n, killed| {
        for call in [CallKind::Fdatasync, CallKind::Fsync] {
            let kernel = killed.crash(CrashPolicy::Kill, n);
            let db = reopen(&kernel, &options).expect("opens");
            let promised = rows(&db);
            kernel.set_fault(Fault {
                call,
                nth: 1,
                errno: libc::EIO,
                forever: false,
                short: false,
            });
            if db.sync().is_ok() {
                // This one syncs nothing of the kind.
                continue;
            }
            // The kernel counts as clean what it did not write, so a second sync would find nothing to do.
            let what = format!("killed at call {n}, {call:?} failed");
            if db.sync().is_err() {
                refused += 1;
                db.resume().and_then(|()| db.sync()).unwrap_or_else(|e| panic!("{what}: {e}"));
            }
            survive(&kernel, db, &options, &promised, &what);
        }
    });
    assert!(refused > 20, "{refused}");
}

#[test]
fn obsolete_files_are_removed_and_none_too_early() {
    let kernel = SimKernel::new(20);
    let db = open(&kernel, &tiny()).expect("opens");
    for round in 0..40 {
        for n in 0..50 {
            db.put(&buffered(), &key(n), &value(n + round)).expect("written");
        }
        let tables: u64 = shape(&db).iter().sum();
        assert_eq!(names(&kernel, ".sst").len() as u64, tables, "round {round}");
        let image = kernel.crash(CrashPolicy::OnlySynced, round);
        drop(reopen(&image, &tiny()).expect("nothing is missing after a power cut"));
    }
    let logs = names(&kernel, ".wal");
    assert!(logs.len() <= 2, "{logs:?}");
    let mut manifests = names(&kernel, "");
    manifests.retain(|name| name.starts_with("MANIFEST"));
    assert_eq!(manifests.len(), 1, "{manifests:?}");
}

/// Logs below the floor that the process before could not remove were left for ever.
#[test]
fn logs_below_the_floor_that_a_killed_process_left_are_removed() {
    let kernel = SimKernel::new(23);
    let db = open(&kernel, &tiny()).expect("opens");
    fail_always(&kernel, CallKind::Unlink, EIO);
    for n in 0..40 {
        db.put(&buffered(), &key(n), &[n as u8; 9_000]).expect("written");
    }
    let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, 23);
    let left = names(&kernel, ".wal");
    assert!(left.len() > 3, "{left:?}");
    let db = reopen(&kernel, &tiny()).expect("opens");
    assert_eq!(names(&kernel, ".wal"), left, "recovery writes nothing");
    db.put(&buffered(), b"x", b"").expect("written");
    db.flush().expect("flushed");
    let logs = names(&kernel, ".wal");
    assert!(logs.len() <= 2 && logs > left, "{logs:?}");
}

/// What a killed process has left, logs below the floor and tables that nothing names, is removed on the word of a
/// durable manifest only, and the one that was found may not be: a second crash must decide the same.
#[test]
fn a_process_that_changes_nothing_removes_nothing() {
    let kernel = SimKernel::new(26);
    let db = open(&kernel, &tiny()).expect("opens");
    fail_always(&kernel, CallKind::Unlink, EIO);
    for n in 0..40 {
        db.put(&buffered(), &key(n), &[n as u8; 9_000]).expect("written");
    }
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    let tables: u64 = shape(&db).iter().sum();
    let killed = crash(&kernel, Some(db), CrashPolicy::Kill, 26);
    assert!(names(&killed, ".wal").len() > 3 && names(&killed, ".sst").len() as u64 > tables);
    for (deterministic, read_only) in [(true, false), (false, false), (true, true), (false, true)] {
        let kernel = killed.crash(CrashPolicy::Kill, 1);
        let options =
            Options { deterministic, compaction_auto: false, write_buffer: 1 << 20, ..tiny() };
        let before = files(&kernel);
        let flags = OpenFlags { read_only, ..OpenFlags::default() };
        let db = Db::open(&Fs::Sim(kernel.clone()), PATH.as_bytes(), &options, flags);
        let db = db.expect("opens");
        assert_eq!(rows(&db).len(), 40);
        // A close cleans up whatever it may.
        db.close(false).expect("closes");
        let what = format!("deterministic: {deterministic}, read only: {read_only}");
        assert!(files(&kernel) == before, "{what}: {:?}", names(&kernel, ""));
    }
}

#[test]
fn a_file_that_cannot_be_removed_is_told_and_removed_later() {
    let kernel = SimKernel::new(27);
    let options = Options { compaction_auto: false, ..tiny() };
    let db = open(&kernel, &options).expect("opens");
    fill(&db, 0, 200);
    assert!(db.last_error().is_none());
    for (what, ending) in [("tables", ".sst"), ("logs", ".wal")] {
        fail_always(&kernel, CallKind::Unlink, EIO);
        let (told, before) = (db.errors_since(0).1, names(&kernel, ending));
        if what == "tables" {
            db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
            // The compaction itself has held some of them until its end.
            db.put(&buffered(), b"x", b"").expect("written");
        } else {
            for n in 0..40 {
                db.put(&buffered(), &key(n), &[n as u8; 9_000]).expect("written");
            }
            db.flush().expect("flushed");
        }
        assert!(names(&kernel, ending).len() > before.len() + 2, "{what} are left");
        let (errors, _) = db.errors_since(told);
        let named = |name: &String| errors.iter().any(|error| error.to_string().contains(name));
        assert!(before.iter().any(named), "{what}: {errors:?}");
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Io), "{what}: {errors:?}");
        kernel.clear_faults();
        db.put(&buffered(), b"x", b"").expect("written");
        db.flush().expect("flushed");
        let tables: u64 = shape(&db).iter().sum();
        assert_eq!(names(&kernel, ".sst").len() as u64, tables, "{what}");
        let logs = names(&kernel, ".wal");
        assert!(logs.len() <= 3, "{what}: {logs:?}");
    }
}

#[test]
fn a_compaction_on_request_removes_what_a_killed_process_left_also_when_there_is_nothing_to_compact()
 {
    let kernel = SimKernel::new(25);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 0, 200);
    db.compact(None, None, false, &mut |_, _, _| true).expect("compacted");
    let live = names(&kernel, ".sst");
    fail_always(&kernel, CallKind::Unlink, EIO);
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, 25);
    let left = names(&kernel, ".sst");
    assert!(left.len() > live.len(), "{left:?}");
    let db = reopen(&kernel, &tiny()).expect("opens");
    db.compact(None, None, false, &mut |_, _, _| true).expect("there was nothing to do");
    let kept = names(&kernel, ".sst");
    assert!(kept.len() < left.len() && kept.len() <= live.len(), "{kept:?} of {left:?}");
    assert_eq!(rows(&db), expected(0, 200));
    let db = cycle(&kernel, db, &tiny());
    assert_eq!(rows(&db), expected(0, 200));
}

#[test]
fn a_cursor_keeps_the_tables_of_its_view() {
    let kernel = SimKernel::new(21);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 0, 100);
    db.flush().expect("flushed");
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    assert!(iter.first().expect("moves"));
    for n in 0..100 {
        db.delete(&buffered(), &key(n)).expect("written");
    }
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    assert!(rows(&db).is_empty());
    let mut shown = 1;
    while iter.next().expect("the old tables can be read") {
        shown += 1;
    }
    assert_eq!(shown, 100);
    drop(iter);
    // The next work behind the scenes removes what only the cursor needed.
    db.put(&buffered(), b"x", b"").expect("written");
    db.flush().expect("flushed");
    let tables: u64 = shape(&db).iter().sum();
    assert_eq!(names(&kernel, ".sst").len() as u64, tables);
}
