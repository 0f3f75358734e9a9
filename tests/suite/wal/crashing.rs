//! The crash loop: random lives on a simulated kernel, each ended by a kill or a power cut anywhere, also
//! in the middle of a call. What recovery brings back must be a prefix of what was appended, with
//! everything that was synced, and recovery must never refuse.
//!
//! The manifest is played by the test: what it says changes at once and whole, which the manifest's own
//! crash tests establish.

use super::{DB_ID, PATH, Rig, batch, name, open_dir, report};
use esker::internals::env::path::FileKind;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::record::format::record_len;
use esker::internals::sync::Arc;
use esker::internals::types::{FileNum, SeqNo};
use esker::internals::wal::format::CloseMark;
use esker::internals::wal::prepare::can_recycle;
use esker::internals::wal::recover::{LogFacts, Recovered, decide, replay};
use std::collections::{BTreeMap, BTreeSet};

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// What the manifest would say.
#[derive(Clone, Default)]
struct Manifest {
    listed: Vec<(FileNum, u32)>,
    voided: BTreeSet<FileNum>,
    floor: u64,
    durable: BTreeMap<FileNum, u64>,
    close: Option<CloseMark>,
    next_number: u64,
    last_seq: SeqNo,
}

/// A batch as the oracle remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    seq: SeqNo,
    bytes: Vec<u8>,
    log: FileNum,
}

/// What was appended since the floor.
#[derive(Default)]
struct Truth {
    certain: Vec<Entry>,
    /// Groups whose append failed: any prefix of one may come back, but nothing behind it. With the number
    /// of certain entries before it.
    failed: Vec<(usize, Vec<Entry>)>,
    synced: SeqNo,
}

impl Truth {
    /// Checks what came back; from then on only that happened.
    fn check(&mut self, got: Vec<Entry>, seed: u64) {
        let same = got.iter().zip(&self.certain).take_while(|(a, b)| a == b).count();
        let rest = &got[same..];
        let of_failed = |(at, group): &(usize, Vec<Entry>)| *at == same && group.starts_with(rest);
        let legal = rest.is_empty() || self.failed.iter().any(of_failed);
        assert!(legal, "seed {seed}: not a prefix: {got:?} of {:?}", self.certain);
        let last = got.last().map_or(0, |entry| entry.seq);
        let synced = self.certain.iter().rev().find(|entry| entry.seq <= self.synced);
        let needed = synced.map_or(0, |entry| entry.seq);
        assert!(last >= needed, "seed {seed}: {needed} was synced, got {last}");
        self.certain = got;
        self.failed.clear();
    }
}

#[derive(Default)]
struct Counts {
    lives: u64,
    dropped: u64,
    closed: u64,
    failed: u64,
    frozen: u64,
    recycled: u64,
}

/// A database across its lives.
struct World {
    seed: u64,
    dice: Dice,
    kernel: Arc<SimKernel>,
    manifest: Manifest,
    truth: Truth,
    counts: Counts,
}

impl World {
    fn new(seed: u64) -> World {
        let kernel = SimKernel::new(seed);
        kernel.make_dir(PATH.as_bytes(), 0o700).expect("a fresh kernel");
        kernel.sync_all();
        World {
            seed,
            dice: Dice(seed),
            kernel,
            manifest: Manifest { next_number: 1, ..Manifest::default() },
            truth: Truth::default(),
            counts: Counts::default(),
        }
    }

    fn logs_in_directory(&self) -> Vec<FileNum> {
        let (_, dir) = open_dir(&self.kernel);
        let names = dir.list().expect("the directory is there");
        let log = |name: &Vec<u8>| match FileKind::parse(name) {
            Some(FileKind::Log(number)) => Some(number),
            _ => None,
        };
        names.iter().filter_map(log).collect()
    }

    fn facts(&self) -> LogFacts {
        let m = &self.manifest;
        let listed: Vec<_> = m.listed.clone();
        let unlisted = self.logs_in_directory().into_iter().filter(|number| {
            let known = listed.iter().any(|(n, _)| n == number) || m.voided.contains(number);
            !known && number.0 >= m.floor
        });
        LogFacts {
            last_seq: m.last_seq,
            unlisted: unlisted.collect(),
            listed,
            db_id: DB_ID,
            manifest_durable: m.durable.iter().map(|(n, d)| (*n, *d)).collect(),
            close: m.close,
            flushed: Vec::new(),
            keyspaces: 1,
            ..LogFacts::default()
        }
    }

    /// Recovers and asks the oracle.
    fn recover(&mut self) -> (Recovered, LogFacts) {
        let facts = self.facts();
        let (_, dir) = open_dir(&self.kernel);
        let seed = self.seed;
        let recovered = decide(&dir, &facts)
            .unwrap_or_else(|error| panic!("seed {seed}: a legal image was refused: {error}"));
        let mut got = Vec::new();
        replay(&dir, &recovered, &facts, &mut |log, seq, bytes| {
            got.push(Entry { seq, bytes: bytes.to_vec(), log });
            Ok(())
        })
        .unwrap_or_else(|error| panic!("seed {seed}: replay: {error}"));
        let highest = got.last().map_or(0, |entry| entry.seq);
        assert!(recovered.max_seq >= highest, "seed {seed}: a sequence would be used again");
        self.counts.dropped += u64::from(recovered.dropped_bytes > 0);
        self.truth.check(got, seed);
        (recovered, facts)
    }

