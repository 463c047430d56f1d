//! Why nothing ran: what a sink tells of its decisions, to whom, and that it is what would be told without one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use kakehi::api::Execution;
use kakehi::api::Job;
use kakehi::api::Trigger;
use kakehi::api::namespace_audience;
use kakehi::event::Event;
use kakehi::explain::Decision;
use kakehi::explain::MAX_TRAIL;
use kakehi::explain::Outcome;
use kakehi::explain::Told;
use kakehi::explain::Trail;
use kakehi::plan::Prepared;
use kakehi::sink::Options;
use kakehi::sink::Sink;
use kakehi::sink::Stage;
use kakehi::sink::ToldTo;
use kakehi::triggers::LiveTrigger;
use kakehi::triggers::Triggers;
use kube::Client;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use proptest::prelude::*;
use proptest::test_runner::Config;
use proptest::test_runner::TestCaseError;
use proptest::test_runner::TestRunner;
use serde_json::Value;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::NAMESPACE;
use super::Setup;
use super::World;
use super::event;
use super::setup;
use crate::support::eventually;

/// A sink that tells everybody.
fn open() -> Setup {
    setup().options(Options {
        told: ToldTo::Everybody,
        name: Some("sink-1".to_owned()),
        ..Options::default()
    })
}

async fn told(world: &World, query: &str) -> Told {
    let path = format!("/namespaces/{NAMESPACE}/decisions?{query}");
    let answer = world.send(Request::get(path).body(Body::empty()).unwrap()).await;
    assert_eq!((answer.code(), answer.header("cache-control")), (200, Some("no-store")), "{answer:?}");
    serde_json::from_value(answer.json()).unwrap()
}

/// Waits until the sink knows as many Triggers.
async fn knows(world: &World, number: usize) {
    eventually("the sink knows the triggers", async || {
        let known = world.triggers.all(world.namespace()).len();
        if known == number { Ok(()) } else { Err(known) }
    })
    .await;
}

fn wants(kind: &str, total: i64) -> Value {
    json!({"job": {"name": "resize"}, "filters": [{"exact": {"type": kind}}, {"cel": format!("event.data.order > {total}")}]})
}

#[tokio::test]
async fn a_decision_says_which_term_was_true_and_which_false() {
    let world = open()
        .job("resize")
        .trigger("big", wants("com.example.order", 100))
        .trigger("other", json!({"job": {"name": "resize"}, "filters": [{"exact": {"type": "other"}}]}))
        .trigger("small", wants("com.example.order", 0))
        .start()
        .await;
    knows(&world, 3).await;
    let answer = world.publish("7").await;
    let run = answer.header("location").unwrap().rsplit('/').next().unwrap().to_owned();

    let Told { sink, decisions, more, since, forgotten } = told(&world, "id=7").await;
    assert_eq!((sink.as_deref(), more, forgotten, since.is_some()), (Some("sink-1"), 0, 0, true));
    let [decision] = decisions.as_slice() else { panic!("{decisions:?}") };
    assert_eq!((decision.answer.status, decision.event.data_bytes), (202, Some(11)));
    let verdicts: Vec<(&str, bool)> =
        decision.triggers.iter().map(|one| (one.trigger.as_str(), one.matches)).collect();
    assert_eq!(verdicts, [("big", false), ("other", false), ("small", true)]);
    let big = &decision.triggers[0];
    assert_eq!(big.terms.iter().map(|term| term.holds).collect::<Vec<_>>(), [Some(true), Some(false)]);
    assert_eq!(big.terms[1].values[0].value.as_deref(), Some("1"));
    assert_eq!(
        (decision.runs[0].outcome, decision.runs[0].execution.as_deref()),
        (Outcome::Created, Some(&*run))
    );
    assert_eq!(decision.runs[0].triggers, ["small"]);

    // The same event again is a duplicate of that run; the newest decision comes first.
    world.publish("7").await;
    let again = told(&world, "id=7&source=%2Forders").await.decisions;
    assert_eq!(
        again.iter().map(|one| one.runs[0].outcome).collect::<Vec<_>>(),
        [Outcome::Duplicate, Outcome::Created]
    );
    assert_eq!(again[0].runs[0].execution.as_deref(), Some(&*run));
    assert!(told(&world, "id=8").await.decisions.is_empty());
    assert!(told(&world, "id=7&source=/other").await.decisions.is_empty());
    let one = told(&world, "id=7&trigger=big&limit=1").await;
    assert_eq!((one.decisions[0].triggers.len(), one.more), (1, 1));
    // Without a question about one event, reasons are left out.
    let all = told(&world, "").await.decisions;
    assert_eq!((all.len(), all[0].triggers.len()), (2, 0));
}

