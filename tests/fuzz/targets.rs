//! What the fuzzers call and the test suite replays: one function per decoder, from bytes to a value or an error.
//!
//! A target returns for every input. It panics when the library does, and when the library contradicts itself: an
//! edit that is encoded and read again as another one, a block whose entries do not ascend, a table that a full check
//! finds sound and that then does not show what is in it.
//!
//! Checksums stop nearly all mutated bytes at the door. So where there are any the first byte of the input is a mode:
//! with bit 0 the checksums are made right (`fix`) before the decoder sees the bytes.

pub mod database;
pub mod fix;
pub mod input;
pub mod records;
pub mod seeds;
pub mod tables;
pub mod texts;

/// Runs one input; whether the decoder took it for well-formed, so that tests can tell that seeds reach its end.
pub type Deep = fn(&[u8]) -> bool;

/// Every target by its name, which is that of its folder in the corpus and of its fuzzer.
pub const DEEP: &[(&str, Deep)] = &[
    ("log", records::log),
    ("record", records::record),
    ("manifest", records::manifest),
    ("edit", records::edit),
    ("table", tables::table),
    ("block", tables::block),
    ("filter", tables::filter),
    ("batch", texts::batch),
    ("options", texts::options),
    ("lz4", texts::lz4),
    ("path", texts::path),
    ("database", database::database),
    ("mutated", database::mutated),
];

/// Runs one input; what matters is that it returns.
pub type Target = fn(&[u8]);

/// The same for the fuzzers.
pub const TARGETS: &[(&str, Target)] = &[
    ("log", log),
    ("record", record),
    ("manifest", manifest),
    ("edit", edit),
    ("table", table),
    ("block", block),
    ("filter", filter),
    ("batch", batch),
    ("options", options),
    ("lz4", lz4),
    ("path", path),
    ("database", database),
    ("mutated", mutated),
];

/// One or two log files: which of their records count, and their replay.
pub fn log(data: &[u8]) {
    records::log(data);
}

/// File header, record headers and the search for evidence.
pub fn record(data: &[u8]) {
    records::record(data);
}

/// A manifest file.
pub fn manifest(data: &[u8]) {
    records::manifest(data);
}

/// A version edit.
pub fn edit(data: &[u8]) {
    records::edit(data);
}

/// A table file: opened, read in every way, checked.
pub fn table(data: &[u8]) {
    tables::table(data);
}

/// A data block.
pub fn block(data: &[u8]) {
    tables::block(data);
}

/// A filter block of either kind.
pub fn filter(data: &[u8]) {
    tables::filter(data);
}

/// The bytes of a batch, as a caller hands them over.
pub fn batch(data: &[u8]) {
    texts::batch(data);
}

/// A text of options.
pub fn options(data: &[u8]) {
    texts::options(data);
}

/// A compressed body.
pub fn lz4(data: &[u8]) {
    texts::lz4(data);
}

/// A file's name.
pub fn path(data: &[u8]) {
    texts::path(data);
}

/// A directory of manifest, log and tables, opened as a database.
pub fn database(data: &[u8]) {
    database::database(data);
}

/// A valid small database with some bytes changed, opened and read.
pub fn mutated(data: &[u8]) {
    database::mutated(data);
}
