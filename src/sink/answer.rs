//! Every answer that is not a success, and the one place where reasons become status codes.
//!
//! Bodies are problem details (RFC 9457) with a `detail` for people. They never repeat what the API server said: that
//! is logged, for whoever runs this.

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::RETRY_AFTER;
use axum::http::header::WWW_AUTHENTICATE;
use axum::response::IntoResponse;
use axum::response::Response;
use serde_json::json;

use crate::event;
use crate::explain::Answer;
use crate::ops;
use crate::plan;
use crate::triggers;

/// Seconds after which a sender may try again. What passes usually passes quickly, and a `PingSource` gives up after
/// three.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Why a request did not succeed. Ordered: of several, the greatest is what the sender is told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refusal {
    /// A run of the Job led to the event. For its sender that is no failure: the event was taken, and runs nothing there.
    Loop(String),
    /// Not an event, or an invalid one.
    Invalid(String),
    /// A format or an encoding that is not spoken.
    Unsupported(String),
    /// The body is over the limit.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The data is over the limit of the Job.
    DataTooLarge(String),
    /// The method is not one of those that the path takes.
    Method {
        /// The ones it takes, as a header.
        allow: &'static str,
    },
    /// A valid event that the Job cannot be run for.
    Unprocessable(String),
    /// Nobody vouches for the sender.
    Unauthenticated(String),
    /// The sender may not send this here.
    Forbidden(String),
    /// Nothing is there, or not yet: senders try again.
    NotFound(String),
    /// More than is taken at a time.
    Overloaded(String),
    /// It cannot be done now.
    Unavailable(String),
}

impl Refusal {
    /// The same, about one event of a batch, counted from 1.
    pub(super) fn of_event(self, number: usize) -> Self {
        let told = |detail: String| format!("event {number} of the batch: {detail}");
        match self {
            Refusal::Invalid(detail) => Refusal::Invalid(told(detail)),
            Refusal::Unsupported(detail) => Refusal::Unsupported(told(detail)),
            Refusal::Unprocessable(detail) => Refusal::Unprocessable(told(detail)),
            Refusal::Loop(detail) => Refusal::Loop(told(detail)),
            Refusal::Unauthenticated(detail) => Refusal::Unauthenticated(told(detail)),
            Refusal::Forbidden(detail) => Refusal::Forbidden(told(detail)),
            Refusal::NotFound(detail) => Refusal::NotFound(told(detail)),
            Refusal::Overloaded(detail) => Refusal::Overloaded(told(detail)),
            Refusal::Unavailable(detail) => Refusal::Unavailable(told(detail)),
            Refusal::DataTooLarge(detail) => Refusal::DataTooLarge(told(detail)),
            Refusal::TooLarge { .. } | Refusal::Method { .. } => self,
        }
    }

    /// Whether the same request can succeed in a moment.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Refusal::Overloaded(_) | Refusal::Unavailable(_))
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::Invalid(_) => StatusCode::BAD_REQUEST,
            Refusal::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Refusal::TooLarge { .. } | Refusal::DataTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Loop(_) => StatusCode::ACCEPTED,
            Refusal::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Refusal::Forbidden(_) => StatusCode::FORBIDDEN,
            Refusal::NotFound(_) => StatusCode::NOT_FOUND,
            Refusal::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn detail(&self) -> String {
        match self {
            Refusal::Invalid(detail)
            | Refusal::Unsupported(detail)
            | Refusal::DataTooLarge(detail)
            | Refusal::Unprocessable(detail)
            | Refusal::Loop(detail)
            | Refusal::Unauthenticated(detail)
            | Refusal::Forbidden(detail)
            | Refusal::NotFound(detail)
            | Refusal::Overloaded(detail)
            | Refusal::Unavailable(detail) => detail.clone(),
            Refusal::TooLarge { limit } => format!("the body of an event has at most {limit} bytes here"),
            Refusal::Method { allow } => format!("this path takes {allow}"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, detail) = (self.status(), self.detail());
        tracing::info!(status = status.as_u16(), detail, "request refused");
        let body = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self {
            Refusal::Method { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Refusal::Overloaded(_) | Refusal::Unavailable(_) => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            Refusal::Unauthenticated(_) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kakehi\""));
            }
            Refusal::Invalid(_)
            | Refusal::Unsupported(_)
            | Refusal::TooLarge { .. }
            | Refusal::DataTooLarge(_)
            | Refusal::Unprocessable(_)
            | Refusal::Loop(_)
            | Refusal::Forbidden(_)
            | Refusal::NotFound(_) => {}
        }
        response
    }
}

