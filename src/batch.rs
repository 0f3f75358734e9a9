//! The write batch and its encoding: what C programs build, what a log record carries, what memtables take.
//!
//! Layout: docs/FORMAT.md, section 2. The encoding is public and frozen as version 1; a batch goes from
//! the caller into the log without being rewritten.
//!
//! Invariants
//! 1. A `WriteBatch` always holds a complete encoding; an operation that fails leaves it as it was.
//! 2. `check` accepts exactly the encodings whose every operation `BatchReader` yields without an error and
//!    whose count is right.
//! 3. No byte string makes a function here panic, or allocate more than its own length and an error.

use crate::coding::{Decoder, put_bytes, put_varint, u16_at, u32_at, varint_len};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::key::EntryKind;
use crate::types::{BATCH_LEN_MAX, KEY_LEN_MAX, KeyspaceId, VALUE_LEN_MAX};

/// Bytes before the first operation: u8 version, u8 flags, u16 zero, u32 count.
pub const BATCH_HEADER_LEN: usize = 8;

const VERSION: u8 = 1;
const COUNT_AT: usize = 4;

/// One operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOp<'a> {
    pub kind: EntryKind,
    pub keyspace: KeyspaceId,
    pub key: &'a [u8],
    /// Empty for a delete.
    pub value: &'a [u8],
}

fn limit(message: String, value: usize) -> Error {
    Error::new(ErrorKind::Limit, Area::Batch, message).with_value(value as u64)
}

fn corrupt(offset: usize, what: &str) -> Error {
    let message = format!("batch: {what} at offset {offset}");
    Error::corrupt(Area::Batch, 0, offset as u64, message)
}

/// Refuses a key or value over its limit, with the limit in the error's `value`.
pub fn check_key_value(key_len: usize, value_len: usize) -> Result<()> {
    if key_len > KEY_LEN_MAX {
        let message = format!("key of {key_len} bytes is over the limit of {KEY_LEN_MAX}");
        return Err(limit(message, KEY_LEN_MAX));
    }
    if value_len > VALUE_LEN_MAX {
        let message = format!("value of {value_len} bytes is over the limit of {VALUE_LEN_MAX}");
        return Err(limit(message, VALUE_LEN_MAX));
    }
    Ok(())
}

fn check_batch_len(len: usize) -> Result<()> {
    if len > BATCH_LEN_MAX {
        let message = format!("batch of {len} bytes is over the limit of {BATCH_LEN_MAX}");
        return Err(limit(message, BATCH_LEN_MAX));
    }
    Ok(())
}

