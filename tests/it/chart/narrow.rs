//! The chart for one namespace, as it would run: the program with the command lines of its Deployments, as the service
//! accounts that it makes, on a real API server.

use http::StatusCode;
use k8s_openapi::api::coordination::v1::Lease;
use kakehi::api::Execution;
use kube::Api;
use kube::api::ListParams;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::Installed;
use super::{WATCHED, items};
use crate::runs::{House, assert_completed};
use crate::serve::process::{Serve, event_in, with_token};
use crate::support::process::Home;
use crate::support::{cluster, eventually};

/// The container of a role as a process of this machine.
async fn start(home: &Home, installed: &Installed, role: &str) -> Serve {
    let path = std::env::var("KAKEHI_TEST_KUBECONFIG").unwrap();
    let kubeconfig = home.file(role, &with_token(&path, &installed.token_of(role).await));
    let arguments = items(installed.deployment(role), "/spec/template/spec/containers/0/args");
    let arguments = arguments.iter().filter_map(Value::as_str).filter(|argument| {
        // Its ports may be taken here.
        *argument != "serve"
            && !argument.starts_with("--sink-address=")
            && !argument.starts_with("--admin-address=")
    });
    let arguments: Vec<&str> = ["--kubeconfig", &kubeconfig].into_iter().chain(arguments).collect();
    Serve::start(home, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_through_in_the_watched_namespace() {
    if !cluster::is_real() {
        return;
    }
    let (home, house) = (Home::new(), House::without_controllers().await);
    let namespace = house.namespace.clone();
    let Some(installed) = Installed::watching(WATCHED, Some(&namespace)).await else { return };
    house.job("work", "true", "{}").await;
    let mut sink = start(&home, &installed, "sink").await;
    let mut controller = start(&home, &installed, "controller").await;
    sink.is_ready().await;
    controller.is_ready().await;
    sink.namespace.clone_from(&namespace);
    sink.send("work", "1").await;
    let runs = house.api::<Execution>().list(&ListParams::default()).await.unwrap().items;
    let run = runs[0].metadata.name.clone().unwrap();
    assert_completed(&house.ended(&run).await, "Succeeded", "1 task succeeded");

    // What is elsewhere is not there: neither for senders nor in the release's own namespace.
    for elsewhere in ["default", &installed.namespace] {
        let refused = sink.request(event_in(elsewhere, sink.sink.unwrap(), "work", "1")).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{elsewhere}");
    }
    // The lease is with the release.
    let leases: Api<Lease> = Api::namespaced(installed.client.clone(), &installed.namespace);
    let lease = leases.get("kakehi-controller").await.unwrap();
    assert!(lease.spec.unwrap().holder_identity.is_some_and(|holder| !holder.is_empty()));
    eventually("the leader says so", async || {
        let (_, metrics) = controller.admin("/metrics").await;
        if metrics.lines().any(|line| line == "kakehi_leader 1") { Ok(()) } else { Err(metrics) }
    })
    .await;
    for serve in [&mut sink, &mut controller] {
        serve.signal(Signal::SIGTERM);
        assert_eq!(serve.ended().await, 0, "{:#?}", serve.log());
        let refusals = |line: &&Value| {
            let text = line.to_string();
            // Rights that were given a moment ago are waited for.
            text.contains("forbidden") && line["message"] != "waiting for the API server"
        };
        let log = serve.log();
        let refused: Vec<_> = log.iter().filter(refusals).collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }
}
