//! What a table says of itself, for tools and for a check against the manifest.
//!
//! Bytes: docs/FORMAT.md, section 6.5: `{u16 id, varint len, bytes}` repeated, then zeros to a multiple of 8.
//!
//! Invariants
//! 1. Ids are never reused; an unknown one is skipped, not refused.
//! 2. A zero id ends the list and only zeros follow it.

use crate::buffer::reserve;
use crate::coding::{Decoder, put_bytes};
use crate::error::{Area, Result};
use crate::types::SeqNo;

const ENTRIES: u16 = 1;
const DELETES: u16 = 2;
const RAW_KEY_BYTES: u16 = 4;
const RAW_VALUE_BYTES: u16 = 5;
const MIN_SEQ: u16 = 6;
const MAX_SEQ: u16 = 7;
const CREATED: u16 = 8;
const FILTER_BITS: u16 = 12;
const WRITER: u16 = 13;
const SMALLEST: u16 = 14;
const LARGEST: u16 = 15;

/// More than what the numbers, the heads of the fields and the zeros at the end take.
const FIXED_LEN_MAX: usize = 256;

/// The properties block of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableProperties<'a> {
    pub entries: u64,
    pub deletes: u64,
    pub raw_key_bytes: u64,
    pub raw_value_bytes: u64,
    pub min_seq: SeqNo,
    pub max_seq: SeqNo,
    /// Unix time of the build.
    pub created_unix: u64,
    /// Filter bits per key, times 100.
    pub filter_bits_x100: u64,
    /// Name of the library that built the table.
    pub writer: &'a [u8],
    pub smallest: &'a [u8],
    pub largest: &'a [u8],
}

impl<'a> TableProperties<'a> {
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let texts =
            [self.writer, self.smallest, self.largest].map(<[u8]>::len).iter().sum::<usize>();
        reserve(&mut out, FIXED_LEN_MAX + texts, Area::Table)?;
        let mut put = |id: u16, bytes: &[u8]| {
            out.extend_from_slice(&id.to_le_bytes());
            put_bytes(&mut out, bytes);
        };
        for (id, number) in [
            (ENTRIES, self.entries),
            (DELETES, self.deletes),
            (RAW_KEY_BYTES, self.raw_key_bytes),
            (RAW_VALUE_BYTES, self.raw_value_bytes),
            (MIN_SEQ, self.min_seq),
            (MAX_SEQ, self.max_seq),
            (CREATED, self.created_unix),
            (FILTER_BITS, self.filter_bits_x100),
        ] {
            put(id, &number.to_le_bytes());
        }
        put(WRITER, self.writer);
        put(SMALLEST, self.smallest);
        put(LARGEST, self.largest);
        out.resize(out.len().next_multiple_of(8), 0);
        Ok(out)
    }

    /// Reads a properties block; `None` when it is malformed.
    pub fn decode(bytes: &'a [u8]) -> Option<TableProperties<'a>> {
        let mut properties = TableProperties::default();
        let mut decoder = Decoder::new(bytes);
        while decoder.remaining() >= 3 {
            let id = decoder.take_u16()?;
            if id == 0 {
                break;
            }
            let value = decoder.take_bytes()?;
            let number = || <[u8; 8]>::try_from(value).ok().map(u64::from_le_bytes);
            match id {
                ENTRIES => properties.entries = number()?,
                DELETES => properties.deletes = number()?,
                RAW_KEY_BYTES => properties.raw_key_bytes = number()?,
                RAW_VALUE_BYTES => properties.raw_value_bytes = number()?,
                MIN_SEQ => properties.min_seq = number()?,
                MAX_SEQ => properties.max_seq = number()?,
                CREATED => properties.created_unix = number()?,
                FILTER_BITS => properties.filter_bits_x100 = number()?,
                WRITER => properties.writer = value,
                SMALLEST => properties.smallest = value,
                LARGEST => properties.largest = value,
                _ => {}
            }
        }
        let rest = decoder.take(decoder.remaining())?;
        rest.iter().all(|&byte| byte == 0).then_some(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_round_trip_and_skip_unknown_ids() {
        let properties = TableProperties {
            entries: 5,
            max_seq: 1 << 40,
            smallest: b"a",
            largest: &[0; 300],
            ..TableProperties::default()
        };
        let mut bytes = properties.encode().unwrap();
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(TableProperties::decode(&bytes), Some(properties.clone()));
        let mut unknown = vec![0xff, 0x7f, 3, 1, 2, 3];
        unknown.append(&mut bytes);
        assert_eq!(TableProperties::decode(&unknown), Some(properties));
    }

    #[test]
    fn malformed_properties_are_refused() {
        assert_eq!(TableProperties::decode(&[1, 0, 200, 1, 0, 0, 0, 0]), None);
        assert_eq!(TableProperties::decode(&[1, 0, 2, 1, 1, 0, 0, 0]), None);
        assert_eq!(TableProperties::decode(&[0, 0, 0, 0, 0, 0, 0, 1]), None);
    }
}
