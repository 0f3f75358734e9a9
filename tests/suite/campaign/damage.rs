//! A damaged database directory: what an opened database then shows is the truth, or an error; never something else in
//! silence. (Files of other systems rot too: a byte, a sector, a file that is gone or another's.)
//!
//! R4 and R5.

use super::frame::{Campaign, Cases, Counts, Extent, Tally, extent, run, scattered};
use crate::model::Dice;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::call::OpenHow;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::record::format::RECORD_HEADER_LEN;
use esker::internals::sync::Arc;
use std::sync::LazyLock;

const SECTOR: usize = 512;

pub const CLOSED: Campaign =
    Campaign { name: "damage after a close", floor: 1_500, full: 4_000, slice: 2 };
pub const FLIPS: Campaign =
    Campaign { name: "flips after a kill", floor: 1_500, full: 4_000, slice: 2 };
pub const CUTS: Campaign =
    Campaign { name: "cuts after a kill", floor: 500, full: 2_000, slice: 1 };
pub const BYTES: Campaign =
    Campaign { name: "every byte after a close", floor: 1_500, full: 8_000, slice: 2 };
pub(super) const WRITES: u64 = 300;

/// Files with their bytes.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Writes; what is then in the database. Some keys are deleted again.
fn fill(db: &Db, params: &WriteParams, value: u8) -> Rows {
    let key = |i: u64| format!("key{:05}", i * 7919 % WRITES).into_bytes();
    let mut truth = Rows::new();
    for i in 0..WRITES {
        if i % 11 == 3 {
            db.delete(params, &key(i - 3)).expect("deleted");
            truth.remove(&key(i - 3));
        } else {
            db.put(params, &key(i), &[value; 30]).expect("written");
            truth.insert(key(i), vec![value; 30]);
        }
    }
    assert!(shape(db).iter().filter(|tables| **tables > 0).count() >= 3, "{:?}", shape(db));
    assert!(rows(db) == truth, "the model is right");
    truth
}

/// A database that nobody has open, and what is in it.
pub(super) struct Base {
    pub(super) kernel: Arc<SimKernel>,
    pub(super) truth: Rows,
}

/// Closed cleanly; three levels and more, and rows in its log too.
fn closed(seed: u64, value: u8) -> Base {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    let truth = fill(&db, &buffered(), value);
    db.close(false).expect("closes");
    Base { kernel, truth }
}

/// The same, killed, every write durable.
fn killed(seed: u64) -> Base {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    let truth = fill(&db, &synced(), b'v');
    Base { kernel: crash(&kernel, Some(db), CrashPolicy::Kill, 1), truth }
}

/// Gives a file these bytes; `None` removes it.
fn replace(kernel: &Arc<SimKernel>, name: &str, bytes: Option<&[u8]>) {
    let dir = SimKernel::open_dir(kernel, PATH.as_bytes()).expect("the directory");
    let Some(bytes) = bytes else {
        return dir.unlink_at(name.as_bytes()).expect("removed");
    };
    let file = dir.open_at(name.as_bytes(), OpenHow::Write, 0o600).expect("the file opens");
    file.ftruncate(0).expect("emptied");
    file.ftruncate(bytes.len() as u64).expect("has its size");
    let mut done = 0;
    while done < bytes.len() {
        done += file.pwrite(&bytes[done..], done as u64).expect("written");
    }
}

/// What a case does to one file.
pub(super) struct Harm {
    pub(super) name: String,
    pub(super) what: String,
    pub(super) bytes: Option<Vec<u8>>,
}

/// How many bytes are in use: behind them there are only zeros that nobody reads.
pub(super) fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A place among the bytes in use.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    dice.index(used(bytes).max(1))
}

pub(super) fn flip(dice: &mut Dice, name: &str, bytes: &[u8]) -> Harm {
    let (at, bit) = (place(dice, bytes), 1 << dice.below(8));
    let mut now = bytes.to_vec();
    now.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
    let what = format!("bit {bit} of byte {at} flipped");
    Harm { name: name.to_owned(), what, bytes: Some(now) }
}

