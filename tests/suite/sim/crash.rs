//! What is left after a crash: never too little, and for some seed no more than allowed.

use super::{Random, create, create_synced, image_of, kernel_with_db};
use esker::internals::env::api::Fs;
use esker::internals::env::sim::{CallKind, CrashPolicy, Fault, SimKernel};
use esker::internals::sync::Arc;
use std::collections::BTreeSet;

const POWER_CUTS: [CrashPolicy; 5] = [
    CrashPolicy::OnlySynced,
    CrashPolicy::Ext4Like,
    CrashPolicy::RandomPages,
    CrashPolicy::Torn512,
    CrashPolicy::Reordered,
];
const SEEDS: u64 = 200;

/// Every content /db/`name` may have after a power cut.
fn contents(kernel: &SimKernel, policy: CrashPolicy, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| image_of(kernel, policy, seed, name)).collect()
}

fn fail_next(kernel: &SimKernel, call: CallKind, errno: i32) {
    kernel.set_fault(Fault { call, nth: 1, errno, forever: false, short: false });
}

/// One appended file: what was written, and how much of it and whether its name is synced.
struct Appended {
    written: Vec<u8>,
    synced: usize,
    named: bool,
}

/// Appends to a few files and syncs now and then, then checks what every policy leaves of them.
fn append_and_crash(seed: u64) {
    let mut random = Random(seed * 2 + 1);
    let (kernel, dir) = kernel_with_db(seed);
    let mut model = Vec::new();
    let files: Vec<_> = (0..3)
        .map(|i| {
            model.push(Appended { written: Vec::new(), synced: 0, named: false });
            create(&dir, &format!("{i}"))
        })
        .collect();
    for step in 0..30 {
        let i = random.below(3) as usize;
        match random.below(8) {
            0 => {
                files[i].sync_data().unwrap();
                model[i].synced = model[i].written.len();
            }
            1 => {
                dir.sync().unwrap();
                model.iter_mut().for_each(|file| file.named = true);
            }
            _ => {
                let data = vec![step as u8 + 1; random.below(6000) as usize + 1];
                files[i].write_all_at(&data, model[i].written.len() as u64).unwrap();
                model[i].written.extend(data);
            }
        }
    }
    for policy in CrashPolicy::ALL {
        let image = kernel.crash(policy, seed);
        for (i, file) in model.iter().enumerate() {
            let content = image.read_file("/db", &format!("{i}"));
            check_appended(file, content, &format!("seed {seed} {policy:?} file {i}"));
        }
    }
}

fn check_appended(file: &Appended, content: Option<Vec<u8>>, about: &str) {
    let Some(content) = content else {
        assert!(!file.named, "{about}: a durable name is gone");
        return;
    };
    assert!(content.len() >= file.synced, "{about}: synced bytes are gone");
    assert!(content.len() <= file.written.len(), "{about}: more than was written");
    for (at, &byte) in content.iter().enumerate() {
        let legal = byte == file.written[at] || (byte == 0 && at >= file.synced);
        assert!(legal, "{about}: byte {at} is {byte}");
    }
}

#[test]
fn synced_bytes_and_names_survive_every_policy() {
    (1..300).for_each(append_and_crash);
}

#[test]
fn unsynced_bytes_are_lost_for_some_seed_and_kept_for_another() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"old");
    file.write_all_at(b"new!", 0).unwrap();
    for policy in POWER_CUTS {
        let found = contents(&kernel, policy, "log");
        assert!(found.contains(&Some(b"old".to_vec())), "{policy:?} {found:?}");
        let kept = found.contains(&Some(b"new!".to_vec()));
        assert_eq!(kept, policy != CrashPolicy::OnlySynced, "{policy:?} {found:?}");
    }
    // The size is metadata: it survives without the bytes, and the bytes without it.
    let found = contents(&kernel, CrashPolicy::RandomPages, "log");
    assert!(found.contains(&Some(b"old\0".to_vec())) && found.contains(&Some(b"new".to_vec())));
}

#[test]
fn closing_makes_nothing_durable() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"");
    file.write_all_at(b"data", 0).unwrap();
    drop(file);
    drop(dir);
    let left = image_of(&kernel, CrashPolicy::OnlySynced, 1, "log");
    assert_eq!(left, Some(Vec::new()));
}

