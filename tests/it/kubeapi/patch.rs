//! The three patches that are no apply: JSON patch, merge patch, strategic merge patch.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::ResourceExt;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::from_value;
use serde_json::json;

use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::kubeapi::refused;

fn json_patch(operations: Value) -> Patch<()> {
    Patch::Json(from_value(operations).unwrap())
}

fn pod() -> Pod {
    from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "1", "b": "2"}},
        "spec": {"containers": [{"name": "one", "image": "x:1"}, {"name": "two", "image": "y:1"}]},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_json_patch_changes_what_it_names() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[("k", "1"), ("x.y", "2")])).await.unwrap();
    let patch = json_patch(json!([
        {"op": "test", "path": "/data/k", "value": "1"},
        {"op": "replace", "path": "/data/k", "value": "3"},
        {"op": "remove", "path": "/data/x.y"},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "v", "example.com/m": "w"}},
        {"op": "replace", "path": "/metadata/labels/example.com~1m", "value": "x"},
    ]));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        patched.data.as_ref().unwrap().iter().collect::<Vec<_>>(),
        [(&"k".to_owned(), &"3".to_owned())]
    );
    assert_eq!((&*patched.labels()["l"], &*patched.labels()["example.com/m"]), ("v", "x"));
}

#[tokio::test]
async fn a_json_patch_that_does_not_fit_is_a_422_and_changes_nothing() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[("k", "1")])).await.unwrap();
    for operations in [
        json!([{"op": "replace", "path": "/data/k", "value": "2"}, {"op": "test", "path": "/data/k", "value": "1"}]),
        json!([{"op": "remove", "path": "/data/none"}]),
        json!([{"op": "replace", "path": "/nothing/here", "value": 1}]),
    ] {
        let status = refused(api.patch("a", &PatchParams::default(), &json_patch(operations)).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        assert_eq!(status.message, "the server rejected our request due to an error in our request");
    }
    assert_eq!(api.get("a").await.unwrap(), created);
}

#[tokio::test]
async fn testing_for_null_where_there_is_nothing_is_true() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    // What kube's `finalizer` sends first.
    let patch = json_patch(json!([
        {"op": "test", "path": "/metadata/finalizers", "value": null},
        {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/hold"]},
    ]));
    let held = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(held.finalizers(), ["example.com/hold"]);
    assert_eq!(refused(api.patch("a", &PatchParams::default(), &patch).await).code, 422);
}

#[tokio::test]
async fn a_merge_patch_removes_by_null_and_replaces_lists() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod()).await.unwrap();
    let patch =
        Patch::Merge(json!({"metadata": {"labels": {"a": null, "c": "3"}, "annotations": {"n": "1"}}}));
    let patched = api.patch("p", &PatchParams::default(), &patch).await.unwrap();
    let labels: Vec<_> = patched.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(labels, ["b=2", "c=3"]);
    assert_eq!(patched.annotations()["n"], "1");
    let fewer = Patch::Merge(json!({"spec": {"containers": [{"name": "one", "image": "x:1"}]}}));
    let status = refused(api.patch("p", &PatchParams::default(), &fewer).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
}

#[tokio::test]
async fn a_strategic_merge_patch_merges_items_by_their_key() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    api.create(&PostParams::default(), &pod()).await.unwrap();
    let patch = Patch::Strategic(json!({"spec": {"containers": [{"name": "two", "image": "y:2"}]}}));
    let patched = api.patch("p", &PatchParams::default(), &patch).await.unwrap();
    let images: Vec<_> =
        patched.spec.unwrap().containers.into_iter().map(|one| (one.name, one.image.unwrap())).collect();
    assert_eq!(images, [("one".into(), "x:1".into()), ("two".into(), "y:2".into())]);
}

#[tokio::test]
async fn the_directives_of_strategic_merge_are_understood() {
    let place = place().await;
    let api: Api<Job> = place.api();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "finalizers": ["a/a", "b/b"], "labels": {"x": "1"}},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "one", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }}},
    });
    api.create(&PostParams::default(), &from_value(job).unwrap()).await.unwrap();
    // The template of a suspended Job that has not started may still change in its scheduling parts; metadata always.
    let patch = Patch::Strategic(json!({"metadata": {
        "$deleteFromPrimitiveList/finalizers": ["a/a"],
        "finalizers": ["c/c"],
        "labels": {"$patch": "replace", "y": "2"},
    }}));
    let patched = api.patch("j", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.finalizers(), ["c/c", "b/b"]);
    assert_eq!(patched.labels().iter().collect::<Vec<_>>(), [(&"y".to_owned(), &"2".to_owned())]);
    let patch =
        Patch::Strategic(json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b/b", "c/c"]}}));
    let patched = api.patch("j", &PatchParams::default(), &patch).await.unwrap();
    assert!(patched.finalizers().is_empty());
}

#[tokio::test]
async fn custom_kinds_have_no_strategic_merge() {
    let place = place().await;
    let api: Api<kakehi::api::Trigger> = place.api();
    let patch = Patch::Strategic(json!({"metadata": {"labels": {"a": "b"}}}));
    assert_eq!(refused(api.patch("t", &PatchParams::default(), &patch).await).code, 415);
}

#[tokio::test]
async fn a_patch_cannot_rename_or_move_an_object() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    for patch in [json!({"metadata": {"name": "b"}}), json!({"metadata": {"namespace": "elsewhere"}})] {
        let status = refused(api.patch("a", &PatchParams::default(), &Patch::Merge(patch)).await);
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    }
}

#[tokio::test]
async fn a_patch_may_demand_the_revision_that_it_was_made_for() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let created = api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let patch = |revision: &str, value: &str| {
        Patch::Merge(json!({"metadata": {"resourceVersion": revision}, "data": {"k": value}}))
    };
    let revision = created.resource_version().unwrap();
    api.patch("a", &PatchParams::default(), &patch(&revision, "1")).await.unwrap();
    let status = refused(api.patch("a", &PatchParams::default(), &patch(&revision, "2")).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
}
