//! Looks a table over for damage: its identity, every byte, every entry.
//!
//! Reads around the caches of the database, so that what is on the disk is what is judged.
//!
//! Invariants
//! 1. A damaged block does not hide what is wrong with the others.
//! 2. Of each block the first thing wrong with its entries is told, not every one that follows from it.

use crate::block::iter::BlockIter;
use crate::buffer::{copy, refill};
use crate::env::api::{Dir, File};
use crate::env::path::FileKind;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::hash::hash64;
use crate::key::{EntryKind, Tag, tag_kind, tag_seq};
use crate::order::Order;
use crate::sync::Arc;
use crate::table::cache::BlockCache;
use crate::table::handle::TableHandle;
use crate::table::meta::TableMeta;
use crate::table::reader::{Access, TableReader};
use crate::types::SeqNo;

/// What a check has to say while it goes on.
pub enum Step {
    /// So many more bytes were looked at.
    Read(u64),
    Found(Error),
}

/// How a check tells; an error ends it.
pub type Tell<'a> = &'a mut dyn FnMut(Step) -> Result<()>;

/// Whether the file is there, has its size and its footer, and is the one that the manifest names.
pub fn check_identity(dir: &Dir, meta: &TableMeta) -> Result<()> {
    TableReader::identify(&open(dir, meta)?, meta)
}

/// Reads every byte of a table; with `entries` also looks at each entry, at the index and at the filter.
/// The error is what makes the table unreadable as a whole.
pub fn check_table(
    dir: &Dir,
    order: &Order,
    meta: &TableMeta,
    entries: bool,
    tell: Tell<'_>,
) -> Result<Result<()>> {
    let cache = BlockCache::new(0);
    let opened = open(dir, meta).and_then(|file| TableReader::open(file, order, meta, cache));
    let reader = match opened {
        Ok(reader) => reader,
        Err(error) => return Ok(Err(error)),
    };
    tell(Step::Read(meta.size.saturating_sub(reader.index().data_len())))?;
    let mut seen = Seen::new(&reader, meta, entries);
    for at in 0..reader.index().count() {
        let (start, end) = reader.index().block_range(at);
        let found = match reader.block(at, Access::Around) {
            Ok(block) if entries => {
                let mut iter = BlockIter::default();
                iter.set_block(block).and_then(|()| seen.take(at, iter))
            }
            Ok(_) => Ok(()),
            Err(error) => {
                seen.whole = false;
                Err(error)
            }
        };
        if let Err(error) = found {
            tell(Step::Found(error))?;
        }
        tell(Step::Read(end.saturating_sub(start)))?;
    }
    if let Err(error) = seen.end() {
        tell(Step::Found(error))?;
    }
    Ok(Ok(()))
}

fn open(dir: &Dir, meta: &TableMeta) -> Result<File> {
    dir.open_read(&FileKind::Table(meta.file).name(), Area::Table).map_err(|error| {
        let missing = error.kind() == ErrorKind::Missing;
        // The manifest names it, so its absence is damage.
        let error = if missing { error.with_kind(ErrorKind::Corrupt) } else { error };
        error.with_file(meta.file.0)
    })
}

/// What is wrong with an entry, if anything is.
type Looked = std::result::Result<(), &'static str>;

/// What the entries so far amount to.
struct Seen<'t> {
    reader: &'t TableReader,
    meta: &'t TableMeta,
    /// Every block so far was read and its entries looked at to the end.
    whole: bool,
    last: Option<(Vec<u8>, Tag)>,
    first: Option<Vec<u8>>,
    entries: u64,
    deletes: u64,
    seqs: Option<(SeqNo, SeqNo)>,
}

