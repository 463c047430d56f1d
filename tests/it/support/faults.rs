//! Faults between a client and its API server: a tower layer that does to requests what networks and servers do.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body as Sent;
use serde_json::json;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service, ServiceExt};

/// What becomes of a request that is not simply served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with that failure, and nothing is done.
    Answer(u16),
    /// It is never answered.
    Hang,
    /// It is done, and answered with 504.
    Lose,
    /// It is done, and the connection breaks before the answer.
    LoseAll,
    /// The connection breaks before anything is done.
    Reset,
    /// It is served, and its answer breaks off inside the frame of that number.
    Cut(usize),
    /// It is served, and after so many frames its answer ends as that of a watch that has expired does.
    Expire(usize),
    /// It is served late.
    Slow(Duration),
    /// It is served, and every frame of its answer comes so much late.
    Lag(Duration),
    /// It is served, and after so many frames nothing more comes, without an end.
    Stall(usize),
}

/// The head of a request: rules look at nothing else.
pub(crate) type Head = Request<()>;
type Rule = Arc<dyn Fn(&Head) -> Option<Fault> + Send + Sync>;

/// Which requests suffer what; none to begin with. A tower layer.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Option<Rule>>>);

/// Whether a fault has come.
#[derive(Debug)]
pub(crate) struct Hit(Arc<Mutex<bool>>);

impl Hit {
    pub(crate) fn came(&self) -> bool {
        *self.0.lock().unwrap()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    /// From now on, requests for which `rule` says so fail.
    pub(crate) fn set(&self, rule: impl Fn(&Head) -> Option<Fault> + Send + Sync + 'static) {
        *self.0.lock().unwrap() = Some(Arc::new(rule));
    }

    /// The next request for which `wanted` says so suffers `fault`, and no other.
    pub(crate) fn once(&self, fault: Fault, wanted: impl Fn(&Head) -> bool + Send + Sync + 'static) -> Hit {
        let done = Arc::new(Mutex::new(false));
        let told = done.clone();
        self.set(move |head| {
            let mut done = done.lock().unwrap();
            let hit = !*done && wanted(head);
            *done |= hit;
            hit.then_some(fault)
        });
        Hit(told)
    }

    /// From now on, everything is served.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// The same API server behind these faults.
    pub(crate) fn over(&self, client: &Client) -> Client {
        let beyond = client.clone();
        let service = tower::service_fn(move |request: Request<Sent>| {
            let beyond = beyond.clone();
            async move { beyond.send(request).await }
        });
        Client::new(self.layer(service), client.default_namespace())
    }

    fn decide(&self, head: &Head) -> Option<Fault> {
        let rule = self.0.lock().unwrap().clone();
        rule.and_then(|rule| rule(head))
    }
}

impl<S> Layer<S> for Faults {
    type Service = Faulty<S>;

    fn layer(&self, inner: S) -> Faulty<S> {
        Faulty { faults: self.clone(), inner }
    }
}

/// A service behind [`Faults`].
#[derive(Debug, Clone)]
pub(crate) struct Faulty<S> {
    faults: Faults,
    inner: S,
}

type Answer = Result<Response<Body>, BoxError>;

impl<S, B, R> Service<Request<B>> for Faulty<S>
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Send + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut head = Request::new(());
        *head.method_mut() = request.method().clone();
        *head.uri_mut() = request.uri().clone();
        let (fault, inner) = (self.faults.decide(&head), self.inner.clone());
        Box::pin(async move {
            match fault {
                None => serve(inner, request).await,
                Some(Fault::Answer(code)) => Ok(failure(code)),
                Some(Fault::Hang) => std::future::pending().await,
                Some(Fault::Lose) => serve(inner, request).await.map(|_| failure(504)),
                Some(Fault::LoseAll) => serve(inner, request).await.and_then(|_| Err(reset())),
                Some(Fault::Reset) => Err(reset()),
                Some(Fault::Cut(frame)) => serve(inner, request).await.map(|answer| cut(answer, frame)),
                Some(Fault::Expire(frame)) => serve(inner, request).await.map(|answer| expire(answer, frame)),
                Some(Fault::Lag(pause)) => serve(inner, request).await.map(|answer| lag(answer, pause)),
                Some(Fault::Stall(frame)) => serve(inner, request).await.map(|answer| stall(answer, frame)),
                Some(Fault::Slow(pause)) => {
                    tokio::time::sleep(pause).await;
                    serve(inner, request).await
                }
            }
        })
    }
}

