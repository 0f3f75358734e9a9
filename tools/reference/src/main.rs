//! Writes manual pages and the API reference out of include/esker.h, or says what its comments lack.
//!
//!     esker-reference check     every exported function is documented; exit 1 and a list when not
//!     esker-reference man DIR DATE      DIR/esker.3, DIR/esker_types.3, DIR/esker_*.3; DATE as in "May 1, 2026"
//!     esker-reference doc FILE  the reference as Markdown
//!     esker-reference stub FILE a C file that defines every function and a variable of every enum, for abidw
//!
//! Run in the root of the project: reads include/esker.h, abi/symbols.txt and the headers of earlier releases in
//! abi/tests-*/esker.h, which say since when a function exists.

mod facts;
mod header;
mod man;
mod markdown;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::{env, fs, io};

use header::{Header, Kind, parse};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done =
        match arguments.as_slice() {
            ["check"] => check(),
            ["man", directory, date] => man_pages(Path::new(directory), date),
            ["doc", file] => reference(Path::new(file)),
            ["stub", file] => stub(Path::new(file)),
            _ => Err("usage: esker-reference check | man DIRECTORY DATE | doc FILE | stub FILE"
                .to_string()),
        };
    if let Err(message) = done {
        eprintln!("{message}");
        std::process::exit(1);
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text)).map_err(|e| format!("{}: {e}", path.display()))
}

fn header() -> Result<Header, String> {
    Ok(parse(&read(Path::new("include/esker.h"))?))
}

fn check() -> Result<(), String> {
    let (header, symbols) = (header()?, read(Path::new("abi/symbols.txt"))?);
    let complaints = facts::complaints(&header, &symbols.lines().collect::<Vec<_>>());
    if complaints.is_empty() {
        println!("{} functions, all documented", header.functions().count());
        return Ok(());
    }
    Err(complaints.join("\n"))
}

/// "0.1.0" out of ESKER_VERSION, which counts thousands.
fn version(header: &Header) -> String {
    let code = header.item("ESKER_VERSION").map_or("", |item| item.code.as_str());
    let number: u32 = code.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
}

/// Earlier releases, oldest first: name and functions.
fn releases() -> Result<Vec<(String, Vec<String>)>, String> {
    let mut found = Vec::new();
    let entries = fs::read_dir("abi").and_then(Iterator::collect::<io::Result<Vec<_>>>);
    for entry in entries.map_err(|e| format!("abi: {e}"))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stored = entry.path().join("esker.h");
        if let Some(release) = name.strip_prefix("tests-").filter(|_| stored.exists()) {
            let functions = parse(&read(&stored)?);
            let names = functions.functions().map(|(item, _)| item.name.clone()).collect();
            found.push((release.to_string(), names));
        }
    }
    let key = |name: &str| name.split('.').map(|n| n.parse().unwrap_or(0)).collect::<Vec<u32>>();
    found.sort_by_key(|(name, _)| key(name));
    Ok(found)
}

fn since(releases: &[(String, Vec<String>)], function: &str, version: &str) -> String {
    let first = releases.iter().find(|(_, names)| names.iter().any(|name| name == function));
    let major_minor = version.rsplit_once('.').map_or(version, |(start, _)| start);
    first.map_or(major_minor, |(release, _)| release).to_string()
}

fn man_pages(directory: &Path, date: &str) -> Result<(), String> {
    let (header, releases) = (header()?, releases()?);
    let version = version(&header);
    write(&directory.join("esker.3"), &man::overview(&header, date))?;
    write(&directory.join("esker_types.3"), &man::types(&header, date))?;
    for (item, function) in header.functions() {
        let since = since(&releases, &item.name, &version);
        let page = man::function(&header, item, function, &since, date);
        write(&directory.join(format!("{}.3", item.name)), &page)?;
    }
    Ok(())
}

fn reference(file: &Path) -> Result<(), String> {
    let (header, releases) = (header()?, releases()?);
    let version = version(&header);
    write(file, &markdown::reference(&header, &version, |name| since(&releases, name, &version)))
}

/// Compiled with debug information this file holds every type of the ABI, and nothing of the engine.
fn stub(file: &Path) -> Result<(), String> {
    let mut text = String::from("#include <esker.h>\n");
    for item in &header()?.items {
        match &item.kind {
            Kind::Function(_) => {
                let code = item.code.trim_end_matches(';');
                text.push_str(&format!("{code} {{ __builtin_trap(); }}\n"));
            }
            // No signature names the enums, whose values go into plain integers.
            Kind::Enum(_) => text.push_str(&format!("enum {0} {0}_values;\n", item.name)),
            Kind::Struct(_) => text.push_str(&format!("{0} *{0}_layout;\n", item.name)),
            Kind::Opaque | Kind::Callback | Kind::Macro => {}
        }
    }
    write(file, &text)
}