#[tokio::test]
async fn refusals_are_told_with_their_status_and_words() {
    let world = open()
        .job("resize")
        .trigger("gone", json!({"job": {"name": "gone"}}))
        .trigger("here", json!({"job": {"name": "resize"}}))
        .start()
        .await;
    let parameters = json!({"parameters": [{"name": "ORDER", "value": "event.data.order.id"}]});
    world.create_job_with("strict", parameters).await;
    knows(&world, 2).await;
    assert_eq!(world.publish("1").await.code(), 404);
    let decision = &told(&world, "id=1").await.decisions[0];
    assert_eq!(decision.answer.status, 404);
    let detail = decision.answer.detail.as_deref().unwrap();
    assert!(detail.starts_with("there is no job gone in namespace"), "{detail}");
    let outcomes: Vec<_> = decision.runs.iter().map(|run| (run.job.as_str(), run.outcome)).collect();
    assert_eq!(outcomes, [("gone", Outcome::Refused), ("resize", Outcome::Created)]);

    let strict = format!("/namespaces/{NAMESPACE}/jobs/strict");
    assert_eq!(world.send(event(&strict, "2")).await.code(), 422);
    let decision = &told(&world, "id=2").await.decisions[0];
    assert_eq!((decision.job.as_deref(), decision.answer.status), (Some("strict"), 422));
    let detail = decision.runs[0].refusal.as_ref().unwrap().detail.as_deref().unwrap();
    assert!(detail.contains("parameter ORDER") && detail.contains("`event.data.order.id`"), "{detail}");

    // A queue that nobody may wait in.
    world.create_job_with("full", json!({"suspend": true, "concurrency": {"queueLimit": 0}})).await;
    let full = format!("/namespaces/{NAMESPACE}/jobs/full");
    assert_eq!(world.send(event(&full, "4")).await.code(), 429);
    assert_eq!(told(&world, "id=4").await.decisions[0].runs[0].refusal.as_ref().unwrap().status, 429);

    // No event at all, with what its headers said.
    let mut wrong = event(&strict, "3");
    wrong.headers_mut().insert("ce-time", HeaderValue::from_static("noon"));
    assert_eq!(world.send(wrong).await.code(), 400);
    let decision = &told(&world, "id=3").await.decisions[0];
    assert_eq!((decision.answer.status, decision.event.attribute("type")), (400, Some("com.example.order")));
    assert!(decision.answer.detail.as_deref().unwrap().contains("time"));
}

#[tokio::test]
async fn a_trigger_that_changed_since_says_so() {
    let world = open().job("resize").trigger("big", wants("com.example.order", 100)).start().await;
    knows(&world, 1).await;
    world.publish("1").await;
    let stays = told(&world, "id=1").await;
    assert!(!stays.decisions[0].triggers[0].changed);
    let api = world.api::<Trigger>();
    let mut trigger = api.get("big").await.unwrap();
    trigger.spec = serde_json::from_value(wants("com.example.order", 0)).unwrap();
    api.replace("big", &kube::api::PostParams::default(), &trigger).await.unwrap();
    world.create_trigger("new", json!({"job": {"name": "resize"}})).await;
    knows(&world, 2).await;
    eventually("the change is known", async || {
        let decision = told(&world, "id=1").await.decisions.remove(0);
        let all = decision.triggers.iter().all(|one| one.changed && !one.matches);
        // Its terms are what they would be now.
        let now = decision.triggers[0].terms[1].holds == Some(true);
        if all && now { Ok(()) } else { Err(decision) }
    })
    .await;
    assert!(told(&world, "id=1").await.decisions[0].runs.is_empty());
}

