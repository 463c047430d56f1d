//! Every decision as a plain function of (objects, now): no client, no clock, no async.
//!
//! A reader who wants to know what the program does reads this folder in the order of a run's life:
//!
//! | file | decides |
//! |---|---|
//! | `identity` | which events are the same, and what a run is called |
//! | `prepared` | what a Job asks of an event before it is run for it |
//! | `execution`, `overrides`, `trace` | (Job, event or overrides) → the Execution to create |
//! | `rerun` | an earlier Execution → the one that repeats it |
//! | `files`, `task_set`, `environment` | Execution → `ConfigMap` and `batch/v1` Job |
//! | `admission`, `backlog` | which runs may start, and whether another may wait |
//! | `run` | (Execution, task set, Pods, now) → the next step |
//! | `start`, `progress`, `verdict` | has it started, how far is it, how did it end |
//! | `standing`, `phase`, `notice` | what the status says, and what is reported |
//! | `summary`, `completion`, `chain` | (Execution) → what others are told of it, and which Jobs that must not run |
//! | `destination`, `delivery` | where such an event goes; (answer, attempts) → what follows |
//! | `tasks` | (Execution, task set, Pods) → each task, for whoever asks |
//! | `runs`, `roll_up` | (Job, its runs, now) → its status, and which runs go |
//! | `trigger` | (Trigger, is there a Job) → its status |

mod admission;
mod attempt;
mod backlog;
mod chain;
mod completion;
mod delivery;
mod destination;
mod environment;
mod execution;
mod expansion;
mod files;
mod identity;
mod indexes;
mod notice;
mod overrides;
mod ownership;
mod phase;
mod prepared;
mod progress;
mod rerun;
mod roll_up;
mod run;
mod runs;
mod standing;
mod start;
mod summary;
mod task_set;
mod tasks;
mod trace;
mod trigger;
mod verdict;

pub use admission::{Admission, Claim, Fate, Guards, Standing, Terms};
pub use attempt::Attempt;
pub use backlog::is_full;
pub use completion::{DeadLetter, completion, dead_letter, owes_completion, with_result_as_data};
pub use delivery::{Answer, DeliveryTerms, Next, dead_letters};
pub use destination::{Route, added, is_local, lane, of_service, route};
pub use environment::MAX_EVENT_ENVIRONMENT;
pub use execution::{Planned, Refusal, digest, manual};
pub use expansion::{literal, plain};
pub use files::{MAX_SIZE as MAX_EVENT_FILES, files};
pub use identity::{Identity, base32};
pub use notice::Notice;
pub use ownership::{is_leftover, owns, selector};
pub use phase::{Phase, is_terminal, phase};
pub use prepared::{Matched, Prepared};
pub use progress::MAX_FAILED_TASKS;
pub use rerun::{MAX_RERUN_TASKS, NotRerun, alone, failed_tasks, rerun, shown};
pub use roll_up::{Entrance, Retention, Surroundings, retention, roll_up};
pub use run::{
    NAME_TAKEN, Observed, Plan, Tasks, Template, doubts_namespace, doubts_task_set, held_back, refused, run,
};
pub use runs::{Brief, Runs};
pub use start::{DEFAULT_START_DEADLINE_SECONDS, QUEUE_NAME};
pub use summary::Summary;
pub use task_set::{parallelism, task_set};
pub use tasks::{Task, TaskState, tasks};
pub use trace::trace;
pub use trigger::trigger_status;
