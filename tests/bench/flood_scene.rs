//! A flood of events into local mode: its API server and Job controller, our sink and controllers, and a stand-in for a
//! kubelet that reports every Pod as succeeded and runs nothing. Shared by a test and a bench.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use futures::{StreamExt, TryStreamExt, stream};
use http::{Request, StatusCode};
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;
use kakehi::api::Job;
use kakehi::local::server::{self, Server};
use kakehi::local::store::{self, Store};
use kakehi::local::workload;
use kakehi::plan::Guards;
use kakehi::sink::{self, Sink};
use kakehi::triggers::Triggers;
use kakehi::{api, controllers};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Requests of the sender at the same time.
const SENDERS: usize = 64;
/// Pause between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(50);
/// How often an event is sent again that was not taken.
const TRIES: usize = 100;

/// What is poured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flood {
    /// How many events.
    pub(crate) events: usize,
    /// From one event to the next; none for as fast as it goes.
    pub(crate) pause: Option<Duration>,
    /// How many runs may be under way.
    pub(crate) live: usize,
    /// No state takes longer.
    pub(crate) deadline: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Tide {
    /// How long each event waited for its 202.
    pub(crate) answers: Vec<Duration>,
    /// Until the last of them.
    pub(crate) accepted: Duration,
    /// Until the last run had ended.
    pub(crate) finished: Duration,
    /// Most `batch/v1` Jobs that existed and had not ended.
    pub(crate) most_live: usize,
    /// Executions that there are.
    pub(crate) runs: usize,
}

/// Pours events until every run has ended.
pub(crate) async fn pour(flood: Flood) -> anyhow::Result<Tide> {
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let store = Store::open(store::Options::memory())?;
    let server = Server::new(store, api::crds(), server::Options::default())?;
    let client = Client::new(server.router(), "default");
    let (until, upkeep) = (stop.clone(), server.clone());
    tokio::spawn(async move { upkeep.run(until).await });
    tokio::spawn(workload::run(client.clone(), workload::Options::default(), stop.clone()));
    let guards = Guards { live: Some(flood.live), live_per_namespace: None };
    let options = controllers::Options { guards, ..controllers::Options::default() };
    tokio::spawn(controllers::run(client.clone(), options, stop.clone()));
    let triggers = Triggers::new(client.clone());
    let sink = Sink::new(client.clone(), triggers.clone(), sink::Options::default(), stop.clone());
    let (until, live) = (stop.clone(), triggers.clone());
    tokio::spawn(async move { live.run(until).await });

    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let job = json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "flood"},
        "spec": {
            "history": {"limit": 1_000_000},
            "template": {"spec": {"template": {"spec": {"containers": [{"image": "none", "command": ["true"]}]}}}},
        },
    });
    jobs.create(&PostParams::default(), &serde_json::from_value(job)?).await?;
    let mut looks = interval(LOOK);
    while !triggers.is_ready() || triggers.job("default", "flood").await?.is_none() {
        looks.tick().await;
    }
    let most_live = Arc::new(AtomicUsize::new(0));
    let poured = async {
        let begun = Instant::now();
        let answers = send(&sink.router(), flood).await?;
        let accepted = begun.elapsed();
        let runs = ended(&jobs, flood.events).await?;
        Ok::<_, anyhow::Error>((answers, accepted, begun.elapsed(), runs))
    };
    let (answers, accepted, finished, runs) = tokio::select! {
        poured = tokio::time::timeout(flood.deadline, poured) => match poured {
            Ok(poured) => poured?,
            Err(_) => anyhow::bail!("so far: {:?}, {most_live:?} at a time", jobs.get("flood").await?.status),
        },
        counted = count(Api::default_namespaced(client.clone()), &most_live) => anyhow::bail!("the count ended: {counted:?}"),
        played = succeed(Api::default_namespaced(client.clone())) => anyhow::bail!("the kubelet ended: {played:?}"),
    };
    Ok(Tide { answers, accepted, finished, most_live: most_live.load(Ordering::Relaxed), runs })
}

/// Sends every event until it is taken.
async fn send(sink: &Router, flood: Flood) -> anyhow::Result<Vec<Duration>> {
    let pace = stream::unfold(flood.pause.map(interval), |mut pace| async move {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        Some(((), pace))
    });
    let numbers = pace.take(flood.events).enumerate().map(|(number, ())| number);
    let sent = numbers.map(|number| async move {
        let begun = Instant::now();
        let mut status = StatusCode::OK;
        for _ in 0..TRIES {
            let request = Request::post("/namespaces/default/jobs/flood")
                .header("ce-specversion", "1.0")
                .header("ce-id", number.to_string())
                .header("ce-source", "/flood")
                .header("ce-type", "drop")
                .body(Body::empty())?;
            status = sink.clone().oneshot(request).await.map_err(|never| match never {})?.status();
            if status == StatusCode::ACCEPTED {
                return Ok(begun.elapsed());
            }
        }
        Err(anyhow::anyhow!("event {number} is not taken: {status}"))
    });
    sent.buffer_unordered(SENDERS).try_collect().await
}

/// Waits until all runs have ended, and says how many there are.
async fn ended(jobs: &Api<Job>, events: usize) -> anyhow::Result<usize> {
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        let status = jobs.get("flood").await?.status.unwrap_or_default();
        let runs = usize::try_from(status.execution_count)?;
        if runs >= events && status.running_count + status.queued_count == 0 {
            return Ok(runs);
        }
    }
}

/// Counts the `batch/v1` Jobs that have not ended, and keeps the greatest count.
async fn count(sets: Api<batchv1::Job>, most: &AtomicUsize) -> anyhow::Result<()> {
    let mut live = HashSet::new();
    let mut events = std::pin::pin!(watcher(sets, watcher::Config::default()));
    while let Some(event) = events.try_next().await? {
        let (Event::Apply(set) | Event::InitApply(set)) = event else { continue };
        let has_ended =
            set.status.iter().flat_map(|status| status.conditions.iter().flatten()).any(|condition| {
                matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
            });
        if has_ended {
            live.remove(&set.name_any());
        } else {
            live.insert(set.name_any());
        }
        most.fetch_max(live.len(), Ordering::Relaxed);
    }
    Ok(())
}

/// A kubelet that reports every Pod as succeeded and runs nothing.
async fn succeed(pods: Api<Pod>) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields("status.phase=Pending");
    let parameters = PatchParams::default();
    let report = |pod: Pod| {
        let (pods, parameters) = (&pods, &parameters);
        async move {
            let container = pod.spec.iter().flat_map(|spec| &spec.containers).next();
            let name = container.map(|container| container.name.clone()).unwrap_or_default();
            let now = k8s_openapi::jiff::Timestamp::now();
            let status = json!({"status": {"phase": "Succeeded", "startTime": now, "containerStatuses": [{
                "name": name, "image": "none", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}},
            }]}});
            pods.patch_status(&pod.name_any(), parameters, &Patch::Merge(status)).await?;
            Ok(())
        }
    };
    let waiting = watcher(pods.clone(), config).try_filter_map(|event| async move {
        Ok(match event {
            Event::Apply(pod) | Event::InitApply(pod) => Some(pod),
            Event::Delete(_) | Event::Init | Event::InitDone => None,
        })
    });
    waiting.map_err(anyhow::Error::from).try_for_each_concurrent(16, report).await
}
