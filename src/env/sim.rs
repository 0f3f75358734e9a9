//! The simulated kernel: the system calls of `real` on files in memory that can crash and fail.
//!
//! It sits below the retry loops, the all-or-error writes and the lock of `api`, so that all of the
//! engine's code runs unchanged above it. One mutex guards everything. Reading order: `fault` (which calls
//! fail), `file` and `dir` (what is seen, what is durable, what is pending), `disk` (inodes and names),
//! this file (the calls), `crash` (what a dead process or a power cut leaves), `inspect` (what tests look
//! at and tamper with), `slow` (how long calls take).
//!
//! Invariants
//! 1. The same seed and the same calls give the same answers, crash images included.
//! 2. Closing makes nothing durable; only `fdatasync` and `fsync` do, each of its own inode alone.
//! 3. A call costs at most a copy of the bytes it moves; a sync, of the bytes not synced before. Only the first change
//!    after an image of the kernel was taken copies its file.

use crate::env::call::{Errno, OpenHow, Stat, SysResult};
use crate::sync::{Arc, AtomicU64, Mutex, Ordering};
use dice::Dice;
use dir::DirNode;
use disk::{Body, Disk};
use fault::{CallKind, Gate, Passage};
use file::FileNode;
use slow::{Held, SlowDisk};

pub mod crash;
mod dice;
mod dir;
mod disk;
pub mod fault;
mod file;
mod inspect;
pub mod slow;

/// What the simulated clock shows at first, in microseconds since 1970.
const CLOCK_START: u64 = 1_700_000_000_000_000;

/// A write that the freeze refused: the process died in the middle of it.
struct InFlight {
    inode: u64,
    offset: u64,
    data: Vec<u8>,
}

struct State {
    disk: Disk,
    gate: Gate,
    dice: Dice,
    next_description: u64,
    in_flight: Option<InFlight>,
    /// The file whose write was the latest mutating call, if that was a write.
    last_write: Option<u64>,
}

impl State {
    fn new(disk: Disk, seed: u64) -> State {
        State {
            disk,
            gate: Gate::default(),
            dice: Dice::new(seed),
            next_description: 1,
            in_flight: None,
            last_write: None,
        }
    }

    fn enter(&mut self, call: CallKind) -> SysResult<Passage> {
        let passage = self.gate.enter(call);
        if call.mutates() && !self.gate.frozen() {
            self.last_write = None;
        }
        passage
    }
}

/// A kernel in memory.
pub struct SimKernel {
    state: Mutex<State>,
    clock: AtomicU64,
    slow: SlowDisk,
}

impl SimKernel {
    /// A kernel with an empty root directory.
    pub fn new(seed: u64) -> Arc<SimKernel> {
        SimKernel::with_disk(Disk::new(), seed, CLOCK_START)
    }

    fn with_disk(disk: Disk, seed: u64, clock: u64) -> Arc<SimKernel> {
        let state = Mutex::new(State::new(disk, seed));
        Arc::new(SimKernel { state, clock: AtomicU64::new(clock), slow: SlowDisk::default() })
    }

    fn open(kernel: &Arc<SimKernel>, state: &mut State, inode: u64, writable: bool) -> SimFd {
        state.disk.node(inode).opens += 1;
        let description = state.next_description;
        state.next_description += 1;
        SimFd { kernel: Arc::clone(kernel), inode, description, writable }
    }

    pub fn open_dir(kernel: &Arc<SimKernel>, path: &[u8]) -> SysResult<SimFd> {
        let mut state = kernel.state.lock();
        state.enter(CallKind::Open)?;
        let inode = state.disk.resolve(path)?;
        state.disk.dir(inode)?;
        Ok(SimKernel::open(kernel, &mut state, inode, false))
    }

    /// Makes a directory. There is one user, so `_mode` cannot matter.
    pub fn make_dir(&self, path: &[u8], _mode: u32) -> SysResult<()> {
        let mut state = self.state.lock();
        state.enter(CallKind::Mkdir)?;
        let (parent, name) = state.disk.resolve_parent(path)?;
        if name.is_empty() {
            return Err(Errno(libc::EEXIST));
        }
        state.disk.create(parent, name, Body::Dir(DirNode::new(parent))).map(|_| ())
    }

