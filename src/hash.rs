//! 64-bit hash of a key for filters and caches: XXH3-64.
//!
//! The output is part of the table format (filters), so golden vectors are pinned below.

/// XXH3-64 of `bytes` under `seed`.
pub fn hash64(bytes: &[u8], seed: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

#[cfg(test)]
mod tests {
    use super::hash64;

    #[test]
    fn golden_vectors_hold() {
        // Values of the XXH3 specification's reference implementation.
        assert_eq!(hash64(b"", 0), 0x2d06_8005_38d3_94c2);
        assert_ne!(hash64(b"esker", 0), hash64(b"esker", 1));
    }
}
