//! Process facts: are we a forked child, and which signals worker threads see.
//!
//! A page marked MADV_WIPEONFORK holds a nonzero byte; in a forked child it reads as zero, so the
//! question costs one load (getpid costs over 100 ns). Where the kernel lacks the advice, an atfork
//! handler clears the byte. The same handler closes the lock descriptors, so that a child does not keep
//! its parent's lock alive.
#![allow(unsafe_code, reason = "system calls")]

use crate::sync::{AtomicI32, AtomicPtr, AtomicU8, OnceLock, Ordering};

static FLAG: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());
/// Stands in for the page where none can be mapped.
static UNMAPPED_FLAG: AtomicU8 = AtomicU8::new(0);
static SETUP: OnceLock<()> = OnceLock::new();

/// Lock descriptors of open databases, two of each, plus one: 0 is a free place, and costs the library's file nothing.
const LOCKS: usize = 2048;
static LOCK_FDS: [AtomicI32; LOCKS] = [const { AtomicI32::new(0) }; LOCKS];

/// Prepares fork detection; cheap to repeat. Called by every function that makes a handle.
pub fn prepare() {
    SETUP.get_or_init(|| {
        let page_size = 4096;
        // SAFETY: an anonymous private mapping at an address of the kernel's choice.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                page_size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let flag = if page == libc::MAP_FAILED {
            // Without a page of its own the byte depends on the atfork handler alone.
            (&raw const UNMAPPED_FLAG).cast_mut()
        } else {
            // SAFETY: the page was just mapped. Failure (old kernel) is fine: the atfork handler covers it.
            unsafe { libc::madvise(page, page_size, libc::MADV_WIPEONFORK) };
            page.cast::<AtomicU8>()
        };
        // SAFETY: a static, or a page mapped for ever, zeroed, writable and large enough for the byte.
        unsafe { (*flag).store(1, Ordering::Relaxed) };
        FLAG.store(flag, Ordering::Release);
        // SAFETY: `in_child` is async-signal-safe: atomics and close(2) only.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

extern "C" fn in_child() {
    let flag = FLAG.load(Ordering::Acquire);
    if !flag.is_null() {
        // SAFETY: the page is never unmapped.
        unsafe { (*flag).store(0, Ordering::Relaxed) };
    }
    for place in &LOCK_FDS {
        let fd = place.swap(0, Ordering::AcqRel) - 1;
        if fd >= 0 {
            // SAFETY: the child's copy of the descriptor; every handle in the child is dead (FORKED), so
            // nobody closes it a second time.
            unsafe { libc::close(fd) };
        }
    }
}

/// Whether this process is a forked child of the one that made the handles.
pub fn forked() -> bool {
    let flag = FLAG.load(Ordering::Acquire);
    // SAFETY: the page is never unmapped once published.
    !flag.is_null() && unsafe { (*flag).load(Ordering::Relaxed) } == 0
}

/// Notes a lock descriptor for closing in forked children; false when the table is full.
pub fn register_lock(fd: i32) -> bool {
    prepare();
    LOCK_FDS
        .iter()
        .any(|place| place.compare_exchange(0, fd + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok())
}

/// Forgets a lock descriptor, before it is closed.
pub fn unregister_lock(fd: i32) {
    for place in &LOCK_FDS {
        if place.compare_exchange(fd + 1, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return;
        }
    }
}

/// Calls `start` with every signal blocked in the calling thread: a thread that it starts has them blocked from its first
/// instruction. Signals are the host's business.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    struct Restored(libc::sigset_t);
    impl Drop for Restored {
        fn drop(&mut self) {
            // SAFETY: the mask that this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: all-zero sigset_ts are plain data that the calls then fill; the mask is this thread's.
    let before = unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let _restored = Restored(before);
    start()
}
