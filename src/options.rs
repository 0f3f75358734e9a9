//! The options of a database: what they are and their defaults.
//!
//! `table` describes each of them, `set` changes and shows them by id or name.
//!
//! Invariants
//! 1. Every value in an `Options` made through `set` lies in its range.
//! 2. `Options::default()` and the table's default texts say the same.

mod set;
pub mod table;

use crate::compress::Codec;
use crate::filter::kind::FilterKind;
use crate::memtable::index::IndexKind;
use crate::order::Order;
use crate::shared::EnvOption;
use crate::types::{RecoveryMode, VerifyOnOpen, VictimChoice};

/// What a returned write survives; each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: not logged, kept once flushed.
    Unlogged = 1,
    /// A kill of the process.
    Buffered = 2,
    /// A power cut; the flush may be shared with other writers.
    Group = 3,
    /// A power cut.
    Sync = 4,
}

impl Durability {
    /// The level with this number, as options and write options carry it.
    pub fn from_number(number: u64) -> Option<Durability> {
        match number {
            1 => Some(Durability::Unlogged),
            2 => Some(Durability::Buffered),
            3 => Some(Durability::Group),
            4 => Some(Durability::Sync),
            _ => None,
        }
    }
}

/// Settings of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the database shares with others.
    pub env: EnvOption,
    /// Built-in order of the keys.
    pub comparator: Order,
    /// Instead of it, an order of the caller.
    pub comparator_custom: Option<Order>,
    pub file_mode: u32,
    pub durability: Durability,
    pub group_sync_us: u64,
    pub recovery: RecoveryMode,
    pub verify_on_open: VerifyOnOpen,
    /// 0 = off.
    pub sync_interval_us: u64,
    pub write_buffer: u64,
    /// 0 = no limit.
    pub write_buffer_entries: u64,
    pub immutable_max: u64,
    pub memtable: IndexKind,
    pub block_size: u64,
    /// 0 = no limit.
    pub block_entries: u64,
    pub table_size: u64,
    /// Of the last level's tables.
    pub compression: Codec,
    pub filter: Option<FilterKind>,
    /// Level 0 first; the last number holds for all deeper levels. Never empty.
    pub filter_bits: Vec<u32>,
    pub cache_bytes: u64,
    pub open_tables_max: u64,
    pub l0_trigger: u64,
    pub l0_stop: u64,
    pub level_bytes: u64,
    pub level_ratio: u64,
    pub levels: u64,
    pub level_dynamic: bool,
    pub compaction_pick: VictimChoice,
    pub compaction_seed: u64,
    pub compaction_auto: bool,
    /// Parts of one compaction; 0 = as threads allow.
    pub subcompactions: u64,
    /// Threads for compactions; 0 = as processors allow.
    pub threads: u64,
    /// Bytes of memtables of all databases of an env; 0 = no limit.
    pub memtable_budget: u64,
    pub deterministic: bool,
    /// Bytes of a log; 0 = by the write buffer. Not in the table: for tests.
    pub log_bytes: u64,
}

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

impl Default for Options {
    fn default() -> Options {
        Options {
            env: EnvOption::default(),
            comparator: Order::Bytewise,
            comparator_custom: None,
            file_mode: 0o600,
            durability: Durability::Buffered,
            group_sync_us: 500,
            recovery: RecoveryMode::Default,
            verify_on_open: VerifyOnOpen::Metadata,
            sync_interval_us: 0,
            write_buffer: 64 * MIB,
            write_buffer_entries: 0,
            immutable_max: 3,
            memtable: IndexKind::Wide,
            block_size: 4 * KIB,
            block_entries: 0,
            table_size: 64 * MIB,
            compression: Codec::None,
            filter: Some(FilterKind::Blocked),
            filter_bits: vec![14, 10],
            cache_bytes: 128 * MIB,
            open_tables_max: 1000,
            l0_trigger: 4,
            l0_stop: 64,
            level_bytes: 256 * MIB,
            level_ratio: 10,
            levels: 7,
            level_dynamic: true,
            compaction_pick: VictimChoice::MinOverlap,
            compaction_seed: 0,
            compaction_auto: true,
            subcompactions: 0,
            threads: 0,
            memtable_budget: 0,
            deterministic: false,
            log_bytes: 0,
        }
    }
}

impl Options {
    /// The order of the keys.
    pub fn order(&self) -> Order {
        self.comparator_custom.as_ref().unwrap_or(&self.comparator).clone()
    }
}
