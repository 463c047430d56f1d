//! A run that repeats an earlier one: the same snapshot and the same event under an identity of its own.
//!
//! A `batch/v1` Job cannot run some of its indexes only. So each failed task becomes a run of one task, whose container is
//! told the index and the count of the first time: for it nothing is different.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::execution::Planned;
use super::identity::Identity;
use super::indexes::Indexes;
use super::phase::is_terminal;
use crate::api::{ANNOTATION_ACCEPTED, ANNOTATION_DECISION, Cause, CauseKind, Execution, Rerun, RerunTask};

/// Most tasks that are repeated one by one.
pub const MAX_RERUN_TASKS: usize = 100;

/// Why the failed tasks of a run are not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotRerun {
    /// More may fail.
    #[error("execution {0} has not ended yet")]
    NotEnded(String),
    /// There are none.
    #[error("no task of execution {0} failed; without --failed-tasks all of it is repeated")]
    NoneFailed(String),
    /// They would be as many runs.
    #[error(
        "{count} tasks of execution {execution} failed; at most {MAX_RERUN_TASKS} are repeated one by one"
    )]
    TooMany {
        /// Name of the run.
        execution: String,
        /// Its failed tasks.
        count: usize,
    },
    /// Its runs go with it.
    #[error("job {0}, which execution {1} is a run of, does not exist any more")]
    JobGone(String, String),
    /// Nobody knows any more which they were.
    #[error("of {count} failed tasks of execution {execution} only {known} are known by now")]
    Forgotten {
        /// Name of the run.
        execution: String,
        /// Its failed tasks.
        count: usize,
        /// Those whose index is known.
        known: usize,
    },
}

/// The run that repeats `old`, or one task of it. `nonce` tells this request from all others.
pub fn rerun(old: &Execution, task: Option<i32>, nonce: &str) -> Planned {
    let name = old.metadata.name.clone().unwrap_or_default();
    let uid = old.metadata.uid.clone().unwrap_or_default();
    let number = task.map(|index| index.to_string()).unwrap_or_default();
    let identity = Identity::rerun(&uid, nonce, &number);
    let mut spec = old.spec.clone();
    let task = task.map(|index| original(old, index));
    if task.is_some() {
        spec.template.spec.task_count = 1;
        spec.template.spec.parallelism = None;
    }
    // A task that was repeated alone is so when it is repeated again.
    let task = task.or_else(|| old.spec.cause.rerun_of.as_ref().and_then(|rerun| rerun.task));
    spec.cause = Cause { kind: CauseKind::Rerun, trigger: None, rerun_of: Some(Rerun { name, uid, task }) };
    spec.cancelled = false;
    let given = &old.metadata;
    let mut annotations = given.annotations.clone();
    if let Some(annotations) = &mut annotations {
        // How the first one came about, and where it stood in the queue.
        annotations.retain(|name, _| ![ANNOTATION_DECISION, ANNOTATION_ACCEPTED].contains(&name.as_str()));
    }
    let metadata = ObjectMeta {
        namespace: given.namespace.clone(),
        labels: given.labels.clone(),
        annotations,
        owner_references: given.owner_references.clone(),
        ..ObjectMeta::default()
    };
    let job = old.spec.job.name.clone();
    Planned::new(Execution { metadata, spec, status: None }, &identity, identity.short_names(&job).collect())
}

/// Indexes of the failed tasks of `old`, given its task set while there is one.
pub fn failed_tasks(old: &Execution, task_set: Option<&batchv1::Job>) -> Result<Vec<i32>, NotRerun> {
    let execution = || old.metadata.name.clone().unwrap_or_default();
    if !is_terminal(old) {
        return Err(NotRerun::NotEnded(execution()));
    }
    let status = old.status.clone().unwrap_or_default();
    let count = usize::try_from(status.failed_count).unwrap_or(0);
    if count == 0 {
        return Err(NotRerun::NoneFailed(execution()));
    }
    if count > MAX_RERUN_TASKS {
        return Err(NotRerun::TooMany { execution: execution(), count });
    }
    let of_set = task_set.and_then(|set| set.status.as_ref()?.failed_indexes.as_deref());
    let of_set: Vec<i32> = Indexes::parse(of_set).iter().take(MAX_RERUN_TASKS).collect();
    let kept: Vec<i32> = status.failed_tasks.iter().map(|task| task.index).collect();
    let known = if of_set.len() > kept.len() { of_set } else { kept };
    if known.len() < count {
        return Err(NotRerun::Forgotten { execution: execution(), count, known: known.len() });
    }
    Ok(known)
}

/// What a task of `execution` is called: where one task of an earlier run is repeated alone, what it was called there.
pub fn shown(execution: &Execution, index: i32) -> i32 {
    alone(execution).filter(|_| index == 0).map_or(index, |task| task.index)
}

/// The task that `execution` repeats alone, if it does.
pub fn alone(execution: &Execution) -> Option<RerunTask> {
    let one = execution.spec.template.spec.task_count == 1;
    execution.spec.cause.rerun_of.as_ref().filter(|_| one)?.task
}

