//! From a request to an event, and from what became of it to the answer.

use std::time::Instant;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header::ALLOW;
use axum::http::header::CONTENT_ENCODING;
use axum::http::header::CONTENT_TYPE;
use axum::http::header::LOCATION;
use axum::response::IntoResponse;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;

use super::Sink;
use super::answer::Refusal;
use super::decided::Decided;
use super::deliver::Run;
use super::journal::Subject;
use super::prefer;
use super::wait::Room;
use crate::event;
use crate::event::Event;
use crate::ops::Outcome;
use crate::term::shortened;

/// `POST /`.
pub(super) async fn to_default_namespace(
    State(sink): State<Sink>,
    request: Request,
) -> Result<Response, Refusal> {
    sink.receive(&sink.inner.options.default_namespace, None, request).await
}

/// `POST /namespaces/{namespace}`.
pub(super) async fn to_namespace(
    State(sink): State<Sink>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(namespace) = path.map_err(unreadable)?;
    sink.receive(&namespace, None, request).await
}

/// `POST /namespaces/{namespace}/jobs/{job}`.
pub(super) async fn to_job(
    State(sink): State<Sink>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((namespace, job)) = path.map_err(unreadable)?;
    sink.receive(&namespace, Some(&job), request).await
}

/// `POST /namespaces/{namespace}/jobs/{job}/{suffix}`: whoever names a Job as a sink may add a path of his own to its
/// address (Knative's `ref` with `uri`); it means nothing here.
pub(super) async fn to_job_with_suffix(
    State(sink): State<Sink>,
    path: Result<Path<(String, String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((namespace, job, _)) = path.map_err(unreadable)?;
    sink.receive(&namespace, Some(&job), request).await
}

/// A path that is not UTF-8 names nothing.
pub(super) fn unreadable(_: PathRejection) -> Refusal {
    Refusal::NotFound("the path is not readable".to_owned())
}

impl Sink {
    /// Takes an event in, and counts what became of it.
    async fn receive(
        &self,
        namespace: &str,
        job: Option<&str>,
        request: Request,
    ) -> Result<Response, Refusal> {
        if request.method() == Method::OPTIONS {
            return self.shake_hands(namespace, request);
        }
        let begun = Instant::now();
        let representation = prefer::representation(request.headers());
        let (asked, room) = (prefer::wait(request.headers()), request.extensions().get::<Room>().cloned());
        match self.take(namespace, job, request).await {
            Ok(events) => {
                let took = begun.elapsed();
                for runs in &events {
                    self.inner.metrics.accepted(runs, took);
                }
                let started = accepted(namespace, &events, representation);
                Ok(self.answer((namespace, only(&events)), asked, room, started).await)
            }
            Err(refusal) => {
                self.inner.metrics.rejected(&refusal);
                Err(refusal)
            }
        }
    }

    /// Refuses what is about another namespace than the one that is looked after, if it is one. Nothing is asked of the
    /// API server, which would not let us.
    pub(super) fn looks_after(&self, namespace: &str) -> Result<(), Refusal> {
        match self.inner.triggers.namespace() {
            Some(only) if only != namespace => Err(Refusal::NotFound(format!(
                "namespace {namespace} is not looked after here; this sink is for namespace {only} alone"
            ))),
            _ => Ok(()),
        }
    }

    /// Consents to whoever asks whether he may send events (Web Hooks for Event Delivery §4.2). It is no secret: events
    /// are looked at when they come, and so are their senders.
    fn shake_hands(&self, namespace: &str, request: Request) -> Result<Response, Refusal> {
        let (parts, body) = request.into_parts();
        self.read_off(&parts.headers, body);
        self.looks_after(namespace)?;
        let mut response = StatusCode::OK.into_response();
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        if let Some(origin) = parts.headers.get("webhook-request-origin") {
            headers.insert("webhook-allowed-origin", origin.clone());
            headers.insert("webhook-allowed-rate", HeaderValue::from_static("*"));
        }
        Ok(response)
    }

    /// The runs of each event that the request brings.
    async fn take(
        &self,
        namespace: &str,
        job: Option<&str>,
        request: Request,
    ) -> Result<Vec<Vec<Run>>, Refusal> {
        let (parts, body) = request.into_parts();
        if let Err(refusal) = acceptable(&parts.method, &parts.headers) {
            self.read_off(&parts.headers, body);
            return Err(refusal);
        }
        if let Err(refusal) = self.looks_after(namespace) {
            self.read_off(&parts.headers, body);
            return Err(refusal);
        }
        let sender = match self.admit_sender(&parts.headers, namespace, job).await {
            Ok(sender) => sender,
            Err(refusal) => {
                self.read_off(&parts.headers, body);
                return Err(refusal);
            }
        };
        name_what_is_sent(&parts.headers);
        let place = (namespace, job);
        let received = self
            .read(&parts.headers, body)
            .await
            .inspect_err(|refusal| self.note_claim(place, &parts.headers, refusal))?;
        let events = event::http::decode_all(&parts.headers, &received.bytes)
            .map_err(Refusal::from)
            .inspect_err(|refusal| self.note_claim(place, &parts.headers, refusal))?;
        if let [event] = events.as_slice() {
            name(event.id(), event.source(), event.kind());
        }
        if let Some(sender) = &sender {
            for event in &events {
                let admitted = self.admit_event(sender, event).await;
                admitted.inspect_err(|refusal| self.note_event(place, event, refusal))?;
            }
        }
        let trace = event::TraceContext::of_headers(&parts.headers);
        self.deliver(place, events, trace.as_ref()).await
    }

    /// Keeps that an event was refused before anything was asked about it.
    fn note_event(&self, place: (&str, Option<&str>), event: &Event, refusal: &Refusal) {
        self.note(place, Subject::event(event.clone()), refusal);
    }

    /// The same of what is no event, with what its headers say, as far as they are text.
    fn note_claim(&self, place: (&str, Option<&str>), headers: &HeaderMap, refusal: &Refusal) {
        let said = |name: &str| {
            let value = headers.get(format!("ce-{name}"))?.to_str().ok()?;
            Some((name.to_owned(), shortened(value, MAX_CLAIM)))
        };
        let claim = ["id", "source", "type", "subject"].into_iter().filter_map(said).collect();
        self.note(place, Subject::claim(claim), refusal);
    }

    fn note(&self, place: (&str, Option<&str>), subject: Subject, refusal: &Refusal) {
        let revision = self.inner.triggers.revision();
        let decided = Decided::refused(refusal.clone());
        self.inner.journal.keep(decided.record(place, subject, Timestamp::now(), revision));
    }
}

/// Most characters of a header that are kept of what is no event.
const MAX_CLAIM: usize = 200;

/// Says in the request's span which event it is about (the names are OpenTelemetry's), so that whatever is logged of it can
/// be found, a refusal above all: some senders drop an event that is refused.
fn name(id: &str, source: &str, kind: &str) {
    let span = tracing::Span::current();
    span.record("cloudevents.event_id", id);
    span.record("cloudevents.event_source", source);
    span.record("cloudevents.event_type", kind);
}

/// The same for an event that may turn out to be none: what its headers say, as far as they are text.
fn name_what_is_sent(headers: &HeaderMap) {
    let said = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(id) = said("ce-id") {
        name(id, said("ce-source").unwrap_or_default(), said("ce-type").unwrap_or_default());
    }
}

/// What the paths for events take.
const METHODS: &str = "POST, OPTIONS";

/// What the head of a request says before its body is looked at.
fn acceptable(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal::Method { allow: METHODS });
    }
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(Refusal::Unsupported("bodies are taken without a content encoding".to_owned()))
        }
        _ => Ok(()),
    }
}

