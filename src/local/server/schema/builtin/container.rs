//! One container of a pod spec.

use std::collections::HashSet;

use serde_json::Value;

use crate::local::server::schema::builtin::items;
use crate::local::server::schema::builtin::one_of;
use crate::local::server::schema::builtin::refuse;
use crate::local::server::schema::builtin::text;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::names;
use crate::local::server::schema::path::Path;

/// Checks a container whose mounts may name `volumes`.
pub(super) fn check(
    container: &Value,
    volumes: &HashSet<&str>,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let name = text(container, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.field("name"), ""));
    } else {
        refuse(&path.field("name"), name, names::dns_label(name), errors);
    }
    let image = text(container, "image");
    if image.is_empty() {
        errors.push(FieldError::required(&path.field("image"), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(&path.field("image"), &Value::from(image), detail));
    }
    one_of(container, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
    one_of(container, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], path, errors);
    for (index, variable) in items(container, "env").iter().enumerate() {
        check_variable(variable, &path.field("env").index(index), errors);
    }
    check_mounts(items(container, "volumeMounts"), volumes, &path.field("volumeMounts"), errors);
    for (index, port) in items(container, "ports").iter().enumerate() {
        let path = path.field("ports");
        let path = path.index(index);
        let number = port.get("containerPort").and_then(Value::as_i64).unwrap_or(0);
        if number == 0 {
            errors.push(FieldError::required(&path.field("containerPort"), ""));
        } else if !(1..=65535).contains(&number) {
            let detail = "must be between 1 and 65535, inclusive";
            errors.push(FieldError::invalid(&path.field("containerPort"), &Value::from(number), detail));
        }
        one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &path, errors);
    }
}

fn check_variable(variable: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let name = text(variable, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.field("name"), ""));
    } else {
        refuse(&path.field("name"), name, names::variable(name), errors);
    }
    let Some(Value::Object(sources)) = variable.get("valueFrom") else { return };
    let path = path.field("valueFrom");
    if !text(variable, "value").is_empty() {
        errors.push(FieldError::invalid(
            &path,
            &Value::from(""),
            "may not be specified when `value` is not empty",
        ));
    }
    match sources.len() {
        0 => {
            let detail =
                "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            errors.push(FieldError::invalid(&path, &Value::from(""), detail));
        }
        1 => {}
        _ => {
            let detail = "may not have more than one field specified at a time";
            errors.push(FieldError::invalid(&path, &Value::from(""), detail));
        }
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        let Some(reference) = sources.get(source) else { continue };
        for field in ["name", "key"] {
            if text(reference, field).is_empty() {
                errors.push(FieldError::required(&path.field(source).field(field), ""));
            }
        }
    }
}

fn check_mounts(mounts: &[Value], volumes: &HashSet<&str>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut paths = HashSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let path = path.index(index);
        let (name, at) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(&path.field("name"), ""));
        } else if !volumes.contains(name) {
            errors.push(FieldError::not_found(&path.field("name"), &Value::from(name)));
        }
        if at.is_empty() {
            errors.push(FieldError::required(&path.field("mountPath"), ""));
        } else if !paths.insert(at) {
            errors.push(FieldError::invalid(&path.field("mountPath"), &Value::from(at), "must be unique"));
        }
        let sub_path = text(mount, "subPath");
        if sub_path.starts_with('/') {
            let detail = "must be a relative path";
            errors.push(FieldError::invalid(&path.field("subPath"), &Value::from(sub_path), detail));
        } else if sub_path.split('/').any(|part| part == "..") {
            errors.push(FieldError::invalid(
                &path.field("subPath"),
                &Value::from(sub_path),
                "must not contain '..'",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn errors(mut container: Value) -> Vec<String> {
        container["name"] = json!("a");
        container["image"] = json!("i");
        let mut errors = Vec::new();
        check(&container, &HashSet::from(["v"]), &Path::ROOT.field("c"), &mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        for (container, expected) in [
            (json!({"env": [{"value": "x"}]}), "c.env[0].name: Required value"),
            (
                json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}),
                "c.env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
            ),
            (
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
                "c.env[0].valueFrom.secretKeyRef.key: Required value",
            ),
            (
                json!({"volumeMounts": [{"name": "w", "mountPath": "/w"}]}),
                "c.volumeMounts[0].name: Not found: \"w\"",
            ),
            (json!({"volumeMounts": [{"name": "v"}]}), "c.volumeMounts[0].mountPath: Required value"),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}),
                "c.volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
            ),
            (
                json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "../b"}]}),
                "c.volumeMounts[0].subPath: Invalid value: \"../b\": must not contain '..'",
            ),
            (
                json!({"ports": [{"containerPort": 70000}]}),
                "c.ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ),
            (
                json!({"imagePullPolicy": "Maybe"}),
                "c.imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ),
        ] {
            assert_eq!(errors(container), [expected]);
        }
        assert!(errors(json!({"env": [{"name": "A", "value": ""}], "volumeMounts": [{"name": "v", "mountPath": "/a"}]})).is_empty());
    }
}
