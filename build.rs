//! Names the shared library for its ABI and keeps it mapped for ever once it is loaded.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The N of ESKER_ABI. Cargo sets no SONAME of its own.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libesker.so.0");
        // Background threads and thread-local destructors must not outlive their code.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
