//! What is known of Triggers, Jobs and namespaces. Changes touch one object; readers of one namespace share a snapshot.

use std::collections::HashMap;
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::Namespace;
use kube::Resource;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use parking_lot::RwLock;

use crate::api::Job;
use crate::api::JobStatus;
use crate::api::Trigger;
use crate::cel::Input;
use crate::event::Event;
use crate::explain::Verdict;
use crate::feed::Change;
use crate::feed::Follower;
use crate::feed::Health;
use crate::filter;
use crate::filter::Filter;
use crate::filter::Matches;
use crate::params::Parameters;
use crate::plan::Prepared;

/// Everything that is followed.
#[derive(Default)]
pub(super) struct Index {
    pub(super) jobs: Jobs,
    pub(super) triggers: TriggerSet,
    pub(super) namespaces: Namespaces,
}

impl Index {
    /// Whether every first list has arrived.
    pub(super) fn is_synced(&self) -> bool {
        let Self { jobs, triggers, namespaces } = self;
        [&jobs.health, &triggers.health, &namespaces.health].iter().all(|health| health.is_synced())
    }
}

/// A Trigger as it is asked.
#[derive(Debug)]
pub struct LiveTrigger {
    /// Its name.
    pub name: String,
    /// Name of the Job that it runs, in the same namespace.
    pub job: String,
    /// Its parameters.
    pub parameters: Parameters,
    filter: Filter,
    uid: Option<String>,
    generation: Option<i64>,
    /// Why its filter lets nothing pass, if it does not compile.
    problem: Option<String>,
    /// When it became what it is, on the clock of [`TriggerSet::revision`].
    since: u64,
}

impl LiveTrigger {
    /// The Trigger as it is asked. One that does not compile, or cannot be read, lets nothing pass and says why.
    pub fn new(trigger: &DeserializeGuard<Trigger>) -> Self {
        let (namespace, name) = key(trigger);
        let (uid, generation) = (trigger.meta().uid.clone(), trigger.meta().generation);
        let compiled = match trigger {
            DeserializeGuard(Ok(trigger)) => compile(trigger),
            DeserializeGuard(Err(error)) => Err(format!("cannot be read: {error}")),
        };
        let problem = compiled.as_ref().err().cloned();
        if let Some(problem) = &problem {
            tracing::warn!(
                namespace,
                trigger = name,
                error = problem,
                "a trigger does not compile and matches nothing"
            );
        }
        let (filter, parameters) = compiled.unwrap_or_else(|_| (Filter::nothing(), Parameters::default()));
        let job = trigger.0.as_ref().map(|trigger| trigger.spec.job.name.clone()).unwrap_or_default();
        Self { name, job, parameters, filter, uid, generation, problem, since: 0 }
    }

    /// What it says about an event, and why.
    pub fn explain(&self, input: &Input<'_>) -> Verdict {
        let terms = if self.problem.is_some() { Vec::new() } else { self.filter.explain(input) };
        Verdict {
            trigger: self.name.clone(),
            generation: self.generation,
            job: self.job.clone(),
            matches: self.filter.lets_pass(input),
            changed: false,
            problem: self.problem.clone(),
            terms,
        }
    }

    /// That it let an event pass, without the reasons.
    pub fn matched(&self) -> Verdict {
        Verdict {
            trigger: self.name.clone(),
            generation: self.generation,
            job: self.job.clone(),
            matches: true,
            changed: false,
            problem: None,
            terms: Vec::new(),
        }
    }

    /// Whether it was the same already at that revision of the set.
    pub fn is_since(&self, revision: u64) -> bool {
        self.since <= revision
    }

    /// Whether it says what the other one says.
    fn is_same(&self, other: &Self) -> bool {
        self.uid.is_some()
            && self.uid == other.uid
            && self.generation.is_some()
            && self.generation == other.generation
    }
}

/// The Triggers of one namespace.
type Rows = filter::Index<LiveTrigger>;

/// Compiled Triggers by namespace.
#[derive(Default)]
pub(super) struct TriggerSet {
    rows: RwLock<HashMap<String, Rows>>,
    /// Counts the changes of Triggers, of all namespaces.
    revision: AtomicU64,
    health: Health,
}

