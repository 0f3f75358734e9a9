//! The lock of a database directory: who may have it open.
//!
//! Two locks are held, both by flock: of the file LOCK, which carries the holder's pid for the message, and of the
//! directory itself, which is there also when somebody has removed LOCK as stale. Where directories cannot be locked, as on some
//! network file systems, LOCK is all there is.
//!
//! Invariants
//! 1. A directory is never open for writing twice, by whatever processes, while flock works.
//! 2. A forked child keeps neither lock.

use crate::env::api::{Dir, Fd, File, LOCK_NAME, os_error, retry};
use crate::env::call::{Errno, FileType, OpenHow, Stat, SysResult};
use crate::env::process::{register_lock, unregister_lock};
use crate::env::real;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::Mutex;
use std::os::fd::AsRawFd;

/// The held lock of a database directory; dropping it releases the lock.
pub struct DirLock {
    // Before the claim: the descriptors are closed while the directory is still claimed.
    file: Option<Held>,
    _whole: Option<Held>,
    _claim: Option<Claim>,
}

/// A descriptor that holds a lock.
struct Held {
    file: File,
    registered: bool,
}

impl From<File> for Held {
    /// Has a forked child close the descriptor.
    fn from(file: File) -> Held {
        let registered = match &file.fd {
            Fd::Real(fd) => register_lock(fd.as_raw_fd()),
            _ => false,
        };
        Held { file, registered }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let (true, Fd::Real(fd)) = (self.registered, &self.file.fd) {
            unregister_lock(fd.as_raw_fd());
        }
    }
}

impl Dir {
    /// Takes the database's lock: `LOCKED` with the holder's pid (in `value`) when it is held, `READONLY` where
    /// the directory may not be written.
    ///
    /// The directories locked by this process are known besides, and asked before LOCK is opened: where flock
    /// is emulated by record locks, closing a second descriptor of the file would drop the first one's lock.
    pub fn lock(&self) -> Result<DirLock> {
        let name = self.shown(LOCK_NAME);
        let claim = match &self.fd {
            Fd::Real(_) => Some(Claim::make(self.stat_self()?, &name)?),
            Fd::Memory(_) => None,
            #[cfg(feature = "sim")]
            Fd::Sim(_) => None,
        };
        if let Fd::Real(fd) = &self.fd {
            real::may_write(fd).map_err(|errno| {
                let error = os_error(errno, Area::Directory, "writing in", &self.path);
                error.with_kind(ErrorKind::ReadOnly)
            })?;
        }
        let whole = self.lock_whole(false)?;
        let fd = self.open_fd(LOCK_NAME, OpenHow::Lock)?.map_err(|errno| {
            let error = os_error(errno, Area::Lock, "opening", &name);
            match errno.0 {
                libc::EACCES | libc::EPERM => error.with_kind(ErrorKind::ReadOnly),
                _ => error,
            }
        })?;
        let file = File { fd, name, area: Area::Lock };
        file.lock(false)?;
        Ok(DirLock { file: Some(file.into()), _whole: whole, _claim: claim })
    }

    /// The same, shared with others who only read: `LOCKED` while a writer holds it. Writes nothing, so there may be no
    /// LOCK to hold.
    pub fn lock_shared(&self) -> Result<DirLock> {
        if let Fd::Real(_) = &self.fd {
            // A writer in this process says so before the file is opened.
            drop(Claim::make(self.stat_self()?, &self.shown(LOCK_NAME))?);
        }
        let whole = self.lock_whole(true)?;
        let file = match self.open_read(LOCK_NAME, Area::Lock) {
            Err(error) if error.kind() == ErrorKind::Missing => None,
            file => {
                let file = file?;
                file.lock(true)?;
                Some(file.into())
            }
        };
        Ok(DirLock { file, _whole: whole, _claim: None })
    }

    /// Locks the directory itself, by a descriptor of its own; `None` where that cannot be done.
    fn lock_whole(&self, shared: bool) -> Result<Option<Held>> {
        let fd = match &self.fd {
            Fd::Real(fd) => retry(|| real::open_self(fd)).map(Fd::Real),
            Fd::Memory(_) => return Ok(None),
            #[cfg(feature = "sim")]
            Fd::Sim(fd) => retry(|| fd.open_self()).map(Fd::Sim),
        };
        let fd = fd.map_err(|e| os_error(e, Area::Directory, "opening directory", &self.path))?;
        let whole = File { fd, name: self.path.clone(), area: Area::Lock };
        match whole.flock(shared) {
            Ok(()) => Ok(Some(whole.into())),
            Err(Errno(libc::EWOULDBLOCK)) => {
                let file = self.open_read(LOCK_NAME, Area::Lock);
                let pid = file.map_or(0, |file| read_pid(&file));
                Err(held_by(&self.shown(LOCK_NAME), pid))
            }
            Err(Errno(
                libc::EBADF | libc::EINVAL | libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP,
            )) => Ok(None),
            Err(errno) => Err(os_error(errno, Area::Lock, "locking", &self.path)),
        }
    }
}

fn held_by(name: &str, pid: u64) -> Error {
    let holder = if pid == 0 { String::new() } else { format!(" by process {pid}") };
    let message = format!("{name} is held{holder}");
    Error::new(ErrorKind::Locked, Area::Lock, message).with_value(pid)
}

impl File {
    fn flock(&self, shared: bool) -> SysResult<()> {
        dispatch!(&self.fd, fd =>
            retry(|| real::flock(fd, shared)), retry(|| fd.flock(shared)))
    }

    fn lock(&self, shared: bool) -> Result<()> {
        let stat = self.stat()?;
        if stat.kind != FileType::Regular || stat.links != 1 {
            let message = format!("{} is not a regular file with one link", self.name);
            return Err(Error::new(ErrorKind::Invalid, Area::Lock, message));
        }
        match self.flock(shared) {
            Ok(()) => Ok(()),
            Err(Errno(libc::EWOULDBLOCK)) => Err(held_by(&self.name, read_pid(self))),
            Err(errno) => Err(os_error(errno, Area::Lock, "locking", &self.name)),
        }
    }
}

/// Device and inode of the directories this process has locked.
static CLAIMED: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());

/// This process's claim on a directory; dropping it gives it up.
struct Claim {
    device: u64,
    inode: u64,
}

impl Claim {
    fn make(dir: Stat, lock_name: &str) -> Result<Claim> {
        let mut claimed = CLAIMED.lock();
        if claimed.contains(&(dir.device, dir.inode)) {
            let pid = u64::from(std::process::id());
            let message = format!("{lock_name} is held by this process ({pid})");
            return Err(Error::new(ErrorKind::Locked, Area::Lock, message).with_value(pid));
        }
        claimed.push((dir.device, dir.inode));
        Ok(Claim { device: dir.device, inode: dir.inode })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().retain(|held| *held != (self.device, self.inode));
    }
}

fn read_pid(file: &File) -> u64 {
    let mut text = [0; 20];
    // The pid is a courtesy in the message; a lock file that cannot be read just has none.
    let n = file.read_at(&mut text, 0).unwrap_or(0);
    let digits = text[..n].split(|b| !b.is_ascii_digit()).next().unwrap_or(&[]);
    std::str::from_utf8(digits).ok().and_then(|t| t.parse().ok()).unwrap_or(0)
}

impl DirLock {
    /// Writes this process's pid into the lock file, for the message of a second opener.
    pub fn announce(&self) -> Result<()> {
        let Some(held) = &self.file else { return Ok(()) };
        let pid = format!("{}\n", std::process::id());
        held.file.truncate(0)?;
        held.file.write_all_at(pid.as_bytes(), 0)
    }
}
