//! Several events in one request: all of them are stored, or the answer is no success.

use axum::body::Body;
use axum::extract::Request;
use kakehi::event::json::MAX_BATCH;
use serde_json::Value;
use serde_json::json;

use super::Answer;
use super::World;
use super::setup;
use crate::support::faults::Fault;

const JOB: &str = "/namespaces/apps/jobs/resize";

fn one(id: &str, kind: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/orders", "type": kind, "data": {"id": id}})
}

async fn send(world: &World, path: &str, events: &Value) -> Answer {
    let request = Request::post(path)
        .header("content-type", "application/cloudevents-batch+json; charset=utf-8")
        .header("prefer", "return=representation")
        .body(Body::from(events.to_string()))
        .unwrap();
    world.send(request).await
}

/// Number of the event, Trigger and outcome of each line of a representation.
fn lines(answer: &Answer) -> Vec<(u64, Option<String>, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let line = |line: &Value| {
        (line["event"].as_u64().unwrap(), text(&line["trigger"]), text(&line["outcome"]).unwrap())
    };
    answer.json().as_array().unwrap().iter().map(line).collect()
}

fn line(event: u64, trigger: Option<&str>, outcome: &str) -> (u64, Option<String>, String) {
    (event, trigger.map(str::to_owned), outcome.to_owned())
}

#[tokio::test]
async fn a_batch_is_one_execution_for_each_of_its_events() {
    let world = setup().job("resize").start().await;
    let events = json!([one("1", "t"), one("2", "t"), one("1", "t")]);
    let answer = send(&world, JOB, &events).await;
    assert_eq!((answer.code(), answer.header("location")), (202, None), "{answer:?}");
    // Which of two that are the same is the first one is nobody's business.
    let created = lines(&answer).iter().filter(|(.., outcome)| outcome == "created").count();
    assert_eq!((lines(&answer).len(), created), (3, 2));
    assert_eq!(world.executions().await.len(), 2);
    let again = lines(&send(&world, JOB, &events).await);
    assert_eq!(again, [0, 1, 2].map(|event| line(event, None, "duplicate")));
    // The usual answer has no body, and the place of the run if it is one.
    let mut request = Request::post(JOB).body(Body::from(json!([one("3", "t")]).to_string())).unwrap();
    request.headers_mut().insert("content-type", "application/cloudevents-batch+json".parse().unwrap());
    let answer = world.send(request).await;
    assert_eq!((answer.code(), answer.body.len()), (202, 0));
    assert!(answer.header("location").is_some());
}

#[tokio::test]
async fn an_empty_batch_is_a_success() {
    let world = setup().job("resize").start().await;
    for path in [JOB, "/namespaces/apps", "/"] {
        let answer = send(&world, path, &json!([])).await;
        assert_eq!((answer.code(), answer.json()), (202, json!([])), "{path}");
    }
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn each_event_of_a_batch_finds_its_triggers() {
    let filter = |kind: &str| json!({"filters": [{"exact": {"type": kind}}], "job": {"name": "resize"}});
    let world = setup().job("resize").trigger("a", filter("a")).trigger("b", filter("b")).start().await;
    let events = json!([one("1", "b"), one("2", "none"), one("3", "a")]);
    let answer = send(&world, "/namespaces/apps", &events).await;
    assert_eq!(lines(&answer), [line(0, Some("b"), "created"), line(2, Some("a"), "created")]);
}

#[tokio::test]
async fn one_event_that_is_none_spoils_the_batch() {
    let world = setup().job("resize").start().await;
    for (events, code, reason) in [
        (json!([one("1", "t"), {"specversion": "1.0"}]), 400, "event 2 of the batch: `id` is missing"),
        (json!([one("1", "t"), 5]), 400, "event 2 of the batch: the body is not an event in JSON"),
        (json!({}), 400, "not a batch of events in JSON"),
        (json!(vec![one("1", "t"); MAX_BATCH + 1]), 400, "more than 1000 events"),
    ] {
        let answer = send(&world, JOB, &events).await;
        assert_eq!(answer.code(), code, "{reason}");
        assert!(answer.detail().contains(reason), "{reason}: {}", answer.detail());
    }
    assert!(world.executions().await.is_empty());
    let answer = send(&world, "/namespaces/apps/jobs/other", &json!([one("1", "t"), one("2", "t")])).await;
    assert_eq!(answer.code(), 404);
    assert!(answer.detail().contains("of the batch: there is no job other"), "{}", answer.detail());
}

#[tokio::test]
async fn a_batch_that_is_stored_in_part_is_503_and_the_retry_completes_it() {
    let world = setup().job("resize").start().await;
    let creates = std::sync::atomic::AtomicUsize::new(0);
    world.faults.set(move |request| {
        let is_create =
            request.method() == http::Method::POST && request.uri().path().ends_with("/executions");
        let number = creates.fetch_add(usize::from(is_create), std::sync::atomic::Ordering::SeqCst);
        (is_create && number == 2).then_some(Fault::Answer(503))
    });
    let events: Value = (0..20).map(|id| one(&id.to_string(), "t")).collect();
    let answer = send(&world, JOB, &events).await;
    assert_eq!(answer.code(), 503);
    assert!(answer.detail().contains("of the batch"), "{}", answer.detail());
    let stored = world.executions().await.len();
    assert!((1..20).contains(&stored), "{stored}");
    world.faults.clear();
    assert_eq!(send(&world, JOB, &events).await.code(), 202);
    assert_eq!(world.executions().await.len(), 20);
}
