//! The schemas of a document: the definitions that its kinds reach, with Kubernetes' extensions.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::local::server::kinds::Kind;
use crate::local::server::kinds::Kinds;
use crate::local::server::kinds::REFERENCE;
use crate::local::server::kinds::name_of;
use crate::local::server::openapi::identity;
use crate::local::server::schema::List;
use crate::local::server::schema::Node;
use crate::local::server::schema::Parser;

/// Everything that these kinds refer to, directly or not.
pub(super) fn of(kinds: &[&Kind], all: &Kinds) -> Value {
    let mut parser = Parser::new(all.definitions());
    let mut schemas = Map::new();
    let mut open: Vec<String> = kinds.iter().map(|kind| kind.definition.clone()).collect();
    while let Some(name) = open.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let Some(definition) = all.definitions().get(&name) else { continue };
        let mut schema = definition.clone();
        let custom = kinds.iter().any(|kind| kind.custom && kind.definition == name);
        if !custom {
            extend(&mut schema, &parser.builtin(&name));
        }
        rewrite(&mut schema, &mut open);
        schemas.insert(name, schema);
    }
    for kind in kinds {
        if let Some(schema) = schemas.get_mut(&kind.definition) {
            schema["x-kubernetes-group-version-kind"] = json!([identity(kind)]);
        }
    }
    Value::Object(schemas)
}

/// Adds list types and merge keys to the properties of a built-in type.
fn extend(schema: &mut Value, node: &Node) {
    if node.atomic_map {
        schema["x-kubernetes-map-type"] = json!("atomic");
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (name, property) in properties {
        let Some(node) = node.properties.get(name) else { continue };
        if node.items.is_some() {
            match &node.list {
                List::Atomic => property["x-kubernetes-list-type"] = json!("atomic"),
                List::Set => property["x-kubernetes-list-type"] = json!("set"),
                List::Map(keys) => {
                    property["x-kubernetes-list-type"] = json!("map");
                    property["x-kubernetes-list-map-keys"] = json!(keys);
                }
            }
        }
        if let Some(merge) = &node.merge {
            let strategy = if merge.retain_keys { "merge,retainKeys" } else { "merge" };
            property["x-kubernetes-patch-strategy"] = json!(strategy);
            if let Some(key) = &merge.key {
                property["x-kubernetes-patch-merge-key"] = json!(key);
            }
        }
        if node.atomic_map && property.get("$ref").is_none() {
            property["x-kubernetes-map-type"] = json!("atomic");
        }
    }
}

/// Points references into the document (with siblings, as `OpenAPI` 3.0 wants them) and collects where they point.
fn rewrite(value: &mut Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str).map(name_of) {
                found.push(reference.to_owned());
                let target = json!({"$ref": format!("{REFERENCE}{reference}")});
                if fields.len() == 1 {
                    *value = target;
                } else {
                    fields.remove("$ref");
                    fields.insert("allOf".to_owned(), json!([target]));
                }
                return;
            }
            fields.values_mut().for_each(|value| rewrite(value, found));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rewrite(value, found)),
        _ => {}
    }
}
