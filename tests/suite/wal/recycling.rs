//! Logs made out of the files of freed ones: what their former life left behind never counts.

use super::{DB_ID, FIRST, PATH, Rig, batch, name, open_dir};
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::ErrorKind;
use esker::internals::sync::Arc;
use esker::internals::types::FileNum;
use esker::internals::wal::prepare::{can_recycle, recycle};
use esker::internals::wal::recover::decide;

/// Two full logs, all durable, and a third that is current; the first is below the floor.
fn freed(seed: u64) -> Rig {
    let mut rig = Rig::new(seed);
    for _ in 0..2 {
        rig.rotate();
        for _ in 0..100 {
            rig.append(&[batch("old", 40)]).expect("no fault is planned");
        }
        rig.sync_and_stamp();
    }
    rig.rotate();
    rig.put("current");
    rig.sync_and_stamp();
    rig.sync.forget_below(FileNum(2));
    rig.facts.listed.remove(0);
    rig.facts.last_seq = rig.seq;
    rig
}

/// Logs in the directory that the manifest does not list and does not put below the floor.
fn unlisted(kernel: &Arc<SimKernel>, rig: &Rig) -> Vec<FileNum> {
    let number = |(file, _): (String, Vec<u8>)| file.strip_suffix(".wal")?.parse().ok();
    let found = kernel.files(PATH).into_iter().filter_map(number).map(FileNum);
    let listed = |log: &FileNum| rig.facts.listed.iter().any(|(number, _)| number == log);
    found.filter(|log| log.0 > 1 && !listed(log)).collect()
}

#[test]
fn a_recycled_log_keeps_its_inode_and_nothing_of_its_former_life() {
    let mut rig = freed(1);
    let inode = rig.dir.stat(&name(1)).expect("no fault").expect("it is there").inode;
    let log = rig.recycle(1, 8192).expect("no fault");
    assert!(log.recycled);
    let number = log.number.0;
    assert_eq!(rig.dir.stat(&name(number)).expect("no fault").expect("renamed").inode, inode);
    assert_eq!(rig.kernel.read_file(PATH, &name(1)), None);
    // Listed and not begun: stale records are no records, and no bytes that were dropped.
    let before = rig.recovered();
    assert_eq!(before.0.dropped, [FileNum(number)]);
    assert_eq!(before.0.dropped_bytes, 0);
    rig.writer.start(log, rig.seq).expect("no fault");
    rig.append(&[batch("new", 1)]).expect("no fault");
    let (recovered, seqs) = rig.recovered();
    assert_eq!(recovered.dropped_bytes, 0, "nothing was written behind the newest record");
    assert_eq!(seqs.last(), Some(&rig.seq));
    assert_eq!(seqs.len(), before.1.len() + 1);
    assert_eq!(recovered.max_seq, rig.seq);
}

#[test]
fn dropped_bytes_of_a_recycled_log_are_those_that_headers_prove() {
    let mut rig = freed(2);
    let log = rig.recycle(1, 8192).expect("no fault");
    let number = log.number.0;
    rig.writer.start(log, rig.seq).expect("no fault");
    rig.append(&[batch("kept", 8), batch("torn", 8), batch("lost", 8)]).expect("no fault");
    let len = 24 + batch("kept", 8).len().next_multiple_of(8) as u64;
    // The payload of the second of three: it and the third are dropped.
    rig.corrupt(number, FIRST + len + 30);
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs.last(), Some(&(rig.seq - 2)));
    assert_eq!(recovered.dropped_bytes, 2 * len);
    assert!(recovered.max_seq >= rig.seq, "{}", recovered.max_seq);
}

#[test]
fn an_unlisted_recycled_log_is_a_leftover_and_one_with_a_record_is_damage() {
    let mut rig = freed(3);
    let log = rig.recycle(1, 8192).expect("no fault");
    let (number, salt) = rig.facts.listed.pop().expect("just listed");
    rig.facts.unlisted = vec![number];
    assert_eq!(rig.recovered().0.leftovers, [number]);
    // Any number of lost header bytes: the header is not whole, so nothing was ever promised.
    let bytes = rig.bytes_of(number.0);
    for lost in [1, 20, 64, 512, 4096] {
        let mut damaged = bytes.clone();
        damaged[..lost].fill(0);
        rig.set_bytes(number.0, &damaged);
        assert_eq!(rig.recovered().0.leftovers, [number], "{lost} bytes");
    }
    rig.set_bytes(number.0, &bytes);
    rig.writer.start(log, rig.seq).expect("no fault");
    rig.assert_refused(number.0, 0);
    // Listed, its header must be there.
    rig.facts.unlisted.clear();
    rig.facts.listed.push((number, salt));
    rig.recovered();
    rig.corrupt(number.0, 17);
    rig.assert_refused(number.0, 0);
}

