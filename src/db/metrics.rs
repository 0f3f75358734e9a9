//! The numbers of a database as texts for programs: the Prometheus text format, and JSON.
//!
//! One table names them all; docs/METRICS.md is compared with it.
//!
//! Invariants
//! 1. Names are never changed or reused for another meaning.
//! 2. Everything printed is an ASCII name or a number, so nothing ever needs quoting.

use crate::buffer::write_text;
use crate::db::core::DbCore;
use crate::db::stats::{LevelSnapshot, StatsSnapshot};
use crate::error::{Area, Result};

/// What is told of a database at one moment.
struct Numbers {
    stats: StatsSnapshot,
    live_pins: u64,
    stopped: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    /// A counter of microseconds, told in seconds.
    Seconds,
    /// A gauge of microseconds, told in seconds.
    Age,
}

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Kind::Counter | Kind::Seconds => "counter",
            Kind::Gauge | Kind::Age => "gauge",
        }
    }

    fn number(self, value: u64) -> String {
        match self {
            Kind::Counter | Kind::Gauge => value.to_string(),
            Kind::Seconds | Kind::Age => {
                format!("{}.{:06}", value / 1_000_000, value % 1_000_000)
            }
        }
    }
}

/// One number: its name in Prometheus and in JSON, and where it comes from.
struct Metric<T> {
    name: &'static str,
    field: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&T) -> u64,
}

/// Rows of a table: Prometheus name, field of `$of`, kind, help.
macro_rules! metrics {
    ($of:ty, |$from:ident| $at:expr, { $($name:literal $field:ident $kind:ident $help:literal;)* }) => {
        &[$(Metric::<$of> {
            name: $name,
            field: stringify!($field),
            kind: Kind::$kind,
            help: $help,
            value: |$from| $at.$field,
        }),*]
    };
}

const OF_DATABASE: &[Metric<Numbers>] = metrics!(Numbers, |all| all.stats, {
    "esker_puts_total" puts Counter "Puts applied.";
    "esker_deletes_total" deletes Counter "Deletes applied.";
    "esker_gets_total" gets Counter "Point look-ups.";
    "esker_gets_found_total" gets_found Counter "Point look-ups that found a value.";
    "esker_iterators_total" iterators Counter "Iterators made.";
    "esker_user_written_bytes_total" user_bytes_written Counter "Bytes of keys and values written.";
    "esker_wal_written_bytes_total" wal_bytes Counter "Bytes appended to logs.";
    "esker_wal_syncs_total" wal_syncs Counter "Syncs of the logs.";
    "esker_flushes_total" flushes Counter "Memtables written to tables.";
    "esker_flush_written_bytes_total" flush_bytes Counter "Bytes of tables written by flushes.";
    "esker_compactions_total" compactions Counter "Compactions done.";
    "esker_compaction_read_bytes_total" compaction_bytes_read Counter "Bytes of tables read by compactions.";
    "esker_compaction_written_bytes_total" compaction_bytes_written Counter "Bytes of tables written by compactions.";
    "esker_stalls_total" stalls Counter "Times a writer stopped to wait for background work.";
    "esker_stall_seconds_total" stall_us Seconds "Time writers were stopped.";
    "esker_slowdown_seconds_total" slowdown_us Seconds "Time writers were slowed down.";
    "esker_cache_hits_total" cache_hits Counter "Blocks found in the block cache.";
    "esker_cache_misses_total" cache_misses Counter "Blocks not found in the block cache.";
    "esker_cache_bytes" cache_bytes Gauge "Bytes in the block cache.";
    "esker_memtable_bytes" memtable_bytes Gauge "Bytes of all memtables.";
    "esker_memtables_immutable" memtables_immutable Gauge "Full memtables that wait for a flush.";
    "esker_index_filter_bytes" index_filter_bytes Gauge "Bytes of indexes and filters of open tables.";
    "esker_table_bytes" table_bytes Gauge "Bytes of all tables.";
    "esker_wal_live_bytes" wal_live_bytes Gauge "Bytes in logs that are still needed.";
    "esker_compaction_debt_bytes" compaction_debt_bytes Gauge "Bytes that levels are over their targets.";
    "esker_entries_estimate" entries_estimate Gauge "About how many keys there are.";
    "esker_latest_seq" latest_seq Gauge "Sequence number of the newest visible write.";
    "esker_durable_seq" durable_seq Gauge "Writes up to this sequence number survive a power cut.";
    "esker_snapshots" snapshots Gauge "Live snapshots.";
    "esker_oldest_snapshot_seq" oldest_snapshot_seq Gauge "Sequence number of the oldest snapshot, 0 when there is none.";
    "esker_oldest_snapshot_age_seconds" oldest_snapshot_age_us Age "Age of the oldest snapshot, 0 when there is none.";
    "esker_live_iterators" live_iterators Gauge "Live iterators.";
    "esker_recovered_records_total" recovered_records Counter "Batches replayed from logs by the open.";
    "esker_recovered_dropped_bytes_total" recovered_dropped_bytes Counter "Bytes of torn log and manifest tails that the open left out.";
    "esker_errors_total" errors Counter "Errors entered into the error ring.";
});

