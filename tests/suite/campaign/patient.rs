//! A database to which faults happen, and what must hold for it: the oracle of the campaigns of faults.
//!
//! What was acknowledged stays; what failed is not visible; errors are errors of the disk; once the fault is over,
//! resuming or opening again leads back to work; an open that fails changes nothing.

use super::image::read_all;
use super::script::{self, Life, Op};
use crate::model::Change;
use crate::simdb::{Rows, files, open, reopen, scan_into, synced};
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::Fault;
use esker::internals::error::{Error, ErrorKind};
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;
use std::collections::{BTreeMap, BTreeSet};

/// What each key may show: the last acknowledged value, or what a later failed write meant it to be.
pub type Allowed = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

fn fits(allowed: &Allowed, rows: &Rows, what: &str) -> Result<(), String> {
    for (key, values) in allowed {
        let found = rows.get(key).cloned();
        if !values.contains(&found) {
            let shown =
                |value: &Option<Vec<u8>>| value.as_ref().map(|v| v.escape_ascii().to_string());
            let all: Vec<_> = values.iter().map(shown).collect();
            return Err(format!(
                "{what}: key {} shows {:?}, not one of {all:?}",
                key.escape_ascii(),
                shown(&found)
            ));
        }
    }
    match rows.keys().find(|key| !allowed.contains_key(*key)) {
        Some(key) => Err(format!("{what}: key {} was never written", key.escape_ascii())),
        None => Ok(()),
    }
}

/// A database to which things happen.
pub struct Patient<'a> {
    kernel: &'a Arc<SimKernel>,
    options: &'a Options,
    db: Option<Db>,
    snapshots: Vec<Snapshot>,
    /// What reads show.
    visible: Rows,
    /// What a kill, and what a power cut may leave.
    kill: Allowed,
    power: Allowed,
    /// A sync failed, and another process has read what the page cache held: see limits in docs/DURABILITY.md.
    beyond_power: bool,
    pub errors: Vec<Error>,
}

