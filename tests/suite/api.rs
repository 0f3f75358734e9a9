//! The engine's calls with worker threads on: concurrency, limits, waiting and closing.

use crate::simdb::*;
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::Db;
use esker::internals::db::iter::SeekMode;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use esker::internals::retire::RetireList;
use esker::internals::shared::{LogLevel, Logger};
use esker::internals::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Small limits, worker threads on.
fn busy() -> Options {
    Options { deterministic: false, write_buffer: 4 << 10, table_size: 4 << 10, ..tiny() }
}

fn at(seq: u64) -> ReadParams {
    ReadParams { snapshot: Some(seq), ..ReadParams::default() }
}

#[test]
fn four_writers_lose_nothing_and_number_everything_once() {
    let kernel = SimKernel::new(1);
    let db = open(&kernel, &busy()).expect("opens");
    let numbers: Vec<u64> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4u64)
            .map(|writer| {
                let db = db.clone();
                scope.spawn(move || {
                    let mut numbers = Vec::new();
                    for n in 0..500u64 {
                        let params = if n % 50 == 0 { synced() } else { buffered() };
                        let key = format!("{writer}-{n:04}");
                        let number = db.put(&params, key.as_bytes(), &n.to_le_bytes());
                        numbers.push(number.expect("written"));
                        assert!(get(&db, key.as_bytes()).is_some(), "a writer reads its own write");
                    }
                    assert!(numbers.is_sorted(), "numbers rise within a thread");
                    numbers
                })
            })
            .collect();
        writers.into_iter().flat_map(|w| w.join().expect("no writer panics")).collect()
    });
    let mut sorted = numbers;
    sorted.sort_unstable();
    assert_eq!(sorted, (1..=2_000).collect::<Vec<u64>>());
    assert_eq!(rows(&db).len(), 2_000);
    assert_eq!(db.latest_seq().expect("open"), 2_000);
    let image = kernel.crash(CrashPolicy::Kill, 1);
    assert_eq!(rows(&reopen(&image, &busy()).expect("opens")).len(), 2_000, "after a kill");
    let db = cycle(&kernel, db, &busy());
    assert_eq!(rows(&db).len(), 2_000, "reopened");
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    const ROUNDS: u64 = 400;
    let kernel = SimKernel::new(2);
    let db = open(&kernel, &busy()).expect("opens");
    let done = AtomicBool::new(false);
    let views = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let last = done.load(Ordering::Acquire);
                    let seen: Vec<Vec<u8>> = rows(&db).into_values().collect();
                    assert!(seen.is_empty() || seen.len() == 10, "{} rows of 10", seen.len());
                    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
                    views.fetch_add(1, Ordering::Relaxed);
                    if last {
                        break;
                    }
                }
            });
        }
        for round in 0..ROUNDS {
            let mut batch = WriteBatch::new();
            for place in 0..10u8 {
                let value = format!("round {round:050}");
                batch.put(db.keyspace(), &[place], value.as_bytes()).expect("fits");
            }
            db.write(batch.as_bytes(), &buffered()).expect("written");
        }
        done.store(true, Ordering::Release);
    });
    assert!(views.load(Ordering::Relaxed) >= 2);
    assert!(db.stats().flushes > 0, "the readers met flushes");
}

