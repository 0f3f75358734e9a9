//! The same calls on files in memory: what a database without files stands on.
//!
//! A directory is a map of names and belongs to one database. Bytes are kept in chunks that are allocated
//! when they are first written, so memory follows what was written, not the size a file was given ahead.
//!
//! Invariants
//! 1. Bytes that were never written, or that were cut off since, read as zeros.
//! 2. An open file stays usable after its name is gone; its memory goes with the last descriptor.
//! 3. Nothing survives the last descriptor of the directory.

use crate::env::call::{ENOENT, Errno, FileType, OpenHow, Stat, SysResult};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering, RwLock};
use std::collections::btree_map::{BTreeMap, Entry};

/// Bytes allocated at a time.
const CHUNK: u64 = 16 << 10;

#[derive(Default)]
struct Content {
    size: u64,
    chunks: BTreeMap<u64, Box<[u8]>>,
}

fn new_chunk() -> SysResult<Box<[u8]>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(CHUNK as usize).map_err(|_| Errno(libc::ENOMEM))?;
    bytes.resize(CHUNK as usize, 0);
    Ok(bytes.into_boxed_slice())
}

/// The chunk of `offset`, the place in it, and how many of `len` bytes it can hold.
fn piece(offset: u64, len: usize) -> (u64, usize, usize) {
    let within = offset % CHUNK;
    let left = (CHUNK - within).min(len as u64);
    (offset / CHUNK, within as usize, left as usize)
}

impl Content {
    fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let len = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < len {
            let (number, within, n) = piece(offset + done as u64, len - done);
            let to = &mut buf[done..done + n];
            match self.chunks.get(&number) {
                Some(chunk) => to.copy_from_slice(&chunk[within..within + n]),
                None => to.fill(0),
            }
            done += n;
        }
        len
    }

    /// Writes as much as there is memory for.
    fn write(&mut self, bytes: &[u8], offset: u64) -> SysResult<usize> {
        offset.checked_add(bytes.len() as u64).ok_or(Errno(libc::EFBIG))?;
        let mut done = 0;
        while done < bytes.len() {
            let (number, within, n) = piece(offset + done as u64, bytes.len() - done);
            let chunk = match self.chunks.entry(number) {
                Entry::Occupied(chunk) => chunk.into_mut(),
                Entry::Vacant(place) => match new_chunk() {
                    Ok(chunk) => place.insert(chunk),
                    Err(_) if done > 0 => break,
                    Err(errno) => return Err(errno),
                },
            };
            chunk[within..within + n].copy_from_slice(&bytes[done..done + n]);
            done += n;
            self.size = self.size.max(offset + done as u64);
        }
        Ok(done)
    }

    fn resize(&mut self, size: u64) {
        if size < self.size {
            drop(self.chunks.split_off(&size.div_ceil(CHUNK)));
            if let Some(chunk) = self.chunks.get_mut(&(size / CHUNK)) {
                chunk[(size % CHUNK) as usize..].fill(0);
            }
        }
        self.size = size;
    }
}

/// A file.
pub struct MemFile {
    inode: u64,
    content: RwLock<Content>,
}

/// The directory of one database.
#[derive(Default)]
pub struct MemDir {
    names: Mutex<BTreeMap<Vec<u8>, Arc<MemFile>>>,
    inodes: AtomicU64,
}

impl MemDir {
    /// Bytes allocated for all files that have a name.
    #[cfg(any(test, feature = "internals"))]
    pub fn allocated(&self) -> u64 {
        let chunks = |file: &Arc<MemFile>| file.content.read().chunks.len() as u64;
        self.names.lock().values().map(chunks).sum::<u64>() * CHUNK
    }
}

/// What a descriptor is to the other kernels. Its methods are named and behave as theirs.
pub enum MemFd {
    Dir(Arc<MemDir>),
    File(Arc<MemFile>),
}

impl MemFd {
    fn dir(&self) -> SysResult<&Arc<MemDir>> {
        match self {
            MemFd::Dir(dir) => Ok(dir),
            MemFd::File(_) => Err(Errno(libc::ENOTDIR)),
        }
    }

    fn file(&self) -> SysResult<&MemFile> {
        match self {
            MemFd::File(file) => Ok(file),
            MemFd::Dir(_) => Err(Errno(libc::EISDIR)),
        }
    }

    pub fn open_at(&self, name: &[u8], how: OpenHow, _mode: u32) -> SysResult<MemFd> {
        let dir = self.dir()?;
        let mut names = dir.names.lock();
        match (names.get(name), how) {
            (Some(_), OpenHow::CreateNew) => Err(Errno(libc::EEXIST)),
            (Some(file), _) => Ok(MemFd::File(Arc::clone(file))),
            (None, OpenHow::Read | OpenHow::Write) => Err(Errno(ENOENT)),
            (None, OpenHow::CreateNew | OpenHow::Lock) => {
                let inode = dir.inodes.fetch_add(1, Ordering::Relaxed) + 2;
                let file = Arc::new(MemFile { inode, content: RwLock::default() });
                names.insert(name.to_vec(), Arc::clone(&file));
                Ok(MemFd::File(file))
            }
        }
    }

    /// There is nothing above; syncing the directory itself is as good.
    pub fn open_parent(&self) -> SysResult<MemFd> {
        self.dir().map(|dir| MemFd::Dir(Arc::clone(dir)))
    }

    pub fn pread(&self, buf: &mut [u8], offset: u64) -> SysResult<usize> {
        Ok(self.file()?.content.read().read(buf, offset))
    }

