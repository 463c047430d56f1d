//! What clients of the v1 API send, as our objects. Pure.
//!
//! An update replaces what v1 has words for and leaves the rest of the stored object alone. What it asks for that is not
//! here is refused with the path of the field, because a job that runs without what it asked for is worse than one that
//! does not.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::labels;
use super::shape::{
    self, Container, ExecutionSpec, ExecutionTemplate, Map, Metadata, Rest, TaskSpec, TaskTemplate,
    TemplateMetadata,
};
use super::show;
use crate::api;
use crate::cloudrun::convert::Refusals;
use crate::cloudrun::fault::Fault;
use crate::plan::literal;

/// Name of a container that was sent without one.
const UNNAMED: &str = "main";
/// Where the words of v1 for the template of a run stand.
const TEMPLATE: &str = "spec.template";
const SPEC: &str = "spec.template.spec";
const TASK: &str = "spec.template.spec.template.spec";

/// Annotations that ask for what is not here, and what a person who reads the refusal should know.
const REFUSED: [(&str, &str); 9] = [
    ("run.googleapis.com/cloudsql-instances", "there is no Cloud SQL here"),
    ("run.googleapis.com/vpc-access-connector", "there are no VPC networks here"),
    ("run.googleapis.com/vpc-access-egress", "there are no VPC networks here"),
    ("run.googleapis.com/network-interfaces", "there are no VPC networks here"),
    ("run.googleapis.com/binary-authorization", "images are not attested here"),
    ("run.googleapis.com/encryption-key", "images are not encrypted here"),
    ("run.googleapis.com/secrets", "secrets of other projects are out of reach"),
    ("run.googleapis.com/container-dependencies", "a task has one container; there is nothing to depend on"),
    ("run.googleapis.com/gpu-zonal-redundancy-disabled", "there are no zones here"),
];
/// The annotation that chooses a sandbox.
const SANDBOX: &str = "run.googleapis.com/execution-environment";

/// The Job that a client sent, on top of the one that is stored.
pub(super) fn job(
    message: shape::Job,
    namespace: &str,
    name: &str,
    old: Option<&api::Job>,
) -> Result<api::Job, Fault> {
    // What kind it is the route says, what state it is in the server.
    let shape::Object { api_version: _, kind: _, metadata, spec, status: _ } = message;
    let Metadata {
        name: _,
        namespace: _,
        // The caller compares it.
        resource_version: _,
        labels,
        annotations,
        self_link: _,
        uid: _,
        generation: _,
        creation_timestamp: _,
    } = metadata;
    let shape::JobSpec { template, rest } = spec;
    let mut refusals = Refusals::default();
    refuse_rest("spec", rest, &mut refusals);
    refuse_annotations("metadata", &annotations, &mut refusals);
    let given = old.map(|old| old.metadata.clone()).unwrap_or_default();
    let template = execution_template(template, old.map(|old| &old.spec.template), &mut refusals);
    refusals.pass(api::Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            labels: labels::read(labels, given.labels.as_ref()),
            annotations: labels::read_annotations(annotations, given.annotations.as_ref()),
            ..given
        },
        spec: api::JobSpec { template, ..old.map(|old| old.spec.clone()).unwrap_or_default() },
        status: old.and_then(|old| old.status.clone()),
    })
}

