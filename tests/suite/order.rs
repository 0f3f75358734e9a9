//! Orders of keys: what is stored of them, what they refuse, and orders that are none.

use crate::simdb::*;
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::Db;
use esker::internals::db::iter::SeekMode;
use esker::internals::db::read::ReadParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use esker::internals::order::{CompareFn, CustomOrder, Order};
use esker::internals::sync::Arc;
use esker::internals::types::KeyspaceId;
use std::cmp::Ordering;
use std::sync::atomic::{AtomicI64, Ordering as Memory};

fn custom(name: &str, exact: bool, compare: CompareFn) -> Order {
    Order::Custom(Arc::new(CustomOrder { name: name.to_owned(), exact, compare }))
}

fn ordered(order: &Order) -> Options {
    match order {
        Order::Custom(_) => Options { comparator_custom: Some(order.clone()), ..tiny() },
        builtin => Options { comparator: builtin.clone(), ..tiny() },
    }
}

/// Keys and values as a cursor shows them, forward; backward must be the mirror.
fn shown(db: &Db) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut iter = db.iter(&ReadParams::default()).expect("a cursor opens");
    let mut rows = Vec::new();
    while iter.next().expect("the cursor moves") {
        rows.push((iter.key().to_vec(), iter.value().to_vec()));
    }
    let mut backward = Vec::new();
    while iter.prev().expect("the cursor moves back") {
        backward.push((iter.key().to_vec(), iter.value().to_vec()));
    }
    backward.reverse();
    assert!(rows == backward, "forward and backward differ");
    rows
}

#[test]
fn a_database_opens_only_in_the_order_it_was_made_in() {
    let bytes = |a: &[u8], b: &[u8]| a.cmp(b);
    let orders = [
        Order::Bytewise,
        Order::Reverse,
        Order::U64Be,
        Order::U64Le,
        Order::I64Le,
        custom("by name", true, Box::new(bytes)),
        custom("by name", false, Box::new(bytes)),
        custom("by another name", true, Box::new(bytes)),
    ];
    for made in &orders {
        let kernel = SimKernel::new(7);
        let db = open(&kernel, &ordered(made)).expect("a new database");
        db.put(&buffered(), b"12345678", b"v").expect("every order takes eight bytes");
        db.close(false).expect("it closes");
        let before = files(&kernel);
        for other in orders.iter().filter(|other| *other != made) {
            let error = refusal(&kernel, &ordered(other));
            assert_eq!(error.kind(), ErrorKind::Comparator, "{made:?} {other:?}");
            let text = error.to_string();
            assert!(text.contains(made.name()) && text.contains(other.name()), "{text}");
            assert!(files(&kernel) == before, "refusing changed the directory");
        }
        let db = reopen(&kernel, &ordered(made)).expect("its own order");
        assert_eq!(get(&db, b"12345678").as_deref(), Some(&b"v"[..]));
    }
}

#[test]
fn the_names_under_which_orders_are_stored_never_change() {
    for (name, order) in [
        ("esker.bytewise", Order::Bytewise),
        ("esker.reverse", Order::Reverse),
        ("esker.u64_be", Order::U64Be),
        ("esker.u64_le", Order::U64Le),
        ("esker.i64_le", Order::I64Le),
    ] {
        assert_eq!(order.name(), name);
        assert_eq!(Order::builtin(name), Some(order));
    }
}

