//! The live trigger set: compiled Triggers and the Jobs they name, for whoever receives events.
//!
//! Three watches feed an index; [`Triggers::matching`] reads a snapshot of one namespace and never waits. What a cache
//! has not seen yet may still exist, so a Job or namespace that is not in it is looked up once, live, before anybody is
//! told that there is none. What a cache still has may be gone, too: while its watch is broken it is not asked, because an
//! Execution of a Job that was deleted meanwhile would be collected with it, and the event lost. While a watch of Triggers
//! is broken nobody can know what an event would match; then the answer is an error, not "nothing".
//!
//! A set of one namespace asks for nothing outside of it, so rights in that namespace are enough.

mod index;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;
use kube::Resource;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::Job;
use crate::api::Trigger;
use crate::event::Event;
use crate::feed;
use crate::filter::Matches;
use crate::plan;
use crate::plan::Prepared;
use index::Index;

pub use index::LiveTrigger;
pub use waiting::Waiting;

/// Live look-ups at a time. Each one is an event for something that the caches do not know; more than this is somebody
/// sending to addresses that do not exist, and the API server must not feel it.
const MAX_LOOKUPS: usize = 16;
/// Time for one live look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Compiled Triggers and known Jobs, kept current by [`Triggers::run`]. Cheap to clone.
#[derive(Clone)]
pub struct Triggers {
    client: Client,
    /// The only namespace that counts; none if all do.
    namespace: Option<Arc<str>>,
    index: Arc<Index>,
    lookups: Arc<Semaphore>,
}

/// Why it cannot be said what exists. Asking again later is right in every case.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first list has not arrived.
    #[error("Jobs and Triggers are still being read")]
    Cold,
    /// The watch of Triggers is broken.
    #[error("the API server cannot be watched")]
    Stale,
    /// Too many things were asked for that the caches do not know.
    #[error("too many look-ups of unknown objects")]
    Busy,
    /// The API server did not answer a look-up in time.
    #[error("no answer from the API server within {} s", LOOKUP_TIMEOUT.as_secs())]
    TimedOut,
    /// The API server answered a look-up with an error.
    #[error("the API server cannot answer")]
    Unavailable(#[source] Box<kube::Error>),
}

impl Triggers {
    /// An empty set. It fills once [`Triggers::run`] runs.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            namespace: None,
            index: Arc::default(),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
        }
    }

    /// The same for one namespace: what is elsewhere does not exist, whoever asks.
    #[must_use]
    pub fn within(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// The only namespace that counts; none if all do.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Follows the API server until `shutdown`. Broken watches are started again.
    pub async fn run(&self, shutdown: CancellationToken) {
        let all = watcher::Config::default();
        let namespaces = async {
            let (api, index) = (Api::<Namespace>::all(self.client.clone()), &self.index.namespaces);
            match &self.namespace {
                Some(name) => feed::look_at(api, name, index).await,
                None => feed::follow(api, all.clone(), index).await,
            }
        };
        let follow = async {
            tokio::join!(
                feed::follow(self.api::<DeserializeGuard<Job>>(), all.clone(), &self.index.jobs),
                feed::follow(self.api::<DeserializeGuard<Trigger>>(), all.clone(), &self.index.triggers),
                namespaces,
            )
        };
        shutdown.run_until_cancelled(Box::pin(follow)).await;
    }

    /// Whether everything was read once and Triggers are being followed: for a readiness probe.
    pub fn is_ready(&self) -> bool {
        self.index.is_synced() && self.index.triggers.is_current()
    }

    /// The Triggers of the namespace that let the event pass, by name, and those that nobody can tell in time.
    ///
    /// # Errors
    /// If the set is not known well enough to say that there are no others.
    pub fn matching(&self, namespace: &str, event: &Event) -> Result<Matches<LiveTrigger>, Error> {
        self.synced()?;
        if !self.index.triggers.is_current() {
            return Err(Error::Stale);
        }
        Ok(self.index.triggers.matching(namespace, event))
    }

    /// How often a Trigger has changed so far: one that [`LiveTrigger::is_since`] then is still the same.
    pub fn revision(&self) -> u64 {
        self.index.triggers.revision()
    }

    /// The Triggers of the namespace, by name, for whoever wants to know why they do not match.
    pub fn all(&self, namespace: &str) -> Vec<Arc<LiveTrigger>> {
        let mut all = self.index.triggers.all(namespace);
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        all
    }

    /// The Trigger of that name, if it is known.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<LiveTrigger>> {
        self.index.triggers.get(namespace, name)
    }

    /// The Job of that name, looked up live if it was not seen yet, or if Jobs are not being followed.
    pub async fn job(&self, namespace: &str, name: &str) -> Result<Option<Arc<Prepared>>, Error> {
        self.synced()?;
        let jobs = &self.index.jobs;
        if let Some(job) = jobs.get(namespace, name).filter(|_| jobs.is_current()) {
            return Ok(Some(job));
        }
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        if !self.counts(namespace) {
            return Ok(None);
        }
        let api = Api::<Job>::namespaced(self.client.clone(), namespace);
        Ok(self.look_up(api.get_opt(name)).await?.map(|job| Arc::new(Prepared::new(job))))
    }

    /// Counts a run that is about to be accepted of that Job, if another one may wait.
    ///
    /// # Errors
    /// How many may wait, if no more may.
    pub fn queue(&self, namespace: &str, job: &Job) -> Result<Waiting, i64> {
        if job.spec.concurrency.as_ref().is_none_or(|concurrency| concurrency.queue_limit.is_none()) {
            return Ok(Waiting::default());
        }
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let (waiting, since) = self.index.jobs.since(namespace, name).map(Waiting::after).unwrap_or_default();
        plan::is_full(job, since).map_or(Ok(waiting), Err)
    }

    /// Whether there is such a namespace, looked up live if it was not seen yet, or if namespaces are not being followed.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, Error> {
        self.synced()?;
        if self.index.namespaces.is_current() && self.index.namespaces.contains(name) {
            return Ok(true);
        }
        if !is_object_name(name) || !self.counts(name) {
            return Ok(false);
        }
        let api = Api::<Namespace>::all(self.client.clone());
        Ok(self.look_up(api.get_opt(name)).await?.is_some())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match &self.namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// Whether objects of that namespace are followed at all.
    fn counts(&self, namespace: &str) -> bool {
        self.namespace().is_none_or(|only| only == namespace)
    }

    fn synced(&self) -> Result<(), Error> {
        if self.index.is_synced() { Ok(()) } else { Err(Error::Cold) }
    }

    async fn look_up<T>(
        &self,
        request: impl Future<Output = Result<Option<T>, kube::Error>>,
    ) -> Result<Option<T>, Error> {
        let _permit = self.lookups.try_acquire().map_err(|_| Error::Busy)?;
        match tokio::time::timeout(LOOKUP_TIMEOUT, request).await {
            Err(_) => Err(Error::TimedOut),
            Ok(Err(error)) => Err(Error::Unavailable(Box::new(error))),
            Ok(Ok(found)) => Ok(found),
        }
    }
}

