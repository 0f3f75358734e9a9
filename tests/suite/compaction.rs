//! The merging cursor, the picker on hand-made trees, which entries survive, and whole jobs on the
//! simulated kernel.

use crate::memtable::{Entry, Rng, here, sort, walk};
use esker::internals::compaction::iter::{CompactionIter, DeeperLevels};
use esker::internals::compaction::picker::{debt, pick, pick_range, pick_rewrite, score};
use esker::internals::compaction::plan::{CompactionPlan, Limits, Reason};
use esker::internals::error::{Area, Error, ErrorKind, Result};
use esker::internals::iter::internal::InternalIterator;
use esker::internals::iter::merge::MergingIter;
use esker::internals::key::{EntryKind, Tag, make_tag, seek_tag, tag_seq};
use esker::internals::sync::Arc;
use esker::internals::table::handle::TableHandle;
use esker::internals::table::meta::TableMeta;
use esker::internals::types::{FileNum, KeyspaceId, SeqNo};
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use std::collections::BTreeSet;

const KS: KeyspaceId = KeyspaceId(0);

/// Cursor over a sorted vector; fails when `fuse` runs out.
struct VecIter {
    entries: Vec<Entry>,
    at: Option<usize>,
    fuse: u64,
}

impl VecIter {
    fn new(entries: Vec<Entry>) -> VecIter {
        VecIter { entries, at: None, fuse: u64::MAX }
    }

    fn go(&mut self, at: Option<usize>) -> Result<()> {
        self.at = at.filter(|&at| at < self.entries.len());
        self.fuse = self.fuse.saturating_sub(1);
        if self.fuse == 0 {
            self.at = None;
            self.fuse = u64::MAX;
            return Err(Error::corrupt(Area::Table, 7, 8, "torn block"));
        }
        Ok(())
    }

    fn split(&self, key: &[u8], tag: Tag) -> usize {
        self.entries.partition_point(|(k, t, _)| (k.as_slice(), !*t) < (key, !tag))
    }

    fn entry(&self) -> &Entry {
        &self.entries[self.at.expect("valid")]
    }
}

impl InternalIterator for VecIter {
    fn valid(&self) -> bool {
        self.at.is_some()
    }
    fn seek_to_first(&mut self) -> Result<()> {
        self.go(Some(0))
    }
    fn seek_to_last(&mut self) -> Result<()> {
        self.go(self.entries.len().checked_sub(1))
    }
    fn seek(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.go(Some(self.split(key, tag)))
    }
    fn seek_before(&mut self, key: &[u8], tag: Tag) -> Result<()> {
        self.go(self.split(key, tag).checked_sub(1))
    }
    fn next(&mut self) -> Result<()> {
        self.go(Some(self.at.expect("valid") + 1))
    }
    fn prev(&mut self) -> Result<()> {
        self.go(self.at.expect("valid").checked_sub(1))
    }
    fn key(&self) -> &[u8] {
        &self.entry().0
    }
    fn tag(&self) -> Tag {
        self.entry().1
    }
    fn value(&self) -> &[u8] {
        &self.entry().2
    }
}

/// Random children, some entries in several of them; the value names the child.
fn random_children(rng: &mut Rng) -> (Vec<VecIter>, Vec<Entry>) {
    let mut all = Vec::new();
    let children = (0..rng.below(9)).map(|child| {
        let mut entries: Vec<Entry> = (0..rng.below(20))
            .map(|_| (rng.key(), make_tag(rng.below(30), EntryKind::Put), vec![child as u8]))
            .collect();
        sort(&mut entries);
        entries.dedup_by(|a, b| (&a.0, a.1) == (&b.0, b.1));
        all.extend(entries.clone());
        VecIter::new(entries)
    });
    let children = children.collect();
    // Stable, and the children came in order: the earlier child's entry stays in front.
    sort(&mut all);
    (children, all)
}

#[test]
fn merged_children_move_like_one_sorted_vector() {
    for seed in 0..400 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (children, all) = random_children(&mut rng);
        walk(&mut MergingIter::new(children), &all, &mut rng, 300);
    }
}

#[test]
fn merge_touches_no_child_before_the_first_seek() {
    let mut child = VecIter::new(vec![(b"k".to_vec(), 0x101, Vec::new())]);
    child.fuse = 1;
    let mut merged = MergingIter::new(vec![child]);
    assert!(!merged.valid());
    assert!(merged.seek_to_first().is_err());
}

