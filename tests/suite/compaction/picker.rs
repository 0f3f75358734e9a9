//! The picker on hand-made and on random trees.

use super::{KS, apply, fixed, meta, none, tree};
use crate::memtable::Rng;
use esker::internals::compaction::picker::{debt, pick, pick_range, pick_rewrite, score};
use esker::internals::compaction::plan::{CompactionPlan, Limits, Reason};
use esker::internals::error::ErrorKind;
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::handle::TableHandle;
use esker::internals::table::meta::TableMeta;
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use std::collections::BTreeSet;

fn limits() -> Limits {
    Limits { l0_trigger: 4, level_bytes: 1_000, level_ratio: 10, table_size: 100, ..fixed() }
}

fn with_deletes(mut meta: TableMeta) -> TableMeta {
    meta.deletes = 1;
    meta
}

fn files(tables: &[Arc<TableHandle>]) -> Vec<u64> {
    tables.iter().map(|table| table.meta.file.0).collect()
}

/// Level, output level, input files, output files, whether a mere move.
fn shape(plan: &CompactionPlan) -> (u8, u8, Vec<u64>, Vec<u64>, bool) {
    let (inputs, outputs) = (files(&plan.inputs), files(&plan.output_inputs));
    (plan.level, plan.output_level, inputs, outputs, plan.trivial_move)
}

fn pick_checked(
    version: &Version,
    limits: &Limits,
    cursors: &[Arc<Vec<u8>>],
) -> Option<CompactionPlan> {
    let plan = pick(version, limits, cursors, KS, &none())?;
    plan.check(version).unwrap();
    let again = pick(version, limits, cursors, KS, &none()).unwrap();
    assert_eq!(shape(&plan), shape(&again), "same input, same plan");
    Some(plan)
}

#[test]
fn a_tree_within_its_limits_is_left_alone() {
    assert!(pick_checked(&Version::empty(5, Order::Bytewise), &limits(), &[]).is_none());
    let version = tree([
        (0, meta(9, "a", "z", 5_000)),
        (0, meta(8, "a", "z", 5_000)),
        (0, meta(7, "a", "z", 5_000)),
        (1, meta(3, "a", "f", 999)),
        (4, meta(1, "a", "z", 1 << 60)),
    ]);
    assert!(pick_checked(&version, &limits(), &[]).is_none(), "the last level has no target");
    assert_eq!(debt(&version, &limits()), 15_000);
}

#[test]
fn scores_and_debt_follow_the_targets() {
    let version = tree([
        (0, meta(9, "a", "b", 10)),
        (1, meta(3, "a", "f", 1_500)),
        (2, meta(2, "a", "f", 5_000)),
        (3, meta(4, "a", "f", 100_001)),
    ]);
    let scores = [0, 1, 2, 3, 4].map(|level| score(&version, &limits(), level, &none()));
    assert_eq!(scores, [0.25, 1.5, 0.5, 1.00001, 0.0]);
    assert_eq!(debt(&version, &limits()), 10 + 500 + 1);
}

#[test]
fn level_0_goes_with_everything_that_overlaps_it_through_others() {
    let version = tree([
        (0, meta(14, "x", "z", 10)),
        (0, meta(13, "f", "h", 10)),
        (0, meta(12, "c", "f", 10)),
        (0, meta(11, "a", "c", 10)),
        (1, meta(1, "a", "a1", 10)),
        (1, meta(2, "g", "k", 10)),
        (1, meta(3, "l", "m", 10)),
        (2, meta(4, "j", "k", 10)),
        (2, meta(5, "m", "n", 10)),
    ]);
    let plan = pick_checked(&version, &limits(), &[]).unwrap();
    assert_eq!(shape(&plan), (0, 1, vec![13, 12, 11], vec![1, 2], false));
    assert_eq!((plan.reason, plan.bytes()), (Reason::Level0Tables, 50));
    assert_eq!(files(&plan.grandparents), [4], "within the range of all inputs");
}

#[test]
fn the_highest_score_wins_and_the_upper_level_of_equals() {
    let level0 = (10..14).map(|file| (0, meta(file, "a", "z", 10)));
    let version = tree(level0.clone().chain([(1, meta(1, "a", "z", 1_001))]));
    assert_eq!(pick_checked(&version, &limits(), &[]).unwrap().level, 1);
    let version = tree(level0.chain([(1, meta(1, "a", "z", 1_000))]));
    assert_eq!(pick_checked(&version, &limits(), &[]).unwrap().level, 0);
}

