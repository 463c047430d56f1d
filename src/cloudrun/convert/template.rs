//! Templates: what a run is, and what its tasks are.

use k8s_openapi::api::core::v1::{Container, Volume};

use super::Refusals;
use super::container::{container, read_container};
use super::metadata;
use super::time;
use super::volume::{read_volumes, volume};
use crate::api::{
    DEFAULT_MAX_RETRIES, DEFAULT_TASK_COUNT, DEFAULT_TIMEOUT_SECONDS, ExecutionTemplate,
    ExecutionTemplateSpec, MAX_TASK_COUNT, TaskSpec, TaskTemplate, TemplateMetadata,
};
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::task_template::Retries;

/// Most retries of a task: the schema's own bound.
const MAX_RETRIES: i32 = 10;

/// The template that a client sees.
pub(super) fn template(template: &ExecutionTemplate) -> v2::ExecutionTemplate {
    let ExecutionTemplate { metadata: given, spec } = template;
    let TemplateMetadata { labels, annotations } = given.clone().unwrap_or_default();
    let ExecutionTemplateSpec { parallelism, task_count, start_deadline_seconds: _, template } = spec;
    v2::ExecutionTemplate {
        labels: metadata::shown(labels.as_ref()),
        annotations: metadata::shown(annotations.as_ref()),
        parallelism: parallelism.unwrap_or(0),
        task_count: *task_count,
        template: Some(task_template(&template.spec)),
    }
}

/// The task template that a client sees.
pub(super) fn task_template(spec: &TaskSpec) -> v2::TaskTemplate {
    let TaskSpec {
        containers,
        volumes,
        max_retries,
        timeout_seconds,
        service_account_name,
        image_pull_secrets: _,
        node_selector: _,
        tolerations: _,
        affinity: _,
        security_context: _,
        priority_class_name: _,
        runtime_class_name: _,
        termination_grace_period_seconds: _,
    } = spec;
    v2::TaskTemplate {
        containers: containers.iter().map(container).collect(),
        volumes: volumes.iter().map(volume).collect(),
        timeout: Some(time::span(*timeout_seconds)),
        service_account: service_account_name.clone().unwrap_or_default(),
        // A container here is a whole Linux, which is what the second generation promises.
        execution_environment: v2::ExecutionEnvironment::Gen2.into(),
        encryption_key: String::new(),
        vpc_access: None,
        node_selector: None,
        gpu_zonal_redundancy_disabled: None,
        retries: Some(Retries::MaxRetries(*max_retries)),
    }
}

/// The template that a client sent, on top of the old one.
pub(super) fn read_template(
    message: v2::ExecutionTemplate,
    old: Option<&ExecutionTemplate>,
    refusals: &mut Refusals,
) -> ExecutionTemplate {
    let v2::ExecutionTemplate { labels, annotations, parallelism, task_count, template } = message;
    let given = old.and_then(|old| old.metadata.clone()).unwrap_or_default();
    let metadata = TemplateMetadata {
        labels: metadata::some(metadata::read("template.labels", labels, given.labels.as_ref(), refusals)),
        annotations: metadata::some(metadata::read(
            "template.annotations",
            annotations,
            given.annotations.as_ref(),
            refusals,
        )),
    };
    if !(0..=MAX_TASK_COUNT).contains(&task_count) {
        refusals.add("template.task_count", format!("must be between 1 and {MAX_TASK_COUNT}"));
    }
    if parallelism < 0 {
        refusals.add("template.parallelism", "must not be negative; 0 runs all tasks at once");
    }
    let old = old.map(|old| &old.spec);
    let task = read_task_template(template.unwrap_or_default(), old.map(|old| &old.template.spec), refusals);
    ExecutionTemplate {
        metadata: Some(metadata).filter(|metadata| *metadata != TemplateMetadata::default()),
        spec: ExecutionTemplateSpec {
            parallelism: (parallelism != 0).then_some(parallelism),
            task_count: if task_count == 0 { DEFAULT_TASK_COUNT } else { task_count },
            start_deadline_seconds: old.and_then(|old| old.start_deadline_seconds),
            template: TaskTemplate { spec: task },
        },
    }
}

fn read_task_template(
    message: v2::TaskTemplate,
    old: Option<&TaskSpec>,
    refusals: &mut Refusals,
) -> TaskSpec {
    let v2::TaskTemplate {
        containers,
        volumes,
        timeout,
        service_account,
        execution_environment,
        encryption_key,
        vpc_access,
        node_selector,
        gpu_zonal_redundancy_disabled,
        retries,
    } = message;
    let within = |field: &str| format!("template.template.{field}");
    let max_retries = retries.map_or(DEFAULT_MAX_RETRIES, |Retries::MaxRetries(retries)| retries);
    if !(0..=MAX_RETRIES).contains(&max_retries) {
        refusals.add(within("max_retries"), format!("must be between 0 and {MAX_RETRIES}"));
    }
    if execution_environment == i32::from(v2::ExecutionEnvironment::Gen1) {
        refusals.add(within("execution_environment"), "there is no first generation sandbox here");
    }
    refusals.unless_unset(&within("encryption_key"), &encryption_key, "images are not encrypted here");
    refusals.unless_unset(
        &within("vpc_access"),
        &vpc_access.unwrap_or_default(),
        "there are no VPC networks here",
    );
    refusals.unless_unset(
        &within("node_selector"),
        &node_selector.unwrap_or_default(),
        "accelerators cannot be chosen by type; ask for them in the limits of the container, as Kubernetes has it",
    );
    if gpu_zonal_redundancy_disabled == Some(true) {
        refusals.add(within("gpu_zonal_redundancy_disabled"), "there are no zones here");
    }
    let timeout_seconds = timeout
        .and_then(|timeout| time::seconds(&within("timeout"), timeout, refusals))
        .unwrap_or(DEFAULT_TIMEOUT_SECONDS);
    TaskSpec {
        containers: read_containers(containers, old.map_or(&[][..], |old| &old.containers), refusals),
        volumes: read_volumes(
            volumes,
            old.map_or(&[][..], |old: &TaskSpec| -> &[Volume] { &old.volumes }),
            refusals,
        ),
        max_retries,
        timeout_seconds,
        service_account_name: account(&service_account),
        ..old.cloned().unwrap_or_default()
    }
}

fn read_containers(
    messages: Vec<v2::Container>,
    old: &[Container],
    refusals: &mut Refusals,
) -> Vec<Container> {
    let [message] = <[v2::Container; 1]>::try_from(messages).unwrap_or_else(|messages| {
        let count = messages.len();
        refusals
            .add("template.template.containers", format!("a task has exactly one container, not {count}"));
        // Only so that the rest can be judged too.
        [v2::Container { image: "-".to_owned(), ..v2::Container::default() }]
    });
    vec![read_container("template.template.containers[0]", message, old.first(), refusals)]
}

/// The service account of a namespace that an email address stands for: the part before the `@`.
fn account(email: &str) -> Option<String> {
    let name = email.split('@').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}
