//! What single steps of the engine cost, each by itself: keys of 16 decimal digits in random order, values of 100 bytes.
//!
//! These are floors, not speeds that a program sees: docs/BENCHMARKS.md has both. Sets of `LARGE` rows are larger than the
//! caches of a processor, those of `SMALL` rows are not.

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use esker::internals::block::builder::BlockBuilder;
use esker::internals::block::format::Block;
use esker::internals::checksum::crc32;
use esker::internals::compress::{Codec, Packer, unpack};
use esker::internals::db::read_state::StateCell;
use esker::internals::filter::kind::{Filter, FilterBuilder, FilterKind};
use esker::internals::hash::hash64;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::iter::merge::MergingIter;
use esker::internals::key::{EntryKind, TAG_MAX, make_tag};
use esker::internals::memtable::index::IndexKind;
use esker::internals::memtable::table::MemTable;
use esker::internals::order::Order;
use esker::internals::record::format::{RecordKind, append_record};
use esker::internals::retire::RetireList;
use esker::internals::sync::Arc;
use esker::internals::table::cache::BlockCache;
use esker::internals::table::index::{Index, IndexBuilder};
use esker::internals::types::KeyspaceId;
use esker::internals::version::levels::Version;

const SMALL: u64 = 1_000;
const LARGE: u64 = 450_000;
const VALUE: [u8; 100] = [b'v'; 100];
const BLOCK_BYTES: usize = 4096;
/// Of what depends on where it hits: so many calls together, so often.
const CALLS: u32 = 5_000;
const SAMPLES: u32 = 60;

fn main() {
    divan::main();
}

