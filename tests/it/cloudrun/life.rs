//! The whole life of a Job: created, run, looked at, and gone.

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::rpc::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{Api, decode, error, fields, job, response};

#[tokio::test]
async fn a_job_is_created_and_run_to_its_end() {
    let mut api = Api::start().await;
    let created = api.create("hello", job("true")).await;
    assert_eq!(created.name, api.name("hello"));
    let ready = created.terminal_condition.unwrap();
    assert_eq!((ready.r#type.as_str(), ready.state()), ("Ready", v2::condition::State::ConditionSucceeded));

    let operation = api.run("hello").await;
    let begun: v2::Execution = decode(operation.metadata.as_ref().unwrap());
    assert!(begun.name.starts_with(&format!("{}/executions/hello-", api.name("hello"))), "{}", begun.name);
    let answer = response(api.ended(operation).await);
    assert_eq!(answer.type_url, "type.googleapis.com/google.cloud.run.v2.Execution");
    let ended: v2::Execution = decode(&answer);
    assert_eq!(
        (ended.name.as_str(), ended.succeeded_count, ended.reconciling),
        (begun.name.as_str(), 1, false)
    );
    assert_eq!(api.execution(&begun.name).await.unwrap(), ended);
}

#[tokio::test]
async fn a_run_that_fails_is_an_operation_that_fails() {
    let mut api = Api::start().await;
    api.create("broken", job("echo no luck; exit 3")).await;
    let operation = api.run("broken").await;
    let end = error(api.ended(operation).await);
    assert_eq!(end.code, i32::from(Code::Unknown));
    assert!(end.message.contains("exit code 3"), "{}", end.message);
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_by_name() {
    let mut api = Api::without_controllers().await;
    let mut wanted = job("true");
    let task = wanted.template.as_mut().unwrap().template.as_mut().unwrap();
    task.encryption_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k".to_owned();
    task.containers[0].image = String::new();
    let request = v2::CreateJobRequest {
        parent: api.parent(),
        job: Some(wanted),
        job_id: "odd".to_owned(),
        validate_only: false,
    };
    let refused = api.jobs.create_job(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    let wanted = ["job.template.template.encryption_key", "job.template.template.containers[0].image"];
    assert_eq!(fields(&refused), wanted);
    assert!(api.server.is_ready());
    assert_eq!(api.wire.writes(""), [""; 0], "nothing was tried");
}

#[tokio::test]
async fn health_is_told_in_grpcs_own_words() {
    let mut api = Api::without_controllers().await;
    let request = HealthCheckRequest { service: String::new() };
    let found = api.health.check(request).await.unwrap().into_inner();
    assert_eq!(found.status(), ServingStatus::Serving);
}
