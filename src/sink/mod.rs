//! The event receiver: HTTP in, Executions out.
//!
//! | request | answer |
//! |---|---|
//! | `POST /namespaces/{ns}/jobs/{job}`, with any suffix | runs that Job |
//! | `POST /namespaces/{ns}`, `POST /` (= the default namespace) | runs the Job of every Trigger that matches |
//! | `OPTIONS` of any of these | consents to a sender that asks first |
//! | `GET /namespaces/{ns}/executions/{name}` | how a run is doing |
//! | `GET /namespaces/{ns}/decisions` | what became of events, and why: see `decisions` |
//! | `GET /healthz`, `GET /readyz` | whether the process lives, whether it can take events |
//!
//! A 202 is a promise: the event is stored, and every matching Trigger has its Execution. So the answer waits for the
//! creates and for nothing else, and a sender that repeats itself gets the same answer. Senders of the Knative world
//! drop an event on 500, 408, 409 and 3xx; whatever may pass is therefore 404, 429 or 503, with `Retry-After` where
//! they heed it, and the rest of 4xx is for what can never succeed.
//!
//! A sender may wait for the end of the run that it starts, like who calls a function: see `wait`.
//!
//! A request brings one event, or a batch of them, which is a success if all of it is stored and not otherwise.
//!
//! Where senders have to say who they are, whoever does not is answered 401, and who may not send 403: see `access`, and
//! `policies` for Knative's word on it.
//!
//! Where one namespace is looked after alone, every other one is as if it did not exist: 404, which says so.
//!
//! Everything is bounded: requests at a time, bytes of bodies held, bytes and time of one body. What exceeds a bound
//! is refused before it costs memory.

mod access;
mod answer;
mod body;
mod decided;
mod decisions;
mod deliver;
mod ends;
mod guard;
mod journal;
mod metrics;
mod policies;
mod prefer;
mod receive;
mod rehearse;
mod status;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::any;
use axum::routing::get;
use kube::Client;
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::ends::Ends;
use self::journal::Journal;
use self::metrics::Metrics;
use self::policies::Policies;
pub use self::rehearse::Rehearsal;
pub use self::rehearse::Stage;
use crate::api::DEFAULT_NAMESPACE;
use crate::auth::Reviews;
use crate::triggers::Triggers;

/// The most that [`Options::max_event_bytes`] can be: what fits into an object with everything around it.
pub const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Limits of a [`Sink`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The namespace whose Triggers `POST /` asks.
    pub default_namespace: String,
    /// Largest body of an event, in bytes; at most [`MAX_EVENT_BYTES`].
    pub max_event_bytes: usize,
    /// Requests at a time; more are answered 429. Most of them wait for the API server.
    pub max_requests: usize,
    /// Bytes of bodies held at a time, over all requests; more are answered 429. What is made of a body on its way to
    /// the API server takes about three times as much again.
    pub max_buffered_bytes: usize,
    /// Senders that wait for the end of a run at a time; more are answered 202 at once. With none nobody waits, and no run
    /// is watched.
    pub max_waiters: usize,
    /// Time in which a body must arrive. Knative's own server allows as much.
    pub body_timeout: Duration,
    /// Whether senders have to say who they are.
    pub require_auth: bool,
    /// Who is told what became of events.
    pub told: ToldTo,
    /// Bytes that the memory of decisions may take; of none, decisions are counted and forgotten.
    pub max_decision_bytes: usize,
    /// What this process is called, where there are several.
    pub name: Option<String>,
}

/// Who is told what became of events, with what was in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldTo {
    /// Whoever reaches the port.
    Everybody,
    /// Whom Kubernetes lets list Executions in the namespace, whether senders have to say who they are or not.
    Readers,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            default_namespace: DEFAULT_NAMESPACE.to_owned(),
            max_event_bytes: 512 * 1024,
            max_requests: 1024,
            max_buffered_bytes: 64 * 1024 * 1024,
            max_waiters: 256,
            body_timeout: Duration::from_secs(10),
            require_auth: false,
            told: ToldTo::Readers,
            max_decision_bytes: 16 * 1024 * 1024,
            name: None,
        }
    }
}

/// The receiver. Cheap to clone.
#[derive(Clone)]
pub struct Sink {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    triggers: Triggers,
    options: Options,
    /// Once cancelled, readiness is withdrawn and clients are asked to close their connections.
    leaving: CancellationToken,
    /// Once cancelled, requests are refused and readiness is withdrawn; those in flight go on.
    shutdown: CancellationToken,
    metrics: Metrics,
    journal: Journal,
    /// Asks who may know of decisions; none where everybody may.
    readers: Option<Reviews>,
    /// One permit for each explanation that is under way.
    explanations: Arc<Semaphore>,
    /// None where nobody has to say who he is.
    doorkeeper: Option<Doorkeeper>,
    /// The runs whose end is waited for.
    ends: Ends,
    /// One permit per request.
    requests: Arc<Semaphore>,
    /// One permit per [`body::UNIT`] bytes held.
    memory: Arc<Semaphore>,
    /// Bodies of refused requests that are read off.
    leftovers: TaskTracker,
}

