//! What a dead process or a power cut leaves of a simulated kernel.
//!
//! A crash never disturbs the kernel it is taken of: it yields a new kernel, and the engine may go on with
//! the old one. Every policy yields only states that some real kernel and disk may leave; together they
//! cover what the engine must survive. What is common to the power cuts:
//! - Durable bytes, sizes and names are always there.
//! - A file's size changes survive as a prefix of their order. Bytes beyond the size are gone; bytes inside
//!   it that were not written back read as before, or as zeros.
//! - Of a page (or sector) written several times, any one version may be on disk, older ones never on top
//!   of newer ones. Nothing written after a shrink survives without the shrink.
//! - Of the changes to one name, a prefix survives; a rename is all there or not at all.
//! - A write that the freeze stopped may have got as far as any of its bytes before it died.
//!
//! Invariants
//! 1. The image depends on the kernel's state, the policy and the seed alone.
//! 2. After a power cut everything in the new kernel is durable. After a kill only what was durable is:
//!    the page cache outlives the process, and a later power cut may still take it.

use crate::env::sim::dice::Dice;
use crate::env::sim::dir::{DirNode, Entries};
use crate::env::sim::disk::{Body, Disk, Node, ROOT};
use crate::env::sim::file::{FileNode, Image, PAGE};
use crate::env::sim::{SimKernel, State};
use crate::sync::{Arc, Ordering};
use std::collections::BTreeSet;

/// What kind of end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPolicy {
    /// The process died, the machine did not: every write that returned survives, and of one that the
    /// freeze stopped any prefix.
    Kill,
    /// As `Kill`, but if the latest mutating call was a write, the process died before it returned: a
    /// prefix of it survives, never all. For tests that do not use the freeze.
    KillTorn,
    /// Power cut; nothing but what was synced.
    OnlySynced,
    /// Power cut on a kernel that journals metadata: sizes and names of all files survive as one prefix of
    /// their order that includes all that a sync committed; pages as in `RandomPages`.
    Ext4Like,
    /// Power cut; every dirty page of 4 KiB is kept or lost by itself, of the changes of a directory any
    /// subset that keeps the order per name.
    RandomPages,
    /// As `RandomPages` with sectors of 512 bytes.
    Torn512,
    /// Power cut; names as in `RandomPages`, of each file all of its bytes and size or only the synced
    /// ones. Shows missing directory syncs more often than the others.
    Reordered,
}

impl CrashPolicy {
    pub const ALL: [CrashPolicy; 7] = [
        CrashPolicy::Kill,
        CrashPolicy::KillTorn,
        CrashPolicy::OnlySynced,
        CrashPolicy::Ext4Like,
        CrashPolicy::RandomPages,
        CrashPolicy::Torn512,
        CrashPolicy::Reordered,
    ];
}

/// Time a reboot takes, in microseconds.
const DOWN_TIME: u64 = 1_000_000;

impl SimKernel {
    /// A new kernel that holds what would be left if the world ended at this moment.
    pub fn crash(&self, policy: CrashPolicy, seed: u64) -> Arc<SimKernel> {
        let state = self.state.lock();
        let mut dice = Dice::new(seed);
        let mut disk = state.disk.clone();
        land_in_flight(&mut disk, &state, &mut dice);
        match policy {
            CrashPolicy::Kill => {}
            CrashPolicy::KillTorn => cut_last_write(&mut disk, &state, &mut dice),
            _ => cut_power(&mut disk, policy, &mut dice),
        }
        forget_process(&mut disk);
        let seed = dice.next() ^ state.dice.clone().next();
        SimKernel::with_disk(disk, seed, self.clock.load(Ordering::Relaxed) + DOWN_TIME)
    }
}

/// Carries out a prefix of the write in which the process died: none of it, all of it, up to the end of a
/// page (where kernels look for a fatal signal) or up to any byte.
fn land_in_flight(disk: &mut Disk, state: &State, dice: &mut Dice) {
    let Some(write) = &state.in_flight else { return };
    // The file may have been unlinked, and closed since.
    if !disk.nodes.contains_key(&write.inode) {
        return;
    }
    let len = cut(write.offset, write.data.len() + 1, dice);
    if len > 0 {
        // A write that the disk has no room for simply did not get anywhere.
        disk.write(write.inode, &write.data[..len], write.offset).unwrap_or_default();
    }
}

