//! Tries to break the property of `http`.

#![no_main]

#[path = "../properties/event.rs"]
mod event;
#[path = "../properties/http.rs"]
mod http;

libfuzzer_sys::fuzz_target!(|input: &[u8]| http::check(input));
