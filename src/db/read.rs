//! Point reads.
//!
//! Invariants
//! 1. The state is pinned first, then the sequence number is read (see `read_state`).
//! 2. The first hit from newest to oldest wins: active memtable, frozen ones, level 0 newest first, then
//!    at most one table per level.
//! 3. A pinned value keeps its memory alive, also after the database is closed.
#![allow(unsafe_code, reason = "a value pinned in a memtable is a pointer beside its owner")]

use crate::db::core::DbCore;
use crate::db::read_state::ReadState;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::hash::hash64;
use crate::key::{EntryKind, Tag, seek_tag, tag_kind};
use crate::memtable::table::MemTable;
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::sync::{Arc, Instant};
use crate::table::handle::TableHandle;
use crate::table::reader::BlockValue;
use crate::types::{KEY_LEN_MAX, SeqNo};

/// How to read.
#[derive(Clone, Debug, Default)]
pub struct ReadParams {
    /// Sequence number of a live snapshot; `None` = the latest.
    pub snapshot: Option<SeqNo>,
    pub no_fill: bool,
    /// `exists` only: ask memtables and filters, read no block.
    pub filter_only: bool,
    pub keys_only: bool,
    pub lower: Option<Vec<u8>>,
    pub lower_exclusive: bool,
    pub upper: Option<Vec<u8>>,
    pub upper_inclusive: bool,
    pub prefix: Option<Vec<u8>>,
    /// Most rows after a first, last or seek; 0 = all.
    pub limit: u64,
    /// Microseconds one call may take; 0 = no limit.
    pub timeout_us: u64,
}

impl ReadParams {
    /// What `default` gives.
    pub const DEFAULT: ReadParams = ReadParams {
        snapshot: None,
        no_fill: false,
        filter_only: false,
        keys_only: false,
        lower: None,
        lower_exclusive: false,
        upper: None,
        upper_inclusive: false,
        prefix: None,
        limit: 0,
        timeout_us: 0,
    };
}

/// A value lent by the database.
pub struct PinnedValue(Owner);

enum Owner {
    Memory {
        data: *const u8,
        len: usize,
        _owner: Arc<MemTable>,
    },
    Block(BlockValue),
    /// `exists` with filters only: there is perhaps a value.
    Unknown,
}

// SAFETY: the pointer leads into the arena of the memtable held beside it, whose entries are immutable
// and whose memory is freed with the last reference, from whichever thread; `MemTable` is Send and Sync.
unsafe impl Send for PinnedValue {}
// SAFETY: as above; the bytes are only read.
unsafe impl Sync for PinnedValue {}

impl std::ops::Deref for PinnedValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: `data` and `len` came from a slice borrowed from `_owner`, whose arena never moves or
            // changes an entry while the owner lives.
            Owner::Memory { data, len, .. } => unsafe { std::slice::from_raw_parts(*data, *len) },
            Owner::Block(value) => value.as_slice(),
            Owner::Unknown => &[],
        }
    }
}

/// What one source says about a key.
enum Answer {
    Nothing,
    Deleted,
    Found(PinnedValue),
}

fn answer(tag: Tag, value: Owner) -> Result<Answer> {
    match tag_kind(tag) {
        Some(EntryKind::Put) => Ok(Answer::Found(PinnedValue(value))),
        Some(EntryKind::Delete) => Ok(Answer::Deleted),
        None => {
            let message = format!("entry of unknown kind {}", tag as u8);
            Err(Error::new(ErrorKind::Corrupt, Area::Table, message))
        }
    }
}

fn check_key(order: &Order, key: &[u8]) -> Result<()> {
    if key.len() <= KEY_LEN_MAX {
        return order.check_key(key);
    }
    let message = format!("key of {} bytes, at most {KEY_LEN_MAX}", key.len());
    let error = Error::new(ErrorKind::Limit, Area::Argument, message);
    Err(error.with_value(KEY_LEN_MAX as u64))
}

/// One point lookup: the key, its hash once a table asks for it, and how far back to look.
struct Lookup<'a> {
    core: &'a DbCore,
    key: &'a [u8],
    hash: u64,
    tag: Tag,
    params: &'a ReadParams,
    deadline: Option<Instant>,
}

