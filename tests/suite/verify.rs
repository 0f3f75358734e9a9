//! Verification: what is sound is found sound, also while it is in use; planted damage is found, where it is.

#![allow(clippy::print_stdout, reason = "seeds of failing runs are shown")]

use crate::memtable::Rng;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::verify::{VerifyLevel, Watch, verify_path};
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::{Error, ErrorKind, Result};
use esker::internals::options::Options;
use esker::internals::sync::{Arc, AtomicBool, Ordering};

const LEVELS: [VerifyLevel; 3] = [VerifyLevel::Metadata, VerifyLevel::Checksums, VerifyLevel::Full];

fn fill(db: &Db, n: u64) {
    for i in 0..n {
        let key = format!("key{:05}", i * 7919 % n);
        let params = if i % 50 == 7 { synced() } else { buffered() };
        if i % 11 == 3 {
            db.delete(&params, key.as_bytes()).expect("deleted");
        } else {
            db.put(&params, key.as_bytes(), &[b'v'; 30]).expect("written");
        }
    }
}

/// What a verification said: its answer and all findings.
struct Said {
    result: Result<()>,
    findings: Vec<Error>,
}

fn listen(verify: impl FnOnce(Watch<'_>) -> Result<()>) -> Said {
    let (mut findings, mut last) = (Vec::new(), (0, 0));
    let result = verify(Watch {
        progress: &mut |done, total| {
            assert!(done <= total && done >= last.0, "progress never goes back");
            last = (done, total);
            true
        },
        report: &mut |finding| {
            findings.push(finding.clone());
            true
        },
    });
    if !matches!(&result, Err(error) if error.kind() != ErrorKind::Corrupt) && last.1 > 0 {
        assert_eq!(last.0, last.1, "progress ends at the whole");
    }
    match (&result, findings.first()) {
        (Ok(()), first) => assert!(first.is_none()),
        (Err(error), Some(first)) => {
            assert!(error.to_string().contains(&first.detail().message), "{error} {first}");
        }
        (Err(_), None) => {}
    }
    Said { result, findings }
}

fn of_path(kernel: &Arc<SimKernel>, level: VerifyLevel) -> Said {
    let fs = Fs::Sim(kernel.clone());
    listen(|watch| verify_path(&fs, b"/db", &tiny(), level, watch))
}

fn of_db(db: &Db, level: VerifyLevel) -> Said {
    listen(|watch| db.verify(level, watch))
}

/// A closed database of three levels at least, and a log with records.
fn closed() -> Arc<SimKernel> {
    let kernel = SimKernel::new(50);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 500);
    assert!(shape(&db).iter().filter(|tables| **tables > 0).count() >= 3, "{:?}", shape(&db));
    crash(&kernel, Some(db), CrashPolicy::Kill, 1)
}

#[test]
fn what_is_sound_is_found_sound_and_nothing_is_written() {
    let kernel = closed();
    let before = files(&kernel);
    for level in LEVELS {
        of_path(&kernel, level).result.unwrap_or_else(|error| panic!("{level:?}: {error}"));
    }
    assert!(files(&kernel) == before);
    let db = reopen(&kernel, &tiny()).expect("opens");
    for level in LEVELS {
        of_db(&db, level).result.unwrap_or_else(|error| panic!("open, {level:?}: {error}"));
    }
    fill(&db, 300);
    of_db(&db, VerifyLevel::Full).result.expect("sound");
    let locked = of_path(&kernel, VerifyLevel::Full).result.expect_err("it is open");
    assert_eq!(locked.kind(), ErrorKind::Locked);
    db.close(false).expect("closes");
    assert_eq!(kind(of_db(&db, VerifyLevel::Full).result), Some(ErrorKind::Closed));
    of_path(&kernel, VerifyLevel::Full).result.expect("sound after a clean close");
}

#[test]
fn what_holds_no_database_is_missing() {
    let kernel = SimKernel::new(51);
    let said = of_path(&kernel, VerifyLevel::Metadata);
    assert_eq!(kind(said.result), Some(ErrorKind::Missing));
}

