//! Scripts: a few dozen operations on a small database, and the states through which a life of it goes.
//!
//! What a crash may leave is a state after some write: at least all that was promised, at most the write under way.

use crate::model::{Change, Dice, KeySpace, value};
use crate::simdb::{Rows, open, reopen};
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::Result;
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;
use esker::internals::types::KeyspaceId;

#[derive(Clone, Debug)]
pub enum Op {
    Write {
        changes: Vec<Change>,
        durability: Durability,
    },
    Sync,
    Flush,
    Compact {
        force: bool,
    },
    /// Takes a snapshot, or gives the oldest one up when there are two.
    Snapshot,
    Reopen,
}

/// Draws `count` operations; writes get numbers from `first` on, so that no two put the same value.
pub fn draw(dice: &mut Dice, keys: KeySpace, count: u64, first: u64) -> Vec<Op> {
    let deletes = dice.pick(&[5, 15, 40]);
    let syncs = dice.pick(&[0, 10, 30]);
    let mut next = first;
    let mut change = |dice: &mut Dice| -> Change {
        next += 1;
        let value = (!dice.percent(deletes)).then(|| value(dice, next));
        (keys.key(dice), value)
    };
    let mut op = |dice: &mut Dice| match dice.below(100) {
        0..60 => Op::Write { changes: vec![change(dice)], durability: level(dice, syncs) },
        60..78 => {
            let changes = (0..dice.between(2, 6)).map(|_| change(dice)).collect();
            Op::Write { changes, durability: level(dice, syncs) }
        }
        78..82 => Op::Sync,
        82..89 => Op::Flush,
        89..92 => Op::Compact { force: dice.percent(50) },
        92..96 => Op::Snapshot,
        _ => Op::Reopen,
    };
    (0..count).map(|_| op(dice)).collect()
}

fn level(dice: &mut Dice, syncs: u64) -> Durability {
    match dice.percent(syncs) {
        true => dice.pick(&[Durability::Sync, Durability::Sync, Durability::Group]),
        false => Durability::Buffered,
    }
}

/// Applies changes in their order.
pub fn apply(rows: &mut Rows, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => drop(rows.insert(key.clone(), value.clone())),
            None => drop(rows.remove(key)),
        }
    }
}

/// What became of a database so far.
#[derive(Clone)]
pub struct Life {
    /// What is in it after each write, of which there was none at first.
    pub states: Vec<Rows>,
    /// Writes that were acknowledged, and those of them that a power cut must leave.
    pub acknowledged: usize,
    pub promised: usize,
    /// Whether opening has ever returned: before that there may be no database at all.
    pub made: bool,
}

impl Life {
    pub fn new() -> Life {
        Life { states: vec![Rows::new()], acknowledged: 0, promised: 0, made: false }
    }

    pub fn now(&self) -> &Rows {
        &self.states[self.acknowledged]
    }

    /// The states that a crash may leave, by their number.
    pub fn legal(&self, policy: CrashPolicy) -> std::ops::RangeInclusive<usize> {
        let lowest = match policy {
            CrashPolicy::Kill => self.acknowledged,
            // The newest write had perhaps not returned.
            CrashPolicy::KillTorn => self.acknowledged.saturating_sub(1).max(self.promised),
            _ => self.promised,
        };
        lowest..=self.states.len() - 1
    }

    /// The life that begins after a crash has left state `n`.
    pub fn after(&self, n: usize, policy: CrashPolicy) -> Life {
        let kill = matches!(policy, CrashPolicy::Kill | CrashPolicy::KillTorn);
        let promised = if kill { self.promised.min(n) } else { n };
        Life { states: self.states[..=n].to_vec(), acknowledged: n, promised, made: true }
    }
}

pub fn write(db: &Db, changes: &[Change], durability: Durability) -> Result<()> {
    let params = WriteParams { durability: Some(durability), ..WriteParams::default() };
    if let [(key, value)] = changes {
        return match value {
            Some(value) => db.put(&params, key, value),
            None => db.delete(&params, key),
        }
        .map(|_| ());
    }
    let mut batch = WriteBatch::new();
    for (key, value) in changes {
        match value {
            Some(value) => batch.put(KeyspaceId(0), key, value)?,
            None => batch.delete(KeyspaceId(0), key)?,
        }
    }
    db.write(batch.as_bytes(), &params).map(|_| ())
}

/// A database that is being driven by a script.
pub struct Run<'a> {
    kernel: &'a Arc<SimKernel>,
    options: &'a Options,
    db: Option<Db>,
    snapshots: Vec<Snapshot>,
}

impl<'a> Run<'a> {
    /// Opens the database, making it where there is none, and goes through the script until something fails.
    pub fn live(
        kernel: &'a Arc<SimKernel>,
        options: &'a Options,
        ops: &[Op],
        life: &mut Life,
    ) -> Run<'a> {
        let mut run = Run { kernel, options, db: None, snapshots: Vec::new() };
        let Ok(db) = open(kernel, options) else { return run };
        life.made = true;
        run.db = Some(db);
        for op in ops {
            if run.step(op, life).is_err() {
                break;
            }
        }
        run
    }

    fn step(&mut self, op: &Op, life: &mut Life) -> Result<()> {
        let Some(db) = &self.db else { return Ok(()) };
        match op {
            Op::Write { changes, durability } => {
                let mut rows = life.now().clone();
                apply(&mut rows, changes);
                life.states.push(rows);
                write(db, changes, *durability)?;
                life.acknowledged += 1;
                if matches!(durability, Durability::Sync | Durability::Group) {
                    life.promised = life.acknowledged;
                }
                return Ok(());
            }
            Op::Sync => db.sync()?,
            Op::Flush => db.flush()?,
            Op::Compact { force } => db.compact(None, None, *force, &mut |_, _, _| true)?,
            Op::Snapshot => {
                if self.snapshots.len() == 2 {
                    drop(self.snapshots.remove(0));
                } else {
                    self.snapshots.push(db.snapshot()?);
                }
                return Ok(());
            }
            Op::Reopen => {
                self.snapshots.clear();
                db.close(false)?;
                life.promised = life.acknowledged;
                self.db = None;
                self.db = Some(reopen(self.kernel, self.options)?);
                return Ok(());
            }
        }
        life.promised = life.acknowledged;
        Ok(())
    }

    /// The process dies; what it leaves is asked of the kernel.
    pub fn die(self) {
        // A dead process does nothing more, so its drop must not close cleanly.
        self.kernel.freeze_after(0);
    }
}
