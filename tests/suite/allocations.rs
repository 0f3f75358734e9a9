//! The allocator of this test binary: the system's, which counts what each thread asks for, and may be told to fail.
//!
//! It fails a call of the thread that asked for that, so that tests beside it do not notice.
#![allow(unsafe_code, reason = "an allocator is unsafe to implement")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static MADE: Cell<u64> = const { Cell::new(0) };
    /// The n-th large allocation from now on fails; 0 is none.
    static FAILS: Cell<u64> = const { Cell::new(0) };
}

/// Of at least so many bytes is a large one.
pub const LARGE: usize = 4096;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts an allocation; whether it is to fail. A thread that ends has no counters any more.
fn fails(size: usize) -> bool {
    MADE.try_with(|made| made.set(made.get() + 1)).unwrap_or_default();
    let due = |fails: &Cell<u64>| {
        let left = fails.get();
        fails.set(left.saturating_sub(1));
        left == 1
    };
    size >= LARGE && FAILS.try_with(due).unwrap_or(false)
}

// SAFETY: memory comes from the system's allocator, with the caller's own arguments, or not at all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match fails(layout.size()) {
            true => std::ptr::null_mut(),
            // SAFETY: as the caller promises.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match fails(layout.size()) {
            true => std::ptr::null_mut(),
            // SAFETY: as the caller promises.
            false => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match fails(size) {
            true => std::ptr::null_mut(),
            // SAFETY: as the caller promises.
            false => unsafe { System.realloc(memory, layout, size) },
        }
    }
}

/// Allocations that this thread made while `work` ran.
pub fn made_by<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = MADE.get();
    let result = work();
    (result, MADE.get() - before)
}

/// The `nth` allocation from now on that this thread makes of at least [`LARGE`] bytes fails.
pub fn fail_large(nth: u64) {
    FAILS.set(nth);
}

/// Whether the failure that was asked for is still to come; it does not come any more.
pub fn not_failed() -> bool {
    FAILS.replace(0) > 0
}

#[test]
fn allocations_are_counted_and_fail_when_asked_to() {
    let (kept, made) = made_by(|| (Box::new(1u8), Vec::<u8>::with_capacity(10)));
    assert_eq!(made, 2, "{kept:?}");
    fail_large(2);
    let mut buffer: Vec<u8> = Vec::new();
    assert!(buffer.try_reserve_exact(LARGE).is_ok(), "the first");
    assert!(buffer.try_reserve_exact(10 * LARGE).is_err(), "the second");
    assert!(!not_failed() && buffer.try_reserve_exact(10 * LARGE).is_ok(), "no other");
}
