//! Copies of the logs that point-in-time recovery has given up.
//!
//! Such a log holds writes that were durable and do not count any more. It goes the way of every log that is not
//! needed; before the first change makes that final, it is copied under a name that nothing but destroy touches.
//!
//! Invariants
//! 1. A change is made only when the copies are durable; a crash in between finds the logs as they were and
//!    decides the same.

use crate::db::core::DbCore;
use crate::env::path::FileKind;
use crate::error::{Area, ErrorKind, Result};
use crate::types::FileNum;
use crate::version::edit::VersionEdit;

impl DbCore {
    /// Before any change: copies what recovery gave up; whether there was any. Nothing to do after the first time.
    pub fn keep_given_up(&self) -> Result<bool> {
        let mut logs = self.given_up.lock();
        if logs.is_empty() {
            return Ok(false);
        }
        let failed = self.dir.failed_syncs();
        logs.iter().try_for_each(|log| self.copy_log(*log))?;
        self.dir.sync_since(failed)?;
        logs.clear();
        Ok(true)
    }

    fn copy_log(&self, log: FileNum) -> Result<()> {
        let (name, copy) = (FileKind::Log(log).name(), FileKind::DamagedLog(log).name());
        let from = match self.dir.open_read(&name, Area::Wal) {
            // That it is not there was the damage, or what is there is no file.
            Err(error) if matches!(error.kind(), ErrorKind::Missing | ErrorKind::Corrupt) => {
                return Ok(());
            }
            opened => opened?,
        };
        // One that a crash cut short.
        self.dir.unlink(&copy)?;
        let to = self.dir.create(&copy, Area::Wal)?;
        from.copy_to(&to, from.size()?, &mut |_| Ok(()))?;
        to.sync_data()
    }

    /// When recovery has given logs up and nothing was changed since: makes what it decided final, so that the
    /// next open finds no damage.
    pub fn leave_given_up(&self) -> Result<()> {
        if self.given_up.lock().is_empty() {
            return Ok(());
        }
        self.install(VersionEdit::default(), &[])
    }
}
