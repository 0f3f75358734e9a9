//! What comes back of a damaged database on request: by point-in-time recovery an exact prefix, by salvage rows that were
//! written, nothing else.

use super::damage::{
    Base, Files, Harm, Patient, WRITES, after_a_close, after_a_kill, flip, harm, harmed, used,
};
use super::frame::{Campaign, Cases, Counts, Extent, extent, run};
use crate::model::Dice;
use crate::simdb::*;
use esker::internals::db::handle::Db;
use esker::internals::db::open::OpenFlags;
use esker::internals::db::salvage::{Salvaged, salvage};
use esker::internals::db::verify::Watch;
use esker::internals::env::api::Fs;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::error::{ErrorKind, Result};
use esker::internals::options::Options;
use esker::internals::sync::Arc;
use esker::internals::types::RecoveryMode;
use std::collections::BTreeSet;
use std::sync::LazyLock;

pub const POINT_IN_TIME: Campaign =
    Campaign { name: "point in time after a kill", floor: 500, full: 2_000, slice: 1 };
pub const SALVAGE: Campaign =
    Campaign { name: "salvage of damage", floor: 500, full: 3_000, slice: 2 };

/// Writes of the history that point-in-time recovery cuts.
const HISTORY: u64 = 400;

fn logs_of_4k(recovery: RecoveryMode) -> Options {
    Options { log_bytes: 4 << 10, recovery, ..calm() }
}

fn step(db: &Db, n: u64) {
    let key = format!("key{:03}", n * 7919 % 83);
    match n % 9 {
        4 => db.delete(&synced(), key.as_bytes()),
        _ => db.put(&synced(), key.as_bytes(), format!("{n:030}").as_bytes()),
    }
    .expect("written");
}

/// The rows after each number of writes.
fn states() -> Vec<Rows> {
    let mut all = vec![Rows::new()];
    for n in 1..=HISTORY {
        let mut rows = all.last().expect("the empty one").clone();
        let key = format!("key{:03}", n * 7919 % 83).into_bytes();
        match n % 9 {
            4 => rows.remove(&key),
            _ => rows.insert(key, format!("{n:030}").into_bytes()),
        };
        all.push(rows);
    }
    all
}

struct Past {
    kernel: Arc<SimKernel>,
    logs: Files,
    states: Vec<Rows>,
}

/// Every write synced, the first hundred in a table, then a kill.
fn past() -> &'static Past {
    static PAST: LazyLock<Past> = LazyLock::new(|| {
        let kernel = SimKernel::new(90);
        let db = open(&kernel, &logs_of_4k(RecoveryMode::Default)).expect("opens");
        for n in 1..=HISTORY {
            step(&db, n);
            if n == 100 {
                db.flush().expect("flushed");
            }
        }
        let kernel = crash(&kernel, Some(db), CrashPolicy::Kill, 1);
        let mut logs = files(&kernel);
        logs.retain(|(name, _)| name.ends_with(".wal"));
        assert!(logs.len() >= 3, "{}", logs.len());
        Past { kernel, logs, states: states() }
    });
    &PAST
}

/// Opens point-in-time what a log was done to.
fn ends(past: &Past, harm: &Harm) -> std::result::Result<Counts, String> {
    let opened = |recovery| {
        let kernel = past.kernel.crash(CrashPolicy::Kill, 1);
        replaced(&kernel, harm);
        reopen(&kernel, &logs_of_4k(recovery))
    };
    let refused = opened(RecoveryMode::Default).err();
    if refused.is_some() && opened(RecoveryMode::Strict).is_ok() {
        return Err("strict opens what default refuses".to_owned());
    }
    let db = opened(RecoveryMode::PointInTime).map_err(|error| format!("refused: {error}"))?;
    let found = rows(&db);
    let end = past.states.iter().rposition(|state| *state == found);
    let end = end.ok_or_else(|| format!("{} rows are no prefix", found.len()))?;
    if end < 100 {
        return Err(format!("only {end} writes, fewer than are in tables"));
    }
    match (refused, db.last_error()) {
        (Some(_), None) => Err("nothing was said".to_owned()),
        (None, Some(error)) => Err(format!("nothing was lost, but {error}")),
        (Some(_), Some(said)) if said.detail().file_number == 0 => Err(format!("no file: {said}")),
        (Some(_), Some(_)) => Ok(vec![("ended", 1), ("writes kept", end as u64)]),
        (None, None) if end as u64 == HISTORY => Ok(vec![("whole", 1)]),
        (None, None) => Err(format!("{end} writes, in silence")),
    }
}

fn replaced(kernel: &Arc<SimKernel>, harm: &Harm) {
    match &harm.bytes {
        Some(bytes) => kernel.write_file(PATH, &harm.name, bytes),
        None => drop(kernel.remove_file(PATH, &harm.name)),
    }
}

