//! How large levels should be, and what dynamic targets cost, on trees of bare key lists.

use super::{KS, apply, fixed, meta, none, tree};
use crate::memtable::Rng;
use esker::internals::compaction::picker::{debt, pick, pick_range, score};
use esker::internals::compaction::plan::{CompactionPlan, Limits};
use esker::internals::error::ErrorKind;
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use std::collections::{BTreeMap, BTreeSet};

fn dynamic() -> Limits {
    Limits { level_bytes: 1_000, table_size: 100, dynamic: true, ..fixed() }
}

/// One table of this size in each level from 1 on; 0 = none.
fn sized(sizes: [u64; 4]) -> Version {
    let sized = (1..).zip(sizes).filter(|(_, size)| *size > 0);
    tree(sized.map(|(level, size)| (level, meta(u64::from(level), "a", "c", size))))
}

/// The base level and the targets from level 1 to 4.
fn targets(limits: &Limits, sizes: [u64; 4]) -> (usize, [Option<u64>; 4]) {
    let targets = limits.targets(&sized(sizes));
    (targets.base, [1, 2, 3, 4].map(|level| targets.target(level)))
}

#[test]
fn fixed_targets_grow_from_level_1() {
    let limits = Limits { dynamic: false, ..dynamic() };
    for sizes in [[0; 4], [5, 0, 0, 1 << 40]] {
        let expected = [Some(1_000), Some(10_000), Some(100_000), None];
        assert_eq!(targets(&limits, sizes), (1, expected));
    }
}

#[test]
fn dynamic_targets_are_counted_back_from_the_last_level() {
    let of = |sizes| targets(&dynamic(), sizes);
    assert_eq!(of([0; 4]), (4, [None; 4]), "all goes to the last level");
    assert_eq!(of([0, 0, 0, 1_000]), (4, [None; 4]));
    assert_eq!(
        of([0, 0, 0, 1_001]),
        (3, [None, None, Some(1_000), None]),
        "never below level_bytes"
    );
    assert_eq!(of([0, 0, 100, 9_000]), (3, [None, None, Some(1_000), None]));
    assert_eq!(of([0, 0, 100, 50_000]), (2, [None, Some(1_000), Some(5_000), None]));
    let full = [Some(1_000), Some(10_000), Some(100_000), None];
    assert_eq!(of([0, 0, 9, 1 << 40]), (1, full), "fixed from the top when there is no room");
    let once_fixed = [Some(1_000), Some(1_000), Some(10_000), None];
    assert_eq!(of([500, 0, 0, 5_000]), (1, once_fixed), "what lies in level 1 stays in sight");
    let largest_third = [None, Some(1_000), Some(5_000), None];
    assert_eq!(of([0, 0, 50_000, 10]), (2, largest_third), "wherever the largest level is");
}

#[test]
fn level_0_goes_past_empty_levels_to_the_base() {
    let level0 = (10..14).map(|file| (0, meta(file, "a", "z", 10)));
    let version = tree(level0.chain([(4, meta(1, "b", "d", 1_500)), (4, meta(2, "x", "zz", 10))]));
    let plan = pick(&version, &dynamic(), &[], KS, &none()).unwrap();
    plan.check(&version).unwrap();
    assert_eq!((plan.level, plan.output_level, plan.output_inputs.len()), (0, 3, 0));
    let plan = pick_range(&version, 0, None, None, KS, &dynamic(), &none()).unwrap();
    assert_eq!((plan.level, plan.output_level), (0, 3));
    // A table in between, newer than the plan knows: the merged tables would end up below it.
    let tables_added = vec![(KS, 2, meta(3, "c", "c", 10).into())];
    let later = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
    assert_eq!(plan.check(&later).unwrap_err().kind(), ErrorKind::Corrupt);
    let tables_added = vec![(KS, 2, meta(3, "zzz", "zzzz", 10).into())];
    let beside = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
    plan.check(&beside).unwrap();
}

#[test]
fn dynamic_levels_count_level_0_by_bytes_too() {
    let version = tree([(0, meta(9, "a", "z", 2_500)), (4, meta(1, "a", "z", 700))]);
    assert_eq!(score(&version, &dynamic(), 0, &none()), 2.5);
    assert_eq!(score(&version, &Limits { dynamic: false, ..dynamic() }, 0, &none()), 0.25);
    assert_eq!(debt(&version, &dynamic()), 2_500);
}

