//! What the caches leave out: everything that no decision reads.
//!
//! A queue may hold a hundred thousand runs, each with an event of up to half a mebibyte and a template of some
//! kilobytes. Neither bears on whether a run may start, has started or has ended; both are read once, from the API
//! server itself, in the step that makes the tasks.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodTemplateSpec};
use kube::core::ObjectMeta;

use crate::api::{
    ANNOTATION_ACCEPTED, ANNOTATION_TRACEPARENT, ANNOTATION_TRACESTATE, Execution, GROUP, Job, TaskSpec,
    TemplateMetadata, Trigger,
};
use crate::plan::QUEUE_NAME;

/// Domains of the labels and annotations that decisions read: ours, and the Job controller's on its Pods. And whoever a queue is
/// of, its label is read.
const READ: [&str; 2] = [GROUP, "batch.kubernetes.io"];

/// An Execution without its event, its parameters and what its container is. It is enough to plan every step but the
/// one that makes the tasks, and to say which trace it belongs to.
pub(super) fn execution(execution: &mut Execution) {
    let metadata = &mut execution.metadata;
    (metadata.managed_fields, metadata.owner_references, metadata.labels) = (None, None, None);
    let annotations = metadata.annotations.get_or_insert_default();
    let read = [ANNOTATION_ACCEPTED, ANNOTATION_TRACEPARENT, ANNOTATION_TRACESTATE];
    annotations.retain(|key, _| read.contains(&key.as_str()));
    metadata.annotations = metadata.annotations.take().filter(|kept| !kept.is_empty());
    execution.spec.events = Vec::new();
    execution.spec.parameters = Vec::new();
    execution.spec.overrides = None;
    let template = &mut execution.spec.template;
    template.metadata = None;
    task(&mut template.spec.template.spec);
}

/// A Job without what its runs are made of.
pub(super) fn job(job: &mut Job) {
    metadata(&mut job.metadata);
    let template = &mut job.spec.template;
    template.metadata = None::<TemplateMetadata>;
    task(&mut template.spec.template.spec);
}

/// A Trigger: its filters are read.
pub(super) fn trigger(trigger: &mut Trigger) {
    metadata(&mut trigger.metadata);
}

/// A task set: its template repeats what the Execution says.
pub(super) fn task_set(task_set: &mut batchv1::Job) {
    metadata(&mut task_set.metadata);
    if let Some(spec) = &mut task_set.spec {
        spec.template = PodTemplateSpec::default();
    }
}

/// A Pod: of its spec only the name of the first container is read, of the rest the status.
pub(super) fn pod(pod: &mut Pod) {
    metadata(&mut pod.metadata);
    if let Some(spec) = &mut pod.spec {
        let containers = spec.containers.drain(..).take(1);
        let containers =
            containers.map(|container| Container { name: container.name, ..Container::default() });
        *spec = PodSpec { containers: containers.collect(), ..PodSpec::default() };
    }
}

fn task(task: &mut TaskSpec) {
    let TaskSpec { max_retries, timeout_seconds, .. } = *task;
    let service_account_name = task.service_account_name.take();
    *task = TaskSpec { max_retries, timeout_seconds, service_account_name, ..TaskSpec::default() };
}

