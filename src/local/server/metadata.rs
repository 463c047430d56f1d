//! The parts of `ObjectMeta` that the server itself reads and writes.

use serde_json::Value;
use serde_json::json;

/// A time as Kubernetes writes it: UTC, whole seconds.
pub(super) fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text field of `metadata`; absent and empty are the same, as in Go.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str().filter(|text| !text.is_empty())
}

pub(super) fn name(object: &Value) -> &str {
    text(object, "name").unwrap_or_default()
}

pub(super) fn deleting(object: &Value) -> bool {
    text(object, "deletionTimestamp").is_some()
}

pub(super) fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

/// Replaces the finalizers; an empty list is no field.
pub(super) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    set(object, "finalizers", (!finalizers.is_empty()).then(|| json!(finalizers)));
}

pub(super) fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0)
}

/// Writes a field of `metadata`, or removes it.
pub(super) fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    match value {
        Some(value) => drop(metadata.insert(field.to_owned(), value)),
        None => drop(metadata.remove(field)),
    }
}

/// Removes lists that the API server does not store when they are empty. Pruning does so to what a client sends; this
/// is for what merging left behind.
pub(super) fn omit_empty(object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    for field in ["finalizers", "ownerReferences"] {
        if metadata.get(field).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            metadata.remove(field);
        }
    }
}

/// An empty list of managed fields resets them, as one empty entry does; but empty lists are pruned, so it becomes that.
pub(super) fn keep_reset(object: &mut Value) {
    let Some(managers) = object.pointer_mut("/metadata/managedFields").and_then(Value::as_array_mut) else {
        return;
    };
    if managers.is_empty() {
        managers.push(Value::Object(serde_json::Map::new()));
    }
}

/// Takes a field of `metadata` from another object, or removes it where that has none.
pub(super) fn inherit(object: &mut Value, from: &Value, field: &str) {
    set(object, field, from.pointer("/metadata").and_then(|metadata| metadata.get(field)).cloned());
}

/// Takes a top-level field from another object, or removes it where that has none.
pub(super) fn inherit_field(object: &mut Value, from: &Value, field: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    match from.get(field) {
        Some(value) => drop(fields.insert(field.to_owned(), value.clone())),
        None => drop(fields.remove(field)),
    }
}

/// Makes `metadata` an object if it is not there.
pub(super) fn ensure(object: &mut Value) {
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
}

/// `PartialObjectMetadata` of an object.
pub(super) fn partial(object: &mut Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get_mut("metadata").map_or_else(|| json!({}), Value::take),
    })
}

/// Whether two states of an object differ in more than who wrote them when.
pub(super) fn differ(old: &Value, new: &Value) -> bool {
    let (Some(old), Some(new)) = (old.as_object(), new.as_object()) else { return old != new };
    let others =
        |fields: &serde_json::Map<String, Value>| fields.keys().filter(|key| *key != "metadata").count();
    if others(old) != others(new)
        || old.iter().any(|(key, value)| key != "metadata" && new.get(key) != Some(value))
    {
        return true;
    }
    let (Some(Value::Object(old)), Some(Value::Object(new))) = (old.get("metadata"), new.get("metadata"))
    else {
        return true;
    };
    // The revision is the store's, the managers are compared without their times.
    let own = |key: &str| key != "managedFields" && key != "resourceVersion";
    let count = |fields: &serde_json::Map<String, Value>| fields.keys().filter(|key| own(key)).count();
    count(old) != count(new)
        || old.iter().any(|(key, value)| own(key) && new.get(key) != Some(value))
        || managers(old.get("managedFields")) != managers(new.get("managedFields"))
}

fn managers(entries: Option<&Value>) -> Vec<Value> {
    let mut entries = entries.and_then(Value::as_array).cloned().unwrap_or_default();
    for entry in &mut entries {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("time");
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_by_the_same_manager_is_no_difference() {
        let old = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": [{"manager": "m", "time": "t1"}]}, "spec": {"x": 1}});
        let mut new = old.clone();
        new["metadata"]["resourceVersion"] = json!("2");
        new["metadata"]["managedFields"][0]["time"] = json!("t2");
        assert!(!differ(&old, &new));
        let mut other = new.clone();
        other["metadata"]["managedFields"][0]["manager"] = json!("n");
        assert!(differ(&old, &other));
        let mut other = new.clone();
        other["spec"]["x"] = json!(2);
        assert!(differ(&old, &other));
        let mut other = new.clone();
        other["status"] = json!({});
        assert!(differ(&old, &other));
        let mut other = new;
        other["metadata"]["labels"] = json!({"a": "b"});
        assert!(differ(&old, &other));
        assert!(differ(&other, &old));
    }

    #[test]
    fn empty_lists_of_finalizers_and_owners_are_no_fields() {
        let mut object = json!({"metadata": {"finalizers": [], "ownerReferences": []}, "finalizers": []});
        omit_empty(&mut object);
        assert_eq!(object, json!({"metadata": {}, "finalizers": []}));
        let full = json!({"metadata": {"finalizers": ["a/b"], "ownerReferences": [{"uid": "u"}]}});
        let mut object = full.clone();
        omit_empty(&mut object);
        assert_eq!(object, full);
    }

    #[test]
    fn times_are_utc_and_whole_seconds() {
        let at: jiff::Timestamp = "2026-11-22T18:10:05.123456+09:00".parse().unwrap();
        assert_eq!(time(at), "2026-11-22T09:10:05Z");
    }
}
