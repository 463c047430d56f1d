//! A kubelet for processes.

mod backoff;
mod directory;
#[cfg(test)]
mod fixtures;
mod launch;
mod logs;
mod materialise;
mod node;
mod process;
mod records;
mod state;
mod status;
