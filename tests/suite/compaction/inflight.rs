//! Which compactions may run side by side.

use super::{KS, apply, fixed, meta, none, tree};
use crate::memtable::Rng;
use esker::internals::compaction::inflight::{Inflight, Ticket};
use esker::internals::compaction::picker::{pick, pick_range, pick_rewrite};
use esker::internals::compaction::plan::{CompactionPlan, Limits, Reason};
use esker::internals::order::Order;
use esker::internals::types::KeyspaceId;
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use std::collections::BTreeSet;

fn limits() -> Limits {
    Limits { l0_trigger: 2, level_bytes: 300, level_ratio: 3, table_size: 100, ..fixed() }
}

fn range(version: &Version, level: usize, lo: &str, inflight: &Inflight) -> Option<CompactionPlan> {
    let lo = Some(lo.as_bytes());
    pick_range(version, level, lo, lo, KS, &limits(), inflight)
}

fn two_levels_of_two() -> Version {
    tree([
        (1, meta(1, "a", "c", 100)),
        (1, meta(2, "p", "q", 100)),
        (2, meta(3, "b", "f", 100)),
        (2, meta(4, "m", "z", 100)),
        (3, meta(5, "e", "g", 100)),
        (3, meta(6, "n", "o", 100)),
    ])
}

#[test]
fn jobs_of_one_level_run_together_when_their_ranges_are_disjoint() {
    let version = two_levels_of_two();
    let mut inflight = none();
    let first = inflight.claim(&range(&version, 1, "b", &none()).unwrap()).unwrap();
    assert!(range(&version, 1, "b", &inflight).is_none(), "the same table twice");
    let plan = range(&version, 1, "p", &inflight).unwrap();
    let second = inflight.claim(&plan).unwrap();
    assert!(inflight.claim(&plan).is_none());
    inflight.release(first);
    assert!(range(&version, 1, "b", &inflight).is_some() && !inflight.is_empty());
    inflight.release(second);
    assert!(inflight.is_empty());
}

#[test]
fn an_output_of_one_job_is_no_input_of_another() {
    let version = two_levels_of_two();
    let mut inflight = none();
    let _first = inflight.claim(&range(&version, 1, "b", &none()).unwrap()).unwrap();
    assert!(range(&version, 2, "d", &inflight).is_none(), "table 3 is being merged into");
    assert!(range(&version, 2, "n", &inflight).is_some(), "table 4 is free");
    assert!(range(&version, 3, "e", &inflight).is_some(), "disjoint levels");
    let rewrite = |lo: &[u8]| pick_rewrite(&version, 2, Some(lo), None, KS, &limits(), &inflight);
    assert!(rewrite(b"a").is_none() && rewrite(b"m").is_some());
}

#[test]
fn two_jobs_do_not_write_the_same_range_of_a_level() {
    // No table is shared, yet both would put keys from "b" to "c" into level 2.
    let version = tree([(1, meta(1, "a", "c", 100)), (3, meta(2, "b", "d", 100))]);
    let from_above = range(&version, 1, "a", &none()).unwrap();
    let mut from_below = range(&version, 3, "b", &none()).unwrap();
    from_below.output_level = 2;
    from_below.level = 2;
    let mut inflight = none();
    let ticket = inflight.claim(&from_above).unwrap();
    assert!(inflight.conflicts(&from_below));
    from_below.keyspace = KeyspaceId(7);
    assert!(!inflight.conflicts(&from_below), "another keyspace");
    from_below.keyspace = KS;
    inflight.release(ticket);
    assert!(inflight.claim(&from_below).is_some());
}

#[test]
fn a_job_that_passes_levels_keeps_others_from_writing_there() {
    let version = tree([(0, meta(9, "a", "f", 100)), (1, meta(1, "h", "k", 100))]);
    let mut passing = range(&version, 0, "a", &none()).unwrap();
    passing.output_level = 4;
    let mut inflight = none();
    let _ticket = inflight.claim(&passing).unwrap();
    let mut beside = range(&version, 1, "h", &inflight).unwrap();
    assert!(!inflight.conflicts(&beside));
    beside.inputs.push(version.level(0)[0].clone());
    assert!(inflight.conflicts(&beside), "its table");
    beside.inputs = tree([(1, meta(2, "f", "g", 1))]).level(1).to_vec();
    assert!(inflight.conflicts(&beside), "its range in level 2");
}

