//! Decides what of the logs counts after a crash, and replays that.
//!
//! Rules D8, D9 and D15 of docs/DURABILITY.md, one small function each. `decide` reads and writes nothing:
//! a crash during or after it changes nothing that the next recovery sees (D10). The order: open what the
//! manifest lists; link the logs by their LOG STARTs, which gives each its limit; scan each up to its first
//! bad offset; collect the evidence of what was durable; then walk from the oldest log on. Damage below the
//! durable point is an error, everything behind a tear is dropped.
//!
//! Invariants
//! 1. What counts is a prefix of what was written, with everything that was ever synced, or an error.
//! 2. An image that a kill or a power cut can leave is never refused.
//! 3. The same files give the same decision.

use crate::batch::check;
use crate::env::api::Dir;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::planted::{self, Planted};
use crate::record::format::{FILE_HEADER_LEN, RecordKind};
use crate::types::{DbId, FileNum, KeyspaceId, RecoveryMode, SeqNo};
use crate::wal::format::{CloseMark, LOG_START_END};
use crate::wal::scan::{LogFile, Scan, damaged, has_records, open_listed, survey};
use crate::wal::sync::LogTail;

/// What the manifest and the directory say about the logs.
#[derive(Clone, Debug, Default)]
pub struct LogFacts {
    /// Last sequence number of the newest edit.
    pub last_seq: SeqNo,
    /// Logs at or above the floor that are not voided, ascending, with their salts.
    pub listed: Vec<(FileNum, u32)>,
    pub db_id: DbId,
    /// `log_durable` of the edits.
    pub manifest_durable: Vec<(FileNum, u64)>,
    /// The clean close, when that is the manifest's last word.
    pub close: Option<CloseMark>,
    /// Log files at or above the floor that are neither listed nor voided.
    pub unlisted: Vec<FileNum>,
    /// Per keyspace: operations up to here are in tables.
    pub flushed: Vec<(KeyspaceId, SeqNo)>,
    /// Keyspace ids are below this.
    pub keyspaces: u32,
    /// What is to be done about logs that are not whole.
    pub recovery: RecoveryMode,
}

/// What of the logs counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Oldest first.
    pub counted: Vec<LogTail>,
    /// Listed logs of which nothing counts; the next manifest voids them.
    pub dropped: Vec<FileNum>,
    /// Bytes that were written and do not count.
    pub dropped_bytes: u64,
    /// Last sequence of the records that count.
    pub last_seq: SeqNo,
    /// No record that can be read, dropped ones included, used a sequence above this.
    pub max_seq: SeqNo,
    /// Batches that count.
    pub records: u64,
    /// Unlisted logs without a record, to be removed.
    pub leftovers: Vec<FileNum>,
    /// Log and offset from which on bytes were dropped.
    pub dropped_at: Option<(FileNum, u64)>,
    /// What was durable and does not count: only `PointInTime` gives anything up.
    pub lost: Option<Lost>,
}

/// Damage at which history ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub at: End,
    pub message: String,
    /// The damaged log and later ones with records.
    pub logs: Vec<FileNum>,
}

impl Lost {
    pub fn error(&self) -> Error {
        Error::corrupt(Area::Wal, self.at.0.0, self.at.1, self.message.clone())
    }
}

/// Where history ends because of damage: log and offset. Of the log what lies below the offset may count, of
/// later ones nothing.
pub type End = (FileNum, u64);

impl Recovered {
    /// Leaves out what was written of a log from `from` on.
    fn drop_from(&mut self, candidate: &Candidate, from: u64) {
        let bytes = candidate.bytes_behind(from);
        self.dropped_bytes = self.dropped_bytes.saturating_add(bytes);
        if bytes > 0 {
            self.dropped_at.get_or_insert((candidate.log.number, from));
        }
    }
}

/// One listed log on its way to a verdict.
struct Candidate {
    log: LogFile,
    /// No record of it counts that ends beyond this; `None`: no later log says.
    limit: Option<u64>,
    /// `prev_durable` and `prev_last_seq` of the LOG START that names it.
    successor_durable: u64,
    successor_last_seq: SeqNo,
    scan: Scan,
    /// Bytes known to have been durable.
    durable: u64,
}

impl Candidate {
    fn new(log: LogFile) -> Candidate {
        Candidate {
            log,
            limit: None,
            successor_durable: 0,
            successor_last_seq: 0,
            scan: Scan::default(),
            durable: 0,
        }
    }

    /// Whether nothing of it counts: not even its LOG START.
    fn is_empty(&self) -> bool {
        self.scan.bad <= FILE_HEADER_LEN
    }

    /// Whether all is there that a later log says to count.
    fn is_complete(&self) -> bool {
        self.limit.is_some_and(|limit| self.scan.bad >= limit)
    }

