//! Random lives of a Job against a small world in memory: Pods fail, vanish and are deleted, the spec changes, and the controller dies
//! between any two writes. What must hold then is the promise of [`settle`](crate::local::workload::jobs::settle).

use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::attempt::Phase;
use crate::local::workload::jobs::backoff::Pace;
use crate::local::workload::jobs::backoff::Streak;
use crate::local::workload::jobs::decide::Plan;
use crate::local::workload::jobs::decide::decide;
use crate::local::workload::jobs::demand::Birth;
use crate::local::workload::jobs::ending;
use crate::local::workload::jobs::indexes::Indexes;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobStatus;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const PACE: Pace = Pace { base: Duration::from_secs(1), cap: Duration::from_secs(8) };

/// Something that happens outside of the controller, to the pod or with the number given.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Runs(usize),
    Succeeds(usize),
    Fails(usize),
    Disrupted(usize),
    /// Somebody deletes a pod.
    Deleted(usize),
    /// The kubelet ends a pod that is being deleted.
    Stopped(usize),
    /// The pod garbage collector ends a pod that was deleted before a node had it.
    Collected(usize),
    Parallelism(i32),
    Suspend(bool),
    /// Time passes.
    Seconds(i64),
    /// The controller runs until it rests, or dies after so many writes and forgets what it remembered.
    Controller(Option<usize>),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (0_usize..6).prop_map(Happening::Runs),
        4 => (0_usize..6).prop_map(Happening::Succeeds),
        4 => (0_usize..6).prop_map(Happening::Fails),
        2 => (0_usize..6).prop_map(Happening::Disrupted),
        2 => (0_usize..6).prop_map(Happening::Deleted),
        4 => (0_usize..6).prop_map(Happening::Stopped),
        2 => (0_usize..6).prop_map(Happening::Collected),
        1 => (0_i32..4).prop_map(Happening::Parallelism),
        1 => any::<bool>().prop_map(Happening::Suspend),
        4 => (1_i64..9).prop_map(Happening::Seconds),
        8 => proptest::option::of(0_usize..7).prop_map(Happening::Controller),
    ]
}

struct World {
    job: Job,
    pods: BTreeMap<String, Attempt>,
    /// What the controller remembers.
    streak: Streak,
    now: Timestamp,
    born: usize,
    /// Pods whose failure must be counted, by the time they failed while tracked and unstopped.
    failures: BTreeSet<String>,
    /// Failures the policy ignores.
    ignored: BTreeSet<String>,
    writes: usize,
}

impl World {
    fn new(spec: &str) -> Self {
        let text = format!(
            "metadata: {{name: j, namespace: ns, uid: J}}\nspec: {{template: {{spec: {{containers: []}}}}, {spec}}}"
        );
        Self {
            job: serde_saphyr::from_str(&text).expect("a job"),
            pods: BTreeMap::new(),
            streak: Streak::default(),
            now: Timestamp::from_second(1_700_000_000).expect("a time"),
            born: 0,
            failures: BTreeSet::new(),
            ignored: BTreeSet::new(),
            writes: 0,
        }
    }

    fn status(&self) -> JobStatus {
        self.job.status.clone().unwrap_or_default()
    }

    fn over(&self) -> bool {
        ending::finished(&self.job).is_some()
    }

    fn plan(&self) -> Plan {
        let pods: Vec<Arc<Attempt>> = self.pods.values().cloned().map(Arc::new).collect();
        decide(&self.job, &pods, &self.streak, PACE, self.now)
    }

    fn happens(&mut self, happening: Happening) {
        let pick = |pods: &BTreeMap<String, Attempt>, number: usize, fit: &dyn Fn(&Attempt) -> bool| {
            let fitting: Vec<String> =
                pods.values().filter(|pod| fit(pod)).map(|pod| pod.uid.clone()).collect();
            (!fitting.is_empty()).then(|| fitting[number % fitting.len()].clone())
        };
        let alive = |pod: &Attempt| !pod.terminal();
        let spec = self.job.spec.as_mut().expect("a spec");
        match happening {
            Happening::Runs(number) => {
                if let Some(uid) =
                    pick(&self.pods, number, &|pod| pod.phase == Phase::Pending && !pod.deleted)
                {
                    let pod = self.pods.get_mut(&uid).expect("picked");
                    (pod.phase, pod.scheduled, pod.ready) = (Phase::Running, true, true);
                }
            }
            Happening::Succeeds(number) => {
                self.ends(pick(&self.pods, number, &alive), Phase::Succeeded, false);
            }
            Happening::Fails(number) => self.ends(pick(&self.pods, number, &alive), Phase::Failed, false),
            Happening::Disrupted(number) => self.ends(pick(&self.pods, number, &alive), Phase::Failed, true),
            Happening::Deleted(number) => {
                if let Some(uid) = pick(&self.pods, number, &|pod| !pod.deleted) {
                    self.delete(&uid);
                }
            }
            Happening::Stopped(number) => {
                self.stops(pick(&self.pods, number, &|pod| pod.terminating() && pod.scheduled), false);
            }
            Happening::Collected(number) => {
                self.stops(pick(&self.pods, number, &|pod| pod.terminating() && !pod.scheduled), true);
            }
            Happening::Parallelism(parallelism) => spec.parallelism = Some(parallelism),
            Happening::Suspend(suspend) => spec.suspend = Some(suspend),
            Happening::Seconds(seconds) => self.now += jiff::SignedDuration::from_secs(seconds),
            Happening::Controller(None) => self.rests(),
            Happening::Controller(Some(writes)) => {
                self.runs(writes);
                self.streak = Streak::default();
            }
        }
    }

