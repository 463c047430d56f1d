//! Pods as processes: a runner over an API server, local or real, seen through a client only.

mod ends;
mod jobs;
mod logs;
mod restart;
mod scale;
mod starts;

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, ContainerStateTerminated, Pod};
use kakehi::local::runner::{Options, Runner};
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{self, Place};
use crate::support::eventually;

/// A cluster whose only node is this machine.
pub(crate) struct Machine {
    runner: Option<(CancellationToken, JoinHandle<()>)>,
    root: tempfile::TempDir,
    place: Place,
}

impl Machine {
    /// With defaults, and short pauses between restarts.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl Fn(&mut Options)) -> Self {
        let (root, place) = (tempfile::tempdir().unwrap(), cluster::place().await);
        let mut machine = Self { runner: None, root, place };
        machine.boot(change);
        machine
    }

    /// The name of its node.
    fn node(&self) -> String {
        self.place.unique("node")
    }

    /// Starts a runner over the state of the one before.
    fn boot(&mut self, change: impl Fn(&mut Options)) {
        let mut options = Options::new(self.root.path());
        options.node_name = self.node();
        options.namespace = Some(self.place.namespace.clone());
        options.tls = cluster::tls();
        options.inherited = [("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".into())].into();
        options.restart_backoff = Duration::from_millis(20);
        change(&mut options);
        let shutdown = CancellationToken::new();
        let runner = Runner::new(self.place.client.clone(), options).run(shutdown.clone());
        let task = tokio::spawn(async move { runner.await.unwrap() });
        self.runner = Some((shutdown, task));
    }

    /// Ends the runner as Ctrl-C does.
    async fn stop(&mut self) {
        let (shutdown, task) = self.runner.take().unwrap();
        shutdown.cancel();
        task.await.unwrap();
    }

    /// Ends the runner as if its process had been killed: from one moment to the next.
    async fn crash(&mut self) {
        let (_, task) = self.runner.take().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        self.place.api()
    }

    async fn config_map(&self, name: &str, content: Value) {
        let mut object: ConfigMap = serde_json::from_value(content).unwrap();
        object.metadata.name = Some(name.to_owned());
        let api = self.place.api();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    /// Creates a Pod of the given spec; it is not restarted unless the spec says so.
    async fn create(&self, name: &str, spec: Value) -> Pod {
        self.create_with(json!({ "name": name }), spec).await
    }

    async fn create_with(&self, metadata: Value, mut spec: Value) -> Pod {
        spec.as_object_mut().unwrap().entry("restartPolicy").or_insert("Never".into());
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
        let pod = serde_json::from_value(pod).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap()
    }

    /// Creates a Pod of one container that runs a shell script.
    async fn script(&self, name: &str, script: &str) -> Pod {
        self.create(name, one(json!({ "command": ["sh", "-c", script] }))).await
    }

    /// Waits until the Pod is as wanted.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Pod) -> bool) -> Pod {
        let pods = self.pods();
        eventually(&format!("pod {name}: {what}"), async || {
            let pod = pods.get(name).await.map_err(|error| error.to_string())?;
            if wanted(&pod) { Ok(pod) } else { Err(format!("{:?}", pod.status)) }
        })
        .await
    }

    /// Waits for the end of the Pod.
    async fn end(&self, name: &str) -> Pod {
        self.until(name, "ends", |pod| matches!(phase(pod), "Succeeded" | "Failed")).await
    }

    /// Waits until the container says `word` on a line.
    async fn says(&self, name: &str, word: &str) {
        let pods = self.pods();
        eventually(&format!("pod {name} says {word}"), async || {
            let log = pods.logs(name, &LogParams::default()).await.map_err(|error| error.to_string())?;
            if log.lines().any(|line| line == word) { Ok(()) } else { Err(log) }
        })
        .await;
    }

    async fn log(&self, name: &str) -> String {
        self.pods().logs(name, &LogParams::default()).await.unwrap()
    }

    async fn delete(&self, name: &str, grace: Option<u32>) {
        let params = DeleteParams { grace_period_seconds: grace, ..DeleteParams::default() };
        self.pods().delete(name, &params).await.unwrap();
    }

    /// Waits until the object is gone.
    async fn gone(&self, name: &str) {
        let pods = self.pods();
        eventually(&format!("pod {name} is gone"), async || match pods.get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(pod) => Err(format!("{:?} {:?}", pod.metadata, pod.status)),
        })
        .await;
    }

    /// The names of the directories of Pods.
    fn directories(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.path().join("pods")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A spec of one container called `main`.
fn one(mut container: Value) -> Value {
    let fields = container.as_object_mut().unwrap();
    fields.insert("name".to_owned(), "main".into());
    fields.entry("image").or_insert("none".into());
    json!({ "containers": [container] })
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// How the only container of the Pod ended.
fn terminated(pod: &Pod) -> ContainerStateTerminated {
    let statuses = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap();
    assert_eq!(statuses.len(), 1);
    statuses[0].state.clone().unwrap().terminated.unwrap()
}

/// What the container waits for: reason and message.
fn waits(pod: &Pod) -> Option<(String, String)> {
    let state = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.clone()?;
    let waiting = state.waiting?;
    Some((waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default()))
}

/// Status and reason of a condition of the Pod.
fn condition(pod: &Pod, type_: &str) -> Option<(String, String)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status.clone(), found.reason.clone().unwrap_or_default()))
}

/// Whether there is such a process. One that has ended and was not collected has no environment any more.
fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| !environment.is_empty())
}
