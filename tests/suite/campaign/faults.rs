//! R3: the n-th system call of a kind fails, for every n, once or from then on, with every errno that makes sense.
//!
//! What was acknowledged stays; what failed is not visible; errors are errors of the disk; once the fault is over,
//! resuming or opening again leads back to work; an open that fails changes nothing.

use super::frame::{Campaign, Cases, Counts, run, scattered};
use super::image::read_all;
use super::script::{self, Op};
use crate::model::{Change, Dice, KeySpace};
use crate::simdb::{Rows, files, open, reopen, scan_into, synced, tiny};
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::{Error, ErrorKind};
use esker::internals::options::{Durability, Options};
use esker::internals::sync::Arc;
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub const CAMPAIGN: Campaign = Campaign { name: "faults", floor: 1_000, full: 3_000, slice: 3 };

/// What a system call may say, by its kind.
const ERRNOS: &[(CallKind, &[i32])] = &[
    (CallKind::Pwrite, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EINTR]),
    (CallKind::Pread, &[libc::EIO, libc::EINTR]),
    (CallKind::Fdatasync, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EINTR]),
    (CallKind::Fsync, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EINTR]),
    // Not EACCES: a parent directory that may not be opened is its owner's affair (`Dir::sync_parent`).
    (CallKind::Open, &[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO, libc::EINTR]),
    (CallKind::Create, &[libc::EMFILE, libc::ENOSPC, libc::EDQUOT, libc::EACCES, libc::EIO]),
    (CallKind::Rename, &[libc::EIO, libc::ENOSPC, libc::EACCES]),
    (CallKind::Unlink, &[libc::EIO, libc::EACCES, libc::EROFS]),
    (CallKind::Truncate, &[libc::EIO, libc::ENOSPC, libc::EINTR]),
    (CallKind::Fallocate, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EOPNOTSUPP, libc::EINTR]),
    (CallKind::List, &[libc::EIO, libc::EACCES]),
    (CallKind::Lock, &[libc::EIO, libc::ENOLCK, libc::EINTR]),
    (CallKind::Stat, &[libc::EIO, libc::EACCES]),
    (CallKind::Mkdir, &[libc::ENOSPC, libc::EACCES, libc::EROFS]),
];

/// A workload and what goes wrong in it.
#[derive(Clone, Copy, Debug)]
struct Point {
    workload: usize,
    fault: Fault,
}

/// Three scripts: levels and logs that change often; opening and closing; the same in threads.
fn workload(which: usize) -> (Options, Vec<Op>) {
    let small = Options { log_bytes: 1_000, ..tiny() };
    let keys = KeySpace::Numbers(40);
    let mut dice = Dice::new(900 + which as u64);
    let mut ops = script::draw(&mut dice, keys, 150, 0);
    match which {
        0 => ops.retain(|op| !matches!(op, Op::Reopen)),
        1 => ops.truncate(80),
        _ => {
            return (Options { deterministic: false, threads: 2, write_buffer: 512, ..small }, ops);
        }
    }
    (small, ops)
}

/// Every point there is.
fn points() -> &'static [Point] {
    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();
    POINTS.get_or_init(|| {
        let mut points = Vec::new();
        for which in 0..3 {
            let (options, ops) = workload(which);
            let kernel = SimKernel::new(which as u64);
            let mut patient = Patient::new(&kernel, &options);
            patient.live(&ops).expect("without a fault all is well");
            patient.leave();
            for (call, errnos) in ERRNOS {
                for nth in 1..=kernel.count(*call) {
                    points.extend(
                        errnos.iter().flat_map(|errno| variants(which, *call, nth, *errno)),
                    );
                }
            }
        }
        points
    })
}

fn variants(workload: usize, call: CallKind, nth: u64, errno: i32) -> Vec<Point> {
    let point =
        |forever, short| Point { workload, fault: Fault { call, nth, errno, forever, short } };
    let transfers = matches!(call, CallKind::Pwrite | CallKind::Pread);
    match (errno == libc::EINTR, transfers) {
        // No signal comes for ever.
        (true, _) => vec![point(false, false)],
        (_, false) => vec![point(false, false), point(true, false)],
        (_, true) => {
            vec![point(false, false), point(true, false), point(false, true), point(true, true)]
        }
    }
}

/// What each key may show: the last acknowledged value, or what a later failed write meant it to be.
type Allowed = BTreeMap<Vec<u8>, Vec<Option<Vec<u8>>>>;

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
struct Patient<'a> {
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
    errors: Vec<Error>,
}

