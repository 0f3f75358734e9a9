//! The table of live handles; the only place that turns a handle into an object.
//!
//! A handle is not an address. Its 47 bits are `type 4 | slot 20 | generation 20 | 3 zero bits`; the slot
//! names a place in a chunked table that is never unmapped. Each slot has one atomic word:
//! `kind 4 | generation 20 | ... | claimed 1 | inside 24`. `enter` counts itself in and then compares kind
//! and generation; `claim` also demands that nobody else has claimed. Removing changes the generation,
//! waits until everybody who was inside has left, and only then gives the object back. The type sits in
//! the top bits so that a handle is above every heap a garbage collector is likely to own, and the three
//! zero bits make it look aligned.
//!
//! Invariants
//! 1. No handle is ever dereferenced; any 64-bit value may be passed.
//! 2. An object is reachable only between a matching count-in (or claim) and the count-out.
//! 3. A slot is given out again only after every other free slot was, and with another generation.
//! 4. Giving a handle back never allocates, so it cannot fail for memory.
#![allow(unsafe_code, reason = "objects live behind raw pointers that the slot's word guards")]

use crate::error::{Area, Error, ErrorKind, Result};
use crate::sync::{AtomicPtr, AtomicU64, Mutex, Ordering, thread};
use std::alloc::Layout;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// What a handle stands for; the number is in every handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Db = 1,
    Options = 2,
    Iter = 3,
    Batch = 4,
    Snapshot = 5,
    Pin = 6,
    Env = 7,
}

/// A type that handles can stand for.
///
/// # Safety
/// Each `KIND` belongs to exactly one type.
pub unsafe trait Object: Send + 'static {
    const KIND: Kind;
}

/// Objects that many threads may use at once, through `enter`.
pub trait AnyThread: Object + Sync {}

/// Objects that one thread uses at a time, through `claim` only.
pub trait OneThread: Object {}

const CHUNK_SLOTS: usize = 1024;
const CHUNKS: usize = 1024;
/// Slot 0 is never given out.
const LIVE_MAX: u64 = (CHUNK_SLOTS * CHUNKS - 1) as u64;
/// Free slots kept back while fresh ones can be had, so that a generation lasts longer.
const QUARANTINE: usize = 64;

const INSIDE_MASK: u64 = (1 << 24) - 1;
const CLAIMED: u64 = 1 << 24;
const GENERATION_SHIFT: u32 = 32;
const GENERATION_MASK: u64 = (1 << 20) - 1;
const KIND_SHIFT: u32 = 56;
/// Kind and generation together.
const IDENTITY: u64 = !((1 << GENERATION_SHIFT) - 1);

const _: () = assert!(CHUNK_SLOTS * CHUNKS == 1 << 20);

/// One place for one handle, alone on its cache line. All zero is a free slot.
#[repr(C, align(64))]
struct Slot {
    word: AtomicU64,
    object: AtomicPtr<c_void>,
}

impl Slot {
    /// The object; only while the word matches, by a caller that counted itself in or claimed.
    fn object<T>(&self) -> NonNull<T> {
        let object = self.object.load(Ordering::Relaxed).cast::<T>();
        NonNull::new(object).expect("a slot's object is stored before its kind")
    }
}

struct Free {
    /// Freed longest ago first.
    queue: VecDeque<u32>,
    /// The first slot never given out.
    fresh: u32,
}

/// A table of handles. The library has one; tests make small ones.
pub struct Registry<const N: usize> {
    chunks: &'static Chunks<N>,
    free: Mutex<Free>,
}

type Chunks<const N: usize> = [AtomicPtr<Slot>; N];

/// Apart from the registry and all zero, so that it takes no room in the library's file.
static CHUNK_TABLE: Chunks<CHUNKS> = no_chunks();
static REGISTRY: Registry<CHUNKS> = Registry::new(&CHUNK_TABLE);

const fn no_chunks<const N: usize>() -> Chunks<N> {
    [const { AtomicPtr::new(std::ptr::null_mut()) }; N]
}

impl<const N: usize> Registry<N> {
    const fn new(chunks: &'static Chunks<N>) -> Registry<N> {
        Registry { chunks, free: Mutex::new(Free { queue: VecDeque::new(), fresh: 1 }) }
    }

