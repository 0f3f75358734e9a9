//! The rules of the log as an abstract model, run over random histories.
//!
//! No bytes and no files: a log is a list of records, an offset is an index into it, a power cut loses any
//! subset of the records that no sync covered. Two keyspaces; random groups, syncs, rotations, flushes and
//! clean-ups; kills, power cuts, and crashes inside every manifest edit and between any two steps; up to
//! five lives. Recovery decides by rules D8 to D10 of docs/DURABILITY.md, and an oracle that knows the whole
//! history checks that a prefix of it came back, with every synced batch.
//!
//! Each rule has a variant that leaves it out. A variant must be caught, or the model proves nothing.

use std::collections::{BTreeMap, BTreeSet};
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

type LogNumber = u64;
type Seq = u64;

#[derive(Clone, Debug)]
enum Kind {
    Start { prev: LogNumber, prev_len: usize, prev_durable: usize },
    Batch(Vec<(Seq, usize)>),
    Stamp,
}

#[derive(Clone, Debug)]
struct Record {
    kind: Kind,
    seq: Seq,
    synced: usize,
}

/// `None` is a record that a power cut lost.
#[derive(Default)]
struct Log {
    records: Vec<Option<Record>>,
    /// Records that surely reached the platter.
    durable: usize,
}

#[derive(Clone, Default)]
struct Manifest {
    listed: Vec<LogNumber>,
    void: BTreeSet<LogNumber>,
    floor: LogNumber,
    flushed: [Seq; 2],
    tables: [BTreeSet<Seq>; 2],
    durable: (LogNumber, usize),
    next: LogNumber,
    last_seq: Seq,
}

#[derive(Default)]
struct Disk {
    logs: BTreeMap<LogNumber, Log>,
    manifest: Manifest,
}

/// What the oracle knows: every batch (first sequence, keyspace of each operation) and the last synced.
#[derive(Default)]
struct Truth {
    history: Vec<(Seq, &'static [usize])>,
    synced: Seq,
}

/// A log that counts, as recovery found it.
#[derive(Clone, Copy)]
struct Tail {
    number: LogNumber,
    len: usize,
    durable: usize,
}

/// What recovery found out about one listed log.
struct Seen {
    number: LogNumber,
    /// First bad index.
    bad: usize,
    limit: Option<usize>,
    evidence: usize,
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
    current_durable: usize,
    unsynced: Vec<LogNumber>,
    /// No manifest edit in this life yet.
    fresh: bool,
}

impl Disk {
    fn listed(&self) -> Vec<LogNumber> {
        let m = &self.manifest;
        let mut listed: Vec<_> =
            m.listed.iter().copied().filter(|n| *n >= m.floor && !m.void.contains(n)).collect();
        listed.sort_unstable();
        listed
    }

    /// LOG START of a log: number, length and durable length of its predecessor.
    fn start(&self, n: LogNumber) -> Option<(LogNumber, usize, usize)> {
        match self.logs[&n].records.first()?.as_ref()?.kind {
            Kind::Start { prev, prev_len, prev_durable } => Some((prev, prev_len, prev_durable)),
            _ => None,
        }
    }

    fn check_listing(&self, listed: &[LogNumber]) -> Outcome<()> {
        if let Some(n) = listed.iter().find(|n| !self.logs.contains_key(n)) {
            return Err(Stop::Refused(format!("listed log {n} is missing")));
        }
        let m = &self.manifest;
        let stray = self.logs.iter().find(|(n, log)| {
            !m.listed.contains(n)
                && **n >= m.floor
                && !m.void.contains(n)
                && log.records.iter().any(Option::is_some)
        });
        match stray {
            Some((n, _)) => Err(Stop::Refused(format!("unlisted log {n} has records"))),
            None => Ok(()),
        }
    }

