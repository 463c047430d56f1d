//! Memory of the controllers: resident size of a process that runs them, and nothing else, over a long history.
//!
//! `cargo bench --bench memory`. The API server is this process: it lists made-up Executions of realistic size, page by
//! page as a real one does, over a socket. The controllers run in a child, so that nothing of the server counts. Their
//! size is read from `/proc` when they ask for the first page, and again when every Job's status says how many runs it
//! has; the greatest size in between is printed as well.

#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, patch};
use axum::{Json, Router};
use futures::stream;
use kakehi::controllers;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Tells the child where the API server is.
const SERVER: &str = "KAKEHI_BENCH_SERVER";
/// Jobs that the Executions belong to.
const JOBS: usize = 20;
/// Executions of a page, unless fewer are asked for.
const PAGE: usize = 500;
/// No measurement takes longer.
const DEADLINE: Duration = Duration::from_secs(300);
/// What a history of [`FINISHED`] may take, in MiB.
const TARGET: u64 = 300;
const FINISHED: usize = 100_000;
const QUEUED: usize = 20_000;

/// What the Executions of one measurement are like.
#[derive(Debug, Clone, Copy)]
struct Scene {
    executions: usize,
    finished: bool,
    /// Bytes of each event's data.
    data: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if let Ok(server) = std::env::var(SERVER) {
        return control(&server).await;
    }
    let history = measure(Scene { executions: FINISHED, finished: true, data: 300 }).await?;
    let within = if history <= TARGET { "within" } else { "over" };
    println!("{within} the target of {TARGET} MiB");
    measure(Scene { executions: QUEUED, finished: false, data: 16 * 1024 }).await?;
    Ok(())
}

/// The child: only the controllers.
async fn control(server: &str) -> anyhow::Result<()> {
    let client = kube::Client::try_from(kube::Config::new(server.parse()?))?;
    let options = controllers::Options { sink_url: "http://sink.example".to_owned(), ..Default::default() };
    controllers::run(client, options, CancellationToken::new()).await;
    Ok(())
}

/// Runs the controllers over that scene, and says how many MiB they hold in the end.
async fn measure(scene: Scene) -> anyhow::Result<u64> {
    let server =
        Arc::new(Server { scene, counted: Mutex::default(), asked: Notify::new(), done: Notify::new() });
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let address = listener.local_addr()?;
    let router = router(server.clone());
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut child = Command::new(std::env::current_exe()?)
        .env_clear()
        .env(SERVER, format!("http://{address}"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let id = child.id().ok_or_else(|| anyhow::anyhow!("the controllers did not start"))?;
    let figures = async {
        server.asked.notified().await;
        let before = kibibytes(id, "VmRSS")?;
        server.done.notified().await;
        anyhow::Ok((before, kibibytes(id, "VmRSS")?, kibibytes(id, "VmHWM")?))
    };
    let (before, after, peak) = tokio::time::timeout(DEADLINE, figures).await??;
    child.kill().await?;
    serving.abort();
    let Scene { executions, finished, data } = scene;
    let object = scene.execution(0).to_string().len();
    let state = if finished { "finished" } else { "queued" };
    println!("{executions} {state} Executions of {object} bytes each, with events of {data} bytes");
    println!(
        "  resident: {} MiB before the list, {} MiB with all of them ({} bytes each), {} MiB at most",
        before / 1024,
        after / 1024,
        after.saturating_sub(before) * 1024 / u64::try_from(executions)?,
        peak / 1024,
    );
    Ok(after / 1024)
}

/// A figure of `/proc/<id>/status`, in KiB.
fn kibibytes(id: u32, field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or_else(|| anyhow::anyhow!("no {field} in the status of a process"))?.parse()?)
}

/// An API server that knows one scene.
struct Server {
    scene: Scene,
    /// What the Jobs' statuses say, by name.
    counted: Mutex<HashMap<String, u64>>,
    asked: Notify,
    done: Notify,
}

fn router(server: Arc<Server>) -> Router {
    const OURS: &str = "/apis/run.kakehi.dev/v1alpha1";
    Router::new()
        .route(&format!("{OURS}/executions"), get(executions))
        .route(&format!("{OURS}/jobs"), get(jobs))
        .route(&format!("{OURS}/namespaces/shop/jobs/{{name}}/status"), patch(count))
        .fallback(any(nothing))
        .with_state(server)
}

/// What is asked of a list.
type Asked = Query<HashMap<String, String>>;

async fn executions(State(server): State<Arc<Server>>, Query(asked): Asked) -> Response {
    server.asked.notify_one();
    let number = |name: &str| asked.get(name).and_then(|text| text.parse().ok());
    let first: usize = number("continue").unwrap_or(0);
    let last = (first + number("limit").unwrap_or(PAGE)).min(server.scene.executions);
    let more = (last < server.scene.executions).then(|| last.to_string());
    let page: Vec<_> = (first..last).map(|number| server.scene.execution(number)).collect();
    list(&asked, &page, more.as_deref())
}

async fn jobs(State(server): State<Arc<Server>>, Query(asked): Asked) -> Response {
    let all: Vec<_> = (0..JOBS).map(|number| server.scene.job(number)).collect();
    list(&asked, &all, None)
}

async fn nothing(Query(asked): Asked) -> Response {
    list(&asked, &[], None)
}

/// A list; or a watch in which nothing ever happens.
fn list(asked: &HashMap<String, String>, items: &[Value], more: Option<&str>) -> Response {
    if asked.contains_key("watch") {
        return Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>()).into_response();
    }
    let metadata = json!({"resourceVersion": "1", "continue": more});
    Json(json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items})).into_response()
}