    fn ends(&mut self, uid: Option<String>, phase: Phase, disrupted: bool) {
        let Some(uid) = uid else { return };
        let now = self.now;
        let pod = self.pods.get_mut(&uid).expect("picked");
        (pod.phase, pod.ready, pod.finished) = (phase, false, now);
        if disrupted {
            pod.conditions.push(("DisruptionTarget".to_owned(), "True".to_owned()));
        }
        // A pod that lost its finalizer was counted before, or is to be counted as nothing.
        if phase == Phase::Failed && pod.tracked() {
            if disrupted {
                self.ignored.insert(uid)
            } else {
                self.failures.insert(uid)
            };
        }
    }

    fn stops(&mut self, uid: Option<String>, disrupted: bool) {
        self.ends(uid.clone(), Phase::Failed, disrupted);
        if let Some(uid) = uid {
            self.vanish(&uid);
        }
    }

    fn delete(&mut self, uid: &str) {
        let now = self.now;
        if let Some(pod) = self.pods.get_mut(uid).filter(|pod| !pod.deleted) {
            pod.deleted = true;
            pod.finished = if pod.terminal() { pod.finished } else { now };
        }
        self.vanish(uid);
    }

    /// As the API server: a deleted pod goes when no finalizer holds it and no kubelet still stops it.
    fn vanish(&mut self, uid: &str) {
        let gone = self
            .pods
            .get(uid)
            .is_some_and(|pod| pod.deleted && !pod.tracked() && (pod.terminal() || !pod.scheduled));
        if gone {
            self.pods.remove(uid);
        }
    }

    fn release(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.finalizer = None;
        }
        self.vanish(uid);
    }

    fn create(&mut self, birth: &Birth) {
        self.born += 1;
        let uid = format!("u{:05}", self.born);
        let (failures, ignored) = birth.failures.unwrap_or_default();
        let pod = Attempt {
            name: uid.clone(),
            uid: uid.clone(),
            index: birth.index,
            failures,
            ignored,
            finalizer: Some(0),
            created: self.now,
            finished: self.now,
            ..Attempt::default()
        };
        self.pods.insert(uid, pod);
    }

    fn rests(&mut self) {
        for _ in 0..200 {
            if self.plan().idle() {
                return;
            }
            self.runs(usize::MAX);
        }
        panic!("the controller never rests: {:?}", self.plan());
    }

    /// One pass, in the order the shell applies it, that dies after so many writes.
    fn runs(&mut self, writes: usize) {
        let plan = self.plan();
        let mut left = writes;
        let mut may = || {
            let go = left > 0;
            left = left.saturating_sub(1);
            go
        };
        for pod in &plan.stop {
            if !may() {
                return;
            }
            self.release(&pod.uid);
            if !may() {
                return;
            }
            self.delete(&pod.uid);
        }
        for pod in &plan.delete {
            if !may() {
                return;
            }
            self.delete(&pod.uid);
        }
        for birth in &plan.create {
            if !may() {
                return;
            }
            self.create(birth);
        }
        if let Some(status) = &plan.status {
            if !may() {
                return;
            }
            self.writes += 1;
            self.check_step(status);
            self.job.status = Some(status.clone());
        }
        self.streak = plan.streak.clone();
        for pod in &plan.release {
            if !may() {
                return;
            }
            self.release(&pod.uid);
        }
    }

    /// Counters never go down, index sets never shrink or overlap, and nothing is counted that did not happen.
    fn check_step(&self, next: &JobStatus) {
        let before = self.status();
        let read = |text: &Option<String>| Indexes::parse(text.as_deref().unwrap_or_default(), u32::MAX);
        let listed = |status: &JobStatus| {
            status.uncounted_terminated_pods.as_ref().map_or(0, |list| {
                list.failed.as_ref().map_or(0, Vec::len) + list.succeeded.as_ref().map_or(0, Vec::len)
            })
        };
        assert!(!self.over(), "a finished job has its last status: {next:?}");
        assert!(next.succeeded >= before.succeeded && next.failed >= before.failed, "{before:?} -> {next:?}");
        for (before, after) in [
            (&before.completed_indexes, &next.completed_indexes),
            (&before.failed_indexes, &next.failed_indexes),
        ] {
            let (before, after) = (read(before), read(after));
            assert_eq!(before.union(&after), after, "an index is forgotten");
        }
        let (completed, failed) = (read(&next.completed_indexes), read(&next.failed_indexes));
        assert_eq!(
            completed.union(&failed).len(),
            completed.len() + failed.len(),
            "an index is in both sets: {next:?}"
        );
        let born = i32::try_from(self.born).expect("few");
        assert!(
            next.failed.unwrap_or(0)
                + next.succeeded.unwrap_or(0)
                + i32::try_from(listed(next)).expect("few")
                <= born,
            "counted twice: {next:?}"
        );
    }

    fn check_rest(&self) {
        let status = self.status();
        let mut running = BTreeSet::new();
        for pod in self.pods.values().filter(|pod| pod.active()) {
            assert!(pod.index.is_none_or(|index| running.insert(index)), "two active pods of one index");
        }
        assert_eq!(
            status.active.unwrap_or(0),
            i32::try_from(self.pods.values().filter(|pod| pod.active()).count()).expect("few")
        );
        // A failed pod stays listed while it keeps its finalizer: the status listed it with its replacement, the controller died
        // before it released it, and then the replacement was taken back. Its counts live nowhere else until the next one carries them.
        let listed = status.uncounted_terminated_pods.unwrap_or_default();
        assert_eq!(listed.succeeded, None);
        for uid in listed.failed.iter().flatten() {
            let waits = self.pods.get(uid).is_some_and(|pod| {
                let index = pod.index.expect("without indexes nobody waits for a replacement");
                pod.tracked() && pod.phase == Phase::Failed && !running.contains(&index)
            });
            assert!(waits, "{uid} should be counted");
        }
        if self.over() {
            assert!(self.pods.values().all(|pod| !pod.tracked() && pod.terminal()), "{:?}", self.pods);
        }
    }

    /// Lets every pod succeed until the job is over.
    fn finish(&mut self) {
        let spec = self.job.spec.as_mut().expect("a spec");
        (spec.suspend, spec.parallelism) = (Some(false), Some(2));
        for _ in 0..400 {
            self.rests();
            self.check_rest();
            if self.over() {
                return;
            }
            self.happens(Happening::Runs(0));
            self.happens(Happening::Stopped(0));
            self.happens(Happening::Collected(0));
            self.happens(Happening::Succeeds(0));
            self.happens(Happening::Seconds(8));
        }
        panic!("the job never ends: {:?} {:?}", self.job.status, self.pods);
    }
}

