//! Verification of open and of closed databases.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::salvage::{Salvaged, salvage};
use crate::db::verify::{VerifyLevel, Watch, verify_path};
use crate::env::api::Fs;
use crate::error::Result;
use crate::ffi::arguments::{c_text, invalid, output_struct};
use crate::ffi::boundary::{db_call_detailed, detailed, prepare};
use crate::ffi::job::Job;
use crate::ffi::options::copy_options;
use crate::ffi::status::esker_status::{self, ESKER_OK};
use crate::ffi::structs::{esker_db, esker_error, esker_job, esker_options, esker_salvage_result};
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

/// Reads what can be read of the database in `path`, which is damaged and not open, into a new one in `new_path`, which
/// must be absent (its parent is there) or hold nothing. Writes nothing into `path` but the lock file. With a manifest
/// that verifies, what it names is read: of a table every block whose checksum holds, of logs what opening would
/// count or, where that is damaged, every whole record. Without one, all tables and logs by their names; then older
/// versions and deleted rows may come back. Of each key the newest version that was read counts.
///
/// `options` may be NULL; they are those of the new database, a custom comparator must be among them, and without a
/// manifest the comparator too. `job` may be NULL; its progress counts entries, its report callback gets everything
/// that could not be read, which is no error. `result` may be NULL, struct_size filled in; it is filled also after an
/// error, `path` and `new_path` end in NUL. OK = the new database is complete and closed; MISSING when `path` holds no
/// database; LOCKED; PRESENT or INVALID when `new_path` holds something; COMPARATOR; CANCELLED by a callback; IO,
/// NOSPACE, NOMEM. After an error the new directory is removed, after a kill it is left, incomplete.
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_salvage(
    path: *const c_char,
    options: *const esker_options,
    new_path: *const c_char,
    job: *const esker_job,
    result: *mut esker_salvage_result,
    err: *mut esker_error,
) -> esker_status {
    prepare();
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        detailed(err, || {
            let out = if result.is_null() { None } else { Some(output_struct(result, "result")?) };
            let job = Job::read(job)?;
            let options = copy_options(options)?;
            let watch = Watch {
                progress: &mut |done, total| job.progress(c"salvage", done, total),
                report: &mut |finding| job.report(finding),
            };
            let (path, new_path) = (c_text(path, "path")?, c_text(new_path, "new_path")?);
            let mut found = Salvaged::default();
            let done = salvage(&Fs::Real, path, &options, new_path, watch, &mut found);
            if let Some(out) = out {
                out.set(salvage_struct(&found));
            }
            done.map(|()| ESKER_OK)
        })
    }
}

fn salvage_struct(from: &Salvaged) -> esker_salvage_result {
    esker_salvage_result {
        struct_size: 0,
        reserved: 0,
        tables: from.tables,
        tables_lost: from.tables_lost,
        blocks: from.blocks,
        blocks_lost: from.blocks_lost,
        logs: from.logs,
        logs_lost: from.logs_lost,
        records: from.records,
        log_gaps: from.log_gaps,
        rows: from.rows,
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
