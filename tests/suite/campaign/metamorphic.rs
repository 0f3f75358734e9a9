//! R8: the same operations under many sets of options give the same answers.

use super::crash;
use super::frame::{Campaign, Cases, Counts, Extent, extent, run, step};
use super::script::{self, Op};
use crate::model::{Dice, KeySpace, Plan, random_view};
use crate::simdb::{open, reopen, tiny};
use esker::internals::compress::Codec;
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::db::read::ReadParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::filter::kind::FilterKind;
use esker::internals::hash::hash64;
use esker::internals::memtable::index::IndexKind;
use esker::internals::options::{Durability, Options};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::types::VictimChoice;

pub const CAMPAIGN: Campaign = Campaign { name: "option sets", floor: 3, full: 4, slice: 2 };

/// Sets of options under which each case runs.
const FIXED: usize = 25;
const RANDOM: usize = 25;

/// An operation, or a question.
#[derive(Clone, Debug)]
enum Ask {
    Do(Op),
    /// Of the latest state, or of the n-th snapshot that is held.
    Get(Vec<u8>, Option<usize>),
    Rows(ReadParams, Option<usize>),
    Many(Vec<Vec<u8>>),
}

fn draw(dice: &mut Dice, keys: KeySpace, count: u64) -> Vec<Ask> {
    let ops = script::draw(dice, keys, count, 0);
    let mut asks = Vec::new();
    for op in ops {
        // Few reopens, so that memtables and levels fill.
        if !matches!(op, Op::Reopen) || dice.percent(10) {
            asks.push(Ask::Do(op));
        }
        let view = |dice: &mut Dice| dice.percent(40).then(|| dice.index(2));
        match dice.below(20) {
            0..8 => asks.push(Ask::Get(keys.key(dice), view(dice))),
            8 => asks.push(Ask::Rows(random_view(dice, keys, &Order::Bytewise), view(dice))),
            9 => asks.push(Ask::Many((0..5).map(|_| keys.key(dice)).collect())),
            _ => {}
        }
    }
    asks.push(Ask::Rows(ReadParams::default(), None));
    asks
}

/// A set of options and what of the script it changes.
struct Set {
    name: String,
    options: Options,
    /// In place of what the script asks for.
    durability: Option<Durability>,
}

/// A set's name, and how it differs from `tiny`.
type Change = (&'static str, fn(&mut Options));

/// Each differs from the first in one respect, or is what users have.
fn fixed() -> Vec<Set> {
    let change: [Change; FIXED] = [
        ("tiny", |_| {}),
        ("defaults", |o| *o = Options { deterministic: true, ..Options::default() }),
        ("defaults in threads", |o| *o = Options { write_buffer: 64 << 10, ..Options::default() }),
        ("threads", |o| (o.deterministic, o.threads) = (false, 2)),
        ("threads and parts", |o| (o.deterministic, o.threads, o.subcompactions) = (false, 3, 4)),
        ("skip list", |o| o.memtable = IndexKind::SkipList),
        ("skip list in threads", |o| (o.memtable, o.deterministic) = (IndexKind::SkipList, false)),
        ("no filter", |o| o.filter = None),
        ("classic filter", |o| o.filter = Some(FilterKind::Classic)),
        ("filter of two bits", |o| o.filter_bits = vec![2]),
        ("LZ4", |o| o.compression = Codec::Lz4),
        ("blocks of one row", |o| o.block_entries = 1),
        ("large blocks", |o| o.block_size = 64 << 10),
        ("large tables", |o| o.table_size = 1 << 20),
        ("one open table, no cache", |o| (o.open_tables_max, o.cache_bytes) = (1, 0)),
        ("small cache", |o| o.cache_bytes = 2 << 10),
        ("memtables of three rows", |o| o.write_buffer_entries = 3),
        ("one memtable waits", |o| (o.immutable_max, o.write_buffer) = (1, 128)),
        ("dynamic levels", |o| o.level_dynamic = true),
        ("two levels", |o| o.levels = 2),
        ("no compaction by itself", |o| o.compaction_auto = false),
        ("the oldest table", |o| o.compaction_pick = VictimChoice::Oldest),
        ("in turn", |o| o.compaction_pick = VictimChoice::RoundRobin),
        ("any table", |o| o.compaction_pick = VictimChoice::Random),
        ("parts", |o| o.subcompactions = 5),
    ];
    let make = |(name, change): &Change| {
        let mut options = tiny();
        change(&mut options);
        Set { name: (*name).to_owned(), options, durability: None }
    };
    change.iter().map(make).collect()
}

fn random(dice: &mut Dice) -> Set {
    let plan = Plan::draw(dice);
    let threads = dice.percent(20);
    let durability = dice.percent(50).then(|| {
        dice.pick(&[
            Durability::Unlogged,
            Durability::Buffered,
            Durability::Group,
            Durability::Sync,
        ])
    });
    let options = match threads {
        true => Options { deterministic: false, ..plan.options },
        false => crash::options(&plan),
    };
    Set { name: format!("{options:?}, {durability:?}"), options, durability }
}

struct Player<'a> {
    kernel: Arc<SimKernel>,
    set: &'a Set,
    db: Db,
    snapshots: Vec<Snapshot>,
}

