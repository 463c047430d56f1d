//! The end of a run, told to whom its Job names: a receiver on this machine.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::extract::Request;
use bytes::Bytes;
use http::HeaderMap;
use http::Response;
use http::StatusCode;
use http_body_util::BodyExt as _;
use k8s_openapi::jiff::SignedDuration;
use kakehi::api::CompletionOutcome;
use kakehi::api::CompletionStatus;
use kakehi::event;
use kakehi::listen::Listener;
use serde_json::json;

use super::*;

/// What came, and where.
#[derive(Debug, Clone)]
struct Received {
    path: String,
    headers: HeaderMap,
    event: Event,
}

impl Received {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn data(&self) -> Value {
        serde_json::from_slice(self.event.data().unwrap()).unwrap()
    }
}

/// How the receiver answers: by path, the next one first, the last one for ever. 0 is no answer at all.
type Script = Arc<Mutex<HashMap<String, Vec<u16>>>>;

/// A receiver of events.
struct Receiver {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
    script: Script,
    _running: DropGuard,
}

impl Receiver {
    async fn start() -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.address());
        let (received, script) = (Arc::<Mutex<Vec<Received>>>::default(), Script::default());
        let (log, answers) = (received.clone(), script.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (log, answers) = (log.clone(), answers.clone());
            async move { answer(request, &log, &answers).await }
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(listener.serve(router, shutdown.clone(), Duration::ZERO));
        Self { url, received, script, _running: shutdown.drop_guard() }
    }

    fn answers(&self, path: &str, codes: &[u16]) {
        self.script.lock().unwrap().insert(path.to_owned(), codes.to_vec());
    }

    fn at(&self, path: &str) -> Vec<Received> {
        let all = self.received.lock().unwrap();
        all.iter().filter(|one| one.path == path).cloned().collect()
    }

    /// Waits until so many events have come to that path.
    async fn has(&self, path: &str, number: usize) -> Vec<Received> {
        eventually("events come", async || {
            let found = self.at(path);
            if found.len() >= number { Ok(found) } else { Err(found) }
        })
        .await
    }
}

async fn answer(request: Request, log: &Mutex<Vec<Received>>, script: &Script) -> Response<String> {
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await.unwrap().to_bytes();
    let event = event::http::decode(&head.headers, &body).unwrap();
    let path = head.uri.path().to_owned();
    let code = {
        let mut script = script.lock().unwrap();
        match script.get_mut(&path) {
            Some(codes) if codes.len() > 1 => codes.remove(0),
            Some(codes) => codes[0],
            None => 202,
        }
    };
    log.lock().unwrap().push(Received { path, headers: head.headers, event });
    if code == 0 {
        std::future::pending::<()>().await;
    }
    let body = if code == 400 { "I do not like it" } else { "" };
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body.to_owned()).unwrap()
}

impl House {
    /// A Job that tells the ends of its runs.
    async fn telling(&self, name: &str, script: &str, completion: Value) -> Job {
        self.job(name, script, "{}").await;
        self.patch_job(name, json!({"spec": {"completion": completion}})).await;
        self.api().get(name).await.unwrap()
    }

    /// What became of the event of that run.
    async fn told(&self, run: &str) -> CompletionStatus {
        eventually("it is settled", async || {
            let status = self.execution(run).await.status.unwrap_or_default();
            status.completion.clone().ok_or(status)
        })
        .await
    }
}

fn to(receiver: &Receiver, path: &str) -> Value {
    json!({"sink": {"uri": format!("{}{path}", receiver.url)}})
}

/// Quick, so that a scenario takes milliseconds.
fn quick(receiver: &Receiver, retry: i32) -> Value {
    let mut completion = to(receiver, "/in");
    completion["delivery"] = json!({"retry": retry, "backoffPolicy": "linear", "backoffDelay": "PT0.01S"});
    completion
}

