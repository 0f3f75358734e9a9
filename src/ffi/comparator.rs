//! Key orders of C programs.
#![allow(unsafe_code, reason = "callbacks and pointers of C callers")]

use crate::error::Result;
use crate::ffi::arguments::{c_text, check_flags, invalid, read_struct};
use crate::ffi::boundary::comparing;
use crate::ffi::structs::esker_comparator;
use crate::ffi::values::esker_comparator_flags::ESKER_COMPARATOR_EXACT;
use crate::order::{BUILTIN_PREFIX, CustomOrder, Order};
use crate::sync::Arc;
use std::cmp::Ordering;
use std::ffi::c_void;

/// Longest name.
const NAME_LEN_MAX: usize = 64;

/// What every thread that compares keys needs to call back into C.
struct Callback {
    compare: unsafe extern "C" fn(*mut c_void, *const c_void, usize, *const c_void, usize) -> i32,
    ctx: *mut c_void,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the header says that both functions are called from any thread.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        let (first, second) = (a.as_ptr().cast(), b.as_ptr().cast());
        // SAFETY: the caller's function; both keys are readable for the call.
        let place =
            comparing(|| unsafe { (self.compare)(self.ctx, first, a.len(), second, b.len()) });
        place.cmp(&0)
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the caller's function, called once: nothing compares any more.
            comparing(|| unsafe { release(self.ctx) });
        }
    }
}

/// The order that a struct describes, which is copied. On an error nothing is ever released.
///
/// # Safety
/// `comparator` is readable for the size it names, and its name NUL-terminated.
pub unsafe fn order_of(comparator: *const esker_comparator) -> Result<Order> {
    // SAFETY: the caller's promise.
    let given = unsafe { read_struct(comparator)? };
    check_flags(given.flags, ESKER_COMPARATOR_EXACT as u32, "esker_comparator")?;
    // SAFETY: the caller's promise.
    let name = unsafe { c_text(given.name, "the comparator's name")? };
    let name = std::str::from_utf8(name).ok();
    let name = name.filter(|name| (1..=NAME_LEN_MAX).contains(&name.len()));
    let name = name.ok_or_else(|| {
        invalid(format!("a comparator's name has 1 to {NAME_LEN_MAX} bytes of UTF-8"))
    })?;
    if name.starts_with(BUILTIN_PREFIX) {
        let message =
            format!("comparator {name:?}: names that begin with {BUILTIN_PREFIX} are taken");
        return Err(invalid(message));
    }
    let compare =
        given.compare.ok_or_else(|| invalid(format!("comparator {name:?} has no compare")))?;
    let callback = Callback { compare, ctx: given.ctx, release: given.release };
    Ok(Order::Custom(Arc::new(CustomOrder {
        name: name.to_owned(),
        exact: given.flags & ESKER_COMPARATOR_EXACT as u32 != 0,
        compare: Box::new(move |a, b| callback.compare(a, b)),
    })))
}