fn digest(rows: impl Iterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> u64 {
    rows.fold(1, |seed, (key, value)| {
        let value = value.map_or(7, |value| hash64(&value, seed));
        hash64(&key, value)
    })
}

impl Player<'_> {
    fn play(&mut self, asks: &[Ask]) -> Result<Vec<u64>, String> {
        asks.iter().map(|ask| self.answer(ask).map_err(|e| format!("{:?} {e}", e.kind()))).collect()
    }

    fn view(&self, which: Option<usize>) -> ReadParams {
        let held = which.and_then(|n| self.snapshots.get(n));
        ReadParams { snapshot: held.map(Snapshot::seq), ..ReadParams::default() }
    }

    fn answer(&mut self, ask: &Ask) -> esker::internals::error::Result<u64> {
        match ask {
            Ask::Do(op) => self.act(op).map(|()| 0),
            Ask::Get(key, view) => {
                let value = self.db.get(&self.view(*view), key)?;
                Ok(digest([(key.clone(), value.map(|v| v.to_vec()))].into_iter()))
            }
            Ask::Rows(params, view) => {
                let params = ReadParams { snapshot: self.view(*view).snapshot, ..params.clone() };
                let mut iter = self.db.iter(&params)?;
                let mut rows = Vec::new();
                while iter.next()? {
                    rows.push((iter.key().to_vec(), Some(iter.value().to_vec())));
                }
                Ok(digest(rows.into_iter()))
            }
            Ask::Many(keys) => {
                let mut rows = Vec::new();
                self.db.multi_get(
                    &ReadParams::default(),
                    keys.len(),
                    |n| Ok(&keys[n]),
                    |n, value| {
                        rows.push((n, value));
                    },
                )?;
                let mut found = Vec::new();
                for (n, value) in rows {
                    found.push((keys[n].clone(), value?.map(|v| v.to_vec())));
                }
                Ok(digest(found.into_iter()))
            }
        }
    }

    fn act(&mut self, op: &Op) -> esker::internals::error::Result<()> {
        match op {
            Op::Write { changes, durability } => {
                script::write(&self.db, changes, self.set.durability.unwrap_or(*durability))
            }
            Op::Sync => self.db.sync(),
            Op::Flush => self.db.flush(),
            Op::Compact { force } => self.db.compact(None, None, *force, &mut |_, _, _| true),
            Op::Snapshot => {
                if self.snapshots.len() == 2 {
                    drop(self.snapshots.remove(0));
                } else {
                    self.snapshots.push(self.db.snapshot()?);
                }
                Ok(())
            }
            Op::Reopen => {
                self.snapshots.clear();
                self.db.close(false)?;
                self.db = reopen(&self.kernel, &self.set.options)?;
                Ok(())
            }
        }
    }
}

fn answers(seed: u64, set: &Set, asks: &[Ask]) -> Result<Vec<u64>, String> {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &set.options).map_err(|e| e.to_string())?;
    Player { kernel, set, db, snapshots: Vec::new() }.play(asks)
}

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let keys = KeySpace::draw(&mut dice);
    // The long runs have ten times the operations.
    let count = if extent() == Extent::Slice { 500 } else { 5_000 };
    let asks = draw(&mut dice, keys, count);
    let mut sets = fixed();
    sets.extend((0..RANDOM).map(|_| random(&mut dice)));
    let first = answers(seed, &sets[0], &asks)?;
    for set in &sets[1..] {
        step();
        let got = answers(seed, set, &asks).map_err(|text| format!("{}: {text}", set.name))?;
        if let Some(at) = (0..asks.len()).find(|at| got[*at] != first[*at]) {
            return Err(format!(
                "answer {at} of {}, to {:?}, differs under {}",
                asks.len(),
                asks[at],
                set.name
            ));
        }
    }
    Ok(vec![("option sets", sets.len() as u64), ("operations", (asks.len() * sets.len()) as u64)])
}

#[test]
fn any_options_give_the_same_answers() {
    run(&CAMPAIGN, &Cases::Endless, case);
}
