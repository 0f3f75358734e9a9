//! Every numbered invariant of a file of src/ names, in docs/invariants.csv, the tests that fail when it is broken.
//!
//! Whether they do is for whoever reads the row; that no invariant is without one, and no test named that is not there, is
//! checked here.

use crate::source::{read, sources};

const TABLE: &str = "docs/invariants.csv";
const HEADER: &str = "file,invariant,tests";
/// In place of a test; only ever fewer.
const NONE: &str = "none";
const NONE_MAX: usize = 1;

/// Numbers in the section "Invariants" of the comment that a file begins with.
fn numbers(text: &str) -> Vec<u32> {
    let comment = text.lines().take_while(|line| line.starts_with("//!"));
    let section = comment.skip_while(|line| *line != "//! Invariants").skip(1);
    section.filter_map(|line| line.strip_prefix("//! ")?.split_once(". ")?.0.parse().ok()).collect()
}

/// Whether `text`, of a file called `path`, defines the function.
fn defines(path: &str, text: &str, name: &str) -> bool {
    match path.ends_with(".rs") {
        true => text.contains(&format!("fn {name}(")),
        false => text.contains(&format!(" {name}(")) || text.starts_with(&format!("{name}(")),
    }
}

/// What is wrong with a row's list of tests.
fn wrong_tests(row: &str, tests: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    if tests.is_empty() {
        wrong.push(format!("{row}: no test"));
    }
    for test in tests.split(' ').filter(|test| !test.is_empty()) {
        let there = test
            .split_once(':')
            .is_some_and(|(path, name)| read(path).is_some_and(|text| defines(path, &text, name)));
        if !there {
            wrong.push(format!("{row}: there is no {test}"));
        }
    }
    wrong
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    let table = read(TABLE);
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some(HEADER));
    let rows: Vec<(&str, &str)> =
        lines.map(|line| line.rsplit_once(',').expect("three columns")).collect();
    let files = sources();
    let wanted: Vec<String> = files
        .iter()
        .flat_map(|file| numbers(&file.text).into_iter().map(|n| format!("{},{n}", file.path)))
        .collect();
    let mut wrong = Vec::new();
    for row in &wanted {
        match rows.iter().filter(|(key, _)| key == row).count() {
            1 => {}
            0 => wrong.push(format!("{row}: no row")),
            _ => wrong.push(format!("{row}: more than one row")),
        }
    }
    let root = crate::source::root();
    let on_disk = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let without = rows.iter().filter(|(_, tests)| *tests == NONE).count();
    assert!(without <= NONE_MAX, "{without} invariants without a test");
    for (key, tests) in rows.iter().filter(|(_, tests)| *tests != NONE) {
        if !wanted.iter().any(|row| row == key) {
            wrong.push(format!("{key}: there is no such invariant"));
        }
        wrong.extend(wrong_tests(key, tests, &on_disk));
    }
    assert!(wrong.is_empty(), "{TABLE}: {} problems:\n{}", wrong.len(), wrong.join("\n"));
    assert!(wanted.len() > 100, "the files are read");
}

#[test]
fn a_row_without_a_test_or_with_one_that_is_gone_is_noticed() {
    let text = "//! A file.\n//!\n//! 1. No.\n//! Invariants\n//! 1. One\n//!    goes on.\n//! 2. Two.\n\n//! 3. No.\n";
    assert_eq!(numbers(text), [1, 2]);
    assert!(numbers("//! A file.\n").is_empty());
    let disk = |path: &str| (path == "a.rs").then(|| "fn there() {}\n".to_owned());
    assert!(wrong_tests("a.rs,1", "a.rs:there", &disk).is_empty());
    for tests in ["", "a.rs:gone", "b.rs:there", "there", "a.rs:there a.rs:gone"] {
        assert_eq!(wrong_tests("a.rs,1", tests, &disk).len(), 1, "{tests:?}");
    }
}