async fn serve<S, B, R>(inner: S, request: Request<B>) -> Answer
where
    S: Service<Request<B>, Response = Response<R>, Error: Into<BoxError>>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    Ok(inner.oneshot(request).await.map_err(Into::into)?.map(Body::new))
}

fn reset() -> BoxError {
    std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection was reset").into()
}

/// A `metav1.Status`, with words that no sender must ever see.
fn failure(code: u16) -> Response<Body> {
    let reason = match code {
        401 => "Unauthorized",
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "etcd secret words", "reason": reason, "code": code});
    let mut answer = Response::builder().status(code).header("content-type", "application/json");
    if [429, 503].contains(&code) {
        answer = answer.header("retry-after", "1");
    }
    answer.body(Body::from(status.to_string())).unwrap()
}

fn cut(answer: Response<Body>, frame: usize) -> Response<Body> {
    answer.map(|body| {
        let frames = body.into_data_stream().enumerate().take(frame + 1).flat_map(move |(number, data)| {
            stream::iter(match data {
                Ok(data) if number == frame => vec![Ok(data.slice(..data.len() / 2)), Err(reset())],
                data => vec![data.map_err(Into::into)],
            })
        });
        Body::from_stream(frames)
    })
}

fn expire(answer: Response<Body>, frame: usize) -> Response<Body> {
    let object = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410});
    let last = Bytes::from(format!("{}\n", json!({"type": "ERROR", "object": object})));
    answer.map(|body| {
        let frames = body.into_data_stream().take(frame).chain(stream::once(async { Ok(last) }));
        Body::from_stream(frames)
    })
}

fn lag(answer: Response<Body>, pause: Duration) -> Response<Body> {
    answer.map(|body| {
        // Frames that come at the same time are late together.
        let due = body.into_data_stream().map(move |data| (Instant::now() + pause, data));
        let frames = due.map(async |(due, data)| {
            tokio::time::sleep_until(due).await;
            data
        });
        Body::from_stream(frames.buffered(1024))
    })
}

fn stall(answer: Response<Body>, frame: usize) -> Response<Body> {
    answer.map(|body| Body::from_stream(body.into_data_stream().take(frame).chain(stream::pending())))
}

pub(crate) fn is_watch(head: &Head) -> bool {
    head.uri().query().is_some_and(|query| query.contains("watch=true"))
}

pub(crate) fn is_write(head: &Head) -> bool {
    head.method() != Method::GET
}

/// Faults of every kind at random, `per_mille` of the requests; the same seed gives the same faults to requests that come
/// in the same order.
pub(crate) fn storm(seed: u64, per_mille: u64) -> impl Fn(&Head) -> Option<Fault> + Send + Sync + 'static {
    let state = Mutex::new(seed);
    move |head| {
        let mut state = state.lock().unwrap();
        let mut below = |bound: u64| {
            // SplitMix64.
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)) % bound
        };
        if below(1000) >= per_mille {
            return None;
        }
        let slow = Fault::Slow(Duration::from_millis(below(50)));
        let kinds: &[Fault] = if is_watch(head) {
            &[
                Fault::Answer(410),
                Fault::Answer(429),
                Fault::Answer(500),
                Fault::Reset,
                Fault::Cut(0),
                Fault::Cut(3),
                Fault::Expire(0),
                Fault::Expire(5),
                slow,
            ]
        } else if is_write(head) {
            &[
                Fault::Answer(409),
                Fault::Answer(429),
                Fault::Answer(500),
                Fault::Answer(502),
                Fault::Answer(503),
                Fault::Answer(504),
                Fault::Lose,
                Fault::LoseAll,
                Fault::Reset,
                Fault::Cut(0),
                slow,
            ]
        } else {
            &[
                Fault::Answer(429),
                Fault::Answer(500),
                Fault::Answer(502),
                Fault::Answer(503),
                Fault::Answer(504),
                Fault::Reset,
                Fault::Cut(0),
                slow,
            ]
        };
        Some(kinds[usize::try_from(below(kinds.len() as u64)).unwrap()])
    }
}
