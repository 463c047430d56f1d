//! The conversion loses nothing: what a client sends is what it reads, and what it reads and sends back changes nothing.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::Job;
use crate::cloudrun::messages::api::LaunchStage;
use crate::cloudrun::messages::v2;
use crate::cloudrun::messages::v2::empty_dir_volume_source::Medium;
use crate::cloudrun::messages::v2::env_var::Values;
use crate::cloudrun::messages::v2::task_template::Retries;
use crate::cloudrun::messages::v2::volume::VolumeType;
use crate::cloudrun::names::{JobName, Place};

fn name() -> JobName {
    Place { project: "shop".to_owned(), location: "l".to_owned() }.job("resize")
}

/// Text with everything that could be taken for something else.
fn text() -> impl Strategy<Value = String> {
    "[a-z$() =\"\\\\日]{0,6}"
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,5}"
}

fn map() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map("[a-z]{1,4}(\\.example/[a-z]{1,4})?", word(), 0..3)
}

fn variable() -> impl Strategy<Value = v2::EnvVar> {
    let source = |(secret, version)| {
        let secret_key_ref = Some(v2::SecretKeySelector { secret, version });
        Values::ValueSource(v2::EnvVarSource { secret_key_ref })
    };
    let values = prop_oneof![text().prop_map(Values::Value), (word(), word()).prop_map(source)];
    (word(), values).prop_map(|(name, values)| v2::EnvVar { name, values: Some(values) })
}

fn volume_type() -> impl Strategy<Value = VolumeType> {
    let path = || {
        (word(), word(), 0..0o777_i32).prop_map(|(path, version, mode)| v2::VersionToPath {
            path,
            version,
            mode,
        })
    };
    let secret = (word(), prop::collection::vec(path(), 0..3), 0..0o777_i32).prop_map(
        |(secret, items, default_mode)| {
            VolumeType::Secret(v2::SecretVolumeSource { secret, items, default_mode })
        },
    );
    let scratch = (prop::bool::ANY, "|[1-9]Mi").prop_map(|(memory, size_limit)| {
        let medium = if memory { Medium::Memory } else { Medium::Unspecified };
        VolumeType::EmptyDir(v2::EmptyDirVolumeSource { medium: medium.into(), size_limit })
    });
    let nfs = (word(), word(), prop::bool::ANY).prop_map(|(server, path, read_only)| {
        VolumeType::Nfs(v2::NfsVolumeSource { server, path, read_only })
    });
    prop_oneof![secret, scratch, nfs]
}

fn container() -> impl Strategy<Value = v2::Container> {
    let words = || prop::collection::vec(text(), 0..3);
    let env = prop::collection::vec(variable(), 0..4);
    let limits = prop::collection::btree_map("cpu|memory", "[1-9]", 0..3);
    let ports = prop::collection::vec(("|[a-z]{1,3}", 1..9999_i32), 0..2);
    let mounts = prop::collection::vec((word(), word(), "|[a-z]"), 0..3);
    (word(), word(), words(), words(), env, limits, (ports, mounts, "|/[a-z]")).prop_map(
        |(name, image, command, args, env, limits, (ports, mounts, working_dir))| v2::Container {
            name,
            image,
            command,
            args,
            env,
            resources: (!limits.is_empty())
                .then(|| v2::ResourceRequirements { limits, ..v2::ResourceRequirements::default() }),
            ports: ports
                .into_iter()
                .map(|(name, container_port)| v2::ContainerPort { name, container_port })
                .collect(),
            volume_mounts: mounts
                .into_iter()
                .map(|(name, mount_path, sub_path)| v2::VolumeMount { name, mount_path, sub_path })
                .collect(),
            working_dir,
            ..v2::Container::default()
        },
    )
}

