//! An immutable picture of one keyspace's tables: what a reader, an iterator and the picker look at.
//!
//! A picture is never changed; `apply` makes the next one and shares every level an edit does not touch.
//! It does no I/O. A reader that holds a picture keeps every table of it alive.
//!
//! Invariants
//! 1. Level 0 is ordered newest first (largest sequence number, then file number); its tables may overlap.
//! 2. Every deeper level is sorted by smallest key and its tables are disjoint; checked at every `apply`. In
//!    the order of a caller also: no table's smallest key is above its largest.
//! 3. A table that an edit moves from one level to another keeps its handle, hence its open reader.

use crate::error::{Area, Error, Result};
use crate::order::{Order, sort_few};
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::table::meta::TableMeta;
use crate::types::{FileNum, KeyspaceId};
use crate::version::edit::VersionEdit;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// The tables of one level.
type Level = Arc<[Arc<TableHandle>]>;

/// The tables of one keyspace, level by level.
#[derive(Clone)]
pub struct Version {
    order: Order,
    levels: Vec<Level>,
    bytes: Vec<u64>,
}

fn corrupt(message: String) -> Error {
    Error::corrupt(Area::Manifest, 0, 0, message)
}

/// Whether a table shares a key with `lo..=hi`; `None` is unbounded.
fn overlaps(order: &Order, meta: &TableMeta, lo: Option<&[u8]>, hi: Option<&[u8]>) -> bool {
    lo.is_none_or(|lo| order.compare(&meta.largest, lo).is_ge())
        && hi.is_none_or(|hi| order.compare(&meta.smallest, hi).is_le())
}

fn level_bytes(level: &Level) -> u64 {
    level.iter().fold(0, |sum, table| sum.saturating_add(table.meta.size))
}

impl Version {
    /// A picture without tables; keys are in `order`.
    pub fn empty(levels: usize, order: Order) -> Version {
        let none: Level = Vec::new().into();
        Version { order, levels: vec![none; levels], bytes: vec![0; levels] }
    }

    /// The order of the keys.
    pub fn order(&self) -> &Order {
        &self.order
    }

    pub fn levels(&self) -> usize {
        self.levels.len()
    }

    /// The tables of level `n`: newest first in level 0, sorted and disjoint below. Empty past the last.
    pub fn level(&self, n: usize) -> &[Arc<TableHandle>] {
        self.levels.get(n).map_or(&[], |level| level)
    }

    /// The same tables, shared: a level cursor holds on to them without a copy.
    pub fn level_shared(&self, n: usize) -> Arc<[Arc<TableHandle>]> {
        self.levels.get(n).map_or_else(|| Vec::new().into(), Arc::clone)
    }

    /// Bytes of the table files of level `n`.
    pub fn level_bytes(&self, n: usize) -> u64 {
        self.bytes.get(n).copied().unwrap_or(0)
    }

    /// The one table of level `n >= 1` that can hold `key`.
    pub fn find(&self, n: usize, key: &[u8]) -> Option<&Arc<TableHandle>> {
        debug_assert!(n > 0, "level 0 has no order by key");
        let level = self.level(n);
        let order = &self.order;
        let at = level.partition_point(|table| order.compare(&table.meta.largest, key).is_lt());
        level.get(at).filter(|table| order.compare(&table.meta.smallest, key).is_le())
    }

    /// The first table of level `n >= 1` that reaches beyond `key`.
    pub fn beyond(&self, n: usize, key: &[u8]) -> Option<&Arc<TableHandle>> {
        let (level, order) = (self.level(n), &self.order);
        let at = level.partition_point(|table| order.compare(&table.meta.largest, key).is_le());
        level.get(at)
    }

    /// The tables of level `n` that share a key with `lo..=hi`, in the level's order.
    pub fn overlapping(
        &self,
        n: usize,
        lo: Option<&[u8]>,
        hi: Option<&[u8]>,
    ) -> Vec<Arc<TableHandle>> {
        let inside = |table: &&Arc<TableHandle>| overlaps(&self.order, &table.meta, lo, hi);
        self.candidates(n, lo).filter(inside).cloned().collect()
    }

    /// The tables of level `n` from the first that can reach `lo`.
    fn candidates(&self, n: usize, lo: Option<&[u8]>) -> impl Iterator<Item = &Arc<TableHandle>> {
        let (level, order) = (self.level(n), &self.order);
        let below = |lo: &[u8], meta: &TableMeta| order.compare(&meta.largest, lo).is_lt();
        let skip = match lo {
            Some(lo) if n > 0 => level.partition_point(|table| below(lo, &table.meta)),
            _ => 0,
        };
        level.iter().skip(skip)
    }

    /// The deepest level that holds a table, 0 when none does.
    #[cfg(any(test, feature = "internals"))]
    pub fn deepest(&self) -> usize {
        self.levels.iter().rposition(|level| !level.is_empty()).unwrap_or(0)
    }

    /// Whether no level below `n` holds a table that shares a key with `lo..=hi`.
    pub fn is_bottom(&self, n: usize, lo: Option<&[u8]>, hi: Option<&[u8]>) -> bool {
        let below = n.saturating_add(1)..self.levels();
        below.into_iter().all(|deeper| {
            // In a sorted level the first table that reaches `lo` decides.
            let first = self.candidates(deeper, lo).next();
            first.is_none_or(|table| !overlaps(&self.order, &table.meta, lo, hi))
        })
    }

