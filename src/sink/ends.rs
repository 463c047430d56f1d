//! Who waits for the end of a run, and one watch that serves all of them.
//!
//! The watch is there only while somebody waits, and begins at the present: nothing is listed, and a run of which nobody
//! waits leaves nothing here. What may have happened before it, or while it was broken, is found by a look at each run
//! that is waited for. So waiting costs the API server one look a run, however long it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::TryStreamExt;
use futures::stream;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use kube::core::DeserializeGuard;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::oneshot;

use crate::api::Execution;
use crate::manners::Manners;
use crate::ops;
use crate::plan;

/// How long the watch goes on when nobody waits any more: the next one to wait mostly comes soon.
const LINGER: Duration = Duration::from_secs(30);
/// Pauses before a watch that broke begins anew: they double from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// Runs that are looked at at a time.
const LOOKS: usize = 8;

/// Namespace and name of a run.
type Key = (String, String);
/// The run as it ended; none if it was deleted.
type End = Option<Arc<Execution>>;

/// The runs that are waited for. Cheap to clone.
#[derive(Clone)]
pub(super) struct Ends {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    /// The namespace that is looked after; none for all of them.
    namespace: Option<String>,
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting>,
    /// Somebody has begun to wait.
    asked: Notify,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    runs: HashMap<Key, Vec<(u64, oneshot::Sender<End>)>>,
}

/// Somebody who waits, until he is dropped.
pub(super) struct Waiter {
    ends: Ends,
    key: Key,
    number: u64,
    told: oneshot::Receiver<End>,
    _place: OwnedSemaphorePermit,
}