#[test]
fn snapshots_and_cursors_stay_still_during_flush_and_compaction() {
    let kernel = SimKernel::new(3);
    let db = open(&kernel, &busy()).expect("opens");
    let write = |round: u64| {
        for n in 0..100u64 {
            let value = format!("round {round}");
            db.put(&buffered(), format!("{n:03}").as_bytes(), value.as_bytes()).expect("written");
        }
    };
    write(0);
    let snapshot = db.snapshot().expect("taken");
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    let frozen = rows(&db);
    thread::scope(|scope| {
        scope.spawn(|| (1..20).for_each(write));
        scope.spawn(|| {
            for _ in 0..5 {
                db.flush().expect("flushed");
                db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
            }
        });
        for _ in 0..20 {
            assert_eq!(rows_of(&db, &at(snapshot.seq())), frozen);
            let value = db.get(&at(snapshot.seq()), b"050").expect("read").expect("there");
            assert_eq!(&value[..], b"round 0");
            let mut shown = 0;
            let mut more = iter.first().expect("moves");
            while more {
                assert_eq!(iter.value(), b"round 0");
                shown += 1;
                more = iter.next().expect("moves");
            }
            assert_eq!(shown, 100);
        }
    });
    assert_eq!(rows_of(&db, &at(snapshot.seq())), frozen);
    assert!(rows(&db).values().all(|value| value == b"round 19"));
    assert_eq!(db.stats().snapshots, 1);
    drop((snapshot, iter));
    assert_eq!((db.stats().snapshots, db.stats().live_iterators), (0, 0));
}

#[test]
fn a_pinned_value_outlives_overwriting_compaction_and_close() {
    let kernel = SimKernel::new(4);
    let db = open(&kernel, &busy()).expect("opens");
    db.put(&buffered(), b"k", b"in memory").expect("written");
    let in_memory = db.get(&ReadParams::default(), b"k").expect("read").expect("there");
    db.put(&buffered(), b"k", b"in a table").expect("written");
    db.flush().expect("flushed");
    let in_table = db.get(&ReadParams::default(), b"k").expect("read").expect("there");
    db.delete(&buffered(), b"k").expect("written");
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    assert_eq!(get(&db, b"k"), None);
    db.close(false).expect("pins do not count");
    drop(db);
    let read = thread::spawn(move || (in_memory.to_vec(), in_table.to_vec()));
    let values = read.join().expect("pins may change threads");
    assert_eq!(values, (b"in memory".to_vec(), b"in a table".to_vec()));
}

#[test]
fn close_is_busy_with_children_and_detaches_when_told() {
    let kernel = SimKernel::new(5);
    let db = open(&kernel, &busy()).expect("opens");
    db.put(&buffered(), b"k", b"v").expect("written");
    let snapshot = db.snapshot().expect("taken");
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    assert!(iter.first().expect("moves"));
    let busy = db.close(false).expect_err("children live");
    assert_eq!((busy.kind(), busy.detail().value), (ErrorKind::Busy, 2));
    db.put(&buffered(), b"k2", b"v").expect("BUSY changed nothing");
    db.close(true).expect("detached");
    assert_eq!((iter.key(), iter.value()), (&b"k"[..], &b"v"[..]), "the row stays readable");
    assert_eq!(kind(iter.next()), Some(ErrorKind::Closed));
    assert_eq!(kind(iter.seek(SeekMode::Ge, b"")), Some(ErrorKind::Closed));
    assert_eq!(kind(snapshot.check_open()), Some(ErrorKind::Closed));
    assert_eq!(kind(db.put(&buffered(), b"k", b"v")), Some(ErrorKind::Closed));
    assert_eq!(kind(db.get(&ReadParams::default(), b"k").map(|_| ())), Some(ErrorKind::Closed));
    assert_eq!(kind(db.iter(&ReadParams::default()).map(|_| ())), Some(ErrorKind::Closed));
    assert_eq!(kind(db.snapshot().map(|_| ())), Some(ErrorKind::Closed));
    assert_eq!(kind(db.flush()), Some(ErrorKind::Closed));
    assert_eq!(kind(db.sync()), Some(ErrorKind::Closed));
    assert_eq!(kind(db.close(true)), Some(ErrorKind::Closed));
    // The lock is free although children still live.
    let db = reopen(&kernel, &calm()).expect("opens");
    assert_eq!(rows(&db).len(), 2);
    drop((snapshot, iter));
}

