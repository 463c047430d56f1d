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

/// Removes nulls where the schema is a built-in type: Go decodes them as absent.
pub(super) fn drop_nulls(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            if !node.preserve {
                fields.retain(|_, value| !value.is_null());
            }
            for (name, value) in fields {
                if let Some(schema) = node.property(name) {
                    drop_nulls(value, schema);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            items.iter_mut().for_each(|item| drop_nulls(item, schema));
        }
        _ => {}
    }
}
