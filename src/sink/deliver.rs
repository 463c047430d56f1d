//! From an event to its Executions: which Jobs it runs, and one create for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;

use super::Sink;
use super::answer::Refusal;
use super::answer::not_accepted;
use super::decided::Asked;
use super::decided::Decided;
use super::decided::Ran;
use super::journal::Subject;
use crate::api::Job;
use crate::cel::Input;
use crate::cel::MAX_EVENT_STEPS;
use crate::event::Event;
use crate::event::TraceContext;
use crate::explain;
use crate::explain::Trail;
use crate::filter::Matches;
use crate::ops;
use crate::ops::Accepted;
use crate::ops::Outcome;
use crate::plan::Matched;
use crate::plan::Planned;
use crate::triggers::LiveTrigger;

/// Creates of one event at a time: enough that a fan-out is quick, few enough that one event is no flood.
const CONCURRENT_CREATES: usize = 4;

/// Events of one batch at a time, for the same reasons.
const CONCURRENT_EVENTS: usize = 4;

/// Triggers of one run that are explained in its Execution; there is room for about as many.
const MAX_EXPLAINED: usize = 8;

/// What a request brought.
#[derive(Debug)]
struct Delivery {
    event: Event,
    /// The trace of this hop.
    trace: Option<TraceContext>,
    received: Timestamp,
}

/// What an event started.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// The Trigger that matched; none if the event was sent to the Job itself.
    pub(super) trigger: Option<String>,
    /// The Execution that stands for it, and whether this request created it; none if a run of the Job led to the event.
    pub(super) started: Option<Accepted>,
}

impl Sink {
    /// Runs what each event of a request asks for: its runs, in the order of the events. What is decided about each event
    /// is kept.
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
                let delivery = Delivery { event, trace: trace.cloned(), received: Timestamp::now() };
                let revision = self.inner.triggers.revision();
                let decided = match job {
                    Some(job) => Decided::about(vec![self.ask(namespace, job, Vec::new(), &delivery).await]),
                    None => self.ask_matching(namespace, &delivery).await,
                };
                let answer = decided.answer();
                let Delivery { event, trace: _, received } = delivery;
                self.inner.journal.keep(decided.record(
                    (namespace, job),
                    Subject::event(event),
                    received,
                    revision,
                ));
                answer.map_err(|refusal| if batch { refusal.of_event(index + 1) } else { refusal })
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

    /// Runs the Jobs of the Triggers that match.
    ///
    /// Everything that can be created is, whatever becomes of the rest; then the gravest failure is the answer, so that
    /// a sender that tries again completes what is missing, and what is there is a duplicate.
    ///
    /// Triggers of which nobody can say in time whether they match are a failure of the event, not of the moment: a sender
    /// that is told 4xx keeps it for people to look at, and nobody asks the same again.
    async fn ask_matching(&self, namespace: &str, delivery: &Delivery) -> Decided {
        let Matches { passed, undecided } = match self.inner.triggers.matching(namespace, &delivery.event) {
            Ok(matching) => matching,
            Err(error) => return Decided::refused(error.into()),
        };
        self.inner.metrics.undecided(undecided.len());
        let dear = too_dear(&undecided);
        if passed.is_empty() && dear.is_none() {
            return match self.inner.triggers.has_namespace(namespace).await {
                Ok(true) => Decided::about(Vec::new()),
                Ok(false) => {
                    Decided::refused(Refusal::NotFound(format!("there is no namespace {namespace}")))
                }
                Err(error) => Decided::refused(error.into()),
            };
        }
        let asked = stream::iter(by_job(passed))
            .map(|(job, triggers)| async move { self.ask(namespace, &job, triggers, delivery).await })
            .buffered(CONCURRENT_CREATES)
            .collect()
            .await;
        Decided { refusal: dear, ..Decided::about(asked) }
    }

