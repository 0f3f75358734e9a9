//! Compaction: `plan`, `inflight` (what is running), `victim` and `picker` (pure choice), `iter` (which entries
//! survive), `run` (execution), `split` and `parts` (one job in key ranges).

pub mod plan;
pub mod inflight;
pub mod victim;
pub mod picker;
pub mod iter;
pub mod split;
pub mod run;
pub mod parts;
