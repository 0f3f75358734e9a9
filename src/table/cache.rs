//! The bounded cache of data blocks, shared by all tables of a database.
//!
//! `quick_cache` keeps the blocks (S3-FIFO, sharded, weighted by the bytes a block holds); this file gives it
//! a key, a hash that is the same in every run, and counters.
//!
//! Invariants
//! 1. The bytes of cached blocks never exceed the bound; a block too large for its shard is not kept.
//! 2. A block in use stays alive although it was evicted: users hold an `Arc`.
//! 3. Equal histories evict equally: no random seed, a fixed number of shards.

use crate::block::format::Block;
use crate::sync::{Arc, AtomicU64, Ordering};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use std::hash::{BuildHasher, Hasher};

/// Number of an open reader and of a block in its table.
type BlockKey = (u64, u32);

/// Typical bytes of a cached block, to size the memory of recently evicted keys.
const BLOCK_BYTES_TYPICAL: u64 = 4096;
/// Bookkeeping of one cached block, outside of it.
const ENTRY_OVERHEAD: u64 = 96;
const SHARDS: usize = 16;

#[derive(Clone)]
struct ByBytes;

impl Weighter<BlockKey, Arc<Block>> for ByBytes {
    fn weight(&self, _key: &BlockKey, block: &Arc<Block>) -> u64 {
        (block.charge() as u64).saturating_add(ENTRY_OVERHEAD)
    }
}

/// Hashes a block key; the mixing steps are those of splitmix64.
#[derive(Clone, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mut z = self.0.wrapping_add(number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }
}

impl BuildHasher for KeyHasher {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(0)
    }
}

/// Blocks read lately, and what was counted on the way to them.
pub struct BlockCache {
    blocks: Cache<BlockKey, Arc<Block>, ByBytes, KeyHasher>,
    next_reader: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
    filter_probes: AtomicU64,
    filter_rejects: AtomicU64,
}

impl BlockCache {
    /// A cache of at most `bytes`.
    pub fn new(bytes: u64) -> Arc<BlockCache> {
        // The crate rounds the bound of a shard up; rounding down first keeps the sum within `bytes`.
        let bound = bytes - bytes % SHARDS as u64;
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity((bound / BLOCK_BYTES_TYPICAL) as usize)
            .weight_capacity(bound)
            .build()
            .expect("every option without a default is set");
        let lifecycle = DefaultLifecycle::default();
        Arc::new(BlockCache {
            blocks: Cache::with_options(options, ByBytes, KeyHasher(0), lifecycle),
            next_reader: AtomicU64::new(1),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            filter_probes: AtomicU64::new(0),
            filter_rejects: AtomicU64::new(0),
        })
    }

    /// A number for a reader's blocks that no other reader has.
    pub fn reader_number(&self) -> u64 {
        self.next_reader.fetch_add(1, Ordering::Relaxed)
    }

    /// Block `at` of the reader with `number`.
    pub fn get(&self, number: u64, at: u32) -> Option<Arc<Block>> {
        let found = self.blocks.get(&(number, at));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub fn insert(&self, number: u64, at: u32, block: Arc<Block>) {
        self.blocks.insert((number, at), block);
    }

    /// Forgets the blocks `0..count` of a reader that is gone.
    pub fn forget(&self, number: u64, count: u32) {
        for at in 0..count {
            self.blocks.remove(&(number, at));
        }
    }

    /// Counts one question to a filter.
    pub fn count_probe(&self, rejected: bool) {
        self.filter_probes.fetch_add(1, Ordering::Relaxed);
        if rejected {
            self.filter_rejects.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Look-ups that found their block, those that did not, and the bytes of blocks held.
    pub fn stats(&self) -> (u64, u64, u64) {
        let (hits, misses) = (&self.hits, &self.misses);
        (hits.load(Ordering::Relaxed), misses.load(Ordering::Relaxed), self.blocks.weight())
    }

    /// Questions to filters, and those answered "not here".
    pub fn filter_stats(&self) -> (u64, u64) {
        let (probes, rejects) = (&self.filter_probes, &self.filter_rejects);
        (probes.load(Ordering::Relaxed), rejects.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::builder::BlockBuilder;
    use crate::compress::Codec;
    use crate::order::Order;

    fn block(bytes: usize) -> Arc<Block> {
        let mut builder = BlockBuilder::new(Codec::None, Order::Bytewise);
        builder.add(b"k", 1, &vec![0; bytes]).unwrap();
        let mut out = Vec::new();
        builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
        Arc::new(Block::parse(out, &Order::Bytewise, 1, 0).unwrap())
    }

    #[test]
    fn the_bound_holds_whatever_is_put_in() {
        for bound in [0u64, 100, 5_000, 100_000, 3_000_001] {
            let cache = BlockCache::new(bound);
            for at in 0..2000u32 {
                cache.insert(1, at, block((at as usize * 37) % 9000));
                assert!(cache.stats().2 <= bound, "bound {bound}, block {at}");
            }
        }
    }

    #[test]
    fn blocks_are_found_until_their_reader_is_forgotten() {
        let cache = BlockCache::new(1 << 20);
        let (one, two) = (cache.reader_number(), cache.reader_number());
        assert_ne!(one, two);
        cache.insert(one, 5, block(10));
        assert!(cache.get(one, 5).is_some() && cache.get(two, 5).is_none());
        assert!(cache.get(one, 6).is_none());
        cache.forget(one, 6);
        assert!(cache.get(one, 5).is_none());
        assert_eq!(cache.stats(), (1, 3, 0));
    }
}
