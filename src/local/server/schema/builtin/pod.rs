//! A pod spec, in a Pod or in a template.

use std::collections::HashSet;

use serde_json::Value;

use crate::local::server::schema::builtin::container;
use crate::local::server::schema::builtin::items;
use crate::local::server::schema::builtin::not_negative;
use crate::local::server::schema::builtin::one_of;
use crate::local::server::schema::builtin::refuse;
use crate::local::server::schema::builtin::text;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::names;
use crate::local::server::schema::path::Path;

pub(super) fn check(spec: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let volumes = volumes(items(spec, "volumes"), &path.field("volumes"), errors);
    let mut names = HashSet::new();
    for (field, required) in [("initContainers", false), ("containers", true)] {
        let containers = items(spec, field);
        let path = path.field(field);
        if required && containers.is_empty() {
            errors.push(FieldError::required(&path, ""));
        }
        for (index, one) in containers.iter().enumerate() {
            let path = path.index(index);
            container::check(one, &volumes, &path, errors);
            let name = text(one, "name");
            if !name.is_empty() && !names.insert(name) {
                errors.push(FieldError::duplicate(&path.field("name"), &Value::from(name)));
            }
        }
    }
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, errors);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, errors);
    not_negative(spec, "terminationGracePeriodSeconds", path, errors);
    if let Some(deadline) = spec.get("activeDeadlineSeconds")
        && !deadline.as_i64().is_some_and(|seconds| (1..=i64::from(i32::MAX)).contains(&seconds))
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(&path.field("activeDeadlineSeconds"), deadline, detail));
    }
    for field in ["nodeName", "serviceAccountName"] {
        let name = text(spec, field);
        if !name.is_empty() {
            refuse(&path.field(field), name, names::dns_subdomain(name), errors);
        }
    }
    if let Some(Value::Object(selector)) = spec.get("nodeSelector") {
        super::super::metadata::labels(selector, &path.field("nodeSelector"), errors);
    }
}

/// Checks the volumes and returns their names.
fn volumes<'v>(volumes: &'v [Value], path: &Path<'_>, errors: &mut Vec<FieldError>) -> HashSet<&'v str> {
    let mut names = HashSet::new();
    for (index, volume) in volumes.iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        if name.is_empty() {
            errors.push(FieldError::required(&path.field("name"), ""));
        } else {
            refuse(&path.field("name"), name, names::dns_label(name), errors);
            if !names.insert(name) {
                errors.push(FieldError::duplicate(&path.field("name"), &Value::from(name)));
            }
        }
        let sources: Vec<&String> = volume
            .as_object()
            .into_iter()
            .flatten()
            .map(|(field, _)| field)
            .filter(|field| *field != "name")
            .collect();
        if let [_, rest @ ..] = &sources[..] {
            for source in rest {
                errors.push(FieldError::forbidden(
                    &path.field(source),
                    "may not specify more than 1 volume type",
                ));
            }
        } else {
            errors.push(FieldError::required(&path, "must specify a volume type"));
        }
        sources_of(volume, &path, errors);
    }
    names
}

/// What the sources that people use must say.
fn sources_of(volume: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (source, field) in [
        ("secret", "secretName"),
        ("configMap", "name"),
        ("hostPath", "path"),
        ("persistentVolumeClaim", "claimName"),
    ] {
        if volume.get(source).is_some_and(|source| text(source, field).is_empty()) {
            errors.push(FieldError::required(&path.field(source).field(field), ""));
        }
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        let Some(mode) = volume.get(source).and_then(|source| source.get("defaultMode")) else { continue };
        if !mode.as_i64().is_some_and(|mode| (0..=0o777).contains(&mode)) {
            let path = path.field(source);
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            errors.push(FieldError::invalid(&path.field("defaultMode"), mode, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn errors(spec: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&spec, &Path::ROOT.field("spec"), &mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn the_smallest_pod_is_good() {
        assert!(errors(json!({"containers": [{"name": "a", "image": "b"}]})).is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let good = json!({"name": "a", "image": "b"});
        for (spec, expected) in [
            (json!({}), "spec.containers: Required value"),
            (json!({"containers": [{"image": "b"}]}), "spec.containers[0].name: Required value"),
            (json!({"containers": [{"name": "a"}]}), "spec.containers[0].image: Required value"),
            (json!({"containers": [good, good]}), "spec.containers[1].name: Duplicate value: \"a\""),
            (
                json!({"containers": [good], "restartPolicy": "Sometimes"}),
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            (
                json!({"containers": [good], "activeDeadlineSeconds": 0}),
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            ),
            (
                json!({"containers": [good], "terminationGracePeriodSeconds": -1}),
                "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                json!({"containers": [good], "volumes": [{"name": "v", "emptyDir": {}}, {"name": "v", "emptyDir": {}}]}),
                "spec.volumes[1].name: Duplicate value: \"v\"",
            ),
            (
                json!({"containers": [good], "volumes": [{"name": "v"}]}),
                "spec.volumes[0]: Required value: must specify a volume type",
            ),
            (
                json!({"containers": [good], "volumes": [{"name": "v", "emptyDir": {}, "secret": {"secretName": "s"}}]}),
                "spec.volumes[0].secret: Forbidden: may not specify more than 1 volume type",
            ),
            (
                json!({"containers": [good], "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 5000}}]}),
                "spec.volumes[0].configMap.defaultMode: Invalid value: 5000: must be a number between 0 and 0777 (octal), both inclusive",
            ),
        ] {
            assert_eq!(errors(spec), [expected]);
        }
    }
}
