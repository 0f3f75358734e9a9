//! GROUP writes, the sync interval and waiting for durability.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::env::sim::slow::Held;
use esker::internals::error::ErrorKind;
use esker::internals::key::EntryKind;
use esker::internals::options::{Durability, Options};
use std::thread;
use std::time::{Duration, Instant};

fn group() -> WriteParams {
    with(Durability::Group)
}

fn key(n: u64) -> Vec<u8> {
    format!("{n:04}").into_bytes()
}

#[test]
fn a_group_write_survives_a_power_cut_when_it_returns() {
    for group_sync_us in [0, 1, 200] {
        let kernel = SimKernel::new(1);
        let options = Options { group_sync_us, ..calm() };
        let db = open(&kernel, &options).expect("opens");
        let seq = db.put(&group(), b"kept", b"1").expect("written");
        assert_eq!(db.durable_seq().expect("open"), seq, "window {group_sync_us}");
        let image = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 1);
        let db = reopen(&image, &options).expect("opens");
        assert_eq!(get(&db, b"kept"), Some(b"1".to_vec()), "window {group_sync_us}");
    }
}

#[test]
fn group_writes_of_many_threads_share_syncs_and_all_are_kept() {
    const THREADS: u64 = 6;
    const WRITES: u64 = 20;
    let kernel = SimKernel::new(2);
    let options = Options { group_sync_us: 2_000, ..calm() };
    let db = open(&kernel, &options).expect("opens");
    thread::scope(|scope| {
        for t in 0..THREADS {
            let db = &db;
            scope.spawn(move || {
                for n in 0..WRITES {
                    let seq = db.put(&group(), &key(t * WRITES + n), b"v").expect("written");
                    assert!(db.durable_seq().expect("open") >= seq, "durable when it returns");
                }
            });
        }
    });
    let syncs = db.stats().wal_syncs;
    assert!(syncs <= THREADS * WRITES, "{syncs} syncs for {} writes", THREADS * WRITES);
    let image = crash(&kernel, Some(db), CrashPolicy::OnlySynced, 2);
    let found = rows(&reopen(&image, &options).expect("opens"));
    assert_eq!(found.len() as u64, THREADS * WRITES);
}

#[test]
fn a_sync_write_takes_the_waiting_group_writes_with_it() {
    let kernel = SimKernel::new(3);
    // A window that no test lives to see.
    let db = open(&kernel, &Options { group_sync_us: 3_600_000_000, ..calm() }).expect("opens");
    let before = db.stats().wal_syncs;
    thread::scope(|scope| {
        let waiting = scope.spawn(|| db.put(&group(), b"g", b"1").expect("written"));
        // Whether the GROUP write is in the room yet shows only in what the SYNC writes take with them.
        while !waiting.is_finished() {
            db.put(&synced(), b"s", b"1").expect("written");
        }
    });
    assert_eq!(get(&db, b"g"), Some(b"1".to_vec()));
    let (syncs, seqs) = (db.stats().wal_syncs - before, db.latest_seq().expect("open"));
    assert_eq!(syncs, seqs - 1, "the GROUP write caused no sync of its own");
}

#[test]
fn a_failed_sync_fails_every_member_of_the_room_and_shows_none() {
    let kernel = SimKernel::new(4);
    let db = open(&kernel, &Options { group_sync_us: 2_000, ..calm() }).expect("opens");
    db.put(&synced(), b"first", b"1").expect("written");
    fail_always(&kernel, CallKind::Fdatasync, EIO);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                scope.spawn({
                    let db = &db;
                    move || kind(db.put(&group(), &key(n), b"x"))
                })
            })
            .collect();
        for writer in writers {
            let kind = writer.join().expect("no panic").expect("the write failed");
            assert!(matches!(kind, ErrorKind::Io | ErrorKind::Poisoned), "{kind:?}");
        }
    });
    assert_eq!(rows(&db).len(), 1);
}

#[test]
fn waiting_for_durability_looks_waits_and_refuses() {
    let kernel = SimKernel::new(5);
    let db = open(&kernel, &calm()).expect("opens");
    assert!(db.wait_durable(0, 0).expect("nothing was written"));
    let first = db.put(&buffered(), b"a", b"1").expect("written");
    assert!(!db.wait_durable(first, 0).expect("a look"), "not synced yet");
    assert!(!db.wait_durable(first, 1_000).expect("a short wait"), "nobody syncs");
    assert_eq!(kind(db.wait_durable(first + 1, 0)), Some(ErrorKind::Invalid));
    let waiter = {
        let db = db.clone();
        thread::spawn(move || db.wait_durable(first, u64::MAX))
    };
    db.sync().expect("synced");
    assert!(waiter.join().expect("no panic").expect("waited"));
    // A flush does as well, and speaks for writes that no log has.
    let second = db.put(&with(Durability::Unlogged), b"b", b"2").expect("written");
    assert!(!db.wait_durable(second, 0).expect("a look"));
    db.flush().expect("flushed");
    assert!(db.wait_durable(second, 0).expect("a look"));
}

