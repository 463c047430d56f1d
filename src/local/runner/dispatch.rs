//! The loop around the schedule: takes what the watch shows, binds Pods, keeps one worker per Pod, removes what nobody needs any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::local::runner::backoff::Backoff;
use crate::local::runner::collect::collect;
use crate::local::runner::context::Context;
use crate::local::runner::directory::PodDirectory;
use crate::local::runner::materialise;
use crate::local::runner::report::is;
use crate::local::runner::schedule::{Command, Schedule};
use crate::local::runner::worker::{Seen, Worker};

/// Bindings under way at once.
const BINDINGS: usize = 16;

/// Directories being removed at once: it is background work.
const CLEANINGS: usize = 4;

/// Pause after a binding failed for the API server's reasons.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The state of the loop.
pub(super) struct Dispatcher {
    context: Arc<Context>,
    schedule: Schedule,
    /// Each tells whose worker it was and whether it let its Pod go.
    workers: JoinSet<(String, bool)>,
    /// Whose worker a task is, for the case that it does not tell.
    tasks: HashMap<tokio::task::Id, String>,
    seen: HashMap<String, watch::Sender<Seen>>,
    bindings: JoinSet<(String, Result<(), kube::Error>)>,
    cleanings: JoinSet<()>,
    collections: JoinSet<()>,
    /// The tasks that end Pods which were never bound, until the Pods are gone.
    collecting: HashMap<String, AbortHandle>,
    /// Pods whose directories nobody needs any more.
    dirt: Vec<String>,
    /// Pods that had a directory at the start, until the first complete list tells which of them still exist.
    kept: Vec<String>,
    backoff: Backoff,
    /// No binding before this moment.
    paused: Option<Instant>,
}

impl Dispatcher {
    /// `kept`: the Pods that have a directory from a former run.
    pub(super) fn new(context: Arc<Context>, kept: Vec<String>) -> Self {
        let options = &context.options;
        Self {
            schedule: Schedule::new(&options.node_name, options.max_pods),
            workers: JoinSet::new(),
            tasks: HashMap::new(),
            seen: HashMap::new(),
            bindings: JoinSet::new(),
            cleanings: JoinSet::new(),
            collections: JoinSet::new(),
            collecting: HashMap::new(),
            dirt: Vec::new(),
            kept,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            paused: None,
            context,
        }
    }

    /// Runs Pods until the runner is told to stop and every worker has come to its end.
    pub(super) async fn run(mut self) {
        let client = self.context.client.clone();
        let pods: Api<Pod> = match &self.context.options.namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        let mut events = watcher(pods, watcher::Config::default()).default_backoff().boxed();
        let shutdown = self.context.shutdown.clone();
        loop {
            if shutdown.is_cancelled() && self.workers.is_empty() {
                break;
            }
            if !shutdown.is_cancelled() {
                self.proceed();
            }
            let paused = self.paused;
            tokio::select! {
                Some(event) = events.next() => self.take(event),
                Some(done) = self.workers.join_next_with_id() => self.joined(done),
                Some(Ok((uid, answer))) = self.bindings.join_next() => self.bound(&uid, answer),
                Some(_) = self.cleanings.join_next() => {}
                Some(_) = self.collections.join_next() => {}
                () = until(paused), if paused.is_some() => self.paused = None,
                () = shutdown.cancelled(), if !shutdown.is_cancelled() => {}
                else => break,
            }
        }
        // Directories are removed whole or at the next start; what else is under way is found again by the watch.
        self.bindings.shutdown().await;
        self.collections.shutdown().await;
        while self.cleanings.join_next().await.is_some() {}
    }

    /// Does what there is place for.
    fn proceed(&mut self) {
        while self.paused.is_none() && self.bindings.len() < BINDINGS {
            let Some(command) = self.schedule.next() else { break };
            self.execute(command);
        }
        while self.cleanings.len() < CLEANINGS {
            let Some(uid) = self.dirt.pop() else { break };
            self.clean(&uid);
        }
    }

