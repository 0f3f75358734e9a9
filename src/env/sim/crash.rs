//! What a dead process or a power cut leaves of a simulated kernel.