/// Number of the file in a name like 0000000012.sst or MANIFEST-0000000010.
fn number(name: &str) -> u64 {
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// The files that the database needs, with their bytes.
fn needed(kernel: &SimKernel) -> Vec<(String, Vec<u8>)> {
    let mut all = files(kernel);
    let manifests = all.iter().filter(|(name, _)| name.starts_with("MANIFEST"));
    let newest = manifests.map(|(name, _)| number(name)).max().expect("a manifest");
    all.retain(|(name, _)| !name.starts_with("MANIFEST") || number(name) == newest);
    all
}

#[test]
fn any_flipped_byte_of_a_table_is_found_in_that_table() {
    let kernel = closed();
    let tables: Vec<_> = needed(&kernel).into_iter().filter(|(n, _)| n.ends_with(".sst")).collect();
    let mut rng = Rng::new(54);
    for n in 0..60 {
        let (name, bytes) = &tables[rng.below(tables.len() as u64) as usize];
        // The footer, and anywhere.
        let from = if n % 3 == 0 { bytes.len() - 128 } else { 0 };
        let at = from + rng.below((bytes.len() - from) as u64) as usize;
        kernel.corrupt("/db", name, at as u64, 0x41);
        let said = of_path(&kernel, VerifyLevel::Checksums);
        kernel.corrupt("/db", name, at as u64, 0x41);
        let error = said.result.expect_err("damaged");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} {at}: {error}");
        assert_eq!(said.findings.len(), 1, "{name} {at}: {:?}", said.findings);
        assert_eq!(said.findings[0].detail().file_number, number(name), "{name} {at}");
    }
    of_path(&kernel, VerifyLevel::Full).result.expect("whole again");
}

#[test]
fn every_damaged_table_is_told_and_an_open_database_tells_the_same() {
    let kernel = closed();
    let tables: Vec<_> = needed(&kernel).into_iter().filter(|(n, _)| n.ends_with(".sst")).collect();
    let db = reopen(&kernel, &tiny()).expect("opens");
    let live: Vec<_> = {
        let text = db.property("tables").unwrap().expect("known");
        tables.iter().filter(|(name, _)| text.contains(&number(name).to_string())).collect()
    };
    for (name, bytes) in &live {
        kernel.corrupt("/db", name, bytes.len() as u64 / 3, 1);
    }
    let said = of_db(&db, VerifyLevel::Checksums);
    assert_eq!(kind(said.result), Some(ErrorKind::Corrupt));
    let mut found: Vec<u64> = said.findings.iter().map(|e| e.detail().file_number).collect();
    found.sort_unstable();
    found.dedup();
    let mut damaged: Vec<u64> = live.iter().map(|(name, _)| number(name)).collect();
    damaged.sort_unstable();
    assert_eq!(found, damaged);
}

#[test]
fn every_damaged_block_of_a_table_is_told_in_its_order() {
    let kernel = SimKernel::new(55);
    let db = open(&kernel, &calm()).expect("opens");
    fill(&db, 1000);
    db.flush().expect("flushed");
    let tables = names(&kernel, ".sst");
    assert_eq!(tables.len(), 1);
    let blocks = [0, 3 * 4096, 7 * 4096];
    for start in blocks {
        kernel.corrupt("/db", &tables[0], start + 100, 1);
    }
    let expect = |said: Said, what: &str| {
        assert_eq!(kind(said.result), Some(ErrorKind::Corrupt), "{what}");
        let places: Vec<_> =
            said.findings.iter().map(|e| (e.detail().file_number, e.detail().offset)).collect();
        assert_eq!(places, blocks.map(|start| (number(&tables[0]), start)), "{what}");
    };
    let levels = [VerifyLevel::Checksums, VerifyLevel::Full];
    for level in levels {
        expect(of_db(&db, level), &format!("open, {level:?}"));
    }
    db.close(false).expect("closes");
    for level in levels {
        expect(of_path(&kernel, level), &format!("closed, {level:?}"));
    }
}

