//! What became of a Pod that a former run of the runner had started: a plain function of what was kept and what the API server knows.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use crate::local::runner::records::{Attempt, Identity};
use crate::local::runner::state::{Activity, ContainerState, Exit, PodState, Verdict, restarts};

/// The last attempt of each container and its number, in the order of the spec; `None` where none was started.
pub(super) type Attempts = Vec<Option<(u32, Attempt)>>;

/// Everything that was kept of a Pod.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) identity: Option<Identity>,
    pub(super) init: Attempts,
    pub(super) main: Attempts,
}

/// The final state of a Pod that was started before; `None` for one that was not, which may be started now.
///
/// All processes of former runs are gone by now. A Pod whose containers had all come to their end tells the true result. Any other
/// is lost: it failed through no fault of its own.
pub(super) fn recover(pod: &Pod, kept: Kept, now: Timestamp) -> Option<PodState> {
    let Kept { identity, init, main } = kept;
    let recorded = init.iter().chain(&main).any(Option::is_some);
    let doomed = identity.as_ref().is_some_and(|identity| identity.verdict.is_some());
    if !recorded && !doomed && !ran_before(pod) {
        return None;
    }
    let started_at = identity.as_ref().map(|identity| identity.started_at).or_else(|| start_time(pod));
    let started_at = started_at.unwrap_or(now);
    let state_of = |attempt| container(attempt, !recorded && !doomed, started_at, now);
    let mut state = PodState {
        started_at,
        init: init.into_iter().map(|attempt| container(attempt, false, started_at, now)).collect(),
        main: main.into_iter().map(state_of).collect(),
        verdict: identity.and_then(|identity| identity.verdict),
        finished: true,
    };
    if state.verdict.is_none() && !(recorded && complete(pod, &state)) {
        state.verdict = Some(Verdict {
            reason: "RunnerRestarted".to_owned(),
            message: "the process was lost when the runner restarted".to_owned(),
            disruption: true,
        });
    }
    Some(state)
}

/// When the API server was told that the Pod started.
pub(super) fn start_time(pod: &Pod) -> Option<Timestamp> {
    pod.status.as_ref()?.start_time.as_ref().map(|time| time.0)
}

/// Whether the API server was told of a process of this Pod.
fn ran_before(pod: &Pod) -> bool {
    let started = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            || status.last_state.is_some()
    };
    pod.status.iter().any(|status| {
        let all = [&status.init_container_statuses, &status.container_statuses];
        all.into_iter().flatten().flatten().any(started)
    })
}

fn container(
    attempt: Option<(u32, Attempt)>,
    unrecorded: bool,
    started_at: Timestamp,
    now: Timestamp,
) -> ContainerState {
    let lost = |started_at| Exit {
        code: 137,
        signal: None,
        reason: "ContainerStatusUnknown".to_owned(),
        message: Some("the process could not be located when the runner restarted".to_owned()),
        started_at,
        finished_at: now,
    };
    let (restarts, exit) = match attempt {
        Some((number, attempt)) => (number, attempt.exit.unwrap_or_else(|| lost(attempt.started_at))),
        None if unrecorded => (0, lost(started_at)),
        None => return ContainerState::waiting("PodInitializing"),
    };
    ContainerState { activity: Activity::Terminated(exit), last: None, restarts }
}

/// Whether nothing of the Pod would have run again: every container ended for good, or an init container failed for good.
fn complete(pod: &Pod, state: &PodState) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ended = |container: &ContainerState, init| {
        let exit = container.exit().filter(|exit| exit.reason != "ContainerStatusUnknown");
        exit.is_some_and(|exit| !restarts(spec.restart_policy.as_deref(), exit.code, init))
    };
    let failed_init = |container: &ContainerState| ended(container, true) && !container.succeeded();
    state.init.iter().any(failed_init)
        || (state.initialized() && state.main.iter().all(|container| ended(container, false)))
}

fn name(container: &Container) -> &str {
    &container.name
}

