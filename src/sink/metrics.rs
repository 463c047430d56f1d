//! What the sink counts.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::answer::Refusal;
use super::deliver::Run;
use crate::ops::Outcome;

/// Upper bounds in seconds, from an API server on the same machine to the longest wait that a sender has patience for.
const LATENCY: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Counters of one sink.
#[derive(Debug)]
pub(super) struct Metrics {
    events: Family<EventLabels, Counter>,
    rejected: Family<RejectedLabels, Counter>,
    undecided: Counter,
    accepting: Histogram,
    waiting: Gauge,
    waits: Family<WaitLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: Answer,
}

/// What became of an event that was answered with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
enum Answer {
    /// It started at least one run.
    accepted,
    /// All its runs were there already.
    duplicate,
    /// Nothing matched it.
    unmatched,
    /// Runs of the Jobs that it would run led to it.
    looped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitLabels {
    end: Wait,
}

/// How the wait for the end of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
pub(super) enum Wait {
    /// The run has ended.
    ended,
    /// The time was up.
    timeout,
    /// The run was deleted.
    gone,
    /// Too many waited.
    full,
    /// This process is to end.
    shutdown,
}

impl Wait {
    const ALL: [Self; 5] = [Self::ended, Self::timeout, Self::gone, Self::full, Self::shutdown];
}

/// One who waits, until this is dropped.
pub(super) struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    reason: Reason,
}

/// Why a request was refused: [`Refusal`] without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
enum Reason {
    invalid,
    unsupported,
    too_large,
    method,
    unprocessable,
    unauthenticated,
    forbidden,
    not_found,
    overloaded,
    unavailable,
}

impl Reason {
    const ALL: [Self; 10] = [
        Self::invalid,
        Self::unsupported,
        Self::too_large,
        Self::method,
        Self::unprocessable,
        Self::unauthenticated,
        Self::forbidden,
        Self::not_found,
        Self::overloaded,
        Self::unavailable,
    ];
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Invalid(_) => Reason::invalid,
            Refusal::Unsupported(_) => Reason::unsupported,
            Refusal::TooLarge { .. } | Refusal::DataTooLarge(_) => Reason::too_large,
            Refusal::Method { .. } => Reason::method,
            // One that is a loop is answered with success, and counted among those.
            Refusal::Unprocessable(_) | Refusal::Loop(_) => Reason::unprocessable,
            Refusal::Unauthenticated(_) => Reason::unauthenticated,
            Refusal::Forbidden(_) => Reason::forbidden,
            Refusal::NotFound(_) => Reason::not_found,
            Refusal::Overloaded(_) => Reason::overloaded,
            Refusal::Unavailable(_) => Reason::unavailable,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            events: Family::default(),
            rejected: Family::default(),
            undecided: Counter::default(),
            accepting: Histogram::new(LATENCY),
            waiting: Gauge::default(),
            waits: Family::default(),
        };
        // What has not happened yet counts as zero, so that the first time shows as a rise.
        for outcome in [Answer::accepted, Answer::duplicate, Answer::unmatched, Answer::looped] {
            drop(metrics.events.get_or_create(&EventLabels { outcome }));
        }
        for end in Wait::ALL {
            drop(metrics.waits.get_or_create(&WaitLabels { end }));
        }
        for reason in Reason::ALL {
            drop(metrics.rejected.get_or_create(&RejectedLabels { reason }));
        }
        metrics
    }
}

impl Metrics {
    /// An event was taken after that time, and started those runs.
    pub(super) fn accepted(&self, runs: &[Run], took: Duration) {
        let outcome = if runs.is_empty() {
            Answer::unmatched
        } else if runs.iter().flat_map(|run| &run.started).any(|one| one.outcome == Outcome::Created) {
            Answer::accepted
        } else if runs.iter().all(|run| run.started.is_none()) {
            Answer::looped
        } else {
            Answer::duplicate
        };
        self.events.get_or_create(&EventLabels { outcome }).inc();
        self.accepting.observe(took.as_secs_f64());
    }

    /// A sender waits for the end of a run.
    pub(super) fn waits(&self) -> Waiting {
        self.waiting.inc();
        Waiting(self.waiting.clone())
    }

    /// A wait ended so. One whose sender has gone is not counted.
    pub(super) fn waited(&self, end: Wait) {
        self.waits.get_or_create(&WaitLabels { end }).inc();
    }

    /// An event was refused.
    pub(super) fn rejected(&self, refusal: &Refusal) {
        self.rejected.get_or_create(&RejectedLabels { reason: refusal.into() }).inc();
    }

    /// So many Triggers could not be asked about an event to the end.
    pub(super) fn undecided(&self, triggers: usize) {
        self.undecided.inc_by(u64::try_from(triggers).unwrap_or(u64::MAX));
    }

    /// Adds what is counted to what is told.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kakehi_events",
            "Events that were answered with success, by what became of them",
            self.events.clone(),
        );
        registry.register(
            "kakehi_events_rejected",
            "Requests with events that were refused, by reason",
            self.rejected.clone(),
        );
        registry.register(
            "kakehi_event_waiting",
            "Senders that wait for the end of a run",
            self.waiting.clone(),
        );
        registry.register(
            "kakehi_event_waits",
            "Waits of senders for the end of a run, by how they ended",
            self.waits.clone(),
        );
        registry.register(
            "kakehi_triggers_undecided",
            "Triggers whose filters took too long for an event, by which nobody knows whether they match it",
            self.undecided.clone(),
        );
        registry.register_with_unit(
            "kakehi_event_accept_duration",
            "Time from the head of a request to the answer that its event is stored",
            Unit::Seconds,
            self.accepting.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_from_the_beginning() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            // A new one has to be given a place here, and so in the list.
            let expected = match reason {
                Reason::invalid => 0,
                Reason::unsupported => 1,
                Reason::too_large => 2,
                Reason::method => 3,
                Reason::unprocessable => 4,
                Reason::unauthenticated => 5,
                Reason::forbidden => 6,
                Reason::not_found => 7,
                Reason::overloaded => 8,
                Reason::unavailable => 9,
            };
            assert_eq!(place, expected, "{reason:?}");
        }
        assert_eq!(Reason::ALL.len(), 10);
    }
}
