//! Holds the code to the import table of docs/ARCHITECTURE.md.
//!
//! Between `<!-- imports begin -->` and `<!-- imports end -->` every row that begins "| `path.rs` |" is a
//! promise: the third column names, separated by spaces and without `.rs`, the files this one imports ("-"
//! for none). A file imports only rooms that come earlier in the `mod` lines of lib.rs, or files of its own
//! folder, and never in a circle. A file that has a folder of its own name (`env/sim.rs`) is one room with it:
//! what it takes from there by `mod` is not counted. `ESKER_IMPORTS=write` rewrites the third column from the code and adds
//! rows for new files; what a file owns stays for a person to write.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{SourceFile, read, root, sources};

const PAGE: &str = "docs/ARCHITECTURE.md";
const BEGIN: &str = "<!-- imports begin -->";
const END: &str = "<!-- imports end -->";
const NOTHING_OWNED: &str = "?";

/// File (without `.rs`) to what it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

struct Row {
    file: String,
    owns: String,
    imports: BTreeSet<String>,
}

fn row_of(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').map(str::trim).collect();
    let file = cells.first()?.strip_prefix('`')?.strip_suffix(".rs`")?;
    let names = cells.get(2).copied().unwrap_or("");
    Some(Row {
        file: file.to_string(),
        owns: cells.get(1).copied().unwrap_or("").to_string(),
        imports: names.split_whitespace().filter(|n| *n != "-").map(str::to_string).collect(),
    })
}

/// The part of the page that this test reads: its first and last byte.
fn table_range(page: &str) -> (usize, usize) {
    let begin = page.find(BEGIN).unwrap_or_else(|| panic!("{PAGE} has no {BEGIN}")) + BEGIN.len();
    let end = page.find(END).unwrap_or_else(|| panic!("{PAGE} has no {END}"));
    (begin, end)
}

/// Files that only list or re-export others.
fn is_map(path: &str) -> bool {
    path == "lib.rs" || path == "internals.rs" || path.ends_with("/mod.rs")
}

/// Names, punctuation and `::` of a piece of code.
fn tokens(code: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let len = if is_name(first) {
            rest.find(|c| !is_name(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..len]);
        rest = rest[len..].trim_start();
    }
    found
}

/// Adds every path of the use tree at `at` to `found`; returns where the tree ends.
fn use_tree<'a>(
    tokens: &[&'a str],
    mut at: usize,
    mut path: Vec<&'a str>,
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    loop {
        match tokens.get(at).copied() {
            Some("{") => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = use_tree(tokens, at, path.clone(), found);
                    while tokens.get(at).is_some_and(|t| *t != "," && *t != "}") {
                        at += 1; // `as name`
                    }
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push(name);
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    at
}

/// All paths that begin with `crate::`, without the `crate`.
fn crate_paths(code: &str) -> Vec<Vec<&str>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let visibility = at > 0 && tokens[at - 1] == "in"; // pub(in crate::room)
        if tokens[at] == "crate" && tokens.get(at + 1) == Some(&"::") && !visibility {
            use_tree(&tokens, at + 2, Vec::new(), &mut found);
        }
    }
    found
}

/// What each file imports, and what is wrong with how it does so.
fn imports_of(files: &[SourceFile]) -> (Imports, Vec<String>) {
    let names: BTreeSet<&str> = files.iter().filter_map(|f| f.path.strip_suffix(".rs")).collect();
    let mut imports = Imports::new();
    let mut wrong = Vec::new();
    for file in files.iter().filter(|f| !is_map(&f.path)) {
        let own = file.path.strip_suffix(".rs").expect("a .rs file");
        let row = imports.entry(own.to_string()).or_default();
        for path in crate_paths(&file.shipped) {
            // The longest part of the path that names a file: the rest are items in it.
            let prefixes = (1..=path.len()).rev().map(|len| path[..len].join("/"));
            match prefixes.into_iter().find(|name| names.contains(name.as_str())) {
                Some(name) if name != own => {
                    row.insert(name);
                }
                Some(_) => {}
                None => wrong.push(format!(
                    "{}: crate::{} names no file; import from the file that defines it",
                    file.path,
                    path.join("::")
                )),
            }
        }
        if tokens(&file.shipped).windows(2).any(|pair| pair == ["super", "::"]) {
            wrong.push(format!("{}: write crate:: paths, not super::", file.path));
        }
    }
    (imports, wrong)
}

