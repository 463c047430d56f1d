//! The status of a run: its three conditions and its counts, made in one place so that they never disagree.

use k8s_openapi::jiff::Timestamp;

use super::phase::has_started;
use super::progress::Progress;
use super::verdict::Verdict;
use crate::api::{
    CONDITION_COMPLETED, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED, Execution, ExecutionStatus,
    NewCondition, Reason, Status, condition, set_condition,
};

/// The status of a run without tasks yet.
pub(super) fn waiting(
    execution: &Execution,
    reason: Reason,
    message: &str,
    now: Timestamp,
) -> ExecutionStatus {
    let mut writer = Writer::new(execution, now);
    for kind in [CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED, CONDITION_COMPLETED] {
        writer.set(kind, Status::Unknown, reason, message);
    }
    writer.status
}

/// The status of a run whose tasks the API server does not take for now: what they need is not there.
pub(super) fn held(execution: &Execution, message: &str, now: Timestamp) -> ExecutionStatus {
    let mut writer = Writer::new(execution, now);
    writer.set(CONDITION_RESOURCES_AVAILABLE, Status::False, Reason::Queued, message);
    for kind in [CONDITION_STARTED, CONDITION_COMPLETED] {
        writer.set(kind, Status::Unknown, Reason::Queued, message);
    }
    writer.status
}

/// Since when a run is held back without a break; `now` if it is not.
pub(super) fn held_since(execution: &Execution, now: Timestamp) -> Timestamp {
    let conditions = execution.status.as_ref().map_or(&[][..], |status| &status.conditions);
    condition(conditions, CONDITION_RESOURCES_AVAILABLE)
        .filter(|available| available.status == "False")
        .map_or(now, |available| available.last_transition_time.0)
}

/// The status of a run whose tasks are on their way; `why` says how far.
pub(super) fn progressing(
    execution: &Execution,
    progress: &Progress,
    why: (Reason, String),
    now: Timestamp,
) -> ExecutionStatus {
    let (reason, message) = why;
    let mut writer = Writer::new(execution, now);
    progress.record(&mut writer.status);
    writer.start(progress, reason, &message);
    // An obstacle is the Pod's; the run as a whole is still starting, which also says that its tasks were made.
    let overall = if reason == Reason::Running { reason } else { Reason::Starting };
    writer.set(CONDITION_COMPLETED, Status::Unknown, overall, &message);
    writer.status
}

/// The status of a run that is being stopped.
pub(super) fn cancelling(execution: &Execution, progress: &Progress, now: Timestamp) -> ExecutionStatus {
    let mut writer = Writer::new(execution, now);
    progress.record(&mut writer.status);
    let message = "the tasks are being stopped";
    writer.start(progress, Reason::Cancelling, message);
    writer.set(CONDITION_COMPLETED, Status::Unknown, Reason::Cancelling, message);
    writer.status
}

/// The status of a run that has ended. None of its conditions is unknown any more.
///
/// Without `progress` what was known before is kept.
pub(super) fn ended(
    execution: &Execution,
    progress: Option<&Progress>,
    verdict: &Verdict,
) -> ExecutionStatus {
    let Verdict { status, reason, message, time } = verdict;
    let mut writer = Writer::new(execution, time.0);
    if let Some(progress) = progress {
        progress.record(&mut writer.status);
    }
    let total = execution.spec.template.spec.task_count;
    let has_run = *status == Status::True
        || progress.is_some_and(|progress| progress.has_run || progress.started.is_some())
        || has_started(&writer.status.conditions);
    for kind in [CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED] {
        if has_run {
            writer.set(kind, Status::True, Reason::Running, "");
        } else {
            writer.set(kind, Status::False, *reason, message);
        }
    }
    writer.set(CONDITION_COMPLETED, *status, *reason, message);
    let mut ended = writer.status;
    ended.running_count = 0;
    ended.cancelled_count = total - ended.succeeded_count - ended.failed_count;
    ended.completion_time = Some(time.clone());
    ended
}

/// Writes a status on top of the one that there is.
struct Writer {
    status: ExecutionStatus,
    generation: Option<i64>,
    now: Timestamp,
}

impl Writer {
    fn new(execution: &Execution, now: Timestamp) -> Self {
        let generation = execution.metadata.generation;
        let mut status = execution.status.clone().unwrap_or_default();
        status.observed_generation = generation;
        Self { status, generation, now }
    }

    fn set(&mut self, kind: &str, status: Status, reason: Reason, message: &str) {
        let new = NewCondition { kind, status, reason, message: message.to_owned() };
        set_condition(&mut self.status.conditions, new, self.generation, self.now);
    }

    /// `ResourcesAvailable` and `Started`; once true they stay true.
    fn start(&mut self, progress: &Progress, reason: Reason, message: &str) {
        let started = progress.has_run || has_started(&self.status.conditions);
        for kind in [CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED] {
            let is_true =
                condition(&self.status.conditions, kind).is_some_and(|condition| condition.status == "True");
            if started || is_true {
                self.set(kind, Status::True, Reason::Running, "");
            } else {
                self.set(kind, Status::Unknown, reason, message);
            }
        }
    }
}
