//! The only integration test binary: one module per behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cesql;
mod chart;
mod cli;
mod cli_dev;
mod cli_explain;
mod cli_try;
mod clients;
mod cloudrun;
mod crash;
mod examples;
mod faults;
mod flood;
mod floors;
mod generated;
mod knative;
mod kubeapi;
mod kubectl;
mod local_server;
mod matching;
mod properties;
mod runner;
mod runs;
mod schedule;
mod serve;
mod sink;
mod sources;
mod support;
mod workload;
