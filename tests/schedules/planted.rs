//! The kernels catch what they are there to catch: each fault of `Planted::OF_SCHEDULES` makes the one fail that
//! watches for it, under a schedule whose number fails again and passes without the fault. A fault is planted in a
//! process of its own.

use crate::frame::say;
use esker::internals::planted::Planted;
use std::process::{Command, Stdio};

/// Schedules that a fault may take to be caught.
const SCHEDULES_MAX: &str = "50000";

/// Who must catch it, by the name of the test.
fn watcher(planted: Planted) -> &'static str {
    match planted {
        Planted::CallMissed => "write_group_tells_every_writer",
        Planted::FlushMissed => "flush_wait_ends_when_all_is_in_tables",
        Planted::SequenceBeforeState => "memtable_switch_hides_nothing",
        Planted::ShownOutOfOrder => "version_install_loses_no_version",
        Planted::SnapshotListedLate => "snapshot_publish_shows_whole_batches",
        Planted::ClaimsIgnored => "compaction_claim_is_for_one",
        Planted::CloseDoesNotWait => "close_drain_waits_for_everybody",
        Planted::StopNotTold => "background_error_reaches_everybody",
        // The campaigns watch for it, but a kernel sees it too.
        Planted::SeenTooEarly => "snapshot_publish_shows_whole_batches",
        other => panic!("{other:?} is for the campaigns"),
    }
}

/// Runs a kernel with a fault or without, under one schedule or many; whether it passed, and what it said.
fn run(planted: Option<Planted>, test: &str, schedule: Option<&str>) -> (bool, String) {
    let this = std::env::current_exe().expect("this test has a file");
    let mut command = Command::new(this);
    command.args(["--exact", "--nocapture", &format!("kernels::{test}")]).stdin(Stdio::null());
    for name in ["ESKER_SEED", "ESKER_TIME", "ESKER_SCHEDULE", "ESKER_PLANTED"] {
        command.env_remove(name);
    }
    command.env("ESKER_ITERATIONS", SCHEDULES_MAX);
    command.envs(planted.map(|planted| ("ESKER_PLANTED", format!("{planted:?}"))));
    command.envs(schedule.map(|schedule| ("ESKER_SCHEDULE", schedule)));
    let output = command.output().expect("the kernel runs");
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
    (output.status.success(), text.concat())
}

#[test]
fn every_planted_fault_is_caught_by_the_kernel_that_watches_for_it() {
    for planted in Planted::OF_SCHEDULES.into_iter().chain([Planted::SeenTooEarly]) {
        let test = watcher(planted);
        let (passed, text) = run(Some(planted), test, None);
        let line =
            text.lines().find(|line| line.starts_with("ESKER_SCHEDULE=")).unwrap_or_default();
        assert!(!passed && !line.is_empty(), "{planted:?} is not caught by {test}:\n{text}");
        let schedule = line["ESKER_SCHEDULE=".len()..].split(' ').next();
        let (passed, again) = run(Some(planted), test, schedule);
        assert!(
            !passed && again.contains(" fails "),
            "{planted:?}: {line}: passes when run again:\n{again}"
        );
        let (passed, without) = run(None, test, schedule);
        assert!(passed, "{line}: fails without {planted:?} too:\n{without}");
        say(&format!("planted {planted:?}: {line}"));
    }
}