#[test]
fn any_harm_to_a_log_of_a_killed_synced_database_leaves_an_exact_prefix() {
    let past = past();
    run(&POINT_IN_TIME, &Cases::Endless, |case| {
        let mut dice = Dice::new(case);
        let (name, bytes) = &past.logs[dice.index(past.logs.len())];
        let harm = match dice.below(4) {
            0..=1 => flip(&mut dice, name, bytes),
            2 => {
                let at = dice.index(used(bytes).max(1));
                let what = format!("cut to {at} of {} bytes", bytes.len());
                Harm { name: name.clone(), what, bytes: Some(bytes[..at].to_vec()) }
            }
            _ => {
                let others = dice.index(past.logs.len());
                let bytes = past.logs.get(others).filter(|(other, _)| other != name);
                let what = "another log or nothing in its place".to_owned();
                Harm { name: name.clone(), what, bytes: bytes.map(|(_, bytes)| bytes.clone()) }
            }
        };
        ends(past, &harm).map_err(|text| format!("{}, {}: {text}", harm.name, harm.what))
    });
}

/// Salvages into /new; the rows there.
fn salvaged(kernel: &Arc<SimKernel>) -> Result<(Rows, Salvaged, u64)> {
    let (fs, mut out, mut findings) = (Fs::Sim(kernel.clone()), Salvaged::default(), 0);
    let watch = Watch {
        progress: &mut |done, total| {
            assert!(done <= total);
            true
        },
        report: &mut |_| {
            findings += 1;
            true
        },
    };
    let before = files(kernel);
    let done = salvage(&fs, PATH.as_bytes(), &tiny(), b"/new", watch, &mut out);
    assert!(files(kernel) == before, "the old directory was written to");
    done?;
    let db = Db::open(&fs, b"/new", &tiny(), OpenFlags::default())?;
    let found = rows(&db);
    db.close(false)?;
    Ok((found, out, findings))
}

fn judge(base: &Base, harm: &Harm) -> std::result::Result<Counts, String> {
    let kernel = harmed(base, harm);
    let (found, out, findings) = match salvaged(&kernel) {
        Ok(all) => all,
        Err(error) => return Err(format!("not salvaged: {error}")),
    };
    let keys: BTreeSet<Vec<u8>> = (0..WRITES).map(|i| format!("key{i:05}").into_bytes()).collect();
    let wrong = found.iter().find(|(key, value)| !keys.contains(*key) || **value != [b'v'; 30]);
    if let Some((key, value)) = wrong {
        return Err(format!("{} = {} was never written", key.escape_ascii(), value.escape_ascii()));
    }
    if found.len() as u64 != out.rows {
        return Err(format!("{} rows, {} were counted", found.len(), out.rows));
    }
    let whole = found == base.truth;
    if !whole && findings == 0 {
        return Err("rows are missing, and nothing was said".to_owned());
    }
    Ok(vec![("rows", out.rows), ("whole", u64::from(whole)), ("told", u64::from(findings > 0))])
}

#[test]
fn salvage_of_any_damage_gives_rows_that_were_written_and_says_what_it_could_not_read() {
    let tally = run(&SALVAGE, &Cases::Endless, |case| {
        let Patient { base, files, others } =
            if case % 2 == 0 { after_a_close() } else { after_a_kill() };
        let others = if others.is_empty() { files } else { others };
        let harm = harm(&mut Dice::new(case), files, others);
        judge(base, &harm).map_err(|text| format!("{}, {}: {text}", harm.name, harm.what))
    });
    let one = matches!(extent(), Extent::One(_));
    assert!(one || tally.count("rows") > tally.cases * WRITES / 2, "{}", tally.count("rows"));
}

#[test]
fn salvage_of_what_is_whole_gives_all_of_it() {
    for Patient { base, .. } in [after_a_close(), after_a_kill()] {
        let kernel = base.kernel.crash(CrashPolicy::Kill, 1);
        let (found, out, findings) = salvaged(&kernel).expect("salvaged");
        assert!(found == base.truth, "{} rows of {}", found.len(), base.truth.len());
        assert_eq!((findings, out.tables_lost, out.blocks_lost, out.logs_lost), (0, 0, 0, 0));
        assert!(out.tables > 2 && out.blocks > 10 && out.records > 0, "{out:?}");
        // The copy is a database like any other.
        let fs = Fs::Sim(kernel.clone());
        let again = salvaged(&kernel).expect_err("there is one now");
        assert_eq!(again.kind(), ErrorKind::Present);
        Db::destroy(&fs, b"/new").expect("destroyed");
        salvaged(&kernel).expect("as before");
    }
}