const SAYS: &str = "printf '{\"pages\": %s}' \"$CE_N\" > ${TERMINATION_LOG_PATH:-/dev/termination-log}";

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_is_told_with_its_result() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    let job = house.telling("tells", SAYS, to(&receiver, "/in?x=1")).await;
    let sent = Event::builder().required("1", "/orders", "order").set("n", 7);
    let run = house.send_event(&job, &sent.build().unwrap()).await.execution;
    let told = house.told(&run).await;
    assert_eq!((told.outcome, told.attempts, told.message), (CompletionOutcome::Delivered, 1, None));
    let came = receiver.at("/in");
    assert_eq!(came.len(), 1);
    let event = &came[0].event;
    assert_eq!((event.kind(), event.subject()), ("dev.kakehi.execution.succeeded", Some("tells")));
    let source = format!("/apis/run.kakehi.dev/v1alpha1/namespaces/{}/executions/{run}", house.namespace);
    assert_eq!(event.source(), source);
    let uid = house.execution(&run).await.metadata.uid.unwrap();
    assert_eq!(event.id(), format!("{uid}-succeeded"));
    let data = came[0].data();
    assert_eq!((&data["result"], &data["succeededCount"]), (&json!({"pages": 7}), &json!(1)));
    assert_eq!((&data["event"]["id"], &data["event"]["n"]), (&json!("1"), &json!("7")));
    assert!(came[0].header("user-agent").unwrap().starts_with("kakehi/"));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_and_cancelled_runs_are_told_too() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    let script = "if [ $CE_ID = fails ]; then echo no >&2; exit 3; fi; exec sleep 600";
    let job = house.telling("ends", script, to(&receiver, "/in")).await;
    house
        .patch_job("ends", json!({"spec": {"template": {"spec": {"template": {"spec": {"maxRetries": 0}}}}}}))
        .await;
    let job: Job = house.api().get(job.metadata.name.as_deref().unwrap()).await.unwrap();
    let stopped = house.send(&job, "stops").await.execution;
    house.reaches(&stopped, Phase::Running).await;
    ops::cancel(&house.client, &house.namespace, &stopped).await.unwrap();
    let failed = house.send(&job, "fails").await.execution;
    let came = receiver.has("/in", 2).await;
    let of = |kind: &str| came.iter().find(|one| one.event.kind().ends_with(kind)).unwrap().data();
    assert_eq!(of("cancelled")["name"], stopped);
    let failure = of("failed");
    assert_eq!((&failure["name"], &failure["failedTasks"][0]["exitCode"]), (&json!(failed), &json!(3)));
    assert_eq!(failure["reason"], "NonZeroExitCode");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_sent_again_under_the_same_id() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    receiver.answers("/in", &[503, 404, 500, 202]);
    let job = house.telling("again", "exit 0", quick(&receiver, 9)).await;
    let run = house.send(&job, "1").await.execution;
    let told = house.told(&run).await;
    assert_eq!((told.outcome, told.attempts), (CompletionOutcome::Delivered, 4));
    let came = receiver.at("/in");
    assert_eq!(came.len(), 4);
    assert!(came.iter().all(|one| one.event.id() == came[0].event.id()));
    house.reports(&run, "CompletionDelayed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_takes_is_a_dead_letter() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    receiver.answers("/in", &[400]);
    receiver.answers("/dead", &[503, 202]);
    let mut completion = quick(&receiver, 5);
    completion["delivery"]["deadLetterSink"] = json!({"uri": format!("{}/dead", receiver.url)});
    let job = house.telling("dead", "exit 0", completion).await;
    let run = house.send(&job, "1").await.execution;
    let told = house.told(&run).await;
    assert_eq!((told.outcome, told.attempts), (CompletionOutcome::DeadLettered, 3), "400 is not tried again");
    assert!(told.message.unwrap().ends_with("/in: 400 Bad Request"));
    let (first, dead) = (receiver.at("/in"), receiver.at("/dead"));
    assert_eq!((first.len(), dead.len()), (1, 2));
    let letter = &dead[1];
    assert_eq!(letter.header("ce-knativeerrordest"), Some(format!("{}/in", receiver.url).as_str()));
    assert_eq!(letter.header("ce-knativeerrorcode"), Some("400"));
    assert_eq!(letter.header("ce-knativeerrordata"), Some("SSBkbyBub3QgbGlrZSBpdA=="));
    assert_eq!((letter.event.id(), letter.event.data()), (first[0].event.id(), first[0].event.data()));
    house.reports(&run, "CompletionNotDelivered").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_delivered_is_given_up_and_says_why() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    receiver.answers("/in", &[500]);
    let job = house.telling("gives-up", "exit 0", quick(&receiver, 2)).await;
    let run = house.send(&job, "1").await.execution;
    let told = house.told(&run).await;
    assert_eq!((told.outcome, told.attempts), (CompletionOutcome::Failed, 3));
    assert_eq!(told.message.unwrap(), format!("{}/in: 500 Internal Server Error", receiver.url));
    // A thing that is no destination is not tried twice; one that is not there yet is.
    let named = |kind: &str, namespace: Value| {
        let reference = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": kind, "name": "none", "namespace": namespace});
        json!({"sink": {"ref": reference}, "delivery": {"retry": 2, "backoffDelay": "PT0.01S"}})
    };
    for (name, completion, attempts, words) in [
        ("elsewhere", named("Job", json!("elsewhere")), 1, "reaches its own namespace alone"),
        ("missing", named("Job", Value::Null), 3, "Job none (run.kakehi.dev/v1alpha1): it is not there"),
        ("unknown", named("Broker", Value::Null), 3, "Broker none (run.kakehi.dev/v1alpha1): "),
    ] {
        let job = house.telling(name, "exit 0", completion).await;
        let run = house.send(&job, "1").await.execution;
        let told = house.told(&run).await;
        assert_eq!((told.outcome, told.attempts), (CompletionOutcome::Failed, attempts), "{told:?}");
        assert!(told.message.as_ref().unwrap().contains(words), "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_sent_to_at_the_address_that_it_tells() {
    let receiver = Receiver::start().await;
    let mut house = House::without_controllers().await;
    house.sink_url = receiver.url.clone();
    house.start_controllers();
    house.job("second", "exit 0", "{}").await;
    let reference = json!({"apiVersion": "run.kakehi.dev/v1alpha1", "kind": "Job", "name": "second"});
    let sink = json!({"sink": {"ref": reference, "uri": "?from=first"}, "delivery": {"backoffDelay": "PT0.01S", "retry": 100}});
    let job = house.telling("first", "exit 0", sink).await;
    let run = house.send(&job, "1").await.execution;
    assert_eq!(house.told(&run).await.outcome, CompletionOutcome::Delivered);
    receiver.has(&format!("/namespaces/{}/jobs/second", house.namespace), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_owed_when_the_controllers_end_is_told_by_the_next() {
    let (mut house, receiver) = (House::start().await, Receiver::start().await);
    receiver.answers("/in", &[503]);
    let mut completion = to(&receiver, "/in");
    completion["delivery"] = json!({"backoffDelay": "PT1H"});
    let job = house.telling("restart", "exit 0", completion).await;
    let run = house.send(&job, "1").await.execution;
    receiver.has("/in", 1).await;
    house.stop_controllers().await;
    assert_eq!(house.execution(&run).await.status.unwrap().completion, None, "it is not settled");
    receiver.answers("/in", &[202]);
    house.start_controllers();
    assert_eq!(house.told(&run).await.outcome, CompletionOutcome::Delivered);
    let came = receiver.at("/in");
    assert_eq!(came.len(), 2);
    assert_eq!(came[0].event.id(), came[1].event.id());
    // And what is settled is not sent by those that come after.
    house.stop_controllers().await;
    house.start_controllers();
    let other = house.send(&job, "2").await.execution;
    house.told(&other).await;
    assert_eq!(receiver.at("/in").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_never_answers_holds_up_nobody_else() {
    let (house, receiver) = (House::start().await, Receiver::start().await);
    let stuck = Receiver::start().await;
    stuck.answers("/in", &[0]);
    let job = house.telling("stuck", "exit 0", to(&stuck, "/in")).await;
    let other = house.telling("works", "exit 0", to(&receiver, "/in")).await;
    for id in 0..20 {
        house.send(&job, &id.to_string()).await;
    }
    stuck.has("/in", 8).await;
    let run = house.send(&other, "1").await.execution;
    assert_eq!(house.told(&run).await.outcome, CompletionOutcome::Delivered);
    assert_eq!(stuck.at("/in").len(), 8, "no more than a few at a time are tried");
}

fn in_two_hours() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(2)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_kept_until_its_end_is_told() {
    let mut house = House::without_controllers().await;
    let receiver = Receiver::start().await;
    receiver.answers("/in", &[503]);
    let job = house.telling("kept", "exit 0", quick(&receiver, 100)).await;
    house.patch_job("kept", json!({"spec": {"history": {"limit": 0, "ttlSeconds": 0}}})).await;
    let control = house.job("control", "exit 0", "{}").await;
    house.patch_job("control", json!({"spec": {"history": {"limit": 0, "ttlSeconds": 0}}})).await;
    house.start_controllers_by(in_two_hours);
    let run = house.send(&job, "1").await.execution;
    receiver.has("/in", 1).await;
    let gone = house.send(&control, "1").await.execution;
    let is_gone = async |run: &str| {
        house.api::<Execution>().get_opt(run).await.unwrap().is_none().then_some(()).ok_or("there")
    };
    eventually("what owes nothing goes", async || is_gone(&gone).await).await;
    assert!(house.api::<Execution>().get_opt(&run).await.unwrap().is_some());
    receiver.answers("/in", &[202]);
    eventually("it goes once it is told", async || is_gone(&run).await).await;
}
