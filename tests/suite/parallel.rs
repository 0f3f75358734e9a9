//! Background work side by side: compactions on disjoint levels, one compaction in key ranges, and threads
//! that all databases share.
//!
//! Gates hold jobs where they begin until enough of them have; a gate gives up after a minute, and the test
//! then fails instead of hanging.

use crate::memtable::Rng;
use crate::simdb::*;
use esker::internals::db::events::{Event, EventLog, JobKind, watch};
use esker::internals::db::handle::{Db, Snapshot};
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::ErrorKind;
use esker::internals::options::Options;
use esker::internals::worker;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// Threads of the shared pool that tests here hold at a time must not be those another one waits for.
static ONE_GATE: Mutex<()> = Mutex::new(());

/// What runs now, and whether it was ever what the gate waits for.
#[derive(Default)]
struct Seen {
    running: Vec<Event>,
    open: bool,
    gave_up: bool,
}

/// Holds whatever begins until `enough` holds of all that has begun and not ended.
struct Gate {
    seen: Mutex<Seen>,
    opened: Condvar,
    kind: JobKind,
    enough: fn(&[Event]) -> bool,
}

impl Gate {
    fn new(kind: JobKind, enough: fn(&[Event]) -> bool) -> Arc<Gate> {
        Arc::new(Gate { seen: Mutex::default(), opened: Condvar::new(), kind, enough })
    }

    fn pass(&self, event: &Event) {
        if event.kind != self.kind {
            return;
        }
        let mut seen = self.seen.lock().expect("no panic under the lock");
        if event.ended {
            let begun = Event { ended: false, ..*event };
            seen.running.retain(|running| *running != begun);
            return;
        }
        seen.running.push(*event);
        seen.open |= (self.enough)(&seen.running);
        self.opened.notify_all();
        let (mut seen, waited) =
            self.opened.wait_timeout_while(seen, PATIENCE, |seen| !seen.open).expect("no panic");
        if waited.timed_out() {
            (seen.gave_up, seen.open) = (true, true);
        }
    }

    fn open(&self) {
        self.seen.lock().expect("no panic under the lock").open = true;
        self.opened.notify_all();
    }

    /// Waits until something is held; false after a minute.
    fn holds_one(&self) -> bool {
        let seen = self.seen.lock().expect("no panic under the lock");
        let waiting = |seen: &mut Seen| seen.running.is_empty();
        let waited = self.opened.wait_timeout_while(seen, PATIENCE, waiting).expect("no panic");
        !waited.1.timed_out()
    }

    fn opened_by_itself(&self) -> bool {
        let seen = self.seen.lock().expect("no panic under the lock");
        seen.open && !seen.gave_up
    }
}

fn open_watched(
    kernel: &std::sync::Arc<SimKernel>,
    options: &Options,
    watcher: impl Fn(&Event) + Send + Sync + 'static,
) -> Db {
    watch(Some(Arc::new(watcher)));
    let db = open(kernel, options);
    watch(None);
    db.expect("opens")
}

/// Yields until `done`; fails after a minute.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

fn manual() -> Options {
    Options { compaction_auto: false, l0_stop: 1_000, immutable_max: 16, ..tiny() }
}

fn key(n: u64) -> Vec<u8> {
    format!("key{n:05}").into_bytes()
}

fn compact(db: &Db) -> esker::internals::error::Result<()> {
    db.compact(None, None, true, &mut |_, _, _| true)
}

/// Overwrites `count` of `keys` keys.
fn fill(db: &Db, rng: &mut Rng, count: u64, keys: u64) {
    for _ in 0..count {
        let (n, value) = (rng.below(keys), vec![rng.below(256) as u8; rng.below(40) as usize]);
        db.put(&buffered(), &key(n), &value).expect("written");
    }
}

fn part_events(db: &Db) -> Vec<Event> {
    db.events().events().into_iter().filter(|event| event.kind == JobKind::Part).collect()
}

