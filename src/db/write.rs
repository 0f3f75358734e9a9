//! The whole write story: limits, queue, room, log, memtable, publication.
//!
//! Invariants
//! 1. A write is in the log before it is in a memtable, unless it is UNLOGGED; a SYNC write is durable before it is visible.
//! 2. Sequence numbers are published in order; those of a failed group are burned.
//! 3. A batch never spans memtables; a memtable is frozen only between groups.
//! 4. A writer that would wait for a job whose last attempt failed gets that job's error at once.

use crate::batch::{self, BatchReader};
use crate::coding::u32_at;
use crate::db::background::deadline_after;
use crate::db::commit::{Leadership, Patience, Role};
use crate::db::core::{DbCore, Writer};
use crate::db::stall::Waiting;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::{EntryKind, make_tag};
use crate::memtable::table::MemTable;
use crate::options::Durability;
use crate::planted::{self, Planted};
use crate::record::format::record_len;
use crate::shared::LogLevel;
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::types::{SEQ_MAX, SeqNo};
use std::cell::Cell;

/// How one write is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteParams {
    /// `None`: the database's option.
    pub durability: Option<Durability>,
    /// TIMEOUT instead of any wait for background work.
    pub no_stall: bool,
    /// Longest wait for background work in microseconds; 0 = as long as it takes.
    pub timeout_us: u64,
}

/// Most bytes a group takes beside its leader's batch.
const GROUP_BYTES_MAX: usize = 1 << 20;

/// One batch of a group with its first sequence number.
struct Member<'a> {
    bytes: &'a [u8],
    count: u32,
    durability: Durability,
    first_seq: SeqNo,
}

impl Member<'_> {
    fn is_logged(&self) -> bool {
        self.durability != Durability::Unlogged
    }

    fn wants_sync(&self) -> bool {
        matches!(self.durability, Durability::Group | Durability::Sync)
    }
}

impl DbCore {
    /// Applies an encoded batch (checked by the caller); returns the sequence number of its last
    /// operation.
    pub fn write(&self, bytes: &[u8], params: &WriteParams) -> Result<SeqNo> {
        self.check_open()?;
        let durability = params.durability.unwrap_or(self.options.durability);
        let count = u32_at(bytes, 4).unwrap_or(0);
        if count == 0 {
            if matches!(durability, Durability::Group | Durability::Sync) {
                self.sync()?;
            }
            return Ok(self.visible());
        }
        if self.keyspace.order.checks_keys() {
            self.check_keys(bytes)?;
        }
        let deadline = deadline_after(params.timeout_us);
        let patience = Patience { no_stall: params.no_stall, deadline };
        let mut leadership = match self.queue.join(bytes, count, durability, patience) {
            Role::Done(result) => return result,
            Role::Leader(leadership) => leadership,
        };
        let result = self.lead(bytes, count, durability, patience, &mut leadership);
        let own = match &result {
            Ok(firsts) => Ok(firsts[0] + u64::from(count) - 1),
            Err(error) => Err(error.clone()),
        };
        let counts: Vec<u32> = leadership.members().iter().map(|m| m.count).collect();
        leadership.finish(|place| match &result {
            Ok(firsts) => Ok(firsts[place + 1] + u64::from(counts[place]) - 1),
            Err(error) => Err(error.clone()),
        });
        if self.options.deterministic {
            self.run_background();
            self.sync_if_due();
        }
        own
    }

    /// Refuses a batch with a key that the order does not take.
    fn check_keys(&self, bytes: &[u8]) -> Result<()> {
        let mut reader = BatchReader::new(bytes)?;
        while let Some(op) = reader.next_op()? {
            self.keyspace.order.check_key(op.key)?;
        }
        Ok(())
    }

