//! The engine against a sorted map with history, over thousands of random sequences.
//!
//! A sequence is 50 to 400 operations on a simulated file system with tiny limits: put, delete, batch, get,
//! cursor, snapshot, flush, compact, sync, close and open, kill, power cut; most run the engine's
//! background work in the calling thread, some in its threads. Everything read is compared with the
//! oracle; after a crash the oracle finds the prefix of the writes that came back, checks what was
//! promised, forgets the rest, and the sequence goes on.
//!
//! `ESKER_SEED=n` runs the one sequence n. `ESKER_SEQUENCES=n` changes how many run. Nine in ten come from a
//! fixed base seed, the rest from a fresh one, which is printed.

mod dice;
mod oracle;
mod plan;
mod sequence;
mod walk;

pub use dice::Dice;
use esker::internals::order::{CustomOrder, Order};
use esker::internals::sync::Arc;
use oracle::Falsehood;
use sequence::{Sequence, Summary};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SEQUENCES: u64 = 10_000;
const BASE_SEED: u64 = 0x0065_736b_6572;
const THREADS: usize = 2;
/// Failures that are shown in full.
const SHOWN: usize = 5;

/// What all sequences saw together.
#[derive(Default)]
struct Total {
    operations: u64,
    crashes: u64,
    reopens: u64,
    lost: u64,
    /// Sequences by the most levels that held tables at one moment.
    by_levels: [u64; 9],
    failures: Vec<String>,
}

impl Total {
    fn add(&mut self, summary: &Summary) {
        self.operations += summary.operations;
        self.crashes += summary.crashes;
        self.reopens += summary.reopens;
        self.lost += summary.lost;
        self.by_levels[summary.levels] += 1;
    }

    fn in_four_levels(&self) -> u64 {
        self.by_levels[4..].iter().sum()
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Writes a line past the test harness, which would keep it to itself.
fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("standard output takes a line");
}

/// Runs a sequence; a failing one runs once more, to tell what it did before it failed.
fn run_one(seed: u64) -> Result<Summary, String> {
    run_made(seed, || Sequence::new(seed))
}

fn run_made(seed: u64, make: impl Fn() -> Result<Sequence, String>) -> Result<Summary, String> {
    let again = || match attempt(seed, &make, Sequence::run_traced) {
        Ok(_) => "(and it passes when run again)".to_owned(),
        Err(traced) => traced,
    };
    attempt(seed, &make, Sequence::run).map_err(|text| format!("{text}\n{}", again()))
}

fn attempt(
    seed: u64,
    make: impl Fn() -> Result<Sequence, String>,
    run: impl FnOnce(&mut Sequence) -> Result<Summary, String>,
) -> Result<Summary, String> {
    let run = || make().and_then(|mut sequence| run(&mut sequence));
    let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.unwrap_or_else(|| "panicked".to_owned()))
    });
    result.map_err(|text| format!("ESKER_SEED={seed}: {text}"))
}

/// Runs the sequences of `seeds` on a few threads.
fn run_all(seeds: &[u64]) -> Total {
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    let result = run_one(seed);
                    let mut total = total.lock().expect("nobody panics with the lock");
                    match result {
                        Ok(summary) => total.add(&summary),
                        Err(text) => total.failures.push(text),
                    }
                    if total.failures.len() >= 50 {
                        return;
                    }
                }
            });
        }
    });
    total.into_inner().expect("nobody panics with the lock")
}

