//! A cursor over one table: an index position over a block cursor.
//!
//! Invariants
//! 1. At most one data block is pinned.
//! 2. After an error the cursor is not valid until the next seek.

use crate::block::iter::BlockIter;
use crate::error::{Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::sync::{Arc, Mutex};
use crate::table::ahead::Ahead;
use crate::table::reader::{Access, TableReader};

/// A cursor over an open table.
pub struct TableIter {
    reader: Arc<TableReader>,
    access: Access,
    /// Number of the block in `block`; `None` when it has none.
    at: Option<usize>,
    block: BlockIter,
    ahead: Ahead,
    /// Where blocks that cannot be read are told; without it they are errors of the cursor.
    passed_over: Option<Arc<Mutex<Vec<Error>>>>,
}

impl TableReader {
    /// A cursor over the table, which it keeps open.
    pub fn iter(reader: Arc<TableReader>, access: Access) -> TableIter {
        TableIter::new(reader, access)
    }
}

impl TableIter {
    pub fn new(reader: Arc<TableReader>, access: Access) -> TableIter {
        let (block, ahead) = (BlockIter::default(), Ahead::default());
        TableIter { reader, access, at: None, block, ahead, passed_over: None }
    }

    /// Going forward passes over blocks that cannot be read, and tells them there.
    pub fn passing_over(mut self, told: Arc<Mutex<Vec<Error>>>) -> TableIter {
        self.passed_over = Some(told);
        self
    }

    /// Pins block `at`; false when there is no such block.
    fn enter(&mut self, at: usize) -> Result<bool> {
        if self.at == Some(at) {
            return Ok(true);
        }
        self.at = None;
        self.block.clear();
        if at >= self.reader.index().count() {
            return Ok(false);
        }
        match (self.reader.block_ahead(at, self.access, &mut self.ahead), &self.passed_over) {
            (Ok(block), _) => self.block.set_block(block)?,
            (Err(error), Some(told)) if error.kind() != ErrorKind::NoMem => told.lock().push(error),
            (Err(error), _) => return Err(error),
        }
        self.at = Some(at);
        Ok(true)
    }

    /// Goes to the first entry at or after `(key, tag)`, or behind the last entry of a block whose successor
    /// has only entries after it, or nowhere behind the last block.
    fn search(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        let mut at = self.reader.index().find(key)?;
        while self.enter(at)? {
            self.block.seek(self.reader.order(), key, tag)?;
            // Versions of one key may fill several blocks.
            if self.block.valid() || !self.reader.index().continues(at) {
                break;
            }
            at = at.saturating_add(1);
        }
        Ok(())
    }

    /// From a position behind the pinned block's last entry to the next block's first.
    fn roll_forward(&mut self) -> Result<()> {
        while let (false, Some(at)) = (self.block.valid(), self.at) {
            if self.enter(at.saturating_add(1))? {
                self.block.first();
            }
        }
        Ok(())
    }

    /// From a position before the pinned block's first entry to the block before it, at its last.
    fn roll_back(&mut self) -> Result<()> {
        while let (false, Some(at)) = (self.block.valid(), self.at) {
            match at.checked_sub(1) {
                Some(before) => {
                    self.enter(before)?;
                    self.block.last();
                }
                None => {
                    self.at = None;
                    self.block.clear();
                }
            }
        }
        Ok(())
    }
}

impl InternalIterator for TableIter {
    fn valid(&self) -> bool {
        self.block.valid()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.enter(0)?;
        self.block.first();
        self.roll_forward()
    }

    fn seek_to_last(&mut self) -> Result<()> {
        let last = self.reader.index().count().saturating_sub(1);
        self.enter(last)?;
        self.block.last();
        Ok(())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.search(key, tag)?;
        self.roll_forward()
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.search(key, tag)?;
        if self.block.valid() {
            self.block.prev();
        } else if self.at.is_some() {
            self.block.last();
        } else {
            return self.seek_to_last();
        }
        self.roll_back()
    }

    fn next(&mut self) -> Result<()> {
        self.block.next();
        self.roll_forward()
    }

    fn prev(&mut self) -> Result<()> {
        self.block.prev();
        self.roll_back()
    }

    fn key(&self) -> &[u8] {
        self.block.key()
    }

    fn tag(&self) -> Tag {
        self.block.tag()
    }

    fn value(&self) -> &[u8] {
        self.block.value()
    }
}
