//! The API reference as one Markdown page.

use std::fmt::Write;

use crate::facts::{parameter, prose, statuses, summary};
use crate::header::{Function, Header, Item, Kind};
use crate::man::thread_words;

/// Text that must not be taken for markup.
fn text(prose: &str) -> String {
    prose.replace('<', "&lt;").replace('*', "\\*").replace('|', "\\|")
}

/// The whole page. `since` gives the release that brought a function.
pub fn reference(header: &Header, version: &str, since: impl Fn(&str) -> String) -> String {
    let mut out = format!(
        "# API reference of esker {version}\n\nWritten by `make doc` from include/esker.h.\n\n"
    );
    let _ = write!(
        out,
        "```text\n{}\n```\n\n## Functions\n\n| function | what it does |\n|---|---|\n",
        header.preface.trim()
    );
    for (item, _) in header.functions() {
        let _ = writeln!(out, "| [{0}](#{0}) | {1} |", item.name, text(&summary(&item.doc)));
    }
    for (item, f) in header.functions() {
        function(&mut out, header, item, f, &since(&item.name));
    }
    out.push_str("\n## Types and constants\n");
    for item in &header.items {
        types(&mut out, item);
    }
    out
}

fn function(out: &mut String, header: &Header, item: &Item, function: &Function, since: &str) {
    let code = item.code.replace(", ", ",\n    ");
    let _ =
        write!(out, "\n### {}\n\n```c\n{code}\n```\n\n{}\n", item.name, text(&prose(&item.doc)));
    if !function.parameters.is_empty() {
        out.push_str("\n| parameter | |\n|---|---|\n");
    }
    for p in &function.parameters {
        let meaning = parameter(header, p).unwrap_or_else(|| "See above.".to_string());
        let _ = writeln!(out, "| `{}` | {} |", p.name, text(&meaning));
    }
    let statuses = statuses(header, item, function);
    if !statuses.is_empty() {
        out.push_str("\n| returns | |\n|---|---|\n");
    }
    for (name, doc) in statuses {
        let _ = writeln!(out, "| `{name}` | {} |", text(&doc));
    }
    let _ = write!(out, "\nThreads: {} Since {since}.\n", thread_words(&item.doc));
}

fn types(out: &mut String, item: &Item) {
    let (members, what) = match &item.kind {
        Kind::Function(_) => return,
        Kind::Enum(members) => (members.as_slice(), "value"),
        Kind::Struct(members) => (members.as_slice(), "field"),
        Kind::Opaque | Kind::Callback | Kind::Macro => (&[][..], ""),
    };
    let _ = write!(out, "\n### {}\n\n{}\n\n", item.name, text(&item.doc));
    if members.is_empty() {
        let _ = write!(out, "```c\n{}\n```\n", item.code);
        return;
    }
    let _ = write!(out, "| {what} | |\n|---|---|\n");
    for member in members {
        let _ = writeln!(out, "| `{}` | {} |", member.text, text(&member.doc));
    }
}
