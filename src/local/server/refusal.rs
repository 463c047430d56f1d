//! Every answer that is not a success, and its form on the wire: a `v1` Status with the API server's words.
//!
//! Clients decide by `reason` and `code`, people read `message`, kubectl prints `details.causes`; all three follow the
//! API server (apimachinery, `pkg/api/errors`).

use std::sync::Arc;

use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use serde_json::Value;
use serde_json::json;

use crate::local::server::apply::Conflicts;
use crate::local::server::kinds::Kind;
use crate::local::server::schema::FieldError;
use crate::local::store;

/// What a refusal is about: a resource, and an object of it where one is named.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    kind: Arc<Kind>,
    name: Box<str>,
}

impl Subject {
    pub(super) fn new(kind: &Arc<Kind>, name: &str) -> Self {
        Self { kind: Arc::clone(kind), name: name.into() }
    }

    /// `jobs.batch "a"`.
    fn resource(&self) -> String {
        format!("{} \"{}\"", self.kind.qualified_resource(), self.name)
    }

    /// `Job.batch "a"`.
    fn kind(&self) -> String {
        format!("{} \"{}\"", self.kind.qualified_kind(), self.name)
    }

    fn details(&self, kind: &str) -> Value {
        let mut details = json!({"kind": kind});
        if !self.name.is_empty() {
            details["name"] = json!(self.name);
        }
        if !self.kind.group.is_empty() {
            details["group"] = json!(self.kind.group);
        }
        details
    }
}

