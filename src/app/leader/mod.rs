//! Leader election on a Lease: of any number of processes one works, and it stops before another may begin.
//!
//! [`decision`] says what to do, [`fence`] keeps a leader from writing past its time; here requests are made and time
//! passes. A leader renews every [`Timing::retry`]. When no renewal has succeeded for [`Timing::renew_deadline`],
//! counted from before that renewal was sent, its fence shuts by itself and its work is told to end. Others wait for
//! the longer [`Timing::duration`], counted from when they saw the renewal, which is later. So the two never overlap,
//! whatever the clocks of the machines say, even if the process was stopped for a while and finds out late.
//!
//! client-go ends the process when leadership is lost. Here the work is joined behind a shut fence, and then the process
//! is a candidate again: a sink in the same process goes on. Work that cannot be joined in time is a fault that ends it.

mod decision;
mod fence;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::decision::{Candidate, Step};
use self::fence::Fence;
use super::admin::Probe;

/// A round of the election that takes longer than this is stuck: its requests have time limits.
const STUCK: Duration = Duration::from_secs(60);

/// What the election is about.
#[derive(Debug, Clone)]
pub struct LeaseOptions {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// What this process is called in it. No two processes may have the same name, not even one after the other.
    pub identity: String,
    /// How long everything takes.
    pub timing: Timing,
}

/// How long everything takes.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Others wait so long after the last renewal.
    pub duration: Duration,
    /// A leader that could not renew for so long stops.
    pub renew_deadline: Duration,
    /// Pause between two tries.
    pub retry: Duration,
}

impl Default for Timing {
    /// client-go's.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { duration: seconds(15), renew_deadline: seconds(10), retry: seconds(2) }
    }
}

impl Timing {
    /// Time that the work of a leader that stops has to end before another may begin; a fifth is kept.
    fn stop(&self) -> Duration {
        self.duration.saturating_sub(self.renew_deadline).mul_f64(0.8)
    }

    /// Time for one request: two fit before the deadline.
    fn request(&self) -> Duration {
        self.renew_deadline / 2
    }

    /// The pause of a candidate, stretched at random by up to 1.2 of itself so that candidates do not meet.
    fn pause(&self) -> Duration {
        self.retry + self.retry.mul_f64(f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0 * 1.2)
    }
}

/// The election ended the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The work ended although nobody asked it to.
    #[error("the work of the leader ended although nobody asked it to")]
    Ended,
    /// The work went on although this process does not lead any more. Nothing that it sends passes.
    #[error("the work did not end within {0:?} after this process had lost the lease")]
    Stuck(Duration),
}

/// How the election stands. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// 1 while this process leads. The Lease knows more: it may be somebody else's already.
    leads: Gauge,
    /// When a round last began, if one has.
    round: Option<Instant>,
    /// When the API server last answered, if it has.
    answer: Option<Instant>,
    /// What it said in the last round, if that was no answer.
    trouble: String,
}

impl State {
    fn begin(&mut self) {
        self.round = Some(Instant::now());
    }

    fn answered(&mut self) {
        self.answer = Some(Instant::now());
        self.trouble.clear();
    }
}

impl Standing {
    /// Adds what is counted to what is told.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "kakehi_leader",
            "1 in the process whose controllers work, 0 in those that stand by",
            self.0.lock().leads.clone(),
        );
    }

    /// Tells if the API server has not answered yet, or not for so long. Whether this process leads does not matter: one that stands
    /// by is as ready.
    pub(super) fn is_heard(&self, within: Duration) -> Probe {
        let state = self.0.clone();
        Box::new(move || {
            let state = state.lock();
            let Some(answer) = state.answer else {
                return Some(format!("the lease was not read yet: {}", state.trouble));
            };
            let silent = answer.elapsed();
            let words =
                || format!("the lease could not be read for {} s: {}", silent.as_secs(), state.trouble);
            (silent > within).then(words)
        })
    }

    /// Tells if the election does not go on.
    pub(super) fn is_alive(&self) -> Probe {
        let state = self.0.clone();
        Box::new(move || {
            let since = state.lock().round?.elapsed();
            (since > STUCK).then(|| format!("the election is stuck for {} s", since.as_secs()))
        })
    }
}

/// A candidate that has not begun.
pub(super) struct Election {
    api: Api<Lease>,
    client: Client,
    options: LeaseOptions,
    clock: fn() -> Timestamp,
    candidate: Candidate,
    /// The Lease as we last wrote it, while nobody else did.
    written: Option<Lease>,
    standing: Standing,
}

/// How the hold on a Lease ended.
enum End {
    /// This process is to end.
    Asked,
    /// It could not be renewed.
    Lost,
}

