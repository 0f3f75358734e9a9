//! Writers that meet a slow disk: they slow down, stop and go on; none fails, each stall has an end.
//!
//! The disk is held at a gate: creating files holds flushes, reading tables from their start compactions.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::env::sim::slow::Held;
use esker::internals::error::ErrorKind;
use esker::internals::key::EntryKind;
use esker::internals::options::Options;
use esker::internals::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Threads behind the scenes, memtables of a page.
fn narrow() -> Options {
    Options {
        write_buffer: 4 << 10,
        table_size: 64 << 10,
        level_bytes: 256 << 10,
        l0_trigger: 2,
        deterministic: false,
        ..Options::default()
    }
}

fn key(n: u64) -> Vec<u8> {
    // Scattered, so that flushes overlap.
    format!("{:08}", n.wrapping_mul(7_919) % 1_000_003).into_bytes()
}

const VALUE: [u8; 100] = [7; 100];

/// A counter that only the text of statistics shows.
fn counter(db: &Db, name: &str) -> u64 {
    let text = db.property("stats").unwrap().expect("there is such a text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().expect("a number")
}

/// A database that has its log and its manifest, so that only tables are created from here on.
fn warm(kernel: &Arc<SimKernel>, options: &Options) -> Db {
    let db = open(kernel, options).expect("opens");
    db.put(&buffered(), b"first", b"1").expect("written");
    db.flush().expect("flushed");
    db
}

fn write_all(db: &Db, count: u64) {
    for n in 0..count {
        db.put(&buffered(), &key(n), &VALUE).unwrap_or_else(|e| panic!("write {n}: {e}"));
    }
}

/// Lets another thread write while calls of this kind are held, until `enough`; then releases the disk. Every
/// write succeeds and is found.
fn write_against_a_held_disk(
    kernel: &Arc<SimKernel>,
    options: &Options,
    held: Held,
    count: u64,
    enough: impl Fn(&Db) -> bool,
) -> Db {
    let db = warm(kernel, options);
    let _held = hold(kernel, held);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_all(&db, count));
        while !enough(&db) && !writer.is_finished() {
            thread::yield_now();
        }
        kernel.release();
        writer.join().expect("no write fails");
    });
    let missing = (0..count).find(|n| get(&db, &key(*n)).is_none());
    assert_eq!(missing, None, "every write is found");
    db
}

/// Each stall and slow-down that began has ended.
fn assert_ended(db: &Db) {
    assert_eq!(db.stats().stalls, counter(db, "stalls_ended"));
    assert_eq!(counter(db, "slowdowns"), counter(db, "slowdowns_ended"));
    let causes = ["stalls_memtables", "stalls_level0_bytes", "stalls_level0_flushes"];
    assert_eq!(db.stats().stalls, causes.iter().map(|name| counter(db, name)).sum::<u64>());
}

#[test]
fn writers_stop_when_all_memtables_are_full_and_go_on() {
    let kernel = SimKernel::new(1);
    let stalled = |db: &Db| db.stats().stalls > 0;
    let db =
        write_against_a_held_disk(&kernel, &narrow(), Held::Calls(CallKind::Create), 500, stalled);
    assert!(counter(&db, "stalls_memtables") > 0);
    assert!(db.stats().stall_us > 0);
    assert_ended(&db);
    db.close(false).expect("closes");
}

#[test]
fn writers_slow_down_then_stop_at_what_level_0_holds_and_go_on() {
    let kernel = SimKernel::new(2);
    let stalled = |db: &Db| counter(db, "stalls_level0_bytes") > 0;
    let db = write_against_a_held_disk(&kernel, &narrow(), Held::ReadsFromStart, 3_000, stalled);
    assert!(stalled(&db), "level 0 never held 32 write buffers");
    let slowdowns = counter(&db, "slowdowns");
    assert!(slowdowns < 300, "{slowdowns} waits for 3000 puts: few, never one per put");
    assert_ended(&db);
}

#[test]
fn between_the_limits_writers_wait_for_what_they_owe() {
    let kernel = SimKernel::new(8);
    let db = warm(&kernel, &narrow());
    let _held = hold(&kernel, Held::ReadsFromStart);
    let mut n = 0;
    while db.stats().level[0].bytes < 24 * (4 << 10) {
        for _ in 0..20 {
            db.put(&buffered(), &key(n), &VALUE).expect("written");
            n += 1;
        }
        db.flush().expect("flushes go on");
    }
    let before = counter(&db, "slowdowns");
    let no_stall = WriteParams { no_stall: true, ..buffered() };
    let brief = WriteParams { timeout_us: 1_000, ..buffered() };
    // Half-way to the stop, 4 MiB owe more than a hundred milliseconds. A machine that has others to serve may let as much
    // time pass before the next write.
    let owes = (0..100).any(|n| {
        db.put(&buffered(), b"large", &vec![7; 4 << 20]).expect("written");
        let (first, second) = (format!("hurried {n}"), format!("brief {n}"));
        let answers = [
            kind(db.put(&no_stall, first.as_bytes(), b"1")),
            kind(db.put(&brief, second.as_bytes(), b"1")),
        ];
        for (key, answer) in [first, second].iter().zip(&answers) {
            assert_eq!(get(&db, key.as_bytes()).is_none(), answer.is_some(), "{key}: {answer:?}");
        }
        answers == [Some(ErrorKind::Timeout); 2]
    });
    assert!(owes && counter(&db, "slowdowns") > before);
    assert!(db.stats().slowdown_us >= 1_000, "it waited out its time");
    db.put(&buffered(), b"small", b"1").expect("written after a wait");
    kernel.release();
    assert_eq!(db.stats().stalls, 0, "nobody stopped");
    assert_ended(&db);
}

