//! Files, directories, the lock, time and random numbers as the engine sees them.
//!
//! `Fs` is an enum over the real kernel, files in memory and the simulated kernel, not a trait object. Retry loops, all-or-
//! error writes and error texts live here, above both, so that the simulator's faults meet the same code
//! as the kernel's.
//!
//! Invariants
//! 1. A write is complete or an error; a read is full, or short only at the end of the file.
//! 2. Written bytes may be lost until `sync_data`; a created, renamed or removed name until `Dir::sync`.
//! 3. A failed sync is never retried on that file by any caller.
//! 4. Everything is relative to a directory descriptor held for the life of the database.

use crate::buffer::reserve;
use crate::env::call::{Errno, FileType, OpenHow, Stat, SysResult};
use crate::env::memory::{MemDir, MemFd};
use crate::env::path::LOCK_NAME;
use crate::env::real;
#[cfg(feature = "sim")]
use crate::env::sim::{SimFd, SimKernel};
use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::{Arc, Instant, Mutex, OnceLock};
use std::ffi::CString;
use std::os::fd::OwnedFd;

/// Which kernel answers.
#[derive(Clone)]
pub enum Fs {
    Real,
    /// One directory in memory; every path leads to it.
    Memory(Arc<MemDir>),
    #[cfg(feature = "sim")]
    Sim(Arc<SimKernel>),
}

/// Bytes that are copied at once.
const COPY_BYTES: u64 = 1 << 20;

enum Fd {
    Real(OwnedFd),
    Memory(MemFd),
    #[cfg(feature = "sim")]
    Sim(SimFd),
}

/// Calls `$real`, or `$other` with the descriptor of the kernel in memory that made it.
macro_rules! dispatch {
    ($fd:expr, $f:ident => $real:expr, $other:expr) => {
        match $fd {
            Fd::Real($f) => $real,
            Fd::Memory($f) => $other,
            #[cfg(feature = "sim")]
            Fd::Sim($f) => $other,
        }
    };
}

// Behind the macro, which it uses.
mod lock;

pub use lock::DirLock;

/// Repeats a call that a signal interrupted.
fn retry<T>(mut call: impl FnMut() -> SysResult<T>) -> SysResult<T> {
    loop {
        match call() {
            Err(Errno(libc::EINTR)) => {}
            other => return other,
        }
    }
}

fn describe(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.0).to_string()
}

/// Turns an errno into an error that says what was done to what.
fn os_error(errno: Errno, area: Area, what: &str, name: &str) -> Error {
    let kind = match errno.0 {
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => ErrorKind::NoSpace,
        libc::ENOMEM => ErrorKind::NoMem,
        libc::EROFS => ErrorKind::ReadOnly,
        _ => ErrorKind::Io,
    };
    let error = Error::new(kind, area, format!("{what} {name}: {}", describe(errno)));
    let error = error.with_errno(errno.0);
    match errno.0 {
        libc::EMFILE | libc::ENFILE | libc::EAGAIN | libc::ENOSPC | libc::EDQUOT => {
            error.retryable()
        }
        _ => error,
    }
}

