//! Index of a memtable on crossbeam's skip list.
//!
//! A node of the list is a [`Slot`]: the first sixteen key bytes as two numbers, the tag and a pointer to the
//! key's bytes in the arena, directly followed by the value's. Most comparisons end at the numbers, and those
//! of keys of up to sixteen bytes always do: following the pointer costs a cache miss per node on the way. A
//! probe is a slot whose pointer refers to the caller's slice for the length of one call.
//!
//! Every order has its way to make the two numbers out of a key, so that comparing them comes first in all of
//! them. In the order of a caller they say nothing of the key: they lead to the order, the same in all slots.
//!
//! Invariants
//! 1. Never replaces, never removes: crossbeam's replacing insert lets a reader miss the key (its issue
//!    1023), so the non-replacing one is used and a second entry under the same internal key is refused.
//! 2. A slot in the list points into the arena of the same index, and the list is dropped before the arena.
//! 3. A cursor's entry is dropped before the reference that keeps its index alive.
//! 4. All slots of a list and the probes it is asked with are made by the same order, which outlives them.

#![allow(unsafe_code, reason = "slots point into the arena; cursors hold an entry beside its list")]

use crate::error::{Area, Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::memtable::arena::Arena;
use crate::memtable::index::MemIndex;
use crate::order::{CustomOrder, Order};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use crate::types::KEY_LEN_MAX;
use crossbeam_skiplist::SkipSet;
use crossbeam_skiplist::set::Entry;
use std::cmp;
use std::ops::Bound;
use std::ptr::{self, NonNull};

/// Estimate of a node beyond key and value bytes: slot, counter, a tower of two links on average, and what
/// the allocator adds.
const NODE_BYTES: u64 = 88;

const HEAD_LEN: usize = 16;

/// What decides between slots with equal heads.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Tie {
    /// Of keys with equal heads the shorter one is the smaller, unless both go on behind it.
    Bytes,
    Reverse,
    /// The bytes of the whole keys.
    Whole,
    /// The order that the head leads to.
    Custom,
}

/// The first sixteen bytes as two big-endian numbers, zero-padded: smaller ones are of a smaller key.
fn big_endian(key: &[u8]) -> [u64; 2] {
    let mut bytes = [0; HEAD_LEN];
    let len = key.len().min(HEAD_LEN);
    bytes[..len].copy_from_slice(&key[..len]);
    let number = u128::from_be_bytes(bytes);
    [(number >> 64) as u64, number as u64]
}

/// The head of a key. Keys with a smaller head come first.
#[inline]
fn head(order: &Order, key: &[u8]) -> ([u64; 2], Tie) {
    match order {
        Order::Bytewise | Order::U64Be => (big_endian(key), Tie::Bytes),
        Order::Reverse => (big_endian(key).map(|number| !number), Tie::Reverse),
        Order::U64Le | Order::I64Le => ([order.number(key).unwrap_or_default(), 0], Tie::Whole),
        Order::Custom(custom) => {
            let address = Arc::as_ptr(custom).expose_provenance();
            ([address as u64, 0], Tie::Custom)
        }
    }
}

struct Slot {
    head: [u64; 2],
    tag: Tag,
    /// Key bytes; the value's follow directly unless this is a probe.
    bytes: NonNull<u8>,
    value_len: u32,
    key_len: u16,
    tie: Tie,
}

const _: () = assert!(KEY_LEN_MAX <= u16::MAX as usize);

// SAFETY: the bytes are never written after the slot is made (arena invariant 1) and belong to no thread.
unsafe impl Send for Slot {}
// SAFETY: as above; all access through a shared slot is reading.
unsafe impl Sync for Slot {}

impl Slot {
    /// A slot to compare with, usable while `key` is borrowed; it must not be inserted.
    fn probe(order: &Order, key: &[u8], tag: Tag) -> Slot {
        let bytes = NonNull::from(key).cast();
        let (head, tie) = head(order, key);
        // Sought keys are limited to `KEY_LEN_MAX` at the C boundary.
        let key_len = key.len().min(KEY_LEN_MAX) as u16;
        Slot { head, tag, bytes, value_len: 0, key_len, tie }
    }

