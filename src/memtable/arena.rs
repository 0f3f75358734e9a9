//! Bump memory of one memtable.
//!
//! Key and value bytes are copied into chunks that start at 4 KiB and double to 1 MiB, so a thousand small
//! databases stay small and a large one asks the allocator rarely. A run of bytes that would waste most of
//! a chunk gets one of its own size and leaves the chunk in use as it is.
//!
//! Invariants
//! 1. Stored bytes never move and never change until the arena is dropped.
//! 2. Growth is fallible: without memory `store` is an error and the arena is as before.

#![allow(unsafe_code, reason = "raw chunks: stored bytes are read while later ones are written")]

use crate::error::{Area, Error, Result};
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

const CHUNK_MIN: usize = 4 << 10;
const CHUNK_MAX: usize = 1 << 20;

/// Alignment of chunks, the largest that can be asked for.
const CHUNK_ALIGN: usize = 64;

const _: () = assert!(CHUNK_MIN.is_power_of_two() && CHUNK_MAX.is_power_of_two());

struct Chunk {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Chunk {
    fn new(size: usize) -> Result<Chunk> {
        let no_memory = || Error::no_memory(Area::Engine, size);
        let layout = Layout::from_size_align(size.max(1), CHUNK_ALIGN).map_err(|_| no_memory())?;
        // SAFETY: the layout's size is not zero.
        let memory = unsafe { alloc(layout) };
        let memory = NonNull::new(memory).ok_or_else(no_memory)?;
        Ok(Chunk { memory, layout })
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: `memory` came from `alloc` with this layout and is freed only here.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Memory that only grows, freed as a whole.
pub struct Arena {
    chunks: Vec<Chunk>,
    /// First free byte of the chunk in use; `left` bytes from here on are free.
    next: NonNull<u8>,
    left: usize,
    chunk_size: usize,
    used: u64,
}

// SAFETY: the arena owns its chunks alone; its pointers refer to nothing of a thread.
unsafe impl Send for Arena {}

impl Default for Arena {
    fn default() -> Arena {
        Arena::new()
    }
}

impl Arena {
    /// Makes an arena that holds no memory yet.
    pub fn new() -> Arena {
        Arena {
            chunks: Vec::new(),
            next: NonNull::dangling(),
            left: 0,
            chunk_size: CHUNK_MIN,
            used: 0,
        }
    }

    /// Bytes stored so far.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Bytes taken from the allocator so far.
    #[cfg(any(test, feature = "internals"))]
    pub fn reserved(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.layout.size() as u64).sum()
    }

    /// Copies `first` and `second`, one directly behind the other, and returns where they begin, an
    /// address no other call returns. The bytes stay there, readable, until the arena is dropped.
    pub fn store(&mut self, first: &[u8], second: &[u8]) -> Result<NonNull<u8>> {
        let len = first.len().saturating_add(second.len());
        let at = self.reserve(len, 1)?;
        // SAFETY: `reserve` gave at least `len` bytes that nobody else reads or writes; slices that the caller holds
        // cannot overlap memory that was never given out.
        unsafe {
            let out = at.as_ptr();
            out.copy_from_nonoverlapping(first.as_ptr(), first.len());
            out.add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Ok(at)
    }

    /// Gives `len` bytes at an address that is a multiple of `align`, to write to and read from until the arena is
    /// dropped; no other call returns it. `align` is a power of two of at most 64.
    pub fn reserve(&mut self, len: usize, align: usize) -> Result<NonNull<u8>> {
        debug_assert!(align.is_power_of_two() && align <= CHUNK_ALIGN);
        let at = self.take(len, align)?;
        self.used = self.used.saturating_add(len as u64);
        Ok(at)
    }

    fn take(&mut self, len: usize, align: usize) -> Result<NonNull<u8>> {
        // Never nothing: the address is unique also when nothing is stored.
        let wanted = len.max(1);
        let gap = self.next.addr().get().wrapping_neg() & (align - 1);
        let (mut gap, mut whole) = (gap, wanted.saturating_add(gap));
        if whole > self.left {
            if wanted > self.chunk_size / 2 {
                return self.grow(wanted);
            }
            let size = self.chunk_size;
            self.next = self.grow(size)?;
            self.left = size;
            self.chunk_size = (size * 2).min(CHUNK_MAX);
            // Chunks are aligned to what may be asked for.
            (gap, whole) = (0, wanted);
        }
        // SAFETY: `gap + wanted <= left`, so both results are inside the chunk or one past its end.
        let at = unsafe { self.next.add(gap) };
        // SAFETY: as above.
        self.next = unsafe { self.next.add(whole) };
        self.left -= whole;
        Ok(at)
    }

    fn grow(&mut self, size: usize) -> Result<NonNull<u8>> {
        let no_memory = |_| Error::no_memory(Area::Engine, size_of::<Chunk>());
        self.chunks.try_reserve(1).map_err(no_memory)?;
        let chunk = Chunk::new(size)?;
        let memory = chunk.memory;
        self.chunks.push(chunk);
        Ok(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(at: NonNull<u8>, len: usize) -> Vec<u8> {
        // SAFETY: the tests ask for bytes they stored, while the arena lives.
        unsafe { std::slice::from_raw_parts(at.as_ptr(), len) }.to_vec()
    }

    #[test]
    fn stored_bytes_never_move_and_never_change() {
        let mut arena = Arena::new();
        let mut stored = Vec::new();
        for i in 0..3_000usize {
            let key = vec![i as u8; i % 37];
            let value = vec![!(i as u8); if i % 500 == 0 { 70_000 } else { i % 301 }];
            let at = arena.store(&key, &value).unwrap();
            stored.push((at, [key, value].concat()));
        }
        for (at, bytes) in &stored {
            assert_eq!(&read(*at, bytes.len()), bytes);
        }
        let sum: usize = stored.iter().map(|(_, bytes)| bytes.len()).sum();
        assert_eq!(arena.used(), sum as u64);
    }

    #[test]
    fn what_is_reserved_is_aligned_and_overlaps_nothing() {
        let mut arena = Arena::new();
        let mut taken = Vec::new();
        for i in 0..2_000usize {
            let (len, align) = (i * 7 % 400, 1 << (i % 7));
            let at = arena.reserve(len, align).unwrap().addr().get();
            assert_eq!(at % align, 0);
            taken.push((at, at + len.max(1)));
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }

    #[test]
    fn chunks_start_small_and_double() {
        let mut arena = Arena::new();
        assert_eq!(arena.reserved(), 0);
        arena.store(b"k", b"v").unwrap();
        assert_eq!(arena.reserved(), CHUNK_MIN as u64);
        while arena.used() < 3 << 20 {
            arena.store(&[0; 100], &[1; 400]).unwrap();
            assert!(arena.reserved() <= 2 * arena.used() + (CHUNK_MIN as u64) * 2);
        }
        let before = arena.reserved();
        arena.store(&[], &vec![7; 2 << 20]).unwrap();
        assert_eq!(arena.reserved(), before + (2 << 20), "a large value gets its own chunk");
    }

    #[test]
    fn growth_that_cannot_be_had_is_an_error_and_changes_nothing() {
        let mut arena = Arena::new();
        arena.store(b"k", b"v").unwrap();
        let error = arena.reserve(isize::MAX as usize, 1).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::NoMem);
        assert_eq!((arena.used(), arena.reserved()), (2, CHUNK_MIN as u64));
    }
}