    pub fn remove_dir(&self, path: &[u8]) -> SysResult<()> {
        let mut state = self.state.lock();
        state.enter(CallKind::Rmdir)?;
        let (parent, name) = state.disk.resolve_parent(path)?;
        if name.is_empty() {
            return Err(Errno(libc::EBUSY));
        }
        state.disk.unlink(parent, name, true)
    }

    /// The next number of the kernel's seeded generator.
    pub fn random_u64(&self) -> u64 {
        self.state.lock().dice.next()
    }

    /// The simulated time; each look costs a microsecond, so that waiting in a loop ends.
    pub fn now_micros(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }

    pub fn set_clock(&self, micros: u64) {
        self.clock.store(micros, Ordering::Relaxed);
    }

    pub fn advance_clock(&self, micros: u64) {
        self.clock.fetch_add(micros, Ordering::Relaxed);
    }
}

/// Refuses what is negative to a real kernel.
fn check_offset(offset: u64) -> SysResult<()> {
    i64::try_from(offset).map(|_| ()).map_err(|_| Errno(libc::EINVAL))
}

/// An open file or directory of a simulated kernel.
pub struct SimFd {
    kernel: Arc<SimKernel>,
    inode: u64,
    /// Names the open description, which is what holds an flock.
    description: u64,
    writable: bool,
}

impl SimFd {
    pub fn open_at(&self, name: &[u8], how: OpenHow, _mode: u32) -> SysResult<SimFd> {
        let waits_as = if how == OpenHow::CreateNew { CallKind::Create } else { CallKind::Open };
        self.kernel.slow.pass(Held::Calls(waits_as));
        let mut guard = self.kernel.state.lock();
        let state = &mut *guard;
        let exists = state.disk.lookup(self.inode, name);
        let makes = match how {
            OpenHow::Read | OpenHow::Write => false,
            OpenHow::CreateNew => true,
            OpenHow::Lock => exists == Err(Errno(libc::ENOENT)),
        };
        state.enter(if makes { CallKind::Create } else { CallKind::Open })?;
        let inode = if makes {
            state.disk.create(self.inode, name, Body::File(FileNode::default()))?
        } else {
            exists?
        };
        let writable = how != OpenHow::Read;
        if writable {
            state.disk.file(inode)?;
        }
        Ok(SimKernel::open(&self.kernel, state, inode, writable))
    }

