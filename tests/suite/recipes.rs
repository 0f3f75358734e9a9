//! Recipes that broke other engines of this kind, run here with the same numbers.
//!
//! Each test is named by its row in a survey of reference systems: keys lost at reopen, deletes undone by
//! compaction, stale values after overwriting. Their counts are the ones that were measured there.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;

fn key(n: u64) -> Vec<u8> {
    format!("key{n:08}").into_bytes()
}

fn value(n: u64, round: u64) -> Vec<u8> {
    format!("value {n} of round {round}").into_bytes()
}

/// 1 KB memtables and worker threads.
fn threaded(write_buffer: u64) -> Options {
    Options {
        write_buffer,
        block_size: 512,
        table_size: 4 * write_buffer,
        level_bytes: 8 * write_buffer,
        level_ratio: 4,
        l0_trigger: 4,
        l0_stop: 12,
        ..Options::default()
    }
}

fn compact_all(db: &Db) {
    db.compact(None, None, true, &mut |_, _, _| true).expect("compaction works");
}

/// Options under which everything sinks to `depth` and stays there.
fn sinking_to(depth: u64) -> Options {
    let levels = (depth + 1).max(2);
    let l0_trigger = if depth == 0 { 1_000 } else { 1 };
    Options { levels, l0_trigger, l0_stop: 1_000, level_bytes: 256, ..tiny() }
}

fn assert_all(db: &Db, count: u64, round: u64, when: &str) {
    for n in 0..count {
        assert_eq!(get(db, &key(n)), Some(value(n, round)), "{when}: key {n}");
    }
    let shown = rows(db);
    assert_eq!(shown.len() as u64, count, "{when}: rows");
    for (n, (k, v)) in (0..).zip(shown) {
        assert_eq!((k, v), (key(n), value(n, round)), "{when}: row {n}");
    }
}

/// The other engine: 17,563 to 18,966 of 20,000 gets failed, 0 to 3 of 3,000 to 5,000 keys after reopen.
#[test]
fn a16_reopen_all() {
    for depth in 0..=4 {
        let kernel = SimKernel::new(depth);
        let options = sinking_to(depth);
        let mut db = open(&kernel, &options).expect("opens");
        for n in 0..3_000 {
            db.put(&buffered(), &key(n), &value(n, depth)).expect("written");
        }
        let shape = shape(&db);
        assert!(shape[depth as usize] > 0, "level {depth} holds tables: {shape:?}");
        assert_all(&db, 3_000, depth, "before reopen");
        for cycle_number in 0..2 {
            db = cycle(&kernel, db, &options);
            assert_all(&db, 3_000, depth, &format!("level {depth}, reopen {cycle_number}"));
        }
    }
}

#[test]
fn a16_reopen_all_from_the_log_alone() {
    let kernel = SimKernel::new(1);
    let mut db = open(&kernel, &calm()).expect("opens");
    for n in 0..5_000 {
        db.put(&buffered(), &key(n), &value(n, 0)).expect("written");
    }
    assert_eq!(shape(&db).iter().sum::<u64>(), 0, "nothing was flushed");
    for when in ["first reopen", "second reopen"] {
        db = cycle(&kernel, db, &calm());
        assert_all(&db, 5_000, 0, when);
    }
}

/// Where an entry can be, from the newest to the oldest: 0 is the active memtable, 2 to 6 are levels.
const LAYERS: usize = 7;
const FROZEN: usize = 1;

/// The level of a layer that is one.
fn level(layer: usize) -> Option<u64> {
    layer.checked_sub(2).map(|level| level as u64)
}

/// Brings what `write` writes to a level, through all that lie above it.
///
/// Targets double from 1 KiB; a table a little larger than the target above passes that level and stays.
fn place(kernel: &Arc<SimKernel>, level: u64, write: impl FnOnce(&Db)) {
    let compaction_auto = level > 0;
    let l0_trigger = 1;
    let table_size = 1 << 20;
    let options = Options {
        levels: 6,
        l0_trigger,
        compaction_auto,
        table_size,
        write_buffer: 1 << 20,
        ..tiny()
    };
    let db = open(kernel, &options).expect("opens");
    write(&db);
    if level > 0 {
        // Also level 1 gets a put: a table of nothing but deletes counts for more than its bytes.
        let length = if level > 1 { 600u64 << (level - 1) } else { 0 };
        let padding: Vec<u8> = (0..length).map(|i| ((i * i) >> 3) as u8).collect();
        let name = format!("padding of level {level}");
        db.put(&buffered(), name.as_bytes(), &padding).expect("written");
    }
    db.flush().expect("flushed");
    let shape = shape(&db);
    assert_eq!(shape[level as usize], 1, "one table in level {level}: {shape:?}");
    db.close(false).expect("closes");
}

