//! How many numbers of a sorted little-endian column lie below a given one.
//!
//! Halving ends at a few cache lines, which are counted through: their loads do not wait for one another,
//! while each step of a binary search waits for the one before it. Counting is done 32 or 16 bytes at a
//! time where the processor can (AVX2, NEON) and number by number elsewhere; which one is chosen once per
//! process.
//!
//! Invariants
//! 1. Vector code and scalar code give the same answer for every column, sorted or not, aligned or not.
//! 2. Bytes behind the last whole number are not looked at.
//! 3. Vector code runs only on a processor that was seen to have it.
#![allow(unsafe_code, reason = "vector instructions are reached through unsafe intrinsics only")]

use crate::sync::OnceLock;

/// Up to four cache lines are counted through.
const WINDOW: usize = 256;

/// One way to count through a window.
#[derive(Clone, Copy)]
struct Counters {
    below_u32: fn(&[u8], u32) -> usize,
    below_u64: fn(&[u8], u64) -> usize,
}

static SCALAR: Counters = Counters { below_u32: scalar_u32, below_u64: scalar_u64 };

static CHOSEN: OnceLock<Counters> = OnceLock::new();

fn counters() -> Counters {
    #[cfg(feature = "internals")]
    if forced::SCALAR_ONLY.get() {
        return SCALAR;
    }
    *CHOSEN.get_or_init(|| vector().unwrap_or(SCALAR))
}

/// How many u32 of the ascending `column` lie below `wanted`.
pub fn count_below_u32(column: &[u8], wanted: u32) -> usize {
    let below = |four: &[u8; 4]| u32::from_le_bytes(*four) < wanted;
    let (passed, window) = narrow::<4>(column, below);
    passed.saturating_add((counters().below_u32)(window, wanted))
}

/// How many u64 of the ascending `column` lie below `wanted`.
pub fn count_below_u64(column: &[u8], wanted: u64) -> usize {
    let below = |eight: &[u8; 8]| u64::from_le_bytes(*eight) < wanted;
    let (passed, window) = narrow::<8>(column, below);
    passed.saturating_add((counters().below_u64)(window, wanted))
}

/// Halves the column until it fits the window: how many numbers were passed on the way, and the rest.
fn narrow<const WIDTH: usize>(
    column: &[u8],
    below: impl Fn(&[u8; WIDTH]) -> bool,
) -> (usize, &[u8]) {
    let (mut rest, mut passed) = (column, 0usize);
    while rest.len() > WINDOW {
        let half = rest.len() / WIDTH / 2;
        let (head, tail) = rest.split_at_checked(half.saturating_mul(WIDTH)).unwrap_or_default();
        if head.last_chunk::<WIDTH>().is_some_and(&below) {
            passed = passed.saturating_add(half);
            rest = tail;
        } else {
            rest = head;
        }
    }
    (passed, rest)
}

