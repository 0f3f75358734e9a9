//! What is known of a table without opening it, and what its builder is told.
//!
//! The builder is the one who knows a table's facts, the manifest stores them (docs/FORMAT.md, section
//! 5), the reader holds the file to them.
//!
//! Invariants
//! 1. `smallest` and `largest` are user keys that are really in the table, both inclusive.
//! 2. `entries` is at least 1; `min_seq <= max_seq`; sequence 0 counts as a sequence.

use crate::compress::Codec;
use crate::filter::kind::FilterKind;
use crate::order::Order;
use crate::types::{FileNum, SeqNo, TableId};

/// The facts of one table file.
#[derive(Clone, Debug, PartialEq)]
pub struct TableMeta {
    pub file: FileNum,
    /// Random identity, in the footer and below every checksum of the file.
    pub table_id: TableId,
    /// Length of the file in bytes.
    pub size: u64,
    /// The checksum of the footer, which covers the checksums of all sections but the data blocks.
    pub footer_crc: u32,
    pub entries: u64,
    pub deletes: u64,
    pub range_dels: u64,
    pub min_seq: SeqNo,
    pub max_seq: SeqNo,
    /// Sequence of an adopted table's entries; 0 for tables this database wrote.
    pub global_seq: SeqNo,
    pub smallest: Vec<u8>,
    pub largest: Vec<u8>,
    /// 0: both bounds are keys of the table.
    pub bounds_flags: u32,
    /// Unix time before which no delete of this table was written; 0 when it holds none.
    pub oldest_tombstone: u64,
}

/// How a table is to be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// Of the keys; one that is not exact gets no filter.
    pub order: Order,
    /// Target bytes of a data block, trailer included.
    pub block_size: usize,
    /// Most entries of a data block; 0 = no limit.
    pub block_entries: usize,
    pub filter: FilterKind,
    /// Filter bits per key; 0 = no filter.
    pub filter_bits: u32,
    /// Of data blocks; one that it does not make smaller by an eighth is stored as it is.
    pub codec: Codec,
}
