//! Numbers and texts about a database.

use crate::buffer::write_text;
use crate::compaction::picker;
use crate::db::core::DbCore;
use crate::db::stats::{LevelSnapshot, StatsSnapshot};
use crate::error::{Area, Result};
use crate::options::table::OPTION_TABLE;
use crate::sync::Ordering;

impl DbCore {
    /// Every number of the database at this moment; not exact while other threads work.
    pub fn snapshot_of_stats(&self) -> StatsSnapshot {
        let state = self.keyspace.state.load();
        let stats = &self.stats;
        let (cache_hits, cache_misses, cache_bytes) = self.blocks.stats();
        let (snapshots, oldest_snapshot_seq, since) = self.snapshots.summary();
        let age = if snapshots == 0 { 0 } else { self.fs.now_micros().saturating_sub(since) };
        let memtables = || std::iter::once(&state.active).chain(&state.frozen);
        let mut out = StatsSnapshot {
            levels: state.version.levels() as u32,
            puts: stats.puts.get(),
            deletes: stats.deletes.get(),
            gets: stats.gets.get(),
            gets_found: stats.gets_found.get(),
            iterators: stats.iterators.get(),
            user_bytes_written: stats.user_bytes_written.get(),
            wal_bytes: stats.wal_bytes.get(),
            wal_syncs: stats.wal_syncs.get(),
            flushes: stats.flushes.get(),
            flush_bytes: stats.flush_bytes.get(),
            compactions: stats.compactions.get(),
            compaction_bytes_read: stats.compaction_bytes_read.get(),
            compaction_bytes_written: stats.compaction_bytes_written.get(),
            stalls: stats.stalls.get(),
            stall_us: stats.stall_us.get(),
            slowdown_us: stats.slowdown_us.get(),
            cache_hits,
            cache_misses,
            cache_bytes,
            memtable_bytes: memtables().map(|m| m.bytes()).sum(),
            memtables_immutable: state.frozen.len() as u64,
            index_filter_bytes: self.tables.resident_bytes(),
            wal_live_bytes: self.log_sync.live_bytes(),
            compaction_debt_bytes: picker::debt(&state.version, &self.limits),
            entries_estimate: memtables().map(|m| m.len()).sum(),
            latest_seq: self.visible(),
            durable_seq: self.durable(),
            snapshots,
            oldest_snapshot_seq,
            oldest_snapshot_age_us: age,
            live_iterators: self.iterators.load(Ordering::Relaxed) as u64,
            recovered_records: stats.recovered_records.get(),
            recovered_dropped_bytes: stats.recovered_dropped_bytes.get(),
            errors: self.errors.count(),
            ..StatsSnapshot::default()
        };
        for (number, level) in out.level.iter_mut().enumerate().take(state.version.levels()) {
            let tables = state.version.level(number);
            let counters = &stats.levels[number];
            *level = LevelSnapshot {
                tables: tables.len() as u64,
                bytes: tables.iter().map(|t| t.meta.size).sum(),
                entries: tables.iter().map(|t| t.meta.entries).sum(),
                tombstones: tables.iter().map(|t| t.meta.deletes).sum(),
                compactions: counters.compactions.get(),
                read_bytes: counters.read_bytes.get(),
                written_bytes: counters.written_bytes.get(),
            };
        }
        out.table_bytes = out.level.iter().map(|l| l.bytes).sum();
        let in_tables: u64 = out.level.iter().map(|l| l.entries.saturating_sub(l.tombstones)).sum();
        out.entries_estimate += in_tables;
        out
    }

    /// A named text, or `None` for an unknown name; `NOMEM` when there is no room for the text: that of the tables
    /// holds two keys of each.
    pub fn property(&self, name: &str) -> Result<Option<String>> {
        let mut text = String::new();
        match name {
            "version" => text.push_str(env!("CARGO_PKG_VERSION")),
            "levels" => self.levels_text(&mut text)?,
            "tables" => self.tables_text(&mut text)?,
            "options" => self.options_text(&mut text)?,
            "stats" => self.stats_text(&mut text)?,
            "memtables" => self.memtables_text(&mut text)?,
            #[cfg(feature = "forced_panic")]
            "test.panic" => panic!("asked for by a test"),
            _ => return Ok(None),
        }
        Ok(Some(text))
    }

