//! The index of a table: a separator behind each data block, searched through 8-byte fences.
//!
//! Bytes: docs/FORMAT.md, section 6.4. Separators lose their common prefix; the next eight bytes are the
//! fence, and every 64th fence is repeated in a small array, so a search touches that array and at most
//! 64 neighbouring fences and reads a separator only where fences tie. In an order that is not bytewise
//! separators are whole keys, fences are zero and a search compares separators. The index of an open table
//! stays in memory as it is on disk.
//!
//! Invariants
//! 1. Separator i is at least the last key of block i; unless block i is the last one it is above it and at most the first
//!    key of block i + 1, or the two keys are the same, which the `continues` bit of the separator says.
//! 2. The last separator is the table's last key.
//! 3. An `Index` value was checked: block offsets ascend strictly from 0 to the data's length, separators
//!    do not descend and match their fences.

use crate::block::builder::shared_len;
use crate::block::format::{BLOCK_LEN_MIN, partition};
use crate::buffer::reserve;
use crate::checks::CHECKS;
use crate::coding::{put_u32, put_u64, u16_at, u32_at, u64_at};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::order::{Joined, Order};
use crate::search::count_below_u64;
use crate::table::format::WORD;
use crate::types::KEY_LEN_MAX;

pub const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"EIDX");
/// What an index whose separators are not in order is refused with.
pub const DESCENDING: &str = "separators descend";
const HEADER_LEN: usize = 32;
const TOP_STEP: usize = 64;
/// In a separator's offset: versions of the separator's key go on in the next block.
const CONTINUES: u32 = 1 << 31;

/// The eight bytes at the front of `key` as a number that orders as they do; missing ones are zero.
fn fence_of(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let padded = key.iter().chain(&[0; 8]).take(8);
            padded.fold(0, |number, &byte| (number << 8) | u64::from(byte))
        }
    }
}

/// Where the arrays of an index begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    top: usize,
    fence: usize,
    block: usize,
    separator: usize,
    heap: usize,
}

impl Places {
    /// `None` when the index would pass the address space.
    fn of(blocks: usize, lcp: usize) -> Option<Places> {
        let top = HEADER_LEN.checked_add(lcp)?.checked_next_multiple_of(64)?;
        let fence = top.checked_add(blocks.div_ceil(TOP_STEP).checked_mul(8)?)?;
        let block = fence.checked_add(blocks.checked_mul(8)?)?;
        let offsets = blocks.checked_add(1)?.checked_mul(4)?;
        let separator = block.checked_add(offsets)?;
        Some(Places { top, fence, block, separator, heap: separator.checked_add(offsets)? })
    }
}

/// Gathers separators while a table is built.
#[derive(Default)]
pub struct IndexBuilder {
    order: Order,
    heap: Vec<u8>,
    ends: Vec<(usize, bool)>,
    block_words: Vec<u32>,
}

fn too_large() -> Error {
    Error::new(ErrorKind::Limit, Area::Table, "a table would pass 32 GiB or its index 2 GiB")
}

impl IndexBuilder {
    /// For keys that come in `order`.
    pub fn new(order: Order) -> IndexBuilder {
        IndexBuilder { order, ..IndexBuilder::default() }
    }

    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Bytes the index would have, about.
    pub fn size_estimate(&self) -> u64 {
        (HEADER_LEN + self.heap.len() + self.ends.len() * 17) as u64
    }

    /// Notes a finished block: it ends at `end`, its last key is `last`, and `next` is the first key of
    /// the block behind it.
    pub fn add(&mut self, end: u64, last: &[u8], next: Option<&[u8]>) -> Result<()> {
        let words = u32::try_from(end / WORD).map_err(|_| too_large())?;
        let continues = next.is_some_and(|next| self.order.same(next, last));
        let separator = match next {
            Some(next) if !continues => self.order.separator(last, next),
            _ => last,
        };
        reserve(&mut self.heap, separator.len(), Area::Table)?;
        reserve(&mut self.ends, 1, Area::Table)?;
        reserve(&mut self.block_words, 1, Area::Table)?;
        self.heap.extend_from_slice(separator);
        if self.heap.len() >= CONTINUES as usize {
            return Err(too_large());
        }
        self.ends.push((self.heap.len(), continues));
        self.block_words.push(words);
        Ok(())
    }

