//! Fuzzes the target `options`.
#![no_main]

#[allow(dead_code, reason = "the other targets have programs of their own")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::options(data));
