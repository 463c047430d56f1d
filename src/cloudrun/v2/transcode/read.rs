//! JSON as a message.

use k8s_openapi::jiff::Timestamp;
use prost::Message as _;
use serde_json::Value;

use super::schema::{Field, Kind, Message, by_type};
use super::{LENGTH, VARINT, camel};
use crate::cloudrun::fault::Fault;

/// The message that `schema` describes. What is no such message is refused with the path of the field.
pub(in crate::cloudrun::v2) fn read<M: prost::Message + Default>(
    schema: &Message,
    json: &Value,
) -> Result<M, Fault> {
    let bytes =
        message(schema, json).map_err(|Problem { path, words }| Fault::invalid_field(&path, words))?;
    M::decode(bytes.as_slice()).map_err(|error| Fault::invalid_field("", error.to_string()))
}

/// What is wrong, and where.
struct Problem {
    path: String,
    words: String,
}

impl Problem {
    fn new(words: impl Into<String>) -> Self {
        Self { path: String::new(), words: words.into() }
    }

    /// The same about what is within that member.
    fn within(self, member: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{member}{separator}{}", self.path), words: self.words }
    }
}

type Read<T> = Result<T, Problem>;

fn message(schema: &Message, json: &Value) -> Read<Vec<u8>> {
    let Value::Object(members) = json else { return Err(Problem::new("must be an object")) };
    let mut bytes = Vec::new();
    for (name, json) in members {
        // Both names of a field are understood.
        let known = schema.fields.iter().find(|field| field.name == name || camel(field.name) == *name);
        let Some(field) = known else {
            return Err(Problem::new("is no field that is known here").within(name));
        };
        member(field, json, &mut bytes).map_err(|problem| problem.within(field.name))?;
    }
    Ok(bytes)
}

fn member(field: &Field, json: &Value, bytes: &mut Vec<u8>) -> Read<()> {
    let Field { tag, name: _, kind, many } = field;
    match (kind, json) {
        // What is null is not there.
        (_, Value::Null) => Ok(()),
        (Kind::Map, Value::Object(members)) => {
            for (name, json) in members {
                let mut pair = Vec::new();
                put_bytes(1, name.as_bytes(), &mut pair);
                put(2, &Kind::Text, json, &mut pair)
                    .map_err(|problem| problem.within(&format!("[{name:?}]")))?;
                put_bytes(*tag, &pair, bytes);
            }
            Ok(())
        }
        (Kind::Map, _) => Err(Problem::new("must be an object")),
        (_, Value::Array(items)) if *many => {
            for (at, json) in items.iter().enumerate() {
                put(*tag, kind, json, bytes).map_err(|problem| problem.within(&format!("[{at}]")))?;
            }
            Ok(())
        }
        _ if *many => Err(Problem::new("must be a list")),
        _ => put(*tag, kind, json, bytes),
    }
}

fn put(tag: u32, kind: &Kind, json: &Value, bytes: &mut Vec<u8>) -> Read<()> {
    let inner = match kind {
        Kind::Text => json.as_str().ok_or_else(|| Problem::new("must be a string"))?.as_bytes().to_vec(),
        Kind::Time => moment(json)?.encode_to_vec(),
        Kind::Span => span(json)?.encode_to_vec(),
        Kind::Any => any(json)?.encode_to_vec(),
        Kind::Message(schema) => message(schema, json)?,
        Kind::Bool | Kind::Int | Kind::Long | Kind::Words(_) | Kind::Map => {
            put_varint(u64::from(tag) << 3 | VARINT, bytes);
            put_varint(number(kind, json)?.cast_unsigned(), bytes);
            return Ok(());
        }
    };
    put_bytes(tag, &inner, bytes);
    Ok(())
}

fn number(kind: &Kind, json: &Value) -> Read<i64> {
    let found = match (kind, json) {
        (Kind::Bool, Value::Bool(yes)) => return Ok(i64::from(*yes)),
        (Kind::Bool, _) => return Err(Problem::new("must be true or false")),
        (Kind::Words(words), Value::String(name)) => {
            let number = (words.number)(name).map(i64::from);
            return number.ok_or_else(|| Problem::new(format!("{name:?} is none of its values")));
        }
        (_, Value::String(digits)) => digits.parse().ok(),
        (_, json) => json.as_i64(),
    };
    let fits = |number: &i64| matches!(kind, Kind::Long) || i32::try_from(*number).is_ok();
    found.filter(fits).ok_or_else(|| Problem::new("must be a whole number that fits"))
}

fn moment(json: &Value) -> Read<prost_types::Timestamp> {
    let time = json.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let time = time.ok_or_else(|| Problem::new("must be a moment, as RFC 3339 has it"))?;
    // Between machines the part of a second counts forwards, before 1970 too.
    let nanos = time.as_nanosecond();
    let second = i128::from(1_000_000_000);
    Ok(prost_types::Timestamp {
        seconds: i64::try_from(nanos.div_euclid(second)).unwrap_or_default(),
        nanos: i32::try_from(nanos.rem_euclid(second)).unwrap_or_default(),
    })
}

fn span(json: &Value) -> Read<prost_types::Duration> {
    let read = || {
        let text = json.as_str()?.strip_suffix('s')?;
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(whole) || !is_digits(part) || part.len() > 9 {
            return None;
        }
        let (seconds, nanos) = (whole.parse::<i64>().ok()?, format!("{part:0<9}").parse::<i32>().ok()?);
        Some(prost_types::Duration { seconds: i64::from(sign) * seconds, nanos: sign * nanos })
    };
    read().ok_or_else(|| Problem::new("must be a span in seconds, such as 600s"))
}

fn any(json: &Value) -> Read<prost_types::Any> {
    let type_url = json.get("@type").and_then(Value::as_str);
    let type_url = type_url.ok_or_else(|| Problem::new("must say its @type"))?;
    let schema = by_type(type_url).ok_or_else(|| Problem::new(format!("{type_url:?} is not known here")))?;
    let mut rest = json.clone();
    if let Value::Object(members) = &mut rest {
        members.remove("@type");
    }
    Ok(prost_types::Any { type_url: type_url.to_owned(), value: message(schema, &rest)? })
}

fn put_bytes(tag: u32, inner: &[u8], bytes: &mut Vec<u8>) {
    put_varint(u64::from(tag) << 3 | LENGTH, bytes);
    put_varint(u64::try_from(inner.len()).unwrap_or_default(), bytes);
    bytes.extend_from_slice(inner);
}

fn put_varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or_default());
}
