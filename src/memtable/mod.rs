//! Sorted recent writes: `arena` (memory), `index` (what an index must do), `skiplist` (index on
//! crossbeam-skiplist), `table` (the memtable).

pub mod arena;
pub mod index;
pub mod skiplist;
pub mod table;
