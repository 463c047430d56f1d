//! The `PodStatus` that the runner reports, as a plain function of the Pod, what is known of it, and the time.

mod conditions;
mod qos;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::local::runner::state::{Activity, ContainerState, Exit, PodState};

/// Builds the status. `previous` are the conditions known so far, `address` is the machine's.
pub(super) fn build(
    pod: &Pod,
    state: &PodState,
    previous: &[PodCondition],
    address: &str,
    now: Timestamp,
) -> PodStatus {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_deref()).unwrap_or_default();
    let main = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
    // As in the kubelet, a verdict is told when it has come true.
    let verdict = state.verdict.as_ref().filter(|_| state.finished);
    let assigned = pod.status.as_ref().and_then(|status| status.qos_class.clone());
    PodStatus {
        phase: Some(state.phase().to_owned()),
        reason: verdict.map(|verdict| verdict.reason.clone()),
        message: verdict.map(|verdict| verdict.message.clone()),
        conditions: Some(conditions::conditions(pod, state, previous, now)),
        init_container_statuses: (!init.is_empty()).then(|| statuses(init, &state.init, true)),
        container_statuses: Some(statuses(main, &state.main, false)),
        start_time: Some(Time(state.started_at)),
        host_ip: Some(address.to_owned()),
        host_ips: Some(vec![HostIP { ip: address.to_owned() }]),
        pod_ip: Some(address.to_owned()),
        pod_ips: Some(vec![PodIP { ip: address.to_owned() }]),
        qos_class: assigned.or_else(|| spec.map(|spec| qos::class(spec).to_owned())),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn statuses(containers: &[Container], states: &[ContainerState], init: bool) -> Vec<ContainerStatus> {
    containers.iter().zip(states).map(|(container, state)| status_of(container, state, init)).collect()
}

fn status_of(container: &Container, state: &ContainerState, init: bool) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        // Processes have no image; Kubernetes requires the field.
        image_id: String::new(),
        state: Some(activity(&state.activity)),
        last_state: state
            .last
            .as_ref()
            .map(|exit| ApiState { terminated: Some(terminated(exit)), ..ApiState::default() }),
        ready: if init { state.succeeded() } else { state.is_running() },
        started: Some(state.is_running()),
        restart_count: i32::try_from(state.restarts).unwrap_or(i32::MAX),
        ..ContainerStatus::default()
    }
}

fn activity(activity: &Activity) -> ApiState {
    match activity {
        Activity::Waiting { reason, message } => ApiState {
            waiting: Some(ContainerStateWaiting {
                reason: Some((*reason).to_owned()),
                message: message.clone(),
            }),
            ..ApiState::default()
        },
        Activity::Running { since } => ApiState {
            running: Some(ContainerStateRunning { started_at: Some(Time(*since)) }),
            ..ApiState::default()
        },
        Activity::Terminated(exit) => ApiState { terminated: Some(terminated(exit)), ..ApiState::default() },
    }
}

fn terminated(exit: &Exit) -> ContainerStateTerminated {
    let Exit { code, signal, reason, message, started_at, finished_at } = exit;
    ContainerStateTerminated {
        exit_code: *code,
        signal: *signal,
        reason: Some(reason.clone()),
        message: message.clone(),
        started_at: Some(Time(*started_at)),
        finished_at: Some(Time(*finished_at)),
        container_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::pod;
    use crate::local::runner::state::Verdict;
    use crate::local::runner::state::tests::{exited, running, state};

    fn sample() -> Pod {
        pod("
            metadata: {name: p, generation: 3}
            spec: {initContainers: [{name: i, image: img-i}], containers: [{name: a, image: img-a}]}
        ")
    }

    fn built(state: &PodState) -> serde_json::Value {
        let now = "2026-01-02T03:04:09Z".parse().unwrap();
        serde_json::to_value(build(&sample(), state, &[], "127.0.0.1", now)).unwrap()
    }

    #[test]
    fn a_running_pod_shows_its_address_and_its_container() {
        let status = built(&state(vec![exited(0)], vec![running()]));
        assert_eq!(status["phase"], "Running");
        assert_eq!(status["startTime"], "2026-01-02T03:04:00Z");
        assert_eq!((&status["podIP"], &status["hostIP"]), (&"127.0.0.1".into(), &"127.0.0.1".into()));
        assert_eq!(status["podIPs"], serde_json::json!([{"ip": "127.0.0.1"}]));
        assert_eq!(status["qosClass"], "BestEffort");
        assert_eq!(status["observedGeneration"], 3);
        let want = serde_json::json!([{
            "name": "a", "image": "img-a", "imageID": "", "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
        }]);
        assert_eq!(status["containerStatuses"], want);
        assert_eq!(status["initContainerStatuses"][0]["ready"], true);
        assert_eq!(status["initContainerStatuses"][0]["started"], false);
    }

    #[test]
    fn a_result_is_told_whole() {
        let mut container = exited(137);
        let Activity::Terminated(exit) = &mut container.activity else { unreachable!() };
        exit.signal = Some(9);
        exit.message = Some("why".to_owned());
        container.restarts = 2;
        container.last = exited(1).exit().cloned();
        let mut pod = state(vec![exited(0)], vec![container]);
        pod.finished = true;
        let status = built(&pod);
        assert_eq!(status["phase"], "Failed");
        let container = &status["containerStatuses"][0];
        let want = serde_json::json!({
            "exitCode": 137, "signal": 9, "reason": "Error", "message": "why",
            "startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:04:06Z",
        });
        assert_eq!(container["state"]["terminated"], want);
        assert_eq!(container["lastState"]["terminated"]["exitCode"], 1);
        assert_eq!(container["restartCount"], 2);
        assert_eq!(container["ready"], false);
    }

    #[test]
    fn a_verdict_is_told_when_nothing_runs_any_more() {
        let mut pod = state(vec![exited(0)], vec![running()]);
        let message = "too long".to_owned();
        pod.verdict = Some(Verdict { reason: "DeadlineExceeded".to_owned(), message, disruption: false });
        assert_eq!(built(&pod)["reason"], serde_json::Value::Null);
        pod.main = vec![exited(143)];
        pod.finished = true;
        let status = built(&pod);
        assert_eq!((&status["reason"], &status["message"]), (&"DeadlineExceeded".into(), &"too long".into()));
    }

    #[test]
    fn a_waiting_container_says_what_it_waits_for() {
        let mut waiting = ContainerState::waiting("CreateContainerConfigError");
        waiting.activity = Activity::Waiting {
            reason: "CreateContainerConfigError",
            message: Some("configmap \"c\" not found".to_owned()),
        };
        let status = built(&state(vec![exited(0)], vec![waiting]));
        assert_eq!(status["phase"], "Pending");
        assert_eq!(
            status["containerStatuses"][0]["state"]["waiting"]["message"],
            "configmap \"c\" not found"
        );
    }

    #[test]
    fn the_class_that_the_api_server_assigned_is_kept() {
        let mut pod = sample();
        pod.status = Some(PodStatus { qos_class: Some("Guaranteed".to_owned()), ..PodStatus::default() });
        let status = build(&pod, &state(vec![], vec![]), &[], "127.0.0.1", Timestamp::UNIX_EPOCH);
        assert_eq!(status.qos_class.as_deref(), Some("Guaranteed"));
    }
}
