//! Pods: binding, graceful ends, logs.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::EvictParams;
use kube::api::LogParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::place;
use crate::kubeapi::refused;

pub(super) fn pod(name: &str) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none", "command": ["true"]}]}
    }))
    .unwrap()
}

async fn bind(place: &Place, name: &str, node: &str) -> kube::Result<Value> {
    bind_with(place, name, node, json!({})).await
}

async fn bind_with(place: &Place, name: &str, node: &str, annotations: Value) -> kube::Result<Value> {
    let path = format!("/api/v1/namespaces/{}/pods/{name}/binding", place.namespace);
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, "annotations": annotations},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node}
    });
    let request = http::Request::post(path).header("content-type", "application/json");
    place.client.request(request.body(serde_json::to_vec(&binding).unwrap()).unwrap()).await
}

#[tokio::test]
async fn a_new_pod_is_pending_and_has_its_defaults() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    let mut wanted = pod("a");
    wanted.status = Some(serde_json::from_value(json!({"phase": "Running"})).unwrap());
    let created = api.create(&PostParams::default(), &wanted).await.unwrap();
    assert_eq!(created.status.unwrap().phase.as_deref(), Some("Pending"));
    let spec = created.spec.unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    assert_eq!(spec.dns_policy.as_deref(), Some("ClusterFirst"));
    assert_eq!(spec.containers[0].termination_message_path.as_deref(), Some("/dev/termination-log"));
}

#[tokio::test]
async fn a_pod_is_bound_to_one_node_once() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod("a")).await.unwrap();
    bind(&place, "a", "node-1").await.unwrap();
    assert_eq!(api.get("a").await.unwrap().spec.unwrap().node_name.as_deref(), Some("node-1"));
    let again = refused(bind(&place, "a", "node-2").await);
    assert_eq!((again.code, again.reason.as_str()), (409, "Conflict"));
    assert_eq!(refused(bind(&place, "nothing", "node-1").await).code, 404);
}

#[tokio::test]
async fn a_binding_annotates_its_pod_with_text() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod("a")).await.unwrap();
    let untyped = refused(bind_with(&place, "a", "node-1", json!({"zone": {"deep": 1}})).await);
    assert_eq!((untyped.code, untyped.reason.as_str()), (400, "BadRequest"));
    assert_eq!(api.get("a").await.unwrap().spec.unwrap().node_name, None, "nothing was stored");
    // Kubernetes does not look at the names.
    bind_with(&place, "a", "node-1", json!({"zone": "b", "no such key": "x"})).await.unwrap();
    let bound = api.get("a").await.unwrap();
    let annotations = bound.metadata.annotations.unwrap();
    assert_eq!((annotations["zone"].as_str(), annotations["no such key"].as_str()), ("b", "x"));
    assert_eq!(bound.spec.unwrap().node_name.as_deref(), Some("node-1"));
}

#[tokio::test]
async fn a_pod_on_a_node_ends_when_its_kubelet_says_so() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    let mut wanted = pod("a");
    // No kubelet has this node, so nothing happens by itself.
    wanted.spec.as_mut().unwrap().node_name = Some("no-such-node".to_owned());
    api.create(&PostParams::default(), &wanted).await.unwrap();
    let waiting =
        api.delete("a", &DeleteParams::default()).await.unwrap().left().expect("it ends gracefully");
    assert_eq!(waiting.metadata.deletion_grace_period_seconds, Some(30));
    assert!(waiting.metadata.deletion_timestamp.is_some());
    let sooner =
        api.delete("a", &DeleteParams::default().grace_period(5)).await.unwrap().left().expect("ending");
    assert_eq!(sooner.metadata.deletion_grace_period_seconds, Some(5));
    let later =
        api.delete("a", &DeleteParams::default().grace_period(60)).await.unwrap().left().expect("ending");
    assert_eq!(later.metadata.deletion_grace_period_seconds, Some(5), "an end can only come sooner");
    let status = Patch::Merge(json!({"status": {"phase": "Running", "message": "still here"}}));
    api.patch_status("a", &PatchParams::default(), &status).await.expect("a status changes until the end");
    assert!(api.get_opt("a").await.unwrap().is_some());
    api.delete("a", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn an_evicted_pod_ends_like_a_deleted_one() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    let mut wanted = pod("a");
    wanted.spec.as_mut().unwrap().node_name = Some("no-such-node".to_owned());
    api.create(&PostParams::default(), &wanted).await.unwrap();
    api.evict("a", &EvictParams::default()).await.unwrap();
    assert!(api.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
}

#[tokio::test]
async fn a_pod_that_no_node_runs_is_gone_at_once() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod("a")).await.unwrap();
    api.delete("a", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("a").await.unwrap().is_none());
}

#[tokio::test]
async fn the_spec_of_a_pod_is_settled_at_creation() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod("a")).await.unwrap();
    let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "main", "command": ["false"]}]}}));
    let status = refused(api.patch("a", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let patch =
        Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"activeDeadlineSeconds": 5}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.spec.unwrap().active_deadline_seconds, Some(5));
}

#[tokio::test]
async fn the_log_of_a_pod_that_never_ran_is_empty_and_of_no_pod_a_404() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod("a")).await.unwrap();
    assert_eq!(refused(api.logs("nothing", &LogParams::default()).await).code, 404);
    let wrong = LogParams { container: Some("other".to_owned()), ..LogParams::default() };
    let status = refused(api.logs("a", &wrong).await);
    assert_eq!(status.code, 400);
    assert_eq!(status.message, "container other is not valid for pod a");
}
