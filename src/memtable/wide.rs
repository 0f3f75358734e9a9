//! Index of a memtable as a tree of wide nodes, for one writer and readers that never wait.
//!
//! The writer adds to a node by its order word (see `node`). A full node is never changed: it is replaced by two copies
//! of its halves, made whole before anybody sees them. The old one stays as it was, for readers inside it.
//!
//! Why a reader misses nothing that was inserted before it began
//! * It goes from the root by child pointers. A child that it finds was in use at some moment since it began, or was
//!   so when its parent was replaced, which is later than that moment; so the child, even if replaced by now, holds
//!   all that was inserted into its range before the reader began.
//! * The range of a child shrinks when it is split: first the upper half is added to the parent, then the lower half
//!   takes the old child's place. A reader that finds the lower half sees, when it looks at the parent's order
//!   again, that this changed, and chooses anew. An order changes fourteen times at most, so it gets through.
//!
//! Invariants
//! 1. Insert-only, like every index; entries and nodes are freed with the index.
//! 2. The entry of an inner slot is the least entry of that child's range (or `Entry::first`), and is in the child.
//! 3. Without memory nothing is published: a split is complete before the store that shows it.

#![allow(
    unsafe_code,
    reason = "nodes and entries are written into arenas and outlive the lock they were made under"
)]

use crate::error::{Area, Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::memtable::arena::Arena;
use crate::memtable::index::MemIndex;
use crate::memtable::node::{
    Branch, Entry, HEADER_ALIGN, HEADER_LEN, INNER_LEN, LEAF_LEN, NODE_ALIGN, Node, NodeRef, Order,
    Target, WIDTH, shared,
};
use crate::sync::{Arc, AtomicPtr, AtomicU64, Mutex, Ordering};
use std::ptr;

/// Where the halves of a full node part: of sixteen, eight go left.
const HALF: usize = WIDTH.div_ceil(2);

/// Nodes on the way to a leaf. All but those at the right edge have seven children at least, so this is far more
/// than memory allows.
const HEIGHT_MAX: usize = 24;

/// How many entries before their turn a cursor asks for them. They lie where they were written, so that each is a miss of
/// the cache: asked for, a row of a scan costs 160 ns instead of 222 (docs/BENCHMARKS.md).
const AHEAD: usize = 4;

/// Memory for entries and nodes.
struct Memory {
    entries: Arena,
    nodes: Arena,
}

impl Memory {
    fn store<'a>(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<Entry<'a>> {
        for len in [key.len(), value.len()] {
            if u32::try_from(len).is_err() {
                let message = format!("{len} bytes do not fit a memtable entry");
                let error = Error::new(ErrorKind::Limit, Area::Engine, message);
                return Err(error.with_value(len as u64));
            }
        }
        let len = HEADER_LEN.saturating_add(key.len()).saturating_add(value.len());
        let at = self.entries.reserve(len, HEADER_ALIGN)?;
        // SAFETY: the arena gave `len` bytes of that alignment to nobody else; they live as long as the index.
        Ok(unsafe { Entry::write(at, key, tag, value) })
    }

    fn leaf<'a>(&mut self, skip: usize, entries: &[Entry<'a>]) -> Result<NodeRef<'a>> {
        let at = self.nodes.reserve(LEAF_LEN, NODE_ALIGN)?;
        // SAFETY: as above.
        Ok(unsafe { NodeRef::write_leaf(at, skip, entries) })
    }

    fn inner<'a>(
        &mut self,
        skip: usize,
        height: u8,
        branches: &[Branch<'a>],
    ) -> Result<NodeRef<'a>> {
        let at = self.nodes.reserve(INNER_LEN, NODE_ALIGN)?;
        // SAFETY: as above.
        Ok(unsafe { NodeRef::write_inner(at, skip, height, branches) })
    }

    fn used(&self) -> u64 {
        self.entries.used().saturating_add(self.nodes.used())
    }
}

/// A node on the way to a leaf: where the way went on, and the range it covers.
#[derive(Clone, Copy)]
struct Step<'a> {
    node: NodeRef<'a>,
    order: Order,
    at: usize,
    low: Entry<'a>,
    high: Option<Entry<'a>>,
}

