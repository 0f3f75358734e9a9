//! Appending, rotating, syncing, stamping, abandoning and closing.

use super::{FIRST, PATH, Rig, batch, name, open_dir};
use esker::internals::batch::{BatchReader, WriteBatch};
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::ErrorKind;
use esker::internals::key::EntryKind;
use esker::internals::record::format::record_len;
use esker::internals::types::{FileNum, KeyspaceId};
use esker::internals::wal::format::LogStart;
use esker::internals::wal::recover::{decide, replay};

const EIO: i32 = 5;

fn fail(call: CallKind, nth: u64, short: bool) -> Fault {
    Fault { call, nth, errno: EIO, forever: false, short }
}

#[test]
fn a_group_comes_back_batch_by_batch_in_order() {
    let mut rig = Rig::new(1);
    rig.rotate();
    let writes = rig.kernel.count(CallKind::Pwrite);
    rig.append(&[batch("a", 1), batch("b", 2), batch("c", 3)]).expect("no fault");
    assert_eq!(rig.kernel.count(CallKind::Pwrite), writes + 1, "a group is one write");
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs, [1, 2, 3]);
    assert_eq!((recovered.records, recovered.last_seq, recovered.max_seq), (3, 3, 3));
    assert_eq!(recovered.dropped_bytes, 0);
}

#[test]
fn empty_keys_and_values_do_not_end_the_log() {
    let mut rig = Rig::new(2);
    rig.rotate();
    let mut empty = WriteBatch::new();
    empty.delete(KeyspaceId(0), b"").expect("within the limits");
    let mut empty_put = WriteBatch::new();
    empty_put.put(KeyspaceId(0), b"", b"").expect("within the limits");
    let group = [empty.as_bytes().to_vec(), empty_put.as_bytes().to_vec(), batch("k", 1)];
    rig.append(&group).expect("no fault");
    let recovered = rig.decide().expect("legal");
    let mut ops = Vec::new();
    replay(&rig.dir, &recovered, &rig.facts, &mut |_, _, bytes| {
        let op = BatchReader::new(bytes)?.next_op()?.expect("one operation");
        ops.push((op.kind, op.key.to_vec()));
        Ok(())
    })
    .expect("replay");
    let empty_key = Vec::new;
    let expected = [
        (EntryKind::Delete, empty_key()),
        (EntryKind::Put, empty_key()),
        (EntryKind::Put, b"k".to_vec()),
    ];
    assert_eq!(ops, expected);
}

#[test]
fn a_new_log_names_its_predecessor_and_what_was_durable_of_it() {
    let mut rig = Rig::new(3);
    rig.put("a");
    rig.sync.sync(|_| ()).expect("no fault");
    let durable = rig.sync.durable_point().expect("synced").1;
    rig.put("b");
    rig.rotate();
    let start = LogStart::decode(&rig.bytes_of(2)[88..120]).expect("a LOG START");
    let expected = LogStart {
        prev: FileNum(1),
        prev_len: durable + 64,
        prev_durable: durable,
        prev_last_seq: 2,
    };
    assert_eq!(start, expected);
    assert_eq!(rig.recovered().1, [1, 2]);
}

#[test]
fn a_batch_larger_than_a_log_gets_a_log_of_its_size() {
    let mut rig = Rig::new(4);
    rig.rotate();
    let large = batch("large", 3_000_000);
    let len = record_len(large.len());
    assert!(!rig.writer.fits(len));
    let log = rig.prepare(len).expect("no fault");
    rig.writer.start(log, rig.seq).expect("no fault");
    assert!(rig.writer.fits(len));
    let allocated = rig.bytes_of(2).len();
    rig.append(&[large]).expect("no fault");
    rig.sync_and_stamp();
    rig.close();
    assert!(rig.bytes_of(2).len() <= allocated, "STAMP and CLOSE had room");
    assert_eq!(rig.recovered().1, [1]);
}