fn jobs(db: &Db) -> usize {
    let jobs = |event: &&Event| event.kind == JobKind::Compaction && !event.ended;
    db.events().events().iter().filter(jobs).count()
}

fn disjoint_levels(running: &[Event]) -> bool {
    let apart = |a: &Event, b: &Event| a.output_level < b.level || b.output_level < a.level;
    running.iter().any(|a| running.iter().any(|b| apart(a, b)))
}

#[test]
fn compactions_of_disjoint_levels_run_at_the_same_time() {
    let _alone = ONE_GATE.lock();
    let kernel = SimKernel::new(1);
    let mut rng = Rng::new(1);
    // Levels of some depth, then level-0 tables on top of them.
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, &mut rng, 3_000, 2_000);
    db.close(false).expect("closes");
    let db = open(&kernel, &manual()).expect("opens");
    for _ in 0..4 {
        fill(&db, &mut rng, 20, 2_000);
        db.flush().expect("flushed");
    }
    let before = rows(&db);
    db.close(false).expect("closes");
    // Now every level is over its target.
    let options = Options {
        deterministic: false,
        threads: 4,
        subcompactions: 1,
        level_bytes: 256,
        level_ratio: 2,
        l0_stop: 1_000,
        ..tiny()
    };
    let gate = Gate::new(JobKind::Compaction, disjoint_levels);
    let watched = gate.clone();
    let db = open_watched(&kernel, &options, move |event| watched.pass(event));
    until("the gate opens", || gate.seen.lock().expect("no panic").open);
    let shape = shape(&db);
    assert!(gate.opened_by_itself(), "no two on disjoint levels: {shape:?}");
    assert!(rows(&db) == before, "contents stay");
    db.close(false).expect("closes");
}

#[test]
fn one_job_in_four_ranges_runs_in_four_threads_and_has_one_edit() {
    let _alone = ONE_GATE.lock();
    let kernel = SimKernel::new(2);
    // More threads than parts: a task that looks for work takes a place for a moment.
    let options = Options { deterministic: false, threads: 8, subcompactions: 4, ..manual() };
    let gate = Gate::new(JobKind::Part, |running| running.len() == 4);
    let watched = gate.clone();
    let db = open_watched(&kernel, &options, move |event| watched.pass(event));
    fill(&db, &mut Rng::new(2), 800, 500);
    db.flush().expect("flushed");
    let before = rows(&db);
    compact(&db).expect("compacted");
    assert!(gate.opened_by_itself(), "the parts of one job did not run together");
    let parts = part_events(&db);
    let first: Vec<usize> =
        parts.iter().filter(|e| e.job == parts[0].job && !e.ended).map(|e| e.part).collect();
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3], "each part once: {first:?}");
    assert!(parts.iter().all(|event| event.parts == 4 || event.job != parts[0].job));
    assert_eq!(db.stats().compactions, jobs(&db) as u64, "one edit for each job");
    assert!(rows(&db) == before, "contents stay");
    let db = cycle(&kernel, db, &options);
    assert!(rows(&db) == before, "reopened");
}

/// The same writes, snapshots and compactions with jobs cut into `parts`; what each snapshot sees, and how
/// many parts of several there were.
fn history(seed: u64, parts: u64, threads: u64) -> (Vec<Rows>, usize) {
    let kernel = SimKernel::new(seed);
    let options = Options { subcompactions: parts, threads, deterministic: threads == 0, ..tiny() };
    let db = open(&kernel, &options).expect("opens");
    let mut rng = Rng::new(seed);
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for round in 0..6 {
        for _ in 0..150 {
            let n = rng.below(200);
            if rng.below(4) == 0 {
                db.delete(&buffered(), &key(n)).expect("deleted");
            } else {
                let value = vec![rng.below(256) as u8; rng.below(60) as usize];
                db.put(&buffered(), &key(n), &value).expect("written");
            }
        }
        snapshots.push(db.snapshot().expect("taken"));
        if round == 3 {
            snapshots.remove(1);
            compact(&db).expect("compacted");
        }
    }
    compact(&db).expect("compacted");
    let seen = snapshots.iter().map(|snapshot| {
        rows_of(&db, &ReadParams { snapshot: Some(snapshot.seq()), ..ReadParams::default() })
    });
    let mut seen: Vec<Rows> = seen.collect();
    seen.push(rows(&db));
    (seen, part_events(&db).iter().filter(|event| event.parts > 1).count())
}

