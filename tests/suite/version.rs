//! (tests to be filled)
