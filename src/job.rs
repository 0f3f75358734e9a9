//! What background jobs have in common: what they are given, what they return, how they write tables.
//!
//! A job gets a [`JobContext`] and returns an [`Outcome`]; it knows neither the engine nor how an edit is
//! installed. [`Outputs`] cuts a sorted stream of entries into tables.
//!
//! Invariants
//! 1. An outcome is returned only when its tables are synced, their names are durable and each was opened
//!    again like any reader will.
//! 2. Tables of one job are disjoint: a cut never separates two entries of one user key.
//! 3. Outputs without an outcome leave no file behind; one that cannot be removed at once is handed to the
//!    cleanup thread.
//! 4. What a job read is what its inputs say they hold, what it wrote is what its outputs say they hold,
//!    and read = written + dropped. Otherwise there is no outcome but `CORRUPT`.

use crate::checks::CHECKS;
use crate::compress::Codec;
use crate::env::api::{Dir, Fs};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::Tag;
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::retire::RetireList;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::table::builder::TableBuilder;
use crate::table::handle::{TableCache, TableHandle};
use crate::table::meta::{TableMeta, TableOptions};
use crate::types::{FileNum, KeyspaceId};
use crate::version::edit::VersionEdit;
use crate::version::set::FileNumbers;

/// What a job may use.
#[derive(Clone)]
pub struct JobContext {
    pub fs: Fs,
    pub dir: Arc<Dir>,
    pub tables: Arc<TableCache>,
    pub numbers: FileNumbers,
    /// By level, at least one; the last counts for all deeper levels.
    pub table_options: Vec<TableOptions>,
    /// Bytes at which an output is closed and the next one begun.
    pub table_size: u64,
    pub retire: Arc<RetireList>,
}

impl JobContext {
    /// The order of the keys.
    pub fn order(&self) -> &Order {
        self.tables.order()
    }

    fn options(&self, level: u8) -> &TableOptions {
        let last = self.table_options.last();
        let options = self.table_options.get(usize::from(level)).or(last);
        options.expect("the engine gives options for level 0 at least")
    }
}

/// Entries that went through a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub entries_in: u64,
    pub entries_out: u64,
    pub entries_dropped: u64,
}

/// What a job did: the change to the tree, not yet installed, and figures.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub edit: VersionEdit,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub entries_in: u64,
    pub entries_out: u64,
    pub entries_dropped: u64,
}

/// `CANCELLED` once `cancel` is set.
pub fn check_cancel(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) {
        return Err(Error::new(ErrorKind::Cancelled, Area::Engine, "background job cancelled"));
    }
    Ok(())
}

/// Writes a sorted stream of entries to tables of one level. Dropped without `finish`, it removes what it
/// wrote.
pub struct Outputs<'c> {
    ctx: &'c JobContext,
    keyspace: KeyspaceId,
    level: u8,
    open: Option<TableBuilder>,
    cut: bool,
    bottom: bool,
    /// Every file made, in order; emptied when they have an outcome.
    created: Vec<FileNum>,
    /// Of the directory, before the first was made.
    failed_syncs: u64,
    finished: Vec<Arc<TableMeta>>,
}

impl<'c> Outputs<'c> {
    pub fn new(ctx: &'c JobContext, keyspace: KeyspaceId, level: u8) -> Outputs<'c> {
        Outputs {
            ctx,
            keyspace,
            level,
            open: None,
            cut: false,
            bottom: false,
            created: Vec::new(),
            failed_syncs: ctx.dir.failed_syncs(),
            finished: Vec::new(),
        }
    }

    /// Says that no deeper level holds tables: only then a codec is used.
    pub fn at_bottom(mut self, bottom: bool) -> Outputs<'c> {
        self.bottom = bottom;
        self
    }

    /// Closes the table in work before the next new user key.
    pub fn cut(&mut self) {
        self.cut = self.open.is_some();
    }

