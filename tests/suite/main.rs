//! The one Rust test binary: a module per topic.
