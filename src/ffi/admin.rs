//! Maintenance: flush, compact, numbers and texts.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::db::approximate::KeyRange;
use crate::db::stats::{LevelSnapshot, StatsSnapshot};
use crate::error::{Area, Error, Result};
use crate::ffi::arguments::{
    c_text, check_flags, invalid, optional_key, output, output_array, output_struct, write_text,
};
use crate::ffi::boundary::{db_call, db_call_detailed};
use crate::ffi::job::Job;
use crate::ffi::status::esker_status::{self, ESKER_NOT_FOUND, ESKER_OK};
use crate::ffi::structs::{
    esker_db, esker_error, esker_job, esker_level_stats, esker_range, esker_slice, esker_stats,
    zeroed,
};
use crate::ffi::values::esker_compact_flags::*;
use crate::sync::Ordering;
use std::ffi::c_char;

/// Writes every memtable to tables and returns when these are durable. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_flush(db: *mut esker_db, err: *mut esker_error) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            handle.db.flush()?;
            Ok(ESKER_OK)
        })
    }
}

/// Tries to take writes up again after POISONED by an I/O error: abandons the damaged log, writes what memory
/// holds into new tables, starts a new log. Flushes and compactions that failed are tried again at once, also when
/// writes were not stopped. OK also when nothing was wrong. The error's status (IO, NOSPACE, READONLY) when the cause
/// persists, and nothing has changed; the first error's when memory itself is damaged (CORRUPT, NOMEM) or the comparator is wrong (COMPARATOR), POISONED after
/// PANIC: then only closing and opening helps. Writers wait meanwhile, readers do not. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_resume(db: *mut esker_db, err: *mut esker_error) -> esker_status {
    // SAFETY: `err` is NULL or a struct of the size it names, as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            handle.db.resume()?;
            Ok(ESKER_OK)
        })
    }
}

/// Flushes, then merges the tables of a key range down to one sorted run and returns when done. `lo` and
/// `hi` may be NULL (open ends); `hi` is outside unless ESKER_COMPACT_UPPER_INCLUSIVE. `job` may be NULL.
/// Files that killed processes left are removed. Reads and writes go on. CANCELLED through `job` leaves a sound, partly
/// merged tree. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_compact(
    db: *mut esker_db,
    lo: *const esker_slice,
    hi: *const esker_slice,
    flags: u32,
    job: *const esker_job,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            let known = ESKER_COMPACT_FORCE as u32 | ESKER_COMPACT_UPPER_INCLUSIVE as u32;
            check_flags(flags, known, "flags of esker_compact()")?;
            let job = Job::read(job)?;
            let (lo, hi) = (bound(lo, "lo")?, bound(hi, "hi")?);
            let force = flags & ESKER_COMPACT_FORCE as u32 != 0;
            // Tables are merged whole and one that begins with `hi` may be among them, so it makes no
            // difference to the engine whether `hi` itself is inside.
            let mut progress = |_: &str, done, total| job.progress(c"compact", done, total);
            handle.db.compact(lo, hi, force, &mut progress)?;
            Ok(ESKER_OK)
        })
    }
}

/// # Safety
/// `slice` is NULL or readable, and its bytes are for its size.
unsafe fn bound<'a>(slice: *const esker_slice, what: &str) -> Result<Option<&'a [u8]>> {
    if slice.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    unsafe { optional_key(slice.read_unaligned(), what) }
}

/// Makes an openable copy in the directory `dir`, by hard links where the file system allows and copies elsewhere,
/// holding every write that returned before the call (and perhaps later ones, in order), and durable when it
/// returns. Makes `dir` if it is not there, not its parent (MISSING); PRESENT when it exists and holds more than a LOCK.
/// `job` may be NULL; its progress counts bytes of tables. CANCELLED or failed, it takes away what it made; killed, it
/// leaves a directory that does not open, for esker_destroy() or, with a LOCK alone, for the next one. The copy has an
/// identity of its own and shares no later fate with the database. Flushes; writers and readers go on. INVALID for a
/// database in memory, POISONED when writes are stopped. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_checkpoint(
    db: *mut esker_db,
    dir: *const c_char,
    job: *const esker_job,
    err: *mut esker_error,
) -> esker_status {
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        db_call_detailed(db, err, |handle| {
            let job = Job::read(job)?;
            let mut progress = |done, total| job.progress(c"checkpoint", done, total);
            handle.db.checkpoint(c_text(dir, "dir")?, &mut progress)?;
            Ok(ESKER_OK)
        })
    }
}

/// Estimates the bytes on disk and in memtables of `n` ranges into sizes[0..n). Reads no data blocks.
/// INVALID when a lower end is above its upper end. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_approx_sizes(
    db: *mut esker_db,
    n: usize,
    ranges: *const esker_range,
    sizes: *mut u64,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or arrays of `n` elements, as the header asks.
        unsafe {
            let out = output_array(sizes, n, "sizes")?;
            let ranges = key_ranges(ranges, n)?;
            let mut found = zeroes(n)?;
            handle.db.approximate_sizes(&ranges, &mut found)?;
            for (at, size) in found.into_iter().enumerate() {
                out.set_at(at, size);
            }
        }
        Ok(ESKER_OK)
    })
}

