//! The memtable, with either index, against a sorted map, under concurrent readers, and at the end of its life.

#![allow(clippy::print_stdout, reason = "seeds of failing runs are shown")]

use crate::allocations::{fail_large, not_failed};
use esker::internals::error::ErrorKind;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, Tag, make_tag, seek_tag, tag_seq};
use esker::internals::memtable::index::{IndexKind, MemIndex};
use esker::internals::memtable::skiplist::SkipIndex;
use esker::internals::memtable::table::MemTable;
use esker::internals::memtable::wide::WideIndex;
use esker::internals::order::Order;
use esker::internals::retire::RetireList;
use esker::internals::sync::{Arc, AtomicBool, AtomicU64, Ordering};
use esker::internals::types::{FileNum, KeyspaceId, SeqNo};

const KINDS: [IndexKind; 2] = [IndexKind::SkipList, IndexKind::Wide];

fn memtable(kind: IndexKind) -> Arc<MemTable> {
    MemTable::new(KeyspaceId(0), Order::Bytewise, kind, None)
}

/// Small xorshift generator; a test prints the seed it began with.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        rng.next();
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// Keys that share prefixes, are prefixes of each other and hold 0x00 and 0xff.
    pub fn key(&mut self) -> Vec<u8> {
        let stem: &[u8] = [&b""[..], b"abcdefg", b"abcdefgh", b"\xff\xff"][self.below(4) as usize];
        let tail = (0..self.below(4)).map(|_| [0, 1, b'a', 0xff][self.below(4) as usize]);
        stem.iter().copied().chain(tail.collect::<Vec<u8>>()).collect()
    }
}

/// Key, tag and value, as a model keeps them.
pub type Entry = (Vec<u8>, Tag, Vec<u8>);

/// Sorts as cursors show entries: key ascending, tag descending. Stable for equal ones.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
}

/// The entry a cursor stands on.
pub fn here(iter: &impl InternalIterator) -> Option<Entry> {
    iter.valid().then(|| (iter.key().to_vec(), iter.tag(), iter.value().to_vec()))
}

/// Moves a cursor at random over `entries` (sorted) and compares every position. It may stand on one of
/// them from before.
pub fn walk(iter: &mut impl InternalIterator, entries: &[Entry], rng: &mut Rng, steps: usize) {
    let start = here(iter);
    let mut at = start.and_then(|entry| entries.iter().position(|other| *other == entry));
    for step in 0..steps {
        let probe = match entries.get(rng.below(entries.len() as u64 * 2 + 1) as usize) {
            Some(entry) => entry.0.clone(),
            None => rng.key(),
        };
        let tag = match rng.below(4) {
            0 => TAG_MAX,
            1 => 0,
            _ => rng.below(700 << 8),
        };
        // The first entry at or after the probe.
        let split =
            entries.partition_point(|(key, t, _)| (key.as_slice(), !*t) < (probe.as_slice(), !tag));
        let op = rng.below(10);
        match op {
            0 => {
                iter.seek_to_first().unwrap();
                at = Some(0);
            }
            1 => {
                iter.seek_to_last().unwrap();
                at = entries.len().checked_sub(1);
            }
            2 => {
                iter.seek(&probe, tag).unwrap();
                at = Some(split);
            }
            3 => {
                iter.seek_before(&probe, tag).unwrap();
                at = split.checked_sub(1);
            }
            _ if !iter.valid() => continue,
            4..=6 => {
                iter.next().unwrap();
                at = at.map(|at| at + 1);
            }
            _ => {
                iter.prev().unwrap();
                at = at.and_then(|at| at.checked_sub(1));
            }
        }
        let expected = at.and_then(|at| entries.get(at)).cloned();
        assert_eq!(here(iter), expected, "step {step}, operation {op}, {probe:?} {tag:#x}");
    }
}

fn insert_random(mem: &MemTable, seq: SeqNo, rng: &mut Rng) -> Entry {
    let delete = rng.below(4) == 0;
    let kind = if delete { EntryKind::Delete } else { EntryKind::Put };
    let value = match rng.below(20) {
        _ if delete => Vec::new(),
        0 => vec![seq as u8; 5_000],
        _ => vec![seq as u8; rng.below(40) as usize],
    };
    let entry = (rng.key(), make_tag(seq, kind), value);
    mem.insert(&entry.0, entry.1, &entry.2).unwrap();
    entry
}

