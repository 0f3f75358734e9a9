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

/// Counters that are read: a relaxed number that lags behind decides nothing.
fn read_counters(file: &SourceFile) -> Vec<String> {
    let mut findings = Vec::new();
    if file.path == "db/stats.rs" {
        let all = words(&file.shipped, "Ordering::").into_iter();
        let strict = all.filter(|at| !file.shipped[*at..].starts_with("Ordering::Relaxed"));
        findings.extend(strict.map(|at| found_at(file, at, "counters are relaxed")));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for at in words(&file.shipped, "stats.") {
        let rest = &file.shipped[at + "stats.".len()..];
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        let reads = rest[name.len()..].trim_start().starts_with(".get()");
        // The texts and numbers for users, and the line about the opening.
        let tells = file.path == "db/property.rs"
            || (file.path == "db/open.rs" && name.starts_with("recovered_"));
        if reads && !tells {
            findings.push(found_at(file, at, &format!("the counter {name} is read")));
        }
    }
    findings
}

#[test]
fn counters_are_told_and_decide_nothing() {
    every_file(read_counters);
    let decides = "fn f() { if self.stats.puts.get() > 3 {} }";
    assert_eq!(planted("db/write.rs", decides, read_counters), 1);
    assert_eq!(planted("db/open.rs", decides, read_counters), 1);
    assert_eq!(planted("db/property.rs", decides, read_counters), 0);
    assert_eq!(planted("db/write.rs", "fn f() { self.stats.puts.add(3) }", read_counters), 0);
    let strict = "fn f() { self.0.load(Ordering::Acquire) }";
    assert_eq!(planted("db/stats.rs", strict, read_counters), 1);
}

/// What `db/events` keeps for tests is there with the feature `internals` only: each field of its log but the number
/// of jobs, and what is done to them.
fn kept_events(file: &SourceFile) -> Vec<String> {
    if file.path != "db/events.rs" {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    let only_tests = "#[cfg(feature = \"internals\")]";
    let start = lines.iter().position(|line| *line == "pub struct EventLog {");
    let Some(start) = start else { return vec!["src/db/events.rs: no EventLog".to_owned()] };
    let fields = (start + 1..).take_while(|at| lines.get(*at).is_some_and(|line| *line != "}"));
    let bare = fields.filter(|at| {
        let counts = lines[*at] == "jobs: AtomicU64," || lines[*at].starts_with('#');
        !counts && lines[at - 1] != only_tests
    });
    let bare: Vec<usize> = bare.collect();
    let mut findings: Vec<String> =
        bare.iter().map(|at| format!("src/db/events.rs:{}: kept in every build", at + 1)).collect();
    let shipped = "#[cfg(not(feature = \"internals\"))]\n    fn record(&self, _event: Event) {}\n";
    if !file.text.contains(shipped) {
        findings.push("src/db/events.rs: `record` does something in every build".to_owned());
    }
    findings
}

#[test]
fn events_are_kept_for_tests_only() {
    every_file(kept_events);
    let log = "pub struct EventLog {\n    jobs: AtomicU64,\n    #[cfg(feature = \"internals\")]\n    kept: X,\n}\n";
    let record =
        "    #[cfg(not(feature = \"internals\"))]\n    fn record(&self, _event: Event) {}\n";
    assert_eq!(planted("db/events.rs", &format!("{log}{record}"), kept_events), 0);
    assert_eq!(planted("db/events.rs", log, kept_events), 1);
    let bare = log.replace("    #[cfg(feature = \"internals\")]\n", "");
    assert_eq!(planted("db/events.rs", &format!("{bare}{record}"), kept_events), 1);
}

/// What reaches files, as the rooms of `db` write it.
const FILE_CALLS: [&str; 17] = [
    "dir.",
    "fs.",
    "tables.reader(",
    "log_sync.sync(",
    "log_sync.seal(",
    "log.append(",
    "log.start(",
    "log.close(",
    "log.stamp_if_useful(",
    "set.apply(",
    "set.settle(",
    "set.revive(",
    "prepare::",
    "run::run(",
    "flush::flush_memtables(",
    "job.run(",
    "job.finish(",
];
/// What begins so and does not.
const NO_FILE_CALLS: [&str; 9] = [
    "dir.path(",
    "dir.clone(",
    "dir.failed_syncs(",
    "fs.clone(",
    "fs.keeps(",
    "fs.now_micros(",
    "fs.random_id(",
    "fs.random_u64(",
    "fs.unix_seconds(",
];

fn file_calls(code: &str) -> Vec<usize> {
    let mut found: Vec<usize> = FILE_CALLS.iter().flat_map(|call| words(code, call)).collect();
    found.retain(|at| !NO_FILE_CALLS.iter().any(|call| code[*at..].starts_with(call)));
    found
}

/// Blanks closures that are handed to other threads: `move |core| ...`.
fn without_tasks(code: &str) -> String {
    let mut out = code.to_owned();
    for at in words(code, "move |") {
        let from = code[at + 6..].find('|').map_or(code.len(), |i| at + 6 + i + 1);
        let (mut end, bytes) = (from, code.as_bytes());
        while end < code.len() && !matches!(bytes[end], b';' | b',' | b')' | b'}') {
            let opens = matches!(bytes[end], b'(' | b'{' | b'[');
            end = if opens { closing(code, end) } else { end + 1 };
        }
        let blank: String =
            code[at..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        if blank.len() == end - at {
            out.replace_range(at..end, &blank);
        }
    }
    out
}

/// Methods of the engine that `code` calls.
fn calls(code: &str) -> Vec<(usize, String)> {
    let doors = ["self.", "core.", "DbCore::"];
    let starts =
        doors.iter().flat_map(|door| words(code, door).into_iter().map(|at| at + door.len()));
    let named = starts.map(|at| {
        let is_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        (at, code[at..].chars().take_while(is_name).collect::<String>())
    });
    named.collect()
}

/// Functions of the rooms of `db` that reach files, by themselves or through each other, by their names.
fn reach_files(rooms: &[(String, String)]) -> Vec<String> {
    let mut bodies: Vec<(String, &str)> = Vec::new();
    for (_, code) in rooms {
        for at in words(code, "fn") {
            let name: String =
                code[at + 3..].chars().take_while(|c| *c != '(' && *c != '<').collect();
            let Some(body) = code[at..].find(['{', ';']).map(|i| at + i) else { continue };
            bodies.push((name, &code[body..closing(code, body)]));
        }
    }
    let mut reaching: Vec<String> = Vec::new();
    loop {
        let before = reaching.len();
        for (name, body) in &bodies {
            let reaches = !file_calls(body).is_empty()
                || calls(body).iter().any(|(_, called)| reaching.contains(called));
            if reaches && !reaching.contains(name) {
                reaching.push(name.clone());
            }
        }
        if reaching.len() == before {
            return reaching;
        }
    }
}

/// From where to where the guard lives that `.lock()` at `at` gives.
fn guarded(code: &str, at: usize) -> std::ops::Range<usize> {
    let start = code[..at].rfind([';', '{', '}']).map_or(0, |i| i + 1);
    let behind = at + code[at..].find("()").map_or(0, |i| i + 2);
    let statement = code[start..at].trim_start();
    let binds = statement.strip_prefix("let ").filter(|_| code[behind..].starts_with(';'));
    let (mut end, bytes) = (behind, code.as_bytes());
    while end < code.len() && bytes[end] != b'}' && (binds.is_some() || bytes[end] != b';') {
        let opens = matches!(bytes[end], b'(' | b'{' | b'[');
        end = if opens { closing(code, end) } else { end + 1 };
    }
    let Some(binds) = binds else { return start..end };
    let name = binds.trim_start_matches("mut ").split([' ', ':', '=']).next().unwrap_or("");
    let dropped = code[behind..end].find(&format!("drop({name})"));
    behind..dropped.map_or(end, |i| behind + i)
}

/// Files that are reached with `work` or `claims` held. The publish lock is inside `db/read_state`, which cannot
/// reach any.
fn files_under_short_locks(files: &[SourceFile]) -> Vec<String> {
    let of_db = files.iter().filter(|file| file.path.starts_with("db/"));
    let rooms: Vec<(String, String)> =
        of_db.map(|file| (file.path.clone(), without_tasks(&file.shipped))).collect();
    let reaching = reach_files(&rooms);
    let mut findings = Vec::new();
    for (path, code) in &rooms {
        let mut found = |at: usize, what: &str| {
            findings.push(format!("src/{path}:{}: {what} under a short lock", line_of(code, at)));
        };
        if path == "db/read_state.rs" {
            let doors = ["crate::env", "crate::table", "crate::db"].into_iter();
            doors.flat_map(|door| words(code, door)).for_each(|at| found(at, "a door to files"));
        }
        for lock in [".work.lock()", ".claims.lock()"].iter().flat_map(|lock| words(code, lock)) {
            let region = guarded(code, lock);
            let (from, held) = (region.start, &code[region]);
            file_calls(held).into_iter().for_each(|at| found(from + at, "a file"));
            let called = calls(held).into_iter().filter(|(_, name)| reaching.contains(name));
            called.for_each(|(at, name)| found(from + at, &name));
        }
    }
    findings
}

#[test]
fn no_file_is_reached_under_a_short_lock() {
    let findings = files_under_short_locks(&sources());
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    let rooms = |text: &str| {
        let removes = "fn remove(&self) { self.dir.unlink(x); }\nfn tidy(&self) { self.remove(); }";
        [SourceFile::new("db/obsolete.rs", removes), SourceFile::new("db/background.rs", text)]
    };
    for bad in [
        "fn f(&self) { let mut work = self.work.lock(); work.n += 1; self.dir.stat(x) }",
        "fn f(&self) { let claims = self.claims.lock(); if claims.any { self.tidy(); } }",
        "fn f(&self) { let work = core.work.lock(); core.remove(); drop(work); }",
        "fn f(&self) { self.tidy_with(&mut self.work.lock(), self.dir.list()) }",
        "fn f(&self) { self.tidy(self.work.lock()) }",
    ] {
        assert_eq!(files_under_short_locks(&rooms(bad)).len(), 1, "{bad}");
    }
    for good in [
        "fn f(&self) { let work = self.work.lock(); drop(work); self.tidy(); }",
        "fn f(&self) { { let work = self.work.lock(); work.any(); } self.tidy(); }",
        "fn f(&self) { self.work.lock().stopping = true; self.tidy(); }",
        "fn f(&self) { let w = self.work.lock(); self.submit(lane, move |core| core.tidy()); }",
        "fn f(&self) { let work = self.work.lock(); self.log(|| self.dir.path()); }",
    ] {
        assert!(files_under_short_locks(&rooms(good)).is_empty(), "{good}");
    }
    let state = [SourceFile::new("db/read_state.rs", "use crate::table::handle::TableCache;")];
    assert_eq!(files_under_short_locks(&state).len(), 1);
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
