//! Our objects as the v1 API shows them. Pure.
//!
//! Cloud Run's own labels are made here and never stored: their values change with time, and some are no value of a label
//! to Kubernetes. What a client sends back of them is dropped by [`super::read`].

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::labels::{self, JOB, LAST_UPDATED, LOCATION, SERVING_STATE};
use super::shape::{
    API_VERSION, Condition, Container, Execution, ExecutionReference, ExecutionSpec, ExecutionStatus,
    ExecutionTemplate, Job, JobSpec, JobStatus, Metadata, Rest, TaskSpec, TaskTemplate, TemplateMetadata,
};
use crate::api::{
    self, CONDITION_COMPLETED, CONDITION_READY, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED,
};
use crate::cloudrun::convert;
use crate::plan::{is_terminal, plain};

/// The Job that a client in that location sees.
pub(super) fn job(job: &api::Job, location: &str) -> Job {
    let api::JobSpec {
        history: _,
        suspend: _,
        concurrency: _,
        event: _,
        completion: _,
        parameters: _,
        template,
    } = &job.spec;
    let api::JobStatus {
        observed_generation,
        conditions,
        address: _,
        execution_count,
        latest_created_execution,
        running_count: _,
        queued_count: _,
    } = job.status.clone().unwrap_or_default();
    let mut metadata = metadata(&job.metadata, "jobs", location);
    let created = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if let Some(changed) = convert::changed(&job.metadata).max(created) {
        metadata.labels.insert(LAST_UPDATED.to_owned(), changed.to_string());
    }
    Job {
        api_version: API_VERSION.to_owned(),
        kind: "Job".to_owned(),
        metadata,
        spec: JobSpec { template: execution_template(template), rest: Rest::new() },
        status: JobStatus {
            observed_generation,
            conditions: shown(&conditions, &[CONDITION_READY]),
            execution_count,
            latest_created_execution: latest_created_execution.map(reference),
        },
    }
}

fn reference(run: api::ExecutionReference) -> ExecutionReference {
    let api::ExecutionReference { name, creation_timestamp, completion_timestamp } = run;
    ExecutionReference { name, creation_timestamp, completion_timestamp }
}

