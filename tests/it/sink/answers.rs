//! What the sink says to good requests, and to those for paths and methods that it does not have.

use axum::body::Body;
use axum::extract::Request;
use futures::future::join_all;
use kakehi::api::Execution;
use kakehi::event::Event;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;

use super::NAMESPACE;
use super::event;
use super::setup;

#[tokio::test]
async fn an_event_for_a_job_is_stored_as_an_execution() {
    let world = setup().job("resize").start().await;
    let answer = world.post_event("1").await;
    assert_eq!((answer.code(), answer.body.as_ref()), (202, b"".as_slice()));
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    let name = execution.metadata.name.as_deref().unwrap();
    assert_eq!(answer.header("location").unwrap(), format!("/namespaces/{NAMESPACE}/executions/{name}"));
    assert!(name.starts_with("resize-"), "{name}");
    let stored = Event::try_from(&execution.spec.events[0]).unwrap();
    assert_eq!((stored.id(), stored.source(), stored.kind()), ("1", "/orders", "com.example.order"));
    assert_eq!(stored.data().unwrap().as_ref(), br#"{"order":1}"#);
}

#[tokio::test]
async fn both_modes_give_the_same_execution() {
    let world = setup().job("resize").start().await;
    let binary = world.post_event("1").await;
    let body = json!({"specversion": "1.0", "id": "1", "source": "/orders", "type": "com.example.order"});
    let structured = Request::post("/namespaces/apps/jobs/resize")
        .header("content-type", "Application/CloudEvents+JSON; charset=UTF-8")
        .body(Body::from(body.to_string()))
        .unwrap();
    let structured = world.send(structured).await;
    assert_eq!((binary.code(), structured.code()), (202, 202));
    assert_eq!(binary.header("location"), structured.header("location"));
}

#[tokio::test]
async fn data_arrives_byte_for_byte() {
    let world = setup().job("resize").start().await;
    let data = b"\xff\x00\r\n<not JSON>".as_slice();
    let mut request = event("/namespaces/apps/jobs/resize", "1");
    *request.body_mut() = Body::from(data);
    assert_eq!(world.send(request).await.code(), 202);
    let stored = Event::try_from(&world.executions().await[0].spec.events[0]).unwrap();
    assert_eq!(stored.data().unwrap().as_ref(), data);
    assert_eq!(stored.datacontenttype(), Some("application/json"));
}

#[tokio::test]
async fn a_suffix_a_query_and_a_trailing_slash_are_accepted() {
    let world = setup().job("resize").start().await;
    for path in [
        "/namespaces/apps/jobs/resize?x=1",
        "/namespaces/apps/jobs/resize/",
        "/namespaces/apps/jobs/resize/?a=b&c",
        "/namespaces/apps/jobs/re%73ize",
        "/namespaces/apps/jobs/resize/x",
        "/namespaces/apps/jobs/resize/x/y/?z=1",
        "/namespaces/apps/jobs/resize//",
    ] {
        assert_eq!(world.send(event(path, "1")).await.code(), 202, "{path}");
    }
    for path in ["/namespaces/apps", "/namespaces/apps/", "/namespaces/apps?x", "/", "/?x=1"] {
        assert_eq!(world.send(event(path, "1")).await.code(), 202, "{path}");
    }
    for path in [
        "/namespaces/apps/jobs",
        "/namespaces/apps/jobs/",
        "/namespaces",
        "/apps/resize",
        "/namespaces/apps/jobs/%ff",
        "/namespaces/apps/jobs/resize/%ff",
        "/namespaces/apps/jobs/..%2fresize",
        "/namespaces/apps%2fjobs/jobs/resize",
        "/namespaces/apps/jobs/resize%3Fx",
    ] {
        let answer = world.send(event(path, "1")).await;
        assert_eq!(answer.code(), 404, "{path}");
        answer.detail();
    }
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn other_methods_are_told_which_one_to_use() {
    let world = setup().job("resize").start().await;
    for path in ["/", "/namespaces/apps", "/namespaces/apps/", "/namespaces/apps/jobs/resize"] {
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "FOO"] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            let answer = world.send(request).await;
            assert_eq!(
                (answer.code(), answer.header("allow")),
                (405, Some("POST, OPTIONS")),
                "{method} {path}"
            );
        }
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::builder()
            .method(method)
            .uri("/namespaces/apps/executions/x")
            .body(Body::empty())
            .unwrap();
        let answer = world.send(request).await;
        assert_eq!((answer.code(), answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[tokio::test]
async fn what_is_unknown_is_404_so_that_senders_try_again() {
    let world = setup().job("resize").start().await;
    for path in [
        "/namespaces/apps/jobs/other",
        "/namespaces/nowhere/jobs/resize",
        "/namespaces/nowhere",
        "/namespaces/NOWHERE",
        "/namespaces/apps/jobs/Not_A_Name",
    ] {
        let answer = world.send(event(path, "1")).await;
        assert_eq!(answer.code(), 404, "{path}");
        answer.detail();
    }
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn one_hundred_identical_events_at_once_are_one_execution() {
    let world = setup().job("resize").start().await;
    let answers = join_all((0..100).map(|_| world.post_event("same"))).await;
    assert_eq!(answers.iter().filter(|answer| answer.code() == 202).count(), 100);
    let location = answers[0].header("location").unwrap();
    assert!(answers.iter().all(|answer| answer.header("location") == Some(location)));
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn source_and_id_are_not_run_together() {
    let world = setup().job("resize").start().await;
    for (source, id) in [("/s", "11"), ("/s1", "1")] {
        let mut request = event("/namespaces/apps/jobs/resize", id);
        request.headers_mut().insert("ce-source", source.parse().unwrap());
        assert_eq!(world.send(request).await.code(), 202);
    }
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test]
async fn a_body_is_given_only_to_who_asks() {
    let world = setup().job("resize").start().await;
    for (prefer, outcome) in
        [("return=representation", "created"), ("reply, return=representation", "duplicate")]
    {
        let mut request = event("/namespaces/apps/jobs/resize", "1");
        request.headers_mut().insert("prefer", prefer.parse().unwrap());
        let answer = world.send(request).await;
        assert_eq!((answer.code(), answer.header("content-type")), (202, Some("application/json")));
        assert_eq!(answer.header("preference-applied"), Some("return=representation"));
        let location = answer.header("location").unwrap().to_owned();
        let list = answer.json();
        assert_eq!(list[0]["outcome"], outcome);
        assert_eq!(list[0]["trigger"], json!(null));
        assert!(location.ends_with(&format!("/{}", list[0]["execution"].as_str().unwrap())));
    }
    let mut request = event("/namespaces/apps/jobs/resize", "1");
    request.headers_mut().insert("prefer", "reply".parse().unwrap());
    assert!(world.send(request).await.body.is_empty());
}

#[tokio::test]
async fn the_location_tells_the_state_of_a_run() {
    let world = setup().job("resize").start().await;
    let location = world.post_event("1").await.header("location").unwrap().to_owned();
    let look = async |path: &str| world.send(Request::get(path).body(Body::empty()).unwrap()).await;
    let answer = look(&location).await;
    assert_eq!((answer.code(), answer.header("content-type")), (200, Some("application/json")));
    assert_eq!((&answer.json()["state"], &answer.json()["job"]), (&json!("Pending"), &json!("resize")));

    let name = location.rsplit('/').next().unwrap();
    let api = world.api::<Execution>();
    for (status, reason, state) in [
        ("True", "Succeeded", "Succeeded"),
        ("False", "NonZeroExitCode", "Failed"),
        ("False", "Cancelled", "Cancelled"),
    ] {
        let patch = json!({"status": {"result": "{}", "succeededCount": 1, "conditions": [{"type": "Completed",
            "status": status, "reason": reason, "message": "words", "lastTransitionTime": "2026-11-22T07:20:00Z"}]}});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
        let answer = look(&format!("{location}/?x=1")).await;
        assert_eq!(answer.code(), 200, "{state}");
        let shown = answer.json();
        assert_eq!((&shown["state"], &shown["reason"]), (&json!(state), &json!(reason)));
        assert_eq!((&shown["result"], &shown["succeededCount"]), (&json!({}), &json!(1)));
    }
    for unknown in [
        "/namespaces/apps/executions/none",
        "/namespaces/apps/executions/No_Name",
        "/namespaces/x/executions/y",
    ] {
        let answer = look(unknown).await;
        assert_eq!(answer.code(), 404, "{unknown}");
        answer.detail();
    }
}
