//! How the fields of an edit look: `varint id<<1 | must_understand`, `varint length`, bytes.
//!
//! A compound field holds sub-fields of the same form, so edits and their fields can both grow. Numbers
//! are varints that fill their field; names, keys and ids are the field's bytes (docs/FORMAT.md,
//! section 5).
//!
//! Invariants
//! 1. No input panics; every error says at which byte of the edit it was found.
//! 2. A sub-field comes at most once; an unknown one is skipped or refuses the edit, as its bit says.

use crate::buffer::copy;
use crate::coding::{Decoder, put_bytes, put_varint};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::types::{FileNum, KeyspaceId, SEQ_MAX, SeqNo};

/// Most sub-fields of a compound field.
pub const SUB_ID_MAX: usize = 16;

pub fn put_field(out: &mut Vec<u8>, id: u64, must_understand: bool, body: &[u8]) {
    put_varint(out, (id << 1) | u64::from(must_understand));
    put_bytes(out, body);
}

pub fn put_number(out: &mut Vec<u8>, id: u64, must_understand: bool, value: u64) {
    put_group(out, id, must_understand, |body| put_varint(body, value));
}

pub fn put_group(
    out: &mut Vec<u8>,
    id: u64,
    must_understand: bool,
    fill: impl FnOnce(&mut Vec<u8>),
) {
    // The body first: its length, which precedes it, is known only then.
    let start = out.len();
    fill(out);
    let len = out.len() - start;
    put_varint(out, (id << 1) | u64::from(must_understand));
    put_varint(out, len as u64);
    if let Some(group) = out.get_mut(start..) {
        group.rotate_left(len);
    }
}

/// A compound field whose sub-fields 1, 2, 3 … are numbers that must be understood.
pub fn put_numbers(out: &mut Vec<u8>, id: u64, must_understand: bool, numbers: &[u64]) {
    put_group(out, id, must_understand, |group| {
        for (sub_id, &value) in (1..).zip(numbers) {
            put_number(group, sub_id, true, value);
        }
    });
}

fn damaged(at: usize, what: &str) -> Error {
    Error::corrupt(Area::Manifest, 0, at as u64, format!("manifest edit: {what} at byte {at}"))
}

/// Splits bytes into fields.
pub struct Fields<'a> {
    rest: Decoder<'a>,
    /// Offset of the bytes in the whole edit.
    start: usize,
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8], start: usize) -> Fields<'a> {
        Fields { rest: Decoder::new(bytes), start }
    }

    pub fn next_field(&mut self) -> Result<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.start.saturating_add(self.rest.position());
        let head = self.rest.take_varint().ok_or_else(|| damaged(at, "bad field id"))?;
        let body = self.rest.take_bytes().ok_or_else(|| damaged(at, "bad field length"))?;
        let body_end = self.start.saturating_add(self.rest.position());
        Ok(Some(Field {
            id: head >> 1,
            must_understand: head & 1 == 1,
            body,
            at,
            body_at: body_end.saturating_sub(body.len()),
        }))
    }
}

pub struct Field<'a> {
    pub id: u64,
    must_understand: bool,
    pub body: &'a [u8],
    at: usize,
    body_at: usize,
}

impl<'a> Field<'a> {
    pub fn damaged(&self, what: &str) -> Error {
        damaged(self.at, &format!("{what} (field {})", self.id))
    }

    /// Skips a field this version does not know, or refuses the edit.
    pub fn unknown(&self) -> Result<()> {
        if !self.must_understand {
            return Ok(());
        }
        let message = format!(
            "manifest edit: field {} at byte {} is of a newer version and must be understood",
            self.id, self.at
        );
        Err(Error::new(ErrorKind::Format, Area::Manifest, message).with_offset(self.at as u64))
    }

    pub fn number(&self) -> Result<u64> {
        let mut decoder = Decoder::new(self.body);
        let value = decoder.take_varint().filter(|_| decoder.is_empty());
        value.ok_or_else(|| self.damaged("bad number"))
    }

    pub fn seq(&self) -> Result<SeqNo> {
        let seq = self.number()?;
        if seq > SEQ_MAX { Err(self.damaged("sequence number out of range")) } else { Ok(seq) }
    }

    /// Reads a compound field of which sub-fields 1 to `known` are known.
    pub fn group(&self, known: usize) -> Result<Group<'a>> {
        let mut group = Group { slots: [None; SUB_ID_MAX + 1], id: self.id, at: self.at };
        let mut fields = Fields::new(self.body, self.body_at);
        while let Some(field) = fields.next_field()? {
            let sub_id = usize::try_from(field.id).ok().filter(|id| (1..=known).contains(id));
            match sub_id.and_then(|id| group.slots.get_mut(id)) {
                Some(slot) if slot.is_some() => return Err(self.damaged("second sub-field")),
                Some(slot) => *slot = Some(field.body),
                None => field.unknown()?,
            }
        }
        Ok(group)
    }
}

/// The sub-fields of one compound field, by id.
pub struct Group<'a> {
    slots: [Option<&'a [u8]>; SUB_ID_MAX + 1],
    id: u64,
    at: usize,
}

impl<'a> Group<'a> {
    pub fn damaged(&self, sub_id: usize) -> Error {
        damaged(self.at, &format!("bad or missing sub-field {sub_id} of field {}", self.id))
    }

    fn body(&self, sub_id: usize) -> Result<&'a [u8]> {
        self.slots.get(sub_id).copied().flatten().ok_or_else(|| self.damaged(sub_id))
    }

    pub fn number(&self, sub_id: usize) -> Result<u64> {
        let mut decoder = Decoder::new(self.body(sub_id)?);
        let value = decoder.take_varint().filter(|_| decoder.is_empty());
        value.ok_or_else(|| self.damaged(sub_id))
    }

    /// An advisory number: one that another version may not have written.
    pub fn number_or_zero(&self, sub_id: usize) -> Result<u64> {
        match self.slots.get(sub_id) {
            Some(Some(_)) => self.number(sub_id),
            _ => Ok(0),
        }
    }

    pub fn number_u32(&self, sub_id: usize) -> Result<u32> {
        u32::try_from(self.number(sub_id)?).map_err(|_| self.damaged(sub_id))
    }

    pub fn level(&self, sub_id: usize) -> Result<u8> {
        u8::try_from(self.number(sub_id)?).map_err(|_| self.damaged(sub_id))
    }

    pub fn seq(&self, sub_id: usize) -> Result<SeqNo> {
        let seq = self.number(sub_id)?;
        if seq > SEQ_MAX { Err(self.damaged(sub_id)) } else { Ok(seq) }
    }

    pub fn file(&self, sub_id: usize) -> Result<FileNum> {
        self.number(sub_id).map(FileNum)
    }

    pub fn keyspace(&self, sub_id: usize) -> Result<KeyspaceId> {
        self.number_u32(sub_id).map(KeyspaceId)
    }

    pub fn id(&self, sub_id: usize) -> Result<[u8; 16]> {
        self.body(sub_id)?.try_into().map_err(|_| self.damaged(sub_id))
    }

    pub fn bytes(&self, sub_id: usize, len_max: usize) -> Result<Vec<u8>> {
        let body = self.body(sub_id)?;
        if body.len() > len_max {
            return Err(self.damaged(sub_id));
        }
        copy(body, Area::Manifest)
    }

    pub fn text(&self, sub_id: usize, len_max: usize) -> Result<String> {
        String::from_utf8(self.bytes(sub_id, len_max)?).map_err(|_| self.damaged(sub_id))
    }
}
