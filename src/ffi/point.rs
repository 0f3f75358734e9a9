//! One key at a time: put, delete, get, pins, exists.
//!
//! Invariants
//! 1. A pin is valid until it is given back, also after its database was closed.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::read::{PinnedValue, ReadParams};
use crate::error::{Error, Result};
use crate::ffi::arguments::{
    invalid, key_bytes, optional_output, output, output_array, value_bytes,
};
use crate::ffi::boundary::{db_call, plain};
use crate::ffi::handles::{DbHandle, PinHandle, claim};
use crate::ffi::params::{point_read, write_params};
use crate::ffi::registry;
use crate::ffi::status::esker_status::{
    self, ESKER_NOT_FOUND, ESKER_OK, ESKER_PARTIAL, ESKER_TOO_SMALL,
};
use crate::ffi::status::status_of;
use crate::ffi::structs::{
    esker_db, esker_get_result, esker_pin, esker_read_opts, esker_slice, esker_write_opts, zeroed,
};
use std::ffi::c_void;
use std::ptr;

/// Stores a value under a key, replacing an older one. `options` NULL = defaults. Returned OK, the write is
/// visible to every later read and survives what its durability says. On an error it is not visible; after
/// IO or NOSPACE it may yet be found after a crash. Also returns LIMIT, POISONED, TIMEOUT. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_put(
    db: *mut esker_db,
    options: *const esker_write_opts,
    key: *const c_void,
    klen: usize,
    value: *const c_void,
    vlen: usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are readable for their lengths, as the header asks.
        let (key, value) = unsafe { (key_bytes(key, klen)?, value_bytes(value, vlen)?) };
        // SAFETY: `options` is NULL or a struct of the size it names, as the header asks.
        let params = unsafe { write_params(options)? };
        handle.db.put(&params, key, value).map(|_| ESKER_OK)
    })
}

/// Deletes a key; an absent key is OK. Otherwise as esker_put(). [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_delete(
    db: *mut esker_db,
    options: *const esker_write_opts,
    key: *const c_void,
    klen: usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointer is readable for its length, as the header asks.
        let key = unsafe { key_bytes(key, klen)? };
        // SAFETY: `options` is NULL or a struct of the size it names, as the header asks.
        let params = unsafe { write_params(options)? };
        handle.db.delete(&params, key).map(|_| ESKER_OK)
    })
}

/// Finds the value of a key.
///
/// # Safety
/// The pointers are NULL or as the header asks.
#[inline]
unsafe fn find(
    handle: &DbHandle,
    options: *const esker_read_opts,
    key: *const c_void,
    klen: usize,
) -> Result<Option<PinnedValue>> {
    // SAFETY: the caller's promise.
    let key = unsafe { key_bytes(key, klen)? };
    if options.is_null() {
        // Made once: filling in and handing over the parameters costs a tenth of a get from the cache.
        return handle.db.get(&DEFAULTS, key);
    }
    // SAFETY: the caller's promise.
    let mut call = unsafe { point_read(handle, options)? };
    call.params.filter_only = false;
    call.params.keys_only = false;
    handle.db.get(&call.params, key)
}

/// How a call without options reads.
static DEFAULTS: ReadParams = ReadParams::DEFAULT;

/// Copies the value of a key into `buf`. `*vlen` (required) is always the value's size, 0 when absent.
/// TOO_SMALL when cap is less: nothing was copied. NOT_FOUND when absent. buf may be NULL when cap is 0.
/// Also returns LIMIT (key), TIMEOUT. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_get(
    db: *mut esker_db,
    options: *const esker_read_opts,
    key: *const c_void,
    klen: usize,
    buf: *mut c_void,
    cap: usize,
    vlen: *mut usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `vlen` is NULL or writable, as the header asks.
        let vlen = unsafe { output(vlen, "vlen")? };
        if buf.is_null() && cap != 0 {
            return Err(invalid(format!("buf is NULL and cap is {cap}")));
        }
        // SAFETY: the pointers are NULL or as the header asks.
        let Some(value) = (unsafe { find(handle, options, key, klen)? }) else {
            return Ok(ESKER_NOT_FOUND);
        };
        vlen.set(value.len());
        if value.len() > cap {
            return Ok(ESKER_TOO_SMALL);
        }
        if !value.is_empty() {
            // SAFETY: `buf` is not NULL and writable for `cap` bytes, as the header asks; the value fits.
            unsafe { ptr::copy_nonoverlapping(value.as_ptr(), buf.cast(), value.len()) };
        }
        Ok(ESKER_OK)
    })
}

/// Lends the value of a key without copying it. `*pin` is only written, never read, so an earlier pin in it
/// must have been given back. Valid until esker_unpin(), also after esker_close(). Holds memory: give it
/// back soon. NOT_FOUND leaves the pin all zero. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_get_pin(
    db: *mut esker_db,
    options: *const esker_read_opts,
    key: *const c_void,
    klen: usize,
    pin: *mut esker_pin,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `pin` is NULL or writable, as the header asks.
        let out = unsafe { output(pin, "pin")? };
        // SAFETY: the pointers are NULL or as the header asks.
        let Some(value) = (unsafe { find(handle, options, key, klen)? }) else {
            return Ok(ESKER_NOT_FOUND);
        };
        let place = registry::reserve()?;
        let pinned = Box::new(PinHandle::new(value, &handle.pins));
        let (data, size) = (pinned.value.as_ptr().cast(), pinned.value.len());
        let handle = place.publish(pinned) as u64;
        out.set(esker_pin { data, size, opaque: [handle, 0, 0, 0] });
        Ok(ESKER_OK)
    })
}

