//! What tests plan for a simulated kernel, see of it and do to its disk behind the engine's back.
//!
//! Invariants
//! 1. Nothing here counts as a call, fails by a fault or is stopped by the freeze.
//! 2. Tampering is durable at once, as if done to the disk of a machine that was shut down: pending names
//!    of the directory become durable with it.

use crate::env::call::SysResult;
use crate::env::sim::SimKernel;
use crate::env::sim::disk::Body;
use crate::env::sim::fault::{CallKind, Fault};
use crate::env::sim::file::{FileNode, Image};
use crate::hash::hash64;

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl SimKernel {
    /// Mutating calls so far: the crash points of a run.
    pub fn calls(&self) -> u64 {
        self.state.lock().gate.mutating_calls()
    }

    /// Those of them with a sync as the next call: a process that dies there leaves most to the page cache.
    pub fn calls_before_syncs(&self) -> Vec<u64> {
        self.state.lock().gate.syncs().to_vec()
    }

    /// Calls of one kind so far: the fault points of a run.
    pub fn count(&self, call: CallKind) -> u64 {
        self.state.lock().gate.count(call)
    }

    /// Lets `calls` more mutating calls through; the one after them and every call from then on, of any
    /// kind, fails with EIO and changes nothing. A crash then shows what the process left behind.
    pub fn freeze_after(&self, calls: u64) {
        self.state.lock().gate.freeze_after(calls);
    }

    /// Whether the freeze has stopped a call.
    pub fn frozen(&self) -> bool {
        self.state.lock().gate.frozen()
    }

    /// Plans a failure, on top of those planned before.
    pub fn set_fault(&self, fault: Fault) {
        self.state.lock().gate.arm(fault);
    }

    pub fn clear_faults(&self) {
        self.state.lock().gate.disarm();
    }

    /// Calls that a fault has failed or cut short.
    pub fn faults_fired(&self) -> u64 {
        self.state.lock().gate.fired()
    }

    /// Limits the sum of the sizes of all files; growth beyond it is ENOSPC.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().disk.capacity = Some(bytes);
    }

    /// Sum of the sizes of all files.
    pub fn used(&self) -> u64 {
        self.state.lock().disk.used()
    }

    /// Makes everything durable, as sync(1) does.
    pub fn sync_all(&self) {
        let disk = &mut self.state.lock().disk;
        for node in disk.nodes.values_mut() {
            match &mut node.body {
                Body::File(file) => file.sync(),
                Body::Dir(dir) => dir.sync(),
            }
        }
        disk.journal_floor = disk.journal;
    }
}

impl SimKernel {
    /// The regular files of a directory, by name; none when there is no such directory.
    pub fn files(&self, path: &str) -> Vec<(String, Vec<u8>)> {
        let images = self.images(path);
        images.into_iter().map(|(name, image)| (shown(&name), image.to_vec())).collect()
    }

    fn images(&self, path: &str) -> Vec<(Vec<u8>, Image)> {
        let disk = &mut self.state.lock().disk;
        let Ok(dir) = disk.resolve(path.as_bytes()) else { return Vec::new() };
        let Ok(entries) = disk.dir(dir).map(|dir| dir.now.clone()) else { return Vec::new() };
        let file = |(name, inode)| Some((name, disk.file(inode).ok()?.now().clone()));
        entries.into_iter().filter_map(file).collect()
    }

    /// Hash over names and contents of the regular files of a directory.
    pub fn directory_hash(&self, path: &str) -> u64 {
        self.images(path).iter().fold(0, |seed, (name, image)| {
            hash64(image.trimmed(), hash64(name, seed) ^ image.size())
        })
    }

    /// One file's content.
    pub fn read_file(&self, path: &str, name: &str) -> Option<Vec<u8>> {
        let disk = &mut self.state.lock().disk;
        let dir = disk.resolve(path.as_bytes()).ok()?;
        let inode = disk.lookup(dir, name.as_bytes()).ok()?;
        Some(disk.file(inode).ok()?.now().to_vec())
    }

    /// Changes one byte of a file, durably.
    ///
    /// # Panics
    /// When there is no such byte or `xor` is 0: the test would test nothing.
    pub fn corrupt(&self, path: &str, name: &str, offset: u64, xor: u8) {
        assert_ne!(xor, 0, "a byte xor 0 is the same byte");
        let mut bytes = self.read_file(path, name).expect("the file to corrupt exists");
        bytes[usize::try_from(offset).expect("the offset is in the file")] ^= xor;
        self.write_file(path, name, &bytes);
    }

    /// Gives a file this content, durably, name and all; makes it when it is not there.
    ///
    /// # Panics
    /// When there is no such directory or the name belongs to one.
    pub fn write_file(&self, path: &str, name: &str, content: &[u8]) {
        let written = self.try_write_file(path, name, content);
        written.expect("the directory exists and the name is a file's");
    }

    fn try_write_file(&self, path: &str, name: &str, content: &[u8]) -> SysResult<()> {
        let disk = &mut self.state.lock().disk;
        let dir = disk.resolve(path.as_bytes())?;
        let inode = match disk.lookup(dir, name.as_bytes()) {
            Ok(inode) => inode,
            Err(_) => disk.create(dir, name.as_bytes(), Body::File(FileNode::default()))?,
        };
        *disk.file(inode)? = FileNode::synced(Image::new(content.to_vec()));
        disk.sync(dir);
        Ok(())
    }

    /// Removes a file, durably; says whether it was there.
    pub fn remove_file(&self, path: &str, name: &str) -> bool {
        let disk = &mut self.state.lock().disk;
        let Ok(dir) = disk.resolve(path.as_bytes()) else { return false };
        let removed = disk.unlink(dir, name.as_bytes(), false).is_ok();
        disk.sync(dir);
        removed
    }
}
