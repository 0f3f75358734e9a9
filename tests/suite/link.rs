//! The libraries as they are shipped: names, needed libraries, size, and life beside another Rust library.
//!
//! Reads what `make` built, in build/ or $ESKER_BUILD_DIR. Where it is not built the tests print SKIPPED, and
//! fail when ESKER_ALL=1. Needs gcc and binutils.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::source::{read, root};

const STRIPPED_BYTES_MAX: u64 = 1_500_000;
const NEEDED_ALLOWED: [&str; 3] = ["libc.so.6", "libm.so.6", "libgcc_s.so.1"];
/// What a static link needs beside the archive; the same list stands in scripts/pkg-config.sh.
const LIBRARIES: [&str; 3] = ["-lpthread", "-lm", "-ldl"];

/// A built file, or None after saying so.
fn built(name: &str) -> Option<PathBuf> {
    let build =
        std::env::var_os("ESKER_BUILD_DIR").map_or_else(|| root().join("build"), PathBuf::from);
    let path = build.join(name);
    if path.exists() {
        return Some(path);
    }
    let all = std::env::var("ESKER_ALL").as_deref() == Ok("1");
    assert!(!all, "{} is not built: run make", path.display());
    println!("SKIPPED link: build/{name}");
    None
}

/// Runs a command that must succeed; its standard output.
fn output(command: &mut Command) -> String {
    let done = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {}\n{error}", done.status);
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn dynamic_section(library: &Path) -> String {
    output(Command::new("readelf").arg("-dW").arg(library))
}

/// What readelf shows in brackets on lines of one tag.
fn dynamic_values<'a>(section: &'a str, tag: &str) -> Vec<&'a str> {
    let lines = section.lines().filter(|line| line.contains(&format!("({tag})")));
    lines.filter_map(|line| line.split_once('[')?.1.split_once(']').map(|(name, _)| name)).collect()
}

fn defined_names(command: &mut Command) -> BTreeSet<String> {
    let text = output(command);
    text.lines().filter_map(|l| l.split_whitespace().nth(2)).map(str::to_string).collect()
}

/// The number a macro of the committed header stands for.
fn header_number(name: &str) -> u64 {
    let start = format!("#define {name} ");
    let header = read("include/esker.h");
    let line = header
        .lines()
        .find_map(|line| line.strip_prefix(&start))
        .expect("the macro is in the header");
    line.trim().parse().expect("a plain number")
}

#[test]
fn the_shared_library_exports_exactly_the_listed_names() {
    let Some(library) = built("libesker.so") else { return };
    let exported = defined_names(Command::new("nm").args(["-D", "--defined-only"]).arg(&library));
    let listed: BTreeSet<String> = read("abi/symbols.txt")
        .lines()
        .filter(|l| !l.trim().is_empty())
        .map(str::to_string)
        .collect();
    assert!(listed.iter().all(|name| name.starts_with("esker_")), "{listed:?}");
    let missing: Vec<_> = listed.difference(&exported).collect();
    let extra: Vec<_> = exported.difference(&listed).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "not exported: {missing:?}; not listed: {extra:?}"
    );
}

#[test]
fn the_archive_has_the_same_global_names_and_no_others() {
    let (Some(library), Some(archive)) = (built("libesker.so"), built("libesker.a")) else {
        return;
    };
    let shared = defined_names(Command::new("nm").args(["-D", "--defined-only"]).arg(library));
    let global = defined_names(Command::new("nm").args(["-g", "--defined-only"]).arg(archive));
    assert_eq!(global, shared);
}

#[test]
fn the_shared_library_needs_the_c_library_only() {
    let Some(library) = built("libesker.so") else { return };
    let section = dynamic_section(&library);
    let needed = dynamic_values(&section, "NEEDED");
    assert!(needed.contains(&"libc.so.6"), "{section}");
    for name in needed {
        assert!(NEEDED_ALLOWED.contains(&name) || name.starts_with("ld-linux"), "needs {name}");
    }
}

