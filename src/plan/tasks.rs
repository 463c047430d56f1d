//! The tasks of a run, one by one. No object stands for a task: what is known of it is in the task set, in its Pods while
//! there are any, and in what the Execution keeps of its failures.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::attempt::Attempt;
use super::indexes::Indexes;
use super::phase::{Phase, phase};
use super::rerun::shown;
use crate::api::{Execution, TaskOutcome};

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskState {
    /// Not started, or between two attempts.
    Pending,
    /// Its container runs.
    Running,
    /// It succeeded.
    Succeeded,
    /// It used up its attempts.
    Failed,
    /// It was stopped.
    Cancelled,
    /// Its run ended before it was started.
    Abandoned,
}

impl TaskState {
    /// Whether nothing can follow.
    pub fn is_terminal(self) -> bool {
        match self {
            TaskState::Pending | TaskState::Running => false,
            TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled | TaskState::Abandoned => true,
        }
    }
}

/// One task of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its index.
    pub index: i32,
    /// Its index where it was run first, if it is repeated alone; else the same.
    pub shown: i32,
    /// Where it stands.
    pub state: TaskState,
    /// Times that it was tried again.
    pub retried: i32,
    /// When the first Pod that is known of it was made.
    pub created: Option<Time>,
    /// When the first attempt that is known of it started.
    pub started: Option<Time>,
    /// When it ended, if it has and is known.
    pub completed: Option<Time>,
    /// How its last attempt ended, if one has and is known.
    pub last: Option<TaskOutcome>,
    /// What it said when it succeeded: its termination message, while its Pod is there.
    pub result: Option<String>,
}

/// The tasks of `execution` with those indexes, given its task set and its Pods.
pub fn tasks(
    execution: &Execution,
    task_set: Option<&batchv1::Job>,
    pods: &[Pod],
    indexes: impl Iterator<Item = i32>,
) -> Vec<Task> {
    let status = task_set.and_then(|task_set| task_set.status.as_ref());
    let known = Known {
        phase: phase(execution),
        completed: Indexes::parse(status.and_then(|status| status.completed_indexes.as_deref())),
        failed: Indexes::parse(status.and_then(|status| status.failed_indexes.as_deref())),
    };
    let mut attempts: BTreeMap<i32, Vec<Attempt<'_>>> = BTreeMap::new();
    for attempt in pods.iter().map(Attempt::of) {
        if let Some(index) = attempt.index() {
            attempts.entry(index).or_default().push(attempt);
        }
    }
    for of_task in attempts.values_mut() {
        of_task.sort_by_key(|attempt| attempt.number());
    }
    let kept = execution.status.iter().flat_map(|status| &status.failed_tasks);
    let kept: BTreeMap<i32, &TaskOutcome> = kept.map(|outcome| (outcome.index, outcome)).collect();
    let total = execution.spec.template.spec.task_count;
    indexes
        .filter(|index| (0..total).contains(index))
        .map(|index| {
            let attempts = attempts.get(&index).map_or(&[][..], Vec::as_slice);
            Task { shown: shown(execution, index), ..known.task(index, attempts, kept.get(&index).copied()) }
        })
        .collect()
}

/// What is known of all tasks of a run.
struct Known {
    phase: Phase,
    completed: Indexes,
    failed: Indexes,
}

