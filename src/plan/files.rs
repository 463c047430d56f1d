//! How an event reaches a container: a `ConfigMap` with the files that are mounted there.
//!
//! `event` is the event as structured JSON (`JobSink`'s contract), `data` its data byte for byte. The object is made
//! before the `batch/v1` Job that mounts it, so that no Pod waits for a volume that a crash left out.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::ownership;
use crate::api::{EventRecord, Execution};
use crate::event::{self, Event, json};

/// Most bytes that the values of a `ConfigMap` may have together (`MaxSecretSize` in Kubernetes' validation).
pub const MAX_SIZE: usize = 1024 * 1024;

/// File with the event as structured JSON.
const EVENT_FILE: &str = "event";
/// File with the event's data.
const DATA_FILE: &str = "data";

/// The files of a run; none without an event. An error says that somebody wrote a record that is no event.
///
/// `data` repeats what `event` holds already, so it is what is left out when the two do not fit one object.
pub fn files(execution: &Execution) -> Result<Option<ConfigMap>, event::Error> {
    let Some(record) = execution.spec.events.first() else { return Ok(None) };
    let event = Event::try_from(record)?;
    let structured = String::from_utf8(json::encode(&event)).expect("JSON is UTF-8");
    let room = MAX_SIZE.saturating_sub(structured.len());
    let mut text = BTreeMap::from([(EVENT_FILE.to_owned(), structured)]);
    let mut binary = BTreeMap::new();
    if let Some(data) = event.data().filter(|data| data.len() <= room) {
        match str::from_utf8(data) {
            Ok(data) => drop(text.insert(DATA_FILE.to_owned(), data.to_owned())),
            Err(_) => drop(binary.insert(DATA_FILE.to_owned(), ByteString(data.to_vec()))),
        }
    }
    Ok(Some(ConfigMap {
        metadata: ObjectMeta {
            name: execution.metadata.name.clone(),
            namespace: execution.metadata.namespace.clone(),
            labels: Some(ownership::labels(execution)),
            owner_references: Some(vec![ownership::owner(execution)]),
            ..ObjectMeta::default()
        },
        data: Some(text),
        binary_data: Some(binary).filter(|binary| !binary.is_empty()),
        immutable: Some(true),
    }))
}

/// Bytes of the event's file, or a bound on them where that bound is small enough not to matter.
pub(super) fn event_size(record: &EventRecord) -> usize {
    // A character takes at most six bytes in JSON; names and punctuation of the fixed attributes fit the kibibyte.
    let attributes = record.attributes();
    let raw: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    let data = record.data.as_ref().or(record.data_base64.as_ref()).map_or(0, String::len);
    let bound = (raw + data) * 6 + 1024;
    if bound <= MAX_SIZE {
        return bound;
    }
    Event::try_from(record).map_or(0, |event| json::encode(&event).len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{ExecutionSpec, ExtensionValue, JobReference};

    fn execution(event: EventRecord) -> Execution {
        let job = JobReference { name: "resize".into(), uid: "j".into(), generation: 1 };
        let spec = ExecutionSpec { job, events: vec![event], ..ExecutionSpec::default() };
        let mut execution = Execution::new("resize-abc", spec);
        execution.metadata.uid = Some("x".into());
        execution
    }

    fn event() -> EventRecord {
        EventRecord {
            id: "1".into(),
            source: "/s".into(),
            kind: "order".into(),
            datacontenttype: Some("application/json".into()),
            ..EventRecord::default()
        }
    }

    fn structured_of(event: EventRecord) -> Value {
        let made = files(&execution(event)).unwrap().unwrap();
        serde_json::from_str(&made.data.unwrap()["event"]).unwrap()
    }

    #[test]
    fn a_manual_run_has_no_files() {
        let mut manual = execution(event());
        manual.spec.events.clear();
        assert_eq!(files(&manual).unwrap(), None);
    }

    #[test]
    fn a_record_that_is_no_event_is_an_error() {
        assert!(files(&execution(EventRecord { id: String::new(), ..event() })).is_err());
    }

    #[test]
    fn json_data_keeps_its_bytes() {
        let data = "{\"b\": 12345678901234567890123, \"a\":1}";
        let made = files(&execution(EventRecord { data: Some(data.into()), ..event() })).unwrap().unwrap();
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
        let made = files(&execution(sent)).unwrap().unwrap();
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
            "specversion": "1.0", "id": "1", "source": "/s", "type": "order", "datacontenttype": "application/json", "subject": "a \"b\"",
            "time": "2026-01-01T10:00:00+02:00", "dataschema": "http://EXAMPLE.com", "n": -1,
        });
        assert_eq!(structured_of(sent), wanted);
    }

    #[test]
    fn two_copies_that_do_not_fit_become_one() {
        let data = format!("\"{}\"", "x".repeat(600 * 1024));
        let made =
            files(&execution(EventRecord { data: Some(data), ..event() })).unwrap().unwrap().data.unwrap();
        assert_eq!(made.keys().collect::<Vec<_>>(), ["event"]);
    }

    #[test]
    fn the_object_belongs_to_the_run() {
        let run = execution(event());
        let made = files(&run).unwrap().unwrap();
        assert!(ownership::owns(&run, &made.metadata));
        assert_eq!(made.metadata.labels.unwrap()["run.kakehi.dev/execution"], "resize-abc");
        assert_eq!(made.immutable, Some(true));
        let mut other = run.clone();
        other.metadata.uid = Some("y".into());
        assert!(!ownership::owns(&other, &files(&run).unwrap().unwrap().metadata));
    }
}
