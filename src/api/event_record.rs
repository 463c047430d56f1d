//! How an event is kept inside an Execution.
//!
//! Attributes are kept as they were sent, typed extensions with their types. The data is kept byte for byte: as text
//! where it is UTF-8 (so that `kubectl get -o yaml` shows it), else as Base64. Long text whose escapes would take more
//! room than Base64 is kept as Base64, too.
//!
//! Whatever the schema lets pass can be read: a record that is no event is found when somebody wants the event, not
//! when somebody lists Executions.

use std::collections::BTreeMap;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::event::Error;
use crate::event::Event;
use crate::event::Value;

/// Text of at most so many bytes stays text, whatever its escapes take: small JSON is mostly quotes, and is what people
/// want to see. At six bytes for a control character this is a quarter of what an object can hold.
const ALWAYS_READABLE: usize = 64 * 1024;

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
    /// The data, where it is not, or where it would be longer as text.
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
    /// Anything else that an event can have.
    String(String),
    /// What no event can have, written by somebody else. It makes the record no event, but lets it be read.
    Other(serde_json::Value),
}

/// What an extension can be, said without `type`, which a structural schema takes once only: whole numbers of 32 bits,
/// strings and booleans pass, and no object and no list can have both more and fewer members than one.
fn extensions(_: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "description": "Extension attributes: strings, booleans and integers.",
        "type": "object",
        "additionalProperties": {
            "x-kubernetes-preserve-unknown-fields": true,
            "minimum": i32::MIN, "maximum": i32::MAX, "multipleOf": 1,
            "minProperties": 1, "maxProperties": 0,
            "minItems": 1, "maxItems": 0,
        },
        "maxProperties": 256,
    });
    Schema::try_from(schema).expect("a JSON object is a schema")
}

impl EventRecord {
    /// The attributes of an event in their string form, by name.
    pub fn attributes(&self) -> Vec<(&str, String)> {
        let EventRecord {
            id,
            source,
            kind,
            subject,
            time,
            datacontenttype,
            dataschema,
            extensions,
            data: _,
            data_base64: _,
        } = self;
        let mut attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", id.clone()),
            ("source", source.clone()),
            ("type", kind.clone()),
        ];
        for (name, value) in [
            ("subject", subject),
            ("time", time),
            ("datacontenttype", datacontenttype),
            ("dataschema", dataschema),
        ] {
            attributes.extend(value.clone().map(|value| (name, value)));
        }
        attributes.extend(extensions.iter().map(|(name, value)| (name.as_str(), text(value))));
        attributes
    }

    /// Bytes of the record as JSON, which is how it is stored.
    pub fn stored_size(&self) -> usize {
        let mut size = Size(0);
        serde_json::to_writer(&mut size, self).expect("a record is JSON, and counting does not fail");
        size.0
    }
}

/// The string form of an extension's value.
fn text(value: &ExtensionValue) -> String {
    match value {
        ExtensionValue::Boolean(value) => value.to_string(),
        ExtensionValue::Integer(value) => value.to_string(),
        ExtensionValue::String(value) => value.clone(),
        // Never reaches a container: a record with such a value is refused as no event.
        ExtensionValue::Other(value) => value.to_string(),
    }
}

/// Counts what is written.
struct Size(usize);

impl io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text to keep `data` as; none if it is to be Base64.
fn as_text(data: &[u8]) -> Option<&str> {
    let text = str::from_utf8(data).ok()?;
    (text.len() <= ALWAYS_READABLE || escaped_size(text) <= data.len().div_ceil(3) * 4).then_some(text)
}

/// Bytes of the text between the quotes of a JSON string.
fn escaped_size(text: &str) -> usize {
    let size = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => "\\u0000".len(),
        _ => 1,
    };
    text.bytes().map(size).sum()
}

