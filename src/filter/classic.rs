//! Filter kind 2: a plain bloom filter, by the `bloomfilter` crate.
//!
//! Bytes: docs/FORMAT.md, section 6.3.2. The crate's own header never comes from a file: it is put
//! together here from checked parameters, because hostile ones make the crate divide by zero or probe for
//! seconds. What the crate hashes is the fixed little-endian form of the key's XXH3-64.
//!
//! Invariants
//! 1. No false negative: a key whose hash was added always may match.
//! 2. The crate sees only parameters that were bounded here, and bits whose number fits them.
//! 3. A crate that sets or asks other bits than those of the page is not used at all: no filter of this
//!    kind is then written, and none is believed.

use crate::coding::{put_u32, put_u64, u32_at, u64_at};
use crate::error::{Area, Error, Result};
use crate::hash::hash64;
use crate::sync::OnceLock;
use bloomfilter::Bloom;
use std::hash::{Hash, Hasher};

pub const KIND_CLASSIC: u8 = 2;
const HEADER_LEN: usize = 64;
/// Most bits set per key.
const PROBES_MAX: u8 = 30;
/// Bit arrays are whole words, so that the section behind the filter begins at a multiple of 8.
const WORD: u64 = 8;
/// Most bytes of the bit array: header and bits fit a u32 length.
const BITS_LEN_MAX: u64 = (u32::MAX as u64 - HEADER_LEN as u64) / WORD * WORD;
/// Header of the crate: version, u64 bytes of bits, u32 probes, 32 bytes of seed.
const CRATE_HEADER_LEN: usize = 1 + 8 + 4 + 32;
const CRATE_VERSION: u8 = 1;
/// Keys of the crate's two hashes. The halves must differ, or they are one hash and the filter is three
/// times worse.
const SEED: [u8; 32] = *b"esker classic 01esker classic 02";

/// A key's hash as the crate gets it: bytes, because numbers hash by the machine's order of bytes.
struct KeyHash(u64);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0.to_le_bytes());
    }
}

/// Bits to set per key: bits per key times the logarithm of 2, rounded.
pub fn probes_for(bits_per_key: u32) -> u8 {
    let probes = u64::from(bits_per_key).saturating_mul(693).saturating_add(500) / 1000;
    probes.clamp(1, u64::from(PROBES_MAX)) as u8
}

/// The crate's filter over `bits`, which may be shorter than `len`; zeros follow then.
fn rebuild(probe_count: u8, bits: &[u8], len: usize) -> Result<Option<Bloom<KeyHash>>> {
    if !(1..=PROBES_MAX).contains(&probe_count) || len == 0 || bits.len() > len {
        return Ok(None);
    }
    let whole = CRATE_HEADER_LEN.saturating_add(len);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(whole).map_err(|_| Error::no_memory(Area::Table, whole))?;
    bytes.push(CRATE_VERSION);
    put_u64(&mut bytes, len as u64);
    put_u32(&mut bytes, u32::from(probe_count));
    bytes.extend_from_slice(&SEED);
    bytes.extend_from_slice(bits);
    bytes.resize(whole, 0);
    let bloom = Bloom::from_bytes(bytes).ok();
    Ok(bloom.filter(|bloom| {
        bloom.number_of_hash_functions() == u32::from(probe_count) && bloom.len() == 8 * len as u64
    }))
}

/// Keys of the fixed vector: 24 hashes, and the 64 bytes that seven probes of each set.
const VECTOR_KEYS: u64 = 24;
const VECTOR_PROBES: u8 = 7;
#[rustfmt::skip]
const VECTOR: [u8; 64] = [
    0x23, 0x02, 0x64, 0x02, 0x40, 0x31, 0x09, 0x21, 0x2e, 0x22, 0x20, 0x04, 0x90, 0x14, 0x01, 0x10,
    0x00, 0x14, 0x06, 0x17, 0x08, 0xba, 0x02, 0x71, 0xc6, 0x95, 0x03, 0xc4, 0x20, 0xb0, 0x81, 0x00,
    0x50, 0x80, 0x10, 0x00, 0x1d, 0x08, 0x90, 0xc0, 0x18, 0xa4, 0x71, 0x3c, 0x52, 0x44, 0x56, 0xf4,
    0x70, 0x16, 0x05, 0x13, 0xa0, 0x2a, 0x70, 0x10, 0x48, 0xc0, 0x78, 0x15, 0x10, 0x69, 0x02, 0x18,
];

fn vector_hash(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Whether the crate sets exactly the bits of `vector`, and finds its keys in them.
fn follows(vector: &[u8]) -> bool {
    let empty = rebuild(VECTOR_PROBES, &[], vector.len());
    let Ok(Some(mut bloom)) = empty else { return false };
    (1..=VECTOR_KEYS).for_each(|number| bloom.set(&KeyHash(vector_hash(number))));
    let same = bloom.as_slice().get(CRATE_HEADER_LEN..) == Some(vector);
    let Ok(Some(bloom)) = rebuild(VECTOR_PROBES, vector, vector.len()) else { return false };
    same && (1..=VECTOR_KEYS).all(|number| bloom.check(&KeyHash(vector_hash(number))))
}

/// Whether the crate does what the format says; found out once per process.
pub fn crate_is_known() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| follows(&VECTOR))
}

