//! The conditions of a Pod, with the kubelet's types, reasons and messages.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::local::runner::state::{ContainerState, PodState};

/// Reason of `DisruptionTarget` for Pods that ended because their runner did.
const BY_RUNNER: &str = "TerminationByKubelet";

/// What a condition says, before its times are known.
struct Finding {
    type_: &'static str,
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Finding {
    fn yes(type_: &'static str) -> Self {
        Self { type_, holds: true, reason: None, message: None }
    }

    fn no(type_: &'static str, reason: &'static str, message: Option<String>) -> Self {
        Self { type_, holds: false, reason: Some(reason), message }
    }
}

/// All conditions that the runner owns. A transition time moves only when the status flips; `previous` are those known so far.
pub(super) fn conditions(
    pod: &Pod,
    state: &PodState,
    previous: &[PodCondition],
    now: Timestamp,
) -> Vec<PodCondition> {
    let mut findings = vec![
        Finding::yes("PodScheduled"),
        Finding { holds: !state.finished, ..Finding::yes("PodReadyToStartContainers") },
        initialized(pod, state),
        ready("ContainersReady", pod, state),
        ready("Ready", pod, state),
    ];
    if let Some(verdict) = state.verdict.as_ref().filter(|verdict| verdict.disruption) {
        let message = Some(verdict.message.clone());
        findings.push(Finding { reason: Some(BY_RUNNER), message, ..Finding::yes("DisruptionTarget") });
    }
    findings.into_iter().map(|finding| dated(finding, previous, now)).collect()
}

fn dated(finding: Finding, previous: &[PodCondition], now: Timestamp) -> PodCondition {
    let Finding { type_, holds, reason, message } = finding;
    let status = if holds { "True" } else { "False" };
    let before = previous.iter().find(|known| known.type_ == type_ && known.status == status);
    let since = before.and_then(|known| known.last_transition_time.clone());
    PodCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.map(str::to_owned),
        message,
        last_transition_time: since.or(Some(Time(now))),
        last_probe_time: None,
        observed_generation: None,
    }
}

fn initialized(pod: &Pod, state: &PodState) -> Finding {
    if state.finished && state.phase() == "Succeeded" {
        return Finding { reason: Some("PodCompleted"), ..Finding::yes("Initialized") };
    }
    if state.initialized() {
        return Finding::yes("Initialized");
    }
    let names = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let names = listed(names.map(|container| container.name.as_str()).zip(&state.init), |container| {
        !container.succeeded()
    });
    let message = format!("containers with incomplete status: [{names}]");
    Finding::no("Initialized", "ContainersNotInitialized", Some(message))
}

/// Readiness probes are not run: a container is ready while its process runs.
fn ready(type_: &'static str, pod: &Pod, state: &PodState) -> Finding {
    if state.finished {
        let reason = if state.phase() == "Succeeded" { "PodCompleted" } else { "PodFailed" };
        return Finding::no(type_, reason, None);
    }
    if state.initialized() && state.main.iter().all(ContainerState::is_running) {
        return Finding::yes(type_);
    }
    let names = pod.spec.iter().flat_map(|spec| &spec.containers);
    let names = listed(names.map(|container| container.name.as_str()).zip(&state.main), |container| {
        !container.is_running()
    });
    Finding::no(type_, "ContainersNotReady", Some(format!("containers with unready status: [{names}]")))
}

fn listed<'a>(
    containers: impl Iterator<Item = (&'a str, &'a ContainerState)>,
    wanted: impl Fn(&ContainerState) -> bool,
) -> String {
    containers.filter(|(_, state)| wanted(state)).map(|(name, _)| name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::pod;
    use crate::local::runner::state::Verdict;
    use crate::local::runner::state::tests::{exited, running, state};

    fn sample() -> Pod {
        pod("spec: {initContainers: [{name: i}], containers: [{name: a}, {name: b}]}")
    }

    fn said(state: &PodState) -> Vec<(String, String, String, String)> {
        let all = conditions(&sample(), state, &[], Timestamp::UNIX_EPOCH);
        let or_empty = Option::unwrap_or_default;
        all.into_iter()
            .map(|condition| {
                (condition.type_, condition.status, or_empty(condition.reason), or_empty(condition.message))
            })
            .collect()
    }

    fn check(state: &PodState, want: &[(&str, &str, &str, &str)]) {
        let said = said(state);
        let said: Vec<_> =
            said.iter().map(|(a, b, c, d)| (a.as_str(), b.as_str(), c.as_str(), d.as_str())).collect();
        assert_eq!(said, want);
    }

    #[test]
    fn a_new_pod_waits_for_its_init_containers() {
        let unready = "containers with unready status: [a b]";
        check(
            &PodState::new(Timestamp::UNIX_EPOCH, 1, 2),
            &[
                ("PodScheduled", "True", "", ""),
                ("PodReadyToStartContainers", "True", "", ""),
                (
                    "Initialized",
                    "False",
                    "ContainersNotInitialized",
                    "containers with incomplete status: [i]",
                ),
                ("ContainersReady", "False", "ContainersNotReady", unready),
                ("Ready", "False", "ContainersNotReady", unready),
            ],
        );
    }

    #[test]
    fn a_pod_is_ready_while_all_its_processes_run() {
        let all = said(&state(vec![exited(0)], vec![running(), running()]));
        assert!(all.iter().all(|(_, status, ..)| status == "True"), "{all:?}");
        let some = said(&state(vec![exited(0)], vec![running(), exited(0)]));
        assert_eq!(some[4].3, "containers with unready status: [b]");
    }

    #[test]
    fn a_finished_pod_is_not_ready_and_says_how_it_ended() {
        let mut pod = state(vec![exited(0)], vec![exited(0), exited(0)]);
        pod.finished = true;
        check(
            &pod,
            &[
                ("PodScheduled", "True", "", ""),
                ("PodReadyToStartContainers", "False", "", ""),
                ("Initialized", "True", "PodCompleted", ""),
                ("ContainersReady", "False", "PodCompleted", ""),
                ("Ready", "False", "PodCompleted", ""),
            ],
        );
        pod.main[0] = exited(1);
        assert_eq!(said(&pod)[4].2, "PodFailed");
    }

    #[test]
    fn a_disruption_is_a_condition_of_its_own() {
        let mut pod = state(vec![], vec![exited(143), exited(143)]);
        pod.finished = true;
        let verdict =
            |disruption| Verdict { reason: "Terminated".to_owned(), message: "m".to_owned(), disruption };
        pod.verdict = Some(verdict(false));
        assert_eq!(said(&pod).len(), 5);
        pod.verdict = Some(verdict(true));
        let last = said(&pod).pop().unwrap();
        let want = ["DisruptionTarget", "True", "TerminationByKubelet", "m"].map(str::to_owned);
        assert_eq!([last.0, last.1, last.2, last.3], want);
    }

    #[test]
    fn a_transition_time_moves_only_when_the_status_flips() {
        let early = Timestamp::UNIX_EPOCH;
        let late: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let before = conditions(&sample(), &PodState::new(early, 1, 2), &[], early);
        let after = conditions(&sample(), &state(vec![exited(0)], vec![running(), running()]), &before, late);
        let since = |type_: &str| {
            let found = after.iter().find(|condition| condition.type_ == type_).unwrap();
            found.last_transition_time.as_ref().unwrap().0
        };
        assert_eq!(since("PodScheduled"), early);
        assert_eq!(since("Ready"), late);
    }
}