/// One salt in four thousand million is that of a former life. Then the order of sequences must tell.
#[test]
fn old_records_are_no_evidence_even_under_the_same_salt() {
    let mut rig = freed(4);
    let mut old = rig.bytes_of(1);
    let log = rig.recycle(1, 8192).expect("no fault");
    let number = log.number;
    rig.writer.start(log, rig.seq).expect("no fault");
    rig.append(&[batch("new", 1)]).expect("no fault");
    let new = rig.bytes_of(number.0);
    let salt = rig.facts.listed.last().expect("just listed").1;
    // The former life's records as they would read under the new salt, behind the new ones.
    let written = FIRST as usize + 24 + batch("new", 1).len().next_multiple_of(8);
    super::hostile::resalt(&mut old, salt);
    let mixed = [&new[..written], &old[written..]].concat();
    rig.set_bytes(number.0, &mixed);
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs.last(), Some(&rig.seq));
    assert_eq!((recovered.dropped_bytes, recovered.max_seq), (0, rig.seq));
    // And with the LOG START lost, too: the logs before give the bound.
    let lost = [&new[..64], &[0; 56], &old[FIRST as usize..]].concat();
    rig.set_bytes(number.0, &lost);
    let (recovered, _) = rig.recovered();
    assert_eq!(recovered.dropped, [number]);
    assert_eq!((recovered.dropped_bytes, recovered.max_seq), (0, rig.seq - 1));
}

#[test]
fn only_a_whole_file_of_the_size_wanted_is_recycled() {
    let rig = freed(5);
    let can = |log, bytes| can_recycle(&rig.dir, FileNum(log), bytes).expect("no fault");
    assert!(can(1, 8192));
    assert!(!can(1, 4000), "longer than wanted");
    assert!(!can(1, 20_000), "shorter than wanted");
    assert!(!can(9, 8192), "missing");
    let mut bytes = rig.bytes_of(1);
    bytes.truncate(5000);
    rig.set_bytes(1, &bytes);
    assert!(!can(1, 8192), "closed");
}

#[test]
fn a_failed_recycling_leaves_leftovers_under_either_name() {
    for call in [
        CallKind::Open,
        CallKind::Fallocate,
        CallKind::Pwrite,
        CallKind::Fdatasync,
        CallKind::Rename,
        CallKind::Fsync,
    ] {
        let rig = freed(6);
        rig.kernel.set_fault(Fault { call, nth: 1, errno: 5, forever: false, short: false });
        let number = FileNum(rig.next_number);
        let error = recycle(&rig.fs, &rig.dir, FileNum(1), number, DB_ID, 8192).map(|_| ());
        let error = error.expect_err("a fault was planned");
        assert_eq!(error.kind(), ErrorKind::Io, "{call:?}: {error}");
        let (_, dir) = open_dir(&rig.kernel);
        let mut facts = rig.facts.clone();
        facts.unlisted = unlisted(&rig.kernel, &rig);
        let recovered = decide(&dir, &facts).expect("nothing was promised");
        assert_eq!(recovered.leftovers, facts.unlisted, "{call:?}");
    }
}

/// The end of the world at every call of a recycling and of the first writes to its log; what was synced is
/// there, and no image is refused.
#[test]
fn every_crash_of_a_recycling_reopens_with_what_was_synced() {
    let run = |seed: u64, calls: u64, policy: CrashPolicy| {
        let mut rig = freed(seed);
        let (synced, listed) = (rig.seq, rig.facts.listed.clone());
        rig.kernel.freeze_after(calls);
        let number = FileNum(rig.next_number);
        let made = rig.recycle(1, 8192);
        rig.facts.listed = listed;
        let mut promised = synced;
        if let Ok(log) = made {
            // The manifest's edit is one step here; its own tests tear it.
            rig.facts.listed.push((log.number, log.salt));
            if rig.writer.start(log, rig.seq).is_ok() && rig.append(&[batch("new", 700)]).is_ok() {
                let appended = rig.seq;
                if rig.sync.sync(|_| ()).is_ok() {
                    promised = appended;
                }
            }
        }
        let kernel = rig.kernel.crash(policy, seed * 31 + calls);
        let (_, dir) = open_dir(&kernel);
        let mut facts = rig.facts.clone();
        facts.unlisted = unlisted(&kernel, &rig);
        let what = format!("{policy:?} after {calls} calls, log {number}");
        let recovered = decide(&dir, &facts).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(recovered.last_seq >= promised, "{what}: {} < {promised}", recovered.last_seq);
        rig.kernel.frozen()
    };
    for policy in CrashPolicy::ALL {
        for seed in 1..20 {
            let points = (0..).take_while(|calls| run(seed, *calls, policy)).count();
            assert!((8..20).contains(&points), "{points} calls");
        }
    }
}