impl<'t> Seen<'t> {
    fn new(reader: &'t TableReader, meta: &'t TableMeta, whole: bool) -> Seen<'t> {
        let (last, first, seqs) = (None, None, None);
        Seen { reader, meta, whole, last, first, entries: 0, deletes: 0, seqs }
    }

    fn corrupt(&self, offset: u64, what: &str) -> Error {
        let message = format!("table {}: {what}", self.meta.file);
        Error::corrupt(Area::Table, self.meta.file.0, offset, message)
    }

    /// Looks at the entries of block `at`.
    fn take(&mut self, at: usize, mut iter: BlockIter) -> Result<()> {
        let (offset, _) = self.reader.index().block_range(at);
        iter.first();
        let looked = loop {
            if !iter.valid() {
                break Ok(());
            }
            match self.take_entry(at, iter.key(), iter.tag()) {
                Ok(Ok(())) => {}
                Ok(Err(what)) => break Err(self.corrupt(offset, what)),
                Err(error) => break Err(error),
            }
            iter.next();
        };
        self.whole &= looked.is_ok();
        looked
    }

    /// Inside: what is wrong with the entry. Outside: why it could not be looked at.
    fn take_entry(&mut self, at: usize, key: &[u8], tag: Tag) -> Result<Looked> {
        let (order, index) = (self.reader.order(), self.reader.index());
        let Some(kind) = tag_kind(tag) else { return Ok(Err("an entry of an unknown kind")) };
        if let Some((last_key, last_tag)) = &mut self.last {
            if order.compare_internal(last_key, *last_tag, key, tag).is_ge() {
                return Ok(Err("entries are not in order"));
            }
            refill(last_key, key, Area::Table)?;
            *last_tag = tag;
        } else {
            self.first = Some(copy(key, Area::Table)?);
            self.last = Some((copy(key, Area::Table)?, tag));
        }
        let from = index.find(key)?;
        if from > at || !(from..at).all(|block| index.continues(block)) {
            return Ok(Err("the index does not lead to an entry"));
        }
        if !self.reader.may_contain(key, hash64(key, 0)) {
            return Ok(Err("the filter denies a key that is there"));
        }
        let seq = tag_seq(tag);
        let (min, max) = self.seqs.unwrap_or((seq, seq));
        self.seqs = Some((min.min(seq), max.max(seq)));
        self.entries = self.entries.saturating_add(1);
        self.deletes = self.deletes.saturating_add(u64::from(kind == EntryKind::Delete));
        Ok(Ok(()))
    }

    /// Compares the whole with what the manifest says, unless part of it could not be looked at.
    fn end(self) -> Result<()> {
        let meta = self.meta;
        if !self.whole {
            return Ok(());
        }
        let last = self.last.as_ref().map(|(key, _)| key.as_slice());
        let what = if (self.entries, self.deletes) != (meta.entries, meta.deletes) {
            "the numbers of entries or deletes are not those of the manifest"
        } else if self.seqs != Some((meta.min_seq, meta.max_seq)) {
            "the sequence numbers are not in the range that the manifest says"
        } else if (self.first.as_deref(), last) != (Some(&*meta.smallest), Some(&*meta.largest)) {
            "the first and last key are not those of the manifest"
        } else {
            return Ok(());
        };
        Err(self.corrupt(0, what))
    }
}

/// What is wrong with the tables of one level below the first: they must be sorted and disjoint.
pub fn check_disjoint(
    order: &Order,
    level: usize,
    tables: &[&TableMeta],
    tell: Tell<'_>,
) -> Result<()> {
    for pair in tables.windows(2) {
        let [before, after] = pair else { continue };
        if order.compare(&before.largest, &after.smallest).is_ge() {
            let message = format!(
                "tables {} and {} of level {level} overlap or are out of order",
                before.file, after.file
            );
            tell(Step::Found(Error::corrupt(Area::Manifest, after.file.0, 0, message)))?;
        }
    }
    Ok(())
}

/// The metas of handles, for `check_disjoint`.
pub fn metas(tables: &[Arc<TableHandle>]) -> Vec<&TableMeta> {
    tables.iter().map(|table| &*table.meta).collect()
}
