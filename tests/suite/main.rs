//! The one Rust test binary: a module per topic.
#![allow(clippy::print_stdout, reason = "tests report seeds, counts and what they skip")]

mod source;
mod allocations;
mod vectors;
mod vectors_log;
mod vectors_table;
mod vectors_manifest;
mod sim;
mod log_model;
mod wal;
mod table;
mod tables_equal;
mod memtable;
mod version;
mod compaction;
mod layering;
mod tidy;
mod invariants;
mod header;
mod link;
mod simdb;
mod recovery;
mod verify;

mod checkpoint;
mod readonly;
mod api;
mod batch;
mod rows;
mod options;
mod order;
mod group;
mod parallel;
mod stalls;
mod model;
mod campaign;
mod recipes;
mod metrics;
mod memory;
mod fuzz;
#[cfg(esker_tsan)]
mod race;