impl<'a> Patient<'a> {
    fn new(kernel: &'a Arc<SimKernel>, options: &'a Options) -> Patient<'a> {
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

    /// Goes through the script whatever fails; stops where the database cannot be opened.
    fn live(&mut self, ops: &[Op]) -> Result<(), String> {
        self.open(true)?;
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
        let failed_sync = self.errors.iter().any(|error| error.to_string().contains("sync"));
        if let Some(db) = self.db.take() {
            if self.is_ok(db.close(false)) && !failed_sync {
                self.settle();
            }
            drop(db);
        }
        self.beyond_power |= failed_sync;
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
    fn leave(mut self) {
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

/// The kinds of errors that a fault of the disk may be told as.
fn check_errors(errors: &[Error], fault: Fault) -> Result<(), String> {
    let full = [libc::ENOSPC, libc::EDQUOT, libc::EFBIG].contains(&fault.errno);
    for error in errors {
        let fine = match error.kind() {
            ErrorKind::NoSpace => full,
            ErrorKind::Io | ErrorKind::Poisoned => true,
            ErrorKind::NoMem => fault.errno == libc::ENOMEM,
            ErrorKind::ReadOnly => [libc::EROFS, libc::EACCES].contains(&fault.errno),
            _ => false,
        };
        if !fine {
            return Err(format!("told as {:?}: {error}", error.kind()));
        }
    }
    Ok(())
}

fn case(number: u64) -> Result<Counts, String> {
    let points = points();
    // Neighbours are alike: a run of consecutive numbers is to see all kinds.
    let point = points[scattered(number, points.len() as u64) as usize];
    let (options, ops) = workload(point.workload);
    let fired = suffer(&point, &options, &ops).map_err(|text| format!("{point:?}: {text}"))?;
    Ok(vec![("fault points", 1), ("that failed a call", u64::from(fired))])
}

fn suffer(point: &Point, options: &Options, ops: &[Op]) -> Result<bool, String> {
    let kernel = SimKernel::new(point.workload as u64);
    kernel.set_fault(point.fault);
    let mut patient = Patient::new(&kernel, options);
    patient.live(ops)?;
    let fired = kernel.faults_fired() > 0;
    kernel.clear_faults();
    if !fired && !patient.errors.is_empty() {
        return Err(format!("without a fault: {}", patient.errors[0]));
    }
    check_errors(&patient.errors, point.fault)?;
    if point.fault.errno == libc::EINTR && !patient.errors.is_empty() {
        return Err(format!("an interrupted call is tried again: {}", patient.errors[0]));
    }
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
    let killed = kernel.crash(CrashPolicy::Kill, point.fault.nth);
    let dark = kernel.crash(CrashPolicy::OnlySynced, point.fault.nth);
    opens(&killed, options, &patient.kill, "killed")?;
    if !patient.beyond_power {
        opens(&dark, options, &patient.power, "power cut")?;
    }
    recovers(&mut patient, point)?;
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
fn recovers(patient: &mut Patient<'_>, point: &Point) -> Result<(), String> {
    let Some(db) = patient.db.clone() else {
        // What cannot be opened because of the fault opens without it.
        let (kill, kernel) = (patient.kill.clone(), patient.kernel.clone());
        return opens(&kernel, patient.options, &kill, "opened after the fault");
    };
    write_again(&db)?;
    patient.visible.insert(b"more".to_vec(), Vec::new());
    if !patient.beyond_power {
        let dark = patient.kernel.crash(CrashPolicy::OnlySynced, point.fault.nth + 1);
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

#[test]
fn any_call_may_fail_in_any_way_and_nothing_acknowledged_is_lost() {
    let all = points().len() as u64;
    assert!(all > 5_000, "{all} fault points");
    let tally = run(&CAMPAIGN, &Cases::Of(all), case);
    assert!(
        tally.count("that failed a call") * 10 > tally.count("fault points") * 8,
        "faults do not fire"
    );
}

#[test]
fn every_kind_of_call_that_the_engine_makes_can_fail() {
    for which in 0..3 {
        let kernel = SimKernel::new(1);
        let (options, ops) = workload(which);
        let mut patient = Patient::new(&kernel, &options);
        patient.live(&ops).expect("without a fault all is well");
        patient.leave();
        for call in CallKind::ALL.into_iter().filter(|call| kernel.count(*call) > 0) {
            assert!(ERRNOS.iter().any(|(known, _)| *known == call), "{call:?}");
        }
    }
}