#[test]
fn file_sync_does_not_make_the_name_durable() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "table");
    file.write_all_at(b"data", 0).unwrap();
    file.sync_data().unwrap();
    let whole = Some(b"data".to_vec());
    assert_eq!(contents(&kernel, CrashPolicy::OnlySynced, "table"), BTreeSet::from([None]));
    for policy in [CrashPolicy::RandomPages, CrashPolicy::Torn512, CrashPolicy::Reordered] {
        let expected = BTreeSet::from([None, whole.clone()]);
        assert_eq!(contents(&kernel, policy, "table"), expected, "{policy:?}");
    }
    dir.sync().unwrap();
    for policy in CrashPolicy::ALL {
        assert_eq!(contents(&kernel, policy, "table"), BTreeSet::from([whole.clone()]));
    }
}

#[test]
fn name_sync_does_not_make_the_bytes_durable() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "table");
    file.write_all_at(b"data", 0).unwrap();
    dir.sync().unwrap();
    let left = image_of(&kernel, CrashPolicy::OnlySynced, 1, "table");
    assert_eq!(left, Some(Vec::new()));
}

#[test]
fn rename_is_atomic_and_durable_only_after_the_directory_sync() {
    let (kernel, dir) = kernel_with_db(1);
    create_synced(&dir, "tmp", b"new");
    create_synced(&dir, "CURRENT", b"old");
    dir.rename("tmp", "CURRENT").unwrap();
    let both = BTreeSet::from([b"old".to_vec(), b"new".to_vec()]);
    for policy in POWER_CUTS {
        let mut found = BTreeSet::new();
        for seed in 0..SEEDS {
            let image = kernel.crash(policy, seed);
            let current = image.read_file("/db", "CURRENT").expect("one of the two is there");
            let renamed = current == b"new";
            assert_eq!(image.read_file("/db", "tmp").is_none(), renamed, "{policy:?} {seed}");
            found.insert(current);
        }
        let only_old = policy == CrashPolicy::OnlySynced;
        assert_eq!(found == both, !only_old, "{policy:?} {found:?}");
        assert!(found.contains(b"old".as_slice()), "{policy:?}");
    }
    dir.sync().unwrap();
    for policy in POWER_CUTS {
        let expected = BTreeSet::from([Some(b"new".to_vec())]);
        assert_eq!(contents(&kernel, policy, "CURRENT"), expected, "{policy:?}");
    }
}

/// Whether some seed leaves the unlink of the old manifest without the rename that replaced it.
fn loses_both_manifests(policy: CrashPolicy) -> bool {
    let (kernel, dir) = kernel_with_db(1);
    create_synced(&dir, "MANIFEST-1", b"one");
    create_synced(&dir, "tmp", b"two");
    dir.rename("tmp", "MANIFEST-2").unwrap();
    dir.unlink("MANIFEST-1").unwrap();
    (0..SEEDS).any(|seed| {
        let names: Vec<_> =
            kernel.crash(policy, seed).files("/db").into_iter().map(|(name, _)| name).collect();
        names == ["tmp"]
    })
}

#[test]
fn changes_of_different_names_are_reordered_unless_the_kernel_keeps_a_journal() {
    assert!(loses_both_manifests(CrashPolicy::Reordered));
    assert!(loses_both_manifests(CrashPolicy::RandomPages));
    assert!(!loses_both_manifests(CrashPolicy::Ext4Like));
    assert!(!loses_both_manifests(CrashPolicy::OnlySynced));
}

#[test]
fn changes_of_one_name_keep_their_order() {
    let (kernel, dir) = kernel_with_db(1);
    let first = create(&dir, "a");
    first.write_all_at(b"first", 0).unwrap();
    first.sync_data().unwrap();
    dir.rename("a", "b").unwrap();
    let second = create(&dir, "a");
    second.write_all_at(b"second", 0).unwrap();
    second.sync_data().unwrap();
    let mut found = BTreeSet::new();
    for policy in POWER_CUTS {
        for seed in 0..SEEDS {
            let files = kernel.crash(policy, seed).files("/db");
            let text = |(name, bytes): (String, Vec<u8>)| {
                format!("{name}={}", String::from_utf8(bytes).unwrap())
            };
            found.insert(files.into_iter().map(text).collect::<Vec<_>>().join(" "));
        }
    }
    // The second "a" is never there without the rename that made room for it.
    let legal = ["", "a=first", "b=first", "a=second b=first"];
    assert_eq!(found, legal.map(str::to_owned).into());
}

