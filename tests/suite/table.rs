//! Table files against a sorted list: every way to read one, over keys chosen to be awkward.
#![allow(clippy::print_stdout, reason = "a failing test shows its seed")]

use esker::internals::compress::Codec;
use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::{Area, ErrorKind, Result};
use esker::internals::filter::kind::FilterKind;
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::key::{EntryKind, TAG_MAX, Tag, make_tag};
use esker::internals::order::Order;
use esker::internals::sync::Arc;
use esker::internals::table::builder::TableBuilder;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::handle::{TableCache, TableHandle};
use esker::internals::table::level_iter::LevelIter;
use esker::internals::table::meta::{TableMeta, TableOptions};
use esker::internals::table::reader::{Access, TableReader};
use esker::internals::types::FileNum;
use std::cmp::Ordering;

mod ahead;
mod damage;
mod handles;

pub type Entry = (Vec<u8>, Tag, Vec<u8>);

/// A directory on a simulated disk.
pub struct Rig {
    pub kernel: Arc<SimKernel>,
    pub dir: Arc<Dir>,
}

pub const ROOT: &str = "/db";

impl Rig {
    pub fn new() -> Rig {
        let kernel = SimKernel::new(1);
        let fs = Fs::Sim(kernel.clone());
        fs.make_dir(ROOT.as_bytes(), 0o755).unwrap();
        let dir = Arc::new(fs.open_dir(ROOT.as_bytes(), 0o644).unwrap());
        Rig { kernel, dir }
    }

    pub fn builder(&self, number: u64, options: &TableOptions) -> TableBuilder {
        let name = FileKind::Table(FileNum(number)).name();
        let file = self.dir.create(&name, Area::Table).unwrap();
        let mut table_id = [7; 16];
        table_id[..8].copy_from_slice(&hash64(&number.to_le_bytes(), 5).to_le_bytes());
        TableBuilder::new(file, FileNum(number), table_id, options, 1_700_000_000)
    }

    pub fn build(&self, number: u64, entries: &[Entry], options: &TableOptions) -> TableMeta {
        let mut builder = self.builder(number, options);
        for (key, tag, value) in entries {
            builder.add(key, *tag, value).unwrap();
            assert_eq!(builder.last_key(), key);
        }
        builder.finish().unwrap()
    }

    pub fn open(&self, meta: &TableMeta) -> Result<Arc<TableReader>> {
        self.open_with(meta, BlockCache::new(1 << 20))
    }

    pub fn open_with(&self, meta: &TableMeta, blocks: Arc<BlockCache>) -> Result<Arc<TableReader>> {
        let file = self.dir.open_read(&FileKind::Table(meta.file).name(), Area::Table)?;
        Ok(Arc::new(TableReader::open(file, &Order::Bytewise, meta, blocks)?))
    }
}

pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    pub fn key(&mut self) -> Vec<u8> {
        let mut key = Vec::new();
        match self.below(8) {
            0..=2 => {}
            3..=5 => key.extend_from_slice(b"shared/prefix/of/many/keys"),
            6 => key.extend_from_slice(&[0xff; 9]),
            _ => key.extend_from_slice(&[0; 12]),
        }
        let most = if self.below(40) == 0 { 300 } else { 7 };
        for _ in 0..self.below(most) {
            key.push([0, 1, b'a', b'b', 0xfe, 0xff][self.below(6)]);
        }
        key
    }

    fn value(&mut self) -> Vec<u8> {
        let len = match self.below(100) {
            0 => 70_000,
            1 => 5_000,
            2..=20 => 0,
            _ => self.below(60),
        };
        vec![self.next() as u8; len]
    }

    /// Entries in internal order, with up to 120 versions of a key.
    pub fn entries(&mut self, keys: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let wide = self.below(3) == 0;
        for _ in 0..keys {
            let key = self.key();
            let versions = if self.below(20) == 0 { 120 } else { 1 + self.below(3) };
            for _ in 0..versions {
                let seq = if wide { self.next() >> 8 } else { self.next() % 5000 };
                let kind = if self.below(4) == 0 { EntryKind::Delete } else { EntryKind::Put };
                let value = if kind == EntryKind::Put { self.value() } else { Vec::new() };
                entries.push((key.clone(), make_tag(seq, kind), value));
            }
        }
        entries.sort_by(|a, b| Order::Bytewise.compare_internal(&a.0, a.1, &b.0, b.1));
        entries.dedup_by(|a, b| a.0 == b.0 && a.1 >> 8 == b.1 >> 8);
        entries
    }
}

pub fn options(block_size: usize, block_entries: usize, filter_bits: u32) -> TableOptions {
    TableOptions { block_size, block_entries, filter_bits, ..TableOptions::default() }
}

