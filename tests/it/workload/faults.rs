//! The Job controller dies, and answers to it are lost: nothing is created twice, lost or counted twice.

use super::*;
use axum::body::Body;
use futures::StreamExt;
use http::Method;
use http::Request;
use http::Response;
use kube::client::Body as Sent;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use tokio::runtime;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// How a Pod ends, by its index and the failures before it.
pub(crate) type Script = fn(u32, u32) -> i32;

/// Every Pod that ever was: UID → (job, index).
pub(crate) type Seen = Arc<Mutex<BTreeMap<String, (String, Option<u32>)>>>;

/// A kubelet that ends every Pod at once as the script says. Returns the Pods it saw.
pub(crate) fn kubelet(pods: Api<Pod>, script: Script) -> (Seen, JoinHandle<()>) {
    let seen = Seen::default();
    let record = seen.clone();
    let running = tokio::spawn(async move {
        let mut stream =
            watcher(pods.clone(), watcher::Config::default()).default_backoff().applied_objects().boxed();
        while let Some(pod) = stream.next().await {
            let Ok(pod) = pod else { continue };
            let job = pod.labels().get("job-name").cloned().unwrap_or_default();
            let first = record
                .lock()
                .expect("unpoisoned")
                .insert(pod.uid().unwrap_or_default(), (job, index(&pod)))
                .is_none();
            if first && phase(&pod) == "Pending" && pod.metadata.deletion_timestamp.is_none() {
                let failures = annotation(&pod, "job-index-failure-count").parse().unwrap_or(0);
                set_status(&pods, &pod, ended(script(index(&pod).unwrap_or(0), failures))).await;
            }
        }
    });
    (seen, running)
}

/// Every third index fails twice before it succeeds.
fn some_fail_twice(index: u32, failures: u32) -> i32 {
    i32::from(index.is_multiple_of(3) && failures < 2)
}

const TEN: &str = "completionMode: Indexed, completions: 10, parallelism: 3, backoffLimitPerIndex: 2, podReplacementPolicy: Failed";

/// Indexes 0, 3, 6 and 9 take three Pods each, the other six one.
const PODS_OF_TEN: usize = 18;

async fn check_tens(field: &Field, names: &[String], seen: &Seen) {
    for name in names {
        let (_, status) = field.until_condition(name, "Complete").await;
        assert_eq!((status.succeeded, status.failed), (Some(10), Some(8)), "{name}");
        assert_eq!(status.completed_indexes.as_deref(), Some("0-9"));
    }
    let seen = seen.lock().expect("unpoisoned");
    for name in names {
        let pods = seen.values().filter(|(job, _)| job == name).count();
        assert_eq!(pods, PODS_OF_TEN, "{name}: a pod too many or too few");
    }
}

/// Controllers on threads of their own, so that they can die as a process does: at once, and wholly.
///
/// Aborting their task is not enough: a pass that is being polled on another thread at that moment still sends its request, after the
/// successors have listed what there is.
struct Process(Option<Runtime>);

impl Process {
    fn start(client: Client) -> Self {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        runtime.spawn(workload::run(client, options(), CancellationToken::new()));
        Self(Some(runtime))
    }

    /// Returns when nothing of it runs any more and the server has done what it was asked for before.
    async fn kill(mut self, client: &Client) {
        let runtime = self.0.take();
        tokio::task::spawn_blocking(move || drop(runtime)).await.expect("the runtime ends");
        // The server dies with them in `kakehi dev`; here it lives on, so let it finish what it was already writing.
        let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
        let barrier = ConfigMap {
            metadata: ObjectMeta { generate_name: Some("barrier-".to_owned()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &barrier).await.expect("a config map can be created");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_is_killed_again_and_again_counts_every_failure_once() {
    let mut field = Field::local(options()).await;
    field.shutdown.cancel();
    (&mut field.controllers).await.expect("they end cleanly");
    let mut process = Process::start(field.client());
    let (seen, kubelet) = kubelet(field.pods(), some_fail_twice);
    let names: Vec<String> = (0..4).map(|number| format!("j{number}")).collect();
    for name in &names {
        field.job(name, TEN).await;
    }
    for progress in 1..8 {
        // Kill it each time when so many Pods more exist.
        let look = async || {
            let count = seen.lock().expect("unpoisoned").len();
            if count >= progress * 9 { Ok(()) } else { Err(count) }
        };
        eventually("the jobs go on", look).await;
        process.kill(&field.client()).await;
        process = Process::start(field.client());
    }
    check_tens(&field, &names, &seen).await;
    kubelet.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_shutdown_ends_the_controllers() {
    let mut field = Field::local(options()).await;
    field.job("j", TEN).await;
    field.until("j", "it runs", |status| status.active == Some(3)).await;
    field.shutdown.cancel();
    tokio::time::timeout(crate::support::DEADLINE, &mut field.controllers)
        .await
        .expect("in time")
        .expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_jobs_take_exactly_the_pods_they_need() {
    let field = Field::local(options()).await;
    let (seen, kubelet) = kubelet(field.pods(), some_fail_twice);
    let names: Vec<String> = (0..30).map(|number| format!("j{number}")).collect();
    for name in &names {
        field.job(name, TEN).await;
    }
    check_tens(&field, &names, &seen).await;
    kubelet.abort();
}

/// A client whose every n-th write is done, but its answer is lost; or is not done at all.
fn unreliable(field: &Field, every: usize) -> Client {
    let router = server(field).router();
    let count = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Sent>| {
        let (router, count) = (router.clone(), count.clone());
        async move {
            let write = request.method() != Method::GET;
            let number = if write { count.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
            let unavailable = || {
                Response::builder()
                    .status(503)
                    .body(Body::from("upstream connect error"))
                    .expect("a response")
            };
            if write && number.is_multiple_of(every * 2) {
                return Ok::<_, Infallible>(unavailable());
            }
            let answer = router.oneshot(request.map(Body::new)).await?;
            if write && number.is_multiple_of(every) { Ok(unavailable()) } else { Ok(answer) }
        }
    });
    Client::new(service, "default")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_never_makes_a_second_pod() {
    let mut field = Field::local(options()).await;
    field.controllers.abort();
    let unreliable = unreliable(&field, 5);
    (field.shutdown, field.controllers) = start(unreliable, options());
    let (seen, kubelet) = kubelet(field.pods(), some_fail_twice);
    let names: Vec<String> = (0..4).map(|number| format!("j{number}")).collect();
    for name in &names {
        field.job(name, TEN).await;
    }
    check_tens(&field, &names, &seen).await;
    let indexes: BTreeSet<_> = seen.lock().expect("unpoisoned").values().cloned().collect();
    assert_eq!(indexes.len(), 40);
    kubelet.abort();
}
