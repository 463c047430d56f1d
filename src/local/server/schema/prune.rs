//! Pruning: fields that a schema does not know are removed, and named for strict field validation.

use serde_json::Map;
use serde_json::Value;

use crate::local::server::schema::node::Additional;
use crate::local::server::schema::node::Node;
use crate::local::server::schema::path::Path;

/// Removes unknown fields below `value` and collects their paths.
pub(super) fn prune(value: &mut Value, node: &Node, path: &Path<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => prune_object(fields, node, path, unknown),
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            for (index, item) in items.iter_mut().enumerate() {
                prune(item, schema, &path.index(index), unknown);
            }
        }
        _ => {}
    }
}

fn prune_object(fields: &mut Map<String, Value>, node: &Node, path: &Path<'_>, unknown: &mut Vec<String>) {
    let identity = path.is_root() || node.embedded;
    let open = node.preserve || matches!(node.additional, Additional::Anything);
    fields.retain(|name, value| {
        if let Some(schema) = node.properties.get(name) {
            prune(value, schema, &path.field(name), unknown);
            return true;
        }
        if let Additional::Values(schema) = &node.additional {
            prune(value, schema, &path.field(name), unknown);
            return true;
        }
        if open || (identity && matches!(name.as_str(), "apiVersion" | "kind" | "metadata")) {
            return true;
        }
        unknown.push(path.field(name).to_string());
        false
    });
}

/// Removes what Go does not write where the schema is a built-in type: nulls, and lists and maps without entries.
pub(super) fn drop_empty(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            if node.preserve {
                return;
            }
            fields.retain(|name, value| match (value, node.property(name)) {
                (Value::Null, _) => false,
                (Value::Array(items), Some(schema)) if schema.items.is_some() => {
                    !items.is_empty() || schema.always_there
                }
                (Value::Object(entries), Some(schema)) => !entries.is_empty() || !schema.is_map(),
                _ => true,
            });
            for (name, value) in fields {
                if let Some(schema) = node.property(name) {
                    drop_empty(value, schema);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            for item in items {
                drop_empty(item, schema);
            }
        }
        _ => {}
    }
}
