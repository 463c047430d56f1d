//! HTTP servers with limits and a graceful end, with TLS or without. What they answer is the router's business.

mod places;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use http::uri::Scheme;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use places::{Answer, Place, Places};
pub use tls::{Tls, TlsError};

/// Time a client has for the handshake of TLS and for the whole head of its first request. One that asks nothing holds a
/// connection for nothing.
const FIRST_HEAD: Duration = Duration::from_secs(10);
/// Time an HTTP/1 connection may be idle, and a later request head may take: hyper has one timer for both. Go's clients keep idle
/// connections for 90 s; the one who closes first should be the client, because a connection that is closed here may meet
/// the next event on its way.
const IDLE: Duration = Duration::from_secs(120);
/// How often the peer of a silent HTTP/2 connection is asked whether it still lives, and how long it may take to answer.
const PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// Streams of one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// Bytes of an HTTP/2 header list, and of HTTP/1 heads.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Headers of an HTTP/1 request: those of an event with as many extensions as it may have, and what every hop adds. More are
/// answered 431.
const MAX_HEADERS: usize = 256;
/// Connections at a time; for further ones those that are idle go. Senders share connections, so this is far more than a
/// cluster has; it bounds the memory of heads to 256 MiB and keeps most file descriptors for everything else.
const MAX_CONNECTIONS: usize = 4096;
/// Pause after a failed accept (out of file descriptors, for one): the loop must not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// An address that is bound, so that its port is known before anything is served on it.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
}

/// Binding failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let inner = TcpListener::bind(address).await.map_err(|source| BindError { address, source })?;
        let address = inner.local_addr().map_err(|source| BindError { address, source })?;
        Ok(Self { inner, address, tls: None })
    }

    /// The same behind TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether nobody in between can read what is sent to it.
    pub fn is_private(&self) -> bool {
        self.tls.is_some() || self.address.ip().is_loopback()
    }

    /// Serves until `shutdown`, then accepts nothing more, lets requests in flight finish for at most `drain`, and
    /// closes what is left. HTTP/1.1 and HTTP/2 on one port. A request that came over TLS has [`Scheme::HTTPS`] with it.
    pub async fn serve(self, router: Router, shutdown: CancellationToken, drain: Duration) {
        let Some(tls) = self.tls.clone() else {
            return self.serve_within(Limits::default(), router, shutdown, drain).await;
        };
        // Nothing else in a request says how it came.
        let router = router.layer(Extension(Scheme::HTTPS));
        let until = shutdown.clone();
        tokio::join!(self.serve_within(Limits::default(), router, shutdown, drain), tls.follow(until));
    }

    async fn serve_within(
        self,
        limits: Limits,
        router: Router,
        shutdown: CancellationToken,
        drain: Duration,
    ) {
        let places = Places::new(limits.connections);
        let graceful = GracefulShutdown::new();
        let connections = tokio_util::task::TaskTracker::new();
        let abort = CancellationToken::new();
        let acceptor = self.tls.as_ref().map(Tls::acceptor);
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.inner.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Only now is it known that somebody needs room. While nobody can go, this one waits, and the rest in the
            // system's queue.
            let place = tokio::select! {
                () = shutdown.cancelled() => break,
                place = places.take() => Arc::new(place),
            };
            let (shutdown, watcher, abort) = (shutdown.clone(), graceful.watcher(), abort.clone());
            let deadline = Instant::now() + limits.first_head;
            let ends = Ends { shutdown, watcher, abort, place, deadline };
            connections.spawn(accepted_by(acceptor.clone(), stream, router.clone(), limits, ends));
        }
        drop(self.inner);
        connections.close();
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight when the time to drain was over");
        }
        abort.cancel();
        connections.wait().await;
    }
}

/// What ends a connection: once nothing is in flight, or at once.
struct Ends {
    shutdown: CancellationToken,
    watcher: Watcher,
    abort: CancellationToken,
    place: Arc<Place>,
    /// By when its first request must be there.
    deadline: Instant,
}

/// What clients may take up.
#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    first_head: Duration,
    idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: MAX_CONNECTIONS, first_head: FIRST_HEAD, idle: IDLE }
    }
}

async fn accepted_by(
    acceptor: Option<TlsAcceptor>,
    stream: TcpStream,
    router: Router,
    limits: Limits,
    ends: Ends,
) {
    // Without it small answers wait for the client's delayed acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match acceptor {
        None => {
            let begin = async {
                let seen = stream.peek(&mut [0]).await?;
                Ok((seen > 0).then_some(stream))
            };
            if let Some(stream) = begun(begin, &ends).await {
                connection(stream, router, limits, ends).await;
            }
        }
        Some(acceptor) => {
            let begin = async {
                let mut stream = BufReader::new(acceptor.accept(stream).await?);
                let is_over = stream.fill_buf().await?.is_empty();
                Ok((!is_over).then_some(stream))
            };
            if let Some(stream) = begun(begin, &ends).await {
                connection(stream, router, limits, ends).await;
            }
        }
    }
}

