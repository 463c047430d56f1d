//! One pass over a Job: decide, then write.
//!
//! The order is what makes a crash harmless at any point (`settle` says why):
//! 1. Pods nobody needs: take the finalizer, delete. A crash between leaves a Pod that the next pass deletes.
//! 2. Pods of a Job that ends: delete; the finalizer keeps them until they are counted.
//! 3. New Pods. Only when all are there does the status follow, and only then the failed Pods go whose counts the new ones carry.
//! 4. The status, with the resourceVersion that was decided on: a conflict ends the pass.
//! 5. Finalizers of the Pods that the status has taken in.
//!
//! Any error ends the pass after its step; what was written is reported all the same.

use crate::local::workload::jobs::announce::Announcer;
use crate::local::workload::jobs::attempt::Attempt;
use crate::local::workload::jobs::backoff::Pace;
use crate::local::workload::jobs::backoff::Streak;
use crate::local::workload::jobs::cache::controller;
use crate::local::workload::jobs::decide::Announcement;
use crate::local::workload::jobs::decide::Plan;
use crate::local::workload::jobs::decide::decide;
use crate::local::workload::jobs::demand::Birth;
use crate::local::workload::jobs::ending;
use crate::local::workload::jobs::names;
use crate::local::workload::jobs::template;
use futures::StreamExt;
use futures::stream;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::batch::v1::JobStatus;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::ResourceExt;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::api::Preconditions;
use kube::api::PropagationPolicy;
use serde_json::Value;
use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use thiserror::Error;

/// Requests that one pass has under way at a time.
const REQUESTS: usize = 16;
/// Events about single Pods in one pass; a Job of thousands of tasks must not write thousands of Events.
const POD_EVENTS: usize = 25;