#[test]
fn journal_keeps_a_prefix_across_directories_and_what_a_sync_committed() {
    let (kernel, dir) = kernel_with_db(1);
    let fs = Fs::Sim(Arc::clone(&kernel));
    fs.make_dir(b"/other", 0o700).unwrap();
    let other = fs.open_dir(b"/other", 0o600).unwrap();
    other.sync_parent().unwrap();
    let committed = create(&dir, "committed");
    committed.write_all_at(b"x", 0).unwrap();
    create_synced(&other, "trigger", b"");
    for i in 0..6 {
        create(if i % 2 == 0 { &dir } else { &other }, &format!("{i}"));
    }
    let mut counts = BTreeSet::new();
    for seed in 0..SEEDS {
        let image = kernel.crash(CrashPolicy::Ext4Like, seed);
        let has = |i: usize| {
            let path = if i % 2 == 0 { "/db" } else { "/other" };
            image.read_file(path, &format!("{i}")).is_some()
        };
        assert_eq!(image.read_file("/db", "committed").map(|bytes| bytes.len()), Some(1));
        let count = (0..6).filter(|&i| has(i)).count();
        assert!((0..count).all(has), "seed {seed}: not a prefix");
        counts.insert(count);
    }
    assert_eq!(counts, (0..=6).collect());
}

#[test]
fn lost_directory_takes_what_is_synced_in_it() {
    let kernel = SimKernel::new(1);
    let fs = Fs::Sim(Arc::clone(&kernel));
    fs.make_dir(b"/db", 0o700).unwrap();
    let dir = fs.open_dir(b"/db", 0o600).unwrap();
    create_synced(&dir, "a", b"x");
    assert!(kernel.crash(CrashPolicy::OnlySynced, 1).files("/db").is_empty());
    dir.sync_parent().unwrap();
    assert_eq!(kernel.crash(CrashPolicy::OnlySynced, 1).files("/db").len(), 1);
}

#[test]
fn failed_sync_loses_bytes_for_good_though_later_syncs_succeed() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", &[1; 8192]);
    file.write_all_at(&[2; 8192], 0).unwrap();
    fail_next(&kernel, CallKind::Fdatasync, libc::EIO);
    assert_eq!(file.sync_data().unwrap_err().detail().os_errno, libc::EIO);
    file.sync_data().unwrap();
    let mut seen = vec![0; 8192];
    file.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(seen, [2; 8192], "the page cache still shows them");
    for policy in POWER_CUTS {
        assert_eq!(contents(&kernel, policy, "log"), BTreeSet::from([Some(vec![1; 8192])]));
    }
    // Writing one byte makes its page dirty again, all of it, and only that page.
    file.write_all_at(&[3], 100).unwrap();
    file.sync_data().unwrap();
    let mut expected = vec![2; 4096];
    expected[100] = 3;
    expected.resize(8192, 1);
    let left = image_of(&kernel, CrashPolicy::OnlySynced, 1, "log");
    assert!(left == Some(expected), "the rewritten page is durable, the other is lost");
    // A kill loses nothing: the page cache lives on.
    let killed = image_of(&kernel, CrashPolicy::Kill, 1, "log").unwrap();
    assert_eq!((killed[0], killed[100], killed[5000]), (2, 3, 2));
}

#[test]
fn failed_sync_of_appended_bytes_leaves_zeros_once_the_size_is_synced() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"");
    file.write_all_at(b"data", 0).unwrap();
    fail_next(&kernel, CallKind::Fdatasync, libc::EIO);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(image_of(&kernel, CrashPolicy::OnlySynced, 1, "log"), Some(vec![0; 4]));
}

#[test]
fn failed_directory_sync_loses_names_for_good() {
    let (kernel, dir) = kernel_with_db(1);
    create(&dir, "lost");
    fail_next(&kernel, CallKind::Fsync, libc::EIO);
    dir.sync().unwrap_err();
    create(&dir, "kept");
    dir.sync().unwrap();
    let left = kernel.crash(CrashPolicy::OnlySynced, 1).files("/db");
    assert_eq!(left, [("kept".to_owned(), Vec::new())]);
}

#[test]
fn interrupted_sync_is_repeated_and_loses_nothing() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"");
    file.write_all_at(b"data", 0).unwrap();
    fail_next(&kernel, CallKind::Fdatasync, libc::EINTR);
    file.sync_data().unwrap();
    assert_eq!(image_of(&kernel, CrashPolicy::OnlySynced, 1, "log"), Some(b"data".to_vec()));
    assert_eq!(kernel.faults_fired(), 1);
}

