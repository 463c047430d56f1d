//! Whether a run got going: the start deadline, and what keeps the Pods from running.
//!
//! The Job controller waits for ever for a Pod whose image cannot be pulled or that no node takes. A run does not: past
//! the deadline it ends with the Pod's own reason (contracts/cloud-run.md 5.3, item 5).

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::attempt::Attempt;
use super::phase::has_started;
use super::progress::Progress;
use crate::api::{Execution, Reason};

/// Start deadline of a template that sets none, in seconds: a day. It only makes sure that every run ends, so it leaves
/// room for a long backlog on a small machine.
pub const DEFAULT_START_DEADLINE_SECONDS: i64 = 86_400;

/// The name of labels that say which queue a task set is in, whosoever queue it is.
pub const QUEUE_NAME: &str = "queue-name";

/// Whether a run got going.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Start {
    /// A task has started.
    Started,
    /// The task set is suspended, and not by us: a queue such as Kueue holds it. The deadline does not run.
    Held,
    /// The task set is suspended, and neither by us nor by a queue: nobody is known to resume it.
    Abandoned {
        /// How long that is put up with.
        until: Timestamp,
    },
    /// None has, and the deadline is not reached.
    Waiting {
        /// The deadline.
        until: Timestamp,
        /// What is in the way.
        obstacle: Option<(Reason, String)>,
    },
    /// None has, and the deadline has passed.
    Late {
        /// The Pod's reason.
        reason: Reason,
        /// What happened, for people.
        message: String,
    },
}

pub(super) fn start(
    execution: &Execution,
    task_set: &batchv1::Job,
    progress: &Progress,
    seen: (&[Attempt<'_>], Option<&str>),
    now: Timestamp,
) -> Start {
    let (attempts, complaint) = seen;
    // A queue may take back a task set that has started, too.
    if is_suspended(task_set) {
        if is_queued(task_set) {
            return Start::Held;
        }
        return Start::Abandoned { until: deadline(execution, suspended_since(task_set, now)) };
    }
    let known = execution.status.as_ref().is_some_and(|status| has_started(&status.conditions));
    if known || progress.has_run || progress.done() > 0 {
        return Start::Started;
    }
    let obstacle = attempts
        .iter()
        .filter_map(|attempt| Some((attempt.index(), attempt.obstacle()?)))
        .min_by_key(|(index, _)| *index);
    let obstacle = obstacle.map(|(_, obstacle)| obstacle);
    let until = deadline(execution, since(task_set, now));
    if now < until {
        return Start::Waiting { until, obstacle };
    }
    let (reason, why) = obstacle.unwrap_or_else(|| match complaint {
        Some(words) if attempts.is_empty() => (Reason::Refused, format!("no Pod can be made: {words}")),
        _ if attempts.is_empty() => (Reason::StartDeadlineExceeded, "no Pod was made".to_owned()),
        _ => (Reason::StartDeadlineExceeded, "its Pods did not say what they wait for".to_owned()),
    });
    Start::Late { reason, message: format!("no task started within {} s: {why}", seconds(execution)) }
}

/// Since when the task set is suspended, if the Job controller has seen it.
fn suspended_since(task_set: &batchv1::Job, now: Timestamp) -> Timestamp {
    let conditions = task_set.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut suspended = conditions.filter(|one| one.type_ == "Suspended" && one.status == "True");
    suspended.find_map(|one| one.last_transition_time.as_ref()).map_or(now, |time| time.0)
}

/// Whether a queue decides when the task set runs: Kueue and its like are told by a label which one (`kueue.x-k8s.io/queue-name`).
pub(super) fn is_queued(task_set: &batchv1::Job) -> bool {
    let labels = task_set.metadata.labels.iter().flatten();
    labels.into_iter().any(|(key, _)| key.split_once('/').is_some_and(|(_, name)| name == QUEUE_NAME))
}

/// When a run that could start at `since` must have started.
pub(super) fn deadline(execution: &Execution, since: Timestamp) -> Timestamp {
    since.saturating_add(SignedDuration::from_secs(seconds(execution))).unwrap_or(Timestamp::MAX)
}

fn seconds(execution: &Execution) -> i64 {
    execution.spec.template.spec.start_deadline_seconds.unwrap_or(DEFAULT_START_DEADLINE_SECONDS)
}

/// When the clock of the start deadline began: with the task set, or when it was resumed (the Job controller sets its
/// start time anew then).
fn since(task_set: &batchv1::Job, now: Timestamp) -> Timestamp {
    let started = task_set.status.as_ref().and_then(|status| status.start_time.as_ref());
    started.or(task_set.metadata.creation_timestamp.as_ref()).map_or(now, |time| time.0)
}

pub(super) fn is_suspended(task_set: &batchv1::Job) -> bool {
    task_set.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}
