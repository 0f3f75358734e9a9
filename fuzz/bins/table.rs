//! Fuzzes the target `table`.
#![no_main]

#[allow(dead_code, reason = "the other targets have programs of their own")]
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::table(data));