    /// The first change after a recovery: lists what counts and voids the rest.
    fn first_manifest(&mut self, recovered: &Recovered) {
        let here = self.logs_in_directory();
        let m = &mut self.manifest;
        m.listed = recovered.counted.iter().map(|tail| (tail.number, tail.salt)).collect();
        let counts = |n: &FileNum| recovered.counted.iter().any(|tail| tail.number == *n);
        m.voided.extend(here.iter().filter(|n| n.0 >= m.floor && !counts(n)));
        let highest = here.iter().map(|n| n.0).max().unwrap_or(0);
        m.next_number = m.next_number.max(highest + 1);
        m.last_seq = m.last_seq.max(recovered.max_seq);
        m.close = None;
    }

    /// One life: recovery, random operations, an end.
    fn live(&mut self) {
        self.counts.lives += 1;
        let (recovered, facts) = self.recover();
        let seq = self.manifest.last_seq.max(recovered.max_seq);
        let (kernel, number) = (Arc::clone(&self.kernel), self.manifest.next_number);
        let rig = Rig::open(kernel, facts, recovered.counted.clone(), number, seq);
        let mut life = Life { world: self, rig, recovered, fresh: true, sync_failed: false };
        life.run();
        let Life { rig, sync_failed, .. } = life;
        self.manifest.last_seq = self.manifest.last_seq.max(rig.seq);
        self.counts.frozen += u64::from(self.kernel.frozen());
        let mut policy = CrashPolicy::ALL[self.dice.below(7) as usize];
        if sync_failed && matches!(policy, CrashPolicy::Kill | CrashPolicy::KillTorn) {
            // The kernel still shows the pages that it failed to write, and calls them clean: no later
            // process of this boot can tell. See "Limits" in docs/DURABILITY.md.
            policy = CrashPolicy::RandomPages;
        }
        self.kernel = self.kernel.crash(policy, self.dice.next());
    }
}

struct Life<'w> {
    world: &'w mut World,
    rig: Rig,
    recovered: Recovered,
    /// The manifest still is the one of the life before.
    fresh: bool,
    sync_failed: bool,
}

