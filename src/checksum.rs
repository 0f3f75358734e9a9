//! CRC-32 (IEEE) of bytes at rest, always from a context-bound initial value.
//!
//! The initial value ties bytes to their place: `salt + offset / 8` for log and manifest records,
//! `low32(table_id) + offset / 8` for table blocks (docs/FORMAT.md). Addition, not XOR: every 8-aligned
//! offset of one file then has another initial value, so a block that moved always fails.

/// CRC-32 of `bytes`, continuing from `initial`.
pub fn crc32(initial: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(initial);
    hasher.update(bytes);
    hasher.finalize()
}

/// Initial value for bytes at `offset` of a file whose salt is `salt`.
pub fn place(salt: u32, offset: u64) -> u32 {
    // The low 32 bits are wanted: files are far below 32 GiB.
    salt.wrapping_add((offset / 8) as u32)
}

#[cfg(test)]
mod tests {
    use super::{crc32, place};

    #[test]
    fn golden_vectors_hold() {
        assert_eq!(crc32(0, b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(crc32(0, b"1234"), b"56789"), 0xcbf4_3926);
        assert_eq!(place(u32::MAX, 8), 0);
    }
}
