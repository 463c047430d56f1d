//! What the controllers know of the world: caches fed by watches, indexed by Execution.
//!
//! Only what a decision needs is kept. A run that has ended leaves a few words ([`plan::Brief`]): its object, its task
//! set and its Pods are dropped, so that a long history costs little memory and no work.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1 as batchv1;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::core::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;

use super::Clock;
use super::children::Children;
use super::health::Health;
use super::owed::Owed;
use super::pace::Pace;
use super::written::{Before, Standing, Written};
use crate::api::{Execution, Job, Trigger};
use crate::plan::{self, Admission, Brief, Claim, Fate, Guards, Phase, Runs, Template, Terms};

/// Namespace and name.
pub(super) type Key = (String, String);

/// The key of an object with that metadata.
pub(super) fn key(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The caches. Every lock is held for a look or a change, never across an await.
pub(super) struct World {
    /// Executions that have not ended.
    pub(super) executions: Store<Execution>,
    pub(super) jobs: Store<Job>,
    pub(super) triggers: Store<Trigger>,
    pub(super) task_sets: Mutex<Children<batchv1::Job>>,
    pub(super) pods: Mutex<Children<Pod>>,
    pub(super) history: Mutex<History>,
    /// Which runs have a place among those that may be under way.
    admission: Mutex<Admission>,
    /// How many of them are made at a time.
    pub(super) pace: Mutex<Pace>,
    clock: Clock,
    /// What we wrote to runs that are under way.
    pub(super) written: Written,
    /// What we wrote to Jobs.
    pub(super) summed: Written,
    /// Since when a status of a run waits to be written that only counts on.
    pub(super) counting: Mutex<HashMap<Key, Instant>>,
    pub(super) health: Health,
    /// Runs that have ended and whose end is to be told.
    pub(super) owed: Owed,
}

/// Caches of whole objects.
pub(super) struct Stores {
    pub(super) executions: Store<Execution>,
    pub(super) jobs: Store<Job>,
    pub(super) triggers: Store<Trigger>,
}

/// What the caches say about one run.
pub(super) struct View {
    /// None: no such Job is known.
    pub(super) template: Option<Template>,
    pub(super) task_set: Option<Arc<batchv1::Job>>,
    pub(super) pods: Vec<Arc<Pod>>,
}

impl World {
    /// A world of which nothing is known yet.
    pub(super) fn new(stores: Stores, guards: Guards, clock: Clock) -> Self {
        let Stores { executions, jobs, triggers } = stores;
        Self {
            executions,
            jobs,
            triggers,
            admission: Mutex::new(Admission::new(guards)),
            pace: Mutex::default(),
            clock,
            task_sets: Mutex::default(),
            pods: Mutex::default(),
            history: Mutex::default(),
            written: Written::default(),
            summed: Written::default(),
            counting: Mutex::default(),
            health: Health::default(),
            owed: Owed::default(),
        }
    }

    /// What is known about `execution`.
    pub(super) fn view(&self, execution: &Execution) -> View {
        let key = key(&execution.metadata);
        let job = self.jobs.get(&ObjectRef::new(&execution.spec.job.name).within(&key.0));
        View {
            template: job.and_then(|job| template_of(&job, execution)),
            task_set: self.task_set(execution),
            pods: self.pods.lock().of(&key).cloned().collect(),
        }
    }

    /// The `batch/v1` Job of that run's name.
    pub(super) fn task_set(&self, execution: &Execution) -> Option<Arc<batchv1::Job>> {
        let sets = self.task_sets.lock();
        sets.of(&key(&execution.metadata)).find(|set| set.metadata.name == execution.metadata.name).cloned()
    }

    /// Takes in an Execution as it is now, and says whether it has ended.
    pub(super) fn observe(&self, execution: &Execution) -> bool {
        self.history.lock().insert(execution);
        let ended = plan::is_terminal(execution);
        if ended {
            let key = key(&execution.metadata);
            self.drop_children(&key);
            self.owed.observe(&key, execution);
        } else {
            self.claim(execution);
        }
        ended
    }

    /// Takes in what a run that has not ended has to say when places are given out.
    fn claim(&self, execution: &Execution) {
        let task_set = self.task_set(execution);
        let has_tasks = task_set.is_some_and(|task_set| plan::owns(execution, &task_set.metadata));
        let (namespace, _) = key(&execution.metadata);
        self.admission.lock().observe(&namespace, Claim::of(execution, has_tasks));
    }

    /// The same for a run whose task set came, changed or went.
    pub(super) fn claim_anew(&self, execution: &Key) {
        if let Some(open) = self.executions.get(&ObjectRef::new(&execution.1).within(&execution.0)) {
            self.claim(&open);
        }
    }

    /// The same for all of them.
    pub(super) fn claim_all(&self) {
        for execution in self.executions.state() {
            self.claim(&execution);
        }
    }

    /// Takes in what a Job says about its runs' places; `is_there` tells whether it exists.
    pub(super) fn set_terms(&self, job: &Job, is_there: bool) {
        let (namespace, uid) = (key(&job.metadata).0, job.metadata.uid.clone().unwrap_or_default());
        self.admission.lock().set_terms(&namespace, &uid, is_there.then(|| Terms::of(job)));
    }

    /// The same for all Jobs, once a list of them is whole.
    pub(super) fn set_all_terms(&self) {
        let jobs = self.jobs.state();
        for job in &jobs {
            self.set_terms(job, true);
        }
        let uids: HashSet<&str> = jobs.iter().filter_map(|job| job.metadata.uid.as_deref()).collect();
        self.admission.lock().retain_jobs(|uid| uids.contains(uid));
    }

    /// Gives out the places that are free, and says which runs are to be looked at for it. While a watch is broken nothing
    /// is given out: nobody knows then what is under way.
    pub(super) fn admit(&self) -> Vec<Key> {
        let room = self.pace.lock().room();
        let mut admission = self.admission.lock();
        if self.health.is_good() {
            admission.admit(room, (self.clock)());
        }
        admission.take_news()
    }

    /// What is decided about a run's place. While a watch is broken no run ends for it.
    pub(super) fn place(&self, execution: &Execution, now: Timestamp) -> plan::Standing {
        let (namespace, name) = key(&execution.metadata);
        let standing = self.admission.lock().standing(&namespace, &name, now);
        if standing.fate.is_end() && !self.health.is_good() { Fate::Soon.into() } else { standing }
    }

    /// Whether a run was promised a place that it was not seen to take.
    pub(super) fn is_promised(&self, (namespace, name): &Key) -> bool {
        self.admission.lock().is_promised(namespace, name)
    }

    /// Takes the promise back, from which nothing came.
    pub(super) fn withdraw(&self, (namespace, name): &Key) {
        self.admission.lock().withdraw(namespace, name);
    }

    /// A run that was promised a place has tried to take it.
    pub(super) fn tried(&self, (namespace, name): &Key) {
        self.admission.lock().tried(namespace, name);
    }

    /// Forgets a run that was deleted, and everything that belongs to it.
    pub(super) fn forget(&self, execution: &Execution) {
        self.history.lock().remove(execution);
        self.drop_children(&key(&execution.metadata));
    }

    fn drop_children(&self, execution: &Key) {
        self.task_sets.lock().forget(execution);
        self.pods.lock().forget(execution);
        self.admission.lock().forget(&execution.0, &execution.1);
    }

    /// Drops what belongs to runs that have ended or do not exist, once a list of all Executions is whole.
    pub(super) fn keep_open(&self) {
        self.task_sets.lock().retain(|execution| self.is_open(execution));
        self.pods.lock().retain(|execution| self.is_open(execution));
        self.written.retain(|execution| self.is_open(execution));
        self.admission.lock().retain(|execution| self.is_open(execution));
        self.counting.lock().retain(|execution, _| self.is_open(execution));
    }

    /// Whether that run is known and has not ended.
    pub(super) fn is_open(&self, execution: &Key) -> bool {
        self.executions.get(&ObjectRef::new(&execution.1).within(&execution.0)).is_some()
    }

    /// How caches with these versions of a run and its task set stand to what we wrote.
    pub(super) fn standing(&self, execution: &Key, versions: &(Option<String>, Option<String>)) -> Standing {
        let (now, (run, task_set)) = (Instant::now(), versions);
        let standing = self.written.standing(execution, (run.as_deref(), task_set.as_deref()), now);
        if standing == Standing::Lost {
            self.written.looked(execution, now);
        }
        standing
    }

    /// Whether the cache shows a run as it is here.
    pub(super) fn shows(&self, execution: &Execution) -> bool {
        let shown = self.executions.get(&ObjectRef::from_obj(execution));
        shown.is_some_and(|shown| shown.metadata.resource_version == execution.metadata.resource_version)
    }

    /// Notes that something of that run is about to be written.
    pub(super) fn writes(&self, execution: &Key, before: Before) {
        self.written.begin(execution.clone(), before, Instant::now());
        self.counting.lock().remove(execution);
        self.forget_ended(execution);
    }

    /// How long a status of that run that only counts on has been waiting.
    pub(super) fn counts(&self, execution: &Key) -> Duration {
        let waiting = self.counting.lock().entry(execution.clone()).or_insert_with(Instant::now).elapsed();
        self.forget_ended(execution);
        waiting
    }

    /// Forgets what is noted of a run that is not under way. Called after a note is made and after a run is taken out of
    /// the cache, so that the later of the two finds it.
    pub(super) fn forget_ended(&self, execution: &Key) {
        if !self.is_open(execution) {
            self.written.forget(execution);
            self.counting.lock().remove(execution);
        }
    }
}

/// What `job` says about starting `execution`; none if it is another Job of the same name.
pub(super) fn template_of(job: &Job, execution: &Execution) -> Option<Template> {
    if job.metadata.uid.as_deref() != Some(execution.spec.job.uid.as_str()) {
        return None;
    }
    Some(match (job.metadata.deletion_timestamp.is_some(), job.spec.suspend) {
        (true, _) => Template::Gone,
        (false, true) => Template::Suspended,
        (false, false) => Template::Active,
    })
}

/// The runs of every Job in brief, and which Jobs have news to tell.
#[derive(Default)]
pub(super) struct History {
    /// By namespace, and uid of the Job as the runs say it: whoever writes a run could name a Job of somebody else.
    jobs: HashMap<(String, String), Runs>,
    /// Jobs whose runs changed since they were last summed up.
    dirty: HashSet<Key>,
    /// What a list in progress has brought so far; it replaces the rest when it is whole.
    listing: Option<HashMap<(String, String), Runs>>,
}

impl History {
    /// Looks at the runs of that Job, which are in its namespace.
    pub(super) fn with_runs<T>(&self, job: &ObjectMeta, look: impl FnOnce(&Runs) -> T) -> T {
        let of = (job.namespace.clone().unwrap_or_default(), job.uid.clone().unwrap_or_default());
        match self.jobs.get(&of) {
            Some(runs) => look(runs),
            None => look(&Runs::default()),
        }
    }

    /// A list of all Executions begins.
    pub(super) fn begin(&mut self) {
        self.listing = Some(HashMap::new());
    }

    /// The list is whole: what it did not bring does not exist.
    pub(super) fn commit(&mut self) {
        if let Some(listed) = self.listing.take() {
            self.jobs = listed;
        }
    }

    /// Takes in a run as it is now.
    pub(super) fn insert(&mut self, execution: &Execution) {
        let name = execution.metadata.name.as_deref().unwrap_or_default();
        let (of, brief) = (owner(execution), Brief::of(execution));
        if self.jobs.get(&of).and_then(|runs| runs.get(name)) == Some(&brief) && self.listing.is_none() {
            return;
        }
        let jobs = self.listing.as_mut().unwrap_or(&mut self.jobs);
        jobs.entry(of).or_default().insert(name, brief);
        self.mark(execution);
    }

    /// Forgets a run that was deleted.
    pub(super) fn remove(&mut self, execution: &Execution) {
        let name = execution.metadata.name.as_deref().unwrap_or_default();
        let of = owner(execution);
        if let Some(runs) = self.jobs.get_mut(&of) {
            runs.remove(name);
            if runs.is_empty() {
                self.jobs.remove(&of);
            }
        }
        self.mark(execution);
    }

    /// How many runs stand where.
    pub(super) fn phases(&self) -> HashMap<Phase, i64> {
        let mut counts = HashMap::new();
        for phase in self.jobs.values().flat_map(Runs::phases) {
            *counts.entry(phase).or_default() += 1;
        }
        counts
    }

    /// The Jobs that have news, and none the next time.
    pub(super) fn take_dirty(&mut self) -> HashSet<Key> {
        std::mem::take(&mut self.dirty)
    }

    fn mark(&mut self, execution: &Execution) {
        let namespace = execution.metadata.namespace.clone().unwrap_or_default();
        self.dirty.insert((namespace, execution.spec.job.name.clone()));
    }
}

/// Namespace of a run, and uid of its Job.
fn owner(execution: &Execution) -> (String, String) {
    (execution.metadata.namespace.clone().unwrap_or_default(), execution.spec.job.uid.clone())
}