/// The names of a Pod's init containers and of its containers.
pub(super) fn names(pod: &Pod) -> (Vec<&str>, Vec<&str>) {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let main = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    (init.iter().map(name).collect(), main.iter().map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::pod;

    fn now() -> Timestamp {
        "2026-01-02T03:04:05Z".parse().unwrap()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands where there may be none")]
    fn attempt(number: u32, code: Option<i32>) -> Option<(u32, Attempt)> {
        let exit = code.map(|code| Exit {
            code,
            signal: None,
            reason: "Error".to_owned(),
            message: Some("kept".to_owned()),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
        });
        Some((number, Attempt { pid: 7, start: Some(1), started_at: Timestamp::UNIX_EPOCH, exit }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands where there may be none")]
    fn identity(verdict: Option<Verdict>) -> Option<Identity> {
        let started_at = Timestamp::UNIX_EPOCH;
        Some(Identity { namespace: "ns".to_owned(), name: "p".to_owned(), started_at, verdict })
    }

    /// A Pod of one container under `policy`, or with an init container before it.
    fn recovered(policy: &str, init: Attempts, main: Attempts) -> Option<PodState> {
        let list = if init.is_empty() { "[]" } else { "[{name: i}]" };
        let pod = pod(&format!(
            "spec: {{restartPolicy: {policy}, initContainers: {list}, containers: [{{name: m}}]}}"
        ));
        recover(&pod, Kept { identity: identity(None), init, main }, now())
    }

    fn is_lost(state: &PodState) -> bool {
        assert!(state.finished && state.phase() != "Running");
        state
            .verdict
            .as_ref()
            .is_some_and(|verdict| verdict.disruption && verdict.reason == "RunnerRestarted")
    }

    #[test]
    fn a_pod_that_was_never_started_is_new() {
        assert_eq!(recovered("Never", vec![], vec![None]), None);
        assert_eq!(recovered("Never", vec![None], vec![None]), None);
    }

    #[test]
    fn a_pod_whose_process_is_gone_is_lost() {
        let state = recovered("Never", vec![], vec![attempt(0, None)]).unwrap();
        assert!(is_lost(&state));
        let exit = state.main[0].exit().unwrap();
        assert_eq!((exit.code, exit.reason.as_str()), (137, "ContainerStatusUnknown"));
        assert_eq!(state.phase(), "Failed");
    }

    #[test]
    fn a_pod_that_had_ended_tells_its_true_result() {
        for (code, phase) in [(0, "Succeeded"), (3, "Failed")] {
            let state = recovered("Never", vec![], vec![attempt(2, Some(code))]).unwrap();
            assert_eq!((state.phase(), state.verdict.clone()), (phase, None));
            assert_eq!(state.main[0].exit().unwrap().message.as_deref(), Some("kept"));
            assert_eq!(state.main[0].restarts, 2);
        }
    }

    #[test]
    fn a_pod_that_would_have_been_restarted_is_lost() {
        assert!(is_lost(&recovered("OnFailure", vec![], vec![attempt(0, Some(1))]).unwrap()));
        assert!(is_lost(&recovered("Always", vec![], vec![attempt(0, Some(0))]).unwrap()));
        assert!(!is_lost(&recovered("OnFailure", vec![], vec![attempt(0, Some(0))]).unwrap()));
    }

    #[test]
    fn a_pod_between_its_init_container_and_its_container_is_lost() {
        let state = recovered("Never", vec![attempt(0, Some(0))], vec![None]).unwrap();
        assert!(is_lost(&state));
        assert_eq!(state.main[0].exit(), None);
    }

    #[test]
    fn a_failed_init_container_is_a_result() {
        let state = recovered("Never", vec![attempt(0, Some(1))], vec![None]).unwrap();
        assert!(!is_lost(&state));
        assert_eq!(state.phase(), "Failed");
    }

    #[test]
    fn a_pod_known_to_run_of_which_nothing_was_kept_is_lost() {
        let pod = pod("
            spec: {restartPolicy: Never, containers: [{name: m}]}
            status:
              startTime: 2026-01-01T00:00:00Z
              containerStatuses: [{name: m, ready: true, restartCount: 0, image: '', imageID: '', state: {running: {}}}]
        ");
        let kept = Kept { identity: None, init: vec![], main: vec![None] };
        let state = recover(&pod, kept, now()).unwrap();
        assert!(is_lost(&state));
        assert_eq!(state.started_at, "2026-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(state.main[0].exit().unwrap().code, 137);
    }

    #[test]
    fn a_pod_known_to_wait_is_new() {
        let pod = pod("
            spec: {restartPolicy: Never, containers: [{name: m}]}
            status: {containerStatuses: [{name: m, ready: false, restartCount: 0, image: '', imageID: '', state: {waiting: {reason: X}}}]}
        ");
        assert_eq!(
            recover(&pod, Kept { identity: identity(None), init: vec![], main: vec![None] }, now()),
            None
        );
    }

    #[test]
    fn a_verdict_that_was_written_down_holds() {
        let verdict =
            Verdict { reason: "DeadlineExceeded".to_owned(), message: String::new(), disruption: false };
        let pod = pod("spec: {restartPolicy: Never, containers: [{name: m}]}");
        for main in [attempt(0, None), attempt(0, Some(143)), None] {
            let kept = Kept { identity: identity(Some(verdict.clone())), init: vec![], main: vec![main] };
            let state = recover(&pod, kept, now()).unwrap();
            assert_eq!(state.verdict.as_ref(), Some(&verdict));
            assert_eq!(state.phase(), "Failed");
        }
    }
}
