//! Whether what a crash left is right: it opens to a legal state, reads, scans and verification agree, it takes writes,
//! and they stay.

use super::script::{Life, Op, Run};
use crate::model::Dice;
use crate::simdb::{PATH, POWER_CUTS, Rows, open, reopen, rows, synced};
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::verify::{VerifyLevel, Watch};
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::Error;
use esker::internals::options::Options;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::RangeInclusive;

/// A key that no script writes.
const MORE: &[u8] = b"\xfe more";

fn told(what: &str) -> impl Fn(Error) -> String + '_ {
    move |error| format!("{what}: {:?} {error}", error.kind())
}

/// Every row by a cursor, both ways, and the same by `get`.
pub fn read_all(db: &Db, others: impl Iterator<Item = Vec<u8>>) -> Result<Rows, String> {
    let found = rows(db);
    for key in found.keys().cloned().chain(others) {
        let value = db.get(&ReadParams::default(), &key).map_err(told("get"))?;
        if value.as_deref() != found.get(&key).map(Vec::as_slice) {
            return Err(format!("get {} and a cursor differ", key.escape_ascii()));
        }
    }
    Ok(found)
}

/// That a verification finds nothing.
pub fn verify(db: &Db) -> Result<(), String> {
    let mut found = Vec::new();
    let watch = Watch {
        progress: &mut |_, _| true,
        report: &mut |error| {
            found.push(error.to_string());
            true
        },
    };
    let done = db.verify(VerifyLevel::Full, watch);
    if !found.is_empty() {
        return Err(format!("verify: {}", found.join("; ")));
    }
    done.map_err(told("verify"))
}

/// Opens what a crash left, on a kernel of its own; what it shows.
fn look(image: &SimKernel, options: &Options, life: &Life) -> Result<Rows, String> {
    let kernel = image.crash(CrashPolicy::Kill, 0);
    // Before the first opening has returned there may be none.
    let opened = if life.made { reopen(&kernel, options) } else { open(&kernel, options) };
    let db = opened.map_err(told("open"))?;
    let others = life.states[life.states.len() - 1].keys().cloned();
    let found = read_all(&db, others)?;
    verify(&db)?;
    // It can be written, and what is promised then survives.
    db.put(&synced(), MORE, b"1").map_err(told("a write after the crash"))?;
    kernel.freeze_after(0);
    let second = kernel.crash(CrashPolicy::OnlySynced, 1);
    drop(db);
    let db = reopen(&second, options).map_err(told("open again"))?;
    let mut again = rows(&db);
    if again.remove(MORE).is_none() || again != found {
        let (first, second) = (found.len(), again.len());
        return Err(format!("{second} rows after the second open, {first} after the first"));
    }
    second.freeze_after(0);
    Ok(found)
}

fn explain(life: &Life, legal: &RangeInclusive<usize>, found: &Rows) -> String {
    let any = (0..life.states.len()).rev().find(|n| life.states[*n] == *found);
    let what = match any {
        Some(n) => format!("state {n}"),
        None => format!("no state of this life ({} rows)", found.len()),
    };
    let Life { acknowledged, promised, .. } = life;
    format!("shows {what}, legal are {legal:?}, {acknowledged} acknowledged, {promised} promised")
}

/// Looks at crash images of one script; what two crashes leave alike is opened once.
pub struct Images<'a> {
    pub options: &'a Options,
    /// What images show, by their files and whether all of that is durable.
    seen: HashMap<(u64, bool), Rows>,
    pub distinct: u64,
    pub second: u64,
}

impl<'a> Images<'a> {
    pub fn new(options: &'a Options) -> Images<'a> {
        Images { options, seen: HashMap::new(), distinct: 0, second: 0 }
    }

    /// The state that an image shows, if that is a legal one.
    pub fn check(
        &mut self,
        image: &SimKernel,
        life: &Life,
        policy: CrashPolicy,
    ) -> Result<usize, String> {
        let at_policy = |text| format!("{policy:?}: {text}");
        let key = (image.directory_hash(PATH), POWER_CUTS.contains(&policy));
        let found = match self.seen.entry(key) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(place) => {
                self.distinct += 1;
                place.insert(look(image, self.options, life).map_err(at_policy)?)
            }
        };
        let legal = life.legal(policy);
        let n = legal.clone().rev().find(|n| life.states[*n] == *found);
        n.ok_or_else(|| at_policy(explain(life, &legal, found)))
    }

    /// Crashes again, while what the first crash left is recovered and worked on.
    pub fn check_again(
        &mut self,
        image: &SimKernel,
        life: &Life,
        policy: CrashPolicy,
        dice: &mut Dice,
        ops: &[Op],
    ) -> Result<(), String> {
        let n = self.check(image, life, policy)?;
        let life = life.after(n, policy);
        let kernel = image.crash(CrashPolicy::Kill, 0);
        let before = kernel.calls();
        Run::live(&kernel, self.options, ops, &mut life.clone()).die();
        let calls = kernel.calls() - before;
        let kernel = image.crash(CrashPolicy::Kill, 0);
        // Early, where recovery is; the whole of it now and then.
        let at =
            if dice.percent(70) { dice.below(calls.min(12) + 1) } else { dice.below(calls + 1) };
        kernel.freeze_after(at);
        let mut second = life.clone();
        let run = Run::live(&kernel, self.options, ops, &mut second);
        let policies = [CrashPolicy::Kill, dice.pick(&POWER_CUTS), dice.pick(&POWER_CUTS)];
        let images: Vec<_> =
            policies.iter().map(|policy| (*policy, kernel.crash(*policy, dice.next()))).collect();
        run.die();
        for (then, image) in images {
            self.second += 1;
            self.check(&image, &second, then).map_err(|text| {
                format!("{policy:?} left state {n}, then at call {at} of recovery: {text}")
            })?;
        }
        Ok(())
    }
}
