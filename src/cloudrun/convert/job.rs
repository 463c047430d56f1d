//! Jobs.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;

use super::Refusals;
use super::condition::{condition, unwritten};
use super::metadata;
use super::template::{read_template, template};
use super::time;
use crate::api::{CONDITION_READY, ExecutionReference, Job, JobSpec, JobStatus};
use crate::cloudrun::fault::{Fault, snake};
use crate::cloudrun::messages::api::LaunchStage;
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::execution_reference::CompletionStatus;
use crate::cloudrun::messages::v2::job::CreateExecution;
use crate::cloudrun::names::{JobName, Place};
use crate::plan::Phase;

/// Annotation of the v1 API: who made the object, as the client calls itself.
const CLIENT: &str = "run.googleapis.com/client-name";
/// Annotation of the v1 API: its version.
const CLIENT_VERSION: &str = "run.googleapis.com/client-version";
/// Annotation of the v1 API: who made the object.
pub(in crate::cloudrun) const CREATOR: &str = "run.googleapis.com/creator";
/// Annotation of the v1 API: who changed it last.
pub(in crate::cloudrun) const LAST_MODIFIER: &str = "run.googleapis.com/lastModifier";
/// Annotation of the v1 API: the stage of what the client may use.
const LAUNCH_STAGE: &str = "run.googleapis.com/launch-stage";

/// What tells one version of an object from another. It follows the spec, not the status: a run that is counted must not
/// come between somebody's read and write.
pub(in crate::cloudrun) fn etag(metadata: &ObjectMeta) -> String {
    let uid = metadata.uid.as_deref().unwrap_or_default();
    format!("\"{uid}-{}\"", metadata.generation.unwrap_or_default())
}

/// The Job that a client sees; `latest` says where its last run stands, and `deleted` when it was deleted, if it was.
pub(in crate::cloudrun) fn job(
    job: &Job,
    place: &Place,
    latest: Option<Phase>,
    deleted: Option<Timestamp>,
) -> v2::Job {
    let JobSpec {
        history: _,
        suspend: _,
        concurrency: _,
        event: _,
        completion: _,
        parameters: _,
        template: given_template,
    } = &job.spec;
    let JobStatus {
        observed_generation,
        conditions,
        address: _,
        execution_count,
        latest_created_execution,
        running_count: _,
        queued_count: _,
    } = job.status.clone().unwrap_or_default();
    let given = &job.metadata;
    let said =
        |key: &str| given.annotations.as_ref().and_then(|all| all.get(key)).cloned().unwrap_or_default();
    let created = given.creation_timestamp.as_ref().map(|time| time.0);
    let written = conditions.iter().find(|one| one.type_ == CONDITION_READY);
    let ready = written.map_or_else(|| unwritten(CONDITION_READY), |one| condition(one, given.generation));
    v2::Job {
        name: place.job(given.name.as_deref().unwrap_or_default()).to_string(),
        uid: given.uid.clone().unwrap_or_default(),
        generation: given.generation.unwrap_or_default(),
        labels: metadata::shown(given.labels.as_ref()),
        annotations: metadata::shown(given.annotations.as_ref()),
        create_time: created.map(time::timestamp),
        update_time: deleted.max(changed(given)).max(created).map(time::timestamp),
        delete_time: deleted.map(time::timestamp),
        expire_time: None,
        creator: said(CREATOR),
        last_modifier: said(LAST_MODIFIER),
        client: said(CLIENT),
        client_version: said(CLIENT_VERSION),
        launch_stage: LaunchStage::from_str_name(&said(LAUNCH_STAGE)).unwrap_or(LaunchStage::Ga).into(),
        binary_authorization: None,
        template: Some(template(given_template)),
        observed_generation: observed_generation.unwrap_or_default(),
        terminal_condition: Some(ready),
        conditions: Vec::new(),
        execution_count: i32::try_from(execution_count).unwrap_or(i32::MAX),
        latest_created_execution: latest_created_execution.map(|run| reference(run, latest)),
        reconciling: !is_observed(job),
        satisfies_pzs: false,
        etag: etag(given),
        create_execution: None,
    }
}

/// Whether our controllers have seen the Job as it is.
pub(in crate::cloudrun) fn is_observed(job: &Job) -> bool {
    let observed = job.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed >= job.metadata.generation
}

/// When the object itself, not its status, was last written.
pub(in crate::cloudrun) fn changed(metadata: &ObjectMeta) -> Option<Timestamp> {
    let writes = metadata.managed_fields.iter().flatten().filter(|entry| entry.subresource.is_none());
    writes.filter_map(|entry| entry.time.as_ref()).map(|time| time.0).max()
}

