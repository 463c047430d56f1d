//! A message as JSON.

use k8s_openapi::jiff::Timestamp;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::schema::{Field, Kind, Message, Words, by_type};
use super::{LENGTH, VARINT, camel};

/// How enums are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cloudrun::v2) enum Enums {
    Names,
    Numbers,
}

/// The JSON of a message that `schema` describes.
pub(in crate::cloudrun::v2) fn write(schema: &Message, message: &impl prost::Message, enums: Enums) -> Value {
    object(schema, &message.encode_to_vec(), enums)
}

/// A value as it stands between machines.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    fn number(self) -> u64 {
        match self {
            Raw::Number(number) => number,
            Raw::Bytes(_) => 0,
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Raw::Number(_) => &[],
            Raw::Bytes(bytes) => bytes,
        }
    }
}

/// The tags and values of a message; ends at what cannot be read, which nobody here writes.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut found = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            found |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(found);
            }
        }
        None
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = (u64, Raw<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            VARINT => Raw::Number(self.varint()?),
            LENGTH => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Raw::Bytes(bytes)
            }
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

fn object(schema: &Message, bytes: &[u8], enums: Enums) -> Value {
    let mut members = Map::new();
    for (tag, raw) in Parts(bytes) {
        let Some(field) = schema.fields.iter().find(|field| u64::from(field.tag) == tag) else { continue };
        let Field { tag: _, name, kind, many } = field;
        let key = camel(name);
        if let Kind::Map = kind {
            let map = members.entry(key).or_insert_with(|| json!({}));
            let (name, value) = pair(raw.bytes());
            map[name] = Value::String(value);
        } else if *many {
            let list = members.entry(key).or_insert_with(|| json!([]));
            if let Value::Array(items) = list {
                items.push(value(kind, raw, enums));
            }
        } else {
            members.insert(key, value(kind, raw, enums));
        }
    }
    Value::Object(members)
}

fn value(kind: &Kind, raw: Raw<'_>, enums: Enums) -> Value {
    match kind {
        Kind::Text => Value::String(text(raw.bytes())),
        Kind::Bool => Value::Bool(raw.number() != 0),
        Kind::Int => Value::from(int(raw)),
        Kind::Long => Value::String(raw.number().cast_signed().to_string()),
        Kind::Words(words) => word(words, int(raw), enums),
        Kind::Map => Value::Null,
        Kind::Time => Value::String(moment(raw.bytes())),
        Kind::Span => Value::String(span(raw.bytes())),
        Kind::Any => any(raw.bytes(), enums),
        Kind::Message(schema) => object(schema, raw.bytes(), enums),
    }
}

fn int(raw: Raw<'_>) -> i32 {
    // Negative ones stand there as 64-bit numbers.
    i32::try_from(raw.number().cast_signed()).unwrap_or_default()
}

fn word(words: &Words, number: i32, enums: Enums) -> Value {
    match (words.name)(number) {
        Some(name) if enums == Enums::Names => Value::from(name),
        _ => Value::from(number),
    }
}

fn pair(bytes: &[u8]) -> (String, String) {
    let (mut name, mut value) = (String::new(), String::new());
    for (tag, raw) in Parts(bytes) {
        match tag {
            1 => name = text(raw.bytes()),
            _ => value = text(raw.bytes()),
        }
    }
    (name, value)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn moment(bytes: &[u8]) -> String {
    let prost_types::Timestamp { seconds, nanos } = prost_types::Timestamp::decode(bytes).unwrap_or_default();
    Timestamp::new(seconds, nanos).unwrap_or_default().to_string()
}

fn span(bytes: &[u8]) -> String {
    let prost_types::Duration { seconds, nanos } = prost_types::Duration::decode(bytes).unwrap_or_default();
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let (seconds, nanos) = (seconds.unsigned_abs(), nanos.unsigned_abs());
    if nanos == 0 {
        return format!("{sign}{seconds}s");
    }
    format!("{sign}{}s", format!("{seconds}.{nanos:09}").trim_end_matches('0'))
}

fn any(bytes: &[u8], enums: Enums) -> Value {
    let prost_types::Any { type_url, value } = prost_types::Any::decode(bytes).unwrap_or_default();
    // What nobody here writes cannot be shown; its type can.
    let mut shown = by_type(&type_url).map_or_else(|| json!({}), |schema| object(schema, &value, enums));
    shown["@type"] = Value::String(type_url);
    shown
}
