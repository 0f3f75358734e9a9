//! Cursors: `internal` is the contract of every cursor over internal keys, `merge` merges many of them.

pub mod internal;
pub mod merge;
