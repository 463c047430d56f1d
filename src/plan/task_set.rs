//! From an Execution to the `batch/v1` Job that carries its tasks.
//!
//! The mapping is that of Cloud Run's meaning, not of its words: retries are counted per task (KEP-3850), the timeout
//! bounds an attempt and not the run, parallelism 0 means all at once, a drained node costs no retry, and two attempts of
//! one task never overlap.

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{
    ConfigMapProjection, ConfigMapVolumeSource, Container, EmptyDirVolumeSource, PodSpec, PodTemplateSpec,
    ProjectedVolumeSource, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::environment::environment;
use super::files;
use super::ownership;
use crate::api::{EVENT_MOUNT_PATH, EVENT_VOLUME, Execution, TaskSpec};

/// Name of a container whose author gave none (Cloud Run's clients send an empty one).
const CONTAINER: &str = "main";
/// Shows the last lines of the log as the termination message of a container that wrote none.
const FALL_BACK_TO_LOGS: &str = "FallbackToLogsOnError";

/// Tasks of `execution` at a time: what it says itself, or else its template; 0 and nothing mean all.
pub fn parallelism(execution: &Execution) -> i32 {
    let spec = &execution.spec.template.spec;
    match execution.spec.parallelism.or(spec.parallelism) {
        None | Some(..=0) => spec.task_count,
        Some(some) => some.min(spec.task_count),
    }
}

/// The task set of `execution`.
pub fn task_set(execution: &Execution) -> batchv1::Job {
    let template = &execution.spec.template;
    let spec = &template.spec;
    let given = template.metadata.clone().unwrap_or_default();
    let mut labels = given.labels.unwrap_or_default();
    labels.extend(ownership::labels(execution));
    batchv1::Job {
        metadata: ObjectMeta {
            name: execution.metadata.name.clone(),
            namespace: execution.metadata.namespace.clone(),
            labels: Some(labels.clone()),
            annotations: given.annotations.clone(),
            owner_references: Some(vec![ownership::owner(execution)]),
            ..ObjectMeta::default()
        },
        spec: Some(batchv1::JobSpec {
            completion_mode: Some("Indexed".to_owned()),
            completions: Some(spec.task_count),
            parallelism: Some(parallelism(execution)),
            backoff_limit_per_index: Some(spec.template.spec.max_retries),
            pod_failure_policy: Some(disruptions_are_free()),
            pod_replacement_policy: Some("Failed".to_owned()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: given.annotations,
                    ..ObjectMeta::default()
                }),
                spec: Some(pod(execution, &spec.template.spec)),
            },
            ..batchv1::JobSpec::default()
        }),
        status: None,
    }
}

/// A Pod that was evicted, preempted or lost with its node is replaced without costing a retry (KEP-3329).
fn disruptions_are_free() -> batchv1::PodFailurePolicy {
    batchv1::PodFailurePolicy {
        rules: vec![batchv1::PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![batchv1::PodFailurePolicyOnPodConditionsPattern {
                type_: "DisruptionTarget".to_owned(),
                status: Some("True".to_owned()),
            }]),
        }],
    }
}

fn pod(execution: &Execution, task: &TaskSpec) -> PodSpec {
    let TaskSpec {
        containers,
        volumes,
        max_retries: _,
        timeout_seconds,
        service_account_name,
        image_pull_secrets,
        node_selector,
        tolerations,
        affinity,
        security_context,
        priority_class_name,
        runtime_class_name,
        termination_grace_period_seconds,
    } = task;
    let files = EventFiles::of(execution, task);
    let mut volumes = volumes.clone();
    volumes.extend(files.volume);
    let containers = containers.iter().map(|own| {
        let mut container = container(own);
        let path = files.path.as_deref();
        container.env = Some(environment(execution, own.env.as_deref().unwrap_or_default(), path));
        container.volume_mounts.get_or_insert_default().extend(files.mount.clone());
        container
    });
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: Some(*timeout_seconds),
        containers: containers.collect(),
        volumes: Some(volumes).filter(|volumes| !volumes.is_empty()),
        service_account_name: service_account_name.clone(),
        image_pull_secrets: Some(image_pull_secrets.clone()).filter(|secrets| !secrets.is_empty()),
        node_selector: node_selector.clone(),
        tolerations: Some(tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        affinity: affinity.clone(),
        security_context: security_context.clone(),
        priority_class_name: priority_class_name.clone(),
        runtime_class_name: runtime_class_name.clone(),
        termination_grace_period_seconds: *termination_grace_period_seconds,
        ..PodSpec::default()
    }
}

fn container(own: &Container) -> Container {
    let mut container = own.clone();
    if container.name.is_empty() {
        CONTAINER.clone_into(&mut container.name);
    }
    container.termination_message_policy.get_or_insert_with(|| FALL_BACK_TO_LOGS.to_owned());
    container
}

