//! Buffers that grow by what callers and files ask for: growing may fail, giving back must not.

use crate::error::{Area, Error, Result};
use std::fmt;

/// Room for `more` elements, or `NOMEM`.
pub fn reserve<T>(buf: &mut Vec<T>, more: usize, area: Area) -> Result<()> {
    let bytes = more.saturating_mul(size_of::<T>());
    buf.try_reserve(more).map_err(|_| Error::no_memory(area, bytes))
}

/// Appends a copy of `bytes`, or `NOMEM`.
pub fn append(buf: &mut Vec<u8>, bytes: &[u8], area: Area) -> Result<()> {
    reserve(buf, bytes.len(), area)?;
    buf.extend_from_slice(bytes);
    Ok(())
}

/// Makes `buf` a copy of `bytes`, or `NOMEM`.
pub fn refill(buf: &mut Vec<u8>, bytes: &[u8], area: Area) -> Result<()> {
    buf.clear();
    append(buf, bytes, area)
}

/// A copy of `bytes`, or `NOMEM`. Keys are copied so: they may be as long as 64 KiB.
#[inline(never)]
pub fn copy(bytes: &[u8], area: Area) -> Result<Vec<u8>> {
    let mut own = Vec::new();
    own.try_reserve_exact(bytes.len()).map_err(|_| Error::no_memory(area, bytes.len()))?;
    own.extend_from_slice(bytes);
    Ok(own)
}

/// Empties a buffer that is used again, and gives its memory up if one huge value made it larger than `most`. It is not
/// shrunk: that is an allocation, too, and `Vec` aborts when it fails.
pub fn empty(buf: &mut Vec<u8>, most: usize) {
    buf.clear();
    if buf.capacity() > most {
        *buf = Vec::new();
    }
}

/// Appends what is formatted to a text, or `NOMEM`.
pub fn write_text(text: &mut String, what: fmt::Arguments<'_>, area: Area) -> Result<()> {
    struct Growing<'t>(&'t mut String);

    impl fmt::Write for Growing<'_> {
        fn write_str(&mut self, piece: &str) -> fmt::Result {
            self.0.try_reserve(piece.len()).map_err(|_| fmt::Error)?;
            self.0.push_str(piece);
            Ok(())
        }
    }

    let written = fmt::write(&mut Growing(text), what);
    // It has grown by doubling.
    written.map_err(|_| Error::no_memory(area, text.len().saturating_mul(2)))
}