#[test]
fn jobs_in_parts_and_whole_ones_leave_the_same_contents() {
    let mut cut = 0;
    for seed in 0..12 {
        println!("seed {seed}");
        let (whole, parts) = history(seed, 1, 0);
        assert_eq!(parts, 0, "one part is no part");
        for (parts, threads) in [(2, 0), (3, 0), (8, 0), (4, 3)] {
            let (seen, events) = history(seed, parts, threads);
            assert!(seen == whole, "{parts} parts on {threads} threads");
            cut += events;
        }
    }
    assert!(cut > 200, "{cut} parts");
}

#[test]
fn a_failed_part_fails_its_job_and_leaves_no_file() {
    let kernel = SimKernel::new(4);
    let options = Options { subcompactions: 4, ..manual() };
    let db = open(&kernel, &options).expect("opens");
    fill(&db, &mut Rng::new(4), 800, 500);
    db.flush().expect("flushed");
    let (before, tables) = (rows(&db), names(&kernel, ".sst"));
    for nth in [2, 5, 9] {
        fail_once(&kernel, CallKind::Create, nth, ENOSPC);
        assert_eq!(kind(compact(&db)), Some(ErrorKind::NoSpace), "create {nth}");
        assert_eq!(names(&kernel, ".sst"), tables, "create {nth}");
    }
    let begun = part_events(&db).len();
    fail_once(&kernel, CallKind::Create, 1, ENOSPC);
    assert_eq!(kind(compact(&db)), Some(ErrorKind::NoSpace));
    let events = part_events(&db).split_off(begun);
    let begun: Vec<usize> = events.iter().filter(|e| !e.ended).map(|e| e.part).collect();
    assert_eq!(begun.len(), 1, "no part is begun after one failed: {begun:?}");
    compact(&db).expect("compacted");
    assert!(!part_events(&db).is_empty(), "the jobs were cut");
    assert!(rows(&db) == before, "contents stay");
}

#[test]
fn a_panic_in_one_part_stops_writes_and_nothing_else() {
    let _alone = ONE_GATE.lock();
    let kernel = SimKernel::new(5);
    let options = Options { deterministic: false, threads: 3, subcompactions: 3, ..manual() };
    let db = open_watched(&kernel, &options, |event| {
        assert!(event.kind != JobKind::Part || event.part != 1 || event.ended, "planned");
    });
    fill(&db, &mut Rng::new(5), 800, 500);
    db.flush().expect("flushed");
    let before = rows(&db);
    assert_eq!(kind(compact(&db)), Some(ErrorKind::Panic));
    assert_eq!(kind(db.put(&buffered(), b"a", b"b")), Some(ErrorKind::Poisoned));
    assert!(rows(&db) == before, "reads go on");
    db.close(false).expect("closes");
    let db = reopen(&kernel, &manual()).expect("opens again");
    assert!(rows(&db) == before, "reopened");
}

#[test]
fn a_compaction_on_request_waits_for_a_conflicting_one() {
    let _alone = ONE_GATE.lock();
    let kernel = SimKernel::new(6);
    let options = Options { deterministic: false, threads: 2, l0_stop: 1_000, ..tiny() };
    let gate = Gate::new(JobKind::Compaction, |_| false);
    let watched = gate.clone();
    let db = open_watched(&kernel, &options, move |event| watched.pass(event));
    for value in 0..3 {
        for n in 0..20 {
            db.put(&buffered(), &key(n), &[value]).expect("written");
        }
        db.flush().expect("flushed");
    }
    assert!(gate.holds_one(), "a compaction was due");
    let waiting = {
        let db = db.clone();
        thread::spawn(move || compact(&db))
    };
    assert_eq!(get(&db, &key(7)).as_deref(), Some(&[2][..]));
    gate.open();
    waiting.join().expect("no panic").expect("compacted");
    assert_eq!(shape(&db)[0], 0, "level 0 is merged");
    assert_eq!(rows(&db).len(), 20);
}

