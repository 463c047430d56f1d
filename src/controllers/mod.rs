//! The controllers: they observe (watches into caches), call [`plan`], and apply what it says.
//!
//! They decide nothing. Every step starts from the world and is idempotent, so that a crash, a lost message or a second
//! look changes nothing; what a cache must not be trusted with is asked of the API server (`live`). Reading order:
//! `watches` → `world` → `executions` → `apply`; `jobs` sums up, `courier` tells others how runs ended.

mod accounts;
mod apply;
mod backoff;
mod caches;
mod children;
mod courier;
mod executions;
mod health;
mod jobs;
mod live;
mod metrics;
mod owed;
mod pace;
mod report;
mod trim;
mod watches;
mod world;
mod written;

use std::fmt::Debug;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::controller::{self, Action, Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::accounts::Accounts;
use self::backoff::Backoff;
pub use self::caches::Caches;
use self::courier::Courier;
use self::health::Watched;
use self::metrics::ControllerName;
pub use self::metrics::Metrics;
use self::watches::{Queues, Wanted, Writers};
use self::world::{Stores, World};
use crate::event::TraceContext;
use crate::manners::Manners;
use crate::ops;
use crate::plan;
use crate::spans;

/// Objects of one kind that are looked at at the same time. A step is a handful of requests, so this many keep an API
/// server busy without flooding it.
const CONCURRENCY: u16 = 16;
/// How long one step may take. Its requests take milliseconds; one whose answer was lost on the way must not hold a place
/// for ever, and a step that is given up is simply done again.
const STEP: Duration = Duration::from_secs(60);
/// How often Jobs with news are summed up: 5,000 runs make two writes a second, not 5,000.
const ROLL_UP: Duration = Duration::from_millis(500);

/// Every how many roll-ups all runs are counted by state: 100,000 of them take some milliseconds.
const COUNT_EVERY: u8 = 4;

/// What the controllers need to know.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where events can be sent; a Job's address is this and its path.
    pub sink_url: String,
    /// Whether senders have to say who they are there: a Job's address names the audience of their tokens then.
    pub is_guarded: bool,
    /// Whether somebody must have allowed the runs of a Job to use the `ServiceAccount` that it names.
    pub require_account_grant: bool,
    /// The namespace whose objects are looked after; none for all of them.
    pub namespace: Option<String>,
    /// How many runs may be under way.
    pub guards: plan::Guards,
    /// Where they count.
    pub metrics: Metrics,
    /// Where they say whether they know the world.
    pub caches: Caches,
    /// How they ask the API server.
    pub manners: Manners,
    /// Whether the ends of runs may be told to what is local to this machine.
    pub allow_local_destinations: bool,
}

/// Tells the time. Limits on history are hours and days; a test does not wait for them.
pub type Clock = fn() -> Timestamp;

/// Runs the controllers until `shutdown`; steps under way are finished first.
pub async fn run(client: Client, options: Options, shutdown: CancellationToken) {
    run_by(Timestamp::now, client, options, shutdown).await;
}

