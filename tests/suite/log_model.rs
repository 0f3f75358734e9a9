//! The rules of the log as an abstract model, run over random histories.
//!
//! No bytes and no files: a log is a list of records, an offset is an index into it, a power cut loses any
//! subset of the records that no sync covered. Two keyspaces; random groups, syncs, rotations with and
//! without logs prepared ahead, recycled files, flushes and clean-ups; kills, power cuts, and crashes inside
//! every manifest edit and between any two steps; up to five lives. Recovery decides by rules D8 to D10 of
//! docs/DURABILITY.md, and an oracle that knows the whole history checks that a prefix of it came back, with
//! every synced batch.
//!
//! Each rule has a variant that leaves it out. A variant must be caught, or the model proves nothing.

mod disk;

use disk::{Disk, Kind, Log, LogNumber, Manifest, Record, Seq, Tail, Truth};
use std::collections::BTreeSet;
use std::io::Write;

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// A LOG START counts as evidence for its predecessor.
    Predecessor,
    /// A sync covers only the newest log.
    Newest,
    /// A flush of one of two keyspaces does not sync the logs first.
    FlushOvertakesLog,
    /// Dropped logs are not voided.
    NoVoid,
    /// A freed log gets a new name before the edit with its floor is durable.
    EarlyRecycling,
}

/// Why a history ended.
#[derive(Debug)]
enum Stop {
    Crash,
    /// Recovery refused an image that can really happen.
    Refused(String),
    /// What came back is not a prefix with every synced batch.
    Broken(String),
}

type Outcome<T> = Result<T, Stop>;

struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        // splitmix64, so that neighbouring seeds give unrelated histories.
        let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Rng((z ^ (z >> 31)) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// 0 <= x < 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 0 <= x < n.
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// One life of the database.
struct Process<'d> {
    disk: &'d mut Disk,
    rng: &'d mut Rng,
    truth: &'d mut Truth,
    bug: Bug,
    crash_chance: f64,
    counted: Vec<Tail>,
    mem: [Vec<Seq>; 2],
    first_log: [Option<LogNumber>; 2],
    seq: Seq,
    current: Option<LogNumber>,
    /// Listed, to be the next one.
    prepared: Option<LogNumber>,
    current_durable: usize,
    unsynced: Vec<LogNumber>,
    /// No manifest edit in this life yet.
    fresh: bool,
}