#[test]
fn the_victim_overlaps_least_per_byte() {
    let version = tree([
        (1, meta(1, "a", "c", 500)),
        (1, meta(2, "d", "f", 400)),
        (1, meta(3, "g", "i", 600)),
        (2, meta(4, "a", "b", 500)),
        (2, meta(5, "e", "g", 300)),
        (2, meta(6, "h", "z", 200)),
    ]);
    // 500/500, 300/400, 500/600
    let plan = pick_checked(&version, &limits(), &[]).unwrap();
    assert_eq!(shape(&plan), (1, 2, vec![2], vec![5], false));
    assert_eq!(plan.reason, Reason::LevelSize);
}

#[test]
fn among_equals_the_level_is_gone_through_in_key_order() {
    let version = tree([
        (1, meta(1, "a", "c", 400)),
        (1, meta(2, "d", "f", 400)),
        (1, meta(3, "g", "i", 400)),
    ]);
    let victim = |cursor: &str| {
        let cursors = [Arc::default(), cursor.as_bytes().to_vec().into()];
        pick_checked(&version, &limits(), &cursors).unwrap().inputs[0].meta.file.0
    };
    assert_eq!([victim(""), victim("c"), victim("f"), victim("i")], [1, 2, 3, 1]);
}

#[test]
fn what_overlaps_nothing_is_moved() {
    let level1 = [(1, meta(1, "a", "c", 2_000)), (2, meta(2, "d", "f", 10))];
    let plan = pick_checked(&tree(level1), &limits(), &[]).unwrap();
    assert_eq!(shape(&plan), (1, 2, vec![1], vec![], true));

    let level0 = (10..14u8).map(|n| {
        let key = char::from(b'a' + n).to_string();
        (0, meta(u64::from(n), &key, &key, 10))
    });
    let plan = pick_checked(&tree(level0), &limits(), &[]).unwrap();
    assert_eq!(shape(&plan), (0, 1, vec![10], vec![], true), "alone in level 0");

    let level0 = (10..14).map(|file| (0, meta(file, "a", "b", 10)));
    let plan = pick_checked(&tree(level0), &limits(), &[]).unwrap();
    assert_eq!(shape(&plan), (0, 1, vec![13, 12, 11, 10], vec![], false), "overlapping each other");
}

#[test]
fn what_overlaps_too_much_two_levels_down_is_rewritten() {
    let moved = |grandparent| {
        let version = tree([(1, meta(1, "a", "c", 2_000)), (3, meta(2, "b", "f", grandparent))]);
        pick_checked(&version, &limits(), &[]).unwrap().trivial_move
    };
    assert_eq!((moved(1_000), moved(1_001)), (true, false));
}

#[test]
fn deletes_are_not_moved_to_where_they_could_be_dropped() {
    let table = with_deletes(meta(1, "b", "c", 2_000));
    let plan = pick_checked(&tree([(1, table.clone())]), &limits(), &[]).unwrap();
    assert!(!plan.trivial_move);
    let deeper = (4, meta(2, "c", "d", 10));
    let plan = pick_checked(&tree([(1, table), deeper]), &limits(), &[]).unwrap();
    assert!(plan.trivial_move, "the delete is still needed down there");
}

/// The edit of a plan that is executed as a move.
fn as_move(plan: &CompactionPlan) -> VersionEdit {
    let tables = || plan.tables().map(|table| table.meta.clone());
    let level = |meta: &TableMeta| match plan.inputs.iter().any(|t| t.meta.file == meta.file) {
        true => plan.level,
        false => plan.output_level,
    };
    VersionEdit {
        tables_dropped: tables().map(|meta| (KS, level(&meta), meta.file)).collect(),
        tables_added: plan.inputs.iter().map(|t| (KS, plan.output_level, t.meta.clone())).collect(),
        ..VersionEdit::default()
    }
}

#[test]
fn a_range_goes_down_step_by_step() {
    let key = |n: u64| format!("{n:03}");
    let level1 = (0..30).map(|n| (1, meta(100 + n, &key(10 * n), &key(10 * n + 5), 300)));
    let level2 = (0..10).map(|n| (2, meta(200 + n, &key(30 * n), &key(30 * n + 7), 100)));
    let mut version = tree(level1.chain(level2));
    let (lo, hi) = (key(42), key(203));
    let mut moved = BTreeSet::new();
    let range = |version: &Version| {
        pick_range(version, 1, Some(lo.as_bytes()), Some(hi.as_bytes()), KS, &limits(), &none())
    };
    while let Some(plan) = range(&version) {
        plan.check(&version).unwrap();
        assert_eq!((plan.reason, plan.output_level), (Reason::Range, 2));
        assert!(plan.inputs.len() <= 8 && (plan.inputs.len() == 1 || plan.bytes() <= 2_500));
        moved.extend(files(&plan.inputs));
        version = apply(&version, &as_move(&plan));
    }
    assert_eq!(moved, (104..=120).collect(), "each table once, none outside the range");
}