/// The answer 202. Nothing is in it unless it was asked for: then one line for each Trigger that matched, or for the Job,
/// with the number of the event in its batch, from 0.
fn accepted(namespace: &str, events: &[Vec<Run>], representation: bool) -> Response {
    let runs =
        || events.iter().enumerate().flat_map(|(event, runs)| runs.iter().map(move |run| (event, run)));
    let mut response = StatusCode::ACCEPTED.into_response();
    if representation {
        let list: Vec<_> = runs()
            .map(|(event, run)| {
                let outcome = match run.started.as_ref().map(|one| one.outcome) {
                    Some(Outcome::Created) => "created",
                    Some(Outcome::Duplicate) => "duplicate",
                    None => "loop",
                };
                let execution = run.started.as_ref().map(|one| &one.execution);
                json!({"event": event, "trigger": run.trigger, "outcome": outcome, "execution": execution})
            })
            .collect();
        *response.body_mut() = Body::from(json!(list).to_string());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
            .headers_mut()
            .insert("preference-applied", HeaderValue::from_static("return=representation"));
    }
    if let Some(execution) = only(events)
        && let Ok(location) = HeaderValue::try_from(format!("/namespaces/{namespace}/executions/{execution}"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The run that the request stands for, if it is one.
fn only(events: &[Vec<Run>]) -> Option<&str> {
    let started = events.iter().flatten().filter_map(|run| run.started.as_ref());
    let mut executions = started.map(|one| one.execution.as_str());
    let first = executions.next()?;
    executions.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Accepted;

    fn run(trigger: &str, execution: &str) -> Run {
        let started = Accepted { execution: execution.to_owned(), outcome: Outcome::Created };
        Run { trigger: Some(trigger.to_owned()), started: Some(started) }
    }

    #[test]
    fn the_location_is_given_when_it_is_one() {
        let location = |events: &[Vec<Run>]| {
            let response = accepted("apps", events, false);
            response.headers().get(LOCATION).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(location(&[]), None);
        assert_eq!(location(&[Vec::new()]), None);
        let one = Some("/namespaces/apps/executions/a-1");
        assert_eq!(location(&[vec![run("t", "a-1")]]).as_deref(), one);
        assert_eq!(location(&[vec![run("t", "a-1"), run("u", "b-1")]]), None);
        assert_eq!(location(&[vec![run("t", "a-1")], vec![run("t", "b-1")]]), None);
        // Two Triggers of one Job share its Execution.
        assert_eq!(location(&[vec![run("t", "a-1"), run("u", "a-1")]]).as_deref(), one);
    }
}
