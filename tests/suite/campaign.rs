//! Campaigns: tests of what must never happen, which go on for as long as they are given time.
//!
//! Each campaign runs cases; a case is made from a number alone, and the number of a failing one is printed.
//!
//! - `ESKER_SEED=n` runs case n and nothing else.
//! - `ESKER_CAMPAIGN=full` runs what every commit must pass (`make test-full`); the default is a slice of that.
//! - `ESKER_TIME=seconds` goes on for so long, campaign by campaign (`make campaign TIME=...`).
//! - `ESKER_RECORD=file` appends what was done to a table, from which docs/RELIABILITY.md is made.

mod ace;
mod banks;
mod crash;
mod damage;
mod faults;
pub mod frame;
mod history;
mod image;
mod metamorphic;
mod page;
mod pairs;
mod patient;
mod planted;
mod recovering;
mod same_bytes;
mod script;
