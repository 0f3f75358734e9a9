//! A table in a version, and the readers that are open.
//!
//! A version names tables by handle. A handle opens its file when it is first used and keeps the reader; a
//! look-up then is one lock-free load. The cache of a database bounds how many tables are open: a clock
//! hand goes round the open ones, spares those used since it last came by, and closes the others.
//!
//! Invariants
//! 1. A table has at most one reader that new users get.
//! 2. A closed reader lives on until its last user is done; then its file is closed by the cleanup thread,
//!    where there is one.
//! 3. A file is given to the cleanup thread for removal when its handle was marked obsolete and its last
//!    reference went, never before.

use crate::env::api::Dir;
use crate::env::path::FileKind;
use crate::error::{Area, ErrorKind, Result};
use crate::order::Order;
use crate::retire::RetireList;
use crate::sync::{Arc, ArcSwapOption, AtomicBool, Mutex, Ordering, Weak};
use crate::table::cache::BlockCache;
use crate::table::meta::TableMeta;
use crate::table::reader::TableReader;

/// A table that versions share.
pub struct TableHandle {
    pub meta: Arc<TableMeta>,
    reader: ArcSwapOption<TableReader>,
    /// Set by every use, cleared by the clock hand.
    used: AtomicBool,
    obsolete: AtomicBool,
    /// Held while the file is opened, so that it is opened once.
    opening: Mutex<()>,
    retire: Option<Arc<RetireList>>,
}

impl TableHandle {
    /// A handle of a file that exists; with `retire` the cleanup thread frees and removes what is left of it.
    pub fn new(
        meta: impl Into<Arc<TableMeta>>,
        retire: Option<Arc<RetireList>>,
    ) -> Arc<TableHandle> {
        Arc::new(TableHandle {
            meta: meta.into(),
            reader: ArcSwapOption::empty(),
            used: AtomicBool::new(false),
            obsolete: AtomicBool::new(false),
            opening: Mutex::new(()),
            retire,
        })
    }

    /// The file is to be removed when the last reference goes.
    pub fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }

    fn open_reader(&self) -> Option<Arc<TableReader>> {
        let reader = self.reader.load_full()?;
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        Some(reader)
    }
}

impl Drop for TableHandle {
    fn drop(&mut self) {
        // The reader's own drop hands its remains over, before the file's name follows.
        drop(self.reader.swap(None));
        if let (true, Some(retire)) = (self.obsolete.load(Ordering::Acquire), &self.retire) {
            retire.obsolete(self.meta.file);
        }
    }
}

/// The open tables, in the order in which the hand passes them.
#[derive(Default)]
struct Clock {
    open: Vec<Weak<TableHandle>>,
    hand: usize,
}

impl Clock {
    /// Closes tables until fewer than `room_below` are open; the readers are to be dropped by the caller
    /// outside the lock, as are the handles, whose last reference may be among them.
    fn make_room(
        &mut self,
        room_below: usize,
    ) -> Vec<(Arc<TableHandle>, Option<Arc<TableReader>>)> {
        let mut touched = Vec::new();
        if self.open.len() >= room_below {
            self.open.retain(|table| table.strong_count() > 0);
        }
        while self.open.len() >= room_below {
            self.hand = if self.hand < self.open.len() { self.hand } else { 0 };
            let Some(table) = self.open.get(self.hand).map(Weak::upgrade) else { break };
            let Some(table) = table else {
                self.open.swap_remove(self.hand);
                continue;
            };
            if table.used.swap(false, Ordering::Relaxed) {
                self.hand += 1;
                touched.push((table, None));
                continue;
            }
            self.open.swap_remove(self.hand);
            let reader = table.reader.swap(None);
            touched.push((table, reader));
        }
        touched
    }
}

/// Opens tables for their handles and bounds how many are open.
pub struct TableCache {
    dir: Arc<Dir>,
    order: Order,
    blocks: Arc<BlockCache>,
    open_max: usize,
    clock: Mutex<Clock>,
}

impl TableCache {
    /// At most `open_max` tables (at least 1) are kept open; their keys are in `order`.
    pub fn new(
        dir: Arc<Dir>,
        order: Order,
        blocks: Arc<BlockCache>,
        open_max: usize,
    ) -> Arc<TableCache> {
        let clock = Mutex::new(Clock::default());
        Arc::new(TableCache { dir, order, blocks, open_max: open_max.max(1), clock })
    }

    /// The order of the tables' keys.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// The reader of a table, opened if need be.
    pub fn reader(&self, table: &Arc<TableHandle>) -> Result<Arc<TableReader>> {
        match table.open_reader() {
            Some(reader) => Ok(reader),
            None => self.open(table),
        }
    }

    #[cold]
    fn open(&self, table: &Arc<TableHandle>) -> Result<Arc<TableReader>> {
        let _opening = table.opening.lock();
        if let Some(reader) = table.open_reader() {
            return Ok(reader);
        }
        let name = FileKind::Table(table.meta.file).name();
        let file = self.dir.open_read(&name, Area::Table).map_err(|error| {
            let error = error.with_file(table.meta.file.0);
            // The manifest names it, so its absence is damage.
            let missing = error.kind() == ErrorKind::Missing;
            if missing { error.with_kind(ErrorKind::Corrupt) } else { error }
        })?;
        let reader = TableReader::open(file, &self.order, &table.meta, self.blocks.clone())?;
        let reader = Arc::new(reader.retire_to(table.retire.clone()));
        let closed = {
            let mut clock = self.clock.lock();
            let closed = clock.make_room(self.open_max);
            table.used.store(true, Ordering::Relaxed);
            table.reader.store(Some(reader.clone()));
            clock.open.push(Arc::downgrade(table));
            closed
        };
        drop(closed);
        Ok(reader)
    }

    /// The cache of data blocks below the readers.
    #[cfg(any(test, feature = "internals"))]
    pub fn blocks(&self) -> &Arc<BlockCache> {
        &self.blocks
    }

    fn open_readers(&self) -> Vec<Arc<TableReader>> {
        // The upgraded handles outlive the lock: dropping the last one of a table takes other locks.
        let tables: Vec<Arc<TableHandle>> =
            self.clock.lock().open.iter().filter_map(Weak::upgrade).collect();
        tables.iter().filter_map(|table| table.reader.load_full()).collect()
    }

    /// Tables open right now.
    pub fn open_tables(&self) -> usize {
        self.open_readers().len()
    }

    /// Memory of the open tables' indexes and filters.
    pub fn resident_bytes(&self) -> u64 {
        self.open_readers().iter().map(|reader| reader.resident_bytes()).sum()
    }
}
