//! Statuses: the numbers every C function returns, and how errors map to them.
//!
//! Invariants
//! 1. Numbers are frozen; new ones are only added.
//! 2. Each `ErrorKind` has exactly one status below zero.
#![allow(non_camel_case_types, reason = "names of the C header")]
#![allow(dead_code, reason = "some statuses are reserved or only ever made by number")]

use crate::error::{Area, Error, ErrorKind};
use crate::ffi::values::{esker_area, esker_error_flags};
use std::ffi::CStr;

/// Result of a call. Values are frozen; new ones are only added.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum esker_status {
    /// Done.
    ESKER_OK = 0,
    /// The key is absent (never written, or deleted).
    ESKER_NOT_FOUND = 1,
    /// The range, batch or list has no further element.
    ESKER_DONE = 2,
    /// The caller's buffer is too small; the size needed is reported.
    ESKER_TOO_SMALL = 3,
    /// Some of the parts could not be delivered; each part has its own status.
    ESKER_PARTIAL = 4,
    /// Not yet.
    ESKER_PENDING = 5,
    /// Reserved for conditional writes: the key is present.
    ESKER_EXISTS = 6,
    /// Reserved for conditional writes: the value is not the expected one.
    ESKER_MISMATCH = 7,

    /// An argument is outside its documented range.
    ESKER_INVALID = -1,
    /// NULL, freed or wrong-type handle; a call that overlaps another on a one-thread handle.
    ESKER_MISUSE = -2,
    /// A key, value, batch or count is over its limit; `value` of the error holds the limit.
    ESKER_LIMIT = -3,
    /// Not available in this build, on this file system or in this order of keys.
    ESKER_UNSUPPORTED = -4,
    /// Header and library, or a struct_size, do not fit.
    ESKER_ABI_MISMATCH = -5,

    /// The operating system reported an error; see os_errno.
    ESKER_IO = -10,
    /// No space (ENOSPC, EDQUOT, EFBIG). Reads go on.
    ESKER_NOSPACE = -11,
    /// Memory could not be allocated.
    ESKER_NOMEM = -12,
    /// Stored bytes are damaged; file and offset are in the error.
    ESKER_CORRUPT = -13,
    /// The directory was written by a newer or foreign format.
    ESKER_FORMAT = -14,
    /// The database was created with another key order, or its comparator contradicts itself.
    ESKER_COMPARATOR = -15,
    /// There is no database at the path (and CREATE was not given), or the path is not a directory.
    ESKER_MISSING = -16,
    /// There is a database at the path already, and EXCLUSIVE was given.
    ESKER_PRESENT = -17,
    /// The database is open elsewhere, in this or another process; the holder's pid is in `value`
    /// where known.
    ESKER_LOCKED = -18,
    /// The directory or the medium is read-only.
    ESKER_READONLY = -19,

    /// The database has live children; nothing was changed. Their number is in `value`.
    ESKER_BUSY = -20,
    /// Reserved for transactions.
    ESKER_CONFLICT = -21,
    /// The caller's time limit passed.
    ESKER_TIMEOUT = -22,
    /// A callback of the caller asked to stop, or the database was closed meanwhile.
    ESKER_CANCELLED = -23,
    /// The database of this handle has been closed.
    ESKER_CLOSED = -24,
    /// The call was made in a forked child of the process that loaded esker.
    ESKER_FORKED = -25,
    /// Writes were stopped by an earlier error, which the message names. Reads work.
    ESKER_POISONED = -26,
    /// A bug in esker was contained; the database is POISONED for good. Please report the message.
    ESKER_PANIC = -27,
    /// A callback returned a value it must not return.
    ESKER_CALLBACK = -28,
}

use esker_status::*;

