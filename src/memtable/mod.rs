//! Sorted recent writes: `arena` (memory), `index` (what an index must do), `skiplist` (index on
//! crossbeam-skiplist), `node` and `wide` (index as a tree of wide nodes), `table` (the memtable).

pub mod arena;
pub mod index;
pub mod node;
pub mod skiplist;
pub mod table;
pub mod wide;
