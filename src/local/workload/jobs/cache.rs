//! The unfinished Jobs and their Pods as the controller knows them: what the watches told and what its own writes returned.
//!
//! **Read your own writes.** Whatever a write returns is put here at once, and the newer version of an object wins. So the next
//! decision sees the Pods that the last one created although the watch has not shown them yet, and nothing is created twice; no
//! expectations are needed. Three cases need care:
//! - a write returns after the watch has shown that the object is gone: what vanishes during a pass is remembered until the pass ends;
//! - a list that began before a write does not show it: Pods written during a list stay, and their Job is verified by a live list;
//! - a watch is behind a write that settled an object: it is forgotten only when the watch has caught up.
//!
//! A finished Job is dropped as soon as its Pods are, unless it waits for its deletion; then little of it is kept.

use crate::local::workload::jobs::attempt;
use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::backoff::Streak;
use crate::local::workload::jobs::ending;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobSpec;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

/// `metadata.uid`.
pub(super) type Uid = Arc<str>;

/// Who tells about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Watch,
    Write,
}

/// What is known of one Job.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) namespace: String,
    pub(super) name: String,
    /// None: it was never seen, or is gone; a live look decides which.
    pub(super) job: Option<Arc<Job>>,
    pub(super) pods: BTreeMap<Uid, Arc<Attempt>>,
    pub(super) streak: Streak,
    /// The Pods may differ from what is known here: list them live before deciding.
    pub(super) verify: bool,
    /// Version of `job`, and the highest that the watch has shown.
    version: u64,
    shown: u64,
    /// The watch has shown that the Job is gone; a UID never comes back.
    pub(super) deleted: bool,
    /// A pass is under way; `vanished` are the Pods that the watch has shown to be gone or settled since it began.
    busy: bool,
    vanished: HashSet<Uid>,
}

impl Entry {
    fn removable(&self) -> bool {
        let finished = match &self.job {
            None => true,
            Some(job) => {
                ending::finished(job).is_some()
                    && job.spec.as_ref().is_none_or(|spec| spec.ttl_seconds_after_finished.is_none())
            }
        };
        let caught_up = self.deleted || self.job.is_none() || self.shown >= self.version;
        finished && caught_up && self.pods.is_empty() && !self.busy
    }
}

/// A list under way: what it has shown, and the Pods that were written meanwhile.
#[derive(Debug, Default)]
struct Listing {
    shown: HashSet<Uid>,
    written: HashSet<Uid>,
}

/// All Jobs that may need something.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Uid, Entry>,
    /// Pod → the Job it belongs to; itself if none controls it any more.
    homes: HashMap<Uid, Uid>,
    listing_jobs: Option<Listing>,
    listing_pods: Option<Listing>,
}

impl Cache {
    pub(super) fn get(&self, uid: &Uid) -> Option<&Entry> {
        self.entries.get(uid)
    }

    pub(super) fn get_mut(&mut self, uid: &Uid) -> Option<&mut Entry> {
        self.entries.get_mut(uid)
    }

    /// Takes in a Job; returns it if it may need something now.
    pub(super) fn job(&mut self, job: Job, source: Source) -> Option<Uid> {
        let uid: Uid = job.metadata.uid.as_deref()?.into();
        let version = attempt::version(job.metadata.resource_version.as_deref());
        if source == Source::Watch {
            self.listing_jobs.iter_mut().for_each(|listing| listing.shown.extend([uid.clone()]));
        } else if !self.entries.contains_key(&uid) {
            return None; // gone meanwhile
        }
        let entry = self.entries.entry(uid.clone()).or_default();
        if source == Source::Watch {
            entry.shown = entry.shown.max(version);
        }
        // A version that is no number (0) cannot be compared: the last word counts.
        let stale = entry.deleted || entry.job.is_some() && version <= entry.version && version != 0;
        if !stale {
            (entry.namespace, entry.name) = (job.namespace().unwrap_or_default(), job.name_any());
            entry.version = version;
            entry.job = Some(Arc::new(slim(job)));
        }
        let kept = !self.sweep(&uid);
        (!stale && kept).then_some(uid)
    }

    /// Takes in that a Job is gone; returns it if Pods of it remain.
    pub(super) fn job_gone(&mut self, uid: &Uid) -> Option<Uid> {
        let entry = self.entries.get_mut(uid)?;
        (entry.job, entry.deleted) = (None, true);
        (!self.sweep(uid)).then(|| uid.clone())
    }

