//! A simulated directory: the names processes see, the durable ones, and the changes in between.
//!
//! Invariants
//! 1. `durable` changes in `sync` only, but for the tests' own tampering and for what is left after a power cut.
//! 2. A rename is one change: no image ever holds both names of it, or neither.

use std::collections::BTreeMap;

/// Names and the inodes they stand for.
pub(super) type Entries = BTreeMap<Vec<u8>, u64>;

/// What happened to a name.
#[derive(Clone)]
pub(super) enum Change {
    Link { name: Vec<u8>, inode: u64 },
    Unlink { name: Vec<u8> },
    Rename { from: Vec<u8>, to: Vec<u8>, inode: u64 },
}

impl Change {
    pub fn apply(&self, entries: &mut Entries) {
        match self {
            Change::Link { name, inode } => {
                entries.insert(name.clone(), *inode);
            }
            Change::Unlink { name } => {
                entries.remove(name);
            }
            Change::Rename { from, to, inode } => {
                entries.remove(from);
                entries.insert(to.clone(), *inode);
            }
        }
    }

    /// The names it concerns.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let (first, second) = match self {
            Change::Link { name, .. } | Change::Unlink { name } => (name, None),
            Change::Rename { from, to, .. } => (from, Some(to)),
        };
        [first].into_iter().chain(second).map(Vec::as_slice)
    }

    /// The inode it gives a name to.
    pub fn inode(&self) -> Option<u64> {
        match self {
            Change::Link { inode, .. } | Change::Rename { inode, .. } => Some(*inode),
            Change::Unlink { .. } => None,
        }
    }
}

/// A change that is not durable yet. `order` is its place in the kernel's journal of metadata.
#[derive(Clone)]
pub(super) struct DirOp {
    pub order: u64,
    pub change: Change,
}

/// One directory.
#[derive(Clone)]
pub(super) struct DirNode {
    pub parent: u64,
    pub now: Entries,
    pub durable: Entries,
    pub pending: Vec<DirOp>,
}

impl DirNode {
    pub fn new(parent: u64) -> DirNode {
        let (now, durable) = (Entries::new(), Entries::new());
        DirNode { parent, now, durable, pending: Vec::new() }
    }

    pub fn change(&mut self, change: Change, order: u64) {
        change.apply(&mut self.now);
        self.pending.push(DirOp { order, change });
    }

    /// Makes all pending changes durable.
    pub fn sync(&mut self) {
        for op in self.pending.drain(..) {
            op.change.apply(&mut self.durable);
        }
    }

    /// A sync that the disk refused: the changes are seen by processes and will never be written.
    pub fn fail_sync(&mut self) {
        self.pending.clear();
    }

    /// Starts over with these names, all durable.
    pub fn restart(&mut self, entries: Entries) {
        self.pending.clear();
        self.durable = entries.clone();
        self.now = entries;
    }

    /// Every inode that a name here stands for, or may stand for after a crash.
    pub fn mentioned(&self) -> impl Iterator<Item = u64> + '_ {
        let pending = self.pending.iter().filter_map(|op| op.change.inode());
        self.now.values().chain(self.durable.values()).copied().chain(pending)
    }
}
