//! How large key ranges are, about.
//!
//! A table inside a range counts whole; of one that the range cuts, the share of its data blocks that lie in
//! the range, which the index in memory tells. Of a memtable the first entries of the range are counted;
//! when the range goes on behind them, the rest is judged by where its ends lie between the memtable's first
//! and last key, as if keys were spread evenly; in an order of the caller, half of the memtable.
//!
//! Invariants
//! 1. No data block is read. Opening a table for its index may read its other sections.
//! 2. The cost per range grows with the number of tables it touches, not with that of its entries.
//! 3. A range that holds no key of a source gets nothing from it, or a part of the block or the span it
//!    falls into.

use crate::buffer::copy;
use crate::db::core::DbCore;
use crate::db::read_state::ReadState;
use crate::error::{Area, Error, Result};
use crate::iter::internal::InternalIterator;
use crate::key::TAG_MAX;
use crate::memtable::table::MemTable;
use crate::order::Order;
use crate::sync::Arc;
use crate::table::handle::TableHandle;

/// From the first key (inside) to the second (outside); `None` leaves that end open.
pub type KeyRange<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Entries of a memtable that are counted one by one.
const COUNTED_MAX: u64 = 256;
/// Bytes of a key that say where it lies; eight of them fill a u64.
const PLACES: usize = 8;

/// `whole * part / of`, and nothing of nothing.
fn share(whole: u64, part: u64, of: u64) -> u64 {
    let product = u128::from(whole) * u128::from(part.min(of));
    // At most `whole`.
    product.checked_div(u128::from(of)).unwrap_or(0) as u64
}

/// What the bytes of keys are taken for when a key's place is worked out: decimal digits when all are,
/// because their numbers would otherwise lie bunched.
fn digits_of(keys: &[&[u8]], skip: usize) -> (u8, u64) {
    let mut bytes = keys.iter().flat_map(|key| key.iter().skip(skip).take(PLACES));
    if bytes.all(u8::is_ascii_digit) { (b'0', 10) } else { (0, 256) }
}

/// The `PLACES` bytes of `key` behind its first `skip` as a number that orders as they do.
fn number_behind(key: &[u8], skip: usize, (zero, base): (u8, u64)) -> u64 {
    let behind = key.iter().skip(skip).map(|byte| u64::from(byte.saturating_sub(zero)));
    let padded = behind.chain(std::iter::repeat(0)).take(PLACES);
    padded.fold(0, |number, digit| number.saturating_mul(base).saturating_add(digit))
}

impl DbCore {
    /// Estimates the bytes of every range, on disk and in memtables, into `sizes`.
    pub fn approximate_sizes(&self, ranges: &[KeyRange<'_>], sizes: &mut [u64]) -> Result<()> {
        self.check_open()?;
        let order = &self.keyspace.order;
        for (lower, upper) in ranges {
            for key in [lower, upper].into_iter().flatten() {
                order.check_key(key)?;
            }
            if let (Some(lower), Some(upper)) = (lower, upper) {
                if order.compare(lower, upper).is_gt() {
                    let message = "the lower end of a range is above its upper end";
                    return Err(Error::invalid(Area::Argument, message));
                }
            }
        }
        let state = self.keyspace.state.load();
        for (range, size) in ranges.iter().zip(sizes) {
            *size = self.approximate_size(&state, *range)?;
        }
        Ok(())
    }

    fn approximate_size(&self, state: &ReadState, range: KeyRange<'_>) -> Result<u64> {
        let (lower, upper) = range;
        let mut size = 0u64;
        for memtable in std::iter::once(&state.active).chain(&state.frozen) {
            size = size.saturating_add(part_of_memtable(memtable, &self.keyspace.order, range)?);
        }
        for level in 0..state.version.levels() {
            for table in state.version.overlapping(level, lower, upper) {
                size = size.saturating_add(self.part_of_table(&table, range)?);
            }
        }
        Ok(size)
    }

    fn part_of_table(&self, table: &Arc<TableHandle>, (lower, upper): KeyRange<'_>) -> Result<u64> {
        let (order, meta) = (&self.keyspace.order, &table.meta);
        let lower = lower.filter(|lower| order.compare(lower, &meta.smallest).is_gt());
        let upper = upper.filter(|upper| order.compare(upper, &meta.largest).is_le());
        if lower.is_none() && upper.is_none() {
            return Ok(meta.size);
        }
        let reader = self.tables.reader(table)?;
        let index = reader.index();
        let from = lower.map_or(Ok(0), |key| index.offset_of(key))?;
        let to = upper.map_or(Ok(index.data_len()), |key| index.offset_of(key))?;
        // Index and filter are shared out as the data is.
        Ok(share(meta.size, to.saturating_sub(from), index.data_len()))
    }
}

fn part_of_memtable(
    memtable: &Arc<MemTable>,
    order: &Order,
    (lower, upper): KeyRange<'_>,
) -> Result<u64> {
    let whole = memtable.bytes();
    if lower.is_none() && upper.is_none() {
        return Ok(whole);
    }
    let mut iter = memtable.iter();
    match lower {
        Some(lower) => iter.seek(lower, TAG_MAX)?,
        None => iter.seek_to_first()?,
    }
    let (mut counted, mut bytes) = (0u64, 0u64);
    while iter.valid() && upper.is_none_or(|upper| order.compare(iter.key(), upper).is_lt()) {
        if counted == COUNTED_MAX {
            return Ok(bytes.max(share_by_keys(memtable, order, whole, (lower, upper))?));
        }
        counted += 1;
        bytes += (iter.key().len() + iter.value().len()) as u64;
        iter.next()?;
    }
    Ok(bytes)
}

/// The part of a memtable between two keys, as if its keys were spread evenly.
fn share_by_keys(
    memtable: &Arc<MemTable>,
    order: &Order,
    whole: u64,
    (lower, upper): KeyRange<'_>,
) -> Result<u64> {
    if matches!(order, Order::Custom(_)) {
        return Ok(whole / 2);
    }
    let mut iter = memtable.iter();
    iter.seek_to_first()?;
    let first = if iter.valid() { copy(iter.key(), Area::Engine)? } else { return Ok(0) };
    iter.seek_to_last()?;
    let last = if iter.valid() { iter.key() } else { return Ok(0) };
    let (above_first, below_last) = (
        |key: &[u8]| order.compare(key, &first).is_gt(),
        |key: &[u8]| order.compare(key, last).is_lt(),
    );
    // What all keys have in common says nothing about where one lies.
    let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
    let inside = |key: &Option<&[u8]>| key.is_some_and(|key| above_first(key) && below_last(key));
    let ends = [lower, upper].into_iter().filter(inside).flatten();
    let digits = digits_of(&ends.chain([first.as_slice(), last]).collect::<Vec<_>>(), common);
    let number = |key: &[u8]| match order.number(key) {
        Some(number) => number,
        None => number_behind(key, common, digits),
    };
    let (start, end) = (number(&first), number(last));
    let place = |key: &[u8]| match key {
        key if !above_first(key) => start,
        key if !below_last(key) => end,
        key => number(key),
    };
    let (from, to) = (lower.map_or(start, place), upper.map_or(end, place));
    // Numbers descend where the order does.
    Ok(share(whole, to.abs_diff(from), end.abs_diff(start)))
}
