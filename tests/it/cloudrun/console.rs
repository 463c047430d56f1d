//! What `log_uri` leads to: the page of a run, by every way on which a client gets the link.

use axum::body::Body;
use googleapis_tonic_google_cloud_run_v2::google::cloud::run::v2;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Api, decode, job};

/// A program whose output is an attack on whoever shows it as HTML.
const SCRIPT: &str = "echo \"<script>alert('$CLOUD_RUN_TASK_INDEX')</script> & co\"";

fn line(task: i32) -> String {
    format!("[task {task}] &lt;script&gt;alert(&#39;{task}&#39;)&lt;/script&gt; &amp; co\n")
}

/// Fetches that link from the server.
async fn fetch(api: &Api, link: &str, headers: &[(&str, &str)]) -> (http::response::Parts, String) {
    let mut request = Request::get(link);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = api.server.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    (parts, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

/// The answer to a GET of REST, sent to the host at which the server listens.
async fn json(api: &Api, path: &str) -> Value {
    let (_, text) = fetch(api, path, &[(HOST.as_str(), &api.address.to_string())]).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

/// A run of two tasks that has ended.
async fn ended() -> (Api, v2::Execution) {
    let mut api = Api::start().await;
    let mut wanted = job(SCRIPT);
    wanted.template.as_mut().unwrap().task_count = 2;
    api.create("shouts", wanted).await;
    let run = api.run_to_its_end("shouts").await;
    assert_eq!(run.succeeded_count, 2);
    (api, run)
}

fn id(run: &v2::Execution) -> &str {
    run.name.rsplit('/').next().unwrap()
}

#[tokio::test]
async fn every_link_leads_to_what_the_tasks_wrote() {
    let (mut api, run) = ended().await;
    let request = v2::ListExecutionsRequest { parent: api.name("shouts"), ..Default::default() };
    let listed = api.executions.list_executions(request).await.unwrap().into_inner().executions;
    let request = v2::ListTasksRequest { parent: run.name.clone(), ..Default::default() };
    let tasks = api.tasks.list_tasks(request).await.unwrap().into_inner().tasks;
    let request = v2::GetTaskRequest { name: tasks[1].name.clone() };
    let task = api.tasks.get_task(request).await.unwrap().into_inner();
    let request =
        v2::CancelExecutionRequest { name: run.name.clone(), validate_only: true, ..Default::default() };
    let operation = api.executions.cancel_execution(request).await.unwrap().into_inner();
    let in_operation: v2::Execution = decode(operation.metadata.as_ref().unwrap());

    let v1 = format!("/apis/run.googleapis.com/v1/namespaces/{}", api.house.namespace);
    let of_run = format!("labelSelector=run.googleapis.com%2Fexecution%3D{}", id(&run));
    let text = |value: &Value, pointer: &str| value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let whole = [
        run.log_uri.clone(),
        listed[0].log_uri.clone(),
        in_operation.log_uri,
        text(&json(&api, &format!("/v2/{}", run.name)).await, "/logUri"),
        text(&json(&api, &format!("{v1}/executions/{}", id(&run))).await, "/status/logUri"),
        text(&json(&api, &format!("{v1}/executions")).await, "/items/0/status/logUri"),
    ];
    let single = [
        tasks[1].log_uri.clone(),
        task.log_uri,
        text(&json(&api, &format!("/v2/{}", tasks[1].name)).await, "/logUri"),
        text(&json(&api, &format!("{v1}/tasks?{of_run}")).await, "/items/1/status/logUri"),
        text(&json(&api, &format!("{v1}/tasks/{}-task1", id(&run))).await, "/status/logUri"),
    ];
    let page =
        format!("http://{}/console/namespaces/{}/executions/{}", api.address, api.house.namespace, id(&run));
    assert!(whole.iter().all(|link| *link == page), "{whole:?}");
    assert!(single.iter().all(|link| *link == format!("{page}?task=1")), "{single:?}");

    let (head, all) = fetch(&api, &page, &[]).await;
    assert_eq!(head.status, StatusCode::OK, "{all}");
    assert!(all.contains(&line(0)) && all.contains(&line(1)) && all.contains("Succeeded"), "{all}");
    let (head, one) = fetch(&api, &single[0], &[]).await;
    assert_eq!(head.status, StatusCode::OK, "{one}");
    assert!(one.contains(&line(1)) && !one.contains(&line(0)), "{one}");
}

#[tokio::test]
async fn a_page_runs_nothing_that_a_task_wrote() {
    let (api, run) = ended().await;
    let (head, page) = fetch(&api, &run.log_uri, &[]).await;
    assert!(page.contains(&line(0)) && !page.contains("<script"), "{page}");
    assert_eq!(head.headers[CONTENT_TYPE], "text/html; charset=utf-8");
    assert_eq!(head.headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    let policy = head.headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn a_page_is_for_whoever_opens_it_and_for_no_other_page() {
    let (api, run) = ended().await;
    let (path, here) = (run.log_uri.split_once("/console").unwrap().1, api.address.to_string());
    let path = format!("/console{path}");
    for (headers, status) in [
        (&[("host", here.as_str())][..], StatusCode::OK),
        (&[("host", &here), ("sec-fetch-site", "none")], StatusCode::OK),
        (&[("host", &here), ("sec-fetch-site", "same-origin")], StatusCode::OK),
        (&[("host", &here), ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[("host", &here), ("origin", "https://evil.example")], StatusCode::FORBIDDEN),
        // A name that somebody gave to this address.
        (&[("host", "evil.example:8422")], StatusCode::FORBIDDEN),
    ] {
        let (head, body) = fetch(&api, &path, headers).await;
        assert_eq!(head.status, status, "{headers:?}: {body}");
    }
    let base = path.rsplit_once('/').unwrap().0;
    for (link, status) in [
        (format!("{base}/nobody"), StatusCode::NOT_FOUND),
        (format!("{base}/..%2Fx"), StatusCode::NOT_FOUND),
        (format!("{path}?task=2"), StatusCode::NOT_FOUND),
        (format!("{path}?task=x"), StatusCode::BAD_REQUEST),
        ("/console/namespaces/A_B/executions/x".to_owned(), StatusCode::BAD_REQUEST),
        ("/console/".to_owned(), StatusCode::NOT_FOUND),
    ] {
        let (head, body) = fetch(&api, &link, &[("host", &here)]).await;
        assert_eq!(head.status, status, "{link}: {body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"]["message"].is_string(), "{body}");
    }
}
