//! The API over REST: what clients of v1 rely on beyond what `gcloud` shows, and that every answer is Google's.

use std::collections::BTreeSet;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Api;
use crate::support::eventually;

const HOST: &str = "http://us-central1-anything.invalid";

/// One request, in the form in which a proxy gets it.
async fn ask(api: &Api, method: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
    ask_as(api, "somebody", method, path, body).await
}

async fn ask_as(
    api: &Api,
    agent: &str,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = Request::builder().method(method).uri(format!("{HOST}{path}")).header("user-agent", agent);
    // As Google's clients do, with a body and without.
    let request = request.header("content-type", "application/json");
    let answer = api.server.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let status = answer.status();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text:?}")))
}

fn base(api: &Api) -> String {
    format!("/apis/run.googleapis.com/v1/namespaces/{}", api.house.namespace)
}

fn job(name: &str, script: &str) -> Value {
    let container = json!({"image": "none", "command": ["/bin/sh", "-c", script, "sh"]});
    let task = json!({"containers": [container], "maxRetries": 0});
    json!({
        "apiVersion": "run.googleapis.com/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"team": "a"}},
        "spec": {"template": {"spec": {"template": {"spec": task}}}},
    })
}

async fn create(api: &Api, name: &str, script: &str) -> Value {
    let (status, made) =
        ask(api, Method::POST, &format!("{}/jobs", base(api)), Some(&job(name, script))).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    made
}

