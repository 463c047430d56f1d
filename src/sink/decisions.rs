//! What became of events, for whoever asks why nothing ran: `GET /namespaces/{namespace}/decisions`.
//!
//! | in the query | meaning |
//! |---|---|
//! | `id`, `source` | decisions about that event, each with what every Trigger said and why |
//! | `trigger` | what that Trigger said, whichever others there are |
//! | neither `id` nor `trigger` | the latest decisions, in short |
//! | `limit` | at most so many decisions |
//!
//! An answer holds values of events, so it is for whoever may list Executions, in which the same events are; he has a token
//! for the audience of the namespace. Each process knows what it received itself, and says which one it is.
//!
//! Reasons are found when they are asked for, by the filters that took the decision. A Trigger that was changed since says so:
//! its reasons are what they would be now. Finding them is bounded in time and number, and goes on beside the events.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::Request;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::header::CACHE_CONTROL;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde::Deserialize;

use super::Sink;
use super::answer::Refusal;
use super::journal::Found;
use super::journal::Question;
use super::journal::Record;
use super::journal::Subject;
use super::receive::unreadable;
use crate::api;
use crate::auth;
use crate::auth::Right;
use crate::auth::Verb;
use crate::cel::Input;
use crate::explain::Decision;
use crate::explain::Told;
use crate::explain::Verdict;
use crate::triggers::LiveTrigger;
use crate::triggers::Triggers;
use crate::triggers::is_object_name;

/// Explanations at a time: each one keeps a thread busy.
pub(super) const MAX_EXPLANATIONS: usize = 2;
/// Time for one. Filters are bounded, but there may be many.
const TIME: Duration = Duration::from_secs(2);
/// Most decisions of one answer, without reasons and with them.
const MAX_LISTED: usize = 100;
const MAX_REASONED: usize = 10;
/// Most Triggers of a decision that are told besides those that matched.
const MAX_TRIGGERS: usize = 200;

/// What is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Asked {
    id: Option<String>,
    source: Option<String>,
    trigger: Option<String>,
    limit: Option<usize>,
}

/// `GET /namespaces/{namespace}/decisions`.
pub(super) async fn show(
    State(sink): State<Sink>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Asked>, QueryRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(namespace) = path.map_err(unreadable)?;
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let (parts, body) = request.into_parts();
        sink.read_off(&parts.headers, body);
        return Err(Refusal::Method { allow: "GET, HEAD" });
    }
    sink.looks_after(&namespace)?;
    if !is_object_name(&namespace) {
        return Err(Refusal::NotFound(format!("there is no namespace {namespace}")));
    }
    sink.admit_reader(request.headers(), &namespace).await?;
    let Query(asked) = query.map_err(|rejection| Refusal::Invalid(rejection.body_text()))?;
    let busy = |_| Refusal::Overloaded("too many explanations at a time".to_owned());
    let permit = Arc::clone(&sink.inner.explanations).try_acquire_owned().map_err(busy)?;
    let told = tokio::task::spawn_blocking(move || {
        let told = sink.tell(&namespace, &asked);
        drop(permit);
        serde_json::to_vec(&told)
    });
    let failed = |_| Refusal::Unavailable("the decisions cannot be told now".to_owned());
    let body = told.await.map_err(failed)?.map_err(|_| Refusal::Unavailable("no JSON".to_owned()))?;
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Sink {
    /// Lets somebody in who may know what became of events.
    async fn admit_reader(&self, headers: &HeaderMap, namespace: &str) -> Result<(), Refusal> {
        let Some(reviews) = &self.inner.readers else { return Ok(()) };
        let audiences = [api::namespace_audience(namespace)];
        let caller = reviews.identify(auth::bearer(headers)?, &audiences).await?;
        let right = Right::to(Verb::List, "executions", namespace);
        reviews.check(&caller, std::slice::from_ref(&right)).await?;
        Ok(())
    }

    fn tell(&self, namespace: &str, asked: &Asked) -> Told {
        let Asked { id, source, trigger, limit } = asked;
        let reasons = id.is_some() || trigger.is_some();
        let most = if reasons { MAX_REASONED } else { MAX_LISTED };
        let most = limit.map_or(most, |limit| limit.min(most));
        let question = Question { namespace, id: id.as_deref(), source: source.as_deref(), most };
        let Found { records, more, since, forgotten } = self.inner.journal.find(&question);
        let mut reasoning =
            reasons.then(|| Reasoning::of(&self.inner.triggers, namespace, trigger.as_deref()));
        let decisions = records.iter().map(|record| decision(record, reasoning.as_mut())).collect();
        Told {
            sink: self.inner.options.name.clone(),
            decisions,
            more,
            since: since.map(|since| format!("{since:.3}")),
            forgotten,
        }
    }
}

fn decision(record: &Record, reasoning: Option<&mut Reasoning>) -> Decision {
    let Record { subject, namespace, job, received, revision: _, runs, answer } = record;
    // An event for a Job asks no Trigger, and what is no event could not.
    let (triggers, untold) = match (reasoning, subject, job) {
        (Some(reasoning), Subject::Event { event, data }, None) => {
            let kept = event.data().map(bytes::Bytes::len) == *data;
            let input = if kept { Input::new(event) } else { Input::without_data(event) };
            reasoning.verdicts(record, &input)
        }
        _ => (Vec::new(), 0),
    };
    Decision {
        event: subject.seen(),
        namespace: namespace.to_string(),
        job: job.as_ref().map(ToString::to_string),
        received: Some(format!("{received:.3}")),
        triggers,
        untold,
        runs: runs.clone(),
        answer: answer.clone(),
    }
}

/// The Triggers that are asked again, within a time.
struct Reasoning {
    triggers: Vec<Arc<LiveTrigger>>,
    until: Instant,
}

impl Reasoning {
    /// Asks all Triggers of the namespace, or the one of that name.
    fn of(triggers: &Triggers, namespace: &str, name: Option<&str>) -> Self {
        let triggers = match name {
            Some(name) => triggers.get(namespace, name).into_iter().collect(),
            None => triggers.all(namespace),
        };
        Self { triggers, until: Instant::now() + TIME }
    }

    /// What they say of that event, those that matched first if there are too many, and how many are not told.
    fn verdicts(&mut self, record: &Record, input: &Input<'_>) -> (Vec<Verdict>, usize) {
        let had =
            |trigger: &&Arc<LiveTrigger>| record.runs.iter().any(|run| run.triggers.contains(&trigger.name));
        let (yes, no): (Vec<_>, Vec<_>) = self.triggers.iter().partition(had);
        let yes = yes.into_iter().take(MAX_TRIGGERS).map(|trigger| (trigger, true));
        let no = no.into_iter().take(MAX_TRIGGERS).map(|trigger| (trigger, false));
        let mut verdicts = Vec::new();
        for (trigger, known) in yes.chain(no) {
            if Instant::now() > self.until {
                break;
            }
            let (verdict, changed) = (trigger.explain(input), !trigger.is_since(record.revision));
            // Whatever it would say now, what it said is known, but for the last of very many that matched.
            let passed = known || (!changed && verdict.matches);
            verdicts.push(Verdict { matches: passed, changed, ..verdict });
        }
        let untold = self.triggers.len() - verdicts.len();
        verdicts.sort_by(|one, other| one.trigger.cmp(&other.trigger));
        (verdicts, untold)
    }
}