/// A tree whose tables are lists of keys, one byte each.
struct Toy {
    version: Version,
    keys: BTreeMap<u64, Vec<u64>>,
    cursors: Vec<Arc<Vec<u8>>>,
    last_file: u64,
    written: u64,
}

impl Toy {
    fn new() -> Toy {
        let (version, cursors) = (Version::empty(5, Order::Bytewise), vec![Arc::default(); 5]);
        Toy { version, keys: BTreeMap::new(), cursors, last_file: 0, written: 0 }
    }

    fn add(&mut self, edit: &mut VersionEdit, level: u8, keys: &[u64]) {
        self.last_file += 1;
        let name = |key: &u64| format!("{key:016}");
        let (lo, hi) = (name(&keys[0]), name(&keys[keys.len() - 1]));
        let mut table = meta(self.last_file, &lo, &hi, keys.len() as u64);
        table.entries = keys.len() as u64;
        edit.tables_added.push((KS, level, table.into()));
        self.keys.insert(self.last_file, keys.to_vec());
        self.written += keys.len() as u64;
    }

    fn flush(&mut self, keys: &BTreeSet<u64>) {
        let mut edit = VersionEdit::default();
        self.add(&mut edit, 0, &keys.iter().copied().collect::<Vec<u64>>());
        self.version = apply(&self.version, &edit);
    }

    fn compact(&mut self, plan: &CompactionPlan, table_size: usize) {
        plan.check(&self.version).unwrap();
        let mut edit = VersionEdit::default();
        edit.tables_dropped.extend(plan.inputs.iter().map(|t| (KS, plan.level, t.meta.file)));
        let replaced = plan.output_inputs.iter().map(|t| (KS, plan.output_level, t.meta.file));
        edit.tables_dropped.extend(replaced);
        if plan.trivial_move {
            let moved = plan.inputs.iter().map(|t| (KS, plan.output_level, t.meta.clone()));
            edit.tables_added.extend(moved);
        } else {
            let files = plan.tables().map(|table| table.meta.file.0);
            let merged: BTreeSet<u64> = files.flat_map(|f| self.keys.remove(&f).unwrap()).collect();
            let merged: Vec<u64> = merged.into_iter().collect();
            for keys in merged.chunks(table_size) {
                self.add(&mut edit, plan.output_level, keys);
            }
        }
        self.cursors[usize::from(plan.level)] = plan.input_range().unwrap().1.to_vec().into();
        self.version = apply(&self.version, &edit);
    }

    /// Fills with `flushes` times 500 keys below `space`; returns bytes written per byte put.
    fn fill(&mut self, limits: &Limits, flushes: u64, space: u64, rng: &mut Rng) -> f64 {
        for _ in 0..flushes {
            let keys: BTreeSet<u64> = (0..500).map(|_| rng.below(space)).collect();
            self.flush(&keys);
            while let Some(plan) = pick(&self.version, limits, &self.cursors, KS, &none()) {
                self.compact(&plan, limits.table_size as usize);
            }
        }
        self.written as f64 / (flushes * 500) as f64
    }
}

#[test]
fn random_fills_cost_few_writes_and_leave_most_bytes_in_the_last_level() {
    let limits = Limits { level_bytes: 2_000, table_size: 500, ..dynamic() };
    for (seed, space) in [(1, 1 << 40), (2, 60_000), (3, 20_000)] {
        let mut toy = Toy::new();
        let amplification = toy.fill(&limits, 300, space, &mut Rng::new(seed));
        let levels: Vec<u64> = (0..5).map(|level| toy.version.level_bytes(level)).collect();
        println!("space {space}: {amplification:.2} bytes written per byte put, levels {levels:?}");
        assert!(amplification < 12.0, "{amplification} in {levels:?}");
        let above: u64 = levels[..4].iter().sum();
        assert!(above * 100 < levels[4] * 20, "{levels:?}");
        let kept: BTreeSet<u64> = toy.keys.values().flatten().copied().collect();
        assert!(kept.len() as u64 <= levels.iter().sum());
    }
}

#[test]
fn an_ascending_fill_is_written_once() {
    let limits = Limits { level_bytes: 2_000, table_size: 500, ..dynamic() };
    let mut toy = Toy::new();
    for n in 0..200u64 {
        toy.flush(&(n * 500..(n + 1) * 500).collect());
        while let Some(plan) = pick(&toy.version, &limits, &toy.cursors, KS, &none()) {
            assert!(plan.trivial_move);
            toy.compact(&plan, 500);
        }
    }
    assert_eq!(toy.written, 200 * 500);
    assert!(toy.version.level_bytes(4) > 80_000);
}
