//! How far a run is: counts, the record of failed tasks and the result, from its task set and its Pods.
//!
//! The task set knows which indexes are done; only the Pods know how they ended, and Pods go away. So what a Pod said
//! is kept in the status as soon as it is seen, and what was kept is never dropped.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::attempt::Attempt;
use super::indexes::Indexes;
use crate::api::{Execution, ExecutionStatus, TaskOutcome};

/// Failed tasks whose end is kept in the status: with 300 characters of last words each, some 30 KiB.
pub const MAX_FAILED_TASKS: usize = 50;
/// Longest result, in bytes: Kubernetes' own bound on a termination message.
const MAX_RESULT: usize = 4096;

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Progress {
    /// Tasks of the run.
    pub(super) total: i32,
    pub(super) running: i32,
    pub(super) succeeded: i32,
    pub(super) failed: i32,
    pub(super) retried: i32,
    /// When the first container started.
    pub(super) started: Option<Time>,
    /// Whether any container got as far as running.
    pub(super) has_run: bool,
    pub(super) result: Option<String>,
    pub(super) failed_tasks: Vec<TaskOutcome>,
    /// Whether a task that is done is missing from what the Pods said.
    pub(super) incomplete: bool,
}

impl Progress {
    /// Reads the task set and its Pods on top of what `execution` remembers.
    pub(super) fn of(execution: &Execution, task_set: &batchv1::Job, attempts: &[Attempt<'_>]) -> Self {
        let kept = execution.status.clone().unwrap_or_default();
        let status = task_set.status.as_ref();
        let completed = Indexes::parse(status.and_then(|status| status.completed_indexes.as_deref()));
        let failed = Indexes::parse(status.and_then(|status| status.failed_indexes.as_deref()));
        let total = execution.spec.template.spec.task_count;
        // What was told once is not taken back, even if an older task set is read.
        let succeeded = completed.count().max(kept.succeeded_count).min(total);
        let failures = failed.count().max(kept.failed_count).min(total - succeeded);
        let result = result(attempts).or(kept.result.clone());
        let known = failed_tasks(execution, &kept, &failed, attempts);
        let incomplete =
            known.missing || (completed.contains(0) && result.is_none() && !task_0_is_seen(attempts));
        Self {
            total,
            running: running(&completed, &failed, attempts).min(total - succeeded - failures),
            succeeded,
            failed: failures,
            retried: retried(attempts).max(kept.retried_count).min(total),
            started: kept.start_time.clone().or_else(|| first_start(attempts)),
            has_run: attempts.iter().any(|attempt| attempt.has_run()),
            result,
            failed_tasks: known.tasks,
            incomplete,
        }
    }

    /// Tasks that have ended one way or the other.
    pub(super) fn done(&self) -> i32 {
        self.succeeded + self.failed
    }

    /// Writes what was found into a status.
    pub(super) fn record(&self, status: &mut ExecutionStatus) {
        let Self {
            total: _,
            running,
            succeeded,
            failed,
            retried,
            started,
            has_run: _,
            result,
            failed_tasks,
            incomplete: _,
        } = self;
        status.running_count = *running;
        status.succeeded_count = *succeeded;
        status.failed_count = *failed;
        status.retried_count = *retried;
        status.start_time.clone_from(started);
        status.result.clone_from(result);
        status.failed_tasks.clone_from(failed_tasks);
    }
}

/// Tasks with a running container. An index whose end is counted already is none of them: the two travel separately.
fn running(completed: &Indexes, failed: &Indexes, attempts: &[Attempt<'_>]) -> i32 {
    let running =
        attempts.iter().filter(|attempt| attempt.is_running()).filter_map(|attempt| attempt.index());
    let open: BTreeSet<i32> =
        running.filter(|index| !completed.contains(*index) && !failed.contains(*index)).collect();
    count(open.len())
}

/// Tasks with an attempt after the first.
fn retried(attempts: &[Attempt<'_>]) -> i32 {
    let later = attempts.iter().filter(|attempt| attempt.number() > 0).filter_map(|attempt| attempt.index());
    count(later.collect::<BTreeSet<i32>>().len())
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn first_start(attempts: &[Attempt<'_>]) -> Option<Time> {
    attempts.iter().filter_map(|attempt| attempt.started()).min_by_key(|time| time.0).cloned()
}

fn task_0_is_seen(attempts: &[Attempt<'_>]) -> bool {
    attempts.iter().any(|attempt| attempt.index() == Some(0) && attempt.succeeded())
}

fn result(attempts: &[Attempt<'_>]) -> Option<String> {
    let mut ends = attempts.iter().filter(|attempt| attempt.index() == Some(0) && attempt.succeeded());
    let message = ends.find_map(|attempt| attempt.message())?;
    let end = (0..=MAX_RESULT.min(message.len())).rev().find(|end| message.is_char_boundary(*end))?;
    message.get(..end).map(str::to_owned)
}

/// Whether a Pod told that, or it only stands for a task of whose end nothing is known.
fn is_told(outcome: &TaskOutcome) -> bool {
    outcome.exit_code.is_some() || outcome.reason.is_some()
}

struct FailedTasks {
    tasks: Vec<TaskOutcome>,
    /// Whether no Pod told how one of them ended.
    missing: bool,
}

/// How the failed tasks ended: what was kept, and what the Pods say.
fn failed_tasks(
    execution: &Execution,
    kept: &ExecutionStatus,
    failed: &Indexes,
    attempts: &[Attempt<'_>],
) -> FailedTasks {
    let mut known: BTreeMap<i32, TaskOutcome> = kept
        .failed_tasks
        .iter()
        .filter(|outcome| is_told(outcome))
        .map(|outcome| (outcome.index, outcome.clone()))
        .collect();
    for attempt in attempts.iter().filter(|attempt| attempt.failed() && !attempt.disrupted()) {
        let Some(index) = attempt.index().filter(|index| failed.contains(*index)) else { continue };
        if known.get(&index).is_none_or(|outcome| outcome.attempts <= attempt.number()) {
            known.insert(index, attempt.outcome());
        }
    }
    let mut missing = false;
    let tasks = failed.iter().take(MAX_FAILED_TASKS).map(|index| {
        known.remove(&index).unwrap_or_else(|| {
            missing = true;
            let attempts = execution.spec.template.spec.template.spec.max_retries + 1;
            TaskOutcome { index, attempts, ..TaskOutcome::default() }
        })
    });
    FailedTasks { tasks: tasks.collect(), missing }
}
