//! The checks of everything that comes from C: pointers with lengths, texts, flags, outputs, structs.
//!
//! Invariants
//! 1. A pointer is looked at only after its NULL and length checks; lengths are checked before a slice is
//!    made of them.
//! 2. A struct is read and written only within its `struct_size`.
//! 3. Outputs are zeroed as soon as they are known, so that failures leave zero behind.
#![allow(unsafe_code, reason = "reads and writes through the pointers of C callers")]

use crate::error::{Area, Error, ErrorKind, Result};
use crate::ffi::status::esker_status;
use crate::ffi::structs::{Plain, Sized32, esker_slice, zeroed};
use crate::types::{KEY_LEN_MAX, VALUE_LEN_MAX};
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// Largest `struct_size` that is believed.
const STRUCT_SIZE_MAX: usize = 65_536;

#[cold]
pub fn invalid(message: impl Into<String>) -> Error {
    Error::invalid(Area::Argument, message)
}

#[cold]
fn over_limit(what: &str, len: usize, limit: usize) -> Error {
    let message = format!("{what} has {len} bytes, the limit is {limit}");
    Error::new(ErrorKind::Limit, Area::Argument, message).with_value(limit as u64)
}

/// The caller's bytes.
///
/// # Safety
/// `data` is NULL or readable for `len` bytes during the call.
pub unsafe fn bytes<'a>(
    data: *const c_void,
    len: usize,
    limit: usize,
    what: &str,
) -> Result<&'a [u8]> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(invalid(format!("{what} is NULL and has {len} bytes")));
    }
    if len > limit {
        return Err(over_limit(what, len, limit));
    }
    // SAFETY: not NULL, readable by the caller's promise; every limit is below isize::MAX.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// A key.
///
/// # Safety
/// As for `bytes`.
pub unsafe fn key_bytes<'a>(key: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { bytes(key, len, KEY_LEN_MAX, "key") }
}

/// A value.
///
/// # Safety
/// As for `bytes`.
pub unsafe fn value_bytes<'a>(value: *const c_void, len: usize) -> Result<&'a [u8]> {
    // SAFETY: the caller's promise.
    unsafe { bytes(value, len, VALUE_LEN_MAX, "value") }
}

/// A key in a slice; NULL with size 0 means "not given".
///
/// # Safety
/// As for `bytes`.
pub unsafe fn optional_key<'a>(slice: esker_slice, what: &str) -> Result<Option<&'a [u8]>> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(slice.data, slice.size, KEY_LEN_MAX, what)? };
    Ok((!slice.data.is_null()).then_some(bytes))
}

/// A NUL-terminated text.
///
/// # Safety
/// `text` is NULL or NUL-terminated, readable during the call.
pub unsafe fn c_text<'a>(text: *const c_char, what: &str) -> Result<&'a [u8]> {
    if text.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    // SAFETY: not NULL, NUL-terminated by the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// Refuses flags that this version does not know.
pub fn check_flags(flags: u32, known: u32, what: &str) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(invalid(format!("unknown flag {unknown:#x} in {what}"))),
    }
}

/// Refuses anything but zero in a reserved field.
pub fn check_reserved(value: u32, what: &str) -> Result<()> {
    check_flags(value, 0, what)
}

/// Where one result goes. Made zero at once, so that failures leave zero behind.
pub struct Output<T>(*mut T);

/// Checks and zeroes an output.
///
/// # Safety
/// `out` is NULL or writable during the call.
pub unsafe fn output<T: Plain>(out: *mut T, what: &str) -> Result<Output<T>> {
    // SAFETY: the caller's promise.
    unsafe { optional_output(out) }.ok_or_else(|| invalid(format!("{what} is NULL")))
}

/// Zeroes an output that may be NULL.
///
/// # Safety
/// As for `output`.
pub unsafe fn optional_output<T: Plain>(out: *mut T) -> Option<Output<T>> {
    if out.is_null() {
        return None;
    }
    // SAFETY: writable by the caller's promise; unaligned pointers are tolerated.
    unsafe { out.write_unaligned(zeroed()) };
    Some(Output(out))
}

impl<T: Plain> Output<T> {
    pub fn set(&self, value: T) {
        // SAFETY: checked in `output`, and still writable by its caller's promise.
        unsafe { self.0.write_unaligned(value) }
    }
}

/// Where `n` results go.
pub struct OutputArray<T>(*mut T);

/// Checks and zeroes an array of outputs, which may be NULL when it is empty.
///
/// # Safety
/// `out` is NULL or writable for `n` elements during the call.
pub unsafe fn output_array<T: Plain>(out: *mut T, n: usize, what: &str) -> Result<OutputArray<T>> {
    let most = isize::MAX as usize / size_of::<T>();
    if n > most {
        return Err(invalid(format!("{what} cannot have {n} elements")));
    }
    if out.is_null() && n != 0 {
        return Err(invalid(format!("{what} is NULL and has {n} elements")));
    }
    if n != 0 {
        // SAFETY: not NULL, writable for `n` elements by the caller's promise.
        unsafe { ptr::write_bytes(out.cast::<u8>(), 0, n * size_of::<T>()) };
    }
    Ok(OutputArray(out))
}

impl<T: Plain> OutputArray<T> {
    /// Sets element `at`, which is below the `n` that was checked.
    pub fn set_at(&self, at: usize, value: T) {
        // SAFETY: inside the array that `output_array` was promised, and still writable.
        unsafe { self.0.add(at).write_unaligned(value) }
    }
}

