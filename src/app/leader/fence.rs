//! What a leader sends goes through a fence that shuts by itself when its time is over, whatever the leader is doing.

use std::sync::Arc;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

/// Lets requests through until a moment that only a renewal puts off. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Fence {
    until: Arc<watch::Sender<Instant>>,
}

/// The fence is shut.
#[derive(Debug, thiserror::Error)]
#[error("this process does not lead any more")]
struct Shut;

impl Fence {
    /// One that shuts at that moment.
    pub(super) fn new(until: Instant) -> Self {
        Self { until: Arc::new(watch::Sender::new(until)) }
    }

    /// When it shuts.
    pub(super) fn until(&self) -> Instant {
        *self.until.borrow()
    }

    /// Puts that off. What is shut stays shut.
    pub(super) fn extend(&self, until: Instant) {
        self.until.send_if_modified(|current| {
            let open = Instant::now() < *current;
            if open {
                *current = until;
            }
            open
        });
    }

    /// Shuts it now.
    pub(super) fn shut(&self) {
        self.until.send_modify(|until| *until = Instant::now().min(*until));
    }

    /// Waits until it is shut.
    pub(super) async fn is_shut(&self) {
        let mut until = self.until.subscribe();
        loop {
            let moment = *until.borrow_and_update();
            // The timer of a process that was stopped knows of the time that passed only after its next turn.
            if moment <= Instant::now() {
                return;
            }
            tokio::select! {
                biased;
                () = sleep_until(moment) => return,
                // The sender lives in `self`.
                _ = until.changed() => {}
            }
        }
    }

    /// `client` for a leader: once the fence is shut it sends nothing, and gives up what it was sending.
    pub(super) fn before(&self, client: &Client) -> Client {
        let (fence, inner) = (self.clone(), client.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (fence, inner) = (fence.clone(), inner.clone());
            async move {
                tokio::select! {
                    biased;
                    () = fence.is_shut() => Err(BoxError::from(Shut)),
                    answer = inner.send(request) => answer.map_err(BoxError::from) as Result<Response<Body>, _>,
                }
            }
        });
        Client::new(service, client.default_namespace())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Answers after five seconds, and counts what arrives.
    fn slow(count: Arc<AtomicUsize>) -> Client {
        let service = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            async {
                tokio::time::sleep(SECOND * 5).await;
                Ok::<_, Infallible>(Response::new(Body::empty()))
            }
        });
        Client::new(service, "default")
    }

    async fn ask(client: &Client) -> Result<(), String> {
        let request = Request::get("/").body(Body::empty()).unwrap();
        client.send(request).await.map(drop).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_passes_once_it_is_shut_and_renewals_put_that_off() {
        let (count, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let fence = Fence::new(start + SECOND * 10);
        let client = fence.before(&slow(count.clone()));
        assert_eq!(ask(&client).await, Ok(()));
        fence.extend(start + SECOND * 12);
        assert_eq!(ask(&client).await, Ok(()));
        // Under way when it shuts.
        let lost = ask(&client).await.unwrap_err();
        assert!(lost.contains("Shut"), "{lost}");
        assert_eq!((start.elapsed(), count.load(Ordering::Relaxed)), (SECOND * 12, 3));
        fence.extend(start + SECOND * 60);
        assert!(ask(&client).await.is_err(), "a renewal that comes too late is none");
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn it_can_be_shut_early() {
        let fence = Fence::new(Instant::now() + SECOND * 60);
        let client = fence.before(&slow(Arc::default()));
        let asking = tokio::spawn(async move { ask(&client).await });
        tokio::time::sleep(SECOND).await;
        fence.shut();
        assert!(asking.await.unwrap().is_err());
    }
}
