//! The campaigns catch what they are there to catch: each deliberate fault of the engine (src/planted.rs) makes the
//! campaign fail that watches over it. A fault is planted in a process of its own, which runs that campaign.

use super::{ace, banks, crash, damage, faults, frame, metamorphic};
use esker::internals::planted::Planted;
use std::process::{Command, Stdio};

/// Who must catch it: what it is called, and the name of the test. Two are met so rarely by campaigns that a test which
/// looks for them everywhere is the watcher.
fn watcher(planted: Planted) -> (&'static str, &'static str) {
    let crashes =
        (crash::CAMPAIGN.name, "campaign::crash::every_crash_leaves_a_state_that_was_promised");
    let short =
        (ace::CAMPAIGN.name, "campaign::ace::every_call_of_every_short_sequence_may_be_the_last");
    let faults = (
        faults::CAMPAIGN.name,
        "campaign::faults::any_call_may_fail_in_any_way_and_nothing_acknowledged_is_lost",
    );
    let sets =
        (metamorphic::CAMPAIGN.name, "campaign::metamorphic::any_options_give_the_same_answers");
    let banks = (
        banks::CAMPAIGN.name,
        "campaign::banks::every_view_shows_whole_batches_and_never_goes_back",
    );
    let flips = (
        damage::FLIPS.name,
        "campaign::damage::any_flipped_bit_of_a_killed_synced_database_is_told",
    );
    match planted {
        Planted::EditNotSynced | Planted::TableNotSynced | Planted::NameNotSynced => crashes,
        Planted::OlderLogsNotSynced | Planted::ReplayStopsEarly => crashes,
        Planted::CloseNotSynced => short,
        Planted::SyncErrorForgotten | Planted::AppendErrorForgotten => faults,
        Planted::DeleteDroppedEarly | Planted::SnapshotsIgnored | Planted::FilterDenies => sets,
        Planted::SeenTooEarly => banks,
        Planted::BlocksUnchecked | Planted::EvidenceIgnored => flips,
        Planted::NotSettled => (
            "killed at call",
            "recovery::crashes::promises_about_what_a_killed_process_left_in_the_page_cache_hold",
        ),
        Planted::SettleErrorForgotten => (
            "killed at call",
            "recovery::crashes::a_promise_that_failed_is_not_given_by_asking_again",
        ),
        other => panic!("{other:?} is for tests/schedules"),
    }
}

/// Runs a campaign with a fault, or with none; whether it passed, and what it said.
fn run(test: &str, planted: Option<Planted>) -> (bool, String) {
    let this = std::env::current_exe().expect("this test has a file");
    let mut command = Command::new(this);
    command.args(["--exact", "--nocapture", test]).stdin(Stdio::null());
    for name in ["ESKER_SEED", "ESKER_TIME", "ESKER_CAMPAIGN", "ESKER_RECORD", "ESKER_PLANTED"] {
        command.env_remove(name);
    }
    if let Some(planted) = planted {
        command.env("ESKER_PLANTED", format!("{planted:?}"));
        // As long as it may take; the first case that fails ends it.
        command.env("ESKER_TIME", "40");
    }
    let output = command.output().expect("the campaign runs");
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), text.concat())
}

#[test]
fn every_planted_fault_is_caught_by_the_campaign_that_watches_for_it() {
    for planted in Planted::ALL {
        let (campaign, test) = watcher(planted);
        let (passed, text) = run(test, Some(planted));
        let line = text.lines().find(|line| line.starts_with("ESKER_SEED=")).unwrap_or_default();
        let said = match test.starts_with("campaign::") {
            true => text.contains(&format!("campaign {campaign}: ")) && text.contains(" bad:\n"),
            false => text.contains(campaign),
        };
        assert!(!passed && said, "{planted:?} is not caught by {campaign}:\n{text}");
        let short: String = line.chars().take(150).collect();
        frame::say(&format!("planted {planted:?}: caught by {campaign}: {short}"));
    }
}
