//! Which table of a level goes down, under each policy; merges within level 0.

use super::{KS, apply, fixed, meta, none, tree};
use crate::memtable::Rng;
use esker::internals::compaction::inflight::Inflight;
use esker::internals::compaction::picker::{pick, pick_range, pick_rewrite, score};
use esker::internals::compaction::plan::{CompactionPlan, Limits, Reason};
use esker::internals::error::ErrorKind;
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::meta::TableMeta;
use esker::internals::types::VictimChoice;
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use std::collections::BTreeSet;

const CHOICES: [VictimChoice; 4] = [
    VictimChoice::MinOverlap,
    VictimChoice::Oldest,
    VictimChoice::RoundRobin,
    VictimChoice::Random,
];

fn limits(victim: VictimChoice) -> Limits {
    Limits { level_bytes: 1_000, table_size: 100, victim, ..fixed() }
}

fn victim(version: &Version, limits: &Limits, cursor: &str) -> u64 {
    let cursors = [Arc::default(), cursor.as_bytes().to_vec().into()];
    let plan = pick(version, limits, &cursors, KS, &none()).unwrap();
    plan.check(version).unwrap();
    plan.inputs[0].meta.file.0
}

/// Level 1 in the order of keys: tables 5, 3, 9, 7; level 2 makes 9 the cheapest.
fn four_tables() -> Version {
    tree([
        (1, meta(5, "a", "c", 400)),
        (1, meta(3, "d", "f", 400)),
        (1, meta(9, "g", "i", 400)),
        (1, meta(7, "j", "l", 400)),
        (2, meta(1, "b", "e", 100)),
        (2, meta(2, "k", "z", 100)),
    ])
}

#[test]
fn each_policy_takes_its_table() {
    let taken = |choice, cursor| victim(&four_tables(), &limits(choice), cursor);
    let everywhere = ["", "c", "f", "i", "l"];
    assert_eq!(everywhere.map(|at| taken(VictimChoice::MinOverlap, at)), [9; 5]);
    assert_eq!(everywhere.map(|at| taken(VictimChoice::Oldest, at)), [3; 5]);
    assert_eq!(everywhere.map(|at| taken(VictimChoice::RoundRobin, at)), [5, 3, 9, 7, 5]);
}

#[test]
fn random_victims_follow_the_seed_and_reach_every_table() {
    let of = |seed, cursor: &str| {
        let limits = Limits { seed, ..limits(VictimChoice::Random) };
        let first = victim(&four_tables(), &limits, cursor);
        assert_eq!(first, victim(&four_tables(), &limits, cursor), "same seed, same table");
        first
    };
    let by_seed: BTreeSet<u64> = (0..64).map(|seed| of(seed, "c")).collect();
    let by_cursor: BTreeSet<u64> = (0..64).map(|n| of(7, &format!("d{n}"))).collect();
    let all = BTreeSet::from([3, 5, 7, 9]);
    assert_eq!((by_seed, by_cursor), (all.clone(), all));
}

/// A table with these many entries and deletes.
fn counted(file: u64, lo: &str, hi: &str, counts: (u64, u64)) -> TableMeta {
    let mut table = meta(file, lo, hi, 400);
    (table.entries, table.deletes) = counts;
    table
}

#[test]
fn dense_deletes_go_first_and_make_a_level_urgent() {
    let with_deletes = |deletes| {
        tree([
            (1, counted(1, "a", "c", (40, 0))),
            (1, counted(2, "d", "f", (40, deletes))),
            (2, counted(3, "a", "c", (40, 0))),
            (2, counted(4, "d", "g", (40, 0))),
            (2, counted(5, "h", "k", (40, 0))),
        ])
    };
    let small = Limits { level_bytes: 700, ..limits(VictimChoice::MinOverlap) };
    assert_eq!(victim(&with_deletes(0), &small, ""), 1);
    assert_eq!(victim(&with_deletes(20), &small, ""), 1, "half is not the majority");
    assert_eq!(victim(&with_deletes(36), &small, ""), 2);
    assert_eq!(victim(&with_deletes(36), &Limits { victim: VictimChoice::Oldest, ..small }, ""), 1);
    let wide = limits(VictimChoice::MinOverlap);
    assert!(score(&with_deletes(20), &wide, 1, &none()) < 1.0);
    assert!(score(&with_deletes(36), &wide, 1, &none()) > 1.0, "worth a compaction by itself");
    // However many: not more than ten times its bytes.
    let all = tree([(1, counted(1, "a", "c", (u64::MAX, u64::MAX)))]);
    assert_eq!(score(&all, &wide, 1, &none()), 4.0);
}

#[test]
fn a_job_below_level_0_takes_at_most_eight_tables_of_its_level() {
    let key = |n: u64| format!("{n:03}");
    for choice in CHOICES {
        let level1 = (0..40).map(|n| (1, meta(100 + n, &key(10 * n), &key(10 * n + 5), 100)));
        let version = tree(level1);
        let limits = limits(choice);
        let plans = [
            pick(&version, &limits, &[], KS, &none()),
            pick_range(&version, 1, None, None, KS, &limits, &none()),
            pick_rewrite(&version, 1, None, None, KS, &limits, &none()),
        ];
        assert_eq!(plans.map(|plan| plan.unwrap().inputs.len()), [1, 8, 8]);
    }
}