fn execution_template(
    message: ExecutionTemplate,
    old: Option<&api::ExecutionTemplate>,
    refusals: &mut Refusals,
) -> api::ExecutionTemplate {
    let ExecutionTemplate { metadata: TemplateMetadata { labels, annotations }, spec } = message;
    let ExecutionSpec { parallelism, task_count, template: TaskTemplate { spec: task }, rest } = spec;
    refuse_rest(SPEC, rest, refusals);
    refuse_annotations(&format!("{TEMPLATE}.metadata"), &annotations, refusals);
    let given = old.and_then(|old| old.metadata.clone()).unwrap_or_default();
    let metadata = api::TemplateMetadata {
        labels: labels::read(labels, given.labels.as_ref()),
        annotations: labels::read_annotations(annotations, given.annotations.as_ref()),
    };
    let old = old.map(|old| &old.spec);
    api::ExecutionTemplate {
        metadata: Some(metadata).filter(|metadata| *metadata != api::TemplateMetadata::default()),
        spec: api::ExecutionTemplateSpec {
            parallelism: parallelism.filter(|count| *count != 0),
            task_count: task_count.unwrap_or(api::DEFAULT_TASK_COUNT),
            start_deadline_seconds: old.and_then(|old| old.start_deadline_seconds),
            template: api::TaskTemplate {
                spec: task_spec(task, old.map(|old| &old.template.spec), refusals),
            },
        },
    }
}

fn task_spec(message: TaskSpec, old: Option<&api::TaskSpec>, refusals: &mut Refusals) -> api::TaskSpec {
    let TaskSpec {
        containers,
        volumes,
        max_retries,
        timeout_seconds,
        service_account_name,
        node_selector,
        rest,
    } = message;
    refuse_rest(TASK, rest, refusals);
    for key in node_selector.keys().filter(|key| key.starts_with("run.googleapis.com/")) {
        refusals.add(
            format!("{TASK}.nodeSelector[{key:?}]"),
            "accelerators cannot be chosen by type; ask for them in the limits of the container, as Kubernetes has it",
        );
    }
    let old = old.cloned().unwrap_or_default();
    let one = <[Container; 1]>::try_from(containers);
    let containers = match one {
        Ok([message]) => vec![container(message, old.containers.first(), refusals)],
        Err(found) => {
            let count = found.len();
            refusals
                .add(format!("{TASK}.containers"), format!("a task has exactly one container, not {count}"));
            Vec::new()
        }
    };
    api::TaskSpec {
        containers,
        volumes: volumes
            .iter()
            .enumerate()
            .map(|(at, message)| volume(at, message, &old.volumes, refusals))
            .collect(),
        max_retries: max_retries.unwrap_or(api::DEFAULT_MAX_RETRIES),
        timeout_seconds: timeout_seconds.unwrap_or(api::DEFAULT_TIMEOUT_SECONDS),
        // Of an address, the part before the `@` is the service account of the namespace.
        service_account_name: service_account_name
            .and_then(|email| email.split('@').next().map(str::to_owned))
            .filter(|name| !name.is_empty()),
        node_selector: Some(node_selector).filter(|map| !map.is_empty()),
        ..old
    }
}

fn container(message: Container, old: Option<&core::Container>, refusals: &mut Refusals) -> core::Container {
    let Container { name, image, command, args, env, resources, ports, volume_mounts, working_dir, rest } =
        message;
    let path = format!("{TASK}.containers[0]");
    refuse_rest(&path, rest, refusals);
    if image.is_empty() {
        refusals.add(format!("{path}.image"), "an image is needed");
    }
    let old = old.cloned().unwrap_or_default();
    let name = [name, old.name.clone()].into_iter().find(|name| !name.is_empty());
    let known = old.env.as_deref().unwrap_or_default();
    let env = env.into_iter().enumerate();
    let env = env.map(|(at, message)| variable(&format!("{path}.env[{at}]"), message, known, refusals));
    core::Container {
        name: name.unwrap_or_else(|| UNNAMED.to_owned()),
        image: Some(image),
        command: literals(&command, old.command.as_ref()),
        args: literals(&args, old.args.as_ref()),
        env: list(env.collect()),
        resources: resources.map(tidy).filter(|found| *found != core::ResourceRequirements::default()),
        ports: list(ports),
        volume_mounts: list(volume_mounts),
        working_dir: Some(working_dir).filter(|path| !path.is_empty()),
        ..old
    }
}