    fn slot(&'static self, index: u32) -> Option<&'static Slot> {
        let chunk = self.chunks.get(index as usize / CHUNK_SLOTS)?.load(Ordering::Acquire);
        let first = NonNull::new(chunk)?;
        // SAFETY: a published chunk holds CHUNK_SLOTS slots and is never freed.
        Some(unsafe { first.add(index as usize % CHUNK_SLOTS).as_ref() })
    }

    /// Takes the slot freed longest ago, or a fresh one.
    fn take(&'static self) -> Result<u32> {
        let mut free = self.free.lock();
        let full = free.fresh as usize == CHUNK_SLOTS * N;
        if free.queue.len() > QUARANTINE || full {
            return free.queue.pop_front().ok_or_else(|| {
                let message = format!("{LIVE_MAX} handles are alive; free some");
                Error::new(ErrorKind::Limit, Area::Argument, message).with_value(LIVE_MAX)
            });
        }
        let index = free.fresh;
        if self.slot(index).is_none() {
            // Room for every slot there will be: giving one back must not allocate.
            let slots = index as usize / CHUNK_SLOTS * CHUNK_SLOTS + CHUNK_SLOTS;
            let more = slots - free.queue.len();
            free.queue.try_reserve(more).map_err(|_| Error::no_memory(Area::Engine, slots * 4))?;
            self.add_chunk(index as usize / CHUNK_SLOTS)?;
        }
        free.fresh += 1;
        Ok(index)
    }

    /// Publishes chunk `number`; called under the free list's lock.
    fn add_chunk(&'static self, number: usize) -> Result<()> {
        let layout = Layout::new::<[Slot; CHUNK_SLOTS]>();
        // SAFETY: the layout is not empty; all-zero bytes are valid slots.
        let chunk = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<Slot>();
        if chunk.is_null() {
            return Err(Error::no_memory(Area::Engine, layout.size()));
        }
        self.chunks[number].store(chunk, Ordering::Release);
        Ok(())
    }

    fn give_back(&self, index: u32) {
        self.free.lock().queue.push_back(index);
    }

    /// Keeps a slot for an object that is about to be made.
    fn reserve_in(&'static self) -> Result<Place<N>> {
        let index = self.take()?;
        Ok(Place { registry: self, index })
    }

    /// The slot a handle names and what its word must say; `None` for what cannot be a handle of `kind`.
    fn decode(&'static self, handle: usize, kind: Kind) -> Option<(u32, &'static Slot, u64)> {
        if handle & 7 != 0 || handle >> 43 != kind as usize {
            return None;
        }
        let index = (handle >> 23) as u32 & ((1 << 20) - 1);
        let generation = (handle as u64 >> 3) & GENERATION_MASK;
        let identity = (kind as u64) << KIND_SHIFT | generation << GENERATION_SHIFT;
        Some((index, self.slot(index)?, identity))
    }

    fn enter_in<T: AnyThread>(&'static self, handle: usize) -> Option<Entered<T>> {
        let (_, slot, identity) = self.decode(handle, T::KIND)?;
        let before = slot.word.fetch_add(1, Ordering::Acquire);
        if before & IDENTITY != identity {
            slot.word.fetch_sub(1, Ordering::Release);
            return None;
        }
        Some(Entered { slot, object: slot.object() })
    }

    fn claim_in<T: Object>(&'static self, handle: usize) -> Option<Claimed<T, N>> {
        let (index, slot, identity) = self.decode(handle, T::KIND)?;
        let mut word = slot.word.load(Ordering::Relaxed);
        loop {
            if word & IDENTITY != identity || word & CLAIMED != 0 {
                return None;
            }
            let claimed = word | CLAIMED;
            match slot.word.compare_exchange_weak(
                word,
                claimed,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        Some(Claimed { registry: self, index, slot, object: slot.object(), owned: PhantomData })
    }
}

/// A slot kept for a handle; given back when dropped unused.
pub struct Place<const N: usize = CHUNKS> {
    registry: &'static Registry<N>,
    index: u32,
}

impl<const N: usize> Place<N> {
    /// Puts the object into the table and returns its handle.
    pub fn publish<T: Object>(self, object: Box<T>) -> usize {
        let slot = self.registry.slot(self.index).expect("a reserved slot has its chunk");
        slot.object.store(Box::into_raw(object).cast(), Ordering::Relaxed);
        let kind = T::KIND as u64;
        // Callers with stale handles may be counting themselves in and out right now; only the kind changes.
        let before = slot.word.fetch_or(kind << KIND_SHIFT, Ordering::Release);
        let generation = before >> GENERATION_SHIFT & GENERATION_MASK;
        let handle = kind << 43 | u64::from(self.index) << 23 | generation << 3;
        std::mem::forget(self);
        handle as usize
    }
}

impl<const N: usize> Drop for Place<N> {
    fn drop(&mut self) {
        self.registry.give_back(self.index);
    }
}

/// Shared use of an object, for one call.
pub struct Entered<T: AnyThread> {
    slot: &'static Slot,
    object: NonNull<T>,
}

impl<T: AnyThread> Deref for Entered<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this call is counted in, so the object is not freed; `T: Sync`, and nobody gets `&mut`.
        unsafe { self.object.as_ref() }
    }
}

impl<T: AnyThread> Drop for Entered<T> {
    fn drop(&mut self) {
        self.slot.word.fetch_sub(1, Ordering::Release);
    }
}

/// The only claim on an object, for one call. Of an `AnyThread` object others may be inside as well.
pub struct Claimed<T: Object, const N: usize = CHUNKS> {
    registry: &'static Registry<N>,
    index: u32,
    slot: &'static Slot,
    object: NonNull<T>,
    owned: PhantomData<T>,
}

impl<T: Object, const N: usize> Claimed<T, N> {
    /// Ends the handle: later calls are refused, running ones are waited for, the object is returned.
    pub fn remove(self) -> Box<T> {
        let mut word = self.slot.word.load(Ordering::Relaxed);
        loop {
            let generation = (word >> GENERATION_SHIFT).wrapping_add(1) & GENERATION_MASK;
            let freed = word & INSIDE_MASK | generation << GENERATION_SHIFT;
            match self.slot.word.compare_exchange_weak(
                word,
                freed,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        let mut looks = 0u32;
        while self.slot.word.load(Ordering::Acquire) & INSIDE_MASK != 0 {
            looks = looks.saturating_add(1);
            if looks < 100 {
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
        self.slot.object.store(std::ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: the pointer came from Box::into_raw in `publish`; the generation has changed and nobody
        // is inside, so this is the last use of it, and the claim made this thread the only remover.
        let object = unsafe { Box::from_raw(self.object.as_ptr()) };
        self.registry.give_back(self.index);
        std::mem::forget(self);
        object
    }
}

impl<T: Object, const N: usize> Deref for Claimed<T, N> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the claim keeps the object from being removed; an object others may be inside of is
        // `Sync`, any other is used through its claim only.
        unsafe { self.object.as_ref() }
    }
}

impl<T: OneThread, const N: usize> DerefMut for Claimed<T, N> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a one-thread object is reached through its claim only, and there is one claim.
        unsafe { self.object.as_mut() }
    }
}

impl<T: Object, const N: usize> Drop for Claimed<T, N> {
    fn drop(&mut self) {
        self.slot.word.fetch_and(!CLAIMED, Ordering::Release);
    }
}

/// Keeps a slot for a handle. `LIMIT` when too many are alive.
pub fn reserve() -> Result<Place> {
    REGISTRY.reserve_in()
}

/// Shared use of what a handle stands for; `None` for anything that is not a live handle of that type.
pub fn enter<T: AnyThread>(handle: usize) -> Option<Entered<T>> {
    REGISTRY.enter_in(handle)
}

/// Sole use of what a handle stands for; `None` also while another thread has it.
pub fn claim<T: Object>(handle: usize) -> Option<Claimed<T>> {
    REGISTRY.claim_in(handle)
}

/// The type a value claims to be; says nothing about whether it is alive.
pub fn kind_of(handle: usize) -> Option<Kind> {
    const KINDS: [Kind; 6] =
        [Kind::Db, Kind::Options, Kind::Iter, Kind::Batch, Kind::Snapshot, Kind::Pin];
    KINDS.into_iter().find(|&kind| kind as usize == handle >> 43)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Arc, AtomicUsize};

