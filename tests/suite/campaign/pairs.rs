//! Pairs of a crash and a fault: a process dies anywhere in a script, and the one after it meets a fault, or two.
//!
//! The first life and what its crash leaves are as in the campaign of crash states; the second is judged as in the
//! campaign of faults, with what the crash left in place of an empty directory.

use super::crash::options;
use super::faults::ERRNOS;
use super::frame::{Campaign, Cases, Counts, run};
use super::patient::{Patient, suffer};
use super::script::{self, Life, Op, Run};
use crate::model::{Dice, Plan};
use crate::simdb::{POWER_CUTS, reopen, rows};
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::env::sim::fault::{CallKind, Fault};
use esker::internals::options::Options;
use esker::internals::sync::Arc;

pub const CAMPAIGN: Campaign = Campaign { name: "crash and fault", floor: 40, full: 400, slice: 3 };

/// Crashes of a script, and second lives after each.
const CRASHES: usize = 4;
const FAULTS: usize = 8;

/// What a crash left, and what is known of it.
struct Left<'a> {
    kernel: &'a SimKernel,
    life: &'a Life,
    /// The state that it shows.
    shown: usize,
    /// The first that a power cut may show after it.
    durable: usize,
}

impl Left<'_> {
    fn patient<'a>(&self, kernel: &'a Arc<SimKernel>, options: &'a Options) -> Patient<'a> {
        Patient::after_crash(kernel, options, self.life, (self.shown, self.durable))
    }

    /// The same files, for a process that is to change them.
    fn copy(&self) -> Arc<SimKernel> {
        self.kernel.crash(CrashPolicy::Kill, 0)
    }
}

/// The state of `life` that the directory shows.
fn shown(kernel: &SimKernel, options: &Options, life: &Life, policy: CrashPolicy) -> Option<usize> {
    let kernel = kernel.crash(CrashPolicy::Kill, 0);
    let db = reopen(&kernel, options).ok()?;
    let found = rows(&db);
    kernel.freeze_after(0);
    life.legal(policy).rev().find(|n| life.states[*n] == found)
}

/// A fault that a life of `counts` calls meets, early ones more often: there the recovery is.
fn fault(dice: &mut Dice, kernel: &SimKernel, before: &SimKernel) -> Option<Fault> {
    let of_sync = dice.percent(40);
    let is_sync = |call: CallKind| matches!(call, CallKind::Fdatasync | CallKind::Fsync);
    let kinds: Vec<_> = ERRNOS.iter().filter(|(call, _)| !of_sync || is_sync(*call)).collect();
    let (call, errnos) = *dice.pick(&kinds);
    let calls = kernel.count(call) - before.count(call);
    let most = if dice.percent(60) { calls.min(3) } else { calls };
    (most > 0).then(|| {
        let errno = dice.pick(errnos);
        let transfers = matches!(call, CallKind::Pwrite | CallKind::Pread);
        Fault {
            call,
            nth: 1 + dice.below(most),
            errno,
            forever: errno != libc::EINTR && dice.percent(30),
            short: transfers && errno != libc::EINTR && dice.percent(30),
        }
    })
}

fn second_lives(
    left: &Left<'_>,
    options: &Options,
    ops: &[Op],
    dice: &mut Dice,
) -> Result<(u64, u64), String> {
    let kernel = left.copy();
    let before = left.copy();
    let mut patient = left.patient(&kernel, options);
    patient.live(ops)?;
    if let Some(error) = patient.errors.first() {
        return Err(format!("without a fault: {error}"));
    }
    patient.leave();
    let (mut pairs, mut struck) = (0, 0);
    for _ in 0..FAULTS {
        let count = if dice.percent(25) { 2 } else { 1 };
        let faults: Vec<Fault> = (0..count).filter_map(|_| fault(dice, &kernel, &before)).collect();
        let second = left.copy();
        let fired = suffer(left.patient(&second, options), &faults, ops);
        struck += u64::from(fired.map_err(|text| format!("{faults:?}: {text}"))?);
        pairs += 1;
    }
    Ok((pairs, struck))
}

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let mut options = options(&plan);
    if dice.percent(50) {
        // Several logs alive, and flushes that leave whole ones behind.
        (options.write_buffer, options.log_bytes) = (options.write_buffer.min(512), 1_000);
    }
    let count = dice.between(10, 40);
    let ops = script::draw(&mut dice, plan.keys, count, 0);
    let mut more = script::draw(&mut dice, plan.keys, 12, 1_000);
    // Promises before the first change speak of what the dead process left, and of nothing else.
    let promises = [Op::Sync, Op::Flush, Op::Reopen];
    let first = (0..dice.below(3)).map(|_| dice.pick(&promises));
    let first: Vec<Op> = first.collect();
    more.splice(0..0, first);
    let kernel = SimKernel::new(seed);
    Run::live(&kernel, &options, &ops, &mut Life::new()).die();
    let (calls, before_syncs) = (kernel.calls(), kernel.calls_before_syncs());
    let (mut pairs, mut struck) = (0, 0);
    for _ in 0..CRASHES {
        let at = match dice.percent(60) && !before_syncs.is_empty() {
            true => dice.pick(&before_syncs),
            false => dice.below(calls + 1),
        };
        let kernel = SimKernel::new(seed);
        kernel.freeze_after(at);
        let mut life = Life::new();
        let run = Run::live(&kernel, &options, &ops, &mut life);
        // A process that is killed leaves more that is not durable, which is what the next may trip over.
        let policy = match dice.percent(70) {
            true => dice.pick(&[CrashPolicy::Kill, CrashPolicy::KillTorn]),
            false => dice.pick(&POWER_CUTS),
        };
        let image = kernel.crash(policy, dice.next());
        run.die();
        let what = |text| format!("{policy:?} at call {at} of {calls}: {text}\n  {plan:?}");
        if !life.made {
            continue;
        }
        let n = shown(&image, &options, &life, policy);
        let n = n.ok_or_else(|| what("shows no legal state".to_owned()))?;
        let durable = life.after(n, policy).promised;
        let left = Left { kernel: &image, life: &life, shown: n, durable };
        let (tried, fired) = second_lives(&left, &options, &more, &mut dice).map_err(what)?;
        pairs += tried;
        struck += fired;
    }
    Ok(vec![("pairs", pairs), ("whose fault struck", struck)])
}

#[test]
fn a_fault_in_the_life_after_a_crash_loses_nothing_either() {
    let tally = run(&CAMPAIGN, &Cases::Endless, case);
    let (pairs, struck) = (tally.count("pairs"), tally.count("whose fault struck"));
    assert!(struck * 2 > pairs && pairs > tally.cases, "{struck} of {pairs} faults struck");
}
