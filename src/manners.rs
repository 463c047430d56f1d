//! Manners towards an API server: whoever asks does not wait for ever, and leaves alone who asks to be left alone.
//!
//! A wrapper around a client. An answer that does not begin in time, or stops in the middle, is given up; the caller
//! repeats it as it does after any failure. Watches may be silent for as long as they like once they have begun, and a
//! log from the start: its first line may take hours. An answer 429 or 503 that says when to come back (`Retry-After`,
//! RFC 9110 §10.2.3) holds back whatever this client asks until then: overloaded is the server, not one request. Only
//! the header tells; what `kube` makes of the answer has lost it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tower::BoxError;
use uuid::Uuid;

/// What a client does not put up with, and how far it obliges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// How long an answer may be silent. An API server gives up its own work after a minute, and begins what it can
    /// answer within seconds.
    pub silence: Duration,
    /// Longest time for which a server is left alone that asks for it. More would keep the process from ending in time,
    /// and the caches from noticing that they are behind.
    pub pause: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), pause: Duration::from_secs(10) }
    }
}

/// No answer, or no more of it.
#[derive(Debug, thiserror::Error)]
#[error("the API server was silent for {0:?}")]
struct Silent(Duration);

impl Manners {
    /// The same API server, asked with these manners.
    pub fn towards(self, client: &Client) -> Client {
        let (beyond, gate) = (client.clone(), Arc::new(Gate::default()));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (beyond, gate) = (beyond.clone(), gate.clone());
            async move {
                gate.pass().await;
                let patience = Patience::with(&request);
                let answer = beyond.send(request);
                let answer = match patience {
                    Patience::Endless => answer.await,
                    Patience::ToBegin | Patience::Throughout => {
                        timeout(self.silence, answer).await.map_err(|_| Silent(self.silence))?
                    }
                }?;
                if let Some(pause) = asked_for(&answer) {
                    gate.shut(pause.min(self.pause));
                }
                Ok::<_, BoxError>(answer.map(|body| match patience {
                    Patience::Endless | Patience::ToBegin => body.map_err(BoxError::from).boxed_unsync(),
                    Patience::Throughout => StreamBody::new(spoken(body, self.silence)).boxed_unsync(),
                }))
            }
        });
        Client::new(service, client.default_namespace())
    }
}

/// Which silences are borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// All of them: the first line of a log comes when it comes.
    Endless,
    /// Those of an answer that has begun: a watch speaks when something happens.
    ToBegin,
    /// None.
    Throughout,
}

impl Patience {
    fn with(request: &Request<Body>) -> Self {
        let mut parameters = request.uri().query().unwrap_or_default().split('&');
        if request.uri().path().ends_with("/log") {
            Self::Endless
        } else if parameters.any(|parameter| parameter == "watch=true") {
            Self::ToBegin
        } else {
            Self::Throughout
        }
    }
}

/// The frames of a body, and an error where the next one is too long in coming.
fn spoken(body: Body, silence: Duration) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> {
    stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout(silence, body.frame()).await {
            Ok(Some(Ok(frame))) => Some((Ok(frame), Some(body))),
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => None,
            Err(_) => Some((Err(Silent(silence).into()), None)),
        }
    })
}