/// Top rooms in the order of lib.rs.
fn layers(lib: &str) -> Vec<String> {
    let tokens = tokens(lib);
    tokens.windows(3).filter(|w| w[0] == "mod" && w[2] == ";").map(|w| w[1].to_string()).collect()
}

fn top(file: &str) -> &str {
    file.split('/').next().unwrap_or(file)
}

fn layer_of(layers: &[String], file: &str) -> usize {
    layers.iter().position(|l| l == top(file)).unwrap_or(usize::MAX)
}

/// Imports that go up, and circles.
fn shape_violations(imports: &Imports, layers: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (file, targets) in imports {
        for target in targets.iter().filter(|t| top(t) != top(file)) {
            if layer_of(layers, target) > layer_of(layers, file) {
                wrong.push(format!("{file}.rs imports {target}.rs, which lies above it"));
            }
        }
        let mut reached: BTreeSet<&String> = BTreeSet::new();
        let mut open: Vec<&String> = targets.iter().collect();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(imports.get(next).into_iter().flatten());
            }
        }
        if reached.contains(file) {
            wrong.push(format!("{file}.rs imports itself in a circle"));
        }
    }
    wrong
}

/// Differences between the table and the code.
fn table_violations(imports: &Imports, rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    for row in rows {
        let Some(real) = imports.get(&row.file) else {
            wrong.push(format!("{PAGE} has a row for {}.rs, which does not exist", row.file));
            continue;
        };
        for name in real.difference(&row.imports) {
            wrong.push(format!("{}.rs imports {name}, its row does not say so", row.file));
        }
        for name in row.imports.difference(real) {
            wrong.push(format!("{}.rs does not import {name}, its row says so", row.file));
        }
        if row.owns.is_empty() || row.owns == NOTHING_OWNED {
            wrong.push(format!("the row of {}.rs does not say what the file owns", row.file));
        }
    }
    for file in imports.keys() {
        match rows.iter().filter(|row| row.file == *file).count() {
            1 => {}
            0 => wrong.push(format!("{PAGE} has no row for {file}.rs")),
            _ => wrong.push(format!("{PAGE} has more than one row for {file}.rs")),
        }
    }
    wrong
}

fn row_text(file: &str, owns: &str, targets: &BTreeSet<String>, layers: &[String]) -> String {
    let mut names: Vec<&str> = targets.iter().map(String::as_str).collect();
    names.sort_by_key(|name| (layer_of(layers, name), *name));
    let names = if names.is_empty() { "-".to_string() } else { names.join(" ") };
    format!("| `{file}.rs` | {owns} | {names} |\n")
}

/// The page with its third column as the code has it, rows of lost files gone and rows of new files added
/// behind the last row of their folder.
fn rewritten(page: &str, imports: &Imports, layers: &[String]) -> String {
    let (begin, end) = table_range(page);
    let mut lines: Vec<(Option<String>, String)> = Vec::new();
    for line in page[begin..end].split_inclusive('\n') {
        match row_of(line) {
            None => lines.push((None, line.to_string())),
            Some(row) => {
                if let Some(targets) = imports.get(&row.file) {
                    let text = row_text(&row.file, &row.owns, targets, layers);
                    lines.push((Some(row.file), text));
                }
            }
        }
    }
    for (file, targets) in imports {
        if lines.iter().all(|(name, _)| name.as_ref() != Some(file)) {
            let same = |name: &Option<String>| name.as_deref().is_some_and(|n| top(n) == top(file));
            let place = lines.iter().rposition(|(name, _)| same(name));
            let place = place.or_else(|| lines.iter().rposition(|(name, _)| name.is_some()));
            let place = place.map_or(lines.len(), |i| i + 1);
            lines.insert(
                place,
                (Some(file.clone()), row_text(file, NOTHING_OWNED, targets, layers)),
            );
        }
    }
    let table: String = lines.into_iter().map(|(_, text)| text).collect();
    format!("{}{table}{}", &page[..begin], &page[end..])
}