/// A leaf as a reader found it, the range it covers, and the step that led to it.
#[derive(Clone, Copy)]
struct Leaf<'a> {
    node: NodeRef<'a>,
    order: Order,
    low: Entry<'a>,
    high: Option<Entry<'a>>,
    above: Option<Step<'a>>,
}

impl<'a> Leaf<'a> {
    /// The leaf behind it, or before it, if its parent knows it and is as it was.
    fn neighbour(self, forward: bool) -> Option<Leaf<'a>> {
        let step = self.above?;
        let at = if forward { step.at + 1 } else { step.at.checked_sub(1)? };
        // In this order: what was inserted before the parent was replaced is below it.
        if step.node.replaced() || step.node.order() != step.order || at >= step.order.len() {
            return None;
        }
        step.child(at)
    }

    /// The cursor comes to stand at `at` and goes on: asks for what it will need `AHEAD` steps from here.
    fn ask_ahead(self, at: usize, forward: bool) {
        let left = if forward { self.order.len() - 1 - at } else { at };
        if left >= AHEAD {
            let then = if forward { at + AHEAD } else { at - AHEAD };
            self.node.entry(self.order, then).prefetch();
        } else if left + 1 == AHEAD {
            self.ask_neighbour(forward);
        }
    }

    /// The leaf behind or before it, which may have changed when the cursor gets there: then nothing is gained.
    fn ask_neighbour(self, forward: bool) {
        let Some(Step { node, order, at, .. }) = self.above else { return };
        let next = if forward { Some(at + 1) } else { at.checked_sub(1) };
        if let Some(next) = next.filter(|next| *next < order.len()) {
            node.child(order, next).prefetch_leaf();
        }
    }

    /// The cursor has come here from the leaf before or behind.
    #[inline(never)]
    fn ask_first(self, forward: bool) {
        let len = self.order.len();
        for i in 0..AHEAD.min(len) {
            self.node.entry(self.order, if forward { i } else { len - 1 - i }).prefetch();
        }
    }
}

impl<'a> Step<'a> {
    /// The same node, but to the child at `at`, a leaf; `None` if the node has changed.
    fn child(self, at: usize) -> Option<Leaf<'a>> {
        let Step { node, order, low, high, .. } = self;
        let child = node.child(order, at);
        (node.order() == order).then(|| Leaf {
            node: child,
            order: child.order(),
            low: if at > 0 { node.entry(order, at) } else { low },
            high: if at + 1 < order.len() { Some(node.entry(order, at + 1)) } else { high },
            above: Some(Step { at, ..self }),
        })
    }
}

/// Steps from the root down.
struct Path<'a> {
    steps: [Option<Step<'a>>; HEIGHT_MAX],
    len: usize,
}

impl<'a> Path<'a> {
    fn push(&mut self, step: Step<'a>) {
        self.steps[self.len] = Some(step);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Step<'a>> {
        self.len = self.len.checked_sub(1)?;
        self.steps[self.len]
    }
}

/// Goes from `root` to the leaf whose range `target` lies in; with `before`, to the one whose range the entry just
/// before it would lie in.
#[inline]
fn descend<'a>(
    root: NodeRef<'a>,
    target: Target<'_>,
    before: bool,
    mut on_step: impl FnMut(Step<'a>),
) -> Leaf<'a> {
    let (mut node, mut low, mut high, mut above) = (root, Entry::first(), None, None);
    loop {
        let order = node.order();
        if node.height() == 0 {
            return Leaf { node, order, low, high, above };
        }
        // The first child's range begins where the node's does.
        let at = node.rank(order, target, !before).saturating_sub(1);
        let child = node.child(order, at);
        if node.order() != order {
            continue;
        }
        let step = Step { node, order, at, low, high };
        on_step(step);
        above = Some(step);
        low = node.entry(order, at);
        if at + 1 < order.len() {
            high = Some(node.entry(order, at + 1));
        }
        node = child;
    }
}

