//! Merging cursor: many cursors over internal keys shown as one.
//!
//! The children that stand on an entry form a binary heap of child numbers; its root is the current one.
//! After a move only the root's place is restored: two comparisons while the same child stays in front
//! (one with two children), so a heap costs no more than a linear search also for few children.
//!
//! The merged order is (key, tag descending, child number), total even when two children hold the same
//! internal key. Backward is its exact mirror, so turning round repeats and skips nothing.
//!
//! Invariants
//! 1. Yields the multiset union in internal order; of equal entries the earlier child's comes first.
//! 2. Going forward, every other child stands on its first entry behind the current one in the merged
//!    order; backward, on its last entry before it. A child not in the heap has none.
//! 3. No allocation per entry: only turning round copies the key, into a buffer that is kept.
//! 4. An error stays until the next seek.

use crate::buffer;
use crate::error::{Area, Error, Result};
use crate::iter::internal::InternalIterator;
use crate::key::Tag;
use crate::order::Order;
use std::cmp::Ordering;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

/// Cursor over the union of `children`, newest first.
pub struct MergingIter<I> {
    children: Vec<I>,
    order: Order,
    /// Children that stand on an entry, as a heap: the root is next in `direction`.
    heap: Vec<usize>,
    /// Where in the heap the root's better child is; 0 when that is not known. While the root's child stays
    /// first, a step then costs one comparison.
    second: usize,
    direction: Direction,
    error: Option<Error>,
    turn_key: Vec<u8>,
}

impl<I: InternalIterator> MergingIter<I> {
    /// Merges `children`, newest first, whose keys come in `order`: of equal internal keys the earlier
    /// child's entry comes first. Touches no child before the first seek.
    pub fn new(children: Vec<I>, order: Order) -> MergingIter<I> {
        let heap = Vec::with_capacity(children.len());
        let direction = Direction::Forward;
        MergingIter {
            children,
            order,
            heap,
            second: 0,
            direction,
            error: None,
            turn_key: Vec::new(),
        }
    }

    /// Whether child `a` comes before child `b` in the current direction.
    fn ahead(&self, a: usize, b: usize) -> bool {
        let (x, y) = (&self.children[a], &self.children[b]);
        let keys = self.order.compare_internal(x.key(), x.tag(), y.key(), y.tag());
        let place = keys.then(a.cmp(&b));
        match self.direction {
            Direction::Forward => place == Ordering::Less,
            Direction::Backward => place == Ordering::Greater,
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let mut best = 2 * at + 1;
            if best >= self.heap.len() {
                return;
            }
            if best + 1 < self.heap.len() && self.ahead(self.heap[best + 1], self.heap[best]) {
                best += 1;
            }
            if !self.ahead(self.heap[best], self.heap[at]) {
                return;
            }
            self.heap.swap(at, best);
            at = best;
        }
    }

    /// `sift_down` of the root, which alone has changed.
    fn settle(&mut self) {
        if self.second == 0 {
            let two = self.heap.len() > 2 && self.ahead(self.heap[2], self.heap[1]);
            self.second = if two { 2 } else { 1 };
        }
        let second = self.second;
        if second < self.heap.len() && self.ahead(self.heap[second], self.heap[0]) {
            self.heap.swap(0, second);
            self.second = 0;
            self.sift_down(second);
        }
    }

    fn build_heap(&mut self) {
        self.second = 0;
        self.heap.clear();
        let children = &self.children;
        self.heap.extend((0..children.len()).filter(|&child| children[child].valid()));
        for at in (0..self.heap.len() / 2).rev() {
            self.sift_down(at);
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.heap.clear();
        self.error = Some(error.clone());
        error
    }

    /// Moves every child by `position` and starts anew.
    fn position(
        &mut self,
        direction: Direction,
        mut position: impl FnMut(usize, &mut I) -> Result<()>,
    ) -> Result<()> {
        self.error = None;
        self.direction = direction;
        for child in 0..self.children.len() {
            if let Err(error) = position(child, &mut self.children[child]) {
                return Err(self.fail(error));
            }
        }
        self.build_heap();
        Ok(())
    }

    /// The current entry's child; the error again after one.
    fn current(&self) -> Result<usize> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(self.root()),
        }
    }

    fn root(&self) -> usize {
        *self.heap.first().expect("the caller checked that the cursor is valid")
    }

    /// Moves the root's child one step in the current direction and restores the heap.
    fn step(&mut self, root: usize) -> Result<()> {
        let child = &mut self.children[root];
        let moved = match self.direction {
            Direction::Forward => child.next(),
            Direction::Backward => child.prev(),
        };
        if let Err(error) = moved {
            return Err(self.fail(error));
        }
        if !self.children[root].valid() {
            self.heap.swap_remove(0);
            self.second = 0;
            self.sift_down(0);
        } else {
            self.settle();
        }
        Ok(())
    }

    /// Turns round at the current entry, which is `root`'s, and moves one step that way.
    fn turn(&mut self, root: usize, direction: Direction) -> Result<()> {
        let mut key = std::mem::take(&mut self.turn_key);
        if let Err(error) = buffer::refill(&mut key, self.children[root].key(), Area::Engine) {
            return Err(self.fail(error));
        }
        let tag = self.children[root].tag();
        // Equal entries of earlier children come before the current one, those of later ones behind it.
        // The kind in a tag is never 0, so `tag - 1` is the very next internal key.
        let behind = tag.saturating_sub(1);
        let moved = self.position(direction, |child, iter| {
            let limit = if child < root { behind } else { tag };
            match direction {
                Direction::Forward if child == root => iter.next(),
                Direction::Forward => iter.seek(&key, limit),
                Direction::Backward if child == root => iter.prev(),
                Direction::Backward => iter.seek_before(&key, limit),
            }
        });
        self.turn_key = key;
        moved
    }

    fn advance(&mut self, direction: Direction) -> Result<()> {
        let root = self.current()?;
        if self.direction == direction { self.step(root) } else { self.turn(root, direction) }
    }
}

impl<I: InternalIterator> InternalIterator for MergingIter<I> {
    fn valid(&self) -> bool {
        !self.heap.is_empty()
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.position(Direction::Forward, |_, child| child.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.position(Direction::Backward, |_, child| child.seek_to_last())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.position(Direction::Forward, |_, child| child.seek(key, tag))
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.position(Direction::Backward, |_, child| child.seek_before(key, tag))
    }

    fn next(&mut self) -> Result<()> {
        self.advance(Direction::Forward)
    }

    fn prev(&mut self) -> Result<()> {
        self.advance(Direction::Backward)
    }

    #[inline]
    fn key(&self) -> &[u8] {
        self.children[self.root()].key()
    }

    #[inline]
    fn tag(&self) -> Tag {
        self.children[self.root()].tag()
    }

    #[inline]
    fn value(&self) -> &[u8] {
        self.children[self.root()].value()
    }
}
