//! How clients find out what there is: discovery in both forms, and the `OpenAPI` documents.

use http::Request;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::place;
use crate::kubeapi::refused;

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

async fn get(place: &Place, path: &str, accept: &str) -> kube::Result<Value> {
    let request = Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    place.client.request(request).await
}

/// The entry of a list whose `key` is `name`.
fn named<'v>(list: &'v Value, key: &str, name: &str) -> &'v Value {
    list.as_array().and_then(|list| list.iter().find(|one| one[key] == name)).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn kubes_discovery_finds_built_in_and_custom_kinds() {
    let place = place().await;
    let groups = kube::discovery::Discovery::new(place.client.clone()).run().await.unwrap();
    let all: Vec<_> = groups.groups().flat_map(kube::discovery::ApiGroup::recommended_resources).collect();
    for (group, kind, plural) in [
        ("", "Pod", "pods"),
        ("batch", "Job", "jobs"),
        ("run.kakehi.dev", "Job", "jobs"),
        ("events.k8s.io", "Event", "events"),
    ] {
        let found = all.iter().find(|(resource, _)| resource.group == group && resource.kind == kind);
        let (resource, capabilities) = found.unwrap_or_else(|| panic!("{group}/{kind}"));
        assert_eq!(resource.plural, plural);
        assert!(capabilities.supports_operation(kube::discovery::verbs::WATCH));
    }
}

#[tokio::test]
async fn kubes_discovery_understands_the_aggregated_form() {
    let place = place().await;
    let groups = kube::discovery::Discovery::new(place.client.clone()).run_aggregated().await.unwrap();
    let group = groups.get("run.kakehi.dev").unwrap();
    let mut kinds: Vec<_> =
        group.recommended_resources().into_iter().map(|(resource, _)| resource.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["Execution", "Job", "Trigger"]);
}

#[tokio::test]
async fn the_legacy_form_names_parts_short_names_and_categories() {
    let place = place().await;
    let versions = get(&place, "/api", "application/json").await.unwrap();
    assert_eq!(versions["versions"], json!(["v1"]));
    let core = get(&place, "/api/v1", "application/json").await.unwrap();
    assert_eq!(named(&core["resources"], "name", "pods")["shortNames"], json!(["po"]));
    assert_eq!(named(&core["resources"], "name", "pods/log")["kind"], "Pod");
    let ours = get(&place, "/apis/run.kakehi.dev/v1alpha1", "application/json").await.unwrap();
    let executions = named(&ours["resources"], "name", "executions");
    assert_eq!((&executions["shortNames"], &executions["categories"]), (&json!(["rx"]), &json!(["kakehi"])));
    assert_eq!(named(&ours["resources"], "name", "executions/status")["kind"], "Execution");
    let group = get(&place, "/apis/batch", "application/json").await.unwrap();
    assert_eq!(group["preferredVersion"]["groupVersion"], "batch/v1");
    for path in ["/apis/none.example.com", "/apis/batch/v9", "/api/v9"] {
        assert_eq!(refused(get(&place, path, "application/json").await).code, 404, "{path}");
    }
}

#[tokio::test]
async fn the_aggregated_form_is_given_to_those_who_accept_it() {
    let place = place().await;
    let others = get(&place, "/apis", AGGREGATED).await.unwrap();
    assert_eq!(others["kind"], "APIGroupDiscoveryList");
    let batch = named(&others["items"], "versions", "none");
    assert_eq!(batch, &Value::Null);
    let plain = get(&place, "/apis", "application/json").await.unwrap();
    assert_eq!(plain["kind"], "APIGroupList");
}

#[tokio::test]
async fn the_openapi_index_leads_to_a_document_per_group_version() {
    let place = place().await;
    let index = get(&place, "/openapi/v3", "application/json").await.unwrap();
    let url = index["paths"]["apis/run.kakehi.dev/v1alpha1"]["serverRelativeURL"].as_str().unwrap();
    let document = get(&place, url, "application/json").await.unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.0"));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let gvk = json!([{"group": "run.kakehi.dev", "version": "v1alpha1", "kind": "Execution"}]);
    let execution = schemas.values().find(|schema| schema["x-kubernetes-group-version-kind"] == gvk).unwrap();
    assert!(execution["properties"]["spec"]["properties"]["cancelled"].is_object());
    let path = "/apis/run.kakehi.dev/v1alpha1/namespaces/{namespace}/executions/{name}";
    let operation = &document["paths"][path]["patch"];
    assert_eq!(operation["x-kubernetes-group-version-kind"], gvk[0]);
    assert!(named(&operation["parameters"], "name", "fieldValidation").is_object());
}
