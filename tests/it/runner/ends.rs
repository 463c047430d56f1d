//! How a Pod ends: codes and signals, restarts, deadlines, deletion, and the end of the runner.

use std::time::Duration;

use kube::api::PatchParams;
use serde_json::json;

use crate::runner::{Machine, condition, one, phase, terminated};
use crate::support::eventually;

/// Ignores SIGTERM until it is killed.
const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 0.05; done";

#[tokio::test]
async fn codes_and_signals_are_told() {
    let machine = Machine::start().await;
    machine.script("code", "exit 3").await;
    // Kubernetes makes one dollar sign of two.
    machine.script("signal", "kill -SEGV $$$$").await;
    let pod = machine.end("code").await;
    assert_eq!(phase(&pod), "Failed");
    let end = terminated(&pod);
    assert_eq!((end.exit_code, end.signal, end.reason.as_deref()), (3, None, Some("Error")));
    let end = terminated(&machine.end("signal").await);
    assert_eq!((end.exit_code, end.signal), (139, Some(11)));
}

#[tokio::test]
async fn the_log_stands_in_for_the_message_of_a_failure() {
    let machine = Machine::start().await;
    let container = |code: u32| {
        one(json!({
            "command": ["sh", "-c", format!("echo why >&2; exit {code}")],
            "terminationMessagePolicy": "FallbackToLogsOnError",
        }))
    };
    machine.create("failed", container(1)).await;
    machine.create("fine", container(0)).await;
    assert_eq!(terminated(&machine.end("failed").await).message.as_deref(), Some("why\n"));
    assert_eq!(terminated(&machine.end("fine").await).message, None);
}

#[tokio::test]
async fn a_container_is_restarted_until_it_succeeds() {
    let machine = Machine::start().await;
    let script = "echo x >> runs; [ $(wc -l < runs) -ge 3 ]";
    let mut spec = one(json!({ "command": ["sh", "-c", script] }));
    spec["restartPolicy"] = json!("OnFailure");
    machine.create("p", spec).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Succeeded");
    let container = &pod.status.unwrap().container_statuses.unwrap()[0];
    assert_eq!(container.restart_count, 2);
    assert_eq!(container.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 1);
}

#[tokio::test]
async fn a_container_that_keeps_failing_backs_off() {
    let machine = Machine::with(|options| options.restart_backoff = Duration::from_secs(600)).await;
    let mut spec = one(json!({ "command": ["false"] }));
    spec["restartPolicy"] = json!("Always");
    machine.create("p", spec).await;
    let backs_off =
        |pod: &_| crate::runner::waits(pod).is_some_and(|(reason, _)| reason == "CrashLoopBackOff");
    let pod = machine.until("p", "backs off", backs_off).await;
    assert_eq!(phase(&pod), "Running");
    machine.delete("p", None).await;
    machine.gone("p").await;
}

#[tokio::test]
async fn a_pod_that_takes_too_long_fails_with_kubernetes_words() {
    let machine = Machine::start().await;
    let mut spec = one(json!({ "command": ["sh", "-c", STUBBORN] }));
    spec["activeDeadlineSeconds"] = json!(1);
    spec["terminationGracePeriodSeconds"] = json!(0);
    machine.create("p", spec).await;
    let pod = machine.end("p").await;
    assert_eq!(terminated(&pod).exit_code, 137);
    assert_eq!(condition(&pod, "DisruptionTarget"), None);
    let status = pod.status.unwrap();
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("DeadlineExceeded"))
    );
    assert_eq!(
        status.message.as_deref(),
        Some("Pod was active on the node longer than the specified deadline")
    );
}

