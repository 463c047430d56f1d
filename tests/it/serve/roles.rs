//! What each role does, what it waits for, and what it says when it cannot start.

use http::StatusCode;
use http_body_util::BodyExt;
use kakehi::api::Job;
use kakehi::listen::Listener;
use kube::Api;
use nix::sys::signal::Signal;

use super::process::{Cluster, JOB, Serve, event, kubeconfig};
use crate::support::eventually;
use crate::support::process::Home;

#[tokio::test]
async fn both_roles_turn_an_event_into_a_finished_run() {
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    let mut serve = cluster.serve(&["--grace-period", "5"]).await;
    serve.is_ready().await;
    serve.send("work", "1").await;
    cluster.succeeded(1).await;
    // The address is that of the chart's Service in our namespace.
    let jobs: Api<Job> = Api::default_namespaced(cluster.client.clone());
    eventually("the address", async || {
        let address = jobs.get("work").await.unwrap().status.and_then(|status| status.address);
        let wanted = "http://kakehi-sink.default.svc.cluster.local/namespaces/default/jobs/work";
        address.is_some_and(|address| address.url == wanted).then_some(()).ok_or("another address")
    })
    .await;
    assert_eq!(serve.admin("/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
    serve.signal(Signal::SIGTERM);
    assert_eq!(serve.ended().await, 0);
}

#[tokio::test]
async fn the_roles_work_in_processes_of_their_own() {
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    let sink = cluster.serve(&["--sink"]).await;
    let controller = cluster.serve(&["--controller"]).await;
    assert_eq!(controller.sink, None);
    sink.is_ready().await;
    controller.is_ready().await;
    sink.send("work", "1").await;
    cluster.succeeded(1).await;
}

#[tokio::test]
async fn nothing_is_ready_before_the_api_server_answers() {
    let home = Home::new();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.address();
    // The port is closed until the cluster starts.
    drop(listener);
    let path = home.file("kubeconfig", &kubeconfig(address));
    let serve = Serve::start(&home, &["--kubeconfig", &path]).await;
    serve.said("waiting for the API server").await;
    let (status, reasons) = serve.admin("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reasons.contains("the API server cannot be asked for jobs"), "{reasons}");
    assert_eq!(serve.admin("/healthz").await.0, StatusCode::OK);
    let _cluster = Cluster::start_at(Listener::bind(address).await.unwrap());
    serve.is_ready().await;
}

#[tokio::test]
async fn what_the_api_server_lacks_is_said_with_what_to_do_about_it() {
    let cluster = Cluster::start_bare().await;
    let serve = cluster.serve(&[]).await;
    let said = serve.said("waiting for the API server").await;
    let words = "install the definitions: kakehi crd | kubectl apply -f -";
    assert!(said["reason"].as_str().is_some_and(|reason| reason.contains(words)), "{said}");
    let (status, reasons) = serve.admin("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reasons.matches(words).count(), 1, "{reasons}");
    // The sink does not tell its senders why.
    let refused = serve.request(event(serve.sink.unwrap(), "work", "1")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("kubectl"), "{body:?}");
}

#[tokio::test]
async fn what_is_missing_on_the_command_line_is_said() {
    let home = Home::new();
    let nothing = home.run(&["serve"]).await.bad(2);
    assert!(nothing.contains("no cluster is configured"), "{nothing}");
    let missing = home.run(&["serve", "--kubeconfig", "/nonexistent/config"]).await.bad(2);
    assert!(missing.contains("read kubeconfig /nonexistent/config"), "{missing}");
    let taken = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (port, server) = (taken.address().to_string(), "http://127.0.0.1:1");
    let both = ["serve", "--server", server, "--admin-address", "127.0.0.1:0", "--sink-address", &port];
    let said = home.run(&both).await.bad(1);
    assert!(said.contains("cannot start the event sink") && said.contains(&port), "{said}");
    let admin = ["serve", "--controller", "--server", server, "--admin-address", &port];
    let said = home.run(&admin).await.bad(1);
    assert!(said.contains("cannot start the admin port") && said.contains(&port), "{said}");
}
