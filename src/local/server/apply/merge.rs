//! The two changes that apply makes to an object: laying a configuration over it, and taking paths out of it.

use std::collections::HashSet;

use serde_json::Map;
use serde_json::Value;

use crate::local::server::apply::element;
use crate::local::server::apply::element::Shape;
use crate::local::server::apply::element::shape;
use crate::local::server::apply::fields;
use crate::local::server::apply::fields::Fields;
use crate::local::server::schema::Node;

/// Lays `config` over `live`: objects and keyed lists merge, everything else is replaced. The error says which list
/// has an item without identity.
pub(super) fn merge(live: &Value, config: &Value, node: Option<&Node>) -> Result<Value, String> {
    merge_at(live, config, node, "")
}

fn merge_at(live: &Value, config: &Value, node: Option<&Node>, path: &str) -> Result<Value, String> {
    match (live, config) {
        (Value::Object(live), Value::Object(config))
            if shape(&Value::Object(Map::new()), node) == Shape::Map =>
        {
            let mut result = live.clone();
            for (name, value) in config {
                let below = element::property(node, name);
                let path = format!("{path}.{name}");
                let merged = match live.get(name) {
                    Some(before) => merge_at(before, value, below, &path)?,
                    None => merge_at(&nothing_like(value), value, below, &path)?,
                };
                result.insert(name.clone(), merged);
            }
            Ok(Value::Object(result))
        }
        (Value::Array(live), Value::Array(config))
            if shape(&Value::Array(Vec::new()), node) == Shape::List =>
        {
            merge_lists(live, config, node, path)
        }
        (_, Value::Object(_) | Value::Array(_)) if shape(config, node) != Shape::Leaf => {
            // The live value is of another type: it goes, but the items of the new one are still looked at.
            merge_at(&nothing_like(config), config, node, path)
        }
        (_, config) => Ok(config.clone()),
    }
}

fn nothing_like(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// The items of the configuration in its order; items that only the live list has stay before the next common one.
fn merge_lists(live: &[Value], config: &[Value], node: Option<&Node>, path: &str) -> Result<Value, String> {
    let at = |error: String, index: usize| format!("{path}: element {index}: {error}");
    let mut wanted = Vec::with_capacity(config.len());
    for (index, item) in config.iter().enumerate() {
        let name = element::of_item(item, node).map_err(|error| at(error, index))?;
        if wanted.iter().any(|(other, _)| *other == name) {
            let name = fields::paths(&Map::from_iter([(name, Value::Object(Map::new()))])).concat();
            return Err(format!("{path}: duplicate entries for key {name}"));
        }
        wanted.push((name, item));
    }
    let named = |item: &Value| element::of_item(item, node).ok();
    let below = element::items(node);
    let mut result = Vec::with_capacity(live.len().max(config.len()));
    let mut done: HashSet<&str> = HashSet::new();
    let mut next = wanted.iter();
    let one = |name: &str, item: &Value| {
        let before = live.iter().find(|item| named(item).as_deref() == Some(name));
        merge_at(before.unwrap_or(&nothing_like(item)), item, below, &format!("{path}[{name}]"))
    };
    for item in live {
        let name = named(item);
        let Some(common) = wanted.iter().find(|(other, _)| Some(other) == name.as_ref()) else {
            result.push(item.clone());
            continue;
        };
        while !done.contains(common.0.as_str()) {
            let Some((name, item)) = next.next() else { break };
            result.push(one(name, item)?);
            done.insert(name);
        }
    }
    for (name, item) in next {
        result.push(one(name, item)?);
    }
    Ok(Value::Array(result))
}

/// Takes every member of `gone` out of `value`.
pub(super) fn remove(value: &mut Value, gone: &Fields, node: Option<&Node>) {
    if gone.is_empty() {
        return;
    }
    match shape(value, node) {
        Shape::Leaf => {}
        Shape::Map => {
            let Value::Object(map) = value else { return };
            map.retain(|name, value| match fields::below(gone, &element::of_field(name)) {
                None => true,
                Some(part) if fields::owned(part) => false,
                Some(part) => {
                    remove(value, part, element::property(node, name));
                    true
                }
            });
        }
        Shape::List => {
            let Value::Array(items) = value else { return };
            items.retain_mut(|item| {
                let Ok(name) = element::of_item(item, node) else { return true };
                match fields::below(gone, &name) {
                    None => true,
                    Some(part) if fields::owned(part) => false,
                    Some(part) => {
                        remove(item, part, element::items(node));
                        true
                    }
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use crate::local::server::kinds::Kinds;
    use serde_json::json;

    fn on_pods<T>(act: impl FnOnce(Option<&Node>) -> T) -> T {
        let kinds = Kinds::new(&[]).unwrap();
        act(Some(kinds.find("", "v1", "pods").unwrap().schema.root().as_ref()))
    }

    fn merged(live: Value, config: Value) -> Result<Value, String> {
        on_pods(|node| merge(&live, &config, node))
    }

    #[test]
    fn keyed_lists_merge_and_keep_both_orders() {
        let names = |value: &Value| -> String {
            let list = value["spec"]["containers"].as_array().unwrap();
            list.iter().map(|item| item["name"].as_str().unwrap()).collect()
        };
        let pod = |names: &str| {
            let list: Vec<Value> = names.chars().map(|name| json!({"name": name})).collect();
            json!({"spec": {"containers": list}})
        };
        for (live, config, expected) in [
            ("abc", "b", "abc"),
            ("abc", "cx", "abcx"),
            ("ab", "xb", "axb"),
            ("ab", "ba", "ba"),
            ("", "ab", "ab"),
            ("ab", "", "ab"),
        ] {
            assert_eq!(names(&merged(pod(live), pod(config)).unwrap()), expected, "{live} + {config}");
        }
    }

    #[test]
    fn items_merge_by_field_and_atomic_values_are_replaced() {
        let live = json!({"spec": {"nodeSelector": {"a": "1"}, "containers": [{"name": "c", "image": "1", "command": ["x", "y"]}]}});
        let config =
            json!({"spec": {"nodeSelector": {"b": "2"}, "containers": [{"name": "c", "command": ["z"]}]}});
        assert_eq!(
            merged(live, config).unwrap(),
            json!({"spec": {"nodeSelector": {"b": "2"}, "containers": [{"name": "c", "image": "1", "command": ["z"]}]}})
        );
    }

    #[test]
    fn items_without_identity_are_refused_with_their_place() {
        let error = merged(json!({}), json!({"spec": {"containers": [{"image": "x"}]}})).unwrap_err();
        assert!(error.starts_with(".spec.containers: element 0: "), "{error}");
        let twice = json!({"spec": {"containers": [{"name": "a"}, {"name": "a"}]}});
        assert_eq!(
            merged(json!({}), twice).unwrap_err(),
            ".spec.containers: duplicate entries for key [name=\"a\"]"
        );
    }

    #[test]
    fn members_are_taken_out_whole() {
        let mut pod = json!({
            "metadata": {"labels": {"a": "1", "b": "2"}, "finalizers": ["x", "y"]},
            "spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b"}]},
        });
        let gone = json!({
            "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x\"": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}, "k:{\"name\":\"b\"}": {".": {}, "f:name": {}}}},
        });
        on_pods(|node| remove(&mut pod, gone.as_object().unwrap(), node));
        assert_eq!(
            pod,
            json!({"metadata": {"labels": {"b": "2"}, "finalizers": ["y"]}, "spec": {"containers": [{"name": "a"}]}})
        );
    }
}
