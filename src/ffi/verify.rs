//! Verification of open and of closed databases.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::verify::{VerifyLevel, Watch, verify_path};
use crate::env::api::Fs;
use crate::error::Result;
use crate::ffi::arguments::{c_text, invalid};
use crate::ffi::boundary::{db_call_detailed, detailed, prepare};
use crate::ffi::job::Job;
use crate::ffi::options::copy_options;
use crate::ffi::status::esker_status::{self, ESKER_OK};
use crate::ffi::structs::{esker_db, esker_error, esker_job, esker_options};
use std::ffi::c_char;

/// Checks an open database while it is in use, to the depth `level` of an esker_verify_level. `job` may be NULL;
/// its progress counts bytes of tables, its report callback gets every finding. Without that the first finding is in
/// `err` and up to 64 are in the error ring. OK = sound; CORRUPT = at least one finding; CANCELLED by a callback or
/// by a close; INVALID for an unknown level. Changes nothing; writers go on. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_verify(
    db: *mut esker_db,
    level: u32,
    job: *const esker_job,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            let level = level_of(level)?;
            let job = Job::read(job)?;
            let watch = Watch {
                progress: &mut |done, total| job.progress(c"verify", done, total),
                report: &mut |finding| {
                    if !job.has_report() {
                        handle.db.record_error(finding);
                    }
                    job.report(finding)
                },
            };
            handle.db.verify(level, watch)?;
            Ok(ESKER_OK)
        })
    }
}

/// The same, to the same `level`, for a database in `path` that is not open, also one that does not open. Takes the lock where the
/// directory is writable and writes nothing else. `options` may be NULL; only a custom comparator and the file mode
/// count, built-in ones are known by their names. Files that the database does not need are no finding. Also returns
/// MISSING, LOCKED, COMPARATOR. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_verify_path(
    path: *const c_char,
    options: *const esker_options,
    level: u32,
    job: *const esker_job,
    err: *mut esker_error,
) -> esker_status {
    prepare();
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        detailed(err, || {
            let level = level_of(level)?;
            let job = Job::read(job)?;
            let options = copy_options(options)?;
            let watch = Watch {
                progress: &mut |done, total| job.progress(c"verify", done, total),
                report: &mut |finding| job.report(finding),
            };
            verify_path(&Fs::Real, c_text(path, "path")?, &options, level, watch)?;
            Ok(ESKER_OK)
        })
    }
}

fn level_of(level: u32) -> Result<VerifyLevel> {
    match level {
        0 => Ok(VerifyLevel::Metadata),
        1 => Ok(VerifyLevel::Checksums),
        2 => Ok(VerifyLevel::Full),
        _ => Err(invalid(format!("verify level {level} is none of 0 to 2"))),
    }
}