#[test]
fn orders_by_number_refuse_keys_of_another_length() {
    for order in [Order::U64Be, Order::U64Le, Order::I64Le] {
        let db = open(&SimKernel::new(8), &ordered(&order)).expect("a new database");
        let view = ReadParams::default();
        for bad in [&b""[..], b"1234567", b"123456789"] {
            let invalid = Some(ErrorKind::Invalid);
            assert_eq!(kind(db.put(&buffered(), bad, b"v")), invalid);
            assert_eq!(kind(db.delete(&buffered(), bad)), invalid);
            let mut batch = WriteBatch::new();
            batch.put(KeyspaceId(0), b"12345678", b"v").expect("room");
            batch.put(KeyspaceId(0), bad, b"v").expect("a batch belongs to no database");
            assert_eq!(kind(db.write(batch.as_bytes(), &buffered())), invalid);
            assert_eq!(kind(db.get(&view, bad)), invalid);
            let bounds = ReadParams { lower: Some(bad.to_vec()), ..view.clone() };
            assert_eq!(kind(db.iter(&bounds)), invalid);
            let mut iter = db.iter(&view).expect("a cursor opens");
            assert_eq!(kind(iter.seek(SeekMode::Ge, bad)), invalid);
            assert_eq!(kind(db.compact(Some(bad), None, false, &mut |_, _, _| true)), invalid);
            assert_eq!(kind(db.approximate_sizes(&[(None, Some(bad))], &mut [0])), invalid);
        }
        assert!(shown(&db).is_empty(), "a refused batch leaves nothing");
        let prefix = ReadParams { prefix: Some(b"1".to_vec()), ..view };
        let expected = if order.is_bytewise() { None } else { Some(ErrorKind::Unsupported) };
        assert_eq!(kind(db.iter(&prefix)), expected);
    }
}

/// Writes that overwrite each other, and what is left of them in the order of `order`.
fn fill(db: &Db, order: &Order, count: i64) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for n in 0..count {
        // Without a sign, numbers on both sides of zero would lie far apart.
        let middle = if *order == Order::U64Le { 0 } else { 500 };
        let key = ((n * 7919) % 997 - middle).to_le_bytes().to_vec();
        let value = format!("value {n}").into_bytes();
        rows.retain(|(old, _)| *old != key);
        if n % 9 == 8 {
            db.delete(&buffered(), &key).expect("it deletes");
        } else {
            db.put(&buffered(), &key, &value).expect("it writes");
            rows.push((key, value));
        }
    }
    order.sort_by_key(&mut rows, |row| &row.0);
    rows
}

#[test]
fn compactions_in_parts_keep_every_row_in_its_order() {
    let by_middle = |a: &[u8], b: &[u8]| (a.get(1), a).cmp(&(b.get(1), b));
    for order in [Order::Reverse, Order::I64Le, custom("by middle", true, Box::new(by_middle))] {
        let kernel = SimKernel::new(9);
        let options = Options { subcompactions: 4, table_size: 1 << 10, ..ordered(&order) };
        let db = open(&kernel, &options).expect("a new database");
        let rows = fill(&db, &order, 3_000);
        assert!(shown(&db) == rows, "{order:?}: before compaction");
        let (lo, hi) = (&rows[100].0, &rows[rows.len() - 100].0);
        db.compact(Some(lo), Some(hi), true, &mut |_, _, _| true).expect("a part of it");
        assert!(shown(&db) == rows, "{order:?}: after a part was compacted");
        let error = kind(db.compact(Some(hi), Some(lo), true, &mut |_, _, _| true));
        assert!(matches!(error, None | Some(ErrorKind::Invalid)), "{error:?}");
        db.compact(None, None, true, &mut |_, _, _| true).expect("all of it");
        assert!(shown(&db) == rows, "{order:?}: after compaction");
        let stats = db.stats();
        assert!(stats.compactions > 20, "{order:?}: {} compactions", stats.compactions);
        let image = crash(&kernel, Some(db), CrashPolicy::Kill, 1);
        let db = reopen(&image, &options).expect("it recovers");
        assert!(shown(&db) == rows, "{order:?}: after a kill");
    }
}

