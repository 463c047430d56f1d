//! One PingSource: waits until its schedule is due, and has an event sent.
//!
//! What is next is asked of the clock when the last one came, and kept until the clock is there. So a clock that is put
//! forward brings one event, however many it has passed over; one that is put back brings none again; and a start makes up
//! for nothing. All of it is what robfig/cron does.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::delivery::Tick;
use super::object::{PingSource, PingSourceStatus};
use super::pings::Context;
use super::schedule;
use super::status::{Known, status};
use crate::api::FIELD_MANAGER;
use crate::schedule::Schedule;
use crate::sources::destination;

/// How often the clock is looked at: between two looks it may be set.
const LOOK: Duration = Duration::from_secs(1);
/// Pauses between looks for a sink that is not there; they double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How often the address of a sink is asked again: objects may get another one.
const AGAIN: Duration = Duration::from_secs(30);

/// A source at work.
pub(super) struct Source {
    object: PingSource,
    namespace: String,
    name: String,
    context: Arc<Context>,
    sink: Result<Uri, destination::Error>,
    next: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Source {
    pub(super) fn new(object: PingSource, context: Arc<Context>) -> Self {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let last = object.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
        let last = last.map(|time| time.0);
        // The first look comes before anything is told.
        let sink = Err(destination::Error::NoUrl { url: String::new() });
        Self { object, namespace, name, context, sink, next: None, last }
    }

    /// Works until dropped.
    pub(super) async fn run(mut self) {
        let schedule = match schedule(&self.object.spec) {
            Ok(schedule) => schedule,
            Err(error) => {
                // What was admitted is not readable any more: another edition of the time zones, perhaps.
                tracing::warn!(source = %self.shown(), error = &error as &dyn std::error::Error, "a schedule cannot be read");
                self.look().await;
                self.tell(Some(&error)).await;
                return std::future::pending().await;
            }
        };
        self.next = schedule.next((self.context.clock)());
        let (mut pause, mut look) = (FIRST_PAUSE, Instant::now());
        loop {
            if Instant::now() >= look {
                self.look().await;
                look = Instant::now() + if self.sink.is_ok() { AGAIN } else { pause };
                pause = self.longer(pause);
            }
            self.tick(&schedule);
            self.tell(None).await;
            let until = self.next.map(|next| next.duration_since((self.context.clock)()));
            let until = until.map_or(LOOK, |until| Duration::try_from(until).unwrap_or_default());
            sleep(until.min(LOOK).min(look.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// The pause after that one. A sink that is not there after some seconds is worth a word.
    fn longer(&self, pause: Duration) -> Duration {
        let Err(error) = &self.sink else { return FIRST_PAUSE };
        let longer = (pause * 2).min(LAST_PAUSE);
        if longer == LAST_PAUSE && pause < LAST_PAUSE {
            tracing::warn!(source = %self.shown(), error = error as &dyn std::error::Error, "a source waits for its sink");
        }
        longer
    }

    /// `shop/every-minute`, for messages.
    fn shown(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Looks where the events go.
    async fn look(&mut self) {
        let destination = self.object.spec.sink.clone().unwrap_or_default();
        let found = destination.resolve(&self.context.client, &self.namespace).await;
        if let (Err(error), true) = (&found, self.sink.is_ok()) {
            tracing::warn!(source = %self.shown(), error = error as &dyn std::error::Error, "events go nowhere");
        }
        // An API server that does not answer has not said that the address is another.
        if !matches!((&found, &self.sink), (Err(destination::Error::Unanswered { .. }), Ok(_))) {
            self.sink = found;
        }
    }

    /// Has the event sent if it is time.
    fn tick(&mut self, schedule: &Schedule) {
        let now = (self.context.clock)();
        let Some(due) = self.next.filter(|next| *next <= now) else { return };
        self.next = schedule.next(now);
        let Ok(sink) = &self.sink else { return };
        self.last = Some(due);
        let tick = Tick { source: self.object.clone(), sink: sink.clone(), due };
        if self.context.ticks.try_send(tick).is_err() {
            tracing::warn!(source = %self.shown(), %due, "too many events wait to be sent; this one is dropped");
        }
    }

    /// What is to be told now.
    fn status(&self, unreadable: Option<&crate::schedule::Error>) -> PingSourceStatus {
        let sink = self.sink.as_ref().map_err(|error| error as &(dyn std::error::Error + 'static));
        let known = Known { unreadable, sink, next: self.next, last: self.last };
        status(&self.object, &known, (self.context.clock)())
    }

    /// Writes the status if it says something new.
    async fn tell(&mut self, unreadable: Option<&crate::schedule::Error>) {
        let new = self.status(unreadable);
        if self.object.status.as_ref() == Some(&new) {
            return;
        }
        match self.write(&new).await {
            Ok(()) => self.object.status = Some(new),
            // It was deleted, and soon we shall know.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                tracing::warn!(source = %self.shown(), error = &error as &dyn std::error::Error, "a status was not written");
            }
        }
    }

    async fn write(&self, new: &PingSourceStatus) -> Result<(), kube::Error> {
        let api: Api<PingSource> = Api::namespaced(self.context.client.clone(), &self.namespace);
        let parameters =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        // Another object of the same name is not the one that this speaks of.
        let patch = json!({"metadata": {"uid": self.object.metadata.uid}, "status": new});
        api.patch_status(&self.name, &parameters, &Patch::Merge(patch)).await.map(drop)
    }
}
