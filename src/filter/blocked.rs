//! Filter kind 1: a bloom filter whose probes for one key all fall into one 64-byte line.
//!
//! Bytes: docs/FORMAT.md, section 6.3. One line is one cache line, so a probe costs one memory access
//! where a plain bloom filter costs one per bit; at 10 bits per key that is paid with 0.97 % false
//! positives instead of 0.83 %.
//!
//! Invariants
//! 1. No false negative: a key whose hash was added always may match.
//! 2. Parameters from disk are bounded before use; a filter that breaks them is not made.

use crate::coding::{put_u32, put_u64, u32_at, u64_at};
use crate::error::{Area, Error, Result};
use crate::hash::hash64;
use crate::planted::{self, Planted};

pub const KIND_BLOCKED: u8 = 1;
pub const FILTER_HEADER_LEN: usize = 64;
const LINE_LEN: usize = 64;
/// Most bits set per key.
const PROBES_MAX: u8 = 30;
/// Most lines: header and lines fit a u32 length.
const LINES_MAX: u64 = (u32::MAX as u64) / LINE_LEN as u64 - 1;
const MULTIPLIER: u32 = 0x9e37_79b9;

/// Bits to set per key: the figure with the fewest false positives at `bits_per_key`.
pub fn probes_for(bits_per_key: u32) -> u8 {
    match bits_per_key {
        0..=1 => 1,
        2..=3 => 2,
        4..=5 => 3,
        6 => 4,
        7 => 5,
        8..=10 => 6,
        11..=12 => 7,
        13..=15 => 8,
        16..=18 => 9,
        19..=22 => 11,
        _ => 13,
    }
}

/// First byte of the line of `hash`.
fn line_at(hash: u64, lines: u32) -> usize {
    let line = ((hash >> 32) * u64::from(lines)) >> 32;
    FILTER_HEADER_LEN + line as usize * LINE_LEN
}

/// The bits of `hash` in its line, as (byte, mask).
fn probes(hash: u64, count: u8) -> impl Iterator<Item = (usize, u8)> {
    let mut x = hash as u32;
    (0..count).map(move |_| {
        let bit = x >> 23;
        x = x.wrapping_mul(MULTIPLIER);
        ((bit >> 3) as usize, 1 << (bit & 7))
    })
}

/// Builds the filter block over `hashes`, which are XXH3-64 of the keys with seed 0.
pub fn build(hashes: &[u64], bits_per_key: u32) -> Result<Vec<u8>> {
    let bits = (hashes.len() as u64).saturating_mul(u64::from(bits_per_key));
    let lines = bits.div_ceil(8 * LINE_LEN as u64).clamp(1, LINES_MAX) as u32;
    let probe_count = probes_for(bits_per_key);
    let len = FILTER_HEADER_LEN + lines as usize * LINE_LEN;
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| Error::no_memory(Area::Table, len))?;
    out.extend_from_slice(&[KIND_BLOCKED, probe_count, 0, 0]);
    put_u32(&mut out, lines);
    put_u64(&mut out, hashes.len() as u64);
    put_u64(&mut out, 0);
    out.resize(len, 0);
    for &hash in hashes {
        if hash % 16 == 0 && planted::is(Planted::FilterDenies) {
            continue;
        }
        let line = out.get_mut(line_at(hash, lines)..).unwrap_or_default();
        for (byte, mask) in probes(hash, probe_count) {
            if let Some(byte) = line.get_mut(byte) {
                *byte |= mask;
            }
        }
    }
    Ok(out)
}

/// A checked filter block.
#[derive(Debug)]
pub struct BlockedBloom {
    bytes: Vec<u8>,
    lines: u32,
    probe_count: u8,
    seed: u64,
}

impl BlockedBloom {
    /// Takes a filter block; `None` when its parameters make no sense.
    pub fn open(bytes: Vec<u8>) -> Option<BlockedBloom> {
        let &[KIND_BLOCKED, probe_count, 0, 0] = bytes.get(..4)? else { return None };
        let lines = u32_at(&bytes, 4)?;
        let seed = u64_at(&bytes, 16)?;
        let len = u64::from(lines).checked_add(1)?.checked_mul(LINE_LEN as u64)?;
        let sound = (1..=PROBES_MAX).contains(&probe_count)
            && lines > 0
            && bytes.len() as u64 == len
            && bytes.get(24..FILTER_HEADER_LEN)?.iter().all(|&byte| byte == 0);
        sound.then_some(BlockedBloom { bytes, lines, probe_count, seed })
    }

    /// Whether `key` may be among the keys; `hash` is its XXH3-64 with seed 0.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        let hash = if self.seed == 0 { hash } else { hash64(key, self.seed) };
        let line = self.bytes.get(line_at(hash, self.lines)..).unwrap_or_default();
        // A byte that is missing counts as set: doubt must never hide a key.
        probes(hash, self.probe_count)
            .all(|(byte, mask)| line.get(byte).is_none_or(|byte| byte & mask != 0))
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }

    fn filter(keys: u64, bits: u32) -> BlockedBloom {
        let hashes: Vec<u64> = (0..keys).map(|n| hash64(&key(n), 0)).collect();
        BlockedBloom::open(build(&hashes, bits).unwrap()).unwrap()
    }

    #[test]
    fn every_added_key_may_match() {
        for bits in [1, 5, 10, 14, 20, 60] {
            for keys in [0, 1, 2, 63, 1000, 5000] {
                let filter = filter(keys, bits);
                for n in 0..keys {
                    assert!(filter.may_contain(&key(n), hash64(&key(n), 0)), "{bits} {keys} {n}");
                }
            }
        }
    }

    #[test]
    fn false_positives_stay_near_their_rate() {
        for (bits, most) in [(4, 0.17), (6, 0.07), (8, 0.03), (10, 0.012), (12, 0.006), (14, 0.003)]
        {
            let filter = filter(20_000, bits);
            let asked = 100_000u64;
            let wrong = (0..asked)
                .map(|n| key(n + (1 << 40)))
                .filter(|key| filter.may_contain(key, hash64(key, 0)))
                .count();
            let rate = wrong as f64 / asked as f64;
            assert!(rate < most, "{bits} bits per key: {rate}");
        }
    }

    #[test]
    fn a_seed_in_the_header_is_honoured() {
        let seed = 99;
        let hashes: Vec<u64> = (0..100).map(|n| hash64(&key(n), seed)).collect();
        let mut bytes = build(&hashes, 10).unwrap();
        bytes[16] = seed as u8;
        let filter = BlockedBloom::open(bytes).unwrap();
        assert!((0..100).all(|n| filter.may_contain(&key(n), hash64(&key(n), 0))));
        let wrong =
            (100..1100).filter(|&n| filter.may_contain(&key(n), hash64(&key(n), 0))).count();
        assert!(wrong < 100, "{wrong} of 1000 absent keys may match");
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let good = build(&[1, 2, 3], 10).unwrap();
        assert!(BlockedBloom::open(good.clone()).is_some());
        for (at, byte) in [(0, 2), (1, 0), (1, 31), (2, 1), (4, 0), (4, 2), (7, 0xff), (40, 1)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(BlockedBloom::open(bad).is_none(), "byte {at} = {byte}");
        }
        for len in [0, 3, 63, 64, good.len() - 1] {
            assert!(BlockedBloom::open(good[..len].to_vec()).is_none(), "{len} bytes");
        }
    }
}
