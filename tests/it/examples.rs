//! The manifests of `knative/`: what a cluster knows without Knative is applied as it stands; Knative's kinds are held to
//! what its contract says, because a mistake there would only show in a cluster that has Knative.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kakehi::api::{API_VERSION, Job, Trigger, TriggerSpec};
use kakehi::event::Event;
use kakehi::filter::Filter;
use kube::api::{Patch, PatchParams, ValidationDirective};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::chart::{items, objects, root, word};
use crate::support::cluster::{self, Place};

/// What the files may hold besides our kinds.
const KNOWN: &[(&str, &str)] = &[
    ("sources.knative.dev/v1", "PingSource"),
    ("sources.knative.dev/v1", "ApiServerSource"),
    ("sources.knative.dev/v1", "SinkBinding"),
    ("sources.knative.dev/v1alpha1", "RabbitmqSource"),
    ("eventing.knative.dev/v1", "Broker"),
    ("eventing.knative.dev/v1", "Trigger"),
    ("eventing.knative.dev/v1alpha1", "RabbitmqBrokerConfig"),
    ("v1", "ServiceAccount"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
];

const KNATIVE_TRIGGER: (&str, &str) = ("eventing.knative.dev/v1", "Trigger");

/// The objects of each file, by its name.
fn files() -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root().join("knative")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            found.insert(name, objects(&fs::read_to_string(&path).unwrap()));
        }
    }
    assert_eq!(found.len(), 6, "{:?}", found.keys());
    found
}

fn kind(object: &Value) -> (&str, &str) {
    (word(object, "/apiVersion"), word(object, "/kind"))
}

fn name(object: &Value) -> &str {
    word(object, "/metadata/name")
}

/// The object of that kind and name in that file.
fn find(file: &str, wanted: (&str, &str), named: &str) -> Value {
    let files = files();
    let mut found = files[file].iter().filter(|object| kind(object) == wanted && name(object) == named);
    found.next().unwrap_or_else(|| panic!("{file}: no {wanted:?} {named}")).clone()
}

/// Every `ref` in an object, wherever it stands.
fn references<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            into.extend(members.get("ref"));
            members.values().for_each(|member| references(member, into));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

/// Applies an object and reads it as `K`; a field that the API server does not know is an error.
async fn apply<K>(place: &Place, object: &Value) -> Result<K, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = place.api();
    let mut parameters = PatchParams::apply("examples");
    parameters.field_validation = Some(ValidationDirective::Strict);
    api.patch(name(object), &parameters, &Patch::Apply(object)).await
}

#[tokio::test]
async fn what_a_cluster_knows_is_accepted_as_it_stands() {
    let (place, mut jobs, mut rights) = (cluster::place().await, 0, 0);
    for (file, objects) in files() {
        for object in &objects {
            let applied = match kind(object) {
                (API_VERSION, "Job") => {
                    jobs += 1;
                    apply::<Job>(&place, object).await.map(drop)
                }
                (API_VERSION, "Trigger") => apply::<Trigger>(&place, object).await.map(drop),
                (API_VERSION, other) => panic!("{file}: {other} is nothing to copy"),
                ("v1", "ServiceAccount") => apply::<ServiceAccount>(&place, object).await.map(drop),
                // Local mode asks nobody for rights.
                ("rbac.authorization.k8s.io/v1", kind) if cluster::is_real() => {
                    rights += 1;
                    match kind {
                        "Role" => apply::<Role>(&place, object).await.map(drop),
                        _ => apply::<RoleBinding>(&place, object).await.map(drop),
                    }
                }
                _ => Ok(()),
            };
            applied.unwrap_or_else(|error| panic!("{file}: {:?} {}: {error}", kind(object), name(object)));
        }
    }
    assert!(jobs >= 6, "{jobs}");
    assert!(rights >= 2 || !cluster::is_real(), "{rights}");
}

#[test]
fn the_files_hold_known_kinds_and_no_name_twice() {
    for (file, objects) in files() {
        let mut seen = Vec::new();
        for object in &objects {
            let kind = kind(object);
            assert!(kind.0 == API_VERSION || KNOWN.contains(&kind), "{file}: {kind:?}");
            assert!(!name(object).is_empty(), "{file}: {object}");
            assert!(!seen.contains(&(kind, name(object))), "{file}: {kind:?} {} twice", name(object));
            assert!(object["metadata"].get("namespace").is_none(), "{file}: it goes into any namespace");
            seen.push((kind, name(object)));
        }
        assert!(objects.iter().any(|object| kind(object) == (API_VERSION, "Job")), "{file}: no Job");
    }
}

