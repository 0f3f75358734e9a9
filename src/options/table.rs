//! The one table that describes every option.
//!
//! `OPTION_TABLE` is the single source for setting, reading, parsing, defaults, ranges and reflection; the
//! C boundary only passes ids and texts through. Texts in the table are NUL-terminated because C programs
//! get them as they are.
//!
//! Invariants
//! 1. Ids are frozen: they are part of the ABI. The table is in the order of ids.

use crate::compress::Codec;
use crate::error::{Area, Error, Result};
use crate::filter::kind::FilterKind;
use crate::memtable::index::IndexKind;
use crate::options::{Durability, GIB, KIB, MIB, Options};
use crate::order::{BUILTIN_PREFIX, Order};
use crate::types::{LEVELS_MAX, RecoveryMode, VerifyOnOpen, VictimChoice};
use std::ffi::CStr;

/// How a number is written as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Plain,
    /// "64MiB" where it divides evenly.
    Bytes,
    /// "0600".
    Octal,
}

/// Where an option lives in `Options`.
pub enum Field {
    Number {
        shown: Shown,
        get: fn(&Options) -> u64,
        set: fn(&mut Options, u64),
    },
    Text {
        get: fn(&Options) -> String,
        set: fn(&mut Options, &str) -> bool,
    },
    /// Set by a handle, never by a text.
    Object {
        get: fn(&Options) -> String,
    },
}

/// What kind of value an option has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    Number,
    Text,
    Object,
}

/// One option: all there is to know about it.
pub struct OptionSpec {
    pub id: u32,
    pub name: &'static CStr,
    pub unit: &'static CStr,
    /// "none|blocked" for a text that must be one of these.
    pub choices: Option<&'static CStr>,
    pub default_text: &'static CStr,
    /// Smallest and largest number; for a list of numbers, of each of them.
    pub min: u64,
    pub max: u64,
    pub doc: &'static CStr,
    pub field: Field,
}

/// A number kept in a `u64` field of the same name.
macro_rules! number {
    ($field:ident, $shown:ident) => {
        Field::Number { shown: Shown::$shown, get: |o| o.$field, set: |o, v| o.$field = v }
    };
}

/// A boolean field, 0 or 1 as a number.
macro_rules! switch {
    ($field:ident) => {
        Field::Number {
            shown: Shown::Plain,
            get: |o| u64::from(o.$field),
            set: |o, v| o.$field = v != 0,
        }
    };
}

/// Shortens a row of the table.
macro_rules! spec {
    ($id:literal $name:literal, $unit:literal, $default:literal, $range:expr, $doc:literal, $field:expr) => {
        spec!($id $name, $unit, None, $default, $range, $doc, $field)
    };
    ($id:literal $name:literal, $unit:literal, $choices:expr, $default:literal, $range:expr, $doc:literal, $field:expr) => {
        OptionSpec {
            id: $id,
            name: $name,
            unit: $unit,
            choices: $choices,
            default_text: $default,
            min: $range.0,
            max: $range.1,
            doc: $doc,
            field: $field,
        }
    };
}

