//! Query parameters: `ListOptions`, `CreateOptions`, `DeleteOptions` and the like, read once.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::Query as Form;
use http::Uri;

use crate::local::server::refusal::Refusal;

/// The parameters of one request. A parameter that appears twice counts once, as in the API server: the first.
#[derive(Debug, Default)]
pub(super) struct Query(HashMap<String, String>);

/// What is done about fields that a kind does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// From where on a list or a watch is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// The newest state.
    Newest,
    /// Any state will do.
    Any,
    Revision(u64),
}

impl Query {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let Form(pairs) = Form::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| Refusal::BadRequest(format!("the query cannot be read: {error}")))?;
        let mut parameters = HashMap::new();
        for (name, value) in pairs {
            parameters.entry(name).or_insert(value);
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter; an empty one counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that is yes or no. Whatever is not no is yes, as in Kubernetes.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        let value = self.0.get(name)?;
        Some(value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Refusal::BadRequest(format!("{name}: {text:?} is not a number")))
    }

    pub(super) fn watch(&self) -> bool {
        self.flag("watch").unwrap_or(false)
    }

    /// How long a watch may last.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Refusal> {
        Ok(self.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    pub(super) fn since(&self) -> Result<Since, Refusal> {
        match self.get("resourceVersion") {
            None => Ok(Since::Newest),
            Some("0") => Ok(Since::Any),
            Some(text) => text.parse().map(Since::Revision).map_err(|_| {
                Refusal::BadRequest(format!(
                    "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: invalid syntax"
                ))
            }),
        }
    }

    /// Whether nothing may be stored. `All` is the only value there is.
    pub(super) fn dry_run(&self) -> Result<bool, Refusal> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Refusal::BadRequest(format!(
                "dryRun: Unsupported value: {other:?}: supported values: \"All\""
            ))),
        }
    }

    pub(super) fn field_validation(&self) -> Result<FieldValidation, Refusal> {
        match self.get("fieldValidation") {
            // The API server's default since 1.25.
            None | Some("Warn") => Ok(FieldValidation::Warn),
            Some("Ignore") => Ok(FieldValidation::Ignore),
            Some("Strict") => Ok(FieldValidation::Strict),
            Some(other) => Err(Refusal::BadRequest(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/api/v1/pods?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn parameters_mean_what_they_mean_to_the_api_server() {
        for yes in ["watch=1", "watch=true", "watch", "watch=perhaps"] {
            assert!(query(yes).watch(), "{yes}");
        }
        for no in ["watch=0", "watch=False", ""] {
            assert!(!query(no).watch(), "{no}");
        }
        assert_eq!(query("resourceVersion=").since().unwrap(), Since::Newest);
        assert_eq!(query("resourceVersion=0").since().unwrap(), Since::Any);
        assert_eq!(query("resourceVersion=42").since().unwrap(), Since::Revision(42));
        assert_eq!(query("timeoutSeconds=290").timeout().unwrap(), Some(Duration::from_secs(290)));
        assert_eq!(query("timeoutSeconds=0").timeout().unwrap(), None);
        assert_eq!(query("labelSelector=a%3Db%2Cc").get("labelSelector"), Some("a=b,c"));
        assert!(query("dryRun=All").dry_run().unwrap());
        assert!(!query("dryRun=").dry_run().unwrap());
        assert_eq!(query("").field_validation().unwrap(), FieldValidation::Warn);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(query("resourceVersion=x").since().is_err());
        assert!(query("resourceVersion=-1").since().is_err());
        assert!(query("limit=ten").number("limit").is_err());
        assert!(query("dryRun=Some").dry_run().is_err());
        assert!(query("fieldValidation=strict").field_validation().is_err());
    }
}
