//! Brings to their sinks the events that are due, several at a time: one that takes long holds up no other.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource as _};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::object::PingSource;
use super::request::Message;
use crate::api::FIELD_MANAGER;
use crate::sources::Clock;
use crate::sources::send::{Answer, Sender, attempts};

/// Events on their way at the same time. The last attempt comes after three seconds, so 64 are enough for twenty
/// schedules of every second whose sinks are all away.
const AT_ONCE: usize = 64;
/// Characters of a note; an API server refuses 1 kB.
const NOTE: usize = 300;

/// An event that is due.
#[derive(Debug)]
pub(in crate::sources) struct Tick {
    pub(super) source: PingSource,
    pub(super) sink: Uri,
    pub(super) due: Timestamp,
}

/// Sends what is due until no source is left that has anything sent. After `shutdown` what is on its way has `finish`
/// to arrive.
pub(in crate::sources) async fn deliver_all(
    client: Client,
    clock: Clock,
    mut due: mpsc::Receiver<Tick>,
    finish: Duration,
    shutdown: &CancellationToken,
) {
    // Reading the certificates of this machine takes some milliseconds of its disk.
    let Ok(sender) = tokio::task::spawn_blocking(Sender::new).await else { return };
    let (tasks, places, abandoned) =
        (TaskTracker::new(), Arc::new(Semaphore::new(AT_ONCE)), CancellationToken::new());
    while let Some(tick) = due.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (client, sender, abandoned) = (client.clone(), sender.clone(), abandoned.clone());
        tasks.spawn(async move {
            abandoned.run_until_cancelled(deliver(&client, clock, &sender, &tick)).await;
            drop(place);
        });
    }
    debug_assert!(shutdown.is_cancelled(), "sources end at shutdown only");
    tasks.close();
    if tokio::time::timeout(finish, tasks.wait()).await.is_err() {
        abandoned.cancel();
        tasks.wait().await;
    }
}

/// Sends one event, and tells if nobody takes it.
async fn deliver(client: &Client, clock: Clock, sender: &Sender, tick: &Tick) {
    let Tick { source, sink, due } = tick;
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    let (namespace, name) = (of(&source.metadata.namespace), of(&source.metadata.name));
    let id = Uuid::new_v4();
    let message = Message::new(&source.spec, (&namespace, &name), id, clock());
    let (answer, count) = attempts(|| sender.send(message.to(sink))).await;
    if answer.is_yes() {
        tracing::debug!(namespace, source = name, %id, %due, count, "an event was sent");
        return;
    }
    tracing::warn!(namespace, source = name, %id, %due, %sink, attempts = count, %answer, "an event is lost");
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let event = lost(source, &note(*due, sink, &answer, count), clock());
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "an event was not recorded");
    }
}

fn note(due: Timestamp, sink: &Uri, answer: &Answer, count: usize) -> String {
    let times = if count == 1 { "one attempt".to_owned() } else { format!("{count} attempts") };
    let note = format!("the event of {due} is lost: {sink} did not take it in {times}; {answer}");
    note.chars().take(NOTE).collect()
}

/// What `kubectl describe` shows of it.
fn lost(source: &PingSource, note: &str, now: Timestamp) -> Event {
    let regarding = source.object_ref(&());
    let name = regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            namespace: regarding.namespace.clone(),
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some("Warning".to_owned()),
        reason: Some("EventLost".to_owned()),
        note: Some(note.to_owned()),
        action: Some("Send".to_owned()),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        regarding: Some(regarding),
        ..Event::default()
    }
}
