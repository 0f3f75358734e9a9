//! The only door to locks, atomics, `Arc`, the lock-free cell, threads and the steady clock.
//!
//! Every other file takes these from here, so that a model-checking or sanitizer build can replace
//! them in one place. A test refuses `std::sync` and `parking_lot` anywhere else.
//!
//! With the feature `shuttle` (tests only) they have a second face, `sync/scheduled`: a scheduler then decides at
//! each use which thread goes on.

#[cfg(not(feature = "shuttle"))]
pub use arc_swap::{ArcSwap, ArcSwapOption};
#[cfg(not(feature = "shuttle"))]
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub use std::sync::atomic::Ordering;
#[cfg(not(feature = "shuttle"))]
pub use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
pub use std::sync::{Arc, OnceLock, Weak};
#[cfg(not(feature = "shuttle"))]
pub use std::thread;
#[cfg(not(feature = "shuttle"))]
pub use std::time::Instant;

#[cfg(feature = "shuttle")]
pub use scheduled::{
    ArcSwap, ArcSwapOption, AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize,
    Condvar, Instant, Mutex, MutexGuard, RwLock, thread,
};

#[cfg(feature = "shuttle")]
mod scheduled;
