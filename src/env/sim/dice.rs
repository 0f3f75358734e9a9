//! The simulated kernel's random numbers: SplitMix64 (Steele, Lea and Flood, 2014), seeded, small, exact.

/// A seeded generator.
#[derive(Clone)]
pub(super) struct Dice(u64);

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

    /// A number below `limit`, which is not 0. The bias of the remainder is far below what a test sees.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True `eighths` times out of 8.
    pub fn chance(&mut self, eighths: u64) -> bool {
        self.below(8) < eighths
    }

    /// A number up to `limit`, more often than not one of the two ends.
    pub fn prefix(&mut self, limit: u64) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => limit,
            _ => self.below(limit + 1),
        }
    }
}
