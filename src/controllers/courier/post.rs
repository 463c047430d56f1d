//! Sends one event over HTTP, once, within its time, and says what came of it. It follows nobody elsewhere.
//!
//! Whoever writes a Job says where this process sends something. So what is local to this machine is refused where it
//! connects, after names were resolved, unless it was allowed: in a cluster nobody means the controller's own ports, nor
//! what a cloud tells its machines there.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tower::Service;

use crate::event::http::encode_binary;
use crate::event::{Event, TraceContext};
use crate::plan::{Answer, is_local};

/// Bytes of an answer that are looked at: what a dead letter holds of it.
const MAX_ANSWER: usize = 1024;
/// How long a connection that nothing is sent on is kept, and how many of one destination.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_CONNECTIONS: usize = 8;
/// Time to connect: less than an attempt has, so that the next address of a name has its chance.
const CONNECT: Duration = Duration::from_secs(10);

/// A client. Cheap to clone.
#[derive(Clone)]
pub(super) struct Post {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    allows_local: bool,
}

/// What a destination said.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) answer: Answer,
    /// In words, where it was no success.
    pub(super) words: String,
    /// The beginning of its body.
    pub(super) data: Bytes,
}

impl Said {
    pub(super) fn nothing(answer: Answer, words: String) -> Self {
        Self { answer, words, data: Bytes::new() }
    }
}

impl Post {
    /// A client that trusts whom this machine trusts. Reads files.
    pub(super) fn new(allows_local: bool) -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if let Some(error) = found.errors.first() {
            tracing::warn!(
                trusted = roots.len(),
                error = error as &dyn std::error::Error,
                "not every trusted certificate can be read"
            );
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has every version that is usual")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new_with_resolver(Resolver { inner: GaiResolver::new(), allows_local });
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT));
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_timer(TokioTimer::new())
            .build(https);
        Self { client, allows_local }
    }

    /// Sends `event` there.
    pub(super) async fn send(&self, to: &Uri, event: &Event, timeout: Duration) -> Said {
        let literal = to.host().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        if let Some(address) = literal.filter(|address| !self.allows_local && is_local(*address)) {
            return Said::nothing(Answer::Nowhere, refused(address));
        }
        match tokio::time::timeout(timeout, self.exchange(to, event)).await {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => Said::nothing(Answer::Silence, words(&error)),
            Err(_) => Said::nothing(Answer::Silence, format!("no answer within {} s", timeout.as_secs_f32())),
        }
    }

    async fn exchange(&self, to: &Uri, event: &Event) -> Result<Said, hyper_util::client::legacy::Error> {
        let response = self.client.request(request(to, event)).await?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER);
        let after = after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let reason = status.canonical_reason().unwrap_or_default();
        let words = format!("{} {reason}", status.as_u16()).trim_end().to_owned();
        // Of a success the body is nobody's; what is left of it goes with the connection.
        let data = if status.is_success() { Bytes::new() } else { beginning(response).await };
        Ok(Said { answer: Answer::Status(status.as_u16(), after), words, data })
    }
}

