//! R13: what several threads saw of each key could have been seen if their calls had been made one after the other, each
//! at some moment while it ran (linearizability; Herlihy and Wing 1990, the search of Wing and Gong 1993).

use super::frame::{Campaign, Cases, Counts, run};
use crate::model::{Dice, Plan};
use crate::simdb::open;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::options::Options;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

pub const CAMPAIGN: Campaign = Campaign { name: "histories", floor: 30, full: 140, slice: 2 };

const THREADS: usize = 3;
const KEYS: u64 = 4;
const STEPS: u64 = 250;

/// A call that has returned. A value is a number; 0 is none.
#[derive(Clone, Copy, Debug)]
struct Call {
    key: u64,
    writes: bool,
    value: u64,
    begin: u64,
    end: u64,
}

fn name(key: u64) -> [u8; 8] {
    (key * 1_000).to_be_bytes()
}

fn number(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |bytes| {
        u64::from_le_bytes(bytes[..8].try_into().expect("a value begins with its number"))
    })
}

/// One thread's calls.
fn work(
    db: &Db,
    thread: usize,
    plan: &Plan,
    mut dice: Dice,
    clock: &AtomicU64,
) -> Result<Vec<Call>, String> {
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let told = |error: esker::internals::error::Error| format!("{:?} {error}", error.kind());
    let mut calls = Vec::new();
    for step in 1..=STEPS {
        let key = dice.below(KEYS);
        let params = WriteParams {
            durability: Some(dice.pick(&plan.durabilities)),
            ..WriteParams::default()
        };
        let begin = tick();
        let (writes, value) = match dice.below(100) {
            0..40 => {
                let value = step * THREADS as u64 + thread as u64 + 1;
                let mut bytes = value.to_le_bytes().to_vec();
                bytes.resize(8 + dice.below(60) as usize, 0);
                db.put(&params, &name(key), &bytes).map_err(told)?;
                (true, value)
            }
            40..50 => {
                db.delete(&params, &name(key)).map_err(told)?;
                (true, 0)
            }
            50..90 => (
                false,
                number(db.get(&ReadParams::default(), &name(key)).map_err(told)?.as_deref()),
            ),
            90..96 => {
                let mut iter = db.iter(&ReadParams::default()).map_err(told)?;
                let there = iter
                    .seek(esker::internals::db::iter::SeekMode::Eq, &name(key))
                    .map_err(told)?;
                (false, number(there.then(|| iter.value())))
            }
            96..99 => {
                db.flush().map_err(told)?;
                continue;
            }
            _ => {
                db.compact(None, None, false, &mut |_, _, _| true).map_err(told)?;
                continue;
            }
        };
        calls.push(Call { key, writes, value, begin, end: tick() });
    }
    Ok(calls)
}

/// Whether there is an order; each list is one thread's calls of one key.
fn has_order(threads: &[Vec<Call>]) -> bool {
    let start = (vec![0usize; threads.len()], 0u64);
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some((at, value)) = open.pop() {
        let heads = || threads.iter().zip(&at).filter_map(|(calls, at)| calls.get(*at));
        let Some(latest) = heads().map(|call| call.end).min() else { return true };
        for (thread, calls) in threads.iter().enumerate() {
            let Some(call) = calls.get(at[thread]) else { continue };
            // It had begun before any that is still to come had ended.
            if call.begin > latest || (!call.writes && call.value != value) {
                continue;
            }
            let mut next = (at.clone(), if call.writes { call.value } else { value });
            next.0[thread] += 1;
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    false
}

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let options = Options { deterministic: false, ..plan.options.clone() };
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &options).map_err(|e| e.to_string())?;
    let clock = AtomicU64::new(1);
    let made: Result<Vec<Vec<Call>>, String> = std::thread::scope(|scope| {
        let begin = |thread: usize| {
            let (db, plan, clock, dice) =
                (&db, &plan, &clock, Dice::new(seed ^ (thread as u64 + 1) << 40));
            scope.spawn(move || work(db, thread, plan, dice, clock))
        };
        let crew: Vec<_> = (0..THREADS).map(begin).collect();
        crew.into_iter()
            .map(|worker| worker.join().map_err(|_| "a thread panicked".to_owned())?)
            .collect()
    });
    let made = made?;
    db.close(true).map_err(|e| format!("close: {e}"))?;
    for key in 0..KEYS {
        let of_key =
            |calls: &Vec<Call>| calls.iter().filter(|call| call.key == key).copied().collect();
        let threads: Vec<Vec<Call>> = made.iter().map(of_key).collect();
        if !has_order(&threads) {
            return Err(format!("no order explains what was seen of key {key}: {threads:?}"));
        }
    }
    Ok(vec![("operations", made.iter().map(|calls| calls.len() as u64).sum())])
}

#[test]
fn threads_see_each_key_as_if_calls_came_one_after_the_other() {
    run(&CAMPAIGN, &Cases::Endless, case);
}

#[test]
fn the_search_for_an_order_knows_wrong_from_right() {
    let call = |writes, value, begin, end| Call { key: 0, writes, value, begin, end };
    // A read that overlaps two writes may see either, and then the later one only.
    let writer = vec![call(true, 1, 1, 2), call(true, 2, 3, 8)];
    assert!(has_order(&[writer.clone(), vec![call(false, 1, 4, 5), call(false, 2, 6, 7)]]));
    assert!(!has_order(&[writer.clone(), vec![call(false, 2, 4, 5), call(false, 1, 6, 7)]]));
    // A read after a write has ended sees it.
    assert!(!has_order(&[writer.clone(), vec![call(false, 1, 9, 10)]]));
    assert!(!has_order(&[writer, vec![call(false, 0, 3, 4)]]));
}
