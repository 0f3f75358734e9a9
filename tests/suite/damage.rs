//! A damaged database directory: what an opened database then shows is the truth, or an error; never something else in
//! silence. (Files of other systems rot too: a byte, a sector, a file that is gone or another's.)
//!
//! Each case is made from a case number alone. `ESKER_SEED=n` runs case n and says what it does; a failure prints n.

use crate::model::Dice;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::db::write::WriteParams;
use esker::internals::env::call::OpenHow;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const SECTOR: usize = 512;
const CASES: u64 = 4000;
const WRITES: u64 = 300;

/// Files with their bytes.
type Files = Vec<(String, Vec<u8>)>;

/// Writes; what is in the database after each write. Some keys are deleted again.
fn fill(db: &Db, params: &WriteParams, value: u8) -> Vec<Rows> {
    let key = |i: u64| format!("key{:05}", i * 7919 % WRITES).into_bytes();
    let mut states = vec![Rows::new()];
    for i in 0..WRITES {
        let mut rows = states[states.len() - 1].clone();
        if i % 11 == 3 {
            db.delete(params, &key(i - 3)).expect("deleted");
            rows.remove(&key(i - 3));
        } else {
            db.put(params, &key(i), &[value; 30]).expect("written");
            rows.insert(key(i), vec![value; 30]);
        }
        states.push(rows);
    }
    assert!(shape(db).iter().filter(|tables| **tables > 0).count() >= 3, "{:?}", shape(db));
    assert!(rows(db) == *states.last().expect("a state"), "the model is right");
    states
}

/// A database that nobody has open, and what is in it.
struct Base {
    kernel: Arc<SimKernel>,
    truth: Rows,
}

/// Closed cleanly; three levels and more, and rows in its log too.
fn closed(seed: u64, value: u8) -> Base {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    let truth = fill(&db, &buffered(), value).pop().expect("a state");
    db.close(false).expect("closes");
    Base { kernel, truth }
}

/// The same, killed, every write durable; and what was in it after each.
fn killed(seed: u64) -> (Base, Vec<Rows>) {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    let states = fill(&db, &synced(), b'v');
    let truth = states.last().expect("a state").clone();
    (Base { kernel: crash(&kernel, Some(db), CrashPolicy::Kill, 1), truth }, states)
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
struct Harm {
    name: String,
    what: String,
    bytes: Option<Vec<u8>>,
}

/// A place among the bytes in use.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    dice.below(used.max(1) as u64) as usize
}

fn flip(dice: &mut Dice, name: &str, bytes: &[u8]) -> Harm {
    let (at, bit) = (place(dice, bytes), 1 << dice.below(8));
    let mut now = bytes.to_vec();
    now.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
    let what = format!("bit {bit} of byte {at} flipped");
    Harm { name: name.to_owned(), what, bytes: Some(now) }
}

/// One of the ways in which a file goes bad; `other` is a database of the same kind.
fn harm(dice: &mut Dice, files: &Files, other: &Files) -> Harm {
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
    let whole = (|| {
        let mut iter = db.iter(&ReadParams::default())?;
        while iter.next()? {
            found.insert(iter.key().to_vec(), iter.value().to_vec());
        }
        Ok::<(), esker::internals::error::Error>(())
    })();
    match whole {
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
fn harmed(base: &Base, harm: &Harm) -> Arc<SimKernel> {
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

/// How many cases were told, and those that were not and showed something else than the truth.
struct Campaign {
    told: u64,
    silent: Vec<(Harm, String)>,
}

fn campaign(base: &Base, cases: impl Iterator<Item = Harm>) -> Campaign {
    // What is not damaged is not complained of.
    for (name, bytes) in files(&base.kernel) {
        let harm = Harm { name, what: "as it was".to_owned(), bytes: Some(bytes) };
        assert_eq!(suffer(base, &harm), Ok(false), "{}", harm.name);
    }
    let mut out = Campaign { told: 0, silent: Vec::new() };
    for harm in cases {
        match suffer(base, &harm) {
            Ok(true) => out.told += 1,
            Ok(false) => println!("not told, and true: {}, {}", harm.name, harm.what),
            Err(text) => out.silent.push((harm, text)),
        }
    }
    println!("{} cases of damage told, {} silent", out.told, out.silent.len());
    out
}

impl Campaign {
    fn assert_nothing_silent(&self) {
        let shown: Vec<_> = self.silent.iter().take(40).collect();
        let text = |(harm, text): &&(Harm, String)| format!("{}, {}: {text}", harm.name, harm.what);
        let texts: Vec<_> = shown.iter().map(text).collect();
        assert!(texts.is_empty(), "{} silent:\n{}", self.silent.len(), texts.join("\n"));
    }
}

/// The same cases in every run, all made by one way of harming.
fn fixed_cases(
    files: &Files,
    way: fn(&mut Dice, &str, &[u8]) -> Harm,
) -> impl Iterator<Item = Harm> {
    let mut dice = Dice::new(1);
    (0..CASES).map(move |_| {
        let (name, bytes) = &files[dice.below(files.len() as u64) as usize];
        way(&mut dice, name, bytes)
    })
}

#[test]
fn a_damaged_closed_database_shows_the_truth_or_an_error() {
    let base = closed(70, b'v');
    let (all, others) = (files(&base.kernel), files(&closed(71, b'w').kernel));
    let given = std::env::var("ESKER_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let cases: Vec<u64> = match given {
        Some(case) => vec![case],
        // Nine in ten are the same in every run.
        None => (0..CASES).map(|n| if n % 10 == 9 { fresh.wrapping_add(n) } else { n }).collect(),
    };
    let seeded = |case: &u64| {
        let mut harm = harm(&mut Dice::new(*case), &all, &others);
        harm.what = format!("{} (ESKER_SEED={case})", harm.what);
        harm
    };
    let done = campaign(&base, cases.iter().map(seeded));
    done.assert_nothing_silent();
    assert!(given.is_some() || done.told > CASES * 9 / 10, "only {} were told", done.told);
}

#[test]
fn any_flipped_bit_of_a_killed_synced_database_is_told() {
    let (base, _) = killed(72);
    let all = files(&base.kernel);
    let done = campaign(&base, fixed_cases(&all, flip));
    done.assert_nothing_silent();
    assert_eq!(done.told, CASES);
}

/// What is cut where a record ends cannot be told from a log that ends there (docs/DURABILITY.md, limits). It shows
/// what was there at an earlier moment.
#[test]
fn a_file_of_a_killed_synced_database_cut_short_is_told_or_is_the_newest_log_up_to_a_write() {
    let (base, states) = killed(73);
    let all = files(&base.kernel);
    let newest = names(&base.kernel, ".wal").into_iter().max().expect("a log");
    let done = campaign(
        &base,
        fixed_cases(&all, |dice, name, bytes| {
            let at = place(dice, bytes);
            let what = format!("cut to {at} of {} bytes", bytes.len());
            Harm { name: name.to_owned(), what, bytes: Some(bytes[..at].to_vec()) }
        }),
    );
    assert!(done.told > CASES * 9 / 10, "only {} were told", done.told);
    for (harm, text) in &done.silent {
        assert_eq!(harm.name, newest, "{}: {text}", harm.what);
        let db = reopen(&harmed(&base, harm), &tiny()).expect("opened before");
        assert!(states.contains(&rows(&db)), "{}: as after no write: {text}", harm.what);
    }
}
