//! One behaviour of `env::api` on both kernels, and what only a real one can be asked.

#![allow(unsafe_code, reason = "planting a FIFO takes a system call")]

use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::call::FileType;
use esker::internals::env::path::LOCK_NAME;
use esker::internals::env::sim::SimKernel;
use esker::internals::error::{Area, ErrorKind};
use esker::internals::sync::{AtomicU64, Ordering};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A directory of the real kernel that goes away with the test.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("esker-sim-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn open(&self) -> Dir {
        Fs::Real.open_dir(self.0.as_os_str().as_bytes(), 0o600).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
    }
}

/// Runs the test in an empty directory of each kernel.
fn on_both(test: impl Fn(&Fs, &[u8], &Dir)) {
    let temp = TempDir::new();
    test(&Fs::Real, temp.path().as_os_str().as_bytes(), &temp.open());
    let fs = Fs::Sim(SimKernel::new(1));
    fs.make_dir(b"/tmp", 0o700).unwrap();
    test(&fs, b"/tmp", &fs.open_dir(b"/tmp", 0o600).unwrap());
}

fn sorted_names(dir: &Dir) -> Vec<String> {
    let names = dir.list().unwrap().into_iter();
    let mut names: Vec<_> = names.map(|name| String::from_utf8(name).unwrap()).collect();
    names.sort();
    names
}

fn joined(base: &[u8], name: &str) -> Vec<u8> {
    [base, b"/", name.as_bytes()].concat()
}

#[test]
fn create_is_exclusive_and_open_finds_what_was_written() {
    on_both(|_, _, dir| {
        let file = dir.create("a", Area::Table).unwrap();
        file.write_all_at(b"hello world", 0).unwrap();
        let error = dir.create("a", Area::Table).err().expect("the name is taken");
        assert_eq!((error.kind(), error.detail().os_errno), (ErrorKind::Io, libc::EEXIST));
        assert!(error.detail().message.contains("/a"), "{error}");
        let reader = dir.open_read("a", Area::Table).unwrap();
        let mut buf = [0; 5];
        reader.read_exact_at(&mut buf, 6).unwrap();
        assert_eq!(&buf, b"world");
        let error = reader.write_all_at(b"x", 0).unwrap_err();
        assert_eq!(error.detail().os_errno, libc::EBADF);
        assert_eq!(dir.open_read("b", Area::Table).err().unwrap().kind(), ErrorKind::Missing);
    });
}

#[test]
fn reads_are_short_only_at_the_end() {
    on_both(|_, _, dir| {
        let file = dir.create("a", Area::Table).unwrap();
        file.write_all_at(b"12345", 0).unwrap();
        let mut buf = [9; 8];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 5);
        assert_eq!(buf, *b"12345\x09\x09\x09");
        assert_eq!(file.read_at(&mut buf, 5).unwrap(), 0);
        assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
        let error = file.read_exact_at(&mut buf, 3).unwrap_err();
        assert_eq!((error.kind(), error.detail().offset), (ErrorKind::Corrupt, 3));
        assert_eq!(file.read_at(&mut buf, u64::MAX).unwrap_err().detail().os_errno, libc::EINVAL);
        file.write_all_at(b"x", u64::MAX).unwrap_err();
        file.write_all_at(b"", 100).unwrap();
        assert_eq!(file.size().unwrap(), 5);
    });
}

#[test]
fn holes_allocated_and_truncated_bytes_read_as_zeros() {
    on_both(|_, _, dir| {
        let file = dir.create("a", Area::Table).unwrap();
        file.write_all_at(b"end", 5).unwrap();
        file.allocate(10).unwrap();
        let mut buf = [9; 20];
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 10);
        assert_eq!(&buf[..10], b"\0\0\0\0\0end\0\0");
        file.allocate(4).unwrap();
        assert_eq!(file.size().unwrap(), 10, "allocating never shrinks");
        file.truncate(6).unwrap();
        file.truncate(9).unwrap();
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 9);
        assert_eq!(&buf[..9], b"\0\0\0\0\0e\0\0\0");
        assert_eq!(file.allocate(0).unwrap_err().detail().os_errno, libc::EINVAL);
        file.sync_data().unwrap();
    });
}

#[test]
fn names_are_listed_renamed_and_removed() {
    on_both(|_, _, dir| {
        for name in ["c", "a", "b"] {
            dir.create(name, Area::Table).unwrap().write_all_at(name.as_bytes(), 0).unwrap();
        }
        assert_eq!(sorted_names(dir), ["a", "b", "c"]);
        dir.rename("a", "b").unwrap();
        dir.rename("c", "c").unwrap();
        assert_eq!(sorted_names(dir), ["b", "c"]);
        let mut byte = [0];
        dir.open_read("b", Area::Table).unwrap().read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(&byte, b"a");
        assert_eq!(dir.rename("a", "d").unwrap_err().detail().os_errno, libc::ENOENT);
        dir.unlink("b").unwrap();
        dir.unlink("b").unwrap();
        dir.sync().unwrap();
        dir.sync_parent().unwrap();
        assert_eq!(sorted_names(dir), ["c"]);
    });
}

