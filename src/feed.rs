//! Follows one kind of object: a list, then a watch, for ever. One object of a kind is looked at from time to time. What is
//! made of either is the follower's business.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::TryStreamExt;
use kube::Api;
use kube::Resource;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// Pauses between attempts to list: they double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// Pause between two looks at a single object, and the time that one may take.
const LOOK: Duration = Duration::from_secs(30);

/// Something that happened to the objects of a kind.
#[derive(Debug)]
pub(crate) enum Change<K> {
    /// These are all there are.
    Replace(Vec<K>),
    /// One was made or changed.
    Apply(K),
    /// One is gone.
    Delete(K),
    /// Nothing is known of changes from here on, until the next [`Change::Replace`].
    Broken,
}

/// Whoever wants to know.
pub(crate) trait Follower<K> {
    /// Takes in a change. Called from one task, in order.
    fn change(&self, change: Change<K>);
}

/// How well a follower knows the world.
#[derive(Default)]
pub(crate) struct Health {
    synced: AtomicBool,
    broken: AtomicBool,
}

impl Health {
    /// Whether a first list has arrived.
    pub(crate) fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Acquire)
    }

    /// Whether nothing was missed since.
    pub(crate) fn is_current(&self) -> bool {
        self.is_synced() && !self.broken.load(Ordering::Acquire)
    }

    /// A whole list has arrived and was taken in.
    pub(crate) fn listed(&self) {
        self.broken.store(false, Ordering::Release);
        self.synced.store(true, Ordering::Release);
    }

    /// The watch broke.
    pub(crate) fn broke(&self) {
        self.broken.store(true, Ordering::Release);
    }
}

/// Follows until dropped.
///
/// After an error the objects are listed anew rather than watched on: only a complete list ends the doubt whether
/// something was missed.
pub(crate) async fn follow<K>(api: Api<K>, config: watcher::Config, follower: &impl Follower<K>)
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = follow_once(api.clone(), config.clone(), follower).await;
        if started.elapsed() > LAST_PAUSE {
            pause = FIRST_PAUSE;
        }
        match ended {
            // An expired watch is the server's ordinary way to ask for a new list. Something may have been missed all the same.
            Err(watcher::Error::WatchError(status)) if status.code == 410 => follower.change(Change::Broken),
            Ok(()) => follower.change(Change::Broken),
            Err(error) => {
                follower.change(Change::Broken);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(kind = std::any::type_name::<K>(), error, "watch broke off; listing anew");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Looks at one object, again and again until dropped.
///
/// That takes the right to get it; a list and a watch of it would take rights to those of the whole cluster.
pub(crate) async fn look_at<K>(api: Api<K>, name: &str, follower: &impl Follower<K>)
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut pause = FIRST_PAUSE;
    loop {
        match tokio::time::timeout(LOOK, api.get_opt(name)).await {
            Ok(Ok(found)) => {
                follower.change(Change::Replace(found.into_iter().collect()));
                pause = FIRST_PAUSE;
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Ok(Err(error)) => cannot_look::<K>(name, &error),
            Err(late) => cannot_look::<K>(name, &late),
        }
        follower.change(Change::Broken);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

fn cannot_look<K>(name: &str, error: &(dyn std::error::Error + 'static)) {
    tracing::warn!(kind = std::any::type_name::<K>(), name, error, "cannot look at an object");
}

async fn follow_once<K>(
    api: Api<K>,
    config: watcher::Config,
    follower: &impl Follower<K>,
) -> Result<(), watcher::Error>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut events = pin!(watcher(api, config));
    let mut listing = Vec::new();
    while let Some(event) = events.try_next().await? {
        match event {
            Event::Init => listing.clear(),
            Event::InitApply(object) => listing.push(object),
            Event::InitDone => follower.change(Change::Replace(std::mem::take(&mut listing))),
            Event::Apply(object) => follower.change(Change::Apply(object)),
            Event::Delete(object) => follower.change(Change::Delete(object)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    use http::Request;
    use http::Response;
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Client;
    use kube::client::Body;
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    /// Notes what it is told, in short.
    #[derive(Default)]
    struct Notes(Mutex<Vec<String>>);

    impl Follower<Namespace> for Notes {
        fn change(&self, change: Change<Namespace>) {
            let note = match change {
                Change::Replace(all) => format!("{} there", all.len()),
                Change::Broken => "broken".to_owned(),
                other => panic!("{other:?}"),
            };
            self.0.lock().push(note);
        }
    }

    /// An API server that answers a `get` of the namespace `shop` with these statuses, and then no more.
    fn answering(statuses: &'static [u16]) -> Client {
        let asked = Arc::new(AtomicUsize::new(0));
        let service = tower::service_fn(move |request: Request<Body>| {
            let asked = asked.clone();
            async move {
                assert_eq!(request.uri().to_string(), "/api/v1/namespaces/shop");
                let Some(status) = statuses.get(asked.fetch_add(1, Ordering::Relaxed)) else {
                    return std::future::pending().await;
                };
                let body = match status {
                    200 => json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}),
                    code => {
                        let reason = if *code == 404 { "NotFound" } else { "Else" };
                        json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": reason, "code": code})
                    }
                };
                let response = Response::builder().status(*status);
                Ok::<_, Infallible>(response.body(Body::from(body.to_string().into_bytes())).unwrap())
            }
        });
        Client::new(service, "shop")
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_object_is_looked_at_again_and_in_doubt_after_an_error() {
        let (notes, api) = (Notes::default(), Api::<Namespace>::all(answering(&[200, 403, 500, 200, 404])));
        // The sixth look has no answer, and is given up in time.
        let looking = look_at(api, "shop", &notes);
        tokio::time::timeout(LOOK * 5, looking).await.expect_err("it never ends");
        let notes = notes.0.into_inner();
        assert_eq!(notes, ["1 there", "broken", "broken", "1 there", "0 there", "broken"]);
    }
}
