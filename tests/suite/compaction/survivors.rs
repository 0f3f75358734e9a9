//! Which entries survive, for random histories and snapshots.

use super::{VecIter, lookup, meta, tree};
use crate::memtable::{Entry, Rng, sort};
use esker::internals::compaction::iter::{CompactionIter, DeeperLevels};
use esker::internals::iter::merge::MergingIter;
use esker::internals::key::{EntryKind, Tag, make_tag, tag_seq};
use esker::internals::order::Order;
use esker::internals::types::SeqNo;
use esker::internals::version::levels::Version;
use std::collections::BTreeSet;

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
    let merged =
        MergingIter::new(children.into_iter().map(VecIter::new).collect(), Order::Bytewise);
    let deeper = deeper.then(|| DeeperLevels::new(&case.version, OUTPUT_LEVEL));
    let mut iter = CompactionIter::new(merged, Order::Bytewise, &case.boundaries, deeper);
    let mut out = Vec::new();
    while iter.next_survivor().unwrap() {
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
    let mut iter = CompactionIter::new(VecIter::new(inputs), Order::Bytewise, &[6], deeper);
    let mut seqs = Vec::new();
    while iter.next_survivor().unwrap() {
        seqs.push(tag_seq(iter.tag()));
    }
    assert_eq!(seqs, [9, 8, 7, 0]);
}

#[test]
fn an_error_of_the_input_ends_the_survivors() {
    let entries = (0..9u8).map(|n| (vec![n], make_tag(9, EntryKind::Put), vec![])).collect();
    let mut input = VecIter::new(entries);
    input.fuse = 5;
    let mut iter = CompactionIter::new(input, Order::Bytewise, &[20], None);
    let results: Vec<bool> =
        std::iter::from_fn(|| Some(iter.next_survivor().is_ok())).take(5).collect();
    assert_eq!(results, [true, true, true, true, false]);
}
