//! The user's cursor: one fixed view, newest visible version of each key, deletions hidden.
//!
//! Going forward the merging cursor stands on the row itself and the row borrows from it. Going backward
//! it must run past the oldest to the newest visible version of a key, so key and value are copied and
//! the merging cursor stands before all versions of the row's key.
//!
//! Invariants
//! 1. The sequence number and the sources are fixed when the cursor is made; the sources are pinned.
//! 2. Bounds are checked on every move.
//! 3. An error stays until the next first, last or seek. A time limit that passed, a refused argument and a closed
//!    database are no errors of the cursor: it stands where it stood.

use crate::buffer::{append, copy, refill};
use crate::db::background::deadline_after;
use crate::db::bounds::Bounds;
use crate::db::core::DbCore;
use crate::db::read::ReadParams;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::iter::merge::MergingIter;
use crate::key::{EntryKind, TAG_MAX, Tag, seek_tag, tag_kind, tag_seq};
use crate::memtable::table::MemIter;
use crate::sync::{Arc, Instant, Ordering};
use crate::table::handle::TableHandle;
use crate::table::iter::TableIter;
use crate::table::level_iter::LevelIter;
use crate::table::reader::Access;
use crate::types::{KEY_LEN_MAX, SeqNo};

/// Where a seek goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeekMode {
    Ge,
    Gt,
    Le,
    Lt,
    Eq,
}

/// One sorted source of a view.
pub enum Source {
    Memory(MemIter),
    Table(TableIter),
    Level(LevelIter),
}

macro_rules! each {
    ($self:expr, $source:ident => $body:expr) => {
        match $self {
            Source::Memory($source) => $body,
            Source::Table($source) => $body,
            Source::Level($source) => $body,
        }
    };
}

impl InternalIterator for Source {
    fn valid(&self) -> bool {
        each!(self, s => s.valid())
    }
    fn seek_to_first(&mut self) -> Result<()> {
        each!(self, s => s.seek_to_first())
    }
    fn seek_to_last(&mut self) -> Result<()> {
        each!(self, s => s.seek_to_last())
    }
    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        each!(self, s => s.seek(key, tag))
    }
    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        each!(self, s => s.seek_before(key, tag))
    }
    fn next(&mut self) -> Result<()> {
        each!(self, s => s.next())
    }
    fn prev(&mut self) -> Result<()> {
        each!(self, s => s.prev())
    }
    fn key(&self) -> &[u8] {
        each!(self, s => s.key())
    }
    fn tag(&self) -> Tag {
        each!(self, s => s.tag())
    }
    fn value(&self) -> &[u8] {
        each!(self, s => s.value())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Nowhere: next goes to the first row, prev to the last.
    Fresh,
    /// On a row that the merging cursor stands on.
    Forward,
    /// On the row in `saved`; the merging cursor stands before it.
    Backward,
    BeforeStart,
    PastEnd,
    /// `limit` rows have been shown: DONE both ways until the next first, last or seek.
    Exhausted,
    /// A time limit passed between two rows; the merging cursor stands on the first entry not looked at.
    PausedForward,
    PausedBackward,
    Failed,
}

/// Where a cursor stood.
pub struct Mark {
    position: Position,
    /// Key of the row it stood on.
    key: Option<Vec<u8>>,
}

/// A copied row, or only the key that is being skipped.
#[derive(Default)]
struct Saved {
    key: Vec<u8>,
    value: Vec<u8>,
    tag: Tag,
}

/// How many hidden entries are skipped between two looks at the clock.
const CLOCK_EVERY: u32 = 256;

/// A cursor over one frozen view of the database.
pub struct DbIter {
    merge: MergingIter<Source>,
    core: Arc<DbCore>,
    seq: SeqNo,
    bounds: Bounds,
    limit: u64,
    left: u64,
    timeout_us: u64,
    deadline: Option<Instant>,
    /// Many moves are one call, whose deadline is set already.
    in_call: bool,
    position: Position,
    saved: Saved,
    /// Going forward: entries of `saved.key` are passed over.
    skip: bool,
    error: Option<Error>,
}

impl Drop for DbIter {
    fn drop(&mut self) {
        self.core.children.fetch_sub(1, Ordering::AcqRel);
        self.core.iterators.fetch_sub(1, Ordering::Relaxed);
    }
}