    /// Writes the group of this leader; returns the first sequence number of every member, the leader's
    /// first.
    fn lead(
        &self,
        bytes: &[u8],
        count: u32,
        durability: Durability,
        patience: Patience,
        leadership: &mut Leadership<'_>,
    ) -> Result<Vec<SeqNo>> {
        self.pay(patience)?;
        let mut writer = self.writer.lock();
        self.make_room(&mut writer, bytes.len() as u64, u64::from(count), patience)?;
        let room = (self.options.write_buffer / 4).min(GROUP_BYTES_MAX as u64) as usize;
        let waiters = leadership.gather(durability, room);
        let mut members = Vec::with_capacity(waiters.len() + 1);
        members.push(Member { bytes, count, durability, first_seq: 0 });
        members.extend(waiters.iter().map(|w| Member {
            bytes: &w.bytes,
            count: w.count,
            durability: w.durability,
            first_seq: 0,
        }));
        self.pacer.charge(members.iter().map(|m| m.bytes.len() as u64).sum());
        self.ensure_log(&mut writer, &members)?;
        number(&mut writer, &mut members)?;
        self.commit(&mut writer, &members)?;
        let synced = members.iter().any(Member::wants_sync);
        if synced && self.queue.is_empty() {
            // The stamp is evidence only; a log that cannot take it is abandoned and the write stands.
            if let Err(error) = writer.log.stamp_if_useful() {
                self.errors.record(&error);
            }
        }
        Ok(members.iter().map(|m| m.first_seq).collect())
    }

