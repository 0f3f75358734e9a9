//! A simulated regular file: what processes see, what is durable, and the changes in between.
//!
//! Every change goes to `now` at once and to the ordered list `pending`; a sync replays that list onto
//! `durable`. A failed sync forgets the written bytes instead, as kernels do: their pages count as clean,
//! reads still see them, and only writing to such a page again makes the whole page dirty again.
//!
//! Invariants
//! 1. `durable` changes in `sync` only, but for the tests' own tampering and for what is left after a power cut.
//! 2. Unless a sync failed, replaying `pending` onto `durable` gives `now`.
//! 3. An image never holds bytes at or beyond its size; bytes it does not hold read as zeros, so a large
//!    allocated file costs nothing until it is written.

use crate::sync::Arc;
use std::collections::BTreeSet;

/// Unit in which the kernel writes back.
pub(super) const PAGE: u64 = 4096;

/// Content of a file. Cheap to clone: the bytes are shared until one side writes.
#[derive(Clone, Default)]
pub(super) struct Image {
    bytes: Arc<Vec<u8>>,
    size: u64,
}

impl Image {
    pub fn new(bytes: Vec<u8>) -> Image {
        let size = bytes.len() as u64;
        Image { bytes: Arc::new(bytes), size }
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The bytes without the zeros at the end: with the size, one spelling per content.
    pub fn trimmed(&self) -> &[u8] {
        let end = self.bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        &self.bytes[..end]
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = self.bytes.to_vec();
        all.resize(self.size as usize, 0);
        all
    }

    /// Copies what there is from `offset` on; less than asked for only at the end.
    pub fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let n = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        let from = (offset.min(self.bytes.len() as u64)) as usize;
        let held = (self.bytes.len() - from).min(n);
        buf[..held].copy_from_slice(&self.bytes[from..from + held]);
        buf[held..n].fill(0);
        n
    }

    pub fn write(&mut self, data: &[u8], offset: u64) {
        let from = offset as usize;
        let end = from + data.len();
        let bytes = Arc::make_mut(&mut self.bytes);
        if bytes.len() < from {
            bytes.resize(from, 0);
        }
        let inside = (bytes.len() - from).min(data.len());
        bytes[from..from + inside].copy_from_slice(&data[..inside]);
        bytes.extend_from_slice(&data[inside..]);
        self.size = self.size.max(end as u64);
    }

    pub fn set_size(&mut self, size: u64) {
        if (self.bytes.len() as u64) > size {
            Arc::make_mut(&mut self.bytes).truncate(size as usize);
        }
        self.size = size;
    }
}

/// A change that is not durable yet. `order` is its place in the kernel's journal of metadata.
#[derive(Clone, Copy)]
enum FileOp {
    /// `len` bytes kept at `start` of the file's write buffer; `grows_to` if they moved the end.
    Write {
        offset: u64,
        start: usize,
        len: usize,
        grows_to: Option<u64>,
        order: u64,
    },
    Resize {
        to: u64,
        shrinks: bool,
        order: u64,
    },
}

impl FileOp {
    /// Place in the journal, for a change of size.
    fn size_order(&self) -> Option<u64> {
        match *self {
            FileOp::Write { grows_to, order, .. } => grows_to.map(|_| order),
            FileOp::Resize { order, .. } => Some(order),
        }
    }
}

/// One file.
#[derive(Clone, Default)]
pub(super) struct FileNode {
    now: Image,
    durable: Image,
    pending: Vec<FileOp>,
    /// Bytes of the pending writes, in order.
    written: Vec<u8>,
    /// Pages a failed sync left clean although the disk does not hold them.
    lost: BTreeSet<u64>,
    sync_failed: bool,
}

/// Pages that `len` bytes at `offset` touch.
fn pages(offset: u64, len: usize) -> std::ops::Range<u64> {
    offset / PAGE..(offset + len as u64).div_ceil(PAGE)
}

impl FileNode {
    /// A file whose content is on disk already.
    pub fn synced(image: Image) -> FileNode {
        FileNode { now: image.clone(), durable: image, ..FileNode::default() }
    }

    pub fn now(&self) -> &Image {
        &self.now
    }

    /// Whether a sync would have sizes to write, which makes a journaling kernel commit.
    pub fn has_size_changes(&self) -> bool {
        self.pending.iter().any(|op| op.size_order().is_some())
    }

    pub fn write(&mut self, data: &[u8], offset: u64, order: u64) {
        let old_size = self.now.size;
        self.now.write(data, offset);
        let grows_to = (self.now.size > old_size).then_some(self.now.size);
        let start = self.written.len();
        let dirtied = self.redirty(offset, data.len());
        if dirtied == (offset, data.len()) {
            self.written.extend_from_slice(data);
        } else {
            self.written.resize(start + dirtied.1, 0);
            self.now.read(&mut self.written[start..], dirtied.0);
        }
        let (offset, len) = dirtied;
        self.pending.push(FileOp::Write { offset, start, len, grows_to, order });
    }

