//! What campaigns did: a line of docs/reliability.csv for each, and docs/RELIABILITY.md, made from it.

use super::frame::Tally;
use crate::source::{files_below, read, root};
use esker::internals::checksum::crc32;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

const TABLE: &str = "docs/reliability.csv";
const PAGE: &str = "docs/RELIABILITY.md";
const BEGIN: &str = "<!-- figures begin -->";
const END: &str = "<!-- figures end -->";
const HEADER: &str = "campaign,commit,engine,first case,cases,counts,bad,seconds";

/// One number for the sources that a campaign tests: its figures count for as long as they stay.
fn engine(campaign: &str) -> String {
    // Neither the C boundary, nor the texts about a database, nor what only tests use.
    let mut others = vec!["src/ffi/", "src/db/property.rs", "src/db/metrics.rs"];
    others.extend(["src/internals.rs", "src/planted.rs", "src/sync/", "src/env/sim"]);
    let whole = ["fuzzing database", "fuzzing mutated"];
    if campaign.starts_with("fuzzing ") && !whole.contains(&campaign) {
        // A decoder by itself.
        others.extend(["src/db/", "src/compaction/", "src/iter/", "src/memtable/", "src/env/api"]);
        others.extend(["src/env/real", "src/env/memory", "src/env/process", "src/flush.rs"]);
        others.extend(["src/job.rs", "src/worker.rs", "src/shared.rs", "src/retire.rs"]);
    }
    let mut files = files_below("src", "rs");
    files.retain(|path| !others.iter().any(|other| path.starts_with(other)));
    files.sort();
    let sum = files.iter().fold(0, |sum, path| {
        let lines = shipped_lines(&read(path)).join("\n");
        crc32(crc32(sum, path.as_bytes()), lines.as_bytes())
    });
    format!("{sum:08x}")
}

/// The lines that are compiled into a library: no comments, no tests at the end of the file.
fn shipped_lines(text: &str) -> Vec<&str> {
    let shipped = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//") && !line.trim().is_empty();
    shipped.lines().filter(is_code).collect()
}