    struct Shared(Arc<AtomicUsize>);
    struct Alone(u64);

    // SAFETY: the only two objects of these tests' own registries.
    unsafe impl Object for Shared {
        const KIND: Kind = Kind::Db;
    }
    impl AnyThread for Shared {}
    // SAFETY: as above.
    unsafe impl Object for Alone {
        const KIND: Kind = Kind::Batch;
    }
    impl OneThread for Alone {}

    fn registry() -> &'static Registry<1> {
        Box::leak(Box::new(Registry::new(Box::leak(Box::new(no_chunks())))))
    }

    fn make(registry: &'static Registry<1>, number: u64) -> usize {
        registry.reserve_in().expect("room").publish(Box::new(Alone(number)))
    }

    #[test]
    fn stale_foreign_and_wrong_type_handles_are_recognised() {
        let table = registry();
        let handle = make(table, 7);
        assert_eq!(table.claim_in::<Alone>(handle).expect("alive").0, 7);
        assert!(table.enter_in::<Shared>(handle).is_none());
        for wrong in [0, 1, 8, handle + 1, handle ^ (1 << 3), handle ^ (1 << 30), usize::MAX] {
            assert!(table.claim_in::<Alone>(wrong).is_none(), "{wrong:#x}");
        }
        let on_stack = 0u64;
        assert!(table.claim_in::<Alone>(&raw const on_stack as usize).is_none());
        assert_eq!(table.claim_in::<Alone>(handle).expect("alive").remove().0, 7);
        assert!(table.claim_in::<Alone>(handle).is_none());
    }

