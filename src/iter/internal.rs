//! The contract of every cursor over internal keys.
//!
//! Invariants
//! 1. Entries come in internal order: user key ascending, tag descending; no two of a memtable or a table are equal.
//! 2. Key and value borrow from the cursor until its next move.
//! 3. After an error the cursor is not valid and stays so until the next seek.

use crate::error::Result;
use crate::key::Tag;

pub trait InternalIterator {
    /// Whether the cursor stands on an entry; only then may `key`, `tag` and `value` be called.
    fn valid(&self) -> bool;
    fn seek_to_first(&mut self) -> Result<()>;
    fn seek_to_last(&mut self) -> Result<()>;
    /// Goes to the first entry at or after `(key, tag)` in internal order.
    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()>;
    /// Goes to the last entry before `(key, tag)` in internal order. With tag `TAG_MAX`: the last entry
    /// of a smaller user key; with tag 0: also every version of `key` itself counts.
    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()>;
    /// Requires `valid`. Past the last entry the cursor is not valid.
    fn next(&mut self) -> Result<()>;
    /// Requires `valid`. Before the first entry the cursor is not valid.
    fn prev(&mut self) -> Result<()>;
    fn key(&self) -> &[u8];
    fn tag(&self) -> Tag;
    fn value(&self) -> &[u8];
}
