//! Objects that a create function gave to C, a box each: used by one thread at a time, given up once.

/// Lets `change` at an object; NULL is ignored.
///
/// # Safety
/// NULL or a live object of the caller.
pub unsafe fn with<T>(object: *mut T, change: impl FnOnce(&mut T)) {
    // SAFETY: the caller's promise.
    if let Some(object) = unsafe { object.as_mut() } {
        change(object);
    }
}

/// The object that this call gives up; `None` for NULL.
///
/// # Safety
/// NULL or from a create function, and not given up before.
pub unsafe fn take<T>(object: *mut T) -> Option<T> {
    // SAFETY: the caller's promise.
    (!object.is_null()).then(|| *unsafe { Box::from_raw(object) })
}

/// Frees an object that is nothing more than its box.
///
/// # Safety
/// As for `take`.
pub unsafe fn give_up<T>(object: *mut T) {
    // SAFETY: the caller's promise.
    drop(unsafe { take(object) });
}