/// What only the handle and the error ring know.
const OF_HANDLE: &[Metric<Numbers>] = &[
    Metric {
        name: "esker_live_pins",
        field: "live_pins",
        kind: Kind::Gauge,
        help: "Values lent and not given back.",
        value: |all| all.live_pins,
    },
    Metric {
        name: "esker_writes_stopped",
        field: "writes_stopped",
        kind: Kind::Gauge,
        help: "1 while an earlier error stops writes, else 0.",
        value: |all| u64::from(all.stopped),
    },
];

const OF_LEVEL: &[Metric<LevelSnapshot>] = metrics!(LevelSnapshot, |level| level, {
    "esker_level_tables" tables Gauge "Tables of a level.";
    "esker_level_bytes" bytes Gauge "Bytes of the tables of a level.";
    "esker_level_entries" entries Gauge "Entries in the tables of a level.";
    "esker_level_tombstones" tombstones Gauge "Deletes in the tables of a level.";
    "esker_level_compactions_total" compactions Counter "Compactions into a level.";
    "esker_level_read_bytes_total" read_bytes Counter "Bytes read by compactions into a level.";
    "esker_level_written_bytes_total" written_bytes Counter "Bytes written by compactions into a level.";
});

impl DbCore {
    fn numbers(&self, live_pins: u64) -> Numbers {
        let stats = self.snapshot_of_stats();
        Numbers { stats, live_pins, stopped: self.errors.is_stopped() }
    }

    /// Every number in the Prometheus text format; `NOMEM` when there is no room for it.
    pub fn metrics_text(&self, live_pins: u64) -> Result<String> {
        let all = self.numbers(live_pins);
        let mut text = String::new();
        for metric in OF_DATABASE.iter().chain(OF_HANDLE) {
            describe(&mut text, metric)?;
            let number = metric.kind.number((metric.value)(&all));
            put(&mut text, format_args!("{} {number}\n", metric.name))?;
        }
        for metric in OF_LEVEL {
            describe(&mut text, metric)?;
            for (at, level) in in_use(&all.stats) {
                let number = metric.kind.number((metric.value)(level));
                put(&mut text, format_args!("{}{{level=\"{at}\"}} {number}\n", metric.name))?;
            }
        }
        Ok(text)
    }

    /// Every number as one JSON object, under the names of `esker_stats`; `NOMEM` as above.
    pub fn stats_json(&self, live_pins: u64) -> Result<String> {
        let all = self.numbers(live_pins);
        let mut text = String::from("{");
        put_fields(&mut text, OF_DATABASE.iter().chain(OF_HANDLE), &all)?;
        put(&mut text, format_args!(",\"level\":["))?;
        for (at, level) in in_use(&all.stats) {
            put(&mut text, format_args!("{}{{", if at == 0 { "" } else { "," }))?;
            put_fields(&mut text, OF_LEVEL.iter(), level)?;
            put(&mut text, format_args!("}}"))?;
        }
        put(&mut text, format_args!("]}}\n"))?;
        Ok(text)
    }
}

fn in_use(stats: &StatsSnapshot) -> impl Iterator<Item = (usize, &LevelSnapshot)> {
    stats.level.iter().enumerate().take(stats.levels as usize)
}

fn put_fields<'a, T: 'a>(
    text: &mut String,
    metrics: impl Iterator<Item = &'a Metric<T>>,
    of: &T,
) -> Result<()> {
    for (at, metric) in metrics.enumerate() {
        let comma = if at == 0 { "" } else { "," };
        put(text, format_args!("{comma}\"{}\":{}", metric.field, (metric.value)(of)))?;
    }
    Ok(())
}

fn describe<T>(text: &mut String, metric: &Metric<T>) -> Result<()> {
    let (name, help, kind) = (metric.name, metric.help, metric.kind.text());
    put(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"))
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) -> Result<()> {
    write_text(text, what, Area::Engine)
}
