//! A set of versions in a world that crashes, fails and damages files.

use super::*;
use esker::internals::env::sim::{CallKind, CrashPolicy, Fault};
use esker::internals::record::format::{FileHeader, RecordKind, append_record};
use esker::internals::version::manifest::base_image;

/// Applies a few edits; returns the state after each that was acknowledged, and whether all were.
fn run(kernel: &Arc<SimKernel>, states: &mut Vec<ManifestState>) -> Result<VersionSet> {
    let mut set = create(kernel)?;
    states.push(set.state().clone());
    for i in 1..6 {
        let mut edit = flush_edit(kernel, &set, i)?;
        if i % 2 == 0 {
            edit.logs_added = vec![(set.numbers().next(), i as u32)];
        }
        set.apply(edit)?;
        states.push(set.state().clone());
    }
    drop(set);
    // A second life: the first change makes a new manifest.
    let mut set = recover(kernel)?;
    for i in 6..9 {
        let edit = flush_edit(kernel, &set, i)?;
        set.apply(edit)?;
        states.push(set.state().clone());
    }
    Ok(set)
}

/// What a reader of the database can tell apart; file numbers differ between a run and its retry.
fn outline(state: &ManifestState) -> (u64, Vec<u64>, usize) {
    let tables = state.tables().map(|(_, _, meta)| meta.max_seq).collect();
    (state.last_seq, tables, state.logs.len())
}

#[test]
fn after_a_crash_anywhere_the_state_is_that_of_the_last_edit_or_the_one_under_way() {
    let whole = kernel();
    let mut reference = Vec::new();
    run(&whole, &mut reference).expect("an undisturbed run");
    let mut images = 0;
    for stop in 0..whole.calls() {
        let kernel = kernel();
        kernel.freeze_after(stop);
        let mut states = Vec::new();
        // The very last calls, a stamp or the removal of an old file, may fail unnoticed.
        let finished = run(&kernel, &mut states).is_ok();
        assert!(kernel.frozen() && (!finished || states.len() == reference.len()), "{stop}");
        for policy in CrashPolicy::ALL {
            for seed in 0..6 {
                let what = format!("stopped at {stop}, {policy:?}, seed {seed}");
                let after = kernel.crash(policy, seed);
                // A second crash before recovery has written anything, and one after its first change.
                let twice = after.crash(CrashPolicy::RandomPages, seed);
                check_survivor(&twice, &reference, states.len(), &format!("{what}, twice"));
                if let Some(state) = check_survivor(&after, &reference, states.len(), &what) {
                    let last = after.crash(CrashPolicy::OnlySynced, seed);
                    let found = load_from(&last).expect("load").expect("db").state;
                    assert_eq!(found, state, "{what}, after a change");
                }
                images += 1;
            }
        }
    }
    assert!(images > 1000, "{images}");
}