/// Where sixteen parts, of which the one at `at` is new, are cut in two: in halves, but ascending keys leave full nodes
/// behind.
fn cut(at: usize, high: Option<Entry<'_>>) -> usize {
    if at == WIDTH && high.is_none() { WIDTH } else { HALF }
}

/// The old node's parts with one more at `at`.
fn with_one<T: Copy>(old: impl Fn(usize) -> T, at: usize, one: T) -> [T; WIDTH + 1] {
    std::array::from_fn(|i| match i {
        i if i < at => old(i),
        i if i == at => one,
        i => old(i - 1),
    })
}

/// Tree of wide nodes.
pub struct WideIndex {
    /// Null until the first entry.
    root: AtomicPtr<Node>,
    /// The last leaf; for the writer.
    edge: AtomicPtr<Node>,
    memory: Mutex<Memory>,
    len: AtomicU64,
    used: AtomicU64,
}

impl Default for WideIndex {
    fn default() -> WideIndex {
        WideIndex::new()
    }
}

impl WideIndex {
    pub fn new() -> WideIndex {
        let memory = Mutex::new(Memory { entries: Arena::new(), nodes: Arena::new() });
        let (len, used) = (AtomicU64::new(0), AtomicU64::new(0));
        let [root, edge] = [const { AtomicPtr::new(ptr::null_mut()) }; 2];
        WideIndex { root, edge, memory, len, used }
    }

    fn root(&self) -> Option<NodeRef<'_>> {
        // SAFETY: stored with Release by `show_root`, from a node in this index's arena.
        unsafe { NodeRef::from_ptr(self.root.load(Ordering::Acquire)) }
    }

    fn show_root(&self, node: NodeRef<'_>) {
        self.root.store(node.as_ptr(), Ordering::Release);
    }

    /// Adds `entry` below `root`.
    fn add<'a>(&'a self, memory: &mut Memory, root: NodeRef<'a>, entry: Entry<'a>) -> Result<()> {
        let target = entry.target();
        let mut path = Path { steps: [None; HEIGHT_MAX], len: 0 };
        let leaf = descend(root, target, false, |step| path.push(step));
        let at = leaf.node.rank(leaf.order, target, false);
        let len = leaf.order.len();
        let like = if at < len { leaf.node.entry_like(leaf.order, at, target.key) } else { None };
        if like.is_some_and(|like| like.tag() == target.tag && like.key() == target.key) {
            let message = format!("memtable holds sequence {} of a key already", target.tag >> 8);
            return Err(Error::new(ErrorKind::Corrupt, Area::Engine, message));
        }
        if len < WIDTH {
            leaf.node.add_entry(at, entry);
            return Ok(());
        }
        let all = with_one(|i| leaf.node.entry(leaf.order, i), at, entry);
        let cut = cut(at, leaf.high);
        let left = memory.leaf(shared(leaf.low, Some(all[cut])), &all[..cut])?;
        let right = memory.leaf(shared(all[cut], leaf.high), &all[cut..])?;
        self.show(memory, &mut path, left, (all[cut], right))?;
        leaf.node.set_replaced();
        if leaf.high.is_none() {
            self.edge.store(right.as_ptr(), Ordering::Release);
        }
        Ok(())
    }

    /// Adds `entry` if it comes behind all others and needs no split: ascending keys are not searched for.
    fn append(&self, entry: Entry<'_>) -> bool {
        // SAFETY: stored with Release, from a node in this index's arena.
        let Some(edge) = (unsafe { NodeRef::from_ptr(self.edge.load(Ordering::Acquire)) }) else {
            return false;
        };
        let order = edge.order();
        let behind = order.len() < WIDTH && edge.entry(order, order.len() - 1).is_before(entry);
        if behind {
            edge.add_entry(order.len(), entry);
        }
        behind
    }

    /// Shows a split: the child where `path` went becomes `new`, and `right` comes behind it.
    fn show<'a>(
        &'a self,
        memory: &mut Memory,
        path: &mut Path<'a>,
        mut new: NodeRef<'a>,
        mut right: Branch<'a>,
    ) -> Result<()> {
        while let Some(Step { node, order, at, low, high }) = path.pop() {
            if order.len() < WIDTH {
                // The order of these two is what readers rely on.
                node.add_child(at + 1, right);
                node.set_child(order, at, new);
                return Ok(());
            }
            let branch =
                |i| (node.entry(order, i), if i == at { new } else { node.child(order, i) });
            let all = with_one(branch, at + 1, right);
            let cut = cut(at + 1, high);
            let middle = all[cut].0;
            new = memory.inner(shared(low, Some(middle)), node.height(), &all[..cut])?;
            right = (middle, memory.inner(shared(middle, high), node.height(), &all[cut..])?);
        }
        let branches = [(Entry::first(), new), right];
        let root = memory.inner(0, new.height() + 1, &branches)?;
        self.show_root(root);
        Ok(())
    }

    /// The first entry that is not before `target`; with `after`, the first behind it.
    fn seek(&self, target: Target<'_>, after: bool) -> Option<Place<'_>> {
        let leaf = descend(self.root()?, target, false, |_| ());
        let at = leaf.node.rank(leaf.order, target, after);
        if at < leaf.order.len() {
            return Some(Place::new(leaf, at));
        }
        // The next range begins with an entry (invariant 2).
        let next = leaf.high?.target();
        let leaf = descend(self.root()?, next, false, |_| ());
        Some(Place::new(leaf, leaf.node.rank(leaf.order, next, false)))
    }

    /// The last entry before `target`.
    fn seek_before(&self, target: Target<'_>) -> Option<Place<'_>> {
        let leaf = descend(self.root()?, target, true, |_| ());
        let at = leaf.node.rank(leaf.order, target, false).checked_sub(1)?;
        Some(Place::new(leaf, at))
    }

    fn first(&self) -> Option<Place<'_>> {
        self.seek(Entry::first().target(), false)
    }

    fn last(&self) -> Option<Place<'_>> {
        let (mut node, mut low, mut above) = (self.root()?, Entry::first(), None);
        loop {
            let order = node.order();
            let at = order.len() - 1;
            if node.height() == 0 {
                return Some(Place::new(Leaf { node, order, low, high: None, above }, at));
            }
            let child = node.child(order, at);
            if node.order() == order {
                above = Some(Step { node, order, at, low, high: None });
                low = node.entry(order, at);
                node = child;
            }
        }
    }
}