/// Who senders are and what they may do.
struct Doorkeeper {
    reviews: Reviews,
    policies: Policies,
}

impl Sink {
    /// A receiver that creates Executions through `client` as `triggers` say. It refuses new requests once `shutdown`
    /// is cancelled.
    pub fn new(client: Client, triggers: Triggers, options: Options, shutdown: CancellationToken) -> Self {
        let options = Options { max_event_bytes: options.max_event_bytes.min(MAX_EVENT_BYTES), ..options };
        let requests = Arc::new(Semaphore::new(options.max_requests));
        let memory = Arc::new(Semaphore::new(body::units(options.max_buffered_bytes)));
        let (leaving, leftovers) = (shutdown.child_token(), TaskTracker::new());
        let metrics = Metrics::default();
        let doorkeeper = options.require_auth.then(|| Doorkeeper {
            reviews: Reviews::new(client.clone()),
            policies: Policies::new(client.clone(), triggers.namespace()),
        });
        let ends = Ends::new(&client, triggers.namespace(), options.max_waiters);
        let readers = match options.told {
            ToldTo::Everybody => None,
            ToldTo::Readers => {
                let asked = doorkeeper.as_ref().map(|doorkeeper| doorkeeper.reviews.clone());
                Some(asked.unwrap_or_else(|| Reviews::new(client.clone())))
            }
        };
        let journal = Journal::new(options.max_decision_bytes);
        let inner = Inner {
            client,
            triggers,
            options,
            leaving,
            shutdown,
            metrics,
            journal,
            readers,
            explanations: Arc::new(Semaphore::new(decisions::MAX_EXPLANATIONS)),
            doorkeeper,
            ends,
            requests,
            memory,
            leftovers,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds what is counted to what is told.
    pub fn register(&self, registry: &mut Registry) {
        self.inner.metrics.register(registry);
        self.inner.journal.register(registry);
    }

    /// Follows who may send events, where that is asked, and the runs that are waited for, until `shutdown`.
    pub async fn follow(&self, shutdown: CancellationToken) {
        let senders = async {
            if let Some(Doorkeeper { reviews: _, policies }) = &self.inner.doorkeeper {
                policies.follow().await;
            }
        };
        let following = async { tokio::join!(senders, self.inner.ends.follow()) };
        shutdown.run_until_cancelled(Box::pin(following)).await;
    }

    /// Whether it is known who may send events.
    fn knows_senders(&self) -> bool {
        self.inner.doorkeeper.as_ref().is_none_or(|doorkeeper| doorkeeper.policies.is_ready())
    }

    /// Withdraws readiness and asks clients to close their connections, while events are still taken: a cluster learns
    /// only after a moment that events should go elsewhere. To be called some seconds before the shutdown.
    pub fn leave(&self) {
        self.inner.leaving.cancel();
    }

    /// Waits until nothing is left of requests that were answered. To be called once the routes are not served any more;
    /// it takes no longer than a refused body is read off, which is seconds.
    pub async fn finish(&self) {
        self.inner.leftovers.close();
        self.inner.leftovers.wait().await;
    }

    /// The routes. Serve them with a time limit on request heads; bodies are limited here.
    pub fn router(&self) -> Router {
        let events = Router::new()
            .route("/", any(receive::to_default_namespace))
            .route("/namespaces/{namespace}", any(receive::to_namespace))
            .route("/namespaces/{namespace}/", any(receive::to_namespace))
            .route("/namespaces/{namespace}/jobs/{job}", any(receive::to_job))
            .route("/namespaces/{namespace}/jobs/{job}/", any(receive::to_job))
            .route("/namespaces/{namespace}/jobs/{job}/{*suffix}", any(receive::to_job_with_suffix))
            .route("/namespaces/{namespace}/decisions", any(decisions::show))
            .route("/namespaces/{namespace}/executions/{execution}", any(status::show))
            .route("/namespaces/{namespace}/executions/{execution}/", any(status::show))
            .fallback(answer::no_such_path)
            .layer(middleware::from_fn_with_state(self.clone(), guard::guard));
        Router::new()
            .route("/healthz", get(guard::alive))
            .route("/readyz", get(guard::ready))
            .merge(events)
            .with_state(self.clone())
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("options", &self.inner.options).finish_non_exhaustive()
    }
}
