//! Runs a kernel under many schedules.

use crate::chooser::{Chooser, Progress};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Schedules of each kernel when nobody says how many.
const ITERATIONS: u64 = 100;
/// Steps after which a schedule is taken for one that never ends.
const STEPS_MAX: usize = 400_000;
/// Bytes of the stack of a thread.
const STACK: usize = 1 << 20;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Writes a line at once, past what the test harness keeps back.
pub fn say(line: &str) {
    use std::io::Write;
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("there is an output");
}

/// Runs `kernel`, which is called `name`, under as many schedules as ESKER_ITERATIONS says (from ESKER_SEED on, or
/// from any number), or under ESKER_SCHEDULE alone.
pub fn explore(name: &str, kernel: fn()) {
    let chosen = number("ESKER_SCHEDULE");
    let count = chosen.map_or(number("ESKER_ITERATIONS").unwrap_or(ITERATIONS), |_| 1);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |t| t.as_nanos());
    let first = chosen.or_else(|| number("ESKER_SEED")).unwrap_or(now as u64);
    let progress: Arc<Progress> = Arc::default();
    let mut config = Config::new();
    config.stack_size = STACK;
    config.failure_persistence = FailurePersistence::None;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    // For a bound by time instead of one by number.
    config.max_time = number("ESKER_TIME").map(Duration::from_secs);
    let start = Instant::now();
    let runner = Runner::new(Chooser::new(first, count, progress.clone()), config);
    let ended = catch_unwind(AssertUnwindSafe(|| runner.run(kernel)));
    let [schedules, steps, current] = [&progress.schedules, &progress.steps, &progress.current]
        .map(|n| n.load(Ordering::Relaxed));
    if let Err(panic) = ended {
        say(&format!(
            "ESKER_SCHEDULE={current} kernel {name} fails (schedule {schedules}, from ESKER_SEED={first})"
        ));
        resume_unwind(panic);
    }
    let rate = schedules as f64 / start.elapsed().as_secs_f64();
    let each = steps / schedules.max(1);
    say(&format!(
        "{name}: {schedules} schedules from ESKER_SEED={first}, {each} steps each, {rate:.0} per second"
    ));
}
