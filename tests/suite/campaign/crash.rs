//! R1: what crashes leave, anywhere in random scripts, and crashes while that is recovered.

use super::frame::{Campaign, Cases, Counts, run};
use super::image::Images;
use super::script::{self, Life, Run};
use crate::model::{Dice, Plan};
use crate::simdb::POWER_CUTS;
use esker::internals::env::sim::SimKernel;
use esker::internals::env::sim::crash::CrashPolicy;
use esker::internals::options::Options;

pub const CAMPAIGN: Campaign = Campaign { name: "crash states", floor: 60, full: 700, slice: 5 };

/// Points of a script at which the process dies.
const POINTS: u64 = 8;

/// Options under which everything happens in the calling thread.
pub fn options(plan: &Plan) -> Options {
    Options { deterministic: true, sync_interval_us: 0, group_sync_us: 0, ..plan.options.clone() }
}

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let options = options(&plan);
    let count = dice.between(10, 60);
    let ops = script::draw(&mut dice, plan.keys, count, 0);
    let more = script::draw(&mut dice, plan.keys, 8, 1_000);
    let kernel = SimKernel::new(seed);
    let mut whole = Life::new();
    Run::live(&kernel, &options, &ops, &mut whole).die();
    let calls = kernel.calls();
    let mut images = Images::new(&options);
    for _ in 0..POINTS {
        let at = dice.below(calls + 1);
        let kernel = SimKernel::new(seed);
        kernel.freeze_after(at);
        let mut life = Life::new();
        let run = Run::live(&kernel, &options, &ops, &mut life);
        let kills = [CrashPolicy::Kill, CrashPolicy::Kill, CrashPolicy::KillTorn];
        let policies = kills.into_iter().chain(POWER_CUTS).chain(POWER_CUTS);
        let left: Vec<_> =
            policies.map(|policy| (policy, kernel.crash(policy, dice.next()))).collect();
        run.die();
        for (policy, image) in &left {
            let checked = images.check(image, &life, *policy);
            let again = |_| match life.made && dice.percent(15) {
                true => images.check_again(image, &life, *policy, &mut dice, &more),
                false => Ok(()),
            };
            checked
                .and_then(again)
                .map_err(|text| format!("at call {at} of {calls}: {text}\n  {plan:?}"))?;
        }
    }
    Ok(vec![("crash images", images.distinct), ("of crashes in recovery", images.second)])
}

#[test]
fn every_crash_leaves_a_state_that_was_promised() {
    let tally = run(&CAMPAIGN, &Cases::Endless, case);
    assert!(tally.count("crash images") > tally.cases * 10, "the crashes leave too little");
    assert!(tally.cases < 10 || tally.count("of crashes in recovery") > 0, "none in recovery");
}
