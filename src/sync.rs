//! The only door to locks, atomics, `Arc` and the lock-free cell.
//!
//! Every other file takes these from here, so that a model-checking or sanitizer build can replace
//! them in one place. A test refuses `std::sync` and `parking_lot` anywhere else.

pub use arc_swap::{ArcSwap, ArcSwapOption};
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering,
};
pub use std::sync::{Arc, OnceLock, Weak};
