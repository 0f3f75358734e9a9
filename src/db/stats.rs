//! Counters of one database.
//!
//! Invariants
//! 1. Relaxed atomics; never read to make a decision about correctness.

use crate::sync::{AtomicU64, Ordering};
use crate::types::LEVELS_MAX;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since open.
        #[derive(Default)]
        pub struct Stats { $($(#[$doc])* pub $name: Counter,)* pub levels: [LevelCounters; LEVELS_MAX] }
    };
}

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

counters! {
    puts, deletes, gets, gets_found, iterators, user_bytes_written, wal_bytes, wal_syncs, flushes,
    flush_bytes, compactions, compaction_bytes_read, compaction_bytes_written, stalls, stall_us,
    slowdowns, slowdown_us, stalls_ended, slowdowns_ended, stalls_memtables, stalls_level0_bytes,
    stalls_level0_flushes,
    compaction_entries_read, compaction_entries_kept, compaction_entries_dropped,
    recovered_records, recovered_dropped_bytes,
    /// Logs begun, those of them that were prepared ahead, and those made of a freed log's file.
    logs, logs_ahead, logs_recycled,
}

/// Compactions into a level.
#[derive(Default)]
pub struct LevelCounters {
    pub compactions: Counter,
    pub read_bytes: Counter,
    pub written_bytes: Counter,
}

/// One level at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct LevelSnapshot {
    pub tables: u64,
    pub bytes: u64,
    pub entries: u64,
    pub tombstones: u64,
    pub compactions: u64,
    pub read_bytes: u64,
    pub written_bytes: u64,
}

/// Every number of a database at one moment; field names are those of `esker_stats`.
#[derive(Clone, Debug, Default)]
pub struct StatsSnapshot {
    pub levels: u32,
    pub puts: u64,
    pub deletes: u64,
    pub gets: u64,
    pub gets_found: u64,
    pub iterators: u64,
    pub user_bytes_written: u64,
    pub wal_bytes: u64,
    pub wal_syncs: u64,
    pub flushes: u64,
    pub flush_bytes: u64,
    pub compactions: u64,
    pub compaction_bytes_read: u64,
    pub compaction_bytes_written: u64,
    pub stalls: u64,
    pub stall_us: u64,
    pub slowdown_us: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub cache_bytes: u64,
    pub memtable_bytes: u64,
    pub memtables_immutable: u64,
    pub index_filter_bytes: u64,
    pub table_bytes: u64,
    pub wal_live_bytes: u64,
    pub compaction_debt_bytes: u64,
    pub entries_estimate: u64,
    pub latest_seq: u64,
    pub durable_seq: u64,
    pub snapshots: u64,
    pub oldest_snapshot_seq: u64,
    pub oldest_snapshot_age_us: u64,
    pub live_iterators: u64,
    pub recovered_records: u64,
    pub recovered_dropped_bytes: u64,
    pub errors: u64,
    pub level: [LevelSnapshot; LEVELS_MAX],
}