fn c_name(name: &[u8], area: Area) -> Result<CString> {
    CString::new(name).map_err(|_| Error::invalid(area, "a path holds a NUL byte"))
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

impl Fs {
    /// Files that end with their last user.
    pub fn memory() -> Fs {
        Fs::Memory(Arc::default())
    }

    /// Whether what is written is there for a later open.
    pub fn keeps(&self) -> bool {
        !matches!(self, Fs::Memory(_))
    }

    fn open_dir_fd(&self, path: &[u8]) -> Result<SysResult<Fd>> {
        let c_path = c_name(path, Area::Directory)?;
        Ok(match self {
            Fs::Real => retry(|| real::open_dir(&c_path)).map(Fd::Real),
            Fs::Memory(dir) => Ok(Fd::Memory(MemFd::Dir(Arc::clone(dir)))),
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => retry(|| SimKernel::open_dir(kernel, path)).map(Fd::Sim),
        })
    }

    /// Opens a directory. `MISSING` with ENOENT or ENOTDIR when there is none.
    pub fn open_dir(&self, path: &[u8], file_mode: u32) -> Result<Dir> {
        let opened = self.open_dir_fd(path)?;
        let fd = opened.map_err(|errno| {
            let error = os_error(errno, Area::Directory, "opening directory", &shown(path));
            match errno.0 {
                libc::ENOENT | libc::ENOTDIR => error.with_kind(ErrorKind::Missing),
                libc::EACCES | libc::EPERM => error.with_kind(ErrorKind::ReadOnly),
                _ => error,
            }
        })?;
        Ok(Dir { fd, path: shown(path), file_mode, failed_syncs: Mutex::new(0) })
    }

    /// Makes a directory (its parent must exist); fine when it is there already.
    pub fn make_dir(&self, path: &[u8], mode: u32) -> Result<()> {
        let c_path = c_name(path, Area::Directory)?;
        let made = match self {
            Fs::Real => retry(|| real::make_dir(&c_path, mode)),
            Fs::Memory(_) => Ok(()),
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => retry(|| kernel.make_dir(path, mode)),
        };
        match made {
            Ok(()) | Err(Errno(libc::EEXIST)) => Ok(()),
            Err(errno) => {
                let error = os_error(errno, Area::Directory, "making directory", &shown(path));
                Err(match errno.0 {
                    libc::ENOENT | libc::ENOTDIR => error.with_kind(ErrorKind::Missing),
                    libc::EACCES | libc::EPERM => error.with_kind(ErrorKind::ReadOnly),
                    _ => error,
                })
            }
        }
    }

    /// Removes a directory if it is empty; says whether it is gone.
    pub fn remove_dir(&self, path: &[u8]) -> Result<bool> {
        let c_path = c_name(path, Area::Directory)?;
        let removed = match self {
            Fs::Real => retry(|| real::remove_dir(&c_path)),
            Fs::Memory(_) => Ok(()),
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => retry(|| kernel.remove_dir(path)),
        };
        match removed {
            Ok(()) | Err(Errno(libc::ENOENT)) => Ok(true),
            Err(Errno(libc::ENOTEMPTY | libc::EEXIST)) => Ok(false),
            // Its name may be a link or ".", a mount point, or in a directory of somebody else.
            Err(Errno(
                libc::ENOTDIR
                | libc::EINVAL
                | libc::EBUSY
                | libc::EACCES
                | libc::EPERM
                | libc::EROFS,
            )) => Ok(false),
            Err(errno) => Err(os_error(errno, Area::Directory, "removing directory", &shown(path))),
        }
    }

    /// A random number: ids, salts and seeds come from here, so that a simulated run repeats.
    pub fn random_u64(&self) -> u64 {
        match self {
            Fs::Real | Fs::Memory(_) => {
                let mut bytes = [0; 8];
                real::random(&mut bytes);
                u64::from_le_bytes(bytes)
            }
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => kernel.random_u64(),
        }
    }

    /// 16 random bytes for a database or table id.
    pub fn random_id(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.random_u64().to_le_bytes());
        id[8..].copy_from_slice(&self.random_u64().to_le_bytes());
        id
    }

    /// Seconds since 1970, advisory only.
    pub fn unix_seconds(&self) -> u64 {
        match self {
            Fs::Real | Fs::Memory(_) => std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(0, |t| t.as_secs()),
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => kernel.now_micros() / 1_000_000,
        }
    }

    /// Microseconds on a clock that only goes forward.
    pub fn now_micros(&self) -> u64 {
        match self {
            Fs::Real | Fs::Memory(_) => {
                static START: OnceLock<Instant> = OnceLock::new();
                START.get_or_init(Instant::now).elapsed().as_micros() as u64
            }
            #[cfg(feature = "sim")]
            Fs::Sim(kernel) => kernel.now_micros(),
        }
    }
}

/// An open directory.
pub struct Dir {
    fd: Fd,
    path: String,
    file_mode: u32,
    /// Syncs of it that failed.
    failed_syncs: Mutex<u64>,
}

