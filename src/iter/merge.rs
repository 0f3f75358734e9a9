//! Merging cursor.
