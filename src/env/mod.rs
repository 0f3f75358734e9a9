//! The outside world: files, directories, the lock, time and random numbers.
//!
//! Reading order: `call` (vocabulary of the system calls), `real` (the calls on libc),
//! `memory` (on files in memory), `sim` (the same
//! calls on a kernel in memory that can crash and fail; tests only), `api` (what the engine sees: retry
//! loops, all-or-error writes, error texts), `path` (file names of a database), `process` (fork and
//! signals).

pub mod call;
pub mod real;
pub mod memory;
#[cfg(feature = "sim")]
pub mod sim;
pub mod api;
pub mod path;
pub mod process;
