//! A runner that comes back: what it finds, kills, remembers and reports.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::runner::{Machine, condition, is_alive, phase, terminated};
use crate::support::cluster::differs;
use crate::support::eventually;

fn directory(machine: &Machine, pod: &Pod) -> std::path::PathBuf {
    machine.root.path().join("pods").join(pod.metadata.uid.as_ref().unwrap())
}

#[tokio::test]
async fn a_pod_whose_process_was_lost_fails_as_disrupted() {
    let mut machine = Machine::start().await;
    machine.script("p", "echo up; exec sleep 1000").await;
    machine.says("p", "up").await;
    machine.until("p", "runs", |pod| phase(pod) == "Running").await;
    machine.crash().await;
    assert_eq!(phase(&machine.pods().get("p").await.unwrap()), "Running");
    machine.boot(|_| {});
    let pod = machine.end("p").await;
    assert_eq!(phase(&pod), "Failed");
    let want = ("True".to_owned(), "TerminationByKubelet".to_owned());
    assert_eq!(condition(&pod, "DisruptionTarget"), Some(want));
    assert_eq!(pod.status.as_ref().unwrap().reason.as_deref(), Some("RunnerRestarted"));
    assert_eq!(terminated(&pod).reason.as_deref(), Some("ContainerStatusUnknown"));
    assert_eq!(machine.log("p").await, "up\n", "the log of the former run can still be read");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_survived_its_runner_is_killed() {
    let mut machine = Machine::start().await;
    // The child leaves the process group, as daemons do: it survives the crash below.
    let pod = machine.script("p", "setsid sh -c 'echo $$$$ > pid; exec sleep 1000' & echo up; wait").await;
    machine.says("p", "up").await;
    let file = directory(&machine, &pod).join("work/pid");
    let pid = eventually("the child tells its number", async || {
        std::fs::read_to_string(&file)
            .map_err(|error| error.to_string())
            .and_then(|text| text.trim().parse::<u32>().map_err(|error| error.to_string()))
    })
    .await;
    machine.crash().await;
    assert!(is_alive(pid));
    machine.boot(|_| {});
    eventually("the child is killed", async || if is_alive(pid) { Err(()) } else { Ok(()) }).await;
    assert_eq!(phase(&machine.end("p").await), "Failed");
}

#[tokio::test]
async fn a_result_that_was_not_reported_yet_is_the_true_one() {
    if differs("runner::restart::a_result_that_was_not_reported_yet_is_the_true_one") {
        return;
    }
    let mut machine = Machine::start().await;
    let pod = machine.script("p", "echo result > $TERMINATION_LOG_PATH; exit 6").await;
    machine.end("p").await;
    machine.crash().await;
    // As if the crash had come before the report: the API knows of a running Pod, the disk of its end.
    let running = json!({ "status": {
        "phase": "Running",
        "containerStatuses": [{ "name": "main", "image": "none", "imageID": "", "ready": true, "restartCount": 0,
            "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }],
    } });
    machine.pods().patch_status("p", &PatchParams::default(), &Patch::Merge(&running)).await.unwrap();
    assert!(directory(&machine, &pod).exists());
    machine.boot(|_| {});
    let pod = machine.end("p").await;
    let end = terminated(&pod);
    assert_eq!((end.exit_code, end.message.as_deref()), (6, Some("result\n")));
    assert_eq!(condition(&pod, "DisruptionTarget"), None);
}

#[tokio::test]
async fn pods_that_wait_are_started_after_a_restart() {
    let mut machine = Machine::with(|options| options.max_pods = 1).await;
    machine.script("first", "echo up; until [ -e go ]; do sleep 0.02; done").await;
    machine.says("first", "up").await;
    machine.script("second", "echo hi").await;
    machine.crash().await;
    machine.boot(|_| {});
    assert_eq!(phase(&machine.end("first").await), "Failed");
    assert_eq!(phase(&machine.end("second").await), "Succeeded");
}

#[tokio::test]
async fn directories_of_pods_deleted_meanwhile_are_removed() {
    let mut machine = Machine::start().await;
    let pod = machine.script("p", "true").await;
    machine.end("p").await;
    machine.stop().await;
    machine.delete("p", None).await;
    machine.gone("p").await;
    let path = directory(&machine, &pod);
    assert!(path.exists());
    machine.boot(|_| {});
    eventually("the directory is removed", async || if path.exists() { Err(()) } else { Ok(()) }).await;
}

#[tokio::test]
async fn a_node_is_taken_over_with_its_new_port() {
    let mut machine = Machine::start().await;
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(machine.place.client.clone());
    let name = machine.node();
    let port = async || {
        eventually("the node tells its port", async || {
            let node = nodes.get_opt(&name).await.unwrap();
            let endpoints = node.and_then(|node| node.status?.daemon_endpoints);
            endpoints.and_then(|endpoints| endpoints.kubelet_endpoint).map(|endpoint| endpoint.port).ok_or(())
        })
        .await
    };
    let before = port().await;
    machine.script("p", "echo kept").await;
    machine.end("p").await;
    machine.stop().await;
    let ready = |node: &k8s_openapi::api::core::v1::Node| {
        let conditions =
            node.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        conditions.into_iter().find(|condition| condition.type_ == "Ready").map(|condition| condition.status)
    };
    assert_eq!(ready(&nodes.get(&name).await.unwrap()).as_deref(), Some("False"), "it was stopped");
    machine.boot(|_| {});
    eventually("the port is a new one", async || match port().await {
        same if same == before => Err(same),
        other => Ok(other),
    })
    .await;
    eventually("it is ready", async || match ready(&nodes.get(&name).await.unwrap()) {
        Some(yes) if yes == "True" => Ok(()),
        other => Err(other),
    })
    .await;
    assert_eq!(machine.log("p").await, "kept\n");
}
