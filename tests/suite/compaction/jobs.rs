//! Flush and compaction from end to end on the simulated kernel.

use super::{KS, apply, fixed, lookup, meta, none};
use crate::memtable::{Entry, Rng, sort, walk};
use esker::internals::compaction::picker::{pick, pick_range, pick_rewrite};
use esker::internals::compaction::plan::{CompactionPlan, Limits};
use esker::internals::compaction::run::run;
use esker::internals::compress::Codec;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::error::{ErrorKind, Result};
use esker::internals::flush::flush_memtables;
use esker::internals::iter::internal::InternalIterator;
use esker::internals::iter::merge::MergingIter;
use esker::internals::job::{Counts, JobContext, Outcome, Outputs};
use esker::internals::key::{EntryKind, make_tag, tag_seq};
use esker::internals::memtable::index::IndexKind;
use esker::internals::memtable::table::MemTable;
use esker::internals::order::Order;
use esker::internals::retire::RetireList;
use esker::internals::sync::{Arc, AtomicBool};
use esker::internals::table::cache::BlockCache;
use esker::internals::table::handle::{TableCache, TableHandle};
use esker::internals::table::level_iter::LevelIter;
use esker::internals::table::meta::{TableMeta, TableOptions};
use esker::internals::table::reader::Access;
use esker::internals::types::SeqNo;
use esker::internals::version::edit::VersionEdit;
use esker::internals::version::levels::Version;
use esker::internals::version::set::FileNumbers;
use std::collections::BTreeSet;

mod outputs;

const DIR: &str = "/db";

fn context(kernel: &Arc<SimKernel>, table_size: u64) -> JobContext {
    let fs = Fs::Sim(kernel.clone());
    fs.make_dir(DIR.as_bytes(), 0o755).unwrap();
    let dir = Arc::new(fs.open_dir(DIR.as_bytes(), 0o644).unwrap());
    dir.sync_parent().unwrap();
    JobContext {
        tables: TableCache::new(dir.clone(), Order::Bytewise, BlockCache::new(1 << 20), 8),
        fs,
        dir,
        numbers: FileNumbers::new(10),
        table_options: vec![TableOptions {
            block_size: 256,
            block_entries: 0,
            filter_bits: 10,
            ..TableOptions::default()
        }],
        table_size,
        retire: Arc::new(RetireList::default()),
    }
}

fn limits(table_size: u64) -> Limits {
    Limits { l0_trigger: 3, level_bytes: 4_000, level_ratio: 3, table_size, ..fixed() }
}

fn go() -> AtomicBool {
    AtomicBool::new(false)
}

/// A frozen memtable with the sequence numbers of `seqs`, and its entries.
fn memtable(seqs: std::ops::Range<SeqNo>, keys: u64, rng: &mut Rng) -> (Arc<MemTable>, Vec<Entry>) {
    let mem = MemTable::new(KS, Order::Bytewise, IndexKind::Wide, None);
    let entries: Vec<Entry> = seqs
        .clone()
        .map(|seq| {
            let key = format!("key{:04}", rng.below(keys)).into_bytes();
            let delete = rng.below(4) == 0;
            let kind = if delete { EntryKind::Delete } else { EntryKind::Put };
            let len = if delete { 0 } else { rng.below(60) as usize };
            (key, make_tag(seq, kind), vec![seq as u8; len])
        })
        .collect();
    for (key, tag, value) in &entries {
        mem.insert(key, *tag, value).unwrap();
    }
    mem.freeze(seqs.end - 1);
    (mem, entries)
}

fn metas(outcome: &Outcome) -> Vec<Arc<TableMeta>> {
    outcome.edit.tables_added.iter().map(|(_, _, meta)| meta.clone()).collect()
}

fn table_entries(ctx: &JobContext, meta: &TableMeta) -> Vec<Entry> {
    let handle = TableHandle::new(meta.clone(), None);
    let mut iter = LevelIter::new(vec![handle], ctx.tables.clone(), Access::Around);
    let mut entries = Vec::new();
    iter.seek_to_first().unwrap();
    while iter.valid() {
        entries.push((iter.key().to_vec(), iter.tag(), iter.value().to_vec()));
        iter.next().unwrap();
    }
    entries
}