fn metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    for map in [&mut metadata.labels, &mut metadata.annotations] {
        if let Some(map) = map {
            map.retain(|key, _| {
                key.split_once('/').is_some_and(|(domain, name)| READ.contains(&domain) || name == QUEUE_NAME)
            });
        }
        *map = map.take().filter(|map: &BTreeMap<_, _>| !map.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{self, Observed, Template};

    fn whole(status: &Value) -> Execution {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
            "metadata": {
                "name": "r-1", "namespace": "shop", "uid": "x1", "generation": 2, "resourceVersion": "7",
                "managedFields": [{"manager": "somebody"}],
                "labels": {"team": "red", "run.kakehi.dev/job": "r"},
                "annotations": {"note": "long", "run.kakehi.dev/digest": "d"},
            },
            "spec": {
                "job": {"name": "r", "uid": "j1", "generation": 1}, "cause": {"type": "Address"},
                "events": [{"id": "1", "source": "/s", "type": "t", "data": "x".repeat(100_000)}],
                "parameters": [{"name": "A", "value": "1"}],
                "template": {
                    "metadata": {"labels": {"team": "red"}},
                    "spec": {"taskCount": 4, "parallelism": 2, "startDeadlineSeconds": 30, "template": {"spec": {
                        "maxRetries": 5, "timeoutSeconds": 9, "serviceAccountName": "worker",
                        "volumes": [{"name": "tmp", "emptyDir": {}}],
                        "containers": [{"name": "main", "image": "i", "command": ["true"]}],
                    }}},
                },
            },
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_cached_run_is_small_and_keeps_what_is_decided_by() {
        let mut kept = whole(&json!({"runningCount": 1}));
        execution(&mut kept);
        assert!(serde_json::to_vec(&kept).unwrap().len() < 800, "{kept:?}");
        let spec = &kept.spec.template.spec;
        assert_eq!((spec.task_count, spec.parallelism, spec.start_deadline_seconds), (4, Some(2), Some(30)));
        let task = &spec.template.spec;
        assert_eq!((task.max_retries, task.timeout_seconds), (5, 9));
        assert_eq!(task.service_account_name.as_deref(), Some("worker"), "somebody may have to allow it");
        assert_eq!((kept.spec.job.uid.as_str(), kept.status.unwrap().running_count), ("j1", 1));
        let metadata = kept.metadata;
        assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("x1"), Some("7")));
    }

    #[test]
    fn of_labels_and_annotations_only_those_that_are_read_are_kept() {
        let map = |keys: [&str; 3]| Some(keys.map(|key| (key.to_owned(), "1".to_owned())).into());
        let mut kept = Pod::default();
        kept.metadata.labels =
            map(["team", "run.kakehi.dev/execution", "batch.kubernetes.io/job-completion-index"]);
        kept.metadata.annotations =
            map(["note", "example.com/run.kakehi.dev", "batch.kubernetes.io/job-index-failure-count"]);
        pod(&mut kept);
        let keys = |map: Option<BTreeMap<String, String>>| map.unwrap().into_keys().collect::<Vec<_>>();
        let labels = ["batch.kubernetes.io/job-completion-index", "run.kakehi.dev/execution"];
        assert_eq!(keys(kept.metadata.labels), labels);
        assert_eq!(keys(kept.metadata.annotations), ["batch.kubernetes.io/job-index-failure-count"]);
    }

    /// Whatever is planned from a trimmed run, besides the tasks themselves, is what would be planned from the whole one.
    #[test]
    fn steps_planned_from_a_cached_run_are_those_of_the_whole_one() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let condition = |reason: &str| {
            json!({"conditions": [{"type": "Completed", "status": "Unknown", "reason": reason, "message": "",
                "lastTransitionTime": "1970-01-01T00:00:00Z"}]})
        };
        let task_set: batchv1::Job = serde_json::from_value(json!({
            "metadata": {"name": "r-1", "namespace": "shop", "uid": "s1", "creationTimestamp": "1970-01-12T13:46:30Z",
                "ownerReferences": [{"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution", "name": "r-1",
                    "uid": "x1", "controller": true}]},
            "spec": {"template": {}},
            "status": {"active": 2},
        }))
        .unwrap();
        for reason in ["Pending", "Queued", "Starting", "Running", "Cancelling"] {
            for cancelled in [false, true] {
                for template in [Template::Active, Template::Suspended, Template::Gone] {
                    for task_set in [None, Some(&task_set)] {
                        let mut run = whole(&condition(reason));
                        run.spec.cancelled = cancelled;
                        let mut kept = run.clone();
                        execution(&mut kept);
                        let plan = |execution: &Execution| {
                            let observed = Observed {
                                execution,
                                template,
                                standing: plan::Fate::Go.into(),
                                task_set,
                                pods: &[],
                                pods_are_fresh: true,
                                complaint: None,
                            };
                            plan::run(&observed, now)
                        };
                        let (mut from_whole, mut from_kept) = (plan(&run), plan(&kept));
                        let creates = (from_whole.create.take().is_some(), from_kept.create.take().is_some());
                        assert_eq!(creates.0, creates.1, "{reason} {cancelled} {template:?}");
                        assert_eq!(from_whole, from_kept, "{reason} {cancelled} {template:?}");
                    }
                }
            }
        }
    }
}
