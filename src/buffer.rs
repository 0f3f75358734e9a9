//! Buffers that grow by what callers and files ask for: growing may fail, giving back must not.

use crate::error::{Area, Error, Result};

/// Room for `more` elements, or `NOMEM`.
pub fn reserve<T>(buf: &mut Vec<T>, more: usize, area: Area) -> Result<()> {
    let bytes = more.saturating_mul(size_of::<T>());
    buf.try_reserve(more).map_err(|_| Error::no_memory(area, bytes))
}

/// Empties a buffer that is used again, and gives its memory up if one huge value made it larger than `most`. It is not
/// shrunk: that is an allocation, too, and `Vec` aborts when it fails.
pub fn empty(buf: &mut Vec<u8>, most: usize) {
    buf.clear();
    if buf.capacity() > most {
        *buf = Vec::new();
    }
}
