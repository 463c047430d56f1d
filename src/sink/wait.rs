//! Answers that tell the end of a run: 200 with it as an event, as a call of a function has it.
//!
//! A sender asks with `Prefer: wait=10`, or the Job wants it for senders that never ask (`spec.event.reply: Always`); a
//! Broker takes such an answer as an event of its own. A run that failed is told like one that succeeded: the call has
//! worked, and the event's type and its data say what came of it. Only a request that stands for a single run can wait.
//!
//! Whoever waits holds none of what events need to come in: his request counts no more, and his event is stored. Those
//! who wait are counted by themselves, and when they are as many as there may be the answer is the usual 202, at once. So it
//! is when the time is up, when the run is deleted, and when this process is to end.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header::LOCATION;
use axum::response::Response;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;

use super::Sink;
use super::access::job_of;
use super::ends::Waiter;
use super::metrics::Wait;
use crate::api::DEFAULT_REPLY_SECONDS;
use crate::api::MAX_WAIT_SECONDS;
use crate::api::Reply;
use crate::event::Event;
use crate::event::http::encode_binary;
use crate::plan;

/// Room that a request takes among all requests, until it is answered or waits.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Room {
    pub(super) fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// Makes room for others.
    pub(super) fn leave(&self) {
        drop(self.0.lock().take());
    }
}

impl Sink {
    /// The answer to a request that was taken: `started`, or the end of its run if that is waited for.
    pub(super) async fn answer(
        &self,
        (namespace, execution): (&str, Option<&str>),
        asked: Option<Duration>,
        room: Option<Room>,
        mut started: Response,
    ) -> Response {
        let Some(execution) = execution else { return started };
        let limit = match asked {
            Some(limit) => Some(limit),
            None => self.owes_reply(namespace, execution).await,
        };
        let Some(limit) = limit else { return started };
        let Some(mut waiter) = self.inner.ends.enter(namespace, execution) else {
            self.inner.metrics.waited(Wait::full);
            return started;
        };
        if let Some(room) = room {
            room.leave();
        }
        let applied = asked.and_then(|limit| HeaderValue::try_from(format!("wait={}", limit.as_secs())).ok());
        if let Some(value) = applied {
            started.headers_mut().append("preference-applied", value);
        }
        match self.wait(&mut waiter, limit).await {
            Some(event) => ended(&event, &started),
            None => started,
        }
    }

    /// The event that tells the end of the run, if it ends in time.
    async fn wait(&self, waiter: &mut Waiter, limit: Duration) -> Option<Event> {
        let _counted = self.inner.metrics.waits();
        let (end, run) = tokio::select! {
            run = waiter.end() => (if run.is_some() { Wait::ended } else { Wait::gone }, run),
            () = tokio::time::sleep(limit) => (Wait::timeout, None),
            () = self.inner.leaving.cancelled() => (Wait::shutdown, None),
        };
        self.inner.metrics.waited(end);
        plan::completion(run?.as_ref())
    }

    /// How long an answer waits that nobody asked for, if the Job of that run wants it.
    async fn owes_reply(&self, namespace: &str, execution: &str) -> Option<Duration> {
        let job = self.inner.triggers.job(namespace, job_of(execution)?).await.ok()??;
        let rules = job.job().spec.event.as_ref().filter(|rules| rules.reply == Reply::Always)?;
        let seconds = rules.reply_timeout_seconds.and_then(|seconds| u16::try_from(seconds).ok());
        Some(Duration::from_secs(seconds.unwrap_or(DEFAULT_REPLY_SECONDS).min(MAX_WAIT_SECONDS).into()))
    }
}

/// The answer 200 that tells the end of a run. Its address and what was heeded stand in the other one.
fn ended(event: &Event, started: &Response) -> Response {
    let (headers, body) = encode_binary(event);
    let mut response = Response::new(Body::from(body));
    response.headers_mut().extend(headers);
    for name in [LOCATION.as_str(), "preference-applied"] {
        // That the answer is a representation is not so: it is an event.
        let kept = started
            .headers()
            .get_all(name)
            .into_iter()
            .filter(|value| !value.as_bytes().starts_with(b"return"));
        for value in kept {
            if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                response.headers_mut().append(name, value.clone());
            }
        }
    }
    response
}
