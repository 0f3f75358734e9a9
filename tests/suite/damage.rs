//! A damaged database directory: what an opened database then shows is the truth, or an error; never something else in
//! silence. (Files of other systems rot too: a byte, a sector, a file that is gone or another's.)
//!
//! Each case is made from a case number alone. `ESKER_SEED=n` runs case n and says what it does; a failure prints n.

use crate::model::Dice;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::read::ReadParams;
use esker::internals::env::call::OpenHow;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const SECTOR: usize = 512;
const CASES: u64 = 4000;

/// Files with their bytes.
type Files = Vec<(String, Vec<u8>)>;

fn fill(db: &Db, n: u64, value: u8) {
    for i in 0..n {
        let key = format!("key{:05}", i * 7919 % n);
        if i % 11 == 3 {
            db.delete(&buffered(), key.as_bytes()).expect("deleted");
        } else {
            db.put(&buffered(), key.as_bytes(), &[value; 30]).expect("written");
        }
    }
}

/// A cleanly closed database of three levels and more, with rows in its log too, and what is in it.
fn closed(seed: u64, value: u8) -> (Arc<SimKernel>, Rows) {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    fill(&db, 300, value);
    assert!(shape(&db).iter().filter(|tables| **tables > 0).count() >= 3, "{:?}", shape(&db));
    db.put(&buffered(), b"last", &[value; 3]).expect("written");
    let rows = rows(&db);
    db.close(false).expect("closes");
    (kernel, rows)
}

