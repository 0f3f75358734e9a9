//! The encoding of batches as two parts of the engine see it: the check before anything is taken over, and the reader.

use crate::memtable::Rng;
use esker::internals::batch::{BatchReader, WriteBatch, check};
use esker::internals::types::KeyspaceId;

/// Operations that a reader finds up to the end; `None` where it finds something wrong.
fn read(bytes: &[u8]) -> Option<u32> {
    let mut reader = BatchReader::new(bytes).ok()?;
    let mut ops = 0;
    while reader.next_op().ok()?.is_some() {
        ops += 1;
    }
    Some(ops)
}

fn agree(bytes: &[u8], what: &str) {
    let count = bytes.get(4..8).map(|four| u32::from_le_bytes(four.try_into().expect("four")));
    let expected = read(bytes).filter(|ops| Some(*ops) == count);
    assert_eq!(check(bytes, u32::MAX).ok(), expected, "{what}: {bytes:?}");
}

#[test]
fn check_accepts_what_the_reader_reads_to_the_end_and_nothing_else() {
    let mut batch = WriteBatch::new();
    batch.put(KeyspaceId(0), b"key", b"value").expect("fits");
    batch.delete(KeyspaceId(300), b"").expect("fits");
    batch.put(KeyspaceId(1), &[7; 200], &[8; 300]).expect("fits");
    let good = batch.as_bytes();
    assert_eq!(read(good), Some(3));
    agree(good, "whole");
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        agree(&bad, "bit");
        agree(&bad[..bit / 8], "cut");
    }
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut bytes = good[..8].to_vec();
        bytes[4] = rng.below(5) as u8;
        // Small numbers are kinds, ids and lengths.
        bytes.extend((0..rng.below(40)).map(|_| rng.below(8) as u8));
        agree(&bytes, "random");
    }
}
