//! The inodes of a simulated kernel and the operations on names.
//!
//! Invariants
//! 1. Inode numbers are never used twice, so an order of numbers is an order of creation.
//! 2. An inode lives while a name may stand for it (now or after a crash) or somebody has it open.
//! 3. Every change of a name or a size takes one place in the journal, in the order of the calls.

use crate::env::call::{Errno, FileType, Stat, SysResult};
use crate::env::sim::dir::{Change, DirNode};
use crate::env::sim::file::FileNode;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const ROOT: u64 = 1;
/// Larger files are refused with EFBIG; far beyond any test, far below overflow.
const FILE_MAX: u64 = 1 << 40;
const NAME_MAX: usize = 255;

#[derive(Clone)]
pub(super) enum Body {
    File(FileNode),
    Dir(DirNode),
}

#[derive(Clone)]
pub(super) struct Node {
    pub links: u64,
    pub opens: u64,
    /// The open description that holds the flock.
    pub lock: Option<u64>,
    /// Those that share it.
    pub shared: BTreeSet<u64>,
    pub body: Body,
}

/// All inodes.
#[derive(Clone)]
pub(super) struct Disk {
    pub nodes: BTreeMap<u64, Node>,
    next_inode: u64,
    /// Place of the next change in the journal.
    pub journal: u64,
    /// Changes before this place are committed as far as a journaling kernel is concerned.
    pub journal_floor: u64,
    pub capacity: Option<u64>,
    sweep_at: usize,
}

fn check_name(name: &[u8]) -> SysResult<()> {
    match name {
        [] => Err(Errno(libc::ENOENT)),
        b"." | b".." => Err(Errno(libc::EINVAL)),
        _ if name.len() > NAME_MAX => Err(Errno(libc::ENAMETOOLONG)),
        _ if name.contains(&b'/') || name.contains(&0) => Err(Errno(libc::EINVAL)),
        _ => Ok(()),
    }
}

impl Disk {
    /// An empty disk: the root directory alone.
    pub fn new() -> Disk {
        let root = Node {
            links: 1,
            opens: 0,
            lock: None,
            shared: BTreeSet::new(),
            body: Body::Dir(DirNode::new(ROOT)),
        };
        Disk {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_inode: ROOT + 1,
            journal: 0,
            journal_floor: 0,
            capacity: None,
            sweep_at: 64,
        }
    }

    fn next_order(&mut self) -> u64 {
        self.journal += 1;
        self.journal - 1
    }

    pub fn node(&mut self, inode: u64) -> &mut Node {
        self.nodes.get_mut(&inode).expect("an inode lives while it is named or open")
    }

    pub fn dir(&mut self, inode: u64) -> SysResult<&mut DirNode> {
        match &mut self.node(inode).body {
            Body::Dir(dir) => Ok(dir),
            Body::File(_) => Err(Errno(libc::ENOTDIR)),
        }
    }

    pub fn file(&mut self, inode: u64) -> SysResult<&mut FileNode> {
        match &mut self.node(inode).body {
            Body::File(file) => Ok(file),
            Body::Dir(_) => Err(Errno(libc::EISDIR)),
        }
    }

    pub fn stat(&mut self, inode: u64) -> Stat {
        let node = self.node(inode);
        let (kind, size) = match &node.body {
            Body::File(file) => (FileType::Regular, file.now().size()),
            Body::Dir(_) => (FileType::Directory, 0),
        };
        Stat { device: 1, inode, size, links: node.links, kind }
    }

    pub fn lookup(&mut self, dir: u64, name: &[u8]) -> SysResult<u64> {
        check_name(name)?;
        self.dir(dir)?.now.get(name).copied().ok_or(Errno(libc::ENOENT))
    }

    /// The inode at an absolute path; a relative one starts at the root too.
    pub fn resolve(&mut self, path: &[u8]) -> SysResult<u64> {
        let mut inode = ROOT;
        for part in path.split(|&b| b == b'/') {
            inode = match part {
                b"" | b"." => inode,
                b".." => self.dir(inode)?.parent,
                name => self.lookup(inode, name)?,
            };
        }
        Ok(inode)
    }