    fn separator(&self, at: usize) -> &[u8] {
        let start = match at.checked_sub(1) {
            Some(before) => self.ends.get(before).map_or(0, |end| end.0),
            None => 0,
        };
        let end = self.ends.get(at).map_or(start, |end| end.0);
        self.heap.get(start..end).unwrap_or_default()
    }

    /// Length of what all separators begin with.
    fn lcp(&self) -> usize {
        let first = self.separator(0);
        if self.order.is_bytewise() {
            // Separators ascend: what the first and the last share, all share.
            return shared_len(first, self.separator(self.count().saturating_sub(1)));
        }
        (0..self.count()).fold(first.len(), |len, at| {
            shared_len(first.get(..len).unwrap_or_default(), self.separator(at))
        })
    }

    /// The index block.
    pub fn finish(&self) -> Result<Vec<u8>> {
        let count = self.ends.len();
        let (first, lcp) = (self.separator(0), self.lcp());
        let places = Places::of(count, lcp).ok_or_else(too_large)?;
        let len = places.heap + self.heap.len() - lcp * count;
        let len = len.next_multiple_of(WORD as usize);
        let mut out = Vec::new();
        out.try_reserve_exact(len).map_err(|_| Error::no_memory(Area::Table, len))?;
        put_u32(&mut out, INDEX_MAGIC);
        put_u32(&mut out, u32::try_from(count).map_err(|_| too_large())?);
        // A separator is no longer than a key.
        out.extend_from_slice(&(lcp as u16).to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        for place in [places.top, places.fence, places.block, places.separator, places.heap] {
            put_u32(&mut out, u32::try_from(place).map_err(|_| too_large())?);
        }
        out.extend_from_slice(first.get(..lcp).unwrap_or_default());
        out.resize(places.top, 0);
        let stripped = |at: usize| self.separator(at).get(lcp..).unwrap_or_default();
        for at in (0..count).step_by(TOP_STEP).chain(0..count) {
            let fence = if self.order.is_bytewise() { fence_of(stripped(at)) } else { 0 };
            put_u64(&mut out, fence);
        }
        put_u32(&mut out, 0);
        for words in &self.block_words {
            put_u32(&mut out, *words);
        }
        let mut offset = 0;
        for (at, (_, continues)) in self.ends.iter().enumerate() {
            put_u32(&mut out, offset | if *continues { CONTINUES } else { 0 });
            offset += stripped(at).len() as u32;
        }
        put_u32(&mut out, offset);
        for at in 0..count {
            out.extend_from_slice(stripped(at));
        }
        out.resize(len, 0);
        Ok(out)
    }
}

/// Why an index cannot be opened.
#[derive(Debug)]
pub enum Refused {
    Corrupt(&'static str),
    NoMemory(Error),
}

impl From<&'static str> for Refused {
    fn from(what: &'static str) -> Refused {
        Refused::Corrupt(what)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::NoMemory(error)
    }
}

/// The checked index of an open table.
#[derive(Debug, Default)]
pub struct Index {
    order: Order,
    bytes: Vec<u8>,
    count: usize,
    lcp: usize,
    places: Places,
}

impl Index {
    /// Takes an index block whose checksum has passed; `Err` says what is wrong with it.
    pub fn open(
        bytes: Vec<u8>,
        order: &Order,
        data_len: u64,
    ) -> std::result::Result<Index, Refused> {
        const SHORT: &str = "shorter than its header says";
        if u32_at(&bytes, 0) != Some(INDEX_MAGIC) || u16_at(&bytes, 10) != Some(0) {
            return Err("no magic number, or unknown flags".into());
        }
        let count = u32_at(&bytes, 4).ok_or(SHORT)? as usize;
        let lcp = usize::from(u16_at(&bytes, 8).ok_or(SHORT)?);
        let places = Places::of(count, lcp).ok_or(SHORT)?;
        if count == 0 || places.heap > bytes.len() {
            return Err(SHORT.into());
        }
        let stored = [places.top, places.fence, places.block, places.separator, places.heap];
        for (at, place) in (12..).step_by(4).zip(stored) {
            if u32_at(&bytes, at).map(|stored| stored as usize) != Some(place) {
                return Err("arrays are not where they belong".into());
            }
        }
        let index = Index { order: order.clone(), bytes, count, lcp, places };
        index.check_blocks(data_len)?;
        index.check_separators()?;
        Ok(index)
    }

