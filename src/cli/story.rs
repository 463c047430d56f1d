//! What happens to a run, told in lines: pure functions from Executions to words.
//!
//! `dev`, `try` and everything that waits tell the same story with the same words.

use std::time::Duration;

use anstyle::Style;
use jiff::Timestamp;

use super::output::{BAD, FAINT, GOOD, PENDING, STRONG, between, one_line, paint, span};
use crate::api::{
    CONDITION_COMPLETED, CONDITION_STARTED, Cause, CauseKind, Condition, EventRecord, Execution, Rerun,
    Status, condition,
};
use crate::plan::{Phase, is_terminal, phase};

/// The colour that a phase is shown in.
pub(crate) fn style(phase: Phase) -> Style {
    match phase {
        Phase::Pending | Phase::Queued | Phase::Starting | Phase::Running | Phase::Cancelling => PENDING,
        Phase::Succeeded => GOOD,
        Phase::Cancelled | Phase::Failed => BAD,
    }
}

fn completed(execution: &Execution) -> Option<&Condition> {
    condition(&execution.status.as_ref()?.conditions, CONDITION_COMPLETED)
}

/// The one word for where the run stands: its phase, and the reason of a failure.
pub(crate) fn state(execution: &Execution) -> String {
    let phase = phase(execution);
    match completed(execution) {
        Some(end) if phase == Phase::Failed && !end.reason.is_empty() => end.reason.clone(),
        _ => phase.as_str().to_owned(),
    }
}

/// What the run has to say about its state, on one line; empty where it has nothing.
pub(crate) fn message(execution: &Execution) -> String {
    completed(execution).map(|end| one_line(&end.message)).unwrap_or_default()
}

/// Succeeded tasks of all tasks: `2/3`.
pub(crate) fn tasks(execution: &Execution) -> String {
    let done = execution.status.as_ref().map_or(0, |status| status.succeeded_count);
    format!("{done}/{}", task_count(execution))
}

/// How many tasks the run has.
pub(crate) fn task_count(execution: &Execution) -> i32 {
    execution.spec.template.spec.task_count
}

/// How many tasks have ended for good.
pub(crate) fn ended(execution: &Execution) -> u64 {
    let status = execution.status.as_ref();
    let count =
        status.map_or(0, |status| status.succeeded_count + status.failed_count + status.cancelled_count);
    u64::try_from(count).unwrap_or(0)
}

/// How long the run took, or takes so far.
pub(crate) fn took(execution: &Execution, now: Timestamp) -> Option<Duration> {
    let status = execution.status.as_ref()?;
    let start = status.start_time.as_ref()?.0;
    between(Some(start), Some(status.completion_time.as_ref().map_or(now, |end| end.0)))
}

/// Who asked for the run.
pub(crate) fn cause(cause: &Cause) -> String {
    let Cause { kind, trigger, rerun_of } = cause;
    match (kind, trigger) {
        (CauseKind::Trigger, Some(trigger)) => format!("trigger/{trigger}"),
        (CauseKind::Trigger, None) => "trigger".to_owned(),
        (CauseKind::Address, _) => "address".to_owned(),
        (CauseKind::Manual, _) => "manual".to_owned(),
        (CauseKind::Rerun, _) => match rerun_of {
            Some(Rerun { name, uid: _, task: Some(task) }) => format!("rerun/{name} task {}", task.index),
            Some(Rerun { name, uid: _, task: None }) => format!("rerun/{name}"),
            None => "rerun".to_owned(),
        },
    }
}

/// An event in a few words: `com.example.order 42 from /shop`.
pub(crate) fn event(event: &EventRecord) -> String {
    one_line(&format!("{} {} from {}", event.kind, event.id, event.source))
}

/// The name of an object, for a line.
pub(crate) fn name(execution: &Execution) -> &str {
    execution.metadata.name.as_deref().unwrap_or_default()
}

/// What changed between two looks at a run, in the order in which it happened.
pub(crate) fn changes(before: Option<&Execution>, now: &Execution) -> Vec<String> {
    let title = paint(STRONG, name(now));
    let mut lines = Vec::new();
    if before.is_none() {
        lines.push(format!("{title}  created by {}", origin(now)));
    }
    let over = is_terminal(now);
    if !started(before) && started(Some(now)) && !over {
        lines.push(format!("{title}  started {}", count(task_count(now), "task")));
    }
    if !over {
        let is = phase(now);
        if before.map(phase) != Some(is) && matches!(is, Phase::Queued | Phase::Cancelling) {
            lines.push(said(&format!("{title}  {}", paint(PENDING, is.as_str())), &message(now)));
        }
        let (tried, failed) = (progress(before), progress(Some(now)));
        if tried != failed && task_count(now) > 1 {
            lines.push(format!("{title}  {}", paint(FAINT, counts(now))));
        }
    }
    if over && before.is_none_or(|before| !is_terminal(before)) {
        lines.push(format!("{title}  {}", ending(now)));
    }
    lines
}

fn origin(execution: &Execution) -> String {
    let cause = cause(&execution.spec.cause);
    match execution.spec.events.first() {
        Some(record) => format!("{cause} for {}", event(record)),
        None => cause,
    }
}

fn started(execution: Option<&Execution>) -> bool {
    let status = execution.and_then(|execution| execution.status.as_ref());
    let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition(conditions, CONDITION_STARTED).is_some_and(|started| started.status == Status::True.as_str())
}

/// The counts that make a line when they change.
fn progress(execution: Option<&Execution>) -> (i32, i32, i32) {
    let status = execution.and_then(|execution| execution.status.as_ref());
    status.map_or((0, 0, 0), |status| (status.succeeded_count, status.failed_count, status.retried_count))
}