impl DbIter {
    /// Opens a cursor over the snapshot of `params` or the latest view.
    pub fn open(core: &Arc<DbCore>, params: &ReadParams) -> Result<DbIter> {
        core.check_open()?;
        let bounds = Bounds::of(params, &core.keyspace.order)?;
        let state = core.keyspace.state.load();
        // After the state, never before it: see read_state.
        let seq = params.snapshot.unwrap_or_else(|| core.visible());
        let access = if params.no_fill { Access::NoFill } else { Access::Cached };
        let mut sources = Vec::new();
        for memtable in std::iter::once(&state.active).chain(&state.frozen) {
            if !memtable.is_empty() {
                sources.push(Source::Memory(memtable.iter()));
            }
        }
        for table in state.version.level(0) {
            if bounds.meets(&table.meta.smallest, &table.meta.largest) {
                let reader = core.tables.reader(table)?;
                sources.push(Source::Table(TableIter::new(reader, access)));
            }
        }
        for level in 1..state.version.levels() {
            let tables = state.version.level_shared(level);
            let inside = |t: &&Arc<TableHandle>| bounds.meets(&t.meta.smallest, &t.meta.largest);
            let overlapping = tables.iter().filter(inside);
            let tables: Arc<[Arc<TableHandle>]> = match overlapping.clone().count() {
                all if all == tables.len() => tables,
                _ => overlapping.cloned().collect(),
            };
            if !tables.is_empty() {
                sources.push(Source::Level(LevelIter::new(tables, core.tables.clone(), access)));
            }
        }
        core.stats.iterators.add(1);
        core.children.fetch_add(1, Ordering::AcqRel);
        core.iterators.fetch_add(1, Ordering::Relaxed);
        Ok(DbIter {
            merge: MergingIter::new(sources, core.keyspace.order.clone()),
            core: core.clone(),
            seq,
            bounds,
            limit: params.limit,
            left: 0,
            timeout_us: params.timeout_us,
            deadline: None,
            in_call: false,
            position: Position::Fresh,
            saved: Saved::default(),
            skip: false,
            error: None,
        })
    }

    /// Whether the cursor stands on a row.
    pub fn valid(&self) -> bool {
        matches!(self.position, Position::Forward | Position::Backward)
    }

    /// The row's key; empty without a row. Valid until the next move.
    pub fn key(&self) -> &[u8] {
        match self.position {
            Position::Forward => self.merge.key(),
            Position::Backward => &self.saved.key,
            _ => &[],
        }
    }

    pub fn value(&self) -> &[u8] {
        match self.position {
            Position::Forward => self.merge.value(),
            Position::Backward => &self.saved.value,
            _ => &[],
        }
    }

    /// Sequence number of the row's write; 0 once compaction has dropped it.
    pub fn seq(&self) -> SeqNo {
        match self.position {
            Position::Forward => tag_seq(self.merge.tag()),
            Position::Backward => tag_seq(self.saved.tag),
            _ => 0,
        }
    }

    /// The error that the cursor stands in.
    #[cfg(any(test, feature = "internals"))]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// Goes to the first row; false when the range is empty.
    pub fn first(&mut self) -> Result<bool> {
        self.moving(true, |it| {
            match &it.bounds.lower {
                Some(lower) => it.merge.seek(&lower.key, lower.tag())?,
                None => it.merge.seek_to_first()?,
            }
            it.find_forward(false)
        })
    }

    /// Goes to the last row; false when the range is empty.
    pub fn last(&mut self) -> Result<bool> {
        self.moving(true, DbIter::go_last)
    }

    fn go_last(&mut self) -> Result<()> {
        match &self.bounds.upper {
            Some(upper) => self.merge.seek_before(&upper.key, upper.tag())?,
            None => self.merge.seek_to_last()?,
        }
        self.find_backward()
    }

    /// Goes one row on; false past the end.
    #[allow(clippy::should_implement_trait, reason = "a cursor: rows borrow from it")]
    pub fn next(&mut self) -> Result<bool> {
        match self.position {
            Position::Fresh | Position::BeforeStart => self.first(),
            Position::PastEnd | Position::Exhausted => self.stay(),
            Position::Failed => self.fail_again(),
            Position::Forward => self.moving(false, |it| {
                it.save_key()?;
                it.merge.next()?;
                it.find_forward(true)
            }),
            Position::Backward => self.moving(false, DbIter::on_from_saved),
            Position::PausedBackward => self.moving(false, |it| {
                it.save_key()?;
                it.on_from_saved()
            }),
            Position::PausedForward => self.moving(false, |it| it.find_forward(it.skip)),
        }
    }

