//! What stands before every route: draining, a bound on requests, and a net under panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Version;
use axum::http::header::CONNECTION;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use futures::FutureExt;
use tracing::Instrument;
use tracing::field::Empty;

use super::Sink;
use super::answer::Refusal;
use super::wait::Room;
use crate::event::TraceContext;
use crate::spans;

/// Lets a request through if there is room for it.
pub(super) async fn guard(State(sink): State<Sink>, mut request: Request, next: Next) -> Response {
    if sink.inner.shutdown.is_cancelled() {
        return refuse(&sink, request, Refusal::Unavailable("shutting down".to_owned()));
    }
    let Ok(permit) = Arc::clone(&sink.inner.requests).try_acquire_owned() else {
        return refuse(&sink, request, Refusal::Overloaded("too many requests at a time".to_owned()));
    };
    // Held until the answer, or until the request only waits for the end of a run.
    let room = Room::new(permit);
    request.extensions_mut().insert(room.clone());
    let version = request.version();
    let span = tracing::info_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        cloudevents.event_id = Empty,
        cloudevents.event_source = Empty,
        cloudevents.event_type = Empty,
    );
    if let Some(trace) = TraceContext::of_headers(request.headers()) {
        spans::join(&span, &trace);
    }
    // A bug must not cost an event: senders repeat what was answered 503.
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span).await;
    let mut response = handled.unwrap_or_else(|_| {
        tracing::error!("a request handler panicked");
        let refusal = Refusal::Unavailable("an internal error".to_owned());
        sink.inner.metrics.rejected(&refusal);
        refusal.into_response()
    });
    // An idle connection that is closed may meet the next request on its way; one that the client closes cannot.
    // HTTP/2 has a frame for this, which is sent when accepting ends.
    if sink.inner.leaving.is_cancelled() && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    room.leave();
    response
}

fn refuse(sink: &Sink, request: Request, refusal: Refusal) -> Response {
    sink.inner.metrics.rejected(&refusal);
    let (parts, body) = request.into_parts();
    sink.read_off(&parts.headers, body);
    refusal.into_response()
}

/// The process lives.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// Events can be taken: caches are warm, and nobody asked to stop.
pub(super) async fn ready(State(sink): State<Sink>) -> (StatusCode, &'static str) {
    if sink.inner.leaving.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
    } else if !sink.inner.triggers.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "jobs and triggers are not known yet\n")
    } else if !sink.knows_senders() {
        (StatusCode::SERVICE_UNAVAILABLE, "policies of events are not known yet\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}
