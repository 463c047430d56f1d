//! `batch/v1` Jobs: defaults, the generated selector, and what may not change.

use serde_json::Value;
use serde_json::json;

use crate::local::server::metadata;
use crate::local::server::schema::FieldError;
use crate::local::server::strategy::default;
use crate::local::server::strategy::immutable;
use crate::local::server::strategy::items;
use crate::local::server::strategy::pod;

pub(super) fn create(object: &mut Value) {
    object["status"] = json!({});
    let name = metadata::name(object).to_owned();
    let uid = metadata::text(object, "uid").unwrap_or_default().to_owned();
    if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
        default_spec(spec);
        if spec.get("manualSelector") != Some(&Value::Bool(true)) {
            select(spec, &name, &uid);
        }
    }
}

pub(super) fn update(object: &mut Value, old: &Value) {
    if let Some(spec) = object.get_mut("spec").filter(|spec| spec.is_object()) {
        default_spec(spec);
        // A manifest that is applied again does not know what the server generated.
        if let Some(selector) = old.pointer("/spec/selector") {
            default(spec, "selector", || selector.clone());
        }
        if let Some(Value::Object(generated)) = old.pointer("/spec/template/metadata/labels") {
            let template = &mut spec["template"];
            default(template, "metadata", || json!({}));
            default(&mut template["metadata"], "labels", || json!({}));
            for (label, value) in generated.iter().filter(|(label, _)| GENERATED.contains(&label.as_str())) {
                default(&mut template["metadata"]["labels"], label, || value.clone());
            }
        }
    }
}

const GENERATED: &[&str] =
    &["controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name"];

fn default_spec(spec: &mut Value) {
    if spec.get("completions").is_none_or(Value::is_null)
        && spec.get("parallelism").is_none_or(Value::is_null)
    {
        spec["completions"] = json!(1);
    }
    default(spec, "parallelism", || json!(1));
    let per_index = spec.get("backoffLimitPerIndex").is_some_and(|limit| !limit.is_null());
    default(spec, "backoffLimit", || if per_index { json!(i32::MAX) } else { json!(6) });
    default(spec, "completionMode", || json!("NonIndexed"));
    default(spec, "suspend", || json!(false));
    let policy = spec.get("podFailurePolicy").is_some_and(|policy| !policy.is_null());
    default(spec, "podReplacementPolicy", || {
        if policy { json!("Failed") } else { json!("TerminatingOrFailed") }
    });
    for rule in spec.get_mut("podFailurePolicy").into_iter().flat_map(|policy| items(policy, "rules")) {
        for pattern in items(rule, "onPodConditions") {
            default(pattern, "status", || json!("True"));
        }
    }
    if let Some(template) = spec.pointer_mut("/template/spec").filter(|template| template.is_object()) {
        // A Job has no default restart policy: leaving it out is an error that the owner is told about.
        let policy = template.get("restartPolicy").is_some_and(|policy| !policy.is_null());
        pod::default_spec(template);
        if !policy && let Some(fields) = template.as_object_mut() {
            fields.remove("restartPolicy");
        }
    }
}

/// Marks the pods of this Job by its uid, so that two Jobs never fight over a pod.
fn select(spec: &mut Value, name: &str, uid: &str) {
    let template = &mut spec["template"];
    default(template, "metadata", || json!({}));
    default(&mut template["metadata"], "labels", || json!({}));
    let labels = &mut template["metadata"]["labels"];
    for (label, value) in GENERATED.iter().zip([uid, name, uid, name]) {
        labels[*label] = json!(value);
    }
    default(spec, "selector", || json!({}));
    default(&mut spec["selector"], "matchLabels", || json!({}));
    spec["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = json!(uid);
}

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let policy = object.pointer("/spec/template/spec/restartPolicy").and_then(Value::as_str);
    if !matches!(policy, Some("Never" | "OnFailure")) {
        let (reason, message) = match policy {
            None => {
                ("FieldValueRequired", "Required value: valid values: \"OnFailure\", \"Never\"".to_owned())
            }
            Some(other) => (
                "FieldValueNotSupported",
                format!("Unsupported value: {other:?}: supported values: \"OnFailure\", \"Never\""),
            ),
        };
        errors.push(FieldError { field: "spec.template.spec.restartPolicy".to_owned(), reason, message });
    }
    let indexed = object.pointer("/spec/completionMode").and_then(Value::as_str) == Some("Indexed");
    if indexed && object.pointer("/spec/completions").is_none_or(Value::is_null) {
        errors.push(FieldError {
            field: "spec.completions".to_owned(),
            reason: "FieldValueRequired",
            message: "Required value: when completion mode is Indexed".to_owned(),
        });
    }
    if !indexed && object.pointer("/spec/backoffLimitPerIndex").is_some_and(|limit| !limit.is_null()) {
        errors.push(FieldError {
            field: "spec.backoffLimitPerIndex".to_owned(),
            reason: "FieldValueInvalid",
            message: "Invalid value: requires indexed completion mode".to_owned(),
        });
    }
    if let Some(old) = old {
        errors.extend(changed(object, old, indexed));
    }
    errors
}

