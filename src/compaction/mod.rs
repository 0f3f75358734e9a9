//! Compaction: `plan`, `inflight` (what is running), `victim` and `picker` (pure choice), `iter` (which entries survive), `run` (execution).

pub mod plan;
pub mod inflight;
pub mod victim;
pub mod picker;
pub mod iter;
pub mod run;
