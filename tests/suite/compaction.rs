//! The merging cursor, the picker on hand-made trees, what may run side by side, which entries survive, and whole jobs on the
//! simulated kernel.

#![allow(clippy::print_stdout, reason = "seeds of failing runs are shown")]

mod inflight;
mod jobs;
mod levels;
mod merge;
mod picker;
mod survivors;
mod victims;

use crate::memtable::Entry;
use esker::internals::compaction::inflight::Inflight;
use esker::internals::compaction::plan::Limits;
use esker::internals::error::{Area, Error, Result};
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{Tag, seek_tag, tag_seq};
use esker::internals::order::Order;
use esker::internals::table::handle::TableHandle;
use esker::internals::table::meta::TableMeta;
use esker::internals::types::{FileNum, KeyspaceId, SeqNo, VictimChoice};
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;

const KS: KeyspaceId = KeyspaceId(0);

/// Nothing is running.
fn none() -> Inflight {
    Inflight::default()
}

/// Limits with fixed targets, to be made smaller.
fn fixed() -> Limits {
    Limits {
        l0_trigger: 4,
        level_bytes: 10_000,
        level_ratio: 10,
        levels: 5,
        table_size: 10_000,
        dynamic: false,
        victim: VictimChoice::MinOverlap,
        seed: 0,
    }
}

/// Cursor over a sorted vector; fails when `fuse` runs out.
struct VecIter {
    entries: Vec<Entry>,
    at: Option<usize>,
    fuse: u64,
}

impl VecIter {
    fn new(entries: Vec<Entry>) -> VecIter {
        VecIter { entries, at: None, fuse: u64::MAX }
    }

    fn go(&mut self, at: Option<usize>) -> Result<()> {
        self.at = at.filter(|&at| at < self.entries.len());
        self.fuse = self.fuse.saturating_sub(1);
        if self.fuse == 0 {
            self.at = None;
            self.fuse = u64::MAX;
            return Err(Error::corrupt(Area::Table, 7, 8, "torn block"));
        }
        Ok(())
    }

    fn split(&self, key: &[u8], tag: Tag) -> usize {
        self.entries.partition_point(|(k, t, _)| (k.as_slice(), !*t) < (key, !tag))
    }

    fn entry(&self) -> &Entry {
        &self.entries[self.at.expect("valid")]
    }
}

impl InternalIterator for VecIter {
    fn valid(&self) -> bool {
        self.at.is_some()
    }
    fn seek_to_first(&mut self) -> Result<()> {
        self.go(Some(0))
    }
    fn seek_to_last(&mut self) -> Result<()> {
        self.go(self.entries.len().checked_sub(1))
    }
    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.go(Some(self.split(key, tag)))
    }
    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.go(self.split(key, tag).checked_sub(1))
    }
    fn next(&mut self) -> Result<()> {
        self.go(Some(self.at.expect("valid") + 1))
    }
    fn prev(&mut self) -> Result<()> {
        self.go(self.at.expect("valid").checked_sub(1))
    }
    fn key(&self) -> &[u8] {
        &self.entry().0
    }
    fn tag(&self) -> Tag {
        self.entry().1
    }
    fn value(&self) -> &[u8] {
        &self.entry().2
    }
}

/// Facts of a table; its sequence numbers are its file number.
fn meta(file: u64, smallest: &str, largest: &str, size: u64) -> TableMeta {
    TableMeta {
        file: FileNum(file),
        table_id: [file as u8; 16],
        size,
        footer_crc: 0,
        entries: 2,
        deletes: 0,
        range_dels: 0,
        min_seq: file,
        max_seq: file,
        global_seq: 0,
        smallest: smallest.as_bytes().to_vec(),
        largest: largest.as_bytes().to_vec(),
        bounds_flags: 0,
        oldest_tombstone: 0,
    }
}

fn apply(version: &Version, edit: &VersionEdit) -> Version {
    version.apply(edit, KS, &|meta| TableHandle::new(meta, None)).unwrap()
}

fn tree(tables: impl IntoIterator<Item = (u8, TableMeta)>) -> Version {
    let tables_added = tables.into_iter().map(|(level, meta)| (KS, level, meta.into())).collect();
    apply(
        &Version::empty(5, Order::Bytewise),
        &VersionEdit { tables_added, ..VersionEdit::default() },
    )
}

/// What a reader at `seq` finds of `key` in `entries`: the newest entry's value, if that is a put.
fn lookup(entries: &[Entry], key: &[u8], seq: SeqNo) -> Option<Vec<u8>> {
    let visible = entries.iter().filter(|(k, tag, _)| k == key && *tag <= seek_tag(seq));
    let newest = visible.max_by_key(|(_, tag, _)| tag_seq(*tag))?;
    (newest.1 & 0xff == 1).then(|| newest.2.clone())
}
