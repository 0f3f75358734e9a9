//! Reads include/esker.h: the form cbindgen gives it, not C in general.
//!
//! A documented item is a `/** ... */` comment and the declaration after it, up to the `;` outside all braces.
//! Preprocessor lines inside a declaration are dropped: they only choose between spellings of one enum.

/// What a declaration is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Function(Function),
    Enum(Vec<Member>),
    Struct(Vec<Member>),
    Opaque,
    Callback,
    Macro,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    pub returns: String,
    pub parameters: Vec<Parameter>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    pub ctype: String,
    pub name: String,
}

/// A value of an enum ("ESKER_OK = 0") or a field of a struct ("uint32_t area").
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub text: String,
    pub doc: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    pub name: String,
    pub doc: String,
    /// The declaration in one line per member, for synopses.
    pub code: String,
    pub kind: Kind,
}

#[derive(Debug, Default)]
pub struct Header {
    /// The comment at the top of the file, without its stars.
    pub preface: String,
    pub items: Vec<Item>,
}

impl Header {
    pub fn functions(&self) -> impl Iterator<Item = (&Item, &Function)> {
        self.items.iter().filter_map(|item| match &item.kind {
            Kind::Function(function) => Some((item, function)),
            _ => None,
        })
    }

    pub fn item(&self, name: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.name == name)
    }
}

pub fn parse(text: &str) -> Header {
    let mut header = Header { preface: preface(text), items: Vec::new() };
    let mut rest = text;
    // Declarations without a comment are found too, so that the check can name them.
    while let Some((doc, declaration, after)) = next_declaration(rest) {
        header.items.extend(item(&doc, &declaration));
        rest = after;
    }
    header
}

fn preface(text: &str) -> String {
    let Some(comment) = text.strip_prefix("/* ").and_then(|t| t.split_once("*/")) else {
        return String::new();
    };
    let lines = comment.0.lines().map(|line| line.strip_prefix(" *").unwrap_or(line));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// The text of a `/** */` comment, its lines joined.
fn comment_text(comment: &str) -> String {
    let lines = comment.lines().map(|line| line.trim().trim_start_matches('*').trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The next comment (or none), the declaration after it without preprocessor lines, and the text after that.
fn next_declaration(text: &str) -> Option<(String, String, &str)> {
    let (mut doc, mut declaration, mut depth, mut at) = (String::new(), String::new(), 0_i32, 0);
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        at += line.len();
        let trimmed = line.trim();
        if trimmed.starts_with("/**") && depth == 0 {
            let mut comment = line.to_string();
            while !comment.contains("*/") {
                let line = lines.next()?;
                at += line.len();
                comment.push_str(line);
            }
            let inside = comment.trim().trim_start_matches("/**").trim_end_matches("*/");
            (doc, declaration) = (comment_text(inside), String::new());
        } else if trimmed.starts_with("#define ESKER_") && depth == 0 && !doc.is_empty() {
            return Some((doc, trimmed.to_string(), &text[at..]));
        } else if trimmed.starts_with('#') || trimmed.is_empty() {
            continue;
        } else if !declaration.is_empty() || starts_declaration(trimmed) {
            declaration.push_str(line);
            let code = trimmed.split("//").next().unwrap_or("");
            if !in_comment(&declaration) {
                depth += count(code, '{') - count(code, '}') + count(code, '(') - count(code, ')');
            }
            if depth == 0 && trimmed.ends_with(';') {
                return Some((doc, declaration, &text[at..]));
            }
        }
    }
    None
}

fn starts_declaration(line: &str) -> bool {
    ["ESKER_API", "typedef struct ", "typedef int32_t (", "typedef void (", "enum "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Whether the last line of `text` belongs to a comment.
fn in_comment(text: &str) -> bool {
    let last = text.lines().last().unwrap_or("").trim();
    last.starts_with("/*") || last.starts_with('*')
}

fn count(text: &str, wanted: char) -> i32 {
    text.chars().filter(|c| *c == wanted).count() as i32
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn item(doc: &str, declaration: &str) -> Option<Item> {
    let make = |name: &str, code: String, kind| {
        Some(Item { name: name.to_string(), doc: doc.to_string(), code, kind })
    };
    if let Some(rest) = declaration.strip_prefix("#define ") {
        let (name, _) = rest.split_once(' ')?;
        return make(name, declaration.to_string(), Kind::Macro);
    }
    let flat = words(declaration);
    if flat.starts_with("ESKER_API") {
        return function(doc, &flat);
    }
    if let Some((head, body)) = declaration.split_once('{') {
        let name = head.replace("typedef", "").replace("struct", "").replace("enum", "");
        let name = words(name.split(':').next()?);
        let is_enum = head.trim_start().starts_with("enum");
        let separator = if is_enum { ',' } else { ';' };
        let members = members(body.rsplit_once('}')?.0, separator);
        let word = if is_enum { "enum" } else { "struct" };
        let lines: String =
            members.iter().map(|member| format!("  {}{separator}\n", member.text)).collect();
        let code = format!("{word} {name} {{\n{lines}}};");
        return make(
            &name,
            code,
            if is_enum { Kind::Enum(members) } else { Kind::Struct(members) },
        );
    }
    if let Some((_, rest)) = flat.split_once("(*") {
        return make(rest.split_once(')')?.0, flat.clone(), Kind::Callback);
    }
    let name = flat.trim_end_matches(';').rsplit(' ').next()?;
    // `typedef int32_t esker_status;` and its like belong to the enum before them.
    flat.starts_with("typedef struct").then(|| make(name, flat.clone(), Kind::Opaque))?
}

fn members(body: &str, separator: char) -> Vec<Member> {
    let (mut found, mut doc, mut comment) = (Vec::new(), String::new(), String::new());
    for line in body.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if !comment.is_empty() || line.starts_with("/*") {
            comment.push_str(line);
            comment.push('\n');
            if line.ends_with("*/") {
                let inside = comment.trim().trim_start_matches("/**").trim_end_matches("*/");
                doc = comment_text(inside);
                comment.clear();
            }
        } else {
            let text = line.trim_end_matches(separator).to_string();
            found.push(Member { text, doc: std::mem::take(&mut doc) });
        }
    }
    found
}

fn function(doc: &str, flat: &str) -> Option<Item> {
    let code = flat.replace("ESKER_API ", "").replace("ESKER_MUST_USE ", "");
    let (head, tail) = code.split_once('(')?;
    let (returns, name) = split_name(head);
    let list = tail.rsplit_once(')')?.0.trim();
    let parameters = match list {
        "void" | "" => Vec::new(),
        list => list
            .split(',')
            .map(|parameter| {
                let (ctype, name) = split_name(parameter.trim());
                Parameter { ctype: ctype.replace("struct ", ""), name }
            })
            .collect(),
    };
    let kind = Kind::Function(Function { returns, parameters });
    Some(Item { name, doc: doc.to_string(), code: code.replace("struct ", ""), kind })
}

/// "const char *text" is ("const char *", "text").
fn split_name(text: &str) -> (String, String) {
    let at = text.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |i| i + 1);
    (text[..at].trim().to_string(), text[at..].to_string())
}