/// The task counts that are not zero: `1 running, 2 succeeded of 3`.
pub(crate) fn counts(execution: &Execution) -> String {
    let status = execution.status.clone().unwrap_or_default();
    let named = [
        (status.running_count, "running"),
        (status.succeeded_count, "succeeded"),
        (status.failed_count, "failed"),
        (status.cancelled_count, "cancelled"),
        (status.retried_count, "retried"),
    ];
    let some: Vec<String> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    if some.is_empty() {
        return count(task_count(execution), "task");
    }
    format!("{} of {}", some.join(", "), count(task_count(execution), "task"))
}

/// How the run ended: its state, how long it took, and its result or what went wrong.
pub(crate) fn ending(execution: &Execution) -> String {
    let phase = phase(execution);
    let mut line = paint(style(phase), state(execution));
    // A run that never started has no duration.
    if let Some(took) = took(execution, Timestamp::UNIX_EPOCH) {
        line = format!("{line} after {}", span(took));
    }
    let result = execution.status.as_ref().and_then(|status| status.result.as_deref()).unwrap_or_default();
    match phase {
        Phase::Succeeded => said(&line, &one_line(result)),
        _ => said(&line, &message(execution)),
    }
}

fn said(line: &str, words: &str) -> String {
    if words.is_empty() { line.to_owned() } else { format!("{line}: {words}") }
}

fn count(count: i32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    /// An Execution of three tasks whose `Completed` condition has that status and reason.
    pub(crate) fn execution(status: &str, reason: &str, message: &str, counts: [i32; 4]) -> Execution {
        let [running, succeeded, failed, retried] = counts;
        let time = "2026-01-01T00:00:00Z";
        let started = if running + succeeded + failed > 0 { "True" } else { "Unknown" };
        let ended = (status != "Unknown").then_some("2026-01-01T00:00:04Z");
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
            "metadata": {"name": "resize-abc", "namespace": "shop", "creationTimestamp": time},
            "spec": {
                "job": {"name": "resize", "uid": "u", "generation": 2},
                "cause": {"type": "Trigger", "trigger": "orders"},
                "events": [{"id": "42", "source": "/shop", "type": "com.example.order"}],
                "template": {"spec": {"taskCount": 3, "template": {"spec": {"containers": []}}}},
            },
            "status": {
                "conditions": [
                    {"type": "Started", "status": started, "reason": reason, "message": "", "lastTransitionTime": time},
                    {"type": "Completed", "status": status, "reason": reason, "message": message, "lastTransitionTime": time},
                ],
                "startTime": time, "completionTime": ended,
                "runningCount": running, "succeededCount": succeeded, "failedCount": failed, "retriedCount": retried,
            },
        }))
        .unwrap()
    }

    fn plain(lines: &[String]) -> Vec<String> {
        lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    #[test]
    fn a_run_is_told_from_its_creation_to_its_end() {
        let steps = [
            execution("Unknown", "Pending", "", [0, 0, 0, 0]),
            execution("Unknown", "Running", "", [2, 0, 0, 0]),
            execution("Unknown", "Running", "", [2, 1, 0, 0]),
            execution("Unknown", "Running", "", [1, 1, 0, 1]),
            execution("True", "Succeeded", "", [0, 3, 0, 1]),
        ];
        let mut told = Vec::new();
        let mut before = None;
        for step in &steps {
            told.extend(changes(before, step));
            before = Some(step);
        }
        assert_eq!(
            plain(&told),
            [
                "resize-abc  created by trigger/orders for com.example.order 42 from /shop",
                "resize-abc  started 3 tasks",
                "resize-abc  2 running, 1 succeeded of 3 tasks",
                "resize-abc  1 running, 1 succeeded, 1 retried of 3 tasks",
                "resize-abc  Succeeded after 4s",
            ]
        );
    }

    #[test]
    fn a_look_without_a_change_tells_nothing() {
        for step in [
            execution("Unknown", "Running", "", [2, 1, 0, 0]),
            execution("False", "NonZeroExitCode", "task 1 exited with 3", [0, 2, 1, 0]),
        ] {
            assert_eq!(changes(Some(&step), &step), Vec::<String>::new());
        }
    }

    #[test]
    fn a_failure_says_why() {
        let now = execution("False", "NonZeroExitCode", "task 1 exited with 3\n", [0, 2, 1, 0]);
        let before = execution("Unknown", "Running", "", [1, 2, 0, 0]);
        assert_eq!(
            plain(&changes(Some(&before), &now)),
            ["resize-abc  NonZeroExitCode after 4s: task 1 exited with 3"]
        );
    }

    #[test]
    fn stopping_is_told() {
        let cancelling = execution("Unknown", "Cancelling", "", [1, 0, 0, 0]);
        let running = execution("Unknown", "Running", "", [1, 0, 0, 0]);
        assert_eq!(plain(&changes(Some(&running), &cancelling)), ["resize-abc  Cancelling"]);
        let cancelled = execution("False", "Cancelled", "on request", [0, 0, 0, 0]);
        assert_eq!(
            plain(&changes(Some(&cancelling), &cancelled)),
            ["resize-abc  Cancelled after 4s: on request"]
        );
    }

    #[test]
    fn a_run_without_a_status_is_pending() {
        let mut bare = execution("Unknown", "Pending", "", [0, 0, 0, 0]);
        bare.status = None;
        assert_eq!((state(&bare).as_str(), tasks(&bare).as_str()), ("Pending", "0/3"));
        assert_eq!(took(&bare, Timestamp::UNIX_EPOCH), None);
    }
}
