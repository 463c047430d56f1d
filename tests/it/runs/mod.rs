//! Runs from the event to the recorded end: our controllers over a Kubernetes, small or real, with real processes.

mod accounts;
mod backlog;
mod cancel;
mod completions;
mod ends;
mod faults;
mod history;
mod limits;
mod lost;
mod parallel;
mod parameters;
mod reruns;
mod shown;
mod starts;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use k8s_openapi::api::core::v1::Event as KubernetesEvent;
use k8s_openapi::jiff::Timestamp;
use kakehi::api::Execution;
use kakehi::api::Job;
use kakehi::api::condition;
use kakehi::controllers;
use kakehi::controllers::Clock;
use kakehi::event::Event;
use kakehi::local;
use kakehi::local::Local;
use kakehi::local::runner;
use kakehi::local::runner::Runner;
use kakehi::manners::Manners;
use kakehi::ops;
use kakehi::ops::Accepted;
use kakehi::plan;
use kakehi::plan::Phase;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use crate::support::DEADLINE;
use crate::support::cluster;
use crate::support::cluster::Place;
use crate::support::eventually;
use crate::support::wire::Wire;

const MANNERS: Manners = Manners { silence: DEADLINE, pause: Duration::from_millis(50) };

/// A machine that runs Jobs.
pub(crate) struct House {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// Between our controllers and the API server.
    pub(crate) wire: Wire,
    /// How our controllers ask. The faults of a scenario ask to be left alone all the time, so it is not obeyed for long.
    pub(crate) manners: Manners,
    /// How many runs may be under way.
    pub(crate) guards: plan::Guards,
    /// Whether somebody must have allowed runs to use an account.
    pub(crate) require_account_grant: bool,
    /// Where our controllers say that events are sent.
    pub(crate) sink_url: String,
    controllers: Option<(CancellationToken, JoinHandle<()>)>,
    _running: DropGuard,
    _directory: tempfile::TempDir,
    _place: Option<Place>,
}

/// The lowest layer of every task's environment.
fn inherited() -> BTreeMap<String, OsString> {
    BTreeMap::from([("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".into())])
}

impl House {
    /// Everything runs.
    pub(crate) async fn start() -> Self {
        let mut house = Self::without_controllers().await;
        house.start_controllers();
        house
    }

    /// Everything but our controllers.
    pub(crate) async fn without_controllers() -> Self {
        if cluster::is_real() { Self::real().await } else { Self::local() }
    }

