//! include/esker.h: written from src/ffi, the same bytes as in the checkout, and clean in every dialect.
//!
//! `ESKER_HEADER=write` rewrites the file. Compilers that are missing are skipped with a printed line, and
//! missed with ESKER_ALL=1.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::OnceLock;

use crate::source::{read, root};

const HEADER: &str = "include/esker.h";

/// Files of src/ffi in the order of their `mod` lines, which is the order of functions in the header.
fn ffi_files() -> Vec<String> {
    let names = read("src/ffi/mod.rs");
    let names = names.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(|name| format!("src/ffi/{name}.rs")).collect()
}

/// The header as cbindgen writes it from the code.
fn generated() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = ffi_files().iter().fold(builder, |b, file| b.with_src(root().join(file)));
    let mut text = Vec::new();
    builder.generate().expect("src/ffi is understood").write(&mut text);
    let text = String::from_utf8(text).expect("the header is UTF-8");
    let mut tidy: Vec<&str> = text.lines().map(str::trim_end).collect();
    tidy.dedup_by(|a, b| a.is_empty() && b.is_empty());
    short_comments(&tidy).join("\n") + "\n"
}

/// Puts comments of one sentence on one line; cbindgen gives every comment three.
fn short_comments(lines: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        let indent = line.len() - line.trim_start().len();
        let text = after.first().and_then(|text| text.trim_start().strip_prefix("* "));
        let ends = after.get(1).is_some_and(|end| end.trim_start() == "*/");
        match text {
            Some(text) if line.trim_start() == "/**" && ends && indent + text.len() <= 100 => {
                out.push(format!("{}/** {text} */", &line[..indent]));
                rest = &after[2..];
            }
            _ => {
                out.push((*line).to_string());
                rest = after;
            }
        }
    }
    out
}

/// The header of the checkout, after it was rewritten where that was asked for.
fn header() -> String {
    static WRITTEN: OnceLock<()> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        if std::env::var("ESKER_HEADER").as_deref() == Ok("write") {
            std::fs::create_dir_all(root().join("include")).expect("a writable checkout");
            std::fs::write(root().join(HEADER), generated()).expect("a writable header");
        }
    });
    read(HEADER)
}

#[test]
fn the_header_is_what_the_code_says() {
    let (fresh, stored) = (generated(), header());
    if let Some(line) = fresh.lines().zip(stored.lines()).position(|(a, b)| a != b) {
        let (new, old) = (fresh.lines().nth(line), stored.lines().nth(line));
        panic!("{HEADER}:{}: {old:?} should be {new:?}; run `make header`", line + 1);
    }
    assert_eq!(fresh.len(), stored.len(), "{HEADER} is not whole; run `make header`");
}

/// Names of the functions that a header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let code: String = header.lines().filter(|line| !line.trim_start().starts_with('*')).collect();
    code.split("ESKER_API")
        .skip(1)
        .filter_map(|part| part.split('(').next()?.split_whitespace().last().map(str::to_string))
        .map(|name| name.trim_start_matches('*').to_string())
        .filter(|name| name.starts_with("esker_"))
        .collect()
}

#[test]
fn the_list_of_symbols_is_what_the_header_declares() {
    let declared = declared(&header());
    let listed = read("abi/symbols.txt");
    let names: Vec<&str> = listed.lines().collect();
    assert!(names.is_sorted(), "abi/symbols.txt is not sorted");
    assert_eq!(names.into_iter().map(str::to_string).collect::<BTreeSet<_>>(), declared);
}

#[test]
fn every_function_names_its_threads_and_starts_with_a_capital() {
    let header = header();
    let mut checked = 0;
    for (at, _) in header.match_indices("\nESKER_API") {
        let start = header[..at].rfind("/**").expect("a comment before each function");
        let comment = &header[start..at];
        let named = ["[any-thread", "[one-thread-at-a-time", "[as the handle"];
        let flat = comment.replace("\n *", "");
        assert!(named.iter().any(|tag| flat.contains(tag)), "no thread tag:\n{comment}");
        let first = comment.trim_start_matches(['/', '*', '\n', ' ']).chars().next();
        assert!(first.is_some_and(char::is_uppercase), "{comment}");
        checked += 1;
    }
    assert_eq!(checked, declared(&header).len());
}

#[test]
fn every_function_has_its_row_of_misuse() {
    let names = read("abi/symbols.txt");
    for path in ["tests/c/lifetimes.c", "tests/c/misuse_matrix.c"] {
        let table = read(path);
        let missing = names.lines().filter(|name| !table.contains(&format!("{{\"{name}\", ")));
        let missing: Vec<&str> = missing.collect();
        assert!(missing.is_empty(), "{path} has no row for {missing:?}");
    }
}

/// Whether a program can be run; a missing one is reported.
fn there_is(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        let all = std::env::var("ESKER_ALL").as_deref() == Ok("1");
        assert!(!all, "{tool} is missing, which ESKER_ALL=1 forbids");
        println!("SKIPPED header: {tool}");
    }
    found
}

/// Compiles a file that includes the header twice and calls through it.
fn compiles(compiler: &str, language: &str, standard: &str) {
    header();
    // A folder of its own for each compilation: tests run at the same time, and each removes its own.
    let name = format!("esker-header-{}-{compiler}-{standard}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).expect("a writable temporary directory");
    let source = folder.join(format!("{compiler}-{standard}.{language}"));
    let text = "#include \"esker.h\"\n#include \"esker.h\"\n\
        int main(void) {\n  uint32_t flags = ESKER_OPEN_CREATE | ESKER_OPEN_EXCLUSIVE;\n  \
        esker_db *db = 0;\n  esker_status rc = esker_open(\"x\", 0, flags, &db, 0);\n  \
        return rc < 0 || rc == ESKER_DONE;\n}\n";
    std::fs::write(&source, text).expect("a writable file");
    let output = Command::new(compiler)
        .args([&format!("-std={standard}"), "-fsyntax-only", "-I"])
        .arg(root().join("include"))
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg(&source)
        .output()
        .expect("the compiler runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    std::fs::remove_file(&source).expect("the file is there");
    std::fs::remove_dir(&folder).expect("the folder is empty");
    assert!(output.status.success(), "{compiler} -std={standard}:\n{said}");
}

#[test]
fn the_header_is_clean_c() {
    for compiler in ["gcc", "clang"].into_iter().filter(|tool| there_is(tool)) {
        for standard in ["c99", "c11", "c17"] {
            compiles(compiler, "c", standard);
        }
    }
}

#[test]
fn the_header_is_clean_cxx() {
    for compiler in ["g++", "clang++"].into_iter().filter(|tool| there_is(tool)) {
        for standard in ["c++11", "c++17"] {
            compiles(compiler, "cc", standard);
        }
    }
}