#[test]
fn a_close_in_the_middle_of_work_is_clean() {
    for seed in 0..8 {
        let kernel = SimKernel::new(seed);
        let db = open(&kernel, &busy()).expect("opens");
        let written = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 0..100_000u64 {
                    match db.put(&buffered(), &n.to_be_bytes(), &[3; 100]) {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::Closed => return n,
                        Err(error) => panic!("{error}"),
                    }
                }
                panic!("the database was never closed");
            });
            while db.latest_seq().expect("open") < 100 * (seed + 1) {
                thread::yield_now();
            }
            db.close(false).expect("closes");
            writer.join().expect("the writer ends")
        });
        let db = reopen(&kernel, &calm()).expect("opens");
        assert_eq!(rows(&db).len() as u64, written, "seed {seed}");
    }
}

#[test]
fn writes_that_must_not_wait_time_out_when_there_is_no_room() {
    let options = Options { write_buffer: 256, immutable_max: 1, ..busy() };
    let kernel = SimKernel::new(6);
    let db = open(&kernel, &options).expect("opens");
    db.put(&buffered(), b"first", b"").expect("written");
    // A compaction cannot be started and every table fails: memory is full for good.
    fail_always(&kernel, CallKind::Create, EIO);
    let no_stall = WriteParams { no_stall: true, ..buffered() };
    let patient = WriteParams { timeout_us: 1_000, ..buffered() };
    let refused = |params: &WriteParams| {
        let refusal = (0..200u64).find_map(|n| db.put(params, &n.to_be_bytes(), &[1; 50]).err());
        refusal.expect("memory is bounded")
    };
    assert_eq!(refused(&no_stall).kind(), ErrorKind::Timeout);
    assert!(refused(&no_stall).detail().retryable);
    let kinds = [ErrorKind::Timeout, ErrorKind::Io];
    assert!(kinds.contains(&refused(&patient).kind()));
    kernel.clear_faults();
    db.flush().expect("the fault is over");
    db.put(&no_stall, b"last", b"").expect("there is room");
}

#[test]
fn durable_seq_rises_with_syncs_and_never_falls() {
    let kernel = SimKernel::new(7);
    let db = open(&kernel, &calm()).expect("opens");
    let durable = || db.durable_seq().expect("open");
    assert_eq!(durable(), 0);
    let first = db.put(&buffered(), b"a", b"").expect("written");
    assert!(durable() < first, "a BUFFERED write is not durable by itself");
    db.sync().expect("synced");
    assert_eq!(durable(), first);
    let second = db.put(&synced(), b"b", b"").expect("written");
    assert_eq!(durable(), second, "a SYNC write is durable when it returns");
    let third = db.put(&buffered(), b"c", b"").expect("written");
    assert_eq!(durable(), second);
    db.flush().expect("flushed");
    assert_eq!(durable(), third, "tables are durable");
    let image = kernel.crash(CrashPolicy::OnlySynced, 7);
    assert_eq!(rows(&reopen(&image, &calm()).expect("opens")).len(), 3);
    db.put(&buffered(), b"d", b"").expect("written");
    let image = kernel.crash(CrashPolicy::OnlySynced, 7);
    assert_eq!(rows(&reopen(&image, &calm()).expect("opens")).len(), 3, "d was never synced");
}

#[test]
fn durable_seq_is_monotone_under_threads_and_tells_the_truth() {
    let kernel = SimKernel::new(8);
    let db = open(&kernel, &busy()).expect("opens");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Acquire) {
                let durable = db.durable_seq().expect("open");
                assert!(durable >= last, "{durable} after {last}");
                assert!(durable <= db.latest_seq().expect("open"));
                last = durable;
                thread::yield_now();
            }
        });
        for n in 0..1_000u64 {
            let params = if n % 100 == 99 { synced() } else { buffered() };
            db.put(&params, &n.to_be_bytes(), &[5; 30]).expect("written");
            if n % 250 == 0 {
                db.sync().expect("synced");
                let durable = db.durable_seq().expect("open");
                let image = kernel.crash(CrashPolicy::OnlySynced, n);
                let left = rows(&reopen(&image, &calm()).expect("opens")).len() as u64;
                assert!(left >= durable, "{left} of {durable} durable writes survive");
            }
        }
        done.store(true, Ordering::Release);
        watcher.join().expect("the watcher ends");
    });
}

