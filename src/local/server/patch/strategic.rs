//! Strategic merge patch: a merge patch that knows which lists merge by key, with directives for the rest.
//!
//! Directives: `$patch` (replace, delete, merge), `$deleteFromPrimitiveList/<field>`, `$setElementOrder/<field>`,
//! `$retainKeys`. Only built-in kinds have it; the server answers 415 for custom ones.

use serde_json::Map;
use serde_json::Value;

use crate::local::server::patch::PatchError;
use crate::local::server::schema::Merge;
use crate::local::server::schema::Node;
use crate::local::server::schema::Schema;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies `patch` or leaves `target` as it was.
pub(in crate::local::server) fn strategic_merge_patch(
    target: &mut Value,
    patch: &Value,
    schema: &Schema,
) -> Result<(), PatchError> {
    let (Value::Object(fields), Value::Object(changes)) = (&*target, patch) else {
        return Err(PatchError::Malformed("a strategic merge patch must be an object".to_owned()));
    };
    let mut result = fields.clone();
    merge_object(&mut result, changes, Some(schema.root()))?;
    *target = Value::Object(result);
    Ok(())
}

fn merge_object(
    target: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    node: Option<&Node>,
) -> Result<(), PatchError> {
    match patch.get(PATCH).map(|directive| directive.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => {
            target.clone_from(patch);
            target.remove(PATCH);
            return Ok(());
        }
        Some("delete") => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(malformed(&format!("unknown patch type: {other}"))),
    }
    if let Some(kept) = patch.get(RETAIN_KEYS) {
        let kept = kept.as_array().ok_or_else(|| malformed("$retainKeys must be a list"))?;
        target.retain(|name, _| kept.iter().any(|one| one == name.as_str()));
    }
    for (name, change) in patch {
        if name == PATCH || name == RETAIN_KEYS || name.starts_with(ORDER) {
            continue;
        }
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            delete_from(target, field, change)?;
            continue;
        }
        let node = node.and_then(|node| node.property(name)).map(AsRef::as_ref);
        let before = target.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        merge_field(target, name, change, node)?;
        let merge = node.and_then(|node| node.merge.as_ref());
        // Without an order of its own, a list that merges has that of the patch.
        let order = patch.get(&format!("{ORDER}{name}")).or(merge.map(|_| change));
        if let (Some(order), Some(Value::Array(items))) = (order, target.get_mut(name)) {
            reorder(items, order, &before, merge)?;
        }
    }
    for (name, order) in patch {
        let Some(field) = name.strip_prefix(ORDER).filter(|field| !patch.contains_key(*field)) else {
            continue;
        };
        let node = node.and_then(|node| node.property(field));
        if let Some(Value::Array(items)) = target.get_mut(field) {
            let before = items.clone();
            reorder(items, order, &before, node.and_then(|node| node.merge.as_ref()))?;
        }
    }
    Ok(())
}

fn merge_field(
    target: &mut Map<String, Value>,
    name: &str,
    change: &Value,
    node: Option<&Node>,
) -> Result<(), PatchError> {
    match change {
        Value::Null => {
            target.remove(name);
        }
        Value::Object(changes) => {
            if changes.get(PATCH).and_then(Value::as_str) == Some("delete") {
                target.remove(name);
                return Ok(());
            }
            let current = target.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if !current.is_object() {
                *current = Value::Object(Map::new());
            }
            if let Value::Object(current) = current {
                merge_object(current, changes, node)?;
            }
        }
        Value::Array(changes) => {
            let current = match target.remove(name) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            target.insert(name.to_owned(), Value::Array(merge_list(current, changes, node)?));
        }
        scalar => {
            target.insert(name.to_owned(), scalar.clone());
        }
    }
    Ok(())
}

