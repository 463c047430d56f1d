//! What the links of runs and tasks lead to (`log_uri`): a page that says what a run is, and what its tasks wrote.
//!
//! It is for somebody who clicks on a link that a client has printed, so it is a page and no more: no script, no style, one
//! answer of bounded size. To see it takes what it takes to read the run and its logs, in the same way as over the rest of
//! this port. Whatever comes from a task or an event is text in it.

mod page;

use std::pin::pin;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use serde::Deserialize;

use super::CloudRun;
use super::access::of_log;
use super::fault::Fault;
use super::grpc::PATIENCE;
use super::metrics::Method;
use super::names::Place;
use super::rest::{answer, in_time};
use crate::ops::{self, LogOptions};
use crate::triggers::is_object_name;
use page::{Log, Story};

/// Where the pages are.
pub(super) const PATH: &str = "/console/";
/// Tasks that are listed; each has a page of its own, whatever its index.
const MOST_TASKS: i32 = 100;
/// Lines of one attempt: its last ones.
const TAIL: i64 = 500;
/// Lines of a page, and their bytes.
const MOST_LINES: usize = 5_000;
const MOST_BYTES: usize = 1024 * 1024;

/// The routes of the pages.
pub(super) fn router(api: &CloudRun) -> Router {
    Router::new()
        .route("/console/namespaces/{namespace}/executions/{execution}", get(show))
        .with_state(api.clone())
}

/// What of a query is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    /// Only this task.
    task: Option<u16>,
}

async fn show(
    api: CloudRun,
    Path((namespace, execution)): Path<(String, String)>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let call = async {
        let found = match query {
            Ok(Query(Asked { task })) => api.page(&namespace, &execution, task.map(i32::from)).await,
            Err(rejection) => Err(Fault::invalid_field("task", rejection.body_text())),
        };
        match found {
            Ok(page) => shown(page),
            Err(fault) => answer::<()>(Err(fault)),
        }
    };
    Method::show_page.at(in_time(PATIENCE, Box::pin(call)).await)
}

/// A page, for browsers that run, load and frame nothing of it.
fn shown(page: String) -> Response {
    let heads = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    (heads, page).into_response()
}

impl CloudRun {
    async fn page(&self, namespace: &str, name: &str, task: Option<i32>) -> Result<String, Fault> {
        let place = Place::parse("namespace", &format!("projects/{namespace}/locations/local"))?;
        if !is_object_name(name) {
            return Err(Fault::not_found("execution", name));
        }
        self.allow(&of_log(&place, name)).await?;
        let execution = self.live_execution_of_any(&place, name).await?;
        let wanted = task.map_or(0..MOST_TASKS, |task| task..task + 1);
        let tasks = self.tasks_of(&execution, wanted).await?;
        if task.is_some() && tasks.is_empty() {
            return Err(Fault::not_found("task", &format!("{name}-task{}", task.unwrap_or_default())));
        }
        let log = self.log(&place, name, task).await?;
        Ok(page::page(&Story { execution: &execution, task, tasks: &tasks, log: &log }))
    }

    async fn log(&self, place: &Place, name: &str, task: Option<i32>) -> Result<Log, Fault> {
        // A handful of readers at a time; each holds a bounded number of bytes.
        let _permit = self.log_readers.acquire().await.expect("nobody closes the semaphore");
        let options = LogOptions { follow: false, task, tail: Some(TAIL), timestamps: false };
        let mut lines = pin!(ops::logs(&self.client, &place.project, name, options).await?);
        let (mut log, mut bytes) = (Log::default(), 0);
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => {
                    bytes += line.text.len();
                    if log.lines.len() == MOST_LINES || bytes > MOST_BYTES {
                        log.is_cut = true;
                        break;
                    }
                    log.lines.push(line);
                }
                // The Pod is gone, and its log with it; what the others wrote is there.
                Err(ops::Error::NotFound { .. }) => {}
                Err(error) => log.missing.push(error.to_string()),
            }
        }
        Ok(log)
    }
}
