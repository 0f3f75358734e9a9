//! Opening, closing, failing and dying, on the simulated kernel.

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
use std::collections::BTreeSet;

fn key(n: u64) -> Vec<u8> {
    format!("key{n:05}").into_bytes()
}

fn value(n: u64) -> Vec<u8> {
    format!("value {n:>20}").into_bytes()
}

fn fill(db: &Db, from: u64, to: u64) {
    for n in from..to {
        db.put(&buffered(), &key(n), &value(n)).expect("written");
    }
}

fn expected(from: u64, to: u64) -> Rows {
    (from..to).map(|n| (key(n), value(n))).collect()
}

/// A database with tables, a memtable's worth of log, and no process.
fn killed(seed: u64, options: &Options, writes: u64) -> Arc<SimKernel> {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, options).expect("opens");
    fill(&db, 0, writes);
    crash(&kernel, Some(db), CrashPolicy::Kill, seed)
}

/// The one log of a database.
fn log_name(kernel: &SimKernel) -> String {
    let logs = names(kernel, ".wal");
    assert_eq!(logs.len(), 1, "{logs:?}");
    logs[0].clone()
}

fn number_of(name: &str) -> u64 {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a file name holds its number")
}

/// Offset of the last byte that is not 0.
fn content_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte != 0).expect("the log has records")
}

#[test]
fn a_process_that_only_reads_leaves_every_file_as_it_was() {
    for options in [calm(), tiny(), Options::default()] {
        let kernel = killed(1, &options, 100);
        for round in 0..3 {
            let before = files(&kernel);
            let db = reopen(&kernel, &options).expect("opens");
            assert_eq!(rows(&db), expected(0, 100));
            let snapshot = db.snapshot().expect("taken");
            let at = ReadParams { snapshot: Some(snapshot.seq()), ..ReadParams::default() };
            assert!(db.get(&at, &key(7)).expect("read").is_some());
            drop(snapshot);
            db.close(false).expect("closes");
            assert!(files(&kernel) == before, "round {round}: files changed");
        }
    }
}

#[test]
fn a_crash_at_any_point_of_recovery_changes_nothing() {
    for options in [calm(), tiny()] {
        let first = killed(2, &options, 120);
        let calls = |kernel: &Arc<SimKernel>| {
            let before = kernel.calls();
            drop(reopen(kernel, &options).expect("opens"));
            kernel.calls() - before
        };
        let total = calls(&first.crash(CrashPolicy::Kill, 0));
        for n in 0..=total {
            let kernel = first.crash(CrashPolicy::Kill, n);
            kernel.freeze_after(n);
            let opened = reopen(&kernel, &options).ok();
            let kernel = crash(&kernel, opened, CrashPolicy::Kill, n);
            let db = reopen(&kernel, &options).expect("opens after a crash in recovery");
            assert_eq!(rows(&db), expected(0, 120), "crash at call {n}");
        }
    }
}

#[test]
fn a_torn_tail_is_dropped_and_counted() {
    let kernel = killed(3, &calm(), 50);
    let name = log_name(&kernel);
    let mut log = kernel.read_file(PATH, &name).expect("the log is there");
    let end = content_end(&log);
    log[end] = 0;
    kernel.write_file(PATH, &name, &log);
    let db = reopen(&kernel, &calm()).expect("opens");
    assert_eq!(rows(&db), expected(0, 49));
    let stats = db.stats();
    assert!(stats.recovered_dropped_bytes > 0, "{}", stats.recovered_dropped_bytes);
    assert!(stats.recovered_records >= 49, "{}", stats.recovered_records);
    // What was dropped stays away, also behind new writes and another crash.
    fill(&db, 60, 70);
    let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, 3);
    let db = reopen(&kernel, &calm()).expect("opens");
    let both: Rows = expected(0, 49).into_iter().chain(expected(60, 70)).collect();
    assert_eq!(rows(&db), both);
}

/// What is wrong in file `name` from `offset` on must be told with both.
fn assert_corrupt(kernel: &Arc<SimKernel>, name: &str, offset: u64) {
    let error = refusal(kernel, &calm());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} at {offset}: {error}");
    assert_eq!(error.detail().file_number, number_of(name), "{error}");
    assert!(error.detail().offset <= offset, "{offset} in {name}: {:?}", error.detail());
}

