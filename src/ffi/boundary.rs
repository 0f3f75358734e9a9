//! The guard around every call from C.
//!
//! `guard` refuses forked children and turns panics into PANIC. On top of it lie `plain` (status only),
//! `detailed` (fills the caller's error), and `db_call`, `db_call_detailed`, `iter_call` and `batch_call`,
//! which also look up the handle, keep the error where esker_last_error() finds it, and poison the
//! database in which a panic happened.
//!
//! Invariants
//! 1. Nothing unwinds out of a guarded call, and nothing is printed.
//! 2. In a forked child no lock is taken and nothing is freed.
#![allow(unsafe_code, reason = "fills the error of C callers")]

use crate::env::process;
use crate::error::{Area, Error, ErrorKind, Result};
use crate::ffi::arguments::{check_output_size, cut_at_character, output_struct};
use crate::ffi::handles::{BatchHandle, DbHandle, IterHandle, claim, enter_db};
use crate::ffi::status::{area_of, esker_status, flags_of, status_of};
use crate::ffi::structs::{esker_batch, esker_db, esker_error, esker_iter, zeroed};
use crate::sync::{AtomicBool, OnceLock, Ordering};
use std::any::Any;
use std::cell::Cell;
use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// What the body of a call says: a status from zero up, or an error.
pub type Answer = Result<esker_status>;

thread_local! {
    /// What the panic hook noted for the guard that will catch the panic.
    static PANICKED: Cell<Option<String>> = const { Cell::new(None) };
    /// A callback of the caller runs in this thread.
    static CALLED_BACK: Cell<bool> = const { Cell::new(false) };
    /// One that is called with locks held.
    static COMPARING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this process has ever called a comparator: others need not be asked for theirs.
static COMPARATORS: AtomicBool = AtomicBool::new(false);

/// Prepares the process once: fork detection and the quiet panic hook. Every function that can be a
/// program's first one calls this.
pub fn prepare() {
    static HOOK: OnceLock<()> = OnceLock::new();
    process::prepare();
    HOOK.get_or_init(|| {
        // Only a C library owns its copy of the standard library; Rust tests keep theirs talking.
        if !cfg!(test) {
            std::panic::set_hook(Box::new(note_panic));
        }
    });
}

fn note_panic(info: &PanicHookInfo<'_>) {
    let mut message = payload_text(info.payload());
    if let Some(place) = info.location() {
        message = format!("{message} ({}:{})", place.file(), place.line());
    }
    // A thread that is past its thread-locals loses the place, not the message.
    PANICKED.try_with(|noted| noted.set(Some(message))).unwrap_or(());
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without a message").to_owned()
}

/// Runs `body`; a panic becomes its message.
fn catch<T>(body: impl FnOnce() -> T) -> std::result::Result<T, String> {
    #[cfg(feature = "forced_panic")]
    let _level = forced::Level::enter();
    let body = || {
        #[cfg(feature = "forced_panic")]
        forced::panic_if_due();
        body()
    };
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let noted = PANICKED.try_with(Cell::take).ok().flatten();
        noted.unwrap_or_else(|| payload_text(payload.as_ref()))
    })
}

/// Panics on request, so that the C tests see every call contain one.
#[cfg(feature = "forced_panic")]
pub mod forced {
    use std::cell::Cell;

    thread_local! {
        /// How deep this thread is in guards.
        static DEPTH: Cell<u32> = const { Cell::new(0) };
        /// At which depth this call panics, and the next one; 0 = nowhere.
        static NOW: Cell<u32> = const { Cell::new(0) };
        static NEXT: Cell<u32> = const { Cell::new(0) };
    }

    /// Whether a property's name is a request: the next call of this thread is to panic at its outer guard,
    /// or at the inner one of calls that hold a handle.
    pub fn request(name: &str) -> bool {
        let depth = match name {
            "test.panic.guard" => 1,
            "test.panic.inside" => 2,
            _ => return false,
        };
        NEXT.set(depth);
        true
    }

    /// One guard, for as long as this lives.
    pub struct Level;

    impl Level {
        pub fn enter() -> Level {
            DEPTH.set(DEPTH.get() + 1);
            Level
        }
    }

    impl Drop for Level {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
            if DEPTH.get() == 0 {
                NOW.set(NEXT.take());
            }
        }
    }

    pub fn panic_if_due() {
        assert!(NOW.get() != DEPTH.get(), "asked for by a test");
    }
}

#[cold]
fn panic_error(message: &str) -> Error {
    Error::new(ErrorKind::Panic, Area::Engine, format!("a bug in esker was contained: {message}"))
}