    #[test]
    fn a_second_claim_is_refused_while_the_first_lasts() {
        let table = registry();
        let handle = make(table, 1);
        let first = table.claim_in::<Alone>(handle).expect("alive");
        assert!(table.claim_in::<Alone>(handle).is_none());
        drop(first);
        assert!(table.claim_in::<Alone>(handle).is_some());
    }

    #[test]
    fn slots_are_reused_oldest_first_with_a_new_generation() {
        let table = registry();
        let mut seen = Vec::new();
        for round in 0..1000 {
            let handle = make(table, round);
            assert!(!seen.contains(&handle), "handle {handle:#x} came twice");
            seen.push(handle);
            table.claim_in::<Alone>(handle).expect("alive").remove();
        }
        let slots = |handles: &[usize]| {
            handles.iter().map(|h| h >> 23).collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!(slots(&seen), QUARANTINE + 1, "slots for one live handle");
        for turn in seen.windows(QUARANTINE + 1) {
            assert_eq!(slots(turn), QUARANTINE + 1, "a slot came back before its turn");
        }
    }

    #[test]
    fn giving_handles_back_never_makes_the_list_grow() {
        let table = registry();
        let handles: Vec<usize> = (1..CHUNK_SLOTS as u64).map(|n| make(table, n)).collect();
        let before = table.free.lock().queue.capacity();
        assert!(before >= handles.len(), "{before} places for {} handles", handles.len());
        for handle in handles {
            table.claim_in::<Alone>(handle).expect("alive").remove();
        }
        assert_eq!(table.free.lock().queue.capacity(), before);
    }

    #[test]
    fn too_many_live_handles_are_a_limit_and_freeing_one_helps() {
        let table = registry();
        let handles: Vec<usize> = (1..CHUNK_SLOTS as u64).map(|n| make(table, n)).collect();
        let error = table.reserve_in().err().expect("no slot is left");
        assert_eq!(error.kind(), ErrorKind::Limit);
        table.claim_in::<Alone>(handles[500]).expect("alive").remove();
        let place = table.reserve_in().expect("one slot is free");
        assert!(table.reserve_in().is_err());
        drop(place);
        assert_eq!(table.claim_in::<Alone>(make(table, 77)).expect("alive").0, 77);
    }

    #[test]
    fn removing_waits_for_those_inside() {
        let table = registry();
        let inside = Arc::new(AtomicUsize::new(0));
        let handle = table.reserve_in().expect("room").publish(Box::new(Shared(inside.clone())));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(move || {
                    let mut calls = 0u64;
                    while let Some(shared) = table.enter_in::<Shared>(handle) {
                        shared.0.fetch_add(1, Ordering::SeqCst);
                        shared.0.fetch_sub(1, Ordering::SeqCst);
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        while inside.load(Ordering::SeqCst) == 0 {
            std::hint::spin_loop();
        }
        let object = table.claim_in::<Shared>(handle).expect("alive").remove();
        assert_eq!(object.0.load(Ordering::SeqCst), 0, "somebody is inside a removed object");
        drop(object);
        let calls: u64 = threads.into_iter().map(|t| t.join().expect("no panic")).sum();
        assert!(calls > 0);
    }
}