impl Election {
    /// A candidate for that Lease. `client` should serve nobody else, so that a renewal never waits behind other
    /// requests; work is given a client that sends through `working`.
    pub(super) fn new(client: Client, working: Client, options: LeaseOptions) -> Self {
        let candidate = Candidate::new(&options.name, &options.identity, options.timing.duration);
        Self {
            api: Api::namespaced(client, &options.namespace),
            client: working,
            options,
            clock: Timestamp::now,
            candidate,
            written: None,
            standing: Standing::default(),
        }
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Until `shutdown`, does the work whenever this process leads. The work gets a client that works only while it
    /// leads, and has to end when its token is cancelled.
    pub(super) async fn run<W, F>(mut self, mut work: W, shutdown: CancellationToken) -> Result<(), Error>
    where
        W: FnMut(Client, CancellationToken) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let acquired = shutdown.run_until_cancelled(self.acquire()).await;
            let end = match acquired {
                None => Ok(End::Asked),
                Some(until) => {
                    tracing::info!(identity = self.options.identity, "leading");
                    self.standing.0.lock().leads.set(1);
                    let end = self.hold(&mut work, until, &shutdown).await;
                    self.standing.0.lock().leads.set(0);
                    end
                }
            };
            match end? {
                End::Asked => {
                    self.release().await;
                    return Ok(());
                }
                End::Lost => tracing::warn!("not leading any more: the lease could not be renewed"),
            }
        }
    }

    /// Waits until the Lease is ours, and says until when.
    async fn acquire(&mut self) -> Instant {
        loop {
            let begun = Instant::now();
            if self.round(self.options.timing.request()).await == Some(true) {
                return begun + self.options.timing.renew_deadline;
            }
            sleep(self.options.timing.pause()).await;
        }
    }

    /// Works as long as the Lease is ours.
    async fn hold<W, F>(
        &mut self,
        work: &mut W,
        until: Instant,
        shutdown: &CancellationToken,
    ) -> Result<End, Error>
    where
        W: FnMut(Client, CancellationToken) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let (fence, stop, mut tasks) = (Fence::new(until), CancellationToken::new(), JoinSet::new());
        tasks.spawn(work(fence.before(&self.client), stop.clone()));
        let asked = tokio::select! {
            () = self.renew(&fence) => false,
            _ = tasks.join_next() => {
                fence.shut();
                return Err(Error::Ended);
            }
            () = shutdown.cancelled() => true,
        };
        stop.cancel();
        let mut joined = pin!(async { while tasks.join_next().await.is_some() {} });
        if asked {
            // Steps under way are finished, for which the Lease has to stay ours.
            tokio::select! {
                () = &mut joined => {
                    fence.shut();
                    return Ok(End::Asked);
                }
                () = self.renew(&fence) => {}
            }
        }
        fence.shut();
        let within = self.options.timing.stop();
        match timeout(within, joined).await {
            Ok(()) if asked => Ok(End::Asked),
            Ok(()) => Ok(End::Lost),
            // Dropping the set ends what is left.
            Err(_) => Err(Error::Stuck(within)),
        }
    }

    /// Renews until that fails for too long, or somebody else has the Lease. The fence is put off with every success.
    async fn renew(&mut self, fence: &Fence) {
        let Timing { duration: _, renew_deadline, retry } = self.options.timing;
        while timeout_at(fence.until(), sleep(retry)).await.is_ok() {
            let begun = Instant::now();
            let left = fence.until().saturating_duration_since(begun);
            // The process was stopped for a while: its time is over.
            if left.is_zero() {
                return;
            }
            match self.round(left.min(self.options.timing.request())).await {
                Some(true) => fence.extend(begun + renew_deadline),
                Some(false) => {
                    fence.shut();
                    return;
                }
                None => {}
            }
        }
    }

    /// One try to get or keep the Lease: whether it is ours, or nothing if that could not be found out.
    async fn round(&mut self, within: Duration) -> Option<bool> {
        self.standing.0.lock().begin();
        let tried = timeout(within, self.attempt()).await;
        match tried {
            Ok(Ok(ours)) => {
                self.standing.0.lock().answered();
                return Some(ours);
            }
            // Another one was faster: it is looked at in the next round.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => self.standing.0.lock().answered(),
            Ok(Err(error)) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease cannot be read or written"
                );
                self.standing.0.lock().trouble = error.to_string();
            }
            Err(_) => {
                tracing::warn!(?within, "the API server did not answer about the lease in time");
                "no answer in time".clone_into(&mut self.standing.0.lock().trouble);
            }
        }
        None
    }

    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        // What we wrote last is what is there, as a rule: that saves reading it.
        if let Some(written) = self.written.take() {
            let step = self.candidate.step(Some(written), Instant::now(), (self.clock)());
            match self.write(step).await {
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                done => return done,
            }
        }
        let found = self.api.get_opt(&self.options.name).await?;
        let step = self.candidate.step(found, Instant::now(), (self.clock)());
        self.write(step).await
    }

    /// Does a step, and says whether the Lease is ours then.
    async fn write(&mut self, step: Step) -> Result<bool, kube::Error> {
        let parameters = PostParams::default();
        let written = match step {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.api.create(&parameters, &lease).await?,
            Step::Replace(lease) => self.api.replace(&self.options.name, &parameters, &lease).await?,
        };
        self.candidate.look(&written, Instant::now());
        self.written = Some(written);
        Ok(true)
    }

    /// Gives the Lease up, if it is ours. If that fails, others wait for its end as if this process had died.
    async fn release(&mut self) {
        let releasing = async {
            let Some(lease) = self.api.get_opt(&self.options.name).await? else { return Ok(false) };
            let Some(free) = self.candidate.released(lease, (self.clock)()) else { return Ok(false) };
            self.api.replace(&self.options.name, &PostParams::default(), &free).await?;
            Ok::<_, kube::Error>(true)
        };
        match timeout(self.options.timing.retry, releasing).await {
            Ok(Ok(true)) => tracing::info!("lease released"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the lease was not released");
            }
            Err(_) => tracing::warn!("the lease was not released in time"),
        }
    }
}

#[cfg(test)]
mod tests;
