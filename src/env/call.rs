//! Vocabulary of the system calls that `real` and `sim` both answer.

/// An errno value; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// "No such file or directory".
pub const ENOENT: i32 = libc::ENOENT;

pub type SysResult<T> = std::result::Result<T, Errno>;

/// How a file in a directory is opened. Every form is O_CLOEXEC and O_NOFOLLOW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// O_RDONLY.
    Read,
    /// O_RDWR: what exists.
    Write,
    /// O_RDWR | O_CREAT | O_EXCL: a new file.
    CreateNew,
    /// O_RDWR | O_CREAT: the lock file.
    Lock,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    Regular,
    Directory,
    Other,
}

/// What fstat says, as far as the engine asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    pub links: u64,
    pub kind: FileType,
}