/// Takes in the status of a Job.
async fn count(
    State(server): State<Arc<Server>>,
    Path(name): Path<String>,
    Json(patch): Json<Value>,
) -> Json<Value> {
    let number: usize = name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or_default();
    let mut counted = server.counted.lock().expect("no holder panics");
    counted.insert(name, patch["status"]["executionCount"].as_u64().unwrap_or_default());
    if counted.values().sum::<u64>() == server.scene.executions as u64 {
        server.done.notify_one();
    }
    Json(server.scene.job(number))
}

impl Scene {
    fn job(&self, number: usize) -> Value {
        json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": format!("resize-{number}"), "namespace": "shop", "uid": uid(0, number),
                "generation": 1, "resourceVersion": "1", "creationTimestamp": now()},
            "spec": {
                "suspend": !self.finished, "history": {"limit": 1_000_000, "ttlSeconds": 1_000_000_000},
                "template": template(),
            },
        })
    }

    fn execution(&self, number: usize) -> Value {
        let (job, name) =
            (format!("resize-{}", number % JOBS), format!("resize-{}-{number:010}", number % JOBS));
        let (status, reason, message) = if self.finished {
            ("True", "Succeeded", "1 task succeeded".to_owned())
        } else {
            ("Unknown", "Queued", format!("job {job} is suspended"))
        };
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
                "lastTransitionTime": now()})
        };
        let started = if self.finished { "Running" } else { reason };
        let mut about = json!({
            "observedGeneration": 1, "runningCount": 0, "succeededCount": i32::from(self.finished), "failedCount": 0,
            "cancelledCount": 0, "retriedCount": 0,
            "conditions": [condition("ResourcesAvailable", status, started), condition("Started", status, started),
                condition("Completed", status, reason)],
        });
        if self.finished {
            about["startTime"] = now();
            about["completionTime"] = now();
            about["result"] = json!("{\"thumbnails\": 4}");
        }
        json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
            "metadata": {
                "name": name, "namespace": "shop", "uid": uid(1, number), "generation": 1, "resourceVersion": "1",
                "creationTimestamp": now(),
                "labels": {"run.kakehi.dev/job": job, "run.kakehi.dev/execution": name, "team": "photos"},
                "annotations": {"run.kakehi.dev/digest": "ckv424vq4iepeoai32ixy2vqb5y5hgd25kkfylqvf2bi2dnojvkq"},
                "ownerReferences": [{"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": job,
                    "uid": uid(0, number % JOBS), "controller": true, "blockOwnerDeletion": true}],
                "managedFields": [{"manager": "kakehi", "operation": "Update", "apiVersion": "run.kakehi.dev/v1alpha1",
                    "time": now(), "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:job": {}, "f:events": {}}}}],
            },
            "spec": {
                "job": {"name": job, "uid": uid(0, number % JOBS), "generation": 1}, "cause": {"type": "Address"},
                "events": [{"id": uid(2, number), "source": "/buckets/photos", "type": "com.example.uploaded",
                    "subject": format!("photos/{number}.jpeg"), "time": now(), "datacontenttype": "application/json",
                    "data": "x".repeat(self.data)}],
                "parameters": [], "template": template(), "cancelled": false,
            },
            "status": about,
        })
    }
}

fn template() -> Value {
    json!({"spec": {"taskCount": 1, "template": {"spec": {
        "maxRetries": 3, "timeoutSeconds": 600,
        "containers": [{"name": "main", "image": "registry.example.com/photos/resize:1.4.2", "command": ["/resize"],
            "env": [{"name": "SIZES", "value": "64,256,1024"}], "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
    }}}})
}

/// Some uid.
fn uid(kind: usize, number: usize) -> String {
    format!("{kind:08x}-93b2-4c1e-8d5f-{number:012x}")
}

/// Recent enough that nothing of the history is old.
fn now() -> Value {
    json!(k8s_openapi::jiff::Timestamp::now())
}