    /// Bytes of the table in work so far, roughly.
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, TableBuilder::size_estimate)
    }

    /// Adds an entry; entries come in internal order.
    pub fn add(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        if let Some(builder) = &self.open {
            let full = self.cut || builder.size_estimate() >= self.ctx.table_size;
            if full && !self.ctx.order().same(builder.last_key(), key) {
                self.close()?;
            }
        }
        let builder = match &mut self.open {
            Some(builder) => builder,
            None => {
                let builder = self.create()?;
                self.open.insert(builder)
            }
        };
        builder.add(key, tag, value)
    }

    fn create(&mut self) -> Result<TableBuilder> {
        let number = self.ctx.numbers.next();
        let file = self.ctx.dir.create(&FileKind::Table(number).name(), Area::Table)?;
        self.created.push(number);
        let mut options = self.ctx.options(self.level).clone();
        if !self.bottom {
            options.codec = Codec::None;
        }
        let table_id = self.ctx.fs.random_id();
        let created_unix = self.ctx.fs.unix_seconds();
        Ok(TableBuilder::new(file, number, table_id, &options, created_unix))
    }

    /// Completes the table in work and opens it again.
    fn close(&mut self) -> Result<()> {
        self.cut = false;
        let Some(builder) = self.open.take() else {
            return Ok(());
        };
        let entries = builder.entries();
        let meta = builder.finish()?;
        if meta.entries != entries {
            let message =
                format!("table {} holds {} of {entries} entries", meta.file, meta.entries);
            return Err(mismatch(self.ctx, message).with_file(meta.file.0));
        }
        // The same way every reader goes: whatever would stop one stops the job instead.
        let handle = TableHandle::new(meta, Some(self.ctx.retire.clone()));
        self.ctx.tables.reader(&handle)?;
        self.finished.push(Arc::clone(&handle.meta));
        Ok(())
    }

    /// Completes the last table, makes all names durable and checks the job's `counts` against
    /// `entries`, which is what the inputs say they hold. The outcome's edit adds the tables.
    pub fn finish(self, what: &str, entries: u64, counts: Counts) -> Result<Outcome> {
        check_read(self.ctx, what, entries, counts.entries_in)?;
        self.finish_part(what, counts)
    }

    /// The same for one of several parts: what all of them read together the caller checks.
    pub fn finish_part(mut self, what: &str, counts: Counts) -> Result<Outcome> {
        self.close()?;
        check_written(self.ctx, what, counts, &self.finished)?;
        if !self.created.is_empty() && !planted::is(Planted::NameNotSynced) {
            self.ctx.dir.sync_since(self.failed_syncs)?;
        }
        self.created.clear();
        let metas = std::mem::take(&mut self.finished);
        let bytes_written = metas.iter().fold(0, |sum: u64, meta| sum.saturating_add(meta.size));
        let added = metas.into_iter().map(|meta| (self.keyspace, self.level, meta));
        Ok(Outcome {
            edit: VersionEdit { tables_added: added.collect(), ..VersionEdit::default() },
            bytes_read: 0,
            bytes_written,
            entries_in: counts.entries_in,
            entries_out: counts.entries_out,
            entries_dropped: counts.entries_dropped,
        })
    }
}

impl Drop for Outputs<'_> {
    fn drop(&mut self) {
        // Closes the file before its name goes.
        self.open = None;
        self.created.drain(..).for_each(|number| remove(self.ctx, number));
    }
}

/// Removes a table that a failed job made.
fn remove(ctx: &JobContext, number: FileNum) {
    if ctx.dir.unlink(&FileKind::Table(number).name()).is_err() {
        // The job's own error is the one to report; the cleanup thread tries again.
        ctx.retire.obsolete(number);
    }
}

/// Removes the tables of an outcome that will not be installed.
pub fn discard(ctx: &JobContext, outcome: &Outcome) {
    outcome.edit.tables_added.iter().for_each(|(_, _, meta)| remove(ctx, meta.file));
}

/// `CORRUPT`; where a caller's order may have led a job astray, `COMPARATOR`.
fn mismatch(ctx: &JobContext, message: String) -> Error {
    ctx.order().blame(Error::new(ErrorKind::Corrupt, Area::Engine, message))
}

/// What was read must be what the inputs say they hold.
pub fn check_read(ctx: &JobContext, what: &str, entries: u64, entries_in: u64) -> Result<()> {
    if CHECKS && entries_in != entries {
        return Err(mismatch(ctx, format!("{what} read {entries_in} of {entries} entries")));
    }
    Ok(())
}

fn check_written(
    ctx: &JobContext,
    what: &str,
    counts: Counts,
    outputs: &[Arc<TableMeta>],
) -> Result<()> {
    let Counts { entries_in, entries_out, entries_dropped } = counts;
    let written = outputs.iter().fold(0, |sum: u64, meta| sum.saturating_add(meta.entries));
    let wrong = written != entries_out || entries_in != entries_out.saturating_add(entries_dropped);
    if CHECKS && wrong {
        let message = format!(
            "{what} read {entries_in} entries, kept {entries_out}, dropped {entries_dropped}, \
             wrote {written}"
        );
        return Err(mismatch(ctx, message));
    }
    Ok(())
}
