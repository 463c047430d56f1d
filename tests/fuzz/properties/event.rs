//! What holds of every event, and of every reason why something is none.

use bytes::Bytes;
use kakehi::event::{Error, Event, http, is_json, json};

/// An event comes back from each form that it is sent in.
pub(crate) fn survives(event: &Event) {
    let (headers, body) = http::encode_binary(event);
    let binary = http::decode(&headers, &body).expect("binary mode is read back");
    // Headers have no types, and no body is an empty one.
    assert_eq!(texts(&binary), texts(event));
    assert_eq!(binary.data(), event.data().filter(|data| !data.is_empty()));

    let (headers, body) = http::encode_structured(event);
    let structured = http::decode(&headers, &body).expect("structured mode is read back");
    assert!(structured.attributes().eq(event.attributes()));
    assert_eq!(structured.data(), event.data().map(|data| embedded(event, data)).as_ref());
    assert_eq!(json::encode(&structured), &body[..], "it is written the same again");

    let (headers, body) = http::encode_batch([event, &binary]);
    let batch = http::decode_all(&headers, &body).expect("a batch is read back");
    assert_eq!(batch.len(), 2);
    assert_eq!(batch[0], structured);
    assert_eq!(texts(&batch[1]), texts(event));
}

/// Data as it is in JSON: white space around a JSON value is no part of it.
fn embedded(event: &Event, data: &Bytes) -> Bytes {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let (Some(start), Some(end)) =
        (data.iter().position(|byte| !blank(byte)), data.iter().rposition(|byte| !blank(byte)))
    else {
        return data.clone();
    };
    let value = data.slice(start..=end);
    let is_value = serde_json::from_slice::<&serde_json::value::RawValue>(&value).is_ok();
    let written = json::encode(event);
    let written: std::collections::BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_slice(&written).expect("an event is written as an object");
    let is_embedded = written.contains_key("data") && event.datacontenttype().is_some_and(is_json);
    assert!(!is_embedded || is_value);
    if is_embedded { value } else { data.clone() }
}

/// Every attribute as text.
pub(crate) fn texts(event: &Event) -> Vec<(String, String)> {
    event.attributes().map(|(name, value)| (name.to_owned(), value.text().into_owned())).collect()
}

/// A reason can be shown to whoever sent the event: it is one short line.
pub(crate) fn is_fit_to_be_shown(error: &Error) {
    let reason = error.to_string();
    assert!((10..2000).contains(&reason.len()), "{reason}");
    assert!(!reason.contains(char::is_control), "{reason:?}");
}