impl<'a> Patient<'a> {
    pub fn new(kernel: &'a Arc<SimKernel>, options: &'a Options) -> Patient<'a> {
        Patient {
            kernel,
            options,
            db: None,
            snapshots: Vec::new(),
            visible: Rows::new(),
            kill: Allowed::new(),
            power: Allowed::new(),
            beyond_power: false,
            errors: Vec::new(),
        }
    }

    /// One that is opened after a crash which left state `n` of `life`, of which the first `durable` are on disk.
    pub fn after_crash(
        kernel: &'a Arc<SimKernel>,
        options: &'a Options,
        life: &Life,
        (n, durable): (usize, usize),
    ) -> Patient<'a> {
        let keys: BTreeSet<_> = life.states.iter().flat_map(BTreeMap::keys).cloned().collect();
        let values = |key: &Vec<u8>, from: usize| {
            life.states[from..=n].iter().map(|rows| rows.get(key).cloned()).collect()
        };
        let allowed = |from: usize| -> Allowed {
            keys.iter().map(|key| (key.clone(), values(key, from))).collect()
        };
        Patient {
            visible: life.states[n].clone(),
            kill: allowed(n),
            power: allowed(durable),
            ..Patient::new(kernel, options)
        }
    }

    /// Goes through the script whatever fails; stops where the database cannot be opened.
    pub fn live(&mut self, ops: &[Op]) -> Result<(), String> {
        let new = self.kill.is_empty();
        self.open(new)?;
        if !new {
            self.adopt()?;
        }
        for op in ops {
            if self.db.is_none() {
                break;
            }
            self.step(op)?;
        }
        Ok(())
    }

    /// Whether the result is good; keeps the error.
    fn is_ok<T>(&mut self, result: Result<T, Error>) -> bool {
        match result {
            Ok(_) => true,
            Err(error) => {
                self.errors.push(error);
                false
            }
        }
    }

    fn open(&mut self, create: bool) -> Result<(), String> {
        let before = files(self.kernel);
        let (kernel, options) = (self.kernel, self.options);
        match if create { open(kernel, options) } else { reopen(kernel, options) } {
            Ok(db) => {
                self.db = Some(db);
                Ok(())
            }
            Err(error) => {
                let made = create && before.is_empty();
                let same = made || before == files(self.kernel);
                let text = format!("an open that failed ({error}) changed files");
                self.errors.push(error);
                if same { Ok(()) } else { Err(text) }
            }
        }
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        let Some(db) = self.db.clone() else { return Ok(()) };
        let durable = match op {
            Op::Write { changes, durability } => {
                let result = script::write(&db, changes, *durability);
                let good = self.is_ok(result);
                self.enter(changes, good);
                good && matches!(durability, Durability::Sync | Durability::Group)
            }
            Op::Sync => self.is_ok(db.sync()),
            Op::Flush => self.is_ok(db.flush()),
            Op::Compact { force } => {
                self.is_ok(db.compact(None, None, *force, &mut |_, _, _| true))
            }
            Op::Snapshot => {
                match db.snapshot() {
                    Ok(snapshot) if self.snapshots.len() < 2 => self.snapshots.push(snapshot),
                    _ => self.snapshots.clear(),
                }
                false
            }
            Op::Reopen => {
                drop(db);
                return self.reopen();
            }
        };
        if durable {
            self.settle();
        }
        Ok(())
    }

    fn enter(&mut self, changes: &[Change], good: bool) {
        if good {
            script::apply(&mut self.visible, changes);
        }
        for (key, value) in changes {
            let before = || vec![None];
            let kill = self.kill.entry(key.clone()).or_insert_with(before);
            if good {
                kill.clear();
            }
            kill.push(value.clone());
            self.power.entry(key.clone()).or_insert_with(before).push(value.clone());
        }
        // The last change of a key in a batch counts, and only for acknowledged ones is it alone.
        if good {
            for (key, _) in changes {
                self.kill.insert(key.clone(), vec![self.visible.get(key).cloned()]);
            }
        }
    }

    /// All that is visible is durable.
    fn settle(&mut self) {
        self.power = self.kill.clone();
    }

    fn reopen(&mut self) -> Result<(), String> {
        self.snapshots.clear();
        if let Some(db) = self.db.take() {
            let closed = self.is_ok(db.close(false));
            self.beyond_power |= self.errors.iter().any(|error| error.to_string().contains("sync"));
            if closed && !self.beyond_power {
                self.settle();
            }
            drop(db);
        }
        self.open(false)?;
        self.adopt()
    }

    /// What the next process finds is what there is.
    fn adopt(&mut self) -> Result<(), String> {
        let Some(db) = &self.db else { return Ok(()) };
        let mut rows = Rows::new();
        // A read may meet the fault; then it says so.
        if scan_into(db, &mut rows).is_err() {
            self.db = None;
            return Ok(());
        }
        fits(&self.kill, &rows, "opened again")?;
        let keys: Vec<_> = self.kill.keys().cloned().collect();
        self.kill =
            keys.into_iter().map(|key| (key.clone(), vec![rows.get(&key).cloned()])).collect();
        self.visible = rows;
        Ok(())
    }

    /// The process ends without a word.
    pub fn leave(mut self) {
        self.kernel.freeze_after(0);
        self.db = None;
    }
}

/// What a process that starts after the fault finds, and that it can work.
fn opens(
    kernel: &Arc<SimKernel>,
    options: &Options,
    allowed: &Allowed,
    what: &str,
) -> Result<(), String> {
    let db = open(kernel, options).map_err(|e| format!("{what}: open: {:?} {e}", e.kind()))?;
    let rows = read_all(&db, allowed.keys().cloned()).map_err(|text| format!("{what}: {text}"))?;
    fits(allowed, &rows, what)?;
    db.put(&synced(), b"more", b"").map_err(|e| format!("{what}: a write: {e}"))?;
    db.close(false).map_err(|e| format!("{what}: close: {e}"))
}

