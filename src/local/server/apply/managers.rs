//! The entries of `metadata.managedFields`: reading, writing, and finding the one that a request belongs to.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::local::server::apply::Manager;
use crate::local::server::apply::Operation;
use crate::local::server::apply::fields;
use crate::local::server::apply::fields::Fields;

/// Entries of Update managers that are kept; older ones are put together, as in Kubernetes.
const UPDATE_LIMIT: usize = 10;

/// The manager of what was put together.
const ANCIENT: &str = "ancient-changes";

/// One manager's fields.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: Option<String>,
    pub(super) time: Option<String>,
    pub(super) fields: Fields,
}

impl Entry {
    pub(super) fn of(manager: &Manager<'_>, fields: Fields) -> Self {
        Self {
            name: manager.name.to_owned(),
            operation: manager.operation,
            api_version: manager.api_version.to_owned(),
            subresource: manager.subresource.map(str::to_owned),
            time: Some(manager.now.to_owned()),
            fields,
        }
    }

    /// Whether a request of this manager adds to this entry. An applier is the same in every version.
    pub(super) fn belongs_to(&self, manager: &Manager<'_>) -> bool {
        self.name == manager.name
            && self.operation == manager.operation
            && self.subresource.as_deref() == manager.subresource
            && (self.operation == Operation::Apply || self.api_version == manager.api_version)
    }

    /// How conflicts name this manager.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if let Some(subresource) = &self.subresource {
            text = format!("{text} with subresource {subresource:?}");
        }
        match self.operation {
            Operation::Apply => text,
            Operation::Update => format!("{text} using {}", self.api_version),
        }
    }
}

/// The entries of an object. One that cannot be read means that there are none, as in Kubernetes.
pub(super) fn read(object: &Value) -> Option<Vec<Entry>> {
    let Some(entries) = object.pointer("/metadata/managedFields").and_then(Value::as_array) else {
        return Some(Vec::new());
    };
    entries.iter().map(entry).collect()
}

fn entry(value: &Value) -> Option<Entry> {
    let text = |name: &str| {
        value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let operation = match value.get("operation").and_then(Value::as_str) {
        Some("Apply") => Operation::Apply,
        Some("Update") => Operation::Update,
        _ => return None,
    };
    if value.get("fieldsType").and_then(Value::as_str) != Some("FieldsV1") {
        return None;
    }
    Some(Entry {
        name: text("manager").unwrap_or_default(),
        operation,
        api_version: text("apiVersion")?,
        subresource: text("subresource"),
        time: text("time"),
        fields: value.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default(),
    })
}

/// Writes the entries that own something, in Kubernetes' order; none at all is no field.
pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    entries.retain(|entry| !entry.fields.is_empty());
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    if entries.is_empty() {
        metadata.remove("managedFields");
        return;
    }
    cap(&mut entries);
    let rank = |entry: &Entry| {
        (
            entry.operation == Operation::Update,
            entry.time.clone(),
            entry.name.clone(),
            entry.subresource.clone(),
        )
    };
    entries.sort_by_cached_key(rank);
    metadata.insert("managedFields".to_owned(), Value::Array(entries.into_iter().map(encoded).collect()));
}

fn encoded(entry: Entry) -> Value {
    let Entry { name, operation, api_version, subresource, time, fields } = entry;
    let operation = match operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut value = Map::from_iter([
        ("manager".to_owned(), Value::String(name)),
        ("operation".to_owned(), Value::from(operation)),
        ("apiVersion".to_owned(), Value::String(api_version)),
        ("fieldsType".to_owned(), json!("FieldsV1")),
        ("fieldsV1".to_owned(), Value::Object(fields)),
    ]);
    value.extend(time.map(|time| ("time".to_owned(), Value::String(time))));
    value.extend(subresource.map(|name| ("subresource".to_owned(), Value::String(name))));
    Value::Object(value)
}

/// Puts the oldest Update entries of each version together when there are too many.
fn cap(entries: &mut Vec<Entry>) {
    let updates =
        |entries: &[Entry]| entries.iter().filter(|entry| entry.operation == Operation::Update).count();
    while updates(entries) > UPDATE_LIMIT {
        let oldest = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.operation == Operation::Update && entry.name != ANCIENT)
            .min_by(|(_, one), (_, other)| one.time.cmp(&other.time))
            .map(|(at, _)| at);
        let Some(oldest) = oldest else { return };
        let mut old = entries.remove(oldest);
        let ancient =
            entries.iter_mut().find(|entry| entry.name == ANCIENT && entry.api_version == old.api_version);
        if let Some(ancient) = ancient {
            ancient.fields = fields::union(&ancient.fields, &old.fields);
            ancient.time = ancient.time.take().max(old.time);
        } else {
            ANCIENT.clone_into(&mut old.name);
            old.subresource = None;
            entries.push(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager<'a>(name: &'a str, now: &'a str) -> Manager<'a> {
        Manager { name, operation: Operation::Update, api_version: "v1", subresource: None, now }
    }

    fn some_fields(name: &str) -> Fields {
        Fields::from_iter([(format!("f:{name}"), json!({}))])
    }

    #[test]
    fn entries_survive_the_round_trip_in_kubernetes_order() {
        let mut object = json!({"metadata": {}});
        let mut applied = Entry::of(&manager("z", "2024-01-02T00:00:00Z"), some_fields("b"));
        applied.operation = Operation::Apply;
        let updated = Entry::of(&manager("a", "2024-01-01T00:00:00Z"), some_fields("a"));
        let empty = Entry::of(&manager("e", "2024-01-01T00:00:00Z"), Fields::new());
        write(&mut object, vec![updated.clone(), empty, applied.clone()]);
        assert_eq!(read(&object).unwrap(), [applied, updated]);
        write(&mut object, Vec::new());
        assert_eq!(object, json!({"metadata": {}}));
    }

    #[test]
    fn unreadable_entries_are_none() {
        assert_eq!(read(&json!({"metadata": {"managedFields": [{}]}})), None);
        assert_eq!(read(&json!({"metadata": {}})).unwrap().len(), 0);
    }

    #[test]
    fn many_update_managers_are_put_together() {
        let times: Vec<String> = (10..30).map(|second| format!("2024-01-01T00:00:{second}Z")).collect();
        let names: Vec<String> = (10..30).map(|number| format!("m{number}")).collect();
        let entries =
            names.iter().zip(&times).map(|(name, time)| Entry::of(&manager(name, time), some_fields(name)));
        let mut object = json!({"metadata": {}});
        write(&mut object, entries.collect());
        let entries = read(&object).unwrap();
        assert_eq!(entries.len(), UPDATE_LIMIT);
        let ancient = entries.iter().find(|entry| entry.name == ANCIENT).unwrap();
        assert_eq!(ancient.fields.len(), 11);
        assert!(entries.iter().any(|entry| entry.name == "m29"));
    }
}
