//! What the header says about a function beyond its prose: threads, statuses, parameters, first release.

use crate::header::{Function, Header, Item, Kind, Parameter};

/// Marks in brackets at the end of a comment: "[any-thread]".
pub fn threads(doc: &str) -> Vec<&str> {
    let parts =
        doc.split('[').skip(1).filter_map(|part| part.split_once(']').map(|(mark, _)| mark));
    let known = ["any-thread", "one-thread-at-a-time", "callback-safe", "as the handle"];
    parts.filter(|mark| known.iter().any(|known| mark.contains(known))).collect()
}

/// The comment without its marks.
pub fn prose(doc: &str) -> String {
    let mut text = doc.to_string();
    for mark in threads(doc) {
        text = text.replace(&format!("[{mark}]"), "");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first sentence.
pub fn summary(doc: &str) -> String {
    let text = prose(doc);
    let end = text.find(". ").map_or(text.len(), |i| i);
    text[..end].trim_end_matches('.').to_string()
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
pub fn has_word(text: &str, word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(inner)
            && !text[at + word.len()..].chars().next().is_some_and(inner)
    })
}

fn type_name(ctype: &str) -> &str {
    let word = |word: &&str| !matches!(*word, "const" | "struct");
    ctype.split([' ', '*']).filter(|part| !part.is_empty()).find(word).unwrap_or("")
}

fn is_handle(header: &Header, parameter: &Parameter) -> bool {
    header.item(type_name(&parameter.ctype)).is_some_and(|item| item.kind == Kind::Opaque)
}

fn is_sized(header: &Header, parameter: &Parameter) -> bool {
    let item = header.item(type_name(&parameter.ctype));
    item.is_some_and(|item| match &item.kind {
        Kind::Struct(fields) => fields.first().is_some_and(|f| f.text == "uint32_t struct_size"),
        _ => false,
    })
}

/// The statuses a function may return, in the order of the header, each with its meaning.
pub fn statuses(header: &Header, item: &Item, function: &Function) -> Vec<(String, String)> {
    if function.returns != "esker_status" {
        return Vec::new();
    }
    let Some(Kind::Enum(values)) = header.item("esker_status").map(|item| &item.kind) else {
        return Vec::new();
    };
    let mut text = item.doc.clone();
    // "Otherwise as esker_put()" and "As esker_batch_put()" take over what is said there.
    for other in header.items.iter().filter(|other| matches!(other.kind, Kind::Function(_))) {
        let call = format!("{}()", other.name);
        if ["therwise as ", "As "].iter().any(|as_| item.doc.contains(&format!("{as_}{call}"))) {
            text.push_str(&other.doc);
        }
    }
    let takes = function.parameters.iter();
    let handles: Vec<_> = takes.clone().filter(|p| is_handle(header, p)).collect();
    let makes = handles.iter().any(|p| p.ctype.ends_with("**"));
    let uses = handles.iter().any(|p| !p.ctype.ends_with("**"));
    let sized = takes.clone().any(|p| is_sized(header, p));
    let files = takes.clone().any(|p| p.name == "db" || p.name == "path");
    let by_rule = |name: &str| match name {
        "OK" => true,
        "INVALID" => !function.parameters.is_empty(),
        "MISUSE" => uses,
        "CLOSED" => uses && takes.clone().any(|p| p.ctype.contains("esker_db") || p.name == "iter"),
        "FORKED" | "PANIC" | "NOMEM" => uses || makes,
        "LIMIT" => makes,
        "ABI_MISMATCH" => sized,
        "IO" | "NOSPACE" | "CORRUPT" => files,
        _ => false,
    };
    let named = values.iter().filter_map(|value| {
        let name = value.text.split(" = ").next()?.strip_prefix("ESKER_")?;
        (by_rule(name) || has_word(&text, name))
            .then(|| (format!("ESKER_{name}"), value.doc.clone()))
    });
    named.collect()
}

/// What is true of every parameter of this name and type, or None: then the comment must speak of it.
pub fn parameter(header: &Header, parameter: &Parameter) -> Option<String> {
    let Parameter { ctype, name } = parameter;
    let handle = is_handle(header, parameter);
    let text = match (name.as_str(), ctype.as_str()) {
        ("err", _) => "Filled on error; NULL is allowed; untouched on success.".to_string(),
        (_, ctype) if handle && ctype.ends_with("**") => {
            let free = match type_name(ctype) {
                "esker_db" => "esker_close".to_string(),
                other => format!("{other}_free"),
            };
            format!("Receives the new handle, yours to give up with {free}(); NULL on failure.")
        }
        (_, ctype) if handle && name != "keyspace" => {
            let kind = type_name(ctype).trim_start_matches("esker_");
            let kind = if kind == "db" { "database" } else { kind };
            format!("The {kind}; borrowed for the call, yours before and after.")
        }
        ("key", _) => {
            "The key's bytes, borrowed for the call; NULL with length 0 is the empty key.".into()
        }
        ("klen", _) => "Length of the key, at most ESKER_KEY_MAX.".into(),
        ("value", "const void *") => "The value's bytes, borrowed for the call.".into(),
        ("vlen", "size_t") => "Length of the value, at most ESKER_VALUE_MAX.".into(),
        ("buf", _) => "Memory of the caller to write to; NULL is allowed when cap is 0.".into(),
        ("cap", _) => "Size of the memory before it: bytes of buf, structs of out.".into(),
        ("options", "const esker_read_opts *") => "How to read; NULL means the defaults.".into(),
        ("options", "const esker_write_opts *") => "How to write; NULL means the defaults.".into(),
        ("path", _) => "The directory: bytes that end in NUL, borrowed for the call.".into(),
        ("flags", _) => {
            "Flags of the enum named after the function, or 0; unknown ones are INVALID.".into()
        }
        ("len", _) => "Length in bytes of what the parameter before it points to.".into(),
        ("job", _) => "Progress and cancellation; NULL is allowed.".into(),
        ("seq", "uint64_t *") => "Receives a sequence number.".into(),
        ("status", "int32_t") => "Any number; those of esker_status have names.".into(),
        ("keyspace", _) => "As in esker_batch_put(); NULL is allowed.".into(),
        ("id", "uint32_t") => "An esker_option.".into(),
        ("abi", "uint32_t") => "The caller's ESKER_ABI.".into(),
        (_, "uint64_t *") if name == "count" => "Receives the number.".into(),
        (_, "esker_slice *") => "Receives where the bytes are and how many.".into(),
        (_, ctype) if !ctype.starts_with("const") && is_sized(header, parameter) => {
            "Filled; the caller sets struct_size first.".into()
        }
        _ => return None,
    };
    Some(text)
}

/// What the header lacks; empty when every function is documented as it must be.
pub fn complaints(header: &Header, exported: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in exported {
        if !header.functions().any(|(item, _)| item.name == *name) {
            found.push(format!("{name}: exported, but not in the header"));
        }
    }
    for (item, function) in header.functions() {
        if !exported.contains(&item.name.as_str()) {
            found.push(format!("{}: in the header, but not exported", item.name));
        }
        if prose(&item.doc).len() < 10 {
            found.push(format!("{}: no comment", item.name));
        }
        if threads(&item.doc).is_empty() {
            found.push(format!("{}: no mark says which threads may call it", item.name));
        }
        for p in &function.parameters {
            if parameter(header, p).is_none() && !has_word(&item.doc, &p.name) {
                found.push(format!(
                    "{}: parameter {} ({}) is not explained",
                    item.name, p.name, p.ctype
                ));
            }
        }
    }
    found
}
