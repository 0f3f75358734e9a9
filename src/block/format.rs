//! A data block in memory: its columns, the checks it passes once, and search.
//!
//! Layout: docs/FORMAT.md, section 6.1. Keys lose the block's common prefix; the next four bytes of each
//! form a sorted column, so a search counts through u32 (`search`) and rarely looks at a key. Every entry
//! is reachable by its number, forward and backward alike. In an order that is not bytewise the column is
//! zero and a search compares whole keys.
//!
//! Invariants
//! 1. No byte of a block is used before its checksum passed.
//! 2. The bytes of a `Block` went through `parse` at least once in this process: columns and entries lie inside the
//!    bytes, keys are at most `KEY_LEN_MAX` long, kinds are known, prefixes match their keys, entries ascend strictly.
//! 3. A `Block` holds its bytes uncompressed and without the trailer.
//! 4. Accessors never panic, whatever number they are given.

use crate::checks::CHECKS;
use crate::checksum::crc32;
use crate::coding::{Decoder, u16_at, u32_at, u64_at};
use crate::compress::{Codec, Refused, unpack};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::{Tag, tag_kind};
use crate::order::{Joined, Order};
use crate::planted::{self, Planted};
use crate::search::count_below_u32;
use crate::types::{KEY_LEN_MAX, SEQ_MAX};
use std::cmp::Ordering;
use std::ops::Range;

mod sound;

pub const BLOCK_HEADER_LEN: usize = 16;
pub const BLOCK_TRAILER_LEN: usize = 8;
/// Most entries of a block: the count is a u16.
pub const BLOCK_ENTRIES_MAX: usize = 65_535;
/// Shortest possible block: one entry with an empty key.
pub const BLOCK_LEN_MIN: usize = BLOCK_HEADER_LEN + 4 + 2 * 2 + BLOCK_TRAILER_LEN;

/// Every suffix is as long as the header says; no length precedes it.
pub const FLAG_FIXED_SUFFIX: u16 = 1;
/// The offset column is u32.
pub const FLAG_WIDE_OFFSETS: u16 = 8;
/// Where the tag mode sits in the flags.
pub const TAG_MODE_SHIFT: u16 = 4;
const TAG_MODE_BITS: u16 = 3 << TAG_MODE_SHIFT;

/// How tags are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TagMode {
    /// No column: every entry is a put with sequence 0.
    Bare = 0,
    /// u32: 24 bits above `base_seq`, 8 bits of kind.
    Delta = 1,
    /// u64: the tag itself.
    Full = 2,
}

impl TagMode {
    fn from_flags(flags: u16) -> Option<TagMode> {
        match (flags & TAG_MODE_BITS) >> TAG_MODE_SHIFT {
            0 => Some(TagMode::Bare),
            1 => Some(TagMode::Delta),
            2 => Some(TagMode::Full),
            _ => None,
        }
    }

    /// Bytes of one entry in the tag column.
    pub fn width(self) -> usize {
        match self {
            TagMode::Bare => 0,
            TagMode::Delta => 4,
            TagMode::Full => 8,
        }
    }
}

/// The four bytes at the front of `suffix` as a number that orders as they do; missing ones are zero.
pub fn prefix_of(suffix: &[u8]) -> u32 {
    match suffix.first_chunk::<4>() {
        Some(four) => u32::from_be_bytes(*four),
        None => {
            let padded = suffix.iter().chain(&[0; 4]).take(4);
            padded.fold(0, |number, &byte| (number << 8) | u32::from(byte))
        }
    }
}

/// Whether the trailer's checksum matches the bytes; `initial` is the checksum's place value.
pub fn checksum_ok(bytes: &[u8], initial: u32) -> bool {
    let Some(body_len) = bytes.len().checked_sub(BLOCK_TRAILER_LEN) else { return false };
    let (body, trailer) = bytes.split_at(body_len);
    let Some((stored, tail)) = trailer.split_first_chunk::<4>() else { return false };
    if !CHECKS || planted::is(Planted::BlocksUnchecked) {
        return true;
    }
    crc32(crc32(initial, body), tail) == u32::from_le_bytes(*stored)
}

/// Where one entry's parts lie in the block, and its tag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryAt {
    /// The key without the common prefix.
    pub suffix: Range<usize>,
    pub value: Range<usize>,
    pub tag: Tag,
}

/// A checked data block.
pub struct Block {
    bytes: Vec<u8>,
    count: usize,
    tag_mode: TagMode,
    wide: bool,
    fixed_suffix: Option<usize>,
    base_tag: Tag,
    offsets_at: usize,
    tags_at: usize,
    common: Range<usize>,
}

