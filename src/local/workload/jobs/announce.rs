//! Kubernetes Events about Jobs. Best effort: they tell people what happened, and nothing waits for them.

use crate::local::workload::jobs::decide::Announcement;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::core::v1::EventSource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::Client;
use kube::Resource;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::api::PostParams;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Events that wait to be written; further ones are dropped. As many as the event broadcaster of Kubernetes holds.
const WAITING: usize = 1000;
/// Events written at a time: they must not crowd out the Jobs themselves.
const WRITERS: usize = 4;
/// What the Events say they come from, as in a cluster.
const COMPONENT: &str = "job-controller";

/// Where to leave Events; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Announcer(mpsc::Sender<Event>);

/// The Events and who writes them.
pub(super) fn announcer() -> (Announcer, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Announcer(sender), receiver)
}

impl Announcer {
    /// Leaves an Event about the Job; drops it if too many wait.
    pub(super) fn announce(&self, job: &Job, announcement: Announcement, now: Timestamp) {
        if let Err(error) = self.0.try_send(event(job, announcement, now)) {
            debug!(error = %error, "event dropped");
        }
    }
}

fn event(job: &Job, announcement: Announcement, now: Timestamp) -> Event {
    let Announcement { warning, reason, message } = announcement;
    let name = format!("{}.{:x}", job.name_any(), now.as_nanosecond());
    Event {
        metadata: ObjectMeta { name: Some(name), namespace: job.namespace(), ..ObjectMeta::default() },
        involved_object: job.object_ref(&()),
        reason: Some(reason),
        message: Some(message),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource { component: Some(COMPONENT.to_owned()), host: None }),
        reporting_component: Some(COMPONENT.to_owned()),
        ..Event::default()
    }
}

/// Writes Events until the end.
pub(super) async fn write(client: &Client, events: mpsc::Receiver<Event>, shutdown: &CancellationToken) {
    let write = |event: Event| async move {
        let namespace = event.namespace().unwrap_or_default();
        let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
        if let Err(error) = events.create(&PostParams::default(), &event).await {
            debug!(error = %error, "event not written");
        }
    };
    let all = ReceiverStream::new(events).for_each_concurrent(WRITERS, write);
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = all => {}
    }
}
