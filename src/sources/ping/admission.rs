//! What is refused before it is stored: what Knative's web hook refuses, and overrides that would stop every event.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::object::{Overrides, PingSourceSpec};
use super::schedule;
use crate::schedule::Error;
use crate::sources::Objection;

/// The media type whose data is looked at.
const JSON: &str = "application/json";
/// Attributes that no override replaces.
const ATTRIBUTES: [&str; 8] =
    ["id", "source", "type", "specversion", "time", "subject", "datacontenttype", "dataschema"];

/// The fields that are wrong.
pub(in crate::sources) fn objections(object: &Value) -> Vec<Objection> {
    // What does not even have the shape, the schema has refused.
    let Ok(spec) = serde_json::from_value::<PingSourceSpec>(object["spec"].clone()) else {
        return Vec::new();
    };
    let mut objections = Vec::new();
    if let Err(error) = schedule(&spec) {
        let (field, value) = match (&error, &spec.timezone) {
            (Error::Zone { .. }, Some(zone)) if !zone.is_empty() => ("spec.timezone", zone.as_str()),
            _ => ("spec.schedule", spec.schedule.as_str()),
        };
        objections.push((field.to_owned(), json!(value), error.to_string()));
    }
    let PingSourceSpec { schedule: _, timezone: _, content_type, data, data_base64, sink, ce_overrides } =
        &spec;
    for (field, value, reason) in sink.clone().unwrap_or_default().objections() {
        objections.push((format!("spec.sink{field}"), json!(value), reason.to_owned()));
    }
    objections.extend(of_data(
        PingSourceSpec::text(data.as_ref()),
        PingSourceSpec::text(data_base64.as_ref()),
        content_type.as_deref(),
    ));
    if let Some(content_type) = content_type
        && http::HeaderValue::from_str(content_type).is_err()
    {
        let reason = "it is sent as a header, which takes neither line breaks nor other control characters";
        objections.push(("spec.contentType".to_owned(), json!(content_type), reason.to_owned()));
    }
    objections.extend(ce_overrides.iter().flat_map(of_overrides));
    objections
}

fn of_data(data: Option<&str>, base64: Option<&str>, content_type: Option<&str>) -> Option<Objection> {
    let wrong =
        |field: &str, value: &str, reason: String| Some((format!("spec.{field}"), json!(value), reason));
    let is_json = content_type == Some(JSON);
    match (data, base64) {
        (Some(_), Some(base64)) => {
            wrong("dataBase64", base64, "there is `data` already; an event has one or the other".to_owned())
        }
        (None, Some(text)) => match decode(text) {
            Err(error) => wrong("dataBase64", text, format!("it is not Base64: {error}")),
            Ok(bytes) if is_json => object(&bytes).and_then(|reason| wrong("dataBase64", text, reason)),
            Ok(_) => None,
        },
        (Some(text), None) if is_json => {
            object(text.as_bytes()).and_then(|reason| wrong("data", text, reason))
        }
        (Some(_) | None, None) => None,
    }
}

/// Bytes in Base64. Line breaks in it are passed over, as Go does.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    BASE64_STANDARD.decode(text.replace(['\r', '\n'], ""))
}

/// Why that is no JSON object, if it is none.
fn object(text: &[u8]) -> Option<String> {
    let parsed = serde_json::from_slice::<Option<Map<String, Value>>>(text);
    parsed.err().map(|error| format!("with the content type {JSON} it is a JSON object: {error}"))
}

fn of_overrides(overrides: &Overrides) -> Vec<Objection> {
    let Overrides { extensions } = overrides;
    let reason = |name: &str, value: &str| {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            return Some("the name of an extension consists of letters and digits");
        }
        if ATTRIBUTES.contains(&name.to_ascii_lowercase().as_str()) {
            return Some(
                "an attribute of the event is not replaced; Knative takes this, and then sends nothing at all",
            );
        }
        let is_header = http::HeaderValue::from_bytes(value.as_bytes()).is_ok();
        (!is_header)
            .then_some("it is sent as a header, which takes neither line breaks nor other control characters")
    };
    let wrong = extensions.iter().filter_map(|(name, value)| {
        let reason = reason(name, value)?;
        Some((format!("spec.ceOverrides.extensions[{name}]"), json!(value), reason.to_owned()))
    });
    wrong.collect()
}