#[test]
fn damage_in_synced_records_refuses_to_open() {
    let kernel = SimKernel::new(4);
    let db = open(&kernel, &calm()).expect("opens");
    for n in 0..20 {
        db.put(&synced(), &key(n), &value(n)).expect("written");
    }
    let image = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 4);
    let name = log_name(&image);
    // The last record's evidence is a stamp that was not synced; all before it are promised.
    let last = content_end(&image.read_file(PATH, &name).expect("the log is there"));
    for offset in (64..last as u64 - 120).step_by(7) {
        let kernel = image.crash(CrashPolicy::Kill, offset);
        kernel.corrupt(PATH, &name, offset, 0x40);
        assert_corrupt(&kernel, &name, offset);
    }
    assert_eq!(rows(&reopen(&image, &calm()).expect("opens")), expected(0, 20));
}

#[test]
fn any_damage_to_a_cleanly_closed_log_refuses_to_open() {
    let kernel = SimKernel::new(5);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 0, 20);
    db.close(false).expect("closes");
    let name = log_name(&kernel);
    let log = kernel.read_file(PATH, &name).expect("the log is there");
    for offset in 0..log.len() as u64 {
        let image = kernel.crash(CrashPolicy::Kill, offset);
        image.corrupt(PATH, &name, offset, 1 << (offset % 8));
        let error = refusal(&image, &calm());
        let kinds = [ErrorKind::Corrupt, ErrorKind::Format];
        assert!(kinds.contains(&error.kind()), "byte {offset}: {:?} {error}", error.kind());
    }
    for length in [0, 63, log.len() / 2, log.len() - 1] {
        let image = kernel.crash(CrashPolicy::Kill, 1);
        image.write_file(PATH, &name, &log[..length]);
        assert_eq!(refusal(&image, &calm()).kind(), ErrorKind::Corrupt, "cut to {length}");
    }
    let image = kernel.crash(CrashPolicy::Kill, 1);
    assert!(image.remove_file(PATH, &name));
    assert_eq!(refusal(&image, &calm()).kind(), ErrorKind::Corrupt, "removed");
    assert_eq!(rows(&reopen(&kernel, &calm()).expect("opens")), expected(0, 20));
}

#[test]
fn a_missing_or_resized_table_refuses_to_open() {
    let kernel = killed(6, &tiny(), 200);
    let tables = names(&kernel, ".sst");
    let name = tables.last().expect("there are tables");
    let bytes = kernel.read_file(PATH, name).expect("the table is there");
    let longer = [&bytes[..], b"x"].concat();
    for (what, content) in
        [("shorter", &bytes[..bytes.len() - 1]), ("empty", &[]), ("longer", &longer)]
    {
        let image = kernel.crash(CrashPolicy::Kill, 1);
        image.write_file(PATH, name, content);
        let error = refusal(&image, &tiny());
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        assert!(error.to_string().contains(name.as_str()), "{what}: {error}");
        assert_eq!(error.detail().file_number, number_of(name));
    }
    let image = kernel.crash(CrashPolicy::Kill, 1);
    assert!(image.remove_file(PATH, name));
    let error = refusal(&image, &tiny());
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(name.as_str()), "{error}");
}

#[test]
fn a_damaged_table_is_reported_when_it_is_read() {
    let kernel = SimKernel::new(7);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 0, 500);
    db.flush().expect("flushed");
    db.close(false).expect("closes");
    let name = names(&kernel, ".sst").pop().expect("there is a table");
    kernel.corrupt(PATH, &name, 100, 0x10);
    let db = reopen(&kernel, &calm()).expect("contents are not read by open");
    let error = match db.get(&ReadParams::default(), &key(0)) {
        Ok(value) => panic!("a damaged block was read: {}", value.is_some()),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert_eq!(error.detail().file_number, number_of(&name), "{error}");
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    assert_eq!(kind(iter.first()), Some(ErrorKind::Corrupt));
    assert!(!iter.valid() && iter.error().is_some());
    assert_eq!(kind(iter.next()), Some(ErrorKind::Corrupt), "the error stays");
    assert_eq!(get(&db, &key(499)), Some(value(499)), "other blocks can be read");
}

#[test]
fn files_without_a_manifest_are_damage() {
    let kernel = killed(8, &tiny(), 200);
    for manifest in names(&kernel, "") {
        if manifest.starts_with("MANIFEST") {
            assert!(kernel.remove_file(PATH, &manifest));
        }
    }
    assert_eq!(refusal(&kernel, &tiny()).kind(), ErrorKind::Corrupt);
    assert_eq!(kind(open(&kernel, &tiny())), Some(ErrorKind::Corrupt), "also with CREATE");
}