/// The run that a client in that location sees; `log_uri` says where its page is.
pub(super) fn execution(execution: &api::Execution, location: &str, log_uri: String) -> Execution {
    let api::ExecutionSpec {
        job,
        cause: _,
        events: _,
        parameters: _,
        concurrency_key: _,
        overrides: _,
        completion: _,
        template,
        parallelism,
        cancelled: _,
    } = &execution.spec;
    let api::ExecutionStatus {
        observed_generation: _,
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
    let mut metadata = metadata(&execution.metadata, "executions", location);
    metadata.labels.insert(JOB.to_owned(), job.name.clone());
    if !is_terminal(execution) {
        metadata.labels.insert(SERVING_STATE.to_owned(), "Active".to_owned());
    }
    let kinds = [CONDITION_COMPLETED, CONDITION_RESOURCES_AVAILABLE, CONDITION_STARTED];
    Execution {
        api_version: API_VERSION.to_owned(),
        kind: "Execution".to_owned(),
        metadata,
        spec: ExecutionSpec {
            parallelism: parallelism.or(template.spec.parallelism),
            ..execution_spec(&template.spec)
        },
        status: ExecutionStatus {
            // A run's spec changes only when it is cancelled, and what was decided before stays decided. A client that
            // waits would take a difference for an answer that is not there yet.
            observed_generation: None,
            conditions: shown(&conditions, &kinds),
            start_time,
            completion_time,
            running_count,
            succeeded_count,
            failed_count,
            cancelled_count,
            retried_count,
            log_uri,
        },
    }
}

pub(super) fn metadata(given: &ObjectMeta, plural: &str, location: &str) -> Metadata {
    let name = given.name.clone().unwrap_or_default();
    let namespace = given.namespace.clone().unwrap_or_default();
    let mut labels = labels::shown(given.labels.as_ref());
    labels.insert(LOCATION.to_owned(), location.to_owned());
    Metadata {
        self_link: format!("/apis/{API_VERSION}/namespaces/{namespace}/{plural}/{name}"),
        name,
        namespace,
        resource_version: version(given),
        labels,
        annotations: labels::shown_annotations(given.annotations.as_ref()),
        uid: given.uid.clone().unwrap_or_default(),
        generation: given.generation.unwrap_or_default(),
        creation_timestamp: given.creation_timestamp.clone(),
    }
}

/// What a client sends back with what it read, so that nobody's change is lost. It is the etag of v2: a run that is
/// counted changes neither.
pub(super) fn version(given: &ObjectMeta) -> String {
    convert::etag(given).trim_matches('"').to_owned()
}

/// The conditions of those kinds. One that nobody has written yet is open: clients wait for it.
fn shown(conditions: &[api::Condition], kinds: &[&str]) -> Vec<Condition> {
    let one = |kind: &&str| match api::condition(conditions, kind) {
        Some(written) => condition(written),
        None => Condition {
            kind: (*kind).to_owned(),
            status: api::Status::Unknown.as_str().to_owned(),
            ..Condition::default()
        },
    };
    kinds.iter().map(one).collect()
}

fn condition(condition: &api::Condition) -> Condition {
    let api::Condition { type_, status, reason, message, observed_generation: _, last_transition_time } =
        condition;
    Condition {
        kind: type_.clone(),
        status: status.clone(),
        reason: reason.clone(),
        message: message.clone(),
        last_transition_time: Some(last_transition_time.clone()),
    }
}

/// The template that a client sees.
pub(super) fn execution_template(template: &api::ExecutionTemplate) -> ExecutionTemplate {
    let api::ExecutionTemplate { metadata, spec } = template;
    let api::TemplateMetadata { labels, annotations } = metadata.clone().unwrap_or_default();
    ExecutionTemplate {
        metadata: TemplateMetadata {
            labels: labels::shown(labels.as_ref()),
            annotations: labels::shown_annotations(annotations.as_ref()),
        },
        spec: execution_spec(spec),
    }
}

fn execution_spec(spec: &api::ExecutionTemplateSpec) -> ExecutionSpec {
    let api::ExecutionTemplateSpec { parallelism, task_count, start_deadline_seconds: _, template } = spec;
    ExecutionSpec {
        parallelism: *parallelism,
        task_count: Some(*task_count),
        template: TaskTemplate { spec: task_spec(&template.spec) },
        rest: Rest::new(),
    }
}

/// The task that a client sees.
pub(super) fn task_spec(spec: &api::TaskSpec) -> TaskSpec {
    let api::TaskSpec {
        containers,
        volumes,
        max_retries,
        timeout_seconds,
        service_account_name,
        image_pull_secrets: _,
        node_selector,
        tolerations: _,
        affinity: _,
        security_context: _,
        priority_class_name: _,
        runtime_class_name: _,
        termination_grace_period_seconds: _,
    } = spec;
    TaskSpec {
        containers: containers.iter().map(container).collect(),
        volumes: volumes.iter().map(volume).collect(),
        max_retries: Some(*max_retries),
        timeout_seconds: Some(*timeout_seconds),
        service_account_name: service_account_name.clone(),
        node_selector: node_selector.clone().unwrap_or_default(),
        rest: Rest::new(),
    }
}

/// The container that a client sees.
pub(super) fn container(container: &core::Container) -> Container {
    let core::Container {
        args,
        command,
        env,
        env_from: _,
        image,
        image_pull_policy: _,
        lifecycle: _,
        liveness_probe: _,
        name,
        ports,
        readiness_probe: _,
        resize_policy: _,
        resources,
        restart_policy: _,
        restart_policy_rules: _,
        security_context: _,
        startup_probe: _,
        stdin: _,
        stdin_once: _,
        termination_message_path: _,
        termination_message_policy: _,
        tty: _,
        volume_devices: _,
        volume_mounts,
        working_dir,
    } = container;
    Container {
        name: name.clone(),
        image: image.clone().unwrap_or_default(),
        command: plains(command.as_ref()),
        args: plains(args.as_ref()),
        env: env.iter().flatten().map(variable).collect(),
        resources: resources.clone(),
        ports: ports.clone().unwrap_or_default(),
        volume_mounts: volume_mounts.clone().unwrap_or_default(),
        working_dir: working_dir.clone().unwrap_or_default(),
        rest: Rest::new(),
    }
}

/// A variable as it is meant: Kubernetes expands references in values, Cloud Run has none.
pub(super) fn variable(variable: &core::EnvVar) -> core::EnvVar {
    let core::EnvVar { name, value, value_from } = variable;
    // Of where a value may come from, Cloud Run knows secrets.
    let secret = value_from.as_ref().and_then(|source| source.secret_key_ref.clone());
    core::EnvVar {
        name: name.clone(),
        value: value.as_deref().map(plain),
        value_from: secret.map(|secret_key_ref| core::EnvVarSource {
            secret_key_ref: Some(secret_key_ref),
            ..core::EnvVarSource::default()
        }),
    }
}

/// A volume of a kind that Cloud Run has; of any other, its name.
pub(super) fn volume(volume: &core::Volume) -> core::Volume {
    core::Volume {
        name: volume.name.clone(),
        secret: volume.secret.clone(),
        empty_dir: volume.empty_dir.clone(),
        nfs: volume.nfs.clone(),
        ..core::Volume::default()
    }
}

/// Words as they are meant.
pub(super) fn plains(words: Option<&Vec<String>>) -> Vec<String> {
    words.into_iter().flatten().map(|word| plain(word)).collect()
}
