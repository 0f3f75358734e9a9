//! Which filter a table has, by the kind byte of its filter block.
//!
//! Invariants
//! 1. An unknown kind, or a known one with damaged parameters, answers "may match" for every key.

use crate::error::Result;
use crate::filter::blocked::{self, BlockedBloom};

/// The filter of an open table.
#[derive(Debug, Default)]
pub enum Filter {
    /// No filter, or one this version does not understand: every key may match.
    #[default]
    None,
    Blocked(BlockedBloom),
}

impl Filter {
    /// Takes a filter block whose checksum has passed.
    pub fn open(bytes: Vec<u8>) -> Filter {
        match bytes.first() {
            Some(&blocked::KIND_BLOCKED) => {
                BlockedBloom::open(bytes).map_or(Filter::None, Filter::Blocked)
            }
            _ => Filter::None,
        }
    }

    /// Whether there is anything to ask.
    pub fn is_some(&self) -> bool {
        !matches!(self, Filter::None)
    }

    /// Whether the table may hold `key`; `hash` is `hash64(key, 0)`.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        match self {
            Filter::None => true,
            Filter::Blocked(bloom) => bloom.may_contain(key, hash),
        }
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        match self {
            Filter::None => 0,
            Filter::Blocked(bloom) => bloom.charge(),
        }
    }
}

/// Gathers the key hashes of one table.
#[derive(Default)]
pub struct FilterBuilder {
    bits_per_key: u32,
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// With 0 bits per key no filter is made.
    pub fn new(bits_per_key: u32) -> FilterBuilder {
        FilterBuilder { bits_per_key, hashes: Vec::new() }
    }

    /// Takes `hash64(key, 0)` of each distinct key once.
    pub fn add(&mut self, hash: u64) {
        if self.bits_per_key != 0 {
            self.hashes.push(hash);
        }
    }

    /// Bytes the filter block would have.
    pub fn size_estimate(&self) -> u64 {
        self.hashes.len() as u64 * u64::from(self.bits_per_key) / 8
    }

    /// The filter block; empty when there is to be none.
    pub fn finish(&self) -> Result<Vec<u8>> {
        match self.bits_per_key {
            0 => Ok(Vec::new()),
            bits => blocked::build(&self.hashes, bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_or_damaged_filters_never_hide_a_key() {
        let mut builder = FilterBuilder::new(10);
        builder.add(1);
        let good = builder.finish().unwrap();
        assert!(Filter::open(good.clone()).is_some());
        for kind in [0, 2, 255] {
            let mut other = good.clone();
            other[0] = kind;
            let filter = Filter::open(other);
            assert!(!filter.is_some() && filter.may_contain(b"x", 7));
        }
        assert!(Filter::open(Vec::new()).may_contain(b"x", 7));
        assert!(FilterBuilder::new(0).finish().unwrap().is_empty());
    }
}