/// The same, killed, every write durable; and what was in it after each write.
fn killed(seed: u64) -> (Arc<SimKernel>, Vec<Rows>) {
    let kernel = SimKernel::new(seed);
    let db = open(&kernel, &tiny()).expect("opens");
    let mut states = vec![Rows::new()];
    for i in 0..300u64 {
        let key = format!("key{:05}", i * 7919 % 300).into_bytes();
        let mut rows = states[states.len() - 1].clone();
        // Some keys come again and go.
        if i % 11 == 3 {
            let gone = format!("key{:05}", (i - 3) * 7919 % 300).into_bytes();
            db.delete(&synced(), &gone).expect("deleted");
            rows.remove(&gone);
        } else {
            db.put(&synced(), &key, &[b'v'; 30]).expect("written");
            rows.insert(key, vec![b'v'; 30]);
        }
        states.push(rows);
    }
    assert!(shape(&db).iter().filter(|tables| **tables > 0).count() >= 3, "{:?}", shape(&db));
    assert!(rows(&db) == states[300], "the model is right");
    (crash(&kernel, Some(db), CrashPolicy::Kill, 1), states)
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
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(len, |last| last + 1);
            let at = at % used.max(1);
            let bit = 1 << dice.below(8);
            now.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
            format!("bit {bit} of byte {at} flipped")
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
    let deleted = (0..300u64).map(|i| format!("key{i:05}").into_bytes());
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

/// Damages, opens, reads: whether anything was said of it.
fn suffer(harm: &Harm, base: &(Arc<SimKernel>, Rows)) -> Result<bool, String> {
    let told = |text: String| format!("{}, {}: {text}", harm.name, harm.what);
    let kernel = base.0.crash(CrashPolicy::Kill, 1);
    replace(&kernel, &harm.name, harm.bytes.as_deref());
    match reopen(&kernel, &tiny()) {
        Err(_) => Ok(true),
        Ok(db) => {
            let errors = read_all(&db, &base.1).map_err(told)?;
            // What was shown stays true when background work has gone over it.
            db.close(false).map_or(Ok(true), |()| Ok(errors > 0))
        }
    }
}

#[test]
fn a_damaged_closed_database_shows_the_truth_or_an_error() {
    let base = closed(70, b'v');
    let other = closed(71, b'w');
    let (all, others) = (files(&base.0), files(&other.0));
    let given = std::env::var("ESKER_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let cases: Vec<u64> = match given {
        Some(case) => vec![case],
        // Nine in ten are the same in every run.
        None => (0..CASES).map(|n| if n % 10 == 9 { fresh.wrapping_add(n) } else { n }).collect(),
    };
    // What is not damaged is not complained of.
    for (name, bytes) in &all {
        let harm =
            Harm { name: name.clone(), what: "as it was".to_owned(), bytes: Some(bytes.clone()) };
        assert_eq!(suffer(&harm, &base), Ok(false), "{name}");
    }
    let mut told = 0;
    let mut silent = Vec::new();
    for case in &cases {
        let harm = harm(&mut Dice::new(*case), &all, &others);
        match suffer(&harm, &base) {
            Ok(true) => told += 1,
            Ok(false) => println!("not told, and true: {}, {}", harm.name, harm.what),
            Err(text) => silent.push(format!("ESKER_SEED={case}: {text}")),
        }
    }
    println!("{} cases of damage, {told} of them told", cases.len());
    assert!(
        silent.is_empty(),
        "{} silent:\n{}",
        silent.len(),
        silent[..silent.len().min(40)].join("\n")
    );
    assert!(given.is_some() || told > CASES / 4, "only {told} were told");
}

/// Files of a killed database, damaged: how many cases were told, and those that were not and did not show the truth.
struct Killed {
    told: u64,
    silent: Vec<(String, Arc<SimKernel>)>,
}

fn damage_killed(
    kernel: &Arc<SimKernel>,
    truth: &Rows,
    damage: impl Fn(&mut Dice, &Arc<SimKernel>, &str, &[u8]) -> String,
) -> Killed {
    let copy = || kernel.crash(CrashPolicy::Kill, 1);
    let whole = reopen(&copy(), &tiny()).expect("opens undamaged");
    assert_eq!(read_all(&whole, truth), Ok(0));
    let all = files(kernel);
    let mut dice = Dice::new(1);
    let mut out = Killed { told: 0, silent: Vec::new() };
    for _ in 0..CASES {
        let (name, bytes) = &all[dice.below(all.len() as u64) as usize];
        let image = copy();
        let what = damage(&mut dice, &image, name, bytes);
        let Ok(db) = reopen(&image, &tiny()) else {
            out.told += 1;
            continue;
        };
        match read_all(&db, truth) {
            Ok(errors) => out.told += u64::from(errors > 0),
            Err(text) => {
                drop(db);
                out.silent.push((format!("{name}, {what}: {text}"), image));
            }
        }
    }
    println!("{CASES} cases of damage, {} told, {} silent", out.told, out.silent.len());
    out
}

/// A place among the bytes in use.
fn place(dice: &mut Dice, bytes: &[u8]) -> usize {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    dice.below(used.max(1) as u64) as usize
}

#[test]
fn any_flipped_bit_of_a_killed_synced_database_is_told() {
    let (kernel, states) = killed(72);
    let flipped = damage_killed(&kernel, &states[300], |dice, image, name, bytes| {
        let (at, bit) = (place(dice, bytes), 1 << dice.below(8));
        image.corrupt(PATH, name, at as u64, bit);
        format!("bit {bit} of byte {at} flipped")
    });
    let texts: Vec<_> = flipped.silent.iter().map(|(text, _)| text.as_str()).collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
}

/// What is cut where a record ends cannot be told from a log that ends there (docs/DURABILITY.md, limits). It shows
/// what was there at an earlier moment.
#[test]
fn a_file_of_a_killed_synced_database_cut_short_is_told_or_is_the_newest_log_up_to_a_write() {
    let (kernel, states) = killed(73);
    let newest = names(&kernel, ".wal").into_iter().max().expect("a log");
    let cut = damage_killed(&kernel, &states[300], |dice, image, name, bytes| {
        let at = place(dice, bytes);
        replace(image, name, Some(&bytes[..at]));
        format!("cut to {at} of {} bytes", bytes.len())
    });
    for (text, image) in cut.silent {
        assert!(text.starts_with(&newest), "{text}");
        let db = reopen(&image, &tiny()).expect("opened before");
        let rows = rows(&db);
        assert!(states.contains(&rows), "{text}: not what was there after any write");
    }
}
