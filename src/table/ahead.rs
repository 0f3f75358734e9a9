//! Reading ahead of a cursor that loads one block after the other.
//!
//! A scan of what is not cached would cost one read of the file for each block. Once a cursor has loaded two
//! neighbours from disk, the blocks behind them, in the direction in which it goes, are read together.
//!
//! Invariants
//! 1. A block is verified and checked when the cursor comes to it, exactly as if it had been read alone; what
//!    was read ahead and is not come to is never looked at.
//! 2. Only loads from disk count: a cursor whose blocks are cached, or one that seeks about, reads nothing
//!    ahead.
//! 3. A window lies between the first block and the end of the last, and is at most `WINDOW_MAX` long.
//! 4. A read that fails at the cursor's block fails the cursor. One that fails elsewhere does not: the block is
//!    then read alone, and the other one reports when it is come to.

use crate::env::api::File;
use crate::error::Result;
use crate::table::index::Index;
use std::ops::Range;

const WINDOW_MIN: u64 = 16 << 10;
const WINDOW_MAX: u64 = 128 << 10;

/// What one cursor has read ahead.
#[derive(Default)]
pub struct Ahead {
    /// The block last loaded from disk.
    last: Option<usize>,
    /// Length of the last window; 0 while loads are not one behind the other.
    window: u64,
    bytes: Vec<u8>,
    /// Where in the file the first `held.end - held.start` of `bytes` are from.
    held: Range<u64>,
}

impl Ahead {
    /// A block was found in the cache: whatever comes next is not known to follow on disk.
    pub fn found(&mut self) {
        self.last = None;
        self.window = 0;
    }

    /// The bytes of block `at`, which is not cached; `None` when it is to be read alone.
    pub fn load(&mut self, file: &File, index: &Index, at: usize) -> Result<Option<&[u8]>> {
        let last = self.last.replace(at);
        let forward = last.is_some_and(|last| last.checked_add(1) == Some(at));
        let backward = last.is_some_and(|last| at.checked_add(1) == Some(last));
        if !forward && !backward {
            self.window = 0;
        }
        let (start, end) = index.block_range(at);
        if start < self.held.start || end > self.held.end {
            if !forward && !backward {
                return Ok(None);
            }
            self.window = self.window.saturating_mul(2).clamp(WINDOW_MIN, WINDOW_MAX);
            match window(index, at, self.window, forward) {
                Some(wanted) => self.fill(file, wanted, start..end)?,
                None => return Ok(None),
            }
        }
        let from = start.saturating_sub(self.held.start) as usize;
        let to = end.saturating_sub(self.held.start) as usize;
        Ok(if end > self.held.end { None } else { self.bytes.get(from..to) })
    }

    /// Reads `wanted`, for the sake of the block at `block`; holds nothing if that could not be done.
    fn fill(&mut self, file: &File, wanted: Range<u64>, block: Range<u64>) -> Result<()> {
        self.held = 0..0;
        let len = wanted.end.saturating_sub(wanted.start) as usize;
        let more = len.saturating_sub(self.bytes.len());
        if self.bytes.try_reserve_exact(more).is_err() {
            return Ok(());
        }
        self.bytes.resize(self.bytes.len().saturating_add(more), 0);
        let Some(bytes) = self.bytes.get_mut(..len) else { return Ok(()) };
        match file.read_at(bytes, wanted.start) {
            Ok(filled) if filled == len => self.held = wanted,
            Ok(_) => {}
            Err(error) if block.contains(&error.detail().offset) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }
}

/// The bytes of block `at` and of as many whole blocks behind it (or before it) as fit into `len`; `None` when
/// there is not room for a second one.
fn window(index: &Index, at: usize, len: u64, forward: bool) -> Option<Range<u64>> {
    let (start, end) = index.block_range(at);
    let (mut wanted, mut next) = (start..end, at);
    loop {
        next = if forward {
            next.saturating_add(1)
        } else {
            next.checked_sub(1).unwrap_or(usize::MAX)
        };
        if next >= index.count() {
            break;
        }
        let (start, end) = index.block_range(next);
        let wider = wanted.start.min(start)..wanted.end.max(end);
        if wider.end.saturating_sub(wider.start) > len {
            break;
        }
        wanted = wider;
    }
    (wanted != (start..end)).then_some(wanted)
}
