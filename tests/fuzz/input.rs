//! How targets cut their input into numbers and files, and where they put the files.

use esker::internals::env::api::{Dir, Fs};
use esker::internals::env::sim::SimKernel;
use esker::internals::error::Result;
use esker::internals::sync::Arc;

/// The directory of all targets.
pub const PATH: &str = "/db";

/// Takes numbers off the front of an input. What is missing is zero, so that every input means something.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Input<'a> {
        Input(data)
    }

    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        u16::from(self.u8()) | u16::from(self.u8()) << 8
    }

    pub fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }

    /// Up to `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        front
    }

    pub fn rest(&mut self) -> &'a [u8] {
        self.take(self.0.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The little-endian number at `at`; 0 where there is none.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u16::from_le_bytes(*b))
}

/// The little-endian number at `at`; 0 where there is none.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The little-endian number at `at`; 0 where there is none.
pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}

/// Stores `value` at `at`; nothing where there is no room.
pub fn put_at(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = at.checked_add(value.len()).and_then(|end| bytes.get_mut(at..end)) {
        place.copy_from_slice(value);
    }
}

/// A simulated disk with these files in one directory.
pub fn disk(files: &[(String, Vec<u8>)]) -> Arc<SimKernel> {
    let kernel = SimKernel::new(1);
    kernel.make_dir(PATH.as_bytes(), 0o700).expect("a fresh kernel");
    for (name, bytes) in files {
        kernel.write_file(PATH, name, bytes);
    }
    kernel
}

/// That directory, opened.
pub fn dir_of(kernel: &Arc<SimKernel>) -> Arc<Dir> {
    let dir = Fs::Sim(kernel.clone()).open_dir(PATH.as_bytes(), 0o600);
    Arc::new(dir.expect("the directory is there"))
}

/// Both outcomes are fine; being asked is what matters.
pub fn either<T>(outcome: Result<T>) -> bool {
    outcome.is_ok()
}
