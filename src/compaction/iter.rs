//! Which entries survive a compaction or a flush.
//!
//! The snapshots cut the sequence numbers into stripes: a stripe ends at each boundary, inclusive. Two
//! entries of one user key in the same stripe cannot be told apart by any reader but for the newer one, so
//! only the newest of each stripe stays. The last boundary is the visible sequence number at the moment the
//! inputs were fixed; nobody has promised anything about entries above it, so they all stay.
//!
//! In the oldest stripe, and where no deeper level has a table around the key, nothing older can lie below:
//! there a delete has done its work and goes, and a put's sequence number is of no use and becomes 0. A
//! snapshot of an empty database has sequence 0 and is the oldest boundary, so it stops both by itself.
//!
//! Invariants
//! 1. At every boundary, and above the last, a reader finds of each key what it found before.
//! 2. A delete goes only in the oldest stripe and only where no deeper level can hold its key.
//! 3. Entries in = entries out + entries dropped.

use crate::buffer;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::iter::internal::InternalIterator;
use crate::job::Counts;
use crate::key::{EntryKind, TAG_MAX, Tag, make_tag, tag_kind, tag_seq};
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::sync::Arc;
use crate::table::handle::TableHandle;
use crate::types::SeqNo;
use crate::version::levels::Version;

/// The levels below a compaction's output, asked for keys in ascending order.
pub struct DeeperLevels<'v> {
    order: &'v Order,
    /// Tables of each level that end at or after the last key asked for.
    levels: Vec<&'v [Arc<TableHandle>]>,
}

impl<'v> DeeperLevels<'v> {
    pub fn new(version: &'v Version, output_level: usize) -> DeeperLevels<'v> {
        let levels = output_level.saturating_add(1)..version.levels();
        DeeperLevels {
            order: version.order(),
            levels: levels.map(|level| version.level(level)).collect(),
        }
    }

    /// Whether a deeper level may hold `key`. Keys must not descend from call to call.
    fn may_hold(&mut self, key: &[u8]) -> bool {
        let order = self.order;
        self.levels.iter_mut().any(|tables| {
            while let [first, rest @ ..] = *tables {
                if order.compare(&first.meta.largest, key).is_ge() {
                    return order.compare(&first.meta.smallest, key).is_le();
                }
                *tables = rest;
            }
            false
        })
    }
}

/// Cursor over the survivors of `I`; forward only.
pub struct CompactionIter<'a, I> {
    input: I,
    order: Order,
    boundaries: &'a [SeqNo],
    /// `None`: deletes and sequence numbers always stay.
    deeper: Option<DeeperLevels<'a>>,
    /// First user key to read, and the first not to read.
    lo: Option<&'a [u8]>,
    hi: Option<&'a [u8]>,
    started: bool,
    /// User key of the last entry read, and its stripe; valid once `key_known`.
    key: Vec<u8>,
    key_known: bool,
    stripe: usize,
    tag: Tag,
    counts: Counts,
}

impl<'a, I: InternalIterator> CompactionIter<'a, I> {
    /// Reads `input`, whose keys are in `order`, from its beginning. `boundaries` ascend; the last one is the visible sequence number
    /// when the inputs were fixed. `deeper` is given where deletes may be dropped.
    pub fn new(
        input: I,
        order: Order,
        boundaries: &'a [SeqNo],
        deeper: Option<DeeperLevels<'a>>,
    ) -> CompactionIter<'a, I> {
        CompactionIter {
            input,
            order,
            boundaries,
            deeper,
            lo: None,
            hi: None,
            started: false,
            key: Vec::new(),
            key_known: false,
            stripe: 0,
            tag: 0,
            counts: Counts::default(),
        }
    }

    /// Reads only user keys from `lo` on and below `hi`; `None` is no bound.
    pub fn within(mut self, lo: Option<&'a [u8]>, hi: Option<&'a [u8]>) -> CompactionIter<'a, I> {
        (self.lo, self.hi) = (lo, hi);
        self
    }

    /// Goes to the next survivor; false at the end.
    pub fn next_survivor(&mut self) -> Result<bool> {
        loop {
            if self.started {
                self.input.next()?;
            } else {
                match self.lo {
                    Some(lo) => self.input.seek(lo, TAG_MAX)?,
                    None => self.input.seek_to_first()?,
                }
                self.started = true;
            }
            let behind = |hi: &[u8]| self.order.compare(self.input.key(), hi).is_ge();
            if !self.input.valid() || self.hi.is_some_and(behind) {
                return Ok(false);
            }
            self.counts.entries_in += 1;
            match self.survivor()? {
                Some(tag) => {
                    self.tag = tag;
                    self.counts.entries_out += 1;
                    return Ok(true);
                }
                None => self.counts.entries_dropped += 1,
            }
        }
    }

    /// The tag under which the input's entry survives; `None` when it does not.
    fn survivor(&mut self) -> Result<Option<Tag>> {
        let (key, tag) = (self.input.key(), self.input.tag());
        let Some(kind) = tag_kind(tag) else {
            let message = format!("an entry of kind {} cannot be compacted", tag & 0xff);
            return Err(Error::new(ErrorKind::Corrupt, Area::Table, message));
        };
        let stripe = self.boundaries.partition_point(|&boundary| boundary < tag_seq(tag));
        let unseen = stripe == self.boundaries.len();
        let same_key = self.key_known && self.order.same(&self.key, key);
        let same_stripe = stripe == self.stripe || planted::is(Planted::SnapshotsIgnored);
        if same_key && same_stripe && !unseen {
            return Ok(None);
        }
        if !same_key {
            self.key_known = false;
            buffer::refill(&mut self.key, key, Area::Table)?;
            self.key_known = true;
        }
        self.stripe = stripe;
        // Only entries of the oldest stripe ask, each key at most once, so the keys ascend.
        let oldest = stripe == 0 && !unseen;
        let bottom = oldest && self.deeper.as_mut().is_some_and(|deeper| !deeper.may_hold(key));
        Ok(match kind {
            EntryKind::Delete if oldest && planted::is(Planted::DeleteDroppedEarly) => None,
            EntryKind::Delete if bottom => None,
            EntryKind::Put if bottom => Some(make_tag(0, EntryKind::Put)),
            _ => Some(tag),
        })
    }

    pub fn key(&self) -> &[u8] {
        self.input.key()
    }

    pub fn tag(&self) -> Tag {
        self.tag
    }

    pub fn value(&self) -> &[u8] {
        self.input.value()
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}
