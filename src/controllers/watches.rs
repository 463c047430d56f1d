//! The watches: each keeps its cache up to date and says which objects are to be looked at again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{Config, DefaultBackoff, Event, watcher};
use kube::{Api, Client, Resource};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::children::{Children, execution_of};
use super::health::Watched;
use super::trim;
use super::world::{Key, World, key};
use crate::api::{Execution, Job, LABEL_EXECUTION, Trigger};
use crate::ops::scoped;

/// Objects that wait to be queued. The controllers take them in at once; more than this only slows the watch down.
const QUEUE: usize = 1024;

/// Between two attempts at a list, should the usual pauses ever come to an end.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Where the watches say which objects are to be looked at.
#[derive(Clone)]
pub(super) struct Queues {
    pub(super) executions: mpsc::Sender<ObjectRef<Execution>>,
    pub(super) jobs: mpsc::Sender<ObjectRef<Job>>,
    pub(super) triggers: mpsc::Sender<ObjectRef<Trigger>>,
}

/// The other ends of [`Queues`].
pub(super) struct Requests {
    pub(super) executions: mpsc::Receiver<ObjectRef<Execution>>,
    pub(super) jobs: mpsc::Receiver<ObjectRef<Job>>,
    pub(super) triggers: mpsc::Receiver<ObjectRef<Trigger>>,
}

/// Makes the queues.
pub(super) fn queues() -> (Queues, Requests) {
    let (executions, wanted_executions) = mpsc::channel(QUEUE);
    let (jobs, wanted_jobs) = mpsc::channel(QUEUE);
    let (triggers, wanted_triggers) = mpsc::channel(QUEUE);
    (
        Queues { executions, jobs, triggers },
        Requests { executions: wanted_executions, jobs: wanted_jobs, triggers: wanted_triggers },
    )
}

impl Queues {
    /// Has those objects looked at. Nobody listens any more only when everything ends.
    pub(super) async fn send(&self, wanted: Wanted) {
        for (namespace, name) in wanted.executions {
            drop(self.executions.send(ObjectRef::new(&name).within(&namespace)).await);
        }
        for (namespace, name) in wanted.jobs {
            drop(self.jobs.send(ObjectRef::new(&name).within(&namespace)).await);
        }
        for (namespace, name) in wanted.triggers {
            drop(self.triggers.send(ObjectRef::new(&name).within(&namespace)).await);
        }
    }
}

/// Objects that are to be looked at.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) executions: Vec<Key>,
    pub(super) jobs: Vec<Key>,
    pub(super) triggers: Vec<Key>,
}

impl Wanted {
    fn execution(key: Key) -> Self {
        Self { executions: vec![key], ..Self::default() }
    }
}

/// The keys of all objects in a cache.
fn keys<K>(cache: &Store<K>) -> Vec<Key>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    cache.state().iter().map(|object| key(object.meta())).collect()
}

/// The writing ends of the caches that the watches fill.
pub(super) struct Writers {
    pub(super) executions: Writer<Execution>,
    pub(super) jobs: Writer<Job>,
    pub(super) triggers: Writer<Trigger>,
}

/// Runs all watches until `shutdown`, in that namespace or in all.
pub(super) async fn run(
    (client, namespace): (Client, Option<String>),
    world: Arc<World>,
    writers: Writers,
    queues: Queues,
    shutdown: CancellationToken,
) {
    let Writers { mut executions, mut jobs, mut triggers } = writers;
    let all = Config::default();
    let children = Config::default().labels(LABEL_EXECUTION);
    let of = namespace.as_deref();
    let watch = Watch { world, queues };
    let watches = async {
        tokio::join!(
            watch.follow(Watched::Executions, scoped(client.clone(), of), all.clone(), |world, event| {
                readable(event, &world.executions)
                    .map_or_else(Wanted::default, |event| on_execution(world, &mut executions, event))
            }),
            watch.follow(Watched::Jobs, scoped(client.clone(), of), all.clone(), |world, event| {
                readable(event, &world.jobs)
                    .map_or_else(Wanted::default, |event| on_job(world, &mut jobs, event))
            }),
            watch.follow(Watched::Triggers, scoped(client.clone(), of), all.clone(), |world, event| {
                readable(event, &world.triggers)
                    .map_or_else(Wanted::default, |event| on_trigger(world, &mut triggers, event))
            }),
            watch.follow(Watched::TaskSets, scoped(client.clone(), of), children.clone(), on_task_set),
            watch.follow(Watched::Pods, scoped(client.clone(), of), children.clone(), on_pod),
        )
    };
    shutdown.run_until_cancelled(Box::pin(watches)).await;
}

