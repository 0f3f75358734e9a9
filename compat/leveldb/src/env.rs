//! Environment, block cache and version.

use std::ffi::{c_char, c_int};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr::{null_mut, without_provenance_mut};

use crate::text::malloc_bytes;
use esker::capi::*;

/// The LevelDB whose header this library goes with.
const VERSION: (c_int, c_int) = (1, 23);

/// A cache is an env of esker: cache and threads, shared by the databases that name it.
pub type leveldb_cache_t = esker_env;

/// There is one environment, the operating system.
pub struct leveldb_env_t {
    _private: [u8; 0],
}

/// NULL when there is no memory: databases then have a cache each.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_cache_create_lru(capacity: usize) -> *mut leveldb_cache_t {
    let (mut options, mut env) = (null_mut(), null_mut());
    let id = esker_option::ESKER_OPT_CACHE_BYTES as u32;
    let bytes = (capacity as u64).min(1 << 50);
    // SAFETY: places for handles; what failed leaves NULL, which is what this returns.
    unsafe {
        if esker_options_new(&mut options) == esker_status::ESKER_OK
            && esker_options_set_u64(options, id, bytes, null_mut()) == esker_status::ESKER_OK
        {
            let _status = esker_env_new(options, &mut env, null_mut());
        }
        esker_options_free(options);
    }
    env
}

/// Databases that use it keep it until they are closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_cache_destroy(cache: *mut leveldb_cache_t) {
    // SAFETY: NULL or an env, checked by esker.
    unsafe { esker_env_free(cache) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_create_default_env() -> *mut leveldb_env_t {
    without_provenance_mut(1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_env_destroy(_env: *mut leveldb_env_t) {}

/// $TEST_TMPDIR, else leveldbtest-<effective user> below the system's temporary directory; made when it is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_env_get_test_directory(_env: *mut leveldb_env_t) -> *mut c_char {
    let path = match std::env::var_os("TEST_TMPDIR").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => {
            // SAFETY: it cannot fail.
            std::env::temp_dir().join(format!("leveldbtest-{}", unsafe { libc::geteuid() }))
        }
    };
    if std::fs::create_dir(&path).is_err() && !path.is_dir() {
        return null_mut();
    }
    let mut bytes = path.into_os_string().into_vec();
    bytes.push(0);
    malloc_bytes(&bytes)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_major_version() -> c_int {
    VERSION.0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn leveldb_minor_version() -> c_int {
    VERSION.1
}