#[tokio::test]
async fn an_execution_holds_the_trail_of_its_acceptance() {
    let world = open()
        .job("resize")
        .trigger("one", wants("com.example.order", 0))
        .trigger("two", json!({"job": {"name": "resize"}}))
        .start()
        .await;
    knows(&world, 2).await;
    assert_eq!(world.publish("7").await.code(), 202);
    assert_eq!(world.post_event("8").await.code(), 202);
    for execution in world.executions().await {
        let trail = Trail::of(&execution).unwrap();
        assert_eq!(trail.sink.as_deref(), Some("sink-1"));
        let matched: Vec<&str> = trail.triggers.iter().map(|one| one.trigger.as_str()).collect();
        if execution.spec.events[0].id == "8" {
            assert!(matched.is_empty());
            continue;
        }
        assert_eq!(matched, ["one", "two"]);
        assert_eq!(trail.triggers[0].generation, Some(1));
        let term = &trail.triggers[0].terms[1];
        assert_eq!((term.text.as_str(), term.holds), ("event.data.order > 0", Some(true)));
        assert!(trail.to_json().len() <= MAX_TRAIL);
    }
}

#[tokio::test]
async fn what_is_forgotten_is_counted() {
    let options = Options { told: ToldTo::Everybody, max_decision_bytes: 4096, ..Options::default() };
    let world = setup().options(options).job("resize").start().await;
    for id in 0..20 {
        assert_eq!(world.publish(&id.to_string()).await.code(), 202);
    }
    assert_eq!(world.send(event(&format!("/namespaces/{NAMESPACE}/jobs/none"), "x")).await.code(), 404);
    let Told { decisions, forgotten, .. } = told(&world, "").await;
    let kept = u64::try_from(decisions.len()).unwrap();
    assert!(kept > 0 && kept < 21 && kept + forgotten == 21, "{kept} and {forgotten}");
    let (mut registry, mut text) = (Registry::default(), String::new());
    world.sink.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    for line in [
        "kakehi_decisions_total{verdict=\"unmatched\"} 20".to_owned(),
        "kakehi_decisions_total{verdict=\"refused\"} 1".to_owned(),
        "kakehi_decisions_total{verdict=\"started\"} 0".to_owned(),
        format!("kakehi_decisions_forgotten_total {forgotten}"),
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}: {text}");
    }
}

/// An API server that knows two tokens, `reader` and `sender`, and lets only the first list Executions.
fn reviewer() -> Client {
    let tokens = async |Json(review): Json<Value>| {
        let token = review["spec"]["token"].as_str().unwrap().to_owned();
        let is_known = ["reader", "sender"].contains(&token.as_str());
        let audiences = is_known.then(|| review["spec"]["audiences"].clone());
        Json(json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": review["spec"],
            "status": {"authenticated": is_known, "audiences": audiences, "user": {"username": token}},
        }))
    };
    let rights = async |Json(review): Json<Value>| {
        let asked = &review["spec"]["resourceAttributes"];
        assert_eq!(
            (&asked["verb"], &asked["resource"], &asked["namespace"]),
            (&json!("list"), &json!("executions"), &json!(NAMESPACE))
        );
        let allowed = review["spec"]["user"] == "reader";
        Json(json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
            "spec": review["spec"], "status": {"allowed": allowed},
        }))
    };
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(tokens))
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(rights));
    Client::new(router, "default")
}

#[tokio::test]
async fn values_of_events_are_told_to_whom_may_list_executions() {
    let client = reviewer();
    // Senders need not say who they are; readers do all the same, unless it is said otherwise.
    let sink = Sink::new(client.clone(), Triggers::new(client), Options::default(), CancellationToken::new());
    let router = sink.router();
    let sent = router.clone().oneshot(event(&format!("/namespaces/{NAMESPACE}"), "1")).await.unwrap();
    assert_eq!(sent.status(), 503, "nothing is known of triggers");
    for (token, expected) in
        [(None, 401), (Some("nobody"), 401), (Some("sender"), 403), (Some("reader"), 200)]
    {
        let mut request =
            Request::get(format!("/namespaces/{NAMESPACE}/decisions?id=1")).body(Body::empty()).unwrap();
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{token:?}");
        let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(text.contains("com.example.order"), expected == 200, "{text}");
    }
}