impl MemIndex for WideIndex {
    type Cursor = WideCursor;

    fn insert(&self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        let mut memory = self.memory.lock();
        let entry = memory.store(key, tag, value)?;
        match self.root() {
            Some(_) if self.append(entry) => {}
            Some(root) => self.add(&mut memory, root, entry)?,
            None => {
                let leaf = memory.leaf(0, &[entry])?;
                self.edge.store(leaf.as_ptr(), Ordering::Release);
                self.show_root(leaf);
            }
        }
        self.used.store(memory.used(), Ordering::Relaxed);
        // One writer at a time, so a load and a store are enough.
        self.len.store(self.len.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Ok(())
    }

    fn get(&self, key: &[u8], seek_tag: Tag) -> Option<(Tag, &[u8])> {
        let target = Target { key, tag: seek_tag };
        let leaf = descend(self.root()?, target, false, |_| ());
        let at = leaf.node.rank(leaf.order, target, false);
        let entry = if at < leaf.order.len() {
            leaf.node.entry_like(leaf.order, at, key)?
        } else {
            // The next range begins with an entry (invariant 2).
            leaf.high?
        };
        (entry.key() == key).then(|| (entry.tag(), entry.value()))
    }

    fn cursor(self: &Arc<WideIndex>) -> WideCursor {
        WideCursor { place: None, index: self.clone() }
    }

    fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

/// An entry and where it was found.
#[derive(Clone, Copy)]
struct Place<'a> {
    leaf: Leaf<'a>,
    at: usize,
    entry: Entry<'a>,
}

impl<'a> Place<'a> {
    fn new(leaf: Leaf<'a>, at: usize) -> Place<'a> {
        Place { leaf, at, entry: leaf.node.entry(leaf.order, at) }
    }

    /// Forgets how long the index lives.
    ///
    /// # Safety
    /// The caller keeps the index as long as it uses the result.
    unsafe fn forever(self) -> Place<'static> {
        // SAFETY: the lifetime is all that changes, and the caller keeps what it stands for.
        unsafe { std::mem::transmute::<Place<'a>, Place<'static>>(self) }
    }