/// Rows 1 and 2 of the checklist: a Job is named by its plain `apiVersion`, `kind` and `name`.
#[test]
fn every_reference_leads_to_an_object_of_the_same_file() {
    let mut to_jobs = Vec::new();
    for (file, objects) in files() {
        for object in &objects {
            let mut found = Vec::new();
            references(&object["spec"], &mut found);
            for reference in found {
                let wanted = (kind(reference), word(reference, "/name"));
                assert!(objects.iter().any(|one| (kind(one), name(one)) == wanted), "{file}: {wanted:?}");
                if wanted.0 == (API_VERSION, "Job") {
                    to_jobs.push(format!("{}/{}", word(object, "/kind"), name(object)));
                }
            }
            for field in ["/spec/broker", "/spec/job/name"] {
                let target = word(object, field);
                assert!(
                    target.is_empty() || objects.iter().any(|one| name(one) == target),
                    "{file}: {target} is not there"
                );
            }
        }
    }
    for source in ["PingSource/tick-json", "RabbitmqSource/imports", "Trigger/resize", "Trigger/settle"] {
        assert!(to_jobs.iter().any(|job| job == source), "{source} leads to no Job: {to_jobs:?}");
    }
}

/// What Knative's clock understands of a schedule: numbers, lists, ranges and steps; never `@every`.
fn is_schedule(schedule: &str) -> bool {
    let fields: Vec<&str> = schedule.split(' ').collect();
    let known = |field: &&str| {
        !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit() || b"*/,-?".contains(&byte))
    };
    (5..=6).contains(&fields.len()) && fields.iter().all(known)
}

#[test]
fn clocks_tick_and_carry_what_they_say() {
    let mut schedules = Vec::new();
    for (file, objects) in files() {
        for source in objects.iter().filter(|object| word(object, "/kind") == "PingSource") {
            let spec = &source["spec"];
            let schedule = word(spec, "/schedule");
            assert!(is_schedule(schedule), "{file}: {schedule:?}");
            assert!(word(spec, "/timezone").contains('/'), "{file}: a time zone by its name");
            match (spec["data"].as_str(), spec["dataBase64"].as_str()) {
                (Some(text), None) => {
                    let data: Value = serde_json::from_str(text).unwrap();
                    assert!(data.is_object() && word(spec, "/contentType") == "application/json", "{file}");
                    schedules.push((schedule.to_owned(), "json"));
                }
                (None, Some(bytes)) => {
                    assert!(!BASE64_STANDARD.decode(bytes).unwrap().is_empty(), "{file}");
                    schedules.push((schedule.to_owned(), "bytes"));
                }
                both => panic!("{file}: {both:?}"),
            }
            let extensions = spec.pointer("/ceOverrides/extensions").and_then(Value::as_object);
            for key in extensions.into_iter().flatten().map(|(key, _)| key) {
                let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                assert!(key.bytes().all(plain) && !["id", "type", "source"].contains(&key.as_str()), "{key}");
            }
        }
    }
    assert!(schedules.contains(&("*/10 * * * * *".to_owned(), "json")), "{schedules:?}");
    assert!(schedules.iter().any(|(_, form)| *form == "bytes"), "{schedules:?}");
}

/// The filters of a Trigger, Knative's or ours, as our own compiler reads them.
fn filter(trigger: &Value) -> Filter {
    let mut spec = trigger["spec"].clone();
    spec["job"] = serde_json::json!({"name": "any"});
    let spec: TriggerSpec = serde_json::from_value(spec).unwrap();
    assert!(spec.filter.is_some() || !spec.filters.is_empty(), "{} lets everything pass", name(trigger));
    Filter::compile(&spec).unwrap_or_else(|error| panic!("{}: {error}", name(trigger)))
}

fn event(kind: &str, source: &str, further: &[(&str, &str)]) -> Event {
    let mut builder = Event::builder().required("1", source, kind);
    for (attribute, value) in further {
        builder = builder.set(attribute, *value);
    }
    builder.build().unwrap()
}

