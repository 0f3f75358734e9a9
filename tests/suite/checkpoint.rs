//! Checkpoints: a state of the database, whole or not at all, and nobody's but its own afterwards.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::verify::{VerifyLevel, Watch, verify_path};
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::Options;
use esker::internals::sync::{Arc, AtomicBool, AtomicU64, Ordering};

const COPY: &[u8] = b"/copy";
/// A link to another file system.
const EXDEV: i32 = 18;

fn key(n: u64) -> Vec<u8> {
    format!("key{n:05}").into_bytes()
}

fn put(db: &Db, from: u64, to: u64) {
    for n in from..to {
        db.put(&buffered(), &key(n), &n.to_le_bytes()).expect("written");
    }
}

fn expected(to: u64) -> Rows {
    (0..to).map(|n| (key(n), n.to_le_bytes().to_vec())).collect()
}

fn checkpoint(db: &Db) -> Result<()> {
    db.checkpoint(COPY, &mut |done, total| done <= total)
}

fn open_copy(kernel: &Arc<SimKernel>) -> Result<Db> {
    Db::open(&Fs::Sim(kernel.clone()), COPY, &tiny(), OpenFlags::default())
}

fn verify(kernel: &Arc<SimKernel>, path: &[u8]) {
    let watch = Watch { progress: &mut |_, _| true, report: &mut |_| true };
    let fs = Fs::Sim(kernel.clone());
    verify_path(&fs, path, &tiny(), VerifyLevel::Full, watch).expect("sound");
}

#[test]
fn a_checkpoint_is_whole_durable_and_independent() {
    let kernel = SimKernel::new(60);
    let db = open(&kernel, &tiny()).expect("opens");
    put(&db, 0, 300);
    checkpoint(&db).expect("made");
    let image = kernel.crash(CrashPolicy::OnlySynced, 1);
    assert_eq!(rows(&open_copy(&image).expect("durable")), expected(300));
    // The source goes on, drops every table it had, and ends.
    put(&db, 300, 400);
    for n in 0..350 {
        db.delete(&buffered(), &key(n)).expect("deleted");
    }
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    let copy = open_copy(&kernel).expect("opens beside it");
    assert_eq!(rows(&copy), expected(300));
    put(&copy, 300, 320);
    copy.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    assert_eq!(rows(&copy), expected(320));
    copy.close(false).expect("closes");
    db.close(false).expect("closes");
    verify(&kernel, b"/db");
    verify(&kernel, COPY);
    assert_eq!(rows(&open_copy(&kernel).expect("opens")), expected(320));
    assert_eq!(rows(&reopen(&kernel, &tiny()).expect("opens")).len(), 50);
}

#[test]
fn what_is_there_already_is_left_alone() {
    let kernel = SimKernel::new(61);
    let db = open(&kernel, &tiny()).expect("opens");
    put(&db, 0, 100);
    checkpoint(&db).expect("made");
    assert_eq!(kind(checkpoint(&db)), Some(ErrorKind::Present));
    assert_eq!(kind(db.checkpoint(b"/db", &mut |_, _| true)), Some(ErrorKind::Present));
    assert_eq!(kind(db.checkpoint(b"/none/copy", &mut |_, _| true)), Some(ErrorKind::Missing));
    verify(&kernel, COPY);
    db.close(false).expect("closes");
    assert_eq!(kind(db.checkpoint(b"/late", &mut |_, _| true)), Some(ErrorKind::Closed));
}

#[test]
fn cancelled_or_failed_it_leaves_nothing() {
    let kernel = SimKernel::new(62);
    let db = open(&kernel, &tiny()).expect("opens");
    put(&db, 0, 200);
    for stop in 1..4 {
        let mut calls = 0;
        let result = db.checkpoint(COPY, &mut |_, _| {
            calls += 1;
            calls < stop
        });
        assert_eq!(kind(result), Some(ErrorKind::Cancelled));
        assert_eq!(kind(open_copy(&kernel)), Some(ErrorKind::Missing), "no directory is left");
    }
    for call in [CallKind::Create, CallKind::Pwrite, CallKind::Fdatasync, CallKind::Fsync] {
        for nth in 1..6 {
            fail_once(&kernel, call, nth, EIO);
            let result = checkpoint(&db);
            let fired = kernel.faults_fired() > 0;
            kernel.clear_faults();
            match result {
                Ok(()) => {
                    verify(&kernel, COPY);
                    Db::destroy(&Fs::Sim(kernel.clone()), COPY).expect("destroyed");
                }
                Err(error) => {
                    assert!(fired, "{call:?} {nth}: {error}");
                    assert_eq!(
                        kind(open_copy(&kernel)),
                        Some(ErrorKind::Missing),
                        "{call:?} {nth}"
                    );
                }
            }
        }
    }
    assert_eq!(rows(&db), expected(200));
    checkpoint(&db).expect("made");
}

#[test]
fn tables_are_copied_where_they_cannot_be_linked() {
    let kernel = SimKernel::new(63);
    let db = open(&kernel, &tiny()).expect("opens");
    put(&db, 0, 200);
    db.flush().expect("flushed");
    // The first call makes the lock file, the second links the first table.
    fail_once(&kernel, CallKind::Create, 2, EXDEV);
    checkpoint(&db).expect("made");
    assert_eq!(kernel.faults_fired(), 1);
    kernel.clear_faults();
    let image = kernel.crash(CrashPolicy::OnlySynced, 1);
    verify(&image, COPY);
    assert_eq!(rows(&open_copy(&image).expect("durable")), expected(200));
}

