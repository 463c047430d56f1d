//! Answers that wait for the end of a run. The run is ended here, by its status, as controllers would.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use axum::extract::Request;
use kakehi::api::Execution;
use kakehi::listen::Listener;
use kakehi::ops;
use kakehi::sink::Options;
use kube::api::Patch;
use kube::api::PatchParams;
use prometheus_client::registry::Registry;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Answer;
use super::World;
use super::event;
use super::setup;
use crate::support::DEADLINE;
use crate::support::eventually;
use crate::support::faults::Fault;
use crate::support::faults::is_watch;

const JOB: &str = "/namespaces/apps/jobs/resize";

fn patient(id: &str, seconds: u64) -> Request {
    let mut request = event(JOB, id);
    request.headers_mut().insert("prefer", format!("wait={seconds}").parse().unwrap());
    request
}

/// Sends and waits for the answer, elsewhere.
fn sent(world: &Arc<World>, request: Request) -> JoinHandle<Answer> {
    let world = Arc::clone(world);
    tokio::spawn(async move { world.send(request).await })
}

async fn answered(sending: JoinHandle<Answer>) -> Answer {
    tokio::time::timeout(DEADLINE, sending).await.expect("it is answered").unwrap()
}

/// The run that the event of that id has started.
async fn started(world: &World, id: &str) -> String {
    eventually("the run is there", async || {
        let runs = world.executions().await;
        let mut of_event = runs.into_iter().filter(|run| run.spec.events[0].id == id);
        of_event.next().and_then(|run| run.metadata.name).ok_or("not yet")
    })
    .await
}

async fn end(world: &World, run: &str, completed: Value, more: Value) {
    let mut status = more;
    status["conditions"] = json!([completed]);
    status["completionTime"] = json!("2026-01-01T00:00:00Z");
    let patch = Patch::Merge(json!({"status": status}));
    world.api::<Execution>().patch_status(run, &PatchParams::default(), &patch).await.unwrap();
}

fn completed(status: &str, reason: &str) -> Value {
    json!({"type": "Completed", "status": status, "reason": reason, "message": "words",
        "lastTransitionTime": "2026-01-01T00:00:00Z"})
}

fn counted(world: &World, metric: &str) -> String {
    let mut registry = Registry::default();
    world.sink.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let line = text.lines().find(|line| line.starts_with(metric)).unwrap();
    line.rsplit_once(' ').unwrap().1.to_owned()
}

async fn waiting(world: &World, number: &str) {
    eventually("so many wait", async || {
        let found = counted(world, "kakehi_event_waiting ");
        if found == number { Ok(()) } else { Err(found) }
    })
    .await;
}

