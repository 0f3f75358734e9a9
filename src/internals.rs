//! The private rooms, re-exported under the same names for the test suite. Never part of a shipped library.
#![allow(unused_imports, reason = "a room may export nothing yet")]

pub mod batch {
    pub use crate::batch::*;
}
pub mod checksum {
    pub use crate::checksum::*;
}
pub mod coding {
    pub use crate::coding::*;
}
pub mod compress {
    pub use crate::compress::*;
}
pub mod error {
    pub use crate::error::*;
}
pub mod flush {
    pub use crate::flush::*;
}
pub mod hash {
    pub use crate::hash::*;
}
pub mod job {
    pub use crate::job::*;
}
pub mod key {
    pub use crate::key::*;
}
pub mod order {
    pub use crate::order::*;
}
pub mod options {
    pub use crate::options::table::*;
    pub use crate::options::*;
}
pub mod planted {
    pub use crate::planted::*;
}
pub mod retire {
    pub use crate::retire::*;
}
pub mod search {
    pub use crate::search::*;
}
pub mod shared {
    pub use crate::shared::*;
}
pub mod sync {
    pub use crate::sync::*;
}
pub mod types {
    pub use crate::types::*;
}
pub mod worker {
    pub use crate::worker::*;
}
pub mod env {
    pub mod call {
        pub use crate::env::call::*;
    }
    pub mod real {
        pub use crate::env::real::*;
    }
    pub mod memory {
        pub use crate::env::memory::*;
    }
    pub mod sim {
        pub use crate::env::sim::crash::CrashPolicy;
        pub use crate::env::sim::fault::{CallKind, Fault};
        pub use crate::env::sim::*;
    }
    pub mod api {
        pub use crate::env::api::*;
    }
    pub mod path {
        pub use crate::env::path::*;
    }
    pub mod process {
        pub use crate::env::process::*;
    }
}
pub mod iter {
    /// A row is borrowed from its cursor until the next move:
    ///
    /// ```compile_fail,E0502
    /// use esker::internals::iter::internal::InternalIterator;
    /// fn a_row_after_a_move(cursor: &mut impl InternalIterator) -> usize {
    ///     let key = cursor.key();
    ///     cursor.next().unwrap();
    ///     key.len()
    /// }
    /// ```
    pub mod internal {
        pub use crate::iter::internal::*;
    }
    pub mod merge {
        pub use crate::iter::merge::*;
    }
}
pub mod block {
    pub mod format {
        pub use crate::block::format::*;
    }
    pub mod builder {
        pub use crate::block::builder::*;
    }
    pub mod iter {
        pub use crate::block::iter::*;
    }
}
pub mod record {
    pub mod format {
        pub use crate::record::format::*;
    }
    pub mod reader {
        pub use crate::record::reader::*;
    }
}
pub mod filter {
    pub mod blocked {
        pub use crate::filter::blocked::*;
    }
    pub mod classic {
        pub use crate::filter::classic::*;
    }
    pub mod kind {
        pub use crate::filter::kind::*;
    }
}
pub mod memtable {
    pub mod arena {
        pub use crate::memtable::arena::*;
    }
    pub mod index {
        pub use crate::memtable::index::*;
    }
    pub mod skiplist {
        pub use crate::memtable::skiplist::*;
    }
    pub mod table {
        pub use crate::memtable::table::*;
    }
    pub mod wide {
        pub use crate::memtable::wide::*;
    }
}
pub mod table {
    pub mod meta {
        pub use crate::table::meta::*;
    }
    pub mod format {
        pub use crate::table::format::*;
    }
    pub mod properties {
        pub use crate::table::properties::*;
    }
    pub mod index {
        pub use crate::table::index::*;
    }
    pub mod builder {
        pub use crate::table::builder::*;
    }
    pub mod cache {
        pub use crate::table::cache::*;
    }
    pub mod check {
        pub use crate::table::check::*;
    }
    pub mod reader {
        pub use crate::table::reader::*;
    }
    pub mod iter {
        pub use crate::table::iter::*;
    }
    pub mod handle {
        pub use crate::table::handle::*;
    }
    pub mod level_iter {
        pub use crate::table::level_iter::*;
    }
}
pub mod wal {
    pub mod format {
        pub use crate::wal::format::*;
    }
    pub mod sync {
        pub use crate::wal::sync::*;
    }
    pub mod prepare {
        pub use crate::wal::prepare::*;
    }
    pub mod writer {
        pub use crate::wal::writer::*;
    }
    pub mod recover {
        pub use crate::wal::recover::*;
    }
}
pub mod version {
    pub mod field {
        pub use crate::version::field::*;
    }
    pub mod edit {
        pub use crate::version::edit::*;
    }
    pub mod levels {
        pub use crate::version::levels::*;
    }
    pub mod state {
        pub use crate::version::state::*;
    }
    pub mod manifest {
        pub use crate::version::manifest::*;
    }
    pub mod set {
        pub use crate::version::set::*;
    }
}
pub mod compaction {
    pub mod plan {
        pub use crate::compaction::plan::*;
    }
    pub mod inflight {
        pub use crate::compaction::inflight::*;
    }
    pub mod victim {
        pub use crate::compaction::victim::*;
    }
    pub mod picker {
        pub use crate::compaction::picker::*;
    }
    pub mod iter {
        pub use crate::compaction::iter::*;
    }
    pub mod split {
        pub use crate::compaction::split::*;
    }
    pub mod run {
        pub use crate::compaction::run::*;
    }
    pub mod parts {
        pub use crate::compaction::parts::*;
    }
}
pub mod db {
    pub mod rows {
        pub use crate::db::rows::*;
    }
    pub mod approximate {
        pub use crate::db::approximate::*;
    }
    pub mod errors {
        pub use crate::db::errors::*;
    }
    pub mod snapshot {
        pub use crate::db::snapshot::*;
    }
    pub mod read_state {
        pub use crate::db::read_state::*;
    }
    pub mod commit {
        pub use crate::db::commit::*;
    }
    pub mod stats {
        pub use crate::db::stats::*;
    }
    pub mod core {
        pub use crate::db::core::*;
    }
    pub mod events {
        pub use crate::db::events::*;
    }
    pub mod install {
        pub use crate::db::install::*;
    }
    pub mod obsolete {
        pub use crate::db::obsolete::*;
    }
    pub mod close {
        pub use crate::db::close::*;
    }
    pub mod compact {
        pub use crate::db::compact::*;
    }
    pub mod maintain {
        pub use crate::db::maintain::*;
    }
    pub mod write {
        pub use crate::db::write::*;
    }
    pub mod read {
        pub use crate::db::read::*;
    }
    pub mod iter {
        pub use crate::db::iter::*;
    }
    pub mod background {
        pub use crate::db::background::*;
    }
    pub mod open {
        pub use crate::db::open::*;
    }
    pub mod handle {
        pub use crate::db::handle::*;
    }
    pub mod verify {
        pub use crate::db::verify::*;
    }
    pub mod salvage {
        pub use crate::db::salvage::*;
    }
    pub mod property {
        pub use crate::db::property::*;
    }
}
