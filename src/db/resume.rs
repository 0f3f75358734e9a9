//! Taking writes up again after an error of the disk has stopped them (D24).
//!
//! Memory has every acknowledged write, the disk may have lost any byte of the logs, or nobody knows which manifest a
//! crash would show. So: a new manifest, everything in memory into new tables, and a new log that is the only one
//! from the edit on that lists it.
//!
//! Invariants
//! 1. Until that edit is durable writes stay stopped, and a crash finds what it would have found before.
//! 2. No log of before takes another record, and none becomes a spare after a failed sync.
//! 3. What stopped writes while memory was not whole (a panic, a write applied in part, damage) stays.

use crate::db::core::DbCore;
use crate::error::Result;
use crate::shared::LogLevel;

impl DbCore {
    /// Takes writes up again and tries failed jobs at once. Nothing is wrong: OK. The cause persists: its error,
    /// and everything is as before.
    pub fn resume(&self) -> Result<()> {
        // A close waits for this lock after it has said that the database is closed.
        let _alone = self.resuming.lock();
        self.check_open()?;
        if self.errors.is_read_only() {
            return self.errors.check();
        }
        if self.errors.is_stopped() {
            self.errors.check_curable()?;
            if let Err(error) = self.take_up_writes() {
                self.errors.record(&error);
                return Err(error.context("taking writes up again"));
            }
            self.notify_progress();
            self.log(LogLevel::Info, || "writes are taken up again".to_owned());
        }
        self.retry_now();
        Ok(())
    }

    fn take_up_writes(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        self.manifest.lock().revive()?;
        if self.keyspace.state.with(|state| !state.active.is_empty()) {
            self.freeze(&mut writer);
        }
        // Writes are stopped, and this is what ends that.
        while self.flush_oldest_if(|| Ok(()))? {}
        self.leave_logs(&mut writer)?;
        // Under the lock under which a job would say that the manifest has failed again.
        let set = self.manifest.lock();
        match set.failed() {
            Some(error) => Err(error.clone()),
            None => self.errors.go_on(),
        }
    }
}