/// Gives a pin back and zeroes it. NULL and an all-zero pin are OK. A second unpin through a copy is
/// MISUSE. [any-thread]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_unpin(pin: *mut esker_pin) -> esker_status {
    plain(|| {
        if pin.is_null() {
            return Ok(ESKER_OK);
        }
        // SAFETY: not NULL; readable and writable, as the header asks.
        let given = unsafe { pin.read_unaligned() };
        if given.data.is_null() && given.size == 0 && given.opaque == [0; 4] {
            return Ok(ESKER_OK);
        }
        let handle: *const c_void = ptr::without_provenance(given.opaque[0] as usize);
        let pinned = claim::<PinHandle, _>(handle, "the pin")?;
        drop(pinned.remove());
        // SAFETY: as above.
        unsafe { pin.write_unaligned(zeroed()) };
        Ok(ESKER_OK)
    })
}

/// Says whether a key is present: OK or NOT_FOUND. `vlen` may be NULL, else gets the value's size. With
/// ESKER_READ_FILTER_ONLY no block is read, OK means "perhaps" and *vlen is 0. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_exists(
    db: *mut esker_db,
    options: *const esker_read_opts,
    key: *const c_void,
    klen: usize,
    vlen: *mut usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        let (vlen, mut call, key) =
            unsafe { (optional_output(vlen), point_read(handle, options)?, key_bytes(key, klen)?) };
        call.params.keys_only = true;
        let Some(value) = handle.db.get(&call.params, key)? else {
            return Ok(ESKER_NOT_FOUND);
        };
        if let Some(vlen) = vlen.filter(|_| !call.params.filter_only) {
            vlen.set(value.len());
        }
        Ok(ESKER_OK)
    })
}

/// Where the values of esker_multi_get() go.
struct Values {
    buf: *mut u8,
    cap: usize,
    used: usize,
    /// A value did not fit.
    short: bool,
}

impl Values {
    /// Copies a value behind the last one, if it still fits.
    fn take(&mut self, found: Result<Option<PinnedValue>>) -> Result<esker_get_result> {
        let Some(value) = found? else {
            return Ok(esker_get_result { status: ESKER_NOT_FOUND as i32, ..zeroed() });
        };
        let size = value.len() as u64;
        if value.len() > self.cap - self.used {
            self.short = true;
            return Ok(esker_get_result { status: ESKER_TOO_SMALL as i32, size, ..zeroed() });
        }
        let offset = self.used as u64;
        if !value.is_empty() {
            // SAFETY: `buf` is not NULL and writable for `cap` bytes, as the header asks; the value fits.
            unsafe {
                ptr::copy_nonoverlapping(value.as_ptr(), self.buf.add(self.used), value.len());
            }
        }
        self.used += value.len();
        Ok(esker_get_result { status: ESKER_OK as i32, reserved: 0, offset, size })
    }
}

/// Reads `n` keys from one view into one buffer. The result at a position belongs to the key
/// at that position and holds its status, offset and size; values lie in buf in the order of keys, unpadded. A value that no longer fits gets TOO_SMALL and
/// its size; smaller ones after it may still fit. A key that is wrong (INVALID, LIMIT) or whose read fails has
/// the error as its status. Returns the first error where there is one, else PARTIAL when some are TOO_SMALL
/// (ask for those again), else OK; the other results are right in any case. n = 0 is OK. Keys may repeat; keys,
/// buf and results must not overlap. buf may be NULL when cap is 0. TIMEOUT counts for all keys together.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_multi_get(
    db: *mut esker_db,
    options: *const esker_read_opts,
    n: usize,
    keys: *const esker_slice,
    buf: *mut c_void,
    cap: usize,
    results: *mut esker_get_result,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `results` is NULL or writable for `n` elements, as the header asks.
        let out = unsafe { output_array(results, n, "results")? };
        if buf.is_null() && cap != 0 {
            return Err(invalid(format!("buf is NULL and cap is {cap}")));
        }
        if keys.is_null() && n != 0 {
            return Err(invalid(format!("keys is NULL and has {n} elements")));
        }
        // SAFETY: `options` is NULL or a struct of the size it names, as the header asks.
        let mut call = unsafe { point_read(handle, options)? };
        call.params.filter_only = false;
        call.params.keys_only = false;
        let mut values = Values { buf: buf.cast(), cap, used: 0, short: false };
        let mut first_error: Option<Error> = None;
        let key_at = |at: usize| {
            // SAFETY: `keys` has `n` elements, each readable for its size, as the header asks.
            let key = unsafe { keys.add(at).read_unaligned() };
            // SAFETY: as above.
            unsafe { key_bytes(key.data, key.size) }
        };
        handle.db.multi_get(&call.params, n, key_at, |at, found| {
            let result = values.take(found).unwrap_or_else(|error| {
                let status = status_of(&error) as i32;
                match &first_error {
                    None => first_error = Some(error),
                    // The first one enters the ring when it is returned.
                    Some(_) => _ = handle.db.record_error(&error),
                }
                esker_get_result { status, ..zeroed() }
            });
            out.set_at(at, result);
        })?;
        match first_error {
            Some(error) => Err(error),
            None if values.short => Ok(ESKER_PARTIAL),
            None => Ok(ESKER_OK),
        }
    })
}
