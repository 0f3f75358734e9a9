//! The engine through its facade.

use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::options::Options;

#[test]
fn what_was_put_is_found_after_reopening() {
    let fs = Fs::Sim(SimKernel::new(1));
    let options = Options {
        write_buffer: 2048,
        table_size: 1024,
        level_bytes: 4096,
        level_ratio: 2,
        l0_trigger: 2,
        ..Options::default()
    };
    let create = OpenFlags { create: true, exclusive: false };
    let key = |i: u32| format!("key{:05}", i * 7919 % 1000).into_bytes();
    {
        let db = Db::open(&fs, b"/db", &options, create).unwrap();
        for i in 0..1000 {
            db.put(&WriteParams::default(), &key(i), &i.to_le_bytes()).unwrap();
        }
        db.flush().unwrap();
        db.compact(None, None, false, &mut |_, _, _| true).unwrap();
        println!("{}", db.property("levels").unwrap());
        db.close(false).unwrap();
    }
    let db = Db::open(&fs, b"/db", &options, OpenFlags::default()).unwrap();
    for i in 0..1000 {
        let value = db.get(&ReadParams::default(), &key(i)).unwrap().expect("present");
        assert_eq!(&*value, i.to_le_bytes());
    }
    let mut iter = db.iter(&ReadParams::default()).unwrap();
    let mut rows = 0;
    while iter.next().unwrap() {
        rows += 1;
    }
    assert_eq!(rows, 1000);
    let mut back = 0;
    while iter.prev().unwrap() {
        back += 1;
    }
    assert_eq!(back, 1000);
}
