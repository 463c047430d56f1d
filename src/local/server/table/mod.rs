//! What `kubectl get` prints: `meta.k8s.io/v1` Tables, made from the printer columns of a kind.

mod age;
mod builtin;
mod path;
mod pod;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use serde_json::Value;
use serde_json::json;

use self::path::JsonPath;

pub(super) use self::builtin::columns as builtin_columns;
use crate::local::server::kinds::Kind;

/// What the server puts into each row besides the cells (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// The query parameter; anything else is the API server's complaint.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(format!("unrecognized includeObject value: {other:?}")),
        }
    }
}

/// One column: its heading and how a cell is read from an object.
#[derive(Debug, Clone)]
pub(super) struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    /// 0 is always shown, more only with `-o wide`.
    priority: i64,
    cell: Cell,
}

#[derive(Debug, Clone)]
enum Cell {
    Path(JsonPath),
    Function(fn(&Value, jiff::Timestamp) -> Value),
}

impl Column {
    /// Shown with `-o wide` only.
    fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    fn cell(&self, object: &Value, now: jiff::Timestamp) -> Value {
        match &self.cell {
            Cell::Function(function) => function(object, now),
            Cell::Path(path) => {
                let Some(found) = path.first(object) else { return Value::Null };
                match (self.kind.as_str(), found) {
                    ("date", Value::String(time)) => Value::from(age::of(time, now)),
                    ("string", Value::String(_))
                    | ("integer" | "number", Value::Number(_))
                    | ("boolean", Value::Bool(_)) => found.clone(),
                    ("string", Value::Null) => Value::Null,
                    ("string", other) => Value::from(other.to_string()),
                    // A value of another type than the column says is not shown.
                    _ => Value::Null,
                }
            }
        }
    }
}

/// A Table of these objects. Lists pass their metadata on themselves.
pub(super) fn table(kind: &Kind, objects: &[Value], include: IncludeObject, now: jiff::Timestamp) -> Value {
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": kind.columns.iter().map(definition).collect::<Vec<_>>(),
        "rows": objects.iter().map(|object| row(kind, object, include, now)).collect::<Vec<_>>(),
    })
}

fn definition(column: &Column) -> Value {
    let Column { name, kind, format, description, priority, cell: _ } = column;
    json!({"name": name, "type": kind, "format": format, "description": description, "priority": priority})
}

fn row(kind: &Kind, object: &Value, include: IncludeObject, now: jiff::Timestamp) -> Value {
    let cells: Vec<Value> = kind.columns.iter().map(|column| column.cell(object, now)).collect();
    let mut row = json!({"cells": cells});
    match include {
        IncludeObject::None => row["object"] = Value::Null,
        IncludeObject::Object => row["object"] = object.clone(),
        IncludeObject::Metadata => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object.get("metadata"),
            });
        }
    }
    row
}

/// The columns of a CRD version: the name, its `additionalPrinterColumns`, and the age if it names none.
pub(super) fn custom_columns(version: &CustomResourceDefinitionVersion) -> Vec<Column> {
    let mut columns = vec![name_column()];
    let Some(extra) = &version.additional_printer_columns else {
        columns.push(age_column());
        return columns;
    };
    for column in extra {
        columns.push(Column {
            name: column.name.clone(),
            kind: column.type_.clone(),
            format: column.format.clone().unwrap_or_default(),
            description: column.description.clone().unwrap_or_default(),
            priority: column.priority.unwrap_or_default().into(),
            cell: Cell::Path(JsonPath::parse(&column.json_path)),
        });
    }
    columns
}

fn name_column() -> Column {
    column("Name", "string", "name", |object, _| {
        object.pointer("/metadata/name").cloned().unwrap_or_default()
    })
}

fn age_column() -> Column {
    column("Age", "string", "", |object, now| {
        let created = object.pointer("/metadata/creationTimestamp").and_then(Value::as_str);
        Value::from(created.map_or_else(|| "<unknown>".to_owned(), |created| age::of(created, now)))
    })
}