/// Checks a crash image of which `acknowledged` states had been returned to the caller, makes a change and
/// returns the state after it.
fn check_survivor(
    kernel: &Arc<SimKernel>,
    reference: &[ManifestState],
    acknowledged: usize,
    what: &str,
) -> Option<ManifestState> {
    let loaded = match load_from(kernel) {
        Err(error) if error.kind() == ErrorKind::Missing => None,
        loaded => loaded.unwrap_or_else(|error| panic!("{what}: {error}")),
    };
    let Some(loaded) = loaded else {
        assert_eq!(acknowledged, 0, "{what}: the database is gone");
        return None;
    };
    let got = outline(&loaded.state);
    let last = acknowledged.min(reference.len() - 1);
    let legal = &reference[acknowledged.saturating_sub(1)..=last];
    assert!(legal.iter().any(|state| outline(state) == got), "{what}: {got:?}");
    let mut set = recover(kernel).unwrap_or_else(|error| panic!("{what}: {error}"));
    set.note_seq(1000);
    set.apply(VersionEdit::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let state = load_from(kernel).expect("load").expect("db").state;
    assert_eq!(&state, set.state(), "{what}");
    assert_eq!(state.tables().count(), loaded.state.tables().count(), "{what}");
    assert_eq!(manifests(kernel).len(), 1, "{what}");
    Some(state)
}

/// A set with one manifest of its own and a flush edit that can be applied.
fn ready() -> (Arc<SimKernel>, VersionSet, VersionEdit) {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let first = flush_edit(&kernel, &set, 1).expect("table");
    set.apply(first).expect("apply");
    let edit = flush_edit(&kernel, &set, 2).expect("table");
    (kernel, set, edit)
}

fn fault(call: CallKind, nth: u64, errno: i32, forever: bool) -> Fault {
    Fault { call, nth, errno, forever, short: false }
}

#[test]
fn one_failed_append_or_sync_is_healed_by_a_new_manifest() {
    let faults = [
        fault(CallKind::Pwrite, 1, libc::EIO, false),
        fault(CallKind::Pwrite, 1, libc::ENOSPC, false),
        Fault { short: true, ..fault(CallKind::Pwrite, 1, libc::ENOSPC, false) },
        fault(CallKind::Fdatasync, 1, libc::EIO, false),
    ];
    for planned in faults {
        let (kernel, mut set, edit) = ready();
        let before = set.manifest_number();
        kernel.set_fault(planned);
        set.apply(edit).unwrap_or_else(|error| panic!("{planned:?}: {error}"));
        assert_eq!(kernel.faults_fired(), 1 + u64::from(planned.short), "{planned:?}");
        assert!(set.manifest_number() > before, "{planned:?}: the file is abandoned");
        assert_eq!(set.version(KS).level(0).len(), 2);
        let after = kernel.crash(CrashPolicy::OnlySynced, 1);
        assert_eq!(&load_from(&after).expect("load").expect("db").state, set.state());
        assert_eq!(manifests(&kernel).len(), 1, "{planned:?}");
    }
}

#[test]
fn a_short_write_is_carried_on_in_the_same_file() {
    let (kernel, mut set, edit) = ready();
    let before = set.manifest_number();
    kernel.set_fault(Fault { short: true, ..fault(CallKind::Pwrite, 1, 0, false) });
    set.apply(edit).expect("apply");
    assert_eq!((kernel.faults_fired(), set.manifest_number()), (1, before));
    let after = kernel.crash(CrashPolicy::OnlySynced, 1);
    assert_eq!(&load_from(&after).expect("load").expect("db").state, set.state());
}

#[test]
fn when_the_new_manifest_fails_too_the_set_is_failed_until_reopened() {
    for call in [CallKind::Pwrite, CallKind::Fdatasync] {
        let (kernel, mut set, edit) = ready();
        kernel.set_fault(fault(call, 1, libc::EIO, true));
        let (state, version) = (set.state().clone(), set.version(KS));
        let first = set.apply(edit.clone()).expect_err("no way to write");
        assert_eq!(first.kind(), ErrorKind::Io, "{call:?}");
        assert!(
            set.state() == &state && Arc::ptr_eq(&version, &set.version(KS)),
            "nothing visible"
        );
        assert!(set.failed().is_some());
        kernel.clear_faults();
        for _ in 0..2 {
            let error = set.apply(edit.clone()).expect_err("failed for good");
            assert_eq!(error.kind(), ErrorKind::Poisoned);
            assert!(error.to_string().contains(&first.to_string()), "{error}");
        }
        drop(set);
        let reopened = recover(&kernel).expect("reopen");
        let tables = reopened.live_tables().len();
        assert!(tables == 1 || tables == 2, "the edit is there or not");
    }
}

#[test]
fn a_rename_or_directory_sync_that_fails_is_followed_by_one_more_manifest() {
    for call in [CallKind::Rename, CallKind::Fsync] {
        for (forever, healed) in [(false, true), (true, false)] {
            let (kernel, set, _) = ready();
            drop(set);
            let mut set = recover(&kernel).expect("recover");
            let edit = flush_edit(&kernel, &set, 2).expect("table");
            kernel.set_fault(fault(call, 1, libc::EIO, forever));
            assert_eq!(set.apply(edit).is_ok(), healed, "{call:?} {forever}");
            assert_eq!(set.failed().is_none(), healed);
            kernel.clear_faults();
            if healed {
                let after = kernel.crash(CrashPolicy::OnlySynced, 1);
                assert_eq!(&load_from(&after).expect("load").expect("db").state, set.state());
                assert_eq!(manifests(&kernel).len(), 1);
            }
            for policy in CrashPolicy::ALL {
                for seed in 0..8 {
                    let after = kernel.crash(policy, seed);
                    let tables = recover(&after).expect("legal image").live_tables().len();
                    assert!(if healed { tables == 2 } else { tables == 1 || tables == 2 });
                }
            }
        }
    }
}

#[test]
fn a_first_manifest_that_cannot_be_begun_changes_nothing_and_may_be_tried_again() {
    let faults = [
        (CallKind::Create, libc::ENOSPC),
        (CallKind::Pwrite, libc::ENOSPC),
        (CallKind::Fdatasync, libc::EIO),
    ];
    for (call, errno) in faults {
        let (kernel, set, _) = ready();
        drop(set);
        let mut set = recover(&kernel).expect("recover");
        let edit = flush_edit(&kernel, &set, 2).expect("table");
        kernel.set_fault(fault(call, 1, errno, true));
        let state = set.state().clone();
        set.apply(edit.clone()).expect_err("no room");
        assert!(set.failed().is_none() && !set.changed() && set.state() == &state, "{call:?}");
        assert_eq!(manifests(&kernel), ["MANIFEST-0000000001"], "{call:?}");
        kernel.clear_faults();
        set.apply(edit).expect("room again");
        assert_eq!(&load_from(&kernel).expect("load").expect("db").state, set.state());
    }
}

#[test]
fn a_replacement_that_cannot_be_begun_leaves_the_grown_manifest_in_use() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let key = vec![b'k'; 60_000];
    let big = VersionEdit { cursors: vec![(KS, 1, key.into())], ..VersionEdit::default() };
    let number = set.manifest_number();
    for _ in 0..18 {
        set.apply(big.clone()).expect("apply");
    }
    assert_eq!(set.manifest_number(), number);
    kernel.set_fault(fault(CallKind::Create, 1, libc::ENOSPC, true));
    for _ in 0..3 {
        set.note_seq(set.state().last_seq + 1);
        set.apply(big.clone()).expect("the old one still takes edits");
    }
    assert!(kernel.faults_fired() >= 1);
    assert_eq!(set.manifest_number(), number);
    assert_eq!(&load_from(&kernel).expect("load").expect("db").state, set.state());
}

