//! What a refused field looks like: path, machine-readable reason, and the API server's sentence.

use serde_json::Value;

use crate::local::server::schema::path::Path;

/// One refused field, ready to become a cause of a `metav1.Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::local::server) struct FieldError {
    /// `spec.taskCount`; `<nil>` for the object itself.
    pub field: String,
    /// `FieldValueInvalid`, `FieldValueRequired`, …
    pub reason: &'static str,
    /// Everything after `field: `.
    pub message: String,
}

impl FieldError {
    pub(in crate::local::server) fn required(path: &Path<'_>, detail: &str) -> Self {
        Self::new(path, "FieldValueRequired", with_detail("Required value", detail))
    }

    pub(in crate::local::server) fn invalid(path: &Path<'_>, value: &Value, detail: &str) -> Self {
        Self::new(path, "FieldValueInvalid", with_detail(&format!("Invalid value: {}", shown(value)), detail))
    }

    pub(in crate::local::server) fn of_type(path: &Path<'_>, value: &Value, detail: &str) -> Self {
        Self::new(
            path,
            "FieldValueTypeInvalid",
            with_detail(&format!("Invalid value: {}", shown(value)), detail),
        )
    }

    pub(in crate::local::server) fn duplicate(path: &Path<'_>, value: &Value) -> Self {
        Self::new(path, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)))
    }

    pub(in crate::local::server) fn not_found(path: &Path<'_>, value: &Value) -> Self {
        Self::new(path, "FieldValueNotFound", format!("Not found: {}", shown(value)))
    }

    pub(in crate::local::server) fn forbidden(path: &Path<'_>, detail: &str) -> Self {
        Self::new(path, "FieldValueForbidden", with_detail("Forbidden", detail))
    }

    pub(in crate::local::server) fn too_long(path: &Path<'_>, limit: u64) -> Self {
        Self::new(path, "FieldValueTooLong", format!("Too long: may not be more than {limit} bytes"))
    }

    pub(in crate::local::server) fn too_many(path: &Path<'_>, actual: u64, limit: u64) -> Self {
        let noun = if limit == 1 { "item" } else { "items" };
        Self::new(path, "FieldValueTooMany", format!("Too many: {actual}: must have at most {limit} {noun}"))
    }

    /// `supported` in the order in which it is to be listed.
    pub(in crate::local::server) fn unsupported(
        path: &Path<'_>,
        value: &Value,
        supported: &[String],
    ) -> Self {
        let supported: Vec<String> = supported.iter().map(|value| format!("{value:?}")).collect();
        let detail = format!("supported values: {}", supported.join(", "));
        Self::new(
            path,
            "FieldValueNotSupported",
            with_detail(&format!("Unsupported value: {}", shown(value)), &detail),
        )
    }

    pub(super) fn new(path: &Path<'_>, reason: &'static str, message: String) -> Self {
        let field = if path.is_root() { "<nil>".to_owned() } else { path.to_string() };
        Self { field, reason, message }
    }

    /// The same error at a path that prints map keys in brackets.
    pub(super) fn bracketed(mut self, path: &Path<'_>) -> Self {
        self.field = path.bracketed();
        self
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

/// A value as messages show it: strings quoted, everything else as JSON.
fn shown(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_have_the_api_servers_form() {
        let spec = Path::ROOT.field("spec");
        let path = spec.field("policy");
        let supported = ["Allow".to_owned(), "Forbid".to_owned()];
        let error = FieldError::unsupported(&path, &json!("X"), &supported);
        assert_eq!(error.message, r#"Unsupported value: "X": supported values: "Allow", "Forbid""#);
        assert_eq!(error.field, "spec.policy");
        assert_eq!(FieldError::required(&path, "").message, "Required value");
        assert_eq!(FieldError::invalid(&path, &json!(0), "no").message, "Invalid value: 0: no");
        assert_eq!(FieldError::too_many(&path, 3, 1).message, "Too many: 3: must have at most 1 item");
    }
}
