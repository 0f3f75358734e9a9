//! Writes one table file.
//!
//! Layout: docs/FORMAT.md, section 6. Entries go into the open data block; a full one is appended to a
//! buffer that is written in large pieces. Filter, index, properties and footer follow at the end.
//!
//! Invariants
//! 1. Entries arrive in strictly ascending internal order; anything else is refused before it reaches the
//!    file.
//! 2. After an error every later call returns that error.
//! 3. Every byte is durable before `finish` returns the table's facts. The file's name is the caller's
//!    business.

use crate::block::builder::BlockBuilder;
use crate::block::format::BLOCK_ENTRIES_MAX;
use crate::buffer;
use crate::checks::CHECKS;
use crate::checksum::place;
use crate::env::api::File;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::filter::kind::FilterBuilder;
use crate::hash::hash64;
use crate::key::{EntryKind, Tag, tag_kind, tag_seq};
use crate::order::Order;
use crate::planted::{self, Planted};
use crate::table::format::{FOOTER_LEN, Footer, SectionHandle, WORD, salt_of};
use crate::table::index::IndexBuilder;
use crate::table::meta::{TableMeta, TableOptions};
use crate::table::properties::TableProperties;
use crate::types::{FileNum, KEY_LEN_MAX, TableId, VALUE_LEN_MAX};
use std::cmp::Ordering;

/// Bytes gathered before they are written.
const PIECE_LEN: usize = 256 << 10;
/// Block sizes a builder aims at; others are moved to the nearest.
const BLOCK_SIZE_MIN: usize = 256;
const BLOCK_SIZE_MAX: usize = 4 << 20;
/// A block that misses its target by at most this part of it is padded to it.
const PAD_PART: usize = 16;
/// The data section is padded so that the filter's lines are cache lines of the file.
const DATA_ALIGN: u64 = 64;

/// Who built the table, in its properties. Without a version: equal input gives equal bytes.
const WRITER: &[u8] = b"esker";

/// Builds a table from ascending entries.
pub struct TableBuilder {
    file: File,
    order: Order,
    salt: u32,
    block_size: usize,
    block_entries: usize,
    filter_bits: u32,
    created_unix: u64,
    /// What is known so far; size and checksum come last.
    meta: TableMeta,
    raw_key_bytes: u64,
    raw_value_bytes: u64,
    last_tag: Tag,
    block: BlockBuilder,
    index: IndexBuilder,
    filter: FilterBuilder,
    /// Bytes not written yet; they belong at `written`.
    out: Vec<u8>,
    written: u64,
    failed: Option<Error>,
}

impl TableBuilder {
    /// Begins a table in an empty file.
    pub fn new(
        file: File,
        number: FileNum,
        table_id: TableId,
        options: &TableOptions,
        created_unix: u64,
    ) -> TableBuilder {
        let block_size = options.block_size.clamp(BLOCK_SIZE_MIN, BLOCK_SIZE_MAX);
        let block_entries = match options.block_entries {
            0 => BLOCK_ENTRIES_MAX,
            limit => limit.min(BLOCK_ENTRIES_MAX),
        };
        let order = &options.order;
        let filter_bits = if order.exact() { options.filter_bits } else { 0 };
        TableBuilder {
            file,
            order: order.clone(),
            salt: salt_of(&table_id),
            block_size: block_size - block_size % WORD as usize,
            block_entries,
            filter_bits,
            created_unix,
            meta: TableMeta {
                file: number,
                table_id,
                size: 0,
                footer_crc: 0,
                entries: 0,
                deletes: 0,
                range_dels: 0,
                min_seq: u64::MAX,
                max_seq: 0,
                global_seq: 0,
                smallest: Vec::new(),
                largest: Vec::new(),
                bounds_flags: 0,
                oldest_tombstone: 0,
            },
            raw_key_bytes: 0,
            raw_value_bytes: 0,
            last_tag: 0,
            block: BlockBuilder::new(options.codec, order.clone()),
            index: IndexBuilder::new(order.clone()),
            filter: FilterBuilder::new(options.filter, filter_bits),
            out: Vec::new(),
            written: 0,
            failed: None,
        }
    }

    /// Takes the next entry. `CORRUPT` when it is not above the last one, `LIMIT` when key or value are too
    /// long.
    pub fn add(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let added = self.try_add(key, tag, value);
        if let Err(error) = &added {
            self.failed = Some(error.clone());
        }
        added
    }

