//! Filter policies. Filters are esker's own: a bloom policy says how many bits a key gets, a policy of the caller's is
//! accepted and never called.

use std::ffi::{c_char, c_int, c_uchar, c_void};

type Destructor = Option<unsafe extern "C" fn(*mut c_void)>;
type Create = Option<
    unsafe extern "C" fn(
        *mut c_void,
        *const *const c_char,
        *const usize,
        c_int,
        *mut usize,
    ) -> *mut c_char,
>;
type MayMatch = Option<
    unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const c_char, usize) -> c_uchar,
>;
type Name = Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>;

/// Bits per key beyond which esker's filters do not get better.
const BITS_MAX: c_int = 64;

pub enum leveldb_filterpolicy_t {
    Bloom { bits: c_int },
    Custom { state: *mut c_void, destructor: Destructor },
}

impl leveldb_filterpolicy_t {
    /// Bits per key, where the policy says.
    pub fn bits(&self) -> Option<c_int> {
        match self {
            leveldb_filterpolicy_t::Bloom { bits } => Some(*bits),
            leveldb_filterpolicy_t::Custom { .. } => None,
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_filterpolicy_create(
    state: *mut c_void,
    destructor: Destructor,
    _create_filter: Create,
    _key_may_match: MayMatch,
    _name: Name,
) -> *mut leveldb_filterpolicy_t {
    Box::into_raw(Box::new(leveldb_filterpolicy_t::Custom { state, destructor }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_filterpolicy_create_bloom(
    bits_per_key: c_int,
) -> *mut leveldb_filterpolicy_t {
    let bits = bits_per_key.clamp(1, BITS_MAX);
    Box::into_raw(Box::new(leveldb_filterpolicy_t::Bloom { bits }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_filterpolicy_destroy(policy: *mut leveldb_filterpolicy_t) {
    if policy.is_null() {
        return;
    }
    // SAFETY: from one of the functions above, given up by this call.
    let policy = unsafe { Box::from_raw(policy) };
    if let leveldb_filterpolicy_t::Custom { state, destructor: Some(destructor) } = *policy {
        // SAFETY: the caller's function with the caller's state, once.
        unsafe { destructor(state) };
    }
}