#[test]
fn random_histories_match_a_sorted_map() {
    for (seed, kind) in (0..60).flat_map(|seed| KINDS.map(|kind| (seed, kind))) {
        println!("seed {seed} {kind:?}");
        let mut rng = Rng::new(seed);
        let mem = memtable(kind);
        let mut iter = mem.iter();
        let mut model: Vec<Entry> = Vec::new();
        for round in 0..6 {
            walk(&mut iter, &model, &mut rng, 200);
            for n in 0..rng.below(60) {
                model.push(insert_random(&mem, 1 + round * 100 + n, &mut rng));
            }
            sort(&mut model);
            for _ in 0..200 {
                let (key, seek) = (rng.key(), seek_tag(rng.below(700)));
                let expected = model.iter().find(|(k, tag, _)| *k == key && *tag <= seek);
                let expected = expected.map(|(_, tag, value)| (*tag, value.as_slice()));
                assert_eq!(mem.get(&key, seek), expected, "{key:?} {seek:#x}");
            }
        }
        let deletes = model.iter().filter(|entry| entry.1 & 0xff == 2).count();
        let max_seq = model.iter().map(|entry| tag_seq(entry.1)).max().unwrap_or(0);
        let bytes: usize = model.iter().map(|entry| entry.0.len() + entry.2.len()).sum();
        assert_eq!((mem.len(), mem.deletes()), (model.len() as u64, deletes as u64));
        assert_eq!((mem.max_seq(), mem.is_empty()), (max_seq, model.is_empty()));
        assert!(mem.bytes() >= bytes as u64 && mem.bytes() <= bytes as u64 + 200 * mem.len() + 512);
    }
}

/// Keys of one way to fill a memtable: each at most once.
fn filling(shape: u64, n: u64, rng: &mut Rng) -> Vec<u8> {
    match shape {
        0 => n.to_be_bytes().to_vec(),
        1 => (!n).to_be_bytes().to_vec(),
        2 => format!("{:016}", n.wrapping_mul(2_654_435_761) % 1_000_000_007).into_bytes(),
        // Many runs side by side, ascending, then descending.
        3 => format!("user{:03}/{n:08}", n % 97).into_bytes(),
        4 => format!("user{:03}/{:08}", n % 97, 99_999_999 - n).into_bytes(),
        // Long shared beginnings of many lengths.
        5 => [vec![b'p'; rng.below(300) as usize], n.to_be_bytes().to_vec()].concat(),
        // Each the beginning of the next.
        6 => vec![0; n as usize % 700],
        // Few keys, many versions.
        _ => rng.key(),
    }
}

#[test]
fn large_memtables_of_every_shape_match_a_sorted_map() {
    for (shape, kind) in (0..8).flat_map(|shape| KINDS.map(|kind| (shape, kind))) {
        let seed = 40 + shape;
        println!("shape {shape} seed {seed} {kind:?}");
        let mut rng = Rng::new(seed);
        let mem = memtable(kind);
        let mut model: Vec<Entry> = Vec::new();
        let mut iter = mem.iter();
        for n in 0..6_000 {
            let key = filling(shape, n, &mut rng);
            let entry = (key, make_tag(n + 1, EntryKind::Put), n.to_le_bytes().to_vec());
            mem.insert(&entry.0, entry.1, &entry.2).unwrap();
            model.push(entry);
            if n % 1_500 == 1_499 {
                sort(&mut model);
                walk(&mut iter, &model, &mut rng, 3_000);
            }
        }
        for _ in 0..6_000 {
            let (key, tag, value) = &model[rng.below(6_000) as usize];
            assert_eq!(mem.get(key, *tag), Some((*tag, value.as_slice())));
            let seen = mem.get(key, TAG_MAX).unwrap().0;
            assert!(seen >= *tag);
            let missing = [key.as_slice(), b"\0\xff"].concat();
            let expected = model.iter().any(|entry| entry.0 == missing);
            assert_eq!(mem.get(&missing, TAG_MAX).is_some(), expected);
        }
        iter.seek_to_first().unwrap();
        for entry in &model {
            assert_eq!(here(&iter).as_ref(), Some(entry));
            iter.next().unwrap();
        }
        assert!(!iter.valid());
        iter.seek_to_last().unwrap();
        for entry in model.iter().rev() {
            assert_eq!(here(&iter).as_ref(), Some(entry));
            iter.prev().unwrap();
        }
        assert!(!iter.valid());
    }
}

