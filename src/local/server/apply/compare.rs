//! From values to paths: what a configuration sets, what a new object holds, what has changed between two.

use serde_json::Map;
use serde_json::Value;

use crate::local::server::apply::element;
use crate::local::server::apply::element::Shape;
use crate::local::server::apply::element::shape;
use crate::local::server::apply::fields;
use crate::local::server::apply::fields::Fields;
use crate::local::server::schema::Node;

/// The paths that an applied configuration sets: its leaves, every list item, every key of a map.
pub(super) fn set_by(value: &Value, node: Option<&Node>) -> Fields {
    match (value, shape(value, node)) {
        (Value::Object(map), Shape::Map) => {
            let mut set = Fields::new();
            for (name, value) in map {
                let below = element::property(node, name);
                let declared = node.is_some_and(|node| node.properties.contains_key(name));
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let member = !declared || empty || shape(value, below) == Shape::Leaf;
                fields::insert(&mut set, element::of_field(name), fields::part(member, set_by(value, below)));
            }
            set
        }
        (Value::Array(items), Shape::List) => {
            let mut set = Fields::new();
            for item in items {
                // An item without identity has been refused before.
                let Ok(name) = element::of_item(item, node) else { continue };
                fields::insert(&mut set, name, fields::part(true, set_by(item, element::items(node))));
            }
            set
        }
        _ => Fields::new(),
    }
}

/// The paths of a value where nothing was: like [`set_by`], and every object and list itself.
pub(super) fn created(value: &Value, node: Option<&Node>) -> Fields {
    match (value, shape(value, node)) {
        (Value::Object(map), Shape::Map) => {
            let mut set = Fields::new();
            for (name, value) in map {
                let below = element::property(node, name);
                fields::insert(&mut set, element::of_field(name), created_part(value, below));
            }
            set
        }
        (Value::Array(items), Shape::List) => {
            let mut set = Fields::new();
            for item in items {
                let Ok(name) = element::of_item(item, node) else { continue };
                fields::insert(&mut set, name, fields::part(true, created(item, element::items(node))));
            }
            set
        }
        _ => Fields::new(),
    }
}

fn created_part(value: &Value, node: Option<&Node>) -> Option<Fields> {
    let below = created(value, node);
    // What Go writes even when it is empty was there before it was filled.
    let member = below.is_empty() || node.is_none_or(|node| !node.always_there);
    fields::part(member, below)
}

/// What has changed between two values.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) added: Fields,
    pub(super) modified: Fields,
    pub(super) removed: Fields,
}

impl Changes {
    /// Added or modified.
    pub(super) fn written(&self) -> Fields {
        fields::union(&self.added, &self.modified)
    }

    fn absorb(&mut self, name: &str, old: Option<&Value>, new: Option<&Value>, node: Option<&Node>) {
        match (old, new) {
            (None, None) => {}
            (None, Some(new)) => fields::insert(&mut self.added, name.to_owned(), created_part(new, node)),
            (Some(old), None) => {
                fields::insert(&mut self.removed, name.to_owned(), fields::part(true, created(old, node)));
            }
            (Some(old), Some(new)) if old == new => {}
            (Some(old), Some(new)) => {
                let (before, after) = (shape(old, node), shape(new, node));
                if before == Shape::Leaf || before != after || (is_empty(old) && is_empty(new)) {
                    fields::insert(&mut self.modified, name.to_owned(), fields::part(true, Fields::new()));
                    return;
                }
                let Changes { added, modified, removed } = compare(old, new, node);
                for (set, part) in
                    [(&mut self.added, added), (&mut self.modified, modified), (&mut self.removed, removed)]
                {
                    fields::insert(set, name.to_owned(), fields::part(false, part));
                }
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// Compares two values of one shape that is not a leaf.
pub(super) fn compare(old: &Value, new: &Value, node: Option<&Node>) -> Changes {
    let mut changes = Changes::default();
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, before) in old {
                let below = element::property(node, name);
                changes.absorb(&element::of_field(name), Some(before), new.get(name), below);
            }
            for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
                changes.absorb(&element::of_field(name), None, Some(after), element::property(node, name));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            let named = |list: &'_ [Value]| -> Vec<(String, usize)> {
                let names = list.iter().enumerate();
                names.filter_map(|(at, item)| Some((element::of_item(item, node).ok()?, at))).collect()
            };
            let (before, after) = (named(old), named(new));
            for (name, at) in &before {
                let now = after.iter().find(|(other, _)| other == name).and_then(|(_, at)| new.get(*at));
                changes.absorb(name, old.get(*at), now, element::items(node));
            }
            for (name, at) in after.iter().filter(|(name, _)| !before.iter().any(|(other, _)| other == name))
            {
                changes.absorb(name, None, new.get(*at), element::items(node));
            }
        }
        _ => {}
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::server::kinds::Kinds;
    use serde_json::json;

    fn on_pods<T>(act: impl FnOnce(Option<&Node>) -> T) -> T {
        let kinds = Kinds::new(&[]).unwrap();
        act(Some(kinds.find("", "v1", "pods").unwrap().schema.root().as_ref()))
    }

    #[test]
    fn a_configuration_sets_leaves_items_and_map_keys() {
        let pod = json!({
            "metadata": {"labels": {"a": "b"}, "finalizers": ["x/y"]},
            "spec": {
                "nodeSelector": {"disk": "ssd"},
                "containers": [{"name": "c", "image": "i", "command": ["a", "b"], "resources": {}, "ports": [{"containerPort": 80}]}],
                "volumes": [{"name": "v", "emptyDir": {}}],
            },
        });
        let set = on_pods(|node| set_by(&pod, node));
        assert_eq!(
            Value::Object(set),
            json!({
                "f:metadata": {"f:labels": {"f:a": {}}, "f:finalizers": {"v:\"x/y\"": {}}},
                "f:spec": {
                    "f:nodeSelector": {},
                    "f:containers": {"k:{\"name\":\"c\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:command": {}, "f:resources": {},
                        "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                    }},
                    "f:volumes": {"k:{\"name\":\"v\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                },
            })
        );
    }

    #[test]
    fn a_created_object_is_owned_with_its_parents() {
        let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "v"}]}});
        let set = on_pods(|node| created(&pod, node));
        assert_eq!(
            Value::Object(set),
            json!({
                "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
                "f:spec": {
                    "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:name": {}}},
                    "f:volumes": {".": {}, "k:{\"name\":\"v\"}": {".": {}, "f:name": {}}},
                },
            })
        );
    }

    #[test]
    fn a_comparison_tells_added_modified_and_removed_apart() {
        let old = json!({"spec": {"nodeName": "a", "priority": 1, "containers": [{"name": "x", "image": "1"}, {"name": "y"}]}});
        let new = json!({"spec": {"nodeName": "b", "subdomain": "s", "containers": [{"name": "z"}, {"name": "x", "image": "2"}]}});
        let changes = on_pods(|node| compare(&old, &new, node));
        assert_eq!(
            Value::Object(changes.added),
            json!({"f:spec": {"f:subdomain": {}, "f:containers": {"k:{\"name\":\"z\"}": {".": {}, "f:name": {}}}}})
        );
        assert_eq!(
            Value::Object(changes.modified),
            json!({"f:spec": {"f:nodeName": {}, "f:containers": {"k:{\"name\":\"x\"}": {"f:image": {}}}}})
        );
        assert_eq!(
            Value::Object(changes.removed),
            json!({"f:spec": {"f:priority": {}, "f:containers": {"k:{\"name\":\"y\"}": {".": {}, "f:name": {}}}}})
        );
    }
}
