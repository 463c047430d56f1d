//! One namespace alone: nothing outside of it is asked for, and rights in it are enough.

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::process::{Cluster, JOB, Serve};
use crate::support::eventually;

/// What a sender is told: status and words.
async fn told(serve: &Serve, method: Method, path: &str) -> (StatusCode, String) {
    let mut request = serve.event("work", "1");
    *request.method_mut() = method;
    *request.uri_mut() = format!("http://{}{path}", serve.sink.unwrap()).parse().unwrap();
    let answer = serve.request(request).await;
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    (status, problem["detail"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn what_is_elsewhere_is_not_there_and_is_not_asked_for() {
    let cluster = Cluster::start().await;
    cluster.apply(JOB).await;
    cluster.take_requests();
    let all = ["--sink", "--controller", "--api", "--api-address", "127.0.0.1:0"];
    let serve = cluster.serve(&[&all[..], &["--watch-namespace", "default"]].concat()).await;
    serve.is_ready().await;
    serve.send("work", "1").await;
    cluster.succeeded(1).await;
    // An event that nothing matches, with and without its namespace in the path.
    for path in ["/", "/namespaces/default"] {
        assert_eq!(told(&serve, Method::POST, path).await.0, StatusCode::ACCEPTED, "{path}");
    }
    let elsewhere =
        "namespace kube-system is not looked after here; this sink is for namespace default alone";
    for (method, path) in [
        (Method::POST, "/namespaces/kube-system/jobs/work"),
        (Method::POST, "/namespaces/kube-system"),
        (Method::GET, "/namespaces/kube-system/executions/work-1"),
    ] {
        assert_eq!(told(&serve, method, path).await, (StatusCode::NOT_FOUND, elsewhere.to_owned()), "{path}");
    }
    let unknown = told(&serve, Method::POST, "/namespaces/default/jobs/nobody").await;
    assert_eq!(unknown, (StatusCode::NOT_FOUND, "there is no job nobody in namespace default".to_owned()));
    let leases: Api<Lease> = Api::default_namespaced(cluster.client.clone());
    assert!(
        leases.get_opt("kakehi-controller").await.unwrap().is_some(),
        "the lease is in the namespace, too"
    );
    let (_, metrics) = serve.admin("/metrics").await;
    for line in ["kakehi_leader 1", "kakehi_events_rejected_total{reason=\"not_found\"} 3"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }

    let requests = cluster.take_requests();
    let outside: Vec<_> = requests.iter().filter(|request| !is_within(request, "default")).collect();
    assert!(outside.is_empty(), "{outside:#?}");
    for wanted in
        ["/configmaps", "/pods?", "/triggers?", "/leases", "GET /api/v1/namespaces/default", "watch=true"]
    {
        assert!(requests.iter().any(|request| request.contains(wanted)), "{wanted}: {requests:#?}");
    }
}

/// Whether a request is one that a right in that namespace allows: for something in it, or for itself.
fn is_within(request: &str, namespace: &str) -> bool {
    let (method, uri) = request.split_once(' ').unwrap();
    let path = uri.split('?').next().unwrap();
    let itself = format!("/api/v1/namespaces/{namespace}");
    let inside = format!("/namespaces/{namespace}/");
    path.contains(&inside) || (path == itself && method == "GET")
}

#[tokio::test]
async fn a_namespace_that_does_not_exist_is_waited_for() {
    let cluster = Cluster::start().await;
    let serve = cluster.serve(&["--sink", "--watch-namespace", "shop"]).await;
    let said = serve.said("waiting for the API server").await;
    assert_eq!(said["reason"], "there is nothing to look after: namespaces \"shop\" not found");
    assert_eq!(told(&serve, Method::POST, "/").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let mut namespace = Namespace::default();
    namespace.metadata.name = Some("shop".to_owned());
    Api::all(cluster.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    serve.is_ready().await;
    assert_eq!(told(&serve, Method::POST, "/").await.0, StatusCode::ACCEPTED);
}

/// Gives an account what a sink needs in its namespace.
async fn give_rights(cluster: &Cluster, account: &str) {
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": account},
        "rules": [
            {"apiGroups": ["run.kakehi.dev"], "resources": ["jobs", "triggers"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": ["run.kakehi.dev"], "resources": ["executions"], "verbs": ["create", "get"]},
            {"apiGroups": ["run.kakehi.dev"], "resources": ["jobs/finalizers"], "verbs": ["update"]},
            {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
        ],
    }))
    .unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": cluster.namespace}],
    }))
    .unwrap();
    let (client, namespace) = (cluster.client.clone(), cluster.namespace.as_str());
    Api::namespaced(client.clone(), namespace).create(&PostParams::default(), &role).await.unwrap();
    Api::namespaced(client, namespace).create(&PostParams::default(), &binding).await.unwrap();
}

#[tokio::test]
async fn the_right_that_is_missing_is_named_until_it_is_given() {
    let Some(cluster) = Cluster::real().await else { return };
    cluster.apply(JOB).await;
    let (kubeconfig, namespace) = (cluster.kubeconfig_of("receiver").await, cluster.namespace.as_str());
    let everywhere = cluster.serve_as(&kubeconfig, &["--sink"]).await;
    let within = cluster.serve_as(&kubeconfig, &["--sink", "--watch-namespace", namespace]).await;
    let denied = format!(
        "a right is missing: jobs.run.kakehi.dev is forbidden: User \"system:serviceaccount:{namespace}:receiver\" cannot \
         list resource \"jobs\" in API group \"run.kakehi.dev\""
    );
    for (serve, place) in
        [(&everywhere, "at the cluster scope"), (&within, &*format!("in the namespace \"{namespace}\""))]
    {
        let said = serve.said("waiting for the API server").await;
        assert_eq!(said["reason"], format!("{denied} {place}"));
        let (status, reasons) = serve.admin("/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(reasons.contains(&denied), "{reasons}");
        assert_eq!(serve.admin("/healthz").await.0, StatusCode::OK, "a restart would mend nothing");
        // The sender does not learn who we are.
        let (status, words) = told(serve, Method::POST, &format!("/namespaces/{namespace}/jobs/work")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!words.contains("receiver"), "{words}");
    }
    give_rights(&cluster, "receiver").await;
    within.is_ready().await;
    within.send("work", "1").await;
    assert_eq!(cluster.executions().await.len(), 1);
    // What a right in the namespace does not give, the other one still waits for.
    assert_eq!(everywhere.admin("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let unmatched = Request::post(format!("http://{}/", within.sink.unwrap()))
        .header("ce-specversion", "1.0")
        .header("ce-id", "2")
        .header("ce-source", "/serve")
        .header("ce-type", "com.example.serve")
        .body(Full::default())
        .unwrap();
    eventually("an event for the namespace", async || {
        let status = within.request(unmatched.clone()).await.status();
        (status == StatusCode::ACCEPTED).then_some(()).ok_or(status)
    })
    .await;
}