/// Key of the n-th write: every number below 2^16 once, out of order.
fn shuffled_key(n: u64) -> [u8; 8] {
    (n.wrapping_mul(40_503) & 0xffff).to_be_bytes()
}

/// Reads what must be there as of `visible` and checks the order of everything else.
fn read_at(mem: &Arc<MemTable>, visible: SeqNo, rng: &mut Rng) {
    for _ in 0..20 {
        let n = rng.below(visible) + 1;
        let found = mem.get(&shuffled_key(n), seek_tag(visible));
        assert_eq!(found, Some((make_tag(n, EntryKind::Put), &n.to_le_bytes()[..])));
    }
    let mut iter = mem.iter();
    let mut seen = 0;
    let mut last: Option<Vec<u8>> = None;
    iter.seek_to_first().unwrap();
    while iter.valid() {
        assert!(last.is_none_or(|last| last.as_slice() < iter.key()), "keys ascend");
        last = Some(iter.key().to_vec());
        assert_eq!(iter.key(), shuffled_key(tag_seq(iter.tag())));
        assert_eq!(iter.value(), tag_seq(iter.tag()).to_le_bytes());
        seen += u64::from(tag_seq(iter.tag()) <= visible);
        iter.next().unwrap();
    }
    assert_eq!(seen, visible, "a scan finds every write published before it");
}

#[test]
fn readers_see_every_published_write_while_one_writer_inserts() {
    KINDS.into_iter().for_each(readers_see_every_published_write);
}

