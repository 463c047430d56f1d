//! A Pod of a Job as the decision sees it: a small part of the object, read once.
//!
//! Thousands of Pods stay in memory while their Jobs run, so nothing is kept that no decision needs.

use crate::local::workload::jobs::names;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::core::v1::PodStatus;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// `status.phase` of a Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Pending,
    Unknown,
    Running,
    Succeeded,
    Failed,
}

/// One Pod of a Job: one attempt at one of its completions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) name: String,
    pub(super) uid: String,
    /// `metadata.resourceVersion` as a number; 0 if it is none.
    pub(super) version: u64,
    pub(super) index: Option<u32>,
    /// Failures of the same index before this attempt that count, from the annotation.
    pub(super) failures: u32,
    /// Failures of the same index before this attempt that a policy ignored, from the annotation.
    pub(super) ignored: u32,
    pub(super) phase: Phase,
    /// The Pod has a deletionTimestamp.
    pub(super) deleted: bool,
    /// Where `batch.kubernetes.io/job-tracking` stands among the finalizers.
    pub(super) finalizer: Option<usize>,
    pub(super) ready: bool,
    pub(super) scheduled: bool,
    /// Restarts of all containers.
    pub(super) restarts: u32,
    pub(super) created: Timestamp,
    /// When it ended, as well as the Pod tells; its creation if nothing else is known.
    pub(super) finished: Timestamp,
    /// (type, status) of the conditions; only of an attempt that ended or is being deleted.
    pub(super) conditions: Vec<(String, String)>,
    /// (container, exit code) of containers that ended with another code than 0, containers before init containers.
    pub(super) exits: Vec<(String, i32)>,
}

impl Attempt {
    /// Reads a Pod.
    pub(super) fn of(pod: &Pod) -> Self {
        let none = PodStatus::default();
        let status = pod.status.as_ref().unwrap_or(&none);
        let phase = phase(status);
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let created = pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let annotations = pod.annotations();
        let containers = || status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let over = deleted || phase >= Phase::Succeeded;
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            version: version(pod.metadata.resource_version.as_deref()),
            index: number(annotations, names::COMPLETION_INDEX),
            failures: number(annotations, names::FAILURE_COUNT).unwrap_or(0),
            ignored: number(annotations, names::IGNORED_FAILURE_COUNT).unwrap_or(0),
            phase,
            deleted,
            finalizer: pod.finalizers().iter().position(|name| name == names::TRACKING_FINALIZER),
            ready: condition(status, "Ready").is_some_and(|(status, _)| status == "True"),
            scheduled: pod
                .spec
                .as_ref()
                .is_some_and(|spec| spec.node_name.as_ref().is_some_and(|node| !node.is_empty())),
            restarts: containers().map(|container| u32::try_from(container.restart_count).unwrap_or(0)).sum(),
            created,
            finished: if over { finished(pod, status).unwrap_or(created) } else { created },
            conditions: if over { conditions(status) } else { Vec::new() },
            exits: containers().filter_map(exit).collect(),
        }
    }

    /// Neither ended nor being deleted.
    pub(super) fn active(&self) -> bool {
        !self.terminal() && !self.deleted
    }

    /// Being deleted and not ended yet.
    pub(super) fn terminating(&self) -> bool {
        !self.terminal() && self.deleted
    }

    /// Ended: no container of it will run again.
    pub(super) fn terminal(&self) -> bool {
        self.phase >= Phase::Succeeded
    }

    /// It carries the tracking finalizer: its end is not settled in the Job's status yet.
    pub(super) fn tracked(&self) -> bool {
        self.finalizer.is_some()
    }

    /// No later decision can depend on it.
    pub(super) fn settled(&self) -> bool {
        self.terminal() && !self.tracked()
    }
}

/// A resourceVersion as a number. API servers promise that those of one resource compare as numbers (KEP-5504).
pub(super) fn version(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn number(annotations: &BTreeMap<String, String>, key: &str) -> Option<u32> {
    // The API's integers are 32 bits with a sign; a larger one was not written by a Job controller.
    annotations.get(key)?.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())
}

fn phase(status: &PodStatus) -> Phase {
    match status.phase.as_deref() {
        Some("Running") => Phase::Running,
        Some("Succeeded") => Phase::Succeeded,
        Some("Failed") => Phase::Failed,
        Some("Unknown") => Phase::Unknown,
        _ => Phase::Pending,
    }
}

fn condition<'a>(status: &'a PodStatus, kind: &str) -> Option<(&'a str, Option<Timestamp>)> {
    let found = status.conditions.iter().flatten().find(|condition| condition.type_ == kind)?;
    Some((&found.status, found.last_transition_time.as_ref().map(|time| time.0)))
}

fn conditions(status: &PodStatus) -> Vec<(String, String)> {
    status
        .conditions
        .iter()
        .flatten()
        .map(|condition| (condition.type_.clone(), condition.status.clone()))
        .collect()
}

