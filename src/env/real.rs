//! The system calls on libc: the sole user of libc's file functions.
//!
//! Every descriptor is close-on-exec and at least 3, so that a stray write to standard output never lands
//! in a database. libc's symbols are used, not raw system calls, so that a preloaded recorder sees them.
#![allow(unsafe_code, reason = "system calls")]

use crate::env::call::{Errno, FileType, OpenHow, Stat, SysResult};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn last_errno() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().filter(|&e| e != 0).unwrap_or(libc::EIO))
}

fn check(result: libc::c_int) -> SysResult<()> {
    if result < 0 { Err(last_errno()) } else { Ok(()) }
}

/// Takes ownership of a fresh descriptor and moves it to 3 or above.
fn own(fd: RawFd) -> SysResult<OwnedFd> {
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel has just returned this descriptor and nobody else knows it.
    let owned = unsafe { OwnedFd::from_raw_fd(fd) };
    if fd >= 3 {
        return Ok(owned);
    }
    // SAFETY: `owned` is open; F_DUPFD_CLOEXEC makes a new descriptor and touches no memory.
    let moved = unsafe { libc::fcntl(owned.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    if moved < 0 {
        return Err(last_errno());
    }
    // SAFETY: as above, a fresh descriptor that only we know.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}

pub fn open_dir(path: &CStr) -> SysResult<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `path` is NUL-terminated and lives across the call.
    own(unsafe { libc::open(path.as_ptr(), flags) })
}

pub fn open_parent(dir: &OwnedFd) -> SysResult<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `dir` is open and the literal is NUL-terminated.
    own(unsafe { libc::openat(dir.as_raw_fd(), c"..".as_ptr(), flags) })
}

/// The directory again, by a description of its own.
pub fn open_self(dir: &OwnedFd) -> SysResult<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: `dir` is open and the literal is NUL-terminated.
    own(unsafe { libc::openat(dir.as_raw_fd(), c".".as_ptr(), flags) })
}

/// Whether names may be made in the directory: EACCES or EROFS when not. Where that cannot be asked, making one will tell.
pub fn may_write(dir: &OwnedFd) -> SysResult<()> {
    // SAFETY: `dir` is open and the literal is NUL-terminated.
    let result =
        unsafe { libc::faccessat(dir.as_raw_fd(), c".".as_ptr(), libc::W_OK, libc::AT_EACCESS) };
    match check(result) {
        Err(errno @ Errno(libc::EACCES | libc::EROFS)) => Err(errno),
        _ => Ok(()),
    }
}

pub fn make_dir(path: &CStr, mode: u32) -> SysResult<()> {
    // SAFETY: `path` is NUL-terminated and lives across the call.
    check(unsafe { libc::mkdir(path.as_ptr(), mode) })
}

pub fn remove_dir(path: &CStr) -> SysResult<()> {
    // SAFETY: `path` is NUL-terminated and lives across the call.
    check(unsafe { libc::rmdir(path.as_ptr()) })
}

pub fn open_at(dir: &OwnedFd, name: &CStr, how: OpenHow, mode: u32) -> SysResult<OwnedFd> {
    let flags = match how {
        // O_NONBLOCK: opening a planted FIFO must not hang; it means nothing for regular files.
        OpenHow::Read => libc::O_RDONLY | libc::O_NONBLOCK,
        OpenHow::Write => libc::O_RDWR | libc::O_NONBLOCK,
        OpenHow::CreateNew => libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
        OpenHow::Lock => libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK,
    } | libc::O_CLOEXEC
        | libc::O_NOFOLLOW;
    // SAFETY: `dir` is open, `name` is NUL-terminated and lives across the call.
    own(unsafe { libc::openat(dir.as_raw_fd(), name.as_ptr(), flags, mode as libc::c_uint) })
}

pub fn pread(fd: &OwnedFd, buf: &mut [u8], offset: u64) -> SysResult<usize> {
    // SAFETY: `buf` is valid for writes of its length.
    let n = unsafe {
        libc::pread64(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len(), offset as libc::off64_t)
    };
    usize::try_from(n).map_err(|_| last_errno())
}

/// Appends at most `len` bytes from `offset` to `buf`, within the room that it has: nobody needs to clear memory first
/// that the kernel fills.
pub fn pread_behind(fd: &OwnedFd, buf: &mut Vec<u8>, len: usize, offset: u64) -> SysResult<usize> {
    let spare = buf.spare_capacity_mut();
    let len = len.min(spare.len());
    // SAFETY: `spare` is valid for writes of its length, and `len` is no more.
    let n = unsafe {
        libc::pread64(fd.as_raw_fd(), spare.as_mut_ptr().cast(), len, offset as libc::off64_t)
    };
    let n = usize::try_from(n).map_err(|_| last_errno())?;
    // SAFETY: the kernel has written `n` bytes, at most `len`, behind the `buf.len()` that there were.
    unsafe { buf.set_len(buf.len() + n.min(len)) };
    Ok(n)
}

pub fn pwrite(fd: &OwnedFd, buf: &[u8], offset: u64) -> SysResult<usize> {
    // SAFETY: `buf` is valid for reads of its length.
    let n = unsafe {
        libc::pwrite64(fd.as_raw_fd(), buf.as_ptr().cast(), buf.len(), offset as libc::off64_t)
    };
    usize::try_from(n).map_err(|_| last_errno())
}

pub fn fdatasync(fd: &OwnedFd) -> SysResult<()> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::fdatasync(fd.as_raw_fd()) })
}

