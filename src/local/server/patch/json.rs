//! RFC 6902 JSON patch with the API server's reading of it.
//!
//! Kubernetes' library treats `test` of null on a path that does not exist as true, and controllers rely on it: it is
//! how kube adds the first finalizer. `remove` of a missing path and a failed `test` are 422. A few `copy` operations can
//! describe an object that is exponentially larger or deeper than the patch, so both are bounded before each operation.

use json_patch::Patch;
use json_patch::PatchOperation;
use serde_json::Value;

use crate::local::server::patch::PatchError;

/// Operations in one patch; the API server's limit.
const OPERATION_LIMIT: usize = 10_000;

/// How many bytes of JSON all `copy` operations of a patch may add: what the API server takes as a whole request.
const COPIED_LIMIT: usize = 3 << 20;

/// How deep a value may lie after an operation put it there. Parsers give up at 128, and what is stored must be readable.
const DEPTH_LIMIT: usize = 100;

/// Applies `patch` (an array of operations) or leaves `target` as it was.
pub(in crate::local::server) fn json_patch(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > OPERATION_LIMIT {
        let text =
            format!("The allowed maximum operations in a JSON patch is {OPERATION_LIMIT}, got {count}");
        return Err(PatchError::DoesNotApply(text));
    }
    let Patch(operations) =
        serde_json::from_value(patch.clone()).map_err(|error| PatchError::Malformed(error.to_string()))?;
    let mut result = target.clone();
    let mut copied = 0;
    for operation in operations {
        if is_true_without_looking(&operation, &result) {
            continue;
        }
        bound(&operation, &result, &mut copied)?;
        json_patch::patch(&mut result, &[operation])
            .map_err(|error| PatchError::DoesNotApply(error.to_string()))?;
    }
    *target = result;
    Ok(())
}

/// `test` of null where there is nothing.
fn is_true_without_looking(operation: &PatchOperation, target: &Value) -> bool {
    match operation {
        PatchOperation::Test(test) => test.value.is_null() && target.pointer(test.path.as_str()).is_none(),
        _ => false,
    }
}

/// Refuses an operation that would make the object too large or too deep; `copied` counts over the whole patch.
fn bound(operation: &PatchOperation, target: &Value, copied: &mut usize) -> Result<(), PatchError> {
    let (path, value) = match operation {
        PatchOperation::Add(add) => (&add.path, Some(&add.value)),
        PatchOperation::Replace(replace) => (&replace.path, Some(&replace.value)),
        PatchOperation::Move(moved) => (&moved.path, target.pointer(moved.from.as_str())),
        PatchOperation::Copy(copy) => (&copy.path, target.pointer(copy.from.as_str())),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => return Ok(()),
    };
    // What is not there fails when the operation is carried out.
    let Some(value) = value else { return Ok(()) };
    if matches!(operation, PatchOperation::Copy(_)) {
        *copied = copied.saturating_add(size(value));
        if *copied > COPIED_LIMIT {
            return Err(PatchError::DoesNotApply(format!(
                "Unable to copy, the accumulated size increase of copy is {copied}, exceeding the limit {COPIED_LIMIT}"
            )));
        }
    }
    let depth = path.as_str().matches('/').count() + depth(value);
    if depth > DEPTH_LIMIT {
        return Err(PatchError::DoesNotApply(format!(
            "the patch nests values {depth} levels deep, exceeding the limit {DEPTH_LIMIT}"
        )));
    }
    Ok(())
}

