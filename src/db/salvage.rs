//! Reads what can be read of a damaged database, which nobody has open, into a new one.
//!
//! With a manifest that verifies, its tables and logs are read, and of the logs what recovery would count; when
//! that is damaged, every record that verifies. Without one: all tables and logs by their names. Then older versions
//! and deleted rows may come back, because a compaction forgets sequence numbers and deletes of the last level.
//!
//! Invariants
//! 1. Nothing is written into the old directory but its lock file.
//! 2. Every row was written once: blocks and records count only when their checksums hold, tables and logs only
//!    when they are those of the manifest, if there is one.
//! 3. Of each key the entry with the largest sequence number counts; a delete hides the older ones.
//! 4. An error takes the new database away again.

use crate::batch::{BatchReader, check};
use crate::buffer::refill;
use crate::db::close::destroy;
use crate::db::core::DbCore;
use crate::db::iter::Source;
use crate::db::open::{self, DEFAULT_KEYSPACE, Listing, OpenFlags, log_facts};
use crate::db::verify::{Watch, lock_closed, order_of};
use crate::db::write::WriteParams;
use crate::env::api::{Dir, Fs};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::iter::merge::MergingIter;
use crate::key::{EntryKind, make_tag, tag_kind};
use crate::memtable::table::MemTable;
use crate::options::{Durability, Options};
use crate::order::Order;
use crate::record::format::RecordKind;
use crate::record::reader::Record;
use crate::sync::{Arc, Mutex};
use crate::table::reader::{Access, TableReader};
use crate::types::{FileNum, RecoveryMode, SeqNo, TableId};
use crate::version::manifest;
use crate::version::state::ManifestState;
use crate::wal::recover;
use crate::wal::scan::read_anyway;
use std::collections::BTreeSet;

/// Entries between two looks at progress and damage.
const STRIDE: u64 = 256;

/// What was read and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    pub tables: u64,
    pub tables_lost: u64,
    pub blocks: u64,
    pub blocks_lost: u64,
    pub logs: u64,
    pub logs_lost: u64,
    pub records: u64,
    /// Damaged places in logs that records follow.
    pub log_gaps: u64,
    /// Rows of the new database.
    pub rows: u64,
}

/// A log to be read: its number, its salt if known, where what counts of it ends.
type WantedLog = (FileNum, Option<u32>, u64);

/// A salvage under way.
struct Salvage<'a, 'w> {
    dir: &'a Dir,
    order: Order,
    watch: Watch<'w>,
    out: &'a mut Salvaged,
    /// Blocks that cursors had to pass over.
    passed_over: Arc<Mutex<Vec<Error>>>,
    sources: Vec<Source>,
    done: u64,
    total: u64,
}

/// Reads the database in `path` into a new one in `new_path`, which must be absent or empty. What is damaged is
/// reported and no error.
pub fn salvage(
    fs: &Fs,
    path: &[u8],
    options: &Options,
    new_path: &[u8],
    watch: Watch<'_>,
    out: &mut Salvaged,
) -> Result<()> {
    let dir = fs.open_dir(path, options.file_mode)?;
    let _lock = lock_closed(&dir)?;
    let mut work = Salvage {
        dir: &dir,
        order: options.order(),
        watch,
        out,
        passed_over: Arc::default(),
        sources: Vec::new(),
        done: 0,
        total: 0,
    };
    work.collect(&Listing::read(&dir)?, options)?;
    let mut options = options.clone();
    options.recovery = RecoveryMode::Default;
    if options.order().name() != work.order.name() {
        options.comparator_custom = None;
        options.comparator = work.order.clone();
    }
    let flags = OpenFlags { create: true, exclusive: true, ..OpenFlags::default() };
    let target = open::open(fs, new_path, &options, flags)?;
    let written = work.write_rows(&target);
    // Closing flushes, so it belongs to the work.
    let closed = target.close(true);
    drop(target);
    let Err(error) = written.and(closed) else { return Ok(()) };
    Err(match destroy(fs, new_path) {
        Ok(()) => error,
        Err(second) => error.context(&format!("(and {second})")),
    })
}

impl Salvage<'_, '_> {
    fn report(&mut self, error: &Error) -> Result<()> {
        match error.kind() {
            ErrorKind::NoMem => Err(error.clone()),
            _ if (self.watch.report)(error) => Ok(()),
            _ => Err(cancelled()),
        }
    }

    /// Finds the tables and logs that count and opens what can be opened.
    fn collect(&mut self, listing: &Listing, options: &Options) -> Result<()> {
        let state = match manifest::load(self.dir, &listing.names) {
            Ok(Some(loaded)) => Some(loaded.state),
            Ok(None) => None,
            Err(error) => {
                self.report(&error)?;
                None
            }
        };
        let (mut logs, mut flushed) = (Vec::new(), 0);
        match &state {
            Some(state) => {
                self.order = order_of(state, options)?;
                logs = self.logs_of(state, listing)?;
                flushed = state.keyspaces.get(&DEFAULT_KEYSPACE).map_or(0, |k| k.flushed);
            }
            None => listing.logs().for_each(|log| logs.push((log, None, u64::MAX))),
        }
        self.add_logs(&logs, flushed, options)?;
        let Some(state) = &state else {
            // Of equal entries the one in the newest table comes first.
            let mut found = BTreeSet::new();
            // To collect into the set would sort first, which is kilobytes of code.
            found.extend(listing.tables());
            return found.iter().rev().try_for_each(|file| self.add_table(*file, None));
        };
        state.tables().try_for_each(|(_, _, meta)| self.add_table(meta.file, Some(meta.table_id)))
    }