#[test]
fn an_old_manifest_that_cannot_be_removed_is_removed_later() {
    let (kernel, set, _) = ready();
    drop(set);
    let mut set = recover(&kernel).expect("recover");
    let edit = flush_edit(&kernel, &set, 2).expect("table");
    kernel.set_fault(fault(CallKind::Unlink, 2, libc::EIO, true));
    set.apply(edit).expect("not an error");
    assert_eq!(manifests(&kernel).len(), 2);
    assert_eq!(&load_from(&kernel).expect("load").expect("db").state, set.state());
    kernel.clear_faults();
    set.apply(VersionEdit::default()).expect("apply");
    assert_eq!(manifests(&kernel).len(), 1);
}

/// Every call of a run fails once or for ever: acknowledged edits stay, no image is refused.
#[test]
fn no_single_fault_loses_an_acknowledged_edit() {
    let whole = kernel();
    run(&whole, &mut Vec::new()).expect("an undisturbed run");
    let mut points = 0;
    for call in CallKind::ALL {
        for nth in 1..=whole.count(call) {
            for forever in [false, true] {
                let kernel = kernel();
                kernel.set_fault(fault(call, nth, libc::EIO, forever));
                let mut states = Vec::new();
                let outcome = run(&kernel, &mut states);
                kernel.clear_faults();
                let what = format!("{call:?} {nth} {forever}");
                points += 1;
                for policy in [CrashPolicy::Kill, CrashPolicy::OnlySynced, CrashPolicy::Reordered] {
                    let after = kernel.crash(policy, nth);
                    let seen = load_from(&after);
                    let Some(last) = states.last() else { continue };
                    let seen = seen.unwrap_or_else(|e| panic!("{what}: {e}")).expect("db").state;
                    let got = outline(&seen);
                    let least = outline(last);
                    assert!(got.0 >= least.0 && got.1.len() >= least.1.len(), "{what} {policy:?}");
                    assert!(outcome.is_err() || got == least, "{what} {policy:?}");
                }
            }
        }
    }
    assert!(points > 100, "{points}");
}

#[test]
fn every_flipped_bit_of_a_manifest_is_refused_or_changes_nothing() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    for i in 1..4 {
        let edit = flush_edit(&kernel, &set, i).expect("table");
        set.apply(edit).expect("apply");
    }
    let name = manifests(&kernel).remove(0);
    let bytes = kernel.read_file(PATH, &name).expect("manifest");
    let content = bytes.iter().rposition(|&byte| byte != 0).expect("content") + 1;
    assert!(bytes.len() > content + 100, "the file is allocated ahead");
    let stamp_at = content.next_multiple_of(8) - 24;
    let mut refused = 0;
    for at in (0..content + 64).chain([bytes.len() - 1]) {
        for bit in [0, 3, 7] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            kernel.write_file(PATH, &name, &damaged);
            match load_from(&kernel) {
                Err(error) => {
                    refused += 1;
                    let known = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Format);
                    assert!(known && at < stamp_at, "byte {at} bit {bit}: {error}");
                    assert_eq!(error.detail().file_number, 1, "byte {at} bit {bit}: {error}");
                    let offset = error.detail().offset as usize;
                    assert!(offset <= at && (at < 64 || offset >= 64), "byte {at}: {error}");
                }
                Ok(loaded) => {
                    let loaded = loaded.expect("db");
                    assert_eq!(&loaded.state, set.state(), "byte {at} bit {bit}");
                    assert!(at >= stamp_at && loaded.dropped_bytes > 0, "byte {at} bit {bit}");
                }
            }
        }
    }
    assert_eq!(refused, stamp_at * 3);
}