/// The status of an error.
pub fn status_of(error: &Error) -> esker_status {
    match error.kind() {
        ErrorKind::Invalid => ESKER_INVALID,
        ErrorKind::Misuse => ESKER_MISUSE,
        ErrorKind::Limit => ESKER_LIMIT,
        ErrorKind::Unsupported => ESKER_UNSUPPORTED,
        ErrorKind::AbiMismatch => ESKER_ABI_MISMATCH,
        ErrorKind::Io => ESKER_IO,
        ErrorKind::NoSpace => ESKER_NOSPACE,
        ErrorKind::NoMem => ESKER_NOMEM,
        ErrorKind::Corrupt => ESKER_CORRUPT,
        ErrorKind::Format => ESKER_FORMAT,
        ErrorKind::Comparator => ESKER_COMPARATOR,
        ErrorKind::Missing => ESKER_MISSING,
        ErrorKind::Present => ESKER_PRESENT,
        ErrorKind::Locked => ESKER_LOCKED,
        ErrorKind::ReadOnly => ESKER_READONLY,
        ErrorKind::Busy => ESKER_BUSY,
        ErrorKind::Timeout => ESKER_TIMEOUT,
        ErrorKind::Cancelled => ESKER_CANCELLED,
        ErrorKind::Closed => ESKER_CLOSED,
        ErrorKind::Forked => ESKER_FORKED,
        ErrorKind::Poisoned => ESKER_POISONED,
        ErrorKind::Panic => ESKER_PANIC,
    }
}

/// The `esker_area` of an error.
pub fn area_of(error: &Error) -> u32 {
    let area = match error.detail().area {
        Area::Argument => esker_area::ESKER_AREA_ARGUMENT,
        Area::Option => esker_area::ESKER_AREA_OPTION,
        Area::Directory => esker_area::ESKER_AREA_DIRECTORY,
        Area::Lock => esker_area::ESKER_AREA_LOCK,
        Area::Wal => esker_area::ESKER_AREA_WAL,
        Area::Manifest => esker_area::ESKER_AREA_MANIFEST,
        Area::Table => esker_area::ESKER_AREA_TABLE,
        Area::Batch => esker_area::ESKER_AREA_BATCH,
        Area::Callback => esker_area::ESKER_AREA_CALLBACK,
        Area::Engine => esker_area::ESKER_AREA_ENGINE,
    };
    area as u32
}

/// The `esker_error_flags` of an error.
pub fn flags_of(error: &Error) -> u32 {
    let detail = error.detail();
    let mut flags = 0;
    if detail.retryable || detail.kind == ErrorKind::Timeout {
        flags |= esker_error_flags::ESKER_ERROR_RETRYABLE as u32;
    }
    if matches!(detail.kind, ErrorKind::Poisoned | ErrorKind::Panic) {
        flags |= esker_error_flags::ESKER_ERROR_DB_POISONED as u32;
    }
    // A damaged batch in the caller's memory is CORRUPT too, but nothing stored is at risk.
    if detail.kind == ErrorKind::Corrupt && detail.area != Area::Batch {
        flags |= esker_error_flags::ESKER_ERROR_DATA_AT_RISK as u32;
    }
    let caller_bug = match detail.kind {
        ErrorKind::Misuse | ErrorKind::AbiMismatch | ErrorKind::Forked => true,
        ErrorKind::Invalid => detail.area == Area::Argument,
        _ => false,
    };
    if caller_bug {
        flags |= esker_error_flags::ESKER_ERROR_CALLER_BUG as u32;
    }
    flags
}

struct Described {
    status: esker_status,
    name: &'static CStr,
    text: &'static CStr,
}

/// Shortens a row of the table below.
macro_rules! described {
    ($($status:ident $name:literal $text:literal,)*) => {
        &[$(Described { status: $status, name: $name, text: $text },)*]
    };
}

