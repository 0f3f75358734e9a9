//! Databases: open to close, reads, writes, snapshots, and what works on a directory.

use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::{null, null_mut, without_provenance};

use crate::batch::leveldb_writebatch_t;
use crate::comparator::Hold;
use crate::failure::{Failure, Outcome, at_path, check, fresh_error, report};
use crate::iter::leveldb_iterator_t;
use crate::object::take;
use crate::options::{
    leveldb_options_t, leveldb_readoptions_t, leveldb_snapshot_t, leveldb_writeoptions_t,
};
use crate::property::property;
use crate::text::{malloc_bytes, malloc_text};
use esker::capi::esker_status::{self, *};
use esker::capi::*;

pub struct leveldb_t {
    raw: *mut esker_db,
    /// Given back only after `raw` is closed.
    _comparator: Option<Hold>,
}

/// Esker's handle, NULL for NULL, which esker refuses.
fn raw(db: *mut leveldb_t) -> *mut esker_db {
    // SAFETY: NULL or a live database.
    unsafe { db.as_ref() }.map_or(null_mut(), |db| db.raw)
}

fn writing(options: *const leveldb_writeoptions_t) -> *const esker_write_opts {
    // SAFETY: NULL or a live object.
    unsafe { options.as_ref() }.map_or(null(), |options| &raw const options.raw)
}

fn reading(options: *const leveldb_readoptions_t) -> *const esker_read_opts {
    // SAFETY: NULL or a live object.
    unsafe { options.as_ref() }.map_or(null(), |options| &raw const options.raw)
}

/// Done, or what the database says of the failure.
fn done(db: *mut esker_db, status: esker_status) -> Outcome<()> {
    match status {
        ESKER_OK => Ok(()),
        // SAFETY: a handle, checked by esker.
        status => Err(unsafe { Failure::last(status, db.cast()) }),
    }
}

/// Whether a directory is LevelDB's own: it names its manifest in a file that esker never makes.
///
/// # Safety
/// `name` is NULL or ends in NUL.
unsafe fn holds_leveldb(name: *const c_char) -> bool {
    // SAFETY: the caller's promise.
    !name.is_null()
        && Path::new(OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()))
            .join("CURRENT")
            .exists()
}

/// An error about a directory, in the words of LevelDB where programs look for them.
///
/// # Safety
/// `name` is NULL or ends in NUL.
unsafe fn directory_failure(
    name: *const c_char,
    status: esker_status,
    error: &esker_error,
) -> Failure {
    // SAFETY: the caller's promise, here and below.
    let named = |rest: &str| unsafe { at_path(name, rest) };
    match status {
        // SAFETY: the caller's promise.
        ESKER_MISSING | ESKER_INVALID | ESKER_FORMAT if unsafe { holds_leveldb(name) } => {
            Failure::invalid(named(
                "holds files of LevelDB itself, whose format this library does not read",
            ))
        }
        ESKER_MISSING if error.os_errno == 0 || error.os_errno == libc::ENOENT => {
            Failure::invalid(named("does not exist (create_if_missing is false)"))
        }
        ESKER_PRESENT => Failure::invalid(named("exists (error_if_exists is true)")),
        ESKER_LOCKED => {
            let message = Failure::detailed(status, error).message;
            Failure::io(format!("lock {}", named(&message)))
        }
        status => Failure::detailed(status, error),
    }
}

/// Opens with flags of esker.
///
/// # Safety
/// As `leveldb_open`.
unsafe fn open(options: &leveldb_options_t, name: *const c_char, flags: u32) -> Outcome<leveldb_t> {
    let mut for_esker = options.for_esker()?;
    let (mut db, mut error) = (null_mut(), fresh_error());
    // SAFETY: the caller's promise; option object, place and error are ours.
    match unsafe { esker_open(name, for_esker.raw, flags, &mut db, &mut error) } {
        ESKER_OK => Ok(leveldb_t { raw: db, _comparator: for_esker.hold.take() }),
        // SAFETY: the caller's promise.
        status => Err(unsafe { directory_failure(name, status, &error) }),
    }
}

/// Closes although children may be alive; they answer with errors from then on.
fn close(db: leveldb_t) -> Outcome<()> {
    let mut error = fresh_error();
    let flags = esker_close_flags::ESKER_CLOSE_DETACH as u32;
    // SAFETY: the database's own handle, given up by this call.
    check(unsafe { esker_close(db.raw, flags, &mut error) }, &error)
}

