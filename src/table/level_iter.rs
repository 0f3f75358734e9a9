//! A cursor over tables that follow one another without overlap: a level below 0.
//!
//! Invariants
//! 1. A table is opened only when the cursor enters it, and at most one is held.
//! 2. After an error the cursor is not valid until the next seek.

use crate::error::Result;
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::sync::Arc;
use crate::table::handle::{TableCache, TableHandle};
use crate::table::iter::TableIter;
use crate::table::reader::{Access, TableReader};

/// A cursor over the tables of a level.
pub struct LevelIter {
    tables: Arc<[Arc<TableHandle>]>,
    cache: Arc<TableCache>,
    access: Access,
    /// The table the cursor is in, by number.
    entered: Option<(usize, TableIter)>,
}

impl LevelIter {
    /// `tables` ascend by key and are disjoint.
    pub fn new(
        tables: impl Into<Arc<[Arc<TableHandle>]>>,
        cache: Arc<TableCache>,
        access: Access,
    ) -> LevelIter {
        LevelIter { tables: tables.into(), cache, access, entered: None }
    }

    /// The cursor of table `at`, positioned by `place`; leaves the level when there is no such table.
    fn enter(
        &mut self,
        at: Option<usize>,
        place: impl FnOnce(&mut TableIter) -> Result<()>,
    ) -> Result<()> {
        let inside = self.entered.take().filter(|(entered, _)| Some(*entered) == at);
        let Some((at, table)) = at.and_then(|at| Some((at, self.tables.get(at)?))) else {
            return Ok(());
        };
        let mut iter = match inside {
            Some((_, iter)) => iter,
            None => TableReader::iter(self.cache.reader(table)?, self.access),
        };
        place(&mut iter)?;
        self.entered = Some((at, iter));
        Ok(())
    }

    /// From behind a table's last entry to the next table's first.
    fn roll_forward(&mut self) -> Result<()> {
        while let Some((at, iter)) = &self.entered {
            if iter.valid() {
                break;
            }
            let next = at.checked_add(1);
            self.enter(next, |iter| iter.seek_to_first())?;
        }
        Ok(())
    }

    /// From before a table's first entry to the last of the table before it.
    fn roll_back(&mut self) -> Result<()> {
        while let Some((at, iter)) = &self.entered {
            if iter.valid() {
                break;
            }
            let before = at.checked_sub(1);
            self.enter(before, |iter| iter.seek_to_last())?;
        }
        Ok(())
    }

    /// First table whose largest key is at least `key`.
    fn find(&self, key: &[u8]) -> usize {
        let order = self.cache.order();
        self.tables.partition_point(|table| order.compare(&table.meta.largest, key).is_lt())
    }

    /// Moves the entered cursor; after an error it is left.
    fn step(&mut self, step: impl FnOnce(&mut TableIter) -> Result<()>) -> Result<()> {
        let moved = match &mut self.entered {
            Some((_, iter)) => step(iter),
            None => Ok(()),
        };
        if moved.is_err() {
            self.entered = None;
        }
        moved
    }
}

impl InternalIterator for LevelIter {
    fn valid(&self) -> bool {
        self.entered.as_ref().is_some_and(|(_, iter)| iter.valid())
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.enter(Some(0), |iter| iter.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.enter(self.tables.len().checked_sub(1), |iter| iter.seek_to_last())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.enter(Some(self.find(key)), |iter| iter.seek(key, tag))?;
        self.roll_forward()
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        let at = self.find(key);
        match self.tables.get(at) {
            // The table may begin at or before the key.
            Some(table) if self.cache.order().compare(&table.meta.smallest, key).is_le() => {
                self.enter(Some(at), |iter| iter.seek_before(key, tag))?;
                self.roll_back()
            }
            _ => self.enter(at.checked_sub(1), |iter| iter.seek_to_last()),
        }
    }

    fn next(&mut self) -> Result<()> {
        self.step(|iter| iter.next())?;
        self.roll_forward()
    }

    fn prev(&mut self) -> Result<()> {
        self.step(|iter| iter.prev())?;
        self.roll_back()
    }

    fn key(&self) -> &[u8] {
        self.entered.as_ref().map_or(&[], |(_, iter)| iter.key())
    }

    fn tag(&self) -> Tag {
        self.entered.as_ref().map_or(0, |(_, iter)| iter.tag())
    }

    fn value(&self) -> &[u8] {
        self.entered.as_ref().map_or(&[], |(_, iter)| iter.value())
    }
}