fn cut_last_write(disk: &mut Disk, state: &State, dice: &mut Dice) {
    let order = disk.journal;
    let node = state.last_write.and_then(|inode| disk.nodes.get_mut(&inode));
    if let Some(Node { body: Body::File(file), .. }) = node {
        file.cut_last_write(order, |offset, len| cut(offset, len, dice));
        disk.journal += 1;
    }
}

/// Draws a length below `limit` for a write at `offset`; `limit` is not 0.
fn cut(offset: u64, limit: usize, dice: &mut Dice) -> usize {
    let len = dice.below(limit as u64);
    match dice.below(4) {
        0 => 0,
        1 => limit - 1,
        2 => ((offset + len) / PAGE * PAGE).saturating_sub(offset) as usize,
        _ => len as usize,
    }
}

/// Leaves of every inode what the policy lets survive.
fn cut_power(disk: &mut Disk, policy: CrashPolicy, dice: &mut Dice) {
    let committed = disk.journal_floor;
    let journal_end = committed + dice.prefix(disk.journal - committed);
    // The more extreme two show the one page that is missing, and the one that is there.
    let keep_eighths = [1, 4, 7][dice.below(3) as usize];
    for node in disk.nodes.values_mut() {
        let mut plan = Plan { policy, journal_end, keep_eighths, dice: Dice::new(dice.next()) };
        match &mut node.body {
            Body::File(file) => *file = FileNode::synced(plan.file(file)),
            Body::Dir(dir) => {
                let entries = plan.entries(dir);
                dir.restart(entries);
            }
        }
    }
    disk.journal_floor = disk.journal;
}

/// What survives of one inode.
struct Plan {
    policy: CrashPolicy,
    journal_end: u64,
    keep_eighths: u64,
    dice: Dice,
}

impl Plan {
    fn file(&mut self, file: &FileNode) -> Image {
        let unit = match self.policy {
            CrashPolicy::Ext4Like | CrashPolicy::RandomPages => PAGE,
            CrashPolicy::Torn512 => 512,
            CrashPolicy::Reordered if self.dice.chance(4) => return file.all_written(),
            _ => return file.durable().clone(),
        };
        let sizes_end = match self.policy {
            CrashPolicy::Ext4Like => self.journal_end,
            _ => {
                let orders = file.size_orders();
                let kept = self.dice.prefix(orders.len() as u64) as usize;
                orders.get(kept).copied().unwrap_or(u64::MAX)
            }
        };
        let (seed, ops) = (self.dice.next(), file.pending_ops());
        let versions =
            |index: u64| self.versions(seed ^ index.wrapping_mul(0xff51_afd7_ed55_8ccd), ops);
        file.survivor(unit, sizes_end, &versions)
    }

    /// How many of the file's `ops` changes had happened when a unit was last written back.
    fn versions(&self, unit_seed: u64, ops: usize) -> usize {
        let mut dice = Dice::new(unit_seed);
        if dice.chance(self.keep_eighths) {
            ops
        } else if dice.chance(4) {
            0
        } else {
            dice.below(ops as u64 + 1) as usize
        }
    }

    fn entries(&mut self, dir: &DirNode) -> Entries {
        let mut entries = dir.durable.clone();
        let ordered = self.policy == CrashPolicy::Ext4Like;
        let none = self.policy == CrashPolicy::OnlySynced;
        let mut stopped: BTreeSet<&[u8]> = BTreeSet::new();
        for op in &dir.pending {
            let kept = if ordered || none {
                ordered && op.order < self.journal_end
            } else {
                let free = !op.change.names().any(|name| stopped.contains(name));
                free && self.dice.chance(self.keep_eighths)
            };
            if kept {
                op.change.apply(&mut entries);
            } else {
                stopped.extend(op.change.names());
            }
        }
        entries
    }
}

/// Closes what the process had open and frees what no name leads to any more.
fn forget_process(disk: &mut Disk) {
    for node in disk.nodes.values_mut() {
        (node.opens, node.lock, node.links) = (0, None, 0);
    }
    disk.sweep_now();
    let dirs = disk.nodes.values().filter_map(|Node { body, .. }| match body {
        Body::Dir(dir) => Some(&dir.now),
        Body::File(_) => None,
    });
    let named: Vec<u64> =
        dirs.flat_map(|entries| entries.values().copied()).chain([ROOT]).collect();
    for inode in named {
        disk.node(inode).links += 1;
    }
}