impl Dir {
    /// The path it was opened with, for messages only.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn open_fd(&self, name: &str, how: OpenHow) -> Result<SysResult<Fd>> {
        let c = c_name(name.as_bytes(), Area::Directory)?;
        let mode = self.file_mode;
        let name = name.as_bytes();
        Ok(match &self.fd {
            Fd::Real(fd) => retry(|| real::open_at(fd, &c, how, mode)).map(Fd::Real),
            Fd::Memory(fd) => fd.open_at(name, how, mode).map(Fd::Memory),
            #[cfg(feature = "sim")]
            Fd::Sim(fd) => retry(|| fd.open_at(name, how, mode)).map(Fd::Sim),
        })
    }

    /// Makes a new file for reading and writing. Fails when the name exists.
    pub fn create(&self, name: &str, area: Area) -> Result<File> {
        let fd = self
            .open_fd(name, OpenHow::CreateNew)?
            .map_err(|errno| os_error(errno, area, "creating", &self.shown(name)))?;
        Ok(File { fd, name: self.shown(name), area })
    }

    /// Opens a regular file for reading. A missing file is `MISSING`; anything but a regular file is
    /// `CORRUPT`.
    pub fn open_read(&self, name: &str, area: Area) -> Result<File> {
        self.open_as(name, OpenHow::Read, area)
    }

    /// As `open_read`, for writing too.
    pub fn open_write(&self, name: &str, area: Area) -> Result<File> {
        self.open_as(name, OpenHow::Write, area)
    }

    fn open_as(&self, name: &str, how: OpenHow, area: Area) -> Result<File> {
        let fd = self.open_fd(name, how)?.map_err(|errno| {
            let error = os_error(errno, area, "opening", &self.shown(name));
            match errno.0 {
                libc::ENOENT => error.with_kind(ErrorKind::Missing),
                libc::ELOOP => error.with_kind(ErrorKind::Corrupt),
                _ => error,
            }
        })?;
        let file = File { fd, name: self.shown(name), area };
        if file.stat()?.kind != FileType::Regular {
            let message = format!("{} is not a regular file", file.name);
            return Err(Error::new(ErrorKind::Corrupt, area, message));
        }
        Ok(file)
    }

    /// What the name stands for, without following links; `None` when there is nothing.
    pub fn stat(&self, name: &str) -> Result<Option<Stat>> {
        let c = c_name(name.as_bytes(), Area::Directory)?;
        let found = dispatch!(&self.fd, fd =>
            retry(|| real::stat_at(fd, &c)),
            retry(|| fd.stat_at(name.as_bytes())));
        match found {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno(libc::ENOENT)) => Ok(None),
            Err(errno) => Err(os_error(errno, Area::Directory, "looking at", &self.shown(name))),
        }
    }

    /// Every name in the directory, in no order.
    pub fn list(&self) -> Result<Vec<Vec<u8>>> {
        dispatch!(&self.fd, fd => retry(|| real::list(fd)), retry(|| fd.list()))
            .map_err(|errno| os_error(errno, Area::Directory, "listing", &self.path))
    }

    /// Renames, replacing what bears the new name. Durable after `sync`.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        let c_from = c_name(from.as_bytes(), Area::Directory)?;
        let c_to = c_name(to.as_bytes(), Area::Directory)?;
        dispatch!(&self.fd, fd =>
            retry(|| real::rename_at(fd, &c_from, &c_to)),
            retry(|| fd.rename_at(from.as_bytes(), to.as_bytes())))
        .map_err(|errno| os_error(errno, Area::Directory, "renaming", &self.shown(from)))
    }

    /// Gives a file the same name in another directory, too; false where the file system has no such links
    /// or not between these two. Durable after `sync` of the other.
    pub fn link_into(&self, to: &Dir, name: &str) -> Result<bool> {
        let c = c_name(name.as_bytes(), Area::Directory)?;
        let linked = match (&self.fd, &to.fd) {
            (Fd::Real(from), Fd::Real(to)) => retry(|| real::link_at(from, to, &c)),
            #[cfg(feature = "sim")]
            (Fd::Sim(from), Fd::Sim(to)) => retry(|| from.link_at(to, name.as_bytes())),
            _ => Err(Errno(libc::EXDEV)),
        };
        match linked {
            Ok(()) => Ok(true),
            Err(Errno(libc::EXDEV | libc::EPERM | libc::EMLINK | libc::EOPNOTSUPP)) => Ok(false),
            Err(errno) => Err(os_error(errno, Area::Directory, "linking", &self.shown(name))),
        }
    }

    /// Removes a name; fine when it is gone already.
    pub fn unlink(&self, name: &str) -> Result<()> {
        let c = c_name(name.as_bytes(), Area::Directory)?;
        let removed = dispatch!(&self.fd, fd =>
            retry(|| real::unlink_at(fd, &c)),
            retry(|| fd.unlink_at(name.as_bytes())));
        match removed {
            Ok(()) | Err(Errno(libc::ENOENT)) => Ok(()),
            Err(errno) => Err(os_error(errno, Area::Directory, "removing", &self.shown(name))),
        }
    }

    /// Syncs of the directory that have failed. To be asked before names are made, renamed or removed, and given to
    /// `sync_since`.
    pub fn failed_syncs(&self) -> u64 {
        *self.failed_syncs.lock()
    }

    /// Makes created, renamed and removed names durable.
    pub fn sync(&self) -> Result<()> {
        self.sync_since(u64::MAX)
    }

    /// The same for names that were changed when `failed` syncs had failed: when another has failed since, whoever asked for
    /// it, the kernel may have dropped them and report success for what is gone.
    pub fn sync_since(&self, failed: u64) -> Result<()> {
        let mut failures = self.failed_syncs.lock();
        let synced = dispatch!(&self.fd, fd => retry(|| real::fsync(fd)), retry(|| fd.fsync()));
        if let Err(errno) = synced {
            *failures = failures.saturating_add(1);
            return Err(os_error(errno, Area::Directory, "syncing directory", &self.path));
        }
        if *failures > failed {
            let message = format!("syncing directory {}: an earlier sync of it failed", self.path);
            return Err(Error::new(ErrorKind::Io, Area::Directory, message));
        }
        Ok(())
    }

    /// Makes this directory's own name durable in its parent. A parent that may not be opened for reading
    /// cannot be synced by this process; its owner made the directory, so its name is the owner's affair.
    pub fn sync_parent(&self) -> Result<()> {
        let synced = dispatch!(&self.fd, fd =>
            retry(|| real::open_parent(fd)).and_then(|parent| retry(|| real::fsync(&parent))),
            retry(|| fd.open_parent()).and_then(|parent| retry(|| parent.fsync())));
        match synced {
            Ok(()) | Err(Errno(libc::EACCES | libc::EPERM)) => Ok(()),
            Err(errno) => {
                Err(os_error(errno, Area::Directory, "syncing the parent of", &self.path))
            }
        }
    }

    /// Identity of the directory.
    pub fn stat_self(&self) -> Result<Stat> {
        dispatch!(&self.fd, fd => retry(|| real::fstat(fd)), retry(|| fd.fstat()))
            .map_err(|errno| os_error(errno, Area::Directory, "looking at", &self.path))
    }
}

