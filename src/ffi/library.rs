//! The library itself: versions and texts of statuses.
#![allow(unsafe_code, reason = "exported names")]

use crate::ffi::arguments::check_flags;
use crate::ffi::boundary::{detailed, prepare};
use crate::ffi::status::{esker_status, name_of, text_of};
use crate::ffi::structs::{ESKER_ABI, ESKER_VERSION, esker_error};
use crate::selftest;
use std::ffi::{CStr, c_char};

const VERSION_TEXT: &CStr = c"0.1.0";

/// Gives the version of the library in use, in the form of ESKER_VERSION. Cannot fail. [any-thread]
/// [callback-safe]
#[unsafe(no_mangle)]
pub extern "C" fn esker_version() -> u32 {
    ESKER_VERSION
}

/// The same as text, "0.1.0", for messages. Static. Cannot fail. [any-thread] [callback-safe]
#[unsafe(no_mangle)]
pub extern "C" fn esker_version_text() -> *const c_char {
    VERSION_TEXT.as_ptr()
}

/// Gives the ABI of the library in use, in the form of ESKER_ABI. Cannot fail. [any-thread]
/// [callback-safe]
#[unsafe(no_mangle)]
pub extern "C" fn esker_abi() -> u32 {
    ESKER_ABI
}

/// Says whether a program compiled with a header of this ABI and version can use this library. Pass
/// ESKER_ABI and ESKER_VERSION. For users of dlopen; linked programs are covered by the SONAME.
/// ABI_MISMATCH when the ABI differs or the library is older than the header. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn esker_abi_check(abi: u32, version: u32) -> esker_status {
    if abi == ESKER_ABI && version <= ESKER_VERSION {
        esker_status::ESKER_OK
    } else {
        esker_status::ESKER_ABI_MISMATCH
    }
}

/// Names a status, "ESKER_NOT_FOUND". Any number may be passed; unknown ones give "ESKER_UNKNOWN".
/// Static. [any-thread] [callback-safe]
#[unsafe(no_mangle)]
pub extern "C" fn esker_status_name(status: i32) -> *const c_char {
    name_of(status).as_ptr()
}

/// Gives one English sentence about a status, for people. Static, never NULL. [any-thread]
/// [callback-safe]
#[unsafe(no_mangle)]
pub extern "C" fn esker_status_text(status: i32) -> *const c_char {
    text_of(status).as_ptr()
}

/// Checks this build on this machine: golden vectors of checksum, hash, filters, coding and batch encoding,
/// vector code against its scalar twin, a put-get-iterate round trip in memory. Takes well under a second,
/// touches no file. `flags` must be 0. PANIC or CORRUPT with a message naming the failed check.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_selftest(flags: u32, err: *mut esker_error) -> esker_status {
    prepare();
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        detailed(err, || {
            check_flags(flags, 0, "flags of esker_selftest()")?;
            selftest::run()?;
            Ok(esker_status::ESKER_OK)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_of_the_package() {
        assert_eq!(VERSION_TEXT.to_str(), Ok(env!("CARGO_PKG_VERSION")));
        let parts: Vec<u32> = env!("CARGO_PKG_VERSION")
            .split('.')
            .map(|part| part.parse().expect("number"))
            .collect();
        assert_eq!(parts[0] * 1_000_000 + parts[1] * 1000 + parts[2], ESKER_VERSION);
    }

    #[test]
    fn a_newer_header_or_another_abi_does_not_fit() {
        assert_eq!(esker_abi_check(ESKER_ABI, ESKER_VERSION), esker_status::ESKER_OK);
        let wrong = esker_status::ESKER_ABI_MISMATCH;
        assert_eq!(esker_abi_check(ESKER_ABI, ESKER_VERSION + 1), wrong);
        assert_eq!(esker_abi_check(ESKER_ABI + 1, ESKER_VERSION), wrong);
    }
}
