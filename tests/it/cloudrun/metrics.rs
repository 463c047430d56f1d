//! What the API counts, whichever protocol a call came by.

use axum::body::Body;
use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use http::Request;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tower::ServiceExt;

use super::Api;

#[tokio::test]
async fn every_answer_is_counted_by_method_and_code() {
    let mut api = Api::without_controllers().await;
    let mut registry = Registry::default();
    api.server.register(&mut registry);
    let list = v2::ListJobsRequest { parent: api.parent(), ..v2::ListJobsRequest::default() };
    api.jobs.list_jobs(list).await.unwrap();
    let missing = v2::GetJobRequest { name: api.name("missing") };
    api.jobs.get_job(missing).await.unwrap_err();
    let (v1, place) =
        (format!("/apis/run.googleapis.com/v1/namespaces/{}", api.house.namespace), api.parent());
    for path in [
        format!("{v1}/jobs"),
        format!("{v1}/jobs/missing"),
        format!("{v1}/executions/missing"),
        format!("/v2/{place}/executions"),
        format!("/v2/{place}/jobs/-/executions"),
    ] {
        let request = Request::get(&path).body(Body::empty()).unwrap();
        api.server.router().oneshot(request).await.unwrap();
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for (labels, count) in [
        (r#"protocol="grpc",method="list_jobs",code="OK""#, 1),
        (r#"protocol="grpc",method="get_job",code="NOT_FOUND""#, 1),
        (r#"protocol="rest",method="list_jobs",code="OK""#, 1),
        (r#"protocol="rest",method="get_job",code="NOT_FOUND""#, 1),
        (r#"protocol="rest",method="get_execution",code="NOT_FOUND""#, 1),
        (r#"protocol="rest",method="other",code="NOT_FOUND""#, 1),
        (r#"protocol="rest",method="list_executions",code="OK""#, 1),
    ] {
        let line = format!("kakehi_api_calls_total{{{labels}}} {count}");
        assert!(text.contains(&line), "{line}\n{text}");
    }
    let line = r#"kakehi_api_call_duration_seconds_count{protocol="grpc",method="get_job"} 1"#;
    assert!(text.contains(line), "{text}");
}
