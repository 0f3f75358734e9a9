//! One change to what a database consists of: the payload of a manifest record.
//!
//! Bytes: docs/FORMAT.md section 5; `field` knows how a field looks, this file which fields there are.
//!
//! Invariants
//! 1. `decode(encode(e)) == e`; `decode` never panics, and what it allocates is bounded by its input.
//! 2. An unknown field with the must-understand bit refuses the edit (FORMAT); one without is skipped
//!    and not kept. Only what is advisory goes without the bit: level cursors, times.
//! 3. Field ids are on disk for ever; a gap in them is an id kept for a later version.
//! 4. A field that says one thing comes once; lists repeat their field.

use crate::buffer::reserve;
use crate::error::{Area, Result};
use crate::sync::Arc;
use crate::table::meta::TableMeta;
use crate::types::{DbId, FileNum, KEY_LEN_MAX, KeyspaceId, SeqNo};
use crate::version::field::{
    Field, Fields, Group, SUB_ID_MAX, put_field, put_group, put_number, put_numbers,
};
use crate::wal::format::CloseMark;

/// Longest name of a keyspace or comparator.
pub const NAME_LEN_MAX: usize = 1024;
/// Longest options text of a keyspace.
pub const OPTIONS_LEN_MAX: usize = 1 << 20;

/// Bytes of a number, or of the head of a group and its ids, at most: ids and lengths below 2^35.
const FIELD_ROOM: usize = 24;

const DB: u64 = 1;
const NEXT_FILE: u64 = 2;
const LAST_SEQ: u64 = 3;
const LOG_FLOOR: u64 = 4;
const LOG_ADD: u64 = 5;
const LOG_DURABLE: u64 = 6;
const KEYSPACE_ADD: u64 = 7;
const KEYSPACE_DROP: u64 = 8;
const TABLE_ADD: u64 = 9;
const TABLE_DROP: u64 = 10;
const FLUSHED: u64 = 11;
const LEVEL_CURSOR: u64 = 12;
const BASE_END: u64 = 13;
const CLOSE: u64 = 14;
const LOG_VOID: u64 = 18;

/// What a database is; the first field of every manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbFacts {
    pub format: u32,
    pub db_id: DbId,
    /// Seconds since 1970, advisory.
    pub created: u64,
}

/// What a keyspace is, for its whole life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyspaceFacts {
    pub id: KeyspaceId,
    pub name: String,
    /// Name of the key order.
    pub comparator: String,
    /// Keys that compare equal are identical bytes.
    pub exact: bool,
    pub options: String,
}

/// One atomic change. An empty list and `None` mean "as before".
#[derive(Default, Clone, Debug, PartialEq)]
pub struct VersionEdit {
    pub db: Option<DbFacts>,
    /// Smallest number no file has had.
    pub next_file: Option<u64>,
    pub last_seq: Option<SeqNo>,
    /// Logs below this number are free.
    pub log_floor: Option<FileNum>,
    /// Logs that may take records from here on, with their salts.
    pub logs_added: Vec<(FileNum, u32)>,
    /// Bytes of a log that are known durable.
    pub log_durable: Option<(FileNum, u64)>,
    pub keyspaces_added: Vec<KeyspaceFacts>,
    pub keyspaces_dropped: Vec<KeyspaceId>,
    pub tables_added: Vec<(KeyspaceId, u8, Arc<TableMeta>)>,
    pub tables_dropped: Vec<(KeyspaceId, u8, FileNum)>,
    /// Every operation of the keyspace up to this sequence number is in tables.
    pub flushed: Vec<(KeyspaceId, SeqNo)>,
    /// Where the next compaction of a level starts, advisory.
    pub cursors: Vec<(KeyspaceId, u8, Arc<Vec<u8>>)>,
    /// This edit completes the base a manifest begins with.
    pub base_end: bool,
    pub close: Option<CloseMark>,
    /// Logs that recovery dropped: their records never count again.
    pub logs_voided: Vec<FileNum>,
}