/// The n-th key of a set, as text in the order of its number.
fn key(n: u64) -> [u8; 16] {
    let mut key = *b"0000000000000000";
    let mut rest = n;
    for digit in key.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Numbers below `n`, each once, in no order.
fn shuffled(n: u64) -> Vec<u64> {
    let mut all: Vec<u64> = (0..n).collect();
    for at in (1..all.len()).rev() {
        let other = hash64(&at.to_le_bytes(), 7) % (at as u64 + 1);
        all.swap(at, other as usize);
    }
    all
}

/// One number after the other, again and again.
struct Turns {
    numbers: Vec<u64>,
    at: usize,
}

impl Turns {
    fn new(n: u64) -> Turns {
        Turns { numbers: shuffled(n), at: 0 }
    }

    fn next(&mut self) -> u64 {
        self.at += 1;
        if self.at >= self.numbers.len() {
            self.at = 0;
        }
        self.numbers[self.at]
    }
}

fn memtable(kind: IndexKind, rows: u64, of: u64, from: u64) -> Arc<MemTable> {
    let table = MemTable::new(KeyspaceId(0), Order::Bytewise, kind, None);
    for (seq, n) in shuffled(rows).into_iter().enumerate() {
        let tag = make_tag(seq as u64 + 1, EntryKind::Put);
        table.insert(&key(n * of + from), tag, &VALUE).expect("there is memory");
    }
    table
}

/// Blocks of rows in order, and the index over them.
fn blocks(rows: u64) -> (Vec<Vec<u8>>, Index) {
    let (mut builder, mut index) =
        (BlockBuilder::new(Codec::None, Order::Bytewise), IndexBuilder::new(Order::Bytewise));
    let (mut all, mut end) = (Vec::new(), 0);
    for n in 0..rows {
        builder.add(&key(n), make_tag(1, EntryKind::Put), &VALUE).expect("there is memory");
        if builder.size() + 140 > BLOCK_BYTES || n + 1 == rows {
            let mut block = Vec::new();
            builder.finish(&mut block, 0, |len| len.next_multiple_of(8)).expect("there is memory");
            end += block.len() as u64;
            let next = key(n + 1);
            let next = (n + 1 < rows).then_some(&next[..]);
            index.add(end, &key(n), next).expect("there is memory");
            all.push(block);
        }
    }
    let bytes = index.finish().expect("there is memory");
    (all, Index::open(bytes, &Order::Bytewise, end).expect("it is whole"))
}

fn parsed(bytes: &[u8]) -> Block {
    Block::parse(bytes.to_vec(), &Order::Bytewise, 1, 0).expect("it is whole")
}

#[divan::bench(args = [16, 116, 4096])]
fn record_append(bencher: Bencher, payload: usize) {
    let payload = vec![7; payload];
    let (mut out, mut number) = (Vec::with_capacity(64 << 10), 0);
    bencher.counter(BytesCount::new(payload.len())).bench_local(|| {
        if out.len() > 50 << 10 {
            out.clear();
        }
        number += 1;
        let offset = out.len() as u64;
        append_record(&mut out, 7, offset, RecordKind::Batch, number, 0, black_box(&payload));
    });
}

#[divan::bench(args = [16, 116, 4096])]
fn checksum(bencher: Bencher, len: usize) {
    let bytes = vec![7; len];
    bencher.counter(BytesCount::new(len)).bench_local(|| crc32(black_box(1), black_box(&bytes)));
}

/// What is part of every figure below whose keys take turns.
#[divan::bench]
fn make_a_key(bencher: Bencher) {
    let mut turns = Turns::new(SMALL);
    bencher.bench_local(|| key(turns.next()));
}

#[divan::bench]
fn hash_of_a_key(bencher: Bencher) {
    let key = key(123_456);
    bencher.bench_local(|| hash64(black_box(&key), 0));
}

/// Time of all inserts into an empty memtable.
#[divan::bench(args = [IndexKind::Wide, IndexKind::SkipList], sample_count = 5, sample_size = 1)]
fn memtable_insert(bencher: Bencher, kind: IndexKind) {
    let order = shuffled(LARGE);
    bencher.counter(ItemsCount::new(LARGE)).bench_local(|| {
        let table = MemTable::new(KeyspaceId(0), Order::Bytewise, kind, None);
        for (seq, n) in order.iter().enumerate() {
            let tag = make_tag(seq as u64 + 1, EntryKind::Put);
            table.insert(&key(*n), tag, &VALUE).expect("there is memory");
        }
        table
    });
}

fn memtable_get(bencher: Bencher, kind: IndexKind, rows: u64) {
    let (table, mut turns) = (memtable(kind, rows, 1, 0), Turns::new(rows));
    bencher.bench_local(|| table.get(&key(turns.next()), TAG_MAX).expect("it is there").1.len());
}

#[divan::bench(args = [SMALL, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn memtable_get_wide(bencher: Bencher, rows: u64) {
    memtable_get(bencher, IndexKind::Wide, rows);
}

#[divan::bench(args = [SMALL, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn memtable_get_skip_list(bencher: Bencher, rows: u64) {
    memtable_get(bencher, IndexKind::SkipList, rows);
}

#[divan::bench]
fn block_parse(bencher: Bencher) {
    let (blocks, _) = blocks(SMALL);
    bencher
        .with_inputs(|| blocks[0].clone())
        .bench_local_values(|bytes| Block::parse(bytes, &Order::Bytewise, 1, 0).expect("whole"));
}

/// In one block, which stays in the nearest cache; or in as many as hold `LARGE` rows.
#[divan::bench(args = [36, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn block_search(bencher: Bencher, rows: u64) {
    let (bytes, index) = blocks(rows);
    let blocks: Vec<Block> = bytes.iter().map(|bytes| parsed(bytes)).collect();
    // Where each key is, so that only the block is searched.
    let places: Vec<u32> = (0..rows).map(|n| index.find(&key(n)).unwrap() as u32).collect();
    let mut turns = Turns::new(rows);
    bencher.bench_local(|| {
        let n = turns.next();
        let block = &blocks[places[n as usize] as usize];
        block.find(&Order::Bytewise, &key(n), TAG_MAX).unwrap().0.expect("it is there").value
    });
}

