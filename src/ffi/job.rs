//! Long work seen from C: progress, cancellation and findings, through one struct.
#![allow(unsafe_code, reason = "calls the callbacks of a C caller")]

use crate::env::api::Fs;
use crate::error::{Error, Result};
use crate::ffi::arguments::{check_reserved, read_struct};
use crate::ffi::boundary::{calling_back, error_struct};
use crate::ffi::structs::esker_job;
use std::cell::Cell;
use std::ffi::CStr;

/// Least time between two calls of a progress callback.
const PROGRESS_MICROS: u64 = 100_000;

/// The caller's callbacks for one call.
pub struct Job {
    job: esker_job,
    told: Cell<Option<u64>>,
}

impl Job {
    /// # Safety
    /// `job` is NULL or readable for the size it names, and its callbacks are functions of these types that
    /// return normally.
    pub unsafe fn read(job: *const esker_job) -> Result<Job> {
        // SAFETY: the caller's promise.
        let job = unsafe { read_struct(job)? };
        check_reserved(job.flags, "esker_job.flags")?;
        Ok(Job { job, told: Cell::new(None) })
    }

    /// Tells the caller how far the work is, not more often than it wants to know but also at the end; whether
    /// to go on.
    pub fn progress(&self, phase: &CStr, done: u64, total: u64) -> bool {
        let Some(callback) = self.job.progress else {
            return true;
        };
        let now = Fs::Real.now_micros();
        let recent = |told| now.saturating_sub(told) < PROGRESS_MICROS;
        let over = total > 0 && done >= total;
        if self.told.get().is_some_and(recent) && !over {
            return true;
        }
        self.told.set(Some(now));
        // SAFETY: as `read` was promised.
        calling_back(|| unsafe { callback(self.job.ctx, phase.as_ptr(), done, total) }) == 0
    }

    /// Whether the caller takes findings itself.
    pub fn has_report(&self) -> bool {
        self.job.report.is_some()
    }

    /// Hands a finding to the caller; whether to go on.
    pub fn report(&self, finding: &Error) -> bool {
        let Some(callback) = self.job.report else {
            return true;
        };
        let finding = error_struct(finding);
        // SAFETY: as `read` was promised; the struct lives for the call.
        calling_back(|| unsafe { callback(self.job.ctx, &raw const finding) }) == 0
    }
}
