//! How an event reaches a container: a `ConfigMap` with the files that are mounted there.
//!
//! `event` is the event as structured JSON (`JobSink`'s contract), `data` its data byte for byte. The object is made
//! before the `batch/v1` Job that mounts it, so that no Pod waits for a volume that a crash left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ownership;
use crate::api::{EventRecord, Execution, ExtensionValue};

/// Most bytes that the values of a `ConfigMap` may have together (`MaxSecretSize` in Kubernetes' validation).
pub const MAX_SIZE: usize = 1024 * 1024;

/// File with the event as structured JSON.
const EVENT_FILE: &str = "event";
/// File with the event's data.
const DATA_FILE: &str = "data";

/// The files of a run; none without an event.
///
/// `data` repeats what `event` holds already, so it is what is left out when the two do not fit one object.
pub fn files(execution: &Execution) -> Option<ConfigMap> {
    let event = execution.spec.events.first()?;
    let structured = structured(event);
    let room = MAX_SIZE.saturating_sub(structured.len());
    let mut text = BTreeMap::from([(EVENT_FILE.to_owned(), structured)]);
    let mut binary = None;
    if let Some(data) = event.data.as_ref().filter(|data| data.len() <= room) {
        text.insert(DATA_FILE.to_owned(), data.clone());
    }
    if let Some(data) = event.data_base64.as_deref().and_then(decoded).filter(|data| data.0.len() <= room) {
        binary = Some(BTreeMap::from([(DATA_FILE.to_owned(), data)]));
    }
    Some(ConfigMap {
        metadata: ObjectMeta {
            name: execution.metadata.name.clone(),
            namespace: execution.metadata.namespace.clone(),
            labels: Some(ownership::labels(execution)),
            owner_references: Some(vec![ownership::owner(execution)]),
            ..ObjectMeta::default()
        },
        data: Some(text),
        binary_data: binary,
        immutable: Some(true),
    })
}

/// Bytes of the event's file, or a bound on them where that bound is small.
pub(super) fn event_size(event: &EventRecord) -> usize {
    // A character takes at most six bytes in JSON; names and punctuation of the fixed attributes fit the kibibyte.
    let raw: usize =
        super::environment::attributes(event).iter().map(|(name, value)| name.len() + value.len()).sum();
    let data = event.data.as_ref().or(event.data_base64.as_ref()).map_or(0, String::len);
    let bound = (raw + data) * 6 + 1024;
    if bound <= MAX_SIZE { bound } else { structured(event).len() }
}

/// The event in the JSON format (`CloudEvents` JSON §3).
fn structured(event: &EventRecord) -> String {
    let EventRecord {
        id,
        source,
        kind,
        subject,
        time,
        datacontenttype,
        dataschema,
        extensions,
        data,
        data_base64,
    } = event;
    let mut members = Map::new();
    let mut put = |name: &str, value: &str| members.insert(name.to_owned(), Value::from(value));
    put("specversion", "1.0");
    put("id", id);
    put("source", source);
    put("type", kind);
    for (name, value) in [
        ("subject", subject),
        ("time", time),
        ("datacontenttype", datacontenttype),
        ("dataschema", dataschema),
    ] {
        if let Some(value) = value {
            put(name, value);
        }
    }
    for (name, value) in extensions {
        let value = match value {
            ExtensionValue::Boolean(value) => Value::from(*value),
            ExtensionValue::Integer(value) => Value::from(*value),
            ExtensionValue::String(value) => Value::from(value.as_str()),
        };
        members.insert(name.clone(), value);
    }
    let mut text = Value::Object(members).to_string();
    let (name, value) = match (data, data_base64) {
        (Some(data), _) if !is_json(datacontenttype.as_deref()) => {
            ("data", Value::from(data.as_str()).to_string())
        }
        (Some(data), _) if is_valid_json(data) => ("data", data.clone()),
        // As a string it would be read as a JSON string.
        (Some(data), _) => ("data_base64", encoded(data)),
        (None, Some(data)) => ("data_base64", Value::from(data.as_str()).to_string()),
        (None, None) => return text,
    };
    text.pop();
    write!(text, ",\"{name}\":{value}}}").expect("a string takes what is written");
    text
}

