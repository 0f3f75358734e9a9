//! The one error type of the crate.
//!
//! An [`Error`] is one boxed pointer, so `Result<()>` fits a register. Its kind maps one to one to a C
//! status; the detail says what is wrong and names the thing: path, option, limit, file or offset.
//!
//! Invariants
//! 1. "Not found" is never an error: absence is `Option`.
//! 2. Context is added once, where it is known; errors are logged at most once, at the top.

use std::fmt;

/// What kind of failure; one C status each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Invalid,
    Misuse,
    Limit,
    Unsupported,
    AbiMismatch,
    Io,
    NoSpace,
    NoMem,
    Corrupt,
    Format,
    Comparator,
    Missing,
    Present,
    Locked,
    ReadOnly,
    Busy,
    Timeout,
    Cancelled,
    Closed,
    Forked,
    Poisoned,
    Panic,
}

/// Which part of the database an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    Argument,
    Option,
    Directory,
    Lock,
    Wal,
    Manifest,
    Table,
    Batch,
    Callback,
    Engine,
}

/// Everything known about a failure.
#[derive(Clone, Debug)]
pub struct Detail {
    pub kind: ErrorKind,
    pub area: Area,
    /// errno of the failed system call, 0 when there was none.
    pub os_errno: i32,
    /// Number of the file concerned, 0 when none.
    pub file_number: u64,
    /// Byte offset in that file, or in the batch.
    pub offset: u64,
    /// The figure the message speaks of: a limit, a count, a pid.
    pub value: u64,
    /// Entry in the database's error ring, 0 when it did not enter it.
    pub number: u64,
    /// The same call may succeed later without intervention.
    pub retryable: bool,
    pub message: String,
}

/// A failure: one word, cheap to return.
#[derive(Clone)]
pub struct Error(Box<Detail>);

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    #[cold]
    pub fn new(kind: ErrorKind, area: Area, message: impl Into<String>) -> Error {
        let message = message.into();
        Error(Box::new(Detail {
            kind,
            area,
            os_errno: 0,
            file_number: 0,
            offset: 0,
            value: 0,
            number: 0,
            retryable: false,
            message,
        }))
    }

    pub fn invalid(area: Area, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, area, message)
    }

    /// Damaged stored bytes: always with file and offset.
    pub fn corrupt(area: Area, file: u64, offset: u64, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, area, message).with_file(file).with_offset(offset)
    }

    pub fn no_memory(area: Area, bytes: usize) -> Error {
        Error::new(ErrorKind::NoMem, area, format!("cannot allocate {bytes} bytes"))
            .with_value(bytes as u64)
    }

    pub fn with_errno(mut self, errno: i32) -> Error {
        self.0.os_errno = errno;
        self
    }

    pub fn with_file(mut self, number: u64) -> Error {
        self.0.file_number = number;
        self
    }

    pub fn with_offset(mut self, offset: u64) -> Error {
        self.0.offset = offset;
        self
    }

    pub fn with_value(mut self, value: u64) -> Error {
        self.0.value = value;
        self
    }

    pub fn with_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    pub fn with_number(mut self, number: u64) -> Error {
        self.0.number = number;
        self
    }

    pub fn retryable(mut self) -> Error {
        self.0.retryable = true;
        self
    }

    /// Puts what was being done before the message: "flushing memtable: ...".
    pub fn context(mut self, what: &str) -> Error {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    pub fn detail(&self) -> &Detail {
        &self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}
