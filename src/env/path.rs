//! Names of the files of a database.
//!
//! Invariants
//! 1. `parse(format(x)) == x`; a name that is not exactly what `format` writes is `None`.
//! 2. Files with unknown names are left alone, always.

use crate::types::FileNum;

/// What a name in the directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    Lock,
    Log(FileNum),
    Table(FileNum),
    Manifest(FileNum),
    /// Copy of a log that point-in-time recovery gave up; nobody reads it.
    DamagedLog(FileNum),
    /// A manifest that was being written; always a leftover.
    ManifestTemp(FileNum),
}

pub const LOCK_NAME: &str = "LOCK";

impl FileKind {
    pub fn name(self) -> String {
        match self {
            FileKind::Lock => LOCK_NAME.to_owned(),
            FileKind::Log(n) => format!("{n}.wal"),
            FileKind::DamagedLog(n) => format!("{n}.wal.damaged"),
            FileKind::Table(n) => format!("{n}.sst"),
            FileKind::Manifest(n) => format!("MANIFEST-{n}"),
            FileKind::ManifestTemp(n) => format!("MANIFEST-{n}.tmp"),
        }
    }

    pub fn parse(name: &[u8]) -> Option<FileKind> {
        let text = std::str::from_utf8(name).ok()?;
        let kind = if text == LOCK_NAME {
            FileKind::Lock
        } else if let Some(rest) = text.strip_prefix("MANIFEST-") {
            match rest.strip_suffix(".tmp") {
                Some(digits) => FileKind::ManifestTemp(number(digits)?),
                None => FileKind::Manifest(number(rest)?),
            }
        } else if let Some(digits) = text.strip_suffix(".wal") {
            FileKind::Log(number(digits)?)
        } else if let Some(digits) = text.strip_suffix(".wal.damaged") {
            FileKind::DamagedLog(number(digits)?)
        } else if let Some(digits) = text.strip_suffix(".sst") {
            FileKind::Table(number(digits)?)
        } else {
            return None;
        };
        // Only the one spelling counts: "1.sst" or a number with extra zeros is a stranger's file.
        (kind.name() == text).then_some(kind)
    }

    /// The number in the name; 0 for LOCK.
    pub fn number(self) -> FileNum {
        match self {
            FileKind::Lock => FileNum(0),
            FileKind::Log(n)
            | FileKind::DamagedLog(n)
            | FileKind::Table(n)
            | FileKind::Manifest(n)
            | FileKind::ManifestTemp(n) => n,
        }
    }
}

fn number(digits: &str) -> Option<FileNum> {
    if digits.len() < 10 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(FileNum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for n in [1, 9_999_999_999, 10_000_000_000, u64::MAX] {
            for kind in [
                FileKind::Log(FileNum(n)),
                FileKind::DamagedLog(FileNum(n)),
                FileKind::Table(FileNum(n)),
                FileKind::Manifest(FileNum(n)),
                FileKind::ManifestTemp(FileNum(n)),
                FileKind::Lock,
            ] {
                assert_eq!(FileKind::parse(kind.name().as_bytes()), Some(kind));
            }
        }
    }

    #[test]
    fn strangers_are_left_alone() {
        for name in [
            "1.sst",
            "00000000001.sst",
            "+000000001.sst",
            "0000000001.sst~",
            "CURRENT",
            "MANIFEST-1",
            "lock",
        ] {
            assert_eq!(FileKind::parse(name.as_bytes()), None, "{name}");
        }
        assert_eq!(FileKind::parse(&[0xff, 0xfe]), None);
    }
}
