//! The footer of a table file and the handles of its sections.
//!
//! Bytes: docs/FORMAT.md, section 6.2. The sections lie one behind another without a gap, so every byte
//! of the file is under exactly one checksum.
//!
//! Invariants
//! 1. A decoded footer's sections follow each other from offset 0 to the footer; no length in it exceeds
//!    the file.
//! 2. The footer's own checksum is judged before any other field but the magic.

use crate::checksum::{crc32, place};
use crate::coding::{Decoder, put_u32, put_u64, u32_at};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::types::{FileNum, TableId};

pub const FOOTER_LEN: usize = 128;
pub const TABLE_MAGIC: [u8; 8] = *b"ESKSST\0\x01";
pub const TABLE_VERSION: u32 = 1;
/// Sections and blocks begin at multiples of this; block offsets are stored in these units.
pub const WORD: u64 = 8;
const CRC_AT: usize = FOOTER_LEN - 4;

/// Place value's base for the checksums of a table.
pub fn salt_of(table_id: &TableId) -> u32 {
    u32_at(table_id, 0).unwrap_or(0)
}

/// Where a section lies, and its checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SectionHandle {
    pub offset: u64,
    /// 0: the table has no such section.
    pub len: u32,
    pub crc: u32,
}

impl SectionHandle {
    /// Describes `bytes` at `offset` of the table with `salt`.
    pub fn of(bytes: &[u8], offset: u64, salt: u32) -> Result<SectionHandle> {
        let len = u32::try_from(bytes.len()).map_err(|_| {
            let message = "a section of a table would pass 4 GiB";
            Error::new(ErrorKind::Limit, Area::Table, message).with_value(u64::from(u32::MAX))
        })?;
        Ok(SectionHandle { offset, len, crc: crc32(place(salt, offset), bytes) })
    }

    /// Whether `bytes` are what the handle was made from.
    pub fn matches(&self, bytes: &[u8], salt: u32) -> bool {
        bytes.len() == self.len as usize && crc32(place(salt, self.offset), bytes) == self.crc
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.offset);
        put_u32(out, self.len);
        put_u32(out, self.crc);
    }

    fn take(decoder: &mut Decoder<'_>) -> Option<SectionHandle> {
        Some(SectionHandle {
            offset: decoder.take_u64()?,
            len: decoder.take_u32()?,
            crc: decoder.take_u32()?,
        })
    }
}

/// The last 128 bytes of a table file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footer {
    pub table_id: TableId,
    pub filter: SectionHandle,
    pub index: SectionHandle,
    pub properties: SectionHandle,
    /// Bytes of data blocks, from offset 0.
    pub data_len: u64,
    pub entries: u64,
    pub blocks: u32,
    /// The block size the builder aimed at.
    pub block_target: u32,
}

impl Footer {
    /// The footer's bytes at `offset`, and the checksum among them.
    pub fn encode(&self, offset: u64) -> (Vec<u8>, u32) {
        let mut out = Vec::with_capacity(FOOTER_LEN);
        out.extend_from_slice(&TABLE_MAGIC);
        put_u32(&mut out, TABLE_VERSION);
        put_u32(&mut out, 0);
        out.extend_from_slice(&self.table_id);
        let none = SectionHandle::default();
        for section in [&self.index, &self.filter, &none, &self.properties] {
            section.put(&mut out);
        }
        put_u64(&mut out, self.data_len);
        put_u64(&mut out, self.entries);
        put_u32(&mut out, self.blocks);
        put_u32(&mut out, self.block_target);
        put_u32(&mut out, 0);
        let crc = crc32(place(salt_of(&self.table_id), offset), &out);
        put_u32(&mut out, crc);
        (out, crc)
    }