#[tokio::test]
async fn an_api_server_that_cannot_be_asked_keeps_values_secret() {
    let world = setup().job("resize").start().await;
    let path = format!("/namespaces/{NAMESPACE}/decisions");
    let bare = world.send(Request::get(&path).body(Body::empty()).unwrap()).await;
    assert_eq!(bare.code(), 401);
    world.faults.set(|head| {
        head.uri().path().contains("tokenreviews").then_some(crate::support::faults::Fault::Answer(500))
    });
    let request = Request::get(&path).header("authorization", "Bearer x").body(Body::empty()).unwrap();
    assert_eq!(world.send(request).await.code(), 503);
    let answer = world.send(Request::post(&path).body(Body::empty()).unwrap()).await;
    assert_eq!((answer.code(), answer.header("allow")), (405, Some("GET, HEAD")));
}

/// A real API server gives the token and knows the right.
#[tokio::test]
async fn a_token_of_the_namespace_with_the_right_is_enough() {
    use super::access::{account, token, with};
    if !crate::support::cluster::is_real() {
        crate::support::cluster::say("skipped: who may read decisions; it takes a real API server");
        return;
    }
    let world = setup().job("resize").start().await;
    let accounts = world.api();
    account(&accounts, "reader").await;
    let token = token(&accounts, "reader", &namespace_audience(world.namespace())).await;
    let look = || {
        with(Request::get(format!("/namespaces/{NAMESPACE}/decisions")).body(Body::empty()).unwrap(), &token)
    };
    // To be of the namespace is enough to send, and not to read what others sent.
    assert_eq!(world.send(look()).await.code(), 403);
}

/// Jobs of the corpus: what they ask of an event.
fn jobs() -> Vec<(&'static str, Value)> {
    vec![
        ("plain", json!({})),
        (
            "asks",
            json!({"parameters": [{"name": "ORDER", "value": "event.data.order"}, {"name": "S", "value": "event.subject", "default": "none"}]}),
        ),
        ("strict", json!({"parameters": [{"name": "ITEM", "value": "event.data.items[0].sku"}]})),
        ("small", json!({"event": {"maxBytes": 20}})),
        ("keyed", json!({"event": {"dedupKey": "event.data.order"}})),
        ("held", json!({"suspend": true})),
        ("counted", json!({"concurrency": {"policy": "Queue", "limit": 2, "key": "event.subject"}})),
    ]
}

fn trigger_spec() -> impl Strategy<Value = Value> {
    let filter = prop_oneof![
        Just(json!({"exact": {"type": "com.example.order"}})),
        Just(json!({"prefix": {"subject": "a"}})),
        Just(json!({"suffix": {"source": "ders"}})),
        Just(json!({"exact": {"num": "5", "type": "com.example.order"}})),
        Just(json!({"cel": "event.data.order > 10"})),
        Just(json!({"cel": "event.data.items.exists(i, i.sku == 'x') || !has(event.subject)"})),
        Just(json!({"cesql": "num > 3 AND EXISTS subject"})),
        Just(json!({"cesql": "subject LIKE 'a%' OR num / 0 = 1"})),
        // Admitted, and does not compile.
        Just(json!({"cel": "event.data."})),
    ];
    let tree = filter.prop_recursive(2, 6, 2, |inner| {
        let list = proptest::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            list.clone().prop_map(|list| json!({"all": list})),
            list.prop_map(|list| json!({"any": list})),
            inner.prop_map(|filter| json!({"not": filter})),
        ]
    });
    let job = prop_oneof![
        4 => Just("plain"), 2 => Just("asks"), 1 => Just("strict"), 1 => Just("small"),
        1 => Just("keyed"), 1 => Just("held"), 1 => Just("counted"), 1 => Just("none"),
    ];
    let parameters = prop_oneof![
        3 => Just(json!([])),
        1 => Just(json!([{"name": "ORDER", "value": "'t-' + event.id"}])),
        1 => Just(json!([{"name": "MORE", "value": "event.data.note"}])),
    ];
    (proptest::collection::vec(tree, 0..3), job, parameters)
        .prop_map(|(filters, job, parameters)| json!({"filters": filters, "job": {"name": job}, "parameters": parameters}))
}

