//! The house rules that a program can check. Each test names the rule; limits are only ever lowered.

use crate::source::{SourceFile, closing, files_below, line_of, read, sources, words};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// The only places where unsafe code may stand; a folder ends in `/`.
const UNSAFE_FILES: [&str; 9] = [
    "search.rs",
    "env/real.rs",
    "env/process.rs",
    "memtable/arena.rs",
    "memtable/skiplist.rs",
    "memtable/node.rs",
    "memtable/wide.rs",
    "db/read.rs",
    "ffi/",
];

fn is_in(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| path == *entry || (entry.ends_with('/') && path.starts_with(entry)))
}

/// Applies a rule to every file and shows all its findings at once.
fn every_file(rule: impl Fn(&SourceFile) -> Vec<String>) {
    let findings: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Findings of one rule in a made-up file.
fn planted(path: &str, text: &str, rule: impl Fn(&SourceFile) -> Vec<String>) -> usize {
    rule(&SourceFile::new(path, text)).len()
}

fn found_at(file: &SourceFile, offset: usize, what: &str) -> String {
    format!("src/{}:{}: {what}", file.path, line_of(&file.text, offset))
}

/// A finding for each of `names` in code that ships.
fn forbidden(file: &SourceFile, names: &[&str], why: &str) -> Vec<String> {
    let all = names
        .iter()
        .flat_map(|name| words(&file.shipped, name).into_iter().map(move |at| (at, name)));
    all.map(|(at, name)| found_at(file, at, &format!("{name}: {why}"))).collect()
}

fn long_file(file: &SourceFile) -> Vec<String> {
    let lines = file.text.lines().count();
    let long = lines > FILE_LINES_MAX && file.path != "internals.rs";
    long.then(|| format!("src/{}: {lines} lines", file.path)).into_iter().collect()
}

fn long_functions(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    for at in words(&file.code, "fn") {
        let Some(body) = file.code[at..].find(['{', ';']).map(|i| at + i) else { continue };
        if file.code.as_bytes()[body] == b'{' {
            let end = closing(&file.code, body);
            let lines = line_of(&file.code, end - 1) - line_of(&file.code, at) + 1;
            if lines > FUNCTION_LINES_MAX {
                findings.push(found_at(file, at, &format!("a function of {lines} lines")));
            }
        }
    }
    findings
}

#[test]
fn files_and_functions_are_short() {
    every_file(|file| [long_file(file), long_functions(file)].concat());
    assert_eq!(planted("a.rs", &"\n".repeat(FILE_LINES_MAX + 1), long_file), 1);
    let function = format!("fn f() {{{}}}\n", "\n".repeat(FUNCTION_LINES_MAX));
    assert_eq!(planted("a.rs", &function, long_functions), 1);
    assert_eq!(planted("a.rs", "fn f() {\n}\n", long_functions), 0);
}

#[test]
fn every_file_begins_with_what_it_owns() {
    let rule = |file: &SourceFile| {
        let first = file.text.lines().next().unwrap_or("");
        let says = first.strip_prefix("//! ").is_some_and(|text| text.len() > 10);
        if says { vec![] } else { vec![format!("src/{}: no //! on line 1", file.path)] }
    };
    every_file(rule);
    assert_eq!(planted("a.rs", "use std::fmt;\n", rule), 1);
}

fn unsafe_outside(file: &SourceFile) -> Vec<String> {
    if is_in(&file.path, &UNSAFE_FILES) {
        return Vec::new();
    }
    forbidden(file, &["unsafe", "unsafe_code"], "this file is not among those that may be unsafe")
}

/// Every `unsafe {` and `unsafe impl` has a note of its own, at most eight lines above it.
fn unsafe_without_note(file: &SourceFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let blocks = words(&file.code, "unsafe {").into_iter().chain(words(&file.code, "unsafe impl"));
    let mut offsets: Vec<usize> = blocks.collect();
    offsets.sort_unstable();
    let mut used = 0; // lines up to here belong to earlier blocks
    let mut findings = Vec::new();
    for at in offsets {
        let line = line_of(&file.text, at);
        let from = used.max(line.saturating_sub(9));
        let note = (from..line).rev().find(|i| lines[*i].contains("SAFETY:"));
        match note {
            Some(i) => used = i + 1,
            None => findings.push(found_at(file, at, "unsafe without a SAFETY note of its own")),
        }
    }
    findings
}

#[test]
fn unsafe_code_is_rare_and_explained() {
    every_file(|file| [unsafe_outside(file), unsafe_without_note(file)].concat());
    let bare = "fn f() { unsafe { g() } }";
    assert_eq!(planted("block/iter.rs", bare, unsafe_outside), 1);
    assert_eq!(planted("ffi/db.rs", bare, unsafe_outside), 0);
    assert_eq!(planted("ffi/db.rs", bare, unsafe_without_note), 1);
    let one_note = "// SAFETY: reason.\nunsafe { g() };\nunsafe { h() };\n";
    assert_eq!(planted("ffi/db.rs", one_note, unsafe_without_note), 1);
}

/// Items that C sees, or that shape what it sees: each has a doc comment above its attributes.
fn undocumented_exports(file: &SourceFile) -> Vec<String> {
    if !file.path.starts_with("ffi/") {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let code: Vec<&str> = file.shipped.lines().collect();
    let starts = ["extern \"C\" fn ", "struct ", "enum ", "union ", "type ", "const "];
    let mut findings = Vec::new();
    for (i, line) in code.iter().enumerate() {
        // The insides of literals are blank in `code`, so the ABI string is read from the text.
        let Some(item) = line.trim_start().strip_prefix("pub ").map(|_| lines[i].trim_start())
        else {
            continue;
        };
        let item = item.strip_prefix("pub ").unwrap_or(item);
        let item = item.strip_prefix("unsafe ").unwrap_or(item);
        if !starts.iter().any(|start| item.starts_with(start)) || item.starts_with("const fn ") {
            continue;
        }
        let mut above = i;
        while above > 0 && is_attribute(lines[above - 1]) {
            above -= 1;
        }
        if above == 0 || !lines[above - 1].trim_start().starts_with("///") {
            findings.push(format!("src/{}:{}: no doc comment: {item}", file.path, i + 1));
        }
    }
    findings
}

/// Whether a line is (the end of) an attribute.
fn is_attribute(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("#[") || line.ends_with(")]")
}

#[test]
fn every_export_is_documented() {
    every_file(undocumented_exports);
    let bare = "#[unsafe(no_mangle)]\npub extern \"C\" fn esker_x() {}\n#[repr(C)]\npub struct esker_y {}\n";
    assert_eq!(planted("ffi/db.rs", bare, undocumented_exports), 2);
    let text = format!("/// Does it.\n{}", bare.replace("#[repr", "/// It.\n#[repr"));
    assert_eq!(planted("ffi/db.rs", &text, undocumented_exports), 0);
}

fn second_door(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let doors: [(&str, &[&str]); 8] = [
        (
            "sync",
            &["std::sync", "core::sync", "std::sync::{", "parking_lot", "arc_swap", "shuttle"],
        ),
        // A scheduler of tests decides about these too.
        ("sync", &["std::thread", "std::time::Instant", "std::time::{Duration, Instant}"]),
        ("checksum", &["crc32fast"]),
        ("hash", &["xxhash_rust"]),
        ("compress", &["lz4_flex"]),
        ("filter/classic", &["bloomfilter"]),
        ("memtable/skiplist", &["crossbeam_skiplist"]),
        ("table/cache", &["quick_cache"]),
    ];
    for (door, names) in doors {
        // The room of that name: its file and its folder.
        let inside =
            file.path == format!("{door}.rs") || file.path.starts_with(&format!("{door}/"));
        if !inside {
            findings.extend(forbidden(file, names, &format!("only {door} may name it")));
        }
    }
    if !is_in(&file.path, &["env/"]) {
        let names =
            ["std::fs", "std::net", "std::process::Command", "std::os::fd", "std::os::unix::fs"];
        findings.extend(forbidden(file, &names, "the outside world is reached through env/api"));
    }
    if !is_in(&file.path, &["env/real.rs", "env/process.rs"]) {
        for at in words(&file.shipped, "libc::") {
            let name: String = file.shipped[at + 6..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if file.shipped[at + 6 + name.len()..].starts_with('(') {
                findings.push(found_at(
                    file,
                    at,
                    &format!("libc::{name} is called outside env/real"),
                ));
            }
        }
    }
    findings
}

#[test]
fn each_dependency_has_one_door() {
    every_file(second_door);
    for bad in [
        "use std::sync::Arc;",
        "fn f() { libc::fsync(3) }",
        "use parking_lot::Mutex;",
        "use std::time::{Duration, Instant};",
        "fn f() { std::thread::yield_now() }",
        "use std::fs::File;",
    ] {
        assert_eq!(planted("db/core.rs", bad, second_door), 1, "{bad}");
    }
    assert_eq!(planted("db/core.rs", "fn f() -> i32 { libc::ENOSPC }", second_door), 0);
    assert_eq!(planted("sync.rs", "pub use std::sync::Arc;", second_door), 0);
    assert_eq!(planted("sync/scheduled.rs", "use shuttle::sync::Mutex;", second_door), 0);
}

fn unfinished(file: &SourceFile) -> Vec<String> {
    let mut findings = forbidden(file, &["todo!", "unimplemented!"], "unfinished");
    for mark in ["FIXME", "XXX", "not implemented", "not yet implemented", "placeholder"] {
        let places = file.text.match_indices(mark);
        findings.extend(places.map(|(at, _)| found_at(file, at, mark)));
    }
    findings
}

#[test]
fn nothing_is_left_unfinished() {
    every_file(unfinished);
    assert_eq!(planted("a.rs", "fn f() { todo!() }", unfinished), 1);
    assert_eq!(planted("a.rs", "// FIXME: later\n", unfinished), 1);
}

#[test]
fn no_test_is_switched_off() {
    let attribute = ["#[", "ignore"].concat();
    for path in [files_below("src", "rs"), files_below("tests", "rs")].concat() {
        assert!(!read(&path).lines().any(|l| l.trim_start().starts_with(&attribute)), "{path}");
    }
}

fn prints(file: &SourceFile) -> Vec<String> {
    let names = [
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "dbg!",
        "std::process::exit",
        "std::process::abort",
    ];
    forbidden(file, &names, "a library does not print and does not end its host")
}

#[test]
fn nothing_prints_or_exits() {
    every_file(prints);
    assert_eq!(planted("a.rs", "fn f() { eprintln!() }", prints), 1);
    assert_eq!(planted("a.rs", "#[cfg(test)] mod t { fn f() { eprintln!() } }", prints), 0);
}

/// A result thrown away: `let _ = call()`, or a statement that ends in `.ok();`.
fn swallowed(file: &SourceFile) -> Vec<String> {
    let code = &file.shipped;
    let mut findings = Vec::new();
    for at in words(code, "let _ =") {
        let end = code[at..].find(';').map_or(code.len(), |i| at + i);
        if code[at..end].contains('(') {
            findings.push(found_at(file, at, "`let _ =` throws a result away"));
        }
    }
    for (at, _) in code.match_indices(".ok();") {
        let start = code[..at].rfind([';', '{', '}']).map_or(0, |i| i + 1);
        let statement = &code[start..at];
        if !statement.contains('=') && !statement.contains("return") {
            findings.push(found_at(file, at, "`.ok();` throws a result away"));
        }
    }
    findings
}

#[test]
fn no_result_is_thrown_away() {
    every_file(swallowed);
    assert_eq!(planted("a.rs", "fn f() { let _ = file.sync(); file.sync().ok(); }", swallowed), 2);
    assert_eq!(planted("a.rs", "fn f() { let x = file.sync().ok(); }", swallowed), 0);
}

#[test]
fn every_vector_of_the_format_page_is_used() {
    let page = read("docs/FORMAT.md");
    let code: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| files_below(folder, "rs"))
        .map(|p| read(&p))
        .collect();
    for name in page.lines().filter_map(|line| line.trim().strip_prefix("```hex ")) {
        assert!(code.contains(&format!("\"{name}\"")), "no test reads the vector {name}");
    }
}

/// The lines of a manifest's section.
fn section(manifest: &str, name: &str) -> Vec<String> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn schedules_are_tested_with_the_dependencies_of_the_library() {
    let (library, schedules) = (read("Cargo.toml"), read("tests/schedules/Cargo.toml"));
    let mut theirs = section(&schedules, "dependencies");
    theirs.retain(|line| !line.starts_with("shuttle "));
    let ours = section(&library, "dependencies");
    assert!(ours.len() > 5 && ours == theirs, "{ours:#?}\n{theirs:#?}");
}

/// Uses of a module of vector code, each of which must stand right behind the question whether the processor has it.
fn vector_code_unasked(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = file.shipped.lines().collect();
    for name in ["avx2", "neon"] {
        for at in words(&file.shipped, &format!("{name}::")) {
            let line = line_of(&file.shipped, at);
            // The line above; a statement of rustfmt's goes over more than one only where it is longer.
            let asked = line > 1 && lines[line - 2].contains("_feature_detected!");
            if !asked {
                findings.push(found_at(file, at, &format!("{name} without feature_detected")));
            }
        }
    }
    findings
}

#[test]
fn vector_code_is_reached_only_where_the_processor_was_asked() {
    let search = sources().into_iter().find(|file| file.path == "search.rs").expect("it is there");
    assert!(search.shipped.contains("avx2::") && search.shipped.contains("neon::"));
    every_file(vector_code_unasked);
    let asked =
        "fn f() {\n  if std::arch::is_x86_feature_detected!(\"avx2\") {\n    avx2::g();\n  }\n}\n";
    assert_eq!(planted("search.rs", asked, vector_code_unasked), 0);
    assert_eq!(planted("search.rs", "fn f() {\n  avx2::g();\n}\n", vector_code_unasked), 1);
}