    /// The same entry in the leaf as it is now; `None` when others stand in the leaf's place.
    fn now(self) -> Option<Place<'a>> {
        let Leaf { node, order, .. } = self.leaf;
        // In this order: what was inserted before the leaf was replaced is in its order.
        if node.replaced() {
            return None;
        }
        let now = node.order();
        if now == order {
            return Some(self);
        }
        let at = node.moved(order, self.at, now);
        Some(Place { leaf: Leaf { order: now, ..self.leaf }, at, entry: self.entry })
    }
}

/// Cursor over a [`WideIndex`]: a step inside a leaf, a search from the root at its ends.
pub struct WideCursor {
    /// Points into `index`.
    place: Option<Place<'static>>,
    index: Arc<WideIndex>,
}

// SAFETY: what `place` points to is never changed but through atomics, and belongs to no thread.
unsafe impl Send for WideCursor {}

impl WideCursor {
    fn stand(&mut self, find: impl FnOnce(&WideIndex) -> Option<Place<'_>>) {
        // SAFETY: the index is kept by `self.index`, which is never replaced.
        self.place = find(&self.index).map(|place| unsafe { place.forever() });
    }

    fn entry(&self) -> Entry<'_> {
        self.place.expect("the caller checked that the cursor is valid").entry
    }
}

impl InternalIterator for WideCursor {
    fn valid(&self) -> bool {
        self.place.is_some()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.stand(WideIndex::first);
        Ok(())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.stand(WideIndex::last);
        Ok(())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.stand(|index| index.seek(Target { key, tag }, false));
        Ok(())
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.stand(|index| index.seek_before(Target { key, tag }));
        Ok(())
    }

    fn next(&mut self) -> Result<()> {
        let Some(place) = self.place else { return Ok(()) };
        let next = match place.now() {
            Some(Place { leaf, at, .. }) if at + 1 < leaf.order.len() => {
                leaf.ask_ahead(at + 1, true);
                Some((leaf, at + 1))
            }
            Some(Place { leaf, .. }) => leaf.neighbour(true).map(|next| {
                next.ask_first(true);
                (next, 0)
            }),
            None => None,
        };
        match next {
            Some((leaf, at)) => self.place = Some(Place::new(leaf, at)),
            None => self.stand(|index| index.seek(place.entry.target(), true)),
        }
        Ok(())
    }

    fn prev(&mut self) -> Result<()> {
        let Some(place) = self.place else { return Ok(()) };
        let next = match place.now() {
            Some(Place { leaf, at, .. }) if at > 0 => {
                leaf.ask_ahead(at - 1, false);
                Some((leaf, at - 1))
            }
            Some(Place { leaf, .. }) => leaf.neighbour(false).map(|next| {
                next.ask_first(false);
                (next, next.order.len() - 1)
            }),
            None => None,
        };
        match next {
            Some((leaf, at)) => self.place = Some(Place::new(leaf, at)),
            None => self.stand(|index| index.seek_before(place.entry.target())),
        }
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.entry().key()
    }

    fn tag(&self) -> Tag {
        self.entry().tag()
    }

    fn value(&self) -> &[u8] {
        self.entry().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_move_between_threads() {
        fn check<T: Send>() {}
        check::<WideCursor>();
    }

    #[test]
    fn ascending_keys_fill_their_leaves() {
        let index = WideIndex::new();
        for n in 0..100_000u64 {
            index.insert(&n.to_be_bytes(), 0x101, b"").unwrap();
        }
        let nodes = index.memory.lock().nodes.used();
        // Each full leaf was copied once more.
        assert!(nodes < 2 * 100_000 / 14 * (LEAF_LEN + INNER_LEN / 14) as u64, "{nodes}");
    }
}
