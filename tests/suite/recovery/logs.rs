//! The next log prepared ahead, recycled files, sealing behind the scenes: what the whole engine makes of them.

use super::{expected, fill, key, number_of};
use crate::simdb::*;
use esker::internals::db::events::{self, JobKind};
use esker::internals::db::handle::Db;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::Error;
use esker::internals::options::Options;
use esker::internals::sync::{Arc, Condvar, Mutex};
use esker::internals::types::FileNum;
use std::collections::BTreeSet;

/// Logs of one page, tables of a few rows, all work in the calling thread.
fn short() -> Options {
    Options { log_bytes: 2048, ..tiny() }
}

/// A number of the property "stats".
fn counted(db: &Db, name: &str) -> u64 {
    let text = db.property("stats").unwrap().expect("a known name");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.expect("the number is there").parse().expect("a number")
}

fn write(db: &Db, params: &WriteParams, from: u64, to: u64) {
    for n in from..to {
        db.put(params, &key(n), &[n as u8; 300]).expect("written");
    }
}

fn long_rows(from: u64, to: u64) -> Rows {
    (from..to).map(|n| (key(n), vec![n as u8; 300])).collect()
}

/// Inodes of the logs.
fn inodes(kernel: &Arc<SimKernel>) -> BTreeSet<u64> {
    let dir = Fs::Sim(kernel.clone()).open_dir(PATH.as_bytes(), 0o600).expect("it is there");
    let inode = |name: &String| dir.stat(name).expect("no fault").expect("it is there").inode;
    names(kernel, ".wal").iter().map(inode).collect()
}

#[test]
fn rotations_take_logs_that_were_prepared_ahead_out_of_freed_files() {
    let kernel = SimKernel::new(31);
    let db = open(&kernel, &short()).expect("opens");
    let mut seen = BTreeSet::new();
    for n in 0..400 {
        write(&db, &synced(), n, n + 1);
        seen.extend(inodes(&kernel));
    }
    let (logs, ahead) = (counted(&db, "logs"), counted(&db, "logs_ahead"));
    let recycled = counted(&db, "logs_recycled");
    assert!(logs > 30, "{logs}");
    assert_eq!(ahead, logs - 1, "all but the first, which has no log before it");
    assert!(recycled * 2 > logs, "{recycled} of {logs}");
    assert!((seen.len() as u64) <= logs - recycled + 1, "{} files, {logs} logs", seen.len());
    let db = cycle(&kernel, db, &short());
    assert_eq!(rows(&db), long_rows(0, 400));
}