    fn check_blocks(&self, data_len: u64) -> std::result::Result<(), &'static str> {
        if self.block_word(0) != 0 || u64::from(self.block_word(self.count)) * WORD != data_len {
            return Err("blocks do not fill the data section");
        }
        for at in 0..self.count {
            let (start, end) = self.block_range(at);
            if end.saturating_sub(start) < BLOCK_LEN_MIN as u64 {
                return Err("a block is shorter than any block can be");
            }
        }
        Ok(())
    }

    fn check_separators(&self) -> std::result::Result<(), Refused> {
        if !CHECKS {
            return Ok(());
        }
        let heap = self.bytes.get(self.places.heap..).unwrap_or_default();
        if self.separator_word(0) & !CONTINUES != 0 {
            return Err("separators do not begin the heap".into());
        }
        // Only an order in which bytes say nothing has keys put together.
        let mut joined = match self.order.is_bytewise() {
            true => None,
            false => Some((self.joined()?, self.joined()?)),
        };
        for at in 0..self.count {
            let from = self.separator_word(at) & !CONTINUES;
            let to = self.separator_word(at.saturating_add(1)) & !CONTINUES;
            if from > to || to as usize > heap.len() {
                return Err("separators are not inside the index".into());
            }
            let separator = self.separator(at);
            if self.lcp.saturating_add(separator.len()) > KEY_LEN_MAX {
                return Err("a separator is longer than any key may be".into());
            }
            let bytewise = self.order.is_bytewise();
            if self.fence(at) != if bytewise { fence_of(separator) } else { 0 } {
                return Err("a fence does not match its separator".into());
            }
            if at % TOP_STEP == 0 && self.top(at / TOP_STEP) != self.fence(at) {
                return Err("a top fence does not match its fence".into());
            }
            let Some(last) = at.checked_sub(1).map(|last| self.separator(last)) else { continue };
            let descends = match &mut joined {
                None => last > separator,
                Some((before, this)) => {
                    self.order.compare(before.with(last), this.with(separator)).is_gt()
                }
            };
            if descends {
                return Err(DESCENDING.into());
            }
        }
        if self.separator_word(self.count) & CONTINUES != 0 || self.continues(self.count - 1) {
            return Err("the last block continues".into());
        }
        Ok(())
    }

    /// Number of data blocks.
    pub fn count(&self) -> usize {
        self.count
    }

    /// First byte of block `at` and of what follows it.
    pub fn block_range(&self, at: usize) -> (u64, u64) {
        let end = self.block_word(at.saturating_add(1));
        (u64::from(self.block_word(at)) * WORD, u64::from(end) * WORD)
    }

    /// Whether versions of block `at`'s last key go on in the next block.
    pub fn continues(&self, at: usize) -> bool {
        self.separator_word(at) & CONTINUES != 0
    }

    /// A key not below any key of block `at` and not above any of later blocks.
    pub fn bound(&self, at: usize) -> Result<Vec<u8>> {
        let (common, separator) = (self.common(), self.separator(at));
        let mut bound = Vec::new();
        reserve(&mut bound, common.len().saturating_add(separator.len()), Area::Table)?;
        bound.extend_from_slice(common);
        bound.extend_from_slice(separator);
        Ok(bound)
    }

    /// For separators one after the other, in an order in which bytes say nothing.
    fn joined(&self) -> Result<Joined> {
        Joined::new(self.common(), self.bytes.len().min(KEY_LEN_MAX))
    }

    /// The first block that can hold an entry of `key` or of a larger key; the count when there is none.
    pub fn find(&self, key: &[u8]) -> Result<usize> {
        match self.order.is_bytewise() {
            true => Ok(self.find_by_bytes(key)),
            false => self.find_by_order(key),
        }
    }

    fn find_by_order(&self, key: &[u8]) -> Result<usize> {
        let mut joined = self.joined()?;
        let mut compare = |at: usize| self.order.compare(joined.with(self.separator(at)), key);
        let at = partition(0..self.count, |at| compare(at).is_lt());
        let next = at.saturating_add(1);
        // As below: a key that is a separator begins in the next block.
        let same = next < self.count && !self.continues(at) && compare(at).is_eq();
        Ok(if same { next } else { at })
    }

