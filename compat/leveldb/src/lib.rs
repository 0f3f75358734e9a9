//! LevelDB's C interface, complete, over esker's: the 68 functions of `leveldb/c.h`, nothing else exported.
//!
//! Reading order: `text` (memory that the C caller frees), `object` (what it holds), `failure` (how errors read), `comparator`, `filter`,
//! `options`, `batch`, `iter`, `property`, `db`, `env`. docs/LEVELDB.md says what is the same and what is not.
//!
//! What c.h asks of a caller, and every block of unsafe code here leans on: pointers are NULL or what a function of
//! this library returned and has not been given up; strings end in NUL; keys and values are readable for their
//! lengths; an object that is not a database is used by one thread at a time. NULL, where LevelDB would crash, is
//! answered with an error or ignored.
#![allow(non_camel_case_types, reason = "names of LevelDB's header")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the rules are those of c.h, and stand above once for all"
)]

mod batch;
mod comparator;
mod db;
mod env;
mod failure;
mod filter;
mod iter;
mod object;
mod options;
mod property;
mod text;
