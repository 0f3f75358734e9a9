//! Builds one data block after another.
//!
//! Layout: docs/FORMAT.md, section 6.1. Keys and values are gathered as they come; the columns are laid
//! out when the block is finished, because the common prefix, the tag mode and the offset width are
//! known only then.
//!
//! Invariants
//! 1. Entries are added in strictly ascending internal order (the table builder refuses others).
//! 2. `size_with` never promises less than `finish` appends before padding; with a codec it counts the
//!    bytes before compression.

use crate::block::format::{
    BLOCK_HEADER_LEN, BLOCK_TRAILER_LEN, FLAG_FIXED_SUFFIX, FLAG_WIDE_OFFSETS, TAG_MODE_SHIFT,
    TagMode, prefix_of,
};
use crate::buffer;
use crate::checksum::crc32;
use crate::coding::{put_u32, put_u64, put_varint, varint_len};
use crate::compress::{Codec, Packer};
use crate::error::{Area, Result};
use crate::key::{EntryKind, Tag, tag_kind, tag_seq};
use crate::order::Order;
use crate::types::SEQ_MAX;

struct Pending {
    key_end: usize,
    value_end: usize,
    tag: Tag,
}

/// Gathers the entries of one data block.
#[derive(Default)]
pub struct BlockBuilder {
    keys: Vec<u8>,
    values: Vec<u8>,
    entries: Vec<Pending>,
    first_key_len: usize,
    last_key_len: usize,
    /// What all keys begin with; only looked at where the first and the last do not tell.
    shared_len: usize,
    order: Order,
    key_len_min: usize,
    key_len_max: usize,
    seq_min: u64,
    seq_max: u64,
    only_puts: bool,
    codec: Codec,
    packer: Packer,
}

/// Length of what `a` and `b` both start with.
pub fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Shape of a block: what its size depends on.
struct Shape {
    count: usize,
    lcp: usize,
    key_bytes: usize,
    value_bytes: usize,
    key_len_min: usize,
    key_len_max: usize,
    tag_mode: TagMode,
}

impl Shape {
    fn fixed(&self) -> bool {
        self.key_len_min == self.key_len_max
    }

    /// Bytes of common prefix and entries; exact unless suffixes of 128 bytes and more are mixed with
    /// shorter ones.
    fn content(&self) -> usize {
        let suffixes = self.key_bytes - self.count * self.lcp;
        let lengths = match self.fixed() {
            true => 0,
            false => self.count * varint_len((self.key_len_max - self.lcp) as u64),
        };
        self.lcp + lengths + suffixes + self.value_bytes
    }

    fn columns(&self, wide: bool) -> usize {
        let offset_width = if wide { 4 } else { 2 };
        let per_entry = 4 + self.tag_mode.width();
        BLOCK_HEADER_LEN + self.count * per_entry + (self.count + 1) * offset_width
    }

    fn wide(&self) -> bool {
        self.columns(false) + self.content() > usize::from(u16::MAX)
    }

    fn size(&self) -> usize {
        self.columns(self.wide()) + self.content() + BLOCK_TRAILER_LEN
    }
}

