//! Tells the ends of runs to whom their Jobs name: the only thing that the controllers say to others than the API server.
//!
//! Level-triggered like everything here: a run that has ended and whose status does not say what became of its event is
//! owed one, whoever has seen it end and when. It is looked at anew for every attempt; what is remembered between attempts
//! is how many there were. One write settles it, so an event is sent again only if this process ends in between: at least
//! once, each time with the same id. Until then the run is kept.

mod address;
mod lanes;
mod post;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::StreamExt as _;
use futures::future::OptionFuture;
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, Client};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::address::{Addresses, Lost};
use self::lanes::Lanes;
use self::post::{Post, Said};
use super::Clock;
use super::apply::write;
use super::backoff::Backoff;
use super::metrics::{Attempted, Metrics};
use super::report::report;
use super::world::{Key, World};
use crate::api::{Completion, CompletionOutcome, CompletionStatus, Destination, Execution, ExecutionStatus};
use crate::ops;
use crate::plan::{self, Answer, DeadLetter, DeliveryTerms, Next, Notice};

/// Time that attempts under way have when everything ends. What they do not settle is sent again.
const DRAIN: Duration = Duration::from_secs(5);
/// Longest message that is kept of a failure, in characters.
const MAX_MESSAGE: usize = 300;

/// What the courier works with.
pub(super) struct Courier {
    client: Client,
    world: Arc<World>,
    clock: Clock,
    metrics: Metrics,
    allows_local: bool,
    addresses: Addresses,
    /// Made when there is something to send: that reads every certificate of the machine.
    post: OnceCell<Post>,
    /// Of the API server, not of destinations.
    failures: Backoff<Key>,
}

/// What is remembered of a run whose event is on its way.
#[derive(Debug, Clone, Default)]
struct Parcel {
    /// Where it goes now.
    lane: String,
    /// Attempts so far, and those there.
    attempts: u32,
    here: u32,
    /// Why it goes to the dead letters, if it does.
    dead: Option<DeadLetter>,
    /// What became of it, where only that is still to be written.
    settled: Option<CompletionStatus>,
}

/// What follows a step.
enum Step {
    Settled,
    /// After that pause.
    Again(Parcel, Duration),
}

impl Courier {
    pub(super) fn new(
        (client, world): (Client, Arc<World>),
        clock: Clock,
        metrics: Metrics,
        allows_local: bool,
    ) -> Self {
        let addresses = Addresses::new(client.clone());
        let (post, failures) = (OnceCell::new(), Backoff::default());
        Self { client, world, clock, metrics, allows_local, addresses, post, failures }
    }