#[tokio::test]
async fn a_deleted_pod_may_end_by_itself_within_its_grace() {
    let machine = Machine::start().await;
    let script =
        "trap 'echo bye > $TERMINATION_LOG_PATH; exit 5' TERM; echo up; while :; do sleep 0.05; done";
    let spec = one(json!({ "command": ["sh", "-c", script] }));
    // A finalizer keeps the object, so that its last state can be seen.
    machine.create_with(json!({ "name": "p", "finalizers": ["test.kakehi.dev/hold"] }), spec).await;
    machine.says("p", "up").await;
    machine.delete("p", None).await;
    let pod = machine.end("p").await;
    let end = terminated(&pod);
    assert_eq!((end.exit_code, end.message.as_deref()), (5, Some("bye\n")));
    assert_eq!(phase(&pod), "Failed");
    let unhold = json!({ "metadata": { "finalizers": null } });
    let patch = kube::api::Patch::Merge(&unhold);
    machine.pods().patch("p", &PatchParams::default(), &patch).await.unwrap();
    machine.gone("p").await;
    eventually("its directory is removed", async || match machine.directories() {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    })
    .await;
}

#[tokio::test]
async fn a_deleted_pod_that_ignores_sigterm_is_killed() {
    let machine = Machine::start().await;
    machine.script("p", STUBBORN).await;
    machine.says("p", "up").await;
    machine.delete("p", Some(1)).await;
    machine.gone("p").await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_pod_deleted_by_force_leaves_no_process() {
    let machine = Machine::start().await;
    machine.script("p", &STUBBORN.replace("echo up", "echo $$$$ > pid; echo up")).await;
    machine.says("p", "up").await;
    let uid = machine.pods().get("p").await.unwrap().metadata.uid.unwrap();
    let pid = machine.root.path().join("pods").join(uid).join("work/pid");
    let pid: u32 = std::fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    assert!(crate::runner::is_alive(pid));
    machine.delete("p", Some(0)).await;
    machine.gone("p").await;
    eventually("the process is gone", async || if crate::runner::is_alive(pid) { Err(()) } else { Ok(()) })
        .await;
    eventually("its directory is removed", async || match machine.directories() {
        none if none.is_empty() => Ok(()),
        some => Err(some),
    })
    .await;
}

#[tokio::test]
async fn a_runner_that_is_stopped_ends_its_pods_as_disrupted() {
    let mut machine = Machine::with(|options| options.shutdown_grace = Duration::from_millis(100)).await;
    machine.script("gentle", "echo up; exec sleep 1000").await;
    machine.script("stubborn", STUBBORN).await;
    machine.says("gentle", "up").await;
    machine.says("stubborn", "up").await;
    machine.stop().await;
    for (name, code) in [("gentle", 143), ("stubborn", 137)] {
        let pod = machine.pods().get(name).await.unwrap();
        assert_eq!((phase(&pod), terminated(&pod).exit_code), ("Failed", code), "{name}");
        let want = ("True".to_owned(), "TerminationByKubelet".to_owned());
        assert_eq!(condition(&pod, "DisruptionTarget"), Some(want));
    }
}

#[tokio::test]
async fn all_containers_of_a_pod_must_succeed() {
    let machine = Machine::start().await;
    let container = |name: &str, code: u32| json!({ "name": name, "image": "none", "command": ["sh", "-c", format!("exit {code}")] });
    machine.create("p", json!({ "containers": [container("a", 0), container("b", 4)] })).await;
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Failed");
    let codes = pod.status.unwrap().container_statuses.unwrap();
    let codes: Vec<_> =
        codes.into_iter().map(|status| status.state.unwrap().terminated.unwrap().exit_code).collect();
    assert_eq!(codes, [0, 4]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_left_its_group_ends_with_its_container() {
    let machine = Machine::start().await;
    // The child holds the output open: the log would never end.
    let pod = machine.script("p", "setsid sh -c 'echo $$$$ > pid; exec sleep 1000' & until [ -s pid ]; do sleep 0.02; done; echo up").await;
    assert_eq!(phase(&machine.end("p").await), "Succeeded");
    let work = machine.root.path().join("pods").join(pod.metadata.uid.unwrap()).join("work");
    let pid: u32 = std::fs::read_to_string(work.join("pid")).unwrap().trim().parse().unwrap();
    assert!(!crate::runner::is_alive(pid));
    assert_eq!(machine.log("p").await, "up\n");
}