#[test]
fn an_error_of_a_child_stays_until_the_next_seek() {
    for seed in 0..200 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let (mut children, all) = random_children(&mut rng);
        if children.is_empty() || all.is_empty() {
            continue;
        }
        let broken = rng.below(children.len() as u64) as usize;
        children[broken].fuse = 1 + rng.below(10);
        let mut merged = MergingIter::new(children);
        let mut failed = merged.seek_to_first().is_err();
        while !failed && merged.valid() {
            failed = if rng.below(3) == 0 { merged.prev() } else { merged.next() }.is_err();
        }
        if failed {
            assert!(!merged.valid());
            assert_eq!(merged.next().unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(merged.prev().unwrap_err().detail().file_number, 7);
            assert!(!merged.valid());
            merged.seek_to_last().unwrap();
            assert_eq!(here(&merged), all.last().cloned());
        }
    }
}

// ---- picker ----

fn limits() -> Limits {
    Limits { l0_trigger: 4, level_bytes: 1_000, level_ratio: 10, levels: 5, table_size: 100 }
}

/// Facts of a table; its sequence numbers are its file number.
fn meta(file: u64, smallest: &str, largest: &str, size: u64) -> TableMeta {
    TableMeta {
        file: FileNum(file),
        table_id: [file as u8; 16],
        size,
        footer_crc: 0,
        entries: 2,
        deletes: 0,
        range_dels: 0,
        min_seq: file,
        max_seq: file,
        global_seq: 0,
        smallest: smallest.as_bytes().to_vec(),
        largest: largest.as_bytes().to_vec(),
        bounds_flags: 0,
        oldest_tombstone: 0,
    }
}

fn with_deletes(mut meta: TableMeta) -> TableMeta {
    meta.deletes = 1;
    meta
}

fn apply(version: &Version, edit: &VersionEdit) -> Version {
    version.apply(edit, KS, &|meta| TableHandle::new(meta, None)).unwrap()
}

fn tree(tables: impl IntoIterator<Item = (u8, TableMeta)>) -> Version {
    let tables_added = tables.into_iter().map(|(level, meta)| (KS, level, meta)).collect();
    apply(&Version::empty(5), &VersionEdit { tables_added, ..VersionEdit::default() })
}

fn files(tables: &[Arc<TableHandle>]) -> Vec<u64> {
    tables.iter().map(|table| table.meta.file.0).collect()
}

/// Level, output level, input files, output files, whether a mere move.
fn shape(plan: &CompactionPlan) -> (u8, u8, Vec<u64>, Vec<u64>, bool) {
    let (inputs, outputs) = (files(&plan.inputs), files(&plan.output_inputs));
    (plan.level, plan.output_level, inputs, outputs, plan.trivial_move)
}

fn pick_checked(version: &Version, limits: &Limits, cursors: &[Vec<u8>]) -> Option<CompactionPlan> {
    let plan = pick(version, limits, cursors, KS)?;
    plan.check(version).unwrap();
    let again = pick(version, limits, cursors, KS).unwrap();
    assert_eq!(shape(&plan), shape(&again), "same input, same plan");
    Some(plan)
}

#[test]
fn a_tree_within_its_limits_is_left_alone() {
    assert!(pick_checked(&Version::empty(5), &limits(), &[]).is_none());
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
    let scores = [0, 1, 2, 3, 4].map(|level| score(&version, &limits(), level));
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
        let cursors = [Vec::new(), cursor.as_bytes().to_vec()];
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
        pick_range(version, 1, Some(lo.as_bytes()), Some(hi.as_bytes()), KS, &limits())
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
    let plan = pick_range(&version, 0, Some(b"d"), Some(b"d"), KS, &limits()).unwrap();
    plan.check(&version).unwrap();
    assert_eq!(shape(&plan), (0, 1, vec![9, 8], vec![], false));
    assert!(pick_range(&version, 0, Some(b"r"), None, KS, &limits()).is_none());
    assert!(pick_range(&version, 1, None, None, KS, &limits()).is_none());
}

#[test]
fn a_level_can_be_rewritten_in_place() {
    let version = tree([
        (0, meta(9, "a", "z", 10)),
        (4, meta(1, "a", "c", 10)),
        (4, meta(2, "d", "f", 10)),
        (4, meta(3, "g", "i", 10)),
    ]);
    let plan = pick_rewrite(&version, 4, Some(b"c"), Some(b"d"), KS, &limits()).unwrap();
    plan.check(&version).unwrap();
    assert_eq!(shape(&plan), (4, 4, vec![1, 2], vec![], false));
    assert_eq!((plan.reason, plan.input_range()), (Reason::Rewrite, Some((&b"a"[..], &b"f"[..]))));
    assert!(pick_rewrite(&version, 4, Some(b"j"), None, KS, &limits()).is_none());
    assert!(pick_rewrite(&version, 0, None, None, KS, &limits()).is_none());
    assert!(pick_range(&version, 4, None, None, KS, &limits()).is_none(), "nothing below");
}

