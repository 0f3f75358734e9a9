//! The log: `format` (LOG START), `writer` (append, rotate, sync), `recover` (what counts after a crash).

pub mod format;
pub mod writer;
pub mod recover;
