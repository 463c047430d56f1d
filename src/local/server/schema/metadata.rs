//! What is checked in every object's metadata: names, labels, annotations, owners, finalizers.

use serde_json::Map;
use serde_json::Value;

use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::names;
use crate::local::server::schema::path::Path;

/// All annotations of an object, keys and values: 256 KiB, as in Kubernetes.
const ANNOTATION_LIMIT: usize = 256 * 1024;

/// How a kind's objects may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameRule {
    Label,
    Subdomain,
}

impl NameRule {
    fn problems(self, name: &str) -> Vec<String> {
        match self {
            Self::Label => names::dns_label(name),
            Self::Subdomain => names::dns_subdomain(name),
        }
    }
}

/// Checks the metadata of a whole object. Types have been checked before.
pub(super) fn check(object: &Value, old: Option<&Value>, rule: NameRule, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.field("metadata");
    let Some(Value::Object(metadata)) = object.get("metadata") else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    // What has been stored once is not judged again, but for what an update may change.
    if old.is_none() {
        name(metadata, rule, &path, errors);
    }
    if let Some(Value::Object(found)) = metadata.get("labels") {
        labels(found, &path.field("labels"), errors);
    }
    if let Some(Value::Object(found)) = metadata.get("annotations") {
        annotations(found, &path.field("annotations"), errors);
    }
    if let Some(Value::Array(found)) = metadata.get("ownerReferences") {
        owners(found, &path.field("ownerReferences"), errors);
    }
    for finalizer in metadata.get("finalizers").and_then(Value::as_array).into_iter().flatten() {
        let problems = names::qualified_name(finalizer.as_str().unwrap_or_default());
        refuse(&path.field("finalizers"), finalizer, problems, errors);
    }
}

fn refuse(path: &Path<'_>, value: &Value, problems: Vec<String>, errors: &mut Vec<FieldError>) {
    errors.extend(problems.into_iter().map(|problem| FieldError::invalid(path, value, &problem)));
}

fn name(metadata: &Map<String, Value>, rule: NameRule, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let text = |field: &str| metadata.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(prefix) = text("generateName") {
        // A suffix follows: a dash at the end is fine.
        let masked = prefix.strip_suffix('-').map_or_else(|| prefix.to_owned(), |stem| format!("{stem}a"));
        refuse(&path.field("generateName"), &Value::from(prefix), rule.problems(&masked), errors);
    }
    match text("name") {
        Some(name) => refuse(&path.field("name"), &Value::from(name), rule.problems(name), errors),
        None => errors.push(FieldError::required(&path.field("name"), "name or generateName is required")),
    }
}

/// Keys and values of labels, wherever they stand.
pub(super) fn labels(labels: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for (key, value) in labels {
        refuse(path, &Value::from(key.as_str()), names::qualified_name(key), errors);
        refuse(path, value, names::label_value(value.as_str().unwrap_or_default()), errors);
    }
}

fn annotations(annotations: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in annotations {
        // Upper case is allowed in the prefix of an annotation.
        refuse(path, &Value::from(key.as_str()), names::qualified_name(&key.to_lowercase()), errors);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATION_LIMIT {
        errors.push(FieldError::too_long(path, ANNOTATION_LIMIT as u64));
    }
}

fn owners(owners: &[Value], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<&Value> = None;
    for owner in owners {
        let text = |field: &str| owner.get(field).and_then(Value::as_str).unwrap_or_default();
        for (field, problem) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(&path.field(field), &Value::from(""), problem));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            if let Some(first) = controller {
                let first = first.get("name").and_then(Value::as_str).unwrap_or_default();
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                    text("name")
                );
                errors.push(FieldError::invalid(path, &Value::from(owners), &detail));
            }
            controller = Some(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn errors(metadata: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&json!({"metadata": metadata}), None, NameRule::Subdomain, &mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn a_good_object_has_no_errors() {
        let metadata = json!({
            "name": "a.b", "generateName": "a-", "labels": {"x/y": "z", "e": ""}, "annotations": {"Example.com/A": "any thing"},
            "finalizers": ["foregroundDeletion", "x/y"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true}],
        });
        assert!(errors(metadata).is_empty());
    }

    #[test]
    fn a_bad_name_is_explained_in_the_api_servers_words() {
        let found = errors(json!({"name": "Not_Valid"}));
        assert_eq!(
            found,
            [
                "metadata.name: Invalid value: \"Not_Valid\": a lowercase RFC 1123 subdomain must consist of lower case \
                 alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                 'example.com', regex used for validation is \
                 '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(errors(json!({})), ["metadata.name: Required value: name or generateName is required"]);
    }

    #[test]
    fn labels_annotations_finalizers_and_owners_are_checked() {
        for (metadata, field) in [
            (json!({"name": "a", "labels": {"a b": "c"}}), "metadata.labels: Invalid value: \"a b\""),
            (json!({"name": "a", "labels": {"a": "b c"}}), "metadata.labels: Invalid value: \"b c\""),
            (json!({"name": "a", "annotations": {"/a": "c"}}), "metadata.annotations: Invalid value: \"/a\""),
            (
                json!({"name": "a", "annotations": {"a": "x".repeat(262_145)}}),
                "metadata.annotations: Too long",
            ),
            (json!({"name": "a", "finalizers": ["a b"]}), "metadata.finalizers: Invalid value: \"a b\""),
            (
                json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
                "metadata.ownerReferences.uid: Invalid value: \"\": must not be empty",
            ),
            (
                json!({"name": "a", "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true},
                    {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "2", "controller": true},
                ]}),
                "metadata.ownerReferences: Invalid value: ",
            ),
            (json!({"name": "a", "generateName": "B-"}), "metadata.generateName: Invalid value: \"B-\""),
        ] {
            let found = errors(metadata);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(field), "{found:?}");
        }
    }
}
