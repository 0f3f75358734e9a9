//! Which filter a table has, by the kind byte of its filter block.
//!
//! Invariants
//! 1. An unknown kind, or a known one with damaged parameters, answers "may match" for every key.

use crate::buffer::reserve;
use crate::error::{Area, Result};
use crate::filter::blocked::{self, BlockedBloom};
use crate::filter::classic::{self, ClassicBloom};

/// The kinds of filters that can be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterKind {
    /// Kind 1: all bits of a key in one cache line.
    #[default]
    Blocked,
    /// Kind 2: bits of a key anywhere.
    Classic,
}

/// The filter of an open table.
#[derive(Default)]
pub enum Filter {
    /// No filter, or one this version does not understand: every key may match.
    #[default]
    None,
    Blocked(BlockedBloom),
    Classic(ClassicBloom),
}

impl Filter {
    /// Takes a filter block whose checksum has passed.
    pub fn open(bytes: Vec<u8>) -> Filter {
        match bytes.first() {
            Some(&blocked::KIND_BLOCKED) => {
                BlockedBloom::open(bytes).map_or(Filter::None, Filter::Blocked)
            }
            Some(&classic::KIND_CLASSIC) => {
                ClassicBloom::open(&bytes).map_or(Filter::None, Filter::Classic)
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
            Filter::Classic(bloom) => bloom.may_contain(key, hash),
        }
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        match self {
            Filter::None => 0,
            Filter::Blocked(bloom) => bloom.charge(),
            Filter::Classic(bloom) => bloom.charge(),
        }
    }
}

/// Gathers the key hashes of one table.
#[derive(Default)]
pub struct FilterBuilder {
    kind: FilterKind,
    bits_per_key: u32,
    hashes: Vec<u64>,
}

impl FilterBuilder {
    /// With 0 bits per key no filter is made.
    pub fn new(kind: FilterKind, bits_per_key: u32) -> FilterBuilder {
        FilterBuilder { kind, bits_per_key, hashes: Vec::new() }
    }

    /// Takes `hash64(key, 0)` of each distinct key once.
    pub fn add(&mut self, hash: u64) -> Result<()> {
        if self.bits_per_key != 0 {
            reserve(&mut self.hashes, 1, Area::Table)?;
            self.hashes.push(hash);
        }
        Ok(())
    }

    /// Bytes the filter block would have.
    pub fn size_estimate(&self) -> u64 {
        self.hashes.len() as u64 * u64::from(self.bits_per_key) / 8
    }

    /// The filter block; empty when there is to be none.
    pub fn finish(&self) -> Result<Vec<u8>> {
        match (self.kind, self.bits_per_key) {
            (_, 0) => Ok(Vec::new()),
            (FilterKind::Blocked, bits) => blocked::build(&self.hashes, bits),
            (FilterKind::Classic, bits) => classic::build(&self.hashes, bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::hash64;

    const KINDS: [FilterKind; 2] = [FilterKind::Blocked, FilterKind::Classic];

    #[test]
    fn unknown_or_damaged_filters_never_hide_a_key() {
        for kind in KINDS {
            let mut builder = FilterBuilder::new(kind, 10);
            builder.add(1).unwrap();
            let good = builder.finish().unwrap();
            assert!(Filter::open(good.clone()).is_some());
            for other in [0, 3, 255] {
                let mut bytes = good.clone();
                bytes[0] = other;
                let filter = Filter::open(bytes);
                assert!(!filter.is_some() && filter.may_contain(b"x", 7));
            }
            let filter = Filter::open(good[..good.len() - 8].to_vec());
            assert!(!filter.is_some() && filter.may_contain(b"x", 7));
            assert!(FilterBuilder::new(kind, 0).finish().unwrap().is_empty());
        }
        assert!(Filter::open(Vec::new()).may_contain(b"x", 7));
    }

    #[test]
    fn each_kind_writes_its_number_and_hides_absent_keys() {
        for (kind, number) in KINDS.into_iter().zip([1, 2]) {
            let mut builder = FilterBuilder::new(kind, 10);
            (0..1000u64).for_each(|n| builder.add(hash64(&n.to_le_bytes(), 0)).unwrap());
            let bytes = builder.finish().unwrap();
            assert_eq!(bytes[0], number);
            let filter = Filter::open(bytes);
            let may = |n: u64| filter.may_contain(&n.to_le_bytes(), hash64(&n.to_le_bytes(), 0));
            assert!((0..1000).all(may));
            let wrong = (1000..11_000).filter(|&n| may(n)).count();
            assert!(wrong < 200, "kind {number}: {wrong} of 10,000 absent keys may match");
            assert!(filter.charge() >= 1250);
        }
    }
}
