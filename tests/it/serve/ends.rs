//! How it ends: in order, without losing what it has said yes to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::StatusCode;
use http::header::CONNECTION;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::process::{Cluster, JOB, Serve, event_in};
use crate::support::eventually;

const SENDERS: usize = 8;
/// Events that still come after readiness was withdrawn.
const LATE: usize = 40;

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("a connection while it is ready");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Sends one event after the other as a client behind a Service does: it keeps its connection until it is told to close
/// it, and opens a new one only while the process is ready. Every request must be answered.
async fn send(
    (address, namespace): (SocketAddr, String),
    ready: Arc<AtomicBool>,
    next: Arc<AtomicUsize>,
) -> Vec<String> {
    let (mut connection, mut accepted) = (connect(address).await, Vec::new());
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed).to_string();
        connection.ready().await.unwrap();
        let answer = connection.send_request(event_in(&namespace, address, "work", &id)).await;
        let answer = answer.unwrap_or_else(|error| panic!("event {id} was not answered: {error:?}"));
        match answer.status() {
            StatusCode::ACCEPTED => accepted.push(id),
            refused => panic!("event {id} was answered {refused}"),
        }
        let close = answer.headers().get(CONNECTION).is_some_and(|value| value == "close");
        answer.into_body().collect().await.unwrap();
        if close {
            if !ready.load(Ordering::Relaxed) {
                return accepted;
            }
            connection = connect(address).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_loses_no_event_and_breaks_no_connection() {
    let cluster = Cluster::start().await;
    end_under_load(&cluster, &["--sink", "--grace-period", "20"]).await;
}

/// The same where requests take a network, TLS and etcd's time; both roles end, and the lease is given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_under_load_loses_no_event_on_a_real_api_server_either() {
    let Some(cluster) = Cluster::real().await else { return };
    let serve =
        end_under_load(&cluster, &["--grace-period", "25", "--watch-namespace", &cluster.namespace]).await;
    serve.said("lease released").await;
}

/// Sends events while the process is told to end. It must do so within its grace period, or its exit code tells.
async fn end_under_load(cluster: &Cluster, arguments: &[&str]) -> Serve {
    cluster.apply(JOB).await;
    let mut serve = cluster.serve(arguments).await;
    serve.is_ready().await;
    serve.send("work", "first").await;
    let (ready, next) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        let target = (serve.sink.unwrap(), cluster.namespace.clone());
        senders.spawn(send(target, ready.clone(), next.clone()));
    }
    let under_way = async || if next.load(Ordering::Relaxed) > 100 { Ok(()) } else { Err("too few") };
    eventually("events to be sent", under_way).await;
    serve.signal(Signal::SIGTERM);
    eventually("readiness to be withdrawn", async || match serve.admin("/readyz").await {
        (StatusCode::SERVICE_UNAVAILABLE, reasons) if reasons.contains("stopping") => Ok(()),
        answer => Err(answer),
    })
    .await;
    // Routers hear of it later than we do.
    let late = next.load(Ordering::Relaxed) + LATE;
    let sent = async || if next.load(Ordering::Relaxed) > late { Ok(()) } else { Err("too few") };
    eventually("events that come late", sent).await;
    ready.store(false, Ordering::Relaxed);
    let mut accepted = BTreeSet::from(["first".to_owned()]);
    while let Some(sent) = senders.join_next().await {
        accepted.extend(sent.unwrap());
    }
    assert_eq!(serve.ended().await, 0, "{:#?}", serve.log());
    assert!(accepted.len() > 100 + LATE, "{accepted:?}");
    let events = cluster.executions().await.into_iter().flat_map(|execution| execution.spec.events);
    let stored: BTreeSet<String> = events.map(|event| event.id).collect();
    assert_eq!(stored, accepted);
    serve
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let cluster = Cluster::start().await;
    let mut serve = cluster.serve(&["--sink", "--grace-period", "3600"]).await;
    serve.signal(Signal::SIGTERM);
    serve.said("stopping").await;
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.ended().await, 130);
}
