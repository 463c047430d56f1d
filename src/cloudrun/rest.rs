//! What all of Google's REST APIs have in common: JSON, and how a [`Fault`] is written.
//!
//! Never a Kubernetes `Status`: `gcloud` prints what it cannot read as it is.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tonic::Code;

use super::fault::{About, Detail, Fault, Violation};
use super::metrics::Answered;

/// Most bytes of a request's body. An object of Kubernetes can have about as many.
pub(super) const MAX_BODY: usize = 1024 * 1024;
/// What nginx made of "client closed request", and Google of `CANCELLED`.
const CANCELLED: u16 = 499;

/// An answer, or why there is none.
pub(super) fn answer<T: Serialize>(found: Result<T, Fault>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(fault) => refusal(&fault),
    }
}

/// The answer, if it comes in time.
pub(super) async fn in_time(within: Duration, call: impl Future<Output = Response>) -> Response {
    tokio::time::timeout(within, call).await.unwrap_or_else(|_| refusal(&Fault::late()))
}

/// Google's error object.
fn refusal(fault: &Fault) -> Response {
    let status = http_status(fault.code);
    let details: Vec<Value> = match &fault.detail {
        Detail::None => Vec::new(),
        Detail::Fields(violations) => vec![fields(violations)],
        Detail::Resource(about) => vec![resource(about)],
    };
    let mut error =
        json!({"code": status.as_u16(), "message": fault.message, "status": code_name(fault.code)});
    if !details.is_empty() {
        error["details"] = Value::Array(details);
    }
    let mut response = (status, Json(json!({ "error": error }))).into_response();
    response.extensions_mut().insert(Answered(fault.code));
    response
}

fn fields(violations: &[Violation]) -> Value {
    let one =
        |Violation { field, description }: &Violation| json!({"field": field, "description": description});
    let all: Vec<Value> = violations.iter().map(one).collect();
    json!({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": all})
}

fn resource(About { kind, name }: &About) -> Value {
    json!({"@type": "type.googleapis.com/google.rpc.ResourceInfo", "resourceType": kind, "resourceName": name})
}

/// The body of a request, read as JSON. No body is an empty object.
pub(super) fn body<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Fault> {
    let body = body.map_err(|rejection| Fault::invalid_field("", rejection.body_text()))?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text).map_err(|error| Fault::invalid_field("", format!("the body: {error}")))
}

/// The HTTP status of a code (`google/rpc/code.proto`).
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(CANCELLED).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The name of a code.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
