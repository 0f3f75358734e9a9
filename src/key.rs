//! Internal keys: a user key and a tag.
//!
//! A tag is `seq << 8 | kind`. Entries are ordered by user key ascending (see `order`), then by tag descending,
//! so the newest version of a key comes first. Key and tag travel side by side and are never concatenated.
//!
//! Invariants
//! 1. Kind numbers are on disk for ever and are the same in batches, memtables and tables.
//! 2. Kind 0 is illegal, so zero-filled bytes never parse as an entry.

use crate::buffer::copy;
use crate::error::{Area, Result};
use crate::types::SeqNo;

/// `seq << 8 | kind`.
pub type Tag = u64;

/// Sorts before every entry of its user key.
pub const TAG_MAX: Tag = u64::MAX;

/// What an entry does. Numbers 3 to 7 are reserved (merge, single delete, range delete, put with
/// expiry, blob put) and refused by this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    Put = 1,
    Delete = 2,
}

impl EntryKind {
    pub fn from_byte(byte: u8) -> Option<EntryKind> {
        match byte {
            1 => Some(EntryKind::Put),
            2 => Some(EntryKind::Delete),
            _ => None,
        }
    }
}

pub fn make_tag(seq: SeqNo, kind: EntryKind) -> Tag {
    (seq << 8) | kind as u64
}

/// The tag that, sought together with a user key, finds the newest entry visible at `seq`.
pub fn seek_tag(seq: SeqNo) -> Tag {
    (seq << 8) | 0xff
}

pub fn tag_seq(tag: Tag) -> SeqNo {
    tag >> 8
}

pub fn tag_kind(tag: Tag) -> Option<EntryKind> {
    EntryKind::from_byte(tag as u8)
}

/// Shortest string `s` with `a < s <= b` by bytes; `a < b` is required. The separator of two blocks.
pub fn shortest_separator<'b>(a: &[u8], b: &'b [u8]) -> &'b [u8] {
    let shared = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // b is longer than the shared part, or a < b would not hold.
    let cut = shared.saturating_add(1).min(b.len());
    b.get(..cut).unwrap_or(b)
}

/// The first key after every key that starts with `prefix`; `None` when there is none (all 0xff).
pub fn prefix_end(prefix: &[u8]) -> Result<Option<Vec<u8>>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff);
    let Some(begin) = last.and_then(|last| prefix.get(..=last)) else { return Ok(None) };
    let mut end = copy(begin, Area::Argument)?;
    if let Some(byte) = end.last_mut() {
        *byte = byte.wrapping_add(1);
    }
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sought_tag_finds_what_is_visible() {
        let (new, old) = (make_tag(9, EntryKind::Put), make_tag(8, EntryKind::Delete));
        assert!(new > old && seek_tag(9) >= new && seek_tag(8) < new && seek_tag(8) >= old);
    }

    #[test]
    fn separator_lies_in_the_gap() {
        for (a, b) in [("abc", "abd"), ("a", "ab"), ("", "x"), ("abz", "b"), ("a\u{1}", "a\u{2}q")]
        {
            let s = shortest_separator(a.as_bytes(), b.as_bytes());
            assert!(a.as_bytes() < s && s <= b.as_bytes(), "{a:?} {b:?} {s:?}");
        }
    }

    #[test]
    fn prefix_end_follows_every_key_of_the_prefix() {
        let prefix_end = |prefix: &[u8]| prefix_end(prefix).unwrap();
        assert_eq!(prefix_end(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(prefix_end(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(prefix_end(b"\xff"), None);
        assert_eq!(prefix_end(b""), None);
    }
}
