//! The engine, one file per verb.

pub mod errors;
pub mod snapshot;
pub mod read_state;
pub mod commit;
pub mod stats;
pub mod core;
pub mod install;
pub mod obsolete;
pub mod write;
pub mod read;
pub mod iter;
pub mod background;
pub mod open;
pub mod handle;
pub mod property;
