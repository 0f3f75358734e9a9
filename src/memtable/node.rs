//! Entries and nodes of the wide index: slots that are filled once, and one word that says in which order.
//!
//! A node has fifteen slots. To add an entry, the writer fills the next free slot, which no reader looks at yet, and
//! stores the order word; nothing that a reader may look at is ever changed, so readers neither wait nor check that
//! what they read belongs together. The idea of one word that publishes a sorted order of unsorted slots is
//! Masstree's (Mao, Kohler, Morris, EuroSys 2012).
//!
//! A slot holds eight bytes of the key, behind those that all keys of the node's range share, as a number: most
//! comparisons end there, in two cache lines.
//!
//! Invariants
//! 1. A slot below the length of any stored order word is never written again, but for the child of an inner slot.
//! 2. Every key that is looked for in a node, and every key in it, begins with the same `skip` bytes.
//! 3. Entries and nodes lie in arenas of the index that is read, and never move.

#![allow(
    unsafe_code,
    reason = "entries and nodes are memory of an arena, shared between one writer and readers"
)]

use crate::key::{TAG_MAX, Tag};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::cmp;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

/// Slots of a node.
pub const WIDTH: usize = 15;

/// What stands before the bytes of a key and its value.
#[repr(C)]
pub struct Header {
    tag: Tag,
    key_len: u32,
    value_len: u32,
}

/// Bytes of an entry beside key and value.
pub const HEADER_LEN: usize = size_of::<Header>();
pub const HEADER_ALIGN: usize = align_of::<Header>();

/// Sorts before every entry.
static FIRST: Header = Header { tag: TAG_MAX, key_len: 0, value_len: 0 };

/// An entry in an arena that lives at least for `'a`.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    header: NonNull<Header>,
    arena: PhantomData<&'a Header>,
}

impl<'a> Entry<'a> {
    /// The empty key with the highest tag: the lower end of everything.
    pub fn first() -> Entry<'a> {
        Entry { header: NonNull::from(&FIRST), arena: PhantomData }
    }

    /// Writes an entry.
    ///
    /// # Safety
    /// `at` is aligned for a header and begins `HEADER_LEN + key.len() + value.len()` bytes that nobody else uses and
    /// that live for `'a`. Both lengths fit 32 bits.
    pub unsafe fn write(at: NonNull<u8>, key: &[u8], tag: Tag, value: &[u8]) -> Entry<'a> {
        let header = at.cast::<Header>();
        // The caller checked the lengths.
        let (key_len, value_len) = (key.len() as u32, value.len() as u32);
        // SAFETY: the caller's promise; the three parts lie one behind the other.
        unsafe {
            header.write(Header { tag, key_len, value_len });
            let bytes = at.as_ptr().add(HEADER_LEN);
            bytes.copy_from_nonoverlapping(key.as_ptr(), key.len());
            bytes.add(key.len()).copy_from_nonoverlapping(value.as_ptr(), value.len());
        }
        Entry { header, arena: PhantomData }
    }

    fn header(self) -> &'a Header {
        // SAFETY: every entry was written whole before anybody could see it, is never written again and lives for
        // `'a` (`write`, invariant 3).
        unsafe { self.header.as_ref() }
    }

    pub fn tag(self) -> Tag {
        self.header().tag
    }

    pub fn key(self) -> &'a [u8] {
        // SAFETY: as above: `key_len` bytes follow the header.
        unsafe {
            let bytes = self.header.as_ptr().cast::<u8>().add(HEADER_LEN);
            std::slice::from_raw_parts(bytes, self.header().key_len as usize)
        }
    }

    pub fn value(self) -> &'a [u8] {
        let Header { key_len, value_len, .. } = *self.header();
        // SAFETY: as above: the value follows the key.
        unsafe {
            let bytes = self.header.as_ptr().cast::<u8>().add(HEADER_LEN + key_len as usize);
            std::slice::from_raw_parts(bytes, value_len as usize)
        }
    }

    /// Brings its first bytes to the processor, without waiting for them.
    pub fn prefetch(self) {
        prefetch(self.header.as_ptr());
    }

    pub fn target(self) -> Target<'a> {
        Target { key: self.key(), tag: self.tag() }
    }

    /// Whether its internal key is the lesser.
    pub fn is_before(self, other: Entry<'_>) -> bool {
        other.target().compare(self, 0).is_lt()
    }
}