#[test]
fn comments_and_tests_do_not_change_what_figures_count_for() {
    let code = "//! A file.\n\nfn f() {\n    // Why.\n    g()\n}\n";
    assert_eq!(shipped_lines(code), ["fn f() {", "    g()", "}"]);
    let tested = format!("{code}\n#[cfg(test)]\nmod tests {{\n    fn h() {{}}\n}}\n");
    assert_eq!(shipped_lines(&tested), shipped_lines(code));
    assert_ne!(shipped_lines(&code.replace("g()", "h()")), shipped_lines(code));
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let dirty =
        git(&["status", "--porcelain", "src", "tests"]).is_some_and(|text| !text.is_empty());
    let name = git(&["rev-parse", "--short=10", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    format!("{name}{}", if dirty { "+" } else { "" })
}

/// Appends a line to the file that ESKER_RECORD names.
pub fn record(name: &str, first: u64, tally: &Tally, seconds: u64) {
    let counts: Vec<String> = tally.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
    let (cases, bad) = (tally.cases, tally.failures.len());
    append(&format!("{name},{first},{cases},{},{bad},{seconds}", counts.join(";")));
}

/// A line of the table: what `run` says ("name,first case,cases,counts,bad,seconds"), of this commit and engine.
fn line(run: &str) -> String {
    let (name, rest) = run.split_once(',').unwrap_or_else(|| panic!("not a run: {run}"));
    format!("{name},{},{},{rest}\n", commit(), engine(name))
}

fn append(run: &str) {
    let Some(path) = std::env::var_os("ESKER_RECORD") else { return };
    let mut line = line(run);
    let path = root().join(path);
    if !path.exists() {
        line = format!("{HEADER}\n{line}");
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The sums of one campaign, of the runs on the engine of the last of them.
#[derive(Default)]
struct Sum {
    engine: String,
    commit: String,
    runs: u64,
    cases: u64,
    bad: u64,
    seconds: u64,
    counts: BTreeMap<String, u64>,
}

fn sums(table: &str) -> BTreeMap<String, Sum> {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some(HEADER), "{TABLE}");
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let [name, commit, engine, _, cases, counts, bad, seconds] = fields[..] else {
            panic!("{TABLE}: {line}");
        };
        let number = |text: &str| {
            text.parse::<u64>().unwrap_or_else(|_| panic!("{TABLE}: {text} in {line}"))
        };
        let sum = sums.entry(name.to_owned()).or_default();
        if sum.engine != engine {
            *sum = Sum { engine: engine.to_owned(), ..Sum::default() };
        }
        sum.commit = commit.to_owned();
        sum.runs += 1;
        sum.cases += number(cases);
        sum.bad += number(bad);
        sum.seconds += number(seconds);
        for count in counts.split(';').filter(|text| !text.is_empty()) {
            let (n, what) = count.split_once(' ').unwrap_or_else(|| panic!("{TABLE}: {line}"));
            *sum.counts.entry(what.to_owned()).or_default() += number(n);
        }
    }
    sums
}

/// 1234567 as "1,234,567".
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn figures(table: &str) -> String {
    let mut out = "| campaign | cases | counted | bad | runs, minutes | engine, last commit |\n|---|---|---|---|---|---|\n".to_owned();
    for (name, sum) in sums(table) {
        let counts: Vec<String> =
            sum.counts.iter().map(|(what, n)| format!("{} {what}", grouped(*n))).collect();
        let minutes = sum.seconds.div_ceil(60);
        writeln!(
            out,
            "| {name} | {} | {} | {} | {}, {minutes} | {}, {} |",
            grouped(sum.cases),
            counts.join(", "),
            sum.bad,
            sum.runs,
            sum.engine,
            sum.commit
        )
        .expect("a string takes it");
    }
    out
}

#[test]
fn the_page_says_what_the_table_says() {
    let page = read(PAGE);
    let begin = page.find(BEGIN).expect("the page has a place for figures") + BEGIN.len();
    let end = page.find(END).expect("the page has an end of figures");
    let wanted = format!("\n{}", figures(&read(TABLE)));
    if std::env::var("ESKER_RELIABILITY").as_deref() == Ok("write") {
        let page = format!("{}{wanted}{}", &page[..begin], &page[end..]);
        std::fs::write(root().join(PAGE), page).expect("the page can be written");
        return;
    }
    assert_eq!(&page[begin..end], wanted, "{PAGE} is not made from {TABLE}: make reliability");
}

/// What runs outside of the suite (scripts/record.sh) is entered through here, with the line in ESKER_RUN.
#[test]
fn a_run_from_outside_becomes_a_line() {
    let given = std::env::var("ESKER_RUN").ok();
    let run = given.as_deref().unwrap_or("kill torture,1,200,5 opens;7 checkpoints,2,90");
    let sums = sums(&format!("{HEADER}\n{}", line(run)));
    let name = run.split(',').next().expect("a name");
    let sum = &sums[name];
    assert_eq!((sum.runs, sum.engine.len()), (1, 8), "{run}");
    match given {
        Some(run) => append(&run),
        None => {
            assert_eq!((sum.cases, sum.bad, sum.seconds), (200, 2, 90));
            assert_eq!((sum.counts["opens"], sum.counts["checkpoints"]), (5, 7));
        }
    }
}

#[test]
fn sums_begin_anew_with_another_engine() {
    let table = format!(
        "{HEADER}\na,c1,e1,5,10,7 images,0,30\na,c2,e2,5,10,8 images;1 more,1,60\na,c3,e2,9,5,2 images,0,60\n"
    );
    let sums = sums(&table);
    let sum = &sums["a"];
    assert_eq!((sum.runs, sum.cases, sum.bad, sum.seconds), (2, 15, 1, 120));
    assert_eq!((sum.counts["images"], sum.counts["more"]), (10, 1));
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert!(figures(&table).contains("| a | 15 | 10 images, 1 more | 1 | 2, 2 | e2, c3 |"));
}