/// The same by another clock.
pub async fn run_by(clock: Clock, client: Client, options: Options, shutdown: CancellationToken) {
    let Options {
        sink_url,
        is_guarded,
        require_account_grant,
        namespace,
        guards,
        metrics,
        caches,
        manners,
        allow_local_destinations,
    } = options;
    let filling = caches.fill();
    let client = manners.towards(&client);
    let (executions, execution_writer) = reflector::store();
    let (jobs, job_writer) = reflector::store();
    let (triggers, trigger_writer) = reflector::store();
    let stores = Stores { executions: executions.clone(), jobs: jobs.clone(), triggers: triggers.clone() };
    let world = Arc::new(World::new(stores, guards, clock));
    let writers = Writers { executions: execution_writer, jobs: job_writer, triggers: trigger_writer };
    let (queues, requests) = watches::queues();
    let accounts = Arc::new(Accounts::new(&client, require_account_grant));
    let runs = Arc::new(executions::Context {
        client: client.clone(),
        world: world.clone(),
        queues: queues.clone(),
        accounts: accounts.clone(),
        clock,
    });
    let rest = Arc::new(jobs::Context {
        client: client.clone(),
        world: world.clone(),
        accounts,
        sink_url,
        is_guarded,
        clock,
    });
    let courier =
        Courier::new((client.clone(), world.clone()), clock, metrics.clone(), allow_local_destinations);
    let counted = |name| (name, metrics.clone());
    let runs_part = Part {
        trace: plan::trace,
        ..Part::new(counted(ControllerName::executions), executions, requests.executions)
    };
    let jobs_part = Part::new(counted(ControllerName::jobs), jobs, requests.jobs);
    let triggers_part = Part::new(counted(ControllerName::triggers), triggers, requests.triggers);
    let controllers = async {
        // Nothing is decided from half a picture. Caches that never warm up do not keep the process from ending.
        if shutdown.run_until_cancelled(world.health.ready()).await.is_none() {
            return;
        }
        drop(filling);
        // Boxed: each holds a good part of a kilobyte of state.
        tokio::join!(
            Box::pin(control(runs_part, executions::reconcile, runs, &shutdown)),
            Box::pin(control(jobs_part, jobs::reconcile, rest.clone(), &shutdown)),
            Box::pin(control(triggers_part, jobs::reconcile_trigger, rest, &shutdown)),
            Box::pin(courier.run(&shutdown)),
        );
    };
    tokio::join!(
        watches::run((client, namespace), world.clone(), writers, queues.clone(), shutdown.clone()),
        sum_up(&world, &queues, &metrics, &shutdown),
        controllers,
    );
    metrics.forgot();
}

/// Has the Jobs with news looked at, a few times a second at most, and counts their runs less often. What could start, and
/// was not told to, is told now.
async fn sum_up(world: &World, queues: &Queues, metrics: &Metrics, shutdown: &CancellationToken) {
    let mut ticks = tokio::time::interval(ROLL_UP);
    for tick in (0..COUNT_EVERY).cycle() {
        if shutdown.run_until_cancelled(ticks.tick()).await.is_none() {
            return;
        }
        if tick == 0 && world.health.has_listed(Watched::Executions) {
            let counts = world.history.lock().phases();
            metrics.counted(&counts);
        }
        let dirty = world.history.lock().take_dirty();
        let jobs = dirty.into_iter().collect();
        queues.send(Wanted { executions: world.admit(), jobs, ..Wanted::default() }).await;
    }
}

/// One step, given up when it takes too long.
async fn in_time(
    limit: Duration,
    step: impl Future<Output = Result<Action, ops::Error>>,
) -> Result<Action, ops::Error> {
    let given_up = |_| Err(ops::Error::TimedOut { seconds: limit.as_secs() });
    tokio::time::timeout(limit, step).await.unwrap_or_else(given_up)
}

/// One controller: what it looks at, when it is asked to, and where it counts.
struct Part<K: Resource<DynamicType = ()> + Clone + 'static> {
    name: ControllerName,
    metrics: Metrics,
    /// The trace of what an object stands for.
    trace: fn(&K) -> Option<TraceContext>,
    cache: Store<K>,
    requests: mpsc::Receiver<ObjectRef<K>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Part<K> {
    fn new(
        (name, metrics): (ControllerName, Metrics),
        cache: Store<K>,
        requests: mpsc::Receiver<ObjectRef<K>>,
    ) -> Self {
        Self { name, metrics, trace: |_| None, cache, requests }
    }
}