/// A variable that a client sent. One that is shown as the same is the same: what Cloud Run has no words for is kept.
fn variable(
    path: &str,
    message: core::EnvVar,
    old: &[core::EnvVar],
    refusals: &mut Refusals,
) -> core::EnvVar {
    if let Some(same) = old.iter().find(|one| show::variable(one) == message) {
        return same.clone();
    }
    let core::EnvVar { name, value, value_from } = message;
    if name.is_empty() || name.contains(['=', '\0']) {
        refusals.add(format!("{path}.name"), format!("{name:?} is no name of a variable"));
    }
    if value.as_ref().is_some_and(|value| value.contains('\0')) {
        refusals.add(format!("{path}.value"), "holds the character U+0000");
    }
    if value_from.as_ref().is_some_and(|source| source.secret_key_ref.is_none()) {
        refusals.add(format!("{path}.valueFrom"), "only a key of a secret can be given");
    }
    let secret = value_from.and_then(|source| source.secret_key_ref);
    core::EnvVar {
        name,
        value: value.as_deref().map(literal),
        value_from: secret.map(|secret_key_ref| core::EnvVarSource {
            secret_key_ref: Some(secret_key_ref),
            ..core::EnvVarSource::default()
        }),
    }
}

fn volume(at: usize, message: &core::Volume, old: &[core::Volume], refusals: &mut Refusals) -> core::Volume {
    if let Some(same) = old.iter().find(|one| show::volume(one) == *message) {
        return same.clone();
    }
    let path = format!("{TASK}.volumes[{at}]");
    let known = show::volume(message);
    if known != *message {
        refusals.add(path, "a volume is a secret, an empty directory or NFS here");
    } else if known.secret.is_none() && known.empty_dir.is_none() && known.nfs.is_none() {
        refusals.add(path, "a volume needs a source");
    }
    known
}

/// Without the empty maps that clients send.
fn tidy(resources: core::ResourceRequirements) -> core::ResourceRequirements {
    let core::ResourceRequirements { claims, limits, requests } = resources;
    core::ResourceRequirements {
        claims: claims.filter(|claims| !claims.is_empty()),
        limits: limits.filter(|limits| !limits.is_empty()),
        requests: requests.filter(|requests| !requests.is_empty()),
    }
}

/// The list for those words, literally; that of `old` if it is shown as the same.
fn literals(words: &[String], old: Option<&Vec<String>>) -> Option<Vec<String>> {
    if let Some(old) = old
        && show::plains(Some(old)) == words
    {
        return Some(old.clone());
    }
    list(words.iter().map(|word| literal(word)).collect())
}

fn list<T>(items: Vec<T>) -> Option<Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}

/// What a client changes for one run. What it means for the Job is not judged here.
pub(super) fn overrides(message: shape::RunRequest) -> Result<Option<api::Overrides>, Fault> {
    let shape::RunRequest { overrides, rest } = message;
    let mut refusals = Refusals::default();
    refuse_rest("", rest, &mut refusals);
    let overrides = overrides.map(|message| {
        let shape::Changes { container_overrides, task_count, timeout_seconds, rest } = message;
        refuse_rest("overrides", rest, &mut refusals);
        let containers = container_overrides.into_iter().enumerate();
        let containers = containers.map(|(at, one)| container_override(at, one, &mut refusals)).collect();
        api::Overrides {
            container_overrides: containers,
            task_count: task_count.filter(|count| *count != 0),
            timeout_seconds: timeout_seconds.filter(|seconds| *seconds != 0),
        }
    });
    refusals.pass(overrides)
}