/// What may not change after creation.
fn changed(object: &Value, old: &Value, indexed: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for pointer in
        ["/spec/selector", "/spec/completionMode", "/spec/podFailurePolicy", "/spec/backoffLimitPerIndex"]
    {
        errors.extend(immutable(object, old, pointer));
    }
    // An Indexed Job may be resized, if completions and parallelism stay the same number (elastic Indexed Jobs).
    let elastic = indexed && object.pointer("/spec/completions") == object.pointer("/spec/parallelism");
    if !elastic {
        errors.extend(immutable(object, old, "/spec/completions"));
    }
    // A queue such as Kueue directs the pods of a Job that is suspended and has not started.
    let suspended = old.pointer("/spec/suspend") == Some(&Value::Bool(true));
    let started = old.pointer("/status/startTime").is_some_and(|time| !time.is_null());
    if !suspended || started {
        errors.extend(immutable(object, old, "/spec/template"));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Value {
        json!({
            "metadata": {"name": "j", "uid": "u"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}}
        })
    }

    #[test]
    fn a_job_selects_its_pods_by_its_uid() {
        let mut job = job();
        create(&mut job);
        assert_eq!(
            job["spec"]["selector"],
            json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}})
        );
        let labels = &job["spec"]["template"]["metadata"]["labels"];
        assert_eq!(labels["batch.kubernetes.io/job-name"], "j");
        assert_eq!(labels["controller-uid"], "u");
        assert_eq!(job["spec"]["backoffLimit"], 6);
        assert_eq!(job["spec"]["completions"], 1);
        assert!(validate(&job, None).is_empty());
    }

    #[test]
    fn a_limit_per_index_lifts_the_limit_of_the_whole() {
        let mut job = job();
        job["spec"]["backoffLimitPerIndex"] = json!(3);
        job["spec"]["completionMode"] = json!("Indexed");
        job["spec"]["completions"] = json!(2);
        create(&mut job);
        assert_eq!(job["spec"]["backoffLimit"], i32::MAX);
    }

    #[test]
    fn a_job_without_a_restart_policy_is_refused() {
        let mut job = job();
        job["spec"]["template"]["spec"].as_object_mut().unwrap().remove("restartPolicy");
        create(&mut job);
        assert_eq!(validate(&job, None)[0].reason, "FieldValueRequired");
    }

    #[test]
    fn a_template_changes_only_while_the_job_waits() {
        let mut old = job();
        create(&mut old);
        let mut new = old.clone();
        new["spec"]["template"]["spec"]["nodeSelector"] = json!({"a": "b"});
        new["spec"]["parallelism"] = json!(5);
        assert_eq!(validate(&new, Some(&old))[0].field, "spec.template");
        old["spec"]["suspend"] = json!(true);
        assert!(validate(&new, Some(&old)).is_empty());
        old["status"] = json!({"startTime": "t"});
        assert_eq!(validate(&new, Some(&old)).len(), 1);
    }

    #[test]
    fn a_manifest_applied_again_keeps_what_was_generated() {
        let mut old = job();
        create(&mut old);
        let mut new = job();
        update(&mut new, &old);
        assert!(validate(&new, Some(&old)).is_empty(), "{:?}", validate(&new, Some(&old)));
    }
}
