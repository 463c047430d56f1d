//! `GetExecution` per second, which is what a client that waits asks for; beside a bare tonic handler that answers the same
//! message, driven by the same client in the same run, so that the figure means something on any machine.
//!
//! `cargo bench --bench api`. Also says what a poll costs the API server: nothing.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use http::Request;
use kakehi::api::Job;
use kakehi::cloudrun::CloudRun;
use kakehi::listen::Listener;
use kakehi::local::{Local, Options};
use kakehi::ops::{self, Mode};
use kube::api::PostParams;
use kube::client::Body;
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_prost::ProstCodec;
use v2::executions_client::ExecutionsClient;

/// Clients that wait at the same time, each for its answer.
const CLIENTS: usize = 64;
/// Connections that they share.
const CONNECTIONS: usize = 4;
/// Answers of one measurement.
const POLLS: usize = 20_000;
/// Executions that there are.
const EXECUTIONS: usize = 1000;
/// Runs of each measurement; the best one counts, because the machine's other work only ever slows.
const RUNS: usize = 3;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let directory = tempfile::tempdir()?;
    let asked = Arc::new(AtomicUsize::new(0));
    let (ours, names) = serve_ours(directory.path(), &asked, &shutdown).await?;
    let name = names[0].clone();
    let first = client(ours).await?.get_execution(v2::GetExecutionRequest { name }).await?.into_inner();
    let bare = serve_bare(first, &shutdown).await?;

    let mut reference = 0.0;
    println!(
        "{CLIENTS} clients on {CONNECTIONS} connections, {POLLS} polls of {EXECUTIONS} executions, best of {RUNS}"
    );
    for (what, address) in [("bare tonic handler", bare), ("GetExecution", ours)] {
        let before = asked.load(Ordering::Relaxed);
        let mut best = Duration::MAX;
        for _ in 0..RUNS {
            best = best.min(drive(address, &names).await?);
        }
        let rate = f64::from(u32::try_from(POLLS)?) / best.as_secs_f64();
        if what == "bare tonic handler" {
            reference = rate;
        }
        let cost = asked.load(Ordering::Relaxed) - before;
        println!(
            "{what:<20} {rate:>9.0} /s   {:>5.2} of bare   {cost} requests to the API server",
            rate / reference
        );
    }
    shutdown.cancel();
    Ok(())
}

/// Everything that the API needs, with Executions that nobody looks after.
async fn serve_ours(
    directory: &std::path::Path,
    asked: &Arc<AtomicUsize>,
    shutdown: &CancellationToken,
) -> anyhow::Result<(SocketAddr, Vec<String>)> {
    let local = Local::open(Options {
        directory: directory.to_owned(),
        durable: false,
        definitions: kakehi::api::crds(),
        admissions: Vec::new(),
        max_pods: 1,
        inherited: std::collections::BTreeMap::new(),
    })?;
    let client = local.client();
    let until = shutdown.clone();
    tokio::spawn(async move { local.run(until).await });
    let job: Job = serde_json::from_value(serde_json::json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "bench"},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [{
            "image": "busybox", "args": ["one", "two"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        }]}}}}},
    }))?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");
    let job = jobs.create(&PostParams::default(), &job).await?;
    let mut names = Vec::with_capacity(EXECUTIONS);
    for _ in 0..EXECUTIONS {
        let run = ops::run_with(&client, &job, None, None, Mode::Commit).await?;
        let id = run.metadata.name.unwrap_or_default();
        names.push(format!("projects/default/locations/l/jobs/bench/executions/{id}"));
    }
    let api = CloudRun::new(counted(&client, asked), kakehi::auth::Gate::open());
    let (following, until) = (api.clone(), shutdown.clone());
    tokio::spawn(async move { following.run(until).await });
    while !api.is_ready() {
        tokio::task::yield_now().await;
    }
    Ok((listen(api.router(), shutdown).await?, names))
}

/// The same client, with its requests counted.
fn counted(client: &Client, asked: &Arc<AtomicUsize>) -> Client {
    let (beyond, asked) = (client.clone(), Arc::clone(asked));
    let service = tower::service_fn(move |request: Request<Body>| {
        asked.fetch_add(1, Ordering::Relaxed);
        let beyond = beyond.clone();
        async move { beyond.send(request).await }
    });
    Client::new(service, client.default_namespace())
}

/// A handler that decodes the question and answers one message, and does nothing else.
async fn serve_bare(answer: v2::Execution, shutdown: &CancellationToken) -> anyhow::Result<SocketAddr> {
    let answer = Arc::new(answer);
    let handler = async move |request: Request<axum::body::Body>| {
        let answer = Arc::clone(&answer);
        let method = tower::service_fn(move |_: tonic::Request<v2::GetExecutionRequest>| {
            let answer = Arc::clone(&answer);
            async move { Ok::<_, Status>(Response::new(v2::Execution::clone(&answer))) }
        });
        let codec: ProstCodec<v2::Execution, v2::GetExecutionRequest> = ProstCodec::default();
        tonic::server::Grpc::new(codec).unary(method, request).await
    };
    let router = Router::new().route("/google.cloud.run.v2.Executions/GetExecution", post(handler));
    listen(router, shutdown).await
}

async fn listen(router: Router, shutdown: &CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = Listener::bind("127.0.0.1:0".parse()?).await?;
    let address = listener.address();
    tokio::spawn(listener.serve(router, shutdown.clone(), Duration::ZERO));
    Ok(address)
}

async fn client(address: SocketAddr) -> anyhow::Result<ExecutionsClient<Channel>> {
    Ok(ExecutionsClient::new(Channel::from_shared(format!("http://{address}"))?.connect().await?))
}

/// The time that all polls take.
async fn drive(address: SocketAddr, names: &[String]) -> anyhow::Result<Duration> {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        connections.push(client(address).await?);
    }
    let names: Arc<[String]> = names.into();
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (mut client, names) = (connections[number % CONNECTIONS].clone(), Arc::clone(&names));
        clients.spawn(async move {
            for poll in (number..POLLS).step_by(CLIENTS) {
                let name = names[poll % names.len()].clone();
                client.get_execution(v2::GetExecutionRequest { name }).await?;
            }
            Ok::<_, Status>(())
        });
    }
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}
