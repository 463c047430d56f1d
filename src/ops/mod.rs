//! Use cases on a `kube::Client`: what the sink, the command line and the API do, once.
//!
//! Nothing here prints, decides or remembers: decisions are `plan`'s, and every function starts from the world.

mod accept;
mod error;
mod logs;
mod objects;
mod runs;

pub use accept::{Accepted, Outcome, accept, find};
pub use error::{Cause, Error};
pub use logs::{LogLine, LogOptions, logs};
pub use objects::{Mode, create, delete, delete_exactly, get, list, replace, scoped};
pub use runs::{
    Description, accept_within_limits, cancel, cancel_exactly, describe, pods, rerun, run, run_with,
    task_set, wait, watch,
};