fn original(old: &Execution, index: i32) -> RerunTask {
    alone(old).unwrap_or(RerunTask { index, count: old.spec.template.spec.task_count })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(status: Value) -> Execution {
        let mut run: Value = serde_saphyr::from_str(
            "
metadata:
  name: ship-abc
  namespace: shop
  uid: u1
  labels: {run.kakehi.dev/job: ship, run.kakehi.dev/execution: ship-abc}
  annotations: {run.kakehi.dev/digest: old, run.kakehi.dev/accepted: then, run.kakehi.dev/decision: '{}', team: a}
  ownerReferences: [{apiVersion: run.kakehi.dev/v1alpha1, kind: Job, name: ship, uid: j1}]
spec:
  job: {name: ship, uid: j1, generation: 3}
  cause: {type: Trigger, trigger: orders}
  events: [{id: '1', source: /s, type: order}]
  parameters: [{name: ORDER, value: '42'}]
  cancelled: true
  template: {spec: {taskCount: 8, parallelism: 2, template: {spec: {containers: [{image: i}]}}}}
",
        )
        .unwrap();
        run["status"] = status;
        serde_json::from_value(run).unwrap()
    }

    fn ended(failed: i32, indexes: &[i32]) -> Execution {
        let tasks: Vec<Value> = indexes.iter().map(|index| json!({"index": index, "attempts": 1})).collect();
        run(json!({"failedCount": failed, "failedTasks": tasks, "conditions": [
            {"type": "Completed", "status": "False", "reason": "NonZeroExitCode", "message": "", "lastTransitionTime": "2026-01-01T10:00:09Z"},
        ]}))
    }

    fn set(failed: &str) -> batchv1::Job {
        serde_json::from_value(json!({"metadata": {}, "status": {"failedIndexes": failed}})).unwrap()
    }

    #[test]
    fn a_rerun_has_the_snapshot_the_event_and_an_identity_of_its_own() {
        let old = ended(0, &[]);
        let planned = rerun(&old, None, "nonce");
        let new = planned.named("ship-xyz");
        assert_eq!(new.spec.events, old.spec.events);
        assert_eq!((&new.spec.template, &new.spec.parameters), (&old.spec.template, &old.spec.parameters));
        assert_eq!(new.spec.job, old.spec.job);
        assert!(!new.spec.cancelled && new.status.is_none() && new.metadata.uid.is_none());
        let rerun_of = Some(Rerun { name: "ship-abc".into(), uid: "u1".into(), task: None });
        assert_eq!(new.spec.cause, Cause { kind: CauseKind::Rerun, trigger: None, rerun_of });
        assert_eq!(new.metadata.owner_references, old.metadata.owner_references);
        assert_eq!(new.metadata.labels.as_ref().unwrap()["run.kakehi.dev/execution"], "ship-xyz");
        let annotations: Vec<&String> = new.metadata.annotations.as_ref().unwrap().keys().collect();
        assert_eq!(annotations, ["run.kakehi.dev/digest", "team"]);
        assert_ne!(planned.digest(), Some("old"));
        assert!(planned.names()[0].starts_with("ship-") && planned.names()[0].len() == "ship-12345".len());
    }

    #[test]
    fn each_request_is_a_run_of_its_own_and_the_same_request_is_the_same_run() {
        let old = ended(2, &[3, 7]);
        let digest = |task, nonce| rerun(&old, task, nonce).digest().map(str::to_owned);
        assert_eq!(digest(None, "a"), digest(None, "a"));
        assert_ne!(digest(None, "a"), digest(None, "b"));
        assert_ne!(digest(Some(3), "a"), digest(Some(7), "a"));
        assert_ne!(digest(Some(3), "a"), digest(None, "a"));
    }

    #[test]
    fn a_task_that_is_repeated_alone_is_what_it_was() {
        let first = rerun(&ended(1, &[5]), Some(5), "n").named("ship-one");
        assert_eq!((first.spec.template.spec.task_count, first.spec.template.spec.parallelism), (1, None));
        assert_eq!(alone(&first), Some(RerunTask { index: 5, count: 8 }));
        assert_eq!((shown(&first, 0), shown(&ended(0, &[]), 0)), (5, 0));
        // And when that fails and is repeated in turn, either way.
        for task in [None, Some(0)] {
            let again = rerun(&first, task, "m").named("ship-two");
            assert_eq!(alone(&again), Some(RerunTask { index: 5, count: 8 }), "{task:?}");
        }
    }

    #[test]
    fn the_failed_tasks_are_known_from_the_task_set_or_the_record() {
        assert_eq!(failed_tasks(&ended(2, &[3, 7]), None), Ok(vec![3, 7]));
        assert_eq!(failed_tasks(&ended(3, &[3]), Some(&set("3,6-7"))), Ok(vec![3, 6, 7]));
        let words = |old: &Execution| failed_tasks(old, None).unwrap_err().to_string();
        assert_eq!(words(&run(json!({}))), "execution ship-abc has not ended yet");
        assert!(words(&ended(0, &[])).starts_with("no task of execution ship-abc failed"));
        assert_eq!(words(&ended(3, &[1])), "of 3 failed tasks of execution ship-abc only 1 are known by now");
        assert!(words(&ended(101, &[1])).starts_with("101 tasks of execution ship-abc failed; at most 100"));
    }
}