/// Bytes one operation takes in a batch.
fn op_len(kind: EntryKind, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> usize {
    let key_part = 1 + varint_len(u64::from(keyspace.0)) + varint_len(key.len() as u64) + key.len();
    match kind {
        EntryKind::Put => key_part + varint_len(value.len() as u64) + value.len(),
        EntryKind::Delete => key_part,
    }
}

fn put_header(out: &mut Vec<u8>, count: u32) {
    out.extend_from_slice(&[VERSION, 0, 0, 0]);
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_op(out: &mut Vec<u8>, kind: EntryKind, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
    out.push(kind as u8);
    put_varint(out, u64::from(keyspace.0));
    put_bytes(out, key);
    if kind == EntryKind::Put {
        put_bytes(out, value);
    }
}

/// Bytes of a batch of this one operation.
pub fn encoded_one_len(kind: EntryKind, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> usize {
    BATCH_HEADER_LEN + op_len(kind, keyspace, key, value)
}

/// Replaces `out` by a batch of one operation. The caller has checked the limits, and has reserved
/// [`encoded_one_len`] where running out of memory must not abort.
pub fn encode_one(
    out: &mut Vec<u8>,
    kind: EntryKind,
    keyspace: KeyspaceId,
    key: &[u8],
    value: &[u8],
) {
    out.clear();
    put_header(out, 1);
    put_op(out, kind, keyspace, key, value);
}

/// An encoded batch under construction.
#[derive(Clone)]
pub struct WriteBatch {
    bytes: Vec<u8>,
}

impl Default for WriteBatch {
    fn default() -> WriteBatch {
        WriteBatch::new()
    }
}

impl WriteBatch {
    pub fn new() -> WriteBatch {
        let mut bytes = Vec::with_capacity(BATCH_HEADER_LEN);
        put_header(&mut bytes, 0);
        WriteBatch { bytes }
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        put_header(&mut self.bytes, 0);
    }

    /// Makes room for `bytes` more of encoded operations.
    pub fn reserve(&mut self, bytes: usize) -> Result<()> {
        check_batch_len(self.bytes.len().saturating_add(bytes))?;
        self.bytes.try_reserve(bytes).map_err(|_| Error::no_memory(Area::Batch, bytes))
    }

    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) -> Result<()> {
        self.add(EntryKind::Put, keyspace, key, value)
    }

    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) -> Result<()> {
        self.add(EntryKind::Delete, keyspace, key, &[])
    }

    fn add(&mut self, kind: EntryKind, ks: KeyspaceId, key: &[u8], value: &[u8]) -> Result<()> {
        check_key_value(key.len(), value.len())?;
        let count = self.count_with(1)?;
        self.reserve(op_len(kind, ks, key, value))?;
        put_op(&mut self.bytes, kind, ks, key, value);
        self.set_count(count);
        Ok(())
    }

    /// Adds every operation of `from`.
    pub fn append(&mut self, from: &WriteBatch) -> Result<()> {
        let count = self.count_with(from.count())?;
        let ops = from.bytes.get(BATCH_HEADER_LEN..).unwrap_or(&[]);
        self.reserve(ops.len())?;
        self.bytes.extend_from_slice(ops);
        self.set_count(count);
        Ok(())
    }

    /// Adds every operation the batch already has once more.
    pub fn append_self(&mut self) -> Result<()> {
        let count = self.count_with(self.count())?;
        self.reserve(self.bytes.len().saturating_sub(BATCH_HEADER_LEN))?;
        self.bytes.extend_from_within(BATCH_HEADER_LEN..);
        self.set_count(count);
        Ok(())
    }

    fn count_with(&self, more: u32) -> Result<u32> {
        self.count().checked_add(more).ok_or_else(|| {
            let message = format!("batch of more than {} operations", u32::MAX);
            limit(message, u32::MAX as usize)
        })
    }

    fn set_count(&mut self, count: u32) {
        if let Some(field) = self.bytes.get_mut(COUNT_AT..BATCH_HEADER_LEN) {
            field.copy_from_slice(&count.to_le_bytes());
        }
    }

    pub fn count(&self) -> u32 {
        u32_at(&self.bytes, COUNT_AT).unwrap_or(0)
    }

    /// The encoding, header included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Copies an encoding after checking every byte of it, whatever keyspaces it names. `CORRUPT` with the
    /// offset, `FORMAT` for an unknown version, `LIMIT`, `NOMEM`.
    pub fn from_bytes(bytes: &[u8]) -> Result<WriteBatch> {
        check(bytes, u32::MAX)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len())
            .map_err(|_| Error::no_memory(Area::Batch, bytes.len()))?;
        copy.extend_from_slice(bytes);
        Ok(WriteBatch { bytes: copy })
    }
}

/// The count in the header of an encoding; `None` when it is too short to have one.
pub fn count_of(bytes: &[u8]) -> Option<u32> {
    u32_at(bytes, COUNT_AT)
}

