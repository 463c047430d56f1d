//! Stored bytes: the object as JSON, without its `resourceVersion`.
//!
//! The revision is only known once the write is committed, so it is not part of what is stored. The bytes begin with
//! the place where it belongs; reading an object for the wire is then one copy with an insertion, no parsing.

use bytes::BufMut;
use bytes::Bytes;
use serde_json::Value;

use crate::local::server::refusal::Refusal;
use crate::local::store::Row;

/// The place of the insertion, as a little-endian `u32`, before the JSON.
const HEADER: usize = 4;

/// The stored form of an object. `resourceVersion` is taken out of it.
pub(super) fn encode(object: &mut Value) -> Bytes {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
    }
    let mut bytes = vec![0; HEADER];
    let mut offset = 0;
    bytes.push(b'{');
    if let Some(fields) = object.as_object() {
        // These first, so that a reader of a stream knows early what it has.
        for name in ["apiVersion", "kind", "metadata"] {
            if let Some(value) = fields.get(name) {
                field(&mut bytes, name, value);
            }
            if name == "metadata" {
                offset = metadata_start(&bytes);
            }
        }
        for (name, value) in fields {
            if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                field(&mut bytes, name, value);
            }
        }
    }
    bytes.push(b'}');
    let offset = u32::try_from(offset).expect("an object is far smaller than 4 GiB");
    bytes[..HEADER].copy_from_slice(&offset.to_le_bytes());
    Bytes::from(bytes)
}

fn field(into: &mut Vec<u8>, name: &str, value: &Value) {
    if into.last() != Some(&b'{') {
        into.push(b',');
    }
    // Writing JSON values to memory cannot fail.
    serde_json::to_writer(&mut *into, name).expect("a string is JSON");
    into.push(b':');
    serde_json::to_writer(&mut *into, value).expect("a value is JSON");
}

/// The place after `"metadata":{`, which is the last occurrence before any other field was written.
fn metadata_start(bytes: &[u8]) -> usize {
    const OPENING: &[u8] = b"\"metadata\":{";
    // `apiVersion` and `kind` come before; neither can hold an unescaped quote, so the first one is ours.
    let found =
        bytes.get(HEADER..).and_then(|json| json.windows(OPENING.len()).position(|window| window == OPENING));
    found.map_or(0, |at| at + OPENING.len())
}

/// Appends the object as it goes over the wire.
pub(super) fn splice(row: &Row, into: &mut Vec<u8>) {
    splice_at(row, row.revision, into);
}

/// The same, with another revision: the one at which the object was removed.
pub(super) fn splice_at(row: &Row, revision: u64, into: &mut Vec<u8>) {
    let (offset, json) = parts(&row.value);
    let (head, tail) = json.split_at(offset);
    into.reserve(json.len() + 48);
    into.put_slice(head);
    into.put_slice(b"\"resourceVersion\":\"");
    into.put_slice(revision.to_string().as_bytes());
    into.put_slice(if tail.first() == Some(&b'}') { b"\"" } else { b"\"," });
    into.put_slice(tail);
}

/// The object, parsed, with its revision.
pub(super) fn decode(row: &Row) -> Result<Value, Refusal> {
    decode_at(row, row.revision)
}

/// The same, with another revision.
pub(super) fn decode_at(row: &Row, revision: u64) -> Result<Value, Refusal> {
    let (_, json) = parts(&row.value);
    let mut object: Value = serde_json::from_slice(json)
        .map_err(|error| Refusal::Internal(format!("{} is stored unreadably: {error}", row.key)))?;
    object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
    Ok(object)
}

/// The bare JSON, for those who read a part of it.
pub(super) fn json(row: &Row) -> &[u8] {
    parts(&row.value).1
}

fn parts(value: &[u8]) -> (usize, &[u8]) {
    match value.split_at_checked(HEADER) {
        Some((header, json)) => {
            let offset = header.try_into().map_or(0, u32::from_le_bytes) as usize;
            (offset.min(json.len()), json)
        }
        None => (0, value),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn row(mut object: Value) -> Row {
        Row { key: Arc::from("core/configmaps/a/b"), revision: 17, value: encode(&mut object) }
    }

    #[test]
    fn the_revision_lands_in_the_objects_own_metadata() {
        for object in [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"x": "\"metadata\":{"}}),
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "b"}, "a": {"metadata": {"name": "inner"}}}),
            json!({"apiVersion": "v1", "kind": "X", "metadata": {}}),
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "b", "resourceVersion": "3"}}),
        ] {
            let row = row(object.clone());
            let mut wire = Vec::new();
            splice(&row, &mut wire);
            let mut expected = object;
            expected["metadata"]["resourceVersion"] = json!("17");
            assert_eq!(serde_json::from_slice::<Value>(&wire).unwrap(), expected);
            assert_eq!(decode(&row).unwrap(), expected);
        }
    }

    #[test]
    fn unreadable_bytes_are_an_error_and_no_panic() {
        for bytes in [&b""[..], b"x", b"\xff\xff\xff\xff", b"\xff\xff\xff\xff{", b"\x00\x00\x00\x00nonsense"]
        {
            let row = Row { key: Arc::from("k"), revision: 1, value: Bytes::copy_from_slice(bytes) };
            splice(&row, &mut Vec::new());
            assert!(decode(&row).is_err(), "{bytes:?}");
        }
    }
}
