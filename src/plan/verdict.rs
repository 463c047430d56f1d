//! How a run ended, in a reason for programs and a sentence for people.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::progress::Progress;
use super::rerun::shown;
use crate::api::{Execution, Reason, Status, TaskOutcome};

/// Reason of a Pod that ran into its deadline.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// An end: what the condition `Completed` says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) status: Status,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// When it ended.
    pub(super) time: Time,
}

impl Verdict {
    pub(super) fn failed(reason: Reason, message: impl Into<String>, now: Timestamp) -> Self {
        Self { status: Status::False, reason, message: message.into(), time: Time(now) }
    }

    /// What the cluster says about the task set, once it has ended.
    pub(super) fn of(
        execution: &Execution,
        task_set: &batchv1::Job,
        progress: &Progress,
        now: Timestamp,
    ) -> Option<Self> {
        let status = task_set.status.as_ref()?;
        let ended = status.conditions.iter().flatten().find(|condition| {
            condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
        })?;
        let time = status.completion_time.clone().or_else(|| ended.last_transition_time.clone());
        let time = time.unwrap_or(Time(now));
        if ended.type_ == "Complete" {
            return Some(Self::succeeded(progress, time));
        }
        if let Some(first) = progress.failed_tasks.first() {
            return Some(Self::of_task(execution, progress, first, time));
        }
        let reason = ended.reason.as_deref().unwrap_or("Failed");
        let words = ended.message.as_deref().unwrap_or_default();
        let message = format!("the batch/v1 Job was ended by somebody else: {reason}: {words}");
        Some(Self { status: Status::False, reason: Reason::JobLost, message, time })
    }

    pub(super) fn succeeded(progress: &Progress, time: Time) -> Self {
        let message = format!("{} succeeded", tasks(progress.total));
        Self { status: Status::True, reason: Reason::Succeeded, message, time }
    }

    /// It was stopped, and why.
    pub(super) fn stopped((reason, why): (Reason, &str), progress: &Progress, time: Time) -> Self {
        let Progress { total, succeeded, failed, .. } = progress;
        let message = if progress.done() == 0 {
            why.to_owned()
        } else {
            format!("{why}: of {} {succeeded} succeeded and {failed} failed", tasks(*total))
        };
        Self { status: Status::False, reason, message, time }
    }

    /// The run failed because tasks did; the first of them stands for all.
    fn of_task(execution: &Execution, progress: &Progress, task: &TaskOutcome, time: Time) -> Self {
        let timed_out = task.reason.as_deref() == Some(DEADLINE_EXCEEDED);
        let reason = if timed_out { Reason::TaskTimeout } else { Reason::NonZeroExitCode };
        let cause = if timed_out {
            let seconds = execution.spec.template.spec.template.spec.timeout_seconds;
            format!("ran into its timeout of {seconds} s")
        } else {
            cause(task)
        };
        let words = match &task.message {
            Some(words) if !timed_out => format!(": {words}"),
            _ => String::new(),
        };
        let among = match progress.failed {
            ..=1 => String::new(),
            many => format!(" ({many} of {} failed)", tasks(progress.total)),
        };
        let attempts =
            if task.attempts == 1 { "1 attempt".to_owned() } else { format!("{} attempts", task.attempts) };
        let message =
            format!("task {} failed after {attempts}: {cause}{words}{among}", shown(execution, task.index));
        Self { status: Status::False, reason, message, time }
    }
}

/// Why the last attempt of a task ended, in words.
fn cause(task: &TaskOutcome) -> String {
    let reason = task.reason.as_deref().filter(|reason| !matches!(*reason, "Error" | "Completed"));
    match (task.signal, task.exit_code, reason) {
        (Some(signal), _, None) => format!("signal {signal}"),
        (Some(signal), _, Some(reason)) => format!("signal {signal} ({reason})"),
        (None, Some(code), None) => format!("exit code {code}"),
        (None, Some(code), Some(reason)) => format!("exit code {code} ({reason})"),
        (None, None, Some(reason)) => reason.to_owned(),
        (None, None, None) => "its Pod is gone, and with it what happened".to_owned(),
    }
}

/// `1 task`, `3 tasks`.
pub(super) fn tasks(number: i32) -> String {
    if number == 1 { "1 task".to_owned() } else { format!("{number} tasks") }
}
