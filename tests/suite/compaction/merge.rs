//! The merging cursor against one sorted vector.

use super::VecIter;
use crate::allocations::made_by;
use crate::memtable::{Entry, Rng, here, sort, walk};
use esker::internals::error::ErrorKind;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::iter::merge::MergingIter;
use esker::internals::key::{EntryKind, make_tag};
use esker::internals::order::Order;

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
        walk(&mut MergingIter::new(children, Order::Bytewise), &all, &mut rng, 300);
    }
}

#[test]
fn merge_touches_no_child_before_the_first_seek() {
    let mut child = VecIter::new(vec![(b"k".to_vec(), 0x101, Vec::new())]);
    child.fuse = 1;
    let mut merged = MergingIter::new(vec![child], Order::Bytewise);
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
        let mut merged = MergingIter::new(children, Order::Bytewise);
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

#[test]
fn moving_allocates_nothing_but_room_for_the_longest_key_at_which_it_turned() {
    for seed in 0..50 {
        println!("seed {seed}");
        let (children, all) = random_children(&mut Rng::new(seed));
        if all.is_empty() {
            continue;
        }
        let mut merged = MergingIter::new(children, Order::Bytewise);
        let walk = |merged: &mut MergingIter<VecIter>| {
            merged.seek_to_first().unwrap();
            let mut bytes = 0;
            for turn in 0.. {
                if !merged.valid() {
                    break;
                }
                bytes += merged.key().len() + merged.value().len();
                // Two forward, one back.
                if turn % 3 == 2 { merged.prev().unwrap() } else { merged.next().unwrap() }
            }
            merged.seek_to_last().unwrap();
            while merged.valid() {
                merged.prev().unwrap();
            }
            bytes
        };
        let first = walk(&mut merged);
        let (again, made) = made_by(|| walk(&mut merged));
        assert_eq!((again, made), (first, 0));
    }
}