fn reference(run: ExecutionReference, phase: Option<Phase>) -> v2::ExecutionReference {
    let ExecutionReference { name, creation_timestamp, completion_timestamp } = run;
    let status = match phase {
        Some(Phase::Pending | Phase::Queued | Phase::Starting) => CompletionStatus::ExecutionPending,
        Some(Phase::Running | Phase::Cancelling) => CompletionStatus::ExecutionRunning,
        Some(Phase::Succeeded) => CompletionStatus::ExecutionSucceeded,
        Some(Phase::Failed) => CompletionStatus::ExecutionFailed,
        Some(Phase::Cancelled) => CompletionStatus::ExecutionCancelled,
        None => CompletionStatus::Unspecified,
    };
    v2::ExecutionReference {
        name,
        create_time: time::of(creation_timestamp.as_ref()),
        completion_time: time::of(completion_timestamp.as_ref()),
        delete_time: None,
        completion_status: status.into(),
    }
}

/// The Job that a client sent, on top of the one that is stored.
pub(in crate::cloudrun) fn read_job(
    message: v2::Job,
    name: &JobName,
    old: Option<&Job>,
) -> Result<Job, Fault> {
    let v2::Job {
        // Whoever calls has read it.
        name: _,
        labels,
        annotations,
        client,
        client_version,
        launch_stage,
        binary_authorization,
        template,
        create_execution,
        // The caller compares it.
        etag: _,
        // The server's words from here on.
        uid: _,
        generation: _,
        create_time: _,
        update_time: _,
        delete_time: _,
        expire_time: _,
        creator: _,
        last_modifier: _,
        observed_generation: _,
        terminal_condition: _,
        conditions: _,
        execution_count: _,
        latest_created_execution: _,
        reconciling: _,
        satisfies_pzs: _,
    } = message;
    let mut refusals = Refusals::default();
    let given = old.map(|old| old.metadata.clone()).unwrap_or_default();
    let labels = metadata::read("labels", labels, given.labels.as_ref(), &mut refusals);
    let mut annotations =
        metadata::read("annotations", annotations, given.annotations.as_ref(), &mut refusals);
    say(&mut annotations, CLIENT, &client);
    say(&mut annotations, CLIENT_VERSION, &client_version);
    say(&mut annotations, LAUNCH_STAGE, stage(launch_stage, &mut refusals));
    refusals.unless_unset(
        "binary_authorization",
        &binary_authorization.unwrap_or_default(),
        "images are not attested here; an admission policy of the cluster can do that",
    );
    if let Some(token) = create_execution {
        let field = match token {
            CreateExecution::StartExecutionToken(_) => "start_execution_token",
            CreateExecution::RunExecutionToken(_) => "run_execution_token",
        };
        refusals.add(field, "a job is not run by writing it; run it once it is there");
    }
    if template.is_none() {
        refusals.add("template", "is needed");
    }
    let spec = old.map(|old| old.spec.clone()).unwrap_or_default();
    let read = read_template(template.unwrap_or_default(), old.map(|old| &old.spec.template), &mut refusals);
    refusals.pass(Job {
        metadata: ObjectMeta {
            name: Some(name.job.clone()),
            namespace: Some(name.place.project.clone()),
            labels: metadata::some(labels),
            annotations: metadata::some(annotations),
            ..given
        },
        spec: JobSpec { template: read, ..spec },
        status: old.and_then(|old| old.status.clone()),
    })
}

/// The path of a field of the stored Job in the words of the message: what the API server refuses, it calls by that.
pub(in crate::cloudrun) fn of_stored(path: &str) -> String {
    const PLACES: [(&str, &str); 4] = [
        ("spec.template.spec.template.spec", "template.template"),
        ("spec.template.spec", "template"),
        ("spec.template.metadata", "template"),
        ("metadata", ""),
    ];
    let found = PLACES.iter().find_map(|(stored, shown)| {
        let rest = path.strip_prefix(stored)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{shown}{rest}"))
    });
    match snake(found.as_deref().unwrap_or(path).trim_start_matches('.')).as_str() {
        "template.template.service_account_name" => "template.template.service_account".to_owned(),
        "template.template.timeout_seconds" => "template.template.timeout".to_owned(),
        path => path.to_owned(),
    }
}

/// What is said in an annotation; nothing, if nothing is said.
fn say(annotations: &mut BTreeMap<String, String>, key: &str, value: &str) {
    if value.is_empty() {
        annotations.remove(key);
    } else {
        annotations.insert(key.to_owned(), value.to_owned());
    }
}

/// The stage that a client asks for, in v1's words. Nothing here depends on it.
fn stage(stage: i32, refusals: &mut Refusals) -> &'static str {
    match LaunchStage::try_from(stage) {
        Ok(LaunchStage::Unspecified) => "",
        Ok(stage @ (LaunchStage::Ga | LaunchStage::Beta | LaunchStage::Alpha)) => stage.as_str_name(),
        Ok(_) | Err(_) => {
            refusals.add("launch_stage", "must be ALPHA, BETA or GA");
            ""
        }
    }
}
