//! How an event is kept inside an Execution.
//!
//! Attributes are kept as they were sent, typed extensions with their types. The data is kept byte for byte: as text
//! where it is UTF-8 (so that `kubectl get -o yaml` shows it), else as Base64.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::Error;
use crate::event::Event;
use crate::event::Value;

/// An event at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventRecord {
    /// `id`.
    pub id: String,
    /// `source`, a URI-reference.
    pub source: String,
    /// `type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `subject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `time`, RFC 3339, as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// `datacontenttype`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// `dataschema`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataschema: Option<String>,
    /// Extension attributes: strings, booleans and integers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "extensions")]
    pub extensions: BTreeMap<String, ExtensionValue>,
    /// The data, where it is UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The data, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_base64: Option<String>,
}

/// Value of an extension attribute (`CloudEvents` §type system; the other types travel as strings).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExtensionValue {
    /// Boolean.
    Boolean(bool),
    /// Integer, 32 bits.
    Integer(i32),
    /// Anything else.
    String(String),
}

fn extensions(_: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "description": "Extension attributes: strings, booleans and integers.",
        "type": "object",
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
        "maxProperties": 256,
    });
    Schema::try_from(schema).expect("a JSON object is a schema")
}

impl From<&Event> for EventRecord {
    fn from(event: &Event) -> Self {
        let data = event.data().map(AsRef::as_ref);
        let text = data.map(str::from_utf8);
        Self {
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            kind: event.kind().to_owned(),
            subject: event.subject().map(str::to_owned),
            time: event.time().map(str::to_owned),
            datacontenttype: event.datacontenttype().map(str::to_owned),
            dataschema: event.dataschema().map(str::to_owned),
            extensions: event.extensions().map(|(name, value)| (name.to_owned(), value.into())).collect(),
            data: text.and_then(Result::ok).map(str::to_owned),
            data_base64: data
                .filter(|_| text.is_some_and(|text| text.is_err()))
                .map(|data| BASE64.encode(data)),
        }
    }
}

impl TryFrom<&EventRecord> for Event {
    type Error = Error;

    /// The event, unless somebody wrote a record that is none.
    fn try_from(record: &EventRecord) -> Result<Self, Error> {
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
        } = record;
        let mut event = Event::builder().required(id, source, kind);
        let optional = [
            ("subject", subject),
            ("time", time),
            ("datacontenttype", datacontenttype),
            ("dataschema", dataschema),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                event = event.set(name, value.as_str());
            }
        }
        for (name, value) in extensions {
            event = event.set(name, value);
        }
        match (data, data_base64) {
            (None, None) => event.build(),
            (Some(text), None) => event.data(text.clone()).build(),
            (None, Some(text)) => match BASE64.decode(text) {
                Ok(data) => event.data(data).build(),
                Err(_) => Err(Error::Data("`dataBase64` must be Base64, with padding")),
            },
            (Some(_), Some(_)) => Err(Error::Data("`data` and `dataBase64` exclude each other")),
        }
    }
}

impl From<&Value> for ExtensionValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Boolean(value) => ExtensionValue::Boolean(*value),
            Value::Integer(value) => ExtensionValue::Integer(*value),
            Value::String(value) => ExtensionValue::String(value.clone()),
        }
    }
}

impl From<&ExtensionValue> for Value {
    fn from(value: &ExtensionValue) -> Self {
        match value {
            ExtensionValue::Boolean(value) => Value::Boolean(*value),
            ExtensionValue::Integer(value) => Value::Integer(*value),
            ExtensionValue::String(value) => Value::String(value.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: Option<&'static [u8]>) -> Event {
        let event = Event::builder()
            .required("1", "/s", "t")
            .set("subject", "a b")
            .set("time", "2026-11-22T07:20:00.268779172+05:30")
            .set("datacontenttype", "application/json")
            .set("dataschema", "https://example.com/s")
            .set("flag", true)
            .set("num", 5)
            .set("text", "5");
        match data {
            Some(data) => event.data(data).build().unwrap(),
            None => event.build().unwrap(),
        }
    }

    #[test]
    fn an_event_survives_being_kept() {
        for data in
            [None, Some(b"".as_slice()), Some(b" {\"a\": 1.10}\n"), Some(b"\xff\x00"), Some("€".as_bytes())]
        {
            let event = event(data);
            let record = EventRecord::from(&event);
            let stored = serde_json::to_string(&record).unwrap();
            let read: EventRecord = serde_json::from_str(&stored).unwrap();
            assert_eq!(read, record);
            assert_eq!(Event::try_from(&read).unwrap(), event);
        }
    }

    #[test]
    fn text_is_kept_readable() {
        let record = EventRecord::from(&event(Some(b"{\"a\":1}")));
        assert_eq!((record.data.as_deref(), record.data_base64), (Some("{\"a\":1}"), None));
        let record = EventRecord::from(&event(Some(b"\xff")));
        assert_eq!((record.data, record.data_base64.as_deref()), (None, Some("/w==")));
    }

    #[test]
    fn a_record_that_is_no_event_is_refused() {
        let good = EventRecord::from(&event(None));
        let no_id = EventRecord { id: String::new(), ..good.clone() };
        let both =
            EventRecord { data: Some(String::new()), data_base64: Some(String::new()), ..good.clone() };
        let not_base64 = EventRecord { data_base64: Some("?".to_owned()), ..good };
        for record in [no_id, both, not_base64] {
            assert!(Event::try_from(&record).is_err(), "{record:?}");
        }
    }
}