/// Automatic compactions stood back for a request that, when its turn came, found nothing left to do; then nobody
/// called them again, and writers waited for ever. (Found by the campaign "histories".)
#[test]
fn a_request_that_finds_nothing_left_to_compact_does_not_stop_the_others() {
    let options = Options {
        deterministic: false,
        threads: 3,
        write_buffer: 64,
        l0_stop: 3,
        level_dynamic: true,
        ..tiny()
    };
    let patient = WriteParams { timeout_us: 20_000_000, ..buffered() };
    for round in 0..40 {
        let db = open(&SimKernel::new(round), &options).expect("opens");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Acquire) {
                        db.compact(None, None, false, &mut |_, _, _| true).expect("compacted");
                    }
                });
            }
            for n in 0..400 {
                let written = db.put(&patient, &key(n % 7), &[7; 20]);
                over.fetch_or(written.is_err() || n == 399, Ordering::Release);
                assert!(written.is_ok(), "round {round}, write {n}: {written:?}");
            }
        });
    }
}

#[test]
fn writers_flushes_and_compactions_of_both_kinds_get_along() {
    let kernel = SimKernel::new(7);
    let options = Options {
        deterministic: false,
        threads: 4,
        subcompactions: 3,
        write_buffer: 2 << 10,
        table_size: 1 << 10,
        ..tiny()
    };
    let db = open(&kernel, &options).expect("opens");
    thread::scope(|scope| {
        for writer in 0..3u64 {
            let db = &db;
            scope.spawn(move || {
                for n in 0..1_500u64 {
                    let key = format!("{writer}-{:04}", n % 400);
                    db.put(&buffered(), key.as_bytes(), &n.to_le_bytes()).expect("written");
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| (0..4).for_each(|_| compact(&db).expect("compacted")));
        }
    });
    let expected: Rows = (0..3u64)
        .flat_map(|writer| {
            (0..400u64).map(move |n| {
                let newest = if n < 300 { 1_200 + n } else { 800 + n };
                (format!("{writer}-{n:04}").into_bytes(), newest.to_le_bytes().to_vec())
            })
        })
        .collect();
    assert!(rows(&db) == expected, "every newest value is there");
    compact(&db).expect("compacted");
    assert!(rows(&db) == expected, "and stays");
    let db = cycle(&kernel, db, &options);
    assert!(rows(&db) == expected, "reopened");
}

#[test]
fn a_failing_compaction_is_not_tried_again_at_once() {
    let kernel = SimKernel::new(8);
    let db = open(&kernel, &manual()).expect("opens");
    for _ in 0..4 {
        fill(&db, &mut Rng::new(8), 20, 100);
        db.flush().expect("flushed");
    }
    db.close(false).expect("closes");
    drop(db);
    fail_always(&kernel, CallKind::Create, ENOSPC);
    let options = Options { deterministic: false, threads: 3, ..tiny() };
    let db = open(&kernel, &options).expect("opens");
    until("the compaction fails", || db.last_error().is_some());
    (0..20_000).for_each(|_| thread::yield_now());
    assert!(jobs(&db) < 10, "{} attempts", jobs(&db));
    kernel.clear_faults();
    // Whoever asks does not wait for the pause to pass.
    compact(&db).expect("compacted");
}

#[test]
fn a_compaction_that_failed_is_tried_again_by_itself() {
    let kernel = SimKernel::new(13);
    let db = open(&kernel, &manual()).expect("opens");
    for _ in 0..4 {
        fill(&db, &mut Rng::new(13), 20, 100);
        db.flush().expect("flushed");
    }
    let before = rows(&db);
    db.close(false).expect("closes");
    drop(db);
    fail_always(&kernel, CallKind::Create, ENOSPC);
    let options = Options { deterministic: false, threads: 1, ..tiny() };
    let core = open_core(&kernel, &options).expect("opens");
    let deadline = Instant::now() + PATIENCE;
    let mut work = core.work.lock();
    while work.compaction.failure.is_none() {
        let waited = core.progress.wait_until(&mut work, deadline);
        assert!(!waited.timed_out(), "the compaction fails");
    }
    kernel.clear_faults();
    // Nobody asks from here on; the first pause is a second.
    while work.compaction.failure.is_some() {
        let waited = core.progress.wait_until(&mut work, deadline);
        assert!(!waited.timed_out(), "nobody has tried it again");
    }
    drop(work);
    assert_eq!(core.keyspace.state.load().version.level(0).len(), 0, "level 0 is merged");
    core.close(false).expect("closes");
    assert!(rows(&reopen(&kernel, &manual()).expect("opens")) == before, "contents stay");
}

/// Which threads of the workers are inside a flush, and which inside a compaction or a part of one.
#[derive(Default)]
struct Busy {
    inside: Vec<(thread::ThreadId, bool)>,
    /// The most at one moment.
    flushing: usize,
    compacting: usize,
}

impl Busy {
    fn note(&mut self, event: &Event) {
        let flush = match event.kind {
            JobKind::Flush => true,
            JobKind::Compaction | JobKind::Part => false,
            JobKind::NextLog | JobKind::Seal => return,
        };
        let entry = (thread::current().id(), flush);
        if event.ended {
            let at = self.inside.iter().rposition(|inside| *inside == entry);
            self.inside.remove(at.expect("what ends has begun"));
            return;
        }
        self.inside.push(entry);
        let threads = |flush| {
            let inside = self.inside.iter().filter(|inside| inside.1 == flush);
            inside.map(|inside| inside.0).collect::<HashSet<_>>().len()
        };
        (self.flushing, self.compacting) =
            (self.flushing.max(threads(true)), self.compacting.max(threads(false)));
    }
}

/// The threads are there, another database wants eight: who has asked for one is served by one.
#[test]
fn a_database_has_one_flush_and_as_many_compactions_as_it_asked_for() {
    let _alone = ONE_GATE.lock();
    let many = Options { deterministic: false, threads: 8, ..manual() };
    let greedy = open(&SimKernel::new(14), &many).expect("opens");
    let busy: Arc<Mutex<Busy>> = Arc::default();
    let options = Options {
        threads: 1,
        subcompactions: 4,
        write_buffer: 2 << 10,
        table_size: 1 << 10,
        deterministic: false,
        ..tiny()
    };
    let noted = busy.clone();
    let db = open_watched(&SimKernel::new(15), &options, move |event| {
        if !thread::current().name().is_some_and(|name| name.starts_with("esker-")) {
            return;
        }
        noted.lock().expect("no panic under the lock").note(event);
        if !event.ended {
            // Who may run beside this one has the time to begin.
            (0..5).for_each(|_| thread::yield_now());
        }
    });
    thread::scope(|scope| {
        for writer in 0..3u64 {
            let db = &db;
            scope.spawn(move || fill(db, &mut Rng::new(writer), 1_000, 400));
        }
        scope.spawn(|| (0..4).for_each(|_| compact(&db).expect("compacted")));
    });
    db.close(false).expect("closes");
    greedy.close(false).expect("closes");
    let busy = busy.lock().expect("no panic under the lock");
    assert_eq!((busy.flushing, busy.compacting), (1, 1), "threads at one moment");
}

/// Without tasks every writer flushes what is full, and two must not flush the same memtable.
#[test]
fn a_second_flush_waits_for_the_first_also_in_calling_threads() {
    let kernel = SimKernel::new(16);
    let gate = Gate::new(JobKind::Flush, |running| running.len() == 2);
    let watched = gate.clone();
    let db = open_watched(&kernel, &manual(), move |event| watched.pass(event));
    thread::scope(|scope| {
        let first = scope.spawn(|| fill(&db, &mut Rng::new(16), 40, 100));
        assert!(gate.holds_one(), "a flush was due");
        let seq = db.latest_seq().expect("open");
        for n in 0..2 {
            let db = &db;
            scope.spawn(move || db.put(&buffered(), &key(n), b"beside").expect("written"));
        }
        // Behind its write each of the two looks for something to flush.
        until("both write", || db.latest_seq().expect("open") >= seq + 2);
        (0..200).for_each(|_| thread::yield_now());
        let (two, begun) = (gate.opened_by_itself(), !first.is_finished());
        gate.open();
        assert!(!two && begun, "a flush began beside another");
    });
}

#[test]
fn a_span_ends_also_when_its_job_panics() {
    let log = EventLog::new();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let job = log.job(JobKind::Compaction, 1, 2);
        let _part = log.part(job.event(), 1, 3);
        panic!("planned");
    }));
    assert!(ended.is_err());
    let events = log.events();
    let over = |event: &Event| Event { ended: true, ..*event };
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(events[2..], [over(&events[1]), over(&events[0])]);
}