impl<'d> Process<'d> {
    /// Recovers, and asks the oracle about the result.
    fn open(
        disk: &'d mut Disk,
        rng: &'d mut Rng,
        truth: &'d mut Truth,
        bug: Bug,
    ) -> Outcome<Process<'d>> {
        let listed = disk.listed();
        disk.check_listing(&listed)?;
        let mut seen = disk.scan(&listed, bug);
        disk.evidence_of_later_logs(&mut seen)?;
        let counted = disk.decide(&seen)?;
        let seq = disk.highest_seq(&listed);
        let unsynced = counted.iter().map(|t| t.number).collect();
        let mut process = Process {
            disk,
            rng,
            truth,
            bug,
            crash_chance: 0.0,
            counted,
            mem: [Vec::new(), Vec::new()],
            first_log: [None, None],
            seq,
            current: None,
            prepared: None,
            current_durable: 0,
            unsynced,
            fresh: true,
        };
        process.replay();
        process.ask_the_oracle()?;
        Ok(process)
    }

    fn replay(&mut self) {
        let mut last = 0;
        for tail in &self.counted {
            for record in self.disk.logs[&tail.number].records[..tail.len].iter().flatten() {
                let Kind::Batch(ops) = &record.kind else { continue };
                assert!(record.seq > last, "sequences ascend");
                last = record.seq;
                for &(seq, keyspace) in ops {
                    if seq > self.disk.manifest.flushed[keyspace] {
                        self.mem[keyspace].push(seq);
                        self.first_log[keyspace].get_or_insert(self.counted[0].number);
                    }
                }
            }
        }
    }

    /// Finds the prefix of the history that came back; the rest never happened.
    fn ask_the_oracle(&mut self) -> Outcome<()> {
        let got: Vec<BTreeSet<Seq>> = (0..2)
            .map(|k| self.mem[k].iter().chain(&self.disk.manifest.tables[k]).copied().collect())
            .collect();
        let history = &mut self.truth.history;
        let of_prefix = |cut: usize| -> Vec<BTreeSet<Seq>> {
            let mut want = vec![BTreeSet::new(), BTreeSet::new()];
            for (first, keyspaces) in &history[..cut] {
                for (i, k) in keyspaces.iter().enumerate() {
                    want[*k].insert(first + i as u64);
                }
            }
            want
        };
        let Some(cut) = (0..=history.len()).rev().find(|cut| of_prefix(*cut) == got) else {
            return Err(Stop::Broken(format!("{got:?} is no prefix of {history:?}")));
        };
        let last = if cut == 0 { 0 } else { history[cut - 1].0 };
        if last < self.truth.synced {
            return Err(Stop::Broken(format!("{} was synced, got {last}", self.truth.synced)));
        }
        history.truncate(cut);
        Ok(())
    }

    /// A place where the process may die.
    fn step(&mut self) -> Outcome<()> {
        if self.rng.unit() < self.crash_chance { Err(Stop::Crash) } else { Ok(()) }
    }

    /// One manifest edit; the first of a life lists the logs that count and voids the others.
    fn edit(&mut self, change: impl FnOnce(&mut Manifest), new: Option<LogNumber>) -> Outcome<()> {
        let mut m = self.disk.manifest.clone();
        if self.fresh {
            let keep: Vec<_> = self.counted.iter().map(|t| t.number).collect();
            if self.bug != Bug::NoVoid {
                let floor = m.floor;
                let dropped = self
                    .disk
                    .logs
                    .keys()
                    .filter(|n| !keep.contains(n) && **n >= floor && Some(**n) != new);
                m.void.extend(dropped);
            }
            m.listed = keep;
        }
        change(&mut m);
        let highest = self.disk.logs.keys().max().copied().unwrap_or(0);
        m.next = m.next.max(highest + 1);
        m.last_seq = m.last_seq.max(self.seq);
        if let (Some(current), false) = (self.current, self.fresh) {
            m.durable = (current, self.current_durable);
        }
        self.step()?;
        self.disk.manifest = m;
        self.fresh = false;
        self.step()
    }

    /// Prepares a log, often out of the file of a freed one: what that held fails by its salt, so only the
    /// name that goes away matters. The edit voids the log that is passed over.
    fn prepare(&mut self, passed_over: Option<LogNumber>) -> Outcome<LogNumber> {
        let highest = self.disk.logs.keys().max().copied().unwrap_or(0);
        let number = highest.max(self.disk.manifest.next.saturating_sub(1)) + 1;
        let floor = self.disk.manifest.floor;
        let freed = self.disk.logs.keys().copied().find(|n| *n < floor);
        if let (Some(old), false) = (freed, self.fresh || self.rng.unit() < 0.3) {
            self.disk.logs.remove(&old);
        }
        self.disk.logs.insert(number, Log::default());
        self.step()?;
        let list = move |m: &mut Manifest| {
            m.listed.push(number);
            m.void.extend(passed_over);
            m.next = number + 1;
        };
        self.edit(list, Some(number))?;
        Ok(number)
    }

    fn prepare_ahead(&mut self) -> Outcome<()> {
        if self.current.is_some() && self.prepared.is_none() {
            self.prepared = Some(self.prepare(None)?);
        }
        Ok(())
    }

    fn rotate(&mut self) -> Outcome<()> {
        let number = match self.prepared.take() {
            Some(number) if self.rng.unit() < 0.8 => number,
            // Too small for the group, or none.
            passed_over => self.prepare(passed_over)?,
        };
        let (prev, prev_len, prev_durable) = match (self.current, self.counted.last()) {
            (Some(n), _) => (n, self.disk.logs[&n].records.len(), self.current_durable),
            (None, Some(tail)) => (tail.number, tail.len, tail.durable),
            (None, None) => (0, 0, 0),
        };
        self.current = Some(number);
        self.current_durable = 0;
        self.unsynced.push(number);
        self.append(Kind::Start { prev, prev_len, prev_durable }, self.seq);
        self.step()
    }

    fn append(&mut self, kind: Kind, seq: Seq) {
        let synced = self.current_durable;
        let log = self.current.and_then(|n| self.disk.logs.get_mut(&n));
        log.expect("a current log").records.push(Some(Record { kind, seq, synced }));
    }

    /// Syncs every log with unsynced bytes, oldest first.
    fn sync_logs(&mut self, newest_only: bool) -> Outcome<()> {
        for n in self.unsynced.clone() {
            if newest_only && Some(n) != self.current {
                continue;
            }
            if self.disk.logs.contains_key(&n) {
                self.step()?;
                let log = self.disk.logs.get_mut(&n).expect("just seen");
                log.durable = log.records.len();
            }
            if Some(n) != self.current {
                self.unsynced.retain(|other| *other != n);
            }
        }
        if let Some(n) = self.current {
            self.current_durable = self.disk.logs[&n].records.len();
        }
        Ok(())
    }

    fn sync(&mut self) -> Outcome<()> {
        self.sync_logs(self.bug == Bug::Newest)?;
        if let Some((seq, _)) = self.truth.history.last() {
            self.truth.synced = self.truth.synced.max(*seq);
        }
        if self.rng.unit() < 0.7 && self.current.is_some() {
            self.append(Kind::Stamp, self.seq);
        }
        Ok(())
    }

    fn write(&mut self, sync: bool) -> Outcome<()> {
        if self.current.is_none() || self.rng.unit() < 0.15 {
            self.rotate()?;
        }
        let shapes: [&'static [usize]; 5] = [&[0], &[1], &[0, 1], &[1, 0], &[0, 0]];
        let keyspaces = self.rng.pick(&shapes);
        let first = self.seq + 1;
        self.seq += keyspaces.len() as u64;
        if self.rng.unit() < 0.1 {
            // Burned by a failed group, or used by unlogged writes.
            self.seq += 2;
        }
        self.truth.history.push((first, keyspaces));
        let ops = keyspaces.iter().enumerate().map(|(i, k)| (first + i as u64, *k)).collect();
        self.append(Kind::Batch(ops), first);
        self.step()?;
        if sync {
            self.sync()?;
        }
        for (i, k) in keyspaces.iter().enumerate() {
            self.first_log[*k] = self.first_log[*k].or(self.current);
            self.mem[*k].push(first + i as u64);
        }
        Ok(())
    }

    fn flush(&mut self, k: usize) -> Outcome<()> {
        let boundary = self.seq;
        let ops: BTreeSet<Seq> = self.mem[k].iter().copied().collect();
        if ops.is_empty() {
            return Ok(());
        }
        if self.bug != Bug::FlushOvertakesLog {
            self.sync_logs(false)?;
        }
        let after_counted = self.counted.last().map_or(0, |t| t.number) + 1;
        let floor = self.first_log[1 - k].or(self.current).unwrap_or(after_counted);
        if self.bug == Bug::EarlyRecycling {
            self.disk.logs.retain(|n, _| *n >= floor);
            self.step()?;
        }
        let install = move |m: &mut Manifest| {
            m.tables[k].extend(ops);
            m.flushed[k] = boundary;
            m.floor = m.floor.max(floor);
        };
        self.edit(install, None)?;
        self.mem[k].clear();
        self.first_log[k] = None;
        Ok(())
    }

    fn remove_obsolete(&mut self) -> Outcome<()> {
        for n in self.disk.logs.keys().copied().collect::<Vec<_>>() {
            let m = &self.disk.manifest;
            if n < m.floor || m.void.contains(&n) {
                self.disk.logs.remove(&n);
                self.step()?;
            }
        }
        Ok(())
    }

    fn live(&mut self) -> Outcome<()> {
        self.crash_chance = self.rng.pick(&[0.0, 0.02, 0.05]);
        for _ in 0..self.rng.below(15) {
            let dice = self.rng.unit();
            match dice {
                _ if dice < 0.5 => self.write(false)?,
                _ if dice < 0.65 => self.write(true)?,
                _ if dice < 0.75 => self.sync()?,
                _ if dice < 0.80 => self.prepare_ahead()?,
                _ if dice < 0.92 => {
                    let keyspace = self.rng.below(2) as usize;
                    self.flush(keyspace)?;
                }
                _ => self.remove_obsolete()?,
            }
        }
        Ok(())
    }
}