#[test]
fn sizes_are_estimated_in_every_order() {
    let by_bytes = |a: &[u8], b: &[u8]| a.cmp(b);
    for order in [Order::Reverse, Order::U64Le, Order::I64Le, custom("c", true, Box::new(by_bytes))]
    {
        for flushed in [false, true] {
            let options = Options { write_buffer: 4 << 20, ..ordered(&order) };
            let db = open(&SimKernel::new(10), &options).expect("a new database");
            let rows = fill(&db, &order, 1_500);
            if flushed {
                db.flush().expect("it flushes");
            }
            let at = |percent: usize| Some(rows[rows.len() * percent / 100].0.as_slice());
            let mut sizes = [0; 5];
            let ranges =
                [(None, None), (None, at(50)), (at(50), None), (at(25), at(75)), (at(40), at(40))];
            db.approximate_sizes(&ranges, &mut sizes).expect("an estimate");
            let [all, below, above, middle, none] = sizes;
            assert!(all > 0 && none <= all / 10, "{order:?} {flushed}: {sizes:?}");
            for half in [below, above, middle] {
                let fair = all / 4..=all * 3 / 4;
                assert!(fair.contains(&half), "{order:?} {flushed}: {sizes:?}");
            }
            assert_eq!(
                kind(db.approximate_sizes(&[(at(75), at(25))], &mut [0])),
                Some(ErrorKind::Invalid)
            );
        }
    }
}

/// A walk over the entries of the range would compare each with its end.
#[test]
fn an_estimate_looks_at_few_of_the_entries() {
    let comparisons = std::sync::Arc::new(AtomicI64::new(0));
    let counted = comparisons.clone();
    let counting = move |a: &[u8], b: &[u8]| {
        counted.fetch_add(1, Memory::Relaxed);
        a.cmp(b)
    };
    let order = custom("counting", true, Box::new(counting));
    let options = Options { write_buffer: 64 << 20, table_size: 64 << 20, ..ordered(&order) };
    let db = open(&SimKernel::new(14), &options).expect("a new database");
    for n in 0..20_000u64 {
        db.put(&buffered(), &n.to_be_bytes(), b"value").expect("it writes");
    }
    for when in ["in a memtable", "in a table"] {
        let (lower, upper) = (100u64.to_be_bytes(), 19_900u64.to_be_bytes());
        let (range, mut sizes) = ([(Some(&lower[..]), Some(&upper[..]))], [0]);
        // The first time opens the table, which looks its index over.
        db.approximate_sizes(&range, &mut sizes).expect("an estimate");
        let before = comparisons.load(Memory::Relaxed);
        db.approximate_sizes(&range, &mut sizes).expect("an estimate");
        let cost = comparisons.load(Memory::Relaxed) - before;
        assert!(sizes[0] > 0 && cost < 1_000, "{when}: {cost} comparisons for {sizes:?}");
        db.flush().expect("it flushes");
    }
    assert_eq!(shape(&db).iter().sum::<u64>(), 1, "one table");
}

#[test]
fn keys_that_only_compare_equal_are_one_key_and_no_filter_hides_them() {
    let ignoring_case = |a: &[u8], b: &[u8]| a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
    let order = custom("ignoring case", false, Box::new(ignoring_case));
    let db = open(&SimKernel::new(11), &ordered(&order)).expect("a new database");
    for round in 0..40u32 {
        for n in 0..40u32 {
            let key = format!("key {n:03}");
            let key = if (round + n) % 2 == 0 { key } else { key.to_ascii_uppercase() };
            db.put(&buffered(), key.as_bytes(), format!("{round}").as_bytes()).expect("it writes");
        }
        db.delete(&buffered(), b"kEy 007").expect("it deletes");
    }
    db.flush().expect("it flushes");
    let check = |when: &str| {
        for n in (0..40).filter(|n| *n != 7) {
            let key = format!("kEy {n:03}");
            assert_eq!(get(&db, key.as_bytes()).as_deref(), Some(&b"39"[..]), "{when}: {key}");
        }
        assert_eq!(get(&db, b"KEY 007"), None);
        let rows = shown(&db);
        assert_eq!(rows.len(), 39, "{when}");
        let newest = |n: u32| if (39 + n) % 2 == 0 { "key" } else { "KEY" };
        assert!(rows[0].0 == format!("{} 000", newest(0)).into_bytes(), "the newest spelling");
    };
    check("in levels");
    db.compact(None, None, true, &mut |_, _, _| true).expect("it compacts");
    check("compacted");
    let stats = db.property("stats").unwrap().expect("a property of that name");
    assert!(stats.contains("filter_probes: 0\n"), "no table has a filter: {stats}");
}

