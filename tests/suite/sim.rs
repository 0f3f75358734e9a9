//! The simulated kernel keeps its promises: what must survive does, what may be lost is for some seed.
//!
//! `crash`: what power cuts and kills leave. `fault`: failing calls, the freeze, the full disk. `kernels`:
//! one behaviour of `env::api` on both kernels. `process`: forks and signals. Here: helpers, and the
//! simulated kernel as a plain file system.

mod crash;
mod fault;
mod kernels;
mod process;

use esker::internals::env::api::{Dir, File, Fs};
use esker::internals::env::sim::{CrashPolicy, SimKernel};
use esker::internals::error::Area;
use esker::internals::sync::Arc;
use std::time::{Duration, Instant};

/// A kernel whose directory /db is durable, and that directory.
fn kernel_with_db(seed: u64) -> (Arc<SimKernel>, Dir) {
    let kernel = SimKernel::new(seed);
    let fs = Fs::Sim(Arc::clone(&kernel));
    fs.make_dir(b"/db", 0o700).unwrap();
    let dir = fs.open_dir(b"/db", 0o600).unwrap();
    dir.sync_parent().unwrap();
    (kernel, dir)
}

fn create(dir: &Dir, name: &str) -> File {
    dir.create(name, Area::Table).unwrap()
}

/// A file with this content, all of it durable.
fn create_synced(dir: &Dir, name: &str, content: &[u8]) -> File {
    let file = create(dir, name);
    file.write_all_at(content, 0).unwrap();
    file.sync_data().unwrap();
    dir.sync().unwrap();
    file
}

/// The content of /db/`name` in the image that the policy and the seed leave.
fn image_of(kernel: &SimKernel, policy: CrashPolicy, seed: u64, name: &str) -> Option<Vec<u8>> {
    kernel.crash(policy, seed).read_file("/db", name)
}

/// xorshift64, so that tests choose without the kernel's own generator.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[test]
fn directories_nest_and_paths_resolve() {
    let fs = Fs::Sim(SimKernel::new(1));
    for path in ["/a", "/a/b", "/a/b/db/"] {
        fs.make_dir(path.as_bytes(), 0o700).unwrap();
    }
    let dir = fs.open_dir(b"/a//b/./db", 0o600).unwrap();
    let through_parent = fs.open_dir(b"/a/../a/b/db", 0o600).unwrap();
    assert_eq!(dir.stat_self().unwrap().inode, through_parent.stat_self().unwrap().inode);
    assert_eq!(fs.open_dir(b"/a", 0o600).unwrap().list().unwrap(), [b"b".to_vec()]);
    assert!(fs.open_dir(b"/", 0o600).is_ok());
    assert!(fs.make_dir(b"/none/db", 0o700).is_err());
}

#[test]
fn numbers_repeat_with_the_seed_and_differ_between_seeds() {
    let draw = |seed| {
        let kernel = SimKernel::new(seed);
        (0..8).map(|_| kernel.random_u64()).collect::<Vec<_>>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn clock_goes_forward_and_can_be_set() {
    let (kernel, _dir) = kernel_with_db(1);
    let fs = Fs::Sim(Arc::clone(&kernel));
    let first = fs.now_micros();
    assert!(fs.now_micros() > first);
    kernel.set_clock(5_000_000);
    assert_eq!(fs.unix_seconds(), 5);
    kernel.advance_clock(10_000_000);
    assert_eq!(fs.unix_seconds(), 15);
    let rebooted = kernel.crash(CrashPolicy::OnlySynced, 1);
    assert!(rebooted.now_micros() > fs.now_micros());
}

#[test]
fn inspection_sees_and_tampers() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "a");
    file.write_all_at(b"hello", 0).unwrap();
    file.allocate(8).unwrap();
    assert_eq!(kernel.files("/db"), [("a".to_owned(), b"hello\0\0\0".to_vec())]);
    assert!(kernel.files("/none").is_empty());
    let before = kernel.directory_hash("/db");
    kernel.corrupt("/db", "a", 1, 0x20);
    assert_eq!(kernel.read_file("/db", "a").unwrap(), b"hEllo\0\0\0");
    assert_ne!(kernel.directory_hash("/db"), before);
    kernel.corrupt("/db", "a", 1, 0x20);
    assert_eq!(kernel.directory_hash("/db"), before);
    file.truncate(7).unwrap();
    assert_ne!(kernel.directory_hash("/db"), before, "sizes count");
    kernel.write_file("/db", "b", b"new");
    let rebooted = kernel.crash(CrashPolicy::OnlySynced, 1);
    assert_eq!(rebooted.read_file("/db", "b").unwrap(), b"new");
    assert!(kernel.remove_file("/db", "b") && !kernel.remove_file("/db", "b"));
    assert_eq!(kernel.crash(CrashPolicy::OnlySynced, 1).read_file("/db", "b"), None);
}

