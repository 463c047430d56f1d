//! `kakehi serve` as the binary does it, against an API server on a loopback port.

mod ends;
mod leader;
mod metrics;
mod process;
mod roles;
mod traces;
