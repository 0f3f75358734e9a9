//! R2: all short sequences of operations, crashed at every call that changes the disk, in every way.
//!
//! After "ACE" of Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI 2018: small
//! workloads, exhaustively, find most of what large random ones find.

use super::frame::{Campaign, Cases, Counts, Extent, extent, run};
use super::image::Images;
use super::script::{Life, Op, Run};
use crate::simdb::tiny;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::options::{Durability, Options};

pub const CAMPAIGN: Campaign = Campaign { name: "short sequences", floor: 40, full: 584, slice: 3 };

const VERBS: u64 = 8;
/// Sequences of up to three, and of up to four operations.
const OF_THREE: u64 = 8 + 64 + 512;
const OF_FOUR: u64 = OF_THREE + 4096;

/// The operation of a verb, as the `n`-th of its sequence; keys come again, so that rows are overwritten.
fn op(verb: u64, n: u64) -> Op {
    let key = |i: u64| format!("key{}", i % 2).into_bytes();
    let value = Some(vec![b'a' + n as u8; 40]);
    match verb {
        0 => Op::Write { changes: vec![(key(n), value)], durability: Durability::Buffered },
        1 => Op::Write { changes: vec![(key(n + 1), None)], durability: Durability::Buffered },
        2 => {
            let changes = vec![(key(0), value.clone()), (b"other".to_vec(), value), (key(1), None)];
            Op::Write { changes, durability: Durability::Sync }
        }
        3 => Op::Sync,
        4 => Op::Flush,
        5 => Op::Compact { force: true },
        6 => Op::Snapshot,
        _ => Op::Reopen,
    }
}

/// The sequence with this number: the shorter ones first.
fn sequence(number: u64) -> Vec<Op> {
    let (mut rest, mut len, mut all) = (number, 1, VERBS);
    while rest >= all {
        rest -= all;
        all *= VERBS;
        len += 1;
    }
    let verbs = (0..len).scan(rest, |rest, _| {
        let verb = *rest % VERBS;
        *rest /= VERBS;
        Some(verb)
    });
    // Something to delete, compact and overwrite.
    let before = Op::Write {
        changes: vec![(b"key0".to_vec(), Some(vec![b'-'; 30]))],
        durability: Durability::Buffered,
    };
    [before].into_iter().chain(verbs.enumerate().map(|(n, verb)| op(verb, n as u64))).collect()
}

fn case(number: u64) -> Result<Counts, String> {
    // The smallest log there is, so that logs change within a sequence now and then.
    let options = Options { write_buffer: 128, log_bytes: 1_000, ..tiny() };
    let ops = sequence(number);
    let kernel = SimKernel::new(number);
    Run::live(&kernel, &options, &ops, &mut Life::new()).die();
    let calls = kernel.calls();
    let mut images = Images::new(&options);
    for at in 0..=calls {
        let kernel = SimKernel::new(number);
        kernel.freeze_after(at);
        let mut life = Life::new();
        let run = Run::live(&kernel, &options, &ops, &mut life);
        let left = CrashPolicy::ALL.map(|policy| (policy, kernel.crash(policy, at)));
        run.die();
        for (policy, image) in &left {
            let checked = images.check(image, &life, *policy);
            checked.map_err(|text| format!("at call {at} of {calls}: {text}\n  {ops:?}"))?;
        }
    }
    Ok(vec![("crash images", images.distinct), ("calls crashed at", calls + 1)])
}

#[test]
fn every_call_of_every_short_sequence_may_be_the_last() {
    assert_eq!(sequence(OF_THREE - 1).len(), 4);
    assert_eq!(sequence(OF_THREE).len(), 5);
    let all = match extent() {
        Extent::Seconds(_) | Extent::One(_) => OF_FOUR,
        _ => OF_THREE,
    };
    run(&CAMPAIGN, &Cases::Of(all), case);
}
