//! Rates against a real API server: what an accepted event costs beside a bare create of the same object, how soon it
//! is a `batch/v1` Job, and how fast runs come to their end.
//!
//! `tests/cluster/start --fsync -- cargo bench --bench cluster`, or with `KAKEHI_TEST_KUBECONFIG` naming the kubeconfig of
//! a cluster that has our definitions and no other controllers of them. Without that variable it measures nothing.
//! Everything runs on one machine, the API server too, so the ratio says more than the rates.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

mod ledger;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kakehi::api::{Execution, Job, LABEL_EXECUTION};
use kakehi::event::Event;
use kakehi::listen::Listener;
use kakehi::sink::{self, Sink};
use kakehi::triggers::Triggers;
use kakehi::{controllers, plan};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;

/// Clients that work at the same time, each waiting for its answer.
const CONNECTIONS: usize = 64;
/// Creates of one measurement.
const CREATES: usize = 2_000;
/// Runs of each measurement, in turns; the best one counts, because the machine's other work only ever slows.
const RUNS: usize = 3;
/// Bytes of each event's data.
const DATA: usize = 512;
/// Events whose way to a `batch/v1` Job is measured, and the pause between two of them.
const PACED: (usize, Duration) = (200, Duration::from_millis(50));
/// Runs that are brought to their end.
const FINISHED: usize = 500;
/// Time that any state may take.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(path) = std::env::var_os("KAKEHI_TEST_KUBECONFIG") else {
        println!("skipped: KAKEHI_TEST_KUBECONFIG names no API server to measure");
        return Ok(());
    };
    let kubeconfig = Kubeconfig::read_from(path)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let scene = Scene::set(Client::try_from(config)?).await?;
    // First, while there are no runs but theirs: the controllers look at every Execution of the namespace.
    let measured = scene.controllers().await;
    let measured = if measured.is_ok() { scene.creates().await } else { measured };
    scene.clear().await?;
    measured
}

