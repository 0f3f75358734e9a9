//! The engine, one file per verb over one shared core.
//!
//! Reading order: `errors`, `snapshot`, `read_state`, `commit`, `interval`, `pace`, `stats`, `events`
//! (small parts), `core` (what is shared, the lock order, sticky failure), `install` (the one door by which
//! the tree changes), `given_up`, `durable`, `stall`, `write`, `read`, `bounds`, `iter`, `rows` (the user stories), `background`,
//! `compact`, `logs` and `obsolete` (work behind the scenes), `open`, `close`, `resume`, `maintain` (flush, compact),
//! `verify`, `checkpoint`, `salvage`, `approximate`, `property`, `metrics`, `handle` (the engine as one value).

pub mod errors;
pub mod snapshot;
pub mod read_state;
pub mod commit;
pub mod interval;
pub mod pace;
pub mod stats;
pub mod events;
pub mod core;
pub mod given_up;
pub mod install;
pub mod logs;
pub mod obsolete;
pub mod read;
pub mod bounds;
pub mod iter;
pub mod rows;
pub mod background;
pub mod durable;
pub mod stall;
pub mod write;
pub mod compact;
pub mod maintain;
pub mod resume;
pub mod checkpoint;
pub mod approximate;
pub mod close;
pub mod open;
pub mod verify;
pub mod salvage;
pub mod property;
pub mod metrics;
pub mod handle;