    fn key(&self) -> &[u8] {
        // SAFETY: for a slot in the list `key_len` bytes were stored at `bytes` in an arena that outlives
        // the list (invariant 2); a probe does not outlive the call that borrows its key.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), usize::from(self.key_len)) }
    }

    /// Orders the keys of two slots.
    fn compare_keys(&self, other: &Slot) -> cmp::Ordering {
        self.head.cmp(&other.head).then_with(|| match self.tie {
            Tie::Bytes => self.compare_tails(other),
            Tie::Reverse => other.compare_tails(self),
            Tie::Whole => self.key().cmp(other.key()),
            Tie::Custom => self.compare_custom(other),
        })
    }

    /// Orders keys with equal heads by their bytes.
    #[inline]
    fn compare_tails(&self, other: &Slot) -> cmp::Ordering {
        if usize::from(self.key_len.min(other.key_len)) <= HEAD_LEN {
            self.key_len.cmp(&other.key_len)
        } else {
            self.key()[HEAD_LEN..].cmp(&other.key()[HEAD_LEN..])
        }
    }

    #[inline(never)]
    fn compare_custom(&self, other: &Slot) -> cmp::Ordering {
        let custom: *const CustomOrder = ptr::with_exposed_provenance(self.head[0] as usize);
        // SAFETY: `head` exposed this address of an order that the index holds as long as it has slots and
        // makes probes (invariant 4).
        let custom = unsafe { &*custom };
        (custom.compare)(self.key(), other.key())
    }

