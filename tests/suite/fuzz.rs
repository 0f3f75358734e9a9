//! The fuzzers' inputs again, and some more: every decoder answers every one of them, soon and with little memory.
//!
//! Each target runs in a process of its own, so that memory is its own and neither a hang nor an abort takes the suite
//! along. `ESKER_SEED=n` repeats the mutations of an earlier run; `ESKER_CORPUS=write` puts the seeds into the corpus.

#[path = "../fuzz/targets.rs"]
mod targets;

use crate::model::Dice;
use crate::source::root;
use esker::internals::hash::hash64;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use targets::seeds::seeds;

const SECONDS_MAX: Duration = Duration::from_secs(1);
const MEMORY_MAX: u64 = 256 << 20;
/// Mutations of a target, and how long they may take in all: some machines are slow.
const ROUNDS: u64 = 3000;
const ROUNDS_TIME: Duration = Duration::from_millis(1200);
/// When a process is given up.
const HANGS: Duration = Duration::from_secs(100);

/// Which target the process is for; not set in the suite itself.
const TARGET: &str = "ESKER_FUZZ_TARGET";

fn folder(target: &str) -> PathBuf {
    root().join("tests/fuzz/corpus").join(target)
}

/// Inputs with their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).unwrap_or_else(|e| panic!("{target}: {e}"));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.expect("a directory entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("an input"))
        })
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn seeds_reach_the_end_of_their_targets() {
    let mut shallow = Vec::new();
    for (name, data) in seeds() {
        let deep = targets::DEEP.iter().find(|(other, _)| *other == name).expect("a target").1;
        // Two of the names are strangers', one of the packed bodies is damaged, some facts of manifests are wrong.
        let facts = name == "mutated" && data.len() > 1;
        let refused = facts || ["path", "lz4"].contains(&name);
        if !deep(&data) && !refused {
            shallow.push(format!(
                "{name}: {} bytes, {:02x?}",
                data.len(),
                &data[..data.len().min(12)]
            ));
        }
        if std::env::var("ESKER_CORPUS").is_ok_and(|value| value == "write") {
            fs::create_dir_all(folder(name)).expect("a folder");
            let file = format!("{:016x}", hash64(&data, 0));
            fs::write(folder(name).join(file), &data).expect("an input");
        }
    }
    assert!(shallow.is_empty(), "not taken:\n{}", shallow.join("\n"));
}

#[test]
fn the_corpus_is_small_and_has_every_target() {
    let names: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    assert_eq!(names, targets::DEEP.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for name in names {
        let sizes: Vec<usize> = corpus(name).iter().map(|(_, data)| data.len()).collect();
        assert!((1..=60).contains(&sizes.len()), "{name}: {} files", sizes.len());
        assert!(sizes.iter().sum::<usize>() < 1 << 20, "{name}: a megabyte or more");
        assert!(sizes.iter().all(|size| *size <= 64 << 10), "{name}: a large file");
    }
}

/// Does nothing in the suite; its process runs the inputs of one target.
#[test]
fn process_of_a_target() {
    let Ok(name) = std::env::var(TARGET) else { return };
    let inputs = corpus(&name);
    for (file, data) in &inputs {
        println!("tests/fuzz/corpus/{name}/{file}");
        measured(&name, data);
    }
    let seed = std::env::var("ESKER_SEED").ok().and_then(|text| text.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
    let seed: u64 = seed.unwrap_or_else(now);
    let (mut dice, begun) = (Dice::new(seed), Instant::now());
    for round in 0..ROUNDS {
        if begun.elapsed() > ROUNDS_TIME {
            break;
        }
        let data = mutation(&mut dice, &inputs);
        println!("{name}: ESKER_SEED={seed}, mutation {round}");
        measured(&name, &data);
    }
}

/// Runs one input within its limits.
fn measured(name: &str, data: &[u8]) {
    let (_, target) = targets::TARGETS.iter().find(|(other, _)| *other == name).expect("a target");
    // Twice where it was slow: another process may have had the processor.
    let slow = || {
        let begun = Instant::now();
        target(data);
        begun.elapsed() > SECONDS_MAX
    };
    assert!(!slow() || !slow(), "an input took more than {SECONDS_MAX:?} twice");
    let peak = peak_memory();
    assert!(peak < MEMORY_MAX, "{} MiB were in use", peak >> 20);
}

/// Most memory that this process ever had; 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// An input with a few changes, most of them near its front.
fn mutation(dice: &mut Dice, inputs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut data = inputs[dice.index(inputs.len())].1.clone();
    for _ in 0..=dice.below(4) {
        let len = data.len().max(1);
        let reach = if dice.percent(40) { len.min(64) } else { len };
        let at = dice.index(reach).min(data.len());
        let interesting = [0, 1, 0x7f, 0x80, 0xff, dice.next() as u8][dice.index(6)];
        match dice.below(8) {
            0 => data.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << dice.below(8)),
            1 => data.get_mut(at).into_iter().for_each(|byte| *byte = interesting),
            2 => {
                let end = (at + [2, 4, 8][dice.index(3)]).min(data.len());
                data[at..end].fill(interesting);
            }
            3 => data.truncate(at),
            // Counts, lengths and numbers that are off by a little.
            7 => {
                let by = [1, 2, 255, 254][dice.index(4)];
                data.get_mut(at).into_iter().for_each(|byte| *byte = byte.wrapping_add(by));
            }
            4 => data.insert(at, interesting),
            5 => {
                let end = (at + dice.index(16)).min(data.len());
                data.drain(at..end);
            }
            _ => {
                let other = &inputs[dice.index(inputs.len())].1;
                let from = dice.index(other.len().max(1)).min(other.len());
                let end = (from + dice.index(64)).min(other.len());
                data.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    data
}

/// Runs the process of a target; its output is shown when it fails.
fn replay(name: &str) {
    let log = std::env::temp_dir().join(format!("esker-fuzz-{}-{name}", std::process::id()));
    let file = File::create(&log).expect("a temporary file");
    let mut process = Command::new(std::env::current_exe().expect("this program"))
        .args(["fuzz::process_of_a_target", "--exact", "--nocapture"])
        .env(TARGET, name)
        .stdin(Stdio::null())
        .stderr(file.try_clone().expect("a second handle"))
        .stdout(file)
        .spawn()
        .expect("a process");
    let ended = ends(&mut process);
    let output = fs::read(&log).expect("the output");
    fs::remove_file(&log).expect("the output goes");
    let text = String::from_utf8_lossy(&output).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    if let Some(seed) = lines.iter().rev().find(|line| line.contains("ESKER_SEED")) {
        println!("last: {seed}");
    }
    let last = lines[lines.len().saturating_sub(60)..].join("\n");
    assert!(ended == Some(true), "{name}: {ended:?} (None: it hangs)\n{last}");
    assert!(text.contains("1 passed"), "the process ran its test");
}

/// Whether the process succeeds; `None` when it had to be killed.
fn ends(process: &mut Child) -> Option<bool> {
    let begun = Instant::now();
    while begun.elapsed() < HANGS {
        if let Some(status) = process.try_wait().expect("a child can be waited for") {
            return Some(status.success());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().expect("a child can be killed");
    process.wait().expect("a child can be waited for");
    None
}

/// A test for each target, so that they run beside one another.
macro_rules! replays {
    ($($name:ident)*) => {
        const REPLAYED: &[&str] = &[$(stringify!($name)),*];
        mod replays {
            $(#[test]
            fn $name() {
                super::replay(stringify!($name));
            })*
        }
    };
}

replays! { log record manifest edit table block filter batch options lz4 path database mutated }
