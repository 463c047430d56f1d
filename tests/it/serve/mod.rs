//! `kakehi serve` as the binary does it, against an API server on a loopback port; what is about rights, or has shown a
//! difference under load, against the real one as well.

mod ends;
mod leader;
mod metrics;
mod narrow;
pub(crate) mod process;
mod roles;
mod traces;
