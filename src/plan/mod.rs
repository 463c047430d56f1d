//! Every decision as a plain function of (objects, now): no client, no clock, no async.
//!
//! A reader who wants to know what the program does reads this folder in the order of a run's life:
//!
//! | file | decides |
//! |---|---|
//! | `identity` | which events are the same, and what a run is called |
//! | `execution` | (Job, event) → the Execution to create |
//! | `files`, `task_set`, `environment` | Execution → `ConfigMap` and `batch/v1` Job |

mod attempt;
mod environment;
mod execution;
mod files;
mod identity;
mod ownership;
mod phase;
mod task_set;

pub use attempt::Attempt;
pub use environment::MAX_EVENT_ENVIRONMENT;
pub use execution::{Planned, Refusal, digest, from_event, manual};
pub use files::{MAX_SIZE as MAX_EVENT_FILES, files};
pub use identity::{Identity, base32};
pub use ownership::{owns, selector};
pub use phase::{Phase, is_terminal, phase};
pub use task_set::task_set;