fn assert_deleted(db: &Db, what: &str) {
    assert_eq!(get(db, b"k"), None, "{what}: get");
    let shown = rows(db);
    assert!(!shown.contains_key(&b"k"[..]), "{what}: cursor");
    assert!(shown.contains_key(&b"j"[..]) && shown.contains_key(&b"l"[..]), "{what}: neighbours");
}

/// The other engine: a deleted key looked absent in the memtable, so the older table's value came back.
#[test]
fn a17_delete_shadow() {
    for below in 1..LAYERS {
        for above in 0..below {
            delete_shadows(above, below);
        }
    }
}

fn delete_shadows(above: usize, below: usize) {
    let what = format!("delete in layer {above}, value in layer {below}");
    let kernel = SimKernel::new((above * LAYERS + below) as u64);
    let put = |db: &Db| {
        for key in [b"j", b"k", b"l"] {
            db.put(&buffered(), key, b"old").expect("written");
        }
    };
    let delete = |db: &Db| {
        db.delete(&buffered(), b"k").expect("written");
    };
    // Nothing is flushed or compacted here unless asked for; a 64-byte buffer is full after one entry.
    let options = Options {
        write_buffer: if above == FROZEN || below == FROZEN { 64 } else { 1 << 20 },
        immutable_max: 16,
        levels: 6,
        compaction_auto: false,
        ..tiny()
    };
    if let Some(level) = level(below) {
        place(&kernel, level, put);
    }
    if let Some(level) = level(above) {
        place(&kernel, level, delete);
    }
    let db = open(&kernel, &options).expect("opens");
    // The first write makes the log, before tables can no longer be made.
    db.put(&buffered(), b"first", b"").expect("written");
    fail_always(&kernel, CallKind::Create, EIO);
    if below == FROZEN {
        put(&db);
    }
    if above <= FROZEN {
        assert_eq!(get(&db, b"k"), Some(b"old".to_vec()), "{what}: before the delete");
        delete(&db);
    }
    if above == FROZEN {
        db.put(&buffered(), b"after", b"").expect("written");
    }
    let frozen = db.stats().memtables_immutable;
    assert_eq!(frozen > 0, above == FROZEN || below == FROZEN, "{what}: {frozen} frozen");
    assert_deleted(&db, &what);
    kernel.clear_faults();
    let db = cycle(&kernel, db, &options);
    assert_deleted(&db, &format!("{what}, reopened"));
    compact_all(&db);
    assert_deleted(&db, &format!("{what}, compacted"));
    let db = cycle(&kernel, db, &tiny_of_six_levels());
    compact_all(&db);
    assert_deleted(&db, &format!("{what}, compacted twice"));
}

fn tiny_of_six_levels() -> Options {
    Options { levels: 6, ..tiny() }
}

/// Overwrites `count` keys in rounds with threads on; every read must show the newest round.
fn overwrite(db: &Db, count: u64, rounds: u64) {
    for round in 0..rounds {
        for n in 0..count {
            db.put(&buffered(), &key(n), &value(n, round)).expect("written");
        }
        let stale = (0..count).filter(|n| get(db, &key(*n)) != Some(value(*n, round))).count();
        assert_eq!(stale, 0, "stale gets in round {round}");
    }
}

/// The other engine: 55 of 100 gets and 98 of 100 rows of a scan were stale.
#[test]
fn c19_overwrite_rounds() {
    let kernel = SimKernel::new(19);
    let options = threaded(1 << 10);
    let db = open(&kernel, &options).expect("opens");
    overwrite(&db, 100, 12);
    assert_all(&db, 100, 11, "after twelve rounds");
    let range = ReadParams { lower: Some(key(10)), upper: Some(key(90)), ..ReadParams::default() };
    let stale = (10..).zip(rows_of(&db, &range)).filter(|(n, row)| row.1 != value(*n, 11)).count();
    assert_eq!((rows_of(&db, &range).len(), stale), (80, 0), "a range");
    db.flush().expect("flushed");
    assert_all(&db, 100, 11, "flushed");
    compact_all(&db);
    assert_all(&db, 100, 11, "compacted");
    let db = cycle(&kernel, db, &options);
    assert_all(&db, 100, 11, "reopened");
}