    /// Takes in a Pod; returns the Jobs that may need something now.
    pub(super) fn pod(&mut self, pod: &Pod, source: Source) -> Vec<Uid> {
        let Some(uid) = pod.metadata.uid.as_deref().map(Uid::from) else { return Vec::new() };
        let attempt = Attempt::of(pod);
        let controller = controller(pod);
        let home: Uid = controller.map_or(uid.clone(), |owner| owner.uid.as_str().into());
        if let Some(listing) = &mut self.listing_pods {
            let seen = if source == Source::Watch { &mut listing.shown } else { &mut listing.written };
            seen.insert(uid.clone());
        }
        let mut touched = Vec::new();
        if self.homes.get(&uid).is_some_and(|before| *before != home) {
            touched.extend(self.forget(&uid));
        }
        // A Pod that no Job controls matters only while it has the finalizer.
        if controller.is_none() && !attempt.tracked() {
            touched.extend(self.forget(&uid));
            return touched;
        }
        let known = self.entries.get(&home);
        let before = known.and_then(|entry| entry.pods.get(&uid));
        let stale = before.is_some_and(|before| before.version >= attempt.version && attempt.version != 0);
        let vanished = source == Source::Write && known.is_none_or(|entry| entry.vanished.contains(&uid));
        if vanished || stale && source == Source::Write {
            return touched;
        }
        if attempt.settled()
            && source == Source::Watch
            && before.is_none_or(|before| before.version <= attempt.version)
        {
            touched.extend(self.forget(&uid));
            return touched;
        }
        if stale {
            return touched;
        }
        let entry = self.entries.entry(home.clone()).or_default();
        if entry.job.is_none() {
            entry.namespace = pod.namespace().unwrap_or_default();
            entry.name = controller.map(|owner| owner.name.clone()).unwrap_or_default();
        }
        entry.pods.insert(uid.clone(), Arc::new(attempt));
        self.homes.insert(uid, home.clone());
        touched.push(home);
        touched
    }

    /// Takes in that a Pod is gone, or settled for good; returns its Job if that may need something now.
    pub(super) fn forget(&mut self, uid: &Uid) -> Option<Uid> {
        let home = self.homes.remove(uid)?;
        let entry = self.entries.get_mut(&home)?;
        entry.pods.remove(uid);
        if entry.busy {
            entry.vanished.insert(uid.clone());
        }
        (!self.sweep(&home)).then_some(home)
    }

    pub(super) fn jobs_list_begins(&mut self) {
        self.listing_jobs = Some(Listing::default());
    }

    /// Jobs that the list did not show are gone.
    pub(super) fn jobs_list_ends(&mut self) -> Vec<Uid> {
        let shown = self.listing_jobs.take().unwrap_or_default().shown;
        let gone: Vec<Uid> = self
            .entries
            .iter()
            .filter(|(uid, entry)| entry.job.is_some() && !shown.contains(*uid))
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.iter().filter_map(|uid| self.job_gone(uid)).collect()
    }

    pub(super) fn pods_list_begins(&mut self) {
        self.listing_pods = Some(Listing::default());
    }

    /// Pods that the list did not show are gone, unless they were written meanwhile: then a live look has to tell.
    pub(super) fn pods_list_ends(&mut self) -> Vec<Uid> {
        let Listing { shown, written } = self.listing_pods.take().unwrap_or_default();
        let missing: Vec<(Uid, Uid)> = self
            .homes
            .iter()
            .filter(|(pod, _)| !shown.contains(*pod))
            .map(|(pod, home)| (pod.clone(), home.clone()))
            .collect();
        let mut touched = Vec::new();
        for (pod, home) in missing {
            if written.contains(&pod) {
                if let Some(entry) = self.entries.get_mut(&home) {
                    entry.verify = true;
                }
                touched.push(home);
            } else {
                touched.extend(self.forget(&pod));
            }
        }
        touched
    }

    /// A pass over the Job begins.
    pub(super) fn begin(&mut self, uid: &Uid) {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.busy = true;
        }
    }

    /// The pass is over and all that it wrote has been taken in. Returns whether the Job is still kept.
    pub(super) fn end(&mut self, uid: &Uid) -> bool {
        if let Some(entry) = self.entries.get_mut(uid) {
            entry.busy = false;
            entry.vanished.clear();
        }
        !self.sweep(uid)
    }

    /// Drops the entry if nothing can need it any more; returns whether it is gone.
    fn sweep(&mut self, uid: &Uid) -> bool {
        let gone = self.entries.get(uid).is_none_or(Entry::removable);
        if gone {
            self.entries.remove(uid);
        }
        gone
    }
}

