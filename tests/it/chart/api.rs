//! The API of Cloud Run by its own account: everything that it offers, with no other right than the chart gives it.

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::EVERYTHING;
use super::cluster::Installed;
use crate::cloudrun::{Api, decode, job, response};
use crate::runs::House;

/// Name of that account in [`EVERYTHING`].
const ACCOUNT: &str = "front";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_offers_everything_by_its_own_account() {
    let Some(installed) = Installed::of(EVERYTHING).await else { return };
    let house = House::without_controllers().await;
    let mut api = Api::by(house, &installed.client_as(ACCOUNT).await).await;
    api.house.start_controllers();

    let created = api.create("work", job("echo done")).await;
    let changed = v2::UpdateJobRequest {
        job: Some(v2::Job { labels: [("team".to_owned(), "a".to_owned())].into(), ..created }),
        ..v2::UpdateJobRequest::default()
    };
    let operation = api.jobs.update_job(changed).await.unwrap().into_inner();
    api.ended(operation).await;

    let ended = api.run_to_its_end("work").await;
    assert_eq!(ended.succeeded_count, 1);
    let request = v2::ListTasksRequest { parent: ended.name.clone(), ..v2::ListTasksRequest::default() };
    let tasks = api.tasks.list_tasks(request).await.unwrap().into_inner().tasks;
    assert_eq!(tasks.len(), 1);
    let lines = entries(&api).await;
    assert!(lines.iter().any(|line| line == "done"), "{lines:?}");

    api.create("slow", job("exec sleep 300")).await;
    let running = api.run("slow").await;
    let begun: v2::Execution = decode(running.metadata.as_ref().unwrap());
    api.running(&begun.name).await;
    let cancel =
        v2::CancelExecutionRequest { name: begun.name.clone(), ..v2::CancelExecutionRequest::default() };
    let cancelled = api.executions.cancel_execution(cancel).await.unwrap().into_inner();
    let stopped: v2::Execution = decode(&response(api.ended(cancelled).await));
    assert_eq!(stopped.cancelled_count, 1);

    let delete = v2::DeleteExecutionRequest { name: begun.name, ..v2::DeleteExecutionRequest::default() };
    api.executions.delete_execution(delete).await.unwrap();
    let delete = v2::DeleteJobRequest { name: api.name("work"), ..v2::DeleteJobRequest::default() };
    api.jobs.delete_job(delete).await.unwrap();
    assert_eq!(api.job("work").await.unwrap_err().code(), tonic::Code::NotFound);
}

/// The lines of the Job `work`, as `gcloud run jobs logs read` asks for them.
async fn entries(api: &Api) -> Vec<String> {
    let project = &api.house.namespace;
    let filter =
        "resource.type = cloud_run_job \n AND resource.labels.job_name = work \n AND severity >= DEFAULT";
    let asked = json!({"resourceNames": [format!("projects/{project}")], "filter": filter, "orderBy": "timestamp desc"});
    let request = Request::post("/v2/entries:list")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(asked.to_string()))
        .unwrap();
    let response = api.server.router().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let lines = answer["entries"].as_array().unwrap().iter();
    lines.map(|line| line["textPayload"].as_str().unwrap().to_owned()).collect()
}
