//! Option objects and the description of every option.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::error::Result;
use crate::ffi::arguments::{
    bytes, c_text, hand_out, invalid, no_handle, output, output_struct, write_text,
};
use crate::ffi::boundary::{Answer, detailed, plain, prepare};
use crate::ffi::comparator::order_of;
use crate::ffi::handles::{OptionsHandle, claim, enter_env, publish};
use crate::ffi::registry::{self, Claimed};
use crate::ffi::status::esker_status::{self, ESKER_NOT_FOUND, ESKER_OK};
use crate::ffi::structs::{esker_error, esker_option_info, esker_options, zeroed};
use crate::ffi::values::{esker_option, esker_option_flags, esker_option_type};
use crate::options::Options;
use crate::options::table::{OPTION_TABLE, OptionKind, check_object, find_name};
use crate::shared::EnvOption;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// Longest text of one option or of many.
const TEXT_LEN_MAX: usize = 1 << 20;

fn claim_options(options: *const esker_options) -> Result<Claimed<OptionsHandle>> {
    claim(options, "the option handle")
}

/// A copy of the caller's options; NULL gives the defaults.
pub fn copy_options(options: *const esker_options) -> Result<Options> {
    match options.is_null() {
        true => Ok(Options::default()),
        false => Ok(claim_options(options)?.0.clone()),
    }
}

/// Makes an option object with every option at its default. Free it with esker_options_free().
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_new(options: *mut *mut esker_options) -> esker_status {
    prepare();
    // SAFETY: `options` is NULL or writable, as the header asks.
    unsafe {
        no_handle(options);
        plain(|| {
            hand_out(options, || {
                Ok(publish(registry::reserve()?, OptionsHandle(Options::default())))
            })
        })
    }
}

/// Makes an independent copy, env and comparator inside counted. [one-thread-at-a-time on the source]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_clone(
    options: *const esker_options,
    copy: *mut *mut esker_options,
) -> esker_status {
    // SAFETY: `copy` is NULL or writable, as the header asks.
    unsafe {
        no_handle(copy);
        plain(|| {
            let source = claim_options(options)?;
            hand_out(copy, || Ok(publish(registry::reserve()?, OptionsHandle(source.0.clone()))))
        })
    }
}

/// Frees an option object; databases opened with it are not affected. NULL is allowed and OK.
/// [one-thread-at-a-time]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_options_free(options: *mut esker_options) -> esker_status {
    plain(|| {
        if !options.is_null() {
            drop(claim_options(options)?.remove());
        }
        Ok(ESKER_OK)
    })
}

/// Sets an option of type U64. INVALID for an unknown id, another type or a value outside its range; the
/// message names the option and its range, and the option keeps its value. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_set_u64(
    options: *mut esker_options,
    id: u32,
    value: u64,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        detailed(err, || {
            claim_options(options)?.0.set_u64(id, value)?;
            Ok(ESKER_OK)
        })
    }
}

/// Sets an option of type TEXT or, parsed, U64 ("64MiB"). `text` has `len` bytes and need not end in NUL.
/// INVALID as above. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_set_text(
    options: *mut esker_options,
    id: u32,
    text: *const c_char,
    len: usize,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: the pointers are NULL or as large as the header asks.
    unsafe {
        detailed(err, || {
            let mut handle = claim_options(options)?;
            handle.0.set_text(id, bytes(text.cast(), len, TEXT_LEN_MAX, "text")?)?;
            Ok(ESKER_OK)
        })
    }
}

/// Sets an option of type OBJECT to `object`: an `esker_env *` for ESKER_OPT_ENV (counted, so it may be
/// freed), a `const esker_comparator *` for ESKER_OPT_COMPARATOR_CUSTOM (copied; after each call that is OK its `release`
/// is called once, when no options, database, iterator, snapshot or pin needs it any more). NULL goes back to the
/// default. INVALID for an option of another type and for a comparator without a compare or a proper name; MISUSE for
/// a handle of another type. The option keeps its value on an error. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_set_object(
    options: *mut esker_options,
    id: u32,
    object: *const c_void,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        detailed(err, || {
            let mut handle = claim_options(options)?;
            check_object(id)?;
            if id == esker_option::ESKER_OPT_COMPARATOR_CUSTOM as u32 {
                let order = if object.is_null() { None } else { Some(order_of(object.cast())?) };
                handle.0.comparator_custom = order;
                return Ok(ESKER_OK);
            }
            let env = match object.is_null() {
                true => None,
                false => Some(enter_env(object.cast())?.0.clone()),
            };
            handle.0.env = EnvOption(env);
            Ok(ESKER_OK)
        })
    }
}