fn merge_list(current: Vec<Value>, changes: &[Value], node: Option<&Node>) -> Result<Vec<Value>, PatchError> {
    let replace =
        |one: &Value| one.get(PATCH).and_then(Value::as_str) == Some("replace") && one.get(PATCH).is_some();
    let whole =
        changes.iter().any(|one| replace(one) && one.as_object().is_some_and(|fields| fields.len() == 1));
    let plain = || changes.iter().filter(|one| one.get(PATCH).is_none()).cloned().collect();
    if whole {
        return Ok(plain());
    }
    let items = node.and_then(|node| node.items.as_deref());
    match node.and_then(|node| node.merge.as_ref()) {
        None => changes.iter().map(|change| fresh(change, items)).collect(),
        Some(Merge { key: None, .. }) => {
            let mut result = current;
            for change in changes {
                if !result.contains(change) {
                    result.push(change.clone());
                }
            }
            Ok(result)
        }
        Some(Merge { key: Some(key), .. }) => merge_by_key(current, changes, key, items),
    }
}

fn merge_by_key(
    current: Vec<Value>,
    changes: &[Value],
    key: &str,
    node: Option<&Node>,
) -> Result<Vec<Value>, PatchError> {
    let mut result = current;
    for change in changes {
        let Value::Object(fields) = change else {
            return Err(malformed(&format!("expected an object with merge key {key}")));
        };
        let identity = fields
            .get(key)
            .ok_or_else(|| malformed(&format!("map: {change} does not contain declared merge key: {key}")))?;
        let found = result.iter().position(|item| item.get(key) == Some(identity));
        match (fields.get(PATCH).and_then(Value::as_str), found) {
            (Some("delete"), _) => result.retain(|item| item.get(key) != Some(identity)),
            (Some("replace"), at) => {
                let mut item = fields.clone();
                item.remove(PATCH);
                place(&mut result, at, Value::Object(item));
            }
            (_, Some(at)) => {
                if let Some(Value::Object(item)) = result.get_mut(at) {
                    merge_object(item, fields, node)?;
                }
            }
            (_, None) => result.push(fresh(change, node)?),
        }
    }
    Ok(result)
}

fn place(items: &mut Vec<Value>, at: Option<usize>, item: Value) {
    match at.and_then(|at| items.get_mut(at)) {
        Some(place) => *place = item,
        None => items.push(item),
    }
}

/// A value that is new in the object: the patch without its directives.
fn fresh(change: &Value, node: Option<&Node>) -> Result<Value, PatchError> {
    match change {
        Value::Object(fields) => {
            let mut result = Map::new();
            merge_object(&mut result, fields, node)?;
            Ok(Value::Object(result))
        }
        other => Ok(other.clone()),
    }
}

fn delete_from(target: &mut Map<String, Value>, field: &str, change: &Value) -> Result<(), PatchError> {
    let gone = change.as_array().ok_or_else(|| malformed("$deleteFromPrimitiveList must be a list"))?;
    if let Some(Value::Array(items)) = target.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
    Ok(())
}