/// A request that is not carried out, by the reason that its client is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{} not found", .0.resource())]
    NotFound(Subject),
    #[error("the server could not find the requested resource")]
    NoSuchResource,
    #[error("{} already exists", .0.resource())]
    AlreadyExists(Subject),
    #[error("Operation cannot be fulfilled on {}: {why}", subject.resource())]
    Conflict { subject: Subject, why: String },
    /// A deletion that was meant for another object or state.
    #[error("Operation cannot be fulfilled on {}: {why}", subject.kind())]
    Precondition { subject: Subject, why: String },
    /// Server-side apply met fields of other managers.
    #[error(transparent)]
    ApplyConflict(#[from] Conflicts),
    #[error("{} is invalid: {}", subject.kind(), joined(errors))]
    Invalid { subject: Subject, errors: Vec<FieldError> },
    /// A JSON patch whose test fails or whose path is not there.
    #[error("the server rejected our request due to an error in our request")]
    Unpatchable,
    #[error("{0}")]
    BadRequest(String),
    /// What is applied does not fit the schema. The API server knows no reason for it and blames itself.
    #[error("{0}")]
    Untyped(String),
    #[error("{} is forbidden: {why}", subject.resource())]
    Forbidden { subject: Subject, why: String, cause: Option<Value> },
    /// A revision that is no longer known, in a list or a watch.
    #[error("{0}")]
    Expired(String),
    /// A revision that has not happened yet, as far as this server knows.
    #[error("Too large resource version: {asked}, current: {current}")]
    Ahead { asked: u64, current: u64 },
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    #[error("only the following media types are accepted: application/json, application/yaml")]
    NotAcceptable,
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(&'static str),
    /// What `kubectl create` makes itself, without a file.
    #[error(
        "the body of the request was in an unknown format - local mode does not read protobuf, in which kubectl sends what \
         it makes itself: write a manifest and use `kubectl apply -f` or `kubectl create -f`"
    )]
    Protobuf,
    #[error("Request entity too large: limit is {0}")]
    TooLarge(usize),
    /// Whatever the store could not do. Nothing was acknowledged.
    #[error("the store cannot answer now: {}", chain(.0))]
    Store(#[from] store::Error),
    /// More than is served at a time.
    #[error("{0}, please try again later")]
    TooMany(&'static str),
    /// The kubelet of a pod's node does not answer.
    #[error("{0}")]
    Node(String),
    /// Ours: something that was stored by us cannot be read by us.
    #[error("Internal error occurred: {0}")]
    Internal(String),
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn joined(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| format!("{}: {}", error.field, error.message);
    match errors {
        [error] => one(error),
        many => format!("[{}]", many.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

impl Refusal {
    /// The HTTP status and the machine-readable reason.
    fn class(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(_) | Self::NoSuchResource => (StatusCode::NOT_FOUND, "NotFound"),
            Self::AlreadyExists(_) => (StatusCode::CONFLICT, "AlreadyExists"),
            Self::Conflict { .. } | Self::Precondition { .. } | Self::ApplyConflict(_) => {
                (StatusCode::CONFLICT, "Conflict")
            }
            Self::Invalid { .. } | Self::Unpatchable => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Untyped(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::Expired(_) => (StatusCode::GONE, "Expired"),
            Self::Ahead { .. } => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::NotAcceptable => (StatusCode::NOT_ACCEPTABLE, "NotAcceptable"),
            Self::UnsupportedMediaType(_) | Self::Protobuf => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType")
            }
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::TooMany(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::Store(error) => match error {
                store::Error::Storage(_) | store::Error::InUse | store::Error::KeyTooLong(_) => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
                }
                store::Error::Gone { .. } => (StatusCode::GONE, "Expired"),
                store::Error::Exists | store::Error::Missing | store::Error::Conflict { .. } => {
                    (StatusCode::CONFLICT, "Conflict")
                }
                store::Error::Unavailable | store::Error::Closed => {
                    (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
                }
            },
            Self::Node(_) | Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        }
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::NotFound(subject) | Self::AlreadyExists(subject) | Self::Conflict { subject, .. } => {
                Some(subject.details(&subject.kind.plural))
            }
            Self::Precondition { subject, .. } => Some(subject.details(&subject.kind.kind)),
            Self::Forbidden { subject, cause, .. } => {
                let mut details = subject.details(&subject.kind.plural);
                if let Some(cause) = cause {
                    details["causes"] = json!([cause]);
                }
                Some(details)
            }
            Self::Invalid { subject, errors } => {
                let mut details = subject.details(&subject.kind.kind);
                let cause =
                    |e: &FieldError| json!({"reason": e.reason, "message": e.message, "field": e.field});
                details["causes"] = errors.iter().map(cause).collect();
                Some(details)
            }
            Self::ApplyConflict(Conflicts(conflicts)) => {
                let causes = conflicts.iter().map(|conflict| {
                    json!({
                        "reason": "FieldManagerConflict",
                        "message": format!("conflict with {}", conflict.manager),
                        "field": conflict.path,
                    })
                });
                Some(json!({"causes": causes.collect::<Vec<_>>()}))
            }
            Self::Ahead { .. } => {
                let cause =
                    json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
                Some(json!({"causes": [cause], "retryAfterSeconds": 1}))
            }
            // A patch that does not fit is nobody's field.
            Self::NoSuchResource | Self::Unpatchable => Some(json!({})),
            Self::BadRequest(_)
            | Self::Untyped(_)
            | Self::Expired(_)
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::UnsupportedMediaType(_)
            | Self::Protobuf
            | Self::TooLarge(_)
            | Self::TooMany(_)
            | Self::Store(_)
            | Self::Node(_)
            | Self::Internal(_) => None,
        }
    }

    /// The Status object.
    pub(super) fn status(&self) -> Value {
        let (code, reason) = self.class();
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": reason,
            "code": code.as_u16(),
        });
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        status
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, _) = self.class();
        // A configuration that does not fit is its writer's mistake, and of storage that fails its writer tells, once.
        if code.is_server_error() && !matches!(self, Self::Untyped(_) | Self::Store(_)) {
            tracing::error!(error = &self as &dyn std::error::Error, "a request failed");
        }
        let mut response = (code, self.status().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&code) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::server::apply::Conflict;
    use crate::local::server::kinds::Kinds;

    fn subject() -> Subject {
        let kinds = Kinds::new(&[]).unwrap();
        Subject::new(kinds.find("batch", "v1", "jobs").unwrap(), "a")
    }

    fn field(field: &str, message: &str) -> FieldError {
        FieldError { field: field.to_owned(), reason: "FieldValueInvalid", message: message.to_owned() }
    }

    #[test]
    fn refusals_speak_like_the_api_server() {
        let conflict = |list: &[(&str, &str)]| {
            let conflicts = list
                .iter()
                .map(|(manager, path)| Conflict { manager: (*manager).to_owned(), path: (*path).to_owned() });
            Refusal::ApplyConflict(Conflicts(conflicts.collect()))
        };
        for (refusal, code, reason, message) in [
            (Refusal::NotFound(subject()), 404, "NotFound", "jobs.batch \"a\" not found"),
            (Refusal::AlreadyExists(subject()), 409, "AlreadyExists", "jobs.batch \"a\" already exists"),
            (
                Refusal::Conflict { subject: subject(), why: "no".to_owned() },
                409,
                "Conflict",
                "Operation cannot be fulfilled on jobs.batch \"a\": no",
            ),
            (
                Refusal::Invalid { subject: subject(), errors: vec![field("spec.x", "Required value")] },
                422,
                "Invalid",
                "Job.batch \"a\" is invalid: spec.x: Required value",
            ),
            (
                Refusal::Invalid { subject: subject(), errors: vec![field("a", "one"), field("b", "two")] },
                422,
                "Invalid",
                "Job.batch \"a\" is invalid: [a: one, b: two]",
            ),
            (
                conflict(&[("\"m\" using v1", ".data.k")]),
                409,
                "Conflict",
                "Apply failed with 1 conflict: conflict with \"m\" using v1: .data.k",
            ),
            (
                conflict(&[
                    ("\"n\" using v1", ".data.k"),
                    ("\"m\" using v1", ".data.l"),
                    ("\"n\" using v1", ".x"),
                ]),
                409,
                "Conflict",
                "Apply failed with 3 conflicts: conflicts with \"m\" using v1:\n- .data.l\nconflicts with \"n\" using v1:\n\
                 - .data.k\n- .x",
            ),
            (
                Refusal::Store(store::Error::Unavailable),
                503,
                "ServiceUnavailable",
                "the store cannot answer now: the storage is not available",
            ),
        ] {
            let status = refusal.status();
            assert_eq!(status["code"], code, "{message}");
            assert_eq!(status["reason"], reason);
            assert_eq!(status["message"], message);
            assert_eq!(refusal.into_response().status().as_u16(), code);
        }
    }

    #[test]
    fn causes_name_each_field() {
        let status = Refusal::Invalid { subject: subject(), errors: vec![field("spec.x", "bad")] }.status();
        let cause = json!({"reason": "FieldValueInvalid", "message": "bad", "field": "spec.x"});
        assert_eq!(
            status["details"],
            json!({"name": "a", "group": "batch", "kind": "Job", "causes": [cause]})
        );
    }
}
