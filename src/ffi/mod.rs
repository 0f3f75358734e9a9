//! The C boundary; nothing unwinds past it.

pub mod registry;
pub mod boundary;
pub mod status;
pub mod handles;
pub mod library;
pub mod options;
pub mod db;
pub mod point;
pub mod batch;
pub mod iter;
pub mod snapshot;
pub mod admin;
