//! Esker: an embedded, ordered key-value store behind a C ABI.
//!
//! The product is the C library: see `include/esker.h`. The rooms below are private; docs/ARCHITECTURE.md
//! is their map, and its import table is what `tests/suite/layering.rs` holds the code to.

// Rooms in layer order; cbindgen emits functions in this order.
mod error;
mod types;
mod sync;
mod retire;
mod hash;
mod checksum;
mod coding;
mod key;
mod order;
mod search;
mod compress;
mod env;
mod worker;
mod iter;
mod block;
mod record;
mod batch;
mod filter;
mod memtable;
mod table;
mod wal;
mod version;
mod job;
mod compaction;
mod flush;
mod shared;
mod options;
mod db;
mod selftest;
mod ffi;

#[cfg(feature = "internals")]
pub mod internals;
