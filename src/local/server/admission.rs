//! What a kind refuses beyond its schema: what in a cluster a web hook of its project would say.

use serde_json::Value;

use crate::local::server::schema::FieldError;

/// A field that is refused: its path, its value and the reason.
pub type Objection = (String, Value, String);

/// Group, kind, and what is refused of an object of that kind. It is asked about new objects and about changes of what is
/// desired, not about a status.
pub type Admission = (&'static str, &'static str, fn(&Value) -> Vec<Objection>);

/// The errors of a change. What was there before is not judged again: it may have been admitted by other rules.
pub(super) fn errors(
    review: fn(&Value) -> Vec<Objection>,
    object: &Value,
    old: Option<&Value>,
) -> Vec<FieldError> {
    if old.is_some_and(|old| old.get("spec") == object.get("spec")) {
        return Vec::new();
    }
    let error = |(field, value, reason): Objection| FieldError {
        field,
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {value}: {reason}"),
    };
    review(object).into_iter().map(error).collect()
}
