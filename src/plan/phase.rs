//! Where a run stands, read from its status.

use crate::api::{
    CONDITION_COMPLETED, CONDITION_STARTED, Condition, Execution, ExecutionStatus, Reason, condition,
};

/// Where a run stands. Only the last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Accepted; its tasks were not made yet.
    Pending,
    /// Held back on purpose.
    Queued,
    /// Its tasks were made; none has started.
    Starting,
    /// A task has started.
    Running,
    /// It is being stopped.
    Cancelling,
    /// Every task succeeded.
    Succeeded,
    /// It ended otherwise.
    Failed,
    /// It was stopped: on request, or for a later run.
    Cancelled,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 8] = [
        Phase::Pending,
        Phase::Queued,
        Phase::Starting,
        Phase::Running,
        Phase::Cancelling,
        Phase::Succeeded,
        Phase::Failed,
        Phase::Cancelled,
    ];

    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        match self {
            Phase::Succeeded | Phase::Failed | Phase::Cancelled => true,
            Phase::Pending | Phase::Queued | Phase::Starting | Phase::Running | Phase::Cancelling => false,
        }
    }

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "Pending",
            Phase::Queued => "Queued",
            Phase::Starting => "Starting",
            Phase::Running => "Running",
            Phase::Cancelling => "Cancelling",
            Phase::Succeeded => "Succeeded",
            Phase::Failed => "Failed",
            Phase::Cancelled => "Cancelled",
        }
    }
}

/// Where `execution` stands.
pub fn phase(execution: &Execution) -> Phase {
    execution.status.as_ref().map_or(Phase::Pending, phase_of)
}

/// Whether `execution` has ended.
pub fn is_terminal(execution: &Execution) -> bool {
    phase(execution).is_terminal()
}

pub(super) fn phase_of(status: &ExecutionStatus) -> Phase {
    let Some(completed) = condition(&status.conditions, CONDITION_COMPLETED) else { return Phase::Pending };
    let is = |reason: Reason| completed.reason == reason.as_str();
    match completed.status.as_str() {
        "True" => Phase::Succeeded,
        "False" if is(Reason::Cancelled) || is(Reason::Replaced) => Phase::Cancelled,
        "False" => Phase::Failed,
        _ if is(Reason::Cancelling) => Phase::Cancelling,
        _ if is(Reason::Queued) => Phase::Queued,
        _ if is(Reason::Starting) => Phase::Starting,
        _ if is(Reason::Running) => Phase::Running,
        _ => Phase::Pending,
    }
}

/// Whether a task of the run was seen to start.
pub(super) fn has_started(conditions: &[Condition]) -> bool {
    condition(conditions, CONDITION_STARTED).is_some_and(|started| started.status == "True")
}
