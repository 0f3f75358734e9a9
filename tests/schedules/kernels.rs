//! The kernels: each one hand-over between threads, and what must hold of it under every schedule.

use crate::frame::explore;
use crate::stage::{Stage, get, get_at, put, rows, spawn, value};
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::{CallKind, Fault};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::Durability;
use esker::internals::worker::Workers;

/// Writers of all levels of durability join one queue. Each learns its own sequence number, what was acknowledged is
/// visible, what was synced survives a power cut, and nobody waits for a call that has come already.
fn write_group() {
    let stage = Stage::new(|options| options.group_sync_us = 500);
    let writer = |first: Durability, second: Durability, key: &'static str| {
        spawn(&stage.db, move |db| {
            [first, second].map(|durability| {
                let at = put(db, durability, key, durability as u64).expect("written");
                assert_eq!(get(db, key), Some(durability as u64), "acknowledged and not visible");
                at
            })
        })
    };
    let writers = [
        writer(Durability::Buffered, Durability::Sync, "a"),
        writer(Durability::Unlogged, Durability::Group, "b"),
        writer(Durability::Sync, Durability::Group, "c"),
    ];
    let mut numbers: Vec<u64> =
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "each write has a number of its own");
    let rows = stage.rows_after_power_cut();
    for (key, durability) in
        [("a", Durability::Sync), ("b", Durability::Group), ("c", Durability::Group)]
    {
        assert_eq!(value(&rows, key), Some(durability as u64), "{key} was synced and is lost");
    }
    stage.close();
}

#[test]
fn write_group_tells_every_writer() {
    explore("write_group", write_group);
}

/// Two writers fill memtables of four entries, which are flushed meanwhile; a reader sees what each has written, by
/// get and by cursor, and never less than before.
fn memtable_switch() {
    let stage = Stage::new(|options| options.write_buffer_entries = 4);
    put(&stage.db, Durability::Buffered, "a", 0).expect("written");
    put(&stage.db, Durability::Buffered, "b", 0).expect("written");
    let writer = |key: &'static str| {
        spawn(&stage.db, move |db| {
            for value in 1..=5 {
                put(db, Durability::Buffered, key, value).expect("written");
            }
        })
    };
    let writers = [writer("a"), writer("b")];
    let reader = spawn(&stage.db, |db| {
        let mut least = [0, 0];
        let mut look = |found: [Option<u64>; 2]| {
            let found = found.map(|value| value.expect("a key that was there is gone"));
            assert!(
                least[0] <= found[0] && least[1] <= found[1],
                "{least:?} went back to {found:?}"
            );
            least = found;
        };
        for _ in 0..6 {
            look(["a", "b"].map(|key| get(db, key)));
        }
        let shown = rows(db, &ReadParams::default());
        look(["a", "b"].map(|key| value(&shown, key)));
    });
    writers.into_iter().for_each(|writer| writer.join().expect("no panic"));
    reader.join().expect("no panic");
    assert_eq!([get(&stage.db, "a"), get(&stage.db, "b")], [Some(5), Some(5)]);
    stage.close();
    assert_eq!(value(&stage.rows_after_reopening(), "a"), Some(5));
}

#[test]
fn memtable_switch_hides_nothing() {
    explore("memtable_switch", memtable_switch);
}

/// A flush and a compaction install versions side by side: both are in the tree that readers see and in the one that
/// the manifest tells of.
fn version_install() {
    let stage = Stage::new(|options| options.write_buffer_entries = 4);
    for value in 0..2 {
        put(&stage.db, Durability::Buffered, "old", value).expect("written");
        stage.db.flush().expect("flushed");
    }
    let compactor = spawn(&stage.db, |db| {
        db.compact(None, None, false, &mut |_, _, _| true).expect("compacted");
    });
    let flusher = spawn(&stage.db, |db| {
        put(db, Durability::Buffered, "new", 7).expect("written");
        db.flush().expect("flushed");
        assert_eq!(get(db, "new"), Some(7), "what was flushed is gone");
    });
    assert_eq!(get(&stage.db, "old"), Some(1), "what was there is gone");
    compactor.join().expect("no panic");
    flusher.join().expect("no panic");
    let shown = rows(&stage.db, &ReadParams::default());
    assert_eq!((value(&shown, "old"), value(&shown, "new")), (Some(1), Some(7)));
    stage.close();
    assert_eq!(stage.rows_after_reopening(), shown);
}

