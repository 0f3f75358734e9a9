//! What recovery counts, drops and refuses.

use super::{FIRST, PATH, Rig, batch, name};
use esker::internals::checksum::crc32;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::wal::recover::{decide, replay};

/// End of the first and of the second record that `put` makes.
const SECOND: u64 = FIRST + 64;
const THIRD: u64 = SECOND + 64;

#[test]
fn a_torn_tail_is_dropped_and_counted() {
    let mut rig = Rig::new(1);
    for key in ["a", "b", "c"] {
        rig.put(key);
    }
    let mut bytes = rig.bytes_of(1);
    for cut in 1..64 {
        bytes[(THIRD + 64 - cut) as usize] = 0;
        rig.set_bytes(1, &bytes);
        let (recovered, seqs) = rig.recovered();
        assert!(seqs == [1, 2] || (seqs == [1, 2, 3] && cut <= 7), "cut {cut}: {seqs:?}");
        if cut > 7 {
            assert_eq!(recovered.counted[0].len, THIRD);
            assert!(recovered.dropped_bytes > 0 && recovered.dropped_bytes <= 64);
        }
    }
}

#[test]
fn a_file_shorter_than_it_was_made_is_refused_wherever_it_ends() {
    let mut rig = Rig::new(2);
    rig.put("a");
    rig.put("b");
    let bytes = rig.bytes_of(1);
    // Where a record ends, in the middle of one, and where there are only zeros.
    for len in [SECOND, SECOND + 40, bytes.len() as u64 - 1] {
        rig.set_bytes(1, &bytes[..len as usize]);
        let message = rig.assert_refused(1, len);
        assert!(message.contains(&format!("was made with {}", bytes.len())), "{message}");
    }
}

/// A log of a build that did not write down how long it was made.
#[test]
fn a_file_of_unknown_length_that_is_cut_short_is_a_torn_tail() {
    let mut rig = Rig::new(2);
    rig.put("a");
    rig.put("b");
    let mut bytes = rig.bytes_of(1);
    bytes[44..52].fill(0);
    let crc = crc32(0, &bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    rig.set_bytes(1, &bytes[..SECOND as usize + 40]);
    let (recovered, seqs) = rig.recovered();
    assert_eq!((seqs, recovered.dropped_bytes), (vec![1], 40));
}

/// A power cut may leave the cut of a close without the manifest's word of it; then the CLOSE is there.
#[test]
fn a_file_cut_by_a_close_that_no_manifest_knows_of_is_whole() {
    let mut rig = Rig::new(2);
    rig.put("a");
    rig.close();
    rig.facts.close = None;
    assert_eq!(rig.recovered().1, [1]);
    let bytes = rig.bytes_of(1);
    rig.set_bytes(1, &bytes[..bytes.len() - 24]);
    rig.assert_refused(1, bytes.len() as u64 - 24);
}

#[test]
fn a_stamp_is_evidence() {
    let mut rig = Rig::new(3);
    rig.put("a");
    rig.put("b");
    rig.sync_and_stamp();
    rig.corrupt(1, SECOND + 30);
    let message = rig.assert_refused(1, SECOND);
    assert!(message.contains("sequences 2 to 2 are lost"), "{message}");
}

#[test]
fn without_evidence_the_same_damage_is_a_torn_tail() {
    let mut rig = Rig::new(4);
    rig.put("a");
    rig.put("b");
    rig.sync.sync(|_| ()).expect("no fault");
    rig.corrupt(1, SECOND + 30);
    let (recovered, seqs) = rig.recovered();
    // The record is 64 bytes, the last 7 of them padding that looks like unused space.
    assert_eq!((seqs, recovered.dropped_bytes), (vec![1], 57));
    // The payload is not read: a batch of 33 bytes holds 11 operations at most.
    assert_eq!(recovered.max_seq, 2 + 10, "sequences of dropped records are not used again");
}

#[test]
fn the_next_record_is_evidence_even_when_its_payload_is_not_whole() {
    let mut rig = Rig::new(5);
    rig.put("a");
    rig.sync.sync(|_| ()).expect("no fault");
    rig.put("b");
    rig.corrupt(1, SECOND + 40);
    assert_eq!(rig.recovered().1, [1]);
    rig.corrupt(1, FIRST + 40);
    rig.assert_refused(1, FIRST);
}

#[test]
fn prev_durable_of_the_next_log_is_evidence() {
    let mut rig = Rig::new(6);
    rig.put("a");
    rig.sync.sync(|_| ()).expect("no fault");
    rig.put("b");
    rig.rotate();
    rig.corrupt(1, SECOND);
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs, [1], "b was not durable");
    assert_eq!(recovered.dropped, [FileNum(2)], "nothing behind a tear counts");
    rig.corrupt(1, FIRST);
    let message = rig.assert_refused(1, FIRST);
    assert!(message.contains("sequences 1 to 2 are lost"), "{message}");
}

