//! The v1 API of Cloud Run, as far as `gcloud run jobs` uses it: the objects of a namespace in the form of Kubernetes.
//!
//! | file | what stands there |
//! |---|---|
//! | `call` | method and path → what is asked for |
//! | `shape` | the messages as JSON |
//! | `read`, `show` | messages ⇄ our objects; pure |
//! | `labels` | labels that are made, not stored; selectors |
//! | `jobs`, `executions`, `tasks` | what is asked for, done |
//! | `beside` | what `gcloud` asks of Google's other services |
//! | `logs`, `filter` | the lines of tasks, in the form of Cloud Logging |
//!
//! It is the same API as v2 in other words: etags, deletion and cancelling are v2's own methods. What differs:
//!
//! - `:run` is sent again after a lost answer, without any key; the id of the command that `gcloud` puts into its user
//!   agent makes all of these one run.
//! - Deleting a Job deletes its Executions, running ones too: `gcloud` promises that when it asks.

mod beside;
mod call;
mod executions;
mod filter;
mod jobs;
mod labels;
mod logs;
mod read;
mod shape;
mod show;
mod tasks;

use axum::Router;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Path, Query, Request};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use serde::Deserialize;
use serde_json::json;

use super::CloudRun;
use super::fault::Fault;
use super::grpc::PATIENCE;
use super::names::Place;
use super::rest::{self, MAX_BODY, answer, in_time};
use call::Call;
use labels::Selector;

/// The location of objects whose reader did not say where it looks for them.
pub(super) const LOCATION: &str = "local";

/// The routes of this API.
pub(super) fn router(api: &CloudRun) -> Router {
    Router::new()
        .route("/apis/run.googleapis.com/v1/namespaces/{namespace}/{*path}", any(serve))
        .merge(beside::routes())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api.clone())
}

/// What of a query is read.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Asked {
    label_selector: String,
    limit: Option<i32>,
    #[serde(rename = "continue")]
    token: String,
    dry_run: String,
}

/// A list that is asked for.
struct Listing {
    selector: Selector,
    limit: Option<i32>,
    token: String,
}

/// What a request brings besides what it asks for.
struct Sent {
    head: Head,
    body: Result<Bytes, BytesRejection>,
}

/// The part before the body.
struct Head {
    place: Place,
    asked: Asked,
    user_agent: String,
}

async fn serve(api: CloudRun, Path((namespace, path)): Path<(String, String)>, request: Request) -> Response {
    match head(&namespace, &path, &request) {
        Ok((call, head)) => {
            let method = call.method();
            let call = async {
                let body = Bytes::from_request(request, &()).await;
                api.v1(call, Sent { head, body }).await
            };
            method.at(in_time(PATIENCE, Box::pin(call)).await)
        }
        Err(fault) => answer::<()>(Err(fault)),
    }
}

fn head(namespace: &str, path: &str, request: &Request) -> Result<(Call, Head), Fault> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // A proxy is asked for a whole URL; there the host stands in that.
    let host = request.uri().authority().map_or_else(|| header(HOST), |authority| authority.as_str());
    let region = call::region(host, LOCATION);
    let place = Place::parse("namespace", &format!("projects/{namespace}/locations/{region}"))?;
    let query = Query::try_from_uri(request.uri());
    let Query(asked) = query.map_err(|rejection| Fault::invalid_field("", rejection.body_text()))?;
    let call = Call::parse(request.method(), path)?;
    Ok((call, Head { place, asked, user_agent: header(USER_AGENT).to_owned() }))
}

impl CloudRun {
    async fn v1(&self, call: Call, sent: Sent) -> Response {
        let Sent { head: Head { place, asked, user_agent }, body } = sent;
        let place = &place;
        if let Err(fault) = self.allow(&call.needs(place)).await {
            return answer::<()>(Err(fault));
        }
        let Asked { label_selector, limit, token, dry_run } = asked;
        let dry_run = !dry_run.is_empty();
        let listing = || Ok(Listing { selector: Selector::parse(&label_selector)?, limit, token });
        let gone = |done: Result<(), Fault>| {
            answer(done.map(|()| json!({"apiVersion": "v1", "kind": "Status", "status": "Success"})))
        };
        match call {
            Call::ListJobs => {
                answer(with(listing(), async |listing| self.v1_jobs(place, listing).await).await)
            }
            Call::CreateJob => {
                let made = with(rest::body(body), async |job| self.v1_create(place, job, dry_run).await);
                answer(made.await)
            }
            Call::GetJob(name) => answer(self.v1_job(place, &name).await),
            Call::ReplaceJob(name) => {
                let done =
                    with(rest::body(body), async |job| self.v1_replace(place, &name, job, dry_run).await);
                answer(done.await)
            }
            Call::DeleteJob(name) => gone(self.v1_delete_job(place, &name, dry_run).await),
            Call::RunJob(name) => {
                let nonce = call::invocation(&user_agent);
                let begun =
                    with(rest::body(body), async |asked| self.v1_run(place, &name, asked, nonce).await);
                answer(begun.await)
            }
            Call::ListExecutions => {
                let found = with(listing(), async |listing| self.v1_executions(place, listing).await);
                answer(found.await)
            }
            Call::GetExecution(name) => answer(self.v1_execution(place, &name).await),
            Call::CancelExecution(name) => answer(self.v1_cancel(place, &name).await),
            Call::DeleteExecution(name) => gone(self.v1_delete_execution(place, &name, dry_run).await),
            Call::ListTasks => {
                answer(with(listing(), async |listing| self.v1_tasks(place, listing).await).await)
            }
            Call::GetTask(name) => answer(self.v1_task(place, &name).await),
        }
    }
}

/// Goes on with what was read.
async fn with<A, T>(
    read: Result<A, Fault>,
    next: impl AsyncFnOnce(A) -> Result<T, Fault>,
) -> Result<T, Fault> {
    next(read?).await
}