#[test]
fn missing_cut_and_exchanged_tables_are_found_by_their_metadata() {
    let kernel = closed();
    let tables: Vec<_> = needed(&kernel).into_iter().filter(|(n, _)| n.ends_with(".sst")).collect();
    let (a, b) = (&tables[0], &tables[1]);
    let restore = || {
        kernel.write_file("/db", &a.0, &a.1);
        kernel.write_file("/db", &b.0, &b.1);
    };
    let expect = |what: &str, names: &[&str]| {
        for level in LEVELS {
            let said = of_path(&kernel, level);
            assert_eq!(kind(said.result), Some(ErrorKind::Corrupt), "{what} {level:?}");
            let found: Vec<u64> = said.findings.iter().map(|e| e.detail().file_number).collect();
            let damaged: Vec<u64> = names.iter().map(|name| number(name)).collect();
            assert!(damaged.iter().all(|number| found.contains(number)), "{what}: {found:?}");
            assert_eq!(found.len(), damaged.len(), "{what} {level:?}: {:?}", said.findings);
        }
        restore();
        of_path(&kernel, VerifyLevel::Full).result.expect("whole again");
    };
    kernel.remove_file("/db", &a.0);
    expect("missing", &[&a.0]);
    kernel.write_file("/db", &a.0, &a.1[..a.1.len() - 1]);
    expect("cut", &[&a.0]);
    kernel.write_file("/db", &a.0, &b.1);
    kernel.write_file("/db", &b.0, &a.1);
    expect("exchanged", &[&a.0, &b.0]);
}

#[test]
fn a_damaged_manifest_or_log_is_found_by_either_way() {
    for ending in ["MANIFEST", ".wal"] {
        let kernel = SimKernel::new(52);
        let db = open(&kernel, &calm()).expect("opens");
        fill(&db, 50);
        db.flush().expect("flushed");
        fill(&db, 50);
        db.sync().expect("synced");
        let (name, bytes) = needed(&kernel)
            .into_iter()
            .rfind(|(name, _)| name.starts_with(ending) || name.ends_with(ending))
            .expect("there is one");
        let content = bytes.iter().rposition(|byte| *byte != 0).expect("content");
        for at in (0..content).step_by(17) {
            kernel.corrupt("/db", &name, at as u64, 0x10);
            let said = of_db(&db, VerifyLevel::Checksums);
            let image = kernel.crash(CrashPolicy::Kill, 1);
            kernel.corrupt("/db", &name, at as u64, 0x10);
            // For those who find it closed, what no later record proves may be a torn tail.
            let Err(error) = said.result else { panic!("{name} {at} of {content}: sound") };
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{name} {at}: {error}");
            let closed = of_path(&image, VerifyLevel::Metadata).result;
            if at < content / 2 {
                assert_eq!(kind(closed), Some(ErrorKind::Corrupt), "{name} {at}");
            }
        }
        of_db(&db, VerifyLevel::Full).result.expect("whole again");
    }
}

#[test]
fn a_callback_or_a_close_ends_it() {
    let kernel = closed();
    let db = reopen(&kernel, &tiny()).expect("opens");
    let mut calls = 0;
    let result = db.verify(
        VerifyLevel::Full,
        Watch {
            progress: &mut |_, _| {
                calls += 1;
                calls < 5
            },
            report: &mut |_| true,
        },
    );
    assert_eq!((kind(result), calls), (Some(ErrorKind::Cancelled), 5));
    let result = db.verify(
        VerifyLevel::Full,
        Watch {
            progress: &mut |_, _| {
                let _closed_meanwhile = db.close(false);
                true
            },
            report: &mut |_| true,
        },
    );
    assert_eq!(kind(result), Some(ErrorKind::Cancelled));
}

#[test]
fn a_database_in_full_use_is_sound() {
    let options = Options { deterministic: false, threads: 2, ..tiny() };
    let kernel = SimKernel::new(53);
    let db = open(&kernel, &options).expect("opens");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                fill(&db, 700);
            }
            done.store(true, Ordering::Release);
        });
        let mut rounds = 0;
        while !done.load(Ordering::Acquire) || rounds < 3 {
            let level = LEVELS[rounds % 3];
            let said = of_db(&db, level);
            said.result.unwrap_or_else(|error| panic!("{level:?}: {error}"));
            rounds += 1;
        }
        println!("verified {rounds} times");
    });
}
