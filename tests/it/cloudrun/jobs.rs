//! The service Jobs: what is written, what is read, and what comes between.

use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use googleapis_tonic_google_cloud_run_v2::google::iam::v1 as iam;
use kakehi::api::{Execution, Job};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tonic::Code;

use super::{Api, about, decode, fields, job, response};
use crate::support::eventually;

fn create(api: &Api, id: &str) -> v2::CreateJobRequest {
    v2::CreateJobRequest {
        parent: api.parent(),
        job: Some(job("true")),
        job_id: id.to_owned(),
        validate_only: false,
    }
}

#[tokio::test]
async fn what_was_made_is_there_at_once_and_gone_at_once() {
    let mut api = Api::start().await;
    api.jobs.create_job(create(&api, "brief")).await.unwrap();
    let made = api.job("brief").await.unwrap();
    let again = api.jobs.create_job(create(&api, "brief")).await.unwrap_err();
    assert_eq!(
        (again.code(), about(&again)),
        (Code::AlreadyExists, vec![("job".to_owned(), "brief".to_owned())])
    );

    let run = api.run_to_its_end("brief").await;
    let name = api.name("brief");
    let request = v2::DeleteJobRequest { name, ..v2::DeleteJobRequest::default() };
    let operation = api.jobs.delete_job(request.clone()).await.unwrap().into_inner();
    let missing = api.job("brief").await.unwrap_err();
    assert_eq!(
        (missing.code(), about(&missing)),
        (Code::NotFound, vec![("job".to_owned(), "brief".to_owned())])
    );
    assert_eq!(api.jobs.delete_job(request).await.unwrap_err().code(), Code::NotFound);
    let gone: v2::Job = decode(&response(operation.clone()));
    assert!(gone.delete_time.is_some());
    assert_eq!((gone.uid.as_str(), gone.template), (made.uid.as_str(), made.template));
    let later: v2::Job = decode(&response(api.ended(operation).await));
    assert_eq!((later.name, later.uid), (gone.name, made.uid));
    eventually("its runs are gone, too", async || {
        match api.executions.clone().get_execution(v2::GetExecutionRequest { name: run.name.clone() }).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn an_etag_outlives_a_run_and_not_a_change() {
    let mut api = Api::start().await;
    let first = api.create("tagged", job("true")).await;
    api.run_to_its_end("tagged").await;
    let counted = eventually("the run is counted", async || {
        let found = api
            .jobs
            .clone()
            .get_job(v2::GetJobRequest { name: first.name.clone() })
            .await
            .unwrap()
            .into_inner();
        let latest = found.latest_created_execution.as_ref().map(v2::ExecutionReference::completion_status);
        let succeeded = Some(v2::execution_reference::CompletionStatus::ExecutionSucceeded);
        if found.execution_count == 1 && latest == succeeded { Ok(found) } else { Err(found) }
    })
    .await;
    assert_eq!(counted.etag, first.etag);

    let mut change = counted.clone();
    change.template.as_mut().unwrap().task_count = 2;
    let request =
        |job: &v2::Job| v2::UpdateJobRequest { job: Some(job.clone()), ..v2::UpdateJobRequest::default() };
    let operation = api.jobs.update_job(request(&change)).await.unwrap().into_inner();
    let changed: v2::Job = decode(&response(api.ended(operation).await));
    assert_eq!(
        (changed.generation, changed.template.as_ref().unwrap().task_count),
        (first.generation + 1, 2)
    );
    assert_ne!(changed.etag, first.etag);

    let stale = api.jobs.update_job(request(&change)).await.unwrap_err();
    assert_eq!((stale.code(), about(&stale).len()), (Code::Aborted, 1));
    let (name, etag) = (first.name.clone(), first.etag.clone());
    let run = v2::RunJobRequest { name: name.clone(), etag: etag.clone(), ..v2::RunJobRequest::default() };
    assert_eq!(api.jobs.run_job(run).await.unwrap_err().code(), Code::Aborted);
    let delete = v2::DeleteJobRequest { name, etag, ..v2::DeleteJobRequest::default() };
    assert_eq!(api.jobs.delete_job(delete).await.unwrap_err().code(), Code::Aborted);
    let blind = v2::Job { etag: String::new(), ..change };
    assert!(api.jobs.update_job(request(&blind)).await.is_ok());
}

#[tokio::test]
async fn an_update_leaves_alone_what_there_are_no_words_for() {
    let mut api = Api::without_controllers().await;
    let task = "{volumes: [{name: conf, configMap: {name: c}}], tolerations: [{key: k, operator: Exists}]}";
    api.house.job_of("rich", "true", "{startDeadlineSeconds: 9}", task).await;
    let mut read = api.job("rich").await.unwrap();
    read.template.as_mut().unwrap().parallelism = 3;
    let request = v2::UpdateJobRequest { job: Some(read), ..v2::UpdateJobRequest::default() };
    api.jobs.update_job(request).await.unwrap();
    let found: Job = api.house.api().get("rich").await.unwrap();
    let spec = serde_json::to_value(&found.spec.template.spec).unwrap();
    assert_eq!((&spec["parallelism"], &spec["startDeadlineSeconds"]), (&json!(3), &json!(9)));
    assert_eq!(spec["template"]["spec"]["volumes"], json!([{"name": "conf", "configMap": {"name": "c"}}]));
    assert_eq!(spec["template"]["spec"]["tolerations"], json!([{"key": "k", "operator": "Exists"}]));
}

#[tokio::test]
async fn what_is_missing_is_made_only_if_that_is_asked_for() {
    let mut api = Api::without_controllers().await;
    let wanted = v2::Job { name: api.name("late"), ..job("true") };
    let request = |allow_missing| v2::UpdateJobRequest {
        job: Some(wanted.clone()),
        validate_only: false,
        allow_missing,
    };
    assert_eq!(api.jobs.update_job(request(false)).await.unwrap_err().code(), Code::NotFound);
    api.jobs.update_job(request(true)).await.unwrap();
    assert_eq!(api.job("late").await.unwrap().generation, 1);
}

#[tokio::test]
async fn a_request_that_is_only_judged_changes_nothing() {
    let mut api = Api::start().await;
    let made = api.create("kept", job("true")).await;
    let before = api.wire.writes("").len();
    let judged = v2::CreateJobRequest { validate_only: true, ..create(&api, "new") };
    let operation = api.jobs.create_job(judged).await.unwrap().into_inner();
    assert_eq!(decode::<v2::Job>(&response(operation)).name, api.name("new"));
    let twice = v2::CreateJobRequest { validate_only: true, ..create(&api, "kept") };
    assert_eq!(api.jobs.create_job(twice).await.unwrap_err().code(), Code::AlreadyExists);

    let mut change = made.clone();
    change.template.as_mut().unwrap().task_count = 7;
    let judged = v2::UpdateJobRequest { job: Some(change), validate_only: true, allow_missing: false };
    let operation = api.jobs.update_job(judged).await.unwrap().into_inner();
    assert_eq!(decode::<v2::Job>(&response(operation)).template.unwrap().task_count, 7);

    let name = made.name.clone();
    let judged =
        v2::RunJobRequest { name: name.clone(), validate_only: true, ..v2::RunJobRequest::default() };
    let operation = api.jobs.run_job(judged).await.unwrap().into_inner();
    assert!(
        decode::<v2::Execution>(&response(operation)).name.starts_with(&format!("{name}/executions/kept-"))
    );
    let judged = v2::DeleteJobRequest { name, validate_only: true, ..v2::DeleteJobRequest::default() };
    response(api.jobs.delete_job(judged).await.unwrap().into_inner());

    assert_eq!(api.job("new").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(api.job("kept").await.unwrap().etag, made.etag);
    let runs = api.house.api::<Execution>().list(&ListParams::default()).await.unwrap();
    assert_eq!(runs.items.len(), 0);
    // The dry runs went over the wire like other writes.
    assert_eq!(api.wire.writes("").len() - before, 4, "{:?}", api.wire.writes(""));
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let mut api = Api::without_controllers().await;
    for id in ["one", "two", "three"] {
        api.jobs.create_job(create(&api, id)).await.unwrap();
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            v2::ListJobsRequest { parent: api.parent(), page_size: 2, page_token, show_deleted: true };
        let page = api.jobs.list_jobs(request).await.unwrap().into_inner();
        assert!(page.jobs.len() <= 2);
        seen.extend(page.jobs.into_iter().map(|job| job.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, ["one", "three", "two"].map(|id| api.name(id)));
    let request = v2::ListJobsRequest {
        parent: api.parent(),
        page_token: "x".into(),
        ..v2::ListJobsRequest::default()
    };
    assert_eq!(fields(&api.jobs.list_jobs(request).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn names_that_are_none_are_refused_with_their_field() {
    let mut api = Api::without_controllers().await;
    for id in ["", "Big", "-a", "a_b", &"a".repeat(47)] {
        let refused = api.jobs.create_job(create(&api, id)).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec!["job_id".to_owned()]),
            "{id}"
        );
    }
    let request = v2::CreateJobRequest { parent: "projects/p".to_owned(), ..create(&api, "a") };
    assert_eq!(fields(&api.jobs.create_job(request).await.unwrap_err()), ["parent"]);
    let request =
        v2::CreateJobRequest { parent: "projects/no-such-place/locations/l".into(), ..create(&api, "a") };
    let refused = api.jobs.create_job(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused:?}");
    let refused = api.jobs.get_job(v2::GetJobRequest { name: "jobs/a".to_owned() }).await.unwrap_err();
    assert_eq!(fields(&refused), ["name"]);
}

#[tokio::test]
async fn there_are_no_policies() {
    let mut api = Api::without_controllers().await;
    let request =
        iam::GetIamPolicyRequest { resource: api.name("any"), ..iam::GetIamPolicyRequest::default() };
    assert_eq!(api.jobs.get_iam_policy(request).await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_run_may_change_what_it_needs_and_keeps_a_record_of_it() {
    let mut api = Api::start().await;
    let mut template = job("[ \"$WORD,$1\" = 'for $(once),two words' ]");
    let container = &mut template.template.as_mut().unwrap().template.as_mut().unwrap().containers[0];
    container.args = vec!["one".to_owned()];
    let value = |value: &str| Some(v2::env_var::Values::Value(value.to_owned()));
    container.env = vec![v2::EnvVar { name: "WORD".to_owned(), values: value("always") }];
    api.create("varied", template).await;

    let one = v2::run_job_request::overrides::ContainerOverride {
        args: vec!["two words".to_owned()],
        env: vec![v2::EnvVar { name: "WORD".to_owned(), values: value("for $(once)") }],
        ..Default::default()
    };
    let overrides = v2::run_job_request::Overrides {
        container_overrides: vec![one.clone()],
        task_count: 2,
        timeout: Some(prost_types::Duration { seconds: 77, nanos: 0 }),
    };
    let request = |overrides| v2::RunJobRequest {
        name: api.name("varied"),
        overrides: Some(overrides),
        ..v2::RunJobRequest::default()
    };
    let (good, bad) = (
        request(overrides.clone()),
        request(v2::run_job_request::Overrides {
            container_overrides: vec![v2::run_job_request::overrides::ContainerOverride {
                clear_args: true,
                ..one
            }],
            ..overrides
        }),
    );
    let operation = api.jobs.run_job(good).await.unwrap().into_inner();
    let ended: v2::Execution = decode(&response(api.ended(operation).await));
    assert_eq!((ended.task_count, ended.succeeded_count), (2, 2));
    let shown = ended.template.unwrap();
    assert_eq!(
        (shown.timeout.unwrap().seconds, &shown.containers[0].args[..]),
        (77, &["two words".to_owned()][..])
    );
    let id = ended.name.rsplit('/').next().unwrap();
    let recorded = api.house.execution(id).await.spec.overrides.unwrap();
    assert_eq!((recorded.task_count, recorded.timeout_seconds), (Some(2), Some(77)));
    assert_eq!(api.job("varied").await.unwrap().template.unwrap().task_count, 1, "the job is as it was");
    let forged = Patch::Merge(json!({"spec": {"overrides": null}}));
    let refused = api.house.api::<Execution>().patch(id, &PatchParams::default(), &forged).await.unwrap_err();
    assert!(refused.to_string().contains("is fixed when the run is created"), "{refused}");

    let refused = api.jobs.run_job(bad).await.unwrap_err();
    assert_eq!(fields(&refused), ["overrides.container_overrides[0].args"]);
}