#[test]
fn waiting_for_durability_ends_when_it_has_become_useless() {
    for closes in [true, false] {
        let kernel = SimKernel::new(6);
        let db = open(&kernel, &calm()).expect("opens");
        let seq = db.put(&buffered(), b"a", b"1").expect("written");
        fail_always(&kernel, CallKind::Fdatasync, EIO);
        let waiter = {
            let db = db.clone();
            thread::spawn(move || kind(db.wait_durable(seq, u64::MAX)))
        };
        let failed = if closes { db.close(false) } else { db.sync() };
        assert_eq!(kind(failed), Some(ErrorKind::Io));
        let expected = if closes { ErrorKind::Closed } else { ErrorKind::Poisoned };
        assert_eq!(waiter.join().expect("no panic"), Some(expected), "closes: {closes}");
    }
}

#[test]
fn the_interval_syncs_what_was_logged_and_leaves_an_idle_database_alone() {
    let kernel = SimKernel::new(7);
    let options = Options { sync_interval_us: 1_000, deterministic: false, ..calm() };
    let db = open(&kernel, &options).expect("opens");
    for n in 0..3 {
        let seq = db.put(&buffered(), &key(n), b"v").expect("written");
        assert!(db.wait_durable(seq, u64::MAX).expect("the interval syncs"));
    }
    let syncs = db.stats().wal_syncs;
    assert!((1..=3).contains(&syncs), "{syncs} syncs");
    db.put(&with(Durability::Unlogged), b"u", b"v").expect("written");
    db.close(false).expect("closes while the clock is down");
}

/// The clock is taken down before the sync: one that was wound up meanwhile would else be forgotten with the write.
#[test]
fn a_write_beside_a_sync_of_the_interval_is_synced_by_the_next_one() {
    let kernel = SimKernel::new(10);
    let options = Options { sync_interval_us: 1_000, deterministic: false, ..calm() };
    let core = open_core(&kernel, &options).expect("opens");
    let put = |n| core.write_one(&buffered(), EntryKind::Put, &key(n), b"v").expect("written");
    assert!(core.wait_durable(put(0), u64::MAX).expect("the interval syncs"));
    let _held = hold(&kernel, Held::Calls(CallKind::Fdatasync));
    let covered = put(1);
    // Taken down, and the sync is under way or about to be. Nobody would take it down while the sync is held.
    let start = Instant::now();
    while core.sync_interval.since_us().is_some() && start.elapsed() < Duration::from_secs(5) {
        thread::yield_now();
    }
    let missed = put(2);
    kernel.release();
    for seq in [covered, missed] {
        let durable = core.wait_durable(seq, 10_000_000).expect("waited");
        assert!(durable, "{seq} was forgotten");
    }
    core.close(false).expect("closes");
}

#[test]
fn without_threads_the_interval_goes_by_the_clock_of_the_environment() {
    let kernel = SimKernel::new(8);
    let db = open(&kernel, &Options { sync_interval_us: 1_000, ..calm() }).expect("opens");
    let put = |db: &Db, n| db.put(&buffered(), &key(n), b"v").expect("written");
    let first = put(&db, 1);
    assert!(!db.wait_durable(first, 0).expect("a look"), "not due");
    kernel.advance_clock(1_000);
    let second = put(&db, 2);
    assert!(db.wait_durable(second, 0).expect("a look"), "due");
    let third = put(&db, 3);
    assert!(!db.wait_durable(third, 0).expect("a look"), "the clock begins again");
}

#[test]
fn a_failed_sync_of_the_interval_stops_writes_and_is_reported() {
    let kernel = SimKernel::new(9);
    let db = open(&kernel, &Options { sync_interval_us: 1_000, ..calm() }).expect("opens");
    db.put(&buffered(), b"a", b"1").expect("written");
    fail_always(&kernel, CallKind::Fdatasync, EIO);
    kernel.advance_clock(1_000);
    db.put(&buffered(), b"b", b"1").expect("this write itself asks for no sync");
    assert_eq!(db.last_error().map(|e| e.kind()), Some(ErrorKind::Io));
    assert_eq!(kind(db.put(&buffered(), b"c", b"1")), Some(ErrorKind::Poisoned));
}

#[test]
fn group_and_interval_are_options_in_range() {
    let mut options = Options::default();
    options.parse(b"group_sync_us=250; sync_interval_us=1000000").expect("in range");
    assert_eq!((options.group_sync_us, options.sync_interval_us), (250, 1_000_000));
    assert!(options.set_u64(11, 1_000_001).is_err() && options.set_u64(15, u64::MAX).is_err());
}
