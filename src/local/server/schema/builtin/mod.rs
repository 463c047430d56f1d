//! The hand-written rules of built-in kinds, which no schema states. What may not *change*, and what the server fills in,
//! is the strategy's (`server/strategy`); here is what an object may not be.

mod config;
mod container;
mod job;
mod pod;

use serde_json::Value;

use crate::local::server::schema::error::FieldError;
use crate::local::server::schema::metadata::NameRule;
use crate::local::server::schema::path::Path;

/// Which rules a kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    ConfigMap,
    Secret,
    Pod,
    Job,
    Namespace,
    Other,
}

impl Rules {
    pub(super) fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "ConfigMap") => Self::ConfigMap,
            ("", "Secret") => Self::Secret,
            ("", "Pod") => Self::Pod,
            ("batch", "Job") => Self::Job,
            ("", "Namespace") => Self::Namespace,
            _ => Self::Other,
        }
    }

    pub(super) fn names(self) -> NameRule {
        if self == Self::Namespace { NameRule::Label } else { NameRule::Subdomain }
    }

    /// Checks a decoded object. What an update did not touch is not judged again.
    pub(super) fn check(self, object: &Value, old: Option<&Value>, errors: &mut Vec<FieldError>) {
        let unchanged = old.is_some_and(|old| old.get("spec") == object.get("spec"));
        if unchanged && matches!(self, Self::Pod | Self::Job) {
            return;
        }
        let path = Path::ROOT.field("spec");
        match self {
            Self::ConfigMap => config::check_config_map(object, errors),
            Self::Secret => config::check_secret(object, errors),
            Self::Pod => match object.get("spec") {
                Some(spec) => pod::check(spec, &path, errors),
                None => errors.push(FieldError::required(&path.field("containers"), "")),
            },
            Self::Job => job::check(object.get("spec").unwrap_or(&Value::Null), &path, errors),
            Self::Namespace | Self::Other => {}
        }
    }
}

/// The text of a field; absent is empty, as in Go.
fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An absent field is fine; one that is there must be one of these.
fn one_of(value: &Value, field: &str, allowed: &[&str], path: &Path<'_>, errors: &mut Vec<FieldError>) {
    let found = text(value, field);
    if !found.is_empty() && !allowed.contains(&found) {
        let allowed: Vec<String> = allowed.iter().map(|one| (*one).to_owned()).collect();
        errors.push(FieldError::unsupported(&path.field(field), &Value::from(found), &allowed));
    }
}

/// An absent field is fine; one that is there must not be negative.
fn not_negative(value: &Value, field: &str, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if let Some(number) = value.get(field).filter(|number| number.as_i64().is_some_and(|number| number < 0)) {
        errors.push(FieldError::invalid(&path.field(field), number, "must be greater than or equal to 0"));
    }
}

fn refuse(path: &Path<'_>, value: &str, problems: Vec<String>, errors: &mut Vec<FieldError>) {
    errors
        .extend(problems.into_iter().map(|problem| FieldError::invalid(path, &Value::from(value), &problem)));
}
