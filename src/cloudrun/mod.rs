//! The API of Cloud Run jobs, so that Google's own clients run Jobs here unmodified.
//!
//! | file | what stands there |
//! |---|---|
//! | `names` | `projects/*/locations/*/…`: a project is a namespace, a location any word |
//! | `convert` | messages of the v2 API ⇄ our objects; pure |
//! | `jobs`, `executions`, `tasks`, `operations` | the methods of the services, message in and message out, whatever the transport |
//! | `cache` | the copy of Jobs and Executions that polling clients are answered from |
//! | `paging` | lists in pages |
//! | `access` | who may ask for what |
//! | `author` | who made a Job, and who changed it last |
//! | `request_id` | which requests for a run are the same one |
//! | `metrics` | what is counted |
//! | `fault`, `status` | why a request is refused; the same in gRPC |
//! | `console`, `origin` | the page of a run and its logs, and how links to it begin |
//! | `grpc` | the services on the wire; their traits are made by `build.rs` |
//! | `rest` | what all of the REST APIs have in common |
//! | `v1` | the API that `gcloud` speaks |
//! | `v2` | the methods of v2 over REST |
//!
//! Use cases are `ops`', decisions `plan`'s: here is only what Cloud Run calls them. Nothing is remembered that the
//! objects do not say, so a restart loses nothing, and any number of these may run side by side.
//!
//! What Cloud Run leaves open, or we do otherwise:
//!
//! - The operation of a run that fails carries an error, and so does that of one that is cancelled (`CANCELLED`): a client
//!   that only looks for an error must not take either for a success.
//! - Deleting a Job stops and deletes its Executions. What is deleted is gone at once for every reader, and `show_deleted`
//!   shows nothing more.
//! - A version of a secret is a key of the Secret; a service account is the part of its address before the `@`.
//! - A run that is asked for twice is two runs, as at Google: the request has no field for an id. A client that repeats
//!   itself sends one in the header `x-goog-request-id`, and gets the first run again.
//! - `log_uri` leads to a page of this server, by the way on which the client has reached it. `gcloud` prints it; after a
//!   failed `execute` it names a page of Google's console besides, whatever the server says.
//! - An etag follows the spec, so that a run that is counted comes between nobody's read and write.

mod access;
mod author;
mod cache;
mod console;
mod convert;
mod executions;
mod fault;
mod grpc;
mod jobs;
mod metrics;
mod names;
mod operations;
mod origin;
mod paging;
mod request_id;
mod rest;
mod status;
mod tasks;
mod v1;
mod v2;

use std::fmt::Debug;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::{Execution, Job};
use crate::auth::{Caller, Gate};
use crate::feed;
use crate::ops;
use crate::ops::scoped;
use cache::{Cache, Shelf, Trim};
use fault::Fault;
use metrics::Metrics;
use names::{ExecutionName, JobName, Place};
use origin::Origin;
use request_id::RequestId;

/// `google.protobuf.Empty`.
pub(crate) type Empty = ();

/// Google's messages.
mod messages {
    pub(super) use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
    pub(super) use googleapis_tonic_google_cloud_run_v2::google::{api, iam, longrunning, rpc};
}

/// Answers about logs that are made at a time. Each holds some megabytes; more wait for their turn.
const LOG_READERS: usize = 4;

/// The API, ready to be served. Cheap to clone.
#[derive(Clone)]
pub struct CloudRun {
    client: Client,
    /// The only namespace that is followed; none if all are.
    namespace: Option<Arc<str>>,
    cache: Arc<Cache>,
    clock: fn() -> Timestamp,
    /// Who reads logs takes one of these meanwhile.
    log_readers: Arc<Semaphore>,
    gate: Gate,
    metrics: Arc<Metrics>,
    /// Whose request this is answered for; nobody's, where none was let in yet.
    caller: Option<Caller>,
    /// Where that was sent to.
    origin: Origin,
    /// By what it is known when it is sent again.
    request_id: RequestId,
}

impl Debug for CloudRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudRun").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

impl CloudRun {
    /// The API over that client, for whom the gate lets in. It answers right away, and quickly once [`CloudRun::run`]
    /// runs.
    pub fn new(client: Client, gate: Gate) -> Self {
        Self {
            client,
            namespace: None,
            cache: Arc::default(),
            clock: Timestamp::now,
            log_readers: Arc::new(Semaphore::new(LOG_READERS)),
            gate,
            metrics: Arc::default(),
            caller: None,
            origin: Origin::default(),
            request_id: RequestId::default(),
        }
    }

