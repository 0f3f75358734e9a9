//! The quick check of a block that was just read: column by column, without taking entries apart.
//!
//! Invariants
//! 1. What passes here passes `check_entries`; what does not is looked at by that, which alone says what is
//!    wrong.
//! 2. For bytewise orders only.

use crate::block::format::{BLOCK_HEADER_LEN, Block, TagMode, prefix_of};
use crate::coding::{u16_at, u32_at};
use crate::key::EntryKind;
use crate::types::KEY_LEN_MAX;
use std::cmp::Ordering;

impl Block {
    /// Whether every entry passes `check_entries`, found out column by column. False also for what is unusual:
    /// wide offsets, long suffixes of several lengths.
    pub(super) fn sound(&self) -> bool {
        !self.wide && self.offset(0) == self.common.end && self.tags_sound() && self.rows_sound()
    }

    fn tags_sound(&self) -> bool {
        let column = self.slice(self.tags_at..self.common.start);
        let known =
            |tag: &[u8]| tag.first().is_some_and(|&kind| EntryKind::from_byte(kind).is_some());
        match self.tag_mode {
            TagMode::Bare => true,
            TagMode::Delta => {
                // Within 32 bits of the base, so the largest that a column may hold is near enough.
                let room = self.base_tag.checked_add(u64::from(u32::MAX)).is_some();
                room && column.chunks_exact(4).all(known)
            }
            TagMode::Full => column.chunks_exact(8).all(known),
        }
    }

    /// Whether offsets, prefixes and suffixes are right and entries ascend.
    fn rows_sound(&self) -> bool {
        let prefixes = self.slice(BLOCK_HEADER_LEN..self.offsets_at).chunks_exact(4);
        let ends = self.slice(self.offsets_at..self.tags_at).chunks_exact(2).skip(1);
        let room = KEY_LEN_MAX.saturating_sub(self.common.len());
        let mut start = self.common.end;
        let mut last: Option<(u32, &[u8])> = None;
        for (at, (prefix, end)) in prefixes.zip(ends).enumerate() {
            let prefix = u32_at(prefix, 0).unwrap_or(0);
            let end = usize::from(u16_at(end, 0).unwrap_or(0));
            let Some(entry) = self.bytes.get(start..end) else { return false };
            let (head, len): (usize, usize) = match (self.fixed_suffix, entry.first()) {
                (Some(len), _) => (0, len),
                (None, Some(&len)) if len < 0x80 => (1, usize::from(len)),
                _ => return false,
            };
            let Some(suffix) = entry.get(head..head.saturating_add(len)) else { return false };
            if len > room || prefix != self.prefix_at(start.saturating_add(head), suffix) {
                return false;
            }
            let ascends = last.is_none_or(|(last, key)| {
                last < prefix || (last == prefix && self.follows(key, suffix, at))
            });
            if !ascends {
                return false;
            }
            last = Some((prefix, suffix));
            start = end;
        }
        true
    }

    /// `prefix_of(suffix)`, which lies at `start`: mostly one load and a mask.
    #[inline]
    fn prefix_at(&self, start: usize, suffix: &[u8]) -> u32 {
        let four = self.bytes.get(start..).and_then(|bytes| bytes.first_chunk::<4>());
        match (four, suffix.len()) {
            (Some(four), 4..) => u32::from_be_bytes(*four),
            (Some(four), 3) => u32::from_be_bytes(*four) & 0xffff_ff00,
            (Some(four), 2) => u32::from_be_bytes(*four) & 0xffff_0000,
            (Some(four), 1) => u32::from_be_bytes(*four) & 0xff00_0000,
            _ => prefix_of(suffix),
        }
    }

    /// Whether entry `at` comes behind the one before it, where both have the same prefix.
    fn follows(&self, before: &[u8], suffix: &[u8], at: usize) -> bool {
        let tags = || self.tag(at).cmp(&self.tag(at.saturating_sub(1)));
        before.cmp(suffix).then_with(tags) == Ordering::Less
    }
}

#[cfg(test)]
mod tests {
    use crate::block::builder::BlockBuilder;
    use crate::block::format::{Block, content};
    use crate::compress::Codec;
    use crate::key::{EntryKind, make_tag};
    use crate::order::Order;

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, limit: u64) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) % limit) as usize
        }
    }

    /// Some block: keys with a common front, of one length or several, with versions.
    fn some_block(rng: &mut Rng) -> Vec<u8> {
        let mut entries = std::collections::BTreeSet::new();
        let (fixed, low) = (rng.below(2) == 0, [0, 1 << 40][rng.below(2)]);
        let spread = [1u64, 200, 1 << 30][rng.below(3)];
        for _ in 0..=rng.below(40) {
            let len = if fixed { 5 } else { rng.below(7) };
            let key: Vec<u8> = (0..len).map(|_| b'a' + rng.below(3) as u8).collect();
            let kind = [EntryKind::Put, EntryKind::Delete][rng.below(2)];
            entries.insert((key, u64::MAX - make_tag(low + rng.below(spread) as u64, kind)));
        }
        let mut builder = BlockBuilder::new(Codec::None, Order::Bytewise);
        for (key, tag) in &entries {
            let key = [b"front", key.as_slice()].concat();
            builder.add(&key, u64::MAX - tag, &vec![7; rng.below(9)]).unwrap();
        }
        let mut out = Vec::new();
        builder.finish(&mut out, 0, |len| len.next_multiple_of(8)).unwrap();
        out
    }

    #[test]
    fn the_quick_check_passes_what_the_thorough_one_passes_and_nothing_else() {
        let seed = 0x5eed_0001;
        let mut rng = Rng(seed);
        let (mut good, mut bad) = (0, 0);
        for round in 0..30_000 {
            let mut bytes = some_block(&mut rng);
            let columns = |bytes: Vec<u8>| content(bytes).and_then(Block::parse_columns);
            assert!(
                columns(bytes.clone()).is_ok_and(|block| block.sound()),
                "seed {seed}, {round}"
            );
            for _ in 0..=rng.below(2) {
                // Mostly near the front, where the columns are.
                let reach = if rng.below(3) == 0 { bytes.len() } else { bytes.len().min(200) };
                let at = rng.below(reach as u64);
                bytes[at] = match rng.below(3) {
                    0 => bytes[at] ^ (1 << rng.below(8)),
                    1 => rng.below(256) as u8,
                    _ => bytes[at].wrapping_add(1),
                };
            }
            let Ok(block) = columns(bytes) else { continue };
            if block.wide || (block.fixed_suffix.is_none() && block.count == 0) {
                continue;
            }
            let quick = block.sound();
            let thorough = block.check_entries().is_ok();
            assert!(thorough || !quick, "seed {seed}, round {round}");
            if thorough { good += 1 } else { bad += 1 }
        }
        assert!(good > 1_000 && bad > 1_000, "seed {seed}: {good} good, {bad} bad");
    }
}
