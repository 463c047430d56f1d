//! What the API server makes of an object before it stores it: pruning, defaults, validation and CEL rules.

use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kakehi::api::Execution;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::core::Status;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::place;
use crate::kubeapi::refused;

async fn create(place: &Place, path: &str, object: &Value) -> kube::Result<Value> {
    let uri = format!("/{}/namespaces/{}/{path}", group_of(object), place.namespace);
    let request = Request::post(uri).header("content-type", "application/json");
    place.client.request(request.body(object.to_string().into_bytes()).unwrap()).await
}

fn group_of(object: &Value) -> String {
    match object["apiVersion"].as_str().unwrap() {
        "v1" => "api/v1".to_owned(),
        group => format!("apis/{group}"),
    }
}

/// (field, message) of each cause.
fn causes(status: &Status) -> Vec<(String, String)> {
    let causes = status.details.as_ref().map(|details| details.causes.clone()).unwrap_or_default();
    causes.into_iter().map(|cause| (cause.field, cause.message)).collect()
}

fn our_job(spec: &Value) -> Value {
    json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec})
}

fn template(task: &Value, run: &Value) -> Value {
    let mut run = run.clone();
    run["template"] = json!({"spec": task});
    json!({"template": {"spec": run}})
}

fn task() -> Value {
    json!({"containers": [{"name": "c", "image": "i"}]})
}

#[tokio::test]
async fn custom_objects_are_pruned_and_defaulted() {
    let place = place().await;
    let mut object = our_job(&template(&task(), &json!({})));
    object["spec"]["nonsense"] = json!(1);
    let created = create(&place, "jobs", &object).await.unwrap();
    assert_eq!(created["spec"].get("nonsense"), None);
    assert_eq!(created["spec"]["template"]["spec"]["taskCount"], 1);
    assert_eq!(created["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"], 3);
}

#[tokio::test]
async fn a_range_that_is_left_is_said_in_the_api_servers_words() {
    let place = place().await;
    let object = our_job(&template(&task(), &json!({"taskCount": 0})));
    let status = refused(create(&place, "jobs", &object).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    let sentence =
        "Invalid value: 0: spec.template.spec.taskCount in body should be greater than or equal to 1"
            .to_owned();
    assert_eq!(causes(&status), [("spec.template.spec.taskCount".to_owned(), sentence.clone())]);
    assert_eq!(
        status.message,
        format!("Job.run.kakehi.dev \"j\" is invalid: spec.template.spec.taskCount: {sentence}")
    );
}

#[tokio::test]
async fn a_wrong_type_is_a_type_error_of_its_field() {
    let place = place().await;
    let object = our_job(&template(&task(), &json!({"taskCount": "many"})));
    let status = refused(create(&place, "jobs", &object).await);
    assert_eq!(status.code, 422);
    let (field, message) = &causes(&status)[0];
    assert_eq!(field, "spec.template.spec.taskCount");
    assert!(message.contains("must be of type integer: \"string\""), "{message}");
    assert_eq!(status.details.unwrap().causes[0].reason, "FieldValueTypeInvalid");
}

#[tokio::test]
async fn a_missing_field_is_required() {
    let place = place().await;
    let object = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": {}});
    let status = refused(create(&place, "triggers", &object).await);
    let found = causes(&status);
    assert!(found.contains(&("spec.job".to_owned(), "Required value".to_owned())), "{found:?}");
}

#[tokio::test]
async fn rules_of_a_definition_refuse_with_their_message() {
    let place = place().await;
    let two = json!({"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]});
    let status = refused(create(&place, "jobs", &our_job(&template(&two, &json!({})))).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(status.message.contains("a task has exactly one container"), "{}", status.message);
    let mut long = our_job(&template(&task(), &json!({})));
    long["metadata"]["name"] = json!("a".repeat(47));
    let status = refused(create(&place, "jobs", &long).await);
    assert!(status.message.contains("at most 46 characters"), "{}", status.message);
}

fn execution() -> Value {
    json!({
        "apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Execution", "metadata": {"name": "e"},
        "spec": {
            "job": {"name": "j", "uid": "u", "generation": 1}, "cause": {"type": "Manual"},
            "template": template(&task(), &json!({}))["template"],
        },
    })
}

#[tokio::test]
async fn a_snapshot_never_changes_but_for_its_cancellation() {
    let place = place().await;
    create(&place, "executions", &execution()).await.unwrap();
    let api: Api<Execution> = place.api();
    let merge = |patch: Value| {
        let api = api.clone();
        async move { api.patch("e", &PatchParams::default(), &Patch::Merge(patch)).await }
    };
    for change in [
        json!({"spec": {"job": {"name": "other"}}}),
        json!({"spec": {"template": {"spec": {"taskCount": 9}}}}),
        json!({"spec": {"cause": {"type": "Address"}}}),
    ] {
        let status = refused(merge(change.clone()).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{change}");
        assert!(status.message.contains("is fixed when the run is created"), "{}", status.message);
    }
    merge(json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    merge(json!({"spec": {"cancelled": true}})).await.unwrap();
    let status = refused(merge(json!({"spec": {"cancelled": false}})).await);
    assert!(status.message.contains("a cancelled run stays cancelled"), "{}", status.message);
}

#[tokio::test]
async fn names_labels_and_annotations_have_their_grammar() {
    let place = place().await;
    let map = |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    for (metadata, field) in [
        (json!({"name": "Bad_Name"}), "metadata.name"),
        (json!({"name": "a", "labels": {"a b": "c"}}), "metadata.labels"),
        (json!({"name": "a", "labels": {"a": "-"}}), "metadata.labels"),
        (json!({"name": "a", "annotations": {"a": "x".repeat(300_000)}}), "metadata.annotations"),
    ] {
        let status = refused(create(&place, "configmaps", &map(metadata)).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        assert_eq!(causes(&status)[0].0, field);
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_a_bad_request() {
    let place = place().await;
    for object in [
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": 1}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"k": 1}}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": []}),
    ] {
        let status = refused(create(&place, "configmaps", &object).await);
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
        assert!(status.message.contains("cannot be handled as a ConfigMap"), "{}", status.message);
    }
}

#[tokio::test]
async fn built_in_kinds_are_validated_by_hand() {
    let place = place().await;
    let key =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a b": ""}});
    let status = refused(create(&place, "configmaps", &key).await);
    assert_eq!(causes(&status)[0].0, "data[a b]");
    let pod =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}});
    let status = refused(create(&place, "pods", &pod).await);
    assert_eq!(causes(&status), [("spec.containers".to_owned(), "Required value".to_owned())]);
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"},
        "spec": {"completions": -1, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}}},
    });
    let status = refused(create(&place, "jobs", &job).await);
    let found = causes(&status);
    let sentence = "Invalid value: -1: must be greater than or equal to 0".to_owned();
    assert!(found.contains(&("spec.completions".to_owned(), sentence)), "{found:?}");
}

#[tokio::test]
async fn empty_collections_of_built_in_kinds_are_not_stored() {
    let place = place().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "annotations": {}, "finalizers": []}, "data": {}});
    let created = create(&place, "configmaps", &map).await.unwrap();
    assert_eq!(created.get("data"), None);
    assert_eq!(created["metadata"].get("annotations"), None);
    let api: Api<ConfigMap> = place.api();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"a": null}}, "data": {"k": null}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((patched.metadata.labels, patched.data), (None, None));
}
