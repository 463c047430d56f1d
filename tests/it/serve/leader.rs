//! Several controllers: one works, and another takes over.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use nix::sys::signal::Signal;

use super::process::{Cluster, JOB, Serve};
use crate::support::eventually;

async fn leads(serve: &Serve) -> bool {
    serve.admin("/metrics").await.1.lines().any(|line| line == "kakehi_leader 1")
}

async fn holder(cluster: &Cluster) -> Option<String> {
    let leases: Api<Lease> = Api::default_namespaced(cluster.client.clone());
    let lease = leases.get_opt("kakehi-controller").await.unwrap()?;
    lease.spec.and_then(|spec| spec.holder_identity)
}

/// Two controllers, the one that leads first, and a sink.
async fn two(cluster: &Cluster) -> (Serve, Serve, Serve) {
    cluster.apply(JOB).await;
    let sink = cluster.serve(&["--sink"]).await;
    let arguments = ["--controller", "--grace-period", "5"];
    let first = cluster.serve(&arguments).await;
    eventually("a leader", async || if leads(&first).await { Ok(()) } else { Err(first.log()) }).await;
    let second = cluster.serve(&arguments).await;
    second.is_ready().await;
    assert!(!leads(&second).await, "{:#?}", second.log());
    (sink, first, second)
}

#[tokio::test]
async fn a_controller_that_is_killed_is_followed_by_the_other() {
    let cluster = Cluster::start().await;
    let (sink, mut first, second) = two(&cluster).await;
    sink.send("work", "1").await;
    cluster.succeeded(1).await;
    let held = holder(&cluster).await;
    first.signal(Signal::SIGKILL);
    first.ended().await;
    // Nobody is there for it now.
    sink.send("work", "2").await;
    cluster.succeeded(2).await;
    assert!(leads(&second).await);
    assert_ne!(holder(&cluster).await, held);
}

#[tokio::test]
async fn a_controller_that_ends_in_order_is_followed_at_once() {
    let cluster = Cluster::start().await;
    let (sink, mut first, second) = two(&cluster).await;
    sink.send("work", "1").await;
    first.signal(Signal::SIGTERM);
    first.said("lease released").await;
    assert_eq!(first.ended().await, 0, "{:#?}", first.log());
    second.said("leading").await;
    sink.send("work", "2").await;
    cluster.succeeded(2).await;
}