fn zeroes(n: usize) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    let no_memory = |_| Error::no_memory(Area::Engine, n.saturating_mul(size_of::<u64>()));
    all.try_reserve_exact(n).map_err(no_memory)?;
    all.resize(n, 0);
    Ok(all)
}

/// # Safety
/// `ranges` is NULL or an array of `n` elements whose bytes are readable for their sizes.
unsafe fn key_ranges<'a>(ranges: *const esker_range, n: usize) -> Result<Vec<KeyRange<'a>>> {
    if ranges.is_null() && n != 0 {
        return Err(invalid(format!("ranges is NULL and n is {n}")));
    }
    let mut all = Vec::new();
    let no_memory = |_| Error::no_memory(Area::Engine, n.saturating_mul(size_of::<KeyRange<'_>>()));
    all.try_reserve_exact(n).map_err(no_memory)?;
    for at in 0..n {
        // SAFETY: inside the array by the caller's promise; unaligned pointers are tolerated.
        let range = unsafe { ranges.add(at).read_unaligned() };
        // SAFETY: the caller's promise.
        all.push(unsafe {
            (optional_key(range.lower, "lower")?, optional_key(range.upper, "upper")?)
        });
    }
    Ok(all)
}

/// Fills the numbers of a database. Costs microseconds, takes no lock that writers need. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_db_stats(
    db: *mut esker_db,
    stats: *mut esker_stats,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: `stats` is NULL or a struct of the size it names, as the header asks.
        let out = unsafe { output_struct(stats, "stats")? };
        let live_pins = handle.pins.load(Ordering::Relaxed);
        out.set(stats_struct(&handle.db.stats(), live_pins));
        Ok(ESKER_OK)
    })
}

/// Builds a C struct from fields of the same names.
macro_rules! same_fields {
    ($to:ident, $from:expr, { $($field:ident),* $(,)? }, { $($more:tt)* }) => {
        $to { $($field: $from.$field,)* $($more)* }
    };
}

fn stats_struct(from: &StatsSnapshot, live_pins: u64) -> esker_stats {
    same_fields!(esker_stats, from, {
        levels, puts, deletes, gets, gets_found, iterators, user_bytes_written, wal_bytes, wal_syncs,
        flushes, flush_bytes, compactions, compaction_bytes_read, compaction_bytes_written, stalls,
        stall_us, slowdown_us, cache_hits, cache_misses, cache_bytes, memtable_bytes, memtables_immutable,
        index_filter_bytes, table_bytes, wal_live_bytes, compaction_debt_bytes, entries_estimate,
        latest_seq, durable_seq, snapshots, oldest_snapshot_seq, oldest_snapshot_age_us,
        live_iterators, recovered_records, recovered_dropped_bytes, errors,
    }, { struct_size: 0, live_pins, level: from.level.map(level_struct) })
}

fn level_struct(from: LevelSnapshot) -> esker_level_stats {
    same_fields!(esker_level_stats, from, {
        tables, bytes, entries, tombstones, compactions, read_bytes, written_bytes,
    }, { ..zeroed() })
}

/// Writes a named text: "levels", "tables", "options", "stats", "stats.json", "memtables", "version".
/// "stats.json" is one JSON object of numbers under the names of esker_stats, with an array "level"; the
/// others are for people. `name` and the text end in NUL; `*need` is the length without it, TOO_SMALL when
/// it was cut. buf may be NULL when cap is 0. NOT_FOUND for an unknown name. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_property(
    db: *mut esker_db,
    name: *const c_char,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        unsafe {
            output(need, "need")?;
            let name = std::str::from_utf8(c_text(name, "name")?).unwrap_or("");
            #[cfg(feature = "forced_panic")]
            if crate::ffi::boundary::forced::request(name) {
                return write_text("", buf, cap, need);
            }
            let text = match name {
                "stats.json" => Some(handle.db.stats_json(handle.pins.load(Ordering::Relaxed))?),
                _ => handle.db.property(name)?,
            };
            match text {
                Some(text) => write_text(&text, buf, cap, need),
                None => Ok(ESKER_NOT_FOUND),
            }
        }
    })
}

/// Writes all numbers in the Prometheus text format (version 0.0.4), for a program that serves them; names,
/// types and meanings are listed in docs/METRICS.md. Text, `*need` and TOO_SMALL as in esker_property().
/// [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_metrics_text(
    db: *mut esker_db,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> esker_status {
    db_call(db, |handle| {
        // SAFETY: the pointers are NULL or as the header asks.
        unsafe {
            output(need, "need")?;
            let text = handle.db.metrics_text(handle.pins.load(Ordering::Relaxed))?;
            write_text(&text, buf, cap, need)
        }
    })
}
