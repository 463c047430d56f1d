//! The controllers of local mode against the local API, and those of a real cluster against its own, with a kubelet played by
//! hand: no process runs here. What the real ones do is what ours are held to.

mod cost;
mod faults;
mod garbage;
mod jobs;

use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;
use crate::support::local;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::core::v1::Pod;
use kakehi::local::server::Server;
use kakehi::local::workload;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::ObjectMeta;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Retries without much waiting.
fn options() -> workload::Options {
    let brief = Duration::from_millis(5);
    workload::Options { backoff_base: brief, backoff_cap: brief, status_delay: brief, ..Default::default() }
}

/// A cluster with its controllers.
struct Field {
    place: Place,
    shutdown: CancellationToken,
    controllers: JoinHandle<()>,
}

impl Drop for Field {
    fn drop(&mut self) {
        self.controllers.abort();
    }
}

impl Field {
    async fn new() -> Self {
        Self::with(options()).await
    }

    async fn with(options: workload::Options) -> Self {
        if cluster::is_real() {
            // Its controllers run beside it.
            let (shutdown, none) = (CancellationToken::new(), tokio::spawn(async {}));
            return Self { place: cluster::place().await, shutdown, controllers: none };
        }
        Self::local(options).await
    }

    /// Our own controllers in every world.
    async fn local(options: workload::Options) -> Self {
        let place = cluster::place_in(local::cluster()).await;
        let (shutdown, controllers) = start(place.client.clone(), options);
        Self { place, shutdown, controllers }
    }

    fn client(&self) -> Client {
        self.place.client.clone()
    }

    fn jobs(&self) -> Api<Job> {
        self.place.api()
    }

    fn pods(&self) -> Api<Pod> {
        self.place.api()
    }

    /// Creates a Job of one container; `spec` is the rest of its spec, in YAML flow form.
    async fn job(&self, name: &str, spec: &str) -> Job {
        create_job(&self.jobs(), name, spec).await
    }

    async fn change(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.jobs().patch(name, &PatchParams::default(), &patch).await.expect("the job can change");
    }

    async fn status(&self, name: &str) -> JobStatus {
        self.jobs().get(name).await.expect("the job exists").status.unwrap_or_default()
    }

    /// Waits until the status fits.
    async fn until(&self, name: &str, what: &str, fits: impl Fn(&JobStatus) -> bool) -> JobStatus {
        let look = async || {
            let status = self.status(name).await;
            if fits(&status) { Ok(status) } else { Err(status) }
        };
        eventually(what, look).await
    }

    /// Waits until a condition of the Job is true; returns its reason and the status.
    async fn until_condition(&self, name: &str, kind: &str) -> (String, JobStatus) {
        let status = self.until(name, kind, |status| reason(status, kind).is_some()).await;
        (reason(&status, kind).expect("it holds"), status)
    }

    /// The Pods of a Job that are neither ended nor being deleted, by index.
    async fn active(&self, job: &str) -> Vec<Pod> {
        let mut pods = self.all(job).await;
        pods.retain(|pod| {
            pod.metadata.deletion_timestamp.is_none() && !["Succeeded", "Failed"].contains(&phase(pod))
        });
        pods
    }

    async fn all(&self, job: &str) -> Vec<Pod> {
        let label = format!("batch.kubernetes.io/job-name={job}");
        let mut pods =
            self.pods().list(&ListParams::default().labels(&label)).await.expect("pods can be listed").items;
        pods.sort_by_key(|pod| (index(pod), pod.name_any()));
        pods
    }

    /// Waits until exactly these indexes have an active Pod; returns the Pods.
    async fn until_active(&self, job: &str, indexes: &[u32]) -> Vec<Pod> {
        let look = async || {
            let pods = self.active(job).await;
            let found: Vec<u32> = pods.iter().filter_map(index).collect();
            if found == indexes { Ok(pods) } else { Err(found) }
        };
        eventually(&format!("active indexes {indexes:?}"), look).await
    }

    /// Plays the scheduler.
    async fn bind(&self, pod: &Pod) {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name_any()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": "node"},
        });
        let answer: kube::Result<Value> = self
            .pods()
            .create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding)
            .await;
        answer.expect("the pod can be bound");
    }

    async fn run(&self, pod: &Pod) {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        set_status(&self.pods(), pod, json!({"phase": "Running", "conditions": ready})).await;
    }

    async fn succeed(&self, pod: &Pod) {
        set_status(&self.pods(), pod, ended(0)).await;
    }

    async fn fail(&self, pod: &Pod, code: i32) {
        set_status(&self.pods(), pod, ended(code)).await;
    }

    /// The kubelet confirms that a Pod that was being deleted has ended.
    async fn confirm_deleted(&self, pod: &Pod) {
        let params = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        self.pods().delete(&pod.name_any(), &params).await.expect("the pod is still there");
    }

    /// Waits until as many Events with this reason were written about the Job.
    async fn until_events(&self, job: &str, reason: &str, count: usize) -> Vec<Event> {
        let events: Api<Event> = self.place.api();
        let look = async || {
            let all = events.list(&ListParams::default()).await.expect("events can be listed").items;
            let about = |event: &Event| {
                event.involved_object.name.as_deref() == Some(job) && event.reason.as_deref() == Some(reason)
            };
            let found: Vec<Event> = all.into_iter().filter(about).collect();
            if found.len() == count { Ok(found) } else { Err(found.len()) }
        };
        eventually(&format!("{count} events {reason}"), look).await
    }
}

/// The server of local mode.
fn server(field: &Field) -> &Server {
    &field.place.local.as_ref().expect("the scenario is about local mode").server
}

fn start(client: Client, options: workload::Options) -> (CancellationToken, JoinHandle<()>) {
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(workload::run(client, options, shutdown.clone()));
    (shutdown, running)
}

async fn create_job(jobs: &Api<Job>, name: &str, spec: &str) -> Job {
    let text = format!(
        "metadata: {{name: {name}}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: main, image: none, command: [x]}}]}}}}, {spec}}}"
    );
    let job: Job = serde_saphyr::from_str(&text).expect("a job");
    jobs.create(&PostParams::default(), &job).await.expect("the job can be created")
}

async fn set_status(pods: &Api<Pod>, pod: &Pod, status: Value) {
    assert!(try_set_status(pods, pod, status).await, "the pod exists");
}

/// Whether the Pod still exists.
async fn try_set_status(pods: &Api<Pod>, pod: &Pod, status: Value) -> bool {
    let patch = Patch::Merge(json!({"metadata": {"uid": pod.metadata.uid}, "status": status}));
    match pods.patch_status(&pod.name_any(), &PatchParams::default(), &patch).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => panic!("the kubelet cannot write: {error}"),
    }
}

/// The status of a Pod whose container ended.
fn ended(code: i32) -> Value {
    let now =
        serde_json::to_value(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now()))
            .expect("JSON");
    json!({
        "phase": if code == 0 { "Succeeded" } else { "Failed" },
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{
            "name": "main", "image": "none", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "finishedAt": now}},
        }],
    })
}

fn index(pod: &Pod) -> Option<u32> {
    pod.annotations().get("batch.kubernetes.io/job-completion-index")?.parse().ok()
}

fn annotation<'a>(pod: &'a Pod, name: &str) -> &'a str {
    pod.annotations().get(&format!("batch.kubernetes.io/{name}")).map_or("", String::as_str)
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn tracked(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|name| name == "batch.kubernetes.io/job-tracking")
}

/// The reason of a condition that is true.
fn reason(status: &JobStatus, kind: &str) -> Option<String> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind && condition.status == "True")?;
    condition.reason.clone()
}
