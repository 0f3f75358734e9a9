//! What an ordered index of a memtable must do.
//!
//! Invariants
//! 1. Insert-only: an entry is never replaced, removed or changed.
//! 2. Internal keys are unique: the same key and tag are inserted at most once.
//! 3. One writer at a time; readers at any time, without waiting for it. A reader sees every entry whose
//!    insertion happened before the read began.

use crate::error::Result;
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::sync::Arc;

/// Which index a memtable has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// crossbeam's skip list.
    SkipList,
    /// A tree of wide nodes.
    Wide,
}

/// An ordered, insert-only map from internal key to value.
pub trait MemIndex {
    /// Cursor that keeps the index alive.
    type Cursor: InternalIterator;

    /// Adds an entry. `NOMEM` leaves the index as it was.
    fn insert(&self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()>;

    /// Finds the newest entry of `key` whose tag is at most `seek_tag`.
    fn get(&self, key: &[u8], seek_tag: Tag) -> Option<(Tag, &[u8])>;

    /// Makes a cursor that stands nowhere.
    fn cursor(self: &Arc<Self>) -> Self::Cursor;

    /// Entries inserted so far.
    fn len(&self) -> u64;

    /// Whether nothing was inserted yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in use, with an estimate of the index's own share.
    fn bytes(&self) -> u64;
}