    /// First bad index, limit and own evidence of every listed log.
    fn scan(&self, listed: &[LogNumber], bug: Bug) -> Vec<Seen> {
        let mut seen = Vec::new();
        for (i, &number) in listed.iter().enumerate() {
            let records = &self.logs[&number].records;
            let next = listed.get(i + 1).and_then(|n| self.start(*n));
            let limit = next.map(|(prev, len, _)| {
                assert_eq!(prev, number, "LOG START names its predecessor");
                len
            });
            let end = limit.unwrap_or(records.len()).min(records.len());
            let bad = records[..end].iter().position(Option::is_none).unwrap_or(end);
            let own = records.iter().flatten().map(|r| r.synced).max().unwrap_or(0);
            let mut evidence = own.max(next.map_or(0, |(_, _, durable)| durable));
            if bug == Bug::Predecessor {
                evidence = evidence.max(limit.unwrap_or(0));
            }
            if self.manifest.durable.0 == number {
                evidence = evidence.max(self.manifest.durable.1);
            }
            seen.push(Seen { number, bad, limit, evidence });
        }
        seen
    }

    /// A durable record of a later log proves every earlier one, since syncs go oldest first.
    fn evidence_of_later_logs(&self, seen: &mut [Seen]) -> Outcome<()> {
        for i in 0..seen.len() {
            if !seen[i + 1..].iter().any(|later| later.evidence >= 1) {
                continue;
            }
            match seen[i].limit {
                Some(limit) => seen[i].evidence = limit,
                None if seen[i + 1].evidence >= 1 => {
                    let n = seen[i + 1].number;
                    return Err(Stop::Refused(format!("log {n} is synced but has no start")));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// The logs that count.
    fn decide(&self, seen: &[Seen]) -> Outcome<Vec<Tail>> {
        let mut counted = Vec::new();
        let mut torn = false;
        for (i, log) in seen.iter().enumerate() {
            let &Seen { number, bad, limit, evidence } = log;
            let records = &self.logs[&number].records;
            if torn {
                if evidence > 0 {
                    return Err(Stop::Refused(format!("log {number} is synced behind a tear")));
                }
                continue;
            }
            if bad < evidence {
                return Err(Stop::Refused(format!("log {number}: {bad} < {evidence}")));
            }
            if bad == 0 {
                if !records.is_empty() || i + 1 < seen.len() {
                    torn = records.iter().any(Option::is_some) || limit.unwrap_or(0) > 0;
                }
                continue;
            }
            counted.push(Tail { number, len: bad, durable: evidence });
            torn = match limit {
                Some(limit) => bad < limit,
                None => records[bad..].iter().any(Option::is_some),
            };
        }
        Ok(counted)
    }

    fn highest_seq(&self, listed: &[LogNumber]) -> Seq {
        let records = listed.iter().flat_map(|n| self.logs[n].records.iter().flatten());
        let in_logs = records.map(|r| match &r.kind {
            Kind::Batch(ops) => r.seq + ops.len() as u64,
            _ => r.seq,
        });
        let in_tables = self.manifest.tables.iter().flatten().copied();
        in_logs.chain(in_tables).max().unwrap_or(0).max(self.manifest.last_seq)
    }

    fn power_cut(&mut self, rng: &mut Rng) {
        for log in self.logs.values_mut() {
            let keep = rng.pick(&[0.0, 0.3, 0.7, 1.0]);
            for (i, record) in log.records.iter_mut().enumerate() {
                if i >= log.durable && rng.unit() >= keep {
                    *record = None;
                }
            }
            while let Some(None) = log.records.last() {
                log.records.pop();
            }
            log.durable = log.records.len();
        }
    }
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

    fn rotate(&mut self) -> Outcome<()> {
        let highest = self.disk.logs.keys().max().copied().unwrap_or(0);
        let number = highest.max(self.disk.manifest.next.saturating_sub(1)) + 1;
        self.disk.logs.insert(number, Log::default());
        self.step()?;
        let list = move |m: &mut Manifest| {
            m.listed.push(number);
            m.next = number + 1;
        };
        self.edit(list, Some(number))?;
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