    fn levels_text(&self, text: &mut String) -> Result<()> {
        let stats = self.snapshot_of_stats();
        put_line(text, format_args!("level  tables        bytes    entries    deletes"))?;
        for (number, level) in stats.level.iter().enumerate().take(stats.levels as usize) {
            if level.tables > 0 {
                put_line(
                    text,
                    format_args!(
                        "{number:>5} {:>7} {:>12} {:>10} {:>10}",
                        level.tables, level.bytes, level.entries, level.tombstones
                    ),
                )?;
            }
        }
        Ok(())
    }

    fn tables_text(&self, text: &mut String) -> Result<()> {
        let version = self.keyspace.state.load().version.clone();
        put_line(text, format_args!("level       table        bytes    entries  keys"))?;
        for level in 0..version.levels() {
            for table in version.level(level) {
                let meta = &table.meta;
                put_line(
                    text,
                    format_args!(
                        "{level:>5}  {} {:>12} {:>10}  {} .. {}",
                        meta.file,
                        meta.size,
                        meta.entries,
                        meta.smallest.escape_ascii(),
                        meta.largest.escape_ascii()
                    ),
                )?;
            }
        }
        Ok(())
    }

    fn stats_text(&self, text: &mut String) -> Result<()> {
        put_line(text, format_args!("{:#?}", self.snapshot_of_stats()))?;
        let stats = &self.stats;
        let (probes, rejects) = self.blocks.filter_stats();
        let manifest = self.manifest.lock().manifest_number().map_or(0, |number| number.0);
        for (name, value) in [
            ("compaction_entries_read", stats.compaction_entries_read.get()),
            ("compaction_entries_kept", stats.compaction_entries_kept.get()),
            ("compaction_entries_dropped", stats.compaction_entries_dropped.get()),
            ("stalls_ended", stats.stalls_ended.get()),
            ("stalls_memtables", stats.stalls_memtables.get()),
            ("stalls_level0_bytes", stats.stalls_level0_bytes.get()),
            ("stalls_level0_flushes", stats.stalls_level0_flushes.get()),
            ("slowdowns", stats.slowdowns.get()),
            ("slowdowns_ended", stats.slowdowns_ended.get()),
            ("filter_probes", probes),
            ("filter_rejects", rejects),
            ("open_tables", self.tables.open_tables() as u64),
            ("logs", stats.logs.get()),
            ("logs_ahead", stats.logs_ahead.get()),
            ("logs_recycled", stats.logs_recycled.get()),
            ("manifest", manifest),
        ] {
            put_line(text, format_args!("{name}: {value}"))?;
        }
        Ok(())
    }

    fn memtables_text(&self, text: &mut String) -> Result<()> {
        let state = self.keyspace.state.load();
        put_line(text, format_args!("memtable        bytes    entries    deletes"))?;
        let named = std::iter::once(("active", &state.active));
        for (name, memtable) in named.chain(state.frozen.iter().map(|m| ("frozen", m))) {
            let (bytes, entries, deletes) = (memtable.bytes(), memtable.len(), memtable.deletes());
            put_line(text, format_args!("{name:<8} {bytes:>12} {entries:>10} {deletes:>10}"))?;
        }
        Ok(())
    }

    fn options_text(&self, text: &mut String) -> Result<()> {
        for option in OPTION_TABLE {
            let value = self.options.get_text(option.id).unwrap_or_default();
            put_line(text, format_args!("{}={value}", option.name_text()))?;
        }
        Ok(())
    }
}

fn put_line(text: &mut String, line: std::fmt::Arguments<'_>) -> Result<()> {
    write_text(text, format_args!("{line}\n"), Area::Engine)
}
