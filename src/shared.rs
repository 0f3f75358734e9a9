//! What databases share through an env: threads, a block cache, a budget for memtables, a logger.
//!
//! A database without an env has a cache of its own, the threads of the process, no budget and no log.
//!
//! Invariants
//! 1. An env lives as long as somebody counts it: its owner, options it was set in, open databases.
//! 2. Once `set` of the logger has returned, the callback before it neither runs nor will be called again.
//! 3. What a database holds counts against the budget until the database is closed.

use crate::sync::{Arc, AtomicU8, AtomicU64, Ordering, RwLock};
use crate::table::cache::BlockCache;
use crate::worker::Home;
use std::fmt;

/// How much a line of the log matters; lower is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Error = 1,
    Warn = 2,
    Info = 3,
    Debug = 4,
}

/// Given each line of the log, from any thread.
pub type LogSink = Box<dyn Fn(LogLevel, &str) + Send + Sync>;

/// Where lines of the log go.
#[derive(Default)]
pub struct Logger {
    /// The least important level that is wanted, 0 = none; asked before a line is made.
    wanted: AtomicU8,
    /// Read-locked while a line is handed over.
    sink: RwLock<Option<LogSink>>,
}

impl Logger {
    /// Sends lines up to `level` to `sink`; `None` stops them. Waits for lines on their way.
    pub fn set(&self, level: Option<LogLevel>, sink: Option<LogSink>) {
        let mut place = self.sink.write();
        let level = if sink.is_some() { level.map_or(0, |level| level as u8) } else { 0 };
        self.wanted.store(level, Ordering::Release);
        *place = sink;
    }

    /// Makes and hands over a line if it is wanted.
    pub fn log(&self, level: LogLevel, line: impl FnOnce() -> String) {
        if self.wanted.load(Ordering::Acquire) < level as u8 {
            return;
        }
        let line = line();
        if let Some(sink) = &*self.sink.read() {
            // Wanted when it was made; the level may have changed since.
            if self.wanted.load(Ordering::Acquire) >= level as u8 {
                sink(level, &line);
            }
        }
    }
}

/// Bytes of memtables that databases may hold together.
struct Budget {
    /// 0 = no limit.
    max: u64,
    held: AtomicU64,
    databases: AtomicU64,
}

/// What one database holds of a budget.
pub struct Share {
    env: Arc<SharedEnv>,
    held: AtomicU64,
}

impl Share {
    /// Says how many bytes of memtables the database holds now.
    pub fn report(&self, bytes: u64) {
        let before = self.held.swap(bytes, Ordering::AcqRel);
        // Wraps like the two numbers do; the sum is right again once both calls are through.
        self.env.budget.held.fetch_add(bytes.wrapping_sub(before), Ordering::AcqRel);
    }

    /// Whether a database whose active memtable has so many bytes should flush it: the budget is spent, and the
    /// memtable is not one of the smaller causes of that.
    pub fn is_spent(&self, active: u64) -> bool {
        let budget = &self.env.budget;
        let databases = budget.databases.load(Ordering::Acquire).max(1);
        budget.held.load(Ordering::Acquire) > budget.max && active >= budget.max / (2 * databases)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.report(0);
        self.env.budget.databases.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One env.
pub struct SharedEnv {
    pub blocks: Arc<BlockCache>,
    pub workers: Home,
    /// Threads for compactions that the env asks for; 0 = as processors allow.
    pub threads: u64,
    pub logger: Logger,
    budget: Budget,
}

impl SharedEnv {
    /// An env without databases; its threads start with the first one.
    pub fn new(cache_bytes: u64, memtable_budget: u64, threads: u64) -> Arc<SharedEnv> {
        let (held, databases) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(SharedEnv {
            blocks: BlockCache::new(cache_bytes),
            workers: Home::new(),
            threads,
            logger: Logger::default(),
            budget: Budget { max: memtable_budget, held, databases },
        })
    }

    /// The share of a database that is being opened; `None` without a budget.
    pub fn share(self: &Arc<SharedEnv>) -> Option<Share> {
        (self.budget.max > 0).then(|| {
            self.budget.databases.fetch_add(1, Ordering::AcqRel);
            Share { env: self.clone(), held: AtomicU64::new(0) }
        })
    }
}

/// The env of an option object: equal when it is the same one.
#[derive(Clone, Default)]
pub struct EnvOption(pub Option<Arc<SharedEnv>>);

impl fmt::Debug for EnvOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for EnvOption {
    fn eq(&self, other: &EnvOption) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (one, two) => one.is_none() && two.is_none(),
        }
    }
}

impl Eq for EnvOption {}

impl EnvOption {
    /// What texts show.
    pub fn name(&self) -> &'static str {
        if self.0.is_some() { "shared" } else { "private" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Mutex;

    #[test]
    fn lines_up_to_the_level_arrive_and_none_after_the_sink_is_gone() {
        let logger = Logger::default();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = lines.clone();
        logger.log(LogLevel::Error, || panic!("nobody wants it"));
        let sink: LogSink = Box::new(move |_, line| kept.lock().push(line.to_owned()));
        logger.set(Some(LogLevel::Info), Some(sink));
        logger.log(LogLevel::Info, || "one".to_owned());
        logger.log(LogLevel::Debug, || panic!("above the level"));
        logger.set(None, None);
        logger.log(LogLevel::Error, || panic!("nobody wants it"));
        assert_eq!(*lines.lock(), ["one"]);
    }

    #[test]
    fn a_budget_counts_what_databases_hold_until_they_are_gone() {
        let env = SharedEnv::new(0, 1000, 0);
        let (one, two) = (env.share().expect("a budget"), env.share().expect("a budget"));
        one.report(600);
        two.report(400);
        assert!(!one.is_spent(600), "not above the budget yet");
        two.report(500);
        assert!(one.is_spent(600) && two.is_spent(250) && !two.is_spent(249));
        drop(one);
        assert!(!two.is_spent(500));
        drop(two);
        assert_eq!(env.budget.held.load(Ordering::Acquire), 0);
        assert!(SharedEnv::new(0, 0, 0).share().is_none());
    }
}
