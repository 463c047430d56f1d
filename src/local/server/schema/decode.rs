//! Whether an object can be read at all: Kubernetes decodes built-in kinds, and the metadata of all, into Go types before
//! it validates them, so a wrong type there is a bad request and not an invalid object.

use serde_json::Value;

use crate::local::server::schema::formats;
use crate::local::server::schema::node::Additional;
use crate::local::server::schema::node::Node;
use crate::local::server::schema::node::Type;
use crate::local::server::schema::path::Path;

/// The decoder's complaint about the first value that does not fit, as Go words it.
pub(super) fn complaint(value: &Value, node: &Node, path: &Path<'_>, kind: &str) -> Option<String> {
    if value.is_null() {
        return None;
    }
    if !fits(value, node) {
        let (found, wanted) = (found(value), wanted(node));
        return Some(format!(
            "json: cannot unmarshal {found} into Go struct field {kind}.{path} of type {wanted}"
        ));
    }
    match value {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let below = node.property(name)?;
            complaint(value, below, &path.field(name), kind)
        }),
        Value::Array(items) => {
            let below = node.items.as_ref()?;
            items
                .iter()
                .enumerate()
                .find_map(|(index, item)| complaint(item, below, &path.index(index), kind))
        }
        Value::String(text) => match node.format.as_deref() {
            Some("date-time") if !formats::holds("date-time", text) => {
                Some(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?}"))
            }
            Some("byte") if !formats::holds("byte", text) => {
                Some("illegal base64 data at input byte 0".to_owned())
            }
            _ => None,
        },
        _ => None,
    }
}

fn fits(value: &Value, node: &Node) -> bool {
    if node.int_or_string {
        return value.is_string() || value.is_number();
    }
    match node.kind {
        None => true,
        Some(Type::Object) => value.is_object(),
        Some(Type::Array) => value.is_array(),
        Some(Type::String) => value.is_string(),
        Some(Type::Boolean) => value.is_boolean(),
        Some(Type::Number) => value.is_number(),
        Some(Type::Integer) => match node.format.as_deref() {
            Some("int32") => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            _ => value.is_i64(),
        },
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(number) => format!("number {number}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

fn wanted(node: &Node) -> String {
    match node.kind {
        Some(Type::Object) => match &node.additional {
            Additional::Values(values) => format!("map[string]{}", wanted(values)),
            Additional::Nothing | Additional::Anything => "struct".to_owned(),
        },
        Some(Type::Array) => format!(
            "[]{}",
            node.items.as_ref().map_or_else(|| "interface {}".to_owned(), |items| wanted(items))
        ),
        Some(Type::Integer) => node.format.clone().unwrap_or_else(|| "int64".to_owned()),
        Some(Type::Number) => "float64".to_owned(),
        Some(Type::Boolean) => "bool".to_owned(),
        Some(Type::String) => "string".to_owned(),
        None => "interface {}".to_owned(),
    }
}