    /// Whether something is missing or unreadable behind what counts.
    fn is_torn(&self) -> bool {
        match self.limit {
            Some(limit) => self.scan.bad < limit,
            None => self.scan.tail.valid_headers > 0,
        }
    }

    /// Bytes behind `from` that were written and may have counted. In a recycled file only headers that
    /// verify tell them from what was there before.
    fn bytes_behind(&self, from: u64) -> u64 {
        let tail = &self.scan.tail;
        let written = if self.log.recycled { tail.records_end } else { tail.content_end };
        let end = self.limit.unwrap_or(written.min(self.log.size).max(self.scan.bad));
        end.saturating_sub(from)
    }
}

/// Decides which logs and which bytes of them count. `CORRUPT` with file, offset and lost sequences when something
/// is missing that was durable (in point-in-time mode history ends there instead), in strict mode also when anything
/// was written that does not count; `FORMAT` for a log of a newer version.
pub fn decide(dir: &Dir, facts: &LogFacts) -> Result<Recovered> {
    if facts.recovery == RecoveryMode::PointInTime {
        return decide_before_damage(dir, facts);
    }
    let recovered = decide_until(dir, facts, None)?;
    match recovered.dropped_at {
        Some((log, offset)) if facts.recovery == RecoveryMode::Strict => {
            let bytes = recovered.dropped_bytes;
            let what = format!("{bytes} bytes that were written are no whole records, first");
            Err(damaged(log, offset, &what))
        }
        _ => Ok(recovered),
    }
}

/// D25: ends history where the damage is, and earlier for as long as damage is found before that. Damage that is
/// not of a listed log is refused as ever.
fn decide_before_damage(dir: &Dir, facts: &LogFacts) -> Result<Recovered> {
    let mut found: Option<(End, Error)> = None;
    loop {
        let end = found.as_ref().map(|(end, _)| *end);
        let error = match decide_until(dir, facts, end) {
            Ok(mut recovered) => {
                if let Some((end, error)) = found {
                    give_up(dir, facts, &mut recovered, end, error)?;
                }
                return Ok(recovered);
            }
            Err(error) => error,
        };
        let (log, offset) = (FileNum(error.detail().file_number), error.detail().offset);
        // A log without its LOG START is as good as one that is not there.
        let at = (log, if offset <= FILE_HEADER_LEN { 0 } else { offset });
        let listed = facts.listed.iter().any(|(listed, _)| *listed == log);
        // Each time earlier, so this comes to an end.
        if error.kind() != ErrorKind::Corrupt || !listed || end.is_some_and(|end| at >= end) {
            return Err(error);
        }
        found = Some((at, error));
    }
}

/// Adds what lies behind the end of history: which logs have it, how much it is, which sequences it used.
fn give_up(
    dir: &Dir,
    facts: &LogFacts,
    recovered: &mut Recovered,
    end: End,
    error: Error,
) -> Result<()> {
    let mut logs = Vec::new();
    for &(log, salt) in facts.listed.iter().filter(|(log, _)| *log >= end.0) {
        let from = if log == end.0 { end.1.max(FILE_HEADER_LEN) } else { FILE_HEADER_LEN };
        let behind = survey(dir, log, salt, from)?;
        recovered.max_seq = recovered.max_seq.max(behind.seq_max);
        let bytes = behind.records_end.saturating_sub(from);
        recovered.dropped_bytes = recovered.dropped_bytes.saturating_add(bytes);
        if log == end.0 || behind.valid_headers > 0 {
            logs.push(log);
        }
        let counts = recovered.counted.iter().any(|tail| tail.number == log);
        if !counts && !recovered.dropped.contains(&log) {
            recovered.dropped.push(log);
        }
    }
    let last = recovered.last_seq.max(flushed_everywhere(facts));
    let what = format!(
        "history ends at sequence {last}, before {} bytes in {} damaged and later logs",
        recovered.dropped_bytes,
        logs.len()
    );
    let message = error.context(&what).detail().message.clone();
    recovered.lost = Some(Lost { at: end, message, logs });
    Ok(())
}

