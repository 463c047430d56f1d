//! Executions. They are read only: a run is asked for, not written.

use k8s_openapi::jiff::Timestamp;

use super::condition::{condition, unwritten};
use super::job::etag;
use super::metadata;
use super::template::task_template;
use super::time;
use crate::api::{
    CONDITION_COMPLETED, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED, Execution, ExecutionSpec,
    ExecutionStatus, ExecutionTemplate, ExecutionTemplateSpec,
};
use crate::cloudrun::messages::api::LaunchStage;
use crate::cloudrun::messages::v2;
use crate::cloudrun::names::Place;
use crate::plan::is_terminal;

/// The run that a client sees; `deleted` says when it was deleted, if it was, and `log_uri` where its page is.
pub(in crate::cloudrun) fn execution(
    execution: &Execution,
    place: &Place,
    deleted: Option<Timestamp>,
    log_uri: String,
) -> v2::Execution {
    let ExecutionSpec {
        job,
        cause: _,
        events: _,
        parameters: _,
        overrides: _,
        completion: _,
        concurrency_key: _,
        template,
        parallelism: at_once,
        cancelled: _,
    } = &execution.spec;
    let ExecutionTemplate { metadata: _, spec } = template;
    let ExecutionTemplateSpec { parallelism, task_count, start_deadline_seconds: _, template } = spec;
    let ExecutionStatus {
        observed_generation,
        conditions,
        start_time,
        completion_time,
        running_count,
        succeeded_count,
        failed_count,
        cancelled_count,
        retried_count,
        result: _,
        failed_tasks: _,
        completion: _,
    } = execution.status.clone().unwrap_or_default();
    let given = &execution.metadata;
    let changed = conditions.iter().map(|one| one.last_transition_time.0).max();
    let created = given.creation_timestamp.as_ref().map(|time| time.0);
    let kinds = [CONDITION_COMPLETED, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED];
    let shown = kinds.map(|kind| {
        let written = conditions.iter().find(|one| one.type_ == kind);
        // A run's spec changes only when it is cancelled; what was decided before stays decided.
        written.map_or_else(|| unwritten(kind), |one| condition(one, None))
    });
    v2::Execution {
        name: place.job(&job.name).execution(given.name.as_deref().unwrap_or_default()).to_string(),
        uid: given.uid.clone().unwrap_or_default(),
        creator: String::new(),
        generation: given.generation.unwrap_or_default(),
        labels: metadata::shown(given.labels.as_ref()),
        annotations: metadata::shown(given.annotations.as_ref()),
        create_time: created.map(time::timestamp),
        start_time: time::of(start_time.as_ref()),
        completion_time: time::of(completion_time.as_ref()),
        update_time: deleted.max(changed).max(created).map(time::timestamp),
        delete_time: deleted.map(time::timestamp),
        expire_time: None,
        launch_stage: LaunchStage::Ga.into(),
        job: job.name.clone(),
        parallelism: at_once.or(*parallelism).unwrap_or(0),
        task_count: *task_count,
        template: Some(task_template(&template.spec)),
        reconciling: !is_terminal(execution),
        conditions: shown.to_vec(),
        observed_generation: observed_generation.unwrap_or_default(),
        running_count,
        succeeded_count,
        failed_count,
        cancelled_count,
        retried_count,
        log_uri,
        satisfies_pzs: false,
        etag: etag(given),
    }
}