#[test]
fn only_one_job_leads_out_of_level_0() {
    let version = tree([(0, meta(9, "a", "c", 100)), (0, meta(8, "p", "q", 100))]);
    let mut inflight = none();
    let ticket = inflight.claim(&range(&version, 0, "a", &none()).unwrap()).unwrap();
    assert!(range(&version, 0, "p", &inflight).is_none());
    inflight.release(ticket);
    assert!(range(&version, 0, "p", &inflight).is_some());
}

#[test]
fn one_job_at_a_time_merges_within_level_0_beside_one_that_leads_out_of_it() {
    let version =
        tree((1..=9).map(|file| (0, meta(file, &format!("k{file}"), &format!("k{file}z"), 20))));
    let merge = |files: std::ops::RangeInclusive<u64>| {
        let mut plan = range(&version, 0, "k1", &none()).unwrap();
        let tables = version.level(0).iter();
        plan.inputs = tables.filter(|t| files.contains(&t.meta.file.0)).cloned().collect();
        (plan.output_level, plan.reason, plan.trivial_move) = (0, Reason::Level0Merge, false);
        (plan.output_inputs, plan.grandparents) = (Vec::new(), Vec::new());
        plan.check(&version).unwrap();
        plan
    };
    let mut inflight = none();
    let ticket = inflight.claim(&merge(6..=9)).unwrap();
    assert!(inflight.conflicts(&merge(1..=4)), "a second one could sort in front of the first");
    let _out = inflight.claim(&range(&version, 0, "k1", &inflight).unwrap()).unwrap();
    inflight.release(ticket);
    assert!(!inflight.conflicts(&merge(2..=5)));
}

#[test]
fn a_busy_victim_is_passed_over_for_the_next_best_and_then_the_next_level() {
    let version = tree([
        (1, meta(1, "a", "c", 400)),
        (1, meta(2, "d", "f", 400)),
        (2, meta(3, "n", "o", 1_000)),
    ]);
    let mut inflight = none();
    let mut victims = Vec::new();
    while let Some(plan) = pick(&version, &limits(), &[], KS, &inflight) {
        victims.push(plan.inputs[0].meta.file.0);
        let _kept: Ticket = inflight.claim(&plan).unwrap();
    }
    assert_eq!(victims, [1, 2, 3]);
}

/// The edit of a job that merges into one table of all its keys.
fn merged(plan: &CompactionPlan, file: u64) -> VersionEdit {
    let (lo, hi) = plan.whole_range().unwrap();
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    let table = meta(file, &text(lo), &text(hi), plan.bytes() * 9 / 10 + 1);
    let mut edit = VersionEdit::default();
    edit.tables_dropped.extend(plan.inputs.iter().map(|t| (KS, plan.level, t.meta.file)));
    let replaced = plan.output_inputs.iter().map(|t| (KS, plan.output_level, t.meta.file));
    edit.tables_dropped.extend(replaced);
    edit.tables_added.push((KS, plan.output_level, table.into()));
    edit
}

#[test]
fn jobs_ending_in_any_order_leave_a_sound_tree() {
    let mut together = 0;
    for seed in 0..60 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut version = Version::empty(5, Order::Bytewise);
        let mut inflight = none();
        let mut running: Vec<(CompactionPlan, Ticket)> = Vec::new();
        for file in 1..300 {
            let (a, length) = (rng.below(1_000), rng.below(80));
            let (lo, hi) = (format!("{a:04}"), format!("{:04}", a + length));
            let tables_added = vec![(KS, 0, meta(file, &lo, &hi, 1 + rng.below(100)).into())];
            version = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
            while running.len() < 4 {
                let Some(plan) = pick(&version, &limits(), &[], KS, &inflight) else {
                    break;
                };
                plan.check(&version).unwrap();
                let ticket = inflight.claim(&plan).unwrap();
                running.push((plan, ticket));
            }
            together = together.max(running.len());
            let mut seen = BTreeSet::new();
            let tables = running.iter().flat_map(|(plan, _)| plan.tables());
            assert!(tables.into_iter().all(|table| seen.insert(table.meta.file)));
            if running.len() == 4 || rng.below(3) == 0 && !running.is_empty() {
                let (plan, ticket) = running.swap_remove(rng.below(running.len() as u64) as usize);
                // What was made for an older version still fits. Level 0 may have got newer tables
                // since; `apply` refuses the rest.
                assert!(plan.level == 0 || plan.check(&version).is_ok());
                version = apply(&version, &merged(&plan, 1_000 * file));
                inflight.release(ticket);
            }
        }
    }
    assert!(together > 2, "several jobs ran at once");
}