impl BlockBuilder {
    /// Blocks are compressed by `codec` where that saves enough; keys come in `order`.
    pub fn new(codec: Codec, order: Order) -> BlockBuilder {
        BlockBuilder { only_puts: true, codec, order, ..BlockBuilder::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Key of the newest entry; empty when there is none.
    pub fn last_key(&self) -> &[u8] {
        self.keys.get(self.keys.len() - self.last_key_len..).unwrap_or_default()
    }

    fn first_key(&self) -> &[u8] {
        self.keys.get(..self.first_key_len).unwrap_or_default()
    }

    /// Bytes of the block, trailer included and padding not, as it is.
    pub fn size(&self) -> usize {
        if self.is_empty() { 0 } else { self.shape(None).size() }
    }

    /// Bytes the block would have with one more entry.
    pub fn size_with(&self, key: &[u8], tag: Tag, value: &[u8]) -> usize {
        self.shape(Some((key, tag, value))).size()
    }

    fn shape(&self, extra: Option<(&[u8], Tag, &[u8])>) -> Shape {
        let (mut seq_min, mut seq_max, mut puts) = (self.seq_min, self.seq_max, self.only_puts);
        let mut shape = Shape {
            count: self.entries.len(),
            lcp: self.lcp_with(extra.map(|(key, ..)| key)),
            key_bytes: self.keys.len(),
            value_bytes: self.values.len(),
            key_len_min: self.key_len_min,
            key_len_max: self.key_len_max,
            tag_mode: TagMode::Full,
        };
        if let Some((key, tag, value)) = extra {
            if self.is_empty() {
                (shape.key_len_min, shape.key_len_max) = (key.len(), key.len());
                (seq_min, seq_max) = (tag_seq(tag), tag_seq(tag));
                shape.lcp = key.len();
            }
            shape.count += 1;
            shape.key_bytes += key.len();
            shape.value_bytes += value.len();
            shape.key_len_min = shape.key_len_min.min(key.len());
            shape.key_len_max = shape.key_len_max.max(key.len());
            seq_min = seq_min.min(tag_seq(tag));
            seq_max = seq_max.max(tag_seq(tag));
            puts &= tag_kind(tag) == Some(EntryKind::Put);
        }
        shape.tag_mode = match seq_max - seq_min {
            _ if puts && seq_max == 0 => TagMode::Bare,
            0..=0xff_ffff => TagMode::Delta,
            _ => TagMode::Full,
        };
        shape
    }

    /// Length of what all keys begin with, and `extra` if there is one more.
    fn lcp_with(&self, extra: Option<&[u8]>) -> usize {
        let first = self.first_key();
        if self.order.is_bytewise() {
            // Keys ascend: what the first and the last share, all share.
            return shared_len(first, extra.unwrap_or(self.last_key()));
        }
        let shared = first.get(..self.shared_len).unwrap_or_default();
        extra.map_or(shared.len(), |key| shared_len(shared, key))
    }

    /// Takes an entry; it must come after the last one.
    pub fn add(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        debug_assert!(tag_seq(tag) <= SEQ_MAX && tag_kind(tag).is_some());
        buffer::reserve(&mut self.keys, key.len(), Area::Table)?;
        buffer::reserve(&mut self.values, value.len(), Area::Table)?;
        buffer::reserve(&mut self.entries, 1, Area::Table)?;
        if self.is_empty() {
            (self.first_key_len, self.shared_len) = (key.len(), key.len());
            (self.key_len_min, self.key_len_max) = (key.len(), key.len());
            (self.seq_min, self.seq_max, self.only_puts) = (tag_seq(tag), tag_seq(tag), true);
        }
        if !self.order.is_bytewise() && !self.is_empty() {
            self.shared_len = self.lcp_with(Some(key));
        }
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value);
        self.last_key_len = key.len();
        self.key_len_min = self.key_len_min.min(key.len());
        self.key_len_max = self.key_len_max.max(key.len());
        self.seq_min = self.seq_min.min(tag_seq(tag));
        self.seq_max = self.seq_max.max(tag_seq(tag));
        self.only_puts &= tag_kind(tag) == Some(EntryKind::Put);
        let (key_end, value_end) = (self.keys.len(), self.values.len());
        self.entries.push(Pending { key_end, value_end, tag });
        Ok(())
    }

    /// Appends the block to `out` and starts the next one. `initial` is the checksum's place value;
    /// `padded` tells the final length, at least the given one and a multiple of 8.
    pub fn finish(
        &mut self,
        out: &mut Vec<u8>,
        initial: u32,
        padded: impl FnOnce(usize) -> usize,
    ) -> Result<()> {
        let shape = self.shape(None);
        let start = out.len();
        buffer::reserve(out, shape.size(), Area::Table)?;
        self.put_columns(out, &shape);
        self.put_entries(out, &shape, start);
        let codec = match self.codec {
            Codec::Lz4 if self.packer.pack(out, start)? => Codec::Lz4,
            _ => Codec::None,
        };
        let used = out.len() - start + BLOCK_TRAILER_LEN;
        let len = padded(used);
        assert!(len >= used && len % 8 == 0, "a block is padded to whole 8-byte words");
        buffer::reserve(out, start + len - out.len(), Area::Table)?;
        out.resize(start + len - BLOCK_TRAILER_LEN, 0);
        let tail = [codec as u8, 0, 0, 0];
        let body = out.get(start..).unwrap_or_default();
        let crc = crc32(crc32(initial, body), &tail);
        put_u32(out, crc);
        out.extend_from_slice(&tail);
        self.clear();
        Ok(())
    }

    fn put_columns(&self, out: &mut Vec<u8>, shape: &Shape) {
        let mut flags = (shape.tag_mode as u16) << TAG_MODE_SHIFT;
        let mut suffix_len = 0;
        if shape.fixed() {
            flags |= FLAG_FIXED_SUFFIX;
            suffix_len = shape.key_len_min - shape.lcp;
        }
        if shape.wide() {
            flags |= FLAG_WIDE_OFFSETS;
        }
        // Entries and keys are at most 65,535, which the table builder sees to.
        for field in [shape.count as u16, shape.lcp as u16, flags, suffix_len as u16] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let base_seq = if shape.tag_mode == TagMode::Delta { self.seq_min } else { 0 };
        put_u64(out, base_seq);
        for (key, ..) in self.iter() {
            let suffix = key.get(shape.lcp..).unwrap_or_default();
            put_u32(out, if self.order.is_bytewise() { prefix_of(suffix) } else { 0 });
        }
        self.put_offsets(out, shape);
        for (_, _, tag) in self.iter() {
            match shape.tag_mode {
                TagMode::Bare => {}
                // Fits: the mode was chosen because it does.
                TagMode::Delta => put_u32(out, (tag - (base_seq << 8)) as u32),
                TagMode::Full => put_u64(out, tag),
            }
        }
    }

    fn put_offsets(&self, out: &mut Vec<u8>, shape: &Shape) {
        let wide = shape.wide();
        let mut offset = shape.columns(wide) + shape.lcp;
        let mut put = |offset: usize| match wide {
            true => put_u32(out, offset as u32),
            false => out.extend_from_slice(&(offset as u16).to_le_bytes()),
        };
        put(offset);
        for (key, value, _) in self.iter() {
            let suffix_len = key.len() - shape.lcp;
            if !shape.fixed() {
                offset += varint_len(suffix_len as u64);
            }
            offset += suffix_len + value.len();
            put(offset);
        }
    }

    fn put_entries(&self, out: &mut Vec<u8>, shape: &Shape, start: usize) {
        out.extend_from_slice(self.first_key().get(..shape.lcp).unwrap_or_default());
        debug_assert_eq!(out.len() - start, shape.columns(shape.wide()) + shape.lcp);
        for (key, value, _) in self.iter() {
            let suffix = key.get(shape.lcp..).unwrap_or_default();
            if !shape.fixed() {
                put_varint(out, suffix.len() as u64);
            }
            out.extend_from_slice(suffix);
            out.extend_from_slice(value);
        }
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], Tag)> {
        let (mut key_start, mut value_start) = (0, 0);
        self.entries.iter().map(move |entry| {
            let key = self.keys.get(key_start..entry.key_end).unwrap_or_default();
            let value = self.values.get(value_start..entry.value_end).unwrap_or_default();
            (key_start, value_start) = (entry.key_end, entry.value_end);
            (key, value, entry.tag)
        })
    }

