//! Bodies in JSON, of one event and of a batch. Our reader, which borrows and looks into nothing, says what one that builds
//! a tree says.

use bytes::Bytes;
use kakehi::event::json::{MAX_BATCH, decode, decode_batch};
use kakehi::event::{Event, is_json};
use serde_json::Value;
use serde_json::value::RawValue;

use super::event;

pub(crate) fn check(input: &[u8]) {
    let body = Bytes::copy_from_slice(input);
    let one = decode(&body);
    match &one {
        Err(error) => event::is_fit_to_be_shown(error),
        Ok(found) => {
            event::survives(found);
            agrees_with_a_tree(found, input);
        }
    }
    batch_agrees_with_its_events(&body);
    // A batch of it is it.
    let wrapped = Bytes::from([b"[", input, b"]"].concat());
    match (one, decode_batch(&wrapped)) {
        (Ok(one), batch) => assert_eq!(batch.expect("a batch of an event"), [one]),
        (Err(_), Ok(batch)) => assert_ne!(batch.len(), 1, "{batch:?}"),
        (Err(_), Err(error)) => event::is_fit_to_be_shown(&error),
    }
}

fn batch_agrees_with_its_events(body: &Bytes) {
    let found = decode_batch(body);
    let Ok(elements) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        assert!(found.is_err());
        return;
    };
    let events: Result<Vec<Event>, _> =
        elements.iter().map(|raw| decode(&Bytes::copy_from_slice(raw.get().as_bytes()))).collect();
    match (events, found) {
        (Ok(events), Ok(found)) => assert_eq!(events, found),
        (Ok(events), Err(_)) => assert!(events.len() > MAX_BATCH),
        (Err(_), found) => assert!(found.is_err()),
    }
}

/// What `serde_json` reads of the same text, where it reads it: it refuses numbers that no double can be.
fn agrees_with_a_tree(event: &Event, text: &[u8]) {
    let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(text) else {
        assert!(serde_json::from_slice::<&RawValue>(text).is_ok(), "it is JSON");
        return;
    };
    let is_old = members.get("specversion") == Some(&Value::from("0.3"));
    for (name, value) in &members {
        let found = event.attribute(name).map(|value| value.text().into_owned());
        match (name.as_str(), value) {
            ("data" | "data_base64" | "specversion", _) => {}
            ("schemaurl" | "datacontentencoding", _) if is_old => {}
            (_, Value::Null) => assert!(found.is_none() || name == "datacontenttype", "{name}"),
            (_, Value::String(text)) if name == "datacontenttype" => {
                assert_eq!(found.as_deref(), Some(text.trim()));
            }
            (_, Value::String(text)) => assert_eq!(found.as_ref(), Some(text), "{name}"),
            // To them `-0` is a double.
            (_, value) if value.as_f64() == Some(0.0) => assert_eq!(found.as_deref(), Some("0"), "{name}"),
            (_, value) => assert_eq!(found, Some(value.to_string()), "{name}"),
        }
    }
    // Nothing was made up.
    let known = |name: &str| members.contains_key(name) || is_old && name == "dataschema";
    let added: Vec<_> = event.attributes().map(|(name, _)| name).filter(|name| !known(name)).collect();
    assert!(added.iter().all(|name| *name == "datacontenttype"), "{added:?}");

    let encoded = is_old && members.contains_key("datacontentencoding");
    match (members.get("data"), event.data()) {
        _ if encoded => {}
        (Some(Value::String(text)), Some(data)) if !event.datacontenttype().is_some_and(is_json) => {
            assert_eq!(&data[..], text.as_bytes());
        }
        (Some(value), Some(data)) => assert_eq!(&serde_json::from_slice::<Value>(data).expect("JSON"), value),
        (Some(value), None) => panic!("{value} is lost"),
        (None, data) => {
            let bytes = members.get("data_base64").is_some_and(|value| !value.is_null());
            assert_eq!(data.is_some(), bytes);
        }
    }
}