/// Whatever the crash, the manifest is there only when all it names is: a copy is whole, or it has none.
fn check_copy(image: &Arc<SimKernel>, done: bool, what: &str) {
    let mut named = image.files("/copy").into_iter().map(|(name, _)| name);
    let manifest = named.any(|name| name.starts_with("MANIFEST-") && !name.ends_with(".tmp"));
    match open_copy(image) {
        Ok(copy) => assert_eq!(rows(&copy), expected(60), "{what}"),
        Err(error) => assert!(!done && !manifest, "{what}: {error}"),
    }
}

fn crashes_at_every_call(policy: CrashPolicy, links: bool) {
    let mut calls = 0;
    loop {
        let kernel = SimKernel::new(64);
        let db = open(&kernel, &tiny()).expect("opens");
        put(&db, 0, 60);
        db.sync().expect("synced");
        if !links {
            // What is copied is not durable by itself, as what is linked is.
            db.flush().expect("flushed");
            fail_once(&kernel, CallKind::Create, 2, EXDEV);
        }
        kernel.freeze_after(calls);
        let done = checkpoint(&db).is_ok() && !kernel.frozen();
        let image = kernel.crash(policy, calls);
        let what = format!("{policy:?} {calls}, links: {links}");
        // Which names are lost is a matter of luck.
        for seed in 0..if policy == CrashPolicy::Reordered { 8 } else { 1 } {
            check_copy(&kernel.crash(policy, calls * 8 + seed), done, &format!("{what}, {seed}"));
        }
        kernel.freeze_after(0);
        drop(db);
        let db = reopen(&image, &tiny()).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(rows(&db), expected(60), "{what}");
        if done {
            break;
        }
        calls += 1;
    }
    assert!(calls > 10);
}

#[test]
fn a_crash_at_any_call_leaves_a_whole_copy_or_one_that_does_not_open() {
    for policy in [CrashPolicy::Kill, CrashPolicy::OnlySynced, CrashPolicy::Reordered] {
        crashes_at_every_call(policy, true);
        crashes_at_every_call(policy, false);
    }
}

#[test]
fn a_copy_has_an_identity_of_its_own_and_takes_no_log_of_the_source() {
    let kernel = SimKernel::new(69);
    let db = open(&kernel, &tiny()).expect("opens");
    put(&db, 0, 60);
    checkpoint(&db).expect("made");
    put(&db, 60, 70);
    let (source, copy) = (manifest(&kernel, b"/db"), manifest(&kernel, COPY));
    assert_ne!(source.db_id, copy.db_id);
    assert!(!source.logs.is_empty() && copy.logs.is_empty() && copy.voided.is_empty());
    assert!(copy.log_durable.is_empty() && copy.close.is_none());
    // As if somebody had copied the rest of the directory by hand.
    let logs = names(&kernel, ".wal");
    assert!(!logs.is_empty());
    for log in &logs {
        kernel.write_file("/copy", log, &kernel.read_file(PATH, log).expect("it is there"));
    }
    let error = open_copy(&kernel).err().expect("whose log it is cannot be told from its number");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("belongs to another database"), "{error}");
    assert!(logs.iter().all(|log| kernel.remove_file("/copy", log)));
    assert_eq!(rows(&open_copy(&kernel).expect("opens without them")), expected(60));
}

#[test]
fn what_a_killed_one_leaves_is_in_nobodys_way() {
    let work = |kernel: &Arc<SimKernel>| {
        let db = open(kernel, &tiny()).expect("opens");
        put(&db, 0, 50);
        (kernel.calls(), db)
    };
    let kernel = SimKernel::new(68);
    let (before, db) = work(&kernel);
    checkpoint(&db).expect("made");
    let calls = kernel.calls() - before;
    let (mut again, mut destroyed) = (0, 0);
    for n in 0..calls {
        let kernel = SimKernel::new(68);
        let (_, db) = work(&kernel);
        kernel.freeze_after(n);
        assert!(checkpoint(&db).is_err(), "dead at call {n}");
        let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, n);
        let db = reopen(&kernel, &tiny()).expect("opens");
        match kind(checkpoint(&db)) {
            None => again += 1,
            Some(ErrorKind::Present) => {
                Db::destroy(&Fs::Sim(kernel.clone()), COPY).expect("destroyed");
                checkpoint(&db).expect("made");
                destroyed += 1;
            }
            other => panic!("dead at call {n}: {other:?}"),
        }
        assert_eq!(rows(&open_copy(&kernel).expect("opens")), expected(50), "dead at call {n}");
    }
    assert!(again > 1 && destroyed > 1, "{again}, {destroyed}");
}

#[test]
fn beside_writers_it_is_a_prefix_with_everything_that_had_returned() {
    let options = Options { deterministic: false, threads: 2, ..tiny() };
    let kernel = SimKernel::new(65);
    let db = open(&kernel, &options).expect("opens");
    let (written, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0;
            while !stop.load(Ordering::Acquire) {
                put(&db, n, n + 1);
                n += 1;
                written.store(n, Ordering::Release);
            }
        });
        for round in 0..6 {
            let path = format!("/copy{round}");
            let before = written.load(Ordering::Acquire);
            db.checkpoint(path.as_bytes(), &mut |_, _| true).expect("made");
            verify(&kernel, path.as_bytes());
            let fs = Fs::Sim(kernel.clone());
            let copy = Db::open(&fs, path.as_bytes(), &tiny(), OpenFlags::default());
            let shown = rows(&copy.expect("opens"));
            assert!(shown.len() as u64 >= before, "{} of {before}", shown.len());
            assert_eq!(shown, expected(shown.len() as u64), "a prefix");
        }
        stop.store(true, Ordering::Release);
    });
}