    /// The same where there are rights in one namespace alone. What is asked of another the API server refuses.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// Follows Jobs and Executions until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        let namespace = self.namespace.as_deref();
        let Cache { jobs, executions } = &*self.cache;
        let all = kube::runtime::watcher::Config::default();
        let follow = async {
            tokio::join!(
                feed::follow(scoped(self.client.clone(), namespace), all.clone(), jobs),
                feed::follow(scoped(self.client.clone(), namespace), all.clone(), executions),
            )
        };
        shutdown.run_until_cancelled(Box::pin(follow)).await;
    }

    /// Whether polling clients cost the API server nothing: for a readiness probe.
    pub fn is_ready(&self) -> bool {
        self.cache.jobs.is_current() && self.cache.executions.is_current()
    }

    /// The routes: gRPC on HTTP/2, REST on either.
    pub fn router(&self) -> Router {
        let authenticate = middleware::from_fn_with_state(self.clone(), access::authenticate);
        grpc::router(self)
            .merge(v1::router(self))
            .merge(v2::router(self))
            .merge(console::router(self))
            .fallback(access::nowhere)
            .method_not_allowed_fallback(access::nowhere)
            .layer(authenticate)
            .layer(middleware::from_fn_with_state(self.clone(), metrics::observe))
    }

    /// A Job for a reader.
    async fn job(&self, name: &JobName) -> Result<Arc<Job>, Fault> {
        let (namespace, job) = (&name.place.project, &name.job);
        if let Some(found) = self.cache.jobs.get(namespace, job) {
            return Ok(found);
        }
        // What was made elsewhere a moment ago is there too.
        Ok(Arc::new(self.live_job(name).await?))
    }

    /// A Job as it is at this moment, for somebody who is going to change it.
    async fn live_job(&self, name: &JobName) -> Result<Job, Fault> {
        let found: Job = ops::get(&self.client, &name.place.project, &name.job).await?;
        self.cache.jobs.put(&found);
        if found.metadata.deletion_timestamp.is_some() {
            return Err(Fault::not_found("job", &name.job));
        }
        Ok(found)
    }

    /// The Jobs of a namespace for a reader.
    async fn jobs(&self, place: &Place) -> Result<Vec<Arc<Job>>, Fault> {
        self.listed(&self.cache.jobs, &place.project).await
    }

    /// The Executions of a namespace for a reader.
    async fn executions(&self, place: &Place) -> Result<Vec<Arc<Execution>>, Fault> {
        self.listed(&self.cache.executions, &place.project).await
    }

    /// From the cache, or from the API server where or while that is not whole.
    async fn listed<K>(&self, kept: &Shelf<K>, namespace: &str) -> Result<Vec<Arc<K>>, Fault>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned
            + Trim,
    {
        let is_followed = self.namespace.as_deref().is_none_or(|only| only == namespace);
        if let Some(found) = kept.list(namespace).filter(|_| is_followed) {
            return Ok(found);
        }
        let found: Vec<K> = ops::list(&self.client, Some(namespace), None).await?;
        let there = found.into_iter().filter(|object| object.meta().deletion_timestamp.is_none());
        Ok(there.map(Arc::new).collect())
    }

    /// An Execution for a reader.
    async fn execution(&self, name: &ExecutionName) -> Result<Arc<Execution>, Fault> {
        let (namespace, execution) = (&name.job.place.project, &name.execution);
        let found = match self.cache.executions.get(namespace, execution) {
            Some(found) => found,
            None => Arc::new(self.live_execution(name).await?),
        };
        is_of(&found, name)?;
        Ok(found)
    }

    /// An Execution as it is at this moment, for somebody who is going to change it.
    async fn live_execution(&self, name: &ExecutionName) -> Result<Execution, Fault> {
        let found: Execution = ops::get(&self.client, &name.job.place.project, &name.execution).await?;
        self.cache.executions.put(&found);
        is_of(&found, name)?;
        if found.metadata.deletion_timestamp.is_some() {
            return Err(Fault::not_found("execution", &name.execution));
        }
        Ok(found)
    }
}

/// An Execution of another Job is not there under this one's name.
fn is_of(execution: &Execution, name: &ExecutionName) -> Result<(), Fault> {
    if execution.spec.job.name == name.job.job {
        Ok(())
    } else {
        Err(Fault::not_found("execution", &name.execution))
    }
}

/// Compares what the caller read with what there is. An empty etag compares nothing.
fn check_etag(sent: &str, current: &str, kind: &str, name: &str) -> Result<(), Fault> {
    if sent.is_empty() || sent == current { Ok(()) } else { Err(Fault::stale(kind, name)) }
}
