//! How an event reaches a container: as files of a `ConfigMap`, or of two where one is too small, that are mounted there.
//!
//! `event` is the event as structured JSON (`JobSink`'s contract), `data` its data byte for byte. The objects are made
//! before the `batch/v1` Job that mounts them, so that no Pod waits for a volume that a crash left out.

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

/// The objects with the files of a run; none without an event. An error says that somebody wrote a record that is no event.
pub fn files(execution: &Execution) -> Result<Vec<ConfigMap>, event::Error> {
    let Some(record) = execution.spec.events.first() else { return Ok(Vec::new()) };
    let event = Event::try_from(record)?;
    let structured = String::from_utf8(json::encode(&event)).expect("JSON is UTF-8");
    let mut first = object(execution, execution.metadata.name.clone());
    first.data = Some(BTreeMap::from([(EVENT_FILE.to_owned(), structured)]));
    let Some(data) = event.data() else { return Ok(vec![first]) };
    let mut second = second_name(execution).map(|name| object(execution, Some(name)));
    let holder = second.as_mut().unwrap_or(&mut first);
    match str::from_utf8(data) {
        Ok(data) => {
            holder.data.get_or_insert_default().insert(DATA_FILE.to_owned(), data.to_owned());
        }
        Err(_) => {
            holder.binary_data = Some(BTreeMap::from([(DATA_FILE.to_owned(), ByteString(data.to_vec()))]));
        }
    }
    Ok([first].into_iter().chain(second).collect())
}

/// Name of the object that holds `data`, where the two files do not fit one.
pub(super) fn second_name(execution: &Execution) -> Option<String> {
    let record = execution.spec.events.first()?;
    // As text it is as long as it is; as base64 at least as long.
    let data = record.data.as_ref().or(record.data_base64.as_ref()).map_or(0, String::len);
    let name = execution.metadata.name.as_deref().unwrap_or_default();
    (event_size(record) + data > MAX_SIZE).then(|| format!("{name}-data"))
}

fn object(execution: &Execution, name: Option<String>) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name,
            namespace: execution.metadata.namespace.clone(),
            labels: Some(ownership::labels(execution)),
            owner_references: Some(vec![ownership::owner(execution)]),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        ..ConfigMap::default()
    }
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
    use proptest::prelude::*;
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

    /// The one object of a run.
    fn made(execution: &Execution) -> ConfigMap {
        let mut all = files(execution).unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    fn structured_of(event: EventRecord) -> Value {
        let made = made(&execution(event));
        serde_json::from_str(&made.data.unwrap()["event"]).unwrap()
    }

    #[test]
    fn a_manual_run_has_no_files() {
        let mut manual = execution(event());
        manual.spec.events.clear();
        assert_eq!(files(&manual).unwrap(), []);
    }

    #[test]
    fn a_record_that_is_no_event_is_an_error() {
        assert!(files(&execution(EventRecord { id: String::new(), ..event() })).is_err());
    }

    #[test]
    fn json_data_keeps_its_bytes() {
        let data = "{\"b\": 12345678901234567890123, \"a\":1}";
        let made = made(&execution(EventRecord { data: Some(data.into()), ..event() }));
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
        let made = made(&execution(sent));
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
    fn two_files_that_do_not_fit_one_object_become_two() {
        let text = format!("\"{}\"", "x".repeat(600 * 1024));
        let run = execution(EventRecord { data: Some(text.clone()), ..event() });
        let both = files(&run).unwrap();
        assert_eq!(
            both.iter().map(|made| made.metadata.name.as_deref().unwrap()).collect::<Vec<_>>(),
            ["resize-abc", "resize-abc-data"]
        );
        assert!(both.iter().all(|made| ownership::owns(&run, &made.metadata)));
        assert_eq!(both[0].data.as_ref().unwrap().keys().collect::<Vec<_>>(), ["event"]);
        assert_eq!(both[1].data.as_ref().unwrap()["data"], text);

        let bytes = vec![0xff; 480 * 1024];
        let encoded = serde_json::to_value(ByteString(bytes.clone())).unwrap().as_str().unwrap().to_owned();
        let both = files(&execution(EventRecord { data_base64: Some(encoded), ..event() })).unwrap();
        assert_eq!(both.len(), 2);
        assert_eq!(both[1].binary_data.as_ref().unwrap()["data"].0, bytes);
        assert!(both[1].data.is_none());
    }

    proptest! {
        // Each case is some hundred kilobytes.
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn no_event_that_is_accepted_makes_an_object_too_large(data in "[x\n\"筧]{1,4}", times in 1_usize..300_000) {
            let record = EventRecord { datacontenttype: Some("text/plain".into()), data: Some(data.repeat(times)), ..event() };
            prop_assume!(event_size(&record) <= MAX_SIZE && record.data.as_ref().unwrap().len() <= MAX_SIZE);
            for made in files(&execution(record)).unwrap() {
                let size: usize = made.data.iter().flatten().map(|(_, value)| value.len()).sum();
                prop_assert!(size <= MAX_SIZE);
            }
        }
    }

    #[test]
    fn the_object_belongs_to_the_run() {
        let run = execution(event());
        let made = made(&run);
        assert!(ownership::owns(&run, &made.metadata));
        assert_eq!(made.metadata.labels.as_ref().unwrap()["run.kakehi.dev/execution"], "resize-abc");
        assert_eq!(made.immutable, Some(true));
        let mut other = run.clone();
        other.metadata.uid = Some("y".into());
        assert!(!ownership::owns(&other, &made.metadata));
    }
}
