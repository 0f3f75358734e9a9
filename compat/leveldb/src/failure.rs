//! How esker's errors read to a caller of LevelDB: one of its five prefixes, then what is wrong.

use std::ffi::{CStr, c_char, c_void};

use crate::text::{malloc_text, shown};
use esker::capi::esker_status::{self, *};
use esker::capi::*;

/// An error on its way to the caller.
#[derive(Clone)]
pub struct Failure {
    prefix: &'static str,
    pub message: String,
}

pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    pub fn invalid(message: String) -> Failure {
        Failure { prefix: "Invalid argument", message }
    }

    pub fn io(message: String) -> Failure {
        Failure { prefix: "IO error", message }
    }

    /// A status and its sentence, where esker gives no more.
    pub fn of(status: esker_status) -> Failure {
        // SAFETY: the library's texts are static and end in NUL.
        let text = unsafe { CStr::from_ptr(esker_status_text(status as i32)) };
        Failure { prefix: prefix_of(status), message: text.to_string_lossy().into_owned() }
    }

    /// A status and the message that came with it.
    pub fn detailed(status: esker_status, error: &esker_error) -> Failure {
        if error.status != status as i32 {
            return Failure::of(status);
        }
        // SAFETY: esker ends the message in NUL, inside the array.
        let text = unsafe { CStr::from_ptr(error.message.as_ptr()) };
        Failure { prefix: prefix_of(status), message: text.to_string_lossy().into_owned() }
    }

    /// A status with the newest detail of the database, iterator or batch.
    ///
    /// # Safety
    /// `handle` is a handle of esker or NULL.
    pub unsafe fn last(status: esker_status, handle: *const c_void) -> Failure {
        let mut error = fresh_error();
        // SAFETY: a handle, checked by esker, and an error that is ours.
        match unsafe { esker_last_error(handle, &mut error) } {
            ESKER_OK => Failure::detailed(status, &error),
            _ => Failure::of(status),
        }
    }
}

/// LevelDB's word for a status.
fn prefix_of(status: esker_status) -> &'static str {
    match status {
        ESKER_NOT_FOUND => "NotFound",
        ESKER_CORRUPT => "Corruption",
        ESKER_UNSUPPORTED => "Not implemented",
        ESKER_INVALID | ESKER_MISUSE | ESKER_LIMIT | ESKER_ABI_MISMATCH | ESKER_FORMAT
        | ESKER_COMPARATOR | ESKER_MISSING | ESKER_PRESENT => "Invalid argument",
        _ => "IO error",
    }
}

/// An error for esker to fill.
pub fn fresh_error() -> esker_error {
    let mut error: esker_error = zeroed();
    error.struct_size = size_of::<esker_error>() as u32;
    error
}

/// Ok, or the failure with what esker said.
pub fn check(status: esker_status, error: &esker_error) -> Outcome<()> {
    match status {
        ESKER_OK => Ok(()),
        status => Err(Failure::detailed(status, error)),
    }
}

/// What went well, or None with the error in its slot: an old text there is freed; success leaves the slot alone.
///
/// # Safety
/// `slot` is NULL, or holds NULL or a text from malloc.
pub unsafe fn report<T>(slot: *mut *mut c_char, outcome: Outcome<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(failure) => {
            // SAFETY: as c.h asks of the slot.
            if let Some(slot) = unsafe { slot.as_mut() } {
                // SAFETY: NULL or from malloc.
                unsafe { libc::free((*slot).cast()) };
                *slot = malloc_text(&format!("{}: {}", failure.prefix, failure.message));
            }
            None
        }
    }
}

/// A failure that names the path in LevelDB's way.
///
/// # Safety
/// `path` is NULL or ends in NUL.
pub unsafe fn at_path(path: *const c_char, rest: &str) -> String {
    // SAFETY: the caller's promise.
    format!("{}: {rest}", unsafe { shown(path) })
}