/// The Job that controls the Pod.
pub(super) fn controller(pod: &Pod) -> Option<&OwnerReference> {
    let owner = pod.owner_references().iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == "Job" && owner.api_version == "batch/v1").then_some(owner)
}

/// Drops what no decision needs: who managed which field, and nearly all of a Job that is over.
fn slim(mut job: Job) -> Job {
    job.metadata.managed_fields = None;
    if ending::finished(&job).is_some() {
        let ttl = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let conditions = job.status.take().and_then(|status| status.conditions);
        job.spec = Some(JobSpec { ttl_seconds_after_finished: ttl, ..JobSpec::default() });
        job.status = Some(JobStatus { conditions, ..JobStatus::default() });
        (job.metadata.labels, job.metadata.annotations) = (None, None);
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNFINISHED: &str = "{}";
    const FINISHED: &str = "{conditions: [{type: Complete, status: 'True'}]}";

    fn job(version: u64, status: &str) -> Job {
        let text = format!(
            "metadata: {{name: j, namespace: ns, uid: J, resourceVersion: '{version}', labels: {{a: b}}, managedFields: [{{manager: m}}]}}\nspec: {{template: {{spec: {{containers: []}}}}, completions: 3}}\nstatus: {status}"
        );
        serde_saphyr::from_str(&text).expect("a job")
    }

    /// A pod of Job J; `tracked` says whether it has the finalizer.
    fn pod(uid: &str, version: u64, phase: &str, tracked: bool) -> Pod {
        let finalizers = if tracked { "[batch.kubernetes.io/job-tracking]" } else { "[]" };
        let owner = "{apiVersion: batch/v1, kind: Job, name: j, uid: J, controller: true}";
        let text = format!(
            "metadata: {{name: p{uid}, namespace: ns, uid: {uid}, resourceVersion: '{version}', finalizers: {finalizers}, ownerReferences: [{owner}]}}\nstatus: {{phase: {phase}}}"
        );
        serde_saphyr::from_str(&text).expect("a pod")
    }

    fn uid(text: &str) -> Uid {
        text.into()
    }

    fn known(cache: &Cache) -> Vec<String> {
        cache
            .get(&uid("J"))
            .map(|entry| entry.pods.iter().map(|(pod, seen)| format!("{pod}@{}", seen.version)).collect())
            .unwrap_or_default()
    }

    /// A cache with an unfinished Job at version 1, and a pass under way.
    fn during_a_pass() -> Cache {
        let mut cache = Cache::default();
        assert_eq!(cache.job(job(1, UNFINISHED), Source::Watch), Some(uid("J")));
        cache.begin(&uid("J"));
        cache
    }

    #[test]
    fn a_write_is_seen_at_once_and_the_watch_repeats_it_silently() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 5, "Pending", true), Source::Write);
        cache.end(&uid("J"));
        assert_eq!(known(&cache), ["a@5"]);
        assert!(cache.pod(&pod("a", 5, "Pending", true), Source::Watch).is_empty(), "nothing new");
        assert_eq!(cache.pod(&pod("a", 6, "Running", true), Source::Watch), [uid("J")]);
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 9, "Failed", true), Source::Watch);
        cache.pod(&pod("a", 5, "Pending", true), Source::Write);
        assert_eq!(known(&cache), ["a@9"]);
        cache.job(job(7, "{succeeded: 1}"), Source::Write);
        assert_eq!(cache.job(job(3, UNFINISHED), Source::Watch), None);
        let status =
            cache.get(&uid("J")).and_then(|entry| entry.job.clone()).and_then(|job| job.status.clone());
        assert_eq!(status.and_then(|status| status.succeeded), Some(1));
    }

    #[test]
    fn a_pod_that_vanished_during_the_pass_that_created_it_stays_away() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 5, "Pending", true), Source::Watch);
        cache.forget(&uid("a"));
        cache.pod(&pod("a", 5, "Pending", true), Source::Write);
        assert_eq!(known(&cache), [""; 0]);
        cache.pod(&pod("b", 6, "Failed", false), Source::Watch);
        cache.pod(&pod("c", 6, "Failed", true), Source::Watch);
        cache.pod(&pod("c", 7, "Failed", false), Source::Watch);
        cache.pod(&pod("c", 7, "Failed", false), Source::Write);
        assert_eq!(known(&cache), [""; 0], "what is settled needs no place");
    }

    #[test]
    fn a_settled_pod_stays_until_the_watch_has_caught_up() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 5, "Failed", true), Source::Watch);
        cache.pod(&pod("a", 8, "Failed", false), Source::Write);
        cache.end(&uid("J"));
        cache.pod(&pod("a", 7, "Failed", true), Source::Watch);
        assert_eq!(known(&cache), ["a@8"], "the older version would count it again");
        cache.pod(&pod("a", 8, "Failed", false), Source::Watch);
        assert_eq!(known(&cache), [""; 0]);
    }

    #[test]
    fn a_finished_job_is_dropped_when_the_watch_and_its_pods_have_caught_up() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 5, "Succeeded", true), Source::Watch);
        cache.job(job(6, FINISHED), Source::Write);
        assert!(cache.end(&uid("J")));
        assert_eq!(cache.job(job(4, UNFINISHED), Source::Watch), None, "an old version starts nothing");
        cache.pod(&pod("a", 7, "Succeeded", false), Source::Watch);
        assert_eq!(cache.entries.len(), 1, "the watch is behind");
        cache.job(job(6, FINISHED), Source::Watch);
        assert_eq!((cache.entries.len(), cache.homes.len()), (0, 0));
        assert_eq!(cache.job(job(6, FINISHED), Source::Watch), None);
        assert_eq!(cache.entries.len(), 0);
    }

    #[test]
    fn a_finished_job_that_expires_is_kept_small() {
        let mut cache = Cache::default();
        let mut expiring = job(6, FINISHED);
        expiring.spec.get_or_insert_default().ttl_seconds_after_finished = Some(9);
        assert_eq!(cache.job(expiring, Source::Watch), Some(uid("J")));
        let kept = cache.get(&uid("J")).and_then(|entry| entry.job.clone()).expect("kept");
        let spec = kept.spec.clone().expect("a spec");
        assert_eq!(
            (spec.ttl_seconds_after_finished, spec.completions, kept.labels().len()),
            (Some(9), None, 0)
        );
        assert!(ending::finished(&kept).is_some() && kept.metadata.managed_fields.is_none());
    }

    #[test]
    fn pods_of_a_deleted_job_remain_to_be_let_go() {
        let mut cache = during_a_pass();
        cache.pod(&pod("a", 5, "Running", true), Source::Watch);
        assert_eq!(cache.job_gone(&uid("J")), Some(uid("J")));
        assert_eq!(cache.job(job(9, UNFINISHED), Source::Write), None);
        assert!(
            cache.get(&uid("J")).is_some_and(|entry| entry.job.is_none() && entry.deleted),
            "a UID never comes back"
        );
        cache.end(&uid("J"));
        cache.forget(&uid("a"));
        assert_eq!(cache.entries.len(), 0);
    }

    #[test]
    fn a_list_removes_what_it_does_not_show() {
        let mut cache = during_a_pass();
        cache.end(&uid("J"));
        for name in ["a", "b"] {
            cache.pod(&pod(name, 5, "Running", true), Source::Watch);
        }
        cache.pods_list_begins();
        cache.pod(&pod("a", 5, "Running", true), Source::Watch);
        assert_eq!(cache.pods_list_ends(), [uid("J")]);
        assert_eq!(known(&cache), ["a@5"]);
        cache.jobs_list_begins();
        assert_eq!(cache.jobs_list_ends(), [uid("J")]);
    }

    #[test]
    fn a_pod_written_during_a_list_is_verified_instead_of_lost() {
        let mut cache = during_a_pass();
        cache.pods_list_begins();
        cache.pod(&pod("new", 8, "Pending", true), Source::Write);
        assert_eq!(cache.pods_list_ends(), [uid("J")]);
        assert_eq!(known(&cache), ["new@8"]);
        assert!(cache.get(&uid("J")).is_some_and(|entry| entry.verify));
    }

    #[test]
    fn a_pod_without_a_job_matters_only_while_it_has_the_finalizer() {
        let mut cache = Cache::default();
        let mut orphan = pod("a", 3, "Running", true);
        orphan.metadata.owner_references = None;
        assert_eq!(cache.pod(&orphan, Source::Watch), [uid("a")]);
        (orphan.metadata.finalizers, orphan.metadata.resource_version) = (None, Some("4".to_owned()));
        cache.pod(&orphan, Source::Watch);
        assert_eq!((cache.entries.len(), cache.homes.len()), (0, 0));
    }

    #[test]
    fn a_pod_that_leaves_its_job_is_no_longer_counted_there() {
        let mut cache = during_a_pass();
        cache.end(&uid("J"));
        cache.pod(&pod("a", 3, "Running", true), Source::Watch);
        let mut orphan = pod("a", 4, "Running", true);
        orphan.metadata.owner_references = None;
        assert_eq!(cache.pod(&orphan, Source::Watch), [uid("J"), uid("a")]);
        assert_eq!(known(&cache), [""; 0]);
    }
}