#[test]
fn open_files_outlive_their_names_and_free_nothing_others_use() {
    let (kernel, dir) = kernel_with_db(1);
    let file = create(&dir, "kept");
    file.write_all_at(b"kept", 0).unwrap();
    dir.unlink("kept").unwrap();
    // Enough garbage to make the kernel sweep its inodes more than once.
    for i in 0..1000 {
        let name = format!("{i}");
        drop(create(&dir, &name));
        dir.unlink(&name).unwrap();
        dir.sync().unwrap();
    }
    let mut buf = [0; 4];
    file.read_exact_at(&mut buf, 0).unwrap();
    assert_eq!(&buf, b"kept");
    assert_eq!(file.stat().unwrap().links, 0);
    assert_eq!(kernel.used(), 4);
    drop(file);
    assert_eq!(kernel.used(), 0);
}

#[test]
fn numbers_of_inodes_are_never_used_twice() {
    let (kernel, dir) = kernel_with_db(1);
    let mut last = dir.stat_self().unwrap().inode;
    // Enough of them to make the kernel sweep its inodes more than once; each is the last, and is gone.
    for _ in 0..1000 {
        let inode = create(&dir, "a").stat().unwrap().inode;
        assert!(inode > last, "{inode} after {last}");
        last = inode;
        dir.unlink("a").unwrap();
        dir.sync().unwrap();
    }
    let rebooted = Fs::Sim(kernel.crash(CrashPolicy::Kill, 1));
    let dir = rebooted.open_dir(b"/db", 0o600).unwrap();
    assert!(create(&dir, "a").stat().unwrap().inode > last, "nor in the next life");
}

#[test]
fn a_file_that_a_crash_may_bring_back_is_kept_for_it() {
    let (kernel, dir) = kernel_with_db(1);
    let fs = Fs::Sim(Arc::clone(&kernel));
    fs.make_dir(b"/other", 0o700).unwrap();
    let other = fs.open_dir(b"/other", 0o600).unwrap();
    drop(create_synced(&dir, "kept", b"kept"));
    dir.unlink("kept").unwrap();
    for i in 0..1000 {
        let name = format!("{i}");
        drop(create(&other, &name));
        other.unlink(&name).unwrap();
        other.sync().unwrap();
    }
    assert_eq!(image_of(&kernel, CrashPolicy::OnlySynced, 1, "kept").unwrap(), b"kept");
    dir.sync().unwrap();
    assert_eq!(image_of(&kernel, CrashPolicy::OnlySynced, 1, "kept"), None);
}

/// Campaigns make millions of small calls on files that have grown large.
#[test]
fn small_calls_on_a_large_file_do_not_copy_it() {
    let (_kernel, dir) = kernel_with_db(1);
    let file = create_synced(&dir, "large", &vec![1; 32 << 20]);
    // Copying the file each time takes minutes; done right it is some milliseconds.
    let begun = Instant::now();
    for n in 0..8000 {
        file.write_all_at(&[2], n * 4096).unwrap();
        file.sync_data().unwrap();
        file.read_exact_at(&mut [0], n).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10), "{n} calls");
    }
}