    pub fn pwrite(&self, bytes: &[u8], offset: u64) -> SysResult<usize> {
        self.file()?.content.write().write(bytes, offset)
    }

    pub fn fdatasync(&self) -> SysResult<()> {
        self.file().map(|_| ())
    }

    pub fn fsync(&self) -> SysResult<()> {
        Ok(())
    }

    pub fn ftruncate(&self, len: u64) -> SysResult<()> {
        self.file()?.content.write().resize(len);
        Ok(())
    }

    /// Only grows, as on Linux.
    pub fn fallocate(&self, len: u64) -> SysResult<()> {
        let mut content = self.file()?.content.write();
        content.size = content.size.max(len);
        Ok(())
    }

    pub fn fstat(&self) -> SysResult<Stat> {
        Ok(match self {
            MemFd::Dir(_) => {
                Stat { device: 0, inode: 1, size: 0, links: 1, kind: FileType::Directory }
            }
            MemFd::File(file) => stat_of(file),
        })
    }

    pub fn stat_at(&self, name: &[u8]) -> SysResult<Stat> {
        self.dir()?.names.lock().get(name).map(|file| stat_of(file)).ok_or(Errno(ENOENT))
    }

    pub fn rename_at(&self, from: &[u8], to: &[u8]) -> SysResult<()> {
        let mut names = self.dir()?.names.lock();
        let file = names.remove(from).ok_or(Errno(ENOENT))?;
        names.insert(to.to_vec(), file);
        Ok(())
    }

    pub fn unlink_at(&self, name: &[u8]) -> SysResult<()> {
        let gone = self.dir()?.names.lock().remove(name);
        gone.map(drop).ok_or(Errno(ENOENT))
    }

    pub fn list(&self) -> SysResult<Vec<Vec<u8>>> {
        Ok(self.dir()?.names.lock().keys().cloned().collect())
    }

    /// Nobody else can reach the directory.
    pub fn flock(&self, _shared: bool) -> SysResult<()> {
        self.file().map(|_| ())
    }
}

fn stat_of(file: &MemFile) -> Stat {
    let size = file.content.read().size;
    Stat { device: 0, inode: file.inode, size, links: 1, kind: FileType::Regular }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_file(dir: &MemFd, name: &[u8]) -> MemFd {
        dir.open_at(name, OpenHow::CreateNew, 0o600).expect("a new name")
    }

    fn errno<T>(result: SysResult<T>) -> Option<i32> {
        result.err().map(|errno| errno.0)
    }

    #[test]
    fn files_behave_like_a_vector_of_bytes() {
        let dir = MemFd::Dir(Arc::default());
        let file = new_file(&dir, b"a");
        let mut model: Vec<u8> = Vec::new();
        let mut state = 7u64;
        for round in 0..2_000u64 {
            state = crate::hash::hash64(&round.to_le_bytes(), state);
            let at = (state % (5 * CHUNK)) as usize;
            let len = (state >> 32) as usize % (2 * CHUNK as usize);
            match state % 8 {
                0 => {
                    file.ftruncate(at as u64).expect("truncates");
                    model.resize(at, 0);
                }
                1 => {
                    file.fallocate(at as u64).expect("allocates");
                    model.resize(model.len().max(at), 0);
                }
                _ => {
                    let bytes = vec![state as u8; len];
                    assert_eq!(file.pwrite(&bytes, at as u64), Ok(len));
                    if len > 0 {
                        model.resize(model.len().max(at + len), 0);
                        model[at..at + len].copy_from_slice(&bytes);
                    }
                }
            }
            let mut read = vec![0xee; 8 * CHUNK as usize];
            let n = file.pread(&mut read, at as u64).expect("reads");
            assert!(&read[..n] == model.get(at..).unwrap_or(&[]), "round {round}");
            assert_eq!(file.fstat().expect("a file").size, model.len() as u64);
        }
    }

    #[test]
    fn allocation_ahead_takes_no_memory_and_cut_bytes_give_theirs_back() {
        let inner = Arc::new(MemDir::default());
        let file = new_file(&MemFd::Dir(Arc::clone(&inner)), b"log");
        file.fallocate(1 << 40).expect("sizes are free");
        assert_eq!(inner.allocated(), 0);
        file.pwrite(b"x", 1 << 39).expect("written");
        assert_eq!(inner.allocated(), CHUNK);
        file.ftruncate(0).expect("cut");
        assert_eq!(inner.allocated(), 0);
    }

    #[test]
    fn names_come_move_and_go() {
        let dir = MemFd::Dir(Arc::default());
        let file = new_file(&dir, b"a");
        file.pwrite(b"first", 0).expect("written");
        assert_eq!(errno(dir.open_at(b"a", OpenHow::CreateNew, 0)), Some(libc::EEXIST));
        assert_eq!(errno(dir.open_at(b"b", OpenHow::Read, 0)), Some(ENOENT));
        drop(new_file(&dir, b"b"));
        dir.rename_at(b"a", b"b").expect("renamed");
        assert_eq!(dir.list(), Ok(vec![b"b".to_vec()]));
        dir.unlink_at(b"b").expect("removed");
        assert_eq!(errno(dir.unlink_at(b"b")), Some(ENOENT));
        let mut read = [0; 5];
        assert_eq!((file.pread(&mut read, 0), &read), (Ok(5), b"first"));
        assert_eq!(errno(file.list()), Some(libc::ENOTDIR));
        assert_eq!(errno(dir.pread(&mut read, 0)), Some(libc::EISDIR));
    }
}
