//! What `kill -9` may do to `kakehi dev`: nothing that a sender was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use kakehi::api::{CONDITION_COMPLETED, Execution, condition};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher, watcher::Config};
use kube::{Api, ResourceExt};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::eventually;
use crate::support::process::{Dev, Home};

/// Events that are sent.
const EVENTS: usize = 1000;
/// Senders, each with one event under way.
const SENDERS: usize = 16;
/// Times that the process is killed.
const KILLS: usize = 5;
/// Time that all the runs may take together, without optimisation and beside other tests.
const FINISH: Duration = Duration::from_secs(300);
/// Decides when; the same in every run.
const SEED: u64 = 0x6b61_6b65_6869;

const JOB: &str = r"
apiVersion: run.kakehi.dev/v1alpha1
kind: Job
metadata: {name: count}
spec:
  template: {spec: {template: {spec: {maxRetries: 0, containers: [{image: busybox, command: ['true']}]}}}}
";

/// Xorshift: enough to spread the kills, and the same everywhere.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Sends event after event, each until it is acknowledged. `None` stands for a process that is just dead.
async fn send(
    next: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<usize>>,
    mut sink: watch::Receiver<Option<String>>,
) {
    let http: HttpClient<_, Full<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= EVENTS {
            return;
        }
        loop {
            let url = sink.wait_for(Option::is_some).await.expect("the test outlives its senders").clone();
            let request =
                Request::post(format!("{}/namespaces/default/jobs/count", url.expect("just checked")))
                    .header("ce-specversion", "1.0")
                    .header("ce-id", number.to_string())
                    .header("ce-source", "/crash")
                    .header("ce-type", "com.example.count")
                    .body(Full::default())
                    .expect("the request is well formed");
            if let Ok(answer) = http.request(request).await {
                if answer.status() == StatusCode::ACCEPTED {
                    break;
                }
                // 404 and 503 ask to come again; anything else would be a lie about a good event.
                let again =
                    [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
                assert!(again.contains(&answer.status()), "event {number} was answered {}", answer.status());
            }
            tokio::task::yield_now().await;
        }
        *acknowledged.lock() += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_event_becomes_one_finished_run_however_often_the_process_is_killed() {
    let home = Home::new();
    let manifest = home.file("job.yaml", JOB);
    let state = home.path().join("state").to_str().unwrap().to_owned();
    let options = ["--quiet", "--max-pods", "32", "--data-dir", &state, "-f", &manifest];

    let mut seed = SEED;
    let mut kills: Vec<usize> =
        (0..KILLS).map(|_| usize::try_from(random(&mut seed) % 1000).unwrap()).collect();
    kills.sort_unstable();

    let mut process = Dev::start_in(home, &options).await;
    let (current, sink) = watch::channel(Some(process.url("sink")));
    let (next, acknowledged) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(0)));
    let mut senders = JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(next.clone(), acknowledged.clone(), sink.clone()));
    }
    for moment in kills {
        eventually("events to be acknowledged", async || {
            let count = *acknowledged.lock();
            if count >= moment { Ok(()) } else { Err(count) }
        })
        .await;
        current.send_replace(None);
        let (_, home) = process.stop(Signal::SIGKILL).await;
        process = Dev::start_in(home, &options).await;
        current.send_replace(Some(process.url("sink")));
    }
    while let Some(sent) = senders.join_next().await {
        sent.unwrap();
    }

    let runs: Api<Execution> = Api::default_namespaced(process.client());
    let ended = tokio::time::timeout(FINISH, all_to_end(&runs)).await;
    let finished = runs.list(&ListParams::default()).await.unwrap().items;
    let open = finished.iter().filter(|run| outcome(run) == "Unknown").count();
    assert!(ended.is_ok(), "{open} of {} runs are open after {FINISH:?}", finished.len());

    let ids: BTreeSet<String> = finished.iter().map(|run| run.spec.events[0].id.clone()).collect();
    assert_eq!(ids.len(), EVENTS, "an acknowledged event was lost");
    assert_eq!(finished.len(), EVENTS, "an event ran twice");
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for run in &finished {
        *outcomes.entry(outcome(run)).or_default() += 1;
    }
    // No retries are left to hide behind: a killed runner must not cost one.
    assert_eq!(outcomes, BTreeMap::from([("True".to_owned(), EVENTS)]));
    let (code, _) = process.stop(Signal::SIGTERM).await;
    assert_eq!(code, 0, "a polite end is a clean one");
}

/// Watches until as many runs as there are events have ended. A list at every look would keep both sides busy.
async fn all_to_end(runs: &Api<Execution>) {
    let mut seen = pin!(watcher(runs.clone(), Config::default()).default_backoff().applied_objects());
    let mut ended = BTreeSet::new();
    while ended.len() < EVENTS {
        let run = seen.next().await.expect("a watch is without end").unwrap();
        if outcome(&run) != "Unknown" {
            ended.insert(run.name_any());
        }
    }
}

fn outcome(run: &Execution) -> String {
    let conditions = run.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    condition(conditions, CONDITION_COMPLETED)
        .map_or_else(|| "Unknown".to_owned(), |completed| completed.status.clone())
}