static DESCRIBED: &[Described] = described! {
    ESKER_OK c"ESKER_OK" c"Done.",
    ESKER_NOT_FOUND c"ESKER_NOT_FOUND" c"The key is absent.",
    ESKER_DONE c"ESKER_DONE" c"There is no further element.",
    ESKER_TOO_SMALL c"ESKER_TOO_SMALL" c"The buffer is too small; the size needed is reported.",
    ESKER_PARTIAL c"ESKER_PARTIAL" c"Some of the parts could not be delivered.",
    ESKER_PENDING c"ESKER_PENDING" c"Not yet.",
    ESKER_EXISTS c"ESKER_EXISTS" c"The key is present.",
    ESKER_MISMATCH c"ESKER_MISMATCH" c"The value is not the expected one.",
    ESKER_INVALID c"ESKER_INVALID" c"An argument is outside its documented range.",
    ESKER_MISUSE c"ESKER_MISUSE" c"The handle is NULL, freed, of another type or in use by another call.",
    ESKER_LIMIT c"ESKER_LIMIT" c"A key, value, batch or count is over its limit.",
    ESKER_UNSUPPORTED c"ESKER_UNSUPPORTED" c"Not available in this build, on this file system or in this order of keys.",
    ESKER_ABI_MISMATCH c"ESKER_ABI_MISMATCH" c"Header and library, or a struct_size, do not fit.",
    ESKER_IO c"ESKER_IO" c"The operating system reported an error.",
    ESKER_NOSPACE c"ESKER_NOSPACE" c"There is no space left.",
    ESKER_NOMEM c"ESKER_NOMEM" c"Memory could not be allocated.",
    ESKER_CORRUPT c"ESKER_CORRUPT" c"Stored bytes are damaged.",
    ESKER_FORMAT c"ESKER_FORMAT" c"The bytes were written by a newer or foreign format.",
    ESKER_COMPARATOR c"ESKER_COMPARATOR" c"The database was created with another key order, or its comparator contradicts itself.",
    ESKER_MISSING c"ESKER_MISSING" c"There is no database at the path.",
    ESKER_PRESENT c"ESKER_PRESENT" c"There is a database at the path already.",
    ESKER_LOCKED c"ESKER_LOCKED" c"The database is open elsewhere.",
    ESKER_READONLY c"ESKER_READONLY" c"The directory or the medium is read-only.",
    ESKER_BUSY c"ESKER_BUSY" c"The database has live iterators or snapshots.",
    ESKER_CONFLICT c"ESKER_CONFLICT" c"The transaction conflicts with another one.",
    ESKER_TIMEOUT c"ESKER_TIMEOUT" c"The time limit passed.",
    ESKER_CANCELLED c"ESKER_CANCELLED" c"The work was asked to stop.",
    ESKER_CLOSED c"ESKER_CLOSED" c"The database of this handle has been closed.",
    ESKER_FORKED c"ESKER_FORKED" c"The call was made in a forked child.",
    ESKER_POISONED c"ESKER_POISONED" c"Writes were stopped by an earlier error.",
    ESKER_PANIC c"ESKER_PANIC" c"A bug in esker was contained; please report it.",
    ESKER_CALLBACK c"ESKER_CALLBACK" c"A callback returned a value it must not return.",
};

fn described(number: i32) -> Option<&'static Described> {
    DESCRIBED.iter().find(|row| row.status as i32 == number)
}

/// The name of any number.
pub fn name_of(number: i32) -> &'static CStr {
    described(number).map_or(c"ESKER_UNKNOWN", |row| row.name)
}

/// A sentence about any number.
pub fn text_of(number: i32) -> &'static CStr {
    described(number).map_or(c"Not a status of this version of esker.", |row| row.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_own_number_and_name() {
        let mut numbers: Vec<i32> = DESCRIBED.iter().map(|row| row.status as i32).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), DESCRIBED.len());
        for row in DESCRIBED {
            assert_eq!(row.name.to_str(), Ok(format!("{:?}", row.status).as_str()));
        }
        assert_eq!(name_of(-6), c"ESKER_UNKNOWN");
        assert_eq!(name_of(i32::MIN), c"ESKER_UNKNOWN");
    }

    #[test]
    fn every_kind_of_error_has_a_status_of_the_same_name() {
        use ErrorKind::*;
        let kinds = [
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
        ];
        for kind in kinds {
            let status = status_of(&Error::new(kind, Area::Engine, ""));
            let plain = |text: String| text.to_uppercase().replace('_', "");
            let name = format!("{status:?}");
            let name = name.strip_prefix("ESKER_").expect("every name begins so");
            assert_eq!(plain(name.to_owned()), plain(format!("{kind:?}")));
            assert!((status as i32) < 0, "{kind:?} is an error");
        }
    }

    #[test]
    fn flags_tell_whose_fault_it_is() {
        let of = |kind, area| flags_of(&Error::new(kind, area, ""));
        let bug = esker_error_flags::ESKER_ERROR_CALLER_BUG as u32;
        let risk = esker_error_flags::ESKER_ERROR_DATA_AT_RISK as u32;
        assert_eq!(of(ErrorKind::Misuse, Area::Argument), bug);
        assert_eq!(of(ErrorKind::Invalid, Area::Argument), bug);
        assert_eq!(of(ErrorKind::Invalid, Area::Directory), 0);
        assert_eq!(of(ErrorKind::Corrupt, Area::Table), risk);
        assert_eq!(of(ErrorKind::Corrupt, Area::Batch), 0);
    }
}
