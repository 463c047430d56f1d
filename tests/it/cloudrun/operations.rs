//! Operations, which nobody keeps.

use std::time::Duration;

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::longrunning::{
    CancelOperationRequest, DeleteOperationRequest, GetOperationRequest, ListOperationsRequest,
    WaitOperationRequest,
};
use googleapis_tonic_google_cloud_run_v2::google::rpc;
use kakehi::cloudrun::CloudRun;
use tonic::Code;
use tower::ServiceExt;

use super::{Api, decode, error, job, response};

#[tokio::test]
async fn another_process_knows_them_all() {
    let mut api = Api::start().await;
    let request = v2::CreateJobRequest {
        parent: api.parent(),
        job: Some(job("true")),
        job_id: "known".to_owned(),
        validate_only: false,
    };
    let created = api.jobs.create_job(request).await.unwrap().into_inner();
    let created = api.ended(created).await;
    // One that has followed nothing, and is asked at once.
    let other = CloudRun::new(api.house.client.clone(), kakehi::auth::Gate::open()).router();
    let service =
        other.map_request(|request: http::Request<tonic::body::Body>| request.map(axum::body::Body::new));
    // Links lead back the way on which a request has come, so it is asked under the same name.
    let here = format!("http://{}", api.address).parse().unwrap();
    let mut operations = super::OperationsClient::with_origin(service, here);
    let request = GetOperationRequest { name: created.name.clone() };
    assert_eq!(operations.get_operation(request).await.unwrap().into_inner(), created);
    let run = api.run("known").await;
    let run = api.ended(run).await;
    let request = GetOperationRequest { name: run.name.clone() };
    assert_eq!(operations.get_operation(request).await.unwrap().into_inner(), run);
}

#[tokio::test]
async fn waiting_ends_with_the_run_or_with_the_time() {
    let mut api = Api::start().await;
    api.create("slow", job("exec sleep 300")).await;
    let run = api.run("slow").await;
    let begun: v2::Execution = decode(run.metadata.as_ref().unwrap());
    api.running(&begun.name).await;
    let wait = |timeout: Duration| WaitOperationRequest {
        name: run.name.clone(),
        timeout: Some(timeout.try_into().unwrap()),
    };
    let early = api.operations.wait_operation(wait(Duration::from_millis(50))).await.unwrap().into_inner();
    assert!(!early.done);
    let mut operations = api.operations.clone();
    let (request, cancel) =
        (wait(Duration::from_secs(120)), CancelOperationRequest { name: run.name.clone() });
    let waiting = tokio::spawn(async move { operations.wait_operation(request).await.unwrap().into_inner() });
    api.operations.cancel_operation(cancel.clone()).await.unwrap();
    let end = error(waiting.await.unwrap());
    assert_eq!(end.code, i32::from(rpc::Code::Cancelled));
    api.operations.cancel_operation(cancel).await.expect("it is done; there is nothing to cancel");
    api.operations.delete_operation(DeleteOperationRequest { name: run.name.clone() }).await.unwrap();
}

#[tokio::test]
async fn the_runs_of_a_place_are_listed() {
    let mut api = Api::start().await;
    api.create("quick", job("true")).await;
    api.create("slow", job("exec sleep 300")).await;
    let quick = api.run("quick").await;
    let quick = api.ended(quick).await;
    let slow = api.run("slow").await;
    let list = |filter: &str| ListOperationsRequest {
        name: api.parent(),
        filter: filter.to_owned(),
        ..ListOperationsRequest::default()
    };
    let requests = [list(""), list("done=true"), list("done = false")];
    let mut found = Vec::new();
    for request in requests {
        let page = api.operations.list_operations(request).await.unwrap().into_inner();
        let mut names: Vec<_> = page.operations.into_iter().map(|operation| operation.name).collect();
        names.sort();
        found.push(names);
    }
    let mut both = vec![quick.name.clone(), slow.name.clone()];
    both.sort();
    assert_eq!(found, [both, vec![quick.name], vec![slow.name]]);
    let request = ListOperationsRequest {
        name: api.parent(),
        filter: "metadata.x = 1".to_owned(),
        ..ListOperationsRequest::default()
    };
    assert_eq!(super::fields(&api.operations.list_operations(request).await.unwrap_err()), ["filter"]);
}

#[tokio::test]
async fn what_was_never_an_operation_is_not_found() {
    let mut api = Api::start().await;
    let parent = api.parent();
    for id in ["x", "run.a.b", "validated", "create-job..u.1"] {
        let request = GetOperationRequest { name: format!("{parent}/operations/{id}") };
        let refused = api.operations.get_operation(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{id}");
    }
    // The id of a Job that was made anew under the same name speaks of the first.
    let first = api.create("twice", job("true")).await;
    let name = format!("{parent}/operations/create-job.twice.{}.1", first.uid);
    let request = v2::DeleteJobRequest { name: first.name, ..v2::DeleteJobRequest::default() };
    api.jobs.delete_job(request).await.unwrap();
    let second = crate::support::eventually("the name is free", async || {
        let request = v2::CreateJobRequest {
            parent: parent.clone(),
            job: Some(job("true")),
            job_id: "twice".to_owned(),
            validate_only: false,
        };
        api.jobs.clone().create_job(request).await
    })
    .await;
    let second = api.ended(second.into_inner()).await;
    response(second);
    let found = api.operations.get_operation(GetOperationRequest { name }).await.unwrap().into_inner();
    assert_eq!(error(found).code, i32::from(rpc::Code::NotFound));
}
