//! Tables: what `kubectl get` prints, in lists, single objects and watches.

use http::Request;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;

use crate::kubeapi::Place;
use crate::kubeapi::objects::map;
use crate::kubeapi::place;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn table(place: &Place, group: &str, rest: &str) -> Value {
    let uri = format!("/{group}/namespaces/{}/{rest}", place.namespace);
    let request = Request::get(uri).header("accept", TABLE).body(Vec::new()).unwrap();
    place.client.request(request).await.unwrap()
}

async fn post(place: &Place, group: &str, plural: &str, object: Value) {
    let uri = format!("/{group}/namespaces/{}/{plural}", place.namespace);
    let request = Request::post(uri).header("content-type", "application/json");
    let request = request.body(object.to_string().into_bytes()).unwrap();
    place.client.request::<Value>(request).await.unwrap();
}

/// The cells of the first row by column name.
fn first(table: &Value) -> Vec<(String, Value)> {
    let names = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned());
    names.zip(table["rows"][0]["cells"].as_array().unwrap().iter().cloned()).collect()
}

fn cell(cells: &[(String, Value)], name: &str) -> Value {
    cells.iter().find(|(column, _)| column == name).map_or(Value::Null, |(_, cell)| cell.clone())
}

#[tokio::test]
async fn a_list_of_pods_says_how_each_is() {
    let place = place().await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    post(&place, "api/v1", "pods", pod).await;
    let table = table(&place, "api/v1", "pods").await;
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let cells = first(&table);
    assert_eq!(cell(&cells, "Name"), "p");
    assert_eq!(cell(&cells, "Ready"), "0/1");
    assert_eq!(cell(&cells, "Status"), "Pending");
    let wide: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|column| column["priority"].as_i64() > Some(0))
        .map(|column| column["name"].as_str().unwrap())
        .collect();
    assert_eq!(wide, ["IP", "Node", "Nominated Node", "Readiness Gates"]);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn a_batch_job_shows_its_completions() {
    let place = place().await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
        "spec": {"completions": 3, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
    });
    post(&place, "apis/batch/v1", "jobs", job).await;
    let cells = first(&table(&place, "apis/batch/v1", "jobs/j").await);
    assert_eq!((cell(&cells, "Completions"), cell(&cells, "Images")), (json!("0/3"), json!("i")));
}

#[tokio::test]
async fn custom_kinds_show_their_printer_columns() {
    let place = place().await;
    let trigger = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Trigger", "metadata": {"name": "t"}, "spec": {"job": {"name": "resize"}}});
    post(&place, "apis/run.kakehi.dev/v1alpha1", "triggers", trigger).await;
    let cells = first(&table(&place, "apis/run.kakehi.dev/v1alpha1", "triggers").await);
    assert_eq!(cells[0], ("Name".to_owned(), json!("t")));
    assert_eq!(cell(&cells, "Job"), "resize");
}

#[tokio::test]
async fn an_event_of_one_group_is_listed_by_the_other() {
    let place = place().await;
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": place.namespace},
        "regarding": {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "namespace": place.namespace},
        "reason": "Started", "note": "it began", "type": "Normal", "action": "Start",
        "reportingController": "example.com/kakehi", "reportingInstance": "k-0", "eventTime": "2024-01-01T00:00:00.000000Z",
    });
    post(&place, "apis/events.k8s.io/v1", "events", event).await;
    let cells = first(&table(&place, "api/v1", "events?fieldSelector=involvedObject.name%3Dj").await);
    assert_eq!((cell(&cells, "Object"), cell(&cells, "Message")), (json!("job/j"), json!("it began")));
    let uri = format!("/api/v1/namespaces/{}/events/e", place.namespace);
    let core: Value = place.client.request(Request::get(uri).body(Vec::new()).unwrap()).await.unwrap();
    assert_eq!(
        (&core["involvedObject"]["kind"], &core["reportingComponent"]),
        (&json!("Job"), &json!("example.com/kakehi"))
    );
}

#[tokio::test]
async fn the_rows_can_hold_the_whole_object_or_nothing() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[("k", "v")])).await.unwrap();
    let whole = table(&place, "api/v1", "configmaps?includeObject=Object").await;
    assert_eq!(whole["rows"][0]["object"]["data"], json!({"k": "v"}));
    let none = table(&place, "api/v1", "configmaps?includeObject=None").await;
    assert_eq!(none["rows"][0]["object"], Value::Null);
    assert!(none["metadata"]["resourceVersion"].is_string());
}

#[tokio::test]
async fn a_watch_sends_tables_of_one_row() {
    let place = place().await;
    let api: Api<ConfigMap> = place.api();
    api.create(&PostParams::default(), &map("a", &[])).await.unwrap();
    let uri = format!("/api/v1/namespaces/{}/configmaps?watch=true&timeoutSeconds=1", place.namespace);
    let request = Request::get(uri).header("accept", TABLE).body(Vec::new()).unwrap();
    let text = place.client.request_text(request).await.unwrap();
    let event: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&event["type"], &event["object"]["kind"]), (&json!("ADDED"), &json!("Table")));
    assert_eq!(event["object"]["rows"][0]["cells"][0], "a");
}
