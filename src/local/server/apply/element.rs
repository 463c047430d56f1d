//! How a value divides into paths: whether it is walked into, and what its list items are called.

use serde_json::Map;
use serde_json::Value;

use crate::local::server::schema::List;
use crate::local::server::schema::Node;

/// How a value is owned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As one value.
    Leaf,
    /// Key by key.
    Map,
    /// Item by item.
    List,
}

/// The shape of a value under its schema. Where there is no schema, objects divide and lists do not.
pub(super) fn shape(value: &Value, node: Option<&Node>) -> Shape {
    match value {
        Value::Object(_) if node.is_none_or(|node| !node.atomic_map) => Shape::Map,
        Value::Array(_) if node.is_some_and(|node| node.list != List::Atomic) => Shape::List,
        _ => Shape::Leaf,
    }
}

pub(super) fn property<'n>(node: Option<&'n Node>, name: &str) -> Option<&'n Node> {
    node.and_then(|node| node.property(name)).map(AsRef::as_ref)
}

pub(super) fn items(node: Option<&Node>) -> Option<&Node> {
    node.and_then(|node| node.items.as_deref())
}

/// The path element of a list item: `k:{"name":"a"}` or `v:"x"`. The error says why it has none.
pub(super) fn of_item(item: &Value, node: Option<&Node>) -> Result<String, String> {
    match node.map(|node| &node.list) {
        Some(List::Map(keys)) => {
            let Value::Object(fields) = item else {
                return Err("associative list with keys may not have non-map elements".to_owned());
            };
            let default = |key: &str| property(items(node), key).and_then(|node| node.default.as_ref());
            let found = keys.iter().filter_map(|key| Some((key, fields.get(key).or_else(|| default(key))?)));
            let identity: Map<String, Value> =
                found.map(|(key, value)| (key.clone(), value.clone())).collect();
            if identity.is_empty() {
                let keys = keys.join(" ");
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{keys:?}] (and doesn't have default values for any key fields)"
                ));
            }
            Ok(format!("k:{}", Value::Object(identity)))
        }
        _ => match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(format!("v:{scalar}")),
        },
    }
}

pub(super) fn of_field(name: &str) -> String {
    format!("f:{name}")
}
