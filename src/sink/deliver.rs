//! From an event to its Executions: which Jobs it runs, and one create for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;

use super::Sink;
use super::answer::Refusal;
use super::answer::not_accepted;
use crate::event::Event;
use crate::event::TraceContext;
use crate::ops;
use crate::ops::Accepted;
use crate::ops::Outcome;
use crate::plan::Matched;
use crate::triggers::LiveTrigger;

/// Creates of one event at a time: enough that a fan-out is quick, few enough that one event is no flood.
const CONCURRENT_CREATES: usize = 4;

/// Events of one batch at a time, for the same reasons.
const CONCURRENT_EVENTS: usize = 4;

/// What a request brought.
#[derive(Debug)]
struct Delivery {
    event: Event,
    /// The trace of this hop.
    trace: Option<TraceContext>,
}

/// Why a run is created.
#[derive(Clone, Copy)]
struct Cause<'a> {
    /// The Trigger that matched.
    matched: Option<Matched<'a>>,
    /// The trace of the hop that brought the event.
    trace: Option<&'a TraceContext>,
}

/// What an event started.
#[derive(Debug)]
pub(super) struct Run {
    /// The Trigger that matched; none if the event was sent to the Job itself.
    pub(super) trigger: Option<String>,
    /// The Execution that stands for it.
    pub(super) execution: String,
    /// Whether this request created it.
    pub(super) outcome: Outcome,
}

impl Sink {
    /// Runs what each event of a request asks for: its runs, in the order of the events.
    ///
    /// For its sender a batch is one thing: all of it is stored, or it is not a success. As with the Triggers of one event,
    /// what can be created is, and the gravest failure is the answer; but once something fails that may succeed in a
    /// moment, the rest is left to the next time.
    pub(super) async fn deliver(
        &self,
        (namespace, job): (&str, Option<&str>),
        events: Vec<Event>,
        trace: Option<&TraceContext>,
    ) -> Result<Vec<Vec<Run>>, Refusal> {
        let batch = events.len() > 1;
        let mut results = stream::iter(events.into_iter().enumerate())
            .map(|(index, event)| async move {
                let delivery = Delivery { event, trace: trace.cloned() };
                let result = match job {
                    Some(job) => self.run(namespace, job, &delivery).await.map(|run| vec![run]),
                    None => self.run_matching(namespace, &delivery).await,
                };
                result.map_err(|refusal| if batch { refusal.of_event(index + 1) } else { refusal })
            })
            .buffered(CONCURRENT_EVENTS)
            .boxed();
        let (mut started, mut gravest) = (Vec::new(), None);
        while let Some(result) = results.next().await {
            match result {
                Ok(runs) => started.push(runs),
                Err(refusal) => {
                    let passes = refusal.passes();
                    gravest = gravest.max(Some(refusal));
                    if passes {
                        break;
                    }
                }
            }
        }
        gravest.map_or(Ok(started), Err)
    }

    /// Runs the Job that the event was sent to.
    async fn run(&self, namespace: &str, job: &str, delivery: &Delivery) -> Result<Run, Refusal> {
        let Delivery { event, trace } = delivery;
        let cause = Cause { matched: None, trace: trace.as_ref() };
        let Accepted { execution, outcome } = self.create(namespace, job, event, cause).await?;
        Ok(Run { trigger: None, execution, outcome })
    }

    /// Runs the Jobs of the Triggers that match.
    ///
    /// Everything that can be created is, whatever becomes of the rest; then the gravest failure is the answer, so that
    /// a sender that tries again completes what is missing, and what is there is a duplicate.
    async fn run_matching(&self, namespace: &str, delivery: &Delivery) -> Result<Vec<Run>, Refusal> {
        let Delivery { event, trace } = delivery;
        // By Job: an event runs a Job once, however many Triggers say so. The first by name has its parameters computed.
        let mut jobs: BTreeMap<String, Vec<Arc<LiveTrigger>>> = BTreeMap::new();
        for trigger in self.inner.triggers.matching(namespace, event)? {
            jobs.entry(trigger.job.clone()).or_default().push(trigger);
        }
        if jobs.is_empty() && !self.inner.triggers.has_namespace(namespace).await? {
            return Err(Refusal::NotFound(format!("there is no namespace {namespace}")));
        }
        let created: Vec<_> = stream::iter(jobs)
            .map(|(job, triggers)| async move {
                let matched = triggers
                    .first()
                    .map(|first| Matched { trigger: &first.name, parameters: &first.parameters });
                let cause = Cause { matched, trace: trace.as_ref() };
                let accepted = self.create(namespace, &job, event, cause).await?;
                Ok::<_, Refusal>(runs(&accepted, &triggers))
            })
            .buffered(CONCURRENT_CREATES)
            .collect()
            .await;
        let mut started = Vec::new();
        let mut gravest = None;
        for result in created {
            match result {
                Ok(runs) => started.extend(runs),
                Err(refusal) => gravest = gravest.max(Some(refusal)),
            }
        }
        started.sort_by(|one: &Run, other| one.trigger.cmp(&other.trigger));
        gravest.map_or(Ok(started), Err)
    }

    async fn create(
        &self,
        namespace: &str,
        name: &str,
        event: &Event,
        cause: Cause<'_>,
    ) -> Result<Accepted, Refusal> {
        let Cause { matched, trace } = cause;
        let Some(job) = self.inner.triggers.job(namespace, name).await? else {
            return Err(Refusal::NotFound(format!("there is no job {name} in namespace {namespace}")));
        };
        let planned = job.for_event(event, matched)?.in_trace(trace);
        let client = &self.inner.client;
        let refused = |error| not_accepted(error, name);
        match self.inner.triggers.queue(namespace, job.job()) {
            Ok(waiting) => {
                let accepted = ops::accept(client, &planned).await.map_err(refused)?;
                if accepted.outcome == Outcome::Created {
                    waiting.accepted();
                }
                Ok(accepted)
            }
            // Whoever repeats itself has its run already, and is told so.
            Err(limit) => ops::find(client, &planned)
                .await
                .map_err(refused)?
                .ok_or_else(|| refused(ops::Error::QueueFull { job: name.to_owned(), limit })),
        }
    }
}

/// One line per Trigger. The first one's create is the one that happened.
fn runs(accepted: &Accepted, triggers: &[Arc<LiveTrigger>]) -> Vec<Run> {
    let line = |(index, trigger): (usize, &Arc<LiveTrigger>)| Run {
        trigger: Some(trigger.name.clone()),
        execution: accepted.execution.clone(),
        outcome: if index == 0 { accepted.outcome } else { Outcome::Duplicate },
    };
    triggers.iter().enumerate().map(line).collect()
}
