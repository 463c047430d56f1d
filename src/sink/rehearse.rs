//! What a sink would do with an event, without one: nothing is created.
//!
//! Triggers, Jobs and the event are given; what is asked of them, in which order, and what the answer would be is what
//! [`super::deliver`] does. What depends on the moment is left out: whether a queue is full, or the API server away.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::Refusal;
use super::decided::MAX_NAMES;
use super::deliver::by_job;
use super::deliver::decisive;
use super::deliver::no_job;
use crate::cel::Input;
use crate::event::Event;
use crate::explain;
use crate::explain::Answer;
use crate::explain::Decision;
use crate::explain::Outcome;
use crate::explain::Run;
use crate::explain::Seen;
use crate::explain::Verdict;
use crate::plan::Planned;
use crate::plan::Prepared;
use crate::triggers::LiveTrigger;

/// What is there.
#[derive(Debug)]
pub struct Stage {
    /// The namespace.
    pub namespace: String,
    /// Its Triggers, by name.
    pub triggers: Vec<Arc<LiveTrigger>>,
    /// Its Jobs, by name.
    pub jobs: BTreeMap<String, Prepared>,
}

/// What would happen.
#[derive(Debug)]
pub struct Rehearsal {
    /// What would be decided.
    pub decision: Decision,
    /// The runs that would be created.
    pub planned: Vec<Planned>,
}

impl Stage {
    /// What would become of an event that is sent to the namespace, or to a Job of it.
    pub fn rehearse(&self, event: &Event, job: Option<&str>) -> Rehearsal {
        let Self { namespace, triggers, jobs: _ } = self;
        let input = Input::new(event);
        let verdicts: Vec<Verdict> = match job {
            Some(_) => Vec::new(),
            None => triggers.iter().map(|trigger| trigger.explain(&input)).collect(),
        };
        let wanted = if let Some(job) = job {
            BTreeMap::from([(job.to_owned(), Vec::new())])
        } else {
            let matching = triggers.iter().zip(&verdicts).filter(|(_, verdict)| verdict.matches);
            by_job(matching.map(|(trigger, _)| trigger.clone()).collect())
        };
        let (mut runs, mut planned, mut gravest) = (Vec::new(), Vec::new(), None);
        for (job, triggers) in wanted {
            let names = triggers.iter().take(MAX_NAMES).map(|trigger| trigger.name.clone()).collect();
            let run = match self.ask(&job, &triggers, event) {
                Ok((run, plan)) => {
                    planned.push(plan);
                    run
                }
                Err(refusal) => {
                    let answer = Some(Answer::from(&refusal));
                    if !matches!(refusal, Refusal::Loop(_)) {
                        gravest = gravest.max(Some(refusal));
                    }
                    Run { refusal: answer, ..empty(Outcome::Refused) }
                }
            };
            runs.push(Run { job, triggers: names, ..run });
        }
        let decision = Decision {
            event: Seen::of(event),
            namespace: namespace.clone(),
            job: job.map(str::to_owned),
            received: None,
            triggers: verdicts,
            untold: 0,
            runs,
            answer: gravest.as_ref().map_or_else(Answer::accepted, Answer::from),
        };
        Rehearsal { decision, planned }
    }

    fn ask(
        &self,
        name: &str,
        triggers: &[Arc<LiveTrigger>],
        event: &Event,
    ) -> Result<(Run, Planned), Refusal> {
        let job = self.jobs.get(name).ok_or_else(|| no_job(name, &self.namespace))?;
        let planned = job.for_event(event, decisive(triggers))?;
        let run = Run {
            execution: planned.names().first().cloned(),
            parameters: explain::parameters(planned.parameters()),
            waits: explain::waits(job.job()),
            places: explain::places(job.job(), planned.concurrency_key()),
            ..empty(Outcome::Planned)
        };
        Ok((run, planned))
    }
}

fn empty(outcome: Outcome) -> Run {
    Run {
        job: String::new(),
        triggers: Vec::new(),
        outcome,
        execution: None,
        parameters: Vec::new(),
        waits: None,
        places: None,
        state: None,
        refusal: None,
    }
}
