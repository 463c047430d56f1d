//! Events accepted per second over the whole path: HTTP, decoding, one durable create each; beside a bare hyper echo
//! that is driven by the same client in the same run, so that the figure means something on any machine.
//!
//! `cargo bench --bench accept`. The controllers stand still meanwhile: this is the rate at which events are safe.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kakehi::api::Job;
use kakehi::listen::Listener;
use kakehi::local::{Local, Options};
use kakehi::sink::{self, Sink};
use kakehi::triggers::Triggers;
use kube::Api;
use kube::api::PostParams;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections that send at the same time, each waiting for its answer.
const CONNECTIONS: usize = 64;
/// Events of one measurement.
const EVENTS: usize = 20_000;
/// Bytes of each event's data.
const DATA: usize = 512;
/// Runs of each measurement; the best one counts, because the machine's other work only ever slows.
const RUNS: usize = 3;

/// What a measurement says.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let directory = tempfile::tempdir()?;
    let echo = serve_echo().await?;
    let (sink, server) = serve_sink(directory.path(), shutdown.clone()).await?;

    let mut lines = Vec::new();
    for (name, address, path) in [
        ("bare hyper echo", echo, "/"),
        ("durable accept, to a Job's address", sink, "/namespaces/default/jobs/bench"),
    ] {
        let mut best: Option<Figures> = None;
        for run in 0..RUNS {
            let figures = drive(address, path, run).await?;
            if best.as_ref().is_none_or(|best| figures.per_second > best.per_second) {
                best = Some(figures);
            }
        }
        lines.push((name, best.expect("there is at least one run")));
    }
    let base = lines[0].1.per_second;
    println!("{CONNECTIONS} connections, {EVENTS} events of {DATA} bytes, best of {RUNS}");
    for (name, Figures { per_second, p50, p99 }) in &lines {
        println!(
            "{name:<36} {per_second:>9.0} /s   p50 {p50:>9.2?}   p99 {p99:>9.2?}   {:>5.2} of echo",
            per_second / base
        );
    }
    shutdown.cancel();
    server.await?;
    Ok(())
}

/// A server that reads a request and answers 202, and does nothing else.
async fn serve_echo() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                let read = request.into_body().collect().await.is_ok();
                let status = if read { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST };
                let mut answer = Response::new(Full::<Bytes>::default());
                *answer.status_mut() = status;
                Ok::<_, Infallible>(answer)
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}

/// The sink over a durable local Kubernetes, whose controllers stand still.
async fn serve_sink(
    directory: &std::path::Path,
    shutdown: CancellationToken,
) -> anyhow::Result<(SocketAddr, tokio::task::JoinHandle<()>)> {
    let local = Local::open(Options {
        directory: directory.to_owned(),
        durable: true,
        definitions: kakehi::api::crds(),
        admissions: Vec::new(),
        max_pods: 1,
        inherited: std::collections::BTreeMap::new(),
    })?;
    let client = local.client();
    let job: Job = serde_json::from_value(serde_json::json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "bench"},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "busybox", "command": ["true"]}]}}}}},
    }))?;
    Api::<Job>::default_namespaced(client.clone()).create(&PostParams::default(), &job).await?;
    let triggers = Triggers::new(client.clone());
    let (live, until) = (triggers.clone(), shutdown.clone());
    tokio::spawn(async move { live.run(until).await });
    let receiver = Sink::new(client, triggers, sink::Options::default(), shutdown.clone());
    let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.address();
    let served = tokio::spawn(async move {
        listener.serve(receiver.router(), shutdown, Duration::from_secs(5)).await;
        receiver.finish().await;
    });
    wait_until_accepting(address).await?;
    Ok((address, served))
}

/// Sends one event until it is accepted: the caches are warm then.
async fn wait_until_accepting(address: SocketAddr) -> anyhow::Result<()> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    tokio::spawn(connection);
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    loop {
        looks.tick().await;
        let answer = sender.send_request(event("/namespaces/default/jobs/bench", "warm")?).await?;
        if answer.status() == StatusCode::ACCEPTED {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not accepting: {}", answer.status());
        answer.into_body().collect().await?;
    }
}

/// Sends [`EVENTS`] events over [`CONNECTIONS`] connections and measures each answer.
async fn drive(address: SocketAddr, path: &'static str, run: usize) -> anyhow::Result<Figures> {
    let start = Instant::now();
    let mut senders = JoinSet::new();
    for connection in 0..CONNECTIONS {
        senders.spawn(async move {
            let (mut sender, driver) =
                http1::handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
            tokio::spawn(driver);
            let mut times = Vec::with_capacity(EVENTS / CONNECTIONS + 1);
            for number in (connection..EVENTS).step_by(CONNECTIONS) {
                let sent = Instant::now();
                let answer = sender.send_request(event(path, &format!("{run}-{number}"))?).await?;
                anyhow::ensure!(answer.status() == StatusCode::ACCEPTED, "answered {}", answer.status());
                answer.into_body().collect().await?;
                times.push(sent.elapsed());
            }
            Ok(times)
        });
    }
    let mut times = Vec::with_capacity(EVENTS);
    while let Some(sent) = senders.join_next().await {
        times.extend(sent??);
    }
    let took = start.elapsed();
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_second = EVENTS as f64 / took.as_secs_f64();
    Ok(Figures { per_second, p50: at(50), p99: at(99) })
}

fn event(path: &str, id: &str) -> anyhow::Result<Request<Full<Bytes>>> {
    Ok(Request::post(path)
        .header("host", "bench")
        .header("ce-specversion", "1.0")
        .header("ce-id", id)
        .header("ce-source", "/bench")
        .header("ce-type", "com.example.bench")
        .header("content-type", "text/plain")
        .body(Full::from(vec![b'x'; DATA]))?)
}
