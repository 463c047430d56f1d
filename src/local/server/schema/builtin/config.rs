//! ConfigMaps and Secrets: keys that can be file names, and a limit on the whole.

use serde_json::Value;

use crate::local::server::schema::builtin::refuse;
use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::names;
use crate::local::server::schema::path::Path;

/// All keys' contents together: 1 MiB, Kubernetes' limit.
const SIZE_LIMIT: usize = 1024 * 1024;

pub(super) fn check_config_map(object: &Value, errors: &mut Vec<FieldError>) {
    let plain = object.get("data").and_then(Value::as_object);
    let binary = object.get("binaryData").and_then(Value::as_object);
    let mut size = 0;
    for (field, entries, encoded) in [("data", plain, false), ("binaryData", binary, true)] {
        let path = Path::ROOT.field(field);
        for (key, value) in entries.into_iter().flatten() {
            refuse_key(&path, key, errors);
            if !encoded && binary.is_some_and(|binary| binary.contains_key(key)) {
                let at = path.key(key);
                let error = FieldError::invalid(
                    &at,
                    &Value::from(key.as_str()),
                    "duplicate of key present in binaryData",
                );
                errors.push(error.bracketed(&at));
            }
            size += length(value, encoded);
        }
    }
    if size > SIZE_LIMIT {
        let mut error = FieldError::too_long(&Path::ROOT, SIZE_LIMIT as u64);
        "[]".clone_into(&mut error.field);
        errors.push(error);
    }
}

pub(super) fn check_secret(object: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::ROOT.field("data");
    let mut size = 0;
    for (key, value) in object.get("data").and_then(Value::as_object).into_iter().flatten() {
        refuse_key(&path, key, errors);
        size += length(value, true);
    }
    if size > SIZE_LIMIT {
        errors.push(FieldError::too_long(&path, SIZE_LIMIT as u64));
    }
    required_keys(object, &path, errors);
}

/// The keys that the type of a Secret promises.
fn required_keys(object: &Value, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let keys: &[&str] = match object.get("type").and_then(Value::as_str) {
        Some("kubernetes.io/tls") => &["tls.crt", "tls.key"],
        Some("kubernetes.io/dockerconfigjson") => &[".dockerconfigjson"],
        Some("kubernetes.io/ssh-auth") => &["ssh-privatekey"],
        _ => &[],
    };
    for key in keys.iter().filter(|key| object.pointer("/data").is_none_or(|data| data.get(**key).is_none()))
    {
        let at = path.key(key);
        errors.push(FieldError::required(&at, "").bracketed(&at));
    }
}

fn refuse_key(path: &Path<'_>, key: &str, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    let at = path.key(key);
    refuse(&at, key, names::config_key(key), errors);
    let bracketed = at.bracketed();
    errors.iter_mut().skip(before).for_each(|error| error.field.clone_from(&bracketed));
}

/// The length of the content, which is base64 in `binaryData` and in Secrets.
fn length(value: &Value, encoded: bool) -> usize {
    let text = value.as_str().unwrap_or_default();
    if !encoded {
        return text.len();
    }
    text.len() / 4 * 3 - text.bytes().rev().take_while(|byte| *byte == b'=').count().min(text.len() / 4 * 3)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::needless_pass_by_value, reason = "literals read better as values")]

    use super::*;
    use serde_json::json;

    fn errors(check: fn(&Value, &mut Vec<FieldError>), object: Value) -> Vec<String> {
        let mut errors = Vec::new();
        check(&object, &mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.field, error.message)).collect()
    }

    #[test]
    fn keys_must_be_file_names() {
        let found = errors(check_config_map, json!({"data": {"a b": "x", "ok.txt": "y"}}));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("data[a b]: Invalid value: \"a b\": a valid config key must"),
            "{found:?}"
        );
        assert!(!errors(check_secret, json!({"data": {"..": "eA=="}})).is_empty());
    }

    #[test]
    fn a_key_stands_in_one_place() {
        let found = errors(check_config_map, json!({"data": {"a": "x"}, "binaryData": {"a": "eA=="}}));
        assert_eq!(found, ["data[a]: Invalid value: \"a\": duplicate of key present in binaryData"]);
    }

    #[test]
    fn the_whole_is_limited_to_a_mebibyte() {
        let half = "x".repeat(SIZE_LIMIT / 2);
        assert!(errors(check_config_map, json!({"data": {"a": half, "b": half}})).is_empty());
        let more = format!("{half}x");
        let found = errors(check_config_map, json!({"data": {"a": half, "b": more}}));
        assert_eq!(found, ["[]: Too long: may not be more than 1048576 bytes"]);
        assert_eq!(length(&json!("aGk="), true), 2);
    }

    #[test]
    fn a_typed_secret_has_its_keys() {
        let found = errors(check_secret, json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}));
        assert_eq!(found, ["data[tls.key]: Required value"]);
    }
}