    fn find_by_bytes(&self, key: &[u8]) -> usize {
        let common = self.common();
        let Some(suffix) = key.strip_prefix(common) else {
            return if key < common { 0 } else { self.count };
        };
        let wanted = fence_of(suffix);
        let first = self.first_fence_at_or_above(wanted);
        if first >= self.count || self.fence(first) != wanted {
            return first;
        }
        let end = partition(first..self.count, |at| self.fence(at) == wanted);
        let at = partition(first..end, |at| self.separator(at) < suffix);
        let next = at.saturating_add(1);
        if at < end && next < self.count && !self.continues(at) && self.separator(at) == suffix {
            // The separator is above this block's last key, so its key begins in the next one.
            return next;
        }
        at
    }

    /// Where the block of `find` begins.
    pub fn offset_of(&self, key: &[u8]) -> Result<u64> {
        Ok(u64::from(self.block_word(self.find(key)?)) * WORD)
    }

    /// Bytes of all data blocks.
    pub fn data_len(&self) -> u64 {
        u64::from(self.block_word(self.count)) * WORD
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        self.bytes.capacity()
    }

    fn first_fence_at_or_above(&self, wanted: u64) -> usize {
        let column = |from: usize, to: usize| self.bytes.get(from..to).unwrap_or_default();
        let group = count_below_u64(column(self.places.top, self.places.fence), wanted);
        // Only the fences behind the last top fence that is below can be the first that is not.
        let from = group.saturating_sub(1).saturating_mul(TOP_STEP);
        let to = group.saturating_mul(TOP_STEP).min(self.count);
        let place = |at: usize| self.places.fence.saturating_add(at.saturating_mul(8));
        from.saturating_add(count_below_u64(column(place(from), place(to)), wanted))
    }

