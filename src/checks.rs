//! Whether the checks that the engine makes of its own data all the time are built in. They always are: the feature
//! `unchecked` is there for `make bench-checks`, which finds out what they cost.
//!
//! They are: the checksum of every block that is read, and that its entries ascend and lie inside it; that a table is
//! written in order; that what an index says ascends; that a job reads and writes the entries it should; that a compaction
//! takes all tables it must; that an edit may follow the state before it.

pub const CHECKS: bool = !cfg!(feature = "unchecked");
