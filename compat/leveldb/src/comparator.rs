//! Comparators of the caller.
//!
//! LevelDB only borrows its comparator: it must live until every database opened with it is closed, and destroying it
//! runs the destructor at once. Here the destructor runs when the caller has given the comparator up *and* no
//! database that it opened is still open: at once for a program that keeps LevelDB's rule, later for one that does
//! not. The memory stays while anything in esker may still name it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::failure::{Failure, Outcome, check, fresh_error};
use esker::capi::*;
use xxhash_rust::xxh3::xxh3_128;

/// Longest name that esker stores.
const NAME_MAX: usize = 64;
/// Begins the names that esker keeps for itself.
const RESERVED: &[u8] = b"esker.";

type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;
type Compare =
    Option<unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> c_int>;
type Name = Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>;

pub struct Comparator {
    state: *mut c_void,
    destructor: Destructor,
    compare: Compare,
    name: Name,
    /// The caller's hold and one for each open database; the destructor has run at 0.
    holds: AtomicUsize,
}

// SAFETY: LevelDB calls its comparators from any thread; callers of c.h write them for that.
unsafe impl Send for Comparator {}
// SAFETY: as above.
unsafe impl Sync for Comparator {}

pub struct leveldb_comparator_t {
    pub(crate) shared: Arc<Comparator>,
}

/// A database's hold on the comparator it was opened with.
pub struct Hold(Arc<Comparator>);

impl Comparator {
    fn release(&self) {
        if self.holds.fetch_sub(1, Ordering::AcqRel) == 1 {
            if let Some(destructor) = self.destructor {
                // SAFETY: the caller's function with the caller's state, once: holds never rise from 0.
                unsafe { destructor(self.state) };
            }
        }
    }
}

/// The name to store: the caller's where esker takes it, else its digest, since LevelDB takes any.
fn stored_name(name: &CStr) -> CString {
    let bytes = name.to_bytes();
    let fits = (1..=NAME_MAX).contains(&bytes.len()) && name.to_str().is_ok();
    if fits && !bytes.starts_with(RESERVED) {
        return name.to_owned();
    }
    CString::new(format!("leveldb.name.{:032x}", xxh3_128(bytes))).unwrap_or_default()
}

impl Hold {
    /// Refused once the destructor has run.
    pub fn new(shared: &Arc<Comparator>) -> Outcome<Hold> {
        let one_more = |holds| if holds == 0 { None } else { Some(holds + 1) };
        match shared.holds.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Hold(Arc::clone(shared))),
            Err(_) => Err(Failure::invalid("the comparator has been destroyed".to_owned())),
        }
    }

    /// Gives the comparator to an option object of esker.
    ///
    /// # Safety
    /// `options` is a live option object.
    pub unsafe fn set(&self, options: *mut esker_options) -> Outcome<()> {
        let Some(name) = self.0.name.filter(|_| self.0.compare.is_some()) else {
            return Err(Failure::invalid(
                "the comparator has no compare or name function".to_owned(),
            ));
        };
        // SAFETY: the caller's function with the caller's state, which is held.
        let name = unsafe { name(self.0.state) };
        if name.is_null() {
            return Err(Failure::invalid("the comparator's name is NULL".to_owned()));
        }
        // SAFETY: LevelDB takes it for a text that ends in NUL as well.
        let name = stored_name(unsafe { CStr::from_ptr(name) });
        let mut comparator: esker_comparator = zeroed();
        comparator.struct_size = size_of::<esker_comparator>() as u32;
        // Not exact: LevelDB promises nothing about the bytes of keys that compare equal.
        comparator.name = name.as_ptr();
        comparator.compare = Some(compare);
        comparator.release = Some(forget);
        comparator.ctx = Arc::into_raw(Arc::clone(&self.0)).cast_mut().cast();
        let mut error = fresh_error();
        let object = (&raw const comparator).cast();
        let id = esker_option::ESKER_OPT_COMPARATOR_CUSTOM as u32;
        // SAFETY: the struct is copied; its context is a counted reference that `forget` gives back.
        let done =
            check(unsafe { esker_options_set_object(options, id, object, &mut error) }, &error);
        if done.is_err() {
            // SAFETY: refused, so esker has not taken the reference.
            unsafe { forget(comparator.ctx) };
        }
        done
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

unsafe extern "C" fn compare(
    ctx: *mut c_void,
    a: *const c_void,
    a_len: usize,
    b: *const c_void,
    b_len: usize,
) -> i32 {
    // SAFETY: a counted reference to a comparator, as `set` made it.
    let comparator = unsafe { &*ctx.cast::<Comparator>() };
    match comparator.compare {
        // SAFETY: the caller's function; no database is open any more when its state goes.
        Some(function) => unsafe { function(comparator.state, a.cast(), a_len, b.cast(), b_len) },
        None => 0, // `set` has refused it.
    }
}

unsafe extern "C" fn forget(ctx: *mut c_void) {
    // SAFETY: the reference that `set` gave away; esker calls this once.
    drop(unsafe { Arc::from_raw(ctx.cast::<Comparator>()) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_comparator_create(
    state: *mut c_void,
    destructor: Destructor,
    compare: Compare,
    name: Name,
) -> *mut leveldb_comparator_t {
    let holds = AtomicUsize::new(1);
    let shared = Arc::new(Comparator { state, destructor, compare, name, holds });
    Box::into_raw(Box::new(leveldb_comparator_t { shared }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_comparator_destroy(comparator: *mut leveldb_comparator_t) {
    if !comparator.is_null() {
        // SAFETY: from `leveldb_comparator_create`, given up by this call.
        unsafe { Box::from_raw(comparator) }.shared.release();
    }
}