/// The kinds of errors that faults of the disk may be told as.
fn check_errors(errors: &[Error], faults: &[Fault]) -> Result<(), String> {
    let any = |errnos: &[i32]| faults.iter().any(|fault| errnos.contains(&fault.errno));
    for error in errors {
        let fine = match error.kind() {
            ErrorKind::NoSpace => any(&[libc::ENOSPC, libc::EDQUOT, libc::EFBIG]),
            ErrorKind::Io | ErrorKind::Poisoned => true,
            ErrorKind::NoMem => any(&[libc::ENOMEM]),
            ErrorKind::ReadOnly => any(&[libc::EROFS, libc::EACCES]),
            _ => false,
        };
        if !fine {
            return Err(format!("told as {:?}: {error}", error.kind()));
        }
    }
    match errors.first() {
        Some(error) if faults.iter().all(|fault| fault.errno == libc::EINTR) => {
            Err(format!("an interrupted call is tried again: {error}"))
        }
        _ => Ok(()),
    }
}

/// Goes through `ops` with `faults`, and through what may come after. Whether a fault struck.
pub fn suffer(mut patient: Patient<'_>, faults: &[Fault], ops: &[Op]) -> Result<bool, String> {
    let (kernel, options) = (patient.kernel, patient.options);
    faults.iter().for_each(|fault| kernel.set_fault(*fault));
    let before = kernel.faults_fired();
    patient.live(ops)?;
    let fired = kernel.faults_fired() > before;
    kernel.clear_faults();
    if !fired && !patient.errors.is_empty() {
        return Err(format!("without a fault: {}", patient.errors[0]));
    }
    check_errors(&patient.errors, faults)?;
    if let Some(db) = &patient.db {
        let rows = read_all(db, patient.kill.keys().cloned())?;
        if rows != patient.visible {
            return Err(format!(
                "{} rows are visible, {} were acknowledged",
                rows.len(),
                patient.visible.len()
            ));
        }
    }
    let salt = faults.iter().map(|fault| fault.nth).sum();
    let killed = kernel.crash(CrashPolicy::Kill, salt);
    let dark = kernel.crash(CrashPolicy::OnlySynced, salt);
    opens(&killed, options, &patient.kill, "killed")?;
    if !patient.beyond_power {
        opens(&dark, options, &patient.power, "power cut")?;
    }
    recovers(&mut patient, salt + 1)?;
    patient.leave();
    Ok(fired)
}

/// Writes, now that the fault is over. A job that met it may end only now; its error may be tried again.
fn write_again(db: &Db) -> Result<(), String> {
    for _ in 0..100 {
        db.resume().map_err(|e| format!("resume: {:?} {e}", e.kind()))?;
        match db.put(&synced(), b"more", b"") {
            Err(error) if error.detail().retryable => std::thread::yield_now(),
            Err(error) => return Err(format!("a write after resume: {error}")),
            Ok(_) => return Ok(()),
        }
    }
    Err("a write after resume: it is to be tried again, for ever".to_owned())
}

/// In the same process, now that the fault is over.
fn recovers(patient: &mut Patient<'_>, salt: u64) -> Result<(), String> {
    let Some(db) = patient.db.clone() else {
        // What cannot be opened because of the fault opens without it.
        let (kill, kernel) = (patient.kill.clone(), patient.kernel.clone());
        return opens(&kernel, patient.options, &kill, "opened after the fault");
    };
    write_again(&db)?;
    patient.visible.insert(b"more".to_vec(), Vec::new());
    if !patient.beyond_power {
        let dark = patient.kernel.crash(CrashPolicy::OnlySynced, salt);
        let sure =
            patient.visible.iter().map(|(key, value)| (key.clone(), vec![Some(value.clone())]));
        let mut allowed: Allowed = sure.collect();
        for key in patient.kill.keys() {
            allowed.entry(key.clone()).or_insert_with(|| vec![None]);
        }
        opens(&dark, patient.options, &allowed, "power cut after resuming")?;
    }
    patient.snapshots.clear();
    db.close(false).map_err(|e| format!("close: {:?} {e}", e.kind()))?;
    drop(db);
    patient.db = None;
    let db =
        reopen(patient.kernel, patient.options).map_err(|e| format!("open after close: {e}"))?;
    let rows = read_all(&db, std::iter::empty())?;
    match rows == patient.visible {
        true => db.close(false).map_err(|e| format!("the second close: {e}")),
        false => {
            Err(format!("{} rows after a close, {} before", rows.len(), patient.visible.len()))
        }
    }
}