/// One of the ways in which a file goes bad; `other` is a database of the same kind.
pub(super) fn harm(dice: &mut Dice, files: &Files, other: &Files) -> Harm {
    let (name, bytes) = &files[dice.below(files.len() as u64) as usize];
    let len = bytes.len();
    let at = dice.below(len.max(1) as u64) as usize;
    let sector = at / SECTOR * SECTOR;
    let end = (sector + SECTOR).min(len);
    let mut now = bytes.clone();
    let what = match dice.below(8) {
        // Most bytes of a prepared log or manifest are not in use; this finds those that are.
        0..=2 => {
            return flip(dice, name, bytes);
        }
        3 => {
            now.truncate(at);
            format!("cut to {at} of {len} bytes")
        }
        4 => {
            now[sector..end].fill(0);
            format!("sector at {sector} zeroed")
        }
        5 => {
            now.drain(sector..end);
            format!("sector at {sector} gone, the rest moved up")
        }
        6 => {
            let ending = name.rsplit('.').next().unwrap_or_default();
            let kind = if name.starts_with("MANIFEST") { "MANIFEST" } else { ending };
            let like = |n: &str| n.starts_with(kind) || n.ends_with(kind);
            let same = other.iter().filter(|(n, _)| like(n)).map(|(_, bytes)| bytes);
            let all: Vec<_> = same.collect();
            now = all[dice.below(all.len() as u64) as usize].clone();
            "another database's file of that kind in its place".to_owned()
        }
        _ => return Harm { name: name.clone(), what: "removed".to_owned(), bytes: None },
    };
    Harm { name: name.clone(), what, bytes: Some(now) }
}

/// Everything there is to read, by cursor and key by key: the truth, or an error somewhere; how many errors.
fn read_all(db: &Db, truth: &Rows) -> Result<u64, String> {
    let mut errors = 0;
    let mut found = Rows::new();
    match scan_into(db, &mut found) {
        Ok(()) if found != *truth => {
            return Err(format!("{} rows of {}", found.len(), truth.len()));
        }
        Ok(()) => {}
        Err(_) => errors += 1,
    }
    if let Some((key, _)) = found.iter().find(|(key, value)| truth.get(*key) != Some(*value)) {
        return Err(format!("a row under {} that is not right", key.escape_ascii()));
    }
    let deleted = (0..WRITES).map(|i| format!("key{i:05}").into_bytes());
    for key in truth.keys().cloned().chain(deleted) {
        match db.get(&ReadParams::default(), &key) {
            Ok(value) if value.as_deref() != truth.get(&key).map(Vec::as_slice) => {
                return Err(format!("get {}: {:?}", key.escape_ascii(), value.as_deref()));
            }
            Ok(_) => {}
            Err(_) => errors += 1,
        }
    }
    Ok(errors)
}

/// A copy of the database, damaged.
pub(super) fn harmed(base: &Base, harm: &Harm) -> Arc<SimKernel> {
    let kernel = base.kernel.crash(CrashPolicy::Kill, 1);
    replace(&kernel, &harm.name, harm.bytes.as_deref());
    kernel
}

/// Opens and reads, twice, since background work and a close go over the damage: whether anything was said of it.
fn suffer(base: &Base, harm: &Harm) -> Result<bool, String> {
    let kernel = harmed(base, harm);
    let mut told = false;
    for _ in 0..2 {
        let Ok(db) = reopen(&kernel, &tiny()) else { return Ok(true) };
        told |= read_all(&db, &base.truth)? > 0;
        told |= db.close(false).is_err();
    }
    Ok(told)
}

/// What is not damaged is not complained of.
fn assert_sound(base: &Base) {
    for (name, bytes) in files(&base.kernel) {
        let harm = Harm { name, what: "as it was".to_owned(), bytes: Some(bytes) };
        assert_eq!(suffer(base, &harm), Ok(false), "{}", harm.name);
    }
}

/// A case's result: whether it was told, or true all the same.
fn judge(base: &Base, harm: &Harm) -> Result<Counts, String> {
    match suffer(base, harm) {
        Ok(told) => {
            Ok(vec![("told", u64::from(told)), ("true although not told", u64::from(!told))])
        }
        Err(text) => Err(format!("{}, {}: {text}", harm.name, harm.what)),
    }
}

fn assert_mostly_told(tally: &Tally) {
    let one = matches!(extent(), Extent::One(_));
    assert!(
        one || tally.count("told") * 10 > tally.cases * 9,
        "only {} were told",
        tally.count("told")
    );
}

/// A database with what a case needs of it, made once.
pub(super) struct Patient {
    pub(super) base: Base,
    pub(super) files: Files,
    pub(super) others: Files,
}

