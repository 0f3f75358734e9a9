//! The options `recovery` and `verify_on_open`: what strict refuses, where point-in-time recovery ends the history, what
//! an open looks at.

use crate::campaign::frame::scattered;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::{Error, ErrorKind};
use esker::internals::options::Options;
use esker::internals::record::format::RECORD_HEADER_LEN;
use esker::internals::sync::Arc;
use esker::internals::types::{RecoveryMode, VerifyOnOpen};

const KEYS: u64 = 37;

fn small_logs() -> Options {
    Options { log_bytes: 1 << 10, ..calm() }
}

fn in_mode(recovery: RecoveryMode) -> Options {
    Options { recovery, ..small_logs() }
}

fn strict() -> Options {
    in_mode(RecoveryMode::Strict)
}

fn point_in_time() -> Options {
    in_mode(RecoveryMode::PointInTime)
}

/// Write `n`, from 1; every seventh is a delete.
fn write(db: &Db, n: u64, params: &esker::internals::db::write::WriteParams) {
    let key = format!("key{}", n % KEYS);
    match n % 7 {
        0 => db.delete(params, key.as_bytes()),
        _ => db.put(params, key.as_bytes(), format!("{n:040}").as_bytes()),
    }
    .expect("written");
}

/// What is there after `n` writes.
fn model(n: u64) -> Rows {
    let mut rows = Rows::new();
    for n in 1..=n {
        let key = format!("key{}", n % KEYS).into_bytes();
        match n % 7 {
            0 => rows.remove(&key),
            _ => rows.insert(key, format!("{n:040}").into_bytes()),
        };
    }
    rows
}

/// After how many of `writes` the rows are these.
fn prefix(rows: &Rows, writes: u64) -> Option<u64> {
    (0..=writes).rev().find(|n| model(*n) == *rows)
}

/// `writes` synced writes over several logs, the first third of them in a table, then a kill.
fn killed(seed: u64, writes: u64) -> Arc<SimKernel> {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &small_logs()).expect("opens");
    for n in 1..=writes {
        write(&db, n, &synced());
        if n == writes / 3 {
            db.flush().expect("flushed");
        }
    }
    let image = crash(&kernel, Some(db), CrashPolicy::Kill, seed);
    assert!(names(&image, ".wal").len() >= 3, "{:?}", names(&image, ".wal"));
    image
}

fn bytes_of(kernel: &SimKernel, name: &str) -> Vec<u8> {
    let files = kernel.files(PATH).into_iter();
    files.filter(|(n, _)| n == name).map(|(_, bytes)| bytes).next().expect("the file is there")
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn newest_error(db: &Db) -> Option<Error> {
    db.last_error()
}

#[test]
fn strict_opens_what_ended_well_and_refuses_what_default_drops() {
    let whole = killed(1, 240);
    drop(reopen(&whole.crash(CrashPolicy::Kill, 1), &strict()).expect("all records are whole"));
    let closed = whole.crash(CrashPolicy::Kill, 2);
    reopen(&closed, &strict()).expect("opens").close(false).expect("closes");
    drop(reopen(&closed, &strict()).expect("closed cleanly"));
    // From a record that no sync covered on, any end of what was written.
    let db = reopen(&whole, &small_logs()).expect("opens");
    write(&db, 241, &synced());
    write(&db, 242, &buffered());
    let image = crash(&whole, Some(db), CrashPolicy::Kill, 3);
    let name = names(&image, ".wal").into_iter().max().expect("a log");
    let bytes = bytes_of(&image, &name);
    let (mut refused, mut opened) = (0, 0);
    for at in used(&bytes) - 90..used(&bytes) {
        let torn = image.crash(CrashPolicy::Kill, 4);
        let mut now = bytes.clone();
        now[at..].fill(0);
        torn.write_file(PATH, &name, &now);
        let dropped = match reopen(&torn, &small_logs()) {
            Ok(db) => db.stats().recovered_dropped_bytes,
            Err(_) => continue,
        };
        let torn = image.crash(CrashPolicy::Kill, 4);
        torn.write_file(PATH, &name, &now);
        match reopen(&torn, &strict()) {
            Ok(_) => {
                opened += 1;
                assert_eq!(dropped, 0, "cut at {at}");
            }
            Err(error) => {
                refused += 1;
                assert!(dropped > 0, "cut at {at}: {error}");
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                assert!(error.to_string().contains(&name), "{error}");
                assert!(error.detail().offset > 0 && error.detail().offset <= at as u64, "{error}");
            }
        }
    }
    assert!(refused > 20 && opened > 0, "{refused} {opened}");
}

#[test]
fn strict_refuses_a_torn_manifest() {
    let image = killed(2, 240);
    let name = names(&image, "").into_iter().filter(|n| n.starts_with("MANIFEST")).max();
    let name = name.expect("a manifest");
    let bytes = bytes_of(&image, &name);
    let stamp = (used(&bytes) as u64).next_multiple_of(8) - RECORD_HEADER_LEN as u64;
    image.corrupt(PATH, &name, stamp + 4, 1);
    let error = refusal(&image.crash(CrashPolicy::Kill, 1), &strict());
    assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Corrupt, stamp));
    assert!(error.to_string().contains(&name), "{error}");
    let db = reopen(&image, &small_logs()).expect("a torn tail");
    assert!(db.stats().recovered_dropped_bytes > 0);
}