/// Why a pass ended early.
#[derive(Debug, Error)]
pub(super) enum Error {
    #[error("cannot read the job")]
    ReadJob(#[source] kube::Error),
    #[error("cannot list the pods of the job")]
    ListPods(#[source] kube::Error),
    #[error("cannot create pod {name}")]
    CreatePod { name: String, source: kube::Error },
    #[error("pod name {name} is taken by another object")]
    NameTaken { name: String },
    #[error("cannot delete pod {name}")]
    DeletePod { name: String, source: kube::Error },
    #[error("cannot take the finalizer from pod {name}")]
    ReleasePod { name: String, source: kube::Error },
    #[error("cannot write the status of the job")]
    WriteStatus(#[source] kube::Error),
    #[error("cannot delete the expired job")]
    Expire(#[source] kube::Error),
    #[error("cannot compute the patch of the status")]
    Patch(#[from] serde_json::Error),
}

impl Error {
    /// The object changed since it was read; the watch brings what to decide on.
    pub(super) fn conflict(&self) -> bool {
        match self {
            Self::WriteStatus(source) | Self::Expire(source) => is(source, 409),
            Self::ReleasePod { source, .. } => is(source, 409) || is(source, 422),
            _ => false,
        }
    }

    /// The Pod may have been created all the same: only a refusal says no.
    fn uncertain(&self) -> bool {
        matches!(self, Self::CreatePod { source, .. } if !matches!(source, kube::Error::Api(status) if (400..500).contains(&status.code)))
    }
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// What a pass starts from.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) uid: Arc<str>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) job: Option<Arc<Job>>,
    /// The watch has shown that the Job is gone.
    pub(super) deleted: bool,
    pub(super) pods: Vec<Arc<Attempt>>,
    pub(super) streak: Streak,
    /// List the Pods live first.
    pub(super) verify: bool,
    /// Write also a status that nobody waits for.
    pub(super) flush: bool,
}

/// What a pass did.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The Job, read or written.
    pub(super) job: Option<Job>,
    /// Pods as they were written, or listed.
    pub(super) pods: Vec<Pod>,
    /// UIDs of Pods that turned out to be gone.
    pub(super) gone: Vec<String>,
    pub(super) streak: Option<Streak>,
    pub(super) left: Left,
    pub(super) again: Option<Timestamp>,
    pub(super) trust: Trust,
}

/// What a pass leaves to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Left {
    #[default]
    Nothing,
    /// A status waits to be written with the next one, or a little later.
    Status,
    /// Something was written: decide again.
    Decision,
}

/// How well the Pods are known after a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trust {
    /// As before.
    #[default]
    Same,
    /// They were listed live.
    Verified,
    /// They must be listed before the next decision.
    Doubtful,
}

/// What one request showed of a Pod.
enum Seen {
    Pod(Box<Pod>),
    Gone(String),
}

/// Runs passes.
#[derive(Clone)]
pub(super) struct Operator {
    pub(super) client: Client,
    pub(super) pace: Pace,
    pub(super) announcer: Announcer,
}

impl Operator {
    /// One pass. The report holds what was done up to the error, if there is one.
    pub(super) async fn pass(&self, work: Work) -> (Report, Result<(), Error>) {
        let mut report = Report::default();
        let result = self.step(work, &mut report).await;
        if result.as_ref().is_err_and(Error::uncertain) {
            report.trust = Trust::Doubtful;
        }
        (report, result)
    }

    async fn step(&self, mut work: Work, report: &mut Report) -> Result<(), Error> {
        if work.verify {
            self.list(&mut work, report).await?;
        }
        let job = match &work.job {
            Some(job) => Some(job.clone()),
            None => self.look_up(&work, report).await?.map(Arc::new),
        };
        let Some(job) = job else {
            // The Job is gone, or nobody's: its Pods are let go.
            let release: Vec<_> = work.pods.into_iter().filter(|pod| pod.tracked()).collect();
            report.left = if release.is_empty() { Left::Nothing } else { Left::Decision };
            return self.release(&work.namespace, &release, report).await;
        };
        let plan = decide(&job, &work.pods, &work.streak, self.pace, Timestamp::now());
        report.again = plan.again;
        let small = plan.lazy && Plan { status: None, ..plan.clone() }.idle();
        if small && !work.flush {
            report.left = Left::Status;
            return Ok(());
        }
        report.left = if plan.idle() { Left::Nothing } else { Left::Decision };
        self.apply(&job, plan, report).await
    }

    async fn list(&self, work: &mut Work, report: &mut Report) -> Result<(), Error> {
        let label = format!("{}={}", names::CONTROLLER_UID, work.uid);
        let mut pods = self
            .pods(&work.namespace)
            .list(&ListParams::default().labels(&label))
            .await
            .map_err(Error::ListPods)?
            .items;
        pods.retain(|pod| controller(pod).is_some_and(|owner| *owner.uid == *work.uid));
        let listed: Vec<Attempt> = pods.iter().map(Attempt::of).collect();
        let missing = work.pods.iter().filter(|known| !listed.iter().any(|pod| pod.uid == known.uid));
        report.gone.extend(missing.map(|pod| pod.uid.clone()));
        // One that is settled has been shown by the watch already, or will be.
        let settled: HashSet<&str> =
            listed.iter().filter(|pod| pod.settled()).map(|pod| pod.uid.as_str()).collect();
        pods.retain(|pod| pod.metadata.uid.as_deref().is_some_and(|uid| !settled.contains(uid)));
        report.pods.extend(pods);
        report.trust = Trust::Verified;
        work.pods = listed.into_iter().map(Arc::new).collect();
        Ok(())
    }

    /// The Job of Pods whose Job no watch has shown, if it exists.
    async fn look_up(&self, work: &Work, report: &mut Report) -> Result<Option<Job>, Error> {
        if work.deleted || work.name.is_empty() {
            return Ok(None);
        }
        let found = self.jobs(&work.namespace).get_opt(&work.name).await.map_err(Error::ReadJob)?;
        let found = found.filter(|job| job.metadata.uid.as_deref() == Some(&*work.uid));
        // One that is over needs no place in the cache, and no watch would clear it away.
        report.job = found.clone().filter(|job| ending::finished(job).is_none());
        Ok(found)
    }

    async fn apply(&self, job: &Arc<Job>, plan: Plan, report: &mut Report) -> Result<(), Error> {
        let Plan { expire, stop, delete, create, status, lazy: _, announce, release, streak, again: _ } =
            plan;
        let namespace = job.namespace().unwrap_or_default();
        if expire {
            report.job = self.expire(job).await?;
        }
        self.release(
            &namespace,
            &stop.iter().filter(|pod| pod.tracked()).cloned().collect::<Vec<_>>(),
            report,
        )
        .await?;
        self.delete(job, &stop, report).await?;
        self.delete(job, &delete, report).await?;
        self.create(job, &create, report).await?;
        if let Some(status) = status {
            report.job = Some(self.write_status(job, &status).await?);
        }
        report.streak = Some(streak);
        for announcement in announce {
            self.announcer.announce(job, announcement, Timestamp::now());
        }
        self.release(&namespace, &release, report).await
    }

    async fn expire(&self, job: &Job) -> Result<Option<Job>, Error> {
        let preconditions = Preconditions { uid: job.uid(), resource_version: job.resource_version() };
        let params = DeleteParams::foreground().preconditions(preconditions);
        match self.jobs(&job.namespace().unwrap_or_default()).delete(&job.name_any(), &params).await {
            Ok(answer) => Ok(answer.left()),
            Err(error) if is(&error, 404) => Ok(None),
            Err(error) => Err(Error::Expire(error)),
        }
    }

    async fn delete(&self, job: &Job, pods: &[Arc<Attempt>], report: &mut Report) -> Result<(), Error> {
        let api = self.pods(&job.namespace().unwrap_or_default());
        let delete = |pod: Arc<Attempt>| {
            let api = api.clone();
            async move {
                let preconditions = Preconditions { uid: Some(pod.uid.clone()), resource_version: None };
                let params = DeleteParams {
                    propagation_policy: Some(PropagationPolicy::Background),
                    ..DeleteParams::default()
                };
                match api.delete(&pod.name, &params.preconditions(preconditions)).await {
                    Ok(answer) => Ok(answer
                        .left()
                        .filter(|left| left.metadata.deletion_timestamp.is_some())
                        .map_or_else(|| Seen::Gone(pod.uid.clone()), |left| Seen::Pod(Box::new(left)))),
                    Err(error) if is(&error, 404) || is(&error, 409) => Ok(Seen::Gone(pod.uid.clone())),
                    Err(source) => Err(Error::DeletePod { name: pod.name.clone(), source }),
                }
            }
        };
        for pod in pods.iter().take(POD_EVENTS) {
            let message = format!("Deleted pod: {}", pod.name);
            self.announcer.announce(job, Announcement::normal("SuccessfulDelete", message), Timestamp::now());
        }
        collect(stream::iter(pods.to_vec()).map(delete).buffer_unordered(REQUESTS), report).await
    }

    /// Creates Pods: one first, so that what refuses one is not asked a thousand times, then the others.
    async fn create(&self, job: &Arc<Job>, births: &[Birth], report: &mut Report) -> Result<(), Error> {
        let Some((first, others)) = births.split_first() else { return Ok(()) };
        let before = report.pods.len();
        let result = match self.create_one(job, first).await {
            Ok(seen) => {
                keep(seen, report);
                let create = |birth: Birth| async move { self.create_one(job, &birth).await };
                collect(stream::iter(others.to_vec()).map(create).buffer_unordered(REQUESTS), report).await
            }
            Err(error) => Err(error),
        };
        for pod in report.pods.iter().skip(before).take(POD_EVENTS) {
            let message = format!("Created pod: {}", pod.name_any());
            self.announcer.announce(job, Announcement::normal("SuccessfulCreate", message), Timestamp::now());
        }
        if let Err(Error::CreatePod { source, .. }) = &result {
            let message = format!("Error creating: {source}");
            self.announcer.announce(
                job,
                Announcement { warning: true, reason: "FailedCreate".to_owned(), message },
                Timestamp::now(),
            );
        }
        result
    }

    /// The name is chosen here, in the form that generateName would give: a request that is sent twice creates one Pod.
    async fn create_one(&self, job: &Job, birth: &Birth) -> Result<Seen, Error> {
        let mut pod = template::pod(job, birth);
        let name = format!("{}{}", pod.metadata.generate_name.clone().unwrap_or_default(), suffix());
        pod.metadata.name = Some(name.clone());
        let api = self.pods(&job.namespace().unwrap_or_default());
        match api.create(&PostParams::default(), &pod).await {
            Ok(pod) => Ok(Seen::Pod(Box::new(pod))),
            Err(error) if is(&error, 409) => {
                let found = api
                    .get_opt(&name)
                    .await
                    .map_err(|source| Error::CreatePod { name: name.clone(), source })?;
                let ours = found.filter(|pod| {
                    controller(pod).is_some_and(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
                });
                ours.map(|pod| Seen::Pod(Box::new(pod))).ok_or(Error::NameTaken { name })
            }
            Err(source) => Err(Error::CreatePod { name, source }),
        }
    }

    async fn write_status(&self, job: &Job, status: &JobStatus) -> Result<Job, Error> {
        let before = serde_json::to_value(job.status.clone().unwrap_or_default())?;
        let change = change(&before, &serde_json::to_value(status)?);
        let patch = json!({
            "metadata": {"uid": job.metadata.uid, "resourceVersion": job.metadata.resource_version},
            "status": change.unwrap_or_else(|| json!({})),
        });
        let api = self.jobs(&job.namespace().unwrap_or_default());
        api.patch_status(&job.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await
            .map_err(Error::WriteStatus)
    }

    async fn release(
        &self,
        namespace: &str,
        pods: &[Arc<Attempt>],
        report: &mut Report,
    ) -> Result<(), Error> {
        let api = self.pods(namespace);
        let release = |pod: Arc<Attempt>| {
            let api = api.clone();
            async move {
                let place = format!("/metadata/finalizers/{}", pod.finalizer.unwrap_or(0));
                let patch: json_patch::Patch = serde_json::from_value(json!([
                    {"op": "test", "path": "/metadata/uid", "value": pod.uid},
                    {"op": "test", "path": place, "value": names::TRACKING_FINALIZER},
                    {"op": "remove", "path": place},
                ]))?;
                match api.patch(&pod.name, &PatchParams::default(), &Patch::Json::<()>(patch)).await {
                    Ok(pod) => Ok(Seen::Pod(Box::new(pod))),
                    Err(error) if is(&error, 404) => Ok(Seen::Gone(pod.uid.clone())),
                    Err(source) => Err(Error::ReleasePod { name: pod.name.clone(), source }),
                }
            }
        };
        collect(stream::iter(pods.to_vec()).map(release).buffer_unordered(REQUESTS), report).await
    }

    fn jobs(&self, namespace: &str) -> Api<Job> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn keep(seen: Seen, report: &mut Report) {
    match seen {
        Seen::Pod(pod) => report.pods.push(*pod),
        Seen::Gone(uid) => report.gone.push(uid),
    }
}

/// Takes in all answers; returns the first error.
async fn collect(
    mut answers: impl futures::Stream<Item = Result<Seen, Error>> + Unpin,
    report: &mut Report,
) -> Result<(), Error> {
    let mut result = Ok(());
    while let Some(answer) = answers.next().await {
        match answer {
            Ok(seen) => keep(seen, report),
            Err(error) if result.is_ok() => result = Err(error),
            Err(_) => {}
        }
    }
    result
}

/// Five characters as the API server would choose them: no vowels, and nothing that looks like another.
fn suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    uuid::Uuid::new_v4()
        .as_bytes()
        .iter()
        .take(5)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

/// The merge patch (RFC 7386) that turns one value into the other; None if they are equal.
fn change(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return Some(after.clone()) };
    let removed = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let set = new.iter().filter_map(|(key, value)| {
        let change = old.get(key).map_or_else(|| Some(value.clone()), |before| change(before, value))?;
        Some((key.clone(), change))
    });
    Some(Value::Object(removed.chain(set).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_is_sent_as_what_changed() {
        let before = json!({"active": 1, "ready": 0, "uncountedTerminatedPods": {"failed": ["a"]}, "conditions": [{"type": "A"}]});
        let after =
            json!({"ready": 0, "failed": 1, "uncountedTerminatedPods": {}, "conditions": [{"type": "A"}]});
        let expected = json!({"active": null, "failed": 1, "uncountedTerminatedPods": {"failed": null}});
        assert_eq!(change(&before, &after), Some(expected));
        assert_eq!(change(&after, &after), None);
    }

    #[test]
    fn suffixes_have_the_form_of_generated_names() {
        let suffixes: std::collections::HashSet<String> = (0..200).map(|_| suffix()).collect();
        assert!(suffixes.len() > 190, "they differ");
        assert!(suffixes.iter().all(|suffix| suffix.len() == 5
            && suffix.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())));
    }

    proptest! {
        #[test]
        fn the_patch_leads_from_one_status_to_the_other(before in status(), after in status()) {
            let (from, to) = (json!(before), json!(after));
            let mut merged = from.clone();
            if let Some(change) = change(&from, &to) {
                json_patch::merge(&mut merged, &change);
            }
            prop_assert_eq!(merged, to);
        }
    }

    fn status() -> impl Strategy<Value = serde_json::Map<String, Value>> {
        let leaf = prop_oneof![
            any::<u8>().prop_map(Value::from),
            proptest::collection::vec(any::<u8>(), 0..3).prop_map(Value::from)
        ];
        let value = leaf.prop_recursive(2, 8, 3, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        proptest::collection::btree_map("[a-d]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }
}