/// Puts the items that `order` names into its order. Each of the others stays before the next named item that it was before
/// in the list as it was; a named item that is new goes as far to the front as its order allows.
fn reorder(
    items: &mut Vec<Value>,
    order: &Value,
    before: &[Value],
    merge: Option<&Merge>,
) -> Result<(), PatchError> {
    let order = order.as_array().ok_or_else(|| malformed("$setElementOrder must be a list"))?;
    let key = merge.and_then(|merge| merge.key.as_deref());
    let identity =
        |item: &Value| key.map_or_else(|| item.clone(), |key| item.get(key).cloned().unwrap_or_default());
    let position = |list: &[Value], item: &Value| {
        let wanted = identity(item);
        list.iter().position(|one| identity(one) == wanted)
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(items).into_iter().partition(|item| position(order, item).is_some());
    named.sort_by_key(|item| position(order, item));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    while let (Some(one), Some(other)) = (named.peek(), others.peek()) {
        let was_before = match (position(before, other), position(before, one)) {
            (Some(other), Some(one)) => other < one,
            _ => false,
        };
        items.extend(if was_before { others.next() } else { named.next() });
    }
    items.extend(named);
    items.extend(others);
    Ok(())
}

fn malformed(text: &str) -> PatchError {
    PatchError::Malformed(text.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use crate::local::server::kinds::Kinds;
    use serde_json::json;

    fn patched(spec: Value, patch: Value) -> Result<Value, PatchError> {
        let kinds = Kinds::new(&[]).unwrap();
        let schema = &kinds.find("", "v1", "pods").unwrap().schema;
        let mut pod = json!({"spec": spec});
        strategic_merge_patch(&mut pod, &json!({"spec": patch}), schema).map(|()| pod["spec"].take())
    }

    #[test]
    fn items_merge_by_key_in_the_order_of_the_patch() {
        let spec = json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]});
        let patch = json!({"containers": [{"name": "c"}, {"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]}]});
        assert_eq!(
            patched(spec, patch).unwrap(),
            json!({"containers": [
                {"name": "c"},
                {"name": "a", "image": "1", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "3"}]},
                {"name": "b"},
            ]})
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced_and_nulls_remove() {
        let spec = json!({"containers": [{"name": "a", "command": ["x", "y"], "image": "1"}], "tolerations": [{"key": "k"}], "nodeName": "n"});
        let patch = json!({"containers": [{"name": "a", "command": ["z"], "image": null}], "tolerations": [{"key": "l"}], "nodeName": null});
        assert_eq!(
            patched(spec, patch).unwrap(),
            json!({"containers": [{"name": "a", "command": ["z"]}], "tolerations": [{"key": "l"}]})
        );
    }

    #[test]
    fn an_item_or_an_object_is_deleted_or_replaced_by_directive() {
        let spec = json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}], "nodeSelector": {"x": "1"}, "securityContext": {"runAsUser": 1}});
        let patch = json!({
            "containers": [{"$patch": "delete", "name": "a"}, {"$patch": "replace", "name": "b", "tty": true}],
            "nodeSelector": {"$patch": "replace", "y": "2"},
            "securityContext": {"$patch": "delete"},
        });
        assert_eq!(
            patched(spec, patch).unwrap(),
            json!({"containers": [{"name": "b", "tty": true}], "nodeSelector": {"y": "2"}})
        );
    }

    #[test]
    fn a_whole_list_is_replaced_by_directive() {
        let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let patch = json!({"containers": [{"$patch": "replace"}, {"name": "z"}]});
        assert_eq!(patched(spec, patch).unwrap(), json!({"containers": [{"name": "z"}]}));
    }

    #[test]
    fn the_order_of_a_patch_is_taken_over() {
        let spec = json!({"containers": [{"name": "a"}, {"name": "s"}, {"name": "b"}]});
        let patch = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "tty": true}]});
        assert_eq!(
            patched(spec.clone(), patch).unwrap(),
            json!({"containers": [{"name": "s"}, {"name": "b"}, {"name": "a", "tty": true}]})
        );
        let only = json!({"$setElementOrder/containers": [{"name": "s"}, {"name": "b"}, {"name": "a"}]});
        assert_eq!(
            patched(spec, only).unwrap(),
            json!({"containers": [{"name": "s"}, {"name": "b"}, {"name": "a"}]})
        );
    }

    #[test]
    fn retained_keys_are_all_that_stays() {
        let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let patch = json!({"volumes": [{"$retainKeys": ["name", "configMap"], "name": "v", "configMap": {"name": "m"}}]});
        assert_eq!(
            patched(spec, patch).unwrap(),
            json!({"volumes": [{"name": "v", "configMap": {"name": "m"}}]})
        );
    }

    #[test]
    fn scalars_of_a_merging_list_are_added_and_deleted() {
        let kinds = Kinds::new(&[]).unwrap();
        let schema = &kinds.find("", "v1", "pods").unwrap().schema;
        let mut pod = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch =
            json!({"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}});
        strategic_merge_patch(&mut pod, &patch, schema).unwrap();
        assert_eq!(pod["metadata"]["finalizers"], json!(["b", "c"]));
    }

    #[test]
    fn directives_never_reach_the_object() {
        let patch = json!({"volumes": [{"name": "v", "secret": {"$patch": "merge", "secretName": "s"}, "$retainKeys": ["name", "secret"]}]});
        assert_eq!(
            patched(json!({}), patch).unwrap(),
            json!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]})
        );
    }

    #[test]
    fn a_patch_that_makes_no_sense_is_malformed_and_changes_nothing() {
        for patch in [
            json!({"containers": [{"image": "no name"}]}),
            json!({"containers": ["text"]}),
            json!({"nodeSelector": {"$patch": "explode"}}),
            json!({"$setElementOrder/containers": {}, "containers": []}),
        ] {
            assert!(matches!(patched(json!({}), patch.clone()), Err(PatchError::Malformed(_))), "{patch}");
        }
    }
}
