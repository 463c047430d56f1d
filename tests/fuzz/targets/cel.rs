//! Tries to break the property of `cel`.

#![no_main]

#[path = "../properties/cel.rs"]
mod cel;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cel::check(input));
