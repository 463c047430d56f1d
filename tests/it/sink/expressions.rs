//! What a Job says about events in expressions, and what becomes of events that they have nothing to say about.

use axum::body::Body;
use axum::extract::Request;
use serde_json::json;

use super::World;
use super::event;
use super::setup;

/// The usual event to the Job `resize`, with that data.
fn with_data(id: &str, data: &str) -> Request {
    let mut request = event("/namespaces/apps/jobs/resize", id);
    *request.body_mut() = Body::from(data.to_owned());
    request
}

async fn world_of(spec: serde_json::Value) -> World {
    let world = setup().start().await;
    world.create_job_with("resize", spec).await;
    world
}

#[tokio::test]
async fn a_job_whose_key_does_not_compile_takes_no_events_until_somebody_mends_it() {
    let world = world_of(json!({"event": {"dedupKey": "event.data.order +"}})).await;
    let answer = world.post_event("1").await;
    // Not the event's fault: it must come again when the Job is mended.
    assert_eq!(answer.code(), 503);
    let told =
        "job resize takes no events: spec.event.dedupKey: line 1, column 19: expected a value, found the end";
    assert_eq!(answer.detail(), told);
    assert!(world.executions().await.is_empty());
}

#[tokio::test]
async fn a_key_names_the_run_whichever_way_the_event_comes() {
    let world = world_of(json!({"event": {"dedupKey": "event.data.order"}})).await;
    world.create_trigger("all", json!({"job": {"name": "resize"}})).await;
    let direct = world.post_event("1").await;
    crate::support::eventually("the trigger runs the job", async || {
        let answer = world.publish("2").await;
        assert_eq!(answer.code(), 202);
        if answer.header("location") == direct.header("location") { Ok(()) } else { Err(answer) }
    })
    .await;
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn more_data_than_the_job_takes_is_413() {
    let world = world_of(json!({"event": {"maxBytes": 20}})).await;
    assert_eq!(world.send(with_data("1", "\"a string of 20 by\"")).await.code(), 202);
    let answer = world.send(with_data("2", "\"a string of 21 byt\"")).await;
    assert_eq!(answer.code(), 413);
    assert_eq!(answer.detail(), "the data of the event has 21 bytes; job resize takes at most 20");
}

#[tokio::test]
async fn what_cannot_be_an_expression_is_refused_by_the_api_server() {
    let world = setup().start().await;
    for rules in [
        json!({"dedupKey": ""}),
        json!({"dedupKey": "a".repeat(1025)}),
        json!({"maxBytes": -1}),
        json!({"maxBytes": 1_048_577}),
    ] {
        let refused = world.try_create_job_with("bad", json!({"event": rules})).await.unwrap_err();
        assert!(refused.contains("spec.event"), "{refused}");
    }
}

#[tokio::test]
async fn a_trigger_filters_by_data() {
    let filters = json!([{"exact": {"type": "com.example.order"}}, {"cel": "event.data.order > 5"}]);
    let world = setup()
        .job("resize")
        .trigger("large", json!({"filters": filters, "job": {"name": "resize"}}))
        .start()
        .await;
    for (id, data, runs) in [("1", r#"{"order":5}"#, 0), ("2", r#"{"order":6}"#, 1), ("3", "nonsense", 1)] {
        let mut request = event("/namespaces/apps", id);
        *request.body_mut() = Body::from(data);
        assert_eq!(world.send(request).await.code(), 202, "{data}");
        assert_eq!(world.executions().await.len(), runs, "{data}");
    }
}