/// Whether data of that type is JSON; it is when nothing is said (JSON format §3.1).
fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn is_valid_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn encoded(data: &str) -> String {
    serde_json::to_string(&ByteString(data.as_bytes().to_vec())).expect("bytes are a JSON string")
}

fn decoded(base64: &str) -> Option<ByteString> {
    let text: StrDeserializer<'_, ValueError> = base64.into_deserializer();
    ByteString::deserialize(text).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::{ExecutionSpec, JobReference};

    fn execution(event: EventRecord) -> Execution {
        let job = JobReference { name: "resize".into(), uid: "j".into(), generation: 1 };
        let spec = ExecutionSpec { job, events: vec![event], ..ExecutionSpec::default() };
        let mut execution = Execution::new("resize-abc", spec);
        execution.metadata.uid = Some("x".into());
        execution
    }

    fn event() -> EventRecord {
        EventRecord { id: "1".into(), source: "/s".into(), kind: "order".into(), ..EventRecord::default() }
    }

    fn structured_of(event: EventRecord) -> Value {
        let made = files(&execution(event)).unwrap();
        serde_json::from_str(&made.data.unwrap()["event"]).unwrap()
    }

    #[test]
    fn a_manual_run_has_no_files() {
        let mut manual = execution(event());
        manual.spec.events.clear();
        assert_eq!(files(&manual), None);
    }

    #[test]
    fn json_data_keeps_its_bytes() {
        let data = "{\"b\": 12345678901234567890123, \"a\":1}";
        let made = files(&execution(EventRecord { data: Some(data.into()), ..event() })).unwrap();
        let made = made.data.unwrap();
        assert_eq!(made["data"], data);
        assert!(made["event"].contains(data), "{}", made["event"]);
    }

    #[test]
    fn text_becomes_a_json_string() {
        let sent = EventRecord {
            datacontenttype: Some("text/plain; charset=utf-8".into()),
            data: Some("12".into()),
            ..event()
        };
        assert_eq!(structured_of(sent)["data"], json!("12"));
    }

    #[test]
    fn broken_json_travels_as_bytes() {
        let sent = EventRecord {
            datacontenttype: Some("application/vnd.x+json".into()),
            data: Some("{\"a\":".into()),
            ..event()
        };
        let found = structured_of(sent);
        assert_eq!(found["data_base64"], json!("eyJhIjo="));
        assert_eq!(found.get("data"), None);
    }

    #[test]
    fn binary_data_is_a_binary_file() {
        let sent = EventRecord { data_base64: Some("/wA=".into()), ..event() };
        let made = files(&execution(sent)).unwrap();
        assert_eq!(made.binary_data.unwrap()["data"].0, [0xff, 0]);
        assert!(!made.data.unwrap().contains_key("data"));
    }

    #[test]
    fn the_event_names_every_attribute_it_has() {
        let sent = EventRecord {
            subject: Some("a \"b\"".into()),
            time: Some("2026-01-01T10:00:00+02:00".into()),
            dataschema: Some("http://EXAMPLE.com".into()),
            extensions: BTreeMap::from([("n".to_owned(), ExtensionValue::Integer(-1))]),
            ..event()
        };
        let wanted = json!({
            "specversion": "1.0", "id": "1", "source": "/s", "type": "order", "subject": "a \"b\"",
            "time": "2026-01-01T10:00:00+02:00", "dataschema": "http://EXAMPLE.com", "n": -1,
        });
        assert_eq!(structured_of(sent), wanted);
    }

    #[test]
    fn two_copies_that_do_not_fit_become_one() {
        let data = format!("\"{}\"", "x".repeat(600 * 1024));
        let made = files(&execution(EventRecord { data: Some(data), ..event() })).unwrap().data.unwrap();
        assert_eq!(made.keys().collect::<Vec<_>>(), ["event"]);
    }

    #[test]
    fn the_object_belongs_to_the_run() {
        let run = execution(event());
        let made = files(&run).unwrap();
        assert!(ownership::owns(&run, &made.metadata));
        assert_eq!(made.metadata.labels.unwrap()["run.kakehi.dev/execution"], "resize-abc");
        assert_eq!(made.immutable, Some(true));
        let mut other = run.clone();
        other.metadata.uid = Some("y".into());
        assert!(!ownership::owns(&other, &files(&run).unwrap().metadata));
    }
}