/// A Job as a client may send it, with every default said.
fn sent() -> impl Strategy<Value = v2::Job> {
    let volumes = prop::collection::vec((word(), volume_type()), 0..3);
    let task = (container(), volumes, 1..100_000_i64, "|[a-z]{1,5}", 0..=10_i32);
    let stage = prop::sample::select(vec![LaunchStage::Ga, LaunchStage::Beta, LaunchStage::Alpha]);
    let counts = (0..20_i32, 1..20_i32);
    (map(), map(), (map(), map()), "|gcloud", stage, counts, task).prop_map(
        |(labels, annotations, given, client, stage, (parallelism, task_count), task)| {
            let (container, volumes, timeout, service_account, retries) = task;
            let volume = |(name, volume_type)| v2::Volume { name, volume_type: Some(volume_type) };
            let task = v2::TaskTemplate {
                containers: vec![container],
                volumes: volumes.into_iter().map(volume).collect(),
                timeout: Some(time::span(timeout)),
                service_account,
                execution_environment: v2::ExecutionEnvironment::Gen2.into(),
                retries: Some(Retries::MaxRetries(retries)),
                ..v2::TaskTemplate::default()
            };
            let template = v2::ExecutionTemplate {
                labels: given.0,
                annotations: given.1,
                parallelism,
                task_count,
                template: Some(task),
            };
            v2::Job {
                labels,
                annotations,
                client_version: client.clone(),
                client,
                launch_stage: stage.into(),
                template: Some(template),
                ..v2::Job::default()
            }
        },
    )
}

/// What of a message a client writes.
fn written(job: v2::Job) -> v2::Job {
    let v2::Job { labels, annotations, client, client_version, launch_stage, template, .. } = job;
    v2::Job { labels, annotations, client, client_version, launch_stage, template, ..v2::Job::default() }
}

fn shown(object: &Job) -> v2::Job {
    job(object, &name().place, None, None)
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_read(sent in sent()) {
        let stored = read_job(sent.clone(), &name(), None).unwrap();
        let json = serde_json::to_value(&stored).unwrap();
        let stored: Job = serde_json::from_value(json).unwrap();
        prop_assert_eq!(written(shown(&stored)), sent);
    }

    #[test]
    fn an_update_replaces_everything_that_there_are_words_for(before in sent(), after in sent()) {
        let old = read_job(before, &name(), None).unwrap();
        let new = read_job(after.clone(), &name(), Some(&old)).unwrap();
        prop_assert_eq!(written(shown(&new)), after);
    }

    #[test]
    fn what_is_read_and_sent_back_changes_nothing(mask in prop::collection::vec(prop::bool::ANY, 16)) {
        let old = rich(&mask);
        let new = read_job(shown(&old), &name(), Some(&old)).unwrap();
        let ignored = "run.googleapis.com/launch-stage";
        let mut found = serde_json::to_value(&new).unwrap();
        found["metadata"]["annotations"].as_object_mut().unwrap().remove(ignored);
        prop_assert_eq!(found, serde_json::to_value(&old).unwrap());
    }
}

/// A Job with things that Cloud Run has no words for; `mask` says which.
fn rich(mask: &[bool]) -> Job {
    let pick = |from: usize, items: Value| -> Value {
        let items = items.as_array().unwrap().clone();
        items.into_iter().zip(&mask[from..]).filter(|(_, wanted)| **wanted).map(|(item, _)| item).collect()
    };
    let env = pick(
        0,
        json!([
            {"name": "A", "value": "$(HOME) and $$(not)"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "E"},
        ]),
    );
    let volumes = pick(
        5,
        json!([
            {"name": "conf", "configMap": {"name": "c"}},
            {"name": "huge", "emptyDir": {"medium": "HugePages"}},
            {"name": "keys", "secret": {"secretName": "s", "optional": true}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
        ]),
    );
    let mounts = pick(
        9,
        json!([{"name": "conf", "mountPath": "/c", "readOnly": true}, {"name": "huge", "mountPath": "/h"}]),
    );
    let mut container = json!({
        "name": "work", "image": "i", "args": ["$(A)"], "imagePullPolicy": "Never",
        "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, "securityContext": {"privileged": false},
    });
    for (key, list) in [("env", env), ("volumeMounts", mounts)] {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            container[key] = list;
        }
    }
    let mut task = json!({
        "containers": [container], "maxRetries": 1, "timeoutSeconds": 5, "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "k"}], "priorityClassName": "low",
    });
    if volumes.as_array().is_some_and(|list| !list.is_empty()) {
        task["volumes"] = volumes;
    }
    let mut spec = json!({"taskCount": 2, "template": {"spec": task}});
    if mask[11] {
        spec["startDeadlineSeconds"] = json!(30);
    }
    let object = json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
        "metadata": {
            "name": "resize", "namespace": "shop", "uid": "u", "generation": 3, "resourceVersion": "9",
            "labels": {"team": "red", "run.kakehi.dev/kept": "yes"},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "note": "n"},
            "finalizers": ["somebody/else"],
        },
        "spec": {
            "suspend": mask[12], "history": {"limit": 5, "ttlSeconds": 60},
            "template": {"metadata": {"labels": {"run.kakehi.dev/hidden": "yes"}}, "spec": spec},
        },
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn defaults_are_said_and_zero_is_not_unset() {
    let container = v2::Container { image: "i".to_owned(), ..v2::Container::default() };
    let sent = |retries| {
        let task =
            v2::TaskTemplate { containers: vec![container.clone()], retries, ..v2::TaskTemplate::default() };
        let template = v2::ExecutionTemplate { template: Some(task), ..v2::ExecutionTemplate::default() };
        let job = v2::Job { template: Some(template), ..v2::Job::default() };
        shown(&read_job(job, &name(), None).unwrap()).template.unwrap()
    };
    let found = sent(None);
    assert_eq!((found.task_count, found.parallelism), (1, 0));
    let task = found.template.unwrap();
    assert_eq!((task.retries, task.timeout), (Some(Retries::MaxRetries(3)), Some(time::span(600))));
    assert_eq!(task.containers[0].name, "main");
    assert_eq!(sent(Some(Retries::MaxRetries(0))).template.unwrap().retries, Some(Retries::MaxRetries(0)));
}

