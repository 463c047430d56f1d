//! Conditions: ours have the v1 vocabulary; here they become v2's.

use super::time;
use crate::api::{Condition, Reason};
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::condition::{CommonReason, ExecutionReason, Reasons, Severity, State};

/// A condition of an object of that generation as clients see it. One that speaks of an earlier generation is not
/// decided.
pub(super) fn condition(condition: &Condition, generation: Option<i64>) -> v2::Condition {
    let Condition { type_, status, reason, message, observed_generation, last_transition_time } = condition;
    let reason = Reason::ALL.iter().find(|known| known.as_str() == reason).copied();
    let is_old = *observed_generation < generation;
    let state = match status.as_str() {
        _ if is_old => State::ConditionReconciling,
        "True" => State::ConditionSucceeded,
        "False" => State::ConditionFailed,
        _ if reason == Some(Reason::Queued) => State::ConditionPending,
        _ => State::ConditionReconciling,
    };
    let severity = if state == State::ConditionFailed { Severity::Error } else { Severity::Unspecified };
    v2::Condition {
        r#type: type_.clone(),
        state: state.into(),
        message: message.clone(),
        last_transition_time: Some(time::timestamp(last_transition_time.0)),
        severity: severity.into(),
        reasons: reason.and_then(reasons),
    }
}

/// A condition that nobody has written yet.
pub(super) fn unwritten(kind: &str) -> v2::Condition {
    v2::Condition {
        r#type: kind.to_owned(),
        state: State::ConditionPending.into(),
        ..v2::Condition::default()
    }
}

/// The nearest word that Cloud Run has. Programs match on it (`CONTAINER_MISSING` for one); the message says the rest.
fn reasons(reason: Reason) -> Option<Reasons> {
    let common = |reason: CommonReason| Some(Reasons::Reason(reason.into()));
    let execution = |reason: ExecutionReason| Some(Reasons::ExecutionReason(reason.into()));
    match reason {
        Reason::Starting | Reason::Running | Reason::Succeeded | Reason::Ready => None,
        Reason::Queued => common(CommonReason::WaitingForOperation),
        // What ran into its timeout was killed.
        Reason::NonZeroExitCode | Reason::TaskTimeout => execution(ExecutionReason::NonZeroExitCode),
        Reason::StartDeadlineExceeded | Reason::Unschedulable | Reason::QueueTimeout => {
            common(CommonReason::ProgressDeadlineExceeded)
        }
        Reason::ImagePullFailed => common(CommonReason::ContainerMissing),
        // Of what a container's configuration may refer to, Cloud Run knows secrets.
        Reason::ContainerConfigFailed => common(CommonReason::SecretsAccessCheckFailed),
        Reason::AccountNotAllowed => common(CommonReason::ContainerPermissionDenied),
        Reason::Cancelling => execution(ExecutionReason::Cancelling),
        Reason::Cancelled | Reason::Replaced | Reason::ConcurrencyForbidden => {
            execution(ExecutionReason::Cancelled)
        }
        Reason::JobNotFound => execution(ExecutionReason::Deleted),
        Reason::Refused | Reason::JobLost | Reason::FilterInvalid | Reason::ExpressionInvalid => {
            common(CommonReason::Internal)
        }
    }
}