struct Watch {
    world: Arc<World>,
    queues: Queues,
}

impl Watch {
    /// Follows one watch for ever. `on` sees every event in order and says what is to be looked at.
    ///
    /// After an error everything is listed anew rather than watched on: only a complete list ends the doubt whether
    /// something was missed, and while there is doubt nothing starts.
    async fn follow<K>(
        &self,
        kind: Watched,
        api: Api<K>,
        config: Config,
        mut on: impl FnMut(&World, Event<K>) -> Wanted + Send,
    ) where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let Self { world, queues } = self;
        let watch = || Box::pin(watcher(api.clone(), config.clone()));
        let (mut events, mut backoff) = (watch(), DefaultBackoff::default());
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let (listed, answers) = (matches!(event, Event::InitDone), answers(&event));
                    let mut wanted = on(world, event);
                    if listed {
                        world.health.listed(kind);
                    }
                    if answers {
                        backoff.reset();
                    }
                    wanted.executions.extend(world.admit());
                    queues.send(wanted).await;
                }
                Err(error) => {
                    world.health.broke(kind);
                    tracing::warn!(
                        ?kind,
                        error = &error as &dyn std::error::Error,
                        "a watch broke; everything is listed anew"
                    );
                    tokio::time::sleep(backoff.next().unwrap_or(LONGEST_PAUSE)).await;
                    events = watch();
                }
            }
        }
    }
}

/// Whether that event shows that the API server answers. A list is said to begin before it is asked for.
fn answers<K>(event: &Event<K>) -> bool {
    match event {
        Event::InitDone | Event::Apply(_) | Event::Delete(_) => true,
        Event::Init | Event::InitApply(_) => false,
    }
}

/// The event, if its object can be read. One that cannot be read (any more) is as good as gone: it must not keep the
/// others from being seen.
fn readable<K>(event: Event<DeserializeGuard<K>>, cache: &Store<K>) -> Option<Event<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let invalid = match event {
        Event::Init => return Some(Event::Init),
        Event::InitDone => return Some(Event::InitDone),
        Event::InitApply(DeserializeGuard(Ok(object))) => return Some(Event::InitApply(object)),
        Event::Apply(DeserializeGuard(Ok(object))) => return Some(Event::Apply(object)),
        Event::Delete(DeserializeGuard(Ok(object))) => return Some(Event::Delete(object)),
        Event::InitApply(DeserializeGuard(Err(invalid))) => {
            tell_invalid::<K>(&invalid);
            return None;
        }
        Event::Apply(DeserializeGuard(Err(invalid))) | Event::Delete(DeserializeGuard(Err(invalid))) => {
            invalid
        }
    };
    tell_invalid::<K>(&invalid);
    let (namespace, name) = key(&invalid.metadata);
    let known = cache.get(&ObjectRef::new(&name).within(&namespace))?;
    Some(Event::Delete(known.as_ref().clone()))
}

fn tell_invalid<K: Resource<DynamicType = ()>>(invalid: &InvalidObject) {
    let (namespace, name) = key(&invalid.metadata);
    let kind = K::kind(&());
    tracing::error!(%kind, namespace, name, error = invalid.error, "an object cannot be read; it is passed over");
}