    /// Sends what is owed until `shutdown`.
    pub(super) async fn run(self, shutdown: &CancellationToken) {
        let (mut lanes, mut under_way) = (Lanes::default(), FuturesUnordered::new());
        loop {
            for (key, lane) in self.world.owed.take() {
                let parcel = Parcel { lane: lane.clone(), ..Parcel::default() };
                lanes.add(key, lane, parcel, Instant::now());
            }
            while let Some((key, parcel)) = lanes.take(Instant::now()) {
                under_way.push(self.step(key, parcel));
            }
            self.metrics.owed(lanes.len());
            let due = lanes.wake().map(tokio::time::sleep_until);
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some((key, step)) = under_way.next() => match step {
                    Step::Settled => lanes.done(&key),
                    Step::Again(parcel, pause) => {
                        lanes.again(key, parcel.lane.clone(), parcel, Instant::now() + pause);
                    }
                },
                () = self.world.owed.more() => {}
                Some(()) = OptionFuture::from(due) => {}
            }
        }
        let rest = async { while under_way.next().await.is_some() {} };
        // Late or not, what is not settled is still owed.
        drop(tokio::time::timeout(DRAIN, rest).await);
    }

    async fn step(&self, key: Key, mut parcel: Parcel) -> (Key, Step) {
        let step = match Box::pin(self.deliver(&key, &mut parcel)).await {
            Ok(step) => {
                self.failures.succeeded(&key);
                step
            }
            Err(error) => {
                let (namespace, execution) = &key;
                tracing::warn!(
                    namespace,
                    execution,
                    error = &error as &dyn std::error::Error,
                    "the end of a run cannot be told; it is tried again"
                );
                let pause = self.failures.failed(key.clone());
                Step::Again(parcel, pause)
            }
        };
        (key, step)
    }

    /// One attempt for one run. An error is the API server's, and leaves in `parcel` what is known.
    async fn deliver(&self, (namespace, name): &Key, parcel: &mut Parcel) -> Result<Step, ops::Error> {
        let api: Api<Execution> = Api::namespaced(self.client.clone(), namespace);
        let run = api.get_opt(name).await.map_err(|error| ops::Error::of::<Execution>(error, name))?;
        let Some(run) = run.filter(plan::owes_completion) else { return Ok(Step::Settled) };
        let Some(completion) = run.spec.completion.clone() else { return Ok(Step::Settled) };
        if let Some(status) = parcel.settled.clone() {
            return self.settle(&run, status).await;
        }
        let to = match &parcel.dead {
            Some(_) => plan::dead_letters(&completion).unwrap_or(&completion.sink),
            None => &completion.sink,
        };
        let terms = DeliveryTerms::of(&completion);
        let (said, at) = self.attempt(&run, to, parcel.dead.as_ref(), terms.timeout).await;
        parcel.attempts += 1;
        parcel.here += 1;
        self.metrics.attempted(Attempted::of(said.answer));
        let next = terms.next(said.answer, parcel.here, Uuid::new_v4().as_bytes()[0]);
        if next != Next::Done {
            self.addresses.forget(to, namespace);
        }
        match next {
            Next::Done => {
                let outcome = match parcel.dead {
                    Some(_) => CompletionOutcome::DeadLettered,
                    None => CompletionOutcome::Delivered,
                };
                let message = parcel.dead.as_ref().map(|dead| dead.words.clone());
                self.end(&run, parcel, outcome, message).await
            }
            Next::Again(pause) => {
                if parcel.attempts == 1 {
                    let message = format!("{}: {}; it is tried again", at, said.words);
                    self.report(&run, "CompletionDelayed", message).await;
                }
                Ok(Step::Again(parcel.clone(), pause))
            }
            Next::GiveUp => self.give_up(&run, &completion, parcel, (said, at)).await,
        }
    }

    /// Tries it once there. Also says where that was.
    async fn attempt(
        &self,
        run: &Execution,
        to: &Destination,
        dead: Option<&DeadLetter>,
        timeout: Duration,
    ) -> (Said, String) {
        let event = plan::completion(run).and_then(|event| match dead {
            Some(dead) => plan::dead_letter(&event, dead),
            None => Some(event),
        });
        let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
        let Some(event) = event else {
            let words = "no event can be made of this run".to_owned();
            return (Said::nothing(Answer::Nowhere, words), "its event".to_owned());
        };
        match self.addresses.find(to, namespace).await {
            Ok(uri) => {
                let allows_local = self.allows_local;
                let made = self.post.get_or_init(async || {
                    let made = tokio::task::spawn_blocking(move || Post::new(allows_local)).await;
                    made.expect("setting up a client does not panic")
                });
                let said = made.await.send(&uri, &event, timeout).await;
                (said, uri.to_string())
            }
            Err(Lost::ForGood(words)) => {
                (Said::nothing(Answer::Nowhere, words), "the destination".to_owned())
            }
            Err(Lost::ForNow(words)) => (Said::nothing(Answer::Silence, words), "the destination".to_owned()),
        }
    }

    /// Nothing more is tried where it went: it becomes a dead letter, or that is its end.
    async fn give_up(
        &self,
        run: &Execution,
        completion: &Completion,
        parcel: &mut Parcel,
        (Said { answer, words, data }, at): (Said, String),
    ) -> Result<Step, ops::Error> {
        let words: String = format!("{at}: {words}").chars().take(MAX_MESSAGE).collect();
        let letters = plan::dead_letters(completion).filter(|_| parcel.dead.is_none());
        let Some(letters) = letters else {
            let why = parcel.dead.as_ref().map_or(words.clone(), |dead| format!("{}; {words}", dead.words));
            return self.end(run, parcel, CompletionOutcome::Failed, Some(why)).await;
        };
        let code = if let Answer::Status(code, _) = answer { Some(code) } else { None };
        parcel.dead = Some(DeadLetter { destination: at, code, data: BASE64.encode(data), words });
        parcel.here = 0;
        parcel.lane = plan::lane(letters, run.metadata.namespace.as_deref().unwrap_or_default());
        Ok(Step::Again(parcel.clone(), Duration::ZERO))
    }

    async fn end(
        &self,
        run: &Execution,
        parcel: &mut Parcel,
        outcome: CompletionOutcome,
        message: Option<String>,
    ) -> Result<Step, ops::Error> {
        let attempts = i32::try_from(parcel.attempts).unwrap_or(i32::MAX);
        let status = CompletionStatus { outcome, attempts, time: Time((self.clock)()), message };
        parcel.settled = Some(status.clone());
        self.settle(run, status).await
    }

    /// Writes what became of the event.
    async fn settle(&self, run: &Execution, told: CompletionStatus) -> Result<Step, ops::Error> {
        let status =
            ExecutionStatus { completion: Some(told.clone()), ..run.status.clone().unwrap_or_default() };
        write(&self.client, run, &status).await?;
        self.metrics.told(told.outcome);
        if let CompletionOutcome::Failed | CompletionOutcome::DeadLettered = told.outcome {
            let message = told.message.unwrap_or_default();
            self.report(run, "CompletionNotDelivered", message).await;
        }
        Ok(Step::Settled)
    }

    async fn report(&self, run: &Execution, reason: &'static str, message: String) {
        report(&self.client, run, Notice { warning: true, reason, message }, (self.clock)()).await;
    }
}
