//! Compression of data blocks, and the only door to the LZ4 crate.
//!
//! A compressed block body is `{u32 raw length, u32 stored length, LZ4 block, zeros}`
//! (docs/FORMAT.md, section 6.1.1). The stored length is there because blocks are padded and an LZ4 block
//! does not say where it ends.
//!
//! Invariants
//! 1. No length from disk is allocated before it is known to be at most `RAW_LEN_MAX` and at most 255 times
//!    the LZ4 bytes that are really there; the allocation may fail without harm.
//! 2. What comes out has exactly the length that was promised, or it is refused.
//! 3. What is packed can be unpacked: content that would break a bound stays as it is.

use crate::buffer;
use crate::coding::{Decoder, put_u32};
use crate::error::{Area, Error, Result};
use crate::types::VALUE_LEN_MAX;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// Most bytes a block has before compression: its largest value, key and columns.
pub const RAW_LEN_MAX: usize = VALUE_LEN_MAX + (128 << 10);
/// An LZ4 byte stands for at most so many.
const RATIO_MAX: usize = 255;
/// Bytes of the two lengths.
const HEAD_LEN: usize = 8;
/// Memory kept between blocks.
const SCRATCH_KEPT: usize = 8 << 20;

/// How the body of a data block is stored; the numbers are those of the block's trailer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    #[default]
    None = 0,
    Lz4 = 1,
}

impl Codec {
    /// The codec with this number, if this version knows it.
    pub fn from_number(number: u8) -> Option<Codec> {
        match number {
            0 => Some(Codec::None),
            1 => Some(Codec::Lz4),
            _ => None,
        }
    }
}

/// Why a compressed body was refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    Corrupt(&'static str),
    /// There is no memory for so many bytes.
    NoMemory(usize),
}

/// Packs one block after another.
#[derive(Default)]
pub struct Packer {
    scratch: Vec<u8>,
}

impl Packer {
    /// Packs the end of `out` from `start` on in place. `false`, and nothing changed, when that saves less
    /// than an eighth.
    pub fn pack(&mut self, out: &mut Vec<u8>, start: usize) -> Result<bool> {
        let raw = out.get(start..).unwrap_or_default();
        let (Ok(raw_len), true) = (u32::try_from(raw.len()), raw.len() <= RAW_LEN_MAX) else {
            return Ok(false);
        };
        let room = get_maximum_output_size(raw.len());
        if self.scratch.len() < room {
            let more = room - self.scratch.len();
            let no_memory = |_| Error::no_memory(Area::Table, room);
            self.scratch.try_reserve_exact(more).map_err(no_memory)?;
            self.scratch.resize(room, 0);
        }
        // The crate fails only for want of room, which there is; the block would then stay as it is.
        let len = compress_into(raw, &mut self.scratch).unwrap_or(raw.len());
        let saves = len + HEAD_LEN <= raw.len() - raw.len() / 8;
        let packs = saves && raw.len() <= len.saturating_mul(RATIO_MAX);
        if packs {
            out.truncate(start);
            put_u32(out, raw_len);
            // Shorter than the raw bytes, whose length is a u32.
            put_u32(out, len as u32);
            out.extend_from_slice(self.scratch.get(..len).unwrap_or_default());
        }
        if self.scratch.len() > SCRATCH_KEPT {
            buffer::empty(&mut self.scratch, SCRATCH_KEPT);
        }
        Ok(packs)
    }
}