/// How the event's files come into the container.
#[derive(Default)]
struct EventFiles {
    /// The volume, unless its author declared one of that name: then everything is his.
    volume: Option<Volume>,
    /// The mount, unless its author mounts the volume somewhere.
    mount: Option<VolumeMount>,
    /// Where the files are then.
    path: Option<String>,
}

impl EventFiles {
    fn of(execution: &Execution, task: &TaskSpec) -> Self {
        if task.volumes.iter().any(|volume| volume.name == EVENT_VOLUME) {
            return Self::default();
        }
        let mounts = task.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten());
        let own = mounts.into_iter().find(|mount| mount.name == EVENT_VOLUME);
        if execution.spec.events.is_empty() {
            // A mount without its volume would be refused; a manual run finds an empty directory instead.
            let volume = own.map(|_| Volume {
                name: EVENT_VOLUME.to_owned(),
                empty_dir: Some(EmptyDirVolumeSource::default()),
                ..Volume::default()
            });
            return Self { volume, mount: None, path: None };
        }
        let volume = Volume { name: EVENT_VOLUME.to_owned(), ..volume(execution) };
        let (mount, path) = match own {
            Some(own) => (None, own.mount_path.clone()),
            None => (Some(mount()), EVENT_MOUNT_PATH.to_owned()),
        };
        Self { volume: Some(volume), mount, path: Some(path) }
    }
}

/// Where the files are: in one object, or both in one directory out of two.
fn volume(execution: &Execution) -> Volume {
    let name = execution.metadata.name.clone().unwrap_or_default();
    let Some(second) = files::second_name(execution) else {
        let source = ConfigMapVolumeSource { name, ..ConfigMapVolumeSource::default() };
        return Volume { config_map: Some(source), ..Volume::default() };
    };
    let projection = |name| VolumeProjection {
        config_map: Some(ConfigMapProjection { name, ..ConfigMapProjection::default() }),
        ..VolumeProjection::default()
    };
    let sources = Some(vec![projection(name), projection(second)]);
    let source = ProjectedVolumeSource { sources, ..ProjectedVolumeSource::default() };
    Volume { projected: Some(source), ..Volume::default() }
}

fn mount() -> VolumeMount {
    VolumeMount {
        name: EVENT_VOLUME.to_owned(),
        mount_path: EVENT_MOUNT_PATH.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn execution(task_set: &str, events: &str) -> Execution {
        yaml(&format!(
            "
apiVersion: run.kakehi.dev/v1alpha1
kind: Execution
metadata: {{name: resize-abc, namespace: shop, uid: x1}}
spec:
  job: {{name: resize, uid: j1, generation: 1}}
  cause: {{type: Address}}
  events: {events}
  template: {task_set}
"
        ))
    }

    const PLAIN: &str = "{spec: {template: {spec: {containers: [{name: main, image: busybox}]}}}}";
    const EVENT: &str = "[{id: '1', source: /s, type: t}]";

    fn pod_of(execution: &Execution) -> PodSpec {
        task_set(execution).spec.unwrap().template.spec.unwrap()
    }

    fn variable<'a>(pod: &'a PodSpec, name: &str) -> Option<&'a str> {
        let mut env = pod.containers[0].env.iter().flatten();
        env.find(|variable| variable.name == name).and_then(|variable| variable.value.as_deref())
    }

    #[test]
    fn the_whole_mapping() {
        let given = execution(
            "{metadata: {labels: {kueue.x-k8s.io/queue-name: fast, run.kakehi.dev/execution: forged}, annotations: {note: kept}},
              spec: {taskCount: 3, parallelism: 2, template: {spec: {maxRetries: 1, timeoutSeconds: 30, serviceAccountName: worker,
                terminationGracePeriodSeconds: 5, volumes: [{name: tmp, emptyDir: {}}],
                containers: [{name: '', image: busybox, env: [{name: A, value: '$(CE_TYPE)'}],
                  volumeMounts: [{name: tmp, mountPath: /tmp}]}]}}}}",
            EVENT,
        );
        let mut found = serde_json::to_value(task_set(&given)).unwrap();
        let env = found.pointer_mut("/spec/template/spec/containers/0/env").unwrap().take();
        let wanted: Value = yaml(
            "
apiVersion: batch/v1
kind: Job
metadata: &meta
  name: resize-abc
  namespace: shop
  labels: {kueue.x-k8s.io/queue-name: fast, run.kakehi.dev/job: resize, run.kakehi.dev/execution: resize-abc}
  annotations: {note: kept}
  ownerReferences:
  - {apiVersion: run.kakehi.dev/v1alpha1, kind: Execution, name: resize-abc, uid: x1, controller: true, blockOwnerDeletion: true}
spec:
  completionMode: Indexed
  completions: 3
  parallelism: 2
  backoffLimitPerIndex: 1
  podReplacementPolicy: Failed
  podFailurePolicy:
    rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget, status: 'True'}]}]
  template:
    metadata:
      labels: {kueue.x-k8s.io/queue-name: fast, run.kakehi.dev/job: resize, run.kakehi.dev/execution: resize-abc}
      annotations: {note: kept}
    spec:
      restartPolicy: Never
      activeDeadlineSeconds: 30
      serviceAccountName: worker
      terminationGracePeriodSeconds: 5
      volumes:
      - {name: tmp, emptyDir: {}}
      - {name: kakehi-event, configMap: {name: resize-abc}}
      containers:
      - name: main
        image: busybox
        env: null
        terminationMessagePolicy: FallbackToLogsOnError
        volumeMounts:
        - {name: tmp, mountPath: /tmp}
        - {name: kakehi-event, mountPath: /etc/kakehi-event, readOnly: true}