/// Levels of lists and maps. The recursion is bounded: what comes from a parser is less than 128 deep, and nothing deeper
/// than [`DEPTH_LIMIT`] is made here.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// About how many bytes the value has as JSON: exact but for escapes and numbers.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 2 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(name, value)| 4 + name.len() + size(value)).sum::<usize>()
        }
        Value::String(text) => 2 + text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(target: Value, patch: &Value) -> Result<Value, PatchError> {
        let mut result = target;
        json_patch(&mut result, patch).map(|()| result)
    }

    #[test]
    fn the_first_finalizer_can_be_added_as_kube_adds_it() {
        let patch = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["a"]},
        ]);
        assert_eq!(
            patched(json!({"metadata": {}}), &patch).unwrap(),
            json!({"metadata": {"finalizers": ["a"]}})
        );
        assert!(matches!(
            patched(json!({"metadata": {"finalizers": ["b"]}}), &patch),
            Err(PatchError::DoesNotApply(_))
        ));
    }

    #[test]
    fn a_failing_operation_leaves_the_object_alone() {
        let mut object = json!({"a": 1});
        let patch = json!([{"op": "replace", "path": "/a", "value": 2}, {"op": "remove", "path": "/b"}]);
        assert!(matches!(json_patch(&mut object, &patch), Err(PatchError::DoesNotApply(_))));
        assert_eq!(object, json!({"a": 1}));
    }

    #[test]
    fn a_body_that_is_no_patch_is_malformed() {
        for body in [json!({}), json!([{"op": "fly", "path": "/a"}]), json!([{"op": "add"}]), json!("x")] {
            assert!(matches!(patched(json!({}), &body), Err(PatchError::Malformed(_))), "{body}");
        }
    }

    #[test]
    fn escaped_paths_and_array_positions_work() {
        let patch = json!([
            {"op": "add", "path": "/metadata/annotations/a~1b", "value": "x"},
            {"op": "add", "path": "/list/-", "value": 3},
            {"op": "remove", "path": "/list/0"},
            {"op": "copy", "from": "/list/0", "path": "/first"},
            {"op": "move", "from": "/first", "path": "/moved"},
        ]);
        let target = json!({"metadata": {"annotations": {}}, "list": [1, 2]});
        let expected = json!({"metadata": {"annotations": {"a/b": "x"}}, "list": [2, 3], "moved": 2});
        assert_eq!(patched(target, &patch).unwrap(), expected);
    }

    #[test]
    fn too_many_operations_are_refused() {
        let operation = json!({"op": "test", "path": "/a", "value": null});
        let patch = Value::Array(vec![operation; OPERATION_LIMIT + 1]);
        assert!(matches!(patched(json!({}), &patch), Err(PatchError::DoesNotApply(_))));
    }

    /// A chain of `a` fields, this deep.
    fn chain(depth: usize) -> Value {
        (0..depth).fold(json!({}), |below, _| json!({"a": below}))
    }

    fn refused(target: Value, patch: &Value) -> String {
        match patched(target, patch) {
            Err(PatchError::DoesNotApply(why)) => why,
            other => panic!("{:?}", other.map(|value| depth(&value))),
        }
    }

    #[test]
    fn a_chain_that_is_copied_into_its_own_end_stops_at_the_limit_of_depth() {
        // Each operation doubles: thirty of them would nest a thousand million levels.
        let mut at = String::from("/a");
        let mut operations = Vec::new();
        for _ in 0..30 {
            operations.push(json!({"op": "copy", "from": "/a", "path": format!("{at}/a")}));
            at = if at.len() < 1 << 10 { format!("{at}{at}") } else { at };
        }
        let why = refused(json!({"a": {}}), &Value::Array(operations));
        assert!(why.contains("levels deep"), "{why}");
    }

    #[test]
    fn no_operation_nests_deeper_than_the_limit() {
        let deepest = "/a".repeat(60);
        for (op, deep) in [("add", 40), ("replace", 40), ("copy", 40), ("move", 40)] {
            let patch = |depth: usize| match op {
                "copy" | "move" => json!([{"op": op, "from": "/b", "path": deepest}]),
                _ => json!([{"op": op, "path": deepest, "value": chain(depth - 1)}]),
            };
            let target = |depth: usize| json!({"a": chain(61)["a"], "b": chain(depth - 1)});
            assert_eq!(depth(&patched(target(deep), &patch(deep)).unwrap()), DEPTH_LIMIT, "{op}");
            let why = refused(target(deep + 1), &patch(deep + 1));
            assert!(why.contains("101 levels deep"), "{op}: {why}");
        }
    }

    #[test]
    fn doubling_by_copies_stops_at_the_limit_of_size() {
        let doubling = json!([
            {"op": "copy", "from": "/list", "path": "/other"},
            {"op": "add", "path": "/list", "value": []},
            {"op": "copy", "from": "/other", "path": "/list/-"},
            {"op": "copy", "from": "/other", "path": "/list/-"},
        ]);
        let operations: Vec<Value> =
            (0..25).flat_map(|_| doubling.as_array().cloned().unwrap_or_default()).collect();
        let why = refused(json!({"list": ["x".repeat(1000)]}), &Value::Array(operations));
        assert!(why.contains("accumulated size increase"), "{why}");
    }

    #[test]
    fn copies_within_the_limit_of_size_are_made() {
        let patch = json!([{"op": "copy", "from": "/a", "path": "/b"}]);
        let target = json!({"a": "x".repeat(COPIED_LIMIT - 2)});
        assert_eq!(patched(target.clone(), &patch).unwrap()["b"], target["a"]);
        let why = refused(json!({"a": "x".repeat(COPIED_LIMIT - 1)}), &patch);
        assert!(why.contains("accumulated size increase"), "{why}");
    }
}
