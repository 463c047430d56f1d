//! Reports what became of a run as a Kubernetes Event, which `kubectl describe` and `kubectl get events` show.
//!
//! One plain create each, and nothing is remembered: a run says each thing once, so there is no series to be counted,
//! and what was said of 100,000 runs is the API server's to keep.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Resource as _};

use super::world::key;
use crate::api::{Execution, FIELD_MANAGER};
use crate::plan::Notice;

/// Bytes of a note: one of more than 1 kB is refused (`events.k8s.io/v1`).
const NOTE: usize = 1000;

/// Reports a transition. A report that is lost costs nothing but itself.
pub(super) async fn report(client: &Client, execution: &Execution, notice: Notice, now: Timestamp) {
    let (namespace, name) = key(&execution.metadata);
    tracing::info!(namespace, execution = name, reason = notice.reason, message = notice.message, "run");
    let events: Api<Event> = Api::namespaced(client.clone(), &namespace);
    let event = event(execution.object_ref(&()), notice, now);
    if let Err(error) = events.create(&PostParams::default(), &event).await {
        tracing::debug!(
            execution = name,
            error = &error as &dyn std::error::Error,
            "an event was not recorded"
        );
    }
}

fn event(regarding: ObjectReference, notice: Notice, now: Timestamp) -> Event {
    let Notice { warning, reason, message } = notice;
    let name = regarding.name.as_deref().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            namespace: regarding.namespace.clone(),
            // As client-go names them: what it is about, and when.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(reason.to_owned()),
        note: Some(shortened(message)),
        action: Some("Run".to_owned()),
        reporting_controller: Some(FIELD_MANAGER.to_owned()),
        reporting_instance: Some(FIELD_MANAGER.to_owned()),
        regarding: Some(regarding),
        ..Event::default()
    }
}

/// A note that is taken; one that is cut says so.
fn shortened(mut message: String) -> String {
    if message.len() <= NOTE {
        return message;
    }
    let end = (0..=NOTE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
    message.truncate(end);
    message.push('…');
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(message: &str) -> Notice {
        Notice { warning: true, reason: "NonZeroExitCode", message: message.to_owned() }
    }

    #[test]
    fn a_report_names_the_run_the_reason_and_the_time() {
        let regarding = ObjectReference {
            kind: Some("Execution".to_owned()),
            name: Some("resize-abc".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectReference::default()
        };
        let now = Timestamp::from_nanosecond(0x1234).unwrap();
        let event = event(regarding.clone(), notice("task 0 exited with 3"), now);
        assert_eq!(event.metadata.name.as_deref(), Some("resize-abc.1234"));
        assert_eq!(event.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(event.regarding, Some(regarding));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        assert_eq!(event.reason.as_deref(), Some("NonZeroExitCode"));
        assert_eq!(event.note.as_deref(), Some("task 0 exited with 3"));
        assert_eq!(event.event_time, Some(MicroTime(now)));
    }

    #[test]
    fn a_note_is_never_longer_than_the_api_server_takes() {
        for message in ["筧".repeat(2000), "x".repeat(2000), "🎋".repeat(NOTE)] {
            let cut = shortened(message);
            assert!((990..=1024).contains(&cut.len()), "{} bytes", cut.len());
        }
        assert_eq!(shortened("short".to_owned()), "short");
    }
}