/// Checks every byte of an encoding and returns its count. Keyspace ids must be below `keyspaces`
/// (`INVALID`); `CORRUPT` and `LIMIT` come with the offset, `FORMAT` for an unknown version or flag.
pub fn check(bytes: &[u8], keyspaces: u32) -> Result<u32> {
    check_batch_len(bytes.len())?;
    let mut reader = BatchReader::new(bytes)?;
    let mut ops: u64 = 0;
    loop {
        let at = reader.position();
        let Some(op) = reader.next_op()? else { break };
        if op.keyspace.0 >= keyspaces {
            let message = format!("batch: unknown keyspace {} at offset {at}", op.keyspace.0);
            return Err(Error::invalid(Area::Batch, message)
                .with_offset(at as u64)
                .with_value(u64::from(op.keyspace.0)));
        }
        ops = ops.saturating_add(1);
    }
    let count = count_of(bytes).ok_or_else(|| corrupt(0, "no header"))?;
    if u64::from(count) != ops {
        return Err(corrupt(COUNT_AT, &format!("count {count} but {ops} operations")));
    }
    Ok(count)
}

fn check_header(bytes: &[u8]) -> Result<()> {
    let header = bytes.get(..BATCH_HEADER_LEN).ok_or_else(|| corrupt(0, "no header"))?;
    let (version, flags) = (header.first().copied(), header.get(1).copied());
    if version == Some(0) {
        return Err(corrupt(0, "version 0"));
    }
    if version != Some(VERSION) || flags != Some(0) {
        let message = format!("batch: version {version:?} with flags {flags:?} is not known");
        return Err(Error::new(ErrorKind::Format, Area::Batch, message));
    }
    match u16_at(header, 2) {
        Some(0) => Ok(()),
        _ => Err(corrupt(2, "bytes that must be zero")),
    }
}

/// Walks the operations of an encoding.
#[derive(Clone, Debug)]
pub struct BatchReader<'a> {
    decoder: Decoder<'a>,
    /// Where `decoder` begins in the encoding.
    base: usize,
}

impl<'a> BatchReader<'a> {
    /// Starts at the first operation.
    pub fn new(bytes: &'a [u8]) -> Result<BatchReader<'a>> {
        BatchReader::at(bytes, BATCH_HEADER_LEN)
    }

    /// Starts at `position`, which an earlier reader of the same bytes gave.
    pub fn at(bytes: &'a [u8], position: usize) -> Result<BatchReader<'a>> {
        check_header(bytes)?;
        let ops = match bytes.get(position..) {
            Some(ops) if position >= BATCH_HEADER_LEN => ops,
            _ => return Err(Error::invalid(Area::Batch, "position outside the batch")),
        };
        Ok(BatchReader { decoder: Decoder::new(ops), base: position })
    }

    /// Offset of the next operation in the encoding.
    pub fn position(&self) -> usize {
        self.base.saturating_add(self.decoder.position())
    }

    /// The next operation, `None` behind the last.
    pub fn next_op(&mut self) -> Result<Option<BatchOp<'a>>> {
        let at = self.position();
        let Some(byte) = self.decoder.take_u8() else { return Ok(None) };
        let kind = EntryKind::from_byte(byte)
            .ok_or_else(|| corrupt(at, &format!("unknown operation kind {byte}")))?;
        let keyspace = self
            .decoder
            .take_varint()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| corrupt(at, "damaged keyspace id"))?;
        let key = self.take_bytes(at, "key", KEY_LEN_MAX)?;
        let value = match kind {
            EntryKind::Put => self.take_bytes(at, "value", VALUE_LEN_MAX)?,
            EntryKind::Delete => &[],
        };
        Ok(Some(BatchOp { kind, keyspace: KeyspaceId(keyspace), key, value }))
    }