    /// The logs that the manifest lists: what recovery counts, or all of them when that is damaged.
    fn logs_of(&mut self, state: &ManifestState, listing: &Listing) -> Result<Vec<WantedLog>> {
        let facts = log_facts(state, listing);
        let mut logs = Vec::new();
        match recover::decide(self.dir, &facts) {
            Ok(recovered) => {
                for tail in &recovered.counted {
                    logs.push((tail.number, Some(tail.salt), tail.len));
                }
            }
            Err(error) => {
                self.report(&error)?;
                for &(log, salt) in &facts.listed {
                    logs.push((log, Some(salt), u64::MAX));
                }
            }
        }
        Ok(logs)
    }

    /// Puts what logs hold above `flushed` into memory.
    fn add_logs(&mut self, logs: &[WantedLog], flushed: SeqNo, options: &Options) -> Result<()> {
        let memtable = MemTable::new(DEFAULT_KEYSPACE, self.order.clone(), options.memtable, None);
        for &(log, salt, limit) in logs {
            let mut damaged = None;
            let read = read_anyway(self.dir, log, salt, limit, &mut |record| match add_record(
                &memtable, flushed, record,
            ) {
                Err(error) if error.kind() == ErrorKind::NoMem => Err(error),
                Err(error) => {
                    damaged = Some(error.with_file(log.0));
                    Ok(())
                }
                Ok(()) => Ok(()),
            });
            match read {
                Ok(read) => {
                    self.out.logs += 1;
                    self.out.records += read.records;
                    self.out.log_gaps += read.gaps;
                }
                Err(error) => {
                    self.out.logs_lost += 1;
                    damaged = Some(error);
                }
            }
            if let Some(error) = damaged {
                self.report(&error)?;
            }
        }
        self.total += memtable.len();
        self.sources.push(Source::Memory(memtable.iter()));
        Ok(())
    }

    fn add_table(&mut self, number: FileNum, id: Option<TableId>) -> Result<()> {
        let file = self.dir.open_read(&FileKind::Table(number).name(), Area::Table);
        match file.and_then(|file| TableReader::open_alone(file, &self.order, number, id)) {
            Ok((reader, entries)) => {
                self.out.tables += 1;
                self.out.blocks += reader.index().count() as u64;
                self.total = self.total.saturating_add(entries);
                let iter = TableReader::iter(Arc::new(reader), Access::Around);
                let iter = iter.passing_over(self.passed_over.clone());
                self.sources.push(Source::Table(iter));
                Ok(())
            }
            Err(error) => {
                self.out.tables_lost += 1;
                self.report(&error)
            }
        }
    }

    /// Writes the newest version of every key, if it is no delete.
    fn write_rows(&mut self, target: &DbCore) -> Result<()> {
        let params =
            WriteParams { durability: Some(Durability::Unlogged), ..WriteParams::default() };
        let mut merged = MergingIter::new(std::mem::take(&mut self.sources), self.order.clone());
        let mut last: Option<Vec<u8>> = None;
        merged.seek_to_first()?;
        while merged.valid() {
            let (key, newest) = (merged.key(), last.as_deref());
            if newest.is_none_or(|last| !self.order.same(last, key)) {
                let last = last.get_or_insert_default();
                refill(last, key, Area::Engine)?;
                if tag_kind(merged.tag()) == Some(EntryKind::Put) {
                    target.write_one(&params, EntryKind::Put, key, merged.value())?;
                    self.out.rows += 1;
                }
            }
            merged.next()?;
            self.done += 1;
            if self.done % STRIDE == 0 {
                self.tick(self.done.min(self.total.saturating_sub(1)))?;
            }
        }
        self.tick(self.total)
    }

    /// Tells how far the work is and what it had to pass over.
    fn tick(&mut self, done: u64) -> Result<()> {
        let passed_over = std::mem::take(&mut *self.passed_over.lock());
        for error in &passed_over {
            self.out.blocks = self.out.blocks.saturating_sub(1);
            self.out.blocks_lost += 1;
            self.report(error)?;
        }
        if (self.watch.progress)(done, self.total) { Ok(()) } else { Err(cancelled()) }
    }
}

/// Takes the operations of a record that are in no table.
fn add_record(memtable: &MemTable, flushed: SeqNo, record: &Record<'_>) -> Result<()> {
    if record.kind != RecordKind::Batch {
        return Ok(());
    }
    check(record.payload, u32::MAX)?;
    let (mut reader, mut seq) = (BatchReader::new(record.payload)?, record.number);
    while let Some(op) = reader.next_op()? {
        if seq > flushed && op.keyspace == DEFAULT_KEYSPACE {
            memtable.insert(op.key, make_tag(seq, op.kind), op.value)?;
        }
        seq = seq.saturating_add(1);
    }
    Ok(())
}

fn cancelled() -> Error {
    let message = "the salvage was cancelled by its caller";
    Error::new(ErrorKind::Cancelled, Area::Callback, message)
}
