//! The Node object that stands for this machine, and keeping it alive in the API.
//!
//! Registration is idempotent: a Node of a former run is taken over. The heartbeat is one small status patch.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::local::runner::backoff::Backoff;

/// An API server calls a node dead after 40 s without a word; two heartbeats fit into that.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long the last report may take.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What Pods may ask about the machine they run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeFacts {
    pub(super) name: String,
    /// Processes share the machine's loopback: it is the address of the node and of every Pod.
    pub(super) address: String,
    pub(super) cpus: u64,
    /// In bytes.
    pub(super) memory: u64,
}

impl NodeFacts {
    /// Looks at the machine. What cannot be found out is zero.
    pub(super) fn of_this_machine(name: &str) -> Self {
        let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory(&text));
        Self {
            name: name.to_owned(),
            address: "127.0.0.1".to_owned(),
            cpus: u64::try_from(cpus).unwrap_or_default(),
            memory: memory.unwrap_or_default(),
        }
    }
}

/// `MemTotal` of Linux's `/proc/meminfo`, in bytes.
fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// What identifies the Node; everything that changes is in `status`.
fn object(facts: &NodeFacts) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": facts.name,
            "labels": {
                "kubernetes.io/hostname": facts.name,
                "kubernetes.io/os": std::env::consts::OS,
                "kubernetes.io/arch": architecture(std::env::consts::ARCH),
            },
        },
    })
}

/// Kubernetes uses Go's names.
fn architecture(rust: &str) -> &str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The whole status that this runner reports; `since` is when it became ready.
fn status(facts: &NodeFacts, max_pods: usize, port: u16, since: Timestamp, now: Timestamp) -> Value {
    let resources = json!({
        "cpu": facts.cpus.to_string(),
        "memory": facts.memory.to_string(),
        "pods": max_pods.to_string(),
    });
    json!({
        "capacity": resources,
        "allocatable": resources,
        // No host name: a real API server tries that first when it is asked for logs, and nobody resolves this one.
        "addresses": [{"type": "InternalIP", "address": facts.address}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": architecture(std::env::consts::ARCH),
            "operatingSystem": std::env::consts::OS,
            "kubeletVersion": concat!("kakehi-", env!("CARGO_PKG_VERSION")),
            "containerRuntimeVersion": concat!("process://", env!("CARGO_PKG_VERSION")),
            "bootID": "",
            "kernelVersion": "",
            "kubeProxyVersion": "",
            "machineID": "",
            "osImage": "",
            "systemUUID": "",
        },
        "conditions": [ready(since, now)],
    })
}

fn stopped(now: Timestamp) -> Value {
    json!({
        "type": "Ready",
        "status": "False",
        "reason": "RunnerStopped",
        "message": "the runner was stopped",
        "lastHeartbeatTime": seconds(now),
        "lastTransitionTime": seconds(now),
    })
}

fn ready(since: Timestamp, now: Timestamp) -> Value {
    json!({
        "type": "Ready",
        "status": "True",
        "reason": "RunnerReady",
        "message": "the runner takes pods and runs them as processes",
        "lastHeartbeatTime": seconds(now),
        "lastTransitionTime": seconds(since),
    })
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Keeps the Node registered until `shutdown`; says so through `registered` after the first success.
pub(super) async fn keep(
    client: &Client,
    facts: &NodeFacts,
    max_pods: usize,
    port: u16,
    (registered, shutdown): (&CancellationToken, &CancellationToken),
) {
    let nodes: Api<Node> = Api::all(client.clone());
    let since = Timestamp::now();
    // 200 ms to 10 s: below the heartbeat, so that a short outage costs none.
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    let mut known = false;
    loop {
        let now = Timestamp::now();
        let beat = if known {
            patch(&nodes, facts, json!({ "conditions": [ready(since, now)] })).await
        } else {
            register(&nodes, facts, status(facts, max_pods, port, since, now)).await
        };
        let pause = match beat {
            Ok(()) => {
                known = true;
                registered.cancel();
                backoff.reset();
                HEARTBEAT
            }
            Err(error) => {
                // Somebody may have deleted the Node: start from its creation.
                known = false;
                tracing::warn!(
                    node = facts.name,
                    error = &error as &dyn std::error::Error,
                    "node not reported"
                );
                backoff.next()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => break,
        }
    }
    // Courtesy: whoever looks at the Node sees why nothing starts. The API server may be gone already.
    let last = patch(&nodes, facts, json!({ "conditions": [stopped(Timestamp::now())] }));
    tokio::time::timeout(LAST_WORD, last).await.ok();
}

async fn register(nodes: &Api<Node>, facts: &NodeFacts, status: Value) -> Result<(), kube::Error> {
    let node: Node = serde_json::from_value(object(facts)).map_err(kube::Error::SerdeError)?;
    match nodes.create(&PostParams::default(), &node).await {
        Err(kube::Error::Api(refusal)) if refusal.is_already_exists() => {}
        other => drop(other?),
    }
    patch(nodes, facts, status).await
}

async fn patch(nodes: &Api<Node>, facts: &NodeFacts, status: Value) -> Result<(), kube::Error> {
    // Strategic: conditions that others set (a real API server's controllers do) stay.
    let patch = Patch::Strategic(json!({ "status": status }));
    nodes.patch_status(&facts.name, &PatchParams::default(), &patch).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::runner::fixtures::node;

    #[test]
    fn the_status_tells_where_logs_are_served_and_how_many_pods_fit() {
        let since = Timestamp::UNIX_EPOCH;
        let now: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        let status = status(&node(), 10, 4321, since, now);
        let parsed: k8s_openapi::api::core::v1::NodeStatus = serde_json::from_value(status).unwrap();
        assert_eq!(parsed.capacity.as_ref().unwrap()["pods"].0, "10");
        assert_eq!(parsed.capacity, parsed.allocatable);
        assert_eq!(parsed.daemon_endpoints.unwrap().kubelet_endpoint.unwrap().port, 4321);
        let addresses: Vec<_> =
            parsed.addresses.unwrap().into_iter().map(|address| (address.type_, address.address)).collect();
        let want = [("InternalIP", "127.0.0.1")];
        assert_eq!(addresses, want.map(|(kind, address)| (kind.to_owned(), address.to_owned())));
        let ready = &parsed.conditions.unwrap()[0];
        assert_eq!((ready.type_.as_str(), ready.status.as_str()), ("Ready", "True"));
        assert_eq!(ready.last_heartbeat_time.as_ref().unwrap().0, "2026-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(ready.last_transition_time.as_ref().unwrap().0, since);
    }

    #[test]
    fn the_object_is_a_node_with_the_usual_labels() {
        let node: Node = serde_json::from_value(object(&node())).unwrap();
        assert_eq!(node.metadata.name.as_deref(), Some("laptop"));
        assert_eq!(node.metadata.labels.unwrap()["kubernetes.io/hostname"], "laptop");
        assert_eq!(architecture("x86_64"), "amd64");
        assert_eq!(architecture("riscv64"), "riscv64");
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total_memory("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16 << 20));
        assert_eq!(total_memory("nothing"), None);
        assert!(NodeFacts::of_this_machine("x").cpus >= 1);
    }
}
