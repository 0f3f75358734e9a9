//! The log: `format` (LOG START), `sync` (durability), `prepare` (files), `writer` (append, rotate), `scan` (reading one log),
//! `recover` (what counts after a crash).

pub mod format;
pub mod sync;
pub mod prepare;
pub mod writer;
pub mod scan;
pub mod recover;