fn container_override(
    at: usize,
    message: shape::ContainerOverride,
    refusals: &mut Refusals,
) -> api::ContainerOverride {
    let shape::ContainerOverride { name, args, env, clear_args, rest } = message;
    let path = format!("overrides.containerOverrides[{at}]");
    refuse_rest(&path, rest, refusals);
    let mut variables = Vec::with_capacity(env.len());
    for (at, core::EnvVar { name, value, value_from }) in env.into_iter().enumerate() {
        if value_from.is_some() {
            refusals.add(format!("{path}.env[{at}].valueFrom"), "only a value can be given for a single run");
        }
        variables.push(api::ParameterValue { name, value: value.unwrap_or_default() });
    }
    let name = Some(name).filter(|name| !name.is_empty());
    api::ContainerOverride { name, args, clear_args, env: variables }
}

/// Refuses members that nobody here knows, unless they say nothing.
fn refuse_rest(path: &str, rest: Rest, refusals: &mut Refusals) {
    for (key, value) in rest {
        if !says_nothing(&value) {
            let field = if path.is_empty() { key } else { format!("{path}.{key}") };
            refusals.add(field, "is not something that can be asked for here");
        }
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(says_nothing),
    }
}

fn refuse_annotations(path: &str, annotations: &Map, refusals: &mut Refusals) {
    for (key, why) in REFUSED {
        if annotations.get(key).is_some_and(|value| !value.is_empty()) {
            refusals.add(format!("{path}.annotations[{key:?}]"), why);
        }
    }
    if annotations.get(SANDBOX).is_some_and(|value| value == "gen1") {
        refusals.add(format!("{path}.annotations[{SANDBOX:?}]"), "there is no first generation sandbox here");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What `gcloud run jobs create` sends.
    fn created() -> Value {
        json!({
            "apiVersion": "run.googleapis.com/v1",
            "kind": "Job",
            "metadata": {
                "name": "resize", "namespace": "shop", "labels": {},
                "annotations": {"run.googleapis.com/client-name": "gcloud"},
            },
            "spec": {"template": {
                "metadata": {"labels": {"client.knative.dev/nonce": "a_b_c"}},
                "spec": {"parallelism": 0, "template": {"spec": {
                    "containers": [{
                        "name": "", "image": "image", "args": ["$(A)"], "resources": {"requests": {}},
                        "env": [{"name": "A", "value": "$(B)"}],
                    }],
                    "maxRetries": 0, "timeoutSeconds": "300", "nodeSelector": {},
                    "serviceAccountName": "robot@shop.iam.gserviceaccount.com",
                }}},
            }},
            "status": {"latestCreatedExecution": {}},
        })
    }

    fn read(body: Value, old: Option<&api::Job>) -> Result<api::Job, Fault> {
        job(serde_json::from_value(body).unwrap(), "shop", "resize", old)
    }

    fn fields(body: Value) -> Vec<String> {
        let fault = read(body, None).unwrap_err();
        fault.violations().iter().map(|one| one.field.clone()).collect()
    }

    #[test]
    fn what_gcloud_sends_is_understood() {
        let found = read(created(), None).unwrap();
        let spec = &found.spec.template.spec;
        let task = &spec.template.spec;
        assert_eq!((spec.parallelism, spec.task_count), (None, 1));
        assert_eq!((task.max_retries, task.timeout_seconds), (0, 300));
        assert_eq!(task.service_account_name.as_deref(), Some("robot"));
        assert_eq!(task.node_selector, None);
        let container = &task.containers[0];
        assert_eq!((container.name.as_str(), container.resources.as_ref()), ("main", None));
        // Kubernetes would expand it; Cloud Run does not.
        assert_eq!(container.args.as_deref(), Some(&["$$(A)".to_owned()][..]));
        assert_eq!(container.env.as_ref().unwrap()[0].value.as_deref(), Some("$$(B)"));
    }

    /// A Job with much that v1 has no words for.
    fn rich() -> api::Job {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {
                "name": "resize", "namespace": "shop", "uid": "u", "resourceVersion": "7",
                "labels": {"team": "a", "run.kakehi.dev/x": "y"},
            },
            "spec": {
                "suspend": true,
                "template": {
                    "metadata": {"annotations": {"run.kakehi.dev/x": "y", "note": "n"}},
                    "spec": {"startDeadlineSeconds": 9, "taskCount": 2, "template": {"spec": {
                        "containers": [{
                            "name": "main", "image": "image", "args": ["$(HOME)", "$$(A)"],
                            "imagePullPolicy": "Never",
                            "env": [
                                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                                {"name": "B", "value": "$(A)"},
                            ],
                        }],
                        "volumes": [{"name": "c", "configMap": {"name": "c"}}],
                        "tolerations": [{"operator": "Exists"}],
                        "maxRetries": 1, "timeoutSeconds": 5,
                    }}},
                },
            },
            "status": {"executionCount": 3},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_sent_back_as_it_was_shown_changes_nothing() {
        let job = rich();
        let shown = serde_json::to_value(show::job(&job, "us-central1")).unwrap();
        assert_eq!(shown["metadata"]["labels"]["cloud.googleapis.com/location"], "us-central1");
        assert_eq!(read(shown, Some(&job)).unwrap(), job);
    }

    #[test]
    fn a_change_leaves_alone_what_v1_has_no_words_for() {
        let job = rich();
        let mut shown = serde_json::to_value(show::job(&job, "x")).unwrap();
        shown["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["other"]);
        let mut expected = job.clone();
        expected.spec.template.spec.template.spec.containers[0].args = Some(vec!["other".to_owned()]);
        assert_eq!(read(shown, Some(&job)).unwrap(), expected);
    }

    #[test]
    fn what_is_not_here_is_refused_by_name() {
        for (pointer, value, field) in [
            ("/spec/startExecutionToken", json!("a"), "spec.startExecutionToken"),
            ("/spec/template/spec/x", json!(1), "spec.template.spec.x"),
            (
                "/metadata/annotations/run.googleapis.com~1binary-authorization",
                json!("default"),
                "metadata.annotations[\"run.googleapis.com/binary-authorization\"]",
            ),
        ] {
            let mut body = created();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
            assert_eq!(fields(body), [field]);
        }
        let task = "/spec/template/spec/template/spec";
        for (key, value, field) in [
            ("containers", json!([]), "containers"),
            ("containers", json!([{"image": ""}]), "containers[0].image"),
            (
                "containers",
                json!([{"image": "i", "startupProbe": {"periodSeconds": 3}}]),
                "containers[0].startupProbe",
            ),
            (
                "volumes",
                json!([{"name": "v", "csi": {"driver": "gcsfuse.run.googleapis.com"}}]),
                "volumes[0]",
            ),
            ("volumes", json!([{"name": "v"}]), "volumes[0]"),
            (
                "nodeSelector",
                json!({"run.googleapis.com/accelerator": "nvidia-l4"}),
                "nodeSelector[\"run.googleapis.com/accelerator\"]",
            ),
        ] {
            let mut body = created();
            body.pointer_mut(task).unwrap()[key] = value;
            assert_eq!(fields(body), [format!("{TASK}.{field}")]);
        }
    }

    #[test]
    fn overrides_are_those_of_one_run() {
        let body = json!({"overrides": {
            "containerOverrides": [{"name": "", "args": ["a"], "env": [{"name": "A", "value": "b"}]}],
            "taskCount": 3, "timeoutSeconds": 90,
        }});
        let found = overrides(serde_json::from_value(body).unwrap()).unwrap().unwrap();
        assert_eq!((found.task_count, found.timeout_seconds), (Some(3), Some(90)));
        assert_eq!(found.container_overrides[0].name, None);
        assert_eq!(overrides(serde_json::from_value(json!({})).unwrap()).unwrap(), None);
        let odd = json!({"overrides": {"maxRetries": 3}});
        let fault = overrides(serde_json::from_value(odd).unwrap()).unwrap_err();
        assert_eq!(fault.violations()[0].field, "overrides.maxRetries");
    }
}