fn read_tables<'t>(
    ctx: &JobContext,
    tables: impl IntoIterator<Item = &'t Arc<TableMeta>>,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        tables.into_iter().flat_map(|meta| table_entries(ctx, meta)).collect();
    sort(&mut entries);
    entries
}

fn table_files(kernel: &SimKernel) -> BTreeSet<String> {
    kernel.files(DIR).into_iter().map(|(name, _)| name).collect()
}

fn named(metas: &[Arc<TableMeta>]) -> BTreeSet<String> {
    metas.iter().map(|meta| format!("{}.sst", meta.file)).collect()
}

/// Sorted, disjoint in user keys, and as large as they should be.
fn check_cuts(metas: &[Arc<TableMeta>], table_size: u64) {
    for pair in metas.windows(2) {
        assert!(pair[0].largest < pair[1].smallest, "a user key is in one output only");
        assert!(pair[0].size >= table_size, "only the last output is smaller");
    }
    assert!(metas.iter().all(|meta| meta.size < table_size + 3_000));
}

/// Readers at every boundary, and later ones, find the same.
fn check_same(before: &[Entry], after: &[Entry], boundaries: &[SeqNo]) {
    let keys: BTreeSet<&Vec<u8>> = before.iter().map(|entry| &entry.0).collect();
    for key in keys {
        for &seq in boundaries.iter().chain([&u64::MAX]) {
            let seq = seq.min(1 << 40);
            assert_eq!(lookup(after, key, seq), lookup(before, key, seq), "{key:?} at {seq}");
        }
    }
}

#[test]
fn a_flush_writes_disjoint_durable_tables_that_hold_the_survivors() {
    let mut split = 0;
    for seed in 0..40 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let kernel = SimKernel::new(seed);
        let table_size = 2_000 + rng.below(8_000);
        let ctx = context(&kernel, table_size);
        let (mut mems, mut before, mut seq) = (Vec::new(), Vec::new(), 1);
        for _ in 0..1 + rng.below(3) {
            let next = seq + 1 + rng.below(400);
            let (mem, entries) = memtable(seq..next, 150, &mut rng);
            mems.push(mem);
            before.extend(entries);
            seq = next;
        }
        let snapshots: BTreeSet<SeqNo> = (0..rng.below(3)).map(|_| rng.below(seq)).collect();
        let boundaries: Vec<SeqNo> = snapshots.into_iter().chain([seq]).collect();
        let outcome = flush_memtables(&ctx, &mems, &boundaries, &go()).unwrap();
        let metas = metas(&outcome);
        assert!(outcome.edit.tables_added.iter().all(|added| (added.0, added.1) == (KS, 0)));
        let added_only =
            VersionEdit { tables_added: outcome.edit.tables_added.clone(), ..Default::default() };
        assert_eq!(outcome.edit, added_only);
        check_cuts(&metas, table_size);
        split += usize::from(metas.len() > 1);
        assert_eq!(outcome.bytes_written, metas.iter().map(|meta| meta.size).sum::<u64>());
        assert_eq!(outcome.entries_in, before.len() as u64);

        // All of it survives a power cut the moment the flush returns.
        let kernel = kernel.crash(CrashPolicy::OnlySynced, seed);
        let ctx = context(&kernel, table_size);
        assert_eq!(table_files(&kernel), named(&metas));
        let after = read_tables(&ctx, &metas);
        assert_eq!(after.len() as u64, outcome.entries_out);
        check_same(&before, &after, &boundaries);
    }
    assert!(split > 10, "some flushes must be cut");
}