#[test]
fn filters_compile_and_pick_what_the_text_says() {
    for objects in files().values() {
        for trigger in objects.iter().filter(|object| word(object, "/kind") == "Trigger") {
            filter(trigger);
        }
    }
    let resize = filter(&find("broker.yaml", KNATIVE_TRIGGER, "resize"));
    let uploaded = "com.example.image.uploaded";
    assert!(resize.matches(&event(uploaded, "/shop", &[("subject", "cat.png")])));
    assert!(!resize.matches(&event(uploaded, "/shop", &[("subject", "cat.gif")])));
    assert!(!resize.matches(&event(uploaded, "/test/shop", &[("subject", "cat.png")])));
    assert!(!resize.matches(&event("com.example.other", "/shop", &[("subject", "cat.png")])));
    let scan = filter(&find("api-server-source.yaml", (API_VERSION, "Trigger"), "new-deployments"));
    let seen = |kind: &str, object: &str| event(kind, "https://10.96.0.1:443", &[("kind", object)]);
    assert!(scan.matches(&seen("dev.knative.apiserver.resource.add", "Deployment")));
    assert!(!scan.matches(&seen("dev.knative.apiserver.resource.update", "Deployment")));
    assert!(!scan.matches(&seen("dev.knative.apiserver.resource.add", "Pod")));
}

#[test]
fn deliveries_are_tried_again_and_end_somewhere() {
    let mut seen = 0;
    for (file, objects) in files() {
        for object in objects.iter().filter(|object| object["spec"].get("delivery").is_some()) {
            let delivery = &object["spec"]["delivery"];
            assert!(delivery["retry"].as_u64() >= Some(5), "{file}: {delivery}");
            assert!(["linear", "exponential"].contains(&word(delivery, "/backoffPolicy")), "{file}");
            let delay = word(delivery, "/backoffDelay");
            let seconds = delay.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S'));
            assert!(seconds.and_then(|seconds| seconds.parse::<f32>().ok()).is_some(), "{file}: {delay}");
            let dead_letters = delivery.get("deadLetterSink").is_some();
            assert_eq!(
                dead_letters,
                word(object, "/kind") != "RabbitmqSource",
                "{file}: it has no such field"
            );
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen}");
    let source = find("rabbitmq-source.yaml", ("sources.knative.dev/v1alpha1", "RabbitmqSource"), "imports");
    assert!(source["spec"].get("delivery").is_some(), "without it a message is tried once");
}

/// A RabbitMQ Broker reads the legacy filter only and ignores the other: such a Trigger would get everything.
#[test]
fn triggers_of_a_rabbitmq_broker_use_the_filter_that_it_reads() {
    let files = files();
    let objects = &files["rabbitmq-broker.yaml"];
    let class = "eventing.knative.dev/broker.class";
    let brokers: Vec<&str> = objects
        .iter()
        .filter(|object| object["metadata"]["annotations"][class] == "RabbitMQBroker")
        .map(name)
        .collect();
    let mut triggers = objects.iter().filter(|object| kind(object) == KNATIVE_TRIGGER).peekable();
    assert!(triggers.peek().is_some() && !brokers.is_empty());
    for trigger in triggers {
        assert!(brokers.contains(&word(trigger, "/spec/broker")));
        assert!(trigger["spec"].get("filters").is_none());
        let attributes = trigger.pointer("/spec/filter/attributes").and_then(Value::as_object).unwrap();
        assert!(!attributes.is_empty() && attributes.values().all(|value| value != ""), "{attributes:?}");
    }
}

#[test]
fn the_sink_binding_finds_the_jobs_of_its_template_and_starts_no_loop() {
    let binding = find("sink-binding.yaml", ("sources.knative.dev/v1", "SinkBinding"), "reports");
    assert_eq!(kind(&binding["spec"]["subject"]), ("batch/v1", "Job"));
    let wanted = binding.pointer("/spec/subject/selector/matchLabels").and_then(Value::as_object).unwrap();
    let bound = |job: &str| {
        let job = find("sink-binding.yaml", (API_VERSION, "Job"), job);
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    assert!(!wanted.is_empty() && bound("report"));
    assert!(!bound("archive"), "what takes the reports does not report");
}

#[test]
fn every_container_names_its_image_with_a_version() {
    for (file, objects) in files() {
        for job in objects.iter().filter(|object| kind(object) == (API_VERSION, "Job")) {
            for container in items(job, "/spec/template/spec/template/spec/containers") {
                assert!(word(container, "/image").contains(':'), "{file}: {container}");
            }
        }
    }
}

#[test]
fn the_readme_speaks_of_every_file() {
    let text = fs::read_to_string(root().join("knative/README.md")).unwrap();
    for file in files().keys() {
        assert!(text.contains(&format!("| `{file}` |")), "{file}");
    }
}