#[test]
fn keys_and_values_have_limits_and_may_be_empty() {
    let kernel = SimKernel::new(9);
    let db = open(&kernel, &calm()).expect("opens");
    let longest = vec![b'k'; 65_535];
    let too_long = vec![b'k'; 65_536];
    db.put(&buffered(), &longest, b"v").expect("65,535 bytes are a key");
    db.put(&buffered(), b"", b"").expect("so is nothing");
    for refused in [
        kind(db.put(&buffered(), &too_long, b"")),
        kind(db.delete(&buffered(), &too_long)),
        kind(db.get(&ReadParams::default(), &too_long).map(|_| ())),
    ] {
        assert_eq!(refused, Some(ErrorKind::Limit));
    }
    let error = db.put(&buffered(), &too_long, b"").expect_err("too long");
    assert_eq!(error.detail().value, 65_535, "the message names the limit: {error}");
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    assert!(iter.first().expect("moves") && iter.key().is_empty() && iter.value().is_empty());
    assert_eq!(kind(iter.seek(SeekMode::Ge, &too_long)), Some(ErrorKind::Limit));
    assert!(iter.valid() && iter.key().is_empty(), "a refused seek moves nothing");
    assert!(iter.seek(SeekMode::Eq, &longest).expect("moves"));
    drop(iter);
    for when in ["flushed", "reopened"] {
        db.flush().expect("flushed");
        assert_eq!(get(&db, b""), Some(Vec::new()), "{when}");
        assert_eq!(get(&db, &longest), Some(b"v".to_vec()), "{when}");
    }
    let db = cycle(&kernel, db, &calm());
    assert_eq!(get(&db, b""), Some(Vec::new()));
    db.delete(&buffered(), b"").expect("written");
    let db = cycle(&kernel, db, &calm());
    assert_eq!(get(&db, b""), None, "deleting the empty key is logged");
    assert_eq!(rows(&db).len(), 1);
}

#[test]
fn an_empty_batch_is_no_write() {
    let kernel = SimKernel::new(10);
    let db = open(&kernel, &calm()).expect("opens");
    let number = db.put(&buffered(), b"k", b"v").expect("written");
    let empty = WriteBatch::new();
    assert_eq!(db.write(empty.as_bytes(), &buffered()).expect("fine"), number);
    assert_eq!(db.durable_seq().expect("open"), 0);
    db.write(empty.as_bytes(), &synced()).expect("fine");
    assert_eq!(db.durable_seq().expect("open"), number, "with SYNC it is a sync");
}

#[test]
fn a_compaction_can_be_cancelled_and_a_wrong_range_is_refused() {
    let kernel = SimKernel::new(11);
    let db = open(&kernel, &busy()).expect("opens");
    for n in 0..500u64 {
        db.put(&buffered(), &n.to_be_bytes(), &[9; 60]).expect("written");
    }
    let cancelled = db.compact(None, None, true, &mut |_, _, _| false);
    assert_eq!(kind(cancelled), Some(ErrorKind::Cancelled));
    assert_eq!(rows(&db).len(), 500);
    let params = ReadParams {
        lower: Some(b"b".to_vec()),
        upper: Some(b"a".to_vec()),
        ..ReadParams::default()
    };
    assert_eq!(kind(db.iter(&params).map(|_| ())), Some(ErrorKind::Invalid));
}