    fn take_bytes(&mut self, at: usize, noun: &str, len_max: usize) -> Result<&'a [u8]> {
        let len = self
            .decoder
            .take_varint()
            .ok_or_else(|| corrupt(at, &format!("damaged {noun} length")))?;
        if len > len_max as u64 {
            let message = format!("batch: {noun} of {len} bytes at offset {at}, limit {len_max}");
            return Err(limit(message, len_max).with_offset(at as u64));
        }
        self.decoder.take(len as usize).ok_or_else(|| corrupt(at, &format!("cut-off {noun}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KS: KeyspaceId = KeyspaceId(0);

    fn sample() -> WriteBatch {
        let mut batch = WriteBatch::new();
        batch.put(KS, b"key", b"value").expect("fits");
        batch.delete(KeyspaceId(300), b"").expect("fits");
        batch
    }

    #[test]
    fn operations_come_back_in_order() {
        let batch = sample();
        let mut reader = BatchReader::new(batch.as_bytes()).expect("valid");
        let put = reader.next_op().expect("valid").expect("first");
        assert_eq!((put.kind, put.key, put.value), (EntryKind::Put, &b"key"[..], &b"value"[..]));
        let position = reader.position();
        let mut again = BatchReader::at(batch.as_bytes(), position).expect("valid");
        let delete = again.next_op().expect("valid").expect("second");
        assert_eq!((delete.kind, delete.keyspace), (EntryKind::Delete, KeyspaceId(300)));
        assert_eq!(again.next_op().expect("valid"), None);
        assert_eq!(check(batch.as_bytes(), 301).expect("valid"), 2);
    }

    #[test]
    fn one_operation_is_encoded_as_a_batch_of_one() {
        let mut out = vec![9; 3];
        encode_one(&mut out, EntryKind::Put, KS, b"key", b"value");
        let mut batch = WriteBatch::new();
        batch.put(KS, b"key", b"value").expect("fits");
        assert_eq!(out, batch.as_bytes());
        assert_eq!(out.len(), encoded_one_len(EntryKind::Put, KS, b"key", b"value"));
    }

    #[test]
    fn appending_adds_counts_also_to_itself() {
        let mut batch = sample();
        batch.append(&sample()).expect("fits");
        batch.append_self().expect("fits");
        assert_eq!(check(batch.as_bytes(), 301).expect("valid"), 8);
        batch.clear();
        assert_eq!(batch.count(), 0);
        assert_eq!(check(batch.as_bytes(), 1).expect("valid"), 0);
    }

    #[test]
    fn errors_leave_the_batch_unchanged() {
        let mut batch = sample();
        let before = batch.as_bytes().to_vec();
        let long = vec![0; KEY_LEN_MAX + 1];
        let error = batch.put(KS, &long, b"").expect_err("too long");
        assert_eq!((error.kind(), error.detail().value), (ErrorKind::Limit, KEY_LEN_MAX as u64));
        let error = batch.reserve(BATCH_LEN_MAX).expect_err("too long");
        assert_eq!((error.kind(), error.detail().value), (ErrorKind::Limit, BATCH_LEN_MAX as u64));
        assert_eq!(batch.as_bytes(), before);
    }

    #[test]
    fn each_kind_of_damage_has_its_error() {
        let good = sample().as_bytes().to_vec();
        let kind_of = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            check(&bytes, 301).expect_err("must be refused").kind()
        };
        assert_eq!(kind_of(0, 2), ErrorKind::Format);
        assert_eq!(kind_of(0, 0), ErrorKind::Corrupt);
        assert_eq!(kind_of(1, 1), ErrorKind::Format);
        assert_eq!(kind_of(2, 1), ErrorKind::Corrupt);
        assert_eq!(kind_of(4, 3), ErrorKind::Corrupt);
        assert_eq!(kind_of(8, 3), ErrorKind::Corrupt);
        assert_eq!(check(&good, 300).expect_err("keyspace 300").kind(), ErrorKind::Invalid);
        for len in 0..good.len() {
            assert_eq!(check(&good[..len], 301).expect_err("cut").kind(), ErrorKind::Corrupt);
        }
        let mut huge = good[..9].to_vec();
        huge.extend_from_slice(&[0, 0x80, 0x80, 0x04]);
        let error = check(&huge, 1).expect_err("key of 65,536 bytes");
        assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Limit, 8));
    }

    #[test]
    fn no_flipped_bit_makes_the_reader_panic_or_disagree_with_check() {
        let good = sample().as_bytes().to_vec();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let copied = WriteBatch::from_bytes(&bytes);
            let checked = check(&bytes, u32::MAX);
            assert_eq!(copied.is_ok(), checked.is_ok(), "bit {bit}");
        }
    }
}
