//! Opening and closing on the simulated kernel: what recovery drops, refuses and leaves alone.

mod crashes;
mod faults;
mod logs;
mod modes;
mod resume;

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use esker::internals::sync::Arc;

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

/// The log of what is in tables is left behind, whether the close has flushed it or somebody before: the next
/// open has next to nothing to read.
#[test]
fn a_clean_close_leaves_a_short_log_however_much_was_written() {
    for flushed_before in [false, true] {
        let kernel = SimKernel::new(6);
        let options = Options { write_buffer: 8 << 20, ..Options::default() };
        let db = open(&kernel, &options).expect("opens");
        let value = vec![7; 1000];
        for i in 0..2000u32 {
            db.put(&buffered(), &i.to_be_bytes(), &value).expect("a sound disk");
        }
        assert!(db.stats().wal_live_bytes > 2_000_000);
        if flushed_before {
            db.flush().expect("a sound disk");
        }
        db.close(false).expect("closes");
        let logs: usize =
            files(&kernel).iter().filter(|f| f.0.ends_with(".wal")).map(|f| f.1.len()).sum();
        assert!(logs < 64 << 10, "{logs} bytes of logs are left, flushed before: {flushed_before}");
        for policy in [CrashPolicy::Kill, CrashPolicy::OnlySynced] {
            let image = kernel.crash(policy, 1);
            let db = reopen(&image, &options).expect("opens");
            assert_eq!(db.stats().recovered_records, 0);
            assert_eq!(rows(&db).len(), 2000);
        }
    }
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
    let exclusive = OpenFlags { create: true, exclusive: true, ..OpenFlags::default() };
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