/// Runs the body of a call.
pub fn guard(body: impl FnOnce() -> Answer) -> Answer {
    if process::forked() {
        let message = "a forked child must not use the handles of its parent";
        return Err(Error::new(ErrorKind::Forked, Area::Engine, message));
    }
    if COMPARATORS.load(Ordering::Relaxed) {
        refuse_while_comparing()?;
    }
    catch(body).unwrap_or_else(|message| Err(panic_error(&message)))
}

#[cold]
fn refuse_while_comparing() -> Result<()> {
    if !COMPARING.try_with(Cell::get).unwrap_or(false) {
        return Ok(());
    }
    let message = "a comparator called esker, which may hold locks meanwhile";
    Err(Error::new(ErrorKind::Misuse, Area::Callback, message))
}

/// A call whose only answer is its status.
pub fn plain(body: impl FnOnce() -> Answer) -> esker_status {
    guard(body).unwrap_or_else(|error| status_of(&error))
}

/// A call that fills the caller's error.
///
/// # Safety
/// `err` is NULL or points to a writable struct of the size it names.
pub unsafe fn detailed(err: *mut esker_error, body: impl FnOnce() -> Answer) -> esker_status {
    // SAFETY: the caller's promise.
    if let Err(error) = unsafe { check_output_size(err) } {
        return status_of(&error);
    }
    guard(body).unwrap_or_else(|error| {
        // SAFETY: the caller's promise; the size was just checked.
        unsafe { fill_error(err, &error) };
        status_of(&error)
    })
}

/// Runs `body` on a database; a panic poisons it, which also enters it into the ring.
pub fn contained(handle: &DbHandle, body: impl FnOnce(&DbHandle) -> Answer) -> Answer {
    catch(|| body(handle)).unwrap_or_else(|message| {
        handle.db.poison_after_panic(&message);
        Err(panic_error(&message))
    })
}

/// A call on a database whose errors go to the database's ring.
pub fn db_call(db: *const esker_db, body: impl FnOnce(&DbHandle) -> Answer) -> esker_status {
    plain(|| {
        let handle = enter_db(db)?;
        contained(&handle, body).inspect_err(|error| {
            if error.kind() != ErrorKind::Panic {
                handle.db.record_error(error);
            }
        })
    })
}

/// A call on a database that fills the caller's error.
///
/// # Safety
/// As for `detailed`.
pub unsafe fn db_call_detailed(
    db: *const esker_db,
    err: *mut esker_error,
    body: impl FnOnce(&DbHandle) -> Answer,
) -> esker_status {
    // SAFETY: the caller's promise.
    unsafe { detailed(err, || contained(&*enter_db(db)?, body)) }
}

/// Runs a callback of the caller.
pub fn calling_back<T>(callback: impl FnOnce() -> T) -> T {
    let before = CALLED_BACK.try_with(|inside| inside.replace(true)).unwrap_or(false);
    let answer = callback();
    CALLED_BACK.try_with(|inside| inside.set(before)).unwrap_or(());
    answer
}

/// Runs a callback of the caller that must not call esker at all.
pub fn comparing<T>(callback: impl FnOnce() -> T) -> T {
    if !COMPARATORS.load(Ordering::Relaxed) {
        COMPARATORS.store(true, Ordering::Relaxed);
    }
    let before = COMPARING.try_with(|inside| inside.replace(true)).unwrap_or(false);
    let answer = callback();
    COMPARING.try_with(|inside| inside.set(before)).unwrap_or(());
    answer
}

/// Refuses a call that, made from a callback, would wait for itself.
pub fn refuse_in_callback(what: &str) -> Result<()> {
    if !CALLED_BACK.try_with(Cell::get).unwrap_or(false) {
        return Ok(());
    }
    let message = format!("{what} was called from a callback");
    Err(Error::new(ErrorKind::Misuse, Area::Callback, message))
}

/// A call on an iterator.
pub fn iter_call(
    iter: *const esker_iter,
    body: impl FnOnce(&mut IterHandle) -> Answer,
) -> esker_status {
    plain(|| {
        let mut handle = claim::<IterHandle, _>(iter, "the iterator handle")?;
        catch(|| body(&mut handle)).unwrap_or_else(|message| {
            handle.db.poison_after_panic(&message);
            let error = panic_error(&message);
            handle.fail(&error);
            Err(error)
        })
    })
}

/// A call on a batch.
pub fn batch_call(
    batch: *const esker_batch,
    body: impl FnOnce(&mut BatchHandle) -> Answer,
) -> esker_status {
    plain(|| {
        let mut handle = claim::<BatchHandle, _>(batch, "the batch handle")?;
        let answer = catch(|| body(&mut handle));
        let answer = answer.unwrap_or_else(|message| Err(panic_error(&message)));
        answer.inspect_err(|error| handle.last_error = Some(error.clone()))
    })
}