#[test]
fn version_install_loses_no_version() {
    explore("version_install", version_install);
}

fn put_pair(db: &Db, value: u64) {
    let mut batch = WriteBatch::new();
    for key in [b"x", b"y"] {
        batch.put(db.keyspace(), key, value.to_string().as_bytes()).expect("it fits");
    }
    db.write(batch.as_bytes(), &WriteParams::default()).expect("written");
}

/// Batches of two keys are written, flushed and compacted while snapshots are taken: each snapshot sees whole batches,
/// the same ones as long as it lives, and none older than those before.
fn snapshot_publish() {
    let stage = Stage::new(|options| options.write_buffer_entries = 8);
    put_pair(&stage.db, 0);
    let writer = spawn(&stage.db, |db| (1..=5).for_each(|value| put_pair(db, value)));
    let mover = spawn(&stage.db, |db| {
        db.flush().expect("flushed");
        db.compact(None, None, true, &mut |_, _, _| true).expect("compacted");
    });
    let mut least = 0;
    for _ in 0..4 {
        let snapshot = stage.db.snapshot().expect("a snapshot");
        let at = Some(snapshot.seq());
        let x = get_at(&stage.db, at, "x").expect("a snapshot lost its key");
        assert_eq!(get_at(&stage.db, at, "y"), Some(x), "a snapshot shows half a batch");
        let shown = rows(&stage.db, &ReadParams { snapshot: at, ..ReadParams::default() });
        let pair = ["x", "y"].map(|key| value(&shown, key));
        assert_eq!(pair, [Some(x), Some(x)], "a snapshot changed");
        assert!(least <= x, "a later snapshot shows an earlier state");
        least = x;
    }
    writer.join().expect("no panic");
    mover.join().expect("no panic");
    stage.close();
}

#[test]
fn snapshot_publish_shows_whole_batches() {
    explore("snapshot_publish", snapshot_publish);
}

/// Two threads write without a log and flush: once a flush has returned, what its thread wrote survives a power cut,
/// and is told to.
fn flush_wait() {
    let stage = Stage::new(|_| ());
    let flusher = |key: &'static str| {
        spawn(&stage.db, move |db| {
            let seq = put(db, Durability::Unlogged, key, 1).expect("written");
            db.flush().expect("flushed");
            let durable = db.durable_seq().expect("open");
            assert!(durable >= seq, "durable_seq {durable} after a flush of {seq}");
        })
    };
    let [one, two] = [flusher("a"), flusher("b")];
    one.join().expect("no panic");
    assert_eq!(value(&stage.rows_after_power_cut(), "a"), Some(1), "flushed and lost");
    two.join().expect("no panic");
    assert_eq!(value(&stage.rows_after_power_cut(), "b"), Some(1), "flushed and lost");
    stage.close();
}

#[test]
fn flush_wait_ends_when_all_is_in_tables() {
    explore("flush_wait", flush_wait);
}

/// Two compactions on request beside the automatic ones: none takes the tables of another, all end, and nothing
/// is lost or comes back.
fn compaction_claim() {
    let stage = Stage::new(|options| options.compaction_auto = true);
    for value in 0..2 {
        put(&stage.db, Durability::Buffered, "a", value).expect("written");
        put(&stage.db, Durability::Buffered, "gone", value).expect("written");
        stage.db.flush().expect("flushed");
    }
    stage.db.delete(&WriteParams::default(), b"gone").expect("deleted");
    let compactor = |force| {
        spawn(&stage.db, move |db| {
            db.compact(None, None, force, &mut |_, _, _| true).expect("compacted");
            assert_eq!((get(db, "a"), get(db, "gone")), (Some(1), None));
        })
    };
    let compactors = [compactor(false), compactor(true)];
    compactors.into_iter().for_each(|compactor| compactor.join().expect("no panic"));
    let shown = rows(&stage.db, &ReadParams::default());
    assert_eq!((value(&shown, "a"), shown.len()), (Some(1), 1));
    stage.close();
    assert_eq!(stage.rows_after_reopening(), shown);
}