/// The edit of a job that merges into one table, named by its newest input's sequence number.
fn merged(plan: &CompactionPlan, file: u64) -> VersionEdit {
    let (lo, hi) = plan.whole_range().unwrap();
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    let mut table = meta(file, &text(lo), &text(hi), plan.bytes() * 9 / 10 + 1);
    table.max_seq = plan.tables().map(|t| t.meta.max_seq).max().unwrap();
    table.min_seq = 0;
    let mut edit = VersionEdit::default();
    edit.tables_dropped.extend(plan.inputs.iter().map(|t| (KS, plan.level, t.meta.file)));
    let replaced = plan.output_inputs.iter().map(|t| (KS, plan.output_level, t.meta.file));
    edit.tables_dropped.extend(replaced);
    edit.tables_added.push((KS, plan.output_level, table.into()));
    edit
}

#[test]
fn every_policy_settles_random_trees_with_fixed_and_dynamic_targets() {
    for seed in 0..80 {
        println!("seed {seed}");
        let limits = Limits {
            level_ratio: 3,
            dynamic: seed % 2 == 0,
            seed,
            ..limits(CHOICES[seed as usize / 2 % 4])
        };
        let mut rng = Rng::new(seed);
        let mut version = Version::empty(5, Order::Bytewise);
        let mut cursors = vec![Arc::default(); 5];
        for file in 1..100 {
            let (a, length) = (rng.below(1_000), rng.below(200));
            let (lo, hi) = (format!("{a:04}"), format!("{:04}", a + length));
            let mut table = meta(1_000 * file, &lo, &hi, 1 + rng.below(300));
            (table.entries, table.deletes) = (10, rng.below(11));
            let tables_added = vec![(KS, 0, table.into())];
            version = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
            let mut steps = 0;
            while let Some(plan) = pick(&version, &limits, &cursors, KS, &none()) {
                plan.check(&version).unwrap();
                steps += 1;
                cursors[usize::from(plan.level)] = plan.input_range().unwrap().1.to_vec().into();
                version = apply(&version, &merged(&plan, 1_000 * file + steps));
                assert!(steps < 500, "the tree never settles");
            }
        }
        assert!((0..5).all(|level| score(&version, &limits, level, &none()) < 1.0));
    }
}

/// Level 0 newest first: six small tables; a job leads tables 1 and 2 into level 1.
fn blocked() -> (Version, Inflight) {
    let level0 = (1..=8).map(|file| (0, meta(file, "a", "z", 20)));
    let version = tree(level0);
    let older = tree((1..=2).map(|file| (0, meta(file, "a", "z", 20))));
    let plan = pick_range(&older, 0, None, None, KS, &limits(VictimChoice::MinOverlap), &none());
    let mut inflight = none();
    let _running = inflight.claim(&plan.unwrap()).unwrap();
    (version, inflight)
}

fn files(plan: &CompactionPlan) -> Vec<u64> {
    plan.inputs.iter().map(|table| table.meta.file.0).collect()
}

#[test]
fn small_neighbours_are_merged_while_level_0_cannot_be_emptied() {
    let (version, mut inflight) = blocked();
    let few = Limits { l0_trigger: 4, ..limits(VictimChoice::MinOverlap) };
    let plan = pick(&version, &few, &[], KS, &inflight).unwrap();
    plan.check(&version).unwrap();
    assert_eq!((plan.reason, plan.level, plan.output_level), (Reason::Level0Merge, 0, 0));
    assert_eq!((files(&plan), plan.trivial_move), (vec![8, 7, 6, 5, 4, 3], false));
    let unblocked = pick(&version, &few, &[], KS, &none()).unwrap();
    assert_eq!(unblocked.output_level, 1, "nothing is merged that could leave");

    let _merging = inflight.claim(&plan).unwrap();
    assert!(pick(&version, &few, &[], KS, &inflight).is_none(), "all of level 0 is taken");
    let version = apply(&version, &merged(&plan, 100));
    let order: Vec<u64> = version.level(0).iter().map(|table| table.meta.file.0).collect();
    assert_eq!(order, [100, 2, 1], "in the place of what was merged");
}

#[test]
fn only_neighbours_in_sequence_order_are_merged() {
    let few = Limits { l0_trigger: 2, ..limits(VictimChoice::MinOverlap) };
    let busy = |file: u64| {
        // Table `file` goes into level 1; newer ones overlap it.
        let alone = tree([(0, meta(file, "a", "z", 20))]);
        let plan = pick_range(&alone, 0, None, None, KS, &few, &none()).unwrap();
        let mut inflight = none();
        let _running = inflight.claim(&plan).unwrap();
        inflight
    };
    let version = tree((1..=7).map(|file| (0, meta(file, "a", "z", 20))));
    assert!(pick(&version, &few, &[], KS, &busy(4)).is_none(), "three on either side");
    assert_eq!(files(&pick(&version, &few, &[], KS, &busy(3)).unwrap()), [7, 6, 5, 4]);
    let large = (1..=7).map(|file| (0, meta(file, "a", "z", if file == 5 { 101 } else { 20 })));
    assert!(pick(&tree(large), &few, &[], KS, &busy(1)).is_none(), "5 is no small table");
    let many = tree((1..=9).map(|file| (0, meta(file, "a", "z", 90))));
    let plan = pick(&many, &few, &[], KS, &busy(1)).unwrap();
    assert_eq!(files(&plan), [9, 8, 7, 6], "four table sizes at most");

    plan.check(&many).unwrap();
    let mut gap = plan.clone();
    gap.inputs.remove(1);
    let mut turned = plan.clone();
    turned.inputs.reverse();
    let mut moved = plan;
    moved.trivial_move = true;
    for wrong in [gap, turned, moved] {
        assert_eq!(wrong.check(&many).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