#[test]
fn the_shared_library_is_named_after_its_abi_and_can_be_shared() {
    let Some(library) = built("libesker.so") else { return };
    let section = dynamic_section(&library);
    let soname = format!("libesker.so.{}", header_number("ESKER_ABI"));
    assert_eq!(dynamic_values(&section, "SONAME"), [soname.as_str()]);
    // Code pages with relocations cannot be shared between processes.
    assert!(!section.contains("TEXTREL"), "{section}");
    // Worker threads and destructors must not outlive their code when a host calls dlclose.
    assert!(section.contains("NODELETE"), "{section}");

    let chain = library.parent().expect("a build directory");
    let target = |name: &str| std::fs::read_link(chain.join(name)).expect("a symbolic link");
    assert_eq!(target("libesker.so"), Path::new(&soname));
    assert_eq!(target(&soname), Path::new(concat!("libesker.so.", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_shared_library_is_small() {
    let Some(library) = built("libesker.so") else { return };
    let work = work_directory("size");
    let stripped = work.join("libesker.so");
    output(Command::new("strip").arg("-o").arg(&stripped).arg(library));
    let bytes = std::fs::metadata(&stripped).expect("strip wrote it").len();
    println!("stripped: {bytes} bytes");
    assert!(bytes <= STRIPPED_BYTES_MAX, "{bytes} bytes, more than {STRIPPED_BYTES_MAX}");
    std::fs::remove_dir_all(work).expect("the directory is ours");
}

/// A fresh directory of this process.
fn work_directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("esker-link-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a temporary directory");
    path
}

/// tests/link/panics.rs as an archive with the export `{name}_panics`, the way rustc writes it.
fn panicking_archive(work: &Path, name: &str) -> PathBuf {
    let archive = work.join(format!("lib{name}.a"));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    output(
        Command::new(rustc)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "staticlib",
                "-C",
                "opt-level=2",
                "-C",
                "panic=unwind",
            ])
            .args(["--crate-name", name, "--cfg", name, "-o"])
            .arg(&archive)
            .arg(root().join("tests/link/panics.rs")),
    );
    archive
}

#[test]
fn three_rust_libraries_in_one_program_each_catch_their_own_panic() {
    let Some(esker) = built("libesker.a") else { return };
    let work = work_directory("archives");
    let (raw, cleaned) = (panicking_archive(&work, "first"), work.join("libcleaned.a"));
    output(
        Command::new(root().join("scripts/clean-archive.sh"))
            .arg(&raw)
            .arg(&cleaned)
            .arg("first_panics"),
    );
    let second = panicking_archive(&work, "second");

    // Either of the two may come first: whose unwinding tables the linker keeps depends on the order.
    let orders = [[&esker, &cleaned, &second], [&second, &cleaned, &esker]];
    for (i, order) in orders.iter().enumerate() {
        link_and_run(&work, &format!("program{i}"), order, &[]);
    }
    if let Some(panicking) = built("forced_panic/libesker.a") {
        let define = ["-DFORCED_PANIC"];
        link_and_run(&work, "esker-first", &[&panicking, &cleaned, &second], &define);
        link_and_run(&work, "esker-last", &[&second, &cleaned, &panicking], &define);
    }
    std::fs::remove_dir_all(work).expect("the directory is ours");
}

/// Links tests/link/main.c with three archives in this order and runs it.
fn link_and_run(work: &Path, name: &str, archives: &[&PathBuf], defines: &[&str]) {
    let program = work.join(name);
    output(
        Command::new("gcc")
            .args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
            .arg(root().join("include"))
            .args(defines)
            .arg(root().join("tests/link/main.c"))
            .args(archives)
            .args(LIBRARIES)
            .arg("-o")
            .arg(&program),
    );
    let said = output(Command::new(&program).arg(work.join(format!("{name}.db"))));
    assert_eq!(said, "esker 1, its panic 1, first 42, second 42, esker again 1\n");
}