    /// Every table.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableHandle>> {
        self.levels.iter().flat_map(|level| level.iter())
    }

    /// The picture after the part of `edit` that concerns keyspace `ks`. `CORRUPT`, naming the tables,
    /// when the edit drops what is not there, adds what is, or makes tables of a deeper level overlap;
    /// `COMPARATOR` where that last may be the fault of a caller's order.
    pub fn apply(
        &self,
        edit: &VersionEdit,
        ks: KeyspaceId,
        make: &dyn Fn(Arc<TableMeta>) -> Arc<TableHandle>,
    ) -> Result<Version> {
        let mut next = self.clone();
        let dropped = next.drop_tables(edit, ks)?;
        let mut changed: Vec<Vec<Arc<TableHandle>>> = vec![Vec::new(); next.levels()];
        for (_, level, meta) in edit.tables_added.iter().filter(|added| added.0 == ks) {
            let slot = changed.get_mut(usize::from(*level)).ok_or_else(|| {
                corrupt(format!("new table {} goes to level {level}, which is none", meta.file))
            })?;
            if self.order.compare(&meta.smallest, &meta.largest).is_gt() {
                let message = format!("smallest key of table {} is above its largest", meta.file);
                return Err(self.order.blame(corrupt(message)));
            }
            let moved = dropped.iter().find(|table| table.meta == *meta);
            slot.push(moved.map_or_else(|| make(meta.clone()), Arc::clone));
        }
        for (n, added) in changed.into_iter().enumerate() {
            if !added.is_empty() {
                next.add_tables(n, added)?;
            }
        }
        next.check_unique(edit, ks)?;
        Ok(next)
    }

    fn set_level(&mut self, n: usize, tables: Vec<Arc<TableHandle>>) {
        let level: Level = tables.into();
        if let (Some(bytes), Some(slot)) = (self.bytes.get_mut(n), self.levels.get_mut(n)) {
            *bytes = level_bytes(&level);
            *slot = level;
        }
    }

    /// Takes away what the edit drops and returns it.
    fn drop_tables(&mut self, edit: &VersionEdit, ks: KeyspaceId) -> Result<Vec<Arc<TableHandle>>> {
        let mut dropped = Vec::new();
        for (_, level, file) in edit.tables_dropped.iter().filter(|gone| gone.0 == ks) {
            if usize::from(*level) >= self.levels() {
                return Err(corrupt(format!(
                    "dropped table {file} is in level {level}, which is none"
                )));
            }
        }
        for n in 0..self.levels() {
            let mut files: Vec<FileNum> = edit
                .tables_dropped
                .iter()
                .filter(|(id, level, _)| *id == ks && usize::from(*level) == n)
                .map(|&(_, _, file)| file)
                .collect();
            if files.is_empty() {
                continue;
            }
            sort_few(&mut files, |a, b| a <= b);
            let is_dropped =
                |table: &Arc<TableHandle>| files.binary_search(&table.meta.file).is_ok();
            let (gone, kept): (Vec<_>, Vec<_>) =
                self.level(n).iter().cloned().partition(is_dropped);
            let missing =
                files.iter().find(|file| !gone.iter().any(|table| table.meta.file == **file));
            if let Some(file) = missing {
                return Err(corrupt(format!("dropped table {file} is not in level {n}")));
            }
            dropped.extend(gone);
            self.set_level(n, kept);
        }
        Ok(dropped)
    }

    fn add_tables(&mut self, n: usize, added: Vec<Arc<TableHandle>>) -> Result<()> {
        let mut tables = self.level(n).to_vec();
        tables.extend(added);
        if n == 0 {
            let age = |table: &Arc<TableHandle>| Reverse((table.meta.max_seq, table.meta.file));
            sort_few(&mut tables, |a, b| age(a) <= age(b));
        } else {
            self.order.sort_by_key(&mut tables, |table| &table.meta.smallest);
            for pair in tables.windows(2) {
                let [left, right] = pair else { continue };
                if self.order.compare(&left.meta.largest, &right.meta.smallest).is_ge() {
                    let (left, right) = (left.meta.file, right.meta.file);
                    let message = format!("tables {left} and {right} overlap in level {n}");
                    return Err(self.order.blame(corrupt(message)));
                }
            }
        }
        self.set_level(n, tables);
        Ok(())
    }

    /// Refuses an edit that adds a table that is there already.
    fn check_unique(&self, edit: &VersionEdit, ks: KeyspaceId) -> Result<()> {
        let ours = edit.tables_added.iter().filter(|added| added.0 == ks);
        let mut added = BTreeSet::new();
        added.extend(ours.map(|(_, _, meta)| meta.file));
        let mut seen = BTreeSet::new();
        for file in self.tables().map(|table| table.meta.file).filter(|file| added.contains(file)) {
            if !seen.insert(file) {
                return Err(corrupt(format!("new table {file} is there already")));
            }
        }
        Ok(())
    }
}
