//! Server-side apply: ownership, conflicts, and fields that go because nobody wants them any more.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Pod;
use kakehi::api::Trigger;
use kube::Api;
use kube::ResourceExt;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::place;
use crate::kubeapi::refused;

#[expect(clippy::needless_pass_by_value, reason = "literals read better as values")]
fn map(data: Value) -> Patch<Value> {
    Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}))
}

fn data(map: &ConfigMap) -> Value {
    json!(map.data)
}

/// The fields of a manager, as they are stored.
fn owned(object: &impl ResourceExt, manager: &str) -> Value {
    let entry = object.managed_fields().iter().find(|entry| entry.manager.as_deref() == Some(manager));
    entry.and_then(|entry| entry.fields_v1.as_ref()).map_or(Value::Null, |fields| fields.0.clone())
}

#[tokio::test]
async fn an_apply_creates_and_then_removes_what_it_drops() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let one = PatchParams::apply("one");
    let created = api.patch("a", &one, &map(json!({"x": "1", "y": "2"}))).await.unwrap();
    assert_eq!(owned(&created, "one"), json!({"f:data": {"f:x": {}, "f:y": {}}}));
    let again = api.patch("a", &one, &map(json!({"x": "1", "y": "2"}))).await.unwrap();
    assert_eq!(again.resource_version(), created.resource_version());
    let fewer = api.patch("a", &one, &map(json!({"x": "1"}))).await.unwrap();
    assert_eq!(data(&fewer), json!({"x": "1"}));
    assert_eq!(owned(&fewer, "one"), json!({"f:data": {"f:x": {}}}));
}

#[tokio::test]
async fn the_last_finalizer_that_nobody_applies_leaves_no_empty_list() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let one = PatchParams::apply("one");
    let of = |metadata: Value| {
        Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
    };
    let held = api.patch("a", &one, &of(json!({"name": "a", "finalizers": ["kakehi.dev/x"]}))).await.unwrap();
    assert_eq!(held.finalizers(), ["kakehi.dev/x"]);
    api.patch("a", &one, &of(json!({"name": "a"}))).await.unwrap();
    assert_eq!(api.get("a").await.unwrap().metadata.finalizers, None);
    let empty = json!({"metadata": {"finalizers": [], "ownerReferences": []}});
    let patched = api.patch("a", &PatchParams::default(), &Patch::Merge(empty)).await.unwrap();
    assert_eq!((patched.metadata.finalizers, patched.metadata.owner_references), (None, None));
}

#[tokio::test]
async fn another_managers_field_is_a_conflict_that_names_both() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.patch("a", &PatchParams::apply("one"), &map(json!({"x": "1", "y": "2"}))).await.unwrap();
    let status = refused(api.patch("a", &PatchParams::apply("two"), &map(json!({"x": "9"}))).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"one\": .data.x");
    let causes = status.details.unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert_eq!(causes[0].reason, "FieldManagerConflict");
    assert_eq!((causes[0].message.as_str(), causes[0].field.as_str()), ("conflict with \"one\"", ".data.x"));
    let forced = api.patch("a", &PatchParams::apply("two").force(), &map(json!({"x": "9"}))).await.unwrap();
    assert_eq!(data(&forced), json!({"x": "9", "y": "2"}));
    assert_eq!(owned(&forced, "one"), json!({"f:data": {"f:y": {}}}));
}

#[tokio::test]
async fn a_field_that_two_want_stays_until_both_drop_it() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let (one, two) = (PatchParams::apply("one"), PatchParams::apply("two"));
    api.patch("a", &one, &map(json!({"x": "1", "y": "2"}))).await.unwrap();
    api.patch("a", &two, &map(json!({"x": "1"}))).await.unwrap();
    let kept = api.patch("a", &one, &map(json!({"y": "2"}))).await.unwrap();
    assert_eq!(data(&kept), json!({"x": "1", "y": "2"}));
    let gone = api.patch("a", &two, &map(json!({}))).await.unwrap();
    assert_eq!(data(&gone), json!({"y": "2"}));
}

#[tokio::test]
async fn an_update_takes_fields_over_and_is_named_in_conflicts() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    let mut object = api.patch("a", &PatchParams::apply("one"), &map(json!({"x": "1"}))).await.unwrap();
    object.data.as_mut().unwrap().insert("x".to_owned(), "2".to_owned());
    let params = PostParams { field_manager: Some("editor".to_owned()), ..PostParams::default() };
    let edited = api.replace("a", &params, &object).await.unwrap();
    assert_eq!(owned(&edited, "editor"), json!({"f:data": {"f:x": {}}}));
    let status = refused(api.patch("a", &PatchParams::apply("one"), &map(json!({"x": "1"}))).await);
    assert_eq!(status.message, "Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.x");
}