#[test]
fn ten_thousand_sequences_agree_with_a_sorted_map() {
    if let Some(seed) = number_from_environment("ESKER_SEED") {
        let summary = run_one(seed).unwrap_or_else(|text| panic!("{text}"));
        report(&format!("model: {summary:?}"));
        return;
    }
    let count = number_from_environment("ESKER_SEQUENCES").unwrap_or(SEQUENCES);
    let fresh = RandomState::new().hash_one(std::process::id());
    report(&format!("model: {count} sequences, base seed {BASE_SEED}, fresh seed {fresh}"));
    let seed = |i: u64| if i % 10 == 9 { fresh ^ i } else { BASE_SEED + i };
    let seeds: Vec<u64> = (0..count).map(seed).collect();
    let started = Instant::now();
    let total = run_all(&seeds);
    report(&format!(
        "model: {} operations, {} crashes, {} reopens, {} operations lost to crashes; levels in use at \
         once: {:?}; {} sequences in four or more; {:.0} s",
        total.operations,
        total.crashes,
        total.reopens,
        total.lost,
        total.by_levels,
        total.in_four_levels(),
        started.elapsed().as_secs_f64(),
    ));
    let shown = &total.failures[..total.failures.len().min(SHOWN)];
    assert!(shown.is_empty(), "{} sequences failed:\n{}", total.failures.len(), shown.join("\n"));
    let wanted = count / 20;
    let deep = total.in_four_levels();
    assert!(deep >= wanted, "{deep} of {count} sequences filled four levels, {wanted} are needed");
    assert!(
        total.lost > 0 && total.crashes > 0,
        "no crash took anything: the crashes are too tame"
    );
}

/// Letters in both cases are the same; says so, or does not and is then believed to be exact.
fn ignoring_case() -> Order {
    let compare = |a: &[u8], b: &[u8]| a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
    let name = "test.ignoring_case".to_owned();
    Order::Custom(Arc::new(CustomOrder { name, exact: false, compare: Box::new(compare) }))
}

/// By length, then backwards.
fn by_length() -> Order {
    let compare = |a: &[u8], b: &[u8]| a.len().cmp(&b.len()).then_with(|| b.cmp(a));
    let name = "test.by_length".to_owned();
    Order::Custom(Arc::new(CustomOrder { name, exact: true, compare: Box::new(compare) }))
}

#[test]
fn sequences_in_other_orders_agree_with_a_map_sorted_so() {
    let custom = [by_length(), ignoring_case()];
    let orders =
        [Order::Reverse, Order::U64Be, Order::U64Le, Order::I64Le].into_iter().chain(custom);
    let (first, count) = match number_from_environment("ESKER_SEED") {
        Some(seed) => (seed, 1),
        None => {
            (BASE_SEED, number_from_environment("ESKER_SEQUENCES").unwrap_or(SEQUENCES) / 1_000)
        }
    };
    let mut failures = Vec::new();
    for order in orders {
        let mut total = Total::default();
        for seed in first..first + count {
            match run_made(seed, || Sequence::ordered(seed, &order)) {
                Ok(summary) => total.add(&summary),
                Err(text) => failures.push(format!("{order:?}: {text}")),
            }
        }
        report(&format!(
            "model: {order:?}: {count} sequences, {} operations, {} crashes, {} in four levels",
            total.operations,
            total.crashes,
            total.in_four_levels(),
        ));
        let few = count > 1 && (total.crashes == 0 || total.in_four_levels() == 0);
        assert!(!few || !failures.is_empty(), "{order:?}: the sequences are too tame");
    }
    let shown = &failures[..failures.len().min(SHOWN)];
    assert!(shown.is_empty(), "{} sequences failed:\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn the_oracle_notices_a_wrong_answer() {
    for how in [Falsehood::Value, Falsehood::Missing, Falsehood::Extra, Falsehood::Number] {
        let mut sequence = Sequence::sample(7).expect("the database opens");
        sequence.compare_all().expect("an honest oracle agrees");
        sequence.oracle.falsify(how);
        assert!(sequence.compare_all().is_err(), "{how:?} is not noticed by reads");
        assert!(sequence.kill_and_recover().is_err(), "{how:?} is not noticed after a crash");
    }
}

#[test]
fn the_oracle_notices_a_broken_promise() {
    // Nothing was synced: a power cut may take it all.
    let mut sequence = Sequence::sample(8).expect("the database opens");
    sequence.lose_unsynced().expect("nothing was promised");
    assert_eq!(sequence.oracle.last_seq(), 0);
    // Had it been synced, the same state would be wrong.
    let mut sequence = Sequence::sample(8).expect("the database opens");
    let last = sequence.oracle.last_seq();
    sequence.oracle.note_durable(last);
    let text = sequence.lose_unsynced().expect_err("a synced write is gone");
    assert!(text.contains("came back"), "{text}");
}