    fn common(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..HEADER_LEN.saturating_add(self.lcp)).unwrap_or_default()
    }

    fn top(&self, group: usize) -> u64 {
        u64_at(&self.bytes, self.places.top.saturating_add(group.saturating_mul(8))).unwrap_or(0)
    }

    fn fence(&self, at: usize) -> u64 {
        u64_at(&self.bytes, self.places.fence.saturating_add(at.saturating_mul(8))).unwrap_or(0)
    }

    fn block_word(&self, at: usize) -> u32 {
        u32_at(&self.bytes, self.places.block.saturating_add(at.saturating_mul(4))).unwrap_or(0)
    }

    fn separator_word(&self, at: usize) -> u32 {
        u32_at(&self.bytes, self.places.separator.saturating_add(at.saturating_mul(4))).unwrap_or(0)
    }

    /// Separator `at` without the common prefix.
    fn separator(&self, at: usize) -> &[u8] {
        let place = |at: usize| {
            let offset = self.separator_word(at) & !CONTINUES;
            self.places.heap.saturating_add(offset as usize)
        };
        self.bytes.get(place(at)..place(at.saturating_add(1))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 64 bytes, each with a first and a last key.
    fn build(blocks: &[(&[u8], &[u8])]) -> Vec<u8> {
        build_in(&Order::Bytewise, blocks)
    }

    fn build_in(order: &Order, blocks: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut builder = IndexBuilder::new(order.clone());
        for (at, (_, last)) in blocks.iter().enumerate() {
            let next = blocks.get(at + 1).map(|block| block.0);
            builder.add((at as u64 + 1) * 64, last, next).unwrap();
        }
        builder.finish().unwrap()
    }

    /// First block whose last key is at least `key`, allowing for the block before it when `key` falls
    /// into the gap between them.
    fn check(blocks: &[(&[u8], &[u8])], keys: &[&[u8]]) {
        let index = Index::open(build(blocks), &Order::Bytewise, blocks.len() as u64 * 64).unwrap();
        for key in keys {
            let exact = blocks.iter().position(|(_, last)| last >= key).unwrap_or(blocks.len());
            let found = index.find(key).unwrap();
            let gap = exact > 0 && found == exact - 1 && blocks[exact - 1].1 < *key;
            let inside = blocks.get(exact).is_some_and(|(first, _)| first <= key);
            assert!(found == exact || (gap && !inside), "{key:?}: {found}, exact {exact}");
        }
    }

    #[test]
    fn search_finds_the_block_of_a_key() {
        let blocks: [(&[u8], &[u8]); 4] =
            [(b"a", b"apple"), (b"banana", b"fig"), (b"fig", b"fig"), (b"fig", b"pear")];
        check(
            &blocks,
            &[b"", b"a", b"apple", b"apx", b"b", b"banana", b"c", b"fig", b"fih", b"pear"],
        );
        let index = Index::open(build(&blocks), &Order::Bytewise, 256).unwrap();
        assert_eq!(
            index.find(b"fig").unwrap(),
            1,
            "the newest version of a key is in its first block"
        );
        assert_eq!(
            index.find(b"banana").unwrap(),
            1,
            "a first key costs no look at the block before"
        );
        assert_eq!(index.find(b"peas").unwrap(), 4);
        assert_eq!(
            (index.continues(0), index.continues(1), index.continues(2)),
            (false, true, true)
        );
        check(&[(b"", b"")], &[b"", b"x"]);
        check(&[(b"x", b"x")], &[b"", b"w", b"x", b"xx", b"y"]);
    }

    #[test]
    fn search_crosses_groups_of_fences() {
        let keys: Vec<Vec<u8>> =
            (0..1000u32).map(|n| format!("key-with-a-prefix{:05}", n * 3).into_bytes()).collect();
        let blocks: Vec<(&[u8], &[u8])> = keys.iter().map(|key| (&key[..], &key[..])).collect();
        let asked: Vec<Vec<u8>> =
            (0..3003u32).map(|n| format!("key-with-a-prefix{n:05}").into_bytes()).collect();
        let asked: Vec<&[u8]> = asked.iter().map(|key| &key[..]).collect();
        check(&blocks, &asked);
        check(&blocks, &[b"", b"key", b"key-with-a-prefix", b"kez", b"key-with-a-prefix9"]);
    }

    #[test]
    fn every_flipped_bit_is_refused_or_harmless() {
        let good = build(&[(b"a", b"apple"), (b"banana", b"fig"), (b"fig", b"pear")]);
        for at in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[at / 8] ^= 1 << (at % 8);
            if let Ok(index) = Index::open(bad, &Order::Bytewise, 192) {
                for key in [&b""[..], b"a", b"banana", b"fig", b"pear", b"zzz"] {
                    assert!(index.find(key).unwrap() <= 3);
                }
            }
        }
        assert!(Index::open(good.clone(), &Order::Bytewise, 200).is_err());
        assert!(Index::open(good[..good.len() - 16].to_vec(), &Order::Bytewise, 192).is_err());
    }

    #[test]
    fn hostile_counts_do_not_allocate() {
        let mut bad = build(&[(b"a", b"b")]);
        bad[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(Index::open(bad, &Order::Bytewise, 64).is_err());
        assert!(Index::open(vec![0; 3], &Order::Bytewise, 64).is_err());
    }

    #[test]
    fn search_compares_whole_keys_in_other_orders() {
        let blocks: [(&[u8], &[u8]); 4] =
            [(b"key9", b"key8"), (b"key7", b"key5"), (b"key5", b"key5"), (b"key5", b"key")];
        let index = Index::open(build_in(&Order::Reverse, &blocks), &Order::Reverse, 256).unwrap();
        for (key, block) in [
            (&b"z"[..], 0),
            (b"key9", 0),
            (b"key8", 0),
            // Between two blocks: the index does not know where the first one ends.
            (b"key7x", 0),
            (b"key7", 1),
            (b"key5", 1),
            (b"key4", 3),
            (b"key", 3),
            (b"", 4),
        ] {
            assert_eq!(index.find(key).unwrap(), block, "{key:?}");
        }
        assert_eq!(
            (index.bound(0).unwrap(), index.bound(3).unwrap()),
            (b"key7".to_vec(), b"key".to_vec())
        );
        let other = Index::open(build_in(&Order::Reverse, &blocks), &Order::Bytewise, 256);
        assert!(other.is_err(), "the fences are another order's");
    }
}
