//! Events for a namespace: which Jobs they run, and how soon a change of Triggers counts.

use kakehi::api::CauseKind;
use kakehi::api::Job;
use kakehi::api::Trigger;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;

use super::Answer;
use super::World;
use super::event;
use super::setup;
use crate::support::eventually;

fn exact(kind: &str, job: &str) -> serde_json::Value {
    json!({"filters": [{"exact": {"type": kind}}], "job": {"name": job}})
}

/// Publishes under fresh ids until the answer is as wanted: a change of Triggers counts once the watch has told it.
async fn publish_until(world: &World, what: &str, wanted: impl Fn(&Answer) -> bool) {
    let mut attempt = 0;
    eventually(what, async || {
        attempt += 1;
        let answer = world.publish(&format!("{what} {attempt}")).await;
        if wanted(&answer) { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test]
async fn a_matching_trigger_runs_its_job() {
    let world = setup()
        .job("resize")
        .trigger("orders", exact("com.example.order", "resize"))
        .trigger("others", exact("com.example.other", "resize"))
        .start()
        .await;
    let answer = world.publish("1").await;
    assert_eq!((answer.code(), answer.body.len()), (202, 0));
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    assert!(answer.header("location").unwrap().ends_with(execution.metadata.name.as_deref().unwrap()));
    assert_eq!(execution.spec.cause.kind, CauseKind::Trigger);
    assert_eq!(execution.spec.cause.trigger.as_deref(), Some("orders"));
}

#[tokio::test]
async fn an_event_that_nobody_wants_is_accepted() {
    let world = setup().job("resize").trigger("others", exact("com.example.other", "resize")).start().await;
    let answer = world.publish("1").await;
    assert_eq!((answer.code(), answer.body.len(), answer.header("location")), (202, 0, None));
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn triggers_of_other_namespaces_are_not_asked() {
    let world = setup().job("resize").trigger("all", json!({"job": {"name": "resize"}})).start().await;
    let answer = world.send(event("/namespaces/default", "1")).await;
    assert_eq!((answer.code(), answer.header("location")), (202, None));
    let answer = world.send(event("/", "1")).await;
    assert_eq!((answer.code(), answer.header("location")), (202, None));
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn several_triggers_run_several_jobs_and_each_job_once() {
    let world = setup()
        .job("resize")
        .job("notify")
        .trigger("a", exact("com.example.order", "resize"))
        .trigger("b", json!({"filters": [{"prefix": {"source": "/ord"}}], "job": {"name": "notify"}}))
        .trigger("c", json!({"job": {"name": "resize"}}))
        .start()
        .await;
    for outcome in ["created", "duplicate"] {
        let mut request = event("/namespaces/apps", "1");
        request.headers_mut().insert("prefer", "return=representation".parse().unwrap());
        let answer = world.send(request).await;
        assert_eq!((answer.code(), answer.header("location")), (202, None));
        let list = answer.json();
        let lines: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|line| (line["trigger"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
            .collect();
        assert_eq!(lines, [("a", outcome), ("b", outcome), ("c", "duplicate")]);
        assert_eq!(list[0]["execution"], list[2]["execution"]);
        assert_ne!(list[0]["execution"], list[1]["execution"]);
    }
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test]
async fn typed_extensions_match_alike_in_every_mode() {
    let world = setup()
        .job("resize")
        .trigger("five", json!({"filters": [{"exact": {"num": "5"}}], "job": {"name": "resize"}}))
        .trigger("legacy", json!({"filter": {"attributes": {"num": "5"}}, "job": {"name": "resize"}}))
        .trigger("number", json!({"filters": [{"cesql": "num = 5"}], "job": {"name": "resize"}}))
        .trigger("text", json!({"filters": [{"cesql": "num = '5'"}], "job": {"name": "resize"}}))
        .start()
        .await;
    let structured = |num: serde_json::Value| {
        let body = json!({"specversion": "1.0", "id": "1", "source": "/orders", "type": "t", "num": num});
        axum::extract::Request::post("/namespaces/apps")
            .header("content-type", "application/cloudevents+json")
            .header("prefer", "return=representation")
            .body(axum::body::Body::from(body.to_string()))
            .unwrap()
    };
    let mut binary = event("/namespaces/apps", "1");
    binary.headers_mut().insert("ce-num", "5".parse().unwrap());
    binary.headers_mut().insert("prefer", "return=representation".parse().unwrap());
    for request in [binary, structured(json!(5)), structured(json!("5"))] {
        assert_eq!(world.send(request).await.json().as_array().unwrap().len(), 4);
    }
    assert_eq!(world.send(structured(json!(6))).await.json(), json!([]));
}

#[tokio::test]
async fn a_filter_that_does_not_compile_matches_nothing() {
    let world = setup()
        .job("resize")
        .trigger("empty", json!({"filters": [{}], "job": {"name": "resize"}}))
        .trigger("blank", json!({"filters": [{"not": {"exact": {"type": ""}}}], "job": {"name": "resize"}}))
        .trigger("malformed", json!({"filters": [{"not": {"cesql": "type = "}}], "job": {"name": "resize"}}))
        .trigger("number", json!({"filters": [{"not": {"cesql": "5"}}], "job": {"name": "resize"}}))
        .start()
        .await;
    let answer = world.publish("1").await;
    assert_eq!((answer.code(), answer.header("location")), (202, None));
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn changes_of_triggers_count() {
    let world = setup().job("resize").start().await;
    let runs = |answer: &Answer| answer.header("location").is_some();
    assert!(!runs(&world.publish("0").await));
    world.create_trigger("orders", exact("com.example.order", "resize")).await;
    publish_until(&world, "the new trigger matches", runs).await;
    let api = world.api::<Trigger>();
    let other = json!({"spec": {"filters": [{"exact": {"type": "other"}}]}});
    api.patch("orders", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    publish_until(&world, "the changed trigger does not match", |answer| !runs(answer)).await;
    let all = json!({"spec": {"filters": null}});
    api.patch("orders", &PatchParams::default(), &Patch::Merge(&all)).await.unwrap();
    publish_until(&world, "the trigger without filters matches", runs).await;
    api.delete("orders", &DeleteParams::default()).await.unwrap();
    publish_until(&world, "the deleted trigger does not match", |answer| !runs(answer)).await;
}

#[tokio::test]
async fn a_trigger_without_its_job_keeps_the_event_with_the_sender() {
    let world = setup()
        .job("resize")
        .trigger("early", exact("com.example.order", "later"))
        .trigger("orders", exact("com.example.order", "resize"))
        .start()
        .await;
    let answer = world.publish("1").await;
    assert_eq!(answer.code(), 404);
    assert!(answer.detail().contains("later"), "{answer:?}");
    // What could be done is done; the retry completes the rest.
    assert_eq!(world.executions().await.len(), 1);
    world.create_job("later").await;
    assert_eq!(world.publish("1").await.code(), 202);
    assert_eq!(world.executions().await.len(), 2);
}

#[tokio::test]
async fn a_job_that_was_made_again_runs_the_event_again() {
    let world = setup().job("resize").start().await;
    let first = world.post_event("1").await.header("location").unwrap().to_owned();
    let api = world.api::<Job>();
    api.delete("resize", &DeleteParams::default()).await.unwrap();
    world.create_job("resize").await;
    eventually("the new job is seen", async || {
        let answer = world.post_event("1").await;
        match answer.header("location") {
            Some(location) if location != first => Ok(()),
            _ => Err(answer),
        }
    })
    .await;
}
