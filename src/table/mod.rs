//! A table file: `meta` (facts), `format` (footer), `properties`, `index` (fences), `builder`, `cache`
//! (blocks), `ahead` (of a cursor), `reader`, `iter`, `handle` (a table in a version, open-file cap), `level_iter`, `check`.

pub mod meta;
pub mod format;
pub mod properties;
pub mod index;
pub mod builder;
pub mod cache;
pub mod ahead;
pub mod reader;
pub mod iter;
pub mod handle;
pub mod level_iter;
pub mod check;
