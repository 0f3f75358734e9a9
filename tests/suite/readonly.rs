//! Read-only opening: everything can be read, nothing is written, writers and readers keep each other out.

use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::verify::{VerifyLevel, Watch};
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::Options;
use esker::internals::sync::Arc;

fn read_only(kernel: &Arc<SimKernel>, options: &Options) -> Result<Db> {
    let flags = OpenFlags { read_only: true, ..OpenFlags::default() };
    Db::open(&Fs::Sim(kernel.clone()), b"/db", options, flags)
}

fn fill(db: &Db, from: u64, to: u64) {
    for n in from..to {
        db.put(&buffered(), format!("key{n:05}").as_bytes(), &[n as u8; 20]).expect("written");
    }
}

fn expected(to: u64) -> Rows {
    (0..to).map(|n| (format!("key{n:05}").into_bytes(), vec![n as u8; 20])).collect()
}

#[test]
fn a_killed_a_closed_and_an_empty_database_are_read_and_left_as_they_were() {
    for (rows_in, cleanly) in [(300, false), (300, true), (0, true), (0, false)] {
        // With threads too: none of them may write.
        for options in [tiny(), Options { deterministic: false, threads: 2, ..tiny() }] {
            let kernel = SimKernel::new(70);
            let db = open(&kernel, &tiny()).expect("opens");
            fill(&db, 0, rows_in);
            let kernel = if cleanly {
                db.close(false).expect("closes");
                kernel
            } else {
                crash(&kernel, Some(db), CrashPolicy::Kill, 1)
            };
            let before = kernel.directory_hash("/db");
            for _ in 0..2 {
                let db = read_only(&kernel, &options).expect("opens");
                assert_eq!(rows(&db), expected(rows_in));
                let snapshot = db.snapshot().expect("taken");
                assert_eq!(get(&db, b"key00000").is_some(), rows_in > 0);
                drop(snapshot);
                let watch = Watch { progress: &mut |_, _| true, report: &mut |_| true };
                db.verify(VerifyLevel::Full, watch).expect("sound");
                db.close(false).expect("closes");
                assert_eq!(kernel.directory_hash("/db"), before, "{rows_in} {cleanly}");
            }
            let db = reopen(&kernel, &options).expect("opens for writing");
            fill(&db, rows_in, rows_in + 20);
            assert_eq!(rows(&db), expected(rows_in + 20));
        }
    }
}

#[test]
fn everything_that_would_write_answers_readonly() {
    let kernel = SimKernel::new(71);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 0, 100);
    let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, 1);
    let before = kernel.directory_hash("/db");
    let db = read_only(&kernel, &tiny()).expect("opens");
    let told = [
        kind(db.put(&buffered(), b"k", b"v")),
        kind(db.put(&synced(), b"k", b"v")),
        kind(db.delete(&buffered(), b"k")),
        kind(db.sync()),
        kind(db.flush()),
        kind(db.compact(None, None, true, &mut |_, _, _| true)),
        kind(db.resume()),
        kind(db.checkpoint(b"/copy", &mut |_, _| true)),
    ];
    assert_eq!(told, [Some(ErrorKind::ReadOnly); 8]);
    assert_eq!(rows(&db), expected(100));
    assert!(db.stats().latest_seq == 100);
    db.close(false).expect("closes");
    assert_eq!(kernel.directory_hash("/db"), before);
    assert!(kernel.files("/copy").is_empty());
}

#[test]
fn readers_share_the_lock_and_exclude_a_writer_as_it_does_them() {
    let kernel = SimKernel::new(72);
    assert_eq!(kind(read_only(&kernel, &tiny())), Some(ErrorKind::Missing));
    let writer = open(&kernel, &tiny()).expect("opens");
    fill(&writer, 0, 10);
    assert_eq!(kind(read_only(&kernel, &tiny())), Some(ErrorKind::Locked));
    writer.close(false).expect("closes");
    let readers = [0, 1].map(|_| read_only(&kernel, &tiny()).expect("shares the lock"));
    assert_eq!(kind(reopen(&kernel, &tiny())), Some(ErrorKind::Locked));
    let [first, second] = readers;
    first.close(false).expect("closes");
    assert_eq!(kind(reopen(&kernel, &tiny())), Some(ErrorKind::Locked));
    assert_eq!(rows(&second), expected(10));
    drop(second);
    reopen(&kernel, &tiny()).expect("nobody reads any more");
    kernel.remove_file("/db", "LOCK");
    let db = read_only(&kernel, &tiny()).expect("needs no lock file");
    assert_eq!(rows(&db), expected(10));
    assert!(!kernel.files("/db").iter().any(|(name, _)| name == "LOCK"), "and makes none");
}
