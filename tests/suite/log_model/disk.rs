//! What the model keeps on disk, and how a recovery decides about it: rules D8 and D9.

use super::{Bug, Outcome, Rng, Stop};
use std::collections::{BTreeMap, BTreeSet};

pub type LogNumber = u64;
pub type Seq = u64;

#[derive(Clone, Debug)]
pub enum Kind {
    Start { prev: LogNumber, prev_len: usize, prev_durable: usize },
    Batch(Vec<(Seq, usize)>),
    Stamp,
}

#[derive(Clone, Debug)]
pub struct Record {
    pub kind: Kind,
    pub seq: Seq,
    pub synced: usize,
}

/// `None` is a record that a power cut lost.
#[derive(Default)]
pub struct Log {
    pub records: Vec<Option<Record>>,
    /// Records that surely reached the platter.
    pub durable: usize,
}

#[derive(Clone, Default)]
pub struct Manifest {
    pub listed: Vec<LogNumber>,
    pub void: BTreeSet<LogNumber>,
    pub floor: LogNumber,
    pub flushed: [Seq; 2],
    pub tables: [BTreeSet<Seq>; 2],
    pub durable: (LogNumber, usize),
    pub next: LogNumber,
    pub last_seq: Seq,
}

#[derive(Default)]
pub struct Disk {
    pub logs: BTreeMap<LogNumber, Log>,
    pub manifest: Manifest,
}

/// What the oracle knows: every batch (first sequence, keyspace of each operation) and the last synced.
#[derive(Default)]
pub struct Truth {
    pub history: Vec<(Seq, &'static [usize])>,
    pub synced: Seq,
}

/// A log that counts, as recovery found it.
#[derive(Clone, Copy)]
pub struct Tail {
    pub number: LogNumber,
    pub len: usize,
    pub durable: usize,
}

/// What recovery found out about one listed log.
pub struct Seen {
    pub number: LogNumber,
    /// First bad index.
    pub bad: usize,
    pub limit: Option<usize>,
    pub evidence: usize,
}

impl Disk {
    pub fn listed(&self) -> Vec<LogNumber> {
        let m = &self.manifest;
        let mut listed: Vec<_> =
            m.listed.iter().copied().filter(|n| *n >= m.floor && !m.void.contains(n)).collect();
        listed.sort_unstable();
        listed
    }

    /// LOG START of a log: number, length and durable length of its predecessor.
    pub fn start(&self, n: LogNumber) -> Option<(LogNumber, usize, usize)> {
        match self.logs[&n].records.first()?.as_ref()?.kind {
            Kind::Start { prev, prev_len, prev_durable } => Some((prev, prev_len, prev_durable)),
            _ => None,
        }
    }

    pub fn check_listing(&self, listed: &[LogNumber]) -> Outcome<()> {
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
    pub fn scan(&self, listed: &[LogNumber], bug: Bug) -> Vec<Seen> {
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
    pub fn evidence_of_later_logs(&self, seen: &mut [Seen]) -> Outcome<()> {
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
    pub fn decide(&self, seen: &[Seen]) -> Outcome<Vec<Tail>> {
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

    pub fn highest_seq(&self, listed: &[LogNumber]) -> Seq {
        let records = listed.iter().flat_map(|n| self.logs[n].records.iter().flatten());
        let in_logs = records.map(|r| match &r.kind {
            Kind::Batch(ops) => r.seq + ops.len() as u64,
            _ => r.seq,
        });
        let in_tables = self.manifest.tables.iter().flatten().copied();
        in_logs.chain(in_tables).max().unwrap_or(0).max(self.manifest.last_seq)
    }

    pub fn power_cut(&mut self, rng: &mut Rng) {
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
