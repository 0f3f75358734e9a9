//! A cursor over one data block.
//!
//! Entries are reached by number, so every move costs the same in both directions. A key is a slice of the
//! block when the block has no common prefix; otherwise it is put together in a buffer that holds the
//! prefix once per block.
//!
//! Invariants
//! 1. No allocation per entry: the key buffer has room for the longest key of its block.
//! 2. Moves cannot fail: the block was checked as a whole.

use crate::block::format::{Block, EntryAt};
use crate::buffer;
use crate::error::{Area, Result};
use crate::key::Tag;
use crate::order::Order;
use crate::sync::Arc;

/// A cursor over a pinned block; without a block it is never valid.
#[derive(Default)]
pub struct BlockIter {
    block: Option<Arc<Block>>,
    at: usize,
    entry: EntryAt,
    key: Vec<u8>,
    prefix_len: usize,
    valid: bool,
}

impl BlockIter {
    /// Goes to another block; the cursor stands nowhere until the next move.
    pub fn set_block(&mut self, block: Arc<Block>) -> Result<()> {
        self.clear();
        self.key.clear();
        let common = block.common();
        if !common.is_empty() {
            buffer::reserve(&mut self.key, block.key_len_max(), Area::Table)?;
            self.key.extend_from_slice(common);
        }
        self.prefix_len = common.len();
        self.block = Some(block);
        Ok(())
    }

    /// Lets go of the block.
    pub fn clear(&mut self) {
        self.block = None;
        self.valid = false;
    }

    pub fn valid(&self) -> bool {
        self.valid
    }

    pub fn first(&mut self) {
        self.go(Some(0));
    }

    pub fn last(&mut self) {
        self.go(self.count().checked_sub(1));
    }

    /// Goes to the first entry at or after `(key, tag)`.
    pub fn seek(&mut self, order: &Order, key: &[u8], tag: Tag) -> Result<()> {
        let at = match &self.block {
            Some(block) => Some(block.lower_bound(order, key, tag)?),
            None => None,
        };
        self.go(at);
        Ok(())
    }

    /// Goes to the last entry before `(key, tag)`.
    #[cfg(any(test, feature = "internals"))]
    pub fn seek_before(&mut self, order: &Order, key: &[u8], tag: Tag) -> Result<()> {
        self.seek(order, key, tag)?;
        let at = if self.valid { self.at } else { self.count() };
        self.go(at.checked_sub(1));
        Ok(())
    }

    /// Requires `valid`.
    pub fn next(&mut self) {
        self.go(self.at.checked_add(1));
    }

    /// Requires `valid`.
    pub fn prev(&mut self) {
        self.go(self.at.checked_sub(1));
    }

    pub fn key(&self) -> &[u8] {
        match &self.block {
            Some(block) if self.prefix_len == 0 => block.slice(self.entry.suffix.clone()),
            _ => &self.key,
        }
    }

    pub fn tag(&self) -> Tag {
        self.entry.tag
    }

    pub fn value(&self) -> &[u8] {
        self.block.as_ref().map_or(&[], |block| block.slice(self.entry.value.clone()))
    }

    fn count(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.count())
    }

    fn go(&mut self, at: Option<usize>) {
        self.valid = false;
        if let (Some(block), Some(at)) = (&self.block, at) {
            if at < block.count() {
                self.entry = block.entry(at);
                self.at = at;
                self.valid = true;
                if self.prefix_len != 0 {
                    self.key.truncate(self.prefix_len);
                    self.key.extend_from_slice(block.slice(self.entry.suffix.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::builder::BlockBuilder;
    use crate::compress::Codec;
    use crate::key::{EntryKind, TAG_MAX, make_tag};

    fn cursor(keys: &[&str]) -> BlockIter {
        let mut builder = BlockBuilder::new(Codec::None, Order::Bytewise);
        for key in keys {
            builder.add(key.as_bytes(), make_tag(3, EntryKind::Put), key.as_bytes()).unwrap();
        }
        let mut out = Vec::new();
        builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
        let mut iter = BlockIter::default();
        iter.set_block(Arc::new(Block::parse(out, &Order::Bytewise, 1, 0).unwrap())).unwrap();
        iter
    }

    fn shown(iter: &BlockIter) -> Option<&str> {
        assert!(!iter.valid() || iter.key() == iter.value());
        iter.valid().then(|| std::str::from_utf8(iter.key()).unwrap())
    }

    #[test]
    fn moves_cover_the_block_in_both_directions() {
        for keys in [&["a", "b", "bc"][..], &["pre", "pre1", "pre2"], &["only"]] {
            let mut iter = cursor(keys);
            assert_eq!(shown(&iter), None);
            iter.first();
            for key in keys {
                assert_eq!(shown(&iter), Some(*key));
                iter.next();
            }
            assert_eq!(shown(&iter), None);
            iter.last();
            for key in keys.iter().rev() {
                assert_eq!(shown(&iter), Some(*key));
                iter.prev();
            }
            assert_eq!(shown(&iter), None);
        }
    }

    #[test]
    fn seeks_land_around_the_target() {
        let mut iter = cursor(&["pre1", "pre3", "pre3x", "pre5"]);
        for (target, at_or_after, before) in [
            ("", Some("pre1"), None),
            ("pre", Some("pre1"), None),
            ("pre3", Some("pre3"), Some("pre1")),
            ("pre3a", Some("pre3x"), Some("pre3")),
            ("pre6", None, Some("pre5")),
            ("q", None, Some("pre5")),
            ("a", Some("pre1"), None),
        ] {
            iter.seek(&Order::Bytewise, target.as_bytes(), TAG_MAX).unwrap();
            assert_eq!(shown(&iter), at_or_after, "seek {target:?}");
            iter.seek_before(&Order::Bytewise, target.as_bytes(), TAG_MAX).unwrap();
            assert_eq!(shown(&iter), before, "seek_before {target:?}");
        }
        iter.seek_before(&Order::Bytewise, b"pre3", 0).unwrap();
        assert_eq!(shown(&iter), Some("pre3"), "tag 0 counts the key's own versions");
    }
}
