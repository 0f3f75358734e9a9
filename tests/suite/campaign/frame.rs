//! The frame of all campaigns: which cases run, for how long, on which threads; a watchdog; what is told and recorded.
//!
//! Invariants
//! 1. A case depends on its number alone.
//! 2. The floor of a campaign is run however long it takes; a campaign that ran nothing fails.
//! 3. A case, or a step of one, that does not end ends the whole test process, with its number.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A case, or a step of one that tells its steps, that takes longer hangs.
const STEP_SECONDS_MAX: u64 = 60;
/// Failures that are shown.
const SHOWN: usize = 3;

/// Failures after which a campaign gives up: with a planted fault the first says it all.
fn failures_max() -> usize {
    if std::env::var_os("ESKER_PLANTED").is_some() { 1 } else { 10 }
}

/// What a campaign is.
pub struct Campaign {
    /// As docs/RELIABILITY.md and the table call it.
    pub name: &'static str,
    /// Cases in every `make test`, and in `make test-full`.
    pub floor: u64,
    pub full: u64,
    /// Seconds that `make test` gives it beyond its floor.
    pub slice: u64,
}

/// Where cases come from.
pub enum Cases {
    /// As many as there is time for, another set in each run.
    Endless,
    /// So many there are; a run begins anywhere and never does one twice.
    Of(u64),
}

/// What a case counted, by name.
pub type Counts = Vec<(&'static str, u64)>;

/// What a campaign did.
#[derive(Default)]
pub struct Tally {
    pub cases: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub failures: Vec<(u64, String)>,
}

impl Tally {
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

/// How much is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    One(u64),
    Slice,
    Full,
    Seconds(u64),
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

pub fn extent() -> Extent {
    if let Some(seed) = number("ESKER_SEED") {
        return Extent::One(seed);
    }
    if let Some(seconds) = number("ESKER_TIME") {
        return Extent::Seconds(seconds);
    }
    match std::env::var("ESKER_CAMPAIGN").as_deref() {
        Err(_) => Extent::Slice,
        Ok("full") => Extent::Full,
        Ok(other) => panic!("ESKER_CAMPAIGN={other}: only full is known"),
    }
}

/// The i-th of `all` in an order in which each comes once and any run of neighbours is spread over all: steps of the golden
/// section.
pub fn scattered(i: u64, all: u64) -> u64 {
    let common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = (all as f64 * 0.618_034) as u64;
    let step = (golden.max(1)..).find(|step| common(*step, all) == 1).expect("1 more at most");
    (u128::from(i) * u128::from(step) % u128::from(all)) as u64
}

#[test]
fn scattered_cases_come_once_each_and_spread() {
    for all in [1, 2, 10, 1_000, 64_162] {
        let mut seen: Vec<u64> = (0..all).map(|i| scattered(i, all)).collect();
        let parts: std::collections::BTreeSet<u64> =
            seen.iter().take(20).map(|place| place * 10 / all).collect();
        assert!(all < 100 || parts.len() == 10, "{all}: {parts:?}");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..all), "{all}");
    }
}

/// Writes a line past the test harness, which would keep it to itself.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("standard output takes a line");
}

/// The cases of one run.
struct Range {
    first: u64,
    floor: u64,
    most: u64,
    wrap: Option<u64>,
    until: Instant,
}

impl Range {
    fn plan(campaign: &Campaign, cases: &Cases, extent: Extent) -> Range {
        let fresh = RandomState::new().hash_one(std::process::id());
        let (floor, seconds, most) = match extent {
            Extent::One(_) => (1, 0, 1),
            Extent::Slice => (campaign.floor, campaign.slice, u64::MAX),
            Extent::Full => (campaign.full, 0, campaign.full),
            Extent::Seconds(seconds) => (campaign.floor, seconds, u64::MAX),
        };
        let (first, most, wrap) = match (cases, extent) {
            (_, Extent::One(seed)) => (seed, 1, None),
            // Room for as many cases as a run can have above it.
            (Cases::Endless, _) => (fresh >> 16, most, None),
            (Cases::Of(all), _) => (fresh % all, most.min(*all), Some(*all)),
        };
        let until = Instant::now() + Duration::from_secs(seconds);
        Range { first, floor: floor.min(most), most, wrap, until }
    }

    /// The case with this place in the run, while there are any.
    fn case(&self, place: u64) -> Option<u64> {
        let due = place < self.floor || Instant::now() < self.until;
        let case = self.first + place;
        (due && place < self.most).then(|| self.wrap.map_or(case, |all| case % all))
    }
}

/// What a worker is at, for the watchdog: the case, and when its last step began in milliseconds; 0 is nothing.
#[derive(Default)]
struct Post {
    case: AtomicU64,
    since: AtomicU64,
}