    /// This file or directory again, by a description of its own.
    pub fn open_self(&self) -> SysResult<SimFd> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Open)?;
        Ok(SimKernel::open(&self.kernel, &mut state, self.inode, false))
    }

    /// The directory above this one.
    pub fn open_parent(&self) -> SysResult<SimFd> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Open)?;
        let parent = state.disk.dir(self.inode)?.parent;
        Ok(SimKernel::open(&self.kernel, &mut state, parent, false))
    }

    pub fn pread(&self, buf: &mut [u8], offset: u64) -> SysResult<usize> {
        self.kernel.slow.pass(Held::Calls(CallKind::Pread));
        if offset == 0 {
            self.kernel.slow.pass(Held::ReadsFromStart);
        }
        let mut state = self.kernel.state.lock();
        let len = state.enter(CallKind::Pread)?.cut(buf.len());
        check_offset(offset)?;
        Ok(state.disk.file(self.inode)?.now().read(&mut buf[..len], offset))
    }

    pub fn pwrite(&self, buf: &[u8], offset: u64) -> SysResult<usize> {
        self.kernel.slow.pass(Held::Calls(CallKind::Pwrite));
        self.kernel.slow.note_written(buf.len());
        let mut state = self.kernel.state.lock();
        let was_frozen = state.gate.frozen();
        let passage = state.enter(CallKind::Pwrite);
        if !self.writable {
            return Err(Errno(libc::EBADF));
        }
        if state.gate.frozen() && !was_frozen {
            let data = buf.to_vec();
            state.in_flight = Some(InFlight { inode: self.inode, offset, data });
        }
        let len = passage?.cut(buf.len());
        check_offset(offset)?;
        if len == 0 {
            return Ok(0);
        }
        state.disk.write(self.inode, &buf[..len], offset)?;
        state.last_write = Some(self.inode);
        Ok(len)
    }

    fn sync(&self, call: CallKind) -> SysResult<()> {
        self.kernel.slow.pass(Held::Calls(call));
        self.kernel.slow.pay_for_sync();
        let mut state = self.kernel.state.lock();
        let passage = state.enter(call);
        match passage {
            Ok(_) => state.disk.sync(self.inode),
            // An interrupted sync has not been tried; a dead process tries nothing.
            Err(Errno(libc::EINTR)) => {}
            Err(_) if state.gate.frozen() => {}
            Err(_) => state.disk.fail_sync(self.inode),
        }
        passage.map(|_| ())
    }

    pub fn fdatasync(&self) -> SysResult<()> {
        self.sync(CallKind::Fdatasync)
    }

    pub fn fsync(&self) -> SysResult<()> {
        self.sync(CallKind::Fsync)
    }

    pub fn ftruncate(&self, len: u64) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Truncate)?;
        if !self.writable {
            return Err(Errno(libc::EINVAL));
        }
        state.disk.resize(self.inode, len)
    }

    /// Allocates `len` bytes and raises the size to it; never shrinks.
    pub fn fallocate(&self, len: u64) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Fallocate)?;
        if !self.writable {
            return Err(Errno(libc::EBADF));
        }
        if len == 0 {
            return Err(Errno(libc::EINVAL));
        }
        let size = state.disk.file(self.inode)?.now().size();
        state.disk.resize(self.inode, len.max(size))
    }

    pub fn fstat(&self) -> SysResult<Stat> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Stat)?;
        Ok(state.disk.stat(self.inode))
    }

    pub fn stat_at(&self, name: &[u8]) -> SysResult<Stat> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Stat)?;
        let inode = state.disk.lookup(self.inode, name)?;
        Ok(state.disk.stat(inode))
    }

    pub fn rename_at(&self, from: &[u8], to: &[u8]) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Rename)?;
        state.disk.rename(self.inode, from, to)
    }

    /// Gives the file `name` the same name in another directory of this disk, too.
    pub fn link_at(&self, to: &SimFd, name: &[u8]) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Create)?;
        state.disk.link(self.inode, to.inode, name)
    }

    pub fn unlink_at(&self, name: &[u8]) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Unlink)?;
        state.disk.unlink(self.inode, name, false)
    }

    pub fn list(&self) -> SysResult<Vec<Vec<u8>>> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::List)?;
        Ok(state.disk.dir(self.inode)?.now.keys().cloned().collect())
    }

    /// Takes the exclusive lock, or one that others may share, without waiting; EWOULDBLOCK when another description
    /// holds one that excludes it.
    pub fn flock(&self, shared: bool) -> SysResult<()> {
        let mut state = self.kernel.state.lock();
        state.enter(CallKind::Lock)?;
        let node = state.disk.node(self.inode);
        let other = |description: &u64| *description != self.description;
        if node.lock.as_ref().is_some_and(other) || (!shared && node.shared.iter().any(other)) {
            return Err(Errno(libc::EWOULDBLOCK));
        }
        match shared {
            true => drop(node.shared.insert(self.description)),
            false => node.lock = Some(self.description),
        }
        Ok(())
    }
}

impl Drop for SimFd {
    fn drop(&mut self) {
        let mut state = self.kernel.state.lock();
        let node = state.disk.node(self.inode);
        node.opens -= 1;
        if node.lock == Some(self.description) {
            node.lock = None;
        }
        node.shared.remove(&self.description);
        if node.opens + node.links == 0 {
            state.disk.sweep();
        }
    }
}