    /// Goes one row back; false before the start.
    pub fn prev(&mut self) -> Result<bool> {
        match self.position {
            Position::Fresh | Position::PastEnd => self.last(),
            Position::BeforeStart | Position::Exhausted => self.stay(),
            Position::Failed => self.fail_again(),
            Position::Backward | Position::PausedBackward => {
                self.moving(false, DbIter::find_backward)
            }
            Position::Forward | Position::PausedForward => self.moving(false, |it| {
                it.save_key()?;
                it.back_from_saved()
            }),
        }
    }

    fn on_from_saved(&mut self) -> Result<()> {
        let key = std::mem::take(&mut self.saved.key);
        let sought = self.merge.seek(&key, 0);
        self.saved.key = key;
        sought?;
        self.find_forward(false)
    }

    fn back_from_saved(&mut self) -> Result<()> {
        let key = std::mem::take(&mut self.saved.key);
        let sought = self.merge.seek_before(&key, TAG_MAX);
        self.saved.key = key;
        sought?;
        self.find_backward()
    }

    /// Goes to the row that `mode` names, within the range; false when there is none.
    pub fn seek(&mut self, mode: SeekMode, key: &[u8]) -> Result<bool> {
        if key.len() > KEY_LEN_MAX {
            let message = format!("key of {} bytes, at most {KEY_LEN_MAX}", key.len());
            let error = Error::new(ErrorKind::Limit, Area::Argument, message);
            return Err(error.with_value(KEY_LEN_MAX as u64));
        }
        self.bounds.order().check_key(key)?;
        match mode {
            SeekMode::Ge | SeekMode::Gt if !self.bounds.begins_by(key) => self.first(),
            SeekMode::Le | SeekMode::Lt if self.bounds.ends_before(key) => self.last(),
            SeekMode::Ge => self.moving(true, |it| {
                it.merge.seek(key, seek_tag(it.seq))?;
                it.find_forward(false)
            }),
            SeekMode::Gt => self.moving(true, |it| {
                it.merge.seek(key, 0)?;
                it.find_forward(false)
            }),
            SeekMode::Le => self.moving(true, |it| {
                it.merge.seek_before(key, 0)?;
                it.find_backward()
            }),
            SeekMode::Lt => self.moving(true, |it| {
                it.merge.seek_before(key, TAG_MAX)?;
                it.find_backward()
            }),
            SeekMode::Eq => self.moving(true, |it| {
                let inside = it.bounds.meets(key, key);
                it.merge.seek(key, seek_tag(it.seq))?;
                let hit = inside && it.merge.valid() && it.is_at(key);
                let put = hit && it.kind()? == EntryKind::Put;
                it.position = if put { Position::Forward } else { Position::Fresh };
                Ok(())
            }),
        }
    }