    /// Forgets the entries and keeps the memory, unless one huge block made it grow.
    fn clear(&mut self) {
        const KEEP: usize = 8 << 20;
        for buf in [&mut self.keys, &mut self.values] {
            buffer::empty(buf, KEEP);
        }
        self.entries.clear();
        (self.first_key_len, self.last_key_len) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::format::{Block, checksum_ok};
    use crate::key::make_tag;

    fn build(order: &Order, entries: &[(&[u8], Tag, &[u8])]) -> Block {
        let mut builder = BlockBuilder::new(Codec::None, order.clone());
        let mut promised = 0;
        for (key, tag, value) in entries {
            promised = builder.size_with(key, *tag, value);
            builder.add(key, *tag, value).unwrap();
            assert_eq!(promised, builder.size());
        }
        let mut out = Vec::new();
        builder.finish(&mut out, 7, |len| len.next_multiple_of(8)).unwrap();
        assert!(promised <= out.len() && out.len() < promised + 8);
        assert!(checksum_ok(&out, 7) && !checksum_ok(&out, 8));
        Block::parse(out, order, 1, 0).unwrap()
    }

    fn check(entries: &[(&[u8], Tag, &[u8])]) -> Block {
        check_in(&Order::Bytewise, entries)
    }

    fn check_in(order: &Order, entries: &[(&[u8], Tag, &[u8])]) -> Block {
        let block = build(order, entries);
        assert_eq!(block.count(), entries.len());
        for (at, (key, tag, value)) in entries.iter().enumerate() {
            let entry = block.entry(at);
            let whole = [block.common(), block.slice(entry.suffix.clone())].concat();
            assert_eq!((&whole[..], entry.tag), (*key, *tag));
            assert_eq!(block.slice(entry.value), *value);
            assert_eq!(block.lower_bound(order, key, *tag).unwrap(), at);
            assert_eq!(block.lower_bound(order, key, *tag - 1).unwrap(), at + 1);
        }
        block
    }

    #[test]
    fn every_tag_mode_round_trips() {
        let put = |seq| make_tag(seq, EntryKind::Put);
        let bare = check(&[(b"a", put(0), b"1"), (b"b", put(0), b"2")]);
        let delta = check(&[(b"a", put(0), b"1"), (b"b", make_tag(0, EntryKind::Delete), b"")]);
        let full = check(&[(b"a", put(SEQ_MAX), b"1"), (b"b", put(1), b"2")]);
        assert!(bare.charge() < delta.charge() && delta.charge() <= full.charge());
        check(&[(b"a", put(SEQ_MAX), b"1"), (b"b", put(SEQ_MAX - 0xff_ffff), b"2")]);
        check(&[(b"a", put(SEQ_MAX), b"1"), (b"b", put(SEQ_MAX - 0x100_0000), b"2")]);
    }

    #[test]
    fn keys_that_are_prefixes_of_others_round_trip() {
        let tag = make_tag(5, EntryKind::Put);
        check(&[
            (b"", tag, b""),
            (b"\0", tag, b"x"),
            (b"\0\0", tag, b""),
            (b"\0\0\0\0\0", tag, b"y"),
        ]);
        check(&[
            (b"ab", tag, b""),
            (b"ab\0", tag, b""),
            (b"abc", tag, b"z"),
            (b"ab\xff", tag, b""),
        ]);
        check(&[(b"same", tag + 256, b"new"), (b"same", tag, b"old")]);
        check(&[(b"", tag, b"")]);
    }

    #[test]
    fn large_values_and_suffixes_widen_the_columns() {
        let tag = make_tag(5, EntryKind::Put);
        let (long, value) = (vec![7; 65_535], vec![1; 70_000]);
        check(&[(b"\x01", tag, &value), (&long, tag, b"v")]);
        check(&[(&long, tag, &value)]);
    }

    #[test]
    fn other_orders_keep_what_all_keys_share() {
        let tag = make_tag(5, EntryKind::Put);
        let block = check_in(
            &Order::Reverse,
            &[
                (b"abd", tag, b"1"),
                (b"abcz", tag + 256, b"2"),
                (b"abcz", tag, b"3"),
                (b"ab", tag, b""),
            ],
        );
        assert_eq!(block.common(), b"ab");
        // The first and the last share more than the one between them does.
        let number = |n: i64| n.to_le_bytes();
        let (a, b, c) = (number(-255), number(2), number(0x0101));
        let block = check_in(&Order::I64Le, &[(&a, tag, b""), (&b, tag, b""), (&c, tag, b"")]);
        assert_eq!(block.common(), b"");
        assert_eq!(block.find(&Order::I64Le, &b, tag).unwrap().0.map(|entry| entry.tag), Some(tag));
        assert!(block.find(&Order::I64Le, &number(3), tag).unwrap().0.is_none());
        assert!(Order::I64Le.compare(&a, &c).is_lt() && a[0] == c[0]);
    }
}
