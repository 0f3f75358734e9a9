//! When background jobs and their parts began and ended, for tests.
//!
//! Invariants
//! 1. A begun span ends, also when its job panics.
//! 2. Without the feature `internals` nothing is kept.
#![cfg_attr(not(feature = "internals"), allow(dead_code, reason = "only tests look at the log"))]

#[cfg(feature = "internals")]
use crate::sync::{Arc, Mutex};
use crate::sync::{AtomicU64, Ordering};

/// What began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    Flush,
    Compaction,
    /// One key range of a compaction.
    Part,
    /// The next log is prepared ahead.
    NextLog,
    /// Logs that take no more records are synced.
    Seal,
}

/// One entry of the log; its place in the log is its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Jobs of a database are numbered from 1; a part has its job's number.
    pub job: u64,
    pub kind: JobKind,
    pub level: u8,
    pub output_level: u8,
    /// Which of how many parts.
    pub part: usize,
    pub parts: usize,
    pub ended: bool,
}

/// Called with each event, in the thread it happens in, before that goes on.
#[cfg(feature = "internals")]
pub type Watcher = Arc<dyn Fn(&Event) + Send + Sync>;

/// Entries kept; older ones go.
#[cfg(feature = "internals")]
const KEPT: usize = 4096;

/// The log of one database.
#[derive(Default)]
pub struct EventLog {
    jobs: AtomicU64,
    #[cfg(feature = "internals")]
    kept: Mutex<std::collections::VecDeque<Event>>,
    #[cfg(feature = "internals")]
    watcher: Option<Watcher>,
}

/// Something that has begun; it ends with the value.
pub struct Span<'l> {
    log: &'l EventLog,
    event: Event,
}

impl Drop for Span<'_> {
    fn drop(&mut self) {
        self.log.record(Event { ended: true, ..self.event });
    }
}

impl Span<'_> {
    /// What began.
    pub fn event(&self) -> Event {
        self.event
    }
}

#[cfg(feature = "internals")]
thread_local! {
    static WATCHER: std::cell::RefCell<Option<Watcher>> = const { std::cell::RefCell::new(None) };
}

/// Has `watcher` called for databases that this thread opens from here on, or nobody.
#[cfg(feature = "internals")]
pub fn watch(watcher: Option<Watcher>) {
    WATCHER.with(|kept| *kept.borrow_mut() = watcher);
}

impl EventLog {
    /// The log of a database that this thread opens.
    pub fn new() -> EventLog {
        EventLog {
            #[cfg(feature = "internals")]
            watcher: WATCHER.with(|kept| kept.borrow().clone()),
            ..EventLog::default()
        }
    }

    /// Begins a job.
    pub fn job(&self, kind: JobKind, level: u8, output_level: u8) -> Span<'_> {
        let job = self.jobs.fetch_add(1, Ordering::Relaxed) + 1;
        self.begin(Event { job, kind, level, output_level, part: 0, parts: 1, ended: false })
    }

    /// Begins part `part` of `parts` of the job that began with `job`.
    pub fn part(&self, job: Event, part: usize, parts: usize) -> Span<'_> {
        self.begin(Event { kind: JobKind::Part, part, parts, ..job })
    }

    fn begin(&self, event: Event) -> Span<'_> {
        self.record(event);
        Span { log: self, event }
    }

    #[cfg(not(feature = "internals"))]
    fn record(&self, _event: Event) {}

    #[cfg(feature = "internals")]
    fn record(&self, event: Event) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(event);
        drop(kept);
        if let Some(watcher) = &self.watcher {
            watcher(&event);
        }
    }

    /// What has happened, oldest first.
    #[cfg(feature = "internals")]
    pub fn events(&self) -> Vec<Event> {
        self.kept.lock().iter().copied().collect()
    }
}
