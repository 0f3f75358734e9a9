//! Ids and limits shared by every room.
//!
//! Invariants
//! 1. A file number is never reused, also not across crashes.
//! 2. A sequence number fits 56 bits; live ones start at 1; 0 means "older than every snapshot".
//! 3. Keyspace 0 is the default one.

use std::fmt;

/// Number of a write; the n-th operation of a batch has the batch's number plus n.
pub type SeqNo = u64;

/// Largest sequence number: a tag keeps 8 bits for the kind.
pub const SEQ_MAX: SeqNo = (1 << 56) - 1;

/// Number of a file, from the database's one counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileNum(pub u64);

impl fmt::Display for FileNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.0)
    }
}

/// Id of a keyspace; on disk for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u32);

/// Random identity of a database, in every log and manifest header.
pub type DbId = [u8; 16];

/// Random identity of a table, in its footer and in the manifest.
pub type TableId = [u8; 16];

/// Names of an enum's values, as option texts have them.
macro_rules! named {
    ($type:ident: $($value:ident = $name:literal),+) => {
        impl $type {
            const NAMES: &[($type, &'static str)] = &[$(($type::$value, $name)),+];

            /// Its name in option texts.
            pub fn name(self) -> &'static str {
                $type::NAMES.iter().find(|(value, _)| *value == self).map_or("", |(_, name)| name)
            }

            pub fn from_name(name: &str) -> Option<$type> {
                $type::NAMES.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
            }
        }
    };
}

/// Which table of a level that is too large goes down first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VictimChoice {
    /// The one whose compaction rewrites the fewest bytes per byte of its own.
    MinOverlap,
    /// The one written first.
    Oldest,
    /// The next one in key order.
    RoundRobin,
    /// Any; the same one for the same seed and tree.
    Random,
}

named!(VictimChoice: MinOverlap = "min_overlap", Oldest = "oldest", RoundRobin = "round_robin", Random = "random");

/// What recovery does about logs that are not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecoveryMode {
    /// Drops a torn tail, refuses damage.
    #[default]
    Default,
    /// Refuses both.
    Strict,
    /// Drops a torn tail, and everything from the first damage of a log on.
    PointInTime,
}

named!(RecoveryMode: Default = "default", Strict = "strict", PointInTime = "point_in_time");

/// What is looked at of the tables before an open returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyOnOpen {
    None,
    /// That each is there with its size.
    #[default]
    Metadata,
    /// Every byte and every entry.
    Full,
}

named!(VerifyOnOpen: None = "none", Metadata = "metadata", Full = "full");

/// Longest key in bytes.
pub const KEY_LEN_MAX: usize = 65_535;
/// Largest value in bytes (1 GiB).
pub const VALUE_LEN_MAX: usize = 1 << 30;
/// Largest encoded batch in bytes (1 GiB + 1 MiB).
pub const BATCH_LEN_MAX: usize = (1 << 30) + (1 << 20);
/// Most levels of a tree.
pub const LEVELS_MAX: usize = 8;

const _: () = assert!(BATCH_LEN_MAX > VALUE_LEN_MAX + KEY_LEN_MAX + 64);
const _: () = assert!(BATCH_LEN_MAX < 1 << 31);