#[test]
fn many_databases_share_few_threads() {
    let options = Options { deterministic: false, cache_bytes: 0, ..calm() };
    let kernels: Vec<_> = (0..300).map(SimKernel::new).collect();
    let databases: Vec<Db> =
        kernels.iter().map(|kernel| open(kernel, &options).expect("opens")).collect();
    for (n, db) in databases.iter().enumerate() {
        db.put(&buffered(), b"key", &n.to_le_bytes()).expect("written");
        db.flush().expect("flushed");
    }
    // One for flushes, one for clean-up; no test asks for more than eight others.
    let threads = worker::thread_count();
    assert!((3..=10).contains(&threads), "{threads} threads");
    for (n, db) in databases.iter().enumerate() {
        assert_eq!(get(db, b"key").as_deref(), Some(&n.to_le_bytes()[..]));
        db.close(false).expect("closes");
    }
}

#[test]
fn closing_waits_for_no_other_database() {
    let _alone = ONE_GATE.lock();
    let (kernel, other) = (SimKernel::new(9), SimKernel::new(10));
    let options = Options { deterministic: false, threads: 2, l0_stop: 1_000, ..tiny() };
    let gate = Gate::new(JobKind::Compaction, |_| false);
    let watched = gate.clone();
    let db = open_watched(&kernel, &options, move |event| watched.pass(event));
    for _ in 0..3 {
        fill(&db, &mut Rng::new(9), 20, 100);
        db.flush().expect("flushed");
    }
    assert!(gate.holds_one(), "a compaction was due");
    // Every thread for compactions may be held; flushes have one of their own.
    let options = Options { deterministic: false, ..manual() };
    let second = open(&other, &options).expect("opens");
    fill(&second, &mut Rng::new(10), 200, 100);
    second.flush().expect("flushed");
    second.close(false).expect("closes");
    assert!(!gate.seen.lock().expect("no panic").open, "the first one still works");
    gate.open();
    db.close(false).expect("closes");
}

#[test]
fn a_panic_in_a_task_ends_the_task_and_not_the_thread() {
    let workers = worker::Workers::join(&worker::Home::new(), 1).expect("threads start");
    // One thread serves this lane: were it gone, nobody would come for the second task.
    workers.submit(worker::Lane::Cleanup, Box::new(|| panic!("planned")));
    let done = Arc::new(AtomicBool::new(false));
    let mine = done.clone();
    workers.submit(worker::Lane::Cleanup, Box::new(move || mine.store(true, Ordering::Release)));
    until("the second task has run", || done.load(Ordering::Acquire));
    workers.leave();
}
