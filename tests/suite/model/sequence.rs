//! One sequence: a database in a simulated kernel and the oracle, driven through the same operations.

use super::dice::{Dice, KeySpace, value};
use super::oracle::{Change, Oracle, shown};
use super::plan::{Plan, redraw};
use super::walk::{Walk, compare_all, compare_get, random_view, scan};
use crate::simdb::POWER_CUTS;
use esker::internals::batch::WriteBatch;
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::{Error, ErrorKind};
use esker::internals::options::{Durability, Options};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::types::{KeyspaceId, SeqNo};

const PATH: &[u8] = b"/db";
/// Lines of a trace that are worth showing.
const TRACE_LINES: usize = 40;
/// Why a step did not end as usual.
pub enum Stop {
    /// The planned freeze hit: the process is dead.
    Frozen,
    Wrong(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Wrong(text)
    }
}

type Step = Result<(), Stop>;

/// What a sequence saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    pub operations: u64,
    /// Most levels that held tables at one moment.
    pub levels: usize,
    pub crashes: u64,
    pub reopens: u64,
    /// Operations that crashes took.
    pub lost: u64,
}

pub struct Sequence {
    dice: Dice,
    plan: Plan,
    kernel: Arc<SimKernel>,
    db: Option<Db>,
    pub oracle: Oracle,
    snapshots: Vec<Snapshot>,
    walks: Vec<Walk>,
    values: u64,
    pub summary: Summary,
    /// What was done, when somebody wants to read it.
    trace: Option<Vec<String>>,
}

fn unexpected(what: &str, error: &Error) -> Stop {
    Stop::Wrong(format!("{what}: {:?} {error}", error.kind()))
}

