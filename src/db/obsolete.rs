//! Clean-up, a task for the shared thread: frees memory and removes files that nobody can name any more.
//!
//! Invariants
//! 1. Nothing is removed before this process has a durable manifest of its own: recovery leaves the
//!    directory as it found it, so that a second crash decides the same.
//! 2. A log goes only below the durable floor or when voided; a table only when its last reference has
//!    gone after the edit that dropped it was durable, or when no edit names it: a leftover at open, the
//!    output of a job that failed.
//! 3. What is kept as a spare is handed over to `logs` and not touched here again before that gives it back.
//! 4. A file that cannot be removed is reported and tried again with the next load.

use crate::db::core::DbCore;
use crate::env::path::FileKind;
use crate::types::FileNum;

impl DbCore {
    /// Does what there is to do.
    pub fn clean_once(&self) {
        let _alone = self.cleaning.lock();
        let mut load = self.retire.take();
        // Dropping the garbage may retire more (a version's tables): take until nothing comes.
        while !load.garbage.is_empty() {
            load.garbage.clear();
            let more = self.retire.take();
            load.garbage = more.garbage;
            load.tables.extend(more.tables);
        }
        let mut doomed: Vec<FileKind> = load.tables.into_iter().map(FileKind::Table).collect();
        let (sound, mut logs) = {
            let set = self.manifest.lock();
            let sound = set.changed() && set.failed().is_none();
            if sound {
                // Under the lock: an edit that fails right after leaves its tables there, and a crash may show them named.
                doomed.append(&mut self.orphans.lock());
            }
            (sound, set.obsolete_logs())
        };
        if sound {
            self.keep_spares(&mut logs);
            self.remove_logs(&logs);
        }
        for kind in doomed {
            if let Err(error) = self.dir.unlink(&kind.name()) {
                self.errors.record(&error);
                self.orphans.lock().push(kind);
            }
        }
    }

    fn remove_logs(&self, logs: &[FileNum]) {
        let unlink = |log: &FileNum| {
            let removed = self.dir.unlink(&FileKind::Log(*log).name());
            removed.map(|()| *log).inspect_err(|error| {
                self.errors.record(error);
            })
        };
        let gone: Vec<FileNum> = logs.iter().map(unlink).filter_map(|r| r.ok()).collect();
        if gone.is_empty() {
            return;
        }
        // A voided log may be forgotten only once it cannot come back; after a sync of the directory that failed nobody
        // knows that.
        if self.dir.failed_syncs() > 0 {
            return;
        }
        if let Err(error) = self.dir.sync_since(0) {
            self.errors.record(&error);
            return;
        }
        for log in gone {
            self.manifest.lock().void_gone(log);
        }
    }
}
