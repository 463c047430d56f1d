//! The service Executions: who polls, who cancels, who deletes.

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::rpc;
use tonic::Code;
use v2::condition::{CommonReason, ExecutionReason, Reasons, State};

use super::{Api, decode, error, fields, job, response};

/// The condition of that type: its state and its reason.
fn said(execution: &v2::Execution, kind: &str) -> (State, Option<Reasons>) {
    let found = execution.conditions.iter().find(|condition| condition.r#type == kind).unwrap();
    (found.state(), found.reasons)
}

#[tokio::test]
async fn polling_costs_the_api_server_nothing() {
    let mut api = Api::start().await;
    api.create("polled", job("true")).await;
    let operation = api.run("polled").await;
    let begun: v2::Execution = decode(operation.metadata.as_ref().unwrap());
    // From the first moment: nothing more is asked of the API server by us.
    api.wire.cut(true);
    let found = api.execution(&begun.name).await.unwrap();
    assert_eq!(found.uid, begun.uid);
    assert!(api.job("polled").await.is_ok());
    let ended: v2::Execution = decode(&response(api.ended(operation).await));
    assert_eq!(ended.succeeded_count, 1);
    let parent = api.name("polled");
    let request = v2::ListExecutionsRequest { parent, ..v2::ListExecutionsRequest::default() };
    assert_eq!(api.executions.list_executions(request).await.unwrap().into_inner().executions, [ended]);
    // What is not in the cache is asked for.
    let nobody = format!("{}/executions/polled-zzzzz", api.name("polled"));
    assert_eq!(api.execution(&nobody).await.unwrap_err().code(), Code::Unavailable);
    api.wire.cut(false);
    assert_eq!(api.execution(&nobody).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_cancelled_run_is_an_operation_that_was_cancelled() {
    let mut api = Api::start().await;
    api.create("long", job("exec sleep 300")).await;
    let running = api.run("long").await;
    let begun: v2::Execution = decode(running.metadata.as_ref().unwrap());
    let begun = api.running(&begun.name).await;
    let stale = v2::CancelExecutionRequest {
        name: begun.name.clone(),
        etag: "\"other\"".to_owned(),
        validate_only: false,
    };
    assert_eq!(api.executions.cancel_execution(stale).await.unwrap_err().code(), Code::Aborted);
    let judged =
        v2::CancelExecutionRequest { name: begun.name.clone(), etag: String::new(), validate_only: true };
    api.executions.cancel_execution(judged).await.unwrap();
    assert_eq!(api.execution(&begun.name).await.unwrap().etag, begun.etag);
    let request = v2::CancelExecutionRequest {
        name: begun.name.clone(),
        etag: begun.etag.clone(),
        validate_only: false,
    };
    let cancelling = api.executions.cancel_execution(request.clone()).await.unwrap().into_inner();
    assert!(!cancelling.done || !api.execution(&begun.name).await.unwrap().reconciling);
    let stopped: v2::Execution = decode(&response(api.ended(cancelling).await));
    assert_eq!((stopped.cancelled_count, stopped.running_count, stopped.reconciling), (1, 0, false));
    let cancelled = Some(Reasons::ExecutionReason(ExecutionReason::Cancelled.into()));
    assert_eq!(said(&stopped, "Completed"), (State::ConditionFailed, cancelled));
    let end = error(api.ended(running).await);
    assert_eq!(end.code, i32::from(rpc::Code::Cancelled));
    let again = v2::CancelExecutionRequest { etag: String::new(), ..request };
    let again = api.executions.cancel_execution(again).await.unwrap().into_inner();
    assert!(again.done, "cancelling what has ended is done");
}

#[tokio::test]
async fn a_deleted_run_is_gone_at_once() {
    let mut api = Api::start().await;
    api.create("swept", job("true")).await;
    let run = api.run("swept").await;
    let begun: v2::Execution = decode(run.metadata.as_ref().unwrap());
    api.ended(run.clone()).await;
    let request =
        v2::DeleteExecutionRequest { name: begun.name.clone(), ..v2::DeleteExecutionRequest::default() };
    let operation = api.executions.delete_execution(request.clone()).await.unwrap().into_inner();
    assert_eq!(api.execution(&begun.name).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(api.executions.delete_execution(request).await.unwrap_err().code(), Code::NotFound);
    let gone: v2::Execution = decode(&response(operation.clone()));
    assert!(gone.delete_time.is_some());
    let later: v2::Execution = decode(&response(api.ended(operation).await));
    assert_eq!((later.name, later.uid, later.job), (gone.name, gone.uid, gone.job));
    let lost = error(api.ended(run).await);
    assert_eq!(lost.code, i32::from(rpc::Code::NotFound), "{}", lost.message);
}

#[tokio::test]
async fn runs_are_listed_by_job_or_all_of_them_newest_first() {
    let mut api = Api::start().await;
    let mut wanted = Vec::new();
    for id in ["a", "b"] {
        api.create(id, job("true")).await;
        for _ in 0..2 {
            wanted.push(api.run_to_its_end(id).await);
        }
    }
    let of_b = v2::ListExecutionsRequest { parent: api.name("b"), ..v2::ListExecutionsRequest::default() };
    let found = api.executions.list_executions(of_b).await.unwrap().into_inner().executions;
    assert!(found.iter().all(|run| run.job == "b") && found.len() == 2);
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    while seen.len() < 4 {
        let request = v2::ListExecutionsRequest {
            parent: api.name("-"),
            page_size: 3,
            page_token,
            ..v2::ListExecutionsRequest::default()
        };
        let page = api.executions.list_executions(request).await.unwrap().into_inner();
        seen.extend(page.executions);
        page_token = page.next_page_token;
    }
    assert_eq!(page_token, "");
    let times =
        |runs: &[v2::Execution]| runs.iter().map(|run| run.create_time.unwrap().seconds).collect::<Vec<_>>();
    assert!(times(&seen).is_sorted_by(|one, next| one >= next), "{:?}", times(&seen));
    let other = wanted[0].name.replace("/jobs/a/", "/jobs/b/");
    assert_eq!(api.execution(&other).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn a_run_that_cannot_start_says_so_in_cloud_runs_words() {
    let mut api = Api::start().await;
    let task = "{volumes: [{name: s, secret: {secretName: nobody-made-it}}]}";
    api.house.job_of("stuck", "true", "{startDeadlineSeconds: 1}", task).await;
    let ended = api.run_to_its_end("stuck").await;
    let (state, reason) = said(&ended, "Completed");
    let known = [CommonReason::ProgressDeadlineExceeded, CommonReason::SecretsAccessCheckFailed];
    assert_eq!(state, State::ConditionFailed);
    assert!(known.iter().any(|one| reason == Some(Reasons::Reason((*one).into()))), "{reason:?}");
    assert_eq!(
        (said(&ended, "Started").0, said(&ended, "ResourcesAvailable").0),
        (State::ConditionFailed, State::ConditionFailed)
    );
}

#[tokio::test]
async fn a_run_that_is_asked_for_again_with_its_id_is_one_run() {
    let mut api = Api::without_controllers().await;
    api.jobs
        .create_job(v2::CreateJobRequest {
            parent: api.parent(),
            job: Some(job("true")),
            job_id: "again".to_owned(),
            validate_only: false,
        })
        .await
        .unwrap();
    let mut run = async |id: Option<&str>| {
        let message = v2::RunJobRequest { name: api.name("again"), ..v2::RunJobRequest::default() };
        let mut request = tonic::Request::new(message);
        if let Some(id) = id {
            request.metadata_mut().insert("x-goog-request-id", id.parse().unwrap());
        }
        let operation = api.jobs.run_job(request).await?.into_inner();
        Ok::<_, tonic::Status>(decode::<v2::Execution>(operation.metadata.as_ref().unwrap()).name)
    };
    let ids = ["0d3f9c1e-5f2a-4d7e-9a55-7a8f0f6f5b11", "0d3f9c1e-5f2a-4d7e-9a55-7a8f0f6f5b12"];
    let first = run(Some(ids[0])).await.unwrap();
    assert_eq!(run(Some(ids[0])).await.unwrap(), first);
    let others =
        [run(Some(ids[1])).await.unwrap(), run(None).await.unwrap(), run(None).await.unwrap(), first];
    assert_eq!(others.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{others:?}");
    assert_eq!(fields(&run(Some("1")).await.unwrap_err()), ["x-goog-request-id"]);
}
