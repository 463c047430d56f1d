//! Whole runs, from the event at the sink to the recorded end, while the API server fails in every way it can.
//!
//! The sink and the controllers each have a client with faults of its own ([`crate::support::faults`]); the Job
//! controller and the runner, which are Kubernetes' own in a cluster, are left alone. What really happened is counted
//! where the faults do not reach.

mod directed;
mod steady;
mod storm;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use http::Method;
use k8s_openapi::NamespaceResourceScope;
use kakehi::api::{Execution, Job};
use kakehi::controllers;
use kakehi::local::{self, Local};
use kakehi::ops;
use kakehi::plan::{self, Phase};
use kakehi::sink::{Options, Sink};
use kakehi::triggers::Triggers;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::{Layer, ServiceExt};

use crate::sink::event;
use crate::support::faults::Faults;
use crate::support::{DEADLINE, eventually};

const NAMESPACE: &str = "default";

/// Writes that succeeded, as `METHOD path`.
#[derive(Debug, Clone, Default)]
struct Done(Arc<Mutex<Vec<String>>>);

impl Done {
    /// Those that begin so.
    fn count(&self, start: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|write| write.starts_with(start)).count()
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, router: Router) -> Router {
        let done = self.clone();
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let done = done.clone();
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let is_write = request.method() != Method::GET;
                let response: Response = next.run(request).await;
                if is_write && response.status().is_success() {
                    done.0.lock().unwrap().push(line);
                }
                response
            }
        }))
    }
}

/// A machine that runs Jobs behind a bad network.
struct Machine {
    /// Past the faults, and not counted.
    client: Client,
    /// What the sink and the controllers did.
    done: Done,
    sink: Router,
    sink_faults: Faults,
    control_faults: Faults,
    controlled: Client,
    controllers: Option<(CancellationToken, JoinHandle<()>)>,
    _running: DropGuard,
    _directory: tempfile::TempDir,
}

impl Machine {
    /// Everything runs but the controllers.
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let local = Local::open(local::Options {
            directory: directory.path().to_owned(),
            durable: false,
            definitions: kakehi::api::crds(),
            max_pods: 16,
            inherited: BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".into())]),
        })
        .unwrap();
        let (client, done, shutdown) = (local.client(), Done::default(), CancellationToken::new());
        let (sink_faults, control_faults) = (Faults::default(), Faults::default());
        let router = done.note(local.router());
        let upstream = Client::new(sink_faults.layer(router.clone()), NAMESPACE);
        let controlled = Client::new(control_faults.layer(router), NAMESPACE);
        let triggers = Triggers::new(upstream.clone());
        let sink = Sink::new(upstream, triggers.clone(), Options::default(), shutdown.clone());
        let token = shutdown.clone();
        tokio::spawn(async move { local.run(token).await });
        let token = shutdown.clone();
        tokio::spawn(async move { triggers.run(token).await });
        Self {
            client,
            done,
            sink: sink.router(),
            sink_faults,
            control_faults,
            controlled,
            controllers: None,
            _running: shutdown.drop_guard(),
            _directory: directory,
        }
    }

    fn start_controllers(&mut self) {
        let shutdown = CancellationToken::new();
        let options =
            controllers::Options { sink_url: "http://sink.example".to_owned(), ..Default::default() };
        let running = controllers::run(self.controlled.clone(), options, shutdown.clone());
        self.controllers = Some((shutdown, tokio::spawn(running)));
    }

    async fn stop_controllers(&mut self) {
        let (shutdown, running) = self.controllers.take().unwrap();
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, running).await.expect("they end when asked to").unwrap();
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    async fn count<K>(&self) -> usize
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + serde::de::DeserializeOwned
            + std::fmt::Debug,
    {
        self.api::<K>().list(&ListParams::default()).await.unwrap().items.len()
    }

    /// Creates a Job that runs that script.
    async fn job(&self, name: &str, script: &str, suspend: bool) -> Job {
        let containers = json!([{"name": "main", "image": "none", "command": ["/bin/sh", "-c", script]}]);
        let job = json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name},
            "spec": {"suspend": suspend, "template": {"spec": {"template": {"spec": {"containers": containers}}}}},
        });
        let job: Job = serde_json::from_value(job).unwrap();
        self.api().create(&PostParams::default(), &job).await.unwrap()
    }

    /// Sends an event to a Job as a sender does that never gives up, and returns the run's name. Whatever is not an
    /// acceptance must be one of the answers after which every sender tries again, and say when.
    async fn send(&self, job: &str, id: &str) -> String {
        let path = format!("/namespaces/{NAMESPACE}/jobs/{job}");
        eventually(&format!("event {id} is accepted"), async || {
            let answer = self.sink.clone().oneshot(event(&path, id)).await.unwrap();
            let code = answer.status().as_u16();
            if code == 202 {
                let location = answer.headers()["location"].to_str().unwrap();
                return Ok(location.rsplit('/').next().unwrap().to_owned());
            }
            assert!([429, 503].contains(&code), "a sender would drop event {id}: {code}");
            assert!(answer.headers().contains_key("retry-after"), "{code}");
            Err(code)
        })
        .await
    }

    /// Waits for the end of a run, which must be a good one.
    async fn succeeds(&self, run: &str) -> Execution {
        let waited = tokio::time::timeout(DEADLINE, ops::wait(&self.client, NAMESPACE, run)).await;
        let Ok(ended) = waited else {
            panic!("{run} did not end: {:#?}", self.api::<Execution>().get(run).await.unwrap().status)
        };
        let ended = ended.unwrap();
        assert_eq!(plan::phase(&ended), Phase::Succeeded, "{:#?}", ended.status);
        ended
    }
}