/// Whether vector code, where the processor has it, counts what scalar code counts: columns of every length
/// up to twice the window, at every alignment.
pub fn vector_code_agrees() -> bool {
    let Some(vector) = vector() else { return true };
    let mut state = 0x5ea7_c4ed_u64;
    let mut bytes = [0u8; 2 * WINDOW];
    for byte in &mut bytes {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    (0..bytes.len()).all(|len| {
        let column = bytes.get(len % 32..len).unwrap_or_default();
        // One of the column's own numbers, so that "below" meets "the same".
        let wanted = column.get(..8).and_then(|eight| eight.first_chunk::<8>());
        let wanted = wanted.map_or(len as u64, |eight| u64::from_le_bytes(*eight));
        (vector.below_u64)(column, wanted) == scalar_u64(column, wanted)
            && (vector.below_u32)(column, wanted as u32) == scalar_u32(column, wanted as u32)
    })
}

fn scalar_u32(column: &[u8], wanted: u32) -> usize {
    let fours = column.chunks_exact(4).filter_map(|chunk| chunk.first_chunk::<4>());
    fours.filter(|four| u32::from_le_bytes(**four) < wanted).count()
}

fn scalar_u64(column: &[u8], wanted: u64) -> usize {
    let eights = column.chunks_exact(8).filter_map(|chunk| chunk.first_chunk::<8>());
    eights.filter(|eight| u64::from_le_bytes(**eight) < wanted).count()
}

/// The vector code of this processor, if it has any.
fn vector() -> Option<Counters> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        return Some(Counters { below_u32: avx2::below_u32, below_u64: avx2::below_u64 });
    }
    #[cfg(all(target_arch = "aarch64", target_endian = "little"))]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return Some(Counters { below_u32: neon::below_u32, below_u64: neon::below_u64 });
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_castsi256_pd, _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_cmpgt_epi64,
        _mm256_loadu_si256, _mm256_movemask_pd, _mm256_movemask_ps, _mm256_set1_epi32,
        _mm256_set1_epi64x, _mm256_xor_si256,
    };

    /// Numbers of `column` below `wanted`; for `vector` to hand out, which looked for AVX2.
    pub fn below_u32(column: &[u8], wanted: u32) -> usize {
        // SAFETY: `vector` is the only one to name this function, after it found AVX2.
        unsafe { count_u32(column, wanted) }
    }

    /// As `below_u32`.
    pub fn below_u64(column: &[u8], wanted: u64) -> usize {
        // SAFETY: `vector` is the only one to name this function, after it found AVX2.
        unsafe { count_u64(column, wanted) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn count_u32(column: &[u8], wanted: u32) -> usize {
        let (lanes, rest) = column.split_at(column.len() - column.len() % 32);
        let mut below = 0u32;
        for chunk in lanes.chunks_exact(32) {
            // SAFETY: a chunk is 32 readable bytes; the load asks for no alignment.
            below += unsafe {
                // The comparison is signed: flipping the top bits makes it order as unsigned.
                let flip = _mm256_set1_epi32(i32::MIN);
                let limit = _mm256_xor_si256(_mm256_set1_epi32(wanted as i32), flip);
                let eight = _mm256_loadu_si256(chunk.as_ptr().cast::<__m256i>());
                let less = _mm256_cmpgt_epi32(limit, _mm256_xor_si256(eight, flip));
                _mm256_movemask_ps(_mm256_castsi256_ps(less)).count_ones()
            };
        }
        below as usize + crate::search::scalar_u32(rest, wanted)
    }

    #[target_feature(enable = "avx2")]
    unsafe fn count_u64(column: &[u8], wanted: u64) -> usize {
        let (lanes, rest) = column.split_at(column.len() - column.len() % 32);
        let mut below = 0u32;
        for chunk in lanes.chunks_exact(32) {
            // SAFETY: a chunk is 32 readable bytes; the load asks for no alignment.
            below += unsafe {
                let flip = _mm256_set1_epi64x(i64::MIN);
                let limit = _mm256_xor_si256(_mm256_set1_epi64x(wanted as i64), flip);
                let four = _mm256_loadu_si256(chunk.as_ptr().cast::<__m256i>());
                let less = _mm256_cmpgt_epi64(limit, _mm256_xor_si256(four, flip));
                _mm256_movemask_pd(_mm256_castsi256_pd(less)).count_ones()
            };
        }
        below as usize + crate::search::scalar_u64(rest, wanted)
    }
}

#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
mod neon {
    use std::arch::aarch64::{
        vaddvq_u32, vaddvq_u64, vcltq_u32, vcltq_u64, vdupq_n_u32, vdupq_n_u64, vld1q_u8,
        vreinterpretq_u32_u8, vreinterpretq_u64_u8, vshrq_n_u32, vshrq_n_u64,
    };

    /// Numbers of `column` below `wanted`; for `vector` to hand out, which looked for NEON.
    pub fn below_u32(column: &[u8], wanted: u32) -> usize {
        // SAFETY: `vector` is the only one to name this function, after it found NEON.
        unsafe { count_u32(column, wanted) }
    }

    /// As `below_u32`.
    pub fn below_u64(column: &[u8], wanted: u64) -> usize {
        // SAFETY: `vector` is the only one to name this function, after it found NEON.
        unsafe { count_u64(column, wanted) }
    }

    #[target_feature(enable = "neon")]
    unsafe fn count_u32(column: &[u8], wanted: u32) -> usize {
        let (lanes, rest) = column.split_at(column.len() - column.len() % 16);
        let mut below = 0usize;
        for chunk in lanes.chunks_exact(16) {
            // SAFETY: a chunk is 16 readable bytes; a load of bytes asks for no alignment.
            below += unsafe {
                let four = vreinterpretq_u32_u8(vld1q_u8(chunk.as_ptr()));
                // A lane below is all ones: its top bit is one.
                vaddvq_u32(vshrq_n_u32::<31>(vcltq_u32(four, vdupq_n_u32(wanted))))
            } as usize;
        }
        below + crate::search::scalar_u32(rest, wanted)
    }

    #[target_feature(enable = "neon")]
    unsafe fn count_u64(column: &[u8], wanted: u64) -> usize {
        let (lanes, rest) = column.split_at(column.len() - column.len() % 16);
        let mut below = 0usize;
        for chunk in lanes.chunks_exact(16) {
            // SAFETY: a chunk is 16 readable bytes; a load of bytes asks for no alignment.
            below += unsafe {
                let two = vreinterpretq_u64_u8(vld1q_u8(chunk.as_ptr()));
                vaddvq_u64(vshrq_n_u64::<63>(vcltq_u64(two, vdupq_n_u64(wanted))))
            } as usize;
        }
        below + crate::search::scalar_u64(rest, wanted)
    }
}

#[cfg(feature = "internals")]
mod forced {
    use std::cell::Cell;

    thread_local! {
        pub static SCALAR_ONLY: Cell<bool> = const { Cell::new(false) };
    }
}

/// Has searches of the calling thread use scalar code only, or go back to what was chosen. Tests only.
#[cfg(feature = "internals")]
pub fn force_scalar(on: bool) {
    forced::SCALAR_ONLY.set(on);
}

/// Whether this processor has vector code. Tests only.
#[cfg(feature = "internals")]
pub fn has_vector() -> bool {
    vector().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rng(u64);

    impl Rng {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    /// Numbers that lie close together around the places where comparisons go wrong.
    fn numbers(rng: &mut Rng, len: usize) -> Vec<u64> {
        let ends = [0, 1 << 31, 1 << 32, 1 << 63, u64::MAX, u64::from(u32::MAX)];
        let mut numbers: Vec<u64> = (0..len)
            .map(|_| match rng.next() % 3 {
                0 => rng.next(),
                1 => rng.next() % 50,
                _ => ends[(rng.next() % 6) as usize].wrapping_add(rng.next() % 5).wrapping_sub(2),
            })
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// The column behind `shift` bytes, so that it begins at any alignment.
    fn column<const WIDTH: usize>(
        numbers: impl Iterator<Item = [u8; WIDTH]>,
        shift: usize,
    ) -> Vec<u8> {
        let mut bytes = vec![0xa5; shift];
        numbers.for_each(|number| bytes.extend_from_slice(&number));
        bytes
    }

    #[test]
    fn vector_and_scalar_code_count_what_a_loop_counts() {
        let seed = 0x5ea7_c4ed_0000_0001u64;
        let vector = vector().unwrap_or(SCALAR);
        for len in 0..=300usize {
            let rng = &mut Rng(seed + len as u64);
            let wide = numbers(rng, len);
            let mut narrow: Vec<u32> = wide.iter().map(|&n| n as u32).collect();
            narrow.sort_unstable();
            let shift = len % 37;
            let eights = column(wide.iter().map(|n| n.to_le_bytes()), shift);
            let fours = column(narrow.iter().map(|n| n.to_le_bytes()), shift);
            let (eights, fours) = (&eights[shift..], &fours[shift..]);
            let near = wide.iter().flat_map(|&n| [n.wrapping_sub(1), n, n.wrapping_add(1)]);
            for wanted in near.chain([0, 1, 1 << 31, 1 << 63, u64::MAX, rng.next()]) {
                let exact = wide.iter().filter(|&&n| n < wanted).count();
                assert_eq!(count_below_u64(eights, wanted), exact, "{len} u64, {wanted:#x}");
                assert_eq!((vector.below_u64)(eights, wanted), exact, "{len} u64, {wanted:#x}");
                assert_eq!(scalar_u64(eights, wanted), exact, "{len} u64, {wanted:#x}");
                let wanted = wanted as u32;
                let exact = narrow.iter().filter(|&&n| n < wanted).count();
                assert_eq!(count_below_u32(fours, wanted), exact, "{len} u32, {wanted:#x}");
                assert_eq!((vector.below_u32)(fours, wanted), exact, "{len} u32, {wanted:#x}");
                assert_eq!(scalar_u32(fours, wanted), exact, "{len} u32, {wanted:#x}");
            }
        }
    }

    #[test]
    fn unsorted_and_ragged_bytes_are_counted_alike() {
        let vector = vector().unwrap_or(SCALAR);
        let rng = &mut Rng(0xdead_10cc);
        for len in 0..=300usize {
            let bytes: Vec<u8> = (0..len).map(|_| rng.next() as u8).collect();
            for _ in 0..8 {
                let wanted = rng.next();
                assert_eq!((vector.below_u64)(&bytes, wanted), scalar_u64(&bytes, wanted), "{len}");
                let wanted = wanted as u32;
                assert_eq!((vector.below_u32)(&bytes, wanted), scalar_u32(&bytes, wanted), "{len}");
            }
        }
    }
}