/// For how long that answer asks to be left alone. A date instead of seconds, which no API server sends, is passed over.
fn asked_for<B>(answer: &Response<B>) -> Option<Duration> {
    if ![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&answer.status()) {
        return None;
    }
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What holds requests back.
#[derive(Default)]
struct Gate {
    until: Mutex<Option<Instant>>,
}

impl Gate {
    /// Waits until the gate opens. Not again if it is shut meanwhile: every request is sent in the end, and its caller
    /// learns how it stands.
    async fn pass(&self) {
        let (until, now) = (*self.until.lock(), Instant::now());
        let Some(left) =
            until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
        else {
            return;
        };
        // Those who wait do not all come at once: up to a quarter later.
        let spread = left.mul_f64(f64::from(Uuid::new_v4().as_bytes()[0]) / 1024.0);
        sleep_until(now + left + spread).await;
    }

    /// Shuts the gate for at least that long.
    fn shut(&self, pause: Duration) {
        let (mut until, wanted) = (self.until.lock(), Instant::now() + pause);
        if !pause.is_zero() && until.is_none_or(|until| until < wanted) {
            *until = Some(wanted);
            tracing::info!(?pause, "the API server asks to be left alone");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt as _;
    use http_body_util::combinators::UnsyncBoxBody;
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};
    use kube::Api;
    use kube::api::{ListParams, LogParams, WatchParams};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);
    const MANNERS: Manners = Manners { silence: Duration::from_secs(5), pause: Duration::from_secs(20) };

    const LATE: &str =
        r#"{"type":"ADDED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}}"#;

    type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;
    /// When requests came.
    type Requests = Arc<Mutex<Vec<Instant>>>;

    /// Answers the request of each number, from 0, with what `answer` makes.
    fn server<F>(answer: impl Fn(usize) -> F + Send + 'static) -> (Client, Requests)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let requests = Requests::default();
        let noted = requests.clone();
        let service = tower::service_fn(move |_: Request<Body>| {
            let mut noted = noted.lock();
            noted.push(Instant::now());
            let answer = answer(noted.len() - 1);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        (MANNERS.towards(&Client::new(service, "default")), requests)
    }

    /// 200 with these pieces, each after so many seconds, and then nothing more without an end.
    fn pieces(pieces: &'static [(u64, &'static str)]) -> Answer {
        let frames = stream::iter(pieces).then(async |(seconds, piece)| {
            tokio::time::sleep(SECOND * u32::try_from(*seconds).unwrap()).await;
            Ok(Frame::data(Bytes::from_static(piece.as_bytes())))
        });
        Response::new(StreamBody::new(frames.chain(stream::pending())).boxed_unsync())
    }

    /// An answer of that code that says when to come back.
    fn busy(code: u16, after: &str) -> Answer {
        let body = http_body_util::Empty::new().boxed_unsync();
        Response::builder().status(code).header(RETRY_AFTER, after).body(body).unwrap()
    }

    async fn list(client: &Client) -> Result<(), String> {
        let maps = Api::<ConfigMap>::default_namespaced(client.clone());
        maps.list(&ListParams::default()).await.map(drop).map_err(|error| format!("{error:?}"))
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_begin_or_stops_in_the_middle_is_given_up() {
        let start = Instant::now();
        let (client, _) = server(|_| std::future::pending());
        let error = list(&client).await.unwrap_err();
        assert!(error.contains("Silent"), "{error}");
        assert_eq!(start.elapsed(), MANNERS.silence);
        // Every piece counts anew: a long list may take its time.
        let (client, _) = server(async |_| pieces(&[(4, "{"), (4, " "), (4, " ")]));
        let error = list(&client).await.unwrap_err();
        assert!(error.contains("Silent"), "{error}");
        assert_eq!(start.elapsed(), MANNERS.silence + SECOND * 12 + MANNERS.silence);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_must_begin_and_may_then_be_silent() {
        let (client, requests) = server(|number| async move {
            if number == 0 { std::future::pending().await } else { pieces(&[(7200, LATE), (0, "\n")]) }
        });
        let maps = Api::<ConfigMap>::default_namespaced(client);
        let watch = async || maps.watch(&WatchParams::default(), "1").await;
        assert!(watch().await.is_err());
        let mut events = watch().await.unwrap().boxed();
        assert!(events.next().await.unwrap().is_ok());
        assert!(requests.lock()[0].elapsed() > HOUR * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_log_begins_when_it_begins() {
        let (client, _) = server(async |_| {
            tokio::time::sleep(HOUR).await;
            pieces(&[(3600, "done\n")])
        });
        let pods = Api::<Pod>::default_namespaced(client);
        let log = pods.log_stream("a", &LogParams { follow: true, ..LogParams::default() }).await.unwrap();
        let line = futures::AsyncBufReadExt::lines(log).next().await;
        assert_eq!(line.unwrap().unwrap(), "done");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_it_is_left_alone() {
        for (code, after, held) in
            [(429, "7", 7), (503, "1", 1), (429, "3600", 20), (503, "99999999999999", 20)]
        {
            let (client, requests) = server(move |_| std::future::ready(busy(code, after)));
            assert!(list(&client).await.is_err());
            tokio::join!(list(&client), list(&client), list(&client)).0.unwrap_err();
            let requests = requests.lock();
            let held = SECOND * held;
            for late in &requests[1..] {
                let pause = *late - requests[0];
                assert!(pause >= held && pause <= held.mul_f64(1.25), "{code} {after}: {pause:?}");
            }
            assert_eq!(requests.len(), 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_other_answer_holds_anything_back() {
        for (code, after) in [(500, "7"), (409, "7"), (200, "7"), (429, "soon"), (503, "-1"), (429, "0")] {
            let (client, requests) = server(move |_| std::future::ready(busy(code, after)));
            list(&client).await.unwrap_err();
            list(&client).await.unwrap_err();
            let requests = requests.lock();
            assert_eq!(requests[0], requests[1], "{code} {after}");
        }
    }
}