    /// Reads the footer that ends a file of `offset` + 128 bytes.
    pub fn decode(bytes: &[u8; FOOTER_LEN], offset: u64, file: FileNum) -> Result<Footer> {
        let corrupt = |what: &str| {
            let message = format!("footer of table {file}: {what}");
            Error::corrupt(Area::Table, file.0, offset, message)
        };
        if !bytes.starts_with(&TABLE_MAGIC) {
            return Err(corrupt("no magic number"));
        }
        let stored = u32_at(bytes, CRC_AT).unwrap_or(0);
        let salt = u32_at(bytes, 16).unwrap_or(0);
        let covered = bytes.get(..CRC_AT).unwrap_or_default();
        if crc32(place(salt, offset), covered) != stored {
            return Err(corrupt("checksum does not match"));
        }
        let (version, flags) = (u32_at(bytes, 8).unwrap_or(0), u32_at(bytes, 12).unwrap_or(0));
        if version != TABLE_VERSION || flags != 0 {
            let message = format!(
                "table {file} has format version {version} and flags {flags:#x}, this library reads \
                 version {TABLE_VERSION} without flags"
            );
            let error = Error::new(ErrorKind::Format, Area::Table, message);
            return Err(error.with_file(file.0).with_offset(offset));
        }
        let (footer, range_deletes) =
            Footer::take(&mut Decoder::new(covered)).ok_or_else(|| corrupt("too short"))?;
        if range_deletes != SectionHandle::default() {
            let message =
                format!("table {file} holds range deletes, which this library cannot read");
            let error = Error::new(ErrorKind::Format, Area::Table, message);
            return Err(error.with_file(file.0).with_offset(offset));
        }
        if !footer.sections_fill(offset) {
            return Err(corrupt("sections do not fill the file"));
        }
        Ok(footer)
    }

    fn take(decoder: &mut Decoder<'_>) -> Option<(Footer, SectionHandle)> {
        decoder.take(16)?;
        let table_id = decoder.take(16)?.try_into().ok()?;
        let index = SectionHandle::take(decoder)?;
        let filter = SectionHandle::take(decoder)?;
        let range_deletes = SectionHandle::take(decoder)?;
        let properties = SectionHandle::take(decoder)?;
        let footer = Footer {
            table_id,
            filter,
            index,
            properties,
            data_len: decoder.take_u64()?,
            entries: decoder.take_u64()?,
            blocks: decoder.take_u32()?,
            block_target: decoder.take_u32()?,
        };
        Some((footer, range_deletes))
    }

    /// Whether data, filter, index and properties follow each other up to `end`.
    fn sections_fill(&self, end: u64) -> bool {
        let mut at = Some(self.data_len);
        for section in [&self.filter, &self.index, &self.properties] {
            let absent = *section == SectionHandle::default();
            if !absent && at != Some(section.offset) {
                return false;
            }
            at = at.and_then(|at| at.checked_add(u64::from(section.len)));
        }
        at == Some(end) && self.data_len != 0 && self.index.len != 0 && self.properties.len != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Footer {
        let section = |offset, len| SectionHandle { offset, len, crc: 9 };
        Footer {
            table_id: *b"0123456789abcdef",
            filter: section(64, 128),
            index: section(192, 80),
            properties: section(272, 40),
            data_len: 64,
            entries: 3,
            blocks: 1,
            block_target: 4096,
        }
    }

    fn decode(bytes: &[u8], offset: u64) -> Result<Footer> {
        Footer::decode(bytes.try_into().unwrap(), offset, FileNum(7))
    }

    #[test]
    fn footers_round_trip() {
        let mut footer = footer();
        assert_eq!(decode(&footer.encode(312).0, 312).unwrap(), footer);
        footer.filter = SectionHandle::default();
        footer.index.offset = 64;
        footer.properties.offset = 144;
        assert_eq!(decode(&footer.encode(184).0, 184).unwrap(), footer);
    }

    #[test]
    fn every_flipped_byte_and_every_other_place_is_noticed() {
        let (good, _) = footer().encode(312);
        for at in 0..FOOTER_LEN {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(decode(&bad, 312).unwrap_err().kind(), ErrorKind::Corrupt, "byte {at}");
        }
        assert_eq!(decode(&good, 320).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn sections_outside_the_file_are_refused() {
        let spoil: [fn(&mut Footer); 6] = [
            |f| f.data_len = u64::MAX,
            |f| f.index.len = u32::MAX,
            |f| f.filter.offset = 0,
            |f| f.properties.offset = 300,
            |f| f.properties.len = 32,
            |f| f.index = SectionHandle::default(),
        ];
        for change in spoil {
            let mut bad = footer();
            change(&mut bad);
            assert_eq!(decode(&bad.encode(312).0, 312).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