/// Unpacks a body whose checksum has passed: the trailer is not part of it, the padding is.
pub fn unpack(body: &[u8]) -> std::result::Result<Vec<u8>, Refused> {
    const SHORT: Refused = Refused::Corrupt("shorter than its compressed content");
    let mut decoder = Decoder::new(body);
    let raw_len = decoder.take_u32().ok_or(SHORT)? as usize;
    let packed_len = decoder.take_u32().ok_or(SHORT)? as usize;
    let packed = decoder.take(packed_len).ok_or(SHORT)?;
    let padding = decoder.take(decoder.remaining()).unwrap_or_default();
    if padding.iter().any(|&byte| byte != 0) {
        return Err(Refused::Corrupt("bytes behind the compressed content are not zero"));
    }
    if raw_len > RAW_LEN_MAX.min(packed.len().saturating_mul(RATIO_MAX)) {
        return Err(Refused::Corrupt("claims more bytes than its compressed content can hold"));
    }
    let mut raw = Vec::new();
    raw.try_reserve_exact(raw_len).map_err(|_| Refused::NoMemory(raw_len))?;
    raw.resize(raw_len, 0);
    match decompress_into(packed, &mut raw) {
        Ok(len) if len == raw_len => Ok(raw),
        Ok(_) => Err(Refused::Corrupt("compressed content is shorter than it claims")),
        Err(_) => Err(Refused::Corrupt("compressed content is damaged or longer than it claims")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(raw: &[u8]) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        out.extend_from_slice(raw);
        let packs = Packer::default().pack(&mut out, 6).unwrap();
        assert_eq!(&out[..6], b"before");
        if !packs {
            assert_eq!(&out[6..], raw, "what stays raw is not touched");
        }
        packs.then(|| out.split_off(6))
    }

    /// Bytes without a pattern.
    fn noise(len: usize) -> Vec<u8> {
        let mut x = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 32) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn what_was_packed_comes_back_with_any_padding() {
        let text = b"a sentence that says the same, a sentence that says the same. ".repeat(100);
        for raw in [&text[..], &[0; 100_000], &text[..100], &[7; 4 << 20]] {
            let mut body = packed(raw).expect("a pattern is packed");
            for _ in 0..9 {
                assert!(unpack(&body).unwrap() == raw);
                body.push(0);
            }
        }
    }

    #[test]
    fn an_eighth_must_be_saved() {
        assert_eq!(packed(&[]), None);
        assert_eq!(packed(b"short"), None);
        assert_eq!(packed(&noise(10_000)), None);
        let with_zeros = |zeros: usize| [noise(8000 - zeros), vec![0; zeros]].concat();
        assert_eq!(packed(&with_zeros(900)), None, "saves 900 - 50 of 8000");
        let body = packed(&with_zeros(1100)).expect("saves 1100 - 50 of 8000");
        assert!(body.len() <= 7000, "{}", body.len());
    }

    #[test]
    fn hostile_lengths_are_refused_before_memory_is_taken() {
        let body = packed(&[5; 2000]).unwrap();
        let raw_len = |len: u32| [&len.to_le_bytes()[..], &body[4..]].concat();
        let packed_len = body.len() - HEAD_LEN;
        let most = (packed_len * RATIO_MAX) as u32;
        let too_many = "claims more bytes than its compressed content can hold";
        for claim in [most + 1, RAW_LEN_MAX as u32 + 1, u32::MAX] {
            assert_eq!(unpack(&raw_len(claim)), Err(Refused::Corrupt(too_many)));
        }
        for claim in [0, 1, 1999, 2001, most] {
            assert!(matches!(unpack(&raw_len(claim)), Err(Refused::Corrupt(_))), "{claim}");
        }
        for len in 0..body.len() {
            assert!(matches!(unpack(&body[..len]), Err(Refused::Corrupt(_))), "{len} bytes");
        }
        let mut dirty = body.clone();
        dirty.extend([0, 1]);
        assert!(matches!(unpack(&dirty), Err(Refused::Corrupt(_))));
    }

    #[test]
    fn damaged_content_never_panics_and_keeps_its_length() {
        let text = b"abcabcabcabd the abcabc and so on: ".repeat(30);
        let body = packed(&text).unwrap();
        for at in HEAD_LEN..body.len() {
            for flip in 1..=255u8 {
                let mut bad = body.clone();
                bad[at] ^= flip;
                assert!(unpack(&bad).map_or(true, |raw| raw.len() == text.len()));
            }
        }
        for seed in 0..2000usize {
            let content = noise(3000).split_off(seed);
            let lengths = [4000u32.to_le_bytes(), (content.len() as u32).to_le_bytes()].concat();
            assert!(unpack(&[lengths, content].concat()).map_or(true, |raw| raw.len() == 4000));
        }
    }
}