/// How many images mix old and new between units of `unit` bytes; within a unit none may.
fn mixed_images(policy: CrashPolicy, unit: usize) -> usize {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "f", &[1; 5 * 4096]);
    // Neither end of the write is on a boundary.
    file.write_all_at(&[2; 4 * 4096], 300).unwrap();
    let (start, end) = (300, 300 + 4 * 4096);
    let mut mixed = 0;
    for seed in 0..SEEDS {
        let left = image_of(&kernel, policy, seed, "f").unwrap();
        let untouched = left[..start].iter().chain(&left[end..]);
        assert!(untouched.copied().all(|byte| byte == 1), "nobody wrote there");
        let mut versions = BTreeSet::new();
        for boundary in (0..end).step_by(unit).filter(|boundary| boundary + unit > start) {
            let whole = &left[boundary.max(start)..(boundary + unit).min(end)];
            assert!(whole.iter().all(|byte| byte == &whole[0]), "{policy:?} seed {seed}");
            versions.insert(whole[0]);
        }
        mixed += usize::from(versions.len() == 2);
    }
    mixed
}

#[test]
fn torn_writes_break_at_pages_or_sectors() {
    assert!(mixed_images(CrashPolicy::RandomPages, 4096) > 0);
    assert!(mixed_images(CrashPolicy::Ext4Like, 4096) > 0);
    assert!(mixed_images(CrashPolicy::Torn512, 512) > 0);
    assert_eq!(mixed_images(CrashPolicy::OnlySynced, 4096), 0);
    assert_eq!(mixed_images(CrashPolicy::Reordered, 4096), 0);
}

#[test]
fn sectors_tear_inside_a_page() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "f", &[1; 4096]);
    file.write_all_at(&[2; 4096], 0).unwrap();
    let tears = |policy| contents(&kernel, policy, "f").len() > 2;
    assert!(tears(CrashPolicy::Torn512));
    assert!(!tears(CrashPolicy::RandomPages));
}

#[test]
fn any_version_of_a_rewritten_page_may_be_on_disk() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "f", &[0; 10]);
    for version in 1..=3 {
        file.write_all_at(&[version; 10], 0).unwrap();
    }
    let expected: BTreeSet<_> = (0..=3).map(|version| Some(vec![version; 10])).collect();
    for policy in [CrashPolicy::RandomPages, CrashPolicy::Torn512, CrashPolicy::Ext4Like] {
        assert_eq!(contents(&kernel, policy, "f"), expected, "{policy:?}");
    }
}

#[test]
fn bytes_after_a_shrink_never_mix_with_those_before() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "LOCK", b"12345");
    file.truncate(0).unwrap();
    file.write_all_at(b"678", 0).unwrap();
    for policy in POWER_CUTS {
        for left in contents(&kernel, policy, "LOCK") {
            let legal: [&[u8]; 4] = [b"12345", b"", b"678", b"\0\0\0"];
            assert!(legal.contains(&left.as_deref().unwrap()), "{policy:?} {left:?}");
        }
    }
    assert!(contents(&kernel, CrashPolicy::RandomPages, "LOCK").len() == 4);
}

#[test]
fn allocated_size_needs_a_sync_and_costs_no_memory() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"");
    file.allocate(1 << 39).unwrap();
    let sizes = |seed| {
        let image = Fs::Sim(kernel.crash(CrashPolicy::RandomPages, seed));
        let dir = image.open_dir(b"/db", 0o600).unwrap();
        dir.stat("log").unwrap().unwrap().size
    };
    assert_eq!((0..SEEDS).map(sizes).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1 << 39]));
    file.sync_data().unwrap();
    assert!((0..SEEDS).all(|seed| sizes(seed) == 1 << 39));
    let mut buf = [1; 16];
    file.read_exact_at(&mut buf, 1 << 30).unwrap();
    assert_eq!(buf, [0; 16]);
}

#[test]
fn kill_keeps_every_write_that_returned() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "log");
    file.write_all_at(&[7; 10_000], 0).unwrap();
    let expected = BTreeSet::from([Some(vec![7; 10_000])]);
    assert_eq!(contents(&kernel, CrashPolicy::Kill, "log"), expected);
}