    fn try_add(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<()> {
        let kind = self.check_entry(key, tag, value)?;
        if !self.block.is_empty()
            && (self.block.count() >= self.block_entries
                || self.block.size_with(key, tag, value) > self.block_size)
        {
            self.close_block(Some(key))?;
        }
        if self.meta.entries == 0 {
            self.meta.smallest = buffer::copy(key, Area::Table)?;
        }
        self.block.add(key, tag, value)?;
        self.last_tag = tag;
        self.meta.entries += 1;
        self.meta.deletes += u64::from(kind == EntryKind::Delete);
        self.meta.min_seq = self.meta.min_seq.min(tag_seq(tag));
        self.meta.max_seq = self.meta.max_seq.max(tag_seq(tag));
        self.raw_key_bytes += key.len() as u64;
        self.raw_value_bytes += value.len() as u64;
        Ok(())
    }

    /// Checks what the format promises, and adds a new user key to the filter.
    fn check_entry(&mut self, key: &[u8], tag: Tag, value: &[u8]) -> Result<EntryKind> {
        if key.len() > KEY_LEN_MAX || value.len() > VALUE_LEN_MAX {
            let message = format!("key of {} and value of {} bytes", key.len(), value.len());
            return Err(Error::new(ErrorKind::Limit, Area::Table, message));
        }
        let corrupt = |what: &str| {
            let message = format!("building table {}: {what}", self.meta.file);
            Error::corrupt(Area::Table, self.meta.file.0, self.offset(), message)
        };
        let kind = tag_kind(tag).ok_or_else(|| corrupt("an entry has an unknown kind"))?;
        // A closed block is followed at once by an entry, so an empty one means no entry yet.
        let first = self.block.is_empty();
        if CHECKS && !first && self.compare_with_last(key, tag) != Ordering::Less {
            return Err(self.order.blame(corrupt("an entry is not above the one before it")));
        }
        if first || self.last_key() != key {
            self.filter.add(hash64(key, 0))?;
        }
        Ok(kind)
    }

    fn compare_with_last(&self, key: &[u8], tag: Tag) -> Ordering {
        self.order.compare_internal(self.last_key(), self.last_tag, key, tag)
    }

    /// Bytes of the file so far.
    fn offset(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Seals the open block; `next` is the key that will begin the one behind it.
    fn close_block(&mut self, next: Option<&[u8]>) -> Result<()> {
        let start = self.offset();
        let target = self.block_size;
        let padded = |used: usize| {
            let len = match next {
                Some(_) if used <= target && target - used <= target / PAD_PART => target,
                Some(_) => used,
                None => {
                    (start + used as u64).next_multiple_of(DATA_ALIGN) as usize - start as usize
                }
            };
            len.next_multiple_of(WORD as usize)
        };
        let last = buffer::copy(self.block.last_key(), Area::Table)?;
        self.block.finish(&mut self.out, place(self.salt, start), padded)?;
        self.index.add(self.offset(), &last, next)?;
        if next.is_none() {
            self.meta.largest = last;
        }
        if self.out.len() >= PIECE_LEN { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> Result<()> {
        self.file.write_all_at(&self.out, self.written)?;
        self.written += self.out.len() as u64;
        buffer::empty(&mut self.out, 4 * PIECE_LEN);
        Ok(())
    }

    /// Bytes the file would have if it were finished now, about.
    pub fn size_estimate(&self) -> u64 {
        let rest = self.filter.size_estimate() + self.index.size_estimate();
        self.offset() + self.block.size() as u64 + rest + FOOTER_LEN as u64
    }

    /// Entries taken so far.
    pub fn entries(&self) -> u64 {
        self.meta.entries
    }

    /// Key of the newest entry; empty when there is none.
    pub fn last_key(&self) -> &[u8] {
        self.block.last_key()
    }

    /// Writes the rest, makes everything durable and returns the table's facts. A table needs an entry.
    pub fn finish(mut self) -> Result<TableMeta> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.meta.entries == 0 {
            return Err(Error::invalid(Area::Table, "a table without entries"));
        }
        self.close_block(None)?;
        if self.meta.deletes > 0 {
            self.meta.oldest_tombstone = self.created_unix;
        }
        let data_len = self.offset();
        let filter = self.filter.finish()?;
        let filter = self.put_section(&filter)?;
        let index = self.index.finish()?;
        let index = self.put_section(&index)?;
        let properties = self.properties().encode()?;
        let footer = Footer {
            table_id: self.meta.table_id,
            filter,
            index,
            properties: self.put_section(&properties)?,
            data_len,
            entries: self.meta.entries,
            blocks: self.index.count() as u32,
            block_target: self.block_size as u32,
        };
        let (bytes, crc) = footer.encode(self.offset());
        buffer::append(&mut self.out, &bytes, Area::Table)?;
        self.write_out()?;
        if !planted::is(Planted::TableNotSynced) {
            self.file.sync_data()?;
        }
        self.meta.footer_crc = crc;
        self.meta.size = self.written;
        Ok(self.meta)
    }

    fn put_section(&mut self, bytes: &[u8]) -> Result<SectionHandle> {
        if bytes.is_empty() {
            return Ok(SectionHandle::default());
        }
        let handle = SectionHandle::of(bytes, self.offset(), self.salt)?;
        buffer::append(&mut self.out, bytes, Area::Table)?;
        if self.out.len() >= PIECE_LEN {
            self.write_out()?;
        }
        Ok(handle)
    }

    fn properties(&self) -> TableProperties<'_> {
        TableProperties {
            entries: self.meta.entries,
            deletes: self.meta.deletes,
            raw_key_bytes: self.raw_key_bytes,
            raw_value_bytes: self.raw_value_bytes,
            min_seq: self.meta.min_seq,
            max_seq: self.meta.max_seq,
            created_unix: self.created_unix,
            filter_bits_x100: u64::from(self.filter_bits) * 100,
            writer: WRITER,
            smallest: &self.meta.smallest,
            largest: &self.meta.largest,
        }
    }
}