#[divan::bench(args = [SMALL, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn fence_search(bencher: Bencher, rows: u64) {
    let ((_, index), mut turns) = (blocks(rows), Turns::new(rows));
    bencher.bench_local(|| index.find(&key(turns.next())));
}

fn filter_probe(bencher: Bencher, kind: FilterKind, rows: u64) {
    let mut builder = FilterBuilder::new(kind, 10);
    (0..rows).for_each(|n| builder.add(hash64(&key(n), 0)).expect("there is memory"));
    let filter = Filter::open(builder.finish().expect("there is memory"));
    let mut turns = Turns::new(rows);
    bencher.bench_local(|| {
        let key = key(turns.next());
        filter.may_contain(&key, hash64(&key, 0))
    });
}

#[divan::bench(args = [SMALL, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn filter_probe_blocked(bencher: Bencher, rows: u64) {
    filter_probe(bencher, FilterKind::Blocked, rows);
}

#[divan::bench(args = [SMALL, LARGE], sample_count = SAMPLES, sample_size = CALLS)]
fn filter_probe_classic(bencher: Bencher, rows: u64) {
    filter_probe(bencher, FilterKind::Classic, rows);
}

#[divan::bench(sample_count = SAMPLES, sample_size = CALLS)]
fn cache_hit(bencher: Bencher) {
    let (bytes, _) = blocks(LARGE);
    let cache = BlockCache::new(256 << 20);
    let reader = cache.reader_number();
    for (at, bytes) in bytes.iter().enumerate() {
        cache.insert(reader, at as u32, Arc::new(parsed(bytes)));
    }
    let mut turns = Turns::new(bytes.len() as u64);
    bencher.bench_local(|| cache.get(reader, turns.next() as u32).expect("there is room for all"));
}

/// Entries of so many memtables, whose keys take turns.
#[divan::bench(args = [2, 4, 8], sample_count = 10, sample_size = 1)]
fn merge(bencher: Bencher, sources: u64) {
    let rows = 100_000 / sources;
    let tables: Vec<_> =
        (0..sources).map(|from| memtable(IndexKind::Wide, rows, sources, from)).collect();
    bencher.counter(ItemsCount::new(rows * sources)).bench_local(|| {
        let children = tables.iter().map(MemTable::iter).collect();
        let mut merged = MergingIter::new(children, Order::Bytewise);
        let mut bytes = 0;
        merged.seek_to_first().expect("memory");
        while merged.valid() {
            bytes += merged.key().len() + merged.value().len();
            merged.next().expect("memory");
        }
        bytes
    });
}

/// What every get does before it looks anywhere, alone and beside another thread.
#[divan::bench(threads = [1, 2], sample_count = SAMPLES, sample_size = CALLS)]
fn super_version_entry(bencher: Bencher) {
    let retire = Arc::new(RetireList::default());
    let active = MemTable::new(KeyspaceId(0), Order::Bytewise, IndexKind::Wide, None);
    let version = Arc::new(Version::empty(7, Order::Bytewise));
    let cell = StateCell::new(active, Vec::new(), version, retire);
    bencher.bench(|| cell.with(|state| state.active.len()));
}

#[divan::bench]
fn lz4_pack(bencher: Bencher) {
    let (blocks, _) = blocks(SMALL);
    let mut packer = Packer::default();
    bencher
        .counter(BytesCount::new(blocks[0].len()))
        .with_inputs(|| blocks[0].clone())
        .bench_local_values(|mut block| {
            assert!(packer.pack(&mut block, 0).expect("there is memory"));
            block
        });
}

#[divan::bench]
fn lz4_unpack(bencher: Bencher) {
    let (blocks, _) = blocks(SMALL);
    let mut packed = blocks[0].clone();
    assert!(Packer::default().pack(&mut packed, 0).expect("there is memory"));
    let count = BytesCount::new(blocks[0].len());
    bencher.counter(count).bench_local(|| unpack(black_box(&packed)).expect("whole"));
}
