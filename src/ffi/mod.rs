//! The C boundary; nothing unwinds past it.
//!
//! Reading order: `registry` (handles to objects), `status`, `values` and `structs` (what C sees),
//! `handles` (what a handle stands for), `arguments` (the checks of everything that comes from C),
//! `boundary` (the guard around every call), `params` (read and write options), `job` (long work), `comparator` (key
//! orders), then one file per group of
//! functions. The comments on exported items are the text of include/esker.h, which cbindgen writes from
//! these files in this order.

pub mod registry;
pub mod status;
pub mod values;
pub mod structs;
pub mod handles;
pub mod arguments;
pub mod boundary;
pub mod params;
pub mod job;
pub mod library;
pub mod comparator;
pub mod options;
pub mod env;
pub mod db;
pub mod point;
pub mod batch;
pub mod iter;
pub mod chunk;
pub mod snapshot;
pub mod admin;
pub mod verify;
