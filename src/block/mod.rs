//! A data block: `format` (bytes and checks), `builder`, `iter` (search and scan).

pub mod format;
pub mod builder;
pub mod iter;