    fn take(&mut self, event: Result<Event<Pod>, watcher::Error>) {
        match event {
            Ok(Event::Init) => self.schedule.restart(),
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                let command = self.schedule.applied(Arc::new(pod));
                self.execute_all(command);
            }
            Ok(Event::Delete(pod)) => {
                let uid = pod.metadata.uid.unwrap_or_default();
                let command = self.schedule.deleted(&uid);
                self.execute_all(command);
            }
            Ok(Event::InitDone) => {
                let vanished = self.schedule.complete();
                self.execute_all(vanished);
                let kept = std::mem::take(&mut self.kept);
                self.dirt.extend(kept.into_iter().filter(|uid| !self.schedule.knows(uid)));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "pods cannot be watched");
            }
        }
    }

    fn execute_all(&mut self, commands: impl IntoIterator<Item = Command>) {
        for command in commands {
            self.execute(command);
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            Command::Bind { namespace, name, uid } => {
                let context = self.context.clone();
                self.bindings.spawn(async move {
                    let answer = bind(&context, &namespace, &name, &uid).await;
                    (uid, answer)
                });
            }
            // Found again at the next start.
            Command::Start(_) if self.context.shutdown.is_cancelled() => {}
            Command::Start(pod) => {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                let (sender, receiver) = watch::channel(Seen { pod, gone: false });
                self.seen.insert(uid.clone(), sender);
                let context = self.context.clone();
                let (owner, work) = (uid.clone(), Worker::run(context, receiver));
                let task = self.workers.spawn(async move { (uid, work.await) });
                self.tasks.insert(task.id(), owner);
            }
            Command::Update(pod) => {
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                if let Some(seen) = self.seen.get(uid) {
                    seen.send_modify(|seen| seen.pod = pod.clone());
                }
            }
            Command::Vanish(uid) => {
                if let Some(seen) = self.seen.get(&uid) {
                    seen.send_modify(|seen| seen.gone = true);
                }
            }
            Command::Clean(uid) => {
                if let Some(collection) = self.collecting.remove(&uid) {
                    collection.abort();
                }
                self.dirt.push(uid);
            }
            Command::Collect(pod) => {
                let uid = pod.metadata.uid.clone().unwrap_or_default();
                let context = self.context.clone();
                let task = self.collections.spawn(async move { collect(&context, &pod).await });
                self.collecting.insert(uid, task);
            }
        }
    }

    fn joined(&mut self, done: Result<(tokio::task::Id, (String, bool)), tokio::task::JoinError>) {
        match done {
            Ok((task, (uid, released))) => {
                self.tasks.remove(&task);
                self.ended(&uid, released);
            }
            Err(error) => {
                let uid = self.tasks.remove(&error.id()).unwrap_or_default();
                tracing::error!(
                    uid,
                    error = &error as &dyn std::error::Error,
                    "the worker of a pod was lost"
                );
                // Its place is free again; the next start of the runner finds the Pod without a process and says so.
                self.ended(&uid, true);
            }
        }
    }

    fn ended(&mut self, uid: &str, released: bool) {
        let last = self.seen.remove(uid).map(|seen| seen.borrow().clone());
        let command = self.schedule.ended(uid);
        self.execute_all(command);
        // The deletion may have arrived in the last moment, when the worker did not look any more.
        let late = |seen: &Seen| !released && !seen.gone && seen.pod.metadata.deletion_timestamp.is_some();
        if let Some(seen) = last.filter(late) {
            let command = self.schedule.applied(seen.pod);
            self.execute_all(command);
        }
    }

    fn bound(&mut self, uid: &str, answer: Result<(), kube::Error>) {
        match answer {
            Ok(()) => self.backoff.reset(),
            // Gone, or bound by somebody else: the watch tells.
            Err(error) if is(&error, 404) || is(&error, 409) => self.schedule.not_bound(uid, false),
            Err(error) => {
                let pause = self.backoff.next();
                tracing::warn!(uid, ?pause, error = &error as &dyn std::error::Error, "pod not bound");
                self.schedule.not_bound(uid, true);
                self.paused = Some(Instant::now() + pause);
            }
        }
    }

    fn clean(&mut self, uid: &str) {
        self.context.logs.remove(uid);
        let path = PodDirectory::new(&self.context.options.root, uid).root().to_owned();
        self.cleanings.spawn_blocking(move || {
            if let Err(error) = materialise::remove(&path) {
                tracing::warn!(path = %path.display(), error = &error as &dyn std::error::Error, "pod's directory not removed");
            }
        });
    }
}

async fn bind(context: &Context, namespace: &str, name: &str, uid: &str) -> Result<(), kube::Error> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": { "name": name, "namespace": namespace, "uid": uid },
        "target": { "apiVersion": "v1", "kind": "Node", "name": context.options.node_name },
    });
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let permit = context.writes.acquire().await;
    let answer: Result<serde_json::Value, _> =
        pods.create_subresource("binding", name, &PostParams::default(), &binding).await;
    drop(permit);
    answer.map(drop)
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