impl TriggerSet {
    pub(super) fn is_current(&self) -> bool {
        self.health.is_current()
    }

    pub(super) fn matching(&self, namespace: &str, event: &Event) -> Matches<LiveTrigger> {
        // The lock is held for look-ups only; filters run on the snapshot.
        let candidates = self.rows.read().get(namespace).map(|rows| rows.candidates(event));
        candidates.map(|candidates| candidates.matching(event)).unwrap_or_default()
    }

    /// How often a Trigger has changed so far.
    pub(super) fn revision(&self) -> u64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The Triggers of a namespace, in no order.
    pub(super) fn all(&self, namespace: &str) -> Vec<Arc<LiveTrigger>> {
        self.rows.read().get(namespace).map(|rows| rows.values().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<LiveTrigger>> {
        self.rows.read().get(namespace)?.get(name).cloned()
    }

    fn insert(rows: &mut HashMap<String, Rows>, namespace: String, live: LiveTrigger) {
        let (filter, name) = (live.filter.clone(), live.name.clone());
        rows.entry(namespace).or_default().insert(&name, filter, live);
    }

    /// The Trigger as it is from the `next` revision on; none if it is on its way out. One whose status alone changed, or
    /// that is only listed again, is what it was.
    fn live(&self, trigger: &DeserializeGuard<Trigger>, next: u64) -> Option<LiveTrigger> {
        if trigger.meta().deletion_timestamp.is_some() {
            return None;
        }
        let live = LiveTrigger::new(trigger);
        let known = self.get(&key(trigger).0, &live.name).filter(|known| live.is_same(known));
        Some(LiveTrigger { since: known.map_or(next, |known| known.since), ..live })
    }

    /// To be called once a change can be seen: whoever reads the revision first and then asks the Triggers, asks all that
    /// are of that revision.
    fn publish(&self, revision: u64) {
        self.revision.store(revision, Ordering::Release);
    }

    fn forget(&self, namespace: &str, name: &str) {
        Self::remove(&mut self.rows.write(), namespace, name);
    }

    fn remove(rows: &mut HashMap<String, Rows>, namespace: &str, name: &str) {
        if let Some(found) = rows.get_mut(namespace) {
            found.remove(name);
            if found.is_empty() {
                rows.remove(namespace);
            }
        }
    }
}

/// What it filters by and computes.
fn compile(trigger: &Trigger) -> Result<(Filter, Parameters), String> {
    let filter = Filter::compile(&trigger.spec).map_err(|error| error.to_string())?;
    let parameters =
        Parameters::compile(&trigger.spec.parameters).map_err(|error| format!("spec.{error}"))?;
    Ok((filter, parameters))
}

impl Follower<DeserializeGuard<Trigger>> for TriggerSet {
    fn change(&self, change: Change<DeserializeGuard<Trigger>>) {
        let next = self.revision() + 1;
        match change {
            Change::Replace(triggers) => {
                let mut rows = HashMap::new();
                for trigger in &triggers {
                    if let Some(live) = self.live(trigger, next) {
                        Self::insert(&mut rows, key(trigger).0, live);
                    }
                }
                // The old ones, a hundred thousand perhaps, go when nobody waits for the lock.
                let old = mem::replace(&mut *self.rows.write(), rows);
                self.publish(next);
                self.health.listed();
                drop(old);
            }
            Change::Apply(trigger) => {
                let (namespace, name) = key(&trigger);
                // Compiled before anybody has to wait.
                match self.live(&trigger, next) {
                    Some(live) => Self::insert(&mut self.rows.write(), namespace, live),
                    None => self.forget(&namespace, &name),
                }
                self.publish(next);
            }
            Change::Delete(trigger) => {
                let (namespace, name) = key(&trigger);
                self.forget(&namespace, &name);
            }
            Change::Broken => self.health.broke(),
        }
    }
}

/// Jobs by namespace and name.
#[derive(Default)]
pub(super) struct Jobs {
    rows: RwLock<HashMap<String, HashMap<String, Row>>>,
    health: Health,
}

/// A Job, and how many runs were accepted since its status was as it is here.
#[derive(Clone)]
struct Row {
    prepared: Arc<Prepared>,
    since: Arc<AtomicI64>,
}

impl Jobs {
    pub(super) fn is_current(&self) -> bool {
        self.health.is_current()
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Prepared>> {
        Some(self.rows.read().get(namespace)?.get(name)?.prepared.clone())
    }

    /// How many runs of that Job were accepted since its status was last seen to change.
    pub(super) fn since(&self, namespace: &str, name: &str) -> Option<Arc<AtomicI64>> {
        Some(self.rows.read().get(namespace)?.get(name)?.since.clone())
    }

    fn insert(rows: &mut HashMap<String, HashMap<String, Row>>, mut job: Job) {
        // Neither is needed to plan a run, and both are large; but for what says whether another run may wait.
        job.status = job.status.map(|JobStatus { queued_count, running_count, .. }| JobStatus {
            running_count,
            queued_count,
            ..JobStatus::default()
        });
        job.metadata.managed_fields = None;
        let (namespace, name) = key(&job);
        let row = Row { prepared: Arc::new(Prepared::new(job)), since: Arc::default() };
        rows.entry(namespace).or_default().insert(name, row);
    }

    fn remove(rows: &mut HashMap<String, HashMap<String, Row>>, namespace: &str, name: &str) {
        if let Some(found) = rows.get_mut(namespace) {
            found.remove(name);
            if found.is_empty() {
                rows.remove(namespace);
            }
        }
    }
}

impl Follower<DeserializeGuard<Job>> for Jobs {
    fn change(&self, change: Change<DeserializeGuard<Job>>) {
        match change {
            Change::Replace(jobs) => {
                let mut rows = HashMap::new();
                // One that cannot be read is looked up live when an event asks for it, and the error told then.
                jobs.into_iter().filter_map(|job| job.0.ok()).for_each(|job| Self::insert(&mut rows, job));
                *self.rows.write() = rows;
                self.health.listed();
            }
            Change::Apply(job) => {
                let (namespace, name) = key(&job);
                match job {
                    DeserializeGuard(Ok(job)) => Self::insert(&mut self.rows.write(), job),
                    DeserializeGuard(Err(_)) => Self::remove(&mut self.rows.write(), &namespace, &name),
                }
            }
            Change::Delete(job) => {
                let (namespace, name) = key(&job);
                Self::remove(&mut self.rows.write(), &namespace, &name);
            }
            Change::Broken => self.health.broke(),
        }
    }
}

/// Names of namespaces.
#[derive(Default)]
pub(super) struct Namespaces {
    names: RwLock<HashSet<String>>,
    health: Health,
}

impl Namespaces {
    pub(super) fn is_current(&self) -> bool {
        self.health.is_current()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names.read().contains(name)
    }
}

impl Follower<Namespace> for Namespaces {
    fn change(&self, change: Change<Namespace>) {
        match change {
            Change::Replace(namespaces) => {
                *self.names.write() = namespaces.iter().map(ResourceExt::name_any).collect();
                self.health.listed();
            }
            Change::Apply(namespace) => {
                self.names.write().insert(namespace.name_any());
            }
            Change::Delete(namespace) => {
                self.names.write().remove(&namespace.name_any());
            }
            Change::Broken => self.health.broke(),
        }
    }
}

fn key(object: &impl ResourceExt) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn trigger(namespace: &str, name: &str, spec: &Value) -> DeserializeGuard<Trigger> {
        let metadata = json!({"namespace": namespace, "name": name});
        let object = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": metadata, "spec": spec});
        serde_json::from_value(object).unwrap()
    }

    fn all(job: &str) -> Value {
        json!({"job": {"name": job}})
    }

    fn names(set: &TriggerSet, namespace: &str) -> Vec<String> {
        let event = Event::builder().required("1", "/s", "t").build().unwrap();
        set.matching(namespace, &event).passed.iter().map(|trigger| trigger.name.clone()).collect()
    }

    #[test]
    fn a_change_touches_one_trigger_of_one_namespace() {
        let set = TriggerSet::default();
        let listed = vec![
            trigger("a", "two", &all("j")),
            trigger("a", "one", &all("j")),
            trigger("b", "one", &all("j")),
        ];
        set.change(Change::Replace(listed));
        assert_eq!(
            (names(&set, "a"), names(&set, "b")),
            (vec!["one".into(), "two".into()], vec!["one".into()])
        );
        let miss = json!({"filters": [{"exact": {"type": "other"}}], "job": {"name": "j"}});
        set.change(Change::Apply(trigger("a", "one", &miss)));
        assert_eq!((names(&set, "a"), names(&set, "b")), (vec!["two".into()], vec!["one".into()]));
        set.change(Change::Delete(trigger("b", "one", &all("j"))));
        set.change(Change::Delete(trigger("b", "never seen", &all("j"))));
        assert_eq!((names(&set, "a").len(), names(&set, "b").len()), (1, 0));
        set.change(Change::Replace(Vec::new()));
        assert!(names(&set, "a").is_empty());
    }

    #[test]
    fn what_cannot_be_used_matches_nothing_and_harms_nothing() {
        let set = TriggerSet::default();
        set.change(Change::Replace(vec![
            trigger("a", "good", &all("j")),
            trigger("a", "empty filter", &json!({"filters": [{}], "job": {"name": "j"}})),
            trigger("a", "unknown dialect", &json!({"filters": [{"new": {}}], "job": {"name": "j"}})),
            trigger("a", "no job", &json!({})),
            trigger(
                "a",
                "bad parameter",
                &json!({"job": {"name": "j"}, "parameters": [{"name": "P", "value": "event."}]}),
            ),
        ]));
        assert_eq!(names(&set, "a"), ["good"]);
        // A good one that becomes unreadable or is on its way out stops matching.
        set.change(Change::Apply(trigger("a", "good", &json!(5))));
        assert!(names(&set, "a").is_empty());
        let mut leaving = trigger("a", "leaving", &all("j"));
        set.change(Change::Apply(leaving.clone()));
        assert_eq!(names(&set, "a"), ["leaving"]);
        leaving.meta_mut().deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        set.change(Change::Apply(leaving));
        assert!(names(&set, "a").is_empty());
    }

    #[test]
    fn after_a_broken_watch_only_a_list_makes_current() {
        let set = TriggerSet::default();
        assert!(!set.is_current());
        set.change(Change::Replace(Vec::new()));
        assert!(set.is_current() && set.health.is_synced());
        set.change(Change::Broken);
        set.change(Change::Apply(trigger("a", "one", &all("j"))));
        assert!(!set.is_current() && set.health.is_synced());
        set.change(Change::Replace(Vec::new()));
        assert!(set.is_current());
    }

    fn job(name: &str) -> DeserializeGuard<Job> {
        let metadata = json!({"namespace": "a", "name": name, "managedFields": [{"manager": "m"}]});
        let spec = json!({"template": {"spec": {"template": {"spec": {"containers": [{"name": "main"}]}}}}});
        let object = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": metadata,
            "spec": spec, "status": {"executionCount": 5, "queuedCount": 2, "runningCount": 1}});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn jobs_are_kept_without_what_no_run_needs() {
        let jobs = Jobs::default();
        jobs.change(Change::Replace(vec![job("one"), job("two")]));
        let kept = jobs.get("a", "one").unwrap();
        assert!(kept.job().metadata.managed_fields.is_none());
        let counts = JobStatus { queued_count: 2, running_count: 1, ..JobStatus::default() };
        assert_eq!(kept.job().status, Some(counts));
        assert!(jobs.get("b", "one").is_none());
        jobs.change(Change::Delete(job("one")));
        assert!(jobs.get("a", "one").is_none() && jobs.get("a", "two").is_some());
        jobs.change(Change::Replace(Vec::new()));
        assert!(jobs.get("a", "two").is_none());
    }

    #[test]
    fn namespaces_come_and_go() {
        let named = |name: &str| {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(name.to_owned());
            namespace
        };
        let index = Index::default();
        index.namespaces.change(Change::Replace(vec![named("a")]));
        index.namespaces.change(Change::Apply(named("b")));
        index.namespaces.change(Change::Delete(named("a")));
        assert!(!index.namespaces.contains("a") && index.namespaces.contains("b"));
        // The others have not been listed.
        assert!(!index.is_synced());
    }
}
