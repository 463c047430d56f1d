//! Server-side apply and the tracking of who set what (`metadata.managedFields`).

use serde_json::Map;
use serde_json::Value;

use crate::local::server::patch::merge_patch;
use crate::local::server::schema::Schema;

/// Which kind of request a manager's fields come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// Who writes, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager<'a> {
    pub name: &'a str,
    pub operation: Operation,
    pub api_version: &'a str,
    pub subresource: Option<&'a str>,
    /// RFC 3339 in UTC, whole seconds.
    pub now: &'a str,
}

/// Why an applied configuration is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum ApplyError {
    /// Fields that others own have another value: 409. (`conflict with "x" using v1`, `.spec.y`)
    #[error("Apply failed with {} conflict{}", causes.len(), if causes.len() == 1 { "" } else { "s" })]
    Conflict { causes: Vec<(String, String)> },
    /// The configuration itself is wrong: 400.
    #[error("{0}")]
    Invalid(String),
}

/// The object after `applied` has been applied to `live`.
pub(super) fn apply(
    live: Option<&Value>,
    applied: &Value,
    _manager: &Manager<'_>,
    _force: bool,
    _schema: &Schema,
) -> Result<Value, ApplyError> {
    if applied.pointer("/metadata/managedFields").is_some() {
        return Err(ApplyError::Invalid("metadata.managedFields must be nil".to_owned()));
    }
    let mut result = live.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    merge_patch(&mut result, applied);
    Ok(result)
}

/// Brings `managedFields` of `new` up to date after a create, replace or patch.
pub(super) fn track(_old: Option<&Value>, _new: &mut Value, _manager: &Manager<'_>, _schema: &Schema) {}