impl Known {
    fn task(&self, index: i32, attempts: &[Attempt<'_>], kept: Option<&TaskOutcome>) -> Task {
        let state = self.state(index, attempts, kept);
        let seen = attempts.iter().rev().find(|attempt| attempt.has_ended()).map(|attempt| attempt.outcome());
        let last = match (seen, kept) {
            (Some(seen), Some(kept)) if kept.attempts > seen.attempts => Some(kept.clone()),
            (Some(seen), _) => Some(seen),
            (None, kept) => kept.cloned(),
        };
        let started = attempts.iter().find_map(|attempt| attempt.started()).cloned();
        let again = attempts.last().map_or(0, |attempt| attempt.number());
        let completed = last.as_ref().and_then(|last| last.finished_at.clone());
        Task {
            index,
            shown: index,
            state,
            retried: last.as_ref().map_or(0, |last| last.attempts - 1).max(again),
            created: attempts.first().and_then(|attempt| attempt.created()).cloned(),
            started: started.or_else(|| last.as_ref().and_then(|last| last.started_at.clone())),
            completed: completed.filter(|_| state.is_terminal()),
            last,
            result: attempts
                .iter()
                .find(|attempt| attempt.succeeded())
                .and_then(|one| one.message())
                .map(str::to_owned),
        }
    }

    fn state(&self, index: i32, attempts: &[Attempt<'_>], kept: Option<&TaskOutcome>) -> TaskState {
        if self.completed.contains(index) || self.phase == Phase::Succeeded {
            return TaskState::Succeeded;
        }
        if self.failed.contains(index) || kept.is_some() {
            return TaskState::Failed;
        }
        if !self.phase.is_terminal() {
            let runs = attempts.iter().any(|attempt| attempt.is_running());
            return if runs { TaskState::Running } else { TaskState::Pending };
        }
        let has_run = attempts.iter().any(|attempt| attempt.has_run());
        if has_run || self.phase == Phase::Cancelled { TaskState::Cancelled } else { TaskState::Abandoned }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::TaskState::{Abandoned, Cancelled, Failed, Pending, Running, Succeeded};
    use super::*;

    fn execution(completed: Option<(&str, &str)>, status: Value) -> Execution {
        let spec = json!({
            "job": {"name": "r", "uid": "j", "generation": 1}, "cause": {"type": "Manual"},
            "template": {"spec": {"taskCount": 4, "template": {"spec": {"containers": []}}}},
        });
        let mut status = status;
        if let Some((value, reason)) = completed {
            status["conditions"] = json!([{
                "type": "Completed", "status": value, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]);
        }
        let object = json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution", "metadata": {"name": "r-1"},
            "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn task_set(completed: &str, failed: &str) -> batchv1::Job {
        serde_json::from_value(json!({"status": {"completedIndexes": completed, "failedIndexes": failed}}))
            .unwrap()
    }

    fn pod(index: i32, failures: i32, phase: &str, state: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "annotations": {
                "batch.kubernetes.io/job-completion-index": index.to_string(),
                "batch.kubernetes.io/job-index-failure-count": failures.to_string(),
            }},
            "spec": {"containers": [{"name": "main"}]},
            "status": {"phase": phase, "containerStatuses": [
                {"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state},
            ]},
        }))
        .unwrap()
    }

    fn ended(code: i32) -> Value {
        json!({"terminated": {
            "exitCode": code, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:05Z",
        }})
    }

    fn states(found: &[Task]) -> Vec<TaskState> {
        found.iter().map(|task| task.state).collect()
    }

    #[test]
    fn each_task_of_a_run_that_goes_on_has_its_own_state() {
        let run = execution(Some(("Unknown", "Running")), json!({}));
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let pods = [
            pod(0, 0, "Succeeded", &ended(0)),
            pod(1, 0, "Failed", &ended(3)),
            pod(1, 1, "Running", &running),
            pod(2, 0, "Failed", &ended(7)),
        ];
        let found = tasks(&run, Some(&task_set("0", "")), &pods, 0..9);
        assert_eq!(states(&found), [Succeeded, Running, Pending, Pending]);
        let code = |task: &Task| task.last.as_ref().and_then(|last| last.exit_code);
        assert_eq!(found.iter().map(code).collect::<Vec<_>>(), [Some(0), Some(3), Some(7), None]);
        assert_eq!(found.iter().map(|task| task.retried).collect::<Vec<_>>(), [0, 1, 0, 0]);
        assert!(found[0].completed.is_some() && found[1].completed.is_none());
        assert!(found[1].started.is_some() && found[3].started.is_none());
    }

    #[test]
    fn a_task_that_never_came_to_start_is_told_from_one_that_was_stopped() {
        let kept = json!({"failedTasks": [{"index": 1, "attempts": 4, "exitCode": 9}]});
        let failed = execution(Some(("False", "NonZeroExitCode")), kept);
        let pods = [pod(2, 0, "Failed", &ended(143))];
        let found = tasks(&failed, Some(&task_set("0", "1")), &pods, 0..4);
        assert_eq!(states(&found), [Succeeded, Failed, Cancelled, Abandoned]);
        assert_eq!((found[1].retried, found[1].last.as_ref().unwrap().exit_code), (3, Some(9)));
        let cancelled = execution(Some(("False", "Cancelled")), json!({}));
        assert_eq!(states(&tasks(&cancelled, Some(&task_set("0", "")), &[], 0..2)), [Succeeded, Cancelled]);
    }

    #[test]
    fn what_the_run_says_stands_when_its_task_set_is_gone() {
        let found = tasks(&execution(Some(("True", "Succeeded")), json!({})), None, &[], 3..4);
        assert_eq!(states(&found), [TaskState::Succeeded]);
        assert_eq!(found[0].index, 3);
    }
}