    /// Runs one move: checks, clock, limit, and what an error does to the cursor.
    fn moving(&mut self, anew: bool, go: impl FnOnce(&mut DbIter) -> Result<()>) -> Result<bool> {
        self.core.check_open()?;
        if anew || self.position == Position::Fresh {
            self.error = None;
            self.left = self.limit;
        }
        if self.limit > 0 && self.left == 0 {
            self.position = Position::Exhausted;
            return Ok(false);
        }
        if !self.in_call {
            self.deadline = deadline_after(self.timeout_us);
        }
        match go(self) {
            Ok(()) => {
                if self.valid() {
                    self.left = self.left.saturating_sub(1);
                }
                Ok(self.valid())
            }
            Err(error) if error.kind() == ErrorKind::Timeout => Err(error),
            Err(error) => {
                self.position = Position::Failed;
                self.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Begins (or ends) a call of many moves, which share one time limit.
    pub fn share_deadline(&mut self, begins: bool) {
        self.in_call = begins;
        self.deadline = if begins { deadline_after(self.timeout_us) } else { None };
    }

    /// TIMEOUT once the call has taken too long.
    pub fn check_deadline(&self) -> Result<()> {
        match self.deadline {
            Some(at) if Instant::now() > at => {
                let message = "the time limit of the read passed";
                Err(Error::new(ErrorKind::Timeout, Area::Engine, message).retryable())
            }
            _ => Ok(()),
        }
    }

    /// Notes where the cursor stands, for `go_back`.
    pub fn mark(&self) -> Result<Mark> {
        let key = if self.valid() { Some(copy(self.key(), Area::Engine)?) } else { None };
        Ok(Mark { position: self.position, key })
    }

    /// Undoes the last move, which ended on a row: to the row of `key`, or else to where `mark` was taken.
    pub fn go_back(&mut self, mark: &Mark, key: Option<&[u8]>) -> Result<()> {
        if self.limit > 0 {
            self.left += 1;
        }
        let gone = match (key.or(mark.key.as_deref()), mark.position, self.position) {
            (Some(key), _, _) => {
                self.position = Position::Forward;
                self.merge.seek(key, seek_tag(self.seq))
            }
            (None, Position::PausedForward | Position::PausedBackward, Position::Backward) => {
                self.position = Position::PausedBackward;
                self.merge.seek_before(&self.saved.key, 0)
            }
            (None, Position::PausedForward | Position::PausedBackward, _) => {
                self.position = Position::PausedForward;
                self.skip = false;
                Ok(())
            }
            (None, before, _) => {
                self.position = before;
                Ok(())
            }
        };
        gone.inspect_err(|error| {
            self.position = Position::Failed;
            self.error = Some(error.clone());
        })
    }

    /// Whether the merging cursor, which is valid, stands on a version of `key`.
    #[inline]
    fn is_at(&self, key: &[u8]) -> bool {
        self.bounds.order().same(self.merge.key(), key)
    }

    fn stay(&self) -> Result<bool> {
        self.core.check_open()?;
        Ok(false)
    }

    fn fail_again(&self) -> Result<bool> {
        self.core.check_open()?;
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(false),
        }
    }

    fn kind(&self) -> Result<EntryKind> {
        let tag = self.merge.tag();
        tag_kind(tag).ok_or_else(|| {
            let message = format!("entry of unknown kind {}", tag as u8);
            Error::new(ErrorKind::Corrupt, Area::Table, message)
        })
    }

    /// Counts a step over a hidden entry; TIMEOUT once the call has taken too long.
    fn tick(&self, steps: &mut u32) -> Result<()> {
        *steps += 1;
        if *steps % CLOCK_EVERY == 0 { self.check_deadline() } else { Ok(()) }
    }

    fn save_key(&mut self) -> Result<()> {
        refill(&mut self.saved.key, self.merge.key(), Area::Engine)
    }

    /// From where the merging cursor stands goes on to the next row; with `skip` entries of `saved.key` are
    /// passed over.
    fn find_forward(&mut self, skip: bool) -> Result<()> {
        self.skip = skip;
        let mut steps = 0;
        while self.merge.valid() {
            let key = self.merge.key();
            if self.bounds.ends_before(key) {
                break;
            }
            if let Err(error) = self.tick(&mut steps) {
                self.position = Position::PausedForward;
                return Err(error);
            }
            let passed = self.skip && self.bounds.order().same(key, &self.saved.key);
            if !passed && tag_seq(self.merge.tag()) <= self.seq {
                if self.kind()? == EntryKind::Put {
                    self.position = Position::Forward;
                    return Ok(());
                }
                self.save_key()?;
                self.skip = true;
            }
            self.merge.next()?;
        }
        self.position = Position::PastEnd;
        Ok(())
    }

    /// From where the merging cursor stands goes back to the previous row and copies it.
    fn find_backward(&mut self) -> Result<()> {
        let mut steps = 0;
        // Whether `saved` holds the newest visible version so far of the key the cursor is in, and
        // whether that version is a put.
        let mut inside = false;
        let mut found = false;
        while self.merge.valid() && self.bounds.begins_by(self.merge.key()) {
            if inside && !self.is_at(&self.saved.key) {
                if found {
                    break;
                }
                inside = false;
            }
            if let (false, Err(error)) = (found, self.tick(&mut steps)) {
                self.position = Position::PausedBackward;
                return Err(error);
            }
            let tag = self.merge.tag();
            if tag_seq(tag) <= self.seq {
                inside = true;
                found = self.kind()? == EntryKind::Put;
                self.save_key()?;
                self.saved.tag = tag;
                self.saved.value.clear();
                if found {
                    append(&mut self.saved.value, self.merge.value(), Area::Engine)?;
                }
            }
            self.merge.prev()?;
        }
        self.position = if found { Position::Backward } else { Position::BeforeStart };
        Ok(())
    }
}
