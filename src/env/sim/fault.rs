//! The gate every simulated call passes: it counts calls, fails chosen ones and stops the world.
//!
//! Invariants
//! 1. A refused call has changed nothing, except that a refused sync loses what it should have kept (the
//!    kernel's business, not the gate's), and that images of a frozen kernel may hold a part of the write that was refused.
//! 2. Once frozen, every call fails with EIO: the process is dead and cannot know it.

use crate::env::call::{Errno, SysResult};

/// A system call, as faults and counters name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    Pwrite,
    Pread,
    Fdatasync,
    Fsync,
    /// Opening what exists: directories, files for reading, the lock file.
    Open,
    /// Opening a name that is to be made.
    Create,
    Rename,
    Unlink,
    Truncate,
    Fallocate,
    List,
    Lock,
    Stat,
    Mkdir,
    Rmdir,
}

const KINDS: usize = 15;

impl CallKind {
    pub const ALL: [CallKind; KINDS] = [
        CallKind::Pwrite,
        CallKind::Pread,
        CallKind::Fdatasync,
        CallKind::Fsync,
        CallKind::Open,
        CallKind::Create,
        CallKind::Rename,
        CallKind::Unlink,
        CallKind::Truncate,
        CallKind::Fallocate,
        CallKind::List,
        CallKind::Lock,
        CallKind::Stat,
        CallKind::Mkdir,
        CallKind::Rmdir,
    ];

    /// Whether the call changes files, names or what is durable of them.
    pub fn mutates(self) -> bool {
        !matches!(
            self,
            CallKind::Pread | CallKind::Open | CallKind::List | CallKind::Lock | CallKind::Stat
        )
    }

    fn transfers(self) -> bool {
        matches!(self, CallKind::Pwrite | CallKind::Pread)
    }
}

/// A planned failure.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: CallKind,
    /// Which call of the kind fails, counted from 1 at `set_fault`.
    pub nth: u64,
    /// What it fails with; 0 together with `short` only cuts the transfer.
    pub errno: i32,
    /// Whether the calls after it fail too.
    pub forever: bool,
    /// Reads and writes only: the n-th call moves half of its bytes, and the next one fails.
    pub short: bool,
}

/// How much of a transfer the gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Whole,
    Half,
}

impl Passage {
    /// Bytes of `len` to move. A single byte cannot be halved, and 0 would read as the end of the file.
    pub fn cut(self, len: usize) -> usize {
        match self {
            Passage::Half if len >= 2 => len / 2,
            _ => len,
        }
    }
}

struct Armed {
    fault: Fault,
    seen: u64,
}

impl Armed {
    /// What the fault does to the call just counted, if anything.
    fn strike(&self) -> Option<SysResult<Passage>> {
        let Fault { call, nth, errno, forever, short } = self.fault;
        let due = if forever { self.seen >= nth } else { self.seen == nth };
        if !short || !call.transfers() {
            return due.then_some(Err(Errno(errno)));
        }
        if errno == 0 {
            return due.then_some(Ok(Passage::Half));
        }
        if self.seen == nth {
            return Some(Ok(Passage::Half));
        }
        let failing = if forever { self.seen > nth } else { self.seen == nth + 1 };
        failing.then_some(Err(Errno(errno)))
    }
}

/// Counters and plans of one kernel.
#[derive(Default)]
pub(super) struct Gate {
    counts: [u64; KINDS],
    mutating: u64,
    /// How many calls were before each sync.
    syncs: Vec<u64>,
    /// Mutating calls left before the world stops; `None`: it does not.
    budget: Option<u64>,
    frozen: bool,
    armed: Vec<Armed>,
    fired: u64,
}

impl Gate {
    /// Counts a call and says whether and how far it goes through.
    pub fn enter(&mut self, call: CallKind) -> SysResult<Passage> {
        if self.frozen {
            return Err(Errno(libc::EIO));
        }
        if call.mutates() {
            if self.budget == Some(0) {
                self.frozen = true;
                return Err(Errno(libc::EIO));
            }
            self.budget = self.budget.map(|left| left - 1);
            if matches!(call, CallKind::Fdatasync | CallKind::Fsync) {
                self.syncs.push(self.mutating);
            }
            self.mutating += 1;
        }
        self.counts[call as usize] += 1;
        let mut outcome = None;
        for armed in self.armed.iter_mut().filter(|armed| armed.fault.call == call) {
            armed.seen += 1;
            outcome = outcome.or_else(|| armed.strike());
        }
        self.fired += u64::from(outcome.is_some());
        outcome.unwrap_or(Ok(Passage::Whole))
    }

    pub fn mutating_calls(&self) -> u64 {
        self.mutating
    }

    pub fn syncs(&self) -> &[u64] {
        &self.syncs
    }

    pub fn count(&self, call: CallKind) -> u64 {
        self.counts[call as usize]
    }

    pub fn fired(&self) -> u64 {
        self.fired
    }

    pub fn frozen(&self) -> bool {
        self.frozen
    }

    pub fn freeze_after(&mut self, calls: u64) {
        self.budget = Some(calls);
    }

    pub fn arm(&mut self, fault: Fault) {
        assert!(fault.nth >= 1, "calls are counted from 1");
        assert!(fault.errno != 0 || fault.short, "an errno is never 0");
        self.armed.push(Armed { fault, seen: 0 });
    }

    pub fn disarm(&mut self) {
        self.armed.clear();
    }
}