/// The event in binary mode, with its trace as the trace of this hop.
fn request(to: &Uri, event: &Event) -> Request<Full<Bytes>> {
    let (headers, body) = encode_binary(event);
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = to.clone();
    *request.headers_mut() = headers;
    for name in [TraceContext::PARENT, TraceContext::STATE] {
        let value = event.attribute(name).and_then(|value| HeaderValue::try_from(value.text().as_ref()).ok());
        if let Some(value) = value {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    let agent = concat!("kakehi/", env!("CARGO_PKG_VERSION"));
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
    request
}

/// The beginning of a body; what cannot be read of it is not there.
async fn beginning(response: Response<Incoming>) -> Bytes {
    let mut body = response.into_body();
    let mut read = Vec::new();
    while read.len() < MAX_ANSWER {
        let Some(Ok(frame)) = body.frame().await else { break };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
    }
    read.truncate(MAX_ANSWER);
    read.into()
}

/// An error and what is behind it.
fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn refused(address: IpAddr) -> String {
    format!(
        "{address} is local to the machine of the controller, and not allowed (--allow-local-destinations)"
    )
}

/// Resolves names, and finds nothing local unless it may.
#[derive(Clone)]
struct Resolver {
    inner: GaiResolver,
    allows_local: bool,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (found, allows_local) = (self.inner.call(name), self.allows_local);
        Box::pin(async move {
            let (local, others): (Vec<_>, Vec<_>) =
                found.await?.partition(|address: &SocketAddr| !allows_local && is_local(address.ip()));
            match local.first() {
                Some(address) if others.is_empty() => {
                    Err(io::Error::new(io::ErrorKind::PermissionDenied, refused(address.ip())))
                }
                _ => Ok(others.into_iter()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn event() -> Event {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        Event::builder().required("1", "/s", "t").set("traceparent", parent).data("{}").build().unwrap()
    }

    /// A destination that reads a head and gives that answer; what it read comes back.
    async fn destination(answer: &'static str) -> (Uri, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/in?x=1", listener.local_addr().unwrap()).parse().unwrap();
        let reading = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = Vec::new();
            while !read.ends_with(b"{}") {
                let mut buffer = [0; 1024];
                let count = stream.read(&mut buffer).await.unwrap();
                read.extend_from_slice(buffer.get(..count).unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(read).unwrap()
        });
        (uri, reading)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_event_goes_out_in_binary_mode_with_its_trace() {
        let (uri, read) = destination("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await;
        let said = Post::new(true).send(&uri, &event(), LONG).await;
        assert_eq!(said.answer, Answer::Status(202, None));
        let head = read.await.unwrap();
        assert!(head.starts_with("POST /in?x=1 HTTP/1.1\r\n"), "{head}");
        for line in [
            "ce-id: 1\r\n",
            "ce-specversion: 1.0\r\n",
            "\r\ntraceparent: 00-4bf9",
            "ce-traceparent: 00-4bf9",
            "user-agent: kakehi/",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
    }

    #[tokio::test]
    async fn what_a_destination_says_is_read_and_not_followed() {
        let answer =
            "HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 3\r\n\r\nno!";
        let (uri, _read) = destination(answer).await;
        let said = Post::new(true).send(&uri, &event(), LONG).await;
        assert_eq!((said.answer, said.words.as_str()), (Answer::Status(302, None), "302 Found"));
        assert_eq!(said.data, "no!");
        let (uri, _read) =
            destination("HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(Post::new(true).send(&uri, &event(), LONG).await.answer, Answer::Status(503, Some(7)));
    }

    #[tokio::test]
    async fn a_body_without_an_end_is_read_to_a_bound() {
        let long = Box::leak(format!("HTTP/1.1 500 No\r\n\r\n{}", "x".repeat(100_000)).into_boxed_str());
        let (uri, _read) = destination(long).await;
        assert_eq!(Post::new(true).send(&uri, &event(), LONG).await.data.len(), MAX_ANSWER);
    }

    #[tokio::test]
    async fn nobody_listening_and_nobody_answering_are_silence() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: Uri = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let said = Post::new(true).send(&uri, &event(), Duration::from_millis(20)).await;
        assert_eq!((said.answer, said.words.as_str()), (Answer::Silence, "no answer within 0.02 s"));
        drop(listener);
        let said = Post::new(true).send(&uri, &event(), LONG).await;
        assert_eq!(said.answer, Answer::Silence);
        assert!(said.words.contains("refused"), "{}", said.words);
    }

    #[tokio::test]
    async fn what_is_local_is_no_destination_by_number_or_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sender = Post::new(false);
        for host in ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
            let uri: Uri = format!("http://{host}:{port}/").parse().unwrap();
            let said = sender.send(&uri, &event(), LONG).await;
            assert_eq!(said.answer, Answer::Nowhere, "{host}: {said:?}");
        }
        let uri: Uri = format!("http://localhost:{port}/").parse().unwrap();
        let said = sender.send(&uri, &event(), LONG).await;
        assert_eq!(said.answer, Answer::Silence);
        assert!(said.words.contains("is local to the machine"), "{}", said.words);
    }
}