/// What is wrong with a block, before it is known where the block came from.
enum Fault {
    Corrupt(&'static str),
    /// Two entries are not in the order of their keys.
    Disorder,
    /// Well-formed as far as can be told, but of a later format.
    Newer(&'static str),
    /// There is no memory for so many bytes.
    NoMemory(usize),
}

const DISORDER: &str = "entries are out of order";

type Checked<T> = std::result::Result<T, Fault>;

fn corrupt(what: &'static str) -> Fault {
    Fault::Corrupt(what)
}

/// Takes the trailer off, and undoes what its codec did.
fn content(mut bytes: Vec<u8>) -> Checked<Vec<u8>> {
    let end = bytes.len().checked_sub(BLOCK_TRAILER_LEN);
    let end = end.ok_or(corrupt("shorter than its trailer"))?;
    let codec = match bytes.get(end.saturating_add(4)..) {
        Some([codec, 0, 0, 0]) => Codec::from_number(*codec),
        _ => return Err(corrupt("trailer bytes are not zero")),
    };
    bytes.truncate(end);
    match codec {
        Some(Codec::None) => Ok(bytes),
        Some(Codec::Lz4) => unpack(&bytes).map_err(|refused| match refused {
            Refused::Corrupt(what) => Fault::Corrupt(what),
            Refused::NoMemory(bytes) => Fault::NoMemory(bytes),
        }),
        None => Err(Fault::Newer("an unknown codec")),
    }
}

impl Block {
    /// Checks a whole block whose checksum has passed. `file` and `offset` are for the error.
    #[cfg(any(test, feature = "internals"))]
    pub fn parse(bytes: Vec<u8>, order: &Order, file: u64, offset: u64) -> Result<Block> {
        Block::parse_again(bytes, order, file, offset, false)
    }

    /// Checks a whole block whose checksum has passed. `file` and `offset` are for the error. A block that is `known` this
    /// process has checked before: with its checksum its bytes are the same, so that only its columns are placed.
    pub fn parse_again(
        bytes: Vec<u8>,
        order: &Order,
        file: u64,
        offset: u64,
        known: bool,
    ) -> Result<Block> {
        let block = content(bytes).and_then(Block::parse_columns);
        let block = block.and_then(|block| match order.is_bytewise() {
            _ if known || !CHECKS => Ok(block),
            true if block.sound() => Ok(block),
            true => block.check_entries(),
            false => block.check_entries_in(order),
        });
        block.map_err(|fault| match fault {
            Fault::Corrupt(what) => {
                let message = format!("block at {offset} of table {file}: {what}");
                Error::corrupt(Area::Table, file, offset, message)
            }
            Fault::Disorder => {
                let message = format!("block at {offset} of table {file}: {DISORDER}");
                order.blame(Error::corrupt(Area::Table, file, offset, message))
            }
            Fault::Newer(what) => {
                let message = format!("block at {offset} of table {file} has {what}");
                let error = Error::new(ErrorKind::Format, Area::Table, message);
                error.with_file(file).with_offset(offset)
            }
            Fault::NoMemory(bytes) => Error::no_memory(Area::Table, bytes).with_file(file),
        })
    }

    /// Reads the header and places the columns.
    fn parse_columns(bytes: Vec<u8>) -> Checked<Block> {
        let mut header = Decoder::new(&bytes);
        let fields = (|| {
            let (count, lcp) = (header.take_u16()?, header.take_u16()?);
            Some((count, lcp, header.take_u16()?, header.take_u16()?, header.take_u64()?))
        })();
        let (count, lcp, flags, suffix_len, base_seq) =
            fields.ok_or(corrupt("shorter than its header"))?;
        if flags & !(FLAG_FIXED_SUFFIX | FLAG_WIDE_OFFSETS | TAG_MODE_BITS) != 0 {
            return Err(Fault::Newer("unknown flags"));
        }
        let tag_mode = TagMode::from_flags(flags).ok_or(Fault::Newer("an unknown tag mode"))?;
        let fixed = flags & FLAG_FIXED_SUFFIX != 0;
        if count == 0 {
            return Err(corrupt("no entries"));
        }
        if (!fixed && suffix_len != 0) || (tag_mode != TagMode::Delta && base_seq != 0) {
            return Err(corrupt("unused header fields are not zero"));
        }
        if base_seq > SEQ_MAX {
            return Err(corrupt("base sequence beyond 56 bits"));
        }
        let wide = flags & FLAG_WIDE_OFFSETS != 0;
        let count = usize::from(count);
        // At most 65,536 entries of at most 16 bytes: no overflow.
        let offsets_at = BLOCK_HEADER_LEN + 4 * count;
        let tags_at = offsets_at + (count + 1) * if wide { 4 } else { 2 };
        let common_at = tags_at + count * tag_mode.width();
        let common = common_at..common_at + usize::from(lcp);
        if common.end > bytes.len() {
            return Err(corrupt("columns pass its end"));
        }
        Ok(Block {
            bytes,
            count,
            tag_mode,
            wide,
            fixed_suffix: fixed.then_some(usize::from(suffix_len)),
            base_tag: base_seq << 8,
            offsets_at,
            tags_at,
            common,
        })
    }

    /// Checks every entry, in one pass, and says what is wrong.
    fn check_entries(self) -> Checked<Block> {
        if self.offset(0) != self.common.end {
            return Err(corrupt("first entry is not behind the common prefix"));
        }
        let mut last: Option<(u32, EntryAt)> = None;
        for at in 0..self.count {
            let entry = self.checked_entry(at)?;
            let prefix = self.prefix(at);
            if prefix != prefix_of(self.slice(entry.suffix.clone())) {
                return Err(corrupt("a prefix does not match its key"));
            }
            if let Some((last_prefix, last)) = &last {
                let order = last_prefix.cmp(&prefix).then_with(|| {
                    let keys =
                        self.slice(last.suffix.clone()).cmp(self.slice(entry.suffix.clone()));
                    keys.then_with(|| entry.tag.cmp(&last.tag))
                });
                if order != Ordering::Less {
                    return Err(Fault::Disorder);
                }
            }
            last = Some((prefix, entry));
        }
        Ok(self)
    }

    /// The same for an order in which the bytes of a key say nothing.
    fn check_entries_in(self, order: &Order) -> Checked<Block> {
        if self.offset(0) != self.common.end {
            return Err(corrupt("first entry is not behind the common prefix"));
        }
        let joined = || self.joined().map_err(|_| Fault::NoMemory(self.key_len_max()));
        let (mut last_key, mut this_key) = (joined()?, joined()?);
        let mut last: Option<EntryAt> = None;
        for at in 0..self.count {
            let entry = self.checked_entry(at)?;
            if self.prefix(at) != 0 {
                return Err(corrupt("a prefix is not zero"));
            }
            if let Some(last) = last {
                let before = last_key.with(self.slice(last.suffix));
                let key = this_key.with(self.slice(entry.suffix.clone()));
                if order.compare_internal(before, last.tag, key, entry.tag) != Ordering::Less {
                    return Err(Fault::Disorder);
                }
            }
            last = Some(entry);
        }
        Ok(self)
    }

    /// An entry whose parts are inside the block; entries before it are checked.
    #[inline]
    fn checked_entry(&self, at: usize) -> Checked<EntryAt> {
        let (from, to) = (self.offset(at), self.offset(at.saturating_add(1)));
        if from > to || to > self.bytes.len() {
            return Err(corrupt("entry offsets do not ascend inside the block"));
        }
        let suffix = self.split_suffix(from, to).ok_or(corrupt("a key passes its entry"))?;
        if self.common.len().saturating_add(suffix.len()) > KEY_LEN_MAX {
            return Err(corrupt("a key is longer than any key may be"));
        }
        Ok(EntryAt { value: suffix.end..to, suffix, tag: self.checked_tag(at)? })
    }

    /// For the block's keys one after the other.
    fn joined(&self) -> Result<Joined> {
        Joined::new(self.common(), self.key_len_max())
    }

    /// No key of the block is longer.
    pub fn key_len_max(&self) -> usize {
        self.bytes.len().min(KEY_LEN_MAX)
    }

    fn checked_tag(&self, at: usize) -> Checked<Tag> {
        if self.tag_mode == TagMode::Delta {
            let column = u64::from(self.tag_column_u32(at));
            if self.base_tag.checked_add(column).is_none() {
                return Err(corrupt("a sequence is beyond 56 bits"));
            }
        }
        let tag = self.tag(at);
        match (tag_kind(tag), tag as u8) {
            (Some(_), _) => Ok(tag),
            (None, 3..=7) => Err(Fault::Newer("entries of a kind this version does not know")),
            (None, _) => Err(corrupt("an entry has an impossible kind")),
        }
    }

    /// Number of entries, at least 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        self.bytes.capacity().saturating_add(size_of::<Block>())
    }

    /// Bytes that every key of the block starts with.
    pub fn common(&self) -> &[u8] {
        self.slice(self.common.clone())
    }

    /// Bytes of the block; empty when the range is not inside.
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// The parts of entry `at`; empty ones past the last.
    pub fn entry(&self, at: usize) -> EntryAt {
        if at >= self.count {
            return EntryAt::default();
        }
        let (from, to) = (self.offset(at), self.offset(at.saturating_add(1)));
        let suffix = self.split_suffix(from, to).unwrap_or_default();
        EntryAt { value: suffix.end..to, suffix, tag: self.tag(at) }
    }

    /// Number of the first entry at or after `(key, tag)`; the count when there is none.
    #[inline]
    pub fn lower_bound(&self, order: &Order, key: &[u8], tag: Tag) -> Result<usize> {
        if order.is_bytewise() {
            return Ok(self.lower_bound_by_bytes(key, tag));
        }
        let mut joined = self.joined()?;
        Ok(partition(0..self.count, |at| {
            let entry = self.entry(at);
            let other = joined.with(self.slice(entry.suffix));
            order.compare_internal(other, entry.tag, key, tag) == Ordering::Less
        }))
    }

    fn lower_bound_by_bytes(&self, key: &[u8], tag: Tag) -> usize {
        let common = self.common();
        let Some(suffix) = key.strip_prefix(common) else {
            // Every key of the block is on the same side of a key that lacks the common prefix.
            return if key < common { 0 } else { self.count };
        };
        let wanted = prefix_of(suffix);
        let column = self.slice(BLOCK_HEADER_LEN..self.offsets_at);
        let first = count_below_u32(column, wanted);
        if first >= self.count || self.prefix(first) != wanted {
            return first;
        }
        let end = match first.saturating_add(1) {
            // The usual case: no other key shares the prefix.
            next if next >= self.count || self.prefix(next) != wanted => next,
            next => partition(next..self.count, |at| self.prefix(at) == wanted),
        };
        partition(first..end, |at| {
            let entry = self.entry(at);
            let keys = self.slice(entry.suffix).cmp(suffix);
            keys.then_with(|| tag.cmp(&entry.tag)) == Ordering::Less
        })
    }

    /// The newest entry of `key` whose tag is at most `tag`, and whether the search ran off the block's
    /// end, so that an entry may be in the next one.
    pub fn find(&self, order: &Order, key: &[u8], tag: Tag) -> Result<(Option<EntryAt>, bool)> {
        let at = self.lower_bound(order, key, tag)?;
        if at >= self.count {
            return Ok((None, true));
        }
        let entry = self.entry(at);
        let suffix = self.slice(entry.suffix.clone());
        let same = match order.exact() {
            // At an entry not below (key, tag), a key without the common prefix differs in that prefix.
            true => key.strip_prefix(self.common()) == Some(suffix),
            false => order.same(self.joined()?.with(suffix), key),
        };
        Ok((same.then_some(entry), false))
    }

    fn prefix(&self, at: usize) -> u32 {
        u32_at(&self.bytes, BLOCK_HEADER_LEN.saturating_add(at.saturating_mul(4))).unwrap_or(0)
    }

    fn offset(&self, at: usize) -> usize {
        if self.wide {
            let place = self.offsets_at.saturating_add(at.saturating_mul(4));
            u32_at(&self.bytes, place).unwrap_or(0) as usize
        } else {
            let place = self.offsets_at.saturating_add(at.saturating_mul(2));
            usize::from(u16_at(&self.bytes, place).unwrap_or(0))
        }
    }

    fn tag_column_u32(&self, at: usize) -> u32 {
        u32_at(&self.bytes, self.tags_at.saturating_add(at.saturating_mul(4))).unwrap_or(0)
    }

    fn tag(&self, at: usize) -> Tag {
        match self.tag_mode {
            TagMode::Bare => 1,
            TagMode::Delta => self.base_tag.saturating_add(u64::from(self.tag_column_u32(at))),
            TagMode::Full => {
                let place = self.tags_at.saturating_add(at.saturating_mul(8));
                u64_at(&self.bytes, place).unwrap_or(0)
            }
        }
    }

    /// Where the key's suffix lies in the entry `from..to`; `None` when it passes the entry's end.
    fn split_suffix(&self, from: usize, to: usize) -> Option<Range<usize>> {
        let (start, len) = match self.fixed_suffix {
            Some(len) => (from, len),
            None => {
                let entry = self.bytes.get(from..to)?;
                match entry.first() {
                    Some(&len) if len < 0x80 => (from.checked_add(1)?, usize::from(len)),
                    _ => {
                        let mut decoder = Decoder::new(entry);
                        let len = usize::try_from(decoder.take_varint()?).ok()?;
                        (from.checked_add(decoder.position())?, len)
                    }
                }
            }
        };
        let end = start.checked_add(len)?;
        (end <= to).then_some(start..end)
    }
}

/// First number of `range` for which `below` is false; `below` is true for a leading part only.
pub fn partition(range: Range<usize>, mut below: impl FnMut(usize) -> bool) -> usize {
    let (mut base, mut len) = (range.start, range.len());
    while len > 0 {
        let half = len / 2;
        let middle = base.saturating_add(half);
        if below(middle) {
            base = middle.saturating_add(1);
            len = len.saturating_sub(half).saturating_sub(1);
        } else {
            len = half;
        }
    }
    base
}