    /// Runs a Job, which those Triggers want; none if the event was sent to the Job itself.
    async fn ask(
        &self,
        namespace: &str,
        job: &str,
        triggers: Vec<Arc<LiveTrigger>>,
        delivery: &Delivery,
    ) -> Asked {
        let result = self.create(namespace, job, &triggers, delivery).await;
        Asked { job: job.to_owned(), triggers, result }
    }

    async fn create(
        &self,
        namespace: &str,
        name: &str,
        triggers: &[Arc<LiveTrigger>],
        delivery: &Delivery,
    ) -> Result<Ran, Refusal> {
        let Delivery { event, trace, received: _ } = delivery;
        let job = self.inner.triggers.job(namespace, name).await?.ok_or_else(|| no_job(name, namespace))?;
        let planned = job.for_event(event, decisive(triggers))?.in_trace(trace.as_ref());
        let parameters = explain::parameters(planned.parameters());
        let places = explain::places(job.job(), planned.concurrency_key());
        let planned = planned.noted(self.trail(triggers, delivery).to_json());
        let accepted = self.accept(namespace, job.job(), &planned).await?;
        Ok(Ran { accepted, parameters, waits: explain::waits(job.job()), places })
    }

    /// Stores a run, unless too many of its Job wait already.
    async fn accept(&self, namespace: &str, job: &Job, planned: &Planned) -> Result<Accepted, Refusal> {
        let client = &self.inner.client;
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let refused = |error| not_accepted(error, name);
        match self.inner.triggers.queue(namespace, job) {
            Ok(waiting) => {
                let accepted = ops::accept(client, planned).await.map_err(refused)?;
                if accepted.outcome == Outcome::Created {
                    waiting.accepted();
                }
                Ok(accepted)
            }
            // Whoever repeats itself has its run already, and is told so.
            Err(limit) => ops::find(client, planned)
                .await
                .map_err(refused)?
                .ok_or_else(|| refused(ops::Error::QueueFull { job: name.to_owned(), limit })),
        }
    }

    /// How the run came about.
    fn trail(&self, triggers: &[Arc<LiveTrigger>], delivery: &Delivery) -> Trail {
        let Delivery { event, trace: _, received } = delivery;
        let trail = Trail::new(format!("{received:.3}"), self.inner.options.name.as_deref());
        let input = Input::new(event);
        let told = triggers.iter().enumerate().map(|(index, trigger)| {
            if index < MAX_EXPLAINED { trigger.explain(&input) } else { trigger.matched() }
        });
        // That it is about one Job is known.
        trail.matched(told.map(|verdict| explain::Verdict { job: String::new(), ..verdict }))
    }
}

/// The Triggers that match, by Job: an event runs a Job once, however many Triggers say so.
pub(super) fn by_job(matching: Vec<Arc<LiveTrigger>>) -> BTreeMap<String, Vec<Arc<LiveTrigger>>> {
    let mut jobs: BTreeMap<String, Vec<Arc<LiveTrigger>>> = BTreeMap::new();
    for trigger in matching {
        jobs.entry(trigger.job.clone()).or_default().push(trigger);
    }
    jobs
}

/// Of several Triggers of one Job the first by name has its parameters computed.
pub(super) fn decisive(triggers: &[Arc<LiveTrigger>]) -> Option<Matched<'_>> {
    triggers.first().map(|first| Matched { trigger: &first.name, parameters: &first.parameters })
}

/// There is no such Job.
pub(super) fn no_job(name: &str, namespace: &str) -> Refusal {
    Refusal::NotFound(format!("there is no job {name} in namespace {namespace}"))
}

/// Why the event cannot be taken on behalf of Triggers that could not be asked to the end, if there are any.
fn too_dear(undecided: &[Arc<LiveTrigger>]) -> Option<Refusal> {
    let first = undecided.first()?;
    let more = match undecided.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    tracing::warn!(
        trigger = first.name,
        undecided = undecided.len(),
        "an event is too much for the filters of triggers"
    );
    Some(Refusal::Unprocessable(format!(
        "whether trigger {}{more} matches cannot be told: all filters together may take {MAX_EVENT_STEPS} steps for an event",
        first.name
    )))
}
