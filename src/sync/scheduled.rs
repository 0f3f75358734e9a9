//! The second face of the room: the same names over shuttle, whose scheduler chooses the next thread. Tests only.
//!
//! All threads of a run are fibers of one thread of the system, and only one of them moves at a time. So what is
//! atomic anyway is taken as it is, with a point before it at which the scheduler may choose another thread. Memory
//! orders weaker than sequential consistency are not explored.
//!
//! Invariants
//! 1. Nothing waits but by shuttle's means: a thread that really waited would stop them all.
//! 2. What happens depends on the scheduler alone: time passes only when it says that a wait has timed out.

use shuttle::rand::{RngCore, thread_rng};
use shuttle::sync as model;
use std::cell::Cell;
use std::ops::{Add, Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

pub mod thread {
    //! Threads of a run.
    pub use shuttle::thread::{Builder, JoinHandle, sleep, spawn, yield_now};
    pub use std::thread::available_parallelism;
}

/// Where another thread may go on. Shuttle's `sleep` is that and no more.
fn point() {
    thread::sleep(Duration::ZERO);
}

/// parking_lot's mutex: no poison.
#[derive(Default)]
pub struct Mutex<T>(model::Mutex<T>);

pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// Empty only while the mutex is given back for a moment.
    held: Option<model::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(model::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: self, held: Some(self.take()) }
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = match self.0.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard { mutex: self, held: Some(held) })
    }

    fn take(&self) -> model::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> MutexGuard<'_, T> {
    /// Gives the mutex back for as long as `f` takes.
    pub fn unlocked<R>(guard: &mut Self, f: impl FnOnce() -> R) -> R {
        guard.held = None;
        let result = f();
        guard.held = Some(guard.mutex.take());
        result
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.held.as_ref().expect("the mutex is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.held.as_mut().expect("the mutex is held")
    }
}

const A_DAY: Duration = Duration::from_secs(86_400);

/// parking_lot's condition variable.
#[derive(Default)]
pub struct Condvar(model::Condvar);

pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(model::Condvar::new())
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits without end: if nobody notifies, shuttle finds the deadlock.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.held.take().expect("the mutex is held");
        guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Lets others go on, and half of the time says that nobody notified in time. It never sleeps, so it may also
    /// return early: every user of such a wait asks again. A time that is more than a day away never comes.
    pub fn wait_until<T>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        if deadline.saturating_duration_since(Instant::now()) > A_DAY {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        MutexGuard::unlocked(guard, thread::yield_now);
        let timed_out = thread_rng().next_u64() & 1 == 0;
        if timed_out {
            NOW.set(NOW.get().max(deadline.0));
        }
        WaitTimeoutResult(timed_out)
    }
}

std::thread_local! {
    /// The time of all runs of this thread of the system: only differences matter.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A time that passes only in waits that time out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Instant {
        Instant(NOW.get())
    }

    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }

    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

/// parking_lot's reader-writer lock: no poison.
#[derive(Default)]
pub struct RwLock<T>(model::RwLock<T>);

impl<T> RwLock<T> {
    pub fn read(&self) -> model::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> model::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An atomic of the standard library, as large, with a point before each use.
macro_rules! atomic {
    ($name:ident $(<$generic:ident>)?, $value:ty, { $($more:item)* }) => {
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name $(<$generic>)? (std::sync::atomic::$name $(<$generic>)?);

        impl $(<$generic>)? $name $(<$generic>)? {
            pub const fn new(value: $value) -> Self {
                Self(std::sync::atomic::$name::new(value))
            }

            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            pub fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }

            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(current, new, success, failure)
            }

            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            $($more)*
        }
    };
}

/// One that counts.
macro_rules! atomic_number {
    ($name:ident, $value:ty) => {
        atomic!($name, $value, {
            pub fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_add(value, order)
            }

            pub fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_sub(value, order)
            }

            pub fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_max(value, order)
            }

            pub fn fetch_or(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_or(value, order)
            }

            pub fn fetch_and(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.fetch_and(value, order)
            }
        });
    };
}

atomic_number!(AtomicU8, u8);
atomic_number!(AtomicI32, i32);
atomic_number!(AtomicU64, u64);
atomic_number!(AtomicUsize, usize);
atomic!(AtomicBool, bool, {});
atomic!(AtomicPtr<T>, *mut T, {});

/// arc_swap's cell, which never waits.
pub struct ArcSwap<T>(arc_swap::ArcSwap<T>);

impl<T> ArcSwap<T> {
    pub fn from_pointee(value: T) -> ArcSwap<T> {
        ArcSwap(arc_swap::ArcSwap::from_pointee(value))
    }

    pub fn load(&self) -> arc_swap::Guard<Arc<T>> {
        point();
        self.0.load()
    }

    pub fn load_full(&self) -> Arc<T> {
        point();
        self.0.load_full()
    }

    pub fn store(&self, value: Arc<T>) {
        point();
        self.0.store(value);
    }
}

/// As `ArcSwap`, and may be empty.
pub struct ArcSwapOption<T>(arc_swap::ArcSwapOption<T>);

impl<T> ArcSwapOption<T> {
    pub const fn empty() -> ArcSwapOption<T> {
        ArcSwapOption(arc_swap::ArcSwapOption::const_empty())
    }

    pub fn load_full(&self) -> Option<Arc<T>> {
        point();
        self.0.load_full()
    }

    pub fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        point();
        self.0.swap(value)
    }

    pub fn store(&self, value: Option<Arc<T>>) {
        point();
        self.0.store(value);
    }
}
