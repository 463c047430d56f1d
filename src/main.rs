//! The `kakehi` binary: parse, run, print the error chain, exit.

fn main() {}