/// Number of the first entry at or after `(key, tag)`.
fn lower_bound(entries: &[Entry], key: &[u8], tag: Tag) -> usize {
    entries.partition_point(|e| {
        Order::Bytewise.compare_internal(&e.0, e.1, key, tag) == Ordering::Less
    })
}

fn expect(iter: &impl InternalIterator, wanted: Option<&Entry>, what: &str) {
    let shown = iter.valid().then(|| (iter.key(), iter.tag(), iter.value()));
    let wanted = wanted.map(|entry| (&entry.0[..], entry.1, &entry.2[..]));
    let brief = |row: Option<(&[u8], Tag, &[u8])>| row.map(|row| (row.0.to_vec(), row.1));
    assert!(shown == wanted, "{what}: {:?}, wanted {:?}", brief(shown), brief(wanted));
}

/// Runs every kind of move and compares each position with the list.
fn check_cursor(iter: &mut impl InternalIterator, entries: &[Entry], rng: &mut Rng, rounds: usize) {
    iter.seek_to_first().unwrap();
    for entry in entries {
        expect(iter, Some(entry), "forward");
        iter.next().unwrap();
    }
    expect(iter, None, "behind the end");
    iter.seek_to_last().unwrap();
    for entry in entries.iter().rev() {
        expect(iter, Some(entry), "backward");
        iter.prev().unwrap();
    }
    expect(iter, None, "before the beginning");
    for _ in 0..rounds {
        let (key, tag) = target(entries, rng);
        let found = lower_bound(entries, &key, tag);
        let mut at = if rng.below(2) == 0 {
            iter.seek(&key, tag).unwrap();
            expect(iter, entries.get(found), "seek");
            Some(found).filter(|at| *at < entries.len())
        } else {
            iter.seek_before(&key, tag).unwrap();
            let at = found.checked_sub(1);
            expect(iter, at.map(|at| &entries[at]), "seek_before");
            at
        };
        for _ in 0..rng.below(6) {
            let Some(here) = at else { break };
            if rng.below(2) == 0 {
                iter.next().unwrap();
                at = Some(here + 1).filter(|at| *at < entries.len());
            } else {
                iter.prev().unwrap();
                at = here.checked_sub(1);
            }
            expect(iter, at.map(|at| &entries[at]), "step");
        }
    }
}

/// A key near the entries' and a tag near theirs.
fn target(entries: &[Entry], rng: &mut Rng) -> (Vec<u8>, Tag) {
    let near = &entries[rng.below(entries.len())];
    let mut key = near.0.clone();
    match rng.below(6) {
        0 => key = rng.key(),
        1 => key.push(0),
        2 => {
            key.pop();
        }
        _ => {}
    }
    let tag = match rng.below(5) {
        0 => TAG_MAX,
        1 => 0,
        2 => near.1.saturating_sub(1),
        3 => near.1.saturating_add(1),
        _ => near.1,
    };
    (key, tag)
}

fn check_gets(reader: &TableReader, entries: &[Entry], rng: &mut Rng, rounds: usize) {
    for _ in 0..rounds {
        let (key, tag) = target(entries, rng);
        let found = entries.get(lower_bound(entries, &key, tag)).filter(|e| e.0 == key);
        let got = reader.get(&key, hash64(&key, 0), tag, rng.below(2) == 0).unwrap();
        let got = got.map(|(tag, value)| (key.clone(), tag, value.as_slice().to_vec()));
        assert!(got.as_ref() == found, "get {key:?} {tag}: {:?}", got.map(|got| got.1));
    }
    for (key, ..) in entries {
        assert!(reader.may_contain(key, hash64(key, 0)), "{key:?} is hidden");
    }
}

#[test]
fn a_table_answers_like_a_sorted_list() {
    for seed in 1..=60u64 {
        let rng = &mut Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rig = Rig::new();
        let count = 1 + rng.below(if seed % 5 == 0 { 2000 } else { 60 });
        let entries = rng.entries(count);
        let block_size = [256, 300, 1024, 4096, 65_536][rng.below(5)];
        let block_entries = [0, 0, 1, 3, 16][rng.below(5)];
        let mut options = options(block_size, block_entries, [0, 10, 14][rng.below(3)]);
        options.filter = [FilterKind::Blocked, FilterKind::Classic][rng.below(2)];
        options.codec = [Codec::None, Codec::Lz4][rng.below(2)];
        println!("seed {seed}: {} entries, {options:?}", entries.len());
        let meta = rig.build(1, &entries, &options);
        assert_eq!(meta.entries, entries.len() as u64);
        assert_eq!((&meta.smallest, &meta.largest), (&entries[0].0, &entries.last().unwrap().0));
        assert_eq!(meta.min_seq, entries.iter().map(|e| e.1 >> 8).min().unwrap());
        assert_eq!(meta.max_seq, entries.iter().map(|e| e.1 >> 8).max().unwrap());
        let reader = rig.open(&meta).unwrap();
        check_gets(&reader, &entries, rng, 300);
        let access = [Access::Cached, Access::NoFill, Access::Around][rng.below(3)];
        check_cursor(&mut TableReader::iter(reader, access), &entries, rng, 300);
    }
}