impl From<&Event> for EventRecord {
    fn from(event: &Event) -> Self {
        let (data, data_base64) = match event.data() {
            None => (None, None),
            Some(data) => match as_text(data) {
                Some(text) => (Some(text.to_owned()), None),
                None => (None, Some(BASE64.encode(data))),
            },
        };
        Self {
            id: event.id().to_owned(),
            source: event.source().to_owned(),
            kind: event.kind().to_owned(),
            subject: event.subject().map(str::to_owned),
            time: event.time().map(str::to_owned),
            datacontenttype: event.datacontenttype().map(str::to_owned),
            dataschema: event.dataschema().map(str::to_owned),
            extensions: event.extensions().map(|(name, value)| (name.to_owned(), value.into())).collect(),
            data,
            data_base64,
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
            event = event.set(name, extension(name, value)?);
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

fn extension(name: &str, value: &ExtensionValue) -> Result<Value, Error> {
    match value {
        ExtensionValue::Boolean(value) => Ok(Value::Boolean(*value)),
        ExtensionValue::Integer(value) => Ok(Value::Integer(*value)),
        ExtensionValue::String(value) => Ok(Value::String(value.clone())),
        ExtensionValue::Other(value) => {
            let expected = "a string, a boolean or an integer of 32 bits";
            Err(Error::attribute(name, expected, &value.to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    #[test]
    fn an_extension_that_no_event_can_have_is_read_and_refused_by_name() {
        for (value, found) in [
            (json!({"a": 1}), "`{\"a\":1}`"),
            (json!([]), "`[]`"),
            (json!(2.5), "`2.5`"),
            (json!(null), "`null`"),
        ] {
            let stored = json!({"id": "1", "source": "/s", "type": "t", "extensions": {"tenant": value}});
            let record: EventRecord = serde_json::from_value(stored.clone()).unwrap();
            assert_eq!(serde_json::to_value(&record).unwrap(), stored, "nothing is lost on the way");
            let refused = Event::try_from(&record).unwrap_err().to_string();
            let expected = "`tenant` must be a string, a boolean or an integer of 32 bits, not ";
            assert_eq!(refused, format!("{expected}{found}"));
        }
        let large = json!({"id": "1", "source": "/s", "type": "t", "extensions": {"n": 1_u64 << 31}});
        let record: EventRecord = serde_json::from_value(large).unwrap();
        assert!(Event::try_from(&record).is_err());
    }

    #[test]
    fn long_text_that_is_mostly_escapes_is_kept_as_base64() {
        let kept = |text: String| {
            EventRecord::from(&Event::builder().required("1", "/s", "t").data(text).build().unwrap())
        };
        for (unit, readable) in
            [("x", true), ("{\"order\":12345}", true), ("\"", false), ("\u{1}", false), ("\n", false)]
        {
            let record = kept(unit.repeat(2 * ALWAYS_READABLE));
            assert_eq!(
                (record.data.is_some(), record.data_base64.is_some()),
                (readable, !readable),
                "{unit:?}"
            );
            let data = unit.len() * 2 * ALWAYS_READABLE;
            assert!(record.stored_size() < data * 4 / 3 + 100, "{unit:?}: {}", record.stored_size());
        }
        let short = kept("\"".repeat(ALWAYS_READABLE));
        assert!(short.data.is_some(), "up to the bound text stays readable");
    }

    proptest! {
        #[test]
        fn data_survives_being_kept_byte_for_byte(
            unit in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..16),
                "\\PC{0,8}".prop_map(String::into_bytes),
                "[\"\\\\\u{0}-\u{1f}\u{7f}é]{0,8}".prop_map(String::into_bytes),
            ],
            // On both sides of the bound.
            repeated in prop_oneof![Just(1_usize), Just(ALWAYS_READABLE / 8)],
        ) {
            let data = unit.repeat(repeated);
            let sent = Event::builder().required("1", "/s", "t").data(data).build().unwrap();
            let record = EventRecord::from(&sent);
            let stored = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(record.stored_size(), stored.len());
            let read: EventRecord = serde_json::from_slice(&stored).unwrap();
            prop_assert_eq!(Event::try_from(&read).unwrap(), sent);
        }

        #[test]
        fn the_size_of_escapes_is_that_of_the_serializer(text in "[\\PC\"\\\\\u{0}-\u{1f}]{0,64}") {
            prop_assert_eq!(escaped_size(&text) + 2, serde_json::to_string(&text).unwrap().len());
        }
    }
}