impl From<&Refusal> for Answer {
    fn from(refusal: &Refusal) -> Self {
        Self { status: refusal.status().as_u16(), detail: Some(refusal.detail()) }
    }
}

impl From<event::Error> for Refusal {
    fn from(error: event::Error) -> Self {
        use event::Error;
        let detail = error.to_string();
        match error {
            Error::Format(_) | Error::Batch => Refusal::Unsupported(detail),
            Error::InBatch { number, reason } => Refusal::from(*reason).of_event(number),
            Error::Json(source) | Error::JsonBatch(source) => Refusal::Invalid(format!("{detail}: {source}")),
            Error::NotAnEvent
            | Error::Missing(_)
            | Error::Attribute { .. }
            | Error::Name { .. }
            | Error::Repeated(_)
            | Error::Version(_)
            | Error::TooLarge(_)
            | Error::ContentTypeHeader
            | Error::Data(_) => Refusal::Invalid(detail),
        }
    }
}

impl From<triggers::Error> for Refusal {
    fn from(error: triggers::Error) -> Self {
        use triggers::Error;
        match &error {
            Error::Cold | Error::Stale | Error::TimedOut => {}
            // A flood of unknown addresses; each one would be a warning.
            Error::Busy => return Refusal::Overloaded(error.to_string()),
            Error::Unavailable(source) => {
                tracing::warn!(error = source as &dyn std::error::Error, "cannot look up an object");
            }
        }
        Refusal::Unavailable(error.to_string())
    }
}

impl From<plan::Refusal> for Refusal {
    fn from(refusal: plan::Refusal) -> Self {
        use plan::Refusal as Plan;
        match &refusal {
            // Gone soon, or there again soon under the same name: not this event's fault.
            Plan::JobDeleting { .. } | Plan::JobNotStored { .. } => Refusal::NotFound(refusal.to_string()),
            // What is at fault is the Job, which somebody can repair; an event that is answered 4xx would be gone by then.
            Plan::JobInvalid { .. } => Refusal::Unavailable(refusal.to_string()),
            Plan::Loop { .. } => Refusal::Loop(refusal.to_string()),
            Plan::DataTooLarge { .. } => Refusal::DataTooLarge(refusal.to_string()),
            Plan::NoKey { .. }
            | Plan::NoParameter(_)
            | Plan::Override { .. }
            | Plan::ControlCharacter { .. }
            | Plan::EnvironmentTooLarge { .. }
            | Plan::EventTooLarge { .. } => Refusal::Unprocessable(refusal.to_string()),
        }
    }
}

/// What a failed accept means for the sender of the event.
pub(super) fn not_accepted(error: ops::Error, job: &str) -> Refusal {
    use ops::Error;
    let cause = &error as &dyn std::error::Error;
    match error {
        Error::Refusal(refusal) => refusal.into(),
        Error::NotFound { .. } => Refusal::NotFound(format!("job {job} has no place to run in yet")),
        // No template makes it smaller than its event.
        Error::Rejected { code: 413, .. } => {
            tracing::warn!(job, error = cause, "an execution is too large for the API server");
            Refusal::Unprocessable(format!("a run of job {job} for this event is too large to be stored"))
        }
        // The event was checked before; what is at fault is the Job's template, an admission policy, or a definition of
        // another version. Somebody can repair those, and an event that is answered 4xx would be gone by then.
        Error::Rejected { .. } => {
            tracing::warn!(job, error = cause, "the API server refuses an execution");
            Refusal::Unavailable(format!("runs of job {job} are refused now"))
        }
        Error::QueueFull { .. } => Refusal::Overloaded(error.to_string()),
        Error::OverQuota { .. } => {
            tracing::warn!(job, error = cause, "a quota is used up");
            Refusal::Overloaded("a quota of the namespace is used up".to_owned())
        }
        // Ours to mend: a missing right, a broken server. The event must survive it.
        Error::Forbidden { .. }
        | Error::AlreadyExists { .. }
        | Error::Conflict { .. }
        | Error::Unavailable(_)
        | Error::TimedOut { .. }
        | Error::NamesTaken { .. }
        | Error::Nothing(_)
        | Error::NotRerun(_)
        | Error::Log { .. }
        | Error::Watch(_) => {
            tracing::warn!(job, error = cause, "cannot create an execution");
            Refusal::Unavailable("the event cannot be stored now".to_owned())
        }
    }
}

/// For paths that lead nowhere.
pub(super) async fn no_such_path() -> Refusal {
    Refusal::NotFound("there is nothing at this path; events go to /namespaces/{namespace}/jobs/{job}, /namespaces/{namespace} or /".to_owned())
}
