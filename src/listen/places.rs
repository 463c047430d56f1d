//! Places for connections: so many and no more, and who goes when there is none left.
//!
//! A connection on which nothing is asked costs whoever opens it nothing, so none of these may keep another out: at the
//! limit the one that has asked nothing for the longest time is closed. Those with a request in flight stay.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The places of a listener.
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
    /// Somebody has left, or asks nothing any more. Only one waits for it.
    eased: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Seat>,
}

/// What is known of a connection.
struct Seat {
    /// Requests in flight.
    busy: usize,
    /// Since when there is none.
    since: Instant,
    close: CancellationToken,
}

/// The place of a connection, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    close: CancellationToken,
    /// Cancelled with the first request.
    asked: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default(), eased: Notify::new() })
    }

    /// A place for one more, as soon as there is one.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            if let Some(place) = self.try_take() {
                return place;
            }
            self.eased.notified().await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken.lock();
        if taken.seats.len() >= self.most {
            let idle = taken.seats.iter().filter(|(_, seat)| seat.busy == 0);
            let longest = *idle.min_by_key(|(_, seat)| seat.since)?.0;
            if let Some(seat) = taken.seats.remove(&longest) {
                tracing::debug!("there are too many connections, the one that is idle longest is closed");
                seat.close.cancel();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let close = CancellationToken::new();
        taken.seats.insert(number, Seat { busy: 0, since: Instant::now(), close: close.clone() });
        Some(Place { places: Arc::clone(self), number, close, asked: CancellationToken::new() })
    }
}

impl Place {
    /// Waits until the connection has to go for another one.
    pub(super) async fn closed(&self) {
        self.close.cancelled().await;
    }

    /// Waits until `deadline`, if nothing was asked by then; for ever, if something was.
    pub(super) async fn unasked(&self, deadline: Instant) {
        tokio::select! {
            biased;
            () = self.asked.cancelled() => std::future::pending().await,
            () = tokio::time::sleep_until(deadline) => {}
        }
    }

    /// A request is in flight, until this is dropped.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.asked.cancel();
        if let Some(seat) = self.places.taken.lock().seats.get_mut(&self.number) {
            seat.busy += 1;
        }
        Busy(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.lock().seats.remove(&self.number);
        self.places.eased.notify_one();
    }
}

/// A request in flight.
pub(super) struct Busy(Arc<Place>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(seat) = self.0.places.taken.lock().seats.get_mut(&self.0.number) {
            seat.busy -= 1;
            seat.since = Instant::now();
        }
        self.0.places.eased.notify_one();
    }
}

/// The body of an answer: its request is in flight until the last of it was taken.
pub(super) struct Answer {
    body: Body,
    _busy: Busy,
}

impl Answer {
    pub(super) fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_idle_longest_gives_way_and_none_that_is_busy() {
        let places = Places::new(3);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(Arc::new(places.take().await));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // The first is busy, and the second was a moment ago.
        let first = held[0].busy();
        drop(held[1].busy());
        tokio::time::advance(Duration::from_secs(1)).await;
        let fourth = Arc::new(places.take().await);
        let closed = |place: &Place| place.closed().now_or_never().is_some();
        assert_eq!(held.iter().map(|place| closed(place)).collect::<Vec<_>>(), [false, false, true]);
        let (second, fourth) = (held[1].busy(), fourth.busy());
        assert!(places.take().now_or_never().is_none(), "all are busy");
        drop(second);
        assert!(places.take().now_or_never().is_some());
        assert!(closed(&held[1]));
        drop((first, fourth));
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_asked_has_all_the_time() {
        let place = Arc::new(Places::new(1).take().await);
        let deadline = Instant::now() + Duration::from_secs(10);
        place.unasked(deadline).await;
        assert!(Instant::now() >= deadline);
        drop(place.busy());
        assert!(place.unasked(deadline).now_or_never().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_makes_room() {
        let places = Places::new(1);
        let one = Arc::new(places.take().await);
        let busy = one.busy();
        let mut next = std::pin::pin!(places.take());
        assert!(next.as_mut().now_or_never().is_none());
        drop((busy, one));
        assert!(next.now_or_never().is_some());
    }
}
