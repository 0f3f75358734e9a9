//! Compaction: `plan`, `picker` (pure choice), `iter` (which entries survive), `run` (execution).

pub mod plan;
pub mod picker;
pub mod iter;
pub mod run;