/// Opens as the options say.
///
/// # Safety
/// As `leveldb_open`.
unsafe fn open_as_asked(
    options: *const leveldb_options_t,
    name: *const c_char,
) -> Outcome<leveldb_t> {
    // SAFETY: NULL or a live object.
    let Some(options) = (unsafe { options.as_ref() }) else {
        return Err(Failure::invalid("the options are NULL".to_owned()));
    };
    let create = esker_open_flags::ESKER_OPEN_CREATE as u32;
    let exclusive = esker_open_flags::ESKER_OPEN_EXCLUSIVE as u32;
    // SAFETY: the caller's promise, in all arms.
    unsafe {
        match (options.create_if_missing, options.error_if_exists) {
            (true, true) => open(options, name, create | exclusive),
            (true, false) => open(options, name, create),
            (false, false) => open(options, name, 0),
            // One of the two errors is certain; only opening tells which.
            (false, true) => {
                close(open(options, name, 0)?)?;
                Err(Failure::invalid(at_path(name, "exists (error_if_exists is true)")))
            }
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_open(
    options: *const leveldb_options_t,
    name: *const c_char,
    errptr: *mut *mut c_char,
) -> *mut leveldb_t {
    // SAFETY: as c.h asks.
    let opened = unsafe { report(errptr, open_as_asked(options, name)) };
    opened.map_or(null_mut(), |db| Box::into_raw(Box::new(db)))
}

/// LevelDB's close reports nothing; neither can this one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_close(db: *mut leveldb_t) {
    // SAFETY: as c.h asks.
    drop(unsafe { take(db) }.map(close));
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_put(
    db: *mut leveldb_t,
    options: *const leveldb_writeoptions_t,
    key: *const c_char,
    keylen: usize,
    val: *const c_char,
    vallen: usize,
    errptr: *mut *mut c_char,
) {
    let db = raw(db);
    // SAFETY: as c.h asks.
    unsafe {
        let status = esker_put(db, writing(options), key.cast(), keylen, val.cast(), vallen);
        report(errptr, done(db, status));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_delete(
    db: *mut leveldb_t,
    options: *const leveldb_writeoptions_t,
    key: *const c_char,
    keylen: usize,
    errptr: *mut *mut c_char,
) {
    let db = raw(db);
    // SAFETY: as c.h asks.
    unsafe {
        let status = esker_delete(db, writing(options), key.cast(), keylen);
        report(errptr, done(db, status));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_write(
    db: *mut leveldb_t,
    options: *const leveldb_writeoptions_t,
    batch: *mut leveldb_writebatch_t,
    errptr: *mut *mut c_char,
) {
    let db = raw(db);
    // SAFETY: as c.h asks.
    unsafe {
        let complete = match batch.as_ref() {
            Some(batch) => batch.complete(),
            None => Err(Failure::invalid("the batch is NULL".to_owned())),
        };
        let write = |batch| done(db, esker_write(db, writing(options), batch, null_mut()));
        report(errptr, complete.and_then(write));
    }
}

/// The value from malloc, None when the key is absent.
///
/// # Safety
/// As `leveldb_get`.
unsafe fn get(
    db: *mut esker_db,
    options: *const esker_read_opts,
    key: *const c_void,
    keylen: usize,
) -> Outcome<Option<(*mut c_char, usize)>> {
    let mut pin: esker_pin = zeroed();
    // SAFETY: as c.h asks; the value is valid until it is unpinned.
    unsafe {
        match esker_get_pin(db, options, key, keylen, &mut pin) {
            ESKER_OK => {}
            ESKER_NOT_FOUND => return Ok(None),
            status => return Err(Failure::last(status, db.cast())),
        }
        let size = pin.size;
        let copy = malloc_bytes(std::slice::from_raw_parts(pin.data.cast(), size));
        esker_unpin(&mut pin);
        match copy.is_null() {
            true => Err(Failure::of(ESKER_NOMEM)),
            false => Ok(Some((copy, size))),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_get(
    db: *mut leveldb_t,
    options: *const leveldb_readoptions_t,
    key: *const c_char,
    keylen: usize,
    vallen: *mut usize,
    errptr: *mut *mut c_char,
) -> *mut c_char {
    // SAFETY: as c.h asks.
    unsafe {
        let found = report(errptr, get(raw(db), reading(options), key.cast(), keylen));
        let (value, size) = found.flatten().unwrap_or((null_mut(), 0));
        if let Some(vallen) = vallen.as_mut() {
            *vallen = size;
        }
        value
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_create_iterator(
    db: *mut leveldb_t,
    options: *const leveldb_readoptions_t,
) -> *mut leveldb_iterator_t {
    // SAFETY: as c.h asks.
    Box::into_raw(Box::new(unsafe { leveldb_iterator_t::new(raw(db), reading(options)) }))
}

/// When there can be none (the database is closed, or out of handles), one that every read refuses: reading the latest in
/// its place would be a lie.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_create_snapshot(db: *mut leveldb_t) -> *const leveldb_snapshot_t {
    let mut snapshot = null_mut();
    // SAFETY: a handle, checked by esker, and a place for the new one, NULL on failure.
    match unsafe { esker_snapshot_new(raw(db), &mut snapshot) } {
        ESKER_OK => snapshot,
        _ => without_provenance(1),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_release_snapshot(
    _db: *mut leveldb_t,
    snapshot: *const leveldb_snapshot_t,
) {
    // SAFETY: NULL or a handle, checked by esker.
    unsafe { esker_snapshot_free(snapshot.cast_mut()) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_property_value(
    db: *mut leveldb_t,
    propname: *const c_char,
) -> *mut c_char {
    if propname.is_null() {
        return null_mut();
    }
    // SAFETY: as c.h asks.
    unsafe {
        let name = CStr::from_ptr(propname).to_str().unwrap_or_default();
        property(raw(db), name).map_or(null_mut(), |text| malloc_text(&text))
    }
}

/// Element `i` of two arrays of C, pointers and lengths. NULL is the empty key.
///
/// # Safety
/// Both hold more than `i` elements.
unsafe fn key_at(keys: *const *const c_char, lens: *const usize, i: usize) -> esker_slice {
    // SAFETY: the caller's promise.
    let (data, size): (*const c_void, _) = unsafe { ((*keys.add(i)).cast(), *lens.add(i)) };
    let data = if data.is_null() && size == 0 { c"".as_ptr().cast() } else { data };
    esker_slice { data, size }
}

/// A range whose ends are the wrong way round, or that cannot be estimated, has size 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_approximate_sizes(
    db: *mut leveldb_t,
    num_ranges: c_int,
    range_start_key: *const *const c_char,
    range_start_key_len: *const usize,
    range_limit_key: *const *const c_char,
    range_limit_key_len: *const usize,
    sizes: *mut u64,
) {
    for i in 0..usize::try_from(num_ranges).unwrap_or(0) {
        // SAFETY: every array has `num_ranges` elements, as c.h asks.
        unsafe {
            let range = esker_range {
                lower: key_at(range_start_key, range_start_key_len, i),
                upper: key_at(range_limit_key, range_limit_key_len, i),
            };
            let mut size = 0;
            if esker_approx_sizes(raw(db), 1, &range, &mut size) != ESKER_OK {
                size = 0;
            }
            *sizes.add(i) = size;
        }
    }
}

/// A failure enters esker's error ring; LevelDB's function has no place for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_compact_range(
    db: *mut leveldb_t,
    start_key: *const c_char,
    start_key_len: usize,
    limit_key: *const c_char,
    limit_key_len: usize,
) {
    let lower = esker_slice { data: start_key.cast(), size: start_key_len };
    let upper = esker_slice { data: limit_key.cast(), size: limit_key_len };
    let lower = if start_key.is_null() { null() } else { &raw const lower };
    let upper = if limit_key.is_null() { null() } else { &raw const upper };
    let flags = esker_compact_flags::ESKER_COMPACT_UPPER_INCLUSIVE as u32;
    // SAFETY: as c.h asks.
    let _status = unsafe { esker_compact(raw(db), lower, upper, flags, null(), null_mut()) };
}

/// Removes esker's files. A directory that is not there is fine; one of LevelDB's own files stays as it is.
///
/// # Safety
/// As `leveldb_destroy_db`.
unsafe fn destroy(name: *const c_char) -> Outcome<()> {
    let mut error = fresh_error();
    // SAFETY: the caller's promise.
    unsafe {
        match esker_destroy(name, null(), &mut error) {
            ESKER_OK => Ok(()),
            ESKER_MISSING if !holds_leveldb(name) => Ok(()),
            status => Err(directory_failure(name, status, &error)),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_destroy_db(
    _options: *const leveldb_options_t,
    name: *const c_char,
    errptr: *mut *mut c_char,
) {
    // SAFETY: as c.h asks.
    unsafe { report(errptr, destroy(name)) };
}

/// Opens, which recovers, checks every byte, and closes: what is damaged is said, nothing is thrown away.
///
/// # Safety
/// As `leveldb_repair_db`.
unsafe fn repair(options: *const leveldb_options_t, name: *const c_char) -> Outcome<()> {
    // SAFETY: the caller's promise.
    let options = unsafe { options.as_ref() };
    let defaults = leveldb_options_t::default();
    // SAFETY: the caller's promise.
    let db = unsafe { open(options.unwrap_or(&defaults), name, 0)? };
    let mut error = fresh_error();
    let level = esker_verify_level::ESKER_VERIFY_FULL as u32;
    // SAFETY: the database is ours.
    let sound = check(unsafe { esker_verify(db.raw, level, null(), &mut error) }, &error);
    let closed = close(db);
    sound.and(closed)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_repair_db(
    options: *const leveldb_options_t,
    name: *const c_char,
    errptr: *mut *mut c_char,
) {
    // SAFETY: as c.h asks.
    unsafe { report(errptr, repair(options, name)) };
}