/// Every option, in the order of ids.
#[rustfmt::skip]
pub static OPTION_TABLE: &[OptionSpec] = &[
    spec!(2 c"env", c"", c"private", (0, 0),
        c"Threads, cache, memory budget and logger that databases share.",
        Field::Object { get: |o| o.env.name().to_owned() }),
    spec!(3 c"comparator", c"", Some(c"bytewise|reverse|u64_be|u64_le|i64_le"), c"bytewise", (0, 0),
        c"Order of the keys: by their bytes, or keys of eight bytes as numbers. Stored with the database.",
        Field::Text { get: comparator_text, set: set_comparator }),
    spec!(4 c"comparator_custom", c"", c"", (0, 0),
        c"Order of the keys that the program defines, instead of comparator. Its name is stored with the database.",
        Field::Object { get: |o| o.comparator_custom.as_ref().map_or("", Order::name).to_owned() }),
    spec!(5 c"file_mode", c"octal", c"0600", (0o600, 0o777),
        c"Mode of new files before the umask; directories get the matching x bits.",
        Field::Number { shown: Shown::Octal, get: |o| u64::from(o.file_mode), set: |o, v| o.file_mode = v as u32 }),
    spec!(10 c"durability", c"", c"2", (1, 4),
        c"What a write survives that asks for the default: 1 nothing, 2 a kill, 3 and 4 a power cut.",
        Field::Number { shown: Shown::Plain, get: |o| o.durability as u64, set: set_durability }),
    spec!(11 c"group_sync_us", c"microseconds", c"500", (0, 1_000_000),
        c"Longest wait of a GROUP write for others to share its flush; 0 = none.", number!(group_sync_us, Plain)),
    spec!(13 c"recovery", c"", Some(c"default|strict|point_in_time"), c"default", (0, 0),
        c"What opening does about logs that are not whole: drop torn tails and refuse damage, refuse both, or end the history before the damage.",
        Field::Text { get: |o| o.recovery.name().to_owned(), set: set_recovery }),
    spec!(14 c"verify_on_open", c"", Some(c"none|metadata|full"), c"metadata", (0, 0),
        c"What opening looks at of the tables: nothing, that each is there with its size, or every byte and entry.",
        Field::Text { get: |o| o.verify_on_open.name().to_owned(), set: set_verify_on_open }),
    spec!(15 c"sync_interval_us", c"microseconds", c"0", (0, 3_600_000_000u64),
        c"Logged writes are synced behind the scenes this long after they were made; 0 = off.",
        number!(sync_interval_us, Plain)),
    spec!(20 c"write_buffer", c"bytes", c"64MiB", (64, 4 * GIB),
        c"Bytes of one memtable.", number!(write_buffer, Bytes)),
    spec!(21 c"write_buffer_entries", c"entries", c"0", (0, u32::MAX as u64),
        c"Entries of one memtable; 0 = no limit.", number!(write_buffer_entries, Plain)),
    spec!(22 c"immutable_max", c"memtables", c"3", (1, 16),
        c"Full memtables waiting for a flush before writers stop.", number!(immutable_max, Plain)),
    spec!(23 c"memtable", c"", Some(c"wide|skiplist"), c"wide", (0, 0),
        c"Index of a memtable: wide, a tree of wide nodes, or skiplist, which comparators other than bytewise always get.",
        Field::Text { get: memtable_text, set: set_memtable }),
    spec!(30 c"block_size", c"bytes", c"4KiB", (256, 4 * MIB),
        c"Target bytes of a data block.", number!(block_size, Bytes)),
    spec!(31 c"block_entries", c"entries", c"0", (0, u16::MAX as u64),
        c"Entries of a data block; 0 = no limit.", number!(block_entries, Plain)),
    spec!(32 c"table_size", c"bytes", c"64MiB", (256, 4 * GIB),
        c"Target bytes of a table.", number!(table_size, Bytes)),
    spec!(33 c"compression", c"", Some(c"none|lz4"), c"none", (0, 0),
        c"Codec of the data blocks of the last level; blocks it saves less than 12.5 % of stay as they are.",
        Field::Text { get: compression_text, set: set_compression }),
    spec!(34 c"filter", c"", Some(c"none|blocked|classic"), c"blocked", (0, 0),
        c"Filter of new tables, asked before a table is searched for one key.",
        Field::Text { get: filter_text, set: set_filter }),
    spec!(35 c"filter_bits", c"bits per key", c"14,10", (0, 64),
        c"Bits per key of a filter, level 0 first; the last number also holds for all deeper levels; 0 = no filter there.",
        Field::Text { get: filter_bits_text, set: set_filter_bits }),
    spec!(40 c"cache_bytes", c"bytes", c"128MiB", (0, 1u64 << 50),
        c"Bytes of blocks kept in memory.", number!(cache_bytes, Bytes)),
    spec!(41 c"open_tables_max", c"files", c"1000", (1, 1_000_000),
        c"Table files held open.", number!(open_tables_max, Plain)),
    spec!(50 c"l0_trigger", c"tables", c"4", (1, 1000),
        c"Tables in level 0 that start a compaction.", number!(l0_trigger, Plain)),
    spec!(51 c"l0_stop", c"flushes", c"64", (1, 10_000),
        c"Flushes in level 0 that stop writers, tables of one flush counted as one; above 64 the same as 64.", number!(l0_stop, Plain)),
    spec!(52 c"level_bytes", c"bytes", c"256MiB", (256, 1u64 << 50),
        c"Target bytes of the first sorted level.", number!(level_bytes, Bytes)),
    spec!(53 c"level_ratio", c"", c"10", (2, 100),
        c"Growth of the target from level to level.", number!(level_ratio, Plain)),
    spec!(54 c"levels", c"levels", c"7", (2, LEVELS_MAX as u64),
        c"Number of levels.", number!(levels, Plain)),
    spec!(55 c"level_dynamic", c"", c"1", (0, 1),
        c"1 derives the targets of the levels from the size of the last one; 0 starts from level_bytes at level 1.",
        switch!(level_dynamic)),
    spec!(56 c"compaction_pick", c"", Some(c"min_overlap|oldest|round_robin|random"), c"min_overlap", (0, 0),
        c"Table of a level that is too large which goes down first.",
        Field::Text { get: |o| o.compaction_pick.name().to_owned(), set: set_compaction_pick }),
    spec!(57 c"compaction_seed", c"", c"0", (0, i64::MAX as u64),
        c"Seed of compaction_pick=random.", number!(compaction_seed, Plain)),
    spec!(58 c"compaction_auto", c"", c"1", (0, 1),
        c"0 compacts only when asked to.", switch!(compaction_auto)),
    spec!(59 c"subcompactions", c"parts", c"0", (0, 64),
        c"Key ranges that one compaction is cut into, to be worked on at the same time; 0 = as threads and its size allow.",
        number!(subcompactions, Plain)),
    spec!(60 c"threads", c"threads", c"0", (0, 64),
        c"Compactions and parts of them that run at a time, beside one flush, in threads that all databases of the process share; 0 = one less than processors, 1 to 8.",
        number!(threads, Plain)),
    spec!(61 c"memtable_budget", c"bytes", c"0", (0, 1u64 << 50),
        c"Bytes of memtables that all databases of an env hold together before those that write flush early; 0 = no limit.",
        number!(memtable_budget, Bytes)),
    spec!(62 c"deterministic", c"", c"0", (0, 1),
        c"1 runs all background work inside the calling thread: same operations, same files.",
        switch!(deterministic)),
];