fn live(spec: &str, happenings: &[Happening]) -> World {
    let mut world = World::new(spec);
    for happening in happenings {
        world.happens(*happening);
    }
    world.rests();
    world.check_rest();
    world.finish();
    world
}

const POLICY: &str =
    "podFailurePolicy: {rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn an_indexed_job_survives_anything_and_ends(happenings in proptest::collection::vec(happening(), 0..60), limit in 0_i32..3) {
        let spec = format!("completionMode: Indexed, completions: 4, parallelism: 2, backoffLimitPerIndex: {limit}, {POLICY}");
        let world = live(&spec, &happenings);
        let status = world.status();
        let completed = Indexes::parse(status.completed_indexes.as_deref().unwrap_or_default(), 4);
        let failed = Indexes::parse(status.failed_indexes.as_deref().unwrap_or_default(), 4);
        prop_assert_eq!(completed.len() + failed.len(), 4, "every index has its end");
        prop_assert_eq!(ending::holds(&world.job, "Failed").is_some(), failed.len() > 0);
        // Only ended pods are replaced here, so every failure of a tracked pod counts once, and nothing else does.
        prop_assert_eq!(status.failed.unwrap_or(0), i32::try_from(world.failures.len()).expect("few"));
    }

    #[test]
    fn a_job_that_replaces_terminating_pods_survives_anything_and_ends(happenings in proptest::collection::vec(happening(), 0..60)) {
        let world = live("completionMode: Indexed, completions: 3, parallelism: 3, backoffLimitPerIndex: 2", &happenings);
        prop_assert!(world.over());
    }

    #[test]
    fn a_plain_job_survives_anything_and_ends(happenings in proptest::collection::vec(happening(), 0..60)) {
        let world = live(&format!("completions: 3, parallelism: 2, backoffLimit: 100, {POLICY}"), &happenings);
        let status = world.status();
        prop_assert!(status.succeeded >= Some(3));
        prop_assert_eq!(status.failed.unwrap_or(0), i32::try_from(world.failures.len()).expect("few"));
        prop_assert!(ending::holds(&world.job, "Complete").is_some());
    }

    #[test]
    fn a_job_with_few_retries_survives_anything_and_ends(happenings in proptest::collection::vec(happening(), 0..60), limit in 0_i32..3) {
        let world = live(&format!("completions: 3, parallelism: 2, backoffLimit: {limit}"), &happenings);
        let failed = ending::holds(&world.job, "Failed").is_some();
        prop_assert_eq!(failed, world.status().failed.unwrap_or(0) > limit);
    }
}

#[test]
fn a_job_of_one_task_takes_two_writes_of_its_status() {
    let mut world =
        World::new("completionMode: Indexed, completions: 1, parallelism: 1, backoffLimitPerIndex: 3");
    world.rests();
    world.happens(Happening::Succeeds(0));
    world.rests();
    assert!(world.over());
    assert_eq!((world.writes, world.born), (2, 1));
}