/// One history: up to five lives, each ended by a kill or a power cut, then a last recovery.
fn run(seed: u64, bug: Bug) -> Outcome<()> {
    let mut rng = Rng::new(seed);
    let mut disk = Disk::default();
    disk.manifest.next = 1;
    let mut truth = Truth::default();
    for _ in 0..=rng.below(5) {
        match Process::open(&mut disk, &mut rng, &mut truth, bug)?.live() {
            Ok(()) | Err(Stop::Crash) => {}
            Err(violation) => return Err(violation),
        }
        if rng.unit() < 0.75 {
            disk.power_cut(&mut rng);
        }
    }
    Process::open(&mut disk, &mut rng, &mut truth, bug)?;
    Ok(())
}

#[derive(Debug, Default)]
struct Count {
    refused: usize,
    broken: usize,
    first: Option<(u64, String)>,
}

/// Writes a line past the test harness, which would keep it to itself.
fn report(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").expect("standard output takes a line");
}

fn count_violations(histories: u64, bug: Bug) -> Count {
    report(&format!("log model: {bug:?}, seeds 0..{histories}"));
    let mut count = Count::default();
    for seed in 0..histories {
        let text = match run(seed, bug) {
            Ok(()) => continue,
            Err(Stop::Crash) => unreachable!("a crash ends a life, not a history"),
            Err(Stop::Refused(text)) => {
                count.refused += 1;
                text
            }
            Err(Stop::Broken(text)) => {
                count.broken += 1;
                text
            }
        };
        count.first.get_or_insert((seed, text));
    }
    report(&format!("log model: {bug:?}: {count:?}"));
    count
}

