//! What a PingSource says of itself: Knative's conditions, in its words.

use http::Uri;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::object::{CeAttributes, PingSource, PingSourceStatus, SourceCondition};
use super::request;
use crate::sources::send::chain;

/// What is known of a source.
pub(super) struct Known<'a> {
    /// Why its schedule cannot be read, if it cannot.
    pub(super) unreadable: Option<&'a crate::schedule::Error>,
    /// Where its events go, or why they go nowhere.
    pub(super) sink: Result<&'a Uri, &'a (dyn std::error::Error + 'static)>,
    pub(super) next: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

/// A condition without its time.
struct Said {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

fn said(kind: &'static str, status: &'static str, reason: &str, message: String) -> Said {
    Said { kind, status, reason: reason.to_owned(), message }
}

/// The status that follows.
pub(super) fn status(source: &PingSource, known: &Known<'_>, now: Timestamp) -> PingSourceStatus {
    let Known { unreadable, sink, next, last } = known;
    let provided = match sink {
        Ok(_) => said("SinkProvided", "True", "", String::new()),
        // Knative leaves the message empty.
        Err(error) => said("SinkProvided", "False", "NotFound", chain(*error)),
    };
    let deployed = match unreadable {
        None => said("Deployed", "True", "", String::new()),
        Some(error) => said("Deployed", "False", "InvalidSchedule", error.to_string()),
    };
    let oidc = said("OIDCIdentityCreated", "True", "authentication-oidc feature disabled", String::new());
    let wrong = [&provided, &deployed].into_iter().find(|condition| condition.status == "False");
    let ready = match wrong {
        None => said("Ready", "True", "", String::new()),
        Some(Said { kind: _, status: _, reason, message }) => said("Ready", "False", reason, message.clone()),
    };
    let before = source.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let metadata = &source.metadata;
    let of = |text: &Option<String>| text.clone().unwrap_or_default();
    PingSourceStatus {
        observed_generation: metadata.generation,
        conditions: [deployed, oidc, ready, provided].map(|said| dated(said, before, now)).into(),
        sink_uri: sink.as_ref().ok().map(ToString::to_string),
        ce_attributes: sink.is_ok().then(|| {
            let source = request::source(&of(&metadata.namespace), &of(&metadata.name));
            vec![CeAttributes { kind: request::TYPE.to_owned(), source }]
        }),
        next_schedule_time: next.filter(|_| sink.is_ok()).map(Time),
        last_schedule_time: last.map(Time),
    }
}

/// With the time at which its status was last another.
fn dated(said: Said, before: &[SourceCondition], now: Timestamp) -> SourceCondition {
    let Said { kind, status, reason, message } = said;
    let old = before.iter().find(|old| old.kind == kind && old.status == status);
    let since = old.and_then(|old| old.last_transition_time.clone()).unwrap_or(Time(now));
    SourceCondition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(since),
        reason,
        message,
    }
}
