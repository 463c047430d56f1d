//! The validation walk: types, formats, value checks, list types, logical combinations, then CEL rules.
//!
//! The structural part comes first and over the whole object: rules assume that types are right, so none is evaluated
//! while the structure is wrong. An error below a value that did not change on update is not reported (Kubernetes'
//! ratcheting): an object stays writable after its schema became stricter.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Map;
use serde_json::Value;

use crate::local::server::schema::checks::Checks;
use crate::local::server::schema::checks::in_body;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::formats;
use crate::local::server::schema::node::List;
use crate::local::server::schema::node::Node;
use crate::local::server::schema::node::Type;
use crate::local::server::schema::path::Path;

/// Checks the structure of `value`; `old` is what stood there before.
pub(super) fn structure(
    value: &Value,
    old: Option<&Value>,
    node: &Node,
    path: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let before = errors.len();
    if value.is_null() && (node.nullable || node.kind.is_none()) {
        return;
    }
    if let Some(error) = wrong_type(value, node, path) {
        errors.push(error);
    } else {
        descend(value, old, node, path, errors);
        if let (Value::String(text), Some(format)) = (value, &node.format) {
            errors.extend(formats::check(format, text, path));
        }
        if let Some(checks) = &node.checks {
            checks.check(value, path, errors);
            combinations(value, checks, path, errors);
        }
    }
    if errors.len() > before && !path.is_root() && old == Some(value) {
        errors.truncate(before);
    }
}

fn descend(value: &Value, old: Option<&Value>, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(schema) = node.properties.get(name) {
                    structure(value, old.and_then(|old| old.get(name)), schema, &path.field(name), errors);
                } else if let Some(schema) = node.property(name) {
                    structure(value, old.and_then(|old| old.get(name)), schema, &path.key(name), errors);
                }
            }
            if node.embedded {
                embedded(fields, path, errors);
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            for (index, item) in items.iter().enumerate() {
                structure(item, old_item(item, index, old, node), schema, &path.index(index), errors);
            }
            if node.list != List::Atomic {
                list(items, node, schema, path, errors);
            }
        }
        _ => {}
    }
}

/// The item of the old list that `item` continues: by key in a map or set, else by position.
pub(super) fn old_item<'o>(
    item: &Value,
    index: usize,
    old: Option<&'o Value>,
    node: &Node,
) -> Option<&'o Value> {
    let old = old?.as_array()?;
    match &node.list {
        List::Atomic => old.get(index),
        List::Set => old.iter().find(|one| *one == item),
        List::Map(keys) => old.iter().find(|one| keys.iter().all(|key| one.get(key) == item.get(key))),
    }
}

fn wrong_type(value: &Value, node: &Node, path: &Path<'_>) -> Option<FieldError> {
    if node.int_or_string {
        if value.is_string() || is_integer(value) {
            return None;
        }
        let detail = in_body(path, &format!("must be of type integer,string: {:?}", name(value)));
        return Some(FieldError::of_type(path, &Value::from(name(value)), &detail));
    }
    let expected = node.kind?;
    let right = match expected {
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => is_integer(value),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
    };
    if right {
        return None;
    }
    let detail = in_body(path, &format!("must be of type {}: {:?}", expected.name(), name(value)));
    Some(FieldError::of_type(path, &Value::from(name(value)), &detail))
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// The type of a value as messages name it.
fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_integer(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn embedded(fields: &Map<String, Value>, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        if fields.get(name).and_then(Value::as_str).is_none_or(str::is_empty) {
            errors.push(FieldError::required(&path.field(name), "must not be empty"));
        }
    }
}

/// Duplicates in a set, and in the keys of a map.
fn list(items: &[Value], node: &Node, schema: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let mut seen: HashSet<String> = HashSet::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let identity = match &node.list {
            List::Map(keys) => {
                let default =
                    |key: &str| schema.properties.get(key).and_then(|schema| schema.default.as_ref());
                let fields: Map<String, Value> = keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), item.get(key).or_else(|| default(key))?.clone())))
                    .collect();
                Value::Object(fields)
            }
            List::Set | List::Atomic => item.clone(),
        };
        if !seen.insert(identity.to_string()) {
            errors.push(FieldError::duplicate(&path.index(index), &identity));
        }
    }
}

fn combinations(value: &Value, checks: &Checks, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    for branch in &checks.all_of {
        structure(value, None, branch, path, errors);
    }
    let mut whole = |detail: String| errors.push(FieldError::invalid(&Path::ROOT, &Value::from(""), &detail));
    if !checks.any_of.is_empty() && !checks.any_of.iter().any(|branch| satisfies(value, branch)) {
        whole(format!("\"{path}\" must validate at least one schema (anyOf)"));
    }
    if !checks.one_of.is_empty() {
        let found = checks.one_of.iter().filter(|branch| satisfies(value, branch)).count();
        if found != 1 {
            let found =
                if found == 0 { "none valid".to_owned() } else { format!("{found} valid alternatives") };
            whole(format!("\"{path}\" must validate one and only one schema (oneOf). Found {found}"));
        }
    }
    if checks.not.as_ref().is_some_and(|branch| satisfies(value, branch)) {
        whole(format!("\"{path}\" must not validate the schema (not)"));
    }
}

fn satisfies(value: &Value, branch: &Arc<Node>) -> bool {
    let mut errors = Vec::new();
    structure(value, None, branch, &Path::ROOT, &mut errors);
    errors.is_empty()
}