#[test]
fn compaction_claim_is_for_one() {
    explore("compaction_claim", compaction_claim);
}

/// A close comes while writers write and a memtable is flushed: every write is made or told CLOSED, the close waits for
/// all that runs, and what was acknowledged is there again. Another member keeps the workers alive.
fn close_drain() {
    let stage = Stage::new(|options| options.write_buffer_entries = 2);
    let other = Workers::join(&stage.env.workers, 1).expect("threads start");
    let writer = |key: &'static str| {
        spawn(&stage.db, move |db| {
            let written = |value: &u64| match put(db, Durability::Buffered, key, *value) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
                    false
                }
            };
            (1..=3).take_while(written).last().unwrap_or(0)
        })
    };
    let writers = [("a", writer("a")), ("b", writer("b"))];
    stage.close();
    let calls = stage.kernel.calls();
    let kept = stage.rows_after_reopening();
    for (key, writer) in writers {
        let acknowledged = writer.join().expect("no panic");
        let found = value(&kept, key).unwrap_or(0);
        assert!(found >= acknowledged, "{key}: {acknowledged} was acknowledged, {found} is there");
    }
    other.leave();
    assert_eq!(stage.kernel.calls(), calls, "the disk was changed after the close");
}

#[test]
fn close_drain_waits_for_everybody() {
    explore("close_drain", close_drain);
}

/// What a call may answer once the disk fails: done, the disk's error, or that writes are stopped.
fn done<T>(result: Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Io | ErrorKind::Poisoned), "{error}");
            false
        }
    }
}

/// From some moment on every sync fails, while one thread writes and flushes, one syncs and one waits for its write
/// to become durable, for ever: all of them hear of it, and nothing acknowledged as durable is lost.
fn background_error() {
    let stage = Stage::new(|options| options.write_buffer_entries = 2);
    put(&stage.db, Durability::Sync, "s", 0).expect("written");
    let syncer = spawn(&stage.db, |db| {
        let written = (1..=2).take_while(|value| done(put(db, Durability::Sync, "s", *value)));
        written.last().unwrap_or(0)
    });
    let waiter = spawn(&stage.db, |db| {
        let Ok(at) = put(db, Durability::Buffered, "w", 1) else { return false };
        done(db.wait_durable(at, u64::MAX))
    });
    for value in 1..=3 {
        done(put(&stage.db, Durability::Buffered, "m", value));
    }
    let call = CallKind::Fdatasync;
    stage.kernel.set_fault(Fault { call, nth: 1, errno: 5, forever: true, short: false });
    done(stage.db.flush());
    // Whatever has failed so far, writes stop now at the latest.
    put(&stage.db, Durability::Sync, "s", 9).expect_err("the disk fails");
    let synced = syncer.join().expect("no panic");
    let durable = waiter.join().expect("no panic");
    let error = put(&stage.db, Durability::Buffered, "m", 9).expect_err("writes are stopped");
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error}");
    assert!(get(&stage.db, "s") >= Some(synced), "reads go on");
    stage.check_no_panic();
    done(stage.db.close(false));
    stage.kernel.clear_faults();
    let kept = stage.rows_after_power_cut();
    assert!(value(&kept, "s") >= Some(synced), "a write was synced and is lost");
    assert!(!durable || value(&kept, "w") == Some(1), "a write was durable and is lost");
}

#[test]
fn background_error_reaches_everybody() {
    explore("background_error", background_error);
}
