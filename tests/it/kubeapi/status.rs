//! `/status`: what belongs to whom, and generations.

use kakehi::api;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use kube::core::ApiResource;
use kube::core::DynamicObject;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::place;
use crate::kubeapi::refused;

fn jobs(place: &Place) -> Api<DynamicObject> {
    let resource = ApiResource::erase::<api::Job>(&());
    Api::namespaced_with(place.client.clone(), &place.namespace, &resource)
}

/// One of our Jobs: a custom object with a status subresource.
pub(super) fn job(name: &str) -> Value {
    json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "a", "command": ["true"]}]}}}}},
        "status": {"executionCount": 99}
    })
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

#[tokio::test]
async fn a_creation_cannot_set_the_status() {
    let place = place().await;
    let created = jobs(&place).create(&PostParams::default(), &object(job("a"))).await.unwrap();
    assert!(
        created.data.get("status").is_none_or(|status| status.get("executionCount").is_none()),
        "{created:?}"
    );
    assert_eq!(created.metadata.generation, Some(1));
}

#[tokio::test]
async fn the_object_and_its_status_are_written_apart() {
    let place = place().await;
    let api = jobs(&place);
    let created = api.create(&PostParams::default(), &object(job("a"))).await.unwrap();
    let both = json!({"metadata": {"labels": {"l": "x"}}, "spec": {"suspend": true}, "status": {"executionCount": 3}});
    let status = api.patch_status("a", &PatchParams::default(), &Patch::Merge(both.clone())).await.unwrap();
    assert_eq!(status.data["status"]["executionCount"], 3);
    assert_eq!(status.data["spec"], created.data["spec"], "a status write leaves the rest alone");
    assert!(status.metadata.labels.is_none(), "even the labels of a custom object");
    assert_eq!(status.metadata.generation, Some(1));
    let mut main = both;
    main["status"]["executionCount"] = json!(7);
    let main = api.patch("a", &PatchParams::default(), &Patch::Merge(main)).await.unwrap();
    assert_eq!(main.data["status"]["executionCount"], 3, "and the other way round");
    assert_eq!(main.data["spec"]["suspend"], true);
    assert_eq!(main.metadata.generation, Some(2));
    let label = Patch::Merge(json!({"metadata": {"labels": {"l": "y"}}}));
    let labelled = api.patch("a", &PatchParams::default(), &label).await.unwrap();
    assert_eq!(labelled.metadata.generation, Some(2), "metadata is not what is desired");
}

#[tokio::test]
async fn a_status_is_replaced_under_the_same_rules() {
    let place = place().await;
    let api = jobs(&place);
    let mut stale = api.create(&PostParams::default(), &object(job("a"))).await.unwrap();
    let mut current = stale.clone();
    current.data["status"] = json!({"executionCount": 1});
    current.data["spec"]["suspend"] = json!(true);
    let replaced = api.replace_status("a", &PostParams::default(), &current).await.unwrap();
    assert_eq!(replaced.data["status"]["executionCount"], 1);
    assert!(replaced.data["spec"].get("suspend").is_none_or(|suspend| suspend == false));
    assert_eq!(api.get_status("a").await.unwrap(), replaced);
    stale.data["status"] = json!({"executionCount": 2});
    assert_eq!(refused(api.replace_status("a", &PostParams::default(), &stale).await).reason, "Conflict");
}

#[tokio::test]
async fn a_custom_object_is_replaced_only_with_a_revision() {
    let place = place().await;
    let api = jobs(&place);
    let mut created = api.create(&PostParams::default(), &object(job("a"))).await.unwrap();
    created.metadata.resource_version = None;
    let status = refused(api.replace("a", &PostParams::default(), &created).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(status.message.contains("must be specified for an update"), "{}", status.message);
}

#[tokio::test]
async fn a_kind_without_status_has_no_such_subresource() {
    let place = place().await;
    let path = format!("/api/v1/namespaces/{}/configmaps/a/status", place.namespace);
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    assert_eq!(refused(place.client.request_text(request).await).code, 404);
}