#[test]
fn a_full_log_has_room_for_its_stamp_and_its_close() {
    let mut tightest = u64::MAX;
    for extra in 0..32 {
        let mut rig = Rig::new(90);
        let log = rig.rotate();
        let allocated = rig.bytes_of(log.0).len() as u64;
        let record = batch("k", 20 + 8 * extra);
        while rig.writer.fits(record_len(record.len())) {
            rig.append(std::slice::from_ref(&record)).expect("no fault");
        }
        rig.sync_and_stamp();
        let mark = rig.close();
        assert!(mark.length <= allocated, "{} of {allocated} bytes", mark.length);
        tightest = tightest.min(allocated - mark.length);
    }
    assert!(tightest < 8, "some log had none to spare, but {tightest} bytes");
    // A log that is made for one batch, around the sizes at which it becomes a page longer.
    for len in (3_500..4_300).step_by(8) {
        let mut rig = Rig::new(91);
        rig.rotate();
        let large = batch("large", len);
        let log = rig.prepare(record_len(large.len())).expect("no fault");
        let number = log.number.0;
        rig.writer.start(log, rig.seq).expect("no fault");
        let allocated = rig.bytes_of(number).len() as u64;
        rig.append(&[large]).expect("no fault");
        rig.sync_and_stamp();
        assert!(rig.close().length <= allocated, "{len}");
    }
}

#[test]
fn a_full_disk_shows_up_in_preparation() {
    let mut rig = Rig::new(5);
    rig.put("a");
    rig.kernel.set_capacity(rig.kernel.used() + 4096);
    let error = rig.prepare(8192).map(|_| ()).expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(rig.kernel.read_file(PATH, &name(2)), None, "the half-made log is removed");
    rig.put("b");
    assert_eq!(rig.recovered().1, [1, 2]);
}

#[test]
fn a_failed_append_abandons_the_log_at_its_last_good_end() {
    let mut rig = Rig::new(6);
    rig.put("a");
    rig.kernel.set_fault(fail(CallKind::Pwrite, 1, true));
    rig.append(&[batch("lost", 300)]).expect_err("a fault was planned");
    assert_eq!(rig.writer.current(), None);
    assert!(!rig.writer.fits(1));
    rig.append(&[batch("refused", 1)]).expect_err("no log takes records");
    rig.put("c");
    let (recovered, seqs) = rig.recovered();
    assert_eq!(seqs, [1, 4], "the failed groups burned 2 and 3");
    assert_eq!(recovered.dropped_bytes, 0, "bytes behind a known good end were never promised");
    // The good end is in LOG START, so a later sync proves the abandoned log complete.
    rig.sync_and_stamp();
    rig.corrupt(1, FIRST + 3);
    rig.assert_refused(1, FIRST);
}

#[test]
fn a_log_whose_log_start_failed_is_skipped() {
    for whole in [false, true] {
        let mut rig = Rig::new(7);
        rig.put("a");
        let log = rig.prepare(8192).expect("no fault");
        rig.kernel.set_fault(fail(CallKind::Pwrite, 1, true));
        rig.writer.start(log, rig.seq).expect_err("a fault was planned");
        if whole {
            // The failed write may have put the whole record there all the same.
            let mut other = Rig::new(7);
            other.put("a");
            other.rotate();
            rig.set_bytes(2, &other.bytes_of(2));
        }
        rig.put("b");
        rig.sync_and_stamp();
        let (recovered, seqs) = rig.recovered();
        assert_eq!(seqs, [1, 2]);
        assert_eq!(recovered.dropped, [FileNum(2)]);
        assert_eq!(recovered.dropped_bytes, 0);
        // Nothing can hide behind the skipped log.
        rig.corrupt(1, FIRST);
        rig.assert_refused(1, FIRST);
    }
}

#[test]
fn a_failed_sync_is_final() {
    let mut rig = Rig::new(8);
    rig.put("a");
    rig.kernel.set_fault(fail(CallKind::Fdatasync, 1, false));
    let first = rig.sync.sync(|_| ()).expect_err("a fault was planned");
    let syncs = rig.kernel.count(CallKind::Fdatasync);
    let second = rig.sync.sync(|_| ()).expect_err("sticky");
    assert_eq!(first.detail().message, second.detail().message);
    assert_eq!(rig.kernel.count(CallKind::Fdatasync), syncs, "never retried");
    assert_eq!((rig.sync.durable_seq(), rig.sync.durable_point()), (0, None));
}

#[test]
fn no_log_is_clean_after_a_failed_sync_until_all_are_left_behind() {
    let mut rig = Rig::new(15);
    rig.put("a");
    rig.sync.sync(|_| ()).expect("no fault yet");
    rig.rotate();
    rig.put("b");
    rig.kernel.set_fault(fail(CallKind::Fdatasync, 1, false));
    let mut told = 0;
    rig.sync.sync(|_| told += 1).expect_err("a fault was planned");
    rig.sync.sync(|_| told += 1).expect_err("sticky");
    assert_eq!(told, 2);
    assert_eq!(rig.sync.forget_below(FileNum(2)), [], "although log 1 was synced before");
    rig.sync.restart();
    rig.rotate();
    rig.put("c");
    rig.sync.sync(|_| ()).expect("nothing of log 2 is needed");
    rig.rotate();
    assert_eq!(rig.sync.forget_below(FileNum(4)), [FileNum(3)]);
}