#[test]
fn the_real_file_system_serves_the_same_engine() {
    use esker::internals::db::open::OpenFlags;
    use esker::internals::env::api::Fs;
    use std::os::unix::ffi::OsStrExt;
    let path = std::env::temp_dir().join(format!("esker-api-{}", std::process::id()));
    let name = path.as_os_str().as_bytes();
    let flags = OpenFlags { create: true, exclusive: true, ..OpenFlags::default() };
    let db = Db::open(&Fs::Real, name, &busy(), flags).expect("opens");
    for n in 0..2_000u64 {
        db.put(&buffered(), &n.to_be_bytes(), &n.to_le_bytes()).expect("written");
    }
    let second = Db::open(&Fs::Real, name, &busy(), OpenFlags::default());
    assert_eq!(kind(second.map(|_| ())), Some(ErrorKind::Locked));
    db.close(false).expect("closes");
    drop(db);
    let db = Db::open(&Fs::Real, name, &calm(), OpenFlags::default()).expect("opens again");
    assert_eq!(rows(&db).len(), 2_000);
    assert_eq!(get(&db, &77u64.to_be_bytes()), Some(77u64.to_le_bytes().to_vec()));
    db.close(false).expect("closes");
    drop(db);
    Db::destroy(&Fs::Real, name).expect("destroyed");
    assert!(!path.exists());
}

#[test]
fn a_scan_that_takes_too_long_says_so_and_goes_on_when_asked_again() {
    let db =
        open(&SimKernel::new(77), &Options { write_buffer: 64 << 20, ..tiny() }).expect("opens");
    for n in 0..5_000u32 {
        db.put(&buffered(), &n.to_be_bytes(), b"v").expect("written");
    }
    for n in 1..5_000u32 {
        db.delete(&buffered(), &n.to_be_bytes()).expect("deleted");
    }
    // One step over thousands of deleted rows takes longer than a microsecond.
    let mut iter = db.iter(&ReadParams { timeout_us: 1, ..ReadParams::default() }).expect("opens");
    assert!(iter.first().expect("the first row is there at once"));
    let mut refused = 0;
    let more = loop {
        match iter.next() {
            Ok(more) => break more,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Timeout);
                refused += 1;
            }
        }
    };
    assert!(!more && refused > 0, "the end was found after {refused} refusals");
}

#[test]
fn garbage_is_called_for_and_dropped_outside_the_lock() {
    struct Pushes(Arc<RetireList>);
    impl Drop for Pushes {
        fn drop(&mut self) {
            self.0.push(Box::new(1u8));
        }
    }
    let list = Arc::new(RetireList::default());
    let (own, calls) = (list.clone(), Arc::new(AtomicU64::new(0)));
    let counted = calls.clone();
    // Both would wait for themselves for ever.
    list.on_load(Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        drop(own.take());
    }));
    list.push(Box::new(2u8));
    assert!(calls.load(Ordering::Relaxed) >= 2 && list.take().garbage.is_empty());
    list.drop_in_place();
    list.push(Box::new(Pushes(list.clone())));
    assert!(list.take().garbage.is_empty(), "dropped where it was brought");
}

#[test]
fn a_log_callback_that_is_taken_away_has_ended() {
    let logger = Logger::default();
    let (entered, leaving, taken) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    let state = Arc::new((entered, leaving, taken));
    let seen = state.clone();
    logger.set(
        Some(LogLevel::Info),
        Some(Box::new(move |_, _| {
            seen.0.store(true, Ordering::Release);
            // Time for the other thread to come back too early.
            for _ in 0..2_000 {
                thread::yield_now();
            }
            assert!(!seen.2.load(Ordering::Acquire), "set() has returned while the callback runs");
            seen.1.store(true, Ordering::Release);
        })),
    );
    thread::scope(|scope| {
        let line = scope.spawn(|| logger.log(LogLevel::Info, || "a line".to_owned()));
        while !state.0.load(Ordering::Acquire) {
            thread::yield_now();
        }
        logger.set(None, None);
        assert!(state.1.load(Ordering::Acquire), "the callback has ended");
        state.2.store(true, Ordering::Release);
        line.join().expect("the callback saw what it should");
    });
}