#[test]
fn the_number_of_flushes_stops_writers_where_the_option_says_so() {
    let kernel = SimKernel::new(3);
    let options = Options { l0_stop: 6, ..narrow() };
    let stalled = |db: &Db| counter(db, "stalls_level0_flushes") > 0;
    let db = write_against_a_held_disk(&kernel, &options, Held::ReadsFromStart, 2_000, stalled);
    assert!(stalled(&db));
    assert_eq!(counter(&db, "stalls_level0_bytes"), 0);
    assert_ended(&db);
}

#[test]
fn level_0_stops_nobody_while_it_is_too_short_to_be_compacted() {
    let kernel = SimKernel::new(4);
    // Neither its number of tables nor their bytes ask for a compaction, whenever one is looked for.
    let options = Options { l0_trigger: 1_000, l0_stop: 1, level_bytes: 1 << 30, ..narrow() };
    let db = warm(&kernel, &options);
    write_all(&db, 3_000);
    db.flush().expect("flushed");
    assert!(shape(&db)[0] > 40, "{:?}", shape(&db));
    assert_eq!(counter(&db, "stalls_level0_flushes") + counter(&db, "stalls_level0_bytes"), 0);
    assert_eq!(counter(&db, "slowdowns"), 0);
}

#[test]
fn a_disk_that_takes_its_time_makes_writers_wait_and_none_fails() {
    let kernel = SimKernel::new(5);
    let db = warm(&kernel, &narrow());
    // 4 KiB take 4 ms.
    kernel.set_sync_cost(1_000);
    thread::scope(|scope| {
        for t in 0..3 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..200 {
                    db.put(&buffered(), &key(t * 1_000 + n), &VALUE).expect("written");
                }
            });
        }
    });
    kernel.set_sync_cost(0);
    assert!(db.stats().stalls > 0, "600 writes fill 15 memtables, 3 may wait");
    assert_ended(&db);
    db.flush().expect("flushed");
    assert_eq!(rows(&db).len(), 601);
}

#[test]
fn a_job_that_fails_slows_nobody_and_a_stop_answers_with_its_error() {
    let kernel = SimKernel::new(6);
    let db = warm(&kernel, &narrow());
    fail_always(&kernel, CallKind::Pread, EIO);
    let error = (0..10_000).find_map(|n| db.put(&buffered(), &key(n), &VALUE).err());
    let error = error.expect("level 0 is bounded");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.detail().retryable, "{error}");
    assert_ended(&db);
    kernel.clear_faults();
    // Each try asks for the job again.
    while db.put(&buffered(), b"last", b"1").is_err() {
        thread::yield_now();
    }
    assert_ended(&db);
}

/// A database whose level 0 is long enough to slow writers down, and whose compactions fail.
#[test]
fn a_slow_down_is_passed_over_while_a_job_fails() {
    let kernel = SimKernel::new(9);
    let core = open_core(&kernel, &narrow()).expect("opens");
    let put = |n, params: &WriteParams| core.write_one(params, EntryKind::Put, &key(n), &VALUE);
    let mut n = 0;
    let _held = hold(&kernel, Held::ReadsFromStart);
    while core.pacer.price() == 0 {
        for _ in 0..20 {
            put(n, &buffered()).expect("written");
            n += 1;
        }
        core.flush().expect("flushes go on");
    }
    fail_always(&kernel, CallKind::Pread, EIO);
    kernel.release();
    let mut work = core.work.lock();
    while work.compaction.failure.is_none() {
        core.progress.wait(&mut work);
    }
    drop(work);
    core.pacer.owe_until(Instant::now() + Duration::from_secs(60));
    assert!(core.pacer.due().is_some(), "something is owed");
    let brief = WriteParams { timeout_us: 5_000_000, ..buffered() };
    put(n, &brief).expect("it does not wait for what cannot get better");
    assert_eq!(core.pacer.due(), None, "what was owed is forgotten");
    kernel.clear_faults();
    core.close(false).expect("closes");
}

#[test]
fn at_full_speed_nothing_is_due_also_when_something_was_owed() {
    let core = open_core(&SimKernel::new(10), &calm()).expect("opens");
    let pacer = &core.pacer;
    pacer.charge(u64::MAX);
    pacer.set_price(64);
    assert_eq!(pacer.due(), None, "what was written at full speed is paid for");
    pacer.charge(u64::MAX);
    assert!(pacer.due().is_some(), "something is owed");
    pacer.set_price(0);
    assert_eq!(pacer.due(), None, "nobody waits at full speed");
    core.close(false).expect("closes");
}

#[test]
fn a_close_ends_a_stall() {
    let kernel = SimKernel::new(7);
    let db = warm(&kernel, &narrow());
    let _held = hold(&kernel, Held::Calls(CallKind::Create));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (0..10_000).find_map(|n| db.put(&buffered(), &key(n), &VALUE).err()).map(|e| e.kind())
        });
        while db.stats().stalls == 0 {
            thread::yield_now();
        }
        let closer = scope.spawn(|| db.close(false));
        // The flush is still held: what ends the stall is the close alone.
        assert_eq!(writer.join().expect("no panic"), Some(ErrorKind::Closed));
        kernel.release();
        closer.join().expect("no panic").expect("closes");
    });
    assert_ended(&db);
}