    /// Log, sync where asked, memtable, publication.
    fn commit(&self, writer: &mut Writer, members: &[Member<'_>]) -> Result<()> {
        let last_seq = writer.next_seq - 1;
        let logged: Vec<(SeqNo, &[u8])> =
            members.iter().filter(|m| m.is_logged()).map(|m| (m.first_seq, m.bytes)).collect();
        if !logged.is_empty() {
            writer.log.append(&logged, last_seq)?;
            if writer.log.wants_successor() {
                self.want_next_log();
            }
            let bytes: u64 = logged.iter().map(|(_, b)| record_len(b.len())).sum();
            self.stats.wal_bytes.add(bytes);
        }
        if members.iter().any(Member::wants_sync) {
            self.sync_log()?;
        }
        let memtable = self.keyspace.state.with(|state| state.active.clone());
        if let (false, Some(current)) = (logged.is_empty(), writer.log.current()) {
            memtable.note_log(current);
        }
        if planted::is(Planted::SeenTooEarly) {
            self.visible_seq.store(last_seq, Ordering::Release);
        }
        for member in members {
            if !member.is_logged() {
                memtable.note_unlogged();
            }
            if let Err(error) = self.apply(&memtable, member) {
                // The log has it, memory does not: only a reopen can bring them together again.
                self.poison_for_good(&error);
                return Err(error);
            }
        }
        self.visible_seq.store(last_seq, Ordering::Release);
        self.report_memory();
        if !logged.is_empty() {
            self.wind_sync_interval();
        }
        Ok(())
    }

    fn apply(&self, memtable: &Arc<MemTable>, member: &Member<'_>) -> Result<()> {
        let mut reader = BatchReader::new(member.bytes)?;
        let (mut seq, mut deletes, mut bytes) = (member.first_seq, 0u64, 0u64);
        while let Some(op) = reader.next_op()? {
            memtable.insert(op.key, make_tag(seq, op.kind), op.value)?;
            deletes += u64::from(op.kind == EntryKind::Delete);
            bytes += (op.key.len() + op.value.len()) as u64;
            seq += 1;
        }
        self.stats.deletes.add(deletes);
        self.stats.puts.add(u64::from(member.count) - deletes);
        self.stats.user_bytes_written.add(bytes);
        Ok(())
    }

    /// Makes sure that the active memtable takes a batch: freezes a full one, waits while too many are
    /// frozen or level 0 is too long.
    fn make_room(
        &self,
        writer: &mut MutexGuard<'_, Writer>,
        bytes: u64,
        count: u64,
        patience: Patience,
    ) -> Result<()> {
        let mut stall = None;
        loop {
            self.check_open()?;
            self.errors.check()?;
            if !self.is_full(bytes, count) {
                return Ok(());
            }
            match self.stall_cause() {
                None => self.freeze(writer),
                Some(cause) => {
                    if !stall.as_ref().is_some_and(|stall: &Waiting<'_>| stall.is_for(cause)) {
                        // The one for another cause ends before this one begins.
                        drop(stall.take());
                        stall = Some(self.stall_begins(cause));
                    }
                    self.wait_for_room(cause, patience)?;
                }
            }
        }
    }

    fn is_full(&self, bytes: u64, count: u64) -> bool {
        let options = &self.options;
        self.keyspace.state.with(|state| {
            let active = &state.active;
            let entries = options.write_buffer_entries;
            let log_max = (4 * options.write_buffer).max(4 << 20);
            let pins_logs = state.frozen.is_empty() && self.log_sync.live_bytes() > log_max;
            !active.is_empty()
                && (active.bytes() + bytes > options.write_buffer
                    || self.budget_spent(active.bytes())
                    || (entries > 0 && active.len() + count > entries)
                    || pins_logs)
        })
    }

    /// Freezes the active memtable and puts an empty one in its place. The commit lock is held.
    pub fn freeze(&self, writer: &mut Writer) {
        let active = self.keyspace.state.with(|state| state.active.clone());
        active.freeze(writer.next_seq - 1);
        let fresh = MemTable::new(
            self.keyspace.id,
            self.keyspace.order.clone(),
            self.options.memtable,
            Some(self.retire.clone()),
        );
        self.keyspace.state.switch_memtable(fresh);
        self.reprice();
        self.log(LogLevel::Debug, || "a memtable is full".to_owned());
        self.want_flush();
    }

    /// Starts a new log where the current one cannot take the group (rules D1 and D5 of docs/DURABILITY.md).
    fn ensure_log(&self, writer: &mut Writer, members: &[Member<'_>]) -> Result<()> {
        let logged = members.iter().filter(|m| m.is_logged());
        let need: u64 = logged.map(|m| record_len(m.bytes.len())).sum();
        if need == 0 || writer.log.fits(need) {
            return Ok(());
        }
        self.rotate_log(writer, need)
    }

    /// Encodes and writes one operation, through a buffer that this thread uses again: a put allocates
    /// nothing once it is warm.
    pub fn write_one(
        &self,
        params: &WriteParams,
        kind: EntryKind,
        key: &[u8],
        value: &[u8],
    ) -> Result<SeqNo> {
        batch::check_key_value(key.len(), value.len())?;
        // Taken out meanwhile, so that a panic finds an empty one; a thread that is past its thread-locals
        // gets a buffer for this call only.
        let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
        buffer.clear();
        let room = batch::encoded_one_len(kind, self.keyspace.id, key, value);
        buffer.try_reserve(room).map_err(|_| Error::no_memory(Area::Batch, room))?;
        batch::encode_one(&mut buffer, kind, self.keyspace.id, key, value);
        let result = self.write(&buffer, params);
        // A huge value must not stay allocated in every thread that ever wrote one.
        if buffer.capacity() <= BUFFER_KEPT_MAX {
            BUFFER.try_with(|kept| kept.set(buffer)).unwrap_or(());
        }
        result
    }
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Largest buffer a thread keeps between writes.
const BUFFER_KEPT_MAX: usize = 1 << 20;

/// Gives every member its sequence numbers.
fn number(writer: &mut Writer, members: &mut [Member<'_>]) -> Result<()> {
    let total: u64 = members.iter().map(|m| u64::from(m.count)).sum();
    if writer.next_seq > SEQ_MAX - total {
        let message = "the database has used up its sequence numbers";
        return Err(Error::new(ErrorKind::Limit, Area::Engine, message).with_value(SEQ_MAX));
    }
    for member in members {
        member.first_seq = writer.next_seq;
        writer.next_seq += u64::from(member.count);
    }
    Ok(())
}
