//! RFC 6902 JSON patch with the API server's reading of it.
//!
//! Kubernetes' library treats `test` of null on a path that does not exist as true, and controllers rely on it: it is
//! how kube adds the first finalizer. `remove` of a missing path and a failed `test` are 422.

use json_patch::Patch;
use json_patch::PatchOperation;
use serde_json::Value;

use crate::local::server::patch::PatchError;

/// Operations in one patch; the API server's limit.
const OPERATION_LIMIT: usize = 10_000;

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
    for operation in operations {
        if is_true_without_looking(&operation, &result) {
            continue;
        }
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
}