/// An internal key that is looked for.
#[derive(Clone, Copy)]
pub struct Target<'k> {
    pub key: &'k [u8],
    pub tag: Tag,
}

impl Target<'_> {
    /// How an entry compares with it, both keys being alike in the first `skip` bytes.
    fn compare(self, entry: Entry<'_>, skip: usize) -> cmp::Ordering {
        let (ours, its) = (tail(self.key, skip), tail(entry.key(), skip));
        its.cmp(ours).then_with(|| self.tag.cmp(&entry.tag()))
    }
}

/// Asks for the cache line at an address.
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which may be given for any address; every x86-64 has it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    // Other processors have no stable way to say it.
    #[cfg(not(target_arch = "x86_64"))]
    let _unused = address;
}

fn tail(key: &[u8], skip: usize) -> &[u8] {
    key.get(skip..).unwrap_or_default()
}

/// The eight bytes behind `skip`, as a number that orders like them; zeros behind the end.
fn prefix(key: &[u8], skip: usize) -> u64 {
    let rest = tail(key, skip);
    if let Some(bytes) = rest.first_chunk::<8>() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(bytes)
}

/// How many bytes all keys from `low` to `high` share; without an upper end none.
pub fn shared(low: Entry<'_>, high: Option<Entry<'_>>) -> usize {
    let Some(high) = high else { return 0 };
    low.key().iter().zip(high.key()).take_while(|(a, b)| a == b).count()
}

/// How many slots are in use and in which order: four bits of length, then four for the slot at each position.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Order(u64);

impl Order {
    /// Slots 0 to `len`, in this order.
    fn ascending(len: usize) -> Order {
        (0..len).fold(Order(0), |order, at| order.with(at))
    }

    pub fn len(self) -> usize {
        (self.0 & 15) as usize
    }

    fn slot(self, at: usize) -> usize {
        ((self.0 >> (4 + 4 * at)) & 15) as usize
    }

    /// The next free slot comes to stand at position `at`.
    fn with(self, at: usize) -> Order {
        debug_assert!(self.len() < WIDTH && at <= self.len());
        let shift = 4 + 4 * at;
        let below = self.0 & ((1 << shift) - 1);
        let above = self.0 & !((1 << shift) - 1);
        Order((below + 1) | ((self.len() as u64) << shift) | (above << 4))
    }
}

/// A leaf, and the front of an inner node.
#[repr(C, align(64))]
pub struct Node {
    prefix: [AtomicU64; WIDTH],
    order: AtomicU64,
    entry: [AtomicPtr<Header>; WIDTH],
    skip: u32,
    /// 0 for leaves.
    height: u8,
    /// Others stand in its place; what it held then stays readable.
    replaced: AtomicBool,
}

/// A node above others. The entry of a slot is the first of the child's range, and an entry of that child, unless it
/// is `Entry::first`.
#[repr(C, align(64))]
pub struct Inner {
    node: Node,
    child: [AtomicPtr<Node>; WIDTH],
}

pub const NODE_ALIGN: usize = 64;
pub const LEAF_LEN: usize = size_of::<Node>();
pub const INNER_LEN: usize = size_of::<Inner>();

const _: () = assert!(LEAF_LEN == 256 && INNER_LEN == 384);
const _: () = assert!(align_of::<Node>() == NODE_ALIGN && align_of::<Inner>() == NODE_ALIGN);

/// A slot of an inner node: where the child's range begins, and the child.
pub type Branch<'a> = (Entry<'a>, NodeRef<'a>);

/// A node in an arena that lives at least for `'a`.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    // Not a reference: an inner node is larger than the type says.
    node: NonNull<Node>,
    arena: PhantomData<&'a Node>,
}

