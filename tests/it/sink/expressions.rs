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
    let string = |length: usize| format!("\"{}\"", "x".repeat(length - 2));
    assert_eq!(world.send(with_data("1", &string(20))).await.code(), 202);
    let answer = world.send(with_data("2", &string(21))).await;
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

/// An expression that takes some dozens of steps for each number of the data, and is not true of any.
fn dear() -> String {
    format!("event.data.exists(n, {} == -1)", ["n"; 16].join(" + "))
}

#[tokio::test]
async fn an_event_that_is_too_much_for_all_filters_together_is_422_and_runs_what_is_known() {
    let world = setup().job("resize").start().await;
    world
        .create_trigger("m", json!({"filters": [{"cel": "event.data[2] == 2"}], "job": {"name": "resize"}}))
        .await;
    for number in 0..20 {
        let name = format!("{}{number}", if number % 2 == 0 { "a" } else { "z" });
        world.create_trigger(&name, json!({"filters": [{"cel": dear()}], "job": {"name": "none"}})).await;
    }
    let numbers = |count: usize| {
        let mut request = event("/namespaces/apps", &count.to_string());
        *request.body_mut() = Body::from(json!((0..count).collect::<Vec<_>>()).to_string());
        request
    };
    crate::support::eventually("every trigger is known", async || {
        let answer = world.send(numbers(10_000)).await;
        if answer.code() == 422 { Ok(()) } else { Err(answer) }
    })
    .await;
    let answer = world.send(numbers(10_001)).await;
    let detail = answer.detail();
    assert_eq!(answer.code(), 422, "{detail}");
    assert!(
        detail.starts_with("whether trigger ") && detail.contains(" more matches cannot be told: "),
        "{detail}"
    );
    assert!(detail.ends_with("all filters together may take 5000000 steps for an event"), "{detail}");
    // The one that asks for little has run for both; and who sends less is never told anything.
    assert_eq!(world.executions().await.len(), 2);
    assert_eq!(world.send(numbers(100)).await.code(), 202);
    let mut registry = prometheus_client::registry::Registry::default();
    world.sink.register(&mut registry);
    let mut told = String::new();
    prometheus_client::encoding::text::encode(&mut told, &registry).unwrap();
    let counted =
        told.lines().find_map(|line| line.strip_prefix("kakehi_triggers_undecided_total ")).unwrap();
    assert!(counted.parse::<u64>().unwrap() > 2, "{counted}");
}

#[tokio::test]
async fn parameters_share_what_a_run_may_cost() {
    let parameters: Vec<_> = (0..20).map(|n| json!({"name": format!("P{n}"), "value": dear()})).collect();
    let world = world_of(json!({"parameters": parameters})).await;
    let numbers = |count: usize| json!((0..count).collect::<Vec<_>>()).to_string();
    let answer = world.send(with_data("1", &numbers(10_000))).await;
    assert_eq!(answer.code(), 422);
    assert!(answer.detail().ends_with("takes more steps than are left to all expressions together"));
    assert_eq!(world.send(with_data("1", &numbers(1000))).await.code(), 202);
}

#[tokio::test]
async fn parameters_are_computed_recorded_and_demanded() {
    let parameters = json!([
        {"name": "ORDER", "value": "event.data.order.id"},
        {"name": "TOTAL", "value": "event.data.order.total"},
        {"name": "REGION", "value": "event.subject", "default": "tokyo"},
    ]);
    let world = world_of(json!({"parameters": parameters})).await;
    let data = r#"{"order": {"id": "$(SECRET) 'o' \"7\"", "total": 1200.50}}"#;
    assert_eq!(world.send(with_data("1", data)).await.code(), 202);
    let executions = world.executions().await;
    let kept: Vec<_> = executions[0].spec.parameters.iter().map(|one| (&*one.name, &*one.value)).collect();
    assert_eq!(kept, [("ORDER", "$(SECRET) 'o' \"7\""), ("TOTAL", "1200.50"), ("REGION", "tokyo")]);
    for (data, reason) in [
        (
            r#"{"order": {"id": "x"}}"#,
            "parameter TOTAL has no value for this event: `event.data.order.total` is missing",
        ),
        ("{}", "parameter ORDER has no value for this event: `event.data.order` is missing"),
        ("{", "parameter ORDER has no value for this event: `event.data` is missing: the data is not JSON"),
        (
            r#"{"order": {"id": "a\nb", "total": 1}}"#,
            "parameter ORDER has no value for this event: it holds the control character U+000A at byte 1",
        ),
        (
            r#"{"order": []}"#,
            "parameter ORDER has no value for this event: `event.data.order.id` is a list, not an object, and has no members",
        ),
    ] {
        let answer = world.send(with_data("2", data)).await;
        assert_eq!((answer.code(), answer.detail()), (422, reason.to_owned()), "{data}");
    }
    let long = json!({"order": {"id": "x".repeat(100 * 1024), "total": 1}}).to_string();
    assert_eq!(world.send(with_data("3", &long)).await.code(), 422);
    assert_eq!(world.executions().await.len(), 1);
}

#[tokio::test]
async fn a_trigger_has_parameters_of_its_own() {
    let world =
        world_of(json!({"parameters": [{"name": "A", "value": "'job'"}, {"name": "B", "value": "'job'"}]}))
            .await;
    let spec = json!({"job": {"name": "resize"}, "parameters": [{"name": "B", "value": "event.type"}]});
    world.create_trigger("orders", spec).await;
    // One that cannot be computed matches nothing, rather than to run the Job without its value.
    let broken = json!({"job": {"name": "resize"}, "parameters": [{"name": "B", "value": "event."}]});
    world.create_trigger("a-broken-one", broken).await;
    crate::support::eventually("the trigger runs the job", async || {
        let answer = world.publish("1").await;
        assert_eq!(answer.code(), 202);
        answer.header("location").map(drop).ok_or(answer)
    })
    .await;
    let executions = world.executions().await;
    let kept: Vec<_> = executions[0].spec.parameters.iter().map(|one| (&*one.name, &*one.value)).collect();
    assert_eq!(kept, [("A", "job"), ("B", "com.example.order")]);
    assert_eq!(executions[0].spec.cause.trigger.as_deref(), Some("orders"));
}

#[tokio::test]
async fn what_cannot_be_a_parameter_is_refused_by_the_api_server() {
    let world = setup().start().await;
    let one = |name: &str| json!({"name": name, "value": "event.id"});
    for parameters in [
        json!([one("")]),
        json!([one("A-B")]),
        json!([one("1A")]),
        json!([one("A"), one("A")]),
        json!([{"name": "A", "value": ""}]),
        json!([{"name": "A", "value": "a".repeat(1025)}]),
        json!((0..65).map(|n| one(&format!("A{n}"))).collect::<Vec<_>>()),
    ] {
        let refused = world.try_create_job_with("bad", json!({"parameters": parameters})).await.unwrap_err();
        assert!(refused.contains("spec.parameters"), "{refused}");
    }
}
