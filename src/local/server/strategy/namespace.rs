//! Namespaces: born active, and held by the `kubernetes` finalizer until they are empty.

use serde_json::Value;
use serde_json::json;

use crate::local::server::metadata;

pub(super) fn create(object: &mut Value) {
    object["status"] = json!({"phase": "Active"});
    object["spec"] = json!({"finalizers": ["kubernetes"]});
    let name = metadata::name(object).to_owned();
    let metadata = &mut object["metadata"];
    if !metadata.get("labels").is_some_and(Value::is_object) {
        metadata["labels"] = json!({});
    }
    // What NetworkPolicies and selectors of webhooks count on.
    metadata["labels"]["kubernetes.io/metadata.name"] = json!(name);
}