impl<'a> NodeRef<'a> {
    /// The node that `pointer` was stored for; `None` for null.
    ///
    /// # Safety
    /// `pointer` came from `as_ptr` of a node whose arena lives for `'a`, and was read with Acquire from where it
    /// was stored with Release.
    pub unsafe fn from_ptr(pointer: *mut Node) -> Option<NodeRef<'a>> {
        NonNull::new(pointer).map(|node| NodeRef { node, arena: PhantomData })
    }

    pub fn as_ptr(self) -> *mut Node {
        self.node.as_ptr()
    }

    /// Writes a leaf that holds `entries`, which all begin with the same `skip` bytes.
    ///
    /// # Safety
    /// `at` begins `LEAF_LEN` bytes, aligned to `NODE_ALIGN`, that nobody else uses and that live for `'a`.
    pub unsafe fn write_leaf(at: NonNull<u8>, skip: usize, entries: &[Entry<'a>]) -> NodeRef<'a> {
        let node = at.cast::<Node>();
        // SAFETY: the caller's promise.
        unsafe { node.write(Node::new(skip, 0, entries.iter().copied())) };
        NodeRef { node, arena: PhantomData }
    }

    /// Writes an inner node above `branches`, whose keys all begin with the same `skip` bytes.
    ///
    /// # Safety
    /// As for `write_leaf`, with `INNER_LEN` bytes.
    pub unsafe fn write_inner(
        at: NonNull<u8>,
        skip: usize,
        height: u8,
        branches: &[Branch<'a>],
    ) -> NodeRef<'a> {
        let inner = at.cast::<Inner>();
        let node = Node::new(skip, height, branches.iter().map(|(entry, _)| *entry));
        let child = std::array::from_fn(|slot| {
            AtomicPtr::new(branches.get(slot).map_or(ptr::null_mut(), |(_, child)| child.as_ptr()))
        });
        // SAFETY: the caller's promise.
        unsafe { inner.write(Inner { node, child }) };
        NodeRef { node: inner.cast(), arena: PhantomData }
    }

    fn node(self) -> &'a Node {
        // SAFETY: written whole before anybody could see it, alive for `'a` (invariant 3), changed only through
        // atomics.
        unsafe { self.node.as_ref() }
    }

    fn child_slot(self, slot: usize) -> &'a AtomicPtr<Node> {
        assert!(self.height() > 0, "leaves have no children");
        // SAFETY: a node with a height was written by `write_inner`, and the pointer is still the one to all of it.
        let inner = unsafe { self.node.cast::<Inner>().as_ref() };
        &inner.child[slot]
    }

    /// Brings a leaf to the processor, without waiting for it.
    pub fn prefetch_leaf(self) {
        let lines = (0..LEAF_LEN).step_by(NODE_ALIGN);
        lines.for_each(|at| prefetch(self.node.as_ptr().wrapping_byte_add(at)));
    }

    pub fn height(self) -> u8 {
        self.node().height
    }

    pub fn replaced(self) -> bool {
        self.node().replaced.load(Ordering::Acquire)
    }

    pub fn set_replaced(self) {
        self.node().replaced.store(true, Ordering::Release);
    }

    /// The order as of now: every slot it names may be read.
    pub fn order(self) -> Order {
        Order(self.node().order.load(Ordering::Acquire))
    }

    /// The entry at a position below the order's length.
    pub fn entry(self, order: Order, at: usize) -> Entry<'a> {
        let pointer = self.node().entry[order.slot(at)].load(Ordering::Relaxed);
        let header = NonNull::new(pointer).expect("a slot that an order word names is filled");
        Entry { header, arena: PhantomData }
    }

    /// The child at a position below the order's length.
    pub fn child(self, order: Order, at: usize) -> NodeRef<'a> {
        let pointer = self.child_slot(order.slot(at)).load(Ordering::Acquire);
        // SAFETY: stored by `add_child`, `set_child` or `write_inner`, all from a node of this index.
        let child = unsafe { NodeRef::from_ptr(pointer) };
        child.expect("a slot that an order word names has a child")
    }

    /// Puts another child in the place of one: what the old one held in this slot's range, the new one holds.
    pub fn set_child(self, order: Order, at: usize, child: NodeRef<'a>) {
        self.child_slot(order.slot(at)).store(child.as_ptr(), Ordering::Release);
    }

    /// Adds an entry to a leaf with a free slot, so that it comes to stand at `at`. For the one writer.
    pub fn add_entry(self, at: usize, entry: Entry<'a>) {
        let node = self.node();
        let order = self.order();
        let slot = order.len();
        node.prefix[slot].store(prefix(entry.key(), node.skip as usize), Ordering::Relaxed);
        node.entry[slot].store(entry.header.as_ptr(), Ordering::Relaxed);
        node.order.store(order.with(at).0, Ordering::Release);
    }

    /// Adds a child to an inner node with a free slot. For the one writer.
    pub fn add_child(self, at: usize, (entry, child): Branch<'a>) {
        let slot = self.order().len();
        self.child_slot(slot).store(child.as_ptr(), Ordering::Relaxed);
        self.add_entry(at, entry);
    }

    /// How many entries come before `target`, and, if `inclusive`, those equal to it.
    pub fn rank(self, order: Order, target: Target<'_>, inclusive: bool) -> usize {
        let node = self.node();
        let skip = node.skip as usize;
        let wanted = prefix(target.key, skip);
        let (mut below, mut equal) = (0, 0);
        for slot in &node.prefix[..order.len()] {
            let found = slot.load(Ordering::Relaxed);
            below += usize::from(found < wanted);
            equal += usize::from(found == wanted);
        }
        let (mut from, mut to) = (below, below + equal);
        while from < to {
            let middle = (from + to) / 2;
            let before = match target.compare(self.entry(order, middle), skip) {
                cmp::Ordering::Less => true,
                cmp::Ordering::Equal => inclusive,
                cmp::Ordering::Greater => false,
            };
            if before { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// The entry at a position, if its key may be `key`: most that are not are told by their slot.
    pub fn entry_like(self, order: Order, at: usize, key: &[u8]) -> Option<Entry<'a>> {
        let node = self.node();
        let found = node.prefix[order.slot(at)].load(Ordering::Relaxed);
        (found == prefix(key, node.skip as usize)).then(|| self.entry(order, at))
    }

    /// The position of the entry at `at` of an older order.
    pub fn moved(self, old: Order, at: usize, new: Order) -> usize {
        let slot = old.slot(at);
        (at..new.len()).find(|&at| new.slot(at) == slot).unwrap_or(at)
    }
}

impl Node {
    fn new<'a>(skip: usize, height: u8, entries: impl ExactSizeIterator<Item = Entry<'a>>) -> Node {
        let len = entries.len();
        let mut node = Node {
            prefix: [const { AtomicU64::new(0) }; WIDTH],
            order: AtomicU64::new(Order::ascending(len).0),
            entry: [const { AtomicPtr::new(ptr::null_mut()) }; WIDTH],
            // Keys are shorter than 64 KiB.
            skip: skip as u32,
            height,
            replaced: AtomicBool::new(false),
        };
        for (slot, entry) in entries.enumerate() {
            *node.prefix[slot].get_mut() = prefix(entry.key(), skip);
            *node.entry[slot].get_mut() = entry.header.as_ptr();
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_word_holds_every_permutation_of_fifteen() {
        let mut seed = 1u64;
        for _ in 0..2_000 {
            let (mut order, mut model) = (Order(0), Vec::new());
            for slot in 0..WIDTH {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (seed >> 33) as usize % (slot + 1);
                order = order.with(at);
                model.insert(at, slot);
                let shown: Vec<usize> = (0..order.len()).map(|at| order.slot(at)).collect();
                assert_eq!(shown, model);
            }
        }
    }

    #[test]
    fn prefixes_order_like_the_bytes_behind_what_is_skipped() {
        assert_eq!(prefix(b"ab", 0), 0x6162_0000_0000_0000);
        assert_eq!(prefix(b"xxabcdefghi", 2), 0x6162_6364_6566_6768);
        assert_eq!((prefix(b"xx", 2), prefix(b"x", 2)), (0, 0));
    }
}