impl Ends {
    /// Places for so many at a time.
    pub(super) fn new(client: &Client, namespace: Option<&str>, places: usize) -> Self {
        let manners = Manners { pause: Duration::ZERO, ..Manners::default() };
        let inner = Inner {
            client: manners.towards(client),
            namespace: namespace.map(str::to_owned),
            places: Arc::new(Semaphore::new(places)),
            waiting: Mutex::default(),
            asked: Notify::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A place to wait for the end of that run; none if all are taken.
    pub(super) fn enter(&self, namespace: &str, name: &str) -> Option<Waiter> {
        let place = Arc::clone(&self.inner.places).try_acquire_owned().ok()?;
        let (sender, told) = oneshot::channel();
        let key = (namespace.to_owned(), name.to_owned());
        let number = {
            let mut waiting = self.inner.waiting.lock();
            waiting.next += 1;
            let number = waiting.next;
            waiting.runs.entry(key.clone()).or_default().push((number, sender));
            number
        };
        self.inner.asked.notify_one();
        Some(Waiter { ends: self.clone(), key, number, told, _place: place })
    }

    /// Serves those who wait, for ever.
    pub(super) async fn follow(&self) {
        let mut pause = PAUSE.0;
        loop {
            while self.is_idle() {
                self.inner.asked.notified().await;
                pause = PAUSE.0;
            }
            match self.watch().await {
                Ok(()) => pause = PAUSE.0,
                Err(error) => {
                    broke(&error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Watches from now on, until nobody has waited for a while or the watch ends.
    async fn watch(&self) -> Result<(), kube::Error> {
        let Inner { client, namespace, asked, .. } = self.inner.as_ref();
        let api: Api<Execution> = ops::scoped(client.clone(), namespace.as_deref());
        let now = api.list_metadata(&ListParams::default().limit(1)).await?;
        let version = now.metadata.resource_version.unwrap_or_default();
        let api: Api<DeserializeGuard<Execution>> = ops::scoped(client.clone(), namespace.as_deref());
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        self.look_at_all().await?;
        loop {
            let event = if self.is_idle() {
                tokio::select! {
                    event = events.try_next() => event?,
                    () = asked.notified() => continue,
                    () = tokio::time::sleep(LINGER) => return Ok(()),
                }
            } else {
                events.try_next().await?
            };
            match event {
                Some(
                    WatchEvent::Added(DeserializeGuard(Ok(run)))
                    | WatchEvent::Modified(DeserializeGuard(Ok(run))),
                ) => {
                    self.saw(run);
                }
                Some(WatchEvent::Deleted(DeserializeGuard(Ok(run)))) => self.tell(&key(&run), &None),
                // One that cannot be read is nobody's end.
                Some(
                    WatchEvent::Added(_)
                    | WatchEvent::Modified(_)
                    | WatchEvent::Deleted(_)
                    | WatchEvent::Bookmark(_),
                ) => {}
                Some(WatchEvent::Error(status)) => return Err(kube::Error::Api(status)),
                None => return Ok(()),
            }
        }
    }

    /// Looks at every run that is waited for.
    async fn look_at_all(&self) -> Result<(), kube::Error> {
        let keys: Vec<Key> = self.inner.waiting.lock().runs.keys().cloned().collect();
        stream::iter(keys).map(Ok).try_for_each_concurrent(LOOKS, |key| self.look_at(key)).await
    }

    async fn look_at(&self, key: Key) -> Result<(), kube::Error> {
        let api: Api<Execution> = Api::namespaced(self.inner.client.clone(), &key.0);
        match api.get_opt(&key.1).await? {
            Some(run) => self.saw(run),
            None => self.tell(&key, &None),
        }
        Ok(())
    }

    fn saw(&self, run: Execution) {
        let key = key(&run);
        if plan::is_terminal(&run) && self.inner.waiting.lock().runs.contains_key(&key) {
            self.tell(&key, &Some(Arc::new(run)));
        }
    }

    fn tell(&self, key: &Key, end: &End) {
        let waiters = self.inner.waiting.lock().runs.remove(key);
        for (_, waiter) in waiters.into_iter().flatten() {
            // He may have gone just now.
            drop(waiter.send(end.clone()));
        }
    }

    fn is_idle(&self) -> bool {
        self.inner.waiting.lock().runs.is_empty()
    }
}

impl Waiter {
    /// The run once it has ended; none if it does not exist any more, or cannot be looked at.
    pub(super) async fn end(&mut self) -> End {
        // It may have ended before anybody waited for it.
        if let Err(error) = self.ends.look_at(self.key.clone()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(namespace = self.key.0, execution = self.key.1, error, "cannot look at a run");
        }
        (&mut self.told).await.ok().flatten()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiting = self.ends.inner.waiting.lock();
        if let Some(waiters) = waiting.runs.get_mut(&self.key) {
            waiters.retain(|(number, _)| *number != self.number);
            if waiters.is_empty() {
                waiting.runs.remove(&self.key);
            }
        }
    }
}

fn broke(error: &kube::Error) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the watch of runs that are waited for broke; it begins anew");
}

fn key(run: &Execution) -> Key {
    (run.metadata.namespace.clone().unwrap_or_default(), run.metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kube::client::Body;

    use super::*;

    fn ends(places: usize) -> Ends {
        let silent = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, Infallible>>()
        });
        Ends::new(&Client::new(silent, "shop"), None, places)
    }

    #[tokio::test]
    async fn who_goes_leaves_nothing_behind() {
        let ends = ends(2);
        let (first, second) = (ends.enter("shop", "a").unwrap(), ends.enter("shop", "a").unwrap());
        assert!(ends.enter("shop", "b").is_none(), "all places are taken");
        drop(first);
        assert!(!ends.is_idle());
        let third = ends.enter("shop", "b").unwrap();
        drop((second, third));
        assert!(ends.is_idle());
        assert_eq!(ends.inner.places.available_permits(), 2);
    }

    #[tokio::test]
    async fn all_who_wait_for_a_run_are_told() {
        let ends = ends(9);
        let (mut first, mut second) = (ends.enter("shop", "a").unwrap(), ends.enter("shop", "a").unwrap());
        let mut other = ends.enter("shop", "b").unwrap();
        ends.tell(&("shop".to_owned(), "a".to_owned()), &Some(Arc::new(Execution::default())));
        assert!((&mut first.told).await.unwrap().is_some() && (&mut second.told).await.unwrap().is_some());
        assert!(other.told.try_recv().is_err());
    }
}