#[test]
fn a_flush_of_nothing_is_nothing() {
    let kernel = SimKernel::new(1);
    let ctx = context(&kernel, 1_000);
    assert_eq!(flush_memtables(&ctx, &[], &[5], &go()).unwrap().edit, VersionEdit::default());
    let empty = MemTable::new(KS, Order::Bytewise, IndexKind::Wide, None);
    let outcome = flush_memtables(&ctx, &[empty], &[5], &go()).unwrap();
    assert_eq!((outcome.edit, outcome.entries_in), (VersionEdit::default(), 0));
    assert!(table_files(&kernel).is_empty());
}

#[test]
fn versions_of_one_key_stay_in_one_table() {
    let kernel = SimKernel::new(1);
    let ctx = context(&kernel, 1_000);
    let mem = MemTable::new(KS, Order::Bytewise, IndexKind::Wide, None);
    for seq in 1..=200 {
        let key = if seq % 2 == 0 { b"hot".to_vec() } else { format!("k{seq:03}").into_bytes() };
        mem.insert(&key, make_tag(seq, EntryKind::Put), &[7; 50]).unwrap();
    }
    let every: Vec<SeqNo> = (1..=200).collect();
    let outcome = flush_memtables(&ctx, &[mem], &every, &go()).unwrap();
    assert_eq!((outcome.entries_in, outcome.entries_dropped), (200, 0));
    let metas = metas(&outcome);
    assert!(metas.len() > 2);
    let hot =
        |meta: &&Arc<TableMeta>| table_entries(&ctx, meta).iter().any(|entry| entry.0 == b"hot");
    assert_eq!(metas.iter().filter(hot).count(), 1);
}

