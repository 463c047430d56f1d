//! Tries to break the property of `cesql`.

#![no_main]

#[path = "../properties/cesql.rs"]
mod cesql;

libfuzzer_sys::fuzz_target!(|input: &[u8]| cesql::check(input));