fn exit(container: &ContainerStatus) -> Option<(String, i32)> {
    let ended = container.state.as_ref()?.terminated.as_ref()?;
    (ended.exit_code != 0).then(|| (container.name.clone(), ended.exit_code))
}

/// The end of the last container; else when the Pod stopped being ready; else when its deletion was asked for.
fn finished(pod: &Pod, status: &PodStatus) -> Option<Timestamp> {
    let ends: Option<Vec<Timestamp>> = status
        .container_statuses
        .iter()
        .flatten()
        .map(|container| Some(container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()?.0))
        .collect();
    let containers = ends.and_then(|ends| ends.into_iter().max());
    let unready =
        || condition(status, "Ready").filter(|(status, _)| *status == "False").and_then(|(_, since)| since);
    let deleted = || {
        let grace = jiff::SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        pod.metadata.deletion_timestamp.as_ref().map(|time| time.0.saturating_sub(grace).unwrap_or(time.0))
    };
    containers.or_else(unready).or_else(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Attempt {
        Attempt::of(&serde_saphyr::from_str(yaml).expect("a pod"))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_failed_pod_tells_its_index_counts_and_exit_code() {
        let it = read(
            r#"
metadata:
  name: a-3-x7k2p
  uid: u1
  resourceVersion: "42"
  creationTimestamp: 2026-01-01T00:00:00Z
  finalizers: [other, batch.kubernetes.io/job-tracking]
  annotations:
    batch.kubernetes.io/job-completion-index: "3"
    batch.kubernetes.io/job-index-failure-count: "2"
    batch.kubernetes.io/job-index-ignored-failure-count: "1"
spec: {nodeName: n, containers: []}
status:
  phase: Failed
  conditions: [{type: DisruptionTarget, status: "True"}]
  containerStatuses:
  - {name: main, image: i, imageID: "", ready: false, restartCount: 1, state: {terminated: {exitCode: 7, finishedAt: 2026-01-01T00:00:09Z}}}
  - {name: side, image: i, imageID: "", ready: false, restartCount: 0, state: {terminated: {exitCode: 0, finishedAt: 2026-01-01T00:00:05Z}}}
"#,
        );
        assert_eq!((it.index, it.failures, it.ignored, it.version, it.restarts), (Some(3), 2, 1, 42, 1));
        assert_eq!((it.phase, it.finalizer, it.scheduled), (Phase::Failed, Some(1), true));
        assert_eq!(it.finished, at("2026-01-01T00:00:09Z"));
        assert_eq!(it.exits, [("main".to_owned(), 7)]);
        assert_eq!(it.conditions, [("DisruptionTarget".to_owned(), "True".to_owned())]);
        assert!(it.terminal() && it.tracked() && !it.active() && !it.terminating() && !it.settled());
    }

    #[test]
    fn the_end_is_taken_from_the_best_witness() {
        let meta = "metadata: {name: a, uid: u, creationTimestamp: 2026-01-01T00:00:00Z";
        for (rest, end) in [
            (
                "}\nstatus: {phase: Failed, conditions: [{type: Ready, status: \"False\", lastTransitionTime: 2026-01-01T00:00:04Z}]}",
                "2026-01-01T00:00:04Z",
            ),
            (
                ", deletionTimestamp: 2026-01-01T00:00:40Z, deletionGracePeriodSeconds: 30}\nstatus: {phase: Running}",
                "2026-01-01T00:00:10Z",
            ),
            ("}\nstatus: {phase: Failed}", "2026-01-01T00:00:00Z"),
            // One container still has no end: the others do not speak for the Pod.
            (
                "}\nstatus: {phase: Failed, containerStatuses: [{name: a, image: i, imageID: '', ready: false, restartCount: 0, state: {terminated: {exitCode: 1, finishedAt: 2026-01-01T00:00:09Z}}}, {name: b, image: i, imageID: '', ready: false, restartCount: 0}]}",
                "2026-01-01T00:00:00Z",
            ),
        ] {
            assert_eq!(read(&format!("{meta}{rest}")).finished, at(end), "{rest}");
        }
    }

    #[test]
    fn annotations_that_nobody_could_have_meant_are_absent() {
        for value in ["-1", "x", "", "2147483648", "1.5"] {
            let it = read(&format!(
                "metadata: {{name: a, annotations: {{batch.kubernetes.io/job-completion-index: '{value}', batch.kubernetes.io/job-index-failure-count: '{value}'}}}}"
            ));
            assert_eq!((it.index, it.failures), (None, 0), "{value}");
        }
    }

    #[test]
    fn a_pod_is_settled_only_when_it_ended_and_lost_the_finalizer() {
        for (phase, finalizer, settled) in [
            (Phase::Running, None, false),
            (Phase::Failed, Some(0), false),
            (Phase::Failed, None, true),
            (Phase::Succeeded, None, true),
        ] {
            assert_eq!(Attempt { phase, finalizer, ..Attempt::default() }.settled(), settled);
        }
    }
}