/// Fills the caller's error, if there is one.
///
/// # Safety
/// `err` is NULL or writable for the size it names, which has been checked.
unsafe fn fill_error(err: *mut esker_error, error: &Error) {
    // SAFETY: the caller's promise.
    if let Ok(out) = unsafe { output_struct(err, "err") } {
        out.set(error_struct(error));
    }
}

/// An error as C sees it.
pub fn error_struct(error: &Error) -> esker_error {
    let detail = error.detail();
    let mut filled = esker_error {
        status: status_of(error) as i32,
        area: area_of(error),
        flags: flags_of(error),
        os_errno: detail.os_errno,
        number: detail.number,
        file_number: detail.file_number,
        offset: detail.offset,
        value: detail.value,
        ..zeroed()
    };
    let room = filled.message.len() - 1;
    let cut = cut_at_character(&detail.message, room);
    // A NUL inside would hide the rest; messages may quote any path.
    let shown = cut.bytes().map(|byte| if byte == 0 { b'?' } else { byte });
    for (to, byte) in filled.message.iter_mut().zip(shown) {
        *to = byte as c_char;
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::handle::Db;
    use crate::db::open::OpenFlags;
    use crate::db::read::ReadParams;
    use crate::db::write::WriteParams;
    use crate::env::api::Fs;
    use crate::ffi::status::esker_status::*;
    use crate::options::Options;
    use crate::sync::Arc;

    #[test]
    fn a_panic_becomes_a_status_with_its_message() {
        let mut err: esker_error = zeroed();
        err.struct_size = size_of::<esker_error>() as u32;
        // SAFETY: `err` is a whole struct of the size it names.
        let status = unsafe { detailed(&raw mut err, || panic!("the {}th disk", 13)) };
        assert_eq!(status, ESKER_PANIC);
        let text: Vec<u8> = err.message.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
        let text = String::from_utf8(text).expect("ASCII");
        assert!(text.contains("the 13th disk"), "{text}");
        assert_eq!(plain(|| Ok(ESKER_DONE)), ESKER_DONE, "the next call is not affected");
    }

    #[test]
    fn success_leaves_the_error_alone_and_a_bad_size_does_nothing() {
        let mut err: esker_error = zeroed();
        err.struct_size = 256;
        err.value = 77;
        // SAFETY: as above.
        assert_eq!(unsafe { detailed(&raw mut err, || Ok(ESKER_OK)) }, ESKER_OK);
        assert_eq!(err.value, 77);
        for size in [0, 8, 255, 65_537, u32::MAX] {
            err.struct_size = size;
            // SAFETY: the struct is only read up to its size field.
            let status = unsafe { detailed(&raw mut err, || panic!("must not run")) };
            assert_eq!((status, err.value), (ESKER_ABI_MISMATCH, 77));
        }
    }

    /// A database of its own in a fresh directory; the directory's path.
    fn database(name: &str) -> (DbHandle, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("esker-{name}-{}", std::process::id()));
        let flags = OpenFlags { create: true, exclusive: true, ..OpenFlags::default() };
        let bytes = path.as_os_str().as_encoded_bytes();
        let db = Db::open(&Fs::Real, bytes, &Options::default(), flags).expect("a new database");
        (DbHandle { db, pins: Arc::default() }, path)
    }

    #[test]
    fn a_panic_poisons_its_database_and_no_other() {
        let (hit, hit_path) = database("panic-hit");
        let (spared, spared_path) = database("panic-spared");
        let write = WriteParams::default();
        hit.db.put(&write, b"k", b"before").expect("a sound database");
        let error = contained(&hit, |_| panic!("planted")).expect_err("a panic");
        assert_eq!(status_of(&error), ESKER_PANIC);
        let refused = hit.db.put(&write, b"k", b"after").expect_err("poisoned");
        assert_eq!(refused.kind(), ErrorKind::Poisoned);
        assert!(refused.to_string().contains("planted"), "{refused}");
        let value = hit.db.get(&ReadParams::default(), b"k").expect("reads go on");
        assert_eq!(value.as_deref(), Some(&b"before"[..]));
        assert_eq!(hit.db.errors_since(0).0.len(), 1, "the panic is in the ring once");
        spared.db.put(&write, b"k", b"after").expect("another database is not affected");
        for (handle, path) in [(hit, hit_path), (spared, spared_path)] {
            handle.db.close(false).expect("closes");
            Db::destroy(&Fs::Real, path.as_os_str().as_encoded_bytes()).expect("removed");
        }
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let long = "\u{e9}".repeat(150);
        let filled = error_struct(&Error::invalid(Area::Argument, long));
        let text: Vec<u8> = filled.message.iter().map(|&c| c as u8).collect();
        assert_eq!(text.iter().position(|&c| c == 0), Some(198));
        assert!(std::str::from_utf8(&text[..198]).is_ok());
    }
}