/// Looks at objects of one kind as they are asked for, never twice at once at the same.
async fn control<K, C, F>(
    part: Part<K>,
    reconcile: fn(Arc<K>, Arc<C>) -> F,
    context: Arc<C>,
    shutdown: &CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    C: Send + Sync + 'static,
    F: Future<Output = Result<Action, ops::Error>> + Send + 'static,
    ObjectRef<K>: Eq + Hash,
{
    let Part { name, metrics, trace, cache, requests } = part;
    let step = move |object: Arc<K>, context: Arc<C>| {
        let (metrics, begun) = (metrics.clone(), Instant::now());
        let ObjectRef { name: of, namespace, .. } = ObjectRef::from_obj(object.as_ref());
        let span = tracing::info_span!("reconcile", controller = ?name, namespace, name = of);
        if let Some(trace) = trace(&object) {
            spans::join(&span, &trace);
        }
        let step = in_time(STEP, reconcile(object, context));
        async move {
            let done = step.await;
            // That somebody else was faster is everyday life.
            let failed = matches!(&done, Err(error) if !matches!(error, ops::Error::Conflict { .. }));
            metrics.stepped(name, begun.elapsed(), failed);
            done
        }
        .instrument(span)
    };
    let backoff: Arc<Backoff<ObjectRef<K>>> = Arc::default();
    let errors = backoff.clone();
    let policy = move |object: Arc<K>, error: &ops::Error, _: Arc<C>| {
        let object = ObjectRef::from_obj(object.as_ref());
        if !matches!(error, ops::Error::Conflict { .. }) {
            let kind = <K as Resource>::kind(&());
            tracing::warn!(%kind, %object, error = error as &dyn std::error::Error, "a step failed; it will be repeated");
        }
        Action::requeue(errors.failed(object))
    };
    let shutdown = shutdown.clone();
    Controller::for_stream(futures::stream::pending(), cache)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .reconcile_on(ReceiverStream::new(requests))
        .graceful_shutdown_on(async move { shutdown.cancelled().await })
        .run(step, policy, context)
        .for_each(|done| {
            match done {
                Ok((object, _)) => backoff.succeeded(&object),
                // It was deleted while it failed.
                Err(controller::Error::ObjectNotFound(object)) => {
                    let namespace = object.namespace.as_deref().unwrap_or_default();
                    backoff.succeeded(&ObjectRef::new(&object.name).within(namespace));
                }
                // The policy has counted and told it.
                Err(_) => {}
            }
            std::future::ready(())
        })
        .await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kube::client::Body;
    use serde_json::json;
    use tokio::sync::Notify;

    use super::*;

    /// Lists one Execution, and leaves every other question open.
    fn stuck(watched: Arc<Notify>) -> Client {
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let watched = watched.clone();
            async move {
                let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
                if !request.uri().path().ends_with("/executions") {
                    return std::future::pending().await;
                }
                if is_watch {
                    watched.notify_one();
                    return std::future::pending().await;
                }
                let list = json!({
                    "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "ExecutionList",
                    "metadata": {"resourceVersion": "1"},
                    "items": [{
                        "metadata": {"name": "r-1", "namespace": "shop", "uid": "x1"},
                        "spec": {
                            "job": {"name": "r", "uid": "j1", "generation": 1}, "cause": {"type": "Address"},
                            "template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}},
                        },
                    }],
                });
                Ok::<_, Infallible>(http::Response::new(Body::from(list.to_string().into_bytes())))
            }
        });
        Client::new(service, "shop")
    }

    #[tokio::test]
    async fn a_step_whose_answer_never_comes_is_given_up() {
        let stuck = std::future::pending();
        assert!(matches!(in_time(Duration::ZERO, stuck).await, Err(ops::Error::TimedOut { .. })));
        let done = std::future::ready(Ok(Action::await_change()));
        assert!(in_time(STEP, done).await.is_ok());
    }

    #[tokio::test]
    async fn caches_that_never_warm_up_do_not_keep_the_process_from_ending() {
        let (watched, shutdown) = (Arc::new(Notify::new()), CancellationToken::new());
        let options = Options::default();
        let caches = options.caches.clone();
        assert!(!caches.are_cold(), "nobody waits for controllers that have not begun");
        let running = tokio::spawn(run(stuck(watched.clone()), options, shutdown.clone()));
        let deadline = Duration::from_secs(10);
        tokio::time::timeout(deadline, watched.notified()).await.expect("the list is read");
        assert!(caches.are_cold());
        shutdown.cancel();
        tokio::time::timeout(deadline, running).await.expect("it ends").unwrap();
        assert!(!caches.are_cold());
    }
}