/// A change of a Job, or of the task in it.
type Change<'a> = &'a dyn Fn(&mut v2::Job, &mut v2::TaskTemplate);

fn smallest() -> v2::Container {
    v2::Container { image: "i".to_owned(), ..v2::Container::default() }
}

/// Each change alone is refused, with that field.
fn refused(table: &[(&str, Change<'_>)]) {
    for (field, change) in table {
        let mut job = v2::Job::default();
        let mut task = v2::TaskTemplate { containers: vec![smallest()], ..v2::TaskTemplate::default() };
        change(&mut job, &mut task);
        job.template.get_or_insert_default().template = Some(task);
        let fault = read_job(job, &name(), None).unwrap_err();
        assert_eq!(fault.code, tonic::Code::InvalidArgument);
        let fields: Vec<&str> = fault.violations().iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, [*field]);
    }
}

#[test]
fn what_a_job_cannot_have_here_is_refused_by_name() {
    refused(&[
        ("labels[\"run.googleapis.com/x\"]", &|job, _| {
            job.labels.insert("run.googleapis.com/x".to_owned(), String::new());
        }),
        ("annotations[\"run.kakehi.dev/digest\"]", &|job, _| {
            job.annotations.insert("run.kakehi.dev/digest".to_owned(), String::new());
        }),
        ("launch_stage", &|job, _| job.launch_stage = LaunchStage::Prelaunch.into()),
        ("binary_authorization", &|job, _| {
            let breakglass_justification = "why".to_owned();
            let asked =
                v2::BinaryAuthorization { breakglass_justification, ..v2::BinaryAuthorization::default() };
            job.binary_authorization = Some(asked);
        }),
        ("run_execution_token", &|job, _| {
            job.create_execution = Some(v2::job::CreateExecution::RunExecutionToken("t".to_owned()));
        }),
        ("start_execution_token", &|job, _| {
            job.create_execution = Some(v2::job::CreateExecution::StartExecutionToken("t".to_owned()));
        }),
        ("template.task_count", &|job, _| job.template.get_or_insert_default().task_count = 10_001),
        ("template.parallelism", &|job, _| job.template.get_or_insert_default().parallelism = -1),
        ("template.template.max_retries", &|_, task| task.retries = Some(Retries::MaxRetries(11))),
        ("template.template.timeout", &|_, task| {
            task.timeout = Some(prost_types::Duration { seconds: 1, nanos: 1 });
        }),
        ("template.template.timeout", &|_, task| task.timeout = Some(time::span(0))),
        ("template.template.execution_environment", &|_, task| {
            task.execution_environment = v2::ExecutionEnvironment::Gen1.into();
        }),
        ("template.template.encryption_key", &|_, task| task.encryption_key = "k".to_owned()),
        ("template.template.vpc_access", &|_, task| {
            task.vpc_access = Some(v2::VpcAccess { connector: "c".to_owned(), ..v2::VpcAccess::default() });
        }),
        ("template.template.node_selector", &|_, task| {
            task.node_selector = Some(v2::NodeSelector { accelerator: "nvidia-l4".to_owned() });
        }),
        ("template.template.gpu_zonal_redundancy_disabled", &|_, task| {
            task.gpu_zonal_redundancy_disabled = Some(true);
        }),
    ]);
}

#[test]
fn what_a_container_cannot_have_here_is_refused_by_name() {
    refused(&[
        ("template.template.containers", &|_, task| task.containers.push(smallest())),
        ("template.template.containers[0].image", &|_, task| task.containers[0].image = String::new()),
        ("template.template.containers[0].depends_on", &|_, task| {
            task.containers[0].depends_on.push("x".to_owned());
        }),
        ("template.template.containers[0].startup_probe", &|_, task| {
            task.containers[0].startup_probe = Some(v2::Probe::default());
        }),
        ("template.template.containers[0].resources.cpu_idle", &|_, task| {
            task.containers[0].resources.get_or_insert_default().cpu_idle = true;
        }),
        ("template.template.containers[0].env[0].name", &|_, task| {
            task.containers[0].env.push(v2::EnvVar { name: "a=b".to_owned(), values: None });
        }),
        ("template.template.containers[0].env[0].value_source.secret_key_ref.version", &|_, task| {
            let selector = v2::SecretKeySelector { secret: "s".to_owned(), version: String::new() };
            let source = v2::EnvVarSource { secret_key_ref: Some(selector) };
            let values = Some(Values::ValueSource(source));
            task.containers[0].env.push(v2::EnvVar { name: "A".to_owned(), values });
        }),
        ("template.template.volumes[0].gcs", &|_, task| {
            let volume_type = Some(VolumeType::Gcs(v2::GcsVolumeSource::default()));
            task.volumes.push(v2::Volume { name: "v".to_owned(), volume_type });
        }),
        ("template.template.volumes[0].cloud_sql_instance", &|_, task| {
            let volume_type = Some(VolumeType::CloudSqlInstance(v2::CloudSqlInstance::default()));
            task.volumes.push(v2::Volume { name: "v".to_owned(), volume_type });
        }),
        ("template.template.volumes[0].secret.secret", &|_, task| {
            let secret = "projects/p/secrets/s".to_owned();
            let volume_type = Some(VolumeType::Secret(v2::SecretVolumeSource {
                secret,
                ..v2::SecretVolumeSource::default()
            }));
            task.volumes.push(v2::Volume { name: "v".to_owned(), volume_type });
        }),
    ]);
}

#[test]
fn an_address_of_a_service_account_is_one_of_the_namespace() {
    let container = v2::Container { image: "i".to_owned(), ..v2::Container::default() };
    let task = v2::TaskTemplate {
        containers: vec![container],
        service_account: "worker@project.iam.gserviceaccount.com".to_owned(),
        ..v2::TaskTemplate::default()
    };
    let template = v2::ExecutionTemplate { template: Some(task), ..v2::ExecutionTemplate::default() };
    let stored = read_job(v2::Job { template: Some(template), ..v2::Job::default() }, &name(), None).unwrap();
    assert_eq!(stored.spec.template.spec.template.spec.service_account_name.as_deref(), Some("worker"));
}

#[test]
fn what_the_api_server_refuses_has_its_name_in_the_message() {
    for (stored, shown) in [
        ("metadata.labels", "labels"),
        ("spec.template.spec.taskCount", "template.task_count"),
        ("spec.template.spec.template.spec.timeoutSeconds", "template.template.timeout"),
        (
            "spec.template.spec.template.spec.containers[0].volumeMounts[1].mountPath",
            "template.template.containers[0].volume_mounts[1].mount_path",
        ),
        ("spec.templates", "spec.templates"),
        ("spec.suspend", "spec.suspend"),
    ] {
        assert_eq!(of_stored(stored), shown, "{stored}");
    }
}