/// Builds the filter block over `hashes`, which are XXH3-64 of the keys with seed 0. Empty when the crate
/// is not the one this format knows.
pub fn build(hashes: &[u64], bits_per_key: u32) -> Result<Vec<u8>> {
    let bits = (hashes.len() as u64).saturating_mul(u64::from(bits_per_key));
    let bits_len = bits.div_ceil(8 * WORD).saturating_mul(WORD).clamp(WORD, BITS_LEN_MAX);
    let probe_count = probes_for(bits_per_key);
    let bloom = match crate_is_known() {
        true => rebuild(probe_count, &[], bits_len as usize)?,
        false => None,
    };
    let Some(mut bloom) = bloom else { return Ok(Vec::new()) };
    hashes.iter().for_each(|hash| bloom.set(&KeyHash(*hash)));
    let bits = bloom.as_slice().get(CRATE_HEADER_LEN..).unwrap_or_default();
    let len = HEADER_LEN + bits.len();
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| Error::no_memory(Area::Table, len))?;
    out.extend_from_slice(&[KIND_CLASSIC, probe_count, 0, 0]);
    // At most `BITS_LEN_MAX`.
    put_u32(&mut out, bits_len as u32);
    put_u64(&mut out, hashes.len() as u64);
    put_u64(&mut out, 0);
    out.resize(HEADER_LEN, 0);
    out.extend_from_slice(bits);
    Ok(out)
}

/// A checked filter block.
pub struct ClassicBloom {
    bloom: Bloom<KeyHash>,
    seed: u64,
}

impl ClassicBloom {
    /// Takes a filter block; `None` when its parameters make no sense, memory is short, or the crate is not
    /// the one this format knows.
    pub fn open(bytes: &[u8]) -> Option<ClassicBloom> {
        let &[KIND_CLASSIC, probe_count, 0, 0] = bytes.get(..4)? else { return None };
        let bits_len = u64::from(u32_at(bytes, 4)?);
        let seed = u64_at(bytes, 16)?;
        let zeros = bytes.get(24..HEADER_LEN)?;
        let bits = bytes.get(HEADER_LEN..)?;
        let sound = (1..=PROBES_MAX).contains(&probe_count)
            && bits_len > 0
            && bits_len % WORD == 0
            && bits.len() as u64 == bits_len
            && zeros.iter().all(|&byte| byte == 0);
        if !sound || !crate_is_known() {
            return None;
        }
        let bloom = rebuild(probe_count, bits, bits.len()).ok().flatten()?;
        Some(ClassicBloom { bloom, seed })
    }

    /// Whether `key` may be among the keys; `hash` is its XXH3-64 with seed 0.
    pub fn may_contain(&self, key: &[u8], hash: u64) -> bool {
        let hash = if self.seed == 0 { hash } else { hash64(key, self.seed) };
        self.bloom.check(&KeyHash(hash))
    }

    /// Memory it holds.
    pub fn charge(&self) -> usize {
        self.bloom.as_slice().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> [u8; 8] {
        number.to_be_bytes()
    }

    fn filter(keys: u64, bits: u32) -> ClassicBloom {
        let hashes: Vec<u64> = (0..keys).map(|n| hash64(&key(n), 0)).collect();
        ClassicBloom::open(&build(&hashes, bits).unwrap()).unwrap()
    }

    #[test]
    fn the_crate_sets_the_bits_of_the_vector_and_no_others_are_taken() {
        let empty = rebuild(VECTOR_PROBES, &[], VECTOR.len()).unwrap();
        let mut bloom = empty.unwrap();
        (1..=VECTOR_KEYS).for_each(|number| bloom.set(&KeyHash(vector_hash(number))));
        assert_eq!(bloom.as_slice()[CRATE_HEADER_LEN..], VECTOR);
        assert!(follows(&VECTOR) && crate_is_known());
        for at in 0..VECTOR.len() * 8 {
            let mut other = VECTOR;
            other[at / 8] ^= 1 << (at % 8);
            assert!(!follows(&other), "bit {at}");
        }
        assert!(!follows(&VECTOR[..56]) && !follows(&[]));
    }

    #[test]
    fn every_added_key_may_match() {
        for bits in [1, 5, 10, 14, 20, 64] {
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
        for (bits, most) in [(4, 0.16), (6, 0.065), (8, 0.026), (10, 0.0105), (14, 0.002)] {
            let filter = filter(20_000, bits);
            let asked = 100_000u64;
            let absent = (0..asked).map(|n| key(n + (1 << 40)));
            let wrong = absent.filter(|key| filter.may_contain(key, hash64(key, 0))).count();
            let rate = wrong as f64 / asked as f64;
            assert!(rate < most, "{bits} bits per key: {rate}");
        }
    }

    #[test]
    fn a_seed_in_the_header_is_honoured() {
        let hashes: Vec<u64> = (0..100).map(|n| hash64(&key(n), 99)).collect();
        let mut bytes = build(&hashes, 10).unwrap();
        bytes[16] = 99;
        let filter = ClassicBloom::open(&bytes).unwrap();
        let may = |n: u64| filter.may_contain(&key(n), hash64(&key(n), 0));
        assert!((0..100).all(may));
        let wrong = (100..1100).filter(|&n| may(n)).count();
        assert!(wrong < 100, "{wrong} of 1000 absent keys may match");
    }

    #[test]
    fn senseless_parameters_never_reach_the_crate() {
        let good = build(&[1, 2, 3], 10).unwrap();
        assert_eq!(good.len(), 72);
        assert!(ClassicBloom::open(&good).is_some());
        for (at, byte) in
            [(0, 1), (1, 0), (1, 31), (2, 1), (4, 0), (4, 7), (4, 16), (7, 9), (40, 1)]
        {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(ClassicBloom::open(&bad).is_none(), "byte {at} = {byte}");
        }
        for len in [0, 3, 63, 64, good.len() - 1] {
            assert!(ClassicBloom::open(&good[..len]).is_none(), "{len} bytes");
        }
        assert!(rebuild(0, &[0; 8], 8).unwrap().is_none());
        assert!(rebuild(31, &[0; 8], 8).unwrap().is_none());
        assert!(rebuild(7, &[], 0).unwrap().is_none());
    }
}
