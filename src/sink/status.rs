//! How a run is doing, for whoever holds its Location.
//!
//! An unknown run is 404, not 410: an Execution that was removed leaves nothing behind that would tell it from one that
//! never was.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use kube::Api;

use super::Sink;
use super::access::Ask;
use super::access::may_see;
use super::answer::Refusal;
use super::receive::unreadable;
use crate::api::CauseKind;
use crate::api::Execution;
use crate::plan::Summary;
use crate::triggers::is_object_name;

/// `GET /namespaces/{namespace}/executions/{execution}`: 200 in every state.
pub(super) async fn show(
    State(sink): State<Sink>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((namespace, name)) = path.map_err(unreadable)?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let (parts, body) = request.into_parts();
        sink.read_off(&parts.headers, body);
        return Err(Refusal::Method { allow: "GET, HEAD" });
    }
    sink.looks_after(&namespace)?;
    let unknown = || Refusal::NotFound(format!("there is no execution {name} in namespace {namespace}"));
    if !is_object_name(&namespace) || !is_object_name(&name) {
        return Err(unknown());
    }
    let caller = sink.admit(request.headers(), &Ask::to_see(&namespace, &name)).await?;
    let api = Api::<Execution>::namespaced(sink.inner.client.clone(), &namespace);
    let found = api.get_opt(&name).await.map_err(|error| {
        tracing::warn!(namespace, execution = name, error = &error as &dyn std::error::Error, "cannot read");
        Refusal::Unavailable("the execution cannot be read now".to_owned())
    })?;
    let execution = found.ok_or_else(unknown)?;
    // Who started a run by hand was given no Location, nor who repeated one. Its name is short enough to be guessed, so whoever asks for it must
    // say who he is.
    let by_hand = matches!(execution.spec.cause.kind, CauseKind::Manual | CauseKind::Rerun);
    let is_guess = caller.is_none() && by_hand;
    if is_guess || !may_see(caller.as_ref(), &namespace, &execution.spec.job.name) {
        return Err(unknown());
    }
    let summary = serde_json::to_string(&Summary::of(&execution)).expect("what was JSON is JSON");
    let mut response = Response::new(Body::from(summary));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