impl Sequence {
    pub fn new(seed: u64) -> Result<Sequence, String> {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice);
        Sequence::with(dice, plan)
    }

    /// A sequence on a database whose keys are in another order.
    pub fn ordered(seed: u64, order: &Order) -> Result<Sequence, String> {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::draw(&mut dice);
        match order {
            Order::Custom(_) => plan.options.comparator_custom = Some(order.clone()),
            builtin => plan.options.comparator = builtin.clone(),
        }
        if order.checks_keys() {
            plan.keys = KeySpace::Eight(dice.between(20, 600));
        } else if !order.exact() && dice.percent(80) {
            plan.keys = KeySpace::Cases;
        }
        Sequence::with(dice, plan)
    }

    fn with(mut dice: Dice, plan: Plan) -> Result<Sequence, String> {
        let kernel = SimKernel::new(dice.next());
        let oracle = Oracle::new(plan.options.order());
        let mut sequence = Sequence {
            dice,
            plan,
            kernel,
            db: None,
            oracle,
            snapshots: Vec::new(),
            walks: Vec::new(),
            values: 0,
            summary: Summary::default(),
            trace: None,
        };
        sequence.open(true)?;
        Ok(sequence)
    }

    /// Runs the whole sequence; the error says at which step what was wrong.
    pub fn run(&mut self) -> Result<Summary, String> {
        for step in 0..self.plan.steps {
            match self.step() {
                Ok(()) => {}
                Err(Stop::Frozen) => unreachable!("only a crash step freezes, and it handles that"),
                Err(Stop::Wrong(text)) => {
                    return Err(format!("step {step}: {text}\n  {:?}", self.plan));
                }
            }
            self.summary.operations += 1;
        }
        let ended = self.compare().and_then(|()| self.reopen());
        ended.map_err(|stop| match stop {
            Stop::Wrong(text) => format!("at the end: {text}\n  {:?}", self.plan),
            Stop::Frozen => unreachable!("nothing is frozen here"),
        })?;
        Ok(self.summary)
    }

    /// Runs the sequence; the error ends with what was done last.
    pub fn run_traced(&mut self) -> Result<Summary, String> {
        self.trace = Some(Vec::new());
        let result = self.run();
        let trace = self.trace.take().unwrap_or_default();
        let last = &trace[trace.len().saturating_sub(TRACE_LINES)..];
        result.map_err(|text| format!("{text}\n{}", last.join("\n")))
    }

    fn note(&mut self, line: impl FnOnce(&Sequence) -> String) {
        if self.trace.is_some() {
            let text = format!("  {}: {}", self.summary.operations, line(self));
            self.trace.iter_mut().for_each(|trace| trace.push(text.clone()));
        }
    }

    pub fn db(&self) -> &Db {
        self.db.as_ref().expect("a database is open between two steps")
    }

    fn open(&mut self, create: bool) -> Result<(), String> {
        let fs = Fs::Sim(self.kernel.clone());
        let flags = OpenFlags { create, exclusive: create, ..OpenFlags::default() };
        let db = Db::open(&fs, PATH, &self.plan.options, flags)
            .map_err(|e| format!("open: {:?} {e}", e.kind()))?;
        self.db = Some(db);
        self.note(|s| {
            let stats = s.db().stats();
            let shape: Vec<u64> = stats.level.iter().map(|level| level.tables).collect();
            let files: Vec<String> = s.kernel.files("/db").into_iter().map(|f| f.0).collect();
            format!(
                "open, latest {}, durable {}, tables {shape:?}, dropped {} bytes, {files:?}",
                stats.latest_seq, stats.durable_seq, stats.recovered_dropped_bytes
            )
        });
        Ok(())
    }

    fn step(&mut self) -> Step {
        match self.dice.below(1_000) {
            0..720 => self.change(),
            720..800 => Ok(self.read_keys()?),
            800..860 => Ok(self.walk_anew()?),
            860..900 => Ok(self.walk_on()?),
            900..950 => self.snapshot(),
            950..965 => self.reopen(),
            965..990 => self.crash(),
            _ => self.compare(),
        }
    }

    /// A step that writes.
    fn change(&mut self) -> Step {
        match self.dice.below(1_000) {
            0..830 => self.write_one(),
            830..930 => self.write_batch(),
            930..965 => self.flush(),
            965..975 => self.compact(),
            _ => self.sync(),
        }
    }

    fn draw_change(&mut self) -> Change {
        let key = self.plan.keys.key(&mut self.dice);
        if self.dice.percent(self.plan.deletes) {
            return (key, None);
        }
        self.values += 1;
        (key, Some(value(&mut self.dice, self.values)))
    }

    fn write_params(&mut self) -> WriteParams {
        let durability = self.dice.pick(&self.plan.durabilities);
        WriteParams { durability: Some(durability), ..WriteParams::default() }
    }

    fn write_one(&mut self) -> Step {
        let params = self.write_params();
        let (key, value) = self.draw_change();
        let written = match &value {
            Some(value) => self.db().put(&params, &key, value),
            None => self.db().delete(&params, &key),
        };
        self.written(written, vec![(key, value)], &params)
    }

    fn write_batch(&mut self) -> Step {
        let params = self.write_params();
        let count = self.dice.between(1, 8);
        let mut changes: Vec<Change> = (0..count).map(|_| self.draw_change()).collect();
        if self.dice.percent(30) {
            // The same key twice: the later operation wins.
            let (key, _) = self.dice.pick(&changes);
            let (_, value) = self.draw_change();
            changes.push((key, value));
        }
        let mut batch = WriteBatch::new();
        for (key, value) in &changes {
            let added = match value {
                Some(value) => batch.put(KeyspaceId(0), key, value),
                None => batch.delete(KeyspaceId(0), key),
            };
            added.map_err(|e| unexpected("batch", &e))?;
        }
        let written = self.db().write(batch.as_bytes(), &params);
        self.written(written, changes, &params)
    }

    /// Enters what became of a write.
    fn written(
        &mut self,
        written: Result<SeqNo, Error>,
        changes: Vec<Change>,
        params: &WriteParams,
    ) -> Step {
        let logged = params.durability != Some(Durability::Unlogged);
        self.note(|_| {
            let outcome = written.as_ref().map_err(|e| format!("{:?} {e}", e.kind()));
            let change = |c: &Change| {
                let value = c.1.as_deref().map_or("delete".to_owned(), shown);
                format!("{}={value}", shown(&c.0))
            };
            let changes: Vec<String> = changes.iter().map(change).collect();
            format!("write {:?} {} -> {outcome:?}", params.durability, changes.join(", "))
        });
        match written {
            Ok(last) => {
                self.oracle.write(changes, last, logged)?;
                let durability = params.durability.unwrap_or(Durability::Buffered);
                if matches!(durability, Durability::Sync | Durability::Group) {
                    self.oracle.note_durable(last);
                }
                self.count_levels();
                Ok(())
            }
            Err(_) if self.kernel.frozen() => {
                let latest = self.db().stats().latest_seq;
                self.oracle.write_interrupted(changes, latest, logged);
                Err(Stop::Frozen)
            }
            Err(error) => Err(unexpected("write", &error)),
        }
    }

    /// Looks now and then at how many levels hold tables.
    fn count_levels(&mut self) {
        if self.values & 7 == 0 {
            let stats = self.db().stats();
            let used = stats.level.iter().filter(|level| level.tables > 0).count();
            self.summary.levels = self.summary.levels.max(used);
        }
    }

    fn outcome(&self, what: &str, result: Result<(), Error>) -> Step {
        match result {
            Ok(()) => Ok(()),
            Err(_) if self.kernel.frozen() => Err(Stop::Frozen),
            Err(error) => Err(unexpected(what, &error)),
        }
    }

    fn flush(&mut self) -> Step {
        let result = self.db().flush();
        self.note(|_| format!("flush -> {result:?}"));
        self.outcome("flush", result)?;
        self.oracle.note_flushed(self.oracle.last_seq());
        Ok(())
    }

    fn compact(&mut self) -> Step {
        let mut bounds: Vec<Vec<u8>> = (0..2).map(|_| self.plan.keys.key(&mut self.dice)).collect();
        self.oracle.order().sort_by_key(&mut bounds, |key| key);
        let hi = bounds.pop().filter(|_| self.dice.percent(50));
        let lo = bounds.pop().filter(|_| self.dice.percent(50));
        let force = self.dice.percent(30);
        let result = self.db().compact(lo.as_deref(), hi.as_deref(), force, &mut |_, _, _| true);
        self.note(|_| format!("compact {lo:?} {hi:?} force {force} -> {result:?}"));
        self.outcome("compact", result)?;
        self.oracle.note_flushed(self.oracle.last_seq());
        Ok(())
    }

    fn sync(&mut self) -> Step {
        let result = self.db().sync();
        self.note(|_| format!("sync -> {result:?}"));
        self.outcome("sync", result)?;
        self.oracle.note_durable(self.oracle.last_seq());
        Ok(())
    }

    /// The latest view or a snapshot's.
    fn view(&mut self) -> (ReadParams, SeqNo) {
        let mut params = ReadParams::default();
        if self.snapshots.is_empty() || self.dice.percent(60) {
            return (params, self.oracle.last_seq());
        }
        let seq = self.snapshots[self.dice.index(self.snapshots.len())].seq();
        params.snapshot = Some(seq);
        (params, seq)
    }

    fn read_keys(&mut self) -> Result<(), String> {
        for _ in 0..4 {
            let (params, seq) = self.view();
            let mut key = self.plan.keys.key(&mut self.dice);
            if self.oracle.keys() > 0 && self.dice.percent(60) {
                let index = self.dice.index(self.oracle.keys());
                key = self.oracle.key_at(index).expect("the index is in range").clone();
            }
            match self.dice.below(10) {
                _ if self.oracle.order().checks_keys() => {}
                0 => key.push(0),
                1 => drop(key.pop()),
                _ => {}
            }
            compare_get(self.db(), &self.oracle, &params, &key, seq)?;
        }
        Ok(())
    }

    fn walk_anew(&mut self) -> Result<(), String> {
        let (view, seq) = self.view();
        let params = random_view(&mut self.dice, self.plan.keys, self.oracle.order());
        let params = ReadParams { snapshot: view.snapshot, ..params };
        let mut walk = Walk::open(self.db(), &self.oracle, &params, seq)?;
        let steps = self.dice.between(1, 20);
        walk.stroll(&mut self.dice, self.plan.keys, steps)?;
        if self.walks.len() < 3 && self.dice.percent(30) {
            self.walks.push(walk);
        }
        Ok(())
    }

    /// Moves a cursor that was opened earlier: it must still show what it showed then.
    fn walk_on(&mut self) -> Result<(), String> {
        if self.walks.is_empty() {
            return self.walk_anew();
        }
        let index = self.dice.index(self.walks.len());
        self.walks[index].stroll(&mut self.dice, self.plan.keys, 8)?;
        if self.dice.percent(40) {
            self.walks.swap_remove(index);
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Step {
        if self.snapshots.len() < 4 && self.dice.percent(60) {
            let snapshot = self.db().snapshot().map_err(|e| unexpected("snapshot", &e))?;
            let visible = snapshot.seq();
            if visible < self.oracle.last_seq() {
                let text = format!("snapshot {visible} before {}", self.oracle.last_seq());
                return Err(Stop::Wrong(text));
            }
            self.snapshots.push(snapshot);
        } else if !self.snapshots.is_empty() {
            let index = self.dice.index(self.snapshots.len());
            self.snapshots.swap_remove(index);
        }
        Ok(())
    }

    /// Compares everything, at the latest view and at one snapshot.
    fn compare(&mut self) -> Step {
        let latest = self.oracle.last_seq();
        compare_all(self.db(), &self.oracle, &ReadParams::default(), latest)?;
        let (params, seq) = self.view();
        compare_all(self.db(), &self.oracle, &params, seq)?;
        Ok(())
    }

    /// Closes in one of three ways and opens again, perhaps with other options.
    fn reopen(&mut self) -> Step {
        self.summary.reopens += 1;
        self.note(|_| "close".to_owned());
        let db = self.db.take().expect("a database is open");
        let children = self.snapshots.len() + self.walks.len();
        if children > 0 && self.dice.percent(30) {
            match db.close(false) {
                Err(e) if e.kind() == ErrorKind::Busy && e.detail().value == children as u64 => {}
                other => {
                    return Err(Stop::Wrong(format!("close with {children} children: {other:?}")));
                }
            }
            db.close(true).map_err(|e| unexpected("close with DETACH", &e))?;
            for walk in &mut self.walks {
                walk.is_closed()?;
            }
        } else if self.dice.percent(70) {
            self.snapshots.clear();
            self.walks.clear();
            db.close(false).map_err(|e| unexpected("close", &e))?;
        }
        drop(db);
        self.snapshots.clear();
        self.walks.clear();
        self.oracle.note_flushed(self.oracle.last_seq());
        self.oracle.begin_life(true);
        if self.dice.percent(50) {
            redraw(&mut self.dice, &mut self.plan.options);
        }
        self.open(false)?;
        self.compare()
    }

    /// Ends the world, perhaps in the middle of something, and looks at what is left of it.
    fn crash(&mut self) -> Step {
        self.summary.crashes += 1;
        let interrupted = self.dice.percent(60) && self.work_until_frozen()?;
        let durable = self.db().durable_seq().map_err(|e| unexpected("durable_seq", &e))?;
        if !self.plan.has_unlogged() {
            let known = self.oracle.known_durable();
            if durable < known {
                let text = format!("durable_seq {durable} after a sync of {known}");
                return Err(Stop::Wrong(text));
            }
            self.oracle.note_durable(durable.min(self.oracle.last_seq()));
        }
        let torn = !self.kernel.frozen() && !self.plan.has_unlogged() && self.dice.percent(20);
        let power_cut = !torn && self.dice.percent(60);
        let policy = match (power_cut, torn) {
            (true, _) => self.dice.pick(&POWER_CUTS),
            (false, true) => CrashPolicy::KillTorn,
            (false, false) => CrashPolicy::Kill,
        };
        self.end_world(policy);
        let before = self.oracle.last_seq();
        self.recover(power_cut, torn || interrupted)
            .map_err(|text| Stop::Wrong(format!("after {policy:?}: {text}")))?;
        self.summary.lost += before - self.oracle.last_seq();
        if self.dice.percent(20) {
            self.crash_again(power_cut)?;
        }
        Ok(())
    }

    /// Goes over to what a crash leaves.
    fn end_world(&mut self, policy: CrashPolicy) {
        self.note(|s| {
            let promised = (s.oracle.known_durable(), s.db().durable_seq());
            let (errors, frozen) = (s.db().errors_since(0).0, s.kernel.frozen());
            format!("{policy:?}, promised {promised:?}, frozen {frozen}, errors {errors:?}")
        });
        let image = self.kernel.crash(policy, self.dice.next());
        // The dead process must do nothing more; its drop would otherwise close cleanly.
        self.kernel.freeze_after(0);
        self.snapshots.clear();
        self.walks.clear();
        self.db = None;
        self.kernel = image;
    }

    /// Plans the death of the process within the next calls and works until it comes; says whether it
    /// interrupted a write.
    fn work_until_frozen(&mut self) -> Result<bool, Stop> {
        self.kernel.freeze_after(self.dice.below(60));
        for _ in 0..40 {
            let before = self.oracle.last_seq();
            match self.change() {
                Ok(()) => {}
                Err(Stop::Frozen) => return Ok(self.oracle.last_seq() > before),
                Err(wrong) => return Err(wrong),
            }
        }
        // Frozen or not: a job behind the scenes may have met it without anyone being told.
        Ok(false)
    }

    fn recover(&mut self, power_cut: bool, torn: bool) -> Result<(), String> {
        let before = self.dice.percent(10).then(|| self.files());
        self.open(false)?;
        let rows = scan(self.db(), &ReadParams::default())?;
        if self.plan.has_unlogged() {
            let latest = self.db().stats().latest_seq;
            self.oracle.adopt(&rows, power_cut, latest)?;
        } else {
            let promised = self.oracle.promised(power_cut, torn);
            self.oracle.cut_to(&rows, promised)?;
        }
        self.oracle.begin_life(power_cut && !self.plan.has_unlogged());
        let latest = self.oracle.last_seq();
        compare_all(self.db(), &self.oracle, &ReadParams::default(), latest)?;
        // The workers may flush what was replayed as soon as open has returned.
        if self.plan.options.deterministic && before.is_some_and(|files| files != self.files()) {
            return Err("recovery wrote more than the lock file".to_owned());
        }
        Ok(())
    }

    /// Every file but the lock, which is the one that opening may write.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = self.kernel.files("/db");
        files.retain(|(name, _)| name != "LOCK");
        files
    }

    /// A crash right after recovery, before anything was written: the same must come back.
    fn crash_again(&mut self, power_cut: bool) -> Step {
        // After a kill the page cache holds what is not durable yet; after a power cut all is.
        let policy = if power_cut { self.dice.pick(&POWER_CUTS) } else { CrashPolicy::Kill };
        self.end_world(policy);
        self.open(false)?;
        self.compare()
    }
}

