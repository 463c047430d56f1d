//! What `kubectl get` prints: `meta.k8s.io/v1` Tables, made from the printer columns of a kind.

mod age;
mod path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;
use serde_json::Value;
use serde_json::json;

use self::path::JsonPath;
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
    fn cell(&self, object: &Value, now: jiff::Timestamp) -> Value {
        match &self.cell {
            Cell::Function(function) => function(object, now),
            Cell::Path(path) => {
                let Some(found) = path.first(object) else { return Value::Null };
                match (self.kind.as_str(), found) {
                    ("date", Value::String(time)) => Value::from(age::of(time, now)),
                    ("string", Value::Array(_) | Value::Object(_)) => Value::from(found.to_string()),
                    ("string", Value::String(_)) | (_, Value::Number(_) | Value::Bool(_)) => found.clone(),
                    (_, other) => other.clone(),
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
        IncludeObject::None => {}
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

/// Kubernetes' own columns for a built-in kind.
pub(super) fn builtin_columns(_group: &str, _kind: &str) -> Vec<Column> {
    vec![name_column(), age_column()]
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
