//! Bytes that no writer made: never a panic, never a hole, never more than linear work.

use super::{FIRST, Rig, batch, report};
use esker::internals::batch::WriteBatch;
use esker::internals::checksum::{crc32, place};
use esker::internals::env::sim::fault::CallKind;
use esker::internals::error::ErrorKind;
use esker::internals::record::format::{RecordKind, append_record, decode_header, record_len};
use esker::internals::types::{KeyspaceId, SEQ_MAX};
use esker::internals::wal::recover::replay;

/// A log 1 whose LOG START is followed by one crafted record.
fn crafted(kind: RecordKind, number: u64, synced: u64, payload: &[u8]) -> Rig {
    let mut rig = Rig::new(1);
    rig.seq = 5;
    rig.rotate();
    let salt = rig.facts.listed[0].1;
    let mut bytes = rig.bytes_of(1);
    let made = bytes.len();
    bytes.truncate(FIRST as usize);
    append_record(&mut bytes, salt, FIRST, kind, number, synced, payload);
    bytes.resize(made, 0);
    rig.set_bytes(1, &bytes);
    rig
}

#[test]
fn verified_records_that_no_writer_makes_are_damage() {
    let good = batch("k", 1);
    assert_eq!(crafted(RecordKind::Batch, 6, 0, &good).recovered().1, [6]);
    let count = |n: u32| [&good[..4], &n.to_le_bytes(), &good[8..]].concat();
    let cases: &[(RecordKind, u64, &[u8])] = &[
        (RecordKind::Edit, 6, b""),
        (RecordKind::LogStart, 6, &[0; 32]),
        (RecordKind::Batch, 5, &good),
        (RecordKind::Stamp, 4, b""),
        (RecordKind::Batch, 6, &good[..7]),
        (RecordKind::Batch, 6, &count(0)),
        (RecordKind::Batch, SEQ_MAX, &count(2)),
    ];
    for (kind, number, payload) in cases {
        crafted(*kind, *number, 0, payload).assert_refused(1, FIRST);
    }
}

#[test]
fn batches_that_verify_but_do_not_parse_are_damage_found_in_replay() {
    let good = batch("k", 1);
    let mut unknown_kind = good.clone();
    unknown_kind[8] = 7;
    let mut newer = good.clone();
    newer[0] = 2;
    let mut other_keyspace = WriteBatch::new();
    other_keyspace.put(KeyspaceId(1), b"k", b"").expect("fits");
    let trailing = [&good[..], &[2, 0]].concat();
    for payload in [unknown_kind, newer, other_keyspace.as_bytes().to_vec(), trailing] {
        let rig = crafted(RecordKind::Batch, 6, 0, &payload);
        let recovered = rig.decide().expect("payloads are parsed in replay");
        let error = replay(&rig.dir, &recovered, &rig.facts, &mut |_, _, _| Ok(()))
            .expect_err("must be refused");
        let detail = error.detail();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert_eq!((detail.file_number, detail.offset), (1, FIRST), "{error}");
    }
}

#[test]
fn a_log_start_that_makes_no_sense_is_damage() {
    let mut rig = Rig::new(2);
    rig.rotate();
    let salt = rig.facts.listed[0].1;
    let words = |w: [u64; 4]| w.map(u64::to_le_bytes).concat();
    // Itself or a later log as predecessor; a length that is none; a listed predecessor that is not.
    for payload in [words([1, 120, 0, 0]), words([9, 120, 0, 0]), words([0, 120, 0, 0])] {
        let mut bytes = rig.bytes_of(1);
        bytes.truncate(64);
        append_record(&mut bytes, salt, 64, RecordKind::LogStart, 0, 0, &payload);
        rig.set_bytes(1, &bytes);
        rig.assert_refused(1, 64);
    }
}

#[test]
fn a_predecessor_that_should_be_listed_and_is_not_is_damage() {
    let mut rig = Rig::new(3);
    for key in ["a", "b", "c"] {
        rig.rotate();
        rig.put(key);
    }
    rig.facts.listed.remove(1);
    rig.assert_refused(3, 64);
}

#[test]
fn a_length_beyond_the_file_ends_the_log_without_an_allocation() {
    let rig = crafted(RecordKind::Batch, 6, 0, &batch("k", 1));
    let salt = rig.facts.listed[0].1;
    let mut bytes = rig.bytes_of(1);
    let at = FIRST as usize;
    bytes[at + 8..at + 12].copy_from_slice(&(1u32 << 30).to_le_bytes());
    let crc = crc32(place(salt, FIRST), &bytes[at + 4..at + 24]);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    rig.set_bytes(1, &bytes);
    let (recovered, seqs) = rig.recovered();
    assert!(seqs.is_empty());
    assert_eq!(recovered.counted[0].len, FIRST);
    assert!(recovered.dropped_bytes > 0);
    // An operation takes three bytes or more: the bound of what the lost record may have used.
    assert_eq!(recovered.max_seq, 6 + (1 << 30) / 3 - 1);
}

