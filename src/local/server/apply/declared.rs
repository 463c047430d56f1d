//! Fields of a configuration that its kind does not have.

use serde_json::Value;

use crate::local::server::apply::element;
use crate::local::server::apply::element::Shape;
use crate::local::server::apply::element::shape;
use crate::local::server::apply::fields;
use crate::local::server::schema::Additional;
use crate::local::server::schema::Node;

/// The paths of such fields, as conflicts name theirs: `.spec.containers[name="a"].imaeg`.
pub(super) fn undeclared(config: &Value, root: &Node) -> Vec<String> {
    let mut found = Vec::new();
    look(config, root, "", &mut found);
    found
}

fn look(value: &Value, node: &Node, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let names_itself = path.is_empty() || node.embedded;
            let takes_any = node.preserve || matches!(node.additional, Additional::Anything);
            for (name, value) in members {
                let path = format!("{path}.{name}");
                match (node.properties.get(name), &node.additional) {
                    (Some(below), _) | (None, Additional::Values(below)) => look(value, below, &path, found),
                    (None, _) if takes_any => {}
                    (None, _)
                        if names_itself && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") => {}
                    (None, _) => found.push(path),
                }
            }
        }
        Value::Array(items) => {
            let Some(below) = &node.items else { return };
            let is_keyed = shape(value, Some(node)) == Shape::List;
            for (index, item) in items.iter().enumerate() {
                let name = element::of_item(item, Some(node)).ok().filter(|_| is_keyed);
                let name = name.unwrap_or_else(|| format!("i:{index}"));
                look(item, below, &format!("{path}{}", fields::shown(&name)), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::local::server::kinds::Kinds;

    #[test]
    fn what_a_kind_does_not_have_is_found_with_its_place() {
        let kinds = Kinds::new(&[]).unwrap();
        let root = kinds.find("", "v1", "pods").unwrap().schema.root().clone();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"any": "thing"}, "lable": 1},
            "spec": {
                "nodeSelector": {"any": "thing"},
                "containers": [{"name": "a", "imaeg": "x", "command": ["y"], "resources": {"limits": {"cpu": 1}}}],
                "tolerations": [{"keyy": "x"}],
            },
            "datta": null,
        });
        let mut found = undeclared(&pod, &root);
        found.sort();
        let wanted =
            [".datta", ".metadata.lable", ".spec.containers[name=\"a\"].imaeg", ".spec.tolerations[0].keyy"];
        assert_eq!(found, wanted);
    }
}
