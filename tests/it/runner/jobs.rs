//! The runner together with the Job controller.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kakehi::local::workload;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::runner::{Machine, phase};
use crate::support::cluster;
use crate::support::eventually;

/// Ours, where there are no others.
fn controllers(machine: &Machine) -> DropGuard {
    let brief = Duration::from_millis(5);
    let options = workload::Options {
        backoff_base: brief,
        backoff_cap: brief,
        status_delay: brief,
        ..workload::Options::default()
    };
    let shutdown = CancellationToken::new();
    if !cluster::is_real() {
        tokio::spawn(workload::run(machine.place.client.clone(), options, shutdown.clone()));
    }
    shutdown.drop_guard()
}

/// An indexed Job that replaces ended Pods only and forgives disruptions, but no failure.
fn job(name: &str, tasks: u32, script: &str) -> Job {
    let spec: Value = json!({
        "completionMode": "Indexed", "completions": tasks, "parallelism": tasks,
        "backoffLimitPerIndex": 0, "podReplacementPolicy": "Failed",
        "podFailurePolicy": { "rules": [
            { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
        ] },
        "template": { "spec": {
            "restartPolicy": "Never",
            "containers": [{ "name": "main", "image": "none", "command": ["sh", "-c", script] }],
        } },
    });
    serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
}

#[tokio::test]
async fn a_job_completes_although_a_pod_was_deleted_in_the_queue() {
    let machine = Machine::with(|options| options.max_pods = 1).await;
    let _controllers = controllers(&machine);
    let gate = tempfile::tempdir().unwrap();
    let go = gate.path().join("go");
    let jobs: Api<Job> = machine.place.api();
    let script = format!("until [ -e {} ]; do sleep 0.02; done", go.display());
    jobs.create(&PostParams::default(), &job("j", 3, &script)).await.unwrap();
    let pods = machine.pods();
    let queued = eventually("one pod runs and two wait", async || {
        let all = pods.list(&ListParams::default()).await.unwrap().items;
        let (waiting, bound): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|pod| pod.spec.as_ref().unwrap().node_name.is_none());
        match (waiting.first(), bound.as_slice()) {
            (Some(pod), [running]) if waiting.len() == 2 && phase(running) == "Running" => Ok(pod.clone()),
            _ => Err((waiting.len(), bound.len())),
        }
    })
    .await;
    pods.delete(&queued.name_any(), &DeleteParams::default()).await.unwrap();
    // It goes while the only place is still taken, and its index gets another Pod.
    eventually("the deleted pod is gone and replaced", async || {
        let all = pods.list(&ListParams::default()).await.unwrap().items;
        let gone = all.iter().all(|pod| pod.metadata.uid != queued.metadata.uid);
        if gone && all.len() == 3 { Ok(()) } else { Err((gone, all.len())) }
    })
    .await;
    std::fs::write(go, "").unwrap();
    let status = eventually("the job ends", async || {
        let status = jobs.get("j").await.unwrap().status.unwrap_or_default();
        if status.completion_time.is_some() { Ok(status) } else { Err(status) }
    })
    .await;
    assert_eq!(status.completed_indexes.as_deref(), Some("0-2"));
    assert_eq!((status.succeeded, status.failed, status.terminating), (Some(3), None, Some(0)));
}