/// Makes a handle: `*out` is NULL unless `make` succeeds. To be called inside a guard.
///
/// # Safety
/// `out` is NULL or writable during the call.
pub unsafe fn hand_out<H>(
    out: *mut *mut H,
    make: impl FnOnce() -> Result<*mut H>,
) -> Result<esker_status> {
    if out.is_null() {
        return Err(invalid("the place for the new handle is NULL"));
    }
    let handle = make()?;
    // SAFETY: writable by the caller's promise.
    unsafe { out.write_unaligned(handle) };
    Ok(esker_status::ESKER_OK)
}

/// Stores NULL where a new handle would go; before anything else is checked.
///
/// # Safety
/// As for `hand_out`.
pub unsafe fn no_handle<H>(out: *mut *mut H) {
    if !out.is_null() {
        // SAFETY: writable by the caller's promise.
        unsafe { out.write_unaligned(ptr::null_mut()) };
    }
}

#[cold]
fn wrong_size(found: usize, least: usize) -> Error {
    let message =
        format!("struct_size is {found}, must be from {least} to {STRUCT_SIZE_MAX} (set it)");
    Error::new(ErrorKind::AbiMismatch, Area::Argument, message)
}

/// The size a struct names, once it is believable.
///
/// # Safety
/// `data` points to at least four readable bytes.
unsafe fn checked_size<T: Sized32>(data: *const T) -> Result<usize> {
    // SAFETY: the first field is `struct_size`, four bytes.
    let size = unsafe { data.cast::<u32>().read_unaligned() } as usize;
    if !(T::MIN_SIZE..=STRUCT_SIZE_MAX).contains(&size) {
        return Err(wrong_size(size, T::MIN_SIZE));
    }
    Ok(size)
}

/// Reads an input struct; NULL means all defaults. A missing tail is zero, an unknown one must be.
///
/// # Safety
/// `data` is NULL or readable for the size it names.
pub unsafe fn read_struct<T: Sized32>(data: *const T) -> Result<T> {
    let mut value: T = zeroed();
    if data.is_null() {
        return Ok(value);
    }
    // SAFETY: the caller's promise; the copy stays within both structs.
    let tail = unsafe {
        let size = checked_size(data)?;
        let common = size.min(size_of::<T>());
        ptr::copy_nonoverlapping(data.cast::<u8>(), (&raw mut value).cast(), common);
        std::slice::from_raw_parts(data.cast::<u8>().add(common), size - common)
    };
    if tail.iter().any(|&byte| byte != 0) {
        let message = "a struct has fields that this library does not know and that are not zero";
        return Err(Error::new(ErrorKind::AbiMismatch, Area::Argument, message));
    }
    Ok(value)
}

/// Checks the size of an output struct that may be NULL.
///
/// # Safety
/// As for `read_struct`.
pub unsafe fn check_output_size<T: Sized32>(data: *const T) -> Result<()> {
    if data.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { checked_size(data) }.map(|_| ())
}

/// An output struct: zeroed but for its `struct_size`, ready to be written.
pub struct OutputStruct<T> {
    data: *mut T,
    size: usize,
}

/// Checks and zeroes an output struct.
///
/// # Safety
/// `data` is NULL or writable for the size it names, during the call.
pub unsafe fn output_struct<T: Sized32>(data: *mut T, what: &str) -> Result<OutputStruct<T>> {
    if data.is_null() {
        return Err(invalid(format!("{what} is NULL")));
    }
    // SAFETY: the caller's promise.
    let size = unsafe { checked_size(data)? };
    let out = OutputStruct { data, size };
    out.set(zeroed());
    Ok(out)
}

impl<T: Sized32> OutputStruct<T> {
    /// Writes the first `struct_size` bytes, unknown ones as zero; `struct_size` itself stays.
    pub fn set(&self, value: T) {
        self.set_at(0, value);
    }

    /// The same for the element `index` of an array of which this is the first one.
    pub fn set_at(&self, index: usize, value: T) {
        let known = self.size.min(size_of::<T>()) - 4;
        let from = (&raw const value).cast::<u8>();
        // SAFETY: the element is writable for `size` bytes by the promise to `output_struct`; `size` is at least MIN_SIZE > 4.
        unsafe {
            let to = self.data.cast::<u8>().add(index * self.size + 4);
            ptr::copy_nonoverlapping(from.add(4), to, known);
            ptr::write_bytes(to.add(known), 0, self.size - 4 - known);
        }
    }
}

/// The longest start of `text` that has at most `max` bytes.
pub fn cut_at_character(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// Writes a text into the caller's buffer: NUL-terminated, cut to `cap`.
///
/// # Safety
/// `buf` is NULL or writable for `cap` bytes; `need` is NULL or writable.
pub unsafe fn write_text(
    text: &str,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> Result<esker_status> {
    // SAFETY: the caller's promise.
    let need = unsafe { output(need, "need")? };
    if buf.is_null() && cap != 0 {
        return Err(invalid(format!("buf is NULL and cap is {cap}")));
    }
    need.set(text.len());
    if cap > 0 {
        let cut = cut_at_character(text, cap - 1);
        // SAFETY: `cut` and its NUL fit `cap` bytes, which are writable by the caller's promise.
        unsafe {
            ptr::copy_nonoverlapping(cut.as_ptr().cast(), buf, cut.len());
            buf.add(cut.len()).write(0);
        }
    }
    Ok(if text.len() < cap { esker_status::ESKER_OK } else { esker_status::ESKER_TOO_SMALL })
}
