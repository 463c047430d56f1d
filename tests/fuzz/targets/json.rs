//! Tries to break the property of `json`.

#![no_main]

#[path = "../properties/event.rs"]
mod event;
#[path = "../properties/json.rs"]
mod json;

libfuzzer_sys::fuzz_target!(|input: &[u8]| json::check(input));