/// Runs a Job as the command with that id, and returns the name of the run.
async fn run(api: &Api, job: &str, invocation: Option<&str>) -> String {
    let agent =
        invocation.map_or("curl/8".to_owned(), |id| format!("gcloud/1 invocation-id/{id} environment/x"));
    let path = format!("{}/jobs/{job}:run", base(api));
    let (status, begun) = ask_as(api, &agent, Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    begun["metadata"]["name"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_command_that_is_sent_again_is_one_run() {
    let api = Api::without_controllers().await;
    create(&api, "again", "true").await;
    let id = "0123456789abcdef0123456789abcdef";
    let first = run(&api, "again", Some(id)).await;
    for _ in 0..4 {
        assert_eq!(run(&api, "again", Some(id)).await, first);
    }
    let others = [
        run(&api, "again", Some("fedcba9876543210fedcba9876543210")).await,
        run(&api, "again", None).await,
        run(&api, "again", None).await,
    ];
    let all: BTreeSet<String> = others.into_iter().chain([first]).collect();
    assert_eq!(all.len(), 4);
}

#[tokio::test]
async fn runs_are_chosen_by_labels_that_nobody_stored_and_come_in_pages() {
    let api = Api::start().await;
    create(&api, "one", "true").await;
    create(&api, "other", "sleep 300").await;
    let ended = run(&api, "one", None).await;
    let goes_on = run(&api, "other", None).await;
    let list = |query: &str| {
        let path = format!("{}/executions?alt=json{query}", base(&api));
        let api = &api;
        async move {
            let (status, found) = ask(api, Method::GET, &path, None).await;
            assert_eq!(status, StatusCode::OK, "{found}");
            let items = found["items"].as_array().unwrap();
            let names: Vec<String> =
                items.iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect();
            (names, found["metadata"]["continue"].as_str().unwrap_or_default().to_owned())
        }
    };
    eventually("the short run has ended", async || {
        let active = "&labelSelector=run.googleapis.com%2FservingState+%3D+Active";
        let (names, _) = list(active).await;
        if names == [goes_on.clone()] { Ok(()) } else { Err(names) }
    })
    .await;
    let of_one = "&labelSelector=run.googleapis.com%2Fjob%20%3D%20one";
    assert_eq!(list(of_one).await.0, [ended.as_str()]);
    let (first, token) = list("&limit=1").await;
    let (second, end) = list(&format!("&limit=1&continue={token}")).await;
    let both: BTreeSet<String> = first.into_iter().chain(second).collect();
    assert_eq!((both, end.as_str()), (BTreeSet::from([ended, goes_on]), ""));
    let stored = api.house.api::<kakehi::api::Job>().get("one").await.unwrap();
    let labels = stored.metadata.labels.unwrap();
    assert_eq!(labels.keys().collect::<Vec<_>>(), ["team"]);
}

#[tokio::test]
async fn a_job_is_replaced_only_if_nobody_else_has() {
    let api = Api::without_controllers().await;
    let mut read = create(&api, "kept", "true").await;
    let path = format!("{}/jobs/kept", base(&api));
    read["spec"]["template"]["spec"]["taskCount"] = json!(2);
    let (status, written) = ask(&api, Method::PUT, &path, Some(&read)).await;
    assert_eq!((status, &written["metadata"]["generation"]), (StatusCode::OK, &json!(2)), "{written}");
    let (status, stale) = ask(&api, Method::PUT, &path, Some(&read)).await;
    assert_eq!((status, &stale["error"]["status"]), (StatusCode::CONFLICT, &json!("ABORTED")));
    read["metadata"]["resourceVersion"] = json!("");
    assert_eq!(ask(&api, Method::PUT, &path, Some(&read)).await.0, StatusCode::OK);
    assert_eq!(ask(&api, Method::DELETE, &path, None).await.0, StatusCode::OK);
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let (status, gone) = ask(&api, method, &path, Some(&read)).await;
        assert_eq!((status, &gone["error"]["status"]), (StatusCode::NOT_FOUND, &json!("NOT_FOUND")));
    }
}

#[tokio::test]
async fn every_refusal_is_an_error_of_google() {
    let api = Api::without_controllers().await;
    create(&api, "taken", "true").await;
    let (base, place) = (base(&api), format!("/v2/{}", api.parent()));
    let taken = job("taken", "true");
    let mut odd = job("odd", "true");
    odd["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] = json!(99);
    let long = job(&"j".repeat(47), "true");
    let huge = json!({"metadata": {"name": "x".repeat(2 * 1024 * 1024)}});
    for (method, path, body, code) in [
        (Method::POST, format!("{base}/jobs"), Some(&taken), 409),
        (Method::POST, format!("{base}/jobs"), Some(&odd), 400),
        (Method::POST, format!("{base}/jobs"), Some(&long), 400),
        (Method::POST, format!("{base}/jobs"), Some(&huge), 400),
        (Method::POST, format!("{base}/jobs"), Some(&json!([])), 400),
        (Method::GET, format!("{base}/jobs?limit=x"), None, 400),
        (Method::GET, format!("{base}/jobs?labelSelector=a%20b"), None, 400),
        (Method::GET, format!("{base}/executions?limit=1&continue=x"), None, 400),
        (Method::GET, format!("{base}/tasks"), None, 400),
        (Method::GET, format!("{base}/tasks/taken-abcde-task0"), None, 404),
        (Method::GET, format!("{base}/executions/nobody"), None, 404),
        (Method::PATCH, format!("{base}/jobs/taken"), None, 404),
        (Method::GET, "/apis/run.googleapis.com/v1/namespaces/A_B/jobs".to_owned(), None, 400),
        (Method::GET, "/apis/apps/v1/deployments".to_owned(), None, 404),
        (Method::GET, "/v1/anything".to_owned(), None, 404),
        (Method::GET, "/v1/projects/p/anything".to_owned(), None, 404),
        (Method::POST, "/v2/entries:list".to_owned(), Some(&json!({"filter": "x"})), 400),
        (Method::GET, "/v2/entries:list".to_owned(), None, 404),
        (Method::GET, "/v2/anything".to_owned(), None, 404),
        (Method::GET, "/v2".to_owned(), None, 404),
        (Method::PUT, "/".to_owned(), None, 404),
        (Method::POST, "/anything".to_owned(), Some(&json!({})), 404),
        (Method::GET, format!("{place}/jobs/nobody"), None, 404),
        (Method::POST, format!("{place}/jobs?jobId=odd"), Some(&json!({"template": {"x": 1}})), 400),
        (Method::GET, format!("{place}/jobs/taken:getIamPolicy"), None, 501),
    ] {
        let (status, answer) = ask(&api, method.clone(), &path, body).await;
        let error = &answer["error"];
        assert_eq!(
            (status.as_u16(), error["code"].as_u64()),
            (code, Some(code.into())),
            "{method} {path}: {answer}"
        );
        let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        assert!(is_text(&error["message"]) && is_text(&error["status"]), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn what_the_api_server_refuses_is_told_by_field() {
    let api = Api::without_controllers().await;
    let (base, place) = (base(&api), format!("/v2/{}", api.parent()));
    let mut v1 = job("odd", "true");
    v1["metadata"]["labels"]["team"] = json!("no label");
    v1["spec"]["template"]["spec"]["taskCount"] = json!(10_001);
    let container = json!({"image": "none"});
    let v2 = json!({"labels": {"team": "no label"}, "template": {"template": {"containers": [container]}}});
    for (path, body, fields) in [
        (format!("{base}/jobs"), v1, &["metadata.labels", "spec.template.spec.taskCount"][..]),
        (format!("{place}/jobs?jobId=odd"), v2, &["job.labels"]),
    ] {
        let (status, answer) = ask(&api, Method::POST, &path, Some(&body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        let told = answer["error"]["details"][0]["fieldViolations"].as_array().unwrap();
        let told: Vec<&str> = told.iter().map(|one| one["field"].as_str().unwrap()).collect();
        assert!(!told.is_empty() && told.iter().all(|field| fields.contains(field)), "{answer}");
    }
}

#[tokio::test]
async fn nobody_says_himself_who_made_a_job() {
    let api = Api::without_controllers().await;
    let mut sent = job("mine", "true");
    let keys = ["run.googleapis.com/creator", "run.googleapis.com/lastModifier"];
    sent["metadata"]["annotations"] =
        json!({keys[0]: "me", keys[1]: "me", "run.googleapis.com/client-name": "curl"});
    let (status, made) = ask(&api, Method::POST, &format!("{}/jobs", base(&api)), Some(&sent)).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(made["metadata"]["annotations"], json!({"run.googleapis.com/client-name": "curl"}));
}

#[tokio::test]
async fn what_is_no_json_is_refused_as_such_everywhere() {
    let api = Api::without_controllers().await;
    create(&api, "taken", "true").await;
    let (base, place) = (base(&api), format!("/v2/{}", api.parent()));
    for (method, path) in [
        (Method::POST, format!("{base}/jobs")),
        (Method::PUT, format!("{base}/jobs/taken")),
        (Method::POST, format!("{base}/jobs/taken:run")),
        (Method::POST, "/v2/entries:list".to_owned()),
        (Method::POST, format!("{place}/jobs?jobId=odd")),
        (Method::PATCH, format!("{place}/jobs/taken")),
        (Method::POST, format!("{place}/jobs/taken:run")),
        (Method::POST, format!("{place}/operations/run.taken.taken-abcde.uid.1:wait")),
    ] {
        let request = Request::builder().method(method).uri(format!("{HOST}{path}"));
        let request = request.header("content-type", "application/json");
        let answer = api.server.router().oneshot(request.body(Body::from("{")).unwrap()).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        let error = &answer["error"];
        assert_eq!(
            (&error["code"], &error["status"]),
            (&json!(400), &json!("INVALID_ARGUMENT")),
            "{path}: {answer}"
        );
        assert!(error["message"].as_str().unwrap().contains("the body"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_unimplemented_to_grpc() {
    let api = Api::without_controllers().await;
    let request =
        Request::post("/google.cloud.run.v2.Services/GetService").header("content-type", "application/grpc");
    let answer = api.server.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let unimplemented = (tonic::Code::Unimplemented as i32).to_string();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["grpc-status"], unimplemented.as_str());
}

/// Nobody is asked who he is, so a page of a browser on this machine must not get in.
#[tokio::test]
async fn a_web_page_runs_nothing() {
    let api = Api::without_controllers().await;
    create(&api, "page", "true").await;
    let run = format!("{}/jobs/page:run", base(&api));
    let json = ("content-type", "application/json");
    for headers in [
        // What a page can send without asking first.
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[json, ("origin", "https://evil.example")],
        &[json, ("origin", "null")],
        &[json, ("sec-fetch-site", "cross-site")],
    ] {
        for body in ["", "{}"] {
            let mut request = Request::post(format!("{HOST}{run}"));
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = api.server.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{headers:?}");
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(answer["error"]["status"], "PERMISSION_DENIED", "{answer}");
            assert!(
                answer["error"]["message"].as_str().unwrap().contains("nobody is asked here"),
                "{answer}"
            );
        }
    }
    let (status, listed) = ask(&api, Method::GET, &format!("{}/executions", base(&api)), None).await;
    assert_eq!((status, listed["items"].as_array().map_or(0, Vec::len)), (StatusCode::OK, 0), "{listed}");
}
