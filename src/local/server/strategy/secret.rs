//! Secrets: `stringData` is only ever written, it becomes `data`.

use k8s_openapi::ByteString;
use serde_json::Value;
use serde_json::json;

use crate::local::server::strategy::default;
use crate::local::server::strategy::remove;

pub(super) fn create(object: &mut Value) {
    default(object, "type", || json!("Opaque"));
    fold(object);
}

pub(super) fn update(object: &mut Value, old: &Value) {
    default(object, "type", || old.get("type").cloned().unwrap_or_else(|| json!("Opaque")));
    fold(object);
}

fn fold(object: &mut Value) {
    let Some(Value::Object(plain)) = object.get_mut("stringData").map(Value::take) else { return };
    remove(object, "stringData");
    default(object, "data", || json!({}));
    for (name, text) in plain {
        // Anything but text stays for the schema to refuse.
        object["data"][name] =
            text.as_str().map_or(text.clone(), |text| json!(ByteString(text.as_bytes().to_vec())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string_data_becomes_data_and_wins() {
        let mut secret = json!({"data": {"a": "b2xk", "b": "eA=="}, "stringData": {"a": "new"}});
        create(&mut secret);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "bmV3", "b": "eA=="}}));
    }
}
