//! How an event is kept inside an Execution.
//!
//! Attributes are kept as they were sent, typed extensions with their types. The data is kept byte for byte: as text
//! where it is UTF-8 (so that `kubectl get -o yaml` shows it), else as Base64.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;

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