/// Writes the value of an option as text, NUL-terminated and cut to `cap`; `*need` is its length without
/// the NUL. TOO_SMALL when it was cut. buf may be NULL when cap is 0. Objects give their kind or name.
/// [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_get_text(
    options: *const esker_options,
    id: u32,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> esker_status {
    plain(|| {
        let handle = claim_options(options)?;
        // SAFETY: the pointers are NULL or as large as the header asks.
        unsafe {
            output(need, "need")?;
            write_text(&handle.0.get_text(id)?, buf, cap, need)
        }
    })
}

/// Sets several options by name: "write_buffer=8MiB; filter=none". Spaces around names, values and ';' are
/// ignored, '\' escapes ';'. All or nothing: on INVALID no option has changed and `offset` of the error
/// points into the text. [one-thread-at-a-time]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_options_parse(
    options: *mut esker_options,
    text: *const c_char,
    len: usize,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: the pointers are NULL or as large as the header asks.
    unsafe {
        detailed(err, || {
            let mut handle = claim_options(options)?;
            handle.0.parse(bytes(text.cast(), len, TEXT_LEN_MAX, "text")?)?;
            Ok(ESKER_OK)
        })
    }
}

/// Says how many options there are. Cannot fail. [any-thread]
#[unsafe(no_mangle)]
pub extern "C" fn esker_option_count() -> usize {
    OPTION_TABLE.len()
}

/// Describes the option at position `index`, 0 to esker_option_count() - 1, in the order of ids. Texts are
/// static. INVALID past the end. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_option_at(
    index: usize,
    info: *mut esker_option_info,
) -> esker_status {
    plain(|| {
        // SAFETY: `info` is NULL or a struct of the size it names, as the header asks.
        let out = unsafe { output_struct(info, "info")? };
        let spec = OPTION_TABLE
            .get(index)
            .ok_or_else(|| invalid(format!("there are {} options", OPTION_TABLE.len())))?;
        let kind = match spec.kind() {
            OptionKind::Number => esker_option_type::ESKER_OPTION_U64,
            OptionKind::Text => esker_option_type::ESKER_OPTION_TEXT,
            OptionKind::Object => esker_option_type::ESKER_OPTION_OBJECT,
        };
        let flag = |set, flag: esker_option_flags| if set { flag as u32 } else { 0 };
        out.set(esker_option_info {
            id: spec.id,
            r#type: kind as u32,
            flags: flag(spec.is_of_env(), esker_option_flags::ESKER_OPTION_ENV)
                | flag(spec.is_persistent(), esker_option_flags::ESKER_OPTION_PERSISTENT),
            name: spec.name.as_ptr(),
            unit: spec.unit.as_ptr(),
            choices: spec.choices.map_or(ptr::null(), CStr::as_ptr),
            default_text: spec.default_text.as_ptr(),
            doc: spec.doc.as_ptr(),
            default_u64: spec.default_number(),
            min: spec.min,
            max: spec.max,
            ..zeroed()
        });
        Ok(ESKER_OK)
    })
}

/// Finds an option's id by its name, NUL-terminated. NOT_FOUND when there is none. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_option_find(name: *const c_char, id: *mut u32) -> esker_status {
    plain(|| -> Answer {
        // SAFETY: the pointers are NULL or as the header asks.
        let (id, name) = unsafe { (output(id, "id")?, c_text(name, "name")?) };
        Ok(match find_name(name) {
            Some(spec) => {
                id.set(spec.id);
                ESKER_OK
            }
            None => ESKER_NOT_FOUND,
        })
    })
}
