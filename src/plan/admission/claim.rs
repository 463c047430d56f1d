//! What one run has to say when places are given out.

use k8s_openapi::jiff::Timestamp;

use crate::api::{ANNOTATION_ACCEPTED, Execution};
use crate::plan::phase::{Phase, phase};

/// Where a run stands in line. The API server says in which second it came; within that, whoever accepted it knows more, and
/// of two that are told apart by neither the name decides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    created: Timestamp,
    accepted: Timestamp,
    pub(super) name: String,
}

impl Order {
    /// Since when the run has been there.
    pub(super) fn since(&self) -> Timestamp {
        self.created
    }

    fn of(execution: &Execution) -> Self {
        let metadata = &execution.metadata;
        let created = metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let accepted =
            metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION_ACCEPTED)?.parse().ok());
        let name = metadata.name.clone().unwrap_or_default();
        Self { created, accepted: accepted.unwrap_or(created), name }
    }
}

/// What a run that has not ended has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Uid of its Job.
    pub(super) job: String,
    /// The value by which it is counted, if it was given one.
    pub(super) key: Option<String>,
    pub(super) order: Order,
    /// Whether its tasks exist, or existed.
    pub(super) holds: bool,
    /// Whether it is to end before it starts: nothing is kept free for it.
    pub(super) leaves: bool,
}

impl Claim {
    /// What `execution` has to say; `has_tasks` tells whether its task set is there.
    pub fn of(execution: &Execution, has_tasks: bool) -> Self {
        let made = match phase(execution) {
            Phase::Starting | Phase::Running | Phase::Cancelling => true,
            Phase::Pending | Phase::Queued | Phase::Succeeded | Phase::Failed | Phase::Cancelled => false,
        };
        Self {
            job: execution.spec.job.uid.clone(),
            key: execution.spec.concurrency_key.clone(),
            order: Order::of(execution),
            holds: made || has_tasks,
            leaves: execution.spec.cancelled || execution.metadata.deletion_timestamp.is_some(),
        }
    }
}
