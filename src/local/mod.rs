//! Local mode: a small Kubernetes in this process.

pub mod runner;
pub mod server;
pub mod store;
pub mod workload;