fn on_execution(world: &World, writer: &mut Writer<Execution>, event: Event<Execution>) -> Wanted {
    match event.modify(trim::execution) {
        Event::Init => {
            world.history.lock().begin();
            writer.apply_watcher_event(&Event::Init);
        }
        Event::InitApply(execution) => {
            if !world.observe(&execution) {
                writer.apply_watcher_event(&Event::InitApply(execution));
            }
        }
        Event::InitDone => {
            world.history.lock().commit();
            writer.apply_watcher_event(&Event::InitDone);
            world.keep_open();
            // A task set that came while the list was read found nobody.
            world.claim_all();
            return Wanted {
                executions: keys(&world.executions),
                jobs: keys(&world.jobs),
                triggers: Vec::new(),
            };
        }
        Event::Apply(execution) => {
            let key = key(&execution.metadata);
            if world.observe(&execution) {
                writer.apply_watcher_event(&Event::Delete(execution));
                world.forget_ended(&key);
            } else {
                writer.apply_watcher_event(&Event::Apply(execution));
                return Wanted::execution(key);
            }
        }
        Event::Delete(execution) => {
            world.forget(&execution);
            let key = key(&execution.metadata);
            writer.apply_watcher_event(&Event::Delete(execution));
            world.forget_ended(&key);
        }
    }
    Wanted::default()
}

fn on_job(world: &World, writer: &mut Writer<Job>, event: Event<Job>) -> Wanted {
    match event.modify(trim::job) {
        Event::Init => {
            writer.apply_watcher_event(&Event::Init);
            Wanted::default()
        }
        Event::InitApply(job) => {
            writer.apply_watcher_event(&Event::InitApply(job));
            Wanted::default()
        }
        Event::InitDone => {
            writer.apply_watcher_event(&Event::InitDone);
            world.set_all_terms();
            let exists =
                |(namespace, name): &Key| world.jobs.get(&ObjectRef::new(name).within(namespace)).is_some();
            world.summed.retain(exists);
            Wanted {
                executions: keys(&world.executions),
                jobs: keys(&world.jobs),
                triggers: keys(&world.triggers),
            }
        }
        Event::Apply(job) => {
            let before = world.jobs.get(&ObjectRef::from_obj(&job));
            writer.apply_watcher_event(&Event::Apply(job.clone()));
            world.set_terms(&job, true);
            // The roll-up writes a Job twice a second. If that were news, the next roll-up would follow at once, and
            // so would the one after it for as long as runs come and go.
            let news =
                |was: &Job| was.metadata.generation != job.metadata.generation || bears(was) != bears(&job);
            if before.is_some_and(|was| !news(&was)) {
                return Wanted::default();
            }
            Wanted { jobs: vec![key(&job.metadata)], ..dependents(world, &job) }
        }
        Event::Delete(job) => {
            writer.apply_watcher_event(&Event::Delete(job.clone()));
            world.set_terms(&job, false);
            world.summed.forget(&key(&job.metadata));
            dependents(world, &job)
        }
    }
}

/// What of a Job bears on its runs and Triggers besides its spec.
fn bears(job: &Job) -> (Option<&str>, bool) {
    (job.metadata.uid.as_deref(), job.metadata.deletion_timestamp.is_some())
}

/// The runs that may wait for that Job, and the Triggers that name it.
fn dependents(world: &World, job: &Job) -> Wanted {
    let (namespace, name) = key(&job.metadata);
    let executions = world.history.lock().with_runs(&job.metadata, |runs| {
        runs.open().map(|run| (namespace.clone(), run.to_owned())).collect()
    });
    let names_it = |trigger: &Trigger| {
        trigger.spec.job.name == name && trigger.metadata.namespace.as_deref() == Some(namespace.as_str())
    };
    let triggers = world.triggers.state_filter(names_it);
    let triggers = triggers.iter().map(|trigger| key(&trigger.metadata)).collect();
    Wanted { executions, triggers, jobs: Vec::new() }
}

fn on_trigger(world: &World, writer: &mut Writer<Trigger>, event: Event<Trigger>) -> Wanted {
    let event = event.modify(trim::trigger);
    writer.apply_watcher_event(&event);
    let triggers = match event {
        Event::Apply(trigger) => vec![key(&trigger.metadata)],
        Event::InitDone => keys(&world.triggers),
        Event::Init | Event::InitApply(_) | Event::Delete(_) => Vec::new(),
    };
    Wanted { triggers, ..Wanted::default() }
}

