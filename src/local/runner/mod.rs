//! A kubelet for processes.

mod backoff;
mod directory;
#[cfg(test)]
mod fixtures;
mod launch;
mod logs;
mod node;
mod state;
mod status;
