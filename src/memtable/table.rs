//! The memtable: sorted recent writes of one keyspace.
//!
//! Life: made empty and active, filled by one writer at a time, frozen when full, flushed, dropped. It
//! remembers which log its first write went to, so that this log is kept until the memtable is flushed.
//!
//! Invariants
//! 1. Immutable once frozen.
//! 2. The last reference frees nothing itself: dropping the list and its memory takes tens of milliseconds
//!    for a full memtable, so they go to the retire list.

use crate::error::Result;
use crate::iter::internal::InternalIterator;
use crate::key::{EntryKind, Tag, tag_kind, tag_seq};
use crate::memtable::index::{IndexKind, MemIndex};
use crate::memtable::skiplist::{SkipCursor, SkipIndex};
use crate::memtable::wide::{WideCursor, WideIndex};
use crate::order::Order;
use crate::retire::RetireList;
use crate::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use crate::types::{FileNum, KeyspaceId, SeqNo};

/// The index that a memtable was made with.
enum Index {
    SkipList(Arc<SkipIndex>),
    Wide(Arc<WideIndex>),
}

/// Its cursor.
enum Cursor {
    SkipList(SkipCursor),
    Wide(WideCursor),
}

macro_rules! each {
    ($of:ident, $self:expr, $one:ident => $body:expr) => {
        match $self {
            $of::SkipList($one) => $body,
            $of::Wide($one) => $body,
        }
    };
}

/// Sorted recent writes of one keyspace.
pub struct MemTable {
    keyspace: KeyspaceId,
    /// Present until `drop` takes it.
    index: Option<Index>,
    max_seq: AtomicU64,
    deletes: AtomicU64,
    /// Number of the first log that holds a write of this memtable; 0 when there is none.
    first_log: AtomicU64,
    unlogged: AtomicBool,
    /// 0 until frozen.
    frozen_at: AtomicU64,
    retire: Option<Arc<RetireList>>,
}

impl MemTable {
    /// Makes an empty memtable; `kind` counts for keys ordered by their bytes only, others go to a skip list. Its
    /// memory goes to `retire` in the end, or is freed in place without one.
    pub fn new(
        keyspace: KeyspaceId,
        order: Order,
        kind: IndexKind,
        retire: Option<Arc<RetireList>>,
    ) -> Arc<MemTable> {
        let index = match kind {
            IndexKind::Wide if order.is_bytewise() => Index::Wide(Arc::new(WideIndex::new())),
            _ => Index::SkipList(Arc::new(SkipIndex::new(order))),
        };
        Arc::new(MemTable {
            keyspace,
            index: Some(index),
            max_seq: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            first_log: AtomicU64::new(0),
            unlogged: AtomicBool::new(false),
            frozen_at: AtomicU64::new(0),
            retire,
        })
    }

    fn index(&self) -> &Index {
        self.index.as_ref().expect("only drop takes the index")
    }

