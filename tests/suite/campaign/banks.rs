//! R13: whole batches only. Every cursor, snapshot and multi-get shows each bank as it was after one of its batches, never
//! between two, and never an earlier one than before, while memtables change, compactions run and the database is closed.

use super::frame::{Campaign, Cases, Counts, run};
use crate::model::{Dice, Plan};
use crate::simdb::open;
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::{Error, ErrorKind};
use esker::internals::options::Options;
use esker::internals::types::KeyspaceId;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub const CAMPAIGN: Campaign = Campaign { name: "banks", floor: 20, full: 150, slice: 2 };

const BANKS: usize = 2;
const ACCOUNTS: usize = 6;
const BATCHES: usize = 150;

/// What is on the accounts after each batch; the first number is that of the batch.
type Ledger = Vec<[u64; ACCOUNTS + 1]>;

fn ledger(dice: &mut Dice) -> Ledger {
    let mut now = [100; ACCOUNTS + 1];
    now[0] = 0;
    let mut all = vec![now];
    for _ in 0..BATCHES {
        let (from, to) = (1 + dice.index(ACCOUNTS), 1 + dice.index(ACCOUNTS));
        let amount = dice.below(now[from] + 1);
        now[from] -= amount;
        now[to] += amount;
        now[0] += 1;
        all.push(now);
    }
    all
}

fn name(bank: usize, account: usize) -> Vec<u8> {
    format!("bank{bank}/{account}").into_bytes()
}

/// Writes a bank's batches, one after the other, only what changed.
fn keep(db: &Db, bank: usize, ledger: &Ledger, plan: &Plan, mut dice: Dice) -> Result<(), Error> {
    let mut before = None;
    for state in ledger {
        let mut batch = WriteBatch::new();
        for account in 0..=ACCOUNTS {
            let changed =
                before.is_none_or(|before: &[u64; ACCOUNTS + 1]| before[account] != state[account]);
            if changed {
                batch.put(KeyspaceId(0), &name(bank, account), &state[account].to_le_bytes())?;
            }
        }
        before = Some(state);
        let params = WriteParams {
            durability: Some(dice.pick(&plan.durabilities)),
            ..WriteParams::default()
        };
        db.write(batch.as_bytes(), &params)?;
        match dice.below(100) {
            0..4 => db.flush()?,
            4 => db.compact(None, None, dice.percent(30), &mut |_, _, _| true)?,
            _ => {}
        }
    }
    Ok(())
}

/// The accounts of a bank, as one view shows them.
fn look(db: &Db, bank: usize, dice: &mut Dice) -> Result<[u64; ACCOUNTS + 1], Error> {
    let mut seen = [0; ACCOUNTS + 1];
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    let prefix = format!("bank{bank}/").into_bytes();
    match dice.below(4) {
        0 => {
            let keys: Vec<Vec<u8>> = (0..=ACCOUNTS).map(|account| name(bank, account)).collect();
            let mut failed = None;
            db.multi_get(
                &ReadParams::default(),
                keys.len(),
                |n| Ok(&keys[n]),
                |n, value| match value {
                    Ok(value) => seen[n] = value.map_or(0, |value| number(&value)),
                    Err(error) => failed = Some(error),
                },
            )?;
            return failed.map_or(Ok(seen), Err);
        }
        1 => {
            let snapshot = db.snapshot()?;
            let params = ReadParams { snapshot: Some(snapshot.seq()), ..ReadParams::default() };
            for _ in 0..2 {
                for (account, place) in seen.iter_mut().enumerate() {
                    *place =
                        db.get(&params, &name(bank, account))?.map_or(0, |value| number(&value));
                }
            }
        }
        direction => {
            let mut iter =
                db.iter(&ReadParams { prefix: Some(prefix), ..ReadParams::default() })?;
            while if direction == 2 { iter.next()? } else { iter.prev()? } {
                let account = usize::from(iter.key()[iter.key().len() - 1] - b'0');
                seen[account] = number(iter.value());
            }
        }
    }
    Ok(seen)
}

/// Reads until the work is over; how often.
fn audit(db: &Db, ledgers: &[Ledger], over: &AtomicBool, mut dice: Dice) -> Result<u64, String> {
    let mut last = [0; BANKS];
    let mut reads = 0;
    while !over.load(Ordering::Acquire) {
        let bank = dice.index(BANKS);
        match look(db, bank, &mut dice) {
            Ok(seen) if seen == [0; ACCOUNTS + 1] && last[bank] == 0 => {}
            Ok(seen) => {
                let number = seen[0] as usize;
                if ledgers[bank].get(number) != Some(&seen) {
                    return Err(format!(
                        "bank {bank} shows {seen:?}, batch {number} left {:?}",
                        ledgers[bank].get(number)
                    ));
                }
                if number < last[bank] {
                    return Err(format!("bank {bank} went back from {} to {number}", last[bank]));
                }
                last[bank] = number;
            }
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(reads),
            Err(error) => return Err(format!("{:?} {error}", error.kind())),
        }
        reads += 1;
    }
    Ok(reads)
}

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let options = Options { deterministic: false, ..plan.options.clone() };
    let ledgers: Vec<Ledger> = (0..BANKS).map(|_| ledger(&mut dice)).collect();
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &options).map_err(|e| e.to_string())?;
    let (over, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let (db, ledgers, plan, over) = (&db, &ledgers, &plan, &over);
    let early = dice.percent(30);
    std::thread::scope(|scope| {
        let auditors: Vec<_> = (0..2)
            .map(|n| {
                let dice = Dice::new(seed ^ (n + 1) << 32);
                scope.spawn(move || audit(db, ledgers, over, dice))
            })
            .collect();
        let keepers: Vec<_> = (0..BANKS)
            .map(|bank| {
                let dice = Dice::new(seed ^ (bank as u64 + 1) << 48);
                scope.spawn(move || keep(db, bank, &ledgers[bank], plan, dice))
            })
            .collect();
        if early {
            // In the middle of it all.
            db.close(true).map_err(|e| format!("close: {e}"))?;
        }
        let mut wrong = Ok(());
        for keeper in keepers {
            match keeper.join().map_err(|_| "a keeper panicked".to_owned())? {
                Err(error) if early && error.kind() == ErrorKind::Closed => {}
                Err(error) => wrong = Err(format!("keeper: {:?} {error}", error.kind())),
                Ok(()) => {}
            }
        }
        over.store(true, Ordering::Release);
        for auditor in auditors {
            reads.fetch_add(
                auditor.join().map_err(|_| "an auditor panicked".to_owned())??,
                Ordering::Relaxed,
            );
        }
        wrong
    })?;
    if !early {
        for (bank, ledger) in ledgers.iter().enumerate() {
            let seen = look(db, bank, &mut dice).map_err(|e| e.to_string())?;
            if Some(&seen) != ledger.last() {
                return Err(format!("bank {bank} ends as {seen:?}"));
            }
        }
        db.close(true).map_err(|e| format!("close: {e}"))?;
    }
    Ok(vec![("reads", reads.load(Ordering::Relaxed)), ("batches", (BANKS * BATCHES) as u64)])
}

#[test]
fn every_view_shows_whole_batches_and_never_goes_back() {
    let tally = run(&CAMPAIGN, &Cases::Endless, case);
    assert!(tally.count("reads") > 0, "nobody read");
}