/// One namespace with one Job, and a sink before it.
struct Scene {
    client: Client,
    namespace: String,
    job: Job,
    sink: SocketAddr,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Scene {
    async fn set(client: Client) -> anyhow::Result<Self> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let object = json!({"metadata": {"generateName": "kakehi-bench-"}});
        let object = serde_json::from_value(object)?;
        let namespace = namespaces.create(&PostParams::default(), &object).await?.name_any();
        let job = json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "bench"},
            "spec": {
                "history": {"limit": 1_000_000},
                "template": {"spec": {"template": {"spec": {"containers": [{"image": "busybox", "command": ["true"]}]}}}},
            },
        });
        let jobs: Api<Job> = Api::namespaced(client.clone(), &namespace);
        let job = jobs.create(&PostParams::default(), &serde_json::from_value(job)?).await?;

        let shutdown = CancellationToken::new();
        let triggers = Triggers::new(client.clone());
        let (live, until) = (triggers.clone(), shutdown.clone());
        tokio::spawn(async move { live.run(until).await });
        let receiver =
            Sink::new(client.clone(), triggers.clone(), sink::Options::default(), shutdown.clone());
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let (sink, until) = (listener.address(), shutdown.clone());
        let served = tokio::spawn(async move {
            listener.serve(receiver.router(), until, Duration::from_secs(5)).await;
            receiver.finish().await;
        });
        let mut looks = tokio::time::interval(Duration::from_millis(10));
        while !triggers.is_ready() || triggers.job(&namespace, "bench").await?.is_none() {
            looks.tick().await;
        }
        Ok(Self { client, namespace, job, sink, shutdown, served })
    }

    async fn clear(self) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client);
        namespaces.delete(&self.namespace, &DeleteParams::default()).await?;
        self.shutdown.cancel();
        self.served.await?;
        Ok(())
    }

    fn path(&self) -> String {
        format!("/namespaces/{}/jobs/bench", self.namespace)
    }

    /// The Execution that an event of that id becomes.
    fn execution(&self, id: &str) -> anyhow::Result<Execution> {
        let event = Event::builder().required(id, "/bench", "com.example.bench");
        let event = event.set("datacontenttype", "text/plain").data(vec![b'x'; DATA]).build()?;
        let planned = plan::Prepared::new(self.job.clone()).for_event(&event, None)?;
        Ok(planned.named(&planned.names()[0]))
    }

    /// Creates per second, bare and through the sink.
    async fn creates(&self) -> anyhow::Result<()> {
        let size = serde_json::to_vec(&self.execution("size")?)?.len();
        let mut best: BTreeMap<&str, Figures> = BTreeMap::new();
        for run in 0..RUNS {
            for (name, load) in [
                ("bare create of a ConfigMap", self.config_maps(run, size)?),
                ("bare create of an Execution", self.executions(run)?),
                ("event accepted by the sink", Load::Events { sink: self.sink, path: self.path(), run }),
            ] {
                let figures = Arc::new(load).drive().await?;
                if best.get(name).is_none_or(|best| figures.per_second > best.per_second) {
                    best.insert(name, figures);
                }
            }
        }
        println!("{CONNECTIONS} clients, {CREATES} objects of {size} bytes, best of {RUNS}");
        let base = best["bare create of an Execution"].per_second;
        for (name, Figures { per_second, p50, p99 }) in &best {
            let ratio = per_second / base;
            println!("{name:<30} {per_second:>7.0} /s   p50 {p50:>9.2?}   p99 {p99:>9.2?}   {ratio:>5.2}");
        }
        Ok(())
    }

    fn executions(&self, run: usize) -> anyhow::Result<Load> {
        let objects: anyhow::Result<_> =
            (0..CREATES).map(|number| self.execution(&format!("bare-{run}-{number}"))).collect();
        Ok(Load::Executions(Api::namespaced(self.client.clone(), &self.namespace), objects?))
    }

    /// As large as an Execution.
    fn config_maps(&self, run: usize, size: usize) -> anyhow::Result<Load> {
        let of = |number: usize, data: usize| ConfigMap {
            metadata: ObjectMeta { name: Some(format!("bare-{run}-{number}")), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([("data".to_owned(), "x".repeat(data))])),
            ..ConfigMap::default()
        };
        let around = serde_json::to_vec(&of(0, 0))?.len();
        let objects = (0..CREATES).map(|number| of(number, size.saturating_sub(around))).collect();
        Ok(Load::ConfigMaps(Api::namespaced(self.client.clone(), &self.namespace), objects))
    }

    /// What the controllers make of events, with a kubelet that only says that every Pod has succeeded.
    async fn controllers(&self) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let ledger = Ledger::default();
        let (client, until) = (ledger.over(&self.client), stop.clone());
        let namespace = Some(self.namespace.clone());
        let options = controllers::Options { namespace, ..controllers::Options::default() };
        let controllers = tokio::spawn(async move { controllers::run(client, options, until).await });
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let kubelet = tokio::spawn(async move { succeed(pods).await });
        let measured = async {
            self.soon().await?;
            self.settled().await?;
            ledger.take();
            self.finish().await?;
            tell(&ledger);
            Ok(())
        };
        let measured = tokio::select! {
            measured = measured => measured,
            ended = kubelet => ended?.context("the stand-in for a kubelet ended"),
        };
        stop.cancel();
        controllers.await?;
        measured
    }

    /// How soon an event is a `batch/v1` Job, at a pace that nobody notices.
    async fn soon(&self) -> anyhow::Result<()> {
        let mut seen = follow(Api::<batchv1::Job>::namespaced(self.client.clone(), &self.namespace), |job| {
            job.labels().get(LABEL_EXECUTION).cloned()
        });
        let mut sender = connect(self.sink).await?;
        // The first one finds the controllers' caches cold.
        let mut sent = HashMap::from([(self.execution("paced-warm")?.name_any(), Instant::now())]);
        post(&mut sender, &self.path(), "paced-warm").await?;
        arrived(&mut seen, &mut sent).await?;

        let (events, pause) = PACED;
        let mut pace = tokio::time::interval(pause);
        for number in 0..events {
            pace.tick().await;
            let id = format!("paced-{number}");
            sent.insert(self.execution(&id)?.name_any(), Instant::now());
            post(&mut sender, &self.path(), &id).await?;
        }
        let times = arrived(&mut seen, &mut sent).await?;
        let Figures { p50, p99, .. } = Figures::of(times, Duration::from_secs(1));
        println!(
            "event to batch Job, {:.0} events/s: p50 {p50:.2?}, p99 {p99:.2?}",
            1.0 / pause.as_secs_f64()
        );
        Ok(())
    }

    /// Waits until no run is under way any more.
    async fn settled(&self) -> anyhow::Result<()> {
        let executions: Api<Execution> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        loop {
            looks.tick().await;
            let found = executions.list(&ListParams::default()).await?.items;
            if found.iter().all(plan::is_terminal) {
                return Ok(());
            }
        }
    }

    /// How many runs a second come to their end, from the first event to the last completed Execution.
    async fn finish(&self) -> anyhow::Result<()> {
        let executions: Api<Execution> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut seen = follow(executions, |execution| {
            execution.status.as_ref()?.completion_time.as_ref()?;
            execution.metadata.name.clone()
        });
        let start = Instant::now();
        let mut sent = HashMap::new();
        for number in 0..FINISHED {
            sent.insert(self.execution(&format!("finish-{number}"))?.name_any(), start);
        }
        let mut senders = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (sink, path) = (self.sink, self.path());
            senders.spawn(async move {
                let mut sender = connect(sink).await?;
                for number in (connection..FINISHED).step_by(CONNECTIONS) {
                    post(&mut sender, &path, &format!("finish-{number}")).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        let accepted = start.elapsed();
        let times = arrived(&mut seen, &mut sent).await?;
        let Figures { per_second, p50, p99 } = Figures::of(times, start.elapsed());
        println!(
            "{FINISHED} runs at once, accepted after {accepted:.2?}: {per_second:.0} finished/s, p50 {p50:.2?}, p99 {p99:.2?}"
        );
        Ok(())
    }
}

/// What the controllers asked for the runs that were brought to their end.
fn tell(ledger: &Ledger) {
    let asked = ledger.take();
    let conflicts: usize =
        asked.iter().filter(|(what, _)| what.ends_with(" 409")).map(|(_, (count, _))| count).sum();
    let all: usize = asked.values().map(|(count, _)| count).sum();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let per_run = |count: usize| count as f64 / FINISHED as f64;
    println!("the controllers' requests, per run: {:.2}; conflicts: {conflicts} in all", per_run(all));
    for (what, (count, time)) in asked {
        let mean = time / u32::try_from(count).unwrap_or(u32::MAX);
        println!("  {what:<36} {count:>6}  {:>5.2}   mean {mean:>9.2?}", per_run(count));
    }
}

/// What a measurement says.
struct Figures {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

impl Figures {
    fn of(mut times: Vec<Duration>, took: Duration) -> Self {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = times.len() as f64 / took.as_secs_f64();
        Self { per_second, p50: at(50), p99: at(99) }
    }
}

/// What many clients do at once.
enum Load {
    ConfigMaps(Api<ConfigMap>, Vec<ConfigMap>),
    Executions(Api<Execution>, Vec<Execution>),
    Events { sink: SocketAddr, path: String, run: usize },
}

impl Load {
    async fn drive(self: Arc<Self>) -> anyhow::Result<Figures> {
        let start = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..CONNECTIONS {
            let load = self.clone();
            clients.spawn(async move { load.client(client).await });
        }
        let mut times = Vec::with_capacity(CREATES);
        while let Some(done) = clients.join_next().await {
            times.extend(done??);
        }
        Ok(Figures::of(times, start.elapsed()))
    }

    async fn client(&self, client: usize) -> anyhow::Result<Vec<Duration>> {
        let mut sender = match self {
            Load::Events { sink, .. } => Some(connect(*sink).await?),
            Load::ConfigMaps(..) | Load::Executions(..) => None,
        };
        let parameters = PostParams::default();
        let mut times = Vec::new();
        for number in (client..CREATES).step_by(CONNECTIONS) {
            let sent = Instant::now();
            match (self, &mut sender) {
                (Load::ConfigMaps(api, objects), _) => {
                    api.create(&parameters, &objects[number]).await?;
                }
                (Load::Executions(api, objects), _) => {
                    api.create(&parameters, &objects[number]).await?;
                }
                (Load::Events { path, run, .. }, Some(sender)) => {
                    post(sender, path, &format!("sink-{run}-{number}")).await?;
                }
                (Load::Events { .. }, None) => anyhow::bail!("there is no connection"),
            }
            times.push(sent.elapsed());
        }
        Ok(times)
    }
}

async fn connect(sink: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(sink).await?)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, path: &str, id: &str) -> anyhow::Result<()> {
    let request = Request::post(path)
        .header("host", "bench")
        .header("ce-specversion", "1.0")
        .header("ce-id", id)
        .header("ce-source", "/bench")
        .header("ce-type", "com.example.bench")
        .header("content-type", "text/plain")
        .body(Full::from(vec![b'x'; DATA]))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    anyhow::ensure!(status == StatusCode::ACCEPTED, "answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// Says what `pick` finds in the objects, and when.
fn follow<K>(
    api: Api<K>,
    pick: fn(&K) -> Option<String>,
) -> mpsc::UnboundedReceiver<anyhow::Result<(String, Instant)>>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let (seen, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut objects = watcher(api, watcher::Config::default()).applied_objects().boxed();
        while let Some(object) = objects.next().await {
            let found = object.map(|object| pick(&object).map(|name| (name, Instant::now())));
            if let Some(found) = found.map_err(anyhow::Error::from).transpose()
                && seen.send(found).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// Waits until everything that was sent has been seen, and says how long each took.
async fn arrived(
    seen: &mut mpsc::UnboundedReceiver<anyhow::Result<(String, Instant)>>,
    sent: &mut HashMap<String, Instant>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(sent.len());
    while !sent.is_empty() {
        let next = tokio::time::timeout(DEADLINE, seen.recv()).await;
        let next = next.with_context(|| format!("{} did not arrive", sent.len()))?;
        let (name, at) = next.context("the watch ended")??;
        if let Some(start) = sent.remove(&name) {
            times.push(at.saturating_duration_since(start));
        }
    }
    Ok(times)
}

/// A kubelet that reports every Pod as succeeded and runs nothing.
async fn succeed(pods: Api<Pod>) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields("status.phase=Pending");
    let waiting = watcher(pods.clone(), config).applied_objects();
    let parameters = PatchParams::default();
    let report = |pod: Pod| {
        let (pods, parameters) = (&pods, &parameters);
        async move {
            let container =
                pod.spec.as_ref().and_then(|spec| spec.containers.first()).context("no container")?;
            let now = k8s_openapi::jiff::Timestamp::now();
            let status = json!({"status": {"phase": "Succeeded", "startTime": now, "containerStatuses": [{
                "name": container.name, "image": container.image, "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}},
            }]}});
            pods.patch_status(&pod.name_any(), parameters, &Patch::Merge(status)).await?;
            Ok(())
        }
    };
    waiting.map_err(anyhow::Error::from).try_for_each_concurrent(16, report).await
}
