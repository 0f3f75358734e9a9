//! For ThreadSanitizer (`make tsan`), and only there: a race that it must report, or its silence about the rest says nothing.
#![allow(unsafe_code, reason = "a data race cannot be had without")]

use std::cell::UnsafeCell;

struct Shared(UnsafeCell<u64>);

// SAFETY: this is not sound, which is the point; it is built for the sanitizer alone.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(0));

#[test]
fn a_planted_race_is_reported() {
    let begin = std::sync::Barrier::new(2);
    let add = || {
        begin.wait();
        for _ in 0..1_000 {
            // SAFETY: as above: two threads write without a lock.
            unsafe { *SHARED.0.get() += 1 };
            // Both are to be there at once: the sanitizer forgets a thread that has ended before the other begins.
            std::thread::yield_now();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(&add);
        scope.spawn(&add);
    });
}