#[test]
fn a_plan_that_leaves_an_overlapping_table_out_is_refused() {
    let version =
        tree([(0, meta(9, "a", "e", 10)), (0, meta(8, "d", "g", 10)), (1, meta(1, "f", "h", 10))]);
    let plan = pick_range(&version, 0, None, None, KS, &limits()).unwrap();
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
        let mut version = Version::empty(5);
        let mut cursors = vec![Vec::new(); 5];
        for file in 1..120 {
            let (a, b) = (rng.below(1_000), rng.below(1_000));
            let (lo, hi) = (format!("{:03}", a.min(b)), format!("{:03}", a.max(b)));
            let table = meta(file, &lo, &hi, 1 + rng.below(300));
            let tables_added = vec![(KS, 0, table)];
            version = apply(&version, &VersionEdit { tables_added, ..VersionEdit::default() });
            let mut steps = 0;
            while let Some(plan) = pick_checked(&version, &limits(), &cursors) {
                let edit = merged(&plan, file * 1_000 + steps);
                if plan.level > 0 {
                    cursors[usize::from(plan.level)] = plan.input_range().unwrap().1.to_vec();
                }
                version = apply(&version, &edit);
                steps += 1;
                assert!(steps < 500, "the tree never settles");
            }
        }
        assert!((0..5).all(|level| score(&version, &limits(), level) < 1.0));
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
    VersionEdit { tables_added: vec![(KS, plan.output_level, table)], ..as_move(plan) }
}

// ---- survivors ----

/// What a reader at `seq` finds of `key` in `entries`: the newest entry's value, if that is a put.
fn lookup(entries: &[Entry], key: &[u8], seq: SeqNo) -> Option<Vec<u8>> {
    let visible = entries.iter().filter(|(k, tag, _)| k == key && *tag <= seek_tag(seq));
    let newest = visible.max_by_key(|(_, tag, _)| tag_seq(*tag))?;
    (newest.1 & 0xff == 1).then(|| newest.2.clone())
}

struct Case {
    keys: Vec<Vec<u8>>,
    /// What the compaction reads.
    inputs: Vec<Entry>,
    /// What deeper levels hold, all older.
    older: Vec<Entry>,
    version: Version,
    boundaries: Vec<SeqNo>,
}

const OUTPUT_LEVEL: usize = 2;

fn random_entry(rng: &mut Rng, key: Vec<u8>, seq: SeqNo) -> Entry {
    let delete = rng.below(3) == 0;
    let kind = if delete { EntryKind::Delete } else { EntryKind::Put };
    (key, make_tag(seq, kind), if delete { Vec::new() } else { seq.to_le_bytes().to_vec() })
}

fn random_case(rng: &mut Rng) -> Case {
    let keys: Vec<Vec<u8>> =
        BTreeSet::from_iter((0..1 + rng.below(8)).map(|_| rng.key())).into_iter().collect();
    let any_key = |rng: &mut Rng| keys[rng.below(keys.len() as u64) as usize].clone();
    // Deeper tables, sometimes none; they hold any keys of their ranges, older than every input.
    let (mut older, mut tables) = (Vec::new(), Vec::new());
    for level in OUTPUT_LEVEL + 1..5 {
        if rng.below(2) == 0 {
            let (a, b) = (any_key(rng), any_key(rng));
            let mut table = meta(level as u64, "", "", 1);
            (table.smallest, table.largest) = (a.clone().min(b.clone()), a.clone().max(b.clone()));
            let seq = 10 * (5 - level as u64) + rng.below(5);
            older.extend([random_entry(rng, a, seq), random_entry(rng, b, seq + 5)]);
            tables.push((level as u8, table));
        }
    }
    let mut inputs = Vec::new();
    for seq in 50..50 + rng.below(30) {
        let key = any_key(rng);
        inputs.push(random_entry(rng, key, seq));
    }
    sort(&mut inputs);
    let mut boundaries: BTreeSet<SeqNo> = (0..rng.below(4)).map(|_| 45 + rng.below(40)).collect();
    if rng.below(4) == 0 {
        boundaries.insert(0);
    }
    // The visible sequence number comes last, sometimes below the newest entries.
    let visible = boundaries.last().copied().unwrap_or(0).max(60 + rng.below(30));
    boundaries.insert(visible);
    Case {
        keys,
        inputs,
        older,
        version: tree(tables),
        boundaries: boundaries.into_iter().collect(),
    }
}

