//! Traces: a sender's trace goes on in our spans, and they arrive where the flag says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use kakehi::listen::Listener;
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::process::{Cluster, JOB, event};
use crate::support::eventually;
use crate::support::process::ROOTS;

type Received = Arc<Mutex<Vec<Bytes>>>;

/// Takes what an OTLP sender exports over gRPC, and says that it was taken (an empty message, status 0).
async fn export(State(received): State<Received>, message: Bytes) -> Response {
    received.lock().push(message);
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let frames = [Frame::data(Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn holds(messages: &[Bytes], wanted: &[&[u8]]) -> bool {
    messages.iter().any(|message| {
        wanted.iter().all(|wanted| message.windows(wanted.len()).any(|window| window == *wanted))
    })
}

/// A collector, what it has received, and what ends it.
async fn collector() -> (SocketAddr, Received, DropGuard) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, received, shutdown) = (listener.address(), Received::default(), CancellationToken::new());
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let collector = Router::new().route(path, post(export)).with_state(received.clone());
    tokio::spawn(listener.serve(collector, shutdown.clone(), Duration::ZERO));
    (address, received, shutdown.drop_guard())
}

/// Takes TLS off connections for who listens at that address. Returns where, and the certificate to trust.
async fn behind_tls(inner: SocketAddr) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut outer = acceptor.accept(stream).await?;
                let mut inner = TcpStream::connect(inner).await?;
                copy_bidirectional(&mut outer, &mut inner).await
            });
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn traces_go_over_tls_to_whom_the_system_trusts() {
    let (inner, received, _stop) = collector().await;
    let (address, certificate) = behind_tls(inner).await;
    let cluster = Cluster::start().await;
    cluster.home.file(ROOTS, &certificate);
    cluster.apply(JOB).await;
    let endpoint = format!("https://localhost:{}", address.port());
    let mut serve = cluster.serve(&["--otlp-endpoint", &endpoint, "--grace-period", "5"]).await;
    serve.is_ready().await;
    serve.send("work", "1").await;
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.ended().await, 0, "{:#?}", serve.log());
    assert!(holds(&received.lock(), &[b"service.name", b"kakehi"]), "{:#?}", serve.log());
}

#[tokio::test]
async fn a_senders_trace_goes_on_in_ours() {
    let (address, received, _stop) = collector().await;
    let endpoint = format!("http://{address}");
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    let mut serve = cluster.serve(&["--otlp-endpoint", &endpoint, "--grace-period", "5"]).await;
    serve.is_ready().await;
    let (of_request, of_event) = ([0xa1; 16], [0xe7; 16]);
    eventually("the event to be accepted", async || {
        let mut event = event(serve.sink.unwrap(), "work", "1");
        let parent = |byte: &str| {
            HeaderValue::try_from(format!("00-{}-00f067aa0ba902b7-01", byte.repeat(16))).unwrap()
        };
        event.headers_mut().insert("traceparent", parent("a1"));
        event.headers_mut().insert("ce-traceparent", parent("e7"));
        match serve.request(event).await.status() {
            StatusCode::ACCEPTED => Ok(()),
            refused => Err(refused),
        }
    })
    .await;
    cluster.succeeded(1).await;
    // What was not sent yet is sent at the end.
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.ended().await, 0, "{:#?}", serve.log());
    let received = received.lock();
    assert!(holds(&received, &[&of_request, b"request"]), "no span of the request");
    assert!(holds(&received, &[&of_event, b"reconcile"]), "no span of the run");
    assert!(holds(&received, &[b"service.name", b"kakehi"]), "no name");
}

#[tokio::test]
async fn a_collector_that_is_away_keeps_nothing_from_working() {
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    let arguments = ["--otlp-endpoint", "http://127.0.0.1:1", "--grace-period", "5"];
    let mut serve = cluster.serve(&arguments).await;
    serve.is_ready().await;
    serve.send("work", "1").await;
    cluster.succeeded(1).await;
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.ended().await, 0, "{:#?}", serve.log());
}