/// A stream on which a client has said something. What is spoken shows in the first bytes, and hyper waits for them for
/// ever.
async fn begun<S>(begin: impl Future<Output = io::Result<Option<S>>>, ends: &Ends) -> Option<S> {
    tokio::select! {
        biased;
        said = tokio::time::timeout_at(ends.deadline, begin) => match said {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a connection did not begin");
                None
            }
            Err(_) => None,
        },
        () = ends.place.closed() => None,
        () = ends.shutdown.cancelled() => None,
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    limits: Limits,
    ends: Ends,
) {
    let Ends { shutdown: _, watcher, abort, place, deadline } = ends;
    let asking = Arc::clone(&place);
    let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let (router, busy) = (router.clone(), asking.busy());
        async move {
            let answer = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, busy)))
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_concurrent_streams(MAX_STREAMS);
    let served = pin!(watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned()));
    tokio::select! {
        // A connection that breaks is the client's affair; the requests on it were answered or not.
        ended = served => if let Err(error) = ended { tracing::debug!(error, "connection ended") },
        () = place.unasked(deadline) => tracing::debug!("nothing was asked in time"),
        () = place.closed() => {}
        () = abort.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Semaphore;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);
    /// Long enough for an answer that should not come; a bound, not something that is waited for.
    const SHORT: Duration = Duration::from_millis(50);

    fn with_room(connections: usize) -> Limits {
        Limits { connections, ..Limits::default() }
    }

    async fn ask(address: SocketAddr) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        stream
    }

    async fn answer(stream: &mut TcpStream, within: Duration) -> Option<String> {
        let mut head = vec![0; 12];
        tokio::time::timeout(within, stream.read_exact(&mut head)).await.ok()?.unwrap();
        Some(String::from_utf8(head).unwrap())
    }

    /// What a listener serves, until it is asked to end.
    struct Served {
        address: SocketAddr,
        shutdown: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
    }

    impl Served {
        async fn start(limits: Limits, router: Router) -> Self {
            let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
            let (address, shutdown) = (listener.address(), CancellationToken::new());
            let until = shutdown.clone();
            let serving =
                tokio::spawn(async move { listener.serve_within(limits, router, until, SHORT).await });
            Self { address, shutdown, serving }
        }

        async fn end(self) {
            self.shutdown.cancel();
            tokio::time::timeout(DEADLINE, self.serving).await.expect("the end of serving").unwrap();
        }
    }

    fn ok() -> Router {
        Router::new().route("/", get(async || "ok"))
    }

    /// Waits until the other side has closed.
    async fn closed(stream: &mut TcpStream) {
        let mut rest = Vec::new();
        drop(tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("it is closed"));
    }

    #[tokio::test]
    async fn a_connection_too_many_waits_until_an_answer_was_given() {
        let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (begun.clone(), go.clone());
        let held = async move || {
            tell.add_permits(1);
            drop(wait.acquire().await.unwrap());
            "ok"
        };
        let served = Served::start(with_room(1), Router::new().route("/", get(held))).await;
        let mut first = ask(served.address).await;
        // Until it is asked something, a connection may be closed for the next one.
        drop(begun.acquire().await.unwrap());
        let mut late = ask(served.address).await;
        assert_eq!(answer(&mut late, SHORT).await, None, "there is no room yet");
        go.add_permits(1);
        assert_eq!(answer(&mut first, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        assert_eq!(answer(&mut late, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        served.end().await;
    }

    #[tokio::test]
    async fn at_the_limit_the_connection_that_is_idle_longest_gives_way() {
        let served = Served::start(with_room(2), ok()).await;
        // One has begun a head and does not go on; the other has asked and keeps its connection.
        let mut halting = TcpStream::connect(served.address).await.unwrap();
        halting.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        let mut kept = ask(served.address).await;
        assert_eq!(answer(&mut kept, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        let mut late = ask(served.address).await;
        assert_eq!(answer(&mut late, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        closed(&mut halting).await;
        let mut later = ask(served.address).await;
        assert_eq!(answer(&mut later, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        closed(&mut kept).await;
        served.end().await;
    }

    #[tokio::test]
    async fn who_asks_nothing_does_not_keep_the_place_of_another() {
        // The time between requests is long; that until the first one is not.
        let limits = Limits { connections: 3, first_head: Duration::from_secs(1), idle: 10 * DEADLINE };
        let served = Served::start(limits, ok()).await;
        let mut kept = ask(served.address).await;
        assert_eq!(answer(&mut kept, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        let mut silent = TcpStream::connect(served.address).await.unwrap();
        closed(&mut silent).await;
        // A head that never ends, too.
        let mut halting = TcpStream::connect(served.address).await.unwrap();
        halting.write_all(b"GET / HTTP/1.1\r\nhost").await.unwrap();
        closed(&mut halting).await;
        // Who has asked before may ask again, later than that.
        kept.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut rest = String::new();
        tokio::time::timeout(DEADLINE, kept.read_to_string(&mut rest)).await.unwrap().unwrap();
        assert!(rest.contains("HTTP/1.1 200"), "{rest}");
        served.end().await;
    }

    /// A request that is under way when nothing more is accepted has the time to drain, and is answered.
    #[tokio::test]
    async fn what_is_in_flight_is_answered_after_accepting_has_ended() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, shutdown) = (listener.address(), CancellationToken::new());
        let (begun, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tell, wait) = (begun.clone(), go.clone());
        let held = async move || {
            tell.add_permits(1);
            drop(wait.acquire().await.unwrap());
            "ok"
        };
        let router = Router::new().route("/", get(held));
        let until = shutdown.clone();
        let serving =
            tokio::spawn(async move { listener.serve_within(with_room(2), router, until, DEADLINE).await });
        let mut under_way = ask(address).await;
        drop(begun.acquire().await.unwrap());
        shutdown.cancel();
        let refused = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, refused).await.expect("nothing more is accepted");
        go.add_permits(1);
        assert_eq!(answer(&mut under_way, DEADLINE).await.as_deref(), Some("HTTP/1.1 200"));
        tokio::time::timeout(DEADLINE, serving).await.expect("the end of serving").unwrap();
    }

    #[tokio::test]
    async fn a_full_listener_still_ends() {
        let held = async || std::future::pending::<&'static str>().await;
        let served = Served::start(with_room(1), Router::new().route("/", get(held))).await;
        let (first, second) = (ask(served.address).await, ask(served.address).await);
        served.end().await;
        drop((first, second));
    }
}
