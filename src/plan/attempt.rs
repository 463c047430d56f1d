//! One attempt of a task: what a Pod of a task set says.
//!
//! A Pod carries the index of its task and how often that index failed before (KEP-3850); its first container is the
//! task's. Nothing here decides what an attempt means for the run.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::{Reason, TaskOutcome};

/// Label and annotation with a Pod's index.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Annotation with the failures of that index before this Pod.
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// Longest last words that are kept of a task, in characters.
const MAX_WORDS: usize = 300;

/// A Pod, read as an attempt of a task.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a>(&'a Pod);

impl<'a> Attempt<'a> {
    /// Reads a Pod.
    pub fn of(pod: &'a Pod) -> Self {
        Self(pod)
    }

    /// Index of the task, from 0. None for a Pod that is no task's.
    pub fn index(self) -> Option<i32> {
        let labels = self.0.metadata.labels.as_ref().and_then(|labels| labels.get(INDEX));
        let annotation =
            || self.0.metadata.annotations.as_ref().and_then(|annotations| annotations.get(INDEX));
        labels.or_else(annotation)?.parse().ok().filter(|index| *index >= 0)
    }

    /// Number of the attempt, from 0: the failures before it that counted.
    pub fn number(self) -> i32 {
        let annotations = self.0.metadata.annotations.as_ref();
        annotations.and_then(|annotations| annotations.get(FAILURES)?.parse().ok()).unwrap_or(0)
    }

    /// Name of the Pod.
    pub fn pod(self) -> &'a str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// Name of the task's container.
    pub fn container(self) -> Option<&'a str> {
        self.0.spec.as_ref()?.containers.first().map(|container| container.name.as_str())
    }

    /// When the container started, if it ever did.
    pub fn started(self) -> Option<&'a Time> {
        let status = self.status()?;
        let of = |state: &'a Option<ContainerState>| -> Option<&'a Time> {
            let state = state.as_ref()?;
            let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
            running.or_else(|| state.terminated.as_ref()?.started_at.as_ref())
        };
        of(&status.state).or_else(|| of(&status.last_state))
    }

    /// Whether the container runs now.
    pub(super) fn is_running(self) -> bool {
        self.phase() == "Running" && self.0.metadata.deletion_timestamp.is_none()
    }

    /// Whether the container has got as far as running, whatever became of it.
    pub fn has_run(self) -> bool {
        self.started().is_some() || matches!(self.phase(), "Running" | "Succeeded")
    }

    /// When its Pod was made.
    pub(super) fn created(self) -> Option<&'a Time> {
        self.0.metadata.creation_timestamp.as_ref()
    }

    /// Whether the attempt is over.
    pub(super) fn has_ended(self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Whether the attempt ended well.
    pub(super) fn succeeded(self) -> bool {
        self.phase() == "Succeeded"
    }

    /// Whether the attempt ended badly.
    pub(super) fn failed(self) -> bool {
        self.phase() == "Failed"
    }

    /// Whether the attempt ended badly and through no fault of the task (its Pod was evicted, its node lost).
    pub(super) fn disrupted(self) -> bool {
        self.failed()
            && self.condition("DisruptionTarget").is_some_and(|condition| condition.status == "True")
    }

    /// Whether its Pod was deleted, has ended badly, and is still there.
    pub(super) fn was_taken_away(self) -> bool {
        self.failed() && self.0.metadata.deletion_timestamp.is_some()
    }

    /// The termination message of the container.
    pub(super) fn message(self) -> Option<&'a str> {
        self.terminated()?.message.as_deref().filter(|message| !message.is_empty())
    }

    /// How the attempt ended, for the record.
    pub(super) fn outcome(self) -> TaskOutcome {
        let terminated = self.terminated();
        let pod = self.0.status.as_ref();
        let pod_reason = pod.and_then(|status| status.reason.clone());
        let own_words = terminated.and_then(|state| state.message.as_deref()).and_then(last_line);
        let pod_words = pod.and_then(|status| status.message.as_deref()).and_then(last_line);
        TaskOutcome {
            index: self.index().unwrap_or_default(),
            attempts: self.number() + 1,
            exit_code: terminated.map(|state| state.exit_code),
            signal: terminated.and_then(|state| state.signal).filter(|signal| *signal != 0),
            reason: pod_reason.or_else(|| terminated.and_then(|state| state.reason.clone())),
            message: own_words.or(pod_words),
            started_at: terminated.and_then(|state| state.started_at.clone()),
            finished_at: terminated.and_then(|state| state.finished_at.clone()),
        }
    }

    /// What keeps the container from running, with the cluster's words.
    pub(super) fn obstacle(self) -> Option<(Reason, String)> {
        let waiting = self.status().and_then(|status| status.state.as_ref()?.waiting.as_ref());
        if let Some(waiting) = waiting {
            let word = waiting.reason.as_deref().unwrap_or_default();
            let reason = match word {
                "ErrImagePull"
                | "ImagePullBackOff"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "RegistryUnavailable"
                | "ImageInspectError"
                | "SignatureValidationFailed" => Some(Reason::ImagePullFailed),
                "CreateContainerConfigError"
                | "CreateContainerError"
                | "RunContainerError"
                | "PreCreateHookError" => Some(Reason::ContainerConfigFailed),
                _ => None,
            };
            if let Some(reason) = reason {
                return Some((reason, worded(word, waiting.message.as_deref())));
            }
        }
        let unscheduled = self.condition("PodScheduled").filter(|condition| condition.status == "False")?;
        let word = unscheduled.reason.as_deref().unwrap_or("Unschedulable");
        Some((Reason::Unschedulable, worded(word, unscheduled.message.as_deref())))
    }

    fn phase(self) -> &'a str {
        self.0.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
    }

    fn condition(self, kind: &str) -> Option<&'a PodCondition> {
        self.0.status.as_ref()?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
    }

    fn terminated(self) -> Option<&'a ContainerStateTerminated> {
        self.status()?.state.as_ref()?.terminated.as_ref()
    }

    fn status(self) -> Option<&'a ContainerStatus> {
        let name = self.container();
        let statuses = self.0.status.as_ref()?.container_statuses.as_deref().unwrap_or_default();
        statuses.iter().find(|status| Some(status.name.as_str()) == name).or(statuses.first())
    }
}

fn worded(word: &str, message: Option<&str>) -> String {
    match message.and_then(last_line) {
        Some(message) => format!("{word}: {message}"),
        None => word.to_owned(),
    }
}

/// The last line that says something, cut to what a condition's message can bear.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let mut kept: String = line.chars().take(MAX_WORDS).collect();
    if kept.len() < line.len() {
        kept.push('…');
    }
    Some(kept)
}
