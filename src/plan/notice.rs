//! What is reported of a run as a Kubernetes Event, once per transition.

use super::phase::{Phase, has_started, phase_of};
use crate::api::{CONDITION_COMPLETED, ExecutionStatus, condition};

/// A transition worth an Event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody may have to act.
    pub warning: bool,
    /// `Started`, `Completed`, `Failed` or `Cancelled`.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Notice {
    /// What happened between two statuses of a run. The end tells everything, so it is reported alone.
    pub(super) fn between(old: Option<&ExecutionStatus>, new: &ExecutionStatus) -> Option<Self> {
        let before = old.map_or(Phase::Pending, phase_of);
        let after = phase_of(new);
        let message = || {
            let completed = condition(&new.conditions, CONDITION_COMPLETED);
            completed.map(|completed| completed.message.clone()).unwrap_or_default()
        };
        if !before.is_terminal() {
            match after {
                Phase::Succeeded => {
                    return Some(Self { warning: false, reason: "Completed", message: message() });
                }
                Phase::Failed => return Some(Self { warning: true, reason: "Failed", message: message() }),
                Phase::Cancelled => {
                    return Some(Self { warning: false, reason: "Cancelled", message: message() });
                }
                Phase::Pending | Phase::Queued | Phase::Starting | Phase::Running | Phase::Cancelling => {}
            }
        }
        let started_before = old.is_some_and(|old| has_started(&old.conditions));
        let starts = !started_before && has_started(&new.conditions);
        starts.then(|| Self { warning: false, reason: "Started", message: "a task has started".to_owned() })
    }
}
