//! A second Rust library for the link test: it panics, catches its own panic and says so.
//!
//! Built twice under different names (`--cfg first`, `--cfg second`), so that two of them and esker can
//! meet in one C program.

/// 42 when a panic was caught, after unwinding through a frame that has something to drop.
fn contained() -> i32 {
    struct Dropped<'a>(&'a std::cell::Cell<i32>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(42);
        }
    }
    let seen = std::cell::Cell::new(0);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _dropped = Dropped(&seen);
        let numbers = std::hint::black_box(vec![1, 2, 3]);
        numbers[std::hint::black_box(3)]
    }));
    if caught.is_err() { seen.get() } else { 0 }
}

#[cfg(first)]
#[unsafe(no_mangle)]
pub extern "C" fn first_panics() -> i32 {
    contained()
}

#[cfg(second)]
#[unsafe(no_mangle)]
pub extern "C" fn second_panics() -> i32 {
    contained()
}