impl VersionEdit {
    /// The bytes of the edit.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let (mut out, most) = (Vec::new(), self.encoded_len_max());
        reserve(&mut out, most, Area::Manifest)?;
        if let Some(db) = &self.db {
            put_group(&mut out, DB, true, |group| put_db(group, db));
        }
        let counters = [
            (NEXT_FILE, self.next_file),
            (LAST_SEQ, self.last_seq),
            (LOG_FLOOR, self.log_floor.map(|log| log.0)),
        ];
        for (id, value) in counters {
            if let Some(value) = value {
                put_number(&mut out, id, true, value);
            }
        }
        self.encode_logs(&mut out);
        self.encode_keyspaces(&mut out);
        self.encode_tables(&mut out);
        if let Some(close) = &self.close {
            put_numbers(&mut out, CLOSE, true, &[close.log.0, close.length, close.last_seq]);
        }
        if self.base_end {
            put_field(&mut out, BASE_END, true, &[]);
        }
        debug_assert!(out.len() <= most, "an edit of {} bytes, not {most}", out.len());
        Ok(out)
    }

    /// More bytes than the edit has: the room that is asked for before any is written.
    fn encoded_len_max(&self) -> usize {
        let tables = self
            .tables_added
            .iter()
            .map(|(_, _, meta)| FIELD_ROOM * 16 + meta.smallest.len() + meta.largest.len());
        let cursors = self.cursors.iter().map(|(_, _, key)| FIELD_ROOM * 4 + key.len());
        let keyspaces = self.keyspaces_added.iter().map(|facts| {
            FIELD_ROOM * 6 + facts.name.len() + facts.comparator.len() + facts.options.len()
        });
        let numbers = self.logs_added.len() + self.logs_voided.len() + self.flushed.len();
        let dropped = self.keyspaces_dropped.len() + self.tables_dropped.len();
        let rest = FIELD_ROOM * (16 + 4 * (numbers + dropped));
        tables.chain(cursors).chain(keyspaces).fold(rest, usize::saturating_add)
    }

    fn encode_logs(&self, out: &mut Vec<u8>) {
        for &(log, salt) in &self.logs_added {
            put_numbers(out, LOG_ADD, true, &[log.0, u64::from(salt)]);
        }
        for log in &self.logs_voided {
            put_number(out, LOG_VOID, true, log.0);
        }
        if let Some((log, offset)) = self.log_durable {
            put_numbers(out, LOG_DURABLE, true, &[log.0, offset]);
        }
    }

    fn encode_keyspaces(&self, out: &mut Vec<u8>) {
        for facts in &self.keyspaces_added {
            put_group(out, KEYSPACE_ADD, true, |group| put_keyspace(group, facts));
        }
        for keyspace in &self.keyspaces_dropped {
            put_number(out, KEYSPACE_DROP, true, u64::from(keyspace.0));
        }
        for &(keyspace, seq) in &self.flushed {
            put_numbers(out, FLUSHED, true, &[u64::from(keyspace.0), seq]);
        }
        for (keyspace, level, key) in &self.cursors {
            put_group(out, LEVEL_CURSOR, false, |group| {
                put_number(group, 1, true, u64::from(keyspace.0));
                put_number(group, 2, true, u64::from(*level));
                put_field(group, 3, true, key);
            });
        }
    }

    fn encode_tables(&self, out: &mut Vec<u8>) {
        for &(keyspace, level, file) in &self.tables_dropped {
            let numbers = [u64::from(keyspace.0), u64::from(level), file.0];
            put_numbers(out, TABLE_DROP, true, &numbers);
        }
        for (keyspace, level, meta) in &self.tables_added {
            put_group(out, TABLE_ADD, true, |group| put_table(group, *keyspace, *level, meta));
        }
    }

    /// Reads an edit. `CORRUPT` with the offset in `bytes`, or `FORMAT` for a field of a newer version.
    pub fn decode(bytes: &[u8]) -> Result<VersionEdit> {
        let mut edit = VersionEdit::default();
        let mut fields = Fields::new(bytes, 0);
        while let Some(field) = fields.next_field()? {
            edit.take_field(&field)?;
        }
        Ok(edit)
    }

    fn take_field(&mut self, field: &Field<'_>) -> Result<()> {
        match field.id {
            DB => once(&mut self.db, db_of(&field.group(3)?)?, field),
            NEXT_FILE => once(&mut self.next_file, field.number()?, field),
            LAST_SEQ => once(&mut self.last_seq, field.seq()?, field),
            LOG_FLOOR => once(&mut self.log_floor, FileNum(field.number()?), field),
            LOG_DURABLE => {
                let group = field.group(2)?;
                once(&mut self.log_durable, (group.file(1)?, group.number(2)?), field)
            }
            CLOSE => once(&mut self.close, close_of(&field.group(3)?)?, field),
            BASE_END if self.base_end || !field.body.is_empty() => Err(field.damaged("base end")),
            BASE_END => {
                self.base_end = true;
                Ok(())
            }
            _ => self.take_list_field(field),
        }
    }

    fn take_list_field(&mut self, field: &Field<'_>) -> Result<()> {
        match field.id {
            LOG_ADD => {
                let group = field.group(2)?;
                push(&mut self.logs_added, (group.file(1)?, group.number_u32(2)?))
            }
            LOG_VOID => push(&mut self.logs_voided, FileNum(field.number()?)),
            KEYSPACE_ADD => push(&mut self.keyspaces_added, keyspace_of(&field.group(5)?)?),
            KEYSPACE_DROP => {
                let id = u32::try_from(field.number()?).map_err(|_| field.damaged("keyspace"))?;
                push(&mut self.keyspaces_dropped, KeyspaceId(id))
            }
            TABLE_ADD => push(&mut self.tables_added, table_of(&field.group(SUB_ID_MAX)?)?),
            TABLE_DROP => {
                let group = field.group(3)?;
                push(
                    &mut self.tables_dropped,
                    (group.keyspace(1)?, group.level(2)?, group.file(3)?),
                )
            }
            FLUSHED => {
                let group = field.group(2)?;
                push(&mut self.flushed, (group.keyspace(1)?, group.seq(2)?))
            }
            LEVEL_CURSOR => {
                let group = field.group(3)?;
                let key = group.bytes(3, KEY_LEN_MAX)?;
                push(&mut self.cursors, (group.keyspace(1)?, group.level(2)?, Arc::new(key)))
            }
            _ => field.unknown(),
        }
    }
}