#[tokio::test]
async fn the_answer_is_the_end_of_the_run_as_an_event() {
    let world = Arc::new(setup().job("resize").start().await);
    let sending = sent(&world, patient("1", 60));
    let run = started(&world, "1").await;
    assert!(!sending.is_finished());
    end(
        &world,
        &run,
        completed("True", "Succeeded"),
        json!({"succeededCount": 1, "result": "{\"pixels\": 64}"}),
    )
    .await;
    let answer = answered(sending).await;
    assert_eq!(answer.code(), 200);
    assert_eq!(answer.header("ce-type"), Some("dev.kakehi.execution.succeeded"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("preference-applied"), Some("wait=60"));
    assert_eq!(answer.header("location"), Some(format!("/namespaces/apps/executions/{run}").as_str()));
    assert!(answer.header("ce-id").unwrap().ends_with("-succeeded"));
    let data = answer.json();
    assert_eq!((&data["result"], &data["state"]), (&json!({"pixels": 64}), &json!("Succeeded")));
    assert_eq!(data["event"]["id"], "1");
    // Whoever asks again is told again, at once.
    let again = answered(sent(&world, patient("1", 60))).await;
    assert_eq!((again.code(), again.header("ce-id")), (200, answer.header("ce-id")));
    assert_eq!(counted(&world, "kakehi_event_waits_total{end=\"ended\"}"), "2");
}

#[tokio::test]
async fn a_failed_run_is_told_like_any_other() {
    let world = Arc::new(setup().job("resize").start().await);
    let sending = sent(&world, patient("1", 60));
    let run = started(&world, "1").await;
    end(&world, &run, completed("False", "NonZeroExitCode"), json!({"failedCount": 1})).await;
    let answer = answered(sending).await;
    assert_eq!((answer.code(), answer.header("ce-type")), (200, Some("dev.kakehi.execution.failed")));
    assert_eq!(
        (&answer.json()["reason"], &answer.json()["message"]),
        (&json!("NonZeroExitCode"), &json!("words"))
    );
}

#[tokio::test]
async fn when_the_time_is_up_the_answer_is_the_usual_one() {
    let world = setup().job("resize").start().await;
    let begun = Instant::now();
    let answer = world.send(patient("1", 1)).await;
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((answer.code(), answer.body.len()), (202, 0));
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    assert!(answer.header("location").is_some());
    // Nobody who does not ask waits.
    let answer = world.post_event("2").await;
    assert_eq!((answer.code(), answer.header("preference-applied")), (202, None));
    assert_eq!(counted(&world, "kakehi_event_waits_total{end=\"timeout\"}"), "1");
}

#[tokio::test]
async fn a_job_may_answer_whoever_never_asks() {
    let world = Arc::new(setup().start().await);
    let rules = json!({"event": {"reply": "Always", "replyTimeoutSeconds": 60}});
    world.create_job_with("resize", rules).await;
    eventually("the Job is seen", async || {
        let answer = world.send(patient("first", 1)).await;
        if answer.code() == 202 { Ok(()) } else { Err(answer) }
    })
    .await;
    let sending = sent(&world, event(JOB, "1"));
    let run = started(&world, "1").await;
    end(&world, &run, completed("True", "Succeeded"), json!({})).await;
    let answer = answered(sending).await;
    assert_eq!((answer.code(), answer.header("ce-subject")), (200, Some("resize")));
    assert_eq!(answer.header("preference-applied"), None, "nobody had a preference");
}

#[tokio::test]
async fn a_trigger_waits_for_its_only_run_and_nobody_for_several() {
    let trigger = |job: &str| json!({"job": {"name": job}});
    let world =
        setup().job("resize").job("other").trigger("a", trigger("resize")).trigger("b", trigger("other"));
    let world = Arc::new(world.start().await);
    let mut both = event("/namespaces/apps", "1");
    both.headers_mut().insert("prefer", "wait=60".parse().unwrap());
    let answer = answered(sent(&world, both)).await;
    assert_eq!((answer.code(), answer.header("preference-applied")), (202, None));
    ops::delete::<kakehi::api::Trigger>(&world.client, world.namespace(), "b").await.unwrap();
    eventually("one is left", async || {
        let id = format!("probe-{:?}", Instant::now());
        let answer = world.publish(&id).await;
        answer.header("location").is_some().then_some(()).ok_or(answer)
    })
    .await;
    let mut one = event("/namespaces/apps", "2");
    one.headers_mut().insert("prefer", "wait=60".parse().unwrap());
    let sending = sent(&world, one);
    let run = started(&world, "2").await;
    end(&world, &run, completed("False", "Cancelled"), json!({})).await;
    assert_eq!(answered(sending).await.header("ce-type"), Some("dev.kakehi.execution.cancelled"));
}

#[tokio::test]
async fn who_waits_keeps_nobody_out_and_too_many_do_not_wait() {
    let options = Options { max_waiters: 1, max_requests: 1, ..Options::default() };
    let world = Arc::new(setup().job("resize").options(options).start().await);
    let sending = sent(&world, patient("1", 60));
    waiting(&world, "1").await;
    let second = answered(sent(&world, patient("2", 60))).await;
    assert_eq!((second.code(), second.header("preference-applied")), (202, None));
    let run = started(&world, "1").await;
    end(&world, &run, completed("True", "Succeeded"), json!({})).await;
    assert_eq!(answered(sending).await.code(), 200);
    assert_eq!(counted(&world, "kakehi_event_waits_total{end=\"full\"}"), "1");
    waiting(&world, "0").await;
}

#[tokio::test]
async fn nobody_is_held_up_by_a_process_that_is_to_end() {
    let world = Arc::new(setup().job("resize").start().await);
    let sending = sent(&world, patient("1", 300));
    waiting(&world, "1").await;
    world.sink.leave();
    let answer = answered(sending).await;
    assert_eq!(answer.code(), 202);
    assert!(answer.header("location").is_some());
    assert_eq!(counted(&world, "kakehi_event_waits_total{end=\"shutdown\"}"), "1");
}

#[tokio::test]
async fn who_waits_for_a_run_that_is_deleted_is_answered() {
    let world = Arc::new(setup().job("resize").start().await);
    let sending = sent(&world, patient("1", 300));
    waiting(&world, "1").await;
    let run = started(&world, "1").await;
    ops::delete::<Execution>(&world.client, world.namespace(), &run).await.unwrap();
    assert_eq!(answered(sending).await.code(), 202);
    assert_eq!(counted(&world, "kakehi_event_waits_total{end=\"gone\"}"), "1");
}

#[tokio::test]
async fn a_client_that_goes_away_costs_nothing() {
    let world = Arc::new(setup().job("resize").start().await);
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, shutdown) = (listener.address(), CancellationToken::new());
    let serving = tokio::spawn(listener.serve(world.router.clone(), shutdown.clone(), DEADLINE));
    let mut clients = Vec::new();
    for id in ["1", "2", "3"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST {JOB} HTTP/1.1\r\nhost: x\r\nprefer: wait=300\r\nce-specversion: 1.0\r\nce-id: {id}\r\n\
             ce-source: /s\r\nce-type: t\r\ncontent-length: 0\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    waiting(&world, "3").await;
    clients.truncate(1);
    waiting(&world, "1").await;
    drop(clients);
    waiting(&world, "0").await;
    assert_eq!(world.executions().await.len(), 3, "what they sent is stored");
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn all_who_wait_are_served_by_one_watch() {
    let world = Arc::new(setup().job("resize").start().await);
    let (watches, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (watches.clone(), looks.clone());
    world.faults.set(move |head| {
        if head.uri().path().ends_with("/executions") && is_watch(head) {
            counters.0.fetch_add(1, Ordering::Relaxed);
        }
        if head.uri().path().contains("/executions/") && head.method() == http::Method::GET {
            counters.1.fetch_add(1, Ordering::Relaxed);
        }
        None
    });
    let ids: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    let sending: Vec<_> = ids.iter().map(|id| sent(&world, patient(id, 60))).collect();
    waiting(&world, "20").await;
    for id in &ids {
        let run = started(&world, id).await;
        end(&world, &run, completed("True", "Succeeded"), json!({})).await;
    }
    for one in sending {
        assert_eq!(answered(one).await.code(), 200);
    }
    assert_eq!(watches.load(Ordering::Relaxed), 1);
    let looks = looks.load(Ordering::Relaxed);
    assert!(looks <= 40, "{looks} looks at 20 runs: one each, and one for the beginning of the watch");
}

#[tokio::test]
async fn an_end_that_a_broken_watch_has_missed_is_told() {
    let world = Arc::new(setup().job("resize").start().await);
    let sending = sent(&world, patient("1", 60));
    waiting(&world, "1").await;
    let run = started(&world, "1").await;
    // Every watch of Executions breaks off at its first word; the looks in between tell.
    world
        .faults
        .set(|head| (head.uri().path().ends_with("/executions") && is_watch(head)).then_some(Fault::Cut(0)));
    let second = sent(&world, patient("2", 60));
    waiting(&world, "2").await;
    let other = started(&world, "2").await;
    for run in [&run, &other] {
        end(&world, run, completed("True", "Succeeded"), json!({})).await;
    }
    world.faults.clear();
    assert_eq!(answered(sending).await.code(), 200);
    assert_eq!(answered(second).await.code(), 200);
}

#[tokio::test]
async fn a_location_shows_a_result_as_data() {
    let world = setup().job("resize").start().await;
    let location = world.post_event("1").await.header("location").unwrap().to_owned();
    let run = started(&world, "1").await;
    for (result, shown) in [("[1, 2]", json!([1, 2])), ("done", json!("done"))] {
        end(&world, &run, completed("True", "Succeeded"), json!({"result": result})).await;
        let request = Request::get(&location).body(axum::body::Body::empty()).unwrap();
        assert_eq!(world.send(request).await.json()["result"], shown);
    }
}