impl DbCore {
    /// The value of a key, or `None` when it is absent.
    pub fn get(&self, params: &ReadParams, key: &[u8]) -> Result<Option<PinnedValue>> {
        self.check_open()?;
        check_key(&self.keyspace.order, key)?;
        self.stats.gets.add(1);
        let early = planted::is(Planted::SequenceBeforeState).then(|| self.visible());
        let found = self.keyspace.state.with(|state| {
            // After the state, never before it: see read_state.
            let seq = params.snapshot.or(early).unwrap_or_else(|| self.visible());
            let deadline = crate::db::background::deadline_after(params.timeout_us);
            let tag = seek_tag(seq);
            Lookup { core: self, key, hash: 0, tag, params, deadline }.run(state)
        })?;
        self.stats.gets_found.add(u64::from(found.is_some()));
        Ok(found)
    }

    /// Reads `n` keys from one view and within one time limit. `key_at` names them, `give` gets what was
    /// found for each, in the same order; an error of one key does not end the call.
    pub fn multi_get<'k>(
        &self,
        params: &ReadParams,
        n: usize,
        key_at: impl Fn(usize) -> Result<&'k [u8]>,
        mut give: impl FnMut(usize, Result<Option<PinnedValue>>),
    ) -> Result<()> {
        self.check_open()?;
        let mut hits = 0;
        self.keyspace.state.with(|state| {
            // After the state, never before it: see read_state.
            let seq = params.snapshot.unwrap_or_else(|| self.visible());
            let deadline = crate::db::background::deadline_after(params.timeout_us);
            let tag = seek_tag(seq);
            for at in 0..n {
                let found = key_at(at).and_then(|key| {
                    check_key(&self.keyspace.order, key)?;
                    Lookup { core: self, key, hash: 0, tag, params, deadline }.run(state)
                });
                hits += u64::from(matches!(found, Ok(Some(_))));
                give(at, found);
            }
        });
        self.stats.gets.add(n as u64);
        self.stats.gets_found.add(hits);
        Ok(())
    }
}

impl Lookup<'_> {
    fn run(mut self, state: &ReadState) -> Result<Option<PinnedValue>> {
        for memtable in std::iter::once(&state.active).chain(&state.frozen) {
            match self.ask_memtable(memtable)? {
                Answer::Nothing => {}
                Answer::Deleted => return Ok(None),
                Answer::Found(value) => return Ok(Some(value)),
            }
        }
        self.hash = hash64(self.key, 0);
        let order = &self.core.keyspace.order;
        for table in state.version.level(0) {
            if order.compare(self.key, &table.meta.smallest).is_lt()
                || order.compare(self.key, &table.meta.largest).is_gt()
            {
                continue;
            }
            match self.ask_table(table)? {
                Answer::Nothing => {}
                Answer::Deleted => return Ok(None),
                Answer::Found(value) => return Ok(Some(value)),
            }
        }
        for level in 1..state.version.levels() {
            let Some(table) = state.version.find(level, self.key) else { continue };
            match self.ask_table(table)? {
                Answer::Nothing => {}
                Answer::Deleted => return Ok(None),
                Answer::Found(value) => return Ok(Some(value)),
            }
        }
        Ok(None)
    }

    fn ask_memtable(&self, memtable: &Arc<MemTable>) -> Result<Answer> {
        match memtable.get(self.key, self.tag) {
            None => Ok(Answer::Nothing),
            Some((tag, value)) => {
                let (data, len) = (value.as_ptr(), value.len());
                answer(tag, Owner::Memory { data, len, _owner: memtable.clone() })
            }
        }
    }

    fn ask_table(&self, table: &Arc<TableHandle>) -> Result<Answer> {
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            let message = "the time limit of the read passed";
            return Err(Error::new(ErrorKind::Timeout, Area::Engine, message).retryable());
        }
        let reader = self.core.tables.reader(table)?;
        if self.params.filter_only {
            let perhaps = reader.may_contain(self.key, self.hash);
            return Ok(if perhaps {
                Answer::Found(PinnedValue(Owner::Unknown))
            } else {
                Answer::Nothing
            });
        }
        match reader.get(self.key, self.hash, self.tag, !self.params.no_fill)? {
            None => Ok(Answer::Nothing),
            Some((tag, value)) => answer(tag, Owner::Block(value)),
        }
    }
}