/// Decides as if history ended at `end`, where there is one.
fn decide_until(dir: &Dir, facts: &LogFacts, end: Option<End>) -> Result<Recovered> {
    let leftovers = leftovers(dir, facts)?;
    let mut logs = Vec::new();
    // A log that cannot even be opened is damaged at 0.
    let before = |log: FileNum| end.is_none_or(|end| (log, 0) < end);
    for &(number, salt) in facts.listed.iter().filter(|(log, _)| before(*log)) {
        logs.push(Candidate::new(open_listed(dir, number, salt, &facts.db_id)?));
    }
    link(&mut logs)?;
    let cut = logs.last_mut().zip(end).filter(|(last, end)| last.log.number == end.0);
    let is_cut = cut.is_some();
    if let Some((last, end)) = cut {
        last.limit = Some(end.1);
    }
    let mut last_seq = 0;
    for candidate in &mut logs {
        candidate.scan = candidate.log.scan(candidate.limit.unwrap_or(u64::MAX), last_seq)?;
        last_seq = last_seq.max(candidate.scan.last_seq);
    }
    collect_evidence(&mut logs, facts);
    evidence_of_later_logs(&mut logs);
    if let Some(mark) = facts.close.as_ref().filter(|_| end.is_none()) {
        check_close(&logs, mark)?;
    }
    let whole = logs.len().saturating_sub(usize::from(is_cut));
    for candidate in logs.iter().take(whole).filter(|candidate| !candidate.is_complete()) {
        candidate.log.check_length(&candidate.scan)?;
    }
    let mut recovered = walk(&logs)?;
    recovered.leftovers = leftovers;
    Ok(recovered)
}

/// D1: an unlisted log is a leftover of preparation, unless it has a record.
fn leftovers(dir: &Dir, facts: &LogFacts) -> Result<Vec<FileNum>> {
    for &number in &facts.unlisted {
        if has_records(dir, number, &facts.db_id, facts.last_seq)? {
            return Err(damaged(number, 0, "has records but the manifest does not list it"));
        }
    }
    Ok(facts.unlisted.clone())
}

/// D9: the LOG START of the next log gives the limit. A log between one and the predecessor it names never
/// got its own LOG START out, so nothing of it counts.
fn link(logs: &mut [Candidate]) -> Result<()> {
    let oldest = logs.first().map(|candidate| candidate.log.number);
    let mut rest = logs;
    while let Some((candidate, older)) = rest.split_last_mut() {
        rest = older;
        let Some(start) = candidate.log.start else { continue };
        // Logs without a LOG START may follow the chain, never interrupt it.
        if candidate.limit == Some(FILE_HEADER_LEN) {
            continue;
        }
        let found = rest.iter().position(|older| older.log.number == start.prev);
        if found.is_none() && oldest.is_some_and(|oldest| start.prev >= oldest) {
            let what = format!("names log {}, which is not listed, as its predecessor", start.prev);
            return Err(damaged(candidate.log.number, FILE_HEADER_LEN, &what));
        }
        let between = found.map_or(0, |at| at.saturating_add(1));
        for skipped in rest.iter_mut().skip(between) {
            skipped.limit = Some(FILE_HEADER_LEN);
        }
        if let Some(prev) = found.and_then(|at| rest.get_mut(at)) {
            prev.limit = Some(start.prev_len);
            prev.successor_durable = start.prev_durable;
            prev.successor_last_seq = start.prev_last_seq;
        }
    }
    Ok(())
}

/// D8 a to d: `synced` of headers that verify, `prev_durable`, `log_durable`, the clean close.
fn collect_evidence(logs: &mut [Candidate], facts: &LogFacts) {
    for candidate in logs {
        let number = candidate.log.number;
        let of_manifest = facts.manifest_durable.iter().filter(|(log, _)| *log == number);
        let of_close = facts.close.iter().filter(|mark| mark.log == number);
        candidate.durable = of_manifest
            .map(|(_, offset)| *offset)
            .chain(of_close.map(|mark| mark.length))
            .chain([
                candidate.scan.synced_max,
                candidate.scan.tail.synced_max,
                candidate.successor_durable,
            ])
            .max()
            .filter(|_| !planted::is(Planted::EvidenceIgnored))
            // Behind its limit nothing counts, whether it was durable or not: where recovery has ended the history
            // before damage, the next LOG START says so.
            .map_or(0, |durable| durable.min(candidate.limit.unwrap_or(u64::MAX)));
    }
}

/// D8 e: syncs go oldest first, so a log whose LOG START is durable proves every older one complete.
fn evidence_of_later_logs(logs: &mut [Candidate]) {
    let mut proven = false;
    for candidate in logs.iter_mut().rev() {
        if proven {
            candidate.durable = candidate.durable.max(candidate.limit.unwrap_or(0));
        }
        proven |= candidate.durable >= LOG_START_END;
    }
}

/// D15: after a clean close the newest log ends in exactly that CLOSE.
fn check_close(logs: &[Candidate], mark: &CloseMark) -> Result<()> {
    let Some(newest) = logs.last().filter(|candidate| candidate.log.number == mark.log) else {
        return Err(damaged(mark.log, 0, "was closed cleanly but is not the newest listed log"));
    };
    let (size, bad) = (newest.log.size, newest.scan.bad);
    if bad < mark.length {
        return Err(lost(newest, mark.length));
    }
    if size != mark.length {
        let what = format!("was closed at {} bytes but has {size}", mark.length);
        return Err(damaged(mark.log, size.min(mark.length), &what));
    }
    if newest.scan.close != Some(mark.last_seq) {
        let what = format!("does not end in the CLOSE of sequence {}", mark.last_seq);
        return Err(damaged(mark.log, bad, &what));
    }
    Ok(())
}