fn readers_see_every_published_write(kind: IndexKind) {
    const WRITES: u64 = 12_000;
    let mem = memtable(kind);
    let (published, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (mem, published, done) = (&mem, &published, &done);
            scope.spawn(move || {
                let mut rng = Rng::new(seed);
                while !done.load(Ordering::Acquire) {
                    let visible = published.load(Ordering::Acquire);
                    if visible > 0 {
                        read_at(mem, visible, &mut rng);
                    }
                }
                read_at(mem, WRITES, &mut rng);
            });
        }
        for seq in 1..=WRITES {
            let tag = make_tag(seq, EntryKind::Put);
            mem.insert(&shuffled_key(seq), tag, &seq.to_le_bytes()).unwrap();
            published.store(seq, Ordering::Release);
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn values_stay_where_they_are_while_the_memtable_grows() {
    KINDS.into_iter().for_each(values_stay_where_they_are);
}

fn values_stay_where_they_are(kind: IndexKind) {
    let mem = memtable(kind);
    mem.insert(b"pinned", make_tag(1, EntryKind::Put), b"value").unwrap();
    let (_, pinned) = mem.get(b"pinned", TAG_MAX).unwrap();
    let before = pinned.as_ptr();
    let mut rng = Rng::new(7);
    for seq in 2..5_000 {
        insert_random(&mem, seq, &mut rng);
        mem.insert(b"pinned", make_tag(seq, EntryKind::Put), b"other").unwrap();
    }
    assert_eq!(pinned, b"value");
    assert_eq!(mem.get(b"pinned", seek_tag(1)).unwrap().1.as_ptr(), before);
}

#[test]
fn the_last_reference_hands_the_memory_to_the_retire_list() {
    last_reference::<SkipIndex>(IndexKind::SkipList);
    last_reference::<WideIndex>(IndexKind::Wide);
}

fn last_reference<Index: Send + Sync + 'static>(kind: IndexKind) {
    let retire = Arc::new(RetireList::default());
    let mem = MemTable::new(KeyspaceId(3), Order::Bytewise, kind, Some(retire.clone()));
    mem.insert(b"k", make_tag(1, EntryKind::Put), b"v").unwrap();
    let mut iter = mem.iter();
    iter.seek_to_first().unwrap();
    drop(mem);
    assert!(retire.take().garbage.is_empty(), "a cursor keeps the memtable");
    assert_eq!(here(&iter), Some((b"k".to_vec(), make_tag(1, EntryKind::Put), b"v".to_vec())));
    drop(iter);
    let garbage = retire.take().garbage;
    assert_eq!(garbage.len(), 1);
    let index = garbage.into_iter().next().unwrap().downcast::<Arc<Index>>().unwrap();
    assert_eq!(Arc::strong_count(&index), 1, "nobody else would free it");
}

#[test]
fn a_cursor_is_the_last_to_hold_on_to_a_skip_list() {
    // Under ThreadSanitizer (make tsan) memory that is used after it was freed is reported.
    let index = Arc::new(SkipIndex::new(Order::Bytewise));
    for n in 0..1_000u64 {
        index.insert(&n.to_be_bytes(), make_tag(n, EntryKind::Put), b"value").unwrap();
    }
    let mut cursor = index.cursor();
    cursor.seek(&500u64.to_be_bytes(), TAG_MAX).unwrap();
    drop(index);
    assert_eq!((cursor.key(), cursor.value()), (&500u64.to_be_bytes()[..], &b"value"[..]));
    cursor.next().unwrap();
    drop(cursor);
}

/// Inserts until an allocation fails, and sees that what was inserted is there, whole and in order, and nothing of the rest.
fn insert_without_memory(kind: IndexKind, seed: u64, nth: u64) -> bool {
    let mut rng = Rng::new(seed);
    let mem = memtable(kind);
    // With room for all: only the memtable is to go without memory.
    let mut model: Vec<Entry> = Vec::with_capacity(600);
    fail_large(nth);
    let mut refused = 0;
    for seq in 1..=600 {
        // Values of many sizes, so that the memory ends at another step of an insert each time.
        let tag = make_tag(seq, EntryKind::Put);
        let entry =
            (rng.below(1 << 40).to_be_bytes().to_vec(), tag, vec![7; rng.below(90) as usize]);
        match mem.insert(&entry.0, entry.1, &entry.2) {
            Ok(()) => model.push(entry),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NoMem);
                assert_eq!(mem.get(&entry.0, TAG_MAX), None, "what was refused is not seen");
                sort(&mut model);
                walk(&mut mem.iter(), &model, &mut rng, 400);
                refused += 1;
                // It fails once.
                mem.insert(&entry.0, entry.1, &entry.2).unwrap();
                model.push(entry);
            }
        }
    }
    let failed = !not_failed();
    assert_eq!(refused, u64::from(failed), "{kind:?} seed {seed} allocation {nth}");
    sort(&mut model);
    walk(&mut mem.iter(), &model, &mut rng, 400);
    for (key, tag, value) in &model {
        assert_eq!(mem.get(key, *tag), Some((*tag, value.as_slice())));
    }
    failed
}

#[test]
fn an_insert_without_memory_changes_nothing_and_may_be_repeated() {
    for kind in KINDS {
        let mut failed = 0;
        for seed in 0..40 {
            println!("seed {seed} {kind:?}");
            failed += (1..6).filter(|nth| insert_without_memory(kind, seed, *nth)).count();
        }
        assert!(failed > 50, "{kind:?}: {failed} inserts failed");
    }
}

#[test]
fn the_first_log_is_remembered() {
    let mem = memtable(IndexKind::Wide);
    assert_eq!((mem.first_log(), mem.has_unlogged()), (None, false));
    mem.note_log(FileNum(4));
    mem.note_log(FileNum(9));
    mem.note_unlogged();
    assert_eq!((mem.first_log(), mem.has_unlogged()), (Some(FileNum(4)), true));
}

#[test]
fn one_internal_key_is_accepted_once() {
    KINDS.into_iter().for_each(one_internal_key_is_accepted);
}

fn one_internal_key_is_accepted(kind: IndexKind) {
    let mem = memtable(kind);
    mem.insert(b"", make_tag(5, EntryKind::Put), b"").unwrap();
    let again = mem.insert(b"", make_tag(5, EntryKind::Put), b"");
    assert_eq!(again.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!((mem.len(), mem.max_seq()), (1, 5));
}

#[test]
#[should_panic(expected = "frozen")]
fn a_frozen_memtable_takes_no_writes() {
    let mem = memtable(IndexKind::Wide);
    mem.freeze(8);
    assert_eq!(mem.frozen_at(), 8);
    mem.insert(b"k", make_tag(9, EntryKind::Put), b"v").unwrap_or(());
}