fn delete_all(db: &Db, count: u64) {
    for n in 0..count {
        db.delete(&buffered(), &key(n)).expect("written");
    }
}

fn assert_none(db: &Db, count: u64, when: &str) {
    let visible = (0..count).filter(|n| get(db, &key(*n)).is_some()).count();
    assert_eq!(visible, 0, "{when}: deleted keys that get finds");
    assert!(rows(db).is_empty(), "{when}: the cursor yields nothing");
}

/// The other engine: all 100 deleted keys came back.
#[test]
fn c20_deletes_stay_deleted() {
    let kernel = SimKernel::new(20);
    let options = threaded(1 << 10);
    let db = open(&kernel, &options).expect("opens");
    overwrite(&db, 100, 12);
    delete_all(&db, 100);
    assert_none(&db, 100, "just deleted");
    db.flush().expect("flushed");
    assert_none(&db, 100, "flushed");
    compact_all(&db);
    assert_none(&db, 100, "compacted");
    let db = cycle(&kernel, db, &options);
    assert_none(&db, 100, "reopened");
    // With nobody looking at old versions, nothing needs to be kept of it.
    assert_eq!(shape(&db).iter().sum::<u64>(), 0, "tables are left: {:?}", shape(&db));
}

/// The other engine: 1,084 visible, 5,000 in the cursor, 157 stale before, 5,000 after reopen.
#[test]
fn d25_ref003_recipe() {
    let kernel = SimKernel::new(25);
    let options = threaded(64 << 10);
    let db = open(&kernel, &options).expect("opens");
    overwrite(&db, 5_000, 12);
    assert_all(&db, 5_000, 11, "after twelve rounds");
    delete_all(&db, 5_000);
    assert_none(&db, 5_000, "just deleted");
    let db = cycle(&kernel, db, &options);
    assert_none(&db, 5_000, "reopened");
}

/// The other engine: 12,654 of a million and 4,160 of 96,001 synced keys lost at a clean reopen. The
/// million is a tenth here; what broke there were log changes, and there are as many.
#[test]
fn e17_ref004_recipe() {
    for (count, write_buffer) in [(100_000, 128 << 10), (96_001, 256 << 10)] {
        let kernel = SimKernel::new(count);
        let options = threaded(write_buffer);
        let db = open(&kernel, &options).expect("opens");
        for n in 0..count {
            let durability = if n % 1_000 == 999 { Durability::Sync } else { Durability::Buffered };
            db.put(&with(durability), &key(n), &value(n, 4)).expect("written");
        }
        db.sync().expect("synced");
        let db = cycle(&kernel, db, &options);
        assert_all(&db, count, 4, "reopened");
    }
}

/// The other engine: 3,000 of 3,000 deletes undone and 1,244 of 48,000 keys lost in a mixed run.
#[test]
fn e17_ref004_recipe_with_deletes() {
    let kernel = SimKernel::new(17);
    let options = threaded(64 << 10);
    let db = open(&kernel, &options).expect("opens");
    for n in 0..48_000 {
        db.put(&buffered(), &key(n), &value(n, 0)).expect("written");
        if n % 16 == 15 {
            db.delete(&buffered(), &key(n - 7)).expect("written");
        }
    }
    db.sync().expect("synced");
    let mut db = cycle(&kernel, db, &options);
    for when in ["reopened", "reopened again"] {
        let undone = (0..48_000).filter(|n| n % 16 == 8).filter(|n| get(&db, &key(*n)).is_some());
        assert_eq!(undone.count(), 0, "{when}: deletes undone");
        let lost = (0..48_000)
            .filter(|n| n % 16 != 8)
            .filter(|n| get(&db, &key(*n)) != Some(value(*n, 0)));
        assert_eq!(lost.count(), 0, "{when}: keys lost");
        assert_eq!(rows(&db).len(), 45_000, "{when}: rows");
        db = cycle(&kernel, db, &options);
    }
}