#[test]
fn a_sync_covers_every_log_oldest_first() {
    let mut rig = Rig::new(9);
    rig.put("a");
    rig.rotate();
    rig.put("b");
    rig.kernel.set_fault(fail(CallKind::Fdatasync, 2, false));
    rig.sync.sync(|_| ()).expect_err("the second log's sync fails");
    assert_eq!(rig.sync.durable_point(), Some((FileNum(1), 184)), "the first was covered");
    assert_eq!(rig.sync.durable_seq(), 0);
}

#[test]
fn inherited_logs_are_synced_before_the_new_one() {
    let mut rig = Rig::new(10);
    rig.put("a");
    let counted = rig.decide().expect("legal").counted;
    assert_eq!(counted[0].durable, 0);
    let mut next = Rig::open(rig.kernel.clone(), rig.facts.clone(), counted, 2, 1);
    assert!(next.sync.has_unsynced());
    next.put("b");
    let syncs = next.kernel.count(CallKind::Fdatasync);
    next.sync.sync(|_| ()).expect("no fault");
    assert_eq!(next.kernel.count(CallKind::Fdatasync), syncs + 2);
    assert_eq!(next.sync.durable_seq(), 2);
    assert!(!next.sync.has_unsynced());
}

#[test]
fn logs_below_the_floor_are_forgotten_even_when_they_are_gone() {
    let mut rig = Rig::new(11);
    rig.put("a");
    let counted = rig.decide().expect("legal").counted;
    let mut next = Rig::open(rig.kernel.clone(), rig.facts.clone(), counted, 2, 1);
    next.put("b");
    assert_eq!(next.sync.live_bytes(), 184 + 184);
    next.sync.forget_below(FileNum(2));
    next.kernel.remove_file(PATH, &name(1));
    assert_eq!(next.sync.live_bytes(), 184);
    next.sync.sync(|_| ()).expect("nothing of log 1 is needed");
    next.facts.listed.remove(0);
    assert_eq!(next.recovered().1, [2]);
}

#[test]
fn one_stamp_follows_a_sync_and_asks_for_no_other() {
    let mut rig = Rig::new(12);
    rig.put("a");
    assert!(rig.sync.has_unsynced());
    rig.sync_and_stamp();
    let live = rig.sync.live_bytes();
    assert_eq!(live, 184 + 24);
    assert!(!rig.sync.has_unsynced(), "a STAMP alone is not worth a sync");
    let syncs = rig.kernel.count(CallKind::Fdatasync);
    rig.sync_and_stamp();
    assert_eq!(rig.sync.live_bytes(), live);
    assert_eq!(rig.kernel.count(CallKind::Fdatasync), syncs);
    rig.put("b");
    rig.sync_and_stamp();
    assert_eq!(rig.recovered().1, [1, 2]);
    assert_eq!(rig.sync.durable_seq(), 2);
}

/// Found by the crash loop: the STAMP was not synced with the next log, whose durable LOG START then proved
/// it lost, and a power cut made the database refuse to open.
#[test]
fn a_stamp_below_a_named_length_is_synced_with_the_next_log() {
    let mut rig = Rig::new(15);
    rig.put("a");
    rig.sync_and_stamp();
    rig.rotate();
    rig.sync_and_stamp();
    let kernel = rig.kernel.crash(CrashPolicy::OnlySynced, 15);
    let (_, dir) = open_dir(&kernel);
    let recovered = decide(&dir, &rig.facts).expect("nothing that was durable is missing");
    assert_eq!(recovered.counted[0].len, 184 + 24);
}

#[test]
fn closing_without_a_log_writes_nothing() {
    let mut rig = Rig::new(13);
    let calls = rig.kernel.calls();
    assert_eq!(rig.writer.close(0).expect("nothing to do"), None);
    assert_eq!(rig.kernel.calls(), calls);
}

#[test]
fn a_close_after_a_failed_append_syncs_but_claims_nothing() {
    let mut rig = Rig::new(14);
    rig.put("a");
    rig.kernel.set_fault(fail(CallKind::Pwrite, 1, false));
    rig.append(&[batch("lost", 1)]).expect_err("a fault was planned");
    assert_eq!(rig.writer.close(rig.seq).expect("the sync works"), None);
    assert_eq!(rig.sync.durable_point(), Some((FileNum(1), 184)));
}