fn on_task_set(world: &World, event: Event<batchv1::Job>) -> Wanted {
    if let Event::Delete(gone) = &event
        && let Some(run) = execution_of(gone)
    {
        world.written.task_set_is_gone(&run);
    }
    let (whose, listed) = match &event {
        Event::Apply(task_set) | Event::Delete(task_set) => (execution_of(task_set), false),
        Event::Init | Event::InitApply(_) => (None, false),
        Event::InitDone => (None, true),
    };
    let wanted = on_child(world, &world.task_sets, event.modify(trim::task_set));
    if listed {
        world.claim_all();
    } else if let Some(run) = whose {
        world.claim_anew(&run);
    }
    wanted
}

fn on_pod(world: &World, event: Event<Pod>) -> Wanted {
    on_child(world, &world.pods, event.modify(trim::pod))
}

/// Takes in a child's event and has its Execution looked at. What belongs to a run that has ended is not kept.
fn on_child<K>(world: &World, cache: &Mutex<Children<K>>, event: Event<K>) -> Wanted
where
    K: Resource<DynamicType = ()>,
{
    let owner = match &event {
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => execution_of(object),
        Event::Init => None,
        Event::InitDone => {
            cache.lock().apply(event);
            return Wanted { executions: keys(&world.executions), ..Wanted::default() };
        }
    };
    let Some(owner) = owner else {
        cache.lock().apply(event);
        return Wanted::default();
    };
    let is_open = world.is_open(&owner);
    let news = matches!(event, Event::Apply(_) | Event::Delete(_));
    // Before the Executions are listed nothing is known to have ended.
    if is_open || matches!(event, Event::Delete(_)) || !world.health.has_listed(Watched::Executions) {
        cache.lock().apply(event);
    }
    if is_open && news { Wanted::execution(owner) } else { Wanted::default() }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use kube::runtime::reflector;
    use serde_json::json;

    use super::*;
    use crate::controllers::health::Health;
    use crate::controllers::world::Stores;
    use crate::controllers::written::{Before, Standing};
    use crate::plan::Guards;

    struct Watching {
        world: World,
        writers: Writers,
    }

    impl Watching {
        fn new() -> Self {
            let (executions, execution_writer) = reflector::store();
            let (jobs, job_writer) = reflector::store();
            let (triggers, trigger_writer) = reflector::store();
            let stores = Stores { executions, jobs, triggers };
            let world = World::new(stores, Guards::default(), Timestamp::now);
            let writers =
                Writers { executions: execution_writer, jobs: job_writer, triggers: trigger_writer };
            let mut this = Self { world, writers };
            this.execution(Event::Init);
            this.execution(Event::InitDone);
            this.world.health.listed(Watched::Executions);
            this
        }

        fn execution(&mut self, event: Event<Execution>) -> Wanted {
            on_execution(&self.world, &mut self.writers.executions, event)
        }

        fn job(&mut self, event: Event<Job>) -> Wanted {
            on_job(&self.world, &mut self.writers.jobs, event)
        }

        fn runs(&self) -> usize {
            self.runs_of("shop")
        }

        /// Runs that name the uid of our Job, in that namespace.
        fn runs_of(&self, namespace: &str) -> usize {
            let (namespace, uid) = (Some(namespace.to_owned()), Some("j1".to_owned()));
            let job = kube::core::ObjectMeta { namespace, uid, ..kube::core::ObjectMeta::default() };
            self.world.history.lock().with_runs(&job, crate::plan::Runs::len)
        }

        fn pods_of(&self, name: &str) -> usize {
            self.world.pods.lock().of(&at(name)).count()
        }
    }

    fn at(name: &str) -> Key {
        ("shop".to_owned(), name.to_owned())
    }

    fn execution(name: &str, reason: &str) -> Execution {
        let ended = reason == "Succeeded";
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
            "metadata": {"name": name, "namespace": "shop", "uid": name},
            "spec": {
                "job": {"name": "resize", "uid": "j1", "generation": 1}, "cause": {"type": "Address"},
                "template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}},
            },
            "status": {"conditions": [{
                "type": "Completed", "status": if ended { "True" } else { "Unknown" }, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }]},
        }))
        .unwrap()
    }

    fn job(generation: i64, running: i64) -> Job {
        serde_json::from_value(json!({
            "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
            "metadata": {"name": "resize", "namespace": "shop", "uid": "j1", "generation": generation},
            "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}},
            "status": {"runningCount": running},
        }))
        .unwrap()
    }

    fn pod(execution: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "shop", "labels": {LABEL_EXECUTION: execution}},
            "spec": {"containers": [{"name": "main", "image": "large"}, {"name": "other"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_run_that_has_ended_leaves_only_a_few_words() {
        let mut watching = Watching::new();
        assert_eq!(watching.execution(Event::Apply(execution("a", "Running"))), Wanted::execution(at("a")));
        assert_eq!(on_pod(&watching.world, Event::Apply(pod("a"))), Wanted::execution(at("a")));
        assert_eq!((watching.world.executions.len(), watching.pods_of("a"), watching.runs()), (1, 1, 1));
        assert_eq!(watching.execution(Event::Apply(execution("a", "Succeeded"))), Wanted::default());
        assert_eq!((watching.world.executions.len(), watching.pods_of("a"), watching.runs()), (0, 0, 1));
        assert_eq!(on_pod(&watching.world, Event::Apply(pod("a"))), Wanted::default());
        assert_eq!(watching.pods_of("a"), 0, "what its Pods say later is nobody's business");
        watching.execution(Event::Delete(execution("a", "Succeeded")));
        assert_eq!(watching.runs(), 0);
    }

    #[test]
    fn a_run_elsewhere_that_names_our_job_is_none_of_its_runs() {
        let mut watching = Watching::new();
        let mut foreign = execution("a", "Succeeded");
        foreign.metadata.namespace = Some("evil".to_owned());
        watching.execution(Event::Apply(foreign.clone()));
        watching.execution(Event::Apply(execution("a", "Succeeded")));
        assert_eq!((watching.runs(), watching.runs_of("evil")), (1, 1));
        watching.execution(Event::Delete(foreign));
        assert_eq!((watching.runs(), watching.runs_of("evil")), (1, 0));
    }

    #[test]
    fn a_new_list_forgets_what_it_does_not_bring() {
        let mut watching = Watching::new();
        for name in ["a", "b"] {
            watching.execution(Event::Apply(execution(name, "Running")));
        }
        watching.execution(Event::Init);
        watching.execution(Event::InitApply(execution("b", "Running")));
        watching.execution(Event::InitApply(execution("c", "Succeeded")));
        assert_eq!((watching.world.executions.len(), watching.runs()), (2, 2), "half a list says nothing");
        assert_eq!(watching.execution(Event::InitDone).executions, [at("b")]);
        assert_eq!((watching.world.executions.len(), watching.runs()), (1, 2));
    }

    #[test]
    fn pods_listed_before_the_executions_are_dropped_when_these_turn_out_to_have_ended() {
        let mut watching = Watching::new();
        watching.world.health = Health::default();
        on_pod(&watching.world, Event::Init);
        on_pod(&watching.world, Event::InitApply(pod("a")));
        on_pod(&watching.world, Event::InitDone);
        assert_eq!(watching.pods_of("a"), 1);
        watching.execution(Event::Init);
        watching.execution(Event::InitApply(execution("a", "Succeeded")));
        watching.execution(Event::InitDone);
        assert_eq!(watching.pods_of("a"), 0);
    }

    #[test]
    fn pods_listed_before_the_executions_are_dropped_when_their_run_does_not_exist() {
        let mut watching = Watching::new();
        watching.world.health = Health::default();
        on_pod(&watching.world, Event::Init);
        on_pod(&watching.world, Event::InitApply(pod("gone")));
        on_pod(&watching.world, Event::InitApply(pod("a")));
        watching.execution(Event::Init);
        watching.execution(Event::InitApply(execution("a", "Running")));
        watching.execution(Event::InitDone);
        on_pod(&watching.world, Event::InitDone);
        assert_eq!((watching.pods_of("gone"), watching.pods_of("a")), (0, 1));
    }

    #[test]
    fn nothing_is_remembered_of_writes_to_runs_that_are_gone() {
        let mut watching = Watching::new();
        let written = |watching: &Watching| {
            let versions = (None, None);
            let noted = |name| watching.world.standing(&at(name), &versions) != Standing::Current;
            let waiting = |name| watching.world.counting.lock().contains_key(&at(name));
            ["a", "b"].map(|name| (noted(name), waiting(name)))
        };
        watching.execution(Event::Apply(execution("a", "Running")));
        watching.execution(Event::Apply(execution("b", "Running")));
        let note = |watching: &Watching, name| {
            watching.world.writes(&at(name), Before { versions: vec![None], ..Before::default() });
            watching.world.counts(&at(name));
        };
        note(&watching, "a");
        note(&watching, "b");
        assert_eq!(written(&watching), [(true, true), (true, true)]);
        watching.execution(Event::Delete(execution("a", "Running")));
        assert_eq!(written(&watching), [(false, false), (true, true)]);
        note(&watching, "a");
        assert_eq!(written(&watching), [(false, false), (true, true)], "the step under way outlived the run");
        watching.execution(Event::Init);
        watching.execution(Event::InitDone);
        assert_eq!(written(&watching), [(false, false), (false, false)]);
    }

    fn guarded(object: &impl serde::Serialize) -> DeserializeGuard<Execution> {
        serde_json::from_value(json!(object)).unwrap()
    }

    #[test]
    fn an_object_that_cannot_be_read_does_not_hide_the_others() {
        let mut watching = Watching::new();
        let broken = |name: &str| {
            guarded(&json!({
                "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution",
                "metadata": {"name": name, "namespace": "shop", "uid": name}, "spec": {"job": 7},
            }))
        };
        let list = [
            Event::Init,
            Event::InitApply(broken("b")),
            Event::InitApply(guarded(&execution("a", "Running"))),
        ];
        for event in list.into_iter().chain([Event::InitDone, Event::Delete(broken("b"))]) {
            if let Some(event) = readable(event, &watching.world.executions) {
                watching.execution(event);
            }
        }
        assert_eq!((watching.world.executions.len(), watching.runs()), (1, 1));
        let event = readable(Event::Apply(broken("a")), &watching.world.executions).unwrap();
        watching.execution(event);
        assert_eq!((watching.world.executions.len(), watching.runs()), (0, 0), "it is as good as gone");
    }

    #[test]
    fn that_a_list_begins_does_not_show_that_the_api_server_answers() {
        assert!(!answers::<Pod>(&Event::Init));
        assert!(!answers(&Event::InitApply(pod("a"))));
        for event in [Event::InitDone, Event::Apply(pod("a")), Event::Delete(pod("a"))] {
            assert!(answers(&event), "{event:?}");
        }
    }

    fn task_set(execution: &str) -> batchv1::Job {
        serde_json::from_value(json!({
            "metadata": {"name": execution, "namespace": "shop", "labels": {LABEL_EXECUTION: execution},
                "ownerReferences": [{"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution", "name": execution,
                    "uid": execution, "controller": true}]},
        }))
        .unwrap()
    }

    impl Watching {
        /// A Job that runs one at a time, and nothing else is known yet.
        fn of_one_at_a_time() -> Self {
            let mut watching = Self::new();
            watching.world.health = Health::default();
            let mut one = job(1, 0);
            one.spec.concurrency = serde_json::from_value(json!({"policy": "Queue"})).unwrap();
            watching.job(Event::Apply(one));
            watching
        }

        fn everything_is_listed(&self) {
            let all =
                [Watched::Executions, Watched::Jobs, Watched::Triggers, Watched::TaskSets, Watched::Pods];
            for kind in all {
                self.world.health.listed(kind);
            }
        }

        fn has_place(&self, name: &str) -> bool {
            self.world.place(&execution(name, "Queued"), Timestamp::now()).fate == crate::plan::Fate::Go
        }
    }

    #[test]
    fn nothing_starts_before_everything_is_known_nor_while_a_watch_is_broken() {
        let mut watching = Watching::of_one_at_a_time();
        watching.execution(Event::Apply(execution("a", "Pending")));
        assert_eq!(watching.world.admit(), []);
        watching.everything_is_listed();
        watching.world.health.broke(Watched::Triggers);
        assert_eq!(watching.world.admit(), []);
        watching.world.health.listed(Watched::Triggers);
        assert_eq!(watching.world.admit(), [at("a")]);
    }

    #[test]
    fn a_task_set_has_its_place_in_whatever_order_it_and_its_run_become_known() {
        for order in ["task sets first", "runs first", "meanwhile"] {
            let mut watching = Watching::of_one_at_a_time();
            let list_task_sets = |watching: &Watching| {
                for event in [Event::Init, Event::InitApply(task_set("b")), Event::InitDone] {
                    on_task_set(&watching.world, event);
                }
            };
            if order == "task sets first" {
                list_task_sets(&watching);
            }
            watching.execution(Event::Init);
            watching.execution(Event::InitApply(execution("b", "Queued")));
            if order == "meanwhile" {
                on_task_set(&watching.world, Event::Apply(task_set("b")));
            }
            watching.execution(Event::InitApply(execution("a", "Queued")));
            watching.execution(Event::InitDone);
            if order == "runs first" {
                list_task_sets(&watching);
            }
            watching.everything_is_listed();
            assert_eq!(watching.world.admit(), [], "{order}");
            assert!(watching.has_place("b") && !watching.has_place("a"), "{order}");
            watching.execution(Event::Apply(execution("b", "Succeeded")));
            assert_eq!(watching.world.admit(), [at("a")], "{order}");
        }
    }

    #[test]
    fn a_new_list_takes_the_places_of_what_it_does_not_bring() {
        let mut watching = Watching::of_one_at_a_time();
        watching.everything_is_listed();
        watching.execution(Event::Apply(execution("a", "Running")));
        watching.execution(Event::Apply(execution("b", "Queued")));
        assert_eq!(watching.world.admit(), []);
        for event in [Event::Init, Event::InitApply(execution("b", "Queued")), Event::InitDone] {
            watching.execution(event);
        }
        assert_eq!(watching.world.admit(), [at("b")]);
    }

    #[test]
    fn a_jobs_own_status_is_no_news_and_its_spec_is() {
        let mut watching = Watching::new();
        watching.execution(Event::Apply(execution("a", "Queued")));
        let told = |jobs: &[Key], executions: &[Key]| Wanted {
            jobs: jobs.to_vec(),
            executions: executions.to_vec(),
            triggers: Vec::new(),
        };
        assert_eq!(watching.job(Event::Apply(job(1, 0))), told(&[at("resize")], &[at("a")]));
        assert_eq!(watching.job(Event::Apply(job(1, 1))), Wanted::default());
        assert_eq!(
            watching.world.jobs.state()[0].status.as_ref().unwrap().running_count,
            1,
            "but it is kept"
        );
        assert_eq!(watching.job(Event::Apply(job(2, 1))), told(&[at("resize")], &[at("a")]));
        assert_eq!(watching.job(Event::Delete(job(2, 1))), told(&[], &[at("a")]));
    }

    #[test]
    fn of_a_pod_only_what_is_read_is_kept() {
        let watching = Watching::new();
        on_pod(&watching.world, Event::Init);
        on_pod(&watching.world, Event::InitDone);
        let mut watching = watching;
        watching.execution(Event::Apply(execution("a", "Running")));
        on_pod(&watching.world, Event::Apply(pod("a")));
        let pods = watching.world.pods.lock();
        let kept = pods.of(&at("a")).next().unwrap();
        let containers = &kept.spec.as_ref().unwrap().containers;
        assert_eq!(containers.len(), 1);
        assert_eq!((containers[0].name.as_str(), &containers[0].image), ("main", &None));
    }
}