fn set_durability(options: &mut Options, number: u64) {
    // Out of range cannot get here (the table's range is 1 to 4); the value then stays as it is.
    options.durability = Durability::from_number(number).unwrap_or(options.durability);
}

fn set_recovery(options: &mut Options, text: &str) -> bool {
    let mode = RecoveryMode::from_name(text);
    options.recovery = mode.unwrap_or(options.recovery);
    mode.is_some()
}

fn set_verify_on_open(options: &mut Options, text: &str) -> bool {
    let level = VerifyOnOpen::from_name(text);
    options.verify_on_open = level.unwrap_or(options.verify_on_open);
    level.is_some()
}

fn comparator_text(options: &Options) -> String {
    let name = options.comparator.name();
    name.strip_prefix(BUILTIN_PREFIX).unwrap_or(name).to_owned()
}

fn set_comparator(options: &mut Options, text: &str) -> bool {
    let order = Order::builtin(&format!("{BUILTIN_PREFIX}{text}"));
    let known = order.is_some();
    options.comparator = order.unwrap_or_default();
    known
}

fn compression_text(options: &Options) -> String {
    let name = match options.compression {
        Codec::None => "none",
        Codec::Lz4 => "lz4",
    };
    name.to_owned()
}

fn set_compression(options: &mut Options, text: &str) -> bool {
    options.compression = match text {
        "none" => Codec::None,
        "lz4" => Codec::Lz4,
        _ => return false,
    };
    true
}

fn memtable_text(options: &Options) -> String {
    let name = match options.memtable {
        IndexKind::Wide => "wide",
        IndexKind::SkipList => "skiplist",
    };
    name.to_owned()
}

fn set_memtable(options: &mut Options, text: &str) -> bool {
    options.memtable = match text {
        "wide" => IndexKind::Wide,
        "skiplist" => IndexKind::SkipList,
        _ => return false,
    };
    true
}

fn filter_text(options: &Options) -> String {
    let name = match options.filter {
        None => "none",
        Some(FilterKind::Blocked) => "blocked",
        Some(FilterKind::Classic) => "classic",
    };
    name.to_owned()
}

fn set_filter(options: &mut Options, text: &str) -> bool {
    options.filter = match text {
        "none" => None,
        "blocked" => Some(FilterKind::Blocked),
        "classic" => Some(FilterKind::Classic),
        _ => return false,
    };
    true
}

fn set_compaction_pick(options: &mut Options, text: &str) -> bool {
    let choice = VictimChoice::from_name(text);
    options.compaction_pick = choice.unwrap_or(options.compaction_pick);
    choice.is_some()
}

