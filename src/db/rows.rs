//! Many rows in one call: the moves of a cursor, without a call for each.
//!
//! Invariants
//! 1. Rows are offered in order, each once; one that is refused is the first to be offered next time.

use crate::db::iter::{DbIter, SeekMode};
use crate::error::Result;

/// Where rows go.
pub trait RowSink {
    /// Takes a row; false when there is no room for it.
    fn take(&mut self, key: &[u8], value: &[u8]) -> bool;

    /// No further row is wanted.
    fn is_full(&self) -> bool;

    /// Key of the last row taken.
    fn last_key(&self) -> Option<&[u8]>;
}

impl DbIter {
    /// Gives the sink the rows after the one the cursor stands on (after `after`, where that is given), the
    /// ones before it with `reverse`, until the sink is full or refuses one. True at the end of the range;
    /// else the cursor stands on the last row taken, or where it stood. One time limit holds for the call.
    pub fn pour(
        &mut self,
        reverse: bool,
        after: Option<&[u8]>,
        sink: &mut impl RowSink,
    ) -> Result<bool> {
        self.share_deadline(true);
        let ended = self.pour_rows(reverse, after, sink);
        self.share_deadline(false);
        ended
    }

    fn pour_rows(
        &mut self,
        reverse: bool,
        after: Option<&[u8]>,
        sink: &mut impl RowSink,
    ) -> Result<bool> {
        let mark = self.mark()?;
        let mut on_row = match (after, reverse) {
            (Some(key), false) => self.seek(SeekMode::Gt, key)?,
            (Some(key), true) => self.seek(SeekMode::Lt, key)?,
            (None, false) => self.next()?,
            (None, true) => self.prev()?,
        };
        while on_row {
            if !sink.take(self.key(), self.value()) {
                self.go_back(&mark, sink.last_key())?;
                return Ok(false);
            }
            if sink.is_full() {
                return Ok(false);
            }
            self.check_deadline()?;
            on_row = if reverse { self.prev()? } else { self.next()? };
        }
        Ok(true)
    }
}
