//! Checks this build on this machine: what is written here must be what every other build reads.
//!
//! Golden vectors are those of docs/FORMAT.md, or of the reference implementation of XXH3. Nothing here
//! touches a file: the round trip runs on files in memory, in the calling thread.
//!
//! Invariants
//! 1. A check that fails is named in the error.

use crate::batch::{WriteBatch, check};
use crate::checksum::{crc32, place};
use crate::coding::{Decoder, put_u32, put_u64, put_varint};
use crate::db::handle::Db;
use crate::db::open::OpenFlags;
use crate::db::read::ReadParams;
use crate::db::write::WriteParams;
use crate::env::api::Fs;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::filter::blocked;
use crate::filter::classic;
use crate::filter::kind::Filter;
use crate::hash::hash64;
use crate::options::Options;
use crate::search::vector_code_agrees;
use crate::types::KeyspaceId;

fn require(holds: bool, what: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Corrupt, Area::Engine, format!("self-test failed: {what}")))
}

/// Runs every check.
pub fn run() -> Result<()> {
    require(checksum_holds(), "checksum")?;
    require(hash_holds(), "hash")?;
    require(coding_holds(), "coding of integers")?;
    require(batch_holds()?, "batch encoding")?;
    require(blocked_filter_holds()?, "filter, kind blocked")?;
    require(classic::crate_is_known(), "filter, kind classic")?;
    require(vector_code_agrees(), "vector code against scalar code")?;
    round_trip().map_err(|error| {
        let kind = error.kind();
        error.with_kind(if kind == ErrorKind::Panic { kind } else { ErrorKind::Corrupt })
    })
}

fn checksum_holds() -> bool {
    // Long enough for the vector code of the crate; the parts for its scalar code.
    let bytes: Vec<u8> = (0..5_000u32).map(|n| (n * 7 + 1) as u8).collect();
    let (head, tail) = bytes.split_at(13);
    crc32(0, b"123456789") == 0xcbf4_3926
        && crc32(0, &bytes) == 0xa9b2_4858
        && crc32(crc32(0, head), tail) == crc32(0, &bytes)
        && place(u32::MAX, 8) == 0
}

/// Length, XXH3-64 with seed 0 and with seed 99 of the bytes 1, 8, 15 ...; one row per code path.
const HASHES: [(u32, u64, u64); 9] = [
    (0, 0x2d06_8005_38d3_94c2, 0xb324_60ea_e951_1fc4),
    (3, 0x5c83_885a_0fb5_d516, 0x5c8b_5886_d05b_8e4d),
    (8, 0x96cc_97a6_768f_d7a9, 0x2a9a_5fde_5b32_f5c6),
    (16, 0x913b_d4a8_0380_27a7, 0xfa9e_9602_a896_493b),
    (17, 0x2bf6_f669_73a6_179d, 0xc975_2bf3_375b_699a),
    (129, 0x8433_4890_5675_0b32, 0x66c6_69ca_37d4_fef3),
    (241, 0xbff7_2150_8920_2d8f, 0xce93_1d30_5609_8074),
    (1024, 0xac8e_32e4_ea3b_a062, 0x99d8_159d_6c08_cad9),
    (5000, 0x8821_62eb_fafc_2c3f, 0xe661_0ca6_53f3_ddde),
];

fn hash_holds() -> bool {
    HASHES.iter().all(|&(len, plain, seeded)| {
        let bytes: Vec<u8> = (0..len).map(|n| (n * 7 + 1) as u8).collect();
        hash64(&bytes, 0) == plain && hash64(&bytes, 99) == seeded
    })
}

fn coding_holds() -> bool {
    let mut bytes = Vec::new();
    put_u32(&mut bytes, 0x0403_0201);
    put_u64(&mut bytes, 0x0807_0605_0403_0201);
    put_varint(&mut bytes, 300);
    put_varint(&mut bytes, u64::MAX);
    let golden: &[u8] = &[
        1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0xac, 2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1,
    ];
    let mut decoder = Decoder::new(&bytes);
    bytes == golden
        && decoder.take_u32() == Some(0x0403_0201)
        && decoder.take_u64() == Some(0x0807_0605_0403_0201)
        && decoder.take_varint() == Some(300)
        && decoder.take_varint() == Some(u64::MAX)
        && decoder.is_empty()
}

/// "batch-put-delete" of docs/FORMAT.md.
const BATCH: &[u8] = b"\x01\0\0\0\x02\0\0\0\x01\0\x03key\x05value\x02\0\0";

fn batch_holds() -> Result<bool> {
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(0), b"key", b"value")?;
    batch.delete(KeyspaceId(0), b"")?;
    Ok(batch.as_bytes() == BATCH && check(BATCH, 1)? == 2)
}

fn blocked_filter_holds() -> Result<bool> {
    let key = |n: u64| n.to_be_bytes();
    let hashes: Vec<u64> = (0..100).map(|n| hash64(&key(n), 0)).collect();
    let bytes = blocked::build(&hashes, 10)?;
    let golden = bytes.len() == 192 && crc32(0, &bytes) == 0x79db_6e0a;
    let filter = Filter::open(bytes);
    let may = |n: u64| filter.may_contain(&key(n), hash64(&key(n), 0));
    let wrong = (1_000..2_000).filter(|n| may(*n)).count();
    Ok(golden && filter.is_some() && (0..100).all(may) && wrong < 100)
}

/// Rows of the round trip.
const ROWS: u32 = 500;

/// Writes, deletes, reads back one by one and in order, across memtable and tables.
fn round_trip() -> Result<()> {
    let options = Options {
        deterministic: true,
        write_buffer: 4 << 10,
        table_size: 4 << 10,
        level_bytes: 8 << 10,
        ..Options::default()
    };
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    let db = Db::open(&Fs::memory(), b"memory", &options, flags)?;
    let (key, value) = (|n: u32| n.to_be_bytes(), |n: u32| vec![n as u8; 1 + n as usize % 50]);
    let write = WriteParams::default();
    for n in (0..ROWS).rev() {
        db.put(&write, &key(n), &value(n))?;
    }
    for n in (0..ROWS).step_by(3) {
        db.delete(&write, &key(n))?;
    }
    db.compact(None, None, false, &mut |_, _, _| true)?;
    db.put(&write, &key(0), &value(0))?;
    let there = |n: u32| n == 0 || n % 3 != 0;
    for n in 0..ROWS {
        let found = db.get(&ReadParams::default(), &key(n))?;
        let expected = there(n).then(|| value(n));
        require(found.as_deref() == expected.as_deref(), "reading back what was written")?;
    }
    let mut iter = db.iter(&ReadParams::default())?;
    for n in (0..ROWS).filter(|n| there(*n)) {
        let same = iter.next()? && iter.key() == key(n) && iter.value() == value(n);
        require(same, "iterating over what was written")?;
    }
    require(!iter.next()?, "the end of an iteration")?;
    drop(iter);
    db.close(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_build_passes() {
        run().expect("every check holds");
    }

    #[test]
    fn a_failed_check_is_named() {
        let error = require(false, "the thing").expect_err("it failed");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("the thing"), "{error}");
    }
}
