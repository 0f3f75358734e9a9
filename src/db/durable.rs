//! What is done about durability apart from writes: sync on request and by the clock, waiting for it.
//!
//! Nothing here takes the commit lock to wait: BUFFERED writers go on while a sync is under way.
//!
//! Invariants
//! 1. A wait for durability ends when it has become useless: closed, or writes stopped.

use crate::db::core::DbCore;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::{Instant, Ordering};
use crate::types::SeqNo;
use std::time::Duration;

impl DbCore {
    /// Makes every logged write that returned before the call survive a power cut.
    pub fn sync(&self) -> Result<()> {
        self.check_open()?;
        self.errors.check()?;
        self.sync_log()?;
        if let Some(mut writer) = self.writer.try_lock() {
            // Evidence of the sync for a later recovery; without it nothing is lost but certainty.
            if let Err(error) = writer.log.stamp_if_useful() {
                self.errors.record(&error);
            }
        }
        Ok(())
    }

    /// Waits until writes up to `seq` survive a power cut, by a sync or a flush of others; false when
    /// `timeout_us` passed first (0 = only a look). `INVALID` for a write that has not been made.
    pub fn wait_durable(&self, seq: SeqNo, timeout_us: u64) -> Result<bool> {
        self.check_open()?;
        let visible = self.visible();
        if seq > visible {
            let message = format!("sequence {seq} has not been written, the latest is {visible}");
            return Err(Error::invalid(Area::Argument, message).with_value(visible));
        }
        let reached = || self.durable() >= seq;
        let useless = || self.errors.is_stopped() || self.errors.is_read_only();
        let over = || reached() || self.closed.load(Ordering::Acquire) || useless();
        let deadline = Instant::now().checked_add(Duration::from_micros(timeout_us));
        self.log_sync.wait_for(over, deadline);
        if reached() {
            return Ok(true);
        }
        self.check_open()?;
        self.errors.check()?;
        Ok(false)
    }

    /// Says that something was logged. One load where the option is off or the clock runs.
    pub fn wind_sync_interval(&self) {
        if self.options.sync_interval_us > 0 {
            self.sync_interval.wind(|| self.fs.now_micros());
        }
    }

    /// The body of the thread that the option asks for.
    pub fn keep_synced(&self) {
        let interval = Duration::from_micros(self.options.sync_interval_us);
        while !interval.is_zero() && self.sync_interval.wait(interval) {
            self.sync_by_interval();
        }
    }

    /// What the thread does, in the calling thread (option `deterministic`).
    pub fn sync_if_due(&self) {
        let since = self.sync_interval.since_us();
        let due = since.map(|since| since.saturating_add(self.options.sync_interval_us));
        if due.is_some_and(|due| self.fs.now_micros() >= due) {
            self.sync_by_interval();
        }
    }

    fn sync_by_interval(&self) {
        self.sync_interval.take_down();
        match self.contain(|| self.sync()) {
            Ok(()) => {}
            // Closed or read-only: there is nothing to keep, and whoever asks is told.
            Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::Poisoned) => {}
            // A sync that fails has stopped writes and entered the error ring itself.
            Err(_) => self.log_sync.announce(),
        }
    }
}