#[test]
fn a_level_answers_like_a_sorted_list() {
    for seed in 1..=40u64 {
        let rng = &mut Rng(seed.wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let rig = Rig::new();
        let count = 1 + rng.below(120);
        let entries = rng.entries(count);
        println!("seed {seed}: {} entries", entries.len());
        let options = options(256, 0, 10);
        let (mut tables, mut start) = (Vec::new(), 0);
        while start < entries.len() {
            let mut end = (start + 1 + rng.below(20)).min(entries.len());
            while end < entries.len() && entries[end].0 == entries[end - 1].0 {
                end += 1;
            }
            let meta = rig.build(tables.len() as u64 + 1, &entries[start..end], &options);
            tables.push(TableHandle::new(meta, None));
            start = end;
        }
        let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(1 << 20), 3);
        let mut iter = LevelIter::new(tables, cache.clone(), Access::Cached);
        check_cursor(&mut iter, &entries, rng, 300);
        assert!(cache.open_tables() <= 3);
    }
}

#[test]
fn a_level_without_tables_is_empty() {
    let rig = Rig::new();
    let cache = TableCache::new(rig.dir.clone(), Order::Bytewise, BlockCache::new(0), 1);
    let mut iter = LevelIter::new(Vec::new(), cache, Access::Cached);
    iter.seek_to_first().unwrap();
    expect(&iter, None, "first");
    iter.seek_to_last().unwrap();
    expect(&iter, None, "last");
    iter.seek(b"", TAG_MAX).unwrap();
    expect(&iter, None, "seek");
    iter.seek_before(b"x", 0).unwrap();
    expect(&iter, None, "seek_before");
}

#[test]
fn the_builder_refuses_what_is_out_of_order_and_stays_failed() {
    let put = |seq| make_tag(seq, EntryKind::Put);
    for (key, tag) in [(&b"a"[..], put(9)), (b"b", put(6)), (b"b", put(5)), (b"", put(1))] {
        let rig = Rig::new();
        let mut builder = rig.builder(1, &options(4096, 0, 10));
        builder.add(b"b", put(5), b"v").unwrap();
        assert_eq!(builder.add(key, tag, b"").unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(builder.add(b"z", put(1), b"").is_err(), "a failed builder takes nothing more");
        assert_eq!(builder.finish().unwrap_err().kind(), ErrorKind::Corrupt);
    }
    let rig = Rig::new();
    let mut builder = rig.builder(1, &options(4096, 0, 10));
    assert_eq!(builder.add(&[0; 65_536], put(1), b"").unwrap_err().kind(), ErrorKind::Limit);
    let builder = rig.builder(2, &options(4096, 0, 10));
    assert!(builder.finish().is_err(), "a table needs an entry");
    let mut builder = rig.builder(3, &options(4096, 0, 10));
    assert_eq!(builder.add(b"k", 5 << 8, b"").unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn blocks_of_small_entries_fill_pages_exactly() {
    let rig = Rig::new();
    let entries: Vec<Entry> = (0..5000u64)
        .map(|n| (format!("{n:016}").into_bytes(), make_tag(n + 1, EntryKind::Put), vec![1; 100]))
        .collect();
    let meta = rig.build(1, &entries, &options(4096, 0, 10));
    let reader = rig.open(&meta).unwrap();
    let index = reader.index();
    for at in 0..index.count() - 1 {
        assert_eq!(index.block_range(at), (at as u64 * 4096, (at as u64 + 1) * 4096));
    }
    assert_eq!(index.block_range(index.count() - 1).1 % 64, 0);
    let raw: u64 = entries.iter().map(|e| (e.0.len() + e.2.len()) as u64).sum();
    assert!(meta.size < raw * 110 / 100, "{} bytes for {raw} bytes of keys and values", meta.size);
}

#[test]
fn the_size_estimate_is_close() {
    for seed in 1..=10u64 {
        let rng = &mut Rng(seed << 33 | 1);
        let rig = Rig::new();
        let entries = rng.entries(500);
        let mut builder = rig.builder(1, &options(4096, 0, 10));
        for (key, tag, value) in &entries {
            builder.add(key, *tag, value).unwrap();
        }
        assert_eq!(builder.entries(), entries.len() as u64);
        let estimate = builder.size_estimate();
        let size = builder.finish().unwrap().size;
        assert!(estimate.abs_diff(size) < 2048 + size / 50, "seed {seed}: {estimate}, was {size}");
    }
}