#[test]
fn an_order_that_changes_its_mind_stops_writes_and_loses_nothing() {
    // So many comparisons are left before it turns round.
    let left = std::sync::Arc::new(AtomicI64::new(i64::MAX));
    let counted = left.clone();
    let fickle = move |a: &[u8], b: &[u8]| {
        if counted.fetch_sub(1, Memory::Relaxed) > 0 { a.cmp(b) } else { b.cmp(a) }
    };
    let order = custom("fickle", true, Box::new(fickle));
    for jobs in ["flush", "compact"] {
        let kernel = SimKernel::new(12);
        let write_buffer = if jobs == "flush" { 1 << 20 } else { 1 << 10 };
        let options =
            Options { compaction_auto: false, write_buffer, l0_stop: 64, ..ordered(&order) };
        let db = open(&kernel, &options).expect("a new database");
        let rows = fill(&db, &Order::Bytewise, 400);
        if jobs == "compact" {
            db.flush().expect("it flushes");
        } else {
            // Something to flush that takes that many comparisons, and is no row.
            for n in 1..2_000u64 {
                db.delete(&buffered(), &n.to_be_bytes()).expect("it deletes");
            }
        }
        // Late enough that the tables of a compaction are chosen.
        left.store(500, Memory::Relaxed);
        let refused = match jobs {
            "flush" => kind(db.flush()),
            _ => kind(db.compact(None, None, true, &mut |_, _, _| true)),
        };
        assert_eq!(refused, Some(ErrorKind::Comparator), "{jobs}");
        assert_eq!(kind(db.put(&buffered(), b"k", b"v")), Some(ErrorKind::Poisoned), "{jobs}");
        let cause = db.last_error().expect("it is in the ring").to_string();
        assert!(cause.contains("fickle"), "{cause}");
        left.store(i64::MAX, Memory::Relaxed);
        assert!(shown(&db) == rows, "{jobs}: reads go on");
        assert!(db.close(false).is_err(), "a stopped database does not close cleanly");
        drop(db);
        let db = reopen(&kernel, &options).expect("an order that is one");
        assert!(shown(&db) == rows, "{jobs}: nothing is lost");
    }
}

#[test]
fn something_that_is_no_order_at_all_neither_panics_nor_hangs() {
    let around = |a: &[u8], b: &[u8]| {
        let digit = |key: &[u8]| key.first().map_or(0, |byte| byte % 3);
        match (3 + digit(a) - digit(b)) % 3 {
            0 => a.cmp(b),
            1 => Ordering::Less,
            _ => Ordering::Greater,
        }
    };
    let kernel = SimKernel::new(13);
    let order = custom("in a circle", true, Box::new(around));
    let db = open(&kernel, &ordered(&order)).expect("a new database");
    let mut refused = None;
    for n in 0..1_200u64 {
        let written = kind(db.put(&buffered(), &(n * 7919 % 2003).to_le_bytes(), b"value"));
        refused = refused.or(written);
        let view = ReadParams::default();
        let read = kind(db.get(&view, &n.to_le_bytes()));
        assert!(matches!(read, None | Some(ErrorKind::Comparator)), "{read:?}");
        if refused.is_some() && n % 100 == 0 {
            let mut iter = db.iter(&view).expect("a cursor opens");
            for _ in 0..20 {
                let moved = kind(iter.next());
                assert!(matches!(moved, None | Some(ErrorKind::Comparator)), "{moved:?}");
            }
        }
    }
    let stopped = [Some(ErrorKind::Comparator), Some(ErrorKind::Poisoned)];
    assert!(stopped.contains(&refused), "the order goes unnoticed: {refused:?}");
}