thread_local! {
    /// The post of the worker that this thread is, and when its watchdog began.
    static MINE: RefCell<Option<(Arc<Post>, Instant)>> = const { RefCell::new(None) };
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).expect("a run ends before the sun does") + 1
}

/// A step of a long case is over: the watchdog counts its time anew.
pub fn step() {
    MINE.with_borrow(|mine| {
        if let Some((post, began)) = mine {
            post.since.store(milliseconds(*began), Ordering::Release);
        }
    });
}

struct Watchdog {
    posts: Vec<Arc<Post>>,
    began: Instant,
    over: Mutex<bool>,
    bell: Condvar,
}

impl Watchdog {
    fn new(workers: usize) -> Watchdog {
        Watchdog {
            posts: (0..workers).map(|_| Arc::default()).collect(),
            began: Instant::now(),
            over: Mutex::new(false),
            bell: Condvar::new(),
        }
    }

    fn watch(&self, name: &str) {
        let mut over = self.over.lock().expect("nobody panics with it");
        while !*over {
            let waited = self.bell.wait_timeout(over, Duration::from_secs(1));
            over = waited.expect("nobody panics with it").0;
            for post in &self.posts {
                let since = post.since.load(Ordering::Acquire);
                if since > 0 && milliseconds(self.began) - since > STEP_SECONDS_MAX * 1000 {
                    let case = post.case.load(Ordering::Relaxed);
                    say(&format!("campaign {name}: case ESKER_SEED={case} hangs"));
                    std::process::abort();
                }
            }
        }
    }

    fn end(&self) {
        *self.over.lock().expect("nobody panics with it") = true;
        self.bell.notify_all();
    }
}

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get()).min(8)
}

/// Runs one case; a panic is a failure like any other.
pub fn attempt<T>(case: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(case)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs the cases of a campaign and tells what came of it, without judging.
pub fn survey(
    campaign: &Campaign,
    cases: &Cases,
    case: impl Fn(u64) -> Result<Counts, String> + Sync,
) -> Tally {
    let range = Range::plan(campaign, cases, extent());
    say(&format!("campaign {}: from ESKER_SEED={}", campaign.name, range.first));
    let began = Instant::now();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let tally = Mutex::new(Tally::default());
    let watchdog = Watchdog::new(workers());
    let work = |post: &Arc<Post>| {
        MINE.set(Some((post.clone(), watchdog.began)));
        while !stop.load(Ordering::Relaxed) {
            let Some(seed) = range.case(next.fetch_add(1, Ordering::Relaxed)) else { return };
            post.case.store(seed, Ordering::Relaxed);
            step();
            let result = attempt(|| case(seed));
            post.since.store(0, Ordering::Release);
            let mut tally = tally.lock().expect("nobody panics with it");
            tally.cases += 1;
            match result {
                Ok(counts) => {
                    counts
                        .into_iter()
                        .for_each(|(name, n)| *tally.counts.entry(name).or_default() += n);
                }
                Err(text) => tally.failures.push((seed, text)),
            }
            stop.fetch_or(tally.failures.len() >= failures_max(), Ordering::Relaxed);
        }
    };
    let work = &work;
    std::thread::scope(|scope| {
        let guard = scope.spawn(|| watchdog.watch(campaign.name));
        let crew: Vec<_> =
            watchdog.posts.iter().map(|post| scope.spawn(move || work(post))).collect();
        crew.into_iter().for_each(|worker| worker.join().expect("a worker catches panics"));
        watchdog.end();
        guard.join().expect("the watchdog does not panic");
    });
    let tally = tally.into_inner().expect("nobody panics with it");
    let counts: Vec<String> = tally.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let seconds = began.elapsed().as_secs();
    let (cases, bad) = (tally.cases, tally.failures.len());
    say(&format!(
        "campaign {}: {cases} cases, {}, {bad} bad; {seconds} s",
        campaign.name,
        counts.join(", ")
    ));
    super::page::record(campaign.name, range.first, &tally, seconds);
    tally
}

/// Runs a campaign; one bad case fails the test.
pub fn run(
    campaign: &Campaign,
    cases: &Cases,
    case: impl Fn(u64) -> Result<Counts, String> + Sync,
) -> Tally {
    let tally = survey(campaign, cases, case);
    assert!(tally.cases > 0, "campaign {} ran nothing", campaign.name);
    let shown = tally.failures.iter().take(SHOWN);
    let texts: Vec<String> =
        shown.map(|(seed, text)| format!("ESKER_SEED={seed}: {text}")).collect();
    assert!(
        texts.is_empty(),
        "campaign {}: {} bad:\n{}",
        campaign.name,
        tally.failures.len(),
        texts.join("\n")
    );
    tally
}