#[test]
fn a_damaged_manifest_refuses_to_open() {
    let kernel = SimKernel::new(9);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 0, 60);
    db.close(false).expect("closes");
    let mut manifests = names(&kernel, "");
    manifests.retain(|name| name.starts_with("MANIFEST"));
    let name = manifests.pop().expect("there is a manifest");
    let end = content_end(&kernel.read_file(PATH, &name).expect("the manifest is there"));
    // The newest edit's own evidence is a stamp that nothing has synced: damage there may look torn.
    for offset in (0..end as u64 / 2).step_by(3) {
        let image = kernel.crash(CrashPolicy::Kill, offset);
        image.corrupt(PATH, &name, offset, 4);
        let error = refusal(&image, &tiny());
        let kinds = [ErrorKind::Corrupt, ErrorKind::Format];
        assert!(kinds.contains(&error.kind()), "byte {offset}: {:?} {error}", error.kind());
    }
}

#[test]
fn a_second_opener_is_told_who_holds_the_lock() {
    let kernel = SimKernel::new(10);
    let db = open(&kernel, &calm()).expect("opens");
    let error = refusal(&kernel, &calm());
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert_eq!(error.detail().value, u64::from(std::process::id()));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    db.put(&buffered(), b"k", b"v").expect("the holder is not disturbed");
    let locked = Db::destroy(&Fs::Sim(kernel.clone()), PATH.as_bytes());
    assert_eq!(kind(locked), Some(ErrorKind::Locked));
    db.close(false).expect("closes");
    drop(reopen(&kernel, &calm()).expect("the lock is free"));
}

#[test]
fn a_directory_of_somebody_else_is_refused_untouched() {
    let kernel = SimKernel::new(11);
    kernel.make_dir(PATH.as_bytes(), 0o700).expect("made");
    for name in ["CURRENT", "000005.ldb", "notes.txt"] {
        kernel.write_file(PATH, name, b"somebody else's");
        let before = kernel.directory_hash(PATH);
        assert_eq!(kind(open(&kernel, &calm())), Some(ErrorKind::Invalid), "{name}");
        assert_eq!(refusal(&kernel, &calm()).kind(), ErrorKind::Missing, "{name}");
        assert_eq!(kernel.directory_hash(PATH), before, "{name}: something was written");
        assert!(kernel.remove_file(PATH, name));
    }
    kernel.write_file(PATH, ".hidden", b"fine");
    drop(open(&kernel, &calm()).expect("dot files are no obstacle"));
    assert_eq!(kernel.read_file(PATH, ".hidden"), Some(b"fine".to_vec()));
}

#[test]
fn create_and_exclusive_do_what_they_say() {
    let kernel = SimKernel::new(12);
    let fs = Fs::Sim(kernel.clone());
    assert_eq!(refusal(&kernel, &calm()).kind(), ErrorKind::Missing);
    let exclusive = OpenFlags { create: true, exclusive: true };
    drop(Db::open(&fs, PATH.as_bytes(), &calm(), exclusive).expect("makes one"));
    let again = Db::open(&fs, PATH.as_bytes(), &calm(), exclusive);
    assert_eq!(kind(again), Some(ErrorKind::Present));
    Db::destroy(&fs, PATH.as_bytes()).expect("destroyed");
    assert_eq!(kind(Db::destroy(&fs, PATH.as_bytes())), Some(ErrorKind::Missing));
    assert_eq!(refusal(&kernel, &calm()).kind(), ErrorKind::Missing);
    let deep = Db::open(&fs, b"/no/such/parent", &calm(), exclusive);
    assert_eq!(kind(deep), Some(ErrorKind::Missing), "parents are not made");
    kernel.write_file("/", "file", b"");
    let file = Db::open(&fs, b"/file", &calm(), exclusive);
    assert_eq!(kind(file), Some(ErrorKind::Missing), "the path is a file");
}

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
        fill(&db, 10, 20);
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
#[test]
fn promises_about_what_a_killed_process_left_in_the_page_cache_hold() {
    let options = Options { write_buffer: 512, ..tiny() };
    // Large values, so that whole logs fall below the floor of a flush.
    let work = |db: &Db| {
        for n in 0..24 {
            if db.put(&buffered(), &key(n), &[n as u8; 9_000]).is_err() {
                break;
            }
        }
    };
    let kernel = SimKernel::new(22);
    let db = open(&kernel, &options).expect("opens");
    let before = kernel.calls();
    work(&db);
    let calls = kernel.calls() - before;
    drop(db);
    for n in 0..=calls {
        let kernel = SimKernel::new(22);
        let db = open(&kernel, &options).expect("opens");
        kernel.freeze_after(n);
        work(&db);
        let killed = crash(&kernel, Some(db), CrashPolicy::Kill, n);
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
            let kernel = crash(&kernel, Some(db), CrashPolicy::OnlySynced, n);
            let left = rows(&reopen(&kernel, &options).expect("opens"));
            let kept = promised.iter().all(|(k, v)| left.get(k) == Some(v));
            assert!(kept, "killed at call {n}, {promise}: {} of {}", left.len(), promised.len());
        }
    }
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
