//! The only integration test binary: one module per behaviour.

mod floors;
mod generated;
mod kubeapi;
mod sink;
mod support;
mod workload;