#[test]
fn killed_process_leaves_any_prefix_of_the_write_it_died_in() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", &[1; 100]);
    kernel.freeze_after(0);
    file.write_all_at(&[2; 10_000], 100).unwrap_err();
    let mut lengths = BTreeSet::new();
    for left in contents(&kernel, CrashPolicy::Kill, "log") {
        let left = left.unwrap();
        assert!(left[..100] == [1; 100] && left[100..].iter().all(|&byte| byte == 2));
        lengths.insert(left.len());
    }
    for expected in [100, 4096, 8192, 10_100] {
        assert!(lengths.contains(&expected), "{expected} is not among {lengths:?}");
    }
    assert!(lengths.len() > 20, "any byte may be the last");
    let cut: BTreeSet<_> = contents(&kernel, CrashPolicy::RandomPages, "log");
    assert!(cut.contains(&Some(vec![1; 100])) && cut.len() > 2);
}

#[test]
fn torn_kill_cuts_the_latest_write_and_nothing_before_it() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "log");
    file.write_all_at(&[1; 5000], 0).unwrap();
    file.write_all_at(&[2; 5000], 5000).unwrap();
    let found = contents(&kernel, CrashPolicy::KillTorn, "log");
    assert!(found.len() > 20);
    for left in found {
        let left = left.unwrap();
        assert!((5000..10_000).contains(&left.len()) && left[..5000] == [1; 5000]);
    }
    // Once another change has been made the write has returned.
    create(&dir, "next");
    assert_eq!(contents(&kernel, CrashPolicy::KillTorn, "log").len(), 1);
}

#[test]
fn power_cut_after_a_kill_still_loses_what_was_not_synced() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"old");
    file.write_all_at(b"new", 0).unwrap();
    create(&dir, "unsynced");
    let killed = kernel.crash(CrashPolicy::Kill, 1);
    assert_eq!(killed.files("/db").len(), 2);
    let left = killed.crash(CrashPolicy::OnlySynced, 1).files("/db");
    assert_eq!(left, [("log".to_owned(), b"old".to_vec())]);
    // Opening and syncing in the second life makes the first life's bytes durable.
    let dir = Fs::Sim(Arc::clone(&killed)).open_dir(b"/db", 0o600).unwrap();
    dir.open_read("log", super::Area::Wal).unwrap().sync_data().unwrap();
    let left = image_of(&killed, CrashPolicy::OnlySynced, 1, "log");
    assert_eq!(left, Some(b"new".to_vec()));
}

#[test]
fn image_and_origin_go_their_own_ways() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "log", b"same");
    let image = kernel.crash(CrashPolicy::OnlySynced, 1);
    let before = image.directory_hash("/db");
    file.write_all_at(b"here", 0).unwrap();
    file.sync_data().unwrap();
    create(&dir, "more");
    assert_eq!(image.directory_hash("/db"), before);
    image.write_file("/db", "log", b"there");
    assert_eq!(kernel.read_file("/db", "log").unwrap(), b"here");
    assert_ne!(image.random_u64(), kernel.random_u64());
    assert_eq!(image.calls(), 0);
}

#[test]
fn crash_releases_locks_and_frees_unlinked_files() {
    let (kernel, dir) = kernel_with_db(1);
    let _lock = dir.lock().unwrap();
    let orphan = create_synced(&dir, "orphan", &[1; 1000]);
    dir.unlink("orphan").unwrap();
    dir.sync().unwrap();
    orphan.write_all_at(b"x", 0).unwrap();
    for policy in CrashPolicy::ALL {
        let image = kernel.crash(policy, 1);
        let dir = Fs::Sim(Arc::clone(&image)).open_dir(b"/db", 0o600).unwrap();
        assert!(dir.lock().is_ok(), "{policy:?}");
        assert_eq!(image.used(), 0, "{policy:?}");
    }
}

#[test]
fn same_seed_gives_the_same_image() {
    let run = |seed| {
        let (kernel, dir) = kernel_with_db(seed);
        for i in 0..5_u8 {
            let file = create(&dir, &format!("{i}"));
            file.write_all_at(&vec![i + 1; 3000 * usize::from(i)], 0).unwrap();
        }
        let hash = |seed, policy| kernel.crash(policy, seed).directory_hash("/db");
        CrashPolicy::ALL.map(|policy| (0..10).map(|seed| hash(seed, policy)).collect::<Vec<_>>())
    };
    assert_eq!(run(3), run(3));
    assert!(run(3)[4].iter().collect::<BTreeSet<_>>().len() > 1, "seeds differ");
}
