//! The record layer shared by log and manifest: `format` (bytes), `reader` (scan, tail, evidence).

pub mod format;
pub mod reader;