/// An open file. Reads and writes name their offset, so one `File` serves many threads.
pub struct File {
    fd: Fd,
    name: String,
    area: Area,
}

impl File {
    /// Path for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn error(&self, errno: Errno, what: &str) -> Error {
        os_error(errno, self.area, what, &self.name)
    }

    pub fn stat(&self) -> Result<Stat> {
        dispatch!(&self.fd, fd => retry(|| real::fstat(fd)), retry(|| fd.fstat()))
            .map_err(|errno| self.error(errno, "looking at"))
    }

    pub fn size(&self) -> Result<u64> {
        Ok(self.stat()?.size)
    }

    /// Fills `buf` from `offset`; returns less than its length only at the end of the file.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let at = offset.saturating_add(filled as u64);
            let rest = &mut buf[filled..];
            let n = dispatch!(&self.fd, fd =>
                retry(|| real::pread(fd, rest, at)),
                retry(|| fd.pread(rest, at)))
            .map_err(|errno| self.error(errno, "reading").with_offset(at))?;
            if n == 0 {
                break;
            }
            filled += n;
        }
        Ok(filled)
    }

    /// Fills `buf` from `offset`; a file that ends before that is `CORRUPT`.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let n = self.read_at(buf, offset)?;
        self.check_read(n, buf.len(), offset)
    }

    /// The same into `buf`, whose room for `len` bytes the caller has reserved; what it held is gone.
    pub fn read_exact_into(&self, buf: &mut Vec<u8>, len: usize, offset: u64) -> Result<()> {
        buf.clear();
        let Fd::Real(fd) = &self.fd else {
            buf.resize(len, 0);
            return self.read_exact_at(buf, offset);
        };
        while buf.len() < len {
            let at = offset.saturating_add(buf.len() as u64);
            let rest = len - buf.len();
            let n = retry(|| real::pread_behind(fd, buf, rest, at))
                .map_err(|errno| self.error(errno, "reading").with_offset(at))?;
            if n == 0 {
                break;
            }
        }
        self.check_read(buf.len(), len, offset)
    }

    fn check_read(&self, n: usize, len: usize, offset: u64) -> Result<()> {
        if n == len {
            return Ok(());
        }
        let end = offset.saturating_add(n as u64);
        let message = format!("{} ends at {end}, needed {len} bytes at {offset}", self.name);
        Err(Error::new(ErrorKind::Corrupt, self.area, message).with_offset(offset))
    }

    /// Writes all of `buf` at `offset`. On an error any part of it may be in the file.
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset.saturating_add(done as u64);
            let rest = &buf[done..];
            let n = dispatch!(&self.fd, fd =>
                retry(|| real::pwrite(fd, rest, at)),
                retry(|| fd.pwrite(rest, at)))
            .map_err(|errno| self.error(errno, "writing").with_offset(at))?;
            if n == 0 {
                // A kernel that takes nothing and reports nothing would make this loop endless.
                return Err(self.error(Errno(libc::EIO), "writing").with_offset(at));
            }
            done += n;
        }
        Ok(())
    }

    /// Makes the file's bytes and size durable. After an error the bytes must be taken as lost.
    pub fn sync_data(&self) -> Result<()> {
        dispatch!(&self.fd, fd => retry(|| real::fdatasync(fd)), retry(|| fd.fdatasync()))
            .map_err(|errno| self.error(errno, "syncing"))
    }

    /// Writes the first `len` bytes to the beginning of `to`; `step` hears of every piece. Durable after a sync.
    pub fn copy_to(
        &self,
        to: &File,
        len: u64,
        step: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let room = COPY_BYTES.min(len) as usize;
        let mut buffer = Vec::new();
        reserve(&mut buffer, room, self.area)?;
        buffer.resize(room, 0);
        let mut at = 0;
        while at < len {
            let piece = buffer.get_mut(..COPY_BYTES.min(len - at) as usize).unwrap_or_default();
            self.read_exact_at(piece, at)?;
            to.write_all_at(piece, at)?;
            at += piece.len() as u64;
            step(piece.len() as u64)?;
        }
        Ok(())
    }

    pub fn truncate(&self, len: u64) -> Result<()> {
        dispatch!(&self.fd, fd => retry(|| real::ftruncate(fd, len)), retry(|| fd.ftruncate(len)))
            .map_err(|errno| self.error(errno, "truncating"))
    }

    /// Sets the size to `len` with its blocks allocated; where the file system cannot, only the size.
    pub fn allocate(&self, len: u64) -> Result<()> {
        let done = dispatch!(&self.fd, fd =>
            retry(|| real::fallocate(fd, len)),
            retry(|| fd.fallocate(len)));
        match done {
            Ok(()) => Ok(()),
            Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS)) => self.truncate(len),
            Err(errno) => Err(self.error(errno, "allocating")),
        }
    }
}