#[test]
fn a_torn_last_edit_is_dropped_and_a_damaged_earlier_one_is_not() {
    let kernel = kernel();
    let mut set = create(&kernel).expect("create");
    let mut ends = Vec::new();
    let mut states = Vec::new();
    let name = manifests(&kernel).remove(0);
    for i in 1..4 {
        let edit = flush_edit(&kernel, &set, i).expect("table");
        set.apply(edit).expect("apply");
        let bytes = kernel.read_file(PATH, &name).expect("manifest");
        let content = bytes.iter().rposition(|&byte| byte != 0).expect("content") + 1;
        // Without the stamp: nothing says that the edit before it was synced.
        ends.push(content.next_multiple_of(8) - 24);
        states.push(set.state().clone());
    }
    let bytes = kernel.read_file(PATH, &name).expect("manifest");
    for end in ends[1] + 24..ends[2] {
        let mut torn = bytes.clone();
        torn[end..].fill(0);
        // Padding is zeros anyway.
        let left = if torn[..ends[2]] == bytes[..ends[2]] { &states[2] } else { &states[1] };
        kernel.write_file(PATH, &name, &torn);
        let loaded = load_from(&kernel).expect("torn, not damaged").expect("db");
        assert_eq!(&loaded.state, left, "cut at {end}");
        torn.truncate(end);
        kernel.write_file(PATH, &name, &torn);
        assert_eq!(load_from(&kernel).expect("torn").expect("db").state, states[1]);
    }
    for end in 0..ends[0] {
        let mut holed = bytes.clone();
        holed[end..ends[0]].fill(0);
        if holed == bytes {
            continue;
        }
        kernel.write_file(PATH, &name, &holed);
        let error = load_from(&kernel).err().expect("a hole before durable bytes");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{end}: {error}");
    }
}

#[test]
fn a_manifest_of_another_number_or_database_is_refused() {
    let kernel = kernel();
    drop(create(&kernel).expect("create"));
    let bytes = kernel.read_file(PATH, "MANIFEST-0000000001").expect("manifest");
    kernel.write_file(PATH, "MANIFEST-0000000002", &bytes);
    assert_eq!(load_from(&kernel).err().expect("number").kind(), ErrorKind::Corrupt);
    let mut newer = bytes;
    newer[8] = 2;
    let crc = esker::internals::checksum::crc32(0, &newer[..60]);
    newer[60..64].copy_from_slice(&crc.to_le_bytes());
    kernel.remove_file(PATH, "MANIFEST-0000000002");
    kernel.write_file(PATH, "MANIFEST-0000000001", &newer);
    assert_eq!(load_from(&kernel).err().expect("version").kind(), ErrorKind::Format);
}

/// The records are whole and each proves that the one before it was synced: only their numbers are wrong.
#[test]
fn edits_that_are_not_numbered_one_after_the_other_are_damage() {
    const SALT: u32 = 77;
    let kernel = kernel();
    let set = create(&kernel).expect("create");
    let (number, db_id) = (FileNum(1), set.state().db_id);
    let header = FileHeader { number, db_id, salt: SALT, recycled: false, made: 0 };
    let (base, last) = base_image(&header, set.state(), 40).unwrap();
    assert_eq!(last, 41);
    let with_edits = |numbers: &[u64]| {
        let (mut bytes, mut ends) = (base.clone(), vec![base.len() as u64]);
        for (n, &number) in numbers.iter().enumerate() {
            let edit = VersionEdit { last_seq: Some(n as u64 + 1), ..VersionEdit::default() };
            let (end, payload) = (bytes.len() as u64, edit.encode().unwrap());
            append_record(&mut bytes, SALT, end, RecordKind::Edit, number, end, &payload);
            ends.push(bytes.len() as u64);
        }
        kernel.write_file(PATH, "MANIFEST-0000000001", &bytes);
        (load_from(&kernel), ends)
    };
    let loaded = with_edits(&[42, 43]).0.expect("load").expect("db");
    assert_eq!((loaded.edit_number, loaded.state.last_seq, loaded.dropped_bytes), (43, 2, 0));
    // The n-th is the first that does not follow.
    for (numbers, n) in
        [(&[43][..], 0), (&[41], 0), (&[1], 0), (&[42, 44], 1), (&[42, 42], 1), (&[42, 41, 43], 1)]
    {
        let (loaded, ends) = with_edits(numbers);
        let error = loaded.err().unwrap_or_else(|| panic!("{numbers:?} are numbered in order"));
        let place = (error.kind(), error.detail().offset);
        assert_eq!(place, (ErrorKind::Corrupt, ends[n]), "{numbers:?}: {error}");
        assert!(error.to_string().contains("follows edit"), "{numbers:?}: {error}");
    }
}
