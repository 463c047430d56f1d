//! Defaulting from the `default`s of a schema.

use serde_json::Value;

use crate::local::server::schema::node::Node;

/// Sets what is absent and has a default. A null where null is not allowed counts as absent and goes.
pub(super) fn apply(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                !value.is_null()
                    || node.property(name).is_none_or(|schema| schema.nullable || schema.preserve)
            });
            if node.defaults_below {
                for (name, schema) in &node.properties {
                    if let Some(default) = schema.default.as_ref().filter(|_| !fields.contains_key(name)) {
                        fields.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, value) in fields.iter_mut().filter(|(_, value)| value.is_object() || value.is_array())
            {
                if let Some(schema) = node.property(name) {
                    apply(value, schema);
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = &node.items else { return };
            for item in items {
                apply(item, schema);
            }
        }
        _ => {}
    }
}