#[test]
fn a_database_that_never_syncs_removes_its_logs_and_seals_none() {
    let kernel = SimKernel::new(32);
    let options = Options { write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    write(&db, &buffered(), 0, 100);
    assert!(counted(&db, "logs") > 5 && counted(&db, "logs_ahead") > 5);
    assert_eq!(db.durable_seq().expect("open"), 0, "nothing was synced");
    db.flush().expect("flushed");
    write(&db, &buffered(), 100, 200);
    assert_eq!(counted(&db, "logs_recycled"), 0, "their bytes would have to be written first");
    assert!(db.events().events().iter().all(|event| event.kind != JobKind::Seal));
}

#[test]
fn a_log_that_is_full_is_synced_behind_the_scenes_once_somebody_has_synced() {
    let kernel = SimKernel::new(33);
    let options = Options { write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    write(&db, &synced(), 0, 1);
    write(&db, &buffered(), 1, 100);
    let durable = db.durable_seq().expect("open");
    assert!((80..100).contains(&durable), "all but the newest log: {durable}");
    let kernel = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 33);
    let left = rows(&reopen(&kernel, &options).expect("opens")).len() as u64;
    assert!(left >= durable, "{left} < {durable}");
}

#[test]
fn a_failed_sealing_stops_writes() {
    let kernel = SimKernel::new(34);
    let options = Options { write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    write(&db, &synced(), 0, 1);
    let before = counted(&db, "logs_ahead");
    let mut n = 1;
    // The log before the rotation has a successor already: the next data sync is the sealing.
    while db.events().events().iter().filter(|e| e.kind == JobKind::NextLog && e.ended).count() < 1
    {
        write(&db, &buffered(), n, n + 1);
        n += 1;
    }
    fail_once(&kernel, CallKind::Fdatasync, 1, EIO);
    while counted(&db, "logs_ahead") == before && n < 100 {
        write(&db, &buffered(), n, n + 1);
        n += 1;
    }
    let refused = db.put(&buffered(), b"later", b"");
    assert_eq!(kind(refused), Some(esker::internals::error::ErrorKind::Poisoned));
}

#[test]
fn spares_give_their_room_to_a_disk_that_is_full() {
    let kernel = SimKernel::new(36);
    let options = Options { write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    let mut n = 0;
    // A flush frees more logs than are needed again at once.
    while names(&kernel, ".wal").len() < 3 || counted(&db, "logs_recycled") == 0 {
        write(&db, &synced(), n, n + 20);
        db.flush().expect("flushed");
        n += 20;
        assert!(n < 1_000, "no spares: {:?}", names(&kernel, ".wal"));
    }
    let logs = names(&kernel, ".wal").len();
    // Not even the smallest table fits.
    kernel.set_capacity(kernel.used() + 100);
    db.put(&synced(), &key(n), &[7; 300]).expect("the log has room");
    assert_eq!(kind(db.flush()), Some(esker::internals::error::ErrorKind::NoSpace));
    assert!(names(&kernel, ".wal").len() < logs, "{:?} of {logs}", names(&kernel, ".wal"));
    db.flush().expect("there is room where the spares were");
}

#[test]
fn the_directory_stays_small_over_thousands_of_rotations() {
    let kernel = SimKernel::new(35);
    let db = open(&kernel, &short()).expect("opens");
    for n in 0..24_000 {
        db.put(&synced(), &key(n % 50), &[n as u8; 300]).expect("written");
        if n % 7 == 0 {
            // One that is live, one that is full, one prepared ahead, two spares.
            let logs = names(&kernel, ".wal");
            assert!(logs.len() <= 5, "{n}: {logs:?}");
        }
    }
    assert!(counted(&db, "logs") > 2_000, "{}", counted(&db, "logs"));
    assert!(counted(&db, "logs_recycled") > 1_500, "{}", counted(&db, "logs_recycled"));
    db.close(false).expect("closes");
    let logs = names(&kernel, ".wal");
    assert_eq!(logs.len(), 1, "only the closed log is left: {logs:?}");
}

#[test]
fn a_database_that_is_hardly_written_prepares_nothing() {
    let kernel = SimKernel::new(36);
    let db = open(&kernel, &calm()).expect("opens");
    assert!(names(&kernel, ".wal").is_empty());
    fill(&db, 0, 100);
    assert_eq!(names(&kernel, ".wal").len(), 1);
    assert_eq!(rows(&db), expected(0, 100));
}

/// Closing with a log prepared ahead voids it; killed or cut off at any call, the database opens.
#[test]
fn a_close_with_a_log_prepared_ahead_is_a_clean_close() {
    let options = Options { write_buffer: 1 << 20, ..short() };
    let prepared = || {
        let kernel = SimKernel::new(37);
        let db = open(&kernel, &options).expect("opens");
        write(&db, &synced(), 0, 1);
        let mut n = 1;
        while names(&kernel, ".wal").len() == 1 {
            write(&db, &buffered(), n, n + 1);
            n += 1;
        }
        (kernel, db, n)
    };
    let (kernel, db, n) = prepared();
    let before = kernel.calls();
    db.close(false).expect("closes");
    let calls = kernel.calls() - before;
    assert_eq!(names(&kernel, ".wal").len(), 1, "the one prepared is gone");
    drop(db);
    for round in 0..3 {
        let before = files(&kernel);
        let db = reopen(&kernel, &options).expect("opens");
        assert_eq!(rows(&db), long_rows(0, n));
        db.close(false).expect("closes");
        assert!(files(&kernel) == before, "round {round}: a reader wrote");
    }
    for calls in 0..=calls {
        for policy in CrashPolicy::ALL {
            let (kernel, db, n) = prepared();
            kernel.freeze_after(calls);
            let closed = db.close(false).is_ok();
            let kernel = crash(&kernel, Some(db), policy, calls);
            let what = format!("{policy:?} after {calls} calls");
            let db = reopen(&kernel, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
            let found = rows(&db);
            let least = if closed { n } else { 1 };
            assert!((least..=n).any(|n| found == long_rows(0, n)), "{what}: {}", found.len());
            db.put(&synced(), b"more", b"").expect("writes work");
            let kernel = crash(&kernel, Some(db), CrashPolicy::OnlySynced, calls);
            let db = reopen(&kernel, &options).unwrap_or_else(|e| panic!("{what}, again: {e}"));
            assert_eq!(rows(&db).len(), found.len() + 1, "{what}, again");
        }
    }
}

/// A life with full logs, files used again, memtables flushed; every call may be the last.
#[test]
fn every_crash_point_of_recycling_reopens_with_what_was_synced() {
    const WRITES: u64 = 60;
    let options = Options { write_buffer: 1200, ..short() };
    let live = |db: &Db| {
        let (mut written, mut promised) = (0, 0);
        for n in 0..WRITES {
            let params = if n % 3 == 1 { synced() } else { buffered() };
            if db.put(&params, &key(n), &[n as u8; 300]).is_err() {
                break;
            }
            written = n + 1;
            promised = if n % 3 == 1 { n + 1 } else { promised };
        }
        (written, promised)
    };
    let kernel = SimKernel::new(38);
    let db = open(&kernel, &options).expect("opens");
    let before = kernel.calls();
    live(&db);
    let calls = kernel.calls() - before;
    assert!(counted(&db, "logs_recycled") > 1 && counted(&db, "logs_ahead") > 2);
    drop(db);
    for calls in 0..=calls {
        // Every other one at each call.
        for policy in CrashPolicy::ALL.into_iter().skip(calls as usize % 2).step_by(2) {
            let kernel = SimKernel::new(38);
            let db = open(&kernel, &options).expect("opens");
            kernel.freeze_after(calls);
            let (written, promised) = live(&db);
            let kernel = crash(&kernel, Some(db), policy, calls * 7);
            let what = format!("{policy:?} after {calls} calls");
            let db = reopen(&kernel, &options).unwrap_or_else(|e| panic!("{what}: {e}"));
            let least = if policy == CrashPolicy::Kill { written } else { promised };
            let found = rows(&db);
            let most = (written + 1).min(WRITES);
            let legal = (least..=most).any(|n| found == long_rows(0, n));
            assert!(legal, "{what}: {} of {least} to {most}", found.len());
            // What recovery dropped stays away behind new logs and another crash.
            write(&db, &synced(), 100, 120);
            let kernel = crash(&kernel, Some(db), policy, calls);
            let db = reopen(&kernel, &options).unwrap_or_else(|e| panic!("{what}, again: {e}"));
            let both: Rows = found.into_iter().chain(long_rows(100, 120)).collect();
            assert_eq!(rows(&db), both, "{what}, again");
            assert!(names(&kernel, ".wal").len() < 16, "{what}: {:?}", names(&kernel, ".wal"));
        }
    }
}

/// A log that was prepared for rows of the usual size is passed over by one that needs more. It must not count
/// behind the one that took its place.
#[test]
fn a_log_that_is_passed_over_is_voided() {
    let kernel = SimKernel::new(41);
    let options = Options { write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    let mut n = 0;
    while names(&kernel, ".wal").len() == 1 || n == 0 {
        write(&db, &synced(), n, n + 1);
        n += 1;
    }
    let ahead = names(&kernel, ".wal").pop().expect("the one prepared");
    let number = FileNum(number_of(&ahead));
    assert!(manifest(&kernel, PATH.as_bytes()).logs.contains_key(&number));
    db.put(&synced(), b"long", &[7; 20_000]).expect("written");
    let image = kernel.crash(CrashPolicy::Kill, 41);
    let state = manifest(&image, PATH.as_bytes());
    assert!(!state.logs.contains_key(&number) || state.voided.contains(&number), "{ahead} counts");
    assert!(!names(&kernel, ".wal").contains(&ahead), "its file is gone");
    let mut expected = long_rows(0, n);
    expected.insert(b"long".to_vec(), vec![7; 20_000]);
    assert_eq!(rows(&reopen(&image, &options).expect("opens")), expected);
}

/// The n-th call of a kind fails during preparations ahead. No write gets that error.
#[test]
fn a_failure_to_prepare_ahead_is_no_error_of_a_write() {
    let options = Options { write_buffer: 1 << 20, ..short() };
    for call in [
        CallKind::Create,
        CallKind::Fallocate,
        CallKind::Rename,
        CallKind::Fsync,
        CallKind::Open,
        CallKind::Unlink,
    ] {
        let kernel = SimKernel::new(39);
        let db = open(&kernel, &options).expect("opens");
        write(&db, &synced(), 0, 40);
        // Files to be used again.
        db.flush().expect("flushed");
        let (mut n, mut armed, mut told, mut reported) = (40, 0, 0, 0);
        while counted(&db, "logs") < 40 {
            let before = counted(&db, "logs_ahead");
            kernel.set_fault(Fault { call, nth: 1, errno: EIO, forever: false, short: false });
            let fired = kernel.faults_fired();
            // One write: half full is reached inside it or not; a rotation takes what is there.
            let ready = names(&kernel, ".wal").len();
            let outcome = db.put(&synced(), &key(n), &[n as u8; 300]);
            if outcome.is_err() {
                assert!(counted(&db, "logs_ahead") == before, "{call:?}: {ready} logs");
            }
            armed += kernel.faults_fired() - fired;
            kernel.clear_faults();
            let (errors, newest) = db.errors_since(told);
            let ahead = |e: &&Error| e.to_string().contains("preparing the next log");
            let entered = errors.iter().filter(ahead).count() as u64;
            // Nothing else is done behind this write, so who was not told must find it here.
            let failed_ahead = outcome.is_ok() && kernel.faults_fired() > fired;
            assert_eq!(entered, u64::from(failed_ahead), "{call:?}, write {n}: {errors:?}");
            reported += entered;
            told = newest;
            if outcome.is_err() {
                write(&db, &synced(), n, n + 1);
            }
            n += 1;
            if n % 30 == 0 {
                db.flush().expect("flushed");
            }
        }
        assert!(armed > 0 || call == CallKind::Unlink, "{call:?} was never asked for");
        assert!(reported > 0 || call == CallKind::Unlink, "{call:?}: {armed} fired");
        assert_eq!(rows(&db), long_rows(0, n), "{call:?}");
        let kernel = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 39);
        let db = reopen(&kernel, &options).unwrap_or_else(|e| panic!("{call:?}: {e}"));
        assert_eq!(rows(&db), long_rows(0, n), "{call:?}");
        db.put(&synced(), b"more", b"").expect("written");
        db.flush().expect("flushed");
        let logs = names(&kernel, ".wal");
        assert!(logs.len() <= 3, "{call:?}: leftovers: {logs:?}");
    }
}

/// With threads, a rotation waits for a preparation that is under way instead of making a second log.
#[test]
fn the_workers_prepare_the_next_log_and_a_rotation_waits_for_them() {
    let begun: Arc<(Mutex<bool>, Condvar)> = Arc::default();
    let seen = begun.clone();
    events::watch(Some(Arc::new(move |event| {
        if event.kind == JobKind::NextLog && !event.ended {
            *seen.0.lock() = true;
            seen.1.notify_all();
        }
    })));
    let kernel = SimKernel::new(40);
    let options = Options { deterministic: false, write_buffer: 1 << 20, ..short() };
    let db = open(&kernel, &options).expect("opens");
    events::watch(None);
    // More than half of the first log, which calls a worker.
    write(&db, &buffered(), 0, 12);
    let mut seen = begun.0.lock();
    while !*seen {
        begun.1.wait(&mut seen);
    }
    drop(seen);
    let mut n = 12;
    while counted(&db, "logs") < 2 {
        write(&db, &buffered(), n, n + 1);
        n += 1;
    }
    assert_eq!(counted(&db, "logs_ahead"), 1, "the rotation took what the worker made");
    assert_eq!(rows(&db), long_rows(0, n));
    let db = cycle(&kernel, db, &options);
    assert_eq!(rows(&db), long_rows(0, n));
}