/// Splits the inputs over some children, merges them and keeps the survivors.
fn survivors(case: &Case, deeper: bool, rng: &mut Rng) -> Vec<Entry> {
    let mut children = vec![Vec::new(); 1 + rng.below(5) as usize];
    for entry in &case.inputs {
        let child = rng.below(children.len() as u64) as usize;
        children[child].push(entry.clone());
    }
    let merged = MergingIter::new(children.into_iter().map(VecIter::new).collect());
    let deeper = deeper.then(|| DeeperLevels::new(&case.version, OUTPUT_LEVEL));
    let mut iter = CompactionIter::new(merged, &case.boundaries, deeper);
    let mut out = Vec::new();
    while iter.next().unwrap() {
        out.push((iter.key().to_vec(), iter.tag(), iter.value().to_vec()));
    }
    let counts = iter.counts();
    assert_eq!(counts.entries_in, case.inputs.len() as u64);
    assert_eq!(counts.entries_out, out.len() as u64);
    assert_eq!(counts.entries_dropped, counts.entries_in - counts.entries_out);
    let mut sorted = out.clone();
    sort(&mut sorted);
    assert_eq!(out, sorted, "survivors keep their order");
    out
}

/// Every reader that exists or may come finds what it found before.
fn check_readers(case: &Case, out: &[Entry]) {
    let before = [&case.inputs[..], &case.older].concat();
    let after = [out, &case.older].concat();
    let visible = *case.boundaries.last().unwrap();
    for key in &case.keys {
        for seq in case.boundaries.iter().copied().chain(visible..visible + 35) {
            let (b, a) = (lookup(&before, key, seq), lookup(&after, key, seq));
            assert_eq!(a, b, "{key:?} at {seq}, boundaries {:?}", case.boundaries);
        }
    }
}

fn stripe(case: &Case, tag: Tag) -> Option<usize> {
    case.boundaries.iter().position(|&boundary| tag_seq(tag) <= boundary)
}

#[test]
fn no_reader_sees_a_difference_and_nothing_superfluous_stays() {
    let (mut dropped_deletes, mut zeroed, mut kept_deletes) = (0, 0, 0);
    for seed in 0..6_000 {
        let mut rng = Rng::new(seed);
        let case = random_case(&mut rng);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let out = survivors(&case, true, &mut rng);
            check_readers(&case, &out);
            let mut stripes = BTreeSet::new();
            for (key, tag, _) in &out {
                let stripe = stripe(&case, *tag);
                assert!(stripe.is_none() || stripes.insert((key, stripe)), "one entry per stripe");
                let bottom = case.version.is_bottom(OUTPUT_LEVEL, Some(key), Some(key));
                if stripe == Some(0) && bottom {
                    assert_eq!(*tag, 1, "at the bottom only puts of sequence 0 are left");
                    zeroed += 1;
                } else {
                    assert!(case.inputs.iter().any(|entry| entry.1 == *tag), "tags stay elsewhere");
                    kept_deletes += u64::from(tag & 0xff == 2 && stripe == Some(0));
                }
            }
            dropped_deletes += case.inputs.iter().filter(|e| e.1 & 0xff == 2).count()
                - out.iter().filter(|e| e.1 & 0xff == 2).count();
        }));
        assert!(result.is_ok(), "seed {seed}");
    }
    assert!(dropped_deletes > 100 && zeroed > 100 && kept_deletes > 100, "every case was met");
}

#[test]
fn a_flush_keeps_deletes_and_sequence_numbers() {
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let case = random_case(&mut rng);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let out = survivors(&case, false, &mut rng);
            check_readers(&case, &out);
            assert!(out.iter().all(|entry| case.inputs.contains(entry)), "nothing is changed");
            // The newest entry of a key stays, whatever it is.
            for key in &case.keys {
                let newest = |entries: &[Entry]| entries.iter().find(|e| e.0 == *key).cloned();
                assert_eq!(newest(&out), newest(&case.inputs));
            }
        }));
        assert!(result.is_ok(), "seed {seed}");
    }
}

#[test]
fn entries_above_the_last_boundary_all_stay() {
    let inputs: Vec<Entry> =
        [9, 8, 7, 6, 5].map(|seq| (b"k".to_vec(), make_tag(seq, EntryKind::Put), vec![])).into();
    let version = tree([]);
    let deeper = Some(DeeperLevels::new(&version, 1));
    let mut iter = CompactionIter::new(VecIter::new(inputs), &[6], deeper);
    let mut seqs = Vec::new();
    while iter.next().unwrap() {
        seqs.push(tag_seq(iter.tag()));
    }
    assert_eq!(seqs, [9, 8, 7, 0]);
}

#[test]
fn an_error_of_the_input_ends_the_survivors() {
    let entries = (0..9u8).map(|n| (vec![n], make_tag(9, EntryKind::Put), vec![])).collect();
    let mut input = VecIter::new(entries);
    input.fuse = 5;
    let mut iter = CompactionIter::new(input, &[20], None);
    let results: Vec<bool> = std::iter::from_fn(|| Some(iter.next().is_ok())).take(5).collect();
    assert_eq!(results, [true, true, true, true, false]);
}