pub(super) fn after_a_close() -> &'static Patient {
    static PATIENT: LazyLock<Patient> = LazyLock::new(|| {
        let base = closed(70, b'v');
        let (files, others) = (files(&base.kernel), files(&closed(71, b'w').kernel));
        assert_sound(&base);
        Patient { base, files, others }
    });
    &PATIENT
}

pub(super) fn after_a_kill() -> &'static Patient {
    static PATIENT: LazyLock<Patient> = LazyLock::new(|| {
        let base = killed(72);
        let files = files(&base.kernel);
        assert_sound(&base);
        Patient { base, files, others: Files::new() }
    });
    &PATIENT
}

#[test]
fn a_damaged_closed_database_shows_the_truth_or_an_error() {
    let Patient { base, files, others, .. } = after_a_close();
    let tally = run(&CLOSED, &Cases::Endless, |case| {
        judge(base, &harm(&mut Dice::new(case), files, others))
    });
    assert_mostly_told(&tally);
}

/// Every byte of every file, once with a bit changed and once with another value altogether. All of a log is below the
/// length that the close recorded, so there each is told when the database is opened.
#[test]
fn any_byte_of_a_closed_database_may_be_another() {
    let Patient { base, files, .. } = after_a_close();
    let all: u64 = files.iter().map(|(_, bytes)| used(bytes) as u64).sum();
    let tally = run(&BYTES, &Cases::Of(2 * all), |case| {
        // Neighbours lie far apart, so that a short run sees all files.
        let (mut at, bit) = (scattered(case / 2, all) as usize, case % 2 == 0);
        let mut files = files.iter();
        let (name, bytes) = loop {
            let (name, bytes) = files.next().expect("the byte is in a file");
            match at.checked_sub(used(bytes)) {
                Some(rest) => at = rest,
                None => break (name, bytes),
            }
        };
        let mut now = bytes.clone();
        let change = if bit { 1 << (case / 2 % 8) } else { 1 + (case % 255) as u8 };
        now[at] ^= change;
        let what = format!("byte {at} xor {change}");
        let harm = Harm { name: name.clone(), what, bytes: Some(now) };
        if name.ends_with(".wal") && reopen(&harmed(base, &harm), &tiny()).is_ok() {
            return Err(format!("{name}, {}: opened", harm.what));
        }
        judge(base, &harm)
    });
    assert_mostly_told(&tally);
}

/// A STAMP that ends a log or manifest is evidence and no data: without it nothing is missing, and a torn one is what a
/// kill may leave.
#[test]
fn any_flipped_bit_of_a_killed_synced_database_is_told() {
    let Patient { base, files, .. } = after_a_kill();
    let tally = run(&FLIPS, &Cases::Endless, |case| {
        let mut dice = Dice::new(case);
        let (name, bytes) = &files[dice.index(files.len())];
        let harm = flip(&mut dice, name, bytes);
        if suffer(base, &harm).map_err(|text| format!("{}, {}: {text}", harm.name, harm.what))? {
            return Ok(vec![("told", 1)]);
        }
        let now = harm.bytes.as_deref().unwrap_or_default();
        let at = (0..bytes.len()).find(|at| bytes[*at] != now[*at]);
        let in_stamp = at.is_some_and(|at| at + RECORD_HEADER_LEN >= used(bytes));
        match in_stamp && !name.ends_with(".sst") {
            true => Ok(vec![("of the last stamp", 1)]),
            false => Err(format!("{name}, {}: not told", harm.what)),
        }
    });
    assert_mostly_told(&tally);
}

/// The log knows how long it was made, so that a cut is told wherever it falls.
#[test]
fn a_file_of_a_killed_database_cut_short_is_told() {
    let Patient { base, files, .. } = after_a_kill();
    let newest = names(&base.kernel, ".wal").into_iter().max().expect("a log");
    let tally = run(&CUTS, &Cases::Endless, |case| {
        let mut dice = Dice::new(case);
        // Every other time the log that no later file speaks of.
        let of_newest = |file: &&(String, Vec<u8>)| file.0 == newest;
        let chosen = if dice.percent(50) { files.iter().find(of_newest) } else { None };
        let (name, bytes) = chosen.unwrap_or(&files[dice.index(files.len())]);
        let at = place(&mut dice, bytes);
        let what = format!("cut to {at} of {} bytes", bytes.len());
        judge(base, &Harm { name: name.clone(), what, bytes: Some(bytes[..at].to_vec()) })
    });
    assert_mostly_told(&tally);
}