fn filter_bits_text(options: &Options) -> String {
    let numbers: Vec<String> = options.filter_bits.iter().map(u32::to_string).collect();
    numbers.join(",")
}

fn set_filter_bits(options: &mut Options, text: &str) -> bool {
    let numbers = text.split(',').map(|n| n.trim().parse().ok().filter(|&bits| bits <= 64));
    match numbers.collect::<Option<Vec<u32>>>() {
        Some(bits) if bits.len() <= LEVELS_MAX => {
            options.filter_bits = bits;
            true
        }
        _ => false,
    }
}

/// Text of a C string of the table; all of them are ASCII.
fn plain(text: &'static CStr) -> &'static str {
    text.to_str().unwrap_or("")
}

impl OptionSpec {
    pub fn name_text(&self) -> &'static str {
        plain(self.name)
    }

    /// What kind of value it has.
    pub fn kind(&self) -> OptionKind {
        match self.field {
            Field::Number { .. } => OptionKind::Number,
            Field::Text { .. } => OptionKind::Text,
            Field::Object { .. } => OptionKind::Object,
        }
    }

    /// Whether it is an option of envs (cache_bytes, threads, memtable_budget).
    pub fn is_of_env(&self) -> bool {
        matches!(self.id, 40 | 60 | 61)
    }

    /// Whether it is stored with a database, which then cannot be opened with another value.
    pub fn is_persistent(&self) -> bool {
        matches!(self.id, 3 | 4)
    }

    /// The default as a number, 0 for texts.
    pub fn default_number(&self) -> u64 {
        match &self.field {
            Field::Number { get, .. } => get(&Options::default()),
            Field::Text { .. } | Field::Object { .. } => 0,
        }
    }

    /// A number as texts show it.
    pub fn show(&self, number: u64) -> String {
        match &self.field {
            Field::Number { shown, .. } => show_number(*shown, number),
            Field::Text { .. } | Field::Object { .. } => number.to_string(),
        }
    }

    /// The error for a value that it cannot have, shown as `found`.
    pub fn refuse(&self, found: &str) -> Error {
        let name = self.name_text();
        let allowed = match (self.choices, self.kind()) {
            (Some(choices), _) => format!("one of {}", plain(choices).replace('|', ", ")),
            (None, OptionKind::Object) => "set by esker_options_set_object()".to_owned(),
            (None, OptionKind::Text) => {
                format!("1 to {LEVELS_MAX} numbers from {} to {}", self.min, self.max)
            }
            (None, OptionKind::Number) => {
                format!("from {} to {}", self.show(self.min), self.show(self.max))
            }
        };
        Error::invalid(Area::Option, format!("option \"{name}\" is {found}, must be {allowed}"))
    }
}

fn show_number(shown: Shown, number: u64) -> String {
    match shown {
        Shown::Plain => number.to_string(),
        Shown::Octal => format!("0{number:o}"),
        Shown::Bytes => {
            let units = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")];
            let fits = |unit: u64| number >= unit && number % unit == 0;
            match units.iter().find(|(unit, _)| fits(*unit)) {
                Some((unit, suffix)) => format!("{}{suffix}", number / unit),
                None => number.to_string(),
            }
        }
    }
}

/// Reads what `show` writes; also k, M and G for powers of a thousand.
pub fn parse_number(shown: Shown, text: &str) -> Option<u64> {
    if shown == Shown::Octal {
        return u64::from_str_radix(text, 8).ok().filter(|_| !text.starts_with('+'));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let unit = match suffix.trim_start() {
        "" => 1,
        "KiB" => KIB,
        "MiB" => MIB,
        "GiB" => GIB,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// Finds an option by its id.
pub fn find_id(id: u32) -> Result<&'static OptionSpec> {
    OPTION_TABLE
        .iter()
        .find(|spec| spec.id == id)
        .ok_or_else(|| Error::invalid(Area::Option, format!("there is no option {id}")))
}

/// `INVALID` unless `id` is an option that takes an object.
pub fn check_object(id: u32) -> Result<()> {
    let spec = find_id(id)?;
    if spec.kind() != OptionKind::Object {
        let message = format!("option \"{}\" is not an object", spec.name_text());
        return Err(Error::invalid(Area::Option, message));
    }
    Ok(())
}

/// Finds an option by its name.
pub fn find_name(name: &[u8]) -> Option<&'static OptionSpec> {
    OPTION_TABLE.iter().find(|spec| spec.name.to_bytes() == name)
}
