//! Test vectors live in docs/FORMAT.md: a fenced block that starts with "```hex NAME" holds bytes, two
//! digits each, spaces and line ends ignored, "#" starts a comment. This reads one by its name.

use std::path::PathBuf;

/// Bytes of the vector called `name` in docs/FORMAT.md.
pub fn vector(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/FORMAT.md");
    let text = std::fs::read_to_string(&path).expect("docs/FORMAT.md is in the checkout");
    let start = format!("```hex {name}");
    let mut lines = text.lines().skip_while(|line| line.trim() != start);
    assert!(lines.next().is_some(), "docs/FORMAT.md has no vector {name:?}");
    let mut digits = String::new();
    for line in lines.take_while(|line| line.trim() != "```") {
        let data = line.split('#').next().unwrap_or("");
        digits.extend(data.chars().filter(|c| !c.is_whitespace()));
    }
    assert!(digits.len() % 2 == 0, "vector {name:?} has half a byte");
    (0..digits.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&digits[i..i + 2], 16).expect("hex digits"))
        .collect()
}