    /// The directory that holds the last part of `path`, and that part.
    pub fn resolve_parent<'p>(&mut self, path: &'p [u8]) -> SysResult<(u64, &'p [u8])> {
        let end = path.iter().rposition(|&b| b != b'/').map_or(0, |last| last + 1);
        let start = path[..end].iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        Ok((self.resolve(&path[..start])?, &path[start..end]))
    }

    /// Gives a new inode a name in `dir`.
    pub fn create(&mut self, dir: u64, name: &[u8], body: Body) -> SysResult<u64> {
        check_name(name)?;
        if self.dir(dir)?.now.contains_key(name) {
            return Err(Errno(libc::EEXIST));
        }
        if self.node(dir).links == 0 {
            return Err(Errno(libc::ENOENT));
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.nodes
            .insert(inode, Node { links: 1, opens: 0, lock: None, shared: BTreeSet::new(), body });
        let order = self.next_order();
        let change = Change::Link { name: name.to_vec(), inode };
        self.dir(dir)?.change(change, order);
        Ok(inode)
    }

    /// Gives the file `name` of `dir` the same name in `to`, too.
    pub fn link(&mut self, dir: u64, to: u64, name: &[u8]) -> SysResult<()> {
        let inode = self.lookup(dir, name)?;
        if self.dir(to)?.now.contains_key(name) {
            return Err(Errno(libc::EEXIST));
        }
        if matches!(self.node(inode).body, Body::Dir(_)) {
            return Err(Errno(libc::EPERM));
        }
        self.node(inode).links += 1;
        let order = self.next_order();
        let change = Change::Link { name: name.to_vec(), inode };
        self.dir(to)?.change(change, order);
        Ok(())
    }

    /// Removes the name of a file, or with `directory` that of an empty directory.
    pub fn unlink(&mut self, dir: u64, name: &[u8], directory: bool) -> SysResult<()> {
        let inode = self.lookup(dir, name)?;
        match &self.node(inode).body {
            Body::File(_) if directory => return Err(Errno(libc::ENOTDIR)),
            Body::Dir(_) if !directory => return Err(Errno(libc::EISDIR)),
            Body::Dir(inner) if !inner.now.is_empty() => return Err(Errno(libc::ENOTEMPTY)),
            _ => {}
        }
        let order = self.next_order();
        self.dir(dir)?.change(Change::Unlink { name: name.to_vec() }, order);
        self.node(inode).links -= 1;
        self.sweep();
        Ok(())
    }

    /// Gives `from` the name `to`, replacing what bore it.
    pub fn rename(&mut self, dir: u64, from: &[u8], to: &[u8]) -> SysResult<()> {
        let inode = self.lookup(dir, from)?;
        check_name(to)?;
        let replaced = self.dir(dir)?.now.get(to).copied();
        if replaced == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            let moves_dir = matches!(self.node(inode).body, Body::Dir(_));
            match &self.node(replaced).body {
                Body::Dir(_) if !moves_dir => return Err(Errno(libc::EISDIR)),
                Body::File(_) if moves_dir => return Err(Errno(libc::ENOTDIR)),
                Body::Dir(inner) if !inner.now.is_empty() => return Err(Errno(libc::ENOTEMPTY)),
                _ => self.node(replaced).links -= 1,
            }
        }
        let order = self.next_order();
        let change = Change::Rename { from: from.to_vec(), to: to.to_vec(), inode };
        self.dir(dir)?.change(change, order);
        self.sweep();
        Ok(())
    }

    /// Refuses a size that is too large for a file or for the disk.
    fn check_growth(&mut self, inode: u64, size: u64) -> SysResult<()> {
        if size > FILE_MAX {
            return Err(Errno(libc::EFBIG));
        }
        let old = self.file(inode)?.now().size();
        let Some(capacity) = self.capacity else { return Ok(()) };
        if size > old && self.used() - old + size > capacity {
            return Err(Errno(libc::ENOSPC));
        }
        Ok(())
    }

    /// Bytes of all files that processes can reach. Counted afresh: only a limited disk asks.
    pub fn used(&self) -> u64 {
        let reachable = self.nodes.values().filter(|node| node.links + node.opens > 0);
        reachable
            .map(|node| match &node.body {
                Body::File(file) => file.now().size(),
                Body::Dir(_) => 0,
            })
            .sum()
    }

    pub fn write(&mut self, inode: u64, data: &[u8], offset: u64) -> SysResult<()> {
        let end = offset.checked_add(data.len() as u64).ok_or(Errno(libc::EFBIG))?;
        self.check_growth(inode, end)?;
        let order = self.next_order();
        self.file(inode)?.write(data, offset, order);
        Ok(())
    }

    pub fn resize(&mut self, inode: u64, size: u64) -> SysResult<()> {
        self.check_growth(inode, size)?;
        let order = self.next_order();
        self.file(inode)?.resize(size, order);
        Ok(())
    }

    /// Makes an inode's pending changes durable: of a file its bytes and size, of a directory its names.
    pub fn sync(&mut self, inode: u64) {
        let commits = match &mut self.node(inode).body {
            Body::File(file) => {
                let commits = file.has_size_changes();
                file.sync();
                commits
            }
            Body::Dir(dir) => {
                let commits = !dir.pending.is_empty();
                dir.sync();
                commits
            }
        };
        if commits {
            self.journal_floor = self.journal;
        }
        self.sweep();
    }

    pub fn fail_sync(&mut self, inode: u64) {
        match &mut self.node(inode).body {
            Body::File(file) => file.fail_sync(),
            Body::Dir(dir) => dir.fail_sync(),
        }
    }

    /// Frees unreachable inodes once they are likely to be half of all.
    pub fn sweep(&mut self) {
        if self.nodes.len() >= self.sweep_at {
            self.sweep_now();
            self.sweep_at = 2 * self.nodes.len() + 64;
        }
    }

    /// Frees every inode that no name can stand for and nobody has open.
    pub fn sweep_now(&mut self) {
        let opened = self.nodes.iter().filter(|(_, node)| node.opens > 0).map(|(inode, _)| *inode);
        let mut open: Vec<u64> = opened.chain([ROOT]).collect();
        let mut live = BTreeSet::new();
        while let Some(inode) = open.pop() {
            if live.insert(inode) {
                if let Body::Dir(dir) = &self.node(inode).body {
                    open.extend(dir.mentioned().chain([dir.parent]));
                }
            }
        }
        self.nodes.retain(|inode, _| live.contains(inode));
    }
}