/// Opens what is damaged: history ends somewhere, that is told, and nothing is written.
fn recovered(kernel: &Arc<SimKernel>, writes: u64, what: &str) -> (Db, u64) {
    let before = files(kernel);
    let db = reopen(kernel, &point_in_time()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = rows(&db);
    let n = prefix(&found, writes).unwrap_or_else(|| panic!("{what}: no prefix"));
    assert!(n >= writes / 3, "{what}: what is in tables stays");
    assert!(files(kernel) == before, "{what}: written");
    (db, n)
}

/// Every log, flipped, cut and removed.
#[test]
fn point_in_time_keeps_an_exact_prefix_says_so_and_goes_on() {
    const WRITES: u64 = 240;
    let image = killed(3, WRITES);
    let (mut told, mut ends) = (0, Vec::new());
    for name in names(&image, ".wal") {
        let bytes = bytes_of(&image, &name);
        let content = used(&bytes) as u64;
        for case in 0..60 {
            let at = scattered(case, content) as usize;
            let what = format!("{name}, case {case} at {at} of {content}");
            let kernel = image.crash(CrashPolicy::Kill, 1);
            match case % 3 {
                0 => kernel.corrupt(PATH, &name, at as u64, 1 << (case % 8)),
                1 => kernel.write_file(PATH, &name, &bytes[..at]),
                _ if case == 2 => drop(kernel.remove_file(PATH, &name)),
                _ => {
                    let mut now = bytes.clone();
                    now[at..].fill(0);
                    kernel.write_file(PATH, &name, &now);
                }
            }
            let refused = reopen(&kernel.crash(CrashPolicy::Kill, 1), &small_logs()).err();
            let (db, n) = recovered(&kernel, WRITES, &what);
            let said = newest_error(&db);
            assert_eq!(refused.is_some(), said.is_some(), "{what}: {refused:?} {said:?}");
            let Some(said) = said else {
                // Of a tail that is zeros nothing is known.
                assert!(n == WRITES || case % 3 == 2, "{what}: {n}, lost in silence");
                continue;
            };
            told += 1;
            ends.push(n);
            assert_eq!(said.kind(), ErrorKind::Corrupt);
            assert!(said.to_string().contains("history ends at sequence"), "{said}");
            goes_on(&kernel, db, n, &what);
        }
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(told > 100 && ends.len() > 20, "{told} {ends:?}");
}

/// A second crash decides the same; one write makes it final, for the default mode too.
fn goes_on(kernel: &Arc<SimKernel>, db: Db, n: u64, what: &str) {
    let damaged = kernel.files(PATH);
    let again = crash(kernel, Some(db), CrashPolicy::Kill, 1);
    let db = reopen(&again, &point_in_time()).expect("opens again");
    assert!(rows(&db) == model(n), "{what}: another end");
    db.put(&synced(), b"new", b"row").expect("written");
    let mut expected = model(n);
    expected.insert(b"new".to_vec(), b"row".to_vec());
    assert!(rows(&db) == expected, "{what}");
    for policy in POWER_CUTS {
        let image = again.crash(policy, 1);
        let db = reopen(&image, &small_logs()).unwrap_or_else(|e| panic!("{what} {policy:?}: {e}"));
        assert!(rows(&db) == expected, "{what} {policy:?}");
    }
    // Nothing of what was given up is gone.
    for (copy, bytes) in again.files(PATH).iter().filter(|(name, _)| name.ends_with(".damaged")) {
        let original = copy.strip_suffix(".damaged").expect("so it ends");
        let was = damaged.iter().find(|(name, _)| name == original);
        assert!(was.is_some_and(|(_, was)| was == bytes), "{what}: {copy}");
    }
    drop(db);
    let db = reopen(&again, &small_logs()).expect("opens");
    assert!(rows(&db) == expected, "{what}");
    drop(db);
    Db::destroy(&Fs::Sim(again.clone()), PATH.as_bytes()).expect("destroyed");
    assert!(again.files(PATH).is_empty(), "{what}: copies go with the database");
}

/// Damages the log in the middle of those that are there.
fn damaged(seed: u64, writes: u64) -> Arc<SimKernel> {
    let image = killed(seed, writes);
    let mut logs = names(&image, ".wal");
    logs.sort();
    let name = &logs[logs.len() / 2];
    image.corrupt(PATH, name, used(&bytes_of(&image, name)) as u64 / 2, 8);
    image
}

#[test]
fn logs_that_are_given_up_are_kept_and_a_flush_makes_it_final() {
    let kernel = damaged(4, 240);
    let before = kernel.files(PATH);
    let (db, n) = recovered(&kernel, 240, "damaged");
    db.flush().expect("flushed");
    let copies = names(&kernel, ".damaged");
    assert!(copies.len() >= 2, "{copies:?}");
    for copy in &copies {
        let (_, was) = before.iter().find(|(name, _)| copy.starts_with(name)).expect("its log");
        assert!(bytes_of(&kernel, copy) == *was, "{copy}");
    }
    let image = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 1);
    for options in [small_logs(), strict()] {
        let image = image.crash(CrashPolicy::Kill, 1);
        assert!(rows(&reopen(&image, &options).expect("no damage any more")) == model(n));
        assert_kept(&image, &copies, &before, "after a power cut");
    }
}

/// The names of the logs' copies that the first change of `damaged(seed, 240)` makes.
fn copies(seed: u64) -> Vec<String> {
    let kernel = damaged(seed, 240);
    let (db, _) = recovered(&kernel, 240, "damaged");
    db.put(&synced(), b"new", b"row").expect("written");
    let copies = names(&kernel, ".damaged");
    assert!(copies.len() >= 2, "{copies:?}");
    copies
}

/// The copies are there, with the bytes that their logs had `before`.
fn assert_kept(kernel: &SimKernel, copies: &[String], before: &[(String, Vec<u8>)], what: &str) {
    assert_eq!(names(kernel, ".damaged"), copies, "{what}");
    for copy in copies {
        let was = before.iter().find(|(name, _)| copy.strip_suffix(".damaged") == Some(name));
        let (_, was) = was.expect("its log");
        assert!(bytes_of(kernel, copy) == *was, "{what}: {copy}");
    }
}

/// The next process makes its first change to what a process left in the middle of its own.
fn decided_again(
    image: &Arc<SimKernel>,
    copies: &[String],
    before: &[(String, Vec<u8>)],
    what: &str,
) -> Rows {
    let db = reopen(image, &point_in_time()).unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = rows(&db);
    db.put(&synced(), b"next", b"row").expect("written");
    assert_kept(image, copies, before, what);
    found
}

/// A change whose copies cannot be made is refused and nothing is given up by it; a later one makes them.
#[test]
fn no_fault_lets_a_change_go_ahead_of_its_copies() {
    let copies = copies(9);
    let calls = [CallKind::Fdatasync, CallKind::Fsync, CallKind::Create, CallKind::Pwrite];
    let mut refused = 0;
    for (call, nth) in calls.into_iter().flat_map(|call| (1..=5).map(move |nth| (call, nth))) {
        let what = format!("{call:?} {nth}");
        let kernel = damaged(9, 240);
        kernel.sync_all();
        let before = kernel.files(PATH);
        let (db, n) = recovered(&kernel, 240, &what);
        fail_once(&kernel, call, nth, EIO);
        if db.put(&synced(), b"first", b"row").is_err() {
            refused += 1;
            decided_again(&kernel.crash(CrashPolicy::OnlySynced, 1), &copies, &before, &what);
        }
        kernel.clear_faults();
        if db.put(&synced(), b"second", b"row").is_err() {
            db.resume().unwrap_or_else(|e| panic!("{what}: {e}"));
            db.put(&synced(), b"second", b"row").unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        let image = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 1);
        assert_kept(&image, &copies, &before, &what);
        let mut found = rows(&reopen(&image, &small_logs()).expect("no damage any more"));
        found.remove(&b"first"[..]);
        assert_eq!(found.remove(&b"second"[..]), Some(b"row".to_vec()), "{what}");
        assert!(found == model(n), "{what}");
    }
    assert!(refused > 5, "{refused}");
}

/// A process that changes nothing leaves the damage as it is, and the next one is told again.
#[test]
fn without_a_change_the_damage_stays() {
    let kernel = damaged(5, 240);
    let before = files(&kernel);
    let (db, n) = recovered(&kernel, 240, "damaged");
    db.close(false).expect("closes");
    assert!(files(&kernel) == before);
    assert_eq!(refusal(&kernel, &small_logs()).kind(), ErrorKind::Corrupt);
    let (db, again) = recovered(&kernel, 240, "damaged");
    assert_eq!((again, newest_error(&db).is_some()), (n, true));
}

#[test]
fn a_crash_at_any_call_of_the_first_change_loses_no_more() {
    let copies = copies(6);
    let (mut finished, mut calls) = (false, 0);
    while !finished {
        let kernel = damaged(6, 240);
        kernel.sync_all();
        let before = kernel.files(PATH);
        let (db, n) = recovered(&kernel, 240, "damaged");
        kernel.freeze_after(calls);
        finished = db.put(&synced(), b"new", b"row").is_ok();
        let mut with_it = model(n);
        with_it.insert(b"new".to_vec(), b"row".to_vec());
        for policy in [CrashPolicy::Kill, CrashPolicy::OnlySynced, CrashPolicy::Reordered] {
            let image = kernel.crash(policy, calls);
            // What the one that died has not copied is there for the next one, as it was.
            let what = format!("call {calls}, {policy:?}");
            let found = decided_again(&image, &copies, &before, &what);
            let exact = found == with_it || (!finished && found == model(n));
            assert!(exact, "{what}");
        }
        calls += 1;
    }
    assert!(calls > 10, "{calls}");
}

#[test]
fn damage_of_a_manifest_or_a_table_is_refused_all_the_same() {
    let image = killed(7, 240);
    let manifest = names(&image, "").into_iter().filter(|n| n.starts_with("MANIFEST")).max();
    let table = names(&image, ".sst").pop();
    for name in [manifest, table].into_iter().flatten() {
        let kernel = image.crash(CrashPolicy::Kill, 1);
        let bytes = bytes_of(&kernel, &name);
        kernel.write_file(PATH, &name, &bytes[..used(&bytes) / 2]);
        assert_eq!(refusal(&kernel, &point_in_time()).kind(), ErrorKind::Corrupt, "{name}");
    }
}

#[test]
fn verify_on_open_looks_at_what_it_says() {
    let verifying = |verify_on_open| Options { verify_on_open, ..small_logs() };
    let image = killed(8, 240);
    let table = names(&image, ".sst").pop().expect("a table");
    let opens = |kernel: &Arc<SimKernel>| {
        [VerifyOnOpen::None, VerifyOnOpen::Metadata, VerifyOnOpen::Full].map(|level| {
            let kernel = kernel.crash(CrashPolicy::Kill, 1);
            kind(reopen(&kernel, &verifying(level)))
        })
    };
    assert_eq!(opens(&image), [None; 3]);
    let corrupt = Some(ErrorKind::Corrupt);
    let size = bytes_of(&image, &table).len() as u64;
    for at in [10, size / 2, size - 10] {
        image.corrupt(PATH, &table, at, 4);
        assert_eq!(opens(&image), [None, None, corrupt], "byte {at} of {size}");
        image.corrupt(PATH, &table, at, 4);
    }
    image.corrupt(PATH, &table, 10, 4);
    let error = refusal(&image.crash(CrashPolicy::Kill, 1), &verifying(VerifyOnOpen::Full));
    assert!(error.to_string().contains("checksum") && error.detail().file_number > 0, "{error}");
    image.write_file(PATH, &table, &[7; 100]);
    assert_eq!(opens(&image), [None, corrupt, corrupt], "another size");
    image.remove_file(PATH, &table);
    assert_eq!(opens(&image), [None, corrupt, corrupt], "missing");
}

/// What recovery dropped keeps its numbers: a write with one of them could be taken for what was dropped.
#[test]
fn the_numbers_of_dropped_records_are_not_used_again() {
    let kernel = SimKernel::new(10);
    let db = open(&kernel, &small_logs()).expect("opens");
    for n in 1..=240 {
        write(&db, n, &buffered());
    }
    let image = crash(&kernel, Some(db), CrashPolicy::Kill, 10);
    let logs = names(&image, ".wal");
    assert!(logs.len() > 3, "{logs:?}");
    // The end of the second log was lost, all behind it is whole and does not count.
    let mut bytes = bytes_of(&image, &logs[1]);
    let end = used(&bytes);
    bytes[end - 20..].fill(0);
    image.write_file(PATH, &logs[1], &bytes);
    let db = reopen(&image, &small_logs()).expect("nothing was synced");
    let kept = prefix(&rows(&db), 240).expect("a prefix");
    // The manifest was written last when the newest log was made, and says how far numbers were then.
    let latest = db.latest_seq().expect("open");
    assert!(0 < kept && kept < latest && latest < 240, "{kept} {latest}");
    let next = db.put(&synced(), b"new", b"row").expect("written");
    assert!(next > 240, "{next} was used before");
}