fn column(name: &str, kind: &str, format: &str, cell: fn(&Value, jiff::Timestamp) -> Value) -> Column {
    Column {
        name: name.to_owned(),
        kind: kind.to_owned(),
        format: format.to_owned(),
        description: String::new(),
        priority: 0,
        cell: Cell::Function(cell),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use crate::local::server::kinds::Kinds;
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    fn cells(group: &str, plural: &str, object: Value) -> Vec<(String, Value)> {
        let kinds = Kinds::new(&[]).unwrap();
        let kind = kinds.find(group, "v1", plural).unwrap();
        let now = jiff::Timestamp::from_second(3600).unwrap();
        let table = table(kind, &[object], IncludeObject::None, now);
        let names = table["columnDefinitions"].as_array().unwrap().iter();
        let names = names.map(|one| one["name"].as_str().unwrap().to_owned());
        names.zip(table["rows"][0]["cells"].as_array().unwrap().iter().cloned()).collect()
    }

    fn cell(cells: &[(String, Value)], name: &str) -> Value {
        cells.iter().find(|(column, _)| column == name).map_or(Value::Null, |(_, cell)| cell.clone())
    }

    #[test]
    fn a_job_shows_its_state_and_how_long_it_took() {
        let job = json!({
            "metadata": {"name": "j", "creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"completions": 3, "selector": {"matchLabels": {"a": "b"}}, "template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}},
            "status": {"succeeded": 2, "startTime": "1970-01-01T00:10:00Z", "completionTime": "1970-01-01T00:10:42Z",
                       "conditions": [{"type": "Complete", "status": "True"}]},
        });
        let cells = cells("batch", "jobs", job);
        for (name, expected) in [
            ("Name", "j"),
            ("Status", "Complete"),
            ("Completions", "2/3"),
            ("Duration", "42s"),
            ("Age", "60m"),
            ("Containers", "c"),
            ("Images", "i"),
            ("Selector", "a=b"),
        ] {
            assert_eq!(cell(&cells, name), expected, "{name}");
        }
    }

    #[test]
    fn a_job_that_has_not_started_has_no_duration() {
        let waiting = cells(
            "batch",
            "jobs",
            json!({"spec": {"parallelism": 4}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}}),
        );
        assert_eq!(cell(&waiting, "Status"), "Suspended");
        assert_eq!(cell(&waiting, "Duration"), "");
        assert_eq!(cell(&waiting, "Completions"), "0/1 of 4");
        let running = cells("batch", "jobs", json!({"status": {"startTime": "1970-01-01T00:59:00Z"}}));
        assert_eq!((cell(&running, "Status"), cell(&running, "Duration")), (json!("Running"), json!("60s")));
    }

    #[test]
    fn a_node_shows_whether_it_takes_pods() {
        let node = json!({
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
            "spec": {"unschedulable": true},
            "status": {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]},
        });
        let cells = cells("", "nodes", node);
        assert_eq!(cell(&cells, "Status"), "Ready,SchedulingDisabled");
        assert_eq!(cell(&cells, "Roles"), "worker");
        assert_eq!(cell(&cells, "Internal-IP"), "127.0.0.1");
        assert_eq!(cell(&cells, "External-IP"), "<none>");
        assert_eq!(cell(&cells, "Age"), "<unknown>");
    }

    #[test]
    fn an_event_reads_the_same_in_both_groups() {
        let core = json!({
            "metadata": {"name": "e"}, "involvedObject": {"kind": "Job", "name": "j"}, "reason": "Started", "type": "Normal",
            "message": "hello ", "eventTime": "1970-01-01T00:50:00.000000Z", "reportingComponent": "kakehi", "reportingInstance": "k-0",
        });
        let other = json!({
            "metadata": {"name": "e"}, "regarding": {"kind": "Job", "name": "j"}, "reason": "Started", "type": "Normal",
            "note": "hello ", "eventTime": "1970-01-01T00:50:00.000000Z", "reportingController": "kakehi", "reportingInstance": "k-0",
        });
        let cells_of_core = cells("", "events", core);
        assert_eq!(cells_of_core, cells("events.k8s.io", "events", other));
        for (name, expected) in
            [("Last Seen", "10m"), ("Object", "job/j"), ("Message", "hello"), ("Source", "kakehi, k-0")]
        {
            assert_eq!(cell(&cells_of_core, name), expected, "{name}");
        }
        assert_eq!(cell(&cells_of_core, "Count"), 1);
    }

    #[test]
    fn a_config_map_counts_its_keys() {
        let map = json!({"data": {"a": "1"}, "binaryData": {"b": "MQ=="}});
        assert_eq!(cell(&cells("", "configmaps", map), "Data"), 2);
    }

    fn definition(columns: Value) -> CustomResourceDefinition {
        serde_json::from_value(json!({
            "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
                }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn custom_columns_show_values_of_their_type() {
        let definition = definition(json!([
            {"name": "Job", "type": "string", "jsonPath": ".spec.job"},
            {"name": "Count", "type": "integer", "jsonPath": ".status.count"},
            {"name": "List", "type": "string", "jsonPath": ".spec.list"},
            {"name": "Wrong", "type": "integer", "jsonPath": ".spec.job"},
            {"name": "Missing", "type": "string", "jsonPath": ".spec.none"},
            {"name": "Since", "type": "date", "jsonPath": ".status.since", "priority": 1},
        ]));
        let kinds = Kinds::new(&[definition]).unwrap();
        let kind = kinds.find("example.com", "v1", "things").unwrap();
        let object = json!({"metadata": {"name": "t"}, "spec": {"job": "resize", "list": [1]}, "status": {"count": 3, "since": "1970-01-01T00:00:00Z"}});
        let now = jiff::Timestamp::from_second(90).unwrap();
        let table = table(kind, &[object], IncludeObject::Metadata, now);
        assert_eq!(table["rows"][0]["cells"], json!(["t", "resize", 3, "[1]", null, null, "90s"]));
        assert_eq!(table["columnDefinitions"][6]["priority"], 1);
        assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "t");
    }

    #[test]
    fn a_definition_without_columns_shows_the_age() {
        let kinds = Kinds::new(&[definition(json!(null))]).unwrap();
        let kind = kinds.find("example.com", "v1", "things").unwrap();
        let table = table(kind, &[], IncludeObject::None, jiff::Timestamp::UNIX_EPOCH);
        let names: Vec<_> =
            table["columnDefinitions"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["Name", "Age"]);
        assert_eq!(table["rows"], json!([]));
    }

    #[test]
    fn the_parameter_for_rows_is_checked() {
        assert_eq!(IncludeObject::parse(""), Ok(IncludeObject::Metadata));
        assert_eq!(IncludeObject::parse("Object"), Ok(IncludeObject::Object));
        assert!(IncludeObject::parse("All").is_err());
    }
}