fn put_db(group: &mut Vec<u8>, db: &DbFacts) {
    put_number(group, 1, true, u64::from(db.format));
    put_field(group, 2, true, &db.db_id);
    put_number(group, 3, false, db.created);
}

fn db_of(group: &Group<'_>) -> Result<DbFacts> {
    let created = group.number_or_zero(3)?;
    Ok(DbFacts { format: group.number_u32(1)?, db_id: group.id(2)?, created })
}

fn put_keyspace(group: &mut Vec<u8>, facts: &KeyspaceFacts) {
    put_number(group, 1, true, u64::from(facts.id.0));
    put_field(group, 2, true, facts.name.as_bytes());
    put_field(group, 3, true, facts.comparator.as_bytes());
    put_number(group, 4, true, u64::from(facts.exact));
    put_field(group, 5, true, facts.options.as_bytes());
}

fn keyspace_of(group: &Group<'_>) -> Result<KeyspaceFacts> {
    let exact = match group.number(4)? {
        0 => false,
        1 => true,
        _ => return Err(group.damaged(4)),
    };
    Ok(KeyspaceFacts {
        id: group.keyspace(1)?,
        name: group.text(2, NAME_LEN_MAX)?,
        comparator: group.text(3, NAME_LEN_MAX)?,
        exact,
        options: group.text(5, OPTIONS_LEN_MAX)?,
    })
}