    /// Widens a write by the rest of the lost pages it touches; they are dirty again.
    fn redirty(&mut self, offset: u64, len: usize) -> (u64, usize) {
        let (mut from, mut end) = (offset, offset + len as u64);
        if !self.lost.is_empty() {
            for page in pages(offset, len) {
                if self.lost.remove(&page) {
                    from = from.min(page * PAGE);
                    end = end.max(((page + 1) * PAGE).min(self.now.size));
                }
            }
        }
        (from, (end - from) as usize)
    }

    pub fn resize(&mut self, to: u64, order: u64) {
        if to != self.now.size {
            let shrinks = to < self.now.size;
            self.now.set_size(to);
            self.pending.push(FileOp::Resize { to, shrinks, order });
        }
    }

    /// Makes all pending changes durable.
    pub fn sync(&mut self) {
        for op in &self.pending {
            match *op {
                FileOp::Write { offset, start, len, grows_to, .. } => {
                    let data = &self.written[start..start + len];
                    self.durable.write(data, offset);
                    debug_assert!(grows_to.is_none_or(|size| self.durable.size == size));
                }
                FileOp::Resize { to, .. } => self.durable.set_size(to),
            }
        }
        self.pending.clear();
        self.written = Vec::new();
    }

    /// A sync that the disk refused: the written bytes are clean now and will never be written. Sizes are
    /// metadata and stay to be written.
    pub fn fail_sync(&mut self) {
        let mut sizes = Vec::new();
        for op in &self.pending {
            match *op {
                FileOp::Write { offset, len, grows_to, order, .. } => {
                    self.lost.extend(pages(offset, len));
                    if let Some(to) = grows_to {
                        sizes.push(FileOp::Resize { to, shrinks: false, order });
                    }
                }
                FileOp::Resize { .. } => sizes.push(*op),
            }
        }
        self.pending = sizes;
        self.written = Vec::new();
        self.sync_failed = true;
    }
}

/// What may be left of a file.
impl FileNode {
    pub fn durable(&self) -> &Image {
        &self.durable
    }

    /// The durable image with every pending change.
    pub fn all_written(&self) -> Image {
        let mut all = self.clone();
        all.sync();
        all.durable
    }

    pub fn pending_ops(&self) -> usize {
        self.pending.len()
    }

    /// Places in the journal of the pending changes of size.
    pub fn size_orders(&self) -> Vec<u64> {
        self.pending.iter().filter_map(FileOp::size_order).collect()
    }

    /// The durable image with the size changes before `sizes_end` and, of each `unit` bytes of the file,
    /// the writes among the first `versions(index of the unit)` pending changes.
    pub fn survivor(&self, unit: u64, sizes_end: u64, versions: &dyn Fn(u64) -> usize) -> Image {
        let mut image = self.durable.clone();
        let mut size = image.size;
        for (place, op) in self.pending.iter().enumerate() {
            let resized = op.size_order().is_some_and(|order| order < sizes_end);
            match *op {
                FileOp::Write { offset, start, len, grows_to, .. } => {
                    let data = &self.written[start..start + len];
                    write_units(&mut image, data, offset, unit, &|unit| place < versions(unit));
                    size = grows_to.filter(|_| resized).unwrap_or(size);
                }
                FileOp::Resize { to, .. } if resized => {
                    image.set_size(to);
                    size = to;
                }
                // Blocks that a shrink freed are given out again only once it is committed.
                FileOp::Resize { shrinks: true, .. } => break,
                FileOp::Resize { .. } => {}
            }
        }
        image.set_size(size);
        image
    }

    /// Cuts the newest pending write down to `keep(offset, len)` bytes, as if it had not returned.
    pub fn cut_last_write(&mut self, order: u64, keep: impl FnOnce(u64, usize) -> usize) {
        // After a failed sync the image before the write cannot be told from what is kept.
        if self.sync_failed {
            return;
        }
        if let Some(&FileOp::Write { offset, start, len, .. }) = self.pending.last() {
            let kept = keep(offset, len);
            let data = self.written[start..start + kept].to_vec();
            self.pending.pop();
            self.written.truncate(start);
            self.now = self.all_written();
            if !data.is_empty() {
                self.write(&data, offset, order);
            }
        }
    }
}

/// Writes those units of `data` that are kept; the units are those of the file, not of the data.
fn write_units(image: &mut Image, data: &[u8], offset: u64, unit: u64, keep: &dyn Fn(u64) -> bool) {
    let mut done = 0;
    while done < data.len() {
        let at = offset + done as u64;
        let rest = (data.len() - done) as u64;
        let len = (unit - at % unit).min(rest) as usize;
        if keep(at / unit) {
            image.write(&data[done..done + len], at);
        }
        done += len;
    }
}
