//! Esker: an embedded, ordered key-value store behind a C ABI.
//!
//! The product is the C library: see `include/esker.h`. The rooms below are private; docs/ARCHITECTURE.md
//! is their map, and its import table is what `tests/suite/layering.rs` holds the code to.

#![cfg_attr(
    feature = "capi",
    allow(
        clippy::missing_safety_doc,
        reason = "the header's conventions say it once for all functions"
    )
)]

// Rooms in layer order; cbindgen emits functions in this order.
mod error;
mod types;
mod sync;
mod planted;
mod checks;
mod buffer;
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

/// The functions and types of include/esker.h, for a library that is another C interface over them.
#[cfg(feature = "capi")]
pub mod capi {
    pub use crate::ffi::admin::{
        esker_approx_sizes, esker_compact, esker_db_stats, esker_property,
    };
    pub use crate::ffi::batch::*;
    pub use crate::ffi::db::*;
    pub use crate::ffi::env::*;
    pub use crate::ffi::iter::*;
    pub use crate::ffi::library::esker_status_text;
    pub use crate::ffi::options::*;
    pub use crate::ffi::point::*;
    pub use crate::ffi::snapshot::*;
    pub use crate::ffi::status::esker_status;
    pub use crate::ffi::structs::*;
    pub use crate::ffi::values::*;
    pub use crate::ffi::verify::*;
}
