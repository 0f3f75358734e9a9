//! Envs: what databases share.
#![allow(unsafe_code, reason = "exported names, and pointers of C callers")]

use crate::error::Result;
use crate::ffi::arguments::{hand_out, invalid, no_handle};
use crate::ffi::boundary::{calling_back, detailed, plain, prepare, refuse_in_callback};
use crate::ffi::handles::{EnvHandle, claim, enter_env, publish};
use crate::ffi::options::copy_options;
use crate::ffi::registry;
use crate::ffi::status::esker_status::{self, ESKER_OK};
use crate::ffi::structs::{esker_env, esker_error, esker_log_fn, esker_options};
use crate::shared::{LogLevel, LogSink, SharedEnv};
use std::ffi::c_void;

/// Makes an env: worker threads, block cache, memory budget and logger, to be shared by databases through
/// ESKER_OPT_ENV. Takes the env options of `options` (NULL = defaults); its other options have no effect. A
/// database opened without one has a cache of its own and the threads that the process shares. Threads start
/// with the first database. Free it with esker_env_free(). [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_env_new(
    options: *const esker_options,
    env: *mut *mut esker_env,
    err: *mut esker_error,
) -> esker_status {
    prepare();
    // SAFETY: the pointers are NULL or as the header asks.
    unsafe {
        no_handle(env);
        detailed(err, || {
            let given = copy_options(options)?;
            hand_out(env, || {
                let place = registry::reserve()?;
                let (cache, budget) = (given.cache_bytes, given.memtable_budget);
                Ok(publish(place, EnvHandle(SharedEnv::new(cache, budget, given.threads))))
            })
        })
    }
}

/// Gives up the caller's hold on an env; it lives on, logger included, until its last database is closed and
/// the last options that name it are freed. NULL is allowed and OK. [any-thread]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn esker_env_free(env: *mut esker_env) -> esker_status {
    plain(|| {
        if !env.is_null() {
            drop(claim::<EnvHandle, _>(env, "the env handle")?.remove());
        }
        Ok(ESKER_OK)
    })
}

/// What the logger's thread needs to call back into C.
struct Callback {
    log: unsafe extern "C" fn(*mut c_void, i32, *const std::ffi::c_char, usize),
    ctx: *mut c_void,
}

// SAFETY: the header says that the callback is called from any thread.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    fn call(&self, level: LogLevel, line: &str) {
        let (data, len) = (line.as_ptr().cast(), line.len());
        // SAFETY: the caller's function; the line is readable for the call.
        calling_back(|| unsafe { (self.log)(self.ctx, level as i32, data, len) });
    }
}

/// Sends the log lines of this env's databases up to `level` (esker_log_level) to `log`, with `ctx`; NULL or
/// level OFF stops them. When the call returns the old callback is no longer running and will not be called again.
/// INVALID for an unknown level, MISUSE from the callback itself. [any-thread]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn esker_env_set_logger(
    env: *mut esker_env,
    log: esker_log_fn,
    ctx: *mut c_void,
    level: i32,
) -> esker_status {
    plain(|| {
        let handle = enter_env(env)?;
        let level = level_of(level)?;
        refuse_in_callback("esker_env_set_logger()")?;
        let sink = log.map(|log| {
            let callback = Callback { log, ctx };
            let sink: LogSink = Box::new(move |level, line| callback.call(level, line));
            sink
        });
        handle.0.logger.set(level, sink);
        Ok(ESKER_OK)
    })
}

fn level_of(level: i32) -> Result<Option<LogLevel>> {
    match level {
        0 => Ok(None),
        1 => Ok(Some(LogLevel::Error)),
        2 => Ok(Some(LogLevel::Warn)),
        3 => Ok(Some(LogLevel::Info)),
        4 => Ok(Some(LogLevel::Debug)),
        _ => Err(invalid(format!("log level {level} is none of 0 to 4"))),
    }
}
