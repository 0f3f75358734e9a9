//! Manual pages in mdoc: one per function, esker(3) with the conventions, esker_types(3) with the types.

use std::fmt::Write;

use crate::facts::{parameter, prose, statuses, summary, threads};
use crate::header::{Function, Header, Item, Kind, Member};

/// A text as mdoc lines: a sentence per line, nothing taken for a macro or an escape.
fn text(prose: &str) -> String {
    let mut out = String::new();
    for sentence in prose.replace(". ", ".\n").replace("; ", ";\n").lines() {
        let line = sentence.trim().replace('\\', "\\e");
        if line.starts_with(['.', '\'']) {
            out.push_str("\\&");
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// An argument of a macro: quoted, since it may hold blanks.
fn quoted(argument: &str) -> String {
    format!("\"{}\"", argument.replace('\\', "\\e").replace('"', "\\(dq"))
}

fn page(date: &str, title: &str, summary: &str) -> String {
    let mut out = String::new();
    let _ = writeln!(out, ".\\\" Written by `make man` from include/esker.h.");
    let _ = writeln!(out, ".Dd {date}\n.Dt {} 3\n.Os\n.Sh NAME\n.Nm {title}", title.to_uppercase());
    let mut first = summary.chars();
    let lower: String =
        first.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(first).collect();
    let _ = writeln!(out, ".Nd {}", lower.replace('\\', "\\e"));
    out
}

fn list(out: &mut String, entries: impl Iterator<Item = (String, String)>) {
    out.push_str(".Bl -tag -width Ds\n");
    for (tag, meaning) in entries {
        let _ = write!(out, ".It {tag}\n{}", text(&meaning));
    }
    out.push_str(".El\n");
}

/// The page of one function.
pub fn function(
    header: &Header,
    item: &Item,
    function: &Function,
    since: &str,
    date: &str,
) -> String {
    let mut out = page(date, &item.name, &summary(&item.doc));
    out.push_str(".Sh LIBRARY\nesker (libesker, \\-lesker)\n.Sh SYNOPSIS\n.In esker.h\n");
    let _ = writeln!(out, ".Ft {}\n.Fo {}", quoted(&function.returns), item.name);
    for p in &function.parameters {
        let star = if p.ctype.ends_with('*') { "" } else { " " };
        let _ = writeln!(out, ".Fa {}", quoted(&format!("{}{star}{}", p.ctype, p.name)));
    }
    if function.parameters.is_empty() {
        out.push_str(".Fa void\n");
    }
    let _ = write!(out, ".Fc\n.Sh DESCRIPTION\n{}", text(&prose(&item.doc)));
    if !function.parameters.is_empty() {
        out.push_str(".Pp\nParameters:\n");
        let rows = function.parameters.iter().map(|p| {
            let meaning = parameter(header, p).unwrap_or_else(|| "See above.".to_string());
            (format!("Fa {}", p.name), meaning)
        });
        list(&mut out, rows);
    }
    let statuses = statuses(header, item, function);
    if !statuses.is_empty() {
        out.push_str(".Sh RETURN VALUES\nAn\n.Vt esker_status :\n");
        list(&mut out, statuses.into_iter().map(|(name, doc)| (format!("Dv {name}"), doc)));
    }
    let _ = write!(out, ".Sh THREADS\n{}", text(&thread_words(&item.doc)));
    let _ = writeln!(out, ".Sh SEE ALSO\n.Xr esker 3 ,\n.Xr esker_types 3");
    let _ = writeln!(out, ".Sh HISTORY\n.Fn {}\nis there since esker {since}.", item.name);
    out
}

/// The marks, spelled out.
pub fn thread_words(doc: &str) -> String {
    let mut words = Vec::new();
    for mark in threads(doc) {
        words.push(match mark {
            "any-thread" => "Any thread, also several at once on one handle.".to_string(),
            "one-thread-at-a-time" => {
                "One thread at a time; the handle may move between threads.".to_string()
            }
            "callback-safe" => "May be called from callbacks.".to_string(),
            "as the handle" => "As the handle that is passed.".to_string(),
            other => format!("{}{}.", other[..1].to_uppercase(), &other[1..]),
        });
    }
    words.join(" ")
}

/// esker(3): the conventions as the header has them, and the list of functions.
pub fn overview(header: &Header, date: &str) -> String {
    let mut out = page(date, "esker", "an embedded, ordered key-value store");
    out.push_str(
        ".Sh LIBRARY\nesker (libesker, \\-lesker)\n.Sh SYNOPSIS\n.In esker.h\n.Sh DESCRIPTION\n",
    );
    out.push_str(".Bd -literal\n");
    for line in header.preface.lines().skip(1) {
        let line = line.replace('\\', "\\e");
        let _ = writeln!(out, "{}{line}", if line.starts_with(['.', '\'']) { "\\&" } else { "" });
    }
    out.push_str(".Ed\n.Pp\nFunctions:\n.Bl -tag -width Ds\n");
    for (item, _) in header.functions() {
        let _ = write!(out, ".It Xr {} 3\n{}", item.name, text(&summary(&item.doc)));
    }
    out.push_str(".El\n.Sh SEE ALSO\n.Xr esker_types 3\n");
    out
}

/// esker_types(3): every type and constant.
pub fn types(header: &Header, date: &str) -> String {
    let mut out = page(date, "esker_types", "types and constants of esker");
    out.push_str(".Sh SYNOPSIS\n.In esker.h\n.Sh DESCRIPTION\n");
    for item in &header.items {
        let members: &[Member] = match &item.kind {
            Kind::Function(_) => continue,
            Kind::Enum(members) | Kind::Struct(members) => members,
            Kind::Opaque | Kind::Callback | Kind::Macro => &[],
        };
        let _ = write!(out, ".Ss {}\n{}", item.name, text(&item.doc));
        if members.is_empty() {
            let _ = write!(out, ".Bd -literal\n{}\n.Ed\n", item.code.replace('\\', "\\e"));
        } else {
            list(
                &mut out,
                members.iter().map(|m| (format!("Li {}", quoted(&m.text)), m.doc.clone())),
            );
        }
    }
    out.push_str(".Sh SEE ALSO\n.Xr esker 3\n");
    out
}
