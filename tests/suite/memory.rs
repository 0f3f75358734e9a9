//! Databases without files: the same engine, memory in proportion to the data, nothing left behind.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::env::api::Fs;
use esker::internals::env::memory::MemDir;
use esker::internals::env::sim::SimKernel;
use esker::internals::options::Options;
use esker::internals::sync::Arc;

fn open_memory(dir: &Arc<MemDir>, options: &Options) -> Db {
    let flags = OpenFlags { create: true, ..OpenFlags::default() };
    Db::open(&Fs::Memory(dir.clone()), b"anywhere", options, flags).expect("opens")
}

#[test]
fn reads_are_those_of_a_database_with_files() {
    let dir = Arc::default();
    let (memory, files) = (open_memory(&dir, &tiny()), open(&SimKernel::new(41), &tiny()));
    let files = files.expect("opens");
    for n in 0..600u32 {
        let key = (n * 7919 % 300).to_be_bytes();
        for db in [&memory, &files] {
            match n % 5 {
                4 => db.delete(&synced(), &key).expect("deleted"),
                _ => db.put(&buffered(), &key, &n.to_le_bytes()).expect("written"),
            };
        }
    }
    assert_eq!(rows(&memory), rows(&files));
    assert_eq!(shape(&memory), shape(&files), "the same jobs ran");
    assert!(shape(&memory)[1..].iter().any(|tables| *tables > 0), "levels were made");
    memory.compact(None, None, true, &mut |_, _, _| true).expect("compacts");
    assert_eq!(rows(&memory), rows(&files));
}

#[test]
fn memory_follows_the_data_not_what_was_ever_written() {
    let dir: Arc<MemDir> = Arc::default();
    let options = Options { write_buffer: 64 << 10, table_size: 64 << 10, ..tiny() };
    let db = open_memory(&dir, &options);
    let mut highest = 0;
    for n in 0..20_000u32 {
        db.put(&buffered(), &(n % 500).to_be_bytes(), &[n as u8; 100]).expect("written");
        highest = highest.max(dir.allocated());
    }
    // 2 MB were written, the data are 52 KB: logs, level 0 and one compaction in flight are the rest.
    assert!(highest < 1 << 20, "{highest} bytes were in use at once");
    db.compact(None, None, true, &mut |_, _, _| true).expect("compacts");
    assert!(dir.allocated() < 512 << 10, "{} bytes are in use at the end", dir.allocated());
}

#[test]
fn pins_and_iterators_outlive_the_close() {
    let db = open_memory(&Arc::default(), &tiny());
    for n in 0..100u32 {
        db.put(&buffered(), &n.to_be_bytes(), &[n as u8; 40]).expect("written");
    }
    let pin = db.get(&Default::default(), &7u32.to_be_bytes()).expect("reads").expect("there");
    db.close(true).expect("closes");
    drop(db);
    assert_eq!(&pin[..], &[7u8; 40]);
}
