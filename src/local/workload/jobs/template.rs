//! The Pod that a Job's template makes.

use crate::local::workload::jobs::demand::Birth;
use crate::local::workload::jobs::names;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::api::core::v1::EnvVar;
use k8s_openapi::api::core::v1::EnvVarSource;
use k8s_openapi::api::core::v1::ObjectFieldSelector;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::core::v1::PodTemplateSpec;
use kube::Resource;
use kube::ResourceExt;
use kube::api::ObjectMeta;

/// The longest prefix of a generated name: 63 characters less the 5 random ones.
const LONGEST_PREFIX: usize = 58;

/// Builds the Pod for one birth. It has `generateName`; whoever creates it may add a name of that form.
pub(super) fn pod(job: &Job, birth: &Birth) -> Pod {
    let template = job.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
    let PodTemplateSpec { metadata, spec } = template;
    let metadata = metadata.unwrap_or_default();
    let (mut labels, mut annotations) =
        (metadata.labels.unwrap_or_default(), metadata.annotations.unwrap_or_default());
    let mut finalizers = metadata.finalizers.unwrap_or_default();
    if !finalizers.iter().any(|name| name == names::TRACKING_FINALIZER) {
        finalizers.push(names::TRACKING_FINALIZER.to_owned());
    }
    let (name, uid) = (job.name_any(), job.uid().unwrap_or_default());
    for (key, value) in [
        (names::CONTROLLER_UID, &uid),
        (names::LEGACY_CONTROLLER_UID, &uid),
        (names::JOB_NAME, &name),
        (names::LEGACY_JOB_NAME, &name),
    ] {
        labels.insert(key.to_owned(), value.clone());
    }
    let mut spec = spec.unwrap_or_default();
    if let Some(index) = birth.index {
        labels.insert(names::COMPLETION_INDEX.to_owned(), index.to_string());
        annotations.insert(names::COMPLETION_INDEX.to_owned(), index.to_string());
        spec.hostname = Some(format!("{name}-{index}"));
        spec.containers
            .iter_mut()
            .chain(spec.init_containers.iter_mut().flatten())
            .for_each(add_index_variable);
    }
    if let Some((failures, ignored)) = birth.failures {
        annotations.insert(names::FAILURE_COUNT.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(names::IGNORED_FAILURE_COUNT.to_owned(), ignored.to_string());
        }
    }
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(prefix(&name, birth.index)),
            namespace: job.namespace(),
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            finalizers: Some(finalizers),
            owner_references: job.controller_owner_ref(&()).map(|owner| {
                vec![k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                    block_owner_deletion: Some(true),
                    ..owner
                }]
            }),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// `<job>-<index>-` or `<job>-`, cut so that the random part fits.
fn prefix(job: &str, index: Option<u32>) -> String {
    let end = index.map_or_else(|| "-".to_owned(), |index| format!("-{index}-"));
    let room = LONGEST_PREFIX - end.len();
    let cut: String = job.chars().take(room).collect();
    format!("{cut}{end}")
}

/// Appends `JOB_COMPLETION_INDEX` unless the container sets it.
fn add_index_variable(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == names::COMPLETION_INDEX_VARIABLE) {
        return;
    }
    let field = ObjectFieldSelector {
        api_version: None,
        field_path: format!("metadata.labels['{}']", names::COMPLETION_INDEX),
    };
    variables.push(EnvVar {
        name: names::COMPLETION_INDEX_VARIABLE.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() }),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: &str) -> Job {
        serde_saphyr::from_str(&format!(
            "metadata: {{name: j, namespace: ns, uid: U}}\nspec:\n  template:\n{spec}"
        ))
        .expect("a job")
    }

    const TEMPLATE: &str = r"
    metadata: {labels: {app: x}, annotations: {a: b}, finalizers: [mine]}
    spec:
      restartPolicy: Never
      initContainers: [{name: first, image: i}]
      containers:
      - {name: main, image: i, env: [{name: A, value: b}]}
      - {name: own, image: i, env: [{name: JOB_COMPLETION_INDEX, value: mine}]}
";

    #[test]
    fn a_pod_of_an_indexed_job_carries_its_index_everywhere() {
        let pod = pod(&job(TEMPLATE), &Birth { index: Some(3), failures: Some((2, 0)) });
        let expected = r#"
metadata:
  generateName: j-3-
  namespace: ns
  labels:
    app: x
    batch.kubernetes.io/controller-uid: U
    batch.kubernetes.io/job-name: j
    batch.kubernetes.io/job-completion-index: "3"
    controller-uid: U
    job-name: j
  annotations:
    a: b
    batch.kubernetes.io/job-completion-index: "3"
    batch.kubernetes.io/job-index-failure-count: "2"
  finalizers: [mine, batch.kubernetes.io/job-tracking]
  ownerReferences:
  - {apiVersion: batch/v1, kind: Job, name: j, uid: U, controller: true, blockOwnerDeletion: true}
spec:
  hostname: j-3
  restartPolicy: Never
  initContainers:
  - {name: first, image: i, env: [{name: JOB_COMPLETION_INDEX, valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}]}
  containers:
  - name: main
    image: i
    env:
    - {name: A, value: b}
    - {name: JOB_COMPLETION_INDEX, valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-completion-index']"}}}
  - {name: own, image: i, env: [{name: JOB_COMPLETION_INDEX, value: mine}]}
"#;
        assert_eq!(pod, serde_saphyr::from_str(expected).expect("a pod"));
    }

    #[test]
    fn a_pod_without_an_index_has_none_of_it() {
        let pod = pod(&job(TEMPLATE), &Birth::default());
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("j-"));
        assert!(
            !pod.labels().contains_key(names::COMPLETION_INDEX)
                && !pod.annotations().contains_key(names::FAILURE_COUNT)
        );
        assert_eq!(pod.spec.expect("a spec").hostname, None);
    }

    #[test]
    fn ignored_failures_are_told_only_if_there_are_any() {
        for (failures, told) in [((1, 0), None), ((0, 2), Some("2"))] {
            let pod = pod(&job(TEMPLATE), &Birth { index: Some(0), failures: Some(failures) });
            assert_eq!(pod.annotations().get(names::IGNORED_FAILURE_COUNT).map(String::as_str), told);
        }
    }

    #[test]
    fn a_long_name_is_cut_before_the_index() {
        let long = "n".repeat(63);
        for (index, prefix_len) in [(None, 58), (Some(7), 58), (Some(99_999), 58)] {
            let prefix = prefix(&long, index);
            assert_eq!(prefix.len(), prefix_len);
            assert!(prefix.ends_with(&index.map_or("n-".to_owned(), |index| format!("n-{index}-"))));
        }
        assert_eq!(prefix("short", Some(0)), "short-0-");
    }
}
