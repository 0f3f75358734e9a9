//! Reads src/ the way `layering` and `tidy` need it: without comments, strings and test modules.
//!
//! This is a scanner, not a parser: it knows Rust's comments, literals and brackets, which is enough to
//! count lines and to find names, and needs no crate.

use std::path::{Path, PathBuf};

/// One file under src/. Both blanked texts have the length and the line breaks of the original.
pub struct SourceFile {
    /// Relative to src/, with `/` and `.rs`.
    pub path: String,
    pub text: String,
    /// Comments and the insides of literals are spaces.
    pub code: String,
    /// As `code`, and items under `#[cfg(test)]` are spaces too.
    pub shipped: String,
}

impl SourceFile {
    pub fn new(path: &str, text: &str) -> SourceFile {
        let code = blank_comments_and_literals(text);
        let shipped = blank_tests(&code);
        SourceFile { path: path.to_string(), text: text.to_string(), code, shipped }
    }
}

/// The root of the checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the checkout as text.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Every .rs file under src/, by path.
pub fn sources() -> Vec<SourceFile> {
    files_below("src", "rs")
        .iter()
        .map(|path| SourceFile::new(path.strip_prefix("src/").expect("below src"), &read(path)))
        .collect()
}

/// Paths, relative to the checkout and sorted, of all files below `folder` that end in `.extension`.
pub fn files_below(folder: &str, extension: &str) -> Vec<String> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the checkout") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root().join(folder), extension, &mut found);
    let mut paths: Vec<String> = found
        .iter()
        .map(|path| path.strip_prefix(root()).expect("below the root").display().to_string())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no .{extension} file below {folder}");
    paths
}

/// Number of the line, from 1, that holds the byte at `offset`.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|&&b| b == b'\n').count() + 1
}

/// Offset just behind the bracket that closes the one at `open`.
pub fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (i, b) in code.bytes().enumerate().skip(open) {
        match b {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    code.len()
}

/// Offsets where `word` stands alone, not as part of a longer name.
pub fn words(code: &str, word: &str) -> Vec<usize> {
    let is_name = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = code.as_bytes();
    let starts_name = is_name(word.as_bytes().first());
    let ends_name = is_name(word.as_bytes().last());
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| !(starts_name && at > 0 && is_name(bytes.get(at - 1))))
        .filter(|&at| !(ends_name && is_name(bytes.get(at + word.len()))))
        .collect()
}

fn blank(out: &mut [u8]) {
    for b in out.iter_mut().filter(|b| **b != b'\n') {
        *b = b' ';
    }
}

fn blank_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = at + token_len(rest, at.checked_sub(1).map(|i| bytes[i]));
        match bytes[at] {
            b'/' if end > at + 1 => blank(&mut out[at..end]),
            b'"' | b'\'' if end > at + 1 => blank(&mut out[at + 1..end - 1]),
            b'r' | b'b' | b'c' if end > at + 1 => blank(&mut out[at..end]),
            _ => {}
        }
        at = end;
    }
    String::from_utf8(out).expect("only whole literals were blanked")
}

/// Length of the comment or literal at the start of `rest`; of one character for everything else.
fn token_len(rest: &str, before: Option<u8>) -> usize {
    let one = rest.chars().next().map_or(1, char::len_utf8);
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment_len(rest);
    }
    if rest.starts_with('"') {
        return string_len(rest);
    }
    if rest.starts_with('\'') {
        return char_len(rest).unwrap_or(one);
    }
    let inside_name = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !inside_name && rest.starts_with(['r', 'b', 'c']) {
        return prefixed_len(rest).unwrap_or(one);
    }
    one
}

fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string_len(rest: &str) -> usize {
    let mut escaped = false;
    for (i, b) in rest.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return i + 1,
            _ => {}
        }
    }
    rest.len()
}

/// None for a lifetime.
fn char_len(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(i, _)| i + 1);
    }
    chars.next().filter(|(_, c)| *c == '\'').map(|(i, _)| i + 1)
}

/// r"..", r#".."#, b"..", br"..", b'.', c"..": None when it is just a name.
fn prefixed_len(rest: &str) -> Option<usize> {
    let letters = rest.bytes().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let after = &rest[letters..];
    if letters > 2 {
        return None;
    }
    if rest[..letters].contains('r') {
        let hashes = after.bytes().take_while(|b| *b == b'#').count();
        let end = format!("\"{}", &after[..hashes]);
        let body = after[hashes..].strip_prefix('"')?;
        return body.find(&end).map(|i| letters + hashes + 1 + i + end.len());
    }
    match after.bytes().next() {
        Some(b'"') => Some(letters + string_len(after)),
        Some(b'\'') if &rest[..letters] == "b" => char_len(after).map(|n| letters + n),
        _ => None,
    }
}

fn blank_tests(code: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let open = code[at..].find(['{', ';']).map_or(code.len() - 1, |i| at + i);
        let end = if code.as_bytes()[open] == b'{' { closing(code, open) } else { open + 1 };
        blank(&mut out[at..end]);
    }
    String::from_utf8(out).expect("items begin and end at ASCII characters")
}

#[test]
fn comments_literals_and_test_modules_are_blanked() {
    let text = r##"//! crate::a
use crate::b; /* crate::c /* nested */ crate::d */
const S: &str = "crate::e \" crate::f"; const R: &str = r#"crate::g " "#;
fn f<'a>(x: &'a str) -> char { if x == "{" { '"' } else { '\'' } }
#[cfg(test)]
mod tests { use crate::h; }
const B: &[u8] = b"crate::i"; fn bar() {} const C: u8 = b'{';
"##;
    let file = SourceFile::new("x.rs", text);
    assert_eq!(file.code.len(), text.len());
    assert_eq!(file.code.matches("crate::").count(), 2);
    assert!(file.code.contains("crate::b") && file.code.contains("crate::h"));
    assert!(file.shipped.contains("crate::b") && !file.shipped.contains("crate::h"));
    assert!(file.shipped.contains("fn bar() {}"));
    assert_eq!(file.code.matches('{').count(), file.code.matches('}').count());
}

#[test]
fn words_are_whole_names() {
    assert_eq!(words("unsafe fn not_unsafe() { unsafe {} }", "unsafe").len(), 2);
    assert_eq!(words("libc::open(libcx::open)", "libc::"), vec![0]);
}
