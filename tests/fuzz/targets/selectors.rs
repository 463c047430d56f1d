//! Tries to break the property of `selectors`.

#![no_main]

#[path = "../properties/selectors.rs"]
mod selectors;

libfuzzer_sys::fuzz_target!(|input: &[u8]| selectors::check(input));