impl std::fmt::Debug for Triggers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Triggers").field("ready", &self.is_ready()).finish_non_exhaustive()
    }
}

/// Whether an object can have that name (RFC 1123 subdomain). What cannot exist is not asked for: it might be a path.
pub fn is_object_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 253
        && name.bytes().all(|byte| inner(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(inner)
        && name.bytes().next_back().is_some_and(inner)
        && !name.contains("..")
}

#[cfg(test)]
mod tests {
    use axum::Json;
    use axum::Router;
    use axum::extract::Path;
    use axum::http::StatusCode;
    use axum::routing::get;
    use feed::Change;
    use feed::Follower;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn stored_job(uid: &str) -> Value {
        json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"namespace": "apps", "name": "resize", "uid": uid},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": []}}}}},
        })
    }

    fn namespace(name: &str) -> Namespace {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        namespace
    }

    /// Warm caches with the Job `resize` of uid `old` and the namespace `apps`, before an API server that has `resize`
    /// with uid `new` and the namespace `late`.
    fn outdated() -> Triggers {
        let missing = || {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
            (StatusCode::NOT_FOUND, Json(body))
        };
        let server = Router::new()
            .route(
                "/apis/run.kakehi.dev/v1alpha1/namespaces/apps/jobs/resize",
                get(async || Json(stored_job("new"))),
            )
            .route(
                "/api/v1/namespaces/{name}",
                get(
                    async move |Path(name): Path<String>| {
                        if name == "late" { Ok(Json(namespace(&name))) } else { Err(missing()) }
                    },
                ),
            );
        let triggers = Triggers::new(Client::new(server, "default"));
        let cached: DeserializeGuard<Job> = serde_json::from_value(stored_job("old")).unwrap();
        triggers.index.jobs.change(Change::Replace(vec![cached]));
        triggers.index.namespaces.change(Change::Replace(vec![namespace("apps")]));
        triggers.index.triggers.change(Change::Replace(Vec::new()));
        triggers
    }

    #[tokio::test]
    async fn a_cached_job_counts_only_while_jobs_are_followed() {
        let triggers = outdated();
        let uid = async || {
            triggers.job("apps", "resize").await.unwrap().unwrap().job().metadata.uid.clone().unwrap()
        };
        assert_eq!(uid().await, "old");
        triggers.index.jobs.change(Change::Broken);
        assert_eq!(uid().await, "new");
        let cached: DeserializeGuard<Job> = serde_json::from_value(stored_job("listed")).unwrap();
        triggers.index.jobs.change(Change::Replace(vec![cached]));
        assert_eq!(uid().await, "listed");
    }

    #[tokio::test]
    async fn a_cached_namespace_counts_only_while_namespaces_are_followed() {
        let triggers = outdated();
        assert!(triggers.has_namespace("apps").await.unwrap());
        assert!(triggers.has_namespace("late").await.unwrap());
        triggers.index.namespaces.change(Change::Broken);
        assert!(!triggers.has_namespace("apps").await.unwrap());
        assert!(triggers.has_namespace("late").await.unwrap());
    }

    #[tokio::test]
    async fn nothing_outside_its_namespace_exists_for_a_set_of_one() {
        let triggers = outdated().within("apps");
        triggers.index.jobs.change(Change::Broken);
        triggers.index.namespaces.change(Change::Broken);
        assert!(triggers.job("apps", "resize").await.unwrap().is_some());
        assert!(!triggers.has_namespace("late").await.unwrap(), "it exists, but not for this set");
        assert!(triggers.job("late", "resize").await.unwrap().is_none());
    }

    #[test]
    fn only_possible_names_are_asked_for() {
        for name in ["a", "resize", "a-b.c", "0", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in ["", "-a", "a-", ".", "..", "a..b", "a/b", "A", "a_b", "ä", "a?b", " ", &"a".repeat(254)]
        {
            assert!(!is_object_name(name), "{name}");
        }
    }
}