pub fn fsync(fd: &OwnedFd) -> SysResult<()> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::fsync(fd.as_raw_fd()) })
}

pub fn ftruncate(fd: &OwnedFd, len: u64) -> SysResult<()> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::ftruncate64(fd.as_raw_fd(), len as libc::off64_t) })
}

/// Allocates `len` bytes and sets the size (mode 0).
pub fn fallocate(fd: &OwnedFd, len: u64) -> SysResult<()> {
    // SAFETY: the descriptor is open.
    check(unsafe { libc::fallocate64(fd.as_raw_fd(), 0, 0, len as libc::off64_t) })
}

#[allow(clippy::unnecessary_cast, reason = "st_nlink has 32 bits on some machines")]
fn stat_of(raw: &libc::stat64) -> Stat {
    let kind = match raw.st_mode & libc::S_IFMT {
        libc::S_IFREG => FileType::Regular,
        libc::S_IFDIR => FileType::Directory,
        _ => FileType::Other,
    };
    Stat {
        device: raw.st_dev,
        inode: raw.st_ino,
        size: u64::try_from(raw.st_size).unwrap_or(0),
        links: raw.st_nlink as u64,
        kind,
    }
}

pub fn fstat(fd: &OwnedFd) -> SysResult<Stat> {
    // SAFETY: all-zero is a valid `stat64`; it is plain data.
    let mut raw: libc::stat64 = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open and `raw` is valid for writes.
    check(unsafe { libc::fstat64(fd.as_raw_fd(), &mut raw) })?;
    Ok(stat_of(&raw))
}

/// Looks at a name without following a link.
pub fn stat_at(dir: &OwnedFd, name: &CStr) -> SysResult<Stat> {
    // SAFETY: all-zero is a valid `stat64`; it is plain data.
    let mut raw: libc::stat64 = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `dir` is open, `name` is NUL-terminated and `raw` is valid for writes.
    check(unsafe { libc::fstatat64(dir.as_raw_fd(), name.as_ptr(), &mut raw, flags) })?;
    Ok(stat_of(&raw))
}

pub fn rename_at(dir: &OwnedFd, from: &CStr, to: &CStr) -> SysResult<()> {
    let fd = dir.as_raw_fd();
    // SAFETY: `dir` is open and both names are NUL-terminated.
    check(unsafe { libc::renameat(fd, from.as_ptr(), fd, to.as_ptr()) })
}

/// Gives the file `name` of one directory the same name in another, too.
pub fn link_at(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> SysResult<()> {
    let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
    // SAFETY: both directories are open and the name is NUL-terminated.
    check(unsafe { libc::linkat(from, name.as_ptr(), to, name.as_ptr(), 0) })
}

pub fn unlink_at(dir: &OwnedFd, name: &CStr) -> SysResult<()> {
    // SAFETY: `dir` is open and `name` is NUL-terminated.
    check(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), 0) })
}

/// Names in a directory, without "." and "..".
pub fn list(dir: &OwnedFd) -> SysResult<Vec<Vec<u8>>> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // A descriptor of its own: fdopendir takes it over together with its position.
    // SAFETY: `dir` is open and the literal is NUL-terminated.
    let own_fd = own(unsafe { libc::openat(dir.as_raw_fd(), c".".as_ptr(), flags) })?;
    // SAFETY: `own_fd` is an open directory; on success the stream owns it.
    let stream = unsafe { libc::fdopendir(own_fd.as_raw_fd()) };
    if stream.is_null() {
        return Err(last_errno());
    }
    std::mem::forget(own_fd);
    let mut names = Vec::new();
    let outcome = loop {
        // SAFETY: errno is a thread-local; readdir reports its end and its errors both as NULL.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: `stream` is open and used by this thread only.
        let entry = unsafe { libc::readdir64(stream) };
        if entry.is_null() {
            // SAFETY: reading the thread's errno.
            let errno = unsafe { *libc::__errno_location() };
            break if errno == 0 { Ok(()) } else { Err(Errno(errno)) };
        }
        // SAFETY: readdir returned a valid entry whose name is NUL-terminated.
        let name = unsafe { CStr::from_ptr((*entry).d_name.as_ptr()) }.to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    };
    // SAFETY: `stream` is open and not used again; this closes its descriptor.
    unsafe { libc::closedir(stream) };
    outcome.map(|()| names)
}

/// Takes the exclusive lock, or one that others may share, without waiting; EWOULDBLOCK when it is held.
pub fn flock(fd: &OwnedFd, shared: bool) -> SysResult<()> {
    let how = if shared { libc::LOCK_SH } else { libc::LOCK_EX };
    // SAFETY: the descriptor is open.
    check(unsafe { libc::flock(fd.as_raw_fd(), how | libc::LOCK_NB) })
}

/// Fills `buf` from the kernel's random generator.
pub fn random(buf: &mut [u8]) {
    let mut filled = 0;
    while filled < buf.len() {
        let rest = &mut buf[filled..];
        // SAFETY: `rest` is valid for writes of its length.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => filled += n,
            Err(_) if last_errno().0 == libc::EINTR => {}
            // getrandom cannot fail otherwise on any kernel that has it; without it the address of a
            // local and the clock still make ids differ, which is all that is asked of them.
            Err(_) => {
                let clock = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |t| t.as_nanos() as u64);
                let mixed = crate::hash::hash64(&clock.to_le_bytes(), rest.as_ptr() as u64);
                for (i, byte) in rest.iter_mut().enumerate() {
                    *byte = (crate::hash::hash64(&[i as u8], mixed)) as u8;
                }
                return;
            }
        }
    }
}