fn put_table(group: &mut Vec<u8>, keyspace: KeyspaceId, level: u8, meta: &TableMeta) {
    put_number(group, 1, true, u64::from(keyspace.0));
    put_number(group, 2, true, u64::from(level));
    put_number(group, 3, true, meta.file.0);
    put_field(group, 4, true, &meta.table_id);
    put_number(group, 5, true, meta.size);
    put_number(group, 6, true, u64::from(meta.footer_crc));
    put_number(group, 7, true, meta.entries);
    put_number(group, 8, true, meta.deletes);
    put_number(group, 9, true, meta.range_dels);
    put_number(group, 10, true, meta.min_seq);
    put_number(group, 11, true, meta.max_seq);
    put_number(group, 12, true, meta.global_seq);
    put_field(group, 13, true, &meta.smallest);
    put_field(group, 14, true, &meta.largest);
    put_number(group, 15, true, u64::from(meta.bounds_flags));
    put_number(group, 16, false, meta.oldest_tombstone);
}

fn table_of(group: &Group<'_>) -> Result<(KeyspaceId, u8, Arc<TableMeta>)> {
    let meta = TableMeta {
        file: group.file(3)?,
        table_id: group.id(4)?,
        size: group.number(5)?,
        footer_crc: group.number_u32(6)?,
        entries: group.number(7)?,
        deletes: group.number(8)?,
        range_dels: group.number(9)?,
        min_seq: group.seq(10)?,
        max_seq: group.seq(11)?,
        global_seq: group.seq(12)?,
        smallest: group.bytes(13, KEY_LEN_MAX)?,
        largest: group.bytes(14, KEY_LEN_MAX)?,
        bounds_flags: group.number_u32(15)?,
        oldest_tombstone: group.number_or_zero(16)?,
    };
    Ok((group.keyspace(1)?, group.level(2)?, Arc::new(meta)))
}

fn close_of(group: &Group<'_>) -> Result<CloseMark> {
    Ok(CloseMark { log: group.file(1)?, length: group.number(2)?, last_seq: group.seq(3)? })
}

fn once<T>(slot: &mut Option<T>, value: T, field: &Field<'_>) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(field.damaged("second field of its kind")),
    }
}

fn push<T>(list: &mut Vec<T>, item: T) -> Result<()> {
    reserve(list, 1, Area::Manifest)?;
    list.push(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::types::SEQ_MAX;

    #[test]
    fn unknown_advisory_fields_are_skipped_and_not_kept() {
        let mut edit = VersionEdit { next_file: Some(7), ..VersionEdit::default() };
        let mut bytes = edit.encode().unwrap();
        put_field(&mut bytes, 99, false, b"later");
        put_group(&mut bytes, FLUSHED, true, |group| {
            put_number(group, 1, true, 3);
            put_number(group, 2, true, 9);
            put_field(group, 40, false, b"later");
        });
        edit.flushed = vec![(KeyspaceId(3), 9)];
        assert_eq!(VersionEdit::decode(&bytes).unwrap(), edit);
    }

    #[test]
    fn unknown_fields_that_must_be_understood_refuse_the_edit() {
        let mut bytes = Vec::new();
        put_field(&mut bytes, 99, true, b"later");
        let error = VersionEdit::decode(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Format);

        let mut bytes = Vec::new();
        put_group(&mut bytes, FLUSHED, true, |group| {
            put_number(group, 1, true, 3);
            put_number(group, 2, true, 9);
            put_field(group, 3, true, b"later");
        });
        assert_eq!(VersionEdit::decode(&bytes).unwrap_err().kind(), ErrorKind::Format);
    }

    #[test]
    fn repeated_missing_and_overlong_fields_are_damage() {
        let mut twice = Vec::new();
        put_number(&mut twice, NEXT_FILE, true, 1);
        put_number(&mut twice, NEXT_FILE, true, 1);
        let mut missing = Vec::new();
        put_group(&mut missing, LOG_ADD, true, |group| put_number(group, 1, true, 1));
        let mut long = Vec::new();
        put_field(&mut long, LAST_SEQ, true, &[1, 0]);
        let mut high = Vec::new();
        put_number(&mut high, LAST_SEQ, true, SEQ_MAX + 1);
        let mut filled_base_end = Vec::new();
        put_field(&mut filled_base_end, BASE_END, true, &[0]);
        for bytes in [twice, missing, long, high, filled_base_end] {
            let error = VersionEdit::decode(&bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{bytes:?}");
        }
    }
}
