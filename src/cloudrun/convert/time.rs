//! Times and spans.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp as Instant;
use prost_types::{Duration, Timestamp};

use super::Refusals;

/// A moment as the messages write it.
pub(in crate::cloudrun) fn timestamp(time: Instant) -> Timestamp {
    Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// The same of one that may not have come.
pub(super) fn of(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| timestamp(time.0))
}

/// Seconds as the messages write them.
pub(super) fn span(seconds: i64) -> Duration {
    Duration { seconds, nanos: 0 }
}

/// A span of whole seconds, at least one. What is not is refused.
pub(super) fn seconds(field: &str, span: Duration, refusals: &mut Refusals) -> Option<i64> {
    let Duration { seconds, nanos } = span;
    if nanos != 0 {
        refusals.add(field, "only whole seconds can be told");
        return None;
    }
    if seconds < 1 {
        refusals.add(field, "must be at least one second");
        return None;
    }
    Some(seconds)
}