#[test]
fn a_range_of_level_0_takes_what_overlaps_through_others() {
    let version =
        tree([(0, meta(9, "c", "e", 10)), (0, meta(8, "a", "c", 10)), (0, meta(7, "p", "q", 10))]);
    let plan = pick_range(&version, 0, Some(b"d"), Some(b"d"), KS, &limits(), &none()).unwrap();
    plan.check(&version).unwrap();
    assert_eq!(shape(&plan), (0, 1, vec![9, 8], vec![], false));
    assert!(pick_range(&version, 0, Some(b"r"), None, KS, &limits(), &none()).is_none());
    assert!(pick_range(&version, 1, None, None, KS, &limits(), &none()).is_none());
}

#[test]
fn a_level_can_be_rewritten_in_place() {
    let version = tree([
        (0, meta(9, "a", "z", 10)),
        (4, meta(1, "a", "c", 10)),
        (4, meta(2, "d", "f", 10)),
        (4, meta(3, "g", "i", 10)),
    ]);
    let plan = pick_rewrite(&version, 4, Some(b"c"), Some(b"d"), KS, &limits(), &none()).unwrap();
    plan.check(&version).unwrap();
    assert_eq!(shape(&plan), (4, 4, vec![1, 2], vec![], false));
    assert_eq!((plan.reason, plan.input_range()), (Reason::Rewrite, Some((&b"a"[..], &b"f"[..]))));
    assert!(pick_rewrite(&version, 4, Some(b"j"), None, KS, &limits(), &none()).is_none());
    assert!(pick_rewrite(&version, 0, None, None, KS, &limits(), &none()).is_none());
    assert!(pick_range(&version, 4, None, None, KS, &limits(), &none()).is_none(), "nothing below");
}

#[test]
fn a_plan_that_leaves_an_overlapping_table_out_is_refused() {
    let version =
        tree([(0, meta(9, "a", "e", 10)), (0, meta(8, "d", "g", 10)), (1, meta(1, "f", "h", 10))]);
    let plan = pick_range(&version, 0, None, None, KS, &limits(), &none()).unwrap();
    plan.check(&version).unwrap();
    let mut without_older = plan.clone();
    without_older.inputs.pop();
    let mut without_output = plan.clone();
    without_output.output_inputs.clear();
    let mut upward = plan.clone();
    upward.output_level = 0;
    let mut empty = plan;
    empty.inputs.clear();
    for wrong in [without_older, without_output, upward, empty] {
        assert_eq!(wrong.check(&version).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn random_trees_settle_and_every_plan_holds() {
    for seed in 0..60 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut version = Version::empty(5, Order::Bytewise);
        let mut cursors = vec![Arc::default(); 5];
        for file in 1..120 {
            let (a, b) = (rng.below(1_000), rng.below(1_000));
            let (lo, hi) = (format!("{:03}", a.min(b)), format!("{:03}", a.max(b)));
            let table = meta(file, &lo, &hi, 1 + rng.below(300));
            let tables_added = vec![(KS, 0, table.into())];
            version = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
            let mut steps = 0;
            while let Some(plan) = pick_checked(&version, &limits(), &cursors) {
                let edit = merged(&plan, file * 1_000 + steps);
                if plan.level > 0 {
                    cursors[usize::from(plan.level)] =
                        plan.input_range().unwrap().1.to_vec().into();
                }
                version = apply(&version, &edit);
                steps += 1;
                assert!(steps < 500, "the tree never settles");
            }
        }
        assert!((0..5).all(|level| score(&version, &limits(), level, &none()) < 1.0));
    }
}

/// The edit of a plan whose inputs become one table.
fn merged(plan: &CompactionPlan, file: u64) -> VersionEdit {
    if plan.trivial_move {
        return as_move(plan);
    }
    let lo = plan.tables().map(|table| table.meta.smallest.clone()).min().unwrap();
    let hi = plan.tables().map(|table| table.meta.largest.clone()).max().unwrap();
    let text = |key: Vec<u8>| String::from_utf8(key).unwrap();
    // Overwriting loses some bytes on the way down.
    let table = meta(file, &text(lo), &text(hi), plan.bytes() * 9 / 10 + 1);
    VersionEdit { tables_added: vec![(KS, plan.output_level, table.into())], ..as_move(plan) }
}
