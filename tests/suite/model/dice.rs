//! Random numbers, keys and values of the model test: seeded, small, exact.
//!
//! Keys come from spaces that are hard on an ordered store: short alphabets of extreme bytes, long shared
//! prefixes, keys that are prefixes of others, the empty key.

/// SplitMix64: neighbouring seeds give unrelated sequences.
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// A number from `low` to `high`, both possible.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }
}

/// Where the keys of one sequence come from.
#[derive(Clone, Copy, Debug)]
pub enum KeySpace {
    /// Up to four bytes of 0x00, 'a' and 0xff.
    Extreme,
    /// A shared prefix, sometimes cut short, and two letters.
    SharedPrefix,
    /// This many decimal numbers.
    Numbers(u64),
    /// This many numbers of eight bytes around zero, little-endian.
    Eight(u64),
    /// Up to three letters in both cases.
    Cases,
    /// Runs of one letter: every key is a prefix of the next.
    Runs,
}

impl KeySpace {
    pub fn draw(dice: &mut Dice) -> KeySpace {
        match dice.below(5) {
            0 => KeySpace::Extreme,
            1 => KeySpace::SharedPrefix,
            2 => KeySpace::Numbers(dice.between(1, 20)),
            3 => KeySpace::Numbers(dice.between(50, 2_000)),
            _ => KeySpace::Runs,
        }
    }

    pub fn key(self, dice: &mut Dice) -> Vec<u8> {
        match self {
            KeySpace::Extreme => {
                let len = dice.below(5);
                (0..len).map(|_| dice.pick(&[0x00, b'a', 0xff])).collect()
            }
            KeySpace::SharedPrefix => {
                let mut key = b"a/rather/long/shared/prefix/".to_vec();
                if dice.percent(5) {
                    key.truncate(dice.below(29) as usize);
                } else {
                    key.push(dice.pick(b"abcdefgh\xff"));
                    key.push(dice.pick(b"\x00abcdefgh"));
                }
                key
            }
            KeySpace::Numbers(count) => dice.below(count).to_string().into_bytes(),
            KeySpace::Eight(count) => {
                let number = dice.below(count) as i64 - (count / 2) as i64;
                (number * 37).to_le_bytes().to_vec()
            }
            KeySpace::Cases => {
                let len = dice.below(4);
                (0..len).map(|_| dice.pick(b"aAbBc")).collect()
            }
            KeySpace::Runs => {
                let letter = dice.pick(&[0x00, b'q', 0xfe, 0xff]);
                vec![letter; dice.below(40) as usize]
            }
        }
    }
}

/// A value that no other write has: its number, then padding.
pub fn value(dice: &mut Dice, number: u64) -> Vec<u8> {
    let len = match dice.below(100) {
        0..5 => return Vec::new(),
        5..90 => dice.below(40),
        90..99 => dice.below(300),
        // Larger than the write buffer of every sequence.
        _ => 2_100 + dice.below(3_000),
    };
    let mut value = format!("#{number}:").into_bytes();
    let pad = (value.len() as u64).max(len);
    value.resize(pad as usize, b'a' + (number % 26) as u8);
    value
}
