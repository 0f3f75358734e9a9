//! Memory that the C caller frees: always from malloc, since callers use plain `free`.

use std::ffi::{CStr, c_char, c_void};

/// A copy of `bytes` from malloc, never of size 0, so that an empty value is not NULL. NULL without memory.
pub fn malloc_bytes(bytes: &[u8]) -> *mut c_char {
    // SAFETY: malloc may be called with any size; the copy stays inside what it returned.
    unsafe {
        let memory = libc::malloc(bytes.len().max(1)).cast::<u8>();
        if !memory.is_null() {
            memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
        memory.cast()
    }
}

/// A copy of `text` that ends in NUL, from malloc; cut at a NUL inside. NULL without memory.
pub fn malloc_text(text: &str) -> *mut c_char {
    let text = text.split('\0').next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(text.len() + 1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    malloc_bytes(&bytes)
}

/// A C text as esker's messages show it.
///
/// # Safety
/// NULL or NUL-terminated.
pub unsafe fn shown(text: *const c_char) -> String {
    if text.is_null() {
        return "(null)".to_owned();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Frees what a function of this library returned as a text, value or error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_free(ptr: *mut c_void) {
    // SAFETY: from malloc, as c.h asks.
    unsafe { libc::free(ptr) }
}