#[test]
fn stat_tells_files_from_directories_and_nothing() {
    on_both(|fs, base, dir| {
        let file = dir.create("a", Area::Table).unwrap();
        file.write_all_at(b"123", 0).unwrap();
        let stat = dir.stat("a").unwrap().unwrap();
        assert_eq!((stat.kind, stat.size, stat.links), (FileType::Regular, 3, 1));
        assert_eq!(file.stat().unwrap(), stat);
        assert_eq!(dir.stat("none").unwrap(), None);
        fs.make_dir(&joined(base, "sub"), 0o700).unwrap();
        let sub = dir.stat("sub").unwrap().unwrap();
        assert_eq!(sub.kind, FileType::Directory);
        assert_ne!(sub.inode, stat.inode);
        assert_eq!(sub.device, stat.device);
        let error = dir.open_read("sub", Area::Table).err().expect("a directory is no file");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        dir.unlink("a").unwrap();
        assert_eq!(file.stat().unwrap().links, 0);
    });
}

#[test]
fn directories_are_made_opened_and_removed() {
    on_both(|fs, base, dir| {
        let sub = joined(base, "sub");
        assert_eq!(fs.open_dir(&sub, 0o600).err().unwrap().kind(), ErrorKind::Missing);
        fs.make_dir(&sub, 0o700).unwrap();
        fs.make_dir(&sub, 0o700).unwrap();
        let deep = joined(base, "none/deep");
        assert_eq!(fs.make_dir(&deep, 0o700).unwrap_err().kind(), ErrorKind::Missing);
        let inner = fs.open_dir(&sub, 0o600).unwrap();
        inner.create("file", Area::Table).unwrap();
        let file = joined(&sub, "file");
        assert_eq!(fs.open_dir(&file, 0o600).err().unwrap().kind(), ErrorKind::Missing);
        assert!(!fs.remove_dir(&sub).unwrap(), "it is not empty");
        dir.unlink("sub").unwrap_err();
        inner.unlink("file").unwrap();
        assert!(fs.remove_dir(&sub).unwrap());
        assert!(fs.remove_dir(&sub).unwrap(), "gone is gone");
        let error = inner.create("late", Area::Table).err().expect("the directory is gone");
        assert_eq!(error.detail().os_errno, libc::ENOENT);
        assert_eq!(fs.open_dir(b"a\0b", 0o600).err().unwrap().kind(), ErrorKind::Invalid);
    });
}

#[test]
fn second_lock_in_one_process_is_refused_with_the_holder() {
    on_both(|_, _, dir| {
        let lock = dir.lock().unwrap();
        // The real kernel's claims know the holder before it has said who it is.
        let pid = u64::from(std::process::id());
        let holder = dir.lock().err().unwrap().detail().value;
        assert!(holder == 0 || holder == pid, "{holder}");
        lock.announce().unwrap();
        let error = dir.lock().err().expect("the lock is held");
        assert_eq!((error.kind(), error.detail().value), (ErrorKind::Locked, pid));
        assert!(error.detail().message.contains(&pid.to_string()), "{error}");
        drop(lock);
        dir.lock().unwrap().announce().unwrap();
    });
}

#[test]
fn random_ids_differ_and_the_clock_does_not_go_back() {
    on_both(|fs, _, _| {
        assert_ne!(fs.random_id(), fs.random_id());
        let before = fs.now_micros();
        assert!(fs.now_micros() >= before);
        assert!(fs.unix_seconds() > 1_600_000_000);
    });
}

#[test]
fn symbolic_links_are_never_followed() {
    let temp = TempDir::new();
    let dir = temp.open();
    dir.create("target", Area::Table).unwrap();
    for name in ["link", "new", LOCK_NAME] {
        symlink("target", temp.path().join(name)).unwrap();
    }
    let error = dir.open_read("link", Area::Table).err().expect("a link is not followed");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = dir.create("new", Area::Table).err().expect("the name is taken");
    assert_eq!(error.detail().os_errno, libc::EEXIST);
    let error = dir.lock().err().expect("a link is not followed");
    assert_eq!(error.detail().os_errno, libc::ELOOP);
    assert_eq!(dir.stat("link").unwrap().unwrap().kind, FileType::Other);
}

#[test]
fn planted_fifo_neither_hangs_nor_passes_for_a_file() {
    let temp = TempDir::new();
    let dir = temp.open();
    for name in [c"fifo", c"LOCK"] {
        let path = temp.path().join(name.to_str().unwrap());
        let path = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is NUL-terminated and lives across the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }
    let error = dir.open_read("fifo", Area::Table).err().expect("a FIFO is no regular file");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(dir.lock().err().expect("a FIFO is no lock").kind(), ErrorKind::Invalid);
}

#[test]
fn lock_file_with_a_second_name_is_refused() {
    let temp = TempDir::new();
    let dir = temp.open();
    drop(dir.lock().unwrap());
    std::fs::hard_link(temp.path().join(LOCK_NAME), temp.path().join("other")).unwrap();
    assert_eq!(dir.lock().err().expect("two names").kind(), ErrorKind::Invalid);
}

#[test]
fn files_get_the_mode_asked_for_and_no_more() {
    let temp = TempDir::new();
    let dir = temp.open();
    dir.create("a", Area::Table).unwrap();
    drop(dir.lock().unwrap());
    for name in ["a", LOCK_NAME] {
        let metadata = std::fs::metadata(temp.path().join(name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600, "{name}");
    }
}

#[test]
fn allocation_reserves_blocks_where_the_file_system_can() {
    let temp = TempDir::new();
    let file = temp.open().create("a", Area::Wal).unwrap();
    file.allocate(1 << 16).unwrap();
    assert_eq!(file.size().unwrap(), 1 << 16);
    let metadata = std::fs::metadata(temp.path().join("a")).unwrap();
    assert!(metadata.size() == 1 << 16 && metadata.blocks() <= 1 << 10);
}
