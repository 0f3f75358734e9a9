//! R3: the n-th system call of a kind fails, for every n, once or from then on, with every errno that makes sense.

use super::frame::{Campaign, Cases, Counts, run, scattered};
use super::patient::{Patient, suffer};
use super::script::{self, Op};
use crate::model::{Dice, KeySpace};
use crate::simdb::tiny;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::options::Options;
use std::sync::OnceLock;

pub const CAMPAIGN: Campaign = Campaign { name: "faults", floor: 1_000, full: 3_000, slice: 3 };

/// What a system call may say, by its kind.
pub const ERRNOS: &[(CallKind, &[i32])] = &[
    (CallKind::Pwrite, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EFBIG, libc::EINTR]),
    (CallKind::Pread, &[libc::EIO, libc::EINTR]),
    (CallKind::Fdatasync, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EINTR]),
    (CallKind::Fsync, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EINTR]),
    // Not EACCES: a parent directory that may not be opened is its owner's affair (`Dir::sync_parent`).
    (CallKind::Open, &[libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO, libc::EINTR]),
    (CallKind::Create, &[libc::EMFILE, libc::ENOSPC, libc::EDQUOT, libc::EACCES, libc::EIO]),
    (CallKind::Rename, &[libc::EIO, libc::ENOSPC, libc::EACCES]),
    (CallKind::Unlink, &[libc::EIO, libc::EACCES, libc::EROFS]),
    (CallKind::Truncate, &[libc::EIO, libc::ENOSPC, libc::EINTR]),
    (CallKind::Fallocate, &[libc::EIO, libc::ENOSPC, libc::EDQUOT, libc::EOPNOTSUPP, libc::EINTR]),
    (CallKind::List, &[libc::EIO, libc::EACCES]),
    (CallKind::Lock, &[libc::EIO, libc::ENOLCK, libc::EINTR]),
    (CallKind::Stat, &[libc::EIO, libc::EACCES]),
    (CallKind::Mkdir, &[libc::ENOSPC, libc::EACCES, libc::EROFS]),
];

/// A workload and what goes wrong in it.
#[derive(Clone, Copy, Debug)]
struct Point {
    workload: usize,
    fault: Fault,
}

/// Three scripts: levels and logs that change often; opening and closing; the same in threads.
fn workload(which: usize) -> (Options, Vec<Op>) {
    let small = Options { log_bytes: 1_000, ..tiny() };
    let keys = KeySpace::Numbers(40);
    let mut dice = Dice::new(900 + which as u64);
    let mut ops = script::draw(&mut dice, keys, 150, 0);
    match which {
        0 => ops.retain(|op| !matches!(op, Op::Reopen)),
        1 => ops.truncate(80),
        _ => {
            return (Options { deterministic: false, threads: 2, write_buffer: 512, ..small }, ops);
        }
    }
    (small, ops)
}

/// Every point there is.
fn points() -> &'static [Point] {
    static POINTS: OnceLock<Vec<Point>> = OnceLock::new();
    POINTS.get_or_init(|| {
        let mut points = Vec::new();
        for which in 0..3 {
            let (options, ops) = workload(which);
            let kernel = SimKernel::new(which as u64);
            let mut patient = Patient::new(&kernel, &options);
            patient.live(&ops).expect("without a fault all is well");
            patient.leave();
            for (call, errnos) in ERRNOS {
                for nth in 1..=kernel.count(*call) {
                    points.extend(
                        errnos.iter().flat_map(|errno| variants(which, *call, nth, *errno)),
                    );
                }
            }
        }
        points
    })
}

fn variants(workload: usize, call: CallKind, nth: u64, errno: i32) -> Vec<Point> {
    let point =
        |forever, short| Point { workload, fault: Fault { call, nth, errno, forever, short } };
    let transfers = matches!(call, CallKind::Pwrite | CallKind::Pread);
    match (errno == libc::EINTR, transfers) {
        // No signal comes for ever.
        (true, _) => vec![point(false, false)],
        (_, false) => vec![point(false, false), point(true, false)],
        (_, true) => {
            vec![point(false, false), point(true, false), point(false, true), point(true, true)]
        }
    }
}

fn case(number: u64) -> Result<Counts, String> {
    let points = points();
    // Neighbours are alike: a run of consecutive numbers is to see all kinds.
    let point = points[scattered(number, points.len() as u64) as usize];
    let (options, ops) = workload(point.workload);
    let kernel = SimKernel::new(point.workload as u64);
    let fired = suffer(Patient::new(&kernel, &options), &[point.fault], &ops);
    let fired = fired.map_err(|text| format!("{point:?}: {text}"))?;
    Ok(vec![("fault points", 1), ("that failed a call", u64::from(fired))])
}

#[test]
fn any_call_may_fail_in_any_way_and_nothing_acknowledged_is_lost() {
    let all = points().len() as u64;
    assert!(all > 5_000, "{all} fault points");
    let tally = run(&CAMPAIGN, &Cases::Of(all), case);
    assert!(
        tally.count("that failed a call") * 10 > tally.count("fault points") * 8,
        "faults do not fire"
    );
}

#[test]
fn every_kind_of_call_that_the_engine_makes_can_fail() {
    for which in 0..3 {
        let kernel = SimKernel::new(1);
        let (options, ops) = workload(which);
        let mut patient = Patient::new(&kernel, &options);
        patient.live(&ops).expect("without a fault all is well");
        patient.leave();
        for call in CallKind::ALL.into_iter().filter(|call| kernel.count(*call) > 0) {
            assert!(ERRNOS.iter().any(|(known, _)| *known == call), "{call:?}");
        }
    }
}