/// D9: bad below the durable point.
fn lost(candidate: &Candidate, durable: u64) -> Error {
    let scan = &candidate.scan;
    let from = scan.last_seq.saturating_add(1);
    let to = candidate.successor_last_seq.max(scan.tail.number_max);
    let range = if to >= from {
        format!("sequences {from} to {to} are lost")
    } else {
        format!("sequences from {from} on are lost")
    };
    let what = format!("damaged below {durable}, which was durable: {range}, first bad record");
    damaged(candidate.log.number, scan.bad, &what).with_value(durable)
}

/// D9: from the oldest log on, takes what counts and drops everything behind the first tear.
fn walk(logs: &[Candidate]) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut torn_in: Option<&Candidate> = None;
    for candidate in logs {
        recovered.max_seq = recovered.max_seq.max(candidate.scan.highest_seq());
        if let Some(torn) = torn_in.filter(|_| candidate.durable > FILE_HEADER_LEN) {
            return Err(lost_behind(torn, candidate));
        }
        if candidate.scan.bad < candidate.durable {
            return Err(lost(candidate, candidate.durable));
        }
        if torn_in.is_some() || candidate.is_empty() {
            recovered.dropped.push(candidate.log.number);
            recovered.drop_from(candidate, FILE_HEADER_LEN);
        } else {
            count(&mut recovered, candidate)?;
        }
        if torn_in.is_none() && candidate.is_torn() {
            torn_in = Some(candidate);
        }
    }
    Ok(recovered)
}

/// A later log has durable records, so what is missing before it was durable too.
fn lost_behind(torn: &Candidate, later: &Candidate) -> Error {
    let error = lost(torn, torn.limit.unwrap_or(torn.scan.bad));
    error.context(&format!("log {} was synced after it", later.log.number))
}

/// Takes a log that counts up to its first bad offset.
fn count(recovered: &mut Recovered, candidate: &Candidate) -> Result<()> {
    let (log, scan) = (&candidate.log, &candidate.scan);
    if scan.start_seq < recovered.last_seq {
        let what = format!("begins at sequence {} behind {}", scan.start_seq, recovered.last_seq);
        return Err(damaged(log.number, FILE_HEADER_LEN, &what));
    }
    recovered.last_seq = scan.last_seq;
    recovered.records = recovered.records.saturating_add(scan.batches);
    recovered.drop_from(candidate, scan.bad);
    recovered.counted.push(LogTail {
        number: log.number,
        salt: log.salt,
        len: scan.bad,
        durable: candidate.durable,
        last_seq: scan.last_seq,
    });
    Ok(())
}

/// Up to this sequence every operation of every keyspace is in tables. Ids may be as large as a damaged manifest says, so
/// they are counted, not walked through.
fn flushed_everywhere(facts: &LogFacts) -> SeqNo {
    let known = facts.flushed.iter().filter(|(id, _)| id.0 < facts.keyspaces);
    if known.clone().count() < facts.keyspaces as usize {
        return 0;
    }
    known.map(|(_, seq)| *seq).min().unwrap_or(0)
}

/// Given each batch that counts: its log, its first sequence and its checked bytes.
pub type Apply<'a> = &'a mut dyn FnMut(FileNum, SeqNo, &[u8]) -> Result<()>;

/// Hands every batch that counts to `apply`, checked, in order: its log, its first sequence, its bytes.
/// Batches that are in tables as a whole are passed over; single operations that are, the caller skips.
pub fn replay(dir: &Dir, recovered: &Recovered, facts: &LogFacts, apply: Apply<'_>) -> Result<()> {
    let flushed = flushed_everywhere(facts);
    for tail in &recovered.counted {
        if tail.last_seq <= flushed {
            continue;
        }
        let log = open_listed(dir, tail.number, tail.salt, &facts.db_id)?;
        let mut reader = log.records(tail.len);
        while let Some(record) = reader.next_record()? {
            if record.kind != RecordKind::Batch {
                continue;
            }
            let count = check(record.payload, facts.keyspaces).map_err(|error| {
                damaged(tail.number, record.offset, &format!("{error}, in the record"))
            })?;
            let last = record.number.saturating_add(u64::from(count)).saturating_sub(1);
            if last > flushed {
                apply(tail.number, record.number, record.payload)?;
            }
        }
        if reader.position() != tail.len {
            let what = "changed since it was scanned: a bad record";
            return Err(damaged(tail.number, reader.position(), what));
        }
    }
    Ok(())
}
