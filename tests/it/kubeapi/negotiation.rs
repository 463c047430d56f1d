//! Media types in and out, limits, unknown fields, and paths that are not there.

use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::objects::map;
use crate::kubeapi::place;
use crate::kubeapi::refused;
use crate::support::cluster::differs;

fn maps(place: &Place) -> String {
    format!("/api/v1/namespaces/{}/configmaps", place.namespace)
}

async fn post(
    place: &Place,
    query: &str,
    content_type: &str,
    body: impl Into<Vec<u8>>,
) -> kube::Result<Value> {
    let request = Request::post(format!("{}{query}", maps(place))).header("content-type", content_type);
    place.client.request(request.body(body.into()).unwrap()).await
}

async fn get(place: &Place, path: &str, accept: &str) -> kube::Result<String> {
    let request = Request::get(path).header("accept", accept).body(Vec::new()).unwrap();
    place.client.request_text(request).await
}

#[tokio::test]
async fn bodies_may_be_yaml() {
    let place = place().await;
    let yaml =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: |\n    two\n    lines\n";
    let created = post(&place, "", "application/yaml", yaml).await.unwrap();
    assert_eq!(created["data"]["k"], "two\nlines\n");
}

#[tokio::test]
async fn a_plain_no_is_text_in_yaml() {
    if differs("kubeapi::negotiation::a_plain_no_is_text_in_yaml") {
        return;
    }
    let place = place().await;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: norway\ndata:\n  country: no\n";
    let created = post(&place, "", "application/yaml", yaml).await.unwrap();
    assert_eq!(created["data"]["country"], "no");
}

#[tokio::test]
async fn a_type_that_nobody_reads_is_a_415() {
    let place = place().await;
    let status = refused(post(&place, "", "text/html", "<p>").await);
    assert_eq!((status.code, status.reason.as_str()), (415, "UnsupportedMediaType"));
    let status = refused(post(&place, "", "application/json", "{").await);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
}

#[tokio::test]
async fn protobuf_is_refused_with_what_to_do_instead() {
    if differs("kubeapi::negotiation::protobuf_is_refused_with_what_to_do_instead") {
        return;
    }
    let place = place().await;
    let status = refused(post(&place, "", "application/vnd.kubernetes.protobuf", b"k8s\0".to_vec()).await);
    assert_eq!((status.code, status.reason.as_str()), (415, "UnsupportedMediaType"));
    assert!(status.message.contains("use `kubectl apply -f` or `kubectl create -f`"), "{}", status.message);
}

#[tokio::test]
async fn an_object_must_be_what_the_path_says() {
    let place = place().await;
    for body in [
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "a"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "elsewhere"}}),
    ] {
        let status = refused(post(&place, "", "application/json", body.to_string()).await);
        assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"), "{body}");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_told_or_dropped_as_the_client_wishes() {
    let place = place().await;
    let body = |name: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "datta": {}}).to_string()
    };
    let status = refused(post(&place, "?fieldValidation=Strict", "application/json", body("a")).await);
    assert_eq!((status.code, status.reason.as_str()), (400, "BadRequest"));
    assert!(status.message.contains("strict decoding error: unknown field \"datta\""), "{}", status.message);
    for query in ["?fieldValidation=Ignore", "?fieldValidation=Warn", ""] {
        let name = format!("b{}", query.len());
        let created = post(&place, query, "application/json", body(&name)).await.unwrap();
        assert!(created.get("datta").is_none());
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_a_413() {
    let place = place().await;
    let long = vec![b' '; 4 << 20];
    let status = refused(post(&place, "", "application/json", long).await);
    assert_eq!((status.code, status.reason.as_str()), (413, "RequestEntityTooLarge"));
}

#[tokio::test]
async fn an_object_is_answered_in_the_form_that_is_accepted() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[("k", "v")])).await.unwrap();
    let path = format!("{}/a", maps(&place));
    let whole: Value = serde_json::from_str(&get(&place, &path, "*/*").await.unwrap()).unwrap();
    assert_eq!(whole["data"]["k"], "v");
    let go = "application/vnd.kubernetes.protobuf;as=Nonsense, application/json";
    assert!(get(&place, &path, go).await.is_ok());
    let partial =
        get(&place, &path, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").await.unwrap();
    let partial: Value = serde_json::from_str(&partial).unwrap();
    assert_eq!(partial["kind"], "PartialObjectMetadata");
    assert_eq!(partial["metadata"]["name"], "a");
    assert!(partial.get("data").is_none());
    let yaml = get(&place, &path, "application/yaml").await.unwrap();
    assert!(yaml.contains("k: v"), "{yaml}");
    let status = refused(get(&place, &path, "text/html").await);
    assert_eq!((status.code, status.reason.as_str()), (406, "NotAcceptable"));
}

#[tokio::test]
async fn a_list_can_be_of_metadata_only() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[("k", "v")])).await.unwrap();
    let list = api.list_metadata(&ListParams::default().fields("metadata.name=a")).await.unwrap();
    assert_eq!(list.items[0].metadata.name.as_deref(), Some("a"));
}

#[tokio::test]
async fn what_is_not_served_is_a_404_and_what_cannot_be_done_a_405() {
    let place = place().await;
    for path in [
        "/api/v1/unicorns",
        "/apis/no.such.group/v1/things",
        "/api/v1/namespaces/x/pods/y/unknown",
        "/nothing",
    ] {
        let request = Request::get(path).body(Vec::new()).unwrap();
        assert_eq!(refused(place.client.request_text(request).await).code, 404, "{path}");
    }
    let request = Request::put(maps(&place)).body(b"{}".to_vec()).unwrap();
    assert_eq!(refused(place.client.request_text(request).await).code, 405);
    let request = Request::post("/api/v1/configmaps").header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&map("a", &[])).unwrap()).unwrap();
    assert_eq!(refused(place.client.request_text(request).await).code, 405, "in which namespace?");
}

#[tokio::test]
async fn the_version_is_one_of_kubernetes() {
    let place = place().await;
    let version = place.client.apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
    assert!(version.git_version.starts_with("v1."));
    for path in ["/healthz", "/readyz", "/livez"] {
        let request = Request::get(path).body(Vec::new()).unwrap();
        assert_eq!(place.client.request_text(request).await.unwrap(), "ok");
    }
}
