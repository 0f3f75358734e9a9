//! The engine against a sorted map with history, over thousands of random sequences.
//!
//! A sequence is 50 to 400 operations on a simulated file system with tiny limits: put, delete, batch, get,
//! cursor, snapshot, flush, compact, sync, close and open, kill, power cut; most run the engine's
//! background work in the calling thread, some in its threads. Everything read is compared with the
//! oracle; after a crash the oracle finds the prefix of the writes that came back, checks what was
//! promised, forgets the rest, and the sequence goes on.
//!
//! They are campaigns like those of campaign.rs (R7).

mod dice;
mod oracle;
mod plan;
mod sequence;
mod walk;

use crate::campaign::frame::{Campaign, Cases, Counts, attempt, run};
pub use dice::{Dice, KeySpace, value};
use esker::internals::order::{CustomOrder, Order};
use esker::internals::sync::Arc;
pub use oracle::Change;
use oracle::Falsehood;
pub use plan::Plan;
use sequence::{Sequence, Summary};
pub use walk::random_view;

pub const CAMPAIGN: Campaign = Campaign { name: "sequences", floor: 6_000, full: 10_000, slice: 0 };
pub const ORDERS: Campaign =
    Campaign { name: "sequences in other orders", floor: 60, full: 600, slice: 0 };

/// Runs a sequence; a failing one runs once more, to tell what it did before it failed.
fn run_one(seed: u64) -> Result<Summary, String> {
    run_made(|| Sequence::new(seed))
}

fn run_made(make: impl Fn() -> Result<Sequence, String>) -> Result<Summary, String> {
    attempt(|| make()?.run()).map_err(|text| match attempt(|| make()?.run_traced()) {
        Ok(_) => format!("{text}\n(and it passes when run again)"),
        Err(traced) => format!("{text}\n{traced}"),
    })
}

/// What a sequence saw, for the sums of a campaign.
fn counts(summary: &Summary) -> Counts {
    vec![
        ("operations", summary.operations),
        ("crashes", summary.crashes),
        ("reopens", summary.reopens),
        ("operations lost to crashes", summary.lost),
        ("sequences in four levels or more", u64::from(summary.levels >= 4)),
    ]
}

#[test]
fn thousands_of_sequences_agree_with_a_sorted_map() {
    let tally =
        run(&CAMPAIGN, &Cases::Endless, |seed| run_one(seed).map(|summary| counts(&summary)));
    if tally.cases == 1 {
        return;
    }
    let (wanted, deep) = (tally.cases / 20, tally.count("sequences in four levels or more"));
    assert!(deep >= wanted, "{deep} sequences filled four levels, {wanted} are needed");
    let (lost, crashes) = (tally.count("operations lost to crashes"), tally.count("crashes"));
    assert!(lost > 0 && crashes > 0, "no crash took anything: the crashes are too tame");
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
    let orders: Vec<Order> = [Order::Reverse, Order::U64Be, Order::U64Le, Order::I64Le]
        .into_iter()
        .chain(custom)
        .collect();
    let tally = run(&ORDERS, &Cases::Endless, |seed| {
        let order = &orders[(seed % orders.len() as u64) as usize];
        let made = run_made(|| Sequence::ordered(seed, order));
        made.map(|summary| counts(&summary)).map_err(|text| format!("{order:?}: {text}"))
    });
    let tame = tally.count("crashes") == 0 || tally.count("sequences in four levels or more") == 0;
    assert!(tally.cases == 1 || !tame, "the sequences are too tame");
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