",
        );
        assert_eq!(found, wanted, "{}", serde_json::to_string_pretty(&found).unwrap());
        let names: Vec<_> =
            env.as_array().unwrap().iter().map(|variable| variable["name"].as_str().unwrap()).collect();
        assert_eq!(
            names,
            [
                "K_EXECUTION_MODE",
                "CLOUD_RUN_JOB",
                "CLOUD_RUN_EXECUTION",
                "CLOUD_RUN_TASK_COUNT",
                "CLOUD_RUN_TASK_INDEX",
                "CLOUD_RUN_TASK_ATTEMPT",
                "K_EVENT_PATH",
                "CE_SPECVERSION",
                "CE_ID",
                "CE_SOURCE",
                "CE_TYPE",
                "A"
            ]
        );
    }

    #[test]
    fn parallelism_means_at_most_and_zero_means_all() {
        for (given, wanted) in
            [("", 4), ("parallelism: 0,", 4), ("parallelism: 3,", 3), ("parallelism: 9,", 4)]
        {
            let template = format!(
                "{{spec: {{taskCount: 4, {given} template: {{spec: {{containers: [{{image: i}}]}}}}}}}}"
            );
            let found = task_set(&execution(&template, "[]")).spec.unwrap();
            assert_eq!((found.parallelism, found.completions), (Some(wanted), Some(4)), "{given}");
        }
    }

    #[test]
    fn what_must_stay_unset_is_unset() {
        // contracts/cloud-run.md 5.3, items 1, 2 and 15.
        let found = task_set(&execution(PLAIN, EVENT)).spec.unwrap();
        assert_eq!(found.backoff_limit, None);
        assert_eq!(found.max_failed_indexes, None);
        assert_eq!(found.active_deadline_seconds, None);
        assert_eq!(found.success_policy, None);
        assert_eq!(found.ttl_seconds_after_finished, None);
        assert_eq!(found.suspend, None);
    }

    #[test]
    fn a_manual_run_has_no_event_to_read() {
        let pod = pod_of(&execution(PLAIN, "[]"));
        assert_eq!(pod.volumes, None);
        assert_eq!(variable(&pod, "K_EVENT_PATH"), None);
        assert_eq!(variable(&pod, "K_EXECUTION_MODE"), Some("batch"));
    }

    #[test]
    fn the_author_chooses_where_the_event_is_mounted() {
        let template = "{spec: {template: {spec: {containers: [{name: main, image: i,
            volumeMounts: [{name: kakehi-event, mountPath: /in}]}]}}}}";
        let pod = pod_of(&execution(template, EVENT));
        assert_eq!(variable(&pod, "K_EVENT_PATH"), Some("/in"));
        assert_eq!(pod.containers[0].volume_mounts.as_ref().unwrap().len(), 1);
        assert!(pod.volumes.unwrap()[0].config_map.is_some());
        let manual = pod_of(&execution(template, "[]"));
        assert!(manual.volumes.unwrap()[0].empty_dir.is_some(), "the mount needs a volume");
    }

    #[test]
    fn a_volume_of_that_name_is_the_authors() {
        let template = "{spec: {template: {spec: {volumes: [{name: kakehi-event, emptyDir: {}}],
            containers: [{name: main, image: i}]}}}}";
        let pod = pod_of(&execution(template, EVENT));
        assert_eq!(pod.volumes.as_ref().unwrap().len(), 1);
        assert_eq!(variable(&pod, "K_EVENT_PATH"), None);
    }

    #[test]
    fn a_termination_message_policy_is_the_authors() {
        let template = "{spec: {template: {spec: {containers: [{name: main, image: i, terminationMessagePolicy: File}]}}}}";
        let pod = pod_of(&execution(template, EVENT));
        assert_eq!(pod.containers[0].termination_message_policy.as_deref(), Some("File"));
    }

    #[test]
    fn the_longest_name_leaves_room_for_its_pods() {
        let job = "j".repeat(crate::api::MAX_JOB_NAME);
        let name = crate::plan::Identity::of("u", "/s", "1").names(&job).next().unwrap();
        let hostname = format!("{name}-{}", crate::api::MAX_TASK_COUNT - 1);
        assert!(hostname.len() <= 63, "{hostname}");
    }
}