#[test]
fn a_log_start_alone_proves_nothing_about_its_predecessor() {
    let mut rig = Rig::new(7);
    rig.put("a");
    rig.put("b");
    rig.rotate();
    rig.put("c");
    rig.corrupt(1, SECOND);
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs, [1]);
    assert_eq!((recovered.dropped, recovered.max_seq), (vec![FileNum(2)], 3));
    // 64 bytes missing of log 1, and of log 2 everything behind its header: 56 + 64.
    assert_eq!(recovered.dropped_bytes, 64 + 56 + 64);
}

#[test]
fn a_durable_log_start_proves_every_older_log_complete() {
    let mut rig = Rig::new(8);
    rig.put("a");
    rig.rotate();
    rig.put("b");
    rig.rotate();
    rig.sync_and_stamp();
    let counted = rig.decide().expect("legal").counted;
    assert!(counted[..2].iter().all(|tail| tail.durable == tail.len), "{counted:?}");
    let intact = rig.bytes_of(1);
    rig.corrupt(1, FIRST);
    rig.assert_refused(1, FIRST);
    // A log that ends before its limit is bad at its end, even with no record at all.
    rig.set_bytes(1, &intact[..64]);
    rig.assert_refused(1, 64);
    rig.set_bytes(1, &intact);
    rig.corrupt(2, 64);
    rig.assert_refused(2, 64);
}

#[test]
fn the_manifest_is_evidence() {
    let mut rig = Rig::new(9);
    rig.put("a");
    rig.sync.sync(|_| ()).expect("no fault");
    rig.facts.manifest_durable.extend(rig.sync.durable_point());
    rig.corrupt(1, FIRST);
    rig.assert_refused(1, FIRST);
}

#[test]
fn durable_records_behind_a_lost_log_start_are_refused() {
    let mut rig = Rig::new(10);
    rig.put("a");
    rig.sync_and_stamp();
    rig.put("b");
    rig.corrupt(1, 64);
    rig.assert_refused(1, 64);
}

#[test]
fn a_listed_log_must_be_there_with_its_header() {
    let mut rig = Rig::new(11);
    rig.put("a");
    let intact = rig.bytes_of(1);
    for offset in 0..64 {
        rig.corrupt(1, offset);
        rig.assert_refused(1, 0);
        rig.set_bytes(1, &intact);
    }
    rig.set_bytes(1, &[]);
    rig.assert_refused(1, 0);
    rig.kernel.remove_file(PATH, &name(1));
    rig.assert_refused(1, 0);
}

#[test]
fn a_log_of_another_database_or_another_life_is_refused() {
    let mut rig = Rig::new(12);
    rig.put("a");
    rig.facts.db_id[0] ^= 1;
    rig.assert_refused(1, 0);
    rig.facts.db_id[0] ^= 1;
    rig.facts.listed[0].1 ^= 1;
    rig.assert_refused(1, 0);
}

#[test]
fn an_unlisted_log_is_a_leftover_unless_it_has_a_record() {
    let mut rig = Rig::new(13);
    rig.put("a");
    rig.prepare(100).expect("no fault");
    rig.facts.listed.pop();
    rig.kernel.write_file(PATH, &name(3), &[0; 4096]);
    rig.kernel.write_file(PATH, &name(4), b"");
    rig.facts.unlisted = vec![FileNum(2), FileNum(3), FileNum(4)];
    let (recovered, _) = rig.recovered();
    assert_eq!(recovered.leftovers, rig.facts.unlisted);
    // One that somebody has removed since the directory was read is no more.
    rig.facts.unlisted.push(FileNum(5));
    assert_eq!(rig.recovered().0.leftovers, rig.facts.unlisted);
    // The manifest lost the entry of a log that has taken records.
    rig.facts.unlisted.push(FileNum(1));
    rig.facts.listed.clear();
    rig.assert_refused(1, 0);
}

