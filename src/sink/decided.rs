//! What was decided about one event, and what is kept of it.

use std::sync::Arc;

use jiff::Timestamp;

use super::answer::Refusal;
use super::deliver::Run;
use super::journal::Record;
use super::journal::Subject;
use crate::api::ParameterValue;
use crate::explain;
use crate::explain::Answer;
use crate::ops::Accepted;
use crate::ops::Outcome;
use crate::triggers::LiveTrigger;

/// Most Triggers of one run that are kept by name.
pub(super) const MAX_NAMES: usize = 100;

/// What was decided about one event.
#[derive(Debug)]
pub(super) struct Decided {
    /// Each Job that was to run.
    pub(super) asked: Vec<Asked>,
    /// Why none was asked, or why others could not be.
    pub(super) refusal: Option<Refusal>,
}

/// A Job that was to run.
#[derive(Debug)]
pub(super) struct Asked {
    /// Its name.
    pub(super) job: String,
    /// The Triggers that wanted it; none if the event was sent to the Job itself.
    pub(super) triggers: Vec<Arc<LiveTrigger>>,
    /// What became of it.
    pub(super) result: Result<Ran, Refusal>,
}

/// A Job that was run, or had been for the same event.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) accepted: Accepted,
    /// What was computed from the event, as it is told.
    pub(super) parameters: Vec<ParameterValue>,
    /// Why it does not start yet.
    pub(super) waits: Option<String>,
    /// What becomes of it beside others.
    pub(super) places: Option<String>,
}

impl Decided {
    /// Those Jobs were asked; none if nothing matched.
    pub(super) fn about(asked: Vec<Asked>) -> Self {
        Self { asked, refusal: None }
    }

    /// It came to nothing before any Job was asked.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self { asked: Vec::new(), refusal: Some(refusal) }
    }

    /// What the sender is told: everything that was started, or the gravest failure.
    pub(super) fn answer(&self) -> Result<Vec<Run>, Refusal> {
        // That an event runs nothing because a run led to it is no failure: it would be sent again for nothing.
        let is_failure = |refusal: &&Refusal| !matches!(refusal, Refusal::Loop(_));
        let failed = self.asked.iter().filter_map(|asked| asked.result.as_ref().err()).filter(is_failure);
        if let Some(gravest) = failed.chain(&self.refusal).max() {
            return Err(gravest.clone());
        }
        let mut started: Vec<Run> = self.asked.iter().flat_map(Asked::started).collect();
        started.sort_by(|one, other| one.trigger.cmp(&other.trigger));
        Ok(started)
    }

    /// What is kept of it.
    pub(super) fn record(
        self,
        (namespace, job): (&str, Option<&str>),
        subject: Subject,
        received: Timestamp,
        revision: u64,
    ) -> Record {
        let answer = self.answer().map_or_else(|refusal| Answer::from(&refusal), |_| Answer::accepted());
        Record {
            subject,
            namespace: namespace.into(),
            job: job.map(Into::into),
            received,
            revision,
            runs: self.asked.into_iter().map(Asked::told).collect(),
            answer,
        }
    }
}

impl Asked {
    /// One line per Trigger. The first one's create is the one that happened.
    fn started(&self) -> Vec<Run> {
        let Self { job: _, triggers, result } = self;
        let accepted = match result {
            Ok(Ran { accepted, .. }) => Some(accepted),
            Err(Refusal::Loop(_)) => None,
            Err(_) => return Vec::new(),
        };
        let line = |trigger: Option<&String>, index: usize| Run {
            trigger: trigger.cloned(),
            started: accepted.map(|Accepted { execution, outcome }| Accepted {
                execution: execution.clone(),
                outcome: if index == 0 { *outcome } else { Outcome::Duplicate },
            }),
        };
        if triggers.is_empty() {
            return vec![line(None, 0)];
        }
        triggers.iter().enumerate().map(|(index, trigger)| line(Some(&trigger.name), index)).collect()
    }

    /// As it is told to whoever asks later.
    fn told(self) -> explain::Run {
        let Self { job, triggers, result } = self;
        let triggers = triggers.iter().take(MAX_NAMES).map(|trigger| trigger.name.clone()).collect();
        let refused = |refusal: Refusal| explain::Run {
            job: job.clone(),
            triggers: Vec::new(),
            outcome: explain::Outcome::Refused,
            execution: None,
            parameters: Vec::new(),
            waits: None,
            places: None,
            state: None,
            refusal: Some(Answer::from(&refusal)),
        };
        let ran = |Ran { accepted, parameters, waits, places }: Ran| explain::Run {
            job: job.clone(),
            triggers: Vec::new(),
            outcome: match accepted.outcome {
                Outcome::Created => explain::Outcome::Created,
                Outcome::Duplicate => explain::Outcome::Duplicate,
            },
            execution: Some(accepted.execution),
            parameters,
            waits,
            places,
            state: None,
            refusal: None,
        };
        explain::Run { triggers, ..result.map_or_else(refused, ran) }
    }
}