    fn value(&self) -> &[u8] {
        // SAFETY: as for `key`: the arena stored `value_len` bytes directly behind the key. A probe has
        // length 0, and one past the end of its key is a valid address for that.
        unsafe {
            let start = self.bytes.as_ptr().add(usize::from(self.key_len));
            std::slice::from_raw_parts(start, self.value_len as usize)
        }
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Slot) -> cmp::Ordering {
        self.compare_keys(other).then_with(|| other.tag.cmp(&self.tag))
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slot {}

/// Skip list and the memory its slots point to.
pub struct SkipIndex {
    // Before the arena: fields drop in this order (invariant 2).
    list: SkipSet<Slot>,
    arena: Mutex<Arena>,
    used: AtomicU64,
    /// Last: the slots of an order of a caller lead to it.
    order: Order,
}

impl SkipIndex {
    pub fn new(order: Order) -> SkipIndex {
        let arena = Mutex::new(Arena::new());
        SkipIndex { list: SkipSet::new(), arena, used: AtomicU64::new(0), order }
    }

    fn probe(&self, key: &[u8], tag: Tag) -> Slot {
        Slot::probe(&self.order, key, tag)
    }

    fn store(&self, key: &[u8], tag: Tag, value: &[u8]) -> Result<Slot> {
        let too_long = |len: usize| {
            let message = format!("{len} bytes do not fit a memtable entry");
            Error::new(ErrorKind::Limit, Area::Engine, message).with_value(len as u64)
        };
        let key_len = u16::try_from(key.len()).map_err(|_| too_long(key.len()))?;
        let value_len = u32::try_from(value.len()).map_err(|_| too_long(value.len()))?;
        let mut arena = self.arena.lock();
        let bytes = arena.store(key, value)?;
        self.used.store(arena.used(), Ordering::Relaxed);
        let (head, tie) = head(&self.order, key);
        Ok(Slot { head, tag, bytes, value_len, key_len, tie })
    }
}

impl MemIndex for SkipIndex {
    type Cursor = SkipCursor;

    fn insert(&self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        let slot = self.store(key, tag, value)?;
        let bytes = slot.bytes;
        let entry = self.list.get_or_insert(slot);
        if entry.value().bytes == bytes {
            return Ok(());
        }
        let message = format!("memtable holds sequence {} of a key already", tag >> 8);
        Err(Error::new(ErrorKind::Corrupt, Area::Engine, message))
    }

    fn get(&self, key: &[u8], seek_tag: Tag) -> Option<(Tag, &[u8])> {
        let probe = self.probe(key, seek_tag);
        let entry = self.list.lower_bound(Bound::Included(&probe))?;
        let slot: *const Slot = entry.value();
        // SAFETY: nodes are never removed (invariant 1), so the slot lives as long as the list, which
        // `self` borrows.
        let slot = unsafe { &*slot };
        slot.compare_keys(&probe).is_eq().then(|| (slot.tag, slot.value()))
    }

    fn cursor(self: &Arc<SkipIndex>) -> SkipCursor {
        SkipCursor { entry: None, index: self.clone() }
    }

    fn len(&self) -> u64 {
        self.list.len() as u64
    }

    fn bytes(&self) -> u64 {
        let used = self.used.load(Ordering::Relaxed);
        used.saturating_add(self.len().saturating_mul(NODE_BYTES))
    }
}

/// Cursor over a [`SkipIndex`]; `next` follows one link, `prev` searches (the list is linked one way).
pub struct SkipCursor {
    // Before the index: fields drop in this order (invariant 3).
    entry: Option<Entry<'static, Slot>>,
    index: Arc<SkipIndex>,
}

impl SkipCursor {
    /// The list, for entries that are stored in `self.entry` and nowhere else.
    fn list(&self) -> &'static SkipSet<Slot> {
        let list: *const SkipSet<Slot> = &self.index.list;
        // SAFETY: the index is kept alive and in place by `self.index`, which is never replaced and is
        // dropped after `self.entry` (invariant 3); no other code holds what this returns.
        unsafe { &*list }
    }

    fn slot(&self) -> &Slot {
        self.entry.as_ref().expect("the caller checked that the cursor is valid").value()
    }
}

impl InternalIterator for SkipCursor {
    fn valid(&self) -> bool {
        self.entry.is_some()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.entry = self.list().front();
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.entry = self.list().back();
        Ok(())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.entry = self.list().lower_bound(Bound::Included(&self.index.probe(key, tag)));
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.entry = self.list().upper_bound(Bound::Excluded(&self.index.probe(key, tag)));
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        if !self.entry.as_mut().is_some_and(Entry::move_next) {
            self.entry = None;
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        if !self.entry.as_mut().is_some_and(Entry::move_prev) {
            self.entry = None;
        }
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.slot().key()
    }

    fn tag(&self) -> Tag {
        self.slot().tag
    }

    fn value(&self) -> &[u8] {
        self.slot().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(order: &Order, a: (&[u8], Tag), b: (&[u8], Tag)) -> cmp::Ordering {
        Slot::probe(order, a.0, a.1).cmp(&Slot::probe(order, b.0, b.1))
    }

    fn orders() -> Vec<Order> {
        let compare = |a: &[u8], b: &[u8]| a.len().cmp(&b.len()).then_with(|| b.cmp(a));
        let (name, exact) = ("by length".to_owned(), true);
        let custom = CustomOrder { name, exact, compare: Box::new(compare) };
        let custom = Order::Custom(Arc::new(custom));
        vec![Order::Bytewise, Order::Reverse, Order::U64Be, Order::U64Le, Order::I64Le, custom]
    }

    #[test]
    fn slots_are_ordered_as_internal_keys() {
        let keys: [&[u8]; 15] = [
            b"",
            b"\0",
            b"\0\0",
            b"a",
            b"a\0",
            b"a\0\0\0\0\0\0\0",
            b"a\0\0\0\0\0\0\0\0",
            b"abcdefgh",
            b"abcdefgh\xff",
            b"abcdefghijklmno",
            b"abcdefghijklmno\0",
            b"abcdefghijklmno\0\0",
            b"abcdefghijklmno\0\0\0",
            b"abcdefghijklmno\0\x01",
            b"abcdefghijklmnop",
        ];
        for order in orders() {
            for a in keys {
                for b in keys {
                    for (x, y) in [(1, 1), (1, 2), (2, 1)] {
                        let expected = order.compare_internal(a, x, b, y);
                        let found = compare(&order, (a, x), (b, y));
                        assert_eq!(found, expected, "{order:?} {a:?} {x} {b:?} {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_second_entry_under_one_internal_key_is_refused() {
        let index = SkipIndex::new(Order::Bytewise);
        index.insert(b"k", 0x101, b"old").unwrap();
        assert_eq!(index.insert(b"k", 0x101, b"new").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(index.get(b"k", 0x1ff), Some((0x101, &b"old"[..])));
    }

    #[test]
    fn cursors_move_between_threads() {
        fn check<T: Send>() {}
        check::<SkipCursor>();
    }
}