impl Life<'_> {
    fn run(&mut self) {
        if self.world.dice.below(3) == 0 {
            let calls = self.world.dice.below(30);
            self.rig.kernel.freeze_after(calls);
        }
        for _ in 0..self.world.dice.below(25) {
            let alive = match self.world.dice.below(20) {
                0..=9 => self.append(),
                10..=12 => self.sync(),
                13 => self.rotate(),
                14 => self.fail_next_write(),
                15..=16 => self.flush(),
                17 => self.remove_obsolete(),
                18 => self.note_durable(),
                _ => self.world.dice.below(4) > 0 || self.close(),
            };
            if !alive || self.rig.kernel.frozen() {
                return;
            }
        }
    }

    fn edit(&mut self, change: impl FnOnce(&mut Manifest)) {
        if std::mem::take(&mut self.fresh) {
            self.world.first_manifest(&self.recovered);
        }
        change(&mut self.world.manifest);
    }

    /// Prepares, lists and starts the next log; false when the life is over.
    fn rotate(&mut self) -> bool {
        self.edit(|_| {});
        self.rig.next_number = self.world.manifest.next_number;
        self.edit(|m| m.next_number += 1);
        let bytes = [600, 600, 5_000][self.world.dice.below(3) as usize];
        let made = match self.spare(bytes) {
            Some(old) => self.rig.recycle(old.0, bytes),
            None => self.rig.prepare(bytes),
        };
        let Ok(log) = made else { return !self.rig.kernel.frozen() };
        self.world.counts.recycled += u64::from(log.recycled);
        let listed = (log.number, log.salt);
        self.edit(|m| m.listed.push(listed));
        if self.rig.writer.start(log, self.rig.seq).is_err() {
            self.world.counts.failed += 1;
        }
        true
    }

    /// A freed log whose file can be used again, whether its bytes are on disk or not.
    fn spare(&mut self, bytes: u64) -> Option<FileNum> {
        let here = self.world.logs_in_directory().into_iter();
        let mut freed = here.filter(|number| number.0 < self.world.manifest.floor);
        let dir = &self.rig.dir;
        freed.find(|number| can_recycle(dir, *number, bytes).unwrap_or(false))
    }

    fn append(&mut self) -> bool {
        let sizes: Vec<u64> =
            (0..=self.world.dice.below(3)).map(|_| self.world.dice.below(400)).collect();
        let group: Vec<_> = sizes.iter().map(|len| batch("key", *len as usize)).collect();
        if self.world.dice.below(8) == 0 {
            // Burned, or used by unlogged writes.
            self.rig.seq += 3;
        }
        if !self.rig.writer.fits(group.iter().map(|b| record_len(b.len())).sum()) {
            self.rotate();
        }
        let Some(log) = self.rig.writer.current() else { return !self.rig.kernel.frozen() };
        let first = self.rig.seq + 1;
        let outcome = self.rig.append(&group);
        let entry = |(i, bytes)| Entry { seq: first + i as u64, bytes, log };
        let entries = group.into_iter().enumerate().map(entry);
        let truth = &mut self.world.truth;
        match outcome {
            Ok(()) => truth.certain.extend(entries),
            Err(_) => {
                truth.failed.push((truth.certain.len(), entries.collect()));
                self.world.counts.failed += 1;
            }
        }
        true
    }

    /// A failed sync ends the life: the database would be read-only.
    fn sync(&mut self) -> bool {
        if self.rig.sync.sync(|_| ()).is_err() {
            self.sync_failed = true;
            return false;
        }
        self.world.truth.synced = self.world.truth.certain.last().map_or(0, |entry| entry.seq);
        if self.world.dice.below(3) > 0 && self.rig.writer.stamp_if_useful().is_err() {
            self.world.counts.failed += 1;
        }
        true
    }

    /// Half a write, or half a write and an error; sometimes a sync that fails.
    fn fail_next_write(&mut self) -> bool {
        let kinds = [CallKind::Pwrite, CallKind::Pwrite, CallKind::Pwrite, CallKind::Fdatasync];
        let call = kinds[self.world.dice.below(4) as usize];
        let errno = [5, 28][self.world.dice.below(2) as usize];
        let short = self.world.dice.below(2) == 0;
        self.rig.kernel.set_fault(Fault { call, nth: 1, errno, forever: false, short });
        true
    }

    /// Everything so far goes to tables; the floor rises to the current log.
    fn flush(&mut self) -> bool {
        let Some(current) = self.rig.writer.current() else { return true };
        let in_older = self.world.truth.certain.iter().filter(|entry| entry.log < current).count();
        if self.world.truth.failed.iter().any(|(at, _)| *at < in_older) {
            // The oracle counts positions; a failed group among them is easier to leave alone.
            return true;
        }
        self.edit(|m| {
            m.floor = m.floor.max(current.0);
            m.listed.retain(|(number, _)| *number >= current);
        });
        let truth = &mut self.world.truth;
        truth.certain.drain(..in_older);
        for (at, _) in &mut truth.failed {
            *at -= in_older;
        }
        truth.failed.retain(|(_, group)| group.iter().all(|entry| entry.log >= current));
        self.rig.sync.forget_below(current);
        true
    }

    fn remove_obsolete(&mut self) -> bool {
        if self.fresh {
            return true;
        }
        let m = &self.world.manifest;
        for number in self.world.logs_in_directory() {
            let obsolete = number.0 < m.floor || m.voided.contains(&number);
            if obsolete && self.rig.dir.unlink(&name(number.0)).is_err() {
                return false;
            }
        }
        true
    }

    fn note_durable(&mut self) -> bool {
        let point = self.rig.sync.durable_point();
        self.edit(|m| m.durable.extend(point));
        true
    }

    fn close(&mut self) -> bool {
        match self.rig.writer.close(self.rig.seq) {
            Ok(Some((log, length))) => {
                let mark = CloseMark { log, length, last_seq: self.rig.seq };
                self.edit(|m| m.close = Some(mark));
                self.world.truth.synced = self.rig.seq;
                self.world.counts.closed += 1;
            }
            Ok(None) => {}
            Err(_) => self.sync_failed = true,
        }
        false
    }
}

#[test]
fn every_crash_leaves_a_prefix_with_everything_synced() {
    let seeds = 0..3000;
    report(&format!("wal: crash loop, seeds {seeds:?}"));
    let mut sum = Counts::default();
    for seed in seeds {
        let mut world = World::new(seed);
        for _ in 0..=world.dice.below(5) {
            world.live();
        }
        world.recover();
        let c = &world.counts;
        sum.lives += c.lives;
        sum.dropped += c.dropped;
        sum.closed += c.closed;
        sum.failed += c.failed;
        sum.frozen += c.frozen;
        sum.recycled += c.recycled;
    }
    report(&format!(
        "wal: {} lives, {} with dropped bytes, {} closed, {} failed writes, {} frozen, {} recycled logs",
        sum.lives, sum.dropped, sum.closed, sum.failed, sum.frozen, sum.recycled
    ));
    assert!(sum.recycled > 200, "{}", sum.recycled);
    assert!(sum.dropped > 500 && sum.closed > 50 && sum.failed > 200 && sum.frozen > 500);
}

#[test]
fn two_recoveries_of_the_same_files_decide_the_same() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.live();
        let (first, _) = world.recover();
        world.kernel = world.kernel.crash(CrashPolicy::Kill, seed);
        let (second, _) = world.recover();
        assert_eq!(first, second, "seed {seed}");
    }
}