    /// The whole of local mode.
    fn local() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let local = Local::open(local::Options {
            directory: directory.path().to_owned(),
            durable: false,
            definitions: kakehi::api::crds(),
            admissions: Vec::new(),
            max_pods: 16,
            inherited: inherited(),
        })
        .unwrap();
        let (client, shutdown) = (local.client(), CancellationToken::new());
        let token = shutdown.clone();
        tokio::spawn(async move { local.run(token).await });
        Self {
            client,
            namespace: "default".to_owned(),
            wire: Wire::default(),
            manners: MANNERS,
            guards: plan::Guards::default(),
            require_account_grant: false,
            sink_url: "http://sink.example".to_owned(),
            controllers: None,
            _running: shutdown.drop_guard(),
            _directory: directory,
            _place: None,
        }
    }

    /// Our runner on a real API server with its own controllers.
    async fn real() -> Self {
        let (directory, place) = (tempfile::tempdir().unwrap(), cluster::place().await);
        let runner = Runner::new(
            place.client.clone(),
            runner::Options {
                node_name: place.unique("node"),
                namespace: Some(place.namespace.clone()),
                inherited: inherited(),
                tls: cluster::tls(),
                ..runner::Options::new(directory.path())
            },
        );
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        tokio::spawn(async move { runner.run(token).await.unwrap() });
        Self {
            client: place.client.clone(),
            namespace: place.namespace.clone(),
            wire: Wire::default(),
            manners: MANNERS,
            guards: plan::Guards::default(),
            require_account_grant: false,
            sink_url: "http://sink.example".to_owned(),
            controllers: None,
            _running: shutdown.drop_guard(),
            _directory: directory,
            _place: Some(place),
        }
    }

    pub(crate) fn start_controllers(&mut self) {
        self.start_controllers_by(Timestamp::now);
    }

    pub(crate) fn start_controllers_by(&mut self, clock: Clock) {
        let shutdown = CancellationToken::new();
        let options = controllers::Options {
            sink_url: self.sink_url.clone(),
            // Other scenarios' controllers may work on the same API server.
            namespace: cluster::is_real().then(|| self.namespace.clone()),
            manners: self.manners,
            guards: self.guards,
            require_account_grant: self.require_account_grant,
            allow_local_destinations: true,
            ..Default::default()
        };
        let client = self.wire.over(&self.client);
        let running = controllers::run_by(clock, client, options, shutdown.clone());
        self.controllers = Some((shutdown, tokio::spawn(running)));
    }

    /// Stops our controllers and waits until they are done.
    pub(crate) async fn stop_controllers(&mut self) {
        let (shutdown, running) = self.controllers.take().unwrap();
        shutdown.cancel();
        tokio::time::timeout(DEADLINE, running)
            .await
            .expect("controllers end when they are asked to")
            .unwrap();
    }

    /// Ends our controllers as a crash does: in the middle of whatever they do.
    pub(crate) async fn kill_controllers(&mut self) {
        let (_shutdown, running) = self.controllers.take().unwrap();
        running.abort();
        assert!(running.await.unwrap_err().is_cancelled());
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a Job whose single container runs `script`; `spec` is the `ExecutionTemplateSpec` around it, in YAML.
    pub(crate) async fn job(&self, name: &str, script: &str, spec: &str) -> Job {
        self.job_of(name, script, spec, "{}").await
    }

    /// The same with fields of the task, in YAML.
    pub(crate) async fn job_of(&self, name: &str, script: &str, spec: &str, task: &str) -> Job {
        let mut task: Value = serde_saphyr::from_str(task).unwrap();
        task["containers"] =
            serde_json::json!([{"name": "main", "image": "none", "command": ["/bin/sh", "-c", script]}]);
        let mut spec: Value = serde_saphyr::from_str(spec).unwrap();
        let mut of_job = |field: &str| spec.as_object_mut().unwrap().remove(field);
        let (suspend, concurrency) = (of_job("suspend").unwrap_or(Value::Bool(false)), of_job("concurrency"));
        spec["template"] = serde_json::json!({"spec": task});
        let job = serde_json::json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": name},
            "spec": {"suspend": suspend, "concurrency": concurrency, "template": {"spec": spec}},
        });
        let job: Job = serde_json::from_value(job).unwrap();
        self.api().create(&PostParams::default(), &job).await.unwrap()
    }

    /// Changes a Job.
    pub(crate) async fn patch_job(&self, name: &str, patch: Value) {
        self.api::<Job>().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Sends an event to a Job's address, as the sink would.
    pub(crate) async fn send(&self, job: &Job, id: &str) -> Accepted {
        self.send_event(job, &event(id)).await
    }

    /// The same with an event of one's own.
    pub(crate) async fn send_event(&self, job: &Job, event: &Event) -> Accepted {
        let planned = plan::Prepared::new(job.clone()).for_event(event, None).unwrap();
        ops::accept(&self.client, &planned).await.unwrap()
    }

    /// Sends an event and waits for the end of its run.
    pub(crate) async fn run(&self, job: &Job) -> Execution {
        let run = self.send(job, "1").await.execution;
        self.ended(&run).await
    }

    pub(crate) async fn execution(&self, name: &str) -> Execution {
        self.api().get(name).await.unwrap()
    }

    /// Waits for the end of a run.
    pub(crate) async fn ended(&self, name: &str) -> Execution {
        let waited = tokio::time::timeout(DEADLINE, ops::wait(&self.client, &self.namespace, name)).await;
        let Ok(ended) = waited else {
            panic!("{name} did not end: {:#?}", self.execution(name).await.status)
        };
        ended.unwrap()
    }

    /// Waits until a run is in that phase.
    pub(crate) async fn reaches(&self, name: &str, wanted: Phase) -> Execution {
        let what = format!("{name} is {}", wanted.as_str());
        eventually(&what, async || {
            let found = self.execution(name).await;
            if plan::phase(&found) == wanted { Ok(found) } else { Err(found.status) }
        })
        .await
    }

    /// Reasons of the Kubernetes Events about a run, in the order in which they happened.
    pub(crate) async fn reported(&self, name: &str) -> Vec<String> {
        let events: Vec<KubernetesEvent> = self.api().list(&ListParams::default()).await.unwrap().items;
        let mut events: Vec<_> = events
            .into_iter()
            .filter(|event| event.involved_object.name.as_deref() == Some(name))
            .filter(|event| event.involved_object.kind.as_deref() == Some("Execution"))
            .collect();
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events.into_iter().filter_map(|event| event.reason).collect()
    }

    /// Waits until that is reported of a run: a report comes after what it is about.
    pub(crate) async fn reports(&self, name: &str, reason: &str) {
        eventually(&format!("{reason} is reported"), async || {
            let reported = self.reported(name).await;
            if reported.iter().any(|one| one == reason) { Ok(()) } else { Err(reported) }
        })
        .await;
    }
}

pub(crate) fn event(id: &str) -> Event {
    Event::builder()
        .required(id, "/orders", "order")
        .set("subject", "a $(HOME) $$(X) b")
        .set("datacontenttype", "application/json")
        .data("{\"n\": 7}")
        .build()
        .unwrap()
}

/// What the condition `Completed` says: status, reason and message.
pub(crate) fn completed(execution: &Execution) -> (String, String, String) {
    let status = execution.status.as_ref().unwrap();
    assert!(status.conditions.iter().all(|one| one.status != "Unknown"), "{:#?}", status.conditions);
    let completed = condition(&status.conditions, "Completed").unwrap();
    (completed.status.clone(), completed.reason.clone(), completed.message.clone())
}

#[track_caller]
pub(crate) fn assert_completed(execution: &Execution, reason: &str, message: &str) {
    let (_, found, words) = completed(execution);
    assert_eq!((found.as_str(), words.as_str()), (reason, message));
}

/// The counts of a run: succeeded, failed, cancelled, retried.
pub(crate) fn counts(execution: &Execution) -> [i32; 4] {
    let status = execution.status.as_ref().unwrap();
    assert_eq!(status.running_count, 0);
    [status.succeeded_count, status.failed_count, status.cancelled_count, status.retried_count]
}
