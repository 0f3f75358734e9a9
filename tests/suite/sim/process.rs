//! Forked children know that they are, let go of their parent's locks, and descriptors stay clear of 0-2.
//!
//! Between fork and `_exit` a child makes system calls only: another thread may have held the allocator's
//! lock when it was born.

#![allow(unsafe_code, reason = "fork and descriptors")]

use super::kernels::TempDir;
use esker::internals::env::{process, real};
use esker::internals::error::ErrorKind;
use std::os::fd::AsRawFd;

/// A child that answers a yes-no question with its exit status.
struct Child(libc::pid_t);

impl Child {
    fn fork(question: impl FnOnce() -> bool) -> Child {
        // SAFETY: the child runs `question`, which by this file's rule makes system calls only, and leaves
        // by `_exit`, so it runs none of the parent's exit code.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            let answer = question();
            // SAFETY: ends the child; nothing of it is used afterwards.
            unsafe { libc::_exit(i32::from(!answer)) };
        }
        Child(pid)
    }

    fn answer(self) -> bool {
        let mut status = 0;
        // SAFETY: the child is ours and not yet waited for; `status` is valid for writes.
        let waited = unsafe { libc::waitpid(self.0, &mut status, 0) };
        assert_eq!(waited, self.0);
        assert!(libc::WIFEXITED(status), "the child died: {status}");
        libc::WEXITSTATUS(status) == 0
    }
}

/// A pipe: reading its first end waits until the second is closed.
fn pipe() -> [libc::c_int; 2] {
    let mut ends = [0; 2];
    // SAFETY: `ends` is valid for writes of two descriptors.
    assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    ends
}

fn close(fd: libc::c_int) {
    // SAFETY: the descriptor is the caller's and not used again.
    unsafe { libc::close(fd) };
}

#[test]
fn child_knows_that_it_is_forked_and_the_parent_that_it_is_not() {
    process::prepare();
    assert!(!process::forked());
    assert!(Child::fork(process::forked).answer());
    assert!(!process::forked());
    // A grandchild is forked too.
    assert!(Child::fork(|| Child::fork(process::forked).answer()).answer());
}

#[test]
fn child_closes_registered_descriptors_and_no_others() {
    let [registered, other] = pipe();
    assert!(process::register_lock(registered));
    let child = Child::fork(|| {
        // SAFETY: asks about descriptors and touches no memory.
        let open = |fd| unsafe { libc::fcntl(fd, libc::F_GETFD) } >= 0;
        !open(registered) && open(other)
    });
    process::unregister_lock(registered);
    assert!(child.answer());
    let child = Child::fork(|| {
        // SAFETY: as above.
        (unsafe { libc::fcntl(registered, libc::F_GETFD) }) >= 0
    });
    assert!(child.answer(), "forgotten descriptors are left alone");
    close(registered);
    close(other);
}

#[test]
fn child_does_not_keep_its_parents_lock_alive() {
    let temp = TempDir::new();
    let dir = temp.open();
    let lock = dir.lock().unwrap();
    lock.announce().unwrap();
    let [reader, writer] = pipe();
    let child = Child::fork(|| {
        close(writer);
        let mut byte = 0_u8;
        // SAFETY: `byte` is valid for writes of one byte.
        unsafe { libc::read(reader, (&raw mut byte).cast(), 1) == 0 }
    });
    let refused = dir.lock().err().map(|error| error.kind());
    drop(lock);
    // The child may not have got to its fork handler yet; it closes the lock before it reads the pipe.
    let again = (0..1_000_000).find_map(|_| {
        std::thread::yield_now();
        dir.lock().ok()
    });
    close(writer);
    close(reader);
    assert!(child.answer());
    assert_eq!(refused, Some(ErrorKind::Locked));
    assert!(again.is_some(), "the living child holds the lock");
}

#[test]
fn descriptors_stay_clear_of_the_standard_three() {
    let child = Child::fork(|| {
        (0..3).for_each(close);
        let Ok(dir) = real::open_dir(c"/") else { return false };
        let Ok(parent) = real::open_parent(&dir) else { return false };
        // SAFETY: asks about a descriptor and touches no memory.
        let flags = unsafe { libc::fcntl(dir.as_raw_fd(), libc::F_GETFD) };
        // SAFETY: as above.
        let zero_is_closed = unsafe { libc::fcntl(0, libc::F_GETFD) } < 0;
        dir.as_raw_fd() >= 3
            && parent.as_raw_fd() >= 3
            && flags & libc::FD_CLOEXEC != 0
            && zero_is_closed
    });
    assert!(child.answer());
}

#[test]
fn threads_are_started_with_every_signal_blocked_in_them_only() {
    let blocked = || {
        // SAFETY: an all-zero sigset_t is plain data.
        let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: a null new mask only reads this thread's into `set`.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
        // SAFETY: `set` was filled by the call above.
        [libc::SIGTERM, libc::SIGINT, libc::SIGUSR1]
            .map(|signal| (unsafe { libc::sigismember(&set, signal) }) == 1)
    };
    let before = blocked();
    let worker = process::with_signals_blocked(|| std::thread::spawn(blocked));
    assert_eq!(worker.join().unwrap(), [true; 3]);
    assert_eq!(blocked(), before);
}