fn corpus_event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![Just("com.example.order"), Just("other")];
    let source = prop_oneof![Just("/orders"), Just("/s")];
    let data = prop_oneof![
        Just(None),
        Just(Some(r#"{"order": 7}"#)),
        Just(Some(r#"{"order": 70, "items": [{"sku": "x"}], "note": "n"}"#)),
        Just(Some("no JSON")),
        Just(Some(r#"{"order": null}"#)),
    ];
    let (subject, num) =
        (proptest::option::of("[ab]{1,2}"), proptest::option::of(prop_oneof![Just(5), Just(0)]));
    (kind, source, subject, num, data).prop_map(|(kind, source, subject, num, data)| {
        let mut builder = Event::builder().required("?", source, kind);
        if let Some(subject) = subject {
            builder = builder.set("subject", subject);
        }
        if let Some(num) = num {
            builder = builder.set("num", num);
        }
        if let Some(data) = data {
            builder = builder.data(data);
        }
        builder.build().unwrap()
    })
}

/// What would be said without a sink, by what the API server has.
async fn stage(world: &World) -> Stage {
    let triggers = world.api::<DeserializeGuard<Trigger>>().list(&ListParams::default()).await.unwrap();
    let jobs = world.api::<Job>().list(&ListParams::default()).await.unwrap();
    let mut triggers: Vec<_> = triggers.items.iter().map(|one| Arc::new(LiveTrigger::new(one))).collect();
    triggers.sort_by(|one, other| one.name.cmp(&other.name));
    let named = |job: Job| (job.metadata.name.clone().unwrap(), Prepared::new(job));
    let jobs: BTreeMap<_, _> = jobs.items.into_iter().map(named).collect();
    Stage { namespace: world.namespace().to_owned(), triggers, jobs }
}

/// A decision of a sink as it would be if nobody had sent the event.
fn unsent(mut decision: Decision) -> Decision {
    assert!(decision.received.take().is_some());
    for run in &mut decision.runs {
        if run.outcome != Outcome::Refused {
            run.outcome = Outcome::Planned;
        }
    }
    decision
}

async fn is_told_alike(specs: Vec<Value>, events: Vec<(Event, bool)>) -> Result<(), TestCaseError> {
    let world = open().start().await;
    for (name, spec) in jobs() {
        world.create_job_with(name, spec).await;
    }
    let number = specs.len();
    for (index, spec) in specs.into_iter().enumerate() {
        world.create_trigger(&format!("t{index}"), spec).await;
    }
    knows(&world, number).await;
    let stage = stage(&world).await;
    for (index, (event, to_job)) in events.into_iter().enumerate() {
        let id = format!("e{index}");
        let job = to_job.then_some("asks");
        let path = match job {
            Some(job) => format!("/namespaces/{NAMESPACE}/jobs/{job}"),
            None => format!("/namespaces/{NAMESPACE}"),
        };
        let mut text: Value = serde_json::from_slice(&kakehi::event::json::encode(&event)).unwrap();
        text["id"] = json!(id);
        let text = text.to_string();
        let event = kakehi::event::json::decode(&text.clone().into()).unwrap();
        let request = Request::post(path).header("content-type", "application/cloudevents+json");
        let answer = world.send(request.body(Body::from(text)).unwrap()).await;
        let live = told(&world, &format!("id={id}")).await.decisions.remove(0);
        prop_assert_eq!(live.answer.status, answer.code());
        let offline = stage.rehearse(&event, job).decision;
        prop_assert_eq!(unsent(live), offline);
    }
    let created: Vec<Execution> = world.executions().await;
    prop_assert!(created.iter().all(|execution| Trail::of(execution).is_some()));
    Ok(())
}

/// The same words with a sink and without one, names of Executions included, for Triggers and events of all kinds.
#[test]
fn what_a_sink_tells_is_what_would_be_told_without_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let corpus = (
        proptest::collection::vec(trigger_spec(), 0..8),
        proptest::collection::vec((corpus_event(), proptest::bool::weighted(0.2)), 1..8),
    );
    let mut runner = TestRunner::new(Config { cases: 24, max_shrink_iters: 50, ..Config::default() });
    runner.run(&corpus, |(specs, events)| runtime.block_on(is_told_alike(specs, events))).unwrap();
}
