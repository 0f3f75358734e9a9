//! The one door by which the tree changes shape.
//!
//! Invariants
//! 1. Manifest first (durable), then publish, then forget: logs below the new floor and dropped tables
//!    are removed only afterwards, by the cleanup thread.
//! 2. Installs happen in manifest order: the manifest lock is held across the publication.
//! 3. What a flush made durable is told to be (`durable_seq`) before the flush can be seen to be over.

use crate::db::core::DbCore;
use crate::env::path::FileKind;
use crate::error::{ErrorKind, Result};
use crate::memtable::table::MemTable;
use crate::planted::{self, Planted};
use crate::sync::{Arc, MutexGuard, Ordering};
use crate::types::FileNum;
use crate::version::edit::VersionEdit;

impl DbCore {
    /// Makes `edit` durable, then visible; `flushed` are the memtables it replaces by tables.
    pub fn install(&self, mut edit: VersionEdit, flushed: &[Arc<MemTable>]) -> Result<()> {
        if self.keep_given_up()? && edit.log_floor.is_none() {
            // A damaged log that nobody needs must not be listed any more.
            edit.log_floor = Some(self.floor_without(flushed));
        }
        let mut set = self.manifest.lock();
        if let Some(newest) = flushed.iter().map(|m| m.frozen_at()).max() {
            edit.flushed.push((self.keyspace.id, newest));
            edit.log_floor = Some(self.floor_without(flushed));
        }
        let outputs = outputs_of(&edit);
        set.note_seq(self.visible());
        if let Some((log, offset)) = self.log_sync.durable_point() {
            set.note_durable(log, offset);
        }
        if let Err(error) = set.apply(edit) {
            // The set could not write any manifest at all: nothing further may change on disk.
            if set.failed().is_some()
                || matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Comparator)
            {
                self.poison(&error);
            }
            if set.failed().is_none() {
                outputs.into_iter().for_each(|table| self.retire.obsolete(table));
            } else {
                // A crash may show a manifest that has them; removed once a newer one has not.
                self.orphans.lock().extend(outputs.into_iter().map(FileKind::Table));
            }
            return Err(error);
        }
        let version = set.version(self.keyspace.id);
        if planted::is(Planted::ShownOutOfOrder) {
            MutexGuard::unlocked(&mut set, || ());
        }
        // Before the state shows it: by that a flush is over, and what it made durable must be told to be.
        self.note_settled(&set);
        self.keyspace.state.install(version, flushed);
        self.reprice();
        let floor = set.state().log_floor;
        // Before the clean-up can see what was freed.
        self.note_clean(self.log_sync.forget_below(floor));
        drop(set);
        self.retire.kick();
        Ok(())
    }

    /// The oldest log that is still needed once `flushed` are in tables (rule D12 of docs/DURABILITY.md).
    pub fn floor_without(&self, flushed: &[Arc<MemTable>]) -> FileNum {
        // Read before the memtables: a log that takes its first record after this is newer than it.
        let current = FileNum(self.current_log.load(Ordering::Acquire));
        let state = self.keyspace.state.load();
        let live = std::iter::once(&state.active).chain(&state.frozen);
        let still = live.filter(|m| !flushed.iter().any(|f| Arc::ptr_eq(f, m)));
        still.filter_map(|m| m.first_log()).min().map_or(current, |first| first.min(current))
    }
}

/// Tables that an edit brings into being, not those it only moves.
fn outputs_of(edit: &VersionEdit) -> Vec<FileNum> {
    let dropped = |file| edit.tables_dropped.iter().any(|(_, _, old)| *old == file);
    edit.tables_added.iter().map(|(_, _, meta)| meta.file).filter(|f| !dropped(*f)).collect()
}