#[test]
fn every_import_is_in_the_table_and_goes_down() {
    let files = sources();
    let (imports, mut wrong) = imports_of(&files);
    let layers = layers(&files.iter().find(|f| f.path == "lib.rs").expect("lib.rs").code);
    if std::env::var("ESKER_IMPORTS").as_deref() == Ok("write") {
        let page = rewritten(&read(PAGE), &imports, &layers);
        std::fs::write(root().join(PAGE), page).expect("the page is writable");
    }
    let page = read(PAGE);
    let (begin, end) = table_range(&page);
    let rows: Vec<Row> = page[begin..end].lines().filter_map(row_of).collect();
    wrong.extend(shape_violations(&imports, &layers));
    wrong.extend(table_violations(&imports, &rows));
    assert!(
        wrong.is_empty(),
        "{} problems (ESKER_IMPORTS=write rewrites the table):\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn folder_maps_hold_mod_lines_only() {
    for file in sources().iter().filter(|f| f.path.ends_with("/mod.rs")) {
        for line in file.code.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let is_mod = line.contains("mod ") && line.ends_with(';');
            assert!(is_mod || line.starts_with("#["), "{}: {line}", file.path);
        }
    }
}

/// A house of four files and what its imports are.
fn sample(low: &str, left: &str, right: &str) -> (Imports, Vec<String>) {
    let files = [
        SourceFile::new("low.rs", low),
        SourceFile::new("room/left.rs", left),
        SourceFile::new("room/right.rs", right),
        SourceFile::new("room/mod.rs", "pub mod left;\npub mod right;\n"),
    ];
    let (imports, mut wrong) = imports_of(&files);
    wrong.extend(shape_violations(&imports, &layers("mod low;\nmod room;\n")));
    (imports, wrong)
}

#[test]
fn every_way_to_name_a_file_is_an_import() {
    let tree = "use crate::{low::{A, B as C}, room::right::*};";
    let (imports, wrong) = sample("", tree, "fn f() -> crate::low::A { crate::low::make::<u8>() }");
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(imports["room/left"], BTreeSet::from(["low".to_string(), "room/right".to_string()]));
    assert_eq!(imports["room/right"], BTreeSet::from(["low".to_string()]));
    assert!(imports["low"].is_empty());
    let (_, wrong) =
        sample("pub(in crate::room) fn f() {}", "", "#[cfg(test)] mod t { use super::*; }");
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn upward_circular_and_vague_imports_are_found() {
    let upward = sample("use crate::room::left::A;", "", "").1;
    assert!(upward.iter().any(|w| w.contains("lies above it")), "{upward:?}");
    let circle = sample("", "use crate::room::right::A;", "use crate::room::left::B;").1;
    assert_eq!(circle.iter().filter(|w| w.contains("in a circle")).count(), 2, "{circle:?}");
    assert_eq!(sample("", "use crate::room::Thing;", "").1.len(), 1);
    assert_eq!(sample("", "use super::right::A;", "").1.len(), 1);
}

#[test]
fn the_table_must_say_what_the_code_does_and_can_be_rewritten() {
    let (imports, _) = sample("", "use crate::low::A;", "");
    let page = format!(
        "# Page\n{BEGIN}\n| file | owns | imports |\n|---|---|---|\n| `low.rs` | bytes | room/left |\n\
         | `gone.rs` | air | - |\n{END}\nrest\n"
    );
    let rows = |page: &str| page.lines().filter_map(row_of).collect::<Vec<_>>();
    assert_eq!(table_violations(&imports, &rows(&page)).len(), 4);

    let layers = layers("mod low;\nmod room;\n");
    let page = rewritten(&page, &imports, &layers);
    assert!(page.contains("| `low.rs` | bytes | - |\n| `room/left.rs` | ? | low |\n"), "{page}");
    assert!(!page.contains("gone") && page.ends_with("rest\n"));
    // What the new files own is still to be written.
    assert_eq!(table_violations(&imports, &rows(&page)).len(), 2);
    assert!(table_violations(&imports, &rows(&page.replace("| ? |", "| x |"))).is_empty());
}
