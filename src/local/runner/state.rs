//! What the runner knows of a running Pod. Plain values: the worker changes them, `status` translates them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How one attempt of a container ended. Also what is kept on disk until the API server has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Exit {
    /// The process's code; 128 + n for one that died of signal n.
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    pub(super) reason: String,
    pub(super) message: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
}

/// What a container does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Waiting { reason: &'static str, message: Option<String> },
    Running { since: Timestamp },
    Terminated(Exit),
}

/// A container of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerState {
    pub(super) activity: Activity,
    /// How the attempt before this one ended.
    pub(super) last: Option<Exit>,
    /// How often it was started again; also the number of its current attempt.
    pub(super) restarts: u32,
}

impl ContainerState {
    pub(super) fn waiting(reason: &'static str) -> Self {
        Self { activity: Activity::Waiting { reason, message: None }, last: None, restarts: 0 }
    }

    /// The result, if this container is not going to run again by itself.
    pub(super) fn exit(&self) -> Option<&Exit> {
        match &self.activity {
            Activity::Terminated(exit) => Some(exit),
            Activity::Waiting { .. } | Activity::Running { .. } => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.activity, Activity::Running { .. })
    }

    pub(super) fn succeeded(&self) -> bool {
        self.exit().is_some_and(|exit| exit.code == 0)
    }

    /// Whether a process of it was ever started.
    fn ever_ran(&self) -> bool {
        self.last.is_some() || !matches!(self.activity, Activity::Waiting { .. })
    }
}

/// Why a Pod failed although its containers may say otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub(super) reason: String,
    pub(super) message: String,
    /// It was not the Pod's fault: Jobs may ignore this failure (`DisruptionTarget`).
    pub(super) disruption: bool,
}

/// A Pod on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodState {
    /// When the runner took the Pod up; deadlines count from here.
    pub(super) started_at: Timestamp,
    pub(super) init: Vec<ContainerState>,
    pub(super) main: Vec<ContainerState>,
    /// Set as soon as the Pod is doomed; it shows once all processes are gone.
    pub(super) verdict: Option<Verdict>,
    /// Nothing of this Pod runs any more, and nothing will.
    pub(super) finished: bool,
}

impl PodState {
    /// The beginning: nothing has been started.
    pub(super) fn new(started_at: Timestamp, init: usize, main: usize) -> Self {
        let reason = if init > 0 { "PodInitializing" } else { "ContainerCreating" };
        Self {
            started_at,
            init: vec![ContainerState::waiting("PodInitializing"); init],
            main: vec![ContainerState::waiting(reason); main],
            verdict: None,
            finished: false,
        }
    }

    /// `Pending`, `Running`, `Succeeded` or `Failed`, by the kubelet's rules.
    pub(super) fn phase(&self) -> &'static str {
        if self.finished {
            let succeeded = self.verdict.is_none() && self.main.iter().all(ContainerState::succeeded);
            return if succeeded { "Succeeded" } else { "Failed" };
        }
        if self.initialized() && self.main.iter().any(ContainerState::ever_ran) {
            "Running"
        } else {
            "Pending"
        }
    }

    /// Whether all init containers did their work.
    pub(super) fn initialized(&self) -> bool {
        self.init.iter().all(ContainerState::succeeded)
    }
}

/// Whether a container that ended with `code` is started again under the Pod's `restartPolicy`.
pub(super) fn restarts(policy: Option<&str>, code: i32, init: bool) -> bool {
    match policy {
        Some("Never") => false,
        Some("OnFailure") => code != 0,
        // `Always` is Kubernetes' default; an init container that succeeded is done under every policy.
        _ => !init || code != 0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::local::runner) fn exited(code: i32) -> ContainerState {
        let exit = Exit {
            code,
            signal: None,
            reason: if code == 0 { "Completed" } else { "Error" }.to_owned(),
            message: None,
            started_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            finished_at: "2026-01-02T03:04:06Z".parse().unwrap(),
        };
        ContainerState { activity: Activity::Terminated(exit), last: None, restarts: 0 }
    }

    pub(in crate::local::runner) fn running() -> ContainerState {
        let since = "2026-01-02T03:04:05Z".parse().unwrap();
        ContainerState { activity: Activity::Running { since }, last: None, restarts: 0 }
    }

    pub(in crate::local::runner) fn state(init: Vec<ContainerState>, main: Vec<ContainerState>) -> PodState {
        let started_at = "2026-01-02T03:04:00Z".parse().unwrap();
        PodState { started_at, init, main, verdict: None, finished: false }
    }

    #[test]
    fn a_new_pod_is_pending() {
        let pod = PodState::new(Timestamp::UNIX_EPOCH, 1, 1);
        assert_eq!(pod.phase(), "Pending");
        assert_eq!(pod.main[0], ContainerState::waiting("PodInitializing"));
        assert_eq!(
            PodState::new(Timestamp::UNIX_EPOCH, 0, 1).main[0],
            ContainerState::waiting("ContainerCreating")
        );
    }

    #[test]
    fn a_pod_is_pending_while_init_containers_run_and_running_afterwards() {
        let waiting = ContainerState::waiting("PodInitializing");
        assert_eq!(state(vec![running()], vec![waiting.clone()]).phase(), "Pending");
        assert_eq!(state(vec![exited(0)], vec![waiting]).phase(), "Pending");
        assert_eq!(state(vec![exited(0)], vec![running()]).phase(), "Running");
    }

    #[test]
    fn a_pod_whose_container_waits_to_be_restarted_is_running() {
        let mut container = ContainerState::waiting("CrashLoopBackOff");
        container.last = exited(1).exit().cloned();
        assert_eq!(state(vec![], vec![container]).phase(), "Running");
    }

    #[test]
    fn a_pod_is_running_until_its_last_process_is_gone() {
        assert_eq!(state(vec![], vec![exited(1), running()]).phase(), "Running");
        assert_eq!(state(vec![], vec![exited(0), exited(0)]).phase(), "Running");
    }

    #[test]
    fn a_finished_pod_succeeded_only_if_all_of_it_did() {
        for (main, want) in [
            (vec![exited(0), exited(0)], "Succeeded"),
            (vec![exited(0), exited(3)], "Failed"),
            (vec![exited(0), ContainerState::waiting("ContainerCreating")], "Failed"),
        ] {
            let mut pod = state(vec![], main);
            pod.finished = true;
            assert_eq!(pod.phase(), want);
        }
    }

    #[test]
    fn a_verdict_counts_more_than_exit_codes_but_only_at_the_end() {
        let mut pod = state(vec![], vec![running()]);
        pod.verdict = Some(Verdict {
            reason: "DeadlineExceeded".to_owned(),
            message: String::new(),
            disruption: false,
        });
        assert_eq!(pod.phase(), "Running");
        pod.main = vec![exited(0)];
        pod.finished = true;
        assert_eq!(pod.phase(), "Failed");
    }

    #[test]
    fn the_restart_policy_decides_about_another_attempt() {
        for (policy, code, init, again) in [
            (Some("Never"), 1, false, false),
            (Some("Never"), 1, true, false),
            (Some("OnFailure"), 0, false, false),
            (Some("OnFailure"), 1, false, true),
            (Some("Always"), 0, false, true),
            (Some("Always"), 0, true, false),
            (Some("Always"), 1, true, true),
            (None, 0, false, true),
        ] {
            assert_eq!(restarts(policy, code, init), again, "{policy:?} {code} {init}");
        }
    }
}
