//! R20: the same operations with the same seed write the same files, byte for byte, when all work is done in the calling
//! thread.

use super::crash::options;
use super::frame::{Campaign, Cases, Counts, run};
use super::script::{self, Life, Run};
use crate::model::{Dice, Plan};
use crate::simdb::PATH;
use esker::internals::env::sim::SimKernel;

pub const CAMPAIGN: Campaign = Campaign { name: "same bytes", floor: 20, full: 200, slice: 0 };

fn case(seed: u64) -> Result<Counts, String> {
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let options = options(&plan);
    let ops = script::draw(&mut dice, plan.keys, 300, 0);
    let mut runs = (0..2).map(|_| {
        let kernel = SimKernel::new(seed);
        let run = Run::live(&kernel, &options, &ops, &mut Life::new());
        let files = kernel.files(PATH);
        run.die();
        files
    });
    let (first, second) = (runs.next().expect("two runs"), runs.next().expect("two runs"));
    let bytes: usize = first.iter().map(|(_, bytes)| bytes.len()).sum();
    match first == second {
        true => Ok(vec![("files", first.len() as u64), ("bytes", bytes as u64)]),
        false => Err(format!("{:?} and {:?}", names(&first), names(&second))),
    }
}

fn names(files: &[(String, Vec<u8>)]) -> Vec<(&str, usize)> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect()
}

#[test]
fn the_same_operations_write_the_same_bytes() {
    let tally = run(&CAMPAIGN, &Cases::Endless, case);
    assert!(tally.count("bytes") > tally.cases * 1_000, "too little was written");
}