#[test]
fn a_log_that_was_listed_but_never_used_is_dropped() {
    let mut rig = Rig::new(14);
    rig.put("a");
    rig.prepare(100).expect("no fault");
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs, [1]);
    assert_eq!((recovered.dropped, recovered.dropped_bytes), (vec![FileNum(2)], 0));
    assert_eq!(recovered.counted.len(), 1);
}

#[test]
fn after_a_clean_close_every_flipped_byte_is_refused() {
    let mut rig = Rig::new(15);
    rig.put("a");
    rig.rotate();
    rig.put("b");
    let mark = rig.close();
    assert_eq!(rig.bytes_of(2).len() as u64, mark.length);
    assert_eq!(rig.recovered().1, [1, 2]);
    for (log, end) in [(1, SECOND), (2, mark.length)] {
        let intact = rig.bytes_of(log);
        for offset in 0..end {
            rig.corrupt(log, offset);
            let error = rig.decide().expect_err("every byte counts");
            assert_eq!(error.detail().file_number, log, "offset {offset}: {error}");
            rig.set_bytes(log, &intact);
        }
    }
}

#[test]
fn after_a_clean_close_the_log_must_be_exactly_as_long() {
    let mut rig = Rig::new(16);
    rig.put("a");
    let mark = rig.close();
    let intact = rig.bytes_of(1);
    for len in 0..mark.length {
        rig.set_bytes(1, &intact[..len as usize]);
        rig.decide().expect_err("truncated");
    }
    let mut longer = intact.clone();
    longer.push(0);
    rig.set_bytes(1, &longer);
    rig.assert_refused(1, mark.length);
    rig.kernel.remove_file(PATH, &name(1));
    rig.assert_refused(1, 0);
}

#[test]
fn a_clean_close_survives_a_power_cut() {
    for policy in CrashPolicy::ALL {
        let mut rig = Rig::new(17);
        rig.put("a");
        rig.put("b");
        rig.close();
        let kernel = rig.kernel.crash(policy, 17);
        let (_, dir) = super::open_dir(&kernel);
        let recovered = decide(&dir, &rig.facts).expect("nothing is missing");
        assert_eq!((recovered.last_seq, recovered.dropped_bytes), (2, 0), "{policy:?}");
    }
}

#[test]
fn recovery_writes_nothing() {
    let mut rig = Rig::new(18);
    rig.put("a");
    rig.put("b");
    rig.corrupt(1, SECOND);
    let (hash, calls) = (rig.kernel.directory_hash(PATH), rig.kernel.calls());
    rig.recovered();
    assert_eq!((rig.kernel.directory_hash(PATH), rig.kernel.calls()), (hash, calls));
}

#[test]
fn replay_passes_over_batches_that_are_in_tables_everywhere() {
    let mut rig = Rig::new(19);
    for key in ["a", "b", "c"] {
        rig.put(key);
    }
    rig.facts.flushed = vec![(KeyspaceId(0), 2)];
    assert_eq!(rig.recovered().1, [3]);
    rig.facts.keyspaces = 2;
    assert_eq!(rig.recovered().1, [1, 2, 3], "keyspace 1 has no table");
}

#[test]
fn a_log_that_changes_between_decision_and_replay_is_refused() {
    let mut rig = Rig::new(20);
    rig.rotate();
    rig.append(&[batch("a", 20), batch("b", 20)]).expect("no fault");
    let recovered = rig.decide().expect("legal");
    rig.corrupt(1, SECOND);
    let mut seen = 0;
    let outcome = replay(&rig.dir, &recovered, &rig.facts, &mut |_, _, _| {
        seen += 1;
        Ok(())
    });
    let error = outcome.expect_err("the second record is gone");
    assert_eq!((seen, error.detail().offset), (1, SECOND));
}