    /// Adds an entry; one writer at a time. `NOMEM` leaves the memtable as it was.
    ///
    /// # Panics
    /// When the memtable is frozen: the entry would be missing from the flushed table.
    pub fn insert(&self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        assert!(self.frozen_at() == 0, "insert into a frozen memtable");
        each!(Index, self.index(), index => index.insert(key, tag, value))?;
        // There is one writer, so a load and a store are enough.
        if tag_seq(tag) > self.max_seq.load(Ordering::Relaxed) {
            self.max_seq.store(tag_seq(tag), Ordering::Relaxed);
        }
        if tag_kind(tag) == Some(EntryKind::Delete) {
            self.deletes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Finds the newest entry of `key` whose tag is at most `seek_tag`.
    pub fn get(&self, key: &[u8], seek_tag: Tag) -> Option<(Tag, &[u8])> {
        each!(Index, self.index(), index => index.get(key, seek_tag))
    }

    /// Makes a cursor that keeps the memtable alive and sees every entry inserted before each of its moves.
    pub fn iter(self: &Arc<MemTable>) -> MemIter {
        let cursor = match self.index() {
            Index::SkipList(index) => Cursor::SkipList(index.cursor()),
            Index::Wide(index) => Cursor::Wide(index.cursor()),
        };
        MemIter { cursor, _memtable: self.clone() }
    }

    /// Memory in use: key and value bytes and an estimate of the index's share.
    pub fn bytes(&self) -> u64 {
        each!(Index, self.index(), index => index.bytes())
    }

    /// Entries, deletes included.
    pub fn len(&self) -> u64 {
        each!(Index, self.index(), index => index.len())
    }

    pub fn is_empty(&self) -> bool {
        each!(Index, self.index(), index => index.is_empty())
    }

    /// Largest sequence number inserted; 0 when empty.
    #[cfg(any(test, feature = "internals"))]
    pub fn max_seq(&self) -> SeqNo {
        self.max_seq.load(Ordering::Relaxed)
    }

    pub fn deletes(&self) -> u64 {
        self.deletes.load(Ordering::Relaxed)
    }

    pub fn keyspace(&self) -> KeyspaceId {
        self.keyspace
    }

    /// Says that a write of this memtable went to `log`; only the first call has an effect.
    pub fn note_log(&self, log: FileNum) {
        if self.first_log.load(Ordering::Relaxed) == 0 {
            self.first_log.store(log.0, Ordering::Release);
        }
    }

    /// The oldest log that this memtable needs.
    pub fn first_log(&self) -> Option<FileNum> {
        match self.first_log.load(Ordering::Acquire) {
            0 => None,
            number => Some(FileNum(number)),
        }
    }

    /// Says that a write went into no log.
    pub fn note_unlogged(&self) {
        self.unlogged.store(true, Ordering::Release);
    }

    pub fn has_unlogged(&self) -> bool {
        self.unlogged.load(Ordering::Acquire)
    }

    /// Ends the insertions: every write of the keyspace up to `seq` is in this memtable or an older one.
    pub fn freeze(&self, seq: SeqNo) {
        self.frozen_at.store(seq, Ordering::Release);
    }

    /// The sequence number it was frozen at; 0 until then.
    pub fn frozen_at(&self) -> SeqNo {
        self.frozen_at.load(Ordering::Acquire)
    }
}

impl Drop for MemTable {
    fn drop(&mut self) {
        if let (Some(retire), Some(index)) = (&self.retire, self.index.take()) {
            let holders = each!(Index, &index, index => Arc::strong_count(index));
            debug_assert_eq!(holders, 1, "cursors hold the memtable and let go of the index first");
            each!(Index, index, index => retire.push(Box::new(index)));
        }
    }
}

/// Cursor over a memtable; keeps it alive.
pub struct MemIter {
    // Before the memtable: when that goes, its index must have no other holder.
    cursor: Cursor,
    _memtable: Arc<MemTable>,
}

impl InternalIterator for MemIter {
    fn valid(&self) -> bool {
        each!(Cursor, &self.cursor, cursor => cursor.valid())
    }

    fn seek_to_first(&mut self) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.seek_to_first())
    }

    fn seek_to_last(&mut self) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.seek_to_last())
    }

    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.seek(key, tag))
    }

    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.seek_before(key, tag))
    }

    fn next(&mut self) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.next())
    }

    fn prev(&mut self) -> Result<()> {
        each!(Cursor, &mut self.cursor, cursor => cursor.prev())
    }

    fn key(&self) -> &[u8] {
        each!(Cursor, &self.cursor, cursor => cursor.key())
    }

    fn tag(&self) -> Tag {
        each!(Cursor, &self.cursor, cursor => cursor.tag())
    }

    fn value(&self) -> &[u8] {
        each!(Cursor, &self.cursor, cursor => cursor.value())
    }
}