#[tokio::test]
async fn list_items_merge_by_their_keys() {
    let place = place().await;
    let api: Api<Pod> = place.api();
    let pod = |containers: Value| {
        Patch::Apply(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "finalizers": ["example.com/x"]}, "spec": {"containers": containers}}),
        )
    };
    let created = api
        .patch(
            "p",
            &PatchParams::apply("one"),
            &pod(json!([{"name": "c", "image": "i:1", "ports": [{"containerPort": 80}]}])),
        )
        .await
        .unwrap();
    let owned = owned(&created, "one");
    assert_eq!(owned["f:metadata"], json!({"f:finalizers": {"v:\"example.com/x\"": {}}}));
    let ports = &owned["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"]["f:ports"];
    assert_eq!(
        ports,
        &json!({"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}})
    );
    let image =
        api.patch("p", &PatchParams::apply("two"), &pod(json!([{"name": "c", "image": "i:2"}]))).await;
    let status = refused(image);
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.containers[name=\"c\"].image"
    );
}

#[tokio::test]
async fn the_status_is_applied_apart() {
    let place = place().await;
    let api: Api<Job> = place.api();
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        // No controller writes to it, too.
        "spec": {"managedBy": "example.com/nobody", "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}},
        "status": {"active": 3},
    });
    let created = api.patch("j", &PatchParams::apply("one"), &Patch::Apply(&job)).await.unwrap();
    assert_eq!(created.status.and_then(|status| status.active), None);
    let status = api.patch_status("j", &PatchParams::apply("one"), &Patch::Apply(&job)).await.unwrap();
    assert_eq!(status.status.as_ref().and_then(|status| status.active), Some(3));
    let by_status: Vec<_> =
        status.managed_fields().iter().filter(|entry| entry.subresource.is_some()).collect();
    assert_eq!(by_status.len(), 1);
    assert_eq!(by_status[0].fields_v1.as_ref().unwrap().0, json!({"f:status": {"f:active": {}}}));
}

#[tokio::test]
async fn custom_kinds_are_applied_by_their_schema() {
    let place = place().await;
    let api: Api<Trigger> = place.api();
    let trigger = |spec: Value| {
        Patch::Apply(
            json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": spec}),
        )
    };
    let one = PatchParams::apply("one");
    let first =
        trigger(json!({"job": {"name": "j"}, "filter": {"attributes": {"type": "a", "source": "/s"}}}));
    api.patch("t", &one, &first).await.unwrap();
    let second = trigger(json!({"job": {"name": "j"}, "filter": {"attributes": {"type": "a"}}}));
    let changed = api.patch("t", &one, &second).await.unwrap();
    let value = serde_json::to_value(&changed.spec).unwrap();
    assert_eq!(value["filter"]["attributes"], json!({"type": "a"}));
}

#[tokio::test]
async fn an_apply_needs_a_manager_and_brings_no_managed_fields() {
    let place = place().await;
    let path = format!("/api/v1/namespaces/{}/configmaps/a", place.namespace);
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}).to_string();
    let request = |query: &str, body: &str| {
        http::Request::patch(format!("{path}{query}"))
            .header("content-type", "application/apply-patch+yaml")
            .body(body.as_bytes().to_vec())
            .unwrap()
    };
    assert!(matches!(refused(place.client.request::<Value>(request("", &body)).await).code, 400 | 422));
    let managed = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "managedFields": [
        {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {}}},
    ]}});
    let status =
        refused(place.client.request::<Value>(request("?fieldManager=x", &managed.to_string())).await);
    assert_eq!(status.code, 400);
    assert!(status.message.contains("metadata.managedFields must be nil"), "{}", status.message);
}

#[tokio::test]
async fn managed_fields_can_be_stripped_by_an_empty_list_or_entry() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    for (name, empty) in [("list", json!([])), ("entry", json!([{}]))] {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"x": "1"}});
        let created = api.patch(name, &PatchParams::apply("one"), &Patch::Apply(object)).await.unwrap();
        let none: Patch<Value> = Patch::Merge(json!({"metadata": {"managedFields": null}}));
        let kept = api.patch(name, &PatchParams::default(), &none).await.unwrap();
        assert_eq!(kept.managed_fields(), created.managed_fields());
        let reset: Patch<Value> = Patch::Merge(json!({"metadata": {"managedFields": empty}}));
        let reset = api.patch(name, &PatchParams::default(), &reset).await.unwrap();
        assert!(reset.managed_fields().is_empty());
    }
}

#[tokio::test]
async fn what_a_kind_does_not_have_cannot_be_applied() {
    let place = place().await;
    let trigger = json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "t"},
        "spec": {"job": {"name": "j"}, "suspendd": true},
    });
    let api: Api<Trigger> = place.api();
    let one = PatchParams::apply("one");
    for parameters in [one.clone(), one.clone().validation_ignore(), one.clone().validation_strict()] {
        let status = refused(api.patch("t", &parameters, &Patch::Apply(&trigger)).await);
        assert_eq!((status.code, status.reason.as_str()), (500, ""));
        let wanted = "failed to create typed patch object (/t; run.kakehi.dev/v1alpha1, Kind=Trigger): \
                      .spec.suspendd: field not declared in schema";
        assert_eq!(status.message, wanted);
    }
    assert!(api.get_opt("t").await.unwrap().is_none());

    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "lable": {}},
        "spec": {"containers": [{"name": "c", "image": "i", "imaeg": "i"}]},
    });
    let status = refused(place.api::<Pod>().patch("p", &one, &Patch::Apply(&pod)).await);
    let start = "failed to create typed patch object (/p; /v1, Kind=Pod): errors:\n";
    assert!(status.message.starts_with(start), "{}", status.message);
    for path in [".metadata.lable", ".spec.containers[name=\"c\"].imaeg"] {
        let complaint = format!("  {path}: field not declared in schema");
        assert!(status.message.contains(&complaint), "{}", status.message);
    }
}