#[test]
fn a_log_full_of_lying_headers_is_read_in_linear_time() {
    let mut rig = Rig::new(4);
    rig.rotate();
    let salt = rig.facts.listed[0].1;
    let mut bytes = rig.bytes_of(1);
    bytes.truncate(FIRST as usize);
    let size = 4 << 20;
    while bytes.len() < size {
        let offset = bytes.len() as u64;
        let mut record = Vec::new();
        append_record(&mut record, salt, offset, RecordKind::Batch, 1, 0, &batch("k", 1));
        // A header that verifies and promises a payload of everything that follows.
        record[8..12].copy_from_slice(&((size as u64 - offset) as u32).to_le_bytes());
        let crc = crc32(place(salt, offset), &record[4..24]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&record[..24]);
    }
    rig.set_bytes(1, &bytes);
    let reads = rig.kernel.count(CallKind::Pread);
    let (recovered, _) = rig.recovered();
    assert_eq!(recovered.counted[0].len, FIRST);
    let reads = rig.kernel.count(CallKind::Pread) - reads;
    assert!(reads < 100, "{reads} reads of 4 MiB");
}

struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

/// Random damage to synced and unsynced parts: either refused, or a prefix with everything synced.
#[test]
fn random_damage_is_refused_or_leaves_a_prefix() {
    report("wal: random damage, seed 77");
    let mut rig = Rig::new(77);
    rig.put("a");
    rig.put("b");
    rig.sync_and_stamp();
    rig.put("c");
    rig.rotate();
    rig.put("d");
    let all = [rig.bytes_of(1), rig.bytes_of(2)];
    let mut dice = Xorshift(77);
    let (mut refused, mut torn) = (0, 0);
    for round in 0..3000 {
        let log = dice.below(2);
        let mut bytes = all[log].clone();
        // Around the content; the zeros behind it are many and alike.
        for _ in 0..=dice.below(3) {
            let at = dice.below(400);
            bytes[at] ^= 1 << dice.below(8);
        }
        if dice.below(4) == 0 {
            bytes.truncate(dice.below(400));
        }
        rig.set_bytes(log as u64 + 1, &bytes);
        match rig.decide() {
            Ok(recovered) => {
                let mut seqs = Vec::new();
                replay(&rig.dir, &recovered, &rig.facts, &mut |_, seq, _| {
                    seqs.push(seq);
                    Ok(())
                })
                .expect("what counts verified");
                assert!((2..=4).contains(&seqs.len()), "round {round}: {seqs:?}");
                assert_eq!(seqs, [1, 2, 3, 4][..seqs.len()], "round {round}");
                torn += usize::from(seqs.len() < 4);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "round {round}: {error}");
                refused += 1;
            }
        }
        rig.set_bytes(log as u64 + 1, &all[log]);
    }
    assert!(refused > 300 && torn > 300, "{refused} refused, {torn} torn");
}

/// Makes the records of a log those of another salt.
pub fn resalt(bytes: &mut [u8], salt: u32) {
    let old = u32::from_le_bytes(bytes[40..44].try_into().expect("4 bytes"));
    let mut at = 64;
    while let Some(header) = decode_header(&bytes[at..], old, at as u64) {
        let end = at + record_len(header.len as usize) as usize;
        let initial = place(salt, at as u64);
        let payload = crc32(initial, &bytes[at + 24..end]);
        bytes[at + 4..at + 8].copy_from_slice(&payload.to_le_bytes());
        let crc = crc32(initial, &bytes[at + 4..at + 24]);
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    assert!(at > 64, "no record was found");
}

#[test]
fn kind_0_is_no_record_whatever_its_checksum_says() {
    assert_eq!(RecordKind::from_byte(0), None);
    let mut record = Vec::new();
    append_record(&mut record, 5, 64, RecordKind::Stamp, 3, 64, &[]);
    assert!(decode_header(&record, 5, 64).is_some());
    // The checksum made right for the place.
    record[16] = 0;
    let crc = crc32(place(5, 64), &record[4..24]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode_header(&record, 5, 64), None);
    record[16] = RecordKind::Stamp as u8;
    let crc = crc32(place(5, 64), &record[4..24]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    assert!(decode_header(&record, 5, 64).is_some(), "the kind alone made the difference");
}