/// Parts of a sequence for the tests of the oracle itself.
impl Sequence {
    /// A database with a few dozen writes in its memtable and log.
    pub fn sample(seed: u64) -> Result<Sequence, String> {
        let mut dice = Dice::new(seed);
        let mut plan = Plan::draw(&mut dice);
        plan.options = Options { deterministic: true, ..Options::default() };
        plan.durabilities = vec![Durability::Buffered];
        plan.keys = KeySpace::Numbers(30);
        plan.deletes = 10;
        let mut sequence = Sequence::with(dice, plan)?;
        for _ in 0..60 {
            if let Err(Stop::Wrong(text)) = sequence.write_one() {
                return Err(text);
            }
        }
        Ok(sequence)
    }

    pub fn compare_all(&self) -> Result<(), String> {
        let latest = self.oracle.last_seq();
        compare_all(self.db(), &self.oracle, &ReadParams::default(), latest)
    }

    pub fn kill_and_recover(&mut self) -> Result<(), String> {
        self.end_world(CrashPolicy::Kill);
        self.recover(false, false)
    }

    /// A power cut that takes every byte that was not synced.
    pub fn lose_unsynced(&mut self) -> Result<(), String> {
        self.end_world(CrashPolicy::OnlySynced);
        self.recover(true, false)
    }
}
