//! The live trigger set: compiled Triggers and the Jobs they name, for whoever receives events.
//!
//! Three watches feed an index; [`Triggers::matching`] reads a snapshot of one namespace and never waits. What a cache
//! has not seen yet may still exist, so a Job or namespace that is not in it is looked up once, live, before anybody is
//! told that there is none. While a watch of Triggers is broken nobody can know what an event would match; then the
//! answer is an error, not "nothing".

mod feed;
mod index;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;
use kube::core::DeserializeGuard;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::Job;
use crate::api::Trigger;
use crate::event::Event;
use index::Index;

pub use index::LiveTrigger;

/// Live look-ups at a time. Each one is an event for something that the caches do not know; more than this is somebody
/// sending to addresses that do not exist, and the API server must not feel it.
const MAX_LOOKUPS: usize = 16;
/// Time for one live look-up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Compiled Triggers and known Jobs, kept current by [`Triggers::run`]. Cheap to clone.
#[derive(Clone)]
pub struct Triggers {
    client: Client,
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
        Self { client, index: Arc::default(), lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)) }
    }

    /// Follows the API server until `shutdown`. Broken watches are started again.
    pub async fn run(&self, shutdown: CancellationToken) {
        let follow = async {
            tokio::join!(
                feed::follow(Api::<DeserializeGuard<Job>>::all(self.client.clone()), &self.index.jobs),
                feed::follow(
                    Api::<DeserializeGuard<Trigger>>::all(self.client.clone()),
                    &self.index.triggers
                ),
                feed::follow(Api::<Namespace>::all(self.client.clone()), &self.index.namespaces),
            )
        };
        shutdown.run_until_cancelled(Box::pin(follow)).await;
    }

    /// Whether everything was read once and Triggers are being followed: for a readiness probe.
    pub fn is_ready(&self) -> bool {
        self.index.is_synced() && self.index.triggers.is_current()
    }

    /// The Triggers of the namespace that let the event pass, by name.
    ///
    /// # Errors
    /// If the set is not known well enough to say that there are no others.
    pub fn matching(&self, namespace: &str, event: &Event) -> Result<Vec<Arc<LiveTrigger>>, Error> {
        self.synced()?;
        if !self.index.triggers.is_current() {
            return Err(Error::Stale);
        }
        Ok(self.index.triggers.matching(namespace, event))
    }

    /// The Job of that name, looked up live if it was not seen yet.
    pub async fn job(&self, namespace: &str, name: &str) -> Result<Option<Arc<Job>>, Error> {
        self.synced()?;
        if let Some(job) = self.index.jobs.get(namespace, name) {
            return Ok(Some(job));
        }
        if !is_object_name(namespace) || !is_object_name(name) {
            return Ok(None);
        }
        let api = Api::<Job>::namespaced(self.client.clone(), namespace);
        Ok(self.look_up(api.get_opt(name)).await?.map(Arc::new))
    }

    /// Whether there is such a namespace, looked up live if it was not seen yet.
    pub async fn has_namespace(&self, name: &str) -> Result<bool, Error> {
        self.synced()?;
        if self.index.namespaces.contains(name) {
            return Ok(true);
        }
        if !is_object_name(name) {
            return Ok(false);
        }
        let api = Api::<Namespace>::all(self.client.clone());
        Ok(self.look_up(api.get_opt(name)).await?.is_some())
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
    use super::*;

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
