//! Conditions and the one list of their reasons.
//!
//! The vocabulary is that of Cloud Run's v1 API (`Ready`; `ResourcesAvailable`, `Started`, `Completed`). Transition
//! times move only when a condition's status flips, as Kubernetes' own do.

use std::fmt;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// Of a Job or Trigger: it can be used.
pub const CONDITION_READY: &str = "Ready";
/// Of an Execution: what its tasks need is there.
pub const CONDITION_RESOURCES_AVAILABLE: &str = "ResourcesAvailable";
/// Of an Execution: a task has started.
pub const CONDITION_STARTED: &str = "Started";
/// Of an Execution: it has ended; True is success.
pub const CONDITION_COMPLETED: &str = "Completed";

/// Status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not decided yet.
    Unknown,
}

impl Status {
    /// As Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        }
    }
}

/// Why a condition has its status. Every reason that an object of ours can carry is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Held back: its Job is suspended, or others are before it.
    Queued,
    /// The tasks were handed to the cluster; none has started.
    Starting,
    /// Tasks run.
    Running,
    /// Every task succeeded.
    Succeeded,
    /// A task used up its attempts; the last one exited non-zero or by a signal.
    NonZeroExitCode,
    /// A task used up its attempts; the last one ran into its timeout.
    TaskTimeout,
    /// No task was running within the start deadline.
    StartDeadlineExceeded,
    /// No task was running within the start deadline, because an image cannot be had.
    ImagePullFailed,
    /// No task was running within the start deadline, because no node takes the Pod.
    Unschedulable,
    /// No task was running within the start deadline, because the container's configuration refers to something missing.
    ContainerConfigFailed,
    /// The API server refused the `batch/v1` Job, the `ConfigMap` or, until the start deadline, every Pod.
    Refused,
    /// Asked to stop; tasks are ending.
    Cancelling,
    /// Stopped on request.
    Cancelled,
    /// Stopped, or never started, because its Job lets a later run take its place.
    Replaced,
    /// Never started, because others of its Job were under way and the Job wants no more.
    ConcurrencyForbidden,
    /// Waited longer than its Job lets it.
    QueueTimeout,
    /// The `batch/v1` Job vanished or was ended by somebody else.
    JobLost,
    /// Of a Job or Trigger: fit for use.
    Ready,
    /// Of a Trigger: a filter does not compile; it matches nothing.
    FilterInvalid,
    /// Of a Job or Trigger: an expression does not compile; it takes no events.
    ExpressionInvalid,
    /// Of a Job: nobody has allowed its runs to use the `ServiceAccount` that it names.
    AccountNotAllowed,
    /// Of a Trigger: its Job does not exist.
    JobNotFound,
}

impl Reason {
    /// Every reason there is; tests walk this list.
    pub const ALL: &'static [Reason] = &[
        Reason::Queued,
        Reason::Starting,
        Reason::Running,
        Reason::Succeeded,
        Reason::NonZeroExitCode,
        Reason::TaskTimeout,
        Reason::StartDeadlineExceeded,
        Reason::ImagePullFailed,
        Reason::Unschedulable,
        Reason::ContainerConfigFailed,
        Reason::Refused,
        Reason::Cancelling,
        Reason::Cancelled,
        Reason::Replaced,
        Reason::ConcurrencyForbidden,
        Reason::QueueTimeout,
        Reason::JobLost,
        Reason::Ready,
        Reason::FilterInvalid,
        Reason::ExpressionInvalid,
        Reason::AccountNotAllowed,
        Reason::JobNotFound,
    ];

    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Queued => "Queued",
            Reason::Starting => "Starting",
            Reason::Running => "Running",
            Reason::Succeeded => "Succeeded",
            Reason::NonZeroExitCode => "NonZeroExitCode",
            Reason::TaskTimeout => "TaskTimeout",
            Reason::StartDeadlineExceeded => "StartDeadlineExceeded",
            Reason::ImagePullFailed => "ImagePullFailed",
            Reason::Unschedulable => "Unschedulable",
            Reason::ContainerConfigFailed => "ContainerConfigFailed",
            Reason::Refused => "Refused",
            Reason::Cancelling => "Cancelling",
            Reason::Cancelled => "Cancelled",
            Reason::Replaced => "Replaced",
            Reason::ConcurrencyForbidden => "ConcurrencyForbidden",
            Reason::QueueTimeout => "QueueTimeout",
            Reason::JobLost => "JobLost",
            Reason::Ready => "Ready",
            Reason::FilterInvalid => "FilterInvalid",
            Reason::ExpressionInvalid => "ExpressionInvalid",
            Reason::AccountNotAllowed => "AccountNotAllowed",
            Reason::JobNotFound => "JobNotFound",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The condition of that type, if it is set.
pub fn condition<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Sets a condition in place. Its transition time moves only when the status differs from before.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    new: NewCondition<'_>,
    generation: Option<i64>,
    now: Timestamp,
) {
    let NewCondition { kind, status, reason, message } = new;
    let fresh = Condition {
        type_: kind.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|condition| condition.type_ == kind) {
        None => conditions.push(fresh),
        Some(old) => {
            let since = if old.status == fresh.status {
                old.last_transition_time.clone()
            } else {
                fresh.last_transition_time.clone()
            };
            *old = Condition { last_transition_time: since, ..fresh };
        }
    }
}

/// What [`set_condition`] sets.
#[derive(Debug, Clone)]
pub struct NewCondition<'a> {
    /// Its type, one of the `CONDITION_…` constants.
    pub kind: &'a str,
    /// Whether it holds.
    pub status: Status,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people; may be empty.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(status: Status) -> NewCondition<'static> {
        NewCondition { kind: CONDITION_READY, status, reason: Reason::Ready, message: String::new() }
    }

    #[test]
    fn transition_time_moves_only_when_the_status_flips() {
        let (early, late) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let mut conditions = Vec::new();
        set_condition(&mut conditions, new(Status::True), Some(1), early);
        set_condition(&mut conditions, new(Status::True), Some(2), late);
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].last_transition_time.0, early);
        assert_eq!(conditions[0].observed_generation, Some(2));
        set_condition(&mut conditions, new(Status::False), Some(2), late);
        assert_eq!(conditions[0].last_transition_time.0, late);
    }

    #[test]
    fn every_reason_has_its_own_word() {
        let mut words: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.iter().all(|word| word.chars().all(|c| c.is_ascii_alphanumeric())));
    }
}