#[test]
fn the_rules_lose_nothing_and_refuse_no_legal_image() {
    let count = count_violations(50_000, Bug::None);
    assert!(count.first.is_none(), "{count:?}");
}

#[test]
fn a_log_start_taken_as_evidence_for_its_predecessor_refuses_legal_images() {
    let count = count_violations(2_000, Bug::Predecessor);
    assert!(count.refused > 0 && count.broken == 0, "{count:?}");
}

#[test]
fn syncing_only_the_newest_log_loses_synced_batches() {
    let count = count_violations(2_000, Bug::Newest);
    assert!(count.refused > 0 && count.broken > 0, "{count:?}");
}

#[test]
fn a_flush_that_overtakes_the_log_tears_batches_apart() {
    let count = count_violations(2_000, Bug::FlushOvertakesLog);
    assert!(count.broken > 0 && count.refused == 0, "{count:?}");
}

#[test]
fn dropped_logs_that_are_not_voided_refuse_legal_images() {
    let count = count_violations(2_000, Bug::NoVoid);
    assert!(count.refused > 0 && count.broken == 0, "{count:?}");
}

#[test]
fn a_log_recycled_before_its_floor_is_durable_refuses_legal_images() {
    let count = count_violations(2_000, Bug::EarlyRecycling);
    assert!(count.refused > 0 && count.broken == 0, "{count:?}");
}