#[test]
fn memtables_of_two_keyspaces_are_not_flushed_together() {
    let ctx = context(&SimKernel::new(1), 1_000);
    let mems = [0, 1].map(|id| {
        MemTable::new(
            esker::internals::types::KeyspaceId(id),
            Order::Bytewise,
            IndexKind::Wide,
            None,
        )
    });
    let error = flush_memtables(&ctx, &mems, &[5], &go()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

/// A tree with its jobs, as the engine runs them.
struct Tree {
    kernel: Arc<SimKernel>,
    ctx: JobContext,
    version: Version,
    cursors: Vec<Arc<Vec<u8>>>,
    /// Every entry ever written.
    history: Vec<Entry>,
    seq: SeqNo,
}

impl Tree {
    fn new(seed: u64, table_size: u64) -> Tree {
        let kernel = SimKernel::new(seed);
        let ctx = context(&kernel, table_size);
        let (cursors, history) = (vec![Arc::default(); 5], Vec::new());
        Tree { kernel, ctx, version: Version::empty(5, Order::Bytewise), cursors, history, seq: 1 }
    }

    fn install(&mut self, outcome: &Outcome) {
        self.version = apply(&self.version, &outcome.edit);
        for (_, level, key) in &outcome.edit.cursors {
            self.cursors[usize::from(*level)] = Arc::clone(key);
        }
    }

    fn flush(&mut self, writes: u64, keys: u64, snapshots: &[SeqNo], rng: &mut Rng) {
        let (mem, entries) = memtable(self.seq..self.seq + writes, keys, rng);
        self.seq += writes;
        self.history.extend(entries);
        let boundaries = self.boundaries(snapshots);
        let outcome = flush_memtables(&self.ctx, &[mem], &boundaries, &go()).unwrap();
        self.install(&outcome);
    }

    fn boundaries(&self, snapshots: &[SeqNo]) -> Vec<SeqNo> {
        snapshots.iter().copied().chain([self.seq - 1]).collect()
    }

    fn run(&mut self, plan: &CompactionPlan, snapshots: &[SeqNo]) -> Outcome {
        let boundaries = self.boundaries(snapshots);
        let outcome = run(&self.ctx, &self.version, plan, &boundaries, &go()).unwrap();
        self.install(&outcome);
        outcome
    }

    fn limits(&self) -> Limits {
        limits(self.ctx.table_size)
    }

    fn pick(&self) -> Option<CompactionPlan> {
        pick(&self.version, &self.limits(), &self.cursors, KS, &none())
    }

    fn entries(&self) -> Vec<Entry> {
        read_tables(&self.ctx, self.version.tables().map(|table| &table.meta))
    }

    fn check(&self, snapshots: &[SeqNo]) {
        check_same(&self.history, &self.entries(), &self.boundaries(snapshots));
    }
}

#[test]
fn compactions_change_nothing_that_a_reader_can_see() {
    let mut levels = BTreeSet::new();
    for seed in 0..12 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut tree = Tree::new(seed, 1_500);
        let mut snapshots: Vec<SeqNo> = if seed % 4 == 0 { vec![0] } else { vec![] };
        for round in 0..25 {
            tree.flush(1 + rng.below(120), 200, &snapshots, &mut rng);
            if rng.below(4) == 0 {
                snapshots.push(tree.seq - 1);
            }
            if !snapshots.is_empty() && rng.below(5) == 0 {
                snapshots.remove(rng.below(snapshots.len() as u64) as usize);
            }
            while let Some(plan) = tree.pick() {
                let outcome = tree.run(&plan, &snapshots);
                levels.insert((plan.output_level, plan.trivial_move));
                if !plan.trivial_move {
                    assert_eq!(outcome.bytes_read, plan.bytes());
                    assert_eq!(outcome.entries_in, outcome.entries_out + outcome.entries_dropped);
                }
            }
            if round % 5 == 4 {
                tree.check(&snapshots);
            }
        }
    }
    assert!(levels.contains(&(1, false)) && levels.contains(&(2, false)), "{levels:?}");
}

#[test]
fn a_whole_tree_moves_like_one_sorted_vector() {
    for seed in 0..8 {
        println!("seed {seed}");
        let mut rng = Rng::new(seed);
        let mut tree = Tree::new(seed, 1_500);
        let mut snapshots = vec![];
        for _ in 0..12 {
            tree.flush(1 + rng.below(120), 150, &snapshots, &mut rng);
            snapshots.extend((rng.below(2) == 0).then_some(tree.seq - 1));
            while let Some(plan) = tree.pick() {
                tree.run(&plan, &snapshots);
            }
            let level = |tables: Vec<Arc<TableHandle>>| {
                LevelIter::new(tables, tree.ctx.tables.clone(), Access::Cached)
            };
            let mut children: Vec<LevelIter> =
                tree.version.level(0).iter().map(|table| level(vec![table.clone()])).collect();
            children.extend((1..5).map(|n| level(tree.version.level(n).to_vec())));
            walk(&mut MergingIter::new(children, Order::Bytewise), &tree.entries(), &mut rng, 400);
        }
    }
}

#[test]
fn a_full_compaction_leaves_the_newest_puts_with_sequence_0_only() {
    for snapshots in [vec![], vec![0]] {
        let mut rng = Rng::new(5);
        let mut tree = Tree::new(5, 1_500);
        for _ in 0..6 {
            tree.flush(100, 80, &snapshots, &mut rng);
        }
        for level in 0..4 {
            while let Some(plan) =
                pick_range(&tree.version, level, None, None, KS, &tree.limits(), &none())
            {
                tree.run(&plan, &snapshots);
            }
        }
        assert_eq!(tree.version.tables().count(), tree.version.level(4).len());
        let after_first_snapshot = !snapshots.is_empty();
        for (_, tag, _) in tree.entries() {
            assert!(tag & 0xff == 1 || after_first_snapshot, "no deletes at the bottom");
            assert_eq!(tag_seq(tag) == 0, !after_first_snapshot);
        }
        tree.check(&snapshots);
    }
}

#[test]
fn a_rewrite_drops_what_a_snapshot_kept_alive() {
    let mut rng = Rng::new(9);
    let mut tree = Tree::new(9, 1_500);
    tree.flush(150, 60, &[], &mut rng);
    let snapshot = [tree.seq - 1];
    tree.flush(150, 60, &snapshot, &mut rng);
    let plan = pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
    tree.run(&plan, &snapshot);
    let kept = tree.entries().len();
    let mut from = Vec::new();
    while let Some(plan) =
        pick_rewrite(&tree.version, 1, Some(&from), None, KS, &tree.limits(), &none())
    {
        // Just behind the largest key.
        from = [plan.input_range().unwrap().1, &[0]].concat();
        let outcome = tree.run(&plan, &[]);
        assert!(outcome.edit.cursors.is_empty());
    }
    assert!(tree.entries().len() < kept && tree.entries().iter().all(|entry| entry.1 == 1));
    tree.check(&[]);
}

#[test]
fn a_move_makes_no_system_call() {
    let mut rng = Rng::new(2);
    let mut tree = Tree::new(2, 100_000);
    tree.flush(50, 40, &[], &mut rng);
    let mut plan = pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
    plan.trivial_move = true;
    let before = CallKind::ALL.map(|call| tree.kernel.count(call));
    let entries = tree.entries();
    let read = CallKind::ALL.map(|call| tree.kernel.count(call));
    let outcome = tree.run(&plan, &[]);
    assert_eq!(CallKind::ALL.map(|call| tree.kernel.count(call)), read);
    assert_ne!(before, read, "the counters count");
    assert_eq!((outcome.bytes_written, outcome.edit.tables_added.len()), (0, 1));
    assert_eq!((tree.version.level(0).len(), tree.version.level(1).len()), (0, 1));
    assert_eq!(tree.entries(), entries);
}

/// Runs `job` once for every system call it makes, with that call failing.
fn fail_everywhere(build: &dyn Fn() -> (Arc<SimKernel>, JobContext, Job)) {
    let calls = [
        CallKind::Create,
        CallKind::Pwrite,
        CallKind::Fdatasync,
        CallKind::Fsync,
        CallKind::Open,
        CallKind::Pread,
    ];
    for call in calls {
        let mut fired = 0;
        for nth in 1.. {
            let (kernel, ctx, job) = build();
            let files = table_files(&kernel);
            kernel.set_fault(Fault { call, nth, errno: ENOSPC, forever: false, short: false });
            let result = job(&ctx);
            let hit = kernel.faults_fired() > 0;
            kernel.clear_faults();
            if !hit {
                result.unwrap();
                break;
            }
            fired += 1;
            let error = result.err().unwrap_or_else(|| panic!("{call:?} {nth} was ignored"));
            assert_eq!(error.detail().os_errno, ENOSPC, "{call:?} {nth}: {error}");
            assert_eq!(table_files(&kernel), files, "{call:?} {nth} left a file behind");
            assert!(ctx.retire.take().tables.is_empty());
            job(&ctx).unwrap();
        }
        assert!(fired > 0, "{call:?} is never made");
    }
}

type Job = Box<dyn Fn(&JobContext) -> Result<Outcome>>;

/// The suite does not depend on libc.
const ENOSPC: i32 = 28;

fn flush_job() -> (Arc<SimKernel>, JobContext, Job) {
    let kernel = SimKernel::new(4);
    let ctx = context(&kernel, 2_000);
    let (mem, _) = memtable(1..120, 500, &mut Rng::new(4));
    let job =
        move |ctx: &JobContext| flush_memtables(ctx, std::slice::from_ref(&mem), &[200], &go());
    (kernel, ctx, Box::new(job))
}

fn compaction_job() -> (Arc<SimKernel>, JobContext, Job) {
    let mut rng = Rng::new(6);
    let mut tree = Tree::new(6, 2_500);
    for _ in 0..3 {
        tree.flush(60, 100, &[], &mut rng);
    }
    let plan = tree.pick().unwrap();
    assert!(plan.inputs.len() == 3 && !plan.trivial_move);
    let version = tree.version.clone();
    let job = move |ctx: &JobContext| run(ctx, &version, &plan, &[1_000], &go());
    (tree.kernel, tree.ctx, Box::new(job))
}

#[test]
fn a_failing_flush_leaves_no_file_and_can_be_repeated() {
    fail_everywhere(&flush_job);
}

#[test]
fn a_failing_compaction_leaves_no_file_and_can_be_repeated() {
    fail_everywhere(&compaction_job);
}

#[test]
fn a_cancelled_job_leaves_no_file() {
    let cancelled = AtomicBool::new(true);
    let kernel = SimKernel::new(1);
    let ctx = context(&kernel, 2_000);
    let (mem, _) = memtable(1..120, 500, &mut Rng::new(4));
    let error = flush_memtables(&ctx, &[mem], &[200], &cancelled).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(table_files(&kernel).is_empty());
}

#[test]
fn an_output_that_cannot_be_removed_goes_to_the_cleanup_thread() {
    let (kernel, ctx, job) = flush_job();
    let fault = Fault { call: CallKind::Fsync, nth: 1, errno: 5, forever: false, short: false };
    kernel.set_fault(fault);
    kernel.set_fault(Fault { call: CallKind::Unlink, nth: 1, errno: 30, forever: true, ..fault });
    let error = job(&ctx).unwrap_err();
    assert_eq!(error.detail().os_errno, 5, "the job's own error is the one reported");
    let tables = ctx.retire.take().tables;
    assert!(tables.len() > 1);
    let left: BTreeSet<String> = tables.iter().map(|number| format!("{number}.sst")).collect();
    assert_eq!(left, table_files(&kernel));
}

#[test]
fn counts_that_do_not_add_up_stop_the_job() {
    let good = Counts { entries_in: 5, entries_out: 3, entries_dropped: 2 };
    let finish = |entries: u64, counts: Counts| {
        let kernel = SimKernel::new(1);
        let ctx = context(&kernel, 2_000);
        let mut outputs = Outputs::new(&ctx, KS, 0);
        for key in [b"a", b"b", b"c"] {
            outputs.add(key, make_tag(1, EntryKind::Put), b"v").unwrap();
        }
        let result = outputs.finish("test", entries, counts);
        (result.map(|_| ()).map_err(|error| error.kind()), table_files(&kernel).len())
    };
    assert_eq!(finish(5, good), (Ok(()), 1));
    let wrong = (Err(ErrorKind::Corrupt), 0);
    assert_eq!(finish(6, good), wrong, "an input held more");
    assert_eq!(finish(5, Counts { entries_dropped: 1, ..good }), wrong, "one went nowhere");
    let wrote_less = Counts { entries_out: 4, entries_dropped: 1, ..good };
    assert_eq!(finish(5, wrote_less), wrong, "the output holds less");
}

#[test]
fn a_damaged_input_stops_the_compaction() {
    let (kernel, ctx, job) = compaction_job();
    let files = kernel.files(DIR);
    kernel.corrupt(DIR, &files[0].0, 100, 0x40);
    assert_eq!(job(&ctx).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(table_files(&kernel).len(), files.len());
}

#[test]
fn tables_are_compressed_where_no_table_lies_below() {
    let bytes_written = |codec: Codec, below: bool| {
        let mut rng = Rng::new(3);
        let mut tree = Tree::new(3, 100_000);
        tree.ctx.table_options[0].block_size = 4096;
        tree.ctx.table_options[0].codec = codec;
        tree.flush(300, 300, &[], &mut rng);
        tree.flush(300, 300, &[], &mut rng);
        if below {
            // Never read: that it is there counts, wherever its keys are.
            let added = (KS, 3, meta(1_000, "z0", "z1", 5_000).into());
            let edit = VersionEdit { tables_added: vec![added], ..VersionEdit::default() };
            tree.version = apply(&tree.version, &edit);
        }
        let plan = pick_range(&tree.version, 0, None, None, KS, &tree.limits(), &none()).unwrap();
        let outcome = run(&tree.ctx, &tree.version, &plan, &[tree.seq], &go()).unwrap();
        outcome.bytes_written
    };
    let raw = bytes_written(Codec::None, false);
    assert_eq!(bytes_written(Codec::Lz4, true), bytes_written(Codec::None, true));
    let packed = bytes_written(Codec::Lz4, false);
    assert!(packed < raw * 3 / 4, "{packed} bytes, raw {raw}");
}
