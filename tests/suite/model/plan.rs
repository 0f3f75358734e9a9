//! The options of one sequence: limits so small that a few hundred operations fill many levels.

use super::dice::{Dice, KeySpace};
use esker::internals::compress::Codec;
use esker::internals::filter::kind::FilterKind;
use esker::internals::memtable::index::IndexKind;
use esker::internals::options::{Durability, Options};
use esker::internals::types::VictimChoice;

/// What one sequence is like, from its seed.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: u64,
    pub keys: KeySpace,
    pub options: Options,
    /// Drawn from for each write.
    pub durabilities: Vec<Durability>,
    /// Share of deletes among the writes, in percent.
    pub deletes: u64,
}

impl Plan {
    pub fn draw(dice: &mut Dice) -> Plan {
        let unlogged = dice.percent(15);
        let durabilities = if unlogged {
            vec![Durability::Unlogged, Durability::Buffered, Durability::Sync]
        } else {
            let buffered = Durability::Buffered;
            dice.pick(&[
                vec![buffered],
                vec![buffered, buffered, buffered, Durability::Sync],
                vec![buffered, Durability::Sync, Durability::Group],
                vec![Durability::Group, buffered],
            ])
        };
        let mut options = Options {
            levels: dice.between(5, 7),
            deterministic: !dice.percent(4),
            durability: Durability::Buffered,
            ..Options::default()
        };
        redraw(dice, &mut options);
        Plan {
            steps: dice.between(50, 400),
            keys: KeySpace::draw(dice),
            options,
            durabilities,
            deletes: dice.pick(&[5, 15, 15, 40]),
        }
    }

    pub fn has_unlogged(&self) -> bool {
        self.durabilities.contains(&Durability::Unlogged)
    }
}

/// Draws what may differ from one open to the next.
pub fn redraw(dice: &mut Dice, options: &mut Options) {
    options.write_buffer = dice.pick(&[64, 256, 256, 512, 512, 1_024, 2_048]);
    options.group_sync_us = dice.pick(&[0, 0, 0, 20]);
    options.sync_interval_us = dice.pick(&[0, 0, 100]);
    options.write_buffer_entries = dice.pick(&[0, 0, 0, 7]);
    options.immutable_max = dice.between(1, 3);
    options.memtable = dice.pick(&[IndexKind::Wide, IndexKind::Wide, IndexKind::SkipList]);
    options.block_size = 256;
    options.block_entries = dice.pick(&[0, 0, 3]);
    options.table_size = dice.pick(&[256, 512, 1_024, 2_048]);
    options.level_bytes = dice.pick(&[256, 1_024, 2_048, 4_096]);
    options.level_ratio = 2;
    options.l0_trigger = 2;
    options.l0_stop = dice.between(3, 8);
    (options.filter, options.compression) = dice.pick(&[
        (None, Codec::None),
        (None, Codec::Lz4),
        (Some(FilterKind::Blocked), Codec::None),
        (Some(FilterKind::Blocked), Codec::Lz4),
        (Some(FilterKind::Classic), Codec::None),
        (Some(FilterKind::Classic), Codec::Lz4),
    ]);
    options.filter_bits = dice.pick(&[vec![14, 10], vec![8], vec![10, 0]]);
    options.cache_bytes = dice.pick(&[0, 2_048, 1 << 20]);
    options.open_tables_max = dice.pick(&[1, 3, 1_000]);
    options.compaction_auto = dice.percent(95);
    // By what was drawn already.
    options.subcompactions = [0, 1, 2, 5][options.l0_stop as usize % 4];
    options.threads = options.immutable_max;
    redraw_levels(&mut Dice::new(!dice.clone().next()), options);
}

/// Draws how levels are sized and emptied, and how large logs are; with dice of its own, so that a seed's other draws stay as they
/// are whatever is drawn here.
fn redraw_levels(dice: &mut Dice, options: &mut Options) {
    options.level_dynamic = dice.percent(50);
    options.compaction_pick = dice.pick(&[
        VictimChoice::MinOverlap,
        VictimChoice::Oldest,
        VictimChoice::RoundRobin,
        VictimChoice::Random,
    ]);
    options.compaction_seed = dice.between(0, 1_000);
    // Of one page, or as large as an engine makes them: a sequence seldom fills those.
    options.log_bytes = dice.pick(&[0, 1_000, 1_000, 3_000]);
}
