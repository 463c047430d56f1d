//! What the controllers count.

use std::collections::HashMap;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::api::CompletionOutcome;
use crate::plan::{Answer, Phase};

/// Upper bounds in seconds: from a step that needs no request to one that waits for a slow API server.
const STEP: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// Counters of the controllers. Cheap to clone; what one clone counts, all tell.
#[derive(Debug, Clone)]
pub struct Metrics {
    steps: Family<ControllerLabels, Histogram, fn() -> Histogram>,
    errors: Family<ControllerLabels, Counter>,
    executions: Family<StateLabels, Gauge>,
    owed: Gauge,
    attempts: Family<AttemptLabels, Counter>,
    told: Family<OutcomeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: ControllerName,
}

/// The controllers, by what they look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
pub(super) enum ControllerName {
    executions,
    jobs,
    triggers,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    answer: Attempted,
}

/// What an attempt to tell the end of a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the variants are the labels' values, which are lower case")]
pub(super) enum Attempted {
    /// It was taken.
    accepted,
    /// It was not.
    refused,
    /// Nobody answered.
    silent,
    /// There is no such destination, or it is not allowed.
    nowhere,
}

impl Attempted {
    const ALL: [Self; 4] = [Self::accepted, Self::refused, Self::silent, Self::nowhere];

    pub(super) fn of(answer: Answer) -> Self {
        match answer {
            Answer::Status(200..=299, _) => Self::accepted,
            Answer::Status(..) => Self::refused,
            Answer::Silence => Self::silent,
            Answer::Nowhere => Self::nowhere,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

/// The word of a label.
fn word(outcome: CompletionOutcome) -> &'static str {
    match outcome {
        CompletionOutcome::Delivered => "delivered",
        CompletionOutcome::DeadLettered => "dead_lettered",
        CompletionOutcome::Failed => "failed",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    /// A word of [`Phase`].
    state: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            steps: Family::new_with_constructor(|| Histogram::new(STEP)),
            errors: Family::default(),
            executions: Family::default(),
            owed: Gauge::default(),
            attempts: Family::default(),
            told: Family::default(),
        };
        // What has not happened yet counts as zero, so that the first time shows as a rise.
        for answer in Attempted::ALL {
            drop(metrics.attempts.get_or_create(&AttemptLabels { answer }));
        }
        for outcome in
            [CompletionOutcome::Delivered, CompletionOutcome::DeadLettered, CompletionOutcome::Failed]
        {
            drop(metrics.told.get_or_create(&OutcomeLabels { outcome: word(outcome) }));
        }
        metrics
    }
}

impl Metrics {
    /// A step ended.
    pub(super) fn stepped(&self, controller: ControllerName, took: Duration, failed: bool) {
        let labels = ControllerLabels { controller };
        self.steps.get_or_create(&labels).observe(took.as_secs_f64());
        let errors = self.errors.get_or_create(&labels);
        if failed {
            errors.inc();
        }
    }

    /// There are so many Executions in each state. A state that is not named has none.
    pub(super) fn counted(&self, executions: &HashMap<Phase, i64>) {
        for phase in Phase::ALL {
            let count = executions.get(&phase).copied().unwrap_or(0);
            self.executions.get_or_create(&StateLabels { state: phase.as_str() }).set(count);
        }
    }

    /// So many ends are still to be told.
    pub(super) fn owed(&self, count: usize) {
        self.owed.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// The end of a run was tried to be told once.
    pub(super) fn attempted(&self, answer: Attempted) {
        self.attempts.get_or_create(&AttemptLabels { answer }).inc();
    }

    /// What became of the event of a run is settled.
    pub(super) fn told(&self, outcome: CompletionOutcome) {
        self.told.get_or_create(&OutcomeLabels { outcome: word(outcome) }).inc();
    }

    /// Nothing is known of Executions any more: these controllers have ended.
    pub(super) fn forgot(&self) {
        self.executions.clear();
        self.owed.set(0);
    }

    /// Adds what is counted to what is told.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "kakehi_reconcile_duration",
            "Time of one step of a controller",
            Unit::Seconds,
            self.steps.clone(),
        );
        registry.register(
            "kakehi_reconcile_errors",
            "Steps of a controller that failed and are repeated",
            self.errors.clone(),
        );
        registry.register(
            "kakehi_completions_owed",
            "Runs that have ended and whose end is still to be told to the sink of their Job",
            self.owed.clone(),
        );
        registry.register(
            "kakehi_completion_attempts",
            "Attempts to tell the end of a run, by what they came to",
            self.attempts.clone(),
        );
        registry.register(
            "kakehi_completions",
            "Ends of runs that were told, or given up",
            self.told.clone(),
        );
        registry.register(
            "kakehi_executions",
            "Executions that exist, by state; told by the process whose controllers lead",
            self.executions.clone(),
        );
    }
}
